//! The suppression policy from outside: journal records in, states of addresses out.

#[path = "policy/states.rs"]
mod states;
#[path = "policy/support.rs"]
mod support;
