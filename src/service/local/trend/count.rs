//! Adds one journal line to the counts.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;

use crate::classify::{Category, Class, Reason};
use crate::mail::{Timestamp, wording};
use crate::report::Kind;
use crate::service::trend::{
    BOUNCES, CAMPAIGN_BOUNCES, CampaignTrend, HOUR_MS, HOURS, SAMPLES, Trend, campaign_name,
};

/// Rules told apart at a provider.
const MAX_RULES: usize = 200;
/// Campaigns told apart.
const MAX_CAMPAIGNS: usize = 500;
/// Wordings told apart.
const MAX_WORDINGS: usize = 1_000;
/// Who is outside the table of providers.
const OTHER: &str = "other";
/// What failed by no rule: the words were read as a sentence, or not at all.
const NO_RULE: &str = "(no rule)";

/// What is counted of a line.
#[derive(Debug, Deserialize)]
pub struct CountedLine {
    received_at: Timestamp,
    kind: Option<Kind>,
    campaign: Option<String>,
    #[serde(default)]
    recipients: Vec<CountedRecipient>,
    result: Option<CountedResult>,
    act: Option<CountedAct>,
    #[serde(default)]
    decisions: Vec<StateChange>,
}

#[derive(Debug, Deserialize)]
struct CountedRecipient {
    provider: Option<String>,
    category: Option<Category>,
    class: Option<Class>,
    reason: Option<Reason>,
    rule: Option<String>,
    diagnostic: Option<String>,
}

#[derive(Debug, Deserialize)]
struct CountedResult {
    verdict: Option<CountedRecipient>,
}

#[derive(Debug, Deserialize)]
struct CountedAct {
    what: String,
}

#[derive(Debug, Deserialize)]
struct StateChange {
    from: String,
    to: String,
}

impl CountedLine {
    /// What is counted of a line; None when it cannot be read, or there is nothing to count.
    pub fn read(line: &str) -> Option<Self> {
        // Nearly all lines of a sender that tells us everything, and nothing here counts them.
        let is = |outcome: &[u8]| memchr::memmem::find(line.as_bytes(), outcome).is_some();
        if (is(b"\"outcome\":\"sent\"") || is(b"\"outcome\":\"delivered\""))
            && line.ends_with("\"decisions\":[]}")
        {
            return None;
        }
        serde_json::from_str(line).ok()
    }

    /// Whether a person was forgotten.
    pub fn erases(&self) -> bool {
        self.act.as_ref().is_some_and(|act| act.what == "erase")
    }
}

/// Counts a line.
pub fn count(trend: &mut Trend, seq: u64, line: &CountedLine) {
    let at = line.received_at.millis().div_euclid(HOUR_MS);
    let hour = trend.hours.entry(at).or_default();
    if let Some(n) = line.kind.and_then(|kind| place(Kind::ALL, &kind)) {
        add(hour.kinds.get_mut(n));
    }
    for decision in &line.decisions {
        for (state, (more, less)) in [
            ("suppressed", (&mut hour.suppressed.0, &mut hour.suppressed.1)),
            ("held", (&mut hour.held.0, &mut hour.held.1)),
        ] {
            match (decision.from == state, decision.to == state) {
                (false, true) => add(Some(more)),
                (true, false) => add(Some(less)),
                _ => {}
            }
        }
    }
    let verdict = line.result.as_ref().and_then(|result| result.verdict.as_ref());
    let failed: Vec<(&CountedRecipient, Category)> = line
        .recipients
        .iter()
        .chain(verdict)
        .filter_map(|recipient| Some((recipient, recipient.category?)))
        .collect();
    for (_, category) in &failed {
        add(place(Category::ALL, category).and_then(|n| hour.refusals.get_mut(n)));
    }
    for (recipient, category) in &failed {
        provider(trend, seq, at, recipient, *category);
        if recipient.reason == Some(Reason::Undetermined) {
            unknown(trend, seq, at, recipient.diagnostic.as_deref().unwrap_or_default());
        }
    }
    let wish = matches!(line.kind, Some(Kind::Complaint | Kind::Unsubscribe));
    if !failed.is_empty() || matches!(line.kind, Some(Kind::Delay | Kind::Complaint)) {
        newest(&mut trend.bounces, seq, BOUNCES);
    }
    if let Some(name) = line.campaign.as_deref()
        && (wish || !failed.is_empty())
    {
        campaign(trend, seq, at, name, line.kind, &failed);
    }
}

fn provider(
    trend: &mut Trend,
    seq: u64,
    at: i64,
    recipient: &CountedRecipient,
    category: Category,
) {
    let name = recipient.provider.as_deref().unwrap_or(OTHER);
    // The names are of a closed table.
    let provider = trend.providers.entry(name.to_string()).or_default();
    let hour = provider.hours.entry(at).or_default();
    add(place(Category::ALL, &category).and_then(|n| hour.get_mut(n)));
    let rule = recipient.rule.as_deref().unwrap_or(NO_RULE);
    if !provider.rules.contains_key(rule) && provider.rules.len() >= MAX_RULES {
        drop_rarest(&mut provider.rules, |seen| {
            (seen.days.values().sum::<u32>(), seen.events.front().copied().unwrap_or(0))
        });
    }
    let seen = provider.rules.entry(rule.to_string()).or_default();
    add(Some(seen.days.entry(at.div_euclid(24)).or_default()));
    newest(&mut seen.events, seq, SAMPLES);
}

fn unknown(trend: &mut Trend, seq: u64, at: i64, diagnostic: &str) {
    let wording = wording(diagnostic);
    if !trend.wordings.contains_key(&wording) && trend.wordings.len() >= MAX_WORDINGS {
        drop_rarest(&mut trend.wordings, |seen| {
            (seen.hours.values().sum::<u32>(), seen.events.front().copied().unwrap_or(0))
        });
    }
    let seen = trend.wordings.entry(wording).or_default();
    add(Some(seen.hours.entry(at).or_default()));
    newest(&mut seen.events, seq, SAMPLES);
}

fn campaign(
    trend: &mut Trend,
    seq: u64,
    at: i64,
    name: &str,
    kind: Option<Kind>,
    failed: &[(&CountedRecipient, Category)],
) {
    let name = campaign_name(name);
    if !trend.campaigns.contains_key(&name) && trend.campaigns.len() >= MAX_CAMPAIGNS {
        drop_rarest(&mut trend.campaigns, |seen| (0, seen.seqs.1));
    }
    let first = CampaignTrend { seqs: (seq, seq), ..CampaignTrend::default() };
    let seen = trend.campaigns.entry(name).or_insert(first);
    (seen.seqs.1, seen.last_hour) = (seq, at);
    match kind {
        Some(Kind::Complaint) => add(Some(&mut seen.complaints)),
        Some(Kind::Unsubscribe) => add(Some(&mut seen.unsubscribes)),
        _ => {}
    }
    for (recipient, _) in failed {
        let class = recipient.class.unwrap_or(Class::Undetermined);
        let provider = recipient.provider.clone().unwrap_or_default();
        add(Some(seen.failures.entry((class, provider)).or_default()));
    }
    newest(&mut seen.events, seq, CAMPAIGN_BOUNCES);
}

/// What is older than [`HOURS`] goes.
pub fn forget_old(trend: &mut Trend) {
    let oldest = trend.hour() - HOURS;
    let stale =
        |hours: &BTreeMap<i64, _>| hours.first_key_value().is_some_and(|(h, _)| *h < oldest);
    if !stale(&trend.hours) {
        return;
    }
    trend.hours = trend.hours.split_off(&oldest);
    trend.providers.retain(|_, provider| {
        provider.hours = provider.hours.split_off(&oldest);
        provider.rules.retain(|_, seen| {
            seen.days = seen.days.split_off(&oldest.div_euclid(24));
            !seen.days.is_empty()
        });
        !provider.hours.is_empty()
    });
    trend.wordings.retain(|_, seen| {
        seen.hours = seen.hours.split_off(&oldest);
        !seen.hours.is_empty()
    });
    trend.campaigns.retain(|_, seen| seen.last_hour >= oldest);
}

/// Makes room in a full table.
fn drop_rarest<V>(table: &mut BTreeMap<String, V>, worth: impl Fn(&V) -> (u32, u64)) {
    let rarest = table.iter().min_by_key(|(_, value)| worth(value)).map(|(key, _)| key.clone());
    if let Some(rarest) = rarest {
        table.remove(&rarest);
    }
}

fn newest(positions: &mut VecDeque<u64>, seq: u64, most: usize) {
    // An event speaks of many recipients.
    if positions.front() != Some(&seq) {
        positions.push_front(seq);
        positions.truncate(most);
    }
}

fn add(counter: Option<&mut u32>) {
    if let Some(counter) = counter {
        *counter = counter.saturating_add(1);
    }
}

fn place<T: PartialEq>(all: &[T], one: &T) -> Option<usize> {
    all.iter().position(|known| known == one)
}
