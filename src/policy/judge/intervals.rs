//! The times in which a guard was tripped, and the rows that they are kept in. The guards
//! themselves, which find those times, are in `fold/guard.rs`.

use serde::{Deserialize, Serialize};

use super::row::Item;
use crate::mail::Timestamp;

/// One time in which a guard was tripped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// First moment that it covers, milliseconds since 1970.
    pub from_ms: i64,
    /// First record that it covers.
    pub from_seq: u64,
    /// When it tripped.
    pub tripped_ms: i64,
    /// When the rate was last too high.
    pub hot_ms: i64,
    /// How long after that it is calm.
    pub calm_ms: i64,
    /// Released by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_ms: Option<i64>,
    /// What tripped it, in words.
    #[serde(default)]
    pub why: String,
}

impl Interval {
    /// When it is (or will be) over, as far as is known now.
    pub fn end(&self) -> Timestamp {
        let calm = self.hot_ms.saturating_add(self.calm_ms);
        Timestamp::from_millis(self.released_ms.map_or(calm, |r| r.min(calm)))
    }
}

/// The times of one guard, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Intervals(pub Vec<Interval>);

/// Intervals of one guard; beyond it the two oldest become one, which holds more, never less.
const MAX_INTERVALS: usize = 128;

impl Intervals {
    pub(crate) fn decode(value: &[u8]) -> Self {
        serde_json::from_slice(value).unwrap_or_default()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The interval that an item lies in; of several the one that ends last.
    pub(crate) fn covering(&self, item: &Item) -> Option<&Interval> {
        self.0
            .iter()
            .filter(|i| item.at_ms >= i.from_ms && item.seq >= i.from_seq && item.at() < i.end())
            .max_by_key(|i| i.end())
    }

    /// The interval that is open at a moment.
    pub fn open(&self, now: Timestamp) -> Option<&Interval> {
        self.0.last().filter(|i| now < i.end())
    }

    pub(crate) fn open_mut(&mut self, now: Timestamp) -> Option<&mut Interval> {
        self.0.last_mut().filter(|i| now < i.end())
    }

    pub(crate) fn push(&mut self, interval: Interval) {
        self.0.push(interval);
        if self.0.len() > MAX_INTERVALS {
            let second = self.0.remove(1);
            if let Some(first) = self.0.first_mut() {
                first.hot_ms = second.end().millis();
                first.calm_ms = 0;
                first.released_ms = None;
            }
        }
    }
}

/// How the clause of an outage guard begins.
pub(crate) const OUTAGE: &str = "guard/outage ";
/// How the clause of a blast-radius cap begins.
pub(crate) const CAP: &str = "guard/blast-radius ";

/// Row of the outage intervals of a provider or domain.
pub(crate) fn outage_key(guard: &str) -> Vec<u8> {
    [b"g/o/", guard.as_bytes()].concat()
}

/// Row of the blast-radius intervals of a scope.
pub(crate) fn blast_key(scope: &str) -> Vec<u8> {
    [b"g/c/", scope.as_bytes()].concat()
}
