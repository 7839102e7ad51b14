//! Packing segments that nothing is appended to any more, beside the traffic. What is packed is read
//! back and compared before it takes the place of the other one; see the table in this module's parent.
//!
//! A segment with damage stays as it is: whoever restores it from a backup or looks into it by hand
//! finds all octets of it.

use std::io;
use std::sync::Arc;

use super::packed::{PackWriter, PackedFile};
use super::rewrite::Rewritten;
use super::segment::{DIR, Segment};
use super::{DiskFile, JournalReader, Segments};

/// Octets that are compared at once.
const CHUNK: usize = 64 << 10;

impl JournalReader {
    /// First positions of the segments that can be packed, in order.
    pub fn unpacked(&self) -> Vec<u64> {
        let mut segments = self.shared.segments();
        segments.pop();
        segments.retain(|old| old.packed.is_none() && old.damaged() == 0 && !old.is_empty());
        segments.iter().map(|segment| segment.first_seq).collect()
    }

    /// Packs a segment beside the old one; None when it stays as it is. `between` is called after each
    /// record and says whether to go on.
    pub fn pack(
        &self,
        first_seq: u64,
        between: &mut dyn FnMut() -> bool,
    ) -> io::Result<Option<Rewritten>> {
        let Some((old, file, until)) = self.shared.open_at(first_seq)? else { return Ok(None) };
        if old.first_seq != first_seq || until == u64::MAX || old.packed.is_some() {
            return Ok(None);
        }
        old.complete_index(file.as_ref())?;
        if old.damaged() > 0 {
            return Ok(None);
        }
        let name = format!("{DIR}/{first_seq:020}.packing");
        let packed = self.try_pack(&old, file.as_ref(), &name, between);
        if !matches!(packed, Ok(Some(_))) {
            // Best effort: the next start removes it, too.
            let _ = self.shared.disk.remove(&name);
        }
        Ok(packed?.map(|new| Rewritten { name, old, new, changed: 0 }))
    }

    fn try_pack(
        &self,
        old: &Arc<Segment>,
        file: &dyn DiskFile,
        name: &str,
        between: &mut dyn FnMut() -> bool,
    ) -> io::Result<Option<Segment>> {
        let disk = self.shared.disk.as_ref();
        let mut into = PackWriter::create(disk, name, old.header.as_ref())?;
        let (mut stopped, mut failed) = (false, None);
        old.read(file, (old.first_seq, u64::MAX), &mut |seq, json| {
            failed = into.push(seq, json).err();
            stopped = !between();
            failed.is_none() && !stopped
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if stopped {
            return Ok(None);
        }
        let packed = into.finish()?;
        let written = PackedFile::open(disk.open(name, false)?)?;
        if written.packed != packed || !is_same(file, &written, old.length(), between)? {
            let text = format!("{name} does not read back as it was written");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Some(old.packed_as(packed)))
    }
}

impl Segments {
    /// Puts a packed segment in the place of the one that it was made of, when that is still there;
    /// says whether it was. An erasure that came first stays.
    pub fn put_packed(&mut self, new: Rewritten) -> io::Result<bool> {
        self.replace(new, |there, new| Arc::ptr_eq(there, &new.old))
    }
}

/// Both have the same octets, so many.
fn is_same(
    one: &dyn DiskFile,
    other: &dyn DiskFile,
    length: u64,
    between: &mut dyn FnMut() -> bool,
) -> io::Result<bool> {
    if other.length()? != length {
        return Ok(false);
    }
    let (mut here, mut there, mut at) = (vec![0; CHUNK], vec![0; CHUNK], 0);
    while at < length {
        let want = usize::try_from(length - at).unwrap_or(CHUNK).min(CHUNK);
        let n = one.read_at(here.get_mut(..want).unwrap_or_default(), at)?;
        let mut got = 0;
        while got < n {
            match other.read_at(there.get_mut(got..n).unwrap_or_default(), at + got as u64)? {
                0 => return Ok(false),
                more => got += more,
            }
        }
        if n == 0 || here.get(..n) != there.get(..n) {
            return Ok(false);
        }
        between();
        at += n as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::simulated::{DiskFault, SimulatedDisk};
    use super::super::{Batch, packed};
    use super::*;

    const RECORDS: u64 = 60;

    fn open(disk: &SimulatedDisk) -> Segments {
        Segments::open(Arc::new(disk.clone()), 900, 0).expect("open")
    }

    fn json(seq: u64) -> String {
        let who = if seq.is_multiple_of(7) { "SECRET" } else { "public" };
        format!("{{\"seq\":{seq},\"who\":\"{who}\"}}")
    }

    fn filled(seed: u64) -> SimulatedDisk {
        let disk = SimulatedDisk::new(seed);
        let mut journal = open(&disk);
        for seq in 1..=RECORDS {
            let mut batch = Batch::default();
            batch.push(seq, json(seq).as_bytes()).expect("fit");
            journal.append(&batch).expect("appended");
        }
        disk
    }

    fn pack_all(journal: &mut Segments) -> io::Result<()> {
        let reader = journal.reader();
        for first in reader.unpacked() {
            if let Some(new) = reader.pack(first, &mut || true)? {
                journal.put_packed(new)?;
            }
        }
        Ok(())
    }

    fn said(journal: &Segments) -> Vec<(u64, String)> {
        journal.reader().read(1, usize::MAX).expect("readable")
    }

    #[test]
    fn power_may_go_off_and_everything_may_fail_at_every_step() {
        let expected: Vec<_> = (1..=RECORDS).map(|seq| (seq, json(seq))).collect();
        let all = {
            let disk = filled(2);
            let mut journal = open(&disk);
            let from = disk.operations();
            pack_all(&mut journal).expect("packed");
            assert!(journal.reader().segment_starts().len() > 2);
            disk.operations() - from
        };
        for fault in [DiskFault::Crash, DiskFault::Broken, DiskFault::Full, DiskFault::Files] {
            for at in 1..=all {
                let what = format!("{fault:?} at {at}");
                let disk = filled(at);
                let mut journal = open(&disk);
                disk.fail(disk.operations() + at, 1, fault);
                let _ = pack_all(&mut journal);
                if fault != DiskFault::Crash {
                    assert_eq!(said(&journal), expected, "{what}, it goes on");
                }
                drop(journal);
                disk.reboot();
                let mut journal = open(&disk);
                assert_eq!(
                    (said(&journal), journal.reader().damaged()),
                    (expected.clone(), 0),
                    "{what}"
                );
                assert!(disk.look().iter().all(|(name, _)| !name.ends_with("packing")), "{what}");
                pack_all(&mut journal).expect("packed");
                assert!(journal.reader().unpacked().is_empty());
                assert_eq!(said(&open(&disk)), expected, "{what}");
            }
        }
    }

    #[test]
    fn packing_never_brings_back_what_an_erasure_took_out() {
        let disk = filled(3);
        let mut journal = open(&disk);
        journal.seal().expect("sealed");
        let reader = journal.reader();
        for first in reader.segment_starts() {
            let packed = reader.pack(first, &mut || true).expect("packed");
            let edit =
                |_, json: &str| json.contains("SECRET").then(|| json.replace("SECRET", "gone"));
            if let Some(new) = reader.rewrite(first, &mut { edit }).expect("rewritten") {
                journal.put_in_place(new).expect("in place");
                if let Some(packed) = packed {
                    assert!(!journal.put_packed(packed).expect("given up"));
                }
            }
        }
        for (name, _) in disk.look() {
            let octets = packed::octets(&disk, &name);
            assert!(!String::from_utf8_lossy(&octets).contains("SECRET"), "{name}");
        }
        let expected: Vec<_> =
            (1..=RECORDS).map(|seq| (seq, json(seq).replace("SECRET", "gone"))).collect();
        assert_eq!(said(&journal), expected);
    }

    #[test]
    fn a_damaged_segment_stays_as_it_is() {
        let disk = filled(4);
        let name = Segment::file_name(1);
        disk.flip(&name, 150);
        let before = disk.contents(&name);
        let mut journal = open(&disk);
        pack_all(&mut journal).expect("packed");
        assert_eq!(disk.contents(&name), before);
        assert_eq!(journal.reader().damaged(), 1);
    }
}
