//! Proves rules by their own samples: what is dead, shadowed or written twice (`rules check`).
//!
//! Promises: every finding names `file:line` and what to do; the shipped rules have none (test).

use std::collections::HashMap;

use super::judge::{Refusal, RuleSet};
use super::provider;
use super::rule::{Rule, Sample};
use super::verdict::Verdict;

/// What is wrong with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// A `seen` line is won by another rule, or by none.
    Dead,
    /// A `not_seen` line is won by the rule.
    TooWide,
    /// A provider's rule without a mark of the provider judges the replies of others.
    Unmarked,
    /// Two rules have one id, or the same conditions.
    Duplicate,
    /// A shipped rule loses one of its lines to an operator rule. That may be intended.
    Overridden,
}

/// One finding of [`RuleSet::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LintFinding {
    /// What kind of fault.
    pub kind: FindingKind,
    /// `file:line` of the rule.
    pub at: String,
    /// Id of the rule.
    pub rule: String,
    /// A sentence with the remedy.
    pub what: String,
}

impl std::fmt::Display for LintFinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: rule {}: {}", self.at, self.rule, self.what)
    }
}

impl RuleSet {
    /// Judges every `seen` and `not_seen` line against all rules and compares the rules with each
    /// other. Findings come in file order.
    pub fn check(&self) -> Vec<LintFinding> {
        let mut findings = Vec::new();
        let mut ids: HashMap<&str, &Rule> = HashMap::new();
        for (index, rule) in self.rules().iter().enumerate() {
            let mut add = |kind, what| {
                let (at, rule) = (rule.at.clone(), rule.id.clone());
                findings.push(LintFinding { kind, at, rule, what });
            };
            if let Some(first) = ids.insert(&rule.id, rule) {
                add(FindingKind::Duplicate, format!("{} has this id too; rename one", first.at));
            }
            if rule.unmarked {
                let what =
                    "nothing tells whose wording it is; add `provider`, `host` or a code, or \
                            move it to a general file"
                        .to_string();
                add(FindingKind::Unmarked, what);
            }
            let before = self.rules().get(..index).unwrap_or_default();
            if let Some(twin) = before.iter().find(|other| other.when == rule.when) {
                let what = format!("{} ({}) has the same conditions; remove one", twin.at, twin.id);
                add(FindingKind::Duplicate, what);
            }
            for seen in &rule.seen {
                let verdict = self.judge_sample(seen);
                if verdict.rule_at != rule.at {
                    let (kind, what) = self.lost(rule, seen, &verdict);
                    add(kind, what);
                }
            }
            for line in &rule.not_seen {
                if self.judge_sample(line).rule_at == rule.at {
                    let what = format!("it wins its not_seen line `{}`; narrow it", line.text);
                    add(FindingKind::TooWide, what);
                }
            }
        }
        findings
    }

    /// Judges a sample in its context.
    pub fn judge_sample(&self, seen: &Sample) -> Verdict {
        let refusal = Refusal {
            action: seen.action,
            status_field: seen.status,
            reply_code: seen.code,
            diagnostic: &seen.text,
            remote_mta: seen.host.as_deref(),
            recipient_domain: seen.domain.as_deref(),
            ..Refusal::default()
        };
        self.judge_as(&refusal, seen.provider.as_deref().and_then(provider::known))
    }

    fn lost(&self, rule: &Rule, seen: &Sample, verdict: &Verdict) -> (FindingKind, String) {
        let winner = self.rules().iter().find(|other| other.at == verdict.rule_at);
        let Some(winner) = winner else {
            let what = format!("no rule wins its seen line `{}`; mend text or line", seen.text);
            return (FindingKind::Dead, what);
        };
        let what = format!(
            "its seen line `{}` is won by {} ({}); narrow that one or move this one before it",
            seen.text, winner.id, winner.at
        );
        let overridden = winner.operator && !rule.operator;
        (if overridden { FindingKind::Overridden } else { FindingKind::Dead }, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::rules_file::Loader;

    fn check(operator: &str, shipped: &str) -> Vec<String> {
        let mut loader = Loader::new();
        loader.text("op.toml", operator, true).expect("operator rules read");
        loader.text("ship.toml", shipped, false).expect("shipped rules read");
        let rules = RuleSet::build(loader);
        rules.check().iter().map(|f| format!("{:?} {f}", f.kind)).collect()
    }

    fn rule(id: &str, text: &str, seen: &str, not_seen: &str) -> String {
        format!(
            "[[rule]]\nid='{id}'\nwhen={{text='{text}'}}\nreason='policy'\nseen=['{seen}']\nnot_seen=[{not_seen}]\n"
        )
    }

    #[test]
    fn findings_name_fault_place_and_remedy() {
        let good = rule("good", "apple", "an apple", "'a pear'");
        for (operator, shipped, expected) in [
            (String::new(), good.clone(), None),
            (
                rule("typo", "aple", "an apple", ""),
                String::new(),
                Some("Dead op.toml:1: rule typo: no rule wins"),
            ),
            (rule("wide", "a", "a b", "'an apple'"), String::new(), Some("TooWide op.toml:1")),
            (
                rule("wide", "appl", "appl", ""),
                good.clone(),
                Some(
                    "Overridden ship.toml:1: rule good: its seen line `an apple` is won by wide (op.toml:1)",
                ),
            ),
            (rule("twin", "apple", "an apple", ""), good.clone(), Some("has the same conditions")),
            (rule("good", "plum", "a plum", ""), good.clone(), Some("has this id too")),
            (
                good.clone() + &rule("late", "apple pie", "apple pie", ""),
                String::new(),
                Some("Dead op.toml:7: rule late"),
            ),
        ] {
            let findings = check(&operator, &shipped);
            match expected {
                None => assert!(findings.is_empty(), "{findings:?}"),
                Some(part) => assert!(findings.iter().any(|f| f.contains(part)), "{findings:?}"),
            }
        }
    }

    #[test]
    fn the_shipped_rules_prove_themselves() {
        let findings = RuleSet::shipped().check();
        let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(list.is_empty(), "{} findings\n{}", list.len(), list.join("\n"));
    }
}
