//! Writing a checkpoint, putting the view on it, and removing what it makes superfluous.
//!
//! | step | an error or a crash leaves |
//! |---|---|
//! | the checkpoint is written, synced and named | the view on the old one, which stays until the end |
//! | the next generation, without changes, is flushed | two generations with the same rows: the newer one is used |
//! | the two are exchanged, the old one is removed | the same, or one |
//! | older checkpoints and segments are removed | done |

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::cluster::Cluster;
use super::super::engine::{Engine, ViewState};
use super::super::lists::Sum;
use super::super::overlay::read_event;
use super::super::pace::Pace;
use super::super::rebuild;
use super::super::rows::{Meta, is_dead};
use super::super::view::View;
use super::Keeper;
use crate::ledger::LedgerError;
use crate::ledger::journal::{self, Checkpoint, CheckpointWriter};
use crate::ledger::lock::lock;
use crate::ledger::remembered::{self, NEWEST};
use crate::mail::Timestamp;

/// Segments removed at one checkpoint, at most: should the clock jump years ahead, the journal is
/// not gone at once.
const SEGMENTS_AT_ONCE: usize = 4;

/// Rows between two looks whether the service stops.
const LOOK: u64 = 1024;

/// How long readers of the old view may take to end.
const READERS: Duration = Duration::from_secs(30);

impl Keeper<'_> {
    /// Time of the newest event that is folded; before all time when there is none.
    pub(super) fn last_event_at(&self) -> Timestamp {
        let event = read_event(&self.engine.reader, self.meta.position).ok().flatten();
        event.map_or(Timestamp::from_millis(i64::MIN), |event| event.received_at)
    }

    /// Writes a checkpoint, puts the view on it, and removes what that makes superfluous: all but the
    /// newest two checkpoints, and old segments. With `alone` it replaces all others, is read back before
    /// they go, and gives way to mail and lookups.
    pub(super) fn checkpoint(&mut self, now: Timestamp, alone: bool) -> Result<(), LedgerError> {
        let engine = self.engine;
        if self.view.is_in_memory() {
            let why = "no checkpoint: the view is in memory until there is space on the disk";
            return Err(LedgerError::Full(why.to_string()));
        }
        // Two clocks must agree before something is forgotten.
        let now = now.min(self.last_event_at());
        let unchanged = self.meta.base == self.meta.position && self.meta.count == 0;
        if unchanged && (!alone || self.meta.position == 0) {
            return Ok(());
        }
        if let Some(sum) = self.write_checkpoint(now, alone.then(|| Pace::new(engine)))? {
            self.know(sum);
        }
        let position = self.meta.position;
        let begun = rebuild::begin(engine, position).and_then(|(view, meta)| {
            if alone && let Err(error) = read_back(engine, &view) {
                let generation = view.generation;
                drop(view);
                rebuild::remove(engine, &[generation]);
                return Err(error);
            }
            Ok((view, meta))
        });
        let (view, meta) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                // The view stays on the old one; were this one left, that might be removed next.
                if position != self.meta.base {
                    let _ = journal::drop_checkpoint(engine.disk.as_ref(), position);
                }
                return Err(error);
            }
        };
        self.exchange(view, meta);
        remembered::write_if_possible(engine.disk.as_ref(), NEWEST, position);
        let failed = |error: io::Error| journal::refused("old checkpoints stay", &error);
        let keep = if alone { 1 } else { 2 };
        let kept = journal::keep_newest(engine.disk.as_ref(), position, keep).map_err(failed)?;
        match kept[..] {
            [_, older] => self.remove_segments(now, older),
            _ => Ok(()),
        }
    }

    /// Gives what the list adds up to, on a node among others.
    fn write_checkpoint(
        &self,
        now: Timestamp,
        mut pace: Option<Pace<'_>>,
    ) -> Result<Option<Sum>, LedgerError> {
        let failed = |error: io::Error| journal::refused("no checkpoint", &error);
        let first_seq = self.engine.first_seq();
        let (position, disk) = (self.meta.position, Arc::clone(&self.engine.disk));
        let about = self.view.checkpoint().map_or(0, Checkpoint::rows) + self.meta.count;
        let mut writer = CheckpointWriter::create(disk, position, about).map_err(failed)?;
        let (mut rows, mut seen) = (0u64, 0u64);
        let mut sum = self.engine.cluster.is_some().then(Sum::default);
        let found = self.view.walk(&mut |key, value| {
            seen += 1;
            if seen.is_multiple_of(LOOK) {
                go_on(self.engine)?;
            }
            if let Some(pace) = &mut pace {
                pace.count();
            }
            if is_dead(key, value, now, first_seq) {
                return Ok(());
            }
            if let Some(sum) = &mut sum {
                sum.change(key, None, Some(value));
            }
            rows += 1;
            writer.push(key, value).map_err(failed)
        })?;
        if (found.count, found.sum) != (self.meta.count, self.meta.sum) {
            return Err(LedgerError::Corrupt(format!(
                "sled has {} changes, {} were written, or they differ",
                found.count, self.meta.count
            )));
        }
        writer.finish().map_err(failed)?;
        tracing::info!(position, rows, changes = found.count, "checkpoint written");
        Ok(sum)
    }

    /// Adds up the rows of the list, for a node among others, unless something waits for the keeper.
    pub(super) fn add_up(&mut self) -> Result<(), LedgerError> {
        if self.engine.cluster.is_none() || self.view.is_in_memory() {
            return Ok(());
        }
        let crowded = self.engine.options.max_waiting_bytes / 2;
        let (mut seen, mut sum) = (0u64, Sum::default());
        let walked = self.view.walk(&mut |key, value| {
            seen += 1;
            if seen.is_multiple_of(LOOK) {
                go_on(self.engine)?;
                if lock(&self.engine.inbox).waiting.octets() > crowded {
                    return Err(LedgerError::Retryable("commits wait".to_string()));
                }
            }
            sum.change(key, None, Some(value));
            Ok(())
        });
        if walked.is_ok() {
            self.know(sum);
        }
        // The next checkpoint adds them up.
        self.survive(walked.map(drop))
    }

    /// What the list adds up to, as it was read.
    fn know(&mut self, sum: Sum) {
        self.sum = Some(sum);
        self.tell();
    }

    /// What the list adds up to, for the others.
    pub(super) fn tell(&self) {
        if let (Some(cluster), Some(sum)) = (&self.engine.cluster, self.sum) {
            cluster.note_list(self.meta.position, sum);
        }
    }

    /// Puts a view with the same rows in the place of this one.
    fn exchange(&mut self, view: View, meta: Meta) {
        let view = Arc::new(view);
        let old = {
            // No commit may publish into the old view from here on.
            let _writer = lock(&self.engine.writer);
            view.take_above(&self.view);
            lock(&self.engine.inbox).generation = view.generation;
            self.engine.set_view_state(ViewState::Ready(Arc::clone(&view)));
            std::mem::replace(&mut self.view, view)
        };
        self.meta = meta;
        old.give_up();
        retire(self.engine, old);
    }

    /// Old segments go, once the older of two checkpoints covers them: should the newer one
    /// turn out to be damaged, the older one and the journal are still everything. The copy of a shared
    /// journal reaches back as far as that does: what is folded of old records is the same on all nodes.
    fn remove_segments(&self, now: Timestamp, checkpoint: u64) -> Result<(), LedgerError> {
        let keep = i64::try_from(self.engine.options.keep.as_millis()).unwrap_or(i64::MAX);
        let horizon = now.millis().saturating_sub(keep);
        let shared = self.engine.cluster.as_ref().map(Cluster::first);
        let mut through = 0;
        for next in self.engine.reader.segment_starts().into_iter().skip(1).take(SEGMENTS_AT_ONCE) {
            let old = match shared {
                Some(first) => next <= first,
                None => read_event(&self.engine.reader, next)?
                    .is_some_and(|event| event.received_at.millis() < horizon),
            };
            if !old || next > checkpoint + 1 {
                break;
            }
            through = next - 1;
        }
        if through > 0 {
            let removed = lock(&self.engine.writer).segments.remove_through(through);
            let removed = removed.map_err(|error| journal::refused("old segments stay", &error))?;
            tracing::info!(segments = removed, through, "old journal segments removed");
        }
        Ok(())
    }
}

/// A stop does not wait for a checkpoint: it is written after the next start.
fn go_on(engine: &Engine) -> Result<(), LedgerError> {
    let inbox = lock(&engine.inbox);
    if inbox.stop || !inbox.settles.is_empty() {
        return Err(LedgerError::Retryable("the service is stopping".to_string()));
    }
    Ok(())
}

/// Reads the checkpoint of a new view, in short pieces. What is damaged there is no damage of the view
/// that serves.
fn read_back(engine: &Engine, view: &View) -> Result<(), LedgerError> {
    let mut pace = Pace::new(engine);
    let mut between = || {
        pace.rest();
        go_on(engine).is_ok()
    };
    let whole = view.check(&mut between);
    go_on(engine)?;
    whole.map_err(|error| LedgerError::Retryable(format!("the new checkpoint: {error}")))
}

/// Ends a view that nobody is to use any more, and removes its files.
fn retire(engine: &Engine, mut old: Arc<View>) {
    let generation = old.generation;
    let until = Instant::now() + READERS;
    let alone = loop {
        match Arc::try_unwrap(old) {
            Ok(view) => break Some(view),
            Err(shared) if Instant::now() < until => old = shared,
            Err(_) => break None,
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    drop(alone);
    rebuild::remove(engine, &[generation]);
}
