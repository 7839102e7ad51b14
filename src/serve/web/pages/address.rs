//! The page of one address: may it be mailed, why not, since and until when, which message said
//! so in which words, by which rule and clause, and what would change it.

use serde_json::Value;

use super::{Flash, Only, events, marked, moment, origin, rows, shell, state, text, until, words};
use crate::serve::percent::encode_component;
use crate::serve::web::Html;

/// Fields of the explanation that have a place of their own; what is not among them is shown as
/// it came, so that nothing is hidden.
const KNOWN: [&str; 6] = ["address", "state", "summary", "outlook", "entries", "events"];

/// `/address?address=`: what is known of one address, and why.
pub fn address(asked: &str, explained: &Value, notice: Option<Flash>) -> Html {
    // The form under which the service knows it: `User@EXAMPLE.com` is asked, and this answers.
    let address = Some(text(explained, "address")).filter(|a| !a.is_empty()).unwrap_or(asked);
    let mut body = Html::new();
    if let Some(Flash::Released) = notice {
        body.raw("<p class=\"note good\">Released. The reason is in the journal.</p>");
    }
    body.raw("<h1>").text(address).raw(" ").html(&state(text(explained, "state"))).raw("</h1>");
    let known = rows(explained, "events");
    let standings = rows(explained, "entries");
    body.raw("<p class=\"lead\">");
    match (text(explained, "state"), standings.iter().any(stops)) {
        ("clear", true) => body.raw("Mail may be sent, but not in every scope."),
        (state, _) => body.text(words::state(state)),
    };
    body.raw("</p>");
    if let Some(summary) = explained.get("summary").and_then(Value::as_str) {
        body.raw("<p class=\"soft\">").text(&words::times(summary)).raw("</p>");
    }
    for one in standings {
        body.html(&standing(address, one, known));
    }
    let outlook = rows(explained, "outlook");
    if standings.is_empty() && !outlook.is_empty() {
        body.raw("<h2>What would change it</h2><div class=\"card\">");
        body.html(&sentences(outlook)).raw("</div>");
    }
    let evidence = explained.get("policy").map_or(&[][..], |policy| rows(policy, "evidence"));
    body.raw("<h2>Evidence, newest first</h2>");
    body.html(&events(known, Some(Only { address, evidence })));
    let more = explained.as_object().into_iter().flatten();
    for (name, value) in more.filter(|(name, value)| !KNOWN.contains(&&***name) && !value.is_null())
    {
        body.raw("<details><summary>");
        match name.as_str() {
            "policy" => body.raw("The policy that was applied, and every piece of evidence"),
            name => body.text(&name.replace('_', " ")),
        };
        body.raw("</summary><div class=\"card\"><pre>");
        match value.as_str() {
            Some(text) => body.text(text),
            None => body.text(&serde_json::to_string_pretty(value).unwrap_or_default()),
        };
        body.raw("</pre></div></details>");
    }
    body.raw("<p><a href=\"/v1/addresses/").text(&encode_component(address));
    body.raw("\">All of it as JSON</a></p>");
    shell(address, &body)
}

fn stops(standing: &Value) -> bool {
    matches!(text(standing, "state"), "suppressed" | "held")
}

/// One entry in words, with the message that decided it, and the way to release it.
fn standing(address: &str, entry: &Value, known: &[Value]) -> Html {
    let mut html = Html::new();
    let name = text(entry, "state");
    html.raw("<section class=\"card\"><h2>").html(&state(name)).raw(" in ");
    match text(entry, "scope") {
        "*" | "" => html.raw("all scopes"),
        scope => html.raw("the scope ").text(scope),
    };
    html.raw("</h2><dl>");
    let reason = text(entry, "reason");
    fact(&mut html, "why", reason, words::reason(reason));
    let class = text(entry, "class");
    if !class.is_empty() {
        fact(&mut html, "class", class, text(entry, "category"));
    }
    html.raw("<dt>since</dt><dd>").html(&moment(text(entry, "since"))).raw("</dd>");
    let until = until(entry);
    if until != Html::new() {
        html.raw("<dt>until</dt><dd>").html(&until).raw("</dd>");
    }
    let seq = entry.get("seq").and_then(Value::as_u64);
    let by = known.iter().find(|event| event.get("seq").and_then(Value::as_u64) == seq);
    let by = by.filter(|_| seq.is_some());
    if let Some(event) = by {
        html.raw("<dt>said by</dt><dd>").html(&said(address, event)).raw("</dd>");
    }
    // A person needs no attribution and no rule.
    if reason != "by-hand" {
        let level = text(entry, "attribution");
        fact(&mut html, "tied to it by", level, words::attribution(level));
        let rule_at = by.and_then(|event| verdict(address, event)).map(|v| text(v, "rule_at"));
        fact(&mut html, "read by rule", text(entry, "rule"), rule_at.unwrap_or_default());
    }
    fact(&mut html, "clause", text(entry, "clause"), words::clause(text(entry, "clause")));
    let outlook = rows(entry, "outlook");
    if !outlook.is_empty() {
        html.raw("<dt>would change it</dt><dd>").html(&sentences(outlook)).raw("</dd>");
    }
    html.raw("</dl>").html(&release_form(address, text(entry, "scope"))).raw("</section>");
    html
}

/// A word and what it means; nothing when there is no word.
fn fact(html: &mut Html, name: &'static str, word: &str, meaning: &str) {
    if word.is_empty() {
        return;
    }
    html.raw("<dt>").raw(name).raw("</dt><dd><b>").text(word).raw("</b>");
    if !meaning.is_empty() {
        html.raw(": ").text(meaning);
    }
    html.raw("</dd>");
}

/// What an event said of the address, and when.
fn said(address: &str, event: &Value) -> Html {
    let mut html = Html::new();
    match (event.get("act").filter(|act| act.is_object()), verdict(address, event)) {
        (Some(act), _) => html.raw("“").text(text(act, "reason")).raw("”"),
        (None, Some(one)) if !text(one, "diagnostic").is_empty() => {
            html.raw("“").html(&marked(text(one, "diagnostic"), text(one, "matched"))).raw("”")
        }
        // A complaint, say: it has no words of its own.
        (None, _) => html.raw("a message of the kind ").text(text(event, "kind")),
    };
    html.raw("<div class=\"soft\">event ").number(super::count(event, "seq")).raw(", ");
    html.html(&moment(text(event, "received_at"))).raw("</div>").html(&origin(event));
    html
}

/// What an event says of an address; of the first recipient when the address stands in the return
/// path alone.
fn verdict<'a>(address: &str, event: &'a Value) -> Option<&'a Value> {
    let result = event.get("result").and_then(|result| result.get("verdict"));
    let mut recipients = rows(event, "recipients").iter().chain(result);
    let ours = recipients.clone().find(|one| text(one, "address") == address);
    ours.or_else(|| recipients.next())
}

fn sentences(list: &[Value]) -> Html {
    let mut html = Html::new();
    html.raw("<ul>");
    for sentence in list.iter().filter_map(Value::as_str) {
        html.raw("<li>").text(&words::times(sentence)).raw("</li>");
    }
    html.raw("</ul>");
    html
}

fn release_form(address: &str, of: &str) -> Html {
    let of = if of.is_empty() { "*" } else { of };
    let mut form = Html::new();
    form.raw("<form class=\"row\" method=\"post\" action=\"/address/release\">");
    form.raw("<input type=\"hidden\" name=\"address\" value=\"").text(address);
    form.raw("\"><input type=\"hidden\" name=\"scope\" value=\"").text(of);
    form.raw("\"><label class=\"wide\">Why release it? <input name=\"reason\" required ");
    form.raw("maxlength=\"500\"></label><button>Release in ");
    match of {
        "*" => form.raw("all scopes"),
        of => form.raw("the scope ").text(of),
    };
    form.raw("</button></form>");
    form
}
