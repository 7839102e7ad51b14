//! Rewriting a sealed segment: some records say less afterwards, each at its old position. For
//! forgetting a person; nothing else may change what was journalled.
//!
//! | step                                     | a crash after it leaves             | next start |
//! |------------------------------------------|-------------------------------------|------------|
//! | `<first>.rewrite` written, then synced   | the old segment, and a useless file | removes it |
//! | renamed to `<first>.journal`             | the old or the new segment, whole   | reads it   |
//! | directory synced                         | the new segment                     | reads it   |
//!
//! So the caller does it again until it was told that it is done; a second time changes nothing.
//! Lines that can no longer be read are left out, because nobody can say what they hold.

use std::io;
use std::sync::Arc;

use super::packed::PackWriter;
use super::segment::{DIR, Segment};
use super::{JournalReader, Segments};
use crate::ledger::lock;

/// What becomes of a record: None leaves it as it is.
pub type Edit<'a> = &'a mut dyn FnMut(u64, &str) -> Option<String>;

/// A segment that is written anew and not in its place yet.
pub struct Rewritten {
    /// Where its file is until then.
    pub(super) name: String,
    /// What it was made of, and what takes the place of that.
    pub(super) old: Arc<Segment>,
    pub(super) new: Segment,
    /// Records that say less.
    pub changed: u64,
}

impl JournalReader {
    /// Writes a sealed segment anew beside the old one; None when nothing in it would change.
    /// Appending goes on meanwhile.
    pub fn rewrite(&self, first_seq: u64, edit: Edit<'_>) -> io::Result<Option<Rewritten>> {
        let Some((old, file, until)) = self.shared.open_at(first_seq)? else { return Ok(None) };
        if old.first_seq != first_seq || until == u64::MAX {
            return Ok(None);
        }
        let disk = self.shared.disk.as_ref();
        let name = format!("{DIR}/{first_seq:020}.rewrite");
        let mut into = PackWriter::create(disk, &name, old.header.as_ref())?;
        let (mut changed, mut failed) = (0, None);
        // Up to its end: were there more than its name allows, they must not go.
        old.read(file.as_ref(), (first_seq, u64::MAX), &mut |seq, json| {
            if seq >= until {
                let text = format!("{name} holds records of the next segment");
                failed = Some(io::Error::new(io::ErrorKind::InvalidData, text));
                return false;
            }
            let new = std::str::from_utf8(json).ok().and_then(|json| edit(seq, json));
            changed += u64::from(new.is_some());
            let json = new.as_deref().map_or(json, str::as_bytes);
            failed = into.push(seq, json).err();
            failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if changed == 0 && old.damaged() == 0 {
            disk.remove(&name)?;
            return Ok(None);
        }
        let packed = into.finish()?;
        let new = Segment::new(first_seq, into.begins, into.length, old.header.clone());
        Ok(Some(Rewritten { name, old, new: new.into_packed(Some(packed)), changed }))
    }
}

impl Segments {
    /// Puts a rewritten segment in the place of the old one. What was packed meanwhile says the same as
    /// the old one.
    pub fn put_in_place(&mut self, new: Rewritten) -> io::Result<()> {
        self.replace(new, |_, _| true).map(drop)
    }

    /// Puts a segment in the place of another one, when that `fits`; says whether it did.
    pub(super) fn replace(
        &mut self,
        new: Rewritten,
        fits: impl FnOnce(&Arc<Segment>, &Rewritten) -> bool,
    ) -> io::Result<bool> {
        let disk = &self.shared.disk;
        let mut segments = lock::write(&self.shared.segments);
        let place = segments.iter_mut().find(|there| there.first_seq == new.new.first_seq);
        // Without a place `keep` removed it meanwhile.
        let Some(place) = place.filter(|there| fits(there, &new)) else {
            return disk.remove(&new.name).map(|()| false);
        };
        disk.rename(&new.name, &Segment::file_name(new.new.first_seq))?;
        *place = Arc::new(new.new);
        disk.sync_dir(DIR).map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulated::{DiskFault, SimulatedDisk};
    use super::super::{Batch, Disk};
    use super::*;

    const RECORDS: u64 = 140;

    fn open(disk: &SimulatedDisk) -> io::Result<Segments> {
        Segments::open(Arc::new(disk.clone()), 600, 0)
    }

    fn json(seq: u64) -> String {
        let who = if seq.is_multiple_of(7) { "SECRET" } else { "public" };
        format!("{{\"seq\":{seq},\"who\":\"{who}\"}}")
    }

    fn filled(seed: u64) -> SimulatedDisk {
        let disk = SimulatedDisk::new(seed);
        let mut journal = open(&disk).expect("open");
        for seq in 1..=RECORDS {
            let mut batch = Batch::default();
            batch.push(seq, json(seq).as_bytes()).expect("fit");
            journal.append(&batch).expect("appended");
        }
        disk
    }

    fn without_secret(journal: &mut Segments) -> io::Result<u64> {
        journal.seal()?;
        let (reader, mut changed) = (journal.reader(), 0);
        for first in reader.segment_starts() {
            let edit =
                |_, json: &str| json.contains("SECRET").then(|| json.replace("SECRET", "gone"));
            if let Some(new) = reader.rewrite(first, &mut { edit })? {
                changed += new.changed;
                journal.put_in_place(new)?;
            }
        }
        Ok(changed)
    }

    /// What the records say, by position.
    fn said(journal: &Segments) -> Vec<(u64, String)> {
        journal.reader().read(1, usize::MAX).expect("readable")
    }

    fn holds_secret(disk: &SimulatedDisk) -> bool {
        let names = disk.list(DIR).expect("memory");
        names.iter().any(|name| {
            let octets = super::super::packed::octets(disk, &format!("{DIR}/{name}"));
            String::from_utf8_lossy(&octets).contains("SECRET")
        })
    }

    #[test]
    fn records_say_less_at_their_old_positions_and_appending_goes_on() {
        let disk = filled(1);
        let mut journal = open(&disk).expect("open");
        let reader = journal.reader();
        assert!(holds_secret(&disk));
        assert_eq!(without_secret(&mut journal).expect("rewritten"), RECORDS / 7);
        assert!(!holds_secret(&disk));
        // A second time there is nothing to do.
        assert_eq!(without_secret(&mut journal).expect("rewritten"), 0);
        let mut batch = Batch::default();
        batch.push(RECORDS + 1, json(RECORDS + 1).as_bytes()).expect("fit");
        journal.append(&batch).expect("appended");
        let expected: Vec<_> =
            (1..=RECORDS + 1).map(|seq| (seq, json(seq).replace("SECRET", "gone"))).collect();
        assert_eq!(said(&journal), expected);
        // A reader from before finds its way in the new files, by position, too.
        for seq in 1..=RECORDS + 1 {
            assert_eq!(
                reader.at(seq).expect("readable"),
                Some(expected[seq as usize - 1].1.clone())
            );
        }
        assert_eq!(said(&open(&disk).expect("open")), expected);
    }

    #[test]
    fn power_may_go_off_at_every_step() {
        let all = {
            let disk = filled(2);
            let mut journal = open(&disk).expect("open");
            let from = disk.operations();
            without_secret(&mut journal).expect("rewritten");
            disk.operations() - from
        };
        assert!(all > 30, "{all} operations");
        for fault in [DiskFault::Crash, DiskFault::Broken, DiskFault::Full] {
            for at in 1..=all {
                let disk = filled(at);
                let mut journal = open(&disk).expect("open");
                disk.fail(disk.operations() + at, 1, fault);
                let first = without_secret(&mut journal);
                drop(journal);
                disk.reboot();
                let mut journal = open(&disk).expect("open");
                let seqs: Vec<u64> = said(&journal).into_iter().map(|(seq, _)| seq).collect();
                assert_eq!(seqs, (1..=RECORDS).collect::<Vec<_>>(), "{fault:?} at {at}");
                if first.is_ok() {
                    assert!(!holds_secret(&disk), "{fault:?} at {at}");
                }
                without_secret(&mut journal).expect("rewritten");
                assert!(!holds_secret(&disk), "{fault:?} at {at}");
                assert_eq!(said(&journal).len() as u64, RECORDS);
            }
        }
    }
}
