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
