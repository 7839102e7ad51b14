//! The state that a track amounts to at a moment.

use super::track::{Stop, Track};
use crate::mail::{Timestamp, words};

words! {
    /// State of an address in a scope (docs/policy.md, "States"), the worse the later.
    State {
        /// Nothing against it.
        Clear = "clear",
        /// Something, and not enough.
        Watched = "watched",
        /// Mailable once more.
        Probation = "probation",
        /// Evidence says stop, a guard says wait.
        Held = "held",
        /// Sending stops.
        Suppressed = "suppressed",
    }
}

impl State {
    /// Must sending stop or pause?
    pub const fn stops(self) -> bool {
        matches!(self, Self::Suppressed | Self::Held)
    }

    pub(crate) fn place(self) -> u8 {
        Self::ALL.iter().position(|s| *s == self).map_or(0, |p| p as u8)
    }
}

/// What decides a track at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    pub state: State,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub clause: Option<String>,
    pub item: Option<usize>,
}

impl Judged {
    /// The same state by the same clause until the same end; since when may differ.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.state == other.state && self.clause == other.clause && self.until == other.until
    }
}

/// Which state a track amounts to at `now`. Of several stops the longest speaks.
pub(crate) fn judge(track: &Track, now: Timestamp) -> Judged {
    let mailbox = track.stopped.as_ref();
    let stopped = mailbox.filter(|s| s.stop.until.is_none_or(|until| now < until));
    let mut longest: Option<&Stop> = None;
    let stops = [
        track.by_hand.as_ref(),
        track.imported(),
        track.complaint.as_ref(),
        track.unsubscribed.as_ref(),
    ];
    let all = stops.into_iter().flatten().chain(stopped.map(|s| &s.stop));
    for stop in all {
        let end = |s: &Stop| s.until.unwrap_or(Timestamp::from_millis(i64::MAX));
        if longest.is_none_or(|l| end(stop) > end(l)) {
            longest = Some(stop);
        }
    }
    let of = |state, stop: &Stop| Judged {
        state,
        since: Some(stop.since),
        until: stop.until,
        clause: Some(stop.clause.clone()),
        item: Some(stop.item),
    };
    if let Some(stop) = longest {
        return of(State::Suppressed, stop);
    }
    if let Some(held) = &track.held {
        return of(State::Held, held);
    }
    if let Some(probation) = mailbox {
        return Judged {
            state: State::Probation,
            since: probation.stop.until,
            until: probation.probation_until,
            clause: Some("probation".to_string()),
            item: Some(probation.stop.item),
        };
    }
    let waiting = track.pending.as_ref().map(|p| (p.at, p.until, "watched/confirm", p.item));
    let strike = track.strikes.first().zip(track.strikes.last());
    let strike = strike.map(|(first, last)| (first.at, None, "watched/strikes", last.item));
    match waiting.or(strike) {
        Some((since, until, clause, item)) => Judged {
            state: State::Watched,
            since: Some(since),
            until,
            clause: Some(clause.to_string()),
            item: Some(item),
        },
        None => Judged { state: State::Clear, since: None, until: None, clause: None, item: None },
    }
}
