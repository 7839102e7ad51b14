//! The operator's pages. Each has a handler here, which reads what it needs (`read`) and has `web`
//! render it. Forms are in `forms`, the log-in in `login`, headers and errors in `response`.

pub mod export;
pub mod forms;
pub mod login;
mod read;
mod response;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Redirect};

use super::listing::Listing;
use super::operations::checks;
use super::params::Params;
use super::sending::days;
use super::shared::{Http, blocking, in_turn};
use super::suppressions::list_query;
use crate::mail::{Address, Timestamp};
use crate::serve::limits;
use crate::serve::problem::Problem;
use crate::serve::web::{self, Flash, Viewer, link};
use crate::service::search::Search;
use crate::service::trend::Trend;
use crate::service::{ListPage, Service, ServiceError};
use read::{
    EVENTS, bounces, chosen, days_of, events_at, guards_of, is_unhealthy, of_late, pages_named,
    rates_of_scopes,
};
pub use response::{Failed, icon, nowhere, style};
use response::{PageResult, html, named, see};

/// Bounces of a campaign on one page.
const CAMPAIGN_PAGE: usize = 50;

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
    let wanted = text.clone();
    let (found, pages) = in_turn(&http, move |service| {
        let found = service.search(&search)?;
        Ok((found, if first { pages_named(service, &wanted)? } else { Vec::new() }))
    })
    .await?;
    let events = found.events.iter().filter_map(|(_, line)| serde_json::from_str(line).ok());
    let events = events.collect();
    let results = web::SearchPage { text: &text, found: &found, events, pages };
    Ok(html(web::search(&viewer, &results)))
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
    let wanted = address.clone();
    let read =
        move |service: &dyn Service| Ok((service.explain(&wanted, None)?, service.scopes()?));
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
    let (wanted, scope) = (name.clone(), params.scope()?);
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
