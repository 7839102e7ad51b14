//! `engine upgrade`: from a record on, all nodes fold as the newest version that they have.
//!
//! The record is a fact of the journal, so every node, whenever it folds it, changes at the same position;
//! the head is raised in the same transaction, so a node of an older release refuses before it takes in
//! anything after that. A node that comes meanwhile and cannot is refused the same way.

use super::Options;
use super::journal::{PostgresJournal, cannot_fold};
use super::status::EngineReport;
use crate::event::{Act, Event, EventType, FOLD_FACT};
use crate::ledger::LedgerError;
use crate::ledger::journal::Batch;
use crate::ledger::order::{Appended, Journal, SharedJournal};
use crate::mail::Timestamp;

/// Tries while nodes append.
const RACES: u32 = 100;

/// Raises the version of the ledger to the newest one of this release, with an act of this id. Gives the
/// versions before and after, and the position; None: it has that one already.
pub fn upgrade(options: &Options, id: &str) -> Result<Option<(i32, i32, u64)>, LedgerError> {
    let refused = |why: String| LedgerError::Fatal(why);
    let to = options.folds.newest;
    let mut journal = PostgresJournal::new(options.clone());
    for _ in 0..RACES {
        let report = EngineReport::ask(options)?;
        if report.fold == to {
            return Ok(None);
        }
        if !options.folds.have(report.fold) {
            return Err(cannot_fold(report.fold, options.folds));
        }
        if report.end == 0 {
            return Err(refused(
                "the ledger is empty: its first node begins with its own version".to_string(),
            ));
        }
        let late = report.cannot(to);
        if !late.is_empty() {
            return Err(refused(format!(
                "not all nodes of the last 24 hours fold as version {to}: {}; install this release \
                 there, start them, and do it again (one that is gone for good: DELETE FROM node WHERE \
                 name = ...)",
                late.join("; ")
            )));
        }
        let at = journal.find(report.end, &[])?;
        let news = journal.turn(&at)?;
        let record = record(news.through.seq + 1, to, id)?;
        match journal.append(&news.through, &record)? {
            Appended::Done(end) => return Ok(Some((report.fold, to, end.seq))),
            Appended::MovedOn => {}
            Appended::Unknown(why) => {
                return Err(LedgerError::Ambiguous(format!("{why}; run it again")));
            }
        }
    }
    Err(refused("nodes append all the time: do it again".to_string()))
}

/// The record that says it.
fn record(seq: u64, version: i32, id: &str) -> Result<Batch, LedgerError> {
    let act = Act::Fact { name: FOLD_FACT.to_string(), value: version.to_string() };
    let blank = Event::new(EventType::Act, id.to_string(), Timestamp::now());
    let event = Event { seq, peer: Some("local".to_string()), act: Some(act), ..blank };
    let unfit = |why: String| LedgerError::Fatal(why);
    let json = serde_json::to_vec(&event).map_err(|error| unfit(error.to_string()))?;
    let mut batch = Batch::default();
    batch.push(seq, &json).map_err(|why| unfit(why.to_string()))?;
    Ok(batch)
}
