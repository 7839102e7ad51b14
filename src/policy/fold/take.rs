//! Takes a record of a message or a result in for one address: its history, the guards, the
//! figures.

use super::evidence::{Claim, Figure};
use super::seen;
use super::step::{PriorState, Step};
use crate::ledger::LedgerError;
use crate::policy::judge::facts::Facts;
use crate::policy::judge::intervals::CAP;
use crate::policy::judge::row::{AddressRow, Item, ItemKind, address_key, life_key};
use crate::policy::judge::state::{State, judge};
use crate::policy::judge::track::Note;
use crate::policy::judge::walk::{counts, walk, walk_with};

/// Newest pieces of proof of life kept for an address without evidence.
const KEPT_LIFE: usize = 4;
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
/// Proof of life so fresh among failures makes the outage guard trip sooner.
const FRESH_LIFE_DAYS: i64 = 7;

impl Step<'_> {
    /// Takes in what a record says of one address: its history, the guards, the figures.
    pub(crate) fn take(&mut self, said: Claim, campaign: Option<&str>) -> Result<(), LedgerError> {
        let Claim { address, item, figure, provider } = said;
        let (scope, message) = (item.scope.clone(), item.message);
        let counted = counts(&self.policy, item.level);
        let guard = item.guard.clone().unwrap_or_default();
        if figure == Some(Figure::OwnRefusal) {
            return self.count_own_refusal(&address, message, counted, &scope, campaign, &provider);
        }
        if counted {
            seen::note(self.rows, &scope, &address, self.now)?;
        }
        let never = item.kind == ItemKind::Failure
            && item.reason.is_none_or(|r| !self.policy.ever_counts(&scope, r));
        let key = address_key(&address);
        let row = self.rows.get(&key)?.and_then(|octets| self.hot.take(&key, &octets));
        let failed_before = row.as_ref().is_some_and(|row| {
            row.items.iter().any(|i| i.kind == ItemKind::Failure && i.undone == 0)
        });
        let note = if never {
            match counted && self.is_twin(&address, message)? {
                true => Note::SameMail,
                false => Note::Counted,
            }
        } else {
            self.remember(&address, row, item, provider.is_some())?
        };
        if !counted || note == Note::SameMail {
            return Ok(());
        }
        if figure == Some(Figure::Sent) {
            self.count_sent(&guard, provider.is_some())?;
        }
        match figure {
            Some(figure) => {
                self.count_health(figure, &scope, campaign, provider.as_deref(), failed_before)
            }
            None => Ok(()),
        }
    }

    /// Our own refusal came back: it says nothing of the address, and moves no guard and no figure
    /// but its own.
    fn count_own_refusal(
        &mut self,
        address: &str,
        message: u64,
        counted: bool,
        scope: &str,
        campaign: Option<&str>,
        provider: &Option<String>,
    ) -> Result<(), LedgerError> {
        if !counted || self.is_twin(address, message)? {
            return Ok(());
        }
        self.count_health(Figure::OwnRefusal, scope, campaign, provider.as_deref(), false)
    }

    /// Puts an item into the history of its address; says what it did to the mailbox.
    fn remember(
        &mut self,
        address: &str,
        row: Option<AddressRow>,
        mut item: Item,
        named: bool,
    ) -> Result<Note, LedgerError> {
        item.policy = self.in_force.version;
        let mut row = match (row, item.kind) {
            (None, ItemKind::Sent) => return Ok(Note::NoChange),
            (None, ItemKind::Life) => {
                return self.remember_life(address, item).map(|()| Note::Counted);
            }
            (Some(row), ItemKind::Sent) if !self.may_be_a_try(&row, &item) => {
                return Ok(Note::NoChange);
            }
            (Some(row), _) => row,
            (None, _) => self.first_row(address)?,
        };
        let before = self.look(&row)?;
        let new = item.clone();
        row.insert(item);
        let mut facts = self.facts(&row)?;
        let mut note = Note::NoChange;
        walk_with(&row.items, "*", &facts, self.now, &mut |place, said| {
            if row.items.get(place).is_some_and(|i| i.seq == new.seq && i.kind == new.kind) {
                note = said;
            }
        });
        if new.kind == ItemKind::Failure && note == Note::Counted {
            self.guard(&row, &new, named, &before, &mut facts)?;
        }
        self.settle(address, row, &before, &facts)?;
        Ok(note)
    }

    /// Lets the guards look at a failure that counts.
    fn guard(
        &mut self,
        row: &AddressRow,
        new: &Item,
        named: bool,
        before: &PriorState,
        facts: &mut Facts,
    ) -> Result<(), LedgerError> {
        let hard = |i: &Item| {
            i.kind == ItemKind::Failure
                && i.undone == 0
                && i.reason.is_some_and(|r| self.policy.numbers("*", r).effect.is_hard())
        };
        let others = || row.items.iter().filter(|i| i.seq != new.seq);
        let recent = |i: &Item, days: i64| new.at_ms.saturating_sub(i.at_ms) < days * DAY_MS;
        let repeated = others().any(|i| hard(i) && recent(i, 1));
        if hard(new)
            && !repeated
            && let Some(guard) = &new.guard
        {
            let alive = others()
                .any(|i| i.kind == ItemKind::Life && i.undone == 0 && recent(i, FRESH_LIFE_DAYS));
            if let Some(intervals) = self.count_failed(guard, named, alive)? {
                facts.set_guard(guard, intervals);
            }
        }
        // What the cap holds would have been suppressed: it counts, too.
        let is = judge(&walk(&row.items, "*", facts, self.now), self.now);
        let capped = is.clause.as_deref().is_some_and(|c| c.starts_with(CAP));
        let stood = before.everywhere().is_some_and(|j| j.state.stops());
        if (is.state == State::Suppressed || capped)
            && !stood
            && let Some(intervals) = self.count_suppressed(&new.scope)?
        {
            facts.set_cap(&new.scope, intervals);
        }
        Ok(())
    }

    /// Mail to an address means something only as the one more try. Whether it is one is for the
    /// walk to say: an undo may move the probation.
    fn may_be_a_try(&self, row: &AddressRow, sent: &Item) -> bool {
        let again = |i: &Item| {
            i.kind == ItemKind::Sent
                && i.peer == sent.peer
                && sent.at_ms.saturating_sub(i.at_ms) < HOUR_MS
        };
        let probation = |i: &Item| {
            i.kind == ItemKind::Failure
                && i.reason.is_some_and(|reason| {
                    ["*", sent.scope.as_str()].into_iter().any(|scope| {
                        let numbers = self.policy.numbers(scope, reason);
                        numbers.effect.is_hard() && numbers.probation.covers(i.at(), self.now)
                    })
                })
        };
        !row.items.last().is_some_and(again) && row.items.iter().any(probation)
    }

    fn remember_life(&mut self, address: &str, item: Item) -> Result<(), LedgerError> {
        let key = life_key(address);
        let mut row = self.rows.get(&key)?.and_then(|v| AddressRow::decode(&v)).unwrap_or_default();
        // Mass deliveries would write every address each time; one a day says as much.
        let known = |old: &Item| {
            old.level == item.level
                && old.peer == item.peer
                && old.undone == 0
                && item.at_ms.saturating_sub(old.at_ms) < DAY_MS
        };
        if row.items.last().is_some_and(known) {
            return Ok(());
        }
        row.insert(item);
        if row.items.len() > KEPT_LIFE {
            row.items.remove(0);
        }
        self.rows.put(key, Some(row.encode()));
        Ok(())
    }
}
