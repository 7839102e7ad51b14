//! The operator's page: fetches what `web` renders, and takes its one form.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::body::Incoming;
use super::listing::Listing;
use super::operations::checks;
use super::params::Params;
use super::sending::days;
use super::shared::{Http, blocking, in_turn};
use super::suppressions::list_query;
use crate::serve::problem::Problem;
use crate::serve::web::{self, Flash, Html};
use crate::serve::{limits, percent};
use crate::service::ListPage;

/// Events on the overview.
const EVENTS: u64 = 25;

/// Errors of the page are pages.
pub struct Failed(Problem);

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Self(Problem { status, detail, .. }) = self;
        let title = status.canonical_reason().unwrap_or("Error");
        (status, html(web::error(status.as_u16(), title, &detail))).into_response()
    }
}

/// A page with its security headers.
fn html(page: Html) -> Response {
    let fixed = |value: &'static str| HeaderValue::from_static(value);
    let headers = [
        (header::CONTENT_TYPE, fixed("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, fixed(web::CONTENT_SECURITY_POLICY)),
        // `no-referrer` would turn the Origin of our own form into `null`.
        (header::REFERRER_POLICY, fixed("same-origin")),
        (header::CACHE_CONTROL, fixed("no-store")),
        (header::X_FRAME_OPTIONS, fixed("DENY")),
    ];
    (headers, page.into_string()).into_response()
}

/// `/`
pub async fn overview(State(http): State<Arc<Http>>) -> Result<Response, Failed> {
    let counts = blocking(&http, |service| service.overview()).await.ok();
    let last = counts.as_ref().map_or(0, |counts| counts.ledger.last_seq);
    let from = (last + 1).saturating_sub(EVENTS);
    // What is broken is on the page; the page itself comes.
    let lines = in_turn(&http, move |service| service.events(from, EVENTS as usize)).await;
    let lines = lines.unwrap_or_default();
    let events = lines.iter().rev().filter_map(|(_, line)| serde_json::from_str(line).ok());
    let failing = checks(&http).await.into_iter();
    let failing = failing.filter_map(|(name, finding)| finding.err().map(|words| (name, words)));
    Ok(html(web::overview(&web::Overview {
        counts,
        classes: http.metrics.verdicts_by_class(),
        events: events.collect(),
        failing: failing.collect(),
    })))
}

/// `/address?address=`
pub async fn address(State(http): State<Arc<Http>>, uri: Uri) -> Result<Response, Failed> {
    let params = Params::of(&uri, &["address", "released"])?;
    let address = params.text("address")?.unwrap_or_default().trim().to_string();
    let notice = params.flag("released")?.then_some(Flash::Released);
    let asked = address.clone();
    let explained = in_turn(&http, move |service| service.explain(&asked, None)).await?;
    Ok(html(web::address(&address, &explained, notice)))
}

/// `POST /address/release`. A form needs no preflight, so unlike the API it wants a browser's
/// word that it comes from our own page.
pub async fn release(
    State(http): State<Arc<Http>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failed> {
    if !headers.contains_key("sec-fetch-site") && !headers.contains_key(header::ORIGIN) {
        let detail = "this form is for browsers; programs use DELETE /v1/suppressions/{address}";
        return Err(Problem::new(StatusCode::FORBIDDEN, "cross-site", detail).into());
    }
    let body = Incoming::new(body).whole(limits::FORM_OCTETS, &http.budget.intake).await?;
    let body = String::from_utf8(body.to_vec())
        .map_err(|_| Problem::bad_request("the form is not UTF-8; use the form on the page"))?;
    let form = Params::parse(&body, &["address", "scope", "reason"])?;
    let field = |name: &str| form.text(name).map(Option::unwrap_or_default);
    let (address, scope, reason) = (field("address")?, field("scope")?, field("reason")?);
    if reason.trim().is_empty() {
        return Err(Problem::bad_request("say why; the reason is journalled").into());
    }
    let scope = if scope.is_empty() { "*".to_string() } else { scope };
    let to = format!("/address?address={}&released", percent::encode_component(&address));
    blocking(&http, move |service| service.release(&address, &scope, reason.trim())).await?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response())
}

/// `/suppressions`
pub async fn suppressions(State(http): State<Arc<Http>>, uri: Uri) -> Result<Response, Failed> {
    let query = list_query(&Params::of(&uri, &["cursor", "domain", "class", "since", "scope"])?)?;
    let mut listing = Listing::page(http, query.clone());
    let mut page = ListPage::default();
    while let Some(entries) = listing.piece(|entries| entries).await? {
        page.entries.extend(entries);
    }
    page.next = listing.next().map(str::to_string);
    Ok(html(web::suppressions(&query, &page)))
}

/// `/health`
pub async fn health(State(http): State<Arc<Http>>, uri: Uri) -> Result<Response, Failed> {
    let (scope, from, to) = days(&uri)?;
    // A store that does not answer must not take the finding that says so with it; a question
    // that is wrong is an error as everywhere.
    let rates = in_turn(&http, move |service| service.health(scope.as_deref(), from, to)).await;
    let rates = match rates {
        Err(problem) if problem.status.is_client_error() => return Err(problem.into()),
        rates => rates.ok(),
    };
    let guards = blocking(&http, |service| service.guards()).await.unwrap_or_default();
    Ok(html(web::health(&web::Health { findings: checks(&http).await, guards, rates })))
}

/// What is nowhere: a page for those who want one.
pub fn nowhere(headers: &HeaderMap, problem: Problem) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    match accept.is_some_and(|accept| accept.contains("text/html")) {
        true => Failed(problem).into_response(),
        false => problem.into_response(),
    }
}

/// `/style.css`
pub async fn style() -> Response {
    asset("text/css; charset=utf-8", web::STYLE)
}

/// `/icon.svg`
pub async fn icon() -> Response {
    asset("image/svg+xml", web::ICON)
}

fn asset(content_type: &'static str, content: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "max-age=3600")];
    (headers, content).into_response()
}
