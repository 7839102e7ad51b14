//! Finds the first rule in file order that holds, in one pass over the text.
//!
//! The longest piece of each rule is looked for (all of them at once, see [`MultiSearch`]) and names
//! candidates; all conditions are checked for candidates only, and only while they could still win.
//! Rules without text are found by their code. Nothing is allocated while matching.
//!
//! Promises: the lowest index wins, whatever the order in which candidates turn up (the same text
//! gives the same rule); a rule is never missed because of another one's text.

use std::collections::HashMap;

use memchr::memmem;

use super::rule::{Rule, When};
use crate::mail::{EnhancedStatus, MultiSearch, ReplyCode};
use crate::report::Action;

/// What is known of one refusal when the rules are asked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RefusalFacts<'a> {
    /// Folded text (`text::fold`).
    pub(super) text: &'a str,
    /// Provider of the closed table.
    pub(super) provider: Option<&'static str>,
    /// Host that refused.
    pub(super) remote_mta: &'a str,
    /// Host that reports.
    pub(super) reporting_mta: &'a str,
    /// Domain of the recipient.
    pub(super) domain: &'a str,
    /// Addresses that the mail was sent from.
    pub(super) senders: &'a [String],
    /// Action of the report.
    pub(super) action: Option<Action>,
    /// Reply code.
    pub(super) code: Option<ReplyCode>,
    /// Enhanced code in force.
    pub(super) status: Option<EnhancedStatus>,
    /// Enhanced code inside the text.
    pub(super) text_status: Option<EnhancedStatus>,
}

/// The prepared form of a list of rules.
#[derive(Debug)]
pub(super) struct Matcher {
    search: MultiSearch,
    /// The rule of each piece.
    owners: Vec<u32>,
    by_status: HashMap<EnhancedStatus, Vec<u32>>,
    by_code: HashMap<u16, Vec<u32>>,
    /// Rules without text whose code is a pattern, or that have none.
    rest: Vec<u32>,
}

impl Matcher {
    /// Prepares rules.
    pub(super) fn new(rules: &[Rule]) -> Self {
        // A piece that two rules share is here twice.
        let (mut pieces, mut owners) = (Vec::new(), Vec::new());
        let (mut by_status, mut by_code) = (HashMap::new(), HashMap::new());
        let mut rest = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let keys = keys_of(&rule.when);
            if keys.is_empty() {
                index_by_code(&rule.when, index, &mut by_status, &mut by_code, &mut rest);
            }
            for key in keys {
                pieces.push(key);
                owners.push(index);
            }
        }
        Self { search: MultiSearch::new(pieces), owners, by_status, by_code, rest }
    }

    /// Index of the first rule that holds, below `bound`; `with_codes` also asks rules that have
    /// no text.
    pub(super) fn first(
        &self,
        rules: &[Rule],
        facts: &RefusalFacts<'_>,
        with_codes: bool,
        bound: Option<usize>,
    ) -> Option<usize> {
        let mut best = bound.unwrap_or(usize::MAX);
        let mut found = false;
        let mut try_list = |list: &[u32], by_text: bool| {
            for index in list {
                let index = *index as usize;
                if index >= best {
                    break;
                }
                if rules.get(index).is_some_and(|rule| holds(&rule.when, facts, by_text)) {
                    best = index;
                    found = true;
                    break;
                }
            }
        };
        if with_codes {
            if let Some(list) = facts.status.and_then(|s| self.by_status.get(&s)) {
                try_list(list, false);
            }
            if let Some(list) = facts.text_status.and_then(|s| self.by_status.get(&s)) {
                try_list(list, false);
            }
            if let Some(list) = facts.code.and_then(|c| self.by_code.get(&c.value())) {
                try_list(list, false);
            }
            try_list(&self.rest, false);
        }
        self.search.find(facts.text.as_bytes(), |piece, _| {
            try_list(self.owners.get(piece..=piece).unwrap_or_default(), true);
        });
        found.then_some(best)
    }
}

/// The pieces under which a rule is looked for: its longest ordered piece, or each alternative.
fn keys_of(when: &When) -> Vec<&str> {
    match when.text.iter().max_by_key(|piece| piece.len()) {
        Some(piece) => vec![piece],
        None => when.any.iter().map(String::as_str).collect(),
    }
}

fn index_by_code(
    when: &When,
    index: u32,
    by_status: &mut HashMap<EnhancedStatus, Vec<u32>>,
    by_code: &mut HashMap<u16, Vec<u32>>,
    rest: &mut Vec<u32>,
) {
    let exact: Option<Vec<EnhancedStatus>> = when.status.iter().map(|p| p.exact()).collect();
    let codes: Option<Vec<u16>> =
        when.code.iter().map(|c| c.parse().ok().filter(|_| c.len() == 3)).collect();
    match (exact, codes) {
        (Some(list), _) if !list.is_empty() => {
            for status in list {
                by_status.entry(status).or_default().push(index);
            }
        }
        (_, Some(list)) if !list.is_empty() => {
            for code in list {
                by_code.entry(code).or_default().push(index);
            }
        }
        _ => rest.push(index),
    }
}

/// Whether all conditions hold; the cheap ones first. What made the rule a candidate (its longest
/// piece, or one of its alternatives) is not looked for again.
fn holds(when: &When, facts: &RefusalFacts<'_>, by_text: bool) -> bool {
    let one_piece = by_text && when.text.len() == 1;
    let alternative = by_text && when.text.is_empty();
    (when.code.is_empty() || when.code.iter().any(|code| code_holds(code, facts)))
        && (when.status.is_empty()
            || when.status.iter().any(|pattern| {
                facts.status.is_some_and(|s| pattern.holds(s))
                    || facts.text_status.is_some_and(|s| pattern.holds(s))
            }))
        && (when.provider.is_empty()
            || facts.provider.is_some_and(|p| when.provider.iter().any(|name| name == p)))
        && (when.action.is_empty() || facts.action.is_some_and(|a| when.action.contains(&a)))
        && (when.domain.is_empty() || when.domain.iter().any(|d| is_below(facts.domain, d)))
        && (when.host.is_empty() || when.host.iter().any(|host| host_holds(host, facts)))
        && (one_piece || in_order(&when.text, facts.text))
        && (when.any.is_empty()
            || alternative
            || when.any.iter().any(|piece| has(facts.text, piece)))
        && !when.not.iter().any(|piece| has(facts.text, piece))
}

fn has(text: &str, piece: &str) -> bool {
    memmem::find(text.as_bytes(), piece.as_bytes()).is_some()
}

fn in_order(pieces: &[String], text: &str) -> bool {
    let mut rest = text.as_bytes();
    for piece in pieces {
        let Some(at) = memmem::find(rest, piece.as_bytes()) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    true
}

/// The part of the text from the first piece to the end of the last.
pub(super) fn span<'t>(pieces: &[String], text: &'t str) -> Option<&'t str> {
    let (mut start, mut end) = (None, 0);
    for piece in pieces {
        let at = end + memmem::find(text.as_bytes().get(end..)?, piece.as_bytes())?;
        start = start.or(Some(at));
        end = at + piece.len();
    }
    text.get(start?..end)
}

fn code_holds(wanted: &str, facts: &RefusalFacts<'_>) -> bool {
    let Some(code) = facts.code else {
        let class = facts.status.or(facts.text_status).map(|s| s.class);
        return wanted.len() == 1 && class.is_some_and(|c| wanted.as_bytes() == [b'0' + c]);
    };
    let divisor = match wanted.len() {
        1 => 100,
        2 => 10,
        _ => 1,
    };
    wanted.parse() == Ok(code.value() / divisor)
}

/// `name` is `suffix` or a name below it.
fn is_below(name: &str, suffix: &str) -> bool {
    let Some(cut) = name.len().checked_sub(suffix.len()) else { return false };
    name.get(cut..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
        && (cut == 0 || name.as_bytes().get(cut - 1) == Some(&b'.'))
}

fn host_holds(host: &str, facts: &RefusalFacts<'_>) -> bool {
    if is_below(facts.remote_mta, host) || is_below(facts.reporting_mta, host) {
        return true;
    }
    let bytes = facts.text.as_bytes();
    memmem::find_iter(bytes, host.as_bytes()).any(|at| {
        let before = at.checked_sub(1).and_then(|i| bytes.get(i)).copied().unwrap_or(b' ');
        let after = bytes.get(at + host.len()).copied().unwrap_or(b' ');
        !before.is_ascii_alphanumeric()
            // An address of that domain is a recipient or a sender, not a host that speaks.
            && !matches!(before, b'-' | b'@')
            && !after.is_ascii_alphanumeric()
            && after != b'-'
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::rules_file::Loader;

    fn rules(source: &str) -> Vec<Rule> {
        let mut loader = Loader::new();
        loader.text("t.toml", source, false).expect("the rules of the test read");
        loader.rules
    }

    fn one(id: &str, when: &str) -> String {
        format!("[[rule]]\nid='{id}'\nwhen={{{when}}}\nreason='policy'\nseen=['x']\n")
    }

    #[test]
    fn each_condition_holds_and_fails() {
        let status = EnhancedStatus::parse;
        let base =
            RefusalFacts { text: " 550 5.1.1 no such user here ", ..RefusalFacts::default() };
        let coded = RefusalFacts { code: ReplyCode::new(550), status: status("5.1.1"), ..base };
        for (when, facts, expected) in [
            ("text=['no such','here']", base, true),
            // Order matters, and a piece is not used twice.
            ("text=['here','no such']", base, false),
            ("text=['no such','no such']", base, false),
            ("any=['nope','such user']", base, true),
            ("any=['nope']", base, false),
            ("text='user', any=['nope','here']", base, true),
            ("text='user', not='here'", base, false),
            ("code='550'", coded, true),
            ("code='5'", coded, true),
            ("code='55', text='user'", coded, true),
            ("code='4', text='user'", coded, false),
            ("code='5', text='user'", RefusalFacts { status: status("5.1.1"), ..base }, true),
            ("code='550', text='user'", RefusalFacts { status: status("5.1.1"), ..base }, false),
            ("status='5.1.1'", coded, true),
            ("status='5.1.*'", coded, true),
            ("status='5.2.*'", coded, false),
            ("provider='google'", RefusalFacts { provider: Some("google"), ..base }, true),
            ("provider='google'", base, false),
            ("domain='example.com'", RefusalFacts { domain: "a.example.com", ..base }, true),
            ("domain='example.com'", RefusalFacts { domain: "badexample.com", ..base }, false),
            ("action='failed'", RefusalFacts { action: Some(Action::Failed), ..base }, true),
            ("host='example.com'", RefusalFacts { remote_mta: "MX.Example.com", ..base }, true),
            (
                "host='example.com'",
                RefusalFacts { text: " host mx.example.com said: ", ..base },
                true,
            ),
            (
                "host='example.com'",
                RefusalFacts { text: " host mx.example.com.test ", ..base },
                true,
            ),
            (
                "host='example.com'",
                RefusalFacts { text: " <user@example.com> unknown ", ..base },
                false,
            ),
        ] {
            let rules = rules(&one("a", when));
            let matcher = Matcher::new(&rules);
            assert_eq!(matcher.first(&rules, &facts, true, None).is_some(), expected, "{when}");
        }
    }

    #[test]
    fn the_first_in_file_order_wins() {
        let text = [
            one("later-word", "text='here'"),
            one("code", "status='5.1.1'"),
            one("overlap", "text='such user'"),
            one("inner", "text='user'"),
        ]
        .concat();
        let rules = rules(&text);
        let matcher = Matcher::new(&rules);
        let mut facts = RefusalFacts { text: " no such user here ", ..RefusalFacts::default() };
        let id = |facts: &RefusalFacts<'_>, codes, bound| {
            matcher.first(&rules, facts, codes, bound).map(|i| rules[i].id.clone())
        };
        assert_eq!(id(&facts, true, None).as_deref(), Some("later-word"));
        facts.text = " such user ";
        assert_eq!(id(&facts, true, None).as_deref(), Some("overlap"));
        facts.status = EnhancedStatus::parse("5.1.1");
        assert_eq!(id(&facts, true, None).as_deref(), Some("code"));
        assert_eq!(id(&facts, false, None).as_deref(), Some("overlap"));
        assert_eq!(id(&facts, false, Some(2)), None);
    }
}
