//! The one thing that is read of an X.509 certificate without rustls: when it ends.

use crate::mail::Timestamp;

/// notAfter of an X.509 certificate (RFC 5280 section 4.1). A walk over the outermost DER fields,
/// because a whole X.509 parser for one date would be a dependency too many.
pub(crate) fn expiry(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = der(certificate)?;
    let (_, mut fields, _) = der(certificate)?;
    if fields.first() == Some(&0xa0) {
        fields = der(fields)?.2; // version
    }
    for _ in ["serialNumber", "signature", "issuer"] {
        fields = der(fields)?.2;
    }
    let (_, validity, _) = der(fields)?;
    let (_, _, rest) = der(validity)?;
    let (tag, not_after, _) = der(rest)?;
    let text = std::str::from_utf8(not_after).ok()?;
    const UTC_TIME: u8 = 0x17;
    let (century, digits) = match tag {
        UTC_TIME if text.get(..2)? < "50" => ("20", text),
        UTC_TIME => ("19", text),
        _ => ("", text), // GeneralizedTime
    };
    let digits = format!("{century}{digits}");
    let part = |range| digits.get(range);
    Timestamp::parse_rfc3339(&format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(8..10)?,
        part(10..12)?,
        part(12..14)?
    ))
}

/// Tag, content, and what follows, of the first DER element.
fn der(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = octets.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (octets.iter().fold(0, |n, octet| n << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_der_has_no_expiry() {
        let made = rcgen::generate_simple_self_signed(["mx.example.com".to_string()])
            .expect("a certificate for a plain name");
        let der = made.cert.der();
        assert!(expiry(der).is_some());
        for end in 0..der.len() {
            let _ = expiry(&der[..end]); // must not panic
        }
        assert_eq!(expiry(&der[..20]), None);
        assert_eq!(expiry(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
