//! What every look has at hand.

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::deadline::Deadline;
use super::dns::Resolver;
use super::tls::TlsClient;
use crate::mail::Timestamp;

/// What to look at, and how.
#[derive(Debug, Clone)]
pub struct ProbeOptions {
    /// Our name, as the MX should give it.
    pub hostname: String,
    /// The return-path domains.
    pub domains: Vec<String>,
    /// Others than this machine can reach our own SMTP port; else a mail server hands over to it.
    pub public: bool,
    /// Name servers.
    pub resolvers: Vec<SocketAddr>,
    /// Port of the MX hosts: 25.
    pub smtp_port: u16,
    /// Port of MTA-STS policies: 443.
    pub https_port: u16,
    /// A PEM file in place of the system's certificate authorities.
    pub authorities: Option<PathBuf>,
    /// Certificates are held against it.
    pub now: Timestamp,
    /// For all of it.
    pub time: Duration,
}

/// What the looks have in common.
pub(super) struct Probe<'a> {
    pub(super) options: &'a ProbeOptions,
    pub(super) tls: TlsClient,
    pub(super) resolver: Resolver,
    pub(super) deadline: Deadline,
}

/// Does the same for each, at the same time.
pub(super) fn side_by_side<T: Sync, R: Send>(all: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let each = &each;
    thread::scope(|scope| {
        let threads: Vec<_> = all.iter().map(|one| scope.spawn(move || each(one))).collect();
        let joined = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.collect()
    })
}
