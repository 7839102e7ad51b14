//! A backup as a folder: made, made again by what changed, checked.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{
    BackupError, Copied, FoundFile, MANIFEST, Manifest, at, copy_octets, is_below, open, pass,
};

/// Where the copies are, each under its sum.
const FILES: &str = "files";

/// Where in a backup a file is.
pub(super) fn place(backup: &Path, file: &Copied) -> PathBuf {
    backup.join(FILES).join(&file.sha256)
}

/// Copies a data directory into a folder, which is new, empty or an earlier backup: files that did
/// not change since are not read again, files that are gone are removed.
pub fn into_folder(data_dir: &Path, to: &Path) -> Result<Manifest, BackupError> {
    outside(data_dir, to)?;
    let before = earlier(to)?;
    let known = |found: &FoundFile| {
        let files = before.iter().flat_map(|manifest| &manifest.files);
        let same = |file: &&Copied| {
            (&file.path, file.octets, file.modified) == (&found.path, found.octets, found.modified)
        };
        files.filter(same).find(|file| {
            // A copy that was damaged since is made again.
            summed(&place(to, file)).is_ok_and(|sum| sum == (file.octets, file.sha256.clone()))
        })
    };
    make_folder(&to.join(FILES))?;
    let manifest = pass(data_dir, |found, original| match known(found) {
        Some(copied) => Ok(Some(copied.clone())),
        None => copied(found, original, to),
    })?;
    sync_folder(&to.join(FILES))?;
    write_whole(&to.join(MANIFEST), &manifest.encoded())?;
    remove_others(to, &manifest)?;
    Ok(manifest)
}

/// A backup inside the data directory would be part of the next one, and out of reach of an erasure.
fn outside(data_dir: &Path, to: &Path) -> Result<(), BackupError> {
    let to = std::path::absolute(to).map_err(at(to))?;
    // The folder may not be there yet.
    let there = to.ancestors().find_map(|path| path.canonicalize().ok());
    let inside = data_dir
        .canonicalize()
        .is_ok_and(|data_dir| there.is_some_and(|path| path.starts_with(data_dir)));
    match inside {
        true => Err(BackupError::Wrong(format!(
            "{} is inside the data directory: name a folder outside of it",
            to.display()
        ))),
        false => Ok(()),
    }
}

/// Length and sum of a file.
fn summed(path: &Path) -> io::Result<(u64, String)> {
    File::open(path).and_then(|mut file| copy_octets(&mut file, &mut io::sink(), u64::MAX))
}

fn earlier(to: &Path) -> Result<Option<Manifest>, BackupError> {
    let path = to.join(MANIFEST);
    match fs::read(&path) {
        Ok(octets) => Manifest::read(&octets, &path).map(Some),
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            let foreign = fs::read_dir(to).is_ok_and(|entries| {
                entries.flatten().any(|entry| entry.file_name().to_str() != Some(FILES))
            });
            if foreign {
                return Err(BackupError::Wrong(format!(
                    "{} holds other things than a backup: name a new folder, or an earlier backup",
                    to.display()
                )));
            }
            Ok(None)
        }
        Err(why) => Err(at(&path)(why)),
    }
}

fn copied(
    found: &FoundFile,
    original: &Path,
    backup: &Path,
) -> Result<Option<Copied>, BackupError> {
    let Some(mut file) = open(original)? else { return Ok(None) };
    let unfinished = backup.join(FILES).join("unfinished");
    let mut copy = create(&unfinished)?;
    // What is appended from now on belongs to the next backup.
    let (octets, sha256) =
        copy_octets(&mut file, &mut copy, found.octets).map_err(at(&unfinished))?;
    copy.sync_all().map_err(at(&unfinished))?;
    let modified = if octets == found.octets { found.modified } else { 0 };
    let copied = Copied { path: found.path.clone(), octets, sha256, modified };
    let to = place(backup, &copied);
    fs::rename(&unfinished, &to).map_err(at(&to))?;
    Ok(Some(copied))
}

/// Reads every file of a backup again; gives what is wrong, one sentence each.
pub fn verify(backup: &Path) -> Result<(Manifest, Vec<String>), BackupError> {
    let path = backup.join(MANIFEST);
    let manifest = Manifest::read(&fs::read(&path).map_err(at(&path))?, &path)?;
    let mut wrong = Vec::new();
    for file in &manifest.files {
        let path = &file.path;
        if !is_below(path) {
            wrong.push(format!("{path}: not a path of ours"));
            continue;
        }
        match summed(&place(backup, file)) {
            Err(why) => wrong.push(format!("{path}: {why}")),
            Ok((octets, _)) if octets != file.octets => {
                wrong.push(format!("{path}: {octets} octets instead of {}", file.octets));
            }
            Ok((_, sha256)) if sha256 != file.sha256 => {
                wrong.push(format!("{path}: its sum is not the one of the manifest"));
            }
            Ok(_) => {}
        }
    }
    Ok((manifest, wrong))
}

/// What an erasure or `journal.keep` removed must not live on in a backup.
fn remove_others(backup: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let named: BTreeSet<&str> = manifest.files.iter().map(|file| file.sha256.as_str()).collect();
    let folder = backup.join(FILES);
    for entry in fs::read_dir(&folder).map_err(at(&folder))?.flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        if !name.to_str().is_some_and(|name| named.contains(name)) {
            fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

pub(super) fn make_folder(path: &Path) -> Result<(), BackupError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))
}

/// A file for its owner alone.
pub(super) fn create(path: &Path) -> Result<File, BackupError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(at(path))
}

fn write_whole(path: &Path, octets: &[u8]) -> Result<(), BackupError> {
    let unfinished = path.with_extension("tmp");
    let mut file = create(&unfinished)?;
    file.write_all(octets).and_then(|()| file.sync_all()).map_err(at(&unfinished))?;
    fs::rename(&unfinished, path).map_err(at(path))?;
    sync_folder(path.parent().unwrap_or(path))
}

pub(super) fn sync_folder(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(at(path))
}
