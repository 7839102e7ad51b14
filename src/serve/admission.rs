//! Who may have a connection: a cap for all, and one for each address
//! (docs/reliability.md, "Slow clients" and "Connection floods").
//!
//! Promises: the table holds only addresses that are connected now; IPv6 counts by /64, since one
//! host has as many addresses in it as it likes, and IPv4-mapped IPv6 counts as IPv4; the map is
//! std's keyed SipHash, for its keys are chosen by strangers
//! (docs/reliability.md, "Hash collisions").

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::ledger::lock::lock;
use crate::smtp::Rejection;

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// TCP.
    Ip(SocketAddr),
    /// A Unix socket.
    Local,
}

impl Peer {
    /// The address; None for a Unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip().to_canonical()),
            Self::Local => None,
        }
    }

    /// Whether it is loopback or a Unix socket: all programs of this machine come through both.
    pub fn is_this_machine(&self) -> bool {
        self.ip().is_none_or(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Peer {
    /// The address without its port, as events carry it; `local` for a Unix socket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip() {
            Some(ip) => ip.fmt(f),
            None => f.write_str("local"),
        }
    }
}

/// An IPv4 address, or the first 64 bits of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Network {
    V4([u8; 4]),
    V6(u64),
}

impl Network {
    pub(super) fn of(peer: &Peer) -> Option<Self> {
        Some(match peer.ip()? {
            IpAddr::V4(ip) => Self::V4(ip.octets()),
            IpAddr::V6(ip) => Self::V6((ip.to_bits() >> 64) as u64),
        })
    }
}

/// Counts connections.
#[derive(Debug)]
pub struct Admission {
    open: AtomicUsize,
    max: usize,
    max_per_ip: usize,
    networks: Mutex<HashMap<Network, usize>>,
}

impl Admission {
    /// At most `max` in all, and `max_per_ip` from one network.
    pub fn new(max: usize, max_per_ip: usize) -> Arc<Self> {
        Arc::new(Self { open: AtomicUsize::new(0), max, max_per_ip, networks: Mutex::default() })
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A place for this peer, kept until the permit is dropped; or why there is none.
    pub fn admit(self: &Arc<Self>, peer: &Peer) -> Result<Permit, Rejection> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Rejection::ConnectionLimit);
        }
        let network = Network::of(peer);
        if let Some(network) = network {
            let mut networks = lock(&self.networks);
            let open = networks.entry(network).or_default();
            if *open >= self.max_per_ip {
                if *open == 0 {
                    networks.remove(&network);
                }
                self.open.fetch_sub(1, Ordering::Relaxed);
                return Err(Rejection::ConnectionLimitPerIp);
            }
            *open += 1;
        }
        Ok(Permit { admission: Arc::clone(self), network })
    }
}

/// A place that a connection takes.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    network: Option<Network>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
        let Some(network) = self.network else { return };
        let mut networks = lock(&self.admission.networks);
        if let Some(open) = networks.get_mut(&network) {
            *open -= 1;
            if *open == 0 {
                networks.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(ip: &str) -> Peer {
        Peer::Ip(SocketAddr::new(ip.parse().unwrap(), 4711))
    }

    #[test]
    fn networks_share_their_places_and_give_them_back() {
        let admission = Admission::new(4, 1);
        let rows = [
            ("192.0.2.1", Ok(())),
            ("192.0.2.1", Err(Rejection::ConnectionLimitPerIp)),
            ("::ffff:192.0.2.1", Err(Rejection::ConnectionLimitPerIp)), // the same host
            ("2001:db8::1", Ok(())),
            ("2001:db8::2:0:0:1", Err(Rejection::ConnectionLimitPerIp)), // the same /64
            ("2001:db8:0:1::1", Ok(())),
            ("192.0.2.2", Ok(())),
            ("192.0.2.3", Err(Rejection::ConnectionLimit)),
        ];
        let mut kept = Vec::new();
        for (ip, wanted) in rows {
            let got = admission.admit(&peer(ip)).map(|permit| kept.push(permit));
            assert_eq!(got, wanted, "{ip}");
        }
        assert_eq!(admission.open(), 4);
        kept.remove(0);
        assert!(admission.admit(&peer("192.0.2.1")).is_ok());
        kept.clear();
        assert_eq!(admission.open(), 0);
        assert!(admission.networks.lock().unwrap().is_empty());
    }

    #[test]
    fn local_peers_have_only_the_common_cap() {
        let admission = Admission::new(2, 1);
        let _a = admission.admit(&Peer::Local).unwrap();
        let _b = admission.admit(&Peer::Local).unwrap();
        assert_eq!(admission.admit(&Peer::Local).unwrap_err(), Rejection::ConnectionLimit);
    }

    #[test]
    fn no_place_at_all_leaves_nothing_behind() {
        let admission = Admission::new(1, 0);
        assert!(admission.admit(&peer("192.0.2.1")).is_err());
        assert_eq!(admission.open(), 0);
        assert!(admission.networks.lock().unwrap().is_empty());
    }

    #[test]
    fn peers_are_written_without_their_port() {
        assert_eq!(peer("::ffff:192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(peer("2001:db8::1").to_string(), "2001:db8::1");
        assert_eq!(Peer::Local.to_string(), "local");
    }
}
