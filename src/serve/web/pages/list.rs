//! The suppression list, page by page.

use maud::{Markup, html};
use serde_json::Value;

use crate::classify::Class;
use crate::serve::percent::encode_component;
use crate::serve::web::frame::{HtmlPage, Viewer, shell};
use crate::serve::web::glossary;
use crate::serve::web::snippets::{
    address_link, count, moment, nothing, scope, state, text, until,
};
use crate::service::{ListPage, ListQuery};

/// `/suppressions`. `scopes`: those to choose from.
pub fn suppressions(
    viewer: &Viewer,
    query: &ListQuery,
    scopes: &[String],
    page: &ListPage,
) -> HtmlPage {
    let filter = filter(query);
    let since = query.since.map(|since| since.to_string()).unwrap_or_default();
    let body = html! {
        h1 { "Suppressions" }
        form.row action="/suppressions" {
            label { "Domain " input name="domain" size="18"
                value=(query.domain.as_deref().unwrap_or_default()); }
            label { "Class " select name="class" {
                option value="" { "any" }
                @for class in Class::ALL {
                    option selected[query.class == Some(*class)] { (class.as_str()) }
                }
            } }
            label { "Scope " (scope_select(scopes, query.scope.as_deref(), "any")) }
            label { "Since " input type="date" name="since"
                value=(since.get(..10).unwrap_or_default()); }
            button { "Filter" }
            @if !filter.is_empty() { a href="/suppressions" { "All" } }
        }
        p.soft {
            "Suppressed: mail is refused. Held: mail is paused. These entries as "
            a download="suppressions.csv" href={ "/v1/suppressions:export?format=csv" (filter) } { "CSV" }
            " or "
            a download="suppressions.ndjson" href={ "/v1/suppressions:export?format=ndjson" (filter) } { "NDJSON" }
            "."
        }
        (entry_table(&page.entries))
        p.row {
            @if query.cursor.is_some() {
                a href={ "/suppressions?" (filter.trim_start_matches('&')) } { "First page" }
            }
            @if let Some(next) = &page.next {
                a href={ "/suppressions?cursor=" (encode_component(next)) (filter) } { "Next page" }
            }
        }
    };
    shell(Some(viewer), "Suppressions", "", body)
}

/// A choice of scopes; one that is not among them stays chosen.
pub fn scope_select(scopes: &[String], chosen: Option<&str>, none: &str) -> Markup {
    let chosen = chosen.filter(|chosen| !chosen.is_empty());
    let other = chosen.filter(|chosen| !scopes.iter().any(|scope| scope == chosen));
    html! {
        select name="scope" {
            option value="" { (none) }
            @if let Some(other) = other { option selected { (other) } }
            @for scope in scopes { option selected[chosen == Some(scope)] { (scope) } }
        }
    }
}

/// The filters of a query as they are in a link, each with an `&` before it.
fn filter(query: &ListQuery) -> String {
    let since = query.since.map(|since| since.to_string());
    [
        ("domain", query.domain.as_deref()),
        ("class", query.class.map(|class| class.as_str())),
        ("scope", query.scope.as_deref()),
        ("since", since.as_deref()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
    .map(|(name, value)| format!("&{name}={}", encode_component(value)))
    .collect()
}

fn entry_table(entries: &[Value]) -> Markup {
    if entries.is_empty() {
        return nothing("No entry.");
    }
    html! {
        div.card { table.many {
            thead { tr {
                th { "address" } th { "state" } th { "scope" } th { "why" }
                th { "since (UTC)" } th { "until (UTC)" } th.n { "events" }
            } }
            tbody { @for entry in entries { tr {
                td.who { (address_link(text(entry, "address"))) }
                td data-name="state" { (state(text(entry, "state"))) }
                td data-name="scope" { (scope(text(entry, "scope"))) }
                td data-name="why" {
                    (text(entry, "reason"))
                    div.soft { (glossary::reason(text(entry, "reason"))) }
                }
                td.when data-name="since" { (moment(text(entry, "since"))) }
                td.when data-name="until" { (until(entry)) }
                td.n data-name="events" { (count(entry, "events")) }
            } } }
        } }
    }
}
