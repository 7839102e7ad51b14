//! One journal record as one line: `CRC32C(8 hex) SP length SP seq SP JSON LF`.
//!
//! The CRC covers everything after it up to the end of the JSON. The length frames the record;
//! the line end (JSON has no raw LF) is where reading starts again after damage. Knows nothing of
//! files, nor of what the JSON says.

use std::io::Write;
use std::ops::Range;

/// Longest JSON of one record, in octets. ParsedRecord fields are bounded far below it.
pub const MAX_RECORD: usize = 1 << 20;

/// Longest text in front of the JSON: CRC, length (7 digits), seq (20 digits), three spaces.
const MAX_HEADER: usize = 8 + 1 + 7 + 1 + 20 + 1;

/// Longest line.
pub(super) const MAX_LINE: usize = MAX_HEADER + MAX_RECORD + 1;

/// Why a record cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Over [`MAX_RECORD`].
    #[error(
        "the record has {0} octets, the journal takes {MAX_RECORD}: shorten its diagnostics first"
    )]
    TooLong(usize),
    /// It would break the framing.
    #[error("the record has a raw line end: write it as JSON without line breaks")]
    RawLineEnd,
}

/// Appends one record to `out`. Nothing is written when it is unfit.
pub fn push(out: &mut Vec<u8>, seq: u64, json: &[u8]) -> Result<(), Unfit> {
    if json.len() > MAX_RECORD {
        return Err(Unfit::TooLong(json.len()));
    }
    if memchr::memchr(b'\n', json).is_some() {
        return Err(Unfit::RawLineEnd);
    }
    let start = out.len();
    out.extend_from_slice(b"00000000 ");
    write!(out, "{} {seq} ", json.len()).expect("a Vec takes every write");
    out.extend_from_slice(json);
    let crc = crc32c::crc32c(&out[start + 9..]);
    out[start..start + 8].copy_from_slice(format!("{crc:08x}").as_bytes());
    out.push(b'\n');
    Ok(())
}

/// What is at the beginning of some octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ParsedRecord {
    /// A record; `json` is its place in the octets, `used` the octets up to the next record.
    Record { seq: u64, json: Range<usize>, used: usize },
    /// No record. Reading goes on after `used` octets.
    Damage {
        /// Octets to skip.
        used: usize,
        /// They look like a whole record that was changed later (a line end, no NUL), not like
        /// one that was never written completely.
        whole: bool,
    },
    /// Undecided; more octets are needed.
    More,
}

/// Reads one record. `last`: no octets follow those given.
pub(super) fn parse(octets: &[u8], last: bool) -> ParsedRecord {
    let Some((crc, length, seq, header)) = parse_header(octets) else {
        if octets.len() < MAX_HEADER && !last && memchr::memchr(b'\n', octets).is_none() {
            return ParsedRecord::More;
        }
        return damage(octets, last);
    };
    let end = header + length;
    if octets.len() <= end && !last {
        return ParsedRecord::More;
    }
    match octets.get(9..end) {
        // The line end itself need not be right: it is not covered by the CRC, the length is.
        Some(covered) if octets.len() > end && crc32c::crc32c(covered) == crc => {
            ParsedRecord::Record { seq, json: header..end, used: end + 1 }
        }
        _ => damage(octets, last),
    }
}

/// CRC, length, seq and where the JSON begins.
fn parse_header(octets: &[u8]) -> Option<(u32, usize, u64, usize)> {
    let crc = std::str::from_utf8(octets.get(..8)?).ok()?;
    let crc = u32::from_str_radix(crc, 16).ok()?;
    if octets.get(8) != Some(&b' ') {
        return None;
    }
    let (length, at) = parse_number(octets, 9)?;
    let (seq, at) = parse_number(octets, at)?;
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_RECORD)?;
    Some((crc, length, seq, at))
}

/// Where the JSON is in a line that was framed just now.
pub(super) fn json_in(octets: &[u8]) -> Option<Range<usize>> {
    let (_, length, _, begin) = parse_header(octets)?;
    Some(begin..begin + length)
}

/// A decimal number that ends in a space, and the place after that.
fn parse_number(octets: &[u8], at: usize) -> Option<(u64, usize)> {
    let rest = octets.get(at..)?;
    let digits = rest.iter().take(21).position(|octet| *octet == b' ')?;
    let number = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    Some((number, at + digits + 1))
}

/// Skips to the next line.
fn damage(octets: &[u8], last: bool) -> ParsedRecord {
    match memchr::memchr(b'\n', octets) {
        Some(at) => {
            let whole = memchr::memchr(0, &octets[..at]).is_none();
            ParsedRecord::Damage { used: at + 1, whole }
        }
        None if last || octets.len() > MAX_LINE => {
            ParsedRecord::Damage { used: octets.len(), whole: false }
        }
        None => ParsedRecord::More,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64, json: &str) -> Vec<u8> {
        let mut out = Vec::new();
        push(&mut out, seq, json.as_bytes()).expect("fit");
        out
    }

    #[test]
    fn a_record_is_a_readable_line() {
        // CRC by an independent implementation of CRC32C (Castagnoli).
        assert_eq!(line(7, "{\"a\":1}"), b"9933573b 7 7 {\"a\":1}\n");
        assert_eq!(push(&mut Vec::new(), 1, b"{\n}"), Err(Unfit::RawLineEnd));
        let long = vec![b' '; MAX_RECORD + 1];
        assert_eq!(push(&mut Vec::new(), 1, &long), Err(Unfit::TooLong(MAX_RECORD + 1)));
    }

    #[test]
    fn parse_reads_records_and_finds_its_way_behind_damage() {
        let good = line(7, "{\"a\":1}");
        let n = good.len();
        let record = ParsedRecord::Record { seq: 7, json: 13..20, used: n };
        let twice = [good.clone(), good.clone()].concat();
        let with = |at: usize, octet: u8| {
            let mut changed = twice.clone();
            changed[at] = octet;
            changed
        };
        let whole = ParsedRecord::Damage { used: n, whole: true };
        for (octets, last, expected, why) in [
            (good.clone(), true, record.clone(), "one record"),
            (twice.clone(), false, record.clone(), "two records"),
            (with(n - 1, b'x'), true, record.clone(), "only the line end is wrong"),
            (with(15, b'b'), true, whole.clone(), "JSON changed"),
            (with(2, b'0'), true, whole.clone(), "CRC changed"),
            (with(9, b'9'), true, whole.clone(), "length changed"),
            (with(11, b'8'), true, whole, "seq changed"),
            (with(15, 0), true, ParsedRecord::Damage { used: n, whole: false }, "never written"),
            (
                with(15, b'\n'),
                true,
                ParsedRecord::Damage { used: 16, whole: true },
                "a new line end",
            ),
            (
                good[..n - 1].to_vec(),
                true,
                ParsedRecord::Damage { used: n - 1, whole: false },
                "torn",
            ),
            (good[..n - 1].to_vec(), false, ParsedRecord::More, "not all here"),
            (good[..4].to_vec(), false, ParsedRecord::More, "not all here"),
            (b"\n".to_vec(), false, ParsedRecord::Damage { used: 1, whole: true }, "an empty line"),
        ] {
            assert_eq!(parse(&octets, last), expected, "{why}");
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let good = line(7, "{\"a\":1}");
        for at in 0..(good.len() - 1) * 8 {
            let mut changed = good.clone();
            changed[at / 8] ^= 1 << (at % 8);
            match parse(&changed, true) {
                ParsedRecord::Damage { .. } => {}
                // Upper-case hex digits mean the same.
                ParsedRecord::Record { seq: 7, .. } if changed[at / 8].is_ascii_uppercase() => {}
                other => panic!("bit {at}: {other:?}"),
            }
        }
    }
}
