//! Reads unsigned VERP: the recipient's address inside the local part of our return path.
//!
//! Forms, in the order in which they are tried (docs/verp.md):
//!
//! | form | made by |
//! |---|---|
//! | `bounce+user==a==example.com==list` | Sympa |
//! | `bounces+1234567-a1b2-user=example.com`, `bounce+a1b2c3.d4e5f6-user=example.com`, `sentto-1-2-3-user=example.com` | mailers that write a token of their own before the user |
//! | `list-return-123-user=example.com` | ezmlm (`-return-warn-…-`, `-return-probe-…-` too) |
//! | `list-bounces+user=example.com`, `bounces-user=example.com` | Mailman and many others |
//! | `lists+user=example.com`, `lists-user=example.com` | Postfix `XVERP` |
//! | `user=example.com` | no prefix at all |
//! | `lists+user#example.com` | `#` for `@`, only after a `+` |
//!
//! The domain comes after the **last** `=`; `+`, `=`, `%` and case of the user stay as they
//! are. Where the user begins cannot always be told (`my-list-jane-doe=example.com`): [`decode`]
//! gives the likeliest reading, [`readings`] all of them, so that a caller who knows addresses
//! from the report can let them decide.
//!
//! Promises: never invents (no domain with a dot, no VERP), never reads an SRS or BATV coat as a
//! recipient. Anyone can write such an address: what it says is a claim
//! (docs/policy.md, "Attribution").

use super::wrapped;
use crate::mail::Address;

/// Longest local part read, in octets. Real ones reached 80 (RFC 5321 allows 64).
const MAX_LOCAL: usize = 384;
/// Readings of one local part: how many delimiters are tried as the end of the prefix.
const MAX_READINGS: usize = 12;
/// Words that end a prefix when they are whole and in front of a `-` or the first `+`.
const BOUNCE_WORDS: [&str; 7] =
    ["bounces", "bounce", "returns", "return", "verp", "errors", "devnull"];

/// A recipient as an unsigned return path tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainVerp {
    /// The address we mailed.
    pub recipient: Address,
    /// What comes before it, without the delimiter: the list or the bounce mailbox.
    pub prefix: String,
}

/// The likeliest reading of a local part; None when it is no VERP address (`postmaster`, the
/// plain `lists` that delay warnings of Postfix come to).
pub fn decode(local: &str) -> Option<PlainVerp> {
    readings(local).into_iter().next()
}

/// Every reading of a local part, likeliest first, none twice.
pub fn readings(local: &str) -> Vec<PlainVerp> {
    if local.len() > MAX_LOCAL {
        return Vec::new();
    }
    let (local, _) = wrapped::unwrap(local, "");
    if wrapped::is_wrapped(&local) {
        return Vec::new();
    }
    if let Some(sympa) = sympa(&local) {
        return vec![sympa];
    }
    let (left, domain) = match local.rsplit_once('=') {
        Some((left, domain)) if is_domain(domain) => (left, domain),
        _ => match local.rsplit_once('#') {
            Some((left, domain)) if is_domain(domain) && left.contains('+') => (left, domain),
            _ => return Vec::new(),
        },
    };
    let mut found: Vec<PlainVerp> = Vec::new();
    for at in likely_ends(left).into_iter().chain(all_ends(left)) {
        let Some(reading) = split(left, at, domain) else { continue };
        if found.len() < MAX_READINGS && !found.contains(&reading) {
            found.push(reading);
        }
    }
    // `user=example.com@bounces.example.net`: nothing in front, or nothing that we should cut.
    let bare = !found.is_empty() || !left.contains(['+', '-']);
    if let Some(recipient) = address(left, domain).filter(|_| bare) {
        found.push(PlainVerp { recipient, prefix: String::new() });
    }
    found
}

/// Where the prefix ends (position of the delimiter), by what is known of its maker.
fn likely_ends(left: &str) -> Option<usize> {
    ezmlm(left)
        .or_else(|| mailing_token(left))
        .or_else(|| bounce_word(left, &['+', '-']))
        .or_else(|| left.find('+'))
        .or_else(|| left.find('-'))
        // `bounces.user=example.com`, `lists=user=example.com`: rarer ways to say the same.
        .or_else(|| bounce_word(left, &['.', '_']))
        .or_else(|| left.find('='))
}

/// Every delimiter, first to last.
fn all_ends(left: &str) -> impl Iterator<Item = usize> {
    left.match_indices(['+', '-']).map(|(at, _)| at).take(MAX_READINGS)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// `list-return-123-`: position of the last of these hyphens.
fn ezmlm(left: &str) -> Option<usize> {
    const MARK: &str = "-return-";
    let start = left.to_ascii_lowercase().find(MARK)? + MARK.len();
    let rest = left.get(start..)?;
    let (number, tail) = rest.split_once('-')?;
    if is_number(number) {
        return Some(start + number.len());
    }
    // Warnings and probes carry a time or a cookie: `-return-warn-1700000000.abcdef-user`.
    if !matches!(number.to_ascii_lowercase().as_str(), "warn" | "probe") {
        return None;
    }
    let (cookie, _) = tail.split_once('-')?;
    cookie.contains('.').then_some(start + number.len() + 1 + cookie.len())
}

/// The delimiter after what a mailer writes between the prefix and the user: the number of a mailing,
/// a hash. Nobody's name looks so, and were it one, the report would say it.
fn mailing_token(left: &str) -> Option<usize> {
    let hash = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let ends_at = |rest: &str| Some(left.len() - rest.len() - 1);
    // Yahoo Groups: `sentto-123-45-1700000000-user`.
    if let Some(rest) = left.strip_prefix("sentto-") {
        let mut parts = rest.splitn(4, '-');
        let numbers = parts.by_ref().take(3).filter(|part| is_number(part)).count() == 3;
        return parts.next().filter(|_| numbers).and_then(ends_at);
    }
    // A long token and the user: `qk3v9x2m7c1z5t8b4n6d_user`.
    if let Some((token, user)) = left.split_once('_')
        && token.len() >= 20
        && hash(token, token.len())
        && token.bytes().any(|b| b.is_ascii_digit())
    {
        return ends_at(user);
    }
    let (_, rest) = left.split_once('+')?;
    let (first, rest) = rest.split_once('-')?;
    // Mailgun: `bounce+a1b2c3.d4e5f6-user`.
    if let Some((one, two)) = first.split_once('.')
        && hash(one, 6)
        && hash(two, 6)
        && first.bytes().any(|b| b.is_ascii_digit())
    {
        return ends_at(rest);
    }
    // SendGrid: `bounces+1234567-a1b2-user`.
    let (second, user) = rest.split_once('-')?;
    let mixed = second.bytes().any(|b| b.is_ascii_digit());
    let is_token = first.len() >= 6 || (first.len() == 5 && mixed);
    (is_number(first) && is_token && hash(second, 4)).then(|| ends_at(user))?
}

/// The delimiter after the first whole bounce word; only words before the first `+` count,
/// because after it the user has begun (`lists+bounces-john=example.com`).
fn bounce_word(left: &str, delimiters: &[char]) -> Option<usize> {
    let head_end = left.find('+').unwrap_or(left.len());
    let mut start = 0;
    for (at, delimiter) in left.match_indices(['+', '-', '.', '_']) {
        if at > head_end {
            return None;
        }
        let word = left.get(start..at)?;
        let known = BOUNCE_WORDS.iter().any(|known| word.eq_ignore_ascii_case(known));
        if known && delimiter.starts_with(delimiters) {
            return Some(at);
        }
        start = at + 1;
    }
    None
}

fn split(left: &str, at: usize, domain: &str) -> Option<PlainVerp> {
    let (prefix, user) = (left.get(..at)?, left.get(at + 1..)?);
    if prefix.is_empty() || user.is_empty() {
        return None;
    }
    Some(PlainVerp { recipient: address(user, domain)?, prefix: prefix.to_string() })
}

/// `bounce+user==a==example.com==list`, also with `==w` or `==r` after it.
fn sympa(local: &str) -> Option<PlainVerp> {
    let (prefix, rest) = local.split_once('+')?;
    let (user, rest) = rest.split_once("==a==")?;
    let domain = rest.split_once("==").map_or(rest, |(domain, _)| domain);
    if !is_domain(domain) || prefix.is_empty() {
        return None;
    }
    Some(PlainVerp { recipient: address(user, domain)?, prefix: prefix.to_string() })
}

/// Joined; quoted when the user needs it, because the quotes may have gone with the outer ones.
fn address(user: &str, domain: &str) -> Option<Address> {
    if user.is_empty() {
        return None;
    }
    Address::parse(&format!("{user}@{domain}")).or_else(|| {
        if user.contains('"') {
            return None;
        }
        Address::parse(&format!("\"{}\"@{domain}", user.replace('\\', "\\\\")))
    })
}

/// A recipient's domain has a dot and a last label that is not a number, or is an address literal:
/// `b-x=1.5` and `token=abc` are not recipients.
fn is_domain(domain: &str) -> bool {
    let last = domain.rsplit_once('.').map(|(_, last)| last);
    domain.starts_with('[')
        || last.is_some_and(|last| last.starts_with(char::is_alphabetic) && !last.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (local part, recipient, prefix); None: no VERP.
    const TABLE: &[(&str, Option<(&str, &str)>)] = &[
        ("bounces+user=example.com", Some(("user@example.com", "bounces"))),
        ("bounces-user=example.com", Some(("user@example.com", "bounces"))),
        ("user=example.com", Some(("user@example.com", ""))),
        ("bounces+user#example.com", Some(("user@example.com", "bounces"))),
        // What mailers write between prefix and user.
        ("bounces+303122-90xy-user=example.com", Some(("user@example.com", "bounces+303122-90xy"))),
        (
            "bounce+hy8l5v.lf5r69-user=example.com",
            Some(("user@example.com", "bounce+hy8l5v.lf5r69")),
        ),
        (
            "sentto-6615-923-157310014-user=example.com",
            Some(("user@example.com", "sentto-6615-923-157310014")),
        ),
        (
            "gxsc1fnv6xjvr8ftutlf_user=example.com",
            Some(("user@example.com", "gxsc1fnv6xjvr8ftutlf")),
        ),
        ("bounces+93584-lqx8-user=example.com", Some(("user@example.com", "bounces+93584-lqx8"))),
        ("bounces+12345-team-x=example.com", Some(("12345-team-x@example.com", "bounces"))),
        ("bounces+jane-mary-doe=example.com", Some(("jane-mary-doe@example.com", "bounces"))),
        (
            "bounces+john.miller-smith=example.com",
            Some(("john.miller-smith@example.com", "bounces")),
        ),
        ("bounces+2026-team-x=example.com", Some(("2026-team-x@example.com", "bounces"))),
        // What Postfix made of odd recipients (tools/mta/verp-shapes.sh).
        ("lists+first+tag=hard.test", Some(("first+tag@hard.test", "lists"))),
        ("lists+a=b=hard.test", Some(("a=b@hard.test", "lists"))),
        ("lists+UPPER.Case=Hard.TEST", Some(("UPPER.Case@hard.test", "lists"))),
        (r#""lists+\"quoted str\"=hard.test""#, Some(("\"quoted str\"@hard.test", "lists"))),
        ("lists+o'brien=hard.test", Some(("o'brien@hard.test", "lists"))),
        ("lists+%percent%40=hard.test", Some(("%percent%40@hard.test", "lists"))),
        ("lists+user=sub.hard.test", Some(("user@sub.hard.test", "lists"))),
        (
            "lists+xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=hard.test",
            Some((
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx@hard.test",
                "lists",
            )),
        ),
        ("lists-user=dom.test", Some(("user@dom.test", "lists"))),
        // `XVERP===`, and other marks after a word that says it.
        ("lists=user=dom.test", Some(("user@dom.test", "lists"))),
        ("bounces.jane.doe=dom.test", Some(("jane.doe@dom.test", "bounces"))),
        ("bounces_jane=dom.test", Some(("jane@dom.test", "bounces"))),
        ("jane.doe=dom.test", Some(("jane.doe@dom.test", ""))),
        // The quotes of the user went with those of the whole.
        ("\"lists+two words=hard.test\"", Some(("\"two words\"@hard.test", "lists"))),
        // Mailman.
        ("list-bounces+user=example.com", Some(("user@example.com", "list-bounces"))),
        ("my-list-bounces+a-b=example.com", Some(("a-b@example.com", "my-list-bounces"))),
        // ezmlm.
        ("list-return-123-user=example.com", Some(("user@example.com", "list-return-123"))),
        ("my-list-return-9-a-b=example.com", Some(("a-b@example.com", "my-list-return-9"))),
        (
            "list-return-warn-1700000000.abcdef-user=example.com",
            Some(("user@example.com", "list-return-warn-1700000000.abcdef")),
        ),
        // Sympa.
        ("bounce+user==a==example.com==mylist", Some(("user@example.com", "bounce"))),
        ("bounce+user==a==example.com==mylist==w", Some(("user@example.com", "bounce"))),
        // A hyphen in the user; a plus in the user after a hyphen.
        ("bounces-jane-doe=example.com", Some(("jane-doe@example.com", "bounces"))),
        ("bounces-jane+news=example.com", Some(("jane+news@example.com", "bounces"))),
        ("lists+bounces-john=example.com", Some(("bounces-john@example.com", "lists"))),
        ("my-list+jane=example.com", Some(("jane@example.com", "my-list"))),
        // BATV around VERP; BATV around a plain mailbox.
        ("prvs=1234abcdef=lists+user=example.com", Some(("user@example.com", "lists"))),
        ("prvs=1234abcdef=lists", None),
        ("prvs=some=where.test", None),
        // SRS around VERP. The inner address of a bare SRS is a sender, never a recipient.
        ("SRS0=HHH=TT=bd.test=lists+user=example.com", Some(("user@example.com", "lists"))),
        ("SRS0=HHH=TT=example.com=user", None),
        ("SRS1=HHH=relay.test==HHH=TT=example.com=user", None),
        // An address literal, an international domain.
        ("lists+user=[192.0.2.1]", Some(("user@[192.0.2.1]", "lists"))),
        ("lists+user=exämple.test", Some(("user@exämple.test", "lists"))),
        ("postmaster", None),
        ("lists", None),
        ("lists+x", None),
        ("bounces", None),
        ("b-abcdefgh234567", None),
        ("lists+user=", None),
        ("lists+=example.com", None),
        ("=example.com", None),
        ("lists+token=1.5", None),
        ("lists+token=abc", None),
        ("lists+user=exa mple.com", None),
        ("", None),
    ];

    #[test]
    fn decodes_every_shape() {
        for (local, expected) in TABLE {
            let got = decode(local);
            let got = got.as_ref().map(|v| (v.recipient.as_str(), v.prefix.as_str()));
            assert_eq!(got, *expected, "{local}");
        }
    }

    #[test]
    fn readings_hold_the_others_too() {
        // Sent by lists+x@ to u@hard.test: the same text as lists@ to x+u@hard.test.
        let all = readings("lists+x+u=hard.test");
        let all: Vec<_> = all.iter().map(|v| v.recipient.as_str()).collect();
        assert_eq!(all, ["x+u@hard.test", "u@hard.test", "lists+x+u@hard.test"]);
        let many = format!("{}u=hard.test", "a-".repeat(50));
        assert!(readings(&many).len() <= MAX_READINGS + 1);
        assert!(readings(&format!("lists+{}=hard.test", "x".repeat(MAX_LOCAL))).is_empty());
    }
}
