//! The suppression policy from outside: journal records in, states of addresses out.

#[path = "policy/carriers.rs"]
mod carriers;
#[path = "policy/erasure.rs"]
mod erasure;
#[path = "policy/outage.rs"]
mod outage;
#[path = "policy/probation.rs"]
mod probation;
#[path = "policy/properties.rs"]
mod properties;
#[path = "policy/seeds.rs"]
mod seeds;
#[path = "policy/settings.rs"]
mod settings;
#[path = "policy/states.rs"]
mod states;
#[path = "policy/support.rs"]
mod support;
#[path = "policy/transfer.rs"]
mod transfer;
#[path = "policy/trust.rs"]
mod trust;
