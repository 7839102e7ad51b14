//! Writing a checkpoint, row by row in key order.

use std::io;
use std::sync::Arc;

use super::block;
use super::format::{DIR, Footer, HEAD, MAGIC, PIECE, Section, name};
use crate::ledger::filter::Filter;
use crate::ledger::journal::disk::{Disk, DiskFile};

/// A checkpoint being written.
pub struct CheckpointWriter {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    position: u64,
    /// Rows of the block at hand, and its first key.
    rows: Vec<u8>,
    first: Vec<u8>,
    /// What is not written yet, and where it will be.
    gathered: Vec<u8>,
    at: u64,
    index: Vec<u8>,
    filter: Filter,
    count: u64,
    finished: bool,
}

impl CheckpointWriter {
    /// Begins a checkpoint of the rows as of `position`, about so many.
    pub fn create(disk: Arc<dyn Disk>, position: u64, rows: u64) -> io::Result<Self> {
        disk.make_dir(DIR)?;
        let mut file = disk.open(&name(position, "part"), true)?;
        if file.length()? > 0 {
            file.truncate(0)?;
        }
        let gathered = [&MAGIC[..], &position.to_le_bytes()[..]].concat();
        Ok(Self {
            disk,
            file,
            position,
            rows: Vec::with_capacity(2 * block::BLOCK),
            first: Vec::new(),
            gathered,
            at: HEAD,
            index: Vec::new(),
            filter: Filter::new(rows),
            count: 0,
            finished: false,
        })
    }

    /// Adds one row; its key must be after the one before.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if self.rows.is_empty() {
            self.first.clear();
            self.first.extend_from_slice(key);
        }
        if !block::push(&mut self.rows, key, value) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "row too long"));
        }
        self.filter.insert(key);
        self.count += 1;
        if self.rows.len() >= block::BLOCK { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> io::Result<()> {
        let packed = block::pack(&self.rows);
        self.rows.clear();
        self.index.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        self.index.extend_from_slice(&(self.first.len() as u16).to_le_bytes());
        self.index.extend_from_slice(&self.first);
        self.write(&packed)
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.at += octets.len() as u64;
        self.gathered.extend_from_slice(octets);
        if self.gathered.len() >= PIECE {
            self.file.append(&self.gathered)?;
            self.gathered.clear();
        }
        Ok(())
    }

    fn section<P: AsRef<[u8]>>(
        &mut self,
        pieces: impl IntoIterator<Item = P>,
    ) -> io::Result<Section> {
        let (at, mut crc) = (self.at, 0);
        for piece in pieces {
            crc = crc32c::crc32c_append(crc, piece.as_ref());
            self.write(piece.as_ref())?;
        }
        Ok(Section { at, length: self.at - at, crc })
    }

    /// Makes it durable under its final name.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.rows.is_empty() {
            self.end_block()?;
        }
        let (index, filter) = (std::mem::take(&mut self.index), std::mem::take(&mut self.filter));
        let index = self.section(index.chunks(PIECE))?;
        let filter = self.section(filter.pieces(PIECE))?;
        let footer = Footer { position: self.position, rows: self.count, index, filter };
        self.write(&footer.encode())?;
        if !self.gathered.is_empty() {
            self.file.append(&self.gathered)?;
        }
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
