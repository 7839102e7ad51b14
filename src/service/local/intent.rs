//! The note of an erasure that runs: the address and its sum, so that the next start can finish it.
//!
//! Whom a damaged note names is not erased, for it may be another person: it is renamed to
//! `erasing.damaged`, and said until somebody removes that.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::ledger::journal::Disk;
use crate::ledger::lock::lock;
use crate::ledger::{Trouble, TroubleKind, small_file};
use crate::mail::Address;

/// Where, in the data directory.
const FILE: &str = "erasing";
/// What one that is damaged is called from then on.
const DAMAGED: &str = "erasing.damaged";

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
        let Some(octets) = small_file::octets(self.disk.as_ref(), FILE)? else { return Ok(None) };
        let address = address_in(&octets);
        if address.is_none() {
            self.disk.rename(FILE, DAMAGED)?;
            self.disk.sync_dir("")?;
            tracing::error!("{}", trouble().text);
        }
        Ok(address)
    }

    /// Writes down that the erasure of an address begins.
    pub(super) fn begin(&self, address: &str) -> io::Result<()> {
        small_file::replace(self.disk.as_ref(), FILE, &note(address))
    }

    /// Nothing of it is left to do.
    pub(super) fn finished(&self) -> io::Result<()> {
        small_file::remove(self.disk.as_ref(), FILE)
    }
}

/// That a note was damaged, until somebody removes it.
pub fn damaged_note(data_dir: &Path) -> Option<Trouble> {
    data_dir.join(DAMAGED).symlink_metadata().is_ok().then(trouble)
}

fn trouble() -> Trouble {
    Trouble {
        kind: TroubleKind::StrangeFile,
        file: Some(DAMAGED.to_string()),
        seqs: None,
        text: format!(
            "an erasure was not finished, and the note that names its address is damaged: run `bounced \
             erase ADDRESS` again for the address that was asked for last, then remove {DAMAGED} from \
             the data directory"
        ),
    }
}

fn note(address: &str) -> String {
    format!("{address}\n{:08x}\n", crc32c::crc32c(address.as_bytes()))
}

/// The address of a note; None: it is damaged. One without any line end is of a release before sums.
fn address_in(octets: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(octets).ok()?;
    let address = text.split('\n').next().unwrap_or_default();
    let is_whole = text == address || text == note(address);
    (is_whole && Address::parse(address).is_some()).then(|| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::journal::RealDisk;

    #[test]
    fn whom_a_damaged_note_names_is_not_erased() {
        let dir = tempfile::tempdir().expect("scratch");
        let file = dir.path().join(FILE);
        let intent = ErasureIntent::new(Arc::new(RealDisk::new(dir.path()).expect("a folder")));
        intent.begin("jane@example.com").expect("written");
        let whole = std::fs::read(&file).expect("there");
        assert_eq!(intent.unfinished().expect("read").as_deref(), Some("jane@example.com"));
        assert_eq!(damaged_note(dir.path()), None);
        // As the release before wrote it.
        std::fs::write(&file, "john@example.com").expect("written");
        assert_eq!(intent.unfinished().expect("read").as_deref(), Some("john@example.com"));
        let mut damaged: Vec<Vec<u8>> =
            vec![b"junk\n\0\xff".to_vec(), b"jane".to_vec(), Vec::new()];
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            damaged.push(flipped);
        }
        // Cut after its address it would look like one of before; that is no state of a replaced file.
        damaged.extend((17..whole.len()).map(|at| whole[..at].to_vec()));
        for octets in damaged {
            std::fs::write(&file, &octets).expect("written");
            assert_eq!(intent.unfinished().expect("read"), None, "{octets:?}");
            assert!(!file.exists() && dir.path().join(DAMAGED).exists(), "{octets:?}");
            assert_eq!(intent.unfinished().expect("read"), None, "gone");
        }
        let said = damaged_note(dir.path()).expect("said");
        assert!(said.text.contains("erase ADDRESS") && said.text.contains(DAMAGED), "{said}");
    }
}
