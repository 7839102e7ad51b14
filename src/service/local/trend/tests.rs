//! What is counted, and that it is what the journal says.

use serde_json::json;

use super::super::tests::{Lines, real};
use super::*;
use crate::classify::Category;
use crate::event::Act;
use crate::report::Kind;
use crate::service::{InBand, Operations, Service};

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-27T10:30:00Z").expect("a time")
}

fn ago(hours: i64) -> String {
    Timestamp::from_millis(now().millis() - hours * HOUR_MS).to_string()
}

fn failure(hours: i64, n: usize) -> String {
    json!({"received_at": ago(hours), "kind": "failure", "campaign": "sale", "recipients": [
        {"provider": "google", "category": "hard", "class": "invalid-recipient", "rule": "r1",
            "reason": "user-unknown", "diagnostic": "550"},
        {"category": "undetermined", "class": "undetermined", "reason": "undetermined",
            "diagnostic": format!("550 <u{n}@x.test> odd words {}", n + 1_000)}],
        "decisions": [{"from": "clear", "to": "suppressed"}, {"from": "suppressed", "to": "held"}]})
    .to_string()
}

fn looked(trends: &Trends, ledger: &Arc<dyn Ledger>) -> Trend {
    loop {
        let mut seen = None;
        trends.look(ledger, now(), &mut |trend| seen = Some(trend.clone())).expect("it answers");
        let trend = seen.expect("it was shown");
        if trend.is_complete() {
            return trend;
        }
        std::thread::yield_now();
    }
}

#[test]
fn what_the_journal_says_is_counted_once_and_by_its_hour() {
    let mut lines: Vec<String> = (0..40).map(|n| failure(31 * 24 - n, 0)).collect();
    let too_old = lines.len();
    lines.extend((0..600).map(|n| failure(100, n)));
    lines.push(json!({"received_at": ago(2), "kind": "complaint", "campaign": "sale"}).to_string());
    lines.push("no JSON at all".to_string());
    lines.push(
        json!({"received_at": ago(1), "type": "result", "result": {"outcome": "failed",
        "verdict": {"category": "soft", "rule": "r2", "provider": "google"}}})
        .to_string(),
    );
    let lines = Arc::new(Lines(Mutex::new(lines)));
    let (trends, ledger) = (Trends::default(), lines.clone() as Arc<dyn Ledger>);
    let trend = looked(&trends, &ledger);
    let hour = trend.hour();
    // Those of a day that is wholly before the 30 days are not even read.
    assert!(trend.first > 1 && trend.first <= too_old as u64, "{}", trend.first);
    let then = trend.hours[&(hour - 100)];
    let place = |kind| Kind::ALL.iter().position(|k| *k == kind).expect("one of them");
    assert_eq!(then.kinds[place(Kind::Failure)], 600);
    let hard = Category::ALL.iter().position(|c| *c == Category::Hard).expect("one of them");
    assert_eq!(then.refusals[hard], 600);
    assert_eq!((then.suppressed, then.held), ((600, 600), (600, 0)));
    let day = trend.since(hour - 23);
    assert_eq!(day.kinds.iter().sum::<u32>(), 1, "a complaint");
    assert_eq!(day.refusals.iter().sum::<u32>(), 1, "an in-band result");
    let google = &trend.providers["google"];
    assert_eq!(google.rules.len(), 2);
    assert_eq!(google.rules["r2"].events, [too_old as u64 + 603]);
    let sale = &trend.campaigns["sale"];
    assert_eq!((sale.complaints, sale.events.front()), (1, Some(&(too_old as u64 + 601))));
    assert_eq!(trend.wordings.len(), 1, "what differs is blanked: {:?}", trend.wordings.keys());
    assert!(trend.wordings.keys().all(|wording| !wording.contains("x.test")));
    assert_eq!(trend.bounces.front(), Some(&(too_old as u64 + 603)));

    // What comes later is added, and nothing twice.
    lock(&lines.0).push(failure(0, 1));
    let later = looked(&trends, &ledger);
    assert_eq!(later.hours[&hour].kinds[place(Kind::Failure)], 1);
    assert_eq!(later.hours[&(hour - 100)], then);
    // A person who is forgotten takes along what was counted under their words.
    *lock(&lines.0) = vec![failure(1, 1); too_old + 604];
    lock(&lines.0).push(json!({"received_at": ago(0), "act": {"what": "erase"}}).to_string());
    let after = looked(&trends, &ledger);
    assert_eq!(after.hours[&(hour - 1)].kinds[place(Kind::Failure)] as usize, too_old + 604);
    assert!(!after.hours.contains_key(&(hour - 100)));
}

#[test]
fn strangers_cannot_fill_the_memory() {
    let line = |n: usize| {
        json!({"received_at": ago(1), "kind": "failure", "campaign": format!("campaign {n}"),
            "recipients": [{"category": "undetermined", "reason": "undetermined", "rule": format!("r{n}"),
                "diagnostic": format!("words {}", "x".repeat(n % 150) + &"y".repeat(n / 150))}]})
        .to_string()
    };
    let mut lines: Vec<String> = vec![failure(1, 1); 5];
    lines.extend((0..3_000).map(line));
    let ledger: Arc<dyn Ledger> = Arc::new(Lines(Mutex::new(lines)));
    let trend = looked(&Trends::default(), &ledger);
    assert_eq!((trend.wordings.len(), trend.campaigns.len()), (1_000, 500));
    assert_eq!(trend.providers["other"].rules.len(), 200);
    assert_eq!(trend.providers.len(), 2);
    let often = trend.wordings.values().map(|seen| seen.between(i64::MIN, i64::MAX)).max();
    assert_eq!(often, Some(5), "the frequent one stayed");
}

#[test]
fn the_service_counts_its_own_journal() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let service = real(dir.path());
    let result = |address: &str, outcome: &str| InBand {
        outcome: outcome.to_string(),
        address: address.to_string(),
        reply: Some("550 5.1.1 no such user".to_string()),
        ..InBand::default()
    };
    service
        .results(vec![result("a@x.test", "failed"), result("b@x.test", "sent")])
        .expect("stored");
    let counted = || {
        let mut day = None;
        service.trend(&mut |trend| day = Some(trend.since(trend.hour() - 23))).expect("counted");
        day.expect("it was shown")
    };
    assert_eq!(counted().suppressed, (1, 0));
    let complaint = include_bytes!("../../../../tests/corpus/rfc6591/01.eml").to_vec();
    let stored = service.message(complaint, Default::default(), None).expect("stored");
    let place =
        |kind: &str| Kind::ALL.iter().position(|k| k.as_str() == kind).expect("one of them");
    let kind = place(stored["kind"].as_str().expect("a kind"));
    let mut sum = 0;
    service.trend(&mut |trend| sum = trend.since(trend.hour() - 23).kinds[kind]).expect("counted");
    assert_eq!(sum, 1, "{stored}");
    service.release("a@x.test", "*", "they called").expect("released");
    assert_eq!(counted().suppressed, (1, 1));
    assert!(service.scopes().expect("known").contains(&"default".to_string()));
    service
        .act(Act::Erase { address: "a@x.test".to_string(), hash: String::new() }, false)
        .expect("erased");
    assert_eq!(counted().suppressed, (1, 1), "counted again, from what is left");
}
