//! Random lives of a journal on a disk that fails: mail, rotation, packing, erasure, checkpoints, old
//! segments going, crashes, restarts, strange files, with a fault at a random step. Then the disk
//! heals, takes mail, is restarted, and a person is erased: what was acknowledged is read, always.
//!
//! `BOUNCED_SEEDS=10000 cargo test --lib seeds` tries more; a seed that fails prints itself, and
//! `BOUNCED_SEED=678 BOUNCED_TRACE=1` shows one step by step.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::segment::Segment;
use super::simulated::{DiskFault, SimulatedDisk};
use super::*;

const SEGMENT: u64 = 900;

/// How many seeds: few in an ordinary run.
pub(crate) fn seeds(few: u64) -> u64 {
    std::env::var("BOUNCED_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(few)
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn json(seq: u64, secret: bool) -> String {
    let who = if secret { "SECRET" } else { "public" };
    format!(
        "{{\"seq\":{seq},\"who\":\"{who}\",\"pad\":\"{}\"}}",
        "x".repeat((seq * 37 % 60) as usize)
    )
}

/// A journal, and what must be in it.
struct Life {
    disk: SimulatedDisk,
    random: Random,
    journal: Option<Segments>,
    /// Acknowledged, and whether it names the person.
    said: BTreeMap<u64, bool>,
    /// Tried last; what of it is found after an error is kept.
    tried: BTreeMap<u64, bool>,
    /// Written in part and never acknowledged: with right lines after them they look like damage.
    torn: u64,
    /// Records before this may be gone.
    oldest: u64,
    /// The newest checkpoint that was acknowledged.
    checkpoint: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        Self {
            disk: SimulatedDisk::new(seed),
            random: Random(seed),
            journal: None,
            said: BTreeMap::new(),
            tried: BTreeMap::new(),
            torn: 0,
            oldest: 1,
            checkpoint: 0,
        }
    }

    /// Opens the journal when it is not open.
    fn start(&mut self) -> io::Result<()> {
        while self.journal.is_none() {
            sweep(&self.disk)?;
            let newest = checkpoints(&self.disk)?.first().copied().unwrap_or(0);
            assert!(newest >= self.checkpoint, "checkpoint {} is gone", self.checkpoint);
            let journal = Segments::open(Arc::new(self.disk.clone()), SEGMENT, newest)?;
            self.journal = Some(journal);
            self.adopt();
        }
        Ok(())
    }

    /// What was not acknowledged may be there after a restart: from then on it stays.
    fn adopt(&mut self) {
        let Some(journal) = &self.journal else { return };
        if self.tried.is_empty() {
            return;
        }
        let Ok(found) = journal.reader().read(1, usize::MAX) else {
            self.journal = None;
            return;
        };
        for (seq, secret) in std::mem::take(&mut self.tried) {
            if found.iter().any(|(there, _)| *there == seq) {
                self.said.insert(seq, secret);
            } else {
                self.torn += 1;
            }
        }
    }

    fn mail(&mut self) -> io::Result<()> {
        let count = 1 + self.random.below(5);
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let (mut batch, mut records) = (Batch::default(), BTreeMap::new());
        for seq in journal.next_seq()..journal.next_seq() + count {
            let secret = self.random.below(6) == 0;
            batch.push(seq, json(seq, secret).as_bytes()).expect("fit");
            records.insert(seq, secret);
        }
        match journal.append(&batch) {
            Ok(()) => {
                self.said.extend(records);
                self.tried.clear();
                Ok(())
            }
            Err(error) => {
                for (seq, secret) in records {
                    *self.tried.entry(seq).or_default() |= secret;
                }
                Err(io::Error::other(error.to_string()))
            }
        }
    }

    fn erase(&mut self) -> io::Result<()> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        journal.seal()?;
        let reader = journal.reader();
        for first in reader.segment_starts() {
            let edit =
                |_, json: &str| json.contains("SECRET").then(|| json.replace("SECRET", "public"));
            if let Some(new) = reader.rewrite(first, &mut { edit })? {
                journal.put_in_place(new)?;
            }
        }
        Ok(())
    }

    /// Packs what can be packed; sometimes a person is erased between that and the rename.
    fn pack(&mut self) -> io::Result<()> {
        let Some(reader) = self.journal.as_ref().map(Segments::reader) else { return Ok(()) };
        for first in reader.unpacked() {
            let Some(new) = reader.pack(first, &mut || true)? else { continue };
            if self.random.below(4) == 0 {
                self.erase()?;
            }
            if let Some(journal) = &mut self.journal {
                journal.put_packed(new)?;
            }
        }
        Ok(())
    }

    fn write_checkpoint(&mut self) -> io::Result<()> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let position = journal.next_seq() - 1;
        if position == 0 {
            return Ok(());
        }
        let mut writer = CheckpointWriter::create(Arc::new(self.disk.clone()), position, 10)?;
        for row in 0..20 {
            writer.push(format!("{row:04}").as_bytes(), &[7; 90])?;
        }
        writer.finish()?;
        self.checkpoint = position;
        let kept = keep_newest(&self.disk, u64::MAX, 2)?;
        if let ([_, older], Some(journal)) = (&kept[..], &mut self.journal) {
            self.oldest = self.oldest.max(older + 1);
            journal.remove_through(*older)?;
        }
        Ok(())
    }

    fn step(&mut self) -> io::Result<()> {
        match self.random.below(18) {
            0 => self.journal = None,
            1 => {
                self.journal = None;
                self.disk.reboot();
            }
            2 | 3 => return self.start().and_then(|()| self.erase()),
            4 | 5 => return self.start().and_then(|()| self.write_checkpoint()),
            6 => {
                self.start()?;
                if let Some(journal) = &mut self.journal {
                    journal.seal()?;
                }
            }
            7 => {
                // Somebody copies a wrong file into the folder.
                let at = self.said.len() as u64 * (1 + self.random.below(3)) / 2 + 1;
                let name = Segment::file_name(at);
                let taken = self.disk.look().iter().any(|(there, _)| *there == name);
                if !taken && self.said.len() > 1 {
                    self.disk.plant(&name, b"hello\n");
                }
                self.journal = None;
            }
            8 | 9 => return self.start().and_then(|()| self.pack()),
            _ => return self.start().and_then(|()| self.mail()),
        }
        Ok(())
    }

    /// Everything acknowledged is there once, in order, and nothing else.
    fn check(&mut self, what: &str) {
        let journal = self.journal.as_ref().expect("open");
        let found = journal.reader().read(1, usize::MAX).expect("a healthy disk");
        let seqs: Vec<u64> = found.iter().map(|(seq, _)| *seq).collect();
        assert!(seqs.is_sorted_by(|a, b| a < b), "{what}: {seqs:?}");
        for (seq, secret) in self.said.range(self.oldest..) {
            let text = seqs.binary_search(seq).ok().map(|place| &found[place].1);
            let text = text.unwrap_or_else(|| {
                panic!("{what}: {seq} is lost of {seqs:?}, {}", folder(&self.disk))
            });
            let whole = *text == json(*seq, *secret) || *text == json(*seq, false);
            assert!(whole, "{what}: {seq} says {text}");
        }
        for seq in &seqs {
            assert!(self.said.contains_key(seq), "{what}: {seq} was never written");
        }
        let lost = journal.reader().damaged();
        assert!(lost <= self.torn, "{what}: {:?}", journal.reader().troubles());
    }
}

/// What the folder holds, for people who look at a seed.
fn folder(disk: &SimulatedDisk) -> String {
    let files = disk.look();
    files.iter().map(|(name, octets)| format!("{name}: {octets}")).collect::<Vec<_>>().join(", ")
}

fn live(seed: u64) {
    let trace = std::env::var_os("BOUNCED_TRACE").is_some();
    let mut life = Life::new(seed);
    let faults =
        [DiskFault::Crash, DiskFault::Broken, DiskFault::Full, DiskFault::Files, DiskFault::Denied];
    for round in 0..4 {
        let fault = faults[life.random.below(5) as usize];
        let at = life.disk.operations() + 1 + life.random.below(120);
        life.disk.fail(at, 1 + life.random.below(5), fault);
        for _ in 0..6 + life.random.below(20) {
            let done = life.step();
            if trace {
                eprintln!("{round} {done:?} {}", folder(&life.disk));
            }
        }
        // It heals. After a power cut it starts anew, else it may go on.
        if fault == DiskFault::Crash || life.random.below(2) == 0 {
            life.journal = None;
            life.disk.reboot();
        }
        life.disk.heal();
        let what = format!("seed {seed}, round {round}, {fault:?} at {at}");
        for again in ["heals", "restarts"] {
            life.start().unwrap_or_else(|error| panic!("{what}, {again}: {error}"));
            life.mail().unwrap_or_else(|error| panic!("{what}, {again}: {error}"));
            life.check(&format!("{what}, {again}"));
            life.journal = None;
        }
        life.start().expect("a start");
        life.erase().unwrap_or_else(|error| panic!("{what}, erases: {error}"));
        life.check(&format!("{what}, erased"));
        life.journal = None;
        life.disk.reboot();
        life.start().expect("a start");
        life.check(&format!("{what}, erased, power off"));
        let all = life.journal.as_ref().expect("open").reader().read(1, usize::MAX);
        assert!(
            all.expect("readable").iter().all(|(_, json)| !json.contains("SECRET")),
            "{what}: the person is still there"
        );
        life.said.values_mut().for_each(|secret| *secret = false);
    }
}

#[test]
fn acknowledged_is_readable_whatever_fails() {
    let only = std::env::var("BOUNCED_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in only.map_or(1..=seeds(400), |seed| seed..=seed) {
        let lived = std::panic::catch_unwind(|| live(seed));
        assert!(lived.is_ok(), "seed {seed} failed: see above");
    }
}
