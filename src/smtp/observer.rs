//! What a session reports to the metrics: closed sets only, so that no stranger can make a metric
//! grow (docs/reliability.md, "Metric labels"). `serve/metrics.rs` implements [`Observer`]; a
//! session works without.

use std::time::Duration;

use super::{Dialect, Verb};

/// Hears what happens. Every method may be called from any thread and must not block.
pub trait Observer: Send + Sync {
    /// A connection was accepted and has a session now.
    fn opened(&self, _dialect: Dialect) {}
    /// A connection ended after that time, or was turned away before it had a session
    /// (`Outcome::RefusedLimit`).
    fn closed(&self, _dialect: Dialect, _outcome: Outcome, _lasted: Duration) {}
    /// Something was refused.
    fn rejected(&self, _reason: Rejection) {}
    /// A command was answered. `code` is the reply code.
    fn command(&self, _verb: Verb, _code: u16) {}
    /// A TLS handshake ended; the version is `TLSv1_2` or `TLSv1_3` when it succeeded.
    fn handshake(&self, _version: Option<&'static str>) {}
}

/// Counts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}

/// How a connection ended (label `outcome`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// QUIT, or the client closed between transactions.
    Ok,
    /// Turned away with `421 4.7.0`: too many connections.
    RefusedLimit,
    /// The TLS handshake failed.
    TlsFailed,
    /// A deadline passed.
    Timeout,
    /// We closed because of what the client did.
    ProtocolError,
    /// The client was gone in the middle of something.
    Dropped,
    /// We closed because the service stops.
    Shutdown,
    /// The session panicked. That is a defect of ours; others were not touched.
    Panic,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::RefusedLimit,
        Self::TlsFailed,
        Self::Timeout,
        Self::ProtocolError,
        Self::Dropped,
        Self::Shutdown,
        Self::Panic,
    ];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::RefusedLimit => "refused_limit",
            Self::TlsFailed => "tls_failed",
            Self::Timeout => "timeout",
            Self::ProtocolError => "protocol_error",
            Self::Dropped => "dropped",
            Self::Shutdown => "shutdown",
            Self::Panic => "panic",
        }
    }
}

/// Why something was refused (label `reason` of `bounced_smtp_rejections_total`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The recipient's domain is not ours.
    UnknownDomain,
    /// A signed return path was required and this one carries none.
    VerpMissing,
    /// The signature of the return path is wrong.
    VerpBadSignature,
    /// The signature of the return path is too old.
    VerpExpired,
    /// An address cannot be read.
    BadAddress,
    /// A parameter is unknown or wrong.
    BadParameter,
    /// A command came out of order.
    BadSequence,
    /// A command is unknown or not offered.
    UnknownCommand,
    /// A command holds control characters or octets that are not UTF-8.
    BadCharacter,
    /// A command line is too long.
    LineTooLong,
    /// A message is over the size limit.
    TooBig,
    /// Too many recipients.
    TooManyRecipients,
    /// A bare CR or LF in DATA, where the configuration refuses it.
    BareNewline,
    /// Text was sent after DATA before the 354.
    EarlyTalk,
    /// Text was sent after STARTTLS.
    StarttlsInjection,
    /// HTTP, or another protocol that does not belong here.
    WrongProtocol,
    /// Too many errors.
    TooManyErrors,
    /// Too many commands that lead nowhere.
    TooManyJunk,
    /// A deadline passed.
    Timeout,
    /// Too many connections in all.
    ConnectionLimit,
    /// Too many connections from one address.
    ConnectionLimitPerIp,
    /// All sessions together hold too much message text.
    OutOfMemory,
    /// The message could not be committed.
    StoreUnavailable,
    /// The disk is nearly full.
    StoreFull,
}

impl Rejection {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::UnknownDomain,
        Self::VerpMissing,
        Self::VerpBadSignature,
        Self::VerpExpired,
        Self::BadAddress,
        Self::BadParameter,
        Self::BadSequence,
        Self::UnknownCommand,
        Self::BadCharacter,
        Self::LineTooLong,
        Self::TooBig,
        Self::TooManyRecipients,
        Self::BareNewline,
        Self::EarlyTalk,
        Self::StarttlsInjection,
        Self::WrongProtocol,
        Self::TooManyErrors,
        Self::TooManyJunk,
        Self::Timeout,
        Self::ConnectionLimit,
        Self::ConnectionLimitPerIp,
        Self::OutOfMemory,
        Self::StoreUnavailable,
        Self::StoreFull,
    ];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownDomain => "unknown_domain",
            Self::VerpMissing => "verp_missing",
            Self::VerpBadSignature => "verp_bad_signature",
            Self::VerpExpired => "verp_expired",
            Self::BadAddress => "bad_address",
            Self::BadParameter => "bad_parameter",
            Self::BadSequence => "bad_sequence",
            Self::UnknownCommand => "unknown_command",
            Self::BadCharacter => "bad_character",
            Self::LineTooLong => "line_too_long",
            Self::TooBig => "too_big",
            Self::TooManyRecipients => "too_many_recipients",
            Self::BareNewline => "bare_newline",
            Self::EarlyTalk => "early_talk",
            Self::StarttlsInjection => "starttls_injection",
            Self::WrongProtocol => "wrong_protocol",
            Self::TooManyErrors => "too_many_errors",
            Self::TooManyJunk => "too_many_junk",
            Self::Timeout => "timeout",
            Self::ConnectionLimit => "connection_limit",
            Self::ConnectionLimitPerIp => "connection_limit_per_ip",
            Self::OutOfMemory => "out_of_memory",
            Self::StoreUnavailable => "store_unavailable",
            Self::StoreFull => "store_full",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_and_plain() {
        let labels: Vec<_> = Rejection::ALL
            .iter()
            .map(|x| x.as_str())
            .chain(Outcome::ALL.iter().map(|x| x.as_str()).filter(|x| *x != "timeout"))
            .collect();
        for (n, label) in labels.iter().enumerate() {
            assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{label}");
            assert!(!labels[..n].contains(label), "{label} twice");
        }
    }
}
