//! Floor 1: the SMTP and LMTP server side, sans-IO (RFC 5321, 2033, 2920, 1870, 3207, 3461, 6531).
//!
//! A [`Session`] is fed bytes and time and says what to do next; it knows no sockets, TLS, files,
//! store, clock or randomness. `serve/driver.rs` does the I/O.
//!
//! | file | what |
//! |---|---|
//! | `session.rs` | the conversation: states, framing, time, the answer after DATA |
//! | `session/commands.rs` | what each command does to it |
//! | `service.rs` | what the sessions of a listener share |
//! | `command.rs` | one command line to one [`Command`], or the reply that refuses it |
//! | `data.rs` | the end of DATA, dot-unstuffing, bare CR and LF |
//! | `reply.rs` | every reply that is ever sent |
//! | `recipient.rs` | which forward-paths are ours |
//! | `observer.rs` | the closed sets that metrics are labelled with |
//! | `limits.rs` | every limit, and the budget that all sessions share |

mod command;
mod data;
mod limits;
mod observer;
mod recipient;
mod reply;
mod service;
mod session;

pub use command::{BodyType, Command, Verb};
pub use data::{DataReader, Progress};
pub use limits::{Budget, Limits, Reservation};
pub use observer::{NoObserver, Observer, Outcome, Rejection};
pub use recipient::{OurDomains, RecipientCheck, Refusal};
pub use reply::{Receipt, Reply};
pub use service::{Dialect, Service};
pub use session::{Action, Delivery, Session};
