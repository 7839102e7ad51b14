//! Looks at every record of a journal without changing anything, also while a service appends to it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::chain;
use super::checkpoint::{Checkpoint, checkpoints};
use super::disk::{Disk, DiskFile, RealDisk};
use super::segment::DIR;
use super::trouble::{damaged_place, strange_file};
use crate::ledger::Trouble;

/// Keys of one prefix that are looked up, at most.
const KEYS: usize = 1_000;

/// What is wrong with the journal of a data directory; nothing when there is none.
pub fn inspect(data_dir: &Path) -> io::Result<Vec<Trouble>> {
    if !data_dir.join(DIR).is_dir() {
        return Ok(Vec::new());
    }
    look(&ReadOnly(RealDisk::new(data_dir)?))
}

fn look(disk: &dyn Disk) -> io::Result<Vec<Trouble>> {
    let chain::Chain { segments, gaps, aside, .. } = chain::chain(disk)?;
    let mut troubles: Vec<Trouble> = gaps.iter().map(Trouble::from).collect();
    troubles.extend(aside.iter().map(|name| strange_file(name)));
    let newest = segments.len().saturating_sub(1);
    for (number, segment) in segments.iter().enumerate() {
        let file = match segment.open(disk) {
            // Old ones go while the service runs.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        if number == newest {
            segment.examine(file.as_ref())?;
        } else {
            segment.complete_index(file.as_ref())?;
        }
        troubles.extend(segment.damage().iter().map(|damage| damaged_place(segment, damage)));
    }
    Ok(troubles)
}

/// Looks something up without opening the list: hands over the keys below some prefixes as the newest
/// checkpoint has them, at most `KEYS` of each, then the records after it.
pub fn look_up(
    data_dir: &Path,
    prefixes: &[Vec<u8>],
    key: &mut dyn FnMut(&[u8]),
    record: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    if !data_dir.join(DIR).is_dir() {
        return Ok(());
    }
    let disk: Arc<dyn Disk> = Arc::new(ReadOnly(RealDisk::new(data_dir)?));
    let mut after = 0;
    for position in checkpoints(disk.as_ref())? {
        let scan =
            |checkpoint: &Checkpoint, prefix: &Vec<u8>| checkpoint.scan(prefix, &[], None, KEYS);
        let rows = Checkpoint::open(&disk, position).and_then(|checkpoint| {
            prefixes.iter().map(|prefix| scan(&checkpoint, prefix)).collect::<io::Result<Vec<_>>>()
        });
        // One that is damaged is said elsewhere; the one before it does as well.
        if let Ok(rows) = rows {
            rows.iter().flatten().for_each(|(found, _)| key(found));
            after = position;
            break;
        }
    }
    for segment in chain::chain(disk.as_ref())?.segments {
        let file = match segment.open(disk.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        let mut take = |_: u64, json: &[u8]| {
            record(json);
            true
        };
        segment.read(file.as_ref(), (after + 1, u64::MAX), &mut take)?;
    }
    Ok(())
}

/// A disk of somebody else: whatever would change it fails.
struct ReadOnly(RealDisk);

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "it is only looked at"))
}

impl Disk for ReadOnly {
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn is_file(&self, name: &str) -> io::Result<Option<bool>> {
        self.0.is_file(name)
    }

    fn make_dir(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn DiskFile>> {
        if create { refused() } else { self.0.open(name, false) }
    }

    fn refresh(&self, _: &str, _: u64) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn free(&self) -> io::Result<u64> {
        self.0.free()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::super::{Batch, Segments};
    use super::*;

    #[test]
    fn everything_wrong_is_found_and_nothing_is_changed() {
        let dir = tempfile::tempdir().expect("scratch");
        let disk = RealDisk::new(dir.path()).expect("a folder");
        let mut journal = Segments::open(Arc::new(disk), 400, 0).expect("open");
        for seq in 1..=90u64 {
            let mut batch = Batch::default();
            batch.push(seq, format!("{{\"seq\":{seq}}}").as_bytes()).expect("fit");
            journal.append(&batch).expect("appended");
        }
        assert_eq!(inspect(dir.path()).expect("looked at"), Vec::new());
        let starts = journal.reader().segment_starts();
        assert!(starts.len() > 4, "{starts:?}");
        let path = |first: u64| dir.path().join(format!("journal/{first:020}.journal"));
        // One octet of a record, one whole segment, a file of somebody, an unfinished step.
        let flipped = std::fs::File::options().write(true).open(path(starts[1])).expect("there");
        let at = std::fs::metadata(path(starts[1])).expect("there").len() - 5;
        flipped.write_all_at(b"\x00", at).expect("written");
        std::fs::remove_file(path(starts[2])).expect("there");
        std::fs::write(dir.path().join("journal/notes.txt"), "mine").expect("written");
        std::fs::write(dir.path().join("journal/7.packing"), "half").expect("written");
        let names = || {
            let all = std::fs::read_dir(dir.path().join("journal")).expect("a folder");
            all.flatten().map(|entry| entry.file_name()).collect::<std::collections::BTreeSet<_>>()
        };
        let before = names();
        let found = inspect(dir.path()).expect("looked at");
        assert_eq!(names(), before);
        let seqs: Vec<_> = found.iter().map(|trouble| trouble.seqs).collect();
        let text = format!("{found:?}");
        assert!(text.contains("notes.txt") && found.len() >= 2, "{text}");
        let missing = (starts[2] - 1, starts[3] - 1);
        let is_covered = |seq| seqs.iter().flatten().any(|(from, to)| (*from..=*to).contains(&seq));
        assert!((missing.0..=missing.1).all(is_covered), "{missing:?}: {text}");
        assert!(!is_covered(missing.0 - 1) && !is_covered(missing.1 + 1), "{missing:?}: {text}");
    }

    #[test]
    fn a_folder_without_a_journal_stays_empty() {
        let dir = tempfile::tempdir().expect("scratch");
        assert_eq!(inspect(dir.path()).expect("nothing"), Vec::new());
        assert_eq!(std::fs::read_dir(dir.path()).expect("ours").count(), 0);
    }
}
