//! Changes of rows on their way from a commit into sled.

use sled::IVec;

use super::rows::{MAX_KEY, MAX_VALUE};
use crate::ledger::LedgerError;

/// Changes of rows; None removes one.
pub(super) type Changes = Vec<(IVec, Option<IVec>)>;

/// Rows that one commit changed, and the position of its last event.
pub(super) struct PendingRows {
    pub(super) seq: u64,
    /// Its place in the order of all commits.
    pub(super) place: u64,
    pub(super) changes: Changes,
}

impl PendingRows {
    /// Rows that one commit changed, and the position of its last event.
    pub(super) fn new(seq: u64, changes: Changes) -> Self {
        Self { seq, place: 0, changes }
    }

    /// What it costs to hold it, about.
    pub(super) fn octets(&self) -> usize {
        let row = |(key, value): &(IVec, Option<IVec>)| {
            200 + key.len() + value.as_ref().map_or(0, |value| value.len())
        };
        self.changes.iter().map(row).sum()
    }
}

/// A row as sled wants it; a too long one is refused.
pub(super) fn change(
    key: Vec<u8>,
    value: Option<Vec<u8>>,
) -> Result<(IVec, Option<IVec>), LedgerError> {
    let length = value.as_ref().map_or(0, Vec::len);
    if length > MAX_VALUE || key.len() > MAX_KEY + 16 {
        return Err(LedgerError::Retryable(format!(
            "a row with a key of {} and a value of {length} octets is over the limit of {MAX_VALUE}: \
             the fold must keep rows small",
            key.len()
        )));
    }
    Ok((IVec::from(key), value.map(IVec::from)))
}
