//! A backup put back into an empty data directory: whole, or not at all.
//!
//! | on disk | means | a start |
//! |---|---|---|
//! | `restoring/` and nothing else | cut off while copying | is refused, the next restore begins again |
//! | `restoring/` beside other things | cut off while moving | the same |
//! | no `restoring/` | done | reads it as after a power cut |

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::folder::{create, make_folder, place, sync_folder};
use super::stream::DATA;
use super::{BackupError, MANIFEST, Manifest, at, copy_octets, is_below};
use crate::ledger::private;

/// Where the copies are until all of them are there.
const UNFINISHED: &str = "restoring";
/// Longest manifest that is read from a stream.
const MAX_MANIFEST: u64 = 64 << 20;

/// Whether a restore was cut off here: half a list must not serve.
pub fn is_cut_off(data_dir: &Path) -> bool {
    data_dir.join(UNFINISHED).exists()
}

/// Puts a backup folder back.
pub fn from_folder(backup: &Path, data_dir: &Path) -> Result<Manifest, BackupError> {
    let path = backup.join(MANIFEST);
    let manifest = Manifest::read(&fs::read(&path).map_err(at(&path))?, &path)?;
    let room = NewDataDir::make(data_dir)?;
    let mut sums = HashMap::new();
    for file in &manifest.files {
        let from = place(backup, file);
        let mut octets = fs::File::open(&from).map_err(at(&from))?;
        sums.insert(file.path.clone(), room.put(&file.path, &mut octets)?);
    }
    room.finish(&manifest, &sums)?;
    Ok(manifest)
}

/// Puts a tar stream back.
pub fn from_stream(from: &mut dyn Read, data_dir: &Path) -> Result<Manifest, BackupError> {
    let room = NewDataDir::make(data_dir)?;
    let (mut sums, mut manifest) = (HashMap::new(), None);
    let mut tar = tar::Archive::new(from);
    for entry in tar.entries().map_err(BackupError::Stream)? {
        let mut entry = entry.map_err(BackupError::Stream)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if name == MANIFEST {
            let mut octets = Vec::new();
            let read = (&mut entry).take(MAX_MANIFEST).read_to_end(&mut octets);
            read.map_err(BackupError::Stream)?;
            manifest = Some(Manifest::read(&octets, Path::new(MANIFEST))?);
        } else if let Some(path) = name.strip_prefix(DATA) {
            // Of a path that comes twice the last one counts.
            sums.insert(path.to_string(), room.put(path, &mut entry)?);
        }
    }
    let manifest = manifest.ok_or_else(|| {
        BackupError::Wrong(
            "the stream ends before its manifest: it was cut off, nothing is restored".to_string(),
        )
    })?;
    room.finish(&manifest, &sums)?;
    Ok(manifest)
}

/// The folder that becomes the data directory.
struct NewDataDir<'a> {
    data_dir: &'a Path,
    unfinished: PathBuf,
}

impl<'a> NewDataDir<'a> {
    fn make(data_dir: &'a Path) -> Result<Self, BackupError> {
        if let Some(why) = private::refuse_root_of_another(data_dir) {
            return Err(BackupError::Wrong(why));
        }
        let unfinished = data_dir.join(UNFINISHED);
        let there = match fs::read_dir(data_dir) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => false,
            Err(why) => return Err(at(data_dir)(why)),
            Ok(mut entries) => entries.next().is_some(),
        };
        if there && !unfinished.exists() {
            return Err(BackupError::Wrong(format!(
                "{} is not empty: stop the service and move it away, or name a new one",
                data_dir.display()
            )));
        }
        if there {
            // A restore that was cut off: all of it is ours, and begins again.
            for entry in fs::read_dir(data_dir).map_err(at(data_dir))?.flatten() {
                let path = entry.path();
                let gone =
                    if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                if path != unfinished {
                    gone.map_err(at(&path))?;
                }
            }
        }
        make_folder(&unfinished)?;
        Ok(Self { data_dir, unfinished })
    }

    fn put(&self, path: &str, octets: &mut dyn Read) -> Result<(u64, String), BackupError> {
        if !is_below(path) {
            return Err(BackupError::Wrong(format!("{path}: not a path of ours")));
        }
        let to = self.unfinished.join(path);
        if let Some(folder) = to.parent() {
            make_folder(folder)?;
        }
        let mut file = create(&to)?;
        let copied = copy_octets(octets, &mut file, u64::MAX).map_err(at(&to))?;
        file.sync_all().map_err(at(&to))?;
        Ok(copied)
    }

    /// Compares what came with the manifest, then moves it into its place, the journal last.
    fn finish(
        &self,
        manifest: &Manifest,
        sums: &HashMap<String, (u64, String)>,
    ) -> Result<(), BackupError> {
        for file in &manifest.files {
            if sums.get(&file.path) != Some(&(file.octets, file.sha256.clone())) {
                return Err(BackupError::Wrong(format!(
                    "{}: missing, or not what the manifest says; nothing is restored. `bounced \
                     backup verify` names all that is wrong",
                    file.path
                )));
            }
        }
        for path in sums.keys().filter(|path| !manifest.files.iter().any(|f| f.path == **path)) {
            let path = self.unfinished.join(path);
            fs::remove_file(&path).map_err(at(&path))?;
        }
        let entries = fs::read_dir(&self.unfinished).map_err(at(&self.unfinished))?;
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort_by_key(|name| name == "journal");
        for name in &names {
            sync_below(&self.unfinished.join(name))?;
        }
        for name in names {
            let to = self.data_dir.join(&name);
            fs::rename(self.unfinished.join(&name), &to).map_err(at(&to))?;
        }
        sync_folder(self.data_dir)?;
        fs::remove_dir(&self.unfinished).map_err(at(&self.unfinished))?;
        sync_folder(self.data_dir)
    }
}

fn sync_below(path: &Path) -> Result<(), BackupError> {
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(at(path))?.flatten() {
            sync_below(&entry.path())?;
        }
        sync_folder(path)?;
    }
    Ok(())
}
