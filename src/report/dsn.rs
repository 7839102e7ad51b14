//! Delivery status notifications: RFC 3464, with RFC 6533 (internationalised) and RFC 3886.
//!
//! Reads the fields of message/delivery-status as sloppy as they come: in a text/plain part,
//! without blank lines between groups or with too many, folded, with comments, in the wrong
//! order. Several recipients give several entries. Does not judge.

use std::borrow::Cow;

use super::addresses;
use super::types::{Action, MAX_RECIPIENTS, Recipient, StatusSource};
use super::words::{beginning, bounded_words, lines};
use crate::mail::{EnhancedStatus, Timestamp};
use crate::message::decode_words;

/// What the fields of one report say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// `Reporting-MTA` without its type.
    pub reporting_mta: Option<String>,
    /// `Arrival-Date`.
    pub arrival_date: Option<Timestamp>,
    /// One entry a recipient group.
    pub recipients: Vec<Recipient>,
}

/// Whether a text holds delivery-status fields: a recipient field and an action or status, each
/// at the start of a line. Cheap: looks at few lines.
pub fn looks_like_fields(text: &str) -> bool {
    let [mut last, mut first, mut reporter, mut action, mut status] = [false; 5];
    for line in lines(text) {
        // Few lines of a text begin with one of these letters.
        let seen = match line.as_bytes().first() {
            Some(b'F' | b'f') => ("Final-Recipient", &mut last),
            Some(b'O' | b'o') => ("Original-Recipient", &mut first),
            Some(b'R' | b'r') => ("Reporting-MTA", &mut reporter),
            Some(b'A' | b'a') => ("Action", &mut action),
            Some(b'S' | b's') => ("Status", &mut status),
            _ => continue,
        };
        *seen.1 |= names(line, seen.0);
    }
    last && (action || status) || (first || reporter) && action && status
}

/// Whether a line begins with a field name and a colon, any case.
fn names(line: &str, name: &str) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        && line.get(name.len()..).is_some_and(|rest| rest.trim_ascii_start().starts_with(':'))
}

/// Reads the fields. Linear in the text.
pub fn read(text: &str) -> Fields {
    let mut fields = Fields::default();
    let mut group = RecipientFields::default();
    let mut blank_before = false;
    for (name, value) in unfold(text) {
        if name.is_empty() {
            blank_before = true;
            continue;
        }
        let after_blank = std::mem::take(&mut blank_before);
        if name.eq_ignore_ascii_case("reporting-mta") {
            let host = addresses::without_type(&value).trim_matches(['<', '>', ' ']);
            if fields.reporting_mta.is_none() && !host.is_empty() {
                fields.reporting_mta = Some(beginning(host, 255).to_string());
            }
        } else if name.eq_ignore_ascii_case("arrival-date") {
            fields.arrival_date = fields.arrival_date.or(Timestamp::parse_rfc5322(&value));
        } else if let Some((_, field)) = NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            if group.ends_before(*field, after_blank) {
                group.close(&mut fields);
            }
            group.take(*field, &decode_words(value.trim()));
        }
    }
    group.close(&mut fields);
    fields
}

/// One recipient group while it is read.
#[derive(Default)]
struct RecipientFields {
    recipient: Recipient,
    x_actual: Option<String>,
    /// A bit for each field that it has.
    seen: u8,
}

/// Fields of a recipient group.
#[derive(Clone, Copy)]
enum FieldName {
    Original,
    Final,
    Actual,
    Action,
    Status,
    Diagnostic,
    Remote,
}

const NAMES: [(&str, FieldName); 7] = [
    ("original-recipient", FieldName::Original),
    ("final-recipient", FieldName::Final),
    ("x-actual-recipient", FieldName::Actual),
    ("action", FieldName::Action),
    ("status", FieldName::Status),
    ("diagnostic-code", FieldName::Diagnostic),
    ("remote-mta", FieldName::Remote),
];

impl RecipientFields {
    const fn has(&self, field: FieldName) -> bool {
        self.seen >> field as u8 & 1 == 1
    }

    /// A new group begins with a recipient field once this group has what makes one; blank lines
    /// alone prove nothing, for some senders put one after each field.
    fn ends_before(&self, field: FieldName, after_blank: bool) -> bool {
        let complete = self.has(FieldName::Action) || self.has(FieldName::Status);
        match field {
            FieldName::Final => {
                self.has(FieldName::Final)
                    || (after_blank && self.has(FieldName::Original) && complete)
            }
            FieldName::Original => {
                self.has(FieldName::Original)
                    || (after_blank && self.has(FieldName::Final) && complete)
            }
            FieldName::Action => self.has(FieldName::Action) && after_blank,
            _ => false,
        }
    }

    /// The first of each field counts.
    fn take(&mut self, field: FieldName, value: &str) {
        if self.has(field) {
            return;
        }
        self.seen |= 1 << field as u8;
        let kept = |text: &str| Some(beginning(text, 320).to_string()).filter(|t| !t.is_empty());
        match field {
            FieldName::Original => {
                self.recipient.original_recipient = kept(addresses::without_type(value));
            }
            FieldName::Final => {
                self.recipient.final_recipient = kept(addresses::without_type(value))
            }
            FieldName::Actual => self.x_actual = kept(addresses::without_type(value)),
            FieldName::Action => self.recipient.action = action(value),
            FieldName::Status => {
                self.recipient.status = status(value);
                self.recipient.status_source = self.recipient.status.map(|_| StatusSource::Field);
                // `Status: 5.1.1 (user unknown)`: the words help when there is no diagnostic.
                if let Some((_, words)) = value.split_once(['(', ' ']) {
                    self.recipient.remarks = bounded_words(words.trim_end_matches(')'));
                }
            }
            FieldName::Diagnostic => self.recipient.diagnostic = bounded_words(diagnostic(value)),
            FieldName::Remote => {
                let host = addresses::without_type(value);
                let host = host
                    .split([' ', '('])
                    .next()
                    .unwrap_or(host)
                    .trim_matches(['<', '>', '[', ']']);
                self.recipient.remote_mta = kept(host);
            }
        }
    }

    fn close(&mut self, fields: &mut Fields) {
        let group = std::mem::take(self);
        if group.seen == 0 || fields.recipients.len() > MAX_RECIPIENTS {
            return;
        }
        let mut recipient = group.recipient;
        let names = [&recipient.final_recipient, &recipient.original_recipient, &group.x_actual];
        // The last resort: an address in the diagnostic belongs to this recipient when it is the
        // only one there.
        // An address of one label (`user@server`) is internal to the receiver: another is better.
        let all = || names.into_iter().flatten().filter_map(|name| addresses::in_field(name));
        recipient.address =
            all().find(|a| a.domain().contains(['.', '['])).or_else(|| all().next());
        let little = group.seen.count_ones() < 2;
        if recipient.address.is_none() && names.iter().all(|n| n.is_none()) && little {
            return;
        }
        fields.recipients.push(recipient);
    }
}

/// Field lines with their folds undone; `("", "")` is a blank line.
fn unfold(text: &str) -> Vec<(&str, Cow<'_, str>)> {
    let mut fields: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(16);
    let mut total = 0;
    for line in lines(text) {
        let line = line.trim_ascii_end();
        total += 1;
        if total > 20_000 {
            break;
        }
        if line.trim_ascii_start().is_empty() {
            fields.push(("", Cow::Borrowed("")));
            continue;
        }
        let field = (!line.starts_with([' ', '\t'])).then(|| split_field(line)).flatten();
        match (field, fields.last_mut()) {
            (Some((name, value)), _) => fields.push((name, Cow::Borrowed(value))),
            (None, Some((name, value))) if !name.is_empty() && value.len() < 8_000 => {
                add_line(value, line);
            }
            // A continuation after a blank line that does not belong there.
            (None, _) => {
                let last = fields.iter_mut().rev().find(|(name, _)| !name.is_empty());
                if let Some((name, value)) = last
                    && name.eq_ignore_ascii_case("diagnostic-code")
                    && line.starts_with([' ', '\t'])
                    && value.len() < 8_000
                {
                    add_line(value, line);
                }
            }
        }
    }
    fields
}

fn add_line(value: &mut Cow<'_, str>, line: &str) {
    let value = value.to_mut();
    value.push(' ');
    value.push_str(line.trim_start());
}

/// `Name: value` with a name that a report field can have. `550: text` is no field.
fn split_field(line: &str) -> Option<(&str, &str)> {
    let colon = memchr::memchr(b':', line.as_bytes())?;
    let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    let name = name.trim_end();
    let valid = name.len() <= 60
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        && (name.contains('-')
            || ["action", "status"].iter().any(|n| name.eq_ignore_ascii_case(n)));
    valid.then_some((name, value))
}

/// `Diagnostic-Code` without its type (`smtp;`, `X-Postfix;`). `x-unix` stays: it says that a
/// delivery program spoke, where the same words of a server mean something else.
fn diagnostic(value: &str) -> &str {
    match value.split_once(';') {
        Some((kind, _)) if kind.trim().eq_ignore_ascii_case("x-unix") => value.trim(),
        Some((kind, rest))
            if kind.trim().len() <= 24
                && kind
                    .trim()
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                && !kind.trim().is_empty() =>
        {
            rest.trim()
        }
        _ => value,
    }
}

/// `Action`, with the spellings that occur.
fn action(value: &str) -> Option<Action> {
    let word = value.split(|c: char| !c.is_ascii_alphanumeric()).find(|w| !w.is_empty())?;
    let word = word.to_ascii_lowercase();
    match word.as_str() {
        "failed" | "failure" | "fail" | "expired" | "bounced" | "rejected" | "undeliverable"
        | "deleted" => Some(Action::Failed),
        "delayed" | "delay" | "deferred" | "transient" => Some(Action::Delayed),
        "delivered" | "success" => Some(Action::Delivered),
        "relayed" => Some(Action::Relayed),
        "expanded" => Some(Action::Expanded),
        _ => None,
    }
}

/// `Status`, with comments and the blanks that occur inside (`5. 1.1`, `#5.1.1`).
fn status(value: &str) -> Option<EnhancedStatus> {
    let compact: String =
        value.chars().filter(|c| !c.is_whitespace() || *c == '(').take(40).collect();
    let compact = compact.trim_start_matches('#');
    EnhancedStatus::parse_prefix(compact.as_bytes())
        .map(|(status, _)| status)
        .or_else(|| EnhancedStatus::find(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<String> {
        let fields = read(text);
        let show = |r: &Recipient| {
            format!(
                "{} {} {} {}",
                r.address.as_ref().map_or("-", |a| a.as_str()),
                r.action.map_or("-", Action::as_str),
                r.status.map_or("-".into(), |s| s.to_string()),
                r.diagnostic
            )
        };
        fields.recipients.iter().map(show).collect()
    }

    #[test]
    fn groups_as_sloppy_as_they_come() {
        for (text, expected) in [
            (
                "Reporting-MTA: dns; mx\n\nFinal-Recipient: rfc822; a@example.com\nAction: failed\nStatus: 5.1.1\n\
                 Diagnostic-Code: smtp; 550 5.1.1\n no\n\nFinal-Recipient: rfc822; b@example.com\nAction: delayed\nStatus: 4.2.2\n",
                vec!["a@example.com failed 5.1.1 550 5.1.1 no", "b@example.com delayed 4.2.2 "],
            ),
            // No blank line anywhere.
            (
                "Reporting-MTA: dns; mx\nFinal-Recipient: rfc822; a@example.com\nAction: failed\nStatus: 5.0.0\nFinal-Recipient: rfc822; b@example.com\nAction: failed\nStatus: 5.0.0\n",
                vec!["a@example.com failed 5.0.0 ", "b@example.com failed 5.0.0 "],
            ),
            // A blank line after each field.
            (
                "Final-Recipient: rfc822; a@example.com\n\nAction: failed\n\nStatus: 5.1.1\n",
                vec!["a@example.com failed 5.1.1 "],
            ),
            // Original first, and only original.
            (
                "Original-Recipient: rfc822; o@example.com\nFinal-Recipient: rfc822; f@example.com\nAction: failed\nStatus: 5.1.1\n\n\
                 Original-Recipient: rfc822; p@example.com\nAction: failed\nStatus: 5.1.1\n",
                vec!["f@example.com failed 5.1.1 ", "p@example.com failed 5.1.1 "],
            ),
            // Continuations of the diagnostic that look like nothing.
            (
                "Final-Recipient: rfc822; a@example.com\nAction: failed\nStatus: 5.1.1 (no such user)\nDiagnostic-Code: X-Postfix; host mx said: 550-one\n550 two (in reply)\n",
                vec!["a@example.com failed 5.1.1 host mx said: 550-one 550 two (in reply)"],
            ),
            (
                "Status : 5.1.1\nAction : Failed\nFinal-Recipient : a@example.com\n",
                vec!["a@example.com failed 5.1.1 "],
            ),
            ("Reporting-MTA: dns; mx\n", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(rows(text), expected, "{text}");
            assert_eq!(rows(&text.replace('\n', "\r\n")), expected, "{text}");
        }
    }

    #[test]
    fn fields_are_told_from_prose() {
        assert!(looks_like_fields(
            "Reporting-MTA: x\nfinal-recipient : rfc822; a\nAction: failed\n"
        ));
        assert!(!looks_like_fields("The Status: of your Final-Recipient: Action:\n"));
    }
}
