//! Small pieces that several pages use: how a state, a time, an address or a number is written, and
//! how a value is taken out of the JSON objects of docs/interface.md.

use std::ops::Range;

use maud::{Markup, html};
use serde_json::Value;

use super::glossary;
use crate::serve::percent::encode_component;

/// The text of a field; empty when there is none.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A number, or the length of a list.
pub fn count(value: &Value, name: &str) -> u64 {
    match value.get(name) {
        Some(Value::Array(list)) => list.len() as u64,
        Some(number) => number.as_u64().unwrap_or_default(),
        None => 0,
    }
}

/// The list of a field; empty when there is none.
pub fn rows<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A number for people, in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A link with parameters, each encoded.
pub fn link(path: &str, params: &[(&str, &str)]) -> String {
    let mut out = path.to_string();
    for (place, (name, value)) in params.iter().enumerate() {
        out.push(if place == 0 { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        out.push_str(&encode_component(value));
    }
    out
}

/// The page of an address.
pub fn address_link(address: &str) -> Markup {
    // A long one breaks before its domain first.
    let (local, domain) = address.split_at(address.rfind('@').unwrap_or(0));
    html! {
        @if !address.is_empty() {
            a href=(link("/address", &[("address", address)])) { (local) wbr; (domain) }
        }
    }
}

/// The page of an event.
pub fn event_link(seq: u64) -> Markup {
    html! { a href={ "/event?seq=" (seq) } { (seq) } }
}

/// A state in its colour.
pub fn state(state: &str) -> Markup {
    let colour = match state {
        "suppressed" | "critical" => "state bad",
        "held" | "watched" | "probation" | "unhealthy" | "risky" => "state wait",
        "clear" | "healthy" => "state good",
        _ => "state",
    };
    html! { @if !state.is_empty() { span class=(colour) { (state) } } }
}

/// A scope for people.
pub fn scope(scope: &str) -> &str {
    if scope == "*" { "all" } else { scope }
}

/// `all scopes`, `the scope news`.
pub fn in_scope(scope: &str) -> String {
    match scope {
        "*" | "" => "all scopes".to_string(),
        scope => format!("the scope {scope}"),
    }
}

/// A time to the second; what is not a time stays as it is.
pub fn moment(text: &str) -> Markup {
    match glossary::moment(text) {
        None => html! { (text) },
        Some((date, clock)) => html! { time datetime=(text) { (date) " " (clock) } },
    }
}

/// The same, or the words for none.
pub fn at_or_none(text: &str) -> Markup {
    if text.is_empty() {
        html! { "none" }
    } else {
        moment(text)
    }
}

/// When an entry ends, as far as one can tell.
pub fn until(entry: &Value) -> Markup {
    match (text(entry, "until"), text(entry, "state")) {
        ("", "held") => html! { "the guard ends" },
        ("", "suppressed") => html! { "no end" },
        (until, _) => moment(until),
    }
}

/// A text with what the rule matched in it. Rules fold the case of what they read; folding ASCII
/// alone keeps every place where it is. Words are also found as the lexicon reads them: with other
/// signs between them, and `does not` where the text has `doesn't`.
pub fn marked(text: &str, matched: &str) -> Markup {
    let folded = text.to_ascii_lowercase();
    let literal = folded.find(&matched.to_ascii_lowercase()).filter(|_| !matched.is_empty());
    let place = literal.map(|at| at..at + matched.len()).or_else(|| place_of_words(text, matched));
    let parts = place.and_then(|place| {
        let (before, rest) = text.split_at_checked(place.start)?;
        let (words, after) = rest.split_at_checked(place.len())?;
        Some((before, words, after))
    });
    match parts {
        None => html! { (text) },
        Some((before, words, after)) => html! { (before) mark { (words) } (after) },
    }
}

fn place_of_words(text: &str, matched: &str) -> Option<Range<usize>> {
    let (text, matched) = (words_of(text), words_of(matched));
    let same = |words: &&[(String, Range<usize>)]| {
        words.iter().zip(&matched).all(|((word, _), (wanted, _))| word == wanted)
    };
    let found = text.windows(matched.len().max(1)).find(same).filter(|_| !matched.is_empty())?;
    Some(found.first()?.1.start..found.last()?.1.end)
}

/// The words of a text in lower case, and where they are; `doesn't` is `does` and `not`.
fn words_of(text: &str) -> Vec<(String, Range<usize>)> {
    let mut words: Vec<(String, Range<usize>)> = Vec::new();
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        match words.last_mut().filter(|(_, place)| place.end == at) {
            Some((word, place)) if c.is_alphanumeric() => {
                word.extend(c.to_lowercase());
                place.end = end;
            }
            _ if c.is_alphanumeric() => words.push((c.to_lowercase().collect(), at..end)),
            _ => {}
        }
    }
    for n in 1..words.len() {
        let Some([(before, left), (word, right)]) = words.get_mut(n - 1..=n) else { continue };
        let between = text.get(left.end..right.start);
        if word == "t" && matches!(between, Some("'" | "\u{2019}")) && before.ends_with('n') {
            before.pop();
            *word = "not".to_string();
        }
    }
    words
}

/// Sentences as a list.
pub fn sentences(list: &[Value]) -> Markup {
    html! {
        ul { @for sentence in list.iter().filter_map(Value::as_str) { li { (glossary::times(sentence)) } } }
    }
}

/// A box that says that there is nothing.
pub fn nothing(words: &str) -> Markup {
    html! { p.card.soft { (words) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1\u{202f}000"), (1234567, "1\u{202f}234\u{202f}567")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn what_was_matched_is_marked_where_it_stands() {
        for (text, matched, marked_text) in [
            ("550 User Unknown here", "user unknown", "550 <mark>User Unknown</mark> here"),
            (
                "it doesn't have an account.",
                "does not have",
                "it <mark>doesn't have</mark> an account.",
            ),
            ("no  such-user", "no such user", "<mark>no  such-user</mark>"),
            ("mailbox is full", "over quota", "mailbox is full"),
            ("a <b>", "", "a &lt;b&gt;"),
        ] {
            assert_eq!(marked(text, matched).into_string(), marked_text);
        }
    }

    #[test]
    fn a_link_carries_what_it_is_given() {
        let link = link("/search", &[("q", "a b&c"), ("before", "7")]);
        assert_eq!(link, "/search?q=a%20b%26c&before=7");
    }
}
