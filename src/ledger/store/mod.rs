//! The view: what the journal folds to, as the newest checkpoint and, in sled, what changed since; with
//! the journal it is the sled engine, a [`Ledger`].
//!
//! A commit: duplicates are answered, the others get their positions and are folded over the view
//! (the changes stay aside), one journal write and fdatasync, then the changes are published in
//! memory and the caller is answered. The keeper thread moves them into sled later. So sled can
//! fail without a commit failing.
//!
//! | state of the view | commits   | lookups, lists, history | journal | left by                  |
//! |-------------------|-----------|-------------------------|---------|--------------------------|
//! | being opened      | Retryable | Retryable               | works   | checked, and caught up   |
//! | ready             | work      | work                    | works   | an error, doubt or panic of sled |
//! | being rebuilt     | Retryable | Retryable               | works   | the journal after the newest checkpoint folded into a new directory |
//!
//! Each checkpoint begins a new view, which takes over in one moment (`keeper/checkpoints.rs`).
//!
//! On disk below `view/` each generation has a directory of its own, so a rebuild never meets what
//! a broken sled still holds open. Any of them, or all, may be deleted while nothing runs. Sound
//! is a generation whose changes add up to the checksum in its meta row; everything else is built anew:
//! never a refused start, never a silent loss. Blocks of the checkpoint have CRCs of their own, proved
//! whenever one is read, and all of them once after a start, beside the traffic (`scrub.rs`). A sound view that ends before the journal does
//! folds what it lacks; one that is beyond it knows what lost records decided, and stays.
//!
//! A commit that meets damage in the view answers `Retryable` (nothing was written); one whose
//! fdatasync returned is never taken back, whatever happens to sled afterwards.
//!
//! sled needs some space on a nearly full disk: below half of `min_free_bytes` the keeper
//! stops moving rows (commits have stopped at `min_free_bytes`), and lookups go on.

mod cluster;
mod commit;
mod engine;
mod erased;
mod follow;
mod inbox;
mod joined;
mod keeper;
mod lists;
mod lost;
mod newcomer;
mod options;
mod others;
mod overlay;
mod pace;
mod packing;
mod pending;
mod rebuild;
mod redact;
mod rows;
mod scrub;
mod sharing;
mod space;
mod stored;
#[cfg(test)]
mod tests;
mod view;

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, OnceLock, RwLock};
use std::time::Duration;

use crate::event::Event;
use crate::ledger::journal::{self, DirLock, Disk, Segments, SyncObserver};
use crate::ledger::lock::lock;
use crate::ledger::private;
use crate::ledger::{
    Committed, Fold, Ledger, LedgerError, LedgerStatus, Others, Page, Prepare, Redact, Trouble,
    TroubleKind,
};
use crate::mail::Timestamp;
use cluster::Cluster;
pub use cluster::{CLASSES, Connect, EngineObservation, Observe, Share};
use engine::{Engine, ViewState, Writer};
pub use erased::erased_up_to;
use inbox::Inbox;
pub use lost::{lost_by_engine, lost_records};
pub use options::Options;
use overlay::read_event;
use rows::{is_dead, key_in, with_key_in};
pub use stored::look_up;
use view::View;

/// Journal, checkpoints and a sled view as a [`Ledger`].
///
/// Dropping it without [`Ledger::settle`] is like a crash: nothing acknowledged is lost, the
/// next start folds a little more.
pub struct SledLedger {
    engine: Arc<Engine>,
    keeper: Option<std::thread::JoinHandle<()>>,
    scrub: Option<std::thread::JoinHandle<()>>,
    follower: Option<std::thread::JoinHandle<()>>,
    sharing: Option<std::thread::JoinHandle<()>>,
}

impl SledLedger {
    /// Opens a data directory, or makes it. Fails when another process has it, or when the journal
    /// cannot be read at all; a damaged view is rebuilt (see [`LedgerStatus::trouble`]).
    pub fn open(options: Options, fold: Box<dyn Fold>) -> Result<Self, LedgerError> {
        Self::open_with(options, fold, None)
    }

    /// The same for a node among others: its segments are a copy of the journal that they share.
    pub fn join(options: Options, fold: Box<dyn Fold>, share: Share) -> Result<Self, LedgerError> {
        let mut ledger = Self::open_with(options, fold, Some(share))?;
        let follower = follow::start(Arc::clone(&ledger.engine)).map_err(|error| {
            LedgerError::Fatal(format!("cannot start the thread that follows the journal: {error}"))
        })?;
        ledger.follower = Some(follower);
        let sharing = sharing::start(Arc::clone(&ledger.engine)).map_err(|error| {
            LedgerError::Fatal(format!("cannot start the thread that shares checkpoints: {error}"))
        })?;
        ledger.sharing = Some(sharing);
        Ok(ledger)
    }

    fn open_with(
        options: Options,
        fold: Box<dyn Fold>,
        share: Option<Share>,
    ) -> Result<Self, LedgerError> {
        let dir = options.data_dir.display().to_string();
        let cannot = |error: std::io::Error| {
            LedgerError::Fatal(format!(
                "cannot use the data directory {dir}: {error}; make it writable for this user, \
                 or set another data_dir"
            ))
        };
        if let Some(why) = private::refuse_root_of_another(&options.data_dir) {
            return Err(LedgerError::Fatal(why));
        }
        let disk = journal::RealDisk::new(&options.data_dir).map_err(cannot)?;
        let lock = DirLock::take(&options.data_dir)?;
        // What was there before, and what other programs made in it.
        let open = private::close_to_others(&options.data_dir);
        let ledger = Self::open_on(Arc::new(disk), Some(lock), options, fold, share)?;
        for path in open {
            ledger.engine.note(Trouble {
                kind: TroubleKind::Permissions,
                file: Some(path.display().to_string()),
                seqs: None,
                text: format!(
                    "{} can be read by others and cannot be closed to them: give it to this user",
                    path.display()
                ),
            });
        }
        Ok(ledger)
    }

    fn open_on(
        disk: Arc<dyn Disk>,
        lock: Option<DirLock>,
        options: Options,
        fold: Box<dyn Fold>,
        share: Option<Share>,
    ) -> Result<Self, LedgerError> {
        let mut cluster = share.map(Cluster::new);
        let cannot = |error: std::io::Error| {
            LedgerError::Fatal(format!(
                "cannot read the journal in {}: {error}",
                options.data_dir.display()
            ))
        };
        if let Some(cluster) = &mut cluster {
            let known = erased::read(disk.as_ref()).map_err(cannot)?;
            cluster.erased = Mutex::new(known.unwrap_or_default());
            newcomer::begin(&disk, &options, cluster)?;
        }
        if let Err(error) = journal::sweep(disk.as_ref()) {
            tracing::warn!(%error, "an unfinished checkpoint cannot be removed");
        }
        let checkpoints = journal::checkpoints(disk.as_ref()).map_err(cannot)?;
        for position in &checkpoints {
            journal::refuse_newer(disk.as_ref(), *position)?;
        }
        let strange = journal::set_strange_aside(disk.as_ref()).map_err(cannot)?;
        let newest = journal::checkpoints(disk.as_ref()).map_err(cannot)?.first().copied();
        let segments =
            Segments::open(Arc::clone(&disk), options.segment_bytes, newest.unwrap_or(0))
                .map_err(cannot)?;
        let lost = lost::read(disk.as_ref()).map_err(cannot)?;
        let engine = Arc::new(Engine {
            reader: segments.reader(),
            writer: Mutex::new(Writer {
                segments,
                fold: Some(fold),
                line: cluster.as_ref().map(Cluster::line),
            }),
            view_state: RwLock::new(ViewState::Absent("the view is being opened".to_string())),
            inbox: Mutex::new(Inbox::default()),
            bell: Condvar::new(),
            moved: Condvar::new(),
            newest: AtomicU64::new(0),
            memories: AtomicU64::new(0),
            troubles: Mutex::default(),
            bad_checkpoints: Mutex::default(),
            free: (AtomicU64::new(u64::MAX), AtomicI64::new(i64::MIN)),
            _lock: lock,
            cluster,
            prepare: OnceLock::new(),
            options,
            disk,
        });
        let _ = engine.look_at_free();
        for lost in &lost {
            engine.note(lost::trouble(lost));
        }
        for file in strange {
            let text = format!(
                "{file} is no checkpoint, or damaged: it is set aside; an older one and the journal \
                 take its place"
            );
            engine.note(Trouble {
                kind: TroubleKind::Checkpoint,
                file: Some(file),
                seqs: None,
                text,
            });
        }
        let keeper = keeper::start(Arc::clone(&engine)).map_err(|error| {
            LedgerError::Fatal(format!("cannot start the thread that keeps the view: {error}"))
        })?;
        let scrub = scrub::start(Arc::clone(&engine)).map_err(|error| {
            LedgerError::Fatal(format!("cannot start the thread that checks the journal: {error}"))
        })?;
        let (keeper, scrub) = (Some(keeper), Some(scrub));
        let ledger = Self { engine, keeper, scrub, follower: None, sharing: None };
        ledger.wait_ready(ledger.engine.options.open_patience);
        Ok(ledger)
    }

    /// Looks at every record of the journal: after it the status knows all damage.
    pub fn check_journal(&self) -> Result<(), LedgerError> {
        let checked = self.engine.reader.check_all();
        checked.map_err(|error| journal::refused("the journal cannot be read", &error))
    }

    /// Waits until the view is ready; false when it is not by then.
    pub fn wait_ready(&self, patience: Duration) -> bool {
        let inbox = lock(&self.engine.inbox);
        let waited =
            self.engine.moved.wait_timeout_while(inbox, patience, |_| self.engine.view().is_err());
        drop(waited);
        self.engine.view().is_ok()
    }

    /// Calls `observe` with the time of each fdatasync that made a batch durable.
    pub fn on_sync(&self, observe: SyncObserver) {
        lock(&self.engine.writer).segments.on_sync(observe);
    }

    /// SHA-256 over all rows that can still matter, in key order, of fold and engine: the same
    /// before and after any crash, rebuild or checkpoint.
    pub fn digest(&self) -> Result<String, LedgerError> {
        self.digest_since(self.engine.first_seq())
    }

    /// The same, of a journal that begins at `first_seq`: lists of nodes whose copies reach back to
    /// different records are compared by it.
    pub fn digest_since(&self, first_seq: u64) -> Result<String, LedgerError> {
        use sha2::Digest;
        let view = self.engine.view()?;
        let last = read_event(&self.engine.reader, self.engine.reader.last_seq())?;
        let now = last.map_or(Timestamp::from_millis(i64::MIN), |event| event.received_at);
        let mut hash = sha2::Sha256::new();
        for rows in [space::DIGEST, space::HISTORY, space::FOLD] {
            let mut after = vec![rows];
            loop {
                let page = view.scan(&[rows], &after, 1000)?;
                let Some((last, _)) = page.last() else { break };
                after.clone_from(last);
                for (key, value) in page.iter().filter(|(k, v)| !is_dead(k, v, now, first_seq)) {
                    hash.update((key.len() as u64).to_be_bytes());
                    hash.update(key);
                    hash.update((value.len() as u64).to_be_bytes());
                    hash.update(value);
                }
            }
        }
        Ok(data_encoding::HEXLOWER.encode(&hash.finalize()))
    }
}

impl Drop for SledLedger {
    fn drop(&mut self) {
        lock(&self.engine.inbox).stop = true;
        self.engine.bell.notify_all();
        let keepers = [self.keeper.take(), self.scrub.take()];
        let followers = [self.follower.take(), self.sharing.take()];
        for thread in keepers.into_iter().chain(followers).flatten() {
            thread.thread().unpark();
            let _ = thread.join();
        }
        // sled writes files of its own when it ends.
        let _ = private::close_to_others(&self.engine.options.data_dir.join("view"));
    }
}

impl Ledger for SledLedger {
    fn commit(&self, batch: &mut [Event]) -> Result<Vec<Committed>, LedgerError> {
        self.engine.commit(batch)
    }

    fn prepare_with(&self, prepare: Arc<dyn Prepare>) {
        // Once for the life of a ledger: a second one would not know what the first saw.
        let _ = self.engine.prepare.set(prepare);
    }

    fn others(&self) -> Option<&dyn Others> {
        self.engine.cluster.as_ref().map(|_| self as &dyn Others)
    }

    fn look_up(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, LedgerError> {
        let view = self.engine.asked()?;
        let values =
            |view: &View| keys.iter().map(|key| view.value(&key_in(space::FOLD, key))).collect();
        self.engine.ask(&view, values)
    }

    fn may_have(&self, key: &[u8]) -> Result<bool, LedgerError> {
        let view = self.engine.asked()?;
        with_key_in(space::FOLD, key, |key| self.engine.ask(&view, |view| view.may_have(key)))
    }

    fn list(
        &self,
        prefix: &[u8],
        cursor: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, LedgerError> {
        let view = self.engine.asked()?;
        self.engine.ask(&view, |view| view.page(prefix, cursor, limit))
    }

    fn history(&self, address: &str, limit: usize) -> Result<Vec<Event>, LedgerError> {
        let view = self.engine.asked()?;
        let seqs = self.engine.ask(&view, |view| view.history(address, limit))?;
        let events = seqs.into_iter().map(|seq| read_event(&self.engine.reader, seq));
        events.filter_map(Result::transpose).collect()
    }

    fn journal(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, LedgerError> {
        self.engine.reader.read(from, limit).map_err(|error| {
            LedgerError::Retryable(format!("the journal cannot be read at {from}: {error}"))
        })
    }

    fn status(&self) -> LedgerStatus {
        let engine = &self.engine;
        let (trouble, store_bytes) = match engine.view() {
            Ok(view) => (None, view.octets()),
            Err(LedgerError::Retryable(why)) => (Some(why), 0),
            Err(error) => (Some(error.to_string()), 0),
        };
        let free_bytes = engine.look_at_free();
        let full = (free_bytes < engine.options.min_free_bytes)
            .then(|| format!("the disk is full: {free_bytes} octets are left"));
        let folded_seq = lock(&engine.inbox).folded;
        LedgerStatus {
            last_seq: engine.reader.last_seq(),
            // With a ready view all is folded; the overlay has what sled does not have yet.
            folded_seq: if trouble.is_none() { engine.reader.last_seq() } else { folded_seq },
            first_seq: engine.first_seq(),
            journal_bytes: engine.reader.octets(),
            store_bytes,
            free_bytes,
            damaged: engine.reader.damaged(),
            troubles: engine.troubles(),
            trouble: trouble.or(full).or(engine.cluster.as_ref().and_then(Cluster::trouble)),
            engine: engine.cluster.as_ref().map(|c| c.status(engine.reader.last_seq())),
        }
    }

    fn redact(&self, redact: Redact<'_>) -> Result<u64, LedgerError> {
        self.engine.redact(redact)
    }

    fn settle(&self) -> Result<(), LedgerError> {
        self.engine.view()?;
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        lock(&self.engine.inbox).settles.push(answer);
        self.engine.answered(&answered)
    }

    fn checkpoint(&self, now: Timestamp) -> Result<(), LedgerError> {
        self.engine.view()?;
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        lock(&self.engine.inbox).checkpoints.push((now, answer));
        self.engine.answered(&answered)
    }
}
