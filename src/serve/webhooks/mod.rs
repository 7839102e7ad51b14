//! Webhooks: who wants to hear of what happens is told by HTTP POST, from the journal on, each
//! endpoint at its own pace (docs/webhooks.md).
//!
//! - `message`: whether an endpoint is told, the body, the signature.
//! - `network`, `client`: which addresses are connected to, one POST.
//! - `feed`: the journal as it is read here.
//! - `cursor`, `marks`: how far an endpoint was told, on disk, and of which records.
//! - `endpoint`: the loop that brings these together. `status`: what people see of it.
//!
//! [`Webhooks::replace`] takes a new configuration: who is named as before goes on, who is named
//! otherwise ends and begins again at its cursor, so nothing is passed over by a change.

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
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Webhook;
use crate::ledger::lock::lock;
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
    endpoints: Mutex<Vec<Known>>,
    hostname: String,
}

/// What deliveries are made of, beside the endpoints.
#[derive(Clone)]
pub struct Surroundings {
    /// Where cursors are kept.
    pub data_dir: PathBuf,
    /// The journal.
    pub feed: Arc<dyn Feed>,
    /// Where deliveries are counted.
    pub metrics: Arc<Metrics>,
}

#[derive(Clone)]
struct Known {
    config: Arc<Webhook>,
    client: Arc<Client>,
    status: Arc<Mutex<Status>>,
    running: Arc<Mutex<Option<Running>>>,
}

/// The task of an endpoint; it ends after `stop` became true.
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Known {
    fn new(endpoint: &Webhook) -> Result<Self, String> {
        let config = Arc::new(endpoint.clone());
        let client = Arc::new(Client::new(Arc::clone(&config))?);
        Ok(Self { config, client, status: Arc::default(), running: Arc::default() })
    }

    /// A file of authorities may have changed under its name.
    fn is_as(&self, wanted: &Webhook) -> bool {
        *self.config == *wanted && wanted.ca_file.is_none()
    }

    fn start(&self, hostname: &str, around: &Surroundings, newest: u64) -> io::Result<()> {
        let Surroundings { data_dir, feed, metrics } = around;
        let file = CursorFile::of(data_dir, &self.config.name)?;
        let cursor = first(&file, &self.config, feed.as_ref(), newest)?;
        metrics.webhook_known(&self.config.name);
        // Until it has looked for itself: nobody is to hear "0 behind" meanwhile.
        lock(&self.status).backlog = (newest + 1).saturating_sub(cursor.next.0);
        let parts = Endpoint {
            config: Arc::clone(&self.config),
            client: Arc::clone(&self.client),
            feed: Arc::clone(feed),
            metrics: Arc::clone(metrics),
            status: Arc::clone(&self.status),
            hostname: hostname.to_string(),
            file,
        };
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(Run::new(parts, cursor).run(stopping));
        *lock(&self.running) = Some(Running { stop, task });
        Ok(())
    }
}

/// Ends deliveries to these, all at the same time; their cursors are written then.
async fn end(endpoints: &[Known]) {
    let running: Vec<Running> =
        endpoints.iter().filter_map(|known| lock(&known.running).take()).collect();
    for one in &running {
        one.stop.send_replace(true);
    }
    for one in running {
        let _ = one.task.await;
    }
}

impl Webhooks {
    /// The endpoints of a configuration. The error is a sentence for the operator.
    pub fn new(endpoints: &[Webhook], hostname: &str) -> Result<Self, String> {
        let endpoints: Result<Vec<_>, String> = endpoints.iter().map(Known::new).collect();
        Ok(Self { endpoints: Mutex::new(endpoints?), hostname: hostname.to_string() })
    }

    /// Begins to deliver, until [`Webhooks::stop`]. `newest` is the position of the newest record: a
    /// new endpoint begins after it, before anything else is taken in.
    pub fn start(&self, around: &Surroundings, newest: u64) -> io::Result<()> {
        let endpoints = lock(&self.endpoints);
        endpoints.iter().try_for_each(|known| known.start(&self.hostname, around, newest))
    }

    /// Ends all deliveries.
    pub async fn stop(&self) {
        let all = lock(&self.endpoints).clone();
        end(&all).await;
    }

    /// Takes another configuration, and tells the names of those that begin and those that end (of
    /// one that changed, both). The error is a sentence for the operator: nothing is changed, or an
    /// endpoint whose cursor cannot be used is left out until the next time.
    pub async fn replace(
        &self,
        wanted: &[Webhook],
        around: &Surroundings,
        newest: u64,
    ) -> Result<(Vec<String>, Vec<String>), String> {
        let was = lock(&self.endpoints).clone();
        let (mut all, mut fresh) = (Vec::new(), Vec::new());
        for endpoint in wanted {
            let kept = was.iter().find(|known| known.is_as(endpoint)).cloned();
            match kept {
                Some(kept) => all.push(kept),
                None => fresh.push(Known::new(endpoint)?),
            }
        }
        let is_kept =
            |known: &Known| all.iter().any(|kept| Arc::ptr_eq(&kept.config, &known.config));
        let over: Vec<Known> = was.into_iter().filter(|known| !is_kept(known)).collect();
        end(&over).await;
        for known in &over {
            // A backlog that nobody works off would be told to people for ever.
            around.metrics.webhook_forgotten(&known.config.name);
        }
        let mut failed = None;
        let (mut begun, names) = (Vec::new(), |known: &Known| known.config.name.clone());
        for known in fresh {
            match known.start(&self.hostname, around, newest) {
                Ok(()) => {
                    begun.push(names(&known));
                    all.push(known);
                }
                Err(why) => failed = Some(format!("{}: its cursor: {why}", names(&known))),
            }
        }
        let place = |known: &Known| wanted.iter().position(|one| one.name == known.config.name);
        all.sort_by_key(place);
        *lock(&self.endpoints) = all;
        failed.map_or_else(|| Ok((begun, over.iter().map(names).collect())), Err)
    }

    /// The state of all endpoints.
    pub fn status(&self) -> Value {
        let shown = |known: &Known| lock(&known.status).to_json(&known.config);
        lock(&self.endpoints).iter().map(shown).collect()
    }

    /// Sends a test to an endpoint, once; None when there is none of this name.
    pub async fn test(&self, name: &str) -> Option<Value> {
        let named = |known: &&Known| known.config.name == name;
        let known = lock(&self.endpoints).iter().find(named).cloned()?;
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
