//! A stub resolver: asks the name servers of the system, and reads what they answer (`dns/wire.rs`).
//! It trusts the server and its `AD` bit, as every stub does, and follows CNAMEs inside one answer.
//!
//! The octets are hickory-proto's; its resolver would bring a runtime and a cache for the seven questions
//! of `doctor`.
//!
//! Promises: octets of a server never make it panic, loop, or read without end; a server that was
//! silent is not waited for again; that nothing could be asked is never "there is no such record",
//! nor is the no of a name server that has no way to the DNS.

mod wire;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::deadline::{Deadline, TimedStream, said};
use super::limits;
use crate::ledger::lock::lock;
pub(crate) use wire::{Answer, Record, RecordType};
use wire::{is_answer, query, read};

/// The name servers of the system, or one that was named.
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
    deadline: Deadline,
    /// One of them has said something.
    answers: AtomicBool,
    /// Why they are not asked again.
    silent: Mutex<Option<String>>,
    knows_root: OnceLock<bool>,
}

impl Resolver {
    pub(super) fn new(servers: &[SocketAddr], deadline: Deadline) -> Self {
        let servers = servers.iter().take(limits::NAME_SERVERS).copied().collect();
        let (answers, silent, knows_root) =
            (AtomicBool::new(false), Mutex::new(None), OnceLock::new());
        Self { servers, deadline, answers, silent, knows_root }
    }

    /// All records of a type. The error says why it could not be looked up.
    pub(super) fn ask(&self, name: &str, wanted: RecordType) -> Result<Answer, String> {
        let answer = self.question(name, wanted)?;
        // In a closed network some name servers say of every name that it does not exist. The root
        // does, so such a no is worth nothing.
        let knows_root = || {
            let root = self.question("", RecordType::NS);
            root.is_ok_and(|answer| !answer.records.is_empty())
        };
        if answer.records.is_empty() && !self.knows_root.get_or_init(knows_root) {
            let servers: Vec<String> = self.servers.iter().map(ToString::to_string).collect();
            let servers = servers.join(", ");
            return Err(format!("the name server {servers} knows not even the root of the DNS"));
        }
        Ok(answer)
    }

    fn question(&self, name: &str, wanted: RecordType) -> Result<Answer, String> {
        if let Some(why) = &*lock(&self.silent) {
            return Err(why.clone());
        }
        let mut id = [0; 2];
        getrandom::fill(&mut id).map_err(|why| why.to_string())?;
        let query = query(u16::from_be_bytes(id), name, wanted)
            .ok_or_else(|| format!("{name} is no name of the DNS"))?;
        let mut silence = "no name server is known".to_string();
        for most in limits::NAME_SERVER_ROUNDS {
            let mut unable = None;
            for server in &self.servers {
                match self.exchange(*server, &query, most) {
                    Ok(octets) => match read(&octets, name, wanted) {
                        Ok(answer) => return Ok(answer),
                        // Another one may know.
                        Err(why) => unable = Some(format!("{server}: {why}")),
                    },
                    Err(error) => silence = format!("the name server {server}: {}", said(&error)),
                }
            }
            if let Some(why) = unable {
                return Err(why);
            }
        }
        // One that has answered before does not find this name alone in time.
        if !self.answers.load(Ordering::Relaxed) {
            *lock(&self.silent) = Some(silence.clone());
        }
        Err(silence)
    }

    /// IPv4 and IPv6; an error only when neither could be asked for.
    pub(super) fn addresses(&self, name: &str) -> Result<Answer, String> {
        let (four, six) = (self.ask(name, RecordType::A), self.ask(name, RecordType::AAAA));
        match (four, six) {
            (Ok(mut four), Ok(six)) => {
                four.records.extend(six.records);
                Ok(Answer { alias: four.alias || six.alias, ..four })
            }
            (Ok(one), Err(why)) | (Err(why), Ok(one)) => match one.records.is_empty() {
                true => Err(why),
                false => Ok(one),
            },
            (Err(why), Err(_)) => Err(why),
        }
    }

    /// By datagram, and by TCP what does not fit into one.
    fn exchange(&self, server: SocketAddr, query: &[u8], most: Duration) -> io::Result<Vec<u8>> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        // The kernel drops what comes from others.
        socket.connect(server)?;
        socket.send(query)?;
        let deadline = Deadline::after(self.deadline.left(most)?);
        let mut octets = vec![0; usize::from(u16::MAX)];
        let answer = loop {
            socket.set_read_timeout(Some(deadline.left(most)?))?;
            let length = socket.recv(&mut octets)?;
            let answer = octets.get(..length).unwrap_or_default();
            if is_answer(answer, query) {
                break answer;
            }
        };
        self.answers.store(true, Ordering::Relaxed);
        /// TC: the rest did not fit.
        const TRUNCATED: u8 = 0x02;
        if answer.get(2).is_some_and(|flags| flags & TRUNCATED == 0) {
            return Ok(answer.to_vec());
        }
        let mut stream = TimedStream::connect(server, deadline)?;
        let length = u16::try_from(query.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), query].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer)?;
        match is_answer(&answer, query) {
            true => Ok(answer),
            false => Err(io::Error::new(ErrorKind::InvalidData, "it answered something else")),
        }
    }
}

/// The servers of resolv.conf(5); the one on this machine when it names none.
pub fn name_servers(resolv_conf: &str) -> Vec<SocketAddr> {
    let servers = resolv_conf.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let named = words.next() == Some("nameserver");
        // An address with a zone (fe80::1%eth0) has no number to be written with here.
        words.next().filter(|_| named)?.parse::<IpAddr>().ok()
    });
    let servers: Vec<SocketAddr> =
        servers.map(|ip| (ip, 53).into()).take(limits::NAME_SERVERS).collect();
    match servers.is_empty() {
        true => vec![(Ipv4Addr::LOCALHOST, 53).into()],
        false => servers,
    }
}

/// The name of an address below `in-addr.arpa` or `ip6.arpa`.
pub(super) fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let mut name = String::new();
            for octet in address.octets().iter().rev() {
                name.push_str(&format!("{:x}.{:x}.", octet & 15, octet >> 4));
            }
            name + "ip6.arpa"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_of_the_system() {
        for (text, servers) in [
            ("search example.com\nnameserver 192.0.2.53 # ours\n", &["192.0.2.53:53"][..]),
            ("nameserver ::1\nnameserver 192.0.2.1", &["[::1]:53", "192.0.2.1:53"]),
            ("nameserver fe80::1%eth0\n", &["127.0.0.1:53"]),
            ("", &["127.0.0.1:53"]),
        ] {
            let found: Vec<String> = name_servers(text).iter().map(ToString::to_string).collect();
            assert_eq!(found, servers, "{text}");
        }
    }

    #[test]
    fn an_address_has_its_name() {
        let name = |address: &str| reverse_name(address.parse().expect("an address"));
        assert_eq!(name("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        let long = "8.b.d.0.1.0.0.2.ip6.arpa";
        assert!(name("2001:db8::7").ends_with(long) && name("2001:db8::7").starts_with("7.0."));
    }
}
