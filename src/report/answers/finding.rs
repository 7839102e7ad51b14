//! What a judge of answers found in a message.

use crate::mail::Address;
use crate::report::types::Kind;

/// What a judge found.
pub(super) struct AnswerFinding {
    pub kind: Kind,
    pub format: String,
    pub clues: Vec<String>,
    pub new_address: Option<Address>,
    /// The text may name the day of return.
    pub dated: bool,
}

impl AnswerFinding {
    pub fn new(kind: Kind, format: impl Into<String>, clues: Vec<String>) -> Self {
        Self { kind, format: format.into(), clues, new_address: None, dated: false }
    }
}
