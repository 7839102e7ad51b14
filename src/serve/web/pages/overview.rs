//! The overview: what needs somebody now, how mail fared lately, and what came back last.

use maud::{Markup, html};
use serde_json::Value;

use super::events::events;
use super::health::{crossed, guards, scope_link};
use super::trends::{pictures, progress};
use super::unknown::{Rising, rising};
use crate::serve::web::frame::{HtmlPage, Viewer, shell};
use crate::serve::web::glossary;
use crate::serve::web::snippets::{grouped, state, text};
use crate::service;
use crate::service::trend::Hour;

/// What the overview shows.
#[derive(Default)]
pub struct OverviewPage {
    /// Counts, sizes and guards; None when the service cannot tell now.
    pub counts: Option<service::Overview>,
    /// The guards of the last days, as
    /// [`Service::guard_history`](crate::service::Service::guard_history) tells.
    pub guards: Value,
    /// Health checks that fail.
    pub failing: Vec<(String, String)>,
    /// What was counted, made ready.
    pub of_late: OfLate,
    /// Rates of the scopes that are not healthy.
    pub unhealthy: Vec<Value>,
    /// The last bounces, newest first.
    pub bounces: Vec<Value>,
}

/// What the overview takes of the counts.
#[derive(Default)]
pub struct OfLate {
    pictures: Option<Markup>,
    /// None until all of it is counted.
    day: Option<Hour>,
    rising: Vec<Rising>,
}

impl OfLate {
    /// The pictures and sums of what was counted.
    pub fn of(trend: &service::trend::Trend) -> Self {
        let pictures = html! { (progress(trend)) (pictures(trend)) };
        let mut rising = rising(trend);
        rising.retain(Rising::rises);
        rising.truncate(WORDINGS);
        let day = trend.is_complete().then(|| trend.since(trend.hour() - 23));
        Self { pictures: Some(pictures), day, rising }
    }
}

/// Wordings on the overview.
const WORDINGS: usize = 5;

/// `/`
pub fn overview(viewer: &Viewer, page: &OverviewPage) -> HtmlPage {
    let of_late = &page.of_late;
    let troubles = page.counts.iter().flat_map(|counts| &counts.ledger.troubles);
    let tripped = page.counts.as_ref().map_or(&[][..], |counts| &counts.guards);
    let body = html! {
        h1 { "Overview" }
        @for (name, finding) in &page.failing { p.note.bad { b { (name) } ": " (finding) } }
        @if let Some(doubt) = page.counts.iter().find_map(|counts| counts.clock.as_ref()) {
            p.note.wait { b { "Clock" } ": " (glossary::times(doubt)) }
        }
        @for trouble in troubles { p.note.bad { b { "Stored data" } ": " (trouble.text) } }
        @match &page.counts {
            None => {
                p.note.bad { "The store does not answer; see " a href="/health" { "Health" } "." }
            }
            Some(counts) => (tiles(counts, of_late.day.as_ref())),
        }
        @if !tripped.is_empty() {
            h2 { "A guard is tripped" }
            @match page.guards.as_array() {
                Some(all) => (guards(viewer, all)),
                None => { @for guard in tripped { p.note.wait { (glossary::times(guard)) } } }
            }
        }
        (unhealthy(&page.unhealthy))
        @if let Some(pictures) = &of_late.pictures { h2 { "Of late" } (pictures) }
        @if !of_late.rising.is_empty() {
            h2 { "Unknown wordings that rise" }
            div.card {
                ul { @for one in &of_late.rising { li {
                    b { (grouped(one.day)) } " in 24 hours, " (grouped(one.usual())) " a day in the week before: "
                    a href="/unknown" { (one.wording) }
                } } }
            }
        }
        h2 { "Last bounces" }
        (events(&page.bounces, None))
    };
    shell(Some(viewer), "Overview", "", body)
}

fn tiles(counts: &service::Overview, day: Option<&Hour>) -> Markup {
    let ledger = &counts.ledger;
    html! {
        div.tiles {
            (tile("addresses suppressed", counts.suppressed, day.map(|day| day.suppressed)))
            (tile("addresses held", counts.held, day.map(|day| day.held)))
            (tile("events in all", ledger.last_seq, None))
            (tile("MiB of journal", ledger.journal_bytes >> 20, None))
            (tile("MiB free on disk", ledger.free_bytes >> 20, None))
        }
        @if !counts.guards.is_empty() {
            p.soft {
                "The numbers say what was decided at the time; what a guard holds in hindsight is "
                "still among the suppressed."
            }
        }
    }
}

/// A number with its change within a day.
fn tile(name: &str, number: u64, change: Option<(u32, u32)>) -> Markup {
    html! {
        div.card.tile {
            b { (grouped(number)) }
            (name)
            @if let Some((more, less)) = change {
                div.soft { "24 h: +" (grouped(more.into())) " −" (grouped(less.into())) }
            }
        }
    }
}

fn unhealthy(scopes: &[Value]) -> Markup {
    html! {
        @if !scopes.is_empty() {
            h2 { "Scopes that are not healthy" }
            div.card { dl { @for rates in scopes {
                dt {
                    (scope_link(text(rates, "scope"))) " "
                    (state(rates.get("total").map_or("", |total| text(total, "state"))))
                }
                dd { @for words in crossed(rates) { div { (words) } } }
            } } }
        }
    }
}
