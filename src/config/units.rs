//! Numbers with units as people write them: `"5m"`, `"30d"`, `"10MiB"`, `"25MB"`.

use std::time::Duration;

const DURATIONS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

/// A decimal unit means powers of 1000, a binary one powers of 1024, as IEC 80000-13 has it.
const SIZES: [(&str, u64); 8] = [
    ("b", 1),
    ("kb", 1000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Reads a whole number with one unit of `ms`, `s`, `m`, `h`, `d`, `w`. None: it is not such a
/// text, or more than a hundred years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    const CENTURY_MS: u64 = 100 * 366 * 86_400_000;
    let millis = number_with_unit(text, &DURATIONS)?;
    (millis <= CENTURY_MS).then(|| Duration::from_millis(millis))
}

/// Whether it is written as a duration, however long.
pub(super) fn is_duration(text: &str) -> bool {
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < text.len() && DURATIONS.iter().any(|(name, _)| *name == unit.trim_start())
}

/// Reads a whole number of octets with one unit of `B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`,
/// `TiB`, in any case.
pub fn parse_size(text: &str) -> Option<u64> {
    number_with_unit(&text.to_ascii_lowercase(), &SIZES)
}

/// A size in the largest binary unit that divides it.
pub fn print_size(octets: u64) -> String {
    for (unit, size) in [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if octets >= size && octets.is_multiple_of(size) {
            return format!("{}{unit}", octets / size);
        }
    }
    format!("{octets}B")
}

fn number_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let unit = unit.trim_start();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("5m", Some(300)),
            ("1h", Some(3600)),
            ("30d", Some(2_592_000)),
            ("2w", Some(1_209_600)),
            ("5 m", Some(300)),
            // No unit, no number, a fraction, a month: each has more than one meaning or none.
            ("5", None),
            ("m", None),
            ("", None),
            ("1.5h", None),
            ("-5m", None),
            ("5M", None),
            ("3mo", None),
            ("99999999999999999999d", None),
            ("36601d", None),
        ] {
            assert_eq!(parse_duration(text).map(|d| d.as_secs()), seconds, "{text}");
            let is_written_so = seconds.is_some() || text.len() > 5 && text.ends_with('d');
            assert_eq!(is_duration(text), is_written_so, "{text}");
        }
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
    }

    #[test]
    fn sizes() {
        for (text, octets) in [
            ("10MiB", Some(10_485_760)),
            ("25MB", Some(25_000_000)),
            ("1gib", Some(1_073_741_824)),
            ("512 KiB", Some(524_288)),
            ("100B", Some(100)),
            ("2TiB", Some(2_199_023_255_552)),
            ("10", None),
            ("10M", None),
            ("MiB", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(parse_size(text), octets, "{text}");
        }
        for (octets, text) in [(1024, "1KiB"), (10 << 20, "10MiB"), (1000, "1000B"), (0, "0B")] {
            assert_eq!(print_size(octets), text);
        }
    }
}
