//! Log lines for systemd's journal, with a field for each value: `journalctl -u bounced KIND=failure`.
//! The protocol is systemd's "Native Journal Protocol": one datagram a line, `KEY=value`, or the key,
//! a length and the value where the value has line ends.
//!
//! Promises: a value of a stranger never makes a field of its own; MESSAGE is the line as it is on
//! standard error elsewhere, so that nobody who reads it misses anything; what the journal does not
//! take goes to standard error, which is the journal too.
//!
//! A crate would leave the values out of MESSAGE (tracing-journald), and its socket cannot be another
//! one in a test.

use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Where journald listens; systemd gives a unit with `LogNamespace=` its own there.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Of one value. A datagram that is too large for the socket is not taken at all.
const MAX_VALUE: usize = 8 << 10;
/// Of the name of a field, by journald.
const MAX_NAME: usize = 64;

/// Writes each event as one record of the journal.
pub struct JournalLayer {
    socket: UnixDatagram,
    path: PathBuf,
}

impl JournalLayer {
    /// When standard error is the journal, and its socket is there.
    pub fn of_stderr() -> Option<Self> {
        let stream = std::env::var("JOURNAL_STREAM").ok()?;
        is_stream(&stream, std::io::stderr()).then(|| Self::at(Path::new(SOCKET)))?.ok()
    }

    /// A journal that listens at a path.
    fn at(path: &Path) -> std::io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // An empty datagram is nothing to journald; here it shows whether somebody listens.
        socket.send_to(&[], path)?;
        Ok(Self { socket, path: path.to_path_buf() })
    }
}

impl<S: Subscriber> Layer<S> for JournalLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut record = JournalRecord::default();
        event.record(&mut record);
        let priority = priority(*event.metadata().level());
        let message = format!("{}{}", record.message, record.values);
        let mut octets = Vec::with_capacity(record.fields.len() + message.len() + 128);
        put(&mut octets, "MESSAGE", &message);
        put(&mut octets, "PRIORITY", &priority.to_string());
        put(&mut octets, "SYSLOG_IDENTIFIER", "bounced");
        put(&mut octets, "TARGET", event.metadata().target());
        octets.extend_from_slice(&record.fields);
        if self.socket.send_to(&octets, &self.path).is_err() {
            // journald takes the number as the priority (sd-daemon(3)).
            let _ = writeln!(std::io::stderr(), "<{priority}>{message}");
        }
    }
}

/// Whether `JOURNAL_STREAM`, device and inode, is this open file.
fn is_stream(stream: &str, file: impl AsFd) -> bool {
    let named = stream.split_once(':').and_then(|(device, inode)| {
        Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
    });
    let Ok(open) = rustix::fs::fstat(file) else { return false };
    named == Some((open.st_dev, open.st_ino))
}

/// By syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[derive(Default)]
struct JournalRecord {
    /// Words of the event.
    message: String,
    /// ` key=value` of each field, for MESSAGE.
    values: String,
    /// The fields, as they are sent.
    fields: Vec<u8>,
}

impl JournalRecord {
    fn add(&mut self, field: &Field, value: &str, shown: &str) {
        let name = field.name().trim_start_matches("r#");
        let _ = write!(self.values, " {name}={shown}");
        put(&mut self.fields, &journal_name(name), value);
    }
}

impl Visit for JournalRecord {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = visible(value),
            _ => self.add(field, value, &format!("{value:?}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "message" => self.message = visible(&value),
            _ => self.add(field, &value, &visible(&value)),
        }
    }
}

/// Without the signs that make journalctl call a message a blob.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\t' => shown.push(letter),
            letter if letter.is_control() => shown.extend(letter.escape_default()),
            letter => shown.push(letter),
        }
    }
    shown
}

/// `commit_ms` is COMMIT_MS: letters of ASCII, digits and `_`, a letter first.
fn journal_name(name: &str) -> String {
    let letters = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    let name: String = letters.take(MAX_NAME).collect::<String>().to_ascii_uppercase();
    let name = name.trim_start_matches(|first: char| !first.is_ascii_uppercase());
    // These are said above, and a second one would be a second value.
    match name {
        "MESSAGE" | "PRIORITY" | "SYSLOG_IDENTIFIER" | "TARGET" | "" => format!("FIELD_{name}"),
        name => name.to_string(),
    }
}

/// One field. `name` is one that journald takes.
fn put(octets: &mut Vec<u8>, name: &str, value: &str) {
    let mut end = value.len().min(MAX_VALUE);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let value = value.get(..end).unwrap_or_default();
    octets.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        octets.push(b'\n');
        octets.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        octets.push(b'=');
    }
    octets.extend_from_slice(value.as_bytes());
    octets.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use tracing_subscriber::layer::SubscriberExt;

    /// The fields of a datagram, as journald reads them.
    fn fields(mut octets: &[u8]) -> Vec<(String, String)> {
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).expect("UTF-8");
        let mut found = Vec::new();
        while !octets.is_empty() {
            let end = octets.iter().position(|o| *o == b'\n').expect("a line");
            let (line, rest) = (&octets[..end], &octets[end + 1..]);
            let (name, value);
            if let Some(equal) = line.iter().position(|o| *o == b'=') {
                (name, value) = (text(&line[..equal]), text(&line[equal + 1..]));
                octets = rest;
            } else {
                let (length, rest) = rest.split_at(8);
                let length = u64::from_le_bytes(length.try_into().expect("8 octets")) as usize;
                (name, value) = (text(line), text(&rest[..length]));
                assert_eq!(rest[length], b'\n');
                octets = &rest[length + 1..];
            }
            found.push((name, value));
        }
        found
    }

    /// What a journal got of the lines that are written meanwhile.
    fn journalled(write: impl FnOnce()) -> Vec<Vec<(String, String)>> {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).expect("a socket");
        let layer = JournalLayer::at(&path).expect("somebody listens");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), write);
        journal.set_nonblocking(true).expect("a socket");
        let mut octets = vec![0; 1 << 20];
        let mut records = Vec::new();
        while let Ok(length) = journal.recv(&mut octets) {
            records.push(fields(&octets[..length]));
        }
        assert!(records.remove(0).is_empty(), "the first only asks");
        records
    }

    fn value<'a>(record: &'a [(String, String)], name: &str) -> &'a str {
        let found: Vec<_> = record.iter().filter(|(known, _)| known == name).collect();
        assert_eq!(found.len(), 1, "{name} in {record:?}");
        &found[0].1
    }

    #[test]
    fn each_value_is_a_field_and_the_message_has_all() {
        let records = journalled(|| {
            tracing::info!(
                session = "s1",
                kind = "failure",
                tls = true,
                commit_ms = 3u64,
                "stored"
            );
            tracing::warn!(peer = %"192.0.2.1", "slow {}", "client");
            tracing::error!(r#type = ?Some(1), "failed");
            tracing::debug!("detail");
        });
        let stored = &records[0];
        for (name, wanted) in [
            ("MESSAGE", "stored session=\"s1\" kind=\"failure\" tls=true commit_ms=3"),
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", "bounced"),
            ("SESSION", "s1"),
            ("KIND", "failure"),
            ("TLS", "true"),
            ("COMMIT_MS", "3"),
        ] {
            assert_eq!(value(stored, name), wanted);
        }
        assert_eq!(value(&records[1], "MESSAGE"), "slow client peer=192.0.2.1");
        assert_eq!(value(&records[2], "TYPE"), "Some(1)");
        let priorities: Vec<_> = records.iter().map(|record| value(record, "PRIORITY")).collect();
        assert_eq!(priorities, ["6", "4", "3", "7"]);
    }

    #[test]
    fn a_stranger_makes_no_field() {
        let claim = "mx\nPRIORITY=0\nMESSAGE=all is well\u{1b}[2J";
        let records = journalled(|| tracing::info!(helo = claim, error = %claim, "stored"));
        assert_eq!(value(&records[0], "HELO"), claim);
        assert_eq!(value(&records[0], "PRIORITY"), "6");
        let message = value(&records[0], "MESSAGE");
        assert!(message.starts_with("stored helo=\"mx\\nPRIORITY"), "{message}");
        assert!(!message.contains('\u{1b}'), "{message}");
    }

    #[test]
    fn a_long_value_is_cut_between_letters() {
        let long = "ä".repeat(MAX_VALUE);
        let records = journalled(|| tracing::info!(error = format!("x{long}"), "failed"));
        assert_eq!(value(&records[0], "ERROR").len(), MAX_VALUE - 1);
    }

    #[test]
    fn names_are_those_that_journald_takes() {
        for (name, wanted) in [
            ("commit_ms", "COMMIT_MS"),
            ("otel.name", "OTEL_NAME"),
            ("_pid", "PID"),
            ("message", "FIELD_MESSAGE"),
            ("priority", "FIELD_PRIORITY"),
            ("42", "FIELD_"),
        ] {
            assert_eq!(journal_name(name), wanted);
        }
    }

    #[test]
    fn only_the_stream_that_systemd_named_is_the_journal() {
        let file = tempfile::tempfile().expect("a scratch file");
        let meta = file.metadata().expect("it is open");
        let (device, inode) = (meta.dev(), meta.ino());
        for (stream, is) in [
            (format!("{device}:{inode}"), true),
            (format!("{device}:{}", inode + 1), false),
            (format!("{}:{inode}", device + 1), false),
            (format!("{inode}"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_stream(&stream, &file), is, "{stream}");
        }
        assert!(JournalLayer::at(Path::new("/nobody/listens/here")).is_err());
    }
}
