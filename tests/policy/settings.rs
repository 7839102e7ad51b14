//! The `[policy]` table: presets, layers, refusals.

use bounced::classify::Reason;
use bounced::policy::{Effect, Policy, PolicyTable, Term};

fn check(text: &str) -> Result<Policy, String> {
    let table: PolicyTable = toml::from_str(text).map_err(|e| e.to_string())?;
    Policy::check(table)
}

#[test]
fn layers_lie_over_each_other() {
    let policy = check(
        r#"
        strikes = 7
        [reasons.mailbox-full]
        strikes = 4
        strike_days = 2
        [reasons.blocked]
        effect = "count"
        [scopes.news]
        strikes = 9
        term = "7d"
        [scopes.news.reasons.mailbox-full]
        strikes = 3
        strike_days = 1
        "#,
    )
    .expect("a policy");
    for (scope, reason, strikes, term, effect) in [
        ("*", Reason::Expired, 7, "14d", Effect::Count),
        ("*", Reason::MailboxFull, 4, "14d", Effect::Count),
        ("news", Reason::Expired, 9, "7d", Effect::Count),
        ("news", Reason::MailboxFull, 3, "7d", Effect::Count),
        ("bills", Reason::MailboxFull, 4, "14d", Effect::Count),
        ("*", Reason::Blocked, 7, "14d", Effect::Count),
        ("*", Reason::UserUnknown, 7, "14d", Effect::Now),
    ] {
        let numbers = policy.numbers(scope, reason);
        assert_eq!(numbers.strikes, strikes, "{scope} {reason}");
        assert_eq!(numbers.term.to_string(), term, "{scope} {reason}");
        assert_eq!(numbers.effect, effect, "{scope} {reason}");
    }
}

#[test]
fn a_wrong_table_is_refused_with_a_sentence() {
    for (text, part) in [
        ("preset = \"lenient\"", "patient, five-soft, strict"),
        ("strike = 5", "unknown field"),
        ("term = \"fortnight\"", "no length of time"),
        ("term = \"100d\"", "probation (90d) must be longer than term (100d)"),
        ("strikes = 2", "strike_days (3) cannot be more than strikes (2)"),
        ("strikes = 99", "at most 20"),
        ("strike_window = \"0\"", "strikes = 0"),
        ("effect = \"now\"", "[policy.reasons.<reason>]"),
        ("[scopes.\"a b\"]\nterm = \"1d\"", "is no scope"),
        ("[scopes.\"*\"]\nterm = \"1d\"", "is no scope"),
        ("[reasons.user-unknwon]\nterm = \"1d\"", "unknown variant"),
        ("[reasons.user-unknown]\nterms = \"1d\"", "unknown field"),
        ("[scopes.a]\nstrike = 1", "unknown field"),
        ("[outage]\nfactor = 1", "min_recipients = 0"),
        ("[outage]\nfacto = 1", "unknown field"),
        ("[outage]\ncalm = \"forever\"", "must have an end"),
        ("[blast]\npercent_of_seen = 101.0", "percentage"),
        ("[health]\nbounces = [5.0, 2.0, 10.0]", "growing"),
    ] {
        let wrong = check(text).expect_err(text);
        assert!(wrong.contains(part), "{text}: {wrong}");
    }
}

#[test]
fn the_policy_in_the_journal_reads_back() {
    for preset in Policy::PRESETS {
        let mut policy = Policy::preset(preset).expect(preset);
        policy.require_signed = true;
        let json = serde_json::to_value(&policy).expect("json");
        assert_eq!(serde_json::from_value::<Policy>(json.clone()).expect("a policy"), policy);
        assert!(json.to_string().len() < 16 * 1024);
        assert_eq!(check(&format!("preset = \"{preset}\"")).expect(preset), {
            policy.require_signed = false;
            policy
        });
    }
    assert_eq!(Policy::preset("lenient"), None);
    assert_eq!(check("").expect("the defaults"), Policy::default());
    assert_eq!(Term::days(14).to_string(), "14d");
}
