//! Reads the folded state over any ledger: the state of an address, who is suppressed, how many.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::import::{Addition, ListedStop};
use super::judge::explain;
use super::privacy::HashKeys;
use super::settings::Policy;
use crate::ledger::{Ledger, LedgerError};
use crate::mail::{Address, Case, Timestamp};
use crate::policy::fold::health::{self, Health};
use crate::policy::fold::progress::{PROGRESS_KEY, Progress};
use crate::policy::judge::facts::{Facts, PolicyCache, RowSource};
use crate::policy::judge::intervals::{self, Intervals};
use crate::policy::judge::row::{
    ADDRESSES, AddressRow, address_key, address_of, block_key, life_key, plain_key,
};
use crate::policy::judge::standing::{DEFAULT_SCOPE, Standing, standing_of, worst_standing};
use crate::policy::judge::state::State;
use crate::policy::judge::walk::walk;

/// Longer keys are looked for by the address as it was read.
const PLAIN_KEY: usize = 256;

/// A guard that is tripped.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GuardStatus {
    /// `guard/outage google` or `guard/blast-radius default`.
    pub clause: String,
    /// When it tripped.
    pub since: Timestamp,
    /// Evidence from this moment on waits.
    pub covers_from: Timestamp,
    /// When it ends if nothing more happens.
    pub calm_at: Timestamp,
    /// What tripped it.
    pub why: String,
    /// When it was over; None while it is tripped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
}

/// Reads what the fold wrote. Keeps parsed policies; share one between threads.
#[derive(Debug, Default)]
pub struct PolicyReader {
    cache: PolicyCache,
    /// Finds blocks that outlived an erasure; without keys none is looked for.
    keys: ArcSwap<HashKeys>,
    case: Case,
}

impl PolicyReader {
    /// A reader.
    pub fn new() -> Self {
        Self::default()
    }

    /// Finds addresses whose local parts are told apart by case, or not.
    pub fn set_case(&mut self, case: Case) {
        self.case = case;
    }

    /// Takes the keys over under which blocks of erased addresses are looked for.
    pub fn set_hash_keys(&self, keys: Arc<HashKeys>) {
        self.keys.store(keys);
    }

    /// The policy in force; None while none was ever journalled.
    pub fn policy(&self, ledger: &dyn Ledger) -> Result<Option<Arc<Policy>>, LedgerError> {
        let (in_force, policy) = self.cache.in_force(&ledger)?;
        Ok((in_force.version != 0).then_some(policy))
    }

    /// False: nothing is known of an address, for certain. Costs less than [`PolicyReader::standing`], and
    /// allocates nothing.
    pub fn may_know(&self, ledger: &dyn Ledger, address: &str) -> Result<bool, LedgerError> {
        let mut buffer = [0; PLAIN_KEY];
        match plain_key(address, self.case, &mut buffer) {
            // A block that outlived an erasure is under another key.
            Some(key) if self.keys.load().is_empty() => ledger.may_have(key),
            _ => Ok(true),
        }
    }

    /// The state of an address in a scope (None: in the worst of all). None when nothing is known
    /// of it.
    pub fn standing(
        &self,
        ledger: &dyn Ledger,
        address: &Address,
        scope: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<Standing>, LedgerError> {
        Ok(self.standings(ledger, std::slice::from_ref(address), scope, now)?.pop().flatten())
    }

    /// The states of many addresses, in their order; one read for all of them.
    pub fn standings(
        &self,
        ledger: &dyn Ledger,
        addresses: &[Address],
        scope: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Option<Standing>>, LedgerError> {
        let keyed: Vec<String> = addresses.iter().map(|a| a.key_in(self.case)).collect();
        let hash_keys = self.keys.load();
        let keys: Vec<Vec<Vec<u8>>> = keyed.iter().map(|a| row_keys(&hash_keys, a)).collect();
        let each = keys.first().map_or(1, Vec::len);
        let values = ledger.look_up(&keys.concat())?;
        let mut standings = Vec::with_capacity(addresses.len());
        for (address, pair) in keyed.iter().zip(values.chunks(each)) {
            let value = pair.iter().flatten().next();
            standings.push(match value {
                None => None,
                Some(value) => {
                    let row = decode(value)?;
                    let facts = Facts::load(&ledger, &self.cache, &row, now)?;
                    Some(match scope {
                        Some(scope) => standing_of(address, &row, scope, &facts, now),
                        None => worst_standing(address, &row, &facts, now),
                    })
                }
            });
        }
        Ok(standings)
    }

    /// What an entry of an import adds to what is known of an address in a scope; and the scopes in
    /// which the address stays released, when it adds something for all.
    pub fn addition(
        &self,
        ledger: &dyn Ledger,
        address: &Address,
        (scope, listed): (&str, &ListedStop),
        now: Timestamp,
    ) -> Result<(Addition, Vec<String>), LedgerError> {
        let keyed = address.key_in(self.case);
        let values = ledger.look_up(&row_keys(&self.keys.load(), &keyed))?;
        let Some(value) = values.into_iter().flatten().next() else {
            return Ok((Addition::New, Vec::new()));
        };
        let row = decode(&value)?;
        let facts = Facts::load(&ledger, &self.cache, &row, now)?;
        let track = walk(&row.items, scope, &facts, now);
        let addition = listed.adds(&row, &track, scope, now);
        let adds = matches!(addition, Addition::New | Addition::More(_));
        let released = match scope == "*" && adds {
            true => listed.released_in(&row, &facts, now),
            false => Vec::new(),
        };
        Ok((addition, released))
    }

    /// Everything about an address, as JSON. None when nothing is known of it.
    pub fn explain(
        &self,
        ledger: &dyn Ledger,
        address: &Address,
        scope: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<serde_json::Value>, LedgerError> {
        let key = address.key_in(self.case);
        let mut keys = row_keys(&self.keys.load(), &key);
        keys.push(life_key(&key));
        let values = ledger.look_up(&keys)?;
        let Some(value) = values.into_iter().flatten().next() else { return Ok(None) };
        let row = decode(&value)?;
        let facts = Facts::load(&ledger, &self.cache, &row, now)?;
        let worst = || worst_standing(&key, &row, &facts, now).scope;
        let scope = scope.map_or_else(worst, str::to_string);
        Ok(Some(explain::explain(&key, &row, &scope, &facts, now)))
    }

    /// The guards that are tripped at `now`: clause, scope and interval, in the order of their
    /// rows.
    pub fn guards(
        &self,
        ledger: &dyn Ledger,
        now: Timestamp,
    ) -> Result<Vec<GuardStatus>, LedgerError> {
        let mut all = self.guard_history(ledger, now)?;
        all.retain(|guard| guard.ended.is_none());
        Ok(all)
    }

    /// The same with those that are over, oldest first for each guard, as far as they are kept.
    pub fn guard_history(
        &self,
        ledger: &dyn Ledger,
        now: Timestamp,
    ) -> Result<Vec<GuardStatus>, LedgerError> {
        let mut all = Vec::new();
        for (prefix, clause) in [("g/o/", intervals::OUTAGE), ("g/c/", intervals::CAP)] {
            let mut cursor: Option<Vec<u8>> = None;
            loop {
                let page = ledger.list(prefix.as_bytes(), cursor.as_deref(), 1_000)?;
                for (key, value) in &page.rows {
                    let name = String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default());
                    for interval in Intervals::decode(value).0 {
                        let end = interval.end();
                        all.push(GuardStatus {
                            clause: format!("{clause}{name}"),
                            since: Timestamp::from_millis(interval.tripped_ms),
                            covers_from: Timestamp::from_millis(interval.from_ms),
                            calm_at: end,
                            why: interval.why,
                            ended: (end <= now).then_some(end),
                        });
                    }
                }
                match page.next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
        }
        Ok(all)
    }

    /// Scopes that mail was ever counted for, in their order.
    pub fn scopes(&self, ledger: &dyn Ledger) -> Result<Vec<String>, LedgerError> {
        health::scopes(ledger)
    }

    /// How many addresses are in which state at `now`, in the order of [`State::ALL`], counted
    /// over all rows: exact, and as slow as that sounds. Each address counts under its worst scope.
    pub fn count_states(
        &self,
        ledger: &dyn Ledger,
        now: Timestamp,
    ) -> Result<Vec<(State, u64)>, LedgerError> {
        let mut counts = [0u64; 5];
        let mut cursor: Option<Vec<u8>> = None;
        loop {
            let page = ledger.list(ADDRESSES, cursor.as_deref(), 1_000)?;
            for (key, value) in &page.rows {
                let Some(address) = address_of(key) else { continue };
                let row = decode(value)?;
                let facts = Facts::load(&ledger, &self.cache, &row, now)?;
                let scopes = std::iter::once("*").chain(row.scopes());
                let state = scopes
                    .map(|scope| standing_of(&address, &row, scope, &facts, now).state)
                    .max()
                    .unwrap_or(State::Clear);
                if let Some(n) = counts.get_mut(usize::from(state.place())) {
                    *n += 1;
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        Ok(State::ALL.iter().copied().zip(counts).collect())
    }

    /// Health of a scope from one day to another, both included, by the thresholds in force.
    pub fn health(
        &self,
        ledger: &dyn Ledger,
        scope: Option<&str>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Health, LedgerError> {
        let (_, policy) = self.cache.in_force(&ledger)?;
        health::health(ledger, &policy.health, scope.unwrap_or(DEFAULT_SCOPE), from, to)
    }

    /// What a listed row (its key begins with [`super::prefix`]) means: one that means `*`
    /// when that stops mail, and one for each scope that stops it otherwise. Of one
    /// `scope`: what a lookup of it says.
    pub fn entries(
        &self,
        ledger: &dyn Ledger,
        key: &[u8],
        value: &[u8],
        scope: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Standing>, LedgerError> {
        let Some(address) = address_of(key) else { return Ok(Vec::new()) };
        let row = decode(value)?;
        let facts = Facts::load(&ledger, &self.cache, &row, now)?;
        if let Some(scope) = scope {
            let standing = standing_of(&address, &row, scope, &facts, now);
            return Ok(Some(standing)
                .filter(|standing| standing.state.stops())
                .into_iter()
                .collect());
        }
        let all = standing_of(&address, &row, "*", &facts, now);
        let mut entries = Vec::new();
        for scope in row.scopes() {
            let standing = standing_of(&address, &row, scope, &facts, now);
            if standing.state.stops() && differs(&standing, &all) {
                entries.push(Standing { scope: scope.to_string(), ..standing });
            }
        }
        if all.state.stops() {
            entries.insert(0, all);
        }
        Ok(entries)
    }

    /// The state of an address wherever it is not clear: for all scopes first, then in each
    /// scope that has something of its own to say.
    pub fn everywhere(
        &self,
        ledger: &dyn Ledger,
        address: &Address,
        now: Timestamp,
    ) -> Result<Vec<Standing>, LedgerError> {
        let keyed = address.key_in(self.case);
        let values = ledger.look_up(&row_keys(&self.keys.load(), &keyed))?;
        let Some(value) = values.into_iter().flatten().next() else { return Ok(Vec::new()) };
        let row = decode(&value)?;
        let facts = Facts::load(&ledger, &self.cache, &row, now)?;
        let all = standing_of(&keyed, &row, "*", &facts, now);
        let scopes = row.scopes().into_iter();
        let own = scopes.map(|scope| Standing {
            scope: scope.to_string(),
            ..standing_of(&keyed, &row, scope, &facts, now)
        });
        let own: Vec<Standing> =
            own.filter(|s| s.state != State::Clear && differs(s, &all)).collect();
        Ok(std::iter::once(all).filter(|s| s.state != State::Clear).chain(own).collect())
    }

    /// Addresses by decided state, in the order of [`State::ALL`]: what the last event of each
    /// left it in. Ends that came by time alone are not in it.
    pub fn decided_states(&self, ledger: &dyn Ledger) -> Result<Vec<(State, u64)>, LedgerError> {
        let value = ledger.look_up(&[PROGRESS_KEY.to_vec()])?.into_iter().next().flatten();
        Ok(State::ALL.iter().copied().zip(Progress::decode(value).states).collect())
    }

    /// Time of the latest record that was folded; None when there was none.
    pub fn latest(&self, ledger: &dyn Ledger) -> Result<Option<Timestamp>, LedgerError> {
        let value = (&ledger).values(&[PROGRESS_KEY.to_vec()])?.into_iter().next().flatten();
        Ok(value.map(|v| Timestamp::from_millis(Progress::decode(Some(v)).latest_ms)))
    }
}

/// Whether a scope has a state of its own: by another record than `*`, or until another time.
fn differs(own: &Standing, all: &Standing) -> bool {
    let of = |s: &Standing| (s.state, s.clause.clone(), s.until, s.seq);
    of(own) != of(all)
}

/// Where the state of an address may be: its own row, or the block that is left of it.
fn row_keys(keys: &HashKeys, address: &str) -> Vec<Vec<u8>> {
    let blocks = keys.hashes(address).into_iter().map(|hash| block_key(&hash));
    std::iter::once(address_key(address)).chain(blocks).collect()
}

fn decode(value: &[u8]) -> Result<AddressRow, LedgerError> {
    AddressRow::decode(value)
        .ok_or_else(|| LedgerError::Corrupt("a row of an address cannot be read".to_string()))
}
