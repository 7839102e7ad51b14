//! A disk in memory that is as bad as disks are (the idea is SQLite's test6.c): it forgets what was
//! not synced, tears and reorders it, fails at the k-th operation, and once an fsync has failed it
//! calls the lost pages clean (PostgreSQL's fsyncgate). Every call can fail: also opens (EMFILE,
//! EACCES), lists, reads, folders. Names are durable folder by folder. Seeded, so every failure can
//! be repeated.
//!
//! Using a descriptor again after its write or sync failed panics: the rule of `disk.rs`.

mod state;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use super::disk::{Disk, DiskFile};
use crate::ledger::lock::lock;
use state::{DiskState, Inode, PendingChange, apply};

/// What happens at the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskFault {
    /// Power goes off: this operation may have happened in part, later ones fail.
    Crash,
    /// EIO.
    Broken,
    /// ENOSPC.
    Full,
    /// EMFILE: no descriptor is left.
    Files,
    /// EACCES.
    Denied,
}

/// The disk; clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimulatedDisk {
    state: Arc<Mutex<DiskState>>,
}

fn failure(fault: DiskFault) -> io::Error {
    match fault {
        DiskFault::Crash => io::Error::other("the power went off"),
        DiskFault::Broken => io::Error::other("input/output error"),
        DiskFault::Files => io::Error::from_raw_os_error(24),
        DiskFault::Denied => io::ErrorKind::PermissionDenied.into(),
        DiskFault::Full => io::Error::new(io::ErrorKind::StorageFull, "no space left on device"),
    }
}

impl SimulatedDisk {
    pub(crate) fn new(seed: u64) -> Self {
        let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let folders = BTreeSet::from([String::new()]);
        Self { state: Arc::new(Mutex::new(DiskState { seed, folders, ..DiskState::default() })) }
    }

    /// From now on only what changes something is counted and fails.
    pub(crate) fn reads_are_free(&self) {
        lock(&self.state).reads_are_free = true;
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> u64 {
        lock(&self.state).operations
    }

    /// From the operation `from` (counted from the beginning) on, `count` operations fail.
    pub(crate) fn fail(&self, from: u64, count: u64, fault: DiskFault) {
        lock(&self.state).fault = Some((from, count, fault));
    }

    /// Power off and on again.
    pub(crate) fn reboot(&self) {
        let mut state = lock(&self.state);
        state.lose_power();
        state.dead = false;
        state.fault = None;
    }

    /// Changes one octet of a file on the platter.
    pub(crate) fn flip(&self, name: &str, at: usize) {
        let mut state = lock(&self.state);
        let number = state.live[name];
        let inode = state.inodes.get_mut(&number).expect("a named inode");
        inode.live[at] ^= 0x04;
        inode.platter[at] ^= 0x04;
    }

    /// Leaves so many octets free.
    pub(crate) fn set_free(&self, octets: u64) {
        lock(&self.state).used = u64::MAX - octets;
    }

    /// What a file holds.
    pub(crate) fn contents(&self, name: &str) -> Vec<u8> {
        let state = lock(&self.state);
        state.inodes[&state.live[name]].live.clone()
    }

    /// All names, and how much the files hold; no operation of the disk.
    pub(crate) fn look(&self) -> Vec<(String, usize)> {
        let state = lock(&self.state);
        let length = |number: &u64| state.inodes.get(number).map_or(0, |inode| inode.live.len());
        state.live.iter().map(|(name, number)| (name.clone(), length(number))).collect()
    }

    /// No fault is to come any more.
    pub(crate) fn heal(&self) {
        lock(&self.state).fault = None;
    }

    fn name_operation(&self, change: Vec<(String, Option<u64>)>) -> io::Result<()> {
        let mut state = lock(&self.state);
        match state.meet()? {
            Some(DiskFault::Crash) => {
                state.name(change);
                Err(failure(DiskFault::Crash))
            }
            Some(fault) => Err(failure(fault)),
            None => {
                state.name(change);
                Ok(())
            }
        }
    }

    /// An operation that changes nothing.
    fn meet(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.reads_are_free {
            return match state.dead {
                true => Err(failure(DiskFault::Crash)),
                false => Ok(()),
            };
        }
        state.meet()?.map_or(Ok(()), |fault| Err(failure(fault)))
    }

    /// Puts a file there that nobody here wrote.
    pub(crate) fn plant(&self, name: &str, octets: &[u8]) {
        let mut state = lock(&self.state);
        state.next_inode += 1;
        let number = state.next_inode;
        let inode = Inode { live: octets.to_vec(), platter: octets.to_vec(), ..Inode::default() };
        state.inodes.insert(number, inode);
        state.live.insert(name.to_string(), number);
        state.durable.insert(name.to_string(), number);
    }

    fn number_of(&self, name: &str) -> io::Result<u64> {
        let state = lock(&self.state);
        state.live.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimulatedDisk {
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.meet()?;
        let state = lock(&self.state);
        let names = state.live.keys().filter_map(|name| name.strip_prefix(dir)?.strip_prefix('/'));
        Ok(names.map(str::to_string).collect())
    }

    fn is_file(&self, name: &str) -> io::Result<Option<bool>> {
        self.meet()?;
        Ok(lock(&self.state).live.contains_key(name).then_some(true))
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        self.meet()?;
        lock(&self.state).folders.insert(dir.to_string());
        Ok(())
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let number = match self.number_of(name) {
            Err(_) if create => {
                let number = {
                    let mut state = lock(&self.state);
                    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                    assert!(state.folders.contains(folder), "{folder} was not made");
                    state.next_inode += 1;
                    let number = state.next_inode;
                    state.inodes.insert(number, Inode::default());
                    number
                };
                self.name_operation(vec![(name.to_string(), Some(number))])?;
                number
            }
            other => {
                self.meet()?;
                other?
            }
        };
        Ok(Box::new(SimulatedFile { disk: self.clone(), number, failed: false }))
    }

    fn refresh(&self, name: &str, from: u64) -> io::Result<()> {
        let mut file =
            SimulatedFile { disk: self.clone(), number: self.number_of(name)?, failed: false };
        file.change(
            |inode| {
                let from = (from as usize).min(inode.live.len());
                PendingChange::Write(from, inode.live[from..].to_vec())
            },
            |_, change| Some(change),
        )?;
        file.sync()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let number = self.number_of(from)?;
        self.name_operation(vec![(from.to_string(), None), (to.to_string(), Some(number))])
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.number_of(name)?;
        self.name_operation(vec![(name.to_string(), None)])
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = lock(&self.state);
        match state.meet()? {
            Some(fault) => Err(failure(fault)),
            None => {
                state.sync_names(|_, name| name.rsplit_once('/').map_or("", |n| n.0) == dir);
                Ok(())
            }
        }
    }

    fn free(&self) -> io::Result<u64> {
        Ok(u64::MAX - lock(&self.state).used)
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    number: u64,
    failed: bool,
}

impl SimulatedFile {
    /// Does something to the inode; a fault may keep `part` of it.
    fn change(
        &mut self,
        whole: impl FnOnce(&Inode) -> PendingChange,
        part: impl FnOnce(&mut DiskState, PendingChange) -> Option<PendingChange>,
    ) -> io::Result<()> {
        assert!(!self.failed, "a descriptor was used again after a failed write or sync");
        let mut state = lock(&self.disk.state);
        let met = state.meet()?;
        let Some(inode) = state.inodes.get(&self.number) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut change = Some(whole(inode));
        if met.is_some() {
            self.failed = true;
            change = change.and_then(|change| part(&mut state, change));
        }
        if let (Some(change), Some(inode)) = (change, state.inodes.get_mut(&self.number)) {
            apply(&mut inode.live, &change);
            inode.pending.push(change);
        }
        met.map_or(Ok(()), |fault| Err(failure(fault)))
    }
}

impl DiskFile for SimulatedFile {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.change(
            |inode| PendingChange::Write(inode.live.len(), octets.to_vec()),
            |state, change| match change {
                PendingChange::Write(at, new) => {
                    let length = state.random(new.len() + 1);
                    Some(PendingChange::Write(at, new[..length].to_vec()))
                }
                PendingChange::Cut(_) => None,
            },
        )
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.change(|_| PendingChange::Cut(length as usize), |_, _| None)
    }

    fn sync(&mut self) -> io::Result<()> {
        assert!(!self.failed, "a descriptor was used again after a failed write or sync");
        let mut state = lock(&self.disk.state);
        let met = state.meet()?;
        if met == Some(DiskFault::Crash) {
            return Err(failure(DiskFault::Crash));
        }
        let number = self.number;
        let pending = state.inodes.get_mut(&number).map(|i| std::mem::take(&mut i.pending));
        let mut written = pending.unwrap_or_default();
        if met.is_some() {
            // The pages are clean now as far as the kernel is concerned; some never arrived.
            self.failed = true;
            written = state.survivors(written);
        }
        if let Some(inode) = state.inodes.get_mut(&number) {
            for change in &written {
                apply(&mut inode.platter, change);
            }
        }
        met.map_or(Ok(()), |fault| Err(failure(fault)))
    }

    fn has_name(&self) -> io::Result<bool> {
        Ok(lock(&self.disk.state).live.values().any(|number| *number == self.number))
    }

    fn length(&self) -> io::Result<u64> {
        let state = lock(&self.disk.state);
        Ok(state.inodes.get(&self.number).map_or(0, |inode| inode.live.len() as u64))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.meet()?;
        let state = lock(&self.disk.state);
        let Some(inode) = state.inodes.get(&self.number) else { return Ok(0) };
        let rest = inode.live.get(offset as usize..).unwrap_or_default();
        // Short reads are legal: hand out odd pieces.
        let n = rest.len().min(into.len()).min(4099);
        into[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}
