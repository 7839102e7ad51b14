//! The words that name a role or a state, read from one TOML file a language.
//!
//! ```toml
//! no   = ["no"]                 # before a noun: `no such user`
//! not  = ["not", "cannot"]      # before or behind a predicate
//! from = ["from"]               # what follows is where the mail comes from
//! to   = ["to"]                 # what follows is whom it is for
//! by   = ["by"]                 # what follows did it
//! skip = ["please visit"]       # the rest of the sentence is advice
//! mute = ["requested action"]   # means nothing, whatever its words mean elsewhere
//!
//! [role]
//! recipient = ["recipient", "mailbox*"]
//! [state]
//! absent = ["unknown"]
//! [negated]                     # with a negation they say the state, alone nothing
//! absent = ["exist*"]
//! [said]                        # role and state at once
//! "recipient/absent" = ["nosuchuser"]
//! ```
//!
//! A phrase is whole words; `*` at its end or beginning stands for any letters.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::table::{Pair, Table};
use crate::classify::text::fold_piece;
use crate::mail::MultiSearch;

/// What a phrase is in a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Role(u8),
    State(u8),
    Negated(u8),
    Said(Pair),
    No,
    Not,
    From,
    To,
    By,
    Skip,
    Mute,
    /// A break of the sentence; never in a lexicon.
    Break(u8),
}

/// Every phrase of every language, ready to be found.
#[derive(Debug)]
pub(super) struct Lexicon {
    /// Phrases that begin with a word, by its first octets.
    starts: HashMap<Key, Vec<u32>>,
    /// The others may begin anywhere.
    needles: MultiSearch,
    inside: Vec<u32>,
    texts: Vec<String>,
    phrases: Vec<Phrase>,
}

#[derive(Debug)]
struct Phrase {
    /// The language file that says so, by its place in the list.
    language: u16,
    part: Part,
    octets: u16,
    open_start: bool,
    open_end: bool,
}

/// A phrase where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) part: Part,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    no: Vec<String>,
    not: Vec<String>,
    from: Vec<String>,
    to: Vec<String>,
    by: Vec<String>,
    skip: Vec<String>,
    mute: Vec<String>,
    role: BTreeMap<String, Vec<String>>,
    state: BTreeMap<String, Vec<String>>,
    negated: BTreeMap<String, Vec<String>>,
    said: BTreeMap<String, Vec<String>>,
}

impl Lexicon {
    /// Reads the files; an error names file and word.
    pub(super) fn read(files: &[(&str, &str)], table: &Table) -> Result<Self, String> {
        let mut found: BTreeMap<String, (u16, Part)> = BTreeMap::new();
        for (language, (name, source)) in (0..).zip(files) {
            let file: File = toml::from_str(source).map_err(|e| format!("{name}: {e}"))?;
            let mut add = |part: Part, phrases: &[String]| {
                for phrase in phrases {
                    // The first file that has a phrase says what it is.
                    found.entry(phrase.clone()).or_insert((language, part));
                }
            };
            for (key, phrases) in &file.said {
                let pair =
                    table.pair(key).ok_or_else(|| format!("{name}: `{key}`: no such pair"))?;
                add(Part::Said(pair), phrases);
            }
            for (key, phrases) in &file.role {
                add(
                    Part::Role(table.role(key).ok_or_else(|| format!("{name}: role `{key}`"))?),
                    phrases,
                );
            }
            for (key, phrases) in &file.negated {
                let state = table.state(key).ok_or_else(|| format!("{name}: state `{key}`"))?;
                add(Part::Negated(state), phrases);
            }
            for (key, phrases) in &file.state {
                let state = table.state(key).ok_or_else(|| format!("{name}: state `{key}`"))?;
                add(Part::State(state), phrases);
            }
            add(Part::No, &file.no);
            add(Part::Not, &file.not);
            add(Part::From, &file.from);
            add(Part::To, &file.to);
            add(Part::By, &file.by);
            add(Part::Skip, &file.skip);
            add(Part::Mute, &file.mute);
        }
        let (mut pieces, mut phrases) = (Vec::new(), Vec::new());
        for (text, (language, part)) in found {
            let (piece, phrase) = Phrase::new(&text, language, part);
            pieces.push(piece);
            phrases.push(phrase);
        }
        let mut starts: HashMap<Key, Vec<u32>> = HashMap::new();
        let mut inside = Vec::new();
        for (n, (piece, phrase)) in (0..).zip(pieces.iter().zip(&phrases)) {
            let short = piece.len() < if phrase.open_end { 4 } else { 3 };
            if phrase.open_start || short {
                inside.push(n);
            } else {
                starts.entry(key(piece.as_bytes())).or_default().push(n);
            }
        }
        let sought = inside.iter().filter_map(|n| pieces.get(*n as usize));
        let needles = MultiSearch::new(sought.map(String::as_str));
        Ok(Self { starts, needles, inside, texts: pieces, phrases })
    }

    /// The n-th other phrase of the same meaning and language, whole words only.
    pub(super) fn synonym(&self, old: &str, part: Part, n: usize) -> Option<&str> {
        let at = self.texts.iter().position(|text| text == old)?;
        let language = self.phrases.get(at)?.language;
        let words = old.split(' ').count();
        let same: Vec<&String> = self
            .phrases
            .iter()
            .zip(&self.texts)
            .filter(|(p, text)| {
                p.part == part && p.language == language && !p.open_end && !text.starts_with('@')
            })
            .map(|(_, text)| text)
            .filter(|text| *text != old && text.split(' ').count() == words)
            .collect();
        same.get(n % same.len().max(1)).map(|text| text.as_str())
    }

    /// How many phrases there are.
    pub(super) fn len(&self) -> usize {
        self.phrases.len()
    }

    /// The phrases of a text in order, the longest where several begin, none overlapping, and the
    /// breaks between them.
    pub(super) fn hits(&self, text: &str, hits: &mut Vec<Hit>) {
        hits.clear();
        let bytes = text.as_bytes();
        let mut tell = |n: u32, start: usize| {
            let Some(phrase) = self.phrases.get(n as usize) else { return };
            let end = start + usize::from(phrase.octets);
            let edge = |at: Option<usize>| at.and_then(|i| bytes.get(i)) == Some(&b' ');
            if (phrase.open_start || edge(start.checked_sub(1)))
                && (phrase.open_end || edge(Some(end)))
            {
                let end = if phrase.open_end { word_end(bytes, end) } else { end };
                hits.push(Hit { start, end, part: phrase.part });
            }
        };
        for start in memchr::memchr_iter(b' ', bytes).map(|blank| blank + 1) {
            let rest = bytes.get(start..).unwrap_or_default();
            for n in self.starts.get(&key(rest)).into_iter().flatten() {
                let text = self.texts.get(*n as usize);
                if text.is_some_and(|text| rest.starts_with(text.as_bytes())) {
                    tell(*n, start);
                }
            }
        }
        self.needles.find(bytes, |piece, start| {
            if let Some(n) = self.inside.get(piece) {
                tell(*n, start);
            }
        });
        for (at, byte) in bytes.iter().enumerate().filter(|(_, b)| (1..=4).contains(*b)) {
            hits.push(Hit { start: at, end: at + 1, part: Part::Break(*byte) });
        }
        hits.sort_unstable_by_key(|hit| (hit.start, usize::MAX - hit.end));
        let mut end = 0;
        hits.retain(|hit| {
            let free = hit.start >= end;
            if free {
                end = hit.end;
            }
            free
        });
    }
}

/// The first octets of a phrase, blanks where it is shorter: so the text has them too.
type Key = [u8; 4];

fn key(bytes: &[u8]) -> Key {
    std::array::from_fn(|n| bytes.get(n).copied().unwrap_or(b' '))
}

/// The rest of a word of the Latin, Greek or Cyrillic script; others have no blanks.
fn word_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let run = rest.iter().position(|b| *b <= b' ' || *b >= 0xe0).unwrap_or(rest.len());
    from + run
}

impl Phrase {
    fn new(text: &str, language: u16, part: Part) -> (String, Self) {
        let body = text.trim_start_matches('*').trim_end_matches('*');
        let piece = fold_piece(body);
        let unspaced = |c: Option<char>| c.is_some_and(|c| u32::from(c) >= 0x0e00 && !is_spaced(c));
        let phrase = Self {
            language,
            part,
            octets: u16::try_from(piece.len()).unwrap_or(u16::MAX),
            open_start: text.starts_with('*') || unspaced(piece.chars().next()),
            open_end: text.ends_with('*') || unspaced(piece.chars().last()),
        };
        (piece, phrase)
    }
}

/// Scripts above Thai that separate words (Korean is written with endings, so it is none of them).
fn is_spaced(c: char) -> bool {
    matches!(u32::from(c), 0x1e00..=0x1fff)
}
