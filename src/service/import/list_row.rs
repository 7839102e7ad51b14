//! Reads one row of a known list: an entry, several (one for each scope), or why there is none.

use super::formats::{Column, KnownList, OWN};
use super::meanings::{BOUNCE, Sense, sense};
use crate::classify::{Category, Reason};
use crate::event::{Cause, Imported};
use crate::mail::Timestamp;
use crate::service::ImportEntry;

/// What holds for the whole of an import.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// Why, for rows that say nothing.
    pub reason: String,
    /// Somebody said why: a list of people of which nothing else says that mail to them is to stop is
    /// one of those to stop.
    pub reasoned: bool,
    /// Scope of rows that name none.
    pub scope: String,
    /// Take also what is soft or blocked.
    pub all: bool,
}

/// Why a soft bounce is left out.
pub const SOFT: &str = "a soft bounce: not imported; --all (all=true) takes it";
/// Why a refusal of the sender is left out.
pub const BLOCKED: &str =
    "the sender was refused, not the address: not imported; --all (all=true) takes it";

/// What a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// An entry.
    Entry(ImportEntry),
    /// Something in an entry that comes before this was passed over; what.
    Noted(String),
    /// Understood, and no suppression; why.
    LeftOut(String),
    /// It cannot be read: why, and the cell where it is one.
    Refused(String, String),
}

impl Read {
    /// One of which no cell is to be shown.
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into(), String::new())
    }
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
    match ImportRow::of(format, fields, cells).and_then(|row| row.entries(format, fields, wishes)) {
        Ok(read) => read,
        Err(No::LeftOut(why)) => vec![Read::LeftOut(why)],
        Err(No::Refused(why, cell)) => vec![Read::Refused(why, cell)],
    }
}

/// Why a row is not an entry.
enum No {
    LeftOut(String),
    /// Why, and the cell that is wrong.
    Refused(String, String),
}

fn refused<T>(why: &str, cell: &str) -> Result<T, No> {
    Err(No::Refused(why.to_string(), cell.to_string()))
}

/// What the cells of a row say.
#[derive(Default)]
struct ImportRow {
    /// One, or several in one cell or list.
    address: String,
    scopes: Vec<String>,
    /// What it is, by the first that says so; a word goes before a flag.
    word: Option<Sense>,
    flag: Option<Sense>,
    by_recipient: bool,
    text: Vec<String>,
    since: Option<Timestamp>,
    /// Some cell says more than who, and since when.
    says_why: bool,
    /// Some cell should be a time and is none.
    timeless: bool,
    until: Option<Timestamp>,
    rule: Option<String>,
    events: Option<u64>,
}

impl ImportRow {
    fn of(format: &KnownList, fields: &[(Column, usize)], cells: &[String]) -> Result<Self, No> {
        let mut row = Self::default();
        for (column, at) in fields {
            let cell = cells.get(*at).map(|cell| cell.trim()).unwrap_or_default();
            let reads_nothing = matches!(column, Column::Flag { .. });
            row.says_why |= !cell.is_empty() && !column.tells_who();
            if !cell.is_empty() || reads_nothing {
                row.take(format, *column, cell)?;
            }
        }
        match row.address.as_str() {
            "" => refused("there is no address", ""),
            address if address.contains('\u{fffd}') => refused("the address is not UTF-8", address),
            address if !address.contains('@') => refused(NO_AT, address),
            _ => Ok(row),
        }
    }

    fn take(&mut self, format: &KnownList, column: Column, cell: &str) -> Result<(), No> {
        let ours = format.name == OWN.name;
        match column {
            Column::Address if self.address.is_empty() => {
                self.address = cell.trim_end_matches([',', ';']).to_string();
            }
            Column::Address | Column::Ignored => {}
            Column::Scope => self.scopes = vec![cell.to_string()],
            Column::Scopes => {
                let names = cell.split([',', ';', '|', '[', ']', '"', '\'']).map(str::trim);
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
                state if ours => return refused(NO_STATE, state),
                status => self.status(status)?,
            },
            Column::Status => self.status(cell)?,
            Column::Reason => match Cause::parse(cell) {
                Some(cause) => self.means(Sense::Is(cause)),
                None => self.word_or_text(cell, if ours { None } else { sense(cell) }),
            },
            Column::Word => self.word_or_text(cell, sense(cell)),
            Column::Text => self.text.push(cell.to_string()),
            Column::Since => match moment(cell) {
                Some(since) => self.since = self.since.or(Some(since)),
                None => self.timeless = true,
            },
            Column::Until if NEVER.iter().any(|word| cell.eq_ignore_ascii_case(word)) => {}
            Column::Until => {
                self.until = Some(moment(cell).ok_or_else(|| no_time("until", cell))?);
            }
            Column::Rule => self.rule = Some(cell.to_string()),
            Column::Events => match cell.parse() {
                Ok(events) => self.events = Some(events),
                Err(_) => return refused("`events` must be a number such as 3", cell),
            },
            Column::Code if is_code(cell) => self.flags(coded(cell)),
            Column::Code if cell.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {}
            Column::Code => self.status(cell)?,
            Column::Flag { set, unset, empty_is_unset } => {
                let says = match is_set(cell) {
                    Some(true) => set,
                    Some(false) => unset,
                    None if empty_is_unset && is_nothing(cell) => unset,
                    None if moment(cell).is_some() => set,
                    None => return refused(NO_FLAG, cell),
                };
                self.flags(says);
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
            Column::When(_) | Column::Unless(_) if is_set(cell).is_none() => {
                return refused(NO_FLAG, cell);
            }
            Column::When(_) | Column::Unless(_) | Column::OtherThan(..) => {}
            Column::Origin => self.by_recipient = cell.eq_ignore_ascii_case("recipient"),
        }
        Ok(())
    }

    /// Takes a flag. The first decides, but for one that says that mail goes on: `bounced` beside
    /// `unsubscribed`, which is not set.
    fn flags(&mut self, says: Option<Sense>) {
        let stops = matches!(says, Some(Sense::Is(_)));
        if self.flag.is_none() || (stops && matches!(self.flag, Some(Sense::Not(_)))) {
            self.flag = says;
        }
    }

    /// Takes a word. The first decides, but for a failure of which another says that it may pass, or is
    /// none (`bounce` beside `blocked`), or which it is (`hard` beside `user unknown`).
    fn means(&mut self, sense: Sense) {
        let milder = matches!(sense, Sense::Soft | Sense::Block | Sense::Not(_))
            && matches!(self.word, Some(Sense::Is(Cause::Failure(_))));
        let finer = self.word == Some(BOUNCE) && matches!(sense, Sense::Is(Cause::Failure(_)));
        if self.word.is_none() || milder || finer {
            self.word = Some(sense);
        }
    }

    /// The state of a contact: what nobody knows is no reason to stop mail.
    fn status(&mut self, cell: &str) -> Result<(), No> {
        if cell.eq_ignore_ascii_case("inactive") {
            // A mailbox, for some; a contact who reads nothing, for others.
            return refused(NO_STATUS, cell);
        }
        if let Some(sense) = sense(cell) {
            self.means(sense);
        } else if is_code(cell) {
            self.flags(coded(cell));
        } else {
            return refused(NO_STATUS, cell);
        }
        Ok(())
    }

    fn word_or_text(&mut self, cell: &str, sense: Option<Sense>) {
        match sense {
            Some(sense) => self.means(sense),
            None => self.text.insert(0, cell.to_string()),
        }
    }

    /// The addresses of the row: a JSON list of them came with commas.
    fn addresses(&self) -> Vec<String> {
        let several: Vec<&str> = self.address.split(',').map(bare).collect();
        match several.iter().all(|one| one.contains('@')) && !self.address.contains('"') {
            true => several.into_iter().map(str::to_string).collect(),
            false => vec![bare(&self.address).to_string()],
        }
    }

    fn entries(
        self,
        format: &KnownList,
        fields: &[(Column, usize)],
        wishes: &Wishes,
    ) -> Result<Vec<Read>, No> {
        let cause = self.cause(format, wishes)?;
        let silent = fields.iter().any(|(column, _)| !column.tells_who()) && !self.says_why;
        if silent && format.otherwise.is_none() && !wishes.reasoned && format.name != OWN.name {
            return refused(SILENT, "");
        }
        let mut words = crate::report::bounded_words(&self.text.join("; "));
        if words.is_empty() {
            words.clone_from(&wishes.reason);
        }
        let (addresses, mut scopes) = (self.addresses(), self.scopes);
        let imported = Imported { cause, since: self.since, rule: self.rule, events: self.events };
        if scopes.is_empty() {
            scopes.push(wishes.scope.clone());
        }
        let entry = |(address, scope): (&String, &String)| {
            Read::Entry(ImportEntry {
                address: address.clone(),
                scope: scope.clone(),
                words: words.clone(),
                until: self.until,
                imported: imported.clone(),
            })
        };
        let noted = (self.timeless && self.since.is_none()).then(|| Read::Noted(TIMELESS.into()));
        let pairs = addresses.iter().flat_map(|one| scopes.iter().map(move |scope| (one, scope)));
        Ok(pairs.map(entry).chain(noted).collect())
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
        // What is suppressed in our own list is so by the policy, whatever its reason.
        let ours = format.name == OWN.name;
        let weighs = weighs.map(|sense| match sense {
            Sense::Is(cause) if !ours => weighed(cause),
            other => other,
        });
        let left_out = |what: &str| Err(No::LeftOut(what.to_string()));
        let known = match says {
            Some(Sense::Is(Cause::ByHand)) if self.by_recipient => Some(Cause::Unsubscribe),
            Some(Sense::Is(cause)) => Some(cause),
            _ => None,
        };
        match weighs {
            Some(Sense::Not(what)) => left_out(what),
            Some(Sense::Soft) if !wishes.all => left_out(SOFT),
            Some(Sense::Block) if !wishes.all => left_out(BLOCKED),
            Some(Sense::Soft | Sense::Block) => Ok(known.or(match BOUNCE {
                Sense::Is(cause) => Some(cause),
                _ => None,
            })),
            _ => Ok(known),
        }
    }
}

/// What databases write for nothing.
fn is_nothing(cell: &str) -> bool {
    let plain = cell.to_ascii_lowercase();
    matches!(plain.as_str(), "" | "null" | "none" | "n/a" | "-" | "[]")
        || plain.starts_with("0000-00-00")
}

fn is_set(flag: &str) -> Option<bool> {
    match flag.to_ascii_lowercase().as_str() {
        // Sisimai has -1 for what is neither hard nor soft; it is asked whether it is soft.
        "-1" | "1" | "true" | "yes" | "t" | "y" | "on" | "x" | "ja" | "oui" | "si" | "sí"
        | "sim" | "wahr" | "vrai" | "verdadero" | "vero" => Some(true),
        "0" | "false" | "no" | "f" | "n" | "off" | "nein" | "non" | "nao" | "não" | "nej"
        | "nee" | "falsch" | "faux" | "falso" => Some(false),
        _ => None,
    }
}

fn no_time(name: &str, cell: &str) -> No {
    let why = format!("`{name}` must be a time such as 2026-11-22 or 2026-11-22T10:00:00Z");
    No::Refused(why, cell.to_string())
}

/// Why a cell is no address.
pub(super) const NO_AT: &str = "no @ in it: write an address such as user@example.com";
/// Words for an end that does not come.
const NEVER: [&str; 5] = ["never", "none", "null", "forever", "-"];
const TIMELESS: &str = "taken without its date, which cannot be read: write 2026-11-22 or \
                        2026-11-22T10:00:00Z";
const NO_STATE: &str = "`state` is suppressed, held, watched, probation or clear; only suppressed \
                        ones are imported";
const NO_STATUS: &str = "the status is no word that is known: write bounced, complaint, \
                         unsubscribed or active, or take the column out";

const SILENT: &str = "nothing in the row says that mail to it is to stop";
const NO_FLAG: &str = "the flag is neither yes nor no: write true or false, or take the column out";

/// Whether it is a status or reply code: `5.1.1`, `550`.
fn is_code(cell: &str) -> bool {
    cell.starts_with(['4', '5']) && cell.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// What a code says: 4 is soft, 5.7 a refusal of the sender (RFC 3463).
fn coded(cell: &str) -> Option<Sense> {
    match cell.as_bytes() {
        [b'4', ..] => Some(Sense::Soft),
        [b'5', b'.', b'7', ..] => Some(Sense::Block),
        _ => None,
    }
}

/// Why a row with such a code is left out, when nothing else is known of it.
pub fn left_out_by(code: &str) -> Option<&'static str> {
    match coded(code)? {
        Sense::Soft => Some(SOFT),
        Sense::Block => Some(BLOCKED),
        Sense::Is(_) | Sense::Not(_) => None,
    }
}

/// A reason in a list of others: its category decides.
fn weighed(cause: Cause) -> Sense {
    match (cause, cause.category()) {
        (Cause::Failure(Reason::Generic), _) => Sense::Is(cause),
        (_, Some(Category::Soft | Category::Undetermined)) => Sense::Soft,
        (_, Some(Category::Block)) => Sense::Block,
        _ => Sense::Is(cause),
    }
}

/// An address without what people and programs put around it: `Name <a@x>`, `mailto:a@x`, `'a@x'`,
/// `a@x;`.
fn bare(cell: &str) -> &str {
    let cell = cell.trim_end_matches([',', ';']).trim();
    let cell = match cell.rsplit_once('<') {
        Some((_, inner)) if inner.ends_with('>') => inner.trim_end_matches('>'),
        _ => cell,
    };
    let quoted = |quote| cell.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let cell = quoted('\'').or_else(|| quoted('"')).unwrap_or(cell).trim();
    let scheme = cell.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("mailto:"));
    scheme.map_or(cell, |scheme| cell.get(scheme.len()..).unwrap_or_default())
}

/// A moment as lists write it: RFC 3339, the same with a space, RFC 5322, seconds or milliseconds
/// since 1970. What may be read in two ways, such as 1/2/2026, is not.
/// What was before 1970 is not the time of a mail, and a year may be too large to be written.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
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
        let (clock, zone) = clock.split_at(clock.find(['Z', 'z', '+', '-']).unwrap_or(clock.len()));
        let zone = if zone.is_empty() { "Z" } else { zone };
        let seconds = if clock.matches(':').count() == 1 { ":00" } else { "" };
        return Timestamp::parse_rfc3339(&format!("{day}T{clock}{seconds}{zone}"));
    }
    Timestamp::parse_rfc5322(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_out_of_what_is_around_them() {
        for (cell, address) in [
            ("a@x.test", "a@x.test"),
            ("Ann <a@x.test>", "a@x.test"),
            ("\"Ann, B.\" <a@x.test>;", "a@x.test"),
            ("mailto:a@x.test", "a@x.test"),
            ("MAILTO:a@x.test", "a@x.test"),
            ("'a@x.test'", "a@x.test"),
            ("\"a@x.test\"", "a@x.test"),
            ("a@x.test;", "a@x.test"),
            ("'quoted@x.test", "'quoted@x.test"),
            ("\"a b\"@x.test", "\"a b\"@x.test"),
            ("a'b@x.test", "a'b@x.test"),
        ] {
            assert_eq!(bare(cell), address, "{cell}");
        }
    }

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
            ("2023-11-14 22:13", Some("2023-11-14T22:13:00Z")),
            ("2023-11-14T22:13Z", Some("2023-11-14T22:13:00Z")),
            ("2023-11-14 22:13 +0100", Some("2023-11-14T21:13:00Z")),
            ("2023-11-14 22:13 +01:00", Some("2023-11-14T21:13:00Z")),
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
