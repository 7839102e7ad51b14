//! `GET /v1/events`: the journal as NDJSON, from a position on.
//!
//! Promises: `from` is inclusive, lines come in order and without gaps, memory stays at a piece.
//! With `follow` the connection stays open and new events follow within moments of their commit;
//! an empty line every 15 s keeps proxies from cutting an idle feed, and tells us of clients that
//! are gone (CouchDB's continuous feed does the same).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::body::{AnswerSource, Outgoing, Pieces, answer};
use super::params::Params;
use super::shared::{Http, PeerIp, in_turn};
use crate::serve::limits;
use crate::serve::problem::Problem;
use crate::serve::socket::stopped;

/// The first piece is read before the status is chosen, so that trouble is a problem and not half
/// an answer.
pub async fn feed(
    State(http): State<Arc<Http>>,
    Extension(peer): Extension<PeerIp>,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::of(&uri, &["from", "limit", "follow"])?;
    let left = params.number("limit")?.unwrap_or(u64::MAX);
    let from = params.number("from")?.unwrap_or(0);
    let mut reader = EventReader { http, from, left, ended: false };
    if params.flag("follow")? {
        let place = reader.http.budget.follower(peer.0)?;
        let first = reader.next().await?;
        let (pieces, body) = Outgoing::pair(place);
        tokio::spawn(reader.follow(first, pieces));
        return Ok(([(header::CONTENT_TYPE, NDJSON)], body).into_response());
    }
    let long = left > limits::SHORT_ANSWER as u64;
    let place = long.then(|| reader.http.budget.reader(peer.0)).transpose()?;
    answer(NDJSON, reader, place).await
}

const NDJSON: &str = "application/x-ndjson";

/// Where a client is in the journal.
struct EventReader {
    http: Arc<Http>,
    from: u64,
    left: u64,
    /// There was nothing more to read, or nothing more is wanted.
    ended: bool,
}

impl AnswerSource for EventReader {
    async fn next(&mut self) -> Result<String, Problem> {
        let limit = self.left.min(limits::PIECE_LINES as u64) as usize;
        let from = self.from;
        let read = in_turn(&self.http, move |service| {
            let lines = service.events(from, limit)?;
            let octets = lines.iter().map(|(_, line)| line.len() + 1).sum();
            let mut text = String::with_capacity(octets);
            for (_, line) in &lines {
                text.push_str(line);
                text.push('\n');
            }
            Ok((lines.len() as u64, lines.last().map(|(seq, _)| seq + 1), text))
        });
        let (lines, next, text) = if limit == 0 { Default::default() } else { read.await? };
        self.left = self.left.saturating_sub(lines);
        self.ended = next.is_none() || self.left == 0;
        self.from = next.unwrap_or(self.from);
        Ok(text)
    }

    fn ended(&self) -> bool {
        self.ended
    }
}

impl EventReader {
    /// Sends piece after piece until the limit is reached, the client is gone or the service
    /// stops; at the end of the journal it waits for more.
    async fn follow(mut self, first: String, pieces: Pieces) {
        let mut committed = self.http.committed.subscribe();
        let mut stopping = self.http.stopping.subscribe();
        let mut spoke = Instant::now();
        let mut text = first;
        loop {
            if text.is_empty() && spoke.elapsed() >= limits::FOLLOW_HEARTBEAT {
                text.push('\n');
            }
            if !text.is_empty() {
                spoke = Instant::now();
                if pieces.send(Ok(Bytes::from(text))).await.is_err() {
                    return;
                }
            }
            if self.ended {
                if self.left == 0 {
                    return;
                }
                tokio::select! {
                    _ = committed.changed() => {}
                    () = tokio::time::sleep(limits::FOLLOW_LOOK) => {}
                    () = stopped(&mut stopping) => return,
                    () = pieces.closed() => return,
                }
            }
            committed.mark_unchanged();
            match self.next().await {
                Ok(next) => text = next,
                Err(problem) => {
                    // The status is out already; only breaking off can say that more is missing.
                    let _ = pieces.send(Err(std::io::Error::other(problem.detail))).await;
                    return;
                }
            }
        }
    }
}
