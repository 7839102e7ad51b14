//! Floor 4: sockets. Everything that knows tokio, hyper or axum lives here and in `main.rs`.

pub mod http;
pub mod limits;
pub mod lookup;
pub mod metrics;
pub(crate) mod percent;
pub mod problem;
pub mod socket;
pub mod tokens;
pub mod admission;
pub mod doors;
pub mod driver;
pub mod listener;
pub mod run;
//! Floor 4: sockets, TLS, HTTP; the only place that knows tokio.

pub mod admission;
pub mod driver;
pub mod listener;
pub mod tls;
