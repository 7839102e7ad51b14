//! Moments as people type them, on the command line and in queries: `2026-12-31`,
//! `2026-12-31T10:00:00Z`, `30d`.

use crate::config::parse_duration;
use crate::mail::Timestamp;

/// Which way a duration counts from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `until=30d`: in 30 days.
    Ahead,
    /// `since=30d`: 30 days ago.
    Back,
}

/// Reads a date, an RFC 3339 time, or a duration that counts from `now`.
pub fn moment(text: &str, now: Timestamp, direction: Direction) -> Result<Timestamp, String> {
    if let Some(duration) = parse_duration(text) {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        return Ok(now.plus_millis(if direction == Direction::Ahead { millis } else { -millis }));
    }
    Timestamp::parse_rfc3339(text).ok_or_else(|| {
        format!(
            "\"{text}\" is no moment, write a date (2026-12-31), a time (2026-12-31T10:00:00Z) or \
             a duration (30d)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let now = Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").expect("a time");
        for (text, ahead, back) in [
            ("30d", Some("2026-12-22T10:00:00Z"), Some("2026-10-23T10:00:00Z")),
            ("90s", Some("2026-11-22T10:01:30Z"), Some("2026-11-22T09:58:30Z")),
            ("2026-12-31", Some("2026-12-31T00:00:00Z"), Some("2026-12-31T00:00:00Z")),
            (
                "2026-12-31T10:00:00+01:00",
                Some("2026-12-31T09:00:00Z"),
                Some("2026-12-31T09:00:00Z"),
            ),
            ("tomorrow", None, None),
            ("2026-02-30", None, None),
            ("", None, None),
        ] {
            let read = |direction| moment(text, now, direction).ok().map(|t| t.to_string());
            assert_eq!(read(Direction::Ahead).as_deref(), ahead, "{text}");
            assert_eq!(read(Direction::Back).as_deref(), back, "{text}");
        }
    }
}
