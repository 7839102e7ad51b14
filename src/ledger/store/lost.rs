//! What is lost for good: records whose meaning neither a view nor a checkpoint holds. The file
//! `data_dir/lost-records` has a line a range, `FIRST LAST`, written before a view that lacks them is
//! served: the view goes on past them, so no later start would find out again. It is said at every
//! start until a person, who restored or imported what was lost, removes the file.
//!
//! Of a shared journal that lost records in a failover, the line goes on with the folder in which this
//! node's copy of them is kept: `FIRST LAST FOLDER`.

use std::io;
use std::path::Path;

use crate::ledger::journal::{self, Disk};
use crate::ledger::{Trouble, TroubleKind, small_file};

/// Where, in the data directory.
const FILE: &str = "lost-records";

/// Records that are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    /// The first and the last; 0: nobody knows which.
    pub(super) range: (u64, u64),
    /// The folder with this node's copy of them.
    pub(super) kept: Option<String>,
}

/// What is written down. A line that cannot be read is a range that nobody knows.
pub(super) fn read(disk: &dyn Disk) -> io::Result<Vec<Lost>> {
    let text = small_file::read(disk, FILE)?.unwrap_or_default();
    let lost = |line: &str| {
        let mut words = line.split_whitespace();
        let range = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Lost { range, kept: words.next().map(str::to_string) })
    };
    let unknown = || Lost { range: (0, 0), kept: None };
    Ok(text.lines().map(|line| lost(line).unwrap_or_else(unknown)).collect())
}

/// Writes a range down, unless it is there.
pub(super) fn add(disk: &dyn Disk, new: Lost) -> io::Result<()> {
    let mut all = read(disk)?;
    if all.contains(&new) {
        return Ok(());
    }
    all.push(new);
    let line = |lost: &Lost| {
        let (from, through) = lost.range;
        match &lost.kept {
            None => format!("{from} {through}\n"),
            Some(folder) => format!("{from} {through} {folder}\n"),
        }
    };
    small_file::replace(disk, FILE, &all.iter().map(line).collect::<String>())
}

/// Writes down that an engine lost records, which this node keeps in a folder of its data directory.
pub fn lost_by_engine(data_dir: &Path, range: (u64, u64), folder: &str) -> io::Result<()> {
    let disk = journal::RealDisk::new(data_dir)?;
    add(&disk, Lost { range, kept: Some(folder.to_string()) })
}

/// What is written down, in words, also when no service runs.
pub fn lost_records(data_dir: &Path) -> io::Result<Vec<Trouble>> {
    if !data_dir.is_dir() {
        return Ok(Vec::new());
    }
    Ok(read(&journal::RealDisk::new(data_dir)?)?.iter().map(trouble).collect())
}

/// In words.
pub(super) fn trouble(lost: &Lost) -> Trouble {
    let (from, through) = lost.range;
    let what = match from {
        0 => format!("records are lost ({FILE} cannot be read, so nobody knows which)"),
        from => format!("records {from} to {through} are lost"),
    };
    let text = match &lost.kept {
        None => format!(
            "{what}, and no view or checkpoint holds what they decided: suppressions of theirs are \
             gone; restore the data directory from a backup, or import them, then remove {FILE} from it"
        ),
        Some(folder) => format!(
            "{what} by the engine, in a failover, after they were acknowledged; others have their \
             positions now, and suppressions of theirs are gone on all nodes; this node had them, and \
             keeps them in {folder}: export the list there, import it here (docs/cluster.md), then \
             remove {FILE} from the data directory"
        ),
    };
    let seqs = Some(lost.range).filter(|(from, _)| *from > 0);
    Trouble { kind: TroubleKind::StateLost, file: Some(FILE.to_string()), seqs, text }
}
