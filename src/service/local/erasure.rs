//! Forgetting a person: `bounced erase` (docs/policy.md, "Privacy").
//!
//! | step | a crash after it |
//! |---|---|
//! | 1. `data_dir/erasing` names the address, with a sum, synced | the next start begins at 2 |
//! | 2. the act is journalled and folded: strikes go, the block moves under a keyed hash | begins at 2; twice is once |
//! | 3. rows, checkpoints, view and journal are rewritten, raw messages removed | begins at 2 |
//! | 4. `erasing` is removed | done |
//!
//! Mail that comes after 2 is new evidence. Lookups and mail go on all through.
//!
//! Of a shared journal the act reaches all nodes, and each does step 3 with what it has
//! ([`LocalService::follow_erasures`]); the one that was asked rewrites the shared records, too, and its
//! answer names the nodes that are still due.

use std::collections::HashSet;
use std::io;

use serde_json::{Value, json};

use super::LocalService;
use super::intent::damaged_note;
use super::make_event::act_event;
use super::receipt::{awaited, reply_to_channel};
use super::validate::parsed;
use crate::event::{Act, Event};
use crate::ledger::{LedgerStatus, Redact};
use crate::policy::Forgotten;
use crate::service::ServiceError;
use crate::service::redaction::Redaction;

/// Records that are looked at between two reads.
const RECORDS_AT_ONCE: usize = 500;

/// What a person was taken out of.
struct TakenOut {
    records: u64,
    raw_messages: u64,
}

fn failed(error: &io::Error) -> ServiceError {
    ServiceError::Internal(format!("the erasure cannot be written down: {error}"))
}

impl LocalService {
    /// Takes a new `privacy.hash_key_file` over, unless blocks would not be found any more.
    pub fn replace_hash_key(&self, secret: Option<Vec<u8>>) -> Result<(), ServiceError> {
        self.blocks.replace_secret(secret, |keys| self.check_keys(keys))?;
        self.reader.set_hash_keys(self.blocks.keys());
        Ok(())
    }

    /// The status of the ledger, and whether the note of an erasure was damaged.
    pub(super) fn ledger_status(&self) -> LedgerStatus {
        let mut status = self.ledger.status();
        status.troubles.extend(damaged_note(&self.data_dir));
        status
    }

    /// Forgets a person.
    pub(super) fn erase(&self, address: &str) -> Result<Value, ServiceError> {
        // Under a key of its own no other node would find the block.
        if self.ledger.others().is_some() && !self.blocks.is_configured() {
            return Err(ServiceError::BadRequest(
                "several nodes share this list, and find the block of an erased address by one key: \
                 name the same file in privacy.hash_key_file on all nodes first"
                    .to_string(),
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
        act.received_at = self.now();
        let (reply, receipt) = reply_to_channel();
        self.committer.submit(act, Box::new(reply))?;
        let committed = awaited(&receipt)?;
        let (forgotten, seq) = (Forgotten::new(address, &hash, self.case), committed.seq);
        let others = self.ledger.others();
        if let Some(others) = others {
            others.begin_erasure(seq, &hash)?;
            // Afterwards this node counts as one that carried out all before this one.
            for earlier in others.erasures_before(seq)? {
                self.follow_erasure(earlier)?;
            }
        }
        let mut taken_out = self.take_out(&forgotten, seq)?;
        let mut told = json!({"seq": seq, "id": committed.id});
        if let Some(others) = others {
            let keys = self.blocks.keys();
            let redaction = Redaction::new(&forgotten, &keys);
            let mut line = |_: u64, line: &str| Some(redaction.line(line)?.1);
            // What an attempt before rewrote is not counted again.
            taken_out.records = others.end_erasure(seq, &hash, &mut line)?.max(taken_out.records);
            others.erasure_is_done(seq)?;
            told["nodes_due"] = others.nodes_due(seq)?.into();
        }
        self.erasure.finished().map_err(|e| failed(&e))?;
        told["records"] = taken_out.records.into();
        told["raw_messages"] = taken_out.raw_messages.into();
        Ok(told)
    }

    /// Takes a person out of what this node has up to the act at a position.
    fn take_out(&self, forgotten: &Forgotten, act: u64) -> Result<TakenOut, ServiceError> {
        let keys = self.blocks.keys();
        let redaction = Redaction::new(forgotten, &keys);
        let mut ids = HashSet::new();
        let mut line = |seq, line: &str| {
            // What came after the act is new evidence, and its rows know it.
            let (id, line) = redaction.line(line).filter(|_| seq <= act)?;
            ids.extend(id);
            Some(line)
        };
        let row = |_: &[u8], value: &[u8]| forgotten.row(value);
        let records = self.ledger.redact(Redact { line: &mut line, row: &row })?;
        let raw_messages = self.raw.forget(&ids, forgotten).map_err(|e| failed(&e))?;
        Ok(TakenOut { records, raw_messages })
    }

    /// Carries out what other nodes were asked to erase; gives how many. To be called now and then by
    /// a node that shares its journal.
    pub fn follow_erasures(&self) -> Result<usize, ServiceError> {
        let Some(others) = self.ledger.others() else { return Ok(0) };
        let _one = self.erasure.one_at_a_time();
        let due = others.erasures_due()?;
        for seq in &due {
            self.follow_erasure(*seq)?;
            others.erasure_is_done(*seq)?;
        }
        Ok(due.len())
    }

    /// Carries out an erasure by its act.
    fn follow_erasure(&self, seq: u64) -> Result<(), ServiceError> {
        let line = self.ledger.journal(seq, 1)?.pop();
        let Some((_, line)) = line.filter(|(found, _)| *found == seq) else {
            // The act is gone with the records before it, and this copy was begun after that.
            return match seq < self.ledger.status().first_seq {
                true => self.forget_raw_before_copy(),
                false => Err(ServiceError::Internal(format!("record {seq} cannot be read"))),
            };
        };
        let act = serde_json::from_str::<Event>(&line).ok().and_then(|event| event.act);
        let Some(Act::Erase { address, hash }) = act else {
            return Err(ServiceError::Internal(format!("record {seq} is no erasure")));
        };
        match Forgotten::is_mark(&address) {
            true => self.take_out_raw(&address, seq),
            false => self.take_out(&Forgotten::new(&address, &hash, self.case), seq).map(drop),
        }
    }

    /// The copy was taken when the person was out of it already: raw messages may be from before. They
    /// are those of the records with the mark.
    fn take_out_raw(&self, mark: &str, act: u64) -> Result<(), ServiceError> {
        let (mut ids, mut next) = (HashSet::new(), 1);
        while next <= act {
            let lines = self.ledger.journal(next, RECORDS_AT_ONCE)?;
            let Some((last, _)) = lines.last() else { break };
            next = last + 1;
            for (seq, line) in lines {
                if seq <= act && line.contains(mark) {
                    ids.extend(serde_json::from_str::<Event>(&line).ok().map(|event| event.id));
                }
            }
        }
        let nobody = Forgotten::new(mark, "", self.case);
        self.raw.forget(&ids, &nobody).map_err(|e| failed(&e))?;
        self.forget_raw_before_copy()
    }

    /// Whom raw messages are about whose records are gone cannot be known: they go, too.
    fn forget_raw_before_copy(&self) -> Result<(), ServiceError> {
        let first = self.ledger.status().first_seq;
        let line = self.ledger.journal(first, 1)?.pop();
        let event = line.and_then(|(_, line)| serde_json::from_str::<Event>(&line).ok());
        let begins = event.map(|event| event.received_at).filter(|_| first > 1);
        let Some(begins) = begins else { return Ok(()) };
        self.raw.forget_before(begins).map(drop).map_err(|e| failed(&e))
    }
}
