//! Lengths of time as a policy spells them: `"14d"`, `"36h"`, `"forever"`, and `"0"` for never.
//!
//! Promises: what is printed reads back; arithmetic saturates; `forever` plus anything is without
//! end.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::mail::Timestamp;

/// A length of time in whole milliseconds, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(i64);

const UNITS: [(&str, i64); 5] =
    [("w", 7 * 86_400_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

/// Longest finite term: about a hundred years, so that adding terms cannot overflow.
const LONGEST_MS: i64 = 36_525 * 86_400_000;

impl Term {
    /// Never, or at once: each key says which.
    pub const NEVER: Self = Self(0);
    /// Without end.
    pub const FOREVER: Self = Self(i64::MAX);

    /// Some days.
    pub const fn days(days: u32) -> Self {
        Self(days as i64 * 86_400_000)
    }

    /// Some hours.
    pub const fn hours(hours: u32) -> Self {
        Self(hours as i64 * 3_600_000)
    }

    /// `"0"`.
    pub const fn is_never(self) -> bool {
        self.0 == 0
    }

    /// `"forever"`.
    pub const fn is_forever(self) -> bool {
        self.0 == i64::MAX
    }

    /// Milliseconds; `i64::MAX` when without end.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This long after a moment; None when there is no end.
    pub fn after(self, start: Timestamp) -> Option<Timestamp> {
        (!self.is_forever()).then(|| start.plus_millis(self.0))
    }

    /// Does `later` lie at most this long after `earlier`?
    pub fn covers(self, earlier: Timestamp, later: Timestamp) -> bool {
        self.is_forever() || later.millis().saturating_sub(earlier.millis()) <= self.0
    }

    /// This term, grown by `factor` as often as `times` says; a term beyond a hundred years is
    /// without end.
    pub fn grown(self, factor: u32, times: u32) -> Self {
        let mut millis = self.0;
        for _ in 0..times.min(64) {
            millis = millis.saturating_mul(i64::from(factor.max(1)));
        }
        if millis > LONGEST_MS { Self::FOREVER } else { Self(millis) }
    }

    /// Reads `14d`, `36h`, `30m`, `90s`, `2w`, `0` and `forever`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no length of time; write such as \"14d\", \"36h\", \"0\" or \"forever\""
            )
        };
        let text = text.trim();
        match text {
            "forever" => return Ok(Self::FOREVER),
            "0" => return Ok(Self::NEVER),
            _ => {}
        }
        for (unit, millis) in UNITS {
            if let Some(number) = text.strip_suffix(unit) {
                let number: i64 = number.trim().parse().map_err(|_| wrong())?;
                return number
                    .checked_mul(millis)
                    .filter(|ms| (0..=LONGEST_MS).contains(ms))
                    .map(Self)
                    .ok_or_else(wrong);
            }
        }
        Err(wrong())
    }
}

impl std::fmt::Display for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_forever() {
            return f.write_str("forever");
        }
        if self.is_never() {
            return f.write_str("0");
        }
        // Weeks are read but printed as days: people compare terms in days.
        for (unit, millis) in &UNITS[1..] {
            if self.0 % millis == 0 {
                return write!(f, "{}{unit}", self.0 / millis);
            }
        }
        write!(f, "{}s", self.0 / 1000)
    }
}

impl Serialize for Term {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Term;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a length of time such as \"14d\", \"36h\", \"0\" or \"forever\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Term, E> {
                Term::parse(text).map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Term, E> {
                // `0` without quotes is what people write for "never".
                Term::parse(&number.to_string()).map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Term, E> {
                Term::parse(&number.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_read_and_print() {
        for (text, printed) in [
            ("14d", Some("14d")),
            ("2w", Some("14d")),
            ("36h", Some("36h")),
            ("48h", Some("2d")),
            ("90s", Some("90s")),
            ("0", Some("0")),
            ("0d", Some("0")),
            ("forever", Some("forever")),
            ("14", None),
            ("-1d", None),
            ("99999999999999d", None),
            ("soon", None),
        ] {
            assert_eq!(Term::parse(text).ok().map(|t| t.to_string()).as_deref(), printed, "{text}");
        }
    }

    #[test]
    fn growth_doubles_and_ends_in_forever() {
        let month = Term::days(30);
        for (times, printed) in
            [(0, "30d"), (1, "60d"), (3, "240d"), (11, "forever"), (u32::MAX, "forever")]
        {
            assert_eq!(month.grown(2, times).to_string(), printed, "{times}");
        }
        assert_eq!(month.grown(1, 9), month);
        assert_eq!(Term::FOREVER.grown(2, 1), Term::FOREVER);
        assert_eq!(Term::FOREVER.after(Timestamp::default()), None);
    }
}
