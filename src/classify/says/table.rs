//! Which role in which state means which reason: `table.toml`, where the first row that holds wins.

use serde::Deserialize;
use toml::Spanned;

use super::sentence::Said;
use crate::classify::rule::StatusPattern;
use crate::classify::verdict::Reason;
use crate::mail::{EnhancedStatus, ReplyCode};

/// A role and a state, by their places in the table's lists.
pub(super) type Pair = (u8, u8);

/// The composition.
#[derive(Debug)]
pub(super) struct Table {
    roles: Vec<String>,
    states: Vec<String>,
    compounds: Vec<(Pair, u8)>,
    stages: Vec<(Vec<String>, Reason)>,
    own: Vec<u8>,
    mailbox: Vec<u8>,
    us: Vec<u8>,
    message: Vec<u8>,
    refusals: Vec<u8>,
    rows: Vec<Row>,
    /// Rows of each pair in order; index is role * states + state.
    by_pair: Vec<Vec<u16>>,
}

/// One row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) reason: Reason,
    /// Says so little that a code or the human part may say more.
    pub(super) vague: bool,
    /// Meant, not said.
    pub(super) inferred: bool,
    /// An enhanced code beside it names what the words do not.
    pub(super) by_status: bool,
    /// Its line in the table.
    pub(super) line: usize,
    status: Vec<StatusPattern>,
    code: Vec<String>,
    /// States that, said of anybody in the same text, keep the row from holding.
    unless: Vec<u8>,
    /// Holds only when nobody is named.
    alone: bool,
    /// At most so many words are not understood.
    rest: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    roles: Vec<String>,
    states: Vec<String>,
    compound: Vec<RawCompound>,
    stage: Vec<Stage>,
    says: Vec<Spanned<RawRow>>,
    /// Roles that a refusal before a colon stays with.
    own: Vec<String>,
    /// Roles that stand for the recipient.
    mailbox: Vec<String>,
    /// Roles of the sending side.
    us: Vec<String>,
    /// Roles of the message and what may stop it.
    message: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCompound {
    of: Vec<String>,
    with: Vec<String>,
    is: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    role: Vec<String>,
    state: Vec<String>,
    reason: String,
    #[serde(default)]
    vague: bool,
    #[serde(default)]
    inferred: bool,
    #[serde(default)]
    status: Vec<String>,
    #[serde(default)]
    code: Vec<String>,
    #[serde(default)]
    unless: Vec<String>,
    #[serde(default)]
    alone: bool,
    rest: Option<usize>,
}

/// The role that nothing names.
pub(super) const UNNAMED: u8 = 0;
/// The state of a role of which nothing is said.
pub(super) const NAMED: u8 = 0;

/// A phrase that names the step of the dialog at which the refusal came. Before the recipient was
/// named, nothing can be said of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stage {
    words: Vec<String>,
    hard: String,
}

impl Table {
    /// Reads the table.
    pub(super) fn read(source: &str) -> Result<Self, String> {
        let file: File = toml::from_str(source).map_err(|e| format!("table.toml: {e}"))?;
        let mut table = Self {
            by_pair: vec![Vec::new(); file.roles.len() * file.states.len()],
            roles: file.roles,
            states: file.states,
            compounds: Vec::new(),
            stages: Vec::new(),
            own: Vec::new(),
            mailbox: Vec::new(),
            us: Vec::new(),
            message: Vec::new(),
            refusals: Vec::new(),
            rows: Vec::new(),
        };
        table.own = file.own.iter().filter_map(|role| table.role(role)).collect();
        table.mailbox = file.mailbox.iter().filter_map(|role| table.role(role)).collect();
        table.us = file.us.iter().filter_map(|role| table.role(role)).collect();
        table.message = file.message.iter().filter_map(|role| table.role(role)).collect();
        table.refusals = ["refused", "denied", "failed", "barred"]
            .iter()
            .filter_map(|s| table.state(s))
            .collect();
        for stage in file.stage {
            let reason = Reason::parse(&stage.hard).ok_or("table.toml: a stage without reason")?;
            let words = stage.words.iter().map(|words| format!(" {words} ")).collect();
            table.stages.push((words, reason));
        }
        let missing = |what: &str, word: &str| format!("table.toml: {what} `{word}` is not listed");
        for compound in &file.compound {
            let is = table.role(&compound.is).ok_or_else(|| missing("role", &compound.is))?;
            for of in &compound.of {
                for with in &compound.with {
                    let of = table.role(of).ok_or_else(|| missing("role", of))?;
                    let with = table.role(with).ok_or_else(|| missing("role", with))?;
                    table.compounds.push(((of, with), is));
                }
            }
        }
        for raw in file.says {
            let before = source.get(..raw.span().start).unwrap_or_default();
            table.add(raw.into_inner(), 1 + before.matches('\n').count())?;
        }
        Ok(table)
    }

    fn add(&mut self, raw: RawRow, line: usize) -> Result<(), String> {
        let at = u16::try_from(self.rows.len()).map_err(|e| e.to_string())?;
        for role in &raw.role {
            for state in &raw.state {
                let (Some(role), Some(state)) = (self.role(role), self.state(state)) else {
                    return Err(format!("table.toml: `{role}/{state}` is not listed"));
                };
                let index = self.index((role, state));
                if let Some(rows) = self.by_pair.get_mut(index) {
                    rows.push(at);
                }
            }
        }
        let bad = |what: &str| format!("table.toml: `{what}` is not known");
        let status: Option<Vec<_>> = raw.status.iter().map(|s| StatusPattern::parse(s)).collect();
        let row = Row {
            reason: Reason::parse(&raw.reason).ok_or_else(|| bad(&raw.reason))?,
            vague: raw.vague,
            inferred: raw.inferred,
            by_status: !raw.status.is_empty(),
            line,
            status: status.ok_or_else(|| bad(&raw.status.join(" ")))?,
            code: raw.code,
            unless: raw.unless.iter().filter_map(|state| self.state(state)).collect(),
            alone: raw.alone,
            rest: raw.rest,
        };
        self.rows.push(row);
        Ok(())
    }

    fn index(&self, (role, state): Pair) -> usize {
        usize::from(role) * self.states.len() + usize::from(state)
    }

    /// Number of a role.
    pub(super) fn role(&self, name: &str) -> Option<u8> {
        self.roles.iter().position(|role| role == name).and_then(|n| u8::try_from(n).ok())
    }

    /// Number of a state.
    pub(super) fn state(&self, name: &str) -> Option<u8> {
        self.states.iter().position(|state| state == name).and_then(|n| u8::try_from(n).ok())
    }

    /// `recipient/absent`.
    pub(super) fn pair(&self, name: &str) -> Option<Pair> {
        let (role, state) = name.split_once('/')?;
        Some((self.role(role)?, self.state(state)?))
    }

    /// The pair in words.
    pub(super) fn name(&self, (role, state): Pair) -> String {
        let word = |list: &[String], n: u8| list.get(usize::from(n)).cloned().unwrap_or_default();
        format!("{}/{}", word(&self.roles, role), word(&self.states, state))
    }

    /// What two roles side by side are (`sender` `mailbox` is a sender).
    pub(super) fn compound(&self, left: u8, right: u8) -> Option<u8> {
        let known = |(l, r): (u8, u8)| {
            self.compounds.iter().find(|(pair, _)| *pair == (l, r)).map(|(_, is)| *is)
        };
        known((left, right)).or_else(|| known((right, left)))
    }

    /// Somebody else than the recipient was refused.
    pub(super) fn is_own(&self, (role, state): Pair) -> bool {
        self.own.contains(&role) && self.refusals.contains(&state)
    }

    /// The role is the message, or what may stop it.
    pub(super) fn is_of_message(&self, role: u8) -> bool {
        self.message.contains(&role)
    }

    /// The role is the sending side.
    pub(super) fn is_us(&self, role: u8) -> bool {
        self.us.contains(&role)
    }

    /// The role is the recipient, or may be meant for it.
    pub(super) fn is_about_recipient(&self, role: u8) -> bool {
        self.mailbox.contains(&role)
    }

    /// What a hard reason means when the text says that the recipient had not been named yet.
    pub(super) fn before_recipient(&self, text: &str) -> Option<Reason> {
        let named = |words: &Vec<String>| words.iter().any(|words| text.contains(words.as_str()));
        self.stages.iter().find(|(words, _)| named(words)).map(|(_, reason)| *reason)
    }

    /// Whether any row speaks of the pair.
    pub(super) fn fits(&self, pair: Pair) -> bool {
        self.by_pair.get(self.index(pair)).is_some_and(|rows| !rows.is_empty())
    }

    /// The first row of a pair that holds beside these codes.
    pub(super) fn first(
        &self,
        pair: Pair,
        status: Option<EnhancedStatus>,
        code: Option<ReplyCode>,
        said: &[Said],
        rest: usize,
    ) -> Option<usize> {
        let has = |state: u8| said.iter().any(|one| !one.aside && one.pair.1 == state);
        let named = || said.iter().any(|one| one.pair.0 != UNNAMED);
        let rows = self.by_pair.get(self.index(pair))?;
        rows.iter().map(|n| usize::from(*n)).find(|n| {
            self.rows.get(*n).is_some_and(|row| {
                let by_status = status.is_some_and(|s| row.status.iter().any(|p| p.holds(s)));
                let by_code = code.is_some_and(|c| {
                    let code = c.to_string();
                    row.code.iter().any(|begin| code.starts_with(begin.as_str()))
                });
                ((row.status.is_empty() && row.code.is_empty()) || by_status || by_code)
                    && !row.unless.iter().any(|state| has(*state))
                    && !(row.alone && named())
                    && row.rest.is_none_or(|most| rest <= most)
            })
        })
    }

    /// A row.
    pub(super) fn row(&self, at: usize) -> Option<&Row> {
        self.rows.get(at)
    }
}
