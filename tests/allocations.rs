//! How often the paths that everything takes ask the allocator, in the order in which they take them,
//! without the message's own buffers. The numbers here may only fall.

use std::sync::Arc;
use std::time::Instant;

use allocation_counter::measure;
use bounced::analysis::{Analyser, Received};
use bounced::classify::RuleSet;
use bounced::config::{Answers, Config, Unscoped};
use bounced::event::{Envelope, Event};
use bounced::ledger::committer::{Committer, CommitterOptions};
use bounced::ledger::journal::RealDisk;
use bounced::ledger::store::{Options, SledLedger};
use bounced::ledger::{Committed, Ledger};
use bounced::mail::{Case, Timestamp};
use bounced::policy::PolicyFold;
use bounced::serve::lookup::wire::{Answer, Map, Parsed, Request, Scope, WireProtocol};
use bounced::service::local::{LocalService, MessageObserver, MessageTally, Parts, PrivacyKeys};
use bounced::service::raw_messages::RawStore;
use bounced::service::{Lookup, Service};
use bounced::smtp::{Acceptance, Action, Dialect, OurDomains, Session, SessionSettings};
use bounced::verp::{Moment, Verp};

/// A question about an address that is suppressed: the row is read, unpacked and judged.
const KNOWN: u64 = 96;
/// A transaction of the session (EHLO apart), from MAIL to the reply, with the message's buffer.
const SESSION: u64 = 27;
/// An event in a batch of 50, from the duplicate check to the answer.
const COMMIT: u64 = 270;

struct Nobody;

impl MessageObserver for Nobody {
    fn stored(&self, _: &MessageTally, _: &Committed) {}
    fn shadowed(&self, _: u64, _: u64) {}
}

fn analyser() -> Analyser {
    Analyser {
        verp: Arc::new(Verp::new(&Config::default().verp, &[]).expect("no keys")),
        rules: Arc::new(RuleSet::load(None).expect("the shipped rules")),
        shadow: None,
    }
}

/// What a bounce of the n-th address becomes.
fn event(analyser: &Analyser, n: usize) -> Event {
    let to = format!("bounces+u{n}=d{}.example@bounce.example.test", n % 100);
    analyser.record(Received {
        data: include_bytes!("../examples/dsn.eml"),
        envelope: Envelope { from: String::new(), to: vec![to], trusted: false },
        peer: None,
        received_at: Timestamp::from_millis(1_800_000_000_000 + n as i64),
        moment: Moment::from(Timestamp::from_millis(1_800_000_000_000)),
        id: format!("event-{n}"),
    })
}

fn filled(dir: &std::path::Path) -> Arc<dyn Ledger> {
    let options = Options::new(dir.join("data"));
    let ledger = SledLedger::open(options, Box::new(PolicyFold::new())).expect("it opens");
    let analyser = analyser();
    let mut events: Vec<Event> = (0..2_000).map(|n| event(&analyser, n)).collect();
    for batch in events.chunks_mut(50) {
        assert!(ledger.commit(batch).expect("committed").iter().all(|done| !done.duplicate));
    }
    Arc::new(ledger)
}

fn service(dir: &std::path::Path, ledger: Arc<dyn Ledger>) -> LocalService {
    let disk = Arc::new(RealDisk::new(dir).expect("a folder"));
    LocalService::new(Parts {
        analyser: analyser(),
        committer: Committer::start(Arc::clone(&ledger), CommitterOptions::default(), |_| {})
            .expect("a thread"),
        ledger,
        observer: Arc::new(Nobody),
        raw: RawStore::open(disk, &Config::default().journal, Timestamp::now()).expect("a folder"),
        data_dir: dir.to_path_buf(),
        case: Case::default(),
        unscoped: Unscoped::Any,
        privacy: PrivacyKeys::default(),
    })
    .expect("made")
}

/// One request as the lookup port answers it.
fn answer(service: &LocalService, input: &[u8], words: &Answers, out: &mut Vec<u8>) {
    out.clear();
    let wire = WireProtocol::detect(input).expect("a protocol");
    let Parsed::Complete(Request::Ask(Map::Suppress, key, Scope::Unsaid), used) = wire.parse(input)
    else {
        panic!("a question");
    };
    assert_eq!(used, input.len());
    let found = service.lookup(&key, None).expect("answered");
    let answer = match &found {
        Lookup::Clear => Answer::Clear,
        Lookup::Suppressed { status, text } => Answer::Refuse(*status, text),
        Lookup::Held { text } => Answer::Wait(text),
    };
    wire.reply(Map::Suppress, answer, words, out);
}

#[test]
fn a_lookup_of_an_unknown_address_allocates_nothing() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let ledger = filled(dir.path());
    let service = service(dir.path(), Arc::clone(&ledger));
    let (words, mut out) = (Config::default().answers, Vec::with_capacity(4096));
    let mut ask = |address: &str, tcp: bool| {
        let question = format!("suppress {address}");
        let input = match tcp {
            true => format!("get {address}\n"),
            false => format!("{}:{question},", question.len()),
        };
        let counted = measure(|| answer(&service, input.as_bytes(), &words, &mut out));
        (counted.count_total, String::from_utf8_lossy(&out).into_owned())
    };
    // In memory above sled; in sled and the checkpoint below it.
    for round in ["committed", "in a checkpoint"] {
        for tcp in [false, true] {
            // The middle one: while rows move into sled, some are read twice.
            let mut costs = Vec::new();
            // The filter of the checkpoint says "perhaps" of some that are not there.
            let mut perhaps = 0;
            for n in 0..2_000 {
                let (unknown, said) = ask(&format!("nobody{n}@d{}.example", n % 100), tcp);
                assert!(said.contains("NOTFOUND") || said.starts_with("500 "), "{said}");
                perhaps += usize::from(unknown > 0);
                let (known, said) = ask(&format!("u{n}@d{}.example", n % 100), tcp);
                assert!(said.contains("5.1.1") || said.starts_with("200 "), "{round}, {n}: {said}");
                costs.push(known);
            }
            costs.sort_unstable();
            let (middle, most) = (costs[costs.len() / 2], costs[costs.len() - 1]);
            println!(
                "{round}, tcp {tcp}: unknown 0, but for {perhaps} of 2,000; known {middle}, {most} at most"
            );
            assert!(perhaps <= 100, "{round}: {perhaps} of 2,000 unknown addresses cost something");
            assert!(round == "in a checkpoint" || perhaps == 0, "{perhaps}");
            assert!(
                middle <= KNOWN,
                "{round}: a known address costs {middle}, {KNOWN} are written down"
            );
        }
        ledger.checkpoint(Timestamp::from_millis(1_800_000_100_000)).expect("written");
    }
}

#[test]
fn a_message_costs_no_more_allocations_than_are_written_down() {
    let mut settings = SessionSettings::new("mx.example.test", Dialect::Smtp);
    settings.recipients = Arc::new(OurDomains::new(&["bounce.example.test".to_string()], None));
    let mut session = Session::new(Arc::new(settings), "s1".into(), Instant::now());
    let mut talk = |octets: &[u8]| {
        session.feed(octets);
        loop {
            match session.next() {
                Action::Read => return,
                Action::Write(octets) => assert!(octets.starts_with(b"2") || octets[0] == b'3'),
                Action::Receive(_) => {
                    session.answered(&[Acceptance::Stored { id: "event-1".to_string() }]);
                }
                Action::StartTls | Action::Close => panic!("not asked for"),
            }
        }
    };
    talk(b"EHLO mx.example.net\r\n");
    let message = include_bytes!("../examples/dsn.eml");
    let mut transaction = || {
        talk(b"MAIL FROM:<>\r\n");
        talk(b"RCPT TO:<bounces+a=b.example@bounce.example.test>\r\n");
        talk(b"DATA\r\n");
        message.split_inclusive(|octet| *octet == b'\n').for_each(|line| {
            talk(line.strip_suffix(b"\n").map_or(line, |line| line.trim_ascii_end()));
            talk(b"\r\n");
        });
        talk(b".\r\n");
    };
    transaction();
    let of_session = measure(transaction).count_total;

    let dir = tempfile::tempdir().expect("a scratch folder");
    let (ledger, analyser) = (filled(dir.path()), analyser());
    let mut events: Vec<Event> = (10_000..10_050).map(|n| event(&analyser, n)).collect();
    let counted = measure(|| drop(ledger.commit(&mut events).expect("committed")));
    let of_commit = counted.count_total / 50;
    println!("session {of_session}, commit {of_commit} an event");
    assert!(of_session <= SESSION, "session: {of_session}, {SESSION} are written down");
    assert!(of_commit <= COMMIT, "commit: {of_commit}, {COMMIT} are written down");
}
