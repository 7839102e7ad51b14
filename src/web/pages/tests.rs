//! The pages hold what they should, and nothing from the network as markup.

use super::*;
use serde_json::json;

/// Payloads of the OWASP filter evasion list, reduced, and some of terminals.
const PAYLOADS: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</title><svg onload=alert(1)>",
    "</textarea></pre><iframe src=javascript:alert(1)>",
    "javascript:alert(1)",
    "<!--<a href=\"-->\">",
    "&lt;script&gt;",
    "\u{202e}<b>\u{1b}]0;x\u{7}",
    "<a href=data:text/html,x>",
];

/// Every page, with a payload in every field that can hold one.
fn pages(payload: &str) -> Vec<String> {
    let entry = json!({"address": payload, "scope": payload, "state": payload, "class": payload,
        "reason": payload, "category": payload, "since": payload, "until": payload,
        "events": [payload], "rule": payload});
    let recipient = json!({"address": payload, "diagnostic": format!("x {payload} y"),
        "matched": payload, "reason": payload, "rule": payload});
    let event = json!({"seq": 1, "received_at": payload, "kind": payload, "peer": payload,
        "recipients": [recipient], "original": {"subject": payload},
        "decisions": [{"from": payload, "to": payload, "clause": payload}]});
    let act = json!({"seq": 2, "act": {"what": payload, "address": payload, "reason": payload}});
    let result = json!({"seq": 3, "result": {"outcome": payload, "address": payload,
        "verdict": {"reason": payload, "diagnostic": payload}}});
    let events = vec![event, act, result];
    let explained = json!({"address": payload, "state": payload, "summary": payload,
        "entries": [entry], "events": events, payload: payload, "next": {payload: [payload]}});
    let counts = service::Overview { guards: vec![payload.to_string()], ..Default::default() };
    let query = ListQuery { domain: Some(payload.to_string()), ..Default::default() };
    let list = ListPage { entries: vec![entry], next: Some(payload.to_string()) };
    let failing = vec![(payload.to_string(), payload.to_string())];
    [
        overview(&Overview {
            counts: Some(counts),
            classes: vec![(Class::MailboxFull, 3), (Class::AutoReply, u64::MAX)],
            events,
            failing,
        }),
        address(payload, &explained, Some(Notice::Released)),
        suppressions(&query, &list),
        health(&[(payload.into(), Ok(payload.into())), (payload.into(), Err(payload.into()))]),
        error(404, payload, payload),
    ]
    .map(Html::into_string)
    .to_vec()
}

/// Tags and attribute names of a page; panics when the markup is not what this file's simple
/// reader understands, which our own pages are.
fn skeleton(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(open) = rest.find('<') {
        let (tag, after) = rest[open + 1..].split_once('>').expect("a tag ends");
        let mut outside = String::new();
        for (index, piece) in tag.split('"').enumerate() {
            if index % 2 == 0 {
                outside.push_str(piece);
            }
        }
        found.push(outside);
        rest = after;
    }
    found
}

#[test]
fn no_payload_becomes_markup() {
    let harmless = pages("harmless");
    for payload in PAYLOADS {
        for (page, plain) in pages(payload).iter().zip(&harmless) {
            assert_eq!(skeleton(page), skeleton(plain), "{payload}\n{page}");
            assert!(!page.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{payload}");
            assert!(!page.contains("href=\"javascript:"), "{payload}");
        }
    }
}

#[test]
fn nothing_needs_a_script_or_a_foreign_host() {
    for page in pages("harmless") {
        for forbidden in ["<script", "style=", " on", "http://", "https://"] {
            let tags = skeleton(&page).join("\n");
            assert!(!tags.contains(forbidden), "{forbidden} in {tags}");
        }
    }
}

#[test]
fn the_address_page_explains() {
    let explained = json!({"address": "a@x.test", "state": "suppressed",
        "summary": "Suppressed since 22 November: the mailbox does not exist.",
        "entries": [{"scope": "news", "state": "suppressed", "reason": "user-unknown",
            "class": "invalid-recipient", "since": "2026-11-22T10:00:00.123Z", "until": null,
            "events": 2, "rule": "iana/5.1.1"}],
        "events": [{"seq": 7, "received_at": "2026-11-22T10:00:00Z", "kind": "failure",
            "recipients": [{"address": "a@x.test", "diagnostic": "550 5.1.1 no such user",
                "matched": "no such user", "reason": "user-unknown", "rule": "generic-no-user"}],
            "decisions": [{"from": "clear", "to": "suppressed", "clause": "now"}]}],
        "would_change": "a success report"});
    let page = address("a@x.test", &explained, None).into_string();
    for piece in [
        "<span class=\"state bad\">suppressed</span>",
        "the mailbox does not exist.",
        "2026-11-22T10:00:00</td><td class=\"when\">no end</td>",
        "550 5.1.1 <mark>no such user</mark>",
        "clear → suppressed, now",
        "<code>generic-no-user</code>",
        "name=\"scope\" value=\"news\"",
        "Release in news",
        "<h2>would change</h2>",
        "/address?address=a@x.test",
    ] {
        assert!(page.contains(piece), "{piece} is not in\n{page}");
    }
    assert!(!page.contains("Released."));
}
