//! The sentences of docs/policy.md that hold for every history.

use bounced::classify::Reason;
use bounced::event::{Act, Event, EventType, Imported};
use bounced::ledger::Fold;
use bounced::mail::{Address, Timestamp};
use bounced::policy::{MAX_ITEMS, Policy, PolicyFold};
use bounced::report::Kind;
use proptest::prelude::*;

use crate::support::*;

const USERS: [&str; 4] = ["a@example.com", "b@example.com", "c@gmail.com", "d@gmail.com"];
const PEERS: [&str; 3] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
const REASONS: [Reason; 6] = [
    Reason::UserUnknown,
    Reason::MailboxInactive,
    Reason::MailboxFull,
    Reason::Blocked,
    Reason::DomainUnknown,
    Reason::SystemError,
];
const SCOPES: [Option<&str>; 3] = [None, Some("news"), Some("bills")];

/// One record and how long after the one before it came, in hours.
fn record() -> impl Strategy<Value = (i64, Event)> {
    let parts = (0..14usize, 0..4usize, 0..3usize, 0..6usize, 0..3usize, 0..40usize);
    (0..100i64, parts).prop_map(|(gap, (what, user, peer, reason, scope, mail))| {
        let address = USERS[user];
        let mut event = match what {
            0..=5 => failure(address, REASONS[reason]),
            6 => message(Kind::AutoReply, address),
            7 => message(Kind::Complaint, address),
            8 => message(Kind::Unsubscribe, address),
            9 => result("sent", address, None),
            10 => result("failed", address, Some(REASONS[reason])),
            11 => signed(
                failure(address, REASONS[reason]),
                address,
                &format!("b-{mail}"),
                SCOPES[scope],
            ),
            12 => act(Act::Suppress {
                address: address.to_string(),
                scope: SCOPES[scope].unwrap_or("*").to_string(),
                reason: "test".to_string(),
                until: (mail % 2 == 0).then(|| Timestamp::from_millis(mail as i64 * 10 * DAY)),
                imported: Imported::default(),
            }),
            _ => act(Act::Release {
                address: address.to_string(),
                scope: SCOPES[scope].unwrap_or("*").to_string(),
                reason: "test".to_string(),
            }),
        };
        if event.event_type != EventType::Act {
            event.peer = Some(PEERS[peer].to_string());
            event.scope = event.scope.or(SCOPES[scope].map(str::to_string));
            if mail < 20 {
                event = about(event, &format!("<m{mail}@example.net>"));
            }
        }
        (gap, event)
    })
}

fn act(act: Act) -> Event {
    let mut event = blank(EventType::Act);
    event.act = Some(act);
    event
}

pub fn history() -> impl Strategy<Value = Vec<(i64, Event)>> {
    proptest::collection::vec(record(), 1..60)
}

pub fn play(book: &Book, history: &[(i64, Event)]) -> i64 {
    let mut at = 0;
    for (gap, event) in history {
        at += gap * HOUR;
        book.put(at, event.clone());
    }
    at
}

/// How everyone stands in every scope now, in a month, and in a year.
fn everything(book: &Book, at: i64) -> Vec<String> {
    let mut states = Vec::new();
    for user in USERS {
        for scope in [None, Some("news"), Some("bills"), Some("other")] {
            for later in [0, 20 * DAY, 60 * DAY, 400 * DAY] {
                let standing = book.standing(user, scope, at + later);
                let said = standing.map(|s| (s.state, s.clause, s.until, s.since));
                let said = said.filter(|s| s.0.as_str() != "clear");
                states.push(format!("{user} {scope:?} {later} {said:?}"));
            }
        }
    }
    states
}

/// Folds a journal again from nothing, as a restart does, with a new fold at some places.
fn rebuild(book: &Book, restarts: &[usize]) -> Memory {
    let mut memory = Memory::default();
    let mut fold = PolicyFold::new();
    for (n, event) in book.memory().journal.iter().enumerate() {
        if restarts.contains(&n) {
            fold = PolicyFold::new();
        }
        let mut event = event.clone();
        let decided = std::mem::take(&mut event.decisions);
        fold.fold(&mut memory, &mut event).expect("memory does not fail");
        assert_eq!(event.decisions, decided, "decisions are a function of the journal");
        memory.journal.push(event);
    }
    memory
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn folding_in_two_parts_equals_folding_at_once(history in history(), cut in 0..60usize) {
        let whole = Book::default();
        play(&whole, &history);
        let parts = rebuild(&whole, &[cut.min(history.len())]);
        prop_assert_eq!(parts.rows, whole.memory().rows);
    }

    #[test]
    fn state_rebuilt_from_the_journal_is_the_live_one(
        history in history(),
        restarts in proptest::collection::vec(0..60usize, 0..6),
        policy_at in 0..60usize,
    ) {
        let book = Book::default();
        let mut at = 0;
        for (n, (gap, event)) in history.iter().enumerate() {
            at += gap * HOUR;
            if n == policy_at {
                book.act(at, Policy::preset("strict").expect("a preset").act());
            }
            book.put(at, event.clone());
        }
        prop_assert_eq!(rebuild(&book, &restarts).rows, book.memory().rows);
    }

    #[test]
    fn replaying_a_record_twice_changes_nothing(history in history(), again in 0..60usize) {
        let book = Book::default();
        play(&book, &history);
        let mut memory = book.memory();
        let mut event = memory.journal[again % memory.journal.len()].clone();
        let before = memory.rows.clone();
        PolicyFold::new().fold(&mut memory, &mut event).expect("memory does not fail");
        prop_assert_eq!(memory.rows, before);
    }

    #[test]
    fn undo_equals_never_happened(
        history in history(),
        peer in 0..3usize,
        from in 0..40i64,
        days in 0..60i64,
        after in proptest::collection::vec(record(), 0..10),
    ) {
        let (first, last) = (from * DAY, (from + days) * DAY);
        let undone = |at: i64, event: &Event| {
            event.peer.as_deref() == Some(PEERS[peer]) && (first..=last).contains(&at)
        };
        // The times of the records stay as they were in both worlds.
        let (real, other) = (Book::default(), Book::default());
        let mut at = 0;
        for (gap, event) in &history {
            at += gap * HOUR;
            real.put(at, event.clone());
            if undone(at, event) {
                other.act(at, noop());
            } else {
                other.put(at, event.clone());
            }
        }
        real.act(at, Act::Undo {
            rule: None,
            provider: None,
            peer: Some(PEERS[peer].to_string()),
            after: Some(Timestamp::from_millis(first)),
            before: Some(Timestamp::from_millis(last)),
            reason: "a liar".to_string(),
        });
        other.act(at, noop());
        if let Some((a, b)) = everything(&real, at).into_iter().zip(everything(&other, at)).find(|(a, b)| a != b) {
            prop_assert!(false, "{a} XX {b}");
        }
        // And whatever comes later finds the same.
        for (gap, event) in &after {
            at += gap * HOUR;
            real.put(at, event.clone());
            other.put(at, event.clone());
        }
        prop_assert_eq!(everything(&real, at), everything(&other, at));
    }

    #[test]
    fn counters_are_the_sum_of_the_rows(history in history()) {
        let book = Book::default();
        let at = play(&book, &history);
        let decided = book.reader.decided_states(&book).expect("memory does not fail");
        let rows = book.memory().rows.keys().filter(|k| k.starts_with(b"a/")).count() as u64;
        prop_assert_eq!(decided.iter().map(|(_, n)| n).sum::<u64>(), rows);
        let exact = book.reader.count_states(&book, Timestamp::from_millis(at));
        let exact = exact.expect("memory does not fail");
        prop_assert_eq!(exact.iter().map(|(_, n)| n).sum::<u64>(), rows);
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_long_history_is_bounded_and_decides_the_same(history in proptest::collection::vec(record(), 100..200)) {
        let book = Book::default();
        let mut at = 0;
        for (gap, mut event) in history {
            at += gap * HOUR;
            // All about one address.
            for recipient in event.analysis.iter_mut().flat_map(|a| &mut a.recipients) {
                recipient.recipient.address = Address::parse(USERS[0]);
            }
            if let Some(verp) = event.analysis.as_mut().and_then(|a| a.verp.as_mut()) {
                verp.recipient = Some(USERS[0].to_string());
            }
            let before = book.state(USERS[0], at);
            let decisions = book.put(at, event);
            let last = decisions.iter().rev().find(|d| d.address == USERS[0] && d.scope == "*");
            // What was decided is what is looked up, also right after a row had to shrink.
            if let Some(last) = last && book.state_in(USERS[0], None, at) != before {
                prop_assert_eq!(&last.to, &book.state_in(USERS[0], Some("unheard-of"), at));
            }
        }
        let rows = book.memory().rows;
        let row = rows.iter().find(|(k, _)| k.starts_with(b"a/com.example/a"));
        let row = row.and_then(|(_, v)| bounced::policy::AddressRow::decode(v));
        prop_assert!(row.is_none_or(|r| r.items.len() <= MAX_ITEMS));
    }
}

fn noop() -> Act {
    // Names no condition, so it takes nothing back: it only keeps the numbers of the records.
    Act::Undo {
        rule: None,
        provider: None,
        peer: None,
        after: None,
        before: None,
        reason: String::new(),
    }
}

#[test]
fn an_undo_can_be_looked_at_first() {
    let book = Book::default();
    for user in USERS {
        book.put(0, failure(user, Reason::UserUnknown));
    }
    book.put(DAY, failure(USERS[0], Reason::MailboxFull));
    let undo = |rule: &str| Act::Undo {
        rule: Some(rule.to_string()),
        provider: Some("example.com".to_string()),
        peer: None,
        after: None,
        before: None,
        reason: "the rule was wrong".to_string(),
    };
    let selection = bounced::policy::Selection::of(&undo("test/user-unknown")).expect("conditions");
    let (found, next) = selection.preview(&book, None, 100).expect("memory does not fail");
    let addresses: Vec<&str> = found.iter().map(|(a, _)| a.as_str()).collect();
    assert_eq!((addresses, next), (vec!["a@example.com", "b@example.com"], None));
    assert_eq!(bounced::policy::Selection::of(&noop()), None);
    let decisions = book.act(2 * DAY, undo("test/user-unknown"));
    assert_eq!(decisions.len(), 2);
    let states: Vec<String> = USERS.iter().map(|u| book.state(u, 2 * DAY)).collect();
    assert_eq!(states, ["watched", "clear", "suppressed", "suppressed"]);
    // The same rule later counts again.
    book.put(3 * DAY, failure(USERS[1], Reason::UserUnknown));
    assert_eq!(book.state(USERS[1], 3 * DAY), "suppressed");
}

#[test]
fn a_rejudgement_replaces_what_a_record_said() {
    let book = Book::default();
    book.put(0, failure(USERS[0], Reason::UserUnknown));
    book.put(0, failure(USERS[1], Reason::Blocked));
    let rejudge = Act::Rejudge {
        verdicts: vec![
            (1, vec![verdict(USERS[0], Reason::Blocked)]),
            (2, vec![verdict(USERS[1], Reason::UserUnknown)]),
        ],
        reason: "a new rule".to_string(),
    };
    book.act(HOUR, rejudge);
    assert_eq!(book.state(USERS[0], HOUR), "clear");
    assert_eq!(book.state(USERS[1], HOUR), "suppressed");
}
