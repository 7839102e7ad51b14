//! `bounced guards` shows and ends guards, which hold suppressions back (docs/policy.md, "Guards");
//! `bounced accept-clock` ends the doubt about the clock.

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use super::args::{GuardsArgs, GuardsCommand};
use super::console::{Console, ExitAnswer};
use super::list::{said, show};
use super::print;
use crate::event::Act;
use crate::service::Operations;

/// What the clause of a guard begins with.
const OUTAGE: &str = "guard/outage ";
const CAP: &str = "guard/blast-radius ";

pub(super) fn guards(
    args: GuardsArgs,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let tripped = service.guards()?;
    let tripped = tripped.as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(GuardsCommand::Release { provider, scope, reason }) = args.release {
        return release(provider, scope, &reason, tripped, service, console);
    }
    for guard in tripped {
        if args.json {
            writeln!(console.out, "{guard}")?;
            continue;
        }
        let word = |name: &str| print::visible(guard[name].as_str().unwrap_or_default());
        let (clause, since, calm, why) =
            (word("clause"), word("since"), word("calm_at"), word("why"));
        writeln!(console.out, "{clause}  since {since}, calm at {calm} if no more comes: {why}")?;
    }
    if tripped.is_empty() {
        console.say("no guard is tripped");
    }
    Ok(ExitAnswer::yes_if(!tripped.is_empty()))
}

fn release(
    provider: Option<String>,
    scope: Option<String>,
    reason: &str,
    tripped: &[Value],
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let reason = said(reason)?.to_string();
    let wanted = match (&provider, &scope) {
        (Some(provider), _) => format!("{OUTAGE}{provider}"),
        (None, Some(scope)) => format!("{CAP}{scope}"),
        (None, None) => return Err(anyhow!("name the guard: --provider or --scope")),
    };
    let clauses: Vec<&str> = tripped.iter().filter_map(|guard| guard["clause"].as_str()).collect();
    if !clauses.contains(&wanted.as_str()) {
        let others = if clauses.is_empty() { "none is".to_string() } else { clauses.join(", ") };
        console.say(&format!("{wanted} is not tripped; tripped: {others}"));
        return Ok(ExitAnswer::No);
    }
    let answer = service.act(Act::ReleaseHeld { provider, scope, reason }, false)?;
    let shown = json!({"released": wanted, "seq": answer["seq"], "id": answer["id"]});
    show(&shown, false, console)?;
    Ok(ExitAnswer::Yes)
}

/// Exit 1 when there was nothing to agree with.
pub(super) fn accept_clock(
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let answer = service.accept_clock()?;
    let now = answer["now"].as_str().unwrap_or_default();
    if answer["was_in_doubt"] == false {
        console.say(&format!("there was no doubt: it is {now}"));
        return Ok(ExitAnswer::No);
    }
    writeln!(console.out, "the wall clock is believed: it is {}", print::visible(now))?;
    Ok(ExitAnswer::Yes)
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, run};
    use super::*;

    #[test]
    fn guards_are_shown_and_released_by_name() {
        let guard = json!({"clause": "guard/outage google", "since": "2026-11-22T01:00:00Z",
            "covers_from": "2026-11-21T23:00:00Z", "calm_at": "2026-11-22T03:00:00Z",
            "why": "60 recipients in 10 minutes, 4 expected"});
        let service = Fake { guards: json!([guard]), ..Fake::default() };
        let show = |json| GuardsArgs { json, release: None };
        let (answer, out, _) = run(&service, |s, console| guards(show(false), s, console));
        assert_eq!(answer.expect("done"), ExitAnswer::Yes);
        assert_eq!(
            out,
            "guard/outage google  since 2026-11-22T01:00:00Z, calm at 2026-11-22T03:00:00Z if no \
             more comes: 60 recipients in 10 minutes, 4 expected\n"
        );
        let ask = |provider: Option<&str>, scope: Option<&str>| GuardsArgs {
            json: false,
            release: Some(GuardsCommand::Release {
                provider: provider.map(str::to_string),
                scope: scope.map(str::to_string),
                reason: "they say it is over".to_string(),
            }),
        };
        for (provider, scope, wanted, heard) in [
            (Some("yahoo"), None, ExitAnswer::No, "tripped: guard/outage google"),
            (None, Some("google"), ExitAnswer::No, "guard/blast-radius google is not tripped"),
            (Some("google"), None, ExitAnswer::Yes, "released"),
        ] {
            let (answer, out, err) =
                run(&service, |s, console| guards(ask(provider, scope), s, console));
            assert_eq!(answer.expect("done"), wanted, "{provider:?} {scope:?}");
            assert!(out.contains(heard) || err.contains(heard), "{out}{err}");
        }
        let acts = service.acts.borrow();
        let [(Act::ReleaseHeld { provider, scope: None, .. }, false)] = acts.as_slice() else {
            panic!("one act: {acts:?}");
        };
        assert_eq!(provider.as_deref(), Some("google"));
        let (answer, _, err) = run(&Fake::default(), |s, console| guards(show(true), s, console));
        assert_eq!(answer.expect("done"), ExitAnswer::No);
        assert!(err.contains("no guard is tripped"), "{err}");
    }
}
