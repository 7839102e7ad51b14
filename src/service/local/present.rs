//! How a standing is shown: as the entry of docs/interface.md, "HTTP", in a sentence, as a refusal.

use serde_json::{Value, json};

use crate::classify::{Category, Class};
use crate::mail::EnhancedStatus;
use crate::policy::{Standing, State};

/// The entry of docs/interface.md, "HTTP".
pub(super) fn entry(standing: &Standing) -> Value {
    json!({
        "address": standing.address,
        "scope": standing.scope,
        "state": standing.state,
        "class": standing.class,
        "reason": standing.reason,
        "category": standing.category,
        "since": standing.since,
        "until": standing.until,
        "events": standing.events,
        "rule": standing.rule,
    })
}

/// What `explain` shows beyond the entry.
pub(super) fn merge(shown: &mut Value, standing: &Standing) {
    shown["clause"] = json!(standing.clause);
    shown["attribution"] = json!(standing.attribution);
    shown["seq"] = json!(standing.seq);
    shown["outlook"] = json!(standing.outlook);
}

/// Why an MTA is told to stop: `recipient suppressed since 2026-11-22: complaint, scope news`. The
/// scope is named where the stop holds in one only.
pub(super) fn stop_words(standing: &Standing) -> String {
    let since = standing.since.map(|t| t.to_string()).unwrap_or_default();
    let day = since.get(..10).unwrap_or_default();
    let reason = standing.reason.as_deref().unwrap_or("suppressed");
    let mut words = format!("recipient {} since {day}: {reason}", standing.state);
    if standing.scope != "*" {
        words.push_str(&format!(", scope {}", standing.scope));
    }
    words
}

/// One sentence for support staff.
pub(super) fn summary(address: &str, standing: Option<&Standing>, events: usize) -> String {
    let Some(standing) = standing.filter(|s| s.state != State::Clear) else {
        return format!("{address} may be mailed; {events} events are known of it");
    };
    let mut text = format!("{address} is {}", standing.state);
    if let Some(reason) = &standing.reason {
        text.push_str(&format!(" for {reason}"));
    }
    if standing.scope != "*" {
        text.push_str(&format!(" in scope {}", standing.scope));
    }
    if let Some(since) = standing.since {
        text.push_str(&format!(" since {since}"));
    }
    text.push_str(&match standing.until {
        Some(until) => format!(", until {until}"),
        None if standing.state == State::Suppressed => ", without end".to_string(),
        None => String::new(),
    });
    if let Some(clause) = &standing.clause {
        text.push_str(&format!("; the policy clause is {clause}"));
    }
    if let Some(rule) = &standing.rule {
        text.push_str(&format!(", the rule {rule}"));
    }
    text
}

/// The enhanced code of a refusal (RFC 3463): 5.1.1 for a dead mailbox, 5.2.2 for a full one, 5.7.1
/// where a person asked out, complained or was suppressed by hand, or where the sender was refused;
/// else 5.1.1.
pub(super) fn refusal(standing: &Standing) -> EnhancedStatus {
    match (standing.class, standing.category) {
        (Some(Class::MailboxFull), _) => EnhancedStatus::new(5, 2, 2),
        (None | Some(Class::Unsubscribe), _) | (_, Some(Category::Block)) => {
            EnhancedStatus::new(5, 7, 1)
        }
        _ => EnhancedStatus::new(5, 1, 1),
    }
}
