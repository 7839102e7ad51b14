//! A node among others: what it knows of the engine that holds the journal of them all.
//!
//! | the engine | commits | lookups, lists, history |
//! |---|---|---|
//! | answers | work | as of what was followed last, at most some 100 ms ago |
//! | is away for less than `patience` | wait | the same, older |
//! | is away for longer | `Away` at once | the same, until `stale`; then `Retryable` |
//! | lost what this node has | `Forked` | the same |
//! | carried an erasure out while this node was away | `Outdated` | the same |
//! | has not the records any more that this node lacks | `Outdated` | the same |

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::erased::{self, Erased};
use super::lists::{Lists, Sum};
use crate::ledger::journal::{self, Disk};
use crate::ledger::lock::lock;
use crate::ledger::order::{Beat, ListAt, News, Place, SharedJournal};
use crate::ledger::{EngineStatus, LedgerError};

/// Makes one line to the engine; it connects when it is first used.
pub type Connect = Box<dyn Fn() -> Box<dyn SharedJournal> + Send + Sync>;

/// How a node takes part in a shared journal.
pub struct Share {
    /// Makes lines to the engine.
    pub connect: Connect,
    /// How long a commit waits for an engine that is away.
    pub patience: Duration,
    /// How long questions are answered without hearing from the engine; zero: for ever.
    pub stale: Duration,
    /// How often the journal is looked at for what others wrote.
    pub poll: Duration,
}

/// The line that commits use, and how far this node's copy goes.
pub(super) struct Line {
    pub(super) journal: Box<dyn SharedJournal>,
    /// The end of the copy; None: not compared with the engine's journal yet.
    pub(super) place: Option<Place>,
}

/// What is known of the engine.
pub(super) struct Cluster {
    pub(super) share: Share,
    /// How far the copy has followed erasures.
    pub(super) erased: Mutex<Erased>,
    lists: Mutex<Lists>,
    heard: Mutex<Heard>,
    observe: Mutex<Option<Box<Observe>>>,
}

/// What is counted of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineObservation {
    /// A commit waited so long for its turn to append.
    HeadWait(Duration),
    /// It did not do what it was asked; a class of the closed set [`CLASSES`].
    Error(&'static str),
}

/// Classes of errors of an engine: it does not answer; the outcome of a commit is not known; its
/// records are not those of this node; this node missed an erasure; its disk is full; anything else.
pub const CLASSES: [&str; 6] = ["away", "unknown", "forked", "outdated", "full", "refused"];

/// Who counts.
pub type Observe = dyn Fn(EngineObservation) + Send + Sync;

struct Heard {
    /// The start of this process.
    began: Instant,
    /// When it answered last; at first the start of this process.
    last: Instant,
    /// Since when it does not, and what it says instead.
    away: Option<(Instant, String)>,
    /// This node cannot go on with its copy: `Forked` or `Outdated`.
    stuck: Option<LedgerError>,
    /// When this node had all there was; at first the start.
    level: Instant,
    /// It ever had.
    was_level: bool,
    /// It answers, and refuses.
    refuses: Option<String>,
    /// What it said of itself last.
    beat: Option<Beat>,
    /// Position of the last erasure; 0: none was heard of.
    rewritten: u64,
    /// The position that the engine's journal begins with; 1 until it was heard of.
    first: u64,
}

impl Cluster {
    pub(super) fn new(share: Share) -> Self {
        let now = Instant::now();
        let heard = Heard {
            began: now,
            last: now,
            away: None,
            stuck: None,
            level: now,
            was_level: false,
            refuses: None,
            beat: None,
            rewritten: 0,
            first: 1,
        };
        let (erased, lists, observe) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { share, erased, lists, heard: Mutex::new(heard), observe }
    }

    /// From now on somebody counts.
    pub(super) fn on_seen(&self, observe: Box<Observe>) {
        *lock(&self.observe) = Some(observe);
    }

    /// Something to count.
    pub(super) fn seen(&self, seen: EngineObservation) {
        if let Some(observe) = &*lock(&self.observe) {
            observe(seen);
        }
    }

    /// How far the copy has followed erasures.
    pub(super) fn erased(&self) -> Erased {
        *lock(&self.erased)
    }

    /// A copy that is begun now: when no erasure is under way, those that are done need not concern it.
    pub(super) fn begin_copy(
        &self,
        disk: &dyn Disk,
        line: &mut dyn SharedJournal,
    ) -> Result<(), LedgerError> {
        let erasures = line.erasures()?;
        if let Some(erasure) = erasures.iter().find(|erasure| !erasure.is_done) {
            return Err(LedgerError::Retryable(format!(
                "records up to {} are being rewritten for an erasure: a node can begin when that is \
                 done; if the node that did it is gone, ask another one to erase the same address",
                erasure.seq
            )));
        }
        let taken = erasures.last().map_or(0, |erasure| erasure.seq);
        // Raw messages that this node keeps from before are looked at; a new node has none.
        self.set_erased(disk, |known| Erased {
            taken,
            done: known.map_or(taken, |known| known.done),
        })
    }

    /// Writes down how far the copy has followed erasures.
    pub(super) fn set_erased(
        &self,
        disk: &dyn Disk,
        change: impl FnOnce(Option<Erased>) -> Erased,
    ) -> Result<(), LedgerError> {
        let failed = |error| journal::refused("data_dir/erasures cannot be written", &error);
        let mut known = lock(&self.erased);
        let new = change(erased::read(disk).map_err(failed)?);
        erased::write(disk, new).map_err(failed)?;
        *known = new;
        lock(&self.lists).end_erasure();
        Ok(())
    }

    /// Rows change for an erasure, until it is written down that it is carried out.
    pub(super) fn begin_erasing(&self) {
        lock(&self.lists).begin_erasure();
    }

    /// The list as of a position.
    pub(super) fn note_list(&self, seq: u64, sum: Sum) {
        let erased = self.erased().done;
        lock(&self.lists).note(seq, erased, sum);
    }

    /// What the others are told of it.
    pub(super) fn lists(&self) -> Vec<ListAt> {
        lock(&self.lists).told()
    }

    /// Position of the last erasure that was heard of.
    pub(super) fn last_erasure(&self) -> u64 {
        lock(&self.heard).rewritten
    }

    /// The position that the engine's journal begins with, as far as it was heard of.
    pub(super) fn first(&self) -> u64 {
        lock(&self.heard).first
    }

    /// Refuses news that do not go with what this node has: it missed an erasure.
    pub(super) fn go_on(&self, at: &Place, news: &News) -> Result<(), LedgerError> {
        {
            let mut heard = lock(&self.heard);
            (heard.rewritten, heard.first) = (news.rewritten, news.first.max(heard.first));
        }
        if !self.erased().is_outdated(at.seq, news.rewritten) {
            return Ok(());
        }
        let why = format!(
            "it ends at {}, and the erasure at {} rewrote records before it; restart this node, it \
             takes the engine's journal anew",
            at.seq, news.rewritten
        );
        self.hear(Instant::now(), Err(LedgerError::Outdated(why)))
    }

    /// A line for commits.
    pub(super) fn line(&self) -> Line {
        Line { journal: (self.share.connect)(), place: None }
    }

    /// Tells an answer of the engine, which was asked at `asked`, from its silence.
    pub(super) fn hear<T>(
        &self,
        asked: Instant,
        answer: Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let now = Instant::now();
        let mut heard = lock(&self.heard);
        match &answer {
            Err(LedgerError::Away(why)) => {
                if heard.away.is_none() {
                    tracing::error!(why, "the engine is away: mail waits, lookups go on");
                    // A server that is frozen was so before the call was given up.
                    heard.away = Some((asked.max(heard.last), why.clone()));
                }
            }
            Err(error @ (LedgerError::Forked(_) | LedgerError::Outdated(_))) => {
                if heard.stuck.is_none() {
                    tracing::error!("{error}");
                    heard.stuck = Some(error.clone());
                }
            }
            _ => {
                if let Some((since, _)) = heard.away.take() {
                    tracing::warn!(after = ?now.saturating_duration_since(since), "the engine is back");
                }
                heard.last = now;
                heard.refuses = answer.as_ref().err().map(ToString::to_string);
            }
        }
        drop(heard);
        if let Err(error) = &answer {
            self.seen(EngineObservation::Error(class(error)));
        }
        answer
    }

    /// What the engine said of itself.
    pub(super) fn beat(&self, beat: Beat) {
        let mut heard = lock(&self.heard);
        let before = heard.beat.replace(beat.clone()).unwrap_or_default();
        for warning in beat.warnings.iter().filter(|warning| !before.warnings.contains(warning)) {
            tracing::error!("{warning}");
        }
        // Its words change with its age.
        if let (None, Some(trouble)) = (&before.checkpoint_trouble, &beat.checkpoint_trouble) {
            tracing::error!("{trouble}");
        }
    }

    /// This node has all up to `seq`; the engine went to `end` when it was asked.
    pub(super) fn is_at(&self, seq: u64, end: u64, asked: Instant) {
        let mut heard = lock(&self.heard);
        if seq >= end {
            (heard.level, heard.was_level) = (heard.level.max(asked), true);
        }
    }

    /// Until when a commit that begins now waits for the engine.
    pub(super) fn patience(&self) -> Instant {
        let heard = lock(&self.heard);
        heard.away.as_ref().map_or_else(Instant::now, |(since, _)| *since) + self.share.patience
    }

    /// Whether a commit may be tried. Nobody waits for an engine that was away for longer: the follower
    /// hears when it is back.
    pub(super) fn is_there(&self) -> Result<(), LedgerError> {
        let heard = lock(&self.heard);
        if let Some(error) = &heard.stuck {
            return Err(error.clone());
        }
        match &heard.away {
            Some((since, why)) if since.elapsed() >= self.share.patience => {
                Err(LedgerError::Away(why.clone()))
            }
            _ => Ok(()),
        }
    }

    /// What this node has may be told to others.
    pub(super) fn is_fresh(&self) -> Result<(), LedgerError> {
        let stale = self.share.stale;
        if stale.is_zero() {
            return Ok(());
        }
        let heard = lock(&self.heard);
        if heard.last.elapsed() <= stale {
            return Ok(());
        }
        let why = heard.away.as_ref().map_or("it does not answer", |(_, why)| why);
        Err(LedgerError::Away(format!("nothing was heard of it for longer than `stale`: {why}")))
    }

    /// This node had all there was, once.
    pub(super) fn was_level(&self) -> bool {
        lock(&self.heard).was_level
    }

    /// What is wrong, in a sentence.
    pub(super) fn trouble(&self) -> Option<String> {
        let heard = lock(&self.heard);
        let away = heard.away.as_ref().map(|(since, why)| {
            format!("the engine is away since {} s: {why}", since.elapsed().as_secs())
        });
        let refuses = heard.refuses.as_ref().map(|why| format!("the engine: {why}"));
        heard.stuck.as_ref().map(ToString::to_string).or(away).or(refuses)
    }

    /// For people and metrics.
    pub(super) fn status(&self, seq: u64) -> EngineStatus {
        let heard = lock(&self.heard);
        let beat = heard.beat.as_ref();
        let end = beat.map_or(seq, |beat| beat.end.max(seq));
        let newest = beat.and_then(|beat| beat.checkpoint);
        let is_level = heard.away.is_none() && heard.was_level && seq == end;
        EngineStatus {
            lag: if is_level { Duration::ZERO } else { heard.level.elapsed() },
            end,
            is_synchronous: beat.map(|beat| beat.is_synchronous),
            warnings: beat.map(|beat| beat.warnings.clone()).unwrap_or_default(),
            checkpoint: newest.unwrap_or_else(|| (0, heard.began.elapsed())),
            checkpoint_trouble: beat.and_then(|beat| beat.checkpoint_trouble.clone()),
        }
    }

    /// Why this node cannot go on with its copy.
    pub(super) fn stuck(&self) -> Option<LedgerError> {
        lock(&self.heard).stuck.clone()
    }
}

/// The class of an error, for metrics.
fn class(error: &LedgerError) -> &'static str {
    match error {
        LedgerError::Away(_) => "away",
        LedgerError::Ambiguous(_) => "unknown",
        LedgerError::Forked(_) => "forked",
        LedgerError::Outdated(_) => "outdated",
        LedgerError::Full(_) => "full",
        LedgerError::Retryable(_) | LedgerError::Corrupt(_) | LedgerError::Fatal(_) => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_is_told_for_as_long_as_was_said() {
        let never = || -> Box<dyn SharedJournal> { panic!("nobody connects") };
        for (stale, fresh) in
            [(Duration::ZERO, true), (Duration::from_nanos(1), false), (Duration::MAX, true)]
        {
            let (patience, poll) = (Duration::ZERO, Duration::ZERO);
            let share = Share { connect: Box::new(never), patience, stale, poll };
            let cluster = Cluster::new(share);
            std::thread::sleep(Duration::from_micros(1));
            let asked = Instant::now();
            let away = cluster.hear::<()>(asked, Err(LedgerError::Away("unplugged".to_string())));
            assert!(away.is_err() && cluster.is_there().is_err());
            assert!(
                cluster.patience() <= asked + Duration::from_secs(60),
                "from when it was asked"
            );
            match cluster.is_fresh() {
                Ok(()) => assert!(fresh, "{stale:?}"),
                Err(error) => {
                    assert!(!fresh && error.to_string().contains("unplugged"), "{error}");
                }
            }
            cluster.hear(Instant::now(), Ok(())).expect("an answer");
            assert!(cluster.is_there().is_ok() && cluster.trouble().is_none());
        }
    }
}
