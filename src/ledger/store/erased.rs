//! How far a node's copy has followed the erasures of a shared journal: two positions in
//! `data_dir/erasures`.
//!
//! An erasure rewrites the records before its act in the shared journal. A node folds the act over the
//! records as they were, then takes the address out of its own copy. One that was away meanwhile would
//! have records of before and lines of after: its fold would be nobody's. So it takes its copy anew.
//!
//! | records up to | and the copy | is |
//! |---|---|---|
//! | `taken` | was begun after their erasures were done | whole: they came as they are now |
//! | its end | had the act before they were rewritten | whole: it folded the act |
//! | | ends before the act of a later erasure | outdated |

use std::io;
use std::path::Path;

use crate::ledger::journal::{self, Disk};
use crate::ledger::small_file;

/// Where, in the data directory.
const FILE: &str = "erasures";

/// Positions of acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Erased {
    /// The last erasure that was done when this copy was begun.
    pub(super) taken: u64,
    /// The last one that this node carried out, raw messages and all.
    pub(super) done: u64,
}

/// What is written down; None: nothing was yet.
pub(super) fn read(disk: &dyn Disk) -> io::Result<Option<Erased>> {
    let text = small_file::read(disk, FILE)?;
    let erased = |text: &str| {
        let (taken, done) = text.trim().split_once(' ')?;
        Some(Erased { taken: taken.parse().ok()?, done: done.parse().ok()? })
    };
    text.map(|text| {
        erased(&text).ok_or_else(|| io::Error::other(format!("{FILE} holds no two positions")))
    })
    .transpose()
}

/// Up to which act the copy in a data directory has followed erasures, also of one that is in use.
pub fn erased_up_to(data_dir: &Path) -> io::Result<u64> {
    Ok(read(&journal::RealDisk::new(data_dir)?)?.unwrap_or_default().clean())
}

/// Writes it down.
pub(super) fn write(disk: &dyn Disk, erased: Erased) -> io::Result<()> {
    small_file::replace(disk, FILE, &format!("{} {}\n", erased.taken, erased.done))
}

impl Erased {
    /// Up to this position no address that was erased is in the copy, in any file of it.
    pub(super) fn clean(self) -> u64 {
        self.taken.max(self.done)
    }

    /// Whether a copy that ends at `end` cannot go on in a journal that was rewritten up to
    /// `rewritten`.
    pub(super) fn is_outdated(self, end: u64, rewritten: u64) -> bool {
        rewritten > self.taken.max(end)
    }
}
