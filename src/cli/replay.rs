//! `bounced replay`: the journal judged again with other rules, folded again under another policy,
//! or both; what would change, for verdicts and for addresses (docs/policy.md, "What if").
//!
//! The events come through the service, so it works while the service runs. Both folds live in
//! memory, about 500 octets an address each. Nothing is changed but by `--apply`, which journals
//! one act with the new verdicts.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};

use super::args::ReplayArgs;
use super::console::{Console, ExitAnswer};
use super::list::{at, said, show};
use super::print;
use super::program::Judge;
use super::records::{events, remark};
use crate::classify::RecipientVerdict;
use crate::event::{Act, Event};
use crate::ledger::{LedgerError, Lookback};
use crate::mail::{Case, Timestamp};
use crate::policy::{Difference, Policy, Shift, Trial, compare};
use crate::service::{Direction, Operations};

/// Addresses shown for one change of verdicts.
const SAMPLES: usize = 3;
/// Addresses shown for one change of state.
const ADDRESSES: usize = 20;

/// What is tried.
pub(super) struct Wanted<'a> {
    /// Other rules; None: the verdicts as journalled.
    pub(super) judge: Option<&'a Judge>,
    /// Another policy; None: the journalled ones.
    pub(super) policy: Option<Policy>,
    /// The policy of the configuration: in force where the journal does not say.
    pub(super) present: Policy,
}

/// Earlier events, asked from the service.
struct Past<'a>(&'a dyn Operations);

impl Lookback for Past<'_> {
    fn event(&self, seq: u64) -> Result<Option<Event>, LedgerError> {
        let found = self.0.events(seq, 1);
        let found = found.map_err(|error| LedgerError::Retryable(error.to_string()))?;
        let line = found.into_iter().next().filter(|(at, _)| *at == seq);
        Ok(line.and_then(|(_, line)| serde_json::from_str(&line).ok()))
    }
}

#[derive(Default)]
struct VerdictChange {
    count: u64,
    samples: Vec<String>,
}

/// Old and new verdict.
type OldAndNew = (String, String);

/// What the pass over the journal found.
#[derive(Default)]
struct ReplayFindings {
    matrix: BTreeMap<OldAndNew, VerdictChange>,
    judged: u64,
    folded: u64,
    first_seq: Option<u64>,
    unread: u64,
    changed: Vec<(u64, Vec<RecipientVerdict>)>,
    /// Of the policy that was journalled last.
    case: Option<Case>,
}

pub(super) fn replay(
    args: &ReplayArgs,
    wanted: Wanted<'_>,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    if args.apply && args.policy.is_some() {
        bail!(
            "--apply does not take --policy: the policy in force is the one of the configuration; \
             write it into [policy] there, then run: kill -HUP $(pidof bounced)"
        );
    }
    let since = at(args.since.as_deref(), console.now, Direction::Back)?;
    let past = Past(service);
    let tried = wanted.policy.as_ref().map(|policy| policy.local_part_case);
    let mut before = Trial::as_journalled(&past, &wanted.present)?;
    let mut after = match wanted.policy {
        Some(policy) => Trial::under(&past, policy)?,
        None => Trial::as_journalled(&past, &wanted.present)?,
    };
    let found = pass(args, since, wanted.judge, service, (&mut before, &mut after))?;
    let kept = found.case.unwrap_or(wanted.present.local_part_case);
    if tried.is_some_and(|tried| tried != kept) {
        // The two sides would name the same mailboxes differently.
        bail!(
            "--policy: local_part_case is chosen once for a data_dir, and the addresses there are \
             kept under another: write local_part_case = \"{}\" into its [policy], too",
            kept.as_str()
        );
    }
    let mut differences = Vec::new();
    let mut counts = BTreeMap::new();
    let shifts = compare(&before, &after, console.now, &mut |difference| {
        let count: &mut usize = counts.entry(what(&difference)).or_default();
        *count += 1;
        if args.json || *count <= ADDRESSES {
            differences.push(difference);
        }
    })?;
    if args.json {
        as_json(&found, &shifts, &differences, wanted.judge.is_some(), console)?;
    } else {
        if wanted.judge.is_some() {
            verdicts(&found, console)?;
        }
        addresses(&shifts, &counts, &differences, console)?;
    }
    remarks(&found, since, console);
    if args.apply && !found.changed.is_empty() {
        let reason = said(args.reason.as_deref().unwrap_or_default())?.to_string();
        let rejudged = service.act(Act::Rejudge { verdicts: found.changed, reason }, false)?;
        show(&rejudged, args.json, console)?;
    }
    Ok(ExitAnswer::Yes)
}

/// Reads the journal once and feeds both trials.
fn pass(
    args: &ReplayArgs,
    since: Option<Timestamp>,
    judge: Option<&Judge>,
    service: &dyn Operations,
    (before, after): (&mut Trial<&Past<'_>>, &mut Trial<&Past<'_>>),
) -> Result<ReplayFindings> {
    let mut found = ReplayFindings::default();
    let mut failed = None;
    let unread = events(service, None, &mut |event| {
        found.first_seq.get_or_insert(event.seq);
        // Which policy was in force is not evidence: it is followed from the beginning.
        let policy = match &event.act {
            Some(Act::Policy { policy }) => Some(serde_json::from_value::<Policy>(policy.clone())),
            _ => None,
        };
        if let Some(Ok(policy)) = &policy {
            found.case = Some(policy.local_part_case);
        }
        if failed.is_some()
            || (policy.is_none() && since.is_some_and(|since| event.received_at < since))
        {
            return;
        }
        found.folded += 1;
        let mut new = event.clone();
        if let Some(judge) = judge {
            again(&mut new, judge, args.apply, &mut found);
        }
        let taken = before.take(event).and_then(|()| match (&new.act, judge) {
            // Verdicts that were replaced by hand are judged by the other rules, too.
            (Some(Act::Rejudge { .. }), Some(_)) => Ok(()),
            _ => after.take(new),
        });
        failed = taken.err();
    })?;
    found.unread = unread;
    match failed {
        Some(error) => Err(anyhow!("the journal cannot be folded again: {error}")),
        None => Ok(found),
    }
}

/// Judges one event again.
fn again(event: &mut Event, judge: &Judge, apply: bool, found: &mut ReplayFindings) {
    let Some(new) = judge(event) else { return };
    found.judged += 1;
    let verdict = event.result.as_mut().and_then(|r| r.verdict.as_mut());
    let differs = match (&mut event.analysis, verdict) {
        (Some(analysis), _) => {
            let differs = tally(&analysis.recipients, &new, &mut found.matrix);
            analysis.recipients.clone_from(&new);
            differs
        }
        (None, Some(verdict)) => {
            let differs = tally(std::slice::from_ref(verdict), &new, &mut found.matrix);
            if let [new] = new.as_slice() {
                verdict.clone_from(new);
            }
            differs
        }
        (None, None) => false,
    };
    if differs && apply {
        found.changed.push((event.seq, new));
    }
}

/// Counts each recipient by its old and new verdict; true when one changed.
fn tally(
    old: &[RecipientVerdict],
    new: &[RecipientVerdict],
    matrix: &mut BTreeMap<OldAndNew, VerdictChange>,
) -> bool {
    let mut differs = old.len() != new.len();
    for (old, new) in old.iter().zip(new) {
        let key = (verdict(old), verdict(new));
        differs |= key.0 != key.1;
        let change = matrix.entry(key).or_default();
        change.count += 1;
        if let (true, Some(address)) = (change.samples.len() < SAMPLES, new.address()) {
            change.samples.push(address.to_string());
        }
    }
    differs
}

/// `user-unknown (hard)`
fn verdict(recipient: &RecipientVerdict) -> String {
    match (recipient.reason, recipient.category) {
        (Some(reason), Some(category)) => format!("{reason} ({category})"),
        (Some(reason), None) => reason.to_string(),
        (None, _) => recipient.class.map_or("none".to_string(), |class| class.to_string()),
    }
}

/// The verdicts that would change, most frequent first.
fn rows(found: &ReplayFindings) -> Vec<(&OldAndNew, &VerdictChange)> {
    let mut rows: Vec<_> = found.matrix.iter().filter(|((old, new), _)| old != new).collect();
    rows.sort_by_key(|(_, change)| std::cmp::Reverse(change.count));
    rows
}

fn verdicts(found: &ReplayFindings, console: &mut Console<'_>) -> Result<()> {
    let rows = rows(found);
    for ((old, new), change) in &rows {
        let samples = print::visible(&change.samples.join(", "));
        writeln!(console.out, "{:>7}  {old} -> {new}  {samples}", change.count)?;
    }
    let total: u64 = rows.iter().map(|(_, change)| change.count).sum();
    writeln!(console.out, "{} events judged, {total} verdicts would change", found.judged)?;
    Ok(())
}

/// `suppressed`, `held` or `released`.
fn what(difference: &Difference) -> &'static str {
    if difference.to.stops() { difference.to.as_str() } else { "released" }
}

fn addresses(
    shifts: &[Shift],
    counts: &BTreeMap<&'static str, usize>,
    differences: &[Difference],
    console: &mut Console<'_>,
) -> Result<()> {
    for Shift { state, before, after } in shifts {
        writeln!(console.out, "{:<10}  {before:>7} -> {after}", state.as_str())?;
    }
    for kind in ["suppressed", "held", "released"] {
        let count = counts.get(kind).copied().unwrap_or(0);
        writeln!(console.out, "{count} would be {kind}")?;
        for one in differences.iter().filter(|one| what(one) == kind) {
            let Difference { address, scope, from, to, clause, until } = one;
            let address = print::visible(address);
            let scope = if scope == "*" { String::new() } else { format!(" in {scope}") };
            let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
            writeln!(console.out, "  {address}{scope}  {from} -> {to}{until}  {clause}")?;
        }
        if count > ADDRESSES {
            writeln!(console.out, "  and {} more; --json names all", count - ADDRESSES)?;
        }
    }
    Ok(())
}

fn as_json(
    found: &ReplayFindings,
    shifts: &[Shift],
    differences: &[Difference],
    judged: bool,
    console: &mut Console<'_>,
) -> Result<()> {
    for ((old, new), VerdictChange { count, samples }) in rows(found) {
        let line = json!({"what": "verdict", "from": old, "to": new, "count": count,
            "samples": samples});
        writeln!(console.out, "{line}")?;
    }
    for one in differences {
        let mut line = json!(one);
        line["what"] = json!(what(one));
        writeln!(console.out, "{line}")?;
    }
    let line = json!({"what": "summary", "folded": found.folded, "first_seq": found.first_seq,
        "judged": judged.then_some(found.judged), "states": shifts});
    writeln!(console.out, "{line}")?;
    Ok(())
}

/// What a person must know to read the figures right.
fn remarks(found: &ReplayFindings, since: Option<Timestamp>, console: &mut Console<'_>) {
    remark(console, found.unread, 0);
    if let Some(since) = since {
        console.say(&format!(
            "both sides begin at {since} without strikes and suppressions from before, so the \
             states are those of this span and not those of the list"
        ));
    } else if let Some(first) = found.first_seq.filter(|first| *first > 1) {
        console.say(&format!(
            "the journal begins at {first}: suppressions that come from older events are on \
             neither side"
        ));
    }
}

/// What the rules on trial said otherwise; they ran in the service, so only it can tell.
pub(super) fn shadow(
    json: bool,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let table = service.shadow()?;
    if table.get("configured") != Some(&json!(true)) {
        bail!(
            "no rules are on trial: name a folder as shadow_dir below [rules] and send SIGHUP to \
             the running service"
        );
    }
    if json {
        show(&table, true, console)?;
        return Ok(ExitAnswer::Yes);
    }
    let word = |value: &Value, key: &str| {
        print::visible(value.get(key).and_then(Value::as_str).unwrap_or("none"))
    };
    let count = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
    let pairs = table.get("pairs").and_then(Value::as_array);
    for pair in pairs.into_iter().flatten() {
        let (live, shadow) = (&pair["live"], &pair["shadow"]);
        let (was, by) = (word(live, "reason"), word(live, "rule"));
        let (new, with) = (word(shadow, "reason"), word(shadow, "rule"));
        writeln!(console.out, "{:>7}  {was} ({by}) -> {new} ({with})", count(pair, "count"))?;
        writeln!(console.out, "           {}", word(pair, "sample"))?;
    }
    let (same, different) = (count(&table, "same"), count(&table, "different"));
    writeln!(console.out, "{same} verdicts are the same, {different} differ")?;
    if count(&table, "beyond") > 0 {
        let beyond = count(&table, "beyond");
        console.say(&format!("{beyond} of them are of further pairs, not shown"));
    }
    Ok(ExitAnswer::Yes)
}

#[cfg(test)]
mod tests;
