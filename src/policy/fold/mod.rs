//! The fold: one event in, rows and decisions out (docs/policy.md, "The journal"). Pure and
//! deterministic: the same rows and the same event give the same writes; the only clock is the
//! event's own time.
//!
//! Folding an event a second time changes nothing: the row `m/fold` names the last one taken in.
//!
//! Releases fold differently now and then. As which version events are folded is said by the journal
//! itself: the fact `fold` (an [`Act::Fact`]) holds from its position on, so whoever folds a journal, and
//! whenever, makes the same list of it. A release folds its own version and those back to `OLDEST_FOLD`.

mod acts;
mod compact;
mod counted;
pub(crate) mod evidence;
pub(crate) mod guard;
pub(crate) mod health;
mod hot;
pub(crate) mod progress;
mod rate;
pub(crate) mod reserved;
mod seen;
mod sent;
mod step;
mod take;
pub(crate) mod undo;

use super::judge::facts::PolicyCache;
use super::settings::Policy;
use crate::event::{Act, Event, EventType};
use crate::ledger::{Fold, LedgerError, Rows};
use crate::mail::Case;
pub use counted::{Happened, counted};
use hot::HotRows;
use progress::Progress;
use step::Step;

/// The newest version of the fold that this release has. Raise it whenever a journal that is there would be
/// folded to other rows or decisions, and fold the old way while `Progress::version` says so: nodes of the
/// release before take part until `bounced engine upgrade`, and what a journal decided does not change.
pub const FOLD_VERSION: i32 = 1;

/// The oldest one: that of the release before, at least.
pub const OLDEST_FOLD: i32 = 1;

/// The policy as a fold of the journal.
#[derive(Debug)]
pub struct PolicyFold {
    /// The newest version that it can fold.
    newest: i32,
    cache: PolicyCache,
    hot: HotRows,
    /// Of the policy in force at the last event.
    case: Case,
}

impl PolicyFold {
    /// A fold that begins with the default policy, until the journal names another.
    pub fn new() -> Self {
        Self::up_to(FOLD_VERSION)
    }

    /// One that takes versions up to this one, as another release does. Those that this release does not
    /// have are folded as its own: for tests of upgrades.
    pub fn up_to(newest: i32) -> Self {
        Self {
            newest,
            cache: PolicyCache::default(),
            hot: HotRows::default(),
            case: Case::default(),
        }
    }
}

impl Default for PolicyFold {
    fn default() -> Self {
        Self::new()
    }
}

impl Fold for PolicyFold {
    fn fold(&mut self, rows: &mut dyn Rows, event: &mut Event) -> Result<(), LedgerError> {
        let mut ledger = Progress::read(rows)?;
        if event.seq != 0 && event.seq <= ledger.last_seq {
            return Ok(());
        }
        let version = event.fold_from_here().unwrap_or_else(|| ledger.version());
        if version > self.newest {
            return Err(LedgerError::Fatal(format!(
                "record {} is folded as version {version}, this release folds up to {}: install the \
                 release that wrote it, or a newer one",
                event.seq, self.newest
            )));
        }
        let (in_force, policy) = self.cache.in_force(&(&*rows as &dyn Rows))?;
        let case = policy.local_part_case;
        self.case = case;
        if !policy.require_signed {
            sent::lift(rows, event, case)?;
            sent::remember(rows, event, case)?;
        }
        let mut step = Step {
            rows,
            cache: &self.cache,
            hot: &mut self.hot,
            in_force,
            policy,
            seq: event.seq,
            now: event.received_at,
            erased: &event.erased.clone(),
            progress: &mut ledger,
            decisions: Vec::new(),
        };
        if let Some(version) = event.fold_from_here() {
            step.progress.fold = Some(version);
        }
        match event.event_type {
            EventType::Act => acts::take(&mut step, event)?,
            EventType::Message | EventType::Result => {
                let campaign = event.campaign.clone();
                for said in evidence::read(event, &step.policy.clone()) {
                    step.take(said, campaign.as_deref())?;
                }
            }
        }
        event.decisions = std::mem::take(&mut step.decisions);
        ledger.last_seq = ledger.last_seq.max(event.seq);
        ledger.latest_ms = ledger.latest_ms.max(event.received_at.millis());
        ledger.write(rows);
        Ok(())
    }

    fn touches(&self, event: &Event) -> Vec<String> {
        touched(event, self.case)
    }

    fn forgets(&self, event: &Event) -> Vec<String> {
        match &event.act {
            Some(Act::Erase { address, .. }) => {
                evidence::key(address, self.case).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Addresses (key form) whose history an event belongs to.
pub fn touched(event: &Event, case: Case) -> Vec<String> {
    let mut addresses: Vec<String> = match event.event_type {
        EventType::Act => acts::addresses(event, case),
        // Everything that names the address is history, counted or not.
        EventType::Message => event.analysis.iter().flat_map(|a| named(a, case)).collect(),
        EventType::Result => {
            event.result.iter().filter_map(|r| evidence::key(&r.address, case)).collect()
        }
    };
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_TOUCHED);
    addresses
}

/// Why an event counts in nothing for an address (key form), as a sentence for people; None when
/// it may count.
pub fn evidence_note(event: &Event, policy: &Policy, address: &str) -> Option<&'static str> {
    evidence::why_silent(event, policy, address)
}

/// Addresses that one event belongs to, at most.
const MAX_TOUCHED: usize = 1_000;

fn named(analysis: &crate::event::Analysis, case: Case) -> Vec<String> {
    let verp = analysis.verp.as_ref().and_then(|v| v.recipient.as_deref());
    let recipients = analysis.recipients.iter().filter_map(|r| r.address());
    verp.into_iter().chain(recipients).filter_map(|a| evidence::key(a, case)).collect()
}
