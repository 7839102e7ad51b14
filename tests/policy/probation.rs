//! Probation over a year of simulated time: one more try between day 14 and day 90.

use bounced::classify::Reason;
use bounced::policy::{Policy, PolicyTable};
use bounced::report::Kind;

use crate::support::*;

const USER: &str = "user@example.com";

/// A record on a day.
type On = (i64, fn() -> bounced::event::Event);

/// States of each day of a year after a `user-unknown` on day 0, as runs: `(state, first day)`.
fn year(policy: &Policy, events: &[On]) -> Vec<(String, i64)> {
    let book = Book::with(policy);
    book.put(0, failure(USER, Reason::UserUnknown));
    let mut runs: Vec<(String, i64)> = Vec::new();
    for day in 0..365 {
        for (_, event) in events.iter().filter(|(on, _)| *on == day) {
            book.put(day * DAY, event());
        }
        let state = book.state(USER, day * DAY + HOUR);
        if runs.last().is_none_or(|(last, _)| *last != state) {
            runs.push((state, day));
        }
    }
    runs
}

fn failed() -> bounced::event::Event {
    failure(USER, Reason::UserUnknown)
}
fn full() -> bounced::event::Event {
    failure(USER, Reason::MailboxFull)
}
fn sent() -> bounced::event::Event {
    result("sent", USER, None)
}
fn answered() -> bounced::event::Event {
    message(Kind::AutoReply, USER)
}

#[test]
fn a_year_of_probation() {
    type Case<'a> = (&'a str, &'a [On], &'a [(&'a str, i64)]);
    let table: &[Case<'_>] = &[
        ("no try", &[], &[("suppressed", 0), ("probation", 14), ("suppressed", 90)]),
        (
            "a try that fails",
            &[(30, sent), (30, failed)],
            &[("suppressed", 0), ("probation", 14), ("suppressed", 30)],
        ),
        (
            "a failure without `sent` events",
            &[(20, failed)],
            &[("suppressed", 0), ("probation", 14), ("suppressed", 20)],
        ),
        (
            "a try without a failure",
            &[(30, sent)],
            &[("suppressed", 0), ("probation", 14), ("clear", 37)],
        ),
        (
            "a late try is judged after the end",
            &[(89, sent)],
            &[("suppressed", 0), ("probation", 14), ("clear", 96)],
        ),
        ("an answer", &[(50, answered)], &[("suppressed", 0), ("probation", 14), ("clear", 50)]),
        (
            "mail before the term is over is no try",
            &[(3, sent)],
            &[("suppressed", 0), ("probation", 14), ("suppressed", 90)],
        ),
        (
            "a failure of mail that was under way changes nothing",
            &[(1, failed), (2, failed)],
            &[("suppressed", 0), ("probation", 14), ("suppressed", 90)],
        ),
        (
            "a soft failure is no answer to the question",
            &[(30, full)],
            &[("suppressed", 0), ("probation", 14), ("suppressed", 90)],
        ),
        (
            "failed again after it was cleared: the clock starts anew",
            &[(30, sent), (100, failed)],
            &[
                ("suppressed", 0),
                ("probation", 14),
                ("clear", 37),
                ("suppressed", 100),
                ("probation", 114),
                ("suppressed", 190),
            ],
        ),
    ];
    for (name, events, expected) in table {
        let runs = year(&Policy::default(), events);
        let runs: Vec<(&str, i64)> = runs.iter().map(|(s, d)| (s.as_str(), *d)).collect();
        assert_eq!(runs, *expected, "{name}");
    }
}

#[test]
fn probation_can_be_turned_off_or_end_in_clear() {
    for (toml, expected) in [
        ("probation = \"0\"", &[("suppressed", 0), ("clear", 14)][..]),
        ("untried = \"clear\"", &[("suppressed", 0), ("probation", 14), ("clear", 90)]),
        ("term = \"forever\"", &[("suppressed", 0)]),
        ("term = \"0\"", &[("watched", 0), ("clear", 30)]),
        ("preset = \"strict\"", &[("suppressed", 0)]),
    ] {
        let table: PolicyTable = toml::from_str(toml).expect(toml);
        let policy = Policy::check(table).expect(toml);
        let runs = year(&policy, &[]);
        let runs: Vec<(&str, i64)> = runs.iter().map(|(s, d)| (s.as_str(), *d)).collect();
        assert_eq!(runs, expected, "{toml}");
    }
}

#[test]
fn explain_says_what_would_change_it() {
    let book = Book::default();
    book.put(0, failure(USER, Reason::UserUnknown));
    for (day, says) in
        [(1, "probation begins"), (20, "one more try is allowed"), (100, "a person may release it")]
    {
        let standing = book.standing(USER, None, day * DAY).expect("a standing");
        assert!(standing.outlook.iter().any(|s| s.contains(says)), "{:?}", standing.outlook);
    }
    let standing = book.standing(USER, None, 100 * DAY).expect("a standing");
    assert_eq!(standing.clause.as_deref(), Some("probation/untried"));
    assert_eq!(standing.until, None);
}
