//! What is in the file of a checkpoint beside its blocks: magic, footer, and where to find the rest.

use std::io;

use crate::ledger::journal::disk::{self, DiskFile};

pub(super) const DIR: &str = "checkpoint";
pub(super) const MAGIC: &[u8; 8] = b"BNCCKPT2";
/// What releases before 0.2 wrote.
pub(super) const OLD_MAGIC: &[u8; 8] = b"BNCCKPT1";
/// What all of them begin with.
pub(super) const ANY_MAGIC: &[u8] = b"BNCCKPT";
/// Octets of index and filter that are read or written at once.
pub(super) const PIECE: usize = 256 * 1024;
/// Magic and position.
pub(super) const HEAD: u64 = 16;

pub(super) fn name(position: u64, suffix: &str) -> String {
    format!("{DIR}/{position:020}.{suffix}")
}

/// A part of the file beside the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) at: u64,
    pub(super) length: u64,
    pub(super) crc: u32,
}

/// The last octets of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) position: u64,
    pub(super) rows: u64,
    pub(super) index: Section,
    pub(super) filter: Section,
}

impl Footer {
    /// Eight numbers and their CRC.
    pub(super) const LENGTH: usize = 8 * 8 + 4;

    pub(super) fn encode(&self) -> Vec<u8> {
        let section = |s: Section| [s.at, s.length, u64::from(s.crc)];
        let numbers = [[self.position, self.rows].as_slice(), &section(self.index)].concat();
        let numbers = [numbers.as_slice(), &section(self.filter)].concat();
        let mut octets: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        octets.extend_from_slice(&crc32c::crc32c(&octets).to_le_bytes());
        octets
    }

    pub(super) fn decode(octets: &[u8]) -> Option<Self> {
        let (numbers, crc) = octets.split_last_chunk::<4>()?;
        let (words, _) = numbers.as_chunks::<8>();
        let [position, rows, at, length, index, filter_at, filter_length, filter] = words else {
            return None;
        };
        let number = |octets: &[u8; 8]| u64::from_le_bytes(*octets);
        let section = |at, length, crc| {
            Some(Section {
                at: number(at),
                length: number(length),
                crc: u32::try_from(number(crc)).ok()?,
            })
        };
        let footer = Self {
            position: number(position),
            rows: number(rows),
            index: section(at, length, index)?,
            filter: section(filter_at, filter_length, filter)?,
        };
        (u32::from_le_bytes(*crc) == crc32c::crc32c(numbers)).then_some(footer)
    }
}

/// Reads so many octets; that the file ends before is damage.
pub(super) fn read_exactly(file: &dyn DiskFile, into: &mut [u8], at: u64) -> io::Result<()> {
    match disk::read_exactly(file, into, at)? {
        true => Ok(()),
        false => Err(damaged("it is cut")),
    }
}

pub(super) fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the checkpoint is damaged: {what}"))
}
