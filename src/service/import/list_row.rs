//! Reads one row of a known list: an entry, several (one for each scope), or why there is none.

use super::formats::{Column, KnownList, OWN};
use super::meanings::{Sense, sense};
use crate::event::{Cause, Imported};
use crate::mail::Timestamp;
use crate::service::ImportEntry;

/// What holds for the whole of an import.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// Why, for rows that say nothing.
    pub reason: String,
    /// Scope of rows that name none.
    pub scope: String,
    /// Take also what is soft or blocked.
    pub all: bool,
}

/// What a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// An entry.
    Entry(ImportEntry),
    /// Understood, and no suppression; why.
    LeftOut(String),
    /// It cannot be read; why.
    Refused(String),
}

/// Is this the word of a state of ours?
pub(super) fn is_state(word: &str) -> bool {
    crate::policy::State::parse(word).is_some()
}

/// Reads the cells of a row.
pub(super) fn read(
    format: &KnownList,
    fields: &[(Column, usize)],
    cells: &[String],
    wishes: &Wishes,
) -> Vec<Read> {
    match ImportRow::of(format, fields, cells).and_then(|row| row.entries(format, wishes)) {
        Ok(entries) => entries.into_iter().map(Read::Entry).collect(),
        Err(No::LeftOut(why)) => vec![Read::LeftOut(why)],
        Err(No::Refused(why)) => vec![Read::Refused(why)],
    }
}

/// Why a row is not an entry.
enum No {
    LeftOut(String),
    Refused(String),
}

/// What the cells of a row say.
#[derive(Default)]
struct ImportRow {
    address: String,
    scopes: Vec<String>,
    /// What it is, by the first that says so; a word goes before a flag.
    word: Option<Sense>,
    flag: Option<Sense>,
    by_recipient: bool,
    text: Vec<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    rule: Option<String>,
    events: Option<u64>,
}

impl ImportRow {
    fn of(format: &KnownList, fields: &[(Column, usize)], cells: &[String]) -> Result<Self, No> {
        let mut row = Self::default();
        for (column, at) in fields {
            let cell = cells.get(*at).map(|cell| cell.trim()).unwrap_or_default();
            if !cell.is_empty() {
                row.take(format, *column, cell)?;
            }
        }
        let refused = |what: &str| Err(No::Refused(what.to_string()));
        match row.address.as_str() {
            "" => refused("there is no address"),
            address if address.contains('\u{fffd}') => refused("the address is not UTF-8"),
            address if !address.contains('@') => {
                refused("no @ in it: write an address such as user@example.com")
            }
            _ => Ok(row),
        }
    }

    fn take(&mut self, format: &KnownList, column: Column, cell: &str) -> Result<(), No> {
        let ours = format.name == OWN.name;
        match column {
            Column::Address if self.address.is_empty() => self.address = cell.to_string(),
            Column::Address | Column::Ignored => {}
            Column::Scope => self.scopes = vec![cell.to_string()],
            Column::Scopes => {
                let names = cell.split([',', ';', ' ', '|', '[', ']', '"', '\'']);
                self.scopes = names.filter(|name| !name.is_empty()).map(str::to_string).collect();
                if self.scopes.iter().any(|scope| scope == "*") {
                    self.scopes = vec!["*".to_string()];
                }
            }
            Column::State => match cell {
                "suppressed" => {}
                state if is_state(state) => {
                    return Err(No::LeftOut(format!("{state}, not suppressed: not imported")));
                }
                _ => {
                    let what = "only entries in state suppressed are imported";
                    return Err(No::Refused(what.to_string()));
                }
            },
            Column::Reason => match Cause::parse(cell) {
                Some(cause) => self.word = self.word.or(Some(Sense::Is(cause))),
                None => self.word_or_text(cell, if ours { None } else { sense(cell) }),
            },
            Column::Word => self.word_or_text(cell, sense(cell)),
            Column::Text => self.text.push(cell.to_string()),
            Column::Since => match moment(cell) {
                Some(since) => self.since = self.since.or(Some(since)),
                None if ours => return Err(no_time("since")),
                None => {}
            },
            Column::Until => {
                self.until = Some(moment(cell).ok_or_else(|| no_time("until"))?);
            }
            Column::Rule => self.rule = Some(cell.to_string()),
            Column::Events => {
                let events = cell
                    .parse()
                    .map_err(|_| No::Refused("`events` must be a number such as 3".to_string()))?;
                self.events = Some(events);
            }
            Column::Code => {
                self.flag = self.flag.or(match cell.as_bytes() {
                    [b'4', ..] => Some(Sense::Soft),
                    [b'5', b'.', b'7', ..] => Some(Sense::Block),
                    _ => None,
                });
            }
            Column::When(says) if is_set(cell) == Some(true) => {
                self.flag = self.flag.or(Some(says))
            }
            Column::Unless(says) if is_set(cell) == Some(false) => {
                self.flag = self.flag.or(Some(says));
            }
            Column::OtherThan(kind, says) if !cell.eq_ignore_ascii_case(kind) => {
                self.flag = self.flag.or(Some(says));
            }
            Column::When(_) | Column::Unless(_) | Column::OtherThan(..) => {}
            Column::Origin => self.by_recipient = cell.eq_ignore_ascii_case("recipient"),
        }
        Ok(())
    }

    fn word_or_text(&mut self, cell: &str, sense: Option<Sense>) {
        match sense {
            Some(sense) => self.word = self.word.or(Some(sense)),
            None => self.text.insert(0, cell.to_string()),
        }
    }

    fn entries(self, format: &KnownList, wishes: &Wishes) -> Result<Vec<ImportEntry>, No> {
        let cause = self.cause(format, wishes)?;
        let mut words = crate::report::bounded_words(&self.text.join("; "));
        if words.is_empty() {
            words.clone_from(&wishes.reason);
        }
        let imported = Imported { cause, since: self.since, rule: self.rule, events: self.events };
        let mut scopes = self.scopes;
        if scopes.is_empty() {
            scopes.push(wishes.scope.clone());
        }
        let entry = |scope| ImportEntry {
            address: self.address.clone(),
            scope,
            words: words.clone(),
            until: self.until,
            imported: imported.clone(),
        };
        Ok(scopes.into_iter().map(entry).collect())
    }

    /// Why it is suppressed; None: nobody says.
    fn cause(&self, format: &KnownList, wishes: &Wishes) -> Result<Option<Cause>, No> {
        let says = self.word.or(self.flag).or(format.otherwise);
        // A complaint and a wish are neither hard nor soft.
        let failure = matches!(says, None | Some(Sense::Is(Cause::Failure(_))));
        let weighs = match self.flag {
            Some(Sense::Is(_)) | None => says,
            Some(flag @ Sense::Not(_)) => Some(flag),
            Some(flag) if failure => Some(flag),
            Some(_) => says,
        };
        let left_out = |what: &str| Err(No::LeftOut(what.to_string()));
        let known = match says {
            Some(Sense::Is(Cause::ByHand)) if self.by_recipient => Some(Cause::Unsubscribe),
            Some(Sense::Is(cause)) => Some(cause),
            _ => None,
        };
        match weighs {
            Some(Sense::Not(what)) => left_out(what),
            Some(Sense::Soft) if !wishes.all => {
                left_out("a soft bounce: not imported; --all (all=true) takes it")
            }
            Some(Sense::Block) if !wishes.all => left_out(
                "the sender was refused, not the address: not imported; --all (all=true) takes it",
            ),
            Some(Sense::Soft | Sense::Block) => Ok(known.or(match super::meanings::BOUNCE {
                Sense::Is(cause) => Some(cause),
                _ => None,
            })),
            _ => Ok(known),
        }
    }
}

fn is_set(flag: &str) -> Option<bool> {
    match flag.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "t" | "y" => Some(true),
        "0" | "false" | "no" | "f" | "n" => Some(false),
        _ => None,
    }
}

fn no_time(name: &str) -> No {
    No::Refused(format!("`{name}` must be a time such as 2026-11-22 or 2026-11-22T10:00:00Z"))
}

/// A moment as lists write it: RFC 3339, the same with a space, RFC 5322, seconds or milliseconds
/// since 1970. What may be read in two ways, such as 1/2/2026, is not.
/// What was before 1970 is not the time of a mail, and a year may be too large to be written.
fn moment(text: &str) -> Option<Timestamp> {
    written(text).filter(|moment| moment.millis() >= 0)
}

fn written(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.bytes().all(|b| b.is_ascii_digit()) && fraction.bytes().all(|b| b.is_ascii_digit()) {
        let number: i64 = whole.parse().ok()?;
        return match whole.len() {
            9..=11 => {
                let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
                let millis = millis.parse().unwrap_or(0);
                Some(Timestamp::from_millis(number.saturating_mul(1000).saturating_add(millis)))
            }
            12..=14 => Some(Timestamp::from_millis(number)),
            _ => None,
        };
    }
    if let Some(read) = Timestamp::parse_rfc3339(text) {
        return Some(read);
    }
    if text.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && let Some((day, clock)) = text.split_once([' ', 'T'])
        && day.len() == 10
    {
        let clock = clock.trim_end_matches(" UTC").replace(' ', "");
        let zone = clock.ends_with('Z') || clock.contains(['+', '-']);
        let zone = if zone { "" } else { "Z" };
        return Timestamp::parse_rfc3339(&format!("{day}T{clock}{zone}"));
    }
    Timestamp::parse_rfc5322(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_lists_write_them() {
        for (text, read) in [
            ("1700000000", Some("2023-11-14T22:13:20Z")),
            ("1700000000.25", Some("2023-11-14T22:13:20.250Z")),
            ("1700000000123", Some("2023-11-14T22:13:20.123Z")),
            ("2023-11-14T22:13:20Z", Some("2023-11-14T22:13:20Z")),
            ("2023-11-14T23:13:20.123+01:00", Some("2023-11-14T22:13:20.123Z")),
            ("2023-11-14 22:13:20", Some("2023-11-14T22:13:20Z")),
            ("2023-11-14 22:13:20.5 UTC", Some("2023-11-14T22:13:20.500Z")),
            ("2023-11-14T22:13:20", Some("2023-11-14T22:13:20Z")),
            ("2023-11-14", Some("2023-11-14T00:00:00Z")),
            ("Tue, 14 Nov 2023 22:13:20 UTC", Some("2023-11-14T22:13:20Z")),
            ("0000-01-01T00:00:00+14:00", None),
            ("1/2/2023", None),
            ("2023", None),
            ("soon", None),
            ("", None),
        ] {
            let found = moment(text).map(|moment| moment.to_string());
            assert_eq!(found.as_deref(), read, "{text}");
        }
    }
}
