//! Mail addresses as envelopes and reports carry them.
//!
//! Promises: one mailbox has one spelling (no needless quotes, the domain lower-cased and mapped as
//! IDNA maps it), there are no angle brackets, and whatever is inside can be written into JSON and
//! logs (no control characters). Deliberately lenient otherwise: real bounces
//! name `a..b@example.com` and local parts over 64 octets
//! (docs/reliability.md, "Faults of packages").

use std::borrow::Cow;
use std::cell::LazyCell;

use serde::{Deserialize, Serialize};

/// Longest address kept, in octets. RFC 5321 section 4.5.3.1.3 allows 256; VERP local parts in
/// the wild are longer.
const MAX_OCTETS: usize = 512;

/// `local@domain`, domain lower-cased.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// Reads one address: surrounding white space, angle brackets, a source route
    /// (`@relay:user@host`, RFC 5321 appendix C) and a trailing dot of the domain are dropped. So are
    /// quotes that the local part does not need: `"user"@` and `user@` are one (RFC 5321 section
    /// 4.1.2).
    pub fn parse(text: &str) -> Option<Self> {
        let (local, domain) = halves(text)?;
        let local = unquoted(local).map_or(Cow::Borrowed(local), Cow::Owned);
        Self::joined(&local, &mapped(domain))
    }

    /// Reads an address of a record, with the quotes that it was written down with: a journal is
    /// folded to the same rows by all releases.
    pub fn stored(text: &str) -> Option<Self> {
        let (local, domain) = halves(text)?;
        Self::joined(local, &domain.to_lowercase())
    }

    fn joined(local: &str, domain: &str) -> Option<Self> {
        let domain = domain.trim_end_matches('.');
        let whole = || Self([local, "@", domain].concat());
        (is_local_part(local) && is_domain(domain)).then(whole)
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What comes before the last `@`.
    pub fn local(&self) -> &str {
        at_sign(&self.0).map_or("", |(local, _)| local)
    }

    /// The local part as it is meant, lower case: without quotes, what escapes, comments and a tag.
    pub fn plain_local(&self) -> String {
        plain_local(self.local())
    }

    /// What comes after the last `@`, lower case.
    pub fn domain(&self) -> &str {
        at_sign(&self.0).map_or("", |(_, domain)| domain)
    }

    /// The form in which two addresses are the same mailbox: local part lower-cased, domain
    /// lower-cased and in its A-label form (RFC 5890).
    pub fn key(&self) -> String {
        self.key_in(Case::Fold)
    }

    /// The same, with the case of the local part as policy says.
    pub fn key_in(&self, case: Case) -> String {
        let domain = self.domain();
        let ascii = if domain.is_ascii() {
            Cow::Borrowed(domain)
        } else {
            idna::domain_to_ascii(domain).map_or(Cow::Borrowed(domain), Cow::Owned)
        };
        match case {
            Case::Fold => [&self.local().to_lowercase(), "@", &ascii].concat(),
            Case::Keep => [self.local(), "@", &ascii].concat(),
        }
    }
}

/// A local part as it is meant, lower case: `"mailer\-daemon"`, `Mailer-Daemon+x` and
/// `mailer-daemon(we)` all read `mailer-daemon` (RFC 5322 section 3.2.4, RFC 5233).
pub fn plain_local(local: &str) -> String {
    let (mut plain, mut depth) = (String::with_capacity(local.len()), 0_usize);
    let mut chars = local.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next().filter(|_| depth == 0)),
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '"' => {}
            _ if depth > 0 => {}
            c => plain.push(c),
        }
    }
    let untagged = plain.split('+').next().unwrap_or_default();
    untagged.trim_matches(|c: char| c == '.' || c.is_whitespace()).to_lowercase()
}

/// Whether `User@` and `user@` are one mailbox (docs/policy.md, "All keys"). RFC 5321 section 2.4
/// leaves that to the host; hardly any tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Case {
    /// They are.
    #[default]
    Fold,
    /// They are two.
    Keep,
}

impl Case {
    /// The word in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fold => "fold",
            Self::Keep => "keep",
        }
    }
}

/// Local part and domain of one address, as they are written.
fn halves(text: &str) -> Option<(&str, &str)> {
    let mut text = text.trim();
    if let Some(inner) = text.strip_prefix('<') {
        text = inner.strip_suffix('>').unwrap_or(inner);
    }
    if text.starts_with('@') {
        text = text.split_once(':')?.1;
    }
    at_sign(text).filter(|_| text.len() <= MAX_OCTETS)
}

/// What is before the last `@`, and what is after it: `rsplit_once`, which looks for any letter, takes
/// four times as long.
fn at_sign(text: &str) -> Option<(&str, &str)> {
    let at = memchr::memrchr(b'@', text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// What is in the quotes of a local part; None when it has none, or needs them.
fn unquoted(local: &str) -> Option<String> {
    let inside = local.strip_prefix('"')?.strip_suffix('"')?;
    let mut plain = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(chars.next()?),
            '"' => return None,
            c => plain.push(c),
        }
    }
    is_dot_string(&plain).then_some(plain)
}

/// Atoms with dots between them (RFC 5321 section 4.1.2, RFC 6531): what needs no quotes.
fn is_dot_string(local: &str) -> bool {
    let is_atext = |c: char| match c.is_ascii() {
        true => c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c),
        false => !c.is_control() && !c.is_whitespace(),
    };
    local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// A domain in lower case. One with other letters than ASCII is mapped as IDNA maps it (UTS #46):
/// composed (NFC), and the full stops of other scripts are dots.
fn mapped(domain: &str) -> Cow<'_, str> {
    if domain.bytes().all(is_lower_ascii) {
        return Cow::Borrowed(domain);
    }
    if !domain.is_ascii()
        && let (unicode, Ok(())) = idna::domain_to_unicode(domain)
    {
        return Cow::Owned(unicode);
    }
    Cow::Owned(domain.to_lowercase())
}

/// What nearly all domains are made of.
const fn is_lower_ascii(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-')
}

/// Whether a letter goes on with the one before: a label may not begin with it (RFC 5891 section
/// 4.2.3.2), but have it. Indian scripts cannot be written without.
fn is_mark(c: char) -> bool {
    let mut octets = [0; 4];
    let alone = c.encode_utf8(&mut octets);
    idna::domain_to_ascii(alone).is_err() && idna::domain_to_ascii(&format!("a{c}")).is_ok()
}

/// A local part: not empty, no control characters, and white space or brackets only in quotes.
fn is_local_part(local: &str) -> bool {
    // Nearly all are.
    let is_plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'+' | b'=');
    if local.bytes().all(is_plain) {
        return !local.is_empty();
    }
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let half = local.starts_with('@') || local.ends_with('@') || local.contains("@@");
    local.chars().all(|c| !c.is_control())
        && (quoted
            || !half
                && !local
                    .contains([' ', '<', '>', '(', ')', ',', ';', ':', '"', '\t', '[', ']', '\\']))
}

/// A domain: letters, digits, hyphens, dots and non-ASCII letters with their marks; or an address
/// literal.
fn is_domain(domain: &str) -> bool {
    if let Some(literal) = domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')) {
        return !literal.is_empty()
            && literal
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'-'));
    }
    let valid = LazyCell::new(|| idna::domain_to_ascii(domain).is_ok());
    !domain.is_empty()
        && domain.len() <= 255
        && !domain.starts_with(['.', '-'])
        && !domain.as_bytes().windows(2).any(|two| two == b"..")
        && (domain.bytes().all(is_lower_ascii)
            || domain.chars().all(|c| {
                c.is_ascii_alphanumeric()
                    || matches!(c, '.' | '-' | '_')
                    || (!c.is_ascii() && (c.is_alphanumeric() || (*valid && is_mark(c))))
            }))
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Words without addresses, for people who need not know whose they are; at most so many
/// characters.
pub fn redacted(text: &str, characters: usize) -> String {
    let words = text.split_whitespace().map(|w| if w.contains('@') { "<address>" } else { w });
    words.collect::<Vec<_>>().join(" ").chars().take(characters).collect()
}

/// The same for a text whose lines and blanks are to stay as they are.
pub fn redacted_text(text: &str) -> String {
    let blank = |word: &str| {
        let (bare, rest) = word.split_at(word.trim_end().len());
        if bare.contains('@') { format!("<address>{rest}") } else { word.to_string() }
    };
    text.split_inclusive(char::is_whitespace).map(blank).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_without_its_addresses_is_shaped_as_before() {
        let text = "To: <a@x.test>,\r\n\tb@x.test  (Bea)\n\nHi c@x.test";
        assert_eq!(redacted_text(text), "To: <address>\r\n\t<address>  (Bea)\n\nHi <address>");
    }

    #[test]
    fn parse_accepts_what_reports_carry() {
        for (text, expected) in [
            ("User@Example.COM", Some("User@example.com")),
            (" <user@example.com> ", Some("user@example.com")),
            // An unclosed bracket: folded lines lose the other one.
            ("<user@example.com", Some("user@example.com")),
            ("@relay.example:user@example.com", Some("user@example.com")),
            ("user@example.com.", Some("user@example.com")),
            ("\"two words\"@example.com", Some("\"two words\"@example.com")),
            // Quotes that are not needed, and those that are.
            ("<\"user\"@example.com>", Some("user@example.com")),
            ("\"us\\er+x\"@example.com", Some("user+x@example.com")),
            ("\"a..b\"@example.com", Some("\"a..b\"@example.com")),
            ("\"a.\"@example.com", Some("\"a.\"@example.com")),
            ("\"a@b\"@example.com", Some("\"a@b\"@example.com")),
            ("\"\"@example.com", None),
            ("\"a\\\"b\"@example.com", Some("\"a\\\"b\"@example.com")),
            ("\"<a>\"@example.com", Some("\"<a>\"@example.com")),
            ("\"\u{a0}a\"@example.com", Some("\"\u{a0}a\"@example.com")),
            ("\"@a:b\"@example.com", Some("\"@a:b\"@example.com")),
            // As IDNA maps it: composed, other full stops, letters of full width, marks.
            ("user@exa\u{308}mple.se", Some("user@exämple.se")),
            ("user@Ex\u{e4}mple\u{3002}se\u{3002}", Some("user@exämple.se")),
            ("user@ｅｘａｍｐｌｅ．com", Some("user@example.com")),
            ("user@परीक्षा.example", Some("user@परीक्षा.example")),
            ("user@\u{94d}a.example", None),
            ("user@a→b.example", None),
            ("a..b@example.com", Some("a..b@example.com")),
            ("a@b@example.com", Some("a@b@example.com")),
            ("user@[192.0.2.1]", Some("user@[192.0.2.1]")),
            ("grå@exämple.se", Some("grå@exämple.se")),
            ("user@@example.com", None),
            ("a@@b@example.com", None),
            ("user", None),
            ("@example.com", None),
            ("user@", None),
            ("two words@example.com", None),
            ("user@exa mple.com", None),
            ("user@..", None),
            ("us\u{7}er@example.com", None),
        ] {
            assert_eq!(Address::parse(text).as_ref().map(Address::as_str), expected, "{text}");
        }
    }

    #[test]
    fn a_local_part_is_read_as_it_is_meant() {
        for (local, plain) in [
            ("User", "user"),
            ("\"mailer\\-daemon\"", "mailer-daemon"),
            ("\"Mailer-\"Daemon", "mailer-daemon"),
            ("mailer-daemon(the \\) program)", "mailer-daemon"),
            ("\" postmaster \"", "postmaster"),
            ("postmaster+bounces", "postmaster"),
            ("postmaster.", "postmaster"),
            ("\"\\", ""),
        ] {
            assert_eq!(plain_local(local), plain, "{local}");
        }
    }

    #[test]
    fn case_is_kept_where_it_is_told_apart() {
        let address = Address::parse("User@Exämple.SE").expect("an address");
        assert_eq!(address.key_in(Case::Keep), "User@xn--exmple-cua.se");
        assert_eq!(address.key_in(Case::Fold), address.key());
    }

    #[test]
    fn a_record_keeps_its_quotes() {
        for (text, stored) in [
            ("\"user\"@Example.com", Some("\"user\"@example.com")),
            ("User@exämple.se", Some("User@exämple.se")),
            ("user", None),
        ] {
            assert_eq!(Address::stored(text).as_ref().map(Address::as_str), stored, "{text}");
        }
    }

    #[test]
    fn key_folds_case_and_idna() {
        assert_eq!(
            Address::parse("User@Exämple.SE").map(|a| a.key()).as_deref(),
            Some("user@xn--exmple-cua.se")
        );
    }

    /// Local parts that need no quotes.
    fn plain_locals() -> impl Strategy<Value = String> {
        "[a-zA-ZåÄöλж0-9!#$%&'*+/=?^_`{|}~-]{1,9}(\\.[a-zA-Z0-9_-]{1,9}){0,3}"
    }

    /// And those that do, or may.
    fn locals() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z.@]{1,12}", "[ -~]{1,20}", "[a-z \"@\\\\<>\u{a0}]{1,9}"]
    }

    /// In quotes, with a backslash before those that need one and before each `nth` one.
    fn quoted(local: &str, nth: usize) -> String {
        let escaped = |(n, c): (usize, char)| match c {
            '"' | '\\' => format!("\\{c}"),
            c if n % nth == nth - 1 => format!("\\{c}"),
            c => c.to_string(),
        };
        format!("\"{}\"", local.chars().enumerate().map(escaped).collect::<String>())
    }

    /// Letters of a domain: composed, and as others write them.
    const LETTERS: [(&str, &str); 6] = [
        ("ä", "a\u{308}"),
        ("å", "Å"),
        ("é", "E\u{301}"),
        ("が", "か\u{3099}"),
        ("b", "ｂ"),
        ("c", "C"),
    ];

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_address_is_its_own_spelling(text in ".{0,40}", local in locals(), nth in 1_usize..9) {
            let with_domain = format!("{}@{text}.example", quoted(&local, nth));
            for text in [text.clone(), format!("{text}@{text}"), with_domain] {
                let Some(address) = Address::parse(&text) else { continue };
                prop_assert_eq!(Address::parse(address.as_str()), Some(address.clone()));
                prop_assert_eq!(Address::stored(address.as_str()), Some(address.clone()));
                let key = Address::parse(&address.key()).map(|a| a.key());
                prop_assert_eq!(key, Some(address.key()));
            }
        }

        #[test]
        fn quotes_that_are_not_needed_go(local in plain_locals(), nth in 1_usize..9) {
            let plain = Address::parse(&format!("{local}@x.example"));
            prop_assert!(plain.is_some());
            let in_quotes = Address::parse(&format!("{}@x.example", quoted(&local, nth)));
            prop_assert_eq!(in_quotes, plain);
        }

        #[test]
        fn quotes_merge_with_the_plain_spelling_or_stay(local in locals(), nth in 1_usize..9) {
            let in_quotes = Address::parse(&format!("{}@x.example", quoted(&local, nth)));
            if let Some(address) = in_quotes.filter(|a| !a.local().starts_with('"')) {
                prop_assert_eq!(address.local(), &local);
                prop_assert_eq!(Address::parse(&format!("{local}@x.example")), Some(address));
            }
        }

        #[test]
        fn a_domain_is_one_in_every_spelling(
            letters in proptest::collection::vec((0..LETTERS.len(), any::<bool>()), 1..9),
            dot in "[.\u{3002}\u{ff0e}\u{ff61}]",
        ) {
            let spell = |other: &dyn Fn(bool) -> bool| -> String {
                let of = |(n, o): &(usize, bool)| {
                    if other(*o) { LETTERS[*n].1 } else { LETTERS[*n].0 }
                };
                letters.iter().map(of).collect()
            };
            let one = Address::parse(&format!("u@{}.example", spell(&|_| false)));
            prop_assert!(one.is_some());
            for domain in [spell(&|_| true), spell(&|other| other)] {
                prop_assert_eq!(&Address::parse(&format!("u@{domain}{dot}example")), &one);
            }
            let label = one.as_ref().map(Address::key).unwrap_or_default();
            prop_assert_eq!(Address::parse(&label).map(|a| a.key()), Some(label));
        }
    }
}
