//! Addresses that a report cannot speak against: our own, and those of mail programs.
//!
//! A report says which address failed, and anyone can write one. Nobody mails these on a list, so
//! such a claim is a mistake of a reader or a stranger's wish; either way it is evidence only.

use crate::event::Event;
use crate::mail::plain_local;
use crate::policy::settings::Policy;
use crate::report::Attribution;

/// Local parts of programs and of those who mind them, without the case of their letters.
const PROGRAMS: &[&str] = &[
    "postmaster",
    "mailer-daemon",
    "mailer_daemon",
    "mailerdaemon",
    "mail-daemon",
    "mail_daemon",
    "maildaemon",
    "mdaemon",
    "daemon",
    "double-bounce",
    "null",
    "devnull",
    "dev-null",
    "nobody",
];

/// How Exchange names itself as a sender: these letters and a number that is the same everywhere.
const EXCHANGE: &str = "microsoftexchange329e71ec88ae4615bbc36ab6ce41109e";

/// Must this address (key form) not be stopped by what a report says? Our own domains never; a
/// program or a postmaster only where a signed token says that we mailed them.
pub(crate) fn is_reserved(
    policy: &Policy,
    event: &Event,
    attribution: Attribution,
    address: &str,
) -> bool {
    // A journal of a release that had no such rule is folded as it was then.
    let Some(own_domains) = &policy.own_domains else { return false };
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let domain = domain.trim_end_matches('.');
    if own_domains.iter().any(|own| own.eq_ignore_ascii_case(domain)) {
        return true;
    }
    if attribution == Attribution::Signed {
        return false;
    }
    is_program(local) || is_end_of(event, address)
}

/// Is this the local part of a program, or of the people who look after it, and so not of one
/// person?
pub fn is_program(local: &str) -> bool {
    let local = plain_local(local);
    PROGRAMS.contains(&local.as_str()) || local == EXCHANGE
}

/// Is it who sent this report, or where the report went to?
fn is_end_of(event: &Event, address: &str) -> bool {
    let Some(envelope) = &event.envelope else { return false };
    let ends = std::iter::once(&envelope.from).chain(&envelope.to);
    ends.map(|path| path.trim_matches(['<', '>'])).any(|path| is_same(path, address))
}

/// Whether two addresses are one mailbox, however they are quoted. A tag tells two apart here: a
/// signed return path is one.
fn is_same(one: &str, other: &str) -> bool {
    let read = |text: &str| {
        let (local, domain) = text.rsplit_once('@').unwrap_or((text, ""));
        let tag = local.split_once('+').map(|(_, tag)| tag.to_lowercase());
        (plain_local(local), tag, domain.trim_end_matches('.').to_ascii_lowercase())
    };
    one.eq_ignore_ascii_case(other) || read(one) == read(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_however_they_are_written() {
        for local in [
            "mailer-daemon",
            "MAILER-DAEMON",
            "\"mailer-daemon\"",
            "\"mailer\\-daemon\"",
            "\"m\\a\\i\\l\\e\\r-daemon\"",
            "postmaster+bounces",
            "postmaster.",
            "\"postmaster \"",
            "postmaster(our own)",
            "MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e",
        ] {
            assert!(is_program(local), "{local}");
        }
        for local in ["ann", "postmasters", "ann+postmaster", "\"mailer daemon\"", "nobody.else"] {
            assert!(!is_program(local), "{local}");
        }
    }

    #[test]
    fn the_ends_of_a_report_however_they_are_written() {
        for (one, other, same) in [
            ("b+tok@Example.COM", "b+tok@example.com", true),
            ("\"b\"@example.com", "b@example.com", true),
            ("b@example.com.", "b@example.com", true),
            ("b+1@example.com", "b+2@example.com", false),
            ("b+1@example.com", "b@example.com", false),
            ("b@example.com", "b@example.org", false),
        ] {
            assert_eq!(is_same(one, other), same, "{one} {other}");
        }
    }
}
