//! Request bodies within limits, and responses that are made while they are sent.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::budget::{OctetShare, Octets};
use crate::serve::admission::Permit;
use crate::serve::limits;
use crate::serve::problem::Problem;

/// Octets that are reserved for a body before they come.
const RESERVED: u64 = 1 << 20;

/// A request body that must keep coming: its deadline grows with each octet received (Postfix's
/// `smtpd_min_data_rate`), so a large upload may take long and a stalled one may not.
pub struct IncomingBody {
    body: Body,
    start: Instant,
    received: u64,
}

impl IncomingBody {
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

    /// The whole body, when it is not larger than `limit`; its octets are counted as they come.
    pub async fn whole(self, limit: u64, intake: &Octets) -> Result<Whole, Problem> {
        Ok(self.whole_in_place(limit, intake, || Ok(())).await?.0)
    }

    /// The same for one whose answer will want a place when the body is not small. The place is
    /// taken before more is held, so that no more bodies are held than can be answered.
    pub async fn whole_in_place<P>(
        mut self,
        limit: u64,
        intake: &Octets,
        place: impl Fn() -> Result<P, Problem>,
    ) -> Result<(Whole, Option<P>), Problem> {
        match self.gathered(limit, intake, place).await {
            Err(problem) if problem.status == StatusCode::TOO_MANY_REQUESTS => {
                Err(self.refused(limit, problem).await)
            }
            answer => answer,
        }
    }

    async fn gathered<P>(
        &mut self,
        limit: u64,
        intake: &Octets,
        place: impl Fn() -> Result<P, Problem>,
    ) -> Result<(Whole, Option<P>), Problem> {
        let too_large = || {
            let detail = format!("the body is larger than {limit} octets; send less at once");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
        };
        let announced = self.announced();
        if announced > limit {
            return Err(too_large());
        }
        let mut taken = (announced > limits::SMALL_OCTETS).then(&place).transpose()?;
        // Growing would copy it and hold it twice; but what is announced need not come.
        let octets = Vec::with_capacity(announced.min(RESERVED) as usize);
        let mut whole = Whole { octets, share: intake.share() };
        let mut counted = limits::SMALL_OCTETS as usize;
        while let Some(piece) = self.next().await? {
            let octets = whole.octets.len() + piece.len();
            if octets as u64 > limit {
                return Err(too_large());
            }
            if octets > counted {
                if taken.is_none() {
                    taken = Some(place()?);
                }
                if !whole.share.grow(octets - counted) {
                    return Err(too_much());
                }
                counted = octets;
            }
            whole.octets.extend_from_slice(&piece);
        }
        Ok((whole, taken))
    }
}

impl IncomingBody {
    /// The answer to a body that is not wanted now. What comes of it is thrown away first: many
    /// clients do not look for an answer before they have sent all.
    pub async fn refused(mut self, limit: u64, problem: Problem) -> Problem {
        while self.received <= limit {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        problem
    }

    /// Octets that are announced.
    pub fn announced(&self) -> u64 {
        self.body.size_hint().lower()
    }
}

/// The answer when bodies hold as many octets as they may.
pub fn too_much() -> Problem {
    let detail = "too many large bodies are being received; send this one again in a moment";
    Problem::too_many("too-much-to-receive", detail)
}

/// A body that has been received. It counts against the budget until it is dropped.
#[derive(Debug)]
pub struct Whole {
    octets: Vec<u8>,
    share: OctetShare,
}

impl Whole {
    /// The octets, and what counts them.
    pub fn into_parts(self) -> (Vec<u8>, OctetShare) {
        (self.octets, self.share)
    }
}

impl std::ops::Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets
    }
}

/// A response body whose pieces come from a task. An error breaks the connection off, so that
/// the client does not take half an answer for the whole. It keeps the place of its reader.
pub struct Outgoing {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    _place: Permit,
}

/// Where the task puts the pieces. Sending fails when the client is gone.
pub type Pieces = mpsc::Sender<io::Result<Bytes>>;

impl Outgoing {
    /// A body and the way to fill it. One piece may wait; who makes pieces should reserve its
    /// room first, or a second one waits with it.
    pub fn pair(place: Permit) -> (Pieces, Body) {
        let (pieces, receiver) = mpsc::channel(1);
        (pieces, Body::new(Self { pieces: receiver, _place: place }))
    }
}

/// What makes an answer text by text.
pub trait AnswerSource: Send + 'static {
    /// The next text; it may be empty. Not called after the end.
    fn next(&mut self) -> impl Future<Output = Result<String, Problem>> + Send;

    /// Whether the last text ended the answer.
    fn ended(&self) -> bool;
}

/// The answer that a source makes: in one piece when it is short, and when there is no place, which
/// is for sources that are known to be short. The first text is made before the status is chosen,
/// so that trouble is a problem and not half an answer.
pub async fn answer<S: AnswerSource>(
    content_type: &'static str,
    mut source: S,
    place: Option<Permit>,
) -> Result<Response, Problem> {
    let mut text = source.next().await?;
    while place.is_none() && !source.ended() {
        text += &source.next().await?;
    }
    let body = match place {
        Some(place) if !source.ended() => {
            let (pieces, body) = Outgoing::pair(place);
            tokio::spawn(send(text, source, pieces));
            body
        }
        _ => Body::from(text),
    };
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

async fn send<S: AnswerSource>(mut text: String, mut source: S, pieces: Pieces) {
    while let Ok(room) = pieces.reserve().await {
        if text.is_empty() {
            match source.next().await {
                Ok(made) => text = made,
                Err(problem) => {
                    // The status is out already; only breaking off can say that this is not all.
                    return room.send(Err(io::Error::other(problem.detail)));
                }
            }
        }
        if !text.is_empty() {
            room.send(Ok(Bytes::from(std::mem::take(&mut text))));
        }
        if source.ended() {
            return;
        }
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::admission::{Admission, Peer};

    /// A body that a task sends as pieces of some octets.
    fn dripping(octets: usize, pause: Duration) -> (tokio::task::JoinHandle<()>, Body) {
        let place = Admission::new(1, 1).admit(&Peer::Local).expect("free");
        let (pieces, body) = Outgoing::pair(place);
        let sender = tokio::spawn(async move {
            while pieces.send(Ok(Bytes::from(vec![0; octets]))).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        });
        (sender, body)
    }

    #[tokio::test]
    async fn limits_count_the_whole_body() {
        let room = Octets::new(0);
        let body = |octets: usize| IncomingBody::new(Body::from(vec![b'x'; octets]));
        assert_eq!(body(10).whole(10, &room).await.expect("fits").len(), 10);
        assert_eq!(body(11).whole(10, &room).await.expect_err("too large").code, "too-large");
        // Without a length the octets themselves are counted.
        let (sender, body) = dripping(6, Duration::ZERO);
        let error = IncomingBody::new(body).whole(10, &room).await.expect_err("too large");
        assert_eq!(error.status, StatusCode::PAYLOAD_TOO_LARGE);
        sender.await.expect("the sender ends with the body");
    }

    #[tokio::test]
    async fn bodies_share_a_budget() {
        let small = limits::SMALL_OCTETS as usize;
        let room = Octets::new(100);
        let take =
            |octets: usize| IncomingBody::new(Body::from(vec![b'x'; octets])).whole(1 << 30, &room);
        let held = take(small + 60).await.expect("there is room");
        let error = take(small + 60).await.expect_err("no room is left");
        assert_eq!(
            (error.status, error.code),
            (StatusCode::TOO_MANY_REQUESTS, "too-much-to-receive")
        );
        assert!(take(small).await.is_ok(), "small ones always fit");
        drop(held);
        assert!(take(small + 60).await.is_ok());
    }

    #[tokio::test]
    async fn a_place_is_taken_before_a_large_body_is_held() {
        let places = Admission::new(1, 1);
        let room = Octets::new(1 << 20);
        let taken = async |body: IncomingBody| {
            let place = || places.admit(&Peer::Local).map_err(|_| too_much());
            body.whole_in_place(1 << 20, &room, place).await
        };
        let of = |octets: usize| IncomingBody::new(Body::from(vec![b'x'; octets]));
        let small = limits::SMALL_OCTETS as usize;
        assert!(taken(of(small)).await.expect("small").1.is_none());
        let (held, place) = taken(of(small + 1)).await.expect("a place is free");
        assert!(place.is_some() && held.len() == small + 1);
        // Its octets would fit; those that say no length are found out, too.
        assert_eq!(taken(of(small + 1)).await.expect_err("no place").status.as_u16(), 429);
        let (sender, body) = dripping(small, Duration::ZERO);
        assert_eq!(
            taken(IncomingBody::new(body)).await.expect_err("no place").status.as_u16(),
            429
        );
        sender.await.expect("what is refused is read to its limit and left");
        assert!(taken(of(small)).await.is_ok());
        drop(place);
        assert!(taken(of(small + 1)).await.is_ok());
    }

    /// Counts to three.
    struct Three(u8, Option<u8>);

    impl AnswerSource for Three {
        async fn next(&mut self) -> Result<String, Problem> {
            self.0 += 1;
            match self.1 {
                Some(broken) if broken == self.0 => Err(Problem::bad_request("broken")),
                _ => Ok(self.0.to_string()),
            }
        }

        fn ended(&self) -> bool {
            self.0 == 3
        }
    }

    #[tokio::test]
    async fn a_source_becomes_an_answer() {
        let places = Admission::new(1, 1);
        let place = || places.admit(&Peer::Local).ok();
        let octets = async |response: Response| {
            let mut body = IncomingBody::new(response.into_body());
            let mut octets = Vec::new();
            while let Some(piece) = body.next().await? {
                octets.extend_from_slice(&piece);
            }
            Ok::<_, Problem>(octets)
        };
        let whole = answer("text/plain", Three(0, None), None).await.expect("made");
        assert_eq!(whole.body().size_hint().exact(), Some(3));
        assert_eq!(octets(whole).await.expect("whole"), b"123");
        let streamed = answer("text/plain", Three(0, None), place()).await.expect("made");
        assert_eq!(streamed.body().size_hint().exact(), None);
        assert!(place().is_none(), "the answer has it");
        assert_eq!(octets(streamed).await.expect("whole"), b"123");
        // What is short needs no place for long.
        let short = answer("text/plain", Three(2, None), place()).await.expect("made");
        assert!(place().is_some());
        assert_eq!(octets(short).await.expect("whole"), b"3");
        let error = answer("text/plain", Three(0, Some(1)), place()).await.expect_err("at once");
        assert_eq!(error.status, StatusCode::BAD_REQUEST);
        let broken = answer("text/plain", Three(0, Some(2)), place()).await.expect("begun");
        assert!(octets(broken).await.is_err(), "half an answer does not look like a whole one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_given_up() {
        let start = Instant::now();
        // One octet every ten seconds.
        let (sender, body) = dripping(1, Duration::from_secs(10));
        let error =
            IncomingBody::new(body).whole(1000, &Octets::new(0)).await.expect_err("too slow");
        assert_eq!(error.code, "too-slow");
        assert_eq!(start.elapsed().as_secs(), limits::BODY_GRACE.as_secs());
        sender.await.expect("the sender ends with the body");
    }
}
