//! What is found, over a real ledger.

use serde_json::json;

use super::super::tests::real;
use super::*;
use crate::event::Envelope;
use crate::service::{InBand, Operations, Service};

fn failed(address: &str, reply: &str, message_id: &str) -> InBand {
    InBand {
        outcome: "failed".to_string(),
        address: address.to_string(),
        message_id: Some(message_id.to_string()),
        reply: Some(reply.to_string()),
        campaign: Some("autumn-sale".to_string()),
        ..InBand::default()
    }
}

fn look(service: &LocalService, text: &str) -> SearchFound {
    service.search(&Search { text: text.to_string(), ..Search::default() }).expect("it answers")
}

#[test]
fn pieces_of_what_is_known_are_found() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let service = real(dir.path());
    let results = (0..60).map(|n| {
        failed(
            &format!("user{n}@gone.test"),
            "550 5.1.1 no such user",
            &format!("<id{n}@our.test>"),
        )
    });
    service.results(results.collect()).expect("stored");
    let mail = b"From: x@y.test\r\nSubject: Caf\xc3\xa9 \"quoted\"\r\n\r\nhello\r\n".to_vec();
    let stored = service.message(mail.clone(), Envelope::default(), None).expect("stored");
    let (id, seq) = (stored["id"].as_str().expect("an id"), stored["seq"].as_u64().expect("a seq"));

    // A part of an address, and of a domain; many are told in pages.
    assert_eq!(
        look(&service, "ser7@gone").addresses,
        [("user7@gone.test".into(), "suppressed".into())]
    );
    let first = look(&service, "GONE.test");
    assert_eq!(first.addresses.len(), FOUND);
    let more = Search { text: "gone.test".into(), after: first.more, ..Search::default() };
    let second = service.search(&more).expect("it answers");
    assert_eq!((second.addresses.len(), second.more, second.events.len()), (10, None, 0));
    // Events in pages, newest first.
    let events = first.events;
    assert_eq!((events.len(), events[0].0 > events[1].0), (FOUND, true));
    let older = Search { text: "gone.test".into(), before: first.older, ..Search::default() };
    let older = service.search(&older).expect("it answers");
    assert_eq!((older.events.len(), older.addresses.len()), (10, 0));
    assert!(older.events.iter().all(|(seq, _)| *seq < events[FOUND - 1].0));
    // A Message-ID, a campaign, an id; nothing; and too little to look for.
    assert_eq!(look(&service, "<id7@our.test>").events.len(), 1);
    assert_eq!(look(&service, "Autumn-Sale").events.len(), FOUND);
    let by_id = look(&service, id);
    assert_eq!(by_id.events.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [seq]);
    for nothing in ["never-heard-of", "x", "", "e0000000000000000000000", "\"", "\u{0}\u{1}"] {
        let found = look(&service, nothing);
        assert!(found.addresses.is_empty() && found.events.is_empty(), "{nothing}: {found:?}");
    }
    // The message, by the id of its event and nothing else.
    assert_eq!(service.raw(id).expect("readable"), Some(mail));
    for other in ["", "../clock", "e0"] {
        assert_eq!(service.raw(other).expect("an answer"), None, "{other}");
    }
}

#[test]
fn rules_are_tried_and_change_nothing() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let service = real(dir.path());
    let odd = "550 zorgblat the frobnicator";
    service
        .results(vec![failed("a@x.test", odd, "1"), failed("b@x.test", odd, "2")])
        .expect("stored");
    let rule = |when: &str, seen: &str| {
        format!(
            "[[rule]]\nid = \"own-x\"\nwhen = {{ {when} }}\nreason = \"mailbox-full\"\nseen = [{seen:?}]\n"
        )
    };
    let tried = service.try_rules(&rule("text = [\"zorgblat\"]", odd)).expect("tried");
    assert_eq!((&tried["judged"], &tried["findings"]), (&json!(2), &json!([])));
    let change = &tried["changes"][0];
    assert_eq!((&change["count"], &change["to"]), (&json!(2), &json!("mailbox-full (soft)")));
    assert!(change["sample"].as_str().is_some_and(|sample| sample.contains("zorgblat")), "{tried}");
    // A rule that does not win its own sample says so; what is not a rule is the caller's error.
    let tried =
        service.try_rules(&rule("text = [\"zorgblat\"]", "550 other words")).expect("tried");
    assert_eq!(tried["findings"].as_array().map(Vec::len), Some(1), "{tried}");
    let error = service.try_rules("[[rule]]\nid = 7").expect_err("no rule");
    assert!(
        matches!(&error, ServiceError::BadRequest(why) if why.contains("your rule")),
        "{error}"
    );
    let explained = service.explain("a@x.test", None).expect("known").to_string();
    assert!(!explained.contains("mailbox-full"), "{explained}");
}
