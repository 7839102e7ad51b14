//! The clock that policy is asked with: when the wall clock jumps by more than a day, time stands
//! on the monotonic clock until an operator agrees, so that nothing expires (or comes back) in bulk
//! because of a wrong clock.
//!
//! Pure: both clocks come from outside. `serve` stamps records and asks for standings with what
//! [`Clock::now`] gives.
//!
//! | wall clock against the monotonic one | time that counts |
//! |---|---|
//! | within a day | the wall clock |
//! | more than a day ahead or behind | last good time plus what the monotonic clock counted |
//! | the same, and an operator agreed | the wall clock |

use std::time::Duration;

use crate::mail::Timestamp;

/// A jump by more than this wants an operator.
pub const JUMP: Duration = Duration::from_secs(86_400);

/// Guards against jumps of the wall clock.
#[derive(Debug, Clone)]
pub struct Clock {
    good: Timestamp,
    at: Duration,
    agreed: bool,
    jump_ms: i64,
}

impl Clock {
    /// Starts. `last` is the latest moment that is known to have been: the last record, or a
    /// heartbeat where one is kept; None on the first start. `monotonic` counts from any zero.
    pub fn start(wall: Timestamp, monotonic: Duration, last: Option<Timestamp>) -> Self {
        let mut clock =
            Self { good: last.unwrap_or(wall), at: monotonic, agreed: false, jump_ms: 0 };
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
            format!(
                "the wall clock jumped by {} hours; nothing expires until you agree: check the \
                 clock, then accept it",
                self.jump_ms / 3_600_000
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
        let last = Timestamp::from_millis(1_000 * 86_400_000);
        let mut clock = Clock::start(last.plus_days(400), Duration::from_secs(5), Some(last));
        assert!(clock.trouble().is_some());
        assert_eq!(clock.now(last.plus_days(400), Duration::from_secs(6)), last.plus_millis(1_000));
        let clock = Clock::start(last.plus_millis(3_600_000), Duration::ZERO, Some(last));
        assert_eq!(clock.trouble(), None);
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
