//! Which keys a checkpoint, or sled, does not have, for certain, in about ten bits a key: a Bloom filter
//! whose bits for one key are together in 64 octets, so that a question costs one look at memory. It
//! may say "perhaps" of a key that is not there, never "no" of one that is.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bits for each key.
const BITS: u64 = 10;

/// Bits set for each key.
const PROBES: u32 = 6;

/// 64-bit words of one group: a cache line.
const WORDS: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Filter {
    /// Bits are only set; who asks meanwhile sees those of the keys that it can know of.
    words: Vec<AtomicU64>,
}

impl Filter {
    /// For so many keys at most; more only make it less sharp.
    pub(super) fn new(keys: u64) -> Self {
        let groups = keys.saturating_mul(BITS).div_ceil(64 * WORDS as u64).max(1);
        let words = usize::try_from(groups).unwrap_or(1) * WORDS;
        Self { words: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The empty beginning of one of so many octets, which [`Filter::add`] fills; None: none has so many.
    pub(super) fn of_octets(octets: u64) -> Option<Self> {
        let words = usize::try_from(octets).ok().filter(|octets| octets.is_multiple_of(8))? / 8;
        let whole = words > 0 && words.is_multiple_of(WORDS);
        whole.then(|| Self { words: Vec::with_capacity(words) })
    }

    /// Adds the next octets as [`Filter::pieces`] gave them; what is no whole word is left out.
    pub(super) fn add(&mut self, octets: &[u8]) {
        let (words, _) = octets.as_chunks::<8>();
        self.words.extend(words.iter().map(|word| AtomicU64::new(u64::from_le_bytes(*word))));
    }

    /// What it is, in pieces of so many octets.
    pub(super) fn pieces(&self, octets: usize) -> impl Iterator<Item = Vec<u8>> {
        let word = |word: &AtomicU64| word.load(Ordering::Relaxed).to_le_bytes();
        self.words.chunks(octets / 8).map(move |words| words.iter().flat_map(word).collect())
    }

    pub(super) fn insert(&self, key: &[u8]) {
        let (group, mut bits) = self.place(key);
        for _ in 0..PROBES {
            let bit = (bits & 511) as usize;
            if let Some(word) = self.words.get(group + bit / 64) {
                word.fetch_or(1 << (bit % 64), Ordering::Relaxed);
            }
            bits >>= 9;
        }
    }

    /// False: the key is not there.
    pub(super) fn may_have(&self, key: &[u8]) -> bool {
        let (group, mut bits) = self.place(key);
        (0..PROBES).all(|_| {
            let bit = (bits & 511) as usize;
            bits >>= 9;
            let word = self.words.get(group + bit / 64);
            word.is_none_or(|word| word.load(Ordering::Relaxed) & (1 << (bit % 64)) != 0)
        })
    }

    /// First word of the group of a key, and the bits that say where in it.
    fn place(&self, key: &[u8]) -> (usize, u64) {
        let hash = hash(key);
        let groups = (self.words.len() / WORDS) as u64;
        let group = (u128::from(hash) * u128::from(groups)) >> 64;
        (group as usize * WORDS, mix(hash))
    }
}

/// Files hold it, so it must stay as it is. Nothing follows from two keys that meet but a look
/// at the disk, so it need not withstand an attacker.
fn hash(key: &[u8]) -> u64 {
    let (words, rest) = key.as_chunks::<8>();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let words = words.iter().chain([&last]).map(|word| u64::from_le_bytes(*word));
    words.fold(key.len() as u64, |hash, word| mix(hash ^ word))
}

/// The finalizer of SplitMix64.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_it_is_never_denied_and_most_else_is() {
        let key = |n: u32| format!("ra/example.d{}/u{n}", n % 100).into_bytes();
        let filter = Filter::new(10_000);
        (0..10_000).for_each(|n| filter.insert(&key(n)));
        let octets: Vec<Vec<u8>> = filter.pieces(1024).collect();
        let mut filter = Filter::of_octets(octets.concat().len() as u64).expect("whole");
        octets.iter().for_each(|piece| filter.add(piece));
        assert!((0..10_000).all(|n| filter.may_have(&key(n))));
        let wrong = (10_000..110_000).filter(|n| filter.may_have(&key(*n))).count();
        assert!(wrong < 3_000, "{wrong} of 100,000");
        assert!([0, 24, 65].into_iter().all(|octets| Filter::of_octets(octets).is_none()));
    }
}
