//! Tables and properties of signed return paths.

use proptest::prelude::*;

use super::*;
use crate::mail::Timestamp;

const DAY: i64 = 20_779;

fn now() -> Timestamp {
    Timestamp::default().plus_days(DAY)
}

fn ring(ids: &[&str]) -> KeyRing {
    let keys = ids.iter().map(|id| (id.to_string(), format!("secret of {id:0>16}").into_bytes()));
    KeyRing::new(keys.collect(), Duration::from_secs(30 * DAY_SECONDS)).expect("good keys")
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("a good address")
}

fn mint(ring: &KeyRing, to: &str, tag: Option<&str>) -> (String, String) {
    let path = ring.sign(&address(to), tag, "bd.test", DAY).expect("mints");
    let (local, domain) = path.split_once('@').expect("an address");
    (local.to_string(), domain.to_string())
}

#[test]
fn both_modes_come_back() {
    let ring = ring(&["a"]);
    for (to, tag, mode) in [
        ("user@example.com", None, Mode::Full),
        ("user@example.com", Some("news"), Mode::Full),
        ("user@example.com", Some("news.26-"), Mode::Full),
        // Tag and address together: 24 octets fit, 25 do not.
        ("user@example.com", Some("news.26-1"), Mode::Short),
        ("user@example.com", Some("news.2026-11-2"), Mode::Short),
        ("first.last+tag@department.example.com", None, Mode::Short),
        ("User@Example.COM", None, Mode::Full),
        ("\"a b\"@example.com", None, Mode::Full),
        ("grå@exämple.se", None, Mode::Full),
    ] {
        let (local, domain) = mint(&ring, to, tag);
        assert!(local.len() <= 64, "{local}");
        assert!(local.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{local}");
        let token = ring.verify(&local, &domain, now()).expect("genuine");
        assert_eq!((token.mode, token.day, token.key_id.as_str()), (mode, DAY, "a"), "{to}");
        assert_eq!(token.tag.as_deref(), tag, "{to}");
        let key = address(to).key();
        let inside = token.recipient.as_ref().map(Address::as_str);
        assert_eq!(inside, (mode == Mode::Full).then_some(key.as_str()), "{to}");
        assert!(token.matches(&ring, &address(to)), "{to}");
        assert!(!token.matches(&ring, &address("other@example.com")), "{to}");
    }
}

#[test]
fn coats_and_case_do_no_harm() {
    let ring = ring(&["a"]);
    for tag in [None, Some("news.2026-11-2")] {
        let (local, _) = mint(&ring, "user@example.com", tag);
        let id = ring.verify(&local, "bd.test", now()).expect("genuine").id;
        for (coat, domain) in [
            (local.to_uppercase(), "BD.test."),
            (format!("\"{local}\""), "bd.test"),
            (format!("prvs=1234abcdef={local}"), "bd.test"),
            (format!("SRS0=HHH=TT=bd.test={local}"), "relay.test"),
        ] {
            let token = ring.verify(&coat, domain, now());
            assert_eq!(token.map(|t| t.id), Ok(id.clone()), "{coat}");
        }
    }
}

#[test]
fn rejects_say_why() {
    let (one, two) = (ring(&["a"]), ring(&["z"]));
    let (local, _) = mint(&one, "user@example.com", Some("news"));
    let at = |days: i64| now().plus_days(days);
    let cut = &local[..local.len() - 1];
    let half = &local[..20];
    // The fifth character holds bits of the day.
    let fifth = if local.as_bytes()[6] == b'a' { "b" } else { "a" };
    let mut other_day = local.clone();
    other_day.replace_range(6..7, fifth);
    for (local, domain, when, expected) in [
        ("postmaster", "bd.test", at(0), Reject::NotAToken),
        ("lists+user=example.com", "bd.test", at(0), Reject::NotAToken),
        ("b-user=example.com", "bd.test", at(0), Reject::NotAToken),
        ("b-", "bd.test", at(0), Reject::NotAToken),
        ("", "bd.test", at(0), Reject::NotAToken),
        ("b-list", "bd.test", at(0), Reject::Malformed),
        (cut, "bd.test", at(0), Reject::Malformed),
        (half, "bd.test", at(0), Reject::Malformed),
        (&format!("{local}aaaa"), "bd.test", at(0), Reject::Malformed),
        (&other_day, "bd.test", at(0), Reject::BadSignature),
        (&format!("{local}{local}").replacen("ab-", "a", 1), "bd.test", at(0), Reject::NotAToken),
        (&format!("b-{}", "e".repeat(300)), "bd.test", at(0), Reject::Malformed),
        // Another tenant's domain.
        (&local, "other.test", at(0), Reject::BadSignature),
        (&local, "bd.test", at(30), Reject::Expired),
        (&local, "bd.test", at(31), Reject::Expired),
        (&local, "bd.test", at(-2), Reject::NotYetValid),
    ] {
        let got = one.verify(local, domain, when);
        // The thirtieth day is the last good one.
        if when == at(30) {
            assert!(got.is_ok(), "{local}");
        } else {
            assert_eq!(got.map(|t| t.id), Err(expected), "{local}");
        }
    }
    assert_eq!(two.verify(&local, "bd.test", now()).map(|t| t.id), Err(Reject::UnknownKey));
    assert!(one.verify(&local, "bd.test", at(-1)).is_ok());
}

#[test]
fn rings_turn() {
    let (old, both) = (ring(&["old"]), ring(&["new", "old"]));
    let (local, _) = mint(&old, "user@example.com", None);
    assert_eq!(both.verify(&local, "bd.test", now()).map(|t| t.key_id), Ok("old".to_string()));
    let (local, _) = mint(&both, "user@example.com", None);
    assert_eq!(both.verify(&local, "bd.test", now()).map(|t| t.key_id), Ok("new".to_string()));
    // Two keys whose hints agree are both asked.
    let ids: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let many = ring(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    for id in &ids {
        let (local, _) = mint(&ring(&[id]), "user@example.com", None);
        let token = many.verify(&local, "bd.test", now());
        assert_eq!(token.as_ref().map(|t| &t.key_id), Ok(id));
    }
}

#[test]
fn bad_input_is_named() {
    let long = Duration::from_secs(1);
    let new = |id: &str, secret: &str| {
        KeyRing::new(vec![(id.to_string(), secret.as_bytes().to_vec())], long).map(|_| ())
    };
    let short = VerpError::ShortSecret { id: "a".into(), octets: 15 };
    assert_eq!(new("a", "123456789012345"), Err(short));
    assert_eq!(new("a", "1234567890123456"), Ok(()));
    assert_eq!(new("", "1234567890123456"), Err(VerpError::KeyId(String::new())));
    let ring = ring(&["a"]);
    let to = address("user@example.com");
    let sign = |tag, domain, day| ring.sign(&to, tag, domain, day);
    assert_eq!(sign(Some("a b"), "bd.test", DAY), Err(VerpError::Tag("a b".into())));
    assert!(matches!(sign(Some("fifteen-letters"), "bd.test", DAY), Err(VerpError::Tag(_))));
    for domain in ["", "@", "bd .test", "x@bd.test", "bd\n.test"] {
        assert!(matches!(sign(None, domain, DAY), Err(VerpError::Domain(_))), "{domain}");
    }
    let endless = "long.".repeat(45);
    assert!(matches!(sign(None, &endless, DAY), Err(VerpError::Domain(_))));
    for day in [-1, 65_536] {
        assert_eq!(sign(None, "bd.test", day), Err(VerpError::Day(day)));
    }
    let none = KeyRing::new(Vec::new(), long).expect("an empty ring");
    assert_eq!(none.sign(&to, None, "bd.test", DAY), Err(VerpError::NoKey));
}

#[test]
fn a_genuine_token_with_a_bad_tag_or_recipient_is_malformed() {
    let ring = ring(&["a"]);
    let key = &ring.keys[0];
    for (tag, body, good) in [
        (&b"news"[..], &b"u@x.test"[..], true),
        (b"ne s", b"u@x.test", false),
        (b"ne\xff\xffs", b"u@x.test", false),
        (b"news", b"nobody", false),
        (b"news", b"u\x07@x.test", false),
    ] {
        let text = "t".repeat(tag.len());
        let mut octets = payload::head(Mode::Full, key.hint, DAY as u16, &text);
        octets.truncate(4);
        octets.extend(tag);
        octets.extend(body);
        octets.extend(key.seal("bd.test", &octets));
        let local = payload::encode(&octets);
        let got = ring.verify(&local, "bd.test", now());
        assert_eq!(got.is_ok(), good, "{tag:?} {body:?}");
        assert!(good || got == Err(Reject::Malformed));
    }
}

#[test]
fn tags_name_scope_and_campaign() {
    let ring = ring(&["a"]);
    for (tag, scope, campaign) in [
        (None, None, None),
        (Some("news"), Some("news"), None),
        (Some("news.26.11"), Some("news"), Some("26.11")),
    ] {
        let (local, _) = mint(&ring, "u@x.test", tag);
        let token = ring.verify(&local, "bd.test", now()).expect("genuine");
        assert_eq!((token.scope(), token.campaign()), (scope, campaign));
    }
}

#[test]
fn senders_who_fold_ascii_only_or_quote_are_understood() {
    let ring = ring(&["a"]);
    let key = &ring.keys[0];
    for (bound, other) in [
        ("grÅ-with-a-long-name@exämple.se", "gr-with-a-long-name@exämple.se"),
        ("\"a-user-with-a-long-name\"@example.com", "user-with-a-long-name@example.com"),
    ] {
        let mut octets = payload::head(Mode::Short, key.hint, DAY as u16, "");
        octets.extend(key.bind("bd.test", &octets, bound));
        octets.extend(key.seal("bd.test", &octets));
        let local = payload::encode(&octets);
        let token = ring.verify(&local, "bd.test", now()).expect("genuine");
        assert!(token.matches(&ring, &address(bound)), "{bound}");
        assert!(!token.matches(&ring, &address(other)), "{bound}");
    }
}

/// Addresses up to 254 octets, of every shape that a list may hold.
fn addresses() -> impl Strategy<Value = Address> {
    let local = prop_oneof!["[a-zA-Z0-9.+=%_'-]{1,64}", "[a-zåäöλж]{1,20}", "\"[a-z @]{1,40}\"",];
    (local, "[a-z0-9]{1,30}(\\.[a-z][a-z0-9]{0,30}){1,5}")
        .prop_filter_map("an address", |(l, d)| Address::parse(&format!("{l}@{d}")))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_address_round_trips(to in addresses(), tag in "[a-zA-Z0-9._-]{0,14}", day in 0_i64..65536) {
        let ring = ring(&["a", "b"]);
        let tag = Some(tag.as_str()).filter(|t| !t.is_empty());
        let path = ring.sign(&to, tag, "Bounce.Example.TEST", day).expect("mints");
        let (local, domain) = path.split_once('@').expect("an address");
        prop_assert!(local.len() <= 64);
        prop_assert_eq!(domain, "bounce.example.test");
        let now = Timestamp::default().plus_days(day);
        let token = ring.verify(local, domain, now).expect("genuine");
        prop_assert!(token.matches(&ring, &to));
        prop_assert_eq!(token.tag.as_deref(), tag);
        prop_assert_eq!(ring.verify(&local.to_uppercase(), domain, now), Ok(token));
    }

    #[test]
    fn any_changed_character_is_refused(to in addresses(), at in 2_usize..63, with in "[a-z2-7]") {
        let ring = ring(&["a"]);
        let path = ring.sign(&to, Some("t"), "bd.test", DAY).expect("mints");
        let (local, domain) = path.split_once('@').expect("an address");
        prop_assume!(at < local.len() && local[at..=at] != *with);
        let mut forged = local.to_string();
        forged.replace_range(at..=at, &with);
        prop_assert!(ring.verify(&forged, domain, now()).is_err());
    }

    #[test]
    fn any_text_is_judged_without_panic(local in ".{0,100}", tail in "[a-zA-Z2-7]{0,80}") {
        let ring = ring(&["a"]);
        prop_assert!(ring.verify(&local, "bd.test", now()).is_err());
        let token = format!("b-{tail}");
        prop_assert!(ring.verify(&token, "bd.test", now()).is_err());
        let _ = crate::verp::plain::readings(&format!("{local}+{tail}={local}.{tail}"));
    }
}
