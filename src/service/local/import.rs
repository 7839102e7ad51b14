//! Many suppressions by hand, from another list (docs/imports.md).

use super::LocalService;
use super::commit::QUEUED_AT_ONCE;
use super::make_event::act_event;
use super::validate::{bounded, checked_rule, checked_scope, parsed, still_to_come};
use crate::analysis::judge_reply;
use crate::classify::{Certainty, Reason};
use crate::event::{Act, Cause, Event, Imported};
use crate::mail::{Address, Timestamp};
use crate::service::import::tally;
use crate::service::{ImportEntry, ImportOutcome, ServiceError};

impl LocalService {
    /// Suppresses many, or says with `dry_run` what that would be.
    pub(super) fn import_entries(
        &self,
        entries: Vec<ImportEntry>,
        dry_run: bool,
    ) -> Result<ImportOutcome, ServiceError> {
        let mut outcome = ImportOutcome::default();
        let (mut batch, now) = (Vec::new(), self.now());
        for (place, entry) in entries.into_iter().enumerate() {
            let (address, entry) = match self.checked(entry, now) {
                Ok(checked) => checked,
                Err(error) => {
                    outcome.refused.push((place, error.to_string()));
                    continue;
                }
            };
            if dry_run && outcome.sample.len() < tally::SHOWN {
                outcome.sample.push(entry.to_json());
            }
            let stored = self.pseudonyms.of(&address);
            let wanted = (entry.scope.as_str(), entry.until, &entry.imported);
            if self.reader.is_stopped(&*self.ledger, &stored, wanted, now)? {
                outcome.unchanged += 1;
            } else if !dry_run {
                let ImportEntry { address, scope, words: reason, until, imported } = entry;
                let act = Act::Suppress { address, scope, reason, until, imported };
                batch.push(Event { received_at: now, ..act_event(act) });
            } else {
                outcome.suppressed += 1;
            }
            if batch.len() >= QUEUED_AT_ONCE {
                outcome.suppressed += self.commit_many(std::mem::take(&mut batch))?;
            }
        }
        outcome.suppressed += self.commit_many(batch)?;
        Ok(outcome)
    }

    /// The entry as it is stored.
    fn checked(
        &self,
        entry: ImportEntry,
        now: Timestamp,
    ) -> Result<(Address, ImportEntry), ServiceError> {
        let address = parsed(&entry.address)?;
        checked_scope(&entry.scope)?;
        still_to_come(entry.until, now)?;
        entry.imported.rule.as_deref().map_or(Ok(()), checked_rule)?;
        let words = bounded(&entry.words)?;
        let imported = self.with_finer_cause(entry.imported, &address, &words);
        let stored = ImportEntry { address: address.key_in(self.case), words, imported, ..entry };
        Ok((address, stored))
    }

    /// A list that says no more than "it bounced" may hold what the server said: that is read like
    /// any other refusal.
    fn with_finer_cause(&self, imported: Imported, address: &Address, words: &str) -> Imported {
        if imported.cause != Some(Cause::Failure(Reason::ProviderSuppressed))
            || imported.rule.is_some()
        {
            return imported;
        }
        let verdict = judge_reply(&self.analyser.load(), true, address, words, None);
        match verdict.filter(|verdict| verdict.certainty == Some(Certainty::Said)) {
            Some(verdict) if verdict.reason.is_some_and(|reason| reason != Reason::Generic) => {
                let cause = verdict.reason.map(Cause::Failure);
                Imported { cause, rule: verdict.rule, ..imported }
            }
            _ => imported,
        }
    }
}
