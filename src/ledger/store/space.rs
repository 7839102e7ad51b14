//! First octet of a key: whose row it is. So no key of a fold can meet one of the engine.

/// Rows of the fold.
pub(super) const FOLD: u8 = b'r';
/// History: address, NUL, seq (big-endian); no value.
pub(super) const HISTORY: u8 = b'i';
/// Digests of messages: see [`super::rows::StoredDigest`].
pub(super) const DIGEST: u8 = b'd';
/// The meta row.
pub(super) const META: u8 = b'm';
