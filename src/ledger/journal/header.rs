//! The first line of a segment: which journal it belongs to, which position it begins with, and
//! which segment was before it when it was begun. So a file that does not fit is known without
//! trust in names.
//!
//! It is framed like a record, at position 0, which no record has. Segments of releases before it
//! have none; those are read by their names and by the positions of their records.

use std::io;

use serde::{Deserialize, Serialize};

use super::disk::DiskFile;
use super::record::{self, ParsedRecord};

/// Octets looked at for a header: far more than one has.
const LOOKED_AT: usize = 1024;

/// What a segment says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// Names the journal, the same in all of its segments.
    pub(super) journal: String,
    /// Names this segment.
    pub(super) id: String,
    /// Position of its first record; the file bears it as its name.
    pub(super) first: u64,
    /// [`Header::id`] of the segment before it; empty when there was none.
    pub(super) after: String,
}

/// What a segment without a header is called by the one that follows it.
pub(super) fn unnamed(first_seq: u64) -> String {
    format!("unnamed-{first_seq}")
}

impl Header {
    /// The header of a new segment. `journal` is None for the first one of a journal.
    pub(super) fn new(journal: Option<String>, first: u64, after: String) -> io::Result<Self> {
        let journal = match journal {
            Some(journal) => journal,
            None => name()?,
        };
        Ok(Self { journal, id: name()?, first, after })
    }

    /// The line as it is in the file.
    pub(super) fn line(&self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let json = serde_json::to_vec(self)?;
        record::push(&mut line, 0, &json).map_err(io::Error::other)?;
        Ok(line)
    }

    /// Reads the header of a file and its length in octets; None when the file begins otherwise.
    pub(super) fn read(file: &dyn DiskFile) -> io::Result<Option<(Self, u64)>> {
        let mut octets = [0; LOOKED_AT];
        let mut got = 0;
        while let Some(rest) = octets.get_mut(got..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, got as u64)? {
                0 => break,
                n => got += n,
            }
        }
        let octets = octets.get(..got).unwrap_or_default();
        Ok(match record::parse(octets, true) {
            ParsedRecord::Record { seq: 0, json, used } => {
                let header = octets.get(json).and_then(|json| serde_json::from_slice(json).ok());
                header.map(|header| (header, used as u64))
            }
            _ => None,
        })
    }
}

/// 64 random bits: two histories that share their past differ by them.
fn name() -> io::Result<String> {
    let mut random = [0u8; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(name_of(u64::from_be_bytes(random)))
}

/// A name as headers have it.
pub(super) fn name_of(number: u64) -> String {
    data_encoding::HEXLOWER.encode(&number.to_be_bytes())
}

/// The number of a name; None when it is none of ours.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let octets = data_encoding::HEXLOWER.decode(name.as_bytes()).ok()?;
    Some(u64::from_be_bytes(octets.try_into().ok()?))
}
