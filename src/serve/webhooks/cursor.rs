//! How far an endpoint was told, in `data_dir/webhooks/NAME`: written after deliveries, so what was
//! delivered just before a crash is delivered again, and nothing is passed over.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::service::occurrence::Place;

/// A place in the journal: all before it is done, and so is what `done` names after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The first place that is not done.
    pub next: Place,
    /// Places after it that are done.
    pub done: BTreeSet<Place>,
}

impl Cursor {
    /// All before the record `seq` is done.
    pub fn at(seq: u64) -> Self {
        Self { next: (seq, 0), done: BTreeSet::new() }
    }
}

/// The file of a cursor.
#[derive(Debug, Clone)]
pub struct CursorFile {
    path: PathBuf,
}

impl CursorFile {
    /// The file for an endpoint, whose name is a word of the configuration.
    pub fn of(data_dir: &Path, name: &str) -> io::Result<Self> {
        let dir = data_dir.join("webhooks");
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { path: dir.join(name) })
    }

    /// What was written last; None when nothing ever was.
    pub fn read(&self) -> io::Result<Option<Cursor>> {
        match fs::read(&self.path) {
            Ok(octets) => serde_json::from_slice(&octets).map(Some).map_err(io::Error::other),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(why),
        }
    }

    /// Writes a cursor, whole or not at all.
    pub fn write(&self, cursor: &Cursor) -> io::Result<()> {
        let part = self.path.with_extension("part");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(&serde_json::to_vec(cursor).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&part, &self.path)?;
        match self.path.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Where to show a person.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_damage_is_no_new_endpoint() {
        let dir = tempfile::tempdir().expect("scratch");
        let file = CursorFile::of(dir.path(), "crm").expect("made");
        assert_eq!(file.read().expect("no trouble"), None);
        let cursor = Cursor { next: (7, 1), done: BTreeSet::from([(7, 3), (9, 0)]) };
        file.write(&cursor).expect("written");
        assert_eq!(file.read().expect("whole"), Some(cursor));
        fs::write(file.path(), "").expect("writable");
        assert!(file.read().is_err());
    }
}
