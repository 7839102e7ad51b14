//! The clock that policy goes by: when the wall clock jumps by more than a day, time follows the
//! monotonic clock until an operator agrees, so that nothing expires (or comes back) in bulk
//! because of a wrong clock.
//!
//! Pure: both clocks, and what the run before knew, come from outside. `serve` stamps records and
//! asks for standings with what [`Clock::now`] gives.
//!
//! | wall clock against what is expected | time that counts |
//! |---|---|
//! | within a day | the wall clock |
//! | at a start, up to [`AWAY`] ahead, when nobody measured how long we were away | the wall clock |
//! | further ahead or behind | what is expected: last good time and what the monotonic clock counted |
//! | the same, and an operator agreed | the wall clock |

use std::time::Duration;

use crate::mail::Timestamp;

/// A jump by more than this wants an operator.
pub const JUMP: Duration = Duration::from_secs(86_400);

/// So long a machine may have been off without anybody being asked: less than the shortest term of
/// a suppression in the default policy.
pub const AWAY: Duration = Duration::from_secs(7 * 86_400);

/// What a start expects of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The moment that it should be now, or at least.
    pub at: Timestamp,
    /// The machine counted the time until now; else `at` is the last moment that somebody wrote
    /// down.
    pub measured: bool,
}

/// Guards against jumps of the wall clock.
#[derive(Debug, Clone)]
pub struct Clock {
    good: Timestamp,
    at: Duration,
    agreed: bool,
    jump_ms: i64,
}

impl Clock {
    /// Starts; `expected` is None on the first start of all. `monotonic` counts from any zero.
    pub fn start(wall: Timestamp, monotonic: Duration, expected: Option<Expected>) -> Self {
        let ordinary = |e: &Expected| {
            let ahead = wall.millis().saturating_sub(e.at.millis());
            !e.measured && (0..=AWAY.as_millis() as i64).contains(&ahead)
        };
        let mut clock = Self {
            good: expected.map_or(wall, |e| e.at),
            at: monotonic,
            agreed: expected.as_ref().is_some_and(ordinary),
            jump_ms: 0,
        };
        clock.now(wall, monotonic);
        clock
    }

    /// The time that counts.
    pub fn now(&mut self, wall: Timestamp, monotonic: Duration) -> Timestamp {
        let passed = monotonic.saturating_sub(self.at);
        let passed_ms = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let expected = self.good.plus_millis(passed_ms);
        let jump = wall.millis().saturating_sub(expected.millis());
        if jump.unsigned_abs() > JUMP.as_millis() as u64 && !self.agreed {
            self.jump_ms = jump;
            return expected;
        }
        self.agreed = false;
        self.jump_ms = 0;
        self.good = wall;
        self.at = monotonic;
        wall
    }

    /// What is wrong, as a sentence; None when the clock is believed.
    pub fn trouble(&self) -> Option<String> {
        (self.jump_ms != 0).then(|| {
            let (hours, way) = (self.jump_ms.abs() / 3_600_000, self.jump_ms.signum());
            format!(
                "the wall clock is {hours} hours {} what is expected, so nothing expires and \
                 records bear the expected time: look at `date -u`; when it is right, `bounced \
                 accept-clock`",
                if way > 0 { "ahead of" } else { "behind" }
            )
        })
    }

    /// An operator agrees with the wall clock as it is at the next question.
    pub fn agree(&mut self) {
        self.agreed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600;

    #[test]
    fn a_jump_by_more_than_a_day_waits_for_an_operator() {
        let start = Timestamp::from_millis(1_000 * 86_400_000);
        let hours = |n: i64| start.plus_millis(n * 3_600_000);
        for (wall, expected) in [
            (1, 1),
            // Summer time, a dead battery that NTP mended: less than a day.
            (24, 24),
            (-20, -20),
            (400 * 24, 1),
            (-48, 1),
        ] {
            let mut clock = Clock::start(start, Duration::ZERO, None);
            let now = clock.now(hours(wall), Duration::from_secs(HOUR));
            assert_eq!(now, hours(expected), "{wall}");
            assert_eq!(clock.trouble().is_some(), wall != expected, "{wall}");
            clock.agree();
            assert_eq!(clock.now(hours(wall), Duration::from_secs(HOUR)), hours(wall));
            assert_eq!(clock.trouble(), None);
            // Agreement is for one jump.
            let again = clock.now(hours(wall + 1_000), Duration::from_secs(HOUR));
            assert_eq!(again, hours(wall));
        }
    }

    #[test]
    fn a_restart_under_a_wrong_clock_is_a_jump_too() {
        let at = Timestamp::from_millis(1_000 * 86_400_000);
        for (hours, measured, believed) in [
            (1, true, true),
            (-23, true, true),
            (48, true, false),
            (-48, true, false),
            // The machine was off for a weekend, for six days, for months.
            (48, false, true),
            (144, false, true),
            (24 * 60, false, false),
            (24 * 400, false, false),
            // Nobody is away for less than no time.
            (-1, false, true),
            (-48, false, false),
        ] {
            let wall = at.plus_millis(hours * 3_600_000);
            let expected = Some(Expected { at, measured });
            let mut clock = Clock::start(wall, Duration::from_secs(5), expected);
            assert_eq!(clock.trouble().is_none(), believed, "{hours} {measured}");
            let now = clock.now(wall.plus_millis(1_000), Duration::from_secs(6));
            let from = if believed { wall } else { at };
            assert_eq!(now, from.plus_millis(1_000), "{hours} {measured}");
        }
    }

    #[test]
    fn a_clock_that_returns_is_believed_again() {
        let start = Timestamp::from_millis(0);
        let mut clock = Clock::start(start, Duration::ZERO, None);
        clock.now(start.plus_days(3), Duration::from_secs(60));
        assert!(clock.trouble().is_some());
        let back = start.plus_millis(120_000);
        assert_eq!(clock.now(back, Duration::from_secs(120)), back);
        assert_eq!(clock.trouble(), None);
    }
}
