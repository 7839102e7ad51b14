//! The page of one address: may it be mailed, why not, since and until when, which message said
//! so in which words, by which rule and clause, and what would change it.

use maud::{Markup, html};
use serde_json::Value;

use super::events::{Only, events, origin};
use super::timeline::timeline;
use crate::mail::Timestamp;
use crate::serve::percent::encode_component;
use crate::serve::web::frame::{HtmlPage, Viewer, shell};
use crate::serve::web::glossary;
use crate::serve::web::snippets::{
    count, event_link, in_scope, marked, moment, rows, sentences, state, text, until,
};

/// What happened before this page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flash {
    /// The address was released.
    Released,
    /// The address was suppressed.
    Suppressed,
}

/// Fields of the explanation that have a place of their own; what is not among them is shown as
/// it came, so that nothing is hidden.
const KNOWN: [&str; 6] = ["address", "state", "summary", "outlook", "entries", "events"];

/// `/address?address=`: what is known of one address, and why. `scopes`: those to choose from; `now`:
/// the time on the picture.
pub fn address(
    viewer: &Viewer,
    asked: &str,
    explained: &Value,
    scopes: &[String],
    (now, notice): (Timestamp, Option<Flash>),
) -> HtmlPage {
    // The form under which the service knows it: `User@EXAMPLE.com` is asked, and this answers.
    let address = Some(text(explained, "address")).filter(|a| !a.is_empty()).unwrap_or(asked);
    let (known, standings) = (rows(explained, "events"), rows(explained, "entries"));
    let outlook = rows(explained, "outlook");
    let evidence = explained.get("policy").map_or(&[][..], |policy| rows(policy, "evidence"));
    let more = explained.as_object().into_iter().flatten();
    let more = more.filter(|(name, value)| !KNOWN.contains(&&***name) && !value.is_null());
    let body = html! {
        @match notice {
            Some(Flash::Released) => p.note.good role="status" { "Released. The reason is in the journal." },
            Some(Flash::Suppressed) => p.note.good role="status" { "Suppressed. The reason is in the journal." },
            None => {}
        }
        h1 { (address) " " (state(text(explained, "state"))) }
        p.lead {
            @match (text(explained, "state"), standings.iter().any(stops)) {
                ("clear", true) => "Mail may be sent, but not in every scope.",
                (state, _) => (glossary::state(state)),
            }
        }
        @if let Some(summary) = explained.get("summary").and_then(Value::as_str) {
            p.soft { (glossary::times(summary)) }
        }
        (timeline(standings, known, now))
        (every_scope(standings))
        @for one in standings { (standing(viewer, address, one, known)) }
        @if standings.is_empty() && !outlook.is_empty() {
            h2 { "What would change it" }
            div.card { (sentences(outlook)) }
        }
        @if viewer.may_write() { (suppress_form(viewer, address, scopes)) }
        h2 { "Evidence, newest first" }
        (events(known, Some(Only { address, evidence })))
        @for (name, value) in more {
            details {
                summary {
                    @match name.as_str() {
                        "policy" => "The policy that was applied, and every piece of evidence",
                        name => (name.replace('_', " ")),
                    }
                }
                div.card { pre {
                    @match value.as_str() {
                        Some(text) => (text),
                        None => (serde_json::to_string_pretty(value).unwrap_or_default()),
                    }
                } }
            }
        }
        p { a href={ "/v1/addresses/" (encode_component(address)) } { "All of it as JSON" } }
    };
    shell(Some(viewer), address, address, body)
}

fn stops(standing: &Value) -> bool {
    matches!(text(standing, "state"), "suppressed" | "held")
}

/// All scopes side by side, where there are several.
fn every_scope(standings: &[Value]) -> Markup {
    html! {
        @if standings.len() > 1 {
            div.card { table.many {
                caption { "In every scope that says something of its own" }
                thead { tr { th { "scope" } th { "state" } th { "why" } th { "since (UTC)" } th { "until (UTC)" } } }
                tbody { @for one in standings { tr {
                    th scope="row" { (crate::serve::web::snippets::scope(text(one, "scope"))) }
                    td data-name="state" { (state(text(one, "state"))) }
                    td data-name="why" { (text(one, "reason")) }
                    td.when data-name="since" { (moment(text(one, "since"))) }
                    td.when data-name="until" { (until(one)) }
                } } }
            } }
        }
    }
}

/// One entry in words, with the message that decided it, and the way to release it.
fn standing(viewer: &Viewer, address: &str, entry: &Value, known: &[Value]) -> Markup {
    let reason = text(entry, "reason");
    let class = text(entry, "class");
    let seq = entry.get("seq").and_then(Value::as_u64);
    let by = known.iter().find(|event| event.get("seq").and_then(Value::as_u64) == seq);
    let by = by.filter(|_| seq.is_some());
    let rule_at = by.and_then(|event| verdict(address, event)).map_or("", |v| text(v, "rule_at"));
    let ends = !text(entry, "until").is_empty() || stops(entry);
    let outlook = rows(entry, "outlook");
    html! {
        section.card {
            h2 { (state(text(entry, "state"))) " in " (in_scope(text(entry, "scope"))) }
            dl {
                (fact("why", reason, glossary::reason(reason)))
                (fact("class", class, text(entry, "category")))
                dt { "since" } dd { (moment(text(entry, "since"))) }
                @if ends { dt { "until" } dd { (until(entry)) } }
                @if let Some(event) = by { dt { "said by" } dd { (said(address, event)) } }
                // A person needs no attribution and no rule.
                @if reason != "by-hand" {
                    (fact("tied to it by", text(entry, "attribution"), glossary::attribution(text(entry, "attribution"))))
                    (fact("read by rule", text(entry, "rule"), rule_at))
                }
                (fact("clause", text(entry, "clause"), glossary::clause(text(entry, "clause"))))
                @if !outlook.is_empty() { dt { "would change it" } dd { (sentences(outlook)) } }
            }
            @if viewer.may_write() { (release_form(viewer, address, text(entry, "scope"))) }
        }
    }
}

/// A word and what it means; nothing when there is no word.
fn fact(name: &str, word: &str, meaning: &str) -> Markup {
    html! {
        @if !word.is_empty() {
            dt { (name) }
            dd { b { (word) } @if !meaning.is_empty() { ": " (meaning) } }
        }
    }
}

/// What an event said of the address, and when.
fn said(address: &str, event: &Value) -> Markup {
    html! {
        @match (event.get("act").filter(|act| act.is_object()), verdict(address, event)) {
            (Some(act), _) => { "“" (text(act, "reason")) "”" }
            (None, Some(one)) if !text(one, "diagnostic").is_empty() => {
                "“" (marked(text(one, "diagnostic"), text(one, "matched"))) "”"
            }
            // A complaint, say: it has no words of its own.
            (None, _) => { "a message of the kind " (text(event, "kind")) }
        }
        div.soft { "event " (event_link(count(event, "seq"))) ", " (moment(text(event, "received_at"))) }
        (origin(event))
    }
}

/// What an event says of an address; of the first recipient when the address is in the return
/// path alone.
fn verdict<'a>(address: &str, event: &'a Value) -> Option<&'a Value> {
    let result = event.get("result").and_then(|result| result.get("verdict"));
    let mut recipients = rows(event, "recipients").iter().chain(result);
    let ours = recipients.clone().find(|one| text(one, "address") == address);
    ours.or_else(|| recipients.next())
}

fn release_form(viewer: &Viewer, address: &str, of: &str) -> Markup {
    let of = if of.is_empty() { "*" } else { of };
    html! {
        form.row method="post" action="/address/release" {
            (viewer.csrf_field())
            input type="hidden" name="address" value=(address);
            input type="hidden" name="scope" value=(of);
            label.wide { "Why release it? " input name="reason" required maxlength="500"; }
            button { "Release in " (in_scope(of)) }
        }
    }
}

fn suppress_form(viewer: &Viewer, address: &str, scopes: &[String]) -> Markup {
    html! {
        details {
            summary { "Suppress by hand" }
            form.card.row method="post" action="/address/suppress" {
                (viewer.csrf_field())
                input type="hidden" name="address" value=(address);
                label { "In " (super::list::scope_select(scopes, None, "all scopes")) }
                label { "Until (empty: no end) " input type="date" name="until"; }
                label.wide { "Why suppress it? " input name="reason" required maxlength="500"; }
                button.danger { "Suppress" }
            }
        }
    }
}
