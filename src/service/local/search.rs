//! Search without an index: addresses in the order of their rows, events from
//! the newest back, each for a moment, with a place to go on from.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::LocalService;
use super::trend::first_since;
use crate::analysis::judge_again;
use crate::classify::RecipientVerdict;
use crate::event::Event;
use crate::ledger::LedgerError;
use crate::mail::{Address, Timestamp, redacted};
use crate::policy;
use crate::service::ServiceError;
use crate::service::accepted::accepted_at;
use crate::service::search::{FOUND, Search, SearchFound};

/// How long it looks at addresses, and at events.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long rules are tried.
const TRIAL: Duration = Duration::from_secs(2);
/// Rows, and events, that are read at a time.
const ROWS: usize = 500;
const EVENTS: u64 = 128;
/// Shortest piece of an address that is looked for in all of them.
const SHORTEST: usize = 2;
/// Characters of a sample.
const SAMPLE: usize = 200;

impl LocalService {
    pub(super) fn search_all(&self, search: &Search) -> Result<SearchFound, ServiceError> {
        let mut found = SearchFound::default();
        let text = search.text.trim().to_lowercase();
        if text.chars().count() < SHORTEST {
            return Ok(found);
        }
        // Going on in one of the two leaves the other alone.
        if search.before.is_none() {
            self.search_addresses(&text, search.after.as_deref(), &mut found)?;
        }
        if search.after.is_none() {
            if search.before.is_none()
                && let Some(event) = self.event_by_id(&text)?
            {
                found.events.push(event);
                return Ok(found);
            }
            self.search_events(&text, search.before, &mut found)?;
        }
        Ok(found)
    }

    fn search_addresses(
        &self,
        text: &str,
        after: Option<&str>,
        found: &mut SearchFound,
    ) -> Result<(), ServiceError> {
        let until = Instant::now() + PATIENCE;
        let now = self.now();
        let prefix = policy::prefix(None);
        let decoded = |text| data_encoding::BASE64URL_NOPAD.decode(str::as_bytes(text)).ok();
        let mut cursor = after.and_then(decoded).filter(|key| key.starts_with(&prefix));
        loop {
            let page = self.ledger.list(&prefix, cursor.as_deref(), ROWS)?;
            for (key, _) in &page.rows {
                let Some(address) = policy::address_of(key) else { continue };
                if !address.contains(text) {
                    continue;
                }
                if found.addresses.len() >= FOUND {
                    return Ok(());
                }
                let standing = match Address::parse(&address) {
                    Some(known) => self.reader.standing(&*self.ledger, &known, None, now)?,
                    None => None,
                };
                let state = standing.map_or("clear".to_string(), |s| s.state.to_string());
                found.addresses.push((address, state));
                found.more = Some(data_encoding::BASE64URL_NOPAD.encode(key));
            }
            found.more = page.next.as_ref().map(|next| data_encoding::BASE64URL_NOPAD.encode(next));
            cursor = page.next;
            if cursor.is_none() || Instant::now() >= until {
                return Ok(());
            }
        }
    }

    fn search_events(
        &self,
        text: &str,
        before: Option<u64>,
        found: &mut SearchFound,
    ) -> Result<(), ServiceError> {
        // As it is in the JSON of a line.
        let text = json!(text).to_string();
        let text = text.trim_matches('"').as_bytes();
        let finder = memchr::memmem::Finder::new(text);
        let until = Instant::now() + PATIENCE;
        self.newest_first(before, &mut |seq, line| {
            found.since = accepted_at(line).or(found.since);
            if finder.find(line.to_lowercase().as_bytes()).is_some() {
                found.events.push((seq, line.to_string()));
            }
            found.older = Some(seq);
            found.events.len() < FOUND && Instant::now() < until
        })?;
        let first = self.ledger.status().first_seq;
        found.older = found.older.filter(|seq| *seq > first);
        Ok(())
    }

    /// Hands journal lines over, newest first, until `each` has enough.
    fn newest_first(
        &self,
        before: Option<u64>,
        each: &mut dyn FnMut(u64, &str) -> bool,
    ) -> Result<(), LedgerError> {
        let status = self.ledger.status();
        let mut end = before.unwrap_or(u64::MAX).min(status.last_seq + 1);
        while end > status.first_seq {
            let from = end.saturating_sub(EVENTS).max(status.first_seq);
            let mut lines = Vec::new();
            let mut next = from;
            // A page of long lines is short.
            while next < end {
                let page = self.ledger.journal(next, (end - next) as usize)?;
                let Some((last, _)) = page.last() else { break };
                next = last + 1;
                lines.extend(page.into_iter().filter(|(seq, _)| *seq < end));
            }
            for (seq, line) in lines.iter().rev() {
                if !each(*seq, line) {
                    return Ok(());
                }
            }
            end = from;
        }
        Ok(())
    }

    /// The event of an id, which begins with its time.
    fn event_by_id(&self, id: &str) -> Result<Option<(u64, String)>, LedgerError> {
        let millis = id.strip_prefix('e').and_then(|rest| rest.get(..11));
        let millis = millis.and_then(|digits| i64::from_str_radix(digits, 16).ok());
        let Some(millis) = millis.filter(|_| id.len() == ID_CHARACTERS) else { return Ok(None) };
        let wanted = format!("\"id\":\"{id}\"");
        // It was made before the event was committed, and its clock may have been put right since.
        let mut from = first_since(&*self.ledger, Timestamp::from_millis(millis - NEAR_MS))?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let lines = self.ledger.journal(from, EVENTS as usize)?;
            let Some((last, newest)) = lines.last() else { break };
            from = last + 1;
            let late = accepted_at(newest).is_some_and(|time| time.millis() > millis + NEAR_MS);
            if let Some(found) = lines.iter().find(|(_, line)| line.contains(&wanted)) {
                return Ok(Some(found.clone()));
            }
            if late {
                break;
            }
        }
        Ok(None)
    }

    /// Judges the newest events with some rules before those in force.
    pub(super) fn trial(&self, rules: &str) -> Result<Value, ServiceError> {
        let live = self.analyser().rules.clone();
        let wrong = |error: crate::classify::RuleError| ServiceError::BadRequest(error.to_string());
        let tried = live.with_trial(TRIAL_FILE, rules).map_err(wrong)?;
        let findings: Vec<String> = tried
            .check()
            .iter()
            .filter(|finding| finding.at.starts_with(TRIAL_FILE))
            .map(ToString::to_string)
            .collect();
        let until = Instant::now() + TRIAL;
        let (mut judged, mut since) = (0u64, None);
        let mut changes: std::collections::BTreeMap<(String, String), (u64, String)> =
            std::collections::BTreeMap::new();
        self.newest_first(None, &mut |_, line| {
            if let Ok(event) = serde_json::from_str::<Event>(line) {
                since = Some(event.received_at);
                if let (Some(old), Some(new)) =
                    (judge_again(&event, &live), judge_again(&event, &tried))
                {
                    judged += 1;
                    for (old, new) in
                        old.iter().zip(&new).filter(|(old, new)| old.reason != new.reason)
                    {
                        let change = changes.entry((verdict(old), verdict(new))).or_default();
                        change.0 += 1;
                        if change.1.is_empty() {
                            change.1 = redacted(&new.recipient.diagnostic, SAMPLE);
                        }
                    }
                }
            }
            Instant::now() < until
        })?;
        let changes: Vec<Value> = changes
            .into_iter()
            .map(|((from, to), (count, sample))| {
                json!({"from": from, "to": to, "count": count, "sample": sample})
            })
            .collect();
        Ok(json!({"judged": judged, "since": since, "changes": changes, "findings": findings}))
    }
}

/// `e`, 11 digits of the time, 10 of randomness.
const ID_CHARACTERS: usize = 22;
/// How far the time of an id may be from that of its event.
const NEAR_MS: i64 = 600_000;
/// What rules on the page are called in findings.
const TRIAL_FILE: &str = "your rule";

/// `user-unknown (hard)`
fn verdict(recipient: &RecipientVerdict) -> String {
    match (recipient.reason, recipient.category) {
        (Some(reason), Some(category)) => format!("{reason} ({category})"),
        _ => "none".to_string(),
    }
}

#[cfg(test)]
mod tests;
