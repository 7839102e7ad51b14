//! Messages from where people keep them: a file, an mbox, a folder in name order, a Maildir, or
//! standard input; one at a time, so that a folder of a hundred thousand costs no more memory
//! than its names.
//!
//! mbox (RFC 4155, the mboxrd quoting): a message begins at a `From ` line that carries a clock
//! and comes first or after an empty line; one `>` is taken off `>From `. A file whose name ends in
//! `.eml` is one message, whatever is in it. Symbolic links to
//! folders are not followed below the given path, so a loop cannot catch us, and pipes and
//! devices are read only when they are named.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::config::reason;

/// Largest message read; a mail server would not have taken it.
pub const MAX_MESSAGE: u64 = 256 << 20;
/// Longest line of an mbox that is looked at in one piece.
const BUFFER: usize = 64 << 10;

/// One message, or why there is none, under the name of its source.
pub struct MailboxItem {
    /// Path as given, with what was found below it; `#2` after it for the second of an mbox.
    pub source: String,
    /// The octets.
    pub message: Result<Vec<u8>, String>,
}

/// Calls `each` for every message, in order. An error of `each` ends the walk.
pub fn messages<E>(
    paths: &[PathBuf],
    stdin: &mut dyn BufRead,
    each: &mut dyn FnMut(MailboxItem) -> Result<(), E>,
) -> Result<(), E> {
    for path in paths {
        if path.as_os_str() == "-" {
            split("-", stdin, each)?;
        } else {
            visit(path, true, each)?;
        }
    }
    Ok(())
}

fn visit<E>(
    path: &Path,
    named: bool,
    each: &mut dyn FnMut(MailboxItem) -> Result<(), E>,
) -> Result<(), E> {
    let source = path.display().to_string();
    let meta = if named { fs::metadata(path) } else { fs::symlink_metadata(path) };
    let kind = match meta {
        Ok(meta) => meta.file_type(),
        Err(e) => return each(MailboxItem { source, message: Err(reason(&e)) }),
    };
    if kind.is_dir() {
        let names = match names(path) {
            Ok(names) => names,
            Err(e) => return each(MailboxItem { source, message: Err(reason(&e)) }),
        };
        for name in names {
            visit(&path.join(name), false, each)?;
        }
        return Ok(());
    }
    let linked_file = kind.is_symlink() && fs::metadata(path).is_ok_and(|meta| meta.is_file());
    if !named && !kind.is_file() && !linked_file {
        return Ok(());
    }
    match File::open(path) {
        Ok(file) => split(&source, &mut BufReader::with_capacity(BUFFER, file), each),
        Err(e) => each(MailboxItem { source, message: Err(reason(&e)) }),
    }
}

/// What a folder holds, in the order of its octets. Of a Maildir only `cur`, `new` and its
/// subfolders (`.name`) hold messages: `tmp` has unfinished ones, the rest are indexes.
fn names(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    let has = |name: &str| folder.join(name).is_dir();
    if has("cur") && has("new") && has("tmp") {
        names.retain(|name| {
            let text = name.to_string_lossy();
            let subfolder = text.starts_with('.') && folder.join(name).is_dir();
            text == "cur" || text == "new" || subfolder
        });
    }
    names.sort();
    Ok(names)
}

/// The messages of one stream. A stream that begins with a `From ` line is an mbox.
fn split<E>(
    source: &str,
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(MailboxItem) -> Result<(), E>,
) -> Result<(), E> {
    let mut first = Vec::new();
    if let Err(e) = read_line(input, &mut first) {
        return each(MailboxItem { source: source.to_string(), message: Err(reason(&e)) });
    }
    let separator = is_separator(&first);
    // One that a mail program saved may begin with a `From ` line, and hold others in its parts.
    let one = source.rsplit_once('.').is_some_and(|(_, kind)| kind.eq_ignore_ascii_case("eml"));
    if !separator || one {
        let mut message = if separator { Vec::new() } else { first };
        let read = input.take(MAX_MESSAGE + 1).read_to_end(&mut message);
        let message = match read {
            Err(e) => Err(reason(&e)),
            Ok(_) if message.len() as u64 > MAX_MESSAGE => Err(too_large()),
            Ok(_) => Ok(message),
        };
        return each(MailboxItem { source: source.to_string(), message });
    }
    split_mbox(source, input, each)
}

fn split_mbox<E>(
    source: &str,
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(MailboxItem) -> Result<(), E>,
) -> Result<(), E> {
    // The first message keeps the plain name when it turns out to be the only one.
    let mut number = 1;
    let name = |number: usize, last: bool| match (number, last) {
        (1, true) => source.to_string(),
        _ => format!("{source}#{number}"),
    };
    let (mut message, mut line) = (Vec::new(), Vec::new());
    let (mut after_empty, mut large) = (false, false);
    loop {
        line.clear();
        match read_line(input, &mut line) {
            Err(e) => {
                return each(MailboxItem { source: name(number, false), message: Err(reason(&e)) });
            }
            Ok(0) => {
                let message = if large { Err(too_large()) } else { Ok(trimmed(message)) };
                return each(MailboxItem { source: name(number, true), message });
            }
            Ok(_) if after_empty && is_separator(&line) => {
                let whole = trimmed(std::mem::take(&mut message));
                let message = if large { Err(too_large()) } else { Ok(whole) };
                each(MailboxItem { source: name(number, false), message })?;
                number += 1;
                (after_empty, large) = (false, false);
            }
            Ok(_) => {
                after_empty = matches!(line.as_slice(), b"\n" | b"\r\n");
                if large || (message.len() + line.len()) as u64 > MAX_MESSAGE {
                    large = true;
                    message.clear();
                } else {
                    message.extend_from_slice(unquoted(&line));
                }
            }
        }
    }
}

fn too_large() -> String {
    format!("larger than {} MiB, which no mail server takes", MAX_MESSAGE >> 20)
}

/// One line with its end, or a piece of a line that is longer than the limit of a message.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    input.take(MAX_MESSAGE).read_until(b'\n', line)
}

/// `From user@example.com Sun Nov 22 10:00:00 2026`: the clock tells it from a sentence.
fn is_separator(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"From ") else { return false };
    let digits = |pair: &[u8]| pair.iter().all(u8::is_ascii_digit);
    rest.get(..rest.len().min(512))
        .unwrap_or(rest)
        .windows(5)
        .any(|five| matches!(five, [a, b, b':', c, d] if digits(&[*a, *b, *c, *d])))
}

/// mboxrd: `>From `, `>>From ` and so on lose one `>`.
fn unquoted(line: &[u8]) -> &[u8] {
    let bare = line.iter().position(|b| *b != b'>').and_then(|n| line.get(n..));
    match (line.split_first(), bare) {
        (Some((b'>', rest)), Some(bare)) if bare.starts_with(b"From ") => rest,
        _ => line,
    }
}

/// The empty line before the next `From ` belongs to the mbox, not to the message.
fn trimmed(mut message: Vec<u8>) -> Vec<u8> {
    for (end, keep) in [(&b"\r\n\r\n"[..], 2), (&b"\n\n"[..], 1)] {
        if message.ends_with(end) {
            message.truncate(message.len() - keep);
            break;
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(paths: &[PathBuf], stdin: &[u8]) -> Vec<(String, Result<String, String>)> {
        let mut found = Vec::new();
        let mut input = stdin;
        messages(paths, &mut input, &mut |one: MailboxItem| {
            let message = one.message.map(|m| String::from_utf8_lossy(&m).into_owned());
            found.push((one.source, message));
            Ok::<(), ()>(())
        })
        .expect("nothing ends this walk");
        found
    }

    #[test]
    fn streams_are_split() {
        let separator = "From a@example.com Sun Nov 22 10:00:00 2026\n";
        for (input, expected) in [
            ("Subject: x\n\nbody\n", vec!["Subject: x\n\nbody\n"]),
            ("", vec![""]),
            (&format!("{separator}A: 1\n\nx\n"), vec!["A: 1\n\nx\n"]),
            (
                &format!("{separator}A: 1\n\nx\n\n{separator}A: 2\n\ny\n"),
                vec!["A: 1\n\nx\n", "A: 2\n\ny\n"],
            ),
            // A sentence, a line without an empty one before it, and quoted lines.
            (
                &format!("{separator}A: 1\n\nFrom now on\n{separator}\n>From x\n>>From y\n>z\n"),
                vec![
                    "A: 1\n\nFrom now on\nFrom a@example.com Sun Nov 22 10:00:00 2026\n\n\
                     From x\n>From y\n>z\n",
                ],
            ),
            // No header line at all, but a sentence: not an mbox.
            ("From me to you\n", vec!["From me to you\n"]),
        ] {
            let found = walk(&[PathBuf::from("-")], input.as_bytes());
            let messages: Vec<String> =
                found.iter().map(|(_, m)| m.clone().expect("readable")).collect();
            assert_eq!(messages, expected, "{input}");
            assert_eq!(found.len() == 1, found[0].0 == "-");
        }
    }

    #[test]
    fn an_eml_is_one_message() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let separator = "From a@example.com Sun Nov 22 10:00:00 2026\n";
        let message = format!("A: 1\n\n--B\n\n{separator}B: 2\n\nx\n\n{separator}y\n--B--\n");
        for (name, before) in [("1.eml", separator), ("2.EML", ""), ("3", "")] {
            let path = dir.path().join(name);
            fs::write(&path, format!("{before}{message}")).expect("scratch is writable");
            let found = walk(std::slice::from_ref(&path), b"");
            assert_eq!(found, [(path.display().to_string(), Ok(message.clone()))]);
        }
        // The same octets under another name are an mbox.
        let path = dir.path().join("4.mbox");
        fs::write(&path, format!("{separator}{message}")).expect("scratch is writable");
        let found: Vec<String> =
            walk(&[path], b"").into_iter().map(|(_, m)| m.expect("readable")).collect();
        assert_eq!(found, ["A: 1\n\n--B\n", "B: 2\n\nx\n", "y\n--B--\n"]);
    }

    #[test]
    fn folders_are_walked_in_name_order() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let at = |name: &str| dir.path().join(name);
        for folder in ["b", "box", "box/cur", "box/new", "box/tmp", "box/.sub", "box/.sub/cur"] {
            fs::create_dir(at(folder)).expect("scratch is writable");
        }
        for file in ["c", "a", "b/2", "b/1", "B", "box/cur/m", "box/new/n", "box/tmp/t", "box/uids"]
        {
            fs::write(at(file), file).expect("scratch is writable");
        }
        fs::write(at("box/.sub/cur/s"), "s").expect("scratch is writable");
        std::os::unix::fs::symlink(dir.path(), at("b/loop")).expect("scratch is writable");
        std::os::unix::fs::symlink(at("c"), at("b/link")).expect("scratch is writable");
        let found = walk(&[dir.path().to_path_buf(), at("missing")], b"");
        let names: Vec<String> = found
            .iter()
            .map(|(source, _)| {
                let root = format!("{}/", dir.path().display());
                source.strip_prefix(&root).unwrap_or(source).to_string()
            })
            .collect();
        let expected =
            ["B", "a", "b/1", "b/2", "b/link", "box/.sub/cur/s", "box/cur/m", "box/new/n", "c"];
        assert_eq!(names[..9], expected);
        assert_eq!(names[9], "missing");
        assert_eq!(found[9].1, Err("No such file or directory".to_string()));
    }

    #[test]
    fn the_walk_ends_when_it_is_told_to() {
        let mut seen = 0;
        let paths = [PathBuf::from("-"), PathBuf::from("-")];
        let ended = messages(&paths, &mut &b"x"[..], &mut |_| {
            seen += 1;
            Err("enough")
        });
        assert_eq!((ended, seen), (Err("enough"), 1));
    }
}
