//! Nodes on one shared journal in memory, which refuses, forgets to answer, lets others in between
//! turn and append, and goes away. `BOUNCED_SEEDS=10000 cargo test --lib shared` tries more.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::super::cluster::Share;
use super::super::follow::Follower;
use super::checkpoints::OLD;
use super::*;
use crate::ledger::journal::{Batch, Edit, seeds};
use crate::ledger::order::{
    Appended, Beat, Erasure, Journal, ListAt, News, OtherNode, Place, SharedCheckpoint,
    SharedJournal,
};

/// What all lines to the engine share.
#[derive(Default)]
pub(super) struct Common {
    /// Id and JSON of each record, and the place after it.
    pub(super) records: Vec<(String, String, Place)>,
    /// Records up to this one are gone.
    pub(super) gone: u64,
    /// Checkpoints that are whole, and parts.
    pub(super) checkpoints: Vec<SharedCheckpoint>,
    pub(super) parts: BTreeMap<(String, u32), Vec<u8>>,
    /// Who may write one.
    pub(super) writer: String,
    random: Random,
    /// Faults happen.
    is_bad: bool,
    is_away: bool,
    /// What became of the next append is not known.
    unknown: Option<Appended>,
    /// Position and hash of each erasure, and whether it is done.
    pub(super) erasures: Vec<(u64, String, bool)>,
    /// Records of nobody in particular so far.
    strangers: u64,
    /// What the list of each node that said so adds up to, by the chain and the erasures carried out.
    lists: BTreeMap<([u8; 32], u64), u64>,
    /// What happened, so that a test knows that it did.
    seen: BTreeMap<&'static str, u64>,
}

#[derive(Default)]
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

impl Common {
    pub(super) fn end(&self) -> Place {
        self.records.last().map_or(Place::default(), |record| record.2)
    }

    pub(super) fn place(&self, seq: u64) -> Option<Place> {
        match seq.checked_sub(1) {
            None => Some(Place::default()),
            Some(at) => self.records.get(at as usize).map(|record| record.2),
        }
    }

    fn push(&mut self, json: &str) {
        let id = serde_json::from_str::<Event>(json).expect("an event").id;
        let place = self.end().after(&id);
        self.records.push((id, json.to_string(), place));
    }

    /// Something bad happens once in `n` times.
    pub(super) fn fault(&mut self, what: &'static str, n: u64) -> bool {
        let happens = self.is_bad && self.random.below(n) == 0;
        if happens {
            *self.seen.entry(what).or_default() += 1;
        }
        happens
    }

    fn after(&self, at: &Place, limit: usize) -> Result<News, LedgerError> {
        if at.seq.max(1) <= self.gone {
            return Err(LedgerError::Outdated(format!("the records after {} are gone", at.seq)));
        }
        if self.place(at.seq) != Some(*at) {
            return Err(LedgerError::Forked(format!("{} is none of ours", at.seq)));
        }
        let new = self.records.iter().skip(at.seq as usize).take(limit);
        let lines: Vec<_> = new.map(|(_, json, place)| (place.seq, json.clone())).collect();
        let through = lines.last().and_then(|(seq, _)| self.place(*seq));
        let rewritten = self.erasures.iter().map(|erasure| erasure.0).max().unwrap_or(0);
        let first = self.gone + 1;
        Ok(News { lines, through: through.unwrap_or(*at), rewritten, first })
    }
}

#[derive(Clone, Default)]
pub(super) struct Shared(pub(super) Arc<Mutex<Common>>, Duration);

impl Shared {
    pub(super) fn ask(&self) -> Result<std::sync::MutexGuard<'_, Common>, LedgerError> {
        let mut common = lock(&self.0);
        if common.is_away || common.fault("away", 12) {
            return Err(LedgerError::Away("told to".to_string()));
        }
        Ok(common)
    }

    pub(super) fn share(&self) -> Share {
        let journal = self.clone();
        Share {
            connect: Box::new(move || Box::new(journal.clone())),
            patience: self.1,
            stale: Duration::ZERO,
            poll: Duration::ZERO,
        }
    }
}

impl Journal for Shared {
    fn turn(&mut self, at: &Place) -> Result<News, LedgerError> {
        let mut common = self.ask()?;
        let news = common.after(at, usize::MAX);
        // The lock of the turn was lost: somebody else appends all the same.
        if common.fault("moved on", 6) {
            common.strangers += 1;
            let n = 1_000_000 + common.strangers;
            let mut event = event(n, &format!("user{}@example.com", n % 9));
            event.seq = common.end().seq + 1;
            let json = serde_json::to_string(&event).expect("plain data");
            common.push(&json);
        }
        news
    }

    fn append(&mut self, at: &Place, batch: &Batch) -> Result<Appended, LedgerError> {
        let mut common = self.ask()?;
        if common.end() != *at {
            return Ok(Appended::MovedOn);
        }
        if common.fault("not done, and nobody says so", 8) {
            return Ok(Appended::Unknown("told to".to_string()));
        }
        batch.records().for_each(|(_, json)| common.push(json));
        if let Some(said) = common.unknown.take() {
            return Ok(said);
        }
        if common.fault("done, and nobody says so", 8) {
            return Ok(Appended::Unknown("told to".to_string()));
        }
        Ok(Appended::Done(common.end()))
    }

    fn pass(&mut self) -> Result<(), LedgerError> {
        self.ask().map(drop)
    }
}

impl SharedJournal for Shared {
    fn until(&mut self, _: Option<std::time::Instant>) {}

    fn find(&mut self, at: u64, tail: &[(u64, String)]) -> Result<Place, LedgerError> {
        let common = self.ask()?;
        if at.max(1) <= common.gone {
            return Err(LedgerError::Outdated(format!("the records after {at} are gone")));
        }
        let same = |(seq, id): &(u64, String)| {
            common.records.get(*seq as usize - 1).is_some_and(|record| record.0 == *id)
        };
        match common.place(at).filter(|_| tail.iter().all(same)) {
            Some(place) => Ok(place),
            None => Err(LedgerError::Forked(format!("{at} is none of ours"))),
        }
    }

    fn read(&mut self, at: &Place, limit: usize) -> Result<News, LedgerError> {
        self.ask()?.after(at, limit)
    }

    fn beat(&mut self, _: &Place, _: u64, lists: &[ListAt]) -> Result<Beat, LedgerError> {
        let mut common = self.ask()?;
        for ListAt { seq, erased, sum } in lists {
            let Some(place) = common.place(*seq) else { continue };
            if let Some(other) = common.lists.insert((place.chain, *erased), *sum) {
                assert_eq!(other, *sum, "two lists at {seq}");
                *common.seen.entry("a sum was compared").or_default() += 1;
            }
        }
        let end = common.end().seq;
        Ok(Beat { end, is_synchronous: true, ..Beat::default() })
    }

    fn peers(&mut self) -> Result<Vec<OtherNode>, LedgerError> {
        self.ask().map(|_| Vec::new())
    }

    fn erasures(&mut self) -> Result<Vec<Erasure>, LedgerError> {
        let common = self.ask()?;
        let erasures = common.erasures.iter();
        Ok(erasures.map(|(seq, _, is_done)| Erasure { seq: *seq, is_done: *is_done }).collect())
    }

    fn begin_erasure(&mut self, seq: u64, hash: &str) -> Result<(), LedgerError> {
        self.ask()?.erasures.push((seq, hash.to_string(), false));
        Ok(())
    }

    fn end_erasure(&mut self, hash: &str) -> Result<(), LedgerError> {
        for erasure in self.ask()?.erasures.iter_mut().filter(|erasure| erasure.1 == hash) {
            erasure.2 = true;
        }
        Ok(())
    }

    fn rewrite(&mut self, through: u64, edit: Edit<'_>) -> Result<u64, LedgerError> {
        let mut changed = 0;
        for (_, json, place) in &mut self.ask()?.records {
            if let Some(new) = edit(place.seq, json).filter(|_| place.seq <= through) {
                *json = new;
                changed += 1;
            }
        }
        Ok(changed)
    }
}

/// A fold of which every row depends on the order of all events before, and which looks back.
#[derive(Default)]
struct Ordered;

impl Fold for Ordered {
    fn fold(&mut self, rows: &mut dyn Rows, event: &mut Event) -> Result<(), LedgerError> {
        let address = event.result.as_ref().map_or("nobody", |result| &result.address);
        let mut hash = Sha256::new();
        hash.update(rows.get(b"order")?.unwrap_or_default());
        hash.update(event.seq.to_be_bytes());
        hash.update(&event.id);
        if event.seq.is_multiple_of(5) {
            let back = rows.event(event.seq - 3)?.map(|event| event.id);
            hash.update(back.expect("an event before"));
        }
        let order = hash.finalize().to_vec();
        rows.put(b"order".to_vec(), Some(order.clone()));
        rows.put(address.as_bytes().to_vec(), Some(order));
        Ok(())
    }

    fn touches(&self, event: &Event) -> Vec<String> {
        event.result.iter().map(|result| result.address.clone()).collect()
    }
}

/// The fold of these tests.
pub(super) fn ordered() -> Box<dyn Fold> {
    Box::new(Ordered)
}

/// One node, and its disk.
pub(super) struct Node {
    pub(super) bench: StoreBench,
    shared: Shared,
    ledger: Option<SledLedger>,
}

impl Node {
    pub(super) fn new(seed: u64, shared: &Shared) -> Self {
        // Some wait for an engine that is away, some send the mail back.
        let patience = Duration::from_secs(seed % 2 * 3600);
        let shared = Shared(Arc::clone(&shared.0), patience);
        let mut node = Self { bench: StoreBench::new(seed), shared, ledger: None };
        node.restart();
        node
    }

    /// One that is open already.
    pub(super) fn of(bench: StoreBench, shared: &Shared, ledger: SledLedger) -> Self {
        Self { bench, shared: shared.clone(), ledger: Some(ledger) }
    }

    pub(super) fn restart(&mut self) {
        self.ledger = None;
        let (disk, options) = (Arc::new(self.bench.disk.clone()), self.bench.options.clone());
        let share = Some(self.shared.share());
        let opened = SledLedger::open_on(disk, None, options, ordered(), share);
        self.ledger = Some(opened.expect("a start"));
    }

    pub(super) fn ledger(&self) -> &SledLedger {
        self.ledger.as_ref().expect("open")
    }

    pub(super) fn follow(&self) -> Result<(), LedgerError> {
        let engine = &self.ledger().engine;
        let cluster = engine.cluster.as_ref().expect("it joined");
        let mut follower = Follower::new(cluster);
        while follower.step(engine, cluster)? {}
        Ok(())
    }

    pub(super) fn digest(&self) -> String {
        self.follow().expect("the engine is well");
        self.ledger().digest().expect("ready")
    }
}

/// One random life of some nodes; gives what went wrong in it.
fn live(seed: u64) -> BTreeMap<&'static str, u64> {
    let shared = Shared::default();
    *lock(&shared.0) = Common { random: Random(seed), is_bad: true, ..Common::default() };
    let below = |n| lock(&shared.0).random.below(n);
    let mut nodes: Vec<Node> = (0..2 + below(2)).map(|n| Node::new(seed + n, &shared)).collect();
    let (mut next, mut waiting, mut stored) = (1, BTreeSet::new(), BTreeMap::new());
    for _ in 0..60 {
        let at = below(nodes.len() as u64) as usize;
        match below(10) {
            0 => nodes[at].restart(),
            1 | 2 => drop(nodes[at].follow()),
            3 if below(3) == 0 => nodes.push(Node::new(seed + 10 + nodes.len() as u64, &shared)),
            3 => {
                let _ = nodes[at].ledger().checkpoint(Timestamp::from_millis(i64::MAX));
                lock(&shared.0).checkpoints.iter_mut().for_each(|c| c.age = OLD);
                let _ = nodes[at].share();
            }
            _ => {
                // New mail, mail that was not acknowledged, and mail that was.
                let mut ns: BTreeSet<u64> = (next..next + below(4)).collect();
                next += ns.len() as u64;
                ns.extend(waiting.iter().copied().filter(|_| below(2) == 0));
                ns.extend(stored.keys().copied().filter(|_| below(30) == 0));
                commit(&nodes[at], &ns, &mut waiting, &mut stored);
            }
        }
    }
    let seen = {
        let mut common = lock(&shared.0);
        common.is_bad = false;
        common.seen.clone()
    };
    for node in &nodes {
        node.follow().expect("the engine is well");
    }
    commit(&nodes[0], &waiting.clone(), &mut waiting, &mut stored);
    assert!(waiting.is_empty(), "seed {seed}: {waiting:?}");
    let digests: Vec<String> = nodes.iter().map(Node::digest).collect();
    nodes.push(Node::new(seed + 9, &shared));
    let fresh = nodes.last().map(Node::digest);
    assert!(digests.iter().all(|digest| Some(digest) == fresh.as_ref()), "seed {seed}");
    let common = lock(&shared.0);
    assert_eq!(wrong(&common.records, &stored), Vec::<String>::new(), "seed {seed}");
    let all = next - 1 + common.strangers;
    assert_eq!(common.records.len() as u64, all, "seed {seed}: an event is lost");
    seen
}

/// What is wrong with a journal: events that are there twice, and those that were acknowledged at a
/// position and are not there.
fn wrong(records: &[(String, String, Place)], stored: &BTreeMap<u64, u64>) -> Vec<String> {
    let (mut ids, mut wrong) = (BTreeMap::new(), Vec::new());
    for (id, _, place) in records {
        if ids.insert(id.as_str(), place.seq).is_some() {
            wrong.push(format!("{id} is there twice"));
        }
    }
    let lost = stored.iter().filter(|(n, seq)| ids.get(format!("id-{n}").as_str()) != Some(seq));
    wrong.extend(lost.map(|(n, seq)| format!("id-{n} is not at {seq}")));
    wrong
}

fn commit(
    node: &Node,
    ns: &BTreeSet<u64>,
    waiting: &mut BTreeSet<u64>,
    stored: &mut BTreeMap<u64, u64>,
) {
    let mut events: Vec<Event> =
        ns.iter().map(|n| event(*n, &format!("user{}@example.com", n % 9))).collect();
    waiting.extend(ns.iter().copied().filter(|n| !stored.contains_key(n)));
    if let Ok(committed) = node.ledger().commit(&mut events) {
        for (n, committed) in ns.iter().zip(committed) {
            assert_eq!(committed.id, format!("id-{n}"));
            assert_eq!(*stored.entry(*n).or_insert(committed.seq), committed.seq, "{n} twice");
            waiting.remove(n);
        }
    }
}

#[test]
fn nodes_agree_whatever_the_engine_does() {
    let seen: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    each(1..=seeds::seeds(15), |seed| {
        for (what, times) in live(seed * 100) {
            *lock(&seen).entry(what).or_default() += times;
        }
    });
    let seen = lock(&seen);
    println!("{seen:?}");
    assert!(seen.len() == 6 && seen.values().all(|times| *times > 5), "{seen:?}");
}

/// What the checks of these tests must find: they are no proof otherwise.
#[test]
fn the_checks_find_what_a_careless_engine_does() {
    // The outcome of a commit is looked up by its ids; who takes it for none commits again. Only mail
    // has a digest, by which it would be known.
    for (said, found) in
        [(Appended::Unknown("told to".to_string()), None), (Appended::MovedOn, Some("twice"))]
    {
        let shared = Shared::default();
        let node = Node::new(1, &shared);
        node.follow().expect("nothing there yet");
        lock(&shared.0).unknown = Some(said);
        let mut act = Event { digest: None, ..event(1, "user1@example.com") };
        let done = node.ledger().commit(std::slice::from_mut(&mut act)).expect("committed");
        let stored = BTreeMap::from([(1, done[0].seq)]);
        let wrong = wrong(&lock(&shared.0).records, &stored);
        assert_eq!(wrong.len(), found.iter().len(), "{wrong:?}");
        assert!(found.is_none_or(|found| wrong[0].contains(found)), "{wrong:?}");
    }
    // A failover to a standby that was not waited for.
    let shared = Shared::default();
    let node = Node::new(1, &shared);
    node.follow().expect("nothing there yet");
    let done = node.ledger().commit(&mut batch(1, 10)).expect("committed");
    let stored = (1..).zip(done.iter().map(|done| done.seq)).collect();
    lock(&shared.0).records.truncate(7);
    let wrong = wrong(&lock(&shared.0).records, &stored);
    assert_eq!(wrong, ["id-8 is not at 8", "id-9 is not at 9", "id-10 is not at 10"]);
}

/// A batch that others were quicker with is tried again, and what they committed of it is a repetition
/// then. It must not be taken for the record at the position that it would have had.
#[test]
fn what_others_committed_meanwhile_has_no_position_of_its_own() {
    let shared = Shared::default();
    let node = Node::new(1, &shared);
    node.follow().expect("nothing there yet");
    node.ledger().commit(&mut batch(1, 10)).expect("committed");
    // The fold looks back from 15 to 12.
    let repeated = Event { seq: 12, ..batch(3, 1).remove(0) };
    let mut mail = vec![repeated];
    mail.extend(batch(11, 5));
    let committed = node.ledger().commit(&mut mail).expect("committed");
    assert!(committed[0].duplicate && committed[0].seq == 3, "{committed:?}");
    assert_eq!(committed.last().map(|last| last.seq), Some(15));
    assert_eq!(node.digest(), Node::new(2, &shared).digest());
}

#[test]
fn a_lost_history_is_found_out() {
    let shared = Shared::default();
    let node = Node::new(1, &shared);
    node.follow().expect("nothing there yet");
    node.ledger().commit(&mut batch(1, 10)).expect("committed");
    // A failover to a server that had seven of them; others go on there.
    lock(&shared.0).records.truncate(7);
    let refused = node.ledger().commit(&mut batch(11, 1)).expect_err("lost");
    assert!(matches!(refused, LedgerError::Forked(_)), "{refused}");
    let other = Node::new(2, &shared);
    other.follow().expect("seven");
    other.ledger().commit(&mut batch(20, 10)).expect("committed");
    assert!(node.follow().is_err());
    assert!(matches!(node.ledger().stuck(), Some(LedgerError::Forked(_))));
    // What it has is answered until somebody takes the copy anew.
    assert!(node.ledger().look_up(&[b"order".to_vec()]).expect("ready")[0].is_some());
    // Nor does it come in by a restart.
    let mut node = node;
    node.restart();
    assert!(matches!(node.follow(), Err(LedgerError::Forked(_))));
    let refused = node.ledger().commit(&mut batch(11, 1)).expect_err("not compared");
    assert!(matches!(refused, LedgerError::Forked(_) | LedgerError::Away(_)), "{refused}");
}

#[test]
fn questions_go_on_while_the_engine_is_away_until_they_are_stale() {
    let shared = Shared::default();
    let mut node = Node::new(6, &shared);
    node.follow().expect("nothing there yet");
    node.ledger().commit(&mut batch(1, 10)).expect("committed");
    lock(&shared.0).is_away = true;
    for _ in 0..2 {
        let refused = node.ledger().commit(&mut batch(11, 1)).expect_err("away");
        assert!(matches!(refused, LedgerError::Away(_)), "{refused}");
        assert!(node.ledger().look_up(&[b"order".to_vec()]).expect("ready")[0].is_some());
        assert!(node.ledger().status().trouble.is_some_and(|why| why.contains("away")));
        // Also of a process that never heard of it.
        node.restart();
    }
    lock(&shared.0).is_away = false;
    node.follow().expect("back");
    node.ledger().commit(&mut batch(11, 1)).expect("committed");
    assert_eq!(node.ledger().status().trouble, None);
}

#[test]
fn what_cannot_be_copied_comes_back() {
    let shared = Shared::default();
    let node = Node::new(4, &shared);
    node.follow().expect("nothing there yet");
    node.ledger().commit(&mut batch(1, 10)).expect("committed");
    // The write of the copy fails, and what mends it.
    let disk = &node.bench.disk;
    disk.fail(disk.operations() + 1, 3, DiskFault::Broken);
    let committed = node.ledger().commit(&mut batch(11, 5));
    let end = lock(&shared.0).records.len() as u64;
    if committed.is_ok() {
        assert_eq!(end, 15, "acknowledged is what the engine has");
    }
    disk.heal();
    node.follow().expect("it takes them as what others wrote");
    assert_eq!(node.ledger().status().last_seq, end);
    node.ledger().commit(&mut batch(11, 5)).expect("committed, now or before");
    let fresh = Node::new(5, &shared);
    assert_eq!(node.digest(), fresh.digest());
    assert_eq!(ids(node.ledger()).len(), 15);
}

/// Records of before an erasure and lines of after it never meet in one copy.
#[test]
fn a_node_that_missed_an_erasure_begins_anew() {
    let shared = Shared::default();
    let (mut asked, mut away) = (Node::new(1, &shared), Node::new(2, &shared));
    asked.follow().expect("nothing there yet");
    asked.ledger().commit(&mut batch(1, 10)).expect("committed");
    away.follow().expect("ten");
    let committed = asked.ledger().commit(&mut batch(11, 1)).expect("committed");
    let act = committed[0].seq;
    Others::begin_erasure(asked.ledger(), act, "hash").expect("the engine is well");
    // One that had the act goes on; one that had a part before it does not, nor after a restart.
    asked.follow().expect("it has the act");
    for _ in 0..2 {
        assert!(matches!(away.follow(), Err(LedgerError::Outdated(_))));
        let refused = away.ledger().commit(&mut batch(20, 1)).expect_err("outdated");
        assert!(matches!(refused, LedgerError::Outdated(_) | LedgerError::Away(_)), "{refused}");
        away.restart();
    }
    // A new one waits until all lines are as they will be.
    let mut new = Node::new(3, &shared);
    assert!(matches!(new.follow(), Err(LedgerError::Retryable(_))));
    let line =
        &mut |_: u64, line: &str| line.contains("user3@").then(|| line.replace("user3@", "gone@"));
    let changed = Others::end_erasure(asked.ledger(), act, "hash", line).expect("well");
    assert!(changed > 0);
    new.follow().expect("all of it");
    assert_eq!(new.ledger().status().last_seq, act);
    // It goes on after a restart, and past the next erasure that it follows.
    new.restart();
    asked.ledger().commit(&mut batch(12, 5)).expect("committed");
    new.follow().expect("five more");
    let end = new.ledger().status().last_seq;
    Others::begin_erasure(asked.ledger(), end, "other").expect("the engine is well");
    new.follow().expect("it has the act");
    assert_eq!(Others::erasures_due(new.ledger()), Ok(vec![end]));
    Others::erasure_is_done(new.ledger(), end).expect("written down");
    new.restart();
    assert_eq!(Others::erasures_due(new.ledger()), Ok(vec![]));
    assert_eq!(Others::erasures_due(asked.ledger()), Ok(vec![act, end]));
    asked.restart();
    asked.follow().expect("its copy is whole");
}
