//! Taking something out of everything that is stored, while mail and lookups go on: rows that name
//! it are rewritten, one fresh checkpoint replaces all, the view is built anew from it beside the one
//! that serves, because a log-structured store keeps what was removed from it, and journal segments
//! are rewritten.
//!
//! The order makes it safe to be killed at any moment, and to do it again. The caller's event has
//! taken the person's own rows out already, so the checkpoint is clean; older ones go only when it
//! was read back. The journal comes last: then every record that is rewritten is covered by that
//! checkpoint and the view, and is folded again only if both are lost.

use std::sync::mpsc::{Receiver, sync_channel};

use super::engine::Engine;
use super::pace::Pace;
use super::pending::{PendingRows, change};
use super::rows::key_in;
use super::space;
use crate::ledger::journal;
use crate::ledger::lock::lock;
use crate::ledger::{EditRow, LedgerError, Redact};

/// Rows looked at before others may go on.
const ROWS_AT_ONCE: usize = 256;

impl Engine {
    /// See [`crate::ledger::Ledger::redact`].
    pub(super) fn redact(&self, redact: Redact<'_>) -> Result<u64, LedgerError> {
        let failed = |error| journal::refused("the journal cannot be rewritten", &error);
        if let Some(cluster) = &self.cluster {
            cluster.begin_erasing();
        }
        let last = self.redact_rows(redact.row)?;
        lock(&self.writer).segments.seal().map_err(failed)?;
        let sealed = self.reader.segment_starts();
        let (answer, answered) = sync_channel(1);
        lock(&self.inbox).renewals.push((last, answer));
        self.answered(&answered)?;
        let (mut changed, mut pace) = (0, Pace::new(self));
        let mut line = |seq, json: &str| {
            let new = (redact.line)(seq, json);
            pace.count();
            new
        };
        for first_seq in sealed {
            if let Some(new) = self.reader.rewrite(first_seq, &mut line).map_err(failed)? {
                changed += new.changed;
                lock(&self.writer).segments.put_in_place(new).map_err(failed)?;
            }
        }
        Ok(changed)
    }

    /// Rewrites rows of the fold, in pieces. A row is edited under the lock of the writer, so that
    /// no commit works on an older version of it. Gives the place in the order of all commits up to
    /// which the view must be for the edits, and all events before them, to be in it.
    fn redact_rows(&self, edit: EditRow<'_>) -> Result<u64, LedgerError> {
        let prefix = [space::FOLD];
        let (mut after, mut pace) = (prefix.to_vec(), Pace::new(self));
        loop {
            let view = self.view()?;
            let rows = self.ask(&view, |view| view.scan(&prefix, &after, ROWS_AT_ONCE))?;
            let Some((last, _)) = rows.last() else { return Ok(view.published()) };
            after.clone_from(last);
            let bare = |key: &[u8]| key.get(1..).unwrap_or_default().to_vec();
            let named = rows.iter().filter(|(key, value)| edit(&bare(key), value).is_some());
            for (key, _) in named {
                self.edit_row(&bare(key), edit)?;
            }
            pace.rest();
        }
    }

    fn edit_row(&self, key: &[u8], edit: EditRow<'_>) -> Result<(), LedgerError> {
        let writer = lock(&self.writer);
        let view = self.view()?;
        let full = key_in(space::FOLD, key);
        let value = self.ask(&view, |view| view.value(&full))?;
        if let Some(new) = value.and_then(|value| edit(key, &value)) {
            let seq = writer.segments.next_seq() - 1;
            self.hand_over(&view, PendingRows::new(seq, vec![change(full, Some(new))?]));
        }
        Ok(())
    }

    /// Wakes the keeper and waits for what became of an order to it.
    pub(super) fn answered(
        &self,
        answered: &Receiver<Result<(), LedgerError>>,
    ) -> Result<(), LedgerError> {
        self.bell.notify_all();
        answered.recv().unwrap_or_else(|_| {
            Err(LedgerError::Retryable("the view is being rebuilt or closed".to_string()))
        })
    }
}
