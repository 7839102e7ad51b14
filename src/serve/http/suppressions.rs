//! `/v1/suppressions` and `/v1/addresses`: ask, list, change by hand, explain.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::Incoming;
use super::params::{self, Params};
use super::{Http, blocking, limit};
use crate::classify::Class;
use crate::mail::Timestamp;
use crate::serve::limits;
use crate::serve::metrics::{LookupResult, Protocol};
use crate::serve::problem::Problem;
use crate::service::{ListQuery, ServiceError};

const PREFIX: &str = "/v1/suppressions/";

/// `GET /v1/suppressions/{address}`: the lookup of senders that speak HTTP. Asked on this thread:
/// a read takes 1-2 µs, a hop to another thread ten times that.
pub async fn one(State(http): State<Arc<Http>>, uri: Uri) -> Result<Response, Problem> {
    let start = Instant::now();
    let params = Params::of(&uri, &["scope"])?;
    let (address, scope) = (params::address(&uri, PREFIX)?, params.text("scope")?);
    let found = http.service.suppression(&address, scope.as_deref());
    http.metrics.lookup(Protocol::Http, result_of(&found), start.elapsed());
    match found? {
        Some(entry) => Ok(super::json(&entry)),
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
    let scope = Params::of(&uri, &["scope"])?.text("scope")?;
    let address = params::address(&uri, "/v1/addresses/")?;
    let explained =
        move |service: &dyn crate::service::Service| service.explain(&address, scope.as_deref());
    let explained = blocking(&http, explained).await?;
    Ok(super::json(&explained))
}

/// `GET /v1/suppressions`
pub async fn list(State(http): State<Arc<Http>>, uri: Uri) -> Result<Response, Problem> {
    let known = ["limit", "cursor", "domain", "class", "since", "scope"];
    let query = list_query(&Params::of(&uri, &known)?)?;
    let page = blocking(&http, move |service| service.list(&query)).await?;
    Ok(super::json(&json!({"entries": page.entries, "next": page.next})))
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
        scope: params.text("scope")?,
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
    async fn read(uri: &Uri, body: Body, known: &[&str]) -> Result<Self, Problem> {
        let params = Params::of(uri, known)?;
        let body = Incoming::new(body).whole(limits::FORM_OCTETS).await?;
        let told: Self = if body.iter().all(u8::is_ascii_whitespace) {
            Self::default()
        } else {
            serde_json::from_slice(&body).map_err(|wrong| {
                let example = r#"{"reason":"asked by phone"}"#;
                Problem::bad_request(format!("the body must be JSON such as {example}: {wrong}"))
            })?
        };
        Ok(Self {
            reason: told.reason.or(params.text("reason")?),
            scope: told.scope.or(params.text("scope")?),
            until: told.until.or(params.text("until")?),
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
        self.scope.as_deref().filter(|scope| !scope.is_empty()).unwrap_or("*").to_string()
    }

    fn until(&self) -> Result<Option<Timestamp>, Problem> {
        self.until.as_deref().map(|text| params::time("until", text)).transpose()
    }
}

/// `PUT /v1/suppressions/{address}`
pub async fn suppress(
    State(http): State<Arc<Http>>,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let address = params::address(&uri, PREFIX)?;
    let told = ByHand::read(&uri, body, &["reason", "scope", "until"]).await?;
    let (reason, scope, until) = (told.reason()?, told.scope(), told.until()?);
    let suppress = move |service: &dyn crate::service::Service| {
        service.suppress(&address, &scope, &reason, until)
    };
    Ok(super::json(&blocking(&http, suppress).await?))
}

/// `DELETE /v1/suppressions/{address}`
pub async fn release(
    State(http): State<Arc<Http>>,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let address = params::address(&uri, PREFIX)?;
    let told = ByHand::read(&uri, body, &["reason", "scope"]).await?;
    if told.until.is_some() {
        return Err(Problem::bad_request("a release has no end; leave `until` out"));
    }
    let (reason, scope) = (told.reason()?, told.scope());
    let released = blocking(&http, move |service| service.release(&address, &scope, &reason));
    Ok(super::json(&released.await?))
}

/// Body of `:check`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    addresses: Vec<String>,
    scope: Option<String>,
}

/// `POST /v1/suppressions:check`
pub async fn check(
    State(http): State<Arc<Http>>,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let start = Instant::now();
    let scope = Params::of(&uri, &["scope"])?.text("scope")?;
    let body = Incoming::new(body).whole(limits::JSON_OCTETS).await?;
    let check: Check = serde_json::from_slice(&body).map_err(|wrong| {
        let example = r#"{"addresses":["a@example.com"]}"#;
        Problem::bad_request(format!("the body must be JSON such as {example}: {wrong}"))
    })?;
    let asked = check.addresses.len();
    if asked > limits::CHECK_ADDRESSES {
        let most = limits::CHECK_ADDRESSES;
        let detail = format!("{asked} addresses; ask for at most {most} at once");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail));
    }
    let scope = check.scope.or(scope).filter(|scope| !scope.is_empty());
    let addresses = check.addresses;
    let hits = blocking(&http, move |service| service.check(&addresses, scope.as_deref())).await;
    let each = start.elapsed() / u32::try_from(asked.max(1)).unwrap_or(u32::MAX);
    let count = |result, times: usize| {
        (0..times).for_each(|_| http.metrics.lookup(Protocol::Http, result, each));
    };
    match hits {
        Ok(hits) => {
            count(LookupResult::Hit, hits.len());
            count(LookupResult::Miss, asked.saturating_sub(hits.len()));
            Ok(super::json(&json!({"entries": hits})))
        }
        Err(problem) => {
            count(LookupResult::Error, asked);
            Err(problem)
        }
    }
}
