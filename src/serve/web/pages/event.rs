//! One event: what it says about which address, what it decided, and the message if it was kept.

use maud::{Markup, html};
use serde_json::Value;

use super::events::{decided, kind_of, origin};
use crate::mail::redacted_text;
use crate::serve::web::frame::{HtmlPage, Viewer, shell};
use crate::serve::web::glossary;
use crate::serve::web::snippets::{address_link, count, link, marked, moment, nothing, rows, text};

/// What the page of an event shows.
pub struct EventPage<'a> {
    /// The event.
    pub event: &'a Value,
    /// Its message, as far as it is shown; None when it was not kept.
    pub raw: Option<&'a str>,
    /// The message is longer than what is shown.
    pub cut: bool,
    /// With the addresses in it.
    pub whole: bool,
}

/// `/event?seq=`
pub fn event(viewer: &Viewer, page: &EventPage<'_>) -> HtmlPage {
    let event = page.event;
    let verdict = event.get("result").and_then(|result| result.get("verdict"));
    let recipients: Vec<&Value> =
        rows(event, "recipients").iter().chain(verdict.filter(|one| one.is_object())).collect();
    let seq = count(event, "seq");
    let act = event.get("act").filter(|act| act.is_object());
    let body = html! {
        h1 { "Event " (seq) }
        div.card { dl {
            (line("id", text(event, "id")))
            dt { "when" } dd { (moment(text(event, "received_at"))) }
            (line("kind", kind_of(event)))
            (line("format", text(event, "format")))
            (line("from client", text(event, "peer")))
            (line("tied to us by", text(event, "attribution")))
            @if let Some(act) = act {
                dt { "address" } dd { (address_link(text(act, "address"))) }
                (line("why", text(act, "reason")))
            }
        } (origin(event)) }
        @for one in &recipients { (recipient(one)) }
        @let decisions = rows(event, "decisions");
        @if !decisions.is_empty() {
            h2 { "What it decided" }
            div.card { @for decision in decisions {
                (address_link(text(decision, "address"))) (decided(decision))
            } }
        }
        h2 { "The message" }
        (message(viewer, page, &recipients))
        details {
            summary { "The whole event" }
            div.card { pre { (serde_json::to_string_pretty(event).unwrap_or_default()) } }
        }
    };
    shell(Some(viewer), "Event", text(event, "id"), body)
}

fn line(name: &str, value: &str) -> Markup {
    html! { @if !value.is_empty() { dt { (name) } dd { (value) } } }
}

fn recipient(one: &Value) -> Markup {
    let reason = text(one, "reason");
    html! {
        section.card {
            h2 { (address_link(text(one, "address"))) }
            dl {
                @if !reason.is_empty() { dt { "why" } dd { b { (reason) } ": " (glossary::reason(reason)) } }
                (line("class", text(one, "class")))
                (line("code", text(one, "status")))
                (line("provider", text(one, "provider")))
                (line("refused by", text(one, "remote_mta")))
                @if !text(one, "rule").is_empty() {
                    dt { "rule" } dd { code { (text(one, "rule")) } " " span.soft { (text(one, "rule_at")) } }
                }
                // An automatic answer quotes nobody.
                @if !text(one, "diagnostic").is_empty() {
                    dt { "said" } dd { "“" (marked(text(one, "diagnostic"), text(one, "matched"))) "”" }
                }
            }
        }
    }
}

/// The text of the message with the matched words marked.
fn message(viewer: &Viewer, page: &EventPage<'_>, recipients: &[&Value]) -> Markup {
    let Some(raw) = page.raw else {
        return nothing(
            "It is not kept. journal.raw says which messages are: none, unrecognised (the default) or all.",
        );
    };
    let matched = recipients.iter().map(|one| text(one, "matched")).find(|words| {
        !words.is_empty() && raw.to_ascii_lowercase().contains(&words.to_ascii_lowercase())
    });
    let shown = if page.whole { raw.to_string() } else { redacted_text(raw) };
    let seq = count(page.event, "seq").to_string();
    html! {
        div.card.scroll tabindex="0" role="region" aria-label="the message" {
            pre { (marked(&shown, matched.unwrap_or_default())) }
        }
        @if page.cut { p.soft { "Only its beginning is shown." } }
        @if page.whole {
            p { a href=(link("/event", &[("seq", &seq)])) { "Blank the addresses" } }
        } @else if viewer.may_write() {
            p.soft {
                "Addresses are blanked. "
                a href=(link("/event", &[("seq", &seq), ("whole", "true")])) { "Show all of it" }
            }
        } @else {
            p.soft { "Addresses are blanked; a token of the role write shows them." }
        }
    }
}
