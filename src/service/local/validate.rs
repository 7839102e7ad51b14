//! Checks on what is asked, each error with its remedy.

use crate::mail::{Address, Timestamp};
use crate::policy::Standing;
use crate::service::{ListQuery, ServiceError};

pub(super) fn fits(standing: &Standing, query: &ListQuery) -> bool {
    query.class.is_none_or(|class| standing.class == Some(class))
        && query.since.is_none_or(|since| standing.since.is_some_and(|s| s >= since))
        && query.scope.as_ref().is_none_or(|scope| standing.scope == *scope)
}

pub(super) fn parsed(address: &str) -> Result<Address, ServiceError> {
    Address::parse(address).ok_or_else(|| {
        ServiceError::BadRequest(
            "that is no address; write one such as user@example.com".to_string(),
        )
    })
}

pub(super) fn checked_scope(scope: &str) -> Result<(), ServiceError> {
    if scope == "*" || crate::event::is_scope(scope) {
        return Ok(());
    }
    Err(ServiceError::BadRequest(
        "scope: `*` for all, or a name of letters, digits, `-`, `_` and `.`".to_string(),
    ))
}

/// A suppression that is over already would end the one that stands.
pub(super) fn still_to_come(until: Option<Timestamp>, now: Timestamp) -> Result<(), ServiceError> {
    match until {
        Some(until) if until <= now => Err(ServiceError::BadRequest(format!(
            "`until` {until} is over; write a later time, or leave it out for no end"
        ))),
        _ => Ok(()),
    }
}

pub(super) fn bounded(reason: &str) -> Result<String, ServiceError> {
    let reason = crate::report::bounded_words(reason);
    if reason.is_empty() {
        return Err(ServiceError::BadRequest("reason: say why, in a few words".to_string()));
    }
    Ok(reason)
}
