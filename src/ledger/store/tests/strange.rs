//! Files that have the name of a checkpoint and are none.

use super::*;

const JUNK: u64 = 9_000_000_000;

fn name(position: u64) -> String {
    format!("checkpoint/{position:020}.checkpoint")
}

#[test]
fn a_file_that_is_no_checkpoint_is_set_aside_and_said() {
    for octets in [&b""[..], b"junk", &[7; 5_000]] {
        let bench = StoreBench::new(1);
        let ledger = bench.open();
        assert_eq!(run(&ledger, 1), EVENTS);
        let digest = ledger.digest().expect("ready");
        drop(ledger);
        for position in [JUNK, JUNK + 1] {
            bench.disk.plant(&name(position), octets);
        }
        let ledger = bench.open();
        assert_eq!(ledger.digest().expect("ready"), digest);
        let troubles = ledger.status().troubles;
        let about = |position| {
            let file = Some(name(position));
            troubles.iter().filter(|t| t.kind == TroubleKind::Checkpoint && t.file == file).count()
        };
        assert_eq!((about(JUNK), about(JUNK + 1)), (1, 1), "{troubles:?}");
        // Nothing goes by their positions, neither the next record nor which checkpoints stay.
        let committed = ledger.commit(&mut batch(EVENTS + 1, 1)).expect("committed");
        assert_eq!(committed.first().map(|c| c.seq), Some(EVENTS + 1));
        ledger.checkpoint(Timestamp::from_millis(0)).expect("written");
        let kept = journal::checkpoints(&bench.disk).expect("listed");
        assert_eq!(kept.first(), Some(&(EVENTS + 1)), "{kept:?}");
        assert!(bench.disk.look().iter().any(|(file, _)| file.ends_with(".checkpoint.aside")));
    }
}

#[test]
fn what_lies_beyond_the_list_is_no_checkpoint_of_it() {
    let bench = StoreBench::new(2);
    let ledger = bench.open();
    assert_eq!(run(&ledger, 1), EVENTS);
    // Put there while it runs.
    for position in [JUNK, JUNK + 1] {
        bench.disk.plant(&name(position), b"junk");
    }
    ledger.commit(&mut batch(EVENTS + 1, 1)).expect("committed");
    ledger.checkpoint(Timestamp::from_millis(0)).expect("written");
    let kept = journal::checkpoints(&bench.disk).expect("listed");
    assert_eq!(kept.len(), 4, "two of ours stay beside them: {kept:?}");
    assert!(kept.contains(&(EVENTS + 1)));
}

#[test]
fn the_view_of_another_list_is_not_obeyed() {
    let (bench, other) = (StoreBench::new(3), StoreBench::new(4));
    let ledger = bench.open();
    assert_eq!(run(&ledger, 1), EVENTS);
    let digest = ledger.digest().expect("ready");
    drop(ledger);
    let ledger = other.open();
    ledger.commit(&mut batch(1_000, 1)).expect("committed");
    ledger.checkpoint(Timestamp::from_millis(0)).expect("written");
    ledger.commit(&mut batch(1_001, 1)).expect("committed");
    drop(ledger);
    let view = |bench: &StoreBench| bench.dir.path().join("view");
    std::fs::remove_dir_all(view(&bench)).expect("it is there");
    std::fs::rename(view(&other), view(&bench)).expect("moved");
    let ledger = bench.open();
    assert_eq!(ledger.digest().expect("ready"), digest);
    assert_eq!(total(&ledger), EVENTS);
}

#[test]
fn a_view_stays_of_its_list_when_the_journal_is_gone() {
    let bench = StoreBench::new(5);
    let ledger = bench.open();
    assert_eq!(run(&ledger, 1), EVENTS);
    // No checkpoint holds the last ones.
    ledger.settle().expect("a healthy disk");
    let position = ledger.status().last_seq;
    drop(ledger);
    for (file, _) in bench.disk.look().iter().filter(|(file, _)| file.starts_with("journal/")) {
        bench.disk.remove(file).expect("it is there");
    }
    // What the view holds is all there is, now and after more came.
    for more in 1..4 {
        let ledger = bench.open();
        assert_eq!(total(&ledger), EVENTS + more - 1);
        let committed = ledger.commit(&mut batch(EVENTS + more, 1)).expect("committed");
        assert!(committed.iter().all(|c| c.seq > position));
        ledger.settle().expect("a healthy disk");
    }
}

#[test]
fn a_newest_segment_that_is_gone_is_said_and_no_position_is_used_twice() {
    let bench = StoreBench::new(6);
    let ledger = bench.open();
    assert_eq!(run(&ledger, 1), EVENTS);
    drop(ledger);
    // As after kill -9 before the view or anything else knew of it.
    let newest = bench.disk.look().into_iter().map(|(file, _)| file);
    let newest = newest.filter(|file| file.starts_with("journal/")).max().expect("segments");
    let digits = newest.trim_start_matches("journal/").trim_end_matches(".journal");
    let begun: u64 = digits.parse().expect("a position");
    let newer = |file: &String| *file == newest || *file == "newest-record";
    let after =
        journal::checkpoints(&bench.disk).expect("listed").into_iter().filter(|at| *at >= begun);
    for file in after.map(name).chain([newest.clone(), "newest-record".to_string()]) {
        bench.disk.remove(&file).expect("it is there");
    }
    assert!(!bench.disk.look().iter().any(|(file, _)| newer(file)));
    std::fs::remove_dir_all(bench.dir.path().join("view")).expect("it is there");
    let ledger = bench.open();
    let troubles = ledger.status().troubles;
    let about = |kind| troubles.iter().find(|t| t.kind == kind);
    let missing = about(TroubleKind::JournalMissing).expect("said");
    assert_eq!((missing.file.as_deref(), missing.seqs), (Some(&newest[..]), Some((begun, begun))));
    let lost = about(TroubleKind::StateLost).and_then(|t| t.seqs).expect("said");
    assert!(lost.0 == begun && lost.1 >= EVENTS, "{lost:?} of {begun} to {EVENTS}");
    let committed = ledger.commit(&mut batch(EVENTS + 1, 1)).expect("committed");
    assert!(committed.iter().all(|c| c.seq > lost.1), "after {lost:?}");
    drop(ledger);
    // And at every start until a person removes the note.
    let troubles = bench.open().status().troubles;
    assert!(troubles.iter().any(|t| t.kind == TroubleKind::StateLost && t.seqs == Some(lost)));
}
