//! Single values: words, numbers with units, domain names, addresses to listen on, secrets. Each
//! error says what to write instead.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::origin::{ConfigProblem, Origin};
use super::units::{is_duration, parse_duration, parse_size, print_size};
use super::{Listen, hint};

/// Longest secret file; anything longer is the wrong file.
const MAX_SECRET_OCTETS: u64 = 4096;
/// `sun_path` of unix(7) holds 108 octets with its NUL.
const MAX_SOCKET_PATH: usize = 107;

pub(super) struct Checker<'a> {
    pub(super) origin: &'a Origin,
    pub(super) problems: Vec<ConfigProblem>,
    pub(super) notes: Vec<String>,
}

impl Checker<'_> {
    pub(super) fn wrong(&mut self, key: &str, text: impl Into<String>) {
        self.problems.push(ConfigProblem { line: self.origin.line(key), text: text.into() });
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &str,
        given: Option<String>,
        words: &[(&str, T)],
        default: T,
    ) -> T {
        let Some(given) = given else { return default };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == given) {
            return *value;
        }
        let names: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let text = match hint::nearest(&given, words.iter().map(|(word, _)| *word)) {
            Some(meant) => format!("{key}: \"{given}\" is unknown, did you mean \"{meant}\"?"),
            None => format!("{key}: \"{given}\" is unknown, write {}", names.join(" or ")),
        };
        self.wrong(key, text);
        default
    }

    pub(super) fn size(
        &mut self,
        key: &str,
        given: Option<String>,
        default: u64,
        allowed: std::ops::RangeInclusive<u64>,
    ) -> u64 {
        let Some(given) = given else { return default };
        let text = match parse_size(&given) {
            Some(size) if allowed.contains(&size) => return size,
            Some(size) if size < *allowed.start() => format!(
                "{key}: \"{given}\" is too small, write at least \"{}\"",
                print_size(*allowed.start())
            ),
            Some(_) => format!(
                "{key}: \"{given}\" is too large, write at most \"{}\"",
                print_size(*allowed.end())
            ),
            None => format!(
                "{key}: \"{given}\" is not a size, write a whole number with its unit: \"{}\"",
                print_size(default)
            ),
        };
        self.wrong(key, text);
        default
    }

    pub(super) fn duration(
        &mut self,
        key: &str,
        given: Option<String>,
        default: Duration,
        least: (Duration, &str),
        most: (Duration, &str),
    ) -> Duration {
        let Some(given) = given else { return default };
        let text = match parse_duration(&given) {
            Some(duration) if duration < least.0 => {
                format!("{key}: \"{given}\" is too short, write at least \"{}\"", least.1)
            }
            Some(duration) if duration > most.0 => {
                format!("{key}: \"{given}\" is too long, write at most \"{}\"", most.1)
            }
            Some(duration) => return duration,
            None if is_duration(&given) => {
                format!("{key}: \"{given}\" is too long, write at most \"{}\"", most.1)
            }
            None => format!(
                "{key}: \"{given}\" is not a duration, write a whole number with its unit: \
                 \"90s\", \"5m\", \"12h\" or \"30d\""
            ),
        };
        self.wrong(key, text);
        default
    }

    pub(super) fn count(
        &mut self,
        key: &str,
        given: Option<usize>,
        default: usize,
        allowed: std::ops::RangeInclusive<usize>,
    ) -> usize {
        let Some(given) = given else { return default };
        if allowed.contains(&given) {
            return given;
        }
        let (least, most) = (allowed.start(), allowed.end());
        self.wrong(key, format!("{key}: {given} is out of range, write {least} to {most}"));
        default
    }

    /// The content of a secret file without the white space that an editor leaves at its end.
    /// A file that holds one secret line, such as a URL with a password.
    pub(super) fn secret_line(&mut self, key: &str, file: &str) -> Option<String> {
        let wrong = match std::fs::read_to_string(file) {
            Ok(text) if !text.trim().is_empty() => {
                if readable_by_all(Path::new(file)) {
                    let at = self.origin.at(key);
                    self.notes.push(format!(
                        "{at}: every user of this machine can read {file}, run: chmod o-rwx {file}"
                    ));
                }
                return Some(text);
            }
            Ok(_) => format!("{key} \"{file}\" is empty, write one line into it"),
            Err(why) => format!(
                "{key} \"{file}\" cannot be read ({}), name a file that this user can read",
                reason(&why)
            ),
        };
        self.wrong(key, wrong);
        None
    }

    pub(super) fn secret(
        &mut self,
        key: &str,
        name: &str,
        file: &str,
        least: usize,
    ) -> Option<Vec<u8>> {
        match read_secret(Path::new(file)) {
            Ok(secret) if secret.len() >= least => {
                if readable_by_all(Path::new(file)) {
                    let at = self.origin.at(key);
                    self.notes.push(format!(
                        "{at}: every user of this machine can read {file}, run: chmod o-rwx {file}"
                    ));
                }
                Some(secret)
            }
            Ok(secret) => {
                let text = format!(
                    "{name} \"{file}\" holds {} octets, at least {least} are needed, \
                     make another with: (umask 077; openssl rand -hex 32 > NEW) and name it here",
                    secret.len()
                );
                self.wrong(key, text);
                None
            }
            Err(why) => {
                let text = format!(
                    "{name} \"{file}\" cannot be read ({why}), name a file that this user can \
                     read, or make one with: (umask 077; set -C; openssl rand -hex 32 > {file})"
                );
                self.wrong(key, text);
                None
            }
        }
    }
}

/// A domain name in its A-label form, lower case; or what is wrong with it.
pub(super) fn domain(text: &str) -> Result<String, String> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    if bare.is_empty() {
        return Err("is empty".to_string());
    }
    if bare.contains('*') {
        return Err("holds a wildcard, and each domain is named by itself".to_string());
    }
    if bare.parse::<std::net::IpAddr>().is_ok() || bare.starts_with('[') {
        return Err("is an IP address".to_string());
    }
    let ascii = idna::domain_to_ascii(bare)
        .map_err(|_| "is not a domain name".to_string())?
        .to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if ascii.len() <= 253 && ascii.split('.').all(label) {
        Ok(ascii)
    } else {
        Err("is not a domain name".to_string())
    }
}

pub(super) fn listen(text: &str) -> Result<Listen, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        if !path.starts_with('/') || path.ends_with('/') {
            return Err(format!(
                "\"{text}\" is not an absolute file, write \"unix:/run/bounced/NAME.sock\""
            ));
        }
        if path.len() > MAX_SOCKET_PATH {
            return Err(format!(
                "\"{text}\" has a path of {} octets and the system takes {MAX_SOCKET_PATH}, write \
                 a shorter one",
                path.len()
            ));
        }
        return Ok(Listen::Unix(PathBuf::from(path)));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Listen::Tcp(address));
    }
    let remedy = if text.starts_with('/') {
        format!("\"unix:{text}\"")
    } else if let Some((address, port)) = ipv6_and_port(text) {
        // `::1:9925` is an IPv6 address as well; the port is what was meant.
        format!("IPv6 in brackets: \"[{address}]:{port}\"")
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("the port too: \"[{text}]:2525\"")
    } else if let Some(port) = text.strip_prefix([':', '*']).map(|p| p.trim_start_matches(':')) {
        format!("\"[::]:{port}\" for every address, IPv4 too, or \"127.0.0.1:{port}\"")
    } else if text.parse::<std::net::Ipv4Addr>().is_ok() {
        format!("the port too: \"{text}:2525\"")
    } else if let Some(port) = text.strip_prefix("localhost:") {
        format!("\"127.0.0.1:{port}\"")
    } else {
        "an IP address and a port such as \"127.0.0.1:2525\", or \"unix:/path\"".to_string()
    };
    Err(format!("\"{text}\" is no address to listen on, write {remedy}"))
}

/// `address:port` without the brackets that part them: an address before the last colon and a
/// number of more digits than an address would have there.
fn ipv6_and_port(text: &str) -> Option<(&str, &str)> {
    let (address, port) = text.rsplit_once(':')?;
    let number = port.parse::<u16>().is_ok();
    let meant = port.len() >= 4 || matches!(port, "25" | "24");
    (number && meant && address.parse::<std::net::Ipv6Addr>().is_ok()).then_some((address, port))
}

pub(super) fn read_secret(path: &Path) -> Result<Vec<u8>, String> {
    let length = std::fs::metadata(path).map_err(|e| reason(&e))?;
    if length.is_dir() {
        return Err("it is a directory".to_string());
    }
    if length.len() > MAX_SECRET_OCTETS {
        return Err(format!("it is longer than {MAX_SECRET_OCTETS} octets"));
    }
    let mut secret = std::fs::read(path).map_err(|e| reason(&e))?;
    secret.truncate(secret.trim_ascii_end().len());
    Ok(secret)
}

pub(super) fn readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
}

/// The system's words without Rust's `(os error 2)`.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_string()
}
