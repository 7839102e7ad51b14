//! What systemd hands over and wants to hear: listeners of a socket unit (sd_listen_fds(3)), and
//! the messages of `Type=notify` (sd_notify(3)). Without systemd nothing is done.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::config::Listen;

/// A listener that was open before we began.
pub enum Inherited {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

impl Inherited {
    fn address(&self) -> Option<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(Listen::Tcp),
            Self::Unix(listener) => {
                let address = listener.local_addr().ok()?;
                Some(Listen::Unix(address.as_pathname()?.to_path_buf()))
            }
        }
    }
}

/// The listeners that were handed over, by their addresses.
pub struct Handed(Vec<(Listen, Inherited)>);

impl Handed {
    /// Takes them from the environment; the second time there are none.
    pub fn over() -> Self {
        let mut sockets = ListenFd::from_env();
        let mut handed = Vec::new();
        for index in 0..sockets.len() {
            // One that is of the other kind stays and is asked again.
            let socket = match sockets.take_tcp_listener(index) {
                Ok(Some(listener)) => Some(Inherited::Tcp(listener)),
                _ => sockets.take_unix_listener(index).ok().flatten().map(Inherited::Unix),
            };
            match socket.and_then(|socket| Some((socket.address()?, socket))) {
                Some(known) => handed.push(known),
                None => tracing::warn!(index, "a socket from systemd is no listener, not used"),
            }
        }
        Self(handed)
    }

    /// The one for an address of the configuration. A socket unit that listens on every address of
    /// IPv6 (`ListenStream=25`) serves IPv4 as well.
    pub fn take(&mut self, listen: &Listen) -> Option<Inherited> {
        let same = |known: &Listen| known == listen || serves(known, listen);
        let place = self.0.iter().position(|(known, _)| same(known))?;
        Some(self.0.swap_remove(place).1)
    }

    /// Says which ones nobody took.
    pub fn warn_of_the_rest(&self) {
        for (listen, _) in &self.0 {
            tracing::warn!(
                %listen,
                "systemd listens there and the configuration does not: write it under `listen`, or \
                 take it out of the socket unit"
            );
        }
    }
}

fn serves(known: &Listen, wanted: &Listen) -> bool {
    match (known, wanted) {
        (Listen::Tcp(known), Listen::Tcp(wanted)) => {
            known.port() == wanted.port()
                && known.ip().is_unspecified()
                && known.is_ipv6()
                && wanted.ip().is_unspecified()
        }
        _ => false,
    }
}

/// Tells systemd the state of the service. A message that cannot be sent is not our trouble.
pub fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd did not hear us");
    }
}

/// How often the watchdog of systemd wants to hear from us; half of what it allows.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|allowed| allowed / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> Listen {
        Listen::Tcp(text.parse().expect("an address"))
    }

    #[test]
    fn a_listener_is_found_by_its_address() {
        let made = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let handed = |address: &str| Handed(vec![(tcp(address), Inherited::Tcp(made()))]);
        for (known, wanted, found) in [
            ("192.0.2.1:25", "192.0.2.1:25", true),
            ("192.0.2.1:25", "192.0.2.1:2525", false),
            ("[::]:25", "0.0.0.0:25", true),
            ("[::]:25", "[::]:25", true),
            ("0.0.0.0:25", "[::]:25", false),
            ("[::]:25", "127.0.0.1:25", false),
        ] {
            let mut handed = handed(known);
            assert_eq!(handed.take(&tcp(wanted)).is_some(), found, "{known} {wanted}");
            assert!(handed.take(&tcp(wanted)).is_none(), "only once");
        }
    }
}
