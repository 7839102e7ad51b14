//! The fold: one event in, rows and decisions out (docs/policy.md, "The journal"). Pure and
//! deterministic: the same rows and the same event give the same writes; the only clock is the
//! event's own time.
//!
//! Folding an event a second time changes nothing: the row `m/fold` names the last one taken in.

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

/// Which fold this is. Nodes of one ledger must have the same: raise it whenever a journal that is
/// there would be folded to other rows or decisions.
pub const FOLD_VERSION: i32 = 1;

/// The policy as a fold of the journal.
#[derive(Debug, Default)]
pub struct PolicyFold {
    cache: PolicyCache,
    hot: HotRows,
    /// Of the policy in force at the last event.
    case: Case,
}

impl PolicyFold {
    /// A fold that begins with the default policy, until the journal names another.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Fold for PolicyFold {
    fn fold(&mut self, rows: &mut dyn Rows, event: &mut Event) -> Result<(), LedgerError> {
        let mut ledger = Progress::read(rows)?;
        if event.seq != 0 && event.seq <= ledger.last_seq {
            return Ok(());
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
