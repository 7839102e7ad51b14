//! Accepts SMTP and LMTP connections and gives each its session and task.
//!
//! Promises: a panic in one session ends that session only, and is counted; running out of
//! descriptors makes the loop wait, not spin (RELIABILITY A-14); over the caps a client hears
//! `421 4.7.0`; on shutdown no connection is accepted any more, running transactions are answered,
//! and sessions that take longer than the grace are cut.

use std::future::pending;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, warn};

use super::admission::{Admission, Peer, Permit};
use super::driver::{Exit, Receiver, drive, linger};
use super::tls::ReloadableTls;
use crate::config::Listen;
use crate::smtp::{Dialect, Observer, Outcome, Rejection, Session, SessionSettings};

/// Connections that the kernel completes before we accept them.
const BACKLOG: u32 = 4096;
/// For a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For the last record of a TLS connection.
const GOODBYE: Duration = Duration::from_secs(2);

/// A socket that listens.
pub enum Bound {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket, whose file is removed in the end.
    Unix(UnixListener, PathBuf),
}

impl Bound {
    /// Binds. The error says what to do, but not for which address.
    pub fn bind(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => {
                let socket =
                    if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                socket.set_reuseaddr(true)?;
                socket.bind(*address)?;
                Ok(Self::Tcp(socket.listen(BACKLOG)?))
            }
            Listen::Unix(path) => {
                remove_stale(path)?;
                Ok(Self::Unix(UnixListener::bind(path)?, path.clone()))
            }
        }
    }

    /// Takes over a listener that somebody else bound (systemd).
    pub fn adopt(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self::Tcp(TcpListener::from_std(listener)?))
    }

    /// Where it listens; None for a Unix socket.
    pub fn local_addr(&self) -> Option<std::net::SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Replies are small and awaited; Nagle would hold them back.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Peer::Ip(address)))
            }
            Self::Unix(listener, _) => Ok((Stream::Unix(listener.accept().await?.0), Peer::Local)),
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
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

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What the connections of one listener share.
pub struct Acceptor<R> {
    /// Protocol, limits, recipients, metrics.
    pub service: Arc<SessionSettings>,
    /// Stores messages.
    pub receiver: Arc<R>,
    /// Caps; may be shared by several listeners.
    pub admission: Arc<Admission>,
    /// Certificate; `service.tls` says that it is offered.
    pub tls: Option<Arc<ReloadableTls>>,
    /// Becomes true when the service shuts down.
    pub stop: watch::Receiver<bool>,
    /// How long running transactions may take after that.
    pub grace: Duration,
}

impl<R: Receiver> Acceptor<R> {
    /// Accepts until `stop`, then waits for the sessions.
    pub async fn serve(self, bound: Bound) {
        let acceptor = Arc::new(self);
        let mut stop = acceptor.stop.clone();
        // Nothing is ever sent: every session holds a sender until it ends.
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        let mut back_off = BackOff::default();
        loop {
            let accepted = tokio::select! {
                biased;
                accepted = bound.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    back_off = BackOff::default();
                    Arc::clone(&acceptor).admit(stream, peer, alive.clone());
                }
                Err(error) => tokio::select! {
                    () = back_off.wait(&error) => {}
                    _ = stop.wait_for(|stop| *stop) => break,
                },
            }
        }
        drop(bound);
        drop(alive);
        if timeout(acceptor.grace, all_gone.recv()).await.is_err() {
            warn!(grace = ?acceptor.grace, "sessions were cut at shutdown; their clients retry");
        }
    }

    fn admit(self: Arc<Self>, stream: Stream, peer: Peer, alive: mpsc::Sender<()>) {
        let permit = match self.admission.admit(&peer) {
            Ok(permit) => permit,
            Err(reason) => {
                self.service.observer.rejected(reason);
                let (dialect, outcome) = (self.service.dialect, Outcome::RefusedLimit);
                self.service.observer.closed(dialect, outcome, Duration::ZERO);
                return turn_away(stream, reason);
            }
        };
        self.service.observer.opened(self.service.dialect);
        let end = End {
            observer: Arc::clone(&self.service.observer),
            dialect: self.service.dialect,
            outcome: Outcome::Panic,
            began: Instant::now(),
            _permit: permit,
            _alive: alive,
        };
        match stream {
            Stream::Tcp(stream) => drop(tokio::spawn(self.converse(stream, peer, end))),
            Stream::Unix(stream) => drop(tokio::spawn(self.converse(stream, peer, end))),
        }
    }

    async fn converse<S>(self: Arc<Self>, mut stream: S, peer: Peer, mut end: End)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let id = session_id();
        let mut session = Session::new(Arc::clone(&self.service), id.into(), Instant::now());
        end.outcome =
            match drive(&mut session, &mut stream, &*self.receiver, peer, &self.stop).await {
                Exit::Closed => {
                    if session.outcome() == Outcome::ProtocolError {
                        linger(&mut stream).await;
                    }
                    session.outcome()
                }
                // Boxed: the room for TLS is taken when it is used.
                Exit::StartTls => Box::pin(self.encrypted(&mut session, stream, peer)).await,
            };
        debug!(session = %session.id(), %peer, outcome = end.outcome.as_str(), "session ended");
    }

    async fn encrypted<S>(&self, session: &mut Session, stream: S, peer: Peer) -> Outcome
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let handshake = async {
            match &self.tls {
                Some(tls) => tls.acceptor().accept(stream).await,
                None => pending().await, // the session offers TLS only with a certificate
            }
        };
        let observer = &self.service.observer;
        let Ok(Ok(mut stream)) = timeout(HANDSHAKE, handshake).await else {
            observer.handshake(None);
            return Outcome::TlsFailed;
        };
        observer.handshake(stream.get_ref().1.protocol_version().and_then(|v| v.as_str()));
        session.tick(Instant::now());
        session.tls_started();
        drive(session, &mut stream, &*self.receiver, peer, &self.stop).await;
        match session.outcome() {
            Outcome::ProtocolError => linger(&mut stream).await,
            // With close_notify, or the client could not tell the end from a cut.
            _ => drop(timeout(GOODBYE, stream.shutdown()).await),
        }
        session.outcome()
    }
}

/// Reports the end of a connection when it is dropped: also when the task unwinds.
struct End {
    observer: Arc<dyn Observer>,
    dialect: Dialect,
    outcome: Outcome,
    began: Instant,
    _permit: Permit,
    _alive: mpsc::Sender<()>,
}

impl Drop for End {
    fn drop(&mut self) {
        // A task that is dropped by the runtime when it stops has not panicked.
        if self.outcome == Outcome::Panic && !std::thread::panicking() {
            self.outcome = Outcome::Shutdown;
        }
        if self.outcome == Outcome::Panic {
            error!("a session panicked; this is a defect, please report it with the lines above");
        }
        self.observer.closed(self.dialect, self.outcome, self.began.elapsed());
    }
}

/// The reply of 421 fits into the empty send buffer of a new connection, so nobody waits for it.
fn turn_away(stream: Stream, reason: Rejection) {
    let reply: &[u8] = match reason {
        Rejection::ConnectionLimitPerIp => {
            b"421 4.7.0 too many connections from your address, please try again later\r\n"
        }
        _ => b"421 4.7.0 too many connections, please try again later\r\n",
    };
    let _ = match stream {
        Stream::Tcp(stream) => stream.into_std().and_then(|mut stream| stream.write(reply)),
        Stream::Unix(stream) => stream.into_std().and_then(|mut stream| stream.write(reply)),
    };
}

/// Unique, and tells a stranger neither how many sessions there were nor when we started.
fn session_id() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    static KEY: std::sync::LazyLock<RandomState> = std::sync::LazyLock::new(RandomState::new);
    format!("{:016x}", KEY.hash_one(COUNTER.fetch_add(1, Ordering::Relaxed)))
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
                warn!(%error, "cannot accept; raise the limit of open files (ulimit -n)");
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

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn session_ids_differ() {
        assert_ne!(session_id(), session_id());
        assert_eq!(session_id().len(), 16);
    }
}
