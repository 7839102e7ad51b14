//! Everything below the data directory is for its owner alone, whatever was there before: folders
//! 0700, files 0600.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Files and folders below a directory, and itself, that others may read or write. Links are left
/// alone: what they lead to is not below it.
pub fn open_to_others(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        if std::fs::metadata(&folder)?.permissions().mode() & 0o077 != 0 {
            found.push(folder.clone());
        }
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            // What goes away meanwhile is nobody's any more.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            } else if meta.is_file() && meta.permissions().mode() & 0o077 != 0 {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// Closes a directory and all below it to others; gives what could not be closed.
pub fn close_to_others(dir: &Path) -> Vec<PathBuf> {
    let Ok(found) = open_to_others(dir) else { return Vec::new() };
    let failed = |path: &PathBuf| {
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        let closed = std::fs::set_permissions(path, Permissions::from_mode(mode));
        closed.is_err_and(|error| error.kind() != io::ErrorKind::NotFound)
    };
    found.into_iter().filter(failed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_open_is_closed() {
        let dir = tempfile::tempdir().expect("scratch");
        let below = dir.path().join("view/7");
        std::fs::create_dir_all(&below).expect("made");
        std::fs::write(below.join("db"), b"x").expect("written");
        for path in [dir.path(), &below, &below.join("db")] {
            std::fs::set_permissions(path, Permissions::from_mode(0o755)).expect("set");
        }
        assert!(open_to_others(dir.path()).expect("readable").len() >= 3);
        assert_eq!(close_to_others(dir.path()), Vec::<PathBuf>::new());
        assert_eq!(open_to_others(dir.path()).expect("readable"), Vec::<PathBuf>::new());
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode();
        assert_eq!((mode(&below) & 0o777, mode(&below.join("db")) & 0o777), (0o700, 0o600));
    }
}
