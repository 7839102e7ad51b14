//! Our words for people who do not know them: reasons, clauses of the policy, levels of
//! attribution, states, and times.
//!
//! The words themselves belong to `classify` and `policy`; here is what a support person reads
//! beside them. A word that is not known here gets no gloss, and the page shows it alone.

use crate::classify::Reason;

/// What a reason means.
pub fn reason(word: &str) -> &'static str {
    let Some(reason) = Reason::parse(word) else {
        return match word {
            "by-hand" => "a person asked for it",
            "complaint" => "the recipient reported a mail of ours as spam",
            "unsubscribe" => "the recipient wants no more mail",
            _ => "",
        };
    };
    match reason {
        Reason::UserUnknown => "the mailbox does not exist",
        Reason::MailboxInactive => "the mailbox is disabled, suspended or no longer used",
        Reason::AddressMoved => "the recipient is no longer at this address",
        Reason::AddressSyntax => "the address is malformed",
        Reason::DomainUnknown => "the domain does not exist",
        Reason::DomainNoMail => "the domain takes no mail",
        Reason::MailboxFull => "the mailbox is full",
        Reason::SystemFull => "the receiver's disk is full",
        Reason::SystemError => "the receiver's system failed",
        Reason::MailerError => "a delivery program of the receiver failed",
        Reason::ListExpansion => "a mailing list there could not be expanded",
        Reason::NetworkError => "the receiver could not be reached",
        Reason::DnsFailure => "the receiver's DNS did not answer",
        Reason::Expired => "it was tried for days and given up",
        Reason::MessageTooLarge => "the message is too large for the receiver",
        Reason::RateLimited => "too much mail at once for the receiver",
        Reason::Greylisted => "the receiver asks to try again later",
        Reason::Blocked => "the receiver refuses our server or domain",
        Reason::Reputation => "a block list or a bad reputation of our server or domain",
        Reason::SenderRejected => "the receiver refuses our sender address",
        Reason::Filtered => "the recipient's own filter refused it",
        Reason::ReverseDns => "our server has no or a wrong reverse DNS name",
        Reason::AuthFailure => "SPF, DKIM or DMARC of our mail failed",
        Reason::Policy => "refused by a policy of the receiver",
        Reason::Security => "the receiver wants TLS or other credentials",
        Reason::SpamContent => "this message looks like spam to the receiver",
        Reason::ContentRejected => "the receiver does not accept this message as it is written",
        Reason::Attachment => "the receiver refuses an attachment",
        Reason::Virus => "the receiver found a virus",
        Reason::RelayingDenied => "the server does not take mail for that domain",
        Reason::ProviderSuppressed => "a sending service has it on its own suppression list",
        Reason::SuppressedHere => "this is our own refusal; it counts in nothing",
        Reason::ProtocolError => "the receiver refused a command of the sending server",
        Reason::Generic => "it failed, and nothing says why",
        Reason::NoRecipient => "a failure that names no recipient",
        Reason::Undetermined => "no rule knows these words",
    }
}

/// What a clause of the policy says.
pub fn clause(clause: &str) -> &'static str {
    let known = [
        ("now/", "one such refusal is enough"),
        ("confirmed/", "it failed so again on a later day"),
        ("probation/untried", "nobody tried it again while that was allowed"),
        ("probation/", "it failed again when it was tried once more"),
        ("probation", "the suppression is over, and one more try is allowed"),
        ("strikes/", "it failed so often, on so many days, that sending stops"),
        ("watched/confirm", "such a failure counts when another one follows on a later day"),
        ("watched/strikes", "failures that may pass are counted, and are not enough yet"),
        (
            "guard/outage",
            "so many mailboxes of this provider failed at once that the provider is doubted, not \
             the address",
        ),
        (
            "guard/blast-radius",
            "so many addresses failed within an hour that new suppressions wait for a person",
        ),
        ("by-hand", "a person decided it"),
        ("import", "a person imported it from another list"),
        ("complaint", "one complaint is enough, in its scope"),
        ("unsubscribe", "one wish is enough, in its scope"),
        ("released", "a person released it"),
    ];
    known.iter().find(|(begins, _)| clause.starts_with(begins)).map_or("", |(_, words)| words)
}

/// How a report was tied to the address.
pub fn attribution(level: &str) -> &'static str {
    match level {
        "signed" => "our signature, or our own server, vouches for the recipient",
        "plain" => "the return path names the recipient, unsigned",
        "message-id" => "the returned mail is one that we know we sent",
        "report" => "only the report itself names the recipient",
        _ => "",
    }
}

/// What a state means for mail.
pub fn state(state: &str) -> &'static str {
    match state {
        "suppressed" => "Mail to this address is refused.",
        "held" => "Mail to this address is paused: the reports say stop, a guard doubts them.",
        "watched" => "Mail may be sent. It failed before, and further failures stop it.",
        "probation" => "Mail may be sent: after a suppression one more try is allowed.",
        "clear" => "Mail may be sent: nothing stands against this address.",
        _ => "",
    }
}

/// A text with its RFC 3339 times (`2026-11-22T10:00:00.123Z`) as people write them.
pub fn times(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut from) = (text, 0);
    while let Some(at) = rest.get(from..).and_then(|tail| tail.find('T')).map(|at| from + at) {
        match stamp(rest, at) {
            Some((date, clock, after)) => {
                out.push_str(rest.get(..at - date.len()).unwrap_or_default());
                out.push_str(date);
                out.push(' ');
                out.push_str(clock.get(..5).unwrap_or(clock));
                out.push_str(" UTC");
                (rest, from) = (after, 0);
            }
            None => from = at + 1,
        }
    }
    out.push_str(rest);
    out
}

/// Date and clock of a time that is nothing but one.
pub fn moment(text: &str) -> Option<(&str, &str)> {
    let (date, clock, after) = stamp(text, 10)?;
    after.is_empty().then_some((date, clock))
}

/// Date, clock to the second, and the text after the time whose `T` is at `at`.
fn stamp(text: &str, at: usize) -> Option<(&str, &str, &str)> {
    let date = text.get(at.checked_sub(10)?..at)?;
    let clock = text.get(at + 1..at + 9)?;
    let after = text.get(at + 9..)?;
    let after = match after.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => after,
    };
    let after = after.strip_prefix('Z')?;
    let shaped =
        text.get(at..=at)? == "T" && shaped(date, "0000-00-00") && shaped(clock, "00:00:00");
    shaped.then_some((date, clock, after))
}

/// Whether a text has digits where the pattern has them and else the same octets.
fn shaped(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(octet, wanted)| match wanted {
            b'0' => octet.is_ascii_digit(),
            _ => octet == wanted,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_people() {
        for (text, wanted) in [
            ("it ends on 2026-12-09T02:08:26.665Z", "it ends on 2026-12-09 02:08 UTC"),
            (
                "since 2026-11-25T02:08:26Z, until 2026-12-09T02:08:26.1Z; The rule",
                "since 2026-11-25 02:08 UTC, until 2026-12-09 02:08 UTC; The rule",
            ),
            ("T", "T"),
            ("2026-12-09T02:08:26", "2026-12-09T02:08:26"),
            ("åååååT02:08:26Z", "åååååT02:08:26Z"),
            ("2026-12-09T02:08:2åZ", "2026-12-09T02:08:2åZ"),
            ("TTT2026-12-09T02:08:26ZT", "TTT2026-12-09 02:08 UTCT"),
        ] {
            assert_eq!(times(text), wanted);
        }
        assert_eq!(moment("2026-12-09T02:08:26.665Z"), Some(("2026-12-09", "02:08:26")));
        for text in ["", "no end", "2026-12-09T02:08:26Z and more", "2026-12-09 02:08:26Z"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn every_reason_has_its_gloss() {
        for known in Reason::ALL {
            assert!(!reason(known.as_str()).is_empty(), "{known}");
        }
        assert_eq!(reason("never-heard"), "");
        assert_eq!(clause("probation/untried"), "nobody tried it again while that was allowed");
        assert_eq!(clause("never-heard"), "");
    }
}
