//! A node gives its checkpoint to all: a thread looks now and then whether the newest one in the engine
//! is old, and this node has a newer one. One node at a time writes it. The same thread lets the
//! engine's old records go, which only checkpoints there make superfluous.
//!
//! Only a checkpoint goes there in which all erasures are carried out. An erasure takes those away that
//! were written before, and when records are gone already, puts a clean one in their place first
//! ([`renew`]).

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::cluster::Cluster;
use super::engine::Engine;
use super::overlay::read_event;
use crate::ledger::LedgerError;
use crate::ledger::journal::{self, CheckpointFile};
use crate::ledger::lock::lock;
use crate::ledger::order::{SharedCheckpoint, SharedJournal, Stock};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(5);

/// A newer one is written after so long, also when little came.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);

/// Octets of a part.
const PART: usize = 512 * 1024;

/// Starts the thread.
pub(super) fn start(engine: Arc<Engine>) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("sharing".to_string()).spawn(move || run(&engine))
}

fn run(engine: &Engine) {
    let Some(cluster) = &engine.cluster else { return };
    let mut line = (cluster.share.connect)();
    let mut said = None;
    loop {
        // Whoever ends the thread wakes it.
        std::thread::park_timeout(LOOK);
        if lock(&engine.inbox).stop {
            return;
        }
        if !cluster.was_level() || cluster.stuck().is_some() {
            continue;
        }
        match step(engine, cluster, line.as_mut()) {
            Ok(()) => said = None,
            // An engine that is away is said by the follower.
            Err(LedgerError::Away(why)) => tracing::debug!(why, "no checkpoint is shared"),
            Err(error) => {
                let error = error.to_string();
                if said.as_ref() != Some(&error) {
                    tracing::error!(error, "no checkpoint is shared, or no old record goes");
                    said = Some(error);
                }
            }
        }
    }
}

/// Looks once.
pub(super) fn step(
    engine: &Engine,
    cluster: &Cluster,
    line: &mut dyn SharedJournal,
) -> Result<(), LedgerError> {
    // Before the file is chosen: what is there after it is as clean.
    let erased = cluster.erased().clean();
    if due(engine, &line.stock()?, erased)?.is_some() {
        let name = name()?;
        if line.claim(&name, false)?
            // Somebody may have written one before this node had the right, which ends by itself.
            && let Some(position) = due(engine, &line.stock()?, erased)?
        {
            write(engine, line, position, erased, name)?;
        }
    }
    let gone = line.retain(engine.options.keep)?;
    if gone > 0 {
        tracing::info!(records = gone, "old records of the shared journal are removed");
    }
    Ok(())
}

fn newest(engine: &Engine) -> Result<u64, LedgerError> {
    let failed = |error| journal::refused("checkpoints cannot be listed", &error);
    let positions = journal::checkpoints(engine.disk.as_ref()).map_err(failed)?;
    Ok(positions.first().copied().unwrap_or(0))
}

/// The position of the checkpoint that this node should write, if any.
fn due(engine: &Engine, stock: &Stock, erased: u64) -> Result<Option<u64>, LedgerError> {
    let position = newest(engine)?;
    if position == 0 || erased < stock.erased {
        return Ok(None);
    }
    let is_due = stock.usable.first().is_none_or(|there| {
        let more = position.saturating_sub(there.place.seq);
        more >= engine.options.checkpoint_every || (more > 0 && there.age >= OLD)
    });
    Ok(Some(position).filter(|_| is_due))
}

/// A checkpoint in which an erasure is carried out takes the place of those from before it.
pub(super) fn renew(
    engine: &Engine,
    line: &mut dyn SharedJournal,
    erased: u64,
) -> Result<(), LedgerError> {
    let stock = line.stock()?;
    let is_clean = stock.usable.iter().any(|one| one.erased >= erased);
    // One that began later carries this one out, too, and writes its own.
    let is_last = stock.erased <= erased;
    if !is_clean && is_last && (stock.first > 1 || stock.is_any) {
        let (position, name) = (newest(engine)?, name()?);
        if !line.claim(&name, true)? || !write(engine, line, position, erased, name)? {
            let why = "another erasure is under way, or another node writes the shared checkpoint";
            return Err(LedgerError::Retryable(why.to_string()));
        }
    }
    line.forget(erased)
}

/// Writes the local checkpoint of a position under a name that has the right to; false when that was lost,
/// or an erasure came.
fn write(
    engine: &Engine,
    line: &mut dyn SharedJournal,
    position: u64,
    erased: u64,
    name: String,
) -> Result<bool, LedgerError> {
    let failed = |error| journal::refused("the checkpoint cannot be read", &error);
    let go_on = || !lock(&engine.inbox).stop;
    let stopping = || LedgerError::Retryable("the service is stopping".to_string());
    let event = read_event(&engine.reader, position)?;
    let tail: Vec<_> = event.into_iter().map(|event| (position, event.id)).collect();
    let place = line.find(position, &tail)?;
    let file = CheckpointFile::open(&engine.disk, position, &mut { go_on }).map_err(failed)?;
    let (mut hash, mut parts, mut at) = (Sha256::new(), 0, 0);
    while at < file.length() {
        if !go_on() {
            return Err(stopping());
        }
        let octets = file.read(at, PART).map_err(failed)?;
        if !line.put(&name, erased, parts, &octets)? {
            return Ok(false);
        }
        hash.update(&octets);
        (at, parts) = (at + octets.len() as u64, parts + 1);
    }
    if !go_on() {
        return Err(stopping());
    }
    let (octets, sha256) = (file.length(), hash.finalize().into());
    let new = SharedCheckpoint { name, place, erased, parts, octets, sha256, age: Duration::ZERO };
    let done = line.complete(&new)?;
    if done {
        tracing::info!(position, octets, "the checkpoint is shared");
    }
    Ok(done)
}

/// A name that no other checkpoint has.
fn name() -> Result<String, LedgerError> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random)
        .map_err(|error| LedgerError::Retryable(format!("no randomness: {error}")))?;
    Ok(data_encoding::HEXLOWER.encode(&random))
}
