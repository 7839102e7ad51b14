//! What is remembered of one address: its row, the items of evidence in it, and the keys of rows.
//!
//! One row holds everything about an address, in all scopes: one read answers a lookup, one read
//! and one write take an event in, and forgetting a person is one removal. Rows are compact JSON
//! and bounded: at most [`MAX_ITEMS`] items of bounded fields, well under 64 KiB.
//!
//! | key | holds |
//! |---|---|
//! | `a/com.example/user` | address with evidence (domain reversed: a domain is one prefix) |
//! | `l/com.example/user` | proof of life of an address without evidence |
//! | `x/<hash>` | block on an erased address, by hash only |
//! | `p/...` | policies in force, by version |
//! | `g/...` | guards; `h/...` health; `m/...` counters |

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::classify::Reason;
use crate::event::{Event, Imported};
use crate::mail::{Case, Timestamp, words};
use crate::report::Attribution;

words! {
    /// What an item of evidence is.
    ItemKind {
        /// A recipient failed.
        Failure = "failure",
        /// Somebody, or something, answered at that address.
        Life = "life",
        /// The sending MTA handed a mail over.
        Sent = "sent",
        /// The recipient complained.
        Complaint = "complaint",
        /// The opposite of a complaint.
        NotSpam = "not-spam",
        /// The recipient unsubscribed.
        Unsubscribe = "unsubscribe",
        /// A person suppressed.
        Suppress = "suppress",
        /// A person released.
        Release = "release",
    }
}

/// Row of a fact about the data; of a part of a name: what the keys of all such begin with.
pub fn fact_key(name: &str) -> Vec<u8> {
    [b"m/fact/", name.as_bytes()].concat()
}

/// Rule name of acts by hand in a history, and by which `undo` finds them.
pub const BY_HAND: &str = "by-hand";

/// Items that a row keeps; above it, those that change nothing go first.
pub const MAX_ITEMS: usize = 48;
/// What a row shrinks to when it has to.
pub(crate) const KEPT_ITEMS: usize = 32;
/// Longest text in an item, in octets.
pub(crate) const MAX_TEXT: usize = 200;

/// Longest name of a rule, in octets.
pub(crate) const MAX_RULE: usize = 64;

/// One item of evidence, or one act by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Position of its record in the journal.
    #[serde(rename = "n")]
    pub seq: u64,
    /// When that record was accepted, in milliseconds since 1970.
    #[serde(rename = "t")]
    pub at_ms: i64,
    /// What it is.
    #[serde(rename = "k")]
    pub kind: ItemKind,
    /// Version of the policy that was in force.
    #[serde(rename = "v", default, skip_serializing_if = "is_zero")]
    pub policy: u32,
    /// How sure it is that this is about this address.
    #[serde(rename = "a")]
    pub level: Attribution,
    /// Scope it came in; of acts the scope they are for.
    #[serde(rename = "s")]
    pub scope: String,
    /// Why a recipient failed.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The rule that said so.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Enhanced status code, else reply code, as text.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whose guard watches it: provider, else domain.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// Which mail of ours it is about, when known.
    #[serde(rename = "m", default, skip_serializing_if = "is_zero64")]
    pub message: u64,
    /// Which signed token it came to.
    #[serde(rename = "o", default, skip_serializing_if = "is_zero64")]
    pub token: u64,
    /// Client that delivered the report.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The reason is inferred, not said: a hard one waits for another on a later day.
    #[serde(rename = "i", default, skip_serializing_if = "std::ops::Not::not")]
    pub inferred: bool,
    /// Words of the person who acted; or the address that failed, when it is not the mailed one.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// End that a person gave, in milliseconds since 1970.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// What the list said that a person imported it from.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Box<Imported>>,
    /// Position of the act that took it back.
    #[serde(rename = "x", default, skip_serializing_if = "is_zero64")]
    pub undone: u64,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}
fn is_zero64(n: &u64) -> bool {
    *n == 0
}

impl Item {
    /// An item of a record that says what it is, and nothing more.
    pub(crate) fn of(event: &Event, kind: ItemKind, level: Attribution) -> Self {
        Self {
            seq: event.seq,
            at_ms: event.received_at.millis(),
            kind,
            policy: 0,
            level,
            scope: String::new(),
            reason: None,
            rule: None,
            code: None,
            guard: None,
            message: 0,
            token: 0,
            peer: event.peer.clone(),
            inferred: false,
            words: None,
            until_ms: None,
            imported: None,
            undone: 0,
        }
    }

    /// When its record was accepted.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.at_ms)
    }

    /// Cuts texts that a peer or a person chose to their bound.
    pub(crate) fn bound(mut self) -> Self {
        if let Some(rule) = self.imported.as_mut().and_then(|imported| imported.rule.as_mut()) {
            cut(rule, MAX_RULE);
        }
        for text in
            [&mut self.rule, &mut self.code, &mut self.guard, &mut self.peer, &mut self.words]
                .into_iter()
                .flatten()
        {
            cut(text, MAX_TEXT);
        }
        self
    }
}

/// Cuts a text to so many octets at a character's edge.
pub(crate) fn cut(text: &mut String, octets: usize) {
    if text.len() > octets {
        let edge = (0..=octets).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(edge);
    }
}

/// Everything remembered of one address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AddressRow {
    /// Evidence and acts in the order of the journal.
    #[serde(rename = "i")]
    pub items: Vec<Item>,
    /// Items that had to go.
    #[serde(rename = "d", default, skip_serializing_if = "is_zero64")]
    pub dropped: u64,
    /// State under which the address is counted (`m/states`); `standing::State` as its
    /// place in that enum.
    #[serde(rename = "q", default)]
    pub(crate) counted: u8,
}

impl AddressRow {
    /// Reads a row; None when it is none of ours.
    pub fn decode(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    /// The row as octets.
    pub fn encode(&self) -> Vec<u8> {
        // Serialising such plain data into memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Puts an item at its place in the order of the journal.
    pub(crate) fn insert(&mut self, item: Item) {
        let place = self.items.partition_point(|other| other.seq <= item.seq);
        self.items.insert(place, item.bound());
    }

    /// Scopes that its items speak of, besides `*`; each once, in order.
    pub fn scopes(&self) -> Vec<&str> {
        let mut scopes: Vec<&str> =
            self.items.iter().map(|i| i.scope.as_str()).filter(|s| *s != "*").collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }
}

/// What the keys of rows of addresses with evidence begin with.
pub(crate) const ADDRESSES: &[u8] = b"a/";
/// What those of addresses with proof of life alone begin with.
pub(crate) const LIFE: &[u8] = b"l/";

/// Key of the row of an address (key form).
pub fn address_key(address: &str) -> Vec<u8> {
    keyed(ADDRESSES, address)
}

/// Puts the key of the row of an address together in `into`, without an allocation; None when that
/// takes more than lower case: whoever asks then must read the address first.
pub(crate) fn plain_key<'a>(address: &str, case: Case, into: &'a mut [u8]) -> Option<&'a [u8]> {
    let (local, domain) = address.split_once('@')?;
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"._+-=".contains(&octet);
    let is_label = |label: &str| {
        label.as_bytes().first().is_some_and(|octet| octet.is_ascii_alphanumeric())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    if local.is_empty() || !local.bytes().all(is_plain) || !domain.split('.').all(is_label) {
        return None;
    }
    let mut length = 0;
    let mut push = |octets: &[u8], lower: bool| {
        let place = into.get_mut(length..length + octets.len())?;
        place.copy_from_slice(octets);
        if lower {
            place.make_ascii_lowercase();
        }
        length += octets.len();
        Some(())
    };
    push(ADDRESSES, false)?;
    for (place, label) in domain.rsplit('.').enumerate() {
        if place > 0 {
            push(b".", false)?;
        }
        push(label.as_bytes(), true)?;
    }
    push(b"/", false)?;
    push(local.as_bytes(), case == Case::Fold)?;
    into.get(..length)
}

/// Key of the proof of life of an address without evidence.
pub(crate) fn life_key(address: &str) -> Vec<u8> {
    keyed(LIFE, address)
}

/// Key of the block on an erased address, by its keyed hash.
pub fn block_key(hash: &str) -> Vec<u8> {
    [b"x/", hash.as_bytes()].concat()
}

/// Prefix of the rows of all addresses, or of those at one domain (without its subdomains).
pub fn prefix(domain: Option<&str>) -> Vec<u8> {
    let mut key = ADDRESSES.to_vec();
    if let Some(domain) = domain {
        push_reversed(&mut key, &domain.to_lowercase());
        key.push(b'/');
    }
    key
}

fn keyed(prefix: &[u8], address: &str) -> Vec<u8> {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let mut key = Vec::with_capacity(prefix.len() + address.len());
    key.extend_from_slice(prefix);
    push_reversed(&mut key, domain);
    key.push(b'/');
    key.extend_from_slice(local.as_bytes());
    key
}

fn push_reversed(key: &mut Vec<u8>, domain: &str) {
    // An address literal has no labels.
    if domain.starts_with('[') {
        key.extend_from_slice(domain.as_bytes());
        return;
    }
    for (i, label) in domain.rsplit('.').enumerate() {
        if i > 0 {
            key.push(b'.');
        }
        key.extend_from_slice(label.as_bytes());
    }
}

/// The address that a key of an address row is about.
pub fn address_of(key: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(key).ok()?;
    let text = text.strip_prefix("a/").or_else(|| text.strip_prefix("l/"))?;
    let (domain, local) = text.split_once('/')?;
    let mut reversed = Vec::new();
    push_reversed(&mut reversed, domain);
    Some(format!("{local}@{}", String::from_utf8(reversed).ok()?))
}

/// A hash of texts that is the same on every machine and in every release; never 0.
pub(crate) fn hash(parts: &[&str]) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    digest.iter().take(8).fold(0u64, |n, byte| n << 8 | u64::from(*byte)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_domain_and_read_back() {
        for (address, key) in [
            ("user@example.com", "a/com.example/user"),
            ("a/b@sub.example.com", "a/com.example.sub/a/b"),
            ("x@y@example.com", "a/com.example/x@y"),
            ("user@[192.0.2.1]", "a/[192.0.2.1]/user"),
        ] {
            assert_eq!(String::from_utf8(address_key(address)).as_deref(), Ok(key));
            assert_eq!(address_of(key.as_bytes()).as_deref(), Some(address));
        }
        assert!(address_key("user@example.com").starts_with(&prefix(Some("Example.com"))));
        assert!(!address_key("user@sub.example.com").starts_with(&prefix(Some("example.com"))));
        assert_eq!(address_of(b"p/now"), None);
    }

    #[test]
    fn a_plain_key_is_the_key_that_the_address_has() {
        let mut buffer = [0; 64];
        let plain = ["a@b", "User.Name+x=y@Mail.EXAMPLE.com", "u1@d-1.example", "1@2.3"];
        let other = [
            "",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "a@b.",
            "a@.b",
            "a@b..c",
            "a@-b",
            "a b@c",
            "<a@b>",
            " a@b",
            "a@b ",
            "\"a\"@b",
            "a@[192.0.2.1]",
            "\u{e4}@b",
            "a@\u{e4}.b",
            "a\0@b",
            "a@b_c",
            "@r:a@b",
            "a-local-part-that-is-longer-than-the-buffer-has-room-for@example.com",
        ];
        for case in [Case::Fold, Case::Keep] {
            for address in plain.into_iter().chain(other) {
                let found = plain_key(address, case, &mut buffer);
                let wanted =
                    crate::mail::Address::parse(address).map(|a| address_key(&a.key_in(case)));
                match found {
                    Some(found) => assert_eq!(Some(found), wanted.as_deref(), "{address}"),
                    None => assert!(other.contains(&address), "{address}"),
                }
            }
        }
    }

    #[test]
    fn the_worst_row_stays_far_below_its_bound() {
        let long = "\u{1}".repeat(5_000);
        let item = Item {
            seq: u64::MAX,
            at_ms: i64::MIN,
            kind: ItemKind::Unsubscribe,
            policy: u32::MAX,
            level: Attribution::MessageId,
            scope: "s".repeat(crate::event::MAX_SCOPE_OCTETS),
            reason: Some(Reason::ProviderSuppressed),
            rule: Some(long.clone()),
            code: Some(long.clone()),
            guard: Some("g".repeat(5_000)),
            message: u64::MAX,
            token: u64::MAX,
            peer: Some("p".repeat(5_000)),
            inferred: true,
            words: Some("w".repeat(5_000)),
            until_ms: Some(i64::MIN),
            imported: Some(Box::new(Imported {
                cause: Some(crate::event::Cause::Failure(Reason::ProviderSuppressed)),
                since: Some(Timestamp::from_millis(1)),
                rule: Some("r".repeat(5_000)),
                events: Some(u64::MAX),
            })),
            undone: u64::MAX,
        };
        let mut row = AddressRow::default();
        for _ in 0..=MAX_ITEMS {
            row.insert(item.clone());
        }
        // Control characters cost six octets each in JSON; real texts have none.
        assert!(row.encode().len() < 200_000);
        let plain = Item { rule: Some("r".repeat(5_000)), code: None, ..item };
        let mut row = AddressRow::default();
        for _ in 0..=MAX_ITEMS {
            row.insert(plain.clone());
        }
        assert!(row.encode().len() < 64 * 1024, "{}", row.encode().len());
        assert_eq!(AddressRow::decode(&row.encode()), Some(row));
    }

    #[test]
    fn texts_are_cut_at_a_character() {
        let mut text = "ä".repeat(10);
        cut(&mut text, 5);
        assert_eq!(text, "ää");
    }
}
