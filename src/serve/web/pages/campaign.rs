//! Campaigns: how many of their recipients bounced, which ones, and why.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use serde_json::Value;

use super::events::events;
use super::trends::progress;
use crate::classify::Class;
use crate::serve::web::frame::{HtmlPage, Viewer, shell};
use crate::serve::web::snippets::{grouped, link, nothing};
use crate::service::trend::{CampaignTrend, Trend};

/// One campaign in the list.
struct CampaignLine {
    name: String,
    failures: u64,
    complaints: u64,
    unsubscribes: u64,
    last_hour: i64,
}

/// What the list of campaigns shows.
pub struct Campaigns {
    lines: Vec<CampaignLine>,
    progress: Markup,
}

impl Campaigns {
    /// The campaigns that were counted, the newest first.
    pub fn of(trend: &Trend) -> Self {
        let mut lines: Vec<CampaignLine> = trend
            .campaigns
            .iter()
            .map(|(name, seen)| CampaignLine {
                name: name.clone(),
                failures: failures(seen),
                complaints: seen.complaints.into(),
                unsubscribes: seen.unsubscribes.into(),
                last_hour: seen.last_hour,
            })
            .collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.last_hour));
        Self { lines, progress: progress(trend) }
    }
}

fn failures(seen: &CampaignTrend) -> u64 {
    seen.failures.values().map(|count| u64::from(*count)).sum()
}

/// `/campaigns`
pub fn campaigns(viewer: &Viewer, page: &Campaigns) -> HtmlPage {
    let body = html! {
        h1 { "Campaigns" }
        p.lead { "Campaigns that something came back for in the last 30 days, the newest first." }
        (page.progress)
        @if page.lines.is_empty() {
            (nothing("None. A campaign is known from signed return paths with a tag, or from in-band results."))
        } @else { div.card { table.many {
            thead { tr {
                th { "campaign" } th.n { "failed" } th.n { "complaints" } th.n { "unsubscribed" }
                th { "last (UTC)" }
            } }
            tbody { @for line in &page.lines { tr {
                th scope="row" { a href=(link("/campaign", &[("name", &line.name)])) { (line.name) } }
                td.n data-name="failed" { (grouped(line.failures)) }
                td.n data-name="complaints" { (grouped(line.complaints)) }
                td.n data-name="unsubscribed" { (grouped(line.unsubscribes)) }
                td.when data-name="last" { (super::trends::label(&(line.last_hour, line.last_hour + 1))) }
            } } }
        } } }
    };
    shell(Some(viewer), "Campaigns", "", body)
}

/// What was counted of one campaign.
#[derive(Default)]
pub struct CampaignOfLate {
    progress: Option<Markup>,
    failures: BTreeMap<(Class, String), u32>,
    sums: (u64, u64, u64),
    /// Positions of its newest bounces, newest first.
    pub seqs: Vec<u64>,
}

impl CampaignOfLate {
    /// Of the campaign of this name; nothing when nothing came back for it.
    pub fn of(trend: &Trend, name: &str) -> Self {
        let progress = Some(progress(trend));
        let Some(seen) = trend.campaigns.get(name) else {
            return Self { progress, ..Self::default() };
        };
        Self {
            progress,
            failures: seen.failures.clone(),
            sums: (failures(seen), seen.complaints.into(), seen.unsubscribes.into()),
            seqs: seen.events.iter().copied().collect(),
        }
    }
}

/// What the page of a campaign shows.
pub struct Campaign<'a> {
    /// Its name.
    pub name: &'a str,
    /// What was counted.
    pub of_late: CampaignOfLate,
    /// A page of its bounces, newest first.
    pub events: Vec<Value>,
    /// Where the next page begins, among the positions.
    pub next: Option<usize>,
}

/// `/campaign?name=`
pub fn campaign(viewer: &Viewer, page: &Campaign<'_>) -> HtmlPage {
    let CampaignOfLate { progress, failures, sums, .. } = &page.of_late;
    let next = page.next.map(|next| next.to_string());
    let body = html! {
        h1 { (page.name) }
        @if let Some(progress) = progress { (progress) }
        div.tiles {
            @for (name, number) in [("failed", sums.0), ("complaints", sums.1), ("unsubscribed", sums.2)] {
                div.card.tile { b { (grouped(number)) } (name) }
            }
        }
        h2 { "Class by provider" }
        (matrix(failures))
        h2 { "Who bounced, newest first" }
        p.soft {
            "All of them as "
            a download="campaign.csv" href=(link("/campaign.csv", &[("name", page.name)])) { "CSV" } "."
        }
        (events(&page.events, None))
        @if let Some(next) = &next {
            p { a href=(link("/campaign", &[("name", page.name), ("from", next)])) { "Older" } }
        }
    };
    shell(Some(viewer), "Campaigns", page.name, body)
}

fn matrix(failures: &BTreeMap<(Class, String), u32>) -> Markup {
    if failures.is_empty() {
        return nothing("Nothing failed.");
    }
    let providers: BTreeSet<&str> = failures.keys().map(|(_, name)| name.as_str()).collect();
    let classes: BTreeSet<Class> = failures.keys().map(|(class, _)| *class).collect();
    let sum = |class: Class| {
        failures.iter().filter(|((c, _), _)| *c == class).map(|(_, n)| u64::from(*n)).sum::<u64>()
    };
    html! {
        div.card.scroll tabindex="0" role="region" aria-label="class by provider" { table {
            thead { tr {
                th { "class" } th.n { "all" }
                @for name in &providers { th.n { (if name.is_empty() { "other" } else { name }) } }
            } }
            tbody { @for class in &classes { tr {
                th scope="row" { (class.as_str()) }
                td.n { b { (grouped(sum(*class))) } }
                @for name in &providers {
                    td.n { @match failures.get(&(*class, name.to_string())) {
                        Some(count) => (grouped((*count).into())),
                        None => "·",
                    } }
                }
            } } }
        } }
    }
}
