//! Proposes what to write instead: an example from the shipped `config/bounced.toml`, the one
//! source of them, or the nearest known word for a misspelt one.
//!
//! The file has three kinds of comment: `# prose`, `#key = default`, and `#   example` (three
//! spaces) for what has no default, such as `[[verp.keys]]`.

use toml::{Table, Value};

/// `config/bounced.toml` as shipped: every key at its default, commented out.
pub const DEFAULT_FILE: &str = include_str!("../../config/bounced.toml");

/// The shipped file with its defaults uncommented, and its examples too when asked for.
pub fn uncomment(text: &str, examples: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let bare = match line.strip_prefix('#') {
            None => line,
            Some(rest) if rest.starts_with("   ") => {
                if examples {
                    rest.trim_start()
                } else {
                    ""
                }
            }
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest,
            Some(_) => "",
        };
        // Every line stays a line, so that a test can name it.
        out.push_str(bare);
        out.push('\n');
    }
    out
}

/// `max_message = "10MiB"` for `smtp.max_message`: how the shipped file writes a key.
pub(super) fn example(path: &str) -> Option<String> {
    let shipped: Table = uncomment(DEFAULT_FILE, true).parse().ok()?;
    let mut steps = path.split('.').map(|step| step.split('[').next().unwrap_or(step));
    let last = steps.next_back()?;
    let mut table = &shipped;
    for step in steps {
        table = match table.get(step)? {
            Value::Table(inner) => inner,
            Value::Array(rows) => rows.first()?.as_table()?,
            _ => return None,
        };
    }
    match table.get(last)? {
        Value::Table(_) => Some(format!("[{path}]")),
        Value::Array(rows) if rows.iter().any(Value::is_table) => Some(format!("[[{path}]]")),
        value => Some(format!("{last} = {value}")),
    }
}

/// The tables, other than `here`, that know a key of this name.
pub(super) fn homes(key: &str, here: &str) -> Vec<String> {
    fn walk(table: &Table, path: &str, key: &str, found: &mut Vec<String>) {
        for (name, value) in table {
            if name == key {
                found.push(path.to_string());
            }
            let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match value {
                Value::Table(table) => walk(table, &inner, key, found),
                Value::Array(rows) => {
                    if let Some(table) = rows.first().and_then(Value::as_table) {
                        walk(table, &inner, key, found);
                    }
                }
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    if let Ok(shipped) = uncomment(DEFAULT_FILE, true).parse::<Table>() {
        walk(&shipped, "", key, &mut found);
    }
    found.retain(|home| home != here);
    found
}

/// The word that was probably meant: at most two edits away (one for words of three letters or
/// fewer), or beginning with what was written; the first of several equally near ones.
pub fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let limit = if length <= 3 { 1 } else { 2 };
    let edits = |known: &str| match distance(word, known) {
        edits if edits <= limit => Some(edits),
        _ if length > 3 && known.starts_with(word) => Some(limit + 1),
        _ => None,
    };
    words
        .into_iter()
        .filter_map(|known| Some((edits(known)?, known)))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, known)| known)
}

/// Edits (insert, delete, replace, swap of neighbours) between two words: optimal string
/// alignment, because swapped letters are what people type.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncommenting_keeps_prose_out() {
        let text = "# prose\n#key = 1\n#[table]\n#   other = 2\nplain = 3\n#\n";
        assert_eq!(uncomment(text, false), "\nkey = 1\n[table]\n\nplain = 3\n\n");
        assert_eq!(uncomment(text, true), "\nkey = 1\n[table]\nother = 2\nplain = 3\n\n");
    }

    #[test]
    fn examples_come_from_the_shipped_file() {
        for (path, expected) in [
            ("hostname", Some("hostname = \"localhost\"")),
            ("smtp.max_message", Some("max_message = \"10MiB\"")),
            ("smtp.listen[1]", Some("listen = [\"127.0.0.1:2525\"]")),
            ("verp.keys[3].id", Some("id = \"a\"")),
            ("smtp", Some("[smtp]")),
            ("verp.keys", Some("[[verp.keys]]")),
            ("smtp.nothing", None),
        ] {
            assert_eq!(example(path).as_deref(), expected, "{path}");
        }
        assert_eq!(homes("domains", ""), ["smtp"]);
        assert_eq!(homes("secret_file", "verp"), ["verp.keys", "webhooks"]);
    }

    #[test]
    fn the_nearest_word() {
        let words = ["listen", "domains", "max_message", "id", "key", "secret_file"];
        for (word, expected) in [
            ("lisen", Some("listen")),
            ("listne", Some("listen")),
            ("domain", Some("domains")),
            ("maxmessage", Some("max_message")),
            ("LISTEN", Some("listen")),
            // Short words: one edit only, or everything is near.
            ("it", Some("id")),
            ("ky", Some("key")),
            // Only its beginning was written.
            ("secret", Some("secret_file")),
            ("xyz", None),
            ("certificate", None),
        ] {
            assert_eq!(nearest(word, words), expected, "{word}");
        }
    }
}
