//! `bounced explain` for a person: first the decision in a sentence, then what would change it, then
//! each piece of evidence with the words that decided. What this does not know by name is printed
//! as an outline after it, so that nothing is hidden that the service says.

use std::io::{self, Write};

use serde_json::Value;

use super::print::{self, Paint, outline, plain, row, visible};

/// Fields of the answer and of an event that are printed in a form of their own.
const KNOWN: [&str; 6] = ["address", "state", "summary", "outlook", "entries", "events"];

/// Prints what [`Operations::explain`](crate::service::Operations::explain) gave.
pub(super) fn explain(out: &mut dyn Write, explained: &Value, paint: Paint) -> io::Result<()> {
    let summary = match text(explained, "summary") {
        Some(summary) => summary,
        None => format!(
            "{} is {}",
            text(explained, "address").unwrap_or_default(),
            text(explained, "state").unwrap_or_else(|| "not known".to_string())
        ),
    };
    writeln!(out, "{}", paint.bold(&visible(&summary)))?;
    for outlook in words(explained, "outlook") {
        writeln!(out, "  {}", visible(&outlook))?;
    }
    let address = text(explained, "address").unwrap_or_default();
    for entry in rows(explained, "entries") {
        writeln!(out, "  {}", visible(&print::sentence(&address, entry)))?;
    }
    for event in rows(explained, "events") {
        one(out, event, &address, paint)?;
    }
    match explained.as_object() {
        Some(fields) => {
            let rest = fields.iter().filter(|(name, _)| !KNOWN.contains(&name.as_str()));
            let rest: serde_json::Map<String, Value> =
                rest.map(|(name, value)| (name.clone(), value.clone())).collect();
            outline(out, &Value::Object(rest), 0)
        }
        None => outline(out, explained, 0),
    }
}

/// One event: when and what, why, and what it changed for this address.
fn one(out: &mut dyn Write, event: &Value, address: &str, paint: Paint) -> io::Result<()> {
    let when = text(event, "received_at").unwrap_or_default();
    let head = format!("{when}  {}", headline(event));
    writeln!(out, "\n{}", paint.bold(&visible(&head)))?;
    let mut line = |name: &str, value: Option<String>| match value {
        Some(value) if !value.is_empty() => row(out, 2, name, &value),
        _ => Ok(()),
    };
    for part in [event.get("act"), event.get("result")].into_iter().flatten() {
        line("scope", text(part, "scope").filter(|scope| scope != "*"))?;
        line("until", text(part, "until"))?;
        line("why", text(part, "reason"))?;
        line("outcome", text(part, "outcome"))?;
    }
    line("note", text(event, "note"))?;
    line("attributed", text(event, "attribution"))?;
    line("reported by", text(event, "reporting_mta"))?;
    let verdict = event.get("result").and_then(|result| result.get("verdict"));
    for recipient in rows(event, "recipients").iter().chain(verdict.filter(|v| v.is_object())) {
        line("recipient", text(recipient, "address"))?;
        line("reason", judged(recipient))?;
        line("rule", rule(recipient))?;
        line("certainty", text(recipient, "certainty"))?;
        line("said", text(recipient, "diagnostic"))?;
        line("by", text(recipient, "remote_mta"))?;
    }
    for decision in rows(event, "decisions") {
        // An event about many recipients decides about others too; those are not asked for.
        if text(decision, "address").is_none_or(|decided| decided == address) {
            line("decided", Some(decided(decision)))?;
        }
    }
    line("id", text(event, "id"))
}

/// `failure (rfc3464)`, `act release`, `result failed`
fn headline(event: &Value) -> String {
    let part = |name: &str, field: &str| event.get(name).and_then(|part| text(part, field));
    if let Some(what) = part("act", "what") {
        return format!("act {what}");
    }
    if let Some(outcome) = part("result", "outcome") {
        return format!("result {outcome}");
    }
    match (text(event, "kind"), text(event, "format")) {
        (Some(kind), Some(format)) => format!("{kind} ({format})"),
        (kind, _) => kind.or(text(event, "type")).unwrap_or_default(),
    }
}

/// `user-unknown (hard), 5.1.1`
fn judged(recipient: &Value) -> Option<String> {
    let mut words = text(recipient, "reason").or(text(recipient, "class"))?;
    if let Some(category) = text(recipient, "category") {
        words += &format!(" ({category})");
    }
    for code in ["reply_code", "status"] {
        if let Some(code) = text(recipient, code) {
            words += &format!(", {code}");
        }
    }
    Some(words)
}

/// `iana/5.1.1 @ 90-iana.toml:7 matched "5.1.1"`
fn rule(recipient: &Value) -> Option<String> {
    let mut words = text(recipient, "rule")?;
    if let Some(at) = text(recipient, "rule_at") {
        words += &format!(" @ {at}");
    }
    if let Some(matched) = text(recipient, "matched") {
        words += &format!(" matched {matched:?}");
    }
    Some(words)
}

/// `clear -> suppressed by hard-now until 2026-12-06T10:00:00Z in news`
fn decided(decision: &Value) -> String {
    let field = |name: &str| text(decision, name).unwrap_or_default();
    let mut words = format!("{} -> {} by {}", field("from"), field("to"), field("clause"));
    if let Some(until) = text(decision, "until") {
        words += &format!(" until {until}");
    }
    if let Some(scope) = text(decision, "scope").filter(|scope| scope != "*") {
        words += &format!(" in {scope}");
    }
    words
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).map(plain).filter(|text| !text.is_empty())
}

fn rows<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text or a list of texts.
fn words(value: &Value, name: &str) -> Vec<String> {
    match value.get(name) {
        Some(Value::Array(rows)) => rows.iter().map(print::plain).collect(),
        _ => text(value, name).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_person_reads_the_decision_first() {
        let explained = json!({
            "address": "u@example.com", "state": "suppressed",
            "summary": "u@example.com must not be mailed",
            "outlook": ["on 2026-12-06 it may be tried once more"],
            "entries": [{"state": "suppressed", "reason": "user-unknown", "scope": "*"}],
            "events": [
                {"received_at": "2026-11-22T10:00:00Z", "id": "e2", "type": "message",
                 "kind": "failure", "format": "rfc3464", "attribution": "signed",
                 "recipients": [{"address": "u@example.com", "reason": "user-unknown",
                    "category": "hard", "reply_code": 550, "status": "5.1.1",
                    "rule": "iana/5.1.1", "rule_at": "90-iana.toml:7", "matched": "5.1.1",
                    "certainty": "said",
                    "diagnostic": "550 5.1.1 \u{1b}[2Jno such user"}],
                 "decisions": [
                    {"address": "u@example.com", "scope": "*", "from": "clear",
                     "to": "suppressed", "clause": "now", "until": "2026-12-06T10:00:00Z"},
                    {"address": "v@example.com", "scope": "*", "from": "clear", "to": "held",
                     "clause": "outage", "until": null}]},
                {"received_at": "2026-11-21T10:00:00Z", "id": "e1", "type": "act",
                 "act": {"what": "release", "scope": "news", "reason": "by phone"},
                 "decisions": []},
            ],
            "provider": "google",
        });
        let mut out = Vec::new();
        explain(&mut out, &explained, Paint::PLAIN).expect("a vector takes everything");
        let expected = "\
u@example.com must not be mailed
  on 2026-12-06 it may be tried once more
  u@example.com  suppressed  user-unknown

2026-11-22T10:00:00Z  failure (rfc3464)
  attributed   signed
  recipient    u@example.com
  reason       user-unknown (hard), 550, 5.1.1
  rule         iana/5.1.1 @ 90-iana.toml:7 matched \"5.1.1\"
  certainty    said
  said         550 5.1.1 \\u{1b}[2Jno such user
  decided      clear -> suppressed by now until 2026-12-06T10:00:00Z
  id           e2

2026-11-21T10:00:00Z  act release
  scope        news
  why          by phone
  id           e1
provider     google
";
        assert_eq!(String::from_utf8(out).expect("our words are UTF-8"), expected);
    }

    #[test]
    fn an_unexpected_answer_is_shown_as_it_is() {
        for (explained, expected) in [
            (json!({"address": "u@example.com", "state": "clear"}), "u@example.com is clear\n"),
            (json!({"other": 5}), " is not known\nother        5\n"),
        ] {
            let mut out = Vec::new();
            explain(&mut out, &explained, Paint::PLAIN).expect("a vector takes everything");
            assert_eq!(String::from_utf8(out).expect("our words are UTF-8"), expected);
        }
    }
}
