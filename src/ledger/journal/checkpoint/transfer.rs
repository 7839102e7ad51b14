//! A checkpoint that goes elsewhere or comes from there, as the octets of its file.

use std::io;
use std::sync::Arc;

use super::Checkpoint;
use super::format::{DIR, HEAD, MAGIC, damaged, name, read_exactly};
use crate::ledger::journal::disk::{Disk, DiskFile};

/// The file of a checkpoint, whole when it was opened.
pub struct CheckpointFile {
    file: Box<dyn DiskFile>,
    length: u64,
}

impl CheckpointFile {
    /// Opens it, and reads all of it once: one that is damaged goes nowhere. `between` is called after
    /// each block and says whether to go on.
    pub fn open(
        disk: &Arc<dyn Disk>,
        position: u64,
        between: &mut dyn FnMut() -> bool,
    ) -> io::Result<Self> {
        let checkpoint = Checkpoint::open(disk, position)?;
        checkpoint.check(between)?;
        // The same file, also when it was removed meanwhile.
        let Checkpoint { file, length, .. } = checkpoint;
        Ok(Self { file, length })
    }

    /// Octets of it.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Octets from a place on, at most so many; none at the end.
    pub fn read(&self, at: u64, most: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut octets = vec![0; left.min(most)];
        read_exactly(self.file.as_ref(), &mut octets, at)?;
        Ok(octets)
    }
}

/// A checkpoint that comes from elsewhere, octet by octet. It has its name only when it is whole.
pub struct CheckpointCopy {
    disk: Arc<dyn Disk>,
    file: Option<Box<dyn DiskFile>>,
    position: u64,
}

impl CheckpointCopy {
    /// Begins one.
    pub fn create(disk: &Arc<dyn Disk>, position: u64) -> io::Result<Self> {
        disk.make_dir(DIR)?;
        let mut file = disk.open(&name(position, "part"), true)?;
        if file.length()? > 0 {
            file.truncate(0)?;
        }
        Ok(Self { disk: Arc::clone(disk), file: Some(file), position })
    }

    /// Adds octets.
    pub fn push(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.append(octets))
    }

    /// Makes it durable under its final name, when every row of it can be read.
    pub fn finish(mut self) -> io::Result<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        file.sync()?;
        drop(file);
        let part = name(self.position, "part");
        let whole = self.disk.open(&part, false).and_then(|file| {
            let mut head = [0; HEAD as usize];
            read_exactly(file.as_ref(), &mut head, 0)?;
            let wanted = [&MAGIC[..], &self.position.to_le_bytes()].concat();
            if head[..] != wanted {
                return Err(damaged("its head is wrong"));
            }
            Checkpoint::read(file, self.position)?.check(&mut || true)
        });
        match whole {
            Ok(()) => {
                self.disk.rename(&part, &name(self.position, "checkpoint"))?;
                self.disk.sync_dir(DIR)
            }
            Err(error) => {
                let _ = self.disk.remove(&part);
                Err(error)
            }
        }
    }
}

impl Drop for CheckpointCopy {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Left there it would only cost space until the next start.
            let _ = self.disk.remove(&name(self.position, "part"));
        }
    }
}
