//! bounced: an inbound SMTP bounce receiver.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod classify;
pub mod committer;
pub mod config;
pub mod event;
pub mod journal;
pub mod ledger;
pub mod mail;
pub mod message;
pub mod pipeline;
pub mod policy;
pub mod report;
pub mod verp;
pub mod store;
pub mod serve;
pub mod service;
pub mod web;
