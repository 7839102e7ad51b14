//! The pages hold what they should, and nothing from the network as markup.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::*;
use crate::classify::Class;
use crate::serve::tokens::Role;
use crate::serve::web::{HtmlPage, Viewer};
use crate::service::search::SearchFound;
use crate::service::trend::{CampaignTrend, Hour, ProviderTrend, RuleSeen, Trend, WordingTrend};
use crate::service::{self, ListPage, ListQuery};

/// Somebody who may do everything.
fn viewer() -> Viewer {
    Viewer { role: Role::Admin, csrf: "c0de".to_string(), session: true }
}

/// What was counted lately, with a text wherever a stranger can put one.
fn trend(text: &str) -> Trend {
    let hour = 494_000;
    let name = || text.to_string();
    let seen = RuleSeen { days: [(hour / 24, 3)].into(), events: VecDeque::from([1]) };
    let provider =
        ProviderTrend { hours: [(hour, [1, 2, 3, 4, 5])].into(), rules: [(name(), seen)].into() };
    let campaign = CampaignTrend {
        failures: [((Class::MailboxFull, name()), 2)].into(),
        events: VecDeque::from([1]),
        ..CampaignTrend::default()
    };
    let wording = WordingTrend { hours: [(hour, 9)].into(), events: VecDeque::from([1]) };
    Trend {
        now: crate::mail::Timestamp::from_millis(hour * 3_600_000),
        first: 1,
        through: 1,
        newest: 2,
        hours: [(hour, Hour { kinds: [3; 10], refusals: [2; 5], ..Hour::default() })].into(),
        providers: [(name(), provider)].into(),
        campaigns: [(name(), campaign)].into(),
        wordings: [(name(), wording)].into(),
        bounces: VecDeque::from([1]),
    }
}

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
        "events": [payload], "rule": payload, "clause": payload, "attribution": payload, "seq": 1,
        "outlook": [payload]});
    let recipient = json!({"address": payload, "diagnostic": format!("x {payload} y"),
        "matched": payload, "reason": payload, "rule": payload, "rule_at": payload});
    let event = json!({"seq": 1, "received_at": payload, "kind": payload, "peer": payload,
        "recipients": [recipient], "original": {"subject": payload}, "reporting_mta": payload,
        "scope": payload, "campaign": payload,
        "decisions": [{"from": payload, "to": payload, "clause": payload}]});
    let act = json!({"seq": 2, "act": {"what": payload, "address": payload, "reason": payload}});
    let result = json!({"seq": 3, "result": {"outcome": payload, "address": payload,
        "verdict": {"reason": payload, "diagnostic": payload}}});
    let events = vec![event, act, result];
    let explained = json!({"address": payload, "state": payload, "summary": payload,
        "entries": [entry], "outlook": [payload], "events": events, payload: payload,
        "policy": {"evidence": [{"seq": 1, "effect": payload, "guard": payload}]}});
    let counts = service::Overview { guards: vec![payload.to_string()], ..Default::default() };
    let query = ListQuery {
        domain: Some(payload.to_string()),
        scope: Some(payload.to_string()),
        cursor: Some(payload.to_string()),
        ..Default::default()
    };
    let rates = json!({"scope": payload, "from": payload, "to": payload,
        "total": {"state": payload}, "by_campaign": {payload: {"state": payload}},
        "by_provider": {payload: {}}, "by_day": {payload: {"hard": 1}}});
    let guard = json!({"clause": payload, "why": payload, "since": payload,
        "covers_from": payload, "calm_at": payload});
    let mut over = guard.clone();
    over["ended"] = json!(payload);
    let machine = HealthPage {
        findings: vec![(payload.into(), Ok(payload.into())), (payload.into(), Err(payload.into()))],
        guards: json!([guard, over]),
        scopes: vec![payload.to_string()],
        rates: Some(rates.clone()),
    };
    let list = ListPage { entries: vec![entry], next: Some(payload.to_string()) };
    let failing = vec![(payload.to_string(), payload.to_string())];
    let (me, trend, scopes) = (viewer(), trend(payload), vec![payload.to_string()]);
    let mut of_provider = ProviderOfLate::of(&trend, payload);
    of_provider.rules.iter_mut().for_each(|line| line.events = events.clone());
    let found = SearchFound {
        addresses: vec![(payload.to_string(), payload.to_string())],
        more: Some(payload.to_string()),
        older: Some(1),
        ..SearchFound::default()
    };
    let tried = json!({"judged": 1, "since": payload, "findings": [payload],
        "changes": [{"from": payload, "to": payload, "count": 1, "sample": payload}]});
    let raw = format!("Subject: {payload}\n\nx {payload} y");
    let about = |whole| EventPage { event: &events[0], raw: Some(&raw), cut: true, whole };
    [
        overview(
            &me,
            &OverviewPage {
                counts: Some(counts),
                guards: machine.guards.clone(),
                failing,
                of_late: OfLate::of(&trend),
                unhealthy: vec![rates.clone()],
                bounces: events.clone(),
            },
        ),
        address(&me, payload, &explained, &scopes, (trend.now, Some(Flash::Released))),
        suppressions(&me, &query, &scopes, &list),
        health(&me, &machine),
        error(404, payload, payload),
        login(payload, Some(payload)),
        super::event(&me, &about(false)),
        super::event(&me, &about(true)),
        providers(&me, &Providers::of(&trend)),
        provider(
            &me,
            &Provider {
                name: payload,
                of_late: of_provider,
                guards: machine.guards.as_array().expect("a list").clone(),
                scopes: scopes.clone(),
                scope: payload,
                days: [(payload.to_string(), json!({"state": payload}))].into(),
            },
        ),
        campaigns(&me, &Campaigns::of(&trend)),
        campaign(
            &me,
            &Campaign {
                name: payload,
                of_late: CampaignOfLate::of(&trend, payload),
                events: events.clone(),
                next: Some(1),
            },
        ),
        super::scopes(&me, std::slice::from_ref(&rates), 1),
        super::scope(&me, &rates, machine.guards.as_array().expect("a list")),
        unknown(&me, &UnknownPage::of(&trend)),
        rule(&me, &RuleTrial { rules: payload, tried: Some(Ok(tried)) }),
        rule(&me, &RuleTrial { rules: payload, tried: Some(Err(payload.to_string())) }),
        search(
            &me,
            &SearchPage {
                text: payload,
                found: &found,
                events,
                pages: vec![(payload.to_string(), "/".to_string())],
            },
        ),
    ]
    .map(HtmlPage::into_string)
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
fn every_page_can_be_used_without_a_mouse_and_without_eyes() {
    for page in pages("harmless") {
        assert_eq!(page.matches("<h1").count(), 1, "{page}");
        for opening in ["<input ", "<select ", "<textarea "] {
            for field in page.split(opening).skip(1) {
                let tag = field.split_once('>').expect("a tag ends").0;
                let before = page.split(field).next().expect("it is in the page");
                let labelled = before.rfind("<label") > before.rfind("</label");
                assert!(
                    labelled || tag.contains("aria-label=") || tag.contains("type=\"hidden\""),
                    "no label: {opening}{tag}"
                );
            }
        }
    }
}

/// What the service answers for an address that two reports are about, one of which names another
/// too.
fn explained() -> Value {
    json!({"address": "a@x.test", "state": "suppressed",
        "summary": "a@x.test is suppressed since 2026-11-22T10:00:00.123Z",
        "outlook": ["it ends on 2026-12-06T10:00:00.123Z"],
        "entries": [{"scope": "news", "state": "suppressed", "reason": "user-unknown",
            "class": "invalid-recipient", "category": "hard", "since": "2026-11-22T10:00:00.123Z",
            "until": null, "events": 2, "rule": "generic-no-user", "clause": "now/user-unknown",
            "attribution": "plain", "seq": 7,
            "outlook": ["it ends on 2026-12-06T10:00:00.123Z"]}],
        "events": [
            {"seq": 8, "received_at": "2026-11-22T11:00:00Z", "kind": "failure",
                "note": "this is our own refusal",
                "recipients": [{"address": "a@x.test", "diagnostic": "said it again"}]},
            {"seq": 7, "received_at": "2026-11-22T10:00:00Z", "kind": "failure",
                "reporting_mta": "mx.x.test", "original": {"subject": "Our news"},
                "recipients": [
                    {"address": "b@x.test", "diagnostic": "550 another one"},
                    {"address": "a@x.test", "diagnostic": "550 5.1.1 No such user",
                        "matched": "no such user", "reason": "user-unknown",
                        "rule": "generic-no-user", "rule_at": "80-generic.toml:7"}],
                "decisions": [
                    {"address": "a@x.test", "from": "clear", "to": "suppressed", "clause": "now"},
                    {"address": "b@x.test", "from": "clear", "to": "watched", "clause": "other"}]}],
        "policy": {"evidence": [{"seq": 7, "effect": "counted"},
            {"seq": 8, "effect": "not counted: the same mail"}]},
        "would_change": "a success report"})
}

#[test]
fn the_address_page_explains() {
    let page =
        address(&viewer(), "A@X.test", &explained(), &[], (Default::default(), None)).into_string();
    for piece in [
        "<h1>a@x.test <span class=\"state bad\">suppressed</span>",
        "Mail to this address is refused.",
        "a@x.test is suppressed since 2026-11-22 10:00 UTC",
        "in the scope news",
        "<b>user-unknown</b>: the mailbox does not exist",
        "datetime=\"2026-11-22T10:00:00.123Z\">2026-11-22 10:00:00</time>",
        "<dt>until</dt><dd>no end",
        "“550 5.1.1 <mark>No such user</mark>”",
        "event <a href=\"/event?seq=7\">7</a>, ",
        "this is our own refusal",
        "reported by: mx.x.test",
        "about the mail: Our news",
        "<b>plain</b>: the return path names the recipient, unsigned",
        "<b>generic-no-user</b>: 80-generic.toml:7",
        "<b>now/user-unknown</b>: one such refusal is enough",
        "<li>it ends on 2026-12-06 10:00 UTC</li>",
        "clear → suppressed, now",
        "not counted: the same mail",
        "name=\"scope\" value=\"news\"",
        "Release in the scope news",
        "<summary>would change</summary>",
        "href=\"/v1/addresses/a@x.test\"",
    ] {
        assert!(page.contains(piece), "{piece} is not in\n{page}");
    }
    assert!(!page.contains("Released."));
    for foreign in ["another one", "clear → watched"] {
        assert!(!page.contains(foreign), "{foreign} is about another address");
    }
}

#[test]
fn a_scope_that_stops_is_seen_though_the_address_is_clear() {
    let explained = json!({"address": "a@x.test", "state": "clear", "events": [],
        "entries": [{"scope": "news", "state": "suppressed", "reason": "by-hand"}]});
    let page =
        address(&viewer(), "a@x.test", &explained, &[], (Default::default(), None)).into_string();
    for piece in ["Mail may be sent, but not in every scope.", "Release in the scope news"] {
        assert!(page.contains(piece), "{piece} is not in\n{page}");
    }
    assert!(!page.contains("nothing stands against"));
}

#[test]
fn what_is_not_there_leaves_no_empty_words() {
    let explained = json!({"address": "a@x.test", "state": "watched",
        "entries": [{"scope": "*", "state": "watched", "reason": "complaint", "seq": 1,
            "since": "2026-11-22T10:00:00Z"}],
        "events": [{"seq": 1, "kind": "complaint", "recipients": [{"address": "a@x.test"}]}]});
    let page =
        address(&viewer(), "a@x.test", &explained, &[], (Default::default(), None)).into_string();
    assert!(page.contains("a message of the kind complaint"), "{page}");
    for empty in ["“”", "<dt>until</dt>", "<dd></dd>", "<b></b>"] {
        assert!(!page.contains(empty), "{empty} is in\n{page}");
    }
}

#[test]
fn the_list_keeps_its_filters() {
    let query = ListQuery {
        domain: Some("x.test".to_string()),
        class: Some(Class::MailboxFull),
        scope: Some("news & more".to_string()),
        since: crate::mail::Timestamp::parse_rfc3339("2026-11-22T10:00:00Z"),
        cursor: Some("before".to_string()),
        ..Default::default()
    };
    let held = json!({"address": "a@x.test", "state": "held", "until": null});
    let list = ListPage { entries: vec![held], next: Some("a b".to_string()) };
    let page = suppressions(&viewer(), &query, &[], &list).into_string();
    let filters = "domain=x.test&amp;class=mailbox-full&amp;scope=news%20%26%20more&amp;\
                   since=2026-11-22T10%3A00%3A00Z";
    for piece in [
        format!("/suppressions?cursor=a%20b&amp;{filters}\">Next page"),
        format!("/suppressions?{filters}\">First page"),
        format!("/v1/suppressions:export?format=csv&amp;{filters}\""),
        "<option selected>mailbox-full</option>".to_string(),
        "type=\"date\" name=\"since\" value=\"2026-11-22\"".to_string(),
        "the guard ends".to_string(),
    ] {
        assert!(page.contains(&piece), "{piece} is not in\n{page}");
    }
}

#[test]
fn the_health_page_shows_rates_with_what_they_are_made_of() {
    let part = |state, sent, hard, percent: f64| json!({"state": state, "sent": sent, "hard": hard, "hard_rate": {"percent": percent}});
    let rates = json!({"scope": "news", "from": "2026-10-23T00:00:00Z",
        "to": "2026-11-22T00:00:00Z", "total": part("risky", 2000, 60, 3.0),
        "by_provider": {"small": part("unknown", 1, 0, 0.0), "zz-large": part("risky", 1999, 60, 3.0)},
        "by_campaign": {"": part("risky", 2000, 60, 3.0)}, "by_day": {}});
    let page = HealthPage { rates: Some(rates), ..Default::default() };
    let page = health(&viewer(), &page).into_string();
    for piece in [
        "None is tripped.",
        "Mail in the scope news, 2026-10-23 to 2026-11-22",
        "<span class=\"state wait\">risky</span>",
        "60 <span class=\"soft\">3.0 %</span>",
        "(none)",
    ] {
        assert!(page.contains(piece), "{piece} is not in\n{page}");
    }
    assert!(page.find("zz-large") < page.find("small"), "the largest first");
    assert!(!page.contains("By day"));
}
