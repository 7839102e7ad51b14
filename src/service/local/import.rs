//! Imports: each entry is checked and held against what is known of its address, and becomes an act
//! that tells what the other list said (docs/imports.md).

use std::collections::HashMap;

use super::LocalService;
use super::commit::QUEUED_AT_ONCE;
use super::make_event::act_event;
use super::validate::{bounded, checked_rule, checked_scope, still_to_come, written};
use crate::analysis::judge_reply;
use crate::classify::{Category, Certainty, Reason};
use crate::event::{Act, Cause, Event, Imported};
use crate::mail::{Address, Timestamp};
use crate::policy::{Addition, ListedStop};
use crate::service::import::{BLOCKED, SOFT, left_out_by, tally};
use crate::service::{ImportEntry, ImportOptions, ImportOutcome, NotTaken, ServiceError};

/// Why an address that an import stops in all scopes is released in one again.
const RELEASED_BEFORE: &str = "released by hand in this scope before, and after the list said it";

/// Why an entry is not taken.
enum No {
    LeftOut(String),
    /// Why, and the cell that is wrong.
    Refused(ServiceError, String),
}

/// Entries that are committed together, each address once in a scope.
#[derive(Default)]
struct Gathered {
    stops: Vec<(String, String, ListedStop)>,
    places: HashMap<(String, String), usize>,
    /// Addresses with scopes in which they stay released.
    released: Vec<(String, String)>,
    new: u64,
    changed: u64,
}

impl Gathered {
    /// Whether the address is here; then both entries become one.
    fn joins(&mut self, address: &str, scope: &str, listed: &ListedStop) -> bool {
        let key = (address.to_string(), scope.to_string());
        let Some((_, _, known)) = self.places.get(&key).and_then(|at| self.stops.get_mut(*at))
        else {
            return false;
        };
        if let Some(joined) = known.joined(listed) {
            *known = joined;
        }
        true
    }

    fn push(&mut self, address: String, scope: String, listed: ListedStop) {
        self.places.insert((address.clone(), scope.clone()), self.stops.len());
        self.stops.push((address, scope, listed));
    }
}

impl LocalService {
    /// Suppresses many, or says with `dry_run` what that would be.
    pub(super) fn import_entries(
        &self,
        entries: Vec<ImportEntry>,
        options: ImportOptions,
    ) -> Result<ImportOutcome, ServiceError> {
        let mut outcome = ImportOutcome::default();
        let (mut gathered, now) = (Gathered::default(), self.now());
        for (place, entry) in entries.into_iter().enumerate() {
            let (address, scope, listed) = match self.checked(entry, options, now) {
                Ok(checked) => checked,
                Err(No::LeftOut(why)) => {
                    outcome.left_out.push(NotTaken::left_out(place, why));
                    continue;
                }
                Err(No::Refused(error, cell)) => {
                    outcome.refused.push(NotTaken { place, why: error.to_string(), cell });
                    continue;
                }
            };
            let stored = self.pseudonyms.of(&address);
            let address = address.key_in(self.case);
            if gathered.joins(&address, &scope, &listed) {
                outcome.unchanged += 1;
                continue;
            }
            let (addition, released) =
                self.reader.addition(&*self.ledger, &stored, (&scope, &listed), now)?;
            let listed = match addition {
                Addition::Nothing => {
                    outcome.unchanged += 1;
                    continue;
                }
                Addition::ReleasedSince(at) => {
                    outcome.left_out.push(NotTaken::left_out(place, released_since(at)));
                    continue;
                }
                Addition::New => {
                    gathered.new += 1;
                    listed
                }
                Addition::More(both) => {
                    gathered.changed += 1;
                    both
                }
            };
            if options.dry_run && outcome.sample.len() < tally::SHOWN {
                outcome.sample.push(entry_of(&address, &scope, &listed).to_json());
            }
            let stays = |scope| (address.clone(), scope);
            gathered.released.extend(released.into_iter().map(stays));
            gathered.push(address, scope, listed);
            if gathered.stops.len() >= QUEUED_AT_ONCE {
                self.commit_gathered(std::mem::take(&mut gathered), options, &mut outcome)?;
            }
        }
        self.commit_gathered(gathered, options, &mut outcome)?;
        Ok(outcome)
    }

    fn commit_gathered(
        &self,
        gathered: Gathered,
        options: ImportOptions,
        outcome: &mut ImportOutcome,
    ) -> Result<(), ServiceError> {
        if !options.dry_run {
            let now = self.now();
            let act = |(address, scope, listed): (String, String, ListedStop)| {
                let ListedStop { until, mut imported, words: reason } = listed;
                // Said by a list, not by hand: only that can be joined with what the next list says.
                if imported.is_empty() {
                    imported.since = Some(now);
                }
                let act = Act::Suppress { address, scope, reason, until, imported };
                Event { received_at: now, ..act_event(act) }
            };
            let stays = |(address, scope): (String, String)| {
                let reason = RELEASED_BEFORE.to_string();
                let act = Act::Release { address, scope, reason };
                Event { received_at: now, ..act_event(act) }
            };
            let released = gathered.released.into_iter().map(stays);
            self.commit_many(gathered.stops.into_iter().map(act).chain(released).collect())?;
        }
        outcome.suppressed += gathered.new;
        outcome.changed += gathered.changed;
        Ok(())
    }

    /// Address, scope, and what the list says, as it is stored.
    fn checked(
        &self,
        entry: ImportEntry,
        options: ImportOptions,
        now: Timestamp,
    ) -> Result<(Address, String, ListedStop), No> {
        let refused = |cell: &str| {
            let cell = cell.to_string();
            |error| No::Refused(error, cell)
        };
        let address = written(&entry.address).map_err(refused(&entry.address))?;
        checked_scope(&entry.scope).map_err(refused(&entry.scope))?;
        still_to_come(entry.until, now).map_err(refused(""))?;
        let rule = entry.imported.rule.as_deref();
        rule.map_or(Ok(()), checked_rule).map_err(refused(""))?;
        let words = bounded(&entry.words).map_err(refused(""))?;
        let imported = self.with_finer_cause(entry.imported, &address, &words, options)?;
        Ok((address, entry.scope, ListedStop { until: entry.until, imported, words }))
    }

    /// A list that says no more than "it bounced" may hold what the server said: that is read like
    /// any other refusal, and what it says decides. So is a reply in a list that gives no reason.
    fn with_finer_cause(
        &self,
        imported: Imported,
        address: &Address,
        words: &str,
        options: ImportOptions,
    ) -> Result<Imported, No> {
        let bounced = matches!(
            imported.cause,
            Some(Cause::Failure(Reason::ProviderSuppressed | Reason::Generic))
        );
        let replied = imported.cause.is_none() && code_of(words).is_some();
        if imported.rule.is_some() || !(bounced || replied) {
            return Ok(imported);
        }
        let verdict = judge_reply(&self.analyser.load(), true, address, words, None);
        let said = verdict.filter(|verdict| verdict.certainty == Some(Certainty::Said));
        let Some((reason, rule)) = said.and_then(|said| Some((said.reason?, said.rule))) else {
            // Words that nobody understands, behind a code that says no more of the address.
            return match code_of(words).and_then(left_out_by) {
                Some(why) if !options.all => Err(No::LeftOut(why.to_string())),
                _ => Ok(imported),
            };
        };
        match reason.category() {
            // It says no more than the list does.
            _ if reason == Reason::Generic => Ok(imported),
            Category::Soft if !options.all => Err(No::LeftOut(SOFT.to_string())),
            Category::Block if !options.all => Err(No::LeftOut(BLOCKED.to_string())),
            _ => Ok(Imported { cause: Some(Cause::Failure(reason)), rule, ..imported }),
        }
    }
}

fn released_since(at: Timestamp) -> String {
    let day = at.to_string();
    let day = day.get(..10).unwrap_or_default();
    format!(
        "released by hand since the list said it, on {day}: not imported; \
         `bounced suppress` stops it again"
    )
}

fn entry_of(address: &str, scope: &str, listed: &ListedStop) -> ImportEntry {
    let ListedStop { until, imported, words } = listed.clone();
    let (address, scope) = (address.to_string(), scope.to_string());
    ImportEntry { address, scope, words, until, imported }
}

/// The code at the beginning of a reply: `5.1.1` of `550 5.1.1 ...` and of `5.1.1 ...`, `550` of
/// `550 ...` (RFC 5321 section 4.2, RFC 3463 section 2).
fn code_of(words: &str) -> Option<&str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let class = |text: &str| text.starts_with(['4', '5']);
    let is_reply = |text: &&str| text.len() == 3 && class(text) && digits(text);
    let is_status =
        |text: &&str| class(text) && text.split('.').count() == 3 && text.split('.').all(digits);
    let mut pieces = words.split([' ', '-', ';']).filter(|piece| !piece.is_empty());
    let first = pieces.next()?;
    Some(first).filter(is_status).or_else(|| {
        let reply = Some(first).filter(is_reply)?;
        Some(pieces.next().filter(is_status).unwrap_or(reply))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::real;
    use super::*;
    use crate::service::Operations;
    use crate::service::import::{ImportReader, ImportTally, Wishes};

    /// Imports a file as the command line does.
    fn import(service: &LocalService, text: &str, options: ImportOptions) -> ImportTally {
        let (reason, scope) = ("imported".to_string(), "*".to_string());
        let mut reader =
            ImportReader::new(Wishes { reason, reasoned: false, scope, all: options.all });
        reader.feed(text.as_bytes()).expect("a list");
        reader.end().expect("a list");
        let (mut tally, mut entries, mut numbers) =
            (ImportTally::default(), Vec::new(), Vec::new());
        while let Some((number, found)) = reader.next() {
            if let Some(entry) = tally.take(number, found) {
                entries.push(entry);
                numbers.push(number);
            }
        }
        tally.add(service.import(entries, options).expect("it imports"), &numbers);
        tally
    }

    /// Suppressed, changed, unchanged, left out, refused.
    fn counts(service: &LocalService, text: &str) -> [u64; 5] {
        let dry = ImportOptions { dry_run: true, ..ImportOptions::default() };
        let dry = import(service, text, dry);
        let done = import(service, text, ImportOptions::default());
        let counts =
            |t: &ImportTally| [t.suppressed, t.changed, t.unchanged, t.left_out, t.refused];
        assert_eq!(counts(&dry), counts(&done), "a dry run says what would be: {text}");
        counts(&done)
    }

    fn entry(service: &LocalService, address: &str) -> (String, Option<String>) {
        let entry = service.suppression(address, None).expect("it answers").expect("suppressed");
        let text = |name: &str| entry[name].as_str().map(str::to_string);
        (text("reason").unwrap_or_default(), text("until"))
    }

    #[test]
    fn nothing_gets_weaker_and_the_same_changes_nothing() {
        let dir = tempfile::tempdir().expect("scratch");
        let service = real(dir.path());
        let complaint = "a@x.test,COMPLAINT,2026-10-01\n";
        let bounce = "a@x.test,BOUNCE,2026-10-02\n";
        assert_eq!(counts(&service, complaint), [1, 0, 0, 0, 0]);
        let before = service.explain("a@x.test", None).expect("it answers");
        for text in [bounce, complaint, bounce, complaint] {
            assert_eq!(counts(&service, text), [0, 0, 1, 0, 0], "{text}");
        }
        assert_eq!(service.explain("a@x.test", None).expect("it answers"), before);
        assert_eq!(entry(&service, "a@x.test"), ("complaint".to_string(), None));

        // The other way round the stronger reason comes in, and is named.
        assert_eq!(counts(&service, &bounce.replace('a', "b")), [1, 0, 0, 0, 0]);
        assert_eq!(counts(&service, &complaint.replace('a', "b")), [0, 1, 0, 0, 0]);
        assert_eq!(entry(&service, "b@x.test"), ("complaint".to_string(), None));

        // An end shortens nothing: not what a person said, not what a list said.
        service.suppress("c@x.test", "*", "by phone", None).expect("it answers");
        let ends = "address,until\nc@x.test,2099-01-01\na@x.test,2099-01-01\nd@x.test,2099-01-01\n";
        assert_eq!(counts(&service, ends), [1, 0, 2, 0, 0]);
        assert_eq!(entry(&service, "c@x.test"), ("by-hand".to_string(), None));
        let end = |text: &str| Some(text.to_string());
        assert_eq!(entry(&service, "d@x.test").1, end("2099-01-01T00:00:00Z"));
        // Nor do plain lines.
        assert_eq!(counts(&service, "address,until\nd@x.test,2098-01-01\n"), [0, 0, 1, 0, 0]);
        assert_eq!(counts(&service, "address,until\nd@x.test,2100-01-01\n"), [0, 1, 0, 0, 0]);
        assert_eq!(entry(&service, "d@x.test").1, end("2100-01-01T00:00:00Z"));
        assert_eq!(counts(&service, "d@x.test\n"), [0, 1, 0, 0, 0]);
        assert_eq!(entry(&service, "d@x.test"), ("by-hand".to_string(), None));
        // What is known of it in more detail is news, though.
        assert_eq!(counts(&service, "d@x.test,user-unknown\n"), [0, 1, 0, 0, 0]);
        assert_eq!(entry(&service, "d@x.test").0, "user-unknown");

        // One address in one file is one entry.
        let twice = "e@x.test,BOUNCE\nE@X.test,COMPLAINT\ne@x.test,BOUNCE\n";
        assert_eq!(counts(&service, twice), [1, 0, 2, 0, 0]);
        assert_eq!(entry(&service, "e@x.test").0, "complaint");
        assert_eq!(counts(&service, twice), [0, 0, 3, 0, 0]);
    }

    #[test]
    fn a_release_that_came_later_is_not_undone() {
        let dir = tempfile::tempdir().expect("scratch");
        let service = real(dir.path());
        for text in ["a@x.test,BOUNCE,2026-10-01\n", "a@x.test\n", "a@x.test,COMPLAINT\n"] {
            assert_eq!(counts(&service, text)[0], 1, "{text}");
            service.release("a@x.test", "*", "asked").expect("it answers");
            let done = import(&service, text, ImportOptions::default());
            assert_eq!((done.suppressed, done.left_out), (0, 1), "{text}");
            assert!(done.why[0].why.starts_with("released by hand since"), "{:?}", done.why);
            assert_eq!(service.suppression("a@x.test", None), Ok(None));
            // What the other list learned after it counts.
            assert_eq!(counts(&service, "a@x.test,BOUNCE,2099-01-01\n"), [1, 0, 0, 0, 0]);
            service.release("a@x.test", "*", "asked").expect("it answers");
            service
                .act(Act::Erase { address: "a@x.test".into(), hash: String::new() }, false)
                .expect("it erases");
        }
        // An entry for all scopes leaves the one alone in which it was released.
        service.suppress("c@x.test", "news", "by phone", None).expect("it answers");
        service.release("c@x.test", "news", "a mistake").expect("it answers");
        assert_eq!(counts(&service, "c@x.test,BOUNCE,2026-10-01\n"), [1, 0, 0, 0, 0]);
        assert_eq!(service.suppression("c@x.test", Some("news")), Ok(None));
        assert!(service.suppression("c@x.test", Some("shop")).expect("it answers").is_some());
        assert_eq!(counts(&service, "c@x.test,BOUNCE,2026-10-01\n"), [0, 0, 1, 0, 0]);
        // What no list ever said was not what was released.
        service.suppress("b@x.test", "*", "by phone", None).expect("it answers");
        service.release("b@x.test", "*", "a mistake").expect("it answers");
        assert_eq!(counts(&service, "b@x.test\n"), [1, 0, 0, 0, 0]);
    }

    #[test]
    fn what_the_server_said_decides() {
        let dir = tempfile::tempdir().expect("scratch");
        let service = real(dir.path());
        let text = "email;reason;status;created\n\
            dead@x.test;550 5.1.1 no such user;5.1.1;1700000000\n\
            block@x.test;550 5.7.1 Service unavailable, client host blocked using Spamhaus;;1700000000\n\
            full@x.test;552 5.2.2 mailbox full;5.2.2;1700000000\n\
            what@x.test;550 no;;1700000000\n";
        assert_eq!(counts(&service, text), [2, 0, 0, 2, 0]);
        assert_eq!(entry(&service, "dead@x.test").0, "user-unknown");
        assert_eq!(entry(&service, "what@x.test").0, "provider-suppressed");
        let all = ImportOptions { all: true, dry_run: false };
        let done = import(&service, text, all);
        assert_eq!((done.suppressed, done.unchanged, done.left_out), (2, 2, 0), "{:?}", done.why);
        assert_eq!(entry(&service, "full@x.test").0, "mailbox-full");
        // A list that gives no reason, but the reply.
        let text = "p@x.test,550 5.1.1 no such user\nq@x.test,552 5.2.2 mailbox is full now\n";
        assert_eq!(counts(&service, text), [1, 0, 0, 1, 0]);
        assert_eq!(entry(&service, "p@x.test").0, "user-unknown");
        // Words that nobody understands: the code in front of them says who was refused.
        let text = "email,status,reason\nr@x.test,bounced,550 5.7.1 zxcvb\ns@x.test,bounced,451 zxcvb\n\
                    t@x.test,bounced,550 zxcvb\n";
        assert_eq!(counts(&service, text), [1, 0, 0, 2, 0]);
    }

    #[test]
    fn what_is_no_address_of_one_person_is_refused() {
        let dir = tempfile::tempdir().expect("scratch");
        let service = real(dir.path());
        for (text, why) in [
            ("*@x.test\n", "every address of a domain"),
            ("a@x.testb@x.test\n", "more than one address"),
            ("a b@x.test\n", "that is no address"),
            ("a:b@x.test\n", "that is no address"),
        ] {
            let done = import(&service, text, ImportOptions::default());
            assert_eq!((done.suppressed, done.refused), (0, 1), "{text}");
            assert!(done.refusals[0].why.contains(why), "{:?}", done.refusals);
            assert_eq!(done.refusals[0].cell, text.trim_end(), "the cell is shown");
        }
        let text = "\"a b\"@x.test\nAnn <a@x.test>\nmailto:c@x.test\n#d@x.test\n";
        assert_eq!(counts(&service, text), [4, 0, 0, 0, 0]);
        let found = service.suppression("a@x.test", None).expect("it answers");
        assert_eq!(found.map(|entry| entry["state"].clone()), Some(json!("suppressed")));
    }

    #[test]
    fn a_reply_begins_with_its_code() {
        for (words, code) in [
            ("550 no such user", Some("550")),
            ("550-5.1.1 no such user", Some("5.1.1")),
            ("550 5.7.1 no", Some("5.7.1")),
            ("5.1.1 no such user", Some("5.1.1")),
            ("452", Some("452")),
            ("asked by phone", None),
            ("5.1 of them", None),
            ("250 ok", None),
            ("", None),
        ] {
            assert_eq!(code_of(words), code, "{words}");
        }
    }
}
