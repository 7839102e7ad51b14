//! The parts of the ledger, each beside a peer of the same run: `cargo bench --bench ledger`.
//!
//! | part | peer |
//! |---|---|
//! | fold an event of an address that had none, in memory | reading the same message |
//! | commit 50 events: folded, appended, synced, published | 50 lines of the same octets, one write and one fdatasync |
//! | look up, half of the addresses known | a `HashSet` of the same addresses |
//!
//! Prints the machine, medians of rounds in turn, ratios, and octets an event. `ADDRESSES=N` sets how
//! many addresses there are (100,000).

use std::collections::HashSet;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use bounced::analysis::{Analyser, Received};
use bounced::classify::RuleSet;
use bounced::config::Config;
use bounced::event::{Envelope, Event};
use bounced::ledger::store::{Options, SledLedger};
use bounced::ledger::{Fold, Ledger, MemoryRows};
use bounced::mail::{Address, Timestamp};
use bounced::policy::{PolicyFold, PolicyReader};
use bounced::verp::{Moment, Verp};

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 9;
const BATCH: usize = 50;
const MESSAGE: &[u8] = include_bytes!("../examples/dsn.eml");

fn main() {
    let addresses: usize =
        std::env::var("ADDRESSES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    println!("{}", machine());
    let analyser = Analyser {
        verp: Arc::new(Verp::new(&Config::default().verp, &[]).expect("no keys")),
        rules: Arc::new(RuleSet::load(None).expect("the shipped rules")),
        shadow: None,
    };
    let dir = tempfile::tempdir().expect("a scratch folder");
    let ledger = SledLedger::open(Options::new(dir.path()), Box::new(PolicyFold::new()));
    let ledger = ledger.expect("it opens");
    let mut next = 0;
    let mut events = |count: usize| -> Vec<Event> {
        next += count;
        (next - count..next).map(|n| event(&analyser, n)).collect()
    };
    for _ in 0..addresses.div_ceil(BATCH) {
        ledger.commit(&mut events(BATCH)).expect("committed");
    }
    ledger.checkpoint(Timestamp::from_millis(i64::MAX)).expect("written");
    let status = ledger.status();
    println!(
        "{addresses} addresses: {} octets of journal and {} of view for each",
        status.journal_bytes / addresses as u64,
        status.store_bytes / addresses as u64
    );
    fold(&mut events);
    commit(&ledger, dir.path(), &mut events);
    look_up(&ledger, addresses);
}

fn event(analyser: &Analyser, n: usize) -> Event {
    let to = format!("bounces+u{n}=d{}.example@bounce.example.test", n % 1_000);
    analyser.record(Received {
        data: MESSAGE,
        envelope: Envelope { from: String::new(), to: vec![to], trusted: false },
        peer: None,
        received_at: Timestamp::from_millis(1_800_000_000_000 + n as i64),
        moment: Moment::from(Timestamp::from_millis(1_800_000_000_000)),
        id: format!("event-{n}"),
    })
}

fn fold(events: &mut impl FnMut(usize) -> Vec<Event>) {
    let (mut rows, mut fold) = (MemoryRows::over(()), PolicyFold::new());
    let (mut reads, mut folds, mut seq) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let mut batch = Vec::new();
        reads.push(time(500, || batch = events(500)));
        folds.push(time(500, || {
            for event in &mut batch {
                seq += 1;
                event.seq = seq;
                fold.fold(&mut rows, event).expect("memory");
            }
        }));
    }
    tell("fold an event", median(&mut folds), "read and judge its message", median(&mut reads));
}

fn commit(
    ledger: &SledLedger,
    dir: &std::path::Path,
    events: &mut impl FnMut(usize) -> Vec<Event>,
) {
    let mut file = std::fs::File::create(dir.join("lines")).expect("a file");
    let (mut commits, mut appends) = (Vec::new(), Vec::new());
    for _ in 0..20 * ROUNDS {
        let mut batch = events(BATCH);
        commits.push(time(BATCH, || drop(ledger.commit(&mut batch).expect("committed"))));
        let json = |event| serde_json::to_vec(event).expect("JSON");
        let lines: Vec<u8> = batch.iter().flat_map(json).collect();
        appends.push(time(BATCH, || {
            file.write_all(&lines).expect("room");
            file.sync_data().expect("a disk");
        }));
    }
    tell("commit an event", median(&mut commits), "append and sync its line", median(&mut appends));
}

fn look_up(ledger: &SledLedger, addresses: usize) {
    let name = |n: usize| format!("u{n}@d{}.example", n % 1_000);
    let set: HashSet<String> = (0..addresses).map(name).collect();
    let (reader, now) = (PolicyReader::new(), Timestamp::from_millis(1_800_000_000_000));
    let asked: Vec<String> = (0..20_000).map(|n| name(n * 7919 % (2 * addresses))).collect();
    let (mut ours, mut theirs, mut hits) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        hits = 0;
        ours.push(time(asked.len(), || {
            for address in &asked {
                if !reader.may_know(ledger, address).expect("readable") {
                    continue;
                }
                let address = Address::parse(address).expect("an address");
                let found = reader.standing(ledger, &address, None, now).expect("readable");
                hits += usize::from(found.is_some());
            }
        }));
        let mut known = 0;
        theirs.push(time(asked.len(), || {
            known = asked.iter().filter(|address| black_box(set.contains(*address))).count();
        }));
        assert_eq!(hits, known);
    }
    println!("{hits} of {} addresses are known", asked.len());
    tell("look up", median(&mut ours), "ask a HashSet", median(&mut theirs));
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{processors} processors{model}, Linux {}", kernel.trim())
}

fn tell(what: &str, ours: f64, peer: &str, theirs: f64) {
    println!(
        "{what:16} {:8.2} us   {peer:26} {:8.2} us   ratio {:6.2}",
        ours,
        theirs,
        ours / theirs
    );
}

/// Microseconds for each of `count`.
fn time(count: usize, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64() * 1e6 / count as f64
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
