//! The durable half of the line: from an event to the answer after it is on the disk.
//!
//! Every event goes this way: messages, acts by hand and in-band results. Here its addresses
//! get the names under which they are stored and the blocks of erased addresses are noted; then it
//! is queued for the committer, whose thread appends, syncs and folds it and calls the reply.
//! `erasure` is the one exception: it holds the gate of [`Blocks`](super::blocks::Blocks) shut.

use super::LocalService;
use super::receipt::{Receipt, awaited, reply_to_channel};
use crate::event::Event;
use crate::ledger::committer::CommitReply;
use crate::ledger::{Committed, LedgerError};
use crate::service::ServiceError;

impl LocalService {
    /// Hands an event to the committer. `reply` is called once, on the committer's thread, after the
    /// event is durable or refused; on `Err` it is not called.
    pub(super) fn submit(&self, event: Event, reply: CommitReply) -> Result<(), LedgerError> {
        let Some(mut event) = self.pseudonyms.pseudonymise(event) else {
            let why = "an event cannot be written without its addresses";
            return Err(LedgerError::Retryable(why.to_string()));
        };
        let _pass = self.blocks.pass();
        self.blocks.note(&*self.ledger, &mut event, self.case)?;
        self.committer.submit(event, reply)
    }

    /// Commits one event of our own making and waits for it.
    pub(super) fn commit(&self, mut event: Event) -> Result<Committed, ServiceError> {
        event.received_at = self.now();
        awaited(&self.queue(event)?)
    }

    /// Hands one event to the committer; its answer comes through the channel.
    pub(super) fn queue(&self, event: Event) -> Result<Receipt, ServiceError> {
        let (reply, receipt) = reply_to_channel();
        self.submit(event, Box::new(reply))?;
        Ok(receipt)
    }
}
