//! Listening on TCP and unix sockets, for SMTP, HTTP and lookups alike, and one stream type for
//! both kinds.
//!
//! Promises: a client that takes nothing for [`limits::WRITE_STALL`], or takes its answer octet by
//! octet, gets an error on the write side, so no reader with a zero window holds a connection for
//! ever (docs/reliability.md, "Slow clients"); without descriptors `accept` waits longer and
//! longer, and does not spin (docs/reliability.md, "Connection floods"); a socket file left by a
//! dead process is replaced, one of a live process is not.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep, sleep};

use crate::config::{Listen, SocketAccess};
use crate::serve::admission::Peer;
use crate::serve::systemd::Inherited;
use crate::serve::{limits, proxy};

/// Waits until `stop` becomes true, or nobody is left to make it so.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The guard that comes back must not live across an await.
    let _ = stop.wait_for(|stop| *stop).await.map(|_| ());
}

/// A bound socket, and what comes by way of proxies.
pub struct Listener {
    bound: Bound,
    proxies: Option<ProxyQueue>,
}

enum Bound {
    Tcp(TcpListener),
    /// The file goes when the listener goes; one that systemd made is not ours to remove.
    Unix {
        listener: UnixListener,
        _file: Option<SocketFile>,
    },
}

/// Connections from proxies wait beside the others until their header is there.
struct ProxyQueue {
    from: Vec<IpNet>,
    waiting: mpsc::Sender<Socket>,
    arrived: mpsc::Receiver<Socket>,
}

/// The file of a unix socket, removed on drop.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already is as good as removed.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Binds an address of the configuration; needs the runtime of tokio around it. The error says
    /// what is wrong, but not for which address.
    pub fn bind(listen: &Listen) -> io::Result<Self> {
        let bound = match listen {
            Listen::Tcp(address) => {
                let socket =
                    if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                socket.set_reuseaddr(true)?;
                socket.bind(*address)?;
                Bound::Tcp(socket.listen(limits::BACKLOG)?)
            }
            Listen::Unix(path) => {
                remove_stale(path)?;
                Bound::Unix {
                    listener: UnixListener::bind(path)?,
                    _file: Some(SocketFile(path.clone())),
                }
            }
        };
        Ok(Self { bound, proxies: None })
    }

    /// Binds, and lets those connect to a unix socket that the configuration says. One that systemd
    /// handed over has what its unit says.
    pub fn bind_for(listen: &Listen, access: SocketAccess) -> io::Result<Self> {
        let listener = Self::bind(listen)?;
        if let Listen::Unix(path) = listen {
            if access.group.is_some() {
                std::os::unix::fs::chown(path, None, access.group)?;
            }
            if let Some(mode) = access.mode {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
            }
        }
        Ok(listener)
    }

    /// A listener that somebody else has bound.
    pub fn inherited(socket: Inherited) -> io::Result<Self> {
        let bound = match socket {
            Inherited::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Bound::Tcp(TcpListener::from_std(listener)?)
            }
            Inherited::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Bound::Unix { listener: UnixListener::from_std(listener)?, _file: None }
            }
        };
        Ok(Self { bound, proxies: None })
    }

    /// The same, believing the PROXY headers of these networks.
    pub fn behind(self, from: &[IpNet]) -> Self {
        let (waiting, arrived) = mpsc::channel(1);
        let proxies =
            (!from.is_empty()).then(|| ProxyQueue { from: from.to_vec(), waiting, arrived });
        Self { proxies, ..self }
    }

    /// The TCP address that was bound, for port 0; None for a unix socket.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.bound {
            Bound::Tcp(listener) => listener.local_addr().ok(),
            Bound::Unix { .. } => None,
        }
    }

    /// The next client. Never fails: an error of one client or of the whole machine is waited out.
    pub async fn accept(&mut self) -> Socket {
        let mut back_off = BackOff::default();
        loop {
            let accepted = match &mut self.proxies {
                None => self.bound.accepted().await,
                Some(proxies) => tokio::select! {
                    Some(socket) = proxies.arrived.recv() => return socket,
                    accepted = self.bound.accepted() => accepted,
                },
            };
            match (accepted, &self.proxies) {
                (Ok(mut socket), Some(proxies)) if proxies.sent(&socket) => {
                    let waiting = proxies.waiting.clone();
                    tokio::spawn(async move {
                        let proxy = socket.peer;
                        if let Some(peer) = proxy::client(&mut socket, proxy).await {
                            // The listener may be gone by now.
                            let _ = waiting.send(Socket { peer, ..socket }).await;
                        }
                    });
                }
                (Ok(socket), _) => return socket,
                (Err(error), _) => back_off.wait(&error).await,
            }
        }
    }
}

impl ProxyQueue {
    fn sent(&self, socket: &Socket) -> bool {
        let ip = socket.peer.ip().map(|ip| ip.to_canonical());
        ip.is_some_and(|ip| self.from.iter().any(|network| network.contains(&ip)))
    }
}

impl Bound {
    async fn accepted(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Replies are small and awaited: Nagle and a delayed ACK would hold them back.
                let _ = stream.set_nodelay(true);
                Ok(Socket::new(Stream::Tcp(stream), Peer::Ip(address)))
            }
            Self::Unix { listener, .. } => {
                Ok(Socket::new(Stream::Unix(listener.accept().await?.0), Peer::Local))
            }
        }
    }
}

/// A socket file that nobody listens on is left of a service that was killed.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    let dead = || {
        let answer = std::os::unix::net::UnixStream::connect(path);
        answer.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
    };
    if is_socket && dead() { std::fs::remove_file(path) } else { Ok(()) }
}

/// Waits between failures of accept, longer each time.
#[derive(Default)]
struct BackOff {
    failures: u32,
}

impl BackOff {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    async fn wait(&mut self, error: &io::Error) {
        if let Some(pause) = self.pause(error) {
            if self.failures == 1 {
                tracing::warn!(%error, "cannot accept; raise the limit of open files (ulimit -n)");
            }
            sleep(pause).await;
        }
    }

    /// None: the client went away before we accepted; the next one may be fine.
    fn pause(&mut self, error: &io::Error) -> Option<Duration> {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return None;
        }
        let pause = Self::FIRST * 2_u32.saturating_pow(self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        Some(pause.min(Self::LONGEST))
    }
}

/// A client's stream.
pub struct Socket {
    stream: Stream,
    peer: Peer,
    patience: Patience,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn new(stream: Stream, peer: Peer) -> Self {
        Self { stream, peer, patience: Patience::default() }
    }

    /// The other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Says something short to a client that gets no place: it fits into the empty send buffer of
    /// a new connection, so nobody waits for it.
    pub fn turn_away(self, words: &[u8]) {
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.try_write(words),
            Stream::Unix(stream) => stream.try_write(words),
        };
    }
}

/// How long writes to a client may still wait. Waiting spends it, octets that the client takes
/// earn it again, at [`limits::READ_MIN_RATE`].
#[derive(Default)]
struct Patience {
    spent: Duration,
    /// Since when a write waits, and until when it may.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Patience {
    /// Ends a write that waits for too long.
    fn timed(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(done) = written {
            if let Some((since, _)) = self.waiting.take() {
                self.spent += since.elapsed();
            }
            let taken = *done.as_ref().unwrap_or(&0) as u64;
            let earned = Duration::from_millis(taken * 1000 / limits::READ_MIN_RATE);
            self.spent = self.spent.saturating_sub(earned);
            return Poll::Ready(done);
        }
        let left = limits::WRITE_STALL.saturating_sub(self.spent);
        let (_, alarm) =
            self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        std::task::ready!(alarm.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, octets),
            Stream::Unix(stream) => Pin::new(stream).poll_write(context, octets),
        };
        self.patience.timed(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        };
        self.patience.timed(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let listen = Listen::Unix(dir.path().join("lookup.sock"));
        let first = Listener::bind(&listen).expect("binds");
        assert!(Listener::bind(&listen).is_err(), "a live socket is not stolen");
        // A killed process leaves its file behind.
        let Listener { bound: Bound::Unix { listener: socket, _file: file }, .. } = first else {
            panic!("unix")
        };
        drop(socket);
        std::mem::forget(file);
        let second = Listener::bind(&listen).expect("binds over the stale file");
        drop(second);
        assert!(!dir.path().join("lookup.sock").exists(), "the file goes with the listener");
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("precious");
        std::fs::write(&path, "data").expect("writes");
        assert!(Listener::bind(&Listen::Unix(path.clone())).is_err());
        assert_eq!(std::fs::read_to_string(&path).expect("still there"), "data");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_cut_off() {
        let listen = Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut listener = Listener::bind(&listen).expect("binds");
        let address = listener.tcp_address().expect("TCP");
        let mut client = TcpStream::connect(address).await.expect("connects");
        let mut socket = listener.accept().await;
        assert_eq!(socket.peer().ip(), Some(address.ip()));
        let octets = vec![0u8; 64 * 1024 * 1024];
        let error = socket.write_all(&octets).await.expect_err("the window is full");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(socket);
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
        assert!(rest.len() < octets.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_octet_by_octet_is_cut_off() {
        let mut patience = Patience::default();
        let mut context = Context::from_waker(std::task::Waker::noop());
        // An octet every ten seconds earns nothing; what was waited adds up.
        let mut octets = 0;
        let cut = loop {
            if patience.timed(&mut context, Poll::Pending).is_ready() {
                break true;
            }
            tokio::time::advance(Duration::from_secs(10)).await;
            if patience.timed(&mut context, Poll::Pending).is_ready() {
                break true;
            }
            let _ = patience.timed(&mut context, Poll::Ready(Ok(1)));
            octets += 1;
            if octets > 10 {
                break false;
            }
        };
        assert!(cut && octets < 4, "{octets} octets were taken");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_that_goes_on_reading_is_served() {
        let mut patience = Patience::default();
        let mut context = Context::from_waker(std::task::Waker::noop());
        for _ in 0..100 {
            assert!(patience.timed(&mut context, Poll::Pending).is_pending());
            tokio::time::advance(Duration::from_secs(20)).await;
            assert!(patience.timed(&mut context, Poll::Pending).is_pending());
            let taken = 20 * limits::READ_MIN_RATE as usize;
            assert!(patience.timed(&mut context, Poll::Ready(Ok(taken))).is_ready());
        }
    }

    #[test]
    fn accept_backs_off_when_descriptors_run_out() {
        let emfile = io::Error::from_raw_os_error(24);
        let aborted = io::Error::from(io::ErrorKind::ConnectionAborted);
        let mut back_off = BackOff::default();
        assert_eq!(back_off.pause(&aborted), None);
        let millis: Vec<_> =
            (0..9).map(|_| back_off.pause(&emfile).map_or(0, |d| d.as_millis())).collect();
        assert_eq!(millis, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }
}
