//! The service in this process: takes messages in, answers questions, does what people ask. SMTP,
//! HTTP, lookups and the command line all end here.
//!
//! A message goes: analyse (in memory, on the caller's thread) -> committer (one thread, group
//! commit) -> ledger (journal fsynced, policy folded) -> answer. No tokio, no sockets; the clock
//! and randomness are read here and nowhere below.

mod blocks;
mod commit;
mod erasure;
mod import;
mod intent;
mod key_facts;
mod log;
mod make_event;
mod operations;
mod present;
mod pseudonyms;
mod receipt;
mod search;
mod trend;
mod validate;
mod wall_clock;

pub use intent::damaged_note;
pub use key_facts::check_stored_keys;
pub use make_event::new_id;
pub use wall_clock::clock_doubt;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use crate::analysis::{Analyser, Received};
use crate::classify::{Category, Class};
use crate::config::Unscoped;
use crate::event::{Analysis, Envelope, Event, EventType};
use crate::ledger::committer::Committer;
use crate::ledger::journal::{Disk, RealDisk};
use crate::ledger::repeated::{Repeated, Say};
use crate::ledger::{Committed, Ledger, LedgerError, Prepare};
use crate::mail::{Address, Case, Timestamp};
use crate::policy::{self, PolicyReader, Standing};
use crate::report::{Attribution, Kind};
use crate::service::occurrence::{self, Occurrence, OccurrencePlace};
use crate::service::raw_messages::RawStore;
use crate::service::{CANARY_DOMAIN, ServiceError};
pub use log::{LoggedWords, MessageSource, Stored};

use blocks::Blocks;
use intent::ErasureIntent;
use make_event::{act_event, blank, unreadable};
use present::entry;
use pseudonyms::Pseudonyms;
use trend::Trends;
use validate::checked_scope;
use wall_clock::Time;

/// Records that are made into occurrences at once.
const RECORDS_AT_ONCE: usize = 64;

/// What is told to metrics about each message.
pub trait MessageObserver: Send + Sync {
    /// A message was answered 250.
    fn stored(&self, tally: &MessageTally, committed: &Committed);
    /// Shadow rules agreed and disagreed with the live ones so often since the last time.
    fn shadowed(&self, same: u64, different: u64);
}

/// What metrics count of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageTally {
    /// What the message is.
    pub kind: Kind,
    /// Its octets.
    pub octets: u64,
    /// How long it took to read and judge it.
    pub took: Duration,
    /// Class and category of each recipient that has them.
    pub verdicts: Vec<(Class, Option<Category>)>,
    /// Provider, of the closed table, and category of each recipient that failed.
    pub failures: Vec<(Option<String>, Category)>,
    /// It is what `bounced canary` sends.
    pub is_canary: bool,
    /// What the log tells.
    pub words: LoggedWords,
}

impl MessageTally {
    fn of(event: &Event, analysis: &Analysis, took: Duration) -> Self {
        let recipients = analysis.recipients.iter();
        let verdicts = recipients.clone().filter_map(|r| Some((r.class?, r.category))).collect();
        let is_canary = recipients
            .clone()
            .any(|r| r.recipient.address.as_ref().is_some_and(|a| a.domain() == CANARY_DOMAIN));
        let failures = recipients.filter_map(|r| Some((r.provider.clone(), r.category?))).collect();
        let (kind, octets, words) = (analysis.kind, analysis.bytes, LoggedWords::of(event));
        Self { kind, octets, took, verdicts, failures, is_canary, words }
    }
}

/// What a [`LocalService`] is made of.
pub struct Parts {
    /// Rules and keys.
    pub analyser: Analyser,
    /// Journal and view.
    pub ledger: Arc<dyn Ledger>,
    /// The thread that commits to the ledger.
    pub committer: Committer,
    /// Who counts.
    pub observer: Arc<dyn MessageObserver>,
    /// Where raw messages are kept.
    pub raw: RawStore,
    /// Where the run before wrote down the time, and where small files go.
    pub data_dir: PathBuf,
    /// Whether local parts that differ in case are one address.
    pub case: Case,
    /// What a question without a scope is about.
    pub unscoped: Unscoped,
    /// Keys of `[privacy]`.
    pub privacy: PrivacyKeys,
}

/// Keys of `[privacy]`.
#[derive(Debug, Clone, Default)]
pub struct PrivacyKeys {
    /// Addresses are stored as hashes with this key; None: as they are.
    pub name_key: Option<Vec<u8>>,
    /// `privacy.hash_key_file`, for the blocks of erased addresses.
    pub hash_key: Option<Vec<u8>>,
}

/// The service in this process.
pub struct LocalService {
    analyser: ArcSwap<Analyser>,
    ledger: Arc<dyn Ledger>,
    committer: Committer,
    reader: PolicyReader,
    observer: Arc<dyn MessageObserver>,
    time: Time,
    pseudonyms: Pseudonyms,
    case: Case,
    unscoped: Unscoped,
    raw: Arc<RawStore>,
    raw_failures: Repeated<std::io::ErrorKind>,
    blocks: Arc<Blocks>,
    erasure: ErasureIntent,
    data_dir: PathBuf,
    trends: Trends,
    /// Held by whoever commits many events, see `commit_many`.
    many: Mutex<()>,
}

impl LocalService {
    /// The service made of its parts. The error is a sentence for the operator.
    pub fn new(parts: Parts) -> Result<Self, String> {
        let Parts { analyser, ledger, committer, observer, raw, data_dir, .. } = parts;
        let Parts { case, unscoped, privacy, .. } = parts;
        let mut reader = PolicyReader::new();
        reader.set_case(case);
        let disk = RealDisk::new(&data_dir)
            .map_err(|error| format!("{} cannot be used: {error}", data_dir.display()))?;
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let time = Time::start(reader.latest(&*ledger).ok().flatten(), Arc::clone(&disk));
        let empty = ledger.status().last_seq == 0;
        let name_key = privacy.name_key.as_deref();
        let pseudonyms = Pseudonyms::open(disk.as_ref(), &data_dir, name_key, case, empty)?;
        let blocks = Blocks::open(Arc::clone(&disk), privacy.hash_key, case).map_err(|error| {
            format!("{} cannot be read: {error}", data_dir.join(blocks::KEY_FILE).display())
        })?;
        let blocks = Arc::new(blocks);
        let prepare: Arc<dyn Prepare> = blocks.clone();
        ledger.prepare_with(prepare);
        reader.set_hash_keys(blocks.keys());
        Ok(Self {
            analyser: ArcSwap::from_pointee(analyser),
            ledger,
            committer,
            reader,
            observer,
            time,
            pseudonyms,
            case,
            unscoped,
            raw: Arc::new(raw),
            raw_failures: Repeated::default(),
            blocks,
            erasure: ErasureIntent::new(disk),
            data_dir,
            trends: Trends::default(),
            many: Mutex::new(()),
        })
    }

    /// Whether a configuration read anew wants the names that are in force.
    pub fn keeps_pseudonyms(&self, key: Option<&[u8]>) -> bool {
        self.pseudonyms.is_under(key)
    }

    /// Writes the message down for people, when `journal.raw` says so. Gives what is to be taken
    /// back when the message is not stored under this id.
    fn keep_raw(&self, event: &Event, data: &[u8]) -> Option<(Arc<RawStore>, String)> {
        let kind = event.analysis.as_ref().map_or(Kind::Other, |a| a.kind);
        if !self.raw.wants(kind) {
            return None;
        }
        match self.raw.keep(&event.id, data, event.received_at) {
            Ok(()) => {
                if let Say::Over(more) = self.raw_failures.worked() {
                    tracing::warn!(more, "raw messages are kept again");
                }
            }
            Err(error) => match self.raw_failures.failed(error.kind(), Instant::now()) {
                Say::Begins => {
                    tracing::warn!(id = event.id, %error, "the raw message cannot be kept; its event is");
                }
                Say::Goes(more) => {
                    tracing::warn!(more, "raw messages cannot be kept; their events are");
                }
                Say::Nothing | Say::Over(_) => {}
            },
        }
        Some((Arc::clone(&self.raw), event.id.clone()))
    }

    /// The time that expiry counts by: after a jump of the wall clock nothing expires until an
    /// operator agrees (docs/policy.md, "The clock").
    fn now(&self) -> Timestamp {
        self.time.now()
    }

    /// The check of a forward-path at RCPT.
    pub fn check_return_path(
        &self,
        forward_path: &str,
    ) -> Result<(), crate::verp::ReturnPathError> {
        self.analyser.load().verp.at_rcpt(forward_path, self.time.moment())
    }

    /// Occurrences from a place on, of one record or more, at most about `limit` of them; the place
    /// to go on from, and the position of the newest record. A record that cannot be read, of a newer
    /// program, is passed with a line in the log.
    pub fn occurrences(
        &self,
        (from, number): OccurrencePlace,
        limit: usize,
    ) -> Result<(Vec<Occurrence>, OccurrencePlace, u64), ServiceError> {
        let policy = self.reader.policy(&*self.ledger)?.unwrap_or_default();
        let newest = self.ledger.status().last_seq;
        let (mut found, mut next) = (Vec::new(), (from, number));
        for (seq, line) in self.ledger.journal(from, RECORDS_AT_ONCE)? {
            if seq > next.0 && next.0 > 1 {
                let (from, through) = (next.0, seq - 1);
                tracing::error!(
                    from,
                    through,
                    "records cannot be read: webhooks do not tell of them"
                );
            }
            let all = match serde_json::from_str(&line) {
                Ok(event) => occurrence::occurrences(&event, &policy),
                Err(error) => {
                    tracing::error!(seq, %error, "a record cannot be told by webhooks");
                    Vec::new()
                }
            };
            let passed = if seq == from { number } else { 0 };
            let rest = all.into_iter().filter(|one| one.place.1 >= passed);
            let room = limit.saturating_sub(found.len());
            let before = found.len();
            let mut rest = rest.peekable();
            found.extend(rest.by_ref().take(room));
            if rest.peek().is_some() {
                let taken = (found.len() - before) as u64;
                next = (seq, passed + taken);
                break;
            }
            next = (seq + 1, 0);
        }
        Ok((found, next, newest))
    }

    /// Position and id of the records from one position to another, of those that can be read.
    pub fn ids(&self, from: u64, through: u64) -> Result<Vec<(u64, String)>, ServiceError> {
        #[derive(serde::Deserialize)]
        struct Record {
            id: String,
        }
        let most = usize::try_from((through + 1).saturating_sub(from)).unwrap_or(usize::MAX);
        let lines = self.ledger.journal(from, most)?;
        let named = |(seq, line): (u64, String)| {
            let record: Record = serde_json::from_str(&line).ok()?;
            (seq <= through).then_some((seq, record.id))
        };
        Ok(lines.into_iter().filter_map(named).collect())
    }

    /// Position of the newest record.
    pub fn last_seq(&self) -> u64 {
        self.ledger.status().last_seq
    }

    /// To be called every few seconds: writes the time down for the next start.
    pub fn beat(&self) {
        self.time.beat();
    }

    /// Hands what the shadow rules counted to the metrics.
    fn count_shadow(&self, analyser: &Analyser) {
        if let Some(shadow) = &analyser.shadow {
            let (same, different) = shadow.take_fresh();
            self.observer.shadowed(same, different);
        }
    }

    /// Takes new rules and keys over; running analyses end with the old ones.
    pub fn replace_analyser(&self, analyser: Analyser) {
        self.count_shadow(&self.analyser.load());
        self.analyser.store(Arc::new(analyser));
    }

    /// Rules and keys in force.
    pub fn analyser(&self) -> Arc<Analyser> {
        self.analyser.load_full()
    }

    /// Journals the policy as the one in force, unless it is so already.
    pub fn put_policy_in_force(&self, wanted: &policy::Policy) -> Result<(), ServiceError> {
        match self.policy_in_force(wanted)? {
            Some(current) if current.act() == wanted.act() => Ok(()),
            _ => self.commit(act_event(wanted.act())).map(drop),
        }
    }

    /// The same for a node among others, which takes the policy that is in force.
    pub fn join_policy(&self, wanted: &policy::Policy) -> Result<(), ServiceError> {
        match self.policy_in_force(wanted)? {
            None => self.commit(act_event(wanted.act())).map(drop),
            Some(current) => {
                if current.act() != wanted.act() {
                    tracing::warn!(
                        "[policy], verp keys or smtp.domains differ from those that are in force on all \
                         nodes, which stay; SIGHUP puts the ones of this node in force"
                    );
                }
                Ok(())
            }
        }
    }

    /// The policy in force; an error when keys or case do not fit.
    fn policy_in_force(
        &self,
        wanted: &policy::Policy,
    ) -> Result<Option<Arc<policy::Policy>>, ServiceError> {
        self.check_keys(&self.blocks.keys())?;
        let current = self.reader.policy(&*self.ledger)?;
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
        Ok(current)
    }

    /// The straight line for one message; `reply` is called once, with what became of it. It is
    /// called on the committer's thread and must not block. On `Err` it is not called.
    pub fn take_in(
        &self,
        data: &[u8],
        envelope: Envelope,
        peer: Option<String>,
        reply: impl FnOnce(Result<Stored, LedgerError>) + Send + 'static,
    ) -> Result<(), LedgerError> {
        let began = Instant::now();
        let event = self.record(data, envelope, peer);
        let analysis = event.analysis.as_ref();
        let tally = analysis.map(|analysis| MessageTally::of(&event, analysis, began.elapsed()));
        let observer = Arc::clone(&self.observer);
        let raw = self.keep_raw(&event, data);
        let queued = Instant::now();
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
                let commit = queued.elapsed();
                reply(outcome.map(|committed| Stored { committed, tally, commit }));
            }),
        )
    }

    /// Commits what waits and settles the view. The last thing before the process ends.
    pub fn shut_down(&self) -> Result<(), LedgerError> {
        self.time.write_down();
        self.committer.shutdown()
    }

    /// The record of a message. A defect of ours in reading it must not make the sender come back
    /// with it for ever (docs/reliability.md, "Poison message"): it is stored as unreadable.
    fn record(&self, data: &[u8], envelope: Envelope, peer: Option<String>) -> Event {
        let analyser = self.analyser.load();
        self.count_shadow(&analyser);
        let (id, received_at) = (new_id(), self.now());
        let received = Received {
            data,
            envelope: envelope.clone(),
            peer: peer.clone(),
            received_at,
            moment: self.time.moment(),
            id: id.clone(),
        };
        catch_unwind(AssertUnwindSafe(|| analyser.record(received))).unwrap_or_else(|_| {
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

    fn standing(
        &self,
        address: &Address,
        scope: Option<&str>,
    ) -> Result<Option<Standing>, ServiceError> {
        scope.map_or(Ok(()), checked_scope)?;
        let (stored, now) = (self.pseudonyms.of(address), self.now());
        let found = self.reader.standing(&*self.ledger, &stored, scope, now)?;
        Ok(found.map(|standing| Standing { address: address.key_in(self.case), ..standing }))
    }

    /// The entry after an act by hand, also when it stops nothing.
    fn entry_now(&self, address: &Address, scope: &str) -> Result<Value, ServiceError> {
        Ok(match self.standing(address, Some(scope))? {
            Some(standing) if standing.state == policy::State::Clear => {
                entry(&Standing { scope: scope.to_string(), ..standing })
            }
            Some(standing) => entry(&standing),
            None => json!({"address": address.key_in(self.case), "scope": scope, "state": "clear"}),
        })
    }
}

/// A ledger's trouble as the caller of an operation hears it.
impl From<LedgerError> for ServiceError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Retryable(_)
            | LedgerError::Ambiguous(_)
            | LedgerError::Away(_)
            | LedgerError::Forked(_)
            | LedgerError::Outdated(_) => Self::Busy(error.to_string()),
            LedgerError::Full(_) => Self::Full(error.to_string()),
            LedgerError::Corrupt(_) | LedgerError::Fatal(_) => Self::Internal(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
