//! What would change a state: the sentences that `explain` and `lookup` end with.

use super::facts::Facts;
use super::row::Item;
use super::state::{Judged, State};
use super::track::Track;
use crate::classify::Reason;
use crate::policy::settings::{Policy, Untried};

/// What would change a state, as sentences.
pub(crate) fn outlook(
    track: &Track,
    judged: &Judged,
    scope: &str,
    facts: &Facts,
    item: Option<&Item>,
) -> Vec<String> {
    let mut says = Vec::new();
    let policy: &Policy = facts.policy(item.map_or(0, |i| i.policy));
    let reason = item.and_then(|i| i.reason).unwrap_or(Reason::Generic);
    let numbers = policy.numbers(scope, reason);
    match judged.state {
        State::Clear => {}
        State::Watched => {
            if let Some(pending) = &track.pending {
                says.push(match pending.until {
                    Some(until) => format!(
                        "another such failure on a later day before {until} suppresses the address"
                    ),
                    None => "another such failure on a later day suppresses the address".into(),
                });
            }
            if !track.strikes.is_empty() {
                says.push(format!(
                    "{} of {} strikes; {} on at least {} different days within {} suppress",
                    track.strikes.len(),
                    numbers.strikes,
                    numbers.strikes,
                    numbers.strike_days,
                    numbers.strike_window,
                ));
            }
            if numbers.life_clears {
                says.push("proof of life, attributed as well, clears it".to_string());
            }
        }
        State::Probation => says.extend([
            "one more try is allowed".to_string(),
            match judged.until {
                Some(until) if numbers.untried == Untried::Suppress => format!(
                    "a hard failure, or no try by {until}, suppresses the address without end"
                ),
                _ => "a hard failure suppresses the address without end".to_string(),
            },
            format!("a try without a failure for {} clears it", numbers.try_grace),
        ]),
        State::Held => says.extend([
            "the guard releases it by calm or by hand; it is watched then".to_string(),
            "after that another failure on a later day suppresses the address".to_string(),
        ]),
        State::Suppressed => {
            if let Some(until) = judged.until {
                let probation = track.stopped.as_ref().is_some_and(|s| {
                    s.probation_until.is_some() && Some(s.stop.item) == judged.item
                });
                says.push(match probation {
                    true => format!("on {until} probation begins: one more try"),
                    false => format!("it ends on {until}"),
                });
            }
            if track.complaint.is_some() {
                says.push("a not-spam report releases the complaint".to_string());
            }
            says.push("a person may release it, with a reason".to_string());
        }
    }
    says
}
