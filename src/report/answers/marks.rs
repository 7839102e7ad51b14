//! The phrase tables, and finding all of them in one pass.
//!
//! Promises: one look for all phrases in sender, subject and the beginning of the text (see
//! [`MultiSearch`]); a phrase counts only as whole words; the number of hits is bounded. The tables
//! are data (`*.toml` beside this file); what they mean together is judged in `mod.rs`.

use std::sync::LazyLock;

use serde::Deserialize;

use super::normalize::normalize;
use crate::mail::MultiSearch;

/// What a phrase speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Topic {
    /// A notice of a delivery failure.
    Failure,
    /// A notice of a delayed delivery.
    Delay,
    /// Absence and automatic answers.
    Vacation,
    /// Acknowledgement by a ticket system or a contact form.
    Ticket,
    /// Challenge-response.
    Challenge,
    /// Asks out.
    Unsubscribe,
    /// Asks in.
    Subscribe,
    /// Read receipt.
    Receipt,
    /// The sender's address changed.
    Move,
}

/// Where a phrase counts; the tables' keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkPlace {
    /// Name or address of the sender.
    From,
    /// The subject begins so.
    Lead,
    /// Anywhere in the subject.
    Subject,
    /// In the subject, with another clue.
    Hint,
    /// Says that the topic is another one.
    Cancel,
    /// The whole subject, or the whole first line.
    Exact,
    /// The text says of itself what it is.
    Says,
    /// In the text.
    Text,
    /// In the text, with another clue.
    Weak,
    /// In the text: our message is kept back.
    Held,
    /// In the text: what the sender shall do.
    Act,
    /// In the text: why a sender must do so, or what he gets by it.
    Why,
}

/// One phrase of a table.
#[derive(Debug)]
pub(super) struct Mark {
    pub topic: Topic,
    pub place: MarkPlace,
    /// Product of a challenge.
    pub format: String,
    /// Normalized phrase.
    pub phrase: String,
    /// What `bounce_signs` and the evidence print.
    pub label: String,
    open_end: bool,
}

/// A phrase that was found, with its octets in the normalized text.
#[derive(Debug, Clone, Copy)]
pub(super) struct MarkHit {
    pub mark: &'static Mark,
    pub start: usize,
    pub end: usize,
}

/// Hits that are kept of one message; more say nothing new.
const HITS: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PhraseFile {
    phrases: Vec<PhraseRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PhraseRow {
    topic: Topic,
    lang: String,
    #[serde(default)]
    format: String,
    #[serde(default)]
    from: Vec<String>,
    #[serde(default)]
    lead: Vec<String>,
    #[serde(default)]
    subject: Vec<String>,
    #[serde(default)]
    hint: Vec<String>,
    #[serde(default)]
    cancel: Vec<String>,
    #[serde(default)]
    exact: Vec<String>,
    #[serde(default)]
    says: Vec<String>,
    #[serde(default)]
    text: Vec<String>,
    #[serde(default)]
    weak: Vec<String>,
    #[serde(default)]
    held: Vec<String>,
    #[serde(default)]
    act: Vec<String>,
    #[serde(default)]
    why: Vec<String>,
}

const FILES: [&str; 7] = [
    include_str!("bounces.toml"),
    include_str!("vacation.toml"),
    include_str!("tickets.toml"),
    include_str!("challenges.toml"),
    include_str!("requests.toml"),
    include_str!("receipts.toml"),
    include_str!("moves.toml"),
];

struct PhraseTables {
    /// Long phrases first: where several begin at one place, that is their order.
    marks: Vec<Mark>,
    search: MultiSearch,
}

static TABLES: LazyLock<PhraseTables> = LazyLock::new(|| {
    let mut marks: Vec<Mark> = Vec::new();
    for file in FILES {
        let file: PhraseFile = toml::from_str(file).expect("a unit test reads the shipped tables");
        marks.extend(file.phrases.iter().flat_map(marks_of));
    }
    // A stable sort: among equals the order of the files stays.
    marks.sort_by_key(|mark| match mark.phrase.len() {
        0..5 => 2,
        5..8 => 1,
        _ => 0,
    });
    let search = MultiSearch::new(marks.iter().map(|mark| &mark.phrase));
    PhraseTables { marks, search }
});

fn marks_of(row: &PhraseRow) -> impl Iterator<Item = Mark> + '_ {
    let places = [
        (MarkPlace::Held, "text", &row.held),
        (MarkPlace::Act, "text", &row.act),
        (MarkPlace::Why, "text", &row.why),
        (MarkPlace::From, "from", &row.from),
        (MarkPlace::Lead, "subject", &row.lead),
        (MarkPlace::Subject, "subject", &row.subject),
        (MarkPlace::Hint, "subject", &row.hint),
        (MarkPlace::Cancel, "text", &row.cancel),
        (MarkPlace::Exact, "subject", &row.exact),
        (MarkPlace::Says, "text", &row.says),
        (MarkPlace::Text, "text", &row.text),
        (MarkPlace::Weak, "text", &row.weak),
    ];
    places.into_iter().flat_map(move |(place, word, list)| {
        list.iter().map(move |written| {
            let plain = written.trim_end_matches('*');
            Mark {
                topic: row.topic,
                place,
                format: row.format.clone(),
                phrase: normalize(plain),
                label: format!("{word}: `{plain}` ({})", row.lang),
                open_end: written.ends_with('*'),
            }
        })
    })
}

/// All phrases in a normalized text, as whole words, in the order of the text.
pub(super) fn find(normalized: &str) -> Vec<MarkHit> {
    let tables = &*TABLES;
    let mut found: Vec<(usize, usize)> = Vec::new();
    tables.search.find(normalized.as_bytes(), |n, start| {
        let fits = |mark: &Mark| {
            word_begins(normalized, start)
                && (mark.open_end || word_ends(normalized, start + mark.phrase.len()))
        };
        if tables.marks.get(n).is_some_and(fits) {
            found.push((start, n));
        }
    });
    found.sort_unstable();
    if let Some(&(last, _)) = found.get(HITS - 1) {
        found.retain(|(start, _)| *start <= last);
    }
    let hit = |(start, n): (usize, usize)| {
        let mark = tables.marks.get(n)?;
        Some(MarkHit { mark, start, end: start + mark.phrase.len() })
    };
    found.into_iter().filter_map(hit).collect()
}

/// Whether a word begins here: what is before is no letter, or the script writes without spaces
/// (or with prefixes, as Hebrew and Arabic do).
fn word_begins(text: &str, at: usize) -> bool {
    let before = text.get(..at).and_then(|t| t.chars().next_back());
    let first = text.get(at..).and_then(|t| t.chars().next());
    !(before.is_some_and(spaced_letter) && first.is_some_and(spaced_letter)) && first != Some(' ')
}

fn word_ends(text: &str, at: usize) -> bool {
    let last = text.get(..at).and_then(|t| t.chars().next_back());
    let after = text.get(at..).and_then(|t| t.chars().next());
    !(last.is_some_and(spaced_letter) && after.is_some_and(spaced_letter))
}

/// A letter or digit of a script that separates its words: Latin, Greek, Cyrillic, Armenian,
/// Georgian.
fn spaced_letter(c: char) -> bool {
    match c {
        '\0'..='\x7f' => c.is_ascii_alphanumeric(),
        '\u{80}'..='\u{58f}' | '\u{10a0}'..='\u{10ff}' | '\u{1e00}'..='\u{1fff}' => {
            c.is_alphanumeric()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_is_found_by_itself() {
        let mut count = 0;
        for mark in &TABLES.marks {
            assert!(!mark.phrase.trim().is_empty(), "{}", mark.label);
            let found = find(&mark.phrase);
            assert!(found.iter().any(|h| std::ptr::eq(h.mark, mark)), "{}", mark.label);
            count += 1;
        }
        assert!(count > 3000, "only {count} phrases: a table is not read");
    }

    #[test]
    fn only_whole_words_count() {
        for (text, phrase, expected) in [
            ("urlaub", "urlaub", true),
            ("urlaubsantrag", "urlaub", false),
            ("kein urlaub mehr", "urlaub", true),
            // Japanese has no spaces.
            ("本日不在です", "不在", true),
            ("respuesta automatica", "respuesta autom", true),
        ] {
            let hit = find(text).iter().any(|h| h.mark.phrase == phrase);
            assert_eq!(hit, expected, "{phrase} in {text}");
        }
    }
}
