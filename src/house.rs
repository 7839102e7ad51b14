//! The house behind its doors: takes messages in, answers questions, does what people ask. SMTP,
//! HTTP, lookups and the command line all end here.
//!
//! A message goes: analyse (in memory, on the caller's thread) -> committer (one thread, group
//! commit) -> ledger (journal fsynced, policy folded) -> answer. No tokio, no sockets; the clock
//! and randomness are read here and nowhere below.

mod erasure;
mod naming;
mod time;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::classify::{Category, Class};
use crate::committer::Committer;
use crate::event::{Act, Analysis, Envelope, Event, EventType, SendResult};
use crate::ledger::{Committed, Ledger, LedgerError};
use crate::mail::{Address, Case, EnhancedStatus, Timestamp};
use crate::pipeline::{Pipeline, Received, judge_reply};
use crate::policy::{self, Reader, Selection, Standing, State};
use crate::raw::RawStore;
use crate::report::{Attribution, Kind, Original};
use crate::service::{
    ImportEntry, ImportOutcome, InBand, ListPage, ListQuery, Lookup, Overview, ResultsOutcome,
    Service, ServiceError,
};

use naming::Naming;
use time::Time;

/// Events that an explanation shows.
const EXPLAINED_EVENTS: usize = 100;
/// Rows that one page of the list looks at, whatever the filter leaves of them.
const LISTED_ROWS: usize = 20_000;
/// How long an operation waits for its commit.
const COMMIT_PATIENCE: Duration = Duration::from_secs(60);
/// Events of one import or batch of results that wait at once: the committer's queue is shared
/// with SMTP, so they take a part of it.
const QUEUED_AT_ONCE: usize = 1_000;
/// Addresses that a dry run names.
const PREVIEWED_ADDRESSES: usize = 10_000;

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
    erasure: Option<erasure::Erasure>,
}

impl House {
    /// Joins the parts.
    pub fn new(
        pipeline: Pipeline,
        ledger: Arc<dyn Ledger>,
        committer: Committer,
        observer: Arc<dyn HouseObserver>,
    ) -> Self {
        let (pipeline, reader) = (ArcSwap::from_pointee(pipeline), Reader::new());
        let time = Time::start(reader.latest(&*ledger).ok().flatten(), None);
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

    /// Goes by what the run before wrote down of the time, and writes it down for the next.
    pub fn with_time(self, data_dir: &Path) -> Self {
        let last = self.reader.latest(&*self.ledger).ok().flatten();
        Self { time: Time::start(last, Some(data_dir)), ..self }
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

impl Service for House {
    fn lookup(&self, address: &str, scope: Option<&str>) -> Result<Lookup, ServiceError> {
        let Some(address) = Address::parse(address) else { return Ok(Lookup::Clear) };
        let Some(standing) = self.standing(&address, scope)? else { return Ok(Lookup::Clear) };
        let reason = standing.reason.as_deref().unwrap_or("suppressed");
        let since = standing.since.map(|t| t.to_string()).unwrap_or_default();
        let day = since.get(..10).unwrap_or_default();
        Ok(match standing.state {
            State::Suppressed => Lookup::Suppressed {
                status: refusal(&standing),
                text: format!("recipient suppressed since {day}: {reason}"),
            },
            State::Held => Lookup::Held { text: format!("recipient held since {day}: {reason}") },
            _ => Lookup::Clear,
        })
    }

    fn suppression(
        &self,
        address: &str,
        scope: Option<&str>,
    ) -> Result<Option<Value>, ServiceError> {
        let standing = self.standing(&parsed(address)?, scope)?;
        Ok(standing.filter(|s| s.state.stops()).map(|s| entry(&s)))
    }

    fn suppress(
        &self,
        address: &str,
        scope: &str,
        reason: &str,
        until: Option<Timestamp>,
    ) -> Result<Value, ServiceError> {
        let address = parsed(address)?;
        checked_scope(scope)?;
        still_to_come(until, self.now())?;
        let present = self.standing(&address, Some(scope))?;
        let same = present.is_some_and(|s| {
            s.state == State::Suppressed
                && s.clause.as_deref() == Some(policy::BY_HAND)
                && s.until == until
        });
        if !same {
            self.commit(act_event(Act::Suppress {
                address: address.key_in(self.case),
                scope: scope.to_string(),
                reason: bounded(reason)?,
                until,
            }))?;
        }
        self.entry_now(&address, scope)
    }

    fn release(&self, address: &str, scope: &str, reason: &str) -> Result<Value, ServiceError> {
        let address = parsed(address)?;
        checked_scope(scope)?;
        // Strikes and pending evidence count as something to release.
        if self.standing(&address, Some(scope))?.is_some_and(|s| s.state != State::Clear) {
            self.commit(act_event(Act::Release {
                address: address.key_in(self.case),
                scope: scope.to_string(),
                reason: bounded(reason)?,
            }))?;
        }
        self.entry_now(&address, scope)
    }

    fn list(&self, query: &ListQuery) -> Result<ListPage, ServiceError> {
        let prefix =
            policy::prefix(query.domain.as_deref().map(str::to_ascii_lowercase).as_deref());
        // One of another question would skip entries without a sign.
        let ours = |text: &String| {
            let key = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok();
            let wrong = "cursor: hand back the `next` of the page before, with the same filters";
            key.filter(|key| key.starts_with(&prefix))
                .ok_or_else(|| ServiceError::BadRequest(wrong.to_string()))
        };
        let mut cursor = query.cursor.as_ref().map(ours).transpose()?;
        let limit = query.limit.clamp(1, 10_000);
        let (mut page, mut looked_at, now) = (ListPage::default(), 0, self.now());
        loop {
            let room = (limit - page.entries.len()).min(1_000);
            let rows = self.ledger.list(&prefix, cursor.as_deref(), room).map_err(trouble)?;
            looked_at += rows.rows.len();
            for (key, value) in &rows.rows {
                let standings =
                    self.reader.entries(&*self.ledger, key, value, now).map_err(trouble)?;
                page.entries.extend(standings.iter().filter(|s| fits(s, query)).map(entry));
            }
            cursor = rows.next;
            if cursor.is_none() || page.entries.len() >= limit || looked_at >= LISTED_ROWS {
                break;
            }
        }
        page.next = cursor.map(|c| data_encoding::BASE64URL_NOPAD.encode(&c));
        Ok(page)
    }

    fn check(&self, addresses: &[String], scope: Option<&str>) -> Result<Vec<Value>, ServiceError> {
        scope.map_or(Ok(()), checked_scope)?;
        let asked: Vec<Address> = addresses.iter().filter_map(|a| Address::parse(a)).collect();
        let stored: Vec<Address> = asked.iter().map(|address| self.naming.of(address)).collect();
        let standings =
            self.reader.standings(&*self.ledger, &stored, scope, self.now()).map_err(trouble)?;
        let found = asked.iter().zip(standings).filter_map(|(address, standing)| {
            let standing = standing.filter(|s| s.state.stops())?;
            Some(entry(&Standing { address: address.key_in(self.case), ..standing }))
        });
        Ok(found.collect())
    }

    fn import(&self, entries: Vec<ImportEntry>) -> Result<ImportOutcome, ServiceError> {
        let mut outcome = ImportOutcome::default();
        let mut waiting = Vec::new();
        let now = self.now();
        for (place, imported) in entries.into_iter().enumerate() {
            let address = parsed(&imported.address)
                .and_then(|a| checked_scope(&imported.scope).map(|()| a))
                .and_then(|a| still_to_come(imported.until, now).map(|()| a))
                .and_then(|a| bounded(&imported.reason).map(|reason| (a, reason)));
            let (address, reason) = match address {
                Ok(fit) => fit,
                Err(error) => {
                    outcome.refused.push((place, error.to_string()));
                    continue;
                }
            };
            let present = self.standing(&address, Some(&imported.scope))?;
            if present.is_some_and(|s| s.state == State::Suppressed && s.until == imported.until) {
                outcome.unchanged += 1;
                continue;
            }
            let mut event = act_event(Act::Suppress {
                address: address.key_in(self.case),
                scope: imported.scope,
                reason,
                until: imported.until,
            });
            event.received_at = now;
            waiting.push(self.queue(event)?);
            if waiting.len() >= QUEUED_AT_ONCE {
                outcome.suppressed += drain(&mut waiting)?;
            }
        }
        outcome.suppressed += drain(&mut waiting)?;
        Ok(outcome)
    }

    fn explain(&self, address: &str) -> Result<Value, ServiceError> {
        let address = parsed(address)?;
        let standing = self.standing(&address, None)?;
        let (stored, now) = (self.naming.of(&address), self.now());
        let events =
            self.ledger.history(&stored.key_in(self.case), EXPLAINED_EVENTS).map_err(trouble)?;
        let why = self.reader.explain(&*self.ledger, &stored, None, now).map_err(trouble)?;
        let everywhere = self.reader.everywhere(&*self.ledger, &stored, now);
        let shown = |found: &Standing| {
            let mut shown = entry(found);
            merge(&mut shown, found);
            shown
        };
        let entries: Vec<Value> = everywhere.map_err(trouble)?.iter().map(shown).collect();
        let state = standing.as_ref().map_or(State::Clear, |s| s.state);
        let mut told = json!({
            "address": address.key_in(self.case),
            "state": state,
            "summary": summary(&address, standing.as_ref(), events.len()),
            "outlook": standing.map(|s| s.outlook).unwrap_or_default(),
            "entries": entries,
            "policy": why,
            "events": events,
        });
        self.naming.unveil(&mut told, &address);
        Ok(told)
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, ServiceError> {
        self.ledger.journal(from, limit).map_err(trouble)
    }

    fn message(
        &self,
        data: Vec<u8>,
        envelope: Envelope,
        peer: Option<String>,
    ) -> Result<Value, ServiceError> {
        let (reply, receipt) = reply_to_channel();
        self.take_in(&data, envelope, peer, reply).map_err(trouble)?;
        let committed = awaited(&receipt)?;
        let line = self.ledger.journal(committed.seq, 1).map_err(trouble)?.into_iter().next();
        match line.filter(|(seq, _)| *seq == committed.seq) {
            Some((_, line)) => serde_json::from_str(&line)
                .map_err(|e| ServiceError::Internal(format!("a journal line is no JSON: {e}"))),
            None => Ok(json!({"seq": committed.seq, "id": committed.id})),
        }
    }

    fn act(&self, act: Act, dry_run: bool) -> Result<Value, ServiceError> {
        if dry_run {
            return self.preview(&act);
        }
        if let Act::Erase { address, .. } = &act {
            return self.erase(address);
        }
        if let Act::Undo { .. } = &act
            && Selection::of(&act).is_none()
        {
            return Err(ServiceError::BadRequest(
                "an undo needs a condition: a rule, a provider, a peer or a time".to_string(),
            ));
        }
        let committed = self.commit(act_event(act))?;
        Ok(json!({"seq": committed.seq, "id": committed.id, "decisions": committed.decisions}))
    }

    fn results(&self, results: Vec<InBand>) -> Result<ResultsOutcome, ServiceError> {
        let pipeline = self.pipeline.load();
        let (mut outcome, mut waiting) = (ResultsOutcome::default(), Vec::new());
        for (place, result) in results.into_iter().enumerate() {
            let event = match result_event(&pipeline, result) {
                Ok(event) => Event { received_at: self.now(), ..event },
                Err(error) => {
                    outcome.refused.push((place, error.to_string()));
                    continue;
                }
            };
            waiting.push(self.queue(event)?);
            if waiting.len() >= QUEUED_AT_ONCE {
                outcome.stored += drain(&mut waiting)?;
            }
        }
        outcome.stored += drain(&mut waiting)?;
        Ok(outcome)
    }

    fn mint(
        &self,
        recipient: &str,
        tag: Option<&str>,
        domain: Option<&str>,
    ) -> Result<String, ServiceError> {
        let recipient = parsed(recipient)?;
        let minted = self.pipeline.load().verp.mint(&recipient, tag, domain, Timestamp::now());
        minted.map_err(|error| ServiceError::BadRequest(error.to_string()))
    }

    fn health(
        &self,
        scope: Option<&str>,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<Value, ServiceError> {
        let to = to.unwrap_or_else(|| self.now());
        let from = from.unwrap_or(to.plus_days(-30));
        let found = self.reader.health(&*self.ledger, scope, from, to).map_err(trouble)?;
        serde_json::to_value(found).map_err(|e| ServiceError::Internal(e.to_string()))
    }

    fn shadow(&self) -> Result<Value, ServiceError> {
        let none =
            json!({"configured": false, "same": 0, "different": 0, "pairs": [], "beyond": 0});
        Ok(self.pipeline.load().shadow.as_ref().map_or(none, |shadow| shadow.table()))
    }

    fn guards(&self) -> Result<Value, ServiceError> {
        let open = self.reader.guards(&*self.ledger, self.now()).map_err(trouble)?;
        serde_json::to_value(open).map_err(|e| ServiceError::Internal(e.to_string()))
    }

    fn ready(&self) -> Vec<(String, Result<String, String>)> {
        let status = self.ledger.status();
        let ledger = match status.trouble {
            Some(trouble) => Err(trouble),
            None => Ok(format!("{} events, all folded", status.last_seq)),
        };
        vec![
            ("ledger".to_string(), ledger),
            ("disk".to_string(), Ok(format!("{} MiB free", status.free_bytes >> 20))),
            // A doubt is for people: mail is taken and questions are answered all the same.
            ("clock".to_string(), Ok(self.time.trouble().unwrap_or("believed".to_string()))),
        ]
    }

    fn overview(&self) -> Result<Overview, ServiceError> {
        self.count_shadow(&self.pipeline.load());
        let states = self.reader.decided_states(&*self.ledger).map_err(trouble)?;
        let count = |state| states.iter().find(|(s, _)| *s == state).map_or(0, |(_, n)| *n);
        Ok(Overview {
            suppressed: count(State::Suppressed),
            held: count(State::Held),
            ledger: self.ledger.status(),
            guards: self
                .reader
                .guards(&*self.ledger, self.now())
                .map_err(trouble)?
                .iter()
                .map(|guard| format!("{} since {}: {}", guard.clause, guard.since, guard.why))
                .collect(),
            clock: self.time.trouble(),
        })
    }

    fn accept_clock(&self) -> Result<Value, ServiceError> {
        let doubt = self.time.trouble();
        let now = self.time.accept();
        self.time.write_down();
        if let Some(doubt) = &doubt {
            tracing::warn!(%now, "an operator agrees with the wall clock; before, {doubt}");
        }
        Ok(json!({"now": now, "was_in_doubt": doubt.is_some()}))
    }
}

impl House {
    /// What an act would change, without doing it.
    fn preview(&self, act: &Act) -> Result<Value, ServiceError> {
        let Some(selection) = Selection::of(act) else {
            return Err(ServiceError::BadRequest(
                "only an undo with a condition has a dry run".to_string(),
            ));
        };
        let (mut addresses, mut items, mut cursor) = (Vec::new(), 0usize, None::<Vec<u8>>);
        loop {
            let page = selection.preview(&*self.ledger, cursor.as_deref(), 1_000);
            let (found, next) = page.map_err(trouble)?;
            for (address, taken) in found {
                items += taken.len();
                if addresses.len() < PREVIEWED_ADDRESSES {
                    addresses.push(address);
                }
            }
            cursor = next;
            if cursor.is_none() {
                return Ok(json!({"dry_run": true, "evidence": items, "addresses": addresses}));
            }
        }
    }
}

/// The record of an in-band result.
fn result_event(pipeline: &Pipeline, result: InBand) -> Result<Event, ServiceError> {
    let address = parsed(&result.address)?;
    if let Some(scope) = &result.scope {
        checked_scope(scope)?;
    }
    let failed = match result.outcome.as_str() {
        "failed" => true,
        "sent" | "delivered" | "deferred" => false,
        other => {
            return Err(ServiceError::BadRequest(format!(
                "outcome `{other}`: write sent, delivered, deferred or failed"
            )));
        }
    };
    let reply = result.reply.as_deref().unwrap_or_default();
    let verdict = (failed || result.outcome == "deferred")
        .then(|| judge_reply(pipeline, failed, &address, reply, result.remote_mta.as_deref()))
        .flatten();
    let short =
        |text: String| text.chars().filter(|c| !c.is_control()).take(998).collect::<String>();
    let message_id = result.message_id.map(short);
    // The sender may post a batch again when our answer was lost.
    let digest = message_id.as_ref().map(|id| {
        let said = format!("{}\0{}\0{id}\0{reply}", result.outcome, address.key());
        let octets = Sha256::digest(said.as_bytes());
        data_encoding::HEXLOWER.encode(octets.get(..16).unwrap_or(&octets))
    });
    Ok(Event {
        scope: result.scope,
        campaign: result.campaign.map(short),
        digest,
        result: Some(SendResult {
            outcome: result.outcome,
            address: address.to_string(),
            message_id,
            verdict,
        }),
        ..blank(EventType::Result)
    })
}

/// Where the committer's answer to one event arrives.
type Receipt = Receiver<Result<Committed, LedgerError>>;

/// A reply for the committer, and where what it is told arrives.
fn reply_to_channel() -> (impl FnOnce(Result<Committed, LedgerError>) + Send + 'static, Receipt) {
    let (answer, receipt) = sync_channel(1);
    let reply = move |outcome| {
        // Whoever asked may have lost patience.
        let _ = answer.send(outcome);
    };
    (reply, receipt)
}

/// Waits for one commit.
fn awaited(receipt: &Receipt) -> Result<Committed, ServiceError> {
    match receipt.recv_timeout(COMMIT_PATIENCE) {
        Ok(outcome) => outcome.map_err(trouble),
        Err(_) => Err(ServiceError::Busy("the commit did not end in time".to_string())),
    }
}

/// Waits for the commits of a batch; gives how many there were.
fn drain(waiting: &mut Vec<Receipt>) -> Result<u64, ServiceError> {
    let mut done = 0;
    for receipt in waiting.drain(..) {
        awaited(&receipt)?;
        done += 1;
    }
    Ok(done)
}

/// The entry of INTERFACE section 5.
fn entry(standing: &Standing) -> Value {
    json!({
        "address": standing.address,
        "scope": standing.scope,
        "state": standing.state,
        "class": standing.class,
        "reason": standing.reason,
        "category": standing.category,
        "since": standing.since,
        "until": standing.until,
        "events": standing.events,
        "rule": standing.rule,
    })
}

/// What `explain` shows beyond the entry.
fn merge(shown: &mut Value, standing: &Standing) {
    shown["clause"] = json!(standing.clause);
    shown["attribution"] = json!(standing.attribution);
    shown["seq"] = json!(standing.seq);
    shown["outlook"] = json!(standing.outlook);
}

/// One sentence for support staff.
fn summary(address: &Address, standing: Option<&Standing>, events: usize) -> String {
    let Some(standing) = standing.filter(|s| s.state != State::Clear) else {
        return format!("{} may be mailed; {events} events are known of it", address.key());
    };
    let mut text = format!("{} is {}", address.key(), standing.state);
    if let Some(reason) = &standing.reason {
        text.push_str(&format!(" for {reason}"));
    }
    if let Some(since) = standing.since {
        text.push_str(&format!(" since {since}"));
    }
    text.push_str(&match standing.until {
        Some(until) => format!(", until {until}"),
        None if standing.state == State::Suppressed => ", without end".to_string(),
        None => String::new(),
    });
    if let Some(clause) = &standing.clause {
        text.push_str(&format!("; the policy clause is {clause}"));
    }
    if let Some(rule) = &standing.rule {
        text.push_str(&format!(", the rule {rule}"));
    }
    text
}

/// The enhanced code of a refusal: 5.1.1 for a dead mailbox, 5.7.1 where somebody asked out.
fn refusal(standing: &Standing) -> EnhancedStatus {
    match standing.class {
        Some(Class::InvalidRecipient) => EnhancedStatus::new(5, 1, 1),
        Some(Class::MailboxFull) => EnhancedStatus::new(5, 2, 2),
        Some(_) => EnhancedStatus::new(5, 1, 1),
        None => EnhancedStatus::new(5, 7, 1),
    }
}

fn fits(standing: &Standing, query: &ListQuery) -> bool {
    query.class.is_none_or(|class| standing.class == Some(class))
        && query.since.is_none_or(|since| standing.since.is_some_and(|s| s >= since))
        && query.scope.as_ref().is_none_or(|scope| standing.scope == *scope)
}

fn parsed(address: &str) -> Result<Address, ServiceError> {
    Address::parse(address).ok_or_else(|| {
        ServiceError::BadRequest(
            "that is no address; write one such as user@example.com".to_string(),
        )
    })
}

fn checked_scope(scope: &str) -> Result<(), ServiceError> {
    if scope == "*" || policy::is_scope(scope) {
        return Ok(());
    }
    Err(ServiceError::BadRequest(
        "scope: `*` for all, or a name of letters, digits, `-`, `_` and `.`".to_string(),
    ))
}

/// A suppression that is over already would end the one that stands.
fn still_to_come(until: Option<Timestamp>, now: Timestamp) -> Result<(), ServiceError> {
    match until {
        Some(until) if until <= now => Err(ServiceError::BadRequest(format!(
            "`until` {until} is over; write a later time, or leave it out for no end"
        ))),
        _ => Ok(()),
    }
}

fn bounded(reason: &str) -> Result<String, ServiceError> {
    let reason = crate::report::bounded_words(reason);
    if reason.is_empty() {
        return Err(ServiceError::BadRequest("reason: say why, in a few words".to_string()));
    }
    Ok(reason)
}

fn act_event(act: Act) -> Event {
    let peer = Some("local".to_string());
    Event { peer, act: Some(act), ..blank(EventType::Act) }
}

/// An event with an id of its own; its time is set when it is committed.
fn blank(event_type: EventType) -> Event {
    Event::new(event_type, new_id(), Timestamp::default())
}

fn unreadable(bytes: u64) -> Analysis {
    Analysis {
        kind: Kind::Other,
        format: "unreadable".to_string(),
        bytes,
        verp: None,
        reporting_mta: None,
        arrival_date: None,
        recipients: Vec::new(),
        original: Original::default(),
        feedback_type: None,
        away_until: None,
        new_address: None,
        evidence: Vec::new(),
        defects: vec!["reading it failed; this is a defect of bounced".to_string()],
    }
}

/// Letters and digits: milliseconds, so that ids sort by time, then 40 random bits.
fn new_id() -> String {
    let mut random = [0u8; 5];
    // Without randomness ids would repeat within a millisecond; the kernel has it always.
    if getrandom::fill(&mut random).is_err() {
        random = [0; 5];
    }
    let millis = Timestamp::now().millis().max(0) as u64;
    format!("e{millis:011x}{}", data_encoding::HEXLOWER.encode(&random))
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
