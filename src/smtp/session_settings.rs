//! What all sessions of a listener share: names, limits, and who decides and counts.

use std::sync::Arc;

use super::dialect::Dialect;
use super::{Limits, MessageBudget, NoObserver, Observer, OurDomains, RecipientCheck};

/// What all sessions of a listener share.
#[derive(Clone)]
pub struct SessionSettings {
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
    pub budget: MessageBudget,
}

impl SessionSettings {
    /// Settings with default limits, without TLS, that takes any recipient and counts nothing.
    pub fn new(hostname: &str, dialect: Dialect) -> Self {
        Self {
            hostname: hostname.to_string(),
            dialect,
            limits: Limits::default(),
            tls: false,
            reject_bare_newline: false,
            recipients: Arc::new(OurDomains::new(&[], None)),
            observer: Arc::new(NoObserver),
            budget: MessageBudget::default(),
        }
    }
}
