//! Everything below the data directory is for its owner alone, whatever was there before: folders
//! 0700, files 0600. And all of it belongs to one user.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
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

/// Why this user must not write here: root would leave files that the owner cannot open. None: it may.
pub fn refuse_root_of_another(data_dir: &Path) -> Option<String> {
    let owner = std::fs::metadata(data_dir).ok()?.uid();
    let me = rustix::process::geteuid();
    (me.is_root() && owner != me.as_raw()).then(|| refusal(data_dir, owner))
}

fn refusal(data_dir: &Path, owner: u32) -> String {
    let name = std::fs::read_to_string("/etc/passwd").ok().and_then(|users| {
        let of_owner = |line: &&str| line.split(':').nth(2) == Some(owner.to_string().as_str());
        let line = users.lines().find(of_owner)?;
        line.split(':').next().map(str::to_string)
    });
    let (who, how) = match name {
        Some(name) => {
            (name.clone(), format!("run this as that user: runuser -u {name} -- bounced ..."))
        }
        None => (
            format!("user {owner}"),
            "run this as that user, or give the folder to root".to_string(),
        ),
    };
    format!(
        "{} belongs to {who}, who could not open what root writes into it: {how}",
        data_dir.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_leaves_nothing_in_the_folder_of_another() {
        let dir = tempfile::tempdir().expect("scratch");
        assert_eq!(refuse_root_of_another(dir.path()), None);
        assert_eq!(refuse_root_of_another(&dir.path().join("missing")), None);
        assert!(refusal(dir.path(), 1).contains("belongs to daemon, who"));
        assert!(refusal(dir.path(), 4_000_000).contains("belongs to user 4000000, who"));
        // Only root can give a folder away.
        if std::os::unix::fs::chown(dir.path(), Some(1), None).is_ok() {
            let why = refuse_root_of_another(dir.path()).expect("refused");
            assert!(why.contains("runuser -u daemon -- bounced"), "{why}");
        }
    }

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
