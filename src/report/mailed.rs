//! The address that we mailed. The return path knows it better than the report, which names where
//! the mail was forwarded to.

use super::addresses;
use super::types::{Action, Kind, Recipient, Report};
use super::words::bounded_words;
use crate::mail::Address;
use crate::message::Message;

/// Addresses of `X-Failed-Recipients` that are tried.
const MAX_FAILED: usize = 20;

/// Who a report may be about, likeliest first: a short token finds its recipient among them.
pub fn candidates(report: &Report, message: &Message<'_>) -> Vec<Address> {
    let mut near: Vec<Address> = Vec::new();
    for recipient in &report.recipients {
        near.extend(recipient.address.clone());
        let named = [&recipient.original_recipient, &recipient.final_recipient];
        let others = named.into_iter().flatten().filter_map(|n| Address::parse(n));
        near.extend(others.filter(|a| recipient.address.as_ref() != Some(a)));
    }
    near.extend(report.original.to.iter().filter_map(|to| Address::parse(to)));
    let failed = message.headers().text("x-failed-recipients").unwrap_or_default();
    near.extend(addresses::all_in(&failed).map(|(a, _)| a).take(MAX_FAILED));
    near.extend(message.headers().addresses("from"));
    near
}

/// A report of delivery speaks of somebody, also when it names nobody; and the one that it speaks
/// of is `mailed`, when the return path says who that is.
pub fn settle(report: &mut Report, message: &Message<'_>, mailed: Option<&Address>) {
    let reports_delivery = matches!(report.kind, Kind::Failure | Kind::Delay | Kind::Success);
    if reports_delivery && report.recipients.is_empty() {
        let action = match report.kind {
            Kind::Delay => Action::Delayed,
            Kind::Success => Action::Delivered,
            _ => Action::Failed,
        };
        report.recipients.push(Recipient {
            action: Some(action),
            remarks: bounded_words(&message.human_text()),
            ..Recipient::default()
        });
    }
    let Some(mailed) = mailed else { return };
    let key = mailed.key();
    let named =
        report.recipients.iter().any(|r| r.address.as_ref().is_some_and(|a| a.key() == key));
    if !named && (reports_delivery || report.kind == Kind::Complaint) {
        match report.recipients.as_mut_slice() {
            [only] => only.address = Some(mailed.clone()),
            [] => report
                .recipients
                .push(Recipient { address: Some(mailed.clone()), ..Recipient::default() }),
            // An alias that was expanded: none of these is the address we mailed.
            _ => {}
        }
    }
}

/// A genuine return path of a recipient that nothing in the message names: it is kept,
/// and is about nobody.
pub fn names_nobody(report: &mut Report) {
    report.kind = Kind::Other;
    report.clues.push("signed return path whose recipient nothing in the message names".into());
}
