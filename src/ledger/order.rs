//! Where records get their one order: the seam between a ledger and its journal.
//!
//! A [`Journal`] is appended to at a position, or says that it has moved on: somebody else was
//! quicker. The local segments are one that nobody else appends to. A [`SharedJournal`] is one that
//! several nodes append to; each node follows it and keeps a copy, its local segments, to read from.
//!
//! A commit is: take a turn, which gives what others appended; fold that; fold one's own batch over it;
//! append. Whoever loses the race folds again, so every node folds the same records in the same order.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::LedgerError;
use super::journal::Batch;

/// A position in one history. Two histories that differ in any record before a position have
/// different chains there, so a copy of a history that was lost is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Position of the last record; 0: before the first.
    pub seq: u64,
    /// SHA-256 over the chain before and the id of the last record; zeros before the first, and for a
    /// journal that is not shared.
    pub chain: [u8; 32],
}

impl Place {
    /// The place after one more record, by its id. Ids are never rewritten, so an erasure leaves the
    /// chain as it is.
    pub fn after(self, id: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.chain);
        hash.update(id.as_bytes());
        Self { seq: self.seq + 1, chain: hash.finalize().into() }
    }
}

/// The records after a place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct News {
    /// Position and JSON of each record, in order, without a gap.
    pub lines: Vec<(u64, String)>,
    /// The place of the last of them; where one was, when there are none.
    pub through: Place,
    /// Records up to this one are, or are being, rewritten for an erasure; 0: none ever was. Who has
    /// some of them from before and not yet the act itself cannot fold the others after them.
    pub rewritten: u64,
    /// The position that the journal begins with by now: records before it are gone, and a checkpoint
    /// holds what they decided.
    pub first: u64,
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is durable; the new end.
    Done(Place),
    /// Nothing was written: somebody else appended first. Take a turn again.
    MovedOn,
    /// It may or may not have been written, as a whole. Take a turn again: what was written is among
    /// what that gives.
    Unknown(String),
}

/// What the engine says of itself when a node tells that it lives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beat {
    /// The last position.
    pub end: u64,
    /// What is acknowledged is on more than one server.
    pub is_synchronous: bool,
    /// What is wrong with the nodes and stops nothing, in sentences.
    pub warnings: Vec<String>,
    /// The newest shared checkpoint that a node may begin with, and its age.
    pub checkpoint: Option<(u64, Duration)>,
    /// What is wrong with that, in a sentence.
    pub checkpoint_trouble: Option<String>,
}

/// What the list of a node adds up to, as of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListAt {
    /// The position.
    pub seq: u64,
    /// The node has carried out the erasures up to this one.
    pub erased: u64,
    /// Over all rows.
    pub sum: u64,
}

/// An erasure, by the position of its act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    /// Position of the act.
    pub seq: u64,
    /// The records before it are rewritten, all of them.
    pub is_done: bool,
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherNode {
    /// Its name.
    pub name: String,
    /// Its last position.
    pub seq: u64,
    /// It carried out the erasures up to this position.
    pub erased: u64,
    /// It was heard of late.
    pub is_live: bool,
}

/// An append-only journal.
pub trait Journal: Send {
    /// Waits for the turn to append, and gives what others appended after `at`. Until `append` or
    /// `pass` nobody else appends, as far as that can be had; `append` does not rely on it.
    fn turn(&mut self, at: &Place) -> Result<News, LedgerError>;
    /// Makes a batch durable after `at`, all of it or nothing, and ends the turn. An error means
    /// that nothing was written, except `Ambiguous`.
    fn append(&mut self, at: &Place, batch: &Batch) -> Result<Appended, LedgerError>;
    /// Ends the turn without appending. On `Ok` all that the turn gave is as durable as if this
    /// caller had appended it.
    fn pass(&mut self) -> Result<(), LedgerError>;
}

/// A checkpoint that nodes share: the octets of a file with all rows as of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedCheckpoint {
    /// Names it; no two have one name.
    pub name: String,
    /// The rows are the fold of the journal up to here.
    pub place: Place,
    /// Addresses that were erased up to this position are not in it.
    pub erased: u64,
    /// How many parts it has, numbered from 0.
    pub parts: u32,
    /// Octets of all parts.
    pub octets: u64,
    /// Over all octets.
    pub sha256: [u8; 32],
    /// How long ago it was written.
    pub age: Duration,
}

/// How far the engine has checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stock {
    /// The position that the journal begins with.
    pub first: u64,
    /// Position of the last erasure; 0: there was none.
    pub erased: u64,
    /// Those that a node may begin with, newest first: whole, of this fold, and without any address
    /// that was erased.
    pub usable: Vec<SharedCheckpoint>,
    /// Anything is stored at all: also what nobody may use, and parts.
    pub is_any: bool,
}

impl Stock {
    /// Why a node that has nothing cannot begin; None when it can.
    pub fn no_beginning(&self) -> Option<String> {
        (self.first > 1 && self.usable.is_empty()).then(|| {
            format!(
                "the shared journal begins at {} by now (journal.keep), and there is no checkpoint \
                 that a node of this release could begin with: nodes that have their copy write one \
                 while they run, see `bounced engine status`; start this one again after that",
                self.first
            )
        })
    }
}

/// The checkpoints beside a shared journal, and how its old records go.
pub trait SharedCheckpoints {
    /// What there is.
    fn stock(&mut self) -> Result<Stock, LedgerError>;
    /// One part. `Corrupt` when it is not there.
    fn part(&mut self, name: &str, part: u32) -> Result<Vec<u8>, LedgerError>;
    /// The records from a position on, at most so many, with nothing said about what was before;
    /// and the position of the last erasure.
    fn records(
        &mut self,
        from: u64,
        limit: usize,
    ) -> Result<(Vec<(u64, String)>, u64), LedgerError>;
    /// Claims the right to write the checkpoint of a name; false: somebody else has it for the
    /// moment. With `force` it is taken away from whoever has it. What others left unfinished goes.
    fn claim(&mut self, name: &str, force: bool) -> Result<bool, LedgerError>;
    /// Adds a part of a checkpoint in which erasures are carried out up to `erased`; false: nothing
    /// was written, because the right is gone, or another erasure came.
    fn put(
        &mut self,
        name: &str,
        erased: u64,
        part: u32,
        octets: &[u8],
    ) -> Result<bool, LedgerError>;
    /// The parts are all there: from now on nodes may begin with it. The two newest stay, and the
    /// right is given back. False: as for `put`, or its place is none of this history.
    fn complete(&mut self, new: &SharedCheckpoint) -> Result<bool, LedgerError>;
    /// Removes all in which an erasure up to this position may not be carried out, unfinished ones,
    /// too; whoever writes one loses the right to.
    fn forget(&mut self, erased: u64) -> Result<(), LedgerError>;
    /// Removes old records, some of them: those from longer ago than `keep`, that all nodes of late
    /// have, and that two checkpoints cover. Gives how many.
    fn retain(&mut self, keep: Duration) -> Result<u64, LedgerError>;
}

/// A journal that several nodes append to. One value is one line to the engine that holds it; a node
/// has several.
pub trait SharedJournal: Journal + SharedCheckpoints {
    /// From now on no call takes longer than until then; None: each takes as long as it may.
    fn until(&mut self, until: Option<Instant>);
    /// The place of position `at`, when the records there are those of which `tail` has positions and
    /// ids. `Forked` when they are not.
    fn find(&mut self, at: u64, tail: &[(u64, String)]) -> Result<Place, LedgerError>;
    /// The records after `at`, at most `limit` records, without a turn. `Forked` when `at` is no
    /// place of this history.
    fn read(&mut self, at: &Place, limit: usize) -> Result<News, LedgerError>;
    /// Tells the others that this node lives, has folded up to a place, carried out the erasures up to
    /// a position, and what its list adds up to.
    fn beat(&mut self, at: &Place, erased: u64, lists: &[ListAt]) -> Result<Beat, LedgerError>;
    /// The other nodes.
    fn peers(&mut self) -> Result<Vec<OtherNode>, LedgerError>;
    /// All erasures, in order.
    fn erasures(&mut self) -> Result<Vec<Erasure>, LedgerError>;
    /// Says that records up to the act at `seq` will be rewritten. Nobody who lacks the act takes
    /// records before it from then on.
    fn begin_erasure(&mut self, seq: u64, hash: &str) -> Result<(), LedgerError>;
    /// Says that all erasures under this hash are done.
    fn end_erasure(&mut self, hash: &str) -> Result<(), LedgerError>;
    /// Lets records up to a position say less, where `edit` says so; gives how many. After an error
    /// it must be done again.
    fn rewrite(
        &mut self,
        through: u64,
        edit: &mut dyn FnMut(u64, &str) -> Option<String>,
    ) -> Result<u64, LedgerError>;
}
