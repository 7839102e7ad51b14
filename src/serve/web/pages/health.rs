//! The health page: the checks of the machine, guards that are tripped, and how mail fares.

use serde_json::Value;

use super::{count, moment, scope, shell, state, text, words};
use crate::serve::web::Html;

/// What the health page shows.
#[derive(Debug, Default)]
pub struct Health {
    /// Name and finding of each check.
    pub findings: Vec<(String, Result<String, String>)>,
    /// The guards that are tripped, as [`Service::guards`](crate::service::Operations::guards) tells.
    pub guards: Value,
    /// Rates of a scope, as [`Service::health`](crate::service::Service::health) tells; None when
    /// the service does not answer.
    pub rates: Option<Value>,
}

/// Rows of a table of rates.
const ROWS: usize = 50;

/// `/health`
pub fn health(page: &Health) -> Html {
    let mut body = Html::new();
    body.raw("<h1>Health</h1><div class=\"card\"><table>");
    for (name, finding) in &page.findings {
        body.raw("<tr><th scope=\"row\">").text(name).raw("</th><td>");
        match finding {
            Ok(words) => body.raw("<span class=\"state good\">ok</span></td><td>").text(words),
            Err(words) => body.raw("<span class=\"state bad\">failed</span></td><td>").text(words),
        };
        body.raw("</td></tr>");
    }
    body.raw("</table></div><h2>Guards</h2>").html(&guards(&page.guards));
    if let Some(rates) = &page.rates {
        body.html(&mail(rates));
    }
    shell("Health", &body)
}

fn guards(guards: &Value) -> Html {
    let mut html = Html::new();
    let tripped = guards.as_array().map_or(&[][..], Vec::as_slice);
    if tripped.is_empty() {
        html.raw("<p class=\"card soft\">None is tripped.</p>");
        return html;
    }
    html.raw("<div class=\"card\"><table class=\"many\"><tr><th>guard</th><th>why</th>");
    html.raw("<th>since (UTC)</th><th>covers from (UTC)</th><th>ends when calm (UTC)</th></tr>");
    for guard in tripped {
        let clause = text(guard, "clause");
        html.raw("<tr><td data-name=\"guard\"><b>").text(clause).raw("</b></td>");
        html.raw("<td data-name=\"why\" class=\"words\">").text(text(guard, "why"));
        html.raw(": ").text(words::clause(clause)).raw("</td>");
        html.raw("<td data-name=\"since\" class=\"when\">").html(&moment(text(guard, "since")));
        html.raw("</td><td data-name=\"covers from\" class=\"when\">");
        html.html(&moment(text(guard, "covers_from")));
        html.raw("</td><td data-name=\"ends when calm\" class=\"when\">");
        html.html(&moment(text(guard, "calm_at"))).raw("</td></tr>");
    }
    html.raw("</table><p class=\"soft\">What a guard covers is held: mail to it is paused. When ");
    html.raw("the guard ends these addresses may be mailed again, and another failure on a later ");
    html.raw("day suppresses them. <code>bounced guards release</code> ends one sooner.</p></div>");
    html
}

fn mail(rates: &Value) -> Html {
    let mut html = Html::new();
    let day = |name| text(rates, name).get(..10).unwrap_or_default();
    html.raw("<h2>Mail in the scope ").text(scope(text(rates, "scope"))).raw(", ");
    html.text(day("from")).raw(" to ").text(day("to"));
    html.raw("</h2><form class=\"row\" action=\"/health\"><label>Scope ");
    html.raw("<input name=\"scope\" size=\"14\" value=\"").text(text(rates, "scope"));
    html.raw("\"></label><label>From <input type=\"date\" name=\"from\" value=\"");
    html.text(day("from")).raw("\"></label><label>To <input type=\"date\" name=\"to\" value=\"");
    html.text(day("to")).raw("\"></label><button>Show</button></form>");
    html.raw(
        "<p class=\"soft\">Percentages are of mail that was reported as sent (complaints: as ",
    );
    html.raw("delivered) by <code>POST /v1/events</code>; without such reports, or with too few, ");
    html.raw("the state is unknown.</p>");
    let total = rates.get("total").cloned().unwrap_or_default();
    html.html(&table("All", vec![("all", &total)]));
    for (title, name) in
        [("By campaign", "by_campaign"), ("By provider", "by_provider"), ("By day", "by_day")]
    {
        let parts = rates.get(name).and_then(Value::as_object).into_iter().flatten();
        let mut parts: Vec<(&str, &Value)> =
            parts.map(|(key, part)| (key.as_str(), part)).collect();
        match name {
            "by_day" => parts.reverse(),
            // The largest first; names decide between equals, as they came.
            _ => parts.sort_by_key(|(_, part)| std::cmp::Reverse(volume(part))),
        }
        html.html(&table(title, parts));
    }
    html
}

fn volume(part: &Value) -> u64 {
    ["sent", "hard", "soft", "block", "complaint"].iter().map(|name| count(part, name)).sum()
}

fn table(title: &'static str, parts: Vec<(&str, &Value)>) -> Html {
    let mut html = Html::new();
    if parts.is_empty() {
        return html;
    }
    html.raw("<h3>").raw(title).raw("</h3><div class=\"card\"><table class=\"many\"><tr>");
    html.raw("<th></th><th>state</th>");
    for name in ["sent", "delivered", "hard", "soft", "block", "complaints", "unsubscribed"] {
        html.raw("<th class=\"n\">").raw(name).raw("</th>");
    }
    html.raw("</tr>");
    for (name, part) in parts.iter().take(ROWS) {
        html.raw("<tr><th scope=\"row\">").text(if name.is_empty() { "(none)" } else { name });
        html.raw("</th><td data-name=\"state\">").html(&state(text(part, "state"))).raw("</td>");
        number(&mut html, "sent", part, "sent", "");
        number(&mut html, "delivered", part, "delivered", "");
        number(&mut html, "hard", part, "hard", "hard_rate");
        number(&mut html, "soft", part, "soft", "soft_rate");
        number(&mut html, "block", part, "block", "block_rate");
        number(&mut html, "complaints", part, "complaint", "complaints");
        number(&mut html, "unsubscribed", part, "unsubscribe", "");
        html.raw("</tr>");
    }
    html.raw("</table>");
    if parts.len() > ROWS {
        html.raw("<p class=\"soft\">and ").number((parts.len() - ROWS) as u64);
        html.raw(" more in <code>GET /v1/health</code></p>");
    }
    html.raw("</div>");
    html
}

/// A number with its rate, where there is one.
fn number(html: &mut Html, name: &'static str, part: &Value, figure: &str, rate: &str) {
    html.raw("<td class=\"n\" data-name=\"").raw(name).raw("\">").grouped(count(part, figure));
    if let Some(percent) = part.get(rate).and_then(|rate| rate.get("percent")?.as_f64()) {
        html.raw(" <span class=\"soft\">").text(&format!("{percent:.1} %")).raw("</span>");
    }
    html.raw("</td>");
}
