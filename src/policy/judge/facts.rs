//! What a walk needs besides the items of an address: the policies that were in force when they
//! came, and the times that guards cover. Read once before the walk, so that the walk is pure.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::intervals::{CAP, Intervals, OUTAGE, blast_key, outage_key};
use super::row::{AddressRow, Item, ItemKind};
use crate::ledger::lock::lock;
use crate::ledger::{Ledger, LedgerError, Rows};
use crate::mail::Timestamp;
use crate::policy::settings::Policy;

/// A journalled policy. One that cannot be read was written by a newer release: then the defaults
/// count, but for signed evidence only, because a doubt of ours must not let strangers suppress.
fn read_policy(version: u32, bytes: &[u8]) -> Policy {
    serde_json::from_slice(bytes).unwrap_or_else(|error| {
        tracing::error!(
            version,
            %error,
            "the journalled policy cannot be read: was it written by a newer release? The defaults \
             count, for signed return paths only"
        );
        let mut policy = Policy::default();
        policy.require_signed = true;
        policy
    })
}

/// Where rows are read from: a fold's rows or a ledger.
pub(crate) trait RowSource {
    /// The values of some rows, in the order of the keys.
    fn values(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, LedgerError>;
}

impl RowSource for &dyn Rows {
    fn values(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, LedgerError> {
        keys.iter().map(|key| self.get(key)).collect()
    }
}

impl RowSource for &dyn Ledger {
    fn values(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, LedgerError> {
        self.look_up(keys)
    }
}

/// What a guard says of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nothing.
    Free,
    /// Wait: the guard with this clause is tripped.
    Held(String),
    /// The guard was tripped and is calm again.
    Calm,
}

/// Policies and guards, as far as one address needs them.
#[derive(Debug, Default)]
pub struct Facts {
    policies: BTreeMap<u32, Arc<Policy>>,
    fallback: Arc<Policy>,
    guards: BTreeMap<String, Intervals>,
    caps: BTreeMap<String, Intervals>,
    now: Timestamp,
}

impl Facts {
    /// Policy of a version; the defaults when none was ever journalled.
    pub(crate) fn policy(&self, version: u32) -> &Arc<Policy> {
        self.policies.get(&version).unwrap_or(&self.fallback)
    }

    /// Scopes that have numbers of their own in some policy that counts here.
    pub(crate) fn own_numbers(&self) -> impl Iterator<Item = &str> {
        self.policies.values().flat_map(|policy| policy.own_scopes())
    }

    /// What the guards say of an item.
    pub(crate) fn hold(&self, item: &Item) -> Hold {
        let outage = item.guard.as_ref().and_then(|guard| {
            Some((format!("{OUTAGE}{guard}"), self.guards.get(guard)?.covering(item)?))
        });
        let cap = self
            .caps
            .get(&item.scope)
            .and_then(|i| Some((format!("{CAP}{}", item.scope), i.covering(item)?)));
        let mut calm = false;
        for (clause, interval) in outage.into_iter().chain(cap) {
            if self.now < interval.end() {
                return Hold::Held(clause);
            }
            calm = true;
        }
        if calm { Hold::Calm } else { Hold::Free }
    }

    pub(crate) fn set_guard(&mut self, guard: &str, intervals: Intervals) {
        self.guards.insert(guard.to_string(), intervals);
    }

    pub(crate) fn set_cap(&mut self, scope: &str, intervals: Intervals) {
        self.caps.insert(scope.to_string(), intervals);
    }

    pub(crate) fn set_policy(&mut self, version: u32, policy: Arc<Policy>) {
        self.policies.insert(version, policy);
    }

    /// Reads what the items of a row need, for a walk at `now`.
    pub(crate) fn load(
        source: &dyn RowSource,
        cache: &PolicyCache,
        row: &AddressRow,
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        let mut versions: Vec<u32> = row.items.iter().map(|i| i.policy).collect();
        versions.sort_unstable();
        versions.dedup();
        versions.retain(|v| *v != 0);
        let failures = || row.items.iter().filter(|i| i.kind == ItemKind::Failure);
        let mut guards: Vec<&str> = failures().filter_map(|i| i.guard.as_deref()).collect();
        guards.sort_unstable();
        guards.dedup();
        let mut scopes: Vec<&str> = failures().map(|i| i.scope.as_str()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        let keys: Vec<Vec<u8>> = versions
            .iter()
            .map(|v| policy_key(*v))
            .chain(guards.iter().map(|g| outage_key(g)))
            .chain(scopes.iter().map(|s| blast_key(s)))
            .collect();
        let mut values = source.values(&keys)?.into_iter();
        // Not by its Default: that would make a whole policy, once for each event.
        let mut facts = Self {
            policies: BTreeMap::new(),
            fallback: cache.fallback(),
            guards: BTreeMap::new(),
            caps: BTreeMap::new(),
            now,
        };
        for version in versions {
            let bytes = values.next().flatten().unwrap_or_default();
            facts.policies.insert(version, cache.parse(version, &bytes));
        }
        for guard in guards {
            if let Some(value) = values.next().flatten() {
                facts.guards.insert(guard.to_string(), Intervals::decode(&value));
            }
        }
        for scope in scopes {
            if let Some(value) = values.next().flatten() {
                facts.caps.insert(scope.to_string(), Intervals::decode(&value));
            }
        }
        Ok(facts)
    }
}

/// Row `p/now`: which version of the policy is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct InForce {
    /// Version, from 1; 0 before any policy was journalled.
    pub version: u32,
    /// Hash of its row.
    pub hash: u64,
}

pub(crate) const IN_FORCE_KEY: &[u8] = b"p/now";

/// Row of the policy of a version.
pub(crate) fn policy_key(version: u32) -> Vec<u8> {
    format!("p/v{version:010}").into_bytes()
}

/// Parsed policies by version. A version whose batch failed may come again with other content, so
/// the octets are compared, not only the number.
#[derive(Debug, Default)]
pub(crate) struct PolicyCache {
    parsed: Mutex<BTreeMap<u32, ParsedPolicy>>,
    fallback: Arc<Policy>,
}

/// The octets of a policy and what they say.
type ParsedPolicy = (Vec<u8>, Arc<Policy>);

/// Versions that stay parsed.
const MAX_PARSED: usize = 64;

impl PolicyCache {
    pub(crate) fn fallback(&self) -> Arc<Policy> {
        Arc::clone(&self.fallback)
    }

    pub(crate) fn parse(&self, version: u32, bytes: &[u8]) -> Arc<Policy> {
        let mut parsed = lock(&self.parsed);
        if let Some((known, policy)) = parsed.get(&version)
            && known == bytes
        {
            return Arc::clone(policy);
        }
        let policy = Arc::new(read_policy(version, bytes));
        if parsed.len() >= MAX_PARSED {
            parsed.pop_first();
        }
        parsed.insert(version, (bytes.to_vec(), Arc::clone(&policy)));
        policy
    }

    /// The version in force and its policy.
    pub(crate) fn in_force(
        &self,
        source: &dyn RowSource,
    ) -> Result<(InForce, Arc<Policy>), LedgerError> {
        let value = source.values(&[IN_FORCE_KEY.to_vec()])?.into_iter().next().flatten();
        let Some(in_force) = value.and_then(|v| serde_json::from_slice::<InForce>(&v).ok()) else {
            return Ok((InForce::default(), self.fallback()));
        };
        let bytes = source.values(&[policy_key(in_force.version)])?.into_iter().next().flatten();
        let policy = self.parse(in_force.version, &bytes.unwrap_or_default());
        Ok((in_force, policy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers as the first release journalled them: without the keys that came later.
    const OLD: &str = r#"{"base":{"effect":"never","term":"14d","probation":"90d",
        "untried":"suppress","try_grace":"7d","confirm_within":"30d","strikes":5,"strike_days":3,
        "strike_window":"30d","strike_term":"30d","strike_growth":2,"life_clears":true,
        "life_shield":"14d"}}"#;

    #[test]
    fn a_policy_of_another_release_never_lets_strangers_suppress() {
        let cache = PolicyCache::default();
        let old: serde_json::Value = serde_json::from_str(OLD).expect("JSON");
        let written = serde_json::to_value(Policy::default()).expect("JSON");
        for field in old["base"].as_object().expect("an object").keys() {
            assert!(written["base"].get(field).is_some(), "base.{field} is gone");
        }
        let mut kept = written.clone();
        kept["require_signed"] = serde_json::json!(true);
        kept["base"] = old["base"].clone();
        let read = cache.parse(1, kept.to_string().as_bytes());
        assert!(read.require_signed && read.preset == "patient", "{read:?}");
        kept["base"]["a_key_of_the_future"] = serde_json::json!(1);
        let read = cache.parse(2, kept.to_string().as_bytes());
        assert!(read.require_signed, "an unreadable policy counts signed evidence only");
    }
}
