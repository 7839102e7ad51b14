//! Counts what became of the records of an import, for the answer.

use serde_json::{Value, json};

use super::reader::{ImportReader, Understanding};
use crate::service::ImportOutcome;

/// Refused records that are named one by one; the others are counted.
const NAMED: usize = 100;
/// Different sentences that are counted apart.
const SENTENCES: usize = 50;
/// Rows that a dry run shows.
pub const SHOWN: usize = 10;

/// What became of the records of an import.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportTally {
    /// Suppressed now and not before.
    pub suppressed: u64,
    /// Suppressed already.
    pub unchanged: u64,
    /// Understood, and no suppression.
    pub left_out: u64,
    /// Not understood.
    pub refused: u64,
    /// The first refused ones: number and sentence.
    pub refusals: Vec<(u64, String)>,
    /// Each sentence on what was left out or refused, how often, and where first.
    pub why: Vec<(String, u64, u64)>,
    /// Rows of a dry run as they would be.
    pub sample: Vec<Value>,
}

impl ImportTally {
    /// Counts a record that is left out.
    pub fn leave_out(&mut self, number: u64, why: &str) {
        self.left_out += 1;
        self.count(number, why);
    }

    /// Counts a record that is refused.
    pub fn refuse(&mut self, number: u64, why: &str) {
        self.refused += 1;
        self.count(number, why);
        if self.refusals.len() < NAMED {
            self.refusals.push((number, why.to_string()));
        }
    }

    fn count(&mut self, number: u64, why: &str) {
        let why = match self.why.iter().position(|(known, _, _)| known == why) {
            None if self.why.len() >= SENTENCES => "something else",
            _ => why,
        };
        match self.why.iter_mut().find(|(known, _, _)| known == why) {
            Some((_, count, first)) => {
                *count += 1;
                *first = number.min(*first);
            }
            None => self.why.push((why.to_string(), 1, number)),
        }
    }

    /// Counts what became of a batch; `numbers` are those of its entries.
    pub fn add(&mut self, outcome: ImportOutcome, numbers: &[u64]) {
        self.suppressed += outcome.suppressed;
        self.unchanged += outcome.unchanged;
        let room = SHOWN.saturating_sub(self.sample.len());
        self.sample.extend(outcome.sample.into_iter().take(room));
        for (place, why) in outcome.refused {
            let number = numbers.get(place).or(numbers.last()).copied().unwrap_or(0);
            self.refuse(number, &why);
        }
    }

    /// The answer (docs/interface.md, "HTTP").
    pub fn answer(&mut self, reader: &ImportReader, dry_run: bool) -> Value {
        self.refusals.sort_by_key(|(number, _)| *number);
        let refusals: Vec<Value> = self
            .refusals
            .iter()
            .map(|(line, error)| json!({"line": line, "error": error}))
            .collect();
        let why: Vec<Value> = self
            .why
            .iter()
            .map(|(error, count, line)| json!({"error": error, "count": count, "line": line}))
            .collect();
        let understanding = reader.understanding();
        let format = understanding.map(|Understanding { format, .. }| format);
        let mut answer = json!({
            "format": format,
            "lines": reader.lines(),
            "suppressed": self.suppressed,
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
