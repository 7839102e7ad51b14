//! The SMTP and LMTP server side, sans-IO (RFC 5321, 2033, 2920, 1870, 3030, 3207, 3461, 6531, 9422).
//!
//! A [`Session`] is fed bytes and time and says what to do next; it knows no sockets, TLS, files,
//! store, clock or randomness. `serve/driver.rs` does the I/O.
//!
//! | file | what |
//! |---|---|
//! | `session.rs` | the conversation: states, framing, time, the answer after DATA |
//! | `session/commands.rs` | what each command does to it |
//! | `session/text.rs` | the text of a message: by DATA, or in the chunks of BDAT |
//! | `session_settings.rs` | what the sessions of a listener share |
//! | `dialect.rs`, `verb.rs` | SMTP or LMTP; the words of commands |
//! | `command.rs` | one command line to one [`Command`], or the reply that refuses it |
//! | `data.rs` | the end of DATA, dot-unstuffing, bare CR and LF |
//! | `reply.rs` | every reply that is ever sent |
//! | `recipient.rs` | which forward-paths are ours |
//! | `observer.rs` | the closed sets that metrics are labelled with |
//! | `limits.rs` | every limit, and the budget that all sessions share |

mod command;
mod data;
mod dialect;
mod limits;
mod observer;
mod recipient;
mod reply;
mod session;
mod session_settings;
mod verb;

pub use command::{BodyType, Command};
pub use data::{DataReader, TextProgress};
pub use dialect::Dialect;
pub use limits::{Limits, MessageBudget, Reservation};
pub use observer::{NoObserver, Observer, Outcome, Rejection};
pub use recipient::{OurDomains, RcptRefusal, RecipientCheck};
pub use reply::{Acceptance, Reply};
pub use session::{Action, Delivery, Session};
pub use session_settings::SessionSettings;
pub use verb::Verb;
