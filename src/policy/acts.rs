//! Acts: what a person, or the program itself, did. Journalled like evidence and folded like it.

use super::evidence::key;
use super::facts::{IN_FORCE_KEY, InForce, policy_key};
use super::fold::Step;
use super::privacy::Forgotten;
use super::row::{
    AddressRow, Item, ItemKind, MAX_TEXT, address_key, block_key, cut, hash, life_key,
};
use super::settings::{Policy, is_scope};
use super::standing::{State, judge};
use super::undo::{self, Selection};
use super::walk::walk;
use crate::event::{Act, Event};
use crate::ledger::LedgerError;
use crate::mail::{Case, Timestamp};
use crate::report::Attribution;

/// Rule name under which acts by hand stand in a history, and by which `undo` finds them.
pub const BY_HAND: &str = "by-hand";

/// Addresses that an act is about.
pub(super) fn addresses(event: &Event, case: Case) -> Vec<String> {
    match &event.act {
        Some(Act::Suppress { address, .. } | Act::Release { address, .. }) => {
            key(address, case).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Folds an act.
pub(super) fn take(step: &mut Step<'_>, event: &Event) -> Result<(), LedgerError> {
    match &event.act {
        Some(Act::Suppress { address, scope, reason, until }) => {
            by_hand(step, event, ItemKind::Suppress, (address, scope, reason), *until)
        }
        Some(Act::Release { address, scope, reason }) => {
            by_hand(step, event, ItemKind::Release, (address, scope, reason), None)
        }
        Some(Act::Policy { policy }) => new_policy(step, policy),
        Some(Act::Erase { address, hash }) => erase(step, address, hash),
        Some(Act::ReleaseHeld { provider, scope, .. }) => {
            step.release_held(provider.as_deref(), scope.as_deref())
        }
        Some(Act::Undo { .. }) => match Selection::of_event(event) {
            Some(selection) => undo::take_back(step, &selection),
            None => Ok(()),
        },
        Some(Act::Rejudge { verdicts, .. }) => undo::judge_again(step, verdicts),
        None => Ok(()),
    }
}

fn by_hand(
    step: &mut Step<'_>,
    event: &Event,
    kind: ItemKind,
    (address, scope, words): (&str, &str, &str),
    until: Option<Timestamp>,
) -> Result<(), LedgerError> {
    let Some(address) = key(address, step.policy.local_part_case).filter(|_| is_scope(scope))
    else {
        return Ok(());
    };
    let stored = step.rows.get(&address_key(&address))?.and_then(|v| AddressRow::decode(&v));
    let row = match (stored, kind) {
        (Some(row), _) => row,
        // Nothing to release: no row comes of it, unless a block outlived an erasure.
        (None, ItemKind::Release) if step.block_of(&address).is_none() => return Ok(()),
        (None, _) => step.first_row(&address)?,
    };
    let item = Item {
        seq: event.seq,
        at_ms: event.received_at.millis(),
        kind,
        policy: step.in_force.version,
        rung: Attribution::Signed,
        scope: scope.to_string(),
        reason: None,
        rule: Some(BY_HAND.to_string()),
        code: None,
        guard: None,
        message: 0,
        token: 0,
        peer: event.peer.clone(),
        inferred: false,
        words: Some(words.to_string()),
        until_ms: until.map(Timestamp::millis),
        undone: 0,
    };
    step.change(&address, row, |row| row.insert(item))
}

/// A policy that cannot be read changes nothing: start-up checks it before it journals it.
fn new_policy(step: &mut Step<'_>, policy: &serde_json::Value) -> Result<(), LedgerError> {
    let Ok(policy) = serde_json::from_value::<Policy>(policy.clone()) else { return Ok(()) };
    let bytes = serde_json::to_vec(&policy).unwrap_or_default();
    let hash = hash(&[&String::from_utf8_lossy(&bytes)]);
    if hash == step.in_force.hash {
        return Ok(());
    }
    let in_force = InForce { version: step.in_force.version.saturating_add(1), hash };
    step.rows.put(policy_key(in_force.version), Some(bytes));
    step.rows.put(IN_FORCE_KEY.to_vec(), serde_json::to_vec(&in_force).ok());
    Ok(())
}

/// Forgets a person; what is suppressed stays blocked under a hash of the address.
fn erase(step: &mut Step<'_>, address: &str, hash: &str) -> Result<(), LedgerError> {
    // Without a hash the block would be lost with the person; the house always makes one.
    let address = key(address, step.policy.local_part_case).filter(|_| !hash.is_empty());
    let Some(address) = address else { return Ok(()) };
    blot_words(step, &Forgotten::new(&address, hash, step.policy.local_part_case))?;
    let stored = step.rows.get(&address_key(&address))?.and_then(|v| AddressRow::decode(&v));
    step.rows.put(life_key(&address), None);
    let Some(row) = stored else { return Ok(()) };
    let facts = step.facts(&row)?;
    let scopes: Vec<String> = row.scopes().into_iter().map(str::to_string).collect();
    let mut block = AddressRow::default();
    let mut everywhere = false;
    for scope in std::iter::once("*").chain(scopes.iter().map(String::as_str)) {
        let judged = judge(&walk(&row.items, scope, &facts, step.now), step.now);
        if judged.state != State::Suppressed || everywhere {
            continue;
        }
        everywhere = scope == "*" && judged.until.is_none();
        block.items.push(Item {
            seq: step.seq,
            at_ms: step.now.millis(),
            kind: ItemKind::Suppress,
            policy: step.in_force.version,
            rung: Attribution::Signed,
            scope: scope.to_string(),
            reason: None,
            rule: Some("erased".to_string()),
            code: None,
            guard: None,
            message: 0,
            token: 0,
            peer: None,
            inferred: false,
            words: Some("erased; only the block is kept".to_string()),
            until_ms: judged.until.map(Timestamp::millis),
            undone: 0,
        });
    }
    if let Some(n) = step.progress.states.get_mut(usize::from(row.counted)) {
        *n = n.saturating_sub(1);
    }
    step.rows.put(address_key(&address), None);
    if block.items.is_empty() {
        return Ok(());
    }
    // One that is there already may last longer.
    let key = block_key(hash);
    let known = step.rows.get(&key)?.and_then(|v| AddressRow::decode(&v)).unwrap_or_default();
    for old in known.items {
        if !block.items.iter().any(|i| (&i.scope, i.until_ms) == (&old.scope, old.until_ms)) {
            block.insert(old);
        }
    }
    step.rows.put(key, Some(block.encode()));
    Ok(())
}

/// Takes a forgotten address out of what was written down about others: the report on a forwarded
/// mail names it, or a person who acted did. Walks over all addresses once.
fn blot_words(step: &mut Step<'_>, forgotten: &Forgotten) -> Result<(), LedgerError> {
    step.each_address(|step, key, mut row| {
        let mut blotted_any = false;
        for words in row.items.iter_mut().filter_map(|item| item.words.as_mut()) {
            if let Some(blotted) = forgotten.blot(words) {
                *words = blotted;
                cut(words, MAX_TEXT);
                blotted_any = true;
            }
        }
        if blotted_any {
            step.rows.put(key, Some(row.encode()));
        }
        Ok(())
    })
}
