//! Appending to the journal: the one half that writes, in the states that the head of this module's
//! parent lists.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::chain;
use super::disk::{Disk, DiskFile, read_exactly};
use super::header::{self, Header};
use super::reader::JournalReader;
use super::segment::{DIR, Segment};
use super::segment_list::SegmentList;
use super::trouble::{newest_is_missing, refused, strange_file};
use crate::ledger::order::{self, Appended, News, Place};
use crate::ledger::remembered::{self, OLDEST, SEGMENT};
use crate::ledger::repeated::{Repeated, Say};
use crate::ledger::{LedgerError, Trouble, TroubleKind};

/// No batch is longer. Only the last write of a run can be one that was not synced.
const LAST_WRITE: u64 = 4 << 20;

/// No record is shorter, so no segment holds more of them than its octets divided by this.
const SHORTEST_RECORD: u64 = 64;

/// Is told how long an fdatasync took.
pub type SyncObserver = Box<dyn Fn(Duration) + Send>;

/// The appending half; there is one.
pub struct Segments {
    pub(super) shared: Arc<SegmentList>,
    segment_bytes: u64,
    /// None: doubtful, or nothing was appended yet.
    file: Option<Box<dyn DiskFile>>,
    /// The position that the next record gets.
    next_seq: u64,
    /// The end of the newest segment was written by a run before, and not again by this one.
    stale: bool,
    /// What the first segment says it comes after; empty for a journal that is whole.
    origin: String,
    /// The name of the journal that a view says it is of, while no segment says so.
    name: Option<u64>,
    /// The position that the newest segment began with, when its file is gone.
    missing_newest: Option<u64>,
    /// Batches are not synced one by one: nobody is told of them before [`Segments::end_copy`].
    is_copied: bool,
    on_sync: SyncObserver,
    /// Writes that fail.
    failures: Repeated<io::ErrorKind>,
}

impl Segments {
    /// Opens the journal and cuts a torn tail. `after` is a position that is in use elsewhere (the
    /// newest checkpoint): the next record comes after it even when the journal is gone.
    pub fn open(disk: Arc<dyn Disk>, segment_bytes: u64, after: u64) -> io::Result<Self> {
        disk.make_dir(DIR)?;
        let chain::Chain { mut segments, gaps, aside, used } = chain::chain(disk.as_ref())?;
        let first = segments.first().map_or(1, |segment| segment.first_seq);
        // The first start, or the first one of a release that writes it down.
        if remembered::read(disk.as_ref(), OLDEST)?.is_none()
            && let Err(error) = remembered::write(disk.as_ref(), OLDEST, first)
        {
            tracing::warn!(%error, "oldest-record cannot be written");
        }
        let mut last_seq = used.saturating_sub(1);
        if let Some(newest) = segments.last_mut() {
            let file = newest.open(disk.as_ref())?;
            let tail = newest.examine(file.as_ref())?;
            let torn = newest.length() - tail.keep;
            if torn > 0 {
                tracing::warn!(octets = torn, "a torn write at the end of the journal is cut");
            }
            newest.set_length(tail.keep);
            last_seq = last_seq.max(tail.last_seq);
        }
        let begun = remembered::read(disk.as_ref(), SEGMENT)?.unwrap_or(0);
        let newest = segments.last().map_or(0, |segment| segment.first_seq);
        // Where mail went on in the one before, it was never used.
        let missing_newest = Some(begun).filter(|begun| *begun > newest.max(last_seq));
        let mut found: Vec<Trouble> = gaps.iter().map(Trouble::from).collect();
        found.extend(aside.iter().map(|name| strange_file(name)));
        for trouble in &found {
            tracing::error!("{trouble}");
        }
        let shared = SegmentList {
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
            origin: String::new(),
            name: None,
            missing_newest,
            is_copied: false,
            on_sync: Box::new(|_| {}),
            failures: Repeated::default(),
        };
        journal.go_on_after(after, "the newest checkpoint");
        // What was written before a kill may not be synced yet, or could not be, and will now be
        // answered as stored; a disk that cannot do it now may later.
        if let Err(error) = journal.make_sound() {
            tracing::error!(%error, "the journal cannot be written: commits are refused until it can");
        }
        Ok(journal)
    }

    /// Opens an empty folder for the copy of a journal of which records before `first` are gone, and
    /// should be. What is appended is durable after [`Segments::end_copy`], and not before: who copies
    /// a journal begins again after a crash.
    pub fn begin_at(disk: Arc<dyn Disk>, segment_bytes: u64, first: u64) -> io::Result<Self> {
        remembered::write(disk.as_ref(), OLDEST, first)?;
        let mut journal = Self::open(disk, segment_bytes, 0)?;
        journal.is_copied = true;
        if first > 1 {
            journal.set_end(first - 1);
            journal.origin = "shared".to_string();
        }
        Ok(journal)
    }

    /// Makes all of a copy durable.
    pub fn end_copy(mut self) -> io::Result<()> {
        self.sync_copied()
    }

    /// Syncs what was appended to the newest segment of a copy.
    fn sync_copied(&mut self) -> io::Result<()> {
        match &mut self.file {
            Some(file) if self.is_copied => file.sync(),
            _ => Ok(()),
        }
    }

    /// A position is in use by `whom` that the journal does not reach: its end is lost, and the next
    /// record comes after that position.
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
                 lost; restore {DIR}/ from a backup if there is one"
            ),
        };
        tracing::error!("{trouble}");
        self.shared.note(trouble);
        self.set_end(position);
    }

    /// The next record comes after a position, whether there are records up to it or not.
    fn set_end(&mut self, position: u64) {
        self.next_seq = position + 1;
        self.shared.last_seq.store(position, Ordering::Release);
    }

    /// The newest segment is gone, and nobody knows how many records it held: the list goes on after the
    /// last that it can have held, so that no position means two records. Gives that position, once.
    /// `reached` is how far the list had come, as far as that is known.
    pub fn pass_missing_newest(&mut self, reached: u64) -> Option<u64> {
        let begun = self.missing_newest.take()?;
        let trouble = newest_is_missing(begun);
        tracing::error!("{trouble}");
        self.shared.note(trouble);
        let through = begun.max(reached) + self.segment_bytes / SHORTEST_RECORD;
        if through >= self.next_seq {
            self.set_end(through);
        }
        Some(through)
    }

    /// A view is of the journal of this name. Should all segments be gone, new ones are of it, too.
    pub fn is_named(&mut self, name: u64) {
        self.name = Some(name).filter(|name| *name != 0);
    }

    /// A reading half.
    pub fn reader(&self) -> JournalReader {
        JournalReader { shared: Arc::clone(&self.shared) }
    }

    /// Calls `observe` with the time of each fdatasync that made a batch durable.
    pub fn on_sync(&mut self, observe: SyncObserver) {
        self.on_sync = observe;
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
        let newest = self.shared.segments().pop().filter(|newest| newest.packed.is_none());
        let Some(newest) = newest else { return Ok(()) };
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
        self.put_back_if_removed().map_err(|error| {
            refused("the newest journal segment was removed and cannot be written again", &error)
        })?;
        debug_assert_eq!(batch.places.first().map(|place| place.0), Some(self.next_seq));
        match self.try_append(batch) {
            Ok(()) => {
                self.set_end(last.0);
                if let Say::Over(more) = self.failures.worked() {
                    tracing::warn!(more, "journal writes work again");
                }
                Ok(())
            }
            Err(error) => {
                self.file = None;
                match self.failures.failed(error.kind(), Instant::now()) {
                    Say::Begins => tracing::error!(%error, "a journal write failed"),
                    Say::Goes(more) => tracing::error!(more, %error, "journal writes fail"),
                    Say::Nothing | Say::Over(_) => {}
                }
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

    /// When somebody removed the newest segment, what was acknowledged of it is only in the open file,
    /// and would be gone with this process: it is written again, under its name.
    fn put_back_if_removed(&mut self) -> io::Result<()> {
        let (Some(removed), Some(newest)) = (&self.file, self.shared.segments().pop()) else {
            return Ok(());
        };
        if removed.has_name()? {
            return Ok(());
        }
        let name = Segment::file_name(newest.first_seq);
        tracing::error!(file = name, "somebody removed this file: it is written again");
        let disk = self.shared.disk.as_ref();
        disk.make_dir(DIR)?;
        let file = make_segment(disk, newest.first_seq, |file| {
            let (mut octets, mut at) = (vec![0; 1 << 20], 0);
            while at < newest.length() {
                let left = usize::try_from(newest.length() - at).unwrap_or(usize::MAX);
                octets.truncate(left);
                if !read_exactly(removed.as_ref(), &mut octets, at)? {
                    let text = "it is shorter than it was";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                }
                file.append(&octets)?;
                at += octets.len() as u64;
            }
            Ok(())
        })?;
        self.file = Some(file);
        Ok(())
    }

    fn end(&self) -> Place {
        Place { seq: self.next_seq - 1, ..Place::default() }
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
        if !self.is_copied {
            let began = Instant::now();
            file.sync()?;
            (self.on_sync)(began.elapsed());
        }
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
        fits && newest.length() < self.segment_bytes && newest.packed.is_none()
    }

    /// Begins a segment: its file has a name only when it is whole. On an error the newest one is
    /// still the newest.
    fn begin_segment(&mut self) -> io::Result<Arc<Segment>> {
        self.sync_copied()?;
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
        // One that is empty and of another name is left alone: it is not part of the chain.
        let before = segments.iter().rev().find(|segment| !segment.is_empty());
        let journal = self.shared.journal().or_else(|| self.name.map(header::name_of));
        let after = before.map_or_else(|| self.origin.clone(), |before| before.id());
        let header = Header::new(journal, first, after)?;
        let line = header.line()?;
        let file = make_segment(disk.as_ref(), first, |file| file.append(&line))?;
        remembered::write_if_possible(disk.as_ref(), SEGMENT, first);
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
            remembered::write(self.shared.disk.as_ref(), OLDEST, next.first_seq)?;
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

/// Makes the file of a segment, which has its name only when it is whole.
fn make_segment(
    disk: &dyn Disk,
    first: u64,
    fill: impl FnOnce(&mut dyn DiskFile) -> io::Result<()>,
) -> io::Result<Box<dyn DiskFile>> {
    let part = format!("{DIR}/{first:020}.begun");
    let mut file = disk.open(&part, true)?;
    if file.length()? > 0 {
        file.truncate(0)?;
    }
    fill(file.as_mut())?;
    file.sync()?;
    disk.rename(&part, &Segment::file_name(first))?;
    disk.sync_dir(DIR)?;
    Ok(file)
}

/// Nobody else appends: each turn is ours, and there is no news.
impl order::Journal for Segments {
    fn turn(&mut self, at: &Place) -> Result<News, LedgerError> {
        self.make_sound().map_err(|e| refused("the journal cannot be opened", &e))?;
        Ok(News { through: *at, ..News::default() })
    }

    fn append(&mut self, at: &Place, batch: &Batch) -> Result<Appended, LedgerError> {
        if *at != self.end() {
            return Ok(Appended::MovedOn);
        }
        Segments::append(self, batch).map(|()| Appended::Done(self.end()))
    }

    fn pass(&mut self) -> Result<(), LedgerError> {
        Ok(())
    }
}
