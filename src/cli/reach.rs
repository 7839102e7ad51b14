//! Who answers a command: the running service over HTTP, or, when nothing listens there, the
//! ledger that this process opens itself (sled locks its directory for one process, so never
//! both).

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::program::Program;
use super::remote::Remote;
use crate::config::{Listen, LoadedConfig};
use crate::service::Operations;

/// How long a connection may take; the service is on this machine or near.
const CONNECT: Duration = Duration::from_secs(5);

/// The running service, or else the ledger. Where there is none, only a command that `makes` one
/// may go on: an empty list would answer "not suppressed" to somebody who asks in the wrong folder.
pub fn reach(
    loaded: &LoadedConfig,
    program: &dyn Program,
    makes: bool,
) -> Result<Box<dyn Operations>> {
    if let Some(address) = running(&loaded.config.http.listen)? {
        return Ok(Box::new(Remote::new(address)));
    }
    let listens: Vec<String> = loaded.config.http.listen.iter().map(ToString::to_string).collect();
    let listens = listens.join(", ");
    let data_dir = &loaded.config.data_dir;
    if !makes && !data_dir.is_dir() {
        bail!(
            "no service answers on {listens}, and there is no list in {}; start one with `bounced \
             serve`, or name its configuration with --config",
            data_dir.display()
        );
    }
    program.open(loaded).with_context(|| {
        format!(
            "no service answers on {listens}; if one runs, name its configuration with --config"
        )
    })
}

/// What tries an import where there is no list yet: one that is empty, and gone with this.
pub struct EmptyList {
    /// Answers. It goes before its folder does.
    pub service: Box<dyn Operations>,
    _dir: ScratchDir,
}

impl EmptyList {
    /// None when there is a service, or a list: that has to answer.
    pub fn instead(loaded: &LoadedConfig, program: &dyn Program) -> Result<Option<Self>> {
        let config = &loaded.config;
        let is_shared = config.journal.postgres.is_some();
        if is_shared || config.data_dir.is_dir() || running(&config.http.listen)?.is_some() {
            return Ok(None);
        }
        let dir = ScratchDir::make()?;
        let mut scratch = loaded.clone();
        scratch.config.data_dir.clone_from(&dir.0);
        Ok(Some(Self { service: program.open(&scratch)?, _dir: dir }))
    }
}

/// A folder that is gone with this.
struct ScratchDir(PathBuf);

impl ScratchDir {
    /// A new one, and nobody else's: what stands there already is not ours.
    fn make() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("bounced-dry-run-{}", std::process::id()));
        let made = DirBuilder::new().mode(0o700).create(&dir);
        made.with_context(|| format!("{} cannot be made for the dry run", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // In the folder for what may go: what is left there harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The address of `[http].listen` on which something answers; None when nothing does.
pub fn running(listens: &[Listen]) -> Result<Option<SocketAddr>> {
    for listen in listens {
        let Listen::Tcp(address) = listen else { continue };
        let address = reachable(*address);
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(_) => return Ok(Some(address)),
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => {}
            Err(e) => bail!(
                "the service at {address} cannot be reached ({e}); check http.listen in the \
                 configuration"
            ),
        }
    }
    for listen in listens {
        if let Listen::Unix(path) = listen
            && UnixStream::connect(path).is_ok()
        {
            bail!(
                "a service answers on http.listen {listen}, which the command line does not speak; \
                 add \"127.0.0.1:8525\" to http.listen"
            );
        }
    }
    Ok(None)
}

/// Where a client reaches a listener: one on every address is reached on loopback.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (listen, asked) in [
            ("127.0.0.1:8525", "127.0.0.1:8525"),
            ("0.0.0.0:8525", "127.0.0.1:8525"),
            ("[::]:8525", "[::1]:8525"),
            ("192.0.2.7:80", "192.0.2.7:80"),
        ] {
            let listen = listen.parse().expect("an address of the table");
            assert_eq!(reachable(listen).to_string(), asked);
        }
    }

    #[test]
    fn what_runs_is_found_and_what_does_not_is_none() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let open = socket.local_addr().expect("a bound socket has an address");
        let closed = {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            socket.local_addr().expect("a bound socket has an address")
        };
        let unix = || Listen::Unix("/run/bounced.sock".into());
        assert_eq!(running(&[Listen::Tcp(closed), Listen::Tcp(open)]).ok(), Some(Some(open)));
        assert_eq!(running(&[unix(), Listen::Tcp(closed)]).ok(), Some(None));
        assert_eq!(running(&[]).ok(), Some(None));
        assert_eq!(running(&[unix()]).ok(), Some(None));
        // One that listens on a socket alone runs, too: its list must not be opened beside it.
        let dir = tempfile::tempdir().expect("scratch");
        let path = dir.path().join("http.sock");
        let _socket = std::os::unix::net::UnixListener::bind(&path).expect("it binds");
        let only = running(&[Listen::Unix(path.clone())]);
        assert!(only.is_err_and(|e| e.to_string().contains("add \"127.0.0.1")));
        let both = running(&[Listen::Unix(path), Listen::Tcp(open)]);
        assert_eq!(both.ok(), Some(Some(open)));
    }
}
