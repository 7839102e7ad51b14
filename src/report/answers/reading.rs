//! One message as the answers' judges see it: normalized sender, subject and beginning of the text,
//! the phrases found in them, and the clues of the header.
//!
//! Promises: one pass over at most [`TEXT`] octets. What a person quotes (lines with `>`, what
//! follows "... wrote:" or an "Original Message" line) is told apart from what the sender says.

use std::ops::Range;

use super::clues::{self, Clue, Means};
use super::marks::{self, MarkHit, MarkPlace, Topic};
use super::normalize::{normalize, normalize_into};
use super::signs::Signs;
use crate::message::Message;
use crate::report::words::lines;

/// Octets of normalized text that are looked at. Answers say what they are at their beginning.
const TEXT: usize = 4 * 1024;
/// Octets of a subject that are looked at.
const SUBJECT: usize = 512;
/// Lines whose ends are kept, to tell a whole line from a phrase inside one.
const LINES: usize = 8;

/// What the judges look at.
pub(super) struct Reading {
    /// Sender, subject, text; each ends in a line feed.
    normalized: String,
    from_end: usize,
    subject: Range<usize>,
    /// The text as far as it was read; quoted lines with `>` are not in it.
    text: Range<usize>,
    /// Where the quoted original begins; the end of the text when nothing is quoted.
    quote_at: usize,
    /// The first lines that are not empty.
    lines: Vec<Range<usize>>,
    /// Header fields that mean something.
    pub clues: Vec<Clue>,
    /// The phrases found.
    pub hits: Vec<MarkHit>,
    /// The subject begins with `Re:`, `AW:`, `Fwd:` or the like.
    pub is_reply: bool,
    /// In-Reply-To or References: mail programs of people set them.
    pub in_thread: bool,
    /// `Return-Path: <>`, written by whoever delivered the message to us.
    pub null_return_path: bool,
}

impl Reading {
    /// Reads sender, subject and fields.
    pub fn of_header(message: &Message<'_>) -> Self {
        let headers = message.headers();
        let mut normalized = String::with_capacity(TEXT + 512);
        if let Some(from) = headers.text("From").or_else(|| headers.text("Sender")) {
            normalize_into(&mut normalized, &from, SUBJECT);
        }
        normalized.push('\n');
        let from_end = normalized.len();
        if let Some(subject) = headers.text("Subject") {
            normalize_into(&mut normalized, &subject, from_end + SUBJECT);
        }
        let subject_at = skip_tags(&normalized, from_end);
        let subject = subject_at..normalized.trim_end().len().max(subject_at);
        normalized.push('\n');
        let text_at = normalized.len();
        let mut reading = Self {
            is_reply: reply_prefix(normalized.get(subject.clone()).unwrap_or_default()) > 0,
            normalized,
            from_end,
            subject,
            text: text_at..text_at,
            quote_at: usize::MAX,
            lines: Vec::with_capacity(LINES),
            clues: clues::read(headers),
            hits: Vec::new(),
            in_thread: headers.has("In-Reply-To") || headers.has("References"),
            null_return_path: headers.text("Return-Path").is_some_and(|p| p.trim() == "<>"),
        };
        reading.hits = marks::find(&reading.normalized);
        reading
    }

    /// Reads the text besides.
    pub fn read_text(&mut self, human_text: &str) {
        let limit = self.text.start + TEXT;
        for line in lines(human_text) {
            if self.normalized.len() >= limit {
                break;
            }
            let trimmed = line.trim_ascii();
            if trimmed.is_empty() || trimmed.starts_with('>') {
                continue;
            }
            let start = self.normalized.len();
            normalize_into(&mut self.normalized, trimmed, limit);
            let normalized_line = self.normalized.get(start..).unwrap_or_default();
            if self.quote_at == usize::MAX
                && start > self.text.start
                && opens_quote(normalized_line)
            {
                self.quote_at = start;
            }
            if self.lines.len() < LINES {
                self.lines.push(start..self.normalized.trim_end().len().max(start));
            }
            if self.normalized.as_bytes().last() != Some(&b' ') {
                self.normalized.push(' ');
            }
        }
        self.text.end = self.normalized.len();
        self.quote_at = self.quote_at.min(self.text.end);
        self.hits = marks::find(&self.normalized);
    }

    /// The normalized subject, without list and gateway tags.
    pub fn subject(&self) -> &str {
        self.normalized.get(self.subject.clone()).unwrap_or_default()
    }

    /// What the sender says, without the quoted original.
    pub fn own_text(&self) -> &str {
        self.normalized.get(self.text.start..self.quote_at).unwrap_or_default()
    }

    /// Octets of a hit from the start of the text; None when it is elsewhere or in a quote.
    pub fn text_offset(&self, hit: &MarkHit) -> Option<usize> {
        (hit.start >= self.text.start && hit.end <= self.quote_at)
            .then(|| hit.start - self.text.start)
    }

    /// Whether a hit is anywhere in the text, quoted or not.
    fn in_text(&self, hit: &MarkHit) -> bool {
        hit.start >= self.text.start
    }

    /// Whether a hit is in the subject.
    pub fn in_subject(&self, hit: &MarkHit) -> bool {
        hit.start >= self.subject.start && hit.end <= self.subject.end
    }

    /// Whether the subject begins with a hit.
    pub fn leads(&self, hit: &MarkHit) -> bool {
        hit.start == self.subject.start && hit.end <= self.subject.end
    }

    /// Whether the subject without `Re:` begins with a hit.
    pub fn leads_core(&self, hit: &MarkHit) -> bool {
        let core = self.subject.start + reply_prefix(self.subject());
        hit.start == core && hit.end <= self.subject.end
    }

    /// Whether a hit is the whole subject, `Re:` and punctuation aside.
    pub fn is_subject(&self, hit: &MarkHit) -> bool {
        self.leads_core(hit) && self.only_marks(hit.end..self.subject.end)
    }

    /// Whether a hit is a whole line among the first ones that the sender wrote.
    pub fn is_line(&self, hit: &MarkHit) -> bool {
        hit.end <= self.quote_at
            && self
                .lines
                .iter()
                .take(3)
                .any(|l| hit.start == l.start && self.only_marks(hit.end..l.end))
    }

    /// Whether one of the first lines begins with a hit and has few words, `most` octets at most.
    pub fn begins_short_line(&self, hit: &MarkHit, most: usize) -> bool {
        let begins = |l: &&Range<usize>| hit.start == l.start && hit.end <= l.end;
        let line = self.lines.iter().take(3).find(begins);
        line.is_some_and(|l| l.len() <= most && hit.end <= self.quote_at)
    }

    /// Whether a hit is in one of the first lines, and that has `most` octets at most.
    pub fn stands_in_line(&self, hit: &MarkHit, most: usize) -> bool {
        let holds = |l: &&Range<usize>| hit.start >= l.start && hit.end <= l.end && l.len() <= most;
        hit.end <= self.quote_at && self.lines.iter().take(3).any(|l| holds(&l))
    }

    fn only_marks(&self, range: Range<usize>) -> bool {
        self.normalized.get(range).is_none_or(|rest| !rest.chars().any(char::is_alphanumeric))
    }

    /// Hits of a topic that are where their table says.
    pub fn placed(&self, topic: Topic, place: MarkPlace) -> impl Iterator<Item = &MarkHit> {
        self.hits.iter().filter(move |h| {
            h.mark.topic == topic
                && h.mark.place == place
                && match place {
                    MarkPlace::From => h.end <= self.from_end,
                    MarkPlace::Lead => self.leads(h),
                    MarkPlace::Subject | MarkPlace::Hint => self.in_subject(h),
                    MarkPlace::Cancel => self.in_subject(h) || self.text_offset(h).is_some(),
                    MarkPlace::Exact => self.is_subject(h) || self.is_line(h),
                    MarkPlace::Says
                    | MarkPlace::Text
                    | MarkPlace::Weak
                    | MarkPlace::Held
                    | MarkPlace::Act
                    | MarkPlace::Why => self.text_offset(h).is_some(),
                }
        })
    }

    /// Clues of a meaning.
    pub fn clue(&self, means: Means) -> Option<&Clue> {
        self.clues.iter().find(|c| c.row.means == means)
    }

    /// Clues whose row names this format.
    pub fn clue_of(&self, format: &str) -> Option<&Clue> {
        self.clues.iter().find(|c| c.row.format == format)
    }

    /// Whether the subject begins as responders begin it, followed by a colon and our subject.
    fn has_prefix(&self) -> bool {
        self.placed(Topic::Vacation, MarkPlace::Lead).any(|h| {
            let rest = self.normalized.get(h.end..self.subject.end).unwrap_or_default();
            rest.trim_start().starts_with(':')
        })
    }

    /// What says that this is a notice of a failed or delayed delivery.
    pub fn signs(&self) -> Signs {
        let mut signs = Signs::default();
        for hit in &self.hits {
            let mark = hit.mark;
            if !matches!(mark.topic, Topic::Failure | Topic::Delay) {
                continue;
            }
            let holds = match mark.place {
                MarkPlace::From => hit.end <= self.from_end,
                MarkPlace::Lead => self.leads(hit),
                // After a responder's prefix comes our own subject.
                MarkPlace::Subject => self.in_subject(hit) && !self.is_reply && !self.has_prefix(),
                MarkPlace::Text => self.in_text(hit),
                _ => false,
            };
            if !holds {
                continue;
            }
            match mark.place {
                MarkPlace::From => signs.from = true,
                MarkPlace::Text => signs.text = true,
                _ => {
                    signs.subject = true;
                    signs.leads |= self.leads(hit);
                    signs.delayed |= mark.topic == Topic::Delay;
                }
            }
            if signs.labels.len() < 8 && !signs.labels.contains(&mark.label.as_str()) {
                signs.labels.push(mark.label.as_str());
            }
        }
        if let Some(clue) = self.clue(Means::Bounce) {
            signs.header = true;
            signs.labels.push(clue.row.name.as_str());
        }
        signs
    }
}

/// Prefixes that mail programs put before the subject of a reply or a forwarded message.
const REPLY_PREFIXES: [&str; 34] = [
    "re:", "re :", "re.", "aw:", "aw :", "sv:", "vs:", "antw:", "antwort:", "odp:", "res:", "rv:",
    "rif:", "r:", "ynt:", "vb:", "fwd:", "fw:", "wg:", "tr:", "tr :", "i:", "enc:", "doorst:",
    "vl:", "pd:", "ilt:", "ref:", "回复:", "答复:", "回覆:", "返信:", "转发:", "re>",
];

/// Octets of the reply prefixes at the start of a normalized subject.
fn reply_prefix(subject: &str) -> usize {
    let mut at = 0;
    while let Some(rest) = subject.get(at..) {
        let trimmed = rest.trim_start();
        let Some(prefix) = REPLY_PREFIXES.iter().find(|p| trimmed.starts_with(**p)) else { break };
        at += rest.len() - trimmed.len() + prefix.len();
    }
    let rest = subject.get(at..).unwrap_or_default();
    if at == 0 { 0 } else { at + rest.len() - rest.trim_start().len() }
}

/// Gateways and lists put `[EXTERNAL]` or `[list]` before everything. A tag that is a phrase of
/// its own (`[自動返信]`) stays.
fn skip_tags(normalized: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(rest) = normalized.get(at..) {
        let Some(inner) = rest.strip_prefix('[') else { break };
        let Some(end) = inner.find(']') else { break };
        let tag = inner.get(..end).unwrap_or_default();
        let known = ["external", "ext", "extern", "externe", "spam", "suspected spam", "bulk"];
        if !known.contains(&tag) {
            break;
        }
        let after = inner.get(end + 1..).unwrap_or_default();
        at = normalized.len() - after.trim_start().len();
    }
    at
}

/// Whether a normalized line begins the quoted original.
fn opens_quote(line: &str) -> bool {
    let line = line.trim_end();
    if line.starts_with("-----") && line.len() > 12 && line.ends_with("--") {
        return line.chars().any(char::is_alphabetic);
    }
    if line.ends_with(':') {
        return [
            "wrote:",
            "schrieb:",
            "a ecrit :",
            "a ecrit:",
            "escribio:",
            "ha scritto:",
            "schreef:",
            "skrev:",
            "napisal:",
            "napisala:",
            "пишет:",
            "написал:",
            "написала:",
            "escreveu:",
            "kirjoitti:",
            "написав:",
            "написала:",
            "写道:",
            "寫道:",
            "のメール:",
            "님이 작성:",
            "napsal:",
            "napsala:",
            "irta:",
            "a scris:",
            "sunu yazdi:",
            "έγραψε:",
        ]
        .iter()
        .any(|w| line.ends_with(w))
            || line.contains("schrieb") && line.contains('@');
    }
    // All of these have their colon near the start.
    if !line.bytes().take(24).any(|b| b == b':') {
        return false;
    }
    let head = [
        "from: ",
        "von: ",
        "de : ",
        "de: ",
        "da: ",
        "van: ",
        "fra: ",
        "från: ",
        "fran: ",
        "od: ",
        "от: ",
        "kimden: ",
        "发件人: ",
        "发件人:",
        "寄件者: ",
        "差出人: ",
        "보낸 사람: ",
        "lahettaja: ",
        "felado: ",
        "de la: ",
    ];
    head.iter().any(|h| line.starts_with(h))
}

/// Normalized subject without the prefixes of replies; what `original.subject` is taken from.
pub(super) fn without_reply_prefix(subject: &str) -> Option<&str> {
    let mut rest = subject.trim_start();
    let mut cut = false;
    while let Some(colon) = rest.find([':', '：']) {
        let head = rest.get(..=colon).map(normalize).unwrap_or_default();
        if head.len() > 80 || !REPLY_PREFIXES.contains(&head.trim()) {
            break;
        }
        let width = rest.get(colon..).and_then(|r| r.chars().next()).map_or(1, char::len_utf8);
        rest = rest.get(colon + width..).unwrap_or_default().trim_start();
        cut = true;
    }
    cut.then_some(rest)
}
