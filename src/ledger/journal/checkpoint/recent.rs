//! Blocks that were asked for again of late, unpacked: a checkpoint never changes, so they stay right. Of
//! a block that was asked for once only its number is kept. So the rows that every question needs (the
//! policy in force) are here, and questions about a million addresses neither drive them out nor cost
//! an allocation.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::ledger::lock::lock;

/// Blocks that were asked for once, and those that were asked for again, 4 KiB each, about.
const ONCE: usize = 32;
const AGAIN: usize = 64;

/// A block that was asked for again.
struct KeptBlock {
    block: usize,
    /// When it was asked for last, in questions.
    at: u64,
    rows: Arc<[u8]>,
}

#[derive(Default)]
struct CachedBlocks {
    /// Newest last.
    once: VecDeque<usize>,
    again: Vec<KeptBlock>,
    questions: u64,
}

/// The blocks, shared by all who ask.
#[derive(Default)]
pub(super) struct RecentBlocks(Mutex<CachedBlocks>);

/// What is known of a block that is asked for.
pub(super) enum Recent {
    /// Its rows.
    Kept(Arc<[u8]>),
    /// It was asked for once of late: its rows shall be kept.
    AskedBefore,
    /// Nobody asked for it of late.
    New,
}

impl RecentBlocks {
    /// Asks for a block.
    pub(super) fn get(&self, block: usize) -> Recent {
        let mut blocks = lock(&self.0);
        blocks.questions += 1;
        let at = blocks.questions;
        if let Some(kept) = blocks.again.iter_mut().find(|kept| kept.block == block) {
            kept.at = at;
            return Recent::Kept(Arc::clone(&kept.rows));
        }
        if blocks.once.contains(&block) {
            return Recent::AskedBefore;
        }
        if blocks.once.len() == ONCE {
            blocks.once.pop_front();
        }
        blocks.once.push_back(block);
        Recent::New
    }

    /// Keeps the rows of a block that was asked for again; who was asked for longest ago has to go.
    pub(super) fn keep(&self, block: usize, rows: Arc<[u8]>) {
        let mut blocks = lock(&self.0);
        let kept = KeptBlock { block, at: blocks.questions, rows };
        let out = if blocks.again.len() < AGAIN {
            blocks.again.push(kept);
            None
        } else {
            let oldest = blocks.again.iter_mut().min_by_key(|kept| kept.at);
            oldest.map(|oldest| std::mem::replace(oldest, kept))
        };
        drop(blocks);
        drop(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_again_outlasts_what_is_asked_for_once() {
        let recent = RecentBlocks::default();
        let ask = |block: usize| match recent.get(block) {
            Recent::Kept(rows) => {
                assert_eq!(*rows, block.to_le_bytes());
                true
            }
            Recent::AskedBefore => {
                recent.keep(block, Arc::from(&block.to_le_bytes()[..]));
                false
            }
            Recent::New => false,
        };
        assert!(!ask(7) && !ask(7) && ask(7));
        for other in 100..10_000 {
            assert!(!ask(other) && (other % 2 == 0 || ask(7)), "{other}");
        }
        assert!(!ask(100) && !ask(100) && ask(100), "asked for once, long ago");
        let blocks = lock(&recent.0);
        assert!(blocks.once.len() <= ONCE && blocks.again.len() <= AGAIN);
    }
}
