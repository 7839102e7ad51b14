//! What one service exports, another one imports and tells again.

use bounced::event::Act;
use bounced::mail::Timestamp;
use bounced::policy::prefix;
use bounced::service::import::{ImportReader, Read, Wishes};
use bounced::service::lines::{COLUMNS, ListFormat};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::properties::{history, play};
use crate::support::*;

/// The entries of a book at a moment, with the fields of an export.
fn list(book: &Book, at: i64) -> Vec<Value> {
    let rows = book.memory().rows;
    let rows = rows.iter().filter(|(key, _)| key.starts_with(&prefix(None)));
    let entries = rows.flat_map(|(key, value)| {
        let now = Timestamp::from_millis(at);
        book.reader.entries(book, key, value, None, now).expect("memory does not fail")
    });
    let shown = entries.map(|standing| {
        let all = json!(standing);
        let kept = COLUMNS.iter().map(|name| (name.to_string(), all[*name].clone()));
        Value::Object(kept.collect())
    });
    shown.collect()
}

/// A book into which an export went, and how many entries of it did not.
fn imported(text: &str, at: i64) -> (Book, usize) {
    let wishes =
        Wishes { reason: "moved".to_string(), reasoned: true, scope: "*".to_string(), all: false };
    let (mut reader, book) = (ImportReader::new(wishes), Book::default());
    reader.feed(text.as_bytes()).expect("a list");
    reader.end().expect("a list");
    let mut left_out = 0;
    while let Some((_, read)) = reader.next() {
        match read {
            Read::Entry(entry) => {
                book.act(
                    at,
                    Act::Suppress {
                        address: entry.address,
                        scope: entry.scope,
                        reason: entry.words,
                        until: entry.until,
                        imported: entry.imported,
                    },
                );
            }
            Read::LeftOut(why) => {
                assert_eq!(why, "held, not suppressed: not imported");
                left_out += 1;
            }
            Read::Noted(what) | Read::Refused(what, _) => panic!("{what}"),
        }
    }
    (book, left_out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_export_comes_back_as_it_was(history in history(), later in 0..200i64, backwards: bool) {
        let book = Book::default();
        let at = play(&book, &history) + later * DAY;
        let list_of_old = list(&book, at);
        let (kept, held): (Vec<Value>, Vec<Value>) =
            list_of_old.iter().cloned().partition(|entry| entry["state"] == "suppressed");
        for format in [ListFormat::Ndjson, ListFormat::Csv] {
            let mut text = format.header();
            let mut order: Vec<&Value> = list_of_old.iter().collect();
            if backwards {
                order.reverse();
            }
            order.into_iter().for_each(|entry| format.push(entry, &mut text));
            let (new, left_out) = imported(&text, at);
            prop_assert_eq!(&list(&new, at), &kept, "{}", text);
            prop_assert_eq!(left_out, held.len());
        }
    }
}
