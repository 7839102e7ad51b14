//! The position from which on the journal has its records: `data_dir/oldest-record`. Older segments go
//! when checkpoints hold what they decided; without this file nobody could tell one that went so from
//! one that somebody removed.
//!
//! Raised before a segment goes, so after an error or a crash between the two it says less than there
//! is, never more.

use std::io;

use super::disk::Disk;
use crate::ledger::small_file;

/// Where, in the data directory.
const FILE: &str = "oldest-record";

/// The position; None: nobody wrote it down yet, or it cannot be read.
pub(super) fn read(disk: &dyn Disk) -> io::Result<Option<u64>> {
    Ok(small_file::read(disk, FILE)?.and_then(|text| text.trim().parse().ok()))
}

/// Writes the position down.
pub(super) fn write(disk: &dyn Disk, seq: u64) -> io::Result<()> {
    small_file::replace(disk, FILE, &format!("{seq}\n"))
}
