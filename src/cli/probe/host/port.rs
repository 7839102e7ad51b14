//! What the mail port of a host says to a stranger, in words.

use crate::cli::probe::finding::{Finding, Grade, finding};
use crate::cli::probe::smtp::{NoVisit, PortVisit, Reply};

pub(super) fn no_visit(at: &str, port: u16, why: &NoVisit) -> Finding {
    let (grade, words) = match why {
        NoVisit::Refused => (
            Grade::Fail,
            format!(
                "nothing listens on port {port} of {at}, senders keep their mail: write listen = \
                 [\"[::]:25\"] or start bounced.socket (docs/install.md), or start the mail server there"
            ),
        ),
        NoVisit::Unreachable(why) => (
            Grade::Warn,
            format!(
                "port {port} of {at} cannot be reached from here ({why}): many networks close it for \
                 their own machines, so ask from another one; if it is closed there, too, open the firewall"
            ),
        ),
        NoVisit::Unwilling(why) => (
            Grade::Warn,
            format!("port {port} of {at} is open and does not talk to us ({why}): look at its log"),
        ),
    };
    finding(grade, "port25", words)
}

/// A no to MAIL FROM:<> (RFC 5321, section 4.5.5).
pub(super) fn refused_bounces(at: &str, reply: &Reply) -> Finding {
    let (grade, more) = match reply.code / 100 {
        4 => (Grade::Warn, "now"),
        _ => (Grade::Fail, "and bounces have no other sender: let it take them"),
    };
    finding(grade, "port25", format!("{at} answers `{}` to MAIL FROM:<>, {more}", reply.line))
}

pub(super) fn postmaster(at: &str) -> impl Fn(&(String, Reply)) -> Finding {
    move |(domain, reply)| {
        let (grade, words) = match reply.code / 100 {
            2 => (Grade::Ok, format!("{at} takes mail for postmaster@{domain}")),
            4 => (
                Grade::Warn,
                format!("{at} does not take mail for postmaster@{domain} now: `{}`", reply.line),
            ),
            _ => (
                Grade::Fail,
                format!(
                    "{at} refuses mail for postmaster@{domain}: `{}`; is {domain} in its list of domains? \
                     RFC 5321 (section 4.5.1) wants that address",
                    reply.line
                ),
            ),
        };
        finding(grade, "postmaster", words)
    }
}

pub(super) fn relay(at: &str, visit: &PortVisit) -> Option<Finding> {
    let worst = visit.relay.iter().min_by_key(|reply| reply.code)?;
    let (grade, words) = match worst.code / 100 {
        2 if visit.to_ourselves => (
            Grade::Warn,
            format!(
                "{at} relays for this machine, as mail servers may: ask from another one whether it does for \
                 strangers"
            ),
        ),
        2 => (
            Grade::Fail,
            format!(
                "{at} takes mail for other people's domains (`{}`): close it, unless this machine is one \
                 that it sends for",
                worst.line
            ),
        ),
        4 => (
            Grade::Warn,
            format!("{at} does not say whether it relays: `{}`; ask again later", worst.line),
        ),
        _ => (Grade::Ok, format!("{at} is no open relay")),
    };
    Some(finding(grade, "relay", words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::probe::smtp::StartTls;

    #[test]
    fn a_relay_is_told_from_a_server_that_sends_for_its_own_machine() {
        for (codes, to_ourselves, grade) in [
            (&[550, 554][..], false, Some(Grade::Ok)),
            (&[550, 250], false, Some(Grade::Fail)),
            (&[550, 250], true, Some(Grade::Warn)),
            (&[450, 550], false, Some(Grade::Warn)),
            (&[], false, None),
        ] {
            let reply = |code: &u16| Reply { code: *code, line: format!("{code} words") };
            let visit = PortVisit {
                greeting: String::new(),
                starttls: StartTls::NotOffered,
                refused_bounces: None,
                postmasters: Vec::new(),
                relay: codes.iter().map(reply).collect(),
                to_ourselves,
                broken: None,
            };
            assert_eq!(relay("mx.example", &visit).map(|found| found.grade), grade, "{codes:?}");
        }
    }
}
