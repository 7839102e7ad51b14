//! Floor 3, the truth: append-only records in segments of 64 MiB, made durable by one write and one
//! fdatasync for a batch (POLICY section 1). Segments are named by their first position and begin
//! with a header that says so and names the segment before (`header.rs`); a record is one line
//! (`record.rs`). Knows positions and octets, not what the JSON says.
//!
//! Promises: `append` returns `Ok` only after fdatasync returned 0; positions only grow; what was
//! acknowledged is read again exactly once; damage in the middle is counted and stops nothing else;
//! a file that does not fit is set aside, never obeyed (`chain.rs`).
//!
//! Legal states of the newest segment, and what [`Journal::open`] makes of each:
//!
//! | on disk                                        | means                          | then          |
//! |------------------------------------------------|--------------------------------|---------------|
//! | no segment                                     | new, or only checkpoints left  | made at first append |
//! | a header alone                                 | killed between begin and write | used          |
//! | whole lines with right CRCs                    | committed, or written and killed before the answer | kept, synced before anything is served |
//! | ... then a line without end, or with NULs      | torn write, never acknowledged | cut           |
//! | ... then a line with end, but a wrong CRC      | acknowledged, damaged later    | kept, counted, its position stays used |
//! | a wrong CRC with right lines behind it         | damaged later                  | the same      |
//! | a position that goes back                      | damaged later                  | the same      |
//!
//! Operations of more than one step, and what an error or a crash after each step leaves. After an
//! error the same process goes on; after a crash [`Journal::open`] does.
//!
//! | operation | steps | an error or a crash after a step leaves | mail goes on |
//! |---|---|---|---|
//! | rotate, seal | 1 write and sync `N.begun` 2 rename to `N.journal` 3 sync folder 4 records go there | 1: a file that the next start removes. 2: a header alone; it is removed, or used when nothing went on before it | until 4 in the segment before, at positions of its own |
//! | append | 1 write 2 sync | octets after the acknowledged length: cut before anything else is written | after that |
//! | rewrite | 1 write and sync `N.rewrite` 2 rename 3 sync folder | the old segment or the new one, each whole, same positions | in the newest, which is never rewritten |
//! | remove old | 1 remove the oldest 2 sync folder, then the next | a shorter journal without holes | yes |
//! | set aside | 1 rename 2 sync folder | the file under either name, read under neither | yes |
//! | checkpoint | see `checkpoint.rs` | | yes |
//! | lock | 1 open 2 flock 3 write the process id | a file that nobody holds | - |
//!
//! A segment is only left for the next one when every octet of it was acknowledged.
//!
//! States of the appending half: *sound* (file open, its length is what was acknowledged) and
//! *doubtful* (after any failed create, write or sync: the descriptor is dropped and never used
//! again). Out of *doubtful* leads only [`Journal::make_sound`]: open anew, cut to the acknowledged
//! length, read the tail back, fdatasync, sync the directory; after a start the last write is
//! written again first, because the run before may have seen its sync fail. Until then nothing is
//! appended.

mod chain;
mod checkpoint;
mod disk;
mod header;
mod lock;
mod record;
mod rewrite;
#[cfg(test)]
mod seeds;
mod segment;
#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;
mod trouble;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

pub use checkpoint::{Checkpoint, CheckpointWriter, checkpoints, keep_newest, sweep};
pub use disk::{Disk, DiskFile, RealDisk};
pub use lock::DirLock;
pub use record::{MAX_RECORD, Unfit};
pub use rewrite::{Edit, Rewritten};
pub(crate) use segment::lock;

use crate::ledger::{LedgerError, Trouble, TroubleKind};
use header::Header;
use segment::{DIR, Segment};
use trouble::{damaged_place, strange_file};

/// Octets after which a new segment is begun.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// No batch is longer. Only the last write of a run can be one that was not synced.
const LAST_WRITE: u64 = 4 << 20;

/// Records of one batch, framed for the file.
#[derive(Debug, Default)]
pub struct Batch {
    octets: Vec<u8>,
    /// `(seq, offset in octets)`
    places: Vec<(u64, u64)>,
}

impl Batch {
    /// Adds one record; nothing is added when it is unfit.
    pub fn push(&mut self, seq: u64, json: &[u8]) -> Result<(), Unfit> {
        let offset = self.octets.len() as u64;
        record::push(&mut self.octets, seq, json)?;
        self.places.push((seq, offset));
        Ok(())
    }

    /// There is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// A segment, its file, and the position that the next segment begins with.
type Opened = (Arc<Segment>, Box<dyn DiskFile>, u64);

/// What readers and the appending half share.
struct Shared {
    disk: Arc<dyn Disk>,
    segments: RwLock<Vec<Arc<Segment>>>,
    last_seq: AtomicU64,
    /// What was wrong at the start: gaps and strange files. Damaged records stand in the segments.
    found: RwLock<Vec<Trouble>>,
}

impl Shared {
    fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The first segment that may hold a position, opened, and where the next one begins. File and
    /// index belong together: nothing is put in the place of a segment while the list is held.
    fn open_at(&self, from: u64) -> io::Result<Option<Opened>> {
        let segments = self.segments.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let at = segments.partition_point(|segment| segment.first_seq <= from).max(1) - 1;
        for (at, segment) in segments.iter().enumerate().skip(at) {
            let until = segments.get(at + 1).map_or(u64::MAX, |next| next.first_seq);
            match self.disk.open(&Segment::file_name(segment.first_seq), false) {
                Ok(file) => return Ok(Some((Arc::clone(segment), file, until))),
                // Removed by hand.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Segment>>)) {
        change(&mut self.segments.write().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

/// The appending half; there is one.
pub struct Journal {
    shared: Arc<Shared>,
    segment_bytes: u64,
    /// None: doubtful, or nothing was appended yet.
    file: Option<Box<dyn DiskFile>>,
    /// The position that the next record gets.
    next_seq: u64,
    /// The end of the newest segment was written by a run before, and not again by this one.
    stale: bool,
}

/// The reading half; clones are cheap, and reading never waits for an append.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Journal {
    /// Opens the journal and cuts a torn tail. `after` is a position that is in use elsewhere (the
    /// newest checkpoint): the next record comes behind it even when the journal is gone.
    pub fn open(disk: Arc<dyn Disk>, segment_bytes: u64, after: u64) -> io::Result<Self> {
        disk.make_dir(DIR)?;
        let chain::Chain { mut segments, gaps, aside, used } = chain::chain(disk.as_ref())?;
        let mut last_seq = used.saturating_sub(1);
        if let Some(newest) = segments.last_mut() {
            let file = disk.open(&Segment::file_name(newest.first_seq), false)?;
            let tail = newest.examine(file.as_ref())?;
            let torn = newest.length() - tail.keep;
            if torn > 0 {
                tracing::warn!(octets = torn, "a torn write at the end of the journal is cut");
            }
            newest.set_length(tail.keep);
            last_seq = last_seq.max(tail.last_seq);
        }
        let mut found: Vec<Trouble> = gaps.iter().map(Trouble::from).collect();
        found.extend(aside.iter().map(|name| strange_file(name)));
        for trouble in &found {
            tracing::error!("{trouble}");
        }
        let shared = Shared {
            disk,
            segments: RwLock::new(segments.into_iter().map(Arc::new).collect()),
            last_seq: AtomicU64::new(last_seq),
            found: RwLock::new(found),
        };
        let mut journal = Self {
            shared: Arc::new(shared),
            segment_bytes,
            file: None,
            next_seq: last_seq + 1,
            stale: true,
        };
        journal.go_on_after(after, "the newest checkpoint");
        // What was written before a kill may not be synced yet, or could not be, and will now be
        // answered as stored; a disk that cannot do it now may later.
        if let Err(error) = journal.make_sound() {
            tracing::error!(%error, "the journal cannot be written: commits are refused until it can");
        }
        Ok(journal)
    }

    /// A position is in use by `whom` that the journal does not reach: its end is lost, and the next
    /// record comes behind that position.
    pub fn go_on_after(&mut self, position: u64, whom: &str) {
        let last_seq = self.next_seq - 1;
        if position <= last_seq {
            return;
        }
        let trouble = Trouble {
            kind: TroubleKind::JournalCut,
            file: None,
            seqs: Some((last_seq + 1, position)),
            text: format!(
                "the journal ends at {last_seq}, {whom} stands at {position}: those records are \
                 lost, what they decided is kept; restore {DIR}/ from a backup if there is one"
            ),
        };
        tracing::error!("{trouble}");
        self.shared.note(trouble);
        self.next_seq = position + 1;
        self.shared.last_seq.store(position, Ordering::Release);
    }

    /// A reading half.
    pub fn reader(&self) -> Reader {
        Reader { shared: Arc::clone(&self.shared) }
    }

    /// The position that the next record must have.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Gets out of doubt, or says that it cannot.
    pub fn make_sound(&mut self) -> io::Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        let Some(newest) = self.shared.segments().pop() else { return Ok(()) };
        let disk = &self.shared.disk;
        let mut file = disk.open(&Segment::file_name(newest.first_seq), false)?;
        let (kept, length) = (newest.length(), file.length()?);
        if length < kept {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} has {length} octets, {kept} were acknowledged: somebody else cut it",
                    Segment::file_name(newest.first_seq)
                ),
            ));
        }
        if length > kept {
            file.truncate(kept)?;
        }
        if newest.examine(file.as_ref())?.keep != kept {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the end of the journal reads back wrong",
            ));
        }
        if self.stale {
            let from = kept.saturating_sub(LAST_WRITE).max(newest.begins);
            disk.refresh(&Segment::file_name(newest.first_seq), from)?;
        }
        file.sync()?;
        disk.sync_dir(DIR)?;
        self.stale = false;
        self.file = Some(file);
        Ok(())
    }

    /// Makes a batch durable: one write, one fdatasync. The first record must be at `next_seq`.
    ///
    /// On an error the descriptor is given up and the end of the file is put right at once: then
    /// nothing was written (`Retryable`, `Full`); only when that fails, too, it is `Ambiguous`.
    pub fn append(&mut self, batch: &Batch) -> Result<(), LedgerError> {
        let Some(last) = batch.places.last() else { return Ok(()) };
        self.make_sound().map_err(|error| refused("the journal cannot be reopened", &error))?;
        debug_assert_eq!(batch.places.first().map(|place| place.0), Some(self.next_seq));
        match self.try_append(batch) {
            Ok(()) => {
                self.next_seq = last.0 + 1;
                self.shared.last_seq.store(last.0, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                self.file = None;
                tracing::error!(%error, "a journal write failed");
                match self.make_sound() {
                    Ok(()) => Err(refused("the journal write failed", &error)),
                    Err(second) => Err(LedgerError::Ambiguous(format!(
                        "the journal write failed ({error}) and its end cannot be verified \
                         ({second}): check the disk"
                    ))),
                }
            }
        }
    }

    fn try_append(&mut self, batch: &Batch) -> io::Result<()> {
        let newest = match self.shared.segments().pop() {
            Some(newest) if self.continues(&newest) => newest,
            _ => self.begin_segment()?,
        };
        let file = match &mut self.file {
            Some(file) => file,
            None => return Err(io::Error::other("the journal has no open segment")),
        };
        file.append(&batch.octets)?;
        file.sync()?;
        let offset = newest.length();
        let places: Vec<_> =
            batch.places.iter().map(|(seq, place)| (*seq, offset + place)).collect();
        newest.extend(&places, offset + batch.octets.len() as u64);
        Ok(())
    }

    /// The next record goes into this segment. Into an empty one only when its name fits, and none
    /// holds a step in the positions.
    fn continues(&self, newest: &Segment) -> bool {
        let fits = match newest.is_empty() {
            true => newest.first_seq == self.next_seq,
            false => newest.last_seq() + 1 == self.next_seq,
        };
        fits && newest.length() < self.segment_bytes
    }

    /// Begins a segment: its file has a name only when it is whole. On an error the newest one is
    /// still the newest.
    fn begin_segment(&mut self) -> io::Result<Arc<Segment>> {
        self.file = None;
        let begun = self.try_begin();
        if begun.is_err() {
            // Best effort: the next start would see that nothing ever came into it.
            let newest = self.shared.segments().pop().map_or(0, |newest| newest.first_seq);
            if newest != self.next_seq {
                let _ = self.shared.disk.remove(&Segment::file_name(self.next_seq));
            }
        }
        begun
    }

    fn try_begin(&mut self) -> io::Result<Arc<Segment>> {
        let (disk, first) = (&self.shared.disk, self.next_seq);
        let segments = self.shared.segments();
        // One that is empty and of another name is left behind: it is not part of the chain.
        let before = segments.iter().rev().find(|segment| !segment.is_empty());
        let journal = segments.iter().find_map(|s| Some(s.header.as_ref()?.journal.clone()));
        let after = before.map_or_else(String::new, |before| before.id());
        let header = Header::new(journal, first, after)?;
        let (line, part) = (header.line()?, format!("{DIR}/{first:020}.begun"));
        let mut file = disk.open(&part, true)?;
        if file.length()? > 0 {
            file.truncate(0)?;
        }
        file.append(&line)?;
        file.sync()?;
        disk.rename(&part, &Segment::file_name(first))?;
        disk.sync_dir(DIR)?;
        let length = line.len() as u64;
        let segment = Arc::new(Segment::new(first, length, length, Some(header)));
        let begun = Arc::clone(&segment);
        let mut void = Vec::new();
        self.shared.change(|segments| {
            void.extend(segments.extract_if(.., |old| old.is_empty()));
            segments.push(begun);
        });
        for old in void.iter().filter(|old| old.first_seq != first) {
            let _ = disk.remove(&Segment::file_name(old.first_seq));
        }
        self.file = Some(file);
        Ok(segment)
    }

    /// Ends the newest segment, so that every record so far is in one that is only read.
    pub fn seal(&mut self) -> io::Result<()> {
        self.make_sound()?;
        match self.shared.segments().pop() {
            Some(newest) if !newest.is_empty() => self.begin_segment().map(drop),
            _ => Ok(()),
        }
    }

    /// Removes whole old segments: those of which every record is at or before `through`. The
    /// newest one stays.
    pub fn remove_through(&mut self, through: u64) -> io::Result<u64> {
        let segments = self.shared.segments();
        let mut removed = 0;
        for pair in segments.windows(2) {
            let [old, next] = pair else { break };
            if next.first_seq > through + 1 {
                break;
            }
            // One by one, and the file before its entry: were a later one gone and this one still
            // there after an error or a power cut, there would be a hole.
            match self.shared.disk.remove(&Segment::file_name(old.first_seq)) {
                // Removed before, and the folder was not synced.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
            self.shared.disk.sync_dir(DIR)?;
            self.shared.change(|list| list.retain(|s| s.first_seq != old.first_seq));
            removed += 1;
        }
        Ok(removed)
    }
}

/// An I/O error before which nothing was acknowledged and after which nothing is left behind.
pub(crate) fn refused(what: &str, error: &io::Error) -> LedgerError {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        LedgerError::Full(format!("{what}: {error}; free some space"))
    } else {
        LedgerError::Retryable(format!("{what}: {error}"))
    }
}

impl Reader {
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

    /// First positions of the segments, in order.
    pub fn segment_starts(&self) -> Vec<u64> {
        self.shared.segments().iter().map(|segment| segment.first_seq).collect()
    }

    /// Octets of all segments.
    pub fn octets(&self) -> u64 {
        self.shared.segments().iter().map(|segment| segment.length()).sum()
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

    /// Looks at every record of the segment that begins at a position; what is damaged is told.
    pub fn check(&self, first_seq: u64) -> io::Result<()> {
        match self.shared.open_at(first_seq)? {
            Some((segment, file, _)) if segment.first_seq == first_seq => {
                segment.complete_index(file.as_ref())
            }
            _ => Ok(()),
        }
    }
}

impl Shared {
    fn found(&self) -> Vec<Trouble> {
        self.found.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn note(&self, trouble: Trouble) {
        self.found.write().unwrap_or_else(std::sync::PoisonError::into_inner).push(trouble);
    }
}
