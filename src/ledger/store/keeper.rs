//! The keeper: the one thread that writes to sled. It opens or rebuilds the view, moves committed
//! rows into it, writes checkpoints and removes what they make superfluous.
//!
//! A checkpoint stalls no commit: while the keeper walks over sled, nobody writes to it, so it is
//! exactly the fold up to the position in the meta row; what is committed meanwhile waits above it
//! (up to `max_waiting_bytes`, then commits wait, too). The walk also proves the checksum, so damage
//! is found before it gets into a checkpoint.

mod checkpoints;

use std::collections::HashMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use super::engine::{Engine, ViewState};
use super::inbox::{Inbox, OrderReply, Waiting};
use super::pace::Pace;
use super::pending::PendingRows;
use super::rebuild;
use super::rebuild::Prepared;
use super::renewal::{self, Renewal};
use super::rows::Meta;
use super::view::View;
use crate::ledger::LedgerError;
use crate::ledger::journal;
use crate::lock::{self, lock};
use crate::mail::Timestamp;

/// How long rows may wait for others to share their batch.
const GATHERING: Duration = Duration::from_millis(100);

/// Commits that may wait while a new view is made: it gets its pieces in between.
const BUSY: usize = 32;

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
                let mut keeper = Keeper { engine, view, meta, in_sled: 0, renewal: None };
                let served = std::panic::catch_unwind(AssertUnwindSafe(|| keeper.serve()));
                let served = served.unwrap_or_else(|_| {
                    Err(LedgerError::Corrupt("the keeper panicked".to_string()))
                });
                let Keeper { view, renewal, .. } = keeper;
                if let Some(renewal) = renewal {
                    let why = "the view is being rebuilt or closed".to_string();
                    renewal.abandon(engine, &LedgerError::Retryable(why));
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
    // Whoever waits for a checkpoint is told by the dropped sender.
    let mut inbox = lock(&engine.inbox);
    inbox.checkpoints.clear();
    inbox.renewals.clear();
}

/// From here on nobody uses the view. A commit under way may still publish into it; the rebuild
/// waits for that commit's end before it reads how far the journal goes.
fn give_up(engine: &Engine, error: &LedgerError) {
    {
        let mut inbox = lock(&engine.inbox);
        inbox.generation = 0;
        inbox.waiting = Waiting::default();
        inbox.checkpoints.clear();
        inbox.renewals.clear();
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
    /// With what sled still lacks.
    Renew(Vec<OrderReply>, usize),
    /// Nothing now, or no space to do it.
    Rest,
}

struct Keeper<'a> {
    engine: &'a Engine,
    view: Arc<View>,
    meta: Meta,
    /// Place of the commit that went into sled last.
    in_sled: u64,
    /// A view that is being made beside this one.
    renewal: Option<Renewal>,
}

impl Keeper<'_> {
    /// Serves one view, or those made beside it, until it is told to stop (`Ok`) or the view is no
    /// good any more.
    fn serve(&mut self) -> Result<(), LedgerError> {
        let newest = journal::checkpoints(self.engine.disk.as_ref()).unwrap_or_default();
        let mut last_checkpoint = newest.first().copied().unwrap_or(0);
        if self.engine.reader.damaged() > 0 && last_checkpoint < self.meta.position {
            // The view holds what lost records decided: from now on a checkpoint does, too.
            last_checkpoint = self.meta.position;
            let done = self.checkpoint(self.last_event_at(), None).map(drop);
            self.survive(done)?;
        }
        loop {
            match self.next_work() {
                Work::Stop => return Ok(()),
                Work::Rebuild(why) => return Err(LedgerError::Corrupt(why)),
                Work::Rest => {}
                Work::Renew(answers, missing) => {
                    let done = self.begin_renewal(missing, answers);
                    last_checkpoint = self.meta.position;
                    self.survive(done)?;
                }
                Work::Move(commits) => self.move_rows(commits)?,
                Work::Checkpoint(now, answers) => {
                    let done = self.checkpoint(now, None).map(drop);
                    last_checkpoint = self.meta.position;
                    for answer in answers {
                        let _ = answer.try_send(done.clone());
                    }
                    self.survive(done)?;
                }
            }
            self.renew_a_piece();
            let due = self.engine.options.checkpoint_every.max(self.meta.count / 4);
            if self.meta.position.saturating_sub(last_checkpoint) >= due {
                // Also after a failure: the next try comes when it is due again.
                last_checkpoint = self.meta.position;
                let now = self.last_event_at();
                let done = self.checkpoint(now, None).map(drop);
                self.survive(done)?;
            }
        }
    }

    /// One fresh checkpoint in the place of all others, then a view made from it.
    fn begin_renewal(
        &mut self,
        missing: usize,
        answers: Vec<OrderReply>,
    ) -> Result<(), LedgerError> {
        let begun = self
            .renew_checkpoint(missing)
            .and_then(|exact| Renewal::begin(self.engine, self.meta.position, exact));
        match begun {
            Ok(mut renewal) => {
                renewal.wait(answers);
                self.renewal = Some(renewal);
                Ok(())
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.try_send(Err(error.clone()));
                }
                Err(error)
            }
        }
    }

    /// Goes on with the view that is made beside this one; when it is whole, it takes over.
    fn renew_a_piece(&mut self) {
        let Some(mut renewal) = self.renewal.take() else { return };
        let mut pace = Pace::new(self.engine);
        let whole = renewal.load().and_then(|whole| {
            if whole {
                renewal.complete(&self.view, &self.meta)?;
            }
            Ok(whole)
        });
        match whole {
            Ok(false) => {
                self.renewal = Some(renewal);
                pace.rest();
            }
            Ok(true) => {
                let (view, meta, answers) = renewal.exchange(self.engine, &self.view);
                let old = std::mem::replace(&mut self.view, view);
                self.meta = meta;
                tracing::info!(rows = self.meta.count, "the view was made anew");
                renewal::retire(self.engine, old);
                for answer in answers {
                    let _ = answer.try_send(Ok(()));
                }
            }
            Err(error) => {
                tracing::error!(%error, "the new view is given up, the old one stays");
                renewal.abandon(self.engine, &error);
            }
        }
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

    fn next_work(&self) -> Work {
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
                && (inbox.renewals.is_empty() || self.renewal.is_some())
        };
        let wait = |inbox, patience, idle: &dyn Fn(&Inbox) -> bool| {
            let waited = engine.bell.wait_timeout_while(inbox, patience, |inbox| idle(inbox));
            lock::unpoisoned(waited).0
        };
        let busy = self.renewal.is_some();
        let rest = match (busy, tight) {
            (true, _) => Duration::ZERO,
            (false, true) => RETRY,
            (false, false) => RETRY * 3600,
        };
        let idle = |inbox: &Inbox| no_orders(inbox) && (tight || inbox.waiting.commits.is_empty());
        let mut inbox = wait(lock(&engine.inbox), rest, &idle);
        if !tight && !busy {
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
        if !inbox.renewals.is_empty() && !busy && (in_sled || tight) {
            let renewals = std::mem::take(&mut inbox.renewals);
            let missing = if in_sled { 0 } else { inbox.waiting.commits.len() };
            return Work::Renew(renewals.into_iter().map(|(_, answer)| answer).collect(), missing);
        }
        if inbox.waiting.commits.len() > if busy { BUSY } else { 0 } && !tight {
            return Work::Move(inbox.waiting.take());
        }
        if inbox.checkpoints.is_empty() {
            return Work::Rest;
        }
        let (times, answers): (Vec<_>, Vec<_>) =
            std::mem::take(&mut inbox.checkpoints).into_iter().unzip();
        Work::Checkpoint(times.into_iter().max().unwrap_or_default(), answers)
    }

    /// Some commits become one sled batch with the position of the last.
    fn move_rows(&mut self, commits: Vec<PendingRows>) -> Result<(), LedgerError> {
        let octets: usize = commits.iter().map(PendingRows::octets).sum();
        let mut rows = HashMap::new();
        for pending in commits {
            self.meta.position = pending.seq;
            self.in_sled = pending.place;
            rows.extend(pending.changes);
        }
        if let Some(renewal) = &mut self.renewal {
            renewal.will_change(rows.keys());
        }
        self.view.apply(&rows, &mut self.meta, true)?;
        self.view.settle(self.in_sled, rows.keys());
        let mut inbox = lock(&self.engine.inbox);
        inbox.waiting.octets = inbox.waiting.octets.saturating_sub(octets);
        inbox.folded = self.meta.position;
        drop(inbox);
        self.engine.moved.notify_all();
        Ok(())
    }
}
