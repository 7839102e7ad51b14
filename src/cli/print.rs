//! Words for a terminal: aligned rows, JSON as an outline, and nothing that a stranger could make
//! the terminal do (control and bidirectional characters are shown, not sent).

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

use serde_json::Value;

/// Width of the first column.
const COLUMN: usize = 13;

/// Whether output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(bool);

impl Paint {
    /// No colour.
    pub const PLAIN: Self = Self(false);

    /// Colour when standard output is a terminal and `$NO_COLOR` is not set.
    pub fn for_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self(wanted && std::io::stdout().is_terminal())
    }

    /// The text in bold.
    pub fn bold(self, text: &str) -> String {
        if self.0 { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_string() }
    }
}

/// The text with control characters and direction marks written out (`\u{1b}`).
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || steers(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Direction marks, embeddings, overrides and isolates; line and paragraph separators.
fn steers(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One aligned row: indentation, name, value.
pub fn row(out: &mut dyn Write, indent: usize, name: &str, value: &str) -> std::io::Result<()> {
    // A name that fills its column is still parted from its value.
    let gap = if name.len() >= COLUMN { " " } else { "" };
    writeln!(out, "{:indent$}{name:COLUMN$}{gap}{}", "", visible(value))
}

/// A JSON value as an outline: `name  value`, objects and lists indented. Null and empty values
/// say nothing and are left out.
pub fn outline(out: &mut dyn Write, value: &Value, indent: usize) -> std::io::Result<()> {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::Null => {}
                    Value::Object(inner) if inner.is_empty() => {}
                    Value::Array(rows) if rows.is_empty() => {}
                    Value::Array(rows) if rows.iter().all(is_word) => {
                        let words: Vec<String> = rows.iter().map(plain).collect();
                        row(out, indent, &visible(name), &words.join(", "))?;
                    }
                    Value::Object(_) | Value::Array(_) => {
                        writeln!(out, "{:indent$}{}", "", visible(name))?;
                        outline(out, value, indent + 2)?;
                    }
                    word => row(out, indent, &visible(name), &plain(word))?,
                }
            }
            Ok(())
        }
        Value::Array(rows) => {
            for (i, item) in rows.iter().enumerate() {
                if i > 0 {
                    writeln!(out)?;
                }
                outline(out, item, indent)?;
            }
            Ok(())
        }
        word => writeln!(out, "{:indent$}{}", "", visible(&plain(word))),
    }
}

fn is_word(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

/// A scalar without quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// An entry in one line.
pub fn sentence(address: &str, entry: &Value) -> String {
    let field = |name: &str| entry.get(name).map(plain).filter(|text| !text.is_empty());
    let mut line = format!("{address}  {}", field("state").unwrap_or_default());
    if let Some(reason) = field("reason") {
        line += &format!("  {reason}");
    }
    if let Some(category) = field("category") {
        line += &format!(" ({category})");
    }
    for (word, name) in
        [(" since", "since"), (" until", "until"), ("  scope", "scope"), ("  rule", "rule")]
    {
        // `*` is every scope, and needs no words.
        if let Some(value) = field(name).filter(|value| value != "*") {
            line += &format!("{word} {value}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        for (text, expected) in [
            ("plain grå", "plain grå"),
            ("a\u{1b}[2J", "a\\u{1b}[2J"),
            ("a\r\nb", "a\\u{d}\\u{a}b"),
            // Right-to-left override, C1 control.
            ("a\u{202e}b\u{9b}", "a\\u{202e}b\\u{9b}"),
        ] {
            assert_eq!(visible(text), expected);
        }
    }

    #[test]
    fn outlines() {
        let value = serde_json::json!({
            "address": "user@example.com", "until": null, "scopes": ["*", "news"],
            "entries": [{"state": "suppressed", "events": 3}, {"state": "held"}],
            "original": {"subject": "a\u{7}b"}, "empty": [],
        });
        let mut out = Vec::new();
        outline(&mut out, &value, 0).expect("a vector takes everything");
        let text = String::from_utf8(out).expect("our words are UTF-8");
        for line in [
            "address      user@example.com\n",
            "scopes       *, news\n",
            "entries\n  events       3\n  state        suppressed\n\n  state        held\n",
            "original\n  subject      a\\u{7}b\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("until") && !text.contains("empty"));
    }
}
