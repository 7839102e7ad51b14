//! What it costs that old records go.

use std::time::{Duration, Instant};

use bounced::event::Event;
use bounced::ledger::Ledger;
use bounced::ledger::order::SharedCheckpoints;
use bounced::ledger::postgres::PostgresJournal;

use super::{BATCH, engine, node, options, sql, suppress};

/// What others notice when old records go.
pub fn retention(old: usize) {
    let (server, dir) = (engine(), tempfile::tempdir().expect("scratch"));
    let node = node(&server, dir.path(), "n");
    let commit = |from: usize, count: usize| {
        let mut slowest: f64 = 0.0;
        for from in (from..from + count).step_by(BATCH) {
            let mut batch: Vec<Event> = (from..from + BATCH).map(suppress).collect();
            let began = Instant::now();
            node.commit(&mut batch).expect("committed");
            slowest = slowest.max(began.elapsed().as_secs_f64());
        }
        slowest * 1e3
    };
    let size = || {
        sql(&server.url(), "SELECT pg_total_relation_size('bounced.journal') / 1048576").concat()
    };
    commit(0, old);
    let alone = commit(old, 20_000);
    let before = size();
    sql(&server.url(), &format!("UPDATE bounced.head SET first = {}", old + 1));
    let (mut other, began) = (PostgresJournal::new(options(&server.url(), "r")), Instant::now());
    let (gone, took, beside) = std::thread::scope(|scope| {
        let retaining = scope.spawn(move || {
            let gone = other.retain(Duration::MAX).expect("removed");
            (gone, began.elapsed().as_secs_f64())
        });
        let beside = commit(old + 20_000, 20_000);
        let (gone, took) = retaining.join().expect("no panic");
        (gone, took, beside)
    });
    let after = size();
    sql(&server.url(), "VACUUM bounced.journal");
    commit(old + 40_000, old);
    println!(
        "retention: {gone} records in {took:.1} s; slowest commit alone {alone:.0} ms, meanwhile \
         {beside:.0} ms; journal {before} MB, after {after} MB, after VACUUM and as many new ones {} MB",
        size()
    );
}
