//! How a node begins that has nothing: the journal is copied as the engine has it, and of the newest
//! shared checkpoint is made its own, so that only what came after that is folded. It copies the records
//! before the checkpoint, too: its history, and what old records are judged again by, reach back as far
//! as those of the others.
//!
//! `data_dir/beginning` stands from the first octet to the last. A start that finds it removes what came
//! and begins again. Without a checkpoint the follower takes the journal from its first record.

use std::io;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::cluster::Cluster;
use super::options::Options;
use crate::ledger::journal::{self, Batch, CheckpointCopy, Disk, Segments};
use crate::ledger::order::{SharedCheckpoint, SharedJournal, Stock};
use crate::ledger::remembered::{NEWEST, OLDEST, SEGMENT};
use crate::ledger::{LedgerError, small_file};

/// Where, in the data directory.
const MARK: &str = "beginning";

/// Folders of a copy.
const COPIED: [&str; 2] = ["checkpoint", "journal"];

/// Records of one step.
const AT_ONCE: usize = 500;

/// Records between two lines of the log.
const SAID: u64 = 100_000;

fn failed(error: &io::Error) -> LedgerError {
    journal::refused("the journal cannot be copied from the engine", error)
}

/// Begins the copy when there is none. What keeps it from that and may pass is told by the follower.
pub(super) fn begin(
    disk: &Arc<dyn Disk>,
    options: &Options,
    cluster: &Cluster,
) -> Result<(), LedgerError> {
    let mark = small_file::octets(disk.as_ref(), MARK).map_err(|e| failed(&e))?;
    if mark.is_some() {
        tracing::warn!("the copy of the journal was cut off when it was begun: it is begun again");
    } else if !is_empty(disk.as_ref()).map_err(|e| failed(&e))? {
        return Ok(());
    }
    // What was known of a copy that somebody took away would be said to be lost.
    clear(disk.as_ref())?;
    unless_missing(std::fs::remove_dir_all(options.data_dir.join("view")))
        .map_err(|e| failed(&e))?;
    let mut line = (cluster.share.connect)();
    match take(disk, options, cluster, line.as_mut()) {
        Ok(()) => Ok(()),
        Err(error) => {
            clear(disk.as_ref())?;
            match error {
                LedgerError::Full(_) | LedgerError::Fatal(_) => Err(error),
                error => {
                    tracing::warn!(%error, "this node does not begin with a checkpoint");
                    Ok(())
                }
            }
        }
    }
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn is_empty(disk: &dyn Disk) -> io::Result<bool> {
    for dir in COPIED {
        if !disk.list(dir)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes what came, the mark last.
fn clear(disk: &dyn Disk) -> Result<(), LedgerError> {
    let cleared = || -> io::Result<()> {
        for dir in COPIED {
            disk.make_dir(dir)?;
            for name in disk.list(dir)? {
                disk.remove(&format!("{dir}/{name}"))?;
            }
            // Also when nothing was there: a step that failed may have removed it and not synced that.
            disk.sync_dir(dir)?;
        }
        small_file::remove(disk, OLDEST)?;
        small_file::remove(disk, NEWEST)?;
        small_file::remove(disk, SEGMENT)?;
        small_file::remove(disk, MARK)
    };
    cleared().map_err(|error| failed(&error))
}

fn take(
    disk: &Arc<dyn Disk>,
    options: &Options,
    cluster: &Cluster,
    line: &mut dyn SharedJournal,
) -> Result<(), LedgerError> {
    // First: while an erasure is under way no checkpoint is usable.
    cluster.begin_copy(disk.as_ref(), line)?;
    let (stock, erased) = (line.stock()?, cluster.erased().taken);
    let Some(newest) = stock.usable.first() else {
        // The follower takes the journal from its first record.
        return stock.no_beginning().map_or(Ok(()), |why| Err(LedgerError::Fatal(why)));
    };
    small_file::replace(disk.as_ref(), MARK, "").map_err(|e| failed(&e))?;
    let through = newest.place.seq;
    tracing::info!(through, first = stock.first, "the journal is copied from the engine");
    copy_records(disk, options, line, (stock.first, through), erased)?;
    let position = take_checkpoint(disk, line, &stock)?;
    small_file::remove(disk.as_ref(), MARK).map_err(|e| failed(&e))?;
    tracing::info!(
        position,
        "the journal is copied, this node folds what came after its checkpoint"
    );
    Ok(())
}

fn copy_records(
    disk: &Arc<dyn Disk>,
    options: &Options,
    line: &mut dyn SharedJournal,
    (first, through): (u64, u64),
    erased: u64,
) -> Result<(), LedgerError> {
    let segments = Segments::begin_at(Arc::clone(disk), options.segment_bytes, first);
    let mut segments = segments.map_err(|e| failed(&e))?;
    let (mut next, mut said) = (first, first);
    while next <= through {
        let (lines, last_erasure) = line.records(next, AT_ONCE)?;
        if last_erasure != erased {
            return Err(LedgerError::Retryable("an erasure began meanwhile".to_string()));
        }
        let mut batch = Batch::default();
        for (seq, json) in lines.iter().take_while(|(seq, _)| *seq <= through) {
            if *seq != next {
                let why = format!("record {next} went while it was copied");
                return Err(LedgerError::Retryable(why));
            }
            let unfit = |why: journal::Unfit| LedgerError::Corrupt(format!("record {seq}: {why}"));
            batch.push(*seq, json.as_bytes()).map_err(unfit)?;
            next += 1;
        }
        if batch.is_empty() {
            return Err(LedgerError::Retryable(format!("record {next} is not there")));
        }
        segments.append(&batch)?;
        if next >= said + SAID {
            said = next;
            tracing::info!(at = next - 1, through, "the journal is being copied");
        }
    }
    // Once for all: while the mark stands nobody relies on what came so far.
    segments.end_copy().map_err(|e| failed(&e))
}

/// Makes the newest shared checkpoint that is whole one of this node's; gives its position.
fn take_checkpoint(
    disk: &Arc<dyn Disk>,
    line: &mut dyn SharedJournal,
    stock: &Stock,
) -> Result<u64, LedgerError> {
    let mut damage = String::new();
    for checkpoint in stock.usable.iter().filter(|one| one.place.seq >= stock.first) {
        let position = checkpoint.place.seq;
        match fetch(disk, line, checkpoint) {
            Err(LedgerError::Corrupt(why)) => {
                tracing::error!(position, why, "a shared checkpoint cannot be used");
                damage = why;
            }
            done => return done.map(|()| position),
        }
    }
    if stock.first <= 1 {
        return Ok(0);
    }
    Err(LedgerError::Fatal(format!(
        "no shared checkpoint can be read ({damage}), and the shared journal begins at {}: restart a node \
         that runs, it writes one; start this one again after that",
        stock.first
    )))
}

fn fetch(
    disk: &Arc<dyn Disk>,
    line: &mut dyn SharedJournal,
    checkpoint: &SharedCheckpoint,
) -> Result<(), LedgerError> {
    if line.find(checkpoint.place.seq, &[])? != checkpoint.place {
        return Err(LedgerError::Corrupt("it is of another history".to_string()));
    }
    let mut copy = CheckpointCopy::create(disk, checkpoint.place.seq).map_err(|e| failed(&e))?;
    let (mut hash, mut octets) = (Sha256::new(), 0);
    for part in 0..checkpoint.parts {
        let part = line.part(&checkpoint.name, part)?;
        hash.update(&part);
        octets += part.len() as u64;
        copy.push(&part).map_err(|e| failed(&e))?;
    }
    if octets != checkpoint.octets || hash.finalize()[..] != checkpoint.sha256 {
        return Err(LedgerError::Corrupt("its octets are not those that were written".to_string()));
    }
    copy.finish().map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => LedgerError::Corrupt(error.to_string()),
        _ => failed(&error),
    })
}
