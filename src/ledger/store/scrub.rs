//! Looks at every record of the journal once, beside the traffic, so that damage in old segments is
//! known before somebody needs what they say. When view or checkpoints still hold what a damaged
//! record decided, a fresh checkpoint is ordered: from then on it is the truth for it.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::Inner;
use crate::ledger::journal::lock;
use crate::mail::Timestamp;

/// Between two segments: mail comes first.
const PAUSE: Duration = Duration::from_millis(20);
/// How often it is looked whether the view is there.
const LOOK: Duration = Duration::from_millis(100);

/// Starts the thread, which ends when it has seen everything.
pub(super) fn start(inner: Arc<Inner>) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("scrub".to_string()).spawn(move || run(&inner))
}

fn run(inner: &Inner) {
    while inner.view().is_err() {
        if !rest(inner, LOOK) {
            return;
        }
    }
    let known = inner.reader.damaged();
    for first_seq in inner.reader.segment_starts() {
        if let Err(error) = inner.reader.check(first_seq) {
            tracing::warn!(first_seq, %error, "a journal segment cannot be looked at");
        }
        if !rest(inner, PAUSE) {
            return;
        }
    }
    if inner.reader.damaged() > known {
        let (answer, _) = sync_channel(1);
        lock(&inner.mail).checkpoints.push((Timestamp::from_millis(i64::MIN), answer));
        inner.bell.notify_all();
    }
}

/// Waits; false when the service stops.
fn rest(inner: &Inner, time: Duration) -> bool {
    // Not at the bell: a ring that was for the keeper would be lost here.
    std::thread::sleep(time);
    !lock(&inner.mail).stop
}
