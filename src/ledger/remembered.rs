//! Positions of the journal that are remembered in small files of the data directory, one number each.
//! After an error or a crash such a file says less than there is, never more.

use std::io;

use crate::ledger::journal::Disk;
use crate::ledger::small_file;

/// The position from which on the journal has its records. Older segments go when checkpoints hold what
/// they decided; without this file nobody could tell one that went so from one that somebody removed.
/// Raised before a segment goes.
pub const OLDEST: &str = "oldest-record";

/// How far the list had come, written after each checkpoint and at the end of a run. When the end of the
/// journal, the checkpoints and the view are gone together, nothing else would know that there ever was
/// more. What it names was acknowledged.
pub const NEWEST: &str = "newest-record";

/// The position that the newest segment begins with, written before it gets its first record. Were its
/// file gone as a whole soon after, nothing else would know of it.
pub const SEGMENT: &str = "newest-segment";

/// The position; None: nobody wrote it down yet, or it cannot be read.
pub(super) fn read(disk: &dyn Disk, file: &str) -> io::Result<Option<u64>> {
    Ok(small_file::read(disk, file)?.and_then(|text| text.trim().parse().ok()))
}

/// Writes the position down.
pub(super) fn write(disk: &dyn Disk, file: &str, seq: u64) -> io::Result<()> {
    small_file::replace(disk, file, &format!("{seq}\n"))
}

/// Writes down how far the list has come, or the journal. Losing it costs a little knowledge, no more.
pub(super) fn write_if_possible(disk: &dyn Disk, file: &str, seq: u64) {
    if let Err(error) = write(disk, file, seq) {
        tracing::debug!(%error, file, "cannot be written");
    }
}
