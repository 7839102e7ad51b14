//! The file operations that durability is made of, as a small trait, so that tests can replace
//! the disk by one that forgets unsynced writes, tears them and fails on demand.
//!
//! Names are relative to the data directory (`journal/00000000000000000001.journal`). A file that
//! was created, renamed or removed is only sure to be so after [`Disk::sync_dir`]; appended octets
//! only after [`DiskFile::sync`].

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A directory tree with files.
pub trait Disk: Send + Sync {
    /// Names (without directory) of the files in a directory; empty when there is none.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Whether a name is that of a file, and not of a folder, a FIFO or a device; None: nothing has it.
    fn is_file(&self, name: &str) -> io::Result<Option<bool>>;
    /// Creates a directory when it is missing and makes that durable.
    fn make_dir(&self, dir: &str) -> io::Result<()>;
    /// Opens a file for reading and appending; with `create`, makes an empty one when missing.
    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn DiskFile>>;
    /// Writes the octets of a file from a place on once more, in their place, and makes them
    /// durable. A kernel that failed to write them before shows them and calls them written
    /// (fsyncgate): only writing them again carries them to the disk.
    fn refresh(&self, name: &str, from: u64) -> io::Result<()>;
    /// Renames a file, replacing another one.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names in a directory durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Octets that may still be written.
    fn free(&self) -> io::Result<u64>;
}

/// An open file. After a failed `append` or `sync` it must not be used again: the kernel reports
/// a lost write once and then calls the page clean (docs/reliability.md, "Failing disk").
pub trait DiskFile: Send + Sync {
    /// Adds octets at the end.
    fn append(&mut self, octets: &[u8]) -> io::Result<()>;
    /// Makes contents and length durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// False when somebody removed the file: what is in it is gone when it is closed.
    fn has_name(&self) -> io::Result<bool>;
    /// Length in octets.
    fn length(&self) -> io::Result<u64>;
    /// Reads up to `into.len()` octets; 0 at the end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// Reads so many octets from a place on; false when the file ends before.
pub(super) fn read_exactly(file: &dyn DiskFile, into: &mut [u8], at: u64) -> io::Result<bool> {
    let mut got = 0;
    while let Some(rest) = into.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + got as u64)? {
            0 => return Ok(false),
            n => got += n,
        }
    }
    Ok(true)
}

/// The file system below one directory.
#[derive(Debug, Clone)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// Creates the directory (private to its owner) when it is missing and makes that durable.
    pub fn new(root: &Path) -> io::Result<Self> {
        match make_dirs(root) {
            // It was there; its parent may be none of our business (no read permission).
            Err(_) if root.is_dir() => {}
            other => other?,
        }
        Ok(Self { root: root.to_path_buf() })
    }
}

/// Creates a directory and those above it, and syncs the directory that names it: also when it was
/// there, for an earlier run may have been killed between the two.
fn make_dirs(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.is_dir() {
        make_dirs(parent)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        Err(error) => return Err(error),
    }
    File::open(parent)?.sync_all()
}

/// The error of a folder, with its name when something else has that name.
fn not_a_folder(dir: &str, error: io::Error) -> io::Error {
    match error.kind() {
        kind @ (io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists) => {
            io::Error::new(kind, format!("{dir} is not a folder: look at it, then move it away"))
        }
        _ => error,
    }
}

impl Disk for RealDisk {
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.root.join(dir)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(not_a_folder(dir, error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn is_file(&self, name: &str) -> io::Result<Option<bool>> {
        let path = self.root.join(name);
        match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_symlink() => Ok(Some(path.is_file())),
            Ok(meta) => Ok(Some(meta.is_file())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        make_dirs(&self.root.join(dir)).map_err(|error| not_a_folder(dir, error))
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(create).mode(0o600);
        let path = self.root.join(name);
        // To read from a FIFO or a device may take for ever.
        if std::fs::metadata(&path).is_ok_and(|meta| !meta.is_file()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is not a file: look at it, then move it away", path.display()),
            ));
        }
        let file = options.open(path)?;
        Ok(Box::new(RealFile { file }))
    }

    fn refresh(&self, name: &str, from: u64) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(self.root.join(name))?;
        let (mut octets, mut at) = (vec![0; 1 << 20], from);
        loop {
            match file.read_at(&mut octets, at)? {
                0 => return file.sync_data(),
                n => {
                    file.write_all_at(octets.get(..n).unwrap_or_default(), at)?;
                    at += n as u64;
                }
            }
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.root.join(name))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.root.join(dir))?.sync_all()
    }

    fn free(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

struct RealFile {
    file: File,
}

impl DiskFile for RealFile {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file.write_all(octets)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn has_name(&self) -> io::Result<bool> {
        Ok(rustix::fs::fstat(&self.file)?.st_nlink > 0)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(into, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}
