//! Octets in, octets out.

use super::*;
use crate::classify::own_refusal;
use crate::mail::EnhancedStatus;
use proptest::prelude::*;

fn asked(map: Map, key: &str) -> Request<'_> {
    Request::Ask(map, Cow::Borrowed(key), Scope::Unsaid)
}

fn in_scope<'a>(map: Map, key: &'a str, scope: &'a str) -> Request<'a> {
    Request::Ask(map, Cow::Borrowed(key), Scope::Named(scope))
}

#[test]
fn the_first_octets_choose() {
    for (input, wire) in [
        ("23:suppress a@b.example,", Some(WireProtocol::Socketmap)),
        ("0:,", Some(WireProtocol::Socketmap)),
        ("2", None),
        ("99999", None),
        // No length is that long; the reader says so.
        ("999999", Some(WireProtocol::Socketmap)),
        ("get a@example.com\n", Some(WireProtocol::Tcp)),
        ("put a@example.com x\n", Some(WireProtocol::Tcp)),
        ("g", None),
        ("get", None),
        ("request=smtpd_access_policy\n", Some(WireProtocol::Policy)),
        ("recipient=a@example.com\n", Some(WireProtocol::Policy)),
        ("client_port=1", Some(WireProtocol::Policy)),
        ("requ", None),
        ("getter=x\n", Some(WireProtocol::Policy)),
        ("a@example.com\n", Some(WireProtocol::Bare)),
        ("123@example.com\n", Some(WireProtocol::Bare)),
        ("get@example.com\n", Some(WireProtocol::Bare)),
        ("GET / HTTP/1.1\r\n", Some(WireProtocol::Bare)),
        ("\u{0}\n", Some(WireProtocol::Bare)),
        ("", None),
    ] {
        assert_eq!(WireProtocol::detect(input.as_bytes()), wire, "{input:?}");
    }
}

#[test]
fn netstrings() {
    let parse = |input: &'static str| WireProtocol::Socketmap.parse(input.as_bytes());
    for (input, request, used) in [
        ("22:suppress a@example.com,", asked(Map::Suppress, "a@example.com"), 26),
        ("23:transport a@example.com,9", asked(Map::Transport, "a@example.com"), 27),
        ("21:explain a@example.com,", asked(Map::Explain, "a@example.com"), 25),
        // Keys may hold spaces, commas and colons.
        ("23:suppress \"a, b:\"@b.test,", asked(Map::Suppress, "\"a, b:\"@b.test"), 27),
        ("11:transport *,", Request::NoAddress, 15),
        ("21:transport example.com,", Request::NoAddress, 25),
        ("22:transport @example.com,", Request::NoAddress, 26),
        ("8:suppress,", Request::NoAddress, 11),
        ("9:suppress ,", Request::NoAddress, 12),
        ("19:virtual a@b.example,", Request::NoSuchMap, 23),
        ("0:,", Request::NoSuchMap, 3),
        // Any name is a scope, with dots of its own, too.
        ("19:suppress.news a@b.c,", in_scope(Map::Suppress, "a@b.c", "news"), 23),
        ("19:transport.a.b-1 a@b,", in_scope(Map::Transport, "a@b", "a.b-1"), 23),
        ("15:explain.N_1 a@b,", in_scope(Map::Explain, "a@b", "N_1"), 19),
        ("14:suppress.* a@b,", in_scope(Map::Suppress, "a@b", "*"), 18),
        ("13:suppress.news,", Request::NoAddress, 17),
        ("13:suppress. a@b,", Request::NoSuchMap, 17),
        ("16:suppress.a/b a@b,", Request::NoSuchMap, 20),
        ("16:virtual.news a@b,", Request::NoSuchMap, 20),
    ] {
        assert_eq!(parse(input), Parsed::Complete(request, used), "{input}");
    }
    for partial in ["22", "22:", "22:suppress a@example.com", "10000:"] {
        assert_eq!(parse(partial), Parsed::Partial, "{partial}");
    }
    for broken in ["10001:", "100000", "22:suppress a@example.com;", ":", "1x:"] {
        assert!(matches!(parse(broken), Parsed::Broken(_)), "{broken}");
    }
    let no_text = WireProtocol::Socketmap.parse(b"12:suppress \xff@b,");
    assert_eq!(no_text, Parsed::Complete(Request::NoAddress, 16));
}

#[test]
fn lines() {
    for (wire, input, request) in [
        (WireProtocol::Tcp, "get a@example.com\n", asked(Map::Suppress, "a@example.com")),
        (WireProtocol::Tcp, "get a@example.com\r\n", asked(Map::Suppress, "a@example.com")),
        (WireProtocol::Tcp, "get per%2540%20c@x.test\n", asked(Map::Suppress, "per%40 c@x.test")),
        // Of a client that does not encode: a lone percent sign is itself.
        (WireProtocol::Tcp, "get 100%@x.test\n", asked(Map::Suppress, "100%@x.test")),
        (WireProtocol::Tcp, "get a+b=c@x.test\n", asked(Map::Suppress, "a+b=c@x.test")),
        (WireProtocol::Tcp, "get %FF@x.test\n", Request::NoAddress),
        (WireProtocol::Tcp, "get *\n", Request::NoAddress),
        (WireProtocol::Tcp, "get example.com\n", Request::NoAddress),
        (WireProtocol::Tcp, "get \n", Request::NoAddress),
        (WireProtocol::Tcp, "put a@example.com gone\n", Request::Put),
        (WireProtocol::Bare, "a@example.com\n", asked(Map::Suppress, "a@example.com")),
        // A bare address is itself, encoded or not.
        (WireProtocol::Bare, "a%41b@x.test\n", asked(Map::Suppress, "a%41b@x.test")),
        (WireProtocol::Tcp, "get a%2541b@x.test\n", asked(Map::Suppress, "a%41b@x.test")),
        (WireProtocol::Bare, "\"a b\"@x.test\n", asked(Map::Suppress, "\"a b\"@x.test")),
        (WireProtocol::Bare, "123@example.com\r\n", asked(Map::Suppress, "123@example.com")),
        (WireProtocol::Bare, "get b@example.com\n", asked(Map::Suppress, "b@example.com")),
    ] {
        assert_eq!(
            wire.parse(input.as_bytes()),
            Parsed::Complete(request, input.len()),
            "{input:?}"
        );
    }
    let long = format!("get {}@example.com\n", "a".repeat(limits::LOOKUP_QUERY));
    for (wire, broken) in [
        (WireProtocol::Tcp, "list\n"),
        (WireProtocol::Tcp, "a@example.com\n"),
        (WireProtocol::Bare, "GET / HTTP/1.1\r\n"),
        (WireProtocol::Bare, "GET a@example.com\n"),
        (WireProtocol::Bare, "is a@example.com suppressed?\n"),
        (WireProtocol::Bare, "\n"),
        (WireProtocol::Tcp, long.as_str()),
        (WireProtocol::Tcp, long.trim_end()),
    ] {
        assert!(matches!(wire.parse(broken.as_bytes()), Parsed::Broken(_)), "{broken:.40}");
    }
    assert_eq!(WireProtocol::Tcp.parse(b"get a@exam"), Parsed::Partial);
}

#[test]
fn attributes() {
    let parse = |input: &str| match WireProtocol::Policy.parse(input.as_bytes()) {
        Parsed::Complete(Request::Ask(map, key, Scope::Unsaid), used) => {
            format!("{map:?} {key} {used}")
        }
        Parsed::Complete(Request::Ask(map, key, Scope::OfSender(sender)), used) => {
            format!("{map:?} {key} {used} from {sender}")
        }
        other => format!("{other:?}"),
    };
    for (input, found) in [
        ("request=smtpd_access_policy\nrecipient=a@b.test\n\n", "Suppress a@b.test 48"),
        (
            "sender=x@y.test\nrecipient=a@b.test\nfuture=1\n\nrequest=",
            "Suppress a@b.test 45 from x@y.test",
        ),
        ("recipient=a@b.test\nsender=b-x@y.test\n\n", "Suppress a@b.test 38 from b-x@y.test"),
        // A notice of ours has no sender, and `sender` in another name is not the one.
        ("recipient=a@b.test\nsender=\n\n", "Suppress a@b.test 28"),
        ("recipient=a@b.test\nsasl_sender=x\n\n", "Suppress a@b.test 34"),
        // An empty value, a value with `=`, a line that is not an attribute.
        ("helo_name=\nrecipient=a=c@b.test\nodd\n\n", "Suppress a=c@b.test 37"),
        ("request=smtpd_access_policy\nrecipient=\n\n", "Complete(NoAddress, 40)"),
        ("request=junk\nrecipient=a@b.test\n\n", "Complete(NoAddress, 33)"),
        ("request=smtpd_access_policy\nrecipient=a@b.test\n", "Partial"),
    ] {
        assert_eq!(parse(input), found, "{input:?}");
    }
    let long = format!("helo_name={}", "x\n".repeat(limits::LOOKUP_QUERY));
    assert!(matches!(WireProtocol::Policy.parse(long.as_bytes()), Parsed::Broken(_)));
}

#[test]
fn replies() {
    let status = EnhancedStatus::new(5, 1, 1);
    // A soft code that led to a suppression is still a refusal for good.
    let soft = EnhancedStatus::new(4, 2, 2);
    let (refuse, wait) = (Answer::Refuse(status, "hard bounce"), Answer::Wait("provider outage"));
    let trouble = Answer::Trouble("the store is being rebuilt");
    for (wire, map, answer, expected) in [
        (
            WireProtocol::Socketmap,
            Map::Suppress,
            refuse,
            "45:OK 550 5.1.1 hard bounce [bounced:suppressed],",
        ),
        (
            WireProtocol::Socketmap,
            Map::Transport,
            refuse,
            "47:OK error:5.1.1 hard bounce [bounced:suppressed],",
        ),
        (
            WireProtocol::Socketmap,
            Map::Suppress,
            wait,
            "43:OK 450 4.2.1 provider outage [bounced:held],",
        ),
        (
            WireProtocol::Socketmap,
            Map::Transport,
            wait,
            "45:OK retry:4.2.1 provider outage [bounced:held],",
        ),
        (WireProtocol::Socketmap, Map::Explain, Answer::Words("å: gone\r\n"), "13:OK å: gone  ,"),
        (WireProtocol::Socketmap, Map::Suppress, Answer::Clear, "9:NOTFOUND ,"),
        (WireProtocol::Socketmap, Map::Transport, Answer::Clear, "9:NOTFOUND ,"),
        (WireProtocol::Socketmap, Map::Suppress, trouble, "31:TEMP the store is being rebuilt,"),
        (
            WireProtocol::Socketmap,
            Map::Suppress,
            Answer::NoSuchMap,
            "107:PERM there is no such map; use suppress, transport or explain, \
             alone or with a scope, such as suppress.news,",
        ),
        (
            WireProtocol::Tcp,
            Map::Suppress,
            refuse,
            "200 550%205.1.1%20hard%20bounce%20[bounced:suppressed]\n",
        ),
        (
            WireProtocol::Tcp,
            Map::Suppress,
            wait,
            "200 450%204.2.1%20provider%20outage%20[bounced:held]\n",
        ),
        (WireProtocol::Tcp, Map::Suppress, Answer::Clear, "500 not%20suppressed\n"),
        (WireProtocol::Tcp, Map::Suppress, Answer::ReadOnly, "500 read-only\n"),
        (WireProtocol::Bare, Map::Suppress, trouble, "400 the%20store%20is%20being%20rebuilt\n"),
        (
            WireProtocol::Policy,
            Map::Suppress,
            refuse,
            "action=550 5.1.1 hard bounce [bounced:suppressed]\n\n",
        ),
        (
            WireProtocol::Policy,
            Map::Suppress,
            wait,
            "action=450 4.2.1 provider outage [bounced:held]\n\n",
        ),
        (WireProtocol::Policy, Map::Suppress, Answer::Clear, "action=DUNNO\n\n"),
        (
            WireProtocol::Policy,
            Map::Suppress,
            trouble,
            "action=DEFER_IF_PERMIT the store is being rebuilt\n\n",
        ),
        (
            WireProtocol::Policy,
            Map::Suppress,
            Answer::Refuse(soft, "full"),
            "action=550 5.2.2 full [bounced:suppressed]\n\n",
        ),
        // Words that bring the mark themselves have it once.
        (
            WireProtocol::Policy,
            Map::Suppress,
            Answer::Refuse(status, "full [bounced:suppressed]"),
            "action=550 5.1.1 full [bounced:suppressed]\n\n",
        ),
        // Words from the network cannot end a reply or start another.
        (
            WireProtocol::Policy,
            Map::Suppress,
            Answer::Refuse(status, "a\n\naction=OK\u{202e}\u{1b}[2J"),
            "action=550 5.1.1 a??action=OK??[2J [bounced:suppressed]\n\n",
        ),
        (
            WireProtocol::Policy,
            Map::Suppress,
            Answer::Wait(" "),
            "action=450 4.2.1 no reason given [bounced:held]\n\n",
        ),
    ] {
        let mut out = Vec::new();
        wire.reply(map, answer, &Answers::default(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}

#[test]
fn the_words_are_those_of_the_configuration() {
    let text = "[lookup.answers]
        suppressed = \"REJECT {code} Nicht zustellbar [bounced:suppressed] {words}\"
        held = \"DEFER_IF_PERMIT wait [bounced:held]\"
        transport_held = \"retry:4.2.1 {words} [bounced:held]\"";
    let words = crate::config::Config::parse(text, "b.toml").expect("right").config.answers;
    let status = EnhancedStatus::new(5, 2, 2);
    let long = "x".repeat(1000);
    for (wire, map, answer, expected) in [
        (
            WireProtocol::Policy,
            Map::Suppress,
            Answer::Refuse(status, "full"),
            "action=REJECT 5.2.2 Nicht zustellbar [bounced:suppressed] full\n\n",
        ),
        (
            WireProtocol::Tcp,
            Map::Suppress,
            Answer::Wait("x"),
            "200 DEFER_IF_PERMIT%20wait%20[bounced:held]\n",
        ),
        (
            WireProtocol::Socketmap,
            Map::Transport,
            Answer::Wait("x"),
            "31:OK retry:4.2.1 x [bounced:held],",
        ),
        (
            WireProtocol::Socketmap,
            Map::Transport,
            Answer::Refuse(status, "full"),
            "40:OK error:5.2.2 full [bounced:suppressed],",
        ),
    ] {
        let mut out = Vec::new();
        wire.reply(map, answer, &words, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
    let mut out = Vec::new();
    WireProtocol::Policy.reply(Map::Suppress, Answer::Refuse(status, &long), &words, &mut out);
    assert!(out.len() < limits::REPLY_TEXT + 20, "{}", out.len());
    assert!(own_refusal::mark_in(&String::from_utf8_lossy(&out)).is_some());
}

#[test]
fn replies_stay_within_the_limits() {
    let status = EnhancedStatus::new(5, 999, 999);
    let text = "%å".repeat(200_000);
    for wire in
        [WireProtocol::Socketmap, WireProtocol::Tcp, WireProtocol::Bare, WireProtocol::Policy]
    {
        let limit = if wire == WireProtocol::Socketmap {
            limits::SOCKETMAP_REPLY
        } else {
            limits::TCP_REPLY
        };
        for answer in [
            Answer::Refuse(status, &text),
            Answer::Wait(&text),
            Answer::Words(&text),
            Answer::Trouble(&text),
        ] {
            let mut out = Vec::new();
            wire.reply(Map::Explain, answer, &Answers::default(), &mut out);
            assert!(out.len() <= limit + "100000:,".len(), "{wire:?} {}", out.len());
            assert!(std::str::from_utf8(&out).is_ok(), "cut inside a character");
            let said = String::from_utf8_lossy(&out);
            let stops = matches!(answer, Answer::Refuse(..) | Answer::Wait(_));
            assert_eq!(own_refusal::mark_in(&said).is_some(), stops, "the mark gives no way");
        }
    }
}

/// All requests in some input that comes in pieces, as a connection would see them.
fn requests(input: &[u8], pieces: &[usize]) -> (Vec<String>, bool) {
    let (mut buffer, mut found, mut wire) = (Vec::new(), Vec::new(), None);
    let mut rest = input;
    let mut pieces = pieces.iter().cycle();
    while !rest.is_empty() {
        let n = pieces.next().copied().unwrap_or(1).clamp(1, rest.len());
        let (piece, left) = rest.split_at(n);
        rest = left;
        buffer.extend_from_slice(piece);
        while let Some(known) = wire.or_else(|| WireProtocol::detect(&buffer)) {
            wire = Some(known);
            match known.parse(&buffer) {
                Parsed::Partial => break,
                Parsed::Broken(_) => return (found, true),
                Parsed::Complete(request, used) => {
                    assert!(used > 0 && used <= buffer.len());
                    found.push(format!("{request:?}"));
                    buffer.drain(..used);
                }
            }
        }
        assert!(buffer.len() <= limits::LOOKUP_QUERY + input.len().min(64 * 1024));
    }
    (found, false)
}

/// Something that looks like a conversation in one of the protocols, with junk at the end.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let key = "[ -~]{0,20}@?[ -~é]{0,10}";
    let netstring = key.prop_map(|key| format!("{}:suppress {key},", key.len() + 9).into_bytes());
    let line = key.prop_map(|key| format!("get {key}\n").into_bytes());
    let policy = key.prop_map(|key| format!("request=x\nrecipient={key}\n\n").into_bytes());
    let many = |one: BoxedStrategy<Vec<u8>>| prop::collection::vec(one, 0..6);
    let junk = prop::collection::vec(any::<u8>(), 0..40);
    (prop_oneof![many(netstring.boxed()), many(line.boxed()), many(policy.boxed())], junk)
        .prop_map(|(requests, junk)| [requests.concat(), junk].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// How the octets are cut into packets changes nothing.
    #[test]
    fn chunking_changes_nothing(input in conversation(), pieces in prop::collection::vec(1usize..9, 1..5)) {
        let whole = requests(&input, &[input.len().max(1)]);
        prop_assert_eq!(&requests(&input, &[1]), &whole);
        prop_assert_eq!(&requests(&input, &pieces), &whole);
    }

    /// Any octets: no panic, and every reply is one reply.
    #[test]
    fn junk_is_survived(input in prop::collection::vec(any::<u8>(), 0..300), text in any::<String>()) {
        requests(&input, &[7]);
        for wire in [WireProtocol::Socketmap, WireProtocol::Tcp, WireProtocol::Bare, WireProtocol::Policy] {
            let _ = wire.parse(&input);
            let mut out = Vec::new();
            let refusal = Answer::Refuse(EnhancedStatus::new(5, 1, 1), &text);
            wire.reply(Map::Suppress, refusal, &Answers::default(), &mut out);
            let lines = out.iter().filter(|&&octet| octet == b'\n').count();
            let expected = match wire { WireProtocol::Socketmap => 0, WireProtocol::Tcp | WireProtocol::Bare => 1, WireProtocol::Policy => 2 };
            prop_assert_eq!(lines, expected);
            prop_assert!(out.iter().all(|octet| matches!(octet, b'\n' | b' '..=b'~')));
        }
    }
}
