//! The blocks of erased addresses: an address that was forgotten stays blocked under a keyed hash
//! (`bounced erase`). Each event is told here, before it is committed, which of its addresses are
//! blocked so, because the fold knows no key.
//!
//! While nobody was ever erased this costs one look at a flag. Without `privacy.hash_key_file` a
//! key is made at first use in `data_dir/privacy.key`; without it the blocks are lost,
//! because nobody can find them any more.

use std::io;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arc_swap::ArcSwap;

use crate::event::{Act, Event};
use crate::ledger::journal::Disk;
use crate::ledger::{Ledger, LedgerError, small_file};
use crate::lock::{self, lock};
use crate::mail::{Address, Case};
use crate::policy::{HashKeys, block_key, touched};

/// Where a key that was made is kept, in the data directory.
pub(super) const KEY_FILE: &str = "privacy.key";

/// Keys, and what is known of the blocks that there are.
pub(super) struct Blocks {
    disk: Arc<dyn Disk>,
    /// `privacy.hash_key_file`
    secret: Mutex<Option<Vec<u8>>>,
    keys: ArcSwap<HashKeys>,
    /// Held for writing while an erasure is journalled, so that no event passes it without knowing
    /// the block.
    gate: RwLock<()>,
    /// Whether there is any block; None: not looked yet.
    any: RwLock<Option<bool>>,
}

impl Blocks {
    /// Reads the keys; `secret` is the key of `privacy.hash_key_file`.
    pub(super) fn open(disk: Arc<dyn Disk>, secret: Option<Vec<u8>>) -> io::Result<Self> {
        let blocks = Self {
            disk,
            secret: Mutex::new(secret),
            keys: ArcSwap::default(),
            gate: RwLock::default(),
            any: RwLock::default(),
        };
        blocks.read_keys()?;
        Ok(blocks)
    }

    /// The keys by which blocks are found.
    pub(super) fn keys(&self) -> Arc<HashKeys> {
        self.keys.load_full()
    }

    /// Takes a new `privacy.hash_key_file` over; gives the old one.
    pub(super) fn replace_secret(&self, secret: Option<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
        let before = {
            let mut stored = lock(&self.secret);
            std::mem::replace(&mut *stored, secret)
        };
        self.read_keys().map(|()| before)
    }

    /// The configured key first; one that was made before stays good for what it hashed.
    fn read_keys(&self) -> io::Result<()> {
        let configured = lock(&self.secret).clone();
        let made = small_file::octets(self.disk.as_ref(), KEY_FILE)?
            .map(|octets| octets.trim_ascii_end().to_vec())
            .filter(|key| !key.is_empty());
        let secrets = configured.iter().chain(&made).map(Vec::as_slice);
        self.keys.store(Arc::new(HashKeys::new(secrets)));
        Ok(())
    }

    /// The hash of an address by the first key, which is made when there is none.
    pub(super) fn hash(&self, address: &str) -> io::Result<String> {
        if let Some(hash) = self.keys.load().hashes(address).into_iter().next() {
            return Ok(hash);
        }
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let text = data_encoding::HEXLOWER.encode(&random) + "\n";
        small_file::replace(self.disk.as_ref(), KEY_FILE, &text)?;
        self.read_keys()?;
        let hash = self.keys.load().hashes(address).into_iter().next();
        hash.ok_or_else(|| io::Error::other("the key that was made cannot be read"))
    }

    /// To be held by whoever commits an event, from before [`Blocks::note`] until it is queued.
    pub(super) fn pass(&self) -> RwLockReadGuard<'_, ()> {
        lock::read(&self.gate)
    }

    /// To be held while an erasure is journalled: nothing else is queued meanwhile.
    pub(super) fn shut(&self) -> RwLockWriteGuard<'_, ()> {
        lock::write(&self.gate)
    }

    /// An erasure was journalled: from now on every event is looked at.
    pub(super) fn there_is_one(&self) {
        *lock::write(&self.any) = Some(true);
    }

    /// Notes under which hash an address of the event is blocked, when it was erased.
    pub(super) fn note(
        &self,
        ledger: &dyn Ledger,
        event: &mut Event,
        case: Case,
    ) -> Result<(), LedgerError> {
        let known = *lock::read(&self.any);
        let any = match known {
            Some(any) => any,
            None => {
                let any = !ledger.list(&block_key(""), None, 1)?.rows.is_empty();
                *lock::write(&self.any) = Some(any);
                any
            }
        };
        if !any {
            return Ok(());
        }
        let keys = self.keys.load();
        for address in named(event, case) {
            let hashes = keys.hashes(&address);
            let wanted: Vec<Vec<u8>> = hashes.iter().map(|hash| block_key(hash)).collect();
            let found = ledger.look_up(&wanted)?;
            let block = hashes.into_iter().zip(found).find(|(_, row)| row.is_some());
            event.erased.extend(block.map(|(hash, _)| (address, hash)));
        }
        Ok(())
    }
}

/// Addresses whose rows an event may write.
fn named(event: &Event, case: Case) -> Vec<String> {
    match &event.act {
        Some(Act::Rejudge { verdicts, .. }) => {
            let recipients = verdicts.iter().flat_map(|(_, verdicts)| verdicts);
            let mut named: Vec<String> = recipients
                .filter_map(|r| Some(Address::parse(r.address()?)?.key_in(case)))
                .collect();
            named.sort_unstable();
            named.dedup();
            named
        }
        _ => touched(event, case),
    }
}
