//! The blocks of erased addresses: an address that was forgotten stays blocked under a keyed hash
//! (`bounced erase`). Each event is told here which of its addresses are blocked so, because the fold
//! knows no key: inside of its commit, by the rows as of the event before, so that no event passes an
//! erasure without knowing the block, whichever node journalled it.
//!
//! While nobody was ever erased this costs one look at a flag. Without `privacy.hash_key_file` a
//! key is made at first use in `data_dir/privacy.key`; without it the blocks are lost,
//! because nobody can find them any more.

use std::io;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

use crate::event::{Act, Event};
use crate::ledger::journal::Disk;
use crate::ledger::lock::lock;
use crate::ledger::{LedgerError, Prepare, Rows, small_file};
use crate::mail::{Address, Case};
use crate::policy::{HashKeys, block_key, touched};
use crate::service::ServiceError;

/// Where a key that was made is kept, in the data directory.
pub(super) const KEY_FILE: &str = "privacy.key";

/// Keys, and what is known of the blocks that there are.
pub(super) struct Blocks {
    disk: Arc<dyn Disk>,
    /// `privacy.hash_key_file`
    secret: Mutex<Option<Vec<u8>>>,
    keys: ArcSwap<HashKeys>,
    case: Case,
    /// Whether there is any block; None: not looked yet.
    any: Mutex<Option<bool>>,
}

impl Blocks {
    /// Reads the keys; `secret` is the key of `privacy.hash_key_file`.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        secret: Option<Vec<u8>>,
        case: Case,
    ) -> io::Result<Self> {
        let keys = ArcSwap::new(Arc::new(keys_of(disk.as_ref(), secret.as_deref())?));
        Ok(Self { disk, secret: Mutex::new(secret), keys, case, any: Mutex::default() })
    }

    /// There is a `privacy.hash_key_file`.
    pub(super) fn is_configured(&self) -> bool {
        lock(&self.secret).is_some()
    }

    /// The keys by which blocks are found.
    pub(super) fn keys(&self) -> Arc<HashKeys> {
        self.keys.load_full()
    }

    /// Takes a new `privacy.hash_key_file` over when `check` finds nothing wrong with the keys that
    /// there are then. Until it has, and if it does, the old ones are in force: an event that comes
    /// meanwhile must find its block.
    pub(super) fn replace_secret(
        &self,
        secret: Option<Vec<u8>>,
        check: impl FnOnce(&HashKeys) -> Result<(), ServiceError>,
    ) -> Result<(), ServiceError> {
        let mut stored = lock(&self.secret);
        let keys = keys_of(self.disk.as_ref(), secret.as_deref()).map_err(|error| {
            ServiceError::Internal(format!("the key of erased addresses cannot be read: {error}"))
        })?;
        check(&keys)?;
        self.keys.store(Arc::new(keys));
        *stored = secret;
        Ok(())
    }

    /// The hash of an address by the first key, which is made when there is none.
    pub(super) fn hash(&self, address: &str) -> io::Result<String> {
        let stored = lock(&self.secret);
        if let Some(hash) = self.keys.load().hashes(address).into_iter().next() {
            return Ok(hash);
        }
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let text = data_encoding::HEXLOWER.encode(&random) + "\n";
        small_file::replace(self.disk.as_ref(), KEY_FILE, &text)?;
        self.keys.store(Arc::new(keys_of(self.disk.as_ref(), stored.as_deref())?));
        let hash = self.keys.load().hashes(address).into_iter().next();
        hash.ok_or_else(|| io::Error::other("the key that was made cannot be read"))
    }
}

/// The configured key first; one that was made before stays good for what it hashed.
fn keys_of(disk: &dyn Disk, configured: Option<&[u8]>) -> io::Result<HashKeys> {
    let made = small_file::octets(disk, KEY_FILE)?
        .map(|octets| octets.trim_ascii_end().to_vec())
        .filter(|key| !key.is_empty());
    Ok(HashKeys::new(configured.into_iter().chain(made.as_deref())))
}

impl Prepare for Blocks {
    /// Notes under which hash an address of the event is blocked, when it was erased.
    fn prepare(&self, rows: &dyn Rows, event: &mut Event) -> Result<(), LedgerError> {
        // Of an attempt before, when others may have appended meanwhile.
        event.erased.clear();
        let known = *lock(&self.any);
        let any = match known {
            Some(any) => any,
            None => {
                let any = !rows.scan(&block_key(""), &[], 1)?.is_empty();
                lock(&self.any).get_or_insert(any);
                any
            }
        };
        if !any {
            return Ok(());
        }
        let keys = self.keys.load();
        for address in named(event, self.case) {
            for hash in keys.hashes(&address) {
                if rows.get(&block_key(&hash))?.is_some() {
                    event.erased.push((address, hash));
                    break;
                }
            }
        }
        Ok(())
    }

    /// After an erasure every event is looked at.
    fn folds(&self, event: &Event) {
        if matches!(event.act, Some(Act::Erase { .. })) {
            *lock(&self.any) = Some(true);
        }
    }
}

/// Addresses whose rows an event may write.
fn named(event: &Event, case: Case) -> Vec<String> {
    match &event.act {
        Some(Act::Rejudge { verdicts, .. }) => {
            let recipients = verdicts.iter().flat_map(|(_, verdicts)| verdicts);
            let mut named: Vec<String> = recipients
                .filter_map(|r| Some(Address::stored(r.address()?)?.key_in(case)))
                .collect();
            named.sort_unstable();
            named.dedup();
            named
        }
        _ => touched(event, case),
    }
}
