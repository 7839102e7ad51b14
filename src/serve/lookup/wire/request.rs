//! What a client asks, whatever its protocol.

use std::borrow::Cow;

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Map {
    /// access(5) values.
    Suppress,
    /// transport(5) values.
    Transport,
    /// Words for people.
    Explain,
}

/// Which scope a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// It does not say.
    Unsaid,
    /// This one.
    Named(&'a str),
    /// That of the mail with this return path, if its signature tells.
    OfSender(&'a str),
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// A question about an address.
    Ask(Map, Cow<'a, str>, Scope<'a>),
    /// A key that is not an address (`*`, a bare domain, octets that are not text) or nothing to
    /// ask.
    NoAddress,
    /// A map that we do not have.
    NoSuchMap,
    /// tcp_table's `put`.
    Put,
}
