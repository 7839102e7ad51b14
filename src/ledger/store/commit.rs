//! One group commit: duplicates are told apart, the others are folded, made durable, and only then
//! shown to readers and handed to the keeper. Whatever fails before the journal's answer leaves
//! nothing; whatever fails after it no longer concerns the commit.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::cluster::{Cluster, EngineObservation, Line};
use super::engine::{Engine, Writer};
use super::follow::take_in;
use super::inbox::Inbox;
use super::overlay::Overlay;
use super::pending::PendingRows;
use super::rows::StoredDigest;
use super::view::View;
use crate::event::Event;
use crate::ledger::journal::{self, Segments};
use crate::ledger::lock::{self, lock};
use crate::ledger::order::{Appended, Journal, Place};
use crate::ledger::{Committed, Fold, LedgerError};

/// Tries of one commit while others append first, or the engine is away.
const RACES: u32 = 100_000;

/// The first record of an append that may have been made.
struct Doubt {
    seq: u64,
    id: String,
}

impl Doubt {
    fn of(committed: &Committed) -> Self {
        Self { seq: committed.seq, id: committed.id.clone() }
    }
}

impl Engine {
    /// Waits until not too many rows wait for sled.
    pub(super) fn wait_for_room(&self) -> Result<(), LedgerError> {
        let inbox = lock(&self.inbox);
        let crowded = |inbox: &mut Inbox| {
            inbox.waiting.octets() > self.options.max_waiting_bytes && self.view().is_ok()
        };
        let waited = self.moved.wait_timeout_while(inbox, self.options.commit_patience, crowded);
        let (inbox, _) = lock::unpoisoned(waited);
        if inbox.waiting.octets() > self.options.max_waiting_bytes {
            return Err(LedgerError::Retryable(
                "the view is too far behind the journal: the disk is slow or full".to_string(),
            ));
        }
        Ok(())
    }

    pub(super) fn commit(&self, batch: &mut [Event]) -> Result<Vec<Committed>, LedgerError> {
        let Some(now) = batch.iter().map(|event| event.received_at).max() else {
            return Ok(Vec::new());
        };
        self.view()?;
        self.wait_for_room()?;
        let free = self.free_at(now);
        if free < self.options.min_free_bytes {
            // Looked at again each time: it must not be a second late to say that space is back.
            self.free.1.store(i64::MIN, Ordering::Relaxed);
            return Err(LedgerError::Full(format!(
                "{free} octets are left below {}, less than {}: free some space",
                self.options.data_dir.display(),
                self.options.min_free_bytes
            )));
        }
        self.cluster.as_ref().map_or(Ok(()), Cluster::is_there)?;
        let until = self.cluster.as_ref().map(Cluster::patience);
        let mut doubt = None;
        for _ in 0..RACES {
            let error = match self.attempt(batch, &mut doubt, until) {
                Ok(Some(committed)) => return Ok(committed),
                Ok(None) => continue,
                Err(error) => error,
            };
            let is_patient = until.is_some_and(|until| Instant::now() < until);
            match (&self.cluster, error) {
                (Some(cluster), LedgerError::Away(_)) if is_patient && !lock(&self.inbox).stop => {
                    std::thread::sleep(cluster.share.poll);
                }
                (_, error) if doubt.is_none() => return Err(error),
                (_, error) => return Err(LedgerError::Ambiguous(error.to_string())),
            }
        }
        let why = "others append faster than this node can fold";
        Err(match doubt {
            None => LedgerError::Retryable(why.to_string()),
            Some(_) => LedgerError::Ambiguous(why.to_string()),
        })
    }

    /// One try to commit; None: nothing is decided, try again. `doubt` is an append of this batch that
    /// may have been made; the engine is waited for `until` then.
    fn attempt(
        &self,
        batch: &mut [Event],
        doubt: &mut Option<Doubt>,
        until: Option<Instant>,
    ) -> Result<Option<Vec<Committed>>, LedgerError> {
        let mut writer = lock(&self.writer);
        let Writer { segments, fold, line } = &mut *writer;
        let (Some(fold), view) = (fold.as_deref_mut(), self.view()?) else {
            return Err(LedgerError::Retryable("the view is being rebuilt".to_string()));
        };
        // What is acknowledged is copied at once: not without room and a disk for it.
        segments.make_sound().map_err(|e| journal::refused("the journal cannot be opened", &e))?;
        let mut place = Place { seq: segments.next_seq() - 1, ..Place::default() };
        if let (Some(line), Some(cluster)) = (&mut *line, &self.cluster) {
            line.journal.until(until);
            place = self.take_turn(&view, segments, fold, line, cluster)?;
            if let Some(known) = doubt.as_ref() {
                let done = self.resolve(&view, batch, known)?;
                if done.is_some() {
                    cluster.hear(Instant::now(), line.journal.pass())?;
                    return Ok(done);
                }
                *doubt = None;
            }
        }
        let levels: Vec<_> = batch.iter().map(|event| event.attribution).collect();
        let folding =
            AssertUnwindSafe(|| fold_batch(self, &view, &mut *fold, place.seq + 1, batch));
        let folded = std::panic::catch_unwind(folding).unwrap_or_else(|_| {
            Err(LedgerError::Retryable("the policy panicked over an event".to_string()))
        });
        let done = folded.and_then(|folded| {
            let journal: &mut dyn Journal = match &mut *line {
                Some(line) => line.journal.as_mut(),
                None => segments,
            };
            let asked = Instant::now();
            let appended = match folded.records.is_empty() {
                true => journal.pass().map(|()| Appended::Done(place)),
                false => journal.append(&place, &folded.records),
            };
            let appended = match &self.cluster {
                Some(cluster) => cluster.hear(asked, appended)?,
                None => appended?,
            };
            Ok((folded, appended))
        });
        let (folded, end) = match done {
            Ok((folded, Appended::Done(end))) => (folded, end),
            other => {
                fold.reset();
                // What lifted one to `message-id` may be the event that spoiled the batch.
                for (event, level) in batch.iter_mut().zip(levels) {
                    event.attribution = level;
                }
                return match other {
                    Ok((folded, Appended::Unknown(why))) => {
                        tracing::warn!(why, "it is not known whether a batch was committed");
                        if let Some(cluster) = &self.cluster {
                            cluster.seen(EngineObservation::Error("unknown"));
                        }
                        *doubt = folded.committed.iter().find(|c| !c.duplicate).map(Doubt::of);
                        Ok(None)
                    }
                    Ok(_) => Ok(None),
                    Err(error) => Err(self.doubt(&view, error)),
                };
            }
        };
        if !folded.records.is_empty() {
            self.keep(&view, segments, fold, line.as_mut(), folded.pending, (&folded.records, end));
        }
        Ok(Some(folded.committed))
    }

    /// Takes the turn to append, and in what others appended; gives where the journal ends.
    fn take_turn(
        &self,
        view: &View,
        segments: &mut Segments,
        fold: &mut dyn Fold,
        line: &mut Line,
        cluster: &Cluster,
    ) -> Result<Place, LedgerError> {
        let Some(at) = line.place else {
            let why = "this node has not compared its records with those of the engine yet";
            return cluster.hear(Instant::now(), Err(LedgerError::Away(why.to_string())));
        };
        let asked = Instant::now();
        let news = cluster.hear(asked, line.journal.turn(&at))?;
        cluster.seen(EngineObservation::HeadWait(asked.elapsed()));
        if let Err(error) = cluster.go_on(&at, &news) {
            let _ = line.journal.pass();
            return Err(error);
        }
        if !news.lines.is_empty() {
            take_in(self, view, segments, fold, line, &news)?;
        }
        Ok(news.through)
    }

    /// What became of an append whose outcome was not known: all records up to the end of the journal
    /// were taken in since. None: it was not made.
    fn resolve(
        &self,
        view: &View,
        batch: &mut [Event],
        doubt: &Doubt,
    ) -> Result<Option<Vec<Committed>>, LedgerError> {
        let failed = |error| journal::refused("the journal cannot be read", &error);
        let lines = self.reader.read(doubt.seq, batch.len()).map_err(failed)?;
        let events: Vec<Event> =
            lines.iter().filter_map(|(_, line)| serde_json::from_str(line).ok()).collect();
        if events.first().is_none_or(|event| event.seq != doubt.seq || event.id != doubt.id) {
            return Ok(None);
        }
        let overlay = Overlay::new(view, &self.reader);
        let mut committed = Vec::with_capacity(batch.len());
        for event in batch {
            if let Some(found) = events.iter().find(|found| found.id == event.id) {
                *event = found.clone();
                let Event { seq, id, decisions, .. } = found.clone();
                committed.push(Committed { seq, id, duplicate: false, decisions });
            } else if let Some(StoredDigest { seq, id, .. }) = overlay.repeated(event)? {
                committed.push(Committed { seq, id, duplicate: true, decisions: Vec::new() });
            } else {
                let why = format!("event {} is not where its batch is", event.id);
                return Err(LedgerError::Corrupt(why));
            }
        }
        Ok(Some(committed))
    }

    /// Shows what was made durable. Of a shared journal it is copied first; should that fail, the
    /// records come back as what others wrote.
    fn keep(
        &self,
        view: &View,
        segments: &mut Segments,
        fold: &mut dyn Fold,
        line: Option<&mut Line>,
        pending: Vec<PendingRows>,
        (records, end): (&journal::Batch, Place),
    ) {
        if let Some(line) = line {
            if let Err(error) = segments.append(records) {
                tracing::error!(%error, "what was committed cannot be copied: it is asked for again");
                return fold.reset();
            }
            line.place = Some(end);
        }
        pending.into_iter().for_each(|pending| self.hand_over(view, pending));
    }

    /// What was made durable becomes visible and goes to the keeper.
    pub(super) fn hand_over(&self, view: &View, mut pending: PendingRows) {
        view.publish(&mut pending);
        let mut inbox = lock(&self.inbox);
        if inbox.generation == view.generation && inbox.waiting.push(pending) {
            self.bell.notify_one();
        }
    }
}

/// A batch that only lacks durability.
struct Folded {
    records: journal::Batch,
    pending: Vec<PendingRows>,
    committed: Vec<Committed>,
}

fn fold_batch(
    engine: &Engine,
    view: &View,
    fold: &mut dyn Fold,
    mut next_seq: u64,
    batch: &mut [Event],
) -> Result<Folded, LedgerError> {
    let mut overlay = Overlay::new(view, &engine.reader);
    let prepare = engine.prepare.get().map(Arc::as_ref);
    let (mut records, mut pending) = (journal::Batch::default(), Vec::new());
    let mut committed = Vec::with_capacity(batch.len());
    let mut json = Vec::new();
    for place in 0..batch.len() {
        let (ahead, rest) = batch.split_at_mut(place);
        let Some(event) = rest.first_mut() else { break };
        if let Some(StoredDigest { seq, id, .. }) = overlay.repeated(event)? {
            // The position that it had in a try before is another's now: who looks back there must not
            // find this one.
            event.seq = 0;
            committed.push(Committed { seq, id, duplicate: true, decisions: Vec::new() });
            continue;
        }
        event.seq = next_seq;
        if let Some(prepare) = prepare {
            overlay.prepare(prepare, event)?;
            prepare.folds(event);
        }
        overlay.fold(fold, ahead, event)?;
        if engine.cluster.is_some() {
            pending.extend(overlay.near(event.seq)?);
        }
        json.clear();
        let unfit = |why: String| LedgerError::Retryable(format!("event {}: {why}", event.id));
        serde_json::to_writer(&mut json, &event).map_err(|error| unfit(error.to_string()))?;
        records.push(event.seq, &json).map_err(|error| unfit(error.to_string()))?;
        committed.push(Committed {
            seq: event.seq,
            id: event.id.clone(),
            duplicate: false,
            decisions: event.decisions.clone(),
        });
        next_seq += 1;
    }
    pending.push(PendingRows::new(next_seq - 1, overlay.into_changes()?));
    Ok(Folded { records, pending, committed })
}
