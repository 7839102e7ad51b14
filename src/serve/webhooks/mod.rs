//! Webhooks: who wants to hear of what happens is told by HTTP POST, from the journal on, each
//! endpoint at its own pace (docs/webhooks.md).
//!
//! - `message`: whether an endpoint is told, the body, the signature.
//! - `network`, `client`: which addresses are connected to, one POST.
//! - `feed`: the journal as it is read here.
//! - `cursor`, `marks`: how far an endpoint was told, on disk, and of which records.
//! - `endpoint`: the loop that brings these together. `status`: what people see of it.

mod client;
mod cursor;
mod endpoint;
mod feed;
mod marks;
mod message;
mod network;
mod status;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Webhook;
use crate::lock::lock;
use crate::mail::Timestamp;
use crate::serve::metrics::Metrics;
use client::{AttemptOutcome, Client};
use cursor::{Cursor, CursorFile};
use endpoint::{Endpoint, Run};
pub use feed::Feed;
use marks::{Common, Marks};
use status::Status;

/// All endpoints.
#[derive(Default)]
pub struct Webhooks {
    endpoints: Vec<Known>,
    hostname: String,
}

struct Known {
    config: Arc<Webhook>,
    client: Arc<Client>,
    status: Arc<Mutex<Status>>,
}

impl Webhooks {
    /// The endpoints of a configuration. The error is a sentence for the operator.
    pub fn new(endpoints: &[Webhook], hostname: &str) -> Result<Self, String> {
        let known = |endpoint: &Webhook| {
            let config = Arc::new(endpoint.clone());
            let client = Arc::new(Client::new(Arc::clone(&config))?);
            Ok(Known { config, client, status: Arc::default() })
        };
        let endpoints: Result<Vec<_>, String> = endpoints.iter().map(known).collect();
        Ok(Self { endpoints: endpoints?, hostname: hostname.to_string() })
    }

    /// Begins to deliver; the tasks end after `stop` becomes true. `newest` is the position of the
    /// newest record: a new endpoint begins after it, before anything else is taken in.
    pub fn start(
        &self,
        data_dir: &Path,
        feed: &Arc<dyn Feed>,
        metrics: &Arc<Metrics>,
        newest: u64,
        stop: &watch::Receiver<bool>,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let start = |known: &Known| {
            let file = CursorFile::of(data_dir, &known.config.name)?;
            let cursor = first(&file, &known.config, feed.as_ref(), newest)?;
            metrics.webhook_known(&known.config.name);
            // Until it has looked for itself: nobody is to hear "0 behind" meanwhile.
            lock(&known.status).backlog = (newest + 1).saturating_sub(cursor.next.0);
            let parts = Endpoint {
                config: Arc::clone(&known.config),
                client: Arc::clone(&known.client),
                feed: Arc::clone(feed),
                metrics: Arc::clone(metrics),
                status: Arc::clone(&known.status),
                hostname: self.hostname.clone(),
                file,
            };
            Ok(tokio::spawn(Run::new(parts, cursor).run(stop.clone())))
        };
        self.endpoints.iter().map(start).collect()
    }

    /// The state of all endpoints.
    pub fn status(&self) -> Value {
        let shown = |known: &Known| lock(&known.status).to_json(&known.config);
        self.endpoints.iter().map(shown).collect()
    }

    /// Sends a test to an endpoint, once; None when there is none of this name.
    pub async fn test(&self, name: &str) -> Option<Value> {
        let known = self.endpoints.iter().find(|known| known.config.name == name)?;
        let (now, began) = (Timestamp::now(), Instant::now());
        let id = format!("test-{}", now.millis());
        let message = message::test_message(&known.config, &self.hostname, id, now);
        let outcome = known.client.post(&message).await;
        let (status, error) = match outcome {
            AttemptOutcome::Delivered(status) => (Some(status), None),
            AttemptOutcome::Gone => (Some(410), Some("it answered 410, gone".to_string())),
            AttemptOutcome::Failed { status, why, .. } => (status, Some(why)),
        };
        Some(json!({
            "name": name,
            "delivered": error.is_none(),
            "id": message.id,
            "status": status,
            "error": error,
            "took_ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        }))
    }
}

/// Where an endpoint begins. What it was never told of is never passed over, except by a new one,
/// which begins where it says.
fn first(
    file: &CursorFile,
    endpoint: &Webhook,
    feed: &dyn Feed,
    newest: u64,
) -> io::Result<Cursor> {
    let name = &endpoint.name;
    let mut cursor = match file.read() {
        Ok(Some(was)) => {
            let mut cursor = was.clone();
            let is_same = go_to_common(&mut cursor, feed, newest)?;
            if is_same && cursor.marks != Marks::default() {
                return Ok(cursor);
            }
            let (seq, next) = (was.next.0, cursor.next.0);
            if !is_same {
                tracing::error!(
                    endpoint = name,
                    "the journal is not the one that it was told from, as after a restore or a \
                     failover that lost records: it was at {seq}, and goes on from {next}, after the \
                     last record that both are known to have"
                );
            }
            cursor
        }
        Ok(None) if endpoint.from_beginning => Cursor::at(1),
        Ok(None) => Cursor::at(newest + 1),
        Err(error) => {
            let path = file.path().display();
            tracing::error!("{path} cannot be read ({error}): all of the journal is told again");
            Cursor::at(1)
        }
    };
    // Before anything is taken in: a crash must not make it a new one again, further on.
    cursor.mark(feed)?;
    file.write(&cursor)?;
    Ok(cursor)
}

/// Takes a cursor back to the last record that the journal has and that it is of; whether it need not
/// go back.
fn go_to_common(cursor: &mut Cursor, feed: &dyn Feed, newest: u64) -> io::Result<bool> {
    let id_at = |seq| {
        let found = feed.ids(seq, seq).map_err(io::Error::other)?;
        Ok::<_, io::Error>(found.into_iter().next().map(|(_, id)| id))
    };
    let common = match cursor.marks.common(id_at, newest)? {
        Common::Until(common) => common,
        // Without marks, the end is all that can be known.
        Common::Whole if cursor.through() > newest => newest,
        Common::Whole => return Ok(true),
    };
    cursor.go_back(common);
    Ok(false)
}
