//! Why, and what would change it: the sentences of `explain`.

use serde_json::{Value, json};

use super::facts::{Facts, Hold};
use super::row::{AddressRow, Item};
use super::settings::Policy;
use super::standing::{Judged, Standing, State, standing_of};
use super::walk::{Note, Track, walk_with};
use crate::classify::Reason;
use crate::mail::Timestamp;

/// What would change a state, as sentences.
pub(super) fn outlook(
    track: &Track,
    judged: &Judged,
    scope: &str,
    facts: &Facts,
    item: Option<&Item>,
) -> Vec<String> {
    let mut says = Vec::new();
    let policy: &Policy = facts.policy(item.map_or(0, |i| i.policy));
    let reason = item.and_then(|i| i.reason).unwrap_or(Reason::Generic);
    let numbers = policy.numbers(scope, reason);
    match judged.state {
        State::Clear => {}
        State::Watched => {
            if let Some(pending) = &track.pending {
                says.push(match pending.until {
                    Some(until) => format!(
                        "another such failure on a later day before {until} suppresses the address"
                    ),
                    None => "another such failure on a later day suppresses the address".into(),
                });
            }
            if !track.strikes.is_empty() {
                says.push(format!(
                    "{} of {} strikes; {} on at least {} different days within {} suppress",
                    track.strikes.len(),
                    numbers.strikes,
                    numbers.strikes,
                    numbers.strike_days,
                    numbers.strike_window,
                ));
            }
            if numbers.life_clears {
                says.push("proof of life, attributed as well, clears it".to_string());
            }
        }
        State::Probation => says.extend([
            "one more try is allowed".to_string(),
            match judged.until {
                Some(until) if numbers.untried == super::settings::Untried::Suppress => format!(
                    "a hard failure, or no try by {until}, suppresses the address without end"
                ),
                _ => "a hard failure suppresses the address without end".to_string(),
            },
            format!("a try without a failure for {} clears it", numbers.try_grace),
        ]),
        State::Held => says.extend([
            "the guard releases it by calm or by hand; it is watched then".to_string(),
            "after that another failure on a later day suppresses the address".to_string(),
        ]),
        State::Suppressed => {
            if let Some(until) = judged.until {
                let probation = track.stopped.as_ref().is_some_and(|s| {
                    s.probation_until.is_some() && Some(s.stop.item) == judged.item
                });
                says.push(match probation {
                    true => format!("on {until} probation begins: one more try"),
                    false => format!("it ends on {until}"),
                });
            }
            if track.complaint.is_some() {
                says.push("a not-spam report releases the complaint".to_string());
            }
            says.push("a person may release it, with a reason".to_string());
        }
    }
    says
}

/// Everything about an address as JSON, for `GET /v1/addresses/{address}` and `bounced explain`:
/// the standing in the asked scope, each other scope that differs, every item of evidence with what
/// it did, and what would change the state.
pub(super) fn explain(
    address: &str,
    row: &AddressRow,
    scope: &str,
    facts: &Facts,
    now: Timestamp,
) -> Value {
    let standing = standing_of(address, row, scope, facts, now);
    let mut notes = vec![Note::NoChange; row.items.len()];
    let track = walk_with(&row.items, scope, facts, now, &mut |place, note| {
        if let Some(slot) = notes.get_mut(place) {
            *slot = note;
        }
    });
    let evidence: Vec<Value> =
        row.items.iter().zip(&notes).map(|(item, note)| piece(item, *note, facts)).collect();
    let others: Vec<Value> = row
        .scopes()
        .into_iter()
        .filter(|s| *s != scope)
        .map(|s| standing_of(address, row, s, facts, now))
        .filter(|s| s.state != standing.state || s.clause != standing.clause)
        .map(|s| json!(s))
        .collect();
    let item = standing.seq.and_then(|seq| row.items.iter().find(|i| i.seq == seq));
    let policy: &Policy = facts.policy(item.map_or(0, |i| i.policy));
    let numbers = item.and_then(|i| i.reason).map(|r| policy.numbers(scope, r));
    json!({
        "address": address,
        "scope": scope,
        "state": standing.state,
        "standing": standing,
        "sentence": sentence(&standing),
        "would_change": standing.outlook,
        "evidence": evidence,
        "evidence_dropped": row.dropped,
        "strikes": track.strikes.len(),
        "policy": {
            "version": item.map(|i| i.policy),
            "preset": policy.preset,
            "require_signed": policy.require_signed,
            "numbers": numbers,
        },
        "other_scopes": others,
    })
}

fn piece(item: &Item, note: Note, facts: &Facts) -> Value {
    let guard = match facts.hold(item) {
        Hold::Free => None,
        Hold::Held(clause) => Some(format!("{clause}: waits")),
        Hold::Calm => Some("came while a guard was tripped: suppresses nobody alone".to_string()),
    };
    json!({
        "seq": item.seq,
        "at": item.at(),
        "kind": item.kind,
        "attribution": item.rung,
        "scope": item.scope,
        "reason": item.reason,
        "code": item.code,
        "rule": item.rule,
        "provider": item.guard,
        "peer": item.peer,
        "note": item.words,
        "until": item.until_ms.map(Timestamp::from_millis),
        "guard": guard,
        "undone_by": (item.undone != 0).then_some(item.undone),
        "counted": matches!(note, Note::Counted | Note::NoChange),
        "effect": note.sentence(),
    })
}

/// One sentence for a person.
fn sentence(standing: &Standing) -> String {
    let clause = standing.clause.as_deref().unwrap_or("no evidence");
    let until = match (standing.state, standing.until) {
        (State::Suppressed, None) => " without end".to_string(),
        (_, Some(until)) => format!(" until {until}"),
        (_, None) => String::new(),
    };
    let since = standing.since.map(|s| format!(" since {s}")).unwrap_or_default();
    match standing.state {
        State::Clear => "nothing stops mail to this address".to_string(),
        state => format!("{state}{since}{until} by {clause}"),
    }
}
