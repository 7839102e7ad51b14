//! The keeper: the one thread that writes to sled. It opens or rebuilds the view, moves committed
//! rows into it, writes checkpoints and removes what they make superfluous.
//!
//! A checkpoint stalls no commit: while the keeper walks over sled, nobody writes to it, so it is
//! exactly the fold up to the position in the meta row; what is committed meanwhile waits above it
//! (up to `max_waiting_bytes`, then commits wait, too). The walk also proves the checksum, so damage
//! is found before it gets into a checkpoint.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use sled::IVec;

use super::overlay::read_event;
use super::rebuild::Prepared;
use super::renewal::{self, Renewal};
use super::rows::{Meta, is_dead};
use super::view::{Changes, View};
use super::{Inner, Stage, rebuild};
use crate::ledger::journal::{self, Checkpoint, CheckpointWriter, lock};
use crate::ledger::{LedgerError, private};
use crate::mail::Timestamp;

/// Rows of one sled batch: sled lets nobody read while it takes one in (about 10 us a row). Fewer
/// would cost more: for each batch sled wakes all its threads and lets the disk write.
const ROWS_AT_ONCE: usize = 1024;

/// How long rows may wait for others to share their batch.
const GATHERING: Duration = Duration::from_millis(100);

/// Groups that may wait while a new view is made: it gets its pieces in between.
const BUSY: usize = 32;

/// Superfluous rows removed at one checkpoint, at most.
const SWEPT_AT_ONCE: usize = 200_000;

/// Segments removed at one checkpoint, at most: should the clock jump years ahead, the journal is
/// not gone at once.
const SEGMENTS_AT_ONCE: usize = 4;

/// How often the keeper looks again at a full disk or tries a failed rebuild again.
const RETRY: Duration = Duration::from_secs(1);

/// Rows that one commit changed, and the position of its last event.
pub(super) struct Group {
    pub(super) seq: u64,
    /// Its place in the order of all groups.
    pub(super) place: u64,
    pub(super) changes: Changes,
}

impl Group {
    /// What it costs to hold it, about.
    fn octets(&self) -> usize {
        let row = |(key, value): &(IVec, Option<IVec>)| {
            200 + key.len() + value.as_ref().map_or(0, |value| value.len())
        };
        self.changes.iter().map(row).sum()
    }
}

/// What is committed and not in sled yet.
#[derive(Default)]
pub(super) struct Waiting {
    groups: VecDeque<Group>,
    rows: usize,
    /// Of what was taken, too, until it is in sled.
    octets: usize,
}

impl Waiting {
    /// True when the keeper should hear of it: it sleeps, or gathers and has enough.
    pub(super) fn push(&mut self, group: Group) -> bool {
        self.rows += group.changes.len();
        self.octets += group.octets();
        self.groups.push_back(group);
        self.groups.len() == 1 || self.fill_a_batch()
    }

    fn fill_a_batch(&self) -> bool {
        self.rows >= ROWS_AT_ONCE
    }

    /// What the next sled batch is made of.
    fn take(&mut self) -> Vec<Group> {
        let (mut taken, mut rows) = (Vec::new(), 0);
        while rows < ROWS_AT_ONCE
            && let Some(group) = self.groups.pop_front()
        {
            rows += group.changes.len();
            taken.push(group);
        }
        self.rows -= rows;
        taken
    }

    /// Octets held in memory, about.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }
}

/// Where the outcome of an order goes.
pub(super) type Answer = SyncSender<Result<(), LedgerError>>;

/// What others have for the keeper.
#[derive(Default)]
pub(super) struct Mail {
    /// Of this generation of the view.
    pub(super) waiting: Waiting,
    pub(super) generation: u64,
    /// A generation that somebody found damaged, and how.
    pub(super) doubt: Option<(u64, String)>,
    pub(super) checkpoints: Vec<(Timestamp, Answer)>,
    /// Who wants one fresh checkpoint in the place of all, and then a new view made from it; once
    /// the group of that place is in sled.
    pub(super) renewals: Vec<(u64, Answer)>,
    pub(super) stop: bool,
    /// Position that sled has.
    pub(super) folded: u64,
}

/// Starts the thread.
pub(super) fn start(inner: Arc<Inner>) -> io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("keeper".to_string()).spawn(move || run(&inner))
}

fn run(inner: &Inner) {
    let mut trust = true;
    while !lock(&inner.mail).stop {
        match rebuild::prepare(inner, trust) {
            Ok(Prepared { view, meta, waiting }) => {
                let view = Arc::new(view);
                {
                    let mut mail = lock(&inner.mail);
                    mail.generation = view.generation;
                    for group in waiting {
                        mail.waiting.push(group);
                    }
                }
                inner.set_stage(Stage::Ready(Arc::clone(&view)));
                let mut keeper = Keeper { inner, view, meta, in_sled: 0, renewal: None };
                let served = std::panic::catch_unwind(AssertUnwindSafe(|| keeper.serve()));
                let served = served.unwrap_or_else(|_| {
                    Err(LedgerError::Corrupt("the keeper panicked".to_string()))
                });
                let Keeper { view, renewal, .. } = keeper;
                if let Some(renewal) = renewal {
                    let why = "the view is being rebuilt or closed".to_string();
                    renewal.abandon(inner, &LedgerError::Retryable(why));
                }
                match served {
                    Ok(()) => {}
                    Err(error) => {
                        tracing::error!(%error, "the view is given up and built anew");
                        give_up(inner, &error);
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
                inner.set_stage(Stage::Absent(format!("the view cannot be built yet: {error}")));
                let mail = lock(&inner.mail);
                drop(inner.bell.wait_timeout_while(mail, RETRY, |mail| !mail.stop));
            }
        }
    }
    // Whoever waits for a checkpoint is told by the dropped sender.
    let mut mail = lock(&inner.mail);
    mail.checkpoints.clear();
    mail.renewals.clear();
}

/// From here on nobody uses the view. A commit under way may still publish into it; the rebuild
/// waits for that commit's end before it reads how far the journal goes.
fn give_up(inner: &Inner, error: &LedgerError) {
    {
        let mut mail = lock(&inner.mail);
        mail.generation = 0;
        mail.waiting = Waiting::default();
        mail.checkpoints.clear();
        mail.renewals.clear();
        mail.doubt = None;
    }
    inner.set_stage(Stage::Absent(format!("the view is being rebuilt: {error}")));
}

/// What to do next.
enum Work {
    Stop,
    Rebuild(String),
    Move(Vec<Group>),
    Checkpoint(Timestamp, Vec<Answer>),
    /// With what sled still lacks.
    Renew(Vec<Answer>, usize),
    /// Nothing now, or no space to do it.
    Rest,
}

struct Keeper<'a> {
    inner: &'a Inner,
    view: Arc<View>,
    meta: Meta,
    /// Place of the group that went into sled last.
    in_sled: u64,
    /// A view that is being made beside this one.
    renewal: Option<Renewal>,
}

impl Keeper<'_> {
    /// Serves one view, or those made beside it, until it is told to stop (`Ok`) or the view is no
    /// good any more.
    fn serve(&mut self) -> Result<(), LedgerError> {
        let newest = journal::checkpoints(self.inner.disk.as_ref()).unwrap_or_default();
        let mut last_checkpoint = newest.first().copied().unwrap_or(0);
        if self.inner.reader.damaged() > 0 && last_checkpoint < self.meta.position {
            // The view holds what lost records decided: from now on a checkpoint does, too.
            last_checkpoint = self.meta.position;
            let done = self.checkpoint(self.last_event_at()).map(drop);
            self.survive(done)?;
        }
        loop {
            match self.next_work() {
                Work::Stop => return Ok(()),
                Work::Rebuild(why) => return Err(LedgerError::Corrupt(why)),
                Work::Rest => {}
                Work::Renew(answers, behind) => {
                    let done = self.begin_renewal(behind, answers);
                    last_checkpoint = self.meta.position;
                    self.survive(done)?;
                }
                Work::Move(groups) => self.move_rows(groups)?,
                Work::Checkpoint(now, answers) => {
                    let done = self.checkpoint(now).map(drop);
                    last_checkpoint = self.meta.position;
                    for answer in answers {
                        let _ = answer.try_send(done.clone());
                    }
                    self.survive(done)?;
                }
            }
            self.renew_a_piece();
            let due = self.inner.options.checkpoint_every.max(self.meta.count / 4);
            if self.meta.position.saturating_sub(last_checkpoint) >= due {
                // Also after a failure: the next try comes when it is due again.
                last_checkpoint = self.meta.position;
                let now = self.last_event_at();
                let done = self.checkpoint(now).map(drop);
                self.survive(done)?;
            }
        }
    }

    /// One fresh checkpoint in the place of all others, then a view made from it.
    fn begin_renewal(&mut self, behind: usize, answers: Vec<Answer>) -> Result<(), LedgerError> {
        let begun = self
            .renew_checkpoint(behind)
            .and_then(|exact| Renewal::begin(self.inner, self.meta.position, exact));
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
        let whole = renewal.load().and_then(|whole| {
            if whole {
                renewal.complete(&self.view, &self.meta)?;
            }
            Ok(whole)
        });
        match whole {
            Ok(false) => self.renewal = Some(renewal),
            Ok(true) => {
                let (view, meta, answers) = renewal.exchange(self.inner, &self.view);
                let old = std::mem::replace(&mut self.view, view);
                self.meta = meta;
                tracing::info!(rows = self.meta.count, "the view was made anew");
                renewal::retire(self.inner, old);
                for answer in answers {
                    let _ = answer.try_send(Ok(()));
                }
            }
            Err(error) => {
                tracing::error!(%error, "the new view is given up, the old one stays");
                renewal.abandon(self.inner, &error);
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
        let inner = self.inner;
        // sled writes behind our back: leave it some space to end what it began.
        let free = inner.look_at_free();
        if self.view.is_in_memory() && free >= inner.options.min_free_bytes {
            return Work::Rebuild("it is in memory, and there is space again".to_string());
        }
        let tight = free < inner.options.min_free_bytes / 2 || self.view.is_in_memory();
        let no_orders = |mail: &Mail| {
            !mail.stop
                && mail.doubt.is_none()
                && mail.checkpoints.is_empty()
                && (mail.renewals.is_empty() || self.renewal.is_some())
        };
        let wait = |mail, patience, idle: &dyn Fn(&Mail) -> bool| {
            let waited = inner.bell.wait_timeout_while(mail, patience, |mail| idle(mail));
            waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
        };
        let busy = self.renewal.is_some();
        let rest = match (busy, tight) {
            (true, _) => Duration::ZERO,
            (false, true) => RETRY,
            (false, false) => RETRY * 3600,
        };
        let idle = |mail: &Mail| no_orders(mail) && (tight || mail.waiting.groups.is_empty());
        let mut mail = wait(lock(&inner.mail), rest, &idle);
        if !tight && !busy {
            let few = |mail: &Mail| no_orders(mail) && !mail.waiting.fill_a_batch();
            mail = wait(mail, GATHERING, &few);
        }
        if mail.stop {
            return Work::Stop;
        }
        if let Some((generation, why)) = mail.doubt.take()
            && generation == self.view.generation
        {
            return Work::Rebuild(why);
        }
        // Mail without end must not keep an order waiting whose rows are in sled.
        let in_sled = mail.renewals.iter().all(|(place, _)| *place <= self.in_sled);
        if !mail.renewals.is_empty() && !busy && (in_sled || tight) {
            let renewals = std::mem::take(&mut mail.renewals);
            let behind = if in_sled { 0 } else { mail.waiting.groups.len() };
            return Work::Renew(renewals.into_iter().map(|(_, answer)| answer).collect(), behind);
        }
        if mail.waiting.groups.len() > if busy { BUSY } else { 0 } && !tight {
            return Work::Move(mail.waiting.take());
        }
        if mail.checkpoints.is_empty() {
            return Work::Rest;
        }
        let (times, answers): (Vec<_>, Vec<_>) =
            std::mem::take(&mut mail.checkpoints).into_iter().unzip();
        Work::Checkpoint(times.into_iter().max().unwrap_or_default(), answers)
    }

    /// Some groups become one sled batch with the position of the last.
    fn move_rows(&mut self, groups: Vec<Group>) -> Result<(), LedgerError> {
        let octets: usize = groups.iter().map(Group::octets).sum();
        let mut rows = HashMap::new();
        for group in groups {
            self.meta.position = group.seq;
            self.in_sled = group.place;
            rows.extend(group.changes);
        }
        if let Some(renewal) = &mut self.renewal {
            renewal.will_change(rows.keys());
        }
        self.view.apply(&rows, &mut self.meta, true)?;
        self.view.settle(self.in_sled, rows.keys());
        let mut mail = lock(&self.inner.mail);
        mail.waiting.octets = mail.waiting.octets.saturating_sub(octets);
        mail.folded = self.meta.position;
        drop(mail);
        self.inner.moved.notify_all();
        Ok(())
    }

    /// Time of the newest event that is folded; before all time when there is none.
    fn last_event_at(&self) -> Timestamp {
        let event = read_event(&self.inner.reader, self.meta.position).ok().flatten();
        event.map_or(Timestamp::from_millis(i64::MIN), |event| event.received_at)
    }

    /// Writes a checkpoint and removes what it makes superfluous; true when no superfluous row is
    /// left.
    fn checkpoint(&mut self, now: Timestamp) -> Result<bool, LedgerError> {
        let disk = &self.inner.disk;
        let failed = |error: io::Error| journal::refused("no checkpoint", &error);
        // Two clocks must agree before something is forgotten.
        let now = now.min(self.last_event_at());
        let first_seq = self.inner.first_seq();
        let (mut superfluous, mut dead): (Vec<IVec>, usize) = (Vec::new(), 0);
        let mut writer = CheckpointWriter::create(std::sync::Arc::clone(disk), self.meta.position)
            .map_err(failed)?;
        let found = self.view.walk(&mut |key, value| {
            if is_dead(key, value, now, first_seq) {
                dead += 1;
                if superfluous.len() < SWEPT_AT_ONCE {
                    superfluous.push(IVec::from(key));
                }
                return Ok(());
            }
            writer.push(key, value).map_err(failed)
        })?;
        if (found.count, found.sum) != (self.meta.count, self.meta.sum) {
            return Err(LedgerError::Corrupt(format!(
                "sled has {} rows, {} were written, or they differ",
                found.count, self.meta.count
            )));
        }
        writer.finish().map_err(failed)?;
        tracing::info!(position = self.meta.position, rows = found.count, "checkpoint written");
        self.view.flush()?;
        let _ = private::close_to_others(&self.inner.options.data_dir.join("view"));
        let kept = journal::keep_newest(disk.as_ref(), 2).map_err(failed)?;
        if let [_, older] = kept[..] {
            self.remove_segments(now, older)?;
        }
        for keys in superfluous.chunks(ROWS_AT_ONCE) {
            if let Some(renewal) = &mut self.renewal {
                renewal.will_change(keys.iter());
            }
            let rows = keys.iter().map(|key| (key.clone(), None)).collect();
            self.view.apply(&rows, &mut self.meta, true)?;
        }
        Ok(dead <= SWEPT_AT_ONCE)
    }

    /// One fresh checkpoint in the place of all others. It is read back before they go.
    fn renew_checkpoint(&mut self, behind: usize) -> Result<bool, LedgerError> {
        let failed = |error: io::Error| journal::refused("no checkpoint", &error);
        let disk = &self.inner.disk;
        if behind > 0 {
            return Err(LedgerError::Full(format!(
                "{behind} commits wait for the view because the disk is nearly full: free some space"
            )));
        }
        let exact = self.checkpoint(self.last_event_at())?;
        let mut written = Checkpoint::open(disk.as_ref(), self.meta.position).map_err(failed)?;
        while written.next_rows().map_err(failed)?.is_some() {}
        journal::keep_newest(disk.as_ref(), 1).map_err(failed)?;
        tracing::info!(position = self.meta.position, "older checkpoints removed");
        Ok(exact)
    }

    /// Old segments go, once they are behind the older of two checkpoints: should the newer one
    /// turn out to be damaged, the older one and the journal are still everything.
    fn remove_segments(&self, now: Timestamp, checkpoint: u64) -> Result<(), LedgerError> {
        let keep = i64::try_from(self.inner.options.keep.as_millis()).unwrap_or(i64::MAX);
        let horizon = now.millis().saturating_sub(keep);
        let mut through = 0;
        for next in self.inner.reader.segment_starts().into_iter().skip(1).take(SEGMENTS_AT_ONCE) {
            let event = read_event(&self.inner.reader, next)?;
            let old = event.is_some_and(|event| event.received_at.millis() < horizon);
            if !old || next > checkpoint + 1 {
                break;
            }
            through = next - 1;
        }
        if through > 0 {
            let removed = lock(&self.inner.writer).journal.remove_through(through);
            let removed = removed.map_err(|error| journal::refused("old segments stay", &error))?;
            tracing::info!(segments = removed, through, "old journal segments removed");
        }
        Ok(())
    }
}
