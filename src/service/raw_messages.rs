//! Raw messages that are kept for people: `data_dir/raw/<event id>.eml`, by `journal.raw`.
//!
//! Promises: within `raw_quota` octets and `raw_keep` of age, the oldest go first; names are our
//! own ids, never a peer's text (docs/reliability.md, "File names"); files are readable by their
//! owner only. What it does not promise: durability. The event in the journal is the truth, this is
//! its attachment, and a message is stored and answered also when the attachment cannot be written.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use crate::config::{self, KeepRaw};
use crate::ledger::journal::Disk;
use crate::ledger::lock::lock;
use crate::ledger::small_file;
use crate::mail::Timestamp;
use crate::policy::Forgotten;
use crate::report::Kind;

/// The folder, in the data directory.
const DIR: &str = "raw";

/// The folder of raw messages and what is in it.
pub struct RawStore {
    disk: Arc<dyn Disk>,
    which: KeepRaw,
    keep_ms: i64,
    quota: u64,
    held: Mutex<Held>,
}

/// Files by age, oldest first.
#[derive(Debug, Default)]
struct Held {
    files: VecDeque<(String, u64, Timestamp)>,
    octets: u64,
}

impl RawStore {
    /// Opens or makes the folder of a data directory and counts what is there.
    pub fn open(
        disk: Arc<dyn Disk>,
        journal: &config::JournalConfig,
        now: Timestamp,
    ) -> io::Result<Self> {
        let mut held = Held::default();
        if journal.raw != KeepRaw::None {
            disk.make_dir(DIR)?;
            let mut found = Vec::new();
            for name in disk.list(DIR)? {
                let octets = disk.open(&format!("{DIR}/{name}"), false)?.length()?;
                if let Some(id) = name.strip_suffix(".eml") {
                    found.push((id.to_string(), octets, time_of(id).unwrap_or(now)));
                }
            }
            // Ids begin with their time, so names sort by age.
            found.sort();
            held.octets = found.iter().map(|(_, octets, _)| octets).sum();
            held.files = found.into();
        }
        let keep_ms = i64::try_from(journal.raw_keep.as_millis()).unwrap_or(i64::MAX);
        let held = Mutex::new(held);
        Ok(Self { disk, which: journal.raw, keep_ms, quota: journal.raw_quota, held })
    }

    /// Whether a message of this kind is kept.
    pub fn wants(&self, kind: Kind) -> bool {
        match self.which {
            KeepRaw::None => false,
            KeepRaw::Unrecognised => kind == Kind::Other,
            KeepRaw::All => true,
        }
    }

    /// Writes a message and removes what is over age or quota.
    pub fn keep(&self, id: &str, data: &[u8], now: Timestamp) -> io::Result<()> {
        let size = data.len() as u64;
        if size > self.quota || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Ok(());
        }
        let written = self.disk.open(&path(id), true).and_then(|mut file| file.append(data));
        if let Err(error) = written {
            // A part of a message is not a message, and nobody would count its octets.
            let _ = self.disk.remove(&path(id));
            return Err(error);
        }
        let mut held = lock(&self.held);
        held.octets += size;
        held.files.push_back((id.to_string(), size, now));
        while let Some((_, _, at)) = held.files.front() {
            let old = at.plus_millis(self.keep_ms) <= now;
            if !old && held.octets <= self.quota {
                break;
            }
            if let Some((gone, size, _)) = held.files.pop_front() {
                held.octets = held.octets.saturating_sub(size);
                let _ = self.disk.remove(&path(&gone));
            }
        }
        Ok(())
    }

    /// The message of an event; None when it was not kept, or is gone.
    pub fn read(&self, id: &str) -> io::Result<Option<Vec<u8>>> {
        // An id comes from a page's address; what is not an id of ours is not a file of ours.
        if !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Ok(None);
        }
        small_file::octets(self.disk.as_ref(), &path(id))
    }

    /// Takes a message back that was not stored after all.
    pub fn drop_again(&self, id: &str) {
        let mut held = lock(&self.held);
        if let Some(n) = held.files.iter().rposition(|(kept, _, _)| kept == id)
            && let Some((_, size, _)) = held.files.remove(n)
        {
            held.octets = held.octets.saturating_sub(size);
            let _ = self.disk.remove(&path(id));
        }
    }

    /// Removes the messages from before a time; gives how many.
    pub fn forget_before(&self, time: Timestamp) -> io::Result<u64> {
        self.remove_those(|id, _| Ok(time_of(id).is_some_and(|at| at < time)))
    }

    /// Removes the messages of some events, and every other one that names a forgotten person;
    /// gives how many. Looks at what is there, also when nothing is kept any more.
    pub fn forget(&self, ids: &HashSet<String>, who: &Forgotten) -> io::Result<u64> {
        self.remove_those(|id, path| {
            let text = || small_file::read(self.disk.as_ref(), path);
            Ok(ids.contains(id) || text()?.is_some_and(|text| who.may_be_in(&text)))
        })
    }

    fn remove_those(&self, is_one: impl Fn(&str, &str) -> io::Result<bool>) -> io::Result<u64> {
        let mut held = lock(&self.held);
        let mut removed = 0;
        for name in self.disk.list(DIR)? {
            let path = format!("{DIR}/{name}");
            let id = name.split_once('.').map_or(&*name, |(id, _)| id);
            if !is_one(id, &path)? {
                continue;
            }
            if let Some(n) = held.files.iter().position(|(kept, _, _)| kept == id)
                && let Some((_, size, _)) = held.files.remove(n)
            {
                held.octets = held.octets.saturating_sub(size);
            }
            self.disk.remove(&path)?;
            removed += 1;
        }
        // Also for what a run before removed and was killed over.
        match self.disk.sync_dir(DIR) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(removed),
        }
    }
}

fn path(id: &str) -> String {
    format!("{DIR}/{id}.eml")
}

/// The moment that an id begins with.
fn time_of(id: &str) -> Option<Timestamp> {
    let millis = i64::from_str_radix(id.get(1..12)?, 16).ok()?;
    Some(Timestamp::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::ledger::journal::RealDisk;
    use crate::ledger::journal::simulated::{DiskFault, SimulatedDisk};
    use crate::mail::Case;

    fn journal(raw: KeepRaw) -> config::JournalConfig {
        config::JournalConfig {
            keep: Duration::from_secs(86_400),
            raw,
            raw_keep: Duration::from_secs(60),
            raw_quota: 100,
            postgres: None,
        }
    }

    fn store(dir: &Path, raw: KeepRaw) -> RawStore {
        let disk = Arc::new(RealDisk::new(dir).expect("a folder"));
        RawStore::open(disk, &journal(raw), Timestamp::from_millis(0)).expect("a folder")
    }

    fn names(dir: &Path) -> Vec<String> {
        RealDisk::new(dir).expect("a folder").list(DIR).expect("a folder")
    }

    #[test]
    fn the_oldest_go_when_quota_or_age_is_passed() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let at = Timestamp::from_millis;
        let raw = store(dir.path(), KeepRaw::All);
        raw.keep("e00000000001a", &[b'x'; 60], at(1)).expect("written");
        raw.keep("e00000000002b", &[b'x'; 60], at(2)).expect("written");
        assert_eq!(names(dir.path()), ["e00000000002b.eml"]);
        // What a stopped service left is counted by the next one.
        let raw = store(dir.path(), KeepRaw::All);
        raw.keep("e00000000003c", &[b'x'; 60], at(3)).expect("written");
        assert_eq!(names(dir.path()), ["e00000000003c.eml"]);
        raw.keep("e00000000004d", b"y", at(70_000)).expect("written");
        assert_eq!(names(dir.path()), ["e00000000004d.eml"]);
        raw.drop_again("e00000000004d");
        assert!(names(dir.path()).is_empty());
        // Never a path of a stranger, never more than the quota.
        raw.keep("../../x", b"y", at(70_000)).expect("refused without an error");
        raw.keep("e00000000005e", &[b'x'; 101], at(70_000)).expect("refused without an error");
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn those_from_before_a_time_go() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let raw = store(dir.path(), KeepRaw::All);
        for (ms, id) in (1..).zip(["e00000000001a", "e00000000002b", "e00000000003c"]) {
            raw.keep(id, b"text", Timestamp::from_millis(ms)).expect("written");
        }
        assert_eq!(raw.forget_before(Timestamp::from_millis(3)).expect("removed"), 2);
        assert_eq!(names(dir.path()), ["e00000000003c.eml"]);
    }

    #[test]
    fn the_key_says_which_are_kept() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        for (which, other, failure) in [
            (KeepRaw::None, false, false),
            (KeepRaw::Unrecognised, true, false),
            (KeepRaw::All, true, true),
        ] {
            let raw = store(dir.path(), which);
            assert_eq!((raw.wants(Kind::Other), raw.wants(Kind::Failure)), (other, failure));
        }
    }

    /// Every step fails once: no part of a message stays, what stays is counted, and nothing of an
    /// erased person is there when the erasure says that it is done.
    #[test]
    fn a_failing_disk_leaves_no_parts_and_nobody_erased() {
        let who = Forgotten::new("jane@example.com", "00ff", Case::Fold);
        let at = Timestamp::from_millis(1);
        let faults = [DiskFault::Broken, DiskFault::Full, DiskFault::Files, DiskFault::Denied];
        let mut failed = 0;
        for (fault, step) in faults.into_iter().flat_map(|f| (1..=14).map(move |step| (f, step))) {
            let disk = SimulatedDisk::new(step);
            let open = || RawStore::open(Arc::new(disk.clone()), &journal(KeepRaw::All), at);
            let raw = open().expect("a healthy disk");
            disk.fail(disk.operations() + step, 1, fault);
            let kept = ["about jane@example.com", "about <jane@example.com>", "about nobody"];
            let ids = ["e00000000001a", "e00000000002b", "e00000000003c"];
            let written: Vec<bool> = (ids.iter().zip(kept))
                .map(|(id, text)| raw.keep(id, text.as_bytes(), at).is_ok())
                .collect();
            let forgotten = raw.forget(&HashSet::new(), &who);
            failed += u32::from(written.contains(&false) || forgotten.is_err());
            disk.heal();
            let what = format!("{fault:?} at {step}: {written:?}, {forgotten:?}");
            for (name, octets) in disk.look() {
                let whole =
                    ids.iter().zip(kept).any(|(id, text)| name == path(id) && octets == text.len());
                assert!(whole, "{what}: {name} has {octets} octets");
            }
            if forgotten.is_err() {
                raw.forget(&HashSet::new(), &who).unwrap_or_else(|e| panic!("{what}: {e}"));
            }
            disk.reboot();
            let left: Vec<String> = disk.look().into_iter().map(|(name, _)| name).collect();
            assert!(!left.iter().any(|name| name.contains("1a") || name.contains("2b")), "{what}");
            let raw = open().expect("a healthy disk");
            assert_eq!(lock(&raw.held).files.len(), left.len(), "{what}");
        }
        assert!(failed > 30, "{failed} of the steps failed");
    }
}
