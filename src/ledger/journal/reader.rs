//! Reading the journal, from a position on, while others append.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::chain;
use super::header;
use super::segment::{DIR, Segment};
use super::segment_list::SegmentList;
use super::trouble::damaged_place;
use crate::ledger::Trouble;
use crate::ledger::remembered::{self, OLDEST};

/// The reading half; clones are cheap, and reading never waits for an append.
#[derive(Clone)]
pub struct JournalReader {
    pub(super) shared: Arc<SegmentList>,
}

impl JournalReader {
    /// Hands records from a position on to `take`, in order, until it says false.
    pub fn for_each(&self, from: u64, take: &mut dyn FnMut(u64, &[u8]) -> bool) -> io::Result<()> {
        let mut next = from;
        while let Some((segment, file, until)) = self.shared.open_at(next)? {
            if !segment.read(file.as_ref(), (from, until), take)? || until == u64::MAX {
                break;
            }
            next = until;
        }
        Ok(())
    }

    /// Up to `limit` records from a position on.
    pub fn read(&self, from: u64, limit: usize) -> io::Result<Vec<(u64, String)>> {
        let mut records = Vec::new();
        if limit == 0 || from > self.last_seq() {
            return Ok(records);
        }
        self.for_each(from, &mut |seq, json| {
            if let Ok(json) = std::str::from_utf8(json) {
                records.push((seq, json.to_string()));
            }
            records.len() < limit
        })?;
        Ok(records)
    }

    /// The record at a position, when it is there and readable.
    pub fn at(&self, seq: u64) -> io::Result<Option<String>> {
        Ok(self.read(seq, 1)?.pop().filter(|record| record.0 == seq).map(|record| record.1))
    }

    /// Last position in use; 0 when there never was one.
    pub fn last_seq(&self) -> u64 {
        self.shared.last_seq.load(Ordering::Acquire)
    }

    /// The name of the journal, as its segments say; 0: none says one.
    pub fn name(&self) -> u64 {
        self.shared.journal().and_then(|name| header::number_of(&name)).unwrap_or(0)
    }

    /// First positions of the segments, in order.
    pub fn segment_starts(&self) -> Vec<u64> {
        self.shared.segments().iter().map(|segment| segment.first_seq).collect()
    }

    /// Octets of all segments on disk.
    pub fn octets(&self) -> u64 {
        self.shared.segments().iter().map(|segment| segment.stored()).sum()
    }

    /// Damaged or missing records found so far; old segments are looked at when they are first
    /// read.
    pub fn damaged(&self) -> u64 {
        let missing: u64 = self.shared.found().iter().map(Trouble::records).sum();
        missing + self.shared.segments().iter().map(|segment| segment.damaged()).sum::<u64>()
    }

    /// What is wrong with the journal, as far as it was looked at.
    pub fn troubles(&self) -> Vec<Trouble> {
        let mut troubles = self.shared.found();
        for segment in self.shared.segments() {
            troubles.extend(segment.damage().iter().map(|damage| damaged_place(&segment, damage)));
        }
        troubles
    }

    /// Notes segments whose files somebody removed while the service runs.
    pub fn look_for_missing(&self) -> io::Result<()> {
        let shared = &self.shared;
        let segments = shared.segments();
        let names = shared.disk.list(DIR)?;
        // Read after the list: what is removed in order is no loss, and is written down before it goes.
        let oldest = remembered::read(shared.disk.as_ref(), OLDEST)?.unwrap_or(0);
        for pair in segments.windows(2) {
            let [segment, next] = pair else { break };
            let file = Segment::file_name(segment.first_seq);
            if segment.first_seq < oldest
                || names.iter().any(|name| Segment::first_seq_of(name) == Some(segment.first_seq))
            {
                continue;
            }
            let gap = chain::Gap {
                from: segment.first_seq,
                through: next.first_seq - 1,
                before: Segment::file_name(next.first_seq),
                within: None,
            };
            if shared.note(Trouble::from(&gap)) {
                tracing::error!(
                    file,
                    "somebody removed this file of the journal: {}",
                    Trouble::from(&gap)
                );
            }
        }
        Ok(())
    }

    /// Looks at every record.
    pub fn check_all(&self) -> io::Result<()> {
        self.segment_starts().into_iter().try_for_each(|first_seq| self.check(first_seq))
    }

    /// Looks at every record of the segment that begins at a position; what is damaged is told.
    pub fn check(&self, first_seq: u64) -> io::Result<()> {
        match self.shared.open_at(first_seq)? {
            Some((segment, file, _)) if segment.first_seq == first_seq => {
                segment.check(file.as_ref())
            }
            _ => Ok(()),
        }
    }
}
