//! Guards: times in which evidence does not suppress but waits.
//!
//! A guard is a list of intervals. An item of evidence that lies in one is held while the interval
//! is open and needs a second failure on another day afterwards. Nothing is written back to the
//! addresses, so holding again what was suppressed before a trip, and releasing thousands at once,
//! are one small write each.

use super::rate::{Learned, Recent, bucket_of};
use super::seen;
use super::step::Step;
use crate::ledger::LedgerError;
use crate::policy::judge::intervals::{CAP, Interval, Intervals, OUTAGE, blast_key, outage_key};
use crate::policy::judge::row::hash;

/// Row of the recent counts of a provider or domain, or of all (`*`).
fn recent_key(named: bool, guard: &str) -> Vec<u8> {
    if named {
        return [b"g/b/", guard.as_bytes()].concat();
    }
    // Domains without end must not make rows without end: they share slots, and the slot belongs
    // to the domain that failed last.
    format!("g/b/~{:04x}", hash(&["slot", guard]) % DOMAIN_SLOTS).into_bytes()
}

fn learned_key(named: bool, guard: &str) -> Vec<u8> {
    let mut key = recent_key(named, guard);
    if let Some(letter) = key.get_mut(2) {
        *letter = b'e';
    }
    key
}

const DOMAIN_SLOTS: u64 = 8_192;
/// A domain keeps its slot for so many buckets after its last failure.
const SLOT_KEPT: i64 = 144;
/// After a release by hand the guard of a provider sleeps for so many buckets.
const MUTED: i64 = 36;

impl Step<'_> {
    /// Counts a mail handed over, for what is to be expected of a provider.
    pub(crate) fn count_sent(&mut self, guard: &str, named: bool) -> Result<(), LedgerError> {
        let key = recent_key(named, guard);
        let value = self.rows.get(&key)?;
        if !named && value.is_none() {
            return Ok(());
        }
        let mut recent = Recent::decode(value.as_deref());
        if !named && recent.owner != guard {
            return Ok(());
        }
        let bucket = bucket_of(self.now.millis());
        self.learn(guard, named, &recent, bucket)?;
        recent.advance(bucket);
        recent.add(0, 1, 0);
        self.rows.put(key, Some(recent.encode()));
        Ok(())
    }

    /// Teaches the hours that are over, once an hour.
    fn learn(
        &mut self,
        guard: &str,
        named: bool,
        recent: &Recent,
        bucket: i64,
    ) -> Result<(), LedgerError> {
        if !recent.ring.is_empty() && bucket.div_euclid(6) <= recent.bucket.div_euclid(6) {
            return Ok(());
        }
        let key = learned_key(named, guard);
        let mut learned = Learned::decode(self.rows.get(&key)?.as_deref(), bucket);
        if !named && recent.ring.is_empty() {
            learned = Learned::new(bucket);
        }
        if learned.is_behind(bucket) || recent.ring.is_empty() {
            let all = Recent::decode(self.rows.get(&recent_key(true, "*"))?.as_deref());
            let intervals = self.intervals(&outage_key(guard))?;
            let skip = |from: i64, to: i64| {
                intervals.0.iter().any(|i| i.from_ms < to && i.end().millis() > from)
            };
            learned.learn(recent, &all, bucket, skip);
            self.rows.put(key, Some(learned.encode()));
        }
        Ok(())
    }

    pub(crate) fn intervals(&self, key: &[u8]) -> Result<Intervals, LedgerError> {
        Ok(self.rows.get(key)?.map(|v| Intervals::decode(&v)).unwrap_or_default())
    }

    /// Counts a recipient that failed hard, for the first time in a day, and trips the guard or
    /// keeps it tripped. Gives the guard's intervals when they changed.
    pub(crate) fn count_failed(
        &mut self,
        guard: &str,
        named: bool,
        alive: bool,
    ) -> Result<Option<Intervals>, LedgerError> {
        let outage = self.policy.outage;
        if outage.min_recipients == 0 {
            return Ok(None);
        }
        let bucket = bucket_of(self.now.millis());
        let key = recent_key(named, guard);
        let mut recent = Recent::decode(self.rows.get(&key)?.as_deref());
        if !named && recent.owner != guard {
            if !recent.ring.is_empty() && bucket - recent.bucket < SLOT_KEPT {
                return Ok(None);
            }
            recent = Recent { owner: guard.to_string(), ..Recent::default() };
        }
        self.learn(guard, named, &recent, bucket)?;
        recent.advance(bucket);
        recent.add(1, 0, u32::from(alive));
        self.rows.put(key, Some(recent.encode()));
        let all_key = recent_key(true, "*");
        let mut all = Recent::decode(self.rows.get(&all_key)?.as_deref());
        all.advance(bucket);
        all.add(1, 0, 0);
        self.rows.put(all_key, Some(all.encode()));
        if recent.ring.iter().map(|r| r.0).sum::<u32>() < outage.min_recipients.div_ceil(3) {
            return Ok(None);
        }
        self.trip(guard, named, &recent, &all)
    }

    fn trip(
        &mut self,
        guard: &str,
        named: bool,
        recent: &Recent,
        all: &Recent,
    ) -> Result<Option<Intervals>, LedgerError> {
        let outage = self.policy.outage;
        let now = self.now.millis();
        let mut intervals = self.intervals(&outage_key(guard))?;
        let open = intervals.open(self.now).is_some();
        let quiet_before = match intervals.0.last() {
            _ if open => i64::MIN,
            Some(Interval { released_ms: Some(released), .. }) => {
                if bucket_of(now) - bucket_of(*released) < MUTED {
                    return Ok(None);
                }
                bucket_of(*released)
            }
            Some(last) => bucket_of(last.hot_ms),
            None => i64::MIN,
        };
        let key = learned_key(named, guard);
        let value = self.rows.get(&key)?;
        let why = self.hot.with_learned(&key, value.as_deref(), recent.bucket, |learned| {
            learned.too_high(recent, all, &outage, quiet_before)
        });
        let Some(why) = why else { return Ok(None) };
        match intervals.open_mut(self.now) {
            // Written once a minute: a flood must not write the row at each record.
            Some(interval) if now - interval.hot_ms < 60_000 => return Ok(None),
            Some(interval) => interval.hot_ms = now,
            None => {
                intervals.push(Interval {
                    from_ms: now.saturating_sub(outage.look_back.millis()),
                    from_seq: 0,
                    tripped_ms: now,
                    hot_ms: now,
                    calm_ms: outage.calm.millis(),
                    released_ms: None,
                    why,
                });
                self.tell_guard(format!("{OUTAGE}{guard}"), "*", &intervals);
            }
        }
        self.rows.put(outage_key(guard), Some(intervals.encode()));
        Ok(Some(intervals))
    }

    /// A decision without an address: the guard itself changed.
    pub(crate) fn tell_guard(&mut self, clause: String, scope: &str, intervals: &Intervals) {
        let open = intervals.open(self.now);
        let state = |tripped: bool| if tripped { "held" } else { "clear" }.to_string();
        self.decisions.push(crate::event::Decision {
            address: String::new(),
            scope: scope.to_string(),
            from: state(open.is_none()),
            to: state(open.is_some()),
            clause,
            until: open.map(Interval::end),
        });
    }

    /// Counts a new suppression of a scope, and trips the cap or keeps it tripped. Gives the cap's
    /// intervals when they changed.
    pub(crate) fn count_suppressed(
        &mut self,
        scope: &str,
    ) -> Result<Option<Intervals>, LedgerError> {
        let blast = self.policy.blast;
        if blast.per_hour == 0 {
            return Ok(None);
        }
        let bucket = bucket_of(self.now.millis());
        let key = [b"g/n/", scope.as_bytes()].concat();
        let mut recent = Recent::decode(self.rows.get(&key)?.as_deref());
        recent.advance(bucket);
        recent.add(1, 0, 0);
        self.rows.put(key, Some(recent.encode()));
        let new = recent.failed(bucket - 5, bucket);
        if new <= u64::from(blast.per_hour) {
            return Ok(None);
        }
        // Parts of a million, so that no rounding of floating point decides.
        let share = (blast.percent_of_seen * 10_000.0) as u64;
        let seen = seen::estimate(self.rows, scope, self.now)?;
        if new <= seen.saturating_mul(share) / 1_000_000 {
            return Ok(None);
        }
        let now = self.now.millis();
        let mut intervals = self.intervals(&blast_key(scope))?;
        match intervals.open_mut(self.now) {
            Some(interval) => interval.hot_ms = now,
            None => {
                intervals.push(Interval {
                    from_ms: now,
                    from_seq: self.seq,
                    tripped_ms: now,
                    hot_ms: now,
                    calm_ms: blast.calm.millis(),
                    released_ms: None,
                    why: format!("{new} new suppressions in an hour"),
                });
                self.tell_guard(format!("{CAP}{scope}"), scope, &intervals);
            }
        }
        self.rows.put(blast_key(scope), Some(intervals.encode()));
        Ok(Some(intervals))
    }

    /// `Act::ReleaseHeld`: the open interval ends now.
    pub(crate) fn release_held(
        &mut self,
        provider: Option<&str>,
        scope: Option<&str>,
    ) -> Result<(), LedgerError> {
        let (key, clause, scope) = match (provider, scope) {
            (Some(guard), _) => (outage_key(guard), format!("{OUTAGE}{guard}"), "*"),
            (None, Some(scope)) => (blast_key(scope), format!("{CAP}{scope}"), scope),
            (None, None) => return Ok(()),
        };
        let mut intervals = self.intervals(&key)?;
        let now = self.now;
        let Some(open) = intervals.open_mut(now) else { return Ok(()) };
        open.released_ms = Some(now.millis());
        self.tell_guard(clause, scope, &intervals);
        self.rows.put(key, Some(intervals.encode()));
        Ok(())
    }
}
