//! What an entry of an import adds to what is known of its address: nothing that stops mail gets
//! weaker by it, and a release that came later is not undone. Pure.

use super::judge::facts::Facts;
use super::judge::row::{AddressRow, Item, ItemKind};
use super::judge::standing::cause_of;
use super::judge::track::{Stop, Track};
use super::judge::walk::walk;
use crate::classify::Reason;
use crate::event::{Cause, Imported};
use crate::mail::Timestamp;

/// What a list says of an address in one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedStop {
    /// End; None is without end.
    pub until: Option<Timestamp>,
    /// Why, since when, by which rule.
    pub imported: Imported,
    /// The same in words.
    pub words: String,
}

/// What an entry adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addition {
    /// No list says anything of it yet.
    New,
    /// A list said something of it: this is what both say.
    More(ListedStop),
    /// Mail is stopped already, for as long and for as strong a reason.
    Nothing,
    /// A person released the address after the list said it.
    ReleasedSince(Timestamp),
}

impl ListedStop {
    /// What two lists say of one address: the stronger reason with all that belongs to it, and the
    /// later end. None when `other` adds nothing.
    pub fn joined(&self, other: &Self) -> Option<Self> {
        let stronger = strength(other.imported.cause) > strength(self.imported.cause);
        let longer = end(other.until) > end(self.until);
        let until = if longer { other.until } else { self.until };
        match (stronger, longer) {
            (true, _) => Some(Self { until, ..other.clone() }),
            (false, true) => Some(Self { until, ..self.clone() }),
            (false, false) => None,
        }
    }

    /// What this adds to a row, whose `track` is that of `scope`.
    pub(super) fn adds(
        &self,
        row: &AddressRow,
        track: &Track,
        scope: &str,
        now: Timestamp,
    ) -> Addition {
        let covers =
            |stop: &Stop| row.items.get(stop.item).is_some_and(|i| self.is_in(stop, i, scope));
        if track.stops(now).any(covers) {
            return Addition::Nothing;
        }
        let place = usize::from(scope == "*");
        let listed = track.imported.get(place).and_then(Option::as_ref);
        match listed.and_then(|stop| Some((stop, row.items.get(stop.item)?))) {
            Some((stop, item)) => {
                let known = Self {
                    until: stop.until,
                    imported: item.imported.as_deref().cloned().unwrap_or_default(),
                    words: item.words.clone().unwrap_or_default(),
                };
                known.joined(self).map_or(Addition::Nothing, Addition::More)
            }
            None if track.by_hand.is_some() => Addition::New,
            None => self.released(row, scope).map_or(Addition::New, Addition::ReleasedSince),
        }
    }

    /// Whether what stops mail already is at least this.
    fn is_in(&self, stop: &Stop, item: &Item, scope: &str) -> bool {
        let lasts = match item.kind {
            // Evidence may end before its time: a delivery is proof of life.
            ItemKind::Failure => scope == "*" && stop.until == self.until,
            _ => item.scope == scope && end(stop.until) >= end(self.until),
        };
        lasts && strength(cause_of(item)) >= strength(self.imported.cause)
    }

    /// Scopes in which a person released the address after the list said this, and nothing stops mail
    /// since: an entry for all scopes leaves them as they are.
    pub(super) fn released_in(
        &self,
        row: &AddressRow,
        facts: &Facts,
        now: Timestamp,
    ) -> Vec<String> {
        let is_clear =
            |scope: &str| walk(&row.items, scope, facts, now).stops(now).next().is_none();
        let scopes = row.scopes().into_iter();
        let released =
            scopes.filter(|scope| self.released(row, scope).is_some() && is_clear(scope));
        released.map(str::to_string).collect()
    }

    /// When a person released the address, if that was after the list said this: later than its
    /// date, or, without one, after a list was imported that had the address.
    fn released(&self, row: &AddressRow, scope: &str) -> Option<Timestamp> {
        let ours = |item: &&Item| item.undone == 0 && (item.scope == "*" || item.scope == scope);
        let release = row.items.iter().filter(ours).rfind(|item| item.kind == ItemKind::Release)?;
        let listed = |item: &Item| item.imported.is_some() && item.seq < release.seq;
        let later = match self.imported.since {
            Some(since) => since < release.at(),
            None => row.items.iter().filter(ours).any(listed),
        };
        later.then(|| release.at())
    }
}

fn end(until: Option<Timestamp>) -> i64 {
    until.map_or(i64::MAX, Timestamp::millis)
}

/// How much a reason weighs against another: what the recipient asked for, then what a server said,
/// the more exact first, then that a list has the address at all.
fn strength(cause: Option<Cause>) -> u8 {
    match cause {
        // One is exported as the other.
        None | Some(Cause::ByHand) => 0,
        Some(Cause::Failure(
            Reason::ProviderSuppressed | Reason::Undetermined | Reason::Generic,
        )) => 1,
        Some(Cause::Failure(_)) => 2,
        Some(Cause::Unsubscribe) => 3,
        Some(Cause::Complaint) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(cause: Option<&str>, until: Option<&str>) -> ListedStop {
        let cause = cause.map(|word| Cause::parse(word).expect("a word of the table"));
        let until = until.map(|day| Timestamp::parse_rfc3339(day).expect("a day of the table"));
        let imported = Imported { cause, ..Imported::default() };
        ListedStop { until, imported, words: format!("{cause:?}") }
    }

    #[test]
    fn the_stronger_reason_and_the_later_end_stay() {
        let near = Some("2026-12-01");
        for (known, other, both) in [
            ((Some("complaint"), None), (Some("provider-suppressed"), None), None),
            ((Some("complaint"), None), (Some("provider-suppressed"), near), None),
            (
                (Some("provider-suppressed"), None),
                (Some("complaint"), near),
                Some((Some("complaint"), None)),
            ),
            ((None, near), (None, None), Some((None, None))),
            ((None, None), (Some("user-unknown"), None), Some((Some("user-unknown"), None))),
            (
                (Some("unsubscribe"), near),
                (Some("user-unknown"), None),
                Some((Some("unsubscribe"), None)),
            ),
            ((Some("user-unknown"), None), (Some("mailbox-full"), None), None),
            ((Some("mailbox-full"), None), (Some("user-unknown"), None), None),
        ] {
            let joined = said(known.0, known.1).joined(&said(other.0, other.1));
            let both = both.map(|(cause, until)| {
                let words =
                    if cause == known.0 { said(known.0, None) } else { said(other.0, None) };
                ListedStop { words: words.words, ..said(cause, until) }
            });
            assert_eq!(joined, both, "{known:?} and {other:?}");
            // The same again adds nothing, in whatever order.
            let both = both.unwrap_or_else(|| said(known.0, known.1));
            assert_eq!(both.joined(&said(known.0, known.1)), None, "{known:?} again");
            assert_eq!(both.joined(&said(other.0, other.1)), None, "{other:?} again");
        }
    }
}
