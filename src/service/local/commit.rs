//! The durable half of the line: from an event to the answer after it is on the disk.
//!
//! Every event goes this way: messages, acts by hand and in-band results. Here its addresses
//! get the names under which they are stored; then it is queued for the committer, whose thread notes
//! the blocks of erased addresses, folds, appends and syncs it, and calls the reply. `erasure` is the
//! one exception: its address has that name already.

use super::LocalService;
use super::receipt::{awaited, drain, reply_to_channel};
use crate::event::Event;
use crate::ledger::committer::{CommitReply, Committer};
use crate::ledger::lock::lock;
use crate::ledger::{Committed, LedgerError};
use crate::service::ServiceError;

/// Events of one import or batch of results that wait at once: the committer's queue is shared
/// with SMTP, so they take a part of it.
pub(super) const QUEUED_AT_ONCE: usize = 1_000;

impl LocalService {
    /// Hands an event to the committer. `reply` is called once, on the committer's thread, after the
    /// event is durable or refused; on `Err` it is not called.
    pub(super) fn submit(&self, event: Event, reply: CommitReply) -> Result<(), LedgerError> {
        self.hand_over(event, reply, Committer::submit)
    }

    fn hand_over(
        &self,
        event: Event,
        reply: CommitReply,
        submit: fn(&Committer, Event, CommitReply) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let Some(event) = self.pseudonyms.pseudonymise(event) else {
            let why = "an event cannot be written without its addresses";
            return Err(LedgerError::Retryable(why.to_string()));
        };
        submit(&self.committer, event, reply)
    }

    /// Commits many events, at most [`QUEUED_AT_ONCE`], and says how many. One batch goes in at a
    /// time and waits for room in the queue, so that imports side by side are slow and not refused,
    /// and mail finds room besides.
    pub(super) fn commit_many(&self, events: Vec<Event>) -> Result<u64, ServiceError> {
        let _turn = lock(&self.many);
        let mut receipts = Vec::with_capacity(events.len());
        for event in events {
            let (reply, receipt) = reply_to_channel();
            self.hand_over(event, Box::new(reply), Committer::submit_when_there_is_room)?;
            receipts.push(receipt);
        }
        drain(&mut receipts)
    }

    /// Commits one event of our own making and waits for it.
    pub(super) fn commit(&self, mut event: Event) -> Result<Committed, ServiceError> {
        event.received_at = self.now();
        let (reply, receipt) = reply_to_channel();
        self.submit(event, Box::new(reply))?;
        awaited(&receipt)
    }
}
