//! The question and the answer of [`Service::search`](super::Service::search).

use crate::mail::Timestamp;

/// Addresses or events of one answer, at most.
pub const FOUND: usize = 50;

/// What is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// A piece of it, whatever it is: of an address, a Message-ID, an event id, a campaign. Case
    /// does not matter.
    pub text: String,
    /// Go on in the journal before this position.
    pub before: Option<u64>,
    /// Go on in the addresses after this one: [`SearchFound::more`].
    pub after: Option<String>,
}

/// What was found, and how far it was looked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchFound {
    /// Addresses that something is known of, with their worst state.
    pub addresses: Vec<(String, String)>,
    /// Hand it back as `after` to look at further addresses; None: that was all.
    pub more: Option<String>,
    /// Journal lines, newest first.
    pub events: Vec<(u64, String)>,
    /// Hand it back as `before` to look at older events; None: that was all.
    pub older: Option<u64>,
    /// When the oldest event was written that was looked at.
    pub since: Option<Timestamp>,
}
