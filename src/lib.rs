//! bounced: an inbound SMTP bounce receiver.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod classify;
pub mod cli;
pub mod config;
pub mod event;
pub mod ledger;
pub mod mail;
pub mod preflight;
pub mod report;
pub mod service;
pub mod table;
