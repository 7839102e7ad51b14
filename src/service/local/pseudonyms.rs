//! The pseudonyms under which addresses are stored. With `privacy.addresses = "hashed"` no address
//! gets into the ledger: each becomes `h-<HMAC-SHA256, 32 hex digits>@its.domain` in every
//! text of an event before it is journalled, and the same happens to the address of a question, so
//! journal, checkpoints and view hold nothing that names a person, and the one who knows an
//! address finds it. The domain stays: guards, health and lists by domain need it. So do addresses of
//! programs (`postmaster`, `mailer-daemon`): they name no person, and the policy must know them.
//!
//! Names are stable, so that evidence on one address meets: `data_dir/naming` says under which key
//! they were made, and another one is refused. Deliberately not reached: bare local parts in
//! wordings ("jane.roe unknown"), which nobody can tell from words, and Message-IDs of our own
//! mail, by which a mail is found again.

use std::path::Path;

use serde_json::Value;

use crate::event::Event;
use crate::ledger::journal::Disk;
use crate::ledger::small_file;
use crate::mail::{Address, Case};
use crate::policy::{Forgotten, HashKeys, is_program, touched};
use crate::report::addresses;

/// What a hashed local part begins with.
const MARK: &str = "h-";
/// Digits of the hash after it.
const DIGITS: usize = 32;
/// Fields that hold no addresses, though they may look like one.
const NO_ADDRESS: &str = "message_id";

/// Where it is written down by which key names are made, in the data directory.
const FILE: &str = "naming";

/// How addresses are written down.
#[derive(Debug, Default)]
pub(super) struct Pseudonyms {
    /// None: as they are.
    key: Option<HashKeys>,
    /// Whether local parts that differ in case have one name.
    case: Case,
}

impl Pseudonyms {
    /// It is written down already how the addresses of a data directory are named.
    pub(super) fn are_chosen(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    /// Names for a data directory `dir`, which is the disk's; `key`: they are hashed. `empty`:
    /// nothing is stored there yet. The error is a sentence for the operator.
    pub(super) fn open(
        disk: &dyn Disk,
        dir: &Path,
        key: Option<&[u8]>,
        case: Case,
        empty: bool,
    ) -> Result<Self, String> {
        let key = key.map(|key| HashKeys::new([key]));
        let wanted = key.as_ref().map(|key| hash(key, "naming"));
        let file = dir.join(FILE);
        let stored = small_file::read(disk, FILE)
            .map_err(|error| format!("{} cannot be read: {error}", file.display()))?
            .map(|text| text.trim().to_string());
        let shown = dir.display();
        match (&stored, &wanted) {
            (stored, wanted) if stored == wanted => {}
            (None, Some(wanted)) if empty => {
                small_file::replace(disk, FILE, &format!("{wanted}\n"))
                    .map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
            }
            (None, _) => {
                return Err(format!(
                    "privacy.addresses is \"hashed\", but {shown} holds plain addresses: export \
                     them with \"plain\", start with an empty data_dir, and import them"
                ));
            }
            (Some(_), None) => {
                return Err(format!(
                    "privacy.addresses is \"plain\", but the addresses in {shown} are hashed, which \
                     nobody can undo: write \"hashed\", or start with an empty data_dir"
                ));
            }
            (Some(_), Some(_)) => {
                return Err(format!(
                    "privacy.hash_key_file holds another key than the one by which the addresses in \
                     {shown} are hashed: bring that one back, or start with an empty data_dir"
                ));
            }
        }
        Ok(Self { key, case })
    }

    /// Addresses are written down as pseudonyms.
    pub(super) fn is_hashed(&self) -> bool {
        self.key.is_some()
    }

    /// The name of an address; itself when it is a name already, or names a program.
    pub(super) fn of(&self, address: &Address) -> Address {
        match &self.key {
            Some(key) if !is_name(address) && !is_program(address.local()) => {
                let key_form = address.key_in(self.case);
                let (_, domain) = key_form.rsplit_once('@').unwrap_or_default();
                let digits = hash(key, &key_form);
                Address::parse(&format!("{MARK}{digits}@{domain}")).unwrap_or(address.clone())
            }
            _ => address.clone(),
        }
    }

    /// The event without addresses. None: it cannot be written without them.
    pub(super) fn pseudonymise(&self, event: Event) -> Option<Event> {
        let Some(key) = &self.key else { return Some(event) };
        let parsed = touched(&event, self.case).into_iter().filter_map(|a| Address::parse(&a));
        // The address it is about, in any spelling; for others `user=example.com` is not one.
        let about: Vec<Forgotten> = parsed
            .map(|address| {
                let (key, name) = (address.key_in(self.case), self.of(&address));
                Forgotten::instead(&key, name.to_string(), self.case)
            })
            .collect();
        let mut value = serde_json::to_value(&event).ok()?;
        self.pseudonymise_value(&mut value, &about, "");
        let mut event: Event = serde_json::from_value(value).ok()?;
        // Without the key nobody can try addresses on it.
        event.digest = event.digest.map(|digest| hash(key, &digest));
        Some(event)
    }

    fn pseudonymise_value(&self, value: &mut Value, about: &[Forgotten], field: &str) {
        match value {
            Value::String(text) if text.contains(['@', '=', '%']) => {
                for person in about {
                    if let Some(written) = person.blot(text) {
                        *text = written;
                    }
                }
                if field != NO_ADDRESS {
                    *text = self.pseudonymise_text(text);
                }
            }
            Value::Array(values) => {
                values.iter_mut().for_each(|value| self.pseudonymise_value(value, about, field));
            }
            Value::Object(fields) => {
                fields
                    .iter_mut()
                    .for_each(|(name, value)| self.pseudonymise_value(value, about, name));
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A text with the name of each address in its place.
    fn pseudonymise_text(&self, text: &str) -> String {
        // A field that is one address may have a domain without a dot.
        if let Some(whole) = Address::parse(text) {
            return self.of(&whole).to_string();
        }
        let (mut written, mut done) = (String::with_capacity(text.len()), 0);
        for (address, span) in addresses::spans(text) {
            written.push_str(text.get(done..span.start).unwrap_or_default());
            written.push_str(self.of(&address).as_str());
            done = span.end;
        }
        written.push_str(text.get(done..).unwrap_or_default());
        written
    }

    /// An answer about an address, as the caller knows it.
    pub(super) fn reveal(&self, answer: &mut Value, asked: &Address) {
        if self.key.is_some() {
            replace(answer, self.of(asked).as_str(), &asked.key_in(self.case));
        }
    }

    /// By what their key is known; None: there is none.
    pub(super) fn fingerprint(&self) -> Option<String> {
        self.key.as_ref().map(|key| hash(key, "naming"))
    }

    /// Whether names under this key are these names.
    pub(super) fn is_under(&self, key: Option<&[u8]>) -> bool {
        let name = |key: &HashKeys| hash(key, "naming");
        self.key.as_ref().map(name) == key.map(|key| name(&HashKeys::new([key])))
    }
}

fn hash(key: &HashKeys, text: &str) -> String {
    let hash = key.hashes(text).into_iter().next().unwrap_or_default();
    hash.get(..DIGITS).unwrap_or_default().to_string()
}

fn is_name(address: &Address) -> bool {
    address.local().strip_prefix(MARK).is_some_and(|digits| {
        digits.len() == DIGITS
            && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

fn replace(value: &mut Value, old: &str, new: &str) {
    match value {
        Value::String(text) if text.contains(old) => *text = text.replace(old, new),
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, old, new)),
        Value::Object(fields) => fields.values_mut().for_each(|value| replace(value, old, new)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Act, EventType, Imported};
    use crate::ledger::journal::RealDisk;
    use crate::mail::Timestamp;

    fn address(text: &str) -> Address {
        Address::parse(text).expect("an address of the test")
    }

    fn hashed() -> Pseudonyms {
        Pseudonyms { key: Some(HashKeys::new([&b"a key of the test"[..]])), case: Case::Fold }
    }

    #[test]
    fn one_address_has_one_name_and_the_domain_stays() {
        let pseudonyms = hashed();
        let name = pseudonyms.of(&address("Jane@Example.COM"));
        assert_eq!(name, pseudonyms.of(&address("jane@example.com")));
        assert_eq!(name, pseudonyms.of(&name), "a name is its own");
        assert_eq!((name.domain(), name.local().len()), ("example.com", 34));
        assert_ne!(name, pseudonyms.of(&address("jane@example.net")));
        for program in ["postmaster@example.net", "MAILER-DAEMON@mx.example.net"] {
            assert_eq!(pseudonyms.of(&address(program)), address(program), "it names no person");
        }
        assert_ne!(
            name,
            Pseudonyms { key: Some(HashKeys::new([&b"another"[..]])), case: Case::Fold }
                .of(&address("jane@example.com"))
        );
        assert_eq!(
            Pseudonyms::default().of(&address("Jane@Example.COM")).as_str(),
            "Jane@example.com"
        );
    }

    #[test]
    fn no_text_of_an_event_keeps_an_address() {
        let pseudonyms = hashed();
        let reason = "jane@example.com and <Other@Example.net> asked: jane=example.com, \
                      http://example.net/x?r=jane%40example.com";
        let mut event = Event::new(EventType::Act, "e1".into(), Timestamp::from_millis(0));
        event.digest = Some("00ff".into());
        event.act = Some(Act::Suppress {
            address: "jane@example.com".into(),
            scope: "*".into(),
            reason: reason.into(),
            until: None,
            imported: Imported::default(),
        });
        assert_eq!(Pseudonyms::default().pseudonymise(event.clone()), Some(event.clone()));
        let written = pseudonyms.pseudonymise(event.clone()).expect("plain data");
        let text = serde_json::to_string(&written).expect("plain data").to_lowercase();
        assert!(!text.contains("jane") && !text.contains("other@"), "{text}");
        let name = pseudonyms.of(&address("jane@example.com"));
        assert_eq!(text.matches(name.as_str()).count(), 3, "{text}");
        assert_ne!(written.digest, event.digest);
        let again =
            pseudonyms.pseudonymise(Event { digest: event.digest.clone(), ..written.clone() });
        assert_eq!(again, Some(written), "names stay as they are");
        let mut answer = serde_json::json!({"events": [{"said": format!("<{name}> is gone")}]});
        pseudonyms.reveal(&mut answer, &address("Jane@example.com"));
        assert_eq!(answer["events"][0]["said"], "<jane@example.com> is gone");
    }

    #[test]
    fn with_case_kept_two_cases_have_two_names() {
        let pseudonyms = Pseudonyms { case: Case::Keep, ..hashed() };
        let (one, two) = (address("Jane@example.com"), address("jane@example.com"));
        assert_ne!(pseudonyms.of(&one), pseudonyms.of(&two));
        for person in [&one, &two] {
            let mut event = Event::new(EventType::Act, "e1".to_string(), Timestamp::default());
            let (address, scope) = (person.to_string(), "*".to_string());
            let reason = "like Jane@example.com and jane@example.com".to_string();
            event.act = Some(Act::Suppress {
                address,
                scope,
                reason,
                until: None,
                imported: Imported::default(),
            });
            let written = pseudonyms.pseudonymise(event).expect("plain data");
            let name = pseudonyms.of(person).to_string();
            assert_eq!(touched(&written, Case::Keep), [name]);
            let text = serde_json::to_string(&written).expect("plain data").to_lowercase();
            assert!(!text.contains("jane"), "{text}");
        }
    }

    #[test]
    fn names_of_another_kind_or_key_are_refused() {
        let dir = tempfile::tempdir().expect("scratch");
        let disk = RealDisk::new(dir.path()).expect("scratch");
        let open = |key: Option<&[u8]>, empty| {
            Pseudonyms::open(&disk, dir.path(), key, Case::Fold, empty).map(|n| n.key.is_some())
        };
        assert_eq!(open(None, true), Ok(false));
        assert!(open(Some(b"one"), false).is_err_and(|why| why.contains("holds plain addresses")));
        assert_eq!(open(Some(b"one"), true), Ok(true));
        assert_eq!(open(Some(b"one"), false), Ok(true));
        assert!(open(None, false).is_err_and(|why| why.contains("nobody can undo")));
        assert!(open(Some(b"two"), false).is_err_and(|why| why.contains("another key")));
    }
}
