//! The operations of [`Service`], each a few lines over the ledger, the reader of policy rows and
//! the committer.

use std::sync::Arc;

use serde_json::{Value, json};

use super::commit::QUEUED_AT_ONCE;
use super::make_event::{act_event, result_event};
use super::present::{entry, merge, refusal, stop_words, summary};
use super::receipt::{awaited, reply_to_channel};
use super::validate::{
    bounded, checked_domain, checked_peer, checked_return_path, checked_scope, fits, parsed,
    still_to_come,
};
use super::{LocalService, MessageSource};
use crate::config::Unscoped;
use crate::event::{Act, Envelope, Event, Imported};
use crate::mail::{Address, Timestamp};
use crate::policy::{self, Selection, Standing, State};
use crate::service::search::{Search, SearchFound};
use crate::service::trend::Trend;
use crate::service::{
    Checked, DEGRADED, ImportEntry, ImportOptions, ImportOutcome, InBand, ListPage, ListQuery,
    Lookup, Operations, Overview, ResultsOutcome, Service, ServiceError,
};

/// Events that an explanation shows.
const EXPLAINED_EVENTS: usize = 100;
/// Rows that one page of the list looks at, or a few more, whatever the filter leaves of them.
const LISTED_ROWS: usize = 1_000;
/// Journal lines that are read at once, and octets at which a page of them is long enough.
const EVENT_LINES: usize = 32;
const EVENT_OCTETS: usize = 64 << 10;
/// Addresses that a dry run names.
const PREVIEWED_ADDRESSES: usize = 10_000;

impl Operations for LocalService {
    fn suppression(
        &self,
        address: &str,
        scope: Option<&str>,
    ) -> Result<Option<Value>, ServiceError> {
        let standing = self.standing(&parsed(address)?, self.scope_or_default(scope))?;
        Ok(standing.filter(|s| s.state.stops()).map(|s| entry(&s)))
    }

    fn suppress(
        &self,
        address: &str,
        scope: &str,
        reason: &str,
        until: Option<Timestamp>,
    ) -> Result<Value, ServiceError> {
        let address = parsed(address)?;
        checked_scope(scope)?;
        still_to_come(until, self.now())?;
        let present = self.standing(&address, Some(scope))?;
        let same = present.is_some_and(|s| {
            s.state == State::Suppressed
                && s.clause.as_deref() == Some(policy::BY_HAND)
                && s.until == until
        });
        if !same {
            self.commit(act_event(Act::Suppress {
                address: address.key_in(self.case),
                scope: scope.to_string(),
                reason: bounded(reason)?,
                until,
                imported: Imported::default(),
            }))?;
        }
        self.entry_now(&address, scope)
    }

    fn release(&self, address: &str, scope: &str, reason: &str) -> Result<Value, ServiceError> {
        let address = parsed(address)?;
        checked_scope(scope)?;
        // Strikes and pending evidence count as something to release.
        // `*` ends what holds in any scope.
        let asked = Some(scope).filter(|scope| *scope != "*");
        if self.standing(&address, asked)?.is_some_and(|s| s.state != State::Clear) {
            self.commit(act_event(Act::Release {
                address: address.key_in(self.case),
                scope: scope.to_string(),
                reason: bounded(reason)?,
            }))?;
        }
        self.entry_now(&address, scope)
    }

    fn list(&self, query: &ListQuery) -> Result<ListPage, ServiceError> {
        query.scope.as_deref().map_or(Ok(()), checked_scope)?;
        let domain = query.domain.as_deref().map(checked_domain).transpose()?;
        let prefix = policy::prefix(domain.as_deref());
        // One of another question would skip entries without a sign.
        let ours = |text: &String| {
            let key = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok();
            let wrong = "cursor: hand back the `next` of the page before, with the same filters";
            key.filter(|key| key.starts_with(&prefix))
                .ok_or_else(|| ServiceError::BadRequest(wrong.to_string()))
        };
        let scope = query.scope.as_deref();
        let mut cursor = query.cursor.as_ref().map(ours).transpose()?;
        let limit = query.limit.clamp(1, 10_000);
        let (mut page, mut looked_at, now) = (ListPage::default(), 0, self.now());
        loop {
            let room = (limit - page.entries.len()).min(1_000);
            let rows = self.ledger.list(&prefix, cursor.as_deref(), room)?;
            looked_at += rows.rows.len();
            for (key, value) in &rows.rows {
                let standings = self.reader.entries(&*self.ledger, key, value, scope, now)?;
                page.entries.extend(standings.iter().filter(|s| fits(s, query)).map(entry));
            }
            cursor = rows.next;
            if cursor.is_none() || page.entries.len() >= limit || looked_at >= LISTED_ROWS {
                break;
            }
        }
        page.next = cursor.map(|c| data_encoding::BASE64URL_NOPAD.encode(&c));
        Ok(page)
    }

    fn import(
        &self,
        entries: Vec<ImportEntry>,
        options: ImportOptions,
    ) -> Result<ImportOutcome, ServiceError> {
        self.import_entries(entries, options)
    }

    fn explain(&self, address: &str, scope: Option<&str>) -> Result<Value, ServiceError> {
        let (address, scope) = (parsed(address)?, self.scope_or_default(scope));
        let standing = self.standing(&address, scope)?;
        let (stored, now) = (self.pseudonyms.of(&address), self.now());
        let events = self.noted_history(&stored)?;
        let why = self.reader.explain(&*self.ledger, &stored, scope, now)?;
        let everywhere = self.reader.everywhere(&*self.ledger, &stored, now);
        let shown = |found: &Standing| {
            let mut shown = entry(found);
            merge(&mut shown, found);
            shown
        };
        let entries: Vec<Value> = everywhere?.iter().map(shown).collect();
        let state = standing.as_ref().map_or(State::Clear, |s| s.state);
        let mut explained = json!({
            "address": address.key_in(self.case),
            "state": state,
            "summary": summary(&address.key_in(self.case), standing.as_ref(), events.len()),
            "outlook": standing.map(|s| s.outlook).unwrap_or_default(),
            "entries": entries,
            "policy": why,
            "events": events,
        });
        self.pseudonyms.reveal(&mut explained, &address);
        Ok(explained)
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, ServiceError> {
        let (mut lines, mut octets, mut from) = (Vec::new(), 0, from);
        while lines.len() < limit && octets < EVENT_OCTETS {
            let more = self.ledger.journal(from, (limit - lines.len()).min(EVENT_LINES))?;
            let Some((last, _)) = more.last() else { break };
            from = last + 1;
            octets += more.iter().map(|(_, line)| line.len()).sum::<usize>();
            lines.extend(more);
        }
        Ok(lines)
    }

    fn message(
        &self,
        data: Vec<u8>,
        envelope: Envelope,
        peer: Option<String>,
    ) -> Result<Value, ServiceError> {
        let verp = Arc::clone(&self.analyser.load().verp);
        envelope.to.iter().try_for_each(|to| checked_return_path(to, verp.domains()))?;
        let (reply, receipt) = reply_to_channel();
        let sender = peer.clone().unwrap_or_default();
        self.take_in(&data, envelope, peer, reply)?;
        let stored = awaited(&receipt)?;
        stored.log(&MessageSource { peer: &sender, ..MessageSource::default() });
        let committed = stored.committed;
        let line = self.ledger.journal(committed.seq, 1)?.into_iter().next();
        let mut told = match line.filter(|(seq, _)| *seq == committed.seq) {
            Some((_, line)) => serde_json::from_str(&line)
                .map_err(|e| ServiceError::Internal(format!("a journal line is no JSON: {e}")))?,
            None => json!({"seq": committed.seq, "id": committed.id}),
        };
        // The record is that of the first time.
        if committed.duplicate {
            told["duplicate"] = json!(true);
        }
        Ok(told)
    }

    fn act(&self, act: Act, dry_run: bool) -> Result<Value, ServiceError> {
        if let Act::Undo { peer: Some(peer), .. } = &act {
            checked_peer(peer)?;
        }
        if dry_run {
            return self.preview(&act);
        }
        if let Act::Erase { address, .. } = &act {
            return self.erase(address);
        }
        if let Act::Undo { .. } = &act
            && Selection::of(&act).is_none()
        {
            return Err(ServiceError::BadRequest(
                "an undo needs a condition: a rule, a provider, a peer or a time".to_string(),
            ));
        }
        let committed = self.commit(act_event(act))?;
        Ok(json!({"seq": committed.seq, "id": committed.id, "decisions": committed.decisions}))
    }

    fn shadow(&self) -> Result<Value, ServiceError> {
        let none =
            json!({"configured": false, "same": 0, "different": 0, "pairs": [], "beyond": 0});
        Ok(self.analyser.load().shadow.as_ref().map_or(none, |shadow| shadow.table()))
    }

    fn guards(&self) -> Result<Value, ServiceError> {
        let open = self.reader.guards(&*self.ledger, self.now())?;
        serde_json::to_value(open).map_err(|e| ServiceError::Internal(e.to_string()))
    }

    fn accept_clock(&self) -> Result<Value, ServiceError> {
        let doubt = self.time.trouble();
        let now = self.time.accept();
        self.time.write_down();
        if let Some(doubt) = &doubt {
            tracing::warn!(%now, "an operator agrees with the wall clock; before, {doubt}");
        }
        Ok(json!({"now": now, "was_in_doubt": doubt.is_some()}))
    }
}

impl Service for LocalService {
    fn lookup(&self, address: &str, scope: Option<&str>) -> Result<Lookup, ServiceError> {
        let scope = self.scope_or_default(scope);
        scope.map_or(Ok(()), checked_scope)?;
        // Most are unknown, and most of those are told by one look at the memory.
        if !self.pseudonyms.is_hashed() && !self.reader.may_know(&*self.ledger, address)? {
            return Ok(Lookup::Clear);
        }
        let Some(address) = Address::parse(address) else { return Ok(Lookup::Clear) };
        let Some(standing) = self.standing(&address, scope)? else {
            return Ok(Lookup::Clear);
        };
        let text = stop_words(&standing);
        Ok(match standing.state {
            State::Suppressed => Lookup::Suppressed { status: refusal(&standing), text },
            State::Held => Lookup::Held { text },
            _ => Lookup::Clear,
        })
    }

    fn scope_of(&self, return_path: &str) -> Option<String> {
        let token = self.analyser.load().verp.verify(return_path, self.time.moment()).ok()?;
        // As evidence under this token is filed.
        let scope = token.scope().filter(|scope| *scope != "*" && crate::event::is_scope(scope));
        Some(scope.unwrap_or(policy::DEFAULT_SCOPE).to_string())
    }

    fn check(&self, addresses: &[String], scope: Option<&str>) -> Result<Checked, ServiceError> {
        scope.map_or(Ok(()), checked_scope)?;
        let (mut checked, mut queried) = (Checked::default(), Vec::with_capacity(addresses.len()));
        for asked in addresses {
            match Address::parse(asked) {
                Some(address) => queried.push((asked, address)),
                None => checked.unreadable.push(asked.clone()),
            }
        }
        let stored: Vec<Address> =
            queried.iter().map(|(_, address)| self.pseudonyms.of(address)).collect();
        let standings = self.reader.standings(
            &*self.ledger,
            &stored,
            self.scope_or_default(scope),
            self.now(),
        )?;
        for ((asked, address), standing) in queried.iter().zip(standings) {
            if let Some(standing) = standing.filter(|s| s.state.stops()) {
                let mut hit = entry(&Standing { address: address.key_in(self.case), ..standing });
                hit["asked"] = json!(asked);
                checked.hits.push(hit);
            }
        }
        Ok(checked)
    }

    fn results(&self, results: Vec<InBand>) -> Result<ResultsOutcome, ServiceError> {
        let analyser = self.analyser.load();
        let (mut outcome, mut batch) = (ResultsOutcome::default(), Vec::new());
        for (place, result) in results.into_iter().enumerate() {
            let event = match result_event(&analyser, result, self.case) {
                Ok(event) => Event { received_at: self.now(), ..event },
                Err(error) => {
                    outcome.refused.push((place, error.to_string()));
                    continue;
                }
            };
            batch.push(event);
            if batch.len() >= QUEUED_AT_ONCE {
                outcome.stored += self.commit_many(std::mem::take(&mut batch))?;
            }
        }
        outcome.stored += self.commit_many(batch)?;
        Ok(outcome)
    }

    fn mint(
        &self,
        recipient: &str,
        tag: Option<&str>,
        domain: Option<&str>,
    ) -> Result<String, ServiceError> {
        let recipient = parsed(recipient)?;
        let minted = self.analyser.load().verp.mint(&recipient, tag, domain, Timestamp::now());
        minted.map_err(|error| ServiceError::BadRequest(error.to_string()))
    }

    fn health(
        &self,
        scope: Option<&str>,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<Value, ServiceError> {
        let to = to.unwrap_or_else(|| self.now());
        let from = from.unwrap_or(to.plus_days(-30));
        let found = self.reader.health(&*self.ledger, scope, from, to)?;
        serde_json::to_value(found).map_err(|e| ServiceError::Internal(e.to_string()))
    }

    fn ready(&self) -> Vec<(String, Result<String, String>)> {
        let status = self.ledger_status();
        let ledger = match status.trouble {
            Some(trouble) => Err(trouble),
            None => Ok(format!("{} events, all folded", status.last_seq)),
        };
        let words: Vec<String> = status.troubles.iter().map(ToString::to_string).collect();
        let data = match words.as_slice() {
            [] => "nothing is known to be damaged".to_string(),
            words => format!("{DEGRADED}{}", words.join("; ")),
        };
        let mut checks = vec![
            ("ledger".to_string(), ledger),
            // What is lost is lost: mail is taken and questions are answered all the same.
            ("data".to_string(), Ok(data)),
            ("disk".to_string(), Ok(format!("{} MiB free", status.free_bytes >> 20))),
            // A doubt is for people: mail is taken and questions are answered all the same.
            ("clock".to_string(), Ok(self.time.trouble().unwrap_or("believed".to_string()))),
        ];
        if let Some(engine) = status.engine {
            let behind = engine.lag.as_millis();
            // Mail is taken and questions are answered all the same.
            let mut wrong = engine.warnings;
            wrong.extend(engine.checkpoint_trouble);
            if engine.is_synchronous == Some(false) {
                let lost = "a 250 may be lost at a failover: synchronous_standby_names is empty";
                wrong.insert(0, lost.to_string());
            }
            let said = match wrong.is_empty() {
                true => format!("{behind} ms behind"),
                false => format!("{DEGRADED}{}", wrong.join("; ")),
            };
            checks.push(("engine".to_string(), Ok(said)));
        }
        checks
    }

    fn overview(&self) -> Result<Overview, ServiceError> {
        self.count_shadow(&self.analyser.load());
        let states = self.reader.decided_states(&*self.ledger)?;
        let count = |state| states.iter().find(|(s, _)| *s == state).map_or(0, |(_, n)| *n);
        Ok(Overview {
            suppressed: count(State::Suppressed),
            held: count(State::Held),
            ledger: self.ledger_status(),
            guards: self
                .reader
                .guards(&*self.ledger, self.now())?
                .iter()
                .map(|guard| format!("{} since {}: {}", guard.clause, guard.since, guard.why))
                .collect(),
            clock: self.time.trouble(),
        })
    }

    fn trend(&self, read: &mut dyn FnMut(&Trend)) -> Result<(), ServiceError> {
        Ok(self.trends.look(&self.ledger, self.now(), read)?)
    }

    fn scopes(&self) -> Result<Vec<String>, ServiceError> {
        Ok(self.reader.scopes(&*self.ledger)?)
    }

    fn guard_history(&self) -> Result<Value, ServiceError> {
        let all = self.reader.guard_history(&*self.ledger, self.now())?;
        serde_json::to_value(all).map_err(|e| ServiceError::Internal(e.to_string()))
    }

    fn search(&self, search: &Search) -> Result<SearchFound, ServiceError> {
        self.search_all(search)
    }

    fn raw(&self, id: &str) -> Result<Option<Vec<u8>>, ServiceError> {
        let gone =
            |error| ServiceError::Internal(format!("the raw message cannot be read: {error}"));
        self.raw.read(id).map_err(gone)
    }

    fn try_rules(&self, rules: &str) -> Result<Value, ServiceError> {
        self.trial(rules)
    }
}

impl LocalService {
    /// The scope that a question is about; None: all of them.
    fn scope_or_default<'a>(&self, scope: Option<&'a str>) -> Option<&'a str> {
        scope.or(match self.unscoped {
            Unscoped::Any => None,
            Unscoped::Global => Some(policy::DEFAULT_SCOPE),
        })
    }

    /// The newest events of an address; those that count in nothing say why in `note`.
    fn noted_history(&self, stored: &Address) -> Result<Vec<Value>, ServiceError> {
        let key = stored.key_in(self.case);
        let policy = self.reader.policy(&*self.ledger)?.unwrap_or_default();
        let noted = |event: Event| {
            let mut shown = json!(event);
            if let Some(note) = policy::evidence_note(&event, &policy, &key) {
                shown["note"] = json!(note);
            }
            shown
        };
        Ok(self.ledger.history(&key, EXPLAINED_EVENTS)?.into_iter().map(noted).collect())
    }

    /// What an act would change, without doing it.
    fn preview(&self, act: &Act) -> Result<Value, ServiceError> {
        let Some(selection) = Selection::of(act) else {
            return Err(ServiceError::BadRequest(
                "only an undo with a condition has a dry run".to_string(),
            ));
        };
        let (mut addresses, mut items, mut cursor) = (Vec::new(), 0usize, None::<Vec<u8>>);
        loop {
            let page = selection.preview(&*self.ledger, cursor.as_deref(), 1_000);
            let (found, next) = page?;
            for (address, taken) in found {
                items += taken.len();
                if addresses.len() < PREVIEWED_ADDRESSES {
                    addresses.push(address);
                }
            }
            cursor = next;
            if cursor.is_none() {
                return Ok(json!({"dry_run": true, "evidence": items, "addresses": addresses}));
            }
        }
    }
}
