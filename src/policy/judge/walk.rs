//! From evidence to a track: what the items of one address amount to in one scope.
//!
//! A pure function: items in the order of the journal, each under the policy that was in force
//! when it came, the guards, and a moment. Nothing is remembered but the items, so a
//! term ends without a timer, an undo is a walk without the items it took back, and the live
//! state and a rebuilt one cannot differ.
//!
//! | mailbox | an item | becomes |
//! |---|---|---|
//! | free | `now` | stopped for a term (after recent proof of life: watched) |
//! | free | `twice` | watched; on a later day within the time: stopped |
//! | free | strike | watched; enough on enough days: stopped, each time longer |
//! | stopped, term over (probation) | `now`, `twice` | stopped without end |
//! | stopped, term over (probation) | sent, and no failure in the grace; proof of life | free |
//! | stopped, probation over, no try | - | stopped without end |
//! | any | what a tripped guard covers | held; when the guard is calm: watched |

use super::facts::{Facts, Hold};
use super::row::{Item, ItemKind};
use super::track::{Note, Pending, Stop, Stopped, Strike, Track};
use crate::mail::Timestamp;
use crate::policy::settings::{Effect, MAX_STRIKES, Numbers, Policy, Untried};
use crate::report::Attribution;

/// Walks the items for one scope up to `now`.
pub fn walk(items: &[Item], scope: &str, facts: &Facts, now: Timestamp) -> Track {
    let mut walker = Walker { items, scope, facts, is_told: false, track: Track::default() };
    for (place, item) in items.iter().enumerate() {
        walker.step(place, item);
    }
    walker.settle(now);
    walker.track
}

/// Like [`walk`], and tells of each item what it did.
pub fn walk_with(
    items: &[Item],
    scope: &str,
    facts: &Facts,
    now: Timestamp,
    tell: &mut dyn FnMut(usize, Note),
) -> Track {
    let mut walker = Walker { items, scope, facts, is_told: true, track: Track::default() };
    for (place, item) in items.iter().enumerate() {
        tell(place, walker.step(place, item));
    }
    walker.settle(now);
    walker.track
}

/// Longer than any outage of a provider that is known.
const OUTAGE_MS: i64 = 7 * 86_400_000;

struct Walker<'a> {
    items: &'a [Item],
    scope: &'a str,
    facts: &'a Facts,
    /// Somebody wants to hear what each item did.
    is_told: bool,
    track: Track,
}

/// Better levels have smaller numbers.
const fn rank(level: Attribution) -> u8 {
    match level {
        Attribution::Signed => 0,
        Attribution::Plain => 1,
        Attribution::MessageId => 2,
        Attribution::Report => 3,
        Attribution::None => 4,
    }
}

/// May evidence of this level count under this policy?
pub(crate) fn counts(policy: &Policy, level: Attribution) -> bool {
    match level {
        Attribution::Signed => true,
        Attribution::None => false,
        _ => !policy.require_signed,
    }
}

impl Walker<'_> {
    fn step(&mut self, place: usize, item: &Item) -> Note {
        if item.undone != 0 {
            return Note::Undone;
        }
        let policy = self.facts.policy(item.policy);
        if !counts(policy, item.level) {
            return Note::NotSigned;
        }
        let ours = item.scope == "*" || item.scope == self.scope;
        let scoped = !matches!(item.kind, ItemKind::Failure | ItemKind::Life | ItemKind::Sent);
        if scoped && !ours {
            return Note::OtherScope;
        }
        self.settle(item.at());
        let before = self.is_told.then(|| self.track.clone());
        let note = match item.kind {
            ItemKind::Failure => self.failure(place, item, policy),
            ItemKind::Life => self.life(item, policy),
            ItemKind::Sent => self.sent(item),
            ItemKind::Complaint => {
                let used = |i: &Item| i.kind == ItemKind::Complaint && i.token == item.token;
                if item.token != 0 && self.earlier(place).any(used) {
                    return Note::SameMail;
                }
                let stop = stop(item, "complaint", None, place);
                self.track.complaint.get_or_insert(stop);
                Note::Counted
            }
            ItemKind::NotSpam => {
                self.track.complaint = None;
                Note::Counted
            }
            ItemKind::Unsubscribe => {
                let stop = stop(item, "unsubscribe", None, place);
                self.track.unsubscribed.get_or_insert(stop);
                Note::Counted
            }
            ItemKind::Suppress => {
                self.suppress(place, item);
                Note::Counted
            }
            ItemKind::Release => {
                self.track = Track::default();
                Note::Counted
            }
        };
        match before {
            Some(before) if note == Note::Counted && self.track == before => Note::NoChange,
            _ => note,
        }
    }

    /// Items before a place that still count.
    fn earlier(&self, place: usize) -> impl Iterator<Item = &Item> {
        self.items
            .iter()
            .take(place)
            .filter(|i| i.undone == 0 && counts(self.facts.policy(i.policy), i.level))
    }

    /// Lets time pass up to `now`.
    fn settle(&mut self, now: Timestamp) {
        let track = &mut self.track;
        let [here, everywhere] = &mut track.imported;
        for stop in [&mut track.by_hand, here, everywhere] {
            stop.take_if(|s| s.until.is_some_and(|u| now >= u));
        }
        if track.pending.as_ref().is_some_and(|p| p.until.is_some_and(|u| now > u)) {
            track.pending = None;
        }
        let Some(stopped) = &mut track.stopped else { return };
        let Some(until) = stopped.stop.until.filter(|u| now >= *u) else { return };
        let Some(end) = stopped.probation_until.filter(|end| *end > until) else {
            track.stopped = None;
            return;
        };
        if let Some(tried) = stopped.tried {
            if now >= tried.plus_millis(stopped.grace_ms) {
                track.stopped = None;
            }
        } else if now >= end {
            match stopped.untried {
                Untried::Clear => track.stopped = None,
                Untried::Suppress => {
                    stopped.stop.since = end;
                    stopped.stop.until = None;
                    stopped.stop.clause = "probation/untried".to_string();
                    stopped.probation_until = None;
                }
            }
        }
    }

    fn suppress(&mut self, place: usize, item: &Item) {
        let until = item.until_ms.map(Timestamp::from_millis);
        let [here, everywhere] = &mut self.track.imported;
        let imported = if item.scope == "*" { everywhere } else { here };
        let Some(list) = &item.imported else {
            // Who acts on one address knows better than a list.
            *imported = None;
            self.track.by_hand = Some(stop(item, "by-hand", until, place));
            return;
        };
        let stop = stop(item, "import", until, place);
        let since = list.since.map_or(stop.since, |since| since.min(stop.since));
        *imported = Some(Stop { since, ..stop });
    }

    fn failure(&mut self, place: usize, item: &Item, policy: &Policy) -> Note {
        let Some(reason) = item.reason else { return Note::NoChange };
        let numbers = policy.numbers(self.scope, reason);
        match numbers.effect_of(item.inferred) {
            Effect::Never => Note::NoChange,
            Effect::Count => self.strike(place, item, &numbers),
            Effect::Now | Effect::Twice => self.hard(place, item, &numbers),
        }
    }

    fn is_hard(&self, item: &Item) -> bool {
        item.kind == ItemKind::Failure
            && item.reason.is_some_and(|reason| {
                let numbers = self.facts.policy(item.policy).numbers(self.scope, reason);
                numbers.effect_of(item.inferred).is_hard()
            })
    }

    fn hard(&mut self, place: usize, item: &Item, numbers: &Numbers) -> Note {
        let repeated = self.earlier(place).any(|i| {
            ((item.token != 0 && i.token == item.token)
                || (item.message != 0 && i.message == item.message))
                && self.is_hard(i)
        });
        if repeated {
            return Note::SameMail;
        }
        // A mail counts once: its earlier strike gives way to the better judgement.
        if item.message != 0 {
            self.track.strikes.retain(|s| s.message != item.message);
        }
        let at = item.at();
        let reason = item.reason.map_or("", |r| r.as_str());
        let probation = match &self.track.stopped {
            Some(s) if s.stop.until.is_some_and(|until| at >= until) => true,
            Some(_) => return Note::NoChange,
            None => false,
        };
        let waiting = self.track.pending.clone();
        let confirmed = waiting.as_ref().is_some_and(|p| at.day() > p.at.day());
        let guarded = waiting.as_ref().is_some_and(|p| p.guarded);
        let twice = numbers.effect_of(item.inferred) == Effect::Twice;
        let clause = if guarded && !confirmed {
            return Note::NoChange;
        } else if probation {
            format!("probation/{reason}")
        } else if confirmed && (guarded || twice) {
            format!("confirmed/{reason}")
        } else if twice {
            self.wait(place, item, numbers, false);
            return Note::Counted;
        } else if self.shielded(item, numbers) {
            self.track.alive = None;
            self.wait(place, item, numbers, false);
            return Note::Counted;
        } else {
            format!("now/{reason}")
        };
        // No outage lasts a week: who still fails then is not held again.
        let outlasted = |p: &Pending| p.guarded && p.first.plus_millis(OUTAGE_MS) <= at;
        let hold = match waiting.as_ref().is_some_and(outlasted) {
            true => Hold::Free,
            false => self.facts.hold(item),
        };
        match hold {
            Hold::Held(guard) => {
                self.track.held = Some(stop(item, &guard, None, place));
                self.wait_guarded(place, item, numbers);
            }
            Hold::Calm => self.wait_guarded(place, item, numbers),
            Hold::Free => self.stop_mailbox(place, item, numbers, clause, probation),
        }
        Note::Counted
    }

    fn shielded(&self, item: &Item, numbers: &Numbers) -> bool {
        !numbers.life_shield.is_never()
            && self.track.alive.is_some_and(|(at, level)| {
                rank(level) <= rank(item.level) && numbers.life_shield.covers(at, item.at())
            })
    }

    /// Waits for confirmation on a later day; the first failure keeps its place.
    fn wait(&mut self, place: usize, item: &Item, numbers: &Numbers, guarded: bool) {
        if self.track.pending.is_none() && !numbers.confirm_within.is_never() {
            self.track.pending = Some(Pending {
                at: item.at(),
                first: item.at(),
                until: numbers.confirm_within.after(item.at()),
                level: item.level,
                guarded,
                item: place,
            });
        }
    }

    /// A failure under a guard confirms nothing: another, on a later day than this, has to.
    fn wait_guarded(&mut self, place: usize, item: &Item, numbers: &Numbers) {
        let first = self.track.pending.take().filter(|p| p.guarded).map(|p| p.first);
        self.wait(place, item, numbers, true);
        if let (Some(first), Some(pending)) = (first, &mut self.track.pending) {
            pending.first = first;
        }
    }

    fn stop_mailbox(
        &mut self,
        place: usize,
        item: &Item,
        numbers: &Numbers,
        clause: String,
        for_good: bool,
    ) {
        if numbers.term.is_never() {
            self.wait(place, item, numbers, false);
            return;
        }
        let at = item.at();
        let until = if for_good { None } else { numbers.term.after(at) };
        let probation = (!numbers.probation.is_never()).then(|| numbers.probation.after(at));
        self.track.held = None;
        self.track.pending = None;
        self.track.strikes.clear();
        self.track.stopped = Some(Stopped {
            stop: Stop { since: at, until, clause, item: place },
            probation_until: probation.flatten().filter(|_| until.is_some()),
            tried: None,
            grace_ms: numbers.try_grace.millis(),
            untried: numbers.untried,
        });
    }

    fn strike(&mut self, place: usize, item: &Item, numbers: &Numbers) -> Note {
        let at = item.at();
        let same = |message: u64, token: u64, day: i64| {
            (item.message != 0 && message == item.message)
                || (item.token != 0 && token == item.token && day == at.day())
        };
        let repeated = self
            .earlier(place)
            .any(|i| i.kind == ItemKind::Failure && same(i.message, i.token, i.at().day()));
        if repeated {
            return Note::SameMail;
        }
        let over = |s: &Stopped| s.stop.until.is_none_or(|until| at < until);
        if numbers.strikes == 0 || self.track.stopped.as_ref().is_some_and(over) {
            return Note::NoChange;
        }
        let strikes = &mut self.track.strikes;
        strikes.retain(|s| numbers.strike_window.covers(s.at, at));
        if strikes.len() >= MAX_STRIKES as usize {
            strikes.remove(0);
        }
        strikes.push(Strike {
            at,
            message: item.message,
            token: item.token,
            level: item.level,
            item: place,
        });
        let mut days: Vec<i64> = strikes.iter().map(|s| s.at.day()).collect();
        days.sort_unstable();
        days.dedup();
        if strikes.len() < numbers.strikes as usize || days.len() < numbers.strike_days as usize {
            return Note::Counted;
        }
        let clause = format!("strikes/{}-on-{}-days", strikes.len(), days.len());
        match self.facts.hold(item) {
            Hold::Held(guard) => self.track.held = Some(stop(item, &guard, None, place)),
            Hold::Calm => {}
            Hold::Free => self.stop_by_strikes(place, item, numbers, clause),
        }
        Note::Counted
    }

    fn stop_by_strikes(&mut self, place: usize, item: &Item, numbers: &Numbers, clause: String) {
        if numbers.strike_term.is_never() {
            return;
        }
        let term = numbers.strike_term.grown(numbers.strike_growth, self.track.rounds);
        self.track.rounds = self.track.rounds.saturating_add(1);
        self.track.strikes.clear();
        self.track.held = None;
        self.track.stopped = Some(Stopped {
            stop: Stop { since: item.at(), until: term.after(item.at()), clause, item: place },
            probation_until: None,
            tried: None,
            grace_ms: 0,
            untried: numbers.untried,
        });
    }

    fn life(&mut self, item: &Item, policy: &Policy) -> Note {
        // Accepted first and bounced later: the delivery of a mail that failed proves nothing.
        let failed =
            |i: &Item| i.kind == ItemKind::Failure && i.message == item.message && i.undone == 0;
        if item.message != 0 && self.items.iter().any(failed) {
            return Note::SameMail;
        }
        let track = &mut self.track;
        let as_good = |level| rank(item.level) <= rank(level);
        if policy.scope_numbers(self.scope).life_clears {
            track.strikes.retain(|s| !as_good(s.level));
            track.pending.take_if(|p| as_good(p.level));
            if track.pending.is_none() && track.strikes.is_empty() {
                track.held = None;
            }
            let at = item.at();
            let probation =
                |s: &Stopped| s.stop.until.is_some_and(|u| at >= u) && s.probation_until.is_some();
            if track.stopped.as_ref().is_some_and(probation) {
                track.stopped = None;
            }
        }
        track.alive = Some((item.at(), item.level));
        Note::Counted
    }

    fn sent(&mut self, item: &Item) -> Note {
        if let Some(stopped) = &mut self.track.stopped
            && stopped.stop.until.is_some_and(|until| item.at() >= until)
            && stopped.tried.is_none()
        {
            stopped.tried = Some(item.at());
            return Note::Counted;
        }
        Note::NoChange
    }
}

fn stop(item: &Item, clause: &str, until: Option<Timestamp>, place: usize) -> Stop {
    Stop { since: item.at(), until, clause: clause.to_string(), item: place }
}
