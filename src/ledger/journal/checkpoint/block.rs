//! The rows in a block of a checkpoint, in key order. A row is key length (u16), value length (u16), key,
//! value; the numbers are little-endian.

use std::io;

use super::format::damaged;
use crate::ledger::journal::block;
pub(super) use block::{HEAD, pack};

/// Octets of rows after which a block ends: one is read and unpacked to answer one question.
pub(super) const BLOCK: usize = 4096;

/// Longer rows in a block are damage: one row more than [`BLOCK`] at most.
const MAX_BLOCK: usize = BLOCK + 4 + 2 * u16::MAX as usize;

/// A block as it is in the file, and its rows: kept from one block to the next.
#[derive(Default)]
pub(super) struct BlockBuffer {
    pub(super) packed: Vec<u8>,
    pub(super) rows: Vec<u8>,
}

/// Adds one row; false when it is too long.
#[must_use]
pub(super) fn push(rows: &mut Vec<u8>, key: &[u8], value: &[u8]) -> bool {
    let (Ok(key_length), Ok(value_length)) = (u16::try_from(key.len()), u16::try_from(value.len()))
    else {
        return false;
    };
    rows.extend_from_slice(&key_length.to_le_bytes());
    rows.extend_from_slice(&value_length.to_le_bytes());
    rows.extend_from_slice(key);
    rows.extend_from_slice(value);
    true
}

/// The rows of a block as it is in the file.
pub(super) fn unpack(block: &[u8], rows: &mut Vec<u8>) -> io::Result<()> {
    block::unpack(block, MAX_BLOCK, rows).map_err(damaged)
}

/// Key and value of the row at the beginning, and what comes after it; None at the end, and when
/// it is cut.
pub(super) fn first(rows: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key, rest) = rows.split_first_chunk::<2>()?;
    let (value, rest) = rest.split_first_chunk::<2>()?;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key)))?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*value)))?;
    Some((key, value, rest))
}

/// The value of the row with a key.
pub(super) fn value_of(mut rows: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    while let Some((found, value, rest)) = first(rows) {
        if found >= key {
            return (found == key).then(|| value.to_vec());
        }
        rows = rest;
    }
    None
}
