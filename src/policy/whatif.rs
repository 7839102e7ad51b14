//! What if: the journal folded again in memory, under another policy or with other verdicts
//! (docs/policy.md, "What if"), and how the two outcomes differ.
//!
//! A [`Trial`] is one such fold. It is fed every record in the order of the journal and holds the
//! rows of the fold, about 500 octets an address; [`compare`] walks over the rows of two of them.
//! Nothing is written anywhere. Without a policy of its own a trial follows the journalled ones;
//! with one, that replaces each of them, and only `require_signed`, which follows
//! from the keys of that time and not from the policy, stays as it was.

use serde::Serialize;

use super::settings::Policy;
use crate::event::{Act, Event, EventType};
use crate::ledger::{Fold, LedgerError, Lookback, MemoryRows, Row, Rows};
use crate::mail::Timestamp;
use crate::policy::fold::PolicyFold;
use crate::policy::judge::facts::{Facts, PolicyCache};
use crate::policy::judge::row::{ADDRESSES, AddressRow, address_of};
use crate::policy::judge::state::{Judged, State, judge};
use crate::policy::judge::walk::walk;

/// Rows compared at once.
const PAGE: usize = 1_000;

/// One fold of the journal in memory.
pub struct Trial<L> {
    fold: PolicyFold,
    rows: MemoryRows<L>,
    /// Replaces every journalled policy.
    wanted: Option<Policy>,
    cache: PolicyCache,
}

impl<L: Lookback> Trial<L> {
    /// Begins under `policy`, which the first journalled one replaces.
    pub fn as_journalled(journal: L, policy: &Policy) -> Result<Self, LedgerError> {
        Self::begin(journal, policy, None)
    }

    /// Begins under `policy` and stays with it.
    pub fn under(journal: L, policy: Policy) -> Result<Self, LedgerError> {
        let first = policy.clone();
        Self::begin(journal, &first, Some(policy))
    }

    fn begin(journal: L, first: &Policy, wanted: Option<Policy>) -> Result<Self, LedgerError> {
        let (rows, cache) = (MemoryRows::over(journal), PolicyCache::default());
        let mut trial = Self { fold: PolicyFold::new(), rows, wanted, cache };
        // A journal whose beginning is gone does not say which policy was in force there.
        let mut event = Event::new(EventType::Act, String::new(), Timestamp::default());
        event.act = Some(first.act());
        trial.fold.fold(&mut trial.rows, &mut event)?;
        Ok(trial)
    }

    /// Takes the next record in.
    pub fn take(&mut self, mut event: Event) -> Result<(), LedgerError> {
        if let (Some(Act::Policy { policy }), Some(wanted)) = (&mut event.act, &self.wanted) {
            let then = serde_json::from_value::<Policy>(policy.take()).ok();
            let require_signed = then.map_or(wanted.require_signed, |then| then.require_signed);
            let mut policy = wanted.clone();
            policy.require_signed = require_signed;
            event.act = Some(policy.act());
        }
        event.decisions.clear();
        self.fold.fold(&mut self.rows, &mut event)
    }

    /// The state of an address at a moment: in every scope that its row speaks of, `*` first.
    fn look(&self, value: &[u8], now: Timestamp) -> Result<Vec<(String, Judged)>, LedgerError> {
        let Some(row) = AddressRow::decode(value) else { return Ok(Vec::new()) };
        let facts = Facts::load(&(&self.rows as &dyn Rows), &self.cache, &row, now)?;
        let scopes = std::iter::once("*").chain(row.scopes());
        Ok(scopes
            .map(|scope| (scope.to_string(), judge(&walk(&row.items, scope, &facts, now), now)))
            .collect())
    }
}

/// How many addresses are in a state before and after, each under its worst scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Shift {
    /// The state.
    pub state: State,
    /// As journalled.
    pub before: u64,
    /// In the other trial.
    pub after: u64,
}

/// An address to which mail would stop or begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Address, in its key form.
    pub address: String,
    /// Scope; `*` for all.
    pub scope: String,
    /// State as journalled.
    pub from: State,
    /// State in the other trial.
    pub to: State,
    /// Clause of the policy that says so; of a release, the clause that no longer holds.
    pub clause: String,
    /// End of the new state; None is without end.
    pub until: Option<Timestamp>,
}

/// Compares two trials at a moment; each difference that stops or lets go mail is told, in the
/// order of the rows' keys.
pub fn compare<L: Lookback>(
    before: &Trial<L>,
    after: &Trial<L>,
    now: Timestamp,
    tell: &mut dyn FnMut(Difference),
) -> Result<Vec<Shift>, LedgerError> {
    let mut shifts: Vec<Shift> =
        State::ALL.iter().map(|state| Shift { state: *state, before: 0, after: 0 }).collect();
    let (mut old, mut new) = (Pages::new(&before.rows), Pages::new(&after.rows));
    loop {
        let key = match (old.peek()?, new.peek()?) {
            (None, None) => return Ok(shifts),
            (Some(key), None) | (None, Some(key)) => key.clone(),
            (Some(a), Some(b)) => a.min(b).clone(),
        };
        let old = old.take(&key).map(|value| before.look(&value, now)).transpose()?;
        let new = new.take(&key).map(|value| after.look(&value, now)).transpose()?;
        let worst = |judged: &Option<Vec<(String, Judged)>>| {
            judged.iter().flatten().map(|(_, judged)| judged.state).max()
        };
        for shift in &mut shifts {
            shift.before += u64::from(worst(&old) == Some(shift.state));
            shift.after += u64::from(worst(&new) == Some(shift.state));
        }
        if let Some(address) = address_of(&key) {
            differences(&address, &old.unwrap_or_default(), &new.unwrap_or_default(), tell);
        }
    }
}

/// What became of one address. What holds everywhere is said once.
fn differences(
    address: &str,
    old: &[(String, Judged)],
    new: &[(String, Judged)],
    tell: &mut dyn FnMut(Difference),
) {
    let clear = Judged { state: State::Clear, since: None, until: None, clause: None, item: None };
    // A scope that a side does not speak of has the state of the mailbox.
    let find = |side: &[(String, Judged)], scope: &str| {
        let found = side.iter().find(|(s, _)| s == scope).or(side.first());
        found.map_or(clear.clone(), |(_, judged)| judged.clone())
    };
    let mut scopes: Vec<&str> = old.iter().chain(new).map(|(scope, _)| scope.as_str()).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let mut everywhere = None;
    for scope in scopes {
        let (from, to) = (find(old, scope), find(new, scope));
        let said = Some((from.state, to.state));
        if from.state == to.state || !(from.state.stops() || to.state.stops()) || said == everywhere
        {
            continue;
        }
        if scope == "*" {
            everywhere = said;
        }
        let stops = to.state.stops();
        tell(Difference {
            address: address.to_string(),
            scope: scope.to_string(),
            from: from.state,
            to: to.state,
            clause: if stops { to.clause } else { from.clause }.unwrap_or_default(),
            until: to.until.filter(|_| stops),
        });
    }
}

/// The address rows of a trial, page by page.
struct Pages<'a> {
    rows: &'a dyn Rows,
    page: std::vec::IntoIter<Row>,
    next: Option<Row>,
    after: Vec<u8>,
}

impl<'a> Pages<'a> {
    fn new(rows: &'a dyn Rows) -> Self {
        Self { rows, page: Vec::new().into_iter(), next: None, after: Vec::new() }
    }

    fn peek(&mut self) -> Result<Option<&Vec<u8>>, LedgerError> {
        if self.next.is_none() {
            self.next = self.page.next();
        }
        if self.next.is_none() {
            let page = self.rows.scan(ADDRESSES, &self.after, PAGE)?;
            if let Some((last, _)) = page.last() {
                self.after.clone_from(last);
            }
            self.page = page.into_iter();
            self.next = self.page.next();
        }
        Ok(self.next.as_ref().map(|(key, _)| key))
    }

    /// The value under a key, when that is the next one.
    fn take(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        self.next.take_if(|(next, _)| next == key).map(|(_, value)| value)
    }
}
