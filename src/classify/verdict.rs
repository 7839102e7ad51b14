//! What one recipient's part of a report means: reason first, and class, category and advice from
//! the reason by one table (docs/taxonomy.md, "Reasons"), never by a second judgement.

use crate::mail::{EnhancedStatus, ReplyCode, words};
use crate::report::StatusSource;

words! {
    /// Why a recipient failed. The finest of our words; everything else follows from it.
    Reason {
        /// The mailbox does not exist.
        UserUnknown = "user-unknown",
        /// Disabled, suspended, expired, locked, over-inactive.
        MailboxInactive = "mailbox-inactive",
        /// No longer at this address.
        AddressMoved = "address-moved",
        /// The address is malformed.
        AddressSyntax = "address-syntax",
        /// NXDOMAIN, no such host, no MX and no A.
        DomainUnknown = "domain-unknown",
        /// Null MX, or a host that accepts no mail.
        DomainNoMail = "domain-no-mail",
        /// Over quota.
        MailboxFull = "mailbox-full",
        /// The receiver's disk is full.
        SystemFull = "system-full",
        /// The receiver's system failed.
        SystemError = "system-error",
        /// A delivery program there failed.
        MailerError = "mailer-error",
        /// The mailing list there could not be expanded.
        ListExpansion = "list-expansion",
        /// Connection refused, reset, no route, loop.
        NetworkError = "network-error",
        /// SERVFAIL, DNS timeout.
        DnsFailure = "dns-failure",
        /// Gave up after trying.
        Expired = "expired",
        /// Too large for the mailbox or the system.
        MessageTooLarge = "message-too-large",
        /// Too fast, too many connections or recipients.
        RateLimited = "rate-limited",
        /// Try again later, by design.
        Greylisted = "greylisted",
        /// Refused for who we are.
        Blocked = "blocked",
        /// Known spam source, block list named, low reputation.
        Reputation = "reputation",
        /// Our envelope or header sender is refused.
        SenderRejected = "sender-rejected",
        /// The recipient's own filter refused it.
        Filtered = "filtered",
        /// No or wrong PTR.
        ReverseDns = "reverse-dns",
        /// SPF, DKIM, DMARC, ARC.
        AuthFailure = "auth-failure",
        /// Refused by policy, wording says no more.
        Policy = "policy",
        /// TLS needed or failed, command or credential refused.
        Security = "security",
        /// This message looks like spam.
        SpamContent = "spam-content",
        /// Header or body not acceptable.
        ContentRejected = "content-rejected",
        /// An attachment is refused.
        Attachment = "attachment",
        /// A virus was found.
        Virus = "virus",
        /// The receiver does not relay for that domain.
        RelayingDenied = "relaying-denied",
        /// A sending service's own suppression list stopped it.
        ProviderSuppressed = "provider-suppressed",
        /// Our own refusal came back: the report carries our mark.
        SuppressedHere = "suppressed-here",
        /// Syntax or sequence refused.
        ProtocolError = "protocol-error",
        /// Failed; nothing says why.
        Generic = "generic",
        /// A failure whose recipient nothing tells.
        NoRecipient = "no-recipient",
        /// Words that no rule knows.
        Undetermined = "undetermined",
    }
}

words! {
    /// What kind of trouble a failure is. Only these reach the suppression policy.
    Category {
        /// The address is dead.
        Hard = "hard",
        /// This may pass.
        Soft = "soft",
        /// We were refused, not the address.
        Block = "block",
        /// A sending service's own decision.
        Admin = "admin",
        /// Not known.
        Undetermined = "undetermined",
    }
}

words! {
    /// How sure a reason is: a hard one that is only inferred is confirmed before it suppresses.
    Certainty {
        /// The words, or a code that means just this, say so.
        Said = "said",
        /// Nobody is named, words and code disagree, or only the human part said it.
        Inferred = "inferred",
    }
}

words! {
    /// What the sender should do.
    Advice {
        /// Take the address off the list.
        Remove = "remove",
        /// Send again later.
        Retry = "retry",
        /// Change the message.
        FixMessage = "fix-message",
        /// Mend the sending side: authentication, reputation, DNS.
        FixSender = "fix-sender",
        /// Send more slowly.
        SlowDown = "slow-down",
        /// Nothing follows.
        None = "none",
    }
}

words! {
    /// The classes that SparkPost and Momentum made known; users compare with them.
    Class {
        /// 1
        Undetermined = "undetermined",
        /// 10
        InvalidRecipient = "invalid-recipient",
        /// 20
        SoftBounce = "soft-bounce",
        /// 21
        DnsFailure = "dns-failure",
        /// 22
        MailboxFull = "mailbox-full",
        /// 23
        TooLarge = "too-large",
        /// 24
        Timeout = "timeout",
        /// 25
        AdminFailure = "admin-failure",
        /// 30
        GenericBounceNoRcpt = "generic-bounce-no-rcpt",
        /// 40
        GenericBounce = "generic-bounce",
        /// 50
        MailBlock = "mail-block",
        /// 51
        SpamBlock = "spam-block",
        /// 52
        SpamContent = "spam-content",
        /// 53
        ProhibitedAttachment = "prohibited-attachment",
        /// 54
        RelayingDenied = "relaying-denied",
        /// 60
        AutoReply = "auto-reply",
        /// 70
        TransientFailure = "transient-failure",
        /// 80
        Subscribe = "subscribe",
        /// 90
        Unsubscribe = "unsubscribe",
        /// 100
        ChallengeResponse = "challenge-response",
    }
}

impl Class {
    /// The number of the SparkPost table.
    pub const fn code(self) -> u16 {
        match self {
            Self::Undetermined => 1,
            Self::InvalidRecipient => 10,
            Self::SoftBounce => 20,
            Self::DnsFailure => 21,
            Self::MailboxFull => 22,
            Self::TooLarge => 23,
            Self::Timeout => 24,
            Self::AdminFailure => 25,
            Self::GenericBounceNoRcpt => 30,
            Self::GenericBounce => 40,
            Self::MailBlock => 50,
            Self::SpamBlock => 51,
            Self::SpamContent => 52,
            Self::ProhibitedAttachment => 53,
            Self::RelayingDenied => 54,
            Self::AutoReply => 60,
            Self::TransientFailure => 70,
            Self::Subscribe => 80,
            Self::Unsubscribe => 90,
            Self::ChallengeResponse => 100,
        }
    }
}

impl Reason {
    /// Class of this reason (docs/taxonomy.md, "Reasons").
    pub const fn class(self) -> Class {
        use Reason as R;
        match self {
            R::UserUnknown
            | R::MailboxInactive
            | R::AddressMoved
            | R::AddressSyntax
            | R::DomainUnknown
            | R::DomainNoMail => Class::InvalidRecipient,
            R::MailboxFull => Class::MailboxFull,
            R::SystemFull
            | R::SystemError
            | R::MailerError
            | R::ListExpansion
            | R::NetworkError => Class::SoftBounce,
            R::DnsFailure => Class::DnsFailure,
            R::Expired => Class::Timeout,
            R::MessageTooLarge => Class::TooLarge,
            R::RateLimited | R::Greylisted => Class::TransientFailure,
            R::Reputation => Class::SpamBlock,
            R::Blocked
            | R::SenderRejected
            | R::Filtered
            | R::ReverseDns
            | R::AuthFailure
            | R::Policy
            | R::Security
            | R::ContentRejected => Class::MailBlock,
            R::SpamContent => Class::SpamContent,
            R::Attachment | R::Virus => Class::ProhibitedAttachment,
            R::RelayingDenied => Class::RelayingDenied,
            R::ProviderSuppressed | R::SuppressedHere => Class::AdminFailure,
            R::ProtocolError | R::Generic => Class::GenericBounce,
            R::NoRecipient => Class::GenericBounceNoRcpt,
            R::Undetermined => Class::Undetermined,
        }
    }

    /// Category of this reason.
    pub const fn category(self) -> Category {
        match self.class() {
            Class::InvalidRecipient => Category::Hard,
            Class::MailBlock
            | Class::SpamBlock
            | Class::SpamContent
            | Class::ProhibitedAttachment
            | Class::RelayingDenied => Category::Block,
            Class::AdminFailure => Category::Admin,
            Class::GenericBounceNoRcpt | Class::Undetermined => Category::Undetermined,
            _ => Category::Soft,
        }
    }

    /// Advice that goes with this reason.
    pub const fn advice(self) -> Advice {
        use Reason as R;
        match self {
            R::UserUnknown
            | R::MailboxInactive
            | R::AddressMoved
            | R::AddressSyntax
            | R::DomainUnknown
            | R::DomainNoMail
            | R::ProviderSuppressed
            | R::SuppressedHere => Advice::Remove,
            R::MailboxFull
            | R::SystemFull
            | R::SystemError
            | R::MailerError
            | R::ListExpansion
            | R::NetworkError
            | R::DnsFailure
            | R::Expired
            | R::Greylisted => Advice::Retry,
            R::RateLimited => Advice::SlowDown,
            R::MessageTooLarge | R::SpamContent | R::ContentRejected | R::Attachment | R::Virus => {
                Advice::FixMessage
            }
            R::Blocked
            | R::Reputation
            | R::SenderRejected
            | R::ReverseDns
            | R::AuthFailure
            | R::Policy
            | R::Security
            | R::RelayingDenied
            | R::ProtocolError => Advice::FixSender,
            R::Filtered | R::Generic | R::NoRecipient | R::Undetermined => Advice::None,
        }
    }
}

/// The judgement on one recipient, with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Why; None when the recipient did not fail.
    pub reason: Option<Reason>,
    /// The code in force after words and field were weighed
    /// (docs/taxonomy.md, "How a reason is found").
    pub status: Option<EnhancedStatus>,
    /// Where `status` came from.
    pub status_source: Option<StatusSource>,
    /// The SMTP reply code of the diagnostic.
    pub reply_code: Option<ReplyCode>,
    /// Provider of the closed table that refused (`google`, `microsoft-365`, ...).
    pub provider: Option<&'static str>,
    /// Id of the rule that decided, such as `google-no-such-user` or `iana/5.1.1`.
    pub rule: String,
    /// File and line of that rule, such as `10-google.toml:12`.
    pub rule_at: String,
    /// The piece of text that the rule matched.
    pub matched: String,
    /// The human part was read, too: what the server said is not all that decided.
    pub remarks_read: bool,
    /// Whether the reason was said or is inferred.
    pub certainty: Certainty,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
            assert_eq!(serde_json::to_string(reason).expect("a word"), format!("\"{reason}\""));
        }
    }

    #[test]
    fn the_table_of_the_taxonomy() {
        for (reason, code, category, advice) in [
            (Reason::UserUnknown, 10, "hard", "remove"),
            (Reason::MailboxFull, 22, "soft", "retry"),
            (Reason::DnsFailure, 21, "soft", "retry"),
            (Reason::Expired, 24, "soft", "retry"),
            (Reason::MessageTooLarge, 23, "soft", "fix-message"),
            (Reason::RateLimited, 70, "soft", "slow-down"),
            (Reason::Reputation, 51, "block", "fix-sender"),
            (Reason::SpamContent, 52, "block", "fix-message"),
            (Reason::Virus, 53, "block", "fix-message"),
            (Reason::RelayingDenied, 54, "block", "fix-sender"),
            (Reason::ProviderSuppressed, 25, "admin", "remove"),
            (Reason::SuppressedHere, 25, "admin", "remove"),
            (Reason::ProtocolError, 40, "soft", "fix-sender"),
            (Reason::NoRecipient, 30, "undetermined", "none"),
            (Reason::Undetermined, 1, "undetermined", "none"),
        ] {
            assert_eq!(reason.class().code(), code, "{reason}");
            assert_eq!(reason.category().as_str(), category, "{reason}");
            assert_eq!(reason.advice().as_str(), advice, "{reason}");
        }
    }
}
