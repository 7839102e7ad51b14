//! The real binary, started as an operator starts it, spoken to over real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

mod service;

use bounced::mail::Timestamp;
use service::*;

#[test]
fn a_message_that_is_too_large_does_not_keep_the_others_out() {
    let mut service = Service::new("");
    let config = std::fs::read_to_string(service.config()).expect("written before");
    let config = config.replace("[smtp]\n", "[smtp]\nmax_message = \"1MiB\"\n");
    std::fs::write(service.config(), config).expect("scratch is writable");
    service.start();
    let report = report("user@example.com", "5.1.1", "550 5.1.1 <user@example.com>: User unknown");
    let folder = service.dir.path().join("mail");
    std::fs::create_dir(&folder).expect("scratch is writable");
    // More than a socket buffers: whoever writes all of it meets a closed connection.
    for (name, filling) in [("1.eml", 50 << 20), ("2.eml", 600 << 10), ("3.eml", 0)] {
        let message = format!("{report}{}", "x".repeat(filling));
        std::fs::write(folder.join(name), message).expect("scratch is writable");
    }
    let (code, out, err) = service.run(&["ingest", folder.to_str().expect("UTF-8")]);
    assert_eq!(code, 2);
    assert!(out.ends_with("2 stored, 1 failed\n"), "{out}");
    assert!(err.contains("larger than 1048576 octets, smtp.max_message"), "{err}");
}

#[test]
fn accepted_means_durable_and_the_answer_is_the_same_everywhere() {
    let mut service = Service::new("");
    service.start();
    let message = report("user@example.com", "5.1.1", "550 5.1.1 <user@example.com>: User unknown");
    let id = deliver(service.smtp, "bounces+user=example.com@bounce.example.test", &message);

    let entry = service.json("/v1/suppressions/user@example.com");
    assert_eq!(
        (entry["state"].as_str(), entry["reason"].as_str()),
        (Some("suppressed"), Some("user-unknown"))
    );
    let events = service.events();
    let event = events.iter().find(|e| e["id"] == id.as_str()).expect("it is in the journal");
    assert_eq!(event["attribution"], "plain");
    assert_eq!(event["recipients"][0]["status"], "5.1.1");
    assert_eq!(event["decisions"][0]["to"], "suppressed");
    let (code, out, _) = service.run(&["lookup", "user@example.com"]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(service.run(&["lookup", "other@example.com"]).0, 1);
    let (code, out, _) = service.run(&["explain", "user@example.com"]);
    assert!(code == 0 && out.contains("user-unknown"), "{out}");

    // The lookup port speaks socketmap, tcp_table and policy delegation.
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", service.lookup)).expect("it listens");
        stream.write_all(request.as_bytes()).expect("written");
        stream.shutdown(std::net::Shutdown::Write).expect("half closed");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    assert!(ask("25:suppress user@example.com,").contains("OK 550 5.1.1 "));
    assert!(ask("26:suppress other@example.com,").contains("NOTFOUND "));
    assert!(ask("get user@example.com\n").starts_with("200 550%205.1.1%20"));
    assert!(
        ask("request=smtpd_access_policy\nrecipient=user@example.com\n\n")
            .starts_with("action=550 5.1.1 ")
    );

    // The same message again, as after a lost 250: the same id, no second event.
    let again = deliver(service.smtp, "bounces+user=example.com@bounce.example.test", &message);
    assert_eq!(again, id);
    assert_eq!(service.events().len(), events.len());

    // A kill and a deleted view change nothing.
    service.stop("-KILL");
    let view = std::fs::read_dir(service.dir.path().join("data")).expect("it is there");
    for folder in view
        .flatten()
        .filter(|f| f.path().is_dir() && !f.file_name().to_string_lossy().contains("journal"))
    {
        if folder.path().join("db").exists() {
            std::fs::remove_dir_all(folder.path()).expect("removable");
        }
    }
    service.start();
    assert_eq!(service.json("/v1/suppressions/user@example.com"), entry);
    assert_eq!(service.events(), events);

    // By hand, journalled, idempotent.
    let (code, _, err) =
        service.run(&["release", "user@example.com", "--reason", "asked by phone"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(service.get("/v1/suppressions/user@example.com").expect("it answers").0, 404);
    assert_eq!(service.stop("-TERM"), Some(0));
    // Without a service the command opens the store itself.
    let (code, _, err) =
        service.run(&["suppress", "user@example.com", "--reason", "wrote to support"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(service.run(&["lookup", "user@example.com"]).0, 0);
}

#[test]
fn metrics_move_where_things_happen() {
    let mut params =
        rcgen::CertificateParams::new(["bounce.example.test".to_string()]).expect("a name");
    params.not_after = rcgen::date_time_ymd(2031, 5, 6);
    let key = rcgen::KeyPair::generate().expect("a key");
    let cert = params.self_signed(&key).expect("a certificate");
    let mut service = Service::new("");
    let (cert_file, key_file) = (service.dir.path().join("cert"), service.dir.path().join("key"));
    std::fs::write(&cert_file, cert.pem()).expect("scratch is writable");
    std::fs::write(&key_file, key.serialize_pem()).expect("scratch is writable");
    let config = std::fs::read_to_string(service.config()).expect("written before");
    let (cert, key) = (cert_file.display(), key_file.display());
    let tls = format!("{config}\n[smtp.tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n");
    std::fs::write(service.config(), tls).expect("scratch is writable");
    service.start();
    let value = |service: &Service, name: &str| {
        let (_, text) = service.get("/metrics").expect("it answers");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<f64>().ok())
    };
    let counted = [
        "bounced_message_size_bytes_count",
        "bounced_message_size_bytes_sum",
        "bounced_parse_duration_seconds_count",
        "bounced_fsync_duration_seconds_count",
        "bounced_refusals_total{category=\"hard\",provider=\"other\"}",
    ];
    let before = counted.map(|name| value(&service, name).unwrap_or_default());
    let message = report("user@example.com", "5.1.1", "550 5.1.1 <user@example.com>: User unknown");
    deliver(service.smtp, "bounces+user=example.com@bounce.example.test", &message);
    let after = counted.map(|name| value(&service, name).unwrap_or_default());
    let moved: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    let [messages, octets, read, synced, failed] = moved[..] else { panic!("{moved:?}") };
    assert_eq!((messages, read, synced, failed), (1.0, 1.0, 1.0, 1.0));
    let events = service.events();
    let event = events.iter().find(|event| event["type"] == "message").expect("it is kept");
    assert_eq!(Some(octets), event["bytes"].as_f64());
    // 2031-05-06T00:00:00Z
    let ends = "bounced_certificate_expiry_timestamp_seconds{name=\"bounce.example.test\"}";
    assert_eq!(value(&service, ends), Some(1_935_792_000.0));
}

#[test]
fn an_unreadable_report_is_kept_and_suppresses_nobody() {
    let mut service = Service::new("");
    service.start();
    deliver(service.smtp, "bounces+user=example.com@bounce.example.test", "\u{1}\u{2} what?\r\n.");
    let events = service.events();
    let message = events.iter().find(|e| e["type"] == "message").expect("it is kept");
    assert_eq!(message["kind"], "other");
    let raw = format!("raw/{}.eml", message["id"].as_str().expect("an id"));
    let kept = std::fs::read(service.dir.path().join("data").join(raw)).expect("kept as it came");
    assert!(kept.starts_with(b"\x01\x02 what?"), "{kept:?}");
    assert_eq!(service.get("/v1/suppressions/user@example.com").expect("it answers").0, 404);
    let (_, metrics) = service.get("/metrics").expect("it answers");
    assert!(metrics.contains("bounced_messages_total{kind=\"other\"} 1"), "{metrics}");
}

#[test]
fn lmtp_answers_for_each_recipient() {
    let mut service = Service::new("");
    service.start();
    let message = report("user@example.com", "5.2.2", "552 5.2.2 over quota");
    let stream = TcpStream::connect(("127.0.0.1", service.lmtp)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    let mut out = stream.try_clone().expect("a socket");
    write!(
        out,
        "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bounces+a=example.com@bounce.example.test>\r\n\
         RCPT TO:<bounces+b=example.com@bounce.example.test>\r\nDATA\r\n"
    )
    .expect("written");
    let mut lines = BufReader::new(stream).lines().map(|l| l.expect("a line"));
    let before: Vec<String> = lines.by_ref().take_while(|l| !l.starts_with("354")).collect();
    assert!(before.iter().filter(|l| l.starts_with("250 2.1")).count() >= 3, "{before:?}");
    write!(out, "{message}\r\nQUIT\r\n").expect("written");
    let after: Vec<String> = lines.collect();
    assert_eq!(after.iter().filter(|l| l.starts_with("250 2.0.0 stored ")).count(), 2, "{after:?}");
}

#[test]
fn only_signed_return_paths_suppress_once_there_is_a_key() {
    let key = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key.path(), "0123456789abcdef0123456789abcdef\n").expect("writable");
    let verp = format!("[[verp.keys]]\nid = \"a\"\nsecret_file = \"{}\"\n", key.path().display());
    let mut service = Service::new(&verp);
    service.start();
    // A plain return path is taken, journalled, and counts in nothing.
    let victim = report("victim@example.com", "5.1.1", "550 5.1.1 user unknown");
    deliver(service.smtp, "bounces+victim=example.com@bounce.example.test", &victim);
    assert_eq!(service.get("/v1/suppressions/victim@example.com").expect("it answers").0, 404);
    // The attacker's own token with a victim in the report: the attacker is meant.
    let (code, minted, err) = service.run(&["verp", "sign", "attacker@example.com"]);
    assert_eq!(code, 0, "{err}");
    let minted = minted.trim();
    deliver(service.smtp, minted, &victim);
    assert_eq!(service.get("/v1/suppressions/victim@example.com").expect("it answers").0, 404);
    assert_eq!(service.json("/v1/suppressions/attacker@example.com")["state"], "suppressed");
    // A forged token is refused at RCPT.
    let mut forged = minted.to_string();
    let turned = if forged.as_bytes()[10] == b'a' { "b" } else { "a" };
    forged.replace_range(10..11, turned);
    let rcpt = format!("RCPT TO:<{forged}>");
    smtp(
        service.smtp,
        &[("EHLO x", "250"), ("MAIL FROM:<>", "250"), (&rcpt, "550 5.7.1"), ("QUIT", "221")],
    );
}

#[test]
fn in_band_results_are_evidence_and_rates_need_them() {
    let mut service = Service::new("");
    service.start();
    assert!(service.json("/v1/health").to_string().contains("unknown"));
    let line = r#"{"outcome":"failed","address":"gone@example.com","message_id":"<1@example.com>","reply":"550 5.1.1 no such user"}"#;
    let (status, body) = service.request("POST /v1/events", line.as_bytes()).expect("it answers");
    assert_eq!(status, 200, "{body}");
    assert_eq!(service.json("/v1/suppressions/gone@example.com")["reason"], "user-unknown");
    let (status, body) =
        service.request("POST /v1/events", b"{\"outcome\":\"lost\"}").expect("it answers");
    assert_eq!(status, 400, "{body}");
}

/// A service that was stopped for more than a day could not be told that the clock was right: it
/// was not ready any more, and nothing ever expired again.
#[test]
fn a_clock_that_jumped_waits_for_a_person_and_mail_does_not() {
    let secret = tempfile::NamedTempFile::new().expect("a scratch file");
    std::fs::write(secret.path(), "0123456789abcdef0123456789abcdef\n").expect("written");
    let mut service = Service::new(&format!(
        "[[verp.keys]]\nid = \"a\"\nsecret_file = \"{}\"\n",
        secret.path().display()
    ));
    service.start();
    let (code, _, err) =
        service.run(&["suppress", "user@example.com", "--until", "3d", "--reason", "asked"]);
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = service.run(&["accept-clock"]);
    assert!(code == 1 && err.contains("no doubt"), "{err}");
    assert_eq!(service.stop("-TERM"), Some(0));
    // As if the machine had counted no time since the service stopped, and the wall clock, 400
    // hours and a half.
    let file = service.dir.path().join("data/clock");
    let line = std::fs::read_to_string(&file).expect("written at the stop");
    let [_, boot, uptime] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("moment, boot, uptime: {line}");
    };
    let hours = |n: i64| Timestamp::now().plus_millis(n * 3_600_000);
    let then = hours(-400).plus_millis(-1_800_000);
    std::fs::write(&file, format!("{then} {boot} {uptime}\n")).expect("written");
    service.start();
    let (status, ready) = service.get("/readyz").expect("it answers");
    assert!(status == 200 && ready.contains("400 hours ahead of what is expected"), "{ready}");
    let gauge = |service: &Service| service.get("/metrics").expect("it answers").1;
    assert!(gauge(&service).contains("bounced_clock_in_doubt 1"));
    // Return paths that were minted today are good, whoever is right about the day.
    let (_, path, _) = service.run(&["verp", "sign", "gone@example.com"]);
    let id = deliver(service.smtp, path.trim(), &report("gone@example.com", "5.1.1", "550 gone"));
    let event = service.events().into_iter().find(|event| event["id"] == *id).expect("stored");
    assert_eq!(event["attribution"], "signed");
    let at = event["received_at"].as_str().and_then(Timestamp::parse_rfc3339).expect("a moment");
    assert!(at < hours(-399), "records bear the expected time: {event}");
    // A restart settles nothing, a person does, once.
    assert_eq!(service.stop("-TERM"), Some(0));
    service.start();
    assert!(gauge(&service).contains("bounced_clock_in_doubt 1"));
    let (code, out, err) = service.run(&["accept-clock"]);
    assert!(code == 0 && out.contains("is believed"), "{out}{err}");
    assert!(gauge(&service).contains("bounced_clock_in_doubt 0"));
    assert_eq!(service.stop("-TERM"), Some(0));
    service.start();
    assert!(gauge(&service).contains("bounced_clock_in_doubt 0"));
    assert_eq!(service.json("/v1/suppressions/user@example.com")["state"], "suppressed");
}

#[test]
fn scopes_are_told_apart_and_wrong_ones_are_no_answer() {
    let mut service = Service::new("");
    service.start();
    let scoped = ["suppress", "user@example.com", "--reason", "asked", "--scope", "news"];
    assert_eq!(service.run(&scoped).0, 0);
    let explained = service.json("/v1/addresses/user@example.com");
    let entries = explained["entries"].as_array().expect("a list");
    let scopes: Vec<_> = entries.iter().map(|e| e["scope"].as_str().expect("a scope")).collect();
    assert_eq!(scopes, ["news"], "an act by hand in a scope is explained: {explained}");
    assert_eq!(explained["state"], "suppressed", "{explained}");
    let summary = explained["summary"].as_str().expect("a sentence");
    assert!(summary.contains("for by-hand in scope news since"), "{summary}");
    let elsewhere = service.json("/v1/addresses/user@example.com?scope=bills");
    assert_eq!(elsewhere["state"], "clear", "{elsewhere}");
    // What is over already would free who is suppressed.
    let put = "PUT /v1/suppressions/user@example.com?scope=news";
    let over = b"{\"reason\":\"x\",\"until\":\"2020-01-01\"}";
    assert_eq!(service.request(put, over).expect("it answers").0, 400);
    let line = b"{\"address\":\"user@example.com\",\"scope\":\"news\",\"until\":\"2020-01-01\"}\na@example.org";
    let import = service.request("POST /v1/suppressions:import", line).expect("it answers").1;
    assert!(import.contains("\"suppressed\":1") && import.contains("\"line\":1"), "{import}");
    let entry = service.json("/v1/suppressions/user@example.com?scope=news");
    assert_eq!(entry["state"], "suppressed");
    // 404 would say "go on" to a sender whose scope is misspelt.
    for path in ["/v1/suppressions/user@example.com?scope=a%20b", "/v1/suppressions?cursor=Zm9v"] {
        let (status, body) = service.get(path).expect("it answers");
        assert_eq!(status, 400, "{path}: {body}");
    }
    let (code, _, err) = service.run(&["lookup", "--scope", "a b", "user@example.com"]);
    assert!(code == 2 && err.contains("`*` for all, or a name"), "{err}");
    // A page of one list is no place in another.
    assert_eq!(service.run(&["suppress", "a@example.net", "--reason", "asked"]).0, 0);
    let page = service.json("/v1/suppressions?limit=1&domain=example.com");
    let next = page["next"].as_str().expect("there is more");
    let (status, _) = service
        .get(&format!("/v1/suppressions?limit=1&domain=example.net&cursor={next}"))
        .expect("it answers");
    assert_eq!(status, 400);
}

/// Asks the lookup port once, with a socketmap or a policy request.
fn look_up(service: &Service, request: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", service.lookup)).expect("connects");
    let framed = match request.contains('\n') {
        true => request.to_string(),
        false => format!("{}:{request},", request.len()),
    };
    stream.write_all(framed.as_bytes()).expect("sends");
    stream.shutdown(std::net::Shutdown::Write).expect("half-closes");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("answers");
    reply
}

/// A complaint that came back to mail of a list.
fn complaint(user: &str) -> String {
    format!(
        "From: <fbl@fbl.example.net>\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n\
         Message-ID: <1@fbl.example.net>\r\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n\
         --b\r\n\r\ncomplaint\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n\
         Feedback-Type: abuse\r\nUser-Agent: FBL/1\r\nVersion: 1\r\n\
         Original-Rcpt-To: <{user}>\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
         From: <news@example.com>\r\nTo: <{user}>\r\nSubject: news\r\n\r\nnews\r\n--b--\r\n."
    )
}

#[test]
fn a_complaint_stops_what_it_is_about() {
    for (unscoped, stops_all) in [("any", true), ("global", false)] {
        let mut service = Service::new("");
        std::fs::write(service.dir.path().join("key"), "0123456789abcdef").expect("ours");
        let text = std::fs::read_to_string(service.config()).expect("ours");
        let text = format!(
            "{text}unscoped = \"{unscoped}\"\n[[verp.keys]]\nid = \"a\"\nsecret_file = \"{}\"\n",
            service.dir.path().join("key").display()
        );
        std::fs::write(service.config(), text).expect("writable");
        service.start();
        let user = "user@example.com";
        let path = |tag: &str| {
            let args = ["verp", "sign", user, "--tag", tag];
            let args = if tag.is_empty() { &args[..3] } else { &args[..] };
            service.run(args).1.trim().to_string()
        };
        deliver(service.smtp, &path("news.2026-11"), &complaint(user));
        let mut changed = path("marketing");
        let other = if changed.as_bytes().get(20) == Some(&b'a') { "b" } else { "a" };
        changed.replace_range(20..21, other);
        let by_policy = |sender: &str| format!("sender={sender}\nrecipient={user}\n\n");
        for (request, stops) in [
            (format!("suppress.news {user}"), true),
            (format!("transport.news {user}"), true),
            (by_policy(&path("news")), true),
            (by_policy(&path("news.2026-12")), true),
            (format!("suppress.marketing {user}"), false),
            (format!("suppress.never.heard-of {user}"), false),
            (by_policy(&path("marketing")), false),
            // Signed, without a tag: mail of the scope `default`.
            (by_policy(&path("")), false),
            (format!("suppress {user}"), stops_all),
            (format!("transport {user}"), stops_all),
            (format!("get {user}\n"), stops_all),
            (by_policy("news@example.com"), stops_all),
            // A changed token names no scope.
            (by_policy(&changed), stops_all),
        ] {
            let reply = look_up(&service, &request);
            let refuses = reply.contains("complaint, scope news [bounced:suppressed]")
                || reply.contains("complaint,%20scope%20news%20[bounced:suppressed]");
            assert_eq!(refuses, stops, "{unscoped} {request}: {reply}");
            let clear = ["NOTFOUND ", "DUNNO", "500 not"].iter().any(|word| reply.contains(word));
            assert_eq!(clear, !stops, "{unscoped} {request}: {reply}");
        }
        for (query, stops) in [
            ("?scope=news", true),
            ("?scope=marketing", false),
            ("?scope=*", false),
            ("", stops_all),
        ] {
            let (status, body) =
                service.get(&format!("/v1/suppressions/{user}{query}")).expect("it answers");
            assert_eq!(status, if stops { 200 } else { 404 }, "{unscoped} {query}: {body}");
            assert!(!stops || body.contains("\"scope\":\"news\""), "{body}");
        }
        let body = format!("{{\"addresses\":[\"{user}\"]}}");
        let checked = service.request("POST /v1/suppressions:check", body.as_bytes());
        let checked = checked.expect("it answers").1;
        assert_eq!(checked.contains("\"scope\":\"news\""), stops_all, "{unscoped}: {checked}");
        let explained = look_up(&service, &format!("explain.news {user}"));
        assert!(explained.contains("suppressed for complaint in scope news"), "{explained}");
        let explained = look_up(&service, &format!("explain.marketing {user}"));
        assert!(explained.contains("NOTFOUND "), "nothing was heard there: {explained}");
        assert_eq!(service.run(&["release", user, "--scope", "news", "--reason", "asked"]).0, 0);
        let explained = look_up(&service, &format!("explain.news {user}"));
        assert!(explained.contains("may be mailed"), "{explained}");
    }
}

#[test]
fn in_band_results_that_carry_our_mark_count_in_nothing() {
    let mut service = Service::new("");
    service.start();
    let reply =
        "550 5.1.1 recipient suppressed since 2026-11-22: user-unknown [bounced:suppressed]";
    let body = serde_json::json!({"outcome": "failed", "address": "user@example.com",
        "reply": reply, "message_id": "<1@example.com>"});
    let posted = service.request("POST /v1/events", body.to_string().as_bytes());
    assert_eq!(posted.expect("it answers").0, 200);
    assert_eq!(service.get("/v1/suppressions/user@example.com").expect("it answers").0, 404);
    let health = service.json("/v1/health");
    assert_eq!(health["total"]["own_refusal"], 1, "{health}");
    assert_eq!(health["total"]["hard"], 0, "{health}");
    let explained = service.json("/v1/addresses/user@example.com");
    let note = &explained["events"][0]["note"];
    assert_eq!(note, "this is our own refusal: it counts in nothing", "{explained}");
}

/// Starts it where it cannot run; gives what it says.
fn refused(config: &Path) -> String {
    let output = bounced()
        .args(["--config".as_ref(), config.as_os_str(), "serve".as_ref()])
        .stdin(Stdio::null())
        .output();
    let output = output.expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    said
}

#[test]
fn what_cannot_run_says_so_in_one_sentence() {
    let mut first = Service::new("");
    first.start();
    // The same data directory.
    let second = Service::new("");
    let text = std::fs::read_to_string(second.config()).expect("ours");
    let stolen = text
        .replace(&second.dir.path().display().to_string(), &first.dir.path().display().to_string());
    std::fs::write(second.config(), stolen).expect("writable");
    let said = refused(&second.config());
    assert!(
        said.contains("another") || said.contains("in use") || said.contains("process"),
        "{said}"
    );
    // The same port.
    let busy = Service::new("");
    let text = std::fs::read_to_string(busy.config()).expect("ours");
    let taken = text.replace(
        &format!("listen = [\"127.0.0.1:{}\"]\ndomains", busy.smtp),
        &format!("listen = [\"127.0.0.1:{}\"]\ndomains", first.smtp),
    );
    std::fs::write(busy.config(), taken).expect("writable");
    let said = refused(&busy.config());
    assert!(said.contains(&first.smtp.to_string()), "{said}");
    // A certificate that is none.
    let wrong = Service::new("[smtp.tls]\ncert = \"/etc/hostname\"\nkey = \"/etc/hostname\"\n");
    let said = refused(&wrong.config());
    assert!(said.contains("certificate") || said.contains("/etc/hostname"), "{said}");
    // A data directory that cannot be one.
    let nowhere = Service::new("");
    let text = std::fs::read_to_string(nowhere.config()).expect("ours");
    let text =
        text.replace(&nowhere.dir.path().join("data").display().to_string(), "/proc/bounced");
    std::fs::write(nowhere.config(), text).expect("writable");
    let said = refused(&nowhere.config());
    assert!(said.contains("/proc/bounced"), "{said}");
}

#[test]
fn imports_side_by_side_are_slow_and_not_refused() {
    let mut service = Service::new("");
    service.start();
    const LINES: usize = 6_000;
    std::thread::scope(|scope| {
        let imports: Vec<_> = (0..6)
            .map(|n| {
                let service = &service;
                let list: String =
                    (0..LINES).map(|line| format!("u{line}@d{n}.example\n")).collect();
                let import = "POST /v1/suppressions:import";
                scope.spawn(move || service.request(import, list.as_bytes()))
            })
            .collect();
        for import in imports {
            let (status, body) = import.join().expect("no panic").expect("it answers");
            assert_eq!(status, 200, "{body}");
            assert!(body.contains(&format!("\"suppressed\":{LINES},")), "{body}");
        }
    });
}

#[test]
fn reports_say_which_rule_said_what_and_who_of_a_campaign_bounced() {
    let mut service = Service::new("");
    service.start();
    for (address, campaign, reply) in [
        ("a@example.com", "spring", "550 5.1.1 <a@example.com>: User unknown"),
        ("b@example.com", "spring", "550 5.1.1 <b@example.com>: User unknown"),
        ("c@example.com", "autumn", "550 5.1.1 <c@example.com>: User unknown"),
        (
            "d@gmail.com",
            "spring",
            "550-5.1.1 The email account that you tried to reach does not exist.",
        ),
    ] {
        let result = serde_json::json!({"outcome": "failed", "address": address, "reply": reply,
            "campaign": campaign, "scope": if address < "b" { "news" } else { "shop" }});
        let (status, body) =
            service.request("POST /v1/events", result.to_string().as_bytes()).expect("it answers");
        assert_eq!((status, body.contains("\"stored\":1")), (200, true), "{body}");
    }
    let report = service.json("/v1/reports/rules?by=provider");
    assert_eq!((&report["complete"], &report["records"]), (&true.into(), &5.into()), "{report}");
    let rows = report["rules"].as_array().expect("rows");
    assert_eq!(rows.iter().filter_map(|row| row["count"].as_u64()).sum::<u64>(), 4, "{report}");
    assert!(rows[0]["count"].as_u64() >= rows[rows.len() - 1]["count"].as_u64());
    assert!(rows.iter().any(|row| row["provider"] == "google"), "{report}");
    let plain = service.json("/v1/reports/rules?since=2026-01-01");
    let rows = plain["rules"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["provider"].is_null()), "{plain}");
    assert_eq!(service.json("/v1/reports/rules?since=2099-01-01")["rules"], serde_json::json!([]));
    let bounces = |query: &str| {
        let (status, body) = service.get(&format!("/v1/campaigns/{query}")).expect("it answers");
        assert_eq!(status, 200, "{body}");
        let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        // The lengths of pieces stand between the lines.
        let lines = body.lines().filter(|line| line.starts_with('{'));
        lines.map(|line| read(line)["address"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(bounces("spring/bounces"), ["a@example.com", "b@example.com", "d@gmail.com"]);
    assert_eq!(bounces("spring/bounces?scope=news"), ["a@example.com"]);
    assert_eq!(bounces("spring/bounces?from=4"), ["d@gmail.com"]);
    assert!(bounces("winter/bounces").is_empty());
    for path in ["/v1/reports/rules?by=day", "/v1/campaigns/spring/bounces?limit=1"] {
        assert_eq!(service.get(path).expect("it answers").0, 400, "{path}");
    }
}

#[test]
fn a_canary_comes_through_or_says_where_it_did_not() {
    let mut service = Service::new("");
    service.start();
    let canary = || {
        let (_, metrics) = service.get("/metrics").expect("it answers");
        let line = metrics.lines().find(|l| l.starts_with("bounced_canary_timestamp_seconds "));
        line.and_then(|l| l.split(' ').nth(1)?.parse::<f64>().ok()).expect("a metric")
    };
    assert_eq!(canary(), 0.0);
    let (code, out, err) = service.run(&["canary", "--json"]);
    assert_eq!(code, 0, "{err}");
    assert!(canary() > 1_700_000_000.0, "the service saw it");
    let found: serde_json::Value = serde_json::from_str(&out).expect("a JSON line");
    let events = service.events();
    let event = events.iter().find(|event| event["id"] == found["event"]).expect("in the journal");
    assert_eq!(event["kind"], "success");
    assert_eq!(service.json("/v1/suppressions?limit=10")["entries"], serde_json::json!([]));

    // Nobody listens; a server that takes mail and keeps it.
    let nobody = format!("127.0.0.1:{}", free_port());
    let (code, _, err) = service.run(&["canary", "--to", &nobody]);
    assert!(code == 2 && err.contains("did not get through"), "{err}");
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let to = elsewhere.local_addr().expect("bound").to_string();
    let server = std::thread::spawn(move || {
        let (stream, _) = elsewhere.accept().expect("the canary");
        let mut answers = stream.try_clone().expect("one more");
        let mut say = |line: &str| answers.write_all(line.as_bytes()).expect("read");
        say("220 elsewhere\r\n");
        let mut in_data = false;
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            match (in_data, line.as_str()) {
                (true, ".") => {
                    in_data = false;
                    say("250 2.0.0 Ok: queued as 4X\r\n");
                }
                (true, _) => {}
                (false, "DATA") => {
                    in_data = true;
                    say("354 go on\r\n");
                }
                (false, _) => say("250 ok\r\n"),
            }
        }
    });
    let (code, _, err) = service.run(&["canary", "--to", &to, "--timeout", "1s"]);
    assert!(code == 2 && err.contains("no event came of it"), "{err}");
    assert!(err.contains("queued as 4X"), "{err}");
    server.join().expect("it served");
}

/// A log on a full disk, and a pipe whose reader ended: lines are lost, and nothing else.
#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    for format in ["text", "json"] {
        let full =
            std::fs::File::options().write(true).open("/dev/full").expect("a device of Linux");
        let (reader, nobody) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut service = Service::new(&format!("[log]\nformat = \"{format}\"\n"));
        for (n, log) in [Stdio::from(full), Stdio::from(nobody)].into_iter().enumerate() {
            service.start_with("info", log);
            let user = format!("user{n}@example.com");
            let to = format!("bounces+user{n}=example.com@bounce.example.test");
            deliver(service.smtp, &to, &report(&user, "5.1.1", "550 5.1.1 user unknown"));
            assert_eq!(service.run(&["lookup", &user]).0, 0);
            assert_eq!(service.stop("-TERM"), Some(0), "{format}, log {n}");
        }
    }
}

/// Folders, FIFOs, sockets and links to nothing where the journal has its files.
#[test]
fn what_is_no_file_is_set_aside_and_never_opened() {
    let mut service = Service::new("");
    service.start();
    let to = "bounces+user=example.com@bounce.example.test";
    deliver(service.smtp, to, &report("user@example.com", "5.1.1", "550 5.1.1 user unknown"));
    assert_eq!(service.stop("-TERM"), Some(0));
    let journal = service.dir.path().join("data/journal");
    let name = |seq: u64| journal.join(format!("{seq:020}.journal"));
    std::fs::create_dir(name(2500)).expect("writable");
    std::os::unix::fs::symlink("/nobody/has/this", name(2600)).expect("writable");
    let socket = std::os::unix::net::UnixListener::bind(name(2700)).expect("writable");
    let fifo = std::process::Command::new("mkfifo").arg(name(2800)).status();
    assert!(fifo.expect("coreutils are here").success());
    let said = |text: &str| (0..4).all(|n| text.contains(&format!("{}.journal", 2500 + n * 100)));
    let (_, out, err) = service.run(&["doctor", "--offline"]);
    assert!(said(&out), "{out}{err}");
    service.start();
    let (status, words) = service.get("/readyz").expect("it answers");
    assert!(status == 200 && words.contains("DEGRADED") && said(&words), "{words}");
    let (_, metrics) = service.get("/metrics").expect("it answers");
    assert!(metrics.contains("bounced_trouble{what=\"strange-file\"} 1\n"), "{metrics}");
    assert_eq!(service.run(&["lookup", "user@example.com"]).0, 0);
    assert_eq!(service.stop("-TERM"), Some(0));
    for seq in [2500, 2600, 2700, 2800] {
        assert!(name(seq).symlink_metadata().is_err(), "{seq} is set aside");
    }
    let (code, out, err) = service.run(&["verify"]);
    assert!(code == 0 && out.contains("the list is what the journal says"), "{out}{err}");
    drop(socket);
    // Small files and folders of ours: what is in the way is named.
    for (file, named) in [("privacy.key", "privacy.key"), ("oldest-record", "oldest-record")] {
        let path = service.dir.path().join("data").join(file);
        let _ = std::fs::remove_file(&path);
        let fifo = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(fifo.expect("coreutils are here").success());
        let said = refused(&service.config());
        assert!(said.contains(named) && said.contains("move it away"), "{said}");
        std::fs::remove_file(&path).expect("ours");
    }
    let folder = service.dir.path().join("data/checkpoint");
    let away = service.dir.path().join("away");
    std::fs::rename(&folder, &away).or_else(|_| std::fs::create_dir(&away)).expect("writable");
    std::fs::write(&folder, "mine").expect("writable");
    let said = refused(&service.config());
    assert!(said.contains("checkpoint is not a folder"), "{said}");
}

#[test]
fn each_message_and_each_session_has_one_line_in_the_log_and_no_address() {
    let mut service = Service::new("[log]\nformat = \"json\"\n");
    let log = service.dir.path().join("log");
    service.start_with("info", std::fs::File::create(&log).expect("writable").into());
    let message = report("jane@example.com", "5.1.1", "550 5.1.1 user unknown");
    let to = "bounces+jane=example.com@bounce.example.test";
    let id = deliver(service.smtp, to, &message);
    let path = "POST /v1/messages?to=bounces%2Bjohn=example.com@bounce.example.test&from=";
    let message = report("john@example.com", "4.2.2", "452 4.2.2 mailbox full");
    let (status, body) = service.request(path, message.as_bytes()).expect("it answers");
    assert_eq!(status, 200, "{body}");
    assert_eq!(service.stop("-TERM"), Some(0));
    let log = std::fs::read_to_string(&log).expect("written");
    let lines = |what: &str| -> Vec<serde_json::Value> {
        let of = log.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        of.map(|line: serde_json::Value| line["fields"].clone())
            .filter(|fields| fields["message"] == what)
            .collect()
    };
    let stored = lines("stored");
    let told = |n: usize, key: &str| stored[n][key].clone();
    assert_eq!(stored.len(), 2, "{log}");
    let session = told(0, "session");
    for (key, first, second) in [
        ("peer", "127.0.0.1", "127.0.0.1"),
        ("helo", "mx.example.net", ""),
        ("kind", "failure", "failure"),
        ("format", "rfc3464", "rfc3464"),
        ("reasons", "user-unknown", "mailbox-full"),
        ("categories", "hard", "soft"),
        ("rules", "says/recipient/absent", "says/recipient/full"),
        ("attribution", "plain", "plain"),
        ("decisions", "clear>suppressed now/user-unknown", "clear>watched watched/strikes"),
    ] {
        assert_eq!((told(0, key), told(1, key)), (first.into(), second.into()), "{key}");
    }
    assert_eq!((told(0, "id"), told(0, "tls")), (id.into(), false.into()));
    for key in ["commit_ms", "seq", "octets"] {
        assert!(told(0, key).is_number(), "{key}: {log}");
    }
    let sessions = lines("session ended");
    assert_eq!(sessions.len(), 1, "{log}");
    assert_eq!((&sessions[0]["session"], &sessions[0]["outcome"]), (&session, &"ok".into()));
    assert_eq!(sessions[0]["messages"], 1);
    assert!(!log.contains("jane") && !log.contains("john"), "{log}");
}
