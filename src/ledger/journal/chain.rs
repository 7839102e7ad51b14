//! Which files of the journal's folder are its segments: those that fit one after the other. What
//! does not fit is set aside with a word, never obeyed; nothing that was acknowledged is in it.
//!
//! | file | comes from | then |
//! |---|---|---|
//! | `*.begun`, `*.rewrite`, `*.packing` | a step that was not finished | removed: what it was to replace is there |
//! | a segment without records, and the one before it goes on past its name | the new segment was named, then an error, and mail went on in the old one | removed |
//! | a segment without records, nothing after it | sealed, then killed | used |
//! | a head or first record of another position, another journal, no record at all | not ours | `*.aside` |
//! | positions that the segment before it has, too | not ours | `*.aside` |
//! | a segment that the one after it does not name, though it names the one before | not ours | `*.aside` |
//! | a folder, FIFO, device or link to nothing by the name of a segment | not ours | `*.aside`, never opened |
//! | a step in the positions | a segment is missing, or its end was lost | counted, see [`Gap`] |
//! | no header, positions fit | a release before headers | read as ever |
//! | a header that fails its CRC, positions fit | damage | read as ever, counted |

use std::collections::BTreeMap;
use std::io;

use super::aside;
use super::disk::{Disk, DiskFile};
use super::header::{Header, unnamed};
use super::packed::{self, Packed};
use super::segment::{DIR, Segment, last_record};
use crate::ledger::remembered::{self, OLDEST};

/// How files end of which a step was not finished.
const UNFINISHED: [&str; 3] = [".begun", ".rewrite", ".packing"];

/// Positions that no segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) from: u64,
    pub(super) through: u64,
    /// The file that they should be in front of.
    pub(super) before: String,
    /// The file that should have them and whose end cannot be read.
    pub(super) within: Option<String>,
}

/// The segments of a folder, in order, and what was found beside them.
#[derive(Default)]
pub(super) struct Chain {
    pub(super) segments: Vec<Segment>,
    pub(super) gaps: Vec<Gap>,
    /// Names of files that were set aside, now or before.
    pub(super) aside: Vec<String>,
    /// One past the last position that a file set aside at the end may have used.
    pub(super) used: u64,
}

/// A file that may be a segment.
struct Candidate {
    first: u64,
    header: Option<Header>,
    packed: Option<Packed>,
    begins: u64,
    length: u64,
    /// Last position that can be read in it; None when there is no record.
    last: Option<u64>,
    /// Its first readable position.
    first_found: Option<u64>,
    lines: u64,
}

impl Candidate {
    fn read(disk: &dyn Disk, first: u64) -> io::Result<Self> {
        let (file, packed) = packed::open(disk, &Segment::file_name(first))?;
        let file: &dyn DiskFile = file.as_ref();
        let length = file.length()?;
        let (header, begins) = match Header::read(file)? {
            Some((header, length)) => (Some(header), length),
            None => (None, 0),
        };
        let probe = Segment::new(first, begins, length, None);
        let (first_found, lines) = probe.first_record(file)?;
        let last = match first_found {
            Some(_) => last_record(file, begins, length)?,
            None => None,
        };
        Ok(Self { first, header, packed, begins, length, last, first_found, lines })
    }

    fn id(&self) -> String {
        self.header.as_ref().map_or_else(|| unnamed(self.first), |header| header.id.clone())
    }

    fn follows(&self, id: &str) -> bool {
        self.header.as_ref().is_some_and(|header| header.after == id)
    }

    /// It says of itself what its name says; without a header its records have to.
    fn is_of_its_name(&self) -> bool {
        match &self.header {
            Some(header) => header.first == self.first,
            // After damage it may begin later.
            None => self
                .first_found
                .is_some_and(|found| found == self.first || (found > self.first && self.lines > 0)),
        }
    }

    fn into_segment(self) -> Segment {
        Segment::new(self.first, self.begins, self.length, self.header).into_packed(self.packed)
    }
}

/// Reads the folder. Sets aside and removes what does not fit; where the disk will not let it, the
/// file is not obeyed all the same. An error means that something could not be read: then nothing
/// is known of it, and nothing was changed.
pub(super) fn chain(disk: &dyn Disk) -> io::Result<Chain> {
    let mut found = Chain::default();
    let (mut candidates, mut unfinished, mut no_files) = (Vec::new(), Vec::new(), Vec::new());
    for name in disk.list(DIR)? {
        if let Some(first) = Segment::first_seq_of(&name) {
            match disk.is_file(&Segment::file_name(first))? {
                Some(true) => candidates.push(Candidate::read(disk, first)?),
                Some(false) => no_files.push(first),
                // It went after the folder was read.
                None => {}
            }
        } else if UNFINISHED.iter().any(|end| name.ends_with(end)) {
            unfinished.push(name);
        } else {
            found.aside.push(name);
        }
    }
    for name in &unfinished {
        remove(disk, &format!("{DIR}/{name}"));
    }
    found.aside.extend(no_files.into_iter().map(|first| set_aside(disk, first)));
    candidates.sort_by_key(|candidate| candidate.first);
    let ours = common_journal(&candidates);
    let mut kept: Vec<Candidate> = Vec::new();
    let mut strange: Vec<Candidate> = Vec::new();
    let last_of = |kept: &[Candidate]| kept.iter().rev().find_map(|c| c.last.or(Some(c.first - 1)));
    let mut rest = candidates.into_iter().peekable();
    while let Some(next) = rest.next() {
        let other = next.header.as_ref().is_some_and(|h| Some(&h.journal) != ours.as_ref());
        let last = last_of(&kept).unwrap_or(0);
        if next.length == next.begins && !other {
            // Without records: of use only as the newest, and when nothing went on before it.
            let is_newest = rest.peek().is_none();
            if next.header.is_some() && is_newest && next.is_of_its_name() && next.first > last {
                kept.push(next);
            } else {
                remove(disk, &Segment::file_name(next.first));
            }
            continue;
        }
        // The one before it is none that this one knows: that one is the stranger.
        if let [.., before, odd] = kept.as_slice()
            && next.header.is_some()
            && !next.follows(&odd.id())
            && next.follows(&before.id())
        {
            strange.extend(kept.pop());
        }
        let last = last_of(&kept).map_or(last, |now| now.min(last));
        if other || !next.is_of_its_name() || next.first <= last {
            strange.push(next);
        } else {
            kept.push(next);
        }
    }
    for file in strange {
        let last = last_of(&kept).unwrap_or(0);
        // A segment without a header whose only records are damaged looks so, too.
        let unnamed = kept.iter().all(|segment| segment.header.is_none());
        if unnamed && file.header.is_none() && file.first == last + 1 {
            found.used = file.first + file.lines;
        }
        found.aside.push(set_aside(disk, file.first));
    }
    for pair in kept.windows(2) {
        let [before, next] = pair else { break };
        let last = before.last.unwrap_or(before.first - 1);
        if next.first > last + 1 {
            let unreadable = before.last.is_none() && before.lines > 0;
            let within = before.packed.is_some_and(|packed| packed.last_seq > last) || unreadable;
            found.gaps.push(Gap {
                from: last + 1,
                through: next.first - 1,
                before: Segment::file_name(next.first),
                within: within.then(|| Segment::file_name(before.first)),
            });
        }
    }
    if let Some(oldest) = kept.first()
        && oldest.first > 1
        && oldest.header.as_ref().is_some_and(|header| header.after.is_empty())
    {
        let before = Segment::file_name(oldest.first);
        found.gaps.insert(0, Gap { from: 1, through: oldest.first - 1, before, within: None });
    }
    removed_before(disk, kept.first().map_or(1, |segment| segment.first), &mut found.gaps)?;
    found.segments = kept.into_iter().map(Candidate::into_segment).collect();
    Ok(found)
}

/// What was removed before the first segment, as far as `oldest-record` knows.
fn removed_before(disk: &dyn Disk, first: u64, gaps: &mut Vec<Gap>) -> io::Result<()> {
    let Some(wanted) = remembered::read(disk, OLDEST)? else { return Ok(()) };
    if wanted < first && gaps.first().is_none_or(|gap| gap.through >= first) {
        let before = Segment::file_name(first);
        gaps.insert(0, Gap { from: wanted, through: first - 1, before, within: None });
    }
    Ok(())
}

/// The journal that most segments say they are of; of several the one with the newest.
fn common_journal(candidates: &[Candidate]) -> Option<String> {
    let mut count: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for candidate in candidates {
        if let Some(header) = &candidate.header {
            let (n, newest) = count.entry(&header.journal).or_default();
            *n += 1;
            *newest = candidate.first;
        }
    }
    count.into_iter().max_by_key(|(_, weight)| *weight).map(|(name, _)| name.to_string())
}

fn remove(disk: &dyn Disk, name: &str) {
    match disk.remove(name) {
        Ok(()) => tracing::info!(file = name, "a step that was not finished is cleared away"),
        Err(error) => tracing::warn!(file = name, %error, "an unfinished file cannot be removed"),
    }
}

fn set_aside(disk: &dyn Disk, first: u64) -> String {
    aside::set_aside(disk, DIR, &Segment::file_name(first))
}
