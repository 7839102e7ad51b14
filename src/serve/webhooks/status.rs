//! What people are shown of an endpoint: `GET /v1/webhooks`, `bounced webhooks status`.

use serde_json::{Value, json};

use crate::config::{Format, Webhook};
use crate::mail::Timestamp;

/// The state of an endpoint.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Records of the journal that it was not told of yet.
    pub backlog: u64,
    /// Time of the oldest thing that it was not told of.
    pub oldest: Option<Timestamp>,
    /// Deliveries since the start.
    pub delivered: u64,
    /// When one succeeded last.
    pub last_delivered: Option<Timestamp>,
    /// Why one failed last, since one succeeded.
    pub error: Option<(Timestamp, String)>,
    /// It takes nothing at the moment.
    pub failing: bool,
    /// It answered 410.
    pub gone: bool,
    /// Things that it did not take at the first time and that are tried again.
    pub refused: u64,
    /// When the first of them is tried again.
    pub next_try: Option<Timestamp>,
    /// Things that were given up since the start.
    pub gave_up: u64,
}

impl Status {
    /// As JSON. The path and query of the URL may hold a secret, so only its host is shown.
    pub fn to_json(&self, endpoint: &Webhook) -> Value {
        let state = match (self.gone, self.failing) {
            (true, _) => "gone",
            (false, true) => "failing",
            (false, false) => "ok",
        };
        let format = match endpoint.format {
            Format::Standard => "standard",
            Format::CloudEvents => "cloudevents",
            Format::Listmonk => "listmonk",
        };
        json!({
            "name": endpoint.name,
            "host": endpoint.url.authority().map(|authority| authority.as_str()),
            "format": format,
            "types": endpoint.types,
            "state": state,
            "backlog": self.backlog,
            "oldest": self.oldest,
            "delivered": self.delivered,
            "last_delivered": self.last_delivered,
            "retrying": self.refused,
            "next_try": self.next_try,
            "gave_up": self.gave_up,
            "error": self.error.as_ref().map(|(_, why)| why),
            "error_at": self.error.as_ref().map(|(at, _)| at),
        })
    }
}
