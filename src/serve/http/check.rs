//! `POST /v1/suppressions:check`: which of many addresses are suppressed or held.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::json;

use super::body::{AnswerSource, IncomingBody, answer};
use super::budget::OctetShare;
use super::params::{self, Params};
use super::shared::{Http, PeerIp, from_json, in_turn};
use super::suppressions::{Entries, long};
use crate::serve::limits;
use crate::serve::metrics::{LookupResult, Protocol};
use crate::serve::problem::Problem;
use crate::service::Service;

/// Body of `:check`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckBody {
    addresses: Addresses,
    scope: Option<String>,
}

/// Addresses in one piece of memory: ten thousand small ones for each client would be spread over
/// all threads and held by their allocators long after.
#[derive(Debug, Default)]
struct Addresses {
    text: String,
    /// Where each of them ends; no more than may be asked about.
    ends: Vec<u32>,
    /// How many there are.
    count: usize,
}

impl Addresses {
    fn get(&self, range: Range<usize>) -> Vec<String> {
        let start = |n: usize| {
            n.checked_sub(1).and_then(|n| self.ends.get(n)).map_or(0, |end| *end as usize)
        };
        let one = |n| self.text.get(start(n)..start(n + 1)).unwrap_or_default().to_string();
        range.map(one).collect()
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AddressList;

        impl<'de> Visitor<'de> for AddressList {
            type Value = Addresses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of addresses")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Addresses, A::Error> {
                let mut addresses = Addresses::default();
                while let Some(address) = list.next_element::<Cow<'_, str>>()? {
                    addresses.count += 1;
                    if addresses.count <= limits::CHECK_ADDRESSES {
                        addresses.text.push_str(&address);
                        let end = u32::try_from(addresses.text.len());
                        addresses.ends.push(end.map_err(A::Error::custom)?);
                    }
                }
                // Held until the answer has been read, by many.
                addresses.text.shrink_to_fit();
                addresses.ends.shrink_to_fit();
                Ok(addresses)
            }
        }

        deserializer.deserialize_seq(AddressList)
    }
}

/// `POST /v1/suppressions:check`
pub async fn check(
    State(http): State<Arc<Http>>,
    Extension(peer): Extension<PeerIp>,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let scope = Params::of(&uri, &["scope"])?.scope()?;
    let (body, place) = IncomingBody::new(body)
        .whole_in_place(limits::JSON_OCTETS, &http.budget.intake, || http.budget.reader(peer.0))
        .await?;
    let (check, share) = from_json::<CheckBody>(&http, body).await?.map_err(|wrong| {
        let example = r#"{"addresses":["a@example.com"]}"#;
        Problem::bad_request(format!("the body must be JSON such as {example}: {wrong}"))
    })?;
    let count = check.addresses.count;
    if count > limits::CHECK_ADDRESSES {
        let most = limits::CHECK_ADDRESSES;
        let detail = format!("{count} addresses; ask for at most {most} at once");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail));
    }
    let place = match place {
        Some(place) => Some(place).filter(|_| count > limits::SHORT_ANSWER),
        None => long(&http, peer, count)?,
    };
    let said = check.scope.filter(|scope| !scope.is_empty()).map(params::scope).transpose()?;
    let scope = said.or(scope);
    let addresses = Arc::new(check.addresses);
    let entries = Entries::default();
    let unreadable = Vec::new();
    let (done, ended) = (0, false);
    let checking =
        Checking { http, addresses, done, scope, entries, unreadable, ended, _share: share };
    answer("application/json", checking, place).await
}

/// A `:check` under way.
struct Checking {
    http: Arc<Http>,
    addresses: Arc<Addresses>,
    done: usize,
    scope: Option<String>,
    entries: Entries,
    /// What is no address is no miss: a sender would take it for "may be mailed".
    unreadable: Vec<String>,
    ended: bool,
    /// The addresses count as the body that they came in.
    _share: OctetShare,
}

impl AnswerSource for Checking {
    async fn next(&mut self) -> Result<String, Problem> {
        let start = Instant::now();
        let (addresses, scope, so_far) = (self.addresses.clone(), self.scope.clone(), self.entries);
        let these = self.done..addresses.count.min(self.done + limits::PIECE_ROWS);
        let (batch, end) = (these.len(), these.end);
        let look = move |service: &dyn Service| {
            let checked = service.check(&addresses.get(these), scope.as_deref())?;
            Ok((checked.hits.len(), so_far.push(&checked.hits), checked.unreadable))
        };
        let looked = in_turn(&self.http, look).await;
        let each = start.elapsed() / u32::try_from(batch.max(1)).unwrap_or(u32::MAX);
        let count = |result, times: usize| {
            (0..times).for_each(|_| self.http.metrics.lookup(Protocol::Http, result, each));
        };
        let (hits, (mut text, entries), unread) = match looked {
            Ok(looked) => looked,
            Err(problem) => {
                count(LookupResult::Error, batch);
                return Err(problem);
            }
        };
        count(LookupResult::Hit, hits);
        count(LookupResult::Miss, batch.saturating_sub(hits));
        (self.entries, self.done) = (entries, end);
        self.unreadable.extend(unread);
        self.ended = end == self.addresses.count;
        if self.ended {
            text.push_str(&format!("],\"unreadable\":{}}}", json!(self.unreadable)));
        }
        Ok(text)
    }

    fn ended(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_out_as_they_went_in() {
        let read = |text: &str| serde_json::from_str::<Addresses>(text);
        let addresses = read(r#"["a@b.test","","\u00fc\n@c.test","d"]"#).expect("a list");
        assert_eq!(addresses.get(0..4), ["a@b.test", "", "ü\n@c.test", "d"]);
        assert_eq!(addresses.get(2..3), ["ü\n@c.test"]);
        assert!(addresses.get(0..0).is_empty() && addresses.count == 4);
        for wrong in ["{}", "[5]", "\"a@b.test\"", "[\"a@b.test\""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let many = format!("[{}\"x\"]", "\"x\",".repeat(limits::CHECK_ADDRESSES + 5));
        let many = read(&many).expect("a list");
        let kept = (many.count, many.ends.len());
        assert_eq!(kept, (limits::CHECK_ADDRESSES + 6, limits::CHECK_ADDRESSES));
    }
}
