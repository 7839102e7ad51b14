//! The view: the newest checkpoint, above it in sled the rows that changed since, and above that, in
//! memory, the rows that were committed but are not in sled yet.
//!
//! A commit publishes its rows here in memory, right after the journal has them; the keeper moves
//! them into sled in small batches, each with its position. So a commit never waits for sled, a
//! batch (during which sled lets nobody read) stays short, and sled does nothing while the keeper
//! writes a checkpoint, which makes that a consistent picture without stopping commits. The new
//! checkpoint then becomes the lowest layer, and sled begins empty: it never holds more than what
//! came since, so opening and checking it takes no longer with a longer list.
//!
//! On a full disk there may be no sled at all: then what changed is in memory, so that questions
//! are answered, until there is space again and the keeper builds a view on disk.
//!
//! Readers look from the top down: a row leaves a layer only after the one below has it.
//! sled may panic (docs/reliability.md, "Faults of packages"): every call runs under `catch_unwind`
//! and a panic is `Corrupt`.

mod scan;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{OnceLock, RwLock};

use sled::IVec;

use super::lists::Sum;
use super::pending::PendingRows;
use super::rows::{Meta, seal, unseal};
use super::space;
use crate::ledger::LedgerError;
use crate::ledger::filter::Filter;
use crate::ledger::journal::Checkpoint;
use crate::ledger::lock;

/// Takes key and value of one row.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), LedgerError>;

/// Takes key and value of one change; None: the row is gone.
type VisitChange<'a> = &'a mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), LedgerError>;

/// Keys that sled has between two checkpoints, about; with more the filter says "perhaps" more often.
const KEYS_IN_SLED: u64 = 1 << 20;

/// Rows above sled.
type Above = BTreeMap<IVec, (u64, Option<IVec>)>;

/// One generation of the view.
pub(super) struct View {
    /// None: before the first one.
    checkpoint: Option<Checkpoint>,
    /// None: all changes since are in memory.
    db: Option<sled::Db>,
    /// Which keys sled does not have: most rows that a commit or a lookup asks for are new. Not there
    /// until it is known what sled has.
    in_sled: OnceLock<Filter>,
    path: PathBuf,
    /// Which generation; a doubt about an older one is void.
    pub(super) generation: u64,
    /// Changes that sled does not have yet, each with the place of its commit in the order of all.
    above: RwLock<Above>,
    /// Commits published so far.
    published: AtomicU64,
    /// A reader met damage. Errors of a fold are not: a rebuild would not mend them.
    damaged: AtomicBool,
    /// The damage is in the checkpoint.
    checkpoint_is_damaged: AtomicBool,
    /// Another one serves: who works on this one for long should end.
    given_up: AtomicBool,
}

/// Runs something of sled's; a panic in it is an error like others.
pub(super) fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, LedgerError> {
    match std::panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(crate::ledger::journal::refused("sled", &error)),
        Ok(Err(error)) => Err(LedgerError::Corrupt(format!("sled: {error}"))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(LedgerError::Corrupt(format!("sled panicked: {}", text.unwrap_or("no words"))))
        }
    }
}

/// sled frees what `rows` written rows replaced only as it is asked for other things, some at
/// each 128th question; a batch is one. A question a row keeps up
/// (docs/reliability.md, "Faults of packages").
fn collect_garbage(db: &sled::Db, rows: usize) -> Result<(), LedgerError> {
    guarded(|| (0..rows).try_for_each(|_| db.get(Meta::KEY).map(drop)))
}

impl View {
    /// Opens a directory, or makes it. Never trusts it: see [`View::verify`].
    pub(super) fn open(path: &Path, cache: u64, generation: u64) -> Result<Self, LedgerError> {
        // A kill while sled opens leaves these, and every later open fails
        // (docs/reliability.md, "Faults of packages").
        if let Ok(entries) = std::fs::read_dir(path) {
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with("snap.") && name.ends_with(".generating") {
                    let _ = std::fs::remove_file(entry.path());
                }
            }
        }
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(cache)
            // The other mode rewrites old pages for space; a view that may be built anew at any
            // time need not be tidy.
            .mode(sled::Mode::HighThroughput)
            // The journal is the durable one; sled is flushed at checkpoints.
            .flush_every_ms(None);
        let db = guarded(|| config.open())?;
        let in_sled = OnceLock::new();
        if guarded(|| Ok(db.is_empty()))? {
            let _ = in_sled.set(Filter::new(KEYS_IN_SLED));
        }
        Ok(Self { db: Some(db), in_sled, ..Self::in_memory(path, generation, None) })
    }

    /// A view without sled.
    pub(super) fn in_memory(path: &Path, generation: u64, checkpoint: Option<Checkpoint>) -> Self {
        Self {
            checkpoint,
            db: None,
            in_sled: OnceLock::new(),
            path: path.to_path_buf(),
            generation,
            above: RwLock::default(),
            published: AtomicU64::new(0),
            damaged: AtomicBool::new(false),
            checkpoint_is_damaged: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
        }
    }

    /// Puts a checkpoint below what sled has.
    pub(super) fn put_on(&mut self, checkpoint: Option<Checkpoint>) {
        self.checkpoint = checkpoint;
    }

    /// The checkpoint at the bottom.
    pub(super) fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// Another one serves.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Another one is about to serve.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// There is no sled in it.
    pub(super) fn is_in_memory(&self) -> bool {
        self.db.is_none()
    }

    fn sled(&self) -> Result<&sled::Db, LedgerError> {
        self.db.as_ref().ok_or_else(|| {
            LedgerError::Full("the view is in memory until there is space on the disk".to_string())
        })
    }

    /// A row as sled has it.
    fn raw(&self, key: &[u8]) -> Result<Option<IVec>, LedgerError> {
        if self.in_sled.get().is_some_and(|keys| !keys.may_have(key)) {
            return Ok(None);
        }
        self.db.as_ref().map_or(Ok(None), |db| guarded(|| db.get(key)))
    }

    /// What the view says about itself; None when it is new or was not finished.
    pub(super) fn meta(&self) -> Result<Option<Meta>, LedgerError> {
        match self.raw(&Meta::KEY)? {
            None => Ok(None),
            Some(sealed) => match unseal(&Meta::KEY, &sealed) {
                Some(value) => Ok(value.and_then(Meta::decode)),
                None => Err(LedgerError::Corrupt("the meta row fails its CRC".to_string())),
            },
        }
    }

    /// Walks over all changes in sled, with CRCs checked; gives what they add up to.
    fn changes(&self, visit: VisitChange<'_>) -> Result<Meta, LedgerError> {
        let mut found = Meta::default();
        let mut rows = self.sled()?.iter();
        while let Some((key, sealed)) = guarded(|| rows.next().transpose())? {
            if key.first() == Some(&space::META) {
                continue;
            }
            let value = unseal(&key, &sealed).ok_or_else(damaged_row)?;
            found.add(&key, &sealed);
            visit(&key, value)?;
        }
        Ok(found)
    }

    /// Walks over all rows of checkpoint and sled in key order, with CRCs checked; gives what the
    /// changes in sled add up to.
    pub(super) fn walk(&self, visit: Visit<'_>) -> Result<Meta, LedgerError> {
        let cursor = self.checkpoint.as_ref().map(|below| below.rows_from(b"")).transpose();
        let Some(mut below) = cursor.map_err(|error| self.unreadable(error))? else {
            return self.changes(&mut |key, value| value.map_or(Ok(()), |value| visit(key, value)));
        };
        let found = self.changes(&mut |key, value| {
            while let Some((old, kept)) = below.row().map_err(|error| self.unreadable(error))?
                && old <= key
            {
                if old < key {
                    visit(old, kept)?;
                }
                below.advance();
            }
            value.map_or(Ok(()), |value| visit(key, value))
        })?;
        while let Some((key, value)) = below.row().map_err(|error| self.unreadable(error))? {
            visit(key, value)?;
            below.advance();
        }
        Ok(found)
    }

    /// Checks every change in sled and the sum over them against the meta row. What is in the
    /// checkpoint is checked whenever it is read.
    pub(super) fn verify(&self) -> Result<Meta, LedgerError> {
        let Some(meta) = self.meta()? else {
            return Err(LedgerError::Corrupt("the view was not finished".to_string()));
        };
        let keys = Filter::new(KEYS_IN_SLED);
        keys.insert(&Meta::KEY);
        let found = self.changes(&mut |key, _| {
            keys.insert(key);
            Ok(())
        })?;
        if (found.count, found.sum) != (meta.count, meta.sum) {
            return Err(LedgerError::Corrupt(format!(
                "the view has {} changes, {} were written, or they differ",
                found.count, meta.count
            )));
        }
        let _ = self.in_sled.set(keys);
        Ok(meta)
    }

    /// Puts rows into sled as one batch, and their position with them; the sum of the list follows.
    pub(super) fn apply(
        &self,
        changes: &HashMap<IVec, Option<IVec>>,
        meta: &mut Meta,
        mut sum: Option<&mut Sum>,
    ) -> Result<(), LedgerError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            let raw = self.raw(key)?;
            if let Some(raw) = &raw {
                meta.take(key, raw);
            }
            if let Some(sum) = &mut sum {
                sum.change(key, self.stored(key, raw)?.as_deref(), value.as_deref());
            }
            if value.is_none() && self.checkpoint.is_none() {
                batch.remove(key);
                continue;
            }
            let sealed = seal(key, value.as_deref());
            meta.add(key, &sealed);
            batch.insert(key, sealed);
        }
        batch.insert(&Meta::KEY, seal(&Meta::KEY, Some(&meta.encode())));
        // Before sled has them, so that no reader misses one.
        for key in changes.keys().map(|key| &key[..]).chain([&Meta::KEY[..]]) {
            self.in_sled.get().into_iter().for_each(|keys| keys.insert(key));
        }
        let db = self.sled()?;
        guarded(|| db.apply_batch(batch))?;
        collect_garbage(db, changes.len())
    }

    /// Makes what is in sled durable: sled's own flush is no fsync
    /// (docs/reliability.md, "Faults of packages").
    pub(super) fn flush(&self) -> Result<(), LedgerError> {
        let db = self.sled()?;
        guarded(|| db.flush())?;
        let synced = File::open(self.path.join("db")).and_then(|file| file.sync_data());
        synced.map_err(|error| LedgerError::Retryable(format!("sled: fdatasync: {error}")))
    }

    /// Lets readers see changes that sled does not have yet. Only who holds the writer may.
    pub(super) fn publish(&self, pending: &mut PendingRows) {
        pending.place = self.published.fetch_add(1, Ordering::Relaxed) + 1;
        let mut above = lock::write(&self.above);
        for (key, value) in &pending.changes {
            above.insert(key.clone(), (pending.place, value.clone()));
        }
    }

    /// Place of the commit published last.
    pub(super) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Takes over what another view has above its sled; what is below must be the same rows. Only
    /// who holds the writer may.
    pub(super) fn take_above(&self, old: &View) {
        let theirs = lock::read(&old.above).clone();
        *lock::write(&self.above) = theirs;
        self.published.store(old.published(), Ordering::Relaxed);
    }

    /// Forgets published changes of commits up to a place: sled has them.
    pub(super) fn settle<'a>(&self, through: u64, keys: impl Iterator<Item = &'a IVec>) {
        let mut above = lock::write(&self.above);
        for key in keys {
            if above.get(key).is_some_and(|(place, _)| *place <= through) {
                above.remove(key);
            }
        }
    }

    /// A reader met damage.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Position of the checkpoint at the bottom, when it was found damaged.
    pub(super) fn damaged_checkpoint(&self) -> Option<u64> {
        let found = self.checkpoint_is_damaged.load(Ordering::Relaxed);
        self.checkpoint.as_ref().filter(|_| found).map(Checkpoint::position)
    }

    /// Reads all of the checkpoint at the bottom; `between` says whether to go on.
    pub(super) fn check(&self, between: &mut dyn FnMut() -> bool) -> Result<(), LedgerError> {
        let Some(below) = &self.checkpoint else { return Ok(()) };
        self.note(below.check(between).map_err(|error| self.unreadable(error)))
    }

    /// The checkpoint cannot be read: damaged, or the disk fails.
    fn unreadable(&self, error: io::Error) -> LedgerError {
        if error.kind() != io::ErrorKind::InvalidData {
            return crate::ledger::journal::refused("the checkpoint cannot be read", &error);
        }
        self.checkpoint_is_damaged.store(true, Ordering::Relaxed);
        LedgerError::Corrupt(error.to_string())
    }

    #[cfg(test)]
    pub(super) fn mark_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    fn note<T>(&self, read: Result<T, LedgerError>) -> Result<T, LedgerError> {
        if matches!(read, Err(LedgerError::Corrupt(_))) {
            self.damaged.store(true, Ordering::Relaxed);
        }
        read
    }

    /// The value of one row.
    pub(super) fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        {
            let above = lock::read(&self.above);
            if let Some((_, value)) = above.get(key) {
                return Ok(value.as_ref().map(|value| value.to_vec()));
            }
        }
        self.note(self.raw(key).and_then(|raw| self.stored(key, raw)))
    }

    /// The same without what sled does not have yet; `raw` is the row as sled has it.
    fn stored(&self, key: &[u8], raw: Option<IVec>) -> Result<Option<Vec<u8>>, LedgerError> {
        match (raw, &self.checkpoint) {
            (Some(sealed), _) => {
                let value = unseal(key, &sealed).ok_or_else(damaged_row)?;
                Ok(value.map(<[u8]>::to_vec))
            }
            (None, Some(checkpoint)) => checkpoint.get(key).map_err(|error| self.unreadable(error)),
            (None, None) => Ok(None),
        }
    }

    /// False: there is no such row, for certain.
    pub(super) fn may_have(&self, key: &[u8]) -> Result<bool, LedgerError> {
        if let Some((_, value)) = lock::read(&self.above).get(key) {
            return Ok(value.is_some());
        }
        let in_sled = self.note(self.raw(key))?.is_some();
        Ok(in_sled || self.checkpoint.as_ref().is_some_and(|below| below.may_have(key)))
    }

    /// Octets on disk.
    pub(super) fn octets(&self) -> u64 {
        let sled = self.db.as_ref().and_then(|db| guarded(|| db.size_on_disk()).ok()).unwrap_or(0);
        sled + self.checkpoint.as_ref().map_or(0, Checkpoint::octets)
    }
}

fn damaged_row() -> LedgerError {
    LedgerError::Corrupt("a row fails its CRC".to_string())
}
