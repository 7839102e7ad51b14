//! Providers: who refuses how much, what they said last, and whether a guard doubts them.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::Value;

use super::health::{guards, number};
use super::list::scope_select;
use super::trends::{add, categories, days, hours, progress};
use crate::classify::Category;
use crate::serve::web::frame::{HtmlPage, Viewer, shell};
use crate::serve::web::snippets::{
    count, event_link, grouped, link, marked, moment, nothing, rows, state, text,
};
use crate::service::trend::{ByCategory, ProviderTrend, Trend};

/// One provider in the list.
struct ProviderLine {
    name: String,
    day: ByCategory,
    month: ByCategory,
}

/// What the list of providers shows.
pub struct Providers {
    lines: Vec<ProviderLine>,
    progress: Markup,
}

impl Providers {
    /// The providers that were counted, those with most refusals first.
    pub fn of(trend: &Trend) -> Self {
        let sum = |provider: &ProviderTrend, from: i64| {
            let mut sum = ByCategory::default();
            for (_, hour) in provider.hours.range(from..) {
                add(&mut sum, hour);
            }
            sum
        };
        let mut lines: Vec<ProviderLine> = trend
            .providers
            .iter()
            .map(|(name, provider)| ProviderLine {
                name: name.clone(),
                day: sum(provider, trend.hour() - 23),
                month: sum(provider, i64::MIN),
            })
            .collect();
        lines.sort_by_key(|line| std::cmp::Reverse(total(&line.month)));
        Self { lines, progress: progress(trend) }
    }
}

fn total(sum: &ByCategory) -> u64 {
    sum.iter().map(|count| u64::from(*count)).sum()
}

/// `/providers`
pub fn providers(viewer: &Viewer, page: &Providers) -> HtmlPage {
    let body = html! {
        h1 { "Providers" }
        p.lead { "Who refused our mail in the last 30 days." }
        (page.progress)
        @if page.lines.is_empty() { (nothing("Nobody refused anything.")) }
        @else { div.card { table.many {
            thead { tr {
                th { "provider" } th.n { "24 hours" } th.n { "30 days" }
                @for category in Category::ALL { th.n { (category.as_str()) } }
            } }
            tbody { @for line in &page.lines { tr {
                th scope="row" { a href=(link("/provider", &[("name", &line.name)])) { (line.name) } }
                td.n data-name="24 hours" { (grouped(total(&line.day))) }
                td.n data-name="30 days" { (grouped(total(&line.month))) }
                @for (category, count) in Category::ALL.iter().zip(line.month) {
                    td.n data-name=(category.as_str()) { (grouped(count.into())) }
                }
            } } }
        } } }
    };
    shell(Some(viewer), "Providers", "", body)
}

/// A rule at a provider, with its newest events.
pub struct RuleLine {
    /// The rule.
    pub rule: String,
    /// Failed recipients in 30 days.
    pub count: u64,
    /// Positions of its newest events.
    pub seqs: Vec<u64>,
    /// Those events, as far as they were found.
    pub events: Vec<Value>,
}

/// What was counted of one provider.
pub struct ProviderOfLate {
    pictures: Markup,
    /// Its rules, the most frequent first.
    pub rules: Vec<RuleLine>,
}

/// Rules that are shown.
const RULES: usize = 20;

impl ProviderOfLate {
    /// Of the provider of this name; without any when it refused nothing.
    pub fn of(trend: &Trend, name: &str) -> Self {
        let none = ProviderTrend::default();
        let provider = trend.providers.get(name).unwrap_or(&none);
        let sum = |from: i64, to: i64| {
            let mut sum = ByCategory::default();
            for (_, hour) in provider.hours.range(from..to) {
                add(&mut sum, hour);
            }
            sum
        };
        let pictures = html! {
            (progress(trend))
            div.charts {
                (categories("Refusals by category, 24 hours", &hours(trend), sum))
                (categories("Refusals by category, 30 days", &days(trend), sum))
            }
        };
        let mut rules: Vec<RuleLine> = provider
            .rules
            .iter()
            .map(|(rule, seen)| RuleLine {
                rule: rule.clone(),
                count: seen.days.values().map(|count| u64::from(*count)).sum(),
                seqs: seen.events.iter().copied().collect(),
                events: Vec::new(),
            })
            .collect();
        rules.sort_by_key(|line| std::cmp::Reverse(line.count));
        rules.truncate(RULES);
        Self { pictures, rules }
    }
}

/// What the page of a provider shows.
pub struct Provider<'a> {
    /// Its name in the table.
    pub name: &'a str,
    /// What was counted.
    pub of_late: ProviderOfLate,
    /// Its guards, those that are over too.
    pub guards: Vec<Value>,
    /// Scopes to choose from, and the chosen one.
    pub scopes: Vec<String>,
    /// See `scopes`.
    pub scope: &'a str,
    /// Rates of it in that scope by day, oldest first.
    pub days: BTreeMap<String, Value>,
}

/// `/provider?name=`
pub fn provider(viewer: &Viewer, page: &Provider<'_>) -> HtmlPage {
    let body = html! {
        h1 { (page.name) }
        (page.of_late.pictures)
        h2 { "Guards" }
        (guards(viewer, &page.guards))
        h2 { "Last said, by rule" }
        @if page.of_late.rules.is_empty() { (nothing("Nothing was refused.")) }
        @for line in &page.of_late.rules { (rule(page.name, line)) }
        h2 { "Rates by day" }
        form.row action="/provider" {
            input type="hidden" name="name" value=(page.name);
            label { "Scope " (scope_select(&page.scopes, Some(page.scope), "default")) }
            button { "Show" }
        }
        (rates(&page.days))
    };
    shell(Some(viewer), "Providers", page.name, body)
}

fn rule(provider: &str, line: &RuleLine) -> Markup {
    html! {
        section.card {
            h3 { code { (line.rule) } " " span.soft { (grouped(line.count)) " in 30 days" } }
            ul.plain { @for event in &line.events {
                @let recipient = said_by(event, provider, &line.rule);
                li {
                    (event_link(count(event, "seq"))) " " (moment(text(event, "received_at"))) ": "
                    b { (text(recipient, "reason")) } " "
                    "“" (marked(text(recipient, "diagnostic"), text(recipient, "matched"))) "”"
                }
            } }
        }
    }
}

/// The recipient of an event that a provider refused by a rule, or the first.
fn said_by<'a>(event: &'a Value, provider: &str, rule: &str) -> &'a Value {
    let verdict = event.get("result").and_then(|result| result.get("verdict"));
    let mut all = rows(event, "recipients").iter().chain(verdict);
    let is = |one: &&Value| text(one, "rule") == rule && text(one, "provider") == provider;
    all.clone().find(is).or_else(|| all.next()).unwrap_or(&Value::Null)
}

fn rates(days: &BTreeMap<String, Value>) -> Markup {
    if days.is_empty() {
        return nothing("No mail was counted for it in this scope.");
    }
    html! {
        div.card { table.many {
            thead { tr {
                th { "day" } th { "state" } th.n { "sent" } th.n { "hard" } th.n { "soft" } th.n { "block" }
                th.n { "complaints" }
            } }
            tbody { @for (day, part) in days.iter().rev() { tr {
                th scope="row" { (day) }
                td data-name="state" { (state(text(part, "state"))) }
                td.n data-name="sent" { (grouped(count(part, "sent"))) }
                @for (name, rate) in [("hard", "hard_rate"), ("soft", "soft_rate"), ("block", "block_rate"), ("complaint", "complaints")] {
                    (number(name, part, name, rate))
                }
            } } }
        } }
    }
}
