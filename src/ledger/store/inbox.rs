//! What others have for the keeper: rows that sled does not have yet, and orders.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;

use super::pending::PendingRows;
use crate::ledger::LedgerError;
use crate::mail::Timestamp;

/// Rows of one sled batch: sled lets nobody read while it takes one in (about 10 us a row). Fewer
/// would cost more: for each batch sled wakes all its threads and lets the disk write.
pub(super) const ROWS_AT_ONCE: usize = 1024;

/// What is committed and not in sled yet.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) commits: VecDeque<PendingRows>,
    pub(super) rows: usize,
    /// Of what was taken, too, until it is in sled.
    pub(super) octets: usize,
}

impl Waiting {
    /// True when the keeper should hear of it: it sleeps, or gathers and has enough.
    pub(super) fn push(&mut self, pending: PendingRows) -> bool {
        self.rows += pending.changes.len();
        self.octets += pending.octets();
        self.commits.push_back(pending);
        self.commits.len() == 1 || self.fill_a_batch()
    }

    pub(super) fn fill_a_batch(&self) -> bool {
        self.rows >= ROWS_AT_ONCE
    }

    /// What the next sled batch is made of.
    pub(super) fn take(&mut self) -> Vec<PendingRows> {
        let (mut taken, mut rows) = (Vec::new(), 0);
        while rows < ROWS_AT_ONCE
            && let Some(pending) = self.commits.pop_front()
        {
            rows += pending.changes.len();
            taken.push(pending);
        }
        self.rows -= rows;
        taken
    }

    /// Octets held in memory, about.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }
}

/// Where the outcome of an order goes.
pub(super) type OrderReply = SyncSender<Result<(), LedgerError>>;

/// What others have for the keeper.
#[derive(Default)]
pub(super) struct Inbox {
    /// Of this generation of the view.
    pub(super) waiting: Waiting,
    pub(super) generation: u64,
    /// A generation that somebody found damaged, and how.
    pub(super) doubt: Option<(u64, String)>,
    pub(super) checkpoints: Vec<(Timestamp, OrderReply)>,
    /// Who wants one fresh checkpoint in the place of all, once the commit of that place is in sled.
    pub(super) renewals: Vec<(u64, OrderReply)>,
    /// Who wants what waits to be in sled, and durable there.
    pub(super) settles: Vec<OrderReply>,
    pub(super) stop: bool,
    /// Position that sled has.
    pub(super) folded: u64,
}

impl Inbox {
    /// Nobody will carry orders out; who waits hears it by the dropped sender.
    pub(super) fn drop_orders(&mut self) {
        self.checkpoints.clear();
        self.renewals.clear();
        self.settles.clear();
    }
}
