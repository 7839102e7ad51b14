//! Where a configuration came from, and what is wrong with it, by file and line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Line in the file, from 1; None when no line is to blame.
    pub line: Option<usize>,
    /// What is wrong and what to write instead.
    pub text: String,
}

/// All that is wrong with one file: `file:line: text`, a line for each problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file as it was named.
    pub file: String,
    /// At least one, in the order of the file's lines.
    pub problems: Vec<ConfigProblem>,
}

impl std::error::Error for ConfigError {}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            match problem.line {
                Some(line) => write!(f, "{}:{line}: {}", self.file, problem.text)?,
                None => write!(f, "{}: {}", self.file, problem.text)?,
            }
        }
        Ok(())
    }
}

/// Which file and lines a configuration came from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    pub(super) file: PathBuf,
    pub(super) embedded: bool,
    pub(super) lines: BTreeMap<String, usize>,
}

impl Origin {
    /// The file, or None for the embedded defaults.
    pub fn file(&self) -> Option<&Path> {
        (!self.embedded).then_some(self.file.as_path())
    }

    /// Whether the file writes this key (`smtp.tls.cert`, `verp.keys[0].id`).
    pub fn writes(&self, key: &str) -> bool {
        self.lines.contains_key(key)
    }

    /// The line of a key, or of the nearest table around it that is written.
    pub fn line(&self, key: &str) -> Option<usize> {
        let mut key = key;
        loop {
            if let Some(line) = self.lines.get(key) {
                return Some(*line);
            }
            key = key.get(..key.rfind(['.', '['])?)?;
        }
    }

    /// `file:line` of a key, for messages.
    pub fn at(&self, key: &str) -> String {
        match self.line(key) {
            Some(line) => format!("{}:{line}", self.file.display()),
            None => self.file.display().to_string(),
        }
    }
}
