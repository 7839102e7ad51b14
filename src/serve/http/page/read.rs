//! What the pages read from the service.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use crate::mail::{Address, Timestamp};
use crate::serve::limits;
use crate::serve::web::link;
use crate::service::trend::{BOUNCES, Trend};
use crate::service::{Service, ServiceError};

/// Events on the overview.
pub const EVENTS: usize = 25;
/// Journal lines that are looked through for bounces while none are counted yet.
const TAIL: u64 = 250;
/// Scopes whose rates are read for one page.
const SCOPES: usize = 50;
/// Days of rates.
const DAYS: i64 = 30;

/// What `make` makes of the counts.
pub fn of_late<T>(
    service: &dyn Service,
    make: impl FnOnce(&Trend) -> T,
) -> Result<T, ServiceError> {
    let (mut make, mut made) = (Some(make), None);
    service.trend(&mut |trend| made = make.take().map(|make| make(trend)))?;
    made.ok_or_else(|| ServiceError::Internal("the counts were not shown".to_string()))
}

/// The events at these positions, as far as they are there.
pub fn events_at(service: &dyn Service, seqs: &[u64]) -> Result<Vec<Value>, ServiceError> {
    let mut events = Vec::with_capacity(seqs.len());
    for seq in seqs {
        let line = service.events(*seq, 1)?.into_iter().find(|(found, _)| found == seq);
        events.extend(line.and_then(|(_, line)| serde_json::from_str(&line).ok()));
    }
    Ok(events)
}

/// The last bounces, newest first: as counted, or, while nothing is, out of the last lines.
pub fn bounces(service: &dyn Service, seqs: &[u64], last: u64) -> Result<Vec<Value>, ServiceError> {
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
pub fn rates_of_scopes(service: &dyn Service) -> Result<(Vec<Value>, usize), ServiceError> {
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

pub fn is_unhealthy(rates: &Value) -> bool {
    matches!(rates["total"]["state"].as_str(), Some("unhealthy" | "risky" | "critical"))
}

/// Pages whose name has the text in it: what they are, and where.
pub fn pages_named(
    service: &dyn Service,
    text: &str,
) -> Result<Vec<(String, String)>, ServiceError> {
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

/// The guards of a kind that are about one name.
pub fn guards_of(all: &Value, kind: &str, name: &str) -> Vec<Value> {
    let clause = format!("guard/{kind} {name}");
    let all = all.as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter(|guard| guard["clause"] == clause.as_str()).cloned().collect()
}

/// The scope that a page is about: the one that was asked for, else `default`, else the first there
/// is.
pub fn chosen(scope: Option<String>, scopes: &[String]) -> String {
    let default = || scopes.iter().find(|scope| *scope == "default").or(scopes.first());
    scope.or_else(|| default().cloned()).unwrap_or("default".to_string())
}

/// Rates of a provider by day.
pub fn days_of(
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
