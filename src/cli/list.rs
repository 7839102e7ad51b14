//! One address, or the list: lookup, explain, suppress, release, list.

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use super::args::{ExplainArgs, FilterArgs, ListArgs, LookupArgs, ReleaseArgs, SuppressArgs};
use super::console::{Console, ExitAnswer};
use super::print;
use crate::classify::Class;
use crate::config::nearest;
use crate::mail::{Address, Timestamp};
use crate::service::{Direction, ListQuery, Operations, ServiceError, moment};

/// Entries that are asked for at a time.
pub(super) const PAGE: usize = 1000;

pub(super) fn lookup(
    args: &LookupArgs,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let mut all = true;
    for address in &args.addresses {
        let entry = service.suppression(an_address(address)?, args.scope.as_deref())?;
        all &= entry.is_some();
        match (entry, args.json) {
            (Some(entry), true) => writeln!(console.out, "{entry}")?,
            (None, true) => {
                let scope = args.scope.as_deref();
                let entry = json!({"address": address, "scope": scope, "state": null});
                writeln!(console.out, "{entry}")?;
            }
            (Some(entry), false) => {
                writeln!(console.out, "{}", print::visible(&print::sentence(address, &entry)))?;
            }
            (None, false) => {
                writeln!(console.out, "{}  not suppressed", print::visible(address))?;
            }
        }
    }
    Ok(ExitAnswer::yes_if(all))
}

pub(super) fn explain(
    args: &ExplainArgs,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let explained = match service.explain(an_address(&args.address)?, None) {
        Err(ServiceError::NotFound(why)) => {
            console.say(&why);
            return Ok(ExitAnswer::No);
        }
        explained => explained?,
    };
    if args.json {
        writeln!(console.out, "{explained}")?;
    } else {
        super::explain::explain(console.out, &explained, console.paint)?;
    }
    Ok(ExitAnswer::Yes)
}

pub(super) fn suppress(
    args: &SuppressArgs,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let until = at(args.until.as_deref(), console.now, Direction::Ahead)?;
    if until.is_some_and(|until| until <= console.now) {
        return Err(anyhow!("--until is in the past, write a later moment or leave it out"));
    }
    let reason = said(&args.reason)?;
    let entry = service.suppress(an_address(&args.address)?, &args.scope, reason, until)?;
    show(&entry, args.json, console)?;
    Ok(ExitAnswer::Yes)
}

pub(super) fn release(
    args: &ReleaseArgs,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let (address, reason) = (an_address(&args.address)?, said(&args.reason)?);
    match service.release(address, &args.scope, reason) {
        Err(ServiceError::NotFound(why)) => {
            console.say(&why);
            Ok(ExitAnswer::No)
        }
        released => {
            show(&released?, args.json, console)?;
            Ok(ExitAnswer::Yes)
        }
    }
}

/// An address; of many the wrong one is named.
pub(super) fn an_address(text: &str) -> Result<&str> {
    match Address::parse(text) {
        Some(_) => Ok(text),
        None => Err(anyhow!("\"{text}\" is no address, write one such as user@example.com")),
    }
}

/// A reason that says something: it is all that people find who ask later.
pub(super) fn said(reason: &str) -> Result<&str> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(anyhow!("--reason is empty, write why: whoever asks later sees nothing else"));
    }
    Ok(reason)
}

pub(super) fn show(value: &Value, json: bool, console: &mut Console<'_>) -> Result<()> {
    if json {
        writeln!(console.out, "{value}")?;
    } else {
        print::outline(console.out, value, 0)?;
    }
    Ok(())
}

pub(super) fn at(
    text: Option<&str>,
    now: Timestamp,
    direction: Direction,
) -> Result<Option<Timestamp>> {
    text.map(|text| moment(text, now, direction).map_err(|why| anyhow!(why))).transpose()
}

/// The query for a filter, page size not yet chosen.
pub(super) fn query(filter: &FilterArgs, now: Timestamp) -> Result<ListQuery> {
    let class = filter.class.as_deref().map(class).transpose()?;
    Ok(ListQuery {
        limit: PAGE,
        cursor: None,
        // `@example.com` is what people write for a domain.
        domain: filter.domain.as_deref().map(|d| d.trim().trim_start_matches('@').to_string()),
        class,
        since: at(filter.since.as_deref(), now, Direction::Back)?,
        scope: filter.scope.clone(),
    })
}

fn class(word: &str) -> Result<Class> {
    Class::parse(word).ok_or_else(|| {
        let words: Vec<&str> = Class::ALL.iter().map(|class| class.as_str()).collect();
        match nearest(word, words.iter().copied()) {
            Some(meant) => anyhow!("\"{word}\" is no class, did you mean \"{meant}\"?"),
            None => anyhow!("\"{word}\" is no class, known are: {}", words.join(", ")),
        }
    })
}

/// Calls `each` for every entry of a query, page by page, until it answers false.
pub(super) fn entries(
    mut query: ListQuery,
    service: &dyn Operations,
    each: &mut dyn FnMut(&Value) -> Result<bool>,
) -> Result<()> {
    loop {
        let page = service.list(&query)?;
        for entry in &page.entries {
            if !each(entry)? {
                return Ok(());
            }
        }
        match page.next {
            // A page that leads to itself would never end.
            Some(next) if query.cursor.as_ref() != Some(&next) => query.cursor = Some(next),
            _ => return Ok(()),
        }
    }
}

pub(super) fn list(
    args: &ListArgs,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let mut query = query(&args.filter, console.now)?;
    let mut left = args.limit.unwrap_or(usize::MAX);
    query.limit = left.clamp(1, PAGE);
    entries(query, service, &mut |entry| {
        if left == 0 {
            return Ok(false);
        }
        left -= 1;
        if args.json {
            writeln!(console.out, "{entry}")?;
        } else {
            let address = entry.get("address").map(print::plain).unwrap_or_default();
            writeln!(console.out, "{}", print::visible(&print::sentence(&address, entry)))?;
        }
        Ok(true)
    })?;
    Ok(ExitAnswer::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{self, Fake};

    #[test]
    fn an_entry_in_one_line() {
        for (entry, expected) in [
            (
                json!({"state": "suppressed", "reason": "user-unknown", "category": "hard",
                    "since": "2026-11-22T10:00:00Z", "until": null, "scope": "*",
                    "rule": "iana/5.1.1"}),
                "u@example.com  suppressed  user-unknown (hard) since 2026-11-22T10:00:00Z  rule \
                 iana/5.1.1",
            ),
            (
                json!({"state": "held", "scope": "news", "until": "2026-12-01T00:00:00Z"}),
                "u@example.com  held until 2026-12-01T00:00:00Z  scope news",
            ),
            (json!({}), "u@example.com  "),
        ] {
            assert_eq!(print::sentence("u@example.com", &entry), expected);
        }
    }

    #[test]
    fn a_misspelt_class_is_named() {
        let word = Class::ALL[0].as_str();
        assert!(class(word).is_ok());
        let wrong = format!("{word}x");
        let error = class(&wrong).expect_err("no class").to_string();
        assert_eq!(error, format!("\"{wrong}\" is no class, did you mean \"{word}\"?"));
    }

    fn service() -> Fake {
        let entry = |address: &str, state: &str| json!({"address": address, "state": state});
        let entries = vec![
            entry("a@example.com", "suppressed"),
            entry("b@example.com", "held"),
            entry("c@example.com", "suppressed"),
        ];
        Fake { entries, ..Fake::default() }
    }

    #[test]
    fn a_lookup_is_yes_only_for_all() {
        for (addresses, json, expected, out) in [
            (&["a@example.com"][..], false, ExitAnswer::Yes, "a@example.com  suppressed\n"),
            (
                &["b@example.com", "z@example.com"],
                false,
                ExitAnswer::No,
                "b@example.com  held\nz@example.com  not suppressed\n",
            ),
            (
                &["z@example.com"],
                true,
                ExitAnswer::No,
                "{\"address\":\"z@example.com\",\"scope\":null,\"state\":null}\n",
            ),
        ] {
            let addresses = addresses.iter().map(ToString::to_string).collect();
            let args = LookupArgs { json, scope: None, addresses };
            let (answer, said, _) = fake::run(&service(), |s, c| lookup(&args, s, c));
            assert_eq!((answer.ok(), said.as_str()), (Some(expected), out));
        }
    }

    #[test]
    fn a_list_ends_at_its_limit() {
        for (limit, lines) in [(None, 3), (Some(0), 0), (Some(1), 1), (Some(3), 3), (Some(9), 3)] {
            let args = ListArgs { json: false, limit, filter: FilterArgs::default() };
            let (_, out, _) = fake::run(&service(), |s, c| list(&args, s, c));
            assert_eq!(out.lines().count(), lines, "{limit:?}");
        }
    }

    #[test]
    fn a_release_of_a_stranger_is_no() {
        let args = |address: &str| ReleaseArgs {
            address: address.into(),
            reason: "x".into(),
            scope: "*".into(),
            json: false,
        };
        for (address, answer) in
            [("a@example.com", ExitAnswer::Yes), ("z@example.com", ExitAnswer::No)]
        {
            let (released, _, _) = fake::run(&service(), |s, c| release(&args(address), s, c));
            assert_eq!(released.ok(), Some(answer), "{address}");
        }
    }

    #[test]
    fn a_reason_says_something() {
        assert_eq!(said(" by phone ").ok(), Some("by phone"));
        assert!(said("  ").is_err());
    }
}
