//! Webhooks: who wants to hear of what happens is told by HTTP POST, from the journal on, each
//! endpoint at its own pace (docs/webhooks.md).
//!
//! - `message`: whether an endpoint is told, the body, the signature.
//! - `network`, `client`: which addresses are connected to, one POST.
//! - `feed`: the journal as it is read here.
//! - `cursor`: how far an endpoint was told, on disk.
//! - `endpoint`: the loop that brings these together. `status`: what people see of it.

mod client;
mod cursor;
mod endpoint;
mod feed;
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
use client::{Client, Outcome};
use cursor::{Cursor, CursorFile};
use endpoint::{Endpoint, Run};
pub use feed::Feed;
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
            let cursor = first(&file, &known.config, newest)?;
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

    /// How all endpoints stand.
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
            Outcome::Delivered(status) => (Some(status), None),
            Outcome::Gone => (Some(410), Some("it answered 410, gone".to_string())),
            Outcome::Failed { status, why, .. } => (status, Some(why)),
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
fn first(file: &CursorFile, endpoint: &Webhook, newest: u64) -> io::Result<Cursor> {
    let name = &endpoint.name;
    let cursor = match file.read() {
        Ok(Some(cursor)) if cursor.next.0 <= newest + 1 => return Ok(cursor),
        Ok(Some(cursor)) => {
            let seq = cursor.next.0;
            tracing::error!(
                endpoint = name,
                "its cursor stands at {seq} and the journal ends at {newest}, as after a restore: it \
                 goes on from there"
            );
            Cursor::at(newest + 1)
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
    file.write(&cursor)?;
    Ok(cursor)
}
