//! A short journal: read, compare, take back.

use super::*;
use crate::cli::fake::{self, Fake};

fn line(seq: u64, day: u32, reason: &str, said: &str) -> String {
    fake::line(seq, day, &format!("u{seq}@example.com"), reason, said)
}

fn journal() -> Fake {
    let lines = vec![
        line(1, 1, "undetermined", "550 no for <u1@example.com> id 8a7b6c5d4e"),
        line(2, 2, "user-unknown", "550 no such user"),
        line(3, 20, "undetermined", "550 rare words"),
        "{\"seq\":4}".to_string(),
        line(5, 21, "undetermined", "550 no for <u5@example.com> id 11b6c5d4e"),
    ];
    Fake { lines, ..Fake::default() }
}

fn run(
    command: impl FnOnce(&Fake, &mut Console<'_>) -> Result<ExitAnswer>,
) -> (ExitAnswer, String, Vec<(Act, bool)>) {
    let journal = journal();
    let (answer, out, _) = fake::run(&journal, command);
    (answer.expect("this journal can be read"), out, journal.acts.into_inner())
}

#[test]
fn unknown_wordings_are_counted_together() {
    let args = |since: Option<&str>, limit| UnknownArgs {
        since: since.map(str::to_string),
        limit,
        json: false,
    };
    let both = "      2  550 no for <address> id <id>\n           \
         550 no for <address> id 8a7b6c5d4e\n           550 no for <address> id 11b6c5d4e\n           \
         2026-11-01T00:00:00Z to 2026-11-21T00:00:00Z, first from mx.example.net in e1\n";
    let rare = "      1  550 rare words\n           550 rare words\n           \
         2026-11-20T00:00:00Z to 2026-11-20T00:00:00Z, first from mx.example.net in e3\n";
    let late = "      1  550 no for <address> id <id>\n           \
         550 no for <address> id 11b6c5d4e\n           \
         2026-11-21T00:00:00Z to 2026-11-21T00:00:00Z, first from mx.example.net in e5\n";
    for (args, expected) in [
        (args(None, 50), format!("{both}{rare}")),
        (args(None, 1), both.to_string()),
        (args(Some("7d"), 50), format!("{late}{rare}")),
        (args(Some("2026-11-22"), 50), String::new()),
    ] {
        let (answer, out, _) = run(|journal, console| unknown(&args, journal, console));
        assert_eq!(out, expected);
        assert_eq!(answer, ExitAnswer::yes_if(!expected.is_empty()));
    }
}

#[test]
fn the_words_of_in_band_results_are_unknown_as_well() {
    let reported: serde_json::Value =
        serde_json::from_str(&line(1, 1, "undetermined", "550 rare words")).expect("JSON");
    let result = json!({"seq": 1, "id": "e1", "type": "result", "received_at": "2026-11-01T00:00:00Z",
        "result": {"outcome": "failed", "address": "u@example.com",
            "verdict": reported["recipients"][0]}});
    let journal = Fake { lines: vec![result.to_string()], ..Fake::default() };
    let args = UnknownArgs { since: None, limit: 50, json: false };
    let (answer, out, err) = fake::run(&journal, |s, c| unknown(&args, s, c));
    assert_eq!(answer.ok(), Some(ExitAnswer::Yes), "{err}");
    assert!(out.starts_with("      1  550 rare words\n"), "{out}");
}

#[test]
fn an_undo_says_what_it_takes_back() {
    let (_, out, acts) = run(|journal, console| {
        let args = UndoArgs {
            rule: Some("iana/5.1.1".into()),
            provider: None,
            peer: None,
            between: vec!["2026-11-20".into(), "2026-11-21".into()],
            reason: Some(" outage ".into()),
            dry_run: true,
        };
        undo(args, journal, console)
    });
    assert_eq!(out, "changed      1\n");
    let expected = Act::Undo {
        rule: Some("iana/5.1.1".into()),
        provider: None,
        peer: None,
        after: Timestamp::parse_rfc3339("2026-11-20"),
        before: Timestamp::parse_rfc3339("2026-11-21"),
        reason: "outage".into(),
    };
    assert_eq!(acts, [(expected, true)]);
}
