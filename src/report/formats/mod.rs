//! Notices that carry no delivery-status part: one row of a table (`rows.rs`) a format, or a module
//! where a format needs memory between lines.
//!
//! Order is explicit: stateful formats first, then rows in file order (specific before general);
//! the last resort is `mined`, and says so. Each recogniser reads the human text only; none looks
//! at the envelope.

mod block;
pub(in crate::report) mod candidates;
mod mined;
mod notice;
mod ordinary;
mod rows;
mod ses;
mod transcript;

pub(in crate::report) use mined::failed_header;
pub use notice::Notice;
pub use rows::{names as row_names, says_delayed};
pub(in crate::report) use rows::{original_announced, says_failure};
pub(in crate::report) use ses::FORMAT as SES;

use super::sender;
use super::types::Report;
use ordinary::Sender;

/// The first recogniser that claims the notice.
pub fn recognise(notice: &Notice<'_, '_>) -> Option<Report> {
    if let Some(report) = ses::recognise(notice) {
        return Some(report);
    }
    if ordinary::is_ordinary(notice) {
        return None;
    }
    // The words of a notice are in letters, alerts and lures, too. Whose sender is no mail system
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
    if sender::is_system(notice.from) { tables(notice, Words::Any) } else { None }
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
