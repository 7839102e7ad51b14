//! The log line of a message that is durable (docs/interface.md, "Logs"), the same however it came:
//! by SMTP, by HTTP, or by a command in place of the service. No address of a recipient is in it.

use std::time::Duration;

use tracing::Level;

use super::MessageTally;
use crate::event::{Decision, Event};
use crate::ledger::Committed;

/// What is told of a message: its words for people, one field each, several values with a comma.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoggedWords {
    /// Format of the report.
    pub format: String,
    /// Reasons of its recipients.
    pub reasons: String,
    /// Their categories.
    pub categories: String,
    /// The rules that said so.
    pub rules: String,
    /// How it was tied to mail of ours.
    pub attribution: &'static str,
}

impl LoggedWords {
    /// Nothing when no line will be written.
    pub(super) fn of(event: &Event) -> Self {
        if !tracing::enabled!(Level::INFO) {
            return Self::default();
        }
        let attribution = event.attribution.map_or("none", |level| level.as_str());
        let Some(analysis) = &event.analysis else {
            return Self { attribution, ..Self::default() };
        };
        let recipients = &analysis.recipients;
        Self {
            format: analysis.format.clone(),
            reasons: joined(recipients.iter().filter_map(|r| Some(r.reason?.as_str()))),
            categories: joined(recipients.iter().filter_map(|r| Some(r.category?.as_str()))),
            rules: joined(recipients.iter().filter_map(|r| r.rule.as_deref())),
            attribution,
        }
    }
}

/// Values of one field that are told: more say nothing to somebody who reads a line.
const MOST_VALUES: usize = 5;

/// Each value once, in the order in which they came.
fn joined<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for value in values {
        if seen.len() < MOST_VALUES && !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen.join(",")
}

/// Where a message came from.
#[derive(Debug, Default)]
pub struct MessageSource<'a> {
    /// The SMTP session; empty for one that came otherwise.
    pub session: &'a str,
    /// Who handed it over.
    pub peer: &'a str,
    /// What the client calls itself: a stranger's claim.
    pub helo: &'a str,
    /// It came over TLS.
    pub tls: bool,
}

/// A message that is durable.
#[derive(Debug)]
pub struct Stored {
    /// Its place in the journal, and what it changed.
    pub committed: Committed,
    /// What is told of it.
    pub tally: Option<MessageTally>,
    /// From the queue to the disk.
    pub commit: Duration,
}

impl Stored {
    /// Writes the line.
    pub fn log(&self, source: &MessageSource<'_>) {
        if !tracing::enabled!(Level::INFO) {
            return;
        }
        let Committed { seq, id, duplicate, decisions } = &self.committed;
        let Some(MessageTally { kind, octets, words, .. }) = &self.tally else { return };
        let LoggedWords { format, reasons, categories, rules, attribution } = words;
        let MessageSource { session, peer, helo, tls } = source;
        // Some clients name themselves by an address.
        let helo = if helo.contains('@') { "" } else { helo };
        let change = |d: &Decision| format!("{}>{} {}", d.from, d.to, d.clause);
        let changes: Vec<String> = decisions.iter().map(change).collect();
        let decisions = joined(changes.iter().map(String::as_str));
        let commit_ms = u64::try_from(self.commit.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            session,
            peer,
            helo,
            tls,
            kind = kind.as_str(),
            format,
            reasons,
            categories,
            rules,
            attribution,
            decisions,
            commit_ms,
            id,
            seq,
            octets,
            duplicate,
            "stored"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_once_and_not_without_end() {
        assert_eq!(joined(["a", "b", "a"].into_iter()), "a,b");
        assert_eq!(joined("a b c d e f g".split(' ')), "a,b,c,d,e");
        assert_eq!(joined(std::iter::empty()), "");
    }
}
