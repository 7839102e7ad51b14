//! A notice in words as its recognisers see it, made once a message.

use crate::message::Message;
use crate::report::answers::Signs;
use crate::report::types::Recipient;

/// What the recognisers read.
pub struct Notice<'a, 'x> {
    /// The message.
    pub message: &'a Message<'x>,
    /// Human text, up to the returned original.
    pub text: &'a str,
    /// `text` in lower case (ASCII only, so offsets are the same).
    pub lower: &'a str,
    /// `From`, lower case, decoded.
    pub from: &'a str,
    /// `Subject`, lower case, decoded.
    pub subject: &'a str,
    /// The clues that this is a notice at all; empty means that only a format of its own counts.
    pub signs: &'a Signs,
    /// It came from the null reverse-path.
    pub from_nobody: bool,
    /// A format that is taken as unknown, to measure what the others make of its notices.
    pub without: &'a str,
}

impl Notice<'_, '_> {
    /// Takes out the sender of our mail, which many texts name too: always, or only
    /// where somebody else is named, for a person may write to himself.
    pub fn drop_own(&self, recipients: &mut Vec<Recipient>, always: bool) {
        if recipients.is_empty() || (!always && recipients.len() < 2) {
            return;
        }
        let headers = self.message.headers();
        let own: Vec<String> = headers
            .addresses("to")
            .iter()
            .chain(&headers.addresses("from"))
            .map(|a| a.key())
            .collect();
        let others = |r: &Recipient| r.address.as_ref().is_none_or(|a| !own.contains(&a.key()));
        if always || recipients.iter().any(others) {
            recipients.retain(others);
        }
    }
}
