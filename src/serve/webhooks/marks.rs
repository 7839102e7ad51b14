//! Way-points in the journal: ids of records that an endpoint was told of. A position is a number, and
//! numbers are used again when the end of a journal is lost (a failover, a restore): by its ids a
//! cursor finds the last record that both histories have.
//!
//! The newest [`DENSE`] records each have one; further back they are ever further apart, two at most
//! for each doubling of the distance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// So many records before the cursor each have a mark.
pub const DENSE: u64 = 32;

/// Ids of records, by position.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Marks(BTreeMap<u64, String>);

impl Marks {
    /// Takes more records in, and thins those that are far from `through`, the last.
    pub fn go_on(&mut self, records: Vec<(u64, String)>, through: u64) {
        self.0.extend(records);
        self.0.retain(|seq, _| *seq <= through);
        // Ascending: the first of a doubling is its oldest, which is kept, and so is its newest.
        let mut newest: BTreeMap<u32, u64> = BTreeMap::new();
        let doubling = |seq: u64| (through - seq).max(1).ilog2();
        newest.extend(self.0.keys().map(|seq| (doubling(*seq), *seq)));
        let mut last = None;
        self.0.retain(|seq, _| {
            let is_oldest = last.replace(doubling(*seq)) != Some(doubling(*seq));
            through - seq < DENSE || is_oldest || newest.get(&doubling(*seq)) == Some(seq)
        });
    }

    /// The last position up to which a journal is the one that the marks are of: `id_at` says which
    /// record is at a position, None when none can be read there. 0: not even the first mark
    /// is there. The end: it is the same journal.
    pub fn common<E>(
        &self,
        mut id_at: impl FnMut(u64) -> Result<Option<String>, E>,
        newest: u64,
    ) -> Result<Common, E> {
        let mut common = 0;
        for (seq, id) in &self.0 {
            if *seq > newest {
                return Ok(Common::Until(common));
            }
            match id_at(*seq)? {
                Some(found) if found != *id => return Ok(Common::Until(common)),
                Some(_) => common = *seq,
                // Too old, or damaged: it says nothing.
                None => {}
            }
        }
        Ok(Common::Whole)
    }
}

/// How far a journal is the one that marks are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Common {
    /// All marks are in it.
    Whole,
    /// Up to this position, and not up to the next mark.
    Until(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(history: u64, seq: u64) -> String {
        format!("{history}-{seq}")
    }

    /// Marks after a walk to `end`, in steps as large as the endpoint's writes may be.
    fn walked(end: u64, step: u64) -> Marks {
        let (mut marks, mut at) = (Marks::default(), 0);
        while at < end {
            at = (at + step).min(end);
            let new = at.saturating_sub(DENSE - 1).max(1)..=at;
            marks.go_on(new.map(|seq| (seq, id(1, seq))).collect(), at);
        }
        marks
    }

    #[test]
    fn the_last_common_record_is_found_and_little_is_kept() {
        for (end, step) in [(1, 1), (40, 1), (100_000, 7), (100_000, 1_000), (1_000_000, 997)] {
            let marks = walked(end, step);
            assert!(marks.0.len() <= DENSE as usize + 2 * 20, "{} of {end}", marks.0.len());
            let same = |seq| Ok::<_, ()>(Some(id(1, seq)));
            assert_eq!(marks.common(same, end), Ok(Common::Whole));
            for lost in [1, 2, 20, 31, 33, 500, 9_000, 70_000, 900_000] {
                let Some(whole) = end.checked_sub(lost) else { continue };
                let other = |seq| Ok::<_, ()>(Some(id(1 + u64::from(seq > whole), seq)));
                // The numbers are used again, or not yet.
                for newest in [end + 5, whole] {
                    let Ok(Common::Until(found)) = marks.common(other, newest) else {
                        panic!("{lost} of {end} were lost and nobody saw it")
                    };
                    assert!(found <= whole, "{found} is after {whole}");
                    let exact = lost < DENSE || step == 1 && end <= DENSE;
                    assert!(!exact || found == whole, "{lost} of {end}: {found}");
                    // It goes back by about as much as was lost, or by the size of a step.
                    let most = 3 * lost + 2 * step + DENSE;
                    assert!(whole - found <= most, "{lost} of {end} by {step}: back to {found}");
                }
            }
            // Nothing of it is the same; or nothing can be read, which is no proof.
            let other = |seq| Ok::<_, ()>(Some(id(2, seq)));
            assert_eq!(marks.common(other, end), Ok(Common::Until(0)));
            assert_eq!(marks.common(|_| Ok::<_, ()>(None), end), Ok(Common::Whole));
        }
    }
}
