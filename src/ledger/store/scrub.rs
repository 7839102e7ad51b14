//! Looks at every record of the journal and every block of the checkpoint once a day, beside the traffic, so
//! that damage is known before somebody needs what they say. When view or checkpoints still hold what a damaged
//! record decided, a fresh checkpoint is ordered: from then on it is the truth for it. After that the same
//! thread packs segments that nothing is appended to any more, until the next day.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::pace::Pace;
use super::packing;
use crate::ledger::lock::lock;
use crate::mail::Timestamp;

/// From one look at everything to the next.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two segments: mail comes first.
const PAUSE: Duration = Duration::from_millis(20);
/// How often it is looked whether the view is there.
const LOOK: Duration = Duration::from_millis(100);

/// Starts the thread. Whoever ends it wakes it.
pub(super) fn start(engine: Arc<Engine>) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("scrub".to_string()).spawn(move || {
        while !lock(&engine.inbox).stop {
            check(&engine);
            packing::run(&engine, Instant::now() + EVERY);
        }
    })
}

fn check(engine: &Engine) {
    while engine.view().is_err() {
        if !rest(engine, LOOK) {
            return;
        }
    }
    check_checkpoint(engine);
    let known = engine.reader.damaged();
    for first_seq in engine.reader.segment_starts() {
        if let Err(error) = engine.reader.check(first_seq) {
            tracing::warn!(first_seq, %error, "a journal segment cannot be looked at");
        }
        if !rest(engine, PAUSE) {
            return;
        }
    }
    if engine.reader.damaged() > known {
        let (answer, _) = sync_channel(1);
        lock(&engine.inbox).checkpoints.push((Timestamp::from_millis(i64::MIN), answer));
        engine.bell.notify_all();
    }
}

/// Damage makes the keeper build a view on an older checkpoint.
fn check_checkpoint(engine: &Engine) {
    let Ok(view) = engine.view() else { return };
    let mut pace = Pace::new(engine);
    let mut between = || {
        pace.rest();
        !lock(&engine.inbox).stop && !view.is_given_up()
    };
    if let Err(error) = engine.ask(&view, |view| view.check(&mut between)) {
        tracing::warn!(%error, "the checkpoint was looked at");
    }
}

/// Waits; false when the service stops.
fn rest(engine: &Engine, time: Duration) -> bool {
    // Not at the bell: a ring that was for the keeper would be lost here.
    std::thread::sleep(time);
    !lock(&engine.inbox).stop
}
