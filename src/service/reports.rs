//! Questions about the journal as a whole: which rule said what, and the bounces of a campaign.
//! Each is answered by reading records, so it costs what it reads; a reading ends after so many
//! records, and the answer says how far it went.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::accepted::first_since;
use super::{Operations, ServiceError};
use crate::classify::RecipientVerdict;
use crate::event::{Event, EventType};
use crate::mail::Timestamp;
use crate::report::Kind;

/// Records that one report reads at most.
pub const MOST_RECORDS: u64 = 1_000_000;
/// Records asked for at once.
const AT_ONCE: usize = 250;

/// What a rule said since a moment.
struct RuleCount {
    rule: String,
    provider: Option<String>,
    reason: Option<String>,
    category: Option<String>,
    count: u64,
    first: Timestamp,
    last: Timestamp,
    last_seq: u64,
    sample: String,
}

/// Which rule said what, how often, where, since when: the verdicts on failed recipients since a
/// moment, read piece by piece.
pub struct RulesReport {
    since: Timestamp,
    by_provider: bool,
    from: u64,
    next: u64,
    records: u64,
    rows: BTreeMap<(String, Option<String>), RuleCount>,
}

impl RulesReport {
    /// A report that has read nothing. With `by_provider` each rule has one row for each provider.
    /// `newest` is the position of the newest record.
    pub fn begin(
        service: &dyn Operations,
        since: Timestamp,
        newest: u64,
        by_provider: bool,
    ) -> Result<Self, ServiceError> {
        let from = first_since(1..newest + 1, since, |from| service.events(from, 1))?;
        Ok(Self { since, by_provider, from, next: from, records: 0, rows: BTreeMap::new() })
    }

    /// Reads the next piece; false when it was all, or as much as one report reads.
    pub fn read(&mut self, service: &dyn Operations) -> Result<bool, ServiceError> {
        let lines = service.events(self.next, AT_ONCE)?;
        if lines.is_empty() || self.records >= MOST_RECORDS {
            return Ok(false);
        }
        for (seq, line) in lines {
            (self.next, self.records) = (seq + 1, self.records + 1);
            // Most acts and answers have no rule, and need not be read.
            if !line.contains("\"rule\":\"") {
                continue;
            }
            let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
            if event.received_at >= self.since {
                let by_provider = self.by_provider;
                verdicts(&event).for_each(|v| count(&mut self.rows, &event, v, by_provider));
            }
        }
        Ok(true)
    }

    /// The most frequent first. `records` is how many were read; `complete` is false when the
    /// reading ended before the journal did.
    pub fn to_json(&self) -> Value {
        let mut rows: Vec<&RuleCount> = self.rows.values().collect();
        rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.rule.cmp(&b.rule)));
        let rows: Vec<Value> = rows.into_iter().map(shown).collect();
        json!({"since": self.since, "from_seq": self.from, "records": self.records,
            "complete": self.records < MOST_RECORDS, "rules": rows})
    }
}

fn verdicts(event: &Event) -> impl Iterator<Item = &RecipientVerdict> {
    let failure = event.analysis.as_ref().filter(|analysis| analysis.kind == Kind::Failure);
    let of_message = failure.into_iter().flat_map(|analysis| &analysis.recipients);
    let of_result = event.result.iter().filter_map(|result| result.verdict.as_ref());
    of_message.chain(of_result).filter(|verdict| verdict.rule.is_some())
}

fn count(
    rows: &mut BTreeMap<(String, Option<String>), RuleCount>,
    event: &Event,
    verdict: &RecipientVerdict,
    by_provider: bool,
) {
    let rule = verdict.rule.clone().unwrap_or_default();
    let provider = verdict.provider.clone().filter(|_| by_provider);
    let row = rows.entry((rule.clone(), provider.clone())).or_insert_with(|| RuleCount {
        rule,
        provider,
        reason: verdict.reason.map(|reason| reason.to_string()),
        category: verdict.category.map(|category| category.to_string()),
        count: 0,
        first: event.received_at,
        last: event.received_at,
        last_seq: event.seq,
        sample: verdict.recipient.diagnostic.clone(),
    });
    row.count += 1;
    row.first = row.first.min(event.received_at);
    row.last = row.last.max(event.received_at);
    row.last_seq = event.seq;
}

fn shown(row: &RuleCount) -> Value {
    json!({"rule": row.rule, "provider": row.provider, "reason": row.reason,
        "category": row.category, "count": row.count, "first": row.first, "last": row.last,
        "last_seq": row.last_seq, "sample": row.sample})
}

/// The failed recipients of a campaign, a JSON object each, from a position on; where to go on, and
/// whether that is the end of the journal. `scope` narrows it to one.
pub fn bounces_of(
    service: &dyn Operations,
    campaign: &str,
    scope: Option<&str>,
    from: u64,
) -> Result<(Vec<String>, u64, bool), ServiceError> {
    let mut found = Vec::new();
    let next = events_of(service, &|name| name == campaign, from, &mut |event| {
        if scope.is_none_or(|scope| event.scope.as_deref() == Some(scope)) {
            found.extend(verdicts(event).map(|verdict| bounce(event, verdict).to_string()));
        }
    })?;
    Ok((found, next.unwrap_or(from), next.is_none()))
}

/// Shows the messages and results of a campaign in the next records from a position on; gives where
/// to go on, None at the end of the journal.
pub fn events_of(
    service: &dyn Operations,
    is_meant: &dyn Fn(&str) -> bool,
    from: u64,
    see: &mut dyn FnMut(&Event),
) -> Result<Option<u64>, ServiceError> {
    let lines = service.events(from, AT_ONCE)?;
    for (_, line) in lines.iter().filter(|(_, line)| line.contains("\"campaign\":")) {
        let Ok(event) = serde_json::from_str::<Event>(line) else { continue };
        if event.campaign.as_deref().is_some_and(is_meant) && event.event_type != EventType::Act {
            see(&event);
        }
    }
    Ok(lines.last().map(|(seq, _)| seq + 1))
}

fn bounce(event: &Event, verdict: &RecipientVerdict) -> Value {
    let said = &verdict.recipient;
    // With a signed return path the mailed address is the one that it names.
    let mailed = event.analysis.as_ref().and_then(|analysis| analysis.verp.as_ref());
    let mailed = mailed.filter(|verp| verp.authentic != Some(false));
    let mailed = mailed.and_then(|verp| verp.recipient.as_deref());
    let named = event.result.as_ref().map(|result| result.address.as_str());
    json!({
        "address": named.or(mailed).or(verdict.address()),
        "scope": event.scope,
        "campaign": event.campaign,
        "at": event.received_at,
        "seq": event.seq,
        "id": event.id,
        "attribution": event.attribution,
        "reason": verdict.reason,
        "class": verdict.class,
        "category": verdict.category,
        "status": said.status,
        "diagnostic": (!said.diagnostic.is_empty()).then_some(&said.diagnostic),
        "provider": verdict.provider,
        "rule": verdict.rule,
        "retry_after": verdict.retry_after,
        "blocklist": verdict.blocklist,
    })
}
