//! Messages made to hurt (docs/reliability.md, "Attacks"), each through the whole straight line.
//!
//! A bomb is never refused and never believed: it is read within the budget of
//! `src/message/limits.rs`, what was cut is a named defect, and all of them together leave less
//! than 64 MiB behind. How long they take is measured outside, on a release build: a test that
//! looks at a clock fails on busy machines.

use std::sync::Arc;
use std::time::Duration;

use bounced::analysis::Analyser;
use bounced::classify::{Refusal, RuleSet};
use bounced::event::Analysis;
use bounced::mail::Timestamp;
use bounced::report::Kind;
use bounced::verp::Verp;

const TOP: &str = "From: MAILER-DAEMON@mx.example.net\r\nTo: bounces@b.example\r\n\
    Subject: bomb\r\nMIME-Version: 1.0\r\n";

fn pipeline() -> Analyser {
    let config = bounced::config::VerpConfig {
        signed: true,
        plain: true,
        keys: Vec::new(),
        max_age: Duration::from_secs(86_400),
    };
    Analyser {
        verp: Arc::new(Verp::new(&config, &[]).expect("no keys")),
        rules: Arc::new(RuleSet::load(None).expect("the shipped rules load")),
        shadow: None,
    }
}

fn read(pipeline: &Analyser, message: &str) -> Analysis {
    pipeline.analyse(message.as_bytes(), &[], Timestamp::from_millis(0)).analysis
}

/// Octets of resident memory at their highest.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).expect("a high-water mark");
    let kib = line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).expect("kB");
    kib * 1024
}

fn base64(text: &str) -> String {
    data_encoding::BASE64_MIME.encode(text.as_bytes())
}

/// (name, message, the defect that it must be given)
fn bombs() -> Vec<(&'static str, String, &'static str)> {
    let part = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n";
    let rfc822 = "Content-Type: message/rfc822\r\n\r\n";
    let own = many(5_000, &|i| {
        format!("Content-Type: multipart/mixed; boundary=\"b{i}\"\r\n\r\n--b{i}\r\n")
    });
    let mut encoded = "Subject: x\r\n\r\ninner@example.com: 550 5.1.1 user unknown\r\n".to_string();
    for _ in 0..12 {
        let inner = base64(&encoded);
        encoded = format!(
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{inner}"
        );
    }
    let fields = many(20_000, &|i| format!("X-{i}: y\r\n"));
    let parts = "--b\r\n\r\nx\r\n".repeat(20_000);
    let parameters = many(20_000, &|i| format!(";\r\n a*{i}*=utf-8''%41"));
    let words = "=?utf-8?B?QQ==?= ".repeat(20_000);
    let mixed = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    let plain = "Content-Type: text/plain";
    let big = "x\r\n".repeat(400_000);
    vec![
        ("nested messages", format!("{TOP}{}", rfc822.repeat(10_000)), "nested"),
        ("nested multiparts", format!("{TOP}{own}"), "nested"),
        ("nested, one boundary", format!("{TOP}{}", part.repeat(5_000)), ""),
        ("parts", format!("{TOP}{mixed}{parts}--b--\r\n"), "parts"),
        ("fields", format!("{TOP}{fields}\r\nx\r\n"), "header block"),
        ("octets", format!("{TOP}\r\n{big}"), "512 KiB"),
        ("continuations", format!("{TOP}{plain}{parameters}\r\n\r\nx\r\n"), ""),
        ("encoded words", format!("{TOP}Subject: {words}\r\n\r\nx\r\n"), ""),
        ("one field", format!("{TOP}X-A: {}\r\n\r\nx\r\n", "A".repeat(400_000)), ""),
        ("base64 in base64", format!("{TOP}{encoded}"), ""),
    ]
}

fn many(n: usize, one: &dyn Fn(usize) -> String) -> String {
    (0..n).map(one).collect()
}

#[test]
fn a_bomb_is_read_within_its_budget() {
    let pipeline = pipeline();
    let bombs = bombs();
    read(&pipeline, TOP);
    let before = peak();
    for (name, message, defect) in &bombs {
        let analysis = read(&pipeline, message);
        assert_eq!(analysis.bytes, message.len() as u64, "{name}: every octet is counted");
        let named = analysis.defects.iter().any(|d| d.contains(defect));
        assert!(named || defect.is_empty(), "{name}: {:?} names no {defect}", analysis.defects);
        assert_ne!(analysis.kind, Kind::Failure, "{name}: {:?}", analysis.clues);
        let json = serde_json::to_string(&analysis).expect("JSON");
        assert!(json.len() < 64 * 1024, "{name}: {} octets of JSON", json.len());
    }
    // The kernel counts pages for each processor, and adds them up late: the sum may shrink a little.
    let grown = peak().saturating_sub(before);
    assert!(grown < 64 << 20, "{} bombs took {grown} octets", bombs.len());
}

/// What is left out is told, and no address is cut in two: half of one is somebody else's.
#[test]
fn a_long_report_says_what_was_not_read() {
    let pipeline = pipeline();
    let short =
        |i: usize| format!("Final-Recipient: rfc822;u{i:04}@example.com\r\nStatus: 5.1.1\r\n\r\n");
    let long = |i: usize| {
        let host = "h".repeat(i % 60 + 100);
        format!(
            "Final-Recipient: rfc822; u{i:04}@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n\
             Remote-MTA: dns; {host}.example.com\r\n\r\n"
        )
    };
    let report = |groups: String| {
        format!(
            "{TOP}Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
             --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a\r\n\r\n\
             {groups}--b--\r\n"
        )
    };
    for (groups, least, defect) in [
        (many(1_000, &short), 1_000, None),
        (many(1_001, &short), 1_000, Some("only the first 1,000 recipients were read")),
        (many(900, &long), 400, Some("a text over budget: only its beginning was read")),
        (many(2_500, &long), 400, Some("a text over budget: only its beginning was read")),
    ] {
        let analysis = read(&pipeline, &report(groups));
        let found = analysis
            .defects
            .iter()
            .map(String::as_str)
            .find(|d| d.starts_with("only the first 1,0") || d.contains("budget"));
        assert_eq!(found, defect, "{:?}", analysis.defects);
        assert!(analysis.recipients.len() >= least, "{}", analysis.recipients.len());
        for (i, recipient) in analysis.recipients.iter().enumerate() {
            assert_eq!(
                recipient.recipient.address.as_ref().map(|a| a.to_string()),
                Some(format!("u{i:04}@example.com"))
            );
        }
    }
}

/// What a charset can hide (docs/reliability.md, "Header and charset tricks") is neither undone
/// (UTF-7 that nobody declared) nor passed on.
#[test]
fn charsets_smuggle_nothing() {
    let pipeline = pipeline();
    let hidden = "Content-Type: text/plain; charset=us-ascii\r\n\r\n\
        +AHUAQABlAHgAYQBtAHAAbABlAC4AYwBvAG0: 550 5.1.1 user unknown\r\n";
    let analysis = read(&pipeline, &format!("{TOP}{hidden}"));
    let addresses: Vec<_> = analysis.recipients.iter().map(|r| r.address()).collect();
    assert!(!addresses.contains(&Some("u@example.com")), "{addresses:?}");
    let escaped = "Final-Recipient: rfc822; u@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n\
        Diagnostic-Code: smtp; 550 no \x1b[31m such\x07 user\x00 here\r\n";
    let report = format!(
        "{TOP}Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a\r\n\r\n{escaped}\
         \r\n--b--\r\n"
    );
    let analysis = read(&pipeline, &report);
    let said = analysis.recipients.first().map(|r| r.recipient.diagnostic.clone()).expect("words");
    assert!(said.contains("such"), "{said}");
    assert!(!said.chars().any(char::is_control), "{said:?}");
}

/// Words that nearly match, again and again (docs/reliability.md, "Words that nearly match"),
/// against every rule and the words of the lexicon. Matching is literal pieces over an automaton, so it is linear by
/// construction: no expression engine is a dependency.
#[test]
fn words_that_nearly_match_are_judged() {
    let manifest = include_str!("../Cargo.toml");
    assert!(!manifest.lines().any(|l| l.starts_with("regex") || l.starts_with("fancy")));
    let rules = RuleSet::load(None).expect("the shipped rules load");
    // Rules, and what the words alone tell: a column of a table of replies.
    let words = include_str!("../src/classify/says/seen.tsv");
    let words = words.lines().filter(|line| !line.starts_with('#')).flat_map(|l| l.split('\t'));
    let literals = rules.rules().iter().flat_map(|r| r.when.text.iter()).map(String::as_str);
    let pieces: Vec<&str> = literals.chain(words.filter(|text| text.len() > 12)).collect();
    assert!(pieces.len() > 2_000, "only {}", pieces.len());
    let mut judged = 0;
    for (n, piece) in pieces.iter().enumerate() {
        let cut: String = piece.chars().take(piece.chars().count().saturating_sub(1)).collect();
        let other = pieces.get((n * 7_919) % pieces.len()).copied().unwrap_or_default();
        let words = format!("550 {} {other} {}", cut.repeat(20), cut.repeat(20));
        let refusal = Refusal { diagnostic: &words, remarks: &cut, ..Refusal::default() };
        let verdict = rules.judge(&refusal);
        assert!(!verdict.rule.is_empty() && verdict.matched.len() <= words.len() + 16, "{words}");
        judged += 1;
    }
    assert!(judged > 2_000, "only {judged}");
}
