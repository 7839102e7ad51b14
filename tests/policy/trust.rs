//! What a report may decide: never by our own refusal, never against one of us, never for a crowd;
//! and what a question without a scope is answered.

use bounced::classify::Reason;
use bounced::event::{Act, EventType};
use bounced::mail::Timestamp;
use bounced::policy::{Figures, Policy, PolicyTable};
use bounced::report::{Attribution, Kind};

use super::support::{
    Book, DAY, HOUR, MINUTE, about, blank, failure, message, result, signed, verdict,
};

const USER: &str = "user@example.com";

fn policy(text: &str, own: &[&str]) -> Policy {
    let table: PolicyTable = toml::from_str(text).expect("a table");
    let mut policy = Policy::check(table).expect("a policy");
    policy.own_domains = Some(own.iter().map(ToString::to_string).collect());
    policy
}

fn release(book: &Book, at: i64) {
    let (address, scope) = (USER.to_string(), "*".to_string());
    book.act(at, Act::Release { address, scope, reason: "came back".to_string() });
}

fn figures(book: &Book) -> Figures {
    let to = Timestamp::from_millis(100 * DAY);
    let health = book.reader.health(book, None, Timestamp::default(), to).expect("memory");
    health.total.figures
}

/// Our own refusal of an address, as a report and as an in-band result, each of a mail of its own.
fn echoes(address: &str, n: usize) -> Vec<bounced::event::Event> {
    let report = about(failure(address, Reason::SuppressedHere), &format!("<{n}@ours.example>"));
    let mut refused = result("failed", address, Some(Reason::SuppressedHere));
    if let Some(result) = &mut refused.result {
        result.message_id = Some(format!("<in-band-{n}@ours.example>"));
    }
    vec![report.clone(), signed(report, address, &format!("b-{n}"), None), refused]
}

#[test]
fn our_own_refusals_count_in_nothing_but_their_own_figure() {
    for preset in Policy::PRESETS {
        let book = Book::with(&Policy::preset(preset).expect("a preset"));
        book.put(0, failure(USER, Reason::UserUnknown));
        assert_eq!(book.state(USER, HOUR), "suppressed", "{preset}");
        let (before, hard) = (book.standing(USER, None, HOUR), figures(&book).hard);
        for (n, event) in echoes(USER, 0).into_iter().enumerate() {
            assert!(book.put(HOUR + n as i64, event).is_empty(), "{preset}");
        }
        assert_eq!(book.standing(USER, None, HOUR), before, "an echo prolongs nothing");
        release(&book, 2 * HOUR);
        for day in 1..20 {
            for event in echoes(USER, day as usize) {
                assert!(book.put(day * DAY, event).is_empty(), "{preset}");
            }
            assert_eq!(book.state(USER, day * DAY), "clear", "{preset} day {day}");
        }
        let found = figures(&book);
        assert_eq!((found.hard, found.soft, found.block, found.other), (hard, 0, 0, 0), "{preset}");
        // A report and its signed twin are of one mail; the in-band result is of another.
        assert_eq!(found.own_refusal, 40, "{preset}");
    }
}

#[test]
fn an_echo_ends_no_probation_and_trips_no_guard() {
    let book = Book::default();
    book.put(0, failure(USER, Reason::UserUnknown));
    assert_eq!(book.state(USER, 20 * DAY), "probation");
    for event in echoes(USER, 1) {
        book.put(20 * DAY, event);
    }
    assert_eq!(book.state(USER, 21 * DAY), "probation", "a failure in it would be without end");
    for n in 0..200 {
        for event in echoes(&format!("u{n}@gmail.com"), n) {
            book.put(22 * DAY + n as i64, event);
        }
    }
    let now = Timestamp::from_millis(22 * DAY + MINUTE);
    assert!(book.reader.guards(&book, now).expect("memory").is_empty());
    book.put(22 * DAY + MINUTE, failure("real@gmail.com", Reason::UserUnknown));
    assert_eq!(book.state("real@gmail.com", 22 * DAY + HOUR), "suppressed");
}

#[test]
fn a_report_that_is_known_as_our_own_later_is_taken_back() {
    let book = Book::default();
    book.put(0, failure(USER, Reason::UserUnknown));
    assert_eq!(book.state(USER, HOUR), "suppressed");
    let verdicts = vec![(1, vec![verdict(USER, Reason::SuppressedHere)])];
    book.act(2 * HOUR, Act::Rejudge { verdicts, reason: "new rules".to_string() });
    assert_eq!(book.state(USER, 3 * HOUR), "clear");
}

#[test]
fn no_policy_makes_an_own_refusal_count() {
    for (text, place) in [
        ("[reasons.suppressed-here]\neffect = \"now\"", "policy.reasons.suppressed-here"),
        (
            "[scopes.news.reasons.suppressed-here]\neffect = \"count\"",
            "policy.scopes.news.reasons.suppressed-here",
        ),
    ] {
        let table: PolicyTable = toml::from_str(text).expect("a table");
        let wrong = Policy::check(table).expect_err("refused");
        assert!(wrong.contains(place) && wrong.contains("our own refusals"), "{wrong}");
    }
}

/// How a report of a kind about an address is attributed.
fn by(attribution: Attribution, kind: Kind, address: &str) -> bounced::event::Event {
    let mut event = match kind {
        Kind::Failure => failure(address, Reason::UserUnknown),
        kind => message(kind, address),
    };
    if attribution == Attribution::Signed {
        return signed(event, address, "b-token", None);
    }
    event.attribution = Some(attribution);
    if let (Attribution::Plain, Some(analysis)) = (attribution, &mut event.analysis) {
        analysis.verp = Some(bounced::event::VerpInfo {
            recipient: Some(address.to_string()),
            scheme: "plain".to_string(),
            authentic: None,
            tag: None,
        });
    }
    event
}

#[test]
fn no_report_speaks_against_one_of_us() {
    use Attribution::{MessageId, Plain, Report, Signed};
    let own = ["bounce.example.net", "news.example.net"];
    for (address, unsigned, with_token) in [
        ("user@good.example", "suppressed", "suppressed"),
        ("postmaster@good.example", "clear", "suppressed"),
        ("PostMaster@good.example", "clear", "suppressed"),
        ("MAILER-DAEMON@mx.good.example", "clear", "suppressed"),
        ("mailer_daemon@good.example", "clear", "suppressed"),
        ("double-bounce@good.example", "clear", "suppressed"),
        ("null@good.example", "clear", "suppressed"),
        ("nobody@good.example", "clear", "suppressed"),
        ("MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@good.example", "clear", "suppressed"),
        // Ours, whatever says so; their neighbours are not.
        ("anyone@bounce.example.net", "clear", "clear"),
        ("bounces+user=good.example@News.Example.Net", "clear", "clear"),
        ("postmaster@bounce.example.net", "clear", "clear"),
        ("user@example.net", "suppressed", "suppressed"),
        ("user@a.bounce.example.net", "suppressed", "suppressed"),
        ("postmaster.jones@good.example", "suppressed", "suppressed"),
        ("nullable@good.example", "suppressed", "suppressed"),
    ] {
        for kind in [Kind::Failure, Kind::Complaint] {
            for attribution in [Report, MessageId, Plain, Signed] {
                let book = Book::with(&policy("", &own));
                book.put(0, by(attribution, kind, address));
                let expected = if attribution == Signed { with_token } else { unsigned };
                let shown = format!("{address} {kind} {attribution:?}");
                assert_eq!(book.state(address, HOUR), expected, "{shown}");
                let counted = figures(&book).hard + figures(&book).complaint;
                assert_eq!(counted, u64::from(expected == "suppressed"), "{shown}");
            }
        }
    }
}

#[test]
fn who_sends_a_report_and_where_it_goes_are_not_whom_it_is_about() {
    let book = Book::default();
    let ends = [("returns@mx.good.example", ""), ("", "bounces@ours.example")];
    for (from, to) in ends {
        let address = if from.is_empty() { to } else { from };
        let mut event = failure(address, Reason::UserUnknown);
        if let Some(envelope) = &mut event.envelope {
            envelope.from = from.to_string();
            envelope.to = vec![to.to_string()];
        }
        book.put(0, event);
        assert_eq!(book.state(address, HOUR), "clear", "{address}");
    }
    // Whoever answers at an address lives there.
    book.put(DAY, message(Kind::AutoReply, USER));
    let asked_out = message(Kind::Unsubscribe, "postmaster@good.example");
    book.put(DAY, asked_out);
    assert_eq!(book.state("postmaster@good.example", 2 * DAY), "suppressed");
    // What our own sending side says is no report.
    book.put(DAY, result("failed", "postmaster@other.example", Some(Reason::UserUnknown)));
    assert_eq!(book.state("postmaster@other.example", 2 * DAY), "suppressed");
}

#[test]
fn one_message_without_a_token_decides_for_a_bounded_number() {
    for (text, most) in [
        ("", 50),
        ("max_recipients_per_report = 3", 3),
        ("max_recipients_per_report = 0", 0),
        ("max_recipients_per_report = 1000", 120),
    ] {
        let book = Book::with(&policy(text, &[]));
        let address = |n: usize| format!("u{n}@d{n}.example");
        let mut event = failure(&address(0), Reason::UserUnknown);
        if let Some(analysis) = &mut event.analysis {
            let all = (0..120).map(|n| verdict(&address(n), Reason::UserUnknown));
            analysis.recipients = all.collect();
        }
        book.put(0, event);
        let stopped: Vec<usize> =
            (0..120).filter(|n| book.state(&address(*n), HOUR) == "suppressed").collect();
        assert_eq!(stopped, (0..most).collect::<Vec<_>>(), "{text}");
        assert_eq!(figures(&book).hard, most as u64, "the rest is evidence only");
    }
}

#[test]
fn a_journal_of_before_is_folded_as_it_was() {
    let mut old = serde_json::to_value(policy("", &["example.net"])).expect("plain data");
    let fields = old.as_object_mut().expect("a table");
    fields.remove("own_domains");
    fields.remove("max_recipients_per_report");
    let book = Book::default();
    let mut event = blank(EventType::Act);
    event.act = Some(Act::Policy { policy: old });
    book.put(0, event);
    let mut report = failure("postmaster@example.net", Reason::UserUnknown);
    if let Some(analysis) = &mut report.analysis {
        let more = (0..99).map(|n| verdict(&format!("u{n}@d{n}.example"), Reason::UserUnknown));
        analysis.recipients.extend(more);
    }
    book.put(1, report);
    assert_eq!(book.state("postmaster@example.net", HOUR), "suppressed");
    assert_eq!(book.state("u98@d98.example", HOUR), "suppressed");
}

#[test]
fn a_question_without_a_scope_is_answered_by_the_worst() {
    let numbers = policy("[scopes.bills.reasons.mailbox-full]\nstrikes = 1\nstrike_days = 1", &[]);
    let book = Book::with(&numbers);
    let state_of = |address: &str, scope: Option<&str>, at: i64| {
        book.standing(address, scope, at).map(|s| (s.state.to_string(), s.scope))
    };
    let stopped = |scope: &str| Some(("suppressed".to_string(), scope.to_string()));
    let in_news = signed(message(Kind::Complaint, USER), USER, "b-1", Some("news"));
    book.put(0, in_news);
    assert_eq!(state_of(USER, None, HOUR), stopped("news"));
    assert_eq!(state_of(USER, Some("news"), HOUR), stopped("news"));
    assert_eq!(state_of(USER, Some("marketing"), HOUR).map(|t| t.0).as_deref(), Some("clear"));
    // What holds for every scope is said of every scope.
    let both = "both@example.com";
    book.put(0, signed(message(Kind::Complaint, both), both, "b-2", Some("news")));
    book.put(1, failure(both, Reason::UserUnknown));
    assert_eq!(state_of(both, None, HOUR), stopped("*"));
    // A scope that only the policy knows has no evidence of its own, and stops all the same.
    let full = "full@example.com";
    book.put(0, signed(failure(full, Reason::MailboxFull), full, "b-3", Some("news")));
    assert_eq!(state_of(full, Some("news"), HOUR).map(|t| t.0).as_deref(), Some("watched"));
    assert_eq!(state_of(full, None, HOUR), stopped("bills"));
    // Released everywhere is released.
    release(&book, DAY);
    assert_eq!(state_of(USER, None, 2 * DAY).map(|t| t.0).as_deref(), Some("clear"));
    assert_eq!(state_of("stranger@example.com", None, DAY), None);
}
