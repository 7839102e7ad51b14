//! Many literals looked for in one text: rules, formats and wordings are thousands of pieces, and a
//! notice is a kilobyte.
//!
//! Each piece is known by its rarest run of eight octets (four, two or one for shorter pieces). The
//! text is read once for each of these widths; every position asks a filter of 8 KiB, which stays
//! in the first cache, and nearly always hears no. An automaton over the same pieces does one step
//! a position too, but through megabytes of table, each step waiting for the one before.
//!
//! Promises: every occurrence of every piece is reported, overlapping or not; linear in the text
//! but for occurrences; nothing is allocated while searching.

use std::collections::HashMap;

/// Literals, ready to be looked for.
#[derive(Debug)]
pub struct MultiSearch {
    pieces: Vec<Box<[u8]>>,
    eight: Class,
    four: Class,
    two: Class,
    one: Class,
}

/// The pieces that are known by runs of one width.
#[derive(Debug)]
struct Class {
    /// One bit a hash.
    filter: Vec<u64>,
    /// Where the entries of each slot begin; one more at the end. Empty when there are none.
    slots: Vec<u32>,
    entries: Vec<RunEntry>,
}

/// A run, and the piece that is known by it.
#[derive(Debug)]
struct RunEntry {
    run: u64,
    piece: u32,
    /// Octets of the piece before the run.
    before: u32,
}

/// Bits of a filter.
const BITS: usize = 1 << 16;
/// Slots of a class.
const SLOTS: usize = 1 << 10;

impl MultiSearch {
    /// Prepares pieces; an empty one is never found.
    pub fn new<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Self {
        let pieces: Vec<Box<[u8]>> = pieces.into_iter().map(|p| p.as_ref().into()).collect();
        let class = |width: usize| {
            let fits = |piece: &[u8]| match width {
                8 => piece.len() >= 8,
                width => piece.len() >= width && piece.len() < 2 * width,
            };
            Class::new(&pieces, width, fits)
        };
        Self { eight: class(8), four: class(4), two: class(2), one: class(1), pieces }
    }

    /// Calls back for each occurrence: the number of the piece, and where it begins. In no promised
    /// order.
    pub fn find(&self, text: &[u8], mut on_match: impl FnMut(usize, usize)) {
        self.scan::<8>(&self.eight, text, &mut on_match);
        self.scan::<4>(&self.four, text, &mut on_match);
        self.scan::<2>(&self.two, text, &mut on_match);
        self.scan::<1>(&self.one, text, &mut on_match);
    }

    /// Whether any piece is in the text.
    pub fn any(&self, text: &[u8]) -> bool {
        let mut stands = false;
        self.find(text, |_, _| stands = true);
        stands
    }

    fn scan<const WIDTH: usize>(
        &self,
        class: &Class,
        text: &[u8],
        on_match: &mut impl FnMut(usize, usize),
    ) {
        if class.entries.is_empty() {
            return;
        }
        for (at, octets) in text.windows(WIDTH).enumerate() {
            let run = run_of::<WIDTH>(octets);
            let hash = hash(run);
            if class.filter.get(hash / 64).is_none_or(|bits| bits >> (hash % 64) & 1 == 0) {
                continue;
            }
            for entry in class.entries_of(hash).iter().filter(|e| e.run == run) {
                let (piece, before) = (entry.piece as usize, entry.before as usize);
                let start = at.checked_sub(before);
                let stands = |start: &usize| {
                    let rest = text.get(*start..).unwrap_or_default();
                    self.pieces.get(piece).is_some_and(|piece| rest.starts_with(piece))
                };
                if let Some(start) = start.filter(stands) {
                    on_match(piece, start);
                }
            }
        }
    }
}

impl Class {
    fn new(pieces: &[Box<[u8]>], width: usize, fits: impl Fn(&[u8]) -> bool) -> Self {
        let mine = || pieces.iter().enumerate().filter(|(_, piece)| fits(piece));
        let mut counts: HashMap<&[u8], u32> = HashMap::new();
        for run in mine().flat_map(|(_, piece)| piece.windows(width)) {
            *counts.entry(run).or_default() += 1;
        }
        let number = |n: usize| u32::try_from(n).expect("some thousand short pieces");
        let mut entries: Vec<RunEntry> = mine()
            .filter_map(|(n, piece)| {
                let runs = piece.windows(width).enumerate();
                // The first of the rarest: the same pieces are always known by the same runs.
                let (before, run) = runs.min_by_key(|(_, run)| counts.get(run).copied())?;
                let mut octets = [0; 8];
                octets.get_mut(..width)?.copy_from_slice(run);
                let run = u64::from_le_bytes(octets);
                Some(RunEntry { run, piece: number(n), before: number(before) })
            })
            .collect();
        entries.sort_by_key(|entry| slot(hash(entry.run)));
        let mut filter = vec![0; BITS / 64];
        for hash in entries.iter().map(|entry| hash(entry.run)) {
            filter[hash / 64] |= 1 << (hash % 64);
        }
        let begin = |n| number(entries.partition_point(|entry| slot(hash(entry.run)) < n));
        let slots = (0..=SLOTS).map(begin).collect();
        Self { filter, slots, entries }
    }

    fn entries_of(&self, hash: usize) -> &[RunEntry] {
        match self.slots.get(slot(hash)..slot(hash) + 2) {
            Some(&[from, to]) => self.entries.get(from as usize..to as usize).unwrap_or_default(),
            _ => &[],
        }
    }
}

fn run_of<const WIDTH: usize>(octets: &[u8]) -> u64 {
    let mut word = [0; 8];
    if let (Some(head), Some(octets)) = (word.first_chunk_mut(), octets.first_chunk::<WIDTH>()) {
        *head = *octets;
    }
    u64::from_le_bytes(word)
}

/// Fibonacci hashing to [`BITS`].
const fn hash(run: u64) -> usize {
    (run.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
}

/// Slot of a hash: its first bits.
const fn slot(hash: usize) -> usize {
    hash / (BITS / SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pieces: &[&str], text: &str) -> Vec<(usize, usize)> {
        let mut hits = Vec::new();
        let search = MultiSearch::new(pieces);
        search.find(text.as_bytes(), |piece, at| hits.push((piece, at)));
        assert_eq!(search.any(text.as_bytes()), !hits.is_empty(), "{text}");
        hits.sort_unstable();
        hits
    }

    #[test]
    fn every_occurrence_is_reported() {
        for (pieces, text, expected) in [
            (&["user unknown"][..], "550 user unknown; user unknown", &[(0, 4), (0, 18)][..]),
            // Overlapping, and of every width.
            (
                &["mailbox is full", "is full", "full", "ll", "l", ""],
                "mailbox is full",
                &[(0, 0), (1, 8), (2, 11), (3, 13), (4, 3), (4, 13), (4, 14)],
            ),
            (&["aa"], "aaaa", &[(0, 0), (0, 1), (0, 2)]),
            // The run is at the edge, the piece is not.
            (&["no such user here"], "such user here", &[]),
            (&["no such user here"], "no such user", &[]),
            // The same piece twice has two numbers.
            (&["quota", "quota"], "quota", &[(0, 0), (1, 0)]),
            (&["ящик"], "почтовый ящик", &[(0, 17)]),
            (&["x"], "", &[]),
        ] {
            assert_eq!(found(pieces, text), expected, "{text}");
        }
    }

    #[test]
    fn it_finds_what_a_plain_search_finds() {
        // A small alphabet makes many overlapping occurrences.
        let mut seed = 7u64;
        let mut next = |bound: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % bound
        };
        for _ in 0..200 {
            let mut word = |longest: u64| -> String {
                let length = next(longest);
                (0..length).map(|_| char::from(b'a' + next(3) as u8)).collect()
            };
            let text = word(200);
            let pieces: Vec<String> = (0..20).map(|_| word(14)).collect();
            let mut plain = Vec::new();
            for (n, piece) in pieces.iter().enumerate().filter(|(_, p)| !p.is_empty()) {
                let at = |at: &usize| text[*at..].starts_with(piece.as_str());
                plain.extend((0..text.len()).filter(at).map(|at| (n, at)));
            }
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            assert_eq!(found(&pieces, &text), plain, "{pieces:?} in {text}");
        }
    }
}
