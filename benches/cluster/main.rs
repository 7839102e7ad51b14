//! Nodes over a PostgreSQL of their own, which syncs, each figure beside a peer of the same run:
//! `cargo bench --bench cluster [-- PART...]`.
//!
//! | part | what | peer |
//! |---|---|---|
//! | `throughput` | 1, 2 and 4 nodes that commit 50 events at a time | as many connections that insert the same lines, 50 a transaction, into a table of the same shape |
//! | `converge` | how soon three nodes know what one committed, at 2,000 events a second | |
//! | `twice` | 100,000 messages, each to two nodes at once: one record each | |
//! | `digest` | `EVENTS` (100,000) mixed events through one node, and through three in turn | local segments: one digest |
//! | `beginning` | a node that has nothing, of `RECORDS` (1,000,000) with a shared checkpoint | the same without one |
//! | `lookups` | of that list on a node, with PostgreSQL and without | local segments |
//! | `retention` | commits while a part of the journal is deleted | commits while nothing is |

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bounced::analysis::{Analyser, Received};
use bounced::classify::RuleSet;
use bounced::config::Config;
use bounced::event::{Act, Envelope, Event, EventType, Imported};
use bounced::ledger::Ledger;
use bounced::ledger::postgres::{self, Folds, Options, PostgresJournal, schema};
use bounced::ledger::store::{self, Share, SledLedger};
use bounced::mail::Timestamp;
use bounced::policy::{FOLD_VERSION, OLDEST_FOLD, PolicyFold};
use bounced::verp::{Moment, Verp};
use tokio_postgres::NoTls;

mod list;
mod retention;
#[path = "../../tests/postgres/mod.rs"]
mod server;
mod speed;

use server::Server;

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 50;
const ROUNDS: usize = 5;
const NOW: i64 = 1_800_000_000_000;
const MESSAGE: &[u8] = include_bytes!("../../examples/dsn.eml");

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_asked = |part: &str| asked.is_empty() || asked.iter().any(|one| one == part);
    let analyser = Analyser {
        verp: Arc::new(Verp::new(&Config::default().verp, &[]).expect("no keys")),
        rules: Arc::new(RuleSet::load(None).expect("the shipped rules")),
        shadow: None,
    };
    if is_asked("throughput") {
        speed::throughput(&analyser);
    }
    if is_asked("converge") {
        speed::converge(&analyser);
    }
    if is_asked("twice") {
        speed::twice(&analyser);
    }
    if is_asked("digest") {
        list::digest(&analyser, number("EVENTS", 100_000));
    }
    if is_asked("beginning") || is_asked("lookups") {
        list::big(number("RECORDS", 1_000_000), is_asked("lookups"));
    }
    if is_asked("retention") {
        retention::retention(number("OLD", 200_000));
    }
}

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// A PostgreSQL that loses nothing when it is killed.
fn engine() -> Server {
    let settings = ["fsync=on", "shared_buffers=128MB", "max_wal_size=4GB", "max_connections=60"];
    let Some(server) = Server::start_with(&settings) else {
        server::skipped("cluster");
        std::process::exit(0);
    };
    schema::init(&options(&server.url(), "admin")).expect("made");
    server
}

fn options(url: &str, node: &str) -> Options {
    Options {
        place: Arc::new(postgres::read(url).expect("a URL")),
        schema: "bounced".to_string(),
        ledger: 1,
        node: node.to_string(),
        folds: Folds { oldest: OLDEST_FOLD, newest: FOLD_VERSION },
        run: format!("run of {node}"),
        facts: postgres::Fingerprints::default(),
    }
}

fn node(server: &Server, dir: &Path, name: &str) -> SledLedger {
    let options = options(&server.url(), name);
    let share = Share {
        connect: Box::new(move || Box::new(PostgresJournal::new(options.clone()))),
        patience: Duration::from_secs(60),
        stale: Duration::ZERO,
        poll: Duration::from_millis(50),
    };
    let store = store::Options::new(dir.join(name));
    let node = SledLedger::join(store, Box::new(PolicyFold::new()), share).expect("a start");
    while !node.wait_level(Duration::from_secs(1)) {
        assert!(node.stuck().is_none(), "{:?}", node.stuck());
    }
    node
}

fn local(dir: &Path) -> SledLedger {
    let options = store::Options::new(dir.join("local"));
    SledLedger::open(options, Box::new(PolicyFold::new())).expect("it opens")
}

/// A message that refuses an address of its own.
fn message(analyser: &Analyser, n: usize) -> Event {
    let to = format!("bounces+u{n}=d{}.example@bounce.example.test", n % 1_000);
    let at = Timestamp::from_millis(NOW + n as i64 * 100);
    analyser.record(Received {
        data: MESSAGE,
        envelope: Envelope { from: String::new(), to: vec![to], trusted: false },
        peer: None,
        received_at: at,
        moment: Moment::from(at),
        id: format!("event-{n:09}"),
    })
}

fn act(n: usize, act: Act) -> Event {
    let at = Timestamp::from_millis(NOW + n as i64 * 100);
    Event { act: Some(act), ..Event::new(EventType::Act, format!("event-{n:09}"), at) }
}

fn name_of(n: usize) -> String {
    format!("u{n}@d{}.example", n % 1_000)
}

fn suppress(n: usize) -> Event {
    let (address, scope) = (name_of(n), "*".to_string());
    let (reason, until, imported) = ("asked".to_string(), None, Imported::default());
    act(n, Act::Suppress { address, scope, reason, until, imported })
}

/// Waits until all nodes have what any has.
fn level(nodes: &[SledLedger]) {
    let last = || nodes.iter().map(|node| node.status().last_seq);
    while last().min() < last().max() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How long it takes until all are done, in seconds.
fn all<F: FnOnce() + Send>(work: impl Iterator<Item = F>) -> f64 {
    let began = Instant::now();
    std::thread::scope(|scope| work.for_each(|one| drop(scope.spawn(one))));
    began.elapsed().as_secs_f64()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn sql(url: &str, text: &str) -> Vec<String> {
    block(async {
        let client = connect(url).await;
        let rows = client.simple_query(text).await.expect("it works");
        let row = |message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_string),
            _ => None,
        };
        rows.into_iter().filter_map(row).collect()
    })
}

fn block<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connected");
    tokio::spawn(connection);
    client
}
