//! How long a rebuild of the list takes, how much memory it needs, and that it gives the same.
//!
//! `cargo run --release --example rebuild [RECORDS [FOLDER]]` writes a seeded journal through the
//! real ledger and the real policy: failures of many reasons, blocks, deliveries, delays,
//! complaints and acts on 0.6 addresses a record. Then it takes the digest of the state, removes
//! view and checkpoints, and starts itself again to rebuild from the journal alone, so that the
//! peak of memory (VmHWM) is that of the rebuild. One line says it all; exit 1 when the digests
//! differ. FOLDER (else a temporary one) is only used when it is empty or not there.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use bounced::classify::{Reason, RecipientVerdict};
use bounced::event::{Act, Analysis, Event, EventType, Imported, SendResult};
use bounced::ledger::Ledger;
use bounced::ledger::store::{Options, SledLedger};
use bounced::mail::{Address, Timestamp};
use bounced::policy::{Policy, PolicyFold};
use bounced::report::{Action, Attribution, Kind, Original, Recipient};

/// Events of one commit.
const BATCH: u64 = 256;
/// When the journal begins, and how long it is.
const START_MS: i64 = 1_790_000_000_000;
const SPAN_MS: i64 = 80 * 86_400_000;
/// How long a rebuild may take.
const PATIENCE: Duration = Duration::from_secs(3_600);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [word, folder] if word == "again" => again(Path::new(folder)),
        _ => {
            let records = args.first().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
            let scratch = tempfile::tempdir().expect("a scratch folder");
            let folder = args.get(1).map_or(scratch.path().join("data"), PathBuf::from);
            whole(records, &folder)
        }
    }
}

/// Writes the journal, then lets another process rebuild from it.
fn whole(records: u64, folder: &Path) -> ExitCode {
    assert!(
        folder.read_dir().map_or(true, |mut entries| entries.next().is_none()),
        "{} is not empty",
        folder.display()
    );
    let began = Instant::now();
    let ledger = open(folder);
    let mut act = Event::new(EventType::Act, "policy".to_string(), at(0, records));
    act.act = Some(Policy::default().act());
    ledger.commit(&mut [act]).expect("committed");
    let mut random = Random(42);
    for from in (1..records).step_by(BATCH as usize) {
        let until = (from + BATCH).min(records);
        let mut batch: Vec<Event> = (from..until).map(|n| event(n, records, &mut random)).collect();
        let committed = ledger.commit(&mut batch).expect("committed");
        assert!(committed.iter().all(|one| !one.duplicate), "every record is one of its own");
    }
    let wrote = began.elapsed();
    let (digest, status) = (ledger.digest().expect("ready"), ledger.status());
    let began = Instant::now();
    ledger.checkpoint(at(records, records)).expect("written");
    let checkpointed = began.elapsed();
    drop(ledger);
    for disposable in ["view", "checkpoint"] {
        std::fs::remove_dir_all(folder.join(disposable)).expect("disposable");
    }
    println!(
        "{records} records, {} MiB of journal: written and folded in {:.1} s, checkpoint {:.1} s",
        status.journal_bytes >> 20,
        wrote.as_secs_f64(),
        checkpointed.as_secs_f64(),
    );
    let program = std::env::current_exe().expect("a program");
    let again = Command::new(program).arg("again").arg(folder).output().expect("it starts again");
    let again = String::from_utf8_lossy(&again.stdout).into_owned();
    let same = again.split_whitespace().last() == Some(digest.as_str());
    print!("rebuilt from the journal alone {again}");
    println!("digest {}", if same { "identical" } else { "DIFFERENT" });
    if same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Rebuilds, and says time, memory and digest.
fn again(folder: &Path) -> ExitCode {
    let began = Instant::now();
    let ledger = open(folder);
    let took = began.elapsed();
    let peak = peak_kib().unwrap_or(0);
    let digest = ledger.digest().expect("ready");
    println!("in {:.1} s, peak {} MiB, {digest}", took.as_secs_f64(), peak >> 10);
    ExitCode::SUCCESS
}

fn open(folder: &Path) -> SledLedger {
    let options = Options { min_free_bytes: 1 << 20, ..Options::new(folder) };
    let ledger = SledLedger::open(options, Box::new(PolicyFold::new())).expect("a data directory");
    assert!(ledger.wait_ready(PATIENCE), "the view is not ready in time");
    ledger
}

/// Peak of resident memory (proc_pid_status(5)).
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % most.max(1)
    }
}

fn at(n: u64, records: u64) -> Timestamp {
    let share = i128::from(SPAN_MS) * i128::from(n) / i128::from(records.max(1));
    Timestamp::from_millis(START_MS + i64::try_from(share).unwrap_or(SPAN_MS))
}

fn event(n: u64, records: u64, random: &mut Random) -> Event {
    let place = random.below(records * 6 / 10);
    let address = format!("user{place}@d{}.example.com", place % 2_000);
    let blank = |event_type| {
        let mut event = Event::new(event_type, format!("e{n:020x}"), at(n, records));
        event.digest = Some(format!("{n:032x}"));
        event
    };
    match random.below(100) {
        0 => {
            let mut event = blank(EventType::Act);
            let (scope, reason) = ("*".to_string(), "asked by hand".to_string());
            event.act = Some(match random.below(2) {
                0 => Act::Suppress {
                    address,
                    scope,
                    reason,
                    until: None,
                    imported: Imported::default(),
                },
                _ => Act::Release { address, scope, reason },
            });
            event
        }
        1..=24 => {
            let mut event = blank(EventType::Result);
            let outcome = if random.below(3) == 0 { "delivered" } else { "sent" };
            event.result = Some(SendResult {
                outcome: outcome.to_string(),
                address,
                message_id: Some(format!("<{n}@news.example.net>")),
                verdict: None,
            });
            event
        }
        25..=27 => message(blank(EventType::Message), Kind::Complaint, address, None),
        28..=34 => message(blank(EventType::Message), Kind::Delay, address, Some(Reason::Expired)),
        35..=39 => message(blank(EventType::Message), Kind::AutoReply, address, None),
        _ => {
            let reasons = [
                Reason::UserUnknown,
                Reason::UserUnknown,
                Reason::MailboxFull,
                Reason::MailboxInactive,
                Reason::Blocked,
                Reason::Generic,
                Reason::SpamContent,
                Reason::NetworkError,
            ];
            let reason = reasons.get(random.below(8) as usize).copied();
            message(blank(EventType::Message), Kind::Failure, address, reason)
        }
    }
}

/// A report as large as usual ones.
fn message(mut event: Event, kind: Kind, address: String, reason: Option<Reason>) -> Event {
    let failed = matches!(kind, Kind::Failure | Kind::Delay);
    let action = if kind == Kind::Delay { Action::Delayed } else { Action::Failed };
    event.peer = Some("192.0.2.1".to_string());
    event.attribution = Some(Attribution::Report);
    let verdict = RecipientVerdict {
        recipient: Recipient {
            address: Address::parse(&address),
            action: failed.then_some(action),
            diagnostic: format!("550 5.1.1 <{address}>: Recipient address rejected: no such user"),
            remote_mta: Some("mx1.example.com".to_string()),
            final_recipient: Some(address),
            ..Recipient::default()
        },
        reason,
        class: reason.map(Reason::class),
        class_code: reason.map(|r| r.class().code()),
        category: reason.map(Reason::category),
        advice: reason.map(Reason::advice),
        rule: reason.map(|r| format!("test/{r}")),
        matched: Some("no such user".to_string()),
        ..RecipientVerdict::default()
    };
    let original = Original {
        message_id: Some(format!("<{}@news.example.net>", event.id)),
        subject: Some("The news of this week".to_string()),
        ..Original::default()
    };
    event.analysis = Some(Analysis {
        bytes: 4_711,
        reporting_mta: Some("mx.example.net".to_string()),
        recipients: vec![verdict],
        original,
        feedback_type: (kind == Kind::Complaint).then(|| "abuse".to_string()),
        clues: vec!["multipart/report; report-type=delivery-status".to_string()],
        ..Analysis::new(kind, "rfc3464")
    });
    event
}
