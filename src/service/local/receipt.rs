//! Waits for commits: of one event, or of a batch.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use crate::ledger::{Committed, LedgerError};
use crate::service::ServiceError;

/// How long an operation waits for its commit.
const COMMIT_PATIENCE: Duration = Duration::from_secs(60);

/// Where the committer's answer to one event arrives.
pub(super) type Receipt<T = Committed> = Receiver<Result<T, LedgerError>>;

/// A reply for the committer, and where what it is told arrives.
pub(super) fn reply_to_channel<T: Send + 'static>()
-> (impl FnOnce(Result<T, LedgerError>) + Send + 'static, Receipt<T>) {
    let (answer, receipt) = sync_channel(1);
    let reply = move |outcome| {
        // Whoever asked may have lost patience.
        let _ = answer.send(outcome);
    };
    (reply, receipt)
}

/// Waits for one commit.
pub(super) fn awaited<T>(receipt: &Receipt<T>) -> Result<T, ServiceError> {
    match receipt.recv_timeout(COMMIT_PATIENCE) {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(ServiceError::Busy("the commit did not end in time".to_string())),
    }
}

/// Waits for the commits of a batch; gives how many there were.
pub(super) fn drain(receipts: &mut Vec<Receipt>) -> Result<u64, ServiceError> {
    let mut done = 0;
    for receipt in receipts.drain(..) {
        awaited(&receipt)?;
        done += 1;
    }
    Ok(done)
}
