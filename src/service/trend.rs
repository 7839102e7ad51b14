//! What happened lately, counted: how many messages of which kind, refusals of which category,
//! changes of the list, by hour; and by provider, campaign and wording, with the positions of the
//! events to look at. It holds no address: an event is named by its position, a wording has its
//! addresses blanked.
//!
//! It is made of the journal and of nothing else, so it can be thrown away and counted again.

use std::collections::{BTreeMap, VecDeque};

use crate::classify::{Category, Class};
use crate::mail::Timestamp;
use crate::report::Kind;

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;
/// Hours that are kept: 30 days.
pub const HOURS: i64 = 30 * 24;
/// Positions of bounces that are kept of all mail, of a rule at a provider, of a campaign.
pub const BOUNCES: usize = 50;
/// See [`BOUNCES`].
pub const SAMPLES: usize = 3;
/// See [`BOUNCES`].
pub const CAMPAIGN_BOUNCES: usize = 2_000;

/// So many of each category, in the order of [`Category::ALL`].
pub type ByCategory = [u32; Category::ALL.len()];

/// Counts of one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hour {
    /// Messages, in the order of [`Kind::ALL`].
    pub kinds: [u32; Kind::ALL.len()],
    /// Recipients that failed, by report or in-band.
    pub refusals: ByCategory,
    /// Addresses that became suppressed, and that ceased to be.
    pub suppressed: (u32, u32),
    /// Addresses that became held, and that ceased to be.
    pub held: (u32, u32),
}

/// A rule at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleSeen {
    /// Failed recipients by day since 1970.
    pub days: BTreeMap<i64, u32>,
    /// Positions of its newest events, newest first.
    pub events: VecDeque<u64>,
}

/// What a provider refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderTrend {
    /// Failed recipients by hour since 1970.
    pub hours: BTreeMap<i64, ByCategory>,
    /// By rule.
    pub rules: BTreeMap<String, RuleSeen>,
}

/// Characters of a campaign's name that tell it apart.
const CAMPAIGN_CHARACTERS: usize = 128;

/// The name that a campaign is counted under.
pub fn campaign_name(text: &str) -> String {
    text.chars().take(CAMPAIGN_CHARACTERS).collect()
}

/// What became of a campaign.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CampaignTrend {
    /// Failed recipients by class and provider (`` is one outside the table).
    pub failures: BTreeMap<(Class, String), u32>,
    /// Complaints and wishes to get no more mail.
    pub complaints: u32,
    /// See `complaints`.
    pub unsubscribes: u32,
    /// First and last position that speaks of it.
    pub seqs: (u64, u64),
    /// Hour of the last one.
    pub last_hour: i64,
    /// Positions of its newest bounces, newest first.
    pub events: VecDeque<u64>,
}

/// A wording that no rule knows, numbers, addresses and ids blanked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WordingTrend {
    /// How often, by hour since 1970.
    pub hours: BTreeMap<i64, u32>,
    /// Positions of its newest events, newest first.
    pub events: VecDeque<u64>,
}

impl WordingTrend {
    /// How often in these hours, the last one not included.
    pub fn between(&self, from: i64, to: i64) -> u64 {
        self.hours.range(from..to).map(|(_, count)| u64::from(*count)).sum()
    }
}

/// What happened lately.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trend {
    /// The moment that it ends at.
    pub now: Timestamp,
    /// Position of the first event that is counted, of the last one, and of the newest there is.
    /// The last two differ while the journal is still being read.
    pub first: u64,
    /// See `first`.
    pub through: u64,
    /// See `first`.
    pub newest: u64,
    /// By hour since 1970.
    pub hours: BTreeMap<i64, Hour>,
    /// By provider of the closed table; `other` is everyone outside it.
    pub providers: BTreeMap<String, ProviderTrend>,
    /// By campaign.
    pub campaigns: BTreeMap<String, CampaignTrend>,
    /// By wording.
    pub wordings: BTreeMap<String, WordingTrend>,
    /// Positions of the newest failures, delays and complaints, newest first.
    pub bounces: VecDeque<u64>,
}

impl Trend {
    /// The hour that `now` lies in.
    pub fn hour(&self) -> i64 {
        self.now.millis().div_euclid(HOUR_MS)
    }

    /// Whether all there is was counted.
    pub fn is_complete(&self) -> bool {
        self.through >= self.newest
    }

    /// What was counted, of a hundred.
    pub fn percent(&self) -> u64 {
        let all = (self.newest + 1).saturating_sub(self.first).max(1);
        let done = (self.through + 1).saturating_sub(self.first);
        (done.saturating_mul(100) / all).min(100)
    }

    /// The sum of the hours that `from` begins with.
    pub fn since(&self, from: i64) -> Hour {
        let mut sum = Hour::default();
        for hour in self.hours.range(from..).map(|(_, hour)| hour) {
            for (all, one) in sum.kinds.iter_mut().zip(hour.kinds) {
                *all = all.saturating_add(one);
            }
            for (all, one) in sum.refusals.iter_mut().zip(hour.refusals) {
                *all = all.saturating_add(one);
            }
            for (all, one) in [(&mut sum.suppressed, hour.suppressed), (&mut sum.held, hour.held)] {
                *all = (all.0.saturating_add(one.0), all.1.saturating_add(one.1));
            }
        }
        sum
    }
}
