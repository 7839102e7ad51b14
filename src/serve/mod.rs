//! Sockets, TLS, HTTP: everything that needs tokio, hyper or axum. `run` starts and stops it.

pub mod adapters;
pub mod admission;
pub mod driver;
pub mod http;
mod journald;
pub mod limits;
pub mod listener;
pub mod lookup;
pub mod metrics;
pub(crate) mod percent;
pub mod places;
pub mod problem;
pub(crate) mod proxy;
pub mod run;
pub mod shares;
pub mod socket;
pub mod systemd;
pub mod tls;
pub mod tokens;
pub mod web;
pub mod webhooks;
