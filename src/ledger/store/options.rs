//! How the sled engine is run.

use std::path::PathBuf;
use std::time::Duration;

use crate::ledger::journal;

/// How the sled engine is run. Every limit of it is here.
#[derive(Debug, Clone)]
pub struct Options {
    /// Lock, journal, checkpoints and view live here.
    pub data_dir: PathBuf,
    /// sled's page cache, in octets.
    pub cache_bytes: u64,
    /// Commits are refused as `Full` with less space than this.
    pub min_free_bytes: u64,
    /// Octets of one journal segment.
    pub segment_bytes: u64,
    /// A checkpoint is due after this many events, or as many as a part of its rows if that is more:
    /// the longer the list is, the more it costs.
    pub checkpoint_every: u64,
    /// Never after more than this, whatever it costs: sled holds about 1 KB of memory an event.
    pub checkpoint_at_most: u64,
    /// Journal segments older than this go, once two checkpoints cover them.
    pub keep: Duration,
    /// Octets of rows that may wait for sled before commits wait, too.
    pub max_waiting_bytes: usize,
    /// How long a commit waits for some of them to be moved.
    pub commit_patience: Duration,
    /// How long `open` waits for the view; a longer rebuild goes on afterwards.
    pub open_patience: Duration,
}

impl Options {
    /// The defaults, for a data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            cache_bytes: 64 << 20,
            min_free_bytes: 64 << 20,
            segment_bytes: journal::SEGMENT_BYTES,
            checkpoint_every: 200_000,
            checkpoint_at_most: 400_000,
            keep: Duration::from_secs(90 * 86_400),
            max_waiting_bytes: 64 << 20,
            commit_patience: Duration::from_secs(10),
            open_patience: Duration::from_secs(2),
        }
    }

    /// For one command in place of the service, such as an import of any length: nobody else waits,
    /// so it takes its time and little memory.
    pub fn for_command(self) -> Self {
        Self {
            checkpoint_every: 25_000,
            checkpoint_at_most: 60_000,
            max_waiting_bytes: 2 << 20,
            // Longer than the checkpoint of a long list takes.
            commit_patience: Duration::from_secs(900),
            ..self
        }
    }
}
