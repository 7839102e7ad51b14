//! Packs journal segments once nothing is appended to them any more, one after the other, giving way to
//! mail and lookups.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::pace::Pace;
use crate::ledger::journal::SEGMENT_BYTES;
use crate::ledger::lock::lock;

/// How often it is looked for segments.
const LOOK: Duration = Duration::from_secs(1);

/// Packs until a time, or until the service stops.
pub(super) fn run(engine: &Engine, until: Instant) {
    // Those that cannot be packed stay as they are until the next time.
    let mut left = BTreeSet::new();
    while Instant::now() < until && !lock(&engine.inbox).stop {
        let next = engine.reader.unpacked().into_iter().find(|first| !left.contains(first));
        match next.filter(|_| has_space(engine)) {
            Some(first_seq) => match pack(engine, first_seq) {
                Ok(true) => {}
                Ok(false) => drop(left.insert(first_seq)),
                Err(error) => {
                    tracing::warn!(first_seq, %error, "a journal segment cannot be packed");
                    left.insert(first_seq);
                }
            },
            None => std::thread::park_timeout(LOOK),
        }
    }
}

/// For one more segment than there are; what commits need comes first.
fn has_space(engine: &Engine) -> bool {
    let segment = engine.options.segment_bytes.max(SEGMENT_BYTES);
    engine.look_at_free() >= engine.options.min_free_bytes.saturating_add(segment)
}

/// Says whether the segment is packed now, or was changed by somebody else meanwhile.
fn pack(engine: &Engine, first_seq: u64) -> io::Result<bool> {
    let mut pace = Pace::new(engine);
    let mut between = || {
        pace.count();
        !lock(&engine.inbox).stop
    };
    let Some(new) = engine.reader.pack(first_seq, &mut between)? else { return Ok(false) };
    lock(&engine.writer).segments.put_packed(new)?;
    Ok(true)
}
