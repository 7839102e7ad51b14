//! The pages: overview, one address with its explanation, the list, health, errors.

use serde_json::Value;

use super::Html;
use crate::classify::Class;
use crate::serve::percent::encode_component;
use crate::service::{self, ListPage, ListQuery};

/// What the overview shows.
pub struct Overview {
    /// Counts, sizes and guards; None when the house cannot tell now.
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
pub enum Notice {
    /// The address was released.
    Released,
}

/// Rows of a page that shows many.
const ROWS: usize = 100;

/// `/`
pub fn overview(page: &Overview) -> Html {
    let mut body = Html::new();
    for (name, words) in &page.failing {
        body.raw("<p class=\"note bad\"><b>").text(name).raw("</b>: ").text(words).raw("</p>");
    }
    if let Some(doubt) = page.counts.iter().find_map(|counts| counts.clock.as_ref()) {
        body.raw("<p class=\"note wait\"><b>Clock</b>: ").text(doubt).raw("</p>");
    }
    for guard in page.counts.iter().flat_map(|counts| &counts.guards) {
        body.raw("<p class=\"note wait\"><b>Guard</b>: ").text(guard).raw("</p>");
    }
    match &page.counts {
        None => {
            body.raw("<p class=\"note bad\">The store does not answer; see Health.</p>");
        }
        Some(counts) => {
            let ledger = &counts.ledger;
            body.raw("<div class=\"tiles\">");
            for (name, number) in [
                ("suppressed", counts.suppressed),
                ("held", counts.held),
                ("events", ledger.last_seq),
                ("MiB journal", ledger.journal_bytes >> 20),
                ("MiB free", ledger.free_bytes >> 20),
            ] {
                body.raw("<div class=\"card tile\"><b>").grouped(number).raw("</b>");
                body.text(name).raw("</div>");
            }
            body.raw("</div>");
        }
    }
    if !page.classes.is_empty() {
        body.raw("<h2>Verdicts since start</h2><div class=\"card\">");
        body.html(&bars(&page.classes)).raw("</div>");
    }
    body.raw("<h2>Last events</h2>").html(&events(&page.events));
    shell("Overview", &body)
}

/// A bar for each class.
fn bars(classes: &[(Class, u64)]) -> Html {
    const ROW: u64 = 26;
    let most = classes.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    let height = classes.len() as u64 * ROW;
    let mut svg = Html::new();
    svg.raw("<svg class=\"bars\" role=\"img\" aria-label=\"verdicts by class\" viewBox=\"0 0 720 ");
    svg.number(height).raw("\">");
    for (index, (class, count)) in (0u64..).zip(classes) {
        // Wide counters: 128 bits keep the product.
        let width = (u128::from(*count) * 440 / u128::from(most)).max(2) as u64;
        let top = index * ROW;
        svg.raw("<text x=\"0\" y=\"").number(top + 17).raw("\">").text(class.as_str());
        svg.raw("</text><rect x=\"190\" rx=\"3\" height=\"16\" y=\"").number(top + 5);
        svg.raw("\" width=\"").number(width).raw("\"/><text x=\"").number(200 + width);
        svg.raw("\" y=\"").number(top + 17).raw("\">").grouped(*count).raw("</text>");
    }
    svg.raw("</svg>");
    svg
}

/// `/address?address=`: what is known of one address, and why.
pub fn address(address: &str, explained: &Value, notice: Option<Notice>) -> Html {
    let mut body = Html::new();
    if let Some(Notice::Released) = notice {
        body.raw("<p class=\"note good\">Released. The reason is in the journal.</p>");
    }
    body.raw("<h1>").text(address).raw(" ").html(&state(text(explained, "state"))).raw("</h1>");
    if let Some(summary) = explained.get("summary").and_then(Value::as_str) {
        body.raw("<p class=\"lead\">").text(summary).raw("</p>");
    }
    let entries = rows(explained, "entries");
    if !entries.is_empty() {
        body.raw("<h2>Entries</h2>").html(&entry_table(entries, false));
        for entry in entries {
            body.html(&release_form(address, text(entry, "scope")));
        }
    }
    body.raw("<h2>Evidence</h2>").html(&events(rows(explained, "events")));
    let known = ["address", "state", "summary", "entries", "events"];
    let more = explained.as_object().into_iter().flatten();
    for (name, value) in more.filter(|(name, value)| !known.contains(&&***name) && !value.is_null())
    {
        body.raw("<h2>").text(&name.replace('_', " ")).raw("</h2><div class=\"card\"><pre>");
        match value.as_str() {
            Some(text) => body.text(text),
            None => body.text(&serde_json::to_string_pretty(value).unwrap_or_default()),
        };
        body.raw("</pre></div>");
    }
    shell(address, &body)
}

fn release_form(address: &str, scope: &str) -> Html {
    let scope = if scope.is_empty() { "*" } else { scope };
    let mut form = Html::new();
    form.raw("<form class=\"row\" method=\"post\" action=\"/address/release\"><p class=\"row\">");
    form.raw("<input type=\"hidden\" name=\"address\" value=\"").text(address);
    form.raw("\"><input type=\"hidden\" name=\"scope\" value=\"").text(scope);
    form.raw("\"><input name=\"reason\" required maxlength=\"500\" size=\"40\" ");
    form.raw("placeholder=\"Why is it released?\" aria-label=\"reason\"> <button>Release");
    if scope != "*" {
        form.raw(" in ").text(scope);
    }
    form.raw("</button></p></form>");
    form
}

/// `/suppressions`
pub fn suppressions(query: &ListQuery, page: &ListPage) -> Html {
    let domain = query.domain.as_deref().unwrap_or_default();
    let mut body = Html::new();
    body.raw("<h1>Suppressions</h1><form class=\"row\" action=\"/suppressions\">");
    body.raw("<input name=\"domain\" placeholder=\"domain\" aria-label=\"domain\" value=\"");
    body.text(domain).raw("\"><button>Filter</button>");
    body.raw(" <a href=\"/v1/suppressions:export?format=csv\">CSV</a>");
    body.raw(" <a href=\"/v1/suppressions:export\">NDJSON</a></form><h2></h2>");
    body.html(&entry_table(&page.entries, true));
    if let Some(next) = &page.next {
        body.raw("<p><a href=\"/suppressions?domain=").text(&encode_component(domain));
        body.raw("&amp;cursor=").text(&encode_component(next)).raw("\">Next page</a></p>");
    }
    shell("Suppressions", &body)
}

fn entry_table(entries: &[Value], with_address: bool) -> Html {
    let mut table = Html::new();
    if entries.is_empty() {
        table.raw("<p class=\"card soft\">None.</p>");
        return table;
    }
    table.raw("<div class=\"card\"><table><tr>");
    if with_address {
        table.raw("<th>address</th>");
    }
    table.raw("<th>state</th><th>scope</th><th>reason</th><th>class</th><th>since</th>");
    table.raw("<th>until</th><th>events</th><th>rule</th></tr>");
    for entry in entries {
        table.raw("<tr>");
        if with_address {
            table.raw("<td>").html(&address_link(text(entry, "address"))).raw("</td>");
        }
        table.raw("<td>").html(&state(text(entry, "state"))).raw("</td>");
        for name in ["scope", "reason", "class"] {
            table.raw("<td>").text(text(entry, name)).raw("</td>");
        }
        table.raw("<td class=\"when\">").text(moment(text(entry, "since")));
        let until = match text(entry, "until") {
            "" => "no end",
            until => moment(until),
        };
        table.raw("</td><td class=\"when\">").text(until).raw("</td><td class=\"n\">");
        table.number(count(entry, "events")).raw("</td><td><code>").text(text(entry, "rule"));
        table.raw("</code></td></tr>");
    }
    table.raw("</table></div>");
    table
}

/// Events as they stand in the journal, one row for each recipient.
fn events(events: &[Value]) -> Html {
    let mut table = Html::new();
    if events.is_empty() {
        table.raw("<p class=\"card soft\">None yet.</p>");
        return table;
    }
    table.raw("<div class=\"card\"><table><tr><th>#</th><th>when</th><th>kind</th>");
    table.raw("<th>recipient</th><th>said</th><th>means</th><th>rule</th></tr>");
    for event in events.iter().take(ROWS) {
        let recipients = rows(event, "recipients");
        let result = event.get("result");
        let alone = result.and_then(|result| result.get("verdict")).filter(|v| v.is_object());
        let recipients =
            if recipients.is_empty() { alone.map(std::slice::from_ref) } else { Some(recipients) };
        match recipients {
            None => event_row(&mut table, event, None),
            Some(recipients) => {
                recipients.iter().for_each(|one| event_row(&mut table, event, Some(one)));
            }
        }
    }
    table.raw("</table></div>");
    table
}

fn event_row(table: &mut Html, event: &Value, recipient: Option<&Value>) {
    let act = event.get("act").filter(|act| act.is_object());
    let result = event.get("result").filter(|result| result.is_object());
    let kind = match (act, result) {
        (Some(act), _) => text(act, "what"),
        (_, Some(result)) => text(result, "outcome"),
        _ => text(event, "kind"),
    };
    table.raw("<tr><td class=\"n\">").number(count(event, "seq")).raw("</td><td class=\"when\">");
    table.text(moment(text(event, "received_at"))).raw("</td><td>").text(kind).raw("</td><td>");
    let empty = Value::Null;
    let recipient = recipient.unwrap_or(&empty);
    let address = [Some(recipient), act, result]
        .into_iter()
        .flatten()
        .map(|holder| text(holder, "address"))
        .find(|address| !address.is_empty());
    table.html(&address_link(address.unwrap_or_default())).raw("</td><td class=\"words\">");
    match act {
        Some(act) => table.text(text(act, "reason")),
        None => table.html(&marked(text(recipient, "diagnostic"), text(recipient, "matched"))),
    };
    table.raw("</td><td>").text(text(recipient, "reason"));
    for decision in rows(event, "decisions") {
        table.raw("<br><span class=\"soft\">").text(text(decision, "from")).raw(" → ");
        table.text(text(decision, "to")).raw(", ").text(text(decision, "clause")).raw("</span>");
    }
    table.raw("</td><td><code>").text(text(recipient, "rule")).raw("</code></td></tr>");
}

/// A diagnostic with what the rule matched in it.
fn marked(diagnostic: &str, matched: &str) -> Html {
    let mut html = Html::new();
    match diagnostic.split_once(matched).filter(|_| !matched.is_empty()) {
        None => html.text(diagnostic),
        Some((before, after)) => {
            html.text(before).raw("<mark>").text(matched).raw("</mark>").text(after)
        }
    };
    html
}

/// `/health`
pub fn health(findings: &[(String, Result<String, String>)]) -> Html {
    let mut body = Html::new();
    body.raw("<h1>Health</h1><div class=\"card\"><table>");
    for (name, finding) in findings {
        body.raw("<tr><td>").text(name).raw("</td><td>");
        match finding {
            Ok(words) => body.raw("<span class=\"state good\">ok</span></td><td>").text(words),
            Err(words) => body.raw("<span class=\"state bad\">failed</span></td><td>").text(words),
        };
        body.raw("</td></tr>");
    }
    body.raw("</table></div>");
    shell("Health", &body)
}

/// A page that says what went wrong.
pub fn error(status: u16, title: &str, detail: &str) -> Html {
    let mut body = Html::new();
    body.raw("<h1>").number(u64::from(status)).raw(" ").text(title).raw("</h1>");
    body.raw("<p class=\"note bad\">").text(detail).raw("</p>");
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
    page.raw("<a href=\"/suppressions\">Suppressions</a><a href=\"/health\">Health</a>");
    page.raw("<a href=\"/metrics\">Metrics</a><a href=\"/openapi.json\">API</a></nav>");
    page.raw("<form action=\"/address\"><input type=\"search\" name=\"address\" required ");
    page.raw("placeholder=\"user@example.com\" aria-label=\"address\"><button>Explain</button>");
    page.raw("</form></div></header><main>").html(body);
    page.raw("<footer>bounced ")
        .raw(env!("CARGO_PKG_VERSION"))
        .raw("</footer></main></body></html>");
    page
}

fn address_link(address: &str) -> Html {
    let mut link = Html::new();
    if !address.is_empty() {
        link.raw("<a href=\"/address?address=").text(&encode_component(address)).raw("\">");
        link.text(address).raw("</a>");
    }
    link
}

fn state(state: &str) -> Html {
    let mut html = Html::new();
    if state.is_empty() {
        return html;
    }
    html.raw(match state {
        "suppressed" => "<span class=\"state bad\">",
        "held" | "watched" | "probation" => "<span class=\"state wait\">",
        "clear" => "<span class=\"state good\">",
        _ => "<span class=\"state\">",
    });
    html.text(state).raw("</span>");
    html
}

/// A time to the second, without its `T`; what is no time stays as it is.
fn moment(text: &str) -> &str {
    text.get(..19).filter(|_| text.len() >= 20 && text.ends_with('Z')).unwrap_or(text)
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
