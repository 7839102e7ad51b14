//! Forgetting a person: `bounced erase` (docs/policy.md, "Privacy").
//!
//! | step | a crash after it |
//! |---|---|
//! | 1. `data_dir/erasing` names the address, synced | the next start begins at 2 |
//! | 2. the act is journalled and folded: strikes go, the block moves under a keyed hash | begins at 2; twice is once |
//! | 3. rows, checkpoints, view and journal are rewritten, raw messages removed | begins at 2 |
//! | 4. `erasing` is removed | done |
//!
//! Mail that comes after 2 is new evidence. Lookups and mail go on all through; only between 1 and
//! 2 events wait for the act to be journalled, as long as one commit takes.

use std::collections::HashSet;
use std::io;

use serde_json::{Value, json};

use super::LocalService;
use super::make_event::act_event;
use super::receipt::{awaited, reply_to_channel};
use super::validate::parsed;
use crate::event::Act;
use crate::ledger::Redact;
use crate::policy::Forgotten;
use crate::service::ServiceError;
use crate::service::redaction::Redaction;

fn failed(error: &io::Error) -> ServiceError {
    ServiceError::Internal(format!("the erasure cannot be written down: {error}"))
}

impl LocalService {
    /// Takes a new `privacy.hash_key_file` over, unless blocks would not be found any more.
    pub fn replace_hash_key(&self, secret: Option<Vec<u8>>) -> Result<(), ServiceError> {
        let before = self.blocks.replace_secret(secret).map_err(|e| failed(&e))?;
        let checked = self.check_keys();
        if checked.is_err() {
            self.blocks.replace_secret(before).map_err(|e| failed(&e))?;
        }
        self.reader.set_hash_keys(self.blocks.keys());
        checked
    }

    /// Forgets a person.
    pub(super) fn erase(&self, address: &str) -> Result<Value, ServiceError> {
        // The copies of the other nodes would keep the address.
        if self.ledger.status().engine.is_some() {
            return Err(ServiceError::BadRequest(
                "nobody can be erased yet from a journal that several nodes share".to_string(),
            ));
        }
        let address = self.pseudonyms.of(&parsed(address)?).key_in(self.case);
        let _one = self.erasure.one_at_a_time();
        if let Some(other) = self.erasure.unfinished().map_err(|e| failed(&e))?
            && other != address
        {
            self.carry_out(&other)?;
        }
        self.carry_out(&address).map_err(|error| match error {
            ServiceError::Busy(why) => ServiceError::Busy(format!(
                "{why}; the erasure goes on when it is asked for again, or at the next start"
            )),
            other => other,
        })
    }

    /// Carries out what an earlier run did not finish; whether there was anything.
    pub fn finish_erasure(&self) -> Result<bool, ServiceError> {
        let _one = self.erasure.one_at_a_time();
        match self.erasure.unfinished().map_err(|e| failed(&e))? {
            None => Ok(false),
            Some(address) => self.carry_out(&address).map(|_| true),
        }
    }

    fn carry_out(&self, address: &str) -> Result<Value, ServiceError> {
        let hash = self.blocks.hash(address).map_err(|e| failed(&e))?;
        self.reader.set_hash_keys(self.blocks.keys());
        self.remember_hash_key()?;
        self.erasure.begin(address).map_err(|e| failed(&e))?;
        let mut act = act_event(Act::Erase { address: address.to_string(), hash: hash.clone() });
        let committed = {
            let _shut = self.blocks.shut();
            act.received_at = self.now();
            self.blocks.note(&*self.ledger, &mut act, self.case)?;
            let (reply, receipt) = reply_to_channel();
            self.committer.submit(act, Box::new(reply))?;
            let committed = awaited(&receipt)?;
            self.blocks.there_is_one();
            committed
        };
        let forgotten = Forgotten::new(address, &hash, self.case);
        let keys = self.blocks.keys();
        let redaction = Redaction::new(&forgotten, &keys);
        let mut ids = HashSet::new();
        let mut line = |seq, line: &str| {
            // What came after the act is new evidence, and its rows know it.
            let (id, line) = redaction.line(line).filter(|_| seq <= committed.seq)?;
            ids.extend(id);
            Some(line)
        };
        let row = |_: &[u8], value: &[u8]| forgotten.row(value);
        let records = self.ledger.redact(Redact { line: &mut line, row: &row })?;
        let raw = self.raw.forget(&ids, &forgotten).map_err(|e| failed(&e))?;
        self.erasure.finished().map_err(|e| failed(&e))?;
        Ok(json!({"seq": committed.seq, "id": committed.id, "records": records,
            "raw_messages": raw}))
    }
}
