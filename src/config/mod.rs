//! The checked, typed configuration (docs/interface.md, "Configuration"). Text becomes a
//! `RawConfig` (serde), which becomes a [`Config`] once; below this module values are already
//! right.
//!
//! Promises: an unknown key is an error, never silence; every error names file, line and remedy;
//! a file that holds nothing gives [`Config::default`], which is what `config/bounced.toml` shows.
//! Secrets are read from their files here and never printed. Relative paths count from the
//! working directory, not from the folder of the file, so that a flag and a key mean the same.

mod answers;
pub(crate) mod certificate;
mod combine;
mod from_raw;
mod hint;
mod load;
mod origin;
pub mod preflight;
mod raw;
mod said;
mod sockets;
mod units;
mod value;
mod webhook;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use answers::{Answers, Template, TemplatePart};
pub use from_raw::{MAX_MESSAGE, MIN_HASH_KEY_OCTETS, MIN_MESSAGE, MIN_SECRET_OCTETS};
pub use hint::{DEFAULT_FILE, nearest, uncomment};
pub use load::{LoadedConfig, SEARCH};
pub use origin::{ConfigError, ConfigProblem, Origin};
pub use said::plainly;
pub use sockets::{SocketAccess, Sockets};
pub use units::{parse_duration, parse_size, print_size};
pub(crate) use value::reason;
pub use webhook::{Format, TYPES, Webhook};

/// Everything that `serve` needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Greeting and EHLO.
    pub hostname: String,
    /// Journal and view live here.
    pub data_dir: PathBuf,
    /// SMTP listeners.
    pub smtp: SmtpConfig,
    /// LMTP listeners.
    pub lmtp: Vec<Listen>,
    /// Return-path addresses.
    pub verp: VerpConfig,
    /// Id and file of each key of `verp`, for whoever looks how old they are.
    pub verp_key_files: Vec<(String, PathBuf)>,
    /// HTTP API.
    pub http: HttpConfig,
    /// Lookup port.
    pub lookup: Vec<Listen>,
    /// `lookup.unscoped`
    pub unscoped: Unscoped,
    /// `lookup.answers`
    pub answers: Answers,
    /// Who may connect to unix sockets.
    pub sockets: Sockets,
    /// Whose PROXY headers are believed.
    pub proxies: ProxyNetworks,
    /// `[policy]` as it was written; `policy::Policy` reads and checks it.
    pub policy_table: toml::Table,
    /// How long journal and raw messages are kept.
    pub journal: JournalConfig,
    /// The view.
    pub store: StoreConfig,
    /// Operator rules. Skipped when it is the default and is not there.
    pub rules_dir: Option<PathBuf>,
    /// Operator rules on trial: asked before the others, and they decide nothing.
    pub shadow_rules_dir: Option<PathBuf>,
    /// Hashing of erased addresses.
    pub privacy: PrivacyConfig,
    /// Who is told of what happens.
    pub webhooks: Vec<Webhook>,
    /// Log lines.
    pub log: LogConfig,
}

impl Config {
    /// Where each protocol listens, by its key.
    pub fn listeners(&self) -> [(&'static str, &[Listen]); 4] {
        [
            ("smtp.listen", &self.smtp.listen),
            ("lmtp.listen", &self.lmtp),
            ("http.listen", &self.http.listen),
            ("lookup.listen", &self.lookup),
        ]
    }

    /// Keys and tables that differ in `new` and are read at the start alone. Certificates, rules,
    /// verp, policy, tokens and the hash key are read again on SIGHUP.
    pub fn only_at_start(&self, new: &Self) -> Vec<&'static str> {
        let (a, b) = (self, new);
        let differs = [
            ("hostname", a.hostname != b.hostname),
            ("data_dir", a.data_dir != b.data_dir),
            ("smtp", a.smtp != b.smtp),
            ("lmtp.listen", a.lmtp != b.lmtp),
            ("http.listen", a.http.listen != b.http.listen),
            ("lookup.listen", a.lookup != b.lookup),
            ("lookup.unscoped", a.unscoped != b.unscoped),
            ("lookup.answers", a.answers != b.answers),
            ("socket_mode or socket_group", a.sockets != b.sockets),
            ("proxy_from", a.proxies != b.proxies),
            ("journal", a.journal != b.journal),
            ("store", a.store != b.store),
            ("log", a.log != b.log),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

/// `[smtp]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpConfig {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// RCPT domains, lower case, A-labels. Empty: every domain (loopback only).
    pub domains: Vec<String>,
    /// Octets of a message.
    pub max_message: u64,
    /// Sessions in all.
    pub max_connections: usize,
    /// Sessions from one address (IPv6: one /64).
    pub max_connections_per_ip: usize,
    /// Recipients of one transaction; RFC 5321 section 4.5.3.1.8 wants at least 100.
    pub max_recipients: usize,
    /// How long a client may take for one command (RFC 5321 section 4.5.3.2.7).
    pub command_timeout: Duration,
    /// Certificate and key; None: no STARTTLS.
    pub tls: Option<TlsFiles>,
    /// `reject`: a bare CR or LF in DATA is answered 550 5.5.2 instead of being normalised.
    pub reject_bare_newline: bool,
}

/// `proxy_from` of each kind of listener: connections from these networks must begin with a header
/// of the PROXY protocol, and count as the client that it names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyNetworks {
    /// `smtp.proxy_from`
    pub smtp: Vec<IpNet>,
    /// `lmtp.proxy_from`
    pub lmtp: Vec<IpNet>,
    /// `http.proxy_from`
    pub http: Vec<IpNet>,
    /// `lookup.proxy_from`
    pub lookup: Vec<IpNet>,
}

/// `[smtp.tls]`
#[derive(Debug, Clone, PartialEq, Eq)]
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

impl Listen {
    /// Only programs on this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// The address that it listens on, when that means every address: `::` (IPv4 too) or `0.0.0.0`.
    pub fn every_address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()).filter(IpAddr::is_unspecified),
            Self::Unix(_) => None,
        }
    }

    /// Two listeners that cannot both be opened.
    pub fn collides_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(a), Self::Tcp(b)) => {
                let takes = |a: IpAddr, b: IpAddr| {
                    a == b || a.is_unspecified() && (a.is_ipv6() || b.is_ipv4())
                };
                let both = takes(a.ip(), b.ip()) || takes(b.ip(), a.ip());
                a.port() == b.port() && a.port() != 0 && both
            }
            (Self::Unix(a), Self::Unix(b)) => a == b,
            _ => false,
        }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `[verp]`
#[derive(Clone, PartialEq, Eq)]
pub struct VerpConfig {
    /// `signed` is accepted.
    pub signed: bool,
    /// `plain` is accepted.
    pub plain: bool,
    /// `(id, secret)`; the first signs, all verify. Secrets were read from their files.
    pub keys: Vec<(String, Vec<u8>)>,
    /// Oldest token that is still accepted.
    pub max_age: Duration,
}

impl std::fmt::Debug for VerpConfig {
    /// Key ids only: a log line or a panic text must not carry a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|(id, _)| id.as_str()).collect();
        f.debug_struct("Verp")
            .field("signed", &self.signed)
            .field("plain", &self.plain)
            .field("key_ids", &ids)
            .field("max_age", &self.max_age)
            .finish()
    }
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// Token file; None: loopback only, reading and changing without a token.
    pub tokens_file: Option<PathBuf>,
}

/// What a question without a scope is about, on the lookup port and by HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unscoped {
    /// All scopes: it stops when any says stop.
    Any,
    /// What holds for every scope, and the scope of mail without a tag.
    Global,
}

/// `[journal]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalConfig {
    /// How long events are kept after a checkpoint.
    pub keep: Duration,
    /// Which raw messages are kept.
    pub raw: KeepRaw,
    /// How long raw messages are kept.
    pub raw_keep: Duration,
    /// Octets of raw messages at most.
    pub raw_quota: u64,
    /// `journal.engine = "postgres"`: other nodes append to it, too; None: it is in `data_dir` alone.
    pub postgres: Option<PostgresConfig>,
}

/// `[journal.postgres]`
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// What the file of `journal.postgres.url_file` says.
    pub url: String,
    /// Tables are in this schema.
    pub schema: String,
    /// Which ledger of it.
    pub ledger: i16,
    /// What this node is called.
    pub node: String,
    /// How long mail waits for an engine that is away.
    pub patience: Duration,
    /// How long lookups are answered without hearing from it; zero: for ever.
    pub stale: Duration,
}

impl std::fmt::Debug for PostgresConfig {
    /// Without the URL, which has a password in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { schema, ledger, node, patience, stale, .. } = self;
        f.debug_struct("Postgres")
            .field("schema", schema)
            .field("ledger", ledger)
            .field("node", node)
            .field("patience", patience)
            .field("stale", stale)
            .finish_non_exhaustive()
    }
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

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Octets of memory for its cache.
    pub cache: u64,
    /// Octets that must stay free on the file system; below, mail is answered 452 4.3.1.
    pub min_free: u64,
}

/// `[privacy]`
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PrivacyConfig {
    /// Key under which blocks of erased addresses are stored, read from its file; None: one is made
    /// in the data directory when the first address is erased.
    pub hash_key: Option<Vec<u8>>,
    /// `privacy.addresses = "hashed"`: no address is stored but under a hash with that key.
    pub hashed: bool,
}

impl PrivacyConfig {
    /// The key under which addresses are stored; None: they are stored as they are.
    pub fn name_key(&self) -> Option<&[u8]> {
        self.hash_key.as_deref().filter(|_| self.hashed)
    }
}

impl std::fmt::Debug for PrivacyConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Privacy")
            .field("hash_key", &self.hash_key.as_ref().map(|_| "..."))
            .field("hashed", &self.hashed)
            .finish()
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// How a log line looks.
    pub format: LogFormat,
}

/// `log.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `key=value`.
    Text,
    /// One JSON object a line.
    Json,
}

const MIB: u64 = 1024 * 1024;
const DAY: Duration = Duration::from_secs(86_400);

fn loopback(port: u16) -> Vec<Listen> {
    vec![Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))]
}

impl Default for Config {
    /// What `bounced serve` runs on when no file is found: loopback only.
    fn default() -> Self {
        Self {
            hostname: "localhost".to_string(),
            data_dir: PathBuf::from("./bounced-data"),
            smtp: SmtpConfig::default(),
            lmtp: Vec::new(),
            verp: VerpConfig { signed: true, plain: true, keys: Vec::new(), max_age: 30 * DAY },
            verp_key_files: Vec::new(),
            http: HttpConfig { listen: loopback(8525), tokens_file: None },
            lookup: loopback(8526),
            proxies: ProxyNetworks::default(),
            unscoped: Unscoped::Any,
            answers: Answers::default(),
            sockets: Sockets::default(),
            policy_table: toml::Table::new(),
            journal: JournalConfig {
                keep: 90 * DAY,
                raw: KeepRaw::Unrecognised,
                raw_keep: 7 * DAY,
                raw_quota: 1024 * MIB,
                postgres: None,
            },
            store: StoreConfig { cache: 64 * MIB, min_free: 64 * MIB },
            rules_dir: Some(PathBuf::from("/etc/bounced/rules.d")),
            shadow_rules_dir: None,
            privacy: PrivacyConfig::default(),
            webhooks: Vec::new(),
            log: LogConfig { format: LogFormat::Text },
        }
    }
}

impl Default for SmtpConfig {
    fn default() -> Self {
        Self {
            listen: loopback(2525),
            domains: Vec::new(),
            max_message: 10 * MIB,
            max_connections: 20_000,
            max_connections_per_ip: 50,
            max_recipients: 100,
            command_timeout: Duration::from_secs(300),
            tls: None,
            reject_bare_newline: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_that_cannot_both_be_opened() {
        for (a, b, collide) in [
            ("127.0.0.1:25", "127.0.0.1:25", true),
            ("0.0.0.0:25", "127.0.0.1:25", true),
            ("0.0.0.0:25", "[::]:25", true),
            ("127.0.0.1:25", "[::]:25", true),
            ("0.0.0.0:25", "[::1]:25", false),
            ("127.0.0.1:25", "127.0.0.2:25", false),
            ("127.0.0.1:25", "127.0.0.1:26", false),
            // The system picks another port for each.
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let tcp = |text: &str| Listen::Tcp(text.parse().expect("an address of the table"));
            assert_eq!(tcp(a).collides_with(&tcp(b)), collide, "{a} {b}");
        }
        let unix = Listen::Unix("/run/a.sock".into());
        assert!(unix.collides_with(&unix.clone()));
    }

    #[test]
    fn debug_output_carries_no_secret() {
        let mut config = Config::default();
        config.verp.keys.push(("a".into(), b"correct horse battery".to_vec()));
        config.privacy.hash_key = Some(b"staple".to_vec());
        config.journal.postgres = Some(PostgresConfig {
            url: "postgresql://b:staple@db1/b".to_string(),
            schema: "bounced".to_string(),
            ledger: 1,
            node: "mx1".to_string(),
            patience: DAY,
            stale: DAY,
        });
        let text = format!("{config:?}");
        assert!(text.contains("key_ids: [\"a\"]") && text.contains("hash_key: Some(\"...\")"));
        for secret in ["correct horse", "99, 111, 114", "staple", "115, 116, 97"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
