//! Which role in which state means which reason: `table.toml`, where the first row that holds wins.

use serde::Deserialize;
use toml::Spanned;

use super::parts::{Beside, Pair, Said, UNNAMED};
use crate::classify::rule::StatusPattern;
use crate::classify::verdict::{Category, Reason};
use crate::mail::{MultiSearch, ReplyCode};

/// The composition.
#[derive(Debug)]
pub(super) struct MeaningTable {
    roles: Vec<String>,
    states: Vec<String>,
    /// What two roles side by side are; index is left * roles + right.
    compounds: Vec<Option<u8>>,
    /// Phrases that name a stage, what each makes of a hard reason.
    stages: MultiSearch,
    at_stage: Vec<Reason>,
    own: Vec<u8>,
    mailbox: Vec<u8>,
    by_name: Vec<u8>,
    /// States that make a hard reason a doubtful one.
    doubts: Vec<u8>,
    /// Roles beside which a row does not hold.
    asked_for: Vec<u8>,
    checked: Vec<u8>,
    us: Vec<u8>,
    message: Vec<u8>,
    refusals: Vec<u8>,
    topics: Vec<u8>,
    /// What a role is when it is quoted; index is the role.
    holders: Vec<Option<u8>>,
    names_given: Vec<u8>,
    /// What a role is when it is yours; index is the role.
    yours: Vec<Option<u8>>,
    rows: Vec<MeaningRow>,
    /// Rows of each pair in order; index is role * states + state.
    by_pair: Vec<Vec<u16>>,
    /// Whether a row of the pair is hard, or counts, by the same index.
    costs: Vec<bool>,
    /// Rule id of each pair, by the same index.
    names: Vec<String>,
}

/// One row.
#[derive(Debug)]
pub(super) struct MeaningRow {
    pub(super) reason: Reason,
    /// Says so little that a code or the human part may say more.
    pub(super) vague: bool,
    /// Meant, not said.
    pub(super) inferred: bool,
    /// An enhanced code beside it names what the words do not.
    pub(super) by_status: bool,
    /// File and line.
    pub(super) at: String,
    status: Vec<StatusPattern>,
    code: Vec<CodeStart>,
    /// States that, said of anybody in the same text, keep the row from holding.
    unless: Vec<u8>,
    beside: Vec<u8>,
    /// Holds only when nobody is named.
    alone: bool,
    /// At most so many words are not understood.
    rest: Option<usize>,
}

/// The first digits of reply codes.
#[derive(Debug, Clone, Copy)]
struct CodeStart {
    number: u16,
    divisor: u16,
}

impl CodeStart {
    fn parse(text: &str) -> Option<Self> {
        let divisor = match text.len() {
            1 => 100,
            2 => 10,
            3 => 1,
            _ => return None,
        };
        Some(Self { number: text.parse().ok()?, divisor })
    }

    fn holds(self, code: ReplyCode) -> bool {
        code.value() / self.divisor == self.number
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MeaningFile {
    roles: Vec<String>,
    states: Vec<String>,
    compound: Vec<RawCompound>,
    stage: Vec<Stage>,
    says: Vec<Spanned<RawRow>>,
    /// Roles that a refusal before a colon stays with.
    own: Vec<String>,
    /// Roles that mean the recipient.
    mailbox: Vec<String>,
    /// Roles that a name beside them tells whose they are.
    by_name: Vec<String>,
    /// Those of them that are the sender's when they are not the recipient's.
    checked: Vec<String>,
    /// States of which any, said of anybody, makes a hard reason a doubtful one.
    doubt: Vec<String>,
    /// Roles of the sending side.
    us: Vec<String>,
    /// Roles of the message and what may stop it.
    message: Vec<String>,
    /// Roles that stay meant after a colon, though nothing was said of them yet.
    topic: Vec<String>,
    /// Roles that have names, and a name may be anything.
    named: Vec<String>,
    yours: Vec<Turn>,
    holds: Vec<Turn>,
}

/// What becomes of a role.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    of: Vec<String>,
    is: String,
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
    beside: Vec<String>,
    #[serde(default)]
    alone: bool,
    rest: Option<usize>,
}

/// A phrase that names the step of the dialog at which the refusal came. Before the recipient was
/// named, nothing can be said of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stage {
    words: Vec<String>,
    hard: String,
}

impl MeaningTable {
    /// Reads the table.
    pub(super) fn read(source: &str) -> Result<Self, String> {
        let file: MeaningFile = toml::from_str(source).map_err(|e| format!("table.toml: {e}"))?;
        let mut table = Self {
            by_pair: vec![Vec::new(); file.roles.len() * file.states.len()],
            costs: vec![false; file.roles.len() * file.states.len()],
            compounds: vec![None; file.roles.len() * file.roles.len()],
            roles: file.roles,
            states: file.states,
            stages: MultiSearch::new([""; 0]),
            at_stage: Vec::new(),
            names: Vec::new(),
            own: Vec::new(),
            mailbox: Vec::new(),
            by_name: Vec::new(),
            doubts: Vec::new(),
            asked_for: Vec::new(),
            checked: Vec::new(),
            us: Vec::new(),
            message: Vec::new(),
            refusals: Vec::new(),
            topics: Vec::new(),
            holders: Vec::new(),
            names_given: Vec::new(),
            yours: Vec::new(),
            rows: Vec::new(),
        };
        let ids = |role: &String| {
            let id = |state: &String| format!("says/{role}/{state}");
            table.states.iter().map(id).collect::<Vec<_>>()
        };
        table.names = table.roles.iter().flat_map(ids).collect();
        table.own = file.own.iter().filter_map(|role| table.role(role)).collect();
        table.mailbox = file.mailbox.iter().filter_map(|role| table.role(role)).collect();
        table.by_name = file.by_name.iter().filter_map(|role| table.role(role)).collect();
        table.doubts = file.doubt.iter().filter_map(|state| table.state(state)).collect();
        table.checked = file.checked.iter().filter_map(|role| table.role(role)).collect();
        table.us = file.us.iter().filter_map(|role| table.role(role)).collect();
        table.message = file.message.iter().filter_map(|role| table.role(role)).collect();
        table.topics = file.topic.iter().filter_map(|role| table.role(role)).collect();
        table.names_given = file.named.iter().filter_map(|role| table.role(role)).collect();
        table.yours = table.turned(&file.yours)?;
        table.holders = table.turned(&file.holds)?;
        table.refusals = ["refused", "denied", "failed", "barred"]
            .iter()
            .filter_map(|s| table.state(s))
            .collect();
        let mut phrases = Vec::new();
        for stage in file.stage {
            let reason = Reason::parse(&stage.hard).ok_or("table.toml: a stage without reason")?;
            phrases.extend(stage.words.iter().map(|words| format!(" {words} ")));
            table.at_stage.resize(phrases.len(), reason);
        }
        table.stages = MultiSearch::new(phrases);
        let missing = |what: &str, word: &str| format!("table.toml: {what} `{word}` is not listed");
        let mut ordered = Vec::new();
        for compound in &file.compound {
            let is = table.role(&compound.is).ok_or_else(|| missing("role", &compound.is))?;
            for of in &compound.of {
                for with in &compound.with {
                    let of = table.role(of).ok_or_else(|| missing("role", of))?;
                    let with = table.role(with).ok_or_else(|| missing("role", with))?;
                    ordered.push((of, with, is));
                }
            }
        }
        // As written before the other way round, the first before the later ones.
        let turned: Vec<_> = ordered.iter().map(|(of, with, is)| (*with, *of, *is)).collect();
        for (left, right, is) in ordered.into_iter().chain(turned) {
            let index = table.couple(left, right);
            if let Some(slot) = table.compounds.get_mut(index) {
                slot.get_or_insert(is);
            }
        }
        for raw in file.says {
            let before = source.get(..raw.span().start).unwrap_or_default();
            table.add(raw.into_inner(), 1 + before.matches('\n').count())?;
        }
        table.asked_for = table.rows.iter().flat_map(|row| row.beside.clone()).collect();
        table.asked_for.sort_unstable();
        table.asked_for.dedup();
        Ok(table)
    }

    /// What becomes of each role.
    fn turned(&self, rows: &[Turn]) -> Result<Vec<Option<u8>>, String> {
        let role = |name: &String| {
            self.role(name).ok_or_else(|| format!("table.toml: role `{name}` is not listed"))
        };
        let mut becomes = vec![None; self.roles.len()];
        for row in rows {
            let is = role(&row.is)?;
            for of in &row.of {
                if let Some(slot) = becomes.get_mut(usize::from(role(of)?)) {
                    *slot = Some(is);
                }
            }
        }
        Ok(becomes)
    }

    fn add(&mut self, raw: RawRow, line: usize) -> Result<(), String> {
        let at = u16::try_from(self.rows.len()).map_err(|e| e.to_string())?;
        let bad = |what: &str| format!("table.toml: `{what}` is not known");
        let reason = Reason::parse(&raw.reason).ok_or_else(|| bad(&raw.reason))?;
        let costs = reason.category() == Category::Hard || reason == Reason::MailboxFull;
        for role in &raw.role {
            for state in &raw.state {
                let (Some(role), Some(state)) = (self.role(role), self.state(state)) else {
                    return Err(format!("table.toml: `{role}/{state}` is not listed"));
                };
                let index = self.index((role, state));
                if let Some(rows) = self.by_pair.get_mut(index) {
                    rows.push(at);
                }
                if let Some(slot) = self.costs.get_mut(index) {
                    *slot |= costs;
                }
            }
        }
        let status: Option<Vec<_>> = raw.status.iter().map(|s| StatusPattern::parse(s)).collect();
        let code: Option<Vec<_>> = raw.code.iter().map(|s| CodeStart::parse(s)).collect();
        let row = MeaningRow {
            reason,
            vague: raw.vague,
            inferred: raw.inferred,
            by_status: !raw.status.is_empty(),
            at: format!("table.toml:{line}"),
            status: status.ok_or_else(|| bad(&raw.status.join(" ")))?,
            code: code.ok_or_else(|| bad(&raw.code.join(" ")))?,
            unless: raw.unless.iter().filter_map(|state| self.state(state)).collect(),
            beside: raw.beside.iter().filter_map(|role| self.role(role)).collect(),
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

    /// The rule id of a pair: `says/recipient/absent`.
    pub(super) fn name(&self, pair: Pair) -> &str {
        self.names.get(self.index(pair)).map_or("", String::as_str)
    }

    /// What two roles side by side are (`sender` `mailbox` is a sender).
    pub(super) fn compound(&self, left: u8, right: u8) -> Option<u8> {
        self.compounds.get(self.couple(left, right)).copied().flatten()
    }

    fn couple(&self, left: u8, right: u8) -> usize {
        usize::from(left) * self.roles.len() + usize::from(right)
    }

    /// Somebody else than the recipient was refused.
    pub(super) fn is_own(&self, (role, state): Pair) -> bool {
        self.own.contains(&role) && self.refusals.contains(&state)
    }

    /// What a role is when it is yours.
    pub(super) fn yours(&self, role: u8) -> Option<u8> {
        self.yours.get(usize::from(role)).copied().flatten()
    }

    /// The sender or his domain.
    pub(super) fn is_sender(&self, role: u8) -> bool {
        self.is_topic(role) && self.is_us(role)
    }

    /// Whether a pair may cost the recipient his address.
    pub(super) fn may_cost(&self, pair: Pair) -> bool {
        self.costs.get(self.index(pair)).copied().unwrap_or_default()
    }

    /// Whether the state may cost anybody his address.
    pub(super) fn is_grave(&self, state: u8) -> bool {
        self.costs.chunks(self.states.len()).any(|of| of.get(usize::from(state)) == Some(&true))
    }

    /// The role stays meant after a colon.
    pub(super) fn is_topic(&self, role: u8) -> bool {
        self.topics.contains(&role)
    }

    /// Of which role that is said which this one quotes.
    pub(super) fn holder(&self, role: u8) -> Option<u8> {
        self.holders.get(usize::from(role)).copied().flatten()
    }

    /// What is right after the role may be its name.
    pub(super) fn has_name(&self, role: u8) -> bool {
        self.names_given.contains(&role)
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
        let mut first = usize::MAX;
        self.stages.find(text.as_bytes(), |phrase, _| first = first.min(phrase));
        self.at_stage.get(first).copied()
    }

    /// Whether any row speaks of the pair.
    pub(super) fn fits(&self, pair: Pair) -> bool {
        self.by_pair.get(self.index(pair)).is_some_and(|rows| !rows.is_empty())
    }

    /// Whether a row asks for the role's being named.
    pub(super) fn is_asked_for(&self, role: u8) -> bool {
        self.asked_for.contains(&role)
    }

    /// A hard reason is doubtful when this is said of anybody.
    pub(super) fn is_doubt(&self, state: u8) -> bool {
        self.doubts.contains(&state)
    }

    /// Whose the role is, a name beside it says.
    pub(super) fn is_by_name(&self, role: u8) -> bool {
        self.by_name.contains(&role)
    }

    /// The first row of a pair that holds beside these codes and words. `elsewhere`: a name says that
    /// it is not the recipient's.
    pub(super) fn first(
        &self,
        pair: Pair,
        beside: &Beside<'_>,
        said: &[Said],
        (rest, elsewhere): (usize, bool),
    ) -> Option<usize> {
        let Beside { status, code, .. } = *beside;
        let has = |state: u8| said.iter().any(|one| !one.aside && one.pair.1 == state);
        let named = || said.iter().any(|one| one.pair.0 != UNNAMED);
        let checked = self.checked.contains(&pair.0);
        let rows = self.by_pair.get(self.index(pair))?;
        rows.iter().map(|n| usize::from(*n)).find(|n| {
            self.rows.get(*n).is_some_and(|row| {
                let by_status = || status.is_some_and(|s| row.status.iter().any(|p| p.holds(s)));
                let by_code = || code.is_some_and(|c| row.code.iter().any(|one| one.holds(c)));
                ((row.status.is_empty() && row.code.is_empty()) || by_status() || by_code())
                    && !row.unless.iter().any(|state| has(*state))
                    && !row.beside.iter().any(|role| said.iter().any(|one| one.pair.0 == *role))
                    && !(row.alone && named())
                    && !(elsewhere && row.reason.category() == Category::Hard && checked)
                    && row.rest.is_none_or(|most| rest <= most)
            })
        })
    }

    /// A row.
    pub(super) fn row(&self, at: usize) -> Option<&MeaningRow> {
        self.rows.get(at)
    }
}
