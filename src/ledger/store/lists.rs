//! What a node tells the others of its list: a sum over all rows of the fold, at positions that they
//! have, too. Nodes that tell another sum of one position have made different lists of one journal.
//!
//! The keeper adds the rows up once after a start, and again with each checkpoint, which reads them all.
//! In between it takes the old row off and adds the new one, whatever changes: a sum costs a beat nothing.
//!
//! | position | why |
//! |---|---|
//! | the newest | nodes without load are all there |
//! | the last multiple of [`NEAR`] | of a few events a second it stands long enough to be told by all |
//! | the last multiple of [`FAR`] | the same, of thousands a second |
//!
//! Rows of engine and history are not in it: how far back they reach differs. Carrying out an erasure
//! changes rows without a record, on each node at its own time: meanwhile nothing is told, and sums are
//! compared only between nodes that have carried out the same erasures.

use super::rows::{seal, share};
use super::space;
use crate::ledger::order::ListAt;

/// A commit ends for the keeper at each multiple of it.
pub(super) const NEAR: u64 = if cfg!(test) { 10 } else { 1_000 };

/// A multiple of [`NEAR`].
const FAR: u64 = 100 * NEAR;

/// The sum; it does not depend on the order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum(u64);

impl Sum {
    /// One row becomes another; None: it is not there.
    pub(super) fn change(&mut self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        let of =
            |value: Option<&[u8]>| value.map_or(0, |value| share(key, &seal(key, Some(value))));
        if key.first() == Some(&space::FOLD) {
            self.0 = self.0.wrapping_sub(of(old)).wrapping_add(of(new));
        }
    }
}

/// What is told.
#[derive(Default)]
pub(super) struct Lists {
    newest: Option<ListAt>,
    near: Option<ListAt>,
    far: Option<ListAt>,
    is_erasing: bool,
}

impl Lists {
    /// The list as of a position, on a node that carried out the erasures up to `erased`.
    pub(super) fn note(&mut self, seq: u64, erased: u64, Sum(sum): Sum) {
        if self.is_erasing {
            return;
        }
        let at = Some(ListAt { seq, erased, sum });
        self.newest = at;
        if seq.is_multiple_of(NEAR) {
            self.near = at;
        }
        if seq.is_multiple_of(FAR) {
            self.far = at;
        }
    }

    /// From here on rows change for an erasure.
    pub(super) fn begin_erasure(&mut self) {
        *self = Self { is_erasing: true, ..Self::default() };
    }

    /// It is carried out.
    pub(super) fn end_erasure(&mut self) {
        self.is_erasing = false;
    }

    /// Each once.
    pub(super) fn told(&self) -> Vec<ListAt> {
        let mut told: Vec<ListAt> =
            [self.newest, self.near, self.far].into_iter().flatten().collect();
        told.dedup();
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_rows_that_are_left() {
        let (one, two) = (&b"rone"[..], &b"rtwo"[..]);
        let mut way = Sum::default();
        way.change(one, None, Some(b"1"));
        way.change(two, None, Some(b"2"));
        way.change(one, Some(b"1"), Some(b"3"));
        let mut rows = Sum::default();
        rows.change(two, None, Some(b"2"));
        assert_ne!(way, rows);
        rows.change(one, None, Some(b"3"));
        assert_eq!(way, rows);
        // Values are not exchanged, a row without octets is one, and history does not count.
        let mut other = Sum::default();
        other.change(one, None, Some(b"2"));
        other.change(two, None, Some(b"3"));
        assert_ne!(way, other);
        let mut empty = rows;
        empty.change(b"rthree", None, Some(b""));
        assert_ne!(empty, rows);
        way.change(b"ione", None, Some(b"1"));
        assert_eq!(way, rows);
    }

    #[test]
    fn nothing_is_told_while_rows_change_for_an_erasure() {
        let mut lists = Lists::default();
        let told = |lists: &Lists| lists.told().iter().map(|at| at.seq).collect::<Vec<_>>();
        for seq in [FAR, FAR + NEAR, FAR + NEAR + 7] {
            lists.note(seq, 0, Sum(seq));
        }
        assert_eq!(told(&lists), [FAR + NEAR + 7, FAR + NEAR, FAR]);
        lists.begin_erasure();
        lists.note(2 * FAR, 0, Sum(1));
        assert!(told(&lists).is_empty());
        lists.end_erasure();
        lists.note(2 * FAR, 5, Sum(2));
        assert_eq!(lists.told(), [ListAt { seq: 2 * FAR, erased: 5, sum: 2 }]);
    }
}
