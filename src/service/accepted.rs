//! When the records of a journal were accepted, read from their lines. Records are in the order in
//! which they were accepted, so a moment is found by halving.

use std::ops::Range;

use serde::Deserialize;

use crate::mail::Timestamp;

/// When the record of a line was accepted; None when it cannot be read.
pub(super) fn accepted_at(line: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Accepted {
        received_at: Timestamp,
    }
    serde_json::from_str::<Accepted>(line).ok().map(|line| line.received_at)
}

/// The first of some positions whose record was accepted at a moment or later; the end of the range
/// when there is none. `read` gives the record at a position or, when it is gone, the next one.
pub(super) fn first_since<E>(
    positions: Range<u64>,
    moment: Timestamp,
    mut read: impl FnMut(u64) -> Result<Vec<(u64, String)>, E>,
) -> Result<u64, E> {
    let (mut low, mut high) = (positions.start, positions.end);
    while low < high {
        let middle = low + (high - low) / 2;
        match read(middle)?.first().and_then(|(seq, line)| Some((*seq, accepted_at(line)?))) {
            Some((seq, at)) if at < moment => low = seq + 1,
            // A record that cannot be read, or that comes after a gap, counts as later.
            _ => high = middle,
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record_since_a_moment_is_found_where_old_ones_are_gone() {
        // The journal begins at 5; a record a day.
        let line =
            |seq| format!("{{\"seq\":{seq},\"received_at\":\"2026-11-{seq:02}T00:00:00Z\"}}");
        let read = |from: u64| -> Result<Vec<(u64, String)>, ()> {
            Ok((from.max(5)..=20).take(1).map(|seq| (seq, line(seq))).collect())
        };
        let day = |text: &str| Timestamp::parse_rfc3339(text).expect("a day");
        for (since, first) in [
            ("2026-11-01", 1),
            ("2026-11-05", 1),
            ("2026-11-06", 6),
            ("2026-11-20", 20),
            ("2026-11-21", 21),
        ] {
            assert_eq!(first_since(1..21, day(since), read), Ok(first), "{since}");
        }
        assert_eq!(first_since(1..1, day("2026-11-01"), read), Ok(1));
    }
}
