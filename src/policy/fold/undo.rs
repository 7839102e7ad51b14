//! Takes decisions back, and judges earlier records again.
//!
//! `Act::Undo` marks every matching item as taken back; the walk passes over it, so the state
//! afterwards is that of a history without it (property test `undo equals never-happened`). What is
//! not taken back: figures of health (what came in did come in) and times in which a guard was
//! tripped. Acts by hand are evidence of a person's will: only `rule = "by-hand"` takes them back.

use super::evidence;
use super::step::Step;
use crate::classify::RecipientVerdict;
use crate::event::{Act, Event};
use crate::ledger::{Ledger, LedgerError};
use crate::mail::Timestamp;
use crate::policy::judge::row::{
    ADDRESSES, AddressRow, BY_HAND, Item, ItemKind, LIFE, address_key, address_of,
};

/// Which records an undo takes back: those that match all given conditions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Rule id.
    pub rule: Option<String>,
    /// Provider, or recipient domain outside the table.
    pub provider: Option<String>,
    /// Client address.
    pub peer: Option<String>,
    /// First moment.
    pub after: Option<Timestamp>,
    /// Last moment.
    pub before: Option<Timestamp>,
}

impl Selection {
    /// The selection of an act; None when it is not an undo, or names no condition at all: that
    /// would take back everything.
    pub fn of(act: &Act) -> Option<Self> {
        let Act::Undo { rule, provider, peer, after, before, .. } = act else { return None };
        let selection = Self {
            rule: rule.clone(),
            provider: provider.clone(),
            peer: peer.clone(),
            after: *after,
            before: *before,
        };
        (selection != Self::default()).then_some(selection)
    }

    pub(crate) fn of_event(event: &Event) -> Option<Self> {
        event.act.as_ref().and_then(Self::of)
    }

    /// Does it take this item back?
    pub fn matches(&self, item: &Item) -> bool {
        let named = |wanted: &Option<String>, is: &Option<String>| wanted.is_none() || wanted == is;
        let by_hand = matches!(item.kind, ItemKind::Suppress | ItemKind::Release);
        item.undone == 0
            && named(&self.rule, &item.rule)
            && named(&self.provider, &item.guard)
            && named(&self.peer, &item.peer)
            && self.after.is_none_or(|after| item.at() >= after)
            && self.before.is_none_or(|before| item.at() <= before)
            && (!by_hand || self.rule.as_deref() == Some(BY_HAND))
    }

    /// Dry run: addresses of which an undo would take something back, from a cursor on, with the
    /// items. Gives the cursor of the next page; None after the last.
    #[allow(clippy::type_complexity)]
    pub fn preview(
        &self,
        ledger: &dyn Ledger,
        cursor: Option<&[u8]>,
        limit: usize,
    ) -> Result<(Vec<(String, Vec<Item>)>, Option<Vec<u8>>), LedgerError> {
        let page = ledger.list(ADDRESSES, cursor, limit)?;
        let mut found = Vec::new();
        for (key, value) in &page.rows {
            let (Some(address), Some(row)) = (address_of(key), AddressRow::decode(value)) else {
                continue;
            };
            let items: Vec<Item> = row.items.into_iter().filter(|i| self.matches(i)).collect();
            if !items.is_empty() {
                found.push((address, items));
            }
        }
        Ok((found, page.next))
    }
}

/// Folds an undo: walks all addresses once.
pub(crate) fn take_back(step: &mut Step<'_>, selection: &Selection) -> Result<(), LedgerError> {
    step.each_address(|step, key, mut row| {
        if !row.items.iter().any(|i| selection.matches(i)) {
            return Ok(());
        }
        if key.starts_with(LIFE) {
            row.items.retain(|i| !selection.matches(i));
            let left = (!row.items.is_empty()).then(|| row.encode());
            step.rows.put(key, left);
            return Ok(());
        }
        let (Some(address), seq) = (address_of(&key), step.seq) else { return Ok(()) };
        step.change(&address, row, |row| {
            for item in row.items.iter_mut().filter(|i| selection.matches(i)) {
                item.undone = seq;
            }
        })
    })
}

/// Folds a rejudgement: the items of those records are replaced by what the new verdicts say.
pub(crate) fn judge_again(
    step: &mut Step<'_>,
    verdicts: &[(u64, Vec<RecipientVerdict>)],
) -> Result<(), LedgerError> {
    for (seq, verdicts) in verdicts {
        let Some(mut event) = step.rows.event(*seq)? else { continue };
        let before: Vec<String> =
            evidence::read(&event, &step.policy).into_iter().map(|s| s.address).collect();
        if let Some(analysis) = &mut event.analysis {
            analysis.recipients.clone_from(verdicts);
        }
        if let (Some(result), Some(verdict)) = (&mut event.result, verdicts.first()) {
            result.verdict = Some(verdict.clone());
        }
        let said = evidence::read(&event, &step.policy);
        let mut addresses: Vec<String> = said.iter().map(|s| s.address.clone()).collect();
        addresses.extend(before);
        addresses.sort_unstable();
        addresses.dedup();
        for address in addresses {
            let stored = step.rows.get(&address_key(&address))?;
            let new: Vec<Item> = said
                .iter()
                .filter(|s| s.address == address)
                .map(|s| s.item.clone())
                .filter(|i| i.reason.is_none_or(|r| step.policy.ever_counts(&i.scope, r)))
                .collect();
            let row = match stored.and_then(|v| AddressRow::decode(&v)) {
                Some(row) => row,
                None if new.is_empty() => continue,
                None => step.first_row(&address)?,
            };
            let version = step.in_force.version;
            step.change(&address, row, |row| {
                let old = row.items.iter().find(|i| i.seq == *seq);
                let policy = old.map_or(version, |i| i.policy);
                row.items.retain(|i| i.seq != *seq);
                for item in new {
                    row.insert(Item { policy, ..item });
                }
            })?;
        }
    }
    Ok(())
}
