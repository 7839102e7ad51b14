//! Listening on TCP and unix sockets, and one stream type for both.
//!
//! Promises: a client that takes nothing for [`limits::WRITE_STALL`] gets an error on the write
//! side, so no reader with a zero window holds a connection for ever; want of descriptors
//! makes `accept` pause, not spin; a socket file left by a dead process is replaced, one of
//! a live process is not.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::Sleep;

use crate::config::Listen;
use crate::serve::limits;

/// Waits until `stop` becomes true, or nobody is left to make it so.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The guard that comes back must not live across an await.
    let _ = stop.wait_for(|stop| *stop).await.map(|_| ());
}

/// A bound socket.
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket; its file goes when the listener goes.
    Unix(UnixListener, SocketFile),
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
    /// Binds an address of the configuration.
    pub async fn bind(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            Listen::Unix(path) => {
                use std::os::unix::fs::FileTypeExt;
                let stale = std::fs::symlink_metadata(path)
                    .is_ok_and(|found| found.file_type().is_socket())
                    && UnixStream::connect(path).await.is_err();
                if stale {
                    std::fs::remove_file(path)?;
                }
                Ok(Self::Unix(UnixListener::bind(path)?, SocketFile(path.clone())))
            }
        }
    }

    /// The TCP address that was bound, for port 0.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    /// The next client. Never fails: an error of one client or of the whole machine is waited out.
    pub async fn accept(&self) -> Socket {
        loop {
            let accepted = match self {
                Self::Tcp(listener) => listener.accept().await.map(|(stream, peer)| {
                    // Small replies must not wait for the client's delayed ACK.
                    let _ = stream.set_nodelay(true);
                    Socket::new(Stream::Tcp(stream), Some(peer.ip()))
                }),
                Self::Unix(listener, _) => listener
                    .accept()
                    .await
                    .map(|(stream, _)| Socket::new(Stream::Unix(stream), None)),
            };
            match accepted {
                Ok(socket) => return socket,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "accept failed; pausing");
                    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// A client's stream.
pub struct Socket {
    stream: Stream,
    peer: Option<IpAddr>,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn new(stream: Stream, peer: Option<IpAddr>) -> Self {
        Self { stream, peer, stalled: None }
    }

    /// Address of the client; None on a unix socket.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Ends a write that waits for too long.
    fn timed<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled =
            self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limits::WRITE_STALL)));
        ready!(stalled.as_mut().poll(context));
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
        self.timed(context, written)
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
        self.timed(context, written)
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
        let first = Listener::bind(&listen).await.expect("binds");
        assert!(Listener::bind(&listen).await.is_err(), "a live socket is not stolen");
        // A killed process leaves its file behind.
        let Listener::Unix(socket, file) = first else { panic!("a unix listener") };
        drop(socket);
        std::mem::forget(file);
        let second = Listener::bind(&listen).await.expect("binds over the stale file");
        drop(second);
        assert!(!dir.path().join("lookup.sock").exists(), "the file goes with the listener");
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("precious");
        std::fs::write(&path, "data").expect("writes");
        assert!(Listener::bind(&Listen::Unix(path.clone())).await.is_err());
        assert_eq!(std::fs::read_to_string(&path).expect("still there"), "data");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_cut_off() {
        let listen = Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = Listener::bind(&listen).await.expect("binds");
        let address = listener.tcp_address().expect("TCP");
        let mut client = TcpStream::connect(address).await.expect("connects");
        let mut socket = listener.accept().await;
        assert_eq!(socket.peer(), Some(address.ip()));
        let octets = vec![0u8; 64 * 1024 * 1024];
        let error = socket.write_all(&octets).await.expect_err("the window is full");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(socket);
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
        assert!(rest.len() < octets.len());
    }
}
