//! Says what fails again and again without filling the log, which may be on the same disk: a line
//! when it begins or changes its kind, then a count a minute, and a line when it is over.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::ledger::lock::lock;

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
    /// It failed so many more times since the last line.
    Goes(u64),
    /// It works again; it failed so many times since the last line.
    Over(u64),
}

/// One thing that may fail in a row, with errors of several kinds.
#[derive(Debug)]
pub struct Repeated<K> {
    state: Mutex<Option<LastFailure<K>>>,
}

impl<K> Default for Repeated<K> {
    fn default() -> Self {
        Self { state: Mutex::new(None) }
    }
}

#[derive(Debug)]
struct LastFailure<K> {
    kind: K,
    said: Instant,
    more: u64,
}

impl<K: PartialEq> Repeated<K> {
    /// It failed.
    pub fn failed(&self, kind: K, now: Instant) -> Say {
        let mut state = lock(&self.state);
        let since = |state: &LastFailure<K>| now.saturating_duration_since(state.said);
        // Two errors that take turns are not news each time.
        match state.as_mut().filter(|state| state.kind == kind || since(state) < CALM) {
            None => {
                *state = Some(LastFailure { kind, said: now, more: 0 });
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

    /// It worked.
    pub fn worked(&self) -> Say {
        let mut state = lock(&self.state);
        state.take().map_or(Say::Nothing, |state| Say::Over(state.more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_change_then_a_count_a_minute() {
        let writes = Repeated::default();
        let (full, busy) = ("full", "busy");
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(writes.worked(), Say::Nothing);
        assert_eq!(writes.failed(full, at(0)), Say::Begins);
        for n in 0..1000 {
            assert_eq!(writes.failed(full, at(n % 60)), Say::Nothing);
        }
        assert_eq!(writes.failed(full, at(60)), Say::Goes(1001));
        assert_eq!(writes.failed(full, at(61)), Say::Nothing);
        assert_eq!(writes.failed(busy, at(62)), Say::Begins);
        assert_eq!(writes.failed(busy, at(63)), Say::Nothing);
        assert_eq!(writes.worked(), Say::Over(1));
        assert_eq!(writes.worked(), Say::Nothing);
    }
}
