//! bounced: an inbound SMTP bounce receiver.
//!
//! Mail servers name it as Return-Path; it accepts bounces and automatic answers, says what each
//! one means, keeps the suppression list that a sender asks before it sends, and explains every
//! decision. Read [`pipeline`] first: it is the straight line through the house.
//!
//! | floor | rooms |
//! |---|---|
//! | 0, words | [`mail`], [`event`] |
//! | 1, protocol | [`smtp`], [`message`] |
//! | 2, meaning | [`report`], [`classify`], [`policy`], [`verp`] |
//! | 3, durability | [`journal`], [`store`], behind [`ledger`]; [`committer`], [`raw`] |
//! | between | [`pipeline`] (with [`shadow`], [`redact`]) and [`house`] join the floors; [`service`] is what the outside may ask |
//! | 4, outside | [`serve`] (tokio), [`web`], [`cli`] |
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
