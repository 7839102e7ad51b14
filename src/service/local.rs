//! The house behind its doors: takes messages in, answers questions, does what people ask. SMTP,
//! HTTP, lookups and the command line all end here.
//!
//! A message goes: analyse (in memory, on the caller's thread) -> committer (one thread, group
//! commit) -> ledger (journal fsynced, policy folded) -> answer. No tokio, no sockets; the clock
//! and randomness are read here and nowhere below.

mod erasure;
mod make_event;
mod operations;
mod present;
mod pseudonyms;
mod receipt;
mod validate;
mod wall_clock;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use crate::analysis::{Pipeline, Received};
use crate::classify::{Category, Class};
use crate::event::{Analysis, Envelope, Event, EventType};
use crate::ledger::committer::Committer;
use crate::ledger::{Committed, Ledger, LedgerError};
use crate::mail::{Address, Case, Timestamp};
use crate::policy::{self, Reader, Standing};
use crate::report::{Attribution, Kind};
use crate::service::ServiceError;
use crate::service::raw::RawStore;
use erasure::Erasure;
use make_event::{act_event, blank, new_id, unreadable};
use present::entry;
use pseudonyms::Naming;
use receipt::{Receipt, awaited, reply_to_channel};
use validate::checked_scope;
use wall_clock::Time;

/// What is told to metrics about each message.
pub trait HouseObserver: Send + Sync {
    /// A message was answered 250.
    fn stored(&self, tally: &Tally, committed: &Committed);
    /// Shadow rules agreed and disagreed with the live ones so often since the last time.
    fn shadowed(&self, same: u64, different: u64);
}

/// What metrics count of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// What the message is.
    pub kind: Kind,
    /// Class and category of each recipient that has them.
    pub verdicts: Vec<(Class, Option<Category>)>,
}

impl Tally {
    fn of(analysis: &Analysis) -> Self {
        let recipients = analysis.recipients.iter();
        let verdicts = recipients.filter_map(|r| Some((r.class?, r.category))).collect();
        Self { kind: analysis.kind, verdicts }
    }
}

/// Everything behind the doors.
pub struct House {
    pipeline: ArcSwap<Pipeline>,
    ledger: Arc<dyn Ledger>,
    committer: Committer,
    reader: Reader,
    observer: Arc<dyn HouseObserver>,
    time: Time,
    naming: Naming,
    case: Case,
    raw: Option<Arc<RawStore>>,
    erasure: Option<Erasure>,
}

impl House {
    /// Joins the parts. In the data directory stands what the run before knew of the time.
    pub fn new(
        pipeline: Pipeline,
        ledger: Arc<dyn Ledger>,
        committer: Committer,
        observer: Arc<dyn HouseObserver>,
        data_dir: &Path,
    ) -> Self {
        let (pipeline, reader) = (ArcSwap::from_pointee(pipeline), Reader::new());
        let time = Time::start(reader.latest(&*ledger).ok().flatten(), data_dir);
        Self {
            pipeline,
            ledger,
            committer,
            reader,
            observer,
            time,
            naming: Naming::default(),
            case: Case::default(),
            raw: None,
            erasure: None,
        }
    }

    /// Tells local parts apart by case, or not.
    pub fn with_case(mut self, case: Case) -> Self {
        self.reader.set_case(case);
        Self { case, ..self }
    }

    /// Stores no address but under a hash with this key; None: as they are. The error says in a
    /// sentence why these data want the other.
    pub fn with_naming(self, data_dir: &Path, key: Option<&[u8]>) -> Result<Self, String> {
        let empty = self.ledger.status().last_seq == 0;
        Ok(Self { naming: Naming::open(data_dir, key, self.case, empty)?, ..self })
    }

    /// Whether a configuration read anew wants the names that are in force.
    pub fn keeps_naming(&self, key: Option<&[u8]>) -> bool {
        self.naming.is_under(key)
    }

    /// Keeps raw messages, too.
    pub fn with_raw(self, raw: RawStore) -> Self {
        Self { raw: Some(Arc::new(raw)), ..self }
    }

    /// Writes the message down for people, when `journal.raw` says so. Gives what is to be taken
    /// back when the message is not stored under this id.
    fn keep_raw(&self, event: &Event, data: &[u8]) -> Option<(Arc<RawStore>, String)> {
        let raw = self.raw.as_ref()?;
        let kind = event.analysis.as_ref().map_or(Kind::Other, |a| a.kind);
        if !raw.wants(kind) {
            return None;
        }
        if let Err(error) = raw.keep(&event.id, data, event.received_at) {
            tracing::warn!(id = event.id, %error, "the raw message cannot be kept; its event is");
        }
        Some((Arc::clone(raw), event.id.clone()))
    }

    /// The time that expiry counts by: after a jump of the wall clock nothing expires until an
    /// operator agrees (POLICY section 4).
    fn now(&self) -> Timestamp {
        self.time.now()
    }

    /// The check of a forward-path at RCPT.
    pub fn check_return_path(&self, forward_path: &str) -> Result<(), crate::verp::Refusal> {
        self.pipeline.load().verp.at_rcpt(forward_path, self.time.moment())
    }

    /// To be called every few seconds: writes the time down for the next start.
    pub fn beat(&self) {
        self.time.beat();
    }

    /// Hands what the shadow rules counted to the metrics.
    fn count_shadow(&self, pipeline: &Pipeline) {
        if let Some(shadow) = &pipeline.shadow {
            let (same, different) = shadow.take_fresh();
            self.observer.shadowed(same, different);
        }
    }

    /// Takes new rules and keys over; running analyses end with the old ones.
    pub fn replace_pipeline(&self, pipeline: Pipeline) {
        self.count_shadow(&self.pipeline.load());
        self.pipeline.store(Arc::new(pipeline));
    }

    /// Rules and keys in force.
    pub fn pipeline(&self) -> Arc<Pipeline> {
        self.pipeline.load_full()
    }

    /// Journals the policy as the one in force, unless it is so already.
    pub fn put_policy_in_force(&self, wanted: &policy::Policy) -> Result<(), ServiceError> {
        let current = self.reader.policy(&*self.ledger).map_err(trouble)?;
        let case = |policy: &policy::Policy| policy.local_part_case;
        if self.ledger.status().last_seq > 1
            && current.as_ref().map(|c| case(c)).unwrap_or_default() != case(wanted)
        {
            return Err(ServiceError::BadRequest(
                "policy.local_part_case is not the one by which the addresses in data_dir are kept: \
                 write that one, or export the list, start with an empty data_dir and import it"
                    .to_string(),
            ));
        }
        if case(wanted) != self.case {
            return Err(ServiceError::BadRequest(
                "policy.local_part_case is read at start-up: restart the service".to_string(),
            ));
        }
        if current.is_none_or(|c| c.act() != wanted.act()) {
            self.commit(act_event(wanted.act()))?;
        }
        Ok(())
    }

    /// The straight line for one message; `reply` is called once, with what became of it. It is
    /// called on the committer's thread and must not block. On `Err` it is not called.
    pub fn take_in(
        &self,
        data: &[u8],
        envelope: Envelope,
        peer: Option<String>,
        reply: impl FnOnce(Result<Committed, LedgerError>) + Send + 'static,
    ) -> Result<(), LedgerError> {
        let event = self.evidence(data, envelope, peer);
        let tally = event.analysis.as_ref().map(Tally::of);
        let observer = Arc::clone(&self.observer);
        let raw = self.keep_raw(&event, data);
        self.submit(
            event,
            Box::new(move |outcome| {
                if let (Ok(committed), Some(tally)) = (&outcome, &tally) {
                    observer.stored(tally, committed);
                }
                if let Some((raw, id)) = raw
                    && outcome.as_ref().map_or(true, |committed| committed.id != id)
                {
                    raw.drop_again(&id);
                }
                reply(outcome);
            }),
        )
    }

    /// Commits what waits and writes a checkpoint. The last thing before the process ends.
    pub fn shut_down(&self) -> Result<(), LedgerError> {
        self.time.write_down();
        self.committer.shutdown(Timestamp::now())
    }

    /// The record of a message. A defect of ours in reading it must not make the sender come back
    /// with it for ever (RELIABILITY A-27): it is stored as unreadable.
    fn evidence(&self, data: &[u8], envelope: Envelope, peer: Option<String>) -> Event {
        let pipeline = self.pipeline.load();
        self.count_shadow(&pipeline);
        let (id, received_at) = (new_id(), self.now());
        let received = Received {
            data,
            envelope: envelope.clone(),
            peer: peer.clone(),
            received_at,
            moment: self.time.moment(),
            id: id.clone(),
        };
        catch_unwind(AssertUnwindSafe(|| pipeline.evidence(received))).unwrap_or_else(|_| {
            tracing::error!(id, "reading a message panicked; it is stored as unreadable");
            Event {
                id,
                received_at,
                peer,
                envelope: Some(envelope),
                attribution: Some(Attribution::None),
                analysis: Some(unreadable(data.len() as u64)),
                ..blank(EventType::Message)
            }
        })
    }

    /// Commits one event and waits for it.
    fn commit(&self, mut event: Event) -> Result<Committed, ServiceError> {
        event.received_at = self.now();
        awaited(&self.queue(event)?)
    }

    /// Hands one event to the committer; its answer comes through the channel.
    fn queue(&self, event: Event) -> Result<Receipt, ServiceError> {
        let (reply, receipt) = reply_to_channel();
        self.submit(event, Box::new(reply)).map_err(trouble)?;
        Ok(receipt)
    }

    fn standing(
        &self,
        address: &Address,
        scope: Option<&str>,
    ) -> Result<Option<Standing>, ServiceError> {
        scope.map_or(Ok(()), checked_scope)?;
        let (stored, now) = (self.naming.of(address), self.now());
        let found = self.reader.standing(&*self.ledger, &stored, scope, now).map_err(trouble)?;
        Ok(found.map(|standing| Standing { address: address.key_in(self.case), ..standing }))
    }

    /// The entry after an act by hand, also when it stops nothing.
    fn entry_now(&self, address: &Address, scope: &str) -> Result<Value, ServiceError> {
        Ok(match self.standing(address, Some(scope))? {
            Some(standing) => entry(&standing),
            None => json!({"address": address.key_in(self.case), "scope": scope, "state": "clear"}),
        })
    }
}

/// A ledger's trouble as the caller of an operation hears it.
fn trouble(error: LedgerError) -> ServiceError {
    match error {
        LedgerError::Retryable(_) | LedgerError::Ambiguous(_) => {
            ServiceError::Busy(error.to_string())
        }
        LedgerError::Full(_) => ServiceError::Full(error.to_string()),
        LedgerError::Corrupt(_) | LedgerError::Fatal(_) => {
            ServiceError::Internal(error.to_string())
        }
    }
}
