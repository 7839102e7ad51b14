//! One group commit: duplicates are told apart, the others are folded, made durable, and only then
//! shown to readers and handed to the keeper. Whatever fails before the journal's answer leaves
//! nothing; whatever fails after it no longer concerns the commit.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;

use super::engine::Engine;
use super::inbox::Inbox;
use super::overlay::Overlay;
use super::pending::PendingRows;
use super::rows::StoredDigest;
use super::view::View;
use crate::event::Event;
use crate::ledger::journal::{self, JournalReader};
use crate::ledger::{Committed, Fold, LedgerError};
use crate::lock::{self, lock};

impl Engine {
    /// Waits until not too many rows wait for sled.
    fn wait_for_room(&self) -> Result<(), LedgerError> {
        let inbox = lock(&self.inbox);
        let crowded = |inbox: &mut Inbox| {
            inbox.waiting.octets() > self.options.max_waiting_bytes && self.view().is_ok()
        };
        let waited = self.moved.wait_timeout_while(inbox, self.options.commit_patience, crowded);
        let (inbox, _) = lock::unpoisoned(waited);
        if inbox.waiting.octets() > self.options.max_waiting_bytes {
            return Err(LedgerError::Retryable(
                "the view is too far behind the journal: the disk is slow or full".to_string(),
            ));
        }
        Ok(())
    }

    pub(super) fn commit(&self, batch: &mut [Event]) -> Result<Vec<Committed>, LedgerError> {
        let Some(now) = batch.iter().map(|event| event.received_at).max() else {
            return Ok(Vec::new());
        };
        self.view()?;
        self.wait_for_room()?;
        let free = self.free_at(now);
        if free < self.options.min_free_bytes {
            // Looked at again each time: it must not be a second late to say that space is back.
            self.free.1.store(i64::MIN, Ordering::Relaxed);
            return Err(LedgerError::Full(format!(
                "{free} octets are left below {}, less than {}: free some space",
                self.options.data_dir.display(),
                self.options.min_free_bytes
            )));
        }
        let mut writer = lock(&self.writer);
        let super::engine::Writer { journal, fold } = &mut *writer;
        let (Some(fold), view) = (fold.as_deref_mut(), self.view()?) else {
            return Err(LedgerError::Retryable("the view is being rebuilt".to_string()));
        };
        journal.make_sound().map_err(|e| journal::refused("the journal cannot be opened", &e))?;
        let levels: Vec<_> = batch.iter().map(|event| event.attribution).collect();
        let folding = AssertUnwindSafe(|| {
            fold_batch(&view, &self.reader, &mut *fold, journal.next_seq(), &mut *batch)
        });
        let folded = std::panic::catch_unwind(folding).unwrap_or_else(|_| {
            Err(LedgerError::Retryable("the policy panicked over an event".to_string()))
        });
        let done = folded.and_then(|folded| {
            journal.append(&folded.records)?;
            Ok(folded)
        });
        match done {
            Ok(folded) => {
                if !folded.records.is_empty() {
                    self.hand_over(&view, folded.pending);
                }
                Ok(folded.committed)
            }
            Err(error) => {
                fold.reset();
                // What lifted one to `message-id` may be the event that spoiled the batch.
                for (event, level) in batch.iter_mut().zip(levels) {
                    event.attribution = level;
                }
                Err(self.doubt(&view, error))
            }
        }
    }

    /// What was made durable becomes visible and goes to the keeper.
    pub(super) fn hand_over(&self, view: &View, mut pending: PendingRows) {
        view.publish(&mut pending);
        let mut inbox = lock(&self.inbox);
        if inbox.generation == view.generation && inbox.waiting.push(pending) {
            self.bell.notify_one();
        }
    }
}

/// A batch that only lacks durability.
struct Folded {
    records: journal::Batch,
    pending: PendingRows,
    committed: Vec<Committed>,
}

fn fold_batch(
    view: &View,
    reader: &JournalReader,
    fold: &mut dyn Fold,
    mut next_seq: u64,
    batch: &mut [Event],
) -> Result<Folded, LedgerError> {
    let mut overlay = Overlay::new(view, reader);
    let mut records = journal::Batch::default();
    let mut committed = Vec::with_capacity(batch.len());
    let mut json = Vec::new();
    for place in 0..batch.len() {
        let (ahead, rest) = batch.split_at_mut(place);
        let Some(event) = rest.first_mut() else { break };
        if let Some(StoredDigest { seq, id, .. }) = overlay.repeated(event)? {
            committed.push(Committed { seq, id, duplicate: true, decisions: Vec::new() });
            continue;
        }
        event.seq = next_seq;
        overlay.fold(fold, ahead, event)?;
        json.clear();
        let unfit = |why: String| LedgerError::Retryable(format!("event {}: {why}", event.id));
        serde_json::to_writer(&mut json, &event).map_err(|error| unfit(error.to_string()))?;
        records.push(event.seq, &json).map_err(|error| unfit(error.to_string()))?;
        committed.push(Committed {
            seq: event.seq,
            id: event.id.clone(),
            duplicate: false,
            decisions: event.decisions.clone(),
        });
        next_seq += 1;
    }
    let pending = PendingRows::new(next_seq - 1, overlay.into_changes()?);
    Ok(Folded { records, pending, committed })
}
