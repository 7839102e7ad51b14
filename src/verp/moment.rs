//! When a return path is checked.

use crate::mail::Timestamp;

/// The moment of a check. While the wall clock is in doubt it is a span: a return path that is
/// good at some moment of it is good, for a doubt of ours must not refuse a sender's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub(super) earliest: Timestamp,
    pub(super) latest: Timestamp,
}

impl Moment {
    /// From one of two moments to the other, whichever comes first.
    pub fn between(one: Timestamp, other: Timestamp) -> Self {
        Self { earliest: one.min(other), latest: one.max(other) }
    }
}

impl From<Timestamp> for Moment {
    fn from(now: Timestamp) -> Self {
        Self::between(now, now)
    }
}
