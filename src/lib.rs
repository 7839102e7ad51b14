//! bounced: an inbound SMTP bounce receiver.
//!
//! Mail servers name it as Return-Path; it accepts bounces and automatic answers, says what each
//! one means, keeps the suppression list that a sender asks before it sends, and explains every
//! decision.
//!
//! One message goes one straight line:
//!
//! | step | typed value | file |
//! |---|---|---|
//! | a connection is accepted | [`Socket`](serve::socket) | `serve/listener.rs` |
//! | octets and time are fed to the session | [`Action`](smtp::Action) | `serve/driver.rs`, `smtp/session.rs` |
//! | a whole message is handed over | [`Delivery`](smtp::Delivery) | `serve/adapters.rs` |
//! | it gets its id and its time | [`Received`](analysis::Received) | `service/local.rs` |
//! | what it says, who it is about, what it means | [`Event`](event::Event) | `analysis.rs` (`message`, `report`, `verp`, `classify`) |
//! | its addresses get their stored names | [`Event`](event::Event) | `service/local/commit.rs` |
//! | it waits for its batch | [`CommitReply`](ledger::committer::CommitReply) | `ledger/committer.rs` |
//! | the batch is folded, appended, synced, shown | [`Committed`](ledger::Committed) | `ledger/store/commit.rs` |
//!
//! Then the reply is called with what was committed, the adapter makes an
//! [`Acceptance`](smtp::Acceptance) of it, and the session writes the 250. The first half
//! ([`analysis`]) is pure and cannot fail; the second is the only place where "durable" is decided.
//!
//! [`app`] shows what is made of what; `docs/architecture.md` has the layers and the words.
//!
//! Promises, each with a test: a 250 after DATA means that the event is on the disk; our trouble is
//! a 4xx; the same bytes, rules and policy give the same verdict; nothing is ever mailed out;
//! everything has a limit; a stranger's claim is not evidence; every verdict explains itself.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod analysis;
pub mod app;
pub mod classify;
pub mod cli;
pub mod config;
pub mod event;
pub mod ledger;
pub mod mail;
pub mod message;
pub mod policy;
pub mod report;
pub mod serve;
pub mod service;
pub mod smtp;
pub mod verp;
