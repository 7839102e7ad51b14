//! A segment that nothing is appended to any more, compressed. It is read as the file that it was made
//! of, octet for octet, through the same [`DiskFile`], so whoever reads segments knows nothing of it.
//!
//! | in the file | what |
//! |---|---|
//! | magic | 8 octets, which no line begins with |
//! | blocks | the header alone (nothing, when there was none), then whole lines; see `block.rs` |
//! | index | for each block its octets in the file and unpacked (u32 each) |
//! | footer | where the index is (u64), last position (u64), CRC32C of the index and of these two (u32), magic |
//!
//! | damaged | reads as | costs |
//! |---|---|---|
//! | a block | a line that is none, as long as the block was | the records of that block |
//! | the index, the footer or a magic | the blocks are found one after the other; a line that is none is after the first | no record |
//! | the end is cut | the same, as far as it goes | what is cut |
//!
//! So damage is counted and said as in a segment that is not packed.

use std::io;
use std::sync::Mutex;

use super::block::{self, HEAD, pack};
use super::disk::{Disk, DiskFile, read_exactly};
use super::header::Header;
use super::record::{self, MAX_LINE};
use crate::ledger::lock::lock;

const MAGIC: &[u8; 8] = b"BNCPACK1";

/// Lines are gathered to so many octets: what one damaged octet costs, and what is unpacked to read one
/// record. Small in tests, so that small segments have several.
const BLOCK: usize = if cfg!(test) { 256 } else { 64 << 10 };

/// Octets that a block has unpacked, at most.
const MAX_BLOCK: usize = BLOCK + MAX_LINE;

/// Octets of the footer.
const FOOTER: usize = 8 + 8 + 4 + 8;

/// Octets that are gathered before they are written, and written before they are synced: a commit
/// beside it should not wait for all of them.
const CHUNK: usize = 1 << 20;
const SYNC_EVERY: usize = 4 << 20;

/// What is read where something is damaged; no record, and no torn write either.
const FILLER: u8 = b'x';
/// The line that means damage beside the blocks.
const FLAW: &[u8] = b"damaged\n";

/// What a packed segment has beside its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed {
    /// Octets of the file.
    pub(super) octets: u64,
    /// Last position; 0 when the footer cannot be read.
    pub(super) last_seq: u64,
    /// Something beside the blocks is damaged.
    pub(super) is_flawed: bool,
}

/// Where a block is.
#[derive(Debug)]
struct Block {
    at: u64,
    stored: usize,
    /// In what is read.
    begins: u64,
    length: usize,
}

/// Octets of each block in the file and unpacked.
type Lengths = Vec<(usize, usize)>;

/// Opens a segment, packed or not.
pub(super) fn open(disk: &dyn Disk, name: &str) -> io::Result<(Box<dyn DiskFile>, Option<Packed>)> {
    let file = disk.open(name, false)?;
    if !is_packed(file.as_ref())? {
        return Ok((file, None));
    }
    let file = PackedFile::open(file)?;
    let packed = file.packed;
    Ok((Box::new(file), Some(packed)))
}

/// One magic of the two is enough: the other may be damaged.
fn is_packed(file: &dyn DiskFile) -> io::Result<bool> {
    let length = file.length()?;
    let (mut first, mut last) = ([0; MAGIC.len()], [0; MAGIC.len()]);
    let begins = read_exactly(file, &mut first, 0)?;
    let ends = length >= 16 && read_exactly(file, &mut last, length - 8)?;
    let newer = |magic: &[u8; 8]| magic != MAGIC && magic.starts_with(&MAGIC[..7]);
    if begins && ends && first == last && newer(&first) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a segment was packed by a newer release of bounced: run that one",
        ));
    }
    Ok((begins && first == *MAGIC) || (ends && last == *MAGIC))
}

/// A packed segment, opened.
pub(super) struct PackedFile {
    file: Box<dyn DiskFile>,
    pub(super) packed: Packed,
    blocks: Vec<Block>,
    /// Which block was unpacked last, and what it holds.
    unpacked: Mutex<(usize, Vec<u8>)>,
}

impl PackedFile {
    /// Opens a segment that is known to be packed.
    pub(super) fn open(file: Box<dyn DiskFile>) -> io::Result<Self> {
        let found = Self::find_blocks(file.as_ref())?;
        Ok(Self::laid_out(file, found))
    }

    /// The same for one that was opened before: its records are where they were then, whatever was damaged
    /// beside the blocks meanwhile, or mended. Says whether it was damaged.
    pub(super) fn open_again(file: Box<dyn DiskFile>, known: Packed) -> io::Result<(Self, bool)> {
        let (found, lengths) = Self::find_blocks(file.as_ref())?;
        let now = Packed { is_flawed: known.is_flawed, ..found };
        Ok((Self::laid_out(file, (now, lengths)), found.is_flawed && !known.is_flawed))
    }

    fn find_blocks(file: &dyn DiskFile) -> io::Result<(Packed, Lengths)> {
        let octets = file.length()?;
        let mut magic = [0; MAGIC.len()];
        let is_marked = read_exactly(file, &mut magic, 0)? && magic == *MAGIC;
        let indexed = read_index(file, octets)?;
        let is_flawed = !is_marked || indexed.is_none();
        let (lengths, last_seq) = match indexed {
            Some(indexed) => indexed,
            None => (walk(file, octets)?, 0),
        };
        Ok((Packed { octets, last_seq, is_flawed }, lengths))
    }

    fn laid_out(file: Box<dyn DiskFile>, (packed, lengths): (Packed, Lengths)) -> Self {
        let (mut blocks, mut at, mut begins) = (Vec::new(), MAGIC.len() as u64, 0);
        for (stored, length) in lengths {
            blocks.push(Block { at, stored, begins, length });
            at += stored as u64;
            begins += length as u64;
            if packed.is_flawed && blocks.len() == 1 {
                begins += FLAW.len() as u64;
            }
        }
        Self { file, packed, blocks, unpacked: Mutex::new((usize::MAX, Vec::new())) }
    }

    /// Copies what a block holds from a place on.
    fn read_block(&self, number: usize, into: &mut [u8], from: usize) -> io::Result<usize> {
        let Some(block) = self.blocks.get(number) else { return Ok(0) };
        let mut unpacked = lock(&self.unpacked);
        if unpacked.0 != number {
            unpacked.0 = usize::MAX;
            let mut stored = vec![0; block.stored];
            let whole = read_exactly(self.file.as_ref(), &mut stored, block.at)?
                && block::unpack(&stored, MAX_BLOCK, &mut unpacked.1).is_ok()
                && unpacked.1.len() == block.length;
            if !whole {
                unpacked.1.clear();
                unpacked.1.resize(block.length, FILLER);
                unpacked.1.last_mut().into_iter().for_each(|last| *last = b'\n');
            }
            unpacked.0 = number;
        }
        Ok(copy(unpacked.1.get(from..).unwrap_or_default(), into))
    }
}

fn copy(from: &[u8], into: &mut [u8]) -> usize {
    let n = from.len().min(into.len());
    into[..n].copy_from_slice(&from[..n]);
    n
}

/// Octets of each block in the file and unpacked, and the last position; None when that is damaged.
fn read_index(file: &dyn DiskFile, octets: u64) -> io::Result<Option<(Lengths, u64)>> {
    let mut footer = [0; FOOTER];
    let Some(ends) = octets.checked_sub(FOOTER as u64) else { return Ok(None) };
    if !read_exactly(file, &mut footer, ends)? || !footer.ends_with(MAGIC) {
        return Ok(None);
    }
    let number = |at: usize| {
        let eight = footer.get(at..).and_then(|rest| rest.first_chunk::<8>());
        eight.map_or(0, |eight| u64::from_le_bytes(*eight))
    };
    let (begins, last_seq, crc) = (number(0), number(8), number(16) as u32);
    let Some(length) = ends.checked_sub(begins) else { return Ok(None) };
    let mut index = vec![0; usize::try_from(length).unwrap_or(0)];
    if !read_exactly(file, &mut index, begins)? || sum(&index, &footer[..16]) != crc {
        return Ok(None);
    }
    let (entries, rest) = index.as_chunks::<8>();
    let lengths: Vec<_> = entries.iter().map(lengths_in).collect();
    let stored: u64 = lengths.iter().map(|(stored, _)| *stored as u64).sum();
    let fits = rest.is_empty() && MAGIC.len() as u64 + stored == begins;
    Ok(fits.then_some((lengths, last_seq)))
}

fn sum(index: &[u8], numbers: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(index), numbers)
}

/// Two numbers of four octets.
fn lengths_in(eight: &[u8; 8]) -> (usize, usize) {
    let number = u64::from_le_bytes(*eight);
    ((number & 0xFFFF_FFFF) as usize, (number >> 32) as usize)
}

/// The blocks of a file whose index is damaged, as far as their heads make sense.
fn walk(file: &dyn DiskFile, octets: u64) -> io::Result<Lengths> {
    let (mut found, mut at) = (Vec::new(), MAGIC.len() as u64);
    // Length, CRC, length unpacked.
    let mut head = [0; HEAD + 4];
    while read_exactly(file, &mut head, at)? {
        let four = |from: usize| {
            let four = head.get(from..).and_then(|rest| rest.first_chunk::<4>());
            four.map_or(0, |four| u32::from_le_bytes(*four) as usize)
        };
        let (stored, length) = (HEAD + four(0), four(HEAD));
        if stored < head.len() || length > MAX_BLOCK || at + stored as u64 > octets {
            break;
        }
        found.push((stored, length));
        at += stored as u64;
    }
    Ok(found)
}

impl DiskFile for PackedFile {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Err(only_read())
    }

    fn sync(&mut self) -> io::Result<()> {
        Err(only_read())
    }

    fn truncate(&mut self, _: u64) -> io::Result<()> {
        Err(only_read())
    }

    fn has_name(&self) -> io::Result<bool> {
        self.file.has_name()
    }

    fn length(&self) -> io::Result<u64> {
        let flaw =
            if self.packed.is_flawed && self.blocks.len() == 1 { FLAW.len() as u64 } else { 0 };
        Ok(self.blocks.last().map_or(0, |last| last.begins + last.length as u64 + flaw))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let number = self.blocks.partition_point(|block| block.begins <= offset).max(1) - 1;
        // Blocks without octets begin where the next one does: that one was found.
        let Some(block) = self.blocks.get(number) else { return Ok(0) };
        let from = usize::try_from(offset - block.begins).unwrap_or(usize::MAX);
        if from < block.length {
            return self.read_block(number, into, from);
        }
        let flaw = FLAW.get(from - block.length..).filter(|_| self.packed.is_flawed && number == 0);
        Ok(copy(flaw.unwrap_or_default(), into))
    }
}

fn only_read() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a packed segment is only read")
}

/// A packed segment being written, record by record.
pub(super) struct PackWriter {
    file: Box<dyn DiskFile>,
    /// Lines of the block at hand.
    lines: Vec<u8>,
    /// What is not written yet, what is not synced, and where the next block will be.
    gathered: Vec<u8>,
    unsynced: usize,
    at: u64,
    index: Vec<u8>,
    last_seq: u64,
    /// Octets unpacked, and those of the header.
    pub(super) length: u64,
    pub(super) begins: u64,
}

impl PackWriter {
    /// Begins a file anew.
    pub(super) fn create(disk: &dyn Disk, name: &str, header: Option<&Header>) -> io::Result<Self> {
        let mut file = disk.open(name, true)?;
        if file.length()? > 0 {
            file.truncate(0)?;
        }
        let lines = header.map_or(Ok(Vec::new()), Header::line)?;
        let mut writer = Self {
            file,
            begins: lines.len() as u64,
            lines,
            gathered: MAGIC.to_vec(),
            unsynced: 0,
            at: MAGIC.len() as u64,
            index: Vec::new(),
            last_seq: 0,
            length: 0,
        };
        writer.end_block()?;
        Ok(writer)
    }

    /// Adds one record.
    pub(super) fn push(&mut self, seq: u64, json: &[u8]) -> io::Result<()> {
        record::push(&mut self.lines, seq, json).map_err(io::Error::other)?;
        self.last_seq = seq;
        if self.lines.len() >= BLOCK { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> io::Result<()> {
        let packed = pack(&self.lines);
        self.index.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        self.index.extend_from_slice(&(self.lines.len() as u32).to_le_bytes());
        self.at += packed.len() as u64;
        self.length += self.lines.len() as u64;
        self.lines.clear();
        self.gathered.extend_from_slice(&packed);
        if self.gathered.len() >= CHUNK { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.append(&self.gathered)?;
        self.unsynced += self.gathered.len();
        self.gathered.clear();
        if self.unsynced >= SYNC_EVERY {
            self.unsynced = 0;
            self.file.sync()?;
        }
        Ok(())
    }

    /// Makes it durable; gives what it has beside its records.
    pub(super) fn finish(&mut self) -> io::Result<Packed> {
        if !self.lines.is_empty() {
            self.end_block()?;
        }
        let numbers = [self.at.to_le_bytes(), self.last_seq.to_le_bytes()].concat();
        let crc = sum(&self.index, &numbers);
        let index = std::mem::take(&mut self.index);
        for octets in [&index[..], &numbers, &crc.to_le_bytes(), MAGIC] {
            self.gathered.extend_from_slice(octets);
        }
        self.write()?;
        self.file.sync()?;
        Ok(Packed { octets: self.file.length()?, last_seq: self.last_seq, is_flawed: false })
    }
}

/// What a segment holds, packed or not; another file as it is.
#[cfg(test)]
pub(crate) fn octets(disk: &super::simulated::SimulatedDisk, name: &str) -> Vec<u8> {
    let (file, packed) = open(disk, name).expect("readable");
    let mut octets = vec![0; file.length().expect("known") as usize];
    assert!(read_exactly(file.as_ref(), &mut octets, 0).expect("readable"));
    assert!(packed.is_some() || octets == disk.contents(name));
    octets
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::segment::Segment;
    use super::super::simulated::SimulatedDisk;
    use super::super::{Batch, Segments};
    use super::*;

    const RECORDS: u64 = 40;

    fn json(seq: u64) -> String {
        format!("{{\"seq\":{seq},\"pad\":\"{}\"}}", "x".repeat((seq * 37 % 60) as usize))
    }

    fn append(journal: &mut Segments, last: u64) {
        while journal.next_seq() <= last {
            let (mut batch, seq) = (Batch::default(), journal.next_seq());
            batch.push(seq, json(seq).as_bytes()).expect("fit");
            journal.append(&batch).expect("appended");
        }
    }

    fn open_on(disk: &SimulatedDisk) -> Segments {
        Segments::open(Arc::new(disk.clone()), 1 << 20, 0).expect("open")
    }

    fn seqs(journal: &Segments) -> Vec<u64> {
        let all = journal.reader().read(1, usize::MAX).expect("readable");
        assert!(all.iter().all(|(seq, text)| *text == json(*seq)));
        all.into_iter().map(|(seq, _)| seq).collect()
    }

    /// One packed segment of several blocks, and one after it.
    fn packed() -> SimulatedDisk {
        let disk = SimulatedDisk::new(1);
        let mut journal = open_on(&disk);
        append(&mut journal, RECORDS);
        journal.seal().expect("sealed");
        append(&mut journal, RECORDS + 3);
        let new = journal.reader().pack(1, &mut || true).expect("packed").expect("made");
        assert!(journal.put_packed(new).expect("in place"));
        disk
    }

    fn name() -> String {
        Segment::file_name(1)
    }

    #[test]
    fn a_packed_segment_reads_as_it_was() {
        let disk = SimulatedDisk::new(1);
        let mut journal = open_on(&disk);
        append(&mut journal, RECORDS);
        let before = disk.contents(&name());
        journal.seal().expect("sealed");
        let new = journal.reader().pack(1, &mut || true).expect("packed").expect("made");
        journal.put_packed(new).expect("in place");
        assert!(disk.contents(&name()).starts_with(MAGIC));
        assert_eq!(octets(&disk, &name()), before);
        for reader in [journal.reader(), open_on(&disk).reader()] {
            for seq in 1..=RECORDS {
                assert_eq!(reader.at(seq).expect("readable"), Some(json(seq)));
            }
            assert!(reader.octets() < before.len() as u64, "{} octets", reader.octets());
            assert!(reader.unpacked().is_empty());
            assert!(reader.pack(1, &mut || true).expect("nothing to do").is_none());
        }
    }

    #[test]
    fn every_flipped_octet_is_counted_and_costs_one_block_at_most() {
        let whole: Vec<u64> = (1..=RECORDS + 3).collect();
        let length = packed().contents(&name()).len();
        let mut free = 0;
        for at in 0..length {
            let disk = packed();
            disk.flip(&name(), at.min(disk.contents(&name()).len() - 1));
            let mut journal = open_on(&disk);
            let (found, reader) = (seqs(&journal), journal.reader());
            let missing: Vec<u64> = whole.iter().copied().filter(|s| !found.contains(s)).collect();
            free += usize::from(missing.is_empty());
            // A block has 256 octets and one line more: 9 of the shortest.
            assert!(missing.len() <= 9, "octet {at}: {missing:?}");
            assert_eq!(reader.damaged(), missing.len().max(1) as u64, "octet {at}");
            let told = reader.troubles();
            assert_eq!(told.len(), 1, "octet {at}: {told:?}");
            let seqs_told = missing.first().copied().zip(missing.last().copied());
            assert_eq!(told[0].seqs, seqs_told, "octet {at}");
            // It stays in the chain, is not packed anew, and mail goes on.
            append(&mut journal, RECORDS + 5);
            assert_eq!(seqs(&open_on(&disk)).len(), found.len() + 2, "octet {at}");
        }
        assert!(free > 40, "index, footer, header and the two magics cost no record: {free}");
    }

    #[test]
    fn what_is_damaged_while_it_is_read_is_noticed() {
        let length = packed().contents(&name()).len();
        let mut free = 0;
        for at in 0..length {
            let disk = packed();
            let mut journal = open_on(&disk);
            let reader = journal.reader();
            reader.check(1).expect("readable");
            assert_eq!(reader.damaged(), 0);
            disk.flip(&name(), at.min(disk.contents(&name()).len() - 1));
            // One record is asked for, or all are.
            let one = reader.at(RECORDS / 2).expect("readable");
            assert!(one.is_some() || reader.damaged() > 0, "octet {at}");
            let found = seqs(&journal);
            let missing: Vec<u64> = (1..=RECORDS + 3).filter(|s| !found.contains(s)).collect();
            free += usize::from(missing.is_empty());
            assert!(missing.len() <= 9, "octet {at}: {missing:?}");
            assert!(
                reader.damaged() >= missing.len() as u64,
                "octet {at}: {} of {missing:?}",
                reader.damaged()
            );
            let told = reader.troubles();
            let seqs_told = told.iter().find_map(|trouble| trouble.seqs);
            assert_eq!(seqs_told, missing.first().copied().zip(missing.last().copied()), "{at}");
            append(&mut journal, RECORDS + 5);
            assert_eq!(seqs(&journal).len(), found.len() + 2, "octet {at}");
            assert_eq!(reader.troubles(), told, "octet {at}: it is said once");
        }
        assert!(free > 40, "index, footer, header and the two magics cost no record: {free}");
    }

    #[test]
    fn what_is_cut_while_it_is_read_is_noticed() {
        let length = packed().contents(&name()).len();
        for keep in (0..length).rev() {
            let disk = packed();
            let journal = open_on(&disk);
            let reader = journal.reader();
            reader.check(1).expect("readable");
            let octets = disk.contents(&name());
            disk.plant(&name(), &octets[..keep.min(octets.len() - 1)]);
            let found = seqs(&journal);
            let lost = RECORDS + 3 - found.len() as u64;
            assert!((lost.max(1)..=lost + 1).contains(&reader.damaged()), "cut to {keep}");
        }
    }

    #[test]
    fn a_cut_costs_what_is_cut() {
        let length = packed().contents(&name()).len();
        let mut fewest = RECORDS;
        for keep in (0..length).rev() {
            let disk = packed();
            let octets = disk.contents(&name());
            // Each journal has an id of its own, so one packs to an octet less than another.
            disk.plant(&name(), &octets[..keep.min(octets.len())]);
            let journal = open_on(&disk);
            let (found, reader) = (seqs(&journal), journal.reader());
            let lost = RECORDS + 3 - found.len() as u64;
            assert!(
                found.iter().copied().eq((1..=RECORDS - lost).chain(RECORDS + 1..=RECORDS + 3))
            );
            assert!(reader.damaged() >= lost, "cut to {keep}: {} of {lost}", reader.damaged());
            fewest = fewest.min(RECORDS - lost);
        }
        assert_eq!(fewest, 0);
    }

    #[test]
    fn a_packed_segment_that_has_become_the_newest_is_left_at_once() {
        let last_block = {
            let file =
                PackedFile::open(packed().open(&name(), false).expect("there")).expect("whole");
            file.blocks.last().expect("blocks").at as usize + 20
        };
        for damaged in [None, Some(last_block)] {
            let disk = packed();
            disk.remove(&Segment::file_name(RECORDS + 1)).expect("there");
            if let Some(at) = damaged {
                disk.flip(&name(), at);
            }
            let mut journal = open_on(&disk);
            // Also when its last records are damaged, their positions stay used.
            assert_eq!(journal.next_seq(), RECORDS + 1, "{damaged:?}");
            assert_eq!(journal.reader().damaged() > 0, damaged.is_some());
            append(&mut journal, RECORDS + 2);
            let found = seqs(&open_on(&disk));
            assert_eq!(found.last(), Some(&(RECORDS + 2)));
            assert_eq!(found.len() as u64 == RECORDS + 2, damaged.is_none());
            assert_eq!(octets(&disk, &Segment::file_name(RECORDS + 1))[..9].last(), Some(&b' '));
        }
    }

    #[test]
    fn what_a_newer_release_packed_is_refused_and_nothing_is_changed() {
        let disk = packed();
        let mut octets = disk.contents(&name());
        let length = octets.len();
        octets[7] = b'2';
        octets[length - 1] = b'2';
        disk.plant(&name(), &octets);
        let refused = Segments::open(Arc::new(disk.clone()), 1 << 20, 0).err().expect("newer");
        assert!(refused.to_string().contains("newer release of bounced"), "{refused}");
        assert_eq!(disk.contents(&name()), octets);
    }
}
