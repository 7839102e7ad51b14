//! The operations of the service, as two traits: [`Operations`] for everybody, [`Service`] for
//! transports in the same process. HTTP, the lookup port and the page are three ways to call them.
//!
//! Promises: arguments are text as a client wrote it (the implementation reads addresses); answers
//! are the JSON objects of docs/interface.md, "HTTP", so that HTTP, the page and the command line
//! use the same words. Every call blocks. Reads of one address ([`Service::lookup`],
//! [`Operations::suppression`]) take microseconds, and transports call them on the thread that
//! reads the socket; everything else may wait for a disk, and transports move it to a blocking
//! thread.
//!
//! Deliberately unknown here: status codes, sockets, tokens, tokio.

mod accepted;
pub mod import;
pub mod lines;
pub mod local;
mod moment;
pub mod occurrence;
pub mod raw_messages;
pub mod redaction;
pub mod reports;
pub mod search;
pub mod trend;

use serde_json::{Value, json};

use crate::classify::Class;
use crate::event::{Act, Envelope, Imported};
use crate::ledger::LedgerStatus;
use crate::mail::{EnhancedStatus, Timestamp};
pub use moment::{Direction, moment};
use search::{Search, SearchFound};
use trend::Trend;

/// What people and programs ask for, wherever the service runs: [`local::LocalService`] does it in
/// this process, the command line's client asks a running service over HTTP.
pub trait Operations {
    /// The entry of an address that is suppressed or held; None when sending may go on. Fields:
    /// `address, scope, state, class, reason, category, since, until, events, rule`.
    fn suppression(
        &self,
        address: &str,
        scope: Option<&str>,
    ) -> Result<Option<Value>, ServiceError>;

    /// Suppresses by hand and gives the entry. Doing it twice changes nothing.
    fn suppress(
        &self,
        address: &str,
        scope: &str,
        reason: &str,
        until: Option<Timestamp>,
    ) -> Result<Value, ServiceError>;

    /// Releases by hand and gives the address with its state. Releasing what is not suppressed
    /// changes nothing and is not an error.
    fn release(&self, address: &str, scope: &str, reason: &str) -> Result<Value, ServiceError>;

    /// A page of entries, as [`Operations::suppression`] gives them. With a filter it may be short
    /// or empty and go on all the same.
    fn list(&self, query: &ListQuery) -> Result<ListPage, ServiceError>;

    /// Suppresses many by hand. An entry that cannot be read is refused by its place in `entries`;
    /// the others are done. With `dry_run` nothing is, and the outcome is what it would be.
    fn import(
        &self,
        entries: Vec<ImportEntry>,
        options: ImportOptions,
    ) -> Result<ImportOutcome, ServiceError>;

    /// Everything known of an address: `address`, `state`, `summary` (one sentence), `entries`
    /// and `events` (newest first, as in [`Operations::events`], with a `note` when one counts in
    /// nothing), and what else explains them. An address never heard of is an answer too, with
    /// state `clear`.
    fn explain(&self, address: &str, scope: Option<&str>) -> Result<Value, ServiceError>;

    /// Journal lines from position `from` (inclusive) on, in order, at most `limit`, and fewer when
    /// they are long; none of them means that the journal ends there.
    fn events(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, ServiceError>;

    /// Takes a message as if it came by SMTP; returns the classify object with `seq` and `id`
    /// after it is durable.
    fn message(
        &self,
        data: Vec<u8>,
        envelope: Envelope,
        peer: Option<String>,
    ) -> Result<Value, ServiceError>;

    /// Commits an act of a person that is neither a suppression nor a release (undo, erase,
    /// new verdicts) and says what it changed; with `dry_run` only what it would change.
    fn act(&self, act: Act, dry_run: bool) -> Result<Value, ServiceError>;

    /// What the rules on trial (`rules.shadow_dir`) say otherwise than the live ones: `configured`,
    /// `same`, `different`, `pairs` (each with `live` and `shadow` reason and rule, `count`,
    /// `sample`) and `beyond`, the disagreements for which the table had no room.
    fn shadow(&self) -> Result<Value, ServiceError>;

    /// The guards that are tripped now.
    fn guards(&self) -> Result<Value, ServiceError>;

    /// Believes the wall clock again after it jumped (docs/policy.md, "The clock"). Says the time
    /// that counts from now on (`now`), and whether there was a doubt (`was_in_doubt`).
    fn accept_clock(&self) -> Result<Value, ServiceError>;
}

/// What only transports in the same process ask for, besides the [`Operations`].
pub trait Service: Operations + Send + Sync {
    /// The answer for an MTA that is about to send. `scope` None, here and above: all scopes, as
    /// `lookup.unscoped` says; the answer is the worst of them and names it.
    fn lookup(&self, address: &str, scope: Option<&str>) -> Result<Lookup, ServiceError>;

    /// The scope of the mail that was sent with this return path, by its signature; None when it
    /// has none, or a wrong one. No question to the store: as fast as a lookup.
    fn scope_of(&self, return_path: &str) -> Option<String>;

    /// Those of many addresses that are suppressed or held, and those that are none.
    fn check(&self, addresses: &[String], scope: Option<&str>) -> Result<Checked, ServiceError>;

    /// Takes what the sending MTA says of its own attempts, as evidence. Results that cannot be
    /// read are refused by their place; the others are durable when this returns.
    fn results(&self, results: Vec<InBand>) -> Result<ResultsOutcome, ServiceError>;

    /// Mints a signed return path for today. `domain` None: the first of `smtp.domains`.
    fn mint(
        &self,
        recipient: &str,
        tag: Option<&str>,
        domain: Option<&str>,
    ) -> Result<String, ServiceError>;

    /// Rates of a scope over some days (the last 30 when nothing is said), with denominators.
    fn health(
        &self,
        scope: Option<&str>,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<Value, ServiceError>;

    /// Name and finding of each health check: `Ok` with what is well, `Err` with what is wrong.
    fn ready(&self) -> Vec<(String, Result<String, String>)>;

    /// Counts and sizes for the page and for metrics. Called once a scrape: cheap.
    fn overview(&self) -> Result<Overview, ServiceError>;

    /// What happened lately, as far as it is counted yet. `read` is called once and must be quick:
    /// others wait for it.
    fn trend(&self, read: &mut dyn FnMut(&Trend)) -> Result<(), ServiceError>;

    /// Scopes that mail was counted for, in their order.
    fn scopes(&self) -> Result<Vec<String>, ServiceError>;

    /// The guards as [`Operations::guards`] gives them, and those that are over, with `ended`.
    fn guard_history(&self) -> Result<Value, ServiceError>;

    /// Addresses and events that hold a text. It looks for a moment only, and says how far it came.
    fn search(&self, search: &Search) -> Result<SearchFound, ServiceError>;

    /// The message of an event, where it was kept (`journal.raw`), by the id of the event.
    fn raw(&self, id: &str) -> Result<Option<Vec<u8>>, ServiceError>;

    /// What the newest events would mean if these rules (TOML, as in `rules.dir`) were kept:
    /// `judged`, `since` (the oldest that was judged), `changes` (each with `from`, `to`, `count`,
    /// `sample`), and `findings`, what is wrong with the rules. Changes nothing.
    fn try_rules(&self, rules: &str) -> Result<Value, ServiceError>;
}

/// What an MTA should do with a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Send.
    Clear,
    /// Refuse for good.
    Suppressed {
        /// Enhanced code of the refusal; its class is taken as 5.
        status: EnhancedStatus,
        /// Words of the refusal.
        text: String,
    },
    /// Wait: the evidence says stop, a guard says not yet.
    Held {
        /// Words of the pause.
        text: String,
    },
}

/// Which entries [`Operations::list`] gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Entries of a page, at most.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Only addresses of this domain.
    pub domain: Option<String>,
    /// Only this class.
    pub class: Option<Class>,
    /// Only entries made at this moment or later.
    pub since: Option<Timestamp>,
    /// What holds for mail of this scope, as a lookup says it; `*`: what holds for all.
    pub scope: Option<String>,
}

/// A page of entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListPage {
    /// The entries.
    pub entries: Vec<Value>,
    /// Hand it back as `cursor` to go on; None: that was all.
    pub next: Option<String>,
}

/// One address of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportEntry {
    /// Address as given.
    pub address: String,
    /// Scope; `*` for all.
    pub scope: String,
    /// In words: what the other list said, else why a person imports it.
    pub words: String,
    /// End; None is without end.
    pub until: Option<Timestamp>,
    /// What else the other list said.
    pub imported: Imported,
}

impl ImportEntry {
    /// The entry as our own export writes it, and what was said in words.
    pub fn to_json(&self) -> Value {
        let Self { address, scope, words, until, imported } = self;
        json!({"address": address, "scope": scope, "state": "suppressed", "reason": imported.cause,
            "since": imported.since, "until": until, "events": imported.events, "rule": imported.rule,
            "text": words})
    }
}

/// How an import is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Say what it would be, and do nothing.
    pub dry_run: bool,
    /// Take also what is soft or blocked.
    pub all: bool,
}

/// An entry of an import that was not taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotTaken {
    /// Its place in the batch.
    pub place: usize,
    /// The sentence.
    pub why: String,
    /// The cell that is wrong; empty where the sentence says all.
    pub cell: String,
}

impl NotTaken {
    /// One that is left out on purpose.
    pub fn left_out(place: usize, why: String) -> Self {
        Self { place, why, cell: String::new() }
    }
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOutcome {
    /// Entries that are suppressed now, and no list had said so before.
    pub suppressed: u64,
    /// Entries of an earlier list that hold for longer now, or for a stronger reason.
    pub changed: u64,
    /// Entries that were suppressed already, as long and for as strong a reason.
    pub unchanged: u64,
    /// Understood, and not to be suppressed.
    pub left_out: Vec<NotTaken>,
    /// Not to be understood.
    pub refused: Vec<NotTaken>,
    /// Of a dry run: the first entries as they would be.
    pub sample: Vec<Value>,
}

/// Answers about many addresses; of the others nothing is known that would stop mail.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checked {
    /// Entries of those that are suppressed or held, in the order given, each as it was `asked`.
    pub hits: Vec<Value>,
    /// What is no address.
    pub unreadable: Vec<String>,
}

/// One in-band result: what became of one attempt to deliver one of our mails.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InBand {
    /// `sent`, `delivered`, `deferred` or `failed`.
    pub outcome: String,
    /// Address that was mailed.
    pub address: String,
    /// Message-ID of the mail, which ties a later report to it.
    #[serde(default)]
    pub message_id: Option<String>,
    /// Reply of the remote server, code and text.
    #[serde(default)]
    pub reply: Option<String>,
    /// Host that replied.
    #[serde(default)]
    pub remote_mta: Option<String>,
    /// Scope (list, stream, tenant) of the mail.
    #[serde(default)]
    pub scope: Option<String>,
    /// Campaign of the mail.
    #[serde(default)]
    pub campaign: Option<String>,
}

/// What became of a batch of in-band results.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultsOutcome {
    /// Results that are durable now.
    pub stored: u64,
    /// Place in the batch and why it was refused.
    pub refused: Vec<(usize, String)>,
}

/// Domain of the recipient that `bounced canary` reports on (RFC 6761, section 6.4): nobody.
pub const CANARY_DOMAIN: &str = "canary.invalid";

/// How the words of a check begin that has something to say and stops nothing.
pub const DEGRADED: &str = "degraded: ";

/// Counts and sizes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// Entries in state `suppressed`.
    pub suppressed: u64,
    /// Entries in state `held`.
    pub held: u64,
    /// Health and sizes of journal and view.
    pub ledger: LedgerStatus,
    /// Guards that are tripped now, each in a sentence.
    pub guards: Vec<String>,
    /// Why the wall clock is not believed, in a sentence.
    pub clock: Option<String>,
}

/// Why an operation was not done, by what the caller does about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The request is wrong; asking again will not help. HTTP 400.
    #[error("{0}")]
    BadRequest(String),
    /// There is no such thing. HTTP 404.
    #[error("{0}")]
    NotFound(String),
    /// Not now; asking again may work. HTTP 503, lookups TEMP.
    #[error("{0}")]
    Busy(String),
    /// No space to store it. HTTP 507, lookups TEMP.
    #[error("{0}")]
    Full(String),
    /// Our failure. HTTP 500, lookups TEMP.
    #[error("{0}")]
    Internal(String),
}
