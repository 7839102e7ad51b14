//! What people know from the system they come from (README, "Coming from"), by name.

use bounced::classify::{Category, Class, Reason};
use bounced::event::EventType;
use bounced::mail::Timestamp;
use bounced::policy::{Condition, Policy};
use bounced::report::Kind;

use crate::support::*;

const USER: &str = "user@example.com";

#[test]
fn five_soft_bounces_make_a_hard_one() {
    let policy = Policy::preset("five-soft").expect("a preset");
    // Literally: of any soft kind, on one day, and without end.
    let kinds = [
        Reason::MailboxFull,
        Reason::SpamContent,
        Reason::SystemError,
        Reason::RateLimited,
        Reason::MessageTooLarge,
    ];
    let book = Book::with(&policy);
    for (n, reason) in kinds.into_iter().enumerate() {
        assert_ne!(book.state(USER, n as i64 * HOUR), "suppressed");
        book.put(n as i64 * HOUR, failure(USER, reason));
    }
    assert_eq!(book.state(USER, 5 * HOUR), "suppressed");
    assert_eq!(book.state(USER, 5_000 * DAY), "suppressed");
    // The same rule made safe: with days, an end, and proof of life in between.
    let book = Book::default();
    for n in 0..5 {
        book.put(n * HOUR, failure(USER, Reason::MailboxFull));
    }
    assert_eq!(book.state(USER, 5 * HOUR), "watched");
}

#[test]
fn five_soft_hard_ones_stay_listed() {
    let policy = Policy::preset("five-soft").expect("a preset");
    for reason in [
        Reason::MailboxInactive,
        Reason::UserUnknown,
        Reason::DomainUnknown,
        Reason::RelayingDenied,
        Reason::AddressSyntax,
    ] {
        let book = Book::with(&policy);
        book.put(0, failure(USER, reason));
        assert_eq!(book.state(USER, 5_000 * DAY), "suppressed", "{reason}");
    }
}

#[test]
fn hard_is_suppressed_at_once_and_soft_stays_mailable() {
    for preset in ["strict", "five-soft"] {
        let policy = Policy::preset(preset).expect("a preset");
        for reason in Reason::ALL {
            let book = Book::with(&policy);
            book.put(0, failure(USER, *reason));
            let state = book.state(USER, 1);
            match reason.category() {
                Category::Hard => assert_eq!(state, "suppressed", "{preset} {reason}"),
                Category::Soft => assert_ne!(state, "suppressed", "{preset} {reason}"),
                _ => {}
            }
        }
    }
}

#[test]
fn blocked_is_never_suppressed() {
    let blocks = [
        Reason::Blocked,
        Reason::Reputation,
        Reason::SenderRejected,
        Reason::ReverseDns,
        Reason::AuthFailure,
        Reason::Policy,
        Reason::Security,
    ];
    for preset in Policy::PRESETS {
        let book = Book::with(&Policy::preset(preset).expect("a preset"));
        for n in 0..100 {
            book.put(n * DAY, failure(USER, blocks[n as usize % blocks.len()]));
        }
        assert_eq!(book.state(USER, 100 * DAY), "clear", "{preset}");
    }
}

#[test]
fn a_block_tells_how_often_the_address_had_failed_before() {
    let book = Book::default();
    book.put(0, failure("a@example.com", Reason::MailboxFull));
    for user in ["a@example.com", "b@example.com", "c@example.com"] {
        book.put(HOUR, failure(user, Reason::Blocked));
    }
    let figures = health(&book, None).total.figures;
    assert_eq!((figures.block, figures.block_after_failure), (3, 1));
}

#[test]
fn unsubscribed_gets_no_more_mail_of_that_list() {
    let book = Book::default();
    let mut event = message(Kind::Unsubscribe, USER);
    event.scope = Some("news".to_string());
    book.put(0, event);
    let standing = book.standing(USER, Some("news"), DAY).expect("a standing");
    assert_eq!(standing.state.as_str(), "suppressed");
    assert_eq!(standing.class, Some(Class::Unsubscribe));
    assert_eq!(book.state_in(USER, Some("bills"), DAY), "clear");
}

fn health(book: &Book, scope: Option<&str>) -> bounced::policy::Health {
    let (from, to) = (Timestamp::default(), Timestamp::from_millis(DAY));
    book.reader.health(book, scope, from, to).expect("memory does not fail")
}

#[test]
fn a_bounce_rate_above_two_percent_is_unhealthy_above_five_risky() {
    for (sent, failed, complaints, expected) in [
        (1_000, 20, 0, Condition::Healthy),
        (1_000, 21, 0, Condition::Unhealthy),
        (1_000, 50, 0, Condition::Unhealthy),
        (1_000, 51, 0, Condition::Risky),
        (1_000, 101, 0, Condition::Critical),
        (1_000, 0, 1, Condition::Healthy),
        (1_000, 0, 2, Condition::Unhealthy),
        (1_000, 0, 4, Condition::Risky),
        (1_000, 0, 6, Condition::Critical),
        // Too few to say.
        (199, 60, 0, Condition::Unknown),
        // No `sent` results: no denominator.
        (0, 500, 0, Condition::Unknown),
    ] {
        let book = Book::default();
        for n in 0..sent {
            book.put(0, result("sent", &format!("u{n}@example.com"), None));
        }
        for n in 0..failed {
            let reason = [Reason::UserUnknown, Reason::MailboxFull, Reason::Blocked][n % 3];
            book.put(1, failure(&format!("u{n}@example.com"), reason));
        }
        for n in 0..complaints {
            book.put(2, message(Kind::Complaint, &format!("u{n}@example.com")));
        }
        let health = health(&book, None);
        assert_eq!(health.total.state, expected, "{sent} {failed} {complaints}");
        assert_eq!(health.total.bounces.of, sent as u64);
        assert_eq!(health.total.bounces.count, failed as u64);
        assert_eq!(health.total.bounces.percent.is_some(), sent > 0);
    }
}

#[test]
fn figures_stand_by_campaign_provider_and_day_and_each_mail_once() {
    let book = Book::default();
    let in_campaign = |mut event: bounced::event::Event, campaign: &str| {
        event.campaign = Some(campaign.to_string());
        event.scope = Some("news".to_string());
        event
    };
    for n in 0..10 {
        let user = format!("u{n}@gmail.com");
        book.put(0, in_campaign(result("sent", &user, None), "may/2026"));
    }
    for reason in [Reason::UserUnknown, Reason::Blocked] {
        let user = format!("{reason}@gmail.com");
        let mut refused = result("failed", &user, Some(reason));
        if let Some(result) = &mut refused.result {
            result.message_id = Some(format!("<{reason}@example.net>"));
        }
        book.put(HOUR, in_campaign(refused, "may/2026"));
        let report = about(failure(&user, reason), &format!("<{reason}@example.net>"));
        book.put(2 * HOUR, in_campaign(report, "may/2026"));
    }
    book.put(DAY, in_campaign(message(Kind::AutoReply, "u1@example.com"), "june"));
    let health = health(&book, Some("news"));
    let figures = health.total.figures;
    assert_eq!((figures.sent, figures.hard, figures.block, figures.auto_reply), (10, 1, 1, 1));
    assert_eq!(health.by_campaign["may_2026"].figures.hard, 1);
    assert_eq!(health.by_provider["google"].figures.sent, 10);
    assert_eq!(health.by_provider["other"].figures.auto_reply, 1);
    assert_eq!(health.by_day["1970-01-01"].figures.block, 1);
    assert_eq!(health.by_day.len(), 2);
}

#[test]
fn with_keys_unsigned_reports_count_in_no_figure() {
    let mut policy = Policy::default();
    policy.require_signed = true;
    let book = Book::with(&policy);
    for n in 0..500 {
        book.put(1, failure(&format!("u{n}@example.com"), Reason::UserUnknown));
        book.put(1, message(Kind::Complaint, &format!("u{n}@example.com")));
    }
    assert_eq!(health(&book, None).total.figures, bounced::policy::Figures::default());
    let event = blank(EventType::Message);
    assert!(book.put(2, event).is_empty(), "a message without an analysis says nothing");
}
