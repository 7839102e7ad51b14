//! A report by its fields: RFC 3464 parts, also where they are mislabelled, pasted or quoted, and
//! what the words around them add.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::types::{Action, Kind, Recipient, Report};
use super::words::{add_words, bounded_words};
use super::{addresses, dsn, formats, original};
use crate::mail::EnhancedStatus;
use crate::message::{Message, Part};

/// RFC 3464 fields, in their own part or wherever a sender put them.
pub(super) fn delivery_status(message: &Message<'_>, human: &str) -> Option<Report> {
    let labelled =
        |p: &&Part<'_>| p.is("message/delivery-status") || p.is("message/global-delivery-status");
    let mut forwarded = false;
    let mut fields = None;
    if let Some(part) = message.own_parts().find(labelled) {
        fields = Some(dsn::read(message.text(part)));
    }
    if fields.as_ref().is_none_or(|f| f.recipients.is_empty()) {
        // HTML costs most to read: only where nothing else says it.
        let plain = message.own_parts().any(|p| p.is("text/plain"));
        let loose = message.own_parts().find(|p| {
            let left_out = p.is_multipart() || labelled(p) || (plain && p.is("text/html"));
            !left_out && dsn::looks_like_fields(message.text(p))
        });
        if let Some(part) = loose {
            fields = Some(dsn::read(message.text(part)));
        } else if fields.is_none() {
            let inner = message.parts().iter().find(|p| p.inside_message && labelled(p))?;
            fields = Some(dsn::read(message.text(inner)));
            forwarded = true;
        }
    }
    let fields = fields?;
    if fields.recipients.is_empty() {
        return None;
    }
    let mut report = Report::new(Kind::Failure, "rfc3464");
    let top = message.parts().first()?;
    report.clues.push(match top.report_type.as_deref() {
        Some(kind) => format!("{}; report-type={kind}", top.media_type),
        None => "delivery-status fields".into(),
    });
    if forwarded {
        report.hand_on("inside a forwarded message");
    }
    report.reporting_mta = fields.reporting_mta;
    report.arrival_date = fields.arrival_date;
    report.recipients = fields.recipients;
    settle_actions(&mut report, message, human);
    original::attach(&mut report, message, human);
    complete_local_parts(&mut report);
    let named: Vec<String> =
        report.recipients.iter().flat_map(|r| &r.address).map(|a| a.as_str().into()).collect();
    let alone = report.recipients.len() == 1;
    for recipient in &mut report.recipients {
        let address = recipient.address.as_ref().map(|a| a.as_str());
        let (before, said) = paragraph_about(human, address, &named);
        if recipient.diagnostic.is_empty() && EnhancedStatus::find(said).is_some() {
            // OpenSMTPD says in words what its fields leave out.
            recipient.diagnostic = bounded_words(said);
        }
        // The sentence above the only address is about it, too.
        let before = if alone { before } else { "" };
        for words in [said, before] {
            add_words(&mut recipient.remarks, words);
        }
        add_stage(recipient);
    }
    Some(report)
}

/// A field that gives a bare local part means the recipient of the returned mail that has it.
fn complete_local_parts(report: &mut Report) {
    if report.recipients.iter().all(|r| r.address.is_some()) {
        return;
    }
    let to: Vec<_> = report.original.to.iter().filter_map(|to| addresses::first_in(to)).collect();
    // A report about one recipient that leaves out his fields is about who the mail was for.
    if let ([alone], [to]) = (report.recipients.as_mut_slice(), to.as_slice())
        && alone.final_recipient.is_none()
        && alone.original_recipient.is_none()
    {
        alone.address.get_or_insert_with(|| to.clone());
        report.clues.push("recipient: the only one of the returned mail: low".into());
    }
    for recipient in report.recipients.iter_mut().filter(|r| r.address.is_none()) {
        let names = [&recipient.original_recipient, &recipient.final_recipient];
        let mut bare = names.into_iter().flatten().filter(|name| !name.contains('@'));
        recipient.address = bare.find_map(|local| formats::candidates::complete(local, &to));
    }
}

/// Postfix tells only people at which command the server refused. "Unknown user" after the whole
/// message is what some receivers say when the reader's own filter refuses it.
fn add_stage(recipient: &mut Recipient) {
    const STAGE: &str = "(in reply to end of DATA command)";
    static FINDER: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(STAGE));
    let tells = |words: &str| FINDER.find(words.as_bytes()).is_some();
    let refused = !recipient.diagnostic.is_empty() && !tells(&recipient.diagnostic);
    if refused && tells(&recipient.remarks) {
        recipient.diagnostic.push(' ');
        recipient.diagnostic.push_str(STAGE);
    }
}

/// Fields in quotes (`> Final-Recipient: ...`).
pub(super) fn quoted(message: &Message<'_>, human: &str) -> Option<Report> {
    if !human.contains("\n>") {
        return None;
    }
    let unquoted: String = human
        .lines()
        .map(|line| {
            line.trim_start_matches('>').strip_prefix(' ').unwrap_or(line.trim_start_matches('>'))
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    if !dsn::looks_like_fields(&unquoted) {
        return None;
    }
    let fields = dsn::read(&unquoted);
    let mut report = Report::new(Kind::Failure, "rfc3464");
    report.clues.push("delivery-status fields in quotes".into());
    report.reporting_mta = fields.reporting_mta;
    report.recipients = fields.recipients;
    settle_actions(&mut report, message, &unquoted);
    (!report.recipients.is_empty()).then_some(report)
}

/// Fills in actions that are missing and derives the kind of the whole report: one failed
/// recipient makes it a failure.
fn settle_actions(report: &mut Report, message: &Message<'_>, human: &str) {
    // Asked for only where a report leaves its Action out.
    let delayed_words = || {
        let subject = message.headers().lower("subject");
        subject.contains("delay")
            || subject.contains("warning")
            || formats::says_delayed(&human.to_ascii_lowercase())
    };
    for recipient in &mut report.recipients {
        let action = match (recipient.action, recipient.status) {
            (Some(action), _) => action,
            (None, Some(s)) if s.class == 2 => Action::Delivered,
            (None, Some(s)) if s.class == 4 && delayed_words() => Action::Delayed,
            (None, _) => Action::Failed,
        };
        recipient.action = Some(action);
    }
    let has = |action| report.recipients.iter().any(|r| r.action == Some(action));
    report.kind = if has(Action::Failed) {
        Kind::Failure
    } else if has(Action::Delayed) {
        Kind::Delay
    } else {
        Kind::Success
    };
}

/// The paragraph above an address in the human text, and the part that is about it; all of the
/// text when the address is not there. `named` are all recipients of the report.
fn paragraph_about<'t>(
    text: &'t str,
    address: Option<&str>,
    named: &[String],
) -> (&'t str, &'t str) {
    let find = |address: &str| memchr::memmem::find(text.as_bytes(), address.as_bytes());
    let Some(at) = address.and_then(find) else { return ("", text) };
    let (before, tail) = text.split_at(at);
    let address = address.unwrap_or_default();
    // Up to the next recipient: a line that begins with another address.
    let mut offset = 0;
    for line in tail.split_inclusive('\n') {
        if offset > 0 && begins_with_another(line, address, named) {
            break;
        }
        offset += line.len();
    }
    (last_paragraph(before), tail.get(..offset).unwrap_or(tail))
}

/// The last lines above an address that no blank line parts.
fn last_paragraph(text: &str) -> &str {
    let text = text.trim_end_matches(['<', ' ', '\t']).trim_end();
    let mut start = text.len();
    for line in text.split_inclusive('\n').rev() {
        if line.trim().is_empty() {
            break;
        }
        start -= line.len();
    }
    text.get(start..).unwrap_or_default()
}

/// Whether a line begins with the address of another recipient: in brackets any, bare (OpenSMTPD)
/// one that the report names.
fn begins_with_another(line: &str, address: &str, named: &[String]) -> bool {
    let line = line.trim_start();
    let other = |found: &str| !found.eq_ignore_ascii_case(address);
    if line.starts_with('<') {
        let first = addresses::all_in(line).next();
        return first.is_some_and(|(found, at)| at == 1 && other(found.as_str()));
    }
    let begins = |name: &&String| {
        line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            && line.get(name.len()..).is_some_and(|rest| rest.starts_with(':'))
    };
    named.iter().find(begins).is_some_and(|found| other(found))
}
