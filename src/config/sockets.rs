//! Who may connect to a unix socket: `socket_mode` and `socket_group` of each kind of listener.

use super::value::Checker;

/// The file of a unix socket; None leaves it as the system makes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketAccess {
    /// Permissions, as of chmod(1).
    pub mode: Option<u32>,
    /// Number of the group.
    pub group: Option<u32>,
}

/// Of each kind of listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sockets {
    /// `smtp`
    pub smtp: SocketAccess,
    /// `lmtp`
    pub lmtp: SocketAccess,
    /// `http`
    pub http: SocketAccess,
    /// `lookup`
    pub lookup: SocketAccess,
}

impl Checker<'_> {
    pub(super) fn socket(
        &mut self,
        table: &str,
        mode: Option<&String>,
        group: Option<&String>,
    ) -> SocketAccess {
        let mode = mode.filter(|mode| !mode.is_empty()).and_then(|given| {
            let octal = (3..=4).contains(&given.len()) && given.bytes().all(|b| b.is_ascii_digit());
            match u32::from_str_radix(given, 8) {
                Ok(mode) if octal && mode <= 0o777 => Some(mode),
                _ => {
                    let key = format!("{table}.socket_mode");
                    self.wrong(&key, format!("{key}: \"{given}\" is no mode, write \"0660\""));
                    None
                }
            }
        });
        let group = group.filter(|group| !group.is_empty()).and_then(|given| {
            let found = given.parse().ok().or_else(|| group_of(given));
            if found.is_none() {
                let key = format!("{table}.socket_group");
                let text = format!(
                    "{key}: there is no group \"{given}\" in /etc/group, write its name or its number"
                );
                self.wrong(&key, text);
            }
            found
        });
        SocketAccess { mode, group }
    }
}

/// The number of a group, by group(5).
fn group_of(name: &str) -> Option<u32> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}
