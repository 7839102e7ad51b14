//! Checks the arguments of operations; each error says its remedy.

use crate::mail::{Address, Timestamp};
use crate::policy::Standing;
use crate::service::{ListQuery, ServiceError};

pub(super) fn fits(standing: &Standing, query: &ListQuery) -> bool {
    query.class.is_none_or(|class| standing.class == Some(class))
        && query.since.is_none_or(|since| standing.since.is_some_and(|s| s >= since))
}

pub(super) fn parsed(address: &str) -> Result<Address, ServiceError> {
    Address::parse(address).ok_or_else(|| {
        ServiceError::BadRequest(
            "that is no address; write one such as user@example.com".to_string(),
        )
    })
}

/// An address as a person or a list writes it. Bounces may name stranger ones, which no list means.
pub(super) fn written(address: &str) -> Result<Address, ServiceError> {
    let wrong = |what: &str| Err(ServiceError::BadRequest(what.to_string()));
    let read = parsed(address)?;
    let quoted = read.local().starts_with('"') && read.local().ends_with('"');
    match read.local() {
        _ if quoted => Ok(read),
        "*" => wrong(
            "that is every address of a domain; this list holds single ones: write each, or refuse \
             the domain at the sending server",
        ),
        local if local.contains('@') => wrong(
            "that is more than one address, or none; write one on each line (with curl: \
             --data-binary, not -d)",
        ),
        local if local.contains([' ', '<', '>', ',', ';', ':']) => {
            wrong("that is no address; write one such as user@example.com")
        }
        _ => Ok(read),
    }
}

/// A domain as keys have it, an IDN in its A-labels. A list of one that cannot be is empty for
/// another reason than its reader thinks.
pub(super) fn checked_domain(domain: &str) -> Result<String, ServiceError> {
    let key = Address::parse(&format!("a@{domain}")).map(|address| address.key());
    match key.as_deref().and_then(|key| key.strip_prefix("a@")) {
        Some(key) if !domain.contains('@') => Ok(key.to_string()),
        _ => Err(ServiceError::BadRequest(format!(
            "domain: `{domain}` is no domain; write one such as example.com"
        ))),
    }
}

/// Where a message came to must be a return path that SMTP would take: at another one its token
/// would not be read, and the message would count for less than the caller thinks.
pub(super) fn checked_return_path(to: &str, domains: &[String]) -> Result<(), ServiceError> {
    if to.eq_ignore_ascii_case("postmaster") {
        return Ok(());
    }
    let wrong = |what: String| Err(ServiceError::BadRequest(what));
    match Address::parse(to) {
        None => wrong(format!(
            "to: `{to}` is no address; write the return path that the message came to, such as \
             bounces+user=example.com@bounce.example.com, or leave it out"
        )),
        Some(address)
            if domains.is_empty()
                || domains.iter().any(|d| address.domain().eq_ignore_ascii_case(d)) =>
        {
            Ok(())
        }
        Some(address) => wrong(format!(
            "to: {} is not in smtp.domains ({}), SMTP would refuse it; write the return path that \
             the message came to, or leave it out",
            address.domain(),
            domains.join(", ")
        )),
    }
}

/// `IP`, or `local` for what was fed in on this machine.
pub(super) fn checked_peer(peer: &str) -> Result<(), ServiceError> {
    if peer == "local" || peer.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    Err(ServiceError::BadRequest(format!(
        "peer: `{peer}` is no IP address; write one as events have it, or local"
    )))
}

pub(super) fn checked_scope(scope: &str) -> Result<(), ServiceError> {
    if scope == "*" || crate::event::is_scope(scope) {
        return Ok(());
    }
    Err(ServiceError::BadRequest(
        "scope: `*` for all, or a name of letters, digits, `-`, `_` and `.`".to_string(),
    ))
}

/// A suppression that is over already would end the one that holds.
pub(super) fn still_to_come(until: Option<Timestamp>, now: Timestamp) -> Result<(), ServiceError> {
    match until {
        Some(until) if until <= now => Err(ServiceError::BadRequest(format!(
            "`until` {until} is over; write a later time, or leave it out for no end"
        ))),
        _ => Ok(()),
    }
}

/// The name of a rule, of ours or of who exported: no text, which could name a person.
pub(super) fn checked_rule(rule: &str) -> Result<(), ServiceError> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_./*:+".contains(&b);
    match !rule.is_empty() && rule.len() <= 64 && rule.bytes().all(fits) {
        true => Ok(()),
        false => Err(ServiceError::BadRequest(format!(
            "rule: `{rule}` is no name of a rule; write one such as iana/5.1.1, or leave it out"
        ))),
    }
}

pub(super) fn bounded(reason: &str) -> Result<String, ServiceError> {
    let reason = crate::report::bounded_words(reason);
    if reason.is_empty() {
        return Err(ServiceError::BadRequest("reason: say why, in a few words".to_string()));
    }
    Ok(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_said_with_a_remedy() {
        let domains = ["bounce.example.com".to_string()];
        for (to, words) in [
            ("bounces+u=example.com@bounce.example.com", None),
            ("x@BOUNCE.example.com", None),
            ("Postmaster", None),
            ("nope", Some("`nope` is no address")),
            ("", Some("is no address")),
            ("x@other.example", Some("other.example is not in smtp.domains (bounce.example.com)")),
        ] {
            let said = checked_return_path(to, &domains).err().map(|error| error.to_string());
            assert_eq!(said.is_some(), words.is_some(), "{to}: {said:?}");
            assert!(said.unwrap_or_default().contains(words.unwrap_or_default()), "{to}");
        }
        // Without smtp.domains every domain is taken.
        assert_eq!(checked_return_path("x@other.example", &[]), Ok(()));
        for (domain, fits) in [
            ("example.com", true),
            ("Example.COM", true),
            ("", false),
            ("@", false),
            ("a b", false),
        ] {
            assert_eq!(checked_domain(domain).is_ok(), fits, "{domain}");
        }
        for (domain, key) in [("Example.COM", "example.com"), ("exämple.com", "xn--exmple-cua.com")]
        {
            assert_eq!(checked_domain(domain).as_deref(), Ok(key));
        }
        for (peer, fits) in
            [("192.0.2.1", true), ("2001:db8::1", true), ("local", true), ("nope", false)]
        {
            assert_eq!(checked_peer(peer).is_ok(), fits, "{peer}");
        }
        for (scope, fits) in [("*", true), ("news", true), ("***", false), ("", false)] {
            assert_eq!(checked_scope(scope).is_ok(), fits, "{scope}");
        }
    }
}
