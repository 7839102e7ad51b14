//! Wordings that no rule knows, and a rule that is being written.

use maud::{Markup, html};
use serde_json::Value;

use super::ROWS;
use super::trends::progress;
use crate::classify::Reason;
use crate::serve::web::frame::{HtmlPage, Viewer, shell};
use crate::serve::web::glossary;
use crate::serve::web::snippets::{
    at_or_none, count, event_link, grouped, link, nothing, rows, text,
};
use crate::service::trend::Trend;

/// A wording with how often it came.
pub struct Rising {
    /// The wording, what differs blanked.
    pub wording: String,
    /// In the last 24 hours.
    pub day: u64,
    /// In the seven days before.
    pub week: u64,
    /// In 30 days.
    pub month: u64,
    /// Positions of its newest events.
    pub events: Vec<u64>,
}

impl Rising {
    /// So many a day in the week before.
    pub fn usual(&self) -> u64 {
        self.week.div_ceil(7)
    }

    /// Twice as many as usual, and not just one.
    pub fn rises(&self) -> bool {
        self.day >= 3 && self.day > 2 * self.usual()
    }
}

/// The wordings that were counted: those that rise first, then the most frequent ones.
pub fn rising(trend: &Trend) -> Vec<Rising> {
    let now = trend.hour() + 1;
    let mut all: Vec<Rising> = trend
        .wordings
        .iter()
        .map(|(wording, seen)| Rising {
            wording: wording.clone(),
            day: seen.between(now - 24, now),
            week: seen.between(now - 8 * 24, now - 24),
            month: seen.between(i64::MIN, i64::MAX),
            events: seen.events.iter().copied().collect(),
        })
        .collect();
    all.sort_by_key(|one| std::cmp::Reverse((one.rises(), one.month)));
    all
}

/// What the page of unknown wordings shows.
pub struct UnknownPage {
    wordings: Vec<Rising>,
    progress: Markup,
}

impl UnknownPage {
    /// The wordings that were counted.
    pub fn of(trend: &Trend) -> Self {
        Self { wordings: rising(trend), progress: progress(trend) }
    }
}

/// `/unknown`
pub fn unknown(viewer: &Viewer, page: &UnknownPage) -> HtmlPage {
    let body = html! {
        h1 { "Unknown wordings" }
        p.lead { "What servers said in the last 30 days, and no rule knows." }
        p.soft {
            "Addresses, hosts, numbers and ids are blanked, so that what is alike stands together. "
            "Such a refusal counts in nothing; a rule makes it count."
        }
        (page.progress)
        @if page.wordings.is_empty() { (nothing("Every wording was known.")) }
        @else { div.card { table.many {
            thead { tr {
                th { "wording" } th.n { "24 hours" } th.n { "a day before" } th.n { "30 days" }
                th { "events" } @if viewer.may_write() { th { "rule" } }
            } }
            tbody { @for one in page.wordings.iter().take(ROWS) { tr {
                th.words scope="row" {
                    @if one.rises() { span.state.wait { "rising" } " " }
                    (if one.wording.is_empty() { "(no words)" } else { &one.wording })
                }
                td.n data-name="24 hours" { (grouped(one.day)) }
                td.n data-name="a day before" { (grouped(one.usual())) }
                td.n data-name="30 days" { (grouped(one.month)) }
                td data-name="events" { @for seq in &one.events { (event_link(*seq)) " " } }
                @if viewer.may_write() {
                    td data-name="rule" {
                        a href=(link("/rule", &[("wording", &one.wording)])) { "make a rule" }
                    }
                }
            } } }
        } } }
    };
    shell(Some(viewer), "Unknown wordings", "", body)
}

/// A rule as TOML to start from: the words of the wording between its blanks, in their order.
pub fn draft(wording: &str) -> String {
    // Codes have conditions of their own.
    let is_code =
        |word: &str| word.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'#'));
    let is_blank = |word: &&str| (word.starts_with('<') && word.ends_with('>')) || is_code(word);
    let words: Vec<&str> = wording.split_whitespace().collect();
    let quoted = |text: &str| toml::Value::String(text.replace(char::is_control, " ")).to_string();
    let pieces = words.split(is_blank).map(|words| words.join(" "));
    let pieces: Vec<String> =
        pieces.filter(|piece| piece.len() > 2).map(|piece| quoted(&piece)).collect();
    let name: String = wording
        .split(|c: char| !c.is_ascii_lowercase())
        .filter(|word| word.len() > 2 && !matches!(*word, "address" | "host"))
        .take(4)
        .collect::<Vec<_>>()
        .join("-");
    format!(
        "[[rule]]\nid     = {}\nwhen   = {{ text = [{}] }}\nreason = \"generic\"  # choose one below\n\
         seen   = [{}]\nsource = \"seen in our own mail\"\n",
        quoted(&format!("own-{}", if name.is_empty() { "rule" } else { &name })),
        pieces.join(", "),
        quoted(wording)
    )
}

/// What the page of a rule in the making shows.
pub struct RuleTrial<'a> {
    /// The rule as it is.
    pub rules: &'a str,
    /// What it would change, as [`Service::try_rules`](crate::service::Service::try_rules) tells,
    /// or what is wrong with it; None when it was not tried yet.
    pub tried: Option<Result<Value, String>>,
}

/// `/rule`
pub fn rule(viewer: &Viewer, page: &RuleTrial<'_>) -> HtmlPage {
    let body = html! {
        h1 { "Make a rule" }
        p.lead { "Write the rule, try it against the journal, then paste it into a file of " code { "rules.dir" } "." }
        @match &page.tried {
            None => {}
            Some(Err(wrong)) => p.note.bad role="alert" { (wrong) },
            Some(Ok(tried)) => (outcome(tried)),
        }
        form.card.column method="post" action="/rule" {
            (viewer.csrf_field())
            label { "The rule, as TOML"
                textarea name="rules" rows="10" spellcheck="false" required { (page.rules) }
            }
            button { "Try it" }
        }
        p.soft {
            "Nothing is kept here. Save the text as " code { "/etc/bounced/rules.d/own.toml" } ", run "
            code { "bounced rules check" } " and " code { "bounced replay --rules /etc/bounced/rules.d" }
            ", then reload the service (SIGHUP). " code { "bounced replay --apply" }
            " judges again what is in the journal."
        }
        details {
            summary { "Reasons to choose from" }
            div.card { dl { @for reason in Reason::ALL {
                dt { code { (reason.as_str()) } }
                dd { (glossary::reason(reason.as_str())) " " span.soft { "(" (reason.category().as_str()) ")" } }
            } } }
        }
    };
    shell(Some(viewer), "Unknown wordings", "", body)
}

fn outcome(tried: &Value) -> Markup {
    let (changes, findings) = (rows(tried, "changes"), rows(tried, "findings"));
    html! {
        @for finding in findings.iter().filter_map(Value::as_str) { p.note.wait { (finding) } }
        section.card role="status" {
            h2 { "Tried" }
            p {
                (grouped(count(tried, "judged"))) " reports were judged again, back to "
                (at_or_none(text(tried, "since"))) "."
            }
            @if changes.is_empty() { p { "No verdict would change." } }
            @else { table.many {
                thead { tr { th { "now" } th { "with the rule" } th.n { "recipients" } th { "such as" } } }
                tbody { @for change in changes { tr {
                    td data-name="now" { (text(change, "from")) }
                    td data-name="with the rule" { (text(change, "to")) }
                    td.n data-name="recipients" { (grouped(count(change, "count"))) }
                    td.words data-name="such as" { (text(change, "sample")) }
                } } }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::RuleSet;

    #[test]
    fn a_draft_is_a_rule_that_wins_its_wording() {
        for wording in [
            "550 5.1.1 <address> is on holiday for good, says \"boss\" <id>",
            "550 the mailbox of <address> was eaten",
            "x",
        ] {
            let draft = draft(wording);
            let rules = RuleSet::of_text("draft.toml", &draft);
            if wording == "x" {
                // Too little to make a rule of: the text says what is missing.
                assert!(rules.is_err(), "{draft}");
                continue;
            }
            let findings = rules.unwrap_or_else(|wrong| panic!("{wrong}\n{draft}")).check();
            assert!(findings.is_empty(), "{findings:?}\n{draft}");
        }
    }
}
