//! How far an endpoint was told, in `data_dir/webhooks/NAME`: written after deliveries, so what was
//! delivered just before a crash is delivered again, and nothing is passed over. It names records by
//! their ids, too: after a loss the same positions are other records.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::feed::Feed;
use super::marks::{DENSE, Marks};
use crate::ledger::journal::{Disk, RealDisk};
use crate::ledger::small_file;
use crate::service::occurrence::OccurrencePlace;

/// A place in the journal: all before it is done, and so is what `done` names after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The first place that is not done.
    pub next: OccurrencePlace,
    /// Places after it that are done.
    pub done: BTreeSet<OccurrencePlace>,
    /// Records up to the last that something is done of. Cursors of before have none.
    #[serde(default)]
    pub marks: Marks,
}

impl Cursor {
    /// All before the record `seq` is done.
    pub fn at(seq: u64) -> Self {
        Self { next: (seq, 0), ..Self::default() }
    }

    /// The last record that something is done of.
    pub fn through(&self) -> u64 {
        let (seq, number) = self.next;
        let before = if number > 0 { seq } else { seq.saturating_sub(1) };
        self.done.last().map_or(before, |place| place.0.max(before))
    }

    /// Sets marks up to the last record that something is done of.
    pub fn mark(&mut self, feed: &dyn Feed) -> io::Result<()> {
        let through = self.through();
        let new = feed.ids(through.saturating_sub(DENSE - 1).max(1), through);
        self.marks.go_on(new.map_err(io::Error::other)?, through);
        Ok(())
    }

    /// Only what is done up to a record counts.
    pub fn go_back(&mut self, through: u64) {
        self.next = self.next.min((through + 1, 0));
        let next = self.next;
        self.done.retain(|place| place.0 <= through && *place > next);
        self.marks.go_on(Vec::new(), through);
    }
}

/// The file of a cursor.
#[derive(Clone)]
pub struct CursorFile {
    disk: Arc<dyn Disk>,
    name: String,
    path: PathBuf,
}

impl CursorFile {
    /// The file for an endpoint, whose name is a word of the configuration.
    pub fn of(data_dir: &Path, name: &str) -> io::Result<Self> {
        let dir = data_dir.join("webhooks");
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&dir)?);
        Ok(Self { disk, name: name.to_string(), path: dir.join(name) })
    }

    /// What was written last; None when nothing ever was.
    pub fn read(&self) -> io::Result<Option<Cursor>> {
        let text = small_file::read(self.disk.as_ref(), &self.name)?;
        text.map(|text| serde_json::from_str(&text).map_err(io::Error::other)).transpose()
    }

    /// Writes a cursor, whole or not at all.
    pub fn write(&self, cursor: &Cursor) -> io::Result<()> {
        let text = serde_json::to_string(cursor).map_err(io::Error::other)?;
        small_file::replace(self.disk.as_ref(), &self.name, &text)
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
        let done = BTreeSet::from([(7, 3), (9, 0)]);
        let mut cursor = Cursor { next: (7, 1), done, marks: Marks::default() };
        cursor.marks.go_on(vec![(8, "a".to_string()), (9, "b".to_string())], 9);
        file.write(&cursor).expect("written");
        assert_eq!(file.read().expect("whole"), Some(cursor));
        // As the release before wrote it.
        std::fs::write(file.path(), r#"{"next":[7,1],"done":[[9,0]]}"#).expect("writable");
        let old = file.read().expect("whole").expect("there");
        assert_eq!((old.next, old.through(), old.marks), ((7, 1), 9, Marks::default()));
        std::fs::write(file.path(), "").expect("writable");
        assert!(file.read().is_err());
    }

    #[test]
    fn what_is_done_after_the_common_record_is_not_done() {
        let done = BTreeSet::from([(7, 3), (9, 0), (12, 1)]);
        let cursor = Cursor { next: (7, 1), done, marks: Marks::default() };
        assert_eq!(cursor.through(), 12);
        for (through, next, done) in
            [(12, (7, 1), 3), (9, (7, 1), 2), (7, (7, 1), 1), (6, (7, 0), 0), (0, (1, 0), 0)]
        {
            let mut back = cursor.clone();
            back.go_back(through);
            assert_eq!((back.next, back.done.len()), (next, done), "{through}");
        }
        assert_eq!((Cursor::at(5).through(), Cursor::at(1).through()), (4, 0));
    }
}
