//! Transcripts of an SMTP session, as sendmail and its descendants write them:
//!
//! ```text
//!    ----- The following addresses had permanent fatal errors -----
//! <user@example.com>
//!     (reason: 550 5.1.1 User unknown)
//!    ----- Transcript of session follows -----
//! ... while talking to mx.example.com.:
//! >>> RCPT To:<user@example.com>
//! <<< 550 5.1.1 <user@example.com>... User unknown
//! 550 <user@example.com>... User unknown
//! ```
//! Also `In:`/`Out:` (Postfix), `Sent <<<`/`Received >>>` (InterScan). Memory between lines: the
//! recipient that the last RCPT named, and the reply to a command that concerns all.

use std::sync::LazyLock;

use super::block;
use super::notice::Notice;
use super::rows;
use crate::mail::{Address, MultiSearch, ReplyCode};
use crate::report::addresses;
use crate::report::types::{Action, Kind, Recipient, Report};
use crate::report::words::{beginning, bounded_words};

const MARKS: [&str; 6] = [
    "----- transcript of session follows -----",
    "----- the following addresses had",
    "----- the following addresses have",
    "transcript of session follows",
    "sent <<< rcpt to",
    "----- errors occurred",
];

/// What is remembered between lines.
#[derive(Default)]
struct Seek {
    found: Vec<(Address, Vec<String>)>,
    /// Named by the last RCPT command.
    current: Option<Address>,
    /// A refusal that names nobody: of MAIL, DATA, the connection.
    common: Vec<String>,
    host: Option<String>,
    /// The last command was MAIL: an address in its reply is the sender's.
    of_mail: bool,
    in_list: bool,
    in_transcript: bool,
    last_was_reply: bool,
}

/// Reads a transcript.
pub(super) fn recognise(notice: &Notice<'_, '_>) -> Option<Report> {
    static MARKED: LazyLock<MultiSearch> = LazyLock::new(|| MultiSearch::new(MARKS));
    if !notice.signs.any() || !MARKED.any(notice.lower.as_bytes()) {
        return None;
    }
    // BIGLOBE writes such a list without a session.
    if notice.lower.contains("addresses had delivery problems") {
        return None;
    }
    let mut seek = Seek::default();
    for line in notice.text.lines().take(5_000) {
        let line = line.trim().trim_start_matches("> ").trim();
        if !seek.section(line) {
            seek.line(line);
        }
    }
    let (kind, action) = rows::outcome(notice);
    let delayed = kind == Kind::Delay
        || notice.lower.contains("transient non-fatal errors")
        || notice.lower.contains("warning: could not send message for past");
    let fatal = notice.lower.contains("fatal errors") && !notice.lower.contains("non-fatal");
    let (kind, action) = match (fatal, delayed) {
        (true, _) => (Kind::Failure, Action::Failed),
        (false, true) => (Kind::Delay, Action::Delayed),
        (false, false) => (kind, action),
    };
    if seek.found.is_empty() {
        return None;
    }
    let mut report = Report::new(kind, "sendmail-transcript");
    report.clues.push("transcript of an SMTP session".into());
    let common = seek.common.join(" ");
    report.recipients = seek
        .found
        .into_iter()
        .map(|(address, lines)| {
            let words = choose(&lines, &common);
            Recipient {
                final_recipient: Some(address.to_string()),
                address: Some(address),
                action: Some(action),
                diagnostic: bounded_words(&words),
                remarks: bounded_words(&format!("{} {common}", lines.join(" "))),
                remote_mta: seek.host.clone(),
                ..Recipient::default()
            }
        })
        .collect();
    Some(report)
}

/// The most telling line: a remote reply over sendmail's own `Service unavailable`.
fn choose(lines: &[String], common: &str) -> String {
    let own_words = |l: &&String| !is_vague(l);
    let mut kept: Vec<&String> = lines.iter().filter(own_words).collect();
    if kept.is_empty() && !common.is_empty() {
        return common.to_string();
    }
    if kept.is_empty() {
        kept = lines.iter().collect();
    }
    kept.dedup();
    kept.iter().take(6).map(|l| l.as_str()).collect::<Vec<_>>().join(" ")
}

/// Words by which sendmail says only that something else went wrong.
fn is_vague(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    ["service unavailable", "remote protocol error", "can't create output", "503 "]
        .iter()
        .any(|v| lower.contains(v) && !lower.contains("client host"))
}

impl Seek {
    /// Section lines switch the mode.
    fn section(&mut self, line: &str) -> bool {
        let lower = line.to_ascii_lowercase();
        if !(lower.contains("-----") || lower.starts_with("transcript of session")) {
            return false;
        }
        self.of_mail = false;
        if !lower.contains("transcript") || self.found.len() != 1 {
            self.current = None;
        }
        self.in_list = lower.contains("following addresses") || lower.contains("errors occurred");
        self.in_transcript = lower.contains("transcript");
        true
    }

    fn line(&mut self, line: &str) {
        let was_reply = std::mem::take(&mut self.last_was_reply);
        if line.is_empty() {
            return;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(at) = lower.find("while talking to ") {
            let name = line.get(at + 17..).unwrap_or_default().trim_end_matches([':', '.', ' ']);
            self.host = Some(beginning(name, 255).to_string());
            self.current = None;
            return;
        }
        if self.in_list && line.starts_with(">>>") && block::first(line).is_some() {
            self.listed(line, &lower);
            return;
        }
        if let Some(command) = command(line) {
            self.of_mail = command.to_ascii_lowercase().starts_with("mail from");
            if command.to_ascii_lowercase().starts_with("rcpt to") {
                self.current = addresses::first_in(command);
                if let Some(address) = self.current.clone() {
                    self.entry(&address);
                }
            } else {
                self.current = None;
            }
            return;
        }
        if let Some(reply) = reply(line) {
            self.last_was_reply = true;
            self.take_reply(reply, self.of_mail && line.starts_with("<<<"));
            return;
        }
        if self.in_list {
            self.listed(line, &lower);
            return;
        }
        // A reply that was folded.
        if was_reply && self.in_transcript {
            self.last_was_reply = true;
            self.say(line.to_string());
        }
    }

    /// A line of the list of addresses: a recipient, or the reason of the last one.
    fn listed(&mut self, line: &str, lower: &str) {
        if let Some((address, rest)) = block::first(line) {
            let rest = rest.to_string();
            let lines = self.entry(&address);
            if !rest.is_empty() {
                lines.push(rest);
            }
            self.current = Some(address);
        } else if let Some(reason) = lower.find("reason: ").and_then(|n| line.get(n + 8..)) {
            self.say(reason.trim_end_matches(')').to_string());
        }
    }

    fn take_reply(&mut self, reply: &str, of_mail: bool) {
        let code = reply.get(..3).and_then(ReplyCode::parse);
        if !code.is_some_and(|c| c.is_permanent() || c.is_transient()) {
            return;
        }
        // `554 <user@host>... why`: the reply names its recipient, unless RCPT just did.
        let named = reply
            .find("...")
            .and_then(|dots| reply.get(4..dots))
            .and_then(block::first)
            .filter(|_| !of_mail);
        match named {
            Some((address, _)) => {
                let vague = is_vague(reply);
                let common = std::mem::take(&mut self.common);
                let lines = self.entry(&address);
                if vague {
                    lines.extend(common);
                }
                lines.push(reply.to_string());
                self.current = Some(address);
            }
            None => self.say(reply.to_string()),
        }
    }

    fn say(&mut self, words: String) {
        match self.current.clone() {
            Some(address) => self.entry(&address).push(words),
            None if self.common.len() < 20 => self.common.push(words),
            None => {}
        }
    }

    fn entry(&mut self, address: &Address) -> &mut Vec<String> {
        let n = match self.found.iter().position(|(a, _)| a.key() == address.key()) {
            Some(n) => n,
            None => {
                self.found.push((address.clone(), Vec::new()));
                self.found.len() - 1
            }
        };
        &mut self.found[n].1
    }
}

/// A command line of the transcript.
fn command(line: &str) -> Option<&str> {
    let line = line
        .strip_prefix("Sent <<<")
        .or_else(|| line.strip_prefix(">>>"))
        .or_else(|| line.strip_prefix("In:"))?;
    Some(line.trim())
}

/// A reply line, with or without `<<<`.
fn reply(line: &str) -> Option<&str> {
    let line = line
        .strip_prefix("Received >>>")
        .or_else(|| line.strip_prefix("<<<"))
        .or_else(|| line.strip_prefix("Out:"))
        .unwrap_or(line)
        .trim();
    let code = line.get(..3).and_then(ReplyCode::parse)?;
    let separated = line.len() == 3 || matches!(line.as_bytes().get(3), Some(b' ' | b'-'));
    (separated && code.value() >= 200).then_some(line)
}
