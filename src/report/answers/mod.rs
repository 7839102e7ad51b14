//! Messages that answer ours and are no bounces: automatic replies, challenges, requests to be
//! taken off a list or on it, receipts without MDN structure, notices of a new address.
//!
//! Called after structured reports were excluded and before the non-standard bounce formats, so
//! the first duty is restraint: a message with signs of a delivery failure is left alone unless it
//! is a clear challenge or vacation text. Headers come before words (RFC 3834 section 5, RFC 5436
//! section 2.7.1); `Precedence: bulk`, `List-Id` and `Auto-Submitted: auto-generated` alone are no
//! answer; words count in the subject and at the beginning of what the sender wrote, never in what
//! he quotes. All words are data: the `*.toml` files beside this one.
//!
//! | judge | kinds |
//! |---|---|
//! | `challenge` | challenge-response |
//! | `automatic` | auto-reply: vacation, ticket systems, addresses no longer read |
//! | `request` | unsubscribe, subscribe, receipts by wording, address changes |
//!
//! The one recipient is the sender of the message: From, else Reply-To. A request that names
//! another address in its text is still the sender's own request: a stranger's word must not take
//! a third person off a list; that address is in the evidence.

mod automatic;
mod challenge;
mod clues;
mod dates;
mod finding;
mod marks;
mod normalize;
mod reading;
mod request;
mod signs;

use crate::mail::Timestamp;
use crate::message::Message;
use crate::report::types::{Original, Recipient, Report};
use clues::Means;
use finding::AnswerFinding;
use reading::Reading;
pub use signs::Signs;

/// Recognises an answer. Otherwise (the message is a bounce, or anything else) gives what says
/// that it is a notice of a failed or delayed delivery; empty when nothing does. The recogniser of
/// last resort must not take other mail for a bounce.
pub fn read(message: &Message<'_>, human_text: &str) -> Result<Report, Signs> {
    let mut reading = Reading::of_header(message);
    let signs = reading.signs();
    // No judge takes this for an answer, whatever its text says; nor does anybody who asks for signs
    // want more of them, but for the last resort, which looks for all.
    if signs.from && signs.subject && reading.clue(Means::Challenge).is_none() {
        return Err(signs);
    }
    reading.read_text(human_text);
    let signs = reading.signs();
    let answer = challenge::judge(&reading, &signs)
        .or_else(|| request::receipt(&reading, &signs))
        .or_else(|| automatic::judge(&reading, &signs))
        .or_else(|| request::unsubscribe(message, &reading, &signs))
        .or_else(|| request::subscribe(&reading, &signs))
        .or_else(|| request::address_change(&reading, &signs));
    match answer {
        Some(answer) => Ok(report(message, &reading, answer)),
        None => Err(signs),
    }
}

/// The answer that a message is; None when it is a bounce, or anything else.
pub fn recognise(message: &Message<'_>, human_text: &str) -> Option<Report> {
    read(message, human_text).ok()
}

/// All that says that a message is a notice of delivery.
pub fn bounce_signs(message: &Message<'_>, human_text: &str) -> Signs {
    let mut reading = Reading::of_header(message);
    reading.read_text(human_text);
    reading.signs()
}

fn report(message: &Message<'_>, reading: &Reading, answer: AnswerFinding) -> Report {
    let mut report = Report::new(answer.kind, answer.format);
    report.clues = answer.clues;
    report.new_address = answer.new_address;
    let headers = message.headers();
    let sender = ["From", "Reply-To", "Sender"]
        .iter()
        .find_map(|name| headers.addresses(name).into_iter().next());
    if let Some(address) = sender {
        report.recipients.push(Recipient { address: Some(address), ..Recipient::default() });
    }
    if answer.dated {
        let sent = headers.text("Date").and_then(|d| Timestamp::parse_rfc5322(&d));
        report.away_until = dates::away_until(reading.own_text(), sent)
            .or_else(|| dates::away_until(reading.subject(), sent));
    }
    report.original = original(message, reading);
    report
}

/// What the answer tells of our mail: its Message-ID, and its subject after `Re:` or `Auto:`.
fn original(message: &Message<'_>, reading: &Reading) -> Original {
    let headers = message.headers();
    let message_id = headers
        .text("In-Reply-To")
        .as_deref()
        .and_then(|text| message_ids(text).next().map(str::to_string))
        .or_else(|| {
            let references = headers.text("References")?;
            message_ids(&references).last().map(str::to_string)
        });
    let subject = headers.text("Subject").and_then(|subject| {
        let after_lead = automatic::after_lead(&subject, reading);
        let rest = after_lead.or_else(|| reading::without_reply_prefix(&subject))?;
        let rest = reading::without_reply_prefix(rest).unwrap_or(rest).trim();
        (!rest.is_empty()).then(|| rest.to_string())
    });
    Original { message_id, subject, ..Original::default() }
}

/// The `<id@host>` parts of a field.
fn message_ids(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('>').filter_map(|part| {
        let start = part.rfind('<')?;
        let id = part.get(start..)?;
        (id.ends_with('>') && id.len() > 4 && !id.contains(char::is_whitespace)).then_some(id)
    })
}
