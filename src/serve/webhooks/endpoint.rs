//! One endpoint: reads the journal from its cursor on, delivers, tries again, moves the cursor.
//!
//! Promises: an occurrence is delivered at least once and none is passed over; those of one address
//! go one after the other, in order; several addresses go at the same time, but one alone while the
//! endpoint fails. A cursor is written within [`limits::WEBHOOK_CURSOR`] of a delivery.
//!
//! | state of an item | what comes next |
//! |---|---|
//! | waiting | sent, when nothing before it is of its address and it is due |
//! | in flight | done on 2xx, else waiting, due later |
//! | done | forgotten, but for its place, until all before it are done |
//!
//! What is refused for `give_up`, while the endpoint takes others, is given up aloud. An endpoint
//! that takes nothing at all loses nothing: it is tried for as long as the journal reaches back.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::{AttemptOutcome, Client};
use super::cursor::{Cursor, CursorFile};
use super::feed::Feed;
use super::message::{WebhookMessage, back_off, is_wanted, message};
use super::status::Status;
use crate::config::Webhook;
use crate::ledger::lock::lock;
use crate::mail::Timestamp;
use crate::serve::limits;
use crate::serve::metrics::{Metrics, WebhookOutcome};
use crate::serve::socket::stopped;
use crate::service::occurrence::OccurrencePlace;

/// Refusals after which something may be given up.
const LEAST_TRIES: u32 = 8;

/// Refusals in a row, of whatever it is sent, after which an endpoint that took something fails.
const REFUSALS_IN_A_ROW: u32 = 3;

/// What an endpoint works with.
pub struct Endpoint {
    /// Its configuration.
    pub config: Arc<Webhook>,
    /// Its connections.
    pub client: Arc<Client>,
    /// The journal.
    pub feed: Arc<dyn Feed>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// What others are shown of it.
    pub status: Arc<Mutex<Status>>,
    /// Is written into CloudEvents.
    pub hostname: String,
    /// Where its cursor is kept.
    pub file: CursorFile,
}

/// Something that is not delivered yet.
struct PendingDelivery {
    place: OccurrencePlace,
    address: String,
    at: Timestamp,
    message: WebhookMessage,
    tries: u32,
    first_failed: Option<Instant>,
    due: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    InFlight,
}

/// An endpoint that runs.
pub struct Run {
    parts: Endpoint,
    /// From the first that is not done, in order.
    items: VecDeque<PendingDelivery>,
    /// Where the journal is read next.
    next: OccurrencePlace,
    /// The newest record.
    newest: u64,
    /// There was nothing more when it was looked last.
    look: Instant,
    /// Done, with something before it that is not.
    done: BTreeSet<OccurrencePlace>,
    /// Failures of the endpoint, rather than of one item, in a row.
    failures: u32,
    /// Refusals of any kind in a row: nothing was taken since.
    refusals: u32,
    /// Nothing is sent before, while the endpoint fails.
    open_at: Instant,
    last_success: Option<Instant>,
    gone: bool,
    written: Cursor,
    written_at: Instant,
    /// Something was delivered since.
    fresh: bool,
}

impl Run {
    /// From where the cursor is.
    pub fn new(parts: Endpoint, cursor: Cursor) -> Self {
        let now = Instant::now();
        Self {
            parts,
            items: VecDeque::new(),
            next: cursor.next,
            newest: 0,
            look: now,
            done: cursor.done.clone(),
            failures: 0,
            refusals: 0,
            open_at: now,
            last_success: None,
            gone: false,
            written: cursor,
            written_at: now,
            fresh: false,
        }
    }

    /// Runs until `stop` becomes true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut flights: JoinSet<(OccurrencePlace, AttemptOutcome)> = JoinSet::new();
        loop {
            self.fill().await;
            self.start(&mut flights);
            self.tell();
            self.write_cursor(false).await;
            let wake = self.wake();
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(ended) = flights.join_next(), if !flights.is_empty() => self.landed(ended),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
        // What is on its way may arrive: then it is not sent again after the start.
        let last = async {
            while let Some(ended) = flights.join_next().await {
                self.landed(ended);
            }
        };
        let _ = tokio::time::timeout(limits::WEBHOOK_LAST, last).await;
        self.write_cursor(true).await;
    }

    /// Reads the journal while there is room.
    async fn fill(&mut self) {
        while self.has_room() && self.look <= Instant::now() {
            let (feed, from) = (Arc::clone(&self.parts.feed), self.next);
            // Of one that wants nothing more it is still shown how far behind it is.
            let room = if self.gone { 0 } else { limits::WEBHOOK_WINDOW };
            let read = tokio::task::spawn_blocking(move || feed.read(from, room)).await;
            let (found, next, newest) = match read {
                Ok(Ok(read)) => read,
                Ok(Err(why)) => {
                    // A view that is being built, a disk that is stuck: it is read again.
                    tracing::debug!(endpoint = self.parts.config.name, "the journal: {why}");
                    self.look = Instant::now() + limits::WEBHOOK_LOOK;
                    return;
                }
                Err(_) => {
                    tracing::error!(endpoint = self.parts.config.name, "reading records panicked");
                    self.look = Instant::now() + limits::WEBHOOK_LOOK;
                    return;
                }
            };
            if next == from || self.gone {
                self.look = Instant::now() + limits::WEBHOOK_LOOK;
            }
            (self.next, self.newest) = (next, newest);
            for one in found {
                let wanted = is_wanted(&self.parts.config, &one);
                if !wanted || self.done.contains(&one.place) {
                    continue;
                }
                self.items.push_back(PendingDelivery {
                    place: one.place,
                    message: message(&self.parts.config, &self.parts.hostname, &one),
                    address: one.address,
                    at: one.at,
                    tries: 0,
                    first_failed: None,
                    due: Instant::now(),
                    state: State::Waiting,
                });
            }
        }
    }

    /// Something that is refused for long lets so many others pass, and no more.
    fn has_room(&self) -> bool {
        self.items.len() < limits::WEBHOOK_WINDOW && self.done.len() < limits::WEBHOOK_PASSED
    }

    /// Sends what is due.
    fn start(&mut self, flights: &mut JoinSet<(OccurrencePlace, AttemptOutcome)>) {
        let now = Instant::now();
        let most = if self.failures > 0 { 1 } else { limits::WEBHOOKS_IN_FLIGHT };
        if self.gone || self.open_at > now {
            return;
        }
        let mut before = HashSet::new();
        for item in &mut self.items {
            if flights.len() >= most {
                return;
            }
            let first = before.insert(item.address.as_str());
            if !first || item.state == State::InFlight || item.due > now {
                continue;
            }
            item.state = State::InFlight;
            let (client, message, place) =
                (Arc::clone(&self.parts.client), item.message.clone(), item.place);
            flights.spawn(async move { (place, client.post(&message).await) });
        }
    }

    /// Takes an outcome in.
    fn landed(&mut self, ended: Result<(OccurrencePlace, AttemptOutcome), tokio::task::JoinError>) {
        let Ok((place, outcome)) = ended else {
            tracing::error!(endpoint = self.parts.config.name, "a delivery panicked");
            // Nobody knows which: all that are on their way go again.
            for item in self.items.iter_mut().filter(|item| item.state == State::InFlight) {
                item.state = State::Waiting;
            }
            self.failures += 1;
            self.open_at = Instant::now() + back_off(self.failures, chance());
            return;
        };
        let name = &self.parts.config.name;
        match outcome {
            AttemptOutcome::Delivered(_) => {
                self.parts.metrics.webhook(name, WebhookOutcome::Delivered);
                self.delivered(place);
            }
            AttemptOutcome::Gone => {
                tracing::error!(
                    endpoint = name,
                    "it answered 410: nothing more is sent to it until a restart, or a reload that changes \
                     it; nothing is lost"
                );
                self.gone = true;
                self.failed(place, Some(410), "it answered 410, gone", None);
            }
            AttemptOutcome::Failed { status, why, retry_after } => {
                self.failed(place, status, &why, retry_after);
            }
        }
    }

    fn delivered(&mut self, place: OccurrencePlace) {
        let now = Instant::now();
        self.last_success = Some(now);
        if self.failures > 0 || self.refuses_all() {
            tracing::info!(endpoint = self.parts.config.name, "it takes webhooks again");
            // The others failed because the endpoint did.
            for item in self.items.iter_mut().filter(|item| item.state == State::Waiting) {
                item.due = now;
            }
        }
        (self.failures, self.refusals) = (0, 0);
        self.end(place);
        let mut status = lock(&self.parts.status);
        status.delivered += 1;
        status.last_delivered = Some(Timestamp::now());
        status.error = None;
    }

    /// A wrong path or a wrong secret is answered with 404 or 401 to each message alike.
    fn refuses_all(&self) -> bool {
        let enough = if self.last_success.is_some() { REFUSALS_IN_A_ROW } else { 1 };
        self.refusals >= enough
    }

    fn failed(
        &mut self,
        place: OccurrencePlace,
        answer: Option<u16>,
        why: &str,
        retry_after: Option<Duration>,
    ) {
        let now = Instant::now();
        let (config, metrics) = (&self.parts.config, &self.parts.metrics);
        metrics.webhook(&config.name, WebhookOutcome::Failed);
        // What it answers to one message says nothing of the others.
        let of_endpoint = !matches!(answer, Some(400..=499)) || matches!(answer, Some(408 | 429));
        let known = self.failures > 0 || self.refuses_all();
        self.refusals = self.refusals.saturating_add(1);
        if of_endpoint {
            // Several that were on their way are one failure.
            if self.open_at <= now {
                self.failures = self.failures.saturating_add(1);
                let wait = retry_after.unwrap_or_else(|| back_off(self.failures, chance()));
                self.open_at = now + wait;
            }
        }
        if !known && (of_endpoint || self.refuses_all()) {
            tracing::warn!(endpoint = config.name, "it takes no webhook: {why}");
        }
        lock(&self.parts.status).error = Some((Timestamp::now(), why.to_string()));
        let Some(item) = self.items.iter_mut().find(|item| item.place == place) else { return };
        item.state = State::Waiting;
        item.tries = item.tries.saturating_add(1);
        let first_failed = *item.first_failed.get_or_insert(now);
        item.due = now + retry_after.unwrap_or_else(|| back_off(item.tries, chance()));
        let age = Timestamp::now().millis().saturating_sub(item.at.millis());
        let old = u128::try_from(age).is_ok_and(|age| age >= config.give_up.as_millis());
        let takes_others = self.last_success.is_some_and(|success| success > first_failed);
        if old && takes_others && item.tries >= LEAST_TRIES {
            let id = item.message.id.as_str();
            tracing::error!(endpoint = config.name, id, "given up, it takes others: {why}");
            metrics.webhook(&config.name, WebhookOutcome::GaveUp);
            lock(&self.parts.status).gave_up += 1;
            self.end(place);
        }
    }

    /// It is done: delivered, or given up.
    fn end(&mut self, place: OccurrencePlace) {
        self.items.retain(|item| item.place != place);
        self.done.insert(place);
        let first = self.first();
        self.done.retain(|place| *place > first);
        self.fresh = true;
    }

    /// The first place that is not done.
    fn first(&self) -> OccurrencePlace {
        self.items.front().map_or(self.next, |item| item.place)
    }

    fn cursor(&self) -> Cursor {
        let marks = self.written.marks.clone();
        Cursor { next: self.first(), done: self.done.clone(), marks }
    }

    /// When something is tried next that was not taken.
    fn next_try(&self) -> Option<Instant> {
        let waiting = self.items.iter().filter(|item| item.state == State::Waiting);
        let refused = waiting.filter(|item| item.tries > 0 || self.failures > 0);
        let due = refused.map(|item| item.due.max(self.open_at)).min();
        due.filter(|_| !self.gone)
    }

    /// When there is something to do.
    fn wake(&self) -> Instant {
        let now = Instant::now();
        let mut wake = now + limits::WEBHOOK_LOOK;
        if self.has_room() {
            wake = wake.min(self.look);
        }
        let waiting = self.items.iter().filter(|item| item.state == State::Waiting);
        if let Some(due) = waiting.map(|item| item.due.max(self.open_at)).min() {
            // One that is due and waits for another of its address is woken by that one.
            if due > now {
                wake = wake.min(due);
            }
        }
        wake
    }

    /// Shows how far it is.
    fn tell(&mut self) {
        let first = self.items.front();
        let behind = match first {
            Some(item) => self.newest.saturating_sub(item.place.0) + 1,
            None => (self.newest + 1).saturating_sub(self.next.0),
        };
        let now = Timestamp::now().millis();
        let oldest = first.map_or(0, |item| now.saturating_sub(item.at.millis()).max(0));
        self.parts.metrics.webhook_backlog(&self.parts.config.name, behind, oldest);
        let mut status = lock(&self.parts.status);
        status.backlog = behind;
        status.oldest = first.map(|item| item.at);
        status.gone = self.gone;
        status.failing = self.gone || self.failures > 0 || self.refuses_all();
        status.refused = self.items.iter().filter(|item| item.tries > 0).count() as u64;
        let wait = self.next_try().map(|at| at.saturating_duration_since(Instant::now()));
        status.next_try = wait.map(|wait| {
            let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
            Timestamp::from_millis(now.saturating_add(wait))
        });
    }

    /// Writes the cursor down when it moved, not too often.
    async fn write_cursor(&mut self, at_once: bool) {
        let now = Instant::now();
        // What was not for this endpoint need not be remembered at once.
        let rest = if self.fresh { limits::WEBHOOK_CURSOR } else { limits::WEBHOOK_CURSOR_IDLE };
        if !at_once && now < self.written_at + rest {
            return;
        }
        let cursor = self.cursor();
        if cursor == self.written {
            return;
        }
        (self.written_at, self.fresh) = (now, false);
        let (file, feed) = (self.parts.file.clone(), Arc::clone(&self.parts.feed));
        let written = tokio::task::spawn_blocking(move || {
            let mut cursor = cursor;
            cursor.mark(feed.as_ref())?;
            file.write(&cursor).map(|()| cursor)
        });
        match written.await.unwrap_or_else(|why| Err(std::io::Error::other(why))) {
            Ok(cursor) => self.written = cursor,
            Err(error) => {
                self.fresh = true;
                let path = self.parts.file.path().display();
                tracing::error!(
                    "{path} cannot be written: {error}; after a crash webhooks go again"
                );
            }
        }
    }
}

/// For jitter; without it everything still works.
fn chance() -> u16 {
    let mut octets = [0; 2];
    match getrandom::fill(&mut octets) {
        Ok(()) => u16::from_le_bytes(octets),
        Err(_) => 0,
    }
}
