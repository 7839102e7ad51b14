//! Says that messages cannot be stored without filling the log, which may be on the same disk: a
//! line when it begins or changes its kind, then a count a minute, and a line when it is over.

use std::mem::{Discriminant, discriminant};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::ledger::LedgerError;
use crate::lock::lock;

/// How often the count is said.
const EVERY: Duration = Duration::from_secs(60);

/// Another error is told no sooner than this after the line before.
const CALM: Duration = Duration::from_secs(1);

/// What is to be logged now.
#[derive(Debug, PartialEq, Eq)]
pub enum Say {
    /// Nothing.
    Nothing,
    /// It begins, or it is another error than before.
    Begins,
    /// So many more were refused since the last line.
    Goes(u64),
    /// A message was stored again; so many were refused since the last line.
    Over(u64),
}

/// The errors of a run of refusals.
#[derive(Debug, Default)]
pub struct Refusals {
    state: Mutex<Option<LastRefusal>>,
}

#[derive(Debug)]
struct LastRefusal {
    kind: Discriminant<LedgerError>,
    said: Instant,
    more: u64,
}

impl Refusals {
    /// A message was refused.
    pub fn refused(&self, error: &LedgerError, now: Instant) -> Say {
        let mut state = lock(&self.state);
        let kind = discriminant(error);
        let since = |state: &LastRefusal| now.saturating_duration_since(state.said);
        // Two errors that take turns are not news each time.
        match state.as_mut().filter(|state| state.kind == kind || since(state) < CALM) {
            None => {
                *state = Some(LastRefusal { kind, said: now, more: 0 });
                Say::Begins
            }
            Some(known) => {
                known.more += 1;
                if now.saturating_duration_since(known.said) < EVERY {
                    return Say::Nothing;
                }
                known.said = now;
                Say::Goes(std::mem::take(&mut known.more))
            }
        }
    }

    /// A message was stored.
    pub fn stored(&self) -> Say {
        let mut state = lock(&self.state);
        state.take().map_or(Say::Nothing, |state| Say::Over(state.more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_change_then_a_count_a_minute() {
        let refusals = Refusals::default();
        let (full, busy) =
            (LedgerError::Full("x".to_string()), LedgerError::Retryable("x".to_string()));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(refusals.stored(), Say::Nothing);
        assert_eq!(refusals.refused(&full, at(0)), Say::Begins);
        for n in 0..1000 {
            assert_eq!(refusals.refused(&full, at(n % 60)), Say::Nothing);
        }
        assert_eq!(refusals.refused(&full, at(60)), Say::Goes(1001));
        assert_eq!(refusals.refused(&full, at(61)), Say::Nothing);
        assert_eq!(refusals.refused(&busy, at(62)), Say::Begins);
        assert_eq!(refusals.refused(&busy, at(63)), Say::Nothing);
        assert_eq!(refusals.stored(), Say::Over(1));
        assert_eq!(refusals.stored(), Say::Nothing);
    }
}
