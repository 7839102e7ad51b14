//! `bounced classify`: what messages mean, as JSON lines or as text for people.
//!
//! Lines come in the order of the input and are written as they are made, so that a folder of any
//! size streams. Text of a message reaches a terminal only without its control characters.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::mailbox::{self, MailboxItem};
use super::print::{self, Paint};
use crate::classify::{Certainty, RecipientVerdict};
use crate::event::Analysis;

/// A message and its envelope recipient in, what it means out.
pub type Analyse<'a> = dyn Fn(&[u8], Option<&str>) -> Analysis + 'a;

#[derive(Serialize)]
struct JsonLine<'a> {
    source: &'a str,
    #[serde(flatten)]
    analysis: &'a Analysis,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    source: &'a str,
    error: &'a str,
}

/// How [`classify_paths`] writes.
#[derive(Clone, Copy)]
pub enum Style {
    /// docs/interface.md, "classify --json".
    Json,
    /// Aligned words, coloured on a terminal.
    Human(Paint),
}

/// Classifies everything below some paths and gives the number of sources that could not be read.
pub fn classify_paths(
    paths: &[PathBuf],
    to: Option<&str>,
    style: Style,
    analyse: &Analyse<'_>,
    stdin: &mut dyn BufRead,
    out: &mut dyn Write,
) -> std::io::Result<u64> {
    let mut unread = 0;
    mailbox::messages(paths, stdin, &mut |MailboxItem { source, message }| {
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                unread += 1;
                return match style {
                    Style::Json => json(out, &ErrorLine { source: &source, error: &error }),
                    Style::Human(paint) => {
                        let source = print::visible(&source);
                        writeln!(out, "{}\n  {error}\n", paint.bold(&source))
                    }
                };
            }
        };
        let analysis = analyse(&message, to);
        match style {
            Style::Json => json(out, &JsonLine { source: &source, analysis: &analysis }),
            Style::Human(paint) => human(out, &source, &analysis, paint),
        }
    })?;
    Ok(unread)
}

fn json(out: &mut dyn Write, line: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// `serde`'s word for a value: `hard`, `5.1.1`, `550`.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(serde_json::Value::Null) | Err(_) => String::new(),
        Ok(other) => other.to_string(),
    }
}

fn human(
    out: &mut dyn Write,
    source: &str,
    analysis: &Analysis,
    paint: Paint,
) -> std::io::Result<()> {
    writeln!(out, "{}", paint.bold(&print::visible(source)))?;
    let mut row = |name: &str, value: &str| print::row(out, 2, name, value);
    row("kind", &format!("{} ({})", word(&analysis.kind), analysis.format))?;
    if let Some(verp) = &analysis.verp {
        let signature = match verp.authentic {
            Some(true) => "signature right",
            Some(false) => "signature WRONG",
            None => "not signed",
        };
        let recipient = verp.recipient.as_deref().unwrap_or("a recipient it does not name");
        row("verp", &format!("{} for {recipient}, {signature}", verp.scheme))?;
    }
    if let Some(mta) = &analysis.reporting_mta {
        row("reported by", mta)?;
    }
    if let Some(kind) = &analysis.feedback_type {
        row("feedback", kind)?;
    }
    if let Some(until) = analysis.away_until {
        row("away until", &until.to_string())?;
    }
    if let Some(address) = &analysis.new_address {
        row("new address", address)?;
    }
    for recipient in &analysis.recipients {
        human_recipient(out, recipient, paint)?;
    }
    let mut row = |name: &str, value: &str| print::row(out, 2, name, value);
    if let Some(id) = &analysis.original.message_id {
        row("original", id)?;
    }
    for (i, clue) in analysis.clues.iter().enumerate() {
        row(if i == 0 { "evidence" } else { "" }, clue)?;
    }
    for (i, defect) in analysis.defects.iter().enumerate() {
        row(if i == 0 { "defects" } else { "" }, defect)?;
    }
    writeln!(out)
}

fn human_recipient(
    out: &mut dyn Write,
    verdict: &RecipientVerdict,
    paint: Paint,
) -> std::io::Result<()> {
    let address = verdict.address().unwrap_or("(no address)");
    writeln!(out, "  {}", paint.bold(&print::visible(address)))?;
    let mut row = |name: &str, value: &str| -> std::io::Result<()> {
        if value.is_empty() { Ok(()) } else { print::row(out, 4, name, value) }
    };
    let codes = [
        verdict.recipient.action.map(|action| word(&action)).unwrap_or_default(),
        verdict.recipient.reply_code.map(|code| code.to_string()).unwrap_or_default(),
        verdict.recipient.status.map(|status| word(&status)).unwrap_or_default(),
        verdict
            .recipient
            .status_source
            .map(|from| format!("(from {})", word(&from)))
            .unwrap_or_default(),
    ];
    row("status", &codes.iter().filter(|c| !c.is_empty()).cloned().collect::<Vec<_>>().join(" "))?;
    let mut reason = verdict.reason.map(|reason| word(&reason)).unwrap_or_default();
    if let Some(category) = verdict.category {
        reason = format!("{reason} ({})", word(&category)).trim_start().to_string();
    }
    row("reason", &reason)?;
    if let Some(class) = verdict.class {
        let code = verdict.class_code.map(|code| format!(" {code}")).unwrap_or_default();
        row("class", &format!("{}{code}", word(&class)))?;
    }
    row("advice", &verdict.advice.map(|advice| word(&advice)).unwrap_or_default())?;
    if let Some(rule) = &verdict.rule {
        let at = verdict.rule_at.as_ref().map(|at| format!(" @ {at}")).unwrap_or_default();
        row("rule", &format!("{rule}{at}"))?;
    }
    if verdict.certainty == Some(Certainty::Inferred) {
        row("certainty", "inferred: a hard reason waits for another on a later day")?;
    }
    if let Some(seconds) = verdict.retry_after {
        row("retry", &format!("in {seconds} s, it says"))?;
    }
    row("list", verdict.blocklist.as_deref().unwrap_or_default())?;
    row("matched", verdict.matched.as_deref().unwrap_or_default())?;
    row("said", &verdict.recipient.diagnostic)?;
    row("by", verdict.recipient.remote_mta.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Category, Reason};
    use crate::mail::{Address, EnhancedStatus, ReplyCode};
    use crate::report::{Action, Kind, Original, Recipient, StatusSource};

    fn analysis(data: &[u8], to: Option<&str>) -> Analysis {
        let recipient = Recipient {
            address: to.and_then(Address::parse),
            action: Some(Action::Failed),
            status: EnhancedStatus::parse("5.1.1"),
            status_source: Some(StatusSource::Field),
            reply_code: ReplyCode::new(550),
            diagnostic: "550 5.1.1 \u{1b}[31mno such user".into(),
            ..Recipient::default()
        };
        let verdict = RecipientVerdict {
            recipient,
            reason: Some(Reason::UserUnknown),
            class_code: Some(10),
            category: Some(Category::Hard),
            rule: Some("iana/5.1.1".into()),
            rule_at: Some("90-iana.toml:7".into()),
            matched: Some("5.1.1".into()),
            retry_after: None,
            blocklist: None,
            ..RecipientVerdict::default()
        };
        Analysis {
            kind: Kind::Failure,
            format: "rfc3464".into(),
            bytes: data.len() as u64,
            verp: None,
            reporting_mta: None,
            arrival_date: None,
            recipients: vec![verdict],
            original: Original::default(),
            feedback_type: None,
            away_until: None,
            new_address: None,
            clues: vec!["multipart/report".into(), "MAILER-DAEMON".into()],
            forwarded: false,
            defects: vec![],
        }
    }

    fn run(style: Style, paths: &[PathBuf], stdin: &str) -> (u64, String) {
        let mut out = Vec::new();
        let to = Some("user@example.com");
        let mut input = stdin.as_bytes();
        let unread = classify_paths(paths, to, style, &analysis, &mut input, &mut out)
            .expect("a vector takes everything");
        (unread, String::from_utf8(out).expect("JSON and our words are UTF-8"))
    }

    #[test]
    fn json_lines_begin_with_the_source_and_keep_their_order() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        std::fs::write(dir.path().join("2.eml"), "two").expect("scratch is writable");
        std::fs::write(dir.path().join("1.eml"), "o").expect("scratch is writable");
        let missing = dir.path().join("missing");
        let (unread, text) =
            run(Style::Json, &[missing.clone(), dir.path().to_path_buf(), "-".into()], "stdin");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((unread, lines.len()), (1, 4));
        assert_eq!(
            lines[0],
            format!(
                "{{\"source\":\"{}\",\"error\":\"No such file or directory\"}}",
                missing.display()
            )
        );
        for (line, (name, bytes)) in lines[1..].iter().zip([("/1.eml", 1), ("/2.eml", 3), ("-", 5)])
        {
            assert!(line.starts_with("{\"source\":\""), "{line}");
            let value: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
            assert!(value["source"].as_str().is_some_and(|s| s.ends_with(name)), "{line}");
            assert_eq!((&value["bytes"], &value["kind"]), (&bytes.into(), &"failure".into()));
            assert_eq!(value["recipients"][0]["rule_at"], "90-iana.toml:7");
        }
    }

    #[test]
    fn a_person_sees_aligned_words_and_no_control_characters() {
        let (unread, text) = run(Style::Human(Paint::PLAIN), &["-".into()], "x");
        assert_eq!(unread, 0);
        assert_eq!(
            text,
            "-\n  kind         failure (rfc3464)\n  user@example.com\n    status       failed 550 \
             5.1.1 (from field)\n    reason       user-unknown (hard)\n    rule         iana/5.1.1 \
             @ 90-iana.toml:7\n    matched      5.1.1\n    said         550 5.1.1 \\u{1b}[31mno \
             such user\n  evidence     multipart/report\n               MAILER-DAEMON\n\n"
        );
    }
}
