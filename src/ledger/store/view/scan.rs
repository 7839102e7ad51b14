//! Reading many rows of the view at once: scans, pages and the history of an address.

use std::collections::HashSet;
use std::ops::Bound;

use sled::IVec;

use super::super::pending::Changes;
use super::super::rows::{self, key_in, layered, unseal};
use super::super::space;
use super::{View, damaged_row, guarded};
use crate::ledger::lock;
use crate::ledger::{LedgerError, Page, Row};

/// Rows that are copied from the upper layer while its lock is held.
const COPIED_AT_ONCE: usize = 256;

impl View {
    /// Rows with a prefix after a key, in order. No lock outlasts [`COPIED_AT_ONCE`] rows: a commit
    /// waits to publish, and every lookup after it.
    pub(in crate::ledger::store) fn scan(
        &self,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, LedgerError> {
        let (mut rows, mut after) = (Vec::new(), after.to_vec());
        loop {
            let room = limit - rows.len();
            // Copied before sled is asked: what moves down in between is seen at least once.
            let (above, end) = self.above_after(prefix, &after, room.clamp(1, COPIED_AT_ONCE));
            let upper = above.iter().map(|(key, value)| (&key[..], value.as_deref()));
            let lower =
                |after: &[u8], limit: usize| self.stored_rows(prefix, after, end.as_deref(), limit);
            rows.extend(self.note(layered(upper, &lower, &after, room))?);
            match end {
                Some(end) if rows.len() < limit => after = end.to_vec(),
                _ => return Ok(rows),
            }
        }
    }

    /// Changes above with a prefix after a key; and the last of them, when there may be more.
    fn above_after(&self, prefix: &[u8], after: &[u8], limit: usize) -> (Changes, Option<IVec>) {
        let above = lock::read(&self.above);
        let range = above.range::<[u8], _>((from(prefix, after), Bound::Unbounded));
        let found: Changes = range
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, (_, value))| (key.clone(), value.clone()))
            .collect();
        let end = found.last().filter(|_| found.len() == limit).map(|(key, _)| key.clone());
        (found, end)
    }

    /// Rows in sled and checkpoint with a prefix after a key, up to another.
    fn stored_rows(
        &self,
        prefix: &[u8],
        after: &[u8],
        through: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, LedgerError> {
        let (mut rows, mut after) = (Vec::new(), after.to_vec());
        loop {
            let room = limit - rows.len();
            let (changes, end) = self.changes_after(prefix, &after, through, room)?;
            let upper = changes.iter().map(|(key, value)| (&key[..], value.as_deref()));
            let to = end.as_deref().or(through);
            let lower = |after: &[u8], limit: usize| match &self.checkpoint {
                Some(below) => {
                    below.scan(prefix, after, to, limit).map_err(|error| self.unreadable(error))
                }
                None => Ok(Vec::new()),
            };
            rows.extend(layered(upper, &lower, &after, room)?);
            match end {
                Some(end) if rows.len() < limit => after = end.to_vec(),
                _ => return Ok(rows),
            }
        }
    }

    /// Changes in sled with a prefix after a key, up to another; and the last of them, when there may
    /// be more.
    fn changes_after(
        &self,
        prefix: &[u8],
        after: &[u8],
        through: Option<&[u8]>,
        limit: usize,
    ) -> Result<(Changes, Option<IVec>), LedgerError> {
        let mut found = Changes::new();
        let Some(db) = &self.db else { return Ok((found, None)) };
        let mut range = db.range::<&[u8], _>((from(prefix, after), Bound::Unbounded));
        let limit = limit.clamp(1, COPIED_AT_ONCE);
        while let Some((key, sealed)) = guarded(|| range.next().transpose())?
            && key.starts_with(prefix)
            && through.is_none_or(|end| &key[..] <= end)
        {
            let value = unseal(&key, &sealed).ok_or_else(damaged_row)?.map(IVec::from);
            found.push((key, value));
            if found.len() == limit {
                let end = found.last().map(|(key, _)| key.clone());
                return Ok((found, end));
            }
        }
        Ok((found, None))
    }

    /// Positions of the newest events of an address, newest first.
    pub(in crate::ledger::store) fn history(
        &self,
        address: &str,
        limit: usize,
    ) -> Result<Vec<u64>, LedgerError> {
        let prefix = rows::history_prefix(address);
        let mut removed: HashSet<u64> = HashSet::new();
        let mut seqs: Vec<u64> = Vec::new();
        {
            let above = lock::read(&self.above);
            let mut end = prefix.clone();
            end.extend_from_slice(&[0xff; 9]);
            let range =
                above.range::<[u8], _>((Bound::Included(&prefix[..]), Bound::Included(&end[..])));
            for (key, (_, value)) in range.rev() {
                match (rows::history_seq(key), value) {
                    (Some(seq), None) => drop(removed.insert(seq)),
                    (Some(seq), Some(_)) if seqs.len() < limit => seqs.push(seq),
                    _ => {}
                }
            }
        }
        let mut range = self.db.as_ref().map(|db| db.scan_prefix(&prefix));
        let enough = seqs.len() + limit;
        while let Some(range) = range.as_mut().filter(|_| seqs.len() < enough) {
            let Some((key, sealed)) = self.note(guarded(|| range.next_back().transpose()))? else {
                break;
            };
            match (rows::history_seq(&key), unseal(&key, &sealed)) {
                (Some(seq), Some(Some(_))) if !removed.contains(&seq) => seqs.push(seq),
                (Some(seq), Some(None)) => drop(removed.insert(seq)),
                (_, Some(_)) => {}
                (_, None) => return self.note(Err(damaged_row())),
            }
        }
        // All of it is older than what changed since.
        if let Some(below) = self.checkpoint.as_ref().filter(|_| seqs.len() < enough) {
            let keys = below
                .last_keys(&prefix, limit + removed.len())
                .map_err(|error| self.unreadable(error));
            let keys = self.note(keys)?;
            let older = keys.iter().filter_map(|key| rows::history_seq(key));
            seqs.extend(older.filter(|seq| !removed.contains(seq)));
        }
        seqs.sort_unstable_by(|a, b| b.cmp(a));
        seqs.dedup();
        seqs.truncate(limit);
        Ok(seqs)
    }

    /// A page of the fold's rows.
    pub(in crate::ledger::store) fn page(
        &self,
        prefix: &[u8],
        cursor: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, LedgerError> {
        let limit = limit.max(1);
        let after = key_in(space::FOLD, cursor.unwrap_or_default());
        let mut rows = self.scan(&key_in(space::FOLD, prefix), &after, limit)?;
        for (key, _) in &mut rows {
            key.remove(0);
        }
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.0.clone());
        Ok(Page { rows, next })
    }
}

/// Where a scan begins: at the prefix, or after a key.
fn from<'a>(prefix: &'a [u8], after: &'a [u8]) -> Bound<&'a [u8]> {
    if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    use super::super::super::pending::{PendingRows, change};
    use super::super::super::rows::Meta;

    /// More changes above than are copied at once, many of them removals; every page size.
    #[test]
    fn a_scan_in_pieces_sees_both_layers() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let view = View::open(dir.path(), 1 << 20, 1).expect("opens");
        let row = |n: usize, value: &[u8]| {
            change(format!("r{n:05}").into_bytes(), Some(value.to_vec())).expect("short")
        };
        let below: HashMap<_, _> = (0..1500).map(|n| row(n, b"below")).collect();
        view.apply(&below, &mut Meta::default(), None).expect("sled takes it");
        // Every second is changed above; of those in the middle nothing is left.
        let changed = (0..2000).step_by(2).map(|n| match n {
            300..1200 => (row(n, b"").0, None),
            n => row(n, b"above"),
        });
        view.publish(&mut PendingRows { seq: 1, place: 0, changes: changed.collect() });
        let wanted: Vec<Row> = (0..2000)
            .filter(|n| *n < 1500 || n % 2 == 0)
            .filter(|n| n % 2 == 1 || !(300..1200).contains(n))
            .map(|n| {
                let value: &[u8] = if n % 2 == 0 { b"above" } else { b"below" };
                (format!("r{n:05}").into_bytes(), value.to_vec())
            })
            .collect();
        for limit in [1, 7, COPIED_AT_ONCE, COPIED_AT_ONCE + 1, 1000, 5000] {
            let (mut found, mut after) = (Vec::new(), Vec::new());
            loop {
                let page = view.scan(b"r", &after, limit).expect("sound");
                assert!(page.len() <= limit);
                let Some((last, _)) = page.last() else { break };
                after.clone_from(last);
                let whole = page.len() == limit;
                found.extend(page);
                if !whole {
                    break;
                }
            }
            assert!(found == wanted, "in pages of {limit}: {} rows", found.len());
        }
    }
}
