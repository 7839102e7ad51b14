//! One journal segment: finding records in it, in order and by position.
//!
//! A sparse index (one point every [`INDEX_EVERY`] records) keeps reading at a position from
//! scanning 64 MiB. Of an old segment it is made when the segment is first read.
//!
//! Positions have no gaps, so damage is told by what is missing: from the last readable position to
//! the next one.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::{Disk, DiskFile};
use super::header::{Header, unnamed};
use super::packed::{Packed, PackedFile};
use super::record::{self, MAX_LINE, ParsedRecord};
use crate::ledger::lock::lock;

/// Records between two points of the index.
const INDEX_EVERY: u64 = 64;

/// Octets read at once.
const CHUNK: usize = 256 * 1024;

/// Directory of the segments.
pub(super) const DIR: &str = "journal";

/// A damaged place of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// First position that cannot be read.
    pub(super) from: u64,
    /// The last one; before `from` when no record is missing.
    pub(super) through: u64,
}

impl Damage {
    /// What it is counted as.
    pub(super) fn records(&self) -> u64 {
        (self.through + 1).saturating_sub(self.from).max(1)
    }
}

/// Damaged places of a segment that are said one by one; more are only counted.
const SAID: usize = 32;

/// A segment as readers see it.
pub(super) struct Segment {
    /// Position of its first record, which is its name.
    pub(super) first_seq: u64,
    /// None: of a release before headers, or damaged.
    pub(super) header: Option<Header>,
    /// Where its records begin: after the header.
    pub(super) begins: u64,
    /// None: it is not packed.
    pub(super) packed: Option<Packed>,
    /// Octets that may be read: those that were acknowledged. Those of a packed one are unpacked.
    length: AtomicU64,
    index: Mutex<SegmentIndex>,
}

#[derive(Default, Clone)]
struct SegmentIndex {
    /// `(seq, offset)` of some records, ascending.
    points: Vec<(u64, u64)>,
    /// Records since the last point.
    since: u64,
    /// The index is complete up to here.
    scanned: u64,
    /// Damaged places, ascending; no two of them share a record.
    damage: Vec<Damage>,
    /// Damage that no readable record follows yet.
    open: Option<u64>,
    /// Last position up to there.
    last_seq: u64,
}

impl SegmentIndex {
    fn note(&mut self, seq: u64, offset: u64) {
        if self.points.is_empty() || self.since >= INDEX_EVERY {
            self.points.push((seq, offset));
            self.since = 0;
        }
        self.since += 1;
        self.last_seq = seq;
    }

    /// What is missing before a position was damaged.
    fn close(&mut self, before: u64, here: u64) {
        let from = self.last_seq + 1;
        if self.open.is_none() && before <= from {
            return;
        }
        let offset = self.open.take().unwrap_or(here);
        self.add(Damage { offset, from, through: before - 1 });
    }

    /// Remembers a damaged place, as one with those that it touches; false when it is known.
    fn add(&mut self, new: Damage) -> bool {
        let after = self.damage.partition_point(|known| known.from <= new.from);
        if self.damage[..after].last().is_some_and(|known| new.through <= known.through) {
            return false;
        }
        let is_apart = |known: &Damage| known.through < new.from || new.through < known.from;
        let begins = self.damage[..after].iter().rposition(is_apart).map_or(0, |at| at + 1);
        let ends = after + self.damage[after..].iter().take_while(|known| !is_apart(known)).count();
        let whole = self.damage[begins..ends].iter().fold(new, |whole, known| Damage {
            offset: whole.offset.min(known.offset),
            from: whole.from.min(known.from),
            through: whole.through.max(known.through),
        });
        self.damage.splice(begins..ends, [whole]);
        true
    }
}

/// What a full scan of the newest segment says about its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// Octets to keep; after them comes a torn write.
    pub(super) keep: u64,
    /// Last position in use, also by a record that can no longer be read.
    pub(super) last_seq: u64,
}

impl Segment {
    /// A segment of which `length` octets may be read, the first `begins` of them its header.
    pub(super) fn new(first_seq: u64, begins: u64, length: u64, header: Option<Header>) -> Self {
        let index = SegmentIndex {
            last_seq: first_seq.saturating_sub(1),
            scanned: begins,
            ..SegmentIndex::default()
        };
        Self {
            first_seq,
            header,
            begins,
            packed: None,
            length: AtomicU64::new(length),
            index: Mutex::new(index),
        }
    }

    /// The same segment with its file packed.
    pub(super) fn into_packed(self, packed: Option<Packed>) -> Self {
        Self { packed, ..self }
    }

    /// The same segment with its file packed, which has the same octets at the same places.
    pub(super) fn packed_as(&self, packed: Packed) -> Self {
        let index = Mutex::new(lock(&self.index).clone());
        let length = AtomicU64::new(self.length());
        let header = self.header.clone();
        let (first_seq, begins) = (self.first_seq, self.begins);
        Self { first_seq, header, begins, packed: Some(packed), length, index }
    }

    /// Opens its file to be read.
    pub(super) fn open(&self, disk: &dyn Disk) -> io::Result<Box<dyn DiskFile>> {
        let file = disk.open(&Self::file_name(self.first_seq), false)?;
        let Some(packed) = self.packed else { return Ok(file) };
        let (file, is_newly_flawed) = PackedFile::open_again(file, packed)?;
        if is_newly_flawed {
            // Its blocks are found without what is damaged now: no record is missing.
            self.note(Damage {
                offset: 0,
                from: self.first_seq,
                through: self.first_seq.saturating_sub(1),
            });
        }
        Ok(Box::new(file))
    }

    /// Remembers, and says, damage that came after the index was made.
    fn note(&self, damage: Damage) {
        let mut index = lock(&self.index);
        if index.add(damage.clone()) && index.damage.len() <= SAID {
            self.tell(&damage);
        }
    }

    /// Octets on disk.
    pub(super) fn stored(&self) -> u64 {
        self.packed.map_or(self.length(), |packed| packed.octets)
    }

    /// What the segment after it calls it.
    pub(super) fn id(&self) -> String {
        self.header.as_ref().map_or_else(|| unnamed(self.first_seq), |header| header.id.clone())
    }

    /// There is no record in it.
    pub(super) fn is_empty(&self) -> bool {
        self.length() <= self.begins
    }

    /// `00000000000000000001.journal`
    pub(super) fn file_name(first_seq: u64) -> String {
        format!("{DIR}/{first_seq:020}.journal")
    }

    /// The first position that a file name tells.
    pub(super) fn first_seq_of(name: &str) -> Option<u64> {
        let digits = name.strip_suffix(".journal")?;
        let seq = digits.parse().ok().filter(|seq| *seq > 0)?;
        (digits.len() == 20).then_some(seq)
    }

    pub(super) fn length(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    pub(super) fn set_length(&self, length: u64) {
        self.length.store(length, Ordering::Release);
    }

    /// Takes in what was just made durable at the end: positions and offsets.
    pub(super) fn extend(&self, points: &[(u64, u64)], length: u64) {
        {
            let mut index = lock(&self.index);
            // An index that lags (the tail was not scanned yet) is completed by the next reader.
            if index.scanned == self.length() {
                for (seq, offset) in points {
                    index.note(*seq, *offset);
                }
                index.scanned = length;
            }
        }
        self.set_length(length);
    }

    /// Last position in use, as far as the index goes.
    pub(super) fn last_seq(&self) -> u64 {
        lock(&self.index).last_seq
    }

    /// Damaged records found so far.
    pub(super) fn damaged(&self) -> u64 {
        lock(&self.index).damage.iter().map(Damage::records).sum()
    }

    /// The first damaged places found so far.
    pub(super) fn damage(&self) -> Vec<Damage> {
        lock(&self.index).damage.iter().take(SAID).cloned().collect()
    }

    /// The first position that can be read, and how many unreadable lines are before it.
    pub(super) fn first_record(&self, file: &dyn DiskFile) -> io::Result<(Option<u64>, u64)> {
        let mut scanner = Scanner::new(file, self.begins, self.length());
        let mut lines = 0;
        while let Some(found) = scanner.next()? {
            match found {
                FoundRecord::Record { seq, .. } if seq > 0 => return Ok((Some(seq), lines)),
                _ => lines += 1,
            }
        }
        Ok((None, lines))
    }

    /// Scans what the index does not cover yet, and says once what is damaged.
    pub(super) fn complete_index(&self, file: &dyn DiskFile) -> io::Result<()> {
        let mut index = lock(&self.index);
        let length = self.length();
        if index.scanned >= length {
            return Ok(());
        }
        let known = index.damage.len();
        let mut scanner = Scanner::new(file, index.scanned, length);
        loop {
            let at = scanner.at;
            let Some(found) = scanner.next()? else { break };
            match found {
                FoundRecord::Record { seq, offset, .. } if seq > index.last_seq => {
                    index.close(seq, offset);
                    index.note(seq, offset);
                }
                // Positions only grow; a record that goes back is as good as unreadable.
                _ => drop(index.open.get_or_insert(at)),
            }
            index.scanned = scanner.at;
        }
        index.scanned = length;
        for damage in index.damage.iter().take(SAID).skip(known) {
            self.tell(damage);
        }
        Ok(())
    }

    fn tell(&self, Damage { offset, from, through }: &Damage) {
        tracing::error!(
            file = Self::file_name(self.first_seq),
            offset,
            from,
            through,
            "the journal is damaged here: these records can no longer be read; restore the file from a \
             backup if there is one"
        );
    }

    /// Scans the newest segment and finds out where its last good write ends.
    pub(super) fn examine(&self, file: &dyn DiskFile) -> io::Result<Tail> {
        self.complete_index(file)?;
        if let Some(packed) = self.packed {
            return Ok(self.end_of_packed(packed));
        }
        let mut tail = Tail { keep: self.begins, last_seq: self.first_seq - 1 };
        let from = lock(&self.index).points.last().map_or(self.begins, |point| point.1);
        let mut scanner = Scanner::new(file, from, self.length());
        let mut readable = tail.last_seq;
        while let Some(found) = scanner.next()? {
            match found {
                FoundRecord::Record { seq, .. } if seq > readable => {
                    readable = seq;
                    tail = Tail { keep: scanner.at, last_seq: seq };
                }
                FoundRecord::Record { .. } => {}
                // A whole line that fails its CRC was acknowledged once: its position stays used.
                FoundRecord::Damage { whole: true } => {
                    tail = Tail { keep: scanner.at, last_seq: tail.last_seq + 1 };
                }
                FoundRecord::Damage { whole: false } => {}
            }
        }
        let mut index = lock(&self.index);
        if index.open.is_some_and(|at| at < tail.keep) {
            index.close(tail.last_seq + 1, tail.keep);
            index.last_seq = tail.last_seq;
            index.damage.last().into_iter().for_each(|damage| self.tell(damage));
        }
        // What will be cut is no damage, and no part of the index.
        index.open = None;
        index.scanned = tail.keep;
        Ok(tail)
    }

    /// Nothing of it is a torn write, and its footer knows the last position.
    fn end_of_packed(&self, packed: Packed) -> Tail {
        let mut index = lock(&self.index);
        if packed.last_seq > index.last_seq {
            index.close(packed.last_seq + 1, self.begins);
            index.last_seq = packed.last_seq;
            index.damage.last().into_iter().for_each(|damage| self.tell(damage));
        }
        Tail { keep: self.length(), last_seq: index.last_seq }
    }

    /// Looks at every record, also at those that could be read before.
    pub(super) fn check(&self, file: &dyn DiskFile) -> io::Result<()> {
        let is_new = lock(&self.index).scanned < self.length();
        if is_new {
            return self.complete_index(file);
        }
        self.read(file, (0, u64::MAX), &mut |_, _| true).map(drop)
    }

    /// Reads records with `from <= seq < until` in order until `take` says false. What the index has
    /// and the file no longer shows was damaged meanwhile: it is noted.
    pub(super) fn read(
        &self,
        file: &dyn DiskFile,
        (from, until): (u64, u64),
        take: &mut dyn FnMut(u64, &[u8]) -> bool,
    ) -> io::Result<bool> {
        if self.is_empty() {
            return Ok(true);
        }
        self.complete_index(file)?;
        // Taken together: a commit may come in between.
        let (start, end, mut last, newest) = {
            let index = lock(&self.index);
            let after = index.points.partition_point(|point| point.0 <= from);
            let point = after.checked_sub(1).and_then(|i| index.points.get(i));
            let (seq, start) = point.copied().unwrap_or((self.first_seq, self.begins));
            (start, index.scanned, seq.saturating_sub(1), index.last_seq)
        };
        let mut scanner = Scanner::new(file, start, end);
        // Where what cannot be read begins.
        let mut flaw = None;
        loop {
            let at = scanner.at;
            let Some(found) = scanner.next()? else { break };
            match found {
                FoundRecord::Record { seq, .. } if seq >= until => return Ok(true),
                FoundRecord::Record { seq, json, .. } if seq > last => {
                    let offset = flaw.take().unwrap_or(at);
                    self.note_missing(Damage { offset, from: last + 1, through: seq - 1 });
                    last = seq;
                    if seq >= from && !take(seq, json) {
                        return Ok(false);
                    }
                }
                _ => drop(flaw.get_or_insert(at)),
            }
        }
        let offset = flaw.unwrap_or(scanner.at);
        self.note_missing(Damage { offset, from: last + 1, through: newest });
        Ok(true)
    }

    fn note_missing(&self, damage: Damage) {
        if damage.from <= damage.through {
            self.note(damage);
        }
    }
}

/// The last position that can be read in a file.
pub(super) fn last_record(
    file: &dyn DiskFile,
    begins: u64,
    length: u64,
) -> io::Result<Option<u64>> {
    // Nearly always it is near the end; after much damage it is not.
    for back in [64 * 1024, 2 * (MAX_LINE + CHUNK) as u64, u64::MAX] {
        let from = length.saturating_sub(back).max(begins);
        let mut scanner = Scanner::new(file, from, length);
        let mut last = None;
        while let Some(found) = scanner.next()? {
            if let FoundRecord::Record { seq, .. } = found {
                last = last.max(Some(seq).filter(|seq| *seq > 0));
            }
        }
        if last.is_some() || from == begins {
            return Ok(last);
        }
    }
    Ok(None)
}

/// What a [`Scanner`] found.
enum FoundRecord<'a> {
    Record { seq: u64, offset: u64, json: &'a [u8] },
    Damage { whole: bool },
}

/// Walks over the lines of a file with a bounded buffer.
struct Scanner<'a> {
    file: &'a dyn DiskFile,
    /// Where the next line begins.
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    /// Octets of the buffer already used.
    used: usize,
}

impl<'a> Scanner<'a> {
    fn new(file: &'a dyn DiskFile, from: u64, end: u64) -> Self {
        Self { file, at: from, end, buffer: Vec::new(), used: 0 }
    }

    fn next(&mut self) -> io::Result<Option<FoundRecord<'_>>> {
        loop {
            let buffered = self.buffer.len() - self.used;
            let last = self.at + buffered as u64 >= self.end;
            if buffered == 0 && last {
                return Ok(None);
            }
            match record::parse(&self.buffer[self.used..], last) {
                ParsedRecord::More => self.fill()?,
                ParsedRecord::Record { seq, json, used } => {
                    let (start, offset) = (self.used, self.at);
                    self.skip(used);
                    let json = &self.buffer[start + json.start..start + json.end];
                    return Ok(Some(FoundRecord::Record { seq, offset, json }));
                }
                ParsedRecord::Damage { used, whole } => {
                    self.skip(used);
                    return Ok(Some(FoundRecord::Damage { whole }));
                }
            }
        }
    }

    fn skip(&mut self, octets: usize) {
        self.used += octets;
        self.at += octets as u64;
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let held = self.buffer.len();
        debug_assert!(held <= MAX_LINE + CHUNK, "parse never asks for more than one line");
        let offset = self.at + held as u64;
        let want = usize::try_from(self.end - offset).unwrap_or(CHUNK).min(CHUNK);
        self.buffer.resize(held + want, 0);
        let got = self.file.read_at(&mut self.buffer[held..], offset)?;
        self.buffer.truncate(held + got);
        if got == 0 {
            // The file is shorter than it was: somebody else cut it.
            self.end = offset;
        }
        Ok(())
    }
}
