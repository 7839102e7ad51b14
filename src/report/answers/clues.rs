//! What header fields tell of the origin of a message: answered by a program, sent to many, a
//! notice of failure (RFC 3834 section 5, RFC 5436, and what programs did before and beside them).
//!
//! Which field means what is data: `headers.toml`. Fields are compared by length first, so that a
//! message costs one look at each of its fields.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::message::Headers;
use crate::report::words::beginning;

/// Meaning of a header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Means {
    /// An automatic answer, whatever the words.
    Answer,
    /// A program wrote it.
    Machine,
    /// Sent to many.
    List,
    /// A notice of failure.
    Bounce,
    /// A challenge.
    Challenge,
    /// Nothing.
    No,
}

/// One row of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderRow {
    pub name: String,
    #[serde(default)]
    starts: Vec<String>,
    #[serde(default)]
    has: Vec<String>,
    pub means: Means,
    #[serde(default)]
    pub format: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderFile {
    field: Vec<HeaderRow>,
}

/// Longest field name in the table, plus one.
const LENGTHS: usize = 48;

static ROWS: LazyLock<[Vec<HeaderRow>; LENGTHS]> = LazyLock::new(|| {
    let file: HeaderFile =
        toml::from_str(include_str!("headers.toml")).expect("a unit test reads the shipped table");
    let mut by_length = [const { Vec::new() }; LENGTHS];
    for row in file.field {
        let length = row.name.len();
        by_length.get_mut(length).expect("field names are shorter than LENGTHS").push(row);
    }
    by_length
});

/// A field that means something.
#[derive(Debug)]
pub(super) struct Clue {
    pub row: &'static HeaderRow,
    /// Field name as written.
    name: String,
    /// Value, shortened.
    pub value: String,
}

impl Clue {
    /// As people would name it.
    pub fn label(&self) -> String {
        if self.value.is_empty() {
            self.name.clone()
        } else {
            format!("{}: {}", self.name, self.value)
        }
    }
}

/// All clues of a message, in the order of its fields.
pub(super) fn read(headers: &Headers<'_>) -> Vec<Clue> {
    let mut clues = Vec::new();
    for field in headers.fields() {
        let Some(rows) = ROWS.get(field.name.len()) else { continue };
        let mut named =
            rows.iter().filter(|r| r.name.as_bytes().eq_ignore_ascii_case(field.name)).peekable();
        if named.peek().is_none() {
            continue;
        }
        let value = field.text().trim().to_lowercase();
        if let Some(row) = named.find(|r| r.fits(&value))
            && row.means != Means::No
        {
            let name = String::from_utf8_lossy(field.name);
            let name = beginning(&name, 60).to_string();
            clues.push(Clue { row, name, value: beginning(&value, 60).to_string() });
        }
    }
    clues
}

impl HeaderRow {
    fn fits(&self, value: &str) -> bool {
        (self.starts.is_empty() || self.starts.iter().any(|s| value.starts_with(s.as_str())))
            && (self.has.is_empty() || self.has.iter().any(|s| value.contains(s.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_mean_what_senders_mean() {
        for (text, expected) in [
            ("Auto-Submitted: auto-replied (vacation)\n\n", Some(Means::Answer)),
            ("AUTO-SUBMITTED: Auto-Replied; owner-email=\"x\"\n\n", Some(Means::Answer)),
            ("Auto-Submitted: auto-generated\n\n", Some(Means::Machine)),
            ("Auto-Submitted: no\n\n", None),
            // A refusal by Sieve (RFC 5429) is no answer.
            ("Auto-Submitted: auto-replied (rejected)\n\n", Some(Means::Bounce)),
            ("X-Autoreply: yes\n\n", Some(Means::Answer)),
            ("X-Autoreply: no\n\n", None),
            ("Precedence: bulk\n\n", Some(Means::Machine)),
            ("Precedence: auto_reply\n\n", Some(Means::Answer)),
            ("List-Id: <a.example.com>\n\n", Some(Means::List)),
            ("X-Failed-Recipients: a@example.com\n\n", Some(Means::Bounce)),
            ("X-Something: auto-replied\n\n", None),
        ] {
            let (headers, _) = Headers::read(text.as_bytes(), true);
            assert_eq!(read(&headers).first().map(|c| c.row.means), expected, "{text}");
        }
    }

    #[test]
    fn a_clue_reads_like_a_field() {
        let (headers, _) = Headers::read(b"Auto-Submitted: Auto-Replied\n\n", true);
        let clues = read(&headers);
        assert_eq!(clues.first().map(Clue::label).as_deref(), Some("Auto-Submitted: auto-replied"));
    }
}
