//! Many literals looked for in one text: rules, formats and wordings are thousands of pieces, and a
//! notice is a kilobyte.
//!
//! Of the text only every fourth position is looked at: a piece of eight octets or more is known by
//! the runs of five octets at four neighbouring places in it, and wherever the piece is, one of them
//! begins at such a position. The rarest runs are taken. Shorter pieces have shorter runs, and are
//! looked for at more positions; where there are few of a length they are looked for one by one. A
//! position asks a small filter, and nearly always hears no. An
//! automaton over the same pieces does a step at each octet, through megabytes of table, each step
//! waiting for the one before.
//!
//! Promises: every occurrence of every piece is reported, overlapping or not; linear in the text
//! but for occurrences; nothing is allocated while searching.

use std::collections::HashMap;

use memchr::memmem::Finder;

/// Literals, ready to be looked for.
#[derive(Debug)]
pub struct MultiSearch {
    pieces: Vec<Box<[u8]>>,
    /// Of eight octets and more.
    eight: Class<5, 4>,
    /// Of four to seven.
    four: Class<3, 2>,
    /// Of two and three.
    two: Class<2, 1>,
    one: Class<1, 1>,
}

/// Pieces that are known by runs of `WIDTH` octets, and looked for at every `STEP`th position.
#[derive(Debug)]
struct Class<const WIDTH: usize, const STEP: usize> {
    /// One bit a hash.
    filter: Vec<u64>,
    /// What a hash is shifted by to have a bit in the filter.
    shift: u32,
    /// Where the entries of each slot begin; one more at the end. Empty when there are none.
    slots: Vec<u32>,
    entries: Vec<RunEntry>,
    /// Instead of all this, when there are few: the number of each piece, and what finds it.
    few: Vec<(usize, Finder<'static>)>,
}

/// A run, and a piece that is known by it.
#[derive(Debug)]
struct RunEntry {
    run: u64,
    piece: u32,
    /// Octets of the piece before the run.
    before: u32,
}

/// Bits of a filter for each entry, and of the largest filter: it shall stay in the first cache.
const BITS: usize = 16;
const MOST_BITS: usize = 1 << 18;

/// So many pieces are found sooner one by one.
const FEW: usize = 10;

impl MultiSearch {
    /// Prepares pieces; an empty one is never found.
    pub fn new<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Self {
        let pieces: Vec<Box<[u8]>> = pieces.into_iter().map(|p| p.as_ref().into()).collect();
        Self {
            eight: Class::new(&pieces, usize::MAX),
            four: Class::new(&pieces, 7),
            two: Class::new(&pieces, 3),
            one: Class::new(&pieces, 1),
            pieces,
        }
    }

    /// Calls back for each occurrence: the number of the piece, and where it begins. In no promised
    /// order.
    pub fn find(&self, text: &[u8], mut on_match: impl FnMut(usize, usize)) {
        self.eight.scan(&self.pieces, text, &mut on_match);
        self.four.scan(&self.pieces, text, &mut on_match);
        self.two.scan(&self.pieces, text, &mut on_match);
        self.one.scan(&self.pieces, text, &mut on_match);
    }

    /// Whether any piece is in the text.
    pub fn any(&self, text: &[u8]) -> bool {
        let mut stands = false;
        self.find(text, |_, _| stands = true);
        stands
    }
}

impl<const WIDTH: usize, const STEP: usize> Class<WIDTH, STEP> {
    /// Octets of the shortest piece that has a run wherever it is.
    const LEAST: usize = WIDTH + STEP - 1;

    /// Takes the pieces of at most `most` octets.
    fn new(pieces: &[Box<[u8]>], most: usize) -> Self {
        let fits = |piece: &[u8]| (Self::LEAST..=most).contains(&piece.len());
        let mine = || pieces.iter().enumerate().filter(|(_, piece)| fits(piece));
        if mine().count() <= FEW {
            let few = mine().map(|(n, piece)| (n, Finder::new(piece).into_owned())).collect();
            return Self {
                filter: Vec::new(),
                shift: 0,
                slots: Vec::new(),
                entries: Vec::new(),
                few,
            };
        }
        let mut counts: HashMap<&[u8], usize> = HashMap::new();
        for run in mine().flat_map(|(_, piece)| piece.windows(WIDTH)) {
            *counts.entry(run).or_default() += 1;
        }
        let number = |n: usize| u32::try_from(n).expect("some thousand short pieces");
        let mut entries = Vec::new();
        for (n, piece) in mine() {
            let often = |runs: &[u8]| -> usize {
                runs.windows(WIDTH).filter_map(|run| counts.get(run)).sum()
            };
            // The first of the rarest: the same pieces are always known by the same runs.
            let places = piece.windows(Self::LEAST).enumerate();
            let Some((first, runs)) = places.min_by_key(|(_, runs)| often(runs)) else { continue };
            entries.extend(runs.windows(WIDTH).zip(first..).filter_map(|(run, before)| {
                let run = word(run.first_chunk::<WIDTH>()?);
                Some(RunEntry { run, piece: number(n), before: number(before) })
            }));
        }
        let bits = (entries.len() * BITS).next_power_of_two().clamp(64, MOST_BITS);
        let shift = u64::BITS - bits.ilog2();
        entries.sort_by_key(|entry| hash(entry.run, shift));
        let mut filter = vec![0; bits / 64];
        for hash in entries.iter().map(|entry| hash(entry.run, shift)) {
            filter[hash / 64] |= 1 << (hash % 64);
        }
        let begin = |n| entries.partition_point(|entry| hash(entry.run, shift) / BITS < n);
        let slots = (0..=bits / BITS).map(|n| number(begin(n))).collect();
        Self { filter, shift, slots, entries, few: Vec::new() }
    }

    fn scan(&self, pieces: &[Box<[u8]>], text: &[u8], on_match: &mut impl FnMut(usize, usize)) {
        for (piece, finder) in &self.few {
            let mut from = 0;
            while let Some(at) = text.get(from..).and_then(|rest| finder.find(rest)) {
                on_match(*piece, from + at);
                from += at + 1;
            }
        }
        if self.entries.is_empty() {
            return;
        }
        let mut at = 0;
        while let Some(octets) = text.get(at..).and_then(|rest| rest.first_chunk::<WIDTH>()) {
            let run = word(octets);
            let hash = hash(run, self.shift);
            if self.filter.get(hash / 64).is_some_and(|bits| bits >> (hash % 64) & 1 == 1) {
                self.look_up(pieces, text, (at, run), on_match);
            }
            at += STEP;
        }
    }

    /// Tells of the pieces that are where a run is. Apart from the loop over the positions, so that
    /// this one keeps all that it needs in registers.
    #[inline(never)]
    fn look_up(
        &self,
        pieces: &[Box<[u8]>],
        text: &[u8],
        (at, run): (usize, u64),
        on_match: &mut impl FnMut(usize, usize),
    ) {
        for entry in self.entries_of(run).iter().filter(|e| e.run == run) {
            let (piece, before) = (entry.piece as usize, entry.before as usize);
            let start = at.checked_sub(before);
            let stands = |start: &usize| {
                let rest = text.get(*start..).unwrap_or_default();
                pieces.get(piece).is_some_and(|piece| rest.starts_with(piece))
            };
            if let Some(start) = start.filter(stands) {
                on_match(piece, start);
            }
        }
    }

    fn entries_of(&self, run: u64) -> &[RunEntry] {
        let slot = hash(run, self.shift) / BITS;
        match self.slots.get(slot..slot + 2) {
            Some(&[from, to]) => self.entries.get(from as usize..to as usize).unwrap_or_default(),
            _ => &[],
        }
    }
}

fn word<const WIDTH: usize>(octets: &[u8; WIDTH]) -> u64 {
    let mut word = [0; 8];
    if let Some(head) = word.first_chunk_mut() {
        *head = *octets;
    }
    u64::from_le_bytes(word)
}

/// Fibonacci hashing.
const fn hash(run: u64, shift: u32) -> usize {
    (run.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift) as usize
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
            // Of twenty few have one length, of two hundred many.
            let count = if text.len().is_multiple_of(2) { 20 } else { 200 };
            let pieces: Vec<String> = (0..count).map(|_| word(14)).collect();
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
