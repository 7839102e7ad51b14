//! The words that name a role or a state, read from one TOML file a language.
//!
//! ```toml
//! no   = ["no"]                 # before a noun: `no such user`
//! not  = ["not", "cannot"]      # before or after a predicate
//! from = ["from"]               # what follows is where the mail comes from
//! to   = ["to"]                 # what follows is who it is for
//! by   = ["by"]                 # what follows did it
//! skip = ["please visit"]       # the rest of the sentence is advice
//! mute = ["requested action"]   # means nothing, whatever its words mean elsewhere
//! of   = ["of the"]             # between two roles: one belongs to the other
//! genitive = ["of the"]         # before a role: of what belongs to it, when no phrase says what
//! your = ["your"]               # the role after it is the sending side's
//! his  = ["su"]                 # the same, unless the recipient was named before
//! yours = ["on your side"]      # the role before it is the sending side's
//! you  = ["you are"]            # what is unknown is the sender
//! asked = ["we called back"]    # what follows was answered about the sender
//! during = ["when verifying the sender"]   # its sentence is about the sender, before it too
//! tells = ["replied"]           # after `your server`: the same
//! holds = ["leads to"]          # what follows is quoted from the message, the link, the rule
//! fine = ["is fine"]            # the role before it is not what is wrong
//! trouble = ["problem with"]    # the same of the role after it: `no problem with the mailbox`
//! or   = ["or"]                 # between two causes: neither is sure
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
//! A phrase is whole words; `*` at its end or beginning means any letters.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::parts::{Hit, PhraseKind};
use super::starts::Starts;
use super::table::MeaningTable;
use crate::classify::text::fold_piece;
use crate::mail::MultiSearch;

/// Every phrase of every language, ready to be found.
#[derive(Debug)]
pub(super) struct Lexicon {
    /// Phrases that begin with a word.
    starts: Starts,
    /// Those that may begin anywhere, and have ASCII letters only.
    ascii: Inside,
    /// The others, which no ASCII text has.
    wide: Inside,
    texts: Vec<String>,
    phrases: Vec<Phrase>,
    /// What may be between two roles of which one belongs to the other.
    pub(super) bonds: BTreeSet<String>,
    /// Words before a role that say that something of it is meant.
    pub(super) genitives: Vec<String>,
    /// Words between two causes of which one holds.
    pub(super) ors: Vec<String>,
}

/// Phrases that may begin anywhere.
#[derive(Debug)]
struct Inside {
    search: MultiSearch,
    phrases: Vec<u32>,
}

#[derive(Debug)]
struct Phrase {
    /// The language file that says so, by its place in the list.
    language: u16,
    part: PhraseKind,
    octets: u16,
    open_start: bool,
    open_end: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct LexiconFile {
    no: Vec<String>,
    not: Vec<String>,
    from: Vec<String>,
    to: Vec<String>,
    by: Vec<String>,
    skip: Vec<String>,
    mute: Vec<String>,
    of: Vec<String>,
    genitive: Vec<String>,
    your: Vec<String>,
    his: Vec<String>,
    yours: Vec<String>,
    you: Vec<String>,
    asked: Vec<String>,
    during: Vec<String>,
    tells: Vec<String>,
    holds: Vec<String>,
    fine: Vec<String>,
    trouble: Vec<String>,
    or: Vec<String>,
    role: BTreeMap<String, Vec<String>>,
    state: BTreeMap<String, Vec<String>>,
    negated: BTreeMap<String, Vec<String>>,
    said: BTreeMap<String, Vec<String>>,
}

impl Lexicon {
    /// Reads the files; an error names file and word.
    pub(super) fn read(files: &[(&str, &str)], table: &MeaningTable) -> Result<Self, String> {
        let mut found: BTreeMap<String, (u16, PhraseKind)> = BTreeMap::new();
        let (mut bonds, mut genitives, mut ors) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (language, (name, source)) in (0..).zip(files) {
            let file: LexiconFile = toml::from_str(source).map_err(|e| format!("{name}: {e}"))?;
            let mut add = |part: PhraseKind, phrases: &[String]| {
                for phrase in phrases {
                    // The first file that has a phrase says what it is.
                    found.entry(phrase.clone()).or_insert((language, part));
                }
            };
            for (key, phrases) in &file.said {
                let pair =
                    table.pair(key).ok_or_else(|| format!("{name}: `{key}`: no such pair"))?;
                add(PhraseKind::Said(pair), phrases);
            }
            for (key, phrases) in &file.role {
                add(
                    PhraseKind::Role(
                        table.role(key).ok_or_else(|| format!("{name}: role `{key}`"))?,
                    ),
                    phrases,
                );
            }
            for (key, phrases) in &file.negated {
                let state = table.state(key).ok_or_else(|| format!("{name}: state `{key}`"))?;
                add(PhraseKind::Negated(state), phrases);
            }
            for (key, phrases) in &file.state {
                let state = table.state(key).ok_or_else(|| format!("{name}: state `{key}`"))?;
                add(PhraseKind::State(state), phrases);
            }
            add(PhraseKind::No, &file.no);
            add(PhraseKind::Not, &file.not);
            add(PhraseKind::From, &file.from);
            add(PhraseKind::To, &file.to);
            add(PhraseKind::By, &file.by);
            add(PhraseKind::Skip, &file.skip);
            add(PhraseKind::Mute, &file.mute);
            add(PhraseKind::Your, &file.your);
            add(PhraseKind::His, &file.his);
            add(PhraseKind::Yours, &file.yours);
            add(PhraseKind::You, &file.you);
            add(PhraseKind::Asked, &file.asked);
            add(PhraseKind::During, &file.during);
            add(PhraseKind::Tells, &file.tells);
            add(PhraseKind::Holds, &file.holds);
            add(PhraseKind::Fine, &file.fine);
            add(PhraseKind::Trouble, &file.trouble);
            bonds.extend(file.of.iter().map(|word| fold_piece(word)));
            genitives.extend(file.genitive.iter().map(|word| format!(" {} ", fold_piece(word))));
            // `*`: no blank is around it.
            ors.extend(file.or.iter().map(|word| match word.strip_prefix('*') {
                Some(bare) => fold_piece(bare),
                None => format!(" {} ", fold_piece(word)),
            }));
        }
        let (mut pieces, mut phrases) = (Vec::new(), Vec::new());
        for (text, (language, part)) in found {
            let (piece, phrase) = Phrase::new(&text, language, part);
            pieces.push(piece);
            phrases.push(phrase);
        }
        let all = || (0..).zip(pieces.iter().map(String::as_str)).zip(&phrases);
        let by_word = |text: &str, p: &Phrase| !p.open_start && Starts::can_have(text, p.open_end);
        let starts = Starts::new(
            all().filter(|((_, text), p)| by_word(text, p)).map(|((n, text), _)| (text, n)),
        );
        let inside = |ascii: bool| {
            let rest = all().filter(|((_, text), p)| !by_word(text, p) && text.is_ascii() == ascii);
            let (phrases, texts): (Vec<u32>, Vec<&str>) = rest.map(|(one, _)| one).unzip();
            Inside { search: MultiSearch::new(texts), phrases }
        };
        let (ascii, wide) = (inside(true), inside(false));
        Ok(Self { starts, ascii, wide, texts: pieces, phrases, bonds, genitives, ors })
    }

    /// The n-th other phrase of the same meaning and language, whole words only.
    pub(super) fn synonym(&self, old: &str, part: PhraseKind, n: usize) -> Option<&str> {
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

    /// What a phrase is.
    pub(super) fn part(&self, phrase: &str) -> Option<PhraseKind> {
        let at = self.texts.iter().position(|text| text == phrase)?;
        self.phrases.get(at).map(|phrase| phrase.part)
    }

    /// A word for something in the language of another.
    pub(super) fn same_language(&self, old: &str, part: PhraseKind) -> Option<&str> {
        let at = self.texts.iter().position(|text| text == old)?;
        let language = self.phrases.get(at)?.language;
        let mut all = self.phrases.iter().zip(&self.texts);
        let found = all.find(|(phrase, _)| phrase.part == part && phrase.language == language);
        found.map(|(_, text)| text.as_str())
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
        for start in memchr::memchr_iter(b' ', bytes).map(|blank| blank + 1) {
            let rest = bytes.get(start..).unwrap_or_default();
            if let Some(mark @ 1..=4) = rest.first() {
                hits.push(Hit { start, end: start + 1, part: PhraseKind::Break(*mark) });
                continue;
            }
            let stand = self.starts.at(rest).filter_map(|n| {
                let own = self.phrases.get(n as usize)?.octets;
                Some((own, self.stands(n, start, bytes)?))
            });
            // The longest; of those the one with the most letters of its own, then the first.
            let longest =
                stand.reduce(
                    |one, next| if (next.1.end, next.0) > (one.1.end, one.0) { next } else { one },
                );
            hits.extend(longest.map(|(_, hit)| hit));
        }
        let by_word = hits.len();
        let wide = (!text.is_ascii()).then_some(&self.wide);
        for inside in [Some(&self.ascii), wide].into_iter().flatten() {
            inside.search.find(bytes, |piece, start| {
                let phrase = inside.phrases.get(piece);
                hits.extend(phrase.and_then(|n| self.stands(*n, start, bytes)));
            });
        }
        if hits.len() > by_word {
            // Stable: the same text gives the same phrases.
            hits.sort_by_key(|hit| (hit.start, usize::MAX - hit.end));
        }
        let mut end = 0;
        hits.retain(|hit| {
            let free = hit.start >= end;
            if free {
                end = hit.end;
            }
            free
        });
    }

    /// A phrase whose letters are at a place, when the words begin and end there as it wants.
    fn stands(&self, n: u32, start: usize, text: &[u8]) -> Option<Hit> {
        let phrase = self.phrases.get(n as usize)?;
        let end = start + usize::from(phrase.octets);
        let edge = |at: Option<usize>| at.and_then(|i| text.get(i)) == Some(&b' ');
        let whole = (phrase.open_start || edge(start.checked_sub(1)))
            && (phrase.open_end || edge(Some(end)));
        let end = if phrase.open_end { word_end(text, end) } else { end };
        whole.then_some(Hit { start, end, part: phrase.part })
    }
}

/// The rest of a word of the Latin, Greek or Cyrillic script; others have no blanks.
fn word_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let run = rest.iter().position(|b| *b <= b' ' || *b >= 0xe0).unwrap_or(rest.len());
    from + run
}

impl Phrase {
    fn new(text: &str, language: u16, part: PhraseKind) -> (String, Self) {
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
