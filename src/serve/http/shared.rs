//! What all handlers share: the service, limits, and how a question is asked without holding a
//! socket's thread.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};

use super::body::Whole;
use super::budget::{Budget, OctetShare};
use super::sessions::Sessions;
use crate::serve::limits;
use crate::serve::metrics::Metrics;
use crate::serve::places::{Places, Room};
use crate::serve::problem::{Problem, TOO_MANY_GUESSES};
use crate::serve::tokens::{Failures, Tokens};
use crate::serve::webhooks::Webhooks;
use crate::service::{Service, ServiceError};

/// What all handlers share.
pub struct Http {
    pub(super) service: Arc<dyn Service>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tokens: ArcSwapOption<Tokens>,
    pub(super) failures: Failures,
    pub(super) sessions: Sessions,
    pub(super) hostname: String,
    pub(super) max_message: u64,
    /// Last committed position, for followers of the journal.
    pub(super) committed: watch::Sender<u64>,
    pub(super) stopping: watch::Sender<bool>,
    pub(super) messages: Semaphore,
    pub(super) budget: Budget,
    pub(super) places: Arc<Places>,
    pub(super) webhooks: Arc<Webhooks>,
}

impl Http {
    /// The API of a service. `tokens` None: loopback only, no token needed; the configuration
    /// makes sure of the loopback.
    pub fn new(
        service: Arc<dyn Service>,
        metrics: Arc<Metrics>,
        tokens: Option<Tokens>,
        hostname: &str,
        max_message: u64,
    ) -> Self {
        Self {
            service,
            metrics,
            tokens: ArcSwapOption::from_pointee(tokens),
            failures: Failures::default(),
            sessions: Sessions::new(),
            hostname: hostname.to_ascii_lowercase(),
            max_message,
            committed: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            messages: Semaphore::new(limits::HTTP_MESSAGES),
            budget: Budget::new(max_message),
            places: Places::new(limits::HTTP_ROOM),
            webhooks: Arc::default(),
        }
    }

    /// The same with room for another number of connections.
    pub fn with_room(self, room: Room) -> Self {
        Self { places: Places::new(room), ..self }
    }

    /// The same with webhooks to tell of and to test.
    pub fn with_webhooks(self, webhooks: Arc<Webhooks>) -> Self {
        Self { webhooks, ..self }
    }

    /// Tells followers that the journal grew, so that they need not wait for their next look.
    pub fn announce(&self, seq: u64) {
        self.committed.send_replace(seq);
    }

    /// Counts a wrong token; the error when there were too many from there.
    pub(super) fn count_guess(&self, client: Option<IpAddr>) -> Result<(), Problem> {
        if !self.failures.count(client, Instant::now()) {
            return Ok(());
        }
        let detail = "too many wrong tokens from your address; wait a minute";
        Err(Problem::too_many(TOO_MANY_GUESSES, detail))
    }

    /// Takes new tokens over. From none to some, and back, only a restart leads: the listeners
    /// were chosen for it.
    pub fn replace_tokens(&self, tokens: Tokens) {
        if self.tokens.load().is_some() {
            self.tokens.store(Some(Arc::new(tokens)));
        }
    }
}

/// The client's address; None on a unix socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct PeerIp(pub(super) Option<IpAddr>);

/// Calls the service on a thread that may wait for a disk.
pub(super) async fn blocking<T: Send + 'static>(
    http: &Http,
    call: impl FnOnce(&dyn Service) -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, Problem> {
    let service = http.service.clone();
    match tokio::task::spawn_blocking(move || call(&*service)).await {
        Ok(result) => result.map_err(Problem::from),
        Err(_) => {
            let detail = "the operation failed inside bounced; see its log";
            Err(ServiceError::Internal(detail.to_string()).into())
        }
    }
}

/// The same for one that reads much: it waits for its turn, and keeps it when its client goes.
pub(super) async fn in_turn<T: Send + 'static>(
    http: &Http,
    call: impl FnOnce(&dyn Service) -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, Problem> {
    let turn = http.budget.turn().await;
    let call = move |service: &dyn Service| {
        let _turn = turn;
        call(service)
    };
    blocking(http, call).await
}

/// The JSON answer to a question that may read much, written down in its turn.
pub(super) async fn read_json(
    http: &Http,
    ask: impl FnOnce(&dyn Service) -> Result<Value, ServiceError> + Send + 'static,
) -> Result<Response, Problem> {
    let text = in_turn(http, move |service| Ok(ask(service)?.to_string())).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// What a body says, and what counts its octets. A large one is read in its turn, apart from the
/// sockets.
pub(super) async fn apart<T: Send + 'static>(
    http: &Http,
    body: Whole,
    read: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> Result<(T, OctetShare), Problem> {
    let large = body.len() as u64 > limits::SMALL_OCTETS;
    let (octets, share) = body.into_parts();
    if !large {
        return Ok((read(&octets), share));
    }
    Ok((in_turn(http, move |_| Ok(read(&octets))).await?, share))
}

/// A body as JSON.
pub(super) async fn from_json<T: DeserializeOwned + Send + 'static>(
    http: &Http,
    body: Whole,
) -> Result<serde_json::Result<(T, OctetShare)>, Problem> {
    let (parsed, share) = apart(http, body, |octets| serde_json::from_slice(octets)).await?;
    Ok(parsed.map(|parsed| (parsed, share)))
}

/// A JSON answer on one line.
pub(super) fn json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// What became of a body of which nothing could be done: whoever looks at the status alone must not
/// take that for done.
pub(super) fn nothing_done(value: &Value) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, json(value)).into_response()
}

/// Whether a body of lines has any line end; curl's `-d` takes them out of a file, and says that it
/// sends a form.
pub(super) struct LineEnds {
    is_form: bool,
    first: Option<u8>,
    any: bool,
}

impl LineEnds {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let is_form = content_type(headers).starts_with("application/x-www-form-urlencoded");
        Self { is_form, first: None, any: false }
    }

    pub(super) fn see(&mut self, piece: &[u8]) {
        self.first = self.first.or(piece.trim_ascii_start().first().copied());
        self.any |= memchr::memchr(b'\n', piece).is_some();
    }

    /// JSON needs no lines, and an empty body is told of elsewhere.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let is_json = matches!(self.first, Some(b'{' | b'[') | None);
        if !self.is_form || self.any || is_json {
            return Ok(());
        }
        Err(Problem::bad_request(
            "the body has no line end: nothing is taken (with curl: --data-binary @FILE, -d takes them \
             out)",
        ))
    }
}

/// A form with a file in it is not the file.
pub(super) fn no_upload(headers: &HeaderMap) -> Result<(), Problem> {
    if content_type(headers).starts_with("multipart/form-data") {
        let detail = "send the file itself, not a form (with curl: --data-binary @FILE, not -F)";
        return Err(Problem::bad_request(detail));
    }
    Ok(())
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A limit that a query may name.
pub(super) fn limit(wanted: Option<u64>, default: usize, most: usize) -> Result<usize, Problem> {
    match wanted.map(usize::try_from) {
        None => Ok(default),
        Some(Ok(limit)) if (1..=most).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::bad_request(format!("`limit` must be from 1 to {most}"))),
    }
}
