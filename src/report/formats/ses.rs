//! Amazon SES notifications by e-mail: JSON in the text, through SNS
//! (docs.aws.amazon.com/ses, "notification contents").

use serde_json::Value;

use super::notice::Notice;
use crate::mail::{Address, EnhancedStatus, Timestamp};
use crate::report::addresses;
use crate::report::types::{Action, Kind, Recipient, Report, StatusSource};
use crate::report::words::bounded_words;

/// What its reports are called.
pub const FORMAT: &str = "ses-json";

/// Reads the JSON of an SES notification.
pub(super) fn recognise(notice: &Notice<'_, '_>) -> Option<Report> {
    let text = notice.text.trim_start();
    let marked = |t: &str| t.contains("\"notificationType\"") || t.contains("\"eventType\"");
    if !(text.starts_with('{') && marked(text.get(..4096.min(text.len())).unwrap_or(text))) {
        return None;
    }
    // Long lines are folded as `!`, line end, blank.
    let unfolded = text.replace("!\r\n ", "").replace("!\n ", "");
    let text = unfolded.as_str();
    // serde_json refuses nesting over 128 levels; SNS appends a footer, so one value is read.
    let mut value: Value = serde_json::Deserializer::from_str(text).into_iter().next()?.ok()?;
    if let Some(inner) =
        value.get("Message").and_then(Value::as_str).and_then(|m| serde_json::from_str(m).ok())
    {
        value = inner;
    }
    let what = value.get("notificationType").or_else(|| value.get("eventType"))?.as_str()?;
    let mut report = match what {
        "Bounce" => {
            let bounce = value.get("bounce")?;
            let transient = bounce.get("bounceType").and_then(Value::as_str) == Some("Transient");
            let mut report = Report::new(Kind::Failure, FORMAT);
            let words = ["bounceType", "bounceSubType"]
                .map(|k| bounce.get(k).and_then(Value::as_str).unwrap_or(""));
            report.recipients = list(bounce, "bouncedRecipients", Action::Failed);
            report.reporting_mta = mta(bounce);
            for recipient in &mut report.recipients {
                recipient.remarks = format!("{} {}", words[0], words[1]);
            }
            if transient && report.recipients.iter().all(|r| r.diagnostic.is_empty()) {
                report.clues.push("bounceType: Transient".into());
            }
            report
        }
        "Complaint" => {
            let complaint = value.get("complaint")?;
            let mut report = Report::new(Kind::Complaint, FORMAT);
            report.feedback_type = Some(
                complaint
                    .get("complaintFeedbackType")
                    .and_then(Value::as_str)
                    .unwrap_or("abuse")
                    .to_string(),
            );
            report.recipients = list(complaint, "complainedRecipients", Action::Failed);
            report.recipients.iter_mut().for_each(|r| r.action = None);
            report
        }
        "Delivery" | "DeliveryDelay" => {
            let delayed = what == "DeliveryDelay";
            let node = value.get(if delayed { "deliveryDelay" } else { "delivery" })?;
            let (kind, action) = if delayed {
                (Kind::Delay, Action::Delayed)
            } else {
                (Kind::Success, Action::Delivered)
            };
            let mut report = Report::new(kind, FORMAT);
            report.reporting_mta = mta(node);
            report.recipients = if delayed {
                list(node, "delayedRecipients", action)
            } else {
                let names = node.get("recipients").and_then(Value::as_array);
                names.into_iter().flatten().filter_map(|n| named(n.as_str()?, action)).collect()
            };
            report
        }
        _ => return None,
    };
    report.clues.push(format!("SES notification: {what}"));
    let mail = value.get("mail");
    let common = mail.and_then(|m| m.get("commonHeaders"));
    let text =
        |key: &str| common.and_then(|c| c.get(key)).and_then(Value::as_str).map(str::to_string);
    report.original.message_id = text("messageId").or_else(|| {
        mail.and_then(|m| m.get("messageId")).and_then(Value::as_str).map(str::to_string)
    });
    report.original.subject = text("subject");
    report.arrival_date = mail
        .and_then(|m| m.get("timestamp"))
        .and_then(Value::as_str)
        .and_then(Timestamp::parse_rfc3339);
    Some(report)
}

fn mta(node: &Value) -> Option<String> {
    let value = node.get("reportingMTA").and_then(Value::as_str)?;
    Some(addresses::without_type(value).chars().take(255).collect())
}

fn named(address: &str, action: Action) -> Option<Recipient> {
    let address = Address::parse(address).or_else(|| addresses::first_in(address))?;
    Some(Recipient {
        final_recipient: Some(address.to_string()),
        address: Some(address),
        action: Some(action),
        ..Recipient::default()
    })
}

fn list(node: &Value, key: &str, action: Action) -> Vec<Recipient> {
    let entries = node.get(key).and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .take(1_000)
        .filter_map(|entry| {
            let mut recipient = named(entry.get("emailAddress").and_then(Value::as_str)?, action)?;
            let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
            let diagnostic = text("diagnosticCode");
            recipient.diagnostic =
                bounded_words(diagnostic.split_once("; ").map_or(diagnostic, |(_, d)| d));
            recipient.status = EnhancedStatus::parse(text("status"));
            recipient.status_source = recipient.status.map(|_| StatusSource::Field);
            Some(recipient)
        })
        .collect()
}
