//! Runs every dialog of `tests/dialogs/*.dlg` against the session without I/O, fed whole and in
//! pieces of 1, 2 and 7 octets, and once over a real socket with the real listener and driver. The
//! replies must be the same each time.
//!
//! | line | meaning |
//! |---|---|
//! | `# ...` | comment |
//! | `! option [value]` | option of the service, before the first step |
//! | `-> text` | send the line with CRLF |
//! | `~> text` | send raw; `\r \n \t \0 \\ \xHH`, and `*N` at the end repeats it |
//! | `<- text` | exactly this line comes next |
//! | `<~ text` | a line that begins so comes next |
//! | `=> text` | the last message that was stored, same escapes |
//! | `-- tls`, `-- shutdown` | the handshake takes place; the service stops |
//! | `-- closed` | the connection was closed by the server |
//!
//! What is sent before the next expectation is one segment. `! whole` marks the dialogs where
//! somebody talks when he must be silent: there the answer depends on when octets come.

mod properties;
mod sockets;
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bounced::smtp::{Acceptance, Action, Dialect, OurDomains, Session, SessionSettings};
use wire::{TlsFiles, Wire, escape, unescape};

#[derive(Debug)]
enum Step {
    Send(Vec<u8>),
    Exact(String),
    Prefix(String),
    Stored(Vec<u8>),
    Tls,
    Shutdown,
    Closed,
}

struct Dialog {
    name: String,
    service: SessionSettings,
    whole: bool,
    receipt: Option<Acceptance>,
    steps: Vec<(usize, Step)>,
}

impl Dialog {
    fn read(path: &Path) -> Self {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut service = SessionSettings::new("mx.example.com", Dialect::Smtp);
        service.recipients = Arc::new(OurDomains::new(&["b.example".to_string()], None));
        let mut dialog = Self { name, service, whole: false, receipt: None, steps: Vec::new() };
        for (n, line) in std::fs::read_to_string(path).unwrap().lines().enumerate() {
            let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
            let step = match (mark, rest) {
                ("" | "#", _) => continue,
                ("!", option) => {
                    dialog.option(option);
                    continue;
                }
                ("->", text) => Step::Send([text.as_bytes(), b"\r\n"].concat()),
                ("~>", text) => Step::Send(unescape(text)),
                ("<-", text) => Step::Exact(text.to_string()),
                ("<~", text) => Step::Prefix(text.to_string()),
                ("=>", text) => Step::Stored(unescape(text)),
                ("--", "tls") => Step::Tls,
                ("--", "shutdown") => Step::Shutdown,
                ("--", "closed") => Step::Closed,
                _ => panic!("{}:{}: what is {line:?}?", dialog.name, n + 1),
            };
            match (dialog.steps.last_mut(), step) {
                (Some((_, Step::Send(before))), Step::Send(more)) => before.extend(more),
                (_, step) => dialog.steps.push((n + 1, step)),
            }
        }
        dialog
    }

    fn option(&mut self, option: &str) {
        let limits = &mut self.service.limits;
        match option.split_once(' ').unwrap_or((option, "")) {
            ("whole", "") => self.whole = true,
            ("lmtp", "") => self.service.dialect = Dialect::Lmtp,
            ("tls", "") => self.service.tls = true,
            ("reject-bare-newline", "") => self.service.reject_bare_newline = true,
            ("max-message", n) => limits.message = n.parse().unwrap(),
            ("recipients", n) => limits.recipients = n.parse().unwrap(),
            ("store", "unavailable") => self.receipt = Some(Acceptance::Unavailable),
            ("store", "full") => self.receipt = Some(Acceptance::Full),
            _ => panic!("{}: unknown option {option}", self.name),
        }
    }

    /// Walks through the steps on one kind of connection.
    fn walk(&self, way: &str, line: &mut impl Line) {
        for (n, step) in &self.steps {
            let at = || format!("{}.dlg:{n}, {way}", self.name);
            match step {
                Step::Send(octets) => line.send(octets),
                Step::Exact(text) => {
                    assert_eq!(line.reply().as_deref(), Some(text.as_str()), "{}", at());
                }
                Step::Prefix(text) => {
                    let got = line.reply();
                    let fits = got.as_ref().is_some_and(|got| got.starts_with(text.as_str()));
                    assert!(fits, "{}: {got:?}, wanted {text}...", at());
                }
                Step::Stored(text) => {
                    let got = line.stored().unwrap_or_else(|| panic!("{}: nothing", at()));
                    assert_eq!(escape(&got), escape(text), "{}", at());
                }
                Step::Tls => line.tls(),
                Step::Shutdown => line.shutdown(),
                Step::Closed => assert_eq!(line.reply(), None, "{}", at()),
            }
        }
        let rest = line.finish();
        assert_eq!(rest, "", "{}, {way}: replies too many", self.name);
    }
}

/// A connection as a client sees it.
trait Line {
    fn send(&mut self, octets: &[u8]);
    /// The next reply line without its end; None when the server closed.
    fn reply(&mut self) -> Option<String>;
    fn stored(&mut self) -> Option<Vec<u8>>;
    fn tls(&mut self);
    fn shutdown(&mut self);
    /// What else the server says once nothing more is sent.
    fn finish(&mut self) -> String;
}

/// The session alone, fed in pieces.
struct Bare {
    session: Session,
    piece: usize,
    receipt: Option<Acceptance>,
    messages: Vec<Vec<u8>>,
    out: Vec<u8>,
    closed: bool,
    wants_tls: bool,
}

impl Bare {
    fn new(dialog: &Dialog, piece: usize) -> Self {
        let service = Arc::new(dialog.service.clone());
        let mut bare = Self {
            session: Session::new(service, "s1".into(), Instant::now()),
            piece,
            receipt: dialog.receipt.clone(),
            messages: Vec::new(),
            out: Vec::new(),
            closed: false,
            wants_tls: false,
        };
        bare.pump();
        bare
    }

    fn pump(&mut self) {
        loop {
            match self.session.next() {
                Action::Read => return,
                Action::Write(octets) => self.out.extend(octets),
                Action::StartTls => {
                    self.wants_tls = true;
                    return;
                }
                Action::Receive(delivery) => {
                    self.messages.push(delivery.data);
                    let id = self.messages.len().to_string();
                    let receipt = self.receipt.clone().unwrap_or(Acceptance::Stored { id });
                    self.session.answered(&[receipt]);
                }
                Action::Close => {
                    self.closed = true;
                    return;
                }
            }
        }
    }
}

impl Line for Bare {
    fn send(&mut self, octets: &[u8]) {
        for piece in octets.chunks(self.piece) {
            if !self.closed {
                self.session.feed(piece);
                self.pump();
            }
        }
    }

    fn reply(&mut self) -> Option<String> {
        let end = self.out.iter().position(|b| *b == b'\n');
        let Some(end) = end else {
            assert!(self.closed, "the session waits, but a reply or the end is due");
            return None;
        };
        let line: Vec<u8> = self.out.drain(..=end).collect();
        Some(String::from_utf8(line).unwrap().trim_end_matches("\r\n").to_string())
    }

    fn stored(&mut self) -> Option<Vec<u8>> {
        self.messages.last().cloned()
    }

    fn tls(&mut self) {
        assert!(std::mem::take(&mut self.wants_tls), "the session did not ask for TLS");
        self.session.tls_started();
        self.pump();
    }

    fn shutdown(&mut self) {
        self.session.shutdown();
        self.pump();
    }

    fn finish(&mut self) -> String {
        self.session.eof();
        self.pump();
        String::from_utf8(std::mem::take(&mut self.out)).unwrap()
    }
}

impl Line for Wire {
    fn send(&mut self, octets: &[u8]) {
        Wire::send(self, octets);
    }

    fn reply(&mut self) -> Option<String> {
        Wire::reply(self)
    }

    fn stored(&mut self) -> Option<Vec<u8>> {
        self.messages().last().cloned()
    }

    fn tls(&mut self) {
        self.handshake();
    }

    fn shutdown(&mut self) {
        self.stop();
    }

    fn finish(&mut self) -> String {
        self.rest()
    }
}

fn dialogs() -> Vec<Dialog> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|x| x == "dlg"))
        .collect();
    paths.sort();
    paths.iter().map(|path| Dialog::read(path)).collect()
}

#[test]
fn dialogs_hold_in_any_pieces() {
    let dialogs = dialogs();
    let mut runs = 0;
    for dialog in &dialogs {
        let sizes: &[usize] = if dialog.whole { &[usize::MAX] } else { &[usize::MAX, 1, 2, 7] };
        for size in sizes {
            dialog.walk(&format!("pieces of {size}"), &mut Bare::new(dialog, *size));
            runs += 1;
        }
    }
    assert!(dialogs.len() >= 35 && runs >= 4 * 30, "{} dialogs, {runs} runs", dialogs.len());
}

#[test]
fn dialogs_hold_over_a_real_socket() {
    let files = TlsFiles::new();
    let mut ran = 0;
    for dialog in dialogs() {
        let mut wire = Wire::new(dialog.service.clone(), dialog.receipt.clone(), &files);
        dialog.walk("over a socket", &mut wire);
        ran += 1;
    }
    assert!(ran >= 35, "{ran} dialogs");
}
