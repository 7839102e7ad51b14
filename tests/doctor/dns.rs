//! A name server with a zone of its own, by UDP and TCP.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// What it knows.
#[derive(Clone, Default)]
pub struct Zone {
    records: Vec<(String, u16, Vec<u8>)>,
    /// Says that DNSSEC proves it.
    pub secure: bool,
    /// Names for which it cannot find out.
    pub failing: BTreeSet<String>,
    /// Names whose records do not fit into a datagram.
    pub large: BTreeSet<String>,
}

impl Zone {
    pub fn a(&mut self, name: &str, address: &str) -> &mut Self {
        let address: Ipv4Addr = address.parse().expect("an address");
        self.add(name, 1, address.octets().to_vec())
    }

    pub fn cname(&mut self, name: &str, target: &str) -> &mut Self {
        self.add(name, 5, wire(target))
    }

    pub fn ptr(&mut self, address: &str, name: &str) -> &mut Self {
        let [a, b, c, d] = address.parse::<Ipv4Addr>().expect("an address").octets();
        self.add(&format!("{d}.{c}.{b}.{a}.in-addr.arpa"), 12, wire(name))
    }

    pub fn mx(&mut self, name: &str, preference: u16, host: &str) -> &mut Self {
        self.add(name, 15, [&preference.to_be_bytes()[..], &wire(host)].concat())
    }

    pub fn txt(&mut self, name: &str, text: &str) -> &mut Self {
        let strings = text.as_bytes().chunks(255);
        let data = strings.flat_map(|part| [&[part.len() as u8], part].concat()).collect();
        self.add(name, 16, data)
    }

    pub fn tlsa(&mut self, name: &str, fields: [u8; 3], data: &[u8]) -> &mut Self {
        self.add(name, 52, [&fields[..], data].concat())
    }

    /// The root of the DNS, which every name server of the internet knows.
    pub fn root(&mut self) -> &mut Self {
        self.add("", 2, wire("a.root-servers.net"))
    }

    pub fn add(&mut self, name: &str, kind: u16, data: Vec<u8>) -> &mut Self {
        self.records.push((name.to_string(), kind, data));
        self
    }

    /// Takes all records of a name away.
    pub fn without(&mut self, name: &str) -> &mut Self {
        self.records.retain(|(known, _, _)| known != name);
        self
    }

    /// Answers until the process ends.
    pub fn serve(self) -> SocketAddr {
        let (udp, tcp) = sockets();
        let address = udp.local_addr().expect("bound");
        let zone = self.clone();
        std::thread::spawn(move || {
            let mut octets = [0; 2048];
            while let Ok((length, peer)) = udp.recv_from(&mut octets) {
                let _ = udp.send_to(&zone.answer(&octets[..length], true), peer);
            }
        });
        std::thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                let mut stream = stream;
                let mut length = [0; 2];
                stream.read_exact(&mut length).expect("a length");
                let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut query).expect("a query");
                let answer = self.answer(&query, false);
                let length = u16::try_from(answer.len()).expect("short").to_be_bytes();
                stream.write_all(&[&length, &answer[..]].concat()).expect("written");
            }
        });
        address
    }

    fn answer(&self, query: &[u8], datagram: bool) -> Vec<u8> {
        let mut at = 12;
        let mut labels: Vec<String> = Vec::new();
        while query[at] != 0 {
            let end = at + 1 + usize::from(query[at]);
            labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_lowercase());
            at = end;
        }
        let (name, end) = (labels.join("."), at + 5);
        let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
        let question = &query[12..end];
        let head = |flags: [u8; 2], answers: u16| {
            let mut octets = query[..2].to_vec();
            octets.extend(flags);
            octets.extend([0, 1]);
            octets.extend(answers.to_be_bytes());
            octets.extend([0; 4]);
            octets.extend(question);
            octets
        };
        if self.failing.contains(&name) {
            return head([0x81, 0x82], 0);
        }
        if datagram && self.large.contains(&name) {
            return head([0x83, 0x80], 0);
        }
        let mut found: Vec<&(String, u16, Vec<u8>)> = Vec::new();
        let mut owner = name.clone();
        let known = self.records.iter().any(|(name, _, _)| *name == owner);
        while let Some(alias) =
            self.records.iter().find(|(name, kind, _)| *name == owner && *kind == 5)
        {
            found.push(alias);
            owner = read(&alias.2);
        }
        found.extend(self.records.iter().filter(|(name, is, _)| *name == owner && *is == kind));
        let secure = if self.secure { 0x20 } else { 0 };
        let code = if known { 0 } else { 3 };
        let mut octets = head([0x81, 0x80 | secure | code], found.len() as u16);
        for (name, kind, data) in found {
            octets.extend(wire(name));
            octets.extend(kind.to_be_bytes());
            octets.extend([0, 1, 0, 0, 0, 60]);
            octets.extend((data.len() as u16).to_be_bytes());
            octets.extend(data);
        }
        octets
    }
}

/// One port for both.
fn sockets() -> (UdpSocket, TcpListener) {
    let host = IpAddr::from([127, 0, 0, 1]);
    for _ in 0..100 {
        let udp = UdpSocket::bind((host, 0)).expect("a free port");
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("bound")) {
            return (udp, tcp);
        }
    }
    panic!("no port is free for UDP and TCP");
}

fn wire(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        octets.push(label.len() as u8);
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets
}

fn read(mut wire: &[u8]) -> String {
    let mut labels = Vec::new();
    while wire[0] != 0 {
        let (label, rest) = wire[1..].split_at(usize::from(wire[0]));
        labels.push(String::from_utf8_lossy(label).into_owned());
        wire = rest;
    }
    labels.join(".")
}
