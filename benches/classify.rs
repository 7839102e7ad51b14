//! Whole classification (parse, recognise, judge) beside mail-parser's own parse of the same
//! bytes, in turn, on one core: `cargo bench --bench classify [-- DIR]`.
//!
//! Reads all messages of `../shared/corpus` (or DIR, or the repository's samples) into memory,
//! measures rounds of A B C A B C and prints medians, their ratios and the slowest message; C makes
//! the record of a received message, which has a digest besides. With `BOUNCED_PROFILE=N` it only
//! classifies all of them N times, for a profiler.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bounced::analysis::{Analyser, Received};
use bounced::classify::RuleSet;
use bounced::event::Envelope;
use bounced::mail::Timestamp;
use bounced::verp::Verp;

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 21;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let given = std::env::args().skip(1).find(|a| !a.starts_with("--")).map(PathBuf::from);
    let shared = root.join("../shared/corpus/set-of-emails");
    let folder =
        given.unwrap_or_else(|| if shared.is_dir() { shared } else { root.join("tests/corpus") });
    let mut messages = Vec::new();
    collect(&folder, &mut messages);
    messages.sort();
    let bytes: usize = messages.iter().map(|(_, data)| data.len()).sum();
    println!("{} messages, {} kB, from {}", messages.len(), bytes / 1000, folder.display());

    let config = bounced::config::VerpConfig {
        signed: true,
        plain: true,
        keys: Vec::new(),
        max_age: Duration::from_secs(30 * 86_400),
    };
    let start = Instant::now();
    let pipeline = Analyser {
        verp: Arc::new(Verp::new(&config, &[]).expect("no keys, nothing to refuse")),
        rules: Arc::new(RuleSet::load(None).expect("the shipped rules load")),
        shadow: None,
    };
    println!("rules loaded in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);

    if let Ok(rounds) = std::env::var("BOUNCED_PROFILE") {
        for _ in 0..rounds.parse().expect("BOUNCED_PROFILE: a number of rounds") {
            for (_, data) in &messages {
                black_box(pipeline.analyse(data, &[], Timestamp::from_millis(0)));
            }
        }
        return;
    }
    let parser = mail_parser::MessageParser::default();
    let (mut parse, mut classify, mut record) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        parse.push(time(|| {
            for (_, data) in &messages {
                black_box(parser.parse(data.as_slice()));
            }
        }));
        classify.push(time(|| {
            for (_, data) in &messages {
                black_box(pipeline.analyse(data, &[], Timestamp::from_millis(0)));
            }
        }));
        record.push(time(|| {
            for (_, data) in &messages {
                black_box(pipeline.record(received(data)));
            }
        }));
    }
    let (parse, classify) = (median(&mut parse), median(&mut classify));
    let record = median(&mut record);
    let rate = |t: f64| messages.len() as f64 / t;
    println!("mail-parser alone  {:9.0} messages/s", rate(parse));
    println!("whole classify     {:9.0} messages/s", rate(classify));
    println!("ratio              {:9.2} times mail-parser's parse", classify / parse);
    println!("with its record    {:9.0} messages/s", rate(record));
    println!("ratio              {:9.2} times mail-parser's parse", record / parse);

    let slowest = messages.iter().map(|(path, data)| {
        let mut times: Vec<f64> = (0..5)
            .map(|_| {
                time(|| drop(black_box(pipeline.analyse(data, &[], Timestamp::from_millis(0)))))
            })
            .collect();
        (median(&mut times), path)
    });
    let (time, path) = slowest.max_by(|a, b| a.0.total_cmp(&b.0)).expect("there are messages");
    println!("slowest message    {:9.3} ms  {}", time * 1e3, path.display());
}

fn received(data: &[u8]) -> Received<'_> {
    Received {
        data,
        envelope: Envelope::default(),
        peer: None,
        received_at: Timestamp::from_millis(0),
        moment: Timestamp::from_millis(0).into(),
        id: String::new(),
    }
}

fn collect(folder: &Path, into: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|e| e == "eml") {
            into.push((path.clone(), fs::read(&path).expect("readable")));
        }
    }
}

fn time(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
