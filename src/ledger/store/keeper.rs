//! The keeper: the one thread that writes to sled. It opens or rebuilds the view, moves committed
//! rows into it, writes checkpoints and removes what they make superfluous.
//!
//! A checkpoint stalls no commit: while the keeper walks over sled, nobody writes to it, so it is
//! exactly the fold up to the position in the meta row; what is committed meanwhile waits above it
//! (up to `max_waiting_bytes`, then commits wait, too). The walk also proves the checksum, so damage
//! is found before it gets into a checkpoint. Then the view goes on over the new checkpoint, with
//! nothing in sled.

mod checkpoints;

use std::collections::HashMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::{Engine, ViewState};
use super::inbox::{Inbox, OrderReply, Waiting};
use super::lists::{NEAR, Sum};
use super::pending::PendingRows;
use super::rebuild;
use super::rebuild::Prepared;
use super::rows::Meta;
use super::view::View;
use crate::ledger::LedgerError;
use crate::ledger::journal::Checkpoint;
use crate::ledger::lock::{self, lock};
use crate::ledger::remembered::{self, NEWEST};
use crate::mail::Timestamp;

/// How long rows may wait for others to share their batch.
const GATHERING: Duration = Duration::from_millis(100);

/// When nothing came for so long, what changed gets into a checkpoint: then it costs little disk,
/// and the next start has little to check.
const QUIET: Duration = Duration::from_secs(5);

/// Fewer events than this are not worth one.
const WORTH: u64 = 100;

/// A checkpoint waits for as many events as this part of its rows: it costs the more the longer the
/// list is.
const CHEAP: u64 = 64;

/// How often, under load, it is written down how far the list has come, and looked whether the
/// journal's files are still there.
const LOOK_AROUND: Duration = Duration::from_secs(10);

/// Moving what waits ends after this when the service stops: the next start folds the rest.
const LAST_MOVES: Duration = Duration::from_millis(500);

/// How often the keeper looks again at a full disk or tries a failed rebuild again.
const RETRY: Duration = Duration::from_secs(1);

/// Starts the thread.
pub(super) fn start(engine: Arc<Engine>) -> io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("keeper".to_string()).spawn(move || run(&engine))
}

fn run(engine: &Engine) {
    let mut trust = true;
    while !lock(&engine.inbox).stop {
        match rebuild::prepare(engine, trust) {
            Ok(Prepared { view, meta, waiting }) => {
                let view = Arc::new(view);
                {
                    let mut inbox = lock(&engine.inbox);
                    inbox.generation = view.generation;
                    for pending in waiting {
                        inbox.waiting.push(pending);
                    }
                }
                engine.set_view_state(ViewState::Ready(Arc::clone(&view)));
                let mut keeper = Keeper {
                    engine,
                    view,
                    meta,
                    sum: None,
                    in_sled: 0,
                    is_quiet: false,
                    looked_around: Instant::now(),
                    reached: 0,
                    damaged: engine.reader.damaged(),
                };
                let served = std::panic::catch_unwind(AssertUnwindSafe(|| keeper.serve()));
                let served = served.unwrap_or_else(|_| {
                    Err(LedgerError::Corrupt("the keeper panicked".to_string()))
                });
                let view = keeper.view;
                if let Some(position) = view.damaged_checkpoint() {
                    lock(&engine.bad_checkpoints).push(position);
                }
                match served {
                    Ok(()) => {}
                    Err(error) => {
                        tracing::error!(%error, "the view is given up and built anew");
                        give_up(engine, &error);
                        // One on disk may be sound when this one was never there.
                        trust = view.is_in_memory();
                        // Dropping a broken sled may take for ever.
                        std::thread::spawn(move || drop(view));
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "the view cannot be built: trying again");
                // A full disk is no reason to throw away what may be sound.
                trust = trust && matches!(error, LedgerError::Full(_));
                engine.set_view_state(ViewState::Absent(format!(
                    "the view cannot be built yet: {error}"
                )));
                let inbox = lock(&engine.inbox);
                drop(engine.bell.wait_timeout_while(inbox, RETRY, |inbox| !inbox.stop));
            }
        }
    }
    // Whoever waits for something is told by the dropped sender.
    lock(&engine.inbox).drop_orders();
}

/// From here on nobody uses the view. A commit under way may still publish into it; the rebuild
/// waits for that commit's end before it reads how far the journal goes.
fn give_up(engine: &Engine, error: &LedgerError) {
    {
        let mut inbox = lock(&engine.inbox);
        inbox.generation = 0;
        inbox.waiting = Waiting::default();
        inbox.drop_orders();
        inbox.doubt = None;
    }
    engine.set_view_state(ViewState::Absent(format!("the view is being rebuilt: {error}")));
}

/// What to do next.
enum Work {
    Stop,
    Rebuild(String),
    Move(Vec<PendingRows>),
    Checkpoint(Timestamp, Vec<OrderReply>),
    /// One checkpoint in the place of all; with what sled still lacks.
    Renew(Vec<OrderReply>, usize),
    Settle(Vec<OrderReply>),
    /// Nothing now, or no space to do it.
    Rest,
}

struct Keeper<'a> {
    engine: &'a Engine,
    view: Arc<View>,
    meta: Meta,
    /// Of the list in sled, among other nodes; None: not known.
    sum: Option<Sum>,
    /// Place of the commit that went into sled last.
    in_sled: u64,
    /// Nothing came for a while.
    is_quiet: bool,
    looked_around: Instant,
    /// How far the list has come, as it is written down.
    reached: u64,
    /// Damaged and missing records that are known.
    damaged: u64,
}

impl Keeper<'_> {
    /// Serves one view, or those made beside it, until it is told to stop (`Ok`) or the view is no
    /// good any more.
    fn serve(&mut self) -> Result<(), LedgerError> {
        let mut last_checkpoint = self.meta.base;
        if self.engine.reader.damaged() > 0 && last_checkpoint < self.meta.position {
            // The view holds what lost records decided: from now on a checkpoint does, too.
            last_checkpoint = self.meta.position;
            let done = self.checkpoint(self.last_event_at(), false);
            self.survive(done)?;
        }
        self.add_up()?;
        loop {
            match self.next_work() {
                Work::Stop => return Ok(()),
                Work::Rebuild(why) => return Err(LedgerError::Corrupt(why)),
                Work::Rest => {}
                Work::Renew(answers, missing) => {
                    let done = self.renew(missing);
                    last_checkpoint = self.meta.position;
                    answer(answers, &done);
                    self.survive(done)?;
                }
                Work::Settle(answers) => {
                    let done = self.settle();
                    answer(answers, &done);
                    done?;
                }
                Work::Move(commits) => self.move_rows(commits)?,
                Work::Checkpoint(now, answers) => {
                    let done = self.checkpoint(now, false);
                    last_checkpoint = self.meta.position;
                    answer(answers, &done);
                    self.survive(done)?;
                }
            }
            let damaged = self.look_around();
            let rows = self.view.checkpoint().map_or(0, Checkpoint::rows);
            let options = &self.engine.options;
            let due = options.checkpoint_every.max(rows / CHEAP).min(options.checkpoint_at_most);
            let since = self.meta.position.saturating_sub(last_checkpoint);
            if since >= due
                || (damaged && since > 0)
                || (self.is_quiet && since >= WORTH.max(rows / CHEAP))
            {
                // Also after a failure: the next try comes when it is due again.
                last_checkpoint = self.meta.position;
                let done = self.checkpoint(self.last_event_at(), false);
                self.survive(done)?;
            }
        }
    }

    /// Writes down how far the list has come, and says when more of the journal is damaged or gone: the
    /// view still holds what that decided, so a checkpoint is due.
    fn look_around(&mut self) -> bool {
        if !self.is_quiet && self.looked_around.elapsed() < LOOK_AROUND {
            return false;
        }
        self.looked_around = Instant::now();
        if self.meta.position > self.reached {
            self.reached = self.meta.position;
            remembered::write_if_possible(self.engine.disk.as_ref(), NEWEST, self.reached);
        }
        if let Err(error) = self.engine.reader.look_for_missing() {
            tracing::debug!(%error, "the folder of the journal cannot be listed");
        }
        let known = std::mem::replace(&mut self.damaged, self.engine.reader.damaged());
        self.damaged > known
    }

    /// One fresh checkpoint in the place of all others, and the view on it.
    fn renew(&mut self, missing: usize) -> Result<(), LedgerError> {
        if missing > 0 {
            return Err(LedgerError::Full(format!(
                "{missing} commits wait for the view because the disk is nearly full: free some space"
            )));
        }
        self.checkpoint(self.last_event_at(), true)
    }

    /// Moves what waits into sled, as far as there is time, and makes it durable.
    fn settle(&mut self) -> Result<(), LedgerError> {
        if self.view.is_in_memory() {
            return Ok(());
        }
        let until = Instant::now() + LAST_MOVES;
        while Instant::now() < until {
            let commits = lock(&self.engine.inbox).waiting.take();
            if commits.is_empty() {
                break;
            }
            self.move_rows(commits)?;
        }
        self.view.flush()?;
        remembered::write_if_possible(self.engine.disk.as_ref(), NEWEST, self.meta.position);
        Ok(())
    }

    /// A checkpoint that failed is tried again later, unless the view itself is damaged.
    fn survive(&self, done: Result<(), LedgerError>) -> Result<(), LedgerError> {
        match done {
            Err(error @ LedgerError::Corrupt(_)) => Err(error),
            Err(error) => {
                tracing::error!(%error, "no checkpoint was written");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn next_work(&mut self) -> Work {
        let engine = self.engine;
        // sled writes by itself: leave it some space to end what it began.
        let free = engine.look_at_free();
        if self.view.is_in_memory() && free >= engine.options.min_free_bytes {
            return Work::Rebuild("it is in memory, and there is space again".to_string());
        }
        let tight = free < engine.options.min_free_bytes / 2 || self.view.is_in_memory();
        let no_orders = |inbox: &Inbox| {
            !inbox.stop
                && inbox.doubt.is_none()
                && inbox.checkpoints.is_empty()
                && inbox.settles.is_empty()
                && inbox.renewals.is_empty()
        };
        let wait = |inbox, patience, idle: &dyn Fn(&Inbox) -> bool| {
            let waited = engine.bell.wait_timeout_while(inbox, patience, |inbox| idle(inbox));
            lock::unpoisoned(waited).0
        };
        let rest = match tight {
            true => RETRY,
            false if self.meta.count > 0 && !self.is_quiet => QUIET,
            false => RETRY * 60,
        };
        let idle = |inbox: &Inbox| no_orders(inbox) && (tight || inbox.waiting.commits.is_empty());
        let mut inbox = wait(lock(&engine.inbox), rest, &idle);
        self.is_quiet = !tight && idle(&inbox);
        if !tight && !self.is_quiet {
            let few = |inbox: &Inbox| no_orders(inbox) && !inbox.waiting.fill_a_batch();
            inbox = wait(inbox, GATHERING, &few);
        }
        if inbox.stop {
            return Work::Stop;
        }
        if let Some((generation, why)) = inbox.doubt.take()
            && generation == self.view.generation
        {
            return Work::Rebuild(why);
        }
        // Inbox without end must not keep an order waiting whose rows are in sled.
        let in_sled = inbox.renewals.iter().all(|(place, _)| *place <= self.in_sled);
        if !inbox.settles.is_empty() {
            return Work::Settle(std::mem::take(&mut inbox.settles));
        }
        if !inbox.renewals.is_empty() && (in_sled || tight) {
            let renewals = std::mem::take(&mut inbox.renewals);
            let missing = if in_sled { 0 } else { inbox.waiting.commits.len() };
            return Work::Renew(renewals.into_iter().map(|(_, answer)| answer).collect(), missing);
        }
        if !inbox.waiting.commits.is_empty() && !tight {
            return Work::Move(inbox.waiting.take());
        }
        if inbox.checkpoints.is_empty() {
            return Work::Rest;
        }
        let (times, answers): (Vec<_>, Vec<_>) =
            std::mem::take(&mut inbox.checkpoints).into_iter().unzip();
        Work::Checkpoint(times.into_iter().max().unwrap_or_default(), answers)
    }

    /// Some commits become a sled batch, or more: one ends where nodes compare their lists.
    fn move_rows(&mut self, commits: Vec<PendingRows>) -> Result<(), LedgerError> {
        let mut some = Vec::with_capacity(commits.len());
        for pending in commits {
            let is_near = self.sum.is_some() && pending.seq.is_multiple_of(NEAR);
            some.push(pending);
            if is_near {
                self.move_together(std::mem::take(&mut some))?;
            }
        }
        if some.is_empty() { Ok(()) } else { self.move_together(some) }
    }

    /// Some commits become one sled batch with the position of the last.
    fn move_together(&mut self, commits: Vec<PendingRows>) -> Result<(), LedgerError> {
        let octets: usize = commits.iter().map(PendingRows::octets).sum();
        let mut rows = HashMap::new();
        for pending in commits {
            self.meta.position = pending.seq;
            self.in_sled = pending.place;
            rows.extend(pending.changes);
        }
        if self.meta.journal == 0 {
            // The first segment came after the view.
            self.meta.journal = self.engine.reader.name();
        }
        self.view.apply(&rows, &mut self.meta, self.sum.as_mut())?;
        self.tell();
        self.view.settle(self.in_sled, rows.keys());
        let mut inbox = lock(&self.engine.inbox);
        inbox.waiting.octets = inbox.waiting.octets.saturating_sub(octets);
        inbox.folded = self.meta.position;
        drop(inbox);
        self.engine.moved.notify_all();
        Ok(())
    }
}

/// Says what became of orders.
fn answer(answers: Vec<OrderReply>, done: &Result<(), LedgerError>) {
    for answer in answers {
        let _ = answer.try_send(done.clone());
    }
}
