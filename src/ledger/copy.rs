//! A data directory whose journal is a copy of a shared one is marked so: it is not a list of its own,
//! and what it holds may be asked of the engine again.
//!
//! | `data_dir/shared-journal` | `journal.engine` | the copy | then |
//! |---|---|---|---|
//! | is there | `postgres` | fits the engine's journal | it is followed |
//! | is there | `postgres` | does not, from some record on | set aside as `lost-<milliseconds>`, taken anew; `lost-records` says which |
//! | is there | `postgres` | does not, in no record | refused: the engine was emptied, or is another one |
//! | is there | `postgres` | is from before an erasure that it missed | removed, taken anew |
//! | is there | `postgres` | ends before the engine's first record | removed, taken anew; refused when it never took part, or nothing is there to begin with |
//! | is there | `local` | | refused: the other nodes would go on without it |
//! | is missing | `postgres` | empty | marked, filled |
//! | is missing | `postgres` | has records | refused: that is another list |

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::ledger::remembered;
use crate::mail::Timestamp;

/// What is a copy, or follows from it.
const COPIED: [&str; 3] = ["journal", "checkpoint", "view"];
/// What is written down of where the journal begins and ends.
const BOUNDS: [&str; 3] = [remembered::OLDEST, remembered::NEWEST, remembered::SEGMENT];

fn mark_file(data_dir: &Path) -> PathBuf {
    data_dir.join("shared-journal")
}

/// The journal there is a copy of a shared one.
pub fn is_copy(data_dir: &Path) -> bool {
    mark_file(data_dir).exists()
}

/// There is no list there yet.
pub fn is_empty(data_dir: &Path) -> io::Result<bool> {
    for name in ["journal", "checkpoint"] {
        let files = match fs::read_dir(data_dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            files => files?,
        };
        if files.count() > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Marks it as a copy, before the first record is copied.
pub fn mark(data_dir: &Path, engine: &str) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    let file = mark_file(data_dir);
    fs::write(&file, format!("the journal here is a copy of the one at {engine}\n"))?;
    fs::File::open(&file)?.sync_all()?;
    fs::File::open(data_dir)?.sync_all()
}

/// What is not there need not be removed or moved.
fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The copy is a list of its own from now on.
pub fn unmark(data_dir: &Path) -> io::Result<()> {
    for name in ["erasures", "shared-journal"] {
        unless_missing(fs::remove_file(data_dir.join(name)))?;
    }
    fs::File::open(data_dir)?.sync_all()
}

/// Removes the copy, which holds an address that was erased: it is taken anew. Again after a crash, it
/// removes the rest.
pub fn remove(data_dir: &Path) -> io::Result<()> {
    for name in BOUNDS.iter().chain(COPIED.iter().rev()) {
        let path = data_dir.join(name);
        unless_missing(match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        })?;
    }
    fs::File::open(data_dir)?.sync_all()
}

/// Moves the copy away, so that it is taken anew. Nothing is lost: the engine lost what is in it and
/// not there, and a person may want to look. `note` is told the folder before anything moves. Again
/// after a crash, it moves the rest.
pub fn set_aside(
    data_dir: &Path,
    note: impl FnOnce(&str) -> io::Result<()>,
) -> io::Result<PathBuf> {
    let name = format!("lost-{}", Timestamp::now().millis());
    let aside = data_dir.join(&name);
    fs::DirBuilder::new().mode(0o700).create(&aside)?;
    note(&name)?;
    // The journal last: without it the others are built anew, with it alone too.
    for name in BOUNDS.iter().chain(COPIED.iter().rev()) {
        unless_missing(fs::rename(data_dir.join(name), aside.join(name)))?;
    }
    fs::File::open(&aside)?.sync_all()?;
    fs::File::open(data_dir)?.sync_all()?;
    Ok(aside)
}
