//! Commands about the whole journal: its events, wordings that no rule knows, and the acts that
//! take something back.

use anyhow::{Result, anyhow};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

use super::args::{EraseArgs, EventsArgs, UndoArgs, UnknownArgs};
use super::console::{Console, ExitAnswer};
use super::list::{at, said, show};
use super::print;
use crate::classify::Reason;
use crate::event::{Act, Event};
use crate::mail::{Timestamp, redacted, wording};
use crate::service::{Direction, Operations};

/// Events that are read at a time.
pub(super) const PAGE: usize = 1000;
/// Different wordings that are held; further ones are counted together.
const MAX_WORDINGS: usize = 100_000;
/// Samples shown of a wording.
const SAMPLES: usize = 3;
/// Characters of a sample.
const SAMPLE: usize = 200;

/// Calls `each` for every event since a moment; gives the number of lines that were no events.
pub(super) fn events(
    service: &dyn Operations,
    since: Option<Timestamp>,
    each: &mut dyn FnMut(Event),
) -> Result<u64> {
    let (mut from, mut unread) = (0, 0);
    loop {
        let page = service.events(from, PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(unread) };
        // A journal that does not go on would never end.
        let next = last + 1;
        if next <= from {
            return Ok(unread);
        }
        from = next;
        for (_, line) in &page {
            match serde_json::from_str::<Event>(line) {
                Ok(event) if since.is_none_or(|since| event.received_at >= since) => each(event),
                Ok(_) => {}
                Err(_) => unread += 1,
            }
        }
    }
}

/// How often the end of the journal is looked at again.
const FOLLOW: Duration = Duration::from_millis(250);

pub(super) fn print_events(
    args: &EventsArgs,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let (mut from, mut left) = (args.from, args.limit.unwrap_or(usize::MAX));
    let mut is_first = true;
    while left > 0 {
        let page = service.events(from, left.min(PAGE))?;
        for (seq, line) in &page {
            // Before the first line, records may have been removed because they were old.
            if *seq > from && !is_first {
                console.out.flush()?;
                writeln!(
                    console.err,
                    "bounced: records {from} to {} cannot be read and are left out: `bounced doctor` says \
                     why",
                    seq - 1
                )?;
            }
            writeln!(console.out, "{line}")?;
            (from, is_first) = (seq + 1, false);
        }
        left -= page.len().min(left);
        if page.is_empty() {
            if !args.follow {
                break;
            }
            // Who reads along is to see what there is.
            console.out.flush()?;
            std::thread::sleep(FOLLOW);
        }
    }
    Ok(ExitAnswer::Yes)
}

/// Messages that say the same, but for addresses, hosts, numbers and ids.
struct Wording {
    template: String,
    count: u64,
    first_seen: Timestamp,
    last_seen: Timestamp,
    samples: Vec<String>,
    by: String,
    id: String,
}

impl Wording {
    fn add(&mut self, said: &str, at: Timestamp) {
        self.count += 1;
        self.first_seen = self.first_seen.min(at);
        self.last_seen = self.last_seen.max(at);
        let sample = redacted(said, SAMPLE);
        if self.samples.len() < SAMPLES && !self.samples.contains(&sample) {
            self.samples.push(sample);
        }
    }
}

pub(super) fn unknown(
    args: &UnknownArgs,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let since = at(args.since.as_deref(), console.now, Direction::Back)?;
    let mut wordings: BTreeMap<String, Wording> = BTreeMap::new();
    let mut beyond = 0u64;
    let unread = events(service, since, &mut |event| {
        let analysis = event.analysis.as_ref();
        let reported = analysis.iter().flat_map(|analysis| &analysis.recipients);
        // What the sending MTA heard itself is read by the same rules.
        let heard = event.result.iter().filter_map(|result| result.verdict.as_ref());
        for verdict in reported.chain(heard) {
            if verdict.reason != Some(Reason::Undetermined) {
                continue;
            }
            let said = verdict.recipient.diagnostic.as_str();
            let key = wording(said);
            if wordings.len() >= MAX_WORDINGS && !wordings.contains_key(&key) {
                beyond += 1;
                continue;
            }
            let at = event.received_at;
            let wording = wordings.entry(key).or_insert_with_key(|template| Wording {
                template: template.clone(),
                count: 0,
                first_seen: at,
                last_seen: at,
                samples: Vec::new(),
                by: verdict
                    .recipient
                    .remote_mta
                    .clone()
                    .or(analysis.and_then(|analysis| analysis.reporting_mta.clone()))
                    .unwrap_or_default(),
                id: event.id.clone(),
            });
            wording.add(said, at);
        }
    })?;
    let mut sorted: Vec<Wording> = wordings.into_values().collect();
    // The map's order decides between equals, so the same journal prints the same.
    sorted.sort_by_key(|wording| std::cmp::Reverse(wording.count));
    for Wording { template, count, first_seen, last_seen, samples, by, id } in
        sorted.iter().take(args.limit)
    {
        if args.json {
            let line = json!({"count": count, "template": template, "first_seen": first_seen,
                "last_seen": last_seen, "samples": samples, "by": by, "event": id});
            writeln!(console.out, "{line}")?;
            continue;
        }
        writeln!(console.out, "{count:>7}  {}", print::visible(template))?;
        for sample in samples {
            writeln!(console.out, "           {}", print::visible(sample))?;
        }
        let by = if by.is_empty() { String::new() } else { format!(" from {by}") };
        let by = print::visible(&by);
        writeln!(console.out, "           {first_seen} to {last_seen}, first{by} in {id}")?;
    }
    remark(console, unread, beyond);
    Ok(ExitAnswer::yes_if(!sorted.is_empty()))
}

pub(super) fn remark(console: &mut Console<'_>, unread: u64, beyond: u64) {
    if unread > 0 {
        console.say(&format!("{unread} lines of the journal are of another version, left out"));
    }
    if beyond > 0 {
        console.say(&format!("{beyond} more messages had wordings beyond {MAX_WORDINGS} others"));
    }
}

pub(super) fn undo(
    args: UndoArgs,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let moment =
        |n: usize| at(args.between.get(n).map(String::as_str), console.now, Direction::Back);
    let (after, before) = (moment(0)?, moment(1)?);
    if let (Some(after), Some(before)) = (after, before)
        && after > before
    {
        return Err(anyhow!("--between: {after} is later than {before}, swap the two"));
    }
    let UndoArgs { rule, provider, peer, reason, dry_run, .. } = args;
    let reason = match reason {
        // A dry run writes nothing down.
        None => "dry run".to_string(),
        Some(reason) => said(&reason)?.to_string(),
    };
    let act = Act::Undo { rule, provider, peer, after, before, reason };
    let mut changed = service.act(act, dry_run)?;
    // A bad day of a provider is thousands of addresses: one a line, which is what `wc` and `grep`
    // want too.
    let addresses = changed.as_object_mut().and_then(|changed| changed.remove("addresses"));
    show(&changed, false, console)?;
    for address in addresses.iter().filter_map(serde_json::Value::as_array).flatten() {
        writeln!(console.out, "  {}", print::visible(&print::plain(address)))?;
    }
    if dry_run && changed.get("evidence").is_some_and(|evidence| evidence == 0) {
        console.say(
            "no evidence in the list meets these conditions; `bounced explain ADDRESS` and \
             `bounced events` show the rule, provider and peer of each event",
        );
        return Ok(ExitAnswer::No);
    }
    Ok(ExitAnswer::Yes)
}

pub(super) fn erase(
    args: EraseArgs,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let changed = service.act(Act::Erase { address: args.address, hash: String::new() }, false)?;
    show(&changed, false, console)?;
    Ok(ExitAnswer::Yes)
}

#[cfg(test)]
mod tests;
