//! How rules files are read: TOML into checked [`Rule`]s, each with its file and line, and the digest
//! that names them all. Errors say the place and what to write instead. The keys are explained in
//! `rule.rs`.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::Spanned;

use super::provider;
use super::rule::{Rule, RuleError, Sample, StatusPattern, When};
use super::text::fold_piece;
use super::verdict::Reason;
use crate::mail::{EnhancedStatus, ReplyCode};
use crate::report::Action;

/// Largest rules file that is read, in octets.
pub const MAX_FILE_OCTETS: u64 = 4 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    vague: bool,
    #[serde(default)]
    after_words: bool,
    #[serde(default)]
    marked: bool,
    #[serde(default)]
    yields: bool,
    #[serde(default)]
    rule: Vec<Spanned<RawRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: String,
    when: RawWhen,
    reason: String,
    #[serde(default)]
    seen: Vec<RawSample>,
    #[serde(default)]
    not_seen: Vec<RawSample>,
    #[serde(default)]
    source: String,
    #[serde(default)]
    despite: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawWhen {
    provider: OneOrMany,
    host: OneOrMany,
    domain: OneOrMany,
    action: OneOrMany,
    code: OneOrMany,
    status: OneOrMany,
    text: OneOrMany,
    any: OneOrMany,
    not: OneOrMany,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawSample {
    Text(String),
    Table(RawContext),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawContext {
    text: String,
    host: Option<String>,
    status: Option<String>,
    code: Option<u16>,
    provider: Option<String>,
    domain: Option<String>,
    action: Option<String>,
}

/// The rules of a text in file form, and the hash input that versions them.
pub(super) struct Loader {
    pub(super) rules: Vec<Rule>,
    hash: Sha256,
}

impl Loader {
    pub(super) fn new() -> Self {
        Self { rules: Vec::new(), hash: Sha256::new() }
    }

    /// Reads every `*.toml` of an operator directory, in name order. A directory that is not there
    /// is an error: a mistyped path would silently drop the operator's rules.
    pub(super) fn directory(&mut self, dir: &Path) -> Result<(), RuleError> {
        let failed = |what: std::io::Error| RuleError {
            at: dir.display().to_string(),
            what: format!(
                "cannot read the rules directory: {what}; create it or change [rules] dir"
            ),
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|e| e == "toml") {
                files.push(path);
            }
        }
        files.sort();
        for path in files {
            let name = path.display().to_string();
            let error = |what: String| RuleError { at: name.clone(), what };
            let size = std::fs::metadata(&path).map_err(|e| error(e.to_string()))?.len();
            if size > MAX_FILE_OCTETS {
                return Err(error(format!(
                    "a rules file has at most {MAX_FILE_OCTETS} octets, this one has {size}; split it"
                )));
            }
            let source = std::fs::read_to_string(&path)
                .map_err(|e| error(format!("cannot be read as UTF-8 text: {e}")))?;
            self.text(&name, &source, true)?;
        }
        Ok(())
    }

    /// Reads one file.
    pub(super) fn text(
        &mut self,
        file: &str,
        source: &str,
        operator: bool,
    ) -> Result<(), RuleError> {
        self.hash.update(file.rsplit('/').next().unwrap_or(file));
        self.hash.update([0]);
        self.hash.update(source);
        self.hash.update([0]);
        let raw: RawFile = toml::from_str(source).map_err(|e| RuleError {
            at: format!("{file}:{}", e.span().map_or(1, |s| line_of(source, s.start))),
            what: e.message().trim().replace('\n', "; "),
        })?;
        let (mut line, mut counted) = (1, 0);
        for spanned in raw.rule {
            let start = spanned.span().start;
            line += newlines(source, counted, start);
            counted = start;
            let at = format!("{file}:{line}");
            let rule = check(spanned.into_inner(), &at).map_err(|what| RuleError { at, what })?;
            let yields = !operator
                && rule.despite.is_empty()
                && (raw.yields || (raw.marked && rule.when.is_mark()));
            let unmarked = raw.marked && !rule.when.carries_mark();
            let code = raw.after_words;
            self.rules.push(Rule { vague: raw.vague, code, yields, unmarked, operator, ..rule });
        }
        Ok(())
    }

    /// Makes a text that is no rules file a part of the digest.
    pub(super) fn name(&mut self, source: &str) {
        self.hash.update(source);
        self.hash.update([0]);
    }

    /// Twelve hex digits that name exactly these rules; records carry them.
    pub(super) fn digest(&self) -> Arc<str> {
        let sum = self.hash.clone().finalize();
        data_encoding::HEXLOWER.encode(sum.get(..6).unwrap_or_default()).into()
    }
}

fn line_of(source: &str, octet: usize) -> usize {
    1 + newlines(source, 0, octet)
}

fn newlines(source: &str, from: usize, to: usize) -> usize {
    source.as_bytes().get(from..to).map_or(0, |b| b.iter().filter(|b| **b == b'\n').count())
}

fn check(raw: RawRule, at: &str) -> Result<Rule, String> {
    let id = raw.id;
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-./*".contains(&b);
    if id.is_empty() || id.len() > 64 || !id.bytes().all(good) {
        return Err(format!("id `{id}`: write 1 to 64 of a-z, 0-9, `-`, `.`, `/`"));
    }
    let reason = Reason::parse(&raw.reason).ok_or_else(|| unknown_reason(&raw.reason))?;
    let when = conditions(raw.when).map_err(|what| format!("rule {id}: {what}"))?;
    if raw.seen.is_empty() {
        return Err(format!("rule {id}: no `seen` line; add one real text that this rule is for"));
    }
    let samples = |raw: Vec<RawSample>| -> Result<Vec<Sample>, String> {
        raw.into_iter()
            .map(|s| sample(s, &when).map_err(|what| format!("rule {id}: {what}")))
            .collect()
    };
    let (seen, not_seen) = (samples(raw.seen)?, samples(raw.not_seen)?);
    let at = at.to_string();
    Ok(Rule {
        id,
        when,
        reason,
        seen,
        not_seen,
        source: raw.source,
        despite: raw.despite,
        at,
        unmarked: false,
        vague: false,
        code: false,
        yields: false,
        operator: false,
    })
}

fn unknown_reason(word: &str) -> String {
    let all: Vec<&str> = Reason::ALL.iter().map(|r| r.as_str()).collect();
    format!("reason `{word}` is not known; write one of: {}", all.join(", "))
}

fn conditions(raw: RawWhen) -> Result<When, String> {
    let lower = |many: OneOrMany| -> Vec<String> {
        many.into_vec().into_iter().map(|s| s.trim_matches('.').to_ascii_lowercase()).collect()
    };
    let pieces = |many: OneOrMany| -> Result<Vec<String>, String> {
        many.into_vec()
            .iter()
            .map(|piece| {
                let folded = fold_piece(piece);
                if folded.trim().is_empty() {
                    return Err("an empty piece of text would match everything".to_string());
                }
                Ok(folded)
            })
            .collect()
    };
    let when = When {
        provider: lower(raw.provider),
        host: lower(raw.host),
        domain: lower(raw.domain),
        action: raw.action.into_vec().iter().map(|a| action(a)).collect::<Result<_, _>>()?,
        code: raw.code.into_vec(),
        status: raw.status.into_vec().iter().map(|s| status(s)).collect::<Result<_, _>>()?,
        text: pieces(raw.text)?,
        any: pieces(raw.any)?,
        not: pieces(raw.not)?,
    };
    if let Some(name) = when.provider.iter().find(|name| !provider::is_provider(name)) {
        return Err(format!("provider `{name}` is not in providers.toml; use `host` instead"));
    }
    if let Some(code) = when.code.iter().find(|c| !is_code(c)) {
        return Err(format!("code `{code}`: write `550`, or its first digits `55` or `5`"));
    }
    let bare = When { not: when.not.clone(), ..When::default() };
    if when == bare {
        return Err("`when` has no condition that can hold; add text, status or code".to_string());
    }
    Ok(when)
}

fn is_code(code: &str) -> bool {
    (1..=3).contains(&code.len())
        && code.starts_with(['4', '5'])
        && code.bytes().all(|b| b.is_ascii_digit())
}

fn action(word: &str) -> Result<Action, String> {
    Action::parse(word).ok_or_else(|| format!("action `{word}`: write `failed` or `delayed`"))
}

fn status(text: &str) -> Result<StatusPattern, String> {
    StatusPattern::parse(text)
        .ok_or_else(|| format!("status `{text}`: write three numbers such as `5.1.1` or `5.7.*`"))
}

fn sample(raw: RawSample, when: &When) -> Result<Sample, String> {
    let raw = match raw {
        RawSample::Text(text) => {
            return Ok(Sample {
                text,
                host: when.host.first().cloned(),
                provider: when.provider.first().cloned(),
                domain: when.domain.first().cloned(),
                action: when.action.first().copied(),
                ..Sample::default()
            });
        }
        RawSample::Table(context) => context,
    };
    let field = match raw.status {
        None => None,
        Some(text) => {
            Some(EnhancedStatus::parse(&text).ok_or(format!("sample status `{text}` is no code"))?)
        }
    };
    Ok(Sample {
        text: raw.text,
        host: raw.host,
        status: field,
        code: raw.code.and_then(ReplyCode::new),
        provider: raw.provider,
        domain: raw.domain,
        action: raw.action.as_deref().map(action).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Result<Vec<Rule>, String> {
        let mut loader = Loader::new();
        loader.text("t.toml", source, false).map_err(|e| e.to_string())?;
        Ok(loader.rules)
    }

    #[test]
    fn errors_name_the_place_and_the_remedy() {
        for (source, expected) in [
            ("[[rule]]\nid='a'\nwhen={text='x'}\nreason='policy'\n", "t.toml:1: rule a: no `seen`"),
            (
                "\n\n[[rule]]\nid='a'\nwhen={text='x'}\nreason='bad'\nseen=['x']\n",
                "t.toml:3: reason `bad` is not known; write one of: user-unknown",
            ),
            (
                "[[rule]]\nid='A b'\nwhen={text='x'}\nreason='policy'\nseen=['x']\n",
                "t.toml:1: id `A b`",
            ),
            (
                "[[rule]]\nid='a'\nwhen={txt='x'}\nreason='policy'\nseen=['x']\n",
                "t.toml:3: unknown field `txt`",
            ),
            ("[[rule]]\nid='a'\nwhen={}\nreason='policy'\nseen=['x']\n", "has no condition"),
            ("[[rule]]\nid='a'\nwhen={text=' '}\nreason='policy'\nseen=['x']\n", "an empty piece"),
            ("[[rule]]\nid='a'\nwhen={code='250'}\nreason='policy'\nseen=['x']\n", "code `250`"),
            (
                "[[rule]]\nid='a'\nwhen={status='5.1'}\nreason='policy'\nseen=['x']\n",
                "status `5.1`",
            ),
            (
                "[[rule]]\nid='a'\nwhen={provider='x'}\nreason='policy'\nseen=['x']\n",
                "provider `x`",
            ),
            (
                "[[rule]]\nid='a'\nwhen={action='gone'}\nreason='policy'\nseen=['x']\n",
                "action `gone`",
            ),
            ("[[rule]\n", "t.toml:1: "),
        ] {
            let error = read(source).expect_err(source);
            assert!(error.contains(expected), "{error}\nshould have: {expected}");
        }
    }

    #[test]
    fn every_rule_knows_its_line() {
        let one = "[[rule]]\nid='a'\nwhen={text='x'}\nreason='policy'\nseen=['x']\n";
        let rules = read(&format!("# head\n{one}\n{}", one.replace("'a'", "'b'"))).expect("reads");
        let at: Vec<&str> = rules.iter().map(|r| r.at.as_str()).collect();
        assert_eq!(at, ["t.toml:2", "t.toml:8"]);
    }
}
