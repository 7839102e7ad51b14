//! A service in memory, behind the same trait as the real one: what the transports are tested with.
//! It keeps a list, a journal and a switch that makes every call fail.

// Each test file uses the part of it that it needs.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bounced::event::{Act, Envelope};
use bounced::ledger::LedgerStatus;
use bounced::mail::{Address, EnhancedStatus, Timestamp};
use bounced::service::search::{Search, SearchFound};
use bounced::service::trend::Trend;
use bounced::service::{
    Checked, ImportEntry, ImportOptions, ImportOutcome, InBand, ListPage, ListQuery, Lookup,
    NotTaken, Operations, Overview, ResultsOutcome, Service, ServiceError,
};
use serde_json::{Value, json};

/// The time of everything that happens in it.
pub const NOW: &str = "2026-11-22T10:00:00Z";

#[derive(Default)]
pub struct Memory {
    entries: Mutex<BTreeMap<(String, String), Value>>,
    journal: Mutex<Vec<String>>,
    /// Every call fails with `Busy` while this is set.
    pub down: AtomicBool,
    /// Largest batch that an import handed in.
    pub largest_batch: AtomicUsize,
    /// Pages of the list and of the journal that were read.
    pub pieces: AtomicUsize,
}

impl Memory {
    /// Puts an entry in as evidence would, not as a person.
    pub fn put(&self, address: &str, state: &str) {
        let entry = entry(address, "*", state, "user-unknown", None);
        self.entries.lock().expect("whole").insert((address.to_string(), "*".to_string()), entry);
    }

    /// Puts many suppressed entries in.
    pub fn put_many(&self, addresses: impl Iterator<Item = String>) {
        let mut entries = self.entries.lock().expect("whole");
        entries.extend(addresses.map(|address| {
            let entry = entry(&address, "*", "suppressed", "user-unknown", None);
            ((address, "*".to_string()), entry)
        }));
    }

    /// Appends to the journal.
    pub fn record(&self, event: Value) -> u64 {
        let mut journal = self.journal.lock().expect("whole");
        let seq = journal.len() as u64 + 1;
        let mut event = event;
        event["seq"] = json!(seq);
        event["received_at"] = json!(NOW);
        journal.push(event.to_string());
        seq
    }

    fn up(&self) -> Result<(), ServiceError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(ServiceError::Busy("the store is being rebuilt".to_string()));
        }
        Ok(())
    }
}

fn key(address: &str) -> Result<String, ServiceError> {
    let parsed = Address::parse(address).map(|address| address.key());
    parsed.ok_or_else(|| ServiceError::BadRequest("write an address: user@example.com".into()))
}

fn entry(address: &str, scope: &str, state: &str, reason: &str, until: Option<Timestamp>) -> Value {
    json!({"address": address, "scope": scope, "state": state, "class": "invalid-recipient",
        "reason": reason, "category": "hard", "since": NOW, "until": until, "events": 1,
        "rule": "iana/5.1.1"})
}

impl Operations for Memory {
    fn suppression(
        &self,
        address: &str,
        scope: Option<&str>,
    ) -> Result<Option<Value>, ServiceError> {
        self.up()?;
        let key = key(address)?;
        let entries = self.entries.lock().expect("whole");
        let of = |scope: &str| entries.get(&(key.clone(), scope.to_string())).cloned();
        Ok(of("*").or_else(|| scope.and_then(of)))
    }

    fn suppress(
        &self,
        address: &str,
        scope: &str,
        reason: &str,
        until: Option<Timestamp>,
    ) -> Result<Value, ServiceError> {
        self.up()?;
        let key = key(address)?;
        let entry = entry(&key, scope, "suppressed", reason, until);
        self.entries.lock().expect("whole").insert((key, scope.to_string()), entry.clone());
        self.record(json!({"type": "act", "act": {"what": "suppress", "address": address,
            "scope": scope, "reason": reason}}));
        Ok(entry)
    }

    fn release(&self, address: &str, scope: &str, reason: &str) -> Result<Value, ServiceError> {
        self.up()?;
        let key = key(address)?;
        let removed = self.entries.lock().expect("whole").remove(&(key.clone(), scope.to_string()));
        self.record(json!({"type": "act", "act": {"what": "release", "address": address,
            "scope": scope, "reason": reason}}));
        Ok(json!({"address": key, "scope": scope, "state": "clear", "changed": removed.is_some()}))
    }

    fn list(&self, query: &ListQuery) -> Result<ListPage, ServiceError> {
        self.up()?;
        self.pieces.fetch_add(1, Ordering::Relaxed);
        let entries = self.entries.lock().expect("whole");
        let after = (query.cursor.clone().unwrap_or_default(), "\u{10ffff}".to_string());
        let mut matching = entries.range(after..).filter(|((address, scope), entry)| {
            query.domain.as_ref().is_none_or(|d| address.ends_with(&format!("@{d}")))
                && query.class.is_none_or(|class| entry["class"] == class.as_str())
                && query.scope.as_ref().is_none_or(|wanted| wanted == scope)
                && query.since.is_none_or(|since| Timestamp::parse_rfc3339(NOW) >= Some(since))
        });
        let page: Vec<_> = matching.by_ref().take(query.limit).collect();
        let next =
            matching.next().and_then(|_| page.last()).map(|((address, _), _)| address.clone());
        Ok(ListPage { entries: page.into_iter().map(|(_, entry)| entry.clone()).collect(), next })
    }

    fn import(
        &self,
        entries: Vec<ImportEntry>,
        options: ImportOptions,
    ) -> Result<ImportOutcome, ServiceError> {
        self.up()?;
        self.largest_batch.fetch_max(entries.len(), Ordering::Relaxed);
        let mut outcome = ImportOutcome::default();
        let mut list = self.entries.lock().expect("whole");
        for (place, one) in entries.into_iter().enumerate() {
            let key = match key(&one.address) {
                Ok(key) => key,
                Err(wrong) => {
                    let (why, cell) = (wrong.to_string(), one.address);
                    outcome.refused.push(NotTaken { place, why, cell });
                    continue;
                }
            };
            if options.dry_run {
                outcome.sample.push(one.to_json());
                outcome.suppressed += 1;
                continue;
            }
            let reason = one.imported.cause.map_or(one.words, |cause| cause.to_string());
            let made = entry(&key, &one.scope, "suppressed", &reason, one.until);
            match list.insert((key, one.scope), made) {
                None => outcome.suppressed += 1,
                Some(_) => outcome.unchanged += 1,
            }
        }
        Ok(outcome)
    }

    fn explain(&self, address: &str, scope: Option<&str>) -> Result<Value, ServiceError> {
        self.up()?;
        let key = key(address)?;
        let entry = self.suppression(address, scope)?;
        let state = entry.as_ref().map_or(json!("clear"), |entry| entry["state"].clone());
        let journal = self.journal.lock().expect("whole");
        let events: Vec<Value> = journal
            .iter()
            .rev()
            .filter(|line| line.contains(&key))
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let summary = format!("{key} is {}.", state.as_str().unwrap_or_default());
        Ok(json!({"address": key, "state": state, "summary": summary,
            "entries": Vec::from_iter(entry), "events": events}))
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, ServiceError> {
        self.up()?;
        self.pieces.fetch_add(1, Ordering::Relaxed);
        let journal = self.journal.lock().expect("whole");
        let numbered = (1..).zip(journal.iter()).skip(from.saturating_sub(1) as usize);
        Ok(numbered.take(limit).map(|(seq, line)| (seq, line.clone())).collect())
    }

    fn message(
        &self,
        data: Vec<u8>,
        envelope: Envelope,
        peer: Option<String>,
    ) -> Result<Value, ServiceError> {
        self.up()?;
        let event = json!({"type": "message", "kind": "other", "bytes": data.len(),
            "envelope": envelope, "peer": peer, "recipients": []});
        let seq = self.record(event.clone());
        let mut event = event;
        event["seq"] = json!(seq);
        event["id"] = json!(format!("id{seq}"));
        Ok(event)
    }

    fn act(&self, act: Act, dry_run: bool) -> Result<Value, ServiceError> {
        self.up()?;
        if !dry_run {
            self.record(json!({"type": "act", "act": act}));
        }
        Ok(json!({"changed": 0, "dry_run": dry_run}))
    }

    fn shadow(&self) -> Result<Value, ServiceError> {
        self.up()?;
        Ok(json!({"configured": false, "same": 0, "different": 0, "pairs": [], "beyond": 0}))
    }

    fn guards(&self) -> Result<Value, ServiceError> {
        self.up()?;
        Ok(json!([{"clause": "guard/outage google"}]))
    }

    fn accept_clock(&self) -> Result<Value, ServiceError> {
        self.up()?;
        Ok(json!({"now": "2026-11-22T10:00:00Z", "was_in_doubt": false}))
    }
}

impl Service for Memory {
    fn lookup(&self, address: &str, scope: Option<&str>) -> Result<Lookup, ServiceError> {
        self.up()?;
        let found = self.suppression(address, scope)?;
        Ok(match found.as_ref().and_then(|entry| entry["state"].as_str()) {
            None => Lookup::Clear,
            Some("held") => Lookup::Held { text: "provider outage".to_string() },
            Some(_) => Lookup::Suppressed {
                status: EnhancedStatus::new(5, 1, 1),
                text: "address suppressed after hard bounce".to_string(),
            },
        })
    }

    /// The scope stands before the `=`, as in `news=1@bounce.example.com`.
    fn scope_of(&self, return_path: &str) -> Option<String> {
        return_path.split_once('=').map(|(scope, _)| scope.to_string())
    }

    fn check(&self, addresses: &[String], scope: Option<&str>) -> Result<Checked, ServiceError> {
        self.up()?;
        let mut checked = Checked::default();
        for one in addresses {
            match self.suppression(one, scope) {
                Ok(hit) => checked.hits.extend(hit),
                Err(_) => checked.unreadable.push(one.clone()),
            }
        }
        Ok(checked)
    }

    fn results(&self, results: Vec<InBand>) -> Result<ResultsOutcome, ServiceError> {
        self.up()?;
        let mut outcome = ResultsOutcome::default();
        for (place, result) in results.into_iter().enumerate() {
            match key(&result.address) {
                Ok(address) => {
                    self.record(json!({"type": "result", "result": {"outcome": result.outcome,
                        "address": address}}));
                    outcome.stored += 1;
                }
                Err(error) => outcome.refused.push((place, error.to_string())),
            }
        }
        Ok(outcome)
    }

    fn mint(
        &self,
        recipient: &str,
        tag: Option<&str>,
        domain: Option<&str>,
    ) -> Result<String, ServiceError> {
        self.up()?;
        let key = key(recipient)?.replace('@', "=");
        Ok(format!("b-{key}-{}@{}", tag.unwrap_or("none"), domain.unwrap_or("bounce.example.com")))
    }

    fn health(
        &self,
        scope: Option<&str>,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<Value, ServiceError> {
        self.up()?;
        Ok(json!({"scope": scope, "from": from, "to": to}))
    }

    fn ready(&self) -> Vec<(String, Result<String, String>)> {
        let store = self.up().map(|()| "open".to_string()).map_err(|error| error.to_string());
        vec![("store".to_string(), store), ("disk".to_string(), Ok("9 GiB\nfree".to_string()))]
    }

    fn overview(&self) -> Result<Overview, ServiceError> {
        self.up()?;
        let entries = self.entries.lock().expect("whole");
        let held = entries.values().filter(|entry| entry["state"] == "held").count() as u64;
        let last_seq = self.journal.lock().expect("whole").len() as u64;
        Ok(Overview {
            suppressed: entries.len() as u64 - held,
            held,
            ledger: LedgerStatus { last_seq, folded_seq: last_seq, ..LedgerStatus::default() },
            guards: vec!["provider outage: google since 09:40".to_string()],
            clock: None,
        })
    }

    /// It counts nothing: what is counted is tested with the real service.
    fn trend(&self, read: &mut dyn FnMut(&Trend)) -> Result<(), ServiceError> {
        self.up()?;
        read(&Trend::default());
        Ok(())
    }

    fn scopes(&self) -> Result<Vec<String>, ServiceError> {
        self.up()?;
        let entries = self.entries.lock().expect("whole");
        let scopes = entries.keys().map(|(_, scope)| scope).filter(|scope| *scope != "*");
        Ok(scopes.cloned().collect())
    }

    fn guard_history(&self) -> Result<Value, ServiceError> {
        self.guards()
    }

    fn search(&self, search: &Search) -> Result<SearchFound, ServiceError> {
        self.up()?;
        let entries = self.entries.lock().expect("whole");
        let state = |entry: &Value| entry["state"].as_str().unwrap_or_default().to_string();
        let addresses = entries.iter().filter(|((address, _), _)| address.contains(&search.text));
        let journal = self.journal.lock().expect("whole");
        let events = (1..).zip(journal.iter()).filter(|(_, line)| line.contains(&search.text));
        Ok(SearchFound {
            addresses: addresses.map(|((one, _), entry)| (one.clone(), state(entry))).collect(),
            events: events.map(|(seq, line)| (seq, line.clone())).collect(),
            ..SearchFound::default()
        })
    }

    fn raw(&self, _: &str) -> Result<Option<Vec<u8>>, ServiceError> {
        self.up()?;
        Ok(None)
    }

    fn try_rules(&self, rules: &str) -> Result<Value, ServiceError> {
        self.up()?;
        Err(ServiceError::BadRequest(format!("these {} octets are no rules", rules.len())))
    }
}
