//! Shared checkpoints: nodes on one journal in memory write them, begin with them, and forget in them.

use super::super::newcomer;
use super::shared::*;
use super::*;
use crate::event::Act;
use crate::ledger::order::{Place, SharedCheckpoint, SharedCheckpoints, Stock};

/// How far back the fold of these tests looks.
const BACK: u64 = 5;

/// A checkpoint of so long ago is old.
pub(super) const OLD: Duration = Duration::from_secs(2 * 86_400);

impl SharedCheckpoints for Shared {
    fn stock(&mut self) -> Result<Stock, LedgerError> {
        let common = self.ask()?;
        let erased = common.erasures.iter().map(|erasure| erasure.0).max().unwrap_or(0);
        let mut usable = common.checkpoints.clone();
        usable.retain(|checkpoint| checkpoint.erased >= erased);
        usable.reverse();
        let is_any = !common.checkpoints.is_empty() || !common.parts.is_empty();
        Ok(Stock { first: common.gone + 1, erased, usable, is_any })
    }

    fn part(&mut self, name: &str, part: u32) -> Result<Vec<u8>, LedgerError> {
        let found = self.ask()?.parts.get(&(name.to_string(), part)).cloned();
        found.ok_or_else(|| LedgerError::Corrupt(format!("{name} has no part {part}")))
    }

    fn records(
        &mut self,
        from: u64,
        limit: usize,
    ) -> Result<(Vec<(u64, String)>, u64), LedgerError> {
        let common = self.ask()?;
        let erased = common.erasures.iter().map(|erasure| erasure.0).max().unwrap_or(0);
        let from = from.max(common.gone + 1) as usize;
        let records = common.records.iter().skip(from - 1).take(limit);
        Ok((records.map(|(_, json, place)| (place.seq, json.clone())).collect(), erased))
    }

    fn claim(&mut self, name: &str, force: bool) -> Result<bool, LedgerError> {
        let mut common = self.ask()?;
        // A right ends with time, and whoever had it may not know.
        let has_ended = common.fault("a right ended", 2);
        if !force && !common.writer.is_empty() && !has_ended {
            return Ok(false);
        }
        common.writer = name.to_string();
        let whole: BTreeSet<String> = common.checkpoints.iter().map(|c| c.name.clone()).collect();
        common.parts.retain(|(name, _), _| whole.contains(name));
        Ok(true)
    }

    fn put(
        &mut self,
        name: &str,
        erased: u64,
        part: u32,
        octets: &[u8],
    ) -> Result<bool, LedgerError> {
        let mut common = self.ask()?;
        if common.writer != name || common.erasures.iter().any(|erasure| erasure.0 > erased) {
            return Ok(false);
        }
        common.parts.insert((name.to_string(), part), octets.to_vec());
        Ok(true)
    }

    fn complete(&mut self, new: &SharedCheckpoint) -> Result<bool, LedgerError> {
        let mut common = self.ask()?;
        let is_ours = common.writer == new.name && common.place(new.place.seq) == Some(new.place);
        if !is_ours || common.erasures.iter().any(|erasure| erasure.0 > new.erased) {
            return Ok(false);
        }
        common.writer.clear();
        common.checkpoints.push(new.clone());
        common.checkpoints.sort_by_key(|checkpoint| checkpoint.place.seq);
        let old = common.checkpoints.len().saturating_sub(2);
        common.checkpoints.drain(..old);
        Ok(true)
    }

    fn forget(&mut self, erased: u64) -> Result<(), LedgerError> {
        let mut common = self.ask()?;
        common.writer.clear();
        common.checkpoints.retain(|checkpoint| checkpoint.erased >= erased);
        let whole: BTreeSet<String> = common.checkpoints.iter().map(|c| c.name.clone()).collect();
        common.parts.retain(|(name, _), _| whole.contains(name));
        Ok(())
    }

    fn retain(&mut self, keep: Duration) -> Result<u64, LedgerError> {
        let mut common = self.ask()?;
        let [older, _] = common.checkpoints.as_slice() else { return Ok(0) };
        let covered = older.place.seq.saturating_sub(BACK);
        let at = |json: &str| {
            serde_json::from_str::<Event>(json).expect("an event").received_at.millis()
        };
        let Some(newest) = common.records.last().map(|record| at(&record.1)) else { return Ok(0) };
        let horizon = newest - keep.as_millis() as i64;
        let stays = common.records.iter().find(|record| at(&record.1) >= horizon);
        let first = stays.map_or(0, |record| record.2.seq).min(covered);
        let gone = first.saturating_sub(1).saturating_sub(common.gone);
        common.gone += gone;
        Ok(gone)
    }
}

impl Node {
    /// Looks once whether a checkpoint is to be shared.
    pub(super) fn share(&self) -> Result<(), LedgerError> {
        self.ledger().share_checkpoint()
    }

    fn checkpoint(&self) {
        self.ledger().checkpoint(Timestamp::from_millis(i64::MAX)).expect("written");
    }
}

fn stock(shared: &Shared) -> Stock {
    shared.clone().stock().expect("the engine is well")
}

fn positions(shared: &Shared) -> Vec<u64> {
    stock(shared).usable.iter().map(|checkpoint| checkpoint.place.seq).collect()
}

/// The same list, as far as both reach back.
fn agree(one: &Node, other: &Node) {
    for node in [one, other] {
        node.follow().expect("the engine is well");
    }
    let first = |node: &Node| node.ledger().status().first_seq;
    let first = first(one).max(first(other));
    let digest = |node: &Node| node.ledger().digest_since(first).expect("ready");
    assert_eq!(digest(one), digest(other));
}

/// A node, and an engine with one checkpoint at 30 of 40 records.
fn shared_at_30() -> (Shared, Node) {
    let shared = Shared::default();
    let node = Node::new(1, &shared);
    node.follow().expect("nothing there yet");
    node.ledger().commit(&mut batch(1, 30)).expect("committed");
    node.checkpoint();
    node.share().expect("shared");
    node.ledger().commit(&mut batch(31, 10)).expect("committed");
    assert_eq!(positions(&shared), [30]);
    (shared, node)
}

#[test]
fn a_new_node_folds_what_came_after_the_checkpoint() {
    let (shared, node) = shared_at_30();
    let new = Node::new(2, &shared);
    // What it has before it followed anything.
    let status = new.ledger().status();
    assert_eq!((status.first_seq, status.last_seq, status.folded_seq), (1, 30, 30));
    assert_eq!(status.troubles, []);
    agree(&node, &new);
    assert_eq!(new.ledger().status().last_seq, 40);
    assert_eq!(new.digest(), node.digest());
    // It goes on after a restart, and commits.
    let mut new = new;
    new.restart();
    new.follow().expect("nothing new");
    new.ledger().commit(&mut batch(50, 5)).expect("committed");
    agree(&node, &new);
    assert_eq!(new.ledger().status().troubles, []);
    // A second one is written when there is more, or the first is old.
    node.checkpoint();
    node.share().expect("not due");
    assert_eq!(positions(&shared), [30]);
    lock(&shared.0).checkpoints[0].age = OLD;
    node.share().expect("shared");
    assert_eq!(positions(&shared), [45, 30]);
}

#[test]
fn what_is_damaged_or_cut_off_is_no_beginning() {
    let (shared, node) = shared_at_30();
    node.checkpoint();
    lock(&shared.0).checkpoints[0].age = OLD;
    node.share().expect("shared");
    assert_eq!(positions(&shared), [40, 30]);
    let newest = stock(&shared).usable[0].name.clone();
    // One octet is wrong: the older one is taken, and what came after it folded.
    let at = (newest.clone(), 0);
    let whole = lock(&shared.0).parts[&at].clone();
    for damage in [0, 20, whole.len() / 2, whole.len() - 1] {
        lock(&shared.0).parts.get_mut(&at).expect("there")[damage] ^= 1;
        agree(&node, &Node::new(3, &shared));
        lock(&shared.0).parts.insert(at.clone(), whole.clone());
    }
    lock(&shared.0).parts.remove(&at);
    agree(&node, &Node::new(4, &shared));
    // Neither can be read, and records are gone: it says so, and leaves nothing.
    lock(&shared.0).parts.clear();
    lock(&shared.0).gone = 3;
    let bench = StoreBench::new(5);
    let refused = open_empty(&bench, &shared).err().expect("nothing to begin with");
    assert!(refused.to_string().contains("no shared checkpoint can be read"), "{refused}");
    lock(&shared.0).checkpoints.clear();
    let refused = open_empty(&bench, &shared).err().expect("nothing to begin with");
    assert!(refused.to_string().contains("there is no checkpoint"), "{refused}");
    assert!(bench.disk.list("journal").expect("memory").is_empty());
}

fn open_empty(bench: &StoreBench, shared: &Shared) -> Result<SledLedger, LedgerError> {
    let disk = Arc::new(bench.disk.clone());
    SledLedger::open_on(disk, None, bench.options.clone(), ordered(), Some(shared.share()))
}

/// Killed or failing at each operation of its beginning, a node begins again, and ends like the others.
#[test]
fn a_beginning_may_be_cut_off_at_every_operation() {
    let (shared, node) = shared_at_30();
    lock(&shared.0).gone = 20;
    let begun = |bench: &StoreBench| {
        let disk: Arc<dyn Disk> = Arc::new(bench.disk.clone());
        let cluster = Cluster::new(shared.share());
        newcomer::begin(&disk, &bench.options, &cluster)
    };
    let all = {
        let bench = StoreBench::new(1);
        begun(&bench).expect("begun");
        bench.disk.operations()
    };
    assert!(all > 20, "{all} operations");
    for fault in [DiskFault::Crash, DiskFault::Broken, DiskFault::Full] {
        for at in 1..=all {
            let bench = StoreBench::new(at);
            bench.disk.fail(at, 1, fault);
            let _ = begun(&bench);
            bench.disk.reboot();
            let new = open_empty(&bench, &shared).expect("a start");
            let new = Node::of(bench, &shared, new);
            assert_eq!(new.ledger().status().first_seq, 21, "{fault:?} at {at}");
            assert_eq!(new.ledger().status().troubles, [], "{fault:?} at {at}");
            agree(&node, &new);
        }
    }
}

#[test]
fn one_writes_at_a_time_and_who_is_killed_leaves_nothing_to_begin_with() {
    let shared = Shared::default();
    let nodes = [Node::new(1, &shared), Node::new(2, &shared)];
    nodes[0].follow().expect("nothing there yet");
    nodes[0].ledger().commit(&mut batch(1, 30)).expect("committed");
    nodes[1].follow().expect("thirty");
    nodes.iter().for_each(Node::checkpoint);
    // Somebody was killed in the middle of it: parts, and the right, which ends with time.
    let mut line = shared.clone();
    assert_eq!(line.claim("killed", false), Ok(true));
    assert_eq!(line.put("killed", 0, 0, b"octets"), Ok(true));
    nodes.iter().for_each(|node| node.share().expect("somebody else writes"));
    assert_eq!(positions(&shared), [0; 0]);
    agree(&nodes[0], &Node::new(3, &shared));
    lock(&shared.0).writer.clear();
    nodes.iter().for_each(|node| node.share().expect("one of them writes"));
    assert_eq!(positions(&shared), [30]);
    assert!(lock(&shared.0).parts.keys().all(|(name, _)| name != "killed"));
    // Who lost the right writes nothing.
    assert_eq!(line.put("killed", 0, 1, b"octets"), Ok(false));
    agree(&nodes[0], &Node::new(4, &shared));
}

/// Records go only when two checkpoints stand after them, and a node's own as long as the engine has them.
#[test]
fn old_records_go_when_checkpoints_stand_after_them() {
    let shared = Shared::default();
    let mut node = Node::new(1, &shared);
    node.bench.options.keep = Duration::from_millis(30);
    node.restart();
    node.follow().expect("nothing there yet");
    let mut n = 1;
    for (gone, newest) in [(0, 0), (0, 100), (94, 200), (194, 300)] {
        node.share().expect("looked");
        let found = positions(&shared).first().copied().unwrap_or(0);
        assert_eq!((stock(&shared).first - 1, found), (gone, newest));
        node.ledger().commit(&mut batch(n, 100)).expect("committed");
        n += 100;
        node.checkpoint();
        for checkpoint in &mut lock(&shared.0).checkpoints {
            checkpoint.age = OLD;
        }
    }
    // The copy goes as the engine's journal went, by whole segments.
    node.follow().expect("it hears where the journal begins");
    node.ledger().commit(&mut batch(n, 10)).expect("committed");
    node.checkpoint();
    node.ledger().commit(&mut batch(n + 10, 10)).expect("committed");
    node.checkpoint();
    let first = node.ledger().status().first_seq;
    assert!((2..=195).contains(&first), "{first}");
    let new = Node::new(2, &shared);
    assert_eq!(new.ledger().status().first_seq, 195);
    agree(&node, &new);
}

#[test]
fn a_node_behind_the_first_record_is_told_so() {
    let (shared, node) = shared_at_30();
    let mut late = Node::new(3, &shared);
    late.follow().expect("forty");
    node.ledger().commit(&mut batch(41, 20)).expect("committed");
    lock(&shared.0).gone = 45;
    for _ in 0..2 {
        assert!(matches!(late.follow(), Err(LedgerError::Outdated(_))));
        let refused = late.ledger().commit(&mut batch(90, 1)).expect_err("it lacks records");
        assert!(matches!(refused, LedgerError::Outdated(_) | LedgerError::Away(_)), "{refused}");
        assert!(late.ledger().look_up(&[b"order".to_vec()]).expect("ready")[0].is_some());
        late.restart();
    }
}

/// An address that is erased is in no shared checkpoint afterwards, and a node can begin all the same.
#[test]
fn an_erasure_reaches_shared_checkpoints() {
    let (shared, node) = shared_at_30();
    let other = Node::new(2, &shared);
    other.follow().expect("forty");
    lock(&shared.0).gone = 10;
    let holds = |text: &str| {
        let common = lock(&shared.0);
        common.checkpoints.iter().any(|checkpoint| checkpoint.name == text)
    };
    let before = stock(&shared).usable[0].name.clone();
    // Somebody writes another one at this moment.
    let mut line = shared.clone();
    assert_eq!(line.claim("slow", false), Ok(true));
    assert_eq!(line.put("slow", 0, 0, b"user3@example.com"), Ok(true));
    let act = node.ledger().commit(&mut batch(41, 1)).expect("committed")[0].seq;
    other.follow().expect("it has the act");
    Others::begin_erasure(node.ledger(), act, "hash").expect("the engine is well");
    assert_eq!(line.put("slow", 0, 1, b"more"), Ok(false), "an erasure came");
    // Nobody begins meanwhile, and who has not carried it out shares nothing.
    let early = Node::new(3, &shared);
    assert!(matches!(early.follow(), Err(LedgerError::Retryable(_))));
    assert_eq!(early.ledger().status().last_seq, 0);
    assert_eq!(positions(&shared), [0; 0]);
    other.checkpoint();
    other.share().expect("not clean");
    assert_eq!(positions(&shared), [0; 0]);
    node.checkpoint();
    let gone =
        &mut |_: u64, line: &str| line.contains("user3@").then(|| line.replace("user3@", "gone@"));
    assert!(Others::end_erasure(node.ledger(), act, "hash", gone).expect("well") > 0);
    assert!(!holds(&before));
    assert!(lock(&shared.0).parts.keys().all(|(name, _)| name != "slow" && *name != before));
    assert_eq!(positions(&shared), [41]);
    let new = Node::new(4, &shared);
    assert_eq!(new.ledger().status().folded_seq, 41);
    new.follow().expect("all of it");
    // Once it is carried out there, the other one shares again.
    Others::erasure_is_done(other.ledger(), act).expect("written down");
    other.ledger().commit(&mut batch(50, 5)).expect("committed");
    other.checkpoint();
    lock(&shared.0).checkpoints[0].age = OLD;
    other.share().expect("clean");
    assert_eq!(positions(&shared), [46, 41]);
}

/// The node that is asked for the second of two counts as one that carried out the first, too.
#[test]
fn an_erasure_that_another_node_was_asked_for_before_is_known() {
    let (shared, node) = shared_at_30();
    let other = Node::new(2, &shared);
    let erase = |n: u64| {
        let (address, hash) = (format!("user{n}@example.com"), "00ff".to_string());
        let act = Some(Act::Erase { address, hash });
        let at = Timestamp::from_millis(1_790_000_000_000 + n as i64);
        Event { act, ..Event::new(EventType::Act, format!("erase-{n}"), at) }
    };
    other.follow().expect("forty");
    let before = |seq| Others::erasures_before(node.ledger(), seq).expect("readable");
    let first = other.ledger().commit(&mut [erase(1)]).expect("committed")[0].seq;
    node.ledger().commit(&mut batch(50, 3)).expect("committed");
    let second = node.ledger().commit(&mut [erase(2)]).expect("committed")[0].seq;
    assert_eq!((before(second), before(first)), (vec![first], vec![]));
    Others::erasure_is_done(node.ledger(), second).expect("written down");
    assert_eq!(before(second), [0; 0]);
}

#[test]
fn places_of_another_history_are_not_shared() {
    let (shared, node) = shared_at_30();
    let name = "odd".to_string();
    let mut line = shared.clone();
    assert_eq!(line.claim(&name, false), Ok(true));
    let place = Place { seq: 40, chain: [7; 32] };
    let (parts, octets, sha256, erased) = (0, 0, [0; 32], 0);
    let odd = SharedCheckpoint { name, place, erased, parts, octets, sha256, age: Duration::ZERO };
    assert_eq!(line.complete(&odd), Ok(false));
    assert_eq!(positions(&shared), [30]);
    node.follow().expect("nothing new");
}
