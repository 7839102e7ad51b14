//! `RawConfig` to [`Config`]: reads units, names and secrets, and refuses dangerous combinations.
//! Everything that is wrong is collected, so that a person repairs a file in one round.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::origin::{ConfigProblem, Origin};
use super::raw::{
    RawConfig, RawJournal, RawKey, RawPostgres, RawPrivacy, RawSmtp, RawStore, RawTls, RawVerp,
};
use super::value::{Checker, domain, listen};
use super::{
    Config, HttpConfig, JournalConfig, KeepRaw, Listen, LogConfig, LogFormat, PostgresConfig,
    PrivacyConfig, ProxyNetworks, SmtpConfig, Sockets, StoreConfig, TlsFiles, Unscoped, VerpConfig,
};

/// Smallest `smtp.max_message`: any smaller one refuses ordinary reports.
pub const MIN_MESSAGE: u64 = 16 * 1024;
/// Largest `smtp.max_message`: a message is held in memory while it is received.
pub const MAX_MESSAGE: u64 = 256 * 1024 * 1024;
/// Shortest secret; 16 octets are 128 bits when they are random.
pub const MIN_SECRET_OCTETS: usize = 16;
/// Shortest key for hashing addresses: it cannot be changed later, so it has room.
pub const MIN_HASH_KEY_OCTETS: usize = 32;

pub(super) fn check(
    raw: RawConfig,
    origin: &Origin,
) -> Result<(Config, Vec<String>), Vec<ConfigProblem>> {
    let mut check = Checker { origin, problems: Vec::new(), notes: Vec::new() };
    let default = Config::default();
    let lmtp = raw.lmtp.unwrap_or_default();
    let smtp = raw.smtp.unwrap_or_default();
    let lookup = raw.lookup.unwrap_or_default();
    let http = raw.http.unwrap_or_default();
    let rules = raw.rules.unwrap_or_default();
    let config = Config {
        hostname: check.hostname(raw.hostname, default.hostname),
        data_dir: check.path("data_dir", raw.data_dir).unwrap_or(default.data_dir),
        proxies: ProxyNetworks {
            smtp: check.networks("smtp.proxy_from", &smtp.proxy_from),
            lmtp: check.networks("lmtp.proxy_from", &lmtp.proxy_from),
            http: check.networks("http.proxy_from", &http.proxy_from),
            lookup: check.networks("lookup.proxy_from", &lookup.proxy_from),
        },
        sockets: Sockets {
            smtp: check.socket("smtp", smtp.socket_mode.as_ref(), smtp.socket_group.as_ref()),
            lmtp: check.socket("lmtp", lmtp.socket_mode.as_ref(), lmtp.socket_group.as_ref()),
            http: check.socket("http", http.socket_mode.as_ref(), http.socket_group.as_ref()),
            lookup: check.socket(
                "lookup",
                lookup.socket_mode.as_ref(),
                lookup.socket_group.as_ref(),
            ),
        },
        smtp: check.smtp(smtp),
        lmtp: check.listen("lmtp.listen", lmtp.listen, default.lmtp),
        verp_key_files: raw.verp.as_ref().map(key_files).unwrap_or_default(),
        verp: check.verp(raw.verp.unwrap_or_default(), default.verp),
        http: HttpConfig {
            listen: check.listen("http.listen", http.listen, default.http.listen),
            tokens_file: check.optional_path(http.tokens_file),
        },
        lookup: check.listen("lookup.listen", lookup.listen, default.lookup),
        answers: check.answers(lookup.answers.unwrap_or_default()),
        unscoped: check.word(
            "lookup.unscoped",
            lookup.unscoped,
            &[("any", Unscoped::Any), ("global", Unscoped::Global)],
            default.unscoped,
        ),
        policy_table: raw.policy.unwrap_or_default(),
        journal: check.journal(raw.journal.unwrap_or_default(), default.journal),
        store: check.store(raw.store.unwrap_or_default(), default.store),
        rules_dir: match rules.dir {
            None => default.rules_dir,
            dir => check.optional_path(dir),
        },
        shadow_rules_dir: check.optional_path(rules.shadow_dir),
        webhooks: check.webhooks(raw.webhooks.unwrap_or_default()),
        privacy: check.privacy(raw.privacy.unwrap_or_default()),
        log: LogConfig { format: check.log_format(raw.log.unwrap_or_default().format) },
    };
    // A wrong value has its default here, so what follows from it would mislead.
    if check.problems.is_empty() {
        check.combinations(&config);
    }
    if check.problems.is_empty() { Ok((config, check.notes)) } else { Err(check.problems) }
}

fn key_files(raw: &RawVerp) -> Vec<(String, PathBuf)> {
    let keys = raw.keys.iter().flatten();
    keys.filter_map(|key| Some((key.id.clone()?, PathBuf::from(key.secret_file.as_ref()?))))
        .collect()
}

impl Checker<'_> {
    fn hostname(&mut self, given: Option<String>, default: String) -> String {
        let Some(given) = given else { return default };
        match domain(&given) {
            Ok(name) => name,
            Err(why) => {
                self.wrong(
                    "hostname",
                    format!(
                        "hostname \"{given}\" {why}, write a name such as \"bounce.example.com\""
                    ),
                );
                default
            }
        }
    }

    fn path(&mut self, key: &str, given: Option<String>) -> Option<PathBuf> {
        let given = given?;
        if given.is_empty() {
            self.wrong(key, format!("{key} is empty, write a path or leave the key out"));
            return None;
        }
        Some(PathBuf::from(given))
    }

    /// Empty means none, as the shipped file shows it.
    pub(super) fn optional_path(&self, given: Option<String>) -> Option<PathBuf> {
        given.filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    fn listen(
        &mut self,
        key: &str,
        given: Option<Vec<String>>,
        default: Vec<Listen>,
    ) -> Vec<Listen> {
        let Some(given) = given else { return default };
        let mut listens = Vec::new();
        for (i, text) in given.iter().enumerate() {
            match listen(text) {
                Ok(listen) => listens.push(listen),
                Err(why) => self.wrong(&format!("{key}[{i}]"), format!("{key}: {why}")),
            }
        }
        listens
    }

    pub(super) fn networks(&mut self, key: &str, given: &Option<Vec<String>>) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for (i, text) in given.iter().flatten().enumerate() {
            let read = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            let why = match read {
                Ok(net) if net.prefix_len() > 0 => {
                    networks.push(net);
                    continue;
                }
                Ok(_) => "is everybody, who could then name any address as their own",
                Err(_) => "is no network",
            };
            let text = format!("{key}: \"{text}\" {why}, write one such as \"10.0.0.0/8\"");
            self.wrong(&format!("{key}[{i}]"), text);
        }
        networks
    }

    fn smtp(&mut self, raw: RawSmtp) -> SmtpConfig {
        let default = SmtpConfig::default();
        let sizes = MIN_MESSAGE..=MAX_MESSAGE;
        SmtpConfig {
            listen: self.listen("smtp.listen", raw.listen, default.listen),
            domains: self.domains(raw.domains.unwrap_or_default()),
            max_message: self.size("smtp.max_message", raw.max_message, default.max_message, sizes),
            max_connections: self.count(
                "smtp.max_connections",
                raw.max_connections,
                default.max_connections,
                1..=1_000_000,
            ),
            max_connections_per_ip: self.count(
                "smtp.max_connections_per_ip",
                raw.max_connections_per_ip,
                default.max_connections_per_ip,
                1..=1_000_000,
            ),
            max_recipients: self.count(
                "smtp.max_recipients",
                raw.max_recipients,
                default.max_recipients,
                1..=10_000,
            ),
            command_timeout: self.duration(
                "smtp.command_timeout",
                raw.command_timeout,
                default.command_timeout,
                (Duration::from_secs(1), "1s"),
                (Duration::from_secs(3600), "1h"),
            ),
            tls: self.tls(raw.tls.unwrap_or_default()),
            reject_bare_newline: self.word(
                "smtp.bare_newline",
                raw.bare_newline,
                &[("normalize", false), ("reject", true)],
                default.reject_bare_newline,
            ),
        }
    }

    fn domains(&mut self, given: Vec<String>) -> Vec<String> {
        let mut domains = Vec::new();
        for (i, text) in given.iter().enumerate() {
            let key = format!("smtp.domains[{i}]");
            if let Some((_, behind)) = text.rsplit_once('@') {
                let text = format!(
                    "smtp.domains: \"{text}\" is an address, write its domain: \"{behind}\""
                );
                self.wrong(&key, text);
                continue;
            }
            match domain(text) {
                Ok(name) if domains.contains(&name) => self.wrong(
                    &key,
                    format!("smtp.domains: \"{text}\" is given twice, remove one of the two"),
                ),
                Ok(name) => domains.push(name),
                Err(why) => self.wrong(
                    &key,
                    format!(
                        "smtp.domains: \"{text}\" {why}, write a name such as \
                         \"bounce.example.com\""
                    ),
                ),
            }
        }
        domains
    }

    fn tls(&mut self, raw: RawTls) -> Option<TlsFiles> {
        let (cert, key) = (self.optional_path(raw.cert), self.optional_path(raw.key));
        match (cert, key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            (Some(_), None) => {
                self.wrong(
                    "smtp.tls.key",
                    "[smtp.tls] has a cert and no key, write key = \"certs/NAME/privkey.pem\" too",
                );
                None
            }
            (None, Some(_)) => {
                self.wrong(
                    "smtp.tls.cert",
                    "[smtp.tls] has a key and no cert, write cert = \
                     \"certs/NAME/fullchain.pem\" too",
                );
                None
            }
        }
    }

    fn verp(&mut self, raw: RawVerp, default: VerpConfig) -> VerpConfig {
        let (mut signed, mut plain) = (default.signed, default.plain);
        if let Some(schemes) = raw.schemes {
            (signed, plain) = (false, false);
            for (i, scheme) in schemes.iter().enumerate() {
                match scheme.as_str() {
                    "signed" => signed = true,
                    "plain" => plain = true,
                    _ => self.wrong(
                        &format!("verp.schemes[{i}]"),
                        format!(
                            "verp.schemes: \"{scheme}\" is unknown, write \"signed\" or \"plain\""
                        ),
                    ),
                }
            }
            if schemes.is_empty() {
                self.wrong(
                    "verp.schemes",
                    "verp.schemes is empty, so no bounce could be tied to a mailing, write \
                     [\"signed\", \"plain\"]",
                );
            }
        }
        let keys = self.keys(raw.keys.unwrap_or_default());
        let max_age = self.duration(
            "verp.max_age",
            raw.max_age,
            default.max_age,
            // A token carries the day it was made on, not the hour.
            (Duration::from_secs(86_400), "1d"),
            (Duration::from_secs(366 * 86_400), "366d"),
        );
        VerpConfig { signed, plain, keys, max_age }
    }

    fn keys(&mut self, raw: Vec<RawKey>) -> Vec<(String, Vec<u8>)> {
        let mut keys: Vec<(String, Vec<u8>)> = Vec::new();
        for (i, key) in raw.into_iter().enumerate() {
            let at = |field: &str| format!("verp.keys[{i}].{field}");
            let Some(id) = key.id else {
                self.wrong(&at("id"), "[[verp.keys]] has no id, write id = \"a\"");
                continue;
            };
            // It is shown in logs and metrics.
            let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            if !(1..=32).contains(&id.len()) || !id.bytes().all(word) {
                let text = format!(
                    "the key id {id:?} is not 1 to 32 letters, digits, `-` or `_`, write id = \"a\""
                );
                self.wrong(&at("id"), text);
            }
            if keys.iter().any(|(known, _)| *known == id) {
                let text = format!("the key id \"{id}\" is given twice, write another one");
                self.wrong(&at("id"), text);
            }
            let Some(file) = key.secret_file.filter(|file| !file.is_empty()) else {
                self.wrong(
                    &at("secret_file"),
                    format!("the key \"{id}\" has no secret, write secret_file = \"FILE\""),
                );
                continue;
            };
            if let Some(secret) =
                self.secret(&at("secret_file"), "secret_file", &file, MIN_SECRET_OCTETS)
            {
                keys.push((id, secret));
            }
        }
        keys
    }

    fn privacy(&mut self, raw: RawPrivacy) -> PrivacyConfig {
        let file = raw.hash_key_file.filter(|file| !file.is_empty());
        let (key, words) = ("privacy.hash_key_file", [("plain", false), ("hashed", true)]);
        let hashed = self.word("privacy.addresses", raw.addresses, &words, false);
        if hashed && file.is_none() {
            self.wrong(
                "privacy.addresses",
                "privacy.addresses = \"hashed\" needs a key, write one with: openssl rand -hex 32, \
                 and name its file in privacy.hash_key_file",
            );
        }
        let read = |file: String| self.secret(key, "hash_key_file", &file, MIN_HASH_KEY_OCTETS);
        PrivacyConfig { hash_key: file.and_then(read), hashed }
    }

    /// `[journal.postgres]`; None when the journal is in `data_dir` alone.
    fn postgres(&mut self, raw: RawPostgres) -> Option<PostgresConfig> {
        let key = "journal.postgres.url_file";
        let Some(file) = raw.url_file.filter(|file| !file.is_empty()) else {
            self.wrong(
                "journal.engine",
                "journal.engine = \"postgres\" needs to know where it is, write url_file = \
                 \"/etc/bounced/postgres.url\" below [journal.postgres], a file with one line such as \
                 postgresql://bounced:PASSWORD@db1.example.com/bounced?sslrootcert=/etc/bounced/ca.pem",
            );
            return None;
        };
        let url = self.secret_line(key, &file)?;
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let node = raw.node.filter(|node| !node.is_empty());
        let node = node.unwrap_or_else(|| host.trim().to_string());
        let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !(1..=63).contains(&node.len()) || !node.bytes().all(letter) {
            let text = format!(
                "journal.postgres.node {node:?} is not 1 to 63 letters, digits, `-`, `_` or `.`, \
                 write node = \"mx1\""
            );
            self.wrong("journal.postgres.node", text);
        }
        let ledger = self.count("journal.postgres.ledger", raw.ledger, 1, 1..=32_767);
        // A session waits no longer for its commit.
        let (second, most, century) = (
            (Duration::from_secs(1), "1s"),
            (Duration::from_secs(90), "90s"),
            (Duration::from_secs(36_500 * 86_400), "36500d"),
        );
        let default = Duration::from_secs(30);
        let patience =
            self.duration("journal.postgres.patience", raw.patience, default, second, most);
        let default = Duration::from_secs(900);
        let zero = (Duration::ZERO, "0s");
        let stale = self.duration("journal.postgres.stale", raw.stale, default, zero, century);
        let schema = raw.schema.unwrap_or_else(|| "bounced".to_string());
        let ledger = i16::try_from(ledger).unwrap_or(1);
        Some(PostgresConfig { url, schema, ledger, node, patience, stale })
    }

    fn journal(&mut self, raw: RawJournal, default: JournalConfig) -> JournalConfig {
        let words = [("local", false), ("postgres", true)];
        let is_shared = self.word("journal.engine", raw.engine, &words, false);
        let postgres = raw.postgres.unwrap_or_default();
        let (hour, century) =
            ((Duration::from_secs(3600), "1h"), (Duration::from_secs(36_500 * 86_400), "36500d"));
        JournalConfig {
            keep: self.duration("journal.keep", raw.keep, default.keep, hour, century),
            raw: self.word(
                "journal.raw",
                raw.raw,
                &[
                    ("none", KeepRaw::None),
                    ("unrecognised", KeepRaw::Unrecognised),
                    ("all", KeepRaw::All),
                ],
                default.raw,
            ),
            raw_keep: self.duration(
                "journal.raw_keep",
                raw.raw_keep,
                default.raw_keep,
                hour,
                century,
            ),
            raw_quota: self.size(
                "journal.raw_quota",
                raw.raw_quota,
                default.raw_quota,
                MIN_MESSAGE..=u64::MAX,
            ),
            postgres: if is_shared { self.postgres(postgres) } else { None },
        }
    }

    fn store(&mut self, raw: RawStore, default: StoreConfig) -> StoreConfig {
        const MIB: u64 = 1 << 20;
        // There is one engine for the view so far, so nothing needs the answer.
        self.word("store.engine", raw.engine, &[("sled", ())], ());
        StoreConfig {
            cache: self.size("store.cache", raw.cache, default.cache, MIB..=MIB << 20),
            min_free: self.size("store.min_free", raw.min_free, default.min_free, 1024..=MIB << 20),
        }
    }

    fn log_format(&mut self, given: Option<String>) -> LogFormat {
        let words = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        self.word("log.format", given, &words, LogFormat::Text)
    }
}
