//! What the fuzz targets do with their octets, shared by `tests/fuzz` (cargo-fuzz) and
//! `tests/any_bytes.rs` (every `cargo test`).
//!
//! Each body holds for any octets at all and says so by a panic: no panic below it, the same
//! octets read twice mean the same, and what is written out is within its limits.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bounced::analysis::{Analyser, Received};
use bounced::classify::{Refusal, RuleSet};
use bounced::config::Answers;
use bounced::event::Envelope;
use bounced::mail::{Address, EnhancedStatus, Timestamp};
use bounced::serve::lookup::wire::{Answer, Map, Parsed, Request, WireProtocol};
use bounced::smtp::{Acceptance, Action, Dialect, OurDomains, Session, SessionSettings};
use bounced::verp::Verp;

/// A moment at which the tokens below are young.
const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

static PIPELINE: LazyLock<Analyser> = LazyLock::new(|| Analyser {
    verp: Arc::new(keyed_verp()),
    rules: Arc::new(RuleSet::load(None).expect("the shipped rules load")),
    shadow: None,
});

fn keyed_verp() -> Verp {
    let config = bounced::config::VerpConfig {
        signed: true,
        plain: true,
        keys: vec![("a".into(), vec![7; 32]), ("b".into(), vec![9; 32])],
        max_age: Duration::from_secs(30 * 86_400),
    };
    Verp::new(&config, &["b.example".to_string()]).expect("two good keys")
}

/// Any octets through the straight line, with envelopes that attribute and envelopes that do not.
pub fn message(data: &[u8]) {
    let signed = PIPELINE.verp.mint(&user(), Some("tag"), None, NOW).expect("a token");
    let envelopes = [vec![], vec![signed, "bounces+u=example.com@b.example".to_string()]];
    for to in &envelopes {
        let one = PIPELINE.analyse(data, to, NOW);
        assert_eq!(one.analysis.bytes, data.len() as u64);
        let json = serde_json::to_string(&one.analysis).expect("an analysis is JSON");
        let again = PIPELINE.analyse(data, to, NOW);
        assert_eq!(json, serde_json::to_string(&again.analysis).expect("JSON"), "read twice");
        let record = || PIPELINE.record(received(data, to));
        assert_eq!(record(), record(), "recorded twice");
        // Everything in the object is cut to size; 512 KiB of a message are read.
        assert!(json.len() < (1 << 20) + 8 * data.len().min(1 << 19), "{} octets", json.len());
    }
}

fn received<'a>(data: &'a [u8], to: &[String]) -> Received<'a> {
    Received {
        data,
        envelope: Envelope { to: to.to_vec(), ..Envelope::default() },
        peer: None,
        received_at: NOW,
        moment: NOW.into(),
        id: "1".to_string(),
    }
}

fn user() -> Address {
    Address::parse("u@example.com").expect("an address")
}

/// The octets as the parts of a report: text, fields of the message, fields of a recipient, and
/// the original, each as long as its first octet says.
pub fn dsn(data: &[u8]) {
    let mut rest = data;
    let mut piece = || {
        let (size, tail) = rest.split_first().map_or((0, rest), |(n, t)| (usize::from(*n) * 4, t));
        let (piece, tail) = tail.split_at(size.min(tail.len()));
        rest = tail;
        piece.to_vec()
    };
    let (words, of_message, of_recipient) = (piece(), piece(), piece());
    let mut text = b"From: mailer-daemon@mx.example.net\r\nSubject: Undelivered Mail\r\n\
        Content-Type: multipart/report; report-type=delivery-status; boundary=\"=b\"\r\n\r\n\
        --=b\r\n\r\n"
        .to_vec();
    text.extend(words);
    text.extend(b"\r\n--=b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; ");
    text.extend(of_message);
    text.extend(b"\r\n\r\nFinal-Recipient: rfc822; u@example.com\r\nAction: failed\r\nStatus: ");
    text.extend(of_recipient);
    text.extend(b"\r\n\r\n--=b\r\nContent-Type: message/rfc822\r\n\r\n");
    text.extend(rest);
    text.extend(b"\r\n--=b--\r\n");
    message(&text);
}

/// The octets as words of a refusal, and as a file of operator rules: which is an error or a set
/// of rules that can be checked and asked, never a panic.
pub fn rules(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let refusal = Refusal {
        status_field: EnhancedStatus::parse(first),
        diagnostic: &text,
        remarks: rest,
        remote_mta: Some(first),
        reporting_mta: Some(rest),
        recipient_domain: Some(first),
        remarks_own: true,
        ..Refusal::default()
    };
    let verdict = PIPELINE.rules.judge(&refusal);
    assert_eq!(format!("{verdict:?}"), format!("{:?}", PIPELINE.rules.judge(&refusal)));
    match RuleSet::of_text("rules.toml", &text) {
        Ok(set) => {
            set.check();
            set.judge(&refusal);
        }
        Err(e) => assert!(e.to_string().contains("rules.toml"), "{e} names no file"),
    }
}

/// Any forward-path through every reading of a return path. The first octet chooses whether the
/// rest is taken as it is or changes one octet of a good token: which must then be refused.
pub fn verp(data: &[u8]) {
    let Some((&how, rest)) = data.split_first() else { return };
    let verp = &PIPELINE.verp;
    let text = String::from_utf8_lossy(rest).into_owned();
    for path in [text.clone(), format!("{text}@b.example"), format!("bounces+{text}@b.example")] {
        let _ = verp.verify(&path, NOW);
        let _ = verp.at_rcpt(&path, NOW);
        let near = [user()];
        let read = verp.read(std::slice::from_ref(&path), &mut near.iter(), NOW);
        assert_eq!(read, verp.read(&[path], &mut near.iter(), NOW));
    }
    let good = verp.mint(&user(), None, None, NOW).expect("a token");
    assert!(verp.verify(&good, NOW).is_ok(), "{good}");
    let (&[at, with, ..], true) = (rest, how & 1 == 1) else { return };
    let mut bad = good.clone().into_bytes();
    let local = good.find('@').unwrap_or(good.len());
    if let Some(octet) = bad.get_mut(usize::from(at) % local) {
        *octet = with;
    }
    let bad = String::from_utf8_lossy(&bad).into_owned();
    // Mail systems fold case, so a token that differs in case alone is the token.
    if !bad.eq_ignore_ascii_case(&good) {
        assert!(verp.verify(&bad, NOW).is_err(), "{bad} passes for {good}");
    }
}

/// Any octets as a session, in pieces whose sizes the input chooses, must be answered as the same
/// octets in pieces of one; replies are whole lines.
pub fn smtp(data: &[u8]) {
    let (sizes, octets) = data.split_at(data.len().min(8));
    let whole = session(octets, &mut sizes.iter().map(|n| usize::from(*n)).cycle());
    let single = session(octets, &mut std::iter::repeat(1));
    // Who talks when he must be silent is cut off where his piece ends: only that may differ.
    if !octets.windows(8).any(|w| w.eq_ignore_ascii_case(b"STARTTLS")) && !talks_early(octets) {
        assert_eq!(whole, single, "pieces of {sizes:?}");
    }
}

/// Whether the input could be talk ahead of a DATA or behind the end of a session.
fn talks_early(octets: &[u8]) -> bool {
    octets.windows(4).any(|w| w.eq_ignore_ascii_case(b"DATA") || w.eq_ignore_ascii_case(b"QUIT"))
}

fn session(octets: &[u8], sizes: &mut dyn Iterator<Item = usize>) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut service = SessionSettings::new("mx.example.com", Dialect::Smtp);
    service.recipients = Arc::new(OurDomains::new(&["b.example".to_string()], None));
    service.tls = true;
    let mut session = Session::new(Arc::new(service), "s1".into(), Instant::now());
    let (mut said, mut stored) = (Vec::new(), Vec::new());
    let mut rest = octets;
    loop {
        match session.next() {
            Action::Read if rest.is_empty() => session.eof(),
            Action::Read => {
                let size = sizes.next().unwrap_or(1).clamp(1, rest.len());
                let (piece, tail) = rest.split_at(size);
                session.feed(piece);
                rest = tail;
            }
            Action::Write(lines) => {
                assert!(lines.ends_with(b"\r\n"), "a reply is whole lines");
                said.extend(lines);
            }
            Action::StartTls => session.tls_started(),
            Action::Receive(delivery) => {
                stored.push(delivery.data);
                session.answered(&[Acceptance::Stored { id: stored.len().to_string() }]);
            }
            Action::Close => return (said, stored),
        }
    }
}

/// Any octets at the lookup port: each request takes at least one octet, each reply is printable
/// and ends.
pub fn lookup(data: &[u8]) {
    let Some(wire) = WireProtocol::detect(data) else { return };
    let mut rest = data;
    while let Parsed::Complete(request, octets) = wire.parse(rest) {
        assert!(octets > 0 && octets <= rest.len(), "a request of {octets} octets");
        let (map, key) = match &request {
            Request::Ask(map, key, _) => (*map, key.to_string()),
            _ => (Map::Suppress, String::new()),
        };
        let code = EnhancedStatus::parse("5.1.1").expect("a code");
        for answer in [Answer::Clear, Answer::Refuse(code, &key), Answer::Words(&key)] {
            let mut out = Vec::new();
            wire.reply(map, answer, &Answers::default(), &mut out);
            let plain = |o: &u8| matches!(o, b' '..=b'~' | b'\n');
            assert!(out.iter().all(plain) && out.len() < 101_000, "{out:?}");
        }
        rest = rest.split_at(octets).1;
    }
}
