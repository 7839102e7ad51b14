//! Message disposition notifications: RFC 8098, read receipts.

use super::types::{Action, Kind, Recipient, Report};
use super::words::bounded_words;
use super::{addresses, original};
use crate::message::{Headers, Message};

/// Reads a disposition notification. None when the message is none.
pub fn recognise(message: &Message<'_>) -> Option<Report> {
    let part = message.own_parts().find(|p| p.is("message/disposition-notification"))?;
    let text = message.text(part).trim_start();
    let (fields, _) = Headers::read(text.as_bytes(), true);
    let mut report = Report::new(Kind::Receipt, "rfc8098");
    let disposition = fields.text("disposition").unwrap_or_default();
    report.clues.push(format!("message/disposition-notification; Disposition: {disposition}"));
    report.original = original::find(message, "");
    if let Some(id) = fields.text("original-message-id") {
        report.original.message_id.get_or_insert_with(|| id.to_string());
    }
    let named = ["original-recipient", "final-recipient"].map(|n| fields.text(n));
    let address = named.iter().flatten().find_map(|v| addresses::in_field(v));
    let address = address.or_else(|| message.headers().addresses("from").into_iter().next());
    report.recipients.push(Recipient {
        address,
        original_recipient: named[0].as_ref().map(|v| addresses::without_type(v).to_string()),
        final_recipient: named[1].as_ref().map(|v| addresses::without_type(v).to_string()),
        ..Recipient::default()
    });
    // A filter that refuses mail answers with a disposition (RFC 5429 section 2.2; Dovecot).
    let words = message.human_text();
    if words.to_ascii_lowercase().contains("automatically rejected") {
        report.kind = Kind::Failure;
        for recipient in &mut report.recipients {
            recipient.action = Some(Action::Failed);
            recipient.diagnostic = bounded_words(&words);
        }
    }
    Some(report)
}
