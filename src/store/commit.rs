//! One group commit: duplicates are told apart, the others are folded, made durable, and only then
//! shown to readers and handed to the keeper. Whatever fails before the journal's answer leaves
//! nothing behind; whatever fails after it no longer concerns the commit.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;

use super::Inner;
use super::keeper::{Group, Mail};
use super::overlay::Overlay;
use super::view::{Changes, View};
use crate::event::Event;
use crate::journal::{self, Reader, lock};
use crate::ledger::{Committed, Fold, LedgerError};

impl Inner {
    /// Waits until not too many rows wait for sled.
    fn wait_for_room(&self) -> Result<(), LedgerError> {
        let mail = lock(&self.mail);
        let crowded =
            |mail: &mut Mail| mail.octets > self.options.max_waiting_bytes && self.view().is_ok();
        let (mail, _) = self
            .moved
            .wait_timeout_while(mail, self.options.commit_patience, crowded)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if mail.octets > self.options.max_waiting_bytes {
            return Err(LedgerError::Retryable(
                "the view is too far behind the journal: the disk is slow or full".to_string(),
            ));
        }
        Ok(())
    }

    pub(super) fn commit(&self, batch: Vec<Event>) -> Result<Vec<Committed>, LedgerError> {
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
        let super::Writer { journal, fold } = &mut *writer;
        let (Some(fold), view) = (fold.as_deref_mut(), self.view()?) else {
            return Err(LedgerError::Retryable("the view is being rebuilt".to_string()));
        };
        journal.make_sound().map_err(|e| journal::refused("the journal cannot be opened", &e))?;
        let folding = AssertUnwindSafe(|| {
            fold_batch(&view, &self.reader, &mut *fold, journal.next_seq(), batch)
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
                self.hand_over(&view, folded.groups);
                Ok(folded.committed)
            }
            Err(error) => {
                fold.reset();
                Err(self.doubt(&view, error))
            }
        }
    }

    /// What was made durable becomes visible and goes to the keeper.
    fn hand_over(&self, view: &View, groups: Vec<Group>) {
        for group in &groups {
            view.publish(group.seq, &group.changes);
        }
        let mut mail = lock(&self.mail);
        if mail.generation == view.generation {
            mail.octets += groups.iter().map(Group::octets).sum::<usize>();
            mail.groups.extend(groups);
            self.bell.notify_one();
        }
    }
}

/// A batch that only lacks durability.
struct Folded {
    records: journal::Batch,
    groups: Vec<Group>,
    committed: Vec<Committed>,
}

fn fold_batch(
    view: &View,
    reader: &Reader,
    fold: &mut dyn Fold,
    mut next_seq: u64,
    batch: Vec<Event>,
) -> Result<Folded, LedgerError> {
    let mut overlay = Overlay::new(view, reader);
    let mut folded =
        Folded { records: journal::Batch::default(), groups: Vec::new(), committed: Vec::new() };
    let mut json = Vec::new();
    for mut event in batch {
        if let Some(seen) = overlay.repeated(&event)? {
            let decisions = Vec::new();
            let (seq, id) = (seen.seq, seen.id);
            folded.committed.push(Committed { seq, id, duplicate: true, decisions });
            continue;
        }
        event.seq = next_seq;
        let changes: Changes = overlay.fold(fold, &mut event)?;
        json.clear();
        let unfit = |why: String| LedgerError::Retryable(format!("event {}: {why}", event.id));
        serde_json::to_writer(&mut json, &event).map_err(|error| unfit(error.to_string()))?;
        folded.records.push(event.seq, &json).map_err(|error| unfit(error.to_string()))?;
        folded.groups.push(Group { seq: event.seq, changes });
        folded.committed.push(Committed {
            seq: event.seq,
            id: event.id.clone(),
            duplicate: false,
            decisions: event.decisions.clone(),
        });
        overlay.keep(event);
        next_seq += 1;
    }
    Ok(folded)
}
