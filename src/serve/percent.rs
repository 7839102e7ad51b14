//! Percent-encoding (RFC 3986 section 2.1) for paths, queries and tcp_table(5). Decoding is ours:
//! the library takes half an encoding for text, and a wrong question must not become another one.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// Decodes `%XX`; None when a `%` is not followed by two hex digits or the result is not UTF-8.
pub fn decode(text: &str) -> Option<String> {
    decode_octets(text.as_bytes()).and_then(|octets| String::from_utf8(octets).ok())
}

/// Decodes a form field: as [`decode`], and `+` is a space.
pub fn decode_form(text: &str) -> Option<String> {
    decode(&text.replace('+', " "))
}

/// Decodes octets.
pub fn decode_octets(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&octet) = rest.next() {
        out.push(match octet {
            b'%' => hex(*rest.next()?)? << 4 | hex(*rest.next()?)?,
            _ => octet,
        });
    }
    Some(out)
}

/// Encodes for tcp_table(5): `%`, white space and whatever is not printable ASCII.
pub fn encode_tcp(text: &str, out: &mut Vec<u8>) {
    const UNPRINTABLE: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
    utf8_percent_encode(text, UNPRINTABLE)
        .for_each(|piece| out.extend_from_slice(piece.as_bytes()));
}

/// Encodes one component of a URL: all but unreserved characters and `@`.
pub fn encode_component(text: &str) -> String {
    const RESERVED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');
    utf8_percent_encode(text, RESERVED).to_string()
}

fn hex(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        for (text, decoded) in [
            ("user@example.com", Some("user@example.com")),
            ("user%40example.com", Some("user@example.com")),
            ("a%2Fb+c@example.com", Some("a/b+c@example.com")),
            ("per%2540cent", Some("per%40cent")),
            ("gr%C3%A5", Some("grå")),
            ("%c3%a5", Some("å")),
            // Half an encoding, and octets that are no UTF-8.
            ("a%4", None),
            ("a%zz", None),
            ("%C3", None),
        ] {
            assert_eq!(decode(text).as_deref(), decoded, "{text}");
        }
        assert_eq!(decode_form("a+b%2Bc").as_deref(), Some("a b+c"));
    }

    #[test]
    fn encodes() {
        let mut out = Vec::new();
        encode_tcp("550 5.1.1 50% å\n", &mut out);
        assert_eq!(out, b"550%205.1.1%2050%25%20%C3%A5%0A");
        assert_eq!(encode_component("a/b&c=d e@x"), "a%2Fb%26c%3Dd%20e@x");
        assert_eq!(decode(&encode_component("å+/?#%")).as_deref(), Some("å+/?#%"));
    }
}
