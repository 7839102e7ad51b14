//! How far the list had come: `data_dir/newest-record`, written after each checkpoint and at the end of
//! a run. When the end of the journal, the checkpoints and the view are gone together, nothing else
//! would know that there ever was more. It says less than there is, never more: what it names was
//! acknowledged.

use std::io;

use crate::ledger::journal::Disk;
use crate::ledger::small_file;

/// Where, in the data directory.
const FILE: &str = "newest-record";

/// The position; 0: nobody wrote it down yet, or it cannot be read.
pub(super) fn read(disk: &dyn Disk) -> io::Result<u64> {
    Ok(small_file::read(disk, FILE)?.and_then(|text| text.trim().parse().ok()).unwrap_or(0))
}

/// Writes the position down. Losing it costs a little knowledge, no more.
pub(super) fn write(disk: &dyn Disk, seq: u64) {
    if let Err(error) = small_file::replace(disk, FILE, &format!("{seq}\n")) {
        tracing::debug!(%error, "newest-record cannot be written");
    }
}
