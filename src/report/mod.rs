//! Floor 2: what a message says. Recognition never judges: reasons are `classify`'s.
//!
//! Structure first: RFC 5965, RFC 8098, RFC 3464 parts, also where they are mislabelled or inside
//! a forwarded message; then answers (auto-replies, challenges, requests); then notices in words,
//! by format; a last resort mines text and says so. The order is the code of [`recognise`].

pub mod addresses;
pub mod answers;
mod arf;
mod carrier;
pub mod dsn;
mod fields;
pub mod formats;
mod mdn;
pub mod original;
mod types;
pub mod us;

pub use carrier::Sent;
pub use types::{Action, Attribution, Kind, Original, Recipient, Report, StatusSource};

use crate::message::{Message, is_unprintable};
use carrier::Carrier;
use fields::{delivery_status, quoted};
use formats::Notice;

/// What a message says; `sent` is what is known of its way. A message that nobody recognises is a
/// [`Kind::Other`].
pub fn recognise(message: &Message<'_>, sent: Sent<'_>) -> Report {
    recognise_without(message, sent, "")
}

/// The same with one textual format taken as unknown: what is left shows how far the rest reaches.
pub fn recognise_without(message: &Message<'_>, sent: Sent<'_>, without: &str) -> Report {
    if let Some(report) = arf::recognise(message).or_else(|| mdn::recognise(message)) {
        return report;
    }
    let human = message.human_text();
    let all_lower = human.to_ascii_lowercase();
    let text = own_words(&human, &all_lower);
    let lower = all_lower.get(..text.len()).unwrap_or_default();
    let from = message.headers().lower("from");
    let subject = message.headers().lower("subject");
    let (from, subject) = (from.as_str(), subject.as_str());
    let from_nobody = carrier::from_nobody(message, sent);
    let seen = Seen { message, human: &human, text, lower, from, subject, from_nobody, without };
    let carrier = carrier::of(message, from, subject, sent);
    let report = match carrier {
        Carrier::Notice { sure: true } => {
            let by_fields = seen.structured().or_else(|| quoted(message, text));
            by_fields.map_or_else(|| seen.worded(), Ok)
        }
        // What an answer quotes or encloses is not what it says.
        Carrier::Notice { sure: false } => match answers::read(message, &human) {
            Ok(report) => Ok(report),
            Err(signs) => seen.structured().map_or_else(|| seen.in_words(&signs), Ok),
        },
        Carrier::Person(why) => match answers::read(message, &human) {
            Ok(report) => Ok(report),
            Err(signs) => seen.handed_on(&signs, why),
        },
        Carrier::Program(why) => match answers::read(message, &human) {
            Ok(report) => Ok(report),
            // A notice that went through a list is still read.
            Err(signs) if formats::ordinary::is_system(from) => seen.handed_on(&signs, why),
            Err(_) => Err(seen.talk(why)),
        },
    };
    let mut report = report.unwrap_or_else(|clue| {
        let mut report = Report::new(Kind::Other, "none");
        report.evidence.push(clue);
        report
    });
    if sent.trusted && report.forwarded {
        report.vouch();
    }
    report
}

/// A message that carries no ARF and no MDN, as the readers below see it.
struct Seen<'a, 'x> {
    message: &'a Message<'x>,
    /// What people read of it.
    human: &'a str,
    /// The same up to the returned message, and in lower case.
    text: &'a str,
    lower: &'a str,
    from: &'a str,
    subject: &'a str,
    from_nobody: bool,
    without: &'a str,
}

/// Why nobody claims a message.
const NOBODY: &str = "no recogniser claims it";

impl Seen<'_, '_> {
    /// By fields, in their own part or pasted.
    fn structured(&self) -> Option<Report> {
        let pasted = || {
            let subject = Some(self.subject).filter(|s| is_forward(s));
            let mut report = subject.and_then(|_| quoted(self.message, self.human))?;
            report.hand_on("delivery-status fields in quotes");
            Some(report)
        };
        delivery_status(self.message, self.text).or_else(pasted)
    }

    /// An answer, or a notice in words.
    fn worded(&self) -> Result<Report, String> {
        answers::read(self.message, self.human).or_else(|signs| self.in_words(&signs))
    }

    /// A notice in words.
    fn in_words(&self, signs: &answers::Signs) -> Result<Report, String> {
        let Self { message, text, lower, from, subject, from_nobody, without, .. } = *self;
        let notice = Notice { message, text, lower, from, subject, signs, from_nobody, without };
        if let Some(report) =
            forwarded(message, self.human, signs, without).or_else(|| enclosed(message, without))
        {
            return Ok(report);
        }
        let Some(mut report) = formats::recognise(&notice) else { return Err(NOBODY.into()) };
        original::attach(&mut report, message, self.human);
        complete(&mut report, &notice);
        Ok(report)
    }

    /// What a person hands on: a notice that is attached, or pasted behind `Fwd:`. An answer that
    /// quotes one is talk.
    fn handed_on(&self, signs: &answers::Signs, why: &'static str) -> Result<Report, String> {
        if formats::ordinary::is_reply(self.subject) {
            return Err(self.talk(why));
        }
        let attached = self.message.parts().iter().any(|p| p.is("message/delivery-status"));
        let report = match attached || is_forward(self.subject) {
            true => self.structured(),
            false => None,
        };
        let mut report = match report {
            Some(report) => report,
            None => self.in_words(signs).map_err(|_| self.talk(why))?,
        };
        if !report.forwarded {
            report.hand_on(why);
        }
        Ok(report)
    }

    /// The clue of a message that only talks of reports: whom it names is kept, for people.
    fn talk(&self, why: &str) -> String {
        let quoted = delivery_status(self.message, self.text);
        let named = quoted.iter().flat_map(|r| &r.recipients).filter_map(|r| r.address.as_ref());
        let named: Vec<&str> = named.take(5).map(|a| a.as_str()).collect();
        match named.is_empty() {
            true => format!("{NOBODY}: {why}"),
            false => format!("quotes a report about {}: {why}", named.join(", ")),
        }
    }
}

/// A notice in words that a person forwarded in the text: its sender stands in the pasted header.
fn forwarded(
    message: &Message<'_>,
    human: &str,
    signs: &answers::Signs,
    without: &str,
) -> Option<Report> {
    let subject = message.headers().lower("subject");
    if !is_forward(&subject) {
        return None;
    }
    let pasted = original::pasted_in_text(human)?;
    let tail: String = human
        .get(pasted..)?
        .lines()
        .take(2_000)
        .flat_map(|line| [line.trim_start_matches(['>', ' ']), "\n"])
        .collect();
    let (head, body) = tail.split_once("\n\n")?;
    let from = head.to_ascii_lowercase();
    let lower = body.to_ascii_lowercase();
    let text = own_words(body, &lower);
    let lower = lower.get(..text.len()).unwrap_or_default();
    let (from, subject) = (&from, &subject);
    let notice = Notice { message, text, lower, from, subject, signs, from_nobody: false, without };
    let mut report = formats::recognise_forwarded(&notice)?;
    report.hand_on("pasted into a text");
    complete(&mut report, &notice);
    Some(report)
}

/// A notice in words that a person forwarded as an attachment: its sender must be a mail system.
fn enclosed(message: &Message<'_>, without: &str) -> Option<Report> {
    if !is_forward(&message.headers().lower("subject")) {
        return None;
    }
    let part = message.own_parts().find(|p| p.is_open_message())?;
    let inner = Message::parse(part.body);
    let human = inner.human_text();
    let all_lower = human.to_ascii_lowercase();
    let text = own_words(&human, &all_lower);
    let notice = Notice {
        message: &inner,
        text,
        lower: all_lower.get(..text.len()).unwrap_or_default(),
        from: &inner.headers().lower("from"),
        subject: &inner.headers().lower("subject"),
        signs: &answers::bounce_signs(&inner, &human),
        from_nobody: carrier::from_nobody(&inner, Sent::default()),
        without,
    };
    let mut report = formats::recognise_forwarded(&notice)?;
    report.hand_on("inside a forwarded message");
    original::attach(&mut report, &inner, &human);
    complete(&mut report, &notice);
    Some(report)
}

/// `Fwd: ...`, also behind the tags of gateways and lists: `[EXTERNAL] Fwd: ...`.
fn is_forward(subject: &str) -> bool {
    const PREFIXES: [&str; 13] = [
        "fwd:", "fw:", "wg:", "tr:", "rv:", "i:", "vb:", "pd:", "enc:", "doorst:", "转发", "轉寄",
        "転送:",
    ];
    let mut rest = subject.trim_start();
    while let Some((_, behind)) = rest.strip_prefix('[').and_then(|tag| tag.split_once(']')) {
        rest = behind.trim_start();
    }
    PREFIXES.iter().any(|p| rest.starts_with(p))
}

/// A text up to where the returned message begins: the line that announces it, or its fields.
/// `lower` is the same text in lower case.
fn own_words<'t>(human: &'t str, lower: &str) -> &'t str {
    let fields = original::start_in_text(human).unwrap_or(human.len());
    let announced = formats::original_announced(lower).unwrap_or(human.len());
    human.get(..fields.min(announced)).unwrap_or(human)
}

/// What a textual notice leaves open: recipients from `X-Failed-Recipients` or the returned mail.
fn complete(report: &mut Report, notice: &Notice<'_, '_>) {
    if report.recipients.is_empty() {
        let action = if report.kind == Kind::Delay { Action::Delayed } else { Action::Failed };
        report.recipients = formats::failed_header(notice, action);
        if report.recipients.is_empty()
            && let Some(found) = formats::candidates::of_returned(notice, action)
        {
            report.evidence.push(format!("recipient: {}", found.how));
            report.recipients = found.recipients;
        }
    }
    for recipient in &mut report.recipients {
        if recipient.remarks.is_empty() {
            recipient.remarks = bounded_words(notice.text);
        }
    }
}

/// Words for a record: white space folded, unprintable characters gone, 2,000 octets at most.
pub fn bounded_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_WORDS));
    add_words(&mut out, text);
    out
}

/// The lines of a text with their ends, as `str::split_inclusive` gives them, but found by
/// memchr: every recogniser goes over all lines.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |at| at + 1);
        let (line, behind) = rest.split_at(end);
        rest = behind;
        (!line.is_empty()).then_some(line)
    })
}

/// Octets of the words that a record keeps.
const MAX_WORDS: usize = 2_000;

/// Adds the words of a text to others, in the manner of [`bounded_words`].
fn add_words(out: &mut String, text: &str) {
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() {
        // Nearly all words are plain: those are copied whole.
        let octets = rest.as_bytes();
        let plain = octets.iter().position(|b| !b.is_ascii_graphic()).unwrap_or(octets.len());
        let all_plain = octets.get(plain).is_none_or(u8::is_ascii_whitespace);
        let end = match all_plain {
            true => plain,
            false => octets.iter().position(u8::is_ascii_whitespace).unwrap_or(octets.len()),
        };
        let (word, behind) = rest.split_at(end);
        rest = behind.trim_ascii_start();
        if out.len() + word.len() > MAX_WORDS {
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        if all_plain {
            out.push_str(word);
        } else {
            let words = word.split_whitespace();
            for (n, word) in words.enumerate() {
                if n > 0 {
                    out.push(' ');
                }
                out.extend(word.chars().filter(|c| !is_unprintable(*c)));
            }
        }
    }
}
