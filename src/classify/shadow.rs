//! Shadow rules: operator rules on trial, asked beside the live ones on every judged recipient
//! (docs/policy.md, "What if"). They decide nothing; what is kept is how often they disagree, and
//! how.
//!
//! Promises: without `rules.shadow_dir` nothing of this runs; the table is bounded, further pairs
//! are counted together; samples carry no address. It is in memory and begins anew with each
//! restart and reload, because the rules may be others then.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::classify::{self, Reason, RuleError, RuleSet, Verdict};
use crate::mail::redacted;
use crate::report::{Action, Kind, Report};

/// Pairs of live and shadow rule that are told apart.
const MAX_PAIRS: usize = 1_000;
/// Characters of a sample.
const SAMPLE: usize = 200;

/// A set of rules on trial.
#[derive(Debug)]
pub struct Shadow {
    rules: RuleSet,
    /// Agreements and disagreements since they were last taken.
    fresh: [AtomicU64; 2],
    table: Mutex<ShadowTable>,
}

#[derive(Debug, Default)]
struct ShadowTable {
    same: u64,
    different: u64,
    pairs: BTreeMap<Pair, Disagreement>,
    /// Disagreements beyond [`MAX_PAIRS`].
    beyond: u64,
}

/// What the live and the shadow rules say, and which rules say so.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    live: (Option<Reason>, String),
    shadow: (Option<Reason>, String),
}

#[derive(Debug)]
struct Disagreement {
    count: u64,
    sample: String,
}

impl Shadow {
    /// The rules of `dir`, then those of the live set.
    pub fn load(dir: &Path, live: Option<&Path>) -> Result<Self, RuleError> {
        let dirs: Vec<&Path> = std::iter::once(dir).chain(live).collect();
        let (fresh, table) = (Default::default(), Mutex::default());
        Ok(Self { rules: RuleSet::load_all(&dirs)?, fresh, table })
    }

    /// Judges a report beside the live rules and counts where they disagree.
    pub fn watch(&self, report: &Report, live: &[Verdict]) {
        if !matches!(report.kind, Kind::Failure | Kind::Delay) {
            return;
        }
        let shadow = classify::judge(report, &self.rules);
        for ((recipient, live), shadow) in report.recipients.iter().zip(live).zip(&shadow) {
            let judged = matches!(recipient.action, None | Some(Action::Failed | Action::Delayed));
            if !judged {
                continue;
            }
            let said = match recipient.diagnostic.as_str() {
                "" => &recipient.remarks,
                words => words,
            };
            self.count(live, shadow, said);
        }
    }

    fn count(&self, live: &Verdict, shadow: &Verdict, said: &str) {
        let same = live.reason == shadow.reason;
        let [agreed, disagreed] = &self.fresh;
        if same { agreed } else { disagreed }.fetch_add(1, Ordering::Relaxed);
        let mut table = self.lock_table();
        if same {
            table.same += 1;
            return;
        }
        table.different += 1;
        let side = |verdict: &Verdict| (verdict.reason, verdict.rule.to_string());
        let pair = Pair { live: side(live), shadow: side(shadow) };
        if let Some(known) = table.pairs.get_mut(&pair) {
            known.count += 1;
        } else if table.pairs.len() >= MAX_PAIRS {
            table.beyond += 1;
        } else {
            let sample = redacted(said, SAMPLE);
            table.pairs.insert(pair, Disagreement { count: 1, sample });
        }
    }

    /// Each change of it is one call, so a panic under the lock leaves nothing half done.
    fn lock_table(&self) -> MutexGuard<'_, ShadowTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Agreements and disagreements since this was last asked, for counters.
    pub fn take_fresh(&self) -> (u64, u64) {
        let [same, different] = &self.fresh;
        (same.swap(0, Ordering::Relaxed), different.swap(0, Ordering::Relaxed))
    }

    /// The table as JSON, the most frequent disagreement first.
    pub fn table(&self) -> Value {
        let table = self.lock_table();
        let mut pairs: Vec<_> = table.pairs.iter().collect();
        pairs.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.count));
        let side =
            |(reason, rule): &(Option<Reason>, String)| json!({"reason": reason, "rule": rule});
        let pairs: Vec<Value> = pairs
            .into_iter()
            .map(|(pair, seen)| {
                json!({"live": side(&pair.live), "shadow": side(&pair.shadow),
                    "count": seen.count, "sample": seen.sample})
            })
            .collect();
        json!({"configured": true, "same": table.same, "different": table.different,
            "pairs": pairs, "beyond": table.beyond})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Recipient;

    const RULE: &str = "[[rule]]\nid = \"trial\"\nwhen = { text = \"odd words of ours\" }\n\
                        reason = \"mailbox-full\"\nseen = [\"550 odd words of ours\"]\n";

    fn report(kind: Kind, said: &str, action: Option<Action>) -> Report {
        let mut report = Report::new(kind, "test");
        let diagnostic = said.to_string();
        report.recipients.push(Recipient { diagnostic, action, ..Recipient::default() });
        report
    }

    #[test]
    fn disagreements_are_counted_with_one_sample_without_addresses() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        std::fs::write(dir.path().join("10-trial.toml"), RULE).expect("written");
        let shadow = Shadow::load(dir.path(), None).expect("rules");
        for (kind, said, action) in [
            (Kind::Failure, "550 odd words of ours for <u@example.com>", Some(Action::Failed)),
            (Kind::Failure, "550 odd words of ours for <v@example.com>", None),
            (Kind::Failure, "550 5.1.1 no such user here", Some(Action::Failed)),
            // Not judged: no failure, or a recipient that got it.
            (Kind::AutoReply, "odd words of ours", None),
            (Kind::Failure, "odd words of ours", Some(Action::Delivered)),
        ] {
            let report = report(kind, said, action);
            shadow.watch(&report, &classify::judge(&report, RuleSet::shipped()));
        }
        assert_eq!(shadow.take_fresh(), (1, 2));
        assert_eq!(shadow.take_fresh(), (0, 0));
        let table = shadow.table();
        assert_eq!((&table["same"], &table["different"]), (&json!(1), &json!(2)));
        let pairs = table["pairs"].as_array().expect("a list");
        let [pair] = pairs.as_slice() else { panic!("{table}") };
        assert_eq!(pair["shadow"], json!({"reason": "mailbox-full", "rule": "trial"}));
        assert_eq!(pair["count"], 2);
        assert_eq!(pair["sample"], "550 odd words of ours for <address>");
        assert_ne!(pair["live"]["reason"], "mailbox-full");
    }

    #[test]
    fn the_table_is_bounded() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        std::fs::write(dir.path().join("10-trial.toml"), RULE).expect("written");
        let shadow = Shadow::load(dir.path(), None).expect("rules");
        let report = report(Kind::Failure, "550 odd words of ours", None);
        let live = classify::judge(&report, RuleSet::shipped()).pop().expect("one verdict");
        let other = classify::judge(&report, &shadow.rules).pop().expect("one verdict");
        for n in 0..MAX_PAIRS + 5 {
            let live = Verdict { rule: format!("r{n}"), ..live.clone() };
            shadow.count(&live, &other, "x");
        }
        let table = shadow.table();
        assert_eq!(table["pairs"].as_array().map(Vec::len), Some(MAX_PAIRS));
        assert_eq!((&table["beyond"], &table["different"]), (&json!(5), &json!(MAX_PAIRS + 5)));
    }
}
