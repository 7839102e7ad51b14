//! What holds for dialogs that nobody thought of.

use std::sync::Arc;
use std::time::Instant;

use bounced::smtp::{Acceptance, Action, Dialect, OurDomains, Session, SessionSettings};
use proptest::prelude::*;

/// What a session said and stored.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    replies: String,
    messages: Vec<(String, Vec<String>, Vec<u8>)>,
    closed: bool,
}

fn session(dialect: Dialect) -> Session {
    let mut service = SessionSettings::new("mx.example.com", dialect);
    service.recipients = Arc::new(OurDomains::new(&["b.example".to_string()], None));
    service.limits.message = 60;
    service.limits.command_line = 64;
    service.limits.absurd_line = 200;
    service.limits.recipients = 2;
    service.limits.errors = 6;
    service.limits.junk = 8;
    Session::new(Arc::new(service), "s1".into(), Instant::now())
}

fn feed(session: &mut Session, octets: &[u8], heard: &mut Heard) {
    session.feed(octets);
    while !heard.closed {
        match session.next() {
            Action::Read => return,
            Action::Close => heard.closed = true,
            Action::Write(octets) => heard.replies += std::str::from_utf8(&octets).unwrap(),
            Action::StartTls => session.tls_started(),
            Action::Receive(delivery) => {
                let (from, to) = (delivery.envelope.from, delivery.envelope.to);
                heard.messages.push((from, to, delivery.data));
                let id = heard.messages.len().to_string();
                session.answered(&[Acceptance::Stored { id }]);
            }
        }
    }
}

/// Text that is likely to be an end of data, or nearly.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let atom = prop_oneof![
        4 => Just(&b"\r\n"[..]),
        2 => Just(&b"."[..]),
        2 => Just(&b"\r\n.\r\n"[..]),
        1 => Just(&b"\n"[..]),
        1 => Just(&b"\r"[..]),
        1 => Just(&b"\0"[..]),
        2 => Just(&b"some text"[..]),
        1 => Just(&b"QUIT\r\n"[..]),
        1 => Just(&b"MAIL FROM:<x@b.example>\r\n"[..]),
    ];
    prop::collection::vec(atom, 0..14).prop_map(|atoms| atoms.concat())
}

fn command() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => Just("EHLO a.example"),
        1 => Just("HELO a"),
        1 => Just("LHLO a"),
        6 => Just("MAIL FROM:<>"),
        1 => Just("MAIL FROM:<a@b> SIZE=61"),
        6 => Just("RCPT TO:<a@b.example>"),
        1 => Just("RCPT TO:<a@c.example>"),
        1 => Just("RSET"),
        1 => Just("NOOP"),
        1 => Just("XFOO"),
        1 => Just("VRFY x"),
        1 => Just("NOOP aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ]
    .prop_flat_map(|line| (Just(line), prop_oneof![9 => Just("\r\n"), 1 => Just("\n")]))
    .prop_map(|(line, end)| [line.as_bytes(), end.as_bytes()].concat())
}

/// What is sent while nothing is awaited: commands in a group, DATA alone, or text.
fn segment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::collection::vec(command(), 1..6).prop_map(|lines| lines.concat()),
        2 => Just(b"DATA\r\n".to_vec()),
        2 => text(),
        1 => text().prop_map(|text| [&text[..], b"\r\n.\r\n"].concat()),
    ]
}

/// A dialog that gets as far as DATA more often than chance would have it.
fn dialog() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let opening = b"EHLO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n".to_vec();
    (any::<bool>(), prop::collection::vec(segment(), 1..12)).prop_map(move |(open, mut rest)| {
        if open {
            rest.insert(0, opening.clone());
            rest.insert(1, b"DATA\r\n".to_vec());
        }
        rest
    })
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn pieces_do_not_matter(
        dialog in dialog(),
        sizes in prop::collection::vec(1_usize..9, 1..40),
    ) {
        let (mut whole, mut pieces) = (Heard::default(), Heard::default());
        let (mut one, mut two) = (session(Dialect::Smtp), session(Dialect::Smtp));
        feed(&mut one, &[], &mut whole);
        feed(&mut two, &[], &mut pieces);
        let mut sizes = sizes.iter().cycle();
        for segment in &dialog {
            feed(&mut one, segment, &mut whole);
            let mut rest = &segment[..];
            while !rest.is_empty() {
                let size = (*sizes.next().unwrap()).min(rest.len());
                feed(&mut two, &rest[..size], &mut pieces);
                rest = &rest[size..];
            }
            prop_assert_eq!(&whole, &pieces, "after {:?}", segment.escape_ascii().to_string());
        }
    }

    #[test]
    fn any_octets_get_at_most_one_reply_a_line(
        pieces in prop::collection::vec(
            prop_oneof![
                3 => segment(),
                1 => prop::collection::vec(any::<u8>(), 0..40),
                1 => Just(b"STARTTLS\r\n".to_vec()),
                1 => Just(b"BDAT 3\r\n".to_vec()),
                1 => Just(b"BDAT 5\r\na\n.\r\n".to_vec()),
                1 => Just(b"BDAT 6 LAST\r\nRSET\r\n".to_vec()),
            ],
            0..25,
        ),
        tail in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut session = session(Dialect::Smtp);
        let mut heard = Heard::default();
        feed(&mut session, &[], &mut heard);
        let mut lines = 0;
        for piece in pieces.iter().chain([&tail]) {
            feed(&mut session, piece, &mut heard);
            lines += piece.iter().filter(|octet| **octet == b'\n').count();
            let last = |line: &&str| line.as_bytes().get(3) == Some(&b' ');
            let replies = heard.replies.lines().filter(last).count();
            // One is the greeting; one more may end a line that is endless.
            prop_assert!(replies <= lines + 2, "{replies} replies to {lines} lines");
        }
        let printable = |b: u8| matches!(b, b' '..=b'~' | b'\r' | b'\n');
        prop_assert!(heard.replies.bytes().all(printable));
        let stored = heard.replies.matches("2.0.0 stored").count();
        let lasts = pieces.iter().filter(|piece| piece.starts_with(b"BDAT 6 LAST")).count();
        let asked = heard.replies.matches("354 ").count() + lasts;
        prop_assert_eq!(stored, heard.messages.len());
        prop_assert!(stored <= asked);
        for (_, to, data) in &heard.messages {
            prop_assert!((1..=2).contains(&to.len()) && data.len() <= 60);
            prop_assert!(to.iter().all(|to| to.ends_with("@b.example")), "state leaked: {to:?}");
            prop_assert!(!data.windows(2).any(|w| w[1] == b'\n' && w[0] != b'\r'));
        }
        session.eof();
        feed(&mut session, b"NOOP\r\n", &mut heard);
        prop_assert!(heard.closed);
    }
}

/// The properties above are worth something only when their dialogs get somewhere.
#[test]
fn random_dialogs_reach_the_store() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let stored: usize = (0..300)
        .map(|_| {
            let mut heard = Heard::default();
            let mut session = session(Dialect::Smtp);
            for segment in dialog().new_tree(&mut runner).unwrap().current() {
                feed(&mut session, &segment, &mut heard);
            }
            heard.messages.len()
        })
        .sum();
    assert!(stored >= 60, "{stored} messages in 300 dialogs");
}
