//! The engine on a disk that fails at every operation, and with a view and a fold that fail.

mod checkpoints;
mod redaction;
mod shared;
mod strange;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::*;
use crate::event::{EventType, SendResult};
use crate::ledger::Rows;
use crate::ledger::journal::simulated::{DiskFault, SimulatedDisk};
use crate::report::Attribution;

/// Counts events in all; has an opinion on some addresses, and remembers how often it was reset.
#[derive(Default)]
struct Counting {
    resets: Arc<AtomicUsize>,
    /// Remembered beside the rows: wrong when it is not reset after a batch that was rolled back.
    total: Option<u64>,
}

impl Fold for Counting {
    fn fold(&mut self, rows: &mut dyn Rows, event: &mut Event) -> Result<(), LedgerError> {
        let stored = rows.get(b"total")?.and_then(|value| value.try_into().ok());
        let stored = stored.map_or(0, u64::from_be_bytes);
        assert_eq!(*self.total.get_or_insert(stored), stored, "the fold is out of step");
        self.total = Some(stored + 1);
        // As a `sent` of the same batch may have proved.
        event.attribution = Some(Attribution::MessageId);
        rows.put(b"total".to_vec(), Some((stored + 1).to_be_bytes().to_vec()));
        match event.result.as_ref().map(|result| result.address.as_str()) {
            Some("panic@example.com") => panic!("told to"),
            Some("error@example.com") => return Err(LedgerError::Retryable("told to".into())),
            Some("corrupt@example.com") => return Err(LedgerError::Corrupt("told to".into())),
            Some("large@example.com") => rows.put(b"large".to_vec(), Some(vec![0; 65_000])),
            Some("back@example.com") => {
                // What undo does: it looks at events before, also at those of this batch.
                let before = rows.event(event.seq - 1)?.map(|event| event.id);
                rows.put(b"before".to_vec(), before.map(String::into_bytes));
            }
            _ => {}
        }
        Ok(())
    }

    fn touches(&self, event: &Event) -> Vec<String> {
        event.result.iter().map(|result| result.address.clone()).collect()
    }

    fn forgets(&self, event: &Event) -> Vec<String> {
        let result = event.result.iter().filter(|result| result.outcome == "forget");
        result.map(|result| result.address.clone()).collect()
    }

    fn reset(&mut self) {
        self.total = None;
        self.resets.fetch_add(1, Ordering::Relaxed);
    }
}

fn event(n: u64, address: &str) -> Event {
    Event {
        digest: Some(format!("{n:040x}")),
        result: Some(SendResult {
            outcome: "failed".to_string(),
            address: address.to_string(),
            message_id: None,
            verdict: None,
        }),
        ..Event::new(
            EventType::Result,
            format!("id-{n}"),
            Timestamp::from_millis(1_790_000_000_000 + n as i64),
        )
    }
}

fn batch(from: u64, count: u64) -> Vec<Event> {
    (from..from + count).map(|n| event(n, &format!("user{}@example.com", n % 9))).collect()
}

struct StoreBench {
    disk: SimulatedDisk,
    dir: tempfile::TempDir,
    options: Options,
}

impl StoreBench {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().expect("scratch");
        let mut options = Options::new(dir.path());
        options.cache_bytes = 1 << 20;
        options.segment_bytes = 10_000;
        options.min_free_bytes = 1000;
        options.open_patience = Duration::from_secs(120);
        let disk = SimulatedDisk::new(seed);
        disk.reads_are_free();
        Self { disk, dir, options }
    }

    fn open_with(&self, fold: Counting) -> Result<SledLedger, LedgerError> {
        let disk = Arc::new(self.disk.clone());
        SledLedger::open_on(disk, None, self.options.clone(), Box::new(fold), None)
    }

    fn open(&self) -> SledLedger {
        let ledger = self.open_with(Counting::default()).expect("a start");
        assert_eq!(ledger.status().trouble, None);
        ledger
    }
}

fn total(ledger: &SledLedger) -> u64 {
    let value = ledger.look_up(&[b"total".to_vec()]).expect("ready").remove(0);
    value.and_then(|value| value.try_into().ok()).map_or(0, u64::from_be_bytes)
}

fn ids(ledger: &SledLedger) -> Vec<String> {
    let lines = ledger.journal(1, usize::MAX).expect("readable");
    let id = |line: &str| serde_json::from_str::<Event>(line).expect("an event").id;
    lines.iter().map(|(_, line)| id(line)).collect()
}

const EVENTS: u64 = 200;
const BATCH: u64 = 10;

/// Commits all events in batches, each until it is acknowledged or `tries` failed; checkpoints in
/// between. Gives how many are acknowledged.
fn run(ledger: &SledLedger, tries: usize) -> u64 {
    let mut left = tries;
    let mut from = 1;
    while from <= EVENTS && left > 0 {
        match ledger.commit(&mut batch(from, BATCH)) {
            Ok(_) => {
                from += BATCH;
                if from % 70 == 1 {
                    let _ = ledger.checkpoint(Timestamp::from_millis(0));
                }
            }
            Err(_) => left -= 1,
        }
    }
    from - 1
}

/// Each event is there once, those acknowledged are, the rows are their fold, and it goes on.
fn check(bench: &StoreBench, acknowledged: u64, what: &str) {
    let ledger = bench.open();
    let found = ids(&ledger);
    let once: BTreeSet<&String> = found.iter().collect();
    assert_eq!(once.len(), found.len(), "{what}: an event came twice");
    for n in 1..=acknowledged {
        assert!(once.contains(&format!("id-{n}")), "{what}: {n} is lost");
    }
    assert_eq!(total(&ledger), found.len() as u64, "{what}");
    // The senders of what was not acknowledged try again.
    assert_eq!(run(&ledger, 1), EVENTS, "{what}");
    assert_eq!((ids(&ledger).len() as u64, total(&ledger)), (EVENTS, EVENTS), "{what}");
}

fn operations() -> u64 {
    let bench = StoreBench::new(0);
    let ledger = bench.open();
    assert_eq!(run(&ledger, 1), EVENTS);
    assert!(ledger.engine.reader.segment_starts().len() > 3);
    assert!(!journal::checkpoints(&bench.disk).expect("listed").is_empty());
    bench.disk.operations()
}

/// Runs them all, eight at once: most of the time each waits for its keeper. One that fails is named.
fn each(all: std::ops::RangeInclusive<u64>, run: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(*all.start());
    let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| all.contains(n));
    let named = |n| {
        let done = std::panic::catch_unwind(AssertUnwindSafe(|| run(n)));
        assert!(done.is_ok(), "number {n} of {all:?} failed, see above");
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| std::iter::from_fn(take).for_each(named));
        }
    });
}

#[test]
fn power_off_at_every_operation() {
    each(1..=operations(), |k| {
        let bench = StoreBench::new(k);
        bench.disk.fail(k, 1, DiskFault::Crash);
        let acknowledged = match bench.open_with(Counting::default()) {
            Ok(ledger) => run(&ledger, 1),
            Err(_) => 0,
        };
        bench.disk.reboot();
        if k % 2 == 0 {
            let _ = std::fs::remove_dir_all(bench.dir.path().join("view"));
        }
        check(&bench, acknowledged, &format!("crash at {k}"));
    });
}

#[test]
fn a_failure_at_every_operation() {
    each(1..=operations(), |k| {
        let fault = if k % 2 == 0 { DiskFault::Broken } else { DiskFault::Full };
        let bench = StoreBench::new(k);
        bench.disk.fail(k, 1 + k % 3, fault);
        // The first operations belong to the start: that may fail, the next one must not.
        let ledger = match bench.open_with(Counting::default()) {
            Ok(ledger) => ledger,
            Err(_) => bench.open(),
        };
        assert_eq!(run(&ledger, 20), EVENTS, "{fault:?} at {k}");
        let digest = ledger.digest().expect("ready");
        drop(ledger);
        // How many operations a run has depends on its threads: the last fault may not have come.
        bench.disk.heal();
        check(&bench, EVENTS, &format!("{fault:?} at {k}"));
        assert_eq!(bench.open().digest().expect("ready"), digest, "{fault:?} at {k}");
    });
}

#[test]
fn one_bad_event_changes_nothing() {
    let bench = StoreBench::new(1);
    let resets = Arc::new(AtomicUsize::new(0));
    let fold = Counting { resets: Arc::clone(&resets), total: None };
    let ledger = bench.open_with(fold).expect("a start");
    ledger.commit(&mut batch(1, 10)).expect("committed");
    let digest = ledger.digest().expect("ready");
    for (n, bad) in ["panic", "error", "large", "long", "corrupt"].into_iter().enumerate() {
        let mut events = batch(100, 3);
        events.push(event(104, &format!("{bad}@example.com")));
        if bad == "long" {
            events[3].peer = Some("x".repeat(journal::MAX_RECORD));
        }
        let error = ledger.commit(&mut events).expect_err(bad);
        // What the fold calls corrupt is no reason to rebuild: the same would come out.
        let corrupt = matches!(error, LedgerError::Corrupt(_));
        assert!(if bad == "corrupt" {
            corrupt
        } else {
            matches!(error, LedgerError::Retryable(_))
        });
        let lifted = events.iter().find(|event| event.attribution.is_some());
        assert_eq!(lifted, None, "{bad}: what lifted it may be what was refused");
        assert_eq!(ledger.engine.view().map(|view| view.generation), Ok(1), "{bad}");
        assert_eq!(ledger.digest().expect("ready"), digest, "{bad}");
        // Once at the start, once for each.
        assert_eq!(resets.load(Ordering::Relaxed), n + 2, "{bad}");
    }
    assert_eq!(ledger.commit(&mut batch(100, 3)).expect("committed")[0].seq, 11);
}

#[test]
fn a_fold_can_look_back() {
    let bench = StoreBench::new(2);
    let ledger = bench.open();
    for (mut batch, before) in [
        (vec![event(1, "a@example.com"), event(2, "back@example.com")], "id-1"),
        (vec![event(3, "back@example.com")], "id-2"),
    ] {
        ledger.commit(&mut batch).expect("committed");
        let value = ledger.look_up(&[b"before".to_vec()]).expect("ready").remove(0);
        assert_eq!(value, Some(before.as_bytes().to_vec()));
    }
}

#[test]
fn a_damaged_view_is_rebuilt_while_the_journal_serves() {
    let bench = StoreBench::new(3);
    let ledger = bench.open();
    ledger.commit(&mut batch(1, 50)).expect("committed");
    ledger.checkpoint(Timestamp::from_millis(0)).expect("written");
    ledger.commit(&mut batch(51, 20)).expect("committed");
    let digest = ledger.digest().expect("ready");
    for round in 0..3 {
        let view = ledger.engine.view().expect("ready");
        let generation = view.generation;
        view.mark_damaged();
        let error = ledger.engine.doubt(&view, LedgerError::Corrupt("told to".into()));
        assert!(matches!(error, LedgerError::Retryable(_)), "round {round}");
        // Whenever the keeper gets to it: commits and lookups work or are to be tried again, and
        // the journal can always be read.
        let mut next = 71 + round * 1000;
        while ledger.engine.view().is_ok_and(|view| view.generation == generation) {
            match ledger.commit(&mut batch(next, 1)) {
                Ok(_) => next += 1,
                Err(error) => assert!(matches!(error, LedgerError::Retryable(_)), "{error}"),
            }
            assert!(ledger.journal(1, 10).expect("readable").len() == 10);
        }
        assert!(ledger.wait_ready(Duration::from_secs(60)));
        // The keeper may have been quicker than every commit.
        ledger.commit(&mut batch(next, 1)).expect("the new view is ready");
        assert_eq!(total(&ledger), ids(&ledger).len() as u64, "round {round}");
        // A doubt about the old one is void.
        let _ = ledger.engine.doubt(&view, LedgerError::Corrupt("late".into()));
        ledger.checkpoint(Timestamp::from_millis(0)).expect("written");
    }
    assert_ne!(ledger.digest().expect("ready"), digest);
    let digest = ledger.digest().expect("ready");
    drop(ledger);
    assert_eq!(bench.open().digest().expect("ready"), digest);
}

#[test]
fn a_nearly_full_disk_stops_commits_and_not_lookups() {
    let bench = StoreBench::new(4);
    let ledger = bench.open();
    ledger.commit(&mut batch(1, 10)).expect("committed");
    let mut from = 11;
    for free in [999, 0] {
        bench.disk.set_free(free);
        // The disk is looked at once a second of the events' own time.
        let late = |mut events: Vec<Event>| {
            for event in &mut events {
                event.received_at = event.received_at.plus_millis(from as i64 * 1000);
            }
            events
        };
        let error = ledger.commit(&mut late(batch(from, 10))).expect_err("full");
        assert!(matches!(error, LedgerError::Full(_)), "{error}");
        assert_eq!(total(&ledger), from - 1);
        assert!(ledger.status().trouble.is_some_and(|why| why.contains("full")));
        bench.disk.set_free(1 << 30);
        ledger.commit(&mut late(batch(from, 10))).expect("space is back, and seen at once");
        assert_eq!(ledger.status().trouble, None);
        from += 10;
    }
}

#[test]
fn commits_wait_for_room_and_then_go_on() {
    let mut bench = StoreBench::new(5);
    bench.options.max_waiting_bytes = 3000;
    bench.options.commit_patience = Duration::from_secs(60);
    bench.options.checkpoint_every = 50;
    let ledger = bench.open();
    for from in (1..400).step_by(10) {
        ledger.commit(&mut batch(from, 10)).expect("committed");
    }
    assert_eq!(total(&ledger), 400);
    // Automatic checkpoints came by.
    assert!(!journal::checkpoints(&bench.disk).expect("listed").is_empty());
}

#[test]
fn a_keeper_without_space_costs_a_sentence_and_no_memory() {
    let mut bench = StoreBench::new(6);
    bench.options.max_waiting_bytes = 3000;
    bench.options.commit_patience = Duration::from_millis(1);
    let ledger = bench.open();
    bench.disk.set_free(499);
    // The commits themselves think that there is space (unless the keeper looks just then).
    let refused = (1..1000).find_map(|n| {
        let now = Timestamp::from_millis(1_790_000_000_000 + n as i64);
        ledger.engine.free.0.store(u64::MAX, Ordering::Relaxed);
        ledger.engine.free.1.store(now.millis(), Ordering::Relaxed);
        ledger.commit(&mut batch(n, 1)).err().filter(|error| !matches!(error, LedgerError::Full(_)))
    });
    assert_eq!(
        refused.expect("it does not take all").to_string(),
        "the ledger is not ready: the view is too far behind the journal: the disk is slow or full"
    );
    assert_eq!(total(&ledger), ids(&ledger).len() as u64);
}

#[test]
fn questions_are_answered_when_nothing_can_be_written() {
    let bench = StoreBench::new(8);
    let ledger = bench.open();
    ledger.commit(&mut batch(1, 30)).expect("committed");
    ledger.checkpoint(Timestamp::from_millis(0)).expect("written");
    ledger.commit(&mut batch(31, 30)).expect("committed");
    let digest = ledger.digest().expect("ready");
    drop(ledger);
    // No space, and no place for a view either.
    let view = bench.dir.path().join("view");
    std::fs::remove_dir_all(&view).expect("there");
    std::fs::write(&view, b"in the way").expect("written");
    bench.disk.set_free(10);
    let ledger = bench.open_with(Counting::default()).expect("a start");
    assert!(ledger.wait_ready(Duration::from_secs(20)));
    assert_eq!((total(&ledger), ledger.digest().expect("ready")), (60, digest));
    assert_eq!(ledger.history("user4@example.com", 3).expect("ready").len(), 3);
    assert_eq!(ledger.list(b"", None, 10).expect("ready").rows.len(), 1);
    let refused = ledger.commit(&mut batch(61, 1)).expect_err("no space");
    assert!(matches!(refused, LedgerError::Full(_)), "{refused}");
    assert!(ledger.checkpoint(Timestamp::from_millis(0)).is_err());
    // There is space again: it goes on by itself.
    std::fs::remove_file(&view).expect("there");
    bench.disk.set_free(u64::MAX);
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while ledger.commit(&mut batch(61, 1)).is_err() && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(ledger.wait_ready(Duration::from_secs(20)));
    assert_eq!(total(&ledger), 61);
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !view.is_dir() && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(ledger.wait_ready(Duration::from_secs(20)) && view.is_dir());
    assert_eq!(total(&ledger), 61);
}
