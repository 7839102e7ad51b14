//! How an address stands: the state that a track amounts to, with everything that a caller shows.
//!
//! What is known of the mailbox holds in every scope; complaints, unsubscribes and acts by hand hold
//! in theirs. A question without a scope is about all of them: the worst answers, and names itself.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::outlook::outlook;
use super::row::{AddressRow, Item, ItemKind};
use super::state::{Judged, State, judge};
use super::walk::{Track, walk};
use crate::classify::{Category, Class};
use crate::mail::Timestamp;
use crate::report::Attribution;
use serde::Serialize;

/// Scope of mail without a tag.
pub const DEFAULT_SCOPE: &str = "default";

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

/// How a row stands in the scope in which it stands worst at `now`; `*` before all others that
/// stand alike.
pub fn worst_standing(address: &str, row: &AddressRow, facts: &Facts, now: Timestamp) -> Standing {
    let look = |scope| {
        let track = walk(&row.items, scope, facts, now);
        let judged = judge(&track, now);
        (scope, track, judged)
    };
    let mut worst = look("*");
    // A scope of which row and policy say nothing stands as the mailbox does.
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
        attribution: item.map(|i| i.level),
        seq: item.map(|i| i.seq),
        outlook: outlook(track, &judged, scope, facts, item),
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
