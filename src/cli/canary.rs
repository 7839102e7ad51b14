//! `bounced canary`: a report of a delivery goes through the front door, and its event must come out:
//! what a monitor asks every few minutes. Nobody's address is touched: the report says `delivered`,
//! and its recipient is below `.invalid` (RFC 6761, section 6.4).
//!
//! It speaks plain SMTP to the given host, so it proves name, port, session, journal and reading; what
//! TLS is worth, `doctor` looks at.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use super::args::CanaryArgs;
use super::console::{Console, ExitAnswer};
use super::program::Program;
use super::reach::{reachable, running};
use super::remote::Remote;
use crate::config::{Config, Listen, LoadedConfig};
use crate::mail::Address;
use crate::service::{CANARY_DOMAIN, Operations, ServiceError};

/// Between two looks for the event.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn run(
    args: &CanaryArgs,
    loaded: &LoadedConfig,
    program: &dyn Program,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let config = &loaded.config;
    let Some(http) = running(&config.http.listen)? else {
        bail!("no service answers on http.listen: start it with bounced serve")
    };
    let service = Remote::new(http);
    let server = match &args.to {
        Some(to) => resolve(to)?,
        None => own(config)?,
    };
    let name = format!("canary-{:x}@{CANARY_DOMAIN}", console.now.millis());
    let recipient = Address::parse(&name).ok_or_else(|| anyhow!("{name} is no address"))?;
    if config.smtp.domains.is_empty() {
        // The embedded defaults take any domain on loopback, so there is none to send to.
        bail!("no return path can be made: write domains = [\"bounce.example.com\"] below [smtp]")
    }
    let return_path = match config.verp.keys.is_empty() {
        false => program.sign(loaded, &recipient, None, None, console.now)?,
        true => plain(config, &name)?,
    };

    let began = Instant::now();
    let reply = send(server, config.hostname.as_str(), &return_path, &name, args.timeout)
        .with_context(|| format!("the canary did not get through {server}"))?;
    let accepted = began.elapsed();
    let event = wait(&service, &name, began + args.timeout)?.ok_or_else(|| {
        anyhow!(
            "{server} answered `{reply}`, and no event came of it in {} seconds: does it hand mail for \
             this domain over to bounced?",
            args.timeout.as_secs()
        )
    })?;
    let (accepted, read) = (accepted.as_secs_f64(), began.elapsed().as_secs_f64());
    if args.json {
        let line = json!({
            "server": server.to_string(), "return_path": return_path, "reply": reply,
            "event": event.get("id"), "accepted_seconds": accepted, "seconds": read,
        });
        writeln!(console.out, "{line}")?;
    } else {
        let id = event.get("id").and_then(Value::as_str).unwrap_or_default();
        writeln!(
            console.out,
            "{server} took it in {accepted:.3} s, event {id} was there after {read:.3} s"
        )?;
    }
    Ok(ExitAnswer::Yes)
}

/// A return path without a signature: `bounces+user=example.com@bounce.example.com`.
fn plain(config: &Config, name: &str) -> Result<String> {
    let domain = config.smtp.domains.first().filter(|_| config.verp.plain);
    let domain = domain.ok_or_else(|| {
        anyhow!("no return path can be made: add a [[verp.keys]] table with id and secret_file")
    })?;
    Ok(format!("bounces+{}@{domain}", name.replace('@', "=")))
}

/// The first TCP port of `smtp.listen`.
fn own(config: &Config) -> Result<SocketAddr> {
    let tcp = config.smtp.listen.iter().find_map(|listen| match listen {
        Listen::Tcp(address) => Some(reachable(*address)),
        Listen::Unix(_) => None,
    });
    tcp.ok_or_else(|| anyhow!("smtp.listen has no TCP port: say where with --to HOST:PORT"))
}

/// `mx.example.com` (port 25) or `mx.example.com:2525`.
fn resolve(to: &str) -> Result<SocketAddr> {
    let port = to.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let found = match port {
        Some(_) => to.to_socket_addrs(),
        None => (to.trim_matches(['[', ']']), 25).to_socket_addrs(),
    };
    let mut found = found.with_context(|| format!("--to {to}: write HOST or HOST:PORT"))?;
    found.next().ok_or_else(|| anyhow!("--to {to}: the name has no address"))
}

/// Sends the report; gives the last reply. The timeout holds for each step.
fn send(
    server: SocketAddr,
    hostname: &str,
    return_path: &str,
    name: &str,
    timeout: Duration,
) -> Result<String> {
    let stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let mut replies = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    expect(&mut replies, "the greeting", b'2')?;
    let mut step = |line: &str, class: u8| -> Result<String> {
        stream.write_all(format!("{line}\r\n").as_bytes())?;
        expect(&mut replies, line.lines().next().unwrap_or_default(), class)
    };
    step(&format!("EHLO {hostname}"), b'2')?;
    step("MAIL FROM:<>", b'2')?;
    step(&format!("RCPT TO:<{return_path}>"), b'2')?;
    step("DATA", b'3')?;
    let reply = step(&report(hostname, return_path, name), b'2')?;
    // What was taken is taken, however the session ends.
    let _ = step("QUIT", b'2');
    Ok(reply)
}

/// Reads a reply, of one line or more; another class than wanted is an error.
fn expect(replies: &mut impl BufRead, step: &str, class: u8) -> Result<String> {
    loop {
        let mut line = String::new();
        let read = Read::by_ref(replies).take(1_000).read_line(&mut line);
        if read.with_context(|| format!("after {step}"))? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof))
                .with_context(|| format!("after {step}"));
        }
        let line = line.trim_end();
        if line.as_bytes().get(3) == Some(&b'-') {
            continue;
        }
        if line.as_bytes().first() != Some(&class) {
            bail!("after {step} it answered `{line}`");
        }
        return Ok(line.to_string());
    }
}

/// The report with the final dot, without the last line end.
fn report(hostname: &str, return_path: &str, name: &str) -> String {
    let lines = [
        &format!("From: MAILER-DAEMON@{hostname}"),
        &format!("To: {return_path}"),
        "Subject: Successful Mail Delivery Report (canary)",
        &format!("Message-ID: <{name}>"),
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status; boundary=\"canary\"",
        "",
        "--canary",
        "Content-Type: text/plain",
        "",
        "This is a test of the way of bounces. The message was delivered.",
        "--canary",
        "Content-Type: message/delivery-status",
        "",
        &format!("Reporting-MTA: dns; {hostname}"),
        "",
        &format!("Final-Recipient: rfc822; {name}"),
        "Action: delivered",
        "Status: 2.0.0",
        "",
        "--canary--",
        ".",
    ];
    lines.join("\r\n")
}

/// The first event of the address, as soon as there is one.
fn wait(service: &Remote, name: &str, until: Instant) -> Result<Option<Value>> {
    loop {
        match service.explain(name, None) {
            Ok(mut known) => {
                let events = known.get_mut("events").and_then(Value::as_array_mut);
                if let Some(event) = events.and_then(Vec::pop) {
                    return Ok(Some(event));
                }
            }
            Err(ServiceError::NotFound(_) | ServiceError::Busy(_)) => {}
            Err(error) => return Err(error.into()),
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_many_lines_ends_with_its_last() {
        for (given, expected) in [
            ("250-mx\r\n250 SIZE 1\r\n", Some("250 SIZE 1")),
            ("250 2.0.0 stored e1\r\n", Some("250 2.0.0 stored e1")),
            ("451 4.3.0 later\r\n", None),
            ("250-mx\r\n", None),
            ("", None),
        ] {
            let reply = expect(&mut given.as_bytes(), "DATA", b'2').ok();
            assert_eq!(reply.as_deref(), expected, "{given:?}");
        }
    }

    #[test]
    fn where_it_goes_is_a_host_or_a_host_and_port() {
        for (to, expected) in [
            ("127.0.0.1:2525", Some("127.0.0.1:2525")),
            ("127.0.0.1", Some("127.0.0.1:25")),
            ("[::1]", Some("[::1]:25")),
            ("[::1]:2525", Some("[::1]:2525")),
            ("127.0.0.1:mail", None),
        ] {
            let found = resolve(to).ok().map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{to}");
        }
    }
}
