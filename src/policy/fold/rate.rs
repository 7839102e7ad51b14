//! How many recipients of a provider fail, and how many are to be expected: the arithmetic of the
//! provider-outage guard. Integers only, so that every machine folds to the same state.
//!
//! Failures are counted in buckets of ten minutes, over the last bucket, hour and six hours. The
//! expectation is the largest of what this hour of the week brought before (EWMA), what the mail
//! sent now explains (usual share of failures of what was sent), and what the other providers have
//! now (usual share of all failures): an old list that is cleaned fails everywhere, an outage
//! fails at one provider.

use serde::{Deserialize, Serialize};

use crate::policy::settings::Outage;

/// Length of a bucket.
pub(crate) const BUCKET_MS: i64 = 600_000;
/// Buckets that are remembered: six hours.
const BUCKETS: usize = 36;
const PER_HOUR: i64 = 6;
/// Hours of a week.
const WEEK: usize = 168;
/// Learned figures are kept in thousandths.
const MILLI: u64 = 1_000;
/// Sums lose a 512th an hour: half is forgotten in 15 days.
const FORGET: u64 = 512;
/// An hour's figure moves its slot by a quarter.
const LEARN: i64 = 4;
/// What a provider is expected to have in a bucket while it is new.
const NEW_FLOOR: u64 = 10;
/// PriorState anything is known: 2 % of sent mail fails, half of all failures are this provider's.
const PRIOR_SENT: u64 = 500;
const PRIOR_FAILED: u64 = 10;
const PRIOR_SHARE: (u64, u64) = (50, 100);

/// Counts of the last six hours. Bucket `n` ago is `ring[n]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Recent {
    /// Whose they are: a slot is shared by rare domains.
    #[serde(rename = "o")]
    pub owner: String,
    /// Bucket of `ring[0]`.
    #[serde(rename = "b")]
    pub bucket: i64,
    /// Failed, sent, failed although proof of life was fresh.
    #[serde(rename = "r")]
    pub ring: Vec<(u32, u32, u32)>,
}

pub(crate) const fn bucket_of(ms: i64) -> i64 {
    ms.div_euclid(BUCKET_MS)
}

const fn hour_of(bucket: i64) -> i64 {
    bucket.div_euclid(PER_HOUR)
}

impl Recent {
    pub(crate) fn decode(value: Option<&[u8]>) -> Self {
        value.and_then(|v| serde_json::from_slice(v).ok()).unwrap_or_default()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Moves on to a bucket; an earlier one (a clock that went back) counts in the current.
    pub(crate) fn advance(&mut self, bucket: i64) {
        if self.ring.is_empty() {
            self.bucket = bucket;
            self.ring.push((0, 0, 0));
        }
        let gone = bucket.saturating_sub(self.bucket).clamp(0, BUCKETS as i64);
        for _ in 0..gone {
            self.ring.insert(0, (0, 0, 0));
        }
        self.ring.truncate(BUCKETS);
        self.bucket = self.bucket.max(bucket);
    }

    pub(crate) fn add(&mut self, failed: u32, sent: u32, alive: u32) {
        if let Some(now) = self.ring.first_mut() {
            now.0 = now.0.saturating_add(failed);
            now.1 = now.1.saturating_add(sent);
            now.2 = now.2.saturating_add(alive);
        }
    }

    fn at(&self, bucket: i64) -> (u32, u32, u32) {
        usize::try_from(self.bucket - bucket)
            .ok()
            .and_then(|ago| self.ring.get(ago))
            .copied()
            .unwrap_or_default()
    }

    /// Failures in the buckets from `first` to `last`.
    pub(crate) fn failed(&self, first: i64, last: i64) -> u64 {
        (first..=last).map(|b| u64::from(self.at(b).0)).sum()
    }

    fn sent(&self, first: i64, last: i64) -> u64 {
        (first..=last).map(|b| u64::from(self.at(b).1)).sum()
    }

    /// Failures of the current bucket with fresh proof of life.
    fn alive(&self) -> u64 {
        self.ring.first().map_or(0, |now| u64::from(now.2))
    }
}

/// What a provider usually has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Learned {
    /// First bucket ever.
    pub since: i64,
    /// Next hour to learn.
    next: i64,
    /// Largest bucket of an hour of the week, in thousandths.
    peak: Vec<u32>,
    /// An hour of the week, in thousandths.
    total: Vec<u32>,
    failed: u64,
    sent: u64,
    all_failed: u64,
}

impl Learned {
    pub(crate) fn new(bucket: i64) -> Self {
        Self {
            since: bucket,
            next: hour_of(bucket),
            peak: vec![0; WEEK],
            total: vec![0; WEEK],
            failed: 0,
            sent: 0,
            all_failed: 0,
        }
    }

    pub(crate) fn decode(value: Option<&[u8]>, bucket: i64) -> Self {
        value.and_then(Self::read).unwrap_or_else(|| Self::new(bucket))
    }

    /// None when it cannot be read.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let read = serde_json::from_slice::<Self>(value).ok();
        read.filter(|l| l.peak.len() == WEEK && l.total.len() == WEEK)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn is_behind(&self, bucket: i64) -> bool {
        self.next < hour_of(bucket)
    }

    /// Learns every whole hour before `bucket`. Hours in which the guard was tripped (`skip`) teach
    /// nothing, hours without any record teach that there was nothing.
    pub(crate) fn learn(
        &mut self,
        own: &Recent,
        all: &Recent,
        bucket: i64,
        skip: impl Fn(i64, i64) -> bool,
    ) {
        let end = hour_of(bucket);
        // A silence of more than a week teaches no more than a week of silence.
        let start = self.next.max(end.saturating_sub(WEEK as i64));
        for hour in start..end {
            let (first, last) = (hour * PER_HOUR, hour * PER_HOUR + PER_HOUR - 1);
            if skip(first * BUCKET_MS, (last + 1) * BUCKET_MS) {
                continue;
            }
            let slot = slot_of(hour);
            let peak = (first..=last).map(|b| u64::from(own.at(b).0)).max().unwrap_or(0);
            let total = own.failed(first, last);
            for (figures, now) in [(&mut self.peak, peak), (&mut self.total, total)] {
                if let Some(known) = figures.get_mut(slot) {
                    *known = moved(*known, now);
                }
            }
            for (sum, now) in [
                (&mut self.failed, total),
                (&mut self.sent, own.sent(first, last)),
                (&mut self.all_failed, all.failed(first, last)),
            ] {
                *sum = *sum - *sum / FORGET + now * MILLI;
            }
        }
        self.next = self.next.max(end);
    }

    fn slot(figures: &[u32], hour: i64) -> u64 {
        (hour - 1..=hour + 1)
            .filter_map(|h| figures.get(slot_of(h)))
            .map(|f| u64::from(*f))
            .max()
            .unwrap_or(0)
    }

    /// Thousandths of failures that are to be expected in the last `window` buckets.
    fn expected(&self, own: &Recent, all: &Recent, window: &Window, outage: &Outage) -> u64 {
        let (first, last) = (window.first, window.last);
        let hour = hour_of(last);
        // Nothing tells a campaign from an outage when no `sent` is reported and nearly everyone is
        // at this provider: then the largest hour of the week may come at any hour.
        let alone = self.sent == 0 && self.failed * 10 >= self.all_failed * 8;
        let largest = |figures: &[u32]| match alone {
            true => figures.iter().max().map_or(0, |f| u64::from(*f)),
            false => Self::slot(figures, hour),
        };
        let by_hour = match window.buckets {
            1 => largest(&self.peak),
            PER_HOUR => largest(&self.total),
            _ => (hour_of(first)..=hour)
                .map(|h| Self::slot(&self.total, h))
                .sum::<u64>()
                .max(largest(&self.total)),
        };
        // Failures follow their mail by minutes, now and then by an hour.
        let sent = match window.buckets {
            1 => (last - PER_HOUR..=last).map(|b| own.sent(b, b)).max().unwrap_or(0),
            n => own.sent(first, last).max(own.sent(first - n, first - 1)),
        };
        let by_sent = sent * (self.failed + PRIOR_FAILED * MILLI)
            / ((self.sent + PRIOR_SENT * MILLI) / MILLI);
        let others = all.failed(first, last).saturating_sub(own.failed(first, last));
        let (share, whole) =
            (self.failed + PRIOR_SHARE.0 * MILLI, self.all_failed + PRIOR_SHARE.1 * MILLI);
        let rest = whole.saturating_sub(share).max(whole / 10).max(1);
        let by_others = others * (share * MILLI / rest);
        let young = (last - self.since) * BUCKET_MS < outage.learn.millis();
        let floor = match (young, window.buckets) {
            (false, _) => MILLI,
            (true, 1) => NEW_FLOOR * MILLI,
            (true, PER_HOUR) => 3 * NEW_FLOOR * MILLI,
            (true, _) => 6 * NEW_FLOOR * MILLI,
        };
        by_hour.max(by_sent).max(by_others).max(floor)
    }

    /// Is the rate too high? The sentence says how. `quiet_before`: buckets up to this one belong
    /// to an outage that is over, or were released by hand.
    pub(crate) fn too_high(
        &self,
        own: &Recent,
        all: &Recent,
        outage: &Outage,
        quiet_before: i64,
    ) -> Option<String> {
        let last = own.bucket;
        let window = |buckets: i64| Window {
            first: (last - buckets + 1).max(quiet_before.saturating_add(1)),
            last,
            buckets,
        };
        let (least, factor) = (u64::from(outage.min_recipients), u64::from(outage.factor));
        let now = own.failed(last, last);
        let expected_now = self.expected(own, all, &window(1), outage);
        for (buckets, name) in
            [(1, "10 minutes"), (PER_HOUR, "an hour"), (BUCKETS as i64, "6 hours")]
        {
            let window = window(buckets);
            let failed = own.failed(window.first, window.last);
            // Proof of life among those that fail makes fewer of them enough.
            let least = match buckets {
                1 => least.saturating_sub(2 * own.alive()).max(least.div_ceil(3)),
                _ => least,
            };
            let expected = self.expected(own, all, &window, outage);
            // A longer window speaks of now only while now is high, too.
            let high_now = buckets == 1 || now * MILLI > 2 * expected_now;
            if failed >= least && failed * MILLI > factor * expected && high_now {
                return Some(format!(
                    "{failed} recipients failed in {name}, {} were to be expected",
                    expected.div_ceil(MILLI)
                ));
            }
        }
        None
    }
}

struct Window {
    first: i64,
    last: i64,
    buckets: i64,
}

fn slot_of(hour: i64) -> usize {
    usize::try_from(hour.rem_euclid(WEEK as i64)).unwrap_or(0)
}

/// A learned figure moved towards what is now.
fn moved(known: u32, now: u64) -> u32 {
    let now = i64::try_from(now.min(1_000_000) * MILLI).unwrap_or(i64::MAX);
    let known = i64::from(known);
    // A first figure is believed at once: the next weeks correct it.
    let next = if known == 0 { now } else { known + (now - known) / LEARN };
    u32::try_from(next.clamp(0, i64::from(u32::MAX))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_moves_on_and_forgets() {
        let mut recent = Recent::default();
        for (bucket, in_hour, in_all) in
            [(100, 1, 1), (100, 2, 2), (105, 3, 3), (106, 2, 4), (200, 1, 1)]
        {
            recent.advance(bucket);
            recent.add(1, 0, 0);
            assert_eq!(recent.failed(bucket - 5, bucket), in_hour, "{bucket}");
            assert_eq!(recent.failed(bucket - 35, bucket), in_all, "{bucket}");
        }
        // A clock that goes back counts in the current bucket.
        recent.advance(150);
        assert_eq!(recent.bucket, 200);
        assert_eq!(Recent::decode(Some(&recent.encode())), recent);
    }

    #[test]
    fn a_new_provider_has_a_floor_and_a_known_one_its_history() {
        let outage = Outage::default();
        let all = Recent::default();
        let mut own = Recent::default();
        own.advance(6);
        let learned = Learned::new(6);
        own.add(60, 0, 0);
        assert_eq!(learned.too_high(&own, &all, &outage, -1), None);
        own.add(1, 0, 0);
        assert!(learned.too_high(&own, &all, &outage, -1).is_some());
        // Known for two weeks, and silent until now.
        let old = Learned { since: -3_000, ..Learned::new(6) };
        let mut own = Recent::default();
        own.advance(6);
        own.add(29, 0, 0);
        assert_eq!(old.too_high(&own, &all, &outage, -1), None);
        own.add(1, 0, 0);
        assert!(old.too_high(&own, &all, &outage, -1).is_some());
    }

    #[test]
    fn what_was_sent_and_what_others_have_explain_failures() {
        let outage = Outage::default();
        let known = Learned {
            since: -3_000,
            failed: 300 * MILLI,
            sent: 100_000 * MILLI,
            all_failed: 600 * MILLI,
            ..Learned::new(6)
        };
        let fails = |sent: u32, others: u32| {
            let (mut own, mut all) = (Recent::default(), Recent::default());
            own.advance(6);
            all.advance(6);
            own.add(100, sent, 0);
            all.add(100 + others, 0, 0);
            known.too_high(&own, &all, &outage, -1).is_some()
        };
        assert!(fails(0, 0));
        assert!(fails(1_000, 0));
        assert!(!fails(20_000, 0), "60 failures are usual for so much mail");
        assert!(!fails(0, 100), "everybody fails: the list is old");
    }
}
