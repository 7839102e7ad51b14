//! One event being folded: the rows it may change, the policy in force at it, and what it decided.
//! `take`, `acts`, `guard`, `health` and `undo` are what an event can do to them.

use std::sync::Arc;

use super::compact::compact;
use super::hot::HotRows;
use super::progress::Progress;
use crate::event::Decision;
use crate::ledger::{LedgerError, Rows};
use crate::mail::Timestamp;
use crate::policy::judge::facts::{Facts, InForce, PolicyCache};
use crate::policy::judge::row::{
    ADDRESSES, AddressRow, LIFE, MAX_ITEMS, address_key, block_key, life_key,
};
use crate::policy::judge::state::{Judged, State, judge};
use crate::policy::judge::walk::walk;
use crate::policy::settings::Policy;

/// One event being folded.
pub(crate) struct Step<'a> {
    pub rows: &'a mut dyn Rows,
    pub cache: &'a PolicyCache,
    pub hot: &'a mut HotRows,
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

impl Step<'_> {
    /// The row of an address that had none: its proof of life and its block from before an erasure
    /// become part of it.
    pub(crate) fn first_row(&mut self, address: &str) -> Result<AddressRow, LedgerError> {
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
    pub(crate) fn each_address(
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

    /// Where the block on this address is that outlived an erasure.
    pub(crate) fn block_of(&self, address: &str) -> Option<Vec<u8>> {
        self.erased.iter().find(|(erased, _)| erased == address).map(|(_, hash)| block_key(hash))
    }

    /// The state of a row now, in every scope that it speaks of.
    pub(crate) fn look(&self, row: &AddressRow) -> Result<PriorState, LedgerError> {
        let facts = self.facts(row)?;
        let scopes = std::iter::once("*").chain(row.scopes());
        let judged = scopes.map(|scope| {
            (scope.to_string(), judge(&walk(&row.items, scope, &facts, self.now), self.now))
        });
        Ok(PriorState(judged.collect()))
    }

    /// Changes a row by an edit, says what that decided, and writes it.
    pub(crate) fn change(
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
    pub(crate) fn settle(
        &mut self,
        address: &str,
        mut row: AddressRow,
        before: &PriorState,
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
            // A scope without a history had the state of the mailbox.
            let old = before.0.iter().find(|(s, _)| s == scope).map(|(_, j)| j);
            let old = old.or(before.everywhere()).unwrap_or(&new).clone();
            // What holds everywhere is said once.
            let is_said = everywhere.as_ref().is_some_and(|all| all.is_same(&new));
            let changed = changed(&old, &new);
            if changed && !is_said {
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
        let (key, octets) = (address_key(address), row.encode());
        self.hot.keep(&key, &octets, row);
        self.rows.put(key, Some(octets));
        Ok(())
    }

    pub(crate) fn facts(&self, row: &AddressRow) -> Result<Facts, LedgerError> {
        let mut facts = Facts::load(&(&*self.rows as &dyn Rows), self.cache, row, self.now)?;
        facts.set_policy(self.in_force.version, Arc::clone(&self.policy));
        Ok(facts)
    }

    pub(crate) fn decide(&mut self, address: &str, scope: &str, old: &Judged, new: &Judged) {
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

/// The state of an address before an event, by scope; `*` first.
pub(crate) struct PriorState(Vec<(String, Judged)>);

impl PriorState {
    pub(crate) fn everywhere(&self) -> Option<&Judged> {
        self.0.first().map(|(_, judged)| judged)
    }
}

/// Decisions that one record names; an undo may make more.
const MAX_DECISIONS: usize = 1_000;

fn changed(old: &Judged, new: &Judged) -> bool {
    old.state != new.state || (new.state.stops() && old.clause != new.clause)
}
