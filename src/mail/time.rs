//! Moments in time, as milliseconds since 1970 in UTC, with the two spellings that mail and JSON
//! use. No clock is read here: time always comes from outside.

use jiff::civil;
use jiff::tz::Offset;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

const DAY_MS: i64 = 86_400_000;

impl Timestamp {
    /// From milliseconds since 1970.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The wall clock. tests/layers/main.rs says who may call it.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Whole days since 1970, UTC.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }

    /// This moment and a duration later (earlier when negative).
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// This moment and some days later.
    pub const fn plus_days(self, days: i64) -> Self {
        Self(self.0.saturating_add(days.saturating_mul(DAY_MS)))
    }

    /// Reads RFC 3339: `2026-11-22T10:00:00Z`, with fraction and offset; or a date alone.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        if let (10, Ok(date)) = (text.len(), text.parse::<civil::Date>()) {
            return Self::midnight(date);
        }
        // jiff also reads ISO 8601 without dashes and colons, which RFC 3339 leaves out.
        let looks_right = text.as_bytes().get(13) == Some(&b':')
            && text.as_bytes().get(16) == Some(&b':')
            && text.ends_with(|c: char| c.is_ascii_digit() || matches!(c, 'Z' | 'z'));
        let read = looks_right.then(|| text.parse::<jiff::Timestamp>().ok()).flatten()?;
        Some(Self(read.as_millisecond()))
    }

    /// Midnight UTC of a calendar date, when there is such a date.
    pub fn from_date(year: i64, month: i64, day: i64) -> Option<Self> {
        let year = i16::try_from(year).ok().filter(|year| *year >= 0)?;
        let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        Self::midnight(civil::Date::new(year, month, day).ok()?)
    }

    fn midnight(date: civil::Date) -> Option<Self> {
        let zoned = Offset::UTC.to_timestamp(date.to_datetime(civil::Time::midnight())).ok()?;
        Some(Self(zoned.as_millisecond()))
    }

    /// The calendar and the clock, UTC; the nearest that has four digits of year.
    fn civil(self) -> civil::DateTime {
        let limits = jiff::Timestamp::MIN.as_millisecond()..=jiff::Timestamp::MAX.as_millisecond();
        let millis = self.0.clamp(*limits.start(), *limits.end());
        Offset::UTC.to_datetime(jiff::Timestamp::from_millisecond(millis).unwrap_or_default())
    }

    /// Year, month (1 to 12), day of the month, UTC.
    pub fn date(self) -> (i64, u32, u32) {
        let date = self.civil().date();
        (date.year().into(), date.month().unsigned_abs().into(), date.day().unsigned_abs().into())
    }

    /// Reads an RFC 5322 date (section 3.3, with the obsolete zones of 4.3): `Sun, 22 Nov 2026
    /// 10:00:00 +0100 (CET)`. An unknown zone reads as UTC, as section 4.3 says.
    pub fn parse_rfc5322(text: &str) -> Option<Self> {
        let text = text.split_once(',').map_or(text, |(_, rest)| rest);
        let mut words = text.split_ascii_whitespace();
        let day = digits(words.next()?)?;
        let month = words.next()?.get(..3)?.to_ascii_lowercase();
        let month = MONTHS.iter().position(|m| *m == month)? as i64 + 1;
        let mut year = digits(words.next()?)?;
        if year < 100 {
            year += if year < 50 { 2000 } else { 1900 };
        }
        let mut clock = words.next().unwrap_or("00:00").split(':');
        let (h, m) = (digits(clock.next()?)?, digits(clock.next()?)?);
        let s = clock.next().map_or(Some(0), digits)?;
        let zone = words.next().unwrap_or("+0000");
        let offset = match zone.as_bytes().first()? {
            sign @ (b'+' | b'-') => {
                let n = digits(zone.get(1..)?)?;
                (n / 100 * 60 + n % 100) * if *sign == b'-' { -1 } else { 1 }
            }
            _ => ZONES
                .iter()
                .find(|(name, _)| zone.eq_ignore_ascii_case(name))
                .map_or(0, |(_, hours)| hours * 60),
        };
        if h > 23 || m > 59 || s > 60 || offset.abs() > 24 * 60 {
            return None;
        }
        let midnight = Self::from_date(year, month, day)?;
        Some(midnight.plus_millis(((h * 60 + m - offset) * 60 + s) * 1000))
    }
}

impl std::fmt::Display for Timestamp {
    /// RFC 3339 in UTC, to the millisecond when there is a fraction.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = self.civil();
        write!(f, "{at:.0}")?;
        if at.millisecond() != 0 {
            write!(f, ".{:03}", at.millisecond())?;
        }
        f.write_str("Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse_rfc3339(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{text}` is no RFC 3339 time such as 2026-11-22T10:00:00Z"
            ))
        })
    }
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const ZONES: [(&str, i64); 8] = [
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
];

fn digits(text: &str) -> Option<i64> {
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_reads_and_prints() {
        for (text, printed) in [
            ("2026-11-22T10:00:00Z", Some("2026-11-22T10:00:00Z")),
            ("2026-11-22T10:00:00.5+01:00", Some("2026-11-22T09:00:00.500Z")),
            ("2024-02-29", Some("2024-02-29T00:00:00Z")),
            ("1969-12-31T23:59:59Z", Some("1969-12-31T23:59:59Z")),
            ("2023-02-29", None),
            ("2026-13-01", None),
            ("2026-11-22T25:00:00Z", None),
            ("yesterday", None),
            ("2026-11-22T10:00:00", None),
            ("20261122T100000Z", None),
            ("2026-11-22T10:00:00.123456789Z", Some("2026-11-22T10:00:00.123Z")),
            ("0000-01-01", Some("0000-01-01T00:00:00Z")),
        ] {
            assert_eq!(
                Timestamp::parse_rfc3339(text).map(|t| t.to_string()).as_deref(),
                printed,
                "{text}"
            );
        }
    }

    #[test]
    fn rfc5322_reads_what_mail_carries() {
        for (text, printed) in [
            ("Sun, 22 Nov 2026 10:00:00 +0100", Some("2026-11-22T09:00:00Z")),
            ("22 Nov 26 10:00 EST", Some("2026-11-22T15:00:00Z")),
            ("Sun, 22 Nov 2026 10:00:00 +0100 (CET)", Some("2026-11-22T09:00:00Z")),
            ("Sun, 22 November 2026 10:00:00 GMT", Some("2026-11-22T10:00:00Z")),
            ("soon", None),
        ] {
            assert_eq!(
                Timestamp::parse_rfc5322(text).map(|t| t.to_string()).as_deref(),
                printed,
                "{text}"
            );
        }
    }
}
