//! MTA-STS (RFC 8461): a domain tells senders over HTTPS which hosts take its mail, and that they
//! must show a certificate that can be checked. A policy that does not fit stops mail.

use std::io::{Read, Write};
use std::net::SocketAddr;

use super::deadline::TimedStream;
use super::limits;
use super::tls::TlsClient;
use crate::mail::Timestamp;

/// A policy that senders forget within a day protects little (section 3.2 names weeks).
const SHORT_AGE: u64 = 86_400;

/// What the policy asks of senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Enforce,
    Testing,
    Off,
}

/// A policy that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StsPolicy {
    pub(super) mode: Mode,
    /// Hosts, some as `*.example.com`.
    pub(super) mx: Vec<String>,
    pub(super) max_age: u64,
}

impl StsPolicy {
    /// Whether mail may go to a host.
    pub(super) fn names(&self, host: &str) -> bool {
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            // One label, no more (section 4.1).
            Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => pattern == host,
        })
    }

    pub(super) fn is_short(&self) -> bool {
        self.max_age < SHORT_AGE
    }

    /// Lines of `key: value`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (key, value) =
                line.split_once(':').ok_or_else(|| format!("`{line}` is no `key: value`"))?;
            let value = value.trim();
            match key.trim() {
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(Some(value)),
                "mx" => mx.push(value.trim_end_matches('.').to_ascii_lowercase()),
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err("it has no line `version: STSv1`".to_string());
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::Off,
            _ => return Err("its mode is not enforce, testing or none".to_string()),
        };
        /// Section 3.2.
        const MAX_AGE: u64 = 31_557_600;
        let max_age = max_age
            .and_then(|age| age.parse().ok())
            .filter(|age| *age <= MAX_AGE)
            .ok_or_else(|| format!("its max_age is no number of seconds up to {MAX_AGE}"))?;
        if mx.is_empty() && mode != Mode::Off {
            return Err("it has no line `mx: HOST`".to_string());
        }
        Ok(Self { mode, mx, max_age })
    }
}

/// Whether a TXT of `_mta-sts.<domain>` announces a policy; an error says what is wrong with it.
pub(super) fn is_announced(texts: &[String]) -> Result<bool, String> {
    let ours: Vec<&String> =
        texts.iter().filter(|text| text.trim_start().starts_with("v=STSv1")).collect();
    match ours.as_slice() {
        [] => Ok(false),
        [text] => {
            let id = text.split(';').find_map(|part| part.trim().strip_prefix("id="));
            match id.is_some_and(|id| {
                (1..=32).contains(&id.len())
                    && id.bytes().all(|octet| octet.is_ascii_alphanumeric())
            }) {
                true => Ok(true),
                false => Err("it has no id=, of 1 to 32 letters and digits".to_string()),
            }
        }
        more => Err(format!("there are {} of them, leave one", more.len())),
    }
}

/// Fetches the policy as senders do: HTTPS, a certificate that holds, no redirect.
pub(super) fn fetch(
    stream: TimedStream,
    domain: &str,
    tls: &TlsClient,
    now: Timestamp,
) -> Result<StsPolicy, String> {
    let host = policy_host(domain);
    let (mut stream, chain) = tls.greet(stream, &host).map_err(|why| why.to_string())?;
    if let Some(fault) = tls.faults(&chain, &host, now).first() {
        return Err(format!("its certificate: {fault}"));
    }
    // HTTP/1.0: the answer is not in chunks, and ends with the connection.
    let request = format!("GET {PATH} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let said = |why: std::io::Error| super::deadline::said(&why);
    stream.write_all(request.as_bytes()).map_err(said)?;
    stream.flush().map_err(said)?;
    let mut answer = Vec::new();
    let mut limited = Read::by_ref(&mut stream).take(limits::POLICY_OCTETS);
    match limited.read_to_end(&mut answer) {
        // Many end without a word of TLS, and the answer says how long it is.
        Err(why) if why.kind() != std::io::ErrorKind::UnexpectedEof => Err(said(why)),
        _ => StsPolicy::parse(body(&answer)?),
    }
}

const PATH: &str = "/.well-known/mta-sts.txt";

/// Where the policy is.
pub(super) fn policy_host(domain: &str) -> String {
    format!("mta-sts.{domain}")
}

/// For people.
pub(super) fn policy_url(domain: &str) -> String {
    format!("https://{}{PATH}", policy_host(domain))
}

/// The first of the addresses that can be connected to.
pub(super) fn connect(
    addresses: &[SocketAddr],
    deadline: super::deadline::Deadline,
) -> Result<TimedStream, String> {
    let mut why = "its name has no address".to_string();
    for address in addresses {
        match TimedStream::connect(*address, deadline) {
            Ok(stream) => return Ok(stream),
            Err(error) => why = format!("{address}: {}", super::deadline::said(&error)),
        }
    }
    Err(why)
}

/// The body of an answer that is 200 and text.
fn body(answer: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(answer).map_err(|_| "it is not text".to_string())?;
    let (head, body) =
        text.split_once("\r\n\r\n").ok_or_else(|| "it does not speak HTTP".to_string())?;
    let status = head.lines().next().unwrap_or_default();
    let mut words = status.split(' ');
    let http = words.next().is_some_and(|first| first.starts_with("HTTP/1."));
    match (http, words.next()) {
        (true, Some("200")) => {}
        (true, _) => return Err(format!("it answers `{status}`, and senders want 200")),
        (false, _) => return Err("it does not speak HTTP".to_string()),
    }
    let header = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
        })
    };
    if header("transfer-encoding").is_some_and(|how| how != "identity") {
        return Err("it answers HTTP/1.0 in chunks".to_string());
    }
    match header("content-type") {
        Some(kind) if kind.starts_with("text/plain") => {}
        kind => {
            let kind = kind.unwrap_or_else(|| "none".to_string());
            return Err(format!("its Content-Type is {kind}, and must be text/plain"));
        }
    }
    let length = header("content-length").and_then(|length| length.parse::<usize>().ok());
    match length {
        Some(length) if length > body.len() => Err("it ends too early".to_string()),
        Some(length) => Ok(body.get(..length).unwrap_or(body)),
        None => Ok(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read() {
        let policy = "version: STSv1\r\nmode: enforce\r\nmx: mx.example.com\r\nmx: *.Example.net\r\nmax_age: 604800\r\n";
        let read = StsPolicy::parse(policy).expect("a policy");
        assert_eq!((read.mode, read.max_age, read.is_short()), (Mode::Enforce, 604_800, false));
        for (host, named) in [
            ("mx.example.com", true),
            ("a.example.net", true),
            ("a.b.example.net", false),
            ("example.net", false),
            ("mx.example.org", false),
        ] {
            assert_eq!(read.names(host), named, "{host}");
        }
        for (from, to, part) in [
            ("STSv1", "STSv2", "version"),
            ("enforce", "strict", "mode"),
            ("604800", "a week", "max_age"),
            ("604800", "99999999", "max_age"),
            ("mode: ", "mode ", "key: value"),
            ("mx: ", "host: ", "mx: HOST"),
        ] {
            let why = StsPolicy::parse(&policy.replace(from, to)).expect_err(part);
            assert!(why.contains(part), "{why}");
        }
        assert!(StsPolicy::parse("version: STSv1\nmode: none\nmax_age: 60").is_ok());
    }

    #[test]
    fn announcements_are_read() {
        for (texts, known) in [
            (&[][..], Some(false)),
            (&["v=spf1 -all"], Some(false)),
            (&["v=STSv1; id=20261101T1;"], Some(true)),
            (&["v=STSv1"], None),
            (&["v=STSv1; id=2026-11-01"], None),
            (&["v=STSv1; id=1", "v=STSv1; id=2"], None),
        ] {
            let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
            assert_eq!(is_announced(&texts).ok(), known, "{texts:?}");
        }
    }

    #[test]
    fn only_a_plain_200_is_a_policy() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
        for (answer, wanted) in [
            (format!("{head}\r\nmode"), Ok("mode")),
            (format!("{head}Content-Length: 2\r\n\r\nmode"), Ok("mo")),
            (format!("{head}Content-Length: 9\r\n\r\nmode"), Err("too early")),
            (format!("{head}Transfer-Encoding: chunked\r\n\r\nmode"), Err("chunks")),
            (head.replace("plain", "html") + "\r\nmode", Err("text/html")),
            (head.replace("200 OK", "301 Moved") + "\r\nmode", Err("301 Moved")),
            ("220 mx ESMTP\r\n\r\n".to_string(), Err("HTTP")),
            (String::new(), Err("HTTP")),
        ] {
            match (body(answer.as_bytes()), wanted) {
                (Ok(got), Ok(wanted)) => assert_eq!(got, wanted, "{answer}"),
                (Err(why), Err(part)) => assert!(why.contains(part), "{answer}: {why}"),
                (got, _) => panic!("{answer}: {got:?}"),
            }
        }
    }
}
