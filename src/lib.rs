//! bounced: an inbound SMTP bounce receiver.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod classify;
pub mod config;
pub mod event;
pub mod ledger;
pub mod mail;
pub mod report;
pub mod serve;
pub mod smtp;
