//! From a file to a [`Config`]: the search order, the parse, and errors as
//! `file:line: what is wrong, what to write instead`.
//!
//! The text is parsed twice: once into a tree with positions, which gives every key its line,
//! and once by serde, which knows the types and denies unknown keys.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use toml::de::{DeTable, DeValue};

use super::origin::{ConfigError, ConfigProblem, Origin};
use super::raw::RawConfig;
use super::said::plainly;
use super::{Config, from_raw, hint, reason};

/// Where a configuration is looked for when neither `--config` nor `$BOUNCED_CONFIG` names one.
pub const SEARCH: [&str; 2] = ["./bounced.toml", "/etc/bounced/bounced.toml"];

/// A configuration, where it came from, and what a person should know about it.
#[derive(Debug, Clone)]
pub struct LoadedConfig {
    /// The values.
    pub config: Config,
    /// The line of each key.
    pub origin: Origin,
    /// Sentences that are worth a warning and no refusal.
    pub notes: Vec<String>,
}

impl Config {
    /// Reads the file that `--config` or `$BOUNCED_CONFIG` names, or the first one of [`SEARCH`]
    /// that exists, or takes the embedded defaults.
    pub fn load(named: Option<&Path>) -> Result<LoadedConfig, ConfigError> {
        Self::load_from(named, &SEARCH.map(Path::new))
    }

    /// [`Config::load`] with another list of places.
    pub fn load_from(named: Option<&Path>, search: &[&Path]) -> Result<LoadedConfig, ConfigError> {
        let places: Vec<&Path> = named.map_or_else(|| search.to_vec(), |path| vec![path]);
        for path in places {
            let file = path.strip_prefix("./").unwrap_or(path).display().to_string();
            match std::fs::read(path) {
                Ok(bytes) => {
                    let Ok(text) = String::from_utf8(bytes) else {
                        let text = "this is not UTF-8 text, write the file again".to_string();
                        return Err(ConfigError {
                            file,
                            problems: vec![ConfigProblem { line: None, text }],
                        });
                    };
                    return Self::parse(&text, &file);
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound && named.is_none() => {}
                Err(_) if named.is_none() && is_behind_a_closed_door(path) => {}
                Err(e) => {
                    let text = format!(
                        "the configuration cannot be read ({}), name a file that this user can \
                         read or leave --config and $BOUNCED_CONFIG out",
                        reason(&e)
                    );
                    return Err(ConfigError {
                        file,
                        problems: vec![ConfigProblem { line: None, text }],
                    });
                }
            }
        }
        let mut loaded = Self::parse("", "embedded defaults")?;
        loaded.origin.embedded = true;
        loaded.notes.insert(
            0,
            format!(
                "no configuration file found (looked for {}): running on the embedded defaults, \
                 which accept every recipient domain only because they listen on loopback",
                search.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
            ),
        );
        Ok(loaded)
    }

    /// Reads a text; `file` only names it in errors.
    pub fn parse(text: &str, file: &str) -> Result<LoadedConfig, ConfigError> {
        let fail = |problem| ConfigError { file: file.to_string(), problems: vec![problem] };
        let tree = DeTable::parse(text).map_err(|e| fail(not_toml(&e, text)))?;
        let index = KeyIndex::new(text, tree.get_ref());
        let raw: RawConfig = toml::from_str(text).map_err(|e| fail(index.explain(&e, text)))?;
        let origin = Origin { file: PathBuf::from(file), embedded: false, lines: index.lines() };
        match from_raw::check(raw, &origin) {
            Ok((config, notes)) => Ok(LoadedConfig { config, origin, notes }),
            Err(mut problems) => {
                problems.sort_by_key(|problem| problem.line);
                Err(ConfigError { file: file.to_string(), problems })
            }
        }
    }
}

/// `runuser` and `sudo -u` leave a person in a folder, such as /root, that is closed to the user they became:
/// what may be in there is not for that user.
fn is_behind_a_closed_door(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    access(folder.unwrap_or(Path::new(".")), Access::EXEC_OK) == Err(Errno::ACCESS)
}

/// Every key of the text with its place.
struct KeyIndex {
    entries: Vec<Entry>,
}

struct Entry {
    path: String,
    line: usize,
    value: Range<usize>,
}

impl KeyIndex {
    fn new(text: &str, tree: &DeTable<'_>) -> Self {
        let mut index = Self { entries: Vec::new() };
        index.table(text, tree, "");
        index
    }

    fn table(&mut self, text: &str, table: &DeTable<'_>, parent: &str) {
        for (key, value) in table.iter() {
            let name = key.get_ref();
            let path =
                if parent.is_empty() { name.to_string() } else { format!("{parent}.{name}") };
            let line = line_of(text, key.span().start);
            self.value(text, value.get_ref(), path, line, value.span());
        }
    }

    fn value(
        &mut self,
        text: &str,
        value: &DeValue<'_>,
        path: String,
        line: usize,
        span: Range<usize>,
    ) {
        match value {
            DeValue::Table(table) => self.table(text, table, &path),
            DeValue::Array(rows) => {
                for (i, row) in rows.iter().enumerate() {
                    let line = line_of(text, row.span().start);
                    self.value(text, row.get_ref(), format!("{path}[{i}]"), line, row.span());
                }
            }
            _ => {}
        }
        self.entries.push(Entry { path, line, value: span });
    }

    fn lines(&self) -> BTreeMap<String, usize> {
        self.entries.iter().map(|entry| (entry.path.clone(), entry.line)).collect()
    }

    /// Turns what serde says into what a person should write.
    fn explain(&self, error: &toml::de::Error, text: &str) -> ConfigProblem {
        let start = error.span().map_or(0, |span| span.start);
        let line = line_of(text, start);
        let mut quoted = error.message().split('`').skip(1).step_by(2);
        if error.message().starts_with("unknown field") {
            let key = quoted.next().unwrap_or_default();
            let known: Vec<&str> = quoted.collect();
            let table = self
                .entries
                .iter()
                .filter(|entry| entry.line == line)
                .find_map(|entry| {
                    let (table, last) = entry.path.rsplit_once('.').unwrap_or(("", &entry.path));
                    (last == key).then_some(table)
                })
                .unwrap_or("");
            return ConfigProblem { line: Some(line), text: unknown_key(key, table, &known) };
        }
        let entry = self
            .entries
            .iter()
            .filter(|entry| entry.value.contains(&start))
            .min_by_key(|entry| entry.value.len());
        let said = plainly(error.message().lines().next().unwrap_or_default());
        let text = match entry.and_then(|e| hint::example(&e.path).map(|x| (&e.path, x))) {
            Some((path, example)) => {
                format!("{path} is of the wrong type ({said}), write for example: {example}")
            }
            None => format!("{said}, see config/bounced.toml for every key and its form"),
        };
        ConfigProblem { line: Some(line), text }
    }
}

fn unknown_key(key: &str, table: &str, known: &[&str]) -> String {
    // `verp.keys[0]` is written `[[verp.keys]]`.
    let plain = table.split('[').next().unwrap_or(table);
    let place = match (table.is_empty(), table.contains('[')) {
        (true, _) => "outside of any table".to_string(),
        (false, true) => format!("in [[{plain}]]"),
        (false, false) => format!("in [{plain}]"),
    };
    let homes = hint::homes(key, plain);
    if let [home] = homes.as_slice() {
        return match home.as_str() {
            "" => format!("`{key}` is unknown {place}, write it above the first [table]"),
            _ => format!("`{key}` is unknown {place}, write it below [{home}]"),
        };
    }
    match hint::nearest(key, known.iter().copied()) {
        Some(meant) => format!("`{key}` is unknown {place}, did you mean `{meant}`?"),
        None => format!("`{key}` is unknown {place}, known are: {}", known.join(", ")),
    }
}

fn not_toml(error: &toml::de::Error, text: &str) -> ConfigProblem {
    let start = error.span().map_or(0, |span| span.start);
    let said = error.message().lines().next().unwrap_or_default();
    let advice = if said.contains("duplicate") {
        "keep one of the two"
    } else {
        "write key = \"text\", key = 5, key = [\"a\", \"b\"] or [table]"
    };
    let line = line_of(text, start);
    ConfigProblem { line: Some(line), text: format!("this is not TOML ({said}), {advice}") }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
