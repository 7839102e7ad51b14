//! What is left of a forgotten person (docs/policy.md, "Privacy"): a keyed hash, under which the
//! block is kept, and a mark that takes the place of the address wherever it was written.
//!
//! The hash is HMAC-SHA256, so people who have the data without the key cannot try addresses. It is
//! made above the fold and handed to it in the event: the fold knows no key, and a replay needs
//! none. The mark is an address itself, at the same domain, so that a record that was rewritten is
//! read, and folded, exactly like the one that it was: guards and health count by domain, and
//! forgetting one person must not change the state of another one. What the estimate of addresses
//! seen had from it (16 bits) is in the mark for the same reason.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::judge::row::{AddressRow, MAX_TEXT, cut};
use super::share::share_of;
use crate::mail::{Address, Case};

/// Octets of a hash that are kept: 128 bits.
const HASH_OCTETS: usize = 16;
/// What replaces `@` where an address is part of another one or of a URL.
const SIGNS: [&str; 8] = ["@", "=", "==a==", "==", "%", "+40", "%40", "=40"];

/// What the local part of a mark begins with.
const MARK: &str = "erased-";

/// The share in the estimate of addresses seen that a mark carries; None: it is not a mark.
pub(crate) fn share_in(address: &str) -> Option<u16> {
    let (local, _) = address.rsplit_once('@')?;
    let (hash, share) = local.strip_prefix(MARK)?.rsplit_once('-')?;
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    (share.len() == 4 && hex(hash)).then(|| u16::from_str_radix(share, 16).ok())?
}

/// The keys that addresses are hashed with: the first makes new hashes, all are looked under.
#[derive(Clone, Default)]
pub struct HashKeys {
    keys: Vec<Hmac<Sha256>>,
}

impl std::fmt::Debug for HashKeys {
    /// A log line or a panic text must not carry a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashKeys").field("keys", &self.keys.len()).finish()
    }
}

impl HashKeys {
    /// Takes secrets of any length, in the order in which they are asked.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let hmac = |secret| Hmac::new_from_slice(secret).expect("HMAC takes any length");
        Self { keys: secrets.into_iter().map(hmac).collect() }
    }

    /// There is none: no block is found.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What each key is known by; tells nothing of it.
    pub fn fingerprints(&self) -> Vec<String> {
        let fingerprint = |key: &Hmac<Sha256>| {
            let mut hmac = key.clone();
            hmac.update(b"bounced key fingerprint\0");
            let octets = hmac.finalize().into_bytes();
            data_encoding::HEXLOWER.encode(octets.get(..8).unwrap_or(&octets))
        };
        self.keys.iter().map(fingerprint).collect()
    }

    /// The hashes of an address (key form), that of the first key first.
    pub fn hashes(&self, address: &str) -> Vec<String> {
        let hash = |key: &Hmac<Sha256>| {
            let mut hmac = key.clone();
            hmac.update(b"bounced erased address\0");
            hmac.update(address.as_bytes());
            let octets = hmac.finalize().into_bytes();
            data_encoding::HEXLOWER.encode(octets.get(..HASH_OCTETS).unwrap_or(&octets))
        };
        self.keys.iter().map(hash).collect()
    }
}

/// An address that is to be found nowhere any more.
#[derive(Debug, Clone)]
pub struct Forgotten {
    /// What is looked for, lower case: the address itself in its spellings, then those that may
    /// as well be a part of another person's.
    plain: Vec<String>,
    inside: Vec<String>,
    /// Key form of the address, and in which case.
    address: String,
    case: Case,
    /// What is written instead.
    mark: String,
}

impl Forgotten {
    /// The address (key form) and its hash.
    pub fn new(address: &str, hash: &str, case: Case) -> Self {
        let domain = address.rsplit_once('@').map_or("erased.invalid", |(_, domain)| domain);
        let share = share_of(address);
        Self::instead(address, format!("{MARK}{hash}-{share:04x}@{domain}"), case)
    }

    /// The address (key form) and what is written instead.
    pub fn instead(address: &str, mark: String, case: Case) -> Self {
        let lower = address.to_lowercase();
        let (local, domain) = lower.rsplit_once('@').unwrap_or((&lower, ""));
        let mut domains = vec![domain.to_string()];
        let (unicode, _) = idna::domain_to_unicode(domain);
        if unicode != domain {
            domains.push(unicode);
        }
        let spelled = |signs: &[&str]| {
            let mut forms = Vec::new();
            for domain in &domains {
                forms.extend(signs.iter().map(|sign| format!("{local}{sign}{domain}")));
            }
            forms
        };
        let (at, others) = SIGNS.split_at(1);
        let (mut plain, inside) = (spelled(at), spelled(others));
        // Reports quote what needs no quotes.
        plain.extend(domains.iter().map(|domain| format!("\"{local}\"@{domain}")));
        Self { plain, inside, address: address.to_string(), case, mark }
    }

    /// Whether this replaces an address that was erased.
    pub fn is_mark(address: &str) -> bool {
        address.starts_with(MARK)
    }

    /// What replaces the address.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Whether this is the address, however it is written.
    pub fn is(&self, address: &str) -> bool {
        Address::parse(address).is_some_and(|found| found.key_in(self.case) == self.address)
    }

    /// Whether this is the address of another person, who differs in case alone. A field of theirs
    /// stays, for the fold reads it again; in texts any case is blotted out, for they do not tell.
    fn is_neighbour(&self, text: &str) -> bool {
        self.case == Case::Keep
            && Address::parse(text).is_some_and(|found| {
                found.key() == self.address.to_lowercase()
                    && found.key_in(self.case) != self.address
            })
    }

    /// Whether a text may hold the address; quick, and never a no when it does.
    pub fn may_be_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.plain.iter().chain(&self.inside).any(|form| text.contains(form.as_str()))
    }

    /// The text with the mark in the place of the address; None when it is not there as
    /// a whole. `user@example.com` is not part of `other-user@example.com`.
    pub fn blot(&self, text: &str) -> Option<String> {
        if !self.may_be_in(text) {
            // A field that is the address in a spelling of its own: an escaped letter.
            return self.is(text).then(|| self.mark.clone());
        }
        if self.is_neighbour(text) {
            return None;
        }
        let lower = Lower::of(text);
        let (mut out, mut done, mut at) = (String::new(), 0, 0);
        while at < lower.text.len() {
            match self.whole_at(&lower, at) {
                Some(length) => {
                    let (from, to) = (lower.origin(at), lower.origin(at + length));
                    out.push_str(text.get(done..from)?);
                    out.push_str(&self.mark);
                    done = to;
                    at += length;
                }
                None => at += 1,
            }
        }
        (done > 0).then(|| out + text.get(done..).unwrap_or_default())
    }

    /// A row of the fold without the address in what was written down about others: the report on a
    /// forwarded mail names it, or a person who acted did. None when it does not name it.
    pub fn row(&self, value: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(value).ok()?;
        // In JSON the quotes of a local part are escaped.
        if !text.contains("\"w\":") || !(self.may_be_in(text) || text.contains("\\\"@")) {
            return None;
        }
        let mut row = AddressRow::decode(value)?;
        let mut changed = false;
        for words in row.items.iter_mut().filter_map(|item| item.words.as_mut()) {
            if let Some(blotted) = self.blot(words) {
                *words = blotted;
                cut(words, MAX_TEXT);
                changed = true;
            }
        }
        changed.then(|| row.encode())
    }

    /// Length of a spelling that begins at a place of the lower-cased text and ends a word there.
    fn whole_at(&self, lower: &Lower, at: usize) -> Option<usize> {
        let rest = lower.text.get(at..)?;
        let before = lower.text.get(..at)?.chars().next_back();
        let forms = self.plain.iter().chain(&self.inside);
        let form = forms.filter(|form| rest.starts_with(form.as_str())).max_by_key(|f| f.len())?;
        let inside = |c: char| c.is_alphanumeric() || "!#$&'*+-./?^_`{|}~%".contains(c);
        let mut after = rest.get(form.len()..)?.chars();
        let longer = match after.next() {
            Some('.') => after.next().is_some_and(|c| c.is_alphanumeric()),
            Some(c) => c.is_alphanumeric() || c == '-' || c == '_',
            None => false,
        };
        (!longer && !before.is_some_and(inside)).then_some(form.len())
    }
}

/// A text in lower case, and where each octet of it came from.
struct Lower {
    text: String,
    origins: Vec<usize>,
}

impl Lower {
    fn of(text: &str) -> Self {
        let (mut lower, mut origins) = (String::with_capacity(text.len()), Vec::new());
        for (at, c) in text.char_indices() {
            lower.extend(c.to_lowercase());
            origins.resize(lower.len(), at);
        }
        origins.push(text.len());
        Self { text: lower, origins }
    }

    fn origin(&self, at: usize) -> usize {
        self.origins.get(at).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_key_and_address_and_shows_neither() {
        let keys = HashKeys::new([&b"one"[..], &b"two"[..]]);
        let hashes = keys.hashes("user@example.com");
        assert_eq!(hashes.len(), 2);
        assert_ne!(hashes.first(), hashes.get(1));
        assert_ne!(hashes, keys.hashes("user2@example.com"));
        // By an independent implementation: printf 'bounced erased address\0user@example.com' |
        // openssl dgst -sha256 -hmac one
        assert_eq!(hashes.first().map(String::as_str), Some("9fd47f942071afa55521419270069729"));
        assert!(HashKeys::default().hashes("user@example.com").is_empty());
        assert_eq!(format!("{keys:?}"), "HashKeys { keys: 2 }");
    }

    #[test]
    fn an_address_is_blotted_out_in_every_spelling_and_only_as_a_whole() {
        let forgotten = Forgotten::new("user@example.com", "0f", Case::Fold);
        for (text, expected) in [
            ("user@example.com", Some("MARK")),
            ("550 <User@EXAMPLE.com>: unknown", Some("550 <MARK>: unknown")),
            ("rfc822;user@example.com, to=user@example.com.", Some("rfc822;MARK, to=MARK.")),
            ("a user=example.com b", Some("a MARK b")),
            ("x?r=user%40example.com&y", Some("x?r=MARK&y")),
            ("550 <\"User\"@example.com> unknown", Some("550 <MARK> unknown")),
            ("\"us\\er\"@example.com", Some("MARK")),
            ("other-user@example.com", None),
            ("user@example.com.au", None),
            ("user@example.community", None),
            ("x.user@example.com", None),
            ("user", None),
            ("", None),
        ] {
            let expected = expected.map(|text| text.replace("MARK", forgotten.mark()));
            assert_eq!(forgotten.blot(text), expected, "{text}");
        }
        assert!(forgotten.is("<User@Example.com>") && !forgotten.is("user2@example.com"));
    }

    #[test]
    fn with_case_kept_a_neighbour_keeps_its_fields_and_texts_tell_no_case() {
        let forgotten = Forgotten::new("User@example.com", "0f", Case::Keep);
        for (text, expected) in [
            ("User@Example.com", Some("MARK")),
            ("<User@example.com>", Some("<MARK>")),
            ("user@example.com", None),
            ("<USER@example.com>", None),
            ("550 <user@example.com>: unknown", Some("550 <MARK>: unknown")),
            ("x?r=user%40example.com&y", Some("x?r=MARK&y")),
        ] {
            let expected = expected.map(|text| text.replace("MARK", forgotten.mark()));
            assert_eq!(forgotten.blot(text), expected, "{text}");
        }
        assert!(forgotten.is("User@EXAMPLE.com") && !forgotten.is("user@example.com"));
        // One whose letters are small has neighbours, too.
        let small = Forgotten::new("user@example.com", "0f", Case::Keep);
        assert!(small.blot("User@example.com").is_none() && !small.is("User@example.com"));
    }

    #[test]
    fn letters_that_change_their_length_keep_the_rest_in_place() {
        let forgotten = Forgotten::new("grå@xn--exmple-cua.se", "0f", Case::Fold);
        assert_eq!(
            forgotten.blot("İ: GRÅ@exämple.se, grå@xn--exmple-cua.se ß").as_deref(),
            Some(format!("İ: {0}, {0} ß", forgotten.mark()).as_str())
        );
    }
}
