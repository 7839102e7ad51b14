//! Acts: what a person, or the program itself, did. Journalled like evidence and folded like it.

use super::evidence::key;
use super::hot::HotRows;
use super::step::Step;
use super::undo::{self, Selection};
use crate::event::{Act, Event, is_scope};
use crate::ledger::LedgerError;
use crate::mail::{Case, Timestamp};
use crate::policy::judge::facts::{IN_FORCE_KEY, InForce, policy_key};
use crate::policy::judge::row::{
    AddressRow, BY_HAND, Item, ItemKind, address_key, block_key, fact_key, hash, life_key,
};
use crate::policy::judge::state::{State, judge};
use crate::policy::judge::walk::walk;
use crate::policy::settings::Policy;
use crate::report::Attribution;

/// Addresses that an act is about.
pub(crate) fn addresses(event: &Event, case: Case) -> Vec<String> {
    match &event.act {
        Some(Act::Suppress { address, .. } | Act::Release { address, .. }) => {
            key(address, case).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Folds an act.
pub(crate) fn take(step: &mut Step<'_>, event: &Event) -> Result<(), LedgerError> {
    match &event.act {
        Some(Act::Suppress { address, scope, reason, until, imported }) => {
            let imported = (!imported.is_empty()).then(|| Box::new(imported.clone()));
            let item = Item {
                until_ms: until.map(Timestamp::millis),
                imported,
                ..act(step, event, ItemKind::Suppress, (scope, reason))
            };
            by_hand(step, address, item)
        }
        Some(Act::Release { address, scope, reason }) => {
            by_hand(step, address, act(step, event, ItemKind::Release, (scope, reason)))
        }
        Some(Act::Policy { policy }) => new_policy(step, policy),
        Some(Act::Fact { name, value }) => {
            step.rows.put(fact_key(name), Some(value.clone().into_bytes()));
            Ok(())
        }
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

/// The item of an act by hand.
fn act(step: &Step<'_>, event: &Event, kind: ItemKind, (scope, words): (&str, &str)) -> Item {
    Item {
        policy: step.in_force.version,
        scope: scope.to_string(),
        rule: Some(BY_HAND.to_string()),
        words: Some(words.to_string()),
        ..Item::of(event, kind, Attribution::Signed)
    }
}

fn by_hand(step: &mut Step<'_>, address: &str, item: Item) -> Result<(), LedgerError> {
    let address = key(address, step.policy.local_part_case).filter(|_| is_scope(&item.scope));
    let Some(address) = address else { return Ok(()) };
    let key = address_key(&address);
    let stored = step.rows.get(&key)?.and_then(|octets| step.hot.take(&key, &octets));
    let row = match (stored, item.kind) {
        (Some(row), _) => row,
        // Nothing to release: no row comes of it, unless a block outlived an erasure.
        (None, ItemKind::Release) if step.block_of(&address).is_none() => return Ok(()),
        (None, _) => step.first_row(&address)?,
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

/// Forgets a person; what is suppressed or held stays so under a hash of the address.
///
/// What was written down about others and names the person is not for the fold: rows and
/// records are rewritten beside it (`Forgotten::row`, `service::redaction`).
fn erase(step: &mut Step<'_>, address: &str, hash: &str) -> Result<(), LedgerError> {
    // Without a hash the block would be lost with the person; the service always makes one.
    let address = key(address, step.policy.local_part_case).filter(|_| !hash.is_empty());
    let Some(address) = address else { return Ok(()) };
    let stored = step.rows.get(&address_key(&address))?.and_then(|v| AddressRow::decode(&v));
    step.rows.put(life_key(&address), None);
    *step.hot = HotRows::default();
    let Some(row) = stored else { return Ok(()) };
    let mut block = block(step, &row)?;
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

/// What stays of a row when its person is forgotten: an end for each scope that is suppressed, and
/// while a guard holds the address the bare failures, so that it stays held as long as it would
/// have, and then has the state that it would have.
fn block(step: &Step<'_>, row: &AddressRow) -> Result<AddressRow, LedgerError> {
    let facts = step.facts(row)?;
    let scopes: Vec<&str> = std::iter::once("*").chain(row.scopes()).collect();
    let mut block = AddressRow::default();
    let (mut everywhere, mut held) = (false, false);
    for scope in scopes {
        let judged = judge(&walk(&row.items, scope, &facts, step.now), step.now);
        held |= judged.state == State::Held;
        if judged.state != State::Suppressed || everywhere {
            continue;
        }
        everywhere = scope == "*" && judged.until.is_none();
        block.items.push(Item {
            seq: step.seq,
            at_ms: step.now.millis(),
            kind: ItemKind::Suppress,
            policy: step.in_force.version,
            level: Attribution::Signed,
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
            imported: None,
            undone: 0,
        });
    }
    if held {
        for item in bare(&row.items) {
            block.insert(item);
        }
    }
    Ok(block)
}

/// The items by which a guard holds an address, without what may name its person: mails and tokens
/// only stay apart, by number.
fn bare(items: &[Item]) -> Vec<Item> {
    let number = |of: &dyn Fn(&Item) -> u64, wanted: u64| match wanted {
        0 => 0,
        _ => items.iter().position(|i| of(i) == wanted).map_or(0, |place| place as u64 + 1),
    };
    let matters = |item: &&Item| {
        let kinds = [ItemKind::Failure, ItemKind::Life, ItemKind::Sent, ItemKind::Release];
        item.undone == 0 && kinds.contains(&item.kind)
    };
    let bare = items.iter().filter(matters).map(|item| Item {
        rule: Some("erased".to_string()),
        code: None,
        message: number(&|i| i.message, item.message),
        token: number(&|i| i.token, item.token),
        peer: None,
        words: None,
        imported: None,
        ..item.clone()
    });
    bare.collect()
}
