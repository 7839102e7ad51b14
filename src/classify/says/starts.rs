//! Phrases that begin with a word, found by its first octets: one look-up a word of the text.
//!
//! Promises: every phrase that is at a place is told, in the order in which they were given;
//! nothing is allocated. Deliberately ignorant of what a phrase means and where it must end.

/// Phrases by their first word.
#[derive(Debug)]
pub(super) struct Starts {
    /// Where the entries of each slot begin; one more at the end.
    slots: Vec<u32>,
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
        let mut entries: Vec<StartEntry> = phrases
            .map(|(text, phrase)| {
                let octets = text.len().min(8) * 8;
                let mask = u64::MAX.checked_shr(64 - u32::try_from(octets).unwrap_or(64));
                let mask = mask.unwrap_or_default();
                StartEntry {
                    head: head(text.as_bytes()) & mask,
                    mask,
                    text: text.as_bytes().into(),
                    phrase,
                }
            })
            .collect();
        // Stable: within a slot the given order stays.
        entries.sort_by_key(|entry| slot(filled(&entry.text)));
        let begin = |n| entries.partition_point(|entry| slot(filled(&entry.text)) < n);
        let slots = (0..=1 << BITS).map(|n| u32::try_from(begin(n)).unwrap_or(u32::MAX)).collect();
        Self { slots, entries }
    }

    /// The phrases at the start of a text.
    pub(super) fn at<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = u32> + 'a {
        let head = head(text);
        let slot = slot(head);
        let entries = match self.slots.get(slot..slot + 2) {
            Some(&[from, to]) => self.entries.get(from as usize..to as usize).unwrap_or_default(),
            _ => &[],
        };
        entries
            .iter()
            .filter(move |one| {
                head & one.mask == one.head && (one.text.len() <= 8 || text.starts_with(&one.text))
            })
            .map(|one| one.phrase)
    }
}

/// Octets of a word that choose its slot.
const KEY: usize = 4;

/// The first eight octets of a text.
fn head(text: &[u8]) -> u64 {
    match text.first_chunk() {
        Some(octets) => u64::from_le_bytes(*octets),
        None => filled(text),
    }
}

/// The same of a short one: a blank follows, as in the text.
fn filled(text: &[u8]) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|n| text.get(n).copied().unwrap_or(b' ')))
}

/// Slot of a first word: of at most four octets, and of nothing that is after it.
fn slot(head: u64) -> usize {
    let [a, b, c, d, ..] = head.to_le_bytes();
    let word = match (a, b, c) {
        (_, b' ', _) => [a, b' ', b' ', b' '],
        (_, _, b' ') => [a, b, b' ', b' '],
        _ => [a, b, c, d],
    };
    let word = u32::from_le_bytes(word);
    (word.wrapping_mul(0x9e37_79b1) >> (32 - BITS)) as usize
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
            ("no such user here ", &["no", "no such user"][..]),
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
