//! Health as data: how a sender's mail fares, by scope, day, campaign and provider.
//!
//! Figures are sums; a rate is a sum over a sum with its denominator beside it, never a mean of
//! rates. Only evidence that may count (docs/policy.md, "Attribution") is in it, each mail once.
//! Without `sent` results there is no denominator, and the rates say `unknown`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::evidence::Figure;
use super::step::Step;
use crate::classify::Category;
use crate::ledger::{Ledger, LedgerError};
use crate::mail::{Timestamp, words};
use crate::policy::judge::row::cut;
use crate::policy::settings::Thresholds;

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Mails handed over, by in-band results.
    pub sent: u64,
    /// Mails accepted by the other side, by in-band results.
    pub delivered: u64,
    /// Hard failures.
    pub hard: u64,
    /// Soft failures.
    pub soft: u64,
    /// Blocks.
    pub block: u64,
    /// Blocks on addresses that had failed before.
    pub block_after_failure: u64,
    /// Failures of another category.
    pub other: u64,
    /// Our own refusals that came back; in no rate.
    pub own_refusal: u64,
    /// Complaints.
    pub complaint: u64,
    /// Automatic replies.
    pub auto_reply: u64,
    /// Wishes to get no more mail.
    pub unsubscribe: u64,
}

impl Figures {
    fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.sent, other.sent),
            (&mut self.delivered, other.delivered),
            (&mut self.hard, other.hard),
            (&mut self.soft, other.soft),
            (&mut self.block, other.block),
            (&mut self.block_after_failure, other.block_after_failure),
            (&mut self.other, other.other),
            (&mut self.own_refusal, other.own_refusal),
            (&mut self.complaint, other.complaint),
            (&mut self.auto_reply, other.auto_reply),
            (&mut self.unsubscribe, other.unsubscribe),
        ] {
            *mine = mine.saturating_add(theirs);
        }
    }

    fn count(&mut self, figure: Figure, failed_before: bool) {
        let one = match figure {
            Figure::Sent => &mut self.sent,
            Figure::Delivered => &mut self.delivered,
            Figure::Failed(Category::Hard) => &mut self.hard,
            Figure::Failed(Category::Soft) => &mut self.soft,
            Figure::Failed(Category::Block) => &mut self.block,
            Figure::Failed(Category::Admin | Category::Undetermined) => &mut self.other,
            Figure::OwnRefusal => &mut self.own_refusal,
            Figure::Complaint => &mut self.complaint,
            Figure::AutoReply => &mut self.auto_reply,
            Figure::Unsubscribe => &mut self.unsubscribe,
        };
        *one = one.saturating_add(1);
        if failed_before && figure == Figure::Failed(Category::Block) {
            self.block_after_failure = self.block_after_failure.saturating_add(1);
        }
    }
}

words! {
    /// Its state.
    Condition {
        /// Too little volume, or no `sent` results.
        Unknown = "unknown",
        /// Below all thresholds.
        Healthy = "healthy",
        /// Above the first.
        Unhealthy = "unhealthy",
        /// Above the second.
        Risky = "risky",
        /// Above the third.
        Critical = "critical",
    }
}

/// A rate with what it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// Of how many; 0 when not known.
    pub of: u64,
    /// In percent; None without a denominator.
    pub percent: Option<f64>,
    /// Against the thresholds.
    pub state: Condition,
}

impl Rate {
    fn new(count: u64, of: u64, steps: [f64; 3], minimum: u64) -> Self {
        let percent = (of > 0).then(|| count as f64 * 100.0 / of as f64);
        let state = match percent {
            None => Condition::Unknown,
            Some(_) if of < minimum => Condition::Unknown,
            Some(p) => match steps.iter().filter(|step| p > **step).count() {
                0 => Condition::Healthy,
                1 => Condition::Unhealthy,
                2 => Condition::Risky,
                _ => Condition::Critical,
            },
        };
        Self { count, of, percent, state }
    }
}

/// Figures with their rates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The sums.
    #[serde(flatten)]
    pub figures: Figures,
    /// Hard, soft and block of sent.
    pub bounces: Rate,
    /// Hard of sent.
    pub hard_rate: Rate,
    /// Soft of sent.
    pub soft_rate: Rate,
    /// Blocks of sent.
    pub block_rate: Rate,
    /// Complaints of delivered, or of sent where nothing says delivered.
    pub complaints: Rate,
    /// The worse of bounces and complaints.
    pub state: Condition,
}

impl Summary {
    /// Judges figures by thresholds.
    pub fn new(figures: Figures, thresholds: &Thresholds) -> Self {
        let Figures { sent, delivered, hard, soft, block, complaint, .. } = figures;
        let rate = |count| Rate::new(count, sent, thresholds.bounces, thresholds.minimum);
        let bounces = rate(hard + soft + block);
        let reached = if delivered > 0 { delivered } else { sent };
        let complaints = Rate::new(complaint, reached, thresholds.complaints, thresholds.minimum);
        Self {
            figures,
            bounces,
            hard_rate: rate(hard),
            soft_rate: rate(soft),
            block_rate: rate(block),
            complaints,
            state: bounces.state.max(complaints.state),
        }
    }
}

/// Health of one scope over some days.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// The scope.
    pub scope: String,
    /// First day, as a moment.
    pub from: Timestamp,
    /// Last day, as a moment.
    pub to: Timestamp,
    /// What the rates are held against.
    pub thresholds: Thresholds,
    /// All of it.
    pub total: Summary,
    /// By day (RFC 3339 date).
    pub by_day: BTreeMap<String, Summary>,
    /// By campaign; `` is mail without one.
    pub by_campaign: BTreeMap<String, Summary>,
    /// By provider; `other` is everyone outside the table.
    pub by_provider: BTreeMap<String, Summary>,
}

/// Campaigns of a scope and day that are told apart.
const MAX_CAMPAIGNS: u64 = 500;
/// Where the others go.
const OTHER: &str = "other";
const MAX_CAMPAIGN_OCTETS: usize = 64;
/// Slots in which a `never` failure is remembered, so that a refusal and its report count once.
const TWIN_SLOTS: u64 = 65_536;

/// Begins the key of the row that counts the campaigns of a scope.
const CAMPAIGNS: &str = "m/campaigns/";

fn day_prefix(scope: &str, day: i64) -> String {
    format!("h/{scope}/{:06}/", day.max(0))
}

/// Campaign names are free text: the separator and control characters become `_`.
fn campaign_name(text: &str) -> String {
    let mut name: String =
        text.chars().map(|c| if c.is_control() || c == '/' { '_' } else { c }).collect();
    cut(&mut name, MAX_CAMPAIGN_OCTETS);
    name
}

impl Step<'_> {
    /// Counts a figure.
    pub(crate) fn count_health(
        &mut self,
        figure: Figure,
        scope: &str,
        campaign: Option<&str>,
        provider: Option<&str>,
        failed_before: bool,
    ) -> Result<(), LedgerError> {
        let day = self.now.day();
        let prefix = day_prefix(scope, day);
        let provider = provider.unwrap_or(OTHER);
        let mut key = format!("{prefix}{}/{provider}", campaign_name(campaign.unwrap_or("")));
        let mut value = self.rows.get(key.as_bytes())?;
        if value.is_none() {
            // Rare: the first of its kind today.
            let counter = format!("{CAMPAIGNS}{scope}").into_bytes();
            let mut known: (i64, u64) = self
                .rows
                .get(&counter)?
                .and_then(|v| serde_json::from_slice(&v).ok())
                .unwrap_or_default();
            if known.0 != day {
                known = (day, 0);
                self.forget_old_days(scope, day)?;
            }
            if known.1 >= MAX_CAMPAIGNS && campaign.is_some() {
                key = format!("{prefix}{OTHER}/{provider}");
                value = self.rows.get(key.as_bytes())?;
            } else {
                known.1 += 1;
            }
            self.rows.put(counter, serde_json::to_vec(&known).ok());
        }
        let mut figures: Figures =
            value.and_then(|v| serde_json::from_slice(&v).ok()).unwrap_or_default();
        figures.count(figure, failed_before);
        self.rows.put(key.into_bytes(), serde_json::to_vec(&figures).ok());
        Ok(())
    }

    fn forget_old_days(&mut self, scope: &str, day: i64) -> Result<(), LedgerError> {
        let keep = self.policy.health.keep.millis() / 86_400_000;
        let oldest = day_prefix(scope, day - keep);
        for (key, _) in self.rows.scan(format!("h/{scope}/").as_bytes(), &[], 10_000)? {
            if key.as_slice() >= oldest.as_bytes() {
                break;
            }
            self.rows.put(key, None);
        }
        Ok(())
    }

    /// Was a failure of this mail at this address counted before? For failures that leave no trace
    /// in the address. Approximate by design: a slot remembers its last mail.
    pub(crate) fn is_twin(&mut self, address: &str, message: u64) -> Result<bool, LedgerError> {
        if message == 0 {
            return Ok(false);
        }
        let hash = crate::policy::judge::row::hash(&["twin", address, &message.to_string()]);
        let key = format!("m/twin/{:04x}", hash % TWIN_SLOTS).into_bytes();
        let value = hash.to_be_bytes().to_vec();
        let known = self.rows.get(&key)?.is_some_and(|old| old == value);
        self.rows.put(key, Some(value));
        Ok(known)
    }
}

/// Reads the health of a scope from one day to another, both included.
pub fn health(
    ledger: &dyn Ledger,
    thresholds: &Thresholds,
    scope: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Health, LedgerError> {
    let mut total = Figures::default();
    let mut by: [BTreeMap<String, Figures>; 3] = Default::default();
    for day in from.day()..=to.day().min(from.day().saturating_add(MAX_DAYS)) {
        let prefix = day_prefix(scope, day);
        let mut cursor: Option<Vec<u8>> = None;
        loop {
            let page = ledger.list(prefix.as_bytes(), cursor.as_deref(), 1_000)?;
            for (key, value) in &page.rows {
                let Ok(figures) = serde_json::from_slice::<Figures>(value) else { continue };
                let rest = String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default());
                let (campaign, provider) = rest.split_once('/').unwrap_or((&rest, OTHER));
                let (y, m, d) = Timestamp::default().plus_days(day).date();
                let names = [format!("{y:04}-{m:02}-{d:02}"), campaign.into(), provider.into()];
                total.add(&figures);
                for (map, name) in by.iter_mut().zip(names) {
                    map.entry(name).or_default().add(&figures);
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
    }
    let [by_day, by_campaign, by_provider] = by
        .map(|map| map.into_iter().map(|(name, f)| (name, Summary::new(f, thresholds))).collect());
    Ok(Health {
        scope: scope.to_string(),
        from,
        to,
        thresholds: *thresholds,
        total: Summary::new(total, thresholds),
        by_day,
        by_campaign,
        by_provider,
    })
}

/// Scopes that mail was ever counted for.
pub fn scopes(ledger: &dyn Ledger) -> Result<Vec<String>, LedgerError> {
    let page = ledger.list(CAMPAIGNS.as_bytes(), None, MAX_SCOPES)?;
    let name =
        |key: &[u8]| String::from_utf8_lossy(key.get(CAMPAIGNS.len()..)?).into_owned().into();
    Ok(page.rows.iter().filter_map(|(key, _)| name(key)).collect())
}

/// Scopes that one answer names.
const MAX_SCOPES: usize = 1_000;

/// Days that one question may span.
const MAX_DAYS: i64 = 400;
