//! The phrase tables, and finding all of them in one pass.
//!
//! Promises: one look at each word of sender, subject and the beginning of the text, however many
//! phrases there are; a phrase counts only as whole words; the number of hits is bounded. The
//! tables are data (`*.toml` beside this file); what they mean together is judged in `mod.rs`.
//!
//! Phrases begin where words begin, so a filter on their first octets, small enough to stay in the
//! first cache, is asked at each word; an Aho-Corasick automaton would have to look at every octet.

use std::sync::LazyLock;

use serde::Deserialize;

use super::fold::fold;

/// What a phrase speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Topic {
    /// A notice of a delivery failure.
    Failure,
    /// A notice of a delayed delivery.
    Delay,
    /// Absence and automatic answers.
    Vacation,
    /// Acknowledgement by a ticket system or a contact form.
    Ticket,
    /// Challenge-response.
    Challenge,
    /// Asks out.
    Unsubscribe,
    /// Asks in.
    Subscribe,
    /// Read receipt.
    Receipt,
    /// The sender's address changed.
    Move,
}

/// Where a phrase counts; the tables' keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Name or address of the sender.
    From,
    /// The subject begins so.
    Lead,
    /// Anywhere in the subject.
    Subject,
    /// In the subject, with another clue.
    Hint,
    /// Says that the topic is another one.
    Cancel,
    /// The whole subject, or the whole first line.
    Exact,
    /// The text says of itself what it is.
    Says,
    /// In the text.
    Text,
    /// In the text, with another clue.
    Weak,
}

/// One phrase of a table.
#[derive(Debug)]
pub(super) struct Mark {
    pub topic: Topic,
    pub place: Place,
    /// Product of a challenge.
    pub format: String,
    /// Folded phrase.
    pub phrase: String,
    /// What `bounce_signs` and the evidence print.
    pub label: String,
    open_end: bool,
}

/// A phrase that was found, with its octets in the folded text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub mark: &'static Mark,
    pub start: usize,
    pub end: usize,
}

/// Hits that are kept of one message; more say nothing new.
const HITS: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    phrases: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    topic: Topic,
    lang: String,
    #[serde(default)]
    format: String,
    #[serde(default)]
    from: Vec<String>,
    #[serde(default)]
    lead: Vec<String>,
    #[serde(default)]
    subject: Vec<String>,
    #[serde(default)]
    hint: Vec<String>,
    #[serde(default)]
    cancel: Vec<String>,
    #[serde(default)]
    exact: Vec<String>,
    #[serde(default)]
    says: Vec<String>,
    #[serde(default)]
    text: Vec<String>,
    #[serde(default)]
    weak: Vec<String>,
}

const FILES: [&str; 7] = [
    include_str!("bounces.toml"),
    include_str!("vacation.toml"),
    include_str!("tickets.toml"),
    include_str!("challenges.toml"),
    include_str!("requests.toml"),
    include_str!("receipts.toml"),
    include_str!("moves.toml"),
];

/// First octets of a phrase by which it is looked up, as masks of a little-endian word: eight, or
/// five or three for shorter phrases. No phrase is shorter than three octets.
const KEYS: [u64; 3] = [u64::MAX, 0xff_ffff_ffff, 0xff_ffff];
/// Bits of the filter; a power of two many times the number of phrases, so that other words rarely
/// share one. 8 KiB: it stays in the first cache.
const BITS: usize = 1 << 16;
/// Slots; a power of two near the number of phrases.
const SLOTS: usize = 1 << 12;

struct Tables {
    /// All marks, those of one slot together.
    marks: Vec<Mark>,
    /// The first octets of each mark: compared before the phrase is.
    heads: Vec<Head>,
    /// Where the marks of each slot begin; one more at the end.
    slots: Vec<u16>,
    /// One bit a hash: whether there are marks.
    filter: Vec<u64>,
    /// One bit a hash of three octets: whether a mark of any length begins so.
    starts: Vec<u64>,
}

/// The first sixteen octets of a mark as two words; shorter ones are masked.
struct Head {
    first: (u64, u64),
    second: (u64, u64),
    /// There are no more octets.
    whole: bool,
}

/// Up to eight octets as a word, and the mask of those that there are.
fn masked(octets: &[u8]) -> (u64, u64) {
    let mask = match octets.len() {
        length @ 0..8 => !(u64::MAX << (8 * length)),
        _ => u64::MAX,
    };
    (word(octets) & mask, mask)
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut keyed: Vec<(usize, u64, Mark)> = Vec::new();
    for file in FILES {
        let file: File = toml::from_str(file).expect("a unit test reads the shipped tables");
        for mark in file.phrases.iter().flat_map(marks_of) {
            let mask = match mark.phrase.len() {
                0..5 => KEYS[2],
                5..8 => KEYS[1],
                _ => KEYS[0],
            };
            let head = word(mark.phrase.as_bytes()) & mask;
            keyed.push((hash(head), head, mark));
        }
    }
    // A stable sort: within a slot the order of the files stays.
    keyed.sort_by_key(|(hash, ..)| slot(*hash));
    let (mut filter, mut starts) = (vec![0; BITS / 64], vec![0; BITS / 64]);
    for (all, head, _) in &keyed {
        filter[all / 64] |= 1 << (all % 64);
        let start = hash(head & KEYS[2]);
        starts[start / 64] |= 1 << (start % 64);
    }
    let begin = |n| keyed.partition_point(|(hash, ..)| slot(*hash) < n);
    let slots = (0..=SLOTS).map(|n| u16::try_from(begin(n)).expect("some thousand phrases"));
    let slots = slots.collect();
    let heads = keyed.iter().map(|(.., mark)| {
        let phrase = mark.phrase.as_bytes();
        let second = masked(phrase.get(8..).unwrap_or_default());
        Head { first: masked(phrase), second, whole: phrase.len() <= 16 }
    });
    let heads = heads.collect();
    let marks = keyed.into_iter().map(|(.., mark)| mark).collect();
    Tables { marks, heads, slots, filter, starts }
});

impl Tables {
    /// Whether any mark begins with the first three of these octets.
    fn may_begin(&self, octets: u64) -> bool {
        is_set(&self.starts, hash(octets & KEYS[2]))
    }

    /// The marks of a key that a text begins with; `first` and `second` are its first octets.
    fn candidates(
        &self,
        key: u64,
        (first, second): (u64, u64),
        text: &[u8],
    ) -> impl Iterator<Item = &Mark> {
        let hash = hash(key);
        let range = match self.slots.get(slot(hash)..slot(hash) + 2) {
            Some(&[from, to]) if is_set(&self.filter, hash) => usize::from(from)..usize::from(to),
            _ => 0..0,
        };
        let heads = self.heads.get(range.clone()).unwrap_or_default();
        let marks = self.marks.get(range).unwrap_or_default();
        let fits = move |(head, mark): &(&Head, &Mark)| {
            first & head.first.1 == head.first.0
                && second & head.second.1 == head.second.0
                && (head.whole || text.starts_with(mark.phrase.as_bytes()))
        };
        heads.iter().zip(marks).filter(fits).map(|(_, mark)| mark)
    }
}

fn is_set(bits: &[u64], at: usize) -> bool {
    bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
}

/// The first eight octets; zeros behind the end.
fn word(octets: &[u8]) -> u64 {
    if let Some(eight) = octets.first_chunk() {
        return u64::from_le_bytes(*eight);
    }
    octets.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet))
}

/// Fibonacci hashing to [`BITS`].
fn hash(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
}

/// Slot of a hash: its first bits.
const fn slot(hash: usize) -> usize {
    hash / (BITS / SLOTS)
}

fn marks_of(row: &Row) -> impl Iterator<Item = Mark> + '_ {
    let places = [
        (Place::From, "from", &row.from),
        (Place::Lead, "subject", &row.lead),
        (Place::Subject, "subject", &row.subject),
        (Place::Hint, "subject", &row.hint),
        (Place::Cancel, "text", &row.cancel),
        (Place::Exact, "subject", &row.exact),
        (Place::Says, "text", &row.says),
        (Place::Text, "text", &row.text),
        (Place::Weak, "text", &row.weak),
    ];
    places.into_iter().flat_map(move |(place, word, list)| {
        list.iter().map(move |written| {
            let plain = written.trim_end_matches('*');
            Mark {
                topic: row.topic,
                place,
                format: row.format.clone(),
                phrase: fold(plain),
                label: format!("{word}: `{plain}` ({})", row.lang),
                open_end: written.ends_with('*'),
            }
        })
    })
}

/// All phrases in a folded text, as whole words, in the order of the text.
pub(super) fn find(folded: &str) -> Vec<Hit> {
    let tables = &*TABLES;
    let mut hits = Vec::new();
    let octets = folded.as_bytes();
    let (mut at, mut in_word) = (0, false);
    while let Some(&octet) = octets.get(at) {
        let start = at;
        // A word begins where what stands before is no letter, or where the script writes without
        // spaces (or with prefixes, as Hebrew and Arabic do).
        let letter = if octet.is_ascii() {
            at += 1;
            octet.is_ascii_alphanumeric()
        } else {
            let c = folded.get(at..).and_then(|rest| rest.chars().next()).unwrap_or(' ');
            at += c.len_utf8();
            spaced_letter(c)
        };
        let begins = !(in_word && letter) && octet != b' ';
        in_word = letter;
        if letter {
            // No word begins inside a word.
            let inside = octets.get(at..).unwrap_or_default();
            at += inside.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        }
        let rest = octets.get(start..).unwrap_or_default();
        let first = word(rest);
        if !begins || !tables.may_begin(first) {
            continue;
        }
        let second = rest.get(8..).map_or(0, word);
        for key in KEYS {
            for mark in tables.candidates(first & key, (first, second), rest) {
                let end = start + mark.phrase.len();
                if mark.open_end || word_ends(folded, end) {
                    hits.push(Hit { mark, start, end });
                }
            }
        }
        if hits.len() >= HITS {
            break;
        }
    }
    hits
}

fn word_ends(text: &str, at: usize) -> bool {
    let last = text.get(..at).and_then(|t| t.chars().next_back());
    let after = text.get(at..).and_then(|t| t.chars().next());
    !(last.is_some_and(spaced_letter) && after.is_some_and(spaced_letter))
}

/// A letter or digit of a script that separates its words: Latin, Greek, Cyrillic, Armenian,
/// Georgian.
fn spaced_letter(c: char) -> bool {
    match c {
        '\0'..='\x7f' => c.is_ascii_alphanumeric(),
        '\u{80}'..='\u{58f}' | '\u{10a0}'..='\u{10ff}' | '\u{1e00}'..='\u{1fff}' => {
            c.is_alphanumeric()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_is_found_by_itself() {
        let mut count = 0;
        for mark in &TABLES.marks {
            assert!(!mark.phrase.trim().is_empty(), "{}", mark.label);
            let found = find(&mark.phrase);
            assert!(found.iter().any(|h| std::ptr::eq(h.mark, mark)), "{}", mark.label);
            count += 1;
        }
        assert!(count > 3000, "only {count} phrases: a table is not read");
    }

    #[test]
    fn only_whole_words_count() {
        for (text, phrase, expected) in [
            ("urlaub", "urlaub", true),
            ("urlaubsantrag", "urlaub", false),
            ("kein urlaub mehr", "urlaub", true),
            // Japanese has no spaces.
            ("本日不在です", "不在", true),
            ("respuesta automatica", "respuesta autom", true),
        ] {
            let hit = find(text).iter().any(|h| h.mark.phrase == phrase);
            assert_eq!(hit, expected, "{phrase} in {text}");
        }
    }
}
