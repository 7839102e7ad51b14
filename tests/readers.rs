//! Clients that ask for much and read nothing, against the real binary: memory stays small, and
//! mail, lookups and health are answered all the while. Before there was a budget, 600 of them took
//! 1.6 GB and held mail up for six seconds.

mod service;

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;
use service::{Service, deliver, report};

/// Entries of the list; their export has 5 MB.
const ENTRIES: usize = 20_000;
/// Clients on each of four answers.
const READERS: usize = 150;
/// Clients that all send as many addresses as may be asked about at once.
const ASKERS: usize = 600;
/// Resident memory that is allowed; a debug build with the list in its cache needs a third of it.
const MOST_KIB: u64 = 300 * 1024;
/// What it may grow by for [`ASKERS`]; their bodies alone have 120 MiB.
const MOST_MORE_KIB: u64 = 120 * 1024;

fn resident_kib(service: &Service) -> u64 {
    let id = service.pid();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a figure");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Sends a request; nobody reads the answer.
fn ask(service: &Service, head: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", service.http)).expect("connects");
    let length = body.len();
    let request = format!("{head} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    // A refusal may come before all is sent.
    let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    stream
}

/// A service with a list, and a question about as much of it as may be asked about at once.
fn with_list() -> (Service, String) {
    let mut service = Service::new("");
    service.start();
    let list: String = (0..ENTRIES).map(|n| format!("u{n}@d{}.example\n", n % 50)).collect();
    let (status, done) =
        service.request("POST /v1/suppressions:import", list.as_bytes()).expect("it answers");
    assert_eq!(status, 200, "{done}");
    let asked: Vec<_> = list.lines().take(10_000).collect();
    (service, json!({"addresses": asked}).to_string())
}

#[test]
fn clients_that_read_nothing_cost_little_and_delay_nobody() {
    let (service, check) = with_list();
    let mut silent = Vec::new();
    let mut peak = 0;
    for n in 0..READERS {
        silent.push(ask(&service, "GET /v1/suppressions:export", ""));
        silent.push(ask(&service, "GET /v1/suppressions?limit=10000", ""));
        silent.push(ask(&service, "GET /v1/events", ""));
        silent.push(ask(&service, "POST /v1/suppressions:check", &check));
        peak = peak.max(resident_kib(&service));
        if n % 15 != 14 {
            continue;
        }
        // Each in its turn, while the others are held.
        let gone = format!("gone{n}@example.org");
        let to = format!("bounces+gone{n}=example.org@bounce.example.test");
        deliver(service.smtp, &to, &report(&gone, "5.1.1", "550 5.1.1 user unknown"));
        let mut lookup = TcpStream::connect(("127.0.0.1", service.lookup)).expect("connects");
        lookup.write_all(b"21:suppress u1@d1.exampl,").expect("sends");
        let mut answer = [0; 12];
        lookup.read_exact(&mut answer).expect("answers");
        assert_eq!(&answer, b"9:NOTFOUND ,");
        assert_eq!(service.get("/livez").expect("answers").0, 200);
        assert_eq!(service.get("/v1/suppressions/u1@d1.example").expect("answers").0, 200);
        peak = peak.max(resident_kib(&service));
    }
    assert!(peak < MOST_KIB, "{peak} KiB for {} silent clients", silent.len());
    // Who is too many is told so, and who goes gives the place back.
    assert_eq!(service.get("/v1/suppressions:export").expect("answers").0, 429);
    drop(silent);
    let exported = loop {
        match service.get("/v1/suppressions:export").expect("answers") {
            (429, _) => std::thread::yield_now(),
            (status, body) => break (status, body.lines().filter(|l| l.starts_with('{')).count()),
        }
    };
    assert!(exported.0 == 200 && exported.1 >= ENTRIES, "{exported:?}");
}

/// Bodies of those that will be refused are not held until it is their turn.
#[test]
fn addresses_of_many_clients_are_held_for_few() {
    let (service, check) = with_list();
    let before = resident_kib(&service);
    let mut peak = before;
    let mut silent: Vec<_> = (0..ASKERS)
        .map(|_| {
            let stream = ask(&service, "POST /v1/suppressions:check", &check);
            peak = peak.max(resident_kib(&service));
            stream
        })
        .collect();
    let mut answered = 0;
    for stream in &mut silent {
        let mut status = [0; 12];
        stream.read_exact(&mut status).expect("answers");
        answered += usize::from(status.ends_with(b"200"));
        peak = peak.max(resident_kib(&service));
    }
    assert!((1..ASKERS).contains(&answered), "{answered} of {ASKERS}");
    let more = peak - before;
    assert!(more < MOST_MORE_KIB, "{more} KiB more for {ASKERS} clients, {answered} answered");
}

/// The real limits: more half-sent headers than HTTP has places, and more idle connections than the
/// lookup port has.
#[test]
fn idle_connections_beyond_every_limit_keep_nobody_out() {
    // Our own end of each connection needs a descriptor, too.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
    assert!(limit.maximum.is_none_or(|most| most > 14_000), "ulimit -Hn must allow 14,000 files");
    let mut service = Service::new("");
    service.start();
    let connect = |port: u16| TcpStream::connect(("127.0.0.1", port)).expect("connects");
    let mut idle = Vec::new();
    for _ in 0..2_100 {
        let mut half = connect(service.http);
        half.write_all(b"GET /livez HTTP/1.1\r\nHost: loc").expect("sends");
        idle.push(half);
    }
    assert_eq!(service.get("/livez").expect("answers").0, 200);
    let mut postfix = connect(service.lookup);
    let ask = |stream: &mut TcpStream| {
        stream.write_all(b"17:suppress a@b.test,").expect("sends");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("answers");
    };
    for n in 0..10_100 {
        idle.push(connect(service.lookup));
        if n % 1000 == 999 {
            ask(&mut postfix);
            ask(&mut connect(service.lookup));
        }
    }
    ask(&mut postfix);
    ask(&mut connect(service.lookup));
    let (_, metrics) = service.get("/metrics").expect("answers");
    for port in ["http", "lookup"] {
        let full = format!(
            "bounced_connections_refused_total{{port=\"{port}\",reason=\"connection_limit\"}} 0\n"
        );
        assert!(metrics.contains(&full), "nobody found the {port} port shut");
        let away = full.replace("connection_limit", "sent_away");
        assert!(!metrics.contains(&away), "the places of {port} were all taken");
    }
}
