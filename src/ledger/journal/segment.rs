//! One journal segment: finding records in it, in order and by position.
//!
//! A sparse index (one point every [`INDEX_EVERY`] records) keeps reading at a position from
//! scanning 64 MiB. Of an old segment it is made when the segment is first read.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::DiskFile;
use super::record::{self, MAX_LINE, Parsed};

/// Records between two points of the index.
const INDEX_EVERY: u64 = 64;

/// Octets read at once.
const CHUNK: usize = 256 * 1024;

/// Directory of the segments.
pub(super) const DIR: &str = "journal";

/// A segment as readers see it.
pub(super) struct Segment {
    /// Position of its first record, which is its name.
    pub(super) first_seq: u64,
    /// Octets that may be read: those that were acknowledged.
    length: AtomicU64,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    /// `(seq, offset)` of some records, ascending.
    points: Vec<(u64, u64)>,
    /// Records since the last point.
    since: u64,
    /// The index is complete up to here.
    scanned: u64,
    /// Damaged places up to there.
    damaged: u64,
    /// Where the last of them begins.
    last_damage: u64,
    /// Last position up to there.
    last_seq: u64,
}

impl Index {
    fn note(&mut self, seq: u64, offset: u64) {
        if self.points.is_empty() || self.since >= INDEX_EVERY {
            self.points.push((seq, offset));
            self.since = 0;
        }
        self.since += 1;
        self.last_seq = seq;
    }
}

/// What a full scan of the newest segment says about its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// Octets to keep; behind them is a torn write.
    pub(super) keep: u64,
    /// Last position in use, also by a record that can no longer be read.
    pub(super) last_seq: u64,
}

impl Segment {
    pub(super) fn new(first_seq: u64, length: u64) -> Self {
        let index = Index { last_seq: first_seq.saturating_sub(1), ..Index::default() };
        Self { first_seq, length: AtomicU64::new(length), index: Mutex::new(index) }
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

    /// Damaged places found so far.
    pub(super) fn damaged(&self) -> u64 {
        lock(&self.index).damaged
    }

    /// Scans what the index does not cover yet.
    fn complete_index(&self, file: &dyn DiskFile) -> io::Result<()> {
        let mut index = lock(&self.index);
        let length = self.length();
        if index.scanned >= length {
            return Ok(());
        }
        let mut scanner = Scanner::new(file, index.scanned, length);
        let mut in_damage = false;
        loop {
            let at = scanner.at;
            let Some(found) = scanner.next()? else { break };
            match found {
                Found::Record { seq, offset, .. } if seq > index.last_seq => {
                    index.note(seq, offset);
                    in_damage = false;
                }
                // Positions only grow; a record that goes back is as good as unreadable.
                _ if in_damage => {}
                _ => {
                    index.damaged += 1;
                    index.last_damage = at;
                    in_damage = true;
                }
            }
        }
        index.scanned = length;
        Ok(())
    }

    /// Scans the newest segment and finds out where its last good write ends.
    pub(super) fn examine(&self, file: &dyn DiskFile) -> io::Result<Tail> {
        self.complete_index(file)?;
        let mut tail = Tail { keep: 0, last_seq: self.first_seq - 1 };
        let from = lock(&self.index).points.last().map_or(0, |point| point.1);
        let mut scanner = Scanner::new(file, from, self.length());
        let mut readable = tail.last_seq;
        while let Some(found) = scanner.next()? {
            match found {
                Found::Record { seq, .. } if seq > readable => {
                    readable = seq;
                    tail = Tail { keep: scanner.at, last_seq: seq };
                }
                Found::Record { .. } => {}
                // A whole line that fails its CRC was acknowledged once: its position stays used.
                Found::Damage { whole: true } => {
                    tail = Tail { keep: scanner.at, last_seq: tail.last_seq + 1 };
                }
                Found::Damage { whole: false } => {}
            }
        }
        // What will be cut is no damage, and no part of the index.
        let mut index = lock(&self.index);
        if index.damaged > 0 && index.last_damage >= tail.keep {
            index.damaged -= 1;
        }
        index.scanned = tail.keep;
        Ok(tail)
    }

    /// Reads records with `from <= seq < until` in order until `take` says false.
    pub(super) fn read(
        &self,
        file: &dyn DiskFile,
        (from, until): (u64, u64),
        take: &mut dyn FnMut(u64, &[u8]) -> bool,
    ) -> io::Result<bool> {
        if self.length() == 0 {
            return Ok(true);
        }
        self.complete_index(file)?;
        let start = {
            let index = lock(&self.index);
            let after = index.points.partition_point(|point| point.0 <= from);
            after.checked_sub(1).and_then(|i| index.points.get(i)).map_or(0, |point| point.1)
        };
        let mut scanner = Scanner::new(file, start, self.length());
        let mut last = 0;
        while let Some(found) = scanner.next()? {
            let Found::Record { seq, json, .. } = found else { continue };
            if seq >= until {
                return Ok(true);
            }
            if seq <= last || seq < self.first_seq {
                continue;
            }
            last = seq;
            if seq >= from && !take(seq, json) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What a [`Scanner`] found.
enum Found<'a> {
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

    fn next(&mut self) -> io::Result<Option<Found<'_>>> {
        loop {
            let buffered = self.buffer.len() - self.used;
            let last = self.at + buffered as u64 >= self.end;
            if buffered == 0 && last {
                return Ok(None);
            }
            match record::parse(&self.buffer[self.used..], last) {
                Parsed::More => self.fill()?,
                Parsed::Record { seq, json, used } => {
                    let (start, offset) = (self.used, self.at);
                    self.skip(used);
                    let json = &self.buffer[start + json.start..start + json.end];
                    return Ok(Some(Found::Record { seq, offset, json }));
                }
                Parsed::Damage { used, whole } => {
                    self.skip(used);
                    return Ok(Some(Found::Damage { whole }));
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

/// Locks; a panic of another holder leaves nothing half done in what these locks guard.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
