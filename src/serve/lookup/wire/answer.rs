//! The answer to a client, whatever its protocol.

use crate::mail::EnhancedStatus;

/// What to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Neither suppressed nor held.
    Clear,
    /// Refuse for good.
    Refuse(EnhancedStatus, &'a str),
    /// Pause.
    Wait(&'a str),
    /// Words of the explain map.
    Words(&'a str),
    /// We cannot tell.
    Trouble(&'a str),
    /// A map that we do not have.
    NoSuchMap,
    /// Changing is not done here.
    ReadOnly,
}
