//! What a rule is. `rules_file.rs` reads it.
//!
//! A rule is one TOML table that carries its own proof:
//!
//! ```toml
//! [[rule]]
//! id       = "google-no-such-user"   # stable: is in logs, metrics, answers
//! when     = { provider = "google", code = "5", text = ["email account", "does not exist"] }
//! reason   = "user-unknown"          # docs/taxonomy.md, "Reasons"
//! seen     = ["550-5.1.1 The email account that you tried to reach does not exist."]
//! not_seen = ["452 4.2.2 The email account that you tried to reach is over quota"]
//! source   = "support.google.com/a/answer/3726730"
//! ```
//!
//! Conditions of `when`; all that are there must hold. One value or a list of alternatives:
//!
//! | key | holds when |
//! |---|---|
//! | `provider` | the provider that refused (`providers.toml`) is this one |
//! | `host` | remote-MTA, reporting-MTA or a host named in the diagnostic is this or below it |
//! | `domain` | the recipient domain is this or below it |
//! | `action` | the report says `failed` or `delayed` |
//! | `code` | the reply code is `550`, or begins with `55` or `5`; without one, the first digit is compared with the enhanced code |
//! | `status` | the enhanced code in force, or that in the text, is `5.1.1`; `*` means any number: `5.7.*` |
//! | `text` | these literal pieces are in the text, in this order |
//! | `any` | at least one of these pieces is in the text |
//! | `not` | none of these pieces is in the text |
//!
//! Pieces are compared lower-case with white space folded and typographic quotes made plain; the
//! folded text begins and ends with a blank. There are no regular expressions: 106 of 109 public
//! community rules were "reply code and ordered literals", and two of the others were broken.
//!
//! `seen` lines are judged against all rules, and the rule itself must win (`lint.rs`). An entry is
//! a text, or a table `{ text, host, status, code, provider, domain, action }` that gives the
//! context; a bare text is judged with the rule's own `provider`, `host`, `domain` and `action`.
//!
//! Operator files come first, then the shipped ones, each in name order; the first match wins.
//! At the head of a file: `vague = true`, its rules say so little that the human part of the report
//! is asked before one of them is believed; `after_words = true`, they are asked after the words
//! (`says/`); `marked = true`, each rule must carry a mark of its provider (a condition on it, a
//! code, a name), for a plain wording is everybody's; `yields = true`, plain words about somebody else win. A rule whose text is a
//! provider's code yields, too, unless `despite` says why not.

use super::provider;
use super::verdict::{Category, Reason};
use crate::mail::{EnhancedStatus, ReplyCode};
use crate::report::Action;

/// A rules file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {what}")]
pub struct RuleError {
    /// `file:line`.
    pub at: String,
    /// What is wrong, and what to write instead.
    pub what: String,
}

/// One rule, checked.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Stable name.
    pub id: String,
    /// Conditions.
    pub when: When,
    /// What it means when they hold.
    pub reason: Reason,
    /// Lines that this rule must win.
    pub seen: Vec<Sample>,
    /// Lines that it must not win.
    pub not_seen: Vec<Sample>,
    /// Where the wording comes from.
    pub source: String,
    /// Why it wins against plain words that say otherwise; empty when it does not.
    pub despite: String,
    /// `file:line`.
    pub at: String,
    /// Believed only after the human part was asked.
    pub vague: bool,
    /// It is in a file whose rules are each one provider's, and carries no mark of it.
    pub unmarked: bool,
    /// A code: asked only when the words say nothing, or little.
    pub code: bool,
    /// Loses to plain words that say otherwise.
    pub yields: bool,
    /// Written by the operator, not shipped.
    pub operator: bool,
}

/// The conditions of one rule; an empty list is no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    /// Names of the provider table.
    pub provider: Vec<String>,
    /// Host suffixes.
    pub host: Vec<String>,
    /// Recipient domain suffixes.
    pub domain: Vec<String>,
    /// Actions of the report.
    pub action: Vec<Action>,
    /// Reply codes or their first digits.
    pub code: Vec<String>,
    /// Enhanced codes.
    pub status: Vec<StatusPattern>,
    /// Ordered pieces.
    pub text: Vec<String>,
    /// Alternatives.
    pub any: Vec<String>,
    /// Exclusions.
    pub not: Vec<String>,
}

impl Rule {
    /// Whether no words can change what it says: the operator's, and what is sure enough.
    pub fn is_final(&self) -> bool {
        let hard = self.reason.category() == Category::Hard && self.despite.is_empty();
        self.operator || (!self.code && !self.yields && !hard)
    }

    /// A code that tells what kept the mail waiting, which "failed" and "later" do not.
    pub fn tells_of_delay(&self) -> bool {
        use Reason as R;
        self.reason.category() == Category::Soft
            && !matches!(self.reason, R::Generic | R::SystemError | R::ProtocolError)
    }

    /// Whether it looks at codes alone.
    pub fn is_bare(&self) -> bool {
        self.when.text.is_empty() && self.when.any.is_empty()
    }

    /// A hard reason for a reply code alone, which costs nobody an address.
    pub fn is_rash(&self) -> bool {
        self.is_bare() && self.reason.category() == Category::Hard && self.when.status.is_empty()
    }

    /// Whether a code says nothing beside words.
    pub fn is_empty_word(&self, transient: bool) -> bool {
        (self.reason == Reason::Generic && !transient) || self.is_rash()
    }

    /// Whether it names codes that begin with a 4: only such a rule may call an address dead then.
    pub fn speaks_of_transient(&self) -> bool {
        self.when.code.iter().any(|code| code.starts_with('4'))
            || self.when.status.iter().any(|status| matches!(status.class, Some(4)))
    }
}

impl When {
    /// Whether something tells whose wording it is: a condition on provider, host or domain, or a
    /// code, an identifier, a link or a name in the text.
    pub fn carries_mark(&self) -> bool {
        let known = !(self.provider.is_empty() && self.host.is_empty() && self.domain.is_empty());
        let mark = |piece: &String| {
            let token = |token: &str| {
                let digits = token.bytes().any(|b| b.is_ascii_digit());
                let letters = token.bytes().any(|b| b.is_ascii_alphabetic());
                let inner = token.trim_matches(|c: char| !c.is_ascii_alphanumeric());
                let joined = inner.contains([':', '_', '#', '/', '=']) || inner.contains('.');
                (letters && (digits || joined)) || is_bracketed_code(token)
            };
            piece.split(' ').any(token) || provider::names_one(piece)
        };
        known || self.text.iter().chain(&self.any).any(mark)
    }

    /// Whether all of its text is a provider's code (`(s3150)`, `ib504`, `[tss04]`), no wording.
    pub fn is_mark(&self) -> bool {
        let mut pieces = self.text.iter().chain(&self.any).peekable();
        let mark = |piece: &String| {
            let sign = |b: u8| b.is_ascii_digit() || b".:_#".contains(&b);
            !piece.trim().contains(' ') && piece.bytes().any(sign)
        };
        pieces.peek().is_some() && pieces.all(mark)
    }
}

/// `(bl)`, `[hcm]`, `(mode:`: a code in brackets.
fn is_bracketed_code(token: &str) -> bool {
    let inner = token.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    token.starts_with(['(', '[']) && token.ends_with([')', ']']) && (2..=6).contains(&inner.len())
}

/// `5.1.1`, `5.7.*`, `*.1.1`; None means any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusPattern {
    /// First number.
    pub class: Option<u8>,
    /// Second number.
    pub subject: Option<u16>,
    /// Third number.
    pub detail: Option<u16>,
}

impl StatusPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let class = part(parts.next()?)?;
        let pattern = Self {
            class: class.map(u8::try_from).transpose().ok()?,
            subject: part(parts.next()?)?,
            detail: part(parts.next()?)?,
        };
        let known = matches!(pattern.class, None | Some(2 | 4 | 5));
        (known && parts.next().is_none()).then_some(pattern)
    }

    /// Whether a code is one of those meant.
    pub fn holds(self, status: EnhancedStatus) -> bool {
        self.class.is_none_or(|c| c == status.class)
            && self.subject.is_none_or(|s| s == status.subject)
            && self.detail.is_none_or(|d| d == status.detail)
    }

    /// The code, when the pattern means exactly one.
    pub fn exact(self) -> Option<EnhancedStatus> {
        Some(EnhancedStatus::new(self.class?, self.subject?, self.detail?))
    }
}

/// One number or `*`.
fn part(text: &str) -> Option<Option<u16>> {
    if text == "*" { Some(None) } else { text.parse().ok().filter(|n| *n < 1000).map(Some) }
}

/// A sample line with its context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// The diagnostic.
    pub text: String,
    /// Remote-MTA.
    pub host: Option<String>,
    /// Status field.
    pub status: Option<EnhancedStatus>,
    /// Reply code that is given apart.
    pub code: Option<ReplyCode>,
    /// Provider, as if the table had said so.
    pub provider: Option<String>,
    /// Recipient domain.
    pub domain: Option<String>,
    /// Action of the report.
    pub action: Option<Action>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_patterns() {
        for (pattern, status, holds) in [
            ("5.1.1", "5.1.1", true),
            ("5.1.1", "4.1.1", false),
            ("5.7.*", "5.7.509", true),
            ("*.2.2", "4.2.2", true),
            ("*.2.2", "4.2.1", false),
        ] {
            let pattern = StatusPattern::parse(pattern).expect("a pattern");
            assert_eq!(pattern.holds(EnhancedStatus::parse(status).expect("a code")), holds);
        }
        for bad in ["", "5", "5.1", "5.1.1.1", "x.1.1", "3.1.1", "5.1.1000"] {
            assert_eq!(StatusPattern::parse(bad), None, "{bad}");
        }
    }
}
