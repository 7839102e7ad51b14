//! The results of a search.

use maud::html;
use serde_json::Value;

use super::events::events;
use crate::serve::web::frame::{HtmlPage, Viewer, shell};
use crate::serve::web::snippets::{address_link, at_or_none, link, state};
use crate::service::search::SearchFound;

/// What the page of a search shows.
pub struct SearchPage<'a> {
    /// What was looked for.
    pub text: &'a str,
    /// What was found.
    pub found: &'a SearchFound,
    /// The events of it, as JSON.
    pub events: Vec<Value>,
    /// Other pages of that name: what, and where.
    pub pages: Vec<(String, String)>,
}

/// `/search?q=`
pub fn search(viewer: &Viewer, page: &SearchPage<'_>) -> HtmlPage {
    let SearchPage { text, found, events: lines, pages } = page;
    let nothing = found.addresses.is_empty() && lines.is_empty() && pages.is_empty();
    let since = found.since.map(|since| since.to_string()).unwrap_or_default();
    let older = found.older.map(|older| older.to_string());
    let body = html! {
        h1 { "Search" }
        @if nothing {
            p.note.wait role="status" { "Nothing found for “" (text) "”." }
            p {
                "Look for a whole or a part of an address, a domain, the id of an event (it stands in "
                "our reply to the message), the Message-ID of a mail, or a campaign. Two characters are "
                "the least."
            }
        } @else {
            p.lead role="status" { "What has “" (text) "” in it." }
        }
        @if !pages.is_empty() {
            div.card { ul.plain { @for (name, to) in pages { li { a href=(to) { (name) } } } } }
        }
        @if !found.addresses.is_empty() {
            h2 { "Addresses" }
            div.card { ul.plain { @for (address, standing) in &found.addresses {
                li { (address_link(address)) " " (state(standing)) }
            } } }
        }
        @if let Some(more) = &found.more {
            p { a href=(link("/search", &[("q", text), ("after", more)])) { "Look at further addresses" } }
        }
        @if !lines.is_empty() { h2 { "Events, newest first" } (events(lines, None)) }
        @if let Some(older) = &older {
            p {
                "Looked at events back to " (at_or_none(&since)) ". "
                a href=(link("/search", &[("q", text), ("before", older)])) { "Look further back" }
            }
        }
    };
    shell(Some(viewer), "Search", text, body)
}
