//! Moments in time, as milliseconds since 1970 in UTC, with the two spellings that mail and JSON
//! use. No clock is read here: time always comes from outside.

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

    /// The wall clock. Only `serve/`, `cli.rs` and `main.rs` may call it (tests/floors.rs).
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
        let bytes = text.as_bytes();
        let date = text.get(..10)?;
        let mut parts = date.splitn(3, '-');
        let (y, m, d) = (parts.next()?, parts.next()?, parts.next()?);
        let days = days_from_civil(digits(y)?, digits(m)?, digits(d)?)?;
        if bytes.len() == 10 {
            return Some(Self(days * DAY_MS));
        }
        if !matches!(bytes.get(10)?, b'T' | b't' | b' ') {
            return None;
        }
        let (h, min, s) =
            (digits(text.get(11..13)?)?, digits(text.get(14..16)?)?, digits(text.get(17..19)?)?);
        if bytes.get(13) != Some(&b':')
            || bytes.get(16) != Some(&b':')
            || h > 23
            || min > 59
            || s > 60
        {
            return None;
        }
        let mut rest = text.get(19..)?;
        let mut millis = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let n = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let kept = fraction.get(..n.min(3))?;
            millis = digits(kept)? * [100, 10, 1][kept.len() - 1];
            rest = fraction.get(n..)?;
        }
        let offset = match rest {
            "Z" | "z" => 0,
            _ => {
                let sign = match rest.as_bytes().first()? {
                    b'+' => 1,
                    b'-' => -1,
                    _ => return None,
                };
                if rest.len() != 6 || rest.as_bytes().get(3) != Some(&b':') {
                    return None;
                }
                sign * (digits(rest.get(1..3)?)? * 60 + digits(rest.get(4..6)?)?)
            }
        };
        Some(Self(days * DAY_MS + ((h * 60 + min - offset) * 60 + s) * 1000 + millis))
    }

    /// Midnight UTC of a calendar date, when there is such a date.
    pub fn from_date(year: i64, month: i64, day: i64) -> Option<Self> {
        Some(Self(days_from_civil(year, month, day)? * DAY_MS))
    }

    /// Year, month (1 to 12), day of the month, UTC.
    pub fn date(self) -> (i64, u32, u32) {
        civil_from_days(self.day())
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
        Some(Self(
            days_from_civil(year, month, day)? * DAY_MS + ((h * 60 + m - offset) * 60 + s) * 1000,
        ))
    }
}

impl std::fmt::Display for Timestamp {
    /// RFC 3339 in UTC, to the millisecond when there is a fraction.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = self.date();
        let ms = self.0.rem_euclid(DAY_MS);
        let (h, m, s, frac) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}")?;
        if frac != 0 {
            write!(f, ".{frac:03}")?;
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

/// Days since 1970 of a Gregorian date; None when there is no such date.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || day < 1 {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if day > length[usize::try_from(month - 1).ok()?] {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
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
