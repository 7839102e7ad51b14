//! The repository's own samples: `tests/corpus/<folder>/NN.eml` with `NN.expect` beside it.
//!
//! `.expect` holds the few lines that an operator cares about; lines that are not there are not
//! compared. `BLESS=1 cargo test --test corpus` writes those that are missing or wrong; a person
//! reads the diff. Each sample runs with CRLF and LF, and is cut at many points, which must not panic.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bounced::analysis::{Analyser, judge_again};
use bounced::classify::RuleSet;
use bounced::event::{Analysis, Event, EventType};
use bounced::mail::Timestamp;
use bounced::verp::Verp;

fn pipeline() -> Analyser {
    let config = bounced::config::VerpConfig {
        signed: true,
        plain: true,
        keys: Vec::new(),
        max_age: Duration::from_secs(30 * 86_400),
    };
    Analyser {
        verp: Arc::new(Verp::new(&config, &[]).expect("no keys, nothing to refuse")),
        rules: Arc::new(RuleSet::load(None).expect("the shipped rules load")),
        shadow: None,
    }
}

fn samples() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    for folder in fs::read_dir(root).expect("tests/corpus is there").flatten() {
        for file in fs::read_dir(folder.path()).expect("folders only").flatten() {
            if file.path().extension().is_some_and(|e| e == "eml") {
                found.push(file.path());
            }
        }
    }
    found.sort();
    found
}

/// The lines of an `.expect` file that an analysis gives.
fn lines(analysis: &Analysis) -> Vec<String> {
    let mut out = vec![format!("kind: {}", analysis.kind), format!("format: {}", analysis.format)];
    if let Some(kind) = &analysis.feedback_type {
        out.push(format!("feedback_type: {kind}"));
    }
    if let Some(day) = analysis.away_until {
        out.push(format!("away_until: {}", day.to_string().get(..10).expect("a date")));
    }
    if let Some(address) = &analysis.new_address {
        out.push(format!("new_address: {address}"));
    }
    for recipient in &analysis.recipients {
        out.push(format!("recipient: {}", recipient.address().unwrap_or("-")));
        if let Some(status) = recipient.recipient.status.filter(|_| recipient.reason.is_some()) {
            out.push(format!("  status: {status}"));
        }
        if let Some(reason) = recipient.reason {
            out.push(format!("  reason: {reason}"));
        }
        if let Some(category) = recipient.category {
            out.push(format!("  category: {category}"));
        }
        if let Some(host) = &recipient.recipient.remote_mta {
            out.push(format!("  host: {host}"));
        }
        if !recipient.recipient.diagnostic.is_empty() {
            out.push(format!("  said: {}", recipient.recipient.diagnostic));
        }
    }
    out
}

/// Checks the lines of the file against the analysis; gives what differs.
fn differences(expect: &str, analysis: &Analysis) -> Vec<String> {
    let have = lines(analysis);
    let mut wrong = Vec::new();
    let mut at = 0;
    for line in expect.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
        if let Some(part) = line.strip_prefix("evidence: ") {
            if !analysis.clues.iter().any(|e| e.contains(part)) {
                wrong.push(format!("no evidence says `{part}`: {:?}", analysis.clues));
            }
            continue;
        }
        let of_recipient = line.starts_with("recipient: ") || line.starts_with(' ');
        if !of_recipient {
            if !have.iter().any(|h| h == line.trim_end()) {
                wrong.push(format!("wanted `{line}`, have {have:?}"));
            }
            continue;
        }
        // Recipients and what is below them come in their order.
        match have.iter().skip(at).position(|h| h.trim() == line.trim()) {
            Some(n) => at += n + 1,
            None => wrong.push(format!("wanted `{line}`, have {have:?}")),
        }
    }
    let wanted = expect.lines().filter(|l| l.starts_with("recipient: ")).count();
    if wanted != analysis.recipients.len() && expect.contains("recipient: ") {
        wrong.push(format!("{} recipients, wanted {wanted}", analysis.recipients.len()));
    }
    wrong
}

#[test]
fn samples_mean_what_their_expectation_says() {
    let pipeline = pipeline();
    let bless = std::env::var("BLESS").is_ok_and(|b| b == "1");
    let mut failures = Vec::new();
    let mut ran = 0;
    for path in samples() {
        let data = fs::read(&path).expect("readable");
        let lf = String::from_utf8_lossy(&data).contains('\r');
        let expect_path = path.with_extension("expect");
        let analysis = pipeline.analyse(&data, &[], Timestamp::from_millis(0)).analysis;
        let old = fs::read_to_string(&expect_path).unwrap_or_default();
        if bless && (!old.contains("\nkind: ") || !differences(&old, &analysis).is_empty()) {
            let head: Vec<&str> =
                old.lines().filter(|l| l.starts_with('#') || l.starts_with("evidence:")).collect();
            let body = lines(&analysis).join("\n");
            fs::write(&expect_path, format!("{}\n{body}\n", head.join("\n"))).expect("writable");
        }
        let expect = fs::read_to_string(&expect_path).unwrap_or_default();
        if !expect.starts_with("# shape from: ") {
            failures.push(format!(
                "{}: the first line says `# shape from: ...`",
                expect_path.display()
            ));
        }
        if !expect.contains("\nkind: ") {
            failures.push(format!("{}: it expects no kind", expect_path.display()));
        }
        for wrong in differences(&expect, &analysis) {
            failures.push(format!("{}: {wrong}", path.display()));
        }
        // 8-bit samples keep their octets; only line ends change.
        let other: Vec<u8> = if lf {
            data.iter().copied().filter(|b| *b != b'\r').collect()
        } else {
            data.iter()
                .flat_map(|b| if *b == b'\n' { vec![b'\r', b'\n'] } else { vec![*b] })
                .collect()
        };
        let again = pipeline.analyse(&other, &[], Timestamp::from_millis(0)).analysis;
        if lines(&again) != lines(&analysis) {
            failures.push(format!("{}: other line ends, other meaning", path.display()));
        }
        ran += 1;
    }
    assert!(failures.is_empty(), "{} of {ran}:\n{}", failures.len(), failures.join("\n"));
    assert!(ran >= 60, "only {ran} samples ran");
}

#[test]
fn cut_messages_are_read_without_a_panic() {
    let pipeline = pipeline();
    let mut ran = 0;
    for path in samples() {
        let data = fs::read(&path).expect("readable");
        for n in 1..24 {
            let cut = data.get(..data.len() * n / 24).expect("within");
            let analysis = pipeline.analyse(cut, &[], Timestamp::from_millis(0)).analysis;
            assert_eq!(analysis.bytes, cut.len() as u64);
            ran += 1;
        }
    }
    assert!(ran >= 60 * 23, "only {ran} cuts ran");
}

/// 100 runs, each over another fifth of the samples in another order, in four threads with rules
/// of their own: the JSON of each sample is the same, octet for octet. (`.ci/run` does all
/// samples in 100 processes of the release build.)
#[test]
fn the_same_bytes_give_the_same_verdict_in_any_order() {
    let data: Vec<Vec<u8>> = samples().iter().map(|f| fs::read(f).expect("readable")).collect();
    let read = |p: &Analyser, data: &[u8]| {
        serde_json::to_string(&p.analyse(data, &[], Timestamp::from_millis(0)).analysis)
            .expect("JSON")
    };
    let first = pipeline();
    let wanted: Vec<String> = data.iter().map(|d| read(&first, d)).collect();
    let runs = |thread: usize| {
        let pipeline = pipeline();
        let mut order: Vec<usize> = (0..data.len()).collect();
        let mut dice = thread as u64 + 1;
        for run in 0..25 {
            for n in (1..order.len()).rev() {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                order.swap(n, (dice >> 33) as usize % (n + 1));
            }
            for at in order.iter().take(order.len() / 5) {
                let (data, wanted) = (data.get(*at), wanted.get(*at));
                let json = data.map(|d| read(&pipeline, d));
                assert_eq!(json.as_ref(), wanted, "thread {thread}, run {run}");
            }
        }
        25 * (order.len() / 5)
    };
    let done: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || runs(n))).collect();
        threads.into_iter().map(|t| t.join().expect("no thread differs")).sum()
    });
    assert_eq!(done, 100 * (wanted.len() / 5));
    assert!(wanted.len() >= 400, "only {} samples", wanted.len());
}

/// `bounced replay` with the rules in force must change nothing: a record is complete enough to be
/// judged again without its message (docs/policy.md, "The journal").
#[test]
fn a_record_is_judged_again_like_its_message() {
    let pipeline = pipeline();
    let mut judged = 0;
    for file in samples() {
        let data = fs::read(&file).expect("readable");
        let analysis = pipeline.analyse(&data, &[], Timestamp::from_millis(0)).analysis;
        let mut event = Event::new(EventType::Message, "e1".into(), Timestamp::from_millis(0));
        event.analysis = Some(analysis);
        let line = serde_json::to_string(&event).expect("plain data");
        let read: Event = serde_json::from_str(&line).expect("our own line");
        assert_eq!(read, event, "{}", file.display());
        if let Some(again) = judge_again(&read, &pipeline.rules) {
            let first = event.analysis.map(|analysis| analysis.recipients);
            assert_eq!(Some(again), first, "{}", file.display());
            judged += 1;
        }
    }
    assert!(judged > 200, "{judged}");
}

#[test]
fn each_row_format_has_a_sample() {
    let pipeline = pipeline();
    let seen: BTreeSet<String> = samples()
        .iter()
        .map(|p| {
            pipeline
                .analyse(&fs::read(p).expect("readable"), &[], Timestamp::from_millis(0))
                .analysis
                .format
        })
        .collect();
    let missing: Vec<_> =
        bounced::report::formats::row_names().into_iter().filter(|n| !seen.contains(*n)).collect();
    assert!(missing.is_empty(), "formats without a sample: {missing:?}");
}
