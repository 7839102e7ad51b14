//! Crashes and damage on real files: whatever happens to the view, to unfinished files or to the
//! process, each acknowledged event is there once, and the rows are the fold of the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bounced::event::{Decision, Event, EventType, SendResult};
use bounced::ledger::committer::{Committer, CommitterOptions};
use bounced::ledger::store::{Options, SledLedger};
use bounced::ledger::{Fold, Ledger, LedgerError, Rows};
use bounced::mail::Timestamp;

/// Counts events for each address and in all; lists addresses in its decisions.
struct Counting;

impl Fold for Counting {
    fn fold(&mut self, rows: &mut dyn Rows, event: &mut Event) -> Result<(), LedgerError> {
        let Some(result) = &event.result else { return Ok(()) };
        let address = result.address.clone();
        let mut counted = Vec::new();
        for key in [format!("a/{address}"), "total".to_string()] {
            let old = rows.get(key.as_bytes())?;
            let old = old.map_or(0, |v| String::from_utf8_lossy(&v).parse::<u64>().expect("ours"));
            rows.put(key.into_bytes(), Some((old + 1).to_string().into_bytes()));
            counted.push(old);
        }
        // One row that comes and goes.
        let odd = counted[0] % 2 == 0;
        rows.put(format!("odd/{address}").into_bytes(), odd.then(Vec::new));
        let odd_ones = rows.scan(b"odd/", b"", 3)?.len();
        event.decisions.push(Decision {
            address,
            scope: "*".to_string(),
            from: counted[0].to_string(),
            to: (counted[0] + 1).to_string(),
            clause: format!("{odd_ones} odd"),
            until: None,
        });
        Ok(())
    }

    fn touches(&self, event: &Event) -> Vec<String> {
        event.result.iter().map(|result| result.address.clone()).collect()
    }
}

const START: i64 = 1_790_000_000_000;

fn address(n: u64) -> String {
    format!("user{}@example.com", n * 7 % 23)
}

fn event(n: u64) -> Event {
    let received_at = Timestamp::from_millis(START + n as i64 * 1000);
    Event {
        peer: Some("192.0.2.1".to_string()),
        digest: Some(format!("{n:040x}")),
        result: Some(SendResult {
            outcome: "failed".to_string(),
            address: address(n),
            message_id: None,
            verdict: None,
        }),
        ..Event::new(EventType::Result, format!("id-{n}"), received_at)
    }
}

fn events(numbers: std::ops::Range<u64>) -> Vec<Event> {
    numbers.map(event).collect()
}

fn options(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    options.cache_bytes = 4 << 20;
    options.min_free_bytes = 0;
    options.segment_bytes = 20_000;
    options.open_patience = Duration::from_secs(120);
    options
}

fn open(dir: &Path) -> SledLedger {
    let ledger = SledLedger::open(options(dir), Box::new(Counting)).expect("a start");
    assert_eq!(ledger.status().trouble, None);
    ledger
}

fn ids(ledger: &SledLedger) -> Vec<String> {
    let lines = ledger.journal(1, usize::MAX).expect("readable");
    let event = |line: &String| serde_json::from_str::<Event>(line).expect("an event").id;
    lines.iter().map(|(_, line)| event(line)).collect()
}

fn count(ledger: &SledLedger, key: &str) -> u64 {
    let value = ledger.look_up(&[key.as_bytes().to_vec()]).expect("ready").remove(0);
    value.map_or(0, |value| String::from_utf8_lossy(&value).parse().expect("ours"))
}

/// Files below a directory, with paths from there.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("below"));
        std::fs::create_dir_all(target.parent().expect("has one")).expect("created");
        std::fs::copy(&file, &target).expect("copied");
    }
}

fn journal_files(dir: &Path) -> Vec<PathBuf> {
    files(&dir.join("journal"))
}

#[test]
fn a_ledger_does_what_its_trait_says() {
    let dir = tempfile::tempdir().expect("scratch");
    let ledger = open(dir.path());
    let committed = ledger.commit(&mut events(1..31)).expect("committed");
    assert_eq!(committed.iter().map(|c| c.seq).collect::<Vec<_>>(), (1..31).collect::<Vec<_>>());
    assert!(committed.iter().all(|c| !c.duplicate && c.decisions.len() == 1));
    assert_eq!(count(&ledger, "total"), 30);
    // User 7 is hit by 1 and by 24 (23 addresses).
    assert_eq!(count(&ledger, "a/user7@example.com"), 2);
    let history = ledger.history("user7@example.com", 10).expect("ready");
    assert_eq!(history.iter().map(|e| e.seq).collect::<Vec<_>>(), [24, 1]);
    assert_eq!(ledger.history("user7@example.com", 1).expect("ready").len(), 1);
    assert_eq!(ledger.history("user@example.com", 10).expect("ready"), []);
    let mut keys = Vec::new();
    let mut cursor: Option<Vec<u8>> = None;
    loop {
        let page = ledger.list(b"a/", cursor.as_deref(), 5).expect("ready");
        keys.extend(page.rows.into_iter().map(|row| String::from_utf8(row.0).expect("text")));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let all: BTreeSet<String> = (0..23).map(|n| format!("a/user{n}@example.com")).collect();
    assert_eq!(keys, all.into_iter().collect::<Vec<_>>());
    let lines = ledger.journal(29, 10).expect("readable");
    assert_eq!(lines.iter().map(|line| line.0).collect::<Vec<_>>(), [29, 30]);
    assert!(lines[0].1.starts_with("{\"seq\":29,\"id\":\"id-29\",\"type\":\"result\""));
    let status = ledger.status();
    assert_eq!((status.first_seq, status.last_seq, status.folded_seq), (1, 30, 30));
    assert_eq!(ledger.commit(&mut []), Ok(Vec::new()));
}

#[test]
fn the_same_message_is_committed_once() {
    let dir = tempfile::tempdir().expect("scratch");
    let mut ledger = open(dir.path());
    let again = |n: u64, later_ms: i64| {
        let mut event = event(n);
        event.id = format!("other-{n}");
        event.received_at = event.received_at.plus_millis(later_ms);
        event
    };
    // Also within a batch.
    let committed = ledger.commit(&mut [event(1), again(1, 5), event(2)]).expect("committed");
    let seen: Vec<_> = committed.iter().map(|c| (c.seq, &c.id[..], c.duplicate)).collect();
    assert_eq!(seen, [(1, "id-1", false), (1, "id-1", true), (2, "id-2", false)]);
    const WEEK: i64 = 7 * 86_400_000;
    for round in 0..3 {
        let committed = ledger.commit(&mut [again(1, WEEK), again(2, -5)]).expect("committed");
        assert!(committed.iter().all(|c| c.duplicate && c.seq <= 2), "round {round}");
        drop(ledger);
        if round == 1 {
            std::fs::remove_dir_all(dir.path().join("view")).expect("removed");
        }
        ledger = open(dir.path());
    }
    let committed =
        ledger.commit(&mut [again(1, WEEK + 1), again(1, WEEK + 2)]).expect("committed");
    let seen: Vec<_> = committed.iter().map(|c| (c.seq, &c.id[..], c.duplicate)).collect();
    assert_eq!(seen, [(3, "other-1", false), (3, "other-1", true)]);
    // Without a digest nothing is a duplicate.
    let bare = Event { digest: None, ..event(1) };
    assert!(!ledger.commit(&mut [bare]).expect("committed")[0].duplicate);
    assert_eq!(count(&ledger, "total"), 4);
}

#[test]
fn deleting_the_view_gives_the_same_state() {
    let dir = tempfile::tempdir().expect("scratch");
    let ledger = open(dir.path());
    ledger.commit(&mut events(1..301)).expect("committed");
    let before_checkpoint = ledger.digest().expect("ready");
    ledger.checkpoint(Timestamp::from_millis(START)).expect("written");
    assert_eq!(ledger.digest().expect("ready"), before_checkpoint);
    ledger.commit(&mut events(301..401)).expect("committed");
    let digest = ledger.digest().expect("ready");
    assert_ne!(digest, before_checkpoint);
    drop(ledger);
    let checkpoint = files(&dir.path().join("checkpoint")).remove(0);
    let view = dir.path().join("view");
    // From the view, from checkpoint and journal, from the journal alone, from a broken checkpoint.
    for round in ["reopen", "no view", "no checkpoint", "broken checkpoint"] {
        match round {
            "no view" => std::fs::remove_dir_all(&view).expect("removed"),
            "no checkpoint" => {
                std::fs::remove_dir_all(&view).expect("removed");
                std::fs::remove_file(&checkpoint).expect("removed");
            }
            "broken checkpoint" => {
                std::fs::remove_dir_all(&view).expect("removed");
                std::fs::write(&checkpoint, b"BNCCKPT1 and nothing of use").expect("written");
            }
            _ => {}
        }
        let ledger = open(dir.path());
        assert_eq!(ledger.digest().expect("ready"), digest, "{round}");
        assert_eq!(count(&ledger, "total"), 400, "{round}");
    }
}

#[test]
fn flipped_octets_in_sled_never_change_the_state() {
    let dir = tempfile::tempdir().expect("scratch");
    let ledger = open(dir.path());
    // Enough for several segments of sled's: damage in the last one only sets it back.
    for batch in 0..10 {
        ledger.commit(&mut events(batch * 300 + 1..batch * 300 + 301)).expect("committed");
    }
    ledger.settle().expect("moved");
    let digest = ledger.digest().expect("ready");
    drop(ledger);
    let view = dir.path().join("view");
    let db = files(&view).into_iter().find(|file| file.ends_with("db")).expect("sled's file");
    let length = std::fs::metadata(&db).expect("there").len() as usize;
    let mut rebuilt = 0;
    for round in 0..16 {
        let hit = tempfile::tempdir().expect("scratch");
        copy(dir.path(), hit.path());
        let file = hit.path().join(db.strip_prefix(dir.path()).expect("below"));
        let mut octets = std::fs::read(&file).expect("read");
        match round {
            // A cut tail, an empty file, no file at all.
            0 => octets.truncate(length / 2),
            1 => octets.clear(),
            // In the newest place that holds a row: most of the file is old versions of pages.
            _ => {
                let row = format!("id-{}", round * 180);
                let at = octets.windows(row.len()).rposition(|octets| octets == row.as_bytes());
                octets[at.expect("the row is in sled") + 1] ^= 1 << (round % 8);
            }
        }
        std::fs::write(&file, octets).expect("written");
        let ledger = open(hit.path());
        assert_eq!(ledger.digest().expect("ready"), digest, "round {round}");
        ledger.commit(&mut events(5000..5010)).expect("committed");
        assert_eq!(count(&ledger, "total"), 3010, "round {round}");
        drop(ledger);
        rebuilt += usize::from(!file.exists());
    }
    // How many octets were live is up to sled; that none was found would be our fault.
    assert!(rebuilt > 0, "none of 16 changes was found: were they real?");
}

#[test]
fn flipped_octets_in_a_checkpoint_never_change_the_state() {
    let dir = tempfile::tempdir().expect("scratch");
    let ledger = open(dir.path());
    for batch in 0..3 {
        ledger.commit(&mut events(batch * 300 + 1..batch * 300 + 301)).expect("committed");
        if batch < 2 {
            ledger.checkpoint(Timestamp::from_millis(START)).expect("written");
        }
    }
    ledger.settle().expect("moved");
    let digest = ledger.digest().expect("ready");
    drop(ledger);
    let newest = files(&dir.path().join("checkpoint")).pop().expect("two");
    let length = std::fs::metadata(&newest).expect("there").len() as usize;
    for round in 0..12 {
        let hit = tempfile::tempdir().expect("scratch");
        copy(dir.path(), hit.path());
        let file = hit.path().join(newest.strip_prefix(dir.path()).expect("below"));
        let mut octets = std::fs::read(&file).expect("read");
        match round {
            0 => octets.truncate(length / 2),
            1 => octets.clear(),
            _ => octets[length * (round - 2) / 10 + 3] ^= 1 << (round % 8),
        }
        std::fs::write(&file, octets).expect("written");
        let ledger = open(hit.path());
        // Blocks are looked at beside the traffic, and whenever one is asked.
        let is_reported =
            || ledger.status().troubles.iter().any(|t| t.kind.as_str() == "checkpoint");
        let until = std::time::Instant::now() + Duration::from_secs(20);
        while !is_reported() && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(is_reported(), "round {round}: {:?}", ledger.status());
        assert!(ledger.wait_ready(Duration::from_secs(20)), "round {round}");
        assert_eq!(ledger.digest().expect("ready"), digest, "round {round}");
        ledger.commit(&mut events(5000..5010)).expect("committed");
        assert_eq!(count(&ledger, "total"), 910, "round {round}");
    }
}

#[test]
fn flipped_octets_in_the_journal_cost_one_record_at_most() {
    let dir = tempfile::tempdir().expect("scratch");
    let ledger = open(dir.path());
    ledger.commit(&mut events(1..101)).expect("committed");
    ledger.checkpoint(Timestamp::from_millis(START)).expect("written");
    drop(ledger);
    let newest = journal_files(dir.path()).pop().expect("a segment");
    let length = std::fs::metadata(&newest).expect("there").len() as usize;
    let text = std::fs::read(&newest).expect("read");
    let header = text.iter().position(|octet| *octet == b'\n').expect("a header") + 1;
    for (round, at) in [header, length / 3, length / 2, length - 3].into_iter().enumerate() {
        let hit = tempfile::tempdir().expect("scratch");
        copy(dir.path(), hit.path());
        let file = hit.path().join(newest.strip_prefix(dir.path()).expect("below"));
        let mut octets = std::fs::read(&file).expect("read");
        octets[at] ^= 0x10;
        std::fs::write(&file, octets).expect("written");
        let ledger = open(hit.path());
        assert_eq!(ledger.status().damaged, 1, "round {round}");
        assert_eq!(ids(&ledger).len(), 99, "round {round}");
        // The view had folded it already: nothing is lost there.
        assert_eq!(count(&ledger, "total"), 100, "round {round}");
        let committed = ledger.commit(&mut events(101..102)).expect("committed");
        assert_eq!(committed[0].seq, 101, "round {round}: no position is used twice");
    }
}

#[test]
fn what_a_crash_leaves_behind_is_cleared_away() {
    let dir = tempfile::tempdir().expect("scratch");
    let ledger = open(dir.path());
    ledger.commit(&mut events(1..101)).expect("committed");
    ledger.checkpoint(Timestamp::from_millis(START)).expect("written");
    let digest = ledger.digest().expect("ready");
    drop(ledger);
    let view = dir.path().join("view");
    let generation =
        std::fs::read_dir(&view).expect("there").next().expect("one").expect("ok").path();
    // sled was killed while it opened; a checkpoint and a rebuild were not finished; a torn write.
    std::fs::write(generation.join("snap.0000000000000F00.generating"), b"half").expect("written");
    let part = dir.path().join("checkpoint/00000000000000000100.part");
    std::fs::write(&part, b"half").expect("written");
    let newest = journal_files(dir.path()).pop().expect("a segment");
    let mut file = std::fs::OpenOptions::new().append(true).open(&newest).expect("open");
    file.write_all(b"0123abcd 500 101 {\"seq\":101,\"id\":\"never").expect("written");
    drop(file);
    let ledger = open(dir.path());
    assert_eq!(ledger.digest().expect("ready"), digest);
    assert_eq!((ids(&ledger).len(), ledger.status().damaged), (100, 0));
    assert!(generation.exists() && !part.exists());
    assert_eq!(ledger.commit(&mut events(101..102)).expect("committed")[0].seq, 101);
    drop(ledger);
    // A later generation without a meta row: a rebuild was killed.
    copy(&generation, &view.join("7"));
    std::fs::remove_file(view.join("7/db")).expect("removed");
    let ledger = open(dir.path());
    assert_eq!(count(&ledger, "total"), 101);
    assert!(!generation.exists() && !view.join("7").exists());
}

#[test]
fn a_second_instance_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().expect("scratch");
    let first = open(dir.path());
    let second = SledLedger::open(options(dir.path()), Box::new(Counting));
    let refused = second.err().expect("taken").to_string();
    assert!(refused.contains("is in use by process"), "{refused}");
    drop(first);
    open(dir.path());
}

#[test]
fn a_snapshot_of_a_running_directory_opens_with_all_that_was_acknowledged() {
    let dir = tempfile::tempdir().expect("scratch");
    let mut first = options(dir.path());
    first.checkpoint_every = 100;
    let ledger = SledLedger::open(first, Box::new(Counting)).expect("a start");
    for round in 0..8 {
        let from = 1 + round * 60;
        for batch in events(from..from + 60).chunks(9) {
            ledger.commit(&mut batch.to_vec()).expect("committed");
        }
        // Not atomic, and while the keeper works: sled's files come out torn. The journal last.
        let snapshot = tempfile::tempdir().expect("scratch");
        for part in ["view", "checkpoint", "journal"] {
            if dir.path().join(part).exists() {
                copy_what_stays(&dir.path().join(part), &snapshot.path().join(part));
            }
        }
        let copied = open(snapshot.path());
        assert_eq!(ids(&copied).len() as u64, from + 59, "round {round}");
        assert_eq!(copied.digest(), ledger.digest(), "round {round}");
    }
}

/// Like `copy`, for files that may go away meanwhile.
fn copy_what_stays(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("below"));
        std::fs::create_dir_all(target.parent().expect("has one")).expect("created");
        let _ = std::fs::copy(&file, &target);
    }
}

#[test]
fn old_segments_go_behind_two_checkpoints_and_the_state_stays() {
    let dir = tempfile::tempdir().expect("scratch");
    let mut short = options(dir.path());
    short.keep = Duration::from_secs(50);
    let ledger = SledLedger::open(short.clone(), Box::new(Counting)).expect("a start");
    let now = Timestamp::from_millis(START + 1_000_000_000);
    ledger.commit(&mut events(1..101)).expect("committed");
    ledger.checkpoint(now).expect("written");
    assert_eq!(ledger.status().first_seq, 1, "one checkpoint is not enough");
    for from in [101, 201, 301] {
        ledger.commit(&mut events(from..from + 100)).expect("committed");
        ledger.checkpoint(now).expect("written");
    }
    let first = ledger.status().first_seq;
    assert!(first > 100 && first <= 301, "{first}");
    // The older one of both kept checkpoints and the journal must still be everything.
    assert_eq!(files(&dir.path().join("checkpoint")).len(), 2);
    let digest = ledger.digest().expect("ready");
    assert_eq!(count(&ledger, "total"), 400);
    drop(ledger);
    std::fs::remove_dir_all(dir.path().join("view")).expect("removed");
    let newest = files(&dir.path().join("checkpoint")).pop().expect("two");
    std::fs::write(newest, b"damaged").expect("written");
    let ledger = SledLedger::open(short, Box::new(Counting)).expect("a start");
    assert_eq!(ledger.digest().expect("ready"), digest);
    assert_eq!(count(&ledger, "total"), 400);
    let history = ledger.history("user7@example.com", 100).expect("ready");
    assert!(!history.is_empty() && history.iter().all(|event| event.seq >= first));
}

/// Not a test of its own: the process that `kill_9_loses_nothing` kills. Commits as fast as it
/// can and prints the number of each event after it was acknowledged.
#[test]
fn child_that_is_killed() {
    let Ok(dir) = std::env::var("CRASH_TEST_DIR") else { return };
    let mut options = options(Path::new(&dir));
    options.checkpoint_every = 200;
    let ledger = SledLedger::open(options, Box::new(Counting)).expect("a start");
    let from = ledger.status().last_seq + 1;
    let ledger: Arc<dyn Ledger> = Arc::new(ledger);
    let committer =
        Committer::start(ledger, CommitterOptions::default(), |_| {}).expect("a thread");
    let (answered, answers) = std::sync::mpsc::sync_channel(32);
    let mut waiting = 0;
    for n in from.. {
        let answered = answered.clone();
        // Event n may be the one that the last life committed without saying so: a duplicate.
        let reply = Box::new(move |result: Result<bounced::ledger::Committed, _>| {
            let _ = answered.send((n, result.map(|c| c.id)));
        });
        committer.submit(event(n), reply).expect("room");
        waiting += 1;
        if waiting == 16 {
            for _ in 0..std::mem::take(&mut waiting) {
                let (n, id) = answers.recv().expect("an answer");
                assert_eq!(id, Ok(format!("id-{n}")));
                println!("\nacknowledged {n}");
            }
        }
    }
}

#[test]
fn kill_9_loses_nothing() {
    let dir = tempfile::tempdir().expect("scratch");
    let mut acknowledged = BTreeSet::new();
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child_that_is_killed", "--nocapture", "--test-threads=1"])
            .env("CRASH_TEST_DIR", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        let output = std::io::BufReader::new(child.stdout.take().expect("piped"));
        let before = acknowledged.len();
        for line in output.lines().map_while(Result::ok) {
            if let Some(n) = line.strip_prefix("acknowledged ") {
                acknowledged.insert(n.parse::<u64>().expect("a number"));
            }
            // Another moment each round, also while checkpoints are written.
            if acknowledged.len() >= before + 150 + round * 131 {
                child.kill().expect("killed");
            }
        }
        child.wait().expect("gone");
        assert!(acknowledged.len() > before, "round {round}: nothing was acknowledged");
        let copied = tempfile::tempdir().expect("scratch");
        copy(dir.path(), copied.path());
        let ledger = open(copied.path());
        let mut times: BTreeMap<String, u32> = BTreeMap::new();
        for id in ids(&ledger) {
            *times.entry(id).or_default() += 1;
        }
        assert!(times.values().all(|times| *times == 1), "round {round}: an event came twice");
        let lost = acknowledged.iter().filter(|n| !times.contains_key(&format!("id-{n}"))).count();
        assert_eq!(lost, 0, "round {round}");
        assert_eq!(count(&ledger, "total"), times.len() as u64, "round {round}");
        let digest = ledger.digest().expect("ready");
        drop(ledger);
        std::fs::remove_dir_all(copied.path().join("view")).expect("removed");
        assert_eq!(open(copied.path()).digest().expect("ready"), digest, "round {round}");
    }
}

#[test]
fn a_full_disk_refuses_and_recovers_without_a_restart() {
    let dir = tempfile::tempdir().expect("scratch");
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=6m", "bounced-test"])
        .arg(dir.path())
        .stderr(Stdio::null())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        eprintln!("a full disk was not tried: mounting a tmpfs needs root");
        return;
    }
    let outcome = std::panic::catch_unwind(|| fill_and_free(dir.path()));
    let unmounted = Command::new("umount").arg("-l").arg(dir.path()).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    outcome.expect("see above");
}

fn fill_and_free(dir: &Path) {
    for min_free in [256 << 10, 0] {
        let data = dir.join(min_free.to_string());
        let mut options = options(&data);
        options.min_free_bytes = min_free;
        options.segment_bytes = 1 << 20;
        let ledger = SledLedger::open(options, Box::new(Counting)).expect("a start");
        let ballast = dir.join("ballast");
        let mut acknowledged = 0;
        let mut next = 1;
        for round in 0..3 {
            let mut file = std::fs::File::create(&ballast).expect("created");
            while file.write_all(&[0; 4096]).is_ok() {}
            drop(file);
            let mut full = 0;
            while full < 3 {
                match ledger.commit(&mut events(next..next + 5)) {
                    Ok(_) => acknowledged += 5,
                    Err(LedgerError::Full(_) | LedgerError::Retryable(_)) => full += 1,
                    Err(other) => panic!("{other}"),
                }
                next += 5;
                assert!(next < 100_000, "the disk never got full");
            }
            std::fs::remove_file(&ballast).expect("removed");
            let freed = (0..200).any(|_| {
                // A rebuild may be on its way when sled itself met the full disk.
                ledger.wait_ready(Duration::from_secs(60));
                let committed = ledger.commit(&mut events(next..next + 5)).is_ok();
                next += 5;
                acknowledged += if committed { 5 } else { 0 };
                committed
            });
            assert!(freed, "round {round}, min_free {min_free}: {:?}", ledger.status());
        }
        let digest = ledger.digest().expect("ready");
        assert_eq!(ids(&ledger).len() as u64, acknowledged);
        assert_eq!(count(&ledger, "total"), acknowledged);
        drop(ledger);
        let ledger = SledLedger::open(
            Options { open_patience: Duration::from_secs(60), ..self::options(&data) },
            Box::new(Counting),
        )
        .expect("a start");
        assert_eq!(ledger.digest().expect("ready"), digest);
        drop(ledger);
        std::fs::remove_dir_all(&data).expect("removed");
    }
}

/// Rebuilds must say what they lack, and a view or checkpoint that still knows it must stay.
#[test]
fn what_is_lost_is_said_and_what_is_still_known_stays() {
    let (whole, before) =
        (tempfile::tempdir().expect("scratch"), tempfile::tempdir().expect("scratch"));
    let mut ledger = open(whole.path());
    for from in (1..301).step_by(10) {
        ledger.commit(&mut events(from..from + 10)).expect("committed");
        if from == 141 {
            ledger.checkpoint(Timestamp::from_millis(START)).expect("written");
            drop(ledger);
            copy(whole.path(), before.path());
            ledger = open(whole.path());
        }
    }
    // Until the view on disk has them all.
    std::thread::sleep(Duration::from_millis(600));
    drop(ledger);
    let ledger = open(whole.path());
    ledger.settle().expect("a healthy disk");
    drop(ledger);
    let segments = journal_files(whole.path());
    assert!(segments.len() > 4);
    let of =
        |dir: &Path, n: usize| dir.join(segments[n].strip_prefix(whole.path()).expect("below"));
    let newest = segments.len() - 1;
    let flip = |file: PathBuf| {
        let mut octets = std::fs::read(&file).expect("read");
        let at = octets.len() / 2;
        octets[at] ^= 0x10;
        std::fs::write(&file, octets).expect("written");
    };
    type Harm<'a> = (&'a str, Box<dyn Fn(&Path) + 'a>, u64, bool);
    let harms: Vec<Harm<'_>> = vec![
        ("journal-damaged", Box::new(|dir| flip(of(dir, 1))), 1, false),
        ("journal-damaged", Box::new(|dir| flip(of(dir, newest - 1))), 1, false),
        (
            "journal-missing",
            Box::new(|dir| std::fs::remove_file(of(dir, 2)).expect("gone")),
            9,
            false,
        ),
        (
            "journal-cut",
            Box::new(|dir| {
                std::fs::remove_file(of(dir, newest)).expect("gone");
            }),
            1,
            false,
        ),
        (
            "journal-cut",
            Box::new(|dir| {
                std::fs::remove_dir_all(dir.join("journal")).expect("gone");
            }),
            300,
            false,
        ),
        // The view still knows how far it went, and stands on a checkpoint that is gone.
        (
            "state-lost",
            Box::new(|dir| {
                std::fs::remove_dir_all(dir.join("journal")).expect("gone");
                std::fs::remove_dir_all(dir.join("checkpoint")).expect("gone");
            }),
            0,
            true,
        ),
        // The view on disk is of before, and the end of the journal is gone with the checkpoints.
        (
            "state-lost",
            Box::new(|dir| {
                for segment in 0..=newest {
                    std::fs::remove_file(of(dir, segment)).expect("gone");
                }
                for name in ["checkpoint", "view"] {
                    std::fs::remove_dir_all(dir.join(name)).expect("gone");
                    copy(&before.path().join(name), &dir.join(name));
                }
            }),
            0,
            true,
        ),
        // All of it is gone.
        (
            "state-lost",
            Box::new(|dir| {
                for name in ["journal", "checkpoint", "view"] {
                    std::fs::remove_dir_all(dir.join(name)).expect("gone");
                }
            }),
            0,
            true,
        ),
        // Nothing knows it any more: neither a view nor a checkpoint.
        (
            "state-lost",
            Box::new(|dir| {
                flip(of(dir, newest - 1));
                std::fs::remove_dir_all(dir.join("view")).expect("gone");
            }),
            1,
            true,
        ),
        (
            "state-lost",
            Box::new(|dir| {
                std::fs::remove_file(of(dir, 0)).expect("gone");
                std::fs::remove_dir_all(dir.join("view")).expect("gone");
                std::fs::remove_dir_all(dir.join("checkpoint")).expect("gone");
            }),
            0,
            true,
        ),
    ];
    for (what, harm, lost, forgotten) in harms {
        let dir = tempfile::tempdir().expect("scratch");
        copy(whole.path(), dir.path());
        harm(dir.path());
        let ledger = open(dir.path());
        // Old segments are looked at beside the traffic.
        let until = std::time::Instant::now() + Duration::from_secs(20);
        let is_reported = |kind: &str| {
            ledger.status().troubles.iter().any(|trouble| trouble.kind.as_str() == kind)
        };
        while !is_reported(what) && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        let status = ledger.status();
        assert!(is_reported(what), "{what}: {:?}", status.troubles);
        assert!(status.damaged >= lost, "{what}: {status:?}");
        assert_eq!(count(&ledger, "total") == 300, !forgotten, "{what}: {status:?}");
        // What the view still knows gets into a checkpoint.
        let kept = || {
            let names = files(&dir.path().join("checkpoint")).into_iter();
            names.filter_map(|f| f.file_stem()?.to_str()?.parse::<u64>().ok()).max()
        };
        while !forgotten && kept() < Some(300) && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        // No position is used twice, and it goes on.
        let committed = ledger.commit(&mut events(1000..1001)).expect("committed");
        assert!(committed[0].seq >= 301, "{what}: {committed:?}");
        drop(ledger);
        if !forgotten {
            // A checkpoint was written meanwhile: the view may go.
            std::fs::remove_dir_all(dir.path().join("view")).expect("gone");
            assert_eq!(count(&open(dir.path()), "total"), 301, "{what}: without a view");
            continue;
        }
        // Said until a person says that it was seen to, and nothing says that it is kept.
        for start in 2..4 {
            let troubles = open(dir.path()).status().troubles;
            let kinds: Vec<&str> = troubles.iter().map(|t| t.kind.as_str()).collect();
            assert!(kinds.contains(&"state-lost"), "{what}, start {start}: {kinds:?}");
            let kept = troubles.iter().any(|t| t.text.contains("stands in view"));
            assert!(!kept, "{what}, start {start}: {troubles:?}");
        }
        std::fs::remove_file(dir.path().join("lost-records")).expect("written down");
        let kinds: Vec<_> = open(dir.path()).status().troubles.iter().map(|t| t.kind).collect();
        assert!(!kinds.iter().any(|kind| kind.as_str() == "state-lost"), "{what}: {kinds:?}");
    }
}

#[test]
fn nobody_else_may_read_what_is_stored() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("scratch");
    let ledger = open(dir.path());
    ledger.commit(&mut events(1..31)).expect("committed");
    drop(ledger);
    let open_to_all = |path: &Path| {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    for file in files(dir.path()) {
        open_to_all(&file);
        file.ancestors().take_while(|path| path.starts_with(dir.path())).for_each(open_to_all);
    }
    let ledger = open(dir.path());
    ledger.commit(&mut events(31..61)).expect("committed");
    ledger.checkpoint(Timestamp::from_millis(START)).expect("written");
    let closed = || {
        for file in files(dir.path()) {
            for path in file.ancestors().take_while(|path| path.starts_with(dir.path())) {
                let mode = std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
                assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
            }
        }
    };
    closed();
    drop(ledger);
    closed();
}
