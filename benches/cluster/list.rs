//! One list, however many nodes make it; how a node begins, and what it costs to ask one.

use std::time::Instant;

use bounced::analysis::{Analyser, Received};
use bounced::event::{Act, Envelope, Event};
use bounced::ledger::Ledger;
use bounced::ledger::journal::Batch;
use bounced::ledger::order::{Appended, Journal, Place};
use bounced::ledger::postgres::PostgresJournal;
use bounced::ledger::store::SledLedger;
use bounced::mail::{Address, Timestamp};
use bounced::policy::PolicyReader;
use bounced::verp::Moment;

use super::server::Server;
use super::{NOW, ROUNDS, act, engine, level, local, median, name_of, node, options, suppress};

/// Mail of the corpus to a few thousand addresses, acts by hand, and an undo now and then.
fn mixed(analyser: &Analyser, corpus: &[Vec<u8>], n: usize) -> Event {
    let (address, scope, reason) = (name_of(n % 5_000), "*".to_string(), "asked".to_string());
    match n % 40 {
        7 => suppress(n % 5_000 + n / 5_000 * 5_000),
        19 => act(n, Act::Release { address, scope, reason }),
        _ if n % 10_007 == 10_006 => act(
            n,
            Act::Undo {
                rule: None,
                provider: Some("google".to_string()),
                peer: None,
                after: None,
                before: None,
                reason,
            },
        ),
        _ => {
            let (to, at) = (name_of(n % 5_000).replace('@', "="), NOW + n as i64 * 100);
            analyser.record(Received {
                data: &corpus[n % corpus.len()],
                envelope: Envelope {
                    from: String::new(),
                    to: vec![format!("bounces+{to}@bounce.example.test")],
                    trusted: false,
                },
                peer: None,
                received_at: Timestamp::from_millis(at),
                moment: Moment::from(Timestamp::from_millis(at)),
                id: format!("event-{n:09}"),
            })
        }
    }
}

pub fn digest(analyser: &Analyser, events: usize) {
    let corpus: Vec<Vec<u8>> = glob("tests/corpus");
    let mut found = Vec::new();
    for count in [0, 1, 3] {
        let dir = tempfile::tempdir().expect("scratch");
        let server = (count > 0).then(engine);
        let nodes: Vec<SledLedger> = match &server {
            None => vec![local(dir.path())],
            Some(server) => {
                (0..count).map(|n| node(server, dir.path(), &format!("n{n}"))).collect()
            }
        };
        let (began, mut next, mut turn) = (Instant::now(), 0, 0usize);
        while next < events {
            // Batches of each size, and another node each time.
            let end = events.min(next + 1 + turn * 37 % 113);
            let mut batch: Vec<Event> = (next..end).map(|n| mixed(analyser, &corpus, n)).collect();
            nodes[turn % nodes.len()].commit(&mut batch).expect("committed");
            (next, turn) = (end, turn + 1);
        }
        level(&nodes);
        for node in &nodes {
            found.push(node.digest().expect("ready"));
        }
        println!(
            "digest, {events} mixed events through {} in {:.0} s: {} records, {}",
            if count == 0 { "local segments".to_string() } else { format!("{count} nodes") },
            began.elapsed().as_secs_f64(),
            nodes[0].status().last_seq,
            found.last().map_or("", |digest| &digest[..16]),
        );
    }
    assert!(found.iter().all(|digest| *digest == found[0]), "they differ: {found:?}");
    println!("digest: {} lists, one digest", found.len());
}

/// The messages below a folder, in the order of their names.
fn glob(dir: &str) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for folder in std::fs::read_dir(dir).expect("run it from the repository").flatten() {
        let inside = std::fs::read_dir(folder.path()).into_iter().flatten().flatten();
        files.extend(
            inside.map(|file| file.path()).filter(|p| p.extension().is_some_and(|e| e == "eml")),
        );
    }
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("readable")).collect()
}

/// A long journal, as `engine adopt` brings one in; then nodes begin with it, and are asked.
pub fn big(records: usize, is_asked: bool) {
    let (mut server, dir) = (engine(), tempfile::tempdir().expect("scratch"));
    let local = local(dir.path());
    let began = Instant::now();
    for from in (0..records).step_by(500) {
        let mut batch: Vec<Event> = (from..records.min(from + 500)).map(suppress).collect();
        local.commit(&mut batch).expect("committed");
    }
    local.checkpoint(Timestamp::from_millis(i64::MAX)).expect("written");
    println!("{records} records into local segments: {:.0} s", began.elapsed().as_secs_f64());
    let (began, mut journal, mut place) =
        (Instant::now(), PostgresJournal::new(options(&server.url(), "adopt")), Place::default());
    while place.seq < records as u64 {
        let mut batch = Batch::default();
        for (seq, line) in local.journal(place.seq + 1, 500).expect("readable") {
            batch.push(seq, line.as_bytes()).expect("fits");
        }
        journal.turn(&place).expect("a turn");
        match journal.append(&place, &batch).expect("appended") {
            Appended::Done(end) => place = end,
            other => panic!("{other:?}"),
        }
    }
    println!("copied into PostgreSQL: {:.0} s", began.elapsed().as_secs_f64());
    let begin = |name: &str| {
        let began = Instant::now();
        let node = node(&server, dir.path(), name);
        println!(
            "beginning, {name}: {:.1} s until it answers and commits",
            began.elapsed().as_secs_f64()
        );
        node
    };
    let whole = begin("without a checkpoint");
    whole.checkpoint(Timestamp::from_millis(i64::MAX)).expect("written");
    whole.share_checkpoint().expect("shared");
    let new = begin("with a checkpoint");
    let digests = [&local, &whole, &new].map(|list| list.digest().expect("ready"));
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    println!("beginning: 3 lists, one digest");
    drop(whole);
    if is_asked {
        look_up(&mut server, &local, &new, records);
    }
}

fn look_up(server: &mut Server, local: &SledLedger, node: &SledLedger, records: usize) {
    let (reader, now) = (PolicyReader::new(), Timestamp::from_millis(NOW));
    let asked: Vec<String> = (0..50_000).map(|n| name_of(n * 7919 % (2 * records))).collect();
    let once = |list: &SledLedger| {
        let began = Instant::now();
        let hits = asked.iter().filter(|address| {
            let address = Address::parse(address).expect("an address");
            reader.may_know(list, &address.to_string()).expect("readable")
                && reader.standing(list, &address, None, now).expect("readable").is_some()
        });
        let hits = hits.count();
        (began.elapsed().as_secs_f64() * 1e6 / asked.len() as f64, hits)
    };
    for what in ["PostgreSQL runs", "PostgreSQL is stopped"] {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for _ in 0..2 * ROUNDS + 1 {
            let (one, other) = (once(local), once(node));
            assert_eq!(one.1, other.1);
            here.push(one.0);
            there.push(other.0);
        }
        let (here, there) = (median(here), median(there));
        println!(
            "lookups, {what}: {there:.2} µs on a node, {here:.2} µs of local segments: {:.2}",
            there / here
        );
        server.stop("KILL");
    }
}
