//! `GET /v1/events`: the journal as NDJSON, from a position on.
//!
//! Promises: `from` is inclusive, lines come in order and without gaps, memory stays at a page.
//! With `follow` the connection stays open and new events follow within moments of their commit;
//! an empty line every 15 s keeps proxies from cutting an idle feed, and tells us of clients that
//! are gone (CouchDB's continuous feed does the same).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::body::{Outgoing, Pieces};
use super::params::Params;
use super::{Http, blocking};
use crate::serve::limits;
use crate::serve::problem::Problem;
use crate::serve::socket::stopped;

/// The first page is read before the status is chosen, so that trouble is a problem and not half
/// an answer.
pub async fn feed(State(http): State<Arc<Http>>, uri: Uri) -> Result<Response, Problem> {
    let params = Params::of(&uri, &["from", "limit", "follow"])?;
    let left = params.number("limit")?.unwrap_or(u64::MAX);
    let follow = match params.flag("follow")? {
        false => None,
        true => Some(http.followers.clone().try_acquire_owned().map_err(|_| {
            let most = limits::FOLLOWERS;
            let detail = format!("{most} clients follow already; ask again without `follow`");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-followers", detail)
        })?),
    };
    let mut reader = Reader { http, from: params.number("from")?.unwrap_or(0), left };
    let first = reader.page().await?;
    let (pieces, body) = Outgoing::pair();
    tokio::spawn(reader.send(first, follow, pieces));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// Where a client is in the journal.
struct Reader {
    http: Arc<Http>,
    from: u64,
    left: u64,
}

impl Reader {
    /// The next lines, and whether there may be more right behind them.
    async fn page(&mut self) -> Result<(String, bool), Problem> {
        let limit = self.left.min(limits::STREAM_PAGE as u64) as usize;
        if limit == 0 {
            return Ok((String::new(), false));
        }
        let from = self.from;
        let lines = blocking(&self.http, move |service| service.events(from, limit)).await?;
        self.left = self.left.saturating_sub(lines.len() as u64);
        let mut text = String::with_capacity(lines.iter().map(|(_, line)| line.len() + 1).sum());
        for (seq, line) in &lines {
            self.from = seq + 1;
            text.push_str(line);
            text.push('\n');
        }
        Ok((text, lines.len() == limit && self.left > 0))
    }

    /// Sends page after page until the journal ends, the limit is reached, the client is gone or
    /// the service stops.
    async fn send(
        mut self,
        first: (String, bool),
        follow: Option<OwnedSemaphorePermit>,
        pieces: Pieces,
    ) {
        let mut committed = self.http.committed.subscribe();
        let mut stopping = self.http.stopping.subscribe();
        let mut spoke = Instant::now();
        let (mut text, mut more) = first;
        loop {
            if follow.is_some() && text.is_empty() && spoke.elapsed() >= limits::FOLLOW_HEARTBEAT {
                text.push('\n');
            }
            if !text.is_empty() {
                spoke = Instant::now();
                if pieces.send(Ok(Bytes::from(text))).await.is_err() {
                    return;
                }
            }
            if !more {
                if follow.is_none() || self.left == 0 {
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
            match self.page().await {
                Ok(page) => (text, more) = page,
                Err(problem) => {
                    // The status is out already; only breaking off can say that this is no end.
                    let _ = pieces.send(Err(std::io::Error::other(problem.detail))).await;
                    return;
                }
            }
        }
    }
}
