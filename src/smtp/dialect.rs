//! SMTP or LMTP.

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
