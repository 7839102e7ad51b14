//! How an address stands: the state that a track amounts to, with everything that a caller shows.
//!
//! A lookup without a scope asks for scope [`DEFAULT_SCOPE`], the scope of mail without a tag. What
//! is known of the mailbox holds in every scope; complaints, unsubscribes and acts by hand hold in
//! theirs.

use super::facts::Facts;
use super::row::{AddressRow, Item, ItemKind};
use super::walk::{Stop, Track, walk};
use crate::classify::{Category, Class, words};
use crate::mail::Timestamp;
use crate::report::Attribution;
use serde::{Deserialize, Serialize};

/// Scope of mail without a tag, and of lookups that name none.
pub const DEFAULT_SCOPE: &str = "default";

words! {
    /// State of an address in a scope (POLICY section 3), the worse the later.
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

    pub(super) fn place(self) -> u8 {
        Self::ALL.iter().position(|s| *s == self).map_or(0, |p| p as u8)
    }
}

/// How an address stands in a scope at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Address, in its key form; empty for an erased one.
    pub address: String,
    /// Scope that the state comes from: `*` or the asked one.
    pub scope: String,
    /// The state.
    pub state: State,
    /// Class of the deciding evidence.
    pub class: Option<Class>,
    /// Its reason, or `complaint`, `unsubscribe`, `by-hand`.
    pub reason: Option<String>,
    /// Its category.
    pub category: Option<Category>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// End of the state; None is without end, or none is known.
    pub until: Option<Timestamp>,
    /// Pieces of evidence on this address, dropped ones included.
    pub events: u64,
    /// Rule that read the deciding evidence.
    pub rule: Option<String>,
    /// Clause of the policy that decided.
    pub clause: Option<String>,
    /// Rung of the deciding evidence.
    pub attribution: Option<Attribution>,
    /// Position in the journal of the deciding record.
    pub seq: Option<u64>,
    /// What would change it, as sentences.
    pub outlook: Vec<String>,
}

/// What decides a track at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    pub state: State,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub clause: Option<String>,
    pub item: Option<usize>,
}

/// Which state a track amounts to at `now`. Of several stops the longest speaks.
pub(super) fn judge(track: &Track, now: Timestamp) -> Judged {
    let mailbox = track.stopped.as_ref();
    let stopped = mailbox.filter(|s| s.stop.until.is_none_or(|until| now < until));
    let mut longest: Option<&Stop> = None;
    let stops = [&track.by_hand, &track.complaint, &track.unsubscribed];
    let all = stops.into_iter().filter_map(Option::as_ref).chain(stopped.map(|s| &s.stop));
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

/// How a row stands in a scope at `now`.
pub fn standing_of(
    address: &str,
    row: &AddressRow,
    scope: &str,
    facts: &Facts,
    now: Timestamp,
) -> Standing {
    let track = walk(&row.items, scope, facts, now);
    let judged = judge(&track, now);
    let item = judged.item.and_then(|place| row.items.get(place));
    let failure = item.filter(|i| i.kind == ItemKind::Failure).and_then(|i| i.reason);
    let everywhere = item.is_none_or(|i| {
        i.scope == "*"
            || (i.kind == ItemKind::Failure && !facts.policy(i.policy).distinguishes(scope))
    });
    Standing {
        address: address.to_string(),
        scope: if everywhere { "*" } else { scope }.to_string(),
        state: judged.state,
        class: failure.map(|r| r.class()).or(match item.map(|i| i.kind) {
            Some(ItemKind::Unsubscribe) => Some(Class::Unsubscribe),
            _ => None,
        }),
        reason: item.and_then(reason_of),
        category: failure.map(|r| r.category()),
        since: judged.since,
        until: judged.until,
        events: row.items.len() as u64 + row.dropped,
        rule: item.and_then(|i| i.rule.clone()),
        attribution: item.map(|i| i.rung),
        seq: item.map(|i| i.seq),
        outlook: super::explain::outlook(&track, &judged, scope, facts, item),
        clause: judged.clause,
    }
}

fn reason_of(item: &Item) -> Option<String> {
    match item.kind {
        ItemKind::Failure => item.reason.map(|r| r.to_string()),
        ItemKind::Complaint => Some("complaint".to_string()),
        ItemKind::Unsubscribe => Some("unsubscribe".to_string()),
        ItemKind::Suppress => Some("by-hand".to_string()),
        _ => None,
    }
}
