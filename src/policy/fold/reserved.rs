//! Whom a report cannot speak against: addresses that are ours, or a mail program's.
//!
//! A report says which address failed, and anyone can write one. Nobody mails these on a list, so
//! such a claim is a mistake of a reader or a stranger's wish; either way it is evidence only.

use crate::event::Event;
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
    if own_domains.iter().any(|own| own.eq_ignore_ascii_case(domain)) {
        return true;
    }
    if attribution == Attribution::Signed {
        return false;
    }
    is_program(local) || is_end_of(event, address)
}

/// Is this the local part of a program, or of whoever minds it, and so of no person?
pub fn is_program(local: &str) -> bool {
    let local = local.trim_matches('"');
    PROGRAMS.iter().any(|name| local.eq_ignore_ascii_case(name))
        || local.eq_ignore_ascii_case(EXCHANGE)
}

/// Is it who sent this report, or where the report went to?
fn is_end_of(event: &Event, address: &str) -> bool {
    let Some(envelope) = &event.envelope else { return false };
    let ends = std::iter::once(&envelope.from).chain(&envelope.to);
    ends.map(|path| path.trim_matches(['<', '>'])).any(|path| path.eq_ignore_ascii_case(address))
}
