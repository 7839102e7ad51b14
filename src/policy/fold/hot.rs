//! Rows of addresses that were folded of late, decoded: bounces of one address come in bunches, and a row
//! with much evidence takes longer to read than to judge.
//!
//! A row is here with the octets that were written of it, and is only used when those are what the
//! ledger has: so a batch that was given up, an erasure or a rebuild need not be told.

use std::collections::HashMap;

use crate::policy::judge::row::AddressRow;

/// Rows with fewer items are read as fast as they are looked for here.
const WORTH: usize = 4;
/// So many rows are kept; then it begins anew.
const MOST: usize = 256;

/// Decoded rows by key.
#[derive(Debug, Default)]
pub(crate) struct HotRows {
    rows: HashMap<Vec<u8>, (Vec<u8>, AddressRow)>,
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
}
