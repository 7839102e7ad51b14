//! Checkpoints: all rows as of one position, in one file that is read in place. Checkpoint
//! plus the journal after it is the truth (docs/policy.md, "The journal").
//!
//! Written to `<position>.part`, synced, renamed to `<position>.checkpoint`, directory synced: a
//! file of that name is complete, and is never changed. Layout: magic and position; blocks of rows in key
//! order (`block.rs`); the index, which says where each block ends and its first key; the filter
//! (`ledger/filter.rs`); a footer with the number of rows and the places and CRCs of index and filter.
//!
//! Opening reads footer, index and filter, about 4 octets a row. Every block has a CRC that is checked
//! whenever it is read, so damage is an error ([`io::ErrorKind::InvalidData`]), never a missing row.

mod block;
mod format;
mod old;
mod recent;
mod transfer;
mod write;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use super::aside;
use super::disk::{Disk, DiskFile};
use crate::ledger::filter::Filter;
use crate::ledger::{LedgerError, Row};
use block::BlockBuffer;
use format::{
    ANY_MAGIC, DIR, Footer, HEAD, MAGIC, OLD_MAGIC, PIECE, Section, damaged, name, read_exactly,
};
use recent::{Recent, RecentBlocks};
pub use transfer::{CheckpointCopy, CheckpointFile};
pub use write::CheckpointWriter;

thread_local! {
    /// The block of the question at hand.
    static BUFFER: RefCell<BlockBuffer> = RefCell::default();
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

/// Sets aside what has the name of a checkpoint and neither its beginning nor its end: by its name it
/// might be the newest, and nothing would be written until the list has come so far. Gives the names
/// of these files as they were.
pub fn set_strange_aside(disk: &dyn Disk) -> io::Result<Vec<String>> {
    let mut strange = Vec::new();
    for position in checkpoints(disk)? {
        let file = name(position, "checkpoint");
        // An error says nothing about the file: who opens it will see.
        if !has_head_and_footer(disk, position).unwrap_or(true) {
            aside::set_aside(disk, DIR, &file);
            strange.push(file);
        }
    }
    Ok(strange)
}

fn has_head_and_footer(disk: &dyn Disk, position: u64) -> io::Result<bool> {
    let name = name(position, "checkpoint");
    if disk.is_file(&name)? != Some(true) {
        return Ok(false);
    }
    let file = disk.open(&name, false)?;
    let read = magic_of(file.as_ref(), position).and_then(|magic| match magic == *OLD_MAGIC {
        // The old ones end otherwise.
        true => Ok(()),
        false => footer_of(file.as_ref(), position).map(drop),
    });
    match read {
        Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(error),
        read => Ok(read.is_ok()),
    }
}

/// The magic in the head of a checkpoint of this position.
fn magic_of(file: &dyn DiskFile, position: u64) -> io::Result<[u8; MAGIC.len()]> {
    let mut head = [0; HEAD as usize];
    read_exactly(file, &mut head, 0)?;
    match head.split_first_chunk() {
        Some((magic, at)) if at == position.to_le_bytes() => Ok(*magic),
        _ => Err(damaged("its head is wrong")),
    }
}

/// The footer of a checkpoint of this position.
fn footer_of(file: &dyn DiskFile, position: u64) -> io::Result<Footer> {
    let mut footer = [0; Footer::LENGTH];
    let at = file.length()?.checked_sub(Footer::LENGTH as u64);
    read_exactly(file, &mut footer, at.ok_or_else(|| damaged("it is cut"))?)?;
    let footer = Footer::decode(&footer).filter(|footer| footer.position == position);
    footer.ok_or_else(|| damaged("its end is wrong"))
}

/// Keeps the newest `count` checkpoints of those through a position; gives the positions of those kept,
/// newest first. What lies beyond is none of this list.
pub fn keep_newest(disk: &dyn Disk, through: u64, count: usize) -> io::Result<Vec<u64>> {
    let mut positions = checkpoints(disk)?;
    positions.retain(|position| *position <= through);
    let old = positions.split_off(count.min(positions.len()));
    for position in &old {
        disk.remove(&name(*position, "checkpoint"))?;
    }
    if !old.is_empty() {
        disk.sync_dir(DIR)?;
    }
    Ok(positions)
}

/// Removes one checkpoint.
pub fn drop_checkpoint(disk: &dyn Disk, position: u64) -> io::Result<()> {
    disk.remove(&name(position, "checkpoint"))?;
    disk.sync_dir(DIR)
}

/// A checkpoint of a release to come must not be called damaged and replaced.
pub fn refuse_newer(disk: &dyn Disk, position: u64) -> Result<(), LedgerError> {
    let mut magic = [0; MAGIC.len()];
    let file = disk.open(&name(position, "checkpoint"), false);
    let read = file.and_then(|file| read_exactly(file.as_ref(), &mut magic, 0));
    if read.is_err() || !magic.starts_with(ANY_MAGIC) || magic <= *MAGIC {
        return Ok(());
    }
    Err(LedgerError::Fatal(format!(
        "{} was written by a newer release of bounced: run that one, or restore data_dir from a \
         backup of before the upgrade",
        name(position, "checkpoint")
    )))
}

/// Where the blocks are, and their first keys.
#[derive(Default)]
struct Index {
    /// As it is in the file: length of the block (u32), length of its first key (u16), that key.
    octets: Vec<u8>,
    /// Where in `octets` what is said of a block begins, and where in the file the block does.
    said: Vec<u32>,
    at: Vec<u64>,
    /// Where the last block ends.
    end: u64,
}

impl Index {
    fn decode(octets: Vec<u8>) -> Option<Self> {
        let mut count = 0;
        let mut rest = &octets[..];
        while !rest.is_empty() {
            rest = Self::entry(rest)?.2;
            count += 1;
        }
        let (mut said, mut at) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut rest, mut end) = (&octets[..], HEAD);
        while !rest.is_empty() {
            said.push(u32::try_from(octets.len() - rest.len()).ok()?);
            at.push(end);
            let (length, _, after) = Self::entry(rest)?;
            end += u64::from(length);
            rest = after;
        }
        Some(Self { octets, said, at, end })
    }

    /// Length and first key of the block that is told of first, and the rest.
    fn entry(octets: &[u8]) -> Option<(u32, &[u8], &[u8])> {
        let (length, rest) = octets.split_first_chunk::<4>()?;
        let (key, rest) = rest.split_first_chunk::<2>()?;
        let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key)))?;
        Some((u32::from_le_bytes(*length), key, rest))
    }

    fn len(&self) -> usize {
        self.at.len()
    }

    fn first_key(&self, block: usize) -> &[u8] {
        let said = self.said.get(block).and_then(|at| self.octets.get(*at as usize..));
        said.and_then(Self::entry).map_or(&[], |(_, key, _)| key)
    }

    /// Place and length of a block in the file.
    fn place(&self, block: usize) -> Option<(u64, usize)> {
        let from = *self.at.get(block)?;
        let to = self.at.get(block + 1).copied().unwrap_or(self.end);
        Some((from, usize::try_from(to - from).ok()?))
    }

    /// The block that a key is in, when it is there at all.
    fn block_of(&self, key: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.first_key(middle) <= key { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1)
    }
}

/// A checkpoint that is asked.
pub struct Checkpoint {
    file: Box<dyn DiskFile>,
    length: u64,
    footer: Footer,
    index: Index,
    filter: Filter,
    recent: RecentBlocks,
}

impl Checkpoint {
    /// Opens the checkpoint of a position; one of a release before is written anew first.
    pub fn open(disk: &Arc<dyn Disk>, position: u64) -> io::Result<Self> {
        let mut file = disk.open(&name(position, "checkpoint"), false)?;
        let magic = magic_of(file.as_ref(), position)?;
        if magic == *OLD_MAGIC {
            tracing::info!(position, "the checkpoint of an older release is written anew");
            old::renew(disk, position)?;
            file = disk.open(&name(position, "checkpoint"), false)?;
        } else if magic != *MAGIC {
            return Err(damaged("its head is wrong"));
        }
        Self::read(file, position)
    }

    fn read(file: Box<dyn DiskFile>, position: u64) -> io::Result<Self> {
        let length = file.length()?;
        let footer = footer_of(file.as_ref(), position)?;
        let wrong = || damaged("its index or filter is wrong");
        // Piece by piece: of a long list they are many megabytes, and a copy of each would stay with
        // the allocator.
        let mut index = Vec::new();
        read_pieces(file.as_ref(), length, footer.index, &mut |octets, all| {
            index.reserve_exact(all - index.len());
            index.extend_from_slice(octets);
        })?;
        let index = Index::decode(index).ok_or_else(wrong)?;
        let mut filter = Filter::of_octets(footer.filter.length.min(length)).ok_or_else(wrong)?;
        read_pieces(file.as_ref(), length, footer.filter, &mut |octets, _| filter.add(octets))?;
        Ok(Self { file, length, footer, index, filter, recent: RecentBlocks::default() })
    }

    /// The position that it is of.
    pub fn position(&self) -> u64 {
        self.footer.position
    }

    /// Rows in it.
    pub fn rows(&self) -> u64 {
        self.footer.rows
    }

    /// Octets of the file.
    pub fn octets(&self) -> u64 {
        self.length
    }

    /// The value of one row.
    pub fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        if !self.filter.may_have(key) {
            return Ok(None);
        }
        let Some(block) = self.index.block_of(key) else { return Ok(None) };
        let again = match self.recent.get(block) {
            Recent::Kept(rows) => return Ok(block::value_of(&rows, key)),
            Recent::AskedBefore => true,
            Recent::New => false,
        };
        // Most questions are about a block that nobody asked for of late: a buffer for each thread
        // spares them two allocations of its size.
        BUFFER.with_borrow_mut(|buffer| {
            self.block(block, buffer)?;
            if again {
                self.recent.keep(block, Arc::from(&buffer.rows[..]));
            }
            Ok(block::value_of(&buffer.rows, key))
        })
    }

    /// False: it has no such row, for certain.
    pub fn may_have(&self, key: &[u8]) -> bool {
        self.filter.may_have(key)
    }

    /// Reads one block.
    fn block(&self, block: usize, into: &mut BlockBuffer) -> io::Result<()> {
        into.rows.clear();
        let Some((at, length)) = self.index.place(block) else { return Ok(()) };
        if length < block::HEAD || at + length as u64 > self.length {
            return Err(damaged("its index is wrong"));
        }
        into.packed.resize(length, 0);
        read_exactly(self.file.as_ref(), &mut into.packed, at)?;
        block::unpack(&into.packed, &mut into.rows)
    }

    /// The rows from a key on.
    pub fn rows_from(&self, key: &[u8]) -> io::Result<RowCursor<'_>> {
        let next = self.index.block_of(key).unwrap_or(0);
        let mut cursor =
            RowCursor { checkpoint: self, next, buffer: BlockBuffer::default(), at: 0 };
        while cursor.row()?.is_some_and(|(found, _)| found < key) {
            cursor.advance();
        }
        Ok(cursor)
    }

    /// Rows with a prefix after a key and up to another, at most so many.
    pub fn scan(
        &self,
        prefix: &[u8],
        after: &[u8],
        through: Option<&[u8]>,
        limit: usize,
    ) -> io::Result<Vec<Row>> {
        let mut cursor = self.rows_from(prefix.max(after))?;
        let mut found = Vec::new();
        while found.len() < limit
            && let Some((key, value)) = cursor.row()?
            && key.starts_with(prefix)
            && through.is_none_or(|end| key <= end)
        {
            if key > after || after < prefix {
                found.push((key.to_vec(), value.to_vec()));
            }
            cursor.advance();
        }
        Ok(found)
    }

    /// The last keys with a prefix, at most so many, last first.
    pub fn last_keys(&self, prefix: &[u8], limit: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut end = prefix.to_vec();
        end.extend_from_slice(&[0xff; 9]);
        let (mut found, mut buffer) = (Vec::new(), BlockBuffer::default());
        let mut block = self.index.block_of(&end);
        while let Some(at) = block.filter(|_| found.len() < limit) {
            self.block(at, &mut buffer)?;
            let (mut left, mut here) = (&buffer.rows[..], Vec::new());
            while let Some((key, _, rest)) = block::first(left) {
                if key.starts_with(prefix) {
                    here.push(key.to_vec());
                }
                left = rest;
            }
            found.extend(here.into_iter().rev());
            let before = self.index.first_key(at) < prefix;
            block = at.checked_sub(1).filter(|_| !before);
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Reads every block; `between` is called after each and says whether to go on.
    pub fn check(&self, between: &mut dyn FnMut() -> bool) -> io::Result<()> {
        let (mut buffer, mut count) = (BlockBuffer::default(), 0);
        for block in 0..self.index.len() {
            self.block(block, &mut buffer)?;
            let mut left = &buffer.rows[..];
            while let Some((_, _, rest)) = block::first(left) {
                count += 1;
                left = rest;
            }
            if !between() {
                return Ok(());
            }
        }
        match count == self.footer.rows {
            true => Ok(()),
            false => Err(damaged("rows are missing")),
        }
    }
}

/// Gives a section of a file of so many octets in pieces, each a multiple of 8 octets but for the last,
/// with the length of all; an error when its CRC is wrong.
fn read_pieces(
    file: &dyn DiskFile,
    octets: u64,
    Section { at, length, crc }: Section,
    take: &mut dyn FnMut(&[u8], usize),
) -> io::Result<()> {
    let cut = || damaged("it is cut");
    let all = usize::try_from(length).map_err(|_| cut())?;
    if at.saturating_add(length) > octets {
        return Err(cut());
    }
    let mut piece = vec![0; PIECE.min(all)];
    let (mut done, mut sum) = (0, 0);
    while done < all {
        piece.truncate(all - done);
        read_exactly(file, &mut piece, at + done as u64)?;
        sum = crc32c::crc32c_append(sum, &piece);
        take(&piece, all);
        done += piece.len();
    }
    match sum == crc {
        true => Ok(()),
        false => Err(damaged("its index or filter is wrong")),
    }
}

/// A place among the rows of a checkpoint.
pub struct RowCursor<'a> {
    checkpoint: &'a Checkpoint,
    /// The block after the one at hand.
    next: usize,
    buffer: BlockBuffer,
    at: usize,
}

impl RowCursor<'_> {
    /// The row here; None after the last.
    pub fn row(&mut self) -> io::Result<Option<(&[u8], &[u8])>> {
        while self.at >= self.buffer.rows.len() {
            if self.next >= self.checkpoint.index.len() {
                return Ok(None);
            }
            self.checkpoint.block(self.next, &mut self.buffer)?;
            (self.next, self.at) = (self.next + 1, 0);
        }
        match block::first(self.buffer.rows.get(self.at..).unwrap_or_default()) {
            Some((key, value, _)) => Ok(Some((key, value))),
            None => Err(damaged("a row is cut")),
        }
    }

    /// Goes on to the next row.
    pub fn advance(&mut self) {
        let rows = &self.buffer.rows;
        let left = rows.get(self.at..).unwrap_or_default();
        self.at = match block::first(left) {
            Some((_, _, rest)) => rows.len() - rest.len(),
            None => rows.len(),
        };
    }
}

#[cfg(test)]
mod tests;
