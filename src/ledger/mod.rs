//! The seam between what happened (journal), what follows from it (policy) and who asks: one
//! operation-level trait that the sled engine implements and a PostgreSQL engine can too.
//!
//! An engine stores two things: the journal (append-only events, the truth) and rows (what a
//! [`Fold`] made of the journal, a disposable view). It knows neither policy nor JSON fields.

pub mod backup;
pub mod committer;
pub mod copy;
mod filter;
pub mod journal;
pub(crate) mod lock;
mod memory;
pub mod order;
pub mod postgres;
pub mod private;
pub mod remembered;
pub mod repeated;
pub mod small_file;
pub mod store;
pub mod verify;

use std::sync::Arc;

use crate::event::Event;
use crate::mail::Timestamp;
pub use memory::{Lookback, MemoryRows};

/// Key and value of rows, as octets. Keys are ordered by octet.
pub type Row = (Vec<u8>, Vec<u8>);

/// What a fold sees of the rows: the view as of the event before, with its own writes on top.
pub trait Rows {
    /// The value of one row.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError>;
    /// Writes a row, or removes it.
    fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>);
    /// Rows whose key begins with `prefix` and is greater than `after`, in key order.
    fn scan(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Vec<Row>, LedgerError>;
    /// An earlier event by its position; for undo, which looks back.
    fn event(&self, seq: u64) -> Result<Option<Event>, LedgerError>;
}

/// The pure function from journal to rows. Same rows, same event: same writes and decisions; no
/// clock but `event.received_at`.
pub trait Fold: Send {
    /// Takes one event in: writes rows and fills `event.decisions`.
    fn fold(&mut self, rows: &mut dyn Rows, event: &mut Event) -> Result<(), LedgerError>;
    /// Addresses (key form) whose history this event belongs to.
    fn touches(&self, event: &Event) -> Vec<String>;
    /// Addresses (key form) whose history ends with this event: it is no longer found by them.
    fn forgets(&self, _: &Event) -> Vec<String> {
        Vec::new()
    }
    /// Forgets what it remembers beside the rows: they were rolled back or built anew.
    fn reset(&mut self) {}
}

/// What an event is told before it is folded: what the fold needs and cannot know, such as keys.
pub trait Prepare: Send + Sync {
    /// `rows` are those as of the event before.
    fn prepare(&self, rows: &dyn Rows, event: &mut Event) -> Result<(), LedgerError>;
    /// An event is being folded, whoever wrote it.
    fn folds(&self, event: &Event);
}

/// The other nodes of a shared journal, for an erasure, which concerns all copies.
pub trait Others {
    /// Waits, not for long, until the nodes that live have the act at a position; then says that
    /// records up to it are rewritten: who lacks the act takes its copy anew.
    fn begin_erasure(&self, seq: u64, hash: &str) -> Result<(), LedgerError>;
    /// Lets the shared records up to the act say less; gives how many. Then the erasure is done.
    fn end_erasure(
        &self,
        seq: u64,
        hash: &str,
        line: &mut dyn FnMut(u64, &str) -> Option<String>,
    ) -> Result<u64, LedgerError>;
    /// Erasures before the act at a position that this node has not carried out, as its own journal
    /// tells: also those of which another node has not said yet that it rewrites records for them.
    fn erasures_before(&self, seq: u64) -> Result<Vec<u64>, LedgerError>;
    /// Erasures that this node has not carried out yet, by the positions of their acts.
    fn erasures_due(&self) -> Result<Vec<u64>, LedgerError>;
    /// This node carried out all erasures up to one.
    fn erasure_is_done(&self, seq: u64) -> Result<(), LedgerError>;
    /// Nodes that have not carried out an erasure yet; it waits a little for those that live.
    fn nodes_due(&self, seq: u64) -> Result<Vec<String>, LedgerError>;
}

/// What became of one event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The event as it is in the journal; of a duplicate, only `seq` and `id` of the first.
    pub seq: u64,
    /// Its id; of a duplicate, the id of the first.
    pub id: String,
    /// The same message was committed before: nothing was written.
    pub duplicate: bool,
    /// What it changed.
    pub decisions: Vec<crate::event::Decision>,
}

/// A page of rows and where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Rows in key order.
    pub rows: Vec<Row>,
    /// Opaque; hand it back to get the next page. None: that was all.
    pub next: Option<Vec<u8>>,
}

/// What becomes of a row of the fold, by key and value; None leaves it as it is.
pub type EditRow<'a> = &'a dyn Fn(&[u8], &[u8]) -> Option<Vec<u8>>;

/// What is to be said less by what is stored; None leaves it as it is.
pub struct Redact<'a> {
    /// A record, by its position.
    pub line: &'a mut dyn FnMut(u64, &str) -> Option<String>,
    /// A row of the fold.
    pub row: EditRow<'a>,
}

/// Storage of events and rows. All calls block; callers on an async runtime move them to a thread.
pub trait Ledger: Send + Sync {
    /// Commits a batch: all of it is durable when this returns `Ok`, in the order given. Events
    /// whose `digest` was committed in the last 7 days are answered as duplicates. `seq`,
    /// `decisions` and a better `attribution` of the given events are filled in by the engine and
    /// its fold; after an error the first two mean nothing, and the events may be given again.
    fn commit(&self, batch: &mut [Event]) -> Result<Vec<Committed>, LedgerError>;
    /// From now on each event is told something before it is folded, inside of its commit.
    fn prepare_with(&self, prepare: Arc<dyn Prepare>);
    /// The other nodes; None when there are none.
    fn others(&self) -> Option<&dyn Others> {
        None
    }
    /// The values of some rows, in the order of the keys.
    fn look_up(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, LedgerError>;
    /// False: there is no row of this key, for certain. Costs less than reading it, and allocates
    /// nothing: most questions are about addresses of which nothing is known.
    fn may_have(&self, _key: &[u8]) -> Result<bool, LedgerError> {
        Ok(true)
    }
    /// Rows with a prefix, page by page.
    fn list(&self, prefix: &[u8], cursor: Option<&[u8]>, limit: usize)
    -> Result<Page, LedgerError>;
    /// Events that touched an address (key form), newest first.
    fn history(&self, address: &str, limit: usize) -> Result<Vec<Event>, LedgerError>;
    /// Events from a position on, as their JSON lines without the line end, in order.
    fn journal(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, LedgerError>;
    /// Health and sizes.
    fn status(&self) -> LedgerStatus;
    /// Lets records and rows say less, where `line` and `row` say so: journal, checkpoints and view
    /// hold nothing of what they take out when this returns `Ok` with the number of changed
    /// records. After an error, or a crash, it must be done again; then it goes on where it was.
    /// Lookups and commits go on all through.
    fn redact(&self, _: Redact<'_>) -> Result<u64, LedgerError> {
        Err(LedgerError::Fatal("this ledger cannot rewrite its journal".to_string()))
    }
    /// Brings the view as far as there is time, so that the next start has little to fold. The last
    /// call before a process ends; nothing is lost without it.
    fn settle(&self) -> Result<(), LedgerError> {
        Ok(())
    }
    /// Writes a checkpoint of all rows; afterwards whole old segments may go.
    fn checkpoint(&self, now: Timestamp) -> Result<(), LedgerError>;
}

/// Health and sizes of a ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerStatus {
    /// Last committed position; 0 when empty.
    pub last_seq: u64,
    /// Position up to which rows are folded; less than `last_seq` only while a rebuild runs.
    pub folded_seq: u64,
    /// First position still in the journal.
    pub first_seq: u64,
    /// Octets of all journal segments.
    pub journal_bytes: u64,
    /// Octets of the view.
    pub store_bytes: u64,
    /// Octets free on the file system of the data directory.
    pub free_bytes: u64,
    /// Records of the journal that are damaged or missing, as far as it was looked at.
    pub damaged: u64,
    /// What is wrong with stored data and stops nothing.
    pub troubles: Vec<Trouble>,
    /// What is wrong, in a sentence; None when commits and lookups work.
    pub trouble: Option<String>,
    /// How far this node is behind the others; None when it has the journal alone.
    pub engine: Option<EngineStatus>,
}

/// How far a node is behind the journal that it shares with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineStatus {
    /// For how long it has not had all there was.
    pub lag: std::time::Duration,
    /// The last position of the shared journal, as far as it is known.
    pub end: u64,
    /// What is acknowledged is on more than one server; None: not known yet.
    pub is_synchronous: Option<bool>,
    /// What is wrong with the nodes and stops nothing, in sentences.
    pub warnings: Vec<String>,
    /// The newest shared checkpoint that a node may begin with, and its age; without one 0, and for how
    /// long this node has run.
    pub checkpoint: (u64, std::time::Duration),
    /// What is wrong with that, in a sentence.
    pub checkpoint_trouble: Option<String>,
}

/// What can be wrong with stored data, a closed set: `bounced_trouble{what}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TroubleKind {
    /// Records that can no longer be read.
    JournalDamaged,
    /// Positions that no segment holds.
    JournalMissing,
    /// The journal ends before a checkpoint or the view.
    JournalCut,
    /// A file that is not part of the journal.
    StrangeFile,
    /// A checkpoint that cannot be read.
    Checkpoint,
    /// What lost records decided is lost, too: no view or checkpoint had it.
    StateLost,
    /// A file that others than its owner may read.
    Permissions,
}

impl TroubleKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::JournalDamaged,
        Self::JournalMissing,
        Self::JournalCut,
        Self::StrangeFile,
        Self::Checkpoint,
        Self::StateLost,
        Self::Permissions,
    ];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JournalDamaged => "journal-damaged",
            Self::JournalMissing => "journal-missing",
            Self::JournalCut => "journal-cut",
            Self::StrangeFile => "strange-file",
            Self::Checkpoint => "checkpoint",
            Self::StateLost => "state-lost",
            Self::Permissions => "permissions",
        }
    }
}

/// Something that is wrong with stored data and stops nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Which kind.
    pub kind: TroubleKind,
    /// In which file, from the data directory.
    pub file: Option<String>,
    /// First and last position that it is about.
    pub seqs: Option<(u64, u64)>,
    /// What it is, and what follows from it, in a sentence.
    pub text: String,
}

impl Trouble {
    /// Records that it costs.
    pub fn records(&self) -> u64 {
        match self.kind {
            TroubleKind::JournalDamaged | TroubleKind::JournalMissing | TroubleKind::JournalCut => {
                self.seqs.map_or(0, |(from, through)| (through + 1).saturating_sub(from))
            }
            _ => 0,
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why an operation failed, by what the caller does about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Nothing was written; trying again may work. SMTP: 451 4.3.0.
    #[error("the ledger is not ready: {0}")]
    Retryable(String),
    /// It may or may not have been written; the sender must try again, and the digest makes that
    /// harmless. SMTP: 451 4.3.0.
    #[error("the outcome of a commit is unknown: {0}")]
    Ambiguous(String),
    /// The engine that holds the journal cannot be reached, or does not answer. Nothing was
    /// written, and nothing will be until it is back. SMTP: 451 4.3.0.
    #[error("the engine is away: {0}")]
    Away(String),
    /// The records that this node has are not those of the engine: it must take its copy anew.
    #[error("this node has a history that the engine lost: {0}")]
    Forked(String),
    /// The copy of this node is too old to go on with: it missed an erasure, or the records after it
    /// are gone. It must take its copy anew.
    #[error("the copy of this node is too old: {0}")]
    Outdated(String),
    /// No space. Nothing was written. SMTP: 452 4.3.1.
    #[error("the disk is full: {0}")]
    Full(String),
    /// Stored data is damaged; a rebuild is on its way or a person is needed.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// The ledger cannot go on without a person.
    #[error("the ledger stopped: {0}")]
    Fatal(String),
}
