//! Lines of an import and an export: NDJSON, CSV (RFC 4180), or one address a line. Pure; HTTP and
//! the command line read and write the same.
//!
//! An import may mix: a line in braces is JSON, a first line that names an address
//! column is a CSV header, anything else is CSV in the order of that header, of which a lone
//! address is the shortest form. So what curl sends with the wrong content type is read too.
//!
//! Cells of an exported CSV that a spreadsheet would take for a formula get a `'` in front
//! (docs/reliability.md, "Spreadsheet formulas", OWASP "CSV Injection"); an import takes it off
//! again.

use serde_json::Value;

use crate::mail::Timestamp;
use crate::service::ImportEntry;

/// Columns of an exported CSV: the fields of an entry.
pub const COLUMNS: [&str; 10] = [
    "address", "scope", "state", "class", "reason", "category", "since", "until", "events", "rule",
];

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180 with a header.
    Csv,
    /// One address a line.
    Lines,
}

impl Format {
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

    /// What stands before the first entry.
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
            Self::Csv => {
                for (index, column) in COLUMNS.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    push_cell(&cell(entry, column), out);
                }
                out.push_str("\r\n");
            }
            Self::Lines => {
                out.push_str(&cell(entry, "address"));
                out.push('\n');
            }
        }
    }
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
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// Reads the lines of an import one by one.
pub struct Reader {
    reason: String,
    scope: String,
    columns: Vec<Column>,
    started: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Address,
    Scope,
    State,
    Reason,
    Until,
    Other,
}

impl Column {
    /// Also the names that other senders' exports use (docs/protocols.md, "Imports").
    fn of(name: &str) -> Self {
        match name.trim().to_ascii_lowercase().as_str() {
            "address" | "email" | "recipient" | "emailaddress" | "email_address" => Self::Address,
            "scope" | "list_id" => Self::Scope,
            "state" => Self::State,
            "reason" | "description" | "error" => Self::Reason,
            "until" => Self::Until,
            _ => Self::Other,
        }
    }
}

impl Reader {
    /// `reason` and `scope` hold for lines that name none.
    pub fn new(reason: String, scope: String) -> Self {
        Self { reason, scope, columns: Vec::new(), started: false }
    }

    /// Reads one line, without its line end. None: nothing stands there, or a header.
    pub fn line(&mut self, line: &[u8]) -> Option<Result<ImportEntry, String>> {
        let Ok(line) = std::str::from_utf8(line) else {
            return Some(Err("the line is not UTF-8".to_string()));
        };
        let line = line.strip_suffix('\r').unwrap_or(line);
        // Spreadsheets write a byte order mark.
        let line = if self.started { line } else { line.strip_prefix('\u{feff}').unwrap_or(line) };
        // A comment has a space: `#` may begin an address.
        if line.trim().is_empty() || line.starts_with("# ") {
            return None;
        }
        let first = !std::mem::replace(&mut self.started, true);
        // An address may begin with a brace; it cannot end with one.
        if line.trim_start().starts_with('{') && line.trim_end().ends_with('}') {
            return Some(self.object(line));
        }
        let Some(cells) = cells(line) else {
            return Some(Err("a quoted cell does not end on its line".to_string()));
        };
        if first {
            let columns: Vec<_> = cells.iter().map(|cell| Column::of(cell)).collect();
            if columns.contains(&Column::Address) {
                self.columns = columns;
                return None;
            }
            self.columns = COLUMNS.iter().map(|name| Column::of(name)).collect();
        } else if self.columns.is_empty() {
            self.columns = COLUMNS.iter().map(|name| Column::of(name)).collect();
        }
        let columns = self.columns.clone();
        Some(self.entry(|wanted| {
            let at = columns.iter().position(|column| *column == wanted)?;
            cells.get(at).map(|cell| unescaped(cell).to_string())
        }))
    }

    fn object(&self, line: &str) -> Result<ImportEntry, String> {
        let object: serde_json::Map<String, Value> =
            serde_json::from_str(line).map_err(|wrong| format!("no JSON object: {wrong}"))?;
        self.entry(|wanted| {
            let (_, value) = object.iter().find(|(name, _)| Column::of(name) == wanted)?;
            value.as_str().map(str::to_string)
        })
    }

    fn entry(&self, field: impl Fn(Column) -> Option<String>) -> Result<ImportEntry, String> {
        let told = |column| field(column).map(|text| text.trim().to_string());
        let told = |column| told(column).filter(|text| !text.is_empty());
        let address = told(Column::Address).ok_or("there is no address")?;
        if !address.contains('@') {
            return Err("no @ in it: write an address such as user@example.com".to_string());
        }
        if told(Column::State).is_some_and(|state| state != "suppressed") {
            return Err("only entries in state suppressed are imported".to_string());
        }
        let until = told(Column::Until).map(|text| {
            Timestamp::parse_rfc3339(&text).ok_or_else(|| {
                "`until` must be a time such as 2026-11-22 or 2026-11-22T10:00:00Z".to_string()
            })
        });
        Ok(ImportEntry {
            address,
            scope: told(Column::Scope).unwrap_or_else(|| self.scope.clone()),
            reason: told(Column::Reason).unwrap_or_else(|| self.reason.clone()),
            until: until.transpose()?,
        })
    }
}

/// Takes off what the export put in front of formulas.
fn unescaped(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| rest.starts_with(FORMULA)).unwrap_or(cell)
}

/// Cells of a CSV line; None when a quote stays open.
fn cells(line: &str) -> Option<Vec<String>> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        let cell = cells.last_mut()?;
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            // `"a b"@example.com` as a lone address: a quote inside a cell is itself.
            '"' if cell.is_empty() && opens_a_cell(characters.clone()) => quoted = true,
            ',' if !quoted => cells.push(String::new()),
            c => cell.push(c),
        }
    }
    (!quoted).then_some(cells)
}

/// Whether the quote before `rest` belongs to CSV: its closing quote is followed by a comma or
/// the end. Otherwise it is the quote of a local part.
fn opens_a_cell(mut rest: std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    while let Some(c) = rest.next() {
        if c == '"' {
            match rest.peek() {
                None | Some(',') => return true,
                Some('"') => {
                    rest.next();
                }
                Some(_) => return false,
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Vec<String> {
        let mut reader = Reader::new("imported".to_string(), "*".to_string());
        let lines = text.split('\n').filter_map(|line| reader.line(line.as_bytes()));
        lines
            .map(|line| match line {
                Ok(ImportEntry { address, scope, reason, until }) => {
                    let until = until.map_or(String::new(), |until| format!(" {until}"));
                    format!("{address} {scope} {reason}{until}")
                }
                Err(wrong) => wrong,
            })
            .collect()
    }

    #[test]
    fn reads_what_people_have() {
        for (text, entries) in [
            (
                "a@x.test\r\n\n# old\nb@x.test\n",
                &["a@x.test * imported", "b@x.test * imported"][..],
            ),
            (
                "\u{feff}Email,Reason\na@x.test,\"moved, \"\"far\"\"\"\n",
                &["a@x.test * moved, \"far\""],
            ),
            (
                "reason,until,address\nx,2026-11-22,a@x.test\n",
                &["a@x.test * x 2026-11-22T00:00:00Z"],
            ),
            // Without a header the columns are those of an export.
            ("a@x.test,news,suppressed,,gone\n", &["a@x.test news gone"]),
            (
                "{\"email\":\"a@x.test\",\"scope\":\"news\"}\nb@x.test\n",
                &["a@x.test news imported", "b@x.test * imported"],
            ),
            ("\"a b\"@x.test\n", &["\"a b\"@x.test * imported"]),
            (
                "address\n'=1+1@x.test\n'quoted@x.test\n",
                &["=1+1@x.test * imported", "'quoted@x.test * imported"],
            ),
            ("address,state\na@x.test,held\n", &["only entries in state suppressed are imported"]),
            (
                "nonsense\n{\"email\":5}\n{x}\n{b}@x.test\n#c@x.test\n",
                &[
                    "no @ in it: write an address such as user@example.com",
                    "there is no address",
                    "no JSON object: key must be a string at line 1 column 2",
                    "{b}@x.test * imported",
                    "#c@x.test * imported",
                ],
            ),
            (
                "address,until\na@x.test,soon\n",
                &["`until` must be a time such as 2026-11-22 or 2026-11-22T10:00:00Z"],
            ),
            ("a@x.test,\"open\n", &["a quoted cell does not end on its line"]),
        ] {
            assert_eq!(read(text), entries, "{text}");
        }
        let mut reader = Reader::new(String::new(), String::new());
        assert!(reader.line(b"\xff@x.test").is_some_and(|line| line.is_err()));
    }

    #[test]
    fn writes_every_format() {
        let entry = json!({"address": "a@x.test", "scope": "*", "state": "suppressed",
            "class": "invalid-recipient", "reason": "user-unknown", "category": "hard",
            "since": "2026-11-22T00:00:00Z", "until": null, "events": 2, "rule": "a,\"b\"\r\n"});
        for (format, expected) in [
            (Format::Ndjson, format!("{entry}\n")),
            (Format::Lines, "a@x.test\n".to_string()),
            (
                Format::Csv,
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

    #[test]
    fn formulas_stay_text_and_come_back() {
        for payload in [
            "=1+1@x.test",
            "+1@x.test",
            "-1@x.test",
            "@sum(1)@x.test",
            "=cmd|' /C calc'!A0@x.test",
            "=HYPERLINK(\"http://evil.test\")@x.test",
            "＝1@x.test",
            "'plain@x.test",
            "\"quoted, twice\"@x.test",
            "plain@x.test",
        ] {
            let mut out = Format::Csv.header();
            Format::Csv.push(&json!({"address": payload, "reason": payload}), &mut out);
            let row = out.lines().nth(1).expect("a row");
            for cell in cells(row).expect("closed").iter().filter(|cell| !cell.is_empty()) {
                assert!(!cell.starts_with(FORMULA), "{payload}: {cell}");
            }
            assert_eq!(read(&out), [format!("{payload} * {payload}")]);
        }
    }

    #[test]
    fn any_line_is_survived() {
        use proptest::prelude::*;
        proptest!(|(line in "[\",a@{}'=: \\\\]{0,30}", junk in prop::collection::vec(any::<u8>(), 0..40))| {
            let mut reader = Reader::new(String::new(), String::new());
            let _ = reader.line(line.as_bytes());
            let _ = reader.line(&junk);
        });
    }
}
