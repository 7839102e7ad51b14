//! Rows in memory: what a fold works on when nothing of it is to be kept, such as a what-if over
//! the journal. Holds everything; about 500 octets an address.
//!
//! It does not know the journal: the caller of the fold says with a [`Lookback`] where earlier
//! events are.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{LedgerError, Row, Rows};
use crate::event::Event;

/// Values are shorter than this in every engine.
const MAX_VALUE: usize = 64 * 1024;

/// Where earlier events are found.
pub trait Lookback {
    /// The event at a position; None when it is gone.
    fn event(&self, seq: u64) -> Result<Option<Event>, LedgerError>;
}

/// Events from position 1 on.
impl Lookback for Vec<Event> {
    fn event(&self, seq: u64) -> Result<Option<Event>, LedgerError> {
        Ok(seq.checked_sub(1).and_then(|place| self.get(usize::try_from(place).ok()?)).cloned())
    }
}

/// Nothing to look back at.
impl Lookback for () {
    fn event(&self, _: u64) -> Result<Option<Event>, LedgerError> {
        Ok(None)
    }
}

impl<L: Lookback + ?Sized> Lookback for &L {
    fn event(&self, seq: u64) -> Result<Option<Event>, LedgerError> {
        (**self).event(seq)
    }
}

/// Rows in a map, and the journal that they come from.
#[derive(Debug, Clone, Default)]
pub struct MemoryRows<L> {
    /// The rows.
    pub rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Earlier events.
    pub journal: L,
}

impl<L: Lookback> MemoryRows<L> {
    /// No rows yet.
    pub fn over(journal: L) -> Self {
        Self { rows: BTreeMap::new(), journal }
    }
}

impl<L: Lookback> Rows for MemoryRows<L> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.rows.get(key).cloned())
    }

    fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        match value {
            Some(value) => {
                debug_assert!(value.len() < MAX_VALUE, "{} octets", value.len());
                self.rows.insert(key, value);
            }
            None => {
                self.rows.remove(&key);
            }
        }
    }

    fn scan(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Vec<Row>, LedgerError> {
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let rows = self.rows.range::<[u8], _>((from, Bound::Unbounded));
        let rows = rows.take_while(|(key, _)| key.starts_with(prefix)).take(limit);
        Ok(rows.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn event(&self, seq: u64) -> Result<Option<Event>, LedgerError> {
        self.journal.event(seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_begins_behind_a_key_and_ends_with_the_prefix() {
        let mut rows = MemoryRows::over(());
        for key in ["a/1", "a/2", "a/3", "b/1"] {
            rows.put(key.into(), Some(key.into()));
        }
        rows.put("a/3".into(), None);
        for (after, limit, found) in [
            ("", 9, &["a/1", "a/2"][..]),
            ("a/1", 9, &["a/2"]),
            ("a/", 1, &["a/1"]),
            ("a/2", 9, &[]),
        ] {
            let scanned = rows.scan(b"a/", after.as_bytes(), limit).expect("memory");
            let keys: Vec<_> = scanned.iter().map(|(key, _)| key.as_slice()).collect();
            let found: Vec<_> = found.iter().map(|key| key.as_bytes()).collect();
            assert_eq!(keys, found, "{after}");
        }
    }
}
