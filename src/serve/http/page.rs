//! The operator's pages: fetches what `web` renders. Forms are in `acts`, the log-in in `login`.

pub mod acts;
pub mod export;
pub mod login;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::Value;

use super::listing::Listing;
use super::operations::checks;
use super::params::Params;
use super::sending::days;
use super::shared::{Http, blocking, in_turn};
use super::suppressions::list_query;
use crate::mail::{Address, Timestamp};
use crate::serve::limits;
use crate::serve::problem::Problem;
use crate::serve::web::{self, Flash, HtmlPage, Viewer, link};
use crate::service::search::Search;
use crate::service::trend::{BOUNCES, Trend};
use crate::service::{ListPage, Service, ServiceError};

/// Events on the overview.
const EVENTS: usize = 25;
/// Journal lines that are looked through for bounces while none are counted yet.
const TAIL: u64 = 250;
/// Scopes whose rates are read for one page.
const SCOPES: usize = 50;
/// Bounces of a campaign on one page.
const CAMPAIGN_PAGE: usize = 50;
/// Days of rates.
const DAYS: i64 = 30;

/// Errors of the page are pages.
pub struct Failed(Problem);

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<ServiceError> for Failed {
    fn from(error: ServiceError) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Self(Problem { status, detail, .. }) = self;
        let title = status.canonical_reason().unwrap_or("Error");
        (status, html(web::error(status.as_u16(), title, &detail))).into_response()
    }
}

type PageResult = Result<Response, Failed>;

/// A page with its security headers.
fn html(page: HtmlPage) -> Response {
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

/// What `make` makes of the counts.
fn of_late<T>(service: &dyn Service, make: impl FnOnce(&Trend) -> T) -> Result<T, ServiceError> {
    let (mut make, mut made) = (Some(make), None);
    service.trend(&mut |trend| made = make.take().map(|make| make(trend)))?;
    made.ok_or_else(|| ServiceError::Internal("the counts were not shown".to_string()))
}

/// The events at these positions, as far as they are there.
fn events_at(service: &dyn Service, seqs: &[u64]) -> Result<Vec<Value>, ServiceError> {
    let mut events = Vec::with_capacity(seqs.len());
    for seq in seqs {
        let line = service.events(*seq, 1)?.into_iter().find(|(found, _)| found == seq);
        events.extend(line.and_then(|(_, line)| serde_json::from_str(&line).ok()));
    }
    Ok(events)
}

/// The last bounces, newest first: as counted, or, while nothing is, out of the last lines.
fn bounces(service: &dyn Service, seqs: &[u64], last: u64) -> Result<Vec<Value>, ServiceError> {
    if !seqs.is_empty() {
        return events_at(service, seqs);
    }
    let lines = service.events((last + 1).saturating_sub(TAIL), TAIL as usize)?;
    let events =
        lines.iter().rev().filter_map(|(_, line)| serde_json::from_str::<Value>(line).ok());
    let is_bounce = |event: &Value| {
        let verdict = event.pointer("/result/verdict").is_some_and(Value::is_object);
        verdict || matches!(event["kind"].as_str(), Some("failure" | "delay" | "complaint"))
    };
    Ok(events.filter(is_bounce).take(EVENTS).collect())
}

/// The rates of the scopes over 30 days, in their order, as far as there is time, and how many were
/// left out.
fn rates_of_scopes(service: &dyn Service) -> Result<(Vec<Value>, usize), ServiceError> {
    let (scopes, until) = (service.scopes()?, Instant::now() + limits::RATES_WITHIN);
    let mut rates = Vec::new();
    for scope in scopes.iter().take(SCOPES) {
        if !rates.is_empty() && Instant::now() >= until {
            break;
        }
        rates.push(service.health(Some(scope), None, None)?);
    }
    let more = scopes.len() - rates.len();
    Ok((rates, more))
}

fn is_unhealthy(rates: &Value) -> bool {
    matches!(rates["total"]["state"].as_str(), Some("unhealthy" | "risky" | "critical"))
}

/// `/`
pub async fn overview(
    State(http): State<Arc<Http>>,
    Extension(viewer): Extension<Viewer>,
) -> PageResult {
    // What is broken is on the page; the page itself comes.
    let counts = blocking(&http, |service| service.overview()).await.ok();
    let last = counts.as_ref().map_or(0, |counts| counts.ledger.last_seq);
    let read = in_turn(&http, move |service| {
        let make = |trend: &Trend| {
            let seqs: Vec<u64> = trend.bounces.iter().take(EVENTS).copied().collect();
            (web::OfLate::of(trend), seqs)
        };
        let (of_late, seqs) = of_late(service, make)?;
        let (mut unhealthy, _) = rates_of_scopes(service)?;
        unhealthy.retain(is_unhealthy);
        let bounces = bounces(service, &seqs, last)?;
        let guards = service.guard_history()?;
        Ok(web::OverviewPage { of_late, unhealthy, bounces, guards, ..Default::default() })
    });
    let read = read.await.unwrap_or_default();
    let failing = checks(&http).await.into_iter();
    let failing = failing.filter_map(|(name, finding)| finding.err().map(|words| (name, words)));
    let page = web::OverviewPage { counts, failing: failing.collect(), ..read };
    Ok(html(web::overview(&viewer, &page)))
}

/// `/search?q=`
pub async fn search(
    State(http): State<Arc<Http>>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> PageResult {
    let params = Params::of(&uri, &["q", "before", "after"])?;
    let text = params.text("q")?.unwrap_or_default().trim().to_string();
    let search = Search {
        text: text.clone(),
        before: params.number("before")?,
        after: params.text("after")?,
    };
    let first = search.before.is_none() && search.after.is_none();
    // A whole address has a page of its own, also when it was never heard of.
    let whole = Address::parse(&text).filter(|_| !text.contains(char::is_whitespace));
    if first
        && whole.is_some_and(|address| address.domain().contains('.'))
        && !text.starts_with('<')
    {
        return Ok(Redirect::to(&link("/address", &[("address", &text)])).into_response());
    }
    let asked = text.clone();
    let (found, pages) = in_turn(&http, move |service| {
        let found = service.search(&search)?;
        Ok((found, if first { pages_named(service, &asked)? } else { Vec::new() }))
    })
    .await?;
    let events = found.events.iter().filter_map(|(_, line)| serde_json::from_str(line).ok());
    let events = events.collect();
    let results = web::SearchPage { text: &text, found: &found, events, pages };
    Ok(html(web::search(&viewer, &results)))
}

/// Pages whose name has the text in it: what they are, and where.
fn pages_named(service: &dyn Service, text: &str) -> Result<Vec<(String, String)>, ServiceError> {
    let wanted = text.to_lowercase();
    let is = |name: &&String| !wanted.is_empty() && name.to_lowercase().contains(&wanted);
    let mut pages = of_late(service, |trend| {
        let campaigns = trend.campaigns.keys().filter(is).take(BOUNCES);
        let providers = trend.providers.keys().filter(is).take(BOUNCES);
        campaigns
            .map(|name| (format!("campaign {name}"), link("/campaign", &[("name", name)])))
            .chain(
                providers
                    .map(|name| (format!("provider {name}"), link("/provider", &[("name", name)]))),
            )
            .collect::<Vec<_>>()
    })?;
    let scopes = service.scopes()?;
    pages.extend(
        scopes.iter().filter(is).map(|n| (format!("scope {n}"), link("/scope", &[("scope", n)]))),
    );
    // A domain by itself.
    if Address::parse(&format!("a@{text}")).is_some() && text.contains('.') && !text.contains('@') {
        let to = link("/suppressions", &[("domain", text)]);
        pages.push((format!("suppressed at {text}"), to));
    }
    Ok(pages)
}

/// `/address?address=`
pub async fn address(
    State(http): State<Arc<Http>>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> PageResult {
    let params = Params::of(&uri, &["address", "released", "suppressed"])?;
    let address = params.text("address")?.unwrap_or_default().trim().to_string();
    let notice = match (params.flag("released")?, params.flag("suppressed")?) {
        (true, _) => Some(Flash::Released),
        (_, true) => Some(Flash::Suppressed),
        _ => None,
    };
    let asked = address.clone();
    let read = move |service: &dyn Service| Ok((service.explain(&asked, None)?, service.scopes()?));
    let (explained, scopes) = in_turn(&http, read).await?;
    Ok(html(web::address(&viewer, &address, &explained, &scopes, (Timestamp::now(), notice))))
}

/// `/event?seq=`
pub async fn event(
    State(http): State<Arc<Http>>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> PageResult {
    let params = Params::of(&uri, &["seq", "whole"])?;
    let whole = params.flag("whole")? && viewer.may_write();
    let Some(seq) = params.number("seq")? else {
        return Err(Problem::bad_request("name an event: /event?seq=1").into());
    };
    let read = in_turn(&http, move |service| {
        let gone = || ServiceError::NotFound(format!("there is no event {seq} in the journal"));
        let event = events_at(service, &[seq])?.pop().ok_or_else(gone)?;
        let raw = service.raw(event["id"].as_str().unwrap_or_default())?;
        Ok((event, raw))
    });
    let (event, raw) = read.await?;
    let cut = raw.as_ref().is_some_and(|raw| raw.len() > limits::SHOWN_MESSAGE);
    let raw = raw.as_ref().map(|raw| {
        String::from_utf8_lossy(raw.get(..limits::SHOWN_MESSAGE).unwrap_or(raw))
            .replace("\r\n", "\n")
    });
    let page = web::EventPage { event: &event, raw: raw.as_deref(), cut, whole };
    Ok(html(web::event(&viewer, &page)))
}

/// `/suppressions`
pub async fn suppressions(
    State(http): State<Arc<Http>>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> PageResult {
    let query = list_query(&Params::of(&uri, &["cursor", "domain", "class", "since", "scope"])?)?;
    let scopes = blocking(&http, |service| service.scopes()).await?;
    let mut listing = Listing::page(http, query.clone());
    let mut page = ListPage::default();
    while let Some(entries) = listing.piece(|entries| entries).await? {
        page.entries.extend(entries);
    }
    page.next = listing.next().map(str::to_string);
    Ok(html(web::suppressions(&viewer, &query, &scopes, &page)))
}

/// `/providers`
pub async fn providers(
    State(http): State<Arc<Http>>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> PageResult {
    Params::of(&uri, &[])?;
    let page = in_turn(&http, |service| of_late(service, web::Providers::of)).await?;
    Ok(html(web::providers(&viewer, &page)))
}

/// `/provider?name=&scope=`
pub async fn provider(
    State(http): State<Arc<Http>>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> PageResult {
    let params = Params::of(&uri, &["name", "scope"])?;
    let name = named(&params, "provider")?;
    let (wanted, scope) = (name.clone(), params.text("scope")?);
    let read = in_turn(&http, move |service| {
        let mut of_late = of_late(service, |trend| web::ProviderOfLate::of(trend, &wanted))?;
        for line in &mut of_late.rules {
            line.events = events_at(service, &line.seqs)?;
        }
        let guards = guards_of(&service.guard_history()?, "outage", &wanted);
        let scopes = service.scopes()?;
        let scope = chosen(scope, &scopes);
        let days = days_of(service, &scope, &wanted)?;
        Ok((of_late, guards, scopes, scope, days))
    });
    let (of_late, guards, scopes, scope, days) = read.await?;
    let page = web::Provider { name: &name, of_late, guards, scopes, scope: &scope, days };
    Ok(html(web::provider(&viewer, &page)))
}

/// The name that a page is about.
fn named(params: &Params<'_>, what: &str) -> Result<String, Problem> {
    let missing = || Problem::bad_request(format!("name the {what}: ?name="));
    params.text("name")?.ok_or_else(missing)
}

/// The guards of a kind that are about one name.
fn guards_of(all: &Value, kind: &str, name: &str) -> Vec<Value> {
    let clause = format!("guard/{kind} {name}");
    let all = all.as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter(|guard| guard["clause"] == clause.as_str()).cloned().collect()
}

/// The scope that a page is about: the one that was asked for, else `default`, else the first there is.
fn chosen(scope: Option<String>, scopes: &[String]) -> String {
    let default = || scopes.iter().find(|scope| *scope == "default").or(scopes.first());
    scope.or_else(|| default().cloned()).unwrap_or("default".to_string())
}

/// Rates of a provider by day.
fn days_of(
    service: &dyn Service,
    scope: &str,
    provider: &str,
) -> Result<BTreeMap<String, Value>, ServiceError> {
    let (now, mut days) = (Timestamp::now(), BTreeMap::new());
    for ago in 0..DAYS {
        let day = now.plus_days(-ago);
        let rates = service.health(Some(scope), Some(day), Some(day))?;
        if let Some(part) = rates["by_provider"].get(provider) {
            let name: String = day.to_string().chars().take(10).collect();
            days.insert(name, part.clone());
        }
    }
    Ok(days)
}

/// `/campaigns`
pub async fn campaigns(
    State(http): State<Arc<Http>>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> PageResult {
    Params::of(&uri, &[])?;
    let page = in_turn(&http, |service| of_late(service, web::Campaigns::of)).await?;
    Ok(html(web::campaigns(&viewer, &page)))
}

/// `/campaign?name=&from=`
pub async fn campaign(
    State(http): State<Arc<Http>>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> PageResult {
    let params = Params::of(&uri, &["name", "from"])?;
    let name = named(&params, "campaign")?;
    let from = usize::try_from(params.number("from")?.unwrap_or_default()).unwrap_or(usize::MAX);
    let wanted = name.clone();
    let (of_late, events) = in_turn(&http, move |service| {
        let of_late = of_late(service, |trend| web::CampaignOfLate::of(trend, &wanted))?;
        let seqs: Vec<u64> = of_late.seqs.iter().copied().skip(from).take(CAMPAIGN_PAGE).collect();
        let events = events_at(service, &seqs)?;
        Ok((of_late, events))
    })
    .await?;
    let next = Some(from.saturating_add(CAMPAIGN_PAGE)).filter(|next| *next < of_late.seqs.len());
    let page = web::Campaign { name: &name, of_late, events, next };
    Ok(html(web::campaign(&viewer, &page)))
}

/// `/scopes`
pub async fn scopes(
    State(http): State<Arc<Http>>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> PageResult {
    Params::of(&uri, &[])?;
    let (scopes, more) = in_turn(&http, rates_of_scopes).await?;
    Ok(html(web::scopes(&viewer, &scopes, more)))
}

/// `/scope?scope=`
pub async fn scope(
    State(http): State<Arc<Http>>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> PageResult {
    let (scope, from, to) = days(&uri)?;
    let (rates, guards) = in_turn(&http, move |service| {
        let rates = service.health(scope.as_deref(), from, to)?;
        let name = rates["scope"].as_str().unwrap_or_default();
        let guards = guards_of(&service.guard_history()?, "blast-radius", name);
        Ok((rates, guards))
    })
    .await?;
    Ok(html(web::scope(&viewer, &rates, &guards)))
}

/// `/unknown`
pub async fn unknown(
    State(http): State<Arc<Http>>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> PageResult {
    Params::of(&uri, &[])?;
    let page = in_turn(&http, |service| of_late(service, web::UnknownPage::of)).await?;
    Ok(html(web::unknown(&viewer, &page)))
}

/// `/health`
pub async fn health(
    State(http): State<Arc<Http>>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> PageResult {
    let (scope, from, to) = days(&uri)?;
    // A store that does not answer must not take the finding that says so with it; a question
    // that is wrong is an error as everywhere.
    let scopes = blocking(&http, |service| service.scopes()).await.unwrap_or_default();
    let scope = chosen(scope, &scopes);
    let rates = in_turn(&http, move |service| service.health(Some(&scope), from, to)).await;
    let rates = match rates {
        Err(problem) if problem.status.is_client_error() => return Err(problem.into()),
        rates => rates.ok(),
    };
    let guards = blocking(&http, |service| service.guard_history()).await.unwrap_or_default();
    let page = web::HealthPage { findings: checks(&http).await, guards, scopes, rates };
    Ok(html(web::health(&viewer, &page)))
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

/// Where a form leads when it is done.
fn see(to: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, to.to_string())]).into_response()
}
