//! Counts what happened lately ([`Trend`]), and only when somebody looks.
//!
//! The first look reads the events of the last 30 days, each later one those that are new: for a
//! moment while the caller waits, and what is left on a thread of its own that rests as long as it
//! reads. So a start, mail and lookups never wait for it, and a service whose page nobody opens
//! counts nothing. Memory is bounded: hours, a closed table of providers, and so many rules,
//! campaigns and wordings, of which the rarest go first.

mod count;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::ledger::lock::lock;
use crate::ledger::{Ledger, LedgerError};
use crate::mail::Timestamp;
use crate::service::accepted;
use crate::service::trend::{HOUR_MS, HOURS, Trend};
use count::CountedLine;

/// Events that are read and counted at a time.
const PIECE: usize = 256;
/// How long the caller waits for what is new.
const PATIENCE: Duration = Duration::from_millis(200);

/// The counts and what reads on.
#[derive(Debug, Default)]
pub struct Trends {
    counting: Arc<Mutex<Counting>>,
    /// A thread is reading.
    reading: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Counting {
    trend: Trend,
    /// Erasures up to here were carried out before the counting began.
    erased: u64,
}

impl Trends {
    /// Lets `read` look at what is counted by now.
    pub fn look(
        &self,
        ledger: &Arc<dyn Ledger>,
        now: Timestamp,
        read: &mut dyn FnMut(&Trend),
    ) -> Result<(), LedgerError> {
        let until = Instant::now() + PATIENCE;
        let complete = loop {
            if self.reading.load(Ordering::Acquire) {
                lock(&self.counting).trend.newest = ledger.status().last_seq;
                break true;
            }
            if step(&self.counting, &**ledger, now)? {
                break true;
            }
            if Instant::now() >= until {
                break false;
            }
        };
        if !complete && !self.reading.swap(true, Ordering::AcqRel) {
            self.read_on(ledger, now);
        }
        read(&lock(&self.counting).trend);
        Ok(())
    }

    /// Reads what is left beside the traffic. It ends with the journal, or with the service.
    fn read_on(&self, ledger: &Arc<dyn Ledger>, now: Timestamp) {
        let (counting, reading) = (Arc::clone(&self.counting), Arc::clone(&self.reading));
        let ledger: Weak<dyn Ledger> = Arc::downgrade(ledger);
        let read = move || {
            loop {
                let began = Instant::now();
                let Some(ledger) = ledger.upgrade() else { break };
                match step(&counting, &*ledger, now) {
                    Ok(false) => {}
                    Ok(true) => break,
                    Err(error) => {
                        tracing::warn!(%error, "the counts of the page are not complete");
                        break;
                    }
                }
                drop(ledger);
                std::thread::sleep(began.elapsed());
            }
            reading.store(false, Ordering::Release);
        };
        if let Err(error) = std::thread::Builder::new().name("trend".to_string()).spawn(read) {
            self.reading.store(false, Ordering::Release);
            tracing::warn!(%error, "the counts of the page are not complete");
        }
    }
}

/// Counts the next piece; true when there was no more.
fn step(
    counting: &Mutex<Counting>,
    ledger: &dyn Ledger,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let newest = ledger.status().last_seq;
    let (through, oldest) = {
        let trend = &mut lock(counting).trend;
        trend.now = trend.now.max(now);
        trend.newest = newest;
        (trend.through, (trend.hour() - HOURS + 1) * HOUR_MS)
    };
    let from = match through {
        0 => first_since(ledger, Timestamp::from_millis(oldest))?,
        through => through + 1,
    };
    let lines = ledger.journal(from, PIECE)?;
    let read: Vec<(u64, Option<CountedLine>)> =
        lines.iter().map(|(seq, line)| (*seq, CountedLine::read(line))).collect();
    let mut counting = lock(counting);
    let Counting { trend, erased } = &mut *counting;
    if trend.through != through {
        // Somebody else counted in the meantime.
        return Ok(false);
    }
    if through == 0 {
        (trend.first, *erased) = (from, newest);
    }
    let Some(last) = read.last().map(|(seq, _)| *seq) else {
        trend.through = newest.max(through);
        return Ok(true);
    };
    for (seq, line) in read {
        let Some(line) = line else { continue };
        if line.erases() && seq > *erased {
            // Wordings and campaigns may name the person: count again, from what is left.
            *trend = Trend { now: trend.now, newest, ..Trend::default() };
            return Ok(false);
        }
        count::count(trend, seq, &line);
    }
    trend.through = last;
    count::forget_old(trend);
    Ok(last >= newest)
}

/// The first position whose event came at `moment` or later.
pub fn first_since(ledger: &dyn Ledger, moment: Timestamp) -> Result<u64, LedgerError> {
    let status = ledger.status();
    let positions = status.first_seq.max(1)..status.last_seq + 1;
    accepted::first_since(positions, moment, |from| ledger.journal(from, 1))
}

#[cfg(test)]
mod tests;
