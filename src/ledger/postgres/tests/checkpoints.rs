//! Shared checkpoints in a real PostgreSQL: who writes them, who begins with them, what they let go.

use super::*;
use crate::ledger::order::{SharedCheckpoint, SharedCheckpoints};
use crate::mail::Timestamp;

/// More than `journal.keep`, in milliseconds.
const LONG_AGO: i64 = 100 * 86_400_000;

pub(super) fn commit(node: &SledLedger, ns: std::ops::Range<u64>) {
    for from in ns.clone().step_by(100) {
        let mut events: Vec<Event> = (from..ns.end.min(from + 100)).map(event).collect();
        node.commit(&mut events).expect("committed");
    }
}

/// The local checkpoint of a node is written, and shared when it is due: as it is after a day.
pub(super) fn share(server: &Server, node: &SledLedger) {
    node.checkpoint(Timestamp::from_millis(i64::MAX)).expect("written");
    sql(server, "UPDATE checkpoint SET at_ms = 0");
    node.share_checkpoint().expect("shared");
}

/// The URL of a role with the rights of a node.
pub(super) fn url_of_node(server: &Server) -> String {
    sql(server, "CREATE ROLE node LOGIN");
    sql(server, &schema::grants("bounced", "node").concat());
    server.url().replace("user=postgres", "user=node")
}

pub(super) fn number(server: &Server, text: &str) -> u64 {
    sql(server, text)[0][0].parse().expect("a number")
}

/// What a node that is opened makes of the journal; the error that it stops at.
fn open(server: &Server, dir: &std::path::Path, name: &str) -> Result<SledLedger, LedgerError> {
    let options = options(&server.url(), name);
    let share = Share {
        connect: Box::new(move || Box::new(PostgresJournal::new(options.clone()))),
        patience: Duration::from_secs(60),
        stale: Duration::ZERO,
        poll: Duration::from_millis(5),
    };
    let store = store::Options { cache_bytes: 1 << 20, ..store::Options::new(dir.join(name)) };
    let node = SledLedger::join(store, Box::new(PolicyFold::new()), share)?;
    while !node.wait_level(Duration::from_millis(100)) {
        if let Some(stuck) = node.stuck() {
            return Err(stuck);
        }
    }
    Ok(node)
}

pub(super) fn agree(one: &SledLedger, other: &SledLedger) {
    let end = one.status().last_seq;
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while other.status().last_seq < end && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    let first = one.status().first_seq.max(other.status().first_seq);
    let digest = |node: &SledLedger| node.digest_since(first).expect("ready");
    assert_eq!(digest(one), digest(other));
}

#[test]
fn a_new_node_begins_with_the_checkpoint_and_ends_like_the_others() {
    let what = "a_new_node_begins_with_the_checkpoint_and_ends_like_the_others";
    let Some(server) = engine(what) else { return };
    let dir = tempfile::tempdir().expect("scratch");
    let a = node(&server, dir.path(), "a");
    commit(&a, 1..301);
    // One that folds all of it.
    let whole = node(&server, dir.path(), "whole");
    share(&server, &a);
    commit(&a, 301..351);
    let new = open(&server, dir.path(), "new").expect("a start");
    let has = |name: &str| dir.path().join(name).join(format!("checkpoint/{:020}.checkpoint", 300));
    assert!(has("new").exists() && !has("whole").exists());
    assert_eq!((new.status().first_seq, new.status().troubles), (1, vec![]));
    agree(&a, &new);
    agree(&a, &whole);
    assert_eq!(a.digest(), new.digest());
    commit(&new, 351..361);
    agree(&new, &a);
    // One octet is wrong in PostgreSQL: the journal is taken from its beginning.
    let spoilt = "set_byte(octets, 100, 255 - get_byte(octets, 100))";
    sql(&server, &format!("UPDATE checkpoint_part SET octets = {spoilt}"));
    let other = open(&server, dir.path(), "other").expect("a start");
    assert!(!has("other").exists());
    agree(&a, &other);
}

#[test]
fn an_old_checkpoint_is_said_where_a_new_one_should_be() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    for (first, end, newest, said) in [
        (1, 0, None, None),
        (1, 399_999, None, None),
        (1, 400_000, None, Some("400000 records and no checkpoint")),
        (5, 10, None, Some("the journal begins at 5")),
        // A list that hardly changes, a day without anybody, and a node that stands still.
        (1, 400_010, Some((11, hours(500))), None),
        (1, 900_000, Some((11, hours(71))), None),
        (1, 400_011, Some((11, hours(72))), Some("at 11, was written 72 hours ago")),
        // A node may be asked before it has heard of the end.
        (1, 10, Some((11, hours(500))), None),
    ] {
        let found = status::checkpoint_trouble((first, end), newest);
        match (&found, said) {
            (None, None) => {}
            (Some(found), Some(said)) => assert!(found.contains(said), "{found}"),
            _ => panic!("{first} {end} {newest:?}: {found:?}"),
        }
    }
    let Some(server) = engine("an_old_checkpoint_is_said_where_a_new_one_should_be") else {
        return;
    };
    let dir = tempfile::tempdir().expect("scratch");
    let a = node(&server, dir.path(), "a");
    commit(&a, 1..201);
    let heard = |is_so: &dyn Fn(u64, Duration, Option<String>) -> bool| {
        let until = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            let engine = a.status().engine.expect("it shares");
            let (seq, age) = engine.checkpoint;
            if is_so(seq, age, engine.checkpoint_trouble.clone()) {
                return;
            }
            assert!(std::time::Instant::now() < until, "{engine:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    // Without one it is as long as the node runs.
    heard(&|seq, age, trouble| seq == 0 && age > Duration::ZERO && trouble.is_none());
    share(&server, &a);
    heard(&|seq, age, trouble| seq == 200 && age < hours(1) && trouble.is_none());
    sql(&server, "UPDATE checkpoint SET at_ms = at_ms - 73 * 3600000::bigint");
    heard(&|seq, age, trouble| seq == 200 && age > hours(72) && trouble.is_none());
    // One in which somebody is who was erased is none.
    sql(&server, "INSERT INTO erasure VALUES (1, 200, 'hash', true); UPDATE head SET first = 2");
    heard(&|seq, _, trouble| {
        seq == 0 && trouble.is_some_and(|trouble| trouble.contains("begins at 2"))
    });
}

#[test]
fn one_node_at_a_time_writes_a_checkpoint() {
    let Some(server) = engine("one_node_at_a_time_writes_a_checkpoint") else { return };
    let url = url_of_node(&server);
    let journal = |node: &str| PostgresJournal::new(options(&url, node));
    let (mut one, mut two) = (journal("one"), journal("two"));
    let start = Position::default();
    one.turn(&start).expect("a turn");
    let end = place(one.append(&start, &batch(&start, 1..11)));
    let checkpoint = |name: &str, parts| SharedCheckpoint {
        name: name.to_string(),
        place: end,
        erased: 0,
        parts,
        octets: 6,
        sha256: [1; 32],
        age: Duration::ZERO,
    };
    assert_eq!(one.claim("first", false), Ok(true));
    assert_eq!(one.put("first", 0, 0, b"octets"), Ok(true));
    // Another one waits for it, and nobody begins with a part.
    assert_eq!(two.claim("second", false), Ok(false));
    assert_eq!(two.put("second", 0, 0, b"octets"), Ok(false));
    assert_eq!(two.stock().expect("asked").usable, vec![]);
    // It is killed; a minute later its part goes, and what it still sends comes too late.
    sql(&server, "UPDATE fact SET until_ms = 1");
    assert_eq!(two.claim("second", false), Ok(true));
    assert_eq!(number(&server, "SELECT count(*) FROM checkpoint_part"), 0);
    assert_eq!(one.put("first", 0, 1, b"octets"), Ok(false));
    assert_eq!(one.complete(&checkpoint("first", 1)), Ok(false));
    assert_eq!(two.put("second", 0, 0, b"octets"), Ok(true));
    // Not with a part missing, nor at a place of another history.
    assert_eq!(two.complete(&checkpoint("second", 2)), Ok(false));
    let odd =
        SharedCheckpoint { place: Position { chain: [7; 32], ..end }, ..checkpoint("second", 1) };
    assert_eq!(two.complete(&odd), Ok(false));
    assert_eq!(two.complete(&checkpoint("second", 1)), Ok(true));
    assert_eq!(two.part("second", 0), Ok(b"octets".to_vec()));
    let stock = one.stock().expect("asked");
    assert_eq!((stock.usable[0].name.as_str(), stock.usable[0].place), ("second", end));
    // The right is free again, and can be taken away.
    assert_eq!(one.claim("third", false), Ok(true));
    assert_eq!(two.claim("fourth", true), Ok(true));
    assert_eq!(one.put("third", 0, 0, b"octets"), Ok(false));
    // An erasure stops who has not carried it out, and takes away what was before it.
    assert_eq!(two.put("fourth", 0, 0, b"octets"), Ok(true));
    one.begin_erasure(10, "hash").expect("written down");
    assert_eq!(two.put("fourth", 0, 1, b"octets"), Ok(false));
    assert_eq!(two.complete(&checkpoint("fourth", 1)), Ok(false));
    assert_eq!(two.stock().expect("asked").usable, vec![]);
    one.forget(10).expect("gone");
    let left = "SELECT (SELECT count(*) FROM checkpoint) + (SELECT count(*) FROM checkpoint_part)";
    assert_eq!(number(&server, left), 0);
    // Of three the newest two stay.
    for name in ["a", "b", "c"] {
        let new = SharedCheckpoint { erased: 10, ..checkpoint(name, 1) };
        assert_eq!(one.claim(name, false), Ok(true));
        assert_eq!(one.put(name, 10, 0, b"octets"), Ok(true));
        assert_eq!(one.complete(&new), Ok(true));
    }
    assert_eq!(one.stock().expect("asked").usable.len(), 2);
    assert_eq!(number(&server, left), 4);
    assert_eq!(one.retain(Duration::from_secs(1)), Ok(0));
}

#[test]
fn two_nodes_that_want_to_write_write_one() {
    let Some(server) = engine("two_nodes_that_want_to_write_write_one") else { return };
    let dir = tempfile::tempdir().expect("scratch");
    let nodes = ["a", "b", "c"].map(|name| node(&server, dir.path(), name));
    commit(&nodes[0], 1..201);
    for other in &nodes[1..] {
        agree(&nodes[0], other);
    }
    for node in &nodes {
        node.checkpoint(Timestamp::from_millis(i64::MAX)).expect("written");
    }
    std::thread::scope(|scope| {
        for node in &nodes {
            scope.spawn(|| node.share_checkpoint().expect("looked"));
        }
    });
    let found = sql(&server, "SELECT seq, parts, octets FROM checkpoint");
    assert_eq!((found.len(), found[0][0].as_str()), (1, "200"), "{found:?}");
    let parts = "SELECT sum(length(octets)) FROM checkpoint_part";
    assert_eq!(sql(&server, parts)[0][0], found[0][2]);
    agree(&nodes[0], &open(&server, dir.path(), "new").expect("a start"));
}

#[test]
fn no_record_goes_that_no_checkpoint_covers() {
    let Some(server) = engine("no_record_goes_that_no_checkpoint_covers") else { return };
    let dir = tempfile::tempdir().expect("scratch");
    let a = node(&server, dir.path(), "a");
    commit(&a, 1..101);
    drop(open(&server, dir.path(), "away").expect("a start"));
    commit(&a, 101..301);
    let first = || {
        // A node that was heard of late has what it said then.
        let end = a.status().last_seq;
        while number(&server, "SELECT seq FROM node WHERE name = 'a'") < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        a.share_checkpoint().expect("looked");
        let found = sql(&server, "SELECT (SELECT min(seq) FROM journal), first FROM head");
        assert_eq!(found[0][0], found[0][1]);
        found[0][1].clone()
    };
    let age = |through: u64| {
        let text = format!("UPDATE journal SET at_ms = at_ms - {LONG_AGO} WHERE seq <= {through}");
        sql(&server, &text);
    };
    // All old, and no checkpoint, or one alone.
    age(200);
    assert_eq!(first(), "1");
    share(&server, &a);
    assert_eq!(first(), "1");
    // Two, and a node that was heard of late has not all of them.
    commit(&a, 301..401);
    sql(&server, "UPDATE node SET seq = 50 WHERE name = 'away'");
    share(&server, &a);
    assert_eq!(first(), "50");
    // Checkpoints in which somebody is who was erased cover nothing.
    sql(&server, "INSERT INTO erasure VALUES (1, 400, 'hash', true)");
    sql(&server, "UPDATE node SET seen_ms = 0 WHERE name = 'away'");
    assert_eq!(first(), "50");
    sql(&server, "DELETE FROM erasure");
    assert_eq!(first(), "201");
    // Younger than `keep`, but for a server whose clock jumped: the newest record says otherwise.
    assert_eq!(first(), "201");
    // Older than that, and after the older checkpoint.
    age(350);
    assert_eq!(first(), "300");
    agree(&a, &open(&server, dir.path(), "new").expect("a start"));
    // Who was away for so long is told so, and so is a new one when nothing is left to begin with.
    let refused = open(&server, dir.path(), "away").err().expect("it lacks records");
    assert!(matches!(&refused, LedgerError::Outdated(why) if why.contains("begins at 300")));
    sql(&server, "DELETE FROM checkpoint");
    let refused = open(&server, dir.path(), "late").err().expect("nothing to begin with");
    assert!(refused.to_string().contains("no checkpoint that a node"), "{refused}");
    let report = EngineReport::ask(&options(&server.url(), "x")).expect("asked");
    assert_eq!((report.first, report.checkpoint), (300, None));
    assert!(report.troubles().iter().any(|trouble| trouble.contains("no checkpoint")));
    // A node that runs writes one.
    a.share_checkpoint().expect("shared");
    agree(&a, &open(&server, dir.path(), "late").expect("a start"));
}
