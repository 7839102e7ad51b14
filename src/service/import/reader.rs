//! From octets to entries: decoded, split into records, each recognised and read.

use std::collections::VecDeque;

use serde_json::Value;

use super::formats::{ANY, Column, KnownList, OWN, WORDED};
use super::list_row::{Read, Wishes};
use super::split::{Shape, SplitStep, Splitter};
use super::{cells, foreign, formats, list_row, meanings, utf8};
use crate::event::Cause;
use crate::service::lines::COLUMNS;

/// Names of columns that an error shows.
const SHOWN_NAMES: usize = 12;
const NO_MEANING: &str = "the second column is no reason that is known, and a scope only before a \
                          state: write the names of the columns as first line, such as \
                          `address,scope` or `address,text`";
const NOT_FIRST: &str = "the address is not in the first column: write the names of the columns as \
                         first line, such as `name,address`";

/// Which list this was taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Understanding {
    /// Its name, and how it is written.
    pub format: String,
    /// Name and meaning of each column.
    pub columns: Vec<(String, &'static str)>,
}

/// Reads an import.
pub struct ImportReader {
    wishes: Wishes,
    decoder: utf8::Decoder,
    splitter: Splitter,
    /// Whether it was looked at as a whole.
    known_to_be_text: bool,
    /// Whether the first row is over, which may be a header.
    started: bool,
    /// Why no row can be read: the first one names columns, and none of them holds addresses, or says
    /// that mail is to stop.
    unusable: Option<String>,
    delimiter: Option<char>,
    csv: Option<Plan>,
    /// Of the last JSON object: the next one has mostly the same names.
    json: Option<Plan>,
    understanding: Option<Understanding>,
    ready: VecDeque<(u64, Read)>,
}

/// What the columns of a record are.
#[derive(Debug, Clone)]
struct Plan {
    names: Vec<String>,
    format: &'static KnownList,
    /// Columns with the place of their cells, in the order of the format.
    fields: Vec<(Column, usize)>,
}

impl Plan {
    /// None when there is no column of addresses.
    fn of(names: &[String]) -> Option<Self> {
        let plain: Vec<String> = names.iter().map(|name| meanings::plain(name)).collect();
        let format = formats::recognise(&plain)?;
        Some(Self { fields: fields(format, &plain), names: names.to_vec(), format })
    }

    /// The columns of a format, in its order.
    fn positional(format: &'static KnownList, names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        Self { fields: fields(format, &names), names, format }
    }

    /// Some column says that mail is to stop, or there is none but the addresses.
    fn says_why(&self) -> bool {
        self.names.len() == 1
            || self.format.otherwise.is_some()
            || self.fields.iter().any(|(column, _)| !column.tells_who())
    }

    fn understanding(&self, written: &str) -> Understanding {
        let meaning = |place| self.fields.iter().find(|(_, at)| *at == place);
        let named = self.names.iter().enumerate().map(|(place, name)| {
            let meaning = meaning(place).map_or(Column::Ignored, |(column, _)| *column);
            (name.clone(), meaning.meaning())
        });
        Understanding {
            format: format!("{} ({written})", self.format.name),
            columns: named.collect(),
        }
    }
}

fn fields(format: &KnownList, names: &[String]) -> Vec<(Column, usize)> {
    let at = |known: &str| names.iter().position(|name| name == known);
    format.columns.iter().filter_map(|(name, column)| Some((*column, at(name)?))).collect()
}

impl ImportReader {
    /// A reader of one file or body.
    pub fn new(wishes: Wishes) -> Self {
        Self {
            wishes,
            decoder: utf8::Decoder::default(),
            splitter: Splitter::default(),
            known_to_be_text: false,
            started: false,
            unusable: None,
            delimiter: None,
            csv: None,
            json: None,
            understanding: None,
            ready: VecDeque::new(),
        }
    }

    /// Takes more octets, of which [`ImportReader::next`] gives the records. The error says what
    /// the file is instead of a list: nothing of it can be read.
    pub fn feed(&mut self, octets: &[u8]) -> Result<(), String> {
        self.take(octets, false)
    }

    /// Nothing more comes.
    pub fn end(&mut self) -> Result<(), String> {
        self.take(b"", true)?;
        self.splitter.end();
        Ok(())
    }

    fn take(&mut self, octets: &[u8], last: bool) -> Result<(), String> {
        self.decoder.push(octets, last, self.splitter.buffer());
        let enough = last || self.splitter.rest().len() >= foreign::ENOUGH;
        if !self.known_to_be_text && enough {
            if let Some(what) = foreign::foreign(self.splitter.rest()) {
                return Err(format!("this is no list of addresses but {what}"));
            }
            self.known_to_be_text = true;
        }
        Ok(())
    }

    /// Lines so far.
    pub fn lines(&self) -> u64 {
        self.splitter.lines()
    }

    /// What the file was taken for; None while nothing in it was recognised.
    pub fn understanding(&self) -> Option<&Understanding> {
        self.understanding.as_ref()
    }

    /// The next record, by the number of its line, in a JSON list by its place there. None: more
    /// octets are needed.
    #[expect(clippy::should_implement_trait, reason = "it goes on after None")]
    pub fn next(&mut self) -> Option<(u64, Read)> {
        if !self.known_to_be_text {
            return None;
        }
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            match self.splitter.next() {
                SplitStep::Starved => return None,
                SplitStep::Broken(number, what) => return Some((number, Read::refused(what))),
                SplitStep::Record(number, shape, octets) => {
                    // Names in Latin-1 beside an address do no harm; in it they are not UTF-8.
                    let text = String::from_utf8_lossy(&octets);
                    let found = match shape {
                        Shape::Json => self.json(&text),
                        Shape::Row => self.row(&text),
                    };
                    self.ready.extend(found.into_iter().map(|read| (number, read)));
                }
            }
        }
    }

    fn json(&mut self, text: &str) -> Vec<Read> {
        self.started = true;
        let (names, values) = match serde_json::from_str(text) {
            Ok(Value::Object(object)) => cells::of_object(object),
            Ok(Value::String(address)) => (vec!["address".to_string()], vec![address]),
            Ok(_) => return vec![Read::refused("no JSON object")],
            Err(wrong) => return vec![Read::refused(format!("no JSON object: {wrong}"))],
        };
        if self.json.as_ref().is_none_or(|plan| plan.names != names) {
            let Some(plan) = Plan::of(&names) else {
                return vec![Read::refused(nameless("field", &names))];
            };
            if !self.wishes.reasoned && !plan.says_why() {
                return vec![Read::refused(mute("field", &names))];
            }
            self.understood(&plan, "JSON");
            self.json = Some(plan);
        }
        let Some(plan) = &self.json else { return Vec::new() };
        list_row::read(plan.format, &plan.fields, &values, &self.wishes)
    }

    fn row(&mut self, text: &str) -> Vec<Read> {
        // A comment has a space: `#` may begin an address. Excel writes empty rows as `;;;`.
        let is_empty = text.trim_matches([' ', '\t', '\r', '\n', ',', ';', '"']).is_empty();
        if is_empty || text.starts_with("# ") {
            return Vec::new();
        }
        if text.trim().starts_with('{') && text.trim().ends_with('}') {
            return self.json(text);
        }
        // Excel says so itself.
        if let Some(said) = text.strip_prefix("sep=").filter(|_| !self.started) {
            self.delimiter = said.chars().next();
            return Vec::new();
        }
        self.delimiter = self.delimiter.or_else(|| cells::delimiter(text));
        let delimiter = self.delimiter.unwrap_or(',');
        let Some(cells) = cells::of_row(text, delimiter) else {
            return vec![Read::refused("a quoted cell does not end on its line")];
        };
        // Files that were put together have each its header.
        let named = !cells.iter().any(|cell| cell.contains('@'));
        if named && (!self.started || (cells.len() > 1 && Plan::of(&cells).is_some())) {
            return self.header(&cells, delimiter);
        }
        self.started = true;
        if let Some(why) = &self.unusable {
            return vec![Read::refused(why.as_str())];
        }
        let cells: Vec<String> =
            cells.iter().map(|cell| cells::unescaped(cell).to_string()).collect();
        if let Some(plan) = &self.csv {
            return list_row::read(plan.format, &plan.fields, &cells, &self.wishes);
        }
        let plan = match headless(&cells) {
            Ok(plan) => plan,
            Err((why, cell)) => return vec![Read::Refused(why.to_string(), cell.to_string())],
        };
        if self.understanding.is_none() {
            self.understood(&plan, "without a header");
        }
        list_row::read(plan.format, &plan.fields, &cells, &self.wishes)
    }

    /// Takes the first row without an address: the names of the columns, or a title above them.
    fn header(&mut self, cells: &[String], delimiter: char) -> Vec<Read> {
        let Some(plan) = Plan::of(cells) else {
            if let [title] = cells {
                self.delimiter = None;
                return vec![Read::Refused(list_row::NO_AT.to_string(), title.clone())];
            }
            // The second cell of what follows may mean anything.
            (self.started, self.unusable) = (true, Some(nameless("column", cells)));
            return Vec::new();
        };
        let written = match delimiter {
            '\t' => "CSV, separated by tabs".to_string(),
            other => format!("CSV, separated by `{other}`"),
        };
        self.understood(&plan, &written);
        let is_mute = !self.wishes.reasoned && !plan.says_why();
        self.unusable = is_mute.then(|| mute("column", cells));
        (self.started, self.csv) = (true, Some(plan));
        Vec::new()
    }

    fn understood(&mut self, plan: &Plan, written: &str) {
        self.understanding.get_or_insert_with(|| plan.understanding(written));
    }
}

/// Why a list of people may be anything: subscribers, for one.
fn mute(what: &str, names: &[String]) -> String {
    let names = shown(names);
    format!(
        "no {what} says that mail to these is to stop: the {what}s here are {names}; if it is, say \
         why with --reason (reason=), or keep the addresses alone"
    )
}

/// Why nothing can be done without a column, or field, of addresses.
fn nameless(what: &str, names: &[String]) -> String {
    let names = shown(names);
    format!(
        "no {what} is called email or address: the {what}s here are {names}; name the one of the \
         addresses `address`"
    )
}

fn shown(names: &[String]) -> String {
    let names: Vec<&str> = names.iter().map(|name| name.trim()).take(SHOWN_NAMES).collect();
    names.join(", ")
}

/// What the columns of a row are, in a file that does not say: an address, and a reason, a scope and
/// a state, a date, or words. The error is a sentence, and the cell that it is about.
fn headless(cells: &[String]) -> Result<Plan, (&'static str, &str)> {
    let cell = |place: usize| cells.get(place).map_or("", |cell| cell.trim());
    if !cell(0).contains('@') && cells.iter().any(|cell| cell.contains('@')) {
        return Err((NOT_FIRST, cell(0)));
    }
    Ok(match cell(1) {
        _ if cells.len() == 1 => Plan::positional(&ANY, &["address"]),
        "" => Plan::positional(&OWN, &COLUMNS),
        _ if list_row::is_state(cell(2)) => Plan::positional(&OWN, &COLUMNS),
        word if Cause::parse(word).is_some() || meanings::sense(word).is_some() => {
            Plan::positional(&WORDED, &["address", "reason", "since"])
        }
        time if list_row::moment(time).is_some() => Plan::positional(&ANY, &["address", "since"]),
        words if words.contains(' ') => Plan::positional(&ANY, &["address", "text", "since"]),
        word => return Err((NO_MEANING, word)),
    })
}
