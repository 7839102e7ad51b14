//! One process for one data directory: an advisory lock on `<data_dir>/lock`, held until the value
//! is dropped or the process ends, however it ends. The file names the process that holds it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::ledger::LedgerError;

/// The lock of a data directory.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock; fails with a sentence when another process has it.
    pub fn take(dir: &Path) -> Result<Self, LedgerError> {
        let path = dir.join("lock");
        let shown = dir.display();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| {
                LedgerError::Fatal(format!(
                    "cannot open {}: {error}; give this user read and write access to {shown}",
                    path.display()
                ))
            })?;
        if let Err(error) = flock(&file) {
            let mut holder = String::new();
            let _ = (&file).take(20).read_to_string(&mut holder);
            let holder = holder.trim();
            return Err(LedgerError::Fatal(if error == rustix::io::Errno::WOULDBLOCK {
                let who = if holder.is_empty() { "another process" } else { holder };
                format!(
                    "the data directory {shown} is in use by process {who}: \
                     stop that one first, or set another data_dir for this one"
                )
            } else {
                format!("cannot lock {}: {error}; use a local file system", path.display())
            }));
        }
        // Only for people: a full disk must not keep the service from starting.
        let _ = file.set_len(0);
        let _ = file.seek(SeekFrom::Start(0));
        let _ = writeln!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }

    /// The process that has it at this moment, as it wrote itself down.
    pub fn holder(dir: &Path) -> Option<u32> {
        let file = File::open(dir.join("lock")).ok().filter(|file| !try_lock(file))?;
        let mut holder = String::new();
        file.take(20).read_to_string(&mut holder).ok()?;
        holder.trim().parse().ok()
    }

    /// Another process, or another part of this one, has it at this moment.
    pub fn is_taken(dir: &Path) -> bool {
        File::open(dir.join("lock")).is_ok_and(|file| !try_lock(&file))
    }
}

/// Takes the lock of an open file or folder; false: somebody else has it.
pub fn try_lock(file: &File) -> bool {
    flock(file) != Err(rustix::io::Errno::WOULDBLOCK)
}

fn flock(file: &File) -> rustix::io::Result<()> {
    rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_has_it() {
        let dir = tempfile::tempdir().expect("scratch");
        let first = DirLock::take(dir.path()).expect("free");
        let refused = DirLock::take(dir.path()).expect_err("taken").to_string();
        let pid = std::process::id();
        assert!(refused.contains(&format!("in use by process {pid}: stop that one")), "{refused}");
        assert!(DirLock::is_taken(dir.path()));
        drop(first);
        assert!(!DirLock::is_taken(dir.path()));
        DirLock::take(dir.path()).expect("free again");
    }
}
