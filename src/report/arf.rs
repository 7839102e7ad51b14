//! Complaints: ARF (RFC 5965) with its extensions (RFC 6430 not-spam, RFC 6591 auth-failure), and
//! the provider forms that carry no report part (Hotmail JMRP).

use super::types::{Kind, Recipient, Report};
use super::{addresses, original};
use crate::mail::{Address, Timestamp};
use crate::message::{Headers, Message};

/// Reads a feedback report. None when the message is none.
pub fn recognise(message: &Message<'_>) -> Option<Report> {
    let part = message.own_parts().find(|p| p.is("message/feedback-report"));
    let Some(part) = part else { return jmrp(message) };
    // The fields are one header block (RFC 5965 section 3).
    let text = message.text(part).trim_start();
    let (fields, _) = Headers::read(text.as_bytes(), true);
    let feedback_type = fields.lower("feedback-type");
    let feedback_type = feedback_type.split_whitespace().next().unwrap_or("abuse").to_string();
    let mut report = Report::new(Kind::Complaint, "arf");
    report.clues.push(format!("message/feedback-report; Feedback-Type: {feedback_type}"));
    report.reporting_mta =
        fields.text("reporting-mta").map(|v| addresses::without_type(&v).to_string());
    report.arrival_date = fields.text("arrival-date").and_then(|v| Timestamp::parse_rfc5322(&v));
    original::attach(&mut report, message, "");
    for name in ["original-rcpt-to", "removal-recipient"] {
        for field in fields
            .fields()
            .iter()
            .filter(|f| f.name.eq_ignore_ascii_case(name.as_bytes()))
            .take(100)
        {
            push(&mut report, addresses::in_field(&field.text()));
        }
    }
    // RFC 6591: about our authentication, by the format of a complaint. Nobody complained, and who
    // was mailed is not what it is about.
    if matches!(feedback_type.as_str(), "auth-failure" | "dmarc") {
        report.recipients.clear();
    } else {
        add_original_recipients(&mut report, message);
    }
    report.feedback_type = Some(feedback_type);
    Some(report)
}

/// Hotmail's Junk Mail Reporting Program: the complaint is the returned message with
/// `X-HmXmrOriginalRecipient`, and the sender is staff@hotmail.com.
fn jmrp(message: &Message<'_>) -> Option<Report> {
    let headers = message.headers();
    let marked = message.parts().iter().find(|p| p.headers.has("x-hmxmroriginalrecipient"));
    let from_staff = || {
        headers.addresses("from").iter().any(|a| {
            a.local().eq_ignore_ascii_case("staff")
                && matches!(a.domain(), "hotmail.com" | "outlook.com")
        })
    };
    let complains = || {
        const WORDS: &str = "complaint about message from";
        let subject = headers.text("subject").unwrap_or_default();
        subject.get(..WORDS.len()).is_some_and(|head| head.eq_ignore_ascii_case(WORDS))
    };
    if marked.is_none() && !(complains() && from_staff()) {
        return None;
    }
    let mut report = Report::new(Kind::Complaint, "jmrp");
    report.clues.push("Hotmail Junk Mail Reporting Program".into());
    report.feedback_type = Some("abuse".into());
    report.original = original::find(message, "");
    let value = marked.and_then(|p| p.headers.text("x-hmxmroriginalrecipient"));
    push(&mut report, value.and_then(|v| addresses::in_field(&v)));
    add_original_recipients(&mut report, message);
    Some(report)
}

/// Redacted reports name nobody; the returned `To` or a marker field may.
fn add_original_recipients(report: &mut Report, message: &Message<'_>) {
    if report.recipients.is_empty() {
        let inner = message.parts().iter().filter(|p| p.inside_message);
        for part in inner {
            for address in part.headers.addresses("to").into_iter().take(1) {
                push(report, Some(address));
            }
        }
    }
}

fn push(report: &mut Report, address: Option<Address>) {
    let Some(address) = address else { return };
    let redacted =
        address.local().eq_ignore_ascii_case("redacted") || address.as_str().contains("xxxx");
    if !redacted && !report.recipients.iter().any(|r| r.address.as_ref() == Some(&address)) {
        report.recipients.push(Recipient { address: Some(address), ..Recipient::default() });
    }
}
