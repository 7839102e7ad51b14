//! The view: rows in sled, and above them the rows that were committed but are not in sled yet.
//!
//! A commit publishes its rows here in memory, right after the journal has them; the keeper moves
//! them into sled in small batches, each with its position. So a commit never waits for sled, a
//! batch (during which sled lets nobody read) stays short, and sled stands still while the keeper
//! writes a checkpoint, which makes that a consistent picture without stopping commits.
//!
//! On a full disk there may be no sled at all: then everything stands in memory, so that questions
//! are answered, until there is space again and the keeper builds a view on disk.
//!
//! Readers look above first, then into sled: a row leaves the upper layer only after sled has it.
//! sled may panic (FACTS): every call runs under `catch_unwind` and a panic is `Corrupt`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::ops::Bound;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sled::IVec;

use super::keeper::Group;
use super::rows::{self, MAX_VALUE, Meta, key_in, layered, seal, space, unseal};
use crate::ledger::{LedgerError, Page, Row};

/// Rows that are copied from the upper layer while its lock is held.
const COPIED_AT_ONCE: usize = 256;

/// Changes of rows; None removes one.
pub(super) type Changes = Vec<(IVec, Option<IVec>)>;

/// Takes key and value of one row.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), LedgerError>;

/// Rows above sled.
type Above = BTreeMap<IVec, (u64, Option<IVec>)>;

/// One generation of the view.
pub(super) struct View {
    /// None: all rows are in memory.
    db: Option<sled::Db>,
    path: PathBuf,
    /// Which generation; a doubt about an older one is void.
    pub(super) generation: u64,
    /// Changes that sled does not have yet, each with the place of its group in the order of all.
    above: RwLock<Above>,
    /// Groups published so far.
    published: AtomicU64,
    /// A reader met damage. Errors of a fold are not: a rebuild would not mend them.
    damaged: AtomicBool,
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

impl View {
    /// Opens a directory, or makes it. Never trusts it: see [`View::verify`].
    pub(super) fn open(path: &Path, cache: u64, generation: u64) -> Result<Self, LedgerError> {
        // A kill while sled opens leaves these, and every later open fails (FACTS).
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
        Ok(Self { db: Some(db), ..Self::in_memory(path, generation) })
    }

    /// A view without a disk.
    pub(super) fn in_memory(path: &Path, generation: u64) -> Self {
        Self {
            db: None,
            path: path.to_path_buf(),
            generation,
            above: RwLock::default(),
            published: AtomicU64::new(0),
            damaged: AtomicBool::new(false),
        }
    }

    /// There is no sled below it.
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
        self.db.as_ref().map_or(Ok(None), |db| guarded(|| db.get(key)))
    }

    /// What the view says about itself; None when it is new or was not finished.
    pub(super) fn meta(&self) -> Result<Option<Meta>, LedgerError> {
        match self.raw(&Meta::KEY)? {
            None => Ok(None),
            Some(sealed) => match unseal(&Meta::KEY, &sealed) {
                Some(value) => Ok(Meta::decode(value)),
                None => Err(LedgerError::Corrupt("the meta row fails its CRC".to_string())),
            },
        }
    }

    /// Walks over all rows in sled but the meta row, with CRCs checked; gives what they add up to.
    pub(super) fn walk(&self, visit: Visit<'_>) -> Result<Meta, LedgerError> {
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

    /// Checks every row and the sum over them against the meta row.
    pub(super) fn verify(&self) -> Result<Meta, LedgerError> {
        let Some(meta) = self.meta()? else {
            return Err(LedgerError::Corrupt("the view was not finished".to_string()));
        };
        let found = self.walk(&mut |_, _| Ok(()))?;
        if (found.count, found.sum) != (meta.count, meta.sum) {
            return Err(LedgerError::Corrupt(format!(
                "the view has {} rows, {} were written, or they differ",
                found.count, meta.count
            )));
        }
        Ok(meta)
    }

    /// Puts rows into sled as one batch; with a position, that goes in with them.
    pub(super) fn apply(
        &self,
        changes: &HashMap<IVec, Option<IVec>>,
        meta: &mut Meta,
        write_meta: bool,
    ) -> Result<(), LedgerError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            if let Some(old) = self.raw(key)? {
                meta.take(key, &old);
            }
            match value {
                Some(value) => {
                    let sealed = seal(key, value);
                    meta.add(key, &sealed);
                    batch.insert(key, sealed);
                }
                None => batch.remove(key),
            }
        }
        if write_meta {
            batch.insert(&Meta::KEY, seal(&Meta::KEY, &meta.encode()));
        }
        let db = self.sled()?;
        guarded(|| db.apply_batch(batch))
    }

    /// Makes what is in sled durable: sled's own flush is no fsync (FACTS B7).
    pub(super) fn flush(&self) -> Result<(), LedgerError> {
        let db = self.sled()?;
        guarded(|| db.flush())?;
        let synced = File::open(self.path.join("db")).and_then(|file| file.sync_data());
        synced.map_err(|error| LedgerError::Retryable(format!("sled: fdatasync: {error}")))
    }

    /// Lets readers see changes that sled does not have yet. Only who holds the writer may.
    pub(super) fn publish(&self, group: &mut Group) {
        group.place = self.published.fetch_add(1, Ordering::Relaxed) + 1;
        let mut above = self.above.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (key, value) in &group.changes {
            above.insert(key.clone(), (group.place, value.clone()));
        }
    }

    /// Place of the group published last.
    pub(super) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Takes over what another view has above its sled; its sled must hold the same rows. Only who
    /// holds the writer may.
    pub(super) fn take_above(&self, old: &View) {
        let theirs = old.above.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        *self.above.write().unwrap_or_else(std::sync::PoisonError::into_inner) = theirs;
        self.published.store(old.published(), Ordering::Relaxed);
    }

    /// The values of some rows as sled has them, for another view.
    pub(super) fn stored(
        &self,
        keys: impl Iterator<Item = IVec>,
    ) -> Result<HashMap<IVec, Option<IVec>>, LedgerError> {
        let one = |key: IVec| match self.raw(&key)? {
            None => Ok((key, None)),
            Some(sealed) => {
                let value = unseal(&key, &sealed).map(IVec::from).ok_or_else(damaged_row)?;
                Ok((key, Some(value)))
            }
        };
        keys.map(one).collect()
    }

    /// Forgets published changes of groups up to a place: sled has them.
    pub(super) fn settle<'a>(&self, through: u64, keys: impl Iterator<Item = &'a IVec>) {
        let mut above = self.above.write().unwrap_or_else(std::sync::PoisonError::into_inner);
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
            let above = self.above.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some((_, value)) = above.get(key) {
                return Ok(value.as_ref().map(|value| value.to_vec()));
            }
        }
        let stored = || match self.raw(key)? {
            None => Ok(None),
            Some(sealed) => unseal(key, &sealed).map(|v| Some(v.to_vec())).ok_or_else(damaged_row),
        };
        self.note(stored())
    }

    /// Rows with a prefix behind a key, in order. No lock outlasts [`COPIED_AT_ONCE`] rows: a commit
    /// waits to publish, and every lookup behind it.
    pub(super) fn scan(
        &self,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, LedgerError> {
        let (mut rows, mut after) = (Vec::new(), after.to_vec());
        loop {
            let room = limit - rows.len();
            // Copied before sled is asked: what moves down in between is seen at least once.
            let (above, end) = self.above_behind(prefix, &after, room.clamp(1, COPIED_AT_ONCE));
            let upper = above.iter().map(|(key, value)| (&key[..], value.as_deref()));
            let lower =
                |after: &[u8], limit: usize| self.stored_rows(prefix, after, end.as_deref(), limit);
            rows.extend(self.note(layered(upper, &lower, &after, room))?);
            match end {
                Some(end) if rows.len() < limit => after = end.to_vec(),
                _ => return Ok(rows),
            }
        }
    }

    /// Changes above with a prefix behind a key; and the last of them, when there may be more.
    fn above_behind(&self, prefix: &[u8], after: &[u8], limit: usize) -> (Changes, Option<IVec>) {
        let above = self.above.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let range = above.range::<[u8], _>((from(prefix, after), Bound::Unbounded));
        let found: Changes = range
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, (_, value))| (key.clone(), value.clone()))
            .collect();
        let end = found.last().filter(|_| found.len() == limit).map(|(key, _)| key.clone());
        (found, end)
    }

    /// Rows in sled with a prefix behind a key, up to another.
    fn stored_rows(
        &self,
        prefix: &[u8],
        after: &[u8],
        through: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, LedgerError> {
        let mut rows = Vec::new();
        let Some(db) = &self.db else { return Ok(rows) };
        let mut range = db.range::<&[u8], _>((from(prefix, after), Bound::Unbounded));
        while rows.len() < limit {
            match guarded(|| range.next().transpose())? {
                Some((key, sealed))
                    if key.starts_with(prefix) && through.is_none_or(|end| &key[..] <= end) =>
                {
                    let value = unseal(&key, &sealed).ok_or_else(damaged_row)?.to_vec();
                    rows.push((key.to_vec(), value));
                }
                _ => break,
            }
        }
        Ok(rows)
    }

    /// Positions of the newest events of an address, newest first.
    pub(super) fn history(&self, address: &str, limit: usize) -> Result<Vec<u64>, LedgerError> {
        let prefix = rows::history_prefix(address);
        let mut removed: HashSet<u64> = HashSet::new();
        let mut seqs: Vec<u64> = Vec::new();
        {
            let above = self.above.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            let mut end = prefix.clone();
            end.extend_from_slice(&[0xff; 9]);
            let range =
                above.range::<[u8], _>((Bound::Included(&prefix[..]), Bound::Included(&end[..])));
            for (key, (_, value)) in range.rev() {
                match (rows::history_seq(key), value) {
                    (Some(seq), None) => drop(removed.insert(seq)),
                    (Some(seq), Some(_)) if seqs.len() < limit => seqs.push(seq),
                    _ => {}
                }
            }
        }
        let mut range = self.db.as_ref().map(|db| db.scan_prefix(&prefix));
        let enough = seqs.len() + limit;
        while let Some(range) = range.as_mut().filter(|_| seqs.len() < enough) {
            match self.note(guarded(|| range.next_back().transpose()))? {
                Some((key, _)) => {
                    seqs.extend(rows::history_seq(&key).filter(|seq| !removed.contains(seq)));
                }
                None => break,
            }
        }
        seqs.sort_unstable_by(|a, b| b.cmp(a));
        seqs.dedup();
        seqs.truncate(limit);
        Ok(seqs)
    }

    /// A page of the fold's rows.
    pub(super) fn page(
        &self,
        prefix: &[u8],
        cursor: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, LedgerError> {
        let limit = limit.max(1);
        let after = key_in(space::FOLD, cursor.unwrap_or_default());
        let mut rows = self.scan(&key_in(space::FOLD, prefix), &after, limit)?;
        for (key, _) in &mut rows {
            key.remove(0);
        }
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.0.clone());
        Ok(Page { rows, next })
    }

    /// Octets on disk.
    pub(super) fn octets(&self) -> u64 {
        self.db.as_ref().and_then(|db| guarded(|| db.size_on_disk()).ok()).unwrap_or(0)
    }
}

/// Where a scan begins: at the prefix, or behind a key.
fn from<'a>(prefix: &'a [u8], after: &'a [u8]) -> Bound<&'a [u8]> {
    if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) }
}

fn damaged_row() -> LedgerError {
    LedgerError::Corrupt("a row fails its CRC".to_string())
}

/// A row as sled wants it; a too long one is refused.
pub(super) fn change(
    key: Vec<u8>,
    value: Option<Vec<u8>>,
) -> Result<(IVec, Option<IVec>), LedgerError> {
    let length = value.as_ref().map_or(0, Vec::len);
    if length > MAX_VALUE || key.len() > rows::MAX_KEY + 16 {
        return Err(LedgerError::Retryable(format!(
            "a row with a key of {} and a value of {length} octets is over the limit of {MAX_VALUE}: \
             the fold must keep rows small",
            key.len()
        )));
    }
    Ok((IVec::from(key), value.map(IVec::from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More changes above than are copied at once, many of them removals; every page size.
    #[test]
    fn a_scan_in_pieces_sees_both_layers() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let view = View::open(dir.path(), 1 << 20, 1).expect("opens");
        let row = |n: usize, value: &[u8]| {
            change(format!("r{n:05}").into_bytes(), Some(value.to_vec())).expect("short")
        };
        let below: HashMap<_, _> = (0..1500).map(|n| row(n, b"below")).collect();
        view.apply(&below, &mut Meta::default(), false).expect("sled takes it");
        // Every second is changed above; of those in the middle nothing is left.
        let changed = (0..2000).step_by(2).map(|n| match n {
            300..1200 => (row(n, b"").0, None),
            n => row(n, b"above"),
        });
        view.publish(&mut Group { seq: 1, place: 0, changes: changed.collect() });
        let wanted: Vec<Row> = (0..2000)
            .filter(|n| *n < 1500 || n % 2 == 0)
            .filter(|n| n % 2 == 1 || !(300..1200).contains(n))
            .map(|n| {
                let value: &[u8] = if n % 2 == 0 { b"above" } else { b"below" };
                (format!("r{n:05}").into_bytes(), value.to_vec())
            })
            .collect();
        for limit in [1, 7, COPIED_AT_ONCE, COPIED_AT_ONCE + 1, 1000, 5000] {
            let (mut found, mut after) = (Vec::new(), Vec::new());
            loop {
                let page = view.scan(b"r", &after, limit).expect("sound");
                assert!(page.len() <= limit);
                let Some((last, _)) = page.last() else { break };
                after.clone_from(last);
                let whole = page.len() == limit;
                found.extend(page);
                if !whole {
                    break;
                }
            }
            assert!(found == wanted, "in pages of {limit}: {} rows", found.len());
        }
    }
}
