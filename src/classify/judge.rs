//! From what a report says about one recipient to what it means
//! (docs/taxonomy.md, "How a reason is found").
//!
//! Words before codes, provider before general: the order of the rules files says so, and this
//! file only asks them in turn; `codes.rs` weighs the codes.
//! Promises: same input and rules, same verdict;
//! no clock, no map order; nothing a peer wrote can make it fail.

use std::cell::RefCell;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use super::codes::{contradicts, derive_status, in_force, names_a_dead_address, soften, softened};
use super::matcher::{Matcher, RefusalFacts, span};
use super::own_refusal;
use super::provider;
use super::rule::{Rule, RuleError};
use super::rules_file::Loader;
use super::says::{Beside, Meaning, Says};
use super::shipped::SHIPPED;
use super::text::{Codes, codes, fold, repaired};
use super::verdict::{Category, Certainty, Reason, Verdict};
use crate::mail::{EnhancedStatus, ReplyCode};
use crate::report::{Action, Recipient, Report};

/// What is known of the refusal of one recipient.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refusal<'a> {
    /// `Action`; None is taken for a failure.
    pub action: Option<Action>,
    /// `Status`.
    pub status_field: Option<EnhancedStatus>,
    /// A reply code that is given apart from the diagnostic.
    pub reply_code: Option<ReplyCode>,
    /// What the server said.
    pub diagnostic: &'a str,
    /// The human part of the report.
    pub remarks: &'a str,
    /// The human part speaks of this recipient alone.
    pub remarks_own: bool,
    /// Who refused.
    pub remote_mta: Option<&'a str>,
    /// Who reports.
    pub reporting_mta: Option<&'a str>,
    /// Domain of the recipient.
    pub recipient_domain: Option<&'a str>,
    /// Addresses that the mail was sent from, in lower case.
    pub senders: &'a [String],
}

/// Rules, ready to judge.
#[derive(Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    matcher: Matcher,
    says: Option<&'static Says>,
    digest: Arc<str>,
}

/// Verdicts on the recipients of a report, in their order.
pub fn judge(report: &Report, rules: &RuleSet) -> Vec<Verdict> {
    let one = |recipient: &Recipient| {
        rules.judge(&Refusal {
            action: recipient.action,
            status_field: recipient.status,
            reply_code: recipient.reply_code,
            diagnostic: &recipient.diagnostic,
            remarks: &recipient.remarks,
            remarks_own: own_remarks(report, recipient),
            remote_mta: recipient.remote_mta.as_deref(),
            reporting_mta: report.reporting_mta.as_deref(),
            recipient_domain: recipient.address.as_ref().map(crate::mail::Address::domain),
            senders: senders(report, recipient),
        })
    };
    report.recipients.iter().map(one).collect()
}

/// Whether the words beside a recipient speak of it alone: it is the only one, or they name it.
fn own_remarks(report: &Report, recipient: &Recipient) -> bool {
    let named =
        || recipient.address.as_ref().is_some_and(|a| recipient.remarks.contains(a.as_str()));
    report.recipients.len() == 1 || named()
}

/// The addresses that the mail was sent from. Who mailed himself is the recipient.
fn senders<'a>(report: &'a Report, recipient: &Recipient) -> &'a [String] {
    let own = |sender: &String| {
        let is = |named: &str| named.eq_ignore_ascii_case(sender);
        recipient.address.as_ref().is_some_and(|address| is(address.as_str()))
            || recipient.final_recipient.as_deref().is_some_and(is)
            || recipient.original_recipient.as_deref().is_some_and(is)
    };
    if report.senders.iter().any(own) { &[] } else { &report.senders }
}

impl RuleSet {
    /// The shipped rules alone, parsed once.
    pub fn shipped() -> &'static Self {
        static RULES: LazyLock<RuleSet> =
            LazyLock::new(|| RuleSet::load(None).expect("the shipped rules are read by the tests"));
        &RULES
    }

    /// The rules of an operator directory, then the shipped ones.
    pub fn load(operator_dir: Option<&Path>) -> Result<Self, RuleError> {
        Self::load_all(operator_dir.as_slice())
    }

    /// The rules of some operator directories in their order, then the shipped ones.
    pub fn load_all(operator_dirs: &[&Path]) -> Result<Self, RuleError> {
        let mut loader = Loader::new();
        for dir in operator_dirs {
            loader.directory(dir)?;
        }
        for (file, source) in SHIPPED {
            loader.text(file, source, false)?;
        }
        Says::sources().for_each(|source| loader.name(source));
        Ok(Self { says: Some(Says::shipped()), ..Self::build(loader) })
    }

    /// The shipped rules but for some: what is right without them is understood, not known by
    /// heart (`docs/generality.md`).
    pub fn without(dropped: impl Fn(&Rule) -> bool) -> Result<Self, RuleError> {
        let mut loader = Loader::new();
        for (file, source) in SHIPPED {
            loader.text(file, source, false)?;
        }
        loader.rules.retain(|rule| !dropped(rule));
        Ok(Self { says: Some(Says::shipped()), ..Self::build(loader) })
    }

    /// The same rules with another lexicon.
    #[must_use]
    pub fn with_says(self, says: &'static Says) -> Self {
        Self { says: Some(says), ..self }
    }

    /// The rules of one text, without the shipped ones; `file` is in errors.
    pub fn of_text(file: &str, text: &str) -> Result<Self, RuleError> {
        let mut loader = Loader::new();
        loader.text(file, text, true)?;
        Ok(Self::build(loader))
    }

    /// The rules of a text before these: what they would say if it were kept.
    pub fn with_trial(&self, file: &str, text: &str) -> Result<Self, RuleError> {
        let mut loader = Loader::new();
        loader.text(file, text, true)?;
        loader.rules.extend(self.rules.iter().cloned());
        Ok(Self { says: self.says, ..Self::build(loader) })
    }

    pub(super) fn build(loader: Loader) -> Self {
        let digest = loader.digest();
        let matcher = Matcher::new(&loader.rules);
        Self { rules: loader.rules, matcher, says: None, digest }
    }

    /// Twelve hex digits that name exactly these rules.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The rules in the order in which they are asked.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The verdict on one recipient.
    pub fn judge(&self, refusal: &Refusal<'_>) -> Verdict {
        self.judge_as(refusal, None)
    }

    /// Like [`judge`](Self::judge), with the provider given instead of looked up.
    pub(super) fn judge_as(
        &self,
        refusal: &Refusal<'_>,
        provider: Option<&'static str>,
    ) -> Verdict {
        thread_local! {
            static SCRATCH: RefCell<(String, String)> = const {
                RefCell::new((String::new(), String::new()))
            };
        }
        SCRATCH.with_borrow_mut(|(words, remarks)| self.weigh(refusal, provider, words, remarks))
    }

    fn weigh(
        &self,
        refusal: &Refusal<'_>,
        provider: Option<&'static str>,
        words: &mut String,
        remarks: &mut String,
    ) -> Verdict {
        fold_repaired(refusal.diagnostic, words);
        let mut found = codes(words);
        remarks.clear();
        if found == Codes::default() && refusal.status_field.is_none() && !has_words(words) {
            fold_repaired(refusal.remarks, remarks);
            found = codes(remarks);
        }
        let reply = found.reply.or(refusal.reply_code);
        let (status, status_source) = in_force(refusal.status_field, found.status);
        let provider = provider.or_else(|| provider_of(refusal, words));
        let mut verdict = Verdict {
            reason: None,
            status,
            status_source,
            reply_code: reply,
            provider,
            rule: String::new(),
            rule_at: String::new(),
            matched: String::new(),
            remarks_read: !remarks.is_empty(),
            certainty: Certainty::Said,
        };
        if refusal.action.is_some_and(is_success) {
            return verdict;
        }
        if let Some(mark) = own_mark(refusal, words) {
            verdict.reason = Some(Reason::SuppressedHere);
            verdict.rule = own_refusal::RULE.to_string();
            verdict.matched = mark.to_string();
            derive_status(&mut verdict);
            return verdict;
        }
        let facts = RefusalFacts {
            text: words,
            provider,
            remote_mta: refusal.remote_mta.map_or("", provider::host_of),
            reporting_mta: refusal.reporting_mta.map_or("", provider::host_of),
            domain: refusal.recipient_domain.unwrap_or_default(),
            senders: refusal.senders,
            action: refusal.action,
            code: reply,
            status: status.map(|s| soften(s, reply)),
            text_status: found.status.map(|s| soften(s, reply)),
        };
        let mut found = self.find(refusal.diagnostic, &facts, true);
        let mut found_text: &str = words;
        let mut from_human = false;
        if found.is_vague() && !refusal.remarks.is_empty() {
            verdict.remarks_read = true;
            if remarks.is_empty() {
                fold_repaired(refusal.remarks, remarks);
            }
            let human = RefusalFacts { text: remarks, ..facts };
            let better = self.find(refusal.remarks, &human, false);
            if !better.is_vague() || found.is_empty() {
                found = better;
                found_text = remarks;
                from_human = true;
            }
        }
        let any_words = has_words(words) || has_words(remarks);
        decide(found, found_text, any_words, &mut verdict);
        if from_human && !verdict.status.is_some_and(names_a_dead_address) {
            verdict.certainty = Certainty::Inferred;
        }
        derive_status(&mut verdict);
        verdict
    }

    /// What rules and words say of a text. Rules about wordings come first, then the words read as
    /// a sentence, then codes; but a code that means just one thing beats words that say little,
    /// and a provider's code loses to plain words about the mailbox (`Rule::yields`).
    fn find<'r>(&'r self, raw: &str, facts: &RefusalFacts<'_>, with_codes: bool) -> Found<'r> {
        let best = self.matcher.first(&self.rules, facts, with_codes, None);
        let rule = best.and_then(|i| self.rules.get(i));
        if rule.is_some_and(Rule::is_final) {
            return rule.map_or(Found::Nothing, Found::Rule);
        }
        let beside = Beside {
            domain: facts.domain,
            senders: facts.senders,
            status: facts.status,
            code: facts.code,
        };
        let words = self.says.and_then(|says| says.of(raw, facts.text, &beside));
        match (rule, words) {
            (None, None) => Found::Nothing,
            (None, Some(words)) => Found::Words(words),
            (Some(rule), Some(words)) if words_win(rule, &words, facts) => Found::Words(words),
            (Some(rule), _) => Found::Rule(rule),
        }
    }
}

/// Whether plain words beat a rule that they contradict.
fn words_win(rule: &Rule, words: &Meaning<'_>, facts: &RefusalFacts<'_>) -> bool {
    let other = words.reason.category() != rule.reason.category();
    if rule.code {
        // A code about something else than the address keeps it from being dead.
        let doubt = facts.status.is_some_and(|s| contradicts(s, words.reason));
        let hard = rule.reason.category() == Category::Hard;
        return match (words.vague, rule.vague) {
            _ if rule.is_rash() => true,
            _ if doubt && other => false,
            (false, _) => true,
            // A refusal of the message is none of the mailbox, whatever the code.
            (true, false) => hard && words.of_message,
            (true, true) => !rule.tells_of_delay(),
        };
    }
    let plain = other && !words.vague && !words.inferred;
    // Words about the sender never cost a recipient the address.
    let ours = rule.reason.category() == Category::Hard && words.of_us;
    // A block list's name says less than a plain word about the mailbox; a provider's code less
    // than any plain word.
    plain && (ours || (rule.yields && (words.of_mailbox || rule.when.is_mark())))
}

/// What a verdict is based on.
enum Found<'r> {
    Rule(&'r Rule),
    Words(Meaning<'r>),
    Nothing,
}

impl Found<'_> {
    /// Nothing is said at all, not even by a code.
    fn is_empty(&self) -> bool {
        match self {
            Self::Rule(rule) => rule.is_bare() && rule.reason == Reason::Generic,
            Self::Words(_) => false,
            Self::Nothing => true,
        }
    }

    /// The human part is asked before it is believed.
    const fn is_vague(&self) -> bool {
        match self {
            Self::Rule(rule) => rule.vague,
            Self::Words(words) => words.vague,
            Self::Nothing => true,
        }
    }
}

/// Fills in reason and rule. A code that says nothing beside words that no rule knows is not
/// "generic" but unknown: the ledger of unknown wordings is fed from these. Nor is a reply code
/// alone enough to cost an address (`553` is what many servers say to senders).
fn decide(found: Found<'_>, text: &str, any_words: bool, verdict: &mut Verdict) {
    let transient = verdict.reply_code.map_or_else(
        || verdict.status.is_some_and(EnhancedStatus::is_transient),
        ReplyCode::is_transient,
    );
    match found {
        Found::Rule(rule) if !(rule.is_bare() && any_words && rule.is_empty_word(transient)) => {
            verdict.reason = Some(rule.reason);
            verdict.rule.clone_from(&rule.id);
            verdict.rule_at.clone_from(&rule.at);
            verdict.matched = matched(rule, text, verdict);
            if rule.is_bare() && any_words {
                verdict.certainty = Certainty::Inferred;
            }
            if transient && !rule.speaks_of_transient() {
                verdict.reason = Some(softened(rule.reason));
            }
        }
        Found::Words(words) => {
            let reason = if transient { softened(words.reason) } else { words.reason };
            verdict.reason = Some(reason);
            verdict.rule = words.name.to_string();
            verdict.rule_at = words.at.to_string();
            verdict.matched = words.matched;
            let doubt = words.inferred || verdict.status.is_some_and(|s| contradicts(s, reason));
            verdict.certainty = if doubt { Certainty::Inferred } else { Certainty::Said };
        }
        _ => {
            let (reason, id) = if any_words {
                (Reason::Undetermined, UNKNOWN_WORDS)
            } else {
                (Reason::Generic, NO_WORDS)
            };
            verdict.reason = Some(reason);
            verdict.rule = id.to_string();
            verdict.certainty = Certainty::Inferred;
        }
    }
}

/// Rule id of a verdict on words that no rule knows.
pub const UNKNOWN_WORDS: &str = "none/unknown-words";
/// Rule id of a verdict on a failure without words and codes.
pub const NO_WORDS: &str = "none/no-words";
/// Longest matched text that a verdict quotes, in octets.
const MAX_MATCHED: usize = 120;

fn fold_repaired(text: &str, out: &mut String) {
    match repaired(text) {
        Some(text) => fold(&text, out),
        None => fold(text, out),
    }
}

fn provider_of(refusal: &Refusal<'_>, folded: &str) -> Option<&'static str> {
    provider::by_host_or_domain(refusal.remote_mta, refusal.recipient_domain)
        .or_else(|| provider::by_mark(folded))
        .or_else(|| provider::by_reporter(refusal.remote_mta, refusal.reporting_mta))
}

/// The mark of our own refusal: in what the server said, or else in the human part when that speaks
/// of this recipient alone (the diagnostic may be cut, or of a relay's own words), or nothing was
/// said that could be about something else. Who writes the mark himself makes his report decide
/// nothing.
fn own_mark(refusal: &Refusal<'_>, words: &str) -> Option<&'static str> {
    own_refusal::mark_in(refusal.diagnostic).or_else(|| {
        // The human part is long: it is read only when it can count.
        let counts = refusal.remarks_own || !has_words(words);
        if counts { own_refusal::mark_in(refusal.remarks) } else { None }
    })
}

const fn is_success(action: Action) -> bool {
    matches!(action, Action::Delivered | Action::Relayed | Action::Expanded)
}

/// At least one word of three letters that is not part of the protocol.
fn has_words(folded: &str) -> bool {
    folded
        .split(|c: char| !c.is_alphabetic())
        .any(|word| word.chars().count() >= 3 && !matches!(word, "smtp" | "dsn" | "rfc" | "esmtp"))
}

fn matched(rule: &Rule, text: &str, verdict: &Verdict) -> String {
    if !rule.when.text.is_empty() {
        return match span(&rule.when.text, text) {
            Some(found) if found.len() <= MAX_MATCHED => found.trim().to_string(),
            _ => rule.when.text.join(" ... "),
        };
    }
    if let Some(piece) = rule.when.any.iter().find(|piece| text.contains(piece.as_str())) {
        return piece.trim().to_string();
    }
    match (verdict.status, verdict.reply_code) {
        (Some(status), _) if !rule.when.status.is_empty() => status.to_string(),
        (_, Some(code)) => code.to_string(),
        (Some(status), None) => status.to_string(),
        (None, None) => String::new(),
    }
}

/// Folds a text as the rules see it; for tools that show why a rule does not match.
pub fn folded(diagnostic: &str) -> String {
    let mut out = String::new();
    fold_repaired(diagnostic, &mut out);
    out
}

#[cfg(test)]
mod tests;
