//! Webhooks of the real binary: killed in the middle of deliveries, again and again.
//! `ROUNDS=50 cargo test --test webhooks` for as many kills.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

mod service;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use service::*;
use sha2::Sha256;

const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One delivery that the receiver took, and in which run of the service.
#[derive(Debug, Clone)]
struct Taken {
    run: usize,
    id: String,
    body: Value,
}

/// A receiver that refuses every `refuses`th request for the moment.
struct Receiver {
    port: u16,
    run: Arc<AtomicUsize>,
    taken: Arc<Mutex<Vec<Taken>>>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    fn start(refuses: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let receiver = Self {
            port: listener.local_addr().expect("bound").port(),
            run: Arc::default(),
            taken: Arc::default(),
            wrong: Arc::default(),
        };
        let (run, taken, wrong) =
            (receiver.run.clone(), receiver.taken.clone(), receiver.wrong.clone());
        let count = Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (taken, wrong) = (taken.clone(), wrong.clone());
                let count = count.clone();
                // What a killed service sent and nobody read yet is of its run.
                let run = run.load(Ordering::SeqCst);
                // A connection that breaks off in the middle of a request is what a kill does.
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone()?);
                    let mut stream: TcpStream = stream;
                    while let Some((head, body)) = request(&mut reader)? {
                        let said = match verified(&head, &body) {
                            Ok((id, body)) => {
                                if count.fetch_add(1, Ordering::SeqCst) % refuses == refuses - 1 {
                                    "500 Later\r\nRetry-After: 0"
                                } else {
                                    taken.lock().expect("ours").push(Taken { run, id, body });
                                    "204 No Content"
                                }
                            }
                            Err(why) => {
                                wrong.lock().expect("ours").push(why);
                                "400 Bad Request"
                            }
                        };
                        write!(stream, "HTTP/1.1 {said}\r\nContent-Length: 0\r\n\r\n")?;
                    }
                    Ok::<_, std::io::Error>(())
                });
            }
        });
        receiver
    }

    fn taken(&self) -> Vec<Taken> {
        self.taken.lock().expect("ours").clone()
    }
}

/// Head and body of a request; None at the end of the connection.
fn request(reader: &mut impl BufRead) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let length = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some((head, body)))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Checks a request as a receiver should (standardwebhooks.com).
fn verified(head: &str, body: &[u8]) -> Result<(String, Value), String> {
    let id = header(head, "webhook-id").ok_or("no webhook-id")?;
    let timestamp = header(head, "webhook-timestamp").ok_or("no webhook-timestamp")?;
    let signature = header(head, "webhook-signature").ok_or("no webhook-signature")?;
    let secret = data_encoding::BASE64.decode(SECRET.as_bytes()).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).expect("any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let expected = format!("v1,{}", data_encoding::BASE64.encode(&mac.finalize().into_bytes()));
    if signature != expected {
        return Err(format!("{id}: {signature} instead of {expected}"));
    }
    let body: Value = serde_json::from_slice(body).map_err(|why| why.to_string())?;
    Ok((id.to_string(), body))
}

/// A service with one webhook to this port, whose configuration goes on with `more`.
fn service(port: u16, more: &str) -> Service {
    let service = Service::new("");
    let secret = service.dir.path().join("secret");
    std::fs::write(&secret, format!("whsec_{SECRET}\n")).expect("writable");
    let mut config = std::fs::read_to_string(service.config()).expect("written before");
    config.push_str(&format!(
        "\n[[webhooks]]\nname = \"crm\"\nurl = \"http://127.0.0.1:{port}/hooks\"\n\
         secret_file = \"{}\"\nallow_networks = [\"127.0.0.0/8\"]\n{more}",
        secret.display()
    ));
    std::fs::write(service.config(), config).expect("writable");
    service
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < end, "{what}: not within two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn all_told(service: &Service) -> bool {
    service.json("/v1/webhooks")["webhooks"][0]["backlog"] == 0
}

/// Id, address and new state of everything that the journal says was decided, in order.
fn decided(service: &Service) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for event in service.events() {
        let decisions = event["decisions"].as_array().cloned().unwrap_or_default();
        for (number, decision) in decisions.iter().enumerate() {
            let word = |name: &str| decision[name].as_str().unwrap_or_default().to_string();
            let id = format!("{}.{number}", event["id"].as_str().unwrap_or_default());
            all.push((id, word("address"), word("to")));
        }
    }
    all
}

#[test]
fn killed_in_the_middle_of_deliveries_every_event_comes_and_none_is_skipped() {
    let rounds: usize =
        std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(4);
    let receiver = Receiver::start(7);
    let mut service = service(receiver.port, "");
    service.start();
    let mut again = 0;
    for round in 0..rounds {
        // Ten addresses, in and out of the list: much to tell, in an order that can be checked.
        let before = receiver.taken().len();
        for turn in 0..40 {
            let address = format!("u{}@example.com", turn % 10);
            let path = format!("/v1/suppressions/{address}?reason=round+{round}");
            let verb = if (turn / 10) % 2 == 0 { "PUT" } else { "DELETE" };
            let (status, body) = service.request(&format!("{verb} {path}"), b"").expect("answers");
            assert_eq!(status, 200, "{body}");
        }
        // Something of this round came, and not all of it: the kill is in the middle.
        wait_for("a first delivery", || receiver.taken().len() > before);
        std::thread::sleep(Duration::from_millis(u64::try_from(round % 10).expect("small") * 7));
        service.stop("-KILL");
        again += receiver.taken().len();
        receiver.run.store(round + 1, Ordering::SeqCst);
        service.start();
    }
    wait_for("the rest", || all_told(&service));
    let (taken, expected) = (receiver.taken(), decided(&service));
    assert_eq!(*receiver.wrong.lock().expect("ours"), Vec::<String>::new());
    assert_eq!(expected.len(), rounds * 40, "each act decided something");

    // Every event at least once, and nothing else.
    let ids: BTreeSet<&str> = taken.iter().map(|one| one.id.as_str()).collect();
    let wanted: BTreeSet<&str> = expected.iter().map(|(id, ..)| id.as_str()).collect();
    assert_eq!(ids, wanted);
    // In order, by address: in each run always on, never back.
    let place: BTreeMap<&str, usize> =
        expected.iter().enumerate().map(|(place, (id, ..))| (id.as_str(), place)).collect();
    let mut last: BTreeMap<(usize, &str), usize> = BTreeMap::new();
    let mut first: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for one in &taken {
        let (here, address) = (place[one.id.as_str()], expected[place[one.id.as_str()]].1.as_str());
        assert_eq!(one.body["data"]["address"], address);
        assert_eq!(one.body["data"]["state"], expected[here].2.as_str());
        let before = last.insert((one.run, address), here);
        assert!(before.is_none_or(|before| before < here), "{address} in run {}", one.run);
        let seen = first.entry(address).or_default();
        if !seen.contains(&here) {
            assert!(seen.last().is_none_or(|before| *before < here), "{address}: one was skipped");
            seen.push(here);
        }
    }
    println!(
        "{rounds} kills, {} events, {} deliveries, {} of them again; {again} seen at the kills",
        expected.len(),
        taken.len(),
        taken.len() - ids.len()
    );
    assert_eq!(service.stop("-TERM"), Some(0));
    // A stop in order leaves nothing to be told again.
    receiver.run.store(rounds + 1, Ordering::SeqCst);
    service.start();
    wait_for("nothing", || all_told(&service));
    assert_eq!(receiver.taken().len(), taken.len());
}

/// Sends SIGHUP and waits for what `/v1/webhooks` says then.
fn reload(service: &Service, what: &str, done: impl Fn(&Value) -> bool) {
    service.signal("-HUP");
    wait_for(what, || done(&service.json("/v1/webhooks")["webhooks"]));
}

#[test]
fn a_change_of_the_endpoints_is_in_force_after_sighup() {
    let (old, new) = (Receiver::start(usize::MAX), Receiver::start(usize::MAX));
    let mut service = service(old.port, "");
    service.start();
    let file = service.config();
    let first = std::fs::read_to_string(&file).expect("ours");
    let suppress = |address: &str| {
        let (code, out, err) = service.run(&["suppress", address, "--reason", "asked by phone"]);
        assert_eq!(code, 0, "{out}{err}");
    };
    let told = |receiver: &Receiver| -> Vec<String> {
        let text =
            |one: &Taken, key: &str| one.body["data"][key].as_str().unwrap_or("").to_string();
        receiver.taken().iter().map(|one| text(one, "address")).collect()
    };
    let reloaded = |value: &str| {
        let line = format!("bounced_config_reload_success {value}");
        service.get("/metrics").is_some_and(|(_, all)| all.lines().any(|found| found == line))
    };
    suppress("a@example.com");
    wait_for("the first", || told(&old) == ["a@example.com"] && all_told(&service));

    // Elsewhere, from where it was; and one more, which begins with what comes now.
    let port = |port: u16| format!("127.0.0.1:{port}");
    let moved = first.replace(&port(old.port), &port(new.port));
    let (_, endpoint) = first.split_once("[[webhooks]]").expect("written before");
    let second = endpoint.replace("\"crm\"", "\"two\"");
    let both = format!("{moved}\n[[webhooks]]{second}types = [\"address.released\"]\n");
    std::fs::write(&file, &both).expect("ours");
    reload(&service, "moved, and one more", |now| {
        now[0]["host"] == port(new.port) && now[1]["name"] == "two"
    });
    suppress("b@example.com");
    let (code, ..) = service.run(&["release", "b@example.com", "--reason", "they called"]);
    assert_eq!(code, 0);
    wait_for("the others", || told(&new).len() == 2 && told(&old).len() == 2);
    assert_eq!(told(&new), ["b@example.com", "b@example.com"]);
    assert_eq!(old.taken()[1].body["type"], "address.released");

    // A bad one changes nothing.
    std::fs::write(&file, both.replace("address.released", "address.relaesed")).expect("ours");
    reload(&service, "the refusal", |_| reloaded("0"));
    // The command line reads it, too.
    std::fs::write(&file, &both).expect("ours");
    suppress("c@example.com");
    wait_for("one more", || told(&new).len() == 3);

    // Nobody any more: nothing is said of a backlog that nobody works off.
    let (without, _) = first.split_once("[[webhooks]]").expect("written before");
    std::fs::write(&file, without).expect("ours");
    reload(&service, "none", |now| now.as_array().is_some_and(Vec::is_empty) && reloaded("1"));
    let (_, metrics) = service.get("/metrics").expect("answers");
    assert!(!metrics.contains("endpoint=\"crm\""), "{metrics}");
    suppress("d@example.com");

    // Back again, from where it was: what came meanwhile is told.
    std::fs::write(&file, &moved).expect("ours");
    reload(&service, "back", |now| now[0]["name"] == "crm");
    wait_for("what came meanwhile", || told(&new).len() == 4);
    assert_eq!(told(&new)[2..], ["c@example.com", "d@example.com"]);
    assert!(
        old.wrong.lock().expect("ours").is_empty() && new.wrong.lock().expect("ours").is_empty()
    );
    assert_eq!(service.stop("-TERM"), Some(0));
}

#[test]
fn a_bounce_is_told_and_the_endpoint_can_be_asked_about() {
    let receiver = Receiver::start(usize::MAX);
    let mut service = service(
        receiver.port,
        "types = [\"address.suppressed\", \"bounce\"]\nkinds = [\"failure\"]\n",
    );
    service.start();
    let (code, out, err) = service.run(&["webhooks", "test", "crm"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.starts_with("taken: 204 in "), "{out}");
    let (code, _, err) = service.run(&["webhooks", "test", "other"]);
    assert!(code == 2 && err.contains("no webhook of this name"), "{code} {err}");
    let said = "450 4.7.1 <a@example.com>: Greylisted, try again in 5 minutes";
    for (address, status, said) in [
        ("a@example.com", "4.7.1", said),
        ("b@example.com", "5.7.1", "554 5.7.1 blocked using zen.spamhaus.org"),
        ("c@example.com", "5.1.1", "550 5.1.1 <c@example.com>: User unknown"),
    ] {
        let to = format!("bounces+{}@bounce.example.test", address.replace('@', "="));
        deliver(service.smtp, &to, &report(address, status, said));
    }
    // By hand: of no message, so of no kind.
    service.run(&["suppress", "d@example.com", "--reason", "asked by phone"]);
    wait_for("all of it", || receiver.taken().len() >= 5 && all_told(&service));
    let taken = receiver.taken();
    let received: Vec<(&str, &str)> = taken
        .iter()
        .filter_map(|one| Some((one.body["type"].as_str()?, one.body["data"]["address"].as_str()?)))
        .collect();
    assert_eq!(taken[0].body["type"], "webhook.test");
    let sorted: BTreeSet<(&str, &str)> = received.iter().copied().collect();
    assert_eq!(
        sorted,
        BTreeSet::from([
            ("address.suppressed", "c@example.com"),
            ("bounce", "a@example.com"),
            ("bounce", "b@example.com"),
            ("bounce", "c@example.com"),
        ])
    );
    let verdict = |address: &str| {
        let one = taken.iter().find(|one| one.body["data"]["address"] == address).expect("told");
        one.body["data"]["verdict"].clone()
    };
    assert_eq!(verdict("a@example.com")["retry_after"], 300);
    assert_eq!(verdict("b@example.com")["blocklist"], "Spamhaus ZEN");
    let (_, metrics) = service.get("/metrics").expect("answers");
    for line in [
        "bounced_webhook_deliveries_total{endpoint=\"crm\",outcome=\"delivered\"} 4",
        "bounced_webhook_backlog{endpoint=\"crm\"} 0",
        "bounced_webhook_oldest_seconds{endpoint=\"crm\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    let (code, out, _) = service.run(&["webhooks", "status"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("crm  ok  127.0.0.1:"), "{out}");
    assert!(out.contains(" 0 behind, 4 delivered, 0 retrying"), "{out}");
    service.stop("-TERM");
    let (code, _, err) = service.run(&["webhooks", "status"]);
    assert!(code == 2 && err.contains("none runs"), "{code} {err}");
}
