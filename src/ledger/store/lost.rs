//! What is lost for good: records whose meaning neither a view nor a checkpoint holds. The file
//! `data_dir/lost-records` has a line a range, `FIRST LAST`, written before a view that lacks them is
//! served: the view goes on past them, so no later start would find out again. It is said at every
//! start until a person, who restored or imported what was lost, removes the file.

use std::io;

use crate::ledger::journal::Disk;
use crate::ledger::{Trouble, TroubleKind, small_file};

/// Where, in the data directory.
const FILE: &str = "lost-records";

/// The ranges that are written down. A line that cannot be read is a range that nobody knows: 0.
pub(super) fn read(disk: &dyn Disk) -> io::Result<Vec<(u64, u64)>> {
    let text = small_file::read(disk, FILE)?.unwrap_or_default();
    let range = |line: &str| {
        let (from, through) = line.split_once(' ')?;
        Some((from.parse().ok()?, through.trim().parse().ok()?))
    };
    Ok(text.lines().map(|line| range(line).unwrap_or_default()).collect())
}

/// Writes a range down, unless it is there.
pub(super) fn add(disk: &dyn Disk, range: (u64, u64)) -> io::Result<()> {
    let mut ranges = read(disk)?;
    if ranges.contains(&range) {
        return Ok(());
    }
    ranges.push(range);
    let lines = ranges.iter().map(|(from, through)| format!("{from} {through}\n"));
    small_file::replace(disk, FILE, &lines.collect::<String>())
}

/// In words.
pub(super) fn trouble((from, through): (u64, u64)) -> Trouble {
    let what = match from {
        0 => format!("records are lost ({FILE} cannot be read, so nobody knows which)"),
        from => format!("records {from} to {through} are lost"),
    };
    Trouble {
        kind: TroubleKind::StateLost,
        file: Some(FILE.to_string()),
        seqs: Some((from, through)).filter(|(from, _)| *from > 0),
        text: format!(
            "{what}, and no view or checkpoint holds what they decided: suppressions of theirs are \
             gone; restore the data directory from a backup, or import them, then remove {FILE} from it"
        ),
    }
}
