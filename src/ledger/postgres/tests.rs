//! The journal in a real PostgreSQL: its protocol, and nodes over it with the policy's fold.

mod checkpoints;
mod proxy;
#[path = "../../../tests/postgres/mod.rs"]
mod server;
mod upgrade;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::event::{Act, Event, EventType, Imported};
use crate::ledger::journal::Batch;
use crate::ledger::order::{Appended, Journal, Place as Position, SharedJournal};
use crate::ledger::store::{self, Share, SledLedger};
use crate::ledger::{Fold, Ledger, LedgerError, Rows};
use crate::mail::Timestamp;
use crate::policy::PolicyFold;
use proxy::Proxy;
use server::{Server, skipped};

fn options(url: &str, node: &str) -> Options {
    Options {
        place: Arc::new(read(url).expect("a URL")),
        schema: "bounced".to_string(),
        ledger: 1,
        node: node.to_string(),
        folds: Folds { oldest: 1, newest: 1 },
        run: format!("run of {node}"),
        facts: Fingerprints::default(),
    }
}

/// A server with the schema.
fn engine(what: &str) -> Option<Server> {
    let Some(server) = Server::start() else {
        skipped(what);
        return None;
    };
    assert_eq!(schema::init(&options(&server.url(), "admin")), Ok(vec![1, 2, 3, 4, 5]));
    Some(server)
}

/// Runs SQL as the superuser.
fn sql(server: &Server, text: &str) -> Vec<Vec<String>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (client, _) =
            line::connect_bare(&options(&server.url(), "sql")).await.expect("connected");
        let rows = client.simple_query(text).await.expect(text);
        let row = |message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|n| row.get(n).unwrap_or_default().to_string()).collect())
            }
            _ => None,
        };
        rows.into_iter().filter_map(row).collect()
    })
}

fn event(n: u64) -> Event {
    let address = format!("user{}@example.com", n % 50);
    let scope = "*".to_string();
    let (reason, until, imported) = ("asked".to_string(), None, Imported::default());
    let act = match n % 7 {
        0 => Act::Release { address, scope, reason },
        _ => Act::Suppress { address, scope, reason, until, imported },
    };
    Event {
        act: Some(act),
        digest: Some(format!("{n:040x}")),
        ..Event::new(EventType::Act, format!("id-{n}"), Timestamp::now())
    }
}

fn batch(place: &Position, ns: std::ops::Range<u64>) -> Batch {
    let mut batch = Batch::default();
    for (seq, n) in (place.seq + 1..).zip(ns) {
        let json = serde_json::to_string(&Event { seq, ..event(n) }).expect("plain data");
        batch.push(seq, json.as_bytes()).expect("fit");
    }
    batch
}

fn place(appended: Result<Appended, LedgerError>) -> Position {
    match appended {
        Ok(Appended::Done(place)) => place,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_order_whoever_appends() {
    let Some(server) = engine("one_order_whoever_appends") else { return };
    let journal = |node: &str| PostgresJournal::new(options(&server.url(), node));
    let (mut a, mut b) = (journal("a"), journal("b"));
    let start = Position::default();
    assert_eq!(a.find(0, &[]), Ok(start));
    assert_eq!(a.turn(&start).expect("a turn").lines, Vec::new());
    let one = place(a.append(&start, &batch(&start, 1..4)));
    assert_eq!(one.seq, 3);
    // The other one is told what it missed, in its turn or without one.
    let news = b.turn(&start).expect("a turn");
    assert_eq!((news.through, news.lines.len()), (one, 3));
    assert_eq!(b.read(&start, 2).expect("read").lines.len(), 2);
    b.pass().expect("committed");
    // Who appends after a place that is not the end is told so, and wrote nothing.
    assert!(a.turn(&one).is_ok());
    assert_eq!(a.append(&start, &batch(&start, 9..11)), Ok(Appended::MovedOn));
    assert!(a.turn(&one).expect("a turn").lines.is_empty());
    let two = place(a.append(&one, &batch(&one, 4..6)));
    assert_eq!(b.find(two.seq, &[(4, "id-4".to_string()), (5, "id-5".to_string())]), Ok(two));
    // Another history is found out, whatever is asked.
    let wrong = Position { chain: [7; 32], ..two };
    let beyond = Position { seq: 99, ..two };
    for place in [&wrong, &beyond] {
        for answer in [a.turn(place), b.read(place, 9), b.read(place, 1)] {
            assert!(matches!(answer, Err(LedgerError::Forked(_))), "{answer:?}");
        }
    }
    assert!(matches!(b.find(5, &[(4, "id-9".to_string())]), Err(LedgerError::Forked(_))));
    assert!(matches!(b.find(6, &[]), Err(LedgerError::Forked(_))));
    let beat = b.beat(&two, 0, &[]).expect("heard");
    assert_eq!((beat.end, beat.is_synchronous), (5, false));
    let edit = &mut |seq, line: &str| (seq == 2).then(|| line.replace("user2", "gone"));
    assert_eq!(b.rewrite(5, edit), Ok(1));
    assert!(b.read(&start, 9).expect("read").lines[1].1.contains("gone@example.com"));
    // Two nodes rewrite one line at once: what each takes out is out.
    let mut is_first = true;
    let edit = &mut |seq, line: &str| {
        if seq == 4 && std::mem::take(&mut is_first) {
            let other = &mut |seq, line: &str| (seq == 4).then(|| line.replace("asked", "why"));
            assert_eq!(b.rewrite(5, other), Ok(1));
        }
        line.contains("user4@").then(|| line.replace("user4@", "gone@"))
    };
    assert!(a.rewrite(5, edit).expect("rewritten") > 0);
    let line = &a.read(&start, 9).expect("read").lines[3].1;
    assert!(line.contains("gone@") && line.contains("why") && !line.contains("asked"), "{line}");
    let report = EngineReport::ask(&options(&server.url(), "x")).expect("asked");
    assert_eq!((report.end, report.nodes.len(), report.nodes[0].seq), (5, 1, 5));
    assert!(report.troubles()[0].contains("synchronous_standby_names"));
}

/// A sequence in the place of the locked head: who commits first need not have the lower number, and a
/// number that was rolled back never comes. A follower must not step over either.
#[test]
fn a_hole_that_a_sequence_would_leave_is_found_out() {
    let Some(server) = engine("a_hole_that_a_sequence_would_leave_is_found_out") else { return };
    sql(&server, "CREATE SEQUENCE number");
    let (start, admin) = (Position::default(), options(&server.url(), "sql"));
    let lines = batch(&start, 1..4);
    let columns = columns::Columns::new(&start, &lines).expect("records");
    let insert = |n: usize| {
        let (id, line) = (&columns.ids[n], &columns.lines[n]);
        let chain = data_encoding::HEXLOWER.encode(&columns.chains[n]);
        format!(
            "INSERT INTO journal SELECT 1, nextval('number'), 0, '{id}', '\\x{chain}', '{line}'; \
             UPDATE head SET seq = greatest(seq, currval('number'))"
        )
    };
    let mut follower = PostgresJournal::new(options(&server.url(), "a"));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let slow = runtime.block_on(async {
        let (client, _) = line::connect_bare(&admin).await.expect("connected");
        let number = format!("BEGIN; {}", insert(0).split(';').next().unwrap_or_default());
        client.batch_execute(&number).await.expect("number 1, not committed");
        client
    });
    sql(&server, &insert(1));
    let found = follower.read(&start, 9).expect_err("2 is there and 1 is not");
    assert!(found.to_string().contains("after 0 comes 2"), "{found}");
    runtime.block_on(async { slow.batch_execute("ROLLBACK").await.expect("rolled back") });
    sql(&server, &insert(2));
    let found = follower.read(&start, 9).expect_err("1 never comes");
    assert!(found.to_string().contains("after 0 comes 2"), "{found}");
}

#[test]
fn a_role_needs_no_more_than_its_grants() {
    let Some(server) = engine("a_role_needs_no_more_than_its_grants") else { return };
    sql(&server, "CREATE ROLE node LOGIN");
    let url = server.url().replace("user=postgres", "user=node");
    let mut journal = PostgresJournal::new(options(&url, "a"));
    let refused = journal.find(0, &[]).expect_err("no rights");
    assert!(
        matches!(&refused, LedgerError::Fatal(why) if why.contains("engine init")),
        "{refused}"
    );
    sql(&server, &schema::grants("bounced", "node").concat());
    let start = Position::default();
    assert_eq!(journal.find(0, &[]), Ok(start));
    journal.turn(&start).expect("a turn");
    let end = place(journal.append(&start, &batch(&start, 1..3)));
    journal.turn(&end).expect("a turn");
    journal.pass().expect("committed");
    journal.beat(&end, 0, &[]).expect("heard");
    assert_eq!(journal.rewrite(2, &mut |_, line| Some(line.to_string())), Ok(2));
    // A second time there is nothing to do; other releases and ledgers are refused in words.
    assert_eq!(schema::init(&options(&server.url(), "admin")), Ok(vec![]));
    for (options, why) in [
        (
            Options { folds: Folds { oldest: 2, newest: 2 }, ..options(&url, "b") },
            "fold as version 1",
        ),
        (Options { ledger: 2, ..options(&url, "b") }, "no ledger 2"),
        (Options { schema: "other".to_string(), ..options(&url, "b") }, "engine init"),
    ] {
        let refused = PostgresJournal::new(options).read(&start, 1).expect_err(why);
        assert!(refused.to_string().contains(why), "{refused}");
    }
}

#[test]
fn who_stands_still_keeps_nobody_waiting() {
    let Some(server) = engine("who_stands_still_keeps_nobody_waiting") else { return };
    let journal = |node: &str| PostgresJournal::new(options(&server.url(), node));
    let (mut a, mut b) = (journal("a"), journal("b"));
    let start = Position::default();
    a.turn(&start).expect("a turn");
    // `a` sleeps with the lock; `b` gets it when the server ends that transaction.
    b.turn(&start).expect("a turn, after a while");
    let end = place(b.append(&start, &batch(&start, 1..2)));
    let late = a.append(&start, &batch(&start, 2..3));
    assert!(matches!(late, Ok(Appended::Unknown(_)) | Err(LedgerError::Away(_))), "{late:?}");
    assert_eq!(a.turn(&start).expect("a turn").through, end);
}

/// All processes of a server are stopped, and its kernel goes on to take connections.
#[test]
fn a_frozen_server_costs_no_more_than_was_said() {
    let what = "a_frozen_server_costs_no_more_than_was_said";
    let (Some(frozen), Some(other)) = (engine(what), engine(what)) else { return };
    let dir = tempfile::tempdir().expect("scratch");
    let patience = Duration::from_secs(1);
    let node = node_with(&frozen.url(), dir.path(), "a", patience);
    node.commit(&mut [event(1)]).expect("committed");
    let hurried = options(&frozen.url(), "b");
    frozen.signal("STOP");
    // `patience`, and not as long as a call or a connection may take; then nobody waits at all.
    let refused = node.commit(&mut [event(2)]).expect_err("it is frozen");
    assert!(matches!(refused, LedgerError::Away(_) | LedgerError::Ambiguous(_)), "{refused}");
    let said = refused.to_string();
    let waited = said.split_once("within ").and_then(|(_, rest)| rest.split_once(" s"));
    let waited: f32 = waited.and_then(|(n, _)| n.parse().ok()).expect(&said);
    assert!(waited <= 1.0, "{said}");
    let refused = node.commit(&mut [event(3)]).expect_err("it is frozen");
    assert!(matches!(&refused, LedgerError::Away(_)), "{refused}");
    assert!(node.look_up(&[b"m/fold".to_vec()]).is_ok());
    let refused = EngineReport::ask(&hurried).expect_err("it is frozen");
    assert!(refused.to_string().contains("no answer within 5 s"), "{refused}");
    // The next server is not kept waiting by it.
    let hosts = format!("{},{}", frozen.socket().display(), other.socket().display());
    let both = format!("host={hosts} user=postgres dbname=postgres");
    let end = PostgresJournal::new(options(&both, "b")).find(0, &[]);
    assert_eq!(end, Ok(Position::default()));
    frozen.signal("CONT");
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while node.commit(&mut [event(3)]).is_err() {
        assert!(std::time::Instant::now() < until, "it is back and not used");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The reply to a commit is cut after each of its octets: nothing is lost, and nothing comes twice.
#[test]
fn a_reply_that_is_cut_anywhere_is_settled() {
    let Some(server) = engine("a_reply_that_is_cut_anywhere_is_settled") else { return };
    let proxy = Proxy::start(server.socket().join(".s.PGSQL.5432"));
    let dir = tempfile::tempdir().expect("scratch");
    let node = node_with(&proxy.url(), dir.path(), "a", Duration::from_secs(60));
    // The reply has some 70 octets.
    let octets = 0..120;
    for (n, octets) in (1000..).zip(octets.clone()) {
        proxy.cut(&format!("id-{n}"), octets);
        let committed = node.commit(&mut [event(n)]).expect("settled");
        assert!(proxy.has_cut() && !committed[0].duplicate, "after {octets}: {committed:?}");
        assert_eq!(committed[0].id, format!("id-{n}"));
    }
    let rows = sql(&server, "SELECT count(*), count(DISTINCT id), max(seq) FROM journal");
    assert_eq!(rows[0], vec![octets.len().to_string(); 3]);
}

/// The node is heard and hears nothing: no false answer, questions go on, and it is settled afterwards.
#[test]
fn a_way_that_is_cut_in_one_direction_gives_no_false_answer() {
    let what = "a_way_that_is_cut_in_one_direction_gives_no_false_answer";
    let Some(server) = engine(what) else { return };
    let proxy = Proxy::start(server.socket().join(".s.PGSQL.5432"));
    let dir = tempfile::tempdir().expect("scratch");
    let node = node_with(&proxy.url(), dir.path(), "a", Duration::from_secs(1));
    node.commit(&mut [event(1)]).expect("committed");
    for n in 2..6 {
        proxy.deaf(true);
        let refused = node.commit(&mut [event(n)]).expect_err("nothing comes back");
        assert!(matches!(refused, LedgerError::Away(_) | LedgerError::Ambiguous(_)), "{refused}");
        assert!(node.look_up(&[b"m/fold".to_vec()]).is_ok());
        proxy.deaf(false);
        // The sender comes back with the same mail.
        let until = std::time::Instant::now() + Duration::from_secs(60);
        while node.commit(&mut [event(n)]).is_err() {
            assert!(std::time::Instant::now() < until, "it is back and not used");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let rows = sql(&server, "SELECT count(*), count(DISTINCT id) FROM journal");
    assert_eq!(rows[0], vec!["5".to_string(); 2]);
}

#[test]
fn two_processes_under_one_name_and_other_settings_are_noticed() {
    let what = "two_processes_under_one_name_and_other_settings_are_noticed";
    let Some(server) = engine(what) else { return };
    let facts = |key: &str| {
        let facts = [("verp.keys", key), ("rules", "same")];
        Fingerprints::new(std::sync::Mutex::new(facts.map(|(k, v)| (k.into(), v.into())).into()))
    };
    let journal = |node: &str, run: &str, key: &str| {
        let run = run.to_string();
        let options = Options { run, facts: facts(key), ..options(&server.url(), node) };
        PostgresJournal::new(options)
    };
    let start = Position::default();
    let beat =
        |journal: &mut PostgresJournal| journal.beat(&start, 0, &[]).expect("heard").warnings;
    let (mut one, mut two) = (journal("a", "first", "k1"), journal("a", "second", "k1"));
    assert_eq!(beat(&mut one), Vec::<String>::new());
    // A restart is no second process.
    assert_eq!(beat(&mut two), Vec::<String>::new());
    assert_eq!(beat(&mut two), Vec::<String>::new());
    for journal in [&mut one, &mut two] {
        let said = beat(journal);
        assert!(
            said.len() == 1 && said[0].contains("two processes take part as node a"),
            "{said:?}"
        );
    }
    let mut other = journal("b", "third", "k2");
    let said = beat(&mut other);
    assert!(said.len() == 2 && said[1].contains("verp.keys differs: a / b"), "{said:?}");
    let report = EngineReport::ask(&options(&server.url(), "x")).expect("asked");
    assert!(report.troubles().iter().any(|trouble| trouble.contains("verp.keys differs")));
    // It is made the same by a reload.
    let again = journal("b", "third", "k1");
    other = again;
    assert_eq!(beat(&mut other).len(), 1);
}

#[test]
fn a_cancelled_wait_for_the_standby_is_no_answer() {
    let Some(server) = engine("a_cancelled_wait_for_the_standby_is_no_answer") else { return };
    let mut journal = PostgresJournal::new(options(&server.url(), "a"));
    let start = Position::default();
    journal.find(0, &[]).expect("an empty journal");
    wait_for_standbys(&server, "nobody");
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let outcome = std::thread::scope(|scope| {
        let append = scope.spawn(|| {
            journal.turn(&start).expect("a turn");
            journal.append(&start, &batch(&start, 1..3))
        });
        while !append.is_finished() {
            sql(&server, cancel);
            std::thread::sleep(Duration::from_millis(10));
        }
        append.join().expect("no panic")
    });
    assert!(matches!(outcome, Ok(Appended::Unknown(_))), "a warning is no 250: {outcome:?}");
    // It can be read, and is on one server alone: relying on it waits for the standby, too.
    assert_eq!(journal.turn(&start).expect("a turn").lines.len(), 2);
    let passed = std::thread::scope(|scope| {
        let pass = scope.spawn(|| journal.pass());
        while !pass.is_finished() {
            sql(&server, cancel);
            std::thread::sleep(Duration::from_millis(10));
        }
        pass.join().expect("no panic")
    });
    assert!(matches!(passed, Err(LedgerError::Away(_))), "{passed:?}");
    wait_for_standbys(&server, "");
    let news = journal.turn(&start).expect("a turn");
    assert_eq!(news.lines.len(), 2);
    journal.pass().expect("committed");
}

/// Commits wait for these standbys when it returns: a reload is done by the postmaster, which new connections
/// see, and then by the checkpointer, which does no checkpoint before it.
fn wait_for_standbys(server: &Server, names: &str) {
    sql(server, &format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"));
    sql(server, "SELECT pg_reload_conf()");
    while sql(server, "SHOW synchronous_standby_names") != [[names]] {
        std::thread::sleep(Duration::from_millis(10));
    }
    sql(server, "CHECKPOINT");
}

#[test]
fn a_server_that_cannot_prove_its_name_is_told_nothing() {
    let Some(mut server) = engine("a_server_that_cannot_prove_its_name_is_told_nothing") else {
        return;
    };
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("made");
    let other = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("made");
    let port = server.listen_with_tls(&made.cert.pem(), &made.signing_key.serialize_pem());
    let (ours, theirs) = (server.socket().join("ca.pem"), server.socket().join("other.pem"));
    std::fs::write(&ours, made.cert.pem()).expect("written");
    std::fs::write(&theirs, other.cert.pem()).expect("written");
    let ask = |host: &str, ca: &std::path::Path| {
        let ca = ca.display();
        let url = format!(
            "postgresql://postgres@{host}:{port}/postgres?sslmode=verify-full&sslrootcert={ca}"
        );
        PostgresJournal::new(options(&url, "a")).read(&Position::default(), 1)
    };
    ask("localhost", &ours).expect("it is who it says");
    for (host, ca) in [("localhost", &theirs), ("127.0.0.1", &ours)] {
        let refused = ask(host, ca).expect_err(host);
        assert!(matches!(refused, LedgerError::Away(_)), "{refused}");
        assert!(refused.to_string().contains("certificate"), "{refused}");
    }
}

/// Each query of docs/cluster.md, over records as the program writes them.
#[test]
fn people_may_ask_in_sql() {
    let Some(server) = engine("people_may_ask_in_sql") else { return };
    let mut journal = PostgresJournal::new(options(&server.url(), "a"));
    let mut records = Batch::default();
    for (seq, line) in (1..).zip(include_str!("../../../tests/records/2026-11.ndjson").lines()) {
        let event: Event = serde_json::from_str(line).expect("an event");
        let json = serde_json::to_string(&Event { seq, ..event }).expect("plain data");
        records.push(seq, json.as_bytes()).expect("fit");
    }
    let start = Position::default();
    journal.find(0, &[]).expect("an empty journal");
    journal.turn(&start).expect("a turn");
    let end = place(journal.append(&start, &records));
    // Those decided nothing; acts do.
    let dir = tempfile::tempdir().expect("scratch");
    let mut acts: Vec<Event> = (1..11).map(event).collect();
    node(&server, dir.path(), "b").commit(&mut acts).expect("committed");
    let all = sql(&server, "SELECT count(*), count(type), count(at) FROM event");
    assert_eq!(all[0], vec![(end.seq + 10).to_string(); 3]);
    let text = include_str!("../../../docs/cluster.md");
    let queries: Vec<&str> = text
        .split("```sql\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter(|query| query.starts_with("SELECT"))
        .collect();
    assert_eq!(queries.len(), 3);
    for query in queries {
        let rows = sql(&server, query);
        assert!(!rows.is_empty(), "nothing comes of {query}");
        assert!(rows.iter().flatten().all(|value| !value.is_empty()), "{query}: {rows:?}");
    }
}

fn node(server: &Server, dir: &std::path::Path, name: &str) -> SledLedger {
    node_with(&server.url(), dir, name, Duration::from_secs(60))
}

fn node_with(url: &str, dir: &std::path::Path, name: &str, patience: Duration) -> SledLedger {
    join(options(url, name), dir, Box::new(PolicyFold::new()), patience)
}

fn join(
    options: Options,
    dir: &std::path::Path,
    fold: Box<dyn Fold>,
    patience: Duration,
) -> SledLedger {
    let dir = dir.join(&options.node);
    let share = Share {
        connect: Box::new(move || Box::new(PostgresJournal::new(options.clone()))),
        patience,
        stale: Duration::ZERO,
        poll: Duration::from_millis(5),
    };
    let store = store::Options { cache_bytes: 1 << 20, ..store::Options::new(dir) };
    let node = SledLedger::join(store, fold, share).expect("a start");
    assert!(node.wait_level(Duration::from_secs(60)));
    node
}

/// Nodes commit at once, the engine is killed in between, a node is made anew: each event is there
/// once, where it was acknowledged, and all lists are one.
#[test]
fn nodes_share_one_list_and_survive_the_engine() {
    let Some(mut server) = engine("nodes_share_one_list_and_survive_the_engine") else { return };
    let dir = tempfile::tempdir().expect("scratch");
    let nodes: Vec<SledLedger> =
        ["a", "b", "c"].iter().map(|name| node(&server, dir.path(), name)).collect();
    let work = |place: u64, node: &SledLedger| {
        let mut stored = BTreeMap::new();
        for round in 0..60 {
            // The same mail comes to two nodes, and again.
            let from = (round * 3 + place % 2) * 5;
            let mut events: Vec<Event> = (from..from + 10).map(event).collect();
            for event in &mut events {
                event.id = format!("{}-{place}-{round}", event.id);
            }
            let committed = node.commit(&mut events).expect("the engine comes back in time");
            for (n, committed) in (from..).zip(committed) {
                let other = stored.insert(n, committed.id.clone());
                assert!(other.is_none_or(|other| other == committed.id), "{n} came twice");
            }
        }
        stored
    };
    let stored: Vec<BTreeMap<u64, String>> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..).zip(&nodes).map(|(place, node)| scope.spawn(move || work(place, node))).collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(300));
            server.stop("KILL");
            // Questions go on meanwhile.
            assert!(nodes.iter().all(|node| node.look_up(&[b"m/fold".to_vec()]).is_ok()));
            server.run();
        }
        workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
    });
    let rows = sql(&server, "SELECT seq, line FROM journal ORDER BY seq");
    let found: Vec<Event> =
        rows.iter().map(|row| serde_json::from_str(&row[1]).expect("an event")).collect();
    let ids: BTreeSet<&str> = found.iter().map(|event| event.id.as_str()).collect();
    let digests: BTreeSet<_> = found.iter().map(|event| &event.digest).collect();
    assert_eq!((ids.len(), digests.len()), (rows.len(), rows.len()), "an event is there twice");
    for (at, row) in (1..).zip(&rows) {
        assert_eq!(row[0], format!("{at}"), "positions have no gap");
    }
    for (n, id) in stored.iter().flatten() {
        assert!(ids.contains(id.as_str()), "{n} was acknowledged as {id} and is lost");
    }
    assert_eq!(sql(&server, "SELECT seq FROM head")[0][0], rows.len().to_string());
    let fresh = node(&server, dir.path(), "d");
    let digest = fresh.digest().expect("ready");
    for node in &nodes {
        let until = std::time::Instant::now() + Duration::from_secs(60);
        while node.status().last_seq < rows.len() as u64 && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(node.digest().expect("ready"), digest);
        let engine = node.status().engine.expect("it shares");
        assert_eq!(engine.is_synchronous, Some(false));
    }
}

/// A node whose list goes wrong at one record, such as by a fault of its memory.
struct Wrong(PolicyFold);

impl Fold for Wrong {
    fn fold(&mut self, rows: &mut dyn Rows, event: &mut Event) -> Result<(), LedgerError> {
        self.0.fold(rows, event)?;
        if event.id == "id-25" {
            rows.put(b"m/wrong".to_vec(), Some(b"1".to_vec()));
        }
        Ok(())
    }

    fn touches(&self, event: &Event) -> Vec<String> {
        self.0.touches(event)
    }
}

#[test]
fn nodes_with_different_lists_are_named() {
    let Some(server) = engine("nodes_with_different_lists_are_named") else { return };
    let dir = tempfile::tempdir().expect("scratch");
    let (a, b) = (node(&server, dir.path(), "a"), node(&server, dir.path(), "b"));
    let wrong = options(&server.url(), "c");
    let wrong =
        join(wrong, dir.path(), Box::new(Wrong(PolicyFold::new())), Duration::from_secs(60));
    let report = || EngineReport::ask(&options(&server.url(), "x")).expect("asked");
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        let end = std::time::Instant::now() + Duration::from_secs(60);
        while !is_so() {
            assert!(std::time::Instant::now() < end, "{what}: {:?}", report());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let tell = |name: &'static str| {
        until(name, &|| report().nodes.iter().all(|node| node.facts.contains_key(name)));
    };
    // In the middle of a batch, and where it ends.
    a.commit(&mut (1..=24).map(event).collect::<Vec<_>>()).expect("committed");
    tell("list at 20");
    tell("list at 24");
    let said = |report: &EngineReport| {
        let troubles = report.troubles().into_iter();
        troubles.filter(|trouble| trouble.contains("different lists")).collect::<Vec<_>>()
    };
    assert_eq!(said(&report()), Vec::<String>::new());
    b.commit(&mut (25..=37).map(event).collect::<Vec<_>>()).expect("committed");
    tell("list at 30");
    tell("list at 37");
    // Once, though they differ at two positions.
    let said = said(&report());
    assert!(said.len() == 1 && said[0].contains("same records: a, b / c;"), "{said:?}");
    // Each node says it of all: to `/readyz`, `doctor`, and `bounced_engine_warnings`.
    for node in [&a, &b, &wrong] {
        until("a warning", &|| node.status().engine.is_some_and(|engine| engine.warnings == said));
    }
}
