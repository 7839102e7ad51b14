//! The journal of many nodes, in PostgreSQL (15 or newer).
//!
//! One locked row, `head`, puts all writers in one order. A turn is `BEGIN`, that row `FOR UPDATE`, and
//! the records that others appended; an append moves the row by compare-and-swap and inserts the
//! records in one statement, then commits. So positions are dense and in commit order.
//!
//! What a commit relies on is the compare-and-swap and the primary key, not the lock: the lock only
//! saves folding twice. A commit is acknowledged when `COMMIT` succeeded without a notice: with
//! synchronous replication it is then on two servers. A cancelled wait for the standby is a success
//! with a warning; that, a lost connection and a silent server are an unknown outcome, which the next
//! turn settles by looking whether the records are there.
//!
//! | trap | what is done |
//! |---|---|
//! | a writer that makes no step holds the lock | `idle_in_transaction_session_timeout` = 2 s |
//! | a commit that waits for its standby is cancelled: success, with a warning | a notice during COMMIT is no answer |
//! | what was read in a turn was never replicated, and vanishes in a failover | a turn that appends nothing, and is relied on, still commits something (`pass`) |
//! | the history of this node is not that of the engine any more | each record has a chain; places are compared |
//! | a server is frozen, its kernel alive | each call has an end of its own |
//! | releases that fold differently | `head` has the version of the fold; who has not that one neither follows nor commits |
//! | clocks | a node that is off by more than 5 s does not commit |
//!
//! Nothing here needs LISTEN, advisory locks, sequences or triggers.

mod checkpoints;
mod columns;
mod journal;
mod line;
pub mod schema;
mod status;
#[cfg(test)]
mod tests;
mod tls;
mod upgrade;
mod url;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub use journal::PostgresJournal;
pub use status::{EngineReport, NodeReport};
pub use upgrade::upgrade;
pub use url::{EngineUrl, read};

/// How this node takes part.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the engine is.
    pub place: Arc<EngineUrl>,
    /// The schema; a plain SQL name.
    pub schema: String,
    /// Which ledger of the schema.
    pub ledger: i16,
    /// The name of this node.
    pub node: String,
    /// The versions of the fold that this release has.
    pub folds: Folds,
    /// Names this process: another one under the same name of a node is found out.
    pub run: String,
    /// What all nodes should be configured with alike, as fingerprints by name.
    pub facts: Fingerprints,
}

/// Versions of the fold, the oldest and the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folds {
    /// That of the release before, at least.
    pub oldest: i32,
    /// Its own.
    pub newest: i32,
}

impl Folds {
    /// Whether records can be folded as this version.
    pub fn have(self, version: i32) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }
}

/// Fingerprints by name; they change at a reload.
pub type Fingerprints = Arc<Mutex<BTreeMap<String, String>>>;
