//! RCPT checks and attribution, as tables.

use std::time::Duration;

use super::*;

const DAY: i64 = 20_779;

fn now() -> Timestamp {
    Timestamp::default().plus_days(DAY)
}

fn config(signed: bool, plain: bool, keys: &[&str]) -> config::VerpConfig {
    let keys = keys.iter().map(|id| (id.to_string(), format!("secret of {id:0>16}").into_bytes()));
    let max_age = Duration::from_secs(30 * 86_400);
    config::VerpConfig { signed, plain, keys: keys.collect(), max_age }
}

fn front(signed: bool, plain: bool, keys: &[&str]) -> Verp {
    Verp::new(&config(signed, plain, keys), &["bd.test".to_string()]).expect("good config")
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("a good address")
}

fn minted(verp: &Verp, to: &str, tag: Option<&str>) -> String {
    verp.mint(&address(to), tag, None, now()).expect("mints")
}

const LONG: &str = "a.rather.long.name@department.example.com";

#[test]
fn rcpt_follows_keys_and_schemes() {
    let strict = front(true, false, &["a"]);
    let both = front(true, true, &["a"]);
    let open = front(true, true, &[]);
    let old = strict.ring.sign(&address(LONG), None, "bd.test", DAY - 31).expect("mints");
    let good = minted(&strict, LONG, None);
    let full = minted(&strict, "user@example.com", Some("news"));
    let forged = minted(&front(true, false, &["z"]), LONG, None);
    let tenant = good.replace("bd.test", "other.test");
    let bracketed = format!("<{}>", good.to_uppercase());
    let (signature, expired) = (Err(ReturnPathError::Signature), Err(ReturnPathError::Expired));
    // (forward-path, only signed, signed and plain); without keys everything passes.
    for (path, only_signed, with_plain) in [
        (good.as_str(), Ok(()), Ok(())),
        (&full, Ok(()), Ok(())),
        (&bracketed, Ok(()), Ok(())),
        (&old, expired, expired),
        (&forged, signature, signature),
        (&tenant, signature, signature),
        (&good[1..], Err(ReturnPathError::Unsigned), Ok(())),
        ("b-anything@bd.test", signature, signature),
        ("lists+user=example.com@bd.test", Err(ReturnPathError::Unsigned), Ok(())),
        ("lists@bd.test", Err(ReturnPathError::Unsigned), Ok(())),
        ("postmaster", Ok(()), Ok(())),
        ("Postmaster@bd.test", Ok(()), Ok(())),
        ("<postmaster>", Ok(()), Ok(())),
        ("", Err(ReturnPathError::Unsigned), Ok(())),
    ] {
        assert_eq!(strict.at_rcpt(path, now()), only_signed, "{path}");
        assert_eq!(both.at_rcpt(path, now()), with_plain, "{path}");
        assert_eq!(open.at_rcpt(path, now()), Ok(()), "{path}");
    }
    for refusal in [ReturnPathError::Unsigned, ReturnPathError::Signature, ReturnPathError::Expired]
    {
        assert!(refusal.reply().starts_with("550 5.7.1 "));
        assert!(refusal.reply().len() < 100 && refusal.label().starts_with("verp_"));
    }
}

#[test]
fn dangerous_combinations_are_refused() {
    for (signed, plain, keys, expected) in [
        (true, false, &[][..], Some(VerpError::SignedWithoutKey)),
        (false, true, &["a"], Some(VerpError::KeyWithoutSigned)),
        (true, true, &["a", "a"], Some(VerpError::KeyId("a".into()))),
        (true, true, &[], None),
        (false, true, &[], None),
    ] {
        assert_eq!(Verp::new(&config(signed, plain, keys), &[]).err(), expected);
    }
}

type Read = (Attribution, Option<String>, Option<(String, Option<bool>)>);

/// Runs `read` and gives (attribution, recipient, scheme, authentic).
fn read(verp: &Verp, to: &[&str], near: &[&str]) -> Read {
    let to: Vec<String> = to.iter().map(|t| t.to_string()).collect();
    let near: Vec<Address> = near.iter().map(|a| address(a)).collect();
    let got = verp.read(&to, &mut near.iter(), now());
    let info = got.info().map(|info| (info.scheme.clone(), info.authentic));
    (got.attribution(), got.recipient().map(|r| r.as_str().to_string()), info)
}

#[test]
fn read_climbs_to_the_best_level() {
    let verp = front(true, true, &["a"]);
    let full = minted(&verp, "user@example.com", Some("news"));
    let short = minted(&verp, LONG, Some("news"));
    let old = verp.ring.sign(&address(LONG), None, "bd.test", DAY - 31).expect("mints");
    let plain = "lists+jane=example.com@bd.test";
    let some = |text: &str| Some(text.to_string());
    let scheme = |name: &str, authentic| Some((name.to_string(), authentic));
    let short_known = scheme("signed-short", Some(true));
    let unproven = scheme("signed-short", Some(false));
    for (to, near, expected) in [
        (
            &[full.as_str()][..],
            // Forwarding: the report names another; the token's word counts.
            &["forwarded@example.net"][..],
            (Attribution::Signed, some("user@example.com"), scheme("signed-full", Some(true))),
        ),
        (
            &[&short],
            &["other@example.com", LONG],
            (Attribution::Signed, some(LONG), short_known.clone()),
        ),
        (&[&short], &["other@example.com"], (Attribution::None, None, short_known.clone())),
        (&[&old], &[LONG], (Attribution::None, None, unproven)),
        (&[plain], &[], (Attribution::Plain, some("jane@example.com"), scheme("plain", None))),
        (
            &["lists@bd.test", plain, &full],
            &[],
            (Attribution::Signed, some("user@example.com"), scheme("signed-full", Some(true))),
        ),
        // Where the user begins is ambiguous: the report decides, if it knows.
        (
            &["my-list-jane-doe=example.com@bd.test"],
            &["jane-doe@example.com"],
            (Attribution::Plain, some("jane-doe@example.com"), scheme("plain", None)),
        ),
        (&["lists@bd.test"], &[LONG], (Attribution::None, None, None)),
        (&["postmaster"], &[], (Attribution::None, None, None)),
        (&[], &[LONG], (Attribution::None, None, None)),
    ] {
        assert_eq!(read(&verp, to, near), expected, "{to:?}");
    }
    // Without a key, `b-...` is some mailbox; without the plain scheme, so is `lists+u=d`.
    assert_eq!(read(&front(true, true, &[]), &[&full], &[]), (Attribution::None, None, None));
    assert_eq!(read(&front(true, false, &["a"]), &[plain], &[]), (Attribution::None, None, None));
}

#[test]
fn read_lists_every_recipient_and_the_token() {
    let verp = front(true, true, &["a"]);
    let full = minted(&verp, "user@example.com", Some("news.7"));
    let short = minted(&verp, LONG, None);
    let to = [
        "lists+a=example.com@bd.test".to_string(),
        short.clone(),
        full.clone(),
        full.to_uppercase(),
        "lists+b=example.com@bd.test".to_string(),
    ];
    let got = verp.read(&to, &mut std::iter::empty(), now());
    let names: Vec<_> = got.recipients().map(Address::as_str).collect();
    assert_eq!(names, ["user@example.com", "a@example.com", "b@example.com"]);
    assert!(got.unmatched_short);
    let best = got.best().expect("a claim");
    assert_eq!((best.scope.as_deref(), best.campaign.as_deref()), (Some("news"), Some("7")));
    assert_eq!(best.info.tag.as_deref(), Some("news.7"));
    let token = verp.verify(&full, now()).expect("genuine");
    assert_eq!(best.token_id.as_ref(), Some(&token.id));
    assert!(verp.matches(&token, &address("USER@example.com")));
}

/// docs/reliability.md, "A recipient's own token": who got mail knows his own token. It can name
/// him and nobody else.
#[test]
fn a_token_speaks_for_its_own_recipient_only() {
    let verp = front(true, true, &["a"]);
    for n in 0..10_000 {
        let victim = format!("victim{n}@example.com");
        let (attacker, mode) =
            if n % 2 == 0 { ("evil@example.net", "full") } else { (LONG, "short") };
        let own = minted(&verp, attacker, None);
        let (attribution, recipient, _) = read(&verp, &[&own], &[&victim]);
        let expected = match mode {
            "full" => (Attribution::Signed, Some(attacker.to_string())),
            _ => (Attribution::None, None),
        };
        assert_eq!((attribution, recipient), expected);
    }
}

/// A clock of ours in doubt must not refuse a sender's report: either time will do.
#[test]
fn while_the_clock_is_in_doubt_a_token_is_good_by_either_time() {
    let verp = front(true, true, &["a"]);
    let path = minted(&verp, "user@example.com", None);
    let both = |days| Moment::between(now(), now().plus_days(days));
    for days in [-400, -30, -3, 0, 3, 30, 400] {
        assert_eq!(verp.at_rcpt(&path, both(days)), Ok(()), "{days}");
        assert!(verp.verify(&path, both(days)).is_ok(), "{days}");
        let claims = verp.read(std::slice::from_ref(&path), &mut std::iter::empty(), both(days));
        assert_eq!(claims.attribution(), Attribution::Signed, "{days}");
    }
    for (days, refused) in [(-3, Reject::NotYetValid), (400, Reject::Expired)] {
        assert_eq!(verp.verify(&path, now().plus_days(days)), Err(refused), "{days}");
        assert_eq!(
            verp.at_rcpt(&path, now().plus_days(days)),
            Err(ReturnPathError::Expired),
            "{days}"
        );
        // A span that never meets the token's days.
        let far = Moment::between(now().plus_days(days), now().plus_days(days * 2));
        assert_eq!(verp.at_rcpt(&path, far), Err(ReturnPathError::Expired), "{days}");
    }
}
