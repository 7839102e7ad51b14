//! Gets a view that can be trusted: the one on disk when what changed since its checkpoint is sound,
//! else a new one over the newest checkpoint that is whole. Then folds what it lacks from the journal.
//! Nothing of it takes longer with a longer list.

use std::collections::{HashMap, HashSet};
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::engine::Engine;
use super::overlay::Overlay;
use super::pending::PendingRows;
use super::rows::Meta;
use super::view::View;
use crate::event::Event;
use crate::ledger::journal::{self, Checkpoint};
use crate::ledger::lock::lock;
use crate::ledger::private;
use crate::ledger::remembered::{self, NEWEST};
use crate::ledger::{Fold, LedgerError, Trouble, TroubleKind};

/// Events folded between two batches.
const EVENTS_AT_ONCE: usize = 500;

/// sled lets go of its directory a moment after it was dropped.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// What is to be served: a view, what sled says of itself, and commits that sled does not have yet
/// because the disk is full.
pub(super) struct Prepared {
    pub(super) view: View,
    pub(super) meta: Meta,
    pub(super) waiting: Vec<PendingRows>,
}

/// Opens the newest view when `trust` says that it may be sound, else builds one. The fold is taken
/// from the writer meanwhile, so no commit can come in between.
pub(super) fn prepare(engine: &Engine, trust: bool) -> Result<Prepared, LedgerError> {
    let Some(mut fold) = lock(&engine.writer).fold.take() else {
        return Err(LedgerError::Fatal("the policy is gone: restart the service".to_string()));
    };
    fold.reset();
    let prepared = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let dirs = match generations(engine) {
            Err(error) if is_full(engine, &error) => return build_in_memory(engine, fold.as_mut()),
            other => other?,
        };
        // How far the list had come, as far as anybody knows; the view on disk also when it cannot be used.
        let failed = |error: io::Error| journal::refused("newest-record cannot be read", &error);
        let mut reached =
            remembered::read(engine.disk.as_ref(), NEWEST).map_err(failed)?.unwrap_or(0);
        if let (true, Some(newest)) = (trust, dirs.last()) {
            match open_sound(engine, *newest, fold.as_mut(), &mut reached) {
                Err(error) if is_full(engine, &error) => {
                    return build_in_memory(engine, fold.as_mut());
                }
                Err(error) => tracing::error!(%error, "the view is not sound: it is built anew"),
                sound => {
                    remove(engine, &dirs[..dirs.len() - 1]);
                    return sound.and_then(|prepared| complete(engine, prepared, reached));
                }
            }
            fold.reset();
        }
        match build(engine, &dirs, fold.as_mut()) {
            Err(error) if is_full(engine, &error) => {
                fold.reset();
                build_in_memory(engine, fold.as_mut())
            }
            built => built.and_then(|prepared| complete(engine, prepared, reached)),
        }
    }));
    lock(&engine.writer).fold = Some(fold);
    prepared.unwrap_or_else(|_| {
        Err(LedgerError::Retryable("a panic while the view was prepared".to_string()))
    })
}

/// Says what is missing between a view and where the list had come before.
fn complete(engine: &Engine, prepared: Prepared, reached: u64) -> Result<Prepared, LedgerError> {
    let position = prepared.waiting.last().map_or(prepared.meta.position, |last| last.seq);
    // What a copy of a shared journal lacks comes again.
    let passed = match engine.cluster {
        Some(_) => None,
        None => lock(&engine.writer).segments.pass_missing_newest(reached.max(position)),
    };
    if let Some(through) = passed {
        engine.lost(position + 1, through)?;
    } else if position < reached {
        engine.lost(position + 1, reached)?;
        lock(&engine.writer).segments.go_on_after(reached, "the list");
    }
    Ok(prepared)
}

/// There is no space for sled, whatever it says itself.
fn is_full(engine: &Engine, error: &LedgerError) -> bool {
    matches!(error, LedgerError::Full(_)) || engine.look_at_free() < engine.options.min_free_bytes
}

fn root(engine: &Engine) -> PathBuf {
    engine.options.data_dir.join("view")
}

fn dir(engine: &Engine, generation: u64) -> PathBuf {
    root(engine).join(generation.to_string())
}

/// Generations on disk, ascending.
fn generations(engine: &Engine) -> Result<Vec<u64>, LedgerError> {
    let failed = |error: io::Error| journal::refused("the directory of the view", &error);
    private_dir(&root(engine)).map_err(failed)?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root(engine)).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        found.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes generations.
pub(super) fn remove(engine: &Engine, generations: &[u64]) {
    for generation in generations {
        let dir = dir(engine, *generation);
        if let Err(error) = std::fs::remove_dir_all(&dir)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %dir.display(), %error, "an old view cannot be removed");
        }
    }
}

/// A folder for its owner only: sled makes its files for everybody.
fn private_dir(dir: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn open(engine: &Engine, generation: u64) -> Result<View, LedgerError> {
    if let Err(error) = private_dir(&dir(engine, generation)) {
        return Err(journal::refused("the directory of the view", &error));
    }
    for _ in 0..LOCK_TRIES {
        match View::open(&dir(engine, generation), engine.options.cache_bytes, generation) {
            Err(LedgerError::Retryable(why)) if why.contains("could not acquire lock") => {
                std::thread::sleep(LOCK_PAUSE);
            }
            other => {
                let _ = private::close_to_others(&root(engine));
                return other;
            }
        }
    }
    Err(LedgerError::Retryable("somebody else holds the lock of the view".to_string()))
}

fn open_sound(
    engine: &Engine,
    generation: u64,
    fold: &mut dyn Fold,
    reached: &mut u64,
) -> Result<Prepared, LedgerError> {
    let mut view = open(engine, generation)?;
    let mut meta = view.verify()?;
    let journal = engine.reader.name();
    if meta.journal != journal && meta.journal != 0 && journal != 0 {
        return Err(LedgerError::Corrupt("it is the view of another list".to_string()));
    }
    lock(&engine.writer).segments.is_named(meta.journal);
    *reached = meta.position.max(*reached);
    view.put_on(checkpoint(engine, meta.base)?);
    // Sound, and beyond the journal: it holds what lost records decided.
    lock(&engine.writer).segments.go_on_after(meta.position, "the view");
    let (first_seq, last_seq) = (engine.first_seq(), engine.reader.last_seq());
    if meta.position + 1 < first_seq && meta.position < last_seq {
        return Err(LedgerError::Corrupt(format!(
            "the view stands at {}, the journal has {first_seq} to {last_seq}",
            meta.position
        )));
    }
    let waiting = catch_up(engine, &view, &mut meta, fold)?;
    Ok(Prepared { view, meta, waiting })
}

/// Opens the checkpoint of a position; 0 is none.
fn checkpoint(engine: &Engine, position: u64) -> Result<Option<Checkpoint>, LedgerError> {
    if position == 0 {
        return Ok(None);
    }
    if lock(&engine.bad_checkpoints).contains(&position) {
        return Err(LedgerError::Corrupt("the checkpoint is damaged".to_string()));
    }
    let opened = Checkpoint::open(&engine.disk, position);
    opened.map(Some).map_err(|error| match is_passing(&error) {
        true => journal::refused("the checkpoint cannot be opened", &error),
        false => LedgerError::Corrupt(error.to_string()),
    })
}

/// It says nothing about the file.
fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let passing = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        || passing.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// An empty view over a checkpoint, in the next generation.
pub(super) fn begin(engine: &Engine, position: u64) -> Result<(View, Meta), LedgerError> {
    let below = checkpoint(engine, position)?;
    let generation = engine.next_generation(generations(engine)?.last().copied().unwrap_or(0));
    let mut view = open(engine, generation)?;
    view.put_on(below);
    let mut meta = Meta { journal: engine.reader.name(), ..Meta::of(position) };
    let begun = view.apply(&HashMap::new(), &mut meta, None).and_then(|()| view.flush());
    match begun {
        Ok(()) => Ok((view, meta)),
        Err(error) => {
            drop(view);
            remove(engine, &[generation]);
            Err(error)
        }
    }
}

/// Positions from which a view can be made, the best first. Last of all from nothing: right when the
/// journal is whole, else the best there is.
fn beginnings(engine: &Engine) -> Result<Vec<u64>, LedgerError> {
    let failed = |error: io::Error| journal::refused("checkpoints cannot be listed", &error);
    let mut positions = journal::checkpoints(engine.disk.as_ref()).map_err(failed)?;
    positions.retain(|position| *position > 0);
    positions.push(0);
    Ok(positions)
}

fn build(engine: &Engine, old: &[u64], fold: &mut dyn Fold) -> Result<Prepared, LedgerError> {
    // First the old ones: they may be what fills the disk.
    engine.newest.fetch_max(old.last().copied().unwrap_or(0), Ordering::Relaxed);
    remove(engine, old);
    for position in beginnings(engine)? {
        let (view, mut meta) = match begin(engine, position) {
            Ok(begun) => begun,
            Err(error @ LedgerError::Corrupt(_)) if position > 0 => {
                engine.note(Trouble {
                    kind: TroubleKind::Checkpoint,
                    file: Some(format!("checkpoint/{position:020}.checkpoint")),
                    seqs: None,
                    text: format!(
                        "the checkpoint at {position} cannot be used ({error}): an older one and the \
                         journal take its place"
                    ),
                });
                continue;
            }
            Err(error) => return Err(error),
        };
        if engine.first_seq() > position + 1 {
            engine.lost(position + 1, engine.first_seq() - 1)?;
        }
        let waiting = catch_up(engine, &view, &mut meta, fold)?;
        view.flush()?;
        return Ok(Prepared { view, meta, waiting });
    }
    Err(LedgerError::Retryable("no view could be built".to_string()))
}

/// Questions are answered also when nothing can be written: what came after the newest whole
/// checkpoint is in memory. What is on disk is not touched.
fn build_in_memory(engine: &Engine, fold: &mut dyn Fold) -> Result<Prepared, LedgerError> {
    tracing::warn!("the disk is full: the view is made in memory, and mail waits for space");
    for position in beginnings(engine)? {
        let below = match checkpoint(engine, position) {
            Err(LedgerError::Corrupt(_)) => continue,
            other => other?,
        };
        let view = View::in_memory(&root(engine), engine.next_memory(), below);
        let mut meta = Meta::of(position);
        fold.reset();
        catch_up(engine, &view, &mut meta, fold)?;
        return Ok(Prepared { view, meta, waiting: Vec::new() });
    }
    Err(LedgerError::Retryable("no view could be built".to_string()))
}

/// Puts rows into sled; what it has no space for, and what has no sled, stays above it.
fn put(
    engine: &Engine,
    view: &View,
    meta: &mut Meta,
    pending: PendingRows,
    waiting: &mut Vec<PendingRows>,
) -> Result<(), LedgerError> {
    let mut pending = pending;
    if !view.is_in_memory() && waiting.is_empty() {
        let before = *meta;
        meta.position = pending.seq;
        let rows = pending.changes.iter().cloned().collect();
        match view.apply(&rows, meta, None) {
            Err(error) if is_full(engine, &error) => *meta = before,
            other => return other,
        }
    }
    view.publish(&mut pending);
    if !view.is_in_memory() {
        waiting.push(pending);
    }
    Ok(())
}

/// A rebuild ends early when the service does.
fn go_on(engine: &Engine) -> Result<(), LedgerError> {
    if lock(&engine.inbox).stop {
        return Err(LedgerError::Retryable("the service is stopping".to_string()));
    }
    Ok(())
}

/// Folds what the journal has after the view's position; gives what sled had no space for.
fn catch_up(
    engine: &Engine,
    view: &View,
    meta: &mut Meta,
    fold: &mut dyn Fold,
) -> Result<Vec<PendingRows>, LedgerError> {
    let (last_seq, mut at) = (engine.reader.last_seq(), meta.position);
    let mut waiting = Vec::new();
    // Over which the policy panicked.
    let mut left_out = HashSet::new();
    while at < last_seq {
        go_on(engine)?;
        let failed = |error: io::Error| journal::refused("the journal cannot be read", &error);
        let lines = engine.reader.read(at + 1, EVENTS_AT_ONCE).map_err(failed)?;
        // Without lines, what is left can no longer be read.
        let through = lines.last().map_or(last_seq, |(seq, _)| *seq);
        let mut expected = at + 1;
        for seq in lines.iter().map(|(seq, _)| *seq).chain([through + 1]) {
            // What no checkpoint covers was said by `build`.
            if seq > expected && seq > engine.first_seq() {
                engine.lost(expected.max(engine.first_seq()), seq - 1)?;
            }
            expected = seq + 1;
        }
        let mut overlay = Overlay::new(view, &engine.reader);
        if let Some(seq) = fold_lines(&mut overlay, fold, lines, &left_out)? {
            tracing::error!(seq, "the policy panicked over an event: it counts in nothing");
            fold.reset();
            // What it wrote before is in the overlay: these lines once more without it.
            left_out.insert(seq);
            continue;
        }
        let pending = PendingRows::new(through, overlay.into_changes()?);
        put(engine, view, meta, pending, &mut waiting)?;
        at = through;
        lock(&engine.inbox).folded = at;
    }
    Ok(waiting)
}

/// Folds events; gives the position of one over which the policy panicked.
fn fold_lines(
    overlay: &mut Overlay<'_>,
    fold: &mut dyn Fold,
    lines: Vec<(u64, String)>,
    left_out: &HashSet<u64>,
) -> Result<Option<u64>, LedgerError> {
    for (seq, line) in lines.into_iter().filter(|(seq, _)| !left_out.contains(seq)) {
        let Ok(mut event) = serde_json::from_str::<Event>(&line) else {
            tracing::error!(seq, "an event cannot be read: it counts in nothing");
            continue;
        };
        event.seq = seq;
        if !fold_one(overlay, fold, &[], &mut event)? {
            return Ok(Some(seq));
        }
    }
    Ok(None)
}

/// Folds an event that is in a journal; false when the policy panicked over it.
pub(super) fn fold_one(
    overlay: &mut Overlay<'_>,
    fold: &mut dyn Fold,
    ahead: &[Event],
    event: &mut Event,
) -> Result<bool, LedgerError> {
    let folding = AssertUnwindSafe(|| overlay.fold(&mut *fold, ahead, event));
    std::panic::catch_unwind(folding).map_or(Ok(false), |folded| folded.map(|()| true))
}
