//! A ledger in memory, and records as short as a test wants to write them.

use std::sync::Mutex;

use bounced::classify::{Reason, RecipientVerdict};
use bounced::event::{Act, Analysis, Decision, Envelope, Event, EventType, SendResult, VerpInfo};
use bounced::ledger::{Committed, Fold, Ledger, LedgerError, LedgerStatus, MemoryRows, Page, Rows};
use bounced::mail::{Address, Timestamp};
use bounced::policy::{Policy, PolicyFold, PolicyReader, Standing};
use bounced::report::{Action, Attribution, Kind, Recipient};

pub const DAY: i64 = 86_400_000;
pub const HOUR: i64 = 3_600_000;
pub const MINUTE: i64 = 60_000;

/// Rows and journal in memory.
pub type Memory = MemoryRows<Vec<Event>>;

/// A ledger with one fold.
pub struct Book {
    inner: Mutex<(Memory, PolicyFold)>,
    pub reader: PolicyReader,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            inner: Mutex::new((Memory::default(), PolicyFold::new())),
            reader: PolicyReader::new(),
        }
    }
}

impl Book {
    /// Over rows that were folded elsewhere.
    pub fn over(rows: Memory) -> Self {
        Self { inner: Mutex::new((rows, PolicyFold::new())), reader: PolicyReader::new() }
    }

    pub fn with(policy: &Policy) -> Self {
        let book = Self::default();
        book.act(0, policy.act());
        book
    }

    /// Commits one event at a moment; gives its decisions.
    pub fn put(&self, at_ms: i64, mut event: Event) -> Vec<Decision> {
        let mut inner = self.inner.lock().expect("no test panics in here");
        let (memory, fold) = &mut *inner;
        event.seq = memory.journal.len() as u64 + 1;
        event.id = format!("e{}", event.seq);
        event.received_at = Timestamp::from_millis(at_ms);
        fold.fold(memory, &mut event).expect("memory does not fail");
        let decisions = event.decisions.clone();
        memory.journal.push(event);
        decisions
    }

    pub fn act(&self, at_ms: i64, act: Act) -> Vec<Decision> {
        let mut event = blank(EventType::Act);
        event.act = Some(act);
        self.put(at_ms, event)
    }

    pub fn standing(&self, address: &str, scope: Option<&str>, at_ms: i64) -> Option<Standing> {
        let address = Address::parse(address).expect("an address");
        self.reader
            .standing(self, &address, scope, Timestamp::from_millis(at_ms))
            .expect("memory does not fail")
    }

    /// State as a word, `clear` when nothing is known.
    pub fn state(&self, address: &str, at_ms: i64) -> String {
        self.state_in(address, None, at_ms)
    }

    pub fn state_in(&self, address: &str, scope: Option<&str>, at_ms: i64) -> String {
        self.standing(address, scope, at_ms).map_or("clear".to_string(), |s| s.state.to_string())
    }

    pub fn clause(&self, address: &str, at_ms: i64) -> String {
        self.standing(address, None, at_ms).and_then(|s| s.clause).unwrap_or_default()
    }

    /// Edits rows as the ledger does after an erasure: None leaves a row as it is.
    pub fn edit_rows(&self, edit: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        let mut inner = self.inner.lock().expect("no test panics in here");
        for value in inner.0.rows.values_mut() {
            if let Some(new) = edit(value) {
                *value = new;
            }
        }
    }

    pub fn memory(&self) -> Memory {
        self.inner.lock().expect("no test panics in here").0.clone()
    }
}

impl Ledger for Book {
    fn commit(&self, batch: &mut [Event]) -> Result<Vec<Committed>, LedgerError> {
        Ok(batch
            .iter()
            .map(|event| {
                let decisions = self.put(event.received_at.millis(), event.clone());
                let seq = self.memory().journal.len() as u64;
                Committed { seq, id: format!("e{seq}"), duplicate: false, decisions }
            })
            .collect())
    }

    fn prepare_with(&self, _: std::sync::Arc<dyn bounced::ledger::Prepare>) {}

    fn look_up(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, LedgerError> {
        let inner = self.inner.lock().expect("no test panics in here");
        keys.iter().map(|key| inner.0.get(key)).collect()
    }

    fn list(
        &self,
        prefix: &[u8],
        cursor: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, LedgerError> {
        let inner = self.inner.lock().expect("no test panics in here");
        let rows = inner.0.scan(prefix, cursor.unwrap_or_default(), limit)?;
        let next = (rows.len() == limit).then(|| rows.last().map(|r| r.0.clone())).flatten();
        Ok(Page { rows, next })
    }

    fn history(&self, address: &str, limit: usize) -> Result<Vec<Event>, LedgerError> {
        let inner = self.inner.lock().expect("no test panics in here");
        let touches = |e: &&Event| inner.1.touches(e).iter().any(|a| a == address);
        Ok(inner.0.journal.iter().rev().filter(touches).take(limit).cloned().collect())
    }

    fn journal(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, LedgerError> {
        let inner = self.inner.lock().expect("no test panics in here");
        let lines = inner.0.journal.iter().filter(|e| e.seq >= from).take(limit);
        Ok(lines.map(|e| (e.seq, serde_json::to_string(e).expect("an event"))).collect())
    }

    fn status(&self) -> LedgerStatus {
        LedgerStatus::default()
    }

    fn checkpoint(&self, _now: Timestamp) -> Result<(), LedgerError> {
        Ok(())
    }
}

pub fn blank(event_type: EventType) -> Event {
    Event::new(event_type, String::new(), Timestamp::default())
}

pub fn verdict(address: &str, reason: Reason) -> RecipientVerdict {
    RecipientVerdict {
        recipient: Recipient {
            address: Address::parse(address),
            final_recipient: Some(address.to_string()),
            action: Some(Action::Failed),
            ..Recipient::default()
        },
        reason: Some(reason),
        class: Some(reason.class()),
        class_code: Some(reason.class().code()),
        category: Some(reason.category()),
        advice: Some(reason.advice()),
        rule: Some(format!("test/{reason}")),
        ..RecipientVerdict::default()
    }
}

/// A message of a kind about an address, attributed by the report alone.
pub fn message(kind: Kind, address: &str) -> Event {
    let mut event = blank(EventType::Message);
    event.attribution = Some(Attribution::Report);
    event.peer = Some("192.0.2.1".to_string());
    event.envelope =
        Some(Envelope { to: vec!["bounces@example.net".into()], ..Envelope::default() });
    let mut recipient = verdict(address, Reason::Generic);
    recipient.recipient.action = None;
    recipient.reason = None;
    recipient.rule = None;
    event.analysis =
        Some(Analysis { bytes: 1, recipients: vec![recipient], ..Analysis::new(kind, "test") });
    event
}

/// A failure report.
pub fn failure(address: &str, reason: Reason) -> Event {
    let mut event = message(Kind::Failure, address);
    if let Some(analysis) = &mut event.analysis {
        analysis.recipients = vec![verdict(address, reason)];
    }
    event
}

/// Gives the event a signed return path for an address, as if it came to `token`.
pub fn signed(mut event: Event, address: &str, token: &str, tag: Option<&str>) -> Event {
    event.attribution = Some(Attribution::Signed);
    event.scope = tag.map(str::to_string);
    event.envelope =
        Some(Envelope { to: vec![format!("{token}@bounce.example.net")], ..Envelope::default() });
    if let Some(analysis) = &mut event.analysis {
        analysis.verp = Some(VerpInfo {
            recipient: Some(address.to_string()),
            scheme: "signed-full".to_string(),
            authentic: Some(true),
            tag: tag.map(str::to_string),
        });
    }
    event
}

/// Names the mail of ours that the report is about.
pub fn about(mut event: Event, message_id: &str) -> Event {
    if let Some(analysis) = &mut event.analysis {
        analysis.original.message_id = Some(message_id.to_string());
    }
    event
}

/// An in-band result.
pub fn result(outcome: &str, address: &str, reason: Option<Reason>) -> Event {
    let mut event = blank(EventType::Result);
    event.result = Some(SendResult {
        outcome: outcome.to_string(),
        address: address.to_string(),
        message_id: None,
        verdict: reason.map(|r| verdict(address, r)),
    });
    event
}
