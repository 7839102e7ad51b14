//! Floor 2: what a message says. Recognition never judges: reasons are `classify`'s.

pub mod answers;
mod types;

pub use types::{Action, Attribution, Kind, Original, Recipient, Report, StatusSource};
