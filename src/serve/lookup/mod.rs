//! The lookup port: Postfix, Exim and Sendmail ask before they send
//! (docs/interface.md, "Lookup port").
//!
//! One loop for each connection around [`wire`]: read, answer every complete request in the
//! buffer, write the answers in one go. Promises: our failure is never answered "not found"; a
//! request must be complete within [`limits::LOOKUP_REQUEST`] of its first octet; nothing that a
//! client sends is logged.
//!
//! Lookups call the service on the connection's own task: a read takes 1-2 µs, a hop to a blocking
//! thread ten times that. `explain` reads history from the disk, so it does hop.

pub mod wire;

use std::borrow::Cow;
use std::pin::{Pin, pin};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::Answers;
use crate::serve::limits;
use crate::serve::metrics::{LookupResult, Metrics, Port, Protocol, Refused};
use crate::serve::places::{ConnectionPlace, Places};
use crate::serve::socket::{Listener, stopped};
use crate::service::{Lookup, Service, ServiceError};
use wire::{Answer, Map, Parsed, Request, Scope, WireProtocol};

/// Answers clients of a listener until `stop` becomes true; connections then end after the
/// requests that they have sent.
pub async fn serve(
    mut listener: Listener,
    backend: Backend,
    places: Arc<Places>,
    mut stop: watch::Receiver<bool>,
) {
    let backend = Arc::new(backend);
    loop {
        let socket = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            socket = listener.accept() => socket,
        };
        let place = match places.take(&socket.peer()) {
            Ok(place) => place,
            // A client that is not let in tries again later; that is what TEMP would say.
            Err(why) => {
                backend.metrics.refused(Port::Lookup, why.into());
                continue;
            }
        };
        let (backend, stop) = (backend.clone(), stop.clone());
        tokio::spawn(async move {
            let _open = backend.metrics.opened(Port::Lookup);
            // The client went away: nothing is left to say to it.
            let _ = converse(socket, &backend, &place, stop).await;
        });
    }
}

/// Who a connection asks, and the words of the answers.
pub struct Backend {
    /// Who knows.
    pub service: Arc<dyn Service>,
    /// Who counts.
    pub metrics: Arc<Metrics>,
    /// The words.
    pub answers: Answers,
}

/// When the client must have sent something. The timer is moved only when it would fire too
/// late or has fired too early: at a hundred thousand lookups a second that saves its lock.
struct Deadline<'a> {
    due: Instant,
    timer: Pin<&'a mut Sleep>,
}

impl Deadline<'_> {
    fn set(&mut self, due: Instant) {
        self.due = due;
        if due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
    }

    async fn passed(&mut self) {
        loop {
            self.timer.as_mut().await;
            if Instant::now() >= self.due {
                return;
            }
            self.timer.as_mut().reset(self.due);
        }
    }
}

/// One connection from its first octet to its end.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: S,
    backend: &Backend,
    place: &ConnectionPlace,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let (mut input, mut out) = (Vec::new(), Vec::new());
    let mut wire = None;
    let due = Instant::now() + limits::LOOKUP_IDLE;
    let timer = pin!(sleep_until(due));
    let mut deadline = Deadline { due, timer };
    let mut ending = pin!(stopped(&mut stop));
    let mut sent_away = pin!(place.sent_away());
    loop {
        let was_empty = input.is_empty();
        input.reserve(2048);
        let octets = tokio::select! {
            biased;
            read = socket.read_buf(&mut input) => read?,
            () = deadline.passed() => return Ok(()),
            () = &mut ending => return Ok(()),
            () = &mut sent_away => return backend.sent_away(),
        };
        if octets == 0 {
            // Exim closes its half after the request: the answer is out already.
            return socket.shutdown().await;
        }
        let Some(waited) = place.answering() else { return backend.sent_away() };
        let mut at = 0;
        let open = loop {
            let rest = input.get(at..).unwrap_or_default();
            wire = wire.or_else(|| WireProtocol::detect(rest));
            let Some(wire) = wire else { break true };
            match wire.parse(rest) {
                Parsed::Partial => break true,
                Parsed::Broken(words) => {
                    backend.metrics.lookup(protocol(wire), LookupResult::Error, Default::default());
                    backend.reply(wire, Map::Suppress, Answer::Trouble(words), &mut out);
                    break false;
                }
                Parsed::Complete(request, used) => {
                    backend.answer(wire, request, &mut out).await;
                    at += used;
                }
            }
            if out.len() >= limits::LOOKUP_FLUSH {
                socket.write_all(&out).await?;
                out.clear();
            }
        };
        input.drain(..at);
        socket.write_all(&out).await?;
        out.clear();
        if !open {
            return socket.shutdown().await;
        }
        // Part of a request is not a sign of life: its sender waits as long as before.
        place.waiting((at == 0).then_some(waited));
        if input.is_empty() {
            deadline.set(Instant::now() + limits::LOOKUP_IDLE);
        } else if was_empty || at > 0 {
            deadline.set(Instant::now() + limits::LOOKUP_REQUEST);
        }
    }
}

impl Backend {
    /// The place went to somebody who had none; an MTA asks again on a new connection.
    fn sent_away(&self) -> std::io::Result<()> {
        self.metrics.refused(Port::Lookup, Refused::SentAway);
        Ok(())
    }

    fn reply(&self, wire: WireProtocol, map: Map, answer: Answer<'_>, out: &mut Vec<u8>) {
        wire.reply(map, answer, &self.answers, out);
    }

    async fn answer(&self, wire: WireProtocol, request: Request<'_>, out: &mut Vec<u8>) {
        let start = std::time::Instant::now();
        let (map, result) = match request {
            Request::Ask(Map::Explain, key, scope) => {
                let words = self.explain(key.into_owned(), self.scope(scope)).await;
                let answer = match &words {
                    Ok(Some(words)) => Answer::Words(words),
                    Ok(None) => Answer::Clear,
                    Err(ServiceError::NotFound(_) | ServiceError::BadRequest(_)) => Answer::Clear,
                    Err(error) => trouble(error),
                };
                self.reply(wire, Map::Explain, answer, out);
                (Map::Explain, result_of(answer))
            }
            Request::Ask(map, key, scope) => {
                let found = self.service.lookup(&key, self.scope(scope).as_deref());
                let answer = match &found {
                    Ok(Lookup::Clear) => Answer::Clear,
                    Ok(Lookup::Suppressed { status, text }) => Answer::Refuse(*status, text),
                    Ok(Lookup::Held { text }) => Answer::Wait(text),
                    // What cannot be read as an address cannot be suppressed.
                    Err(ServiceError::NotFound(_) | ServiceError::BadRequest(_)) => Answer::Clear,
                    Err(error) => trouble(error),
                };
                self.reply(wire, map, answer, out);
                (map, result_of(answer))
            }
            Request::NoAddress => {
                self.reply(wire, Map::Suppress, Answer::Clear, out);
                (Map::Suppress, LookupResult::Miss)
            }
            Request::NoSuchMap => {
                self.reply(wire, Map::Suppress, Answer::NoSuchMap, out);
                (Map::Suppress, LookupResult::Error)
            }
            Request::Put => {
                self.reply(wire, Map::Suppress, Answer::ReadOnly, out);
                (Map::Suppress, LookupResult::Error)
            }
        };
        // Explaining is for people; it would drown the times that MTAs see.
        if map != Map::Explain {
            self.metrics.lookup(protocol(wire), result, start.elapsed());
        }
    }

    /// The scope that a question is about; None: it asks about all.
    fn scope<'a>(&self, scope: Scope<'a>) -> Option<Cow<'a, str>> {
        match scope {
            Scope::Unsaid => None,
            Scope::Named(scope) => Some(Cow::Borrowed(scope)),
            Scope::OfSender(sender) => self.service.scope_of(sender).map(Cow::Owned),
        }
    }

    /// The sentence about an address; None in a scope in which nothing was ever heard of it.
    async fn explain(
        &self,
        address: String,
        scope: Option<Cow<'_, str>>,
    ) -> Result<Option<String>, ServiceError> {
        let (service, scope) = (self.service.clone(), scope.map(Cow::into_owned));
        let question_scope = scope.clone();
        let explain = move || service.explain(&address, question_scope.as_deref());
        let explained = tokio::task::spawn_blocking(explain).await;
        let value = explained
            .unwrap_or_else(|_| Err(ServiceError::Internal("explaining failed".to_string())))?;
        if scope.is_some_and(|scope| is_silent(&value, &scope)) {
            return Ok(None);
        }
        let summary = value.get("summary").and_then(serde_json::Value::as_str);
        Ok(Some(summary.map_or_else(|| value.to_string(), str::to_string)))
    }
}

/// Does an explanation say nothing of this scope: no state, no evidence that came in it?
fn is_silent(explained: &serde_json::Value, scope: &str) -> bool {
    let evidence = explained.pointer("/policy/evidence").and_then(serde_json::Value::as_array);
    let heard = |item: &serde_json::Value| item.get("scope").is_some_and(|of| of == scope);
    explained.get("state").is_some_and(|state| state == "clear")
        && !evidence.is_some_and(|items| items.iter().any(heard))
}

/// Internal words are for the log, not for a client of a client.
fn trouble(error: &ServiceError) -> Answer<'_> {
    match error {
        ServiceError::Internal(_) => Answer::Trouble("internal failure; see the log of bounced"),
        ServiceError::Busy(words)
        | ServiceError::Full(words)
        | ServiceError::BadRequest(words)
        | ServiceError::NotFound(words) => Answer::Trouble(words),
    }
}

fn result_of(answer: Answer<'_>) -> LookupResult {
    match answer {
        Answer::Clear => LookupResult::Miss,
        Answer::Refuse(..) | Answer::Words(_) => LookupResult::Hit,
        Answer::Wait(_) => LookupResult::Held,
        Answer::Trouble(_) | Answer::NoSuchMap | Answer::ReadOnly => LookupResult::Error,
    }
}

fn protocol(wire: WireProtocol) -> Protocol {
    match wire {
        WireProtocol::Socketmap => Protocol::Socketmap,
        WireProtocol::Tcp | WireProtocol::Bare => Protocol::Tcp,
        WireProtocol::Policy => Protocol::Policy,
    }
}
