//! Forgetting a person is neutral: whatever is erased and whenever, everybody else stands as if it
//! had not been, and what is left of the person stands the same live and after a rebuild from the
//! journal alone.

use bounced::classify::Reason;
use bounced::event::{Act, Event, EventType, Imported};
use bounced::ledger::{Fold, MemoryRows};
use bounced::mail::{Address, Case, Timestamp};
use bounced::policy::{Forgotten, HashKeys, Policy, PolicyFold, block_key, touched};
use bounced::report::Kind;
use bounced::service::redaction::Redaction;

use crate::support::*;

const PEOPLE: [&str; 20] = [
    "a@example.com",
    "b@example.com",
    "c@example.com",
    "d@example.com",
    "e@example.com",
    "f@example.com",
    "g@example.com",
    "h@example.com",
    "i@gmail.com",
    "j@gmail.com",
    "k@gmail.com",
    "l@gmail.com",
    "m@gmail.com",
    "n@gmail.com",
    "o@gmail.com",
    "p@gmail.com",
    "q@example.org",
    "r@example.org",
    "s@example.org",
    "t@web.de",
];
const REASONS: [Reason; 5] = [
    Reason::UserUnknown,
    Reason::MailboxInactive,
    Reason::MailboxFull,
    Reason::Blocked,
    Reason::DomainUnknown,
];

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((self.0 >> 33) % n as u64) as usize
    }

    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

fn keys() -> HashKeys {
    HashKeys::new([&b"a secret"[..]])
}

/// One with erasures, as the service does them.
struct Live {
    rows: Memory,
    fold: PolicyFold,
}

impl Live {
    fn new(policy: &Policy) -> Self {
        let mut live = Self { rows: MemoryRows::default(), fold: PolicyFold::new() };
        live.put(0, act(policy.act()));
        live
    }

    fn put(&mut self, at_ms: i64, mut event: Event) {
        event.seq = self.rows.journal.len() as u64 + 1;
        event.id = format!("e{}", event.seq);
        event.received_at = Timestamp::from_millis(at_ms);
        for address in touched(&event, Case::Fold) {
            let hash = keys().hashes(&address).remove(0);
            if self.rows.rows.contains_key(&block_key(&hash)) {
                event.erased.push((address, hash));
            }
        }
        self.fold.fold(&mut self.rows, &mut event).expect("memory");
        self.rows.journal.push(event);
    }

    fn erase(&mut self, at_ms: i64, address: &str) {
        let hash = keys().hashes(address).remove(0);
        self.put(at_ms, act(Act::Erase { address: address.to_string(), hash: hash.clone() }));
        let forgotten = Forgotten::new(address, &hash, Case::Fold);
        let keys = keys();
        let redaction = Redaction::new(&forgotten, &keys);
        for event in &mut self.rows.journal {
            let line = serde_json::to_string(event).expect("plain data");
            if let Some((_, line)) = redaction.line(&line) {
                *event = serde_json::from_str(&line).expect("still an event");
            }
        }
        for value in self.rows.rows.values_mut() {
            if let Some(new) = forgotten.row(value) {
                *value = new;
            }
        }
    }

    /// From the journal alone.
    fn rebuilt(&self) -> Memory {
        let mut rows = MemoryRows::over(self.rows.journal.clone());
        let mut fold = PolicyFold::new();
        for event in &self.rows.journal {
            fold.fold(&mut rows, &mut event.clone()).expect("memory");
        }
        rows
    }
}

fn act(act: Act) -> Event {
    let mut event = blank(EventType::Act);
    event.act = Some(act);
    event
}

fn event(random: &mut Random, n: usize) -> Event {
    // From time to time a provider fails: many are refused within minutes.
    if n % 30 < 12 {
        return failure(PEOPLE[(n + n / 30 * 8) % 16], Reason::UserUnknown);
    }
    let who = random.of(&PEOPLE);
    let other = random.of(&PEOPLE);
    let mut event = match random.below(12) {
        0..=5 => failure(who, random.of(&REASONS)),
        6 => message(Kind::AutoReply, who),
        7 => message(Kind::Complaint, who),
        8 => result("sent", who, None),
        // A forwarded mail: the report is about another address than the one that was mailed.
        9 => signed(failure(other, random.of(&REASONS)), who, &format!("b-{n}"), None),
        10 => result("delivered", who, None),
        _ => act(Act::Suppress {
            address: who.to_string(),
            scope: random.of(&["*", "news"]).to_string(),
            reason: format!("as {other} asked"),
            until: None,
            imported: Imported::default(),
        }),
    };
    if event.event_type == EventType::Message && random.below(2) == 0 {
        event = about(event, &format!("<m{}@example.net>", random.below(30)));
    }
    event
}

fn pause(random: &mut Random, n: usize) -> i64 {
    match n % 30 {
        0 => 9 * DAY,
        1..12 => MINUTE / 2,
        _ => random.of(&[MINUTE, MINUTE, 20 * MINUTE, HOUR, 5 * HOUR, DAY]),
    }
}

/// Small numbers, so that guards trip and get calm.
fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.outage.min_recipients = 3;
    policy.blast.per_hour = 4;
    policy
}

/// The rows of one history by key, without those that only hold hashes of mails and pass away: they
/// tell a mail that was seen before.
fn comparable(rows: &Memory) -> Vec<(String, String)> {
    let kept =
        rows.rows.iter().filter(|(key, _)| !key.starts_with(b"i/") && !key.starts_with(b"m/twin/"));
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    kept.map(|(key, value)| (text(key), text(value))).collect()
}

/// What differs, or nothing.
fn difference(mine: &[(String, String)], theirs: &[(String, String)]) -> String {
    let only = |a: &[(String, String)], b: &[(String, String)]| {
        let rows = a.iter().filter(|row| !b.contains(row));
        rows.map(|(key, value)| format!("  {key} = {value}\n")).collect::<String>()
    };
    let (mine, theirs) = (only(mine, theirs), only(theirs, mine));
    if mine.is_empty() && theirs.is_empty() {
        return String::new();
    }
    format!("\n{mine} against\n{theirs}")
}

#[test]
fn nobody_else_stands_otherwise_and_a_rebuild_says_the_same() {
    let seeds = std::env::var("BOUNCED_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let (mut held, mut suppressed, mut guards) = (0, 0, 0);
    for seed in 1..=seeds {
        let mut random = Random(seed);
        let (mut live, mut control) = (Live::new(&policy()), Live::new(&policy()));
        let (mut at, mut erased) = (0, Vec::new());
        for n in 0..20 + random.below(60) {
            at += pause(&mut random, n);
            if random.below(10) == 0 {
                let person = random.of(&PEOPLE);
                live.erase(at, person);
                control.put(at, blank(EventType::Message));
                erased.push(person);
                // What is left of them stops mail as long as the whole would have.
                let standing = |rows: &Memory, at: i64| {
                    let book = Book::over(rows.clone());
                    book.reader.set_hash_keys(keys().into());
                    book.state(person, at)
                };
                if erased.iter().filter(|e| **e == person).count() == 1 {
                    for later in [0, HOUR, DAY, 10 * DAY] {
                        let was = standing(&control.rows, at + later);
                        let is = standing(&live.rows, at + later);
                        let stops = |state: &str| matches!(state, "held" | "suppressed");
                        if later == 0 && stops(&was) {
                            held += usize::from(was == "held");
                            suppressed += usize::from(was == "suppressed");
                            assert_eq!(is, was, "seed {seed}: {person}");
                        }
                        if was == "held" && standing(&control.rows, at) == "held" {
                            assert_eq!(is, "held", "seed {seed}: {person} after {later}");
                        }
                    }
                }
            } else {
                let event = event(&mut random, n);
                // The erased may stand otherwise from here on: their evidence is no matter here.
                let about_erased = touched(&event, Case::Fold)
                    .iter()
                    .any(|address| erased.contains(&address.as_str()));
                if about_erased {
                    // Only the live one, or the guards would differ by right.
                    continue;
                }
                live.put(at, event.clone());
                control.put(at, event);
            }
        }
        let differs = difference(&comparable(&live.rows), &comparable(&live.rebuilt()));
        assert!(differs.is_empty(), "{differs} seed {seed}: rebuilt");
        let mut of_others = comparable(&control.rows);
        let keys_of: Vec<String> = erased
            .iter()
            .map(|who| Address::parse(who).expect("an address").key())
            .flat_map(|who| {
                let (local, domain) = who.rsplit_once('@').expect("whole");
                let labels: Vec<&str> = domain.rsplit('.').collect();
                ["a/", "l/"].map(|space| format!("{space}{}/{local}", labels.join(".")))
            })
            .collect();
        of_others.retain(|(key, _)| !keys_of.contains(key) && !key.starts_with("m/"));
        let mut mine = comparable(&live.rows);
        mine.retain(|(key, _)| !key.starts_with("x/") && !key.starts_with("m/"));
        // What is said of the erased in words about others is blotted out by right.
        for (_, value) in of_others.iter_mut().chain(&mut mine) {
            for who in &erased {
                let hash = keys().hashes(who).remove(0);
                if let Some(new) = Forgotten::new(who, &hash, Case::Fold).blot(value) {
                    *value = new;
                }
            }
        }
        let differs = difference(&mine, &of_others);
        assert!(differs.is_empty(), "{differs} seed {seed}: others");
        guards += mine
            .iter()
            .filter(|(key, _)| key.starts_with("g/o/") || key.starts_with("g/c/"))
            .count();
    }
    assert!(held > 2 && suppressed > 20 && guards > 5, "{held} {suppressed} {guards}: too tame");
}

#[test]
fn new_evidence_on_the_erased_says_the_same_after_a_rebuild() {
    for seed in 1..=40 {
        let mut random = Random(seed * 7919);
        let mut live = Live::new(&policy());
        let mut at = 0;
        for n in 0..20 + random.below(60) {
            at += pause(&mut random, n);
            if random.below(10) == 0 {
                let person = random.of(&PEOPLE);
                live.erase(at, person);
            } else {
                let event = event(&mut random, n);
                live.put(at, event);
            }
        }
        let differs = difference(&comparable(&live.rows), &comparable(&live.rebuilt()));
        assert!(differs.is_empty(), "{differs} seed {seed}");
    }
}
