//! What was returned of our mail: message/rfc822, text/rfc822-headers, or fields pasted into text.

use std::borrow::Cow;

use super::addresses;
use super::types::{Original, Report};
use super::words::{beginning, lines};
use crate::mail::Address;
use crate::message::{Headers, Message};

/// Fields that show that a run of lines is a mail header.
const TELLING: [&str; 10] = [
    "message-id",
    "received",
    "subject",
    "from",
    "to",
    "date",
    "return-path",
    "mime-version",
    "content-type",
    "dkim-signature",
];

/// The original of a message: the last embedded message or header block that belongs to it.
/// `own_text` is searched when nothing is embedded.
pub fn find(message: &Message<'_>, own_text: &str) -> Original {
    headers(message, own_text).map(|found| from_headers(&found)).unwrap_or_default()
}

/// Finds the original of a report. When it is a notice itself, the report is about a bounce and not
/// about our mail.
pub(super) fn attach(report: &mut Report, message: &Message<'_>, own_text: &str) {
    let Some(returned) = headers(message, own_text) else { return };
    report.original = from_headers(&returned);
    report.senders = senders(&returned);
    let value = |name| returned.field(name).map_or(&[][..], |f| f.value);
    let daemon = value("from").to_ascii_lowercase();
    if memchr::memmem::find(&daemon, b"mailer-daemon").is_some()
        || value("content-type")
            .trim_ascii_start()
            .get(..16)
            .is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/report"))
    {
        report.hand_on("what came back is itself a notice, and no mail of ours");
    }
}

/// The fields of the original, found in the same way.
pub(super) fn headers<'a>(
    message: &'a Message<'_>,
    own_text: &'a str,
) -> Option<Cow<'a, Headers<'a>>> {
    let mut found: Option<Cow<'a, Headers<'a>>> = None;
    let parts = message.parts();
    for (n, part) in parts.iter().enumerate() {
        if part.is("text/rfc822-headers")
            || part.is("message/rfc822-headers")
            || part.is("message/global-headers")
            || (part.media_type.starts_with("message/rfc822") && !part.is_open_message())
        {
            let text = message.text(part);
            found = Some(Cow::Owned(Headers::read(text.as_bytes(), true).0));
        } else if part.is_open_message() {
            if let Some(inner) = parts.get(n + 1) {
                // Some MTAs put blank lines or a second header block first.
                found = Some(Cow::Borrowed(&inner.headers));
            }
        } else {
            continue;
        }
        if found.as_ref().is_some_and(|f| f.has("message-id") || f.has("subject")) {
            return found;
        }
    }
    let pasted = start_in_text(own_text).and_then(|at| own_text.get(at..));
    pasted.map(|text| Cow::Owned(Headers::read(text.as_bytes(), true).0)).or(found)
}

/// Who a returned mail was sent to, by the fields that tell it best.
pub(super) fn recipients(returned: &Headers<'_>) -> Vec<Address> {
    const FIELDS: [&str; 5] =
        ["x-failed-recipients", "original-recipient", "to", "x-original-to", "envelope-to"];
    let of = |name: &str| {
        let value = returned.text(name).unwrap_or_default();
        addresses::all_in(&value).map(|(address, _)| address).take(20).collect::<Vec<_>>()
    };
    FIELDS.iter().map(|name| of(name)).find(|list| !list.is_empty()).unwrap_or_default()
}

/// What is kept of a returned header.
pub fn from_headers(headers: &Headers<'_>) -> Original {
    let bounded = |value: &str| beginning(value, 500).to_string();
    let text = |name| headers.text(name).map(|v| bounded(&v)).filter(|v| !v.is_empty());
    let mut to: Vec<String> = headers.addresses("to").iter().map(|a| a.as_str().into()).collect();
    to.truncate(20);
    Original {
        message_id: text("message-id"),
        subject: text("subject"),
        to,
        list_id: text("list-id"),
        feedback_id: text("feedback-id")
            .or_else(|| text("x-campaign"))
            .or_else(|| text("x-campaign-id")),
        cfbl_feedback_id: text("cfbl-feedback-id")
            .map(|id| id.split_whitespace().collect::<String>())
            .filter(|id| !id.is_empty()),
    }
}

/// The addresses that a returned mail says it was sent from.
fn senders(returned: &Headers<'_>) -> Vec<String> {
    let fields = ["from", "sender", "return-path"].into_iter();
    let addresses = fields.flat_map(|name| returned.addresses(name)).take(6);
    let mut senders: Vec<String> = addresses.map(|a| a.as_str().to_ascii_lowercase()).collect();
    senders.sort_unstable();
    senders.dedup();
    senders
}

/// Where a pasted mail header begins in a text: the first line of a run that has three telling
/// fields within eight field lines. Linear: each line is looked at once.
pub fn start_in_text(text: &str) -> Option<usize> {
    header_in(text, false)
}

/// Where the header of a message begins that a person pasted to forward it: as
/// [`start_in_text`], but it may be the first thing in the text.
pub fn pasted_in_text(text: &str) -> Option<usize> {
    header_in(text, true)
}

fn header_in(text: &str, mut said_something: bool) -> Option<usize> {
    let mut run: Option<usize> = None;
    let (mut telling, mut fields) = (0, 0);
    let mut at = 0;
    for line in lines(text) {
        let trimmed = line.trim_ascii_end();
        let quoted = trimmed.starts_with(['>', '|']);
        let content = match quoted {
            true => trimmed.trim_start_matches(['>', '|']).trim_ascii_start(),
            false => trimmed.trim_ascii_start(),
        };
        let name = field_name(content);
        let is_field = !name.is_empty();
        if is_field {
            run.get_or_insert(at);
            fields += 1;
            if TELLING.iter().any(|t| name.eq_ignore_ascii_case(t)) {
                telling += 1;
            }
            // A header before any word of the notice is the notice's own decoration.
            if telling >= 3 && said_something {
                return run;
            }
            if fields > 8 && telling == 0 {
                (run, telling, fields) = (None, 0, 0);
            }
        } else if trimmed.is_empty() || !(line.starts_with([' ', '\t']) || quoted) {
            (run, telling, fields) = (None, 0, 0);
            said_something |= !is_field && !trimmed.is_empty() && !trimmed.ends_with(':');
        }
        at += line.len();
    }
    None
}

/// The name of a field line; empty when the line is none.
fn field_name(line: &str) -> &str {
    let octets = line.as_bytes().iter().take(59);
    let length = octets.take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
    match line.as_bytes().get(length) {
        Some(b':') => line.get(..length).unwrap_or_default(),
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_header_is_found() {
        let text = "Sorry: it failed.\n\nNote: x\n\n--- copy\n\nReturn-Path: <a@example.com>\n\
                    Received: from x\n by y\nMessage-ID: <1@example.com>\nSubject: Hi\n\nbody";
        let at = start_in_text(text).expect("there is one");
        assert!(text[at..].starts_with("Return-Path"), "{}", &text[at..]);
        let message = Message::parse(b"Subject: outer\n\n");
        let original = find(&message, text);
        assert_eq!(original.message_id.as_deref(), Some("<1@example.com>"));
        assert_eq!(original.subject.as_deref(), Some("Hi"));
        assert_eq!(start_in_text("To: someone\nhe said: no\n\nSubject: x\n"), None);
    }
}
