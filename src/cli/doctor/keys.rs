//! How old the keys of signed return paths are, and which step of turning them is due
//! (docs/verp.md, "Turn the key").
//!
//! A key is as old as its file, which is written once. What systemd hands over (`LoadCredential=`) is a
//! file of this start: nothing is known of its age.

use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::cli::probe::{Finding, Grade, finding};
use crate::config::Config;
use crate::mail::Timestamp;

const DAY_MS: i64 = 86_400_000;
/// Days after which a key is turned.
const TURN: i64 = 365;
/// Where systemd puts what it hands over, by systemd.exec(5).
const HANDED_OVER: &str = "/run/credentials";

pub(super) fn ages(config: &Config, now: Timestamp) -> Vec<Finding> {
    let files = config.verp_key_files.iter();
    let keys: Vec<_> = files.map(|(id, file)| (id.as_str(), age(file, now))).collect();
    judge(&keys, (config.verp.max_age.as_secs() / 86_400) as i64)
}

/// In days; None: nobody knows.
fn age(file: &Path, now: Timestamp) -> Option<i64> {
    let written = std::fs::metadata(file).ok()?.modified().ok()?;
    let written = i64::try_from(written.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
    let days = (now.millis() - written) / DAY_MS;
    (!file.starts_with(HANDED_OVER) && days >= 0).then_some(days)
}

/// Keys with their ages, the one that signs first; `max_age` of a return path in days.
fn judge(keys: &[(&str, Option<i64>)], max_age: i64) -> Vec<Finding> {
    let say = |grade, words: String| finding(grade, "verp", words);
    let Some(((id, first), others)) = keys.split_first() else { return Vec::new() };
    let mut findings = vec![match first {
        None => say(
            Grade::Ok,
            format!(
                "how old the key \"{id}\" is cannot be told from its file: turn it once a year \
                 (docs/verp.md)"
            ),
        ),
        Some(days) if *days >= TURN => say(
            Grade::Warn,
            format!(
                "the key \"{id}\" is {days} days old: make another and name it first in [[verp.keys]], \
                 keep this one for {max_age} days more (docs/verp.md)"
            ),
        ),
        Some(days) => say(
            Grade::Ok,
            format!("the key \"{id}\" is {days} days old, to be turned in {} days", TURN - days),
        ),
    }];
    for (old, age) in others {
        // A younger one is on its way to the senders, and will be the first.
        if let (Some(first), Some(age)) = (first, age)
            && age > first
            && *first > max_age
        {
            let words = format!(
                "the key \"{old}\" is {age} days old, and \"{id}\" came {first} days ago: when every sender \
                 signs with that, take \"{old}\" out, for what it signed is too old now"
            );
            findings.push(say(Grade::Warn, words));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_step_is_due() {
        for (keys, expected) in [
            (&[][..], &[][..]),
            (&[("a", Some(0))], &[(Grade::Ok, "to be turned in 365 days")]),
            (&[("a", Some(364))], &[(Grade::Ok, "to be turned in 1 days")]),
            (&[("a", Some(365))], &[(Grade::Warn, "make another and name it first")]),
            (&[("a", None)], &[(Grade::Ok, "cannot be told")]),
            // Just turned: tokens of the old one may still come.
            (&[("b", Some(30)), ("a", Some(400))], &[(Grade::Ok, "\"b\" is 30")]),
            (
                &[("b", Some(31)), ("a", Some(400))],
                &[(Grade::Ok, "\"b\" is 31"), (Grade::Warn, "take \"a\" out")],
            ),
            // The next one, not yet in use.
            (&[("a", Some(366)), ("b", Some(2))], &[(Grade::Warn, "\"a\" is 366")]),
            (&[("b", Some(31)), ("a", None)], &[(Grade::Ok, "\"b\" is 31")]),
        ] {
            let findings = judge(keys, 30);
            assert_eq!(findings.len(), expected.len(), "{findings:?}");
            for (found, (grade, part)) in findings.iter().zip(expected) {
                assert!(found.grade == *grade && found.words.contains(part), "{found:?}");
            }
        }
    }

    #[test]
    fn a_key_is_as_old_as_its_file() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let file = dir.path().join("key");
        std::fs::write(&file, "0123456789abcdef").expect("scratch is writable");
        let later = |days: i64| Timestamp::now().plus_millis(days * DAY_MS + 60_000);
        assert_eq!(age(&file, later(0)), Some(0));
        assert_eq!(age(&file, later(400)), Some(400));
        assert_eq!(age(&file, later(-2)), None, "of the future");
        assert_eq!(age(&dir.path().join("missing"), later(0)), None);
    }
}
