//! The lines of `bounced doctor`.

/// How a finding ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be.
    Ok,
    /// Worth a look.
    Warn,
    /// To be mended.
    Fail,
}

/// One line of `bounced doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub grade: Grade,
    /// What was looked at.
    pub name: &'static str,
    /// What was found, with its remedy.
    pub words: String,
}

/// A finding.
pub fn finding(grade: Grade, name: &'static str, words: impl Into<String>) -> Finding {
    Finding { grade, name, words: words.into() }
}
