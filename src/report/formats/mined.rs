//! The last resort: a notice that no format knows, mined for addresses and the words beside them.
//! Confidence is low, and the format name says so; policy may ask for better evidence.
//!
//! Only what has the signs of a notice is mined, and only lines that begin with an address, name
//! one after a word such as `Recipient:`, or carry an SMTP reply.

use super::block::{self, Labels, RecipientLine};
use super::notice::Notice;
use super::{candidates, rows};
use crate::mail::{EnhancedStatus, ReplyCode};
use crate::report::types::{Action, Recipient, Report};
use crate::report::words::bounded_words;
use crate::report::{addresses, answers, original, sender};

/// Reads what can be read.
pub(super) fn recognise(notice: &Notice<'_, '_>) -> Option<Report> {
    if !notice.signs.any() && !returned_by_nobody(notice) {
        return None;
    }
    let (kind, action) = rows::outcome(notice);
    let mut recipients = failed_header(notice, action);
    let mut how = "named beside the words: medium";
    if recipients.is_empty() {
        let words = [
            "recipient:",
            "recipients:",
            "rcpt to:",
            "to:",
            "address:",
            "user:",
            "delivered to",
            "deliver to",
            "mailbox:",
            "full:",
            "unknown:",
            "disabled:",
            "failed:",
            ": <",
            "for",
            "recipient",
            "user",
            "address",
            "empfänger",
            "empfaenger",
            "remis à",
            "remis a",
            "livré à",
            "entregar a",
            "entregado a",
            "consegnato a",
            "recapitato a",
            "entregue a",
            "an",
            "destinataire",
            "adresse",
            "destinatario",
            "destinatário",
            "para",
            "dirección",
            "indirizzo",
            "endereço",
            "geadresseerde",
            "adres",
            "odbiorca",
            "адрес",
            "адресу",
            "получатель",
            "收件人",
            "宛先",
            "받는",
        ];
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        recipients = block::read(notice.text, &RecipientLine::First, &Labels::default(), action);
        if recipients.is_empty() {
            let skip = ["mail from:".into(), "from:".into()];
            let labels = Labels { skip: &skip, ..Labels::default() };
            recipients = block::read(notice.text, &RecipientLine::After(&words), &labels, action);
        }
        // Never the sender of our mail, which such texts name first.
        notice.drop_own(&mut recipients, true);
        if recipients.is_empty() {
            recipients = beside_replies(notice.text, action);
            notice.drop_own(&mut recipients, true);
        }
        if recipients.is_empty()
            && let Some(found) = candidates::in_words(notice, action)
                .or_else(|| candidates::of_returned(notice, action).filter(|_| returns(notice)))
        {
            how = found.how;
            recipients = found.recipients;
        }
    }
    let mut report = Report::new(kind, "mined-text");
    report.clues.push("no known format; address and words mined from the text".into());
    // Here all of them count, those of the text, too.
    let signs = answers::bounce_signs(notice.message, &notice.message.human_text());
    report.clues.extend(signs.labels.iter().map(|s| (*s).to_string()));
    if recipients.is_empty() {
        // Nobody named: still a failure when words or codes say that something failed.
        // Lures say so, too ("your mailbox is full"), with a link and without a code.
        let lure = ["http://", "https://"].iter().any(|link| notice.lower.contains(link));
        let said = signs.labels.len() >= 2 || sender::has_no_address(notice.from);
        if !is_coded(notice) && (lure || !said) {
            return None;
        }
        return Some(report);
    }
    report.clues.push(format!("recipient: {how}"));
    report.recipients = recipients;
    Some(report)
}

/// Whether a mail program returns our mail: then something became of it, whatever its words.
fn returns(notice: &Notice<'_, '_>) -> bool {
    sender::is_system(notice.from) || notice.signs.names_itself() || returned_by_nobody(notice)
}

/// Whether mail comes back from the null reverse-path with words of failure.
fn returned_by_nobody(notice: &Notice<'_, '_>) -> bool {
    notice.from_nobody
        && rows::says_failure(notice.lower)
        && original::headers(notice.message, notice.text).is_some()
}

/// What a postmaster writes to people tells of failed mail, too, and a summary of a quarantine
/// names strangers: a notice has a subject, a field or a sender that says so, or a code.
pub(super) fn says_what_it_is(notice: &Notice<'_, '_>) -> bool {
    notice.signs.names_itself()
        || sender::is_daemon(notice.from)
        || is_coded(notice)
        || returned_by_nobody(notice)
}

fn is_coded(notice: &Notice<'_, '_>) -> bool {
    EnhancedStatus::find(notice.text).is_some_and(|s| s.class != 2)
        || notice.text.lines().take(200).any(|line| {
            let code = line.trim_ascii_start().get(..3).and_then(ReplyCode::parse);
            code.is_some_and(|c| c.is_permanent() || c.is_transient())
        })
}

/// `X-Failed-Recipients` (Exim, Google).
pub(in crate::report) fn failed_header(notice: &Notice<'_, '_>, action: Action) -> Vec<Recipient> {
    let Some(value) = notice.message.headers().text("x-failed-recipients") else {
        return Vec::new();
    };
    addresses::all_in(&value)
        .take(1_000)
        .map(|(address, _)| Recipient {
            final_recipient: Some(address.to_string()),
            address: Some(address),
            action: Some(action),
            diagnostic: bounded_words(notice.text),
            ..Recipient::default()
        })
        .collect()
}

/// Lines that hold both an address and a 4xx or 5xx reply or code.
fn beside_replies(text: &str, action: Action) -> Vec<Recipient> {
    let mut found: Vec<Recipient> = Vec::new();
    for line in text.lines().take(2_000) {
        let code = line
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(ReplyCode::parse)
            .any(|c| c.is_permanent() || c.is_transient());
        if !(code || EnhancedStatus::find(line).is_some_and(|s| s.class != 2)) {
            continue;
        }
        let Some(address) = addresses::first_in(line) else { continue };
        if !found.iter().any(|r| r.address.as_ref() == Some(&address)) {
            found.push(Recipient {
                final_recipient: Some(address.to_string()),
                address: Some(address),
                action: Some(action),
                diagnostic: bounded_words(line),
                ..Recipient::default()
            });
        }
    }
    found
}
