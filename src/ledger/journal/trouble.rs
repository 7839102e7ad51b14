//! What is wrong with the journal, in words: which file, which records. What follows from it only the
//! store knows.

use std::io;

use super::chain;
use super::segment::{DIR, Damage, Segment};
use crate::ledger::{LedgerError, Trouble, TroubleKind};

impl From<&chain::Gap> for Trouble {
    fn from(gap: &chain::Gap) -> Self {
        let chain::Gap { from, through, before, within } = gap;
        if let Some(file) = within {
            return Trouble {
                kind: TroubleKind::JournalDamaged,
                file: Some(file.clone()),
                seqs: Some((*from, *through)),
                text: format!(
                    "records {from} to {through} are damaged in {file}: restore the file from a backup \
                     if there is one"
                ),
            };
        }
        Trouble {
            kind: TroubleKind::JournalMissing,
            file: Some(before.clone()),
            seqs: Some((*from, *through)),
            text: format!(
                "records {from} to {through} are missing before {before}: restore the file from a \
                 backup if there is one"
            ),
        }
    }
}

/// The newest segment, which began with this position, is gone.
pub(super) fn newest_is_missing(begun: u64) -> Trouble {
    let file = Segment::file_name(begun);
    Trouble {
        kind: TroubleKind::JournalMissing,
        seqs: Some((begun, begun)),
        text: format!(
            "{file}, the newest file of the journal, is missing, and nobody knows how many records it \
             held: stop the service and restore it from a backup if there is one"
        ),
        file: Some(file),
    }
}

/// A file of the folder that is none of the journal's.
pub(super) fn strange_file(name: &str) -> Trouble {
    Trouble {
        kind: TroubleKind::StrangeFile,
        file: Some(format!("{DIR}/{name}")),
        seqs: None,
        text: format!(
            "{DIR}/{name} is no part of the journal and is not read: look at it, then move it away"
        ),
    }
}

/// A place of a segment that cannot be read.
pub(super) fn damaged_place(segment: &Segment, damage: &Damage) -> Trouble {
    let file = Segment::file_name(segment.first_seq);
    let Damage { offset, from, through } = damage;
    let (seqs, what) = match through >= from {
        true => (Some((*from, *through)), format!("records {from} to {through} are damaged")),
        false => (None, "something is damaged, no record is missing".to_string()),
    };
    Trouble {
        kind: TroubleKind::JournalDamaged,
        seqs,
        text: format!(
            "{what} in {file} at octet {offset}: restore the file from a backup if there is one"
        ),
        file: Some(file),
    }
}

/// An I/O error before which nothing was acknowledged and after which nothing is left of it.
pub(crate) fn refused(what: &str, error: &io::Error) -> LedgerError {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        LedgerError::Full(format!("{what}: {error}; free some space"))
    } else {
        LedgerError::Retryable(format!("{what}: {error}"))
    }
}
