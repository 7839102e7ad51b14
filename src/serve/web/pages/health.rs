//! The health page: the checks of the machine, guards that are tripped, and how mail fares.

use maud::{Markup, html};
use serde_json::Value;

use super::list::scope_select;
use crate::serve::web::frame::{HtmlPage, Viewer, shell};
use crate::serve::web::glossary;
use crate::serve::web::snippets::{
    count, grouped, in_scope, link, moment, nothing, rows, scope, state, text,
};

/// What the health page shows.
#[derive(Debug, Default)]
pub struct HealthPage {
    /// Name and finding of each check.
    pub findings: Vec<(String, Result<String, String>)>,
    /// The guards of the last days, as
    /// [`Service::guard_history`](crate::service::Service::guard_history) tells: those without
    /// `ended` are tripped.
    pub guards: Value,
    /// Scopes to choose from.
    pub scopes: Vec<String>,
    /// Rates of a scope, as [`Service::health`](crate::service::Service::health) tells; None when
    /// the service does not answer.
    pub rates: Option<Value>,
}

/// Rows of a table of rates.
const ROWS: usize = 50;

/// `/health`
pub fn health(viewer: &Viewer, page: &HealthPage) -> HtmlPage {
    let chosen = page.rates.as_ref().map_or("", |rates| text(rates, "scope"));
    let body = html! {
        h1 { "Health" }
        div.card { table {
            tbody { @for (name, finding) in &page.findings { tr {
                th scope="row" { (name) }
                @match finding {
                    Ok(words) => { td { span.state.good { "ok" } } td { (words) } }
                    Err(words) => { td { span.state.bad { "failed" } } td { (words) } }
                }
            } } }
        } }
        h2 { "Guards" }
        (guards(viewer, page.guards.as_array().map_or(&[][..], Vec::as_slice)))
        h2 { "Mail by scope" }
        form.row action="/health" {
            label { "Scope " (scope_select(&page.scopes, Some(chosen), "default")) }
            @if let Some(rates) = &page.rates {
                label { "From " input type="date" name="from" value=(day(rates, "from")); }
                label { "To " input type="date" name="to" value=(day(rates, "to")); }
            }
            button { "Show" }
        }
        @if let Some(rates) = &page.rates { (mail(rates)) }
    };
    shell(Some(viewer), "Health", "", body)
}

/// Guards: what trips them, what to do, and what was.
pub fn guards(viewer: &Viewer, all: &[Value]) -> Markup {
    let (over, tripped): (Vec<&Value>, Vec<&Value>) =
        all.iter().partition(|guard| !text(guard, "ended").is_empty());
    html! {
        @if tripped.is_empty() { (nothing("None is tripped.")) }
        @else {
            @for guard in tripped { (open_guard(viewer, guard)) }
            p.soft {
                "What a guard covers is held: mail to it is paused. When the guard ends these "
                "addresses may be mailed again, and another failure on a later day suppresses them."
            }
        }
        @if !over.is_empty() {
            details {
                summary { "Guards that are over: " (over.len()) }
                div.card { table.many {
                    thead { tr { th { "guard" } th { "since (UTC)" } th { "ended (UTC)" } th { "why" } } }
                    tbody { @for guard in over.iter().rev().take(ROWS) { tr {
                        th scope="row" { (text(guard, "clause")) }
                        td.when data-name="since" { (moment(text(guard, "since"))) }
                        td.when data-name="ended" { (moment(text(guard, "ended"))) }
                        td.words data-name="why" { (text(guard, "why")) }
                    } } }
                } }
            }
        }
    }
}

/// A guard that is tripped, with what to do.
fn open_guard(viewer: &Viewer, guard: &Value) -> Markup {
    let clause = text(guard, "clause");
    let (kind, name) = clause.rsplit_once(' ').unwrap_or((clause, ""));
    let field = if kind.ends_with("outage") { "provider" } else { "scope" };
    html! {
        section.card.tripped {
            h3 { (clause) }
            p { (text(guard, "why")) ": " (glossary::clause(clause)) "." }
            dl {
                dt { "since" } dd { (moment(text(guard, "since"))) }
                dt { "covers from" } dd { (moment(text(guard, "covers_from"))) }
                dt { "ends when calm" } dd { (moment(text(guard, "calm_at"))) }
                dt { "what to do" }
                dd {
                    @if field == "provider" {
                        "Look at "
                        a href=(link("/provider", &[("name", name)])) { "what " (name) " said" }
                        ". If it is their trouble, wait: the guard ends by itself. If these mailboxes "
                        "are truly gone, end the guard."
                    } @else {
                        "See in "
                        a href=(link("/scope", &[("scope", name)])) { "the scope " (name) }
                        " whether an old list was mailed. If so, end the guard. If not, wait."
                    }
                }
            }
            @if viewer.may_admin() {
                form.row method="post" action="/guards/release" {
                    (viewer.csrf_field())
                    input type="hidden" name=(field) value=(name);
                    label.wide { "Why end it? " input name="reason" required maxlength="500"; }
                    button { "End this guard" }
                }
            } @else {
                p.soft { "Ending it needs a token of the role admin." }
            }
        }
    }
}

/// Rates of one scope.
pub fn mail(rates: &Value) -> Markup {
    let total = rates.get("total").cloned().unwrap_or_default();
    html! {
        h2 {
            "Mail in " (in_scope(text(rates, "scope"))) ", " (day(rates, "from")) " to "
            (day(rates, "to"))
        }
        p.soft {
            "Percentages are of mail that was reported as sent (complaints: as delivered) by "
            code { "POST /v1/events" } "; without such reports, or with too few, the state is unknown."
        }
        @for words in crossed(rates) { p.note.wait { (words) } }
        (table("", vec![("all", &total)], None))
        (table("By campaign", parts(rates, "by_campaign"), Some(("/campaign", "name"))))
        (table("By provider", parts(rates, "by_provider"), Some(("/provider", "name"))))
        (table("By day", parts(rates, "by_day"), None))
    }
}

/// The day of a moment.
fn day<'a>(rates: &'a Value, name: &str) -> &'a str {
    text(rates, name).get(..10).unwrap_or_default()
}

/// Which rate of all mail crossed which threshold, a sentence for each.
pub fn crossed(rates: &Value) -> Vec<String> {
    let total = rates.get("total").cloned().unwrap_or_default();
    let steps = |name: &str| rates.get("thresholds").map_or(&[][..], |steps| rows(steps, name));
    let words = ["unhealthy", "risky", "critical"];
    let mut found = Vec::new();
    for (name, rate, of) in
        [("bounces", "bounces", "sent"), ("complaints", "complaints", "delivered")]
    {
        let Some(rate) = total.get(rate) else { continue };
        let state = text(rate, "state");
        let Some(place) = words.iter().position(|word| *word == state) else { continue };
        let percent = rate.get("percent").and_then(Value::as_f64).unwrap_or_default();
        let step = steps(name).get(place).and_then(Value::as_f64).unwrap_or_default();
        found.push(format!(
            "{name} are {percent:.2} % of {of} ({} of {}); {state} begins above {step} %",
            grouped(count(rate, "count")),
            grouped(count(rate, "of")),
        ));
    }
    found
}

/// The parts of one kind: days newest first, the others largest first; names decide between equals.
fn parts<'a>(rates: &'a Value, name: &str) -> Vec<(&'a str, &'a Value)> {
    let parts = rates.get(name).and_then(Value::as_object).into_iter().flatten();
    let mut parts: Vec<(&str, &Value)> = parts.map(|(key, part)| (key.as_str(), part)).collect();
    match name {
        "by_day" => parts.reverse(),
        _ => parts.sort_by_key(|(_, part)| std::cmp::Reverse(volume(part))),
    }
    parts
}

fn volume(part: &Value) -> u64 {
    ["sent", "hard", "soft", "block", "complaint"].iter().map(|name| count(part, name)).sum()
}

/// A table of rates; `to`: the page of a part, and its parameter.
fn table(title: &str, parts: Vec<(&str, &Value)>, to: Option<(&str, &str)>) -> Markup {
    let more = parts.len().saturating_sub(ROWS);
    html! {
        @if !parts.is_empty() {
            @if !title.is_empty() { h3 { (title) } }
            div.card {
                table.many {
                    thead { tr {
                        td {} th { "state" }
                        @for name in ["sent", "delivered", "hard", "soft", "block", "complaints", "unsubscribed"] {
                            th.n { (name) }
                        }
                    } }
                    tbody { @for (name, part) in parts.into_iter().take(ROWS) { tr {
                        th scope="row" {
                            @match (name, to) {
                                ("", _) => "(none)",
                                (name, Some((path, field))) => a href=(link(path, &[(field, name)])) { (name) },
                                (name, None) => (name),
                            }
                        }
                        td data-name="state" { (state(text(part, "state"))) }
                        (number("sent", part, "sent", ""))
                        (number("delivered", part, "delivered", ""))
                        (number("hard", part, "hard", "hard_rate"))
                        (number("soft", part, "soft", "soft_rate"))
                        (number("block", part, "block", "block_rate"))
                        (number("complaints", part, "complaint", "complaints"))
                        (number("unsubscribed", part, "unsubscribe", ""))
                    } } }
                }
                @if more > 0 { p.soft { "and " (more) " more in " code { "GET /v1/health" } } }
            }
        }
    }
}

/// A number with its rate, where there is one.
pub(super) fn number(name: &str, part: &Value, figure: &str, rate: &str) -> Markup {
    let percent = part.get(rate).and_then(|rate| rate.get("percent")?.as_f64());
    html! {
        td.n data-name=(name) {
            (grouped(count(part, figure)))
            @if let Some(percent) = percent { " " span.soft { (format!("{percent:.1} %")) } }
        }
    }
}

/// A scope with its state, as a link, for lists.
pub fn scope_link(name: &str) -> Markup {
    html! { a href=(link("/scope", &[("scope", name)])) { (scope(name)) } }
}
