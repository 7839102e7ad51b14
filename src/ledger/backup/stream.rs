//! A backup as a tar stream: `bounced backup - | ssh ...`.

use std::io::{self, Read, Write};
use std::path::Path;

use super::{BackupError, Copied, FoundFile, MANIFEST, Manifest, Summed, open, pass};

/// What the paths of the copies begin with.
pub(super) const DATA: &str = "data/";

/// Writes a data directory as tar; the manifest comes last. A pass that was disturbed is followed by
/// another one: of a path that comes twice, the last copy counts, as tar has it.
pub fn into_stream(data_dir: &Path, to: &mut dyn Write) -> Result<Manifest, BackupError> {
    let mut tar = tar::Builder::new(to);
    let manifest = pass(data_dir, |found, original| copied(found, original, &mut tar))?;
    let octets = manifest.encoded();
    let mut header = header(octets.len() as u64);
    tar.append_data(&mut header, MANIFEST, octets.as_slice()).map_err(BackupError::Stream)?;
    tar.into_inner().and_then(|to| to.flush()).map_err(BackupError::Stream)?;
    Ok(manifest)
}

fn header(octets: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(octets);
    header.set_mode(0o600);
    header.set_entry_type(tar::EntryType::Regular);
    header
}

fn copied<W: Write>(
    found: &FoundFile,
    original: &Path,
    tar: &mut tar::Builder<W>,
) -> Result<Option<Copied>, BackupError> {
    let Some(file) = open(original)? else { return Ok(None) };
    let mut summed = Summed::new(file.take(found.octets));
    // The length is in front of the octets: a file that got shorter is filled up, and its pass
    // begins again.
    let mut whole = (&mut summed).chain(io::repeat(0)).take(found.octets);
    tar.append_data(&mut header(found.octets), format!("{DATA}{}", found.path), &mut whole)
        .map_err(BackupError::Stream)?;
    let (octets, sha256) = summed.finish();
    let copied = Copied { path: found.path.clone(), octets, sha256, modified: found.modified };
    Ok((copied.octets == found.octets).then_some(copied))
}
