//! What requests and answers may hold in memory together, and who may read for long.
//!
//! Promises: what all bodies hold while they come in, and what all answers hold until their clients
//! have taken them, is counted by the octet, and beyond its limit the answer is 429 with
//! `Retry-After`; an answer of many pieces needs a place, one address cannot take all places
//! (loopback can: it is for programs of this machine), and the place is given back with the
//! end of the answer; large reads are made in turn, so that however many ask, mail and lookups
//! keep their share of the processors.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::serve::admission::{Admission, Peer, Permit};
use crate::serve::limits;
use crate::serve::problem::Problem;

/// A number of octets that many share.
#[derive(Debug, Clone)]
pub struct Octets(Arc<Semaphore>);

impl Octets {
    /// So many.
    pub fn new(octets: u64) -> Self {
        let octets = usize::try_from(octets).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(octets.min(Semaphore::MAX_PERMITS))))
    }

    /// A share of it, still empty.
    pub fn share(&self) -> OctetShare {
        OctetShare { of: Arc::clone(&self.0), held: None }
    }
}

/// What one request holds of [`Octets`]; given back on drop.
#[derive(Debug)]
pub struct OctetShare {
    of: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl OctetShare {
    /// Takes more; false when there is not so much left.
    pub fn grow(&mut self, octets: usize) -> bool {
        let Ok(octets) = u32::try_from(octets) else { return false };
        let Ok(more) = Arc::clone(&self.of).try_acquire_many_owned(octets) else { return false };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        true
    }

    /// Gives all of it back.
    pub fn clear(&mut self) {
        self.held = None;
    }
}

/// Everything that requests share.
pub struct Budget {
    /// What bodies hold while they come in and until they are answered.
    pub intake: Octets,
    /// What answers hold that were made in one piece.
    pub answers: Octets,
    readers: Arc<Admission>,
    followers: Arc<Admission>,
    turns: Arc<Semaphore>,
    queue: Arc<Queue>,
}

/// What the turns of all readers have in common.
#[derive(Default)]
struct Queue {
    /// Who waits for a turn.
    waiting: AtomicUsize,
    /// What turns took since the last pause, in microseconds.
    worked: AtomicU64,
}

impl Budget {
    /// The budget of a service that takes messages up to a size.
    pub fn new(max_message: u64) -> Self {
        let fair = |places: usize| Admission::new(places, places / 2);
        Self {
            intake: Octets::new(limits::INTAKE_OCTETS.max(max_message.saturating_mul(2))),
            answers: Octets::new(limits::ANSWER_OCTETS),
            readers: fair(limits::LONG_READERS),
            followers: fair(limits::FOLLOWERS),
            turns: Arc::new(Semaphore::new(turns())),
            queue: Arc::default(),
        }
    }

    /// A place for an answer of many pieces.
    pub fn reader(&self, client: Option<IpAddr>) -> Result<Permit, Problem> {
        self.readers.admit(&counted(client)).map_err(|_| {
            let most = limits::LONG_READERS;
            let detail = format!("{most} long answers are being read; ask again in a moment");
            Problem::too_many("too-many-readers", detail)
        })
    }

    /// A place for a client that follows the journal.
    pub fn follower(&self, client: Option<IpAddr>) -> Result<Permit, Problem> {
        self.followers.admit(&counted(client)).map_err(|_| {
            let most = limits::FOLLOWERS;
            let detail = format!("{most} clients follow already; ask again without `follow`");
            Problem::too_many("too-many-followers", detail)
        })
    }

    /// Waits for a turn among those that read much.
    pub async fn turn(&self) -> Option<Turn> {
        let waits = Waiting::new(&self.queue);
        // Nobody closes it.
        let permit = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        drop(waits);
        Some(Turn { permit: Some(permit), queue: Arc::clone(&self.queue), begun: Instant::now() })
    }

    /// The body of an answer as it is sent; 429 instead of a large one when too much waits for
    /// clients already. `may_refuse`: the request changed nothing, so it can be asked again.
    pub fn sent(&self, response: Response, may_refuse: bool) -> Result<Response, Problem> {
        let mut share = self.answers.share();
        let octets = response.body().size_hint().exact().unwrap_or(0);
        if octets > limits::SMALL_OCTETS
            && !share.grow(usize::try_from(octets).unwrap_or(usize::MAX))
            && may_refuse
        {
            let detail = "too many large answers wait for their clients; ask again in a moment";
            return Err(Problem::too_many("too-much-to-send", detail));
        }
        match share.held.is_some() {
            true => Ok(keep_until_sent(response, share)),
            false => Ok(response),
        }
    }
}

/// A turn. When others wait for one, there is a pause after some turns, as long as these took together:
/// many who read much take half of a processor together, and one alone is not held up. Turns are short
/// and a pause comes after some of them, because a lookup may have to wait for the end of a turn, and
/// a pause is never shorter than the millisecond that timers count.
pub struct Turn {
    permit: Option<OwnedSemaphorePermit>,
    queue: Arc<Queue>,
    begun: Instant,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let permit = self.permit.take();
        if self.queue.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let Some(pause) = self.queue.pause_after(self.begun.elapsed()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(pause).await;
                drop(permit);
            });
        }
    }
}

impl Queue {
    /// How long nobody may begin a turn after one that took so long; None: the next one may begin.
    fn pause_after(&self, turn: Duration) -> Option<Duration> {
        let micros = u64::try_from(turn.as_micros()).unwrap_or(u64::MAX);
        let worked = self.worked.fetch_add(micros, Ordering::Relaxed).saturating_add(micros);
        let worked = Duration::from_micros(worked);
        if worked < limits::WORK_BEFORE_PAUSE {
            return None;
        }
        self.worked.store(0, Ordering::Relaxed);
        Some(worked.min(limits::LONGEST_PAUSE))
    }
}

/// Counts one who waits.
struct Waiting(Arc<Queue>);

impl Waiting {
    fn new(queue: &Arc<Queue>) -> Self {
        queue.waiting.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(queue))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The answer with something that is dropped when its body has gone to the connection.
pub fn keep_until_sent<T: Send + Unpin + 'static>(response: Response, kept: T) -> Response {
    response.map(|body| Body::new(Sent { body, rest: Bytes::new(), _kept: kept }))
}

/// Large reads made at once: half of the processors are for mail and lookups.
fn turns() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get() / 2).max(1)
}

/// The address that a place is counted by; loopback is counted with nobody.
fn counted(client: Option<IpAddr>) -> Peer {
    match client {
        Some(ip) if !ip.is_loopback() => Peer::Ip(SocketAddr::new(ip, 0)),
        _ => Peer::Local,
    }
}

/// Where to cut: after a line, if there are lines, because chunks of a stream are what simple
/// clients read.
fn frame_octets(rest: &[u8]) -> usize {
    let Some((first, others)) = rest.split_at_checked(limits::PIECE_OCTETS) else {
        return rest.len();
    };
    match (memchr::memrchr(b'\n', first), memchr::memchr(b'\n', others)) {
        (Some(end), _) => end + 1,
        (None, Some(end)) => first.len() + end + 1,
        (None, None) => first.len(),
    }
}

/// A body in small frames: the connection asks for the next one when it has sent what it holds, so
/// that a large answer is not held twice.
struct Sent<T> {
    body: Body,
    /// What is left of a large frame.
    rest: Bytes,
    _kept: T,
}

impl<T: Unpin> HttpBody for Sent<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        let octets = frame_octets(&self.rest);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(octets)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn octets_are_counted_and_given_back() {
        let octets = Octets::new(100);
        let (mut one, mut two) = (octets.share(), octets.share());
        assert!(one.grow(60) && one.grow(30) && !two.grow(11) && two.grow(10));
        one.clear();
        assert!(two.grow(90) && !one.grow(1));
        drop(two);
        assert!(one.grow(100) && !one.grow(usize::MAX));
    }

    #[test]
    fn no_address_takes_all_places() {
        let budget = Budget::new(0);
        let (client, other) = (Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into()));
        let mut places: Vec<_> = std::iter::from_fn(|| budget.reader(client).ok()).collect();
        assert_eq!(places.len(), limits::LONG_READERS / 2);
        assert_eq!(budget.reader(client).expect_err("full").status.as_u16(), 429);
        // Programs of this machine come from one address.
        let local = Some([127, 0, 0, 1].into());
        places.push(budget.reader(other).expect("a place is left"));
        places.extend(std::iter::from_fn(|| budget.reader(local).ok()));
        assert_eq!(places.len(), limits::LONG_READERS);
        assert!(budget.reader(None).is_err());
        places.pop();
        assert!(budget.reader(None).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_reader_is_not_held_up_and_many_leave_time_between_their_turns() {
        let budget = Budget::new(0);
        let mut turns: Vec<_> = Vec::new();
        for _ in 0..budget.turns.available_permits() {
            turns.push(budget.turn().await);
        }
        turns.pop();
        let begun = Instant::now();
        turns.push(budget.turn().await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        // Another one waits while this one lasts.
        let work = Duration::from_millis(10);
        let next = async {
            let begun = Instant::now();
            drop(budget.turn().await);
            begun.elapsed()
        };
        let this = async {
            tokio::time::sleep(work).await;
            turns.pop();
        };
        let (waited, ()) = tokio::join!(next, this);
        assert!(waited >= work * 2 && waited < work * 3, "{waited:?}");
        assert_eq!(budget.queue.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_large_answer_leaves_in_small_frames() {
        let budget = Budget::new(0);
        let text = "x".repeat(3 * limits::PIECE_OCTETS + 1);
        let body = budget.sent(text.clone().into_response(), true).expect("room").into_body();
        assert_eq!(body.size_hint().exact(), Some(text.len() as u64));
        let (mut body, mut frames) = (body, Vec::new());
        while !body.is_end_stream() {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let Some(frame) = frame else { break };
            frames.push(frame.expect("made").into_data().expect("data").len());
        }
        let piece = limits::PIECE_OCTETS;
        assert_eq!(frames, [piece, piece, piece, 1]);
    }

    #[test]
    fn frames_end_with_lines() {
        let piece = limits::PIECE_OCTETS;
        let of = |lines: &[usize]| {
            let text: String = lines.iter().map(|n| "x".repeat(n - 1) + "\n").collect();
            frame_octets(text.as_bytes())
        };
        assert_eq!(of(&[10, 10]), 20);
        assert_eq!(of(&[10, piece]), 10);
        assert_eq!(of(&[piece - 1, 10]), piece - 1);
        assert_eq!(of(&[piece + 7, 10]), piece + 7);
        assert_eq!(frame_octets(&vec![b'x'; 2 * piece]), piece);
    }

    #[test]
    fn large_answers_wait_for_clients_within_a_budget() {
        let budget = Budget::new(0);
        let answer = || vec![b'x'; limits::ANSWER_OCTETS as usize / 3].into_response();
        let mut held = Vec::new();
        let refused = loop {
            match budget.sent(answer(), true) {
                Ok(response) => held.push(response),
                Err(problem) => break problem,
            }
        };
        assert_eq!((held.len(), refused.status.as_u16()), (3, 429));
        // A small one, and one that says what was changed, are always given.
        assert!(budget.sent("ok".into_response(), true).is_ok());
        assert!(budget.sent(answer(), false).is_ok());
        held.pop();
        assert!(budget.sent(answer(), true).is_ok());
    }
}
