//! What a record counts as, and for which address: for webhooks, which report it as it happens.

use super::evidence::{self, Figure};
use crate::classify::Reason;
use crate::event::Event;
use crate::policy::judge::walk::counts;
use crate::policy::settings::Policy;

/// What happened to an address, as far as the policy believes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// Mail to it failed.
    Failed(Reason),
    /// Its owner complained.
    Complained,
    /// It answered by itself.
    Answered,
}

/// Address (key form), scope, and what happened, of everything that a record says and that counts
/// under this policy. What a stranger may have forged is not in it.
pub fn counted(event: &Event, policy: &Policy) -> Vec<(String, String, Happened)> {
    let happened = |claim: evidence::Claim| {
        let what = match (claim.figure?, claim.item.reason) {
            (Figure::Failed(_), Some(reason)) => Happened::Failed(reason),
            (Figure::Complaint, _) => Happened::Complained,
            (Figure::AutoReply, _) => Happened::Answered,
            _ => return None,
        };
        Some((claim.address, claim.item.scope, what))
    };
    let claims = evidence::read(event, policy).into_iter();
    claims.filter(|claim| counts(policy, claim.item.level)).filter_map(happened).collect()
}
