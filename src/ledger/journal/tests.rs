//! The journal on a disk that fails: every operation of a trace is once the last one, and once the
//! one that fails.

use std::sync::Arc;

use super::segment::Segment;
use super::simulated::{DiskFault, SimulatedDisk};
use super::*;
use crate::ledger::TroubleKind;

/// Small segments, so that a trace of 200 records begins several.
const SEGMENT: u64 = 2500;
const RECORDS: u64 = 200;

fn json(seq: u64) -> String {
    let padding = "x".repeat((seq * 37 % 120) as usize);
    format!("{{\"seq\":{seq},\"padding\":\"{padding}\"}}")
}

/// Batches of 1 to 7 records.
fn batch(from: u64, last: u64) -> Batch {
    let mut batch = Batch::default();
    for seq in from..=last.min(from + from % 7) {
        batch.push(seq, json(seq).as_bytes()).expect("fit");
    }
    batch
}

/// Appends until `last`, gives the position acknowledged last and the one tried last.
fn run(journal: &mut Segments, last: u64, tries: usize) -> (u64, u64) {
    let (mut acknowledged, mut tried) = (journal.next_seq() - 1, 0);
    let mut left = tries;
    while acknowledged < last && left > 0 {
        let batch = batch(acknowledged + 1, last);
        tried = batch.places.last().expect("not empty").0;
        match journal.append(&batch) {
            Ok(()) => acknowledged = tried,
            Err(_) => left -= 1,
        }
    }
    (acknowledged, tried)
}

fn open(disk: &SimulatedDisk) -> Segments {
    Segments::open(Arc::new(disk.clone()), SEGMENT, 0).expect("open")
}

fn all(journal: &Segments) -> Vec<(u64, String)> {
    journal.reader().read(1, usize::MAX).expect("read")
}

fn expected(last: u64) -> Vec<(u64, String)> {
    (1..=last).map(|seq| (seq, json(seq))).collect()
}

#[test]
fn a_trace_is_read_back_from_any_position() {
    let disk = SimulatedDisk::new(1);
    let mut journal = open(&disk);
    assert_eq!(run(&mut journal, RECORDS, 1).0, RECORDS);
    assert!(journal.reader().segment_starts().len() > 5);
    for reader in [journal.reader(), open(&disk).reader()] {
        for from in 1..=RECORDS {
            let read = reader.read(from, 3).expect("read");
            let want: Vec<_> = (from..=RECORDS.min(from + 2)).map(|seq| (seq, json(seq))).collect();
            assert_eq!(read, want, "from {from}");
            assert_eq!(reader.at(from).expect("read"), Some(json(from)));
        }
        assert_eq!(reader.at(RECORDS + 1).expect("read"), None);
        assert_eq!(reader.damaged(), 0);
    }
}

#[test]
fn power_off_at_every_operation_loses_nothing_acknowledged() {
    let disk = SimulatedDisk::new(0);
    run(&mut open(&disk), RECORDS, 1);
    let operations = disk.operations();
    assert!(operations > 100);
    let mut kept_unacknowledged = 0;
    for k in 1..=operations {
        for seed in 0..4 {
            let disk = SimulatedDisk::new(k * 4 + seed);
            disk.fail(k, 1, DiskFault::Crash);
            let opened = Segments::open(Arc::new(disk.clone()), SEGMENT, 0);
            let (acknowledged, tried) =
                opened.map_or((0, 0), |mut journal| run(&mut journal, RECORDS, 1));
            disk.reboot();
            let mut journal = open(&disk);
            let found = all(&journal);
            for (seq, text) in &found {
                assert!(*seq <= tried.max(acknowledged), "phantom {seq} (crash at {k}/{seed})");
                assert_eq!(*text, json(*seq), "crash at {k}/{seed}");
            }
            let whole: Vec<_> = found.iter().filter(|r| r.0 <= acknowledged).cloned().collect();
            assert_eq!(whole, expected(acknowledged), "crash at {k}/{seed}");
            kept_unacknowledged += found.len() - whole.len();
            // And it goes on from there, without using a position twice.
            let (last, _) = run(&mut journal, RECORDS, 1);
            assert_eq!(last, RECORDS.max(journal.next_seq() - 1), "crash at {k}/{seed}");
            let seqs: Vec<_> = all(&journal).iter().map(|record| record.0).collect();
            assert!(seqs.is_sorted_by(|a, b| a < b), "crash at {k}/{seed}: {seqs:?}");
        }
    }
    assert!(kept_unacknowledged > 0, "the disk never kept an unsynced write: no tearing was tried");
}

#[test]
fn a_newest_segment_that_somebody_removes_is_written_again() {
    let disk = SimulatedDisk::new(0);
    let mut journal = open(&disk);
    let (last, _) = run(&mut journal, 20, 1);
    let newest = Segment::file_name(*journal.reader().segment_starts().last().expect("one"));
    let before = disk.operations();
    let remove = |disk: &SimulatedDisk| {
        disk.remove(&newest).expect("removed");
        disk.sync_dir("journal").expect("synced");
    };
    remove(&disk);
    journal.append(&batch(last + 1, last + 1)).expect("written again");
    assert_eq!(all(&journal), expected(last + 1));
    let operations = disk.operations() - before;
    disk.reboot();
    assert_eq!(all(&open(&disk)), expected(last + 1));

    // Each step of it fails once: nothing is given up, and the next try writes it again.
    for (k, fault) in (1..=operations).flat_map(|k| [(k, DiskFault::Broken), (k, DiskFault::Full)])
    {
        let disk = SimulatedDisk::new(k);
        let mut journal = open(&disk);
        let (last, _) = run(&mut journal, 20, 1);
        remove(&disk);
        disk.fail(disk.operations() + k, 1, fault);
        let (end, _) = run(&mut journal, last + 1, 3);
        disk.heal();
        assert_eq!(end, last + 1, "{fault:?} at {k}");
        assert_eq!(all(&journal), expected(last + 1), "{fault:?} at {k}");
        disk.reboot();
        assert_eq!(all(&open(&disk)), expected(last + 1), "{fault:?} at {k}");
    }
}

#[test]
fn a_segment_that_somebody_removes_while_it_runs_is_said_once() {
    let disk = SimulatedDisk::new(0);
    let mut journal = open(&disk);
    run(&mut journal, RECORDS, 1);
    let reader = journal.reader();
    reader.look_for_missing().expect("looked");
    assert_eq!(reader.damaged(), 0);
    journal.remove_through(reader.segment_starts()[1]).expect("in order");
    reader.look_for_missing().expect("looked");
    assert_eq!(reader.damaged(), 0, "what goes in order is no loss");
    let [from, next] = reader.segment_starts()[1..3] else { panic!("several") };
    disk.remove(&Segment::file_name(from)).expect("removed");
    for _ in 0..2 {
        reader.look_for_missing().expect("looked");
        assert_eq!(reader.damaged(), next - from);
        assert_eq!(reader.troubles()[0].seqs, Some((from, next - 1)));
    }
}

#[test]
fn a_failure_at_every_operation_is_answered_and_healed() {
    let disk = SimulatedDisk::new(0);
    run(&mut open(&disk), RECORDS, 1);
    for k in 1..=disk.operations() {
        for (count, fault) in [(1, DiskFault::Broken), (1, DiskFault::Full), (4, DiskFault::Broken)]
        {
            let disk = SimulatedDisk::new(k);
            disk.fail(k, count, fault);
            // The first operations belong to the start: that may fail, the next one must not.
            let tries = || Segments::open(Arc::new(disk.clone()), SEGMENT, 0);
            let mut journal = (0..4).find_map(|_| tries().ok()).unwrap_or_else(|| open(&disk));
            let (last, _) = run(&mut journal, RECORDS, 10);
            assert_eq!(last, RECORDS, "{fault:?} at {k}");
            assert_eq!(all(&journal), expected(RECORDS), "{fault:?} at {k}");
            drop(journal);
            // What was acknowledged after the failure is on the platter, too.
            disk.reboot();
            assert_eq!(all(&open(&disk)), expected(RECORDS), "{fault:?} at {k}, then power off");
        }
    }
}

#[test]
fn errors_say_what_the_caller_can_do() {
    for (fault, count, want) in [
        (DiskFault::Full, 1, "the disk is full"),
        (DiskFault::Broken, 1, "the ledger is not ready"),
        (DiskFault::Broken, 100, "the outcome of a commit is unknown"),
    ] {
        let disk = SimulatedDisk::new(5);
        let mut journal = open(&disk);
        run(&mut journal, 10, 1);
        // The next operations are the write and the sync; let the sync fail.
        disk.fail(disk.operations() + 2, count, fault);
        let error = journal.append(&batch(journal.next_seq(), 20)).expect_err("it fails");
        assert!(error.to_string().starts_with(want), "{error}");
    }
}

#[test]
fn a_flipped_octet_costs_one_record_and_no_position() {
    let name = "journal/00000000000000000001.journal";
    let disk = SimulatedDisk::new(9);
    run(&mut open(&disk), 12, 1);
    let length = disk.contents(name).len();
    let header = disk.contents(name).iter().position(|o| *o == b'\n').expect("a header") + 1;
    for at in 0..length {
        let disk = SimulatedDisk::new(9);
        run(&mut open(&disk), 12, 1);
        disk.flip(name, at);
        let mut journal = open(&disk);
        let found = all(&journal);
        let line_end = at + 1 == length || disk.contents(name).get(at) == Some(&(b'\n' ^ 0x04));
        let lost = 12 - found.len();
        assert_eq!(lost, usize::from(!line_end && at >= header), "flipped {at}");
        // A damaged header costs no record, and is counted all the same.
        let damaged = journal.reader().damaged();
        assert!(damaged >= u64::from(!line_end) && damaged <= 2, "flipped {at}: {damaged}");
        assert_eq!(journal.reader().troubles().len() as u64, damaged.min(1), "flipped {at}");
        assert!(found.iter().all(|(seq, text)| *text == json(*seq)), "flipped {at}");
        // A line end that appeared inside a record may cost a position more, never one less.
        assert!((13..=14).contains(&journal.next_seq()), "flipped {at}: {}", journal.next_seq());
        let next = journal.next_seq();
        run(&mut journal, next, 1);
        assert_eq!(all(&open(&disk)).len(), found.len() + 1, "flipped {at}");
    }
}

#[test]
fn a_record_that_is_damaged_after_it_was_read_is_noticed() {
    let disk = SimulatedDisk::new(9);
    run(&mut open(&disk), 40, 1);
    let starts = open(&disk).reader().segment_starts();
    assert!(starts.len() > 1);
    // The oldest segment and the one that is appended to.
    for first in [starts[0], starts[starts.len() - 1]] {
        let name = Segment::file_name(first);
        let length = disk.contents(&name).len();
        for at in 0..length {
            let disk = SimulatedDisk::new(9);
            run(&mut open(&disk), 40, 1);
            let mut journal = open(&disk);
            assert_eq!((all(&journal).len(), journal.reader().damaged()), (40, 0));
            disk.flip(&name, at.min(disk.contents(&name).len() - 1));
            let found = all(&journal);
            let missing: Vec<u64> =
                (1..=40).filter(|n| !found.iter().any(|(seq, _)| seq == n)).collect();
            assert!(missing.len() <= 2, "flipped {at}: {missing:?}");
            let troubles = journal.reader().troubles();
            let said = troubles.first().and_then(|trouble| trouble.seqs);
            assert_eq!(said, missing.first().copied().zip(missing.last().copied()), "{at}");
            assert_eq!(journal.reader().damaged(), missing.len() as u64, "flipped {at}");
            run(&mut journal, 41, 1);
            assert_eq!(all(&journal).len(), found.len() + 1, "flipped {at}");
            assert_eq!(journal.reader().troubles(), troubles, "flipped {at}: it is said once");
        }
    }
}

#[test]
fn old_segments_go_and_the_position_stays() {
    let disk = SimulatedDisk::new(3);
    let mut journal = open(&disk);
    run(&mut journal, RECORDS, 1);
    let starts = journal.reader().segment_starts();
    let third = starts[2];
    // One short of the whole second segment: only the first may go.
    assert_eq!(journal.remove_through(third - 2).expect("remove"), 1);
    assert_eq!(journal.remove_through(third - 1).expect("remove"), 1);
    assert_eq!(all(&journal), expected(RECORDS)[third as usize - 1..]);
    assert_eq!(journal.remove_through(u64::MAX - 1).expect("remove"), starts.len() as u64 - 3);
    drop(journal);
    assert!(open(&disk).reader().troubles().is_empty(), "all of it went by the journal itself");
    // Without any segment the newest checkpoint tells where to go on.
    let empty = SimulatedDisk::new(4);
    let mut journal = Segments::open(Arc::new(empty.clone()), SEGMENT, 77).expect("open");
    assert_eq!((journal.next_seq(), journal.reader().last_seq()), (78, 77));
    assert_eq!(run(&mut journal, 90, 1).0, 90);
    assert_eq!(journal.reader().segment_starts().first(), Some(&78));
}

#[test]
fn an_oldest_segment_that_somebody_removed_is_missed() {
    let disk = SimulatedDisk::new(3);
    let mut journal = open(&disk);
    run(&mut journal, RECORDS, 1);
    let starts = journal.reader().segment_starts();
    journal.remove_through(starts[1] - 1).expect("removed by the journal itself");
    drop(journal);
    disk.remove(&Segment::file_name(starts[1])).expect("removed by somebody");
    for _ in 0..2 {
        let reader = open(&disk).reader();
        let missing: Vec<_> = reader.troubles().iter().map(|t| (t.kind, t.seqs)).collect();
        assert_eq!(missing, [(TroubleKind::JournalMissing, Some((starts[1], starts[2] - 1)))]);
        assert_eq!(reader.damaged(), starts[2] - starts[1]);
    }
    // Once a checkpoint holds what came after, nobody asks for them.
    open(&disk).remove_through(starts[3] - 1).expect("removed by the journal itself");
    assert!(open(&disk).reader().troubles().is_empty());
}

/// Appends one record and gives its position.
fn one(journal: &mut Segments) -> u64 {
    let seq = journal.next_seq();
    run(journal, seq, 1).0
}

#[test]
fn a_segment_that_was_named_and_never_begun_hides_nothing() {
    // The folder cannot be synced, or opened, after the new segment has its name: mail goes on in
    // the old one. Then a restart, and a person is erased.
    for (fault, step) in [(DiskFault::Broken, 5), (DiskFault::Files, 5), (DiskFault::Broken, 4)] {
        let disk = SimulatedDisk::new(1);
        let mut journal = open(&disk);
        run(&mut journal, 12, 1);
        disk.fail(disk.operations() + step, 1, fault);
        journal.seal().expect_err("the folder is not synced");
        disk.heal();
        assert_eq!(run(&mut journal, 42, 1).0, 42);
        drop(journal);
        let mut journal = open(&disk);
        assert_eq!(all(&journal), expected(42), "{fault:?} at {step}");
        journal.seal().expect("sealed");
        let reader = journal.reader();
        for first in reader.segment_starts() {
            let edit = |_, json: &str| Some(json.to_string());
            if let Some(new) = reader.rewrite(first, &mut { edit }).expect("rewritten") {
                journal.put_in_place(new).expect("in place");
            }
        }
        assert_eq!(all(&journal), expected(42), "{fault:?} at {step}, erased");
        assert_eq!(all(&open(&disk)), expected(42), "{fault:?} at {step}, erased, restarted");
    }
}

#[test]
fn strange_files_are_set_aside_and_lost_ones_are_told() {
    let whole = || {
        let disk = SimulatedDisk::new(2);
        let mut journal = open(&disk);
        run(&mut journal, RECORDS, 1);
        let starts = journal.reader().segment_starts();
        (disk, starts)
    };
    let other = SimulatedDisk::new(3);
    run(&mut open(&other), 30, 1);
    let foreign = other.contents("journal/00000000000000000001.journal");
    // Octets of nobody, and a segment of another journal, under names among and after ours.
    for octets in [&b"hello\n"[..], b"", &foreign] {
        for at in [2, 50, RECORDS, RECORDS + 1, RECORDS + 9] {
            let (disk, starts) = whole();
            if starts.contains(&at) {
                continue;
            }
            disk.plant(&Segment::file_name(at), octets);
            let mut journal = open(&disk);
            assert_eq!(all(&journal), expected(RECORDS), "{at}");
            assert_eq!(journal.reader().damaged(), 0, "{at}");
            let troubles = journal.reader().troubles();
            assert_eq!(troubles.len(), usize::from(!octets.is_empty()), "{at}: {troubles:?}");
            assert_eq!(one(&mut journal), RECORDS + 1, "{at}");
            assert_eq!(all(&open(&disk)), expected(RECORDS + 1), "{at}");
        }
    }
    // A segment that is gone, and one whose end is gone.
    let (disk, starts) = whole();
    let (gone, next) = (starts[2], starts[3]);
    disk.remove(&Segment::file_name(gone)).expect("there");
    let journal = open(&disk);
    assert_eq!(journal.reader().damaged(), next - gone);
    let troubles = journal.reader().troubles();
    assert_eq!(troubles[0].seqs, Some((gone, next - 1)));
    assert_eq!(troubles[0].kind, TroubleKind::JournalMissing);
    assert_eq!(all(&journal).len() as u64, RECORDS - (next - gone));
    let (disk, starts) = whole();
    let mut file = disk.open(&Segment::file_name(starts[1]), false).expect("there");
    let length = file.length().expect("known");
    file.truncate(length - 10).expect("cut");
    let journal = open(&disk);
    assert_eq!(journal.reader().damaged(), 1);
    assert_eq!(journal.reader().troubles()[0].seqs, Some((starts[2] - 1, starts[2] - 1)));
}

#[test]
fn a_journal_of_a_release_before_headers_is_read_and_goes_on() {
    let disk = SimulatedDisk::new(5);
    let mut journal = open(&disk);
    run(&mut journal, RECORDS, 1);
    let starts = journal.reader().segment_starts();
    drop(journal);
    let old = SimulatedDisk::new(6);
    for first in starts {
        let octets = disk.contents(&Segment::file_name(first));
        let header = octets.iter().position(|octet| *octet == b'\n').expect("a header") + 1;
        old.plant(&Segment::file_name(first), &octets[header..]);
    }
    // As an erasure of that release left it: sealed, and killed.
    old.plant(&Segment::file_name(RECORDS + 1), b"");
    let mut journal = open(&old);
    assert_eq!((all(&journal), journal.reader().troubles()), (expected(RECORDS), Vec::new()));
    assert_eq!(run(&mut journal, RECORDS + 60, 1).0, RECORDS + 60);
    let journal = open(&old);
    let found = (all(&journal), journal.reader().troubles());
    assert_eq!(found, (expected(RECORDS + 60), Vec::new()));
}

fn write_checkpoint(disk: &SimulatedDisk, position: u64, rows: u64) -> std::io::Result<()> {
    let mut writer = CheckpointWriter::create(Arc::new(disk.clone()), position, rows)?;
    for row in 0..rows {
        writer.push(format!("{position} {row:06}").as_bytes(), &[7; 90])?;
    }
    writer.finish()?;
    keep_newest(disk, u64::MAX, 2).map(drop)
}

fn count_rows(disk: &SimulatedDisk, position: u64) -> std::io::Result<u64> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let checkpoint = Checkpoint::open(&disk, position)?;
    checkpoint.check(&mut || true)?;
    Ok(checkpoint.rows())
}

#[test]
fn a_checkpoint_is_whole_or_absent() {
    const ROWS: u64 = 6000;
    let trace = |disk: &SimulatedDisk| {
        let done = [10, 20, 30].iter().take_while(|p| write_checkpoint(disk, **p, ROWS).is_ok());
        done.last().copied().unwrap_or(0)
    };
    let disk = SimulatedDisk::new(0);
    assert_eq!(trace(&disk), 30);
    assert_eq!(checkpoints(&disk).expect("list"), [30, 20]);
    for k in 1..=disk.operations() {
        for fault in [DiskFault::Crash, DiskFault::Broken, DiskFault::Full] {
            let disk = SimulatedDisk::new(k);
            disk.fail(k, 1, fault);
            let newest = trace(&disk);
            disk.reboot();
            sweep(&disk).expect("sweep");
            let found = checkpoints(&disk).expect("list");
            assert!(found.first().copied().unwrap_or(0) >= newest, "{fault:?} at {k}: {found:?}");
            for position in found {
                let rows = count_rows(&disk, position).expect("whole");
                assert_eq!(rows, ROWS, "{fault:?} at {k}: {position}");
            }
            assert!(disk.list("checkpoint").expect("list").iter().all(|n| !n.contains("part")));
        }
    }
}
