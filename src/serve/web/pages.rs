//! The pages: overview, the list, errors; [`address`] and [`health`] stand in files of their own.
//!
//! Promises: no column is out of reach on a telephone (narrow tables become lists, `data-name`
//! names each value), every time says UTC, every field has a label, every page has one `h1`.

mod address;
mod health;

use serde_json::Value;

use super::{Html, words};
use crate::classify::Class;
use crate::serve::percent::encode_component;
use crate::service::{self, ListPage, ListQuery};

pub use address::address;
pub use health::{Health, health};

/// What the overview shows.
pub struct Overview {
    /// Counts, sizes and guards; None when the service cannot tell now.
    pub counts: Option<service::Overview>,
    /// Verdicts since the start of the program, by class.
    pub classes: Vec<(Class, u64)>,
    /// The last events, newest first.
    pub events: Vec<Value>,
    /// Health checks that fail.
    pub failing: Vec<(String, String)>,
}

/// What happened before this page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flash {
    /// The address was released.
    Released,
}

/// Rows of a page that shows many.
const ROWS: usize = 100;

/// `/`
pub fn overview(page: &Overview) -> Html {
    let mut body = Html::new();
    body.raw("<h1>Overview</h1>");
    for (name, finding) in &page.failing {
        body.raw("<p class=\"note bad\"><b>").text(name).raw("</b>: ").text(finding).raw("</p>");
    }
    if let Some(doubt) = page.counts.iter().find_map(|counts| counts.clock.as_ref()) {
        body.raw("<p class=\"note wait\"><b>Clock</b>: ").text(&words::times(doubt)).raw("</p>");
    }
    for trouble in page.counts.iter().flat_map(|counts| &counts.ledger.troubles) {
        body.raw("<p class=\"note bad\"><b>Stored data</b>: ").text(&trouble.text).raw("</p>");
    }
    let guards = page.counts.as_ref().map_or(&[][..], |counts| &counts.guards);
    for guard in guards {
        body.raw("<p class=\"note wait\"><b>A guard is tripped</b>: ").text(&words::times(guard));
        body.raw(". What it covers is held, not suppressed; <a href=\"/health\">Health</a> ");
        body.raw("says how long.</p>");
    }
    match &page.counts {
        None => {
            body.raw("<p class=\"note bad\">The store does not answer; see ");
            body.raw("<a href=\"/health\">Health</a>.</p>");
        }
        Some(counts) => {
            let ledger = &counts.ledger;
            body.raw("<div class=\"tiles\">");
            for (name, number) in [
                ("addresses suppressed", counts.suppressed),
                ("addresses held", counts.held),
                ("events in all", ledger.last_seq),
                ("MiB of journal", ledger.journal_bytes >> 20),
                ("MiB free on disk", ledger.free_bytes >> 20),
            ] {
                body.raw("<div class=\"card tile\"><b>").grouped(number).raw("</b>");
                body.text(name).raw("</div>");
            }
            body.raw("</div>");
            if !guards.is_empty() {
                body.raw("<p class=\"soft\">The numbers say what was decided at the time; what ");
                body.raw("a guard holds in hindsight is still among the suppressed.</p>");
            }
        }
    }
    if !page.classes.is_empty() {
        body.raw("<h2>Verdicts since start, by class</h2><div class=\"card\">");
        body.html(&bars(&page.classes)).raw("</div>");
    }
    body.raw("<h2>Last events</h2>").html(&events(&page.events, None));
    shell("Overview", &body)
}

/// A bar for each class.
fn bars(classes: &[(Class, u64)]) -> Html {
    let most = classes.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    let mut table = Html::new();
    table.raw("<table class=\"bars\">");
    for (class, count) in classes {
        // Wide counters: 128 bits keep the product.
        let width = (u128::from(*count) * 100).div_ceil(u128::from(most)) as u64;
        table.raw("<tr><th scope=\"row\">").text(class.as_str()).raw("</th><td class=\"n\">");
        table.grouped(*count).raw("</td><td><svg aria-hidden=\"true\"><rect rx=\"3\" ");
        table.raw("height=\"100%\" width=\"").number(width).raw("%\"/></svg></td></tr>");
    }
    table.raw("</table>");
    table
}

/// `/suppressions`
pub fn suppressions(query: &ListQuery, page: &ListPage) -> Html {
    let filter = filter(query);
    let mut body = Html::new();
    body.raw("<h1>Suppressions</h1><form class=\"row\" action=\"/suppressions\">");
    body.raw("<label>Domain <input name=\"domain\" size=\"18\" value=\"");
    body.text(query.domain.as_deref().unwrap_or_default());
    body.raw("\"></label><label>Class <select name=\"class\"><option value=\"\">any</option>");
    for class in Class::ALL {
        body.raw("<option");
        if query.class == Some(*class) {
            body.raw(" selected");
        }
        body.raw(">").text(class.as_str()).raw("</option>");
    }
    body.raw("</select></label><label>Scope <input name=\"scope\" size=\"10\" value=\"");
    body.text(query.scope.as_deref().unwrap_or_default());
    body.raw("\"></label><label>Since <input type=\"date\" name=\"since\" value=\"");
    let since = query.since.map(|since| since.to_string()).unwrap_or_default();
    body.text(since.get(..10).unwrap_or_default()).raw("\"></label><button>Filter</button>");
    if !filter.is_empty() {
        body.raw("<a href=\"/suppressions\">All</a>");
    }
    body.raw("</form><p class=\"soft\">Suppressed: mail is refused. Held: mail is paused. ");
    body.raw("These entries as <a download=\"suppressions.csv\" ");
    body.raw("href=\"/v1/suppressions:export?format=csv").text(&filter).raw("\">CSV</a> or ");
    body.raw("<a download=\"suppressions.ndjson\" href=\"/v1/suppressions:export?format=ndjson");
    body.text(&filter).raw("\">NDJSON</a>.</p>");
    body.html(&entry_table(&page.entries));
    body.raw("<p class=\"row\">");
    if query.cursor.is_some() {
        body.raw("<a href=\"/suppressions?").text(filter.trim_start_matches('&'));
        body.raw("\">First page</a>");
    }
    if let Some(next) = &page.next {
        body.raw("<a href=\"/suppressions?cursor=").text(&encode_component(next));
        body.text(&filter).raw("\">Next page</a>");
    }
    body.raw("</p>");
    shell("Suppressions", &body)
}

/// The filters of a query as they stand in a link, each with an `&` before it.
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

fn entry_table(entries: &[Value]) -> Html {
    let mut table = Html::new();
    if entries.is_empty() {
        table.raw("<p class=\"card soft\">No entry.</p>");
        return table;
    }
    table.raw("<div class=\"card\"><table class=\"many\"><tr><th>address</th><th>state</th>");
    table.raw("<th>scope</th><th>why</th><th>since (UTC)</th><th>until (UTC)</th>");
    table.raw("<th class=\"n\">events</th></tr>");
    for entry in entries {
        table.raw("<tr><td class=\"who\">").html(&address_link(text(entry, "address")));
        table.raw("</td><td data-name=\"state\">").html(&state(text(entry, "state")));
        table.raw("</td><td data-name=\"scope\">").text(scope(text(entry, "scope")));
        table.raw("</td><td data-name=\"why\">").text(text(entry, "reason"));
        table.raw("<div class=\"soft\">").text(words::reason(text(entry, "reason")));
        table.raw("</div></td><td data-name=\"since\" class=\"when\">");
        table.html(&moment(text(entry, "since")));
        table.raw("</td><td data-name=\"until\" class=\"when\">").html(&until(entry));
        table.raw("</td><td data-name=\"events\" class=\"n\">").number(count(entry, "events"));
        table.raw("</td></tr>");
    }
    table.raw("</table></div>");
    table
}

/// When an entry ends, as far as one can tell.
fn until(entry: &Value) -> Html {
    let mut html = Html::new();
    match (text(entry, "until"), text(entry, "state")) {
        ("", "held") => html.raw("the guard ends"),
        ("", "suppressed") => html.raw("no end"),
        (until, _) => html.html(&moment(until)),
    };
    html
}

/// On the page of one address: who it is, and what each piece of evidence did there.
#[derive(Debug, Clone, Copy)]
struct Only<'a> {
    address: &'a str,
    evidence: &'a [Value],
}

/// Events as they stand in the journal, one row for each recipient. On the page of one address
/// only what the event says of it; a report may speak of many.
fn events(events: &[Value], only: Option<Only<'_>>) -> Html {
    let mut table = Html::new();
    if events.is_empty() {
        table.raw("<p class=\"card soft\">None yet.</p>");
        return table;
    }
    table.raw(
        "<div class=\"card\"><table class=\"many\"><tr><th class=\"n\">#</th><th>when (UTC)</th>",
    );
    table.raw("<th>kind</th>");
    if only.is_none() {
        table.raw("<th>recipient</th>");
    }
    table.raw("<th>said</th><th>means</th></tr>");
    for event in events.iter().take(ROWS) {
        let recipients = rows(event, "recipients");
        let verdict = event.get("result").and_then(|result| result.get("verdict"));
        let recipients: Vec<&Value> = match verdict.filter(|verdict| verdict.is_object()) {
            Some(verdict) => vec![verdict],
            None => recipients.iter().collect(),
        };
        let ours = |one: &&Value| only.is_none_or(|only| text(one, "address") == only.address);
        let mut shown: Vec<&Value> = recipients.iter().copied().filter(ours).collect();
        // The address may stand in the return path alone.
        if shown.is_empty() {
            shown = recipients;
        }
        if shown.is_empty() {
            shown.push(&Value::Null);
        }
        for (place, recipient) in shown.into_iter().enumerate() {
            event_row(&mut table, event, recipient, only, place == 0);
        }
    }
    table.raw("</table></div>");
    table
}

/// A row; decisions stand once, or with the recipient that they are about.
fn event_row(
    table: &mut Html,
    event: &Value,
    recipient: &Value,
    only: Option<Only<'_>>,
    first: bool,
) {
    let act = event.get("act").filter(|act| act.is_object());
    let result = event.get("result").filter(|result| result.is_object());
    let kind = match (act, result) {
        (Some(act), _) => text(act, "what"),
        (_, Some(result)) => text(result, "outcome"),
        _ => text(event, "kind"),
    };
    table.raw("<tr><td data-name=\"#\" class=\"n\">").number(count(event, "seq"));
    table.raw("</td><td data-name=\"when\" class=\"when\">");
    table.html(&moment(text(event, "received_at")));
    table.raw("</td><td data-name=\"kind\">").text(kind).raw("</td>");
    if only.is_none() {
        let address = [Some(recipient), act, result]
            .into_iter()
            .flatten()
            .map(|holder| text(holder, "address"))
            .find(|address| !address.is_empty());
        table.raw("<td data-name=\"recipient\" class=\"who\">");
        table.html(&address_link(address.unwrap_or_default())).raw("</td>");
    }
    table.raw("<td data-name=\"said\" class=\"words\">");
    match act {
        Some(act) => table.text(text(act, "reason")),
        None => table.html(&marked(text(recipient, "diagnostic"), text(recipient, "matched"))),
    };
    if only.is_some() {
        table.html(&origin(event));
    }
    table.raw("</td><td data-name=\"means\">").text(text(recipient, "reason"));
    let rule = text(recipient, "rule");
    if !rule.is_empty() {
        table.raw("<div><code>").text(rule).raw("</code></div>");
    }
    let mut decided = false;
    for decision in rows(event, "decisions") {
        let about = text(decision, "address");
        let here = match only {
            Some(only) => about == only.address || about.is_empty(),
            None if about.is_empty() => first,
            None => about == text(recipient, "address") || recipient.is_null(),
        };
        if here {
            decided = true;
            table.raw("<div class=\"soft\">").text(text(decision, "from")).raw(" → ");
            table.text(text(decision, "to")).raw(", ").text(text(decision, "clause"));
            table.raw("</div>");
        }
    }
    // A decision says more, and may be about a scope that the evidence is not read for.
    if let Some(only) = only.filter(|_| !decided) {
        table.html(&effect(event, only.evidence));
    }
    table.raw("</td></tr>");
}

/// What an event did to the standing of its address, where that is not just to count.
fn effect(event: &Value, evidence: &[Value]) -> Html {
    let mut html = Html::new();
    let seq = event.get("seq").and_then(Value::as_u64);
    let found = evidence.iter().find(|piece| piece.get("seq").and_then(Value::as_u64) == seq);
    let of_piece = ["effect", "guard"].map(|name| found.map_or("", |piece| text(piece, name)));
    // What counts in nothing is no piece of evidence, and says so itself.
    for words in of_piece.into_iter().chain([text(event, "note")]) {
        match words {
            "" | "counted" => {}
            words => {
                html.raw("<div class=\"soft\">").text(words).raw("</div>");
            }
        }
    }
    html
}

/// Who reported it, and about which mail.
fn origin(event: &Value) -> Html {
    let mut html = Html::new();
    let subject = event.get("original").map_or("", |original| text(original, "subject"));
    for (name, value) in [
        ("reported by", text(event, "reporting_mta")),
        ("scope", text(event, "scope")),
        ("campaign", text(event, "campaign")),
        ("about the mail", subject),
    ] {
        if !value.is_empty() {
            html.raw("<div class=\"soft\">").raw(name).raw(": ").text(value).raw("</div>");
        }
    }
    html
}

/// A diagnostic with what the rule matched in it. Rules fold the case of what they read; folding
/// ASCII alone keeps every place where it is.
fn marked(diagnostic: &str, matched: &str) -> Html {
    let mut html = Html::new();
    let folded = diagnostic.to_ascii_lowercase();
    let place = folded.find(&matched.to_ascii_lowercase()).filter(|_| !matched.is_empty());
    let parts = place.and_then(|place| {
        let (before, rest) = diagnostic.split_at_checked(place)?;
        let (words, after) = rest.split_at_checked(matched.len())?;
        Some((before, words, after))
    });
    match parts {
        None => html.text(diagnostic),
        Some((before, words, after)) => {
            html.text(before).raw("<mark>").text(words).raw("</mark>").text(after)
        }
    };
    html
}

/// A page that says what went wrong.
pub fn error(status: u16, title: &str, detail: &str) -> Html {
    let mut body = Html::new();
    body.raw("<h1>").number(u64::from(status)).raw(" ").text(title).raw("</h1>");
    body.raw("<p class=\"note bad\">").text(detail).raw("</p>");
    body.raw("<p><a href=\"/\">To the overview</a></p>");
    shell(title, &body)
}

/// Head and foot around a page.
fn shell(title: &str, body: &Html) -> Html {
    let mut page = Html::new();
    page.raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.raw("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    page.raw("<title>").text(title).raw(" · bounced</title>");
    page.raw("<link rel=\"stylesheet\" href=\"/style.css\"><link rel=\"icon\" href=\"/icon.svg\">");
    page.raw("</head><body><header><div><a class=\"name\" href=\"/\">");
    page.raw("<img src=\"/icon.svg\" alt=\"\">bounced</a><nav>");
    for (name, path) in [
        ("Overview", "/"),
        ("Suppressions", "/suppressions"),
        ("Health", "/health"),
        ("Metrics", "/metrics"),
        ("API", "/openapi.json"),
    ] {
        page.raw("<a href=\"").raw(path);
        page.raw(if name == title { "\" aria-current=\"page\">" } else { "\">" });
        page.raw(name).raw("</a>");
    }
    page.raw("</nav><form action=\"/address\" role=\"search\"><input type=\"search\" ");
    page.raw("name=\"address\" required placeholder=\"user@example.com\" ");
    page.raw("aria-label=\"address to explain\"><button>Explain</button>");
    page.raw("</form></div></header><main>").html(body);
    page.raw("<footer>bounced ").raw(env!("CARGO_PKG_VERSION"));
    page.raw(" · all times are UTC</footer></main></body></html>");
    page
}

fn address_link(address: &str) -> Html {
    let mut link = Html::new();
    if !address.is_empty() {
        link.raw("<a href=\"/address?address=").text(&encode_component(address)).raw("\">");
        // A long one breaks before its domain first.
        let (local, domain) = address.split_at(address.rfind('@').unwrap_or(0));
        link.text(local).raw("<wbr>").text(domain).raw("</a>");
    }
    link
}

fn state(state: &str) -> Html {
    let mut html = Html::new();
    if state.is_empty() {
        return html;
    }
    html.raw(match state {
        "suppressed" | "critical" => "<span class=\"state bad\">",
        "held" | "watched" | "probation" | "unhealthy" | "risky" => "<span class=\"state wait\">",
        "clear" | "healthy" => "<span class=\"state good\">",
        _ => "<span class=\"state\">",
    });
    html.text(state).raw("</span>");
    html
}

/// A scope for people.
fn scope(scope: &str) -> &str {
    if scope == "*" { "all" } else { scope }
}

/// A time to the second; what is no time stays as it is.
fn moment(text: &str) -> Html {
    let mut html = Html::new();
    match words::moment(text) {
        None => html.text(text),
        Some((date, clock)) => {
            html.raw("<time datetime=\"").text(text).raw("\">").text(date).raw(" ");
            html.text(clock).raw("</time>")
        }
    };
    html
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A number, or the length of a list.
fn count(value: &Value, name: &str) -> u64 {
    match value.get(name) {
        Some(Value::Array(list)) => list.len() as u64,
        Some(number) => number.as_u64().unwrap_or_default(),
        None => 0,
    }
}

fn rows<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;
