//! The HTTP API over real sockets.

mod memory;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bounced::config::Listen;
use bounced::serve::http::{self, Http};
use bounced::serve::limits;
use bounced::serve::metrics::Metrics;
use bounced::serve::places::Room;
use bounced::serve::socket::Listener;
use bounced::serve::tokens::Tokens;
use bounced::service::import::MAX_RECORD;
use memory::Memory;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

const MAX_MESSAGE: u64 = 100_000;

struct Server {
    address: std::net::SocketAddr,
    memory: Arc<Memory>,
    http: Arc<Http>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.head.lines().filter_map(move |line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// Status and `code` of a problem.
    fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.head);
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["type"], "about:blank");
        for field in ["title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        (self.status, problem["code"].as_str().unwrap_or_default().to_string())
    }
}

async fn start() -> Server {
    start_with(None).await
}

async fn start_with(tokens: Option<Tokens>) -> Server {
    start_in(limits::HTTP_ROOM, tokens).await
}

async fn start_in(room: Room, tokens: Option<Tokens>) -> Server {
    let memory = Arc::new(Memory::default());
    memory.put("gone@hard.test", "suppressed");
    memory.put("held@hard.test", "held");
    let metrics = Arc::new(Metrics::new("memory"));
    let http = Http::new(memory.clone(), metrics, tokens, "bounce.example.com", MAX_MESSAGE);
    let http = Arc::new(http.with_room(room));
    let listen = Listen::Tcp(([127, 0, 0, 1], 0).into());
    let listener = Listener::bind(&listen).expect("a free port");
    let address = listener.tcp_address().expect("TCP");
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(http::serve(listener, http.clone(), stopped));
    Server { address, memory, http, stop, task }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connects")
    }

    async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        let mut stream = self.connect().await;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{headers}\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).await.expect("sends");
        // A refusal may come before the body is taken.
        let _ = stream.write_all(body).await;
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        parse(&String::from_utf8(reply).expect("UTF-8"))
    }

    async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", b"").await
    }
}

fn parse(reply: &str) -> Reply {
    let (head, body) = reply.split_once("\r\n\r\n").expect("a header");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { dechunked(body) } else { body.to_string() };
    Reply { status, head: head.to_string(), body }
}

fn dechunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        if size == 0 {
            return body;
        }
        body.push_str(&tail[..size]);
        rest = &tail[size + 2..];
    }
    panic!("the body broke off")
}

#[tokio::test]
async fn one_address() {
    let server = start().await;
    let reply = server.get("/v1/suppressions/gone@hard.test").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    let entry = reply.json();
    for (field, value) in [
        ("address", json!("gone@hard.test")),
        ("scope", json!("*")),
        ("state", json!("suppressed")),
        ("reason", json!("user-unknown")),
        ("until", Value::Null),
    ] {
        assert_eq!(entry[field], value, "{field}");
    }
    // One line: Exim's ${extract jsons} reads it with a regular expression.
    assert!(!reply.body.contains('\n') && reply.header("content-length").is_some());
    for (path, status, code) in [
        ("/v1/suppressions/fine@hard.test", 404, "not-suppressed"),
        ("/v1/suppressions/fine+tag=x@hard.test?scope=news", 404, "not-suppressed"),
        ("/v1/suppressions/nonsense", 400, "bad-request"),
        ("/v1/suppressions/%ff@hard.test", 400, "bad-request"),
        ("/v1/suppressions/gone@hard.test?scpe=news", 400, "bad-request"),
        ("/v1/nothing", 400, "no-such-path"),
    ] {
        assert_eq!(server.get(path).await.problem(), (status, code.to_string()), "{path}");
    }
    assert_eq!(server.get("/v1/suppressions/held%40hard.test").await.json()["state"], "held");
    server.memory.down.store(true, Ordering::Relaxed);
    let reply = server.get("/v1/suppressions/gone@hard.test").await;
    assert_eq!(reply.problem(), (503, "busy".to_string()));
    assert_eq!(reply.header("retry-after"), Some("5"));
    let metrics = server.get("/metrics").await.body;
    for line in [
        "bounced_lookups_total{protocol=\"http\",result=\"hit\"} 1",
        "bounced_lookups_total{protocol=\"http\",result=\"held\"} 1",
        "bounced_lookups_total{protocol=\"http\",result=\"miss\"} 2",
        "bounced_lookups_total{protocol=\"http\",result=\"error\"} 2",
        "bounced_http_requests_total{code=\"4\",route=\"other\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn by_hand() {
    let server = start().await;
    let path = "/v1/suppressions/new+tag@x.test";
    for (method, path, body, code) in [
        ("PUT", path, "", "reason-missing"),
        ("PUT", path, "{\"reason\":\" \"}", "reason-missing"),
        ("PUT", path, "{\"raeson\":\"x\"}", "bad-request"),
        ("PUT", path, "{\"reason\":\"x\",\"until\":\"soon\"}", "bad-request"),
        ("PUT", "/v1/suppressions/nonsense", "{\"reason\":\"x\"}", "bad-request"),
        ("DELETE", path, "", "reason-missing"),
        ("DELETE", path, "{\"reason\":\"x\",\"until\":\"2099-01-01\"}", "bad-request"),
    ] {
        let reply = server.send(method, path, "", body.as_bytes()).await;
        assert_eq!(reply.problem(), (400, code.to_string()), "{method} {path} {body}");
    }
    for _ in 0..2 {
        let body = b"{\"reason\":\"by phone\",\"until\":\"2099-01-01\"}";
        let reply = server.send("PUT", path, "", body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(reply.json()["until"], "2099-01-01T00:00:00Z");
        assert_eq!(reply.json()["scope"], "*");
    }
    // The same by query, in a scope.
    let query = format!("{path}?reason=asked%20by+mail&scope=news");
    assert_eq!(server.send("PUT", &query, "", b"").await.json()["reason"], "asked by mail");
    assert_eq!(server.get(path).await.json()["reason"], "by phone");
    for changed in [true, false] {
        let reply = server.send("DELETE", &format!("{path}?reason=back"), "", b"").await;
        assert_eq!((reply.status, reply.json()["changed"].clone()), (200, json!(changed)));
    }
    assert_eq!(server.get(path).await.status, 404);
    assert_eq!(server.get(&format!("{path}?scope=news")).await.status, 200);
    let explained = server.get("/v1/addresses/new+tag@x.test").await.json();
    assert_eq!(explained["state"], "clear");
    assert_eq!(explained["events"][0]["act"]["what"], "release");
}

#[tokio::test]
async fn pages_of_the_list() {
    let server = start().await;
    for n in 0..25 {
        server.memory.put(&format!("u{n:02}@list.test"), "suppressed");
    }
    let (mut path, mut seen) = ("/v1/suppressions?limit=10&domain=list.test".to_string(), vec![]);
    loop {
        let page = server.get(&path).await.json();
        let entries = page["entries"].as_array().expect("entries").clone();
        seen.extend(entries.iter().map(|entry| entry["address"].as_str().map(str::to_string)));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/suppressions?limit=10&domain=list.test&cursor={next}");
    }
    let expected: Vec<_> = (0..25).map(|n| Some(format!("u{n:02}@list.test"))).collect();
    assert_eq!(seen, expected);
    for (query, entries) in [
        ("class=invalid-recipient", 27),
        ("class=mailbox-full", 0),
        ("since=2026-11-23", 0),
        ("since=2026-11-22T10:00:00%2B00:00", 27),
        ("scope=news", 0),
        ("domain=@hard.test", 2),
    ] {
        let page = server.get(&format!("/v1/suppressions?{query}")).await.json();
        assert_eq!(page["entries"].as_array().map(Vec::len), Some(entries), "{query}");
        assert_eq!(page["next"], Value::Null);
    }
    for query in
        ["limit=0", "limit=10001", "limit=x", "class=dead", "since=x", "reason=x", "domain=a@b.c"]
    {
        let reply = server.get(&format!("/v1/suppressions?{query}")).await;
        assert_eq!(reply.problem(), (400, "bad-request".to_string()), "{query}");
    }
}

#[tokio::test]
async fn many_at_once() {
    let server = start().await;
    let check =
        async |body: &str| server.send("POST", "/v1/suppressions:check", "", body.as_bytes()).await;
    let body = r#"{"addresses":["fine@hard.test","held@hard.test","nonsense","gone@hard.test"]}"#;
    let hits = check(body).await.json();
    let of = |n: usize| hits["entries"][n]["address"].as_str();
    assert_eq!((of(0), of(1), of(2)), (Some("held@hard.test"), Some("gone@hard.test"), None));
    assert_eq!(hits["unreadable"], json!(["nonsense"]), "no miss: nothing can be said of it");
    let addresses = vec!["fine@hard.test"; 10_000];
    assert_eq!(
        check(&json!({"addresses": addresses}).to_string()).await.json(),
        json!({"entries": [], "unreadable": []})
    );
    let addresses = vec!["a@b"; 10_001];
    let reply = check(&json!({"addresses": addresses}).to_string()).await;
    assert_eq!(reply.problem(), (413, "too-large".to_string()));
    for body in ["", "[]", "{\"addresses\":[5]}", "{\"address\":[]}"] {
        assert_eq!(check(body).await.problem(), (400, "bad-request".to_string()), "{body}");
    }
}

#[tokio::test]
async fn a_list_goes_in_and_comes_out() {
    let server = start().await;
    // As tools/load/lookups.sh makes it; curl calls it a form.
    let count = 30_000;
    let list: String = (0..count).map(|n| format!("u{n}@d{}.example\n", n % 1000)).collect();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let import = "/v1/suppressions:import";
    let reply = server.send("POST", import, form, list.as_bytes()).await.json();
    let expected = json!({"format": "columns by their names (without a header)", "lines": count,
        "suppressed": count, "changed": 0, "unchanged": 0, "left_out": 0, "refused": 0, "refusals": [],
        "why": []});
    assert_eq!(reply, expected);
    let again = server.send("POST", import, form, list.as_bytes()).await.json();
    assert_eq!((&again["suppressed"], &again["unchanged"]), (&json!(0), &json!(count)));
    assert_eq!(server.memory.largest_batch.load(Ordering::Relaxed), limits::IMPORT_BATCH);
    let exported = server.get("/v1/suppressions:export?format=lines").await;
    let mut lines: Vec<_> = exported.body.lines().collect();
    lines.sort_unstable();
    let mut expected: Vec<_> = list.lines().chain(["gone@hard.test", "held@hard.test"]).collect();
    expected.sort_unstable();
    assert!(lines == expected, "{} lines came out", lines.len());

    // What an export wrote an import reads, in both rich formats; held entries stay behind.
    for (format, content_type) in
        [("csv", "text/csv; charset=utf-8; header=present"), ("ndjson", "application/x-ndjson")]
    {
        let exported =
            server.get(&format!("/v1/suppressions:export?format={format}&domain=hard.test")).await;
        assert_eq!(exported.header("content-type"), Some(content_type));
        let other = start().await;
        other.send("DELETE", "/v1/suppressions/gone@hard.test?reason=x", "", b"").await;
        let done = other.send("POST", import, "", exported.body.as_bytes()).await.json();
        assert_eq!((&done["suppressed"], &done["left_out"]), (&json!(1), &json!(1)), "{done}");
        let entry = other.get("/v1/suppressions/gone@hard.test").await.json();
        assert_eq!(entry["reason"], "user-unknown");
    }
}

#[tokio::test]
async fn an_import_says_which_lines_were_refused() {
    let server = start().await;
    let long = "x".repeat(MAX_RECORD + 1);
    let list = format!("a@x.test\n\nnonsense\n{long}@x.test\n@@\nb@x.test");
    let path = "/v1/suppressions:import?reason=cleaning&scope=news";
    let reply = server.send("POST", path, "", list.as_bytes()).await.json();
    assert_eq!((&reply["lines"], &reply["suppressed"]), (&json!(6), &json!(2)), "{reply}");
    let lines: Vec<_> =
        reply["refusals"].as_array().expect("a list").iter().map(|r| r["line"].clone()).collect();
    assert_eq!(lines, [3, 4, 5]);
    let entry = server.get("/v1/suppressions/b@x.test?scope=news").await.json();
    assert_eq!(entry["reason"], "cleaning");
    server.memory.down.store(true, Ordering::Relaxed);
    let reply = server.send("POST", path, "", b"c@x.test\n").await;
    assert_eq!(reply.problem(), (503, "busy".to_string()));
    assert!(reply.body.contains("lines up to 0 are in; send all of it again"), "{}", reply.body);
}

#[tokio::test]
async fn a_dry_run_shows_what_an_import_would_do() {
    let server = start().await;
    let list = br#"{"SuppressedDestinationSummaries":[
        {"EmailAddress":"a@x.test","Reason":"COMPLAINT","LastUpdateTime":1700000000},
        {"EmailAddress":"b@x.test","Reason":"BOUNCE","LastUpdateTime":1700000000},
        {"EmailAddress":"nobody","Reason":"BOUNCE","LastUpdateTime":1700000000}]}"#;
    let path = "/v1/suppressions:import?reason=moved&dry_run=true";
    let answer = server.send("POST", path, "", list).await.json();
    assert_eq!(answer["format"], "SES suppression list (JSON)");
    assert_eq!((&answer["dry_run"], &answer["suppressed"]), (&json!(true), &json!(2)), "{answer}");
    assert_eq!(answer["columns"][0], json!({"name": "EmailAddress", "meaning": "address"}));
    let sample = json!({"address": "a@x.test", "scope": "*", "state": "suppressed",
        "reason": "complaint", "since": "2023-11-14T22:13:20Z", "until": null, "events": null,
        "rule": null, "text": "moved"});
    assert_eq!(answer["sample"][0], sample);
    assert_eq!(answer["why"][0]["line"], 3);
    assert_eq!(server.get("/v1/suppressions/a@x.test").await.status, 404);
    let answer = server.send("POST", "/v1/suppressions:import", "", list).await.json();
    assert_eq!((&answer["suppressed"], &answer["refused"]), (&json!(2), &json!(1)), "{answer}");
    assert_eq!(server.get("/v1/suppressions/a@x.test").await.json()["reason"], "complaint");
    // What curl makes of a file with -d and -F: one line, and a form.
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let upload = "Content-Type: multipart/form-data; boundary=b\r\n";
    for (path, fields, body) in [
        ("/v1/suppressions:import", form, "emaila@x.test"),
        ("/v1/suppressions:import", upload, "--b\r\n\r\na@x.test\r\n--b--\r\n"),
        ("/v1/messages", form, "Subject: xFrom: y"),
        ("/v1/messages", upload, "--b\r\n\r\nSubject: x\r\n--b--\r\n"),
    ] {
        let reply = server.send("POST", path, fields, body.as_bytes()).await;
        assert_eq!(reply.problem(), (400, "bad-request".to_string()), "{path} {body}");
        assert!(reply.body.contains("--data-binary @FILE"), "{}", reply.body);
    }
    let reply = server.send("POST", path, "", b"PK\x03\x04...").await;
    assert_eq!(reply.problem(), (400, "bad-request".to_string()));
    assert!(reply.body.contains("save it as CSV"), "{}", reply.body);
}

#[tokio::test]
async fn the_journal_is_a_feed() {
    let server = start().await;
    assert_eq!(server.get("/v1/events").await.body, "");
    for n in 0..2500 {
        server.memory.record(json!({"kind": "other", "n": n}));
    }
    let seqs = |body: &str| -> Vec<u64> {
        let seq = |line: &str| serde_json::from_str::<Value>(line).ok()?["seq"].as_u64();
        body.lines().map(|line| seq(line).expect("an event")).collect()
    };
    for (query, expected) in [
        ("", 1..2501),
        ("?from=0", 1..2501),
        ("?from=0&limit=100000", 1..2501),
        ("?from=5&limit=3", 5..8),
        ("?from=1200&limit=1200", 1200..2400),
        // Inclusive at the end, and beyond it.
        ("?from=2500", 2500..2501),
        ("?from=2501", 2501..2501),
        ("?limit=0", 0..0),
        ("?follow=true&from=2499&limit=2", 2499..2501),
    ] {
        let reply = server.get(&format!("/v1/events{query}")).await;
        assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
        assert_eq!(seqs(&reply.body), Vec::from_iter(expected), "{query}");
    }
    server.memory.down.store(true, Ordering::Relaxed);
    assert_eq!(server.get("/v1/events").await.problem(), (503, "busy".to_string()));
}

#[tokio::test]
async fn followers_see_what_comes() {
    let server = start().await;
    server.memory.record(json!({"kind": "other"}));
    let stream = server.connect().await;
    let (read, mut write) = stream.into_split();
    let request = b"GET /v1/events?from=1&follow HTTP/1.1\r\nHost: localhost\r\n\r\n";
    write.write_all(request).await.expect("sends");
    let mut lines = BufReader::new(read).lines();
    let mut next = async || loop {
        let line = lines.next_line().await.expect("reads").expect("goes on");
        if line.starts_with('{') {
            return serde_json::from_str::<Value>(&line).expect("an event")["seq"].clone();
        }
    };
    assert_eq!(next().await, 1);
    for n in 2..5 {
        let seq = server.memory.record(json!({"kind": "other"}));
        server.http.announce(seq);
        assert_eq!(next().await, n);
    }
    // Without being told: within the next look.
    server.memory.record(json!({"kind": "other"}));
    assert_eq!(next().await, 5);
    // Stopping ends the feed as a whole answer, and the service with it.
    server.stop.send_replace(true);
    let mut last = String::new();
    while let Some(line) = lines.next_line().await.expect("a clean end") {
        last = if line.is_empty() { last } else { line };
    }
    assert_eq!(last, "0", "the last chunk");
    server.task.await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn an_idle_feed_beats() {
    let server = start().await;
    let mut stream = server.connect().await;
    let request = b"GET /v1/events?follow HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.expect("sends");
    let start = tokio::time::Instant::now();
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n1\r\n\n\r\n1\r\n\n\r\n") {
        assert_ne!(stream.read_buf(&mut got).await.expect("reads"), 0, "{got:?}");
    }
    assert!(start.elapsed() >= limits::FOLLOW_HEARTBEAT * 2, "{:?}", start.elapsed());
}

/// Asks for something large and takes only the header of the answer.
async fn hold(server: &Server, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small window");
    let mut stream = socket.connect(server.address).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sends");
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.expect("answers");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stream
}

#[tokio::test]
async fn long_readers_have_a_number_of_places_and_the_others_are_told_so() {
    let server = start().await;
    let long = "x".repeat(200);
    for n in 0..30_000 {
        server.memory.record(json!({"kind": "other", "n": n, "text": long}));
    }
    server.memory.put_many((0..30_000).map(|n| format!("{long:.40}{n}@list.test")));
    let paths = ["/v1/events", "/v1/suppressions:export"];
    let mut held = Vec::new();
    for n in 0..limits::LONG_READERS {
        held.push(hold(&server, paths[n % 2]).await);
    }
    let many = json!({"addresses": vec!["gone@hard.test"; limits::SHORT_ANSWER + 1]}).to_string();
    for (method, path, body) in [
        ("GET", paths[0], ""),
        ("GET", paths[1], ""),
        ("GET", "/v1/suppressions:export?domain=hard.test", ""),
        ("GET", "/v1/suppressions?limit=10000", ""),
        ("POST", "/v1/suppressions:check", &many),
    ] {
        let reply = server.send(method, path, "", body.as_bytes()).await;
        assert_eq!(reply.problem(), (429, "too-many-readers".to_string()), "{method} {path}");
        assert_eq!(reply.header("retry-after"), Some("5"));
    }
    // What is short needs no place.
    let few = r#"{"addresses":["gone@hard.test"]}"#;
    for (method, path, body) in [
        ("GET", "/v1/suppressions/gone@hard.test", ""),
        ("GET", "/v1/suppressions", ""),
        ("GET", "/v1/events?limit=10", ""),
        ("POST", "/v1/suppressions:check", few),
        ("GET", "/suppressions", ""),
        ("GET", "/readyz", ""),
    ] {
        let reply = server.send(method, path, "", body.as_bytes()).await;
        assert_eq!(reply.status, 200, "{method} {path}");
        assert!(reply.header("content-length").is_some(), "{method} {path}");
    }
    // The answers stand still: each holds a piece or two, and asks for no more than the buffer of its
    // socket takes, which may grow to 4 MiB (tcp_wmem of Linux). A whole answer has 100 and more.
    let pieces = server.memory.pieces.load(Ordering::Relaxed);
    assert!(pieces < limits::LONG_READERS * 70, "{pieces} pieces were made for nobody");
    held.pop();
    while server.get(paths[1]).await.status == 429 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn followers_have_a_number_of_places() {
    let server = start().await;
    server.memory.record(json!({"kind": "other"}));
    let mut held = Vec::new();
    for _ in 0..limits::FOLLOWERS {
        held.push(hold(&server, "/v1/events?follow").await);
    }
    let reply = server.get("/v1/events?follow").await;
    assert_eq!(reply.problem(), (429, "too-many-followers".to_string()));
    assert_eq!(server.get("/v1/events").await.body.lines().count(), 1);
}

#[tokio::test]
async fn long_answers_come_whole() {
    let server = start().await;
    server.memory.put_many((0..1200).map(|n| format!("u{n:04}@list.test")));
    let addresses = |value: &Value| -> Vec<String> {
        let entries = value["entries"].as_array().expect("entries").iter();
        entries.map(|entry| entry["address"].as_str().expect("an address").to_string()).collect()
    };
    let expected: Vec<_> = (0..1200).map(|n| format!("u{n:04}@list.test")).collect();
    for (limit, count, ends) in [
        (1, 1, false),
        (250, 250, false),
        (251, 251, false),
        (1000, 1000, false),
        (1200, 1200, true),
        (10_000, 1200, true),
    ] {
        let reply = server.get(&format!("/v1/suppressions?domain=list.test&limit={limit}")).await;
        let page = reply.json();
        assert_eq!(addresses(&page), expected[..count], "{limit}");
        assert_eq!(page["next"].is_null(), ends, "{limit}");
    }
    for count in [0, 1, 250, 251, 1200] {
        let asked = json!({"addresses": expected[..count]}).to_string();
        let hits = server.send("POST", "/v1/suppressions:check", "", asked.as_bytes()).await;
        assert_eq!(addresses(&hits.json()), expected[..count]);
    }
}

#[tokio::test]
async fn half_sent_headers_hold_nobody_up() {
    let server = start_in(Room { most: 10, most_per_network: 10, reserved: 0 }, None).await;
    let mut half = Vec::new();
    for n in 0..100 {
        let mut stream = server.connect().await;
        let head: &[u8] = if n % 2 == 0 { b"GET /livez HTTP/1.1\r\nHost: loc" } else { b"" };
        stream.write_all(head).await.expect("sends");
        half.push(stream);
        assert_eq!(server.get("/livez").await.body, "ok\n", "after {n}");
    }
    let mut rest = Vec::new();
    let _ = half[0].read_to_end(&mut rest).await;
    assert_eq!(rest, b"", "it was closed to make room");
    // One that is being answered is never closed for others.
    let mut feed = hold(&server, "/v1/events?follow").await;
    for _ in 0..20 {
        half.push(server.connect().await);
    }
    assert_eq!(server.get("/livez").await.status, 200);
    server.memory.record(json!({"kind": "other", "word": "afterwards"}));
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("afterwards") {
        assert_ne!(feed.read_buf(&mut heard).await.expect("goes on"), 0);
    }
}

#[tokio::test]
async fn health_is_answered_when_all_connections_are_busy() {
    let server = start_in(Room { most: 4, most_per_network: 4, reserved: 2 }, None).await;
    server.memory.record(json!({"kind": "other"}));
    let mut busy = Vec::new();
    for _ in 0..4 {
        busy.push(hold(&server, "/v1/events?follow").await);
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        let reply = server.get(path).await;
        assert_eq!((reply.status, reply.header("connection")), (200, Some("close")), "{path}");
    }
    for path in ["/v1/suppressions/gone@hard.test", "/v1/events", "/", "/nowhere"] {
        let reply = server.get(path).await;
        assert_eq!(reply.problem(), (503, "busy".to_string()), "{path}");
        assert_eq!(reply.header("retry-after"), Some("5"));
    }
    // Those who sit in the reserve and ask nothing make room for one who asks.
    for _ in 0..5 {
        busy.push(server.connect().await);
        assert_eq!(server.get("/livez").await.status, 200);
    }
    busy.clear();
    // A reader who went is noticed when the next event is written to him.
    while server.get("/v1/suppressions/gone@hard.test").await.status != 200 {
        server.memory.record(json!({"kind": "other"}));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn messages_come_in() {
    let server = start().await;
    let path = "/v1/messages?to=bounces+user=example.com@b.test&to=x%40b.test&from=";
    let message = b"From: mailer-daemon@x.test\n\n.\nbody\n";
    let reply = server.send("POST", path, "Content-Type: message/rfc822\r\n", message).await.json();
    assert_eq!(reply["envelope"]["to"], json!(["bounces+user=example.com@b.test", "x@b.test"]));
    assert_eq!(reply["envelope"]["from"], "");
    assert_eq!((&reply["bytes"], &reply["peer"]), (&json!(message.len()), &json!("127.0.0.1")));
    assert_eq!(server.get("/v1/events?from=1").await.body.lines().count(), 1);
    let large = vec![b'x'; MAX_MESSAGE as usize + 1];
    for (body, status, code) in [(&b""[..], 400, "empty"), (&large[..], 413, "too-large")] {
        let reply = server.send("POST", "/v1/messages?to=a@b.test", "", body).await;
        assert_eq!(reply.problem(), (status, code.to_string()));
    }
}

#[tokio::test]
async fn acts_on_many_decisions() {
    let server = start().await;
    let undo = r#"{"what":"undo","rule":"r","provider":null,"peer":null,"after":null,
        "before":null,"reason":"the rule was wrong"}"#;
    for (path, body, status) in [
        ("/v1/acts?dry_run=true", undo, 200),
        ("/v1/acts", undo, 200),
        ("/v1/acts", r#"{"what":"suppress","address":"a@b.test","scope":"*","reason":"x"}"#, 400),
        ("/v1/acts", r#"{"what":"policy","policy":{}}"#, 400),
        ("/v1/acts", r#"{"what":"dance"}"#, 400),
        ("/v1/acts?dry=1", undo, 400),
    ] {
        assert_eq!(server.send("POST", path, "", body.as_bytes()).await.status, status, "{body}");
    }
    let journal = server.get("/v1/events").await.body;
    assert_eq!(journal.lines().count(), 1, "the dry run is not journalled: {journal}");
    assert!(journal.contains("the rule was wrong"));
}

#[tokio::test]
async fn what_senders_tell_and_ask() {
    let server = start().await;
    let one = r#"{"outcome":"sent","address":"a@x.test"}"#;
    let bad = r#"{"outcome":"failed","address":"no address"}"#;
    for (body, stored, refused) in [
        (one.to_string(), 1, 0),
        (format!("[{one},{bad}]"), 1, 1),
        (format!("{one}\n{one}\n"), 2, 0),
    ] {
        let answer = server.send("POST", "/v1/events", "", body.as_bytes()).await.json();
        assert_eq!(answer["stored"], stored, "{body}");
        assert_eq!(answer["refused"].as_array().map(Vec::len), Some(refused), "{body}");
    }
    for body in ["", "what", r#"{"outcome":"sent","adress":"a@x.test"}"#] {
        assert_eq!(server.send("POST", "/v1/events", "", body.as_bytes()).await.status, 400);
    }
    let asked = br#"{"recipient":"a@x.test","tag":"news"}"#;
    let minted = server.send("POST", "/v1/verp", "", asked).await.json();
    assert_eq!(minted["return_path"], "b-a=x.test-news@bounce.example.com");
    let many = server.send("POST", "/v1/verp", "", br#"{"recipients":["a@x.test","b@x.test"]}"#);
    assert_eq!(many.await.json()["minted"].as_array().map(Vec::len), Some(2));
    // Words in the query would be lost without a sign.
    for path in ["/v1/events?scope=news", "/v1/verp?tag=x"] {
        let reply = server.send("POST", path, "", one.as_bytes()).await;
        assert_eq!(reply.problem(), (400, "bad-request".to_string()), "{path}");
    }
    assert_eq!(server.send("POST", "/v1/verp", "", b"{}").await.status, 400);
    let health = server.get("/v1/health?scope=news&from=2026-11-01").await.json();
    assert_eq!(health["from"], "2026-11-01T00:00:00Z");
    assert_eq!(server.get("/v1/health?from=soon").await.status, 400);
    assert_eq!(server.get("/v1/guards").await.json()["guards"][0]["clause"], "guard/outage google");
}

#[tokio::test]
async fn operations() {
    let server = start().await;
    assert_eq!(server.get("/livez").await.body, "ok\n");
    let reply = server.get("/readyz").await;
    // One line a check, whatever its words are.
    assert_eq!((reply.status, &*reply.body), (200, "store: ok: open\ndisk: ok: 9 GiB free\n"));
    let metrics = server.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "bounced_suppressions{state=\"suppressed\"} 1",
        "bounced_suppressions{state=\"held\"} 1",
        "bounced_messages_total{kind=\"failure\"} 0",
    ] {
        assert!(metrics.body.contains(line), "{line}");
    }
    assert_eq!(server.get("/openapi.json").await.json()["openapi"], "3.1.0");
    server.memory.down.store(true, Ordering::Relaxed);
    let reply = server.get("/readyz").await;
    assert_eq!(reply.status, 503);
    assert!(reply.body.starts_with("store: FAILED: the store is being rebuilt\n"));
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn the_document_tells_every_method() {
    let server = start().await;
    let document = server.get("/openapi.json").await.json();
    for (path, described) in document["paths"].as_object().expect("paths") {
        let at = path.replace("{address}", "fine@hard.test");
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let reply = server.send(method, &at, "", b"").await;
            let takes = described.get(method.to_ascii_lowercase()).is_some();
            assert_eq!(reply.status != 405, takes, "{method} {path}: {}", reply.status);
            if !takes {
                assert_eq!(reply.problem(), (405, "no-such-method".to_string()));
            }
        }
    }
}

const TOKENS: [(&str, &str); 3] = [
    // printf %s reader | sha256sum
    ("read", "3d0941964aa3ebdcb00ccef58b1bb399f9f898465e9886d5aec7f31090a0fb30"),
    ("write", "b93006774cbdd4b299389a03ac3d88c3a76b460d538795bc12718011a909fba5"),
    ("admin", "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918"),
];

#[tokio::test]
async fn tokens_open_doors() {
    let file: String = TOKENS.map(|(role, hash)| format!("{role} {hash} {role}-er\n")).concat();
    let server = start_with(Some(Tokens::parse(&file).expect("good"))).await;
    let read = "/v1/suppressions/gone@hard.test";
    let import = "/v1/suppressions:import";
    let check = "/v1/suppressions:check";
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    // any:reader
    let basic = "Authorization: Basic YW55OnJlYWRlcg==\r\n".to_string();
    for (method, path, headers, status) in [
        ("GET", read, String::new(), 401),
        ("GET", read, bearer("wrong"), 401),
        ("GET", read, bearer("reader"), 200),
        ("GET", read, basic, 200),
        ("GET", read, bearer("admin"), 200),
        ("HEAD", read, String::new(), 401),
        ("POST", check, bearer("reader"), 400),
        ("POST", import, bearer("reader"), 403),
        // It may, and there is nothing in the body.
        ("POST", import, bearer("writer"), 422),
        ("DELETE", read, bearer("reader"), 403),
        ("DELETE", read, bearer("writer"), 400),
        ("POST", "/v1/acts", bearer("writer"), 403),
        ("POST", "/v1/acts", bearer("admin"), 400),
        ("GET", "/metrics", String::new(), 401),
        ("GET", "/metrics", bearer("reader"), 200),
        ("GET", "/", String::new(), 401),
        ("GET", "/v1/nothing", String::new(), 401),
        ("GET", "/livez", String::new(), 200),
        ("GET", "/readyz", String::new(), 200),
        ("GET", "/openapi.json", String::new(), 200),
    ] {
        let reply = server.send(method, path, &headers, b"").await;
        assert_eq!(reply.status, status, "{method} {path} {headers}");
        // Each scheme in a header of its own: Chromium takes only the first of one header.
        let offered: Vec<_> =
            reply.headers("www-authenticate").filter_map(|how| how.split(' ').next()).collect();
        let wanted: &[&str] = if status == 401 { &["Basic", "Bearer"] } else { &[] };
        assert_eq!(offered, wanted, "{method} {path} {headers}");
    }
    // Guessing: the one wrong token above counts too.
    for n in 1..limits::TOKEN_FAILURES + 5 {
        let reply = server.send("GET", read, &bearer(&format!("guess{n}")), b"").await;
        let expected = if n < limits::TOKEN_FAILURES { 401 } else { 429 };
        assert_eq!(reply.status, expected, "guess {n}");
    }
    assert_eq!(server.send("GET", read, &bearer("reader"), b"").await.status, 200);
    let wrong_now = Tokens::parse(&file.replace("3d09", "4d09")).expect("good");
    server.http.replace_tokens(wrong_now);
    assert_ne!(server.send("GET", read, &bearer("reader"), b"").await.status, 200);
}

#[tokio::test]
async fn people_log_in_and_out() {
    let file: String = TOKENS.map(|(role, hash)| format!("{role} {hash} {role}-er\n")).concat();
    let server = start_with(Some(Tokens::parse(&file).expect("good"))).await;
    server.memory.put("gone@hard.test", "suppressed");
    let browser = "Accept: text/html,*/*\r\n";
    for (path, to) in [
        ("/", "/login"),
        ("/address?address=a@x.test", "/login?next=%2Faddress%3Faddress%3Da@x.test"),
    ] {
        let reply = server.send("GET", path, browser, b"").await;
        assert_eq!((reply.status, reply.header("location")), (303, Some(to)), "{path}");
    }
    assert!(server.get("/login").await.body.contains("name=\"token\""));
    let log_in = async |token: &str, next: &str| {
        let form = format!("next={next}&token={token}");
        server.send("POST", "/login", browser, form.as_bytes()).await
    };
    let wrong = log_in("wrong", "/").await;
    assert_eq!((wrong.status, wrong.headers("www-authenticate").count()), (403, 0));
    assert!(wrong.body.contains("not one of ours") && wrong.header("set-cookie").is_none());
    assert_eq!(log_in("reader", "%2F%2Fevil.test").await.header("location"), Some("/"));

    let session = async |token: &str| {
        let reply = log_in(token, "%2Fhealth").await;
        assert_eq!((reply.status, reply.header("location")), (303, Some("/health")));
        let cookie = reply.header("set-cookie").expect("a cookie").to_string();
        assert!(cookie.contains("; HttpOnly; SameSite=Lax") && !cookie.contains(token), "{cookie}");
        format!("{browser}Cookie: {}\r\n", cookie.split(';').next().expect("a pair"))
    };
    let code = async |cookie: &str| {
        let page = server.send("GET", "/address?address=gone@hard.test", cookie, b"").await;
        assert_eq!(page.status, 200);
        let rest = page.body.split("name=\"csrf\" value=\"").nth(1).expect("a form").to_string();
        (
            rest.split('"').next().expect("its code").to_string(),
            page.body.contains("/address/release"),
        )
    };
    let (reader, writer) = (session("reader").await, session("writer").await);
    let (read_code, shown) = code(&reader).await;
    assert!(!shown, "who may read only is shown no such form");
    let (write_code, _) = code(&writer).await;
    let form = |code: &str| format!("address=gone@hard.test&scope=*&reason=x&csrf={code}");
    let own = format!("{writer}Sec-Fetch-Site: same-origin\r\n");
    let foreign = format!("{writer}Origin: http://evil.test\r\n");
    for (cookie, code, status) in [
        (&reader, &read_code, 403),
        (&writer, &read_code, 403),
        (&writer, &String::new(), 403),
        // A session wants its code, whatever the browser says besides.
        (&own, &String::new(), 403),
        (&foreign, &write_code, 403),
        (&writer, &write_code, 303),
    ] {
        let reply = server.send("POST", "/address/release", cookie, form(code).as_bytes()).await;
        assert_eq!(reply.status, status, "{cookie} {code}");
    }
    // The API takes a session for questions only.
    let path = "/v1/suppressions/gone@hard.test?reason=x";
    assert_eq!(server.send("GET", "/v1/suppressions", &writer, b"").await.status, 200);
    assert_ne!(server.send("PUT", path, &writer, b"").await.status, 200);
    assert_eq!(server.get("/v1/suppressions/gone@hard.test").await.status, 401);
    let suppress =
        format!("address=gone@hard.test&reason=asked&until=2099-01-02&csrf={write_code}");
    let reply = server.send("POST", "/address/suppress", &writer, suppress.as_bytes()).await;
    let to = reply.header("location").expect("where to").to_string();
    assert!(server.send("GET", &to, &writer, b"").await.body.contains("Suppressed."));
    // Ending a guard is for administrators.
    let admin = session("admin").await;
    let (admin_code, _) = code(&admin).await;
    for (cookie, code, guard, status) in [
        (&writer, &write_code, "provider=google", 403),
        (&admin, &admin_code, "provider=google&scope=news", 400),
        (&admin, &admin_code, "provider=google", 303),
    ] {
        let form = format!("{guard}&reason=over&csrf={code}");
        let reply = server.send("POST", "/guards/release", cookie, form.as_bytes()).await;
        assert_eq!(reply.status, status, "{guard}");
    }
    // A code of another session logs nobody out; the own one does.
    for (code, left) in [(&read_code, true), (&write_code, false)] {
        server.send("POST", "/logout", &writer, format!("csrf={code}").as_bytes()).await;
        assert_eq!(server.send("GET", "/health", &writer, b"").await.status == 200, left);
    }
    // A token that is taken out of the file takes its sessions along.
    let without = Tokens::parse(&file.replace("3d09", "4d09")).expect("good");
    server.http.replace_tokens(without);
    assert_eq!(server.send("GET", "/health", &reader, b"").await.status, 303);
    assert_eq!(server.send("GET", "/health", &admin, b"").await.status, 200);
}

#[tokio::test]
async fn other_sites_stay_out() {
    let server = start().await;
    let put = "/v1/suppressions/a@x.test?reason=x";
    let own = format!("Origin: http://{}\r\n", server.address);
    for (method, path, headers, code) in [
        ("PUT", put, "Origin: http://evil.example\r\n", Some("cross-site")),
        ("POST", "/v1/suppressions:import", "Origin: null\r\n", Some("cross-site")),
        ("POST", "/v1/messages", "Sec-Fetch-Site: cross-site\r\n", Some("cross-site")),
        ("DELETE", put, "Sec-Fetch-Site: same-site\r\n", Some("cross-site")),
        ("PUT", put, &own, None),
        ("PUT", put, "", None),
    ] {
        let reply = server.send(method, path, headers, b"").await;
        match code {
            Some(code) => assert_eq!(reply.problem(), (403, code.to_string()), "{path} {headers}"),
            None => assert_eq!(reply.status, 200, "{path} {headers}"),
        }
    }
    let mut stream = server.connect().await;
    let request = b"GET / HTTP/1.1\r\nHost: rebound.evil.example:8525\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("sends");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("answers");
    assert_eq!(parse(&reply).problem(), (421, "foreign-host".to_string()));
}

#[tokio::test]
async fn the_page() {
    let server = start().await;
    let payload = "<script>alert(1)</script>";
    server.memory.record(json!({"kind": "failure", "recipients": [{"address": "gone@hard.test",
        "diagnostic": format!("550 {payload}"), "matched": payload, "reason": "user-unknown"}]}));
    for (path, status, words) in [
        ("/", 200, "Last bounces"),
        ("/address?address=gone@hard.test", 200, "gone@hard.test is suppressed."),
        ("/address?address=nonsense", 400, "write an address"),
        ("/suppressions", 200, "held@hard.test"),
        ("/suppressions?domain=hard.test", 200, "held@hard.test"),
        ("/suppressions?class=no-class", 400, "no class"),
        ("/health", 200, "9 GiB"),
        ("/health?scope=news&from=2026-11-01", 200, "9 GiB"),
        ("/health?from=yesterday", 400, "is no moment"),
        ("/health?from=2026-11-02&to=2026-11-01", 400, "swap the two"),
        ("/search?q=held", 200, "held@hard.test"),
        ("/search?q=nowhere-at-all", 200, "Nothing found"),
        ("/search?q=hard.test", 200, "suppressed at hard.test"),
        ("/event?seq=1", 200, "It is not kept"),
        ("/event?seq=99", 404, "no event 99"),
        ("/event", 400, "name an event"),
        ("/providers", 200, "Nobody refused anything"),
        ("/provider?name=google", 200, "guard/outage google"),
        ("/provider", 400, "name the provider"),
        ("/campaigns", 200, "None."),
        ("/campaign?name=x", 200, "Nothing failed"),
        ("/scopes", 200, "<h1>Scopes</h1>"),
        ("/scope?scope=news", 200, "news"),
        ("/unknown", 200, "Every wording was known"),
        ("/rule?wording=odd+words", 200, "odd words"),
    ] {
        let reply = server.get(path).await;
        assert_eq!(reply.status, status, "{path}");
        assert!(reply.body.contains(words), "{path}: {}", reply.body);
        assert!(!reply.body.contains("<script"), "{path}");
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = reply.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(
        server.get("/style.css").await.header("content-type"),
        Some("text/css; charset=utf-8")
    );
    assert_eq!(server.get("/icon.svg").await.header("content-type"), Some("image/svg+xml"));

    // Senders take a 404 for "go on": a question that lacks its address must not get one.
    for path in ["/v1/suppressions/", "/v1/addresses/", "/v1/suppressions/?scope=news"] {
        assert_eq!(server.get(path).await.problem(), (400, "bad-request".to_string()), "{path}");
    }
    // What is nowhere is a page for a browser and a problem for a program.
    let reply = server.send("GET", "/nothing", "Accept: text/html,*/*\r\n", b"").await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("<h1>400 Bad Request</h1>"), "{}", reply.body);
    assert_eq!(server.get("/nothing").await.problem(), (400, "no-such-path".to_string()));

    let own = format!("Origin: http://{}\r\n", server.address);
    let form = "address=gone%40hard.test&scope=*&reason=he+called";
    let no_reason = "address=gone%40hard.test&scope=*&reason=+";
    for (headers, form, status) in [
        ("", form, 403),
        ("Origin: http://evil.example\r\n", form, 403),
        (&*own, no_reason, 400),
        (&*own, form, 303),
    ] {
        let reply = server.send("POST", "/address/release", headers, form.as_bytes()).await;
        assert_eq!(reply.status, status, "{headers}");
        if status == 303 {
            let to = reply.header("location").expect("where to").to_string();
            assert!(server.get(&to).await.body.contains("Released."));
        }
    }
    assert_eq!(server.get("/v1/suppressions/gone@hard.test").await.status, 404);
    let journal = server.get("/v1/events").await.body;
    assert!(journal.contains("\"reason\":\"he called\""), "{journal}");
    // A whole address has its page, whether it was heard of or not.
    let whole = server.get("/search?q=new%40hard.test").await;
    assert_eq!(whole.header("location"), Some("/address?address=new@hard.test"));
    let csv = server.get("/campaign.csv?name=x").await;
    assert_eq!(csv.body, "address,kind,reason,class,category,provider,said,at,event\r\n");
    let tried = server.send("POST", "/rule", &own, b"rules=odd").await;
    assert!(tried.body.contains("these 3 octets are no rules"), "{}", tried.body);
    let pathless = server.get("/login").await;
    assert_eq!(
        pathless.header("location"),
        Some("/"),
        "without tokens there is nothing to log in to"
    );
    server.memory.down.store(true, Ordering::Relaxed);
    assert!(server.get("/").await.body.contains("The store does not answer"));
}

#[tokio::test]
async fn a_half_closed_client_gets_its_answer() {
    // Exim's ${readsocket} shuts its side down right after the request.
    let server = start().await;
    for path in ["/v1/suppressions/gone@hard.test", "/v1/addresses/gone@hard.test"] {
        let mut stream = server.connect().await;
        let request =
            format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sends");
        stream.shutdown().await.expect("half-closes");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("answers");
        assert!(reply.starts_with("HTTP/1.0 200") || reply.starts_with("HTTP/1.1 200"), "{reply}");
        assert!(reply.ends_with('}'), "{reply}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_header_is_cut_off() {
    let server = start().await;
    for sent in [&b""[..], b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Sl"] {
        let mut stream = server.connect().await;
        stream.write_all(sent).await.expect("sends");
        let start = tokio::time::Instant::now();
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        assert!(start.elapsed() >= limits::HTTP_HEADER - Duration::from_secs(1), "{sent:?}");
        assert!(!reply.starts_with(b"HTTP/1.1 200"));
    }
}
