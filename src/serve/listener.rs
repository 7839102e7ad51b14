//! Accepts SMTP and LMTP connections and gives each its session and task.
//!
//! Promises: a panic in one session ends that session only, and is counted; over the caps a client
//! hears `421 4.7.0`; on shutdown no connection is accepted any more, running transactions are answered,
//! and sessions that take longer than the grace are cut.

use std::future::pending;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::admission::{Admission, Peer, Permit};
use super::driver::{Exit, Receiver, drive, linger};
use super::socket::{Listener, Socket, stopped};
use super::tls::ReloadableTls;
use crate::smtp::{Dialect, Observer, Outcome, Rejection, Session, SessionSettings};

/// For a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For the last record of a TLS connection.
const GOODBYE: Duration = Duration::from_secs(2);

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
    pub async fn serve(self, mut listener: Listener) {
        let acceptor = Arc::new(self);
        let mut stop = acceptor.stop.clone();
        // Nothing is ever sent: every session holds a sender until it ends.
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        loop {
            tokio::select! {
                biased;
                socket = listener.accept() => Arc::clone(&acceptor).admit(socket, alive.clone()),
                () = stopped(&mut stop) => break,
            }
        }
        drop(listener);
        drop(alive);
        if timeout(acceptor.grace, all_gone.recv()).await.is_err() {
            warn!(grace = ?acceptor.grace, "sessions were cut at shutdown; their clients retry");
        }
    }

    fn admit(self: Arc<Self>, socket: Socket, alive: mpsc::Sender<()>) {
        let peer = socket.peer();
        let permit = match self.admission.admit(&peer) {
            Ok(permit) => permit,
            Err(reason) => {
                self.service.observer.rejected(reason);
                let (dialect, outcome) = (self.service.dialect, Outcome::RefusedLimit);
                self.service.observer.closed(dialect, outcome, Duration::ZERO);
                return socket.turn_away(words_for(reason));
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
        tokio::spawn(self.converse(socket, peer, end));
    }

    async fn converse(self: Arc<Self>, mut stream: Socket, peer: Peer, mut end: End) {
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
        let (outcome, tls) = (end.outcome.as_str(), session.is_encrypted());
        let (seconds, messages) = (end.began.elapsed().as_secs_f32(), session.stored());
        info!(session = %session.id(), %peer, outcome, tls, messages, seconds, "session ended");
    }

    async fn encrypted(&self, session: &mut Session, stream: Socket, peer: Peer) -> Outcome {
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

/// What a client hears that gets no place.
fn words_for(reason: Rejection) -> &'static [u8] {
    match reason {
        Rejection::ConnectionLimitPerIp => {
            b"421 4.7.0 too many connections from your address, please try again later\r\n"
        }
        _ => b"421 4.7.0 too many connections, please try again later\r\n",
    }
}

/// Unique, and tells a stranger neither how many sessions there were nor when we started.
fn session_id() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    static KEY: std::sync::LazyLock<RandomState> = std::sync::LazyLock::new(RandomState::new);
    format!("{:016x}", KEY.hash_one(COUNTER.fetch_add(1, Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ids_differ() {
        assert_ne!(session_id(), session_id());
        assert_eq!(session_id().len(), 16);
    }
}
