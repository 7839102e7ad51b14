//! What a command answers, and where it writes.

use std::io::Write;

use super::print::{self, Paint};
use crate::mail::Timestamp;

/// An answer, as its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitAnswer {
    /// Yes, or done: 0.
    Yes,
    /// No, or not found: 1.
    No,
    /// What failed was said on standard error already: 2.
    Failed,
}

impl ExitAnswer {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::No => 1,
            Self::Failed => 2,
        }
    }

    pub(super) fn yes_if(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// Where a command writes and from when it counts.
pub(super) struct Console<'a> {
    pub(super) out: &'a mut dyn Write,
    pub(super) err: &'a mut dyn Write,
    pub(super) paint: Paint,
    pub(super) now: Timestamp,
}

impl Console<'_> {
    /// A sentence for people. Nobody may be listening there, and that is not a failure.
    pub(super) fn say(&mut self, text: &str) {
        let _ = writeln!(self.err, "bounced: {}", print::visible(text));
    }
}
