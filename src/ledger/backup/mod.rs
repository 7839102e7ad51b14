//! Copies of a data directory: made while the service runs, checked, put back.
//!
//! A backup is what a power cut would leave: a start reads it as it reads that. So only two things
//! have to be right. Checkpoints are copied before the journal, so that no checkpoint is beyond
//! the records; and what a pass has listed must still be there, the same file, when the pass ends,
//! or it begins again. An erasure, or old segments that go, would otherwise leave half of both.
//!
//! | copied | not copied |
//! |---|---|
//! | `checkpoint/`, `journal/`, keys, `clock`, `raw/` | `view/` (made anew), `lock`, unfinished files |
//!
//! In a folder each copy is a file `files/<SHA-256>`, and `manifest.json` says which path it is of; it
//! is written last, and what it does not name is removed after that, so a backup that was cut off is
//! the one before, or none. As a stream (tar) the copies have their paths below `data/`, and the
//! manifest comes last as well.

mod folder;
mod restore;
mod stream;
#[cfg(test)]
mod tests;

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ledger::remembered;
use crate::mail::Timestamp;
pub use folder::{into_folder, verify};
pub use restore::{from_folder, from_stream, is_cut_off};
pub use stream::into_stream;

/// Name of the manifest in a backup.
pub const MANIFEST: &str = "manifest.json";
/// What folders of a data directory begin with that are there for a while only.
pub const SCRATCH: &str = "again-";
/// The form of the manifest. A newer one is refused.
const FORMAT: u32 = 1;
/// How often a pass begins again because the data directory changed under it.
const PASSES: usize = 10;

/// Why a backup could not be made, read or put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file could not be read or written.
    #[error("{}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The stream broke.
    #[error("the stream: {0}")]
    Stream(io::Error),
    /// Anything else, with what to do about it.
    #[error("{0}")]
    Wrong(String),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError + '_ {
    move |source| BackupError::File { path: path.to_path_buf(), source }
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Form of this manifest.
    pub format: u32,
    /// Program and version that made it.
    pub made_by: String,
    /// When it was complete.
    pub made_at: Timestamp,
    /// Its files, in the order of their paths.
    pub files: Vec<Copied>,
}

impl Manifest {
    fn new(mut files: Vec<Copied>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self {
            format: FORMAT,
            made_by: concat!("bounced ", env!("CARGO_PKG_VERSION")).to_string(),
            made_at: Timestamp::now(),
            files,
        }
    }

    fn read(octets: &[u8], path: &Path) -> Result<Self, BackupError> {
        let name = path.display();
        let manifest: Self = serde_json::from_slice(octets).map_err(|why| {
            BackupError::Wrong(format!("{name} is no manifest of a backup: {why}"))
        })?;
        if manifest.format > FORMAT {
            return Err(BackupError::Wrong(format!(
                "{name} was written by {} in form {}, and this program reads up to {FORMAT}: use \
                 the newer program",
                manifest.made_by, manifest.format
            )));
        }
        Ok(manifest)
    }

    fn encoded(&self) -> Vec<u8> {
        // Serialising such plain data into memory cannot fail.
        let mut octets = serde_json::to_vec_pretty(self).unwrap_or_default();
        octets.push(b'\n');
        octets
    }

    /// Octets of all files.
    pub fn octets(&self) -> u64 {
        self.files.iter().map(|file| file.octets).sum()
    }
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Its path below the data directory, parts joined by `/`.
    pub path: String,
    /// Its length.
    pub octets: u64,
    /// SHA-256 of its octets, in hex.
    pub sha256: String,
    /// When the original was last changed, in nanoseconds since 1970; tells whether a later backup
    /// has to read it again.
    #[serde(default)]
    pub modified: i64,
}

/// A file of the data directory as a pass found it.
struct FoundFile {
    path: String,
    inode: u64,
    octets: u64,
    modified: i64,
}

impl FoundFile {
    fn of(path: String, meta: &Metadata) -> Self {
        let modified = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
        Self { path, inode: meta.ino(), octets: meta.len(), modified }
    }

    /// Only grows, or goes: it must be the same file when the pass ends.
    fn is_lasting(&self) -> bool {
        self.path.starts_with("journal/") || self.path.starts_with("checkpoint/")
    }
}

/// The files of a data directory in the order in which they are copied.
fn listed(data_dir: &Path) -> Result<Vec<FoundFile>, BackupError> {
    let mut found = Vec::new();
    let mut folders = vec![(data_dir.to_path_buf(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(at(&folder))? {
            let entry = entry.map_err(at(&folder))?;
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| {
                BackupError::Wrong(format!("{}: not a name of ours", entry.path().display()))
            })?;
            let path = format!("{prefix}{name}");
            let meta = match entry.metadata() {
                Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
                meta => meta.map_err(at(&entry.path()))?,
            };
            if meta.is_dir() && path != "view" && !path.starts_with(SCRATCH) {
                folders.push((entry.path(), format!("{path}/")));
            } else if meta.is_file() && is_copied(&path) {
                found.push(FoundFile::of(path, &meta));
            }
        }
    }
    // Checkpoints before the journal: see above.
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn is_copied(path: &str) -> bool {
    let unfinished = [".part", ".begun", ".rewrite", ".packing", ".tmp"];
    // The newest record and segment may be newer than what was copied of the journal before them.
    !["lock", remembered::NEWEST, remembered::SEGMENT].contains(&path)
        && !unfinished.iter().any(|end| path.ends_with(end))
}

/// Walks the files until a pass was not disturbed, and gives each to `copy` in turn. `copy` answers
/// None when the file is gone.
fn pass(
    data_dir: &Path,
    mut copy: impl FnMut(&FoundFile, &Path) -> Result<Option<Copied>, BackupError>,
) -> Result<Manifest, BackupError> {
    if !data_dir.join("journal").is_dir() {
        return Err(BackupError::Wrong(format!(
            "{} holds no journal: name the data directory of the service by --config",
            data_dir.display()
        )));
    }
    'passes: for _ in 0..PASSES {
        if data_dir.join("erasing").exists() {
            // Half of the segments still name the person.
            std::thread::sleep(std::time::Duration::from_secs(1));
            continue;
        }
        let found = listed(data_dir)?;
        let mut files = Vec::new();
        for one in &found {
            match copy(one, &data_dir.join(&one.path))? {
                Some(copied) => files.push(copied),
                None if one.is_lasting() => continue 'passes,
                None => {}
            }
        }
        if undisturbed(data_dir, &found) {
            return Ok(Manifest::new(files));
        }
    }
    Err(BackupError::Wrong(format!(
        "{} changed under each of {PASSES} tries; wait until an erasure has ended and try again",
        data_dir.display()
    )))
}

/// Lays journal and checkpoints of a data directory out in another folder of its file system, as a power
/// cut would leave them, while a service runs: links to files that never change, and a copy of the
/// segment that is appended to.
pub fn snapshot(data_dir: &Path, to: &Path) -> Result<(), BackupError> {
    let folders = ["journal", "checkpoint"];
    for folder in folders {
        let path = to.join(folder);
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(at(&path))?;
    }
    // Only the newest one is appended to; those that come meanwhile are newer.
    let segments = std::fs::read_dir(data_dir.join("journal")).map_err(at(data_dir))?;
    let segments = segments.flatten().map(|entry| entry.path());
    let newest = segments.filter(|path| path.extension().is_some_and(|end| end == "journal")).max();
    let laid = pass(data_dir, |found, from| {
        if !found.is_lasting() {
            return Ok(None);
        }
        let into = to.join(&found.path);
        // A pass before may have been here.
        let _ = std::fs::remove_file(&into);
        let may_grow = newest.as_deref().is_none_or(|newest| from >= newest);
        let done = match found.path.starts_with("journal/") && may_grow {
            true => File::open(from).and_then(|original| {
                let mut copy = File::create(&into)?;
                io::copy(&mut original.take(found.octets), &mut copy).map(drop)
            }),
            false => std::fs::hard_link(from, &into),
        };
        match done {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            done => done.map_err(at(from)).map(|()| {
                let (path, octets, sha256) = (found.path.clone(), found.octets, String::new());
                Some(Copied { path, octets, sha256, modified: found.modified })
            }),
        }
    })?;
    // What a pass before laid out, and is gone since.
    for folder in folders {
        let path = to.join(folder);
        for entry in std::fs::read_dir(&path).map_err(at(&path))?.flatten() {
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if !laid.files.iter().any(|file| file.path == name) {
                std::fs::remove_file(entry.path()).map_err(at(&path))?;
            }
        }
    }
    Ok(())
}

fn undisturbed(data_dir: &Path, found: &[FoundFile]) -> bool {
    !data_dir.join("erasing").exists()
        && found.iter().filter(|one| one.is_lasting()).all(|one| {
            let now = std::fs::metadata(data_dir.join(&one.path));
            now.is_ok_and(|meta| meta.ino() == one.inode && meta.len() >= one.octets)
        })
}

/// Sums up what is read through it.
struct Summed<R> {
    from: R,
    sum: Sha256,
    octets: u64,
}

impl<R> Summed<R> {
    fn new(from: R) -> Self {
        Self { from, sum: Sha256::new(), octets: 0 }
    }

    /// How many octets were read, and their sum in hex.
    fn finish(self) -> (u64, String) {
        (self.octets, data_encoding::HEXLOWER.encode(&self.sum.finalize()))
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.sum.update(into.get(..read).unwrap_or_default());
        self.octets += read as u64;
        Ok(read)
    }
}

/// Copies at most `most` octets, and sums them up.
fn copy_octets(from: &mut dyn Read, to: &mut dyn Write, most: u64) -> io::Result<(u64, String)> {
    let mut summed = Summed::new(from.take(most));
    io::copy(&mut summed, to)?;
    Ok(summed.finish())
}

/// Opens a file of the data directory; None when it is gone.
fn open(path: &Path) -> Result<Option<File>, BackupError> {
    match File::open(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some).map_err(at(path)),
    }
}

/// Whether a path of a manifest or a stream stays below its folder.
fn is_below(path: &str) -> bool {
    !path.is_empty()
        && Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)))
}
