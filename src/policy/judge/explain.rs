//! Why, and what would change it: the sentences of `explain`.

use serde_json::{Value, json};

use super::facts::{Facts, Hold};
use super::row::{AddressRow, Item};
use super::standing::{Standing, standing_of};
use super::state::State;
use super::track::Note;
use super::walk::walk_with;
use crate::mail::Timestamp;
use crate::policy::settings::Policy;

/// Everything about an address as JSON, for `GET /v1/addresses/{address}` and `bounced explain`:
/// the standing in the asked scope, each other scope that differs, every item of evidence with what
/// it did, and what would change the state.
pub(crate) fn explain(
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
        "attribution": item.level,
        "scope": item.scope,
        "reason": item.reason,
        "code": item.code,
        "rule": item.rule,
        "provider": item.guard,
        "peer": item.peer,
        "note": item.words,
        "until": item.until_ms.map(Timestamp::from_millis),
        "told": item.imported,
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
