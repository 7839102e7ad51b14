//! Runs the sample messages of the answer kinds through `answers::recognise` and compares with
//! their `.expect` files: kind, format, recipient, day of return, new address, evidence.
//!
//! Each message is read with LF and with CRLF, and cut off at several points, which must not
//! panic. A message that nothing recognises is `other`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bounced::message::Message;
use bounced::report::{Report, answers};

const FOLDERS: [&str; 6] =
    ["auto-reply", "challenge-response", "unsubscribe", "subscribe", "receipt", "other"];

fn samples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut samples = Vec::new();
    for folder in FOLDERS {
        for entry in std::fs::read_dir(root.join(folder)).expect("the folder is in the repository")
        {
            let path = entry.expect("readable").path();
            if path.extension().is_some_and(|e| e == "eml") {
                samples.push(path);
            }
        }
    }
    samples.sort();
    samples
}

fn recognise(data: &[u8]) -> Option<Report> {
    let message = Message::parse(data);
    answers::recognise(&message, &message.human_text())
}

/// The lines that an `.expect` file may hold, from a report.
fn recognised(report: Option<&Report>) -> Vec<String> {
    let Some(report) = report else { return vec!["kind: other".to_string()] };
    let mut lines =
        vec![format!("kind: {}", report.kind.as_str()), format!("format: {}", report.format)];
    for recipient in &report.recipients {
        if let Some(address) = &recipient.address {
            lines.push(format!("recipient: {address}"));
        }
    }
    if let Some(day) = report.away_until {
        let day = day.to_string();
        lines.push(format!("away_until: {}", day.split('T').next().unwrap_or_default()));
    }
    if let Some(address) = &report.new_address {
        lines.push(format!("new_address: {address}"));
    }
    lines
}

#[test]
fn each_sample_is_what_its_expectation_says() {
    let mut wrong = String::new();
    let samples = samples();
    assert!(samples.len() >= 130, "only {} samples found", samples.len());
    for path in &samples {
        let data = std::fs::read(path).expect("readable");
        let expect = std::fs::read_to_string(path.with_extension("expect")).expect("beside it");
        let crlf = data.iter().fold(Vec::with_capacity(data.len()), |mut out, b| {
            if *b == b'\n' {
                out.push(b'\r');
            }
            out.push(*b);
            out
        });
        for (data, ends) in [(&data, "LF"), (&crlf, "CRLF")] {
            let report = recognise(data);
            let found = recognised(report.as_ref());
            let expected: Vec<&str> = expect.lines().filter(|l| !l.starts_with('#')).collect();
            let (evidence, expected): (Vec<&str>, Vec<&str>) =
                expected.into_iter().partition(|l| l.starts_with("evidence: "));
            let clues = report.map(|r| r.clues.join(" | ")).unwrap_or_default();
            let clue_missing = evidence
                .iter()
                .filter_map(|l| l.strip_prefix("evidence: "))
                .any(|clue| !clues.contains(clue));
            if found != expected || clue_missing {
                let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path);
                let _ = writeln!(
                    wrong,
                    "{} ({ends}):\n  expected {expected:?} {evidence:?}\n  found    {found:?}\n  \
                     clues    {clues}",
                    name.display()
                );
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn a_sample_that_is_cut_off_does_no_harm() {
    for path in samples() {
        let data = std::fs::read(&path).expect("readable");
        for tenth in 0..10 {
            recognise(data.get(..data.len() * tenth / 10).unwrap_or_default());
        }
    }
}

#[test]
fn an_answer_names_its_sender_once_and_says_why() {
    for path in samples() {
        let data = std::fs::read(&path).expect("readable");
        if let Some(report) = recognise(&data) {
            assert_eq!(report.recipients.len(), 1, "{}", path.display());
            assert!(!report.clues.is_empty(), "{}", path.display());
        }
    }
}
