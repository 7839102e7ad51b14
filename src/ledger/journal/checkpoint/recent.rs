//! Blocks that were asked for of late, unpacked: a checkpoint never changes, so they stay right. A block
//! that is asked for again while it is here stays longer than those that are asked for once: so the
//! rows that every question needs (the policy in force) are not driven out by questions about a
//! million addresses.

use std::sync::{Arc, Mutex};

use crate::lock::lock;

/// Blocks that were asked for once, and those that were asked for again; 4 KiB each, about.
const ONCE: usize = 32;
const AGAIN: usize = 64;

/// A block that was asked for.
struct Asked {
    block: usize,
    /// When it was asked for last, in questions.
    at: u64,
    rows: Arc<Vec<u8>>,
}

#[derive(Default)]
struct CachedBlocks {
    once: Vec<Asked>,
    again: Vec<Asked>,
    questions: u64,
}

/// The blocks, shared by all who ask.
#[derive(Default)]
pub(super) struct RecentBlocks(Mutex<CachedBlocks>);

impl RecentBlocks {
    /// The rows of a block, when they are here.
    pub(super) fn get(&self, block: usize) -> Option<Arc<Vec<u8>>> {
        let mut blocks = lock(&self.0);
        blocks.questions += 1;
        let at = blocks.questions;
        if let Some(asked) = blocks.again.iter_mut().find(|asked| asked.block == block) {
            asked.at = at;
            return Some(Arc::clone(&asked.rows));
        }
        let place = blocks.once.iter().position(|asked| asked.block == block)?;
        let asked = Asked { at, ..blocks.once.swap_remove(place) };
        let rows = Arc::clone(&asked.rows);
        let out = put(&mut blocks.again, AGAIN, asked);
        out.into_iter().for_each(|out| drop(put(&mut blocks.once, ONCE, out)));
        Some(rows)
    }

    /// Keeps the rows of a block that was not here.
    pub(super) fn keep(&self, block: usize, rows: Arc<Vec<u8>>) {
        let mut blocks = lock(&self.0);
        let at = blocks.questions;
        let out = put(&mut blocks.once, ONCE, Asked { block, at, rows });
        drop(blocks);
        drop(out);
    }
}

/// Adds one; gives the one that had to go, which was asked for longest ago.
fn put(blocks: &mut Vec<Asked>, most: usize, asked: Asked) -> Option<Asked> {
    if blocks.len() < most {
        blocks.push(asked);
        return None;
    }
    let oldest = blocks.iter_mut().min_by_key(|asked| asked.at)?;
    Some(std::mem::replace(oldest, asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_again_outlasts_what_is_asked_for_once() {
        let recent = RecentBlocks::default();
        let ask = |block: usize| match recent.get(block) {
            Some(rows) => {
                assert_eq!(*rows, block.to_le_bytes());
                true
            }
            None => {
                recent.keep(block, Arc::new(block.to_le_bytes().to_vec()));
                false
            }
        };
        assert!(!ask(7) && ask(7));
        for other in 100..10_000 {
            assert!(!ask(other) && (other % 2 == 0 || ask(7)), "{other}");
        }
        assert!(!ask(100), "asked for once, long ago");
        let blocks = lock(&recent.0);
        assert!(blocks.once.len() <= ONCE && blocks.again.len() <= AGAIN);
    }
}
