//! Small files of the data directory, replaced as a whole: `clock`, `naming`, `privacy.key`,
//! `erasing`, `lost-records`.
//!
//! | step of [`replace`] | an error or a crash after it leaves | the next one |
//! |---|---|---|
//! | 1 remove an old `NAME.part` | the old file | begins anew |
//! | 2 write and sync `NAME.part` | the old file, and a part that nobody reads | removes it |
//! | 3 rename it to `NAME` | the old file or the new one | replaces either |
//! | 4 sync the folder | the new file | |

use std::io;

use crate::ledger::journal::{Disk, DiskFile};

/// Puts a text in the place of a file, which is for its owner only. After an error the file is the old
/// one or the new one, never a part of either.
pub fn replace(disk: &dyn Disk, name: &str, text: &str) -> io::Result<()> {
    let part = format!("{name}.part");
    match disk.remove(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = disk.open(&part, true)?;
    file.append(text.as_bytes())?;
    file.sync()?;
    disk.rename(&part, name)?;
    disk.sync_dir("")
}

/// The octets of a file; None: there is no such file.
pub fn octets(disk: &dyn Disk, name: &str) -> io::Result<Option<Vec<u8>>> {
    match disk.open(name, false) {
        Ok(file) => whole(file.as_ref()).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a file says; None: there is no such file.
pub fn read(disk: &dyn Disk, name: &str) -> io::Result<Option<String>> {
    let octets = octets(disk, name)?;
    Ok(octets.map(|octets| String::from_utf8_lossy(&octets).into_owned()))
}

/// Removes a file, and makes that durable; it may be gone already.
pub fn remove(disk: &dyn Disk, name: &str) -> io::Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => disk.sync_dir(""),
    }
}

/// All octets of an open file.
pub(crate) fn whole(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let length = file.length()?;
    let mut octets = vec![0; usize::try_from(length).unwrap_or_default()];
    let mut at = 0;
    while let Some(rest) = octets.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at as u64)? {
            0 => break,
            n => at += n,
        }
    }
    octets.truncate(at);
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::journal::simulated::{DiskFault, SimulatedDisk};

    /// Every step fails once in every way, then the power goes off: what is there is the old text or
    /// the new one, and the next one who writes finds nothing in the way.
    #[test]
    fn whole_whatever_fails() {
        let faults = [
            DiskFault::Crash,
            DiskFault::Broken,
            DiskFault::Full,
            DiskFault::Files,
            DiskFault::Denied,
        ];
        let mut failed = 0;
        for (fault, seed) in faults.into_iter().flat_map(|f| (0..20).map(move |seed| (f, seed))) {
            for step in 1..=8 {
                let disk = SimulatedDisk::new(seed);
                replace(&disk, "clock", "old\n").expect("a healthy disk");
                disk.fail(disk.operations() + step, 1, fault);
                let done = replace(&disk, "clock", "new\n");
                failed += u32::from(done.is_err());
                disk.heal();
                if fault != DiskFault::Crash {
                    let now = read(&disk, "clock").expect("readable").expect("there");
                    assert!(now == "new\n" || (done.is_err() && now == "old\n"), "{now:?}");
                }
                disk.reboot();
                let what = format!("{fault:?} at step {step}, seed {seed}: {done:?}");
                let now = read(&disk, "clock").expect("readable").expect("there");
                assert!(now == "new\n" || (done.is_err() && now == "old\n"), "{what}: {now:?}");
                replace(&disk, "clock", "newest\n").unwrap_or_else(|e| panic!("{what}: {e}"));
                assert_eq!(read(&disk, "clock").expect("readable").as_deref(), Some("newest\n"));
                remove(&disk, "clock").expect("a healthy disk");
                remove(&disk, "clock").expect("gone already");
                disk.reboot();
                assert_eq!(read(&disk, "clock").expect("readable"), None, "{what}");
            }
        }
        assert!(failed >= 5 * 20 * 5, "{failed} of the steps failed");
    }
}
