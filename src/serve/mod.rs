//! Floor 4: sockets, TLS, HTTP; the only place that knows tokio.

pub mod admission;
pub mod driver;
pub mod listener;
pub mod tls;
