//! What callers, the keeper and the check of the journal share: the one state of a sled engine.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, RwLock};

use super::cluster::{Cluster, Line};
use super::inbox::Inbox;
use super::lost::{self, Lost};
use super::options::Options;
use super::view::View;
use crate::event::Event;
use crate::ledger::journal::{self, DirLock, Disk, JournalReader, Segments};
use crate::ledger::lock::{self, lock};
use crate::ledger::{Fold, LedgerError, Prepare, Trouble};
use crate::mail::Timestamp;

/// Troubles that are remembered one by one.
const MAX_TROUBLES: usize = 100;

/// Whether the view can be asked.
pub(super) enum ViewState {
    Ready(Arc<View>),
    Absent(String),
}

/// What callers and the keeper share.
pub(super) struct Engine {
    pub(super) options: Options,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) reader: JournalReader,
    pub(super) writer: Mutex<Writer>,
    pub(super) view_state: RwLock<ViewState>,
    pub(super) inbox: Mutex<Inbox>,
    /// Rung when there is something for the keeper.
    pub(super) bell: Condvar,
    /// Rung when rows were moved or the stage changed.
    pub(super) moved: Condvar,
    /// The newest generation that was begun: none is begun twice, whatever became of it.
    pub(super) newest: AtomicU64,
    /// Views made in memory so far.
    pub(super) memories: AtomicU64,
    /// What was found wrong here and stops nothing; the journal has its own.
    pub(super) troubles: Mutex<Vec<Trouble>>,
    /// Positions of checkpoints in which damage was found.
    pub(super) bad_checkpoints: Mutex<Vec<u64>>,
    /// Octets free, and the time (ms) of that look.
    pub(super) free: (AtomicU64, AtomicI64),
    pub(super) _lock: Option<DirLock>,
    /// What is known of the engine that holds the journal; None: the segments are the journal.
    pub(super) cluster: Option<Cluster>,
    /// What each event is told before it is folded.
    pub(super) prepare: OnceLock<Arc<dyn Prepare>>,
}

/// What only one commit at a time may use. Without a fold a rebuild has it.
pub(super) struct Writer {
    pub(super) segments: Segments,
    pub(super) fold: Option<Box<dyn Fold>>,
    /// The journal that others append to, too; then the segments are a copy of it.
    pub(super) line: Option<Line>,
}

impl Engine {
    /// An event is being folded, whoever wrote it.
    pub(super) fn folds(&self, event: &Event) {
        if let Some(prepare) = self.prepare.get() {
            prepare.folds(event);
        }
    }

    /// The view, when it can be asked.
    pub(super) fn view(&self) -> Result<Arc<View>, LedgerError> {
        match &*lock::read(&self.view_state) {
            ViewState::Ready(view) => Ok(Arc::clone(view)),
            ViewState::Absent(why) => Err(LedgerError::Retryable(why.clone())),
        }
    }

    /// The view, for a question from outside: not when it may be too old.
    pub(super) fn asked(&self) -> Result<Arc<View>, LedgerError> {
        self.cluster.as_ref().map_or(Ok(()), Cluster::is_fresh)?;
        self.view()
    }

    pub(super) fn set_view_state(&self, view_state: ViewState) {
        *lock::write(&self.view_state) = view_state;
        // Whoever waits looks at the stage while holding this lock.
        drop(lock(&self.inbox));
        self.moved.notify_all();
    }

    /// Asks a view something; damage starts a rebuild and is `Retryable` for the caller.
    pub(super) fn ask<T>(
        &self,
        view: &View,
        question: impl FnOnce(&View) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        question(view).map_err(|error| self.doubt(view, error))
    }

    /// Damage of the view becomes an order to rebuild it.
    pub(super) fn doubt(&self, view: &View, error: LedgerError) -> LedgerError {
        let LedgerError::Corrupt(why) = error else { return error };
        if !view.is_damaged() {
            return LedgerError::Corrupt(why);
        }
        let mut inbox = lock(&self.inbox);
        inbox.doubt.get_or_insert((view.generation, why.clone()));
        self.bell.notify_all();
        LedgerError::Retryable(format!("the view is damaged ({why}) and is being rebuilt"))
    }

    /// Octets free; looks at most once a second of the caller's time.
    pub(super) fn free_at(&self, now: Timestamp) -> u64 {
        let last = self.free.1.load(Ordering::Relaxed);
        if now.millis().saturating_sub(last).unsigned_abs() >= 1000 {
            self.free.1.store(now.millis(), Ordering::Relaxed);
            return self.look_at_free();
        }
        self.free.0.load(Ordering::Relaxed)
    }

    pub(super) fn look_at_free(&self) -> u64 {
        // A file system that cannot say is not called full.
        let free = self.disk.free().unwrap_or(u64::MAX);
        self.free.0.store(free, Ordering::Relaxed);
        free
    }

    /// Says once, and remembers, what is wrong and stops nothing.
    pub(super) fn note(&self, trouble: Trouble) {
        let mut troubles = lock(&self.troubles);
        if !troubles.contains(&trouble) && troubles.len() < MAX_TROUBLES {
            tracing::error!("{trouble}");
            troubles.push(trouble);
        }
    }

    /// Records are lost, and what they decided too. Written down before it is said: the next start
    /// finds a view that is after them. On a disk without space it is said all the same, for
    /// then the view is one in memory, and the next start comes here again.
    pub(super) fn lost(&self, from: u64, through: u64) -> Result<(), LedgerError> {
        let lost = Lost { range: (from, through), kept: None };
        let said = lost::trouble(&lost);
        let written = lost::add(self.disk.as_ref(), lost);
        self.note(said);
        match written.map_err(|error| journal::refused("lost-records cannot be written", &error)) {
            Err(LedgerError::Full(_)) | Ok(()) => Ok(()),
            failed => failed,
        }
    }

    /// What is wrong. That a view or a checkpoint still holds what a damaged record decided is not
    /// said: nobody can know it for sure.
    pub(super) fn troubles(&self) -> Vec<Trouble> {
        let mut troubles = self.reader.troubles();
        troubles.extend(lock(&self.troubles).iter().cloned());
        troubles
    }

    /// A generation after all that are on disk, of which `on_disk` is the newest, and after all that
    /// this process began: sled may hold on to one that is gone.
    pub(super) fn next_generation(&self, on_disk: u64) -> u64 {
        let next = on_disk.max(self.newest.load(Ordering::Relaxed)) + 1;
        self.newest.store(next, Ordering::Relaxed);
        next
    }

    /// A generation for a view that is in memory: apart from those on disk.
    pub(super) fn next_memory(&self) -> u64 {
        self.memories.fetch_add(1, Ordering::Relaxed) + (1 << 63)
    }

    pub(super) fn first_seq(&self) -> u64 {
        self.reader.segment_starts().first().copied().unwrap_or(self.reader.last_seq() + 1)
    }
}
