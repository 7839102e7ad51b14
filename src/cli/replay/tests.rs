//! A short journal, tried with other rules, another policy, and both.

use super::*;
use crate::classify::{Category, Reason};
use crate::cli::fake::{self, Fake, line};

fn act(seq: u64, day: u32, act: Act) -> String {
    let received_at = Timestamp::parse_rfc3339(&format!("2026-11-{day:02}")).expect("a day");
    let mut event = Event::new(crate::event::EventType::Act, format!("e{seq}"), received_at);
    event.seq = seq;
    event.act = Some(act);
    serde_json::to_string(&event).expect("plain data")
}

/// Two that no rule knows, one unknown user, one unknown user that a person released.
fn journal() -> Fake {
    let release = |address: &str| Act::Release {
        address: address.to_string(),
        scope: "*".to_string(),
        reason: "asked".to_string(),
    };
    let lines = vec![
        act(1, 1, Policy::default().act()),
        line(2, 10, "a@example.com", "undetermined", "550 no for <a@example.com>"),
        line(3, 11, "b@example.com", "user-unknown", "550 no such user"),
        "{\"seq\":4}".to_string(),
        line(5, 20, "c@example.com", "undetermined", "550 no for <c@example.com>"),
        line(6, 20, "d@example.com", "user-unknown", "550 no such user"),
        act(7, 21, release("d@example.com")),
        act(8, 21, Policy::default().act()),
    ];
    Fake { lines, ..Fake::default() }
}

/// Rules that know the words, and take the unknown users for blocks.
fn judge(event: &Event) -> Option<Vec<RecipientVerdict>> {
    let mut recipients = event.analysis.as_ref()?.recipients.clone();
    for recipient in &mut recipients {
        let said = recipient.recipient.diagnostic.as_str();
        let reason = if said.contains("no for") { Reason::UserUnknown } else { Reason::Blocked };
        recipient.reason = Some(reason);
        recipient.category = Some(reason.category());
        assert_ne!(reason.category(), Category::Soft);
    }
    Some(recipients)
}

fn never() -> Policy {
    let table = "[reasons.user-unknown]\neffect = \"never\"\n";
    Policy::check(toml::from_str(table).expect("a table")).expect("a policy")
}

fn args() -> ReplayArgs {
    ReplayArgs {
        rules: None,
        policy: None,
        shadow: false,
        since: None,
        json: false,
        apply: false,
        reason: None,
    }
}

type Ran = (anyhow::Result<ExitAnswer>, String, String, Vec<(Act, bool)>);

fn run(args: &ReplayArgs, rules: bool, policy: Option<Policy>) -> Ran {
    let journal = journal();
    let judge: Option<&Judge> = if rules { Some(&judge) } else { None };
    let (answer, out, err) = fake::run(&journal, |service, console| {
        let wanted = Wanted { judge, policy, present: Policy::default() };
        replay(args, wanted, service, console)
    });
    (answer, out, err, journal.acts.into_inner())
}

#[test]
fn other_rules_show_the_matrix_and_the_addresses() {
    let (answer, out, err, acts) = run(&args(), true, None);
    assert_eq!(answer.expect("a journal"), ExitAnswer::Yes);
    let expected = "      2  undetermined -> user-unknown (hard)  a@example.com, c@example.com\n      \
                    2  user-unknown (hard) -> blocked (block)  b@example.com, d@example.com\n\
                    4 events judged, 4 verdicts would change\n\
                    clear             1 -> 0\nwatched           0 -> 0\n\
                    probation         0 -> 0\nheld              0 -> 0\n\
                    suppressed        1 -> 2\n\
                    2 would be suppressed\n  \
                    a@example.com  clear -> suppressed until 2026-11-24T00:00:00Z  now/user-unknown\n  \
                    c@example.com  clear -> suppressed until 2026-12-04T00:00:00Z  now/user-unknown\n\
                    0 would be held\n\
                    1 would be released\n  b@example.com  suppressed -> clear  now/user-unknown\n";
    assert_eq!(out, expected);
    assert!(acts.is_empty() && err.contains("1 lines of the journal"), "{err}");
}

#[test]
fn another_policy_stands_in_the_place_of_every_one() {
    let (_, out, _, _) = run(&args(), false, Some(never()));
    assert!(!out.contains("judged"), "{out}");
    assert!(out.contains("0 would be suppressed\n0 would be held\n1 would be released\n"), "{out}");
    assert!(out.contains("  b@example.com  suppressed -> clear  now/user-unknown\n"), "{out}");
    // Both at once: the rules find unknown users, the policy does not mind.
    let (_, out, _, _) = run(&args(), true, Some(never()));
    assert!(out.contains("4 verdicts would change\n"), "{out}");
    assert!(out.contains("0 would be suppressed\n0 would be held\n1 would be released\n"), "{out}");
    // Without end at once: the released one stays released.
    let strict = Policy::preset("strict").expect("a preset");
    let (_, out, _, _) = run(&args(), true, Some(strict));
    assert!(out.contains("a@example.com  clear -> suppressed  now/user-unknown"), "{out}");
}

#[test]
fn a_span_is_folded_alone_and_says_so() {
    let since = ReplayArgs { since: Some("2026-11-15".to_string()), ..args() };
    let (_, out, err, _) = run(&since, true, None);
    assert!(out.contains("1 would be suppressed\n  c@example.com  clear"), "{out}");
    assert!(out.contains("0 would be released\n"), "{out}");
    assert!(err.contains("both sides begin at 2026-11-15T00:00:00Z without strikes"), "{err}");
}

#[test]
fn json_names_all() {
    let (_, out, _, _) = run(&ReplayArgs { json: true, ..args() }, true, None);
    let lines: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let found: Vec<&str> = lines.iter().filter_map(|line| line["what"].as_str()).collect();
    let expected = ["verdict", "verdict", "suppressed", "released", "suppressed", "summary"];
    assert_eq!(found, expected, "{out}");
    assert_eq!(lines[3]["address"], "b@example.com");
    assert_eq!(lines[5]["judged"], 4);
    assert_eq!(lines[5]["states"][4], json!({"state": "suppressed", "before": 1, "after": 2}));
}

#[test]
fn only_new_verdicts_can_be_applied() {
    let apply = ReplayArgs { apply: true, reason: Some("better rules".to_string()), ..args() };
    let (_, _, _, acts) = run(&apply, true, None);
    match acts.as_slice() {
        [(Act::Rejudge { verdicts, reason }, false)] => {
            assert_eq!(verdicts.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [2, 3, 5, 6]);
            assert_eq!(reason, "better rules");
        }
        other => panic!("{other:?}"),
    }
    let apply = ReplayArgs { policy: Some("p.toml".into()), ..apply };
    let (answer, _, _, acts) = run(&apply, false, Some(never()));
    let refused = answer.expect_err("refused").to_string();
    assert!(refused.contains("write it into [policy] there"), "{refused}");
    assert!(acts.is_empty());
}

#[test]
fn the_table_of_the_rules_on_trial() {
    let pair = json!({"live": {"reason": "undetermined", "rule": "a"},
        "shadow": {"reason": "mailbox-full", "rule": "b"}, "count": 3, "sample": "odd \u{1b}"});
    let table =
        json!({"configured": true, "same": 9, "different": 5, "pairs": [pair], "beyond": 2});
    let service = Fake { shadow: table, ..Fake::default() };
    let (answer, out, err) =
        fake::run(&service, |service, console| shadow(false, service, console));
    assert_eq!(answer.expect("a table"), ExitAnswer::Yes);
    assert!(out.starts_with("      3  undetermined (a) -> mailbox-full (b)\n"), "{out}");
    assert!(
        out.ends_with("9 verdicts are the same, 5 differ\n") && !out.contains('\u{1b}'),
        "{out}"
    );
    assert!(err.contains("2 of them are of further pairs"), "{err}");
    let (answer, _, _) =
        fake::run(&Fake::default(), |service, console| shadow(false, service, console));
    assert!(answer.expect_err("none").to_string().contains("shadow_dir"));
}

#[test]
fn a_policy_of_another_case_is_refused() {
    let keep = "local_part_case = \"keep\"\n";
    let keep = Policy::check(toml::from_str(keep).expect("a table")).expect("a policy");
    let (answer, out, _, _) = run(&args(), false, Some(keep));
    let error = answer.expect_err("another case").to_string();
    assert!(error.contains("write local_part_case = \"fold\""), "{error}");
    assert_eq!(out, "");
}
