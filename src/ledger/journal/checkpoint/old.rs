//! Checkpoints as releases before 0.2 wrote them: read once, and written anew.
//!
//! Layout: magic and position, then blocks of length (u32), CRC32C (u32) and rows (u32 key length,
//! u32 value length, key, value), then a block of length 0 with the CRC of the row count (u64) that
//! follows it.

use std::io;
use std::sync::Arc;

use super::format::{HEAD, damaged, name, read_exactly};
use super::write::CheckpointWriter;
use crate::ledger::Row;
use crate::ledger::journal::disk::{Disk, DiskFile};

/// A longer block is damage.
const MAX_BLOCK: usize = (256 << 10) + (1 << 20);

/// Writes one anew in its place.
pub(super) fn renew(disk: &Arc<dyn Disk>, position: u64) -> io::Result<()> {
    let file = disk.open(&name(position, "checkpoint"), false)?;
    // A row has 100 octets, about.
    let mut writer = CheckpointWriter::create(Arc::clone(disk), position, file.length()? / 100)?;
    let mut old = Old { file, at: HEAD, rows: 0 };
    while let Some(rows) = old.next_rows()? {
        for (key, value) in rows {
            writer.push(&key, &value)?;
        }
    }
    writer.finish()
}

struct Old {
    file: Box<dyn DiskFile>,
    at: u64,
    rows: u64,
}

impl Old {
    /// The next rows; `None` at the end of one that is whole, an error when it is not.
    fn next_rows(&mut self) -> io::Result<Option<Vec<Row>>> {
        let (length, crc) = (self.take_u32()? as usize, self.take_u32()?);
        if length > MAX_BLOCK {
            return Err(damaged("a block is too long"));
        }
        let octets = self.take(if length == 0 { 8 } else { length })?;
        if crc32c::crc32c(&octets) != crc {
            return Err(damaged("the CRC of a block is wrong"));
        }
        if length == 0 {
            if octets != self.rows.to_le_bytes() || self.file.length()? != self.at {
                return Err(damaged("rows are missing"));
            }
            return Ok(None);
        }
        let rows = split_rows(&octets).ok_or_else(|| damaged("a row is cut"))?;
        self.rows += rows.len() as u64;
        Ok(Some(rows))
    }

    fn take_u32(&mut self) -> io::Result<u32> {
        let octets = self.take(4)?;
        Ok(octets.iter().rev().fold(0, |n, octet| n << 8 | u32::from(*octet)))
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut octets = vec![0; length];
        read_exactly(self.file.as_ref(), &mut octets, self.at)?;
        self.at += length as u64;
        Ok(octets)
    }
}

fn split_rows(mut octets: &[u8]) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    while !octets.is_empty() {
        let (head, rest) = octets.split_at_checked(8)?;
        let (key, value) = head.split_at(4);
        let length = |four: &[u8]| four.iter().rev().fold(0, |n, o| n << 8 | usize::from(*o));
        let (key, rest) = rest.split_at_checked(length(key))?;
        let (value, rest) = rest.split_at_checked(length(value))?;
        rows.push((key.to_vec(), value.to_vec()));
        octets = rest;
    }
    Some(rows)
}
