//! Request bodies within limits, and responses that are made while they are sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::serve::limits;
use crate::serve::problem::Problem;

/// A request body that must keep coming: its deadline grows with each octet received (Postfix's
/// `smtpd_min_data_rate`), so a large upload may take long and a stalled one may not.
pub struct Incoming {
    body: Body,
    start: Instant,
    received: u64,
}

impl Incoming {
    /// The body of a request whose header has just been read.
    pub fn new(body: Body) -> Self {
        Self { body, start: Instant::now(), received: 0 }
    }

    /// The next piece; None at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let earned = Duration::from_secs(self.received / limits::BODY_MIN_RATE);
        let deadline = self.start + limits::BODY_GRACE + earned;
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx));
            match tokio::time::timeout_at(deadline, frame).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    // Trailers say nothing to us.
                    if let Ok(data) = frame.into_data() {
                        self.received += data.len() as u64;
                        return Ok(Some(data));
                    }
                }
                Ok(Some(Err(_))) => {
                    return Err(Problem::bad_request("the body broke off before its end"));
                }
                Err(_) => {
                    let detail = "the body came too slowly; send at least 500 octets a second";
                    let status = StatusCode::REQUEST_TIMEOUT;
                    return Err(Problem::new(status, "too-slow", detail));
                }
            }
        }
    }

    /// The whole body, when it is not larger than `limit`.
    pub async fn whole(mut self, limit: u64) -> Result<Vec<u8>, Problem> {
        let too_large = || {
            let detail = format!("the body is larger than {limit} octets; send less at once");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
        };
        if self.body.size_hint().lower() > limit {
            return Err(too_large());
        }
        let mut whole = Vec::new();
        while let Some(piece) = self.next().await? {
            if whole.len() as u64 + piece.len() as u64 > limit {
                return Err(too_large());
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}

/// A response body whose pieces come from a task. An error breaks the connection off, so that
/// the client does not take half an answer for the whole.
pub struct Outgoing(mpsc::Receiver<io::Result<Bytes>>);

/// Where the task puts the pieces. Sending fails when the client is gone.
pub type Pieces = mpsc::Sender<io::Result<Bytes>>;

impl Outgoing {
    /// A body and the way to fill it. Two pieces may wait: one being sent, one being made.
    pub fn pair() -> (Pieces, Body) {
        let (pieces, receiver) = mpsc::channel(2);
        (pieces, Body::new(Self(receiver)))
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn limits_count_the_whole_body() {
        let body = |octets: usize| Incoming::new(Body::from(vec![b'x'; octets]));
        assert_eq!(body(10).whole(10).await.expect("fits").len(), 10);
        assert_eq!(body(11).whole(10).await.expect_err("too large").code, "too-large");
        // Without a length the octets themselves are counted.
        let (pieces, body) = Outgoing::pair();
        let sender = tokio::spawn(async move {
            while pieces.send(Ok(Bytes::from_static(&[0; 6]))).await.is_ok() {}
        });
        let error = Incoming::new(body).whole(10).await.expect_err("too large");
        assert_eq!(error.status, StatusCode::PAYLOAD_TOO_LARGE);
        sender.await.expect("the sender ends with the body");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_given_up() {
        let (pieces, body) = Outgoing::pair();
        let start = Instant::now();
        let sender = tokio::spawn(async move {
            // One octet every ten seconds.
            while pieces.send(Ok(Bytes::from_static(b"x"))).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        });
        let error = Incoming::new(body).whole(1000).await.expect_err("too slow");
        assert_eq!(error.code, "too-slow");
        assert_eq!(start.elapsed().as_secs(), limits::BODY_GRACE.as_secs());
        sender.await.expect("the sender ends with the body");
    }
}
