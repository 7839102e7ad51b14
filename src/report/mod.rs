//! What a message says. Recognition never judges: the reasons of failures are `classify`'s.
//!
//! Structure first: RFC 5965, RFC 8098, RFC 3464 parts, also where they are mislabelled or inside
//! a forwarded message; then answers (auto-replies, challenges, requests); then notices in words,
//! by format; a last resort mines text and says so. The order is the code of `recognise.rs`.

pub mod addresses;
pub mod answers;
mod arf;
mod carrier;
pub mod dsn;
mod fields;
pub mod formats;
pub mod mailed;
mod mdn;
pub mod original;
mod recognise;
mod sender;
mod subject;
mod types;
pub mod us;
mod words;

pub use carrier::Arrival;
pub use recognise::{recognise, recognise_without};
pub use types::{
    Action, Attribution, Kind, MAX_RECIPIENTS, Original, Recipient, Report, StatusSource,
};
pub use words::bounded_words;
