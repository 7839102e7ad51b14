//! `bounced table-proc`: a table of OpenSMTPD 7.6 or newer (smtpd-tables(7)) that asks the lookup port.
//!
//! smtpd starts it, writes a line for each question and reads a line for each answer; fields are
//! separated by `|`. It must never end while smtpd runs, so trouble with the service is the answer
//! `error`, which smtpd turns into "451 Temporary failure".
//!
//! | smtpd says | we say |
//! |---|---|
//! | `config\|…` lines, then `config\|ready` | `register\|mailaddr`, `register\|ready` |
//! | `table\|0.1\|TIME\|NAME\|update\|ID` | `update-result\|ID\|ok` |
//! | `table\|0.1\|TIME\|NAME\|check\|mailaddr\|ID\|ADDRESS` | `check-result\|ID\|found`, `not-found` or `error\|TEXT` |
//! | the same with `lookup` | `lookup-result\|ID\|found\|ADDRESS`, … |
//! | `fetch` | `fetch-result\|ID\|not-found`: a suppression list is not a list of choices |
//!
//! A held address is an `error` too: smtpd's `reject` is for good, and a pause must become neither
//! a refusal nor a mail. With `--open` trouble is `not-found`, so mail goes on while the service is
//! down; a held address waits all the same.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::args::TableProcArgs;
use super::console::{Console, ExitAnswer};
use super::reach::reachable;
use crate::config::Listen;

/// For a connection, a question and an answer each; smtpd waits for us with its client.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer that is read: the largest netstring that a socketmap has.
const MAX_ANSWER: usize = 100_000;

pub(super) fn run(
    args: &TableProcArgs,
    listens: &[Listen],
    input: &mut dyn BufRead,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let listen = listens
        .first()
        .ok_or_else(|| anyhow!("lookup.listen is empty; write \"127.0.0.1:8526\" there"))?;
    let map = match &args.scope {
        None => "suppress".to_string(),
        Some(scope) if crate::event::is_scope(scope) => format!("suppress.{scope}"),
        Some(scope) => {
            return Err(anyhow!(
                "--scope: \"{scope}\" is no scope, write letters, digits, `-`, `_` and `.`"
            ));
        }
    };
    let mut port = LookupPort { listen, map, connection: None };
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(ExitAnswer::Yes);
        }
        let text = String::from_utf8_lossy(&line);
        let reply = answer(text.trim_end_matches(['\r', '\n']), args.open, &mut |address| {
            port.ask(address)
        });
        console.out.write_all(reply.as_bytes())?;
        console.out.flush()?;
    }
}

/// What the lookup port knows of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    Clear,
    Held,
    Suppressed,
}

/// The lines that answer a line of smtpd; empty for those that want none.
fn answer(line: &str, open: bool, ask: &mut dyn FnMut(&str) -> io::Result<Listed>) -> String {
    let mut fields = line.splitn(8, '|');
    let mut next = || fields.next().unwrap_or_default();
    match next() {
        "config" if next() == "ready" => return "register|mailaddr\nregister|ready\n".to_string(),
        "table" => {}
        _ => return String::new(),
    }
    let (_protocol, _time, _name, operation) = (next(), next(), next(), next());
    if operation == "update" {
        return format!("update-result|{}|ok\n", next());
    }
    let (service, id, key) = (next(), next(), next());
    let verb = match operation {
        "check" | "lookup" | "fetch" => operation,
        _ => return String::new(),
    };
    let said = if operation == "fetch" || service != "mailaddr" || !key.contains('@') {
        "not-found".to_string()
    } else {
        match ask(key) {
            Ok(Listed::Suppressed) => found(operation, key),
            Ok(Listed::Held) => "error|the recipient is held".to_string(),
            Ok(Listed::Clear) => "not-found".to_string(),
            Err(_) if open => "not-found".to_string(),
            Err(why) => {
                format!("error|{}", why.to_string().replace(['|', '\r', '\n'], " "))
            }
        }
    };
    format!("{verb}-result|{id}|{said}\n")
}

fn found(operation: &str, key: &str) -> String {
    if operation == "lookup" { format!("found|{key}") } else { "found".to_string() }
}

trait LookupStream: Read + Write + Send {}
impl LookupStream for TcpStream {}
impl LookupStream for UnixStream {}

/// The lookup port, spoken to as a socketmap over one kept connection.
struct LookupPort<'a> {
    listen: &'a Listen,
    map: String,
    connection: Option<BufReader<Box<dyn LookupStream>>>,
}

impl LookupPort<'_> {
    fn ask(&mut self, address: &str) -> io::Result<Listed> {
        // A kept connection may have been closed since; a new one tells whether the service is.
        let kept = self.connection.is_some();
        match self.exchange(address) {
            Err(_) if kept => {
                self.connection = None;
                self.exchange(address)
            }
            known => known,
        }
        .inspect_err(|_| self.connection = None)
    }

    fn exchange(&mut self, address: &str) -> io::Result<Listed> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(self.listen)?),
        };
        let question = format!("{} {address}", self.map);
        let question = format!("{}:{question},", question.len());
        connection.get_mut().write_all(question.as_bytes())?;
        known(&netstring(connection)?)
    }
}

fn connect(listen: &Listen) -> io::Result<BufReader<Box<dyn LookupStream>>> {
    let stream: Box<dyn LookupStream> = match listen {
        Listen::Tcp(address) => {
            let stream = TcpStream::connect_timeout(&reachable(*address), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        Listen::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Box::new(stream)
        }
    };
    Ok(BufReader::new(stream))
}

fn netstring(from: &mut impl BufRead) -> io::Result<String> {
    let odd = || io::Error::other("the lookup port gave no netstring");
    let mut length = Vec::new();
    from.take(8).read_until(b':', &mut length)?;
    let digits = length.strip_suffix(b":").ok_or_else(odd)?;
    let digits = std::str::from_utf8(digits).map_err(|_| odd())?;
    let length: usize = digits.parse().map_err(|_| odd())?;
    if length > MAX_ANSWER {
        return Err(odd());
    }
    let mut text = vec![0; length + 1];
    from.read_exact(&mut text)?;
    match text.pop() {
        Some(b',') => String::from_utf8(text).map_err(|_| odd()),
        _ => Err(odd()),
    }
}

fn known(reply: &str) -> io::Result<Listed> {
    match reply.split_once(' ').unwrap_or((reply, "")) {
        ("OK", text) if text.starts_with('5') => Ok(Listed::Suppressed),
        ("OK", text) if text.starts_with('4') => Ok(Listed::Held),
        ("NOTFOUND", _) => Ok(Listed::Clear),
        (_, why) => Err(io::Error::other(why.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_smtpd_has_its_answer() {
        let mut ask = |address: &str| match address {
            "gone@e.test" | "a|b@e.test" => Ok(Listed::Suppressed),
            "held@e.test" => Ok(Listed::Held),
            "fine@e.test" => Ok(Listed::Clear),
            _ => Err(io::Error::other("away|now\n")),
        };
        let t = "table|0.1|1713795097.394049|bounced|";
        for (line, open, expected) in [
            ("config|smtpd-version|7.6.0".to_string(), false, ""),
            ("config|ready".to_string(), false, "register|mailaddr\nregister|ready\n"),
            (format!("{t}update|478ff0d2"), false, "update-result|478ff0d2|ok\n"),
            (format!("{t}check|mailaddr|1|gone@e.test"), false, "check-result|1|found\n"),
            (format!("{t}check|mailaddr|1|a|b@e.test"), false, "check-result|1|found\n"),
            (format!("{t}check|mailaddr|2|fine@e.test"), true, "check-result|2|not-found\n"),
            (
                format!("{t}check|mailaddr|3|held@e.test"),
                false,
                "check-result|3|error|the recipient is held\n",
            ),
            (
                format!("{t}check|mailaddr|3|held@e.test"),
                true,
                "check-result|3|error|the recipient is held\n",
            ),
            (format!("{t}check|mailaddr|4|gone@e.test"), true, "check-result|4|found\n"),
            (format!("{t}check|mailaddr|4|x@e.test"), false, "check-result|4|error|away now \n"),
            (format!("{t}check|mailaddr|4|x@e.test"), true, "check-result|4|not-found\n"),
            (format!("{t}check|mailaddr|5|@e.test"), false, "check-result|5|error|away now \n"),
            (format!("{t}check|domain|6|e.test"), false, "check-result|6|not-found\n"),
            (
                format!("{t}lookup|mailaddr|7|gone@e.test"),
                false,
                "lookup-result|7|found|gone@e.test\n",
            ),
            (format!("{t}fetch|source|8"), false, "fetch-result|8|not-found\n"),
            ("nonsense".to_string(), false, ""),
            (String::new(), false, ""),
        ] {
            assert_eq!(answer(&line, open, &mut ask), expected, "{line}");
        }
    }

    #[test]
    fn answers_of_the_lookup_port() {
        for (octets, expected) in [
            ("27:OK 550 5.1.1 gone [bounced],", Some(Listed::Suppressed)),
            ("16:OK 450 4.2.1 hel,", Some(Listed::Held)),
            ("9:NOTFOUND ,", Some(Listed::Clear)),
            ("9:TEMP away,", None),
            ("9:NOTFOUND x", None),
            ("OK\n", None),
            ("999999999:", None),
            ("", None),
        ] {
            let read = netstring(&mut octets.as_bytes()).and_then(|reply| known(&reply));
            assert_eq!(read.ok(), expected, "{octets}");
        }
    }
}
