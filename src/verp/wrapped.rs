//! Takes off what relays wrap around a local part, so that the address inside can be read.
//!
//! Known coats: the quoted string of RFC 5321 section 4.1.2; BATV (`prvs=tag=local`,
//! draft-levine-smtp-batv, with the older order `prvs=local/tag` and the two vendor spellings
//! `btv1==tag==local` and `msprvs1=tag=local`); SRS (`SRS0=hash=time=host=local`,
//! `SRS1=hash=relay==hash=time=host=local`), which also changes the domain.
//!
//! Promises: never fails (what is not a coat is returned as it came), at most `MAX_COATS`
//! coats, no check of foreign signatures: they belong to those who made them.

use std::borrow::Cow;

/// Coats taken off one local part; more are somebody's joke.
const MAX_COATS: usize = 4;

/// The local part and the domain of the address inside all coats.
pub fn unwrap<'a>(local: &'a str, domain: &'a str) -> (Cow<'a, str>, Cow<'a, str>) {
    let (mut local, mut domain) = (Cow::Borrowed(local), Cow::Borrowed(domain));
    for _ in 0..MAX_COATS {
        if let Some(inner) = unquote(&local) {
            local = Cow::Owned(inner);
        } else if let Some(inner) = batv(&local) {
            local = Cow::Owned(inner.to_string());
        } else if let Some((inner, host)) = srs(&local) {
            domain = Cow::Owned(host.to_string());
            local = Cow::Owned(inner.to_string());
        } else {
            break;
        }
    }
    (local, domain)
}

/// Whether a local part still wears a coat that could not be taken off: it must not be read as a
/// VERP address, because its `=` mean something else.
pub fn is_wrapped(local: &str) -> bool {
    ["prvs=", "btv1=", "msprvs1="].iter().any(|name| after(local, name).is_some())
        || srs_name(local).is_some()
}

/// `text` after `prefix`, compared without case: gateways fold local parts.
fn after<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| text.get(prefix.len()..)).flatten()
}

/// `"a\"b"` is `a"b`.
fn unquote(local: &str) -> Option<String> {
    let inner = local.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next()?),
            // Two quoted strings side by side, or a bare quote: no quoted string.
            '"' => return None,
            _ => out.push(c),
        }
    }
    (!out.is_empty()).then_some(out)
}

/// The draft says ten characters (key digit, three digits of day, six of MAC); vendors send nine
/// hex digits or more letters. The digit in front tells a tag from a local part.
fn is_batv_tag(tag: &str) -> bool {
    (8..=16).contains(&tag.len())
        && tag.starts_with(|c: char| c.is_ascii_digit())
        && tag.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn batv(local: &str) -> Option<&str> {
    if let Some((tag, inner)) = after(local, "btv1==").and_then(|r| r.split_once("==")) {
        return (is_batv_tag(tag) && !inner.is_empty()).then_some(inner);
    }
    if let Some(rest) = after(local, "prvs=").or_else(|| after(local, "msprvs1=")) {
        if let Some((_, inner)) = rest.split_once('=').filter(|(tag, _)| is_batv_tag(tag)) {
            return (!inner.is_empty()).then_some(inner);
        }
        let (inner, tag) = rest.rsplit_once(['/', '='])?;
        return (is_batv_tag(tag) && !inner.is_empty()).then_some(inner);
    }
    None
}

/// `SRS0` or `SRS1` and one of its three separators; what follows.
fn srs_name(local: &str) -> Option<(bool, &str)> {
    let (first, rest) = match (after(local, "SRS0"), after(local, "SRS1")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return None,
    };
    Some((first, rest.strip_prefix(['=', '+', '-'])?))
}

fn srs(local: &str) -> Option<(&str, &str)> {
    let (first, rest) = srs_name(local)?;
    let guarded = if first {
        rest
    } else {
        // `hash=relay=` and then the SRS0 address without its name, separator first.
        rest.splitn(3, '=').nth(2)?.strip_prefix(['=', '+', '-'])?
    };
    let mut parts = guarded.splitn(4, '=');
    let (hash, time, host, inner) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (!hash.is_empty() && !time.is_empty() && host.contains('.') && !inner.is_empty())
        .then_some((inner, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coats_come_off() {
        for (local, inner, domain) in [
            ("lists", "lists", "bd.test"),
            ("\"two words\"", "two words", "bd.test"),
            (r#""lists+\"quoted str\"=hard.test""#, r#"lists+"quoted str"=hard.test"#, "bd.test"),
            ("prvs=1234abcdef=lists", "lists", "bd.test"),
            ("PRVS=1234ABCDEF=b-ABC", "b-ABC", "bd.test"),
            ("prvs=1234abcdef=lists+u=example.com", "lists+u=example.com", "bd.test"),
            // The order of the first draft.
            ("prvs=lists/1234abcdef", "lists", "bd.test"),
            ("prvs=lists+u=example.com=1234abcdef", "lists+u=example.com", "bd.test"),
            ("btv1==0123456789==lists", "lists", "bd.test"),
            ("msprvs1=17827RA5TC8dl=lists", "lists", "bd.test"),
            ("SRS0=HHH=TT=example.com=user", "user", "example.com"),
            ("srs0+hhh=tt=example.com=a=b", "a=b", "example.com"),
            ("SRS1=HHH=relay.test==HHH=TT=example.com=user", "user", "example.com"),
            // Two coats: our MTA signs, a relay rewrites.
            ("SRS0=HHH=TT=bd.test=prvs=1234abcdef=lists", "lists", "bd.test"),
            ("prvs=accounts=1234abcdef", "accounts", "bd.test"),
            // Not what they claim to be: untouched.
            ("prvs=lists", "prvs=lists", "bd.test"),
            ("SRS0=HHH=user", "SRS0=HHH=user", "bd.test"),
            ("SRS0", "SRS0", "bd.test"),
            ("\"", "\"", "bd.test"),
            ("\"\\\"", "\"\\\"", "bd.test"),
            ("", "", "bd.test"),
        ] {
            let (got, host) = unwrap(local, "bd.test");
            assert_eq!((got.as_ref(), host.as_ref()), (inner, domain), "{local}");
        }
    }

    #[test]
    fn coats_are_counted() {
        let many = format!("{}lists", "prvs=1234abcdef=".repeat(MAX_COATS + 1));
        assert_eq!(unwrap(&many, "bd.test").0, "prvs=1234abcdef=lists");
        assert!(is_wrapped(&unwrap(&many, "bd.test").0));
        assert!(!is_wrapped("lists+u=example.com"));
    }
}
