//! Counts what became of the records of an import, for the answer.

use serde_json::{Value, json};

use super::list_row::Read;
use super::reader::{ImportReader, Understanding};
use crate::mail::words;
use crate::service::{ImportEntry, ImportOutcome, NotTaken};

/// Refused records that are named one by one; the others are counted.
const NAMED: usize = 100;
/// Different sentences that are counted apart.
const SENTENCES: usize = 50;
/// Characters of a cell that are shown.
const CELL: usize = 80;
/// Rows that a dry run shows.
pub const SHOWN: usize = 10;

words! {
    /// What a sentence is about.
    WhyKind {
        /// Records that cannot be read, or hold what cannot be.
        Refused = "refused",
        /// Records that are understood, and no suppression.
        LeftOut = "left-out",
        /// Records that are taken, but for one thing.
        Noted = "noted",
    }
}

/// A sentence on records of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhyCount {
    /// What it is about.
    pub kind: WhyKind,
    /// The sentence.
    pub why: String,
    /// How many records.
    pub count: u64,
    /// Number of the first of them.
    pub first: u64,
}

/// A record that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its number.
    pub number: u64,
    /// The sentence.
    pub why: String,
    /// The cell that is wrong; empty where the sentence says all.
    pub cell: String,
}

/// What became of the records of an import.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportTally {
    /// Suppressed now, and no list had said so before.
    pub suppressed: u64,
    /// On an earlier list, and now for longer or for a stronger reason.
    pub changed: u64,
    /// Suppressed already.
    pub unchanged: u64,
    /// Understood, and no suppression.
    pub left_out: u64,
    /// Not understood.
    pub refused: u64,
    /// The first refused ones.
    pub refusals: Vec<Refusal>,
    /// Each sentence, how often, and where first.
    pub why: Vec<WhyCount>,
    /// Rows of a dry run as they would be.
    pub sample: Vec<Value>,
}

impl ImportTally {
    /// Counts a record, but for an entry, which is given back: it counts by what becomes of it.
    pub fn take(&mut self, number: u64, read: Read) -> Option<ImportEntry> {
        match read {
            Read::Entry(entry) => return Some(entry),
            Read::Noted(what) => self.count(WhyKind::Noted, number, &what),
            Read::LeftOut(why) => self.leave_out(number, &why),
            Read::Refused(why, cell) => self.refuse(number, &why, &cell),
        }
        None
    }

    /// Counts a record that is left out.
    fn leave_out(&mut self, number: u64, why: &str) {
        self.left_out += 1;
        self.count(WhyKind::LeftOut, number, why);
    }

    /// Counts a record that is refused.
    fn refuse(&mut self, number: u64, why: &str, cell: &str) {
        self.refused += 1;
        self.count(WhyKind::Refused, number, why);
        if self.refusals.len() < NAMED {
            let cell = cell.chars().take(CELL).collect();
            self.refusals.push(Refusal { number, why: why.to_string(), cell });
        }
    }

    fn count(&mut self, kind: WhyKind, number: u64, why: &str) {
        let is = |known: &WhyCount, why: &str| known.kind == kind && known.why == why;
        let why = match self.why.iter().any(|known| is(known, why)) {
            false if self.why.len() >= SENTENCES => "something else",
            _ => why,
        };
        match self.why.iter_mut().find(|known| is(known, why)) {
            Some(known) => {
                known.count += 1;
                known.first = number.min(known.first);
            }
            None => self.why.push(WhyCount { kind, why: why.to_string(), count: 1, first: number }),
        }
    }

    /// Counts what became of a batch; `numbers` are those of its entries.
    pub fn add(&mut self, outcome: ImportOutcome, numbers: &[u64]) {
        self.suppressed += outcome.suppressed;
        self.changed += outcome.changed;
        self.unchanged += outcome.unchanged;
        let room = SHOWN.saturating_sub(self.sample.len());
        self.sample.extend(outcome.sample.into_iter().take(room));
        let number = |place: usize| numbers.get(place).or(numbers.last()).copied().unwrap_or(0);
        for NotTaken { place, why, .. } in outcome.left_out {
            self.leave_out(number(place), &why);
        }
        for NotTaken { place, why, cell } in outcome.refused {
            self.refuse(number(place), &why, &cell);
        }
    }

    /// Every record was refused.
    pub fn took_nothing(&self) -> bool {
        let understood = self.suppressed + self.changed + self.unchanged + self.left_out;
        self.refused > 0 && understood == 0
    }

    /// The answer (docs/interface.md, "HTTP").
    pub fn answer(&mut self, reader: &ImportReader, dry_run: bool) -> Value {
        self.refusals.sort_by_key(|refusal| refusal.number);
        let refusals: Vec<Value> = self
            .refusals
            .iter()
            .map(|one| json!({"line": one.number, "error": one.why, "cell": one.cell}))
            .collect();
        let why: Vec<Value> = self
            .why
            .iter()
            .map(|one| {
                json!({"kind": one.kind, "error": one.why, "count": one.count, "line": one.first})
            })
            .collect();
        let understanding = reader.understanding();
        let format = understanding.map(|Understanding { format, .. }| format);
        let mut answer = json!({
            "format": format,
            "lines": reader.lines(),
            "suppressed": self.suppressed,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "left_out": self.left_out,
            "refused": self.refused,
            "refusals": refusals,
            "why": why,
        });
        if dry_run {
            let columns = understanding.map(|u| u.columns.as_slice()).unwrap_or_default();
            let columns: Vec<Value> = columns
                .iter()
                .map(|(name, meaning)| json!({"name": name, "meaning": meaning}))
                .collect();
            answer["dry_run"] = json!(true);
            answer["columns"] = json!(columns);
            answer["sample"] = json!(self.sample);
        }
        answer
    }
}
