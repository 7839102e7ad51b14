//! The routes for sending systems: `POST /v1/events` (in-band results), `POST /v1/verp`
//! (return paths), `GET /v1/health` and `GET /v1/guards`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::body::{IncomingBody, Whole};
use super::params::Params;
use super::shared::{
    Http, apart, blocking, from_json, json as json_answer, nothing_done, read_json,
};
use crate::mail::Timestamp;
use crate::serve::limits;
use crate::serve::problem::Problem;
use crate::service::{InBand, ServiceError};

const EXAMPLE: &str = r#"{"outcome":"failed","address":"user@example.com","message_id":"<1@example.com>","reply":"550 5.1.1 no such user"}"#;

/// Takes one result, an array of them, or one a line.
pub async fn results(
    State(http): State<Arc<Http>>,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let body = json_body(&http, &uri, body).await?;
    let wrong = |why: serde_json::Error| {
        Problem::bad_request(format!("the body must be results such as {EXAMPLE}: {why}"))
    };
    let (results, _share) = apart(&http, body, read_results).await?;
    let results = results.map_err(wrong)?;
    if results.is_empty() {
        return Err(Problem::bad_request(format!(
            "the body is empty; send results such as {EXAMPLE}"
        )));
    }
    let outcome = blocking(&http, move |service| service.results(results)).await?;
    let refused: Vec<_> =
        outcome.refused.iter().map(|(place, why)| json!({"place": place, "why": why})).collect();
    let answer = json!({"stored": outcome.stored, "refused": refused});
    let nothing = outcome.stored == 0 && !refused.is_empty();
    Ok(if nothing { nothing_done(&answer) } else { json_answer(&answer) })
}

/// The body of a route that has no parameters.
async fn json_body(http: &Http, uri: &Uri, body: Body) -> Result<Whole, Problem> {
    Params::of(uri, &[])?;
    IncomingBody::new(body).whole(limits::JSON_OCTETS, &http.budget.intake).await
}

fn read_results(body: &[u8]) -> serde_json::Result<Vec<InBand>> {
    if body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[') {
        return serde_json::from_slice(body);
    }
    serde_json::Deserializer::from_slice(body).into_iter().collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mint {
    recipient: Option<String>,
    recipients: Option<Vec<String>>,
    tag: Option<String>,
    domain: Option<String>,
}

/// Mints return paths for one recipient or many.
pub async fn mint(
    State(http): State<Arc<Http>>,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let body = json_body(&http, &uri, body).await?;
    let (mint, _share) = from_json::<Mint>(&http, body).await?.map_err(|why| {
        let example = r#"{"recipient":"user@example.com","tag":"news.2026-11","domain":"bounce.example.com"}"#;
        Problem::bad_request(format!("the body must be such as {example}: {why}"))
    })?;
    let single = mint.recipients.is_none();
    let recipients =
        mint.recipients.or_else(|| mint.recipient.map(|r| vec![r])).unwrap_or_default();
    if recipients.is_empty() || recipients.len() > limits::CHECK_ADDRESSES {
        let most = limits::CHECK_ADDRESSES;
        return Err(Problem::bad_request(format!(
            "name a `recipient`, or 1 to {most} `recipients`"
        )));
    }
    read_json(&http, move |service| {
        let mint = |recipient: &String| {
            let path = service.mint(recipient, mint.tag.as_deref(), mint.domain.as_deref())?;
            Ok(json!({"recipient": recipient, "return_path": path}))
        };
        let minted: Result<Vec<_>, ServiceError> = recipients.iter().map(mint).collect();
        let mut minted = minted?;
        Ok(match minted.pop() {
            Some(only) if single => only,
            last => {
                minted.extend(last);
                json!({"minted": minted})
            }
        })
    })
    .await
}

/// A scope, the first and the last day.
type Days = (Option<String>, Option<Timestamp>, Option<Timestamp>);

/// Which days of which scope a question about health means.
pub fn days(uri: &Uri) -> Result<Days, Problem> {
    let params = Params::of(uri, &["scope", "from", "to"])?;
    let (from, to) = (params.time("from")?, params.time("to")?);
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(Problem::bad_request("`from` is later than `to`; swap the two"));
    }
    Ok((params.scope()?, from, to))
}

/// Rates with their denominators.
pub async fn health(State(http): State<Arc<Http>>, uri: Uri) -> Result<Response, Problem> {
    let (scope, from, to) = days(&uri)?;
    read_json(&http, move |service| service.health(scope.as_deref(), from, to)).await
}

/// Guards that are tripped.
pub async fn guards(State(http): State<Arc<Http>>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri, &[])?;
    read_json(&http, |service| Ok(json!({"guards": service.guards()?}))).await
}

/// What the rules on trial say otherwise.
pub async fn shadow(State(http): State<Arc<Http>>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri, &[])?;
    read_json(&http, |service| service.shadow()).await
}
