//! The words of mail that every module uses: addresses, codes, times.
//!
//! Nothing here knows messages, reports, policy or sockets; nothing here reads a clock.

mod address;
mod enhanced_status;
mod latin;
mod multi_search;
mod reply_code;
mod time;
mod wording;
mod words;

pub use address::{Address, Case, plain_local, redacted, redacted_text};
pub use enhanced_status::EnhancedStatus;
pub use latin::unaccented;
pub use multi_search::MultiSearch;
pub use reply_code::ReplyCode;
pub use time::Timestamp;
pub use wording::wording;
pub(crate) use words::words;
