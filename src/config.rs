//! The checked, typed configuration (INTERFACE section 3). Text becomes a `RawConfig` (serde),
//! which becomes a [`Config`] once; below this module values are already right.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that `serve` needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Greeting and EHLO.
    pub hostname: String,
    /// Journal and view live here.
    pub data_dir: PathBuf,
    /// SMTP listeners.
    pub smtp: Smtp,
    /// LMTP listeners.
    pub lmtp: Vec<Listen>,
    /// Return-path addresses.
    pub verp: Verp,
    /// HTTP API.
    pub http: Http,
    /// Lookup port.
    pub lookup: Vec<Listen>,
    /// How long journal and raw messages are kept.
    pub journal: Journal,
    /// Operator rules.
    pub rules_dir: Option<PathBuf>,
}

/// `[smtp]`
#[derive(Debug, Clone)]
pub struct Smtp {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// RCPT domains, lower case. Empty: every domain (loopback only).
    pub domains: Vec<String>,
    /// Octets of a message.
    pub max_message: u64,
    /// Sessions in all.
    pub max_connections: usize,
    /// Sessions from one address (IPv6: one /64).
    pub max_connections_per_ip: usize,
    /// Certificate and key; None: no STARTTLS.
    pub tls: Option<TlsFiles>,
    /// `reject`: a bare CR or LF in DATA is answered 550 5.5.2 instead of being normalised.
    pub reject_bare_newline: bool,
}

/// `[smtp.tls]`
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// PEM chain.
    pub cert: PathBuf,
    /// PEM key.
    pub key: PathBuf,
}

/// A listening address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `127.0.0.1:2525`
    Tcp(SocketAddr),
    /// `unix:/run/bounced/lmtp.sock`
    Unix(PathBuf),
}

/// `[verp]`
#[derive(Debug, Clone)]
pub struct Verp {
    /// `signed` is accepted.
    pub signed: bool,
    /// `plain` is accepted.
    pub plain: bool,
    /// `(id, secret)`; the first signs, all verify. Secrets were read from their files.
    pub keys: Vec<(String, Vec<u8>)>,
    /// Oldest token that is still accepted.
    pub max_age: Duration,
}

/// `[http]`
#[derive(Debug, Clone)]
pub struct Http {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// Token file; None: loopback only, reading and changing without a token.
    pub tokens_file: Option<PathBuf>,
}

/// `[journal]`
#[derive(Debug, Clone)]
pub struct Journal {
    /// How long events are kept behind a checkpoint.
    pub keep: Duration,
    /// Which raw messages are kept.
    pub raw: KeepRaw,
    /// How long raw messages are kept.
    pub raw_keep: Duration,
    /// Octets of raw messages at most.
    pub raw_quota: u64,
}

/// `journal.raw`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepRaw {
    /// None.
    None,
    /// Those that no recogniser could read.
    Unrecognised,
    /// All.
    All,
}
