//! Reading the folded state over any ledger: how an address stands, who is suppressed, how many.

use std::sync::Arc;

use super::facts::{Facts, PolicyCache, Source};
use super::fold::{PROGRESS_KEY, Progress};
use super::row::{AddressRow, address_key, address_of, erased_key};
use super::settings::Policy;
use super::standing::{DEFAULT_SCOPE, Standing, State, standing_of};
use crate::ledger::{Ledger, LedgerError};
use crate::mail::{Address, Timestamp};

/// Reads what the fold wrote. Keeps parsed policies; share one between threads.
#[derive(Debug, Default)]
pub struct Reader {
    cache: PolicyCache,
}

impl Reader {
    /// A reader.
    pub fn new() -> Self {
        Self::default()
    }

    /// The policy in force; None while none was ever journalled.
    pub fn policy(&self, ledger: &dyn Ledger) -> Result<Option<Arc<Policy>>, LedgerError> {
        let (in_force, policy) = self.cache.in_force(&ledger)?;
        Ok((in_force.version != 0).then_some(policy))
    }

    /// How an address stands in a scope (None: [`DEFAULT_SCOPE`]). None when nothing is known of it.
    pub fn standing(
        &self,
        ledger: &dyn Ledger,
        address: &Address,
        scope: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<Standing>, LedgerError> {
        Ok(self.standings(ledger, std::slice::from_ref(address), scope, now)?.pop().flatten())
    }

    /// How many addresses stand, in their order; one read for all of them.
    pub fn standings(
        &self,
        ledger: &dyn Ledger,
        addresses: &[Address],
        scope: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Option<Standing>>, LedgerError> {
        let keyed: Vec<String> = addresses.iter().map(Address::key).collect();
        let keys: Vec<Vec<u8>> =
            keyed.iter().flat_map(|a| [address_key(a), erased_key(a)]).collect();
        let values = ledger.look_up(&keys)?;
        let scope = scope.unwrap_or(DEFAULT_SCOPE);
        let mut standings = Vec::with_capacity(addresses.len());
        for (address, pair) in keyed.iter().zip(values.chunks(2)) {
            let value = pair.iter().flatten().next();
            standings.push(match value {
                None => None,
                Some(value) => {
                    let row = decode(value)?;
                    let facts = Facts::load(&ledger, &self.cache, &row, now)?;
                    Some(standing_of(address, &row, scope, &facts, now))
                }
            });
        }
        Ok(standings)
    }

    /// What a listed row (its key begins with [`super::prefix`]) stands for: one standing for `*`
    /// when that stops mail, and one for each scope that stops it otherwise.
    pub fn entries(
        &self,
        ledger: &dyn Ledger,
        key: &[u8],
        value: &[u8],
        now: Timestamp,
    ) -> Result<Vec<Standing>, LedgerError> {
        let Some(address) = address_of(key) else { return Ok(Vec::new()) };
        let row = decode(value)?;
        let facts = Facts::load(&ledger, &self.cache, &row, now)?;
        let all = standing_of(&address, &row, "*", &facts, now);
        let mut entries = Vec::new();
        for scope in row.scopes() {
            let standing = standing_of(&address, &row, scope, &facts, now);
            if standing.state.stops() && standing.clause != all.clause {
                entries.push(standing);
            }
        }
        if all.state.stops() {
            entries.insert(0, all);
        }
        Ok(entries)
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

fn decode(value: &[u8]) -> Result<AddressRow, LedgerError> {
    AddressRow::decode(value)
        .ok_or_else(|| LedgerError::Corrupt("a row of an address cannot be read".to_string()))
}
