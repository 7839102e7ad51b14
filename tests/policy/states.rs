//! States and terms (docs/policy.md, "States"), reason by reason.

use std::sync::Arc;

use bounced::classify::Reason;
use bounced::event::{Act, Event, EventType, Imported};
use bounced::mail::{Case, Timestamp};
use bounced::policy::{Effect, Forgotten, HashKeys, Policy};
use bounced::report::{Action, Attribution, Kind};

use crate::support::*;

const USER: &str = "user@example.com";

#[test]
fn now_reasons_suppress_count_reasons_strike_never_reasons_do_not_touch() {
    let policy = Policy::default();
    for reason in Reason::ALL {
        let book = Book::default();
        book.put(0, failure(USER, *reason));
        let expected = match policy.numbers("*", *reason).effect {
            Effect::Now => "suppressed",
            Effect::Twice | Effect::Count => "watched",
            Effect::Never => "clear",
        };
        assert_eq!(book.state(USER, 1), expected, "{reason}");
        let touched = book.memory().rows.keys().any(|k| k.starts_with(b"a/"));
        assert_eq!(touched, expected != "clear", "{reason}");
    }
}

#[test]
fn kinds_other_than_failure_never_count() {
    for kind in Kind::ALL {
        let book = Book::default();
        for n in 0..20 {
            book.put(n * DAY, message(*kind, USER));
        }
        let state = book.state(USER, 20 * DAY);
        match kind {
            // These are consent, not bounces.
            Kind::Complaint | Kind::Unsubscribe => assert_eq!(state, "suppressed", "{kind}"),
            _ => assert_eq!(state, "clear", "{kind}"),
        }
    }
}

#[test]
fn only_failed_recipients_of_a_failure_fail() {
    for (action, state) in [
        (Some(Action::Failed), "suppressed"),
        (None, "suppressed"),
        (Some(Action::Delayed), "clear"),
        (Some(Action::Delivered), "clear"),
        (Some(Action::Relayed), "clear"),
        (Some(Action::Expanded), "clear"),
    ] {
        let book = Book::default();
        let mut event = failure(USER, Reason::UserUnknown);
        for recipient in event.analysis.iter_mut().flat_map(|a| &mut a.recipients) {
            recipient.recipient.action = action;
        }
        book.put(0, event);
        assert_eq!(book.state(USER, 1), state, "{action:?}");
    }
}

#[test]
fn five_strikes_on_three_days_within_thirty_suppress() {
    let days = |days: &[i64]| {
        let book = Book::default();
        for day in days {
            book.put(day * DAY, failure(USER, Reason::MailboxFull));
        }
        book.state(USER, days.last().copied().unwrap_or(0) * DAY + HOUR)
    };
    for (when, state) in [
        (&[0, 1, 2, 3][..], "watched"),
        (&[0, 1, 2, 3, 4], "suppressed"),
        // Two days only.
        (&[0, 0, 0, 1, 1, 1, 1], "watched"),
        (&[0, 0, 0, 1, 2], "suppressed"),
        // The first has left the window.
        (&[0, 28, 29, 30, 31], "watched"),
        (&[0, 27, 28, 29, 30], "suppressed"),
    ] {
        assert_eq!(days(when), state, "{when:?}");
    }
}

#[test]
fn a_term_ends_by_itself_and_strikes_double_it() {
    let book = Book::default();
    let strike_out = |from: i64| {
        for n in 0..5 {
            book.put((from + n) * DAY, failure(USER, Reason::MailboxFull));
        }
    };
    strike_out(0);
    assert_eq!(book.state(USER, 4 * DAY + 30 * DAY - 1), "suppressed");
    assert_eq!(book.state(USER, 4 * DAY + 30 * DAY), "clear");
    strike_out(100);
    assert_eq!(book.state(USER, 104 * DAY + 60 * DAY - 1), "suppressed");
    assert_eq!(book.state(USER, 104 * DAY + 60 * DAY), "clear");
    strike_out(200);
    assert_eq!(book.state(USER, 204 * DAY + 120 * DAY - 1), "suppressed");
    assert_eq!(book.state(USER, 204 * DAY + 120 * DAY), "clear");
}

#[test]
fn a_twice_reason_wants_a_later_day_within_thirty() {
    for (second, state) in
        [(HOUR, "watched"), (DAY, "suppressed"), (30 * DAY, "suppressed"), (31 * DAY, "watched")]
    {
        let book = Book::default();
        book.put(0, failure(USER, Reason::MailboxInactive));
        book.put(second, failure(USER, Reason::DomainUnknown));
        assert_eq!(book.state(USER, second + 1), state, "{second}");
    }
    let book = Book::default();
    book.put(0, failure(USER, Reason::MailboxInactive));
    let decisions = book.put(DAY, failure(USER, Reason::MailboxInactive));
    let said: Vec<_> = decisions.iter().map(|d| (&*d.from, &*d.to, &*d.clause)).collect();
    assert_eq!(said, [("watched", "suppressed", "confirmed/mailbox-inactive")]);
    assert_eq!(decisions[0].until, Some(Timestamp::from_millis(15 * DAY)));
}

#[test]
fn by_hand_holds_as_told_and_a_release_frees() {
    let suppress = |scope: &str, until: Option<i64>| Act::Suppress {
        address: "User@Example.com".to_string(),
        scope: scope.to_string(),
        reason: "asked by telephone".to_string(),
        until: until.map(Timestamp::from_millis),
        imported: Imported::default(),
    };
    let release = |scope: &str| Act::Release {
        address: USER.to_string(),
        scope: scope.to_string(),
        reason: "asked again".to_string(),
    };
    let book = Book::default();
    book.act(0, suppress("*", None));
    assert_eq!(book.state(USER, 1000 * DAY), "suppressed");
    book.act(1, suppress("*", Some(DAY)));
    assert_eq!(book.state(USER, DAY - 1), "suppressed");
    assert_eq!(book.state(USER, DAY), "clear");
    book.act(2 * DAY, suppress("news", None));
    assert_eq!(book.state_in(USER, Some("news"), 3 * DAY), "suppressed");
    assert_eq!(book.state_in(USER, Some("bills"), 3 * DAY), "clear");
    let decisions = book.act(4 * DAY, release("news"));
    assert_eq!(decisions.len(), 1);
    assert_eq!(book.state_in(USER, Some("news"), 5 * DAY), "clear");
    // A release in one scope is an exception from what holds in all.
    book.put(6 * DAY, failure(USER, Reason::UserUnknown));
    book.act(6 * DAY, release("news"));
    assert_eq!(book.state_in(USER, Some("news"), 7 * DAY), "clear");
    assert_eq!(book.state_in(USER, None, 7 * DAY), "suppressed");
    // Nothing to release: nothing is written.
    let book = Book::default();
    assert!(book.act(0, release("*")).is_empty());
    assert!(!book.memory().rows.keys().any(|k| k.starts_with(b"a/")));
}

#[test]
fn complaints_and_unsubscribes_hold_in_their_scope_without_end() {
    for kind in [Kind::Complaint, Kind::Unsubscribe] {
        let book = Book::default();
        let mut event = message(kind, USER);
        event.scope = Some("news".to_string());
        let decisions = book.put(0, event);
        let said: Vec<_> = decisions.iter().map(|d| (&*d.scope, &*d.to, &*d.clause)).collect();
        assert_eq!(said, [("news", "suppressed", kind.as_str())]);
        assert_eq!(book.state_in(USER, Some("news"), 5_000 * DAY), "suppressed");
        assert_eq!(book.state_in(USER, Some("bills"), DAY), "clear");
        assert_eq!(book.state_in(USER, Some("*"), DAY), "clear");
        assert_eq!(book.state_in(USER, None, DAY), "suppressed", "some scope says stop");
    }
    let book = Book::default();
    book.put(0, message(Kind::Complaint, USER));
    let mut not_spam = message(Kind::Complaint, USER);
    if let Some(analysis) = &mut not_spam.analysis {
        analysis.feedback_type = Some("not-spam".to_string());
    }
    assert_eq!(book.state(USER, 1), "suppressed");
    book.put(2, not_spam);
    assert_eq!(book.state(USER, 3), "clear");
}

#[test]
fn proof_of_life_clears_strikes_and_shields_once() {
    let book = Book::default();
    for n in 0..4 {
        book.put(n * DAY, failure(USER, Reason::MailboxFull));
    }
    book.put(4 * DAY, message(Kind::AutoReply, USER));
    assert_eq!(book.state(USER, 4 * DAY), "clear");
    book.put(5 * DAY, failure(USER, Reason::MailboxFull));
    assert_eq!(book.state(USER, 5 * DAY), "watched");
    book.put(6 * DAY, failure(USER, Reason::UserUnknown));
    assert_eq!(book.state(USER, 6 * DAY), "watched", "one `now` behind proof of life");
    book.put(7 * DAY, failure(USER, Reason::UserUnknown));
    assert_eq!(book.state(USER, 7 * DAY), "suppressed");
    // Too old a proof, and a weaker one than the failure.
    let book = Book::default();
    book.put(0, message(Kind::Receipt, USER));
    book.put(15 * DAY, failure(USER, Reason::UserUnknown));
    assert_eq!(book.state(USER, 15 * DAY), "suppressed");
    let book = Book::default();
    book.put(0, message(Kind::Receipt, USER));
    book.put(DAY, signed(failure(USER, Reason::UserUnknown), USER, "b-1", None));
    assert_eq!(book.state(USER, DAY), "suppressed");
}

#[test]
fn a_delivery_that_bounced_later_proves_nothing() {
    let book = Book::default();
    let mut delivered = result("delivered", USER, None);
    if let Some(result) = &mut delivered.result {
        result.message_id = Some("<m1@example.net>".to_string());
    }
    book.put(0, delivered);
    book.put(HOUR, about(failure(USER, Reason::UserUnknown), "<m1@example.net>"));
    assert_eq!(book.state(USER, 2 * HOUR), "suppressed");
}

#[test]
fn with_keys_only_signed_may_suppress() {
    let mut policy = Policy::default();
    policy.require_signed = true;
    for level in Attribution::ALL {
        let book = Book::with(&policy);
        for n in 0..10 {
            let mut event = failure(USER, Reason::UserUnknown);
            event.attribution = Some(*level);
            if *level == Attribution::Signed {
                event = signed(event, USER, "b-1", None);
            }
            book.put(n * DAY, event);
        }
        let state = if *level == Attribution::Signed { "suppressed" } else { "clear" };
        assert_eq!(book.state(USER, 10), state, "{level}");
    }
    // The pipeline says signed and the token does not: the worse is believed.
    let book = Book::with(&policy);
    let mut forged = signed(failure(USER, Reason::UserUnknown), USER, "b-1", None);
    if let Some(verp) = forged.analysis.as_mut().and_then(|a| a.verp.as_mut()) {
        verp.authentic = Some(false);
    }
    book.put(0, forged);
    assert_eq!(book.state(USER, 1), "clear");
}

#[test]
fn mismatch_between_token_and_report_never_lets_the_report_win() {
    let victim = "victim@example.org";
    // Without guards: so many at once would be held.
    let mut policy = Policy::default();
    policy.outage.min_recipients = 0;
    policy.blast.per_hour = 0;
    let book = Book::with(&policy);
    for n in 0..10_000 {
        let own = format!("attacker{n}@example.com");
        let event = signed(failure(victim, Reason::UserUnknown), &own, &format!("b-{n}"), None);
        book.put(n, event);
    }
    assert_eq!(book.state(victim, DAY), "clear");
    assert_eq!(book.state("attacker7@example.com", DAY), "suppressed");
}

#[test]
fn a_refusal_and_the_report_that_follows_count_once() {
    let book = Book::default();
    for day in 0..4 {
        let id = format!("<m{day}@example.net>");
        let mut refused = result("failed", USER, Some(Reason::MailboxFull));
        if let Some(result) = &mut refused.result {
            result.message_id = Some(id.clone());
        }
        book.put(day * DAY, refused);
        book.put(day * DAY + HOUR, about(failure(USER, Reason::MailboxFull), &id));
    }
    assert_eq!(book.state(USER, 4 * DAY), "watched", "four mails, four strikes");
}

#[test]
fn a_token_allows_one_hard_one_soft_a_day_one_complaint() {
    let soft = || signed(failure(USER, Reason::MailboxFull), USER, "b-same", None);
    let book = Book::default();
    for n in 0..50 {
        book.put(n * MINUTE, soft());
    }
    assert_eq!(book.clause(USER, DAY), "watched/strikes");
    let book = Book::default();
    let hard = || signed(failure(USER, Reason::MailboxInactive), USER, "b-same", None);
    for day in 0..20 {
        book.put(day * DAY, hard());
    }
    assert_eq!(book.state(USER, 20 * DAY), "watched", "one token confirms nothing");
    let complaint = || signed(message(Kind::Complaint, USER), USER, "b-same", None);
    let book = Book::default();
    book.put(0, complaint());
    book.act(
        1,
        Act::Release {
            address: USER.to_string(),
            scope: "*".to_string(),
            reason: "a slip of the finger".to_string(),
        },
    );
    book.put(2, complaint());
    assert_eq!(book.state(USER, 3), "clear");
}

#[test]
fn erasing_keeps_the_block_and_nothing_else() {
    let book = Book::default();
    let keys = HashKeys::new([&b"a secret of ours"[..]]);
    let hash = keys.hashes(USER).remove(0);
    let block = |event: Event| Event { erased: vec![(USER.to_string(), hash.clone())], ..event };
    book.reader.set_hash_keys(Arc::new(keys));
    book.put(0, failure(USER, Reason::UserUnknown));
    let kept = "kept@example.com";
    // Forwarded: the report on another one's mail names the forgotten.
    let mut forwarded = signed(failure(USER, Reason::UserUnknown), kept, "b-x", None);
    forwarded.attribution = Some(Attribution::Signed);
    book.put(0, forwarded);
    book.act(1, Act::Erase { address: USER.to_string(), hash: hash.clone() });
    let forgotten = Forgotten::new(USER, &hash, Case::Fold);
    book.edit_rows(|row| forgotten.row(row));
    let text: Vec<u8> = book.memory().rows.into_iter().flat_map(|(k, v)| [k, v].concat()).collect();
    assert!(!text.windows(8).any(|w| w == b"ple/user" || w == b"r@exampl"));
    assert_eq!(book.state(USER, 2), "suppressed");
    assert_eq!(book.state(USER, 15 * DAY), "clear", "the term of the block is kept too");
    assert_eq!(book.state(kept, 2), "suppressed");
    // Who has another key cannot ask.
    book.reader.set_hash_keys(Arc::new(HashKeys::new([&b"another"[..]])));
    assert_eq!(book.state(USER, 2), "clear");
    book.reader.set_hash_keys(Arc::new(HashKeys::new([&b"a secret of ours"[..]])));
    // Later evidence and a release find the block.
    book.put(2, block(failure(USER, Reason::MailboxFull)));
    assert_eq!(book.state(USER, 3), "suppressed");
    let mut event = blank(EventType::Act);
    event.act = Some(Act::Release {
        address: USER.to_string(),
        scope: "*".to_string(),
        reason: "asked".to_string(),
    });
    book.put(4, event);
    assert_eq!(book.state(USER, 5), "clear");
    assert!(!book.memory().rows.keys().any(|key| key.starts_with(b"x/")));
}

#[test]
fn a_returned_message_id_that_we_sent_lifts_the_attribution() {
    let sent = |address: &str| {
        let mut event = result("sent", address, None);
        if let Some(result) = &mut event.result {
            result.message_id = Some("<m1@example.net>".to_string());
        }
        event
    };
    for (mailed, days, level) in [
        (USER, 0, Attribution::MessageId),
        (USER, 7, Attribution::MessageId),
        // Another recipient's mail proves nothing about this one.
        ("other@example.com", 0, Attribution::Report),
    ] {
        let book = Book::default();
        book.put(20 * DAY, sent(mailed));
        book.put((20 + days) * DAY, about(failure(USER, Reason::UserUnknown), "m1@example.net"));
        let standing = book.standing(USER, None, 30 * DAY).expect("a standing");
        assert_eq!(standing.attribution, Some(level), "{mailed} {days}");
    }
    // Old mails are forgotten while new ones come.
    let book = Book::default();
    for day in 0..200 {
        for n in 0..10 {
            let mut event = sent(USER);
            if let Some(result) = &mut event.result {
                result.message_id = Some(format!("<{day}.{n}@example.net>"));
            }
            book.put(day * DAY, event);
        }
    }
    let rows = book.memory().rows.keys().filter(|k| k.starts_with(b"i/")).count();
    assert!((80..=240).contains(&rows), "{rows}");
}

#[test]
fn explain_shows_every_piece_of_evidence_and_what_it_did() {
    let mut policy = Policy::default();
    policy.require_signed = true;
    let book = Book::with(&policy);
    book.put(0, failure(USER, Reason::UserUnknown));
    book.put(DAY, signed(failure(USER, Reason::MailboxInactive), USER, "b-1", None));
    book.put(2 * DAY, signed(failure(USER, Reason::MailboxInactive), USER, "b-2", None));
    let address = bounced::mail::Address::parse(USER).expect("an address");
    let now = Timestamp::from_millis(3 * DAY);
    let said = book.reader.explain(&book, &address, None, now).expect("memory").expect("known");
    assert_eq!(said["state"], "suppressed");
    assert_eq!(said["standing"]["clause"], "confirmed/mailbox-inactive");
    assert_eq!(said["standing"]["rule"], "test/mailbox-inactive");
    assert_eq!(said["standing"]["attribution"], "signed");
    let evidence = said["evidence"].as_array().expect("a list");
    let counted: Vec<_> = evidence.iter().map(|e| e["counted"].as_bool()).collect();
    assert_eq!(counted, [Some(false), Some(true), Some(true)]);
    assert!(evidence[0]["effect"].as_str().is_some_and(|e| e.contains("not signed")));
    assert!(said["would_change"].as_array().is_some_and(|w| !w.is_empty()));
    let nobody = bounced::mail::Address::parse("nobody@example.com").expect("an address");
    assert!(book.reader.explain(&book, &nobody, None, now).expect("memory").is_none());
}

#[test]
fn a_listing_names_each_entry_once() {
    let book = Book::default();
    book.put(0, failure("a@example.com", Reason::UserUnknown));
    let mut complaint = message(Kind::Complaint, "b@example.com");
    complaint.scope = Some("news".to_string());
    book.put(0, complaint);
    book.put(0, failure("c@example.com", Reason::MailboxFull));
    book.put(0, failure("d@sub.example.com", Reason::UserUnknown));
    let memory = book.memory();
    let prefix = bounced::policy::prefix(Some("example.com"));
    let entries: Vec<_> = memory
        .rows
        .iter()
        .filter(|(k, _)| k.starts_with(&prefix))
        .flat_map(|(k, v)| {
            book.reader.entries(&book, k, v, None, Timestamp::from_millis(1)).expect("memory")
        })
        .map(|s| (s.address, s.scope))
        .collect();
    let expected = [("a@example.com", "*"), ("b@example.com", "news")];
    assert_eq!(entries, expected.map(|(a, s)| (a.to_string(), s.to_string())));
}
