//! A new view beside the one that serves, made from a fresh checkpoint, because sled keeps what was
//! removed from it. Nobody waits: the keeper loads it in pieces between its other work, carries over
//! what changed meanwhile, and exchanges the two in one moment.
//!
//! | step | an error or a crash leaves |
//! |---|---|
//! | a fresh checkpoint, read back; older ones removed | the old view, and that checkpoint |
//! | its rows go into the next generation, piece by piece | a generation without a meta row: removed |
//! | rows that changed meanwhile are copied; both must add up to the same sum | the same |
//! | flushed, then exchanged | two generations with the same rows: the newer one is used |
//! | the old one is removed | done |

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sled::IVec;

use super::engine::{Engine, ViewState};
use super::inbox::OrderReply;
use super::rebuild;
use super::rows::Meta;
use super::view::View;
use crate::ledger::LedgerError;
use crate::ledger::journal::{self, Checkpoint};
use crate::lock::lock;

/// How long readers of the old view may take to end.
const READERS: Duration = Duration::from_secs(30);
/// Rows copied at once.
const ROWS_AT_ONCE: usize = 1024;

/// A view on its way.
pub(super) struct Renewal {
    view: View,
    meta: Meta,
    checkpoint: Checkpoint,
    /// Rows of the old view that changed since the checkpoint.
    dirty: HashSet<IVec>,
    /// Who waits for it.
    answers: Vec<OrderReply>,
    /// The checkpoint left out rows that the old view still has: the sums will differ.
    exact: bool,
}

impl Renewal {
    /// Begins one from a checkpoint of the old view as it is now.
    pub(super) fn begin(engine: &Engine, position: u64, exact: bool) -> Result<Self, LedgerError> {
        let broken = |error| journal::refused("the checkpoint cannot be read back", &error);
        let checkpoint = Checkpoint::open(engine.disk.as_ref(), position).map_err(broken)?;
        let view = rebuild::open_next(engine)?;
        let meta = Meta::default();
        Ok(Self { view, meta, checkpoint, dirty: HashSet::new(), answers: Vec::new(), exact })
    }

    /// Somebody wants to hear of its end.
    pub(super) fn wait(&mut self, answers: Vec<OrderReply>) {
        self.answers.extend(answers);
    }

    /// Rows of the old view are about to change.
    pub(super) fn will_change<'a>(&mut self, keys: impl Iterator<Item = &'a IVec>) {
        self.dirty.extend(keys.cloned());
    }

    /// Loads one more piece; true when all are in it.
    pub(super) fn load(&mut self) -> Result<bool, LedgerError> {
        let broken = |error| journal::refused("the checkpoint cannot be read back", &error);
        let Some(rows) = self.checkpoint.next_rows().map_err(broken)? else { return Ok(true) };
        let rows: HashMap<_, _> = rows
            .into_iter()
            .map(|(key, value)| (IVec::from(key), Some(IVec::from(value))))
            .collect();
        self.view.apply(&rows, &mut self.meta, false)?;
        Ok(false)
    }

    /// Carries over what changed since, and makes it durable. The old view must not change.
    pub(super) fn complete(&mut self, old: &View, meta: &Meta) -> Result<(), LedgerError> {
        let dirty: Vec<IVec> = self.dirty.drain().collect();
        for keys in dirty.chunks(ROWS_AT_ONCE) {
            let rows = old.stored(keys.iter().cloned())?;
            self.view.apply(&rows, &mut self.meta, false)?;
        }
        self.meta.position = meta.position;
        self.view.apply(&HashMap::new(), &mut self.meta, true)?;
        let (new, old) = ((self.meta.count, self.meta.sum), (meta.count, meta.sum));
        if self.exact && new != old {
            return Err(LedgerError::Retryable(format!(
                "the new view has {} rows, the old one {}, or they differ",
                new.0, old.0
            )));
        }
        self.view.flush()
    }

    /// Puts it in the place of the old one.
    pub(super) fn exchange(
        self,
        engine: &Engine,
        old: &View,
    ) -> (Arc<View>, Meta, Vec<OrderReply>) {
        // No commit may publish into the old view from here on.
        let writer = lock(&engine.writer);
        self.view.take_above(old);
        let view = Arc::new(self.view);
        lock(&engine.inbox).generation = view.generation;
        engine.set_view_state(ViewState::Ready(Arc::clone(&view)));
        drop(writer);
        (view, self.meta, self.answers)
    }

    /// Gives it up; who waits hears why.
    pub(super) fn abandon(self, engine: &Engine, error: &LedgerError) {
        let generation = self.view.generation;
        drop(self.view);
        rebuild::remove(engine, &[generation]);
        for answer in self.answers {
            let _ = answer.try_send(Err(error.clone()));
        }
    }
}

/// Ends a view that nobody is to use any more, and removes its files.
pub(super) fn retire(engine: &Engine, mut old: Arc<View>) {
    let generation = old.generation;
    let until = Instant::now() + READERS;
    let alone = loop {
        match Arc::try_unwrap(old) {
            Ok(view) => break Some(view),
            Err(shared) if Instant::now() < until => old = shared,
            Err(_) => break None,
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    drop(alone);
    rebuild::remove(engine, &[generation]);
}
