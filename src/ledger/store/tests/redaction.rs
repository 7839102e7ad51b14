//! Taking a person out of everything that is stored, with power cuts and mail beside it.

use super::*;

const PERSON: &str = "user3@example.com";

/// Takes a person out, as many times as it takes.
fn forget(ledger: &SledLedger) -> Result<u64, LedgerError> {
    let mut line =
        // What came after the event that ends the history is none of it.
        |seq, json: &str| (seq <= 41 && json.contains(PERSON)).then(|| json.replace(PERSON, "gone@x.test"));
    let row = |_: &[u8], value: &[u8]| {
        let text = std::str::from_utf8(value).ok()?;
        text.contains(PERSON).then(|| text.replace(PERSON, "gone@x.test").into_bytes())
    };
    ledger.redact(Redact { line: &mut line, row: &row })
}

/// Commits events, two checkpoints, and the event that ends the history of the person.
fn with_history(bench: &StoreBench) -> SledLedger {
    let ledger = bench.open();
    for from in (1..40).step_by(10) {
        ledger.commit(&mut batch(from, 10)).expect("committed");
        if from > 15 {
            ledger.checkpoint(Timestamp::from_millis(0)).expect("written");
        }
    }
    let mut last = event(41, PERSON);
    if let Some(result) = &mut last.result {
        result.outcome = "forget".to_string();
    }
    ledger.commit(&mut [last]).expect("committed");
    ledger
}

/// Where a text is on the simulated disk and below the real directory of the view.
fn places(bench: &StoreBench, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let holds = |octets: &[u8]| octets.windows(text.len()).any(|w| w == text.as_bytes());
    for dir in ["journal", "checkpoint"] {
        for name in bench.disk.list(dir).expect("memory") {
            let name = format!("{dir}/{name}");
            if holds(&journal::octets_of_segment(&bench.disk, &name)) {
                found.push(name);
            }
        }
    }
    // Checkpoints are compressed.
    let disk: Arc<dyn Disk> = Arc::new(bench.disk.clone());
    for position in journal::checkpoints(&bench.disk).expect("memory") {
        let checkpoint = journal::Checkpoint::open(&disk, position).expect("whole");
        let rows = checkpoint.scan(b"", b"", None, usize::MAX).expect("whole");
        if rows.iter().any(|(key, value)| holds(key) || holds(value)) {
            found.push(format!("rows of the checkpoint at {position}"));
        }
    }
    let mut dirs = vec![bench.dir.path().to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
            match entry.file_type().expect("a type").is_dir() {
                true => dirs.push(entry.path()),
                false if holds(&std::fs::read(entry.path()).expect("readable")) => {
                    found.push(entry.path().display().to_string());
                }
                false => {}
            }
        }
    }
    found
}

#[test]
fn what_is_taken_out_is_nowhere_any_more() {
    let bench = StoreBench::new(5);
    let ledger = with_history(&bench);
    assert!(!places(&bench, PERSON).is_empty());
    assert!(ledger.history(PERSON, 10).expect("ready").is_empty());
    let others = ledger.history("user4@example.com", 10).expect("ready").len();
    let all = ids(&ledger);
    assert_eq!(forget(&ledger), Ok(6));
    assert_eq!(places(&bench, PERSON), Vec::<String>::new());
    assert_eq!((total(&ledger), ids(&ledger)), (41, all.clone()));
    assert_eq!(ledger.history("user4@example.com", 10).expect("ready").len(), others);
    // It goes on, and a restart finds the same.
    ledger.commit(&mut batch(50, 10)).expect("committed");
    let digest = ledger.digest().expect("ready");
    drop(ledger);
    let ledger = bench.open();
    assert_eq!((total(&ledger), ledger.digest().expect("ready")), (51, digest));
    assert_eq!(ids(&ledger).len(), all.len() + 10);
}

#[test]
fn nobody_waits_while_something_is_taken_out() {
    let bench = StoreBench::new(7);
    let ledger = with_history(&bench);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (committed, looked) = std::thread::scope(|scope| {
        let mail = scope.spawn(|| {
            let mut n = 100;
            while !stop.load(Ordering::Relaxed) {
                ledger.commit(&mut batch(n, 3)).expect("mail goes on");
                n += 3;
                // A sender pauses; a loop without end would be a flood.
                std::thread::sleep(Duration::from_micros(200));
            }
            n - 100
        });
        let questions = scope.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                assert!(total(&ledger) >= 41);
                n += 1;
            }
            n
        });
        for _ in 0..3 {
            forget(&ledger).expect("taken out");
        }
        stop.store(true, Ordering::Relaxed);
        (mail.join().expect("committed"), questions.join().expect("looked"))
    });
    assert!(committed > 10 && looked > 10, "{committed} {looked}");
    assert_eq!(total(&ledger), 41 + committed);
    let digest = ledger.digest().expect("ready");
    drop(ledger);
    let ledger = bench.open();
    assert_eq!((total(&ledger), ledger.digest().expect("ready")), (41 + committed, digest));
}

#[test]
fn power_may_go_off_while_something_is_taken_out() {
    let operations = {
        let bench = StoreBench::new(6);
        let ledger = with_history(&bench);
        let before = bench.disk.operations();
        forget(&ledger).expect("taken out");
        bench.disk.operations() - before
    };
    each(1..=operations, |at| {
        let bench = StoreBench::new(at);
        let ledger = with_history(&bench);
        let all = ids(&ledger);
        bench.disk.fail(bench.disk.operations() + at, 1, DiskFault::Crash);
        let first = forget(&ledger);
        drop(ledger);
        bench.disk.reboot();
        let ledger = bench.open();
        assert_eq!((total(&ledger), ids(&ledger)), (41, all.clone()), "at {at}");
        if first.is_ok() {
            assert_eq!(places(&bench, PERSON), Vec::<String>::new(), "at {at}");
        }
        forget(&ledger).expect("taken out");
        assert_eq!(places(&bench, PERSON), Vec::<String>::new(), "at {at}");
        assert_eq!((total(&ledger), ids(&ledger)), (41, all), "at {at}");
    });
}
