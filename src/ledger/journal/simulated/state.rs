//! What the simulated disk holds, and what of it a power cut leaves.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use super::DiskFault;

/// The names and files of the disk, and the faults that are to come.
#[derive(Default)]
pub(super) struct DiskState {
    pub(super) inodes: HashMap<u64, Inode>,
    /// Names as the running system sees them.
    pub(super) live: BTreeMap<String, u64>,
    /// Names as they are on the platter, and changes not yet there, in order.
    pub(super) durable: BTreeMap<String, u64>,
    pub(super) names_pending: Vec<Vec<(String, Option<u64>)>>,
    pub(super) folders: BTreeSet<String>,
    pub(super) operations: u64,
    /// From which operation on, how many of them, and what.
    pub(super) fault: Option<(u64, u64, DiskFault)>,
    pub(super) dead: bool,
    /// Looking is no operation: for traces that are tried at every step.
    pub(super) reads_are_free: bool,
    pub(super) seed: u64,
    pub(super) next_inode: u64,
    pub(super) used: u64,
}

#[derive(Default, Clone)]
pub(super) struct Inode {
    pub(super) live: Vec<u8>,
    pub(super) platter: Vec<u8>,
    pub(super) pending: Vec<PendingChange>,
}

#[derive(Clone)]
pub(super) enum PendingChange {
    Write(usize, Vec<u8>),
    Cut(usize),
}

pub(super) fn apply(octets: &mut Vec<u8>, change: &PendingChange) {
    match change {
        PendingChange::Write(at, new) => {
            let end = at + new.len();
            octets.resize(octets.len().max(end), 0);
            octets[*at..end].copy_from_slice(new);
        }
        PendingChange::Cut(length) => octets.resize(*length, 0),
    }
}

impl DiskState {
    pub(super) fn random(&mut self, below: usize) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed % below.max(1) as u64) as usize
    }

    /// Counts an operation and says which fault it meets.
    pub(super) fn meet(&mut self) -> Result<Option<DiskFault>, io::Error> {
        if self.dead {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        match self.fault {
            Some((from, count, fault))
                if (from..from.saturating_add(count)).contains(&self.operations) =>
            {
                self.dead = fault == DiskFault::Crash;
                Ok(Some(fault))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn name(&mut self, change: Vec<(String, Option<u64>)>) {
        for (name, inode) in &change {
            match inode {
                Some(inode) => self.live.insert(name.clone(), *inode),
                None => self.live.remove(name),
            };
        }
        self.names_pending.push(change);
    }

    pub(super) fn sync_names(&mut self, wanted: impl Fn(usize, &str) -> bool) {
        let pending = std::mem::take(&mut self.names_pending);
        for (place, change) in pending.into_iter().enumerate() {
            if !change.iter().all(|(name, _)| wanted(place, name)) {
                self.names_pending.push(change);
                continue;
            }
            for (name, inode) in change {
                match inode {
                    Some(inode) => self.durable.insert(name, inode),
                    None => self.durable.remove(&name),
                };
            }
        }
    }

    /// What the platter holds when power goes off: some of what was pending.
    pub(super) fn lose_power(&mut self) {
        let survive = self.random(self.names_pending.len() + 1);
        self.sync_names(|place, _| place < survive);
        self.names_pending.clear();
        let mut numbers: Vec<u64> = self.inodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            let pending = self.inodes.get_mut(&number).map(|i| std::mem::take(&mut i.pending));
            for change in self.survivors(pending.unwrap_or_default()) {
                if let Some(inode) = self.inodes.get_mut(&number) {
                    apply(&mut inode.platter, &change);
                }
            }
            if let Some(inode) = self.inodes.get_mut(&number) {
                inode.live.clone_from(&inode.platter);
            }
        }
        self.live.clone_from(&self.durable);
    }

    /// None, all, a torn prefix, or any 512-octet sectors of what was pending.
    pub(super) fn survivors(&mut self, pending: Vec<PendingChange>) -> Vec<PendingChange> {
        match self.random(4) {
            0 => Vec::new(),
            1 => pending,
            2 => {
                let whole = self.random(pending.len() + 1);
                let torn = match pending.get(whole) {
                    Some(PendingChange::Write(at, new)) => {
                        let length = self.random(new.len() + 1);
                        Some(PendingChange::Write(*at, new[..length].to_vec()))
                    }
                    _ => None,
                };
                pending.into_iter().take(whole).chain(torn).collect()
            }
            _ => {
                let mut kept = Vec::new();
                for change in pending {
                    match change {
                        PendingChange::Write(mut at, new) => {
                            let mut rest = &new[..];
                            while !rest.is_empty() {
                                let sector = (512 - at % 512).min(rest.len());
                                if self.random(2) == 0 {
                                    kept.push(PendingChange::Write(at, rest[..sector].to_vec()));
                                }
                                rest = &rest[sector..];
                                at += sector;
                            }
                        }
                        cut => kept.push(cut),
                    }
                }
                kept
            }
        }
    }
}
