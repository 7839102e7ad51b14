//! An erasure over all nodes of a shared journal, as the node sees it that was asked, and the others.
//!
//! | the node that was asked | the others | a new one, or one that was away |
//! |---|---|---|
//! | 1. commits the act | fold it | |
//! | 2. waits for those that live | | |
//! | 3. says that records before it are rewritten | | waits; one with a part of them begins anew |
//! | 4. takes the address out of its copy | do so when they have the act, say so in their row | |
//! | 5. rewrites the shared records | | |
//! | 6. replaces shared checkpoints from before it | | |
//! | 7. says that it is done | | takes the records as they are now |
//!
//! Killed at any moment, it does all of it again, with another act. When it never comes back, the same
//! erasure asked of another node ends both.

use std::time::{Duration, Instant};

use super::SledLedger;
use super::cluster::Cluster;
use super::engine::Engine;
use super::erased::Erased;
use super::sharing;
use crate::event::{Act, Event};
use crate::ledger::journal;
use crate::ledger::lock::lock;
use crate::ledger::order::{OtherNode, SharedJournal};
use crate::ledger::{LedgerError, Others};

/// Others that live are waited for so long: longer than a node that stopped counts as one of them.
const PATIENCE: Duration = Duration::from_secs(12);
/// Records that are looked at between two reads.
const READ_AT_ONCE: usize = 1_000;
/// What the act of an erasure has in its JSON.
const ERASE: &str = "\"erase\"";
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(200);

impl Engine {
    fn cluster(&self) -> Result<&Cluster, LedgerError> {
        self.cluster.as_ref().ok_or_else(|| LedgerError::Fatal("there are no others".to_string()))
    }

    fn line(&self) -> Result<Box<dyn SharedJournal>, LedgerError> {
        Ok((self.cluster()?.share.connect)())
    }

    /// Waits until no other node that lives lacks something; gives those that do.
    fn wait_for(&self, lacks: &dyn Fn(&OtherNode) -> bool) -> Result<Vec<OtherNode>, LedgerError> {
        let (mut line, until) = (self.line()?, Instant::now() + PATIENCE);
        loop {
            let mut peers = line.peers()?;
            peers.retain(lacks);
            let is_late = Instant::now() >= until || lock(&self.inbox).stop;
            if is_late || !peers.iter().any(|peer| peer.is_live) {
                return Ok(peers);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// A copy that is begun now.
    pub(super) fn begin_copy(&self, line: &mut dyn SharedJournal) -> Result<(), LedgerError> {
        self.cluster()?.begin_copy(self.disk.as_ref(), line)
    }
}

impl Others for SledLedger {
    fn begin_erasure(&self, seq: u64, hash: &str) -> Result<(), LedgerError> {
        let behind = self.engine.wait_for(&|peer| peer.seq < seq)?;
        // It would have to begin anew, and take no mail until somebody restarts it.
        if let Some(peer) = behind.iter().find(|peer| peer.is_live) {
            return Err(LedgerError::Retryable(format!(
                "node {} is behind, at {} of {seq}, and would lose its copy",
                peer.name, peer.seq
            )));
        }
        self.engine.line()?.begin_erasure(seq, hash)
    }

    fn end_erasure(
        &self,
        seq: u64,
        hash: &str,
        line: &mut dyn FnMut(u64, &str) -> Option<String>,
    ) -> Result<u64, LedgerError> {
        let mut journal = self.engine.line()?;
        let changed = journal.rewrite(seq, line)?;
        sharing::renew(&self.engine, journal.as_mut(), seq)?;
        journal.end_erasure(hash)?;
        Ok(changed)
    }

    fn erasures_before(&self, seq: u64) -> Result<Vec<u64>, LedgerError> {
        let failed = |error| journal::refused("the journal cannot be read", &error);
        let (mut found, mut next) = (Vec::new(), self.engine.cluster()?.erased().clean() + 1);
        while next < seq {
            let lines = self.engine.reader.read(next, READ_AT_ONCE).map_err(failed)?;
            let Some((last, _)) = lines.last() else { break };
            next = last + 1;
            for (at, line) in lines.iter().filter(|(at, line)| *at < seq && line.contains(ERASE)) {
                let act = serde_json::from_str::<Event>(line).ok().and_then(|event| event.act);
                found.extend(matches!(act, Some(Act::Erase { .. })).then_some(*at));
            }
        }
        Ok(found)
    }

    fn erasures_due(&self) -> Result<Vec<u64>, LedgerError> {
        let cluster = self.engine.cluster()?;
        let (done, end) = (cluster.erased().done, self.engine.reader.last_seq());
        // What the follower heard: no line is opened for nothing.
        if cluster.last_erasure() <= done {
            return Ok(Vec::new());
        }
        let erasures = self.engine.line()?.erasures()?;
        Ok(erasures.iter().map(|e| e.seq).filter(|seq| *seq > done && *seq <= end).collect())
    }

    fn erasure_is_done(&self, seq: u64) -> Result<(), LedgerError> {
        let cluster = self.engine.cluster()?;
        cluster.set_erased(self.engine.disk.as_ref(), |known| {
            let known = known.unwrap_or_default();
            Erased { done: known.done.max(seq), ..known }
        })
    }

    fn nodes_due(&self, seq: u64) -> Result<Vec<String>, LedgerError> {
        let due = self.engine.wait_for(&|peer| peer.erased < seq)?;
        Ok(due.into_iter().map(|peer| peer.name).collect())
    }
}
