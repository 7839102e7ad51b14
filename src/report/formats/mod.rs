//! Notices that carry no delivery-status part: one row of `phrases.toml` a format, or a module
//! where a format needs memory between lines.
//!
//! Order is explicit: stateful formats first, then rows in file order (specific before general);
//! the last resort is `mined`, and says so. Each recogniser reads the human text only; none looks
//! at the envelope.

mod block;
pub(in crate::report) mod candidates;
mod mined;
pub(in crate::report) mod ordinary;
mod rows;
mod ses;
mod transcript;

use super::answers::Signs;
use super::types::{Action, Recipient, Report};
use crate::message::Message;
use ordinary::Sender;

/// What the recognisers read, made once a message.
pub struct Notice<'a, 'x> {
    /// The message.
    pub message: &'a Message<'x>,
    /// Human text, up to the returned original.
    pub text: &'a str,
    /// `text` in lower case (ASCII only, so offsets are the same).
    pub lower: &'a str,
    /// `From`, lower case, decoded.
    pub from: &'a str,
    /// `Subject`, lower case, decoded.
    pub subject: &'a str,
    /// The clues that this is a notice at all; empty means that only a format of its own counts.
    pub signs: &'a Signs,
    /// It came from the null reverse-path.
    pub from_nobody: bool,
    /// A format that is taken as unknown, to measure what the others make of its notices.
    pub without: &'a str,
}

/// The first recogniser that claims the notice.
pub fn recognise(notice: &Notice<'_, '_>) -> Option<Report> {
    if let Some(report) = ses::recognise(notice) {
        return Some(report);
    }
    if ordinary::is_ordinary(notice) {
        return None;
    }
    // The words of a notice stand in letters, alerts and lures, too. Whose sender is no mail system
    // has to say in the subject what it is, and a letter must be in the words of a program.
    match ordinary::sender(notice) {
        Sender::System => tables(notice, Words::Noticed),
        _ if !notice.signs.subject => None,
        Sender::Program => tables(notice, Words::Naming),
        Sender::Person => tables(notice, Words::OfPrograms),
    }
}

/// Whose words are believed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    /// All tables and the miner.
    Any,
    /// The miner only where the message says that it is a notice.
    Noticed,
    /// The miner only where it finds a recipient.
    Naming,
    /// Only tables with a sentence of one program.
    OfPrograms,
}

/// The first table that claims a forwarded notice, whose sender must be a mail system.
pub fn recognise_forwarded(notice: &Notice<'_, '_>) -> Option<Report> {
    if ordinary::is_system(notice.from) { tables(notice, Words::Any) } else { None }
}

fn tables(notice: &Notice<'_, '_>, words: Words) -> Option<Report> {
    transcript::recognise(notice)
        .filter(|report| report.format != notice.without)
        .or_else(|| rows::recognise(notice, words != Words::OfPrograms))
        .or_else(|| mined_words(notice, words))
}

fn mined_words(notice: &Notice<'_, '_>, words: Words) -> Option<Report> {
    match words {
        Words::Any => mined::recognise(notice),
        Words::Noticed => mined::recognise(notice).filter(|_| mined::says_what_it_is(notice)),
        Words::Naming => mined::recognise(notice).filter(|r| !r.recipients.is_empty()),
        Words::OfPrograms => None,
    }
}

/// The formats of the tables in order, for the tests that want a sample of each.
pub fn row_names() -> Vec<&'static str> {
    rows::names()
}

/// Recipients of `X-Failed-Recipients`.
pub(in crate::report) fn failed_header(notice: &Notice<'_, '_>, action: Action) -> Vec<Recipient> {
    mined::failed_header(notice, action)
}

/// Whether the words say that delivery is still tried.
pub fn says_delayed(lower: &str) -> bool {
    rows::says_delayed(lower)
}

/// Where a text (in lower case) announces the returned message.
pub(in crate::report) fn original_announced(lower: &str) -> Option<usize> {
    rows::original_announced(lower)
}

/// Takes out the sender of our mail, whom many texts name too (corpus trap 1): always, or only
/// where somebody else is named, for a person may write to himself.
fn drop_own(recipients: &mut Vec<Recipient>, notice: &Notice<'_, '_>, always: bool) {
    if recipients.is_empty() || (!always && recipients.len() < 2) {
        return;
    }
    let headers = notice.message.headers();
    let own: Vec<String> =
        headers.addresses("to").iter().chain(&headers.addresses("from")).map(|a| a.key()).collect();
    let others = |r: &Recipient| r.address.as_ref().is_none_or(|a| !own.contains(&a.key()));
    if always || recipients.iter().any(others) {
        recipients.retain(others);
    }
}
