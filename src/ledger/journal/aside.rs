//! Files with a name of ours that are not ours: they are renamed, never read and never removed.

use super::disk::Disk;

/// Renames a file of a folder; gives its name in there after that.
pub(super) fn set_aside(disk: &dyn Disk, dir: &str, name: &str) -> String {
    tracing::error!(file = name, "this file is none of the list's: it is set aside and not read");
    let taken = disk.list(dir).unwrap_or_default();
    let bare = name.strip_prefix(dir).unwrap_or(name).trim_start_matches('/');
    let mut aside = format!("{bare}.aside");
    // An older one of the same name is somebody's, too.
    for n in 1..=taken.len() {
        if taken.contains(&aside) {
            aside = format!("{bare}.aside{n}");
        }
    }
    let renamed = disk.rename(name, &format!("{dir}/{aside}"));
    if let Err(error) = renamed.and_then(|()| disk.sync_dir(dir)) {
        tracing::warn!(file = name, %error, "it cannot be renamed: it stays and is not read");
        return bare.to_string();
    }
    aside
}
