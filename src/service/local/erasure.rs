//! Forgetting a person: `bounced erase` (POLICY section 6).
//!
//! | step | a crash behind it |
//! |---|---|
//! | 1. `data_dir/erasing` names the address, synced | the next start begins at 2 |
//! | 2. the act is journalled and folded: strikes go, the block moves under a keyed hash | begins at 2; twice is once |
//! | 3. journal, checkpoints and view are rewritten, raw messages removed | begins at 2 |
//! | 4. `erasing` is removed | done |
//!
//! Mail that comes between 2 and 4 is new evidence. While the view is built anew (3) mail is
//! deferred with 451. Without `privacy.hash_key_file` a key is made at first use in
//! `data_dir/privacy.key`; who loses it loses the blocks, for nobody can find them any more.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::make_event::act_event;
use super::receipt::{awaited, reply_to_channel};
use super::validate::parsed;
use super::{House, trouble};
use crate::event::{Act, Event};
use crate::ledger::LedgerError;
use crate::ledger::committer::Reply;
use crate::mail::{Address, Case};
use crate::policy::{Forgotten, HashKeys, block_key, touched};
use crate::service::ServiceError;
use crate::service::redaction::Redaction;

/// What House needs for it.
pub(super) struct Erasure {
    data_dir: PathBuf,
    /// `privacy.hash_key_file`
    secret: Mutex<Option<Vec<u8>>>,
    keys: ArcSwap<HashKeys>,
    /// Held shut while an act is journalled, so that no event passes it without knowing the block.
    gate: RwLock<()>,
    /// One erasure at a time.
    busy: Mutex<()>,
    /// Whether there is any block; None: not looked yet.
    blocks: RwLock<Option<bool>>,
}

impl Erasure {
    fn open(data_dir: &Path, secret: Option<Vec<u8>>) -> io::Result<Self> {
        let erasure = Self {
            data_dir: data_dir.to_path_buf(),
            secret: Mutex::new(secret),
            keys: ArcSwap::default(),
            gate: RwLock::default(),
            busy: Mutex::default(),
            blocks: RwLock::default(),
        };
        erasure.read_keys()?;
        Ok(erasure)
    }

    fn key_file(&self) -> PathBuf {
        self.data_dir.join("privacy.key")
    }

    fn intent_file(&self) -> PathBuf {
        self.data_dir.join("erasing")
    }

    /// The configured key first; one that was made before stays good for what it hashed.
    fn read_keys(&self) -> io::Result<()> {
        let configured = self.secret.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let made = match fs::read(self.key_file()) {
            Ok(octets) => Some(octets.trim_ascii_end().to_vec()).filter(|key| !key.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let secrets = configured.iter().chain(&made).map(Vec::as_slice);
        self.keys.store(Arc::new(HashKeys::new(secrets)));
        Ok(())
    }

    /// The hash of an address by the first key, which is made when there is none.
    fn hash(&self, address: &str) -> io::Result<String> {
        if let Some(hash) = self.keys.load().hashes(address).into_iter().next() {
            return Ok(hash);
        }
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let text = data_encoding::HEXLOWER.encode(&random) + "\n";
        write_whole(&self.key_file(), &text)?;
        self.read_keys()?;
        let hash = self.keys.load().hashes(address).into_iter().next();
        hash.ok_or_else(|| io::Error::other("the key that was made cannot be read"))
    }

    /// The address whose erasure was not finished.
    fn intent(&self) -> io::Result<Option<String>> {
        match fs::read_to_string(self.intent_file()) {
            Ok(address) => Ok(Some(address.trim_end().to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn finished(&self) -> io::Result<()> {
        fs::remove_file(self.intent_file())?;
        File::open(&self.data_dir)?.sync_all()
    }
}

/// A small file, whole or not at all, for its owner only.
pub(super) fn write_whole(file: &Path, text: &str) -> io::Result<()> {
    let part = file.with_extension("part");
    let mut options = OpenOptions::new();
    let mut open = options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    open.write_all(text.as_bytes())?;
    open.sync_all()?;
    fs::rename(&part, file)?;
    match file.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

fn failed(error: &io::Error) -> ServiceError {
    ServiceError::Internal(format!("the erasure cannot be written down: {error}"))
}

impl House {
    /// Can forget people; `secret` is the key of `privacy.hash_key_file`.
    pub fn with_privacy(self, data_dir: &Path, secret: Option<Vec<u8>>) -> io::Result<Self> {
        let erasure = Erasure::open(data_dir, secret)?;
        self.reader.set_hash_keys(erasure.keys.load_full());
        Ok(Self { erasure: Some(erasure), ..self })
    }

    /// Takes a new `privacy.hash_key_file` over. Blocks under the old one are not found any more.
    pub fn replace_hash_key(&self, secret: Option<Vec<u8>>) -> io::Result<()> {
        let Some(erasure) = &self.erasure else { return Ok(()) };
        *erasure.secret.lock().unwrap_or_else(PoisonError::into_inner) = secret;
        erasure.read_keys()?;
        self.reader.set_hash_keys(erasure.keys.load_full());
        Ok(())
    }

    /// Hands an event to the committer, with what it must know of erased addresses.
    pub(super) fn submit(&self, mut event: Event, reply: Reply) -> Result<(), LedgerError> {
        let Some(veiled) = self.naming.veil(event) else {
            let why = "an event cannot be written without its addresses";
            return Err(LedgerError::Retryable(why.to_string()));
        };
        event = veiled;
        let Some(erasure) = &self.erasure else { return self.committer.submit(event, reply) };
        let _open = erasure.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.note_blocks(erasure, &mut event)?;
        self.committer.submit(event, reply)
    }

    /// Notes under which hash an address of the event is blocked, when it was erased.
    fn note_blocks(&self, erasure: &Erasure, event: &mut Event) -> Result<(), LedgerError> {
        let known = *erasure.blocks.read().unwrap_or_else(PoisonError::into_inner);
        let any = match known {
            Some(any) => any,
            None => {
                let any = !self.ledger.list(&block_key(""), None, 1)?.rows.is_empty();
                *erasure.blocks.write().unwrap_or_else(PoisonError::into_inner) = Some(any);
                any
            }
        };
        if !any {
            return Ok(());
        }
        let keys = erasure.keys.load();
        for address in named(event, self.case) {
            let hashes = keys.hashes(&address);
            let blocks: Vec<Vec<u8>> = hashes.iter().map(|hash| block_key(hash)).collect();
            let found = self.ledger.look_up(&blocks)?;
            let block = hashes.into_iter().zip(found).find(|(_, row)| row.is_some());
            event.erased.extend(block.map(|(hash, _)| (address, hash)));
        }
        Ok(())
    }

    /// Forgets a person.
    pub(super) fn erase(&self, address: &str) -> Result<Value, ServiceError> {
        let Some(erasure) = &self.erasure else {
            let text = "this service cannot erase: it knows no data directory";
            return Err(ServiceError::BadRequest(text.to_string()));
        };
        let address = self.naming.of(&parsed(address)?).key_in(self.case);
        let _one = erasure.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = erasure.intent().map_err(|e| failed(&e))?
            && other != address
        {
            self.carry_out(erasure, &other)?;
        }
        self.carry_out(erasure, &address).map_err(|error| match error {
            ServiceError::Busy(why) => ServiceError::Busy(format!(
                "{why}; the erasure goes on when it is asked for again, or at the next start"
            )),
            other => other,
        })
    }

    /// Carries out what an earlier run did not finish; whether there was anything.
    pub fn finish_erasure(&self) -> Result<bool, ServiceError> {
        let Some(erasure) = &self.erasure else { return Ok(false) };
        let _one = erasure.busy.lock().unwrap_or_else(PoisonError::into_inner);
        match erasure.intent().map_err(|e| failed(&e))? {
            None => Ok(false),
            Some(address) => self.carry_out(erasure, &address).map(|_| true),
        }
    }

    fn carry_out(&self, erasure: &Erasure, address: &str) -> Result<Value, ServiceError> {
        let hash = erasure.hash(address).map_err(|e| failed(&e))?;
        self.reader.set_hash_keys(erasure.keys.load_full());
        write_whole(&erasure.intent_file(), address).map_err(|e| failed(&e))?;
        let mut act = act_event(Act::Erase { address: address.to_string(), hash: hash.clone() });
        let committed = {
            let _shut = erasure.gate.write().unwrap_or_else(PoisonError::into_inner);
            act.received_at = self.now();
            self.note_blocks(erasure, &mut act).map_err(trouble)?;
            let (reply, receipt) = reply_to_channel();
            self.committer.submit(act, Box::new(reply)).map_err(trouble)?;
            let committed = awaited(&receipt)?;
            *erasure.blocks.write().unwrap_or_else(PoisonError::into_inner) = Some(true);
            committed
        };
        let forgotten = Forgotten::new(address, &hash, self.case);
        let keys = erasure.keys.load_full();
        let redaction = Redaction::new(&forgotten, &keys);
        let mut ids = HashSet::new();
        let records = self
            .ledger
            .redact(&mut |_, line| {
                let (id, line) = redaction.line(line)?;
                ids.extend(id);
                Some(line)
            })
            .map_err(trouble)?;
        let raw = match &self.raw {
            Some(raw) => raw.forget(&ids, &forgotten).map_err(|e| failed(&e))?,
            None => 0,
        };
        erasure.finished().map_err(|e| failed(&e))?;
        Ok(json!({"seq": committed.seq, "id": committed.id, "records": records,
            "raw_messages": raw}))
    }
}

/// Addresses whose rows an event may write.
fn named(event: &Event, case: Case) -> Vec<String> {
    match &event.act {
        Some(Act::Rejudge { verdicts, .. }) => {
            let recipients = verdicts.iter().flat_map(|(_, verdicts)| verdicts);
            let mut named: Vec<String> = recipients
                .filter_map(|r| Some(Address::parse(r.address.as_deref()?)?.key_in(case)))
                .collect();
            named.sort_unstable();
            named.dedup();
            named
        }
        _ => touched(event, case),
    }
}
