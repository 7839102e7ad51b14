//! Raw messages that are kept for people: `data_dir/raw/<event id>.eml`, by `journal.raw`.
//!
//! Promises: within `raw_quota` octets and `raw_keep` of age, the oldest go first; names are our
//! own ids, never a peer's text (docs/reliability.md, "File names"); files are readable by their
//! owner only. What it does not promise: durability. The event in the journal is the truth, this is
//! its attachment, and a message is stored and answered also when the attachment cannot be written.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::config::{self, KeepRaw};
use crate::lock::lock;
use crate::mail::Timestamp;
use crate::policy::Forgotten;
use crate::report::Kind;

/// The folder of raw messages and what is in it.
#[derive(Debug)]
pub struct RawStore {
    dir: PathBuf,
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
    /// Opens or makes the folder and counts what is there.
    pub fn open(data_dir: &Path, journal: &config::Journal, now: Timestamp) -> io::Result<Self> {
        let dir = data_dir.join("raw");
        let mut held = Held::default();
        if journal.raw != KeepRaw::None {
            fs::create_dir_all(&dir)?;
            let mut found = Vec::new();
            for entry in fs::read_dir(&dir)?.flatten() {
                let (name, size) = (entry.file_name(), entry.metadata()?.len());
                if let Some(id) = name.to_str().and_then(|n| n.strip_suffix(".eml")) {
                    found.push((id.to_string(), size, time_of(id).unwrap_or(now)));
                }
            }
            // Ids begin with their time, so names sort by age.
            found.sort();
            held.octets = found.iter().map(|(_, size, _)| size).sum();
            held.files = found.into();
        }
        let keep_ms = i64::try_from(journal.raw_keep.as_millis()).unwrap_or(i64::MAX);
        let held = Mutex::new(held);
        Ok(Self { dir, which: journal.raw, keep_ms, quota: journal.raw_quota, held })
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
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(self.path(id))?;
        file.write_all(data)?;
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
                let _ = fs::remove_file(self.path(&gone));
            }
        }
        Ok(())
    }

    /// Takes a message back that was not stored after all.
    pub fn drop_again(&self, id: &str) {
        let mut held = lock(&self.held);
        if let Some(n) = held.files.iter().rposition(|(kept, _, _)| kept == id)
            && let Some((_, size, _)) = held.files.remove(n)
        {
            held.octets = held.octets.saturating_sub(size);
            let _ = fs::remove_file(self.path(id));
        }
    }

    /// Removes the messages of some events, and every other one that names a forgotten person;
    /// gives how many. Looks at what is there, also when nothing is kept any more.
    pub fn forget(&self, ids: &HashSet<String>, who: &Forgotten) -> io::Result<u64> {
        let mut held = lock(&self.held);
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut removed = 0;
        for entry in entries {
            let path = entry?.path();
            let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if !ids.contains(id) && !who.may_be_in(&String::from_utf8_lossy(&fs::read(&path)?)) {
                continue;
            }
            if let Some(n) = held.files.iter().position(|(kept, _, _)| kept == id)
                && let Some((_, size, _)) = held.files.remove(n)
            {
                held.octets = held.octets.saturating_sub(size);
            }
            fs::remove_file(&path)?;
            removed += 1;
        }
        fs::File::open(&self.dir)?.sync_all()?;
        Ok(removed)
    }

    fn path(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.eml"))
    }
}

/// The moment that an id begins with.
fn time_of(id: &str) -> Option<Timestamp> {
    let millis = i64::from_str_radix(id.get(1..12)?, 16).ok()?;
    Some(Timestamp::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn store(dir: &Path, raw: KeepRaw) -> RawStore {
        let journal = config::Journal {
            keep: Duration::from_secs(86_400),
            raw,
            raw_keep: Duration::from_secs(60),
            raw_quota: 100,
        };
        RawStore::open(dir, &journal, Timestamp::from_millis(0)).expect("a folder")
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir.join("raw")).expect("a folder").flatten();
        let mut names: Vec<_> =
            entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
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
}
