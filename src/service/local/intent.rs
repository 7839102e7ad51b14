//! What is written down of an erasure that runs: the address, so that the next start can finish it.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use super::small_file::write_whole;
use crate::lock::lock;

/// The file `data_dir/erasing`, and that only one erasure runs at a time.
pub(super) struct ErasureIntent {
    data_dir: PathBuf,
    busy: Mutex<()>,
}

impl ErasureIntent {
    /// Of a data directory.
    pub(super) fn new(data_dir: PathBuf) -> Self {
        Self { data_dir, busy: Mutex::default() }
    }

    /// Waits for an erasure that runs; the next one waits until this is dropped.
    pub(super) fn one_at_a_time(&self) -> MutexGuard<'_, ()> {
        lock(&self.busy)
    }

    fn file(&self) -> PathBuf {
        self.data_dir.join("erasing")
    }

    /// The address whose erasure was not finished.
    pub(super) fn unfinished(&self) -> io::Result<Option<String>> {
        match fs::read_to_string(self.file()) {
            Ok(address) => Ok(Some(address.trim_end().to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes down that the erasure of an address begins.
    pub(super) fn begin(&self, address: &str) -> io::Result<()> {
        write_whole(&self.file(), address)
    }

    /// Nothing of it is left to do.
    pub(super) fn finished(&self) -> io::Result<()> {
        fs::remove_file(self.file())?;
        File::open(&self.data_dir)?.sync_all()
    }
}
