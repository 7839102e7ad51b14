//! Floor 3, the view: what checkpoint and journal fold to, kept in sled and disposable; with the
//! journal it is the sled engine behind [`Ledger`].
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
//! | being rebuilt     | Retryable | Retryable               | works   | checkpoint and journal folded into a new directory |
//!
//! Forgetting somebody needs a new view, too; it is made beside the one that serves (`renewal.rs`).
//!
//! On disk below `view/` each generation has a directory of its own, so a rebuild never meets what
//! a broken sled still holds open. Any of them, or all, may be deleted while nothing runs. Sound
//! is a generation whose rows add up to the checksum in its meta row; everything else is built anew:
//! never a refused start, never a silent loss. A sound view that stands behind the journal's end
//! folds what it lacks; one that stands beyond it knows what lost records decided, and stays.
//!
//! A commit that meets damage in the view answers `Retryable` (nothing was written); one whose
//! fdatasync returned is never taken back, whatever happens to sled afterwards.
//!
//! sled needs room to breathe on a nearly full disk: below half of `min_free_bytes` the keeper
//! stops moving rows (commits have stopped at `min_free_bytes`), and lookups go on.

mod commit;
mod keeper;
mod overlay;
mod rebuild;
mod redact;
mod renewal;
mod rows;
mod scrub;
#[cfg(test)]
mod tests;
mod view;

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::time::Duration;

use crate::event::Event;
use crate::ledger::journal::{self, DirLock, Disk, Journal, Reader, lock};
use crate::ledger::private;
use crate::ledger::{
    Committed, Fold, Ledger, LedgerError, LedgerStatus, Page, Redact, Trouble, TroubleKind,
};
use crate::mail::Timestamp;
use keeper::Mail;
use overlay::read_event;
use rows::{is_dead, key_in, space};
use view::View;

/// How the sled engine is run. Every limit of it stands here.
#[derive(Debug, Clone)]
pub struct Options {
    /// Lock, journal, checkpoints and view live here.
    pub data_dir: PathBuf,
    /// sled's page cache, in octets.
    pub cache_bytes: u64,
    /// Commits are refused as `Full` with less space than this.
    pub min_free_bytes: u64,
    /// Octets of one journal segment.
    pub segment_bytes: u64,
    /// A checkpoint is due after this many events, or a quarter of the number of rows if larger.
    pub checkpoint_every: u64,
    /// Journal segments older than this go, once two checkpoints are behind them.
    pub keep: Duration,
    /// Octets of rows that may wait for sled before commits wait, too.
    pub max_waiting_bytes: usize,
    /// How long a commit waits for room among them.
    pub commit_patience: Duration,
    /// How long `open` waits for the view; a longer rebuild goes on behind.
    pub open_patience: Duration,
}

impl Options {
    /// The defaults, for a data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            cache_bytes: 64 << 20,
            min_free_bytes: 64 << 20,
            segment_bytes: journal::SEGMENT_BYTES,
            checkpoint_every: 200_000,
            keep: Duration::from_secs(90 * 86_400),
            max_waiting_bytes: 64 << 20,
            commit_patience: Duration::from_secs(10),
            open_patience: Duration::from_secs(2),
        }
    }
}

/// Troubles that are remembered one by one.
const MAX_TROUBLES: usize = 100;

/// Whether the view can be asked.
enum Stage {
    Ready(Arc<View>),
    Absent(String),
}

/// What callers and the keeper share.
struct Inner {
    options: Options,
    disk: Arc<dyn Disk>,
    reader: Reader,
    writer: Mutex<Writer>,
    stage: RwLock<Stage>,
    mail: Mutex<Mail>,
    /// Rung when there is something for the keeper.
    bell: Condvar,
    /// Rung when rows were moved or the stage changed.
    moved: Condvar,
    /// Views made in memory so far.
    memories: AtomicU64,
    /// What was found wrong here and stops nothing; the journal has its own.
    troubles: Mutex<Vec<Trouble>>,
    /// Octets free, and the time (ms) of that look.
    free: (AtomicU64, AtomicI64),
    _lock: Option<DirLock>,
}

/// What only one commit at a time may use. Without a fold a rebuild has it.
struct Writer {
    journal: Journal,
    fold: Option<Box<dyn Fold>>,
}

/// Journal, checkpoints and a sled view as a [`Ledger`].
///
/// Dropping it without [`Ledger::checkpoint`] is like a crash: nothing acknowledged is lost, the
/// next start folds a little more.
pub struct SledLedger {
    inner: Arc<Inner>,
    keeper: Option<std::thread::JoinHandle<()>>,
    scrub: Option<std::thread::JoinHandle<()>>,
}

impl SledLedger {
    /// Opens a data directory, or makes it. Fails when another process has it, or when the journal
    /// cannot be read at all; a damaged view is rebuilt (see [`LedgerStatus::trouble`]).
    pub fn open(options: Options, fold: Box<dyn Fold>) -> Result<Self, LedgerError> {
        let dir = options.data_dir.display().to_string();
        let cannot = |error: std::io::Error| {
            LedgerError::Fatal(format!(
                "cannot use the data directory {dir}: {error}; make it writable for this user, \
                 or set another data_dir"
            ))
        };
        let disk = journal::RealDisk::new(&options.data_dir).map_err(cannot)?;
        let lock = DirLock::take(&options.data_dir)?;
        // What was there before, and what other programs made in it.
        let open = private::close_to_others(&options.data_dir);
        let ledger = Self::open_on(Arc::new(disk), Some(lock), options, fold)?;
        for path in open {
            ledger.inner.note(Trouble {
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
    ) -> Result<Self, LedgerError> {
        let cannot = |error: std::io::Error| {
            LedgerError::Fatal(format!(
                "cannot read the journal in {}: {error}",
                options.data_dir.display()
            ))
        };
        if let Err(error) = journal::sweep(disk.as_ref()) {
            tracing::warn!(%error, "an unfinished checkpoint cannot be removed");
        }
        let newest = journal::checkpoints(disk.as_ref()).map_err(cannot)?.first().copied();
        let journal = Journal::open(Arc::clone(&disk), options.segment_bytes, newest.unwrap_or(0))
            .map_err(cannot)?;
        let inner = Arc::new(Inner {
            reader: journal.reader(),
            writer: Mutex::new(Writer { journal, fold: Some(fold) }),
            stage: RwLock::new(Stage::Absent("the view is being opened".to_string())),
            mail: Mutex::new(Mail::default()),
            bell: Condvar::new(),
            moved: Condvar::new(),
            memories: AtomicU64::new(0),
            troubles: Mutex::default(),
            free: (AtomicU64::new(u64::MAX), AtomicI64::new(i64::MIN)),
            _lock: lock,
            options,
            disk,
        });
        let _ = inner.look_at_free();
        let keeper = keeper::start(Arc::clone(&inner)).map_err(|error| {
            LedgerError::Fatal(format!("cannot start the thread that keeps the view: {error}"))
        })?;
        let scrub = scrub::start(Arc::clone(&inner)).map_err(|error| {
            LedgerError::Fatal(format!("cannot start the thread that checks the journal: {error}"))
        })?;
        let ledger = Self { inner, keeper: Some(keeper), scrub: Some(scrub) };
        ledger.wait_ready(ledger.inner.options.open_patience);
        Ok(ledger)
    }

    /// Waits until the view is ready; false when it is not by then.
    pub fn wait_ready(&self, patience: Duration) -> bool {
        let mail = lock(&self.inner.mail);
        let waited =
            self.inner.moved.wait_timeout_while(mail, patience, |_| self.inner.view().is_err());
        drop(waited);
        self.inner.view().is_ok()
    }

    /// SHA-256 over all rows that can still matter, in key order, of fold and engine: the same
    /// before and after any crash, rebuild or checkpoint.
    pub fn digest(&self) -> Result<String, LedgerError> {
        use sha2::Digest;
        let view = self.inner.view()?;
        let last = read_event(&self.inner.reader, self.inner.reader.last_seq())?;
        let now = last.map_or(Timestamp::from_millis(i64::MIN), |event| event.received_at);
        let first_seq = self.inner.first_seq();
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
        lock(&self.inner.mail).stop = true;
        self.inner.bell.notify_all();
        for thread in [self.keeper.take(), self.scrub.take()].into_iter().flatten() {
            let _ = thread.join();
        }
        // sled writes files of its own when it ends.
        let _ = private::close_to_others(&self.inner.options.data_dir.join("view"));
    }
}

impl Inner {
    /// The view, when it can be asked.
    fn view(&self) -> Result<Arc<View>, LedgerError> {
        match &*self.stage.read().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Stage::Ready(view) => Ok(Arc::clone(view)),
            Stage::Absent(why) => Err(LedgerError::Retryable(why.clone())),
        }
    }

    fn set_stage(&self, stage: Stage) {
        *self.stage.write().unwrap_or_else(std::sync::PoisonError::into_inner) = stage;
        // Whoever waits looks at the stage while holding this lock.
        drop(lock(&self.mail));
        self.moved.notify_all();
    }

    /// Asks a view something; damage starts a rebuild and is `Retryable` for the caller.
    fn ask<T>(
        &self,
        view: &View,
        question: impl FnOnce(&View) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        question(view).map_err(|error| self.doubt(view, error))
    }

    /// Damage of the view becomes an order to rebuild it.
    fn doubt(&self, view: &View, error: LedgerError) -> LedgerError {
        let LedgerError::Corrupt(why) = error else { return error };
        if !view.is_damaged() {
            return LedgerError::Corrupt(why);
        }
        let mut mail = lock(&self.mail);
        mail.doubt.get_or_insert((view.generation, why.clone()));
        self.bell.notify_all();
        LedgerError::Retryable(format!("the view is damaged ({why}) and is being rebuilt"))
    }

    /// Octets free; looks at most once a second of the caller's time.
    fn free_at(&self, now: Timestamp) -> u64 {
        let last = self.free.1.load(Ordering::Relaxed);
        if now.millis().saturating_sub(last).unsigned_abs() >= 1000 {
            self.free.1.store(now.millis(), Ordering::Relaxed);
            return self.look_at_free();
        }
        self.free.0.load(Ordering::Relaxed)
    }

    fn look_at_free(&self) -> u64 {
        // A file system that cannot say is not called full.
        let free = self.disk.free().unwrap_or(u64::MAX);
        self.free.0.store(free, Ordering::Relaxed);
        free
    }

    /// Says once, and remembers, what is wrong and stops nothing.
    fn note(&self, trouble: Trouble) {
        let mut troubles = lock(&self.troubles);
        if !troubles.contains(&trouble) && troubles.len() < MAX_TROUBLES {
            tracing::error!("{trouble}");
            troubles.push(trouble);
        }
    }

    fn troubles(&self) -> Vec<Trouble> {
        let mut troubles = self.reader.troubles();
        troubles.extend(lock(&self.troubles).iter().cloned());
        troubles
    }

    /// A generation for a view that is in memory: apart from those on disk.
    fn next_memory(&self) -> u64 {
        self.memories.fetch_add(1, Ordering::Relaxed) + (1 << 63)
    }

    fn first_seq(&self) -> u64 {
        self.reader.segment_starts().first().copied().unwrap_or(self.reader.last_seq() + 1)
    }
}

impl Ledger for SledLedger {
    fn commit(&self, batch: &mut [Event]) -> Result<Vec<Committed>, LedgerError> {
        self.inner.commit(batch)
    }

    fn look_up(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, LedgerError> {
        let view = self.inner.view()?;
        let values =
            |view: &View| keys.iter().map(|key| view.value(&key_in(space::FOLD, key))).collect();
        self.inner.ask(&view, values)
    }

    fn list(
        &self,
        prefix: &[u8],
        cursor: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, LedgerError> {
        let view = self.inner.view()?;
        self.inner.ask(&view, |view| view.page(prefix, cursor, limit))
    }

    fn history(&self, address: &str, limit: usize) -> Result<Vec<Event>, LedgerError> {
        let view = self.inner.view()?;
        let seqs = self.inner.ask(&view, |view| view.history(address, limit))?;
        let events = seqs.into_iter().map(|seq| read_event(&self.inner.reader, seq));
        events.filter_map(Result::transpose).collect()
    }

    fn journal(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, LedgerError> {
        self.inner.reader.read(from, limit).map_err(|error| {
            LedgerError::Retryable(format!("the journal cannot be read at {from}: {error}"))
        })
    }

    fn status(&self) -> LedgerStatus {
        let inner = &self.inner;
        let (trouble, store_bytes) = match inner.view() {
            Ok(view) => (None, view.octets()),
            Err(LedgerError::Retryable(why)) => (Some(why), 0),
            Err(error) => (Some(error.to_string()), 0),
        };
        let free_bytes = inner.look_at_free();
        let full = (free_bytes < inner.options.min_free_bytes)
            .then(|| format!("the disk is full: {free_bytes} octets are left"));
        let folded_seq = lock(&inner.mail).folded;
        LedgerStatus {
            last_seq: inner.reader.last_seq(),
            // With a ready view all is folded; what sled does not have yet stands above it.
            folded_seq: if trouble.is_none() { inner.reader.last_seq() } else { folded_seq },
            first_seq: inner.first_seq(),
            journal_bytes: inner.reader.octets(),
            store_bytes,
            free_bytes,
            damaged: inner.reader.damaged(),
            troubles: inner.troubles(),
            trouble: trouble.or(full),
        }
    }

    fn redact(&self, redact: Redact<'_>) -> Result<u64, LedgerError> {
        self.inner.redact(redact)
    }

    fn checkpoint(&self, now: Timestamp) -> Result<(), LedgerError> {
        self.inner.view()?;
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        lock(&self.inner.mail).checkpoints.push((now, answer));
        self.inner.answered(&answered)
    }
}
