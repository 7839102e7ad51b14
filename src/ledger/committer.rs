//! The committer: one plain thread that turns single events into group commits. While one batch is
//! being synced the next one gathers, so a batch is as large as the load makes it and nobody waits
//! for company that does not come.
//!
//! Promises: each accepted event is answered exactly once, after its batch is durable or refused;
//! the queue is bounded; one event that the ledger cannot take does not take others with it.

use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::ledger::lock::lock;
use crate::ledger::{Committed, Ledger, LedgerError};

/// Limits of the committer.
#[derive(Debug, Clone, Copy)]
pub struct CommitterOptions {
    /// Events that may wait; more are refused.
    pub queue: usize,
    /// Events of one batch at most.
    pub batch: usize,
}

impl Default for CommitterOptions {
    fn default() -> Self {
        Self { queue: 4096, batch: 256 }
    }
}

/// What the observer is told after each batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Events in the batch.
    pub events: usize,
    /// Time from the first write to the answer of the ledger.
    pub took: Duration,
    /// Why the batch was refused.
    pub error: Option<LedgerError>,
}

/// Takes the answer to one event. It is called on the committer's thread and must not block.
pub type CommitReply = Box<dyn FnOnce(Result<Committed, LedgerError>) + Send>;

enum Job {
    Commit(Box<Event>, CommitReply),
    Shutdown,
}

/// Handle of the committer thread.
pub struct Committer {
    jobs: SyncSender<Job>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    ledger: Arc<dyn Ledger>,
}

impl Committer {
    /// Starts the thread; `observe` is called after each batch.
    pub fn start(
        ledger: Arc<dyn Ledger>,
        options: CommitterOptions,
        observe: impl FnMut(&Observation) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(options.queue.max(1));
        let worker = Worker { ledger: Arc::clone(&ledger), batch: options.batch.max(1), observe };
        let thread = std::thread::Builder::new()
            .name("committer".to_string())
            .spawn(move || worker.run(&queue))?;
        Ok(Self { jobs, thread: Mutex::new(Some(thread)), ledger })
    }

    /// Queues one event. On `Err` (the queue is full, or the service stops) the reply is dropped
    /// without being called.
    pub fn submit(&self, event: Event, reply: CommitReply) -> Result<(), LedgerError> {
        self.jobs.try_send(Job::Commit(Box::new(event), reply)).map_err(|error| {
            LedgerError::Retryable(match error {
                TrySendError::Full(_) => "too many events wait for the disk".to_string(),
                TrySendError::Disconnected(_) => "the service is stopping".to_string(),
            })
        })
    }

    /// The same, and waits while the queue is full. On `Err` the service stops.
    pub fn submit_when_there_is_room(
        &self,
        event: Event,
        reply: CommitReply,
    ) -> Result<(), LedgerError> {
        self.jobs
            .send(Job::Commit(Box::new(event), reply))
            .map_err(|_| LedgerError::Retryable("the service is stopping".to_string()))
    }

    /// Commits what is queued, ends the thread, then settles the view so that the next start has
    /// little to fold. Later submissions are refused.
    pub fn shutdown(&self) -> Result<(), LedgerError> {
        let Some(thread) = lock(&self.thread).take() else { return Ok(()) };
        let _ = self.jobs.send(Job::Shutdown);
        if thread.join().is_err() {
            tracing::error!("the committer panicked");
        }
        self.ledger.settle()
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        if let Some(thread) = lock(&self.thread).take() {
            let _ = self.jobs.send(Job::Shutdown);
            let _ = thread.join();
        }
    }
}

struct Worker<O> {
    ledger: Arc<dyn Ledger>,
    batch: usize,
    observe: O,
}

impl<O: FnMut(&Observation)> Worker<O> {
    fn run(mut self, queue: &Receiver<Job>) {
        let mut stopping = false;
        while !stopping {
            let Ok(first) = queue.recv() else { break };
            let mut waiting = Vec::new();
            let rest = std::iter::from_fn(|| queue.try_recv().ok());
            for job in std::iter::once(first).chain(rest.take(self.batch - 1)) {
                match job {
                    Job::Commit(event, reply) => waiting.push((*event, reply)),
                    Job::Shutdown => stopping = true,
                }
            }
            self.commit_all(waiting);
        }
        // Who got in between the order to stop and now is told.
        while let Ok(Job::Commit(_, reply)) = queue.try_recv() {
            let error = LedgerError::Retryable("the service is stopping".to_string());
            answer(reply, Err(error));
        }
    }

    fn commit_all(&mut self, waiting: Vec<(Event, CommitReply)>) {
        if waiting.is_empty() {
            return;
        }
        let (mut events, replies): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        match self.commit(&mut events) {
            Ok(committed) => {
                for (reply, committed) in replies.into_iter().zip(committed) {
                    answer(reply, Ok(committed));
                }
            }
            Err(LedgerError::Retryable(_) | LedgerError::Corrupt(_)) if events.len() > 1 => {
                self.commit_each(events.iter_mut().zip(replies));
            }
            Err(error) => {
                for reply in replies {
                    answer(reply, Err(error.clone()));
                }
            }
        }
    }

    /// Nothing of the batch was written: finds out which event is to blame by trying each alone.
    /// After two refusals in a row it is not the events, and the rest is refused, too.
    fn commit_each<'a>(&mut self, waiting: impl Iterator<Item = (&'a mut Event, CommitReply)>) {
        let mut refusals = 0;
        let mut last = None;
        for (event, reply) in waiting {
            if let (2.., Some(error)) = (refusals, &last) {
                answer(reply, Err(Clone::clone(error)));
                continue;
            }
            let result = self.commit(std::slice::from_mut(event)).and_then(|mut one| {
                one.pop().ok_or_else(|| LedgerError::Ambiguous("no answer".to_string()))
            });
            match &result {
                Ok(_) => refusals = 0,
                Err(error) => {
                    refusals += 1;
                    last = Some(error.clone());
                }
            }
            answer(reply, result);
        }
    }

    fn commit(&mut self, events: &mut [Event]) -> Result<Vec<Committed>, LedgerError> {
        let count = events.len();
        let began = Instant::now();
        let ledger = &self.ledger;
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| ledger.commit(events)));
        let result = match result {
            Ok(Ok(committed)) if committed.len() != count => Err(LedgerError::Ambiguous(format!(
                "{} answers for {count} events",
                committed.len()
            ))),
            Ok(result) => result,
            Err(_) => Err(LedgerError::Ambiguous("the ledger panicked".to_string())),
        };
        let error = result.as_ref().err().cloned();
        (self.observe)(&Observation { events: count, took: began.elapsed(), error });
        result
    }
}

/// Calls a reply; what it does must not end the thread.
fn answer(reply: CommitReply, result: Result<Committed, LedgerError>) {
    if std::panic::catch_unwind(AssertUnwindSafe(|| reply(result))).is_err() {
        tracing::error!("a reply panicked");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::event::EventType;
    use crate::ledger::{LedgerStatus, Page};
    use crate::mail::Timestamp;

    /// A ledger that waits at a gate, then says what it is told for each batch.
    struct Scripted {
        gate: Mutex<mpsc::Receiver<()>>,
        /// Ids that it cannot take, and the error for a batch with one of them.
        poison: Vec<(&'static str, LedgerError)>,
        batches: Mutex<Vec<Vec<String>>>,
        settled: Mutex<u32>,
    }

    impl Ledger for Scripted {
        fn commit(&self, batch: &mut [Event]) -> Result<Vec<Committed>, LedgerError> {
            let ids: Vec<String> = batch.iter().map(|event| event.id.clone()).collect();
            lock(&self.batches).push(ids.clone());
            let _ = lock(&self.gate).recv();
            for id in &ids {
                if id == "panic" {
                    panic!("told to");
                }
                if let Some((_, error)) = self.poison.iter().find(|(poison, _)| poison == id) {
                    return Err(error.clone());
                }
            }
            let one = |(n, id)| Committed { seq: n, id, duplicate: false, decisions: vec![] };
            Ok((1..).zip(ids).map(one).collect())
        }
        fn prepare_with(&self, _: Arc<dyn crate::ledger::Prepare>) {}
        fn look_up(&self, _: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, LedgerError> {
            Ok(Vec::new())
        }
        fn list(&self, _: &[u8], _: Option<&[u8]>, _: usize) -> Result<Page, LedgerError> {
            Ok(Page { rows: Vec::new(), next: None })
        }
        fn history(&self, _: &str, _: usize) -> Result<Vec<Event>, LedgerError> {
            Ok(Vec::new())
        }
        fn journal(&self, _: u64, _: usize) -> Result<Vec<(u64, String)>, LedgerError> {
            Ok(Vec::new())
        }
        fn status(&self) -> LedgerStatus {
            LedgerStatus::default()
        }
        fn settle(&self) -> Result<(), LedgerError> {
            *lock(&self.settled) += 1;
            Ok(())
        }
        fn checkpoint(&self, _: Timestamp) -> Result<(), LedgerError> {
            Ok(())
        }
    }

    fn event(id: &str) -> Event {
        Event::new(EventType::Result, id.to_string(), Timestamp::from_millis(0))
    }

    /// Runs events through a committer of which the first batch waits until all are queued; gives
    /// the answers by id, the batches and the observations.
    #[expect(clippy::type_complexity, reason = "three plain results of a test")]
    fn run(
        ids: &[&str],
        poison: Vec<(&'static str, LedgerError)>,
    ) -> (Vec<(String, Result<Committed, LedgerError>)>, Vec<Vec<String>>, Vec<Observation>) {
        let (open, gate) = mpsc::channel();
        let ledger = Arc::new(Scripted {
            gate: Mutex::new(gate),
            poison,
            batches: Mutex::default(),
            settled: Mutex::default(),
        });
        let (observed, observations) = mpsc::channel();
        let observe = move |seen: &Observation| observed.send(seen.clone()).expect("listening");
        let options = CommitterOptions { queue: 100, batch: 4 };
        let committer = Committer::start(ledger.clone(), options, observe).expect("thread");
        let (answered, answers) = mpsc::channel();
        for id in ids {
            let (answered, id) = (answered.clone(), id.to_string());
            let name = id.clone();
            let reply = Box::new(move |result| answered.send((name, result)).expect("listening"));
            committer.submit(event(&id), reply).expect("room");
        }
        // Opened for good.
        drop(open);
        committer.shutdown().expect("settled");
        assert_eq!(*lock(&ledger.settled), 1);
        let refused = committer.submit(event("late"), Box::new(|_| panic!("not accepted")));
        assert!(matches!(refused, Err(LedgerError::Retryable(_))));
        drop(answered);
        drop(committer);
        let batches = lock(&ledger.batches).clone();
        (answers.iter().collect(), batches, observations.iter().collect())
    }

    #[test]
    fn what_gathers_during_a_commit_is_the_next_batch() {
        let ids: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (answers, batches, observations) = run(&ids, Vec::new());
        let order: Vec<&str> = answers.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(order, ids);
        assert!(answers.iter().all(|(id, r)| r.as_ref().is_ok_and(|c| c.id == *id)));
        assert_eq!(batches.concat(), ids);
        assert!(batches.iter().all(|batch| batch.len() <= 4), "{batches:?}");
        // All were queued before the first batch ended: only that one may be short of four.
        assert!(batches.len() <= 6, "{batches:?}");
        assert_eq!(observations.iter().map(|o| o.events).sum::<usize>(), 20);
    }

    #[test]
    fn one_event_does_not_take_others_with_it() {
        let unfit = || LedgerError::Retryable("unfit".to_string());
        let (answers, _, _) = run(&["a", "b", "bad", "c", "d", "e"], vec![("bad", unfit())]);
        for (id, result) in &answers {
            assert_eq!(result.is_ok(), id != "bad", "{id}: {result:?}");
        }
        assert_eq!(answers.len(), 6);
    }

    #[test]
    fn trouble_is_answered_to_all_who_wait_and_not_multiplied() {
        for error in [
            LedgerError::Full("full".to_string()),
            LedgerError::Ambiguous("unknown".to_string()),
            LedgerError::Fatal("stopped".to_string()),
        ] {
            let poison = vec![("a", error.clone()), ("b", error.clone())];
            let (answers, batches, observations) = run(&["a", "b", "b", "b"], poison);
            assert_eq!(answers.len(), 4);
            assert!(answers.iter().all(|(_, result)| *result == Err(error.clone())));
            assert!(batches.len() <= 2, "{batches:?}");
            assert!(observations.iter().all(|o| o.error == Some(error.clone())));
        }
        // A ledger that is not ready: a few tries alone, not one for each.
        let poison = vec![("a", LedgerError::Retryable("not ready".to_string()))];
        let (answers, batches, _) = run(&["a"; 9], poison);
        assert!(answers.len() == 9 && answers.iter().all(|(_, result)| result.is_err()));
        assert!(batches.len() <= 9, "{batches:?}");
    }

    #[test]
    fn a_panic_in_the_ledger_is_an_answer_and_the_thread_lives() {
        let (answers, _, _) = run(&["panic", "a", "b", "c", "d", "e", "f"], Vec::new());
        assert_eq!(answers.len(), 7);
        assert!(matches!(answers.first(), Some((_, Err(LedgerError::Ambiguous(_))))));
        assert!(answers.last().is_some_and(|(_, result)| result.is_ok()));
    }

    #[test]
    fn a_full_queue_refuses() {
        let (open, gate) = mpsc::channel();
        let ledger = Arc::new(Scripted {
            gate: Mutex::new(gate),
            poison: Vec::new(),
            batches: Mutex::default(),
            settled: Mutex::default(),
        });
        let options = CommitterOptions { queue: 3, batch: 1 };
        let committer = Committer::start(ledger, options, |_| {}).expect("thread");
        let (answered, answers) = mpsc::channel();
        let mut accepted = 0;
        let refused = loop {
            let answered = answered.clone();
            let reply = Box::new(move |result| answered.send(result).expect("listening"));
            match committer.submit(event("x"), reply) {
                Ok(()) => accepted += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(refused, LedgerError::Retryable("too many events wait for the disk".into()));
        // Three in the queue, and perhaps one at the gate.
        assert!((3..=4).contains(&accepted), "{accepted}");
        drop((open, answered));
        drop(committer);
        assert_eq!(answers.iter().filter(Result::is_ok).count(), accepted);
    }
}
