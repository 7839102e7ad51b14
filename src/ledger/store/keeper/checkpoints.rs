//! Writing a checkpoint, and removing what it makes superfluous.

use std::io;
use std::sync::Arc;

use sled::IVec;

use super::super::inbox::ROWS_AT_ONCE;
use super::super::overlay::read_event;
use super::super::pace::Pace;
use super::super::rows::is_dead;
use super::Keeper;
use crate::ledger::journal::{self, Checkpoint, CheckpointWriter};
use crate::ledger::{LedgerError, private};
use crate::lock::lock;
use crate::mail::Timestamp;

/// Superfluous rows removed at one checkpoint, at most.
const SWEPT_AT_ONCE: usize = 200_000;

/// Segments removed at one checkpoint, at most: should the clock jump years ahead, the journal is
/// not gone at once.
const SEGMENTS_AT_ONCE: usize = 4;

impl Keeper<'_> {
    /// Time of the newest event that is folded; before all time when there is none.
    pub(super) fn last_event_at(&self) -> Timestamp {
        let event = read_event(&self.engine.reader, self.meta.position).ok().flatten();
        event.map_or(Timestamp::from_millis(i64::MIN), |event| event.received_at)
    }

    /// Writes a checkpoint and removes what it makes superfluous; true when no superfluous row is
    /// left. With a pace it gives way to others.
    pub(super) fn checkpoint(
        &mut self,
        now: Timestamp,
        mut pace: Option<Pace<'_>>,
    ) -> Result<bool, LedgerError> {
        let disk = &self.engine.disk;
        let failed = |error: io::Error| journal::refused("no checkpoint", &error);
        // Two clocks must agree before something is forgotten.
        let now = now.min(self.last_event_at());
        let first_seq = self.engine.first_seq();
        let (mut superfluous, mut dead): (Vec<IVec>, usize) = (Vec::new(), 0);
        let mut writer =
            CheckpointWriter::create(Arc::clone(disk), self.meta.position).map_err(failed)?;
        let found = self.view.walk(&mut |key, value| {
            if let Some(pace) = &mut pace {
                pace.count();
            }
            if is_dead(key, value, now, first_seq) {
                dead += 1;
                if superfluous.len() < SWEPT_AT_ONCE {
                    superfluous.push(IVec::from(key));
                }
                return Ok(());
            }
            writer.push(key, value).map_err(failed)
        })?;
        if (found.count, found.sum) != (self.meta.count, self.meta.sum) {
            return Err(LedgerError::Corrupt(format!(
                "sled has {} rows, {} were written, or they differ",
                found.count, self.meta.count
            )));
        }
        writer.finish().map_err(failed)?;
        tracing::info!(position = self.meta.position, rows = found.count, "checkpoint written");
        self.view.flush()?;
        let _ = private::close_to_others(&self.engine.options.data_dir.join("view"));
        let kept = journal::keep_newest(disk.as_ref(), 2).map_err(failed)?;
        if let [_, older] = kept[..] {
            self.remove_segments(now, older)?;
        }
        for keys in superfluous.chunks(ROWS_AT_ONCE) {
            if let Some(renewal) = &mut self.renewal {
                renewal.will_change(keys.iter());
            }
            let rows = keys.iter().map(|key| (key.clone(), None)).collect();
            self.view.apply(&rows, &mut self.meta, true)?;
        }
        Ok(dead <= SWEPT_AT_ONCE)
    }

    /// One fresh checkpoint in the place of all others. It is read back before they go.
    pub(super) fn renew_checkpoint(&mut self, missing: usize) -> Result<bool, LedgerError> {
        let failed = |error: io::Error| journal::refused("no checkpoint", &error);
        let disk = &self.engine.disk;
        if missing > 0 {
            return Err(LedgerError::Full(format!(
                "{missing} commits wait for the view because the disk is nearly full: free some space"
            )));
        }
        let exact = self.checkpoint(self.last_event_at(), Some(Pace::new(self.engine)))?;
        let mut written = Checkpoint::open(disk.as_ref(), self.meta.position).map_err(failed)?;
        let mut pace = Pace::new(self.engine);
        while written.next_rows().map_err(failed)?.is_some() {
            pace.rest();
        }
        journal::keep_newest(disk.as_ref(), 1).map_err(failed)?;
        tracing::info!(position = self.meta.position, "older checkpoints removed");
        Ok(exact)
    }

    /// Old segments go, once the older of two checkpoints covers them: should the newer one
    /// turn out to be damaged, the older one and the journal are still everything.
    fn remove_segments(&self, now: Timestamp, checkpoint: u64) -> Result<(), LedgerError> {
        let keep = i64::try_from(self.engine.options.keep.as_millis()).unwrap_or(i64::MAX);
        let horizon = now.millis().saturating_sub(keep);
        let mut through = 0;
        for next in self.engine.reader.segment_starts().into_iter().skip(1).take(SEGMENTS_AT_ONCE) {
            let event = read_event(&self.engine.reader, next)?;
            let old = event.is_some_and(|event| event.received_at.millis() < horizon);
            if !old || next > checkpoint + 1 {
                break;
            }
            through = next - 1;
        }
        if through > 0 {
            let removed = lock(&self.engine.writer).journal.remove_through(through);
            let removed = removed.map_err(|error| journal::refused("old segments stay", &error))?;
            tracing::info!(segments = removed, through, "old journal segments removed");
        }
        Ok(())
    }
}
