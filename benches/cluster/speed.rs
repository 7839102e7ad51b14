//! How many events a second, how soon all nodes know them, and the same mail to two nodes at once.

use std::time::{Duration, Instant};

use bounced::analysis::Analyser;
use bounced::event::Event;
use bounced::ledger::Ledger;
use bounced::ledger::store::SledLedger;

use super::server::Server;
use super::{
    BATCH, ROUNDS, all, block, connect, engine, level, median, message, node, number, sql,
};

/// Batches for each of so many writers.
fn batches(analyser: &Analyser, writers: usize, each: usize, first: usize) -> Vec<Vec<Vec<Event>>> {
    let batch = |from: usize| (from..from + BATCH).map(|n| message(analyser, n)).collect();
    let of = |writer: usize| {
        let from = first + writer * each * BATCH;
        (0..each).map(|place| batch(from + place * BATCH)).collect()
    };
    (0..writers).map(of).collect()
}

pub fn throughput(analyser: &Analyser) {
    let each = number("BATCHES", 400);
    for count in [1, 2, 4] {
        let (server, dir) = (engine(), tempfile::tempdir().expect("scratch"));
        bare_table(&server);
        let nodes: Vec<SledLedger> =
            (0..count).map(|n| node(&server, dir.path(), &format!("n{n}"))).collect();
        let (mut ours, mut bare, mut first) = (Vec::new(), Vec::new(), 0);
        for _ in 0..ROUNDS {
            let rounds = batches(analyser, count, each / ROUNDS / count, first);
            let events = rounds.iter().flatten().flatten().count();
            first += events;
            let began = nodes[0].status().last_seq;
            let took = all(nodes.iter().zip(rounds).map(|(node, batches)| {
                move || {
                    for mut batch in batches {
                        node.commit(&mut batch).expect("committed");
                    }
                }
            }));
            ours.push(events as f64 / took);
            level(&nodes);
            let lines = nodes[0].journal(began + 1, events).expect("readable");
            assert_eq!(lines.len(), events);
            bare.push(events as f64 / insert(&server.url(), &lines, count));
        }
        let (ours, bare) = (median(ours), median(bare));
        println!(
            "throughput, {count} nodes: {ours:.0} events/s, bare insert {bare:.0}/s: {:.2}",
            ours / bare
        );
    }
}

fn bare_table(server: &Server) {
    sql(&server.url(), "CREATE TABLE public.bare (LIKE bounced.journal INCLUDING ALL)");
}

/// Inserts lines on so many connections at once, a batch a transaction; gives the seconds.
fn insert(url: &str, lines: &[(u64, String)], connections: usize) -> f64 {
    let share = lines.len() / connections;
    all(lines.chunks(share).map(|lines| {
        move || {
            block(async {
                let client = connect(url).await;
                let text = "INSERT INTO public.bare (ledger, seq, at_ms, id, chain, line) \
                     SELECT 1, u.seq, 0, u.id, u.chain, u.line \
                     FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::text[]) \
                          AS u (seq, id, chain, line)";
                let statement = client.prepare(text).await.expect("prepared");
                for batch in lines.chunks(BATCH) {
                    let seqs: Vec<i64> = batch.iter().map(|(seq, _)| *seq as i64).collect();
                    let ids: Vec<String> = seqs.iter().map(|n| format!("event-{n:09}")).collect();
                    let chains = vec![vec![7u8; 32]; batch.len()];
                    let lines: Vec<&str> = batch.iter().map(|(_, line)| line.as_str()).collect();
                    let done = client.execute(&statement, &[&seqs, &ids, &chains, &lines]).await;
                    assert_eq!(done.expect("inserted"), batch.len() as u64);
                }
            });
        }
    }))
}

/// Three nodes, and 2,000 events a second among them: how long after a commit the others know of it.
pub fn converge(analyser: &Analyser) {
    let (server, dir) = (engine(), tempfile::tempdir().expect("scratch"));
    let nodes: Vec<SledLedger> =
        (0..3).map(|n| node(&server, dir.path(), &format!("n{n}"))).collect();
    let (count, every) =
        (number("EVENTS", 20_000) / BATCH, Duration::from_millis(BATCH as u64 / 2));
    let made: Vec<Vec<Event>> = batches(analyser, 1, count, 0).concat();
    let (mut waits, began) = (Vec::new(), Instant::now());
    std::thread::scope(|scope| {
        let mut waiting = Vec::new();
        for (turn, mut batch) in made.into_iter().enumerate() {
            let due = began + every * turn as u32;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let seq = nodes[turn % 3].commit(&mut batch).expect("committed").last().map(|c| c.seq);
            let (done, nodes, seq) = (Instant::now(), &nodes, seq.expect("a batch"));
            waiting.push(scope.spawn(move || {
                while nodes.iter().any(|node| node.status().last_seq < seq) {
                    std::thread::sleep(Duration::from_millis(2));
                }
                done.elapsed().as_secs_f64() * 1e3
            }));
        }
        waits.extend(waiting.into_iter().map(|wait| wait.join().expect("no panic")));
    });
    let rate = (count * BATCH) as f64 / began.elapsed().as_secs_f64();
    waits.sort_by(f64::total_cmp);
    println!(
        "converge: {rate:.0} events/s, all three know after {:.0} ms, p99 {:.0} ms, at most {:.0} ms",
        waits[waits.len() / 2],
        waits[waits.len() * 99 / 100],
        waits[waits.len() - 1]
    );
}

/// The same mail to two nodes at once.
pub fn twice(analyser: &Analyser) {
    let (server, dir) = (engine(), tempfile::tempdir().expect("scratch"));
    let nodes: Vec<SledLedger> =
        (0..2).map(|n| node(&server, dir.path(), &format!("n{n}"))).collect();
    let events = number("EVENTS", 100_000);
    let mut duplicates = 0;
    for first in (0..events).step_by(20 * BATCH) {
        let made = batches(analyser, 1, 20, first).concat();
        duplicates += std::thread::scope(|scope| {
            let commit = |node: usize| {
                let (mut found, made, nodes) = (0, &made, &nodes);
                for batch in made {
                    let mut batch = batch.clone();
                    for event in &mut batch {
                        event.id = format!("{}-{node}", event.id);
                    }
                    let done = nodes[node].commit(&mut batch).expect("committed");
                    found += done.iter().filter(|one| one.duplicate).count();
                }
                found
            };
            let other = scope.spawn(move || commit(1));
            commit(0) + other.join().expect("no panic")
        });
    }
    level(&nodes);
    let records = sql(&server.url(), "SELECT count(*) FROM bounced.journal").concat();
    println!(
        "twice: {events} messages to two nodes each: {records} records, {duplicates} duplicates"
    );
    assert_eq!((records, duplicates), (events.to_string(), events));
}
