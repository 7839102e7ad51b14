//! The fold: one event in, rows and decisions out (POLICY section 1). Pure and deterministic: the
//! same rows and the same event give the same writes; the only clock is the event's own time.
//!
//! Folding an event a second time changes nothing: the row `m/fold` names the last one taken in.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::acts;
use super::evidence::{self, Figure, Said};
use super::facts::{Facts, InForce, PolicyCache};
use super::guard;
use super::row::{
    ADDRESSES, AddressRow, Item, ItemKind, KEPT_ITEMS, LIFE, MAX_ITEMS, address_key, block_key,
    life_key,
};
use super::settings::Policy;
use super::standing::{Judged, State, judge};
use super::walk::{Note, counts, walk, walk_with};
use super::{seen, sent};
use crate::event::{Act, Decision, Event, EventType};
use crate::ledger::{Fold, LedgerError, Rows};
use crate::mail::{Case, Timestamp};

/// The policy as a fold of the journal.
#[derive(Debug, Default)]
pub struct PolicyFold {
    cache: PolicyCache,
    /// Of the policy in force at the last event.
    case: Case,
}

impl PolicyFold {
    /// A fold that begins with the default policy, until the journal names another.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Fold for PolicyFold {
    fn fold(&mut self, rows: &mut dyn Rows, event: &mut Event) -> Result<(), LedgerError> {
        let mut ledger = Progress::read(rows)?;
        if event.seq != 0 && event.seq <= ledger.last_seq {
            return Ok(());
        }
        let (in_force, policy) = self.cache.in_force(&(&*rows as &dyn Rows))?;
        let case = policy.local_part_case;
        self.case = case;
        if !policy.require_signed {
            sent::lift(rows, event, case)?;
            sent::remember(rows, event, case)?;
        }
        let mut step = Step {
            rows,
            cache: &self.cache,
            in_force,
            policy,
            seq: event.seq,
            now: event.received_at,
            erased: &event.erased.clone(),
            progress: &mut ledger,
            decisions: Vec::new(),
        };
        match event.event_type {
            EventType::Act => acts::take(&mut step, event)?,
            EventType::Message | EventType::Result => {
                let campaign = event.campaign.clone();
                for said in evidence::read(event, case) {
                    step.take(said, campaign.as_deref())?;
                }
            }
        }
        event.decisions = std::mem::take(&mut step.decisions);
        ledger.last_seq = ledger.last_seq.max(event.seq);
        ledger.latest_ms = ledger.latest_ms.max(event.received_at.millis());
        ledger.write(rows);
        Ok(())
    }

    fn touches(&self, event: &Event) -> Vec<String> {
        touched(event, self.case)
    }

    fn forgets(&self, event: &Event) -> Vec<String> {
        match &event.act {
            Some(Act::Erase { address, .. }) => {
                evidence::key(address, self.case).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Addresses (key form) whose history an event belongs to.
pub fn touched(event: &Event, case: Case) -> Vec<String> {
    let mut addresses: Vec<String> = match event.event_type {
        EventType::Act => acts::addresses(event, case),
        // Everything that names the address is history, counted or not.
        EventType::Message => event.analysis.iter().flat_map(|a| named(a, case)).collect(),
        EventType::Result => {
            event.result.iter().filter_map(|r| evidence::key(&r.address, case)).collect()
        }
    };
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_TOUCHED);
    addresses
}

/// Addresses that one event belongs to, at most.
const MAX_TOUCHED: usize = 1_000;

fn named(analysis: &crate::event::Analysis, case: Case) -> Vec<String> {
    let verp = analysis.verp.as_ref().and_then(|v| v.recipient.as_deref());
    let recipients = analysis.recipients.iter().filter_map(|r| r.address.as_deref());
    verp.into_iter().chain(recipients).filter_map(|a| evidence::key(a, case)).collect()
}

/// Row `m/fold`: how far the fold is, and how many addresses stand in which decided state.
///
/// An address is counted under the worst state that its last event left it in. An end that came by
/// time alone, or by a guard's calm, moves it only with its next event; `view::count_states` counts
/// what is true at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub last_seq: u64,
    pub latest_ms: i64,
    /// By place in `State::ALL`.
    pub states: [u64; 5],
}

pub(super) const PROGRESS_KEY: &[u8] = b"m/fold";

impl Progress {
    pub(super) fn decode(value: Option<Vec<u8>>) -> Self {
        value.and_then(|v| serde_json::from_slice(&v).ok()).unwrap_or_default()
    }

    fn read(rows: &dyn Rows) -> Result<Self, LedgerError> {
        Ok(Self::decode(rows.get(PROGRESS_KEY)?))
    }

    fn write(&self, rows: &mut dyn Rows) {
        rows.put(PROGRESS_KEY.to_vec(), serde_json::to_vec(self).ok());
    }

    fn count(&mut self, from: u8, to: u8) {
        if let Some(n) = self.states.get_mut(usize::from(from)) {
            *n = n.saturating_sub(1);
        }
        if let Some(n) = self.states.get_mut(usize::from(to)) {
            *n += 1;
        }
    }
}

/// One event being folded.
pub(super) struct Step<'a> {
    pub rows: &'a mut dyn Rows,
    pub cache: &'a PolicyCache,
    pub in_force: InForce,
    pub policy: Arc<Policy>,
    pub seq: u64,
    pub now: Timestamp,
    /// Blocks that outlived an erasure: address and keyed hash.
    pub erased: &'a [(String, String)],
    pub progress: &'a mut Progress,
    pub decisions: Vec<Decision>,
}

/// Rows read at once by a walk over all addresses.
const ROWS_AT_ONCE: usize = 1_000;
/// Newest pieces of proof of life kept for an address without evidence.
const KEPT_LIFE: usize = 4;
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
/// Proof of life so fresh among failures makes the outage guard trip sooner.
const FRESH_LIFE_DAYS: i64 = 7;

impl Step<'_> {
    /// Takes in what a record says of one address: its history, the guards, the figures.
    pub(super) fn take(&mut self, said: Said, campaign: Option<&str>) -> Result<(), LedgerError> {
        let Said { address, item, figure, provider } = said;
        let (scope, message) = (item.scope.clone(), item.message);
        let counted = counts(&self.policy, item.rung);
        let guard = item.guard.clone().unwrap_or_default();
        if counted {
            seen::note(self.rows, &scope, &address, self.now)?;
        }
        let never = item.kind == ItemKind::Failure
            && item.reason.is_none_or(|r| !self.policy.ever_counts(&scope, r));
        let row = self.rows.get(&address_key(&address))?.and_then(|v| AddressRow::decode(&v));
        let failed_before = row.as_ref().is_some_and(|row| {
            row.items.iter().any(|i| i.kind == ItemKind::Failure && i.undone == 0)
        });
        let note = if never {
            match counted && self.is_twin(&address, message)? {
                true => Note::SameMail,
                false => Note::Counted,
            }
        } else {
            self.remember(&address, row, item, provider.is_some())?
        };
        if !counted || note == Note::SameMail {
            return Ok(());
        }
        if figure == Some(Figure::Sent) {
            self.count_sent(&guard, provider.is_some())?;
        }
        match figure {
            Some(figure) => {
                self.count_health(figure, &scope, campaign, provider.as_deref(), failed_before)
            }
            None => Ok(()),
        }
    }

    /// Puts an item into the history of its address; says what it did to the mailbox.
    fn remember(
        &mut self,
        address: &str,
        row: Option<AddressRow>,
        mut item: Item,
        named: bool,
    ) -> Result<Note, LedgerError> {
        item.policy = self.in_force.version;
        let mut row = match (row, item.kind) {
            (None, ItemKind::Sent) => return Ok(Note::NoChange),
            (None, ItemKind::Life) => {
                return self.remember_life(address, item).map(|()| Note::Counted);
            }
            (Some(row), ItemKind::Sent) if !self.may_be_a_try(&row, &item) => {
                return Ok(Note::NoChange);
            }
            (Some(row), _) => row,
            (None, _) => self.first_row(address)?,
        };
        let before = self.look(&row)?;
        let new = item.clone();
        row.insert(item);
        let mut facts = self.facts(&row)?;
        let mut note = Note::NoChange;
        walk_with(&row.items, "*", &facts, self.now, &mut |place, said| {
            if row.items.get(place).is_some_and(|i| i.seq == new.seq && i.kind == new.kind) {
                note = said;
            }
        });
        if new.kind == ItemKind::Failure && note == Note::Counted {
            self.guard(&row, &new, named, &before, &mut facts)?;
        }
        self.settle(address, row, &before, &facts)?;
        Ok(note)
    }

    /// Lets the guards look at a failure that counts.
    fn guard(
        &mut self,
        row: &AddressRow,
        new: &Item,
        named: bool,
        before: &Before,
        facts: &mut Facts,
    ) -> Result<(), LedgerError> {
        let hard = |i: &Item| {
            i.kind == ItemKind::Failure
                && i.undone == 0
                && i.reason.is_some_and(|r| self.policy.numbers("*", r).effect.is_hard())
        };
        let others = || row.items.iter().filter(|i| i.seq != new.seq);
        let recent = |i: &Item, days: i64| new.at_ms.saturating_sub(i.at_ms) < days * DAY_MS;
        let repeated = others().any(|i| hard(i) && recent(i, 1));
        if hard(new)
            && !repeated
            && let Some(guard) = &new.guard
        {
            let alive = others()
                .any(|i| i.kind == ItemKind::Life && i.undone == 0 && recent(i, FRESH_LIFE_DAYS));
            if let Some(intervals) = self.count_failed(guard, named, alive)? {
                facts.set_guard(guard, intervals);
            }
        }
        // What the cap holds would have been suppressed: it counts, too.
        let is = judge(&walk(&row.items, "*", facts, self.now), self.now);
        let capped = is.clause.as_deref().is_some_and(|c| c.starts_with(guard::CAP));
        let stood = before.everywhere().is_some_and(|j| j.state.stops());
        if (is.state == State::Suppressed || capped)
            && !stood
            && let Some(intervals) = self.count_suppressed(&new.scope)?
        {
            facts.set_cap(&new.scope, intervals);
        }
        Ok(())
    }

    /// Mail to an address means something only as the one more try. Whether it is one is for the
    /// walk to say: an undo may move the probation.
    fn may_be_a_try(&self, row: &AddressRow, sent: &Item) -> bool {
        let again = |i: &Item| {
            i.kind == ItemKind::Sent
                && i.peer == sent.peer
                && sent.at_ms.saturating_sub(i.at_ms) < HOUR_MS
        };
        let probation = |i: &Item| {
            i.kind == ItemKind::Failure
                && i.reason.is_some_and(|reason| {
                    ["*", sent.scope.as_str()].into_iter().any(|scope| {
                        let numbers = self.policy.numbers(scope, reason);
                        numbers.effect.is_hard() && numbers.probation.covers(i.at(), self.now)
                    })
                })
        };
        !row.items.last().is_some_and(again) && row.items.iter().any(probation)
    }

    /// The row of an address that had none: its proof of life and its block from before an erasure
    /// become part of it.
    pub(super) fn first_row(&mut self, address: &str) -> Result<AddressRow, LedgerError> {
        let mut row = AddressRow::default();
        for key in self.block_of(address).into_iter().chain([life_key(address)]) {
            if let Some(old) = self.rows.get(&key)?.and_then(|v| AddressRow::decode(&v)) {
                for item in old.items {
                    row.insert(item);
                }
                self.rows.put(key, None);
            }
        }
        // A new address enters the counters as clear.
        if let Some(n) = self.progress.states.first_mut() {
            *n += 1;
        }
        Ok(row)
    }

    /// Shows every row of an address, with evidence or with proof of life alone, to `visit`.
    pub(super) fn each_address(
        &mut self,
        mut visit: impl FnMut(&mut Self, Vec<u8>, AddressRow) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        for prefix in [ADDRESSES, LIFE] {
            let mut after = prefix.to_vec();
            loop {
                let page = self.rows.scan(prefix, &after, ROWS_AT_ONCE)?;
                let Some((last, _)) = page.last() else { break };
                after.clone_from(last);
                for (key, value) in page {
                    if let Some(row) = AddressRow::decode(&value) {
                        visit(self, key, row)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Where a block on this address stands that outlived an erasure.
    pub(super) fn block_of(&self, address: &str) -> Option<Vec<u8>> {
        self.erased.iter().find(|(erased, _)| erased == address).map(|(_, hash)| block_key(hash))
    }

    fn remember_life(&mut self, address: &str, item: Item) -> Result<(), LedgerError> {
        let key = life_key(address);
        let mut row = self.rows.get(&key)?.and_then(|v| AddressRow::decode(&v)).unwrap_or_default();
        // Mass deliveries would write every address each time; one a day says as much.
        let known = |old: &Item| {
            old.rung == item.rung
                && old.peer == item.peer
                && old.undone == 0
                && item.at_ms.saturating_sub(old.at_ms) < DAY_MS
        };
        if row.items.last().is_some_and(known) {
            return Ok(());
        }
        row.insert(item);
        if row.items.len() > KEPT_LIFE {
            row.items.remove(0);
        }
        self.rows.put(key, Some(row.encode()));
        Ok(())
    }

    /// How a row stands now, in every scope that it speaks of.
    pub(super) fn look(&self, row: &AddressRow) -> Result<Before, LedgerError> {
        let facts = self.facts(row)?;
        let scopes = std::iter::once("*").chain(row.scopes());
        let judged = scopes.map(|scope| {
            (scope.to_string(), judge(&walk(&row.items, scope, &facts, self.now), self.now))
        });
        Ok(Before(judged.collect()))
    }

    /// Changes a row by an edit, says what that decided, and writes it.
    pub(super) fn change(
        &mut self,
        address: &str,
        mut row: AddressRow,
        edit: impl FnOnce(&mut AddressRow),
    ) -> Result<(), LedgerError> {
        let before = self.look(&row)?;
        edit(&mut row);
        let facts = self.facts(&row)?;
        self.settle(address, row, &before, &facts)
    }

    /// Says what became of an address, and writes its row.
    fn settle(
        &mut self,
        address: &str,
        mut row: AddressRow,
        before: &Before,
        facts: &Facts,
    ) -> Result<(), LedgerError> {
        let mut scopes: Vec<String> = before.0.iter().map(|(scope, _)| scope.clone()).collect();
        for scope in row.scopes() {
            if !scopes.iter().any(|s| s == scope) {
                scopes.push(scope.to_string());
            }
        }
        let mut worst = State::Clear;
        let mut everywhere: Option<Judged> = None;
        for scope in &scopes {
            let new = judge(&walk(&row.items, scope, facts, self.now), self.now);
            worst = worst.max(new.state);
            // A scope without a history stood as the mailbox did.
            let old = before.0.iter().find(|(s, _)| s == scope).map(|(_, j)| j);
            let old = old.or(before.everywhere()).unwrap_or(&new).clone();
            // What holds everywhere is said once.
            let told = everywhere.as_ref().is_some_and(|all| same(all, &new));
            let changed = changed(&old, &new);
            if changed && !told {
                self.decide(address, scope, &old, &new);
            }
            if scope == "*" && changed {
                everywhere = Some(new);
            }
        }
        if row.items.len() > MAX_ITEMS {
            compact(&mut row, &scopes, facts, self.now);
        }
        self.progress.count(row.counted, worst.place());
        row.counted = worst.place();
        self.rows.put(address_key(address), Some(row.encode()));
        Ok(())
    }

    pub(super) fn facts(&self, row: &AddressRow) -> Result<Facts, LedgerError> {
        let mut facts = Facts::load(&(&*self.rows as &dyn Rows), self.cache, row, self.now)?;
        facts.set_policy(self.in_force.version, Arc::clone(&self.policy));
        Ok(facts)
    }

    pub(super) fn decide(&mut self, address: &str, scope: &str, old: &Judged, new: &Judged) {
        if self.decisions.len() >= MAX_DECISIONS {
            return;
        }
        self.decisions.push(Decision {
            address: address.to_string(),
            scope: scope.to_string(),
            from: old.state.to_string(),
            to: new.state.to_string(),
            clause: new.clause.clone().unwrap_or_else(|| "released".to_string()),
            until: new.until,
        });
    }
}

/// How an address stood before an event, by scope; `*` first.
pub(super) struct Before(Vec<(String, Judged)>);

impl Before {
    fn everywhere(&self) -> Option<&Judged> {
        self.0.first().map(|(_, judged)| judged)
    }
}

/// Decisions that one record names; an undo may make more.
const MAX_DECISIONS: usize = 1_000;

fn changed(old: &Judged, new: &Judged) -> bool {
    old.state != new.state || (new.state.stops() && old.clause != new.clause)
}

fn same(a: &Judged, b: &Judged) -> bool {
    a.state == b.state && a.clause == b.clause && a.until == b.until
}

/// Shrinks a row: first what was taken back or does not count, then what changed nothing in any
/// scope, then the oldest proof of life and strikes. What decides a state goes last of all, and
/// nothing goes without which the address would stand otherwise: a failure may count for nothing
/// only because an older one of the same mail did.
fn compact(row: &mut AddressRow, scopes: &[String], facts: &Facts, now: Timestamp) {
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
        stands(&without(gone)).iter().zip(&wanted).all(|(new, old)| same(new, old))
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
        let stops = places.into_iter().filter_map(|s| s.as_ref().map(|s| s.item));
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
