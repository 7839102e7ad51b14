//! The row engine: a row of `programs.toml`, `phrases.toml` or `world.toml` (asked in this order) says
//! how a notice in words is known, where its recipient block begins and ends, and what its lines are.
//!
//! ```toml
//! [[format]]
//! name  = "hotpop"
//! gate  = { from = ["mailer-daemon"], body = ["undeliverable address:"] }
//! start = ["undeliverable address:"]
//! until = ["original message attached"]
//! recipient = ["undeliverable address:"]
//! host  = ["next hop"]
//! reply = ["its words"]
//! ```
//!
//! All words are lower case and compared without case.
//!
//! | key | meaning |
//! |---|---|
//! | `gate` | which messages are read by this row: of each list that is given (`from`, `subject`, `body`, `also`) one word must be there; `header`: one of these fields. The first row in order wins |
//! | `start` | the block begins with the line that has one of these words, with `after = true` after it; without `start`, at the top |
//! | `until` | the block ends before such a line |
//! | `recipient` | words before an address, which must follow within 12 octets; `""` or no key: the address begins the line; `"*"`: any address of a line |
//! | `otherwise` | the same, where `recipient` finds nobody, skipped lines included |
//! | `host` | labels at the beginning of a line that names the host that refused; without it, what follows `host ` or `host: ` in the reply |
//! | `reply` | labels at the beginning of the line with its reply; the label is left out |
//! | `skip` | lines with one of these words say nothing. All other lines of a block are read for the reason, labels too: `next hop:` alone makes a network error |
//! | `delay` | words that make it a delay; `always_delay = true`: always one |
//! | `once` | one recipient only; what follows is the reason |
//! | `unsure` | the words are those of a language, not of a program, so somebody must be named |
//! | `nameless` | the format never names an address |
//!
//! At the head of a file: `delay`, `gave_up`, `delivered`, `failed` and `until` hold for all rows.

use std::sync::LazyLock;

use serde::Deserialize;

use super::block::{self, Labels, RecipientLine};
use super::notice::Notice;
use crate::mail::MultiSearch;
use crate::report::types::{Action, Kind, Report};

/// The tables in the order in which they are asked: programs, providers and languages, the rest.
const TABLES: [&str; 3] =
    [include_str!("programs.toml"), include_str!("phrases.toml"), include_str!("world.toml")];

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FormatFile {
    #[serde(default)]
    delay: Vec<String>,
    #[serde(default)]
    gave_up: Vec<String>,
    #[serde(default)]
    delivered: Vec<String>,
    #[serde(default)]
    failed: Vec<String>,
    #[serde(default)]
    until: Vec<String>,
    format: Vec<FormatRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FormatRow {
    name: String,
    gate: Gate,
    #[serde(default)]
    start: Vec<String>,
    #[serde(default)]
    after: bool,
    #[serde(default)]
    until: Vec<String>,
    #[serde(default)]
    recipient: Vec<String>,
    #[serde(default)]
    otherwise: Vec<String>,
    #[serde(default)]
    host: Vec<String>,
    #[serde(default)]
    reply: Vec<String>,
    #[serde(default)]
    skip: Vec<String>,
    #[serde(default)]
    delay: Vec<String>,
    #[serde(default)]
    always_delay: bool,
    #[serde(default)]
    once: bool,
    #[serde(default)]
    unsure: bool,
    #[serde(default)]
    nameless: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gate {
    #[serde(default)]
    from: Vec<String>,
    #[serde(default)]
    subject: Vec<String>,
    #[serde(default)]
    header: Vec<String>,
    #[serde(default)]
    body: Vec<String>,
    #[serde(default)]
    also: Vec<String>,
}

/// The parsed rows and the words that are looked for in bodies.
struct FormatTable {
    file: FormatFile,
    bodies: MultiSearch,
    /// Row of each word of `bodies`.
    owner: Vec<usize>,
    /// What says that delivery is still tried, that it was given up, that it succeeded.
    tone: MultiSearch,
    /// What says that something failed, in any language.
    failed: MultiSearch,
    ends: MultiSearch,
}

static TABLE: LazyLock<FormatTable> = LazyLock::new(|| {
    let mut file = FormatFile::default();
    for table in TABLES {
        let more: FormatFile =
            toml::from_str(table).expect("the tables are compiled in and tested");
        file.delay.extend(more.delay);
        file.gave_up.extend(more.gave_up);
        file.delivered.extend(more.delivered);
        file.failed.extend(more.failed);
        file.until.extend(more.until);
        file.format.extend(more.format);
    }
    let gates = || file.format.iter().enumerate();
    let bodies = MultiSearch::new(gates().flat_map(|(_, row)| &row.gate.body));
    let owner = gates().flat_map(|(n, row)| row.gate.body.iter().map(move |_| n)).collect();
    let tone = MultiSearch::new(file.delay.iter().chain(&file.gave_up).chain(&file.delivered));
    let failed = MultiSearch::new(&file.failed);
    let ends = MultiSearch::new(&file.until);
    FormatTable { bodies, owner, tone, failed, ends, file }
});

/// Octets of a notice in which its marks are looked for.
const SEEN_OCTETS: usize = 16 * 1024;

/// Octets before an announcement that make it part of a longer line.
const LONG_LINE: usize = 80;

/// The formats of the tables in order, for the tests that want a sample of each.
pub fn names() -> Vec<&'static str> {
    TABLE.file.format.iter().map(|row| row.name.as_str()).collect()
}

/// What the words of a notice say, whatever its format.
#[derive(Default)]
struct Tone {
    delayed: bool,
    gave_up: bool,
    delivered: bool,
}

impl Tone {
    fn of(lower: &str) -> Self {
        let (delay, gave_up) = (TABLE.file.delay.len(), TABLE.file.gave_up.len());
        let mut tone = Self::default();
        TABLE.tone.find(head(lower).as_bytes(), |word, _| match word {
            word if word < delay => tone.delayed = true,
            word if word < delay + gave_up => tone.gave_up = true,
            _ => tone.delivered = true,
        });
        tone
    }
}

/// Whether the words say that delivery is still tried and nobody gave up.
pub fn says_delayed(lower: &str) -> bool {
    let tone = Tone::of(lower);
    tone.delayed && !tone.gave_up
}

/// Whether words (in lower case) say that something failed.
pub fn says_failure(lower: &str) -> bool {
    TABLE.failed.any(head(lower).as_bytes())
}

/// What became of the mail, by the words of a notice. A report of success without its
/// machine-readable part has the shape of a failure's; one that names a failure besides is one. The
/// subject counts where the text says nothing of the kind.
pub(super) fn outcome(notice: &Notice<'_, '_>) -> (Kind, Action) {
    let lower = notice.lower;
    // Fewer words than a failure has: some of those are in a report of success, too.
    const FAILED: [&str; 14] = [
        "could not",
        "couldn't",
        "cannot",
        "unable to",
        "failed",
        "undeliverable",
        "fatal",
        "not delivered",
        "nicht",
        "n'a pas",
        "no se p",
        "non è",
        "não",
        "niet",
    ];
    let mut tone = Tone::of(lower);
    if !(tone.delayed || tone.gave_up || tone.delivered) {
        tone = Tone::of(notice.subject);
        tone.delayed |= notice.signs.delayed;
    }
    let failed = || FAILED.iter().any(|word| find(head(lower), word).is_some());
    match tone {
        Tone { gave_up: true, .. } => (Kind::Failure, Action::Failed),
        Tone { delayed: true, .. } => (Kind::Delay, Action::Delayed),
        Tone { delivered: true, .. } if !failed() => (Kind::Success, Action::Delivered),
        _ => (Kind::Failure, Action::Failed),
    }
}

/// Where the returned message begins, by the usual lines that announce it.
pub fn original_announced(lower: &str) -> Option<usize> {
    let mut first: Option<usize> = None;
    TABLE.ends.find(lower.as_bytes(), |_, at| first = Some(first.map_or(at, |f| f.min(at))));
    Some(line_cut(lower, first?))
}

/// Where the line begins whose words end a block; the words themselves where others
/// are before them on the line, for HTML may make one line of a whole notice.
fn line_cut(text: &str, at: usize) -> usize {
    let head = text.get(..at).unwrap_or_default();
    let start = head.rfind('\n').map_or(0, |n| n + 1);
    let alone = head.get(start..).is_none_or(|words| words.len() < LONG_LINE);
    if alone { start } else { at }
}

/// The first row that claims the notice; without `unsure`, of those with words of one program.
pub(super) fn recognise(notice: &Notice<'_, '_>, unsure: bool) -> Option<Report> {
    let mut hit = vec![false; TABLE.file.format.len()];
    TABLE.bodies.find(head(notice.lower).as_bytes(), |word, _| hit[TABLE.owner[word]] = true);
    let known = |row: &FormatRow| (unsure || !row.unsure) && row.name != notice.without;
    let rows = TABLE.file.format.iter().zip(hit).filter(|(row, hit)| {
        (*hit || row.gate.body.is_empty()) && known(row) && row.gate.holds(notice)
    });
    let mut nobody = None;
    for (row, _) in rows {
        match row.read(notice) {
            Some(report) if row.nameless || !report.recipients.is_empty() => return Some(report),
            // A later row may read what this one cannot.
            Some(report) => nobody = nobody.or(Some(report)),
            None => {}
        }
    }
    nobody
}

impl Gate {
    fn holds(&self, notice: &Notice<'_, '_>) -> bool {
        let any = |words: &[String], text: &str| {
            words.is_empty() || words.iter().any(|w| find(text, w).is_some())
        };
        any(&self.also, notice.lower)
            && any(&self.from, notice.from)
            && any(&self.subject, notice.subject)
            && (self.header.is_empty()
                || self.header.iter().any(|h| notice.message.headers().has(h)))
    }
}

impl FormatRow {
    fn read(&self, notice: &Notice<'_, '_>) -> Option<Report> {
        let block = self.block(notice);
        let how = if self.nameless {
            RecipientLine::Nobody
        } else if self.recipient.is_empty() {
            RecipientLine::First
        } else {
            RecipientLine::After(&self.recipient)
        };
        let delayed =
            self.always_delay || self.delay.iter().any(|w| find(notice.lower, w).is_some());
        let (kind, action) = if delayed { (Kind::Delay, Action::Delayed) } else { outcome(notice) };
        let labels = Labels { skip: &self.skip, host: &self.host, reply: &self.reply };
        let mut recipients = block::read(block, &how, &labels, action);
        if recipients.is_empty() && !self.otherwise.is_empty() {
            let how = RecipientLine::After(&self.otherwise);
            recipients = block::read(block, &how, &Labels::default(), action);
        }
        notice.drop_own(&mut recipients, false);
        if self.once {
            recipients.truncate(1);
        }
        // A row whose gate has words of its own is sure of itself even when nobody is named.
        if recipients.is_empty() && (self.gate.body.is_empty() || self.unsure) {
            return None;
        }
        let mut report = Report::new(kind, self.name.as_str());
        report.clues.push(format!("words of {}", self.name));
        report.recipients = recipients;
        Some(report)
    }

    /// From the start words to the end words; from the top when the row names no start.
    fn block<'t>(&self, notice: &Notice<'t, '_>) -> &'t str {
        let lower = notice.lower;
        let mut from = 0;
        if let Some(at) = self.start.iter().filter_map(|w| find(lower, w)).min() {
            from = if self.after {
                lower.get(at..).and_then(|l| l.find('\n')).map_or(lower.len(), |n| at + n + 1)
            } else {
                lower.get(..at).and_then(|l| l.rfind('\n')).map_or(0, |n| n + 1)
            };
        }
        let rest = lower.get(from..).unwrap_or_default();
        let end = self.until.iter().filter_map(|w| find(rest, w)).min();
        let to = end.map_or(lower.len(), |n| from + line_cut(rest, n));
        notice.text.get(from..to.max(from)).unwrap_or_default()
    }
}

fn find(text: &str, word: &str) -> Option<usize> {
    memchr::memmem::find(text.as_bytes(), word.as_bytes())
}

/// The beginning of a text, where a notice says what it is.
pub(super) fn head(text: &str) -> &str {
    let mut end = SEEN_OCTETS.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_lower_case_and_named_once() {
        let table: &FormatTable = &TABLE;
        // A line that announces the returned mail is looked for in whole lines.
        assert!(!table.file.until.iter().any(|words| words.contains('\n')));
        let mut seen = std::collections::BTreeSet::new();
        for row in &table.file.format {
            assert!(seen.insert(&row.name), "two rows named {}", row.name);
            let gate = &row.gate;
            for word in [
                &row.start,
                &row.until,
                &row.recipient,
                &row.otherwise,
                &row.host,
                &row.reply,
                &row.skip,
                &row.delay,
                &gate.from,
                &gate.subject,
                &gate.body,
                &gate.also,
            ]
            .into_iter()
            .flatten()
            {
                assert_eq!(
                    *word,
                    word.to_ascii_lowercase(),
                    "in {}: words are compared in lower case",
                    row.name
                );
            }
            assert!(
                !(gate.body.is_empty()
                    && gate.from.is_empty()
                    && gate.subject.is_empty()
                    && gate.header.is_empty()),
                "{} has no gate",
                row.name
            );
        }
    }
}
