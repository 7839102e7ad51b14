//! The loop between a socket and a `smtp::Session`: the same for TCP, TLS and Unix sockets, for
//! SMTP and LMTP. It holds no protocol decision: the session says what to do, this does it.
//!
//! Promises: an idle connection holds no read buffer (octets are read into the stack of the worker
//! thread and fed at once); replies to pipelined commands are one write; no write outlasts the
//! session's deadline.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout, timeout_at};

use super::admission::Peer;
use crate::smtp::{Acceptance, Action, Delivery, Session};

/// Stores messages.
pub trait Receiver: Send + Sync + 'static {
    /// Makes the message durable, or says that it could not: one receipt, or in LMTP one for each
    /// recipient where they differ. It must end by itself; the client waits ten minutes at most.
    fn receive(
        &self,
        delivery: Delivery,
        peer: Peer,
    ) -> impl Future<Output = Vec<Acceptance>> + Send;
}

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The connection is to be closed.
    Closed,
    /// TLS is to be begun on it.
    StartTls,
}

/// Octets taken from the socket at once.
const READ_OCTETS: usize = 32 << 10;

/// Serves the connection until it is to be closed or encrypted. `stop` becomes true, or its sender
/// is dropped, when the service shuts down.
pub async fn drive<S, R>(
    session: &mut Session,
    io: &mut S,
    receiver: &R,
    peer: Peer,
    stop: &watch::Receiver<bool>,
) -> Exit
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: Receiver,
{
    let mut stop = stop.clone();
    let mut stopped = pin!(async move { stop.wait_for(|stop| *stop).await.is_ok() });
    let mut shutting_down = false;
    let mut alarm = pin!(sleep_until(deadline(session)));
    loop {
        match session.next() {
            Action::Read => tokio::select! {
                biased; // a client that never pauses must not keep us from hearing `stop`
                _ = &mut stopped, if !shutting_down => { shutting_down = true; session.shutdown(); }
                read = fill(io, |octets| {
                    session.tick(Instant::now());
                    session.feed(octets);
                }) => if !matches!(read, Ok(1..)) { session.eof() },
                () = &mut alarm => {
                    session.tick(Instant::now());
                    alarm.as_mut().reset(deadline(session));
                }
            },
            Action::Write(octets) => {
                let write = async {
                    io.write_all(&octets).await?;
                    io.flush().await
                };
                if !matches!(timeout_at(deadline(session), write).await, Ok(Ok(()))) {
                    session.tick(Instant::now());
                    session.eof();
                }
            }
            Action::Receive(delivery) => {
                // Boxed, so that an idle connection does not hold the room for it.
                let receipts = Box::pin(receiver.receive(*delivery, peer)).await;
                session.tick(Instant::now());
                session.answered(&receipts);
            }
            Action::StartTls => return Exit::StartTls,
            Action::Close => return Exit::Closed,
        }
    }
}

fn deadline(session: &Session) -> tokio::time::Instant {
    session.deadline().unwrap_or_else(Instant::now).into()
}

/// Hands over what there is to read; 0 octets are the end.
async fn fill<S: AsyncRead + Unpin>(io: &mut S, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
    poll_fn(|context| {
        let mut space = [MaybeUninit::<u8>::uninit(); READ_OCTETS];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *io).poll_read(context, &mut buffer))?;
        take(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
    .await
}

/// Says that we send no more, then takes what the client still sends for a moment: a socket that
/// is closed with unread octets is reset, and the client would never see the last reply.
pub async fn linger<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S) {
    let mut left = LINGER_OCTETS;
    let drain = async {
        io.shutdown().await?;
        while left > 0 {
            match fill(io, |_| ()).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        io::Result::Ok(())
    };
    let _ = timeout(LINGER, drain).await;
}

const LINGER: Duration = Duration::from_secs(2);
const LINGER_OCTETS: usize = 1 << 20;
