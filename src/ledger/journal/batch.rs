//! The records of one append, framed as they are in the file.

use super::record::{self, Unfit};

/// Records of one batch, framed for the file.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) octets: Vec<u8>,
    /// `(seq, offset in octets)`
    pub(super) places: Vec<(u64, u64)>,
}

impl Batch {
    /// Adds one record; nothing is added when it is unfit.
    pub fn push(&mut self, seq: u64, json: &[u8]) -> Result<(), Unfit> {
        let offset = self.octets.len() as u64;
        record::push(&mut self.octets, seq, json)?;
        self.places.push((seq, offset));
        Ok(())
    }

    /// Positions and JSON, in order.
    pub fn records(&self) -> impl Iterator<Item = (u64, &str)> {
        self.places.iter().filter_map(|(seq, offset)| {
            let line = self.octets.get(usize::try_from(*offset).ok()?..)?;
            let json = record::json_in(line)?;
            Some((*seq, std::str::from_utf8(line.get(json)?).ok()?))
        })
    }

    /// There is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}
