//! The `[policy]` table: presets, layers, refusals.

use bounced::classify::Reason;
use bounced::event::{Act, Imported};
use bounced::mail::Case;
use bounced::policy::{Effect, Policy, PolicyTable, Term};
use bounced::report::Kind;

use super::support::{Book, DAY, about, blank, failure, message, result};

fn check(text: &str) -> Result<Policy, String> {
    let table: PolicyTable = toml::from_str(text).map_err(|e| e.to_string())?;
    Policy::check(table)
}

#[test]
fn layers_lie_over_each_other() {
    let policy = check(
        r#"
        strikes = 7
        [reasons.mailbox-full]
        strikes = 4
        strike_days = 2
        [reasons.blocked]
        effect = "count"
        [scopes.news]
        strikes = 9
        term = "7d"
        [scopes.news.reasons.mailbox-full]
        strikes = 3
        strike_days = 1
        "#,
    )
    .expect("a policy");
    for (scope, reason, strikes, term, effect) in [
        ("*", Reason::Expired, 7, "14d", Effect::Count),
        ("*", Reason::MailboxFull, 4, "14d", Effect::Count),
        ("news", Reason::Expired, 9, "7d", Effect::Count),
        ("news", Reason::MailboxFull, 3, "7d", Effect::Count),
        ("bills", Reason::MailboxFull, 4, "14d", Effect::Count),
        ("*", Reason::Blocked, 7, "14d", Effect::Count),
        ("*", Reason::UserUnknown, 7, "14d", Effect::Now),
    ] {
        let numbers = policy.numbers(scope, reason);
        assert_eq!(numbers.strikes, strikes, "{scope} {reason}");
        assert_eq!(numbers.term.to_string(), term, "{scope} {reason}");
        assert_eq!(numbers.effect, effect, "{scope} {reason}");
    }
}

#[test]
fn a_wrong_table_is_refused_with_a_sentence() {
    for (text, part) in [
        ("preset = \"lenient\"", "patient, five-soft, strict"),
        ("strike = 5", "unknown field"),
        ("local_part_case = \"lower\"", "expected `fold` or `keep`"),
        ("term = \"fortnight\"", "no length of time"),
        ("term = \"100d\"", "policy.probation: 90d must be longer than term (100d)"),
        ("strikes = 2", "policy.strike_days: 3 cannot be more than strikes (2)"),
        ("strikes = 99", "at most 20"),
        ("strike_window = \"0\"", "policy.strike_window: is \"0\""),
        (
            "[reasons.mailbox-full]\nstrike_window = \"1d\"",
            "policy.reasons.mailbox-full.strike_window: 3 ",
        ),
        ("[scopes.a]\nstrikes = 99", "policy.scopes.a.strikes: at most 20"),
        (
            "[scopes.a.reasons.mailbox-full]\nstrikes = 99",
            "policy.scopes.a.reasons.mailbox-full.strikes",
        ),
        ("effect = \"now\"", "[policy.reasons.<reason>]"),
        ("[scopes.\"a b\"]\nterm = \"1d\"", "is no scope"),
        ("[scopes.\"*\"]\nterm = \"1d\"", "is no scope"),
        ("[reasons.user-unknwon]\nterm = \"1d\"", "unknown variant"),
        ("[reasons.user-unknown]\nterms = \"1d\"", "unknown field"),
        ("[scopes.a]\nstrike = 1", "unknown field"),
        ("[outage]\nfactor = 1", "min_recipients = 0"),
        ("[outage]\nfacto = 1", "unknown field"),
        ("[outage]\ncalm = \"forever\"", "must have an end"),
        ("[blast]\npercent_of_seen = 101.0", "percentage"),
        ("[health]\nbounces = [5.0, 2.0, 10.0]", "growing"),
    ] {
        let wrong = check(text).expect_err(text);
        assert!(wrong.contains(part), "{text}: {wrong}");
    }
}

#[test]
fn the_policy_in_the_journal_reads_back() {
    for preset in Policy::PRESETS {
        let mut policy = Policy::preset(preset).expect(preset);
        policy.require_signed = true;
        let json = serde_json::to_value(&policy).expect("json");
        assert_eq!(serde_json::from_value::<Policy>(json.clone()).expect("a policy"), policy);
        assert!(json.to_string().len() < 16 * 1024);
        assert_eq!(check(&format!("preset = \"{preset}\"")).expect(preset), {
            policy.require_signed = false;
            policy
        });
    }
    assert_eq!(Policy::preset("lenient"), None);
    assert_eq!(check("").expect("the defaults"), Policy::default());
    assert_eq!(Term::days(14).to_string(), "14d");
}

/// Each kind of record about `User@x`, asked for in another case: one mailbox, or two.
#[test]
fn one_mailbox_or_two_by_case() {
    let act = |act: Act| {
        let mut event = blank(bounced::event::EventType::Act);
        event.act = Some(act);
        event
    };
    let by_hand = || {
        act(Act::Suppress {
            address: "User@Example.com".to_string(),
            scope: "*".to_string(),
            reason: "asked".to_string(),
            until: None,
            imported: Imported::default(),
        })
    };
    let records = || {
        [
            failure("User@Example.com", Reason::UserUnknown),
            result("failed", "User@Example.com", Some(Reason::UserUnknown)),
            message(Kind::Complaint, "User@Example.com"),
            message(Kind::Unsubscribe, "User@Example.com"),
            by_hand(),
        ]
    };
    for (word, case, neighbour) in
        [("fold", Case::Fold, "suppressed"), ("keep", Case::Keep, "clear")]
    {
        let policy = check(&format!("local_part_case = \"{word}\"")).expect("a policy");
        assert_eq!((policy.local_part_case, case.as_str()), (case, word));
        let book = || {
            let mut book = Book::with(&policy);
            book.reader.set_case(case);
            book
        };
        let release = |address: &str| {
            act(Act::Release {
                address: address.to_string(),
                scope: "*".to_string(),
                reason: "back".to_string(),
            })
        };
        for (place, record) in records().into_iter().enumerate() {
            let book = book();
            book.put(DAY, record);
            assert_eq!(book.state("User@EXAMPLE.com", DAY), "suppressed", "{word} {place}");
            assert_eq!(book.state("user@example.com", DAY), neighbour, "{word} {place}");
        }
        // A release and an erasure of the one are none of the other.
        let book = book();
        book.put(DAY, by_hand());
        book.put(DAY, release("user@example.com"));
        let left = if case == Case::Keep { "suppressed" } else { "clear" };
        assert_eq!(book.state("User@example.com", DAY), left, "{word}");
        book.put(DAY, by_hand());
        let erase = Act::Erase { address: "user@example.com".into(), hash: "0f".into() };
        book.put(DAY, act(erase));
        assert_eq!(book.state("User@example.com", DAY), left, "{word}");
    }
}

/// The level `message-id` wants the address that the mail went to, in the case that counts.
#[test]
fn a_mail_to_another_case_lifts_nothing_when_case_is_kept() {
    for (word, lifted) in [("fold", true), ("keep", false)] {
        let policy = check(&format!("local_part_case = \"{word}\"")).expect("a policy");
        let book = Book::with(&policy);
        let mut sent = result("sent", "User@example.com", None);
        if let Some(result) = &mut sent.result {
            result.message_id = Some("<1@example.net>".to_string());
        }
        book.put(DAY, sent);
        let report = failure("user@example.com", Reason::UserUnknown);
        book.put(DAY, about(report, "<1@example.net>"));
        let level = book.memory().journal.last().and_then(|event| event.attribution);
        assert_eq!(level == Some(bounced::report::Attribution::MessageId), lifted, "{word}");
    }
}
