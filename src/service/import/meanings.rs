//! What the words of other lists mean: one table for all of them. Words are compared by their
//! letters and digits alone, so that `hard_bounce`, `HardBounce` and `hard bounce` are one.

use crate::classify::Reason as R;
use crate::event::Cause;

/// What a word, a flag or a code says of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sense {
    /// Sending stops, and why.
    Is(Cause),
    /// It may pass: taken with `--all` only.
    Soft,
    /// The sender was refused, not the address: taken with `--all` only.
    Block,
    /// No suppression; the sentence says what it is.
    Not(&'static str),
}

/// A bounce of which no more is said than that the list stops mail for it.
pub(super) const BOUNCE: Sense = Sense::Is(Cause::Failure(R::ProviderSuppressed));
/// Its opposite.
pub(super) const SUBSCRIBER: Sense = Sense::Not("a subscriber, no suppression");
const COMPLAINT: Sense = Sense::Is(Cause::Complaint);
const UNSUBSCRIBE: Sense = Sense::Is(Cause::Unsubscribe);
const BY_HAND: Sense = Sense::Is(Cause::ByHand);
const NO_FAILURE: Sense = Sense::Not("no failure of an address");

const fn failed(reason: R) -> Sense {
    Sense::Is(Cause::Failure(reason))
}

/// Letters and digits of a word in lower case, and dots.
pub(super) fn plain(word: &str) -> String {
    let kept = word.chars().filter(|c| c.is_alphanumeric() || *c == '.');
    kept.flat_map(char::to_lowercase).collect()
}

/// What a word says; None when it is none of these.
pub(super) fn sense(word: &str) -> Option<Sense> {
    if word.len() > 64 {
        return None;
    }
    let plain = plain(word);
    WORDS.iter().find(|(words, _)| words.contains(&plain.as_str())).map(|(_, sense)| *sense)
}

const WORDS: [(&[&str], Sense); 43] = [
    (
        // SES BOUNCE, Mandrill hard-bounce, Postmark HardBounce, Brevo hardBounce, SparkPost "Bounce
        // Rule", Mailchimp cleaned, listmonk hard, Postal "too many hard fails".
        &[
            "bounce",
            "bounces",
            "bounced",
            "hardbounce",
            "hardbounces",
            "hard",
            "permanent",
            "permanentfailure",
            "bouncerule",
            "cleaned",
            "hardfail",
            "toomanyhardfails",
            "failed",
            "failure",
            "undeliverable",
            "undelivered",
            "invalid",
        ],
        BOUNCE,
    ),
    (
        &[
            "complaint",
            "complaints",
            "spam",
            "spamreport",
            "spamreports",
            "spamcomplaint",
            "spamcomplaints",
            "contactflaggedasspam",
            "abuse",
            "feedback",
            "reportedasspam",
            "markedasspam",
            "complained",
            "flaggedasspam",
        ],
        COMPLAINT,
    ),
    (
        &[
            "unsub",
            "unsubscribe",
            "unsubscribed",
            "unsubscribes",
            "optout",
            "optedout",
            "listunsubscribe",
            "unsubscribelink",
            "unsubscribedviaemail",
            "unsubscribedviama",
            "unsubscribedviaapi",
            "globalunsubscribe",
            "groupunsubscribe",
            "linkunsubscribe",
        ],
        UNSUBSCRIBE,
    ),
    (
        &[
            "byhand",
            "manual",
            "manually",
            "manuallyadded",
            "manualsuppression",
            "custom",
            "adminblocked",
            "manuallydeactivated",
            "blocklisted",
            "blacklisted",
            "compliance",
            "donotcontact",
            "donotmail",
        ],
        BY_HAND,
    ),
    (
        &[
            "soft",
            "softbounce",
            "softbounces",
            "softbounced",
            "transient",
            "temporary",
            "temporaryfailure",
            "deferred",
            "deferral",
            "delayed",
            "toomanysoftfails",
            "softfail",
            "dnserror",
            "undetermined",
            "delay",
            "timeout",
            "timedout",
            "connectiontimedout",
            "tempfail",
            "temporarilydeferred",
            "dropped",
            "drop",
        ],
        Sense::Soft,
    ),
    (
        &[
            "block",
            "blocks",
            "blocked",
            "rejectedbyisp",
            "ispblock",
            "smtpapierror",
            "spamnotification",
        ],
        Sense::Block,
    ),
    (
        &[
            "subscribed",
            "active",
            "enabled",
            "confirmed",
            "pending",
            "unconfirmed",
            "transactional",
            "subscribe",
            "nonsubscribed",
            "archived",
        ],
        SUBSCRIBER,
    ),
    (&["disabled"], Sense::Not("disabled there, which names no reason to stop")),
    (
        &[
            "vacation",
            "autoresponder",
            "delivered",
            "delivery",
            "sent",
            "open",
            "opened",
            "click",
            "clicked",
            "processed",
            "process",
            "accepted",
            "received",
            "queued",
            "injection",
            "reception",
            "scheduled",
            "request",
            "requests",
            "send",
            "ok",
            "success",
            "notspam",
            "outofoffice",
            "autoreply",
            "read",
            "relayed",
            "expanded",
            "addresschange",
            "challengeverification",
            "openrelaytest",
            "templaterenderingfailed",
        ],
        NO_FAILURE,
    ),
    // Sisimai's reasons, from 4 to 5.6.
    (&["userunknown", "mailboxnotfound", "nosuchuser", "unknownuser"], failed(R::UserUnknown)),
    (&["hasmoved", "addressmoved"], failed(R::AddressMoved)),
    (&["hostunknown", "domainunknown"], failed(R::DomainUnknown)),
    (&["suspend", "mailboxinactive", "inactive"], failed(R::MailboxInactive)),
    (&["notaccept", "domainnomail"], failed(R::DomainNoMail)),
    (
        &[
            "mailboxfull",
            "mailboxisfull",
            "quotaexceeded",
            "mailboxquotaexceeded",
            "overquota",
            "full",
        ],
        failed(R::MailboxFull),
    ),
    (&["filtered"], failed(R::Filtered)),
    (&["rejected"], failed(R::SenderRejected)),
    (&["norelaying", "relayingdenied"], failed(R::RelayingDenied)),
    (&["expired"], failed(R::Expired)),
    (
        &["mesgtoobig", "emailtoolarge", "exceedlimit", "messagetoolarge"],
        failed(R::MessageTooLarge),
    ),
    (&["systemfull"], failed(R::SystemFull)),
    (&["systemerror"], failed(R::SystemError)),
    (&["networkerror"], failed(R::NetworkError)),
    (&["mailererror"], failed(R::MailerError)),
    (&["contenterror", "notcompliantrfc"], failed(R::ContentRejected)),
    (&["spamdetected"], failed(R::SpamContent)),
    (&["virusdetected", "virusnotification"], failed(R::Virus)),
    (&["policyviolation", "dmarcpolicy"], failed(R::Policy)),
    (&["securityerror", "failedstarttls"], failed(R::Security)),
    (&["syntaxerror"], failed(R::ProtocolError)),
    (&["toomanyconn", "ratelimited", "speeding"], failed(R::RateLimited)),
    (&["badreputation"], failed(R::Reputation)),
    (&["authfailure"], failed(R::AuthFailure)),
    (&["requireptr"], failed(R::ReverseDns)),
    (&["greylisted"], failed(R::Greylisted)),
    (&["suppressed"], failed(R::ProviderSuppressed)),
    (
        &["bademailaddress", "invalidemailaddress", "invalidemail", "malformed"],
        failed(R::AddressSyntax),
    ),
    (&["undefined", "onhold", "unknown"], failed(R::Undetermined)),
    // Categories of PowerMTA, and classes of KumoMTA.
    (&["badmailbox", "invalidrecipient"], failed(R::UserUnknown)),
    (&["inactivemailbox"], failed(R::MailboxInactive)),
    (&["baddomain"], failed(R::DomainUnknown)),
    (
        &[
            "quotaissues",
            "noanswerfromhost",
            "routingerrors",
            "messageexpired",
            "badconfiguration",
            "badconnection",
            "other",
            "uncategorized",
        ],
        Sense::Soft,
    ),
    (
        &[
            "policyrelated",
            "spamrelated",
            "spamblock",
            "spamcontent",
            "contentrelated",
            "virusrelated",
            "relayingissues",
            "relaydenied",
            "invalidsender",
            "protocolerrors",
            "authenticationfailed",
        ],
        Sense::Block,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_one_thing_each() {
        let all: Vec<&str> = WORDS.iter().flat_map(|(words, _)| words.iter().copied()).collect();
        for word in &all {
            assert_eq!(plain(word), *word, "as it is compared");
            assert_eq!(all.iter().filter(|other| *other == word).count(), 1, "{word}");
        }
        for (word, meant) in [
            ("BOUNCE", Some(BOUNCE)),
            ("hard_bounce", Some(BOUNCE)),
            ("Spam Complaint", Some(COMPLAINT)),
            ("ManualSuppression", Some(BY_HAND)),
            ("soft-bounce", Some(Sense::Soft)),
            ("mailboxfull", Some(failed(R::MailboxFull))),
            ("moved far away", None),
            ("", None),
        ] {
            assert_eq!(sense(word), meant, "{word}");
        }
    }
}
