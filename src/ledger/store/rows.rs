//! The form of rows in the view: key spaces, the CRC in each value, the meta row with its checksum
//! over all rows, and the merging of unapplied rows over applied ones.

use super::space;
use crate::ledger::{LedgerError, Row};
use crate::mail::Timestamp;

/// A value with its CRC must stay far below 64 KiB: longer ones go to sled's `blobs/`, which is
/// never synced (docs/reliability.md, "Faults of packages").
pub(super) const MAX_VALUE: usize = 60 * 1024;

/// Longest key of a fold, in octets.
pub(super) const MAX_KEY: usize = 1024;

/// How long a message delivered again is recognised (docs/policy.md, "The journal").
const DUPLICATE_WINDOW_MS: i64 = 7 * 86_400_000;

/// A key in a space.
pub(super) fn key_in(space: u8, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 1);
    full.push(space);
    full.extend_from_slice(key);
    full
}

/// Keys up to this length are put together without an allocation.
const SHORT_KEY: usize = 384;

/// Gives a key in a space to `ask`.
pub(super) fn with_key_in<T>(space: u8, key: &[u8], ask: impl FnOnce(&[u8]) -> T) -> T {
    let mut full = [space; SHORT_KEY];
    match full.get_mut(1..=key.len()) {
        Some(place) => {
            place.copy_from_slice(key);
            ask(full.get(..=key.len()).unwrap_or_default())
        }
        None => ask(&key_in(space, key)),
    }
}

/// Key of the history row of an event; None for an address that cannot be told from others.
pub(super) fn history_key(address: &str, seq: u64) -> Option<Vec<u8>> {
    if address.is_empty() || address.len() > MAX_KEY || address.contains('\0') {
        return None;
    }
    let mut key = history_prefix(address);
    key.extend_from_slice(&seq.to_be_bytes());
    Some(key)
}

/// What the history keys of an address begin with.
pub(super) fn history_prefix(address: &str) -> Vec<u8> {
    let mut key = key_in(space::HISTORY, address.as_bytes());
    key.push(0);
    key
}

/// The position that a history key ends in.
pub(super) fn history_seq(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|octets| u64::from_be_bytes(*octets))
}

/// Key of a digest. Hex is kept as the octets that it means, all of them: a digest cut short
/// could call a new message a repeated one.
pub(super) fn digest_key(digest: &str) -> Vec<u8> {
    let text = digest.get(..MAX_KEY).unwrap_or(digest).as_bytes();
    match data_encoding::HEXLOWER_PERMISSIVE.decode(text) {
        Ok(octets) => [&[space::DIGEST, b'x'], &octets[..]].concat(),
        Err(_) => [&[space::DIGEST, b't'], text].concat(),
    }
}

/// Value of a digest row: which event had it, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredDigest {
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    pub(super) id: String,
}

impl StoredDigest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(16 + self.id.len());
        value.extend_from_slice(&self.seq.to_be_bytes());
        value.extend_from_slice(&self.at.millis().to_be_bytes());
        value.extend_from_slice(self.id.as_bytes());
        value
    }

    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let (seq, rest) = value.split_first_chunk::<8>()?;
        let (at, id) = rest.split_first_chunk::<8>()?;
        Some(Self {
            seq: u64::from_be_bytes(*seq),
            at: Timestamp::from_millis(i64::from_be_bytes(*at)),
            id: String::from_utf8(id.to_vec()).ok()?,
        })
    }

    /// An event at `now` with the same digest is the same message. Clocks may go back a little.
    pub(super) fn covers(&self, now: Timestamp) -> bool {
        now.millis().saturating_sub(self.at.millis()) <= DUPLICATE_WINDOW_MS
    }
}

/// Engine rows that nobody will ask for again: digests out of their window, history of events that
/// are no longer in the journal.
pub(super) fn is_dead(key: &[u8], value: &[u8], now: Timestamp, first_seq: u64) -> bool {
    match key.first() {
        Some(&space::DIGEST) => !StoredDigest::decode(value).is_some_and(|seen| seen.covers(now)),
        Some(&space::HISTORY) => history_seq(key).is_none_or(|seq| seq < first_seq),
        _ => false,
    }
}

/// A change as sled has it: the CRC of key and the rest, whether the row is there, its value.
pub(super) fn seal(key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(value.map_or(0, <[u8]>::len) + 5);
    sealed.extend_from_slice(&[0; 4]);
    sealed.push(u8::from(value.is_some()));
    sealed.extend_from_slice(value.unwrap_or_default());
    let (crc, rest) = sealed.split_at_mut(4);
    let sum = crc32c::crc32c_append(crc32c::crc32c(key), rest);
    crc.copy_from_slice(&sum.to_be_bytes());
    sealed
}

/// What sled says of a row: its value, or that it is gone; None when the CRC is wrong.
pub(super) fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (crc, rest) = sealed.split_first_chunk::<4>()?;
    let want = crc32c::crc32c_append(crc32c::crc32c(key), rest);
    match rest.split_first().filter(|_| u32::from_be_bytes(*crc) == want)? {
        (1, value) => Some(Some(value)),
        (0, []) => Some(None),
        _ => None,
    }
}

/// Share of one row in the checksum over all rows, which is the sum of the shares: so it does not
/// depend on an order and follows each change. Finds rows that sled lost in silence (3 of 30
/// flipped octets, docs/reliability.md, "Faults of packages").
pub(super) fn share(key: &[u8], sealed: &[u8]) -> u64 {
    let crc = sealed.first_chunk::<4>().map_or(0, |octets| u32::from_be_bytes(*octets));
    // The finalizer of SplitMix64 spreads the two CRCs over all bits.
    let mut z = u64::from(crc32c::crc32c(key)) << 32 | u64::from(crc);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What the view says about itself, changed in the same batch as the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Meta {
    /// The rows are the fold of the journal up to here.
    pub(super) position: u64,
    /// Position of the checkpoint that the changes in sled are about; 0: of nothing.
    pub(super) base: u64,
    /// Number of changes in sled.
    pub(super) count: u64,
    /// Sum of the [`share`]s of all of them.
    pub(super) sum: u64,
    /// The name of the journal ([`JournalReader::name`](crate::ledger::journal::JournalReader::name))
    /// whose fold it is; 0: not known, as in views that were made before they had it.
    pub(super) journal: u64,
}

/// Layout of the view; another one is built anew. The one before had no name of a journal.
const VERSION: u64 = 3;
const UNNAMED: u64 = 2;

impl Meta {
    pub(super) const KEY: [u8; 1] = [space::META];

    pub(super) fn encode(self) -> Vec<u8> {
        let numbers = [VERSION, self.position, self.base, self.count, self.sum, self.journal];
        numbers.map(u64::to_be_bytes).concat()
    }

    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let (words, []) = value.as_chunks::<8>() else { return None };
        let numbers: Vec<u64> = words.iter().map(|octets| u64::from_be_bytes(*octets)).collect();
        let (position, base, count, sum, journal) = match numbers[..] {
            [VERSION, position, base, count, sum, journal] => (position, base, count, sum, journal),
            [UNNAMED, position, base, count, sum] => (position, base, count, sum, 0),
            _ => return None,
        };
        Some(Self { position, base, count, sum, journal })
    }

    /// A view without changes over a checkpoint.
    pub(super) fn of(base: u64) -> Self {
        Self { position: base, base, ..Self::default() }
    }

    /// One row comes.
    pub(super) fn add(&mut self, key: &[u8], sealed: &[u8]) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(share(key, sealed));
    }

    /// One row goes.
    pub(super) fn take(&mut self, key: &[u8], sealed: &[u8]) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(share(key, sealed));
    }
}

/// Gives rows greater than a key, at most so many.
pub(super) type LowerRows<'a> = &'a dyn Fn(&[u8], usize) -> Result<Vec<Row>, LedgerError>;

/// Rows of `lower` (asked for chunk by chunk: greater than a key, at most so many) with the changes
/// of `upper` on top, in key order. `upper` must begin after `after`, too.
pub(super) fn layered<'a>(
    upper: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    lower: LowerRows<'_>,
    after: &[u8],
    limit: usize,
) -> Result<Vec<Row>, LedgerError> {
    let mut upper = upper.peekable();
    let mut rows: Vec<Row> = Vec::new();
    let mut after = after.to_vec();
    while rows.len() < limit {
        let chunk = lower(&after, limit)?;
        let end = chunk.len() < limit;
        for (key, value) in chunk {
            while let Some((changed, new)) = upper.next_if(|(changed, _)| *changed < &key[..]) {
                rows.extend(new.map(|new| (changed.to_vec(), new.to_vec())));
            }
            after.clone_from(&key);
            match upper.next_if(|(changed, _)| *changed == &key[..]) {
                Some((_, new)) => rows.extend(new.map(|new| (key, new.to_vec()))),
                None => rows.push((key, value)),
            }
            if rows.len() >= limit {
                break;
            }
        }
        if end && rows.len() < limit {
            let changed = upper.filter_map(|(key, new)| Some((key.to_vec(), new?.to_vec())));
            rows.extend(changed.take(limit - rows.len()));
            break;
        }
    }
    rows.truncate(limit);
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn digests_of_one_message_meet_and_others_do_not() {
        let hex = "00112233445566778899aabbccddeeff0123";
        assert_eq!(digest_key(hex).len(), 20);
        assert_eq!(digest_key(hex), digest_key(&hex.to_uppercase()));
        assert_ne!(digest_key(&format!("{:040x}", 1)), digest_key(&format!("{:040x}", 2)));
        // Not hex, an odd number of digits: kept as text.
        for text in ["00112233445566778899aabbccddeeffx", "abc", "ä"] {
            assert_eq!(digest_key(text), [b"dt", text.as_bytes()].concat(), "{text}");
        }
    }

    #[test]
    fn the_window_is_seven_days() {
        let at = Timestamp::from_millis(1_000_000_000_000);
        let seen = StoredDigest { seq: 9, at, id: "abc".to_string() };
        assert_eq!(StoredDigest::decode(&seen.encode()), Some(seen.clone()));
        let value = seen.encode();
        for (millis, covers) in
            [(0, true), (-5, true), (7 * 86_400_000, true), (604_800_001, false)]
        {
            assert_eq!(seen.covers(at.plus_millis(millis)), covers, "{millis}");
            assert_eq!(is_dead(b"dx", &value, at.plus_millis(millis), 1), !covers, "{millis}");
        }
        let history = history_key("user@example.com", 9).expect("an address");
        assert!(!is_dead(&history, b"", at, 9) && is_dead(&history, b"", at, 10));
        assert_eq!(history_key("a\0b@example.com", 1), None);
    }

    #[test]
    fn the_checksum_follows_rows_in_any_order() {
        let rows: Vec<_> = (0..50u8).map(|n| (vec![n], seal(&[n], Some(&[n, n])))).collect();
        let mut forth = Meta::default();
        let mut back = Meta::default();
        rows.iter().for_each(|(key, sealed)| forth.add(key, sealed));
        rows.iter().rev().for_each(|(key, sealed)| back.add(key, sealed));
        assert_eq!(forth, back);
        let other = seal(&[7], Some(b"other"));
        back.take(&[7], &rows[7].1);
        assert_ne!(forth, back);
        back.add(&[7], &other);
        assert_ne!(forth.sum, back.sum);
        assert_eq!(Meta::decode(&forth.encode()), Some(forth));
        assert_eq!(Meta::decode(&forth.encode()[1..]), None);
        assert_eq!(unseal(&[7], &other), Some(Some(&b"other"[..])));
        assert_eq!(unseal(&[7], &seal(&[7], None)), Some(None));
        // The right octets under another key are wrong.
        assert_eq!(unseal(&[8], &other), None);
    }

    #[test]
    fn layers_merge_like_one_map() {
        let mut seed = 42u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for round in 0..300 {
            let mut lower: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            let mut upper: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
            for _ in 0..random(20) {
                lower.insert(vec![random(24) as u8], vec![1]);
            }
            for _ in 0..random(20) {
                upper.insert(vec![random(24) as u8], (random(2) == 0).then(|| vec![2]));
            }
            let mut whole = lower.clone();
            for (key, value) in &upper {
                match value {
                    Some(value) => whole.insert(key.clone(), value.clone()),
                    None => whole.remove(key),
                };
            }
            let (after, limit) = (vec![random(24) as u8], 1 + random(8) as usize);
            let above = || (std::ops::Bound::Excluded(after.clone()), std::ops::Bound::Unbounded);
            let ask = |after: &[u8], limit: usize| {
                let rows = lower.iter().filter(|(key, _)| key[..] > *after).take(limit);
                Ok(rows.map(|(key, value)| (key.clone(), value.clone())).collect())
            };
            let changed = upper.range(above()).map(|(k, v)| (&k[..], v.as_deref()));
            let got = layered(changed, &ask, &after, limit).expect("in memory");
            let want: Vec<Row> =
                whole.range(above()).take(limit).map(|(k, v)| (k.clone(), v.clone())).collect();
            assert_eq!(got, want, "round {round}");
        }
    }
}
