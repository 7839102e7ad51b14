//! Where the engine is: a URL or `key=value` text as libpq has it, several hosts and all. What
//! concerns TLS is read here, because verification is not left to a default:
//!
//! | `sslmode` | then |
//! |---|---|
//! | not given | `verify-full`; without TLS when every host is a socket or loopback |
//! | `verify-full`, `verify-ca`, `require` | chain and name are verified; `sslrootcert` names the CA |
//! | `disable` | no TLS: somebody said so |
//! | `prefer`, `allow` | refused: whoever is in between could switch TLS off |

use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{self, SslMode, TargetSessionAttrs};

use super::tls::Tls;

/// An attempt to connect to one host ends after this.
const CONNECT: Duration = Duration::from_secs(3);
/// What was sent and is not confirmed by then ends the connection.
const UNCONFIRMED: Duration = Duration::from_secs(5);

/// Where the engine is, and how it is spoken to.
#[derive(Clone)]
pub struct EngineUrl {
    pub(super) config: Config,
    pub(super) tls: Tls,
}

/// One of its servers.
#[derive(Clone)]
pub(super) struct Host {
    /// Name and port, for people.
    pub(super) name: String,
    /// How to connect to it and to no other.
    pub(super) config: Config,
}

impl std::fmt::Debug for EngineUrl {
    /// Hosts only: there is a password in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineUrl").field("hosts", &self.hosts()).finish_non_exhaustive()
    }
}

impl EngineUrl {
    /// The role.
    pub fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// The hosts, for people.
    pub fn hosts(&self) -> String {
        let names: Vec<String> = self.each().into_iter().map(|host| host.name).collect();
        names.join(", ")
    }

    /// Each server alone: one that is frozen must not keep a node from the others.
    pub(super) fn each(&self) -> Vec<Host> {
        let ports = self.config.get_ports();
        let (names, addresses) = (self.config.get_hosts(), self.config.get_hostaddrs());
        let host = |at: usize| {
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
            let mut config = without_hosts(&self.config);
            config.port(port);
            if let Some(address) = addresses.get(at) {
                config.hostaddr(*address);
            }
            let shown = match names.get(at) {
                Some(config::Host::Tcp(name)) => {
                    config.host(name);
                    name.clone()
                }
                Some(config::Host::Unix(path)) => {
                    config.host_path(path);
                    path.display().to_string()
                }
                None => addresses.get(at).map(ToString::to_string).unwrap_or_default(),
            };
            Host { name: format!("{shown}:{port}"), config }
        };
        (0..names.len().max(addresses.len())).map(host).collect()
    }
}

/// All but hosts and ports.
fn without_hosts(all: &Config) -> Config {
    let mut config = Config::new();
    if let Some(user) = all.get_user() {
        config.user(user);
    }
    if let Some(password) = all.get_password() {
        config.password(password);
    }
    if let Some(name) = all.get_dbname() {
        config.dbname(name);
    }
    if let Some(options) = all.get_options() {
        config.options(options);
    }
    if let Some(name) = all.get_application_name() {
        config.application_name(name);
    }
    if let Some(time) = all.get_connect_timeout() {
        config.connect_timeout(*time);
    }
    if let Some(time) = all.get_tcp_user_timeout() {
        config.tcp_user_timeout(*time);
    }
    if let Some(time) = all.get_keepalives_interval() {
        config.keepalives_interval(time);
    }
    if let Some(times) = all.get_keepalives_retries() {
        config.keepalives_retries(times);
    }
    config
        .keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle())
        .ssl_mode(all.get_ssl_mode())
        .ssl_negotiation(all.get_ssl_negotiation())
        .channel_binding(all.get_channel_binding())
        .target_session_attrs(all.get_target_session_attrs());
    config
}

/// Reads the text of `url_file`. The error is a sentence without secrets.
pub fn read(text: &str) -> Result<EngineUrl, String> {
    let (rest, ssl) = match text.trim() {
        url if url.starts_with("postgres://") || url.starts_with("postgresql://") => from_url(url)?,
        words => from_words(words),
    };
    let mut config = Config::from_str(&rest).map_err(|error| {
        let why = std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
        format!(
            "it cannot be read ({why}): write one line such as \
             postgresql://bounced:PASSWORD@db1.example.com,db2.example.com/bounced?sslrootcert=/etc/bounced/ca.pem"
        )
    })?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err("it names no host: write postgresql://USER:PASSWORD@HOST/DATABASE".to_string());
    }
    if config.get_user().is_none() {
        return Err("it names no user: write postgresql://USER:PASSWORD@HOST/DATABASE".to_string());
    }
    // The others answer reads, and refuse what a node writes.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNCONFIRMED);
    }
    config.keepalives_idle(UNCONFIRMED).keepalives_interval(Duration::from_secs(2));
    config.keepalives_retries(3);
    let tls = tls(&mut config, &ssl)?;
    Ok(EngineUrl { config, tls })
}

/// `sslmode` and `sslrootcert`.
#[derive(Debug, Default)]
struct Ssl {
    mode: Option<String>,
    root: Option<String>,
}

impl Ssl {
    /// Takes one of its keys; false when it is none.
    fn take(&mut self, key: &str, value: &str) -> bool {
        match key {
            "sslmode" => self.mode = Some(value.to_string()),
            "sslrootcert" => self.root = Some(value.to_string()),
            _ => return false,
        }
        true
    }
}

fn from_url(url: &str) -> Result<(String, Ssl), String> {
    let mut ssl = Ssl::default();
    let Some((base, query)) = url.split_once('?') else { return Ok((url.to_string(), ssl)) };
    let mut kept = Vec::new();
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_encoding::percent_decode_str(value).decode_utf8();
        let value = value.map_err(|_| format!("the value of {key} is no UTF-8"))?;
        if !ssl.take(key, &value) {
            kept.push(pair);
        }
    }
    Ok(if kept.is_empty() {
        (base.to_string(), ssl)
    } else {
        (format!("{base}?{}", kept.join("&")), ssl)
    })
}

fn from_words(words: &str) -> (String, Ssl) {
    let mut ssl = Ssl::default();
    let kept = words.split_whitespace().filter(|word| {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        !ssl.take(key, value.trim_matches('\''))
    });
    (kept.collect::<Vec<_>>().join(" "), ssl)
}

fn tls(config: &mut Config, ssl: &Ssl) -> Result<Tls, String> {
    let mode = ssl.mode.as_deref();
    let wanted = match mode {
        None => !is_local(config),
        Some("disable") => false,
        Some("require" | "verify-ca" | "verify-full") => true,
        Some(other) => {
            return Err(format!(
                "sslmode={other} may be talked out of TLS: write verify-full, or disable where \
                 nobody else can listen"
            ));
        }
    };
    if !wanted {
        config.ssl_mode(SslMode::Disable);
        return Ok(Tls::none());
    }
    config.ssl_mode(SslMode::Require);
    let Some(root) = &ssl.root else {
        return Err("it has no sslrootcert, by which the server's certificate is verified: write \
                    sslrootcert=/etc/bounced/ca.pem, or sslmode=disable where nobody else can listen"
            .to_string());
    };
    Tls::verified_by(Path::new(root))
}

/// Every host is this machine.
fn is_local(all: &Config) -> bool {
    let loopback = |host: &config::Host| match host {
        config::Host::Tcp(name) => {
            name == "localhost"
                || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
        }
        config::Host::Unix(_) => true,
    };
    all.get_hosts().iter().all(loopback)
        && all.get_hostaddrs().iter().all(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libpq_texts_are_read_and_tls_is_not_left_to_chance() {
        let dir = tempfile::tempdir().expect("scratch");
        let ca = dir.path().join("ca.pem");
        let certificate = rcgen::generate_simple_self_signed(["db1".to_string()]).expect("made");
        std::fs::write(&ca, certificate.cert.pem()).expect("written");
        let ca = ca.display();
        for (text, hosts, is_verified) in [
            ("postgresql://b:pw@localhost/b".to_string(), "localhost:5432", false),
            ("host=/run/postgresql user=b password=pw".to_string(), "/run/postgresql:5432", false),
            ("postgresql://b@%2Frun%2Fpg:5433/b".to_string(), "/run/pg:5433", false),
            (format!("postgresql://b@db1:1,db2:2/b?sslrootcert={ca}"), "db1:1, db2:2", true),
            (
                format!("host=db1,127.0.0.1 user=b sslmode=require sslrootcert='{ca}'"),
                "db1:5432, 127.0.0.1:5432",
                true,
            ),
            (
                "postgresql://b@db1/b?sslmode=disable&connect_timeout=9\n".to_string(),
                "db1:5432",
                false,
            ),
        ] {
            let place = read(&text).expect(&text);
            assert_eq!(place.hosts(), hosts, "{text}");
            assert_eq!(place.tls.is_verified(), is_verified, "{text}");
            let is_required = place.config.get_ssl_mode() == SslMode::Require;
            assert_eq!(is_required, is_verified, "{text}");
            assert!(!format!("{place:?}").contains("pw"), "a secret");
            // One server alone is spoken to as all of them.
            for host in place.each() {
                let (all, one) = (&place.config, &host.config);
                for config in [all, one] {
                    assert_eq!(config.get_user(), Some("b"));
                    assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
                }
                assert_eq!(one.get_ssl_mode(), all.get_ssl_mode());
                assert_eq!(one.get_password(), all.get_password());
                assert_eq!(one.get_connect_timeout(), all.get_connect_timeout());
                assert_eq!(one.get_hosts().len(), 1);
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (text, why) in [
            ("postgresql://b:pw@db1/b", "sslrootcert"),
            ("postgresql://b:pw@db1/b?sslmode=prefer", "sslmode=prefer"),
            ("postgresql://b:pw@db1/b?sslmode=require&sslrootcert=/none/ca.pem", "/none/ca.pem"),
            ("postgresql://b:pw@db1/b?colour=red", "colour"),
            ("postgresql:///b", "no host"),
            ("user=b password=pw", "no host"),
            ("host=localhost password=pw", "no user"),
            ("", "no host"),
            ("postgresql://b:pw@db1:port/b", "cannot be read"),
        ] {
            let said = read(text).expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
            assert!(!said.contains("pw"), "{text}: {said}");
        }
    }
}
