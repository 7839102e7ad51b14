//! Work that has time gives way to mail and lookups: after each short piece it rests for longer than
//! the piece took. So most of the disk and of a processor stays free, however much there is to do.

use std::time::{Duration, Instant};

use super::engine::Engine;
use crate::ledger::lock::lock;

/// So many times as long as a piece took, the rest after it lasts.
const RESTS: u32 = 3;

/// The longest rest.
const LONGEST: Duration = Duration::from_millis(50);

/// Rows or records of one piece, where they are counted.
const PIECE: u32 = 64;

/// When the piece of work at hand began, and how much of it was done.
pub(super) struct Pace<'a> {
    engine: &'a Engine,
    begun: Instant,
    done: u32,
}

impl<'a> Pace<'a> {
    /// Work begins.
    pub(super) fn new(engine: &'a Engine) -> Self {
        Self { engine, begun: Instant::now(), done: 0 }
    }

    /// One row or record was done; rests when that was a piece.
    pub(super) fn count(&mut self) {
        self.done += 1;
        if self.done >= PIECE {
            self.rest();
        }
    }

    /// A piece was done. There is no rest when commits pile up, which wait for the keeper, or when
    /// the service stops.
    pub(super) fn rest(&mut self) {
        let (crowded, stop) = {
            let inbox = lock(&self.engine.inbox);
            (inbox.waiting.octets() > self.engine.options.max_waiting_bytes / 4, inbox.stop)
        };
        if !crowded && !stop {
            std::thread::sleep((self.begun.elapsed() * RESTS).min(LONGEST));
        }
        (self.begun, self.done) = (Instant::now(), 0);
    }
}
