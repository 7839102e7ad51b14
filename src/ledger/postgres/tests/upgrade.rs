//! A rolling upgrade to a release that folds differently, in a real PostgreSQL.

use super::checkpoints::{agree, commit, number, share, url_of_node};
use super::*;
use crate::ledger::order::SharedCheckpoints;
use crate::ledger::{Fold, Rows};
use crate::policy::fact_key;

/// The release before, the one after, and the one after that.
const OLD: Folds = Folds { oldest: 1, newest: 1 };
const NEW: Folds = Folds { oldest: 1, newest: 2 };
const NEXT: Folds = Folds { oldest: 2, newest: 3 };

/// A release that as version 2 makes a row more of each event.
struct Second(PolicyFold);

impl Fold for Second {
    fn fold(&mut self, rows: &mut dyn Rows, event: &mut Event) -> Result<(), LedgerError> {
        self.0.fold(rows, event)?;
        if rows.get(&fact_key("fold"))?.is_some_and(|version| version == b"2") {
            rows.put(format!("m/second/{:09}", event.seq).into_bytes(), Some(b"2".to_vec()));
        }
        Ok(())
    }

    fn touches(&self, event: &Event) -> Vec<String> {
        self.0.touches(event)
    }
}

fn of_release(url: &str, name: &str, folds: Folds) -> Options {
    Options { folds, ..options(url, name) }
}

fn start(server: &Server, dir: &std::path::Path, name: &str, folds: Folds) -> SledLedger {
    let options = of_release(&server.url(), name, folds);
    let fold: Box<dyn Fold> = match folds.newest {
        1 => Box::new(PolicyFold::new()),
        newest => Box::new(Second(PolicyFold::up_to(newest))),
    };
    join(options, dir, fold, Duration::from_secs(60))
}

/// Rows that only the second version makes.
fn of_second(node: &SledLedger) -> usize {
    node.list(b"m/second/", None, 1000).expect("ready").rows.len()
}

#[test]
fn a_rolling_upgrade_never_makes_two_lists() {
    let Some(server) = engine("a_rolling_upgrade_never_makes_two_lists") else { return };
    let url = url_of_node(&server);
    let dir = tempfile::tempdir().expect("scratch");
    let upgrade = |folds| upgrade(&of_release(&url, "admin", folds), "the-act");
    let report = || EngineReport::ask(&options(&url, "x")).expect("asked");
    let refused = upgrade(NEW).expect_err("no node yet");
    assert!(refused.to_string().contains("the ledger is empty"), "{refused}");
    let (a, b) = (start(&server, dir.path(), "a", OLD), start(&server, dir.path(), "b", OLD));
    commit(&a, 1..101);
    share(&server, &a);
    assert_eq!(upgrade(OLD), Ok(None));
    // Both releases take part, and fold as before.
    let c = start(&server, dir.path(), "c", NEW);
    commit(&c, 101..151);
    agree(&c, &a);
    let refused = upgrade(NEW).expect_err("two cannot").to_string();
    assert!(refused.contains("a folds up to 1") && refused.contains("; b folds"), "{refused}");
    assert!(!refused.contains("c folds") && report().upgrade().is_none());
    assert!(report().troubles().iter().all(|trouble| !trouble.contains("folds")));
    drop(b);
    let b = start(&server, dir.path(), "b", NEW);
    // The last of them was not heard of for a day, and comes back in the very moment.
    let (from, to, act) = loop {
        sql(&server, "DELETE FROM node WHERE name = 'a'");
        assert!(report().upgrade().is_none_or(|version| version == 2));
        match upgrade(NEW) {
            Ok(done) => break done.expect("it is newer"),
            Err(error) => assert!(error.to_string().contains("a folds up to 1"), "{error}"),
        }
    };
    assert_eq!((from, to, act), (1, 2, 151));
    assert_eq!(upgrade(NEW), Ok(None));
    assert_eq!((report().fold, report().upgrade()), (2, None));
    // It says so, takes nothing, learns nothing, and answers what it knows.
    let error = a.commit(&mut [event(999)]).expect_err("it cannot fold that");
    let why = "the nodes of this ledger fold as version 2, this release up to 1";
    assert!(error.to_string().contains(why), "{error}");
    commit(&c, 151..201);
    agree(&c, &b);
    let trouble = || a.status().trouble.unwrap_or_default();
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !trouble().contains(why) && std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(trouble().contains(why), "{}", trouble());
    assert_eq!((a.status().last_seq, a.look_up(&[b"m/fold".to_vec()]).is_ok()), (150, true));
    drop(a);
    // With the new release it goes on where it was. So does a node that begins with a checkpoint of
    // before, and one that folds all of it: the new rows begin at one position.
    let a = start(&server, dir.path(), "a", NEW);
    agree(&c, &a);
    let from_old = start(&server, dir.path(), "from-old", NEW);
    share(&server, &c);
    assert_eq!(
        sql(&server, "SELECT seq, fold FROM checkpoint ORDER BY seq").concat(),
        ["100", "1", "201", "2"]
    );
    commit(&a, 201..251);
    let from_new = start(&server, dir.path(), "from-new", NEW);
    // A release later the old version is forgotten: it begins with a checkpoint of the new one.
    let next = PostgresJournal::new(of_release(&url, "next", NEXT)).stock().expect("asked");
    assert_eq!(next.usable.iter().map(|one| one.place.seq).collect::<Vec<_>>(), [201]);
    sql(&server, "DELETE FROM checkpoint");
    let whole = start(&server, dir.path(), "whole", NEW);
    for node in [&b, &a, &from_old, &from_new, &whole] {
        agree(&c, node);
        assert_eq!(of_second(node), 251 - 150);
    }
}

#[test]
fn a_release_that_skips_one_is_refused() {
    let Some(server) = engine("a_release_that_skips_one_is_refused") else { return };
    let dir = tempfile::tempdir().expect("scratch");
    let url = server.url();
    let mut late = PostgresJournal::new(of_release(&url, "late", NEXT));
    // An empty ledger is for any.
    assert!(late.turn(&Position::default()).is_ok());
    late.pass().expect("ended");
    let a = start(&server, dir.path(), "a", OLD);
    commit(&a, 1..11);
    let why = "fold as version 1 still, this release from 2 on";
    for error in [
        late.turn(&Position::default()).expect_err("refused"),
        late.read(&Position::default(), 9).expect_err("refused"),
        upgrade(&of_release(&url, "late", NEXT), "id").expect_err("refused"),
    ] {
        assert!(error.to_string().contains(why), "{error}");
    }
    // Records go only when checkpoints of the version of all cover them.
    share(&server, &a);
    commit(&a, 11..211);
    share(&server, &a);
    assert_eq!(number(&server, "SELECT count(*) FROM checkpoint"), 2);
    sql(&server, "UPDATE head SET fold = 2; DELETE FROM node");
    sql(&server, "UPDATE journal SET at_ms = 1 WHERE seq < 200");
    let mut new = PostgresJournal::new(of_release(&url, "new", NEW));
    let keep = Duration::from_secs(86_400);
    assert_eq!(new.retain(keep), Ok(0));
    assert_eq!(number(&server, "SELECT first FROM head"), 1);
    sql(&server, "UPDATE checkpoint SET fold = 2");
    assert_eq!(new.retain(keep), Ok(9));
}
