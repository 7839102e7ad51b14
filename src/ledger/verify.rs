//! The proof that a list is what its journal says: the journal is folded again, beside the list, and
//! the two are compared by their digests.
//!
//! Of a list that is in use, what is compared is what a start would make of it at this moment: newest
//! checkpoint and journal are laid out in a folder of their own, and nothing waits for it.
//!
//! It is folded from its first record, or, when records of before are gone (`journal.keep`), from the
//! oldest checkpoint that goes on with what is left. It happens in a folder `again-<milliseconds>` of
//! the data directory, with links to the segments, so it costs the space of a list and no more. The
//! folder goes at the end; what a killed run left goes with the next one.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::backup::{self, SCRATCH};
use super::journal::{self, DirLock, RealDisk};
use super::order::{Place, SharedJournal};
use super::store::{Options, SledLedger};
use super::{Fold, Ledger, LedgerError, private};
use crate::event::{Act, Event};
use crate::mail::Timestamp;

/// Records that are compared at once.
const AT_ONCE: usize = 500;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The last record that was taken from a checkpoint; 0: none was.
    pub from: u64,
    /// The last record.
    pub through: u64,
    /// Records that are damaged or missing: nobody can fold them again.
    pub damaged: u64,
    /// A record that judges others again that are gone, after the checkpoint: nobody can fold it again
    /// as it was folded.
    pub reaches_back: Option<u64>,
    /// The digest of the list.
    pub list: String,
    /// The digest of the journal, folded again.
    pub again: String,
}

impl Verified {
    /// The list is what its journal says.
    pub fn is_same(&self) -> bool {
        self.list == self.again
    }
}

/// A folder beside the list, gone when it is dropped.
pub struct ScratchFolder {
    dir: PathBuf,
    /// Locked, so that nobody takes it for one that a killed run left.
    _open: fs::File,
}

impl ScratchFolder {
    /// Makes it, and removes what a killed run left.
    pub fn new(data_dir: &Path) -> io::Result<Self> {
        for entry in fs::read_dir(data_dir)?.flatten() {
            let is_ours = entry.file_name().to_string_lossy().starts_with(SCRATCH);
            if is_ours && fs::File::open(entry.path()).is_ok_and(|dir| journal::try_lock(&dir)) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let dir = data_dir.join(format!("{SCRATCH}{}", Timestamp::now().millis()));
        fs::DirBuilder::new().mode(0o700).create(&dir)?;
        let open = fs::File::open(&dir)?;
        let _ = journal::try_lock(&open);
        Ok(Self { dir, _open: open })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), %error, "a folder cannot be removed");
        }
    }
}

/// A list that is open to be proved.
pub struct OpenList {
    /// The list.
    pub ledger: SledLedger,
    /// How it was opened.
    pub options: Options,
    /// Somebody uses the list itself: this is what a start would make of it.
    pub is_in_use: bool,
    /// After the list, which is in it.
    _scratch: Option<ScratchFolder>,
}

impl OpenList {
    /// Opens the list of a data directory, or, when somebody has it, what a start would make of it.
    pub fn open(options: &Options, fold: Box<dyn Fold>) -> Result<Self, LedgerError> {
        let dir = &options.data_dir;
        if !DirLock::is_taken(dir) {
            let ledger = SledLedger::open(options.clone(), fold)?;
            let options = options.clone();
            return Ok(Self { ledger, options, is_in_use: false, _scratch: None });
        }
        if let Some(why) = private::refuse_root_of_another(dir) {
            return Err(LedgerError::Fatal(why));
        }
        let failed = |error| journal::refused("the journal cannot be folded again", &error);
        let scratch = ScratchFolder::new(dir).map_err(failed)?;
        let laid = backup::snapshot(dir, scratch.path());
        laid.map_err(|error| LedgerError::Retryable(error.to_string()))?;
        let options = Options { data_dir: scratch.path().to_path_buf(), ..options.clone() };
        let ledger = SledLedger::open(options.clone(), fold)?;
        Ok(Self { ledger, options, is_in_use: true, _scratch: Some(scratch) })
    }
}

/// Folds the journal of an open list again. Nobody else may use its data directory.
pub fn fold_again(
    ledger: &SledLedger,
    options: &Options,
    fold: Box<dyn Fold>,
) -> Result<Verified, LedgerError> {
    wait_ready(ledger);
    ledger.check_journal()?;
    let (status, list) = (ledger.status(), ledger.digest()?);
    let failed = |error| journal::refused("the journal cannot be folded again", &error);
    let scratch = ScratchFolder::new(&options.data_dir).map_err(failed)?;
    let from = lay_out(&options.data_dir, scratch.path(), status.first_seq).map_err(failed)?;
    let options = Options { data_dir: scratch.path().to_path_buf(), ..options.clone() };
    let again = SledLedger::open(options, fold)?;
    wait_ready(&again);
    let digest = again.digest()?;
    drop(again);
    let (first, through) = (status.first_seq, status.last_seq);
    let reaches_back = match list == digest || from == 0 {
        true => None,
        false => reaches_back(ledger, from + 1, first)?,
    };
    let damaged = status.damaged;
    Ok(Verified { from, through, damaged, reaches_back, list, again: digest })
}

/// A record from `from` on that judges records before `first` again.
fn reaches_back(ledger: &SledLedger, from: u64, first: u64) -> Result<Option<u64>, LedgerError> {
    let mut next = from;
    loop {
        let lines = ledger.journal(next, AT_ONCE)?;
        let Some((last, _)) = lines.last() else { return Ok(None) };
        next = last + 1;
        for (seq, line) in lines.iter().filter(|(_, line)| line.contains("verdicts")) {
            let act = serde_json::from_str::<Event>(line).ok().and_then(|event| event.act);
            if let Some(Act::Rejudge { verdicts, .. }) = act
                && verdicts.iter().any(|(judged, _)| *judged < first)
            {
                return Ok(Some(*seq));
            }
        }
    }
}

/// However long it takes.
pub fn wait_ready(ledger: &SledLedger) {
    while !ledger.wait_ready(Duration::from_secs(1)) {}
}

/// Lays a journal out in another folder, with a checkpoint when it needs one; gives its position.
fn lay_out(data_dir: &Path, to: &Path, first_seq: u64) -> io::Result<u64> {
    let (from, into) = (data_dir.join("journal"), to.join("journal"));
    fs::DirBuilder::new().mode(0o700).create(&into)?;
    // What was set aside is no segment, and a folder or a FIFO can be neither linked nor copied.
    let is_segment =
        |name: &OsString| from.join(name).is_file() && name.to_string_lossy().ends_with(".journal");
    let names = fs::read_dir(&from)?.flatten().map(|file| file.file_name());
    let mut names: Vec<_> = names.filter(is_segment).collect();
    names.sort();
    let last = names.last().cloned();
    for name in names {
        // The last one may be written to when it is opened.
        match Some(&name) == last.as_ref() {
            true => drop(fs::copy(from.join(&name), into.join(&name))?),
            false => fs::hard_link(from.join(&name), into.join(&name))?,
        }
    }
    if first_seq <= 1 {
        return Ok(0);
    }
    let mut positions = journal::checkpoints(&RealDisk::new(data_dir)?)?;
    positions.sort_unstable();
    let position = positions.into_iter().find(|position| position + 1 >= first_seq);
    let position = position.ok_or_else(|| {
        io::Error::other(format!("it begins at {first_seq}, and no checkpoint goes on there"))
    })?;
    let name = format!("checkpoint/{position:020}.checkpoint");
    fs::DirBuilder::new().mode(0o700).create(to.join("checkpoint"))?;
    fs::hard_link(data_dir.join(&name), to.join(&name))?;
    Ok(position)
}

/// Compares the records of a node, each octet, with those of the shared journal, from the first that
/// both have, and its chain with its ids; gives how many those are. `Corrupt` says which record differs;
/// any other error, that nobody can tell.
pub fn compare(ledger: &SledLedger, shared: &mut dyn SharedJournal) -> Result<u64, LedgerError> {
    let status = ledger.status();
    let (last, first) = (status.last_seq, status.first_seq.max(shared.stock()?.first));
    let mut place = Place::default();
    if first > 1 {
        if last < first {
            return Err(LedgerError::Outdated(format!(
                "this node ends at {last}, and the shared journal begins at {first} by now"
            )));
        }
        place = shared.find(first, &[])?;
        let theirs = shared.records(first, 1)?.0;
        if ledger.journal(first, 1)? != theirs {
            return Err(differs(first, "it is not the one of this node"));
        }
    }
    loop {
        let news = shared.read(&place, AT_ONCE)?;
        if news.lines.is_empty() {
            return match place.seq < last {
                true => Err(differs(place.seq + 1, "the engine does not have it")),
                false => Ok((place.seq + 1).saturating_sub(first)),
            };
        }
        let mine = ledger.journal(place.seq + 1, news.lines.len())?;
        for (seq, line) in &news.lines {
            let id = serde_json::from_str::<Event>(line).map(|event| event.id);
            place = place.after(&id.map_err(|_| differs(*seq, "it is no record"))?);
            let own = mine.iter().find(|(own, _)| own == seq);
            if *seq <= last && own.is_none_or(|(_, own)| own != line) {
                return Err(differs(*seq, "it is not the one of this node"));
            }
        }
        if place != news.through {
            return Err(differs(place.seq, "its chain is not that of the records before it"));
        }
    }
}

fn differs(seq: u64, why: &str) -> LedgerError {
    LedgerError::Corrupt(format!("record {seq} of the shared journal: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;
    use crate::ledger::Rows;

    /// Counts events of an address, by so many each.
    struct Counts(u8);

    impl Fold for Counts {
        fn fold(&mut self, rows: &mut dyn Rows, event: &mut Event) -> Result<(), LedgerError> {
            let Some(Act::Fact { name, .. }) = &event.act else { return Ok(()) };
            let before = rows.get(name.as_bytes())?.and_then(|value| value.first().copied());
            let now = before.unwrap_or(0).wrapping_add(self.0);
            rows.put(name.clone().into_bytes(), Some(vec![now]));
            Ok(())
        }

        fn touches(&self, _: &Event) -> Vec<String> {
            Vec::new()
        }
    }

    fn event(n: u64) -> Event {
        let act = Act::Fact { name: format!("row{}", n % 7), value: "x".repeat(200) };
        Event {
            act: Some(act),
            ..Event::new(EventType::Act, format!("id-{n}"), Timestamp::from_millis(n as i64))
        }
    }

    #[test]
    fn a_list_that_is_not_what_its_journal_says_is_found() {
        let dir = tempfile::tempdir().expect("scratch");
        let options = Options { segment_bytes: 4096, ..Options::new(dir.path().join("data")) };
        let ledger = SledLedger::open(options.clone(), Box::new(Counts(1))).expect("a start");
        for n in 1..=60 {
            ledger.commit(&mut [event(n)]).expect("committed");
        }
        let found = fold_again(&ledger, &options, Box::new(Counts(1))).expect("folded");
        assert!(found.is_same() && (found.from, found.through, found.damaged) == (0, 60, 0));
        let found = fold_again(&ledger, &options, Box::new(Counts(2))).expect("folded");
        assert!(!found.is_same(), "{found:?}");
        // Without the first segments, from the oldest checkpoint that goes on with the rest.
        ledger.checkpoint(Timestamp::from_millis(61)).expect("written");
        for n in 61..=90 {
            ledger.commit(&mut [event(n)]).expect("committed");
        }
        ledger
            .checkpoint(Timestamp::from_millis(i64::from(u16::MAX) * 86_400_000 * 30))
            .expect("written");
        let begins = ledger.status().first_seq;
        let found = fold_again(&ledger, &options, Box::new(Counts(1))).expect("folded");
        assert!(found.is_same() && found.through == 90, "{begins}: {found:?}");
        // While it is in use: what a start would make of it, and what comes meanwhile harms nothing.
        let used = OpenList::open(&options, Box::new(Counts(1))).expect("laid out");
        for n in 91..=120 {
            ledger.commit(&mut [event(n)]).expect("committed");
        }
        let found = fold_again(&used.ledger, &used.options, Box::new(Counts(1))).expect("folded");
        assert!(used.is_in_use && found.is_same() && found.through == 90, "{found:?}");
        // Another one does not remove it.
        let other = OpenList::open(&options, Box::new(Counts(1))).expect("laid out");
        assert_eq!((other.ledger.status().last_seq, used.options.data_dir.exists()), (120, true));
        let found = fold_again(&other.ledger, &other.options, Box::new(Counts(2))).expect("folded");
        assert!(!found.is_same() && found.reaches_back.is_none(), "{found:?}");
        drop((used, other));
        assert_eq!(ledger.status().last_seq, 120);
        let names = || fs::read_dir(&options.data_dir).expect("ours").flatten();
        let left = names().filter(|entry| entry.file_name().to_string_lossy().starts_with(SCRATCH));
        assert_eq!(left.count(), 0);
    }
}
