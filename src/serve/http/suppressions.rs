//! `/v1/suppressions` and `/v1/addresses`: ask, list, change by hand, explain.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{AnswerSource, IncomingBody, answer};
use super::listing::Listing;
use super::params::{self, Params};
use super::shared::{Http, PeerIp, blocking, limit, read_json};
use crate::classify::Class;
use crate::mail::Timestamp;
use crate::serve::admission::Permit;
use crate::serve::limits;
use crate::serve::metrics::{LookupResult, Protocol};
use crate::serve::problem::Problem;
use crate::service::{Direction, ListQuery, ServiceError};

const PREFIX: &str = "/v1/suppressions/";

/// `GET /v1/suppressions/{address}`: the lookup of senders that speak HTTP. Asked on this thread:
/// a read takes 1-2 µs, a hop to another thread ten times that.
pub async fn one(State(http): State<Arc<Http>>, uri: Uri) -> Result<Response, Problem> {
    let start = Instant::now();
    let params = Params::of(&uri, &["scope"])?;
    let (address, scope) = (params::address(&uri, PREFIX)?, params.scope()?);
    let found = http.service.suppression(&address, scope.as_deref());
    http.metrics.lookup(Protocol::Http, result_of(&found), start.elapsed());
    match found? {
        Some(entry) => Ok(super::shared::json(&entry)),
        None => {
            let detail = format!("{address} is neither suppressed nor held: sending may go on");
            Err(Problem::new(StatusCode::NOT_FOUND, "not-suppressed", detail))
        }
    }
}

fn result_of(found: &Result<Option<Value>, ServiceError>) -> LookupResult {
    match found {
        Ok(Some(entry)) if entry.get("state").is_some_and(|state| state == "held") => {
            LookupResult::Held
        }
        Ok(Some(_)) => LookupResult::Hit,
        Ok(None) => LookupResult::Miss,
        Err(_) => LookupResult::Error,
    }
}

/// `GET /v1/addresses/{address}`
pub async fn explain(State(http): State<Arc<Http>>, uri: Uri) -> Result<Response, Problem> {
    let scope = Params::of(&uri, &["scope"])?.scope()?;
    let address = params::address(&uri, "/v1/addresses/")?;
    read_json(&http, move |service| service.explain(&address, scope.as_deref())).await
}

/// `GET /v1/suppressions`
pub async fn list(
    State(http): State<Arc<Http>>,
    Extension(peer): Extension<PeerIp>,
    uri: Uri,
) -> Result<Response, Problem> {
    let known = ["limit", "cursor", "domain", "class", "since", "scope"];
    let query = list_query(&Params::of(&uri, &known)?)?;
    let place = long(&http, peer, query.limit)?;
    let list = ListAnswer { listing: Listing::page(http, query), entries: Entries::default() };
    answer("application/json", list, place).await
}

/// A place for an answer with so many entries; none for a short one.
pub fn long(http: &Http, peer: PeerIp, entries: usize) -> Result<Option<Permit>, Problem> {
    (entries > limits::SHORT_ANSWER).then(|| http.budget.reader(peer.0)).transpose()
}

/// The text of `{"entries":[…]`, piece by piece.
#[derive(Debug, Default, Clone, Copy)]
pub struct Entries {
    begun: bool,
    /// Whether there is an entry already, so that a comma goes in front of the next.
    any: bool,
}

impl Entries {
    /// The text for some more entries; gives back what the next ones need to know.
    pub fn push(mut self, entries: &[Value]) -> (String, Self) {
        let mut text = String::new();
        if !std::mem::replace(&mut self.begun, true) {
            text.push_str("{\"entries\":[");
        }
        for entry in entries {
            if std::mem::replace(&mut self.any, true) {
                text.push(',');
            }
            text.push_str(&entry.to_string());
        }
        (text, self)
    }
}

/// A page of the list under way.
struct ListAnswer {
    listing: Listing,
    entries: Entries,
}

impl AnswerSource for ListAnswer {
    async fn next(&mut self) -> Result<String, Problem> {
        let so_far = self.entries;
        let piece = self.listing.piece(move |entries| so_far.push(&entries)).await?;
        let (mut text, entries) = piece.unwrap_or_default();
        self.entries = entries;
        if self.listing.ended() {
            text.push_str(&format!("],\"next\":{}}}", json!(self.listing.next())));
        }
        Ok(text)
    }

    fn ended(&self) -> bool {
        self.listing.ended()
    }
}

/// The parameters that list, export and the page share.
pub fn list_query(params: &Params<'_>) -> Result<ListQuery, Problem> {
    let (default, most) = limits::LIST_PAGE;
    let class = |word: String| {
        Class::parse(&word).ok_or_else(|| {
            let words: Vec<_> = Class::ALL.iter().map(|class| class.as_str()).collect();
            let known = words.join(", ");
            Problem::bad_request(format!("`{word}` is no class; known are: {known}"))
        })
    };
    // `@example.com` is what people write for a domain; an address would match nothing.
    let domain = |word: String| match word.trim().trim_start_matches('@') {
        word if word.contains('@') => {
            let detail = format!("`{word}` is no domain; write what stands behind the @");
            Err(Problem::bad_request(detail))
        }
        word => Ok(word.to_string()),
    };
    Ok(ListQuery {
        limit: limit(params.number("limit")?, default, most)?,
        cursor: params.text("cursor")?,
        domain: params.text("domain")?.map(domain).transpose()?,
        class: params.text("class")?.map(class).transpose()?,
        since: params.time("since")?,
        scope: params.scope()?,
    })
}

/// Body of a change by hand; a query may say the same.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ByHand {
    reason: Option<String>,
    scope: Option<String>,
    until: Option<String>,
}

impl ByHand {
    /// Body and query together; what the body says counts more.
    async fn read(http: &Http, uri: &Uri, body: Body, known: &[&str]) -> Result<Self, Problem> {
        let params = Params::of(uri, known)?;
        let body = IncomingBody::new(body).whole(limits::FORM_OCTETS, &http.budget.intake).await?;
        let given: Self = if body.iter().all(u8::is_ascii_whitespace) {
            Self::default()
        } else {
            serde_json::from_slice(&body).map_err(|wrong| {
                let example = r#"{"reason":"asked by phone"}"#;
                Problem::bad_request(format!("the body must be JSON such as {example}: {wrong}"))
            })?
        };
        // Empty is as if it were left out, as in the query.
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Self {
            reason: said(given.reason).or(params.text("reason")?),
            scope: said(given.scope).map(params::scope).transpose()?.or(params.scope()?),
            until: said(given.until).or(params.text("until")?),
        })
    }

    fn reason(&self) -> Result<String, Problem> {
        let reason = self.reason.as_deref().unwrap_or_default().trim();
        if reason.is_empty() {
            let detail = "say why: `?reason=TEXT` or {\"reason\":\"TEXT\"}; it is journalled";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "reason-missing", detail));
        }
        Ok(reason.to_string())
    }

    fn scope(&self) -> String {
        self.scope.as_deref().unwrap_or("*").to_string()
    }

    fn until(&self) -> Result<Option<Timestamp>, Problem> {
        self.until.as_deref().map(|text| params::time("until", text, Direction::Ahead)).transpose()
    }
}

/// `PUT /v1/suppressions/{address}`
pub async fn suppress(
    State(http): State<Arc<Http>>,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let address = params::address(&uri, PREFIX)?;
    let given = ByHand::read(&http, &uri, body, &["reason", "scope", "until"]).await?;
    let (reason, scope, until) = (given.reason()?, given.scope(), given.until()?);
    let suppress = move |service: &dyn crate::service::Service| {
        service.suppress(&address, &scope, &reason, until)
    };
    Ok(super::shared::json(&blocking(&http, suppress).await?))
}

/// `DELETE /v1/suppressions/{address}`
pub async fn release(
    State(http): State<Arc<Http>>,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let address = params::address(&uri, PREFIX)?;
    let given = ByHand::read(&http, &uri, body, &["reason", "scope"]).await?;
    if given.until.is_some() {
        return Err(Problem::bad_request("a release has no end; leave `until` out"));
    }
    let (reason, scope) = (given.reason()?, given.scope());
    let released = blocking(&http, move |service| service.release(&address, &scope, &reason));
    Ok(super::shared::json(&released.await?))
}
