//! Addresses in running text and in typed report fields.
//!
//! Promises: linear in the text; what comes out parses as an [`Address`]. Text that merely looks
//! like an address (`5.1.1@`, message ids without a dot) does not come out.

use std::ops::Range;

use crate::mail::Address;

/// What a log writes before an address.
const FIELDS: [&str; 8] =
    ["smtp=", "rcpt=", "recipient=", "to=", "from=", "sender=", "address=", "email="];

/// The address of a report field such as `rfc822; <user@example.com> (comment)` (RFC 3464
/// section 2.3.1), as sloppy as it comes: `rfc/822;`, `LOCAL;<x>`, `smtp:user@host`, display
/// names, `@relay:user@host`. RFC 6533 `\x{HH}` escapes are undone.
pub fn in_field(value: &str) -> Option<Address> {
    let text = without_type(value);
    let text = unescape(text);
    if let Some(inner) = last_bracketed(&text)
        && let Some(address) = Address::parse(inner).or_else(|| first_in(inner))
    {
        return Some(address);
    }
    Address::parse(text.trim())
        .filter(|a| !a.as_str().contains(['\'', '=']))
        .or_else(|| first_in(&text))
}

/// A field value without its `type;` prefix.
pub fn without_type(value: &str) -> &str {
    match value.split_once(';') {
        Some((kind, rest)) if kind.len() <= 20 && !kind.contains(['@', '<', '"']) => rest.trim(),
        _ => value.trim(),
    }
}

/// The first address of a text.
pub fn first_in(text: &str) -> Option<Address> {
    all_in(text).next().map(|(address, _)| address)
}

/// All addresses of a text with their octet offsets, in order.
pub fn all_in(text: &str) -> impl Iterator<Item = (Address, usize)> + '_ {
    spans(text).map(|(address, span)| (address, span.start))
}

/// All addresses of a text with the octets that they take, in order.
pub fn spans(text: &str) -> impl Iterator<Item = (Address, Range<usize>)> + '_ {
    let mut end_of_last = 0;
    memchr::memchr_iter(b'@', text.as_bytes()).filter_map(move |at| {
        if at < end_of_last {
            return None;
        }
        let start = local_start(text, at, end_of_last)?;
        let end = domain_end(text, at + 1);
        let local = text.get(start..at)?;
        let domain = text.get(at + 1..end)?;
        // Quotes around the whole address are not part of it.
        let (start, local) = match local.strip_prefix('\'') {
            Some(rest) => (start + 1, rest),
            None => (start, local),
        };
        // Exchange 5.5 writes `SMTP=user@example.com;`, logs write `rcpt=`.
        let named = FIELDS.iter().find(|field| {
            local.get(..field.len()).is_some_and(|head| head.eq_ignore_ascii_case(field))
        });
        let skipped = named.map_or(0, |field| field.len());
        let literal = domain.starts_with('[');
        if !literal
            && (!domain.contains('.') || domain.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        {
            return None;
        }
        let start = start + skipped;
        let address = Address::parse(text.get(start..end)?)?;
        end_of_last = end;
        Some((address, start..end))
    })
}

/// Where the local part that ends before `at` begins.
fn local_start(text: &str, at: usize, floor: usize) -> Option<usize> {
    let before = text.get(floor..at)?;
    if before.ends_with('"') {
        let open = before.get(..before.len() - 1)?.rfind('"')?;
        return Some(floor + open);
    }
    let run =
        before.char_indices().rev().take(256).take_while(|(_, c)| is_local_char(*c)).last()?;
    let start = floor + run.0;
    let trimmed = text.get(start..at)?.trim_start_matches(['.', '=', '/', '*', '-', '`']);
    (!trimmed.is_empty()).then(|| at - trimmed.len())
}

fn domain_end(text: &str, start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    if rest.starts_with('[') {
        return rest.find(']').filter(|n| *n < 60).map_or(start, |n| start + n + 1);
    }
    let mut len = rest
        .char_indices()
        .find(|(n, c)| {
            // Japanese text may follow a domain at once; a domain in that script begins with it.
            let text_begins =
                || is_wide(*c) && rest.get(..*n).is_some_and(|d| d.is_ascii() && d.contains('.'));
            !(c.is_ascii_alphanumeric()
                || matches!(c, '.' | '-' | '_')
                || (!c.is_ascii() && c.is_alphanumeric() && !text_begins()))
        })
        .map_or(rest.len(), |(n, _)| n);
    // `user@example.net...user`: two dots end the domain (sendmail, EarthLink).
    if let Some(dots) = rest.get(..len).and_then(|d| d.find("..")) {
        len = dots;
    }
    let domain = rest.get(..len).unwrap_or_default().trim_end_matches(['.', '-', '_']);
    start + domain.len()
}

fn is_local_char(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(
            c,
            '!' | '#'
                | '$'
                | '%'
                | '&'
                | '\''
                | '*'
                | '+'
                | '-'
                | '/'
                | '='
                | '?'
                | '^'
                | '_'
                | '`'
                | '{'
                | '|'
                | '}'
                | '~'
                | '.'
        )
        || (!c.is_ascii() && c.is_alphanumeric() && !is_wide(c))
}

/// Scripts that are written without blanks: an address that follows such a word directly does not
/// contain it.
fn is_wide(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{ff00}'..='\u{ffef}')
}

/// What is in the last pair of angle brackets that holds an `@`.
fn last_bracketed(text: &str) -> Option<&str> {
    let at = text.rfind('@')?;
    let open = text.get(..at)?.rfind('<')?;
    let close = text.get(at..)?.find('>').map_or(text.len(), |n| at + n);
    text.get(open + 1..close)
}

/// RFC 6533 section 3: `\x{E9}` in utf-8-addr-xtext.
fn unescape(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains("\\x{") {
        return text.into();
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x{") {
        out.push_str(before);
        match after.split_once('}').and_then(|(hex, tail)| {
            let c = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)?;
            (!c.is_control()).then_some((c, tail))
        }) {
            Some((c, tail)) => {
                out.push(c);
                rest = tail;
            }
            None => {
                out.push_str("\\x{");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_fields() {
        for (value, expected) in [
            ("rfc822; user@example.com", Some("user@example.com")),
            ("rfc822;<user@Example.com>", Some("user@example.com")),
            ("rfc/822; user@example.com", Some("user@example.com")),
            ("LOCAL;<user@example.com>", Some("user@example.com")),
            ("system;<>", None),
            ("rfc822; \"A B\" <user@example.com>", Some("user@example.com")),
            ("rfc822; user@example.com (the user)", Some("user@example.com")),
            ("rfc822;@relay.example:user@example.com", Some("user@example.com")),
            ("RFC822; smtp:user@example.com", Some("user@example.com")),
            ("utf-8; gr\\x{E5}@example.com", Some("grå@example.com")),
            ("rfc822; \"quoted one\"@example.com", Some("\"quoted one\"@example.com")),
            ("rfc822; \"user\"@example.com", Some("user@example.com")),
            ("rfc822; <\"user.name\"@example.com>", Some("user.name@example.com")),
            ("rfc822; \"user@example.com\"", Some("user@example.com")),
            ("utf-8; user@exa\\x{308}mple.se", Some("user@exämple.se")),
            ("rfc822; 'user@example.com'", Some("user@example.com")),
            ("rfc822;user", None),
            ("user@example.com", Some("user@example.com")),
        ] {
            assert_eq!(in_field(value).as_ref().map(Address::as_str), expected, "{value}");
        }
    }

    #[test]
    fn running_text() {
        for (text, expected) in [
            (
                "The mail to <a@example.com>, b@example.net. failed",
                vec!["a@example.com", "b@example.net"],
            ),
            ("'SMTP=user@example.com; on", vec!["user@example.com"]),
            ("smtp:user@example.com", vec!["user@example.com"]),
            ("user@earthlink.example...user unknown", vec!["user@earthlink.example"]),
            ("TO=<user@example.com>", vec!["user@example.com"]),
            ("id 1kJ@localhost and 5@1.2.3.4", vec![]),
            ("宛先user@example.jpです", vec!["user@example.jp"]),
            ("'user@example.com' rejected", vec!["user@example.com"]),
            ("<\"user\"@example.com>: rejected", vec!["user@example.com"]),
            ("@@@@ <@> @example.com", vec![]),
        ] {
            let found: Vec<_> = all_in(text).map(|(a, _)| a.to_string()).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
