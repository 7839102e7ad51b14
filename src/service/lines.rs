//! Lines of an export: NDJSON, CSV (RFC 4180), or one address a line. Pure; HTTP and the command
//! line write the same, and `import` reads it.
//!
//! Cells of an exported CSV that a spreadsheet would take for a formula get a `'` in front
//! (docs/reliability.md, "Spreadsheet formulas", OWASP "CSV Injection"); an import takes it off
//! again.

use serde_json::Value;

/// Columns of an exported CSV: the fields of an entry.
pub const COLUMNS: [&str; 10] = [
    "address", "scope", "state", "class", "reason", "category", "since", "until", "events", "rule",
];

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListFormat {
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180 with a header.
    Csv,
    /// One address a line.
    Lines,
}

impl ListFormat {
    /// The format for a `format` parameter.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "ndjson" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            "lines" => Some(Self::Lines),
            _ => None,
        }
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Lines => "text/plain; charset=utf-8",
        }
    }

    /// What comes before the first entry.
    pub fn header(self) -> String {
        match self {
            Self::Csv => COLUMNS.join(",") + "\r\n",
            Self::Ndjson | Self::Lines => String::new(),
        }
    }

    /// Appends one entry.
    pub fn push(self, entry: &Value, out: &mut String) {
        match self {
            Self::Ndjson => {
                out.push_str(&entry.to_string());
                out.push('\n');
            }
            Self::Csv => push_csv(entry, &COLUMNS, out),
            Self::Lines => {
                out.push_str(&cell(entry, "address"));
                out.push('\n');
            }
        }
    }
}

/// Appends a line of CSV: these fields of an object.
pub fn push_csv(entry: &Value, columns: &[&str], out: &mut String) {
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_cell(&cell(entry, column), out);
    }
    out.push_str("\r\n");
}

/// A field as text, on one line.
fn cell(entry: &Value, column: &str) -> String {
    let text = match entry.get(column) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    text.replace(char::is_control, " ")
}

fn push_cell(text: &str, out: &mut String) {
    let formula = text.starts_with(FORMULA);
    if !formula && !text.contains([',', '"', '\'']) {
        return out.push_str(text);
    }
    out.push('"');
    if formula {
        out.push('\'');
    }
    out.push_str(&text.replace('"', "\"\""));
    out.push('"');
}

/// First characters of what a spreadsheet calculates. TAB and CR, which OWASP names too, are gone
/// by then; the full-width forms are taken for the others by some.
pub(super) const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn writes_every_format() {
        let entry = json!({"address": "a@x.test", "scope": "*", "state": "suppressed",
            "class": "invalid-recipient", "reason": "user-unknown", "category": "hard",
            "since": "2026-11-22T00:00:00Z", "until": null, "events": 2, "rule": "a,\"b\"\r\n"});
        for (format, expected) in [
            (ListFormat::Ndjson, format!("{entry}\n")),
            (ListFormat::Lines, "a@x.test\n".to_string()),
            (
                ListFormat::Csv,
                "a@x.test,*,suppressed,invalid-recipient,user-unknown,hard,2026-11-22T00:00:00Z,,2,\
                 \"a,\"\"b\"\"  \"\r\n"
                    .to_string(),
            ),
        ] {
            let mut out = String::new();
            format.push(&entry, &mut out);
            assert_eq!(out, expected);
        }
    }
}
