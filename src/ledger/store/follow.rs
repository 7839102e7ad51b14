//! Following: what other nodes append to a shared journal is copied into the local segments, folded,
//! and shown to readers. A thread looks every `poll`; a commit that takes its turn does the same with
//! what it is given first.
//!
//! | step | an error or a crash after it leaves |
//! |---|---|
//! | 1. the records are folded, changes aside | nothing |
//! | 2. they are appended to the local segments and synced | the next start folds them |
//! | 3. they are shown to readers and handed to the keeper | done |
//!
//! Without 2 they are asked for again: the copy alone says how far this node is.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cluster::{Cluster, Line};
use super::engine::{Engine, Writer};
use super::overlay::Overlay;
use super::pending::PendingRows;
use super::rebuild::fold_one;
use super::view::View;
use crate::event::Event;
use crate::ledger::journal;
use crate::ledger::lock::lock;
use crate::ledger::order::{News, Place, SharedJournal};
use crate::ledger::{Fold, LedgerError};

/// Records taken at once.
const AT_ONCE: usize = 500;

/// Records at the end of the copy that are compared with those of the engine at a start.
const COMPARED: u64 = 2_000;

/// How often the others are told that this node lives.
const BEAT: Duration = Duration::from_secs(2);

/// A stop waits so long for the last of it.
const LAST_BEAT: Duration = Duration::from_secs(1);

/// Starts the thread.
pub(super) fn start(engine: Arc<Engine>) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("follower".to_string()).spawn(move || run(&engine))
}

fn run(engine: &Engine) {
    let Some(cluster) = &engine.cluster else { return };
    let mut follower = Follower::new(cluster);
    while !lock(&engine.inbox).stop {
        let step = catch_unwind(AssertUnwindSafe(|| follower.step(engine, cluster)));
        let step = step.unwrap_or_else(|_| {
            follower = Follower::new(cluster);
            let panicked = Err(LedgerError::Away("following it panicked".to_string()));
            cluster.hear(Instant::now(), panicked)
        });
        match step {
            Ok(true) => {}
            Ok(false) => std::thread::sleep(cluster.share.poll),
            Err(error) => {
                tracing::debug!(%error, "the journal was not followed");
                std::thread::sleep(cluster.share.poll.max(Duration::from_millis(200)));
            }
        }
    }
    follower.last_beat(engine, cluster);
}

/// The thread's own line to the engine.
pub(super) struct Follower {
    journal: Box<dyn SharedJournal>,
    beat: Option<Instant>,
}

impl Follower {
    pub(super) fn new(cluster: &Cluster) -> Self {
        Self { journal: (cluster.share.connect)(), beat: None }
    }

    /// Takes what is new; whether there may be more.
    pub(super) fn step(&mut self, engine: &Engine, cluster: &Cluster) -> Result<bool, LedgerError> {
        if engine.view().is_err() {
            return Ok(false);
        }
        let known = lock(&engine.writer).line.as_ref().and_then(|line| line.place);
        let place = match known {
            Some(place) => place,
            None => {
                let asked = Instant::now();
                let place = cluster.hear(asked, find(engine, self.journal.as_mut()))?;
                if let Some(line) = &mut lock(&engine.writer).line {
                    line.place.get_or_insert(place);
                }
                return Ok(true);
            }
        };
        let asked = Instant::now();
        let news = cluster.hear(asked, self.journal.read(&place, AT_ONCE))?;
        cluster.go_on(&place, &news)?;
        if !news.lines.is_empty() {
            engine.wait_for_room()?;
            self.take(engine, &place, &news)?;
        }
        let more = news.lines.len() == AT_ONCE;
        let seq = news.through.seq;
        if self.beat.is_none_or(|beat| beat.elapsed() >= BEAT) {
            let now = Instant::now();
            self.beat = Some(now);
            let (erased, lists) = (cluster.erased().done, cluster.lists());
            let beaten = self.journal.beat(&news.through, erased, &lists);
            cluster.beat(cluster.hear(now, beaten)?);
        }
        if !more {
            cluster.is_at(seq, seq, asked);
        }
        engine.moved.notify_all();
        Ok(more)
    }

    /// What others know of this node while it is away: up to two seconds older without.
    fn last_beat(&mut self, engine: &Engine, cluster: &Cluster) {
        let place = lock(&engine.writer).line.as_ref().and_then(|line| line.place);
        if let Some(place) = place {
            self.journal.until(Some(Instant::now() + LAST_BEAT));
            if let Err(error) = self.journal.beat(&place, cluster.erased().done, &cluster.lists()) {
                tracing::debug!(%error, "the other nodes were not told how far this one came");
            }
        }
    }

    fn take(&self, engine: &Engine, place: &Place, news: &News) -> Result<(), LedgerError> {
        let mut writer = lock(&engine.writer);
        let view = engine.view()?;
        let Writer { segments, fold, line } = &mut *writer;
        let (Some(fold), Some(line)) = (fold.as_deref_mut(), line) else { return Ok(()) };
        // A commit was here meanwhile: the next look begins where that ended.
        if line.place != Some(*place) {
            return Ok(());
        }
        take_in(engine, &view, segments, fold, line, news)
    }
}

/// Where this node's copy ends in the history of the engine.
fn find(engine: &Engine, journal: &mut dyn SharedJournal) -> Result<Place, LedgerError> {
    let last = engine.reader.last_seq();
    if last == 0 {
        engine.begin_copy(journal)?;
    }
    let from = last.saturating_sub(COMPARED).max(1);
    let failed = |error| journal::refused("the journal cannot be read", &error);
    let lines = engine.reader.read(from, COMPARED as usize + 1).map_err(failed)?;
    let id = |line: &str| serde_json::from_str::<Event>(line).ok().map(|event| event.id);
    let tail: Vec<_> = lines.iter().filter_map(|(seq, line)| Some((*seq, id(line)?))).collect();
    journal.find(last, &tail)
}

/// Copies, folds and shows what others appended.
pub(super) fn take_in(
    engine: &Engine,
    view: &View,
    segments: &mut journal::Segments,
    fold: &mut dyn Fold,
    line: &mut Line,
    news: &News,
) -> Result<(), LedgerError> {
    let taken = fold_news(engine, view, fold, news).and_then(|(records, pending)| {
        segments.append(&records)?;
        Ok(pending)
    });
    match taken {
        Ok(pending) => {
            pending.into_iter().for_each(|pending| engine.hand_over(view, pending));
            line.place = Some(news.through);
            Ok(())
        }
        Err(error) => {
            fold.reset();
            Err(engine.doubt(view, error))
        }
    }
}

fn fold_news(
    engine: &Engine,
    view: &View,
    fold: &mut dyn Fold,
    news: &News,
) -> Result<(journal::Batch, Vec<PendingRows>), LedgerError> {
    let (mut records, mut events) = (journal::Batch::default(), Vec::new());
    for (seq, json) in &news.lines {
        let unfit = |why: journal::Unfit| LedgerError::Corrupt(format!("record {seq}: {why}"));
        records.push(*seq, json.as_bytes()).map_err(unfit)?;
        match serde_json::from_str::<Event>(json) {
            Ok(event) => {
                engine.folds(&event);
                events.push(Event { seq: *seq, ..event });
            }
            Err(_) => tracing::error!(seq, "an event cannot be read: it counts in nothing"),
        }
    }
    // Over which the policy panicked.
    let mut left_out = HashSet::new();
    loop {
        let (mut overlay, mut pending) = (Overlay::new(view, &engine.reader), Vec::new());
        match fold_events(&mut overlay, fold, &events, &left_out, &mut pending)? {
            None => {
                pending.push(PendingRows::new(news.through.seq, overlay.into_changes()?));
                return Ok((records, pending));
            }
            Some(seq) => {
                tracing::error!(seq, "the policy panicked over an event: it counts in nothing");
                fold.reset();
                left_out.insert(seq);
            }
        }
    }
}

/// Folds events that are not in the local segments yet; gives the position of one over which the
/// policy panicked, and the rows where sums are compared.
fn fold_events(
    overlay: &mut Overlay<'_>,
    fold: &mut dyn Fold,
    events: &[Event],
    left_out: &HashSet<u64>,
    near: &mut Vec<PendingRows>,
) -> Result<Option<u64>, LedgerError> {
    for (place, event) in events.iter().enumerate() {
        let ahead = events.get(..place).unwrap_or_default();
        if !left_out.contains(&event.seq) && !fold_one(overlay, fold, ahead, &mut event.clone())? {
            return Ok(Some(event.seq));
        }
        near.extend(overlay.near(event.seq)?);
    }
    Ok(None)
}
