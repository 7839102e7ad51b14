//! What a node among others is asked beside the questions of every ledger.

use std::time::Duration;

use super::SledLedger;
use super::cluster::{Cluster, Observe};
use super::sharing;
use crate::ledger::LedgerError;
use crate::ledger::lock::lock;

impl SledLedger {
    /// Waits until this node has, once, all that the shared journal had; false when it has not by then.
    pub fn wait_level(&self, patience: Duration) -> bool {
        let Some(cluster) = &self.engine.cluster else { return true };
        let level = || cluster.was_level() || cluster.stuck().is_some();
        let inbox = lock(&self.engine.inbox);
        drop(self.engine.moved.wait_timeout_while(inbox, patience, |_| !level()));
        cluster.was_level()
    }

    /// Looks at once whether the checkpoint of this node is to be shared, and old records are to go. A
    /// thread does so every few seconds.
    pub fn share_checkpoint(&self) -> Result<(), LedgerError> {
        let Some(cluster) = &self.engine.cluster else { return Ok(()) };
        sharing::step(&self.engine, cluster, (cluster.share.connect)().as_mut())
    }

    /// Why the engine does not let this node follow; None while it does, or was not asked yet.
    pub fn engine_trouble(&self) -> Option<String> {
        self.engine.cluster.as_ref().and_then(Cluster::trouble)
    }

    /// Why this node must take its copy of the journal anew, `Forked` or `Outdated`; None when it need
    /// not.
    pub fn stuck(&self) -> Option<LedgerError> {
        self.engine.cluster.as_ref().and_then(Cluster::stuck)
    }

    /// Calls `observe` with what is to be counted of the engine.
    pub fn on_engine(&self, observe: Box<Observe>) {
        if let Some(cluster) = &self.engine.cluster {
            cluster.on_seen(observe);
        }
    }
}
