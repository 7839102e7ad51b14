//! The note of an erasure that runs: the address, so that the next start can finish it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::ledger::journal::Disk;
use crate::ledger::small_file;
use crate::lock::lock;

/// Where, in the data directory.
const FILE: &str = "erasing";

/// The file `data_dir/erasing`, and that only one erasure runs at a time.
pub(super) struct ErasureIntent {
    disk: Arc<dyn Disk>,
    busy: Mutex<()>,
}

impl ErasureIntent {
    /// Of a data directory.
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, busy: Mutex::default() }
    }

    /// Waits for an erasure that runs; the next one waits until this is dropped.
    pub(super) fn one_at_a_time(&self) -> MutexGuard<'_, ()> {
        lock(&self.busy)
    }

    /// The address whose erasure was not finished.
    pub(super) fn unfinished(&self) -> io::Result<Option<String>> {
        let written = small_file::read(self.disk.as_ref(), FILE)?;
        Ok(written.map(|address| address.trim_end().to_string()))
    }

    /// Writes down that the erasure of an address begins.
    pub(super) fn begin(&self, address: &str) -> io::Result<()> {
        small_file::replace(self.disk.as_ref(), FILE, address)
    }

    /// Nothing of it is left to do.
    pub(super) fn finished(&self) -> io::Result<()> {
        small_file::remove(self.disk.as_ref(), FILE)
    }
}
