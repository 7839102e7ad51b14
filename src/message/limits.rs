//! The budget of one message: checked while the structure is walked, before anything is decoded
//! (docs/reliability.md, "MIME bombs"). Over budget is a defect, never an error.

/// Octets of a message that are looked at; the rest is counted only.
pub const KEPT_OCTETS: usize = 512 * 1024;
/// Deepest nesting of parts.
pub const DEPTH: usize = 16;
/// Parts in all.
pub const PARTS: usize = 200;
/// Header fields of one part.
pub const HEADERS: usize = 1_000;
/// Octets of one header block.
pub const HEADER_BLOCK: usize = 256 * 1024;
/// Octets of one field that are decoded.
pub const FIELD_OCTETS: usize = 8 * 1024;
/// Encoded words (RFC 2047) of one field that are decoded.
pub const ENCODED_WORDS: usize = 64;
/// Octets of one part that are decoded to text.
pub const TEXT_OCTETS: usize = 128 * 1024;
/// Octets of text decoded for one message.
pub const TEXT_TOTAL: usize = 256 * 1024;
