//! The suppression policy from outside: journal records in, states of addresses out.

mod carriers;
mod erasure;
mod outage;
mod probation;
mod properties;
mod seeds;
mod settings;
mod states;
mod support;
mod transfer;
mod trust;
