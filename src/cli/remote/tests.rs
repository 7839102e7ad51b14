//! The client against a socket that plays the service: what is asked, and what an answer means.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;
use crate::event::Imported;

/// Answers one request with `status` and `body`; gives what was asked.
fn answer(status: &str, body: &str) -> (Remote, JoinHandle<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let reply = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let asked = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        let mut reader = BufReader::new(stream);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).expect("a request line");
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a header line");
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        reader.get_mut().write_all(reply.as_bytes()).expect("the client reads");
        let asked = first.trim().trim_end_matches(" HTTP/1.1").to_string();
        (asked, String::from_utf8(body).expect("UTF-8"))
    });
    (Remote::new(address), asked)
}

fn asked(handle: JoinHandle<(String, String)>) -> (String, String) {
    handle.join().expect("the service of this test does not panic")
}

#[test]
fn a_404_is_an_answer_only_in_our_own_words() {
    let clear = r#"{"status":404,"code":"not-suppressed","detail":"may go on"}"#;
    for (status, body, expected) in [
        ("200 OK", r#"{"state":"held"}"#, Ok(Some(json!({"state": "held"})))),
        ("404 Not Found", clear, Ok(None)),
        ("404 Not Found", "<html>nginx</html>", Err("is it bounced that listens there?")),
        ("200 OK", "<html>", Err("gave no JSON")),
        ("503 Service Unavailable", r#"{"detail":"rebuilding"}"#, Err("rebuilding")),
        ("401 Unauthorized", r#"{"detail":"a token is needed"}"#, Err("$BOUNCED_TOKEN")),
    ] {
        let (remote, handle) = answer(status, body);
        let found = remote.suppression("a/b+c@example.com", Some("news letter"));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(e), Err(part)) => assert!(e.to_string().contains(part), "{e}"),
            (found, expected) => panic!("{status} {body}: {found:?}, expected {expected:?}"),
        }
        let path = "GET /v1/suppressions/a%2Fb%2Bc%40example.com?scope=news%20letter";
        assert_eq!(asked(handle).0, path);
    }
}

#[test]
fn each_operation_asks_its_path() {
    let until = Timestamp::parse_rfc3339("2026-12-31");
    let (remote, handle) = answer("200 OK", "{}");
    remote.suppress("u@example.com", "*", "by phone", until).expect("200");
    let (path, body) = asked(handle);
    assert_eq!(path, "PUT /v1/suppressions/u%40example.com");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let expected = json!({"scope": "*", "reason": "by phone", "until": "2026-12-31T00:00:00Z"});
    assert_eq!(body, expected);

    let (remote, handle) = answer("200 OK", "{}");
    remote.release("u@example.com", "*", "back & well").expect("200");
    let path = "DELETE /v1/suppressions/u%40example.com?scope=%2A&reason=back%20%26%20well";
    assert_eq!(asked(handle).0, path);

    let (remote, handle) = answer("200 OK", r#"{"id":"x"}"#);
    let to = vec!["b+u=e.test@b.test".to_string()];
    let envelope = Envelope { to, trusted: true, ..Envelope::default() };
    let taken = remote.message(b"Subject: x\r\n\r\n".to_vec(), envelope, None);
    assert_eq!(taken, Ok(json!({"id": "x"})));
    let (path, body) = asked(handle);
    assert_eq!(path, "POST /v1/messages?to=b%2Bu%3De.test%40b.test&trust=true");
    assert_eq!(body, "Subject: x\r\n\r\n");

    let (remote, handle) = answer("200 OK", "{\"seq\":7}\n\n{\"seq\":8}\n");
    let events = remote.events(7, 100).expect("200");
    assert_eq!(events.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [7, 8]);
    assert_eq!(asked(handle).0, "GET /v1/events?from=7&limit=100");

    let (remote, handle) = answer("200 OK", "{}");
    remote
        .act(Act::Erase { address: "u@example.com".into(), hash: String::new() }, true)
        .expect("200");
    let (path, body) = asked(handle);
    assert_eq!(path, "POST /v1/acts?dry_run=true");
    assert_eq!(body, r#"{"what":"erase","address":"u@example.com"}"#);
}

#[test]
fn pages_and_imports() {
    let (remote, handle) = answer("200 OK", r#"{"entries":[{"a":1}],"next":"c 2"}"#);
    let query = ListQuery { limit: 5, domain: Some("example.com".into()), ..Default::default() };
    let page = remote.list(&query).expect("200");
    assert_eq!((page.entries.len(), page.next.as_deref()), (1, Some("c 2")));
    assert_eq!(asked(handle).0, "GET /v1/suppressions?limit=5&domain=example.com");

    let done = r#"{"suppressed":1,"changed":1,"unchanged":0,"left_out":2,"refused":3,
        "refusals":[{"line":2,"error":"no","cell":"b"}],
        "why":[{"kind":"refused","error":"no","count":3,"line":2},
            {"kind":"left-out","error":"soft","count":2,"line":3},
            {"kind":"noted","error":"no date","count":1,"line":1}]}"#;
    let (remote, handle) = answer("200 OK", done);
    let entry = |address: &str| ImportEntry {
        address: address.into(),
        scope: "*".into(),
        words: "old list".into(),
        until: None,
        imported: Imported::default(),
    };
    let options = ImportOptions { dry_run: false, all: true };
    let outcome = remote.import(vec![entry("a@example.com"), entry("b")], options).expect("200");
    assert_eq!((outcome.suppressed, outcome.changed), (1, 1));
    let not = |place, why: &str, cell: &str| NotTaken { place, why: why.into(), cell: cell.into() };
    assert_eq!(outcome.refused, [not(1, "no", "b"), not(1, "no", ""), not(1, "no", "")]);
    assert_eq!(outcome.left_out, [not(2, "soft", ""), not(2, "soft", "")]);
    let (path, body) = asked(handle);
    assert_eq!(path, "POST /v1/suppressions:import?all=true");
    assert_eq!(body.lines().count(), 2);
}

#[test]
fn readiness() {
    for (status, body, ready) in
        [("200 OK", "store: ok: fine\n", true), ("503 Service Unavailable", "disk: FAILED", false)]
    {
        let (remote, handle) = answer(status, body);
        assert_eq!(remote.readyz(), Ok((ready, body.to_string())));
        assert_eq!(asked(handle).0, "GET /readyz");
    }
}
