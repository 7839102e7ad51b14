//! What all sessions of a listener share: names, limits, and who decides and counts.

use std::sync::Arc;

use super::{Budget, Limits, NoObserver, Observer, OurDomains, RecipientCheck};

/// Which of the two protocols is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// RFC 5321
    Smtp,
    /// RFC 2033: LHLO, and after DATA one reply for each recipient.
    Lmtp,
}

impl Dialect {
    /// The label `listener`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Lmtp => "lmtp",
        }
    }
}

/// What all sessions of a listener share.
#[derive(Clone)]
pub struct Service {
    /// Greeting and EHLO.
    pub hostname: String,
    /// SMTP or LMTP.
    pub dialect: Dialect,
    /// Per session.
    pub limits: Limits,
    /// There is a certificate, so STARTTLS is offered.
    pub tls: bool,
    /// A bare CR or LF in DATA is refused instead of being made CRLF.
    pub reject_bare_newline: bool,
    /// Which recipients are taken.
    pub recipients: Arc<dyn RecipientCheck>,
    /// Who counts.
    pub observer: Arc<dyn Observer>,
    /// Memory for message texts, shared with other listeners.
    pub budget: Budget,
}

impl Service {
    /// A service with default limits, without TLS, that takes any recipient and counts nothing.
    pub fn new(hostname: &str, dialect: Dialect) -> Self {
        Self {
            hostname: hostname.to_string(),
            dialect,
            limits: Limits::default(),
            tls: false,
            reject_bare_newline: false,
            recipients: Arc::new(OurDomains::new(&[], None)),
            observer: Arc::new(NoObserver),
            budget: Budget::default(),
        }
    }
}
