//! Rows that were folded of late, decoded. Bounces of one address come in bunches, and a row with much
//! evidence takes longer to read than to judge; what a provider usually has is asked for at each failure
//! of one that has many of them, and changes once an hour.
//!
//! A row is here with the octets that were written of it, and is only used when those are what the
//! ledger has: so a batch that was given up, an erasure or a rebuild need not be told.

use std::collections::HashMap;

use super::rate::Learned;
use crate::policy::judge::row::AddressRow;

/// Rows with fewer items are read as fast as they are looked for here.
const WORTH: usize = 4;
/// So many rows are kept; then it begins anew.
const MOST: usize = 256;
/// So many providers are kept, of some 4 KB each; then it begins anew.
const MOST_LEARNED: usize = 64;

/// Decoded rows by key.
#[derive(Debug, Default)]
pub(crate) struct HotRows {
    rows: HashMap<Vec<u8>, (Vec<u8>, AddressRow)>,
    learned: HashMap<Vec<u8>, (Vec<u8>, Learned)>,
}

impl HotRows {
    /// The row that the ledger has these octets of.
    pub(crate) fn take(&mut self, key: &[u8], octets: &[u8]) -> Option<AddressRow> {
        match self.rows.remove(key) {
            Some((known, row)) if known == octets => Some(row),
            _ => AddressRow::decode(octets),
        }
    }

    /// Keeps a row with what was written of it.
    pub(crate) fn keep(&mut self, key: &[u8], octets: &[u8], row: AddressRow) {
        if row.items.len() < WORTH {
            return;
        }
        if self.rows.len() >= MOST {
            self.rows.clear();
        }
        self.rows.insert(key.to_vec(), (octets.to_vec(), row));
    }

    /// Asks what a provider usually has, of which the ledger has these octets; in `bucket` it is new
    /// when there are none that can be read.
    pub(crate) fn with_learned<T>(
        &mut self,
        key: &[u8],
        octets: Option<&[u8]>,
        bucket: i64,
        ask: impl FnOnce(&Learned) -> T,
    ) -> T {
        if let Some((known, learned)) = self.learned.get(key)
            && Some(known.as_slice()) == octets
        {
            return ask(learned);
        }
        let read = octets.and_then(|octets| Some((octets, Learned::read(octets)?)));
        let Some((octets, learned)) = read else { return ask(&Learned::new(bucket)) };
        let answer = ask(&learned);
        if self.learned.len() >= MOST_LEARNED {
            self.learned.clear();
        }
        self.learned.insert(key.to_vec(), (octets.to_vec(), learned));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_what_the_ledger_has() {
        let mut hot = HotRows::default();
        let (old, new) = (Learned::new(600), Learned::new(1_200));
        let mut since = |octets: Option<&[u8]>, bucket| {
            hot.with_learned(b"g/e/google", octets, bucket, |learned| learned.since)
        };
        let (old, new) = (old.encode(), new.encode());
        // Read, known, changed, changed back as by a batch that was given up.
        for (octets, is) in [(&old, 600), (&old, 600), (&new, 1_200), (&old, 600)] {
            assert_eq!(since(Some(octets), 7), is);
        }
        // What is not there, or cannot be read, is new each time.
        for octets in [None, Some(&b"torn"[..])] {
            for bucket in [8, 9] {
                assert_eq!(since(octets, bucket), bucket);
            }
        }
        assert_eq!(since(Some(&old), 7), 600);
    }
}
