//! Events of the journal, as a table.

use maud::{Markup, html};
use serde_json::Value;

use super::ROWS;
use crate::serve::web::snippets::{
    address_link, count, event_link, marked, moment, nothing, rows, text,
};

/// On the page of one address: who it is, and what each piece of evidence did there.
#[derive(Debug, Clone, Copy)]
pub struct Only<'a> {
    /// The address.
    pub address: &'a str,
    /// Pieces of evidence, as the policy's explanation has them.
    pub evidence: &'a [Value],
}

/// One row for each recipient. On the page of one address only what the event says of it; a report
/// may speak of many.
pub fn events(events: &[Value], only: Option<Only<'_>>) -> Markup {
    if events.is_empty() {
        return nothing("None yet.");
    }
    html! {
        div.card {
            table.many {
                thead { tr {
                    th.n { "#" } th { "when (UTC)" } th { "kind" }
                    @if only.is_none() { th { "recipient" } }
                    th { "said" } th { "means" }
                } }
                tbody { @for event in events.iter().take(ROWS) {
                    @for (place, recipient) in shown(event, only).into_iter().enumerate() {
                        (row(event, recipient, only, place == 0))
                    }
                } }
            }
        }
    }
}

/// The recipients of an event that its rows are about.
fn shown<'a>(event: &'a Value, only: Option<Only<'_>>) -> Vec<&'a Value> {
    let verdict = event.get("result").and_then(|result| result.get("verdict"));
    let recipients: Vec<&Value> = match verdict.filter(|verdict| verdict.is_object()) {
        Some(verdict) => vec![verdict],
        None => rows(event, "recipients").iter().collect(),
    };
    let ours = |one: &&Value| only.is_none_or(|only| text(one, "address") == only.address);
    let mut shown: Vec<&Value> = recipients.iter().copied().filter(ours).collect();
    // The address may be in the return path alone.
    if shown.is_empty() {
        shown = recipients;
    }
    if shown.is_empty() {
        shown.push(&Value::Null);
    }
    shown
}

/// What the event is: a message of a kind, an act, or a result.
pub fn kind_of(event: &Value) -> &str {
    match (part(event, "act"), part(event, "result")) {
        (Some(act), _) => text(act, "what"),
        (_, Some(result)) => text(result, "outcome"),
        _ => text(event, "kind"),
    }
}

fn part<'a>(event: &'a Value, name: &str) -> Option<&'a Value> {
    event.get(name).filter(|part| part.is_object())
}

/// A row; decisions are shown once, or with the recipient that they are about.
fn row(event: &Value, recipient: &Value, only: Option<Only<'_>>, first: bool) -> Markup {
    let act = part(event, "act");
    let address = [Some(recipient), act, part(event, "result")]
        .into_iter()
        .flatten()
        .map(|holder| text(holder, "address"))
        .find(|address| !address.is_empty());
    let here = |decision: &&Value| {
        let about = text(decision, "address");
        match only {
            Some(only) => about == only.address || about.is_empty(),
            None if about.is_empty() => first,
            None => about == text(recipient, "address") || recipient.is_null(),
        }
    };
    let decisions: Vec<&Value> = rows(event, "decisions").iter().filter(here).collect();
    html! {
        tr {
            td.n data-name="#" { (event_link(count(event, "seq"))) }
            td.when data-name="when" { (moment(text(event, "received_at"))) }
            td data-name="kind" { (kind_of(event)) }
            @if only.is_none() {
                td.who data-name="recipient" { (address_link(address.unwrap_or_default())) }
            }
            td.words data-name="said" {
                @match act {
                    Some(act) => (text(act, "reason")),
                    None => (marked(text(recipient, "diagnostic"), text(recipient, "matched"))),
                }
                @if only.is_some() { (origin(event)) }
            }
            td data-name="means" {
                (text(recipient, "reason"))
                @if !text(recipient, "rule").is_empty() { div { code { (text(recipient, "rule")) } } }
                @for decision in &decisions { (decided(decision)) }
                // A decision says more, and may be about a scope that the evidence is not read for.
                @if let Some(only) = only.filter(|_| decisions.is_empty()) {
                    (effect(event, only.evidence))
                }
            }
        }
    }
}

/// What a decision changed.
pub fn decided(decision: &Value) -> Markup {
    html! {
        div.soft {
            (text(decision, "from")) " → " (text(decision, "to")) ", " (text(decision, "clause"))
        }
    }
}

/// What an event did to the standing of its address, where that is not just to count.
fn effect(event: &Value, evidence: &[Value]) -> Markup {
    let seq = event.get("seq").and_then(Value::as_u64);
    let found = evidence.iter().find(|piece| piece.get("seq").and_then(Value::as_u64) == seq);
    let of_piece = ["effect", "guard"].map(|name| found.map_or("", |piece| text(piece, name)));
    // What counts in nothing is not evidence, and says so itself.
    let all = of_piece.into_iter().chain([text(event, "note")]);
    html! {
        @for words in all.filter(|words| !matches!(*words, "" | "counted")) { div.soft { (words) } }
    }
}

/// Who reported it, and about which mail.
pub fn origin(event: &Value) -> Markup {
    let subject = event.get("original").map_or("", |original| text(original, "subject"));
    let all = [
        ("reported by", text(event, "reporting_mta")),
        ("scope", text(event, "scope")),
        ("campaign", text(event, "campaign")),
        ("about the mail", subject),
    ];
    html! {
        @for (name, value) in all.iter().filter(|(_, value)| !value.is_empty()) {
            div.soft { (name) ": " (value) }
        }
    }
}
