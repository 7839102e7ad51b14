//! Cells of a CSV row (RFC 4180), and the fields of a JSON object as if they were cells.

use serde_json::{Map, Value};

use crate::service::lines::FORMULA;

/// Depth to which fields of nested objects are looked at.
const DEPTH: usize = 3;

/// Names and values of an object: those of nested ones by their path. An object that is the only
/// field is its envelope.
pub(super) fn of_object(object: Map<String, Value>) -> (Vec<String>, Vec<String>) {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    let mut object = object;
    while object.len() == 1
        && let Some(Value::Object(inner)) = object.values_mut().next()
    {
        object = std::mem::take(inner);
    }
    flatten("", object, DEPTH, &mut |name, value| {
        names.push(name);
        values.push(value);
    });
    (names, values)
}

fn flatten(
    path: &str,
    object: Map<String, Value>,
    depth: usize,
    put: &mut impl FnMut(String, String),
) {
    for (name, value) in object {
        let name = format!("{path}{name}");
        match value {
            Value::Object(inner) if depth > 1 => {
                flatten(&format!("{name}."), inner, depth - 1, put);
            }
            Value::Array(values) => {
                let words = values.iter().filter_map(Value::as_str);
                put(name, words.collect::<Vec<_>>().join(","));
            }
            Value::String(text) => put(name, text),
            Value::Null | Value::Object(_) => put(name, String::new()),
            Value::Bool(_) | Value::Number(_) => put(name, value.to_string()),
        }
    }
}

/// The separator that comes first: none of them is in an address without quotes.
pub(super) fn delimiter(row: &str) -> Option<char> {
    let mut quoted = false;
    row.chars().find(|c| {
        quoted ^= *c == '"';
        !quoted && matches!(c, ',' | ';' | '\t')
    })
}

/// Cells of a row; None when a quote stays open.
pub(super) fn of_row(row: &str, delimiter: char) -> Option<Vec<String>> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut characters = row.chars().peekable();
    while let Some(c) = characters.next() {
        let cell = cells.last_mut()?;
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            // `"a b"@example.com` as a lone address: a quote inside a cell is itself.
            '"' if cell.is_empty() && opens_a_cell(characters.clone(), delimiter) => quoted = true,
            c if c == delimiter && !quoted => cells.push(String::new()),
            c => cell.push(c),
        }
    }
    (!quoted).then_some(cells)
}

/// Whether the quote before `rest` belongs to CSV: its closing quote is followed by a separator or
/// the end. Otherwise it is the quote of a local part.
fn opens_a_cell(mut rest: std::iter::Peekable<std::str::Chars<'_>>, delimiter: char) -> bool {
    while let Some(c) = rest.next() {
        if c == '"' {
            match rest.peek() {
                None => return true,
                Some(c) if *c == delimiter => return true,
                Some('"') => {
                    rest.next();
                }
                Some(_) => return false,
            }
        }
    }
    true
}

/// Takes off what an export puts in front of formulas.
pub(super) fn unescaped(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| rest.starts_with(FORMULA)).unwrap_or(cell)
}
