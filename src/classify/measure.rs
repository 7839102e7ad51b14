//! How much is understood and how much known by heart: the figures of `docs/generality.md`.
//!
//! *Leave one source out* judges the lines of a rules file, or of a provider, with its rules gone.
//! *Mutations* change a line so that the verdict must stay (other case, line breaks, a relay's words
//! around it, other words for the same) or must turn (the sender in the recipient's place).
//! `cargo run --example generality` prints the tables, `says/tests.rs` holds their floors.

use std::collections::BTreeMap;

use super::judge::{Refusal, RuleSet};
use super::rule::{Rule, RuleError, Sample};
use super::says::Says;
use super::verdict::{Category, Reason, Verdict};

/// A line, what it must mean, and where it comes from.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Rules file that it was first written for.
    pub file: String,
    /// Provider: the first part of the rule's id, or the file.
    pub source: String,
    /// What it means.
    pub reason: Reason,
    /// It must not mean that.
    pub never: bool,
    /// The line in its context.
    pub seen: Sample,
}

/// Right ones among some lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    /// Lines.
    pub lines: usize,
    /// Right category.
    pub category: usize,
    /// Right reason.
    pub reason: usize,
    /// Called hard, and not: a customer lost each.
    pub wrong_hard: usize,
}

impl Score {
    fn add(&mut self, wanted: Reason, verdict: &Verdict) {
        let category = verdict.reason.map(Reason::category);
        let right = category == Some(wanted.category());
        self.lines += 1;
        self.category += usize::from(right);
        self.reason += usize::from(verdict.reason == Some(wanted));
        self.wrong_hard += usize::from(category == Some(Category::Hard) && !right);
    }

    /// Two scores as one.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            lines: self.lines + other.lines,
            category: self.category + other.category,
            reason: self.reason + other.reason,
            wrong_hard: self.wrong_hard + other.wrong_hard,
        }
    }

    /// Percentage of a part.
    pub fn percent(&self, part: usize) -> f64 {
        if self.lines == 0 { 100.0 } else { 100.0 * part as f64 / self.lines as f64 }
    }
}

/// Rules files whose lines are codes: without the file nothing is left to understand.
const CODES: &[&str] = &["90-iana", "95-vague-codes"];

/// Every line with words: those of the rules, and those that the words alone must tell.
pub fn lines() -> Vec<Measured> {
    let mut lines = Says::seen();
    for rule in RuleSet::shipped().rules() {
        let file = file_of(rule);
        if CODES.contains(&file) {
            continue;
        }
        lines.extend(rule.seen.iter().map(|seen| Measured {
            file: file.to_string(),
            source: source_of(rule).to_string(),
            reason: rule.reason,
            never: false,
            seen: seen.clone(),
        }));
    }
    lines
}

/// At least two words beside codes and links. Of the others nothing can be understood.
fn says_anything(text: &str) -> bool {
    let word = |w: &&str| {
        let w = w.trim_matches(|c: char| !c.is_alphanumeric());
        w.chars().count() > 1 && w.chars().all(char::is_alphabetic) && w.to_uppercase() != *w
    };
    text.split_whitespace().filter(word).count() > 1 || !text.is_ascii()
}

fn file_of(rule: &Rule) -> &str {
    rule.at.split('.').next().unwrap_or_default()
}

fn source_of(rule: &Rule) -> &str {
    rule.id.split(['-', '/']).next().unwrap_or_default()
}

/// Leave one file out: a row a rules file.
pub fn by_file() -> Result<BTreeMap<String, Score>, RuleError> {
    left_out(|line| &line.file, |rule, name| file_of(rule) == name)
}

/// Leave one provider out: a row for each of those whose rules begin with its name.
pub fn by_source() -> Result<BTreeMap<String, Score>, RuleError> {
    left_out(|line| &line.source, |rule, name| source_of(rule) == name)
}

fn left_out(
    key: impl Fn(&Measured) -> &String,
    is_of: impl Fn(&Rule, &str) -> bool,
) -> Result<BTreeMap<String, Score>, RuleError> {
    let mut groups: BTreeMap<String, Vec<Measured>> = BTreeMap::new();
    for line in lines().into_iter().filter(|l| !l.never && says_anything(&l.seen.text)) {
        groups.entry(key(&line).clone()).or_default().push(line);
    }
    let mut table = BTreeMap::new();
    for (name, lines) in groups {
        let rules = RuleSet::without(|rule| is_of(rule, &name))?;
        let mut score = Score::default();
        for line in lines {
            score.add(line.reason, &rules.judge_sample(&line.seen));
        }
        table.insert(name, score);
    }
    Ok(table)
}

/// What a mutation did: how many lines it could change, and for how many the verdict did as it must.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeldOut {
    /// Lines.
    pub lines: usize,
    /// The verdict stayed, or turned.
    pub held: usize,
}

/// All mutations over all lines: a name, and what came of it.
pub fn mutations() -> Vec<(&'static str, HeldOut)> {
    let rules = RuleSet::shipped();
    let lines: Vec<Measured> = lines().into_iter().filter(|line| !line.never).collect();
    let mut table = Vec::new();
    for (name, change) in KEEPING {
        table.push((
            *name,
            tried(
                &lines,
                *change,
                |before, after| {
                    after.reason.map(Reason::category) == before.reason.map(Reason::category)
                },
                rules,
            ),
        ));
    }
    let turned =
        |_: &Verdict, after: &Verdict| after.reason.map(Reason::category) != Some(Category::Hard);
    let hard: Vec<Measured> = lines
        .into_iter()
        .filter(|line| line.reason.category() == Category::Hard)
        .filter(|line| rules.judge_sample(&line.seen).rule.starts_with("says/recipient/"))
        .collect();
    for (name, change) in TURNING {
        table.push((*name, tried(&hard, *change, turned, rules)));
    }
    table
}

type Change = fn(&str, usize) -> Option<String>;

fn tried(
    lines: &[Measured],
    change: Change,
    as_it_must: impl Fn(&Verdict, &Verdict) -> bool,
    rules: &RuleSet,
) -> HeldOut {
    let mut held = HeldOut::default();
    for (n, line) in lines.iter().enumerate() {
        let Some(text) = change(&line.seen.text, n).filter(|text| *text != line.seen.text) else {
            continue;
        };
        let before = rules.judge_sample(&line.seen);
        let after = rules.judge_sample(&Sample { text, ..line.seen.clone() });
        held.lines += 1;
        held.held += usize::from(as_it_must(&before, &after));
    }
    held
}

const KEEPING: &[(&str, Change)] = &[
    ("upper case", |text, _| Some(text.to_uppercase())),
    ("line breaks", |text, _| Some(text.replacen(' ', "\r\n ", 3))),
    ("more blanks", |text, _| Some(text.replace(' ', "  "))),
    ("a relay's words before it", |text, _| {
        Some(format!("host mx.example.net[192.0.2.7] said: {text} (in reply to RCPT TO command)"))
    }),
    ("a link behind it", |text, _| Some(format!("{text} See https://example.net/help?id=17"))),
    ("thanks behind it", |text, _| Some(format!("{text}. Sorry for that and have a nice day"))),
    ("other words for the same", |text, n| Says::shipped().other_words(text, n)),
];

const TURNING: &[(&str, Change)] = &[
    ("the sender in the recipient's place", |text, _| {
        Says::shipped().with_recipient_as(text, "sender")
    }),
    ("the return path in the recipient's place", |text, _| {
        Says::shipped().with_recipient_as(text, "return path")
    }),
    ("said of the sender before", |text, _| {
        let (code, words) = text.split_once(' ').filter(|(code, _)| code.len() == 3)?;
        Some(format!("{code} <news@example.org>: Sender address rejected: {words}"))
    }),
    ("at MAIL FROM", |text, _| Some(format!("{text} (in reply to MAIL FROM command)"))),
    ("behind a 450", |text, _| {
        let rest = text.strip_prefix("550 ")?;
        Some(format!("450 {}", rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')))
    }),
];

/// The verdict of the shipped rules on a bare text, for tests and tools.
pub fn verdict(text: &str) -> Verdict {
    RuleSet::shipped().judge(&Refusal {
        diagnostic: text,
        recipient_domain: Some("example.com"),
        ..Refusal::default()
    })
}
