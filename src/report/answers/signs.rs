//! What says that a message is a notice of a failed or delayed delivery.

/// Signs of a notice of failure or delay.
#[derive(Debug, Default)]
pub struct Signs {
    /// The sender is a mail system.
    pub from: bool,
    /// The subject says so.
    pub subject: bool,
    /// The subject begins with it.
    pub leads: bool,
    /// The subject says that delivery is still tried.
    pub delayed: bool,
    /// The text says so; [`read`](super::read) does not ask it where sender and subject do.
    pub text: bool,
    /// A header field says so.
    pub header: bool,
    /// In words; as far as was asked.
    pub labels: Vec<&'static str>,
}

impl Signs {
    /// The message says what it is where programs say it, not only in its text.
    pub fn names_itself(&self) -> bool {
        self.subject || self.header
    }

    /// Any of them.
    pub fn any(&self) -> bool {
        self.from || self.subject || self.text || self.header
    }
}
