//! Rows that grew too large lose what decides nothing.

use crate::mail::Timestamp;
use crate::policy::judge::facts::Facts;
use crate::policy::judge::row::{AddressRow, Item, KEPT_ITEMS, MAX_ITEMS};
use crate::policy::judge::state::{Judged, judge};
use crate::policy::judge::track::Note;
use crate::policy::judge::walk::{walk, walk_with};

/// Shrinks a row: first what was taken back or does not count, then what changed nothing in any
/// scope, then the oldest proof of life and strikes. What decides a state goes last of all, and
/// nothing goes that the state of the address depends on: a failure may count for nothing
/// only because an older one of the same mail did.
pub(crate) fn compact(row: &mut AddressRow, scopes: &[String], facts: &Facts, now: Timestamp) {
    let scopes: Vec<&str> = std::iter::once("*").chain(scopes.iter().map(String::as_str)).collect();
    let stands = |items: &[Item]| -> Vec<Judged> {
        scopes.iter().map(|scope| judge(&walk(items, scope, facts, now), now)).collect()
    };
    let wanted = stands(&row.items);
    let expendable = expendable(&row.items, &scopes, facts, now);
    let surplus = row.items.len().saturating_sub(KEPT_ITEMS).min(expendable.len());
    let (most, more) = expendable.split_at(surplus);
    let without = |gone: &[usize]| -> Vec<Item> {
        let kept = row.items.iter().enumerate().filter(|(place, _)| !gone.contains(place));
        kept.map(|(_, item)| item.clone()).collect()
    };
    let harmless = |gone: &[usize]| {
        stands(&without(gone)).iter().zip(&wanted).all(|(new, old)| new.is_same(old))
    };
    let mut gone: Vec<usize> = most.to_vec();
    if !harmless(&gone) {
        gone.clear();
        for place in &expendable {
            gone.push(*place);
            if gone.len() > surplus || !harmless(&gone) {
                gone.pop();
            }
        }
        // The bound holds whatever it costs.
        let over = row.items.len().saturating_sub(MAX_ITEMS);
        let rest = most.iter().chain(more).filter(|place| !gone.contains(place)).copied();
        let rest: Vec<usize> = rest.take(over.saturating_sub(gone.len())).collect();
        gone.extend(rest);
    }
    row.items = without(&gone);
    row.dropped += gone.len() as u64;
}

/// Places of the items that do not decide a state in any scope: what is useless first, then the
/// oldest.
fn expendable(items: &[Item], scopes: &[&str], facts: &Facts, now: Timestamp) -> Vec<usize> {
    let mut useful = vec![false; items.len()];
    let mut deciding = vec![false; items.len()];
    for scope in scopes {
        let track = walk_with(items, scope, facts, now, &mut |place, note| {
            if note == Note::Counted
                && let Some(useful) = useful.get_mut(place)
            {
                *useful = true;
            }
        });
        let places = [&track.by_hand, &track.complaint, &track.unsubscribed, &track.held];
        let stops = places.into_iter().chain(&track.imported);
        let stops = stops.filter_map(|s| s.as_ref().map(|s| s.item));
        let mailbox = track.stopped.iter().map(|s| s.stop.item);
        let waiting = track.pending.iter().map(|p| p.item);
        for place in stops.chain(mailbox).chain(waiting) {
            if let Some(deciding) = deciding.get_mut(place) {
                *deciding = true;
            }
        }
    }
    let of = |flags: &[bool], place: usize| flags.get(place).copied().unwrap_or(false);
    let mut places: Vec<usize> = (0..items.len()).filter(|place| !of(&deciding, *place)).collect();
    places.sort_by_key(|place| of(&useful, *place));
    places
}
