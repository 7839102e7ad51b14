//! Mail addresses as envelopes and reports carry them.
//!
//! Promises: the domain is lower-cased, there are no angle brackets, and whatever is inside can be
//! written into JSON and logs (no control characters). Deliberately lenient otherwise: real bounces
//! name `a..b@example.com` and local parts over 64 octets
//! (docs/reliability.md, "Faults of packages").

use std::borrow::Cow;

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
    /// (`@relay:user@host`, RFC 5321 appendix C) and a trailing dot of the domain are dropped.
    pub fn parse(text: &str) -> Option<Self> {
        let mut text = text.trim();
        if let Some(inner) = text.strip_prefix('<') {
            text = inner.strip_suffix('>').unwrap_or(inner);
        }
        if text.starts_with('@') {
            text = text.split_once(':')?.1;
        }
        let at = text.rfind('@')?;
        let (local, domain) = (text.get(..at)?, text.get(at + 1..)?);
        let domain = domain.trim_end_matches('.');
        if text.len() > MAX_OCTETS || !is_local_part(local) || !is_domain(domain) {
            return None;
        }
        Some(Self([local, "@", &domain.to_lowercase()].concat()))
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What comes before the last `@`.
    pub fn local(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(local, _)| local)
    }

    /// The local part as it is meant, lower case: without quotes, what escapes, comments and a tag.
    pub fn plain_local(&self) -> String {
        plain_local(self.local())
    }

    /// What comes after the last `@`, lower case.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
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

/// A domain: letters, digits, hyphens, dots and non-ASCII letters; or an address literal.
fn is_domain(domain: &str) -> bool {
    if let Some(literal) = domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')) {
        return !literal.is_empty()
            && literal
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'-'));
    }
    !domain.is_empty()
        && domain.len() <= 255
        && !domain.starts_with(['.', '-'])
        && !domain.as_bytes().windows(2).any(|two| two == b"..")
        && domain.chars().all(|c| {
            c.is_ascii_alphanumeric()
                || matches!(c, '.' | '-' | '_')
                || (!c.is_ascii() && c.is_alphanumeric())
        })
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
    fn key_folds_case_and_idna() {
        assert_eq!(
            Address::parse("User@Exämple.SE").map(|a| a.key()).as_deref(),
            Some("user@xn--exmple-cua.se")
        );
    }
}
