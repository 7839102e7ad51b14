//! What a data directory says for certain without being opened: `doctor` asks beside a service that runs.

use std::io;
use std::path::Path;

use super::rows::key_in;
use super::space;
use crate::ledger::journal;

/// Hands over the keys of the fold below some prefixes as the newest checkpoint has them, then the records
/// after it, as JSON.
pub fn look_up(
    data_dir: &Path,
    prefixes: &[&[u8]],
    key: &mut dyn FnMut(&[u8]),
    record: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    let full: Vec<_> = prefixes.iter().map(|prefix| key_in(space::FOLD, prefix)).collect();
    let mut of_fold =
        |full: &[u8]| full.strip_prefix(&[space::FOLD]).into_iter().for_each(&mut *key);
    journal::look_up(data_dir, &full, &mut of_fold, record)
}
