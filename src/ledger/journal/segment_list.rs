//! The segments of a journal, as its appending half and its readers share them.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock};

use super::disk::{Disk, DiskFile};
use super::segment::Segment;
use crate::ledger::Trouble;
use crate::ledger::lock;

/// A segment, its file, and the position that the next segment begins with.
pub(super) type Opened = (Arc<Segment>, Box<dyn DiskFile>, u64);

/// What readers and the appending half share.
pub(super) struct SegmentList {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) segments: RwLock<Vec<Arc<Segment>>>,
    pub(super) last_seq: AtomicU64,
    /// What was wrong at the start: gaps and strange files. Damaged records are in the segments.
    pub(super) found: RwLock<Vec<Trouble>>,
}

impl SegmentList {
    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        lock::read(&self.segments).clone()
    }

    /// The name of the journal, as the first segment with a header says it.
    pub(super) fn journal(&self) -> Option<String> {
        let segments = lock::read(&self.segments);
        segments.iter().find_map(|segment| Some(segment.header.as_ref()?.journal.clone()))
    }

    /// The first segment that may hold a position, opened, and where the next one begins. File and
    /// index belong together: nothing is put in the place of a segment while the list is held.
    pub(super) fn open_at(&self, from: u64) -> io::Result<Option<Opened>> {
        let segments = lock::read(&self.segments);
        let at = segments.partition_point(|segment| segment.first_seq <= from).max(1) - 1;
        for (at, segment) in segments.iter().enumerate().skip(at) {
            let until = segments.get(at + 1).map_or(u64::MAX, |next| next.first_seq);
            match segment.open(self.disk.as_ref()) {
                Ok(file) => return Ok(Some((Arc::clone(segment), file, until))),
                // Removed by hand: `look_for_missing` says so.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Vec<Arc<Segment>>)) {
        change(&mut lock::write(&self.segments));
    }

    pub(super) fn found(&self) -> Vec<Trouble> {
        lock::read(&self.found).clone()
    }

    /// Remembers what is wrong; false when it is known.
    pub(super) fn note(&self, trouble: Trouble) -> bool {
        let mut found = lock::write(&self.found);
        let is_new = !found.contains(&trouble);
        if is_new {
            found.push(trouble);
        }
        is_new
    }
}
