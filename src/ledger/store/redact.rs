//! Taking something out of everything that is stored: one fresh checkpoint replaces all, the view
//! is built anew from it, because a log-structured store keeps what was removed from it, and
//! journal segments are rewritten.
//!
//! The order makes it safe to be killed at any moment, and to do it again. The caller's event has
//! taken the rows out already, so the checkpoint is clean; older ones go only when it was read
//! back. The journal comes last: then every record that is rewritten stands behind that checkpoint
//! and the view, and is folded again only if both are lost.

use std::sync::mpsc::{Receiver, sync_channel};

use super::Inner;
use crate::ledger::LedgerError;
use crate::ledger::journal::{self, Edit, lock};

impl Inner {
    /// See [`crate::ledger::Ledger::redact`].
    pub(super) fn redact(&self, edit: Edit<'_>) -> Result<u64, LedgerError> {
        let failed = |error| journal::refused("the journal cannot be rewritten", &error);
        let old = self.view()?.generation;
        lock(&self.writer).journal.seal().map_err(failed)?;
        let sealed = self.reader.segment_starts();
        let (answer, answered) = sync_channel(1);
        lock(&self.mail).renewals.push(answer);
        self.answered(&answered)?;
        self.wait_for_another(old)?;
        let mut changed = 0;
        for first_seq in sealed {
            if let Some(new) = self.reader.rewrite(first_seq, edit).map_err(failed)? {
                lock(&self.writer).journal.put_in_place(&new).map_err(failed)?;
                changed += new.changed;
            }
        }
        Ok(changed)
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

    /// Waits until another generation of the view is ready.
    fn wait_for_another(&self, old: u64) -> Result<(), LedgerError> {
        let pending = || self.view().map_or(true, |view| view.generation == old);
        let mail = lock(&self.mail);
        let patience = self.options.redact_patience;
        drop(self.moved.wait_timeout_while(mail, patience, |mail| !mail.stop && pending()));
        match pending() {
            false => Ok(()),
            true => Err(LedgerError::Retryable("the view is still being built anew".to_string())),
        }
    }
}
