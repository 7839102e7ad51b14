//! Phrases that begin with a word, found by their first octets: two look-ups a word of the text.
//!
//! Promises: every phrase that is at a place is told, those of one length in the order in which they
//! were given; nothing is allocated. Deliberately ignorant of what a phrase means and where it must
//! end.

/// Phrases by their first octets.
#[derive(Debug)]
pub(super) struct Starts {
    /// Those of eight octets and more, by all of the first eight: many begin with the same word.
    long: Slots,
    /// The others, by their first word.
    short: Slots,
}

/// Phrases by a number that is made of their first octets.
#[derive(Debug)]
struct Slots {
    /// Where the entries of each slot begin; one more at the end.
    begins: Vec<u32>,
    entries: Vec<StartEntry>,
}

#[derive(Debug)]
struct StartEntry {
    /// The first octets, zeros where the phrase is shorter, and which of them count.
    head: u64,
    mask: u64,
    text: Box<[u8]>,
    phrase: u32,
}

const BITS: u32 = 12;

impl Starts {
    /// Whether a phrase can be found by its first word: one that ends within a word must have its
    /// first octets to itself.
    pub(super) const fn can_have(text: &str, open_end: bool) -> bool {
        text.len() >= if open_end { KEY } else { 1 }
    }

    /// Prepares phrases: a text and a number for each.
    pub(super) fn new<'t>(phrases: impl Iterator<Item = (&'t str, u32)>) -> Self {
        let (long, short) = phrases.partition(|(text, _)| text.len() >= 8);
        Self { long: Slots::new(long, |head| head), short: Slots::new(short, first_word) }
    }

    /// The phrases at the start of a text.
    pub(super) fn at<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = u32> + 'a {
        let head = head(text);
        let entries = self.long.of(head).iter().chain(self.short.of(first_word(head)));
        entries
            .filter(move |one| {
                head & one.mask == one.head && (one.text.len() <= 8 || text.starts_with(&one.text))
            })
            .map(|one| one.phrase)
    }
}

impl Slots {
    fn new(phrases: Vec<(&str, u32)>, key: impl Fn(u64) -> u64) -> Self {
        let entry = |(text, phrase): (&str, u32)| {
            let octets = u32::try_from(text.len().min(8) * 8).unwrap_or(64);
            let mask = u64::MAX.checked_shr(64 - octets).unwrap_or_default();
            let text: Box<[u8]> = text.as_bytes().into();
            StartEntry { head: head(&text) & mask, mask, text, phrase }
        };
        let mut entries: Vec<StartEntry> = phrases.into_iter().map(entry).collect();
        let slot = |entry: &StartEntry| slot(key(head(&entry.text)));
        // Stable: within a slot the given order stays.
        entries.sort_by_key(slot);
        let begin = |n| entries.partition_point(|entry| slot(entry) < n);
        let begins = (0..=1 << BITS).map(|n| u32::try_from(begin(n)).unwrap_or(u32::MAX)).collect();
        Self { begins, entries }
    }

    fn of(&self, key: u64) -> &[StartEntry] {
        let slot = slot(key);
        match self.begins.get(slot..slot + 2) {
            Some(&[from, to]) => self.entries.get(from as usize..to as usize).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// Octets of a word that choose its slot.
const KEY: usize = 4;

/// The first eight octets of a text; a blank follows a short one, as in the text.
fn head(text: &[u8]) -> u64 {
    match text.first_chunk() {
        Some(octets) => u64::from_le_bytes(*octets),
        None => u64::from_le_bytes(std::array::from_fn(|n| text.get(n).copied().unwrap_or(b' '))),
    }
}

/// A first word: at most four octets of it, and nothing that is after it.
fn first_word(head: u64) -> u64 {
    let [a, b, c, d, ..] = head.to_le_bytes();
    let word = match (a, b, c) {
        (_, b' ', _) => [a, b' ', b' ', b' '],
        (_, _, b' ') => [a, b, b' ', b' '],
        _ => [a, b, c, d],
    };
    u64::from(u32::from_le_bytes(word))
}

/// Fibonacci hashing.
const fn slot(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_by_their_first_word() {
        let phrases =
            ["no", "no such user", "no user", "nobody", "a", "mailbox full", "mailbox", "user unk"];
        let starts = Starts::new(phrases.into_iter().zip(0..));
        for (text, expected) in [
            ("no such user here ", &["no such user", "no"][..]),
            ("no ", &["no"]),
            // Another first word has another slot; where a phrase ends is not asked here.
            ("nobody ", &["nobody"]),
            ("a ", &["a"]),
            ("mailbox full ", &["mailbox full", "mailbox"]),
            ("mailboxes ", &["mailbox"]),
            ("user unknown ", &["user unk"]),
            ("user", &[]),
            ("", &[]),
        ] {
            let found: Vec<&str> =
                starts.at(text.as_bytes()).map(|n| phrases[n as usize]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
