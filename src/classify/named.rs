//! What a refusal names besides its reason: when to come back, and the block list that we are on.
//!
//! Promises: only what the words say. A time counts when a word of waiting leads to it ("try again
//! in 5 minutes"), so "undeliverable for 5 days" is none. A block list has its usual name from
//! [`LISTS`], else the zone that the server says it asked.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use crate::mail::MultiSearch;

/// Longest time to wait that is believed, in seconds: a week. Servers that say more mean "never".
const MOST_SECONDS: u32 = 7 * 86_400;
/// Words that are looked at; what is longer is a page, not a reply.
const WORDS: usize = 400;

/// What leads to a time to wait.
const WAITING: &[&str] = &[
    "again",
    "retry",
    "later",
    "wait",
    "back",
    "greylisted",
    "greylisting",
    "greylist",
    "graylisted",
    "graylisting",
    "resend",
    "deferred",
];
/// What may be between such a word and the time.
const BETWEEN: &[&str] = &[
    "in",
    "after",
    "for",
    "about",
    "at",
    "least",
    "another",
    "next",
    "please",
    "than",
    "you",
    "must",
    "should",
    "approximately",
    "around",
    "within",
    "least.",
    "try",
    "is",
    "time",
];

/// In so many seconds the server wants to hear from us again, when its words say so.
pub(super) fn retry_after(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    let bare = |c: char| !c.is_ascii_alphanumeric() && c != ':';
    let words: Vec<&str> = lower
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '-' | '=' | '('))
        .map(|word| word.trim_matches(bare).trim_matches(':'))
        .filter(|word| !word.is_empty())
        .take(WORDS)
        .collect();
    let found = words.iter().enumerate().try_for_each(|(place, word)| {
        if !WAITING.contains(word) {
            return ControlFlow::Continue(());
        }
        let rest = words.get(place + 1..).unwrap_or_default();
        let between = |word: &&&str| BETWEEN.contains(*word) || WAITING.contains(*word);
        let skipped = rest.iter().take_while(between).count();
        match time(rest.get(skipped..).unwrap_or_default()) {
            Some(seconds) => ControlFlow::Break(seconds),
            None => ControlFlow::Continue(()),
        }
    });
    found.break_value().filter(|seconds| (1..=MOST_SECONDS).contains(seconds))
}

/// `300 seconds`, `5min`, `1 hour 30 minutes`, `00:04:57`, at the beginning.
fn time(words: &[&str]) -> Option<u32> {
    if let Some(clock) = words.first().and_then(|word| clock(word)) {
        return Some(clock);
    }
    let (mut rest, mut sum) = (words, None);
    while let Some((seconds, used)) = amount(rest) {
        sum = Some(sum.unwrap_or(0u32).checked_add(seconds)?);
        rest = rest.get(used..).unwrap_or_default();
        if rest.first() == Some(&"and") {
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    sum
}

/// `4:57` or `00:04:57`.
fn clock(word: &str) -> Option<u32> {
    let parts: Vec<u32> = word.split(':').map(|p| p.parse().ok()).collect::<Option<_>>()?;
    match parts.as_slice() {
        [hours, minutes @ 0..60, seconds @ 0..60] if *hours < 1000 => {
            Some(hours * 3600 + minutes * 60 + seconds)
        }
        [minutes, seconds @ 0..60] if *minutes < 1000 => Some(minutes * 60 + seconds),
        _ => None,
    }
}

/// One number with its unit, in seconds, and how many words it takes.
fn amount(words: &[&str]) -> Option<(u32, usize)> {
    let word = words.first()?;
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = word.split_at_checked(digits)?;
    let number: u32 = number.parse().ok()?;
    let (unit, used) = if unit.is_empty() { (*words.get(1)?, 2) } else { (unit, 1) };
    let seconds = match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => 86_400,
        _ => return None,
    };
    Some((number.checked_mul(seconds)?, used))
}

/// How a block list is known in a refusal, and its name. The narrower before the wider.
const LISTS: &[(&str, &str)] = &[
    ("zen.spamhaus", "Spamhaus ZEN"),
    ("sbl-xbl.spamhaus", "Spamhaus SBL-XBL"),
    ("pbl.spamhaus", "Spamhaus PBL"),
    ("xbl.spamhaus", "Spamhaus XBL"),
    ("sbl.spamhaus", "Spamhaus SBL"),
    ("dbl.spamhaus", "Spamhaus DBL"),
    ("spamhaus dbl", "Spamhaus DBL"),
    ("spamhaus css", "Spamhaus CSS"),
    ("spamhaus pbl", "Spamhaus PBL"),
    ("spamhaus xbl", "Spamhaus XBL"),
    ("spamhaus sbl", "Spamhaus SBL"),
    ("spamhaus", "Spamhaus"),
    ("spamcop", "SpamCop"),
    ("barracudacentral", "Barracuda"),
    ("abuseat.org", "CBL"),
    ("abusix", "Abusix"),
    ("sorbs.net", "SORBS"),
    ("uceprotect", "UCEPROTECT"),
    ("backscatterer.org", "Backscatterer"),
    ("psbl.surriel", "PSBL"),
    ("dronebl", "DroneBL"),
    ("hostkarma", "Hostkarma"),
    ("manitu.net", "NiX Spam"),
    ("mailspike", "Mailspike"),
    ("s5h.net", "S5H"),
    ("spamrats", "SpamRATS"),
    ("nordspam", "NordSpam"),
    ("0spam", "0Spam"),
    ("gbudb", "GBUdb Truncate"),
    ("wpbl.info", "WPBL"),
    ("dnsbl.inps", "INPS"),
    ("swinog.ch", "SWINOG"),
    ("spfbl", "SPFBL"),
    ("invaluement", "invaluement"),
    ("spameatingmonkey", "Spam Eating Monkey"),
    ("interserver.net", "InterServer"),
    ("surbl.org", "SURBL"),
    ("uribl.com", "URIBL"),
    ("senderscore", "Sender Score"),
    ("trendmicro", "Trend Micro ERS"),
];

/// What is before the zone that a server asked (Postfix, Exim, Sendmail).
const ASKED: &[&str] = &["blocked using ", "listed at ", "listed by ", "listed in ", "found in "];

/// The block list that a refusal names.
pub(super) fn blocklist(text: &str) -> Option<String> {
    static MARKS: LazyLock<MultiSearch> =
        LazyLock::new(|| MultiSearch::new(LISTS.iter().map(|(mark, _)| mark)));
    let lower = text.to_ascii_lowercase();
    let mut first = usize::MAX;
    MARKS.find(lower.as_bytes(), |mark, _| first = first.min(mark));
    if let Some((_, name)) = LISTS.get(first) {
        return Some((*name).to_string());
    }
    let behind = ASKED.iter().find_map(|words| lower.split_once(words))?.1;
    let zone = behind.split(|c: char| c.is_whitespace() || matches!(c, ';' | ',' | ')' | ']'));
    let zone = zone.map(|zone| zone.trim_matches(['.', '"', '\'', '(', '['])).next()?;
    is_zone(zone).then(|| zone.to_string())
}

/// A domain with a label that block lists have, so that "listed in contacts.example.com" is none.
fn is_zone(zone: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let listing = ["dnsbl", "rbl", "bl", "dnsrbl", "blacklist", "blocklist"];
    zone.len() <= 253
        && zone.split('.').count() >= 3
        && zone.split('.').all(label)
        && zone.split('.').any(|label| listing.contains(&label) || label.ends_with("bl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_wait_is_what_a_word_of_waiting_leads_to() {
        for (text, seconds) in [
            ("450 4.2.0 <u@x.test>: Greylisted, please try again in 300 seconds", Some(300)),
            ("451 try again in 5 minutes", Some(300)),
            ("Recipient address rejected: example.com greylisted for 60 seconds", Some(60)),
            ("451 4.7.1 Greylisting in action, please come back in 00:04:57", Some(297)),
            ("450 please retry after 1 hour and 30 minutes", Some(5400)),
            ("421 too fast; retry-after: 120s", Some(120)),
            ("421 4.7.0 Try again later in at least 10min.", Some(600)),
            ("450 you must wait another 299 seconds", Some(299)),
            ("451 greylisted (try again in 2 days)", Some(172_800)),
            ("421 try again later", None),
            ("Message could not be delivered for 5 days", None),
            ("Could not deliver for the last 432000 seconds. Giving up.", None),
            ("exceeded permitted limits within 24 hours range", None),
            ("450 retry in 5000 days", None),
            ("450 try again in 99999999999 seconds", None),
            ("try again in 4294967295 hours", None),
            ("450 try again 192.0.2.1:25", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text), seconds, "{text}");
        }
    }

    #[test]
    fn a_block_list_has_its_usual_name() {
        for (text, name) in [
            (
                "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using \
                 zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1",
                Some("Spamhaus ZEN"),
            ),
            ("550 listed, see https://www.spamhaus.org/query/ip/192.0.2.1", Some("Spamhaus")),
            ("554 blocked using dnsbl.sorbs.net Please see http://s", Some("SORBS")),
            ("550 The sender is listed in rbl.example.net.", Some("rbl.example.net")),
            ("554 blocked using bl.corp.example; x", Some("bl.corp.example")),
            ("550 listed in contacts.mail.example.com", None),
            ("550 user is not listed in the directory", None),
            ("550 5.1.1 no such user", None),
        ] {
            assert_eq!(blocklist(text).as_deref(), name, "{text}");
        }
    }

    #[test]
    fn lists_are_found_by_the_narrower_mark_first() {
        for (place, (mark, name)) in LISTS.iter().enumerate() {
            assert_eq!(*mark, mark.to_ascii_lowercase());
            let first = LISTS.iter().position(|(other, _)| mark.contains(other));
            assert_eq!(first, Some(place), "{mark} ({name}) is never reached");
        }
    }
}
