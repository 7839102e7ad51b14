//! A node among others: what it knows of the engine that holds the journal of them all.
//!
//! | the engine | commits | lookups, lists, history |
//! |---|---|---|
//! | answers | work | as of what was followed last, at most some 100 ms ago |
//! | is away for less than `patience` | wait | the same, older |
//! | is away for longer | `Away` at once | the same, until `stale`; then `Retryable` |
//! | lost what this node has | `Forked` | the same |

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::ledger::order::{Beat, Place, SharedJournal};
use crate::ledger::{EngineStatus, LedgerError};
use crate::lock::lock;

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
    heard: Mutex<Heard>,
}

struct Heard {
    /// When it answered last; at first the start of this process.
    last: Instant,
    /// Since when it does not, and what it says instead.
    away: Option<(Instant, String)>,
    /// It lost what this node has.
    forked: Option<String>,
    /// When this node had all there was; at first the start.
    level: Instant,
    /// It ever had.
    was_level: bool,
    /// It answers, and refuses.
    refuses: Option<String>,
    /// What it said of itself last.
    beat: Option<Beat>,
}

impl Cluster {
    pub(super) fn new(share: Share) -> Self {
        let now = Instant::now();
        let heard = Heard {
            last: now,
            away: None,
            forked: None,
            level: now,
            was_level: false,
            refuses: None,
            beat: None,
        };
        Self { share, heard: Mutex::new(heard) }
    }

    /// A line for commits.
    pub(super) fn line(&self) -> Line {
        Line { journal: (self.share.connect)(), place: None }
    }

    /// Tells an answer of the engine from its silence.
    pub(super) fn hear<T>(&self, answer: Result<T, LedgerError>) -> Result<T, LedgerError> {
        let now = Instant::now();
        let mut heard = lock(&self.heard);
        match &answer {
            Err(LedgerError::Away(why)) => {
                if heard.away.is_none() {
                    tracing::error!(why, "the engine is away: mail waits, lookups go on");
                    heard.away = Some((now, why.clone()));
                }
            }
            Err(LedgerError::Forked(why)) => {
                if heard.forked.is_none() {
                    tracing::error!("{why}");
                    heard.forked = Some(why.clone());
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
        answer
    }

    /// What the engine said of itself.
    pub(super) fn beat(&self, beat: Beat) {
        lock(&self.heard).beat = Some(beat);
    }

    /// This node has all up to `seq`; the engine went to `end` when it was asked.
    pub(super) fn is_at(&self, seq: u64, end: u64, asked: Instant) {
        let mut heard = lock(&self.heard);
        if seq >= end {
            (heard.level, heard.was_level) = (heard.level.max(asked), true);
        }
    }

    /// A commit may wait for the engine: it has not been away for so long.
    pub(super) fn is_patient(&self) -> bool {
        let heard = lock(&self.heard);
        heard.away.as_ref().is_none_or(|(since, _)| since.elapsed() < self.share.patience)
    }

    /// Whether a commit may be tried. Nobody waits for an engine that was away for longer: the follower
    /// hears when it is back.
    pub(super) fn is_there(&self) -> Result<(), LedgerError> {
        let heard = lock(&self.heard);
        if let Some(why) = &heard.forked {
            return Err(LedgerError::Forked(why.clone()));
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
        heard.forked.clone().or(away).or(refuses)
    }

    /// For people and metrics.
    pub(super) fn status(&self, seq: u64) -> EngineStatus {
        let heard = lock(&self.heard);
        let end = heard.beat.map_or(seq, |beat| beat.end.max(seq));
        let is_level = heard.away.is_none() && heard.was_level && seq == end;
        EngineStatus {
            lag: if is_level { Duration::ZERO } else { heard.level.elapsed() },
            end,
            is_synchronous: heard.beat.map(|beat| beat.is_synchronous),
        }
    }

    /// The engine lost what this node has.
    pub(super) fn forked(&self) -> Option<String> {
        lock(&self.heard).forked.clone()
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
            let away = cluster.hear::<()>(Err(LedgerError::Away("unplugged".to_string())));
            assert!(away.is_err() && !cluster.is_patient());
            match cluster.is_fresh() {
                Ok(()) => assert!(fresh, "{stale:?}"),
                Err(error) => {
                    assert!(!fresh && error.to_string().contains("unplugged"), "{error}");
                }
            }
            cluster.hear(Ok(())).expect("an answer");
            assert!(cluster.is_patient() && cluster.trouble().is_none());
        }
    }
}
