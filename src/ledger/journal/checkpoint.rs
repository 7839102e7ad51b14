//! Checkpoints: all rows as of one position, streamed into one file. Checkpoint plus the journal
//! after it is the truth (docs/policy.md, "The journal").
//!
//! Written to `<position>.part`, synced, renamed to `<position>.checkpoint`, directory synced: a
//! file of that name is complete. Layout: magic and position, then blocks of length (u32), CRC32C
//! (u32) and rows (u32 key length, u32 value length, key, value), then a block of length 0 with the
//! CRC of the row count (u64) that follows it. All numbers are little-endian.

use std::io;
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use crate::ledger::Row;

const DIR: &str = "checkpoint";
const MAGIC: &[u8; 8] = b"BNCCKPT1";
/// Rows are gathered up to this many octets before they are written.
const BLOCK: usize = 256 * 1024;
/// A longer block is damage: one row more than [`BLOCK`] at most.
const MAX_BLOCK: usize = BLOCK + (1 << 20);

fn name(position: u64, suffix: &str) -> String {
    format!("{DIR}/{position:020}.{suffix}")
}

/// Positions of the finished checkpoints, newest first.
pub fn checkpoints(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let mut positions: Vec<u64> = Vec::new();
    for name in disk.list(DIR)? {
        let digits = name.strip_suffix(".checkpoint").unwrap_or_default();
        if let (20, Ok(position)) = (digits.len(), digits.parse()) {
            positions.push(position);
        }
    }
    positions.sort_unstable_by(|a, b| b.cmp(a));
    Ok(positions)
}

/// Removes unfinished checkpoints of an earlier run.
pub fn sweep(disk: &dyn Disk) -> io::Result<()> {
    for name in disk.list(DIR)? {
        if name.ends_with(".part") {
            disk.remove(&format!("{DIR}/{name}"))?;
        }
    }
    Ok(())
}

/// Keeps the newest `count` checkpoints; gives the positions of those kept, newest first.
pub fn keep_newest(disk: &dyn Disk, count: usize) -> io::Result<Vec<u64>> {
    let mut positions = checkpoints(disk)?;
    let old = positions.split_off(count.min(positions.len()));
    for position in &old {
        disk.remove(&name(*position, "checkpoint"))?;
    }
    if !old.is_empty() {
        disk.sync_dir(DIR)?;
    }
    Ok(positions)
}

/// A checkpoint being written.
pub struct CheckpointWriter {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    position: u64,
    block: Vec<u8>,
    rows: u64,
    finished: bool,
}

impl CheckpointWriter {
    /// Begins a checkpoint of the rows as of `position`.
    pub fn create(disk: Arc<dyn Disk>, position: u64) -> io::Result<Self> {
        disk.make_dir(DIR)?;
        let mut file = disk.open(&name(position, "part"), true)?;
        if file.length()? > 0 {
            file.truncate(0)?;
        }
        let block = Vec::with_capacity(BLOCK);
        let mut writer = Self { disk, file, position, block, rows: 0, finished: false };
        writer.file.append(&[&MAGIC[..], &position.to_le_bytes()[..]].concat())?;
        Ok(writer)
    }

    /// Adds one row.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "row too long");
        let lengths = [key.len(), value.len()].map(u32::try_from);
        for length in lengths {
            self.block.extend_from_slice(&length.map_err(too_long)?.to_le_bytes());
        }
        self.block.extend_from_slice(key);
        self.block.extend_from_slice(value);
        self.rows += 1;
        if self.block.len() >= BLOCK { self.write_block() } else { Ok(()) }
    }

    fn write_block(&mut self) -> io::Result<()> {
        if self.block.len() > MAX_BLOCK {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "row too long"));
        }
        let head = block_head(self.block.len() as u32, crc32c::crc32c(&self.block));
        self.file.append(&[&head[..], &self.block[..]].concat())?;
        self.block.clear();
        Ok(())
    }

    /// Makes it durable under its final name.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.block.is_empty() {
            self.write_block()?;
        }
        let rows = self.rows.to_le_bytes();
        let head = block_head(0, crc32c::crc32c(&rows));
        self.file.append(&[&head[..], &rows[..]].concat())?;
        self.file.sync()?;
        self.disk.rename(&name(self.position, "part"), &name(self.position, "checkpoint"))?;
        self.finished = true;
        self.disk.sync_dir(DIR)
    }
}

impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Left there it would only cost space until the next start.
            let _ = self.disk.remove(&name(self.position, "part"));
        }
    }
}

fn block_head(length: u32, crc: u32) -> [u8; 8] {
    let mut head = [0; 8];
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// A checkpoint being read. Only when [`Checkpoint::next_rows`] said `None` it was whole.
pub struct Checkpoint {
    file: Box<dyn DiskFile>,
    at: u64,
    rows: u64,
    done: bool,
}

impl Checkpoint {
    /// Opens the checkpoint of a position.
    pub fn open(disk: &dyn Disk, position: u64) -> io::Result<Self> {
        let file = disk.open(&name(position, "checkpoint"), false)?;
        let mut checkpoint = Self { file, at: 0, rows: 0, done: false };
        let head = checkpoint.take(16)?;
        if head.get(..8) != Some(&MAGIC[..]) || head.get(8..) != Some(&position.to_le_bytes()[..]) {
            return Err(damaged("its head is wrong"));
        }
        Ok(checkpoint)
    }

    /// The next rows; `None` at the end of a checkpoint that is whole, an error when it is not.
    pub fn next_rows(&mut self) -> io::Result<Option<Vec<Row>>> {
        if self.done {
            return Ok(None);
        }
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
            self.done = true;
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
        let mut got = 0;
        while got < length {
            let n = self.file.read_at(&mut octets[got..], self.at + got as u64)?;
            if n == 0 {
                return Err(damaged("it is cut"));
            }
            got += n;
        }
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

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the checkpoint is damaged: {what}"))
}
