//! Endpoints that run against a real server on this machine.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::feed::Piece;
use super::*;
use crate::config::Format;
use crate::service::ServiceError;
use crate::service::occurrence::{Occurrence, OccurrencePlace, What};

/// A request as the server got it.
#[derive(Debug, Clone)]
struct Got {
    id: String,
    address: String,
    signature: Option<String>,
}

/// What the server answers, by the request and how often its id came before.
type Answer = dyn Fn(&Got, usize) -> Response<Body> + Send + Sync;

#[derive(Default)]
struct Seen {
    all: Mutex<Vec<Got>>,
    taken: Mutex<Vec<Got>>,
}

fn status(code: u16) -> Response<Body> {
    // Without a pause, so that no test waits.
    let answer = Response::builder().status(code).header("retry-after", "0");
    answer.body(Body::empty()).expect("plain")
}

async fn answer(seen: &Seen, how: &Answer, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(Body::new(body), 1 << 20).await.expect("a whole body");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let header = |name: &str| Some(parts.headers.get(name)?.to_str().ok()?.to_string());
    let got = Got {
        id: header("webhook-id").expect("each has an id"),
        address: body["data"]["address"].as_str().unwrap_or_default().to_string(),
        signature: header("webhook-signature"),
    };
    let before = lock(&seen.all).iter().filter(|one| one.id == got.id).count();
    let answer = how(&got, before);
    if answer.status().is_success() {
        lock(&seen.taken).push(got.clone());
    }
    lock(&seen.all).push(got);
    answer
}

/// A server on a free port of loopback.
async fn server(how: Arc<Answer>, tls: Option<tokio_rustls::TlsAcceptor>) -> (u16, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let seen = Arc::new(Seen::default());
    let all = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (seen, how, tls) = (Arc::clone(&all), Arc::clone(&how), tls.clone());
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let (seen, how) = (Arc::clone(&seen), Arc::clone(&how));
                    async move { Ok::<_, Infallible>(answer(&seen, &*how, request).await) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                // A client that does not trust us ends the connection; the test sees that.
                match tls {
                    None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            let _ = http.serve_connection(TokioIo::new(stream), service).await;
                        }
                    }
                }
            });
        }
    });
    (port, seen)
}

fn endpoint(url: &str) -> Webhook {
    Webhook {
        name: "crm".into(),
        url: url.parse().expect("a URL"),
        format: Format::Standard,
        secrets: vec![vec![7; 24]],
        basic_auth: None,
        ca_file: None,
        types: crate::config::TYPES.iter().map(ToString::to_string).collect(),
        kinds: Vec::new(),
        categories: Vec::new(),
        scopes: Vec::new(),
        allow_networks: vec!["127.0.0.0/8".parse().expect("a network")],
        from_beginning: true,
        give_up: Duration::from_secs(3600),
    }
}

/// A journal of `(address, age in seconds)`, one occurrence a record.
struct Journal(Vec<(String, i64)>);

impl Feed for Journal {
    fn read(&self, (from, number): OccurrencePlace, limit: usize) -> Result<Piece, ServiceError> {
        let newest = self.0.len() as u64;
        let now = Timestamp::now().millis();
        let records = (from..=newest).skip(usize::from(number > 0)).take(limit.min(10));
        let found: Vec<Occurrence> = records
            .filter_map(|seq| {
                let (address, age) = self.0.get(usize::try_from(seq).ok()? - 1)?;
                Some(Occurrence {
                    place: (seq, 0),
                    id: format!("e{seq}.0"),
                    what: What::Suppressed,
                    at: Timestamp::from_millis(now - age * 1000),
                    address: address.clone(),
                    scope: "*".into(),
                    kind: None,
                    category: None,
                    campaign: None,
                    data: json!({"address": address}),
                })
            })
            .collect();
        let next = found.last().map_or((from, number), |last| (last.place.0 + 1, 0));
        Ok((found, next, newest))
    }

    /// A record is known by its address and position.
    fn ids(&self, from: u64, through: u64) -> Result<Vec<(u64, String)>, ServiceError> {
        let records = (1..).zip(&self.0).filter(|(seq, _)| (from..=through).contains(seq));
        Ok(records.map(|(seq, (address, _))| (seq, format!("{address}-{seq}"))).collect())
    }
}

fn journal(addresses: &[(&str, i64)]) -> Arc<dyn Feed> {
    Arc::new(Journal(addresses.iter().map(|(a, age)| (a.to_string(), *age)).collect()))
}

/// Runs an endpoint until `enough`, then stops it as a shutdown does.
async fn until(
    dir: &Path,
    endpoint: &Webhook,
    feed: &Arc<dyn Feed>,
    enough: impl Fn(&Value) -> bool,
) -> Value {
    let metrics = Arc::new(Metrics::new("test"));
    let webhooks = Webhooks::new(std::slice::from_ref(endpoint), "mx.example.com").expect("usable");
    let newest = feed.read((1, 0), 0).expect("it is in memory").2;
    let around = Surroundings { data_dir: dir.to_path_buf(), feed: Arc::clone(feed), metrics };
    webhooks.start(&around, newest).expect("started");
    let last = loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let told = webhooks.status()[0].clone();
        if enough(&told) {
            break told;
        }
    };
    webhooks.stop().await;
    last
}

#[tokio::test]
async fn what_is_refused_waits_alone_and_keeps_its_address_in_order() {
    // The first of `a` is refused five times; `b` need not wait for it, the second of `a` must.
    let how = |got: &Got, before: usize| match got.id.as_str() {
        "e1.0" if before < 5 => status(422),
        _ => status(204),
    };
    let (port, seen) = server(Arc::new(how), None).await;
    let dir = tempfile::tempdir().expect("scratch");
    let feed = journal(&[("a", 0), ("b", 0), ("a", 0), ("b", 0), ("a", 0)]);
    let endpoint = endpoint(&format!("http://127.0.0.1:{port}/hooks?key=1"));
    let told = until(dir.path(), &endpoint, &feed, |told| told["delivered"] == 5).await;
    assert_eq!((&told["state"], &told["gave_up"]), (&json!("ok"), &json!(0)));
    let mut by_address: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for got in lock(&seen.taken).iter() {
        by_address.entry(got.address.clone()).or_default().push(got.id.clone());
    }
    assert_eq!(by_address["a"], ["e1.0", "e3.0", "e5.0"]);
    assert_eq!(by_address["b"], ["e2.0", "e4.0"]);
    assert_eq!(lock(&seen.all).len(), 10);
    assert!(
        lock(&seen.all)
            .iter()
            .all(|got| got.signature.as_deref().is_some_and(|s| s.starts_with("v1,")))
    );

    // After a start nothing is told again, and the cursor is at the end.
    until(dir.path(), &endpoint, &feed, |told| told["backlog"] == 0).await;
    assert_eq!(lock(&seen.all).len(), 10);
    let cursor = CursorFile::of(dir.path(), "crm").expect("there").read().expect("whole");
    let cursor = cursor.expect("written");
    assert_eq!((cursor.next, cursor.done.len()), ((6, 0), 0));
}

/// Records that were told are lost, and others take their positions: those are told, and nothing that
/// both journals have.
#[tokio::test]
async fn positions_that_are_used_again_are_told_again() {
    let (port, seen) = server(Arc::new(|_: &Got, _: usize| status(204)), None).await;
    let dir = tempfile::tempdir().expect("scratch");
    let endpoint = endpoint(&format!("http://127.0.0.1:{port}/"));
    let names = |range: std::ops::Range<u32>, who: &str| -> Vec<(String, i64)> {
        range.map(|n| (format!("{who}{n}"), 0)).collect()
    };
    let before: Arc<dyn Feed> = Arc::new(Journal(names(0..20, "a")));
    until(dir.path(), &endpoint, &before, |told| told["delivered"] == 20).await;
    // The newest seven are lost; the new history ends where the cursor stands, and says 0 behind.
    let after = [names(0..13, "a"), names(13..20, "b")].concat();
    let after: Arc<dyn Feed> = Arc::new(Journal(after));
    until(dir.path(), &endpoint, &after, |told| told["delivered"] == 7).await;
    let mut addresses: Vec<String> =
        lock(&seen.all).iter().skip(20).map(|got| got.address.clone()).collect();
    addresses.sort();
    assert_eq!(addresses, ["b13", "b14", "b15", "b16", "b17", "b18", "b19"]);
    // Nothing is told at the next start; and a loss before anything new came is seen later.
    until(dir.path(), &endpoint, &after, |told| told["backlog"] == 0).await;
    assert_eq!(lock(&seen.all).len(), 27);
    let short: Arc<dyn Feed> = Arc::new(Journal(names(0..5, "a")));
    until(dir.path(), &endpoint, &short, |told| told["backlog"] == 0).await;
    let grown = [names(0..5, "a"), names(5..30, "c")].concat();
    let grown: Arc<dyn Feed> = Arc::new(Journal(grown));
    until(dir.path(), &endpoint, &grown, |told| told["delivered"] == 25).await;
    assert_eq!(lock(&seen.all).len(), 27 + 25);
}

#[tokio::test]
async fn one_that_is_refused_for_long_is_given_up_aloud_and_only_then() {
    let how = |got: &Got, _: usize| status(if got.address == "a" { 400 } else { 200 });
    let (port, seen) = server(Arc::new(how), None).await;
    let dir = tempfile::tempdir().expect("scratch");
    // Two hours old, and given up after one; the second of `a` is new and goes on waiting.
    let feed = journal(&[("a", 7200), ("b", 0), ("a", 0), ("b", 0)]);
    let endpoint = endpoint(&format!("http://127.0.0.1:{port}/"));
    let enough = |told: &Value| told["gave_up"] == 1 && told["delivered"] == 2;
    let told = until(dir.path(), &endpoint, &feed, enough).await;
    assert_eq!(told["gave_up"], 1, "{told}");
    assert!(lock(&seen.all).iter().filter(|got| got.id == "e1.0").count() >= 8);
    let cursor = CursorFile::of(dir.path(), "crm").expect("there").read().expect("whole");
    let cursor = cursor.expect("written");
    assert_eq!((cursor.next, cursor.done.len()), ((3, 0), 1), "the second of `a` is still to come");
}

#[tokio::test]
async fn an_endpoint_that_takes_nothing_loses_nothing_and_410_ends_it() {
    let how = |_: &Got, before: usize| status(if before < 12 { 500 } else { 410 });
    let (port, seen) = server(Arc::new(how), None).await;
    let dir = tempfile::tempdir().expect("scratch");
    let feed = journal(&[("a", 7200)]);
    let endpoint = endpoint(&format!("http://127.0.0.1:{port}/"));
    let told = until(dir.path(), &endpoint, &feed, |told| told["state"] == "gone").await;
    assert_eq!((&told["delivered"], &told["gave_up"]), (&json!(0), &json!(0)), "{told}");
    assert_eq!((&told["backlog"], lock(&seen.all).len()), (&json!(1), 13));
    let cursor = CursorFile::of(dir.path(), "crm").expect("there").read().expect("whole");
    assert_eq!(cursor.expect("written").next, (1, 0));
}

/// A wrong path and a wrong secret: each message is answered for itself, and none is taken.
#[tokio::test]
async fn an_endpoint_that_refuses_each_message_is_failing() {
    for code in [401, 404] {
        let is_open = Arc::new(AtomicBool::new(false));
        let open = Arc::clone(&is_open);
        let how = move |got: &Got, _: usize| {
            status(if got.address == "b" && open.load(Ordering::Relaxed) { 204 } else { code })
        };
        let (port, _) = server(Arc::new(how), None).await;
        let dir = tempfile::tempdir().expect("scratch");
        let feed = journal(&[("a", 0), ("b", 0)]);
        let endpoint = endpoint(&format!("http://127.0.0.1:{port}/"));
        let told = until(dir.path(), &endpoint, &feed, |told| told["retrying"] == 2).await;
        assert_eq!((&told["state"], &told["delivered"]), (&json!("failing"), &json!(0)), "{told}");
        // It takes one: what it says of the other is of that one alone, until it says so for long.
        is_open.store(true, Ordering::Relaxed);
        let again = |told: &Value| told["delivered"] == 1 && told["state"] == "failing";
        let told = until(dir.path(), &endpoint, &feed, again).await;
        assert_eq!((&told["retrying"], &told["gave_up"]), (&json!(1), &json!(0)), "{told}");
        // What was taken last says that it takes: the other alone is refused.
        let feed = journal(&[("a", 0), ("b", 0), ("b", 0)]);
        let told = until(dir.path(), &endpoint, &feed, |told| told["delivered"] == 1).await;
        assert_eq!(told["backlog"], 3, "{told}");
    }
}

#[tokio::test]
async fn redirects_and_private_addresses_lead_nowhere() {
    let (other, elsewhere) = server(Arc::new(|_: &Got, _: usize| status(200)), None).await;
    let how = move |_: &Got, _: usize| {
        let to = format!("http://127.0.0.1:{other}/");
        Response::builder().status(307).header("location", to).body(Body::empty()).expect("plain")
    };
    let (port, seen) = server(Arc::new(how), None).await;
    let test = async |endpoint: Webhook| {
        let webhooks = Webhooks::new(&[endpoint], "mx.example.com").expect("usable");
        webhooks.test("crm").await.expect("it is there")
    };
    let told = test(endpoint(&format!("http://127.0.0.1:{port}/"))).await;
    assert_eq!(told["delivered"], false);
    assert_eq!(told["error"], "it answered 307, and redirects are not followed");
    assert_eq!((lock(&seen.all).len(), lock(&elsewhere.all).len()), (1, 0));
    for (url, words) in [
        (format!("http://127.0.0.1:{other}/"), "plain http goes to allow_networks only"),
        (format!("http://localhost:{other}/"), "plain http goes to allow_networks only"),
        (format!("https://localhost:{other}/"), "is no address of the internet"),
        (format!("https://[::ffff:127.0.0.1]:{other}/"), "is no address of the internet"),
    ] {
        let told = test(Webhook { allow_networks: Vec::new(), ..endpoint(&url) }).await;
        let error = told["error"].as_str().unwrap_or_default();
        assert!(error.contains(words), "{url}: {told}");
    }
    assert_eq!(lock(&elsewhere.all).len(), 0);
}

#[tokio::test]
async fn tls_is_checked() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["localhost".to_string()]).expect("a name");
    let cert = params.self_signed(&key).expect("a certificate");
    let dir = tempfile::tempdir().expect("scratch");
    let (cert_file, key_file) = (dir.path().join("cert"), dir.path().join("key"));
    std::fs::write(&cert_file, cert.pem()).expect("writable");
    std::fs::write(&key_file, key.serialize_pem()).expect("writable");
    let tls = crate::serve::tls::ReloadableTls::load(&cert_file, &key_file).expect("a pair");
    let how = |_: &Got, _: usize| status(200);
    let (port, seen) = server(Arc::new(how), Some(tls.acceptor())).await;
    let test = async |host: &str, ca_file: Option<&Path>| {
        let endpoint = endpoint(&format!("https://{host}:{port}/"));
        let endpoint = Webhook { ca_file: ca_file.map(Path::to_path_buf), ..endpoint };
        let webhooks = Webhooks::new(&[endpoint], "mx.example.com")?;
        Ok::<_, String>(webhooks.test("crm").await.expect("it is there"))
    };
    let told = test("localhost", Some(&cert_file)).await.expect("usable");
    assert_eq!(told["delivered"], true, "{told}");
    // The certificate is not for this name.
    let told = test("127.0.0.1", Some(&cert_file)).await.expect("usable");
    assert!(told["error"].as_str().is_some_and(|why| why.starts_with("TLS: ")), "{told}");
    // Nobody vouches for it; or there is nobody on this machine who could.
    match test("localhost", None).await {
        Ok(told) => {
            assert!(told["error"].as_str().is_some_and(|why| why.starts_with("TLS: ")), "{told}");
        }
        Err(why) => assert!(why.contains("ca-certificates"), "{why}"),
    }
    assert_eq!(lock(&seen.all).len(), 1);
    let why = test("localhost", Some(&key_file)).await.expect_err("a key is no authority");
    assert!(why.contains("ca_file"), "{why}");
}

#[tokio::test]
async fn a_new_endpoint_begins_where_it_says_and_a_restore_sets_it_back() {
    let dir = tempfile::tempdir().expect("scratch");
    let file = CursorFile::of(dir.path(), "crm").expect("made");
    let now = Webhook { from_beginning: false, ..endpoint("http://127.0.0.1:1/") };
    let begins = |file: &CursorFile, endpoint: &Webhook, newest: u64| {
        let feed = journal(&vec![("a", 0); newest as usize]);
        first(file, endpoint, feed.as_ref(), newest).expect("written").next
    };
    assert_eq!(begins(&file, &now, 40), (41, 0));
    // The next start takes what was written, whatever the journal holds by now.
    assert_eq!(begins(&file, &now, 50), (41, 0));
    // A journal that ends before it is an older one.
    assert_eq!(begins(&file, &now, 30), (31, 0));
    std::fs::write(file.path(), "{").expect("writable");
    assert_eq!(begins(&file, &now, 50), (1, 0));
    // One that the release before wrote has no marks until now.
    std::fs::write(file.path(), r#"{"next":[9,0],"done":[]}"#).expect("writable");
    assert_eq!(begins(&file, &now, 50), (9, 0));
    assert_eq!(begins(&file, &now, 7), (8, 0));
    let old = Webhook { name: "old".into(), from_beginning: true, ..now };
    let file = CursorFile::of(dir.path(), "old").expect("made");
    assert_eq!(begins(&file, &old, 40), (1, 0));
}
