//! `[[webhooks]]`: the endpoints that hear what happens, of which events, in which format, and with
//! which secrets it is signed.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use ipnet::IpNet;

use super::hint;
use super::raw::RawWebhook;
use super::value::{Checker, domain, read_secret, readable_by_all};

/// Endpoints at most: each is a label value of metrics and has connections of its own.
const MOST: usize = 16;
/// Octets of a signing secret, as Standard Webhooks has them.
const SECRET_OCTETS: std::ops::RangeInclusive<usize> = 24..=64;
/// Secrets that sign at the same time.
const MOST_SECRETS: usize = 4;

/// What can be told.
pub const TYPES: &[&str] = &[
    "address.suppressed",
    "address.released",
    "address.held",
    "guard.tripped",
    "complaint",
    "auto-reply",
    "address.moved",
    "bounce",
];
/// What listmonk has a word for.
const LISTMONK_TYPES: &[&str] = &["address.suppressed", "complaint", "bounce"];
/// Kinds of messages that something told can come of.
pub(super) const KINDS: &[&str] = &[
    "failure",
    "delay",
    "success",
    "complaint",
    "receipt",
    "auto-reply",
    "challenge-response",
    "unsubscribe",
    "subscribe",
    "other",
];
pub(super) const CATEGORIES: &[&str] = &["hard", "soft", "block", "admin", "undetermined"];

/// One endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Appears in metrics and in the log, and names the file of its cursor.
    pub name: String,
    /// Where it is; `http` or `https`, with a host.
    pub url: Uri,
    /// The words of the body.
    pub format: Format,
    /// Each signs; the newest first. Empty for listmonk only.
    pub secrets: Vec<Vec<u8>>,
    /// `user:password`, for endpoints that want it.
    pub basic_auth: Option<String>,
    /// Certificate authorities beside those of the system, as PEM.
    pub ca_file: Option<PathBuf>,
    /// What is told.
    pub types: Vec<String>,
    /// Only what came of a message of these kinds; empty: all.
    pub kinds: Vec<String>,
    /// Only what came of a failure of these categories; empty: all.
    pub categories: Vec<String>,
    /// Only these scopes, and what holds in all of them; empty: all.
    pub scopes: Vec<String>,
    /// Private networks that may be connected to.
    pub allow_networks: Vec<IpNet>,
    /// A new endpoint is told what the journal has from its beginning.
    pub from_beginning: bool,
    /// How old something is that is given up, when the endpoint takes others and refuses it.
    pub give_up: Duration,
}

/// `webhooks.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Standard Webhooks: `type`, `timestamp`, `data`.
    Standard,
    /// CloudEvents 1.0 in structured mode, with the same signature.
    CloudEvents,
    /// The bounce API of listmonk.
    Listmonk,
}

impl std::fmt::Debug for Webhook {
    /// Without its secrets: a log line or a panic text must not carry one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook")
            .field("name", &self.name)
            .field("url", &self.url)
            .field("format", &self.format)
            .field("secrets", &self.secrets.len())
            .field("types", &self.types)
            .finish_non_exhaustive()
    }
}

impl Checker<'_> {
    pub(super) fn webhooks(&mut self, raw: Vec<RawWebhook>) -> Vec<Webhook> {
        if raw.len() > MOST {
            let text = format!("webhooks: {} endpoints, write {MOST} at most", raw.len());
            self.wrong(&format!("webhooks[{MOST}]"), text);
        }
        let mut all: Vec<Webhook> = Vec::new();
        for (place, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("webhooks[{place}].{key}");
            if let Some(one) = self.webhook(raw, &at) {
                if all.iter().any(|other| other.name == one.name) {
                    let text = format!("the name \"{}\" is given twice, write another", one.name);
                    self.wrong(&at("name"), text);
                }
                all.push(one);
            }
        }
        all
    }

    fn webhook(&mut self, raw: RawWebhook, at: &dyn Fn(&str) -> String) -> Option<Webhook> {
        let name = raw.name.unwrap_or_default();
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        if !(1..=32).contains(&name.len()) || !name.bytes().all(word) {
            let text = format!(
                "the name {name:?} of [[webhooks]] is not 1 to 32 lower-case letters, digits, `-` or \
                 `_`, write name = \"crm\""
            );
            self.wrong(&at("name"), text);
        }
        let formats = [
            ("standard", Format::Standard),
            ("cloudevents", Format::CloudEvents),
            ("listmonk", Format::Listmonk),
        ];
        let format = self.word(&at("format"), raw.format, &formats, Format::Standard);
        let (known, usual) = match format {
            Format::Listmonk => (LISTMONK_TYPES, &TYPES[..1]),
            _ => (TYPES, &TYPES[..7]),
        };
        let types = match raw.types {
            None => usual.iter().map(ToString::to_string).collect(),
            Some(given) => self.some_of(&at("types"), "types", given, known),
        };
        let secrets = self.signing_secrets(&at("secret_file"), raw.secret_file, &name);
        if secrets.is_empty() && format != Format::Listmonk && self.problems.is_empty() {
            let text = format!(
                "the webhook \"{name}\" has no secret to sign with, write secret_file = \"FILE\""
            );
            self.wrong(&at("secret_file"), text);
        }
        let kinds = self.some_of(&at("kinds"), "kinds", raw.kinds.unwrap_or_default(), KINDS);
        let categories = raw.categories.unwrap_or_default();
        let categories = self.some_of(&at("categories"), "categories", categories, CATEGORIES);
        let (day, century) =
            ((Duration::from_secs(3600), "1h"), (Duration::from_secs(3_650 * 86_400), "3650d"));
        let week = Duration::from_secs(7 * 86_400);
        let starts = [("now", false), ("beginning", true)];
        let allow_networks = self.networks(&at("allow_networks"), &raw.allow_networks);
        let url = self.url(&at("url"), &raw.url.unwrap_or_default())?;
        self.plain_http(&at("url"), &url, &allow_networks);
        Some(Webhook {
            url,
            basic_auth: self.basic_auth(&at("basic_auth_file"), raw.basic_auth_file),
            ca_file: self.optional_path(raw.ca_file),
            scopes: raw.scopes.unwrap_or_default(),
            allow_networks,
            from_beginning: self.word(&at("start"), raw.start, &starts, false),
            give_up: self.duration(&at("give_up"), raw.give_up, week, day, century),
            name,
            format,
            secrets,
            types,
            kinds,
            categories,
        })
    }

    /// Words of a closed set.
    fn some_of(&mut self, at: &str, key: &str, given: Vec<String>, known: &[&str]) -> Vec<String> {
        for (place, word) in given.iter().enumerate() {
            if known.contains(&word.as_str()) {
                continue;
            }
            let text = match hint::nearest(word, known.iter().copied()) {
                Some(meant) => format!("{key}: \"{word}\" is unknown, did you mean \"{meant}\"?"),
                None => format!("{key}: \"{word}\" is unknown, write some of {}", known.join(", ")),
            };
            self.wrong(&format!("{at}[{place}]"), text);
        }
        given
    }

    fn url(&mut self, at: &str, given: &str) -> Option<Uri> {
        let why = match given.parse::<Uri>() {
            _ if given.contains('#') => "holds a fragment, which is never sent",
            Ok(url) if url.authority().is_some_and(|a| a.as_str().contains('@')) => {
                "holds a user or password, which belong into basic_auth_file"
            }
            Ok(url) if !matches!(url.scheme_str(), Some("http" | "https")) => {
                "does not begin with https:// (or http://, within allow_networks)"
            }
            Ok(url) => match url.host().map(usable_host) {
                Some(true) => return Some(url),
                _ => "names no host that can be used",
            },
            Err(_) => "is no URL",
        };
        let text =
            format!("url \"{given}\" {why}, write one such as \"https://crm.example.com/hooks\"");
        self.wrong(at, text);
        None
    }

    /// Plain HTTP goes to `allow_networks` only. Where a name leads to is known when it is connected
    /// to; that nothing is allowed, or not the address that is written, is known now.
    fn plain_http(&mut self, at: &str, url: &Uri, allowed: &[IpNet]) {
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let address = host.parse::<IpAddr>().ok();
        let may_be = match address {
            Some(address) => allowed.iter().any(|net| net.contains(&address)),
            None => !allowed.is_empty(),
        };
        if url.scheme_str() == Some("http") && !may_be {
            let network = match address {
                Some(address) => IpNet::from(address).to_string(),
                None => "10.0.0.0/8".to_string(),
            };
            let text = format!(
                "url \"{url}\" is plain http, which goes to allow_networks only: write https://, or \
                 its network as allow_networks = [\"{network}\"]"
            );
            self.wrong(at, text);
        }
    }

    /// `whsec_...`, one a line, the newest first.
    fn signing_secrets(&mut self, at: &str, file: Option<String>, name: &str) -> Vec<Vec<u8>> {
        let Some(file) = file.filter(|file| !file.is_empty()) else { return Vec::new() };
        // It may be somebody's file: nothing to paste here overwrites one.
        let remedy = format!(
            "make one with: (umask 077; set -C; (printf whsec_; openssl rand -base64 32) > {file})"
        );
        let Some(text) = self.secret_text(at, "secret_file", &file, &remedy) else {
            return Vec::new();
        };
        let read = |line: &str| {
            let octets = line.trim().strip_prefix("whsec_")?;
            let octets = data_encoding::BASE64.decode(octets.as_bytes()).ok()?;
            SECRET_OCTETS.contains(&octets.len()).then_some(octets)
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let secrets: Option<Vec<Vec<u8>>> = lines.map(read).collect();
        match secrets {
            Some(secrets) if (1..=MOST_SECRETS).contains(&secrets.len()) => secrets,
            _ => {
                let text = format!(
                    "secret_file \"{file}\" of the webhook \"{name}\" is not 1 to {MOST_SECRETS} lines \
                     of whsec_ and 24 to 64 octets in base64, {remedy}"
                );
                self.wrong(at, text);
                Vec::new()
            }
        }
    }

    fn basic_auth(&mut self, at: &str, file: Option<String>) -> Option<String> {
        let file = file.filter(|file| !file.is_empty())?;
        let remedy = "write a file that holds user:password";
        let text = self.secret_text(at, "basic_auth_file", &file, remedy)?;
        if text.contains(':') && !text.contains(['\r', '\n']) {
            return Some(text);
        }
        self.wrong(at, format!("basic_auth_file \"{file}\" is not user:password, {remedy}"));
        None
    }

    fn secret_text(&mut self, at: &str, key: &str, file: &str, remedy: &str) -> Option<String> {
        let read = read_secret(Path::new(file));
        let text = read
            .and_then(|octets| String::from_utf8(octets).map_err(|_| "it is no text".to_string()));
        match text {
            Ok(text) => {
                if readable_by_all(Path::new(file)) {
                    let at = self.origin.at(at);
                    self.notes.push(format!(
                        "{at}: every user of this machine can read {file}, run: chmod o-rwx {file}"
                    ));
                }
                Some(text)
            }
            Err(why) => {
                self.wrong(at, format!("{key} \"{file}\" cannot be read ({why}), {remedy}"));
                None
            }
        }
    }
}

/// An IP address, or a name that the resolver can be asked for.
fn usable_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || domain(host).is_ok()
}
