//! The state of an address: what a track amounts to, with everything that a caller shows.
//!
//! What is known of the mailbox holds in every scope; complaints, unsubscribes and acts by hand
//! hold in theirs. A question without a scope is about all of them: the worst answers, and names
//! itself.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::outlook::outlook;
use super::row::{AddressRow, Item, ItemKind};
use super::state::{Judged, State, judge};
use super::track::Track;
use super::walk::walk;
use crate::classify::{Category, Class};
use crate::event::Cause;
use crate::mail::Timestamp;
use crate::report::Attribution;
use serde::Serialize;

/// Scope of mail without a tag.
pub const DEFAULT_SCOPE: &str = "default";

/// The state of an address in a scope at a moment.
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

/// The state of a row in the scope in which it is worst at `now`; `*` before all others that
/// are alike.
pub fn worst_standing(address: &str, row: &AddressRow, facts: &Facts, now: Timestamp) -> Standing {
    let look = |scope| {
        let track = walk(&row.items, scope, facts, now);
        let judged = judge(&track, now);
        (scope, track, judged)
    };
    let mut worst = look("*");
    // A scope of which row and policy say nothing has the state of the mailbox.
    let mut scopes: BTreeSet<&str> = row.scopes().into_iter().collect();
    scopes.extend(facts.own_numbers());
    for scope in scopes {
        if worst.2.state == State::Suppressed {
            break;
        }
        let found = look(scope);
        if found.2.state > worst.2.state {
            worst = found;
        }
    }
    let (scope, track, judged) = worst;
    standing(address, row, scope, facts, &track, judged)
}

/// The state of a row in a scope at `now`.
pub fn standing_of(
    address: &str,
    row: &AddressRow,
    scope: &str,
    facts: &Facts,
    now: Timestamp,
) -> Standing {
    let track = walk(&row.items, scope, facts, now);
    let judged = judge(&track, now);
    standing(address, row, scope, facts, &track, judged)
}

fn standing(
    address: &str,
    row: &AddressRow,
    scope: &str,
    facts: &Facts,
    track: &Track,
    judged: Judged,
) -> Standing {
    let item = judged.item.and_then(|place| row.items.get(place));
    let cause = item.and_then(cause_of);
    let everywhere = item.is_none_or(|i| {
        i.scope == "*"
            || (i.kind == ItemKind::Failure && !facts.policy(i.policy).distinguishes(scope))
    });
    Standing {
        address: address.to_string(),
        scope: if everywhere { "*" } else { scope }.to_string(),
        state: judged.state,
        class: cause.and_then(Cause::class),
        reason: cause.map(|cause| cause.to_string()),
        category: cause.and_then(Cause::category),
        since: judged.since,
        until: judged.until,
        events: events_of(row),
        rule: item
            .and_then(|i| i.imported.as_ref().map_or(&i.rule, |imported| &imported.rule).clone()),
        attribution: item.map(|i| i.level),
        seq: item.map(|i| i.seq),
        outlook: outlook(track, &judged, scope, facts, item),
        clause: judged.clause,
    }
}

/// Why an item stops mail; None for one that does not.
pub(crate) fn cause_of(item: &Item) -> Option<Cause> {
    match item.kind {
        ItemKind::Failure => item.reason.map(Cause::Failure),
        ItemKind::Complaint => Some(Cause::Complaint),
        ItemKind::Unsubscribe => Some(Cause::Unsubscribe),
        ItemKind::Suppress => Some(
            item.imported.as_ref().and_then(|imported| imported.cause).unwrap_or(Cause::ByHand),
        ),
        _ => None,
    }
}

/// What a row knows of: its own items, dropped ones included, and what an import told of instead.
/// Each scope of an imported address tells of the same events, so they count once.
fn events_of(row: &AddressRow) -> u64 {
    let (mut own, mut imported) = (row.dropped, 0);
    for item in &row.items {
        match item.imported.as_ref().and_then(|imported| imported.events) {
            Some(events) => imported = events.max(imported),
            None => own += 1,
        }
    }
    imported.saturating_add(own)
}
