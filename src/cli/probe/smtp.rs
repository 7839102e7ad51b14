//! The mail port as a stranger finds it: greeting, STARTTLS, and who may be written to. No DATA is
//! ever sent, so nothing is stored or delivered (RFC 5321, RFC 3207).

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use rustls::{ClientConnection, StreamOwned};

use super::deadline::{Deadline, TimedStream, said};
use super::limits;
use super::tls::{Chain, NoTls, TlsClient};

/// A relay for strangers takes mail to this (RFC 2606, section 3); a host of ours does not.
const STRANGER: &str = "doctor-asks-whether-you-relay@example.com";
/// What was seen.
pub(super) struct PortVisit {
    /// The first line.
    pub(super) greeting: String,
    pub(super) starttls: StartTls,
    /// The reply to MAIL FROM:<>, with which bounces come, when it is a no.
    pub(super) refused_bounces: Option<Reply>,
    /// The reply to RCPT for postmaster of each domain.
    pub(super) postmasters: Vec<(String, Reply)>,
    /// The replies to RCPT for somebody elsewhere, from the null sender and from one of ours.
    pub(super) relay: Vec<Reply>,
    /// The server saw us come from its own machine.
    pub(super) to_ourselves: bool,
    /// What cut it short.
    pub(super) broken: Option<String>,
}

pub(super) enum StartTls {
    NotOffered,
    Failed(NoTls),
    Done(Chain),
}

/// Why there was no conversation.
pub(super) enum NoVisit {
    /// Nothing listens.
    Refused,
    /// It could not be reached from here.
    Unreachable(String),
    /// It does not speak, or says no.
    Unwilling(String),
}

/// A reply: its code, and its last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) line: String,
}

/// Who asks, and about whom.
pub(super) struct Visitor<'a> {
    /// EHLO.
    pub(super) name: &'a str,
    /// Return-path domains that the host takes mail for.
    pub(super) domains: Vec<&'a str>,
    pub(super) tls: &'a TlsClient,
    pub(super) deadline: Deadline,
}

impl Visitor<'_> {
    /// Goes to one address of a host.
    pub(super) fn visit(&self, address: SocketAddr, host: &str) -> Result<PortVisit, NoVisit> {
        let (mut port, greeting) = self.open(address)?;
        let to_ourselves = port.plain().is_some_and(TimedStream::is_to_ourselves);
        let mut visit = PortVisit {
            greeting,
            starttls: StartTls::NotOffered,
            refused_bounces: None,
            postmasters: Vec::new(),
            relay: Vec::new(),
            to_ourselves,
            broken: None,
        };
        let offered = match self.hello(&mut port) {
            Ok(offered) => offered,
            Err(why) => return Err(NoVisit::Unwilling(format!("after EHLO: {why}"))),
        };
        if offered {
            match self.encrypt(port, host) {
                Ok((encrypted, chain)) => {
                    (port, visit.starttls) = (encrypted, StartTls::Done(chain));
                }
                Err(why) => {
                    visit.starttls = StartTls::Failed(why);
                    let Ok((again, _)) = self.open(address) else {
                        visit.broken = Some("after that it did not let us in again".to_string());
                        return Ok(visit);
                    };
                    port = again;
                }
            }
            if let Err(why) = self.hello(&mut port) {
                visit.broken = Some(format!("after EHLO: {why}"));
                return Ok(visit);
            }
        }
        if let Err(why) = self.ask(&mut port, &mut visit) {
            visit.broken = Some(why);
        }
        Ok(visit)
    }

    fn open(&self, address: SocketAddr) -> Result<(Conversation, String), NoVisit> {
        let stream =
            TimedStream::connect(address, self.deadline).map_err(|why| match why.kind() {
                ErrorKind::ConnectionRefused => NoVisit::Refused,
                _ => NoVisit::Unreachable(said(&why)),
            })?;
        let mut port = Conversation::Plain(stream);
        let greeting = port.reply().map_err(|why| NoVisit::Unwilling(said(&why)))?;
        match greeting.0.code {
            220 => Ok((port, greeting.0.line)),
            _ => Err(NoVisit::Unwilling(format!("it greets with `{}`", greeting.0.line))),
        }
    }

    /// Whether STARTTLS is offered.
    fn hello(&self, port: &mut Conversation) -> Result<bool, String> {
        let (reply, lines) = port.say(&format!("EHLO {}", self.name)).map_err(|why| said(&why))?;
        match reply.code {
            250 => Ok(lines.iter().any(|line| line.eq_ignore_ascii_case("STARTTLS"))),
            _ => Err(format!("`{}`", reply.line)),
        }
    }

    fn encrypt(&self, port: Conversation, host: &str) -> Result<(Conversation, Chain), NoTls> {
        let mut port = port;
        let (reply, _) = port.say("STARTTLS").map_err(|why| NoTls::of(&why))?;
        if reply.code != 220 {
            return Err(NoTls::Failed(format!("it answers `{}`", reply.line)));
        }
        let Conversation::Plain(stream) = port else {
            return Err(NoTls::Failed("it is encrypted already".to_string()));
        };
        let (stream, chain) = self.tls.greet(stream, host)?;
        Ok((Conversation::Encrypted(Box::new(stream)), chain))
    }

    fn ask(&self, port: &mut Conversation, visit: &mut PortVisit) -> Result<(), String> {
        let mut say = |line: &str| match port.say(line) {
            // The service goes away: no answer to the question.
            Ok((reply, _)) if reply.code == 421 => Err(format!("after {line}: `{}`", reply.line)),
            Ok((reply, _)) => Ok(reply),
            Err(why) => Err(format!("after {line}: {}", said(&why))),
        };
        let ours = self.domains.first().map(|domain| format!("postmaster@{domain}"));
        for sender in [Some(String::new()), ours].into_iter().flatten() {
            let reply = say(&format!("MAIL FROM:<{sender}>"))?;
            if reply.code / 100 != 2 {
                if sender.is_empty() {
                    visit.refused_bounces = Some(reply);
                }
                continue;
            }
            if sender.is_empty() {
                for domain in &self.domains {
                    let reply = say(&format!("RCPT TO:<postmaster@{domain}>"))?;
                    visit.postmasters.push((domain.to_string(), reply));
                }
            }
            visit.relay.push(say(&format!("RCPT TO:<{STRANGER}>"))?);
            say("RSET")?;
        }
        // What was said is known, however it ends.
        let _ = say("QUIT");
        Ok(())
    }
}

enum Conversation {
    Plain(TimedStream),
    Encrypted(Box<StreamOwned<ClientConnection, TimedStream>>),
}

impl Conversation {
    fn plain(&self) -> Option<&TimedStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Encrypted(_) => None,
        }
    }

    /// Says a line; gives the reply and the words of each of its lines.
    fn say(&mut self, line: &str) -> io::Result<(Reply, Vec<String>)> {
        let line = format!("{line}\r\n");
        match self {
            Self::Plain(stream) => stream.write_all(line.as_bytes())?,
            Self::Encrypted(stream) => {
                stream.write_all(line.as_bytes())?;
                stream.flush()?;
            }
        }
        self.reply()
    }

    fn reply(&mut self) -> io::Result<(Reply, Vec<String>)> {
        let wrong = || io::Error::new(ErrorKind::InvalidData, "it does not speak SMTP");
        let mut words = Vec::new();
        for _ in 0..limits::SMTP_REPLY_LINES {
            let line = self.line()?;
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok()).ok_or_else(wrong)?;
            words.push(line.get(4..).unwrap_or_default().to_string());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok((Reply { code, line }, words));
            }
        }
        Err(wrong())
    }

    /// Octet by octet: nothing that comes after the line may be taken for encrypted (CVE-2011-0411
    /// and its kind).
    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        loop {
            let mut octet = [0];
            match self {
                Self::Plain(stream) => stream.read_exact(&mut octet)?,
                Self::Encrypted(stream) => stream.read_exact(&mut octet)?,
            }
            match octet {
                [b'\n'] => break,
                [octet] if line.len() < limits::SMTP_LINE_OCTETS => line.push(octet),
                _ => return Err(io::Error::new(ErrorKind::InvalidData, "its line has no end")),
            }
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_string())
    }
}
