//! The real binary as a service of its own, and a client that speaks to it over real sockets.

// Each test file uses the part of it that it needs.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

mod ports;
pub use ports::free_port;

/// A service of its own: scratch folder, free ports.
pub struct Service {
    pub dir: tempfile::TempDir,
    pub child: Option<Child>,
    pub smtp: u16,
    pub lmtp: u16,
    pub http: u16,
    pub lookup: u16,
}

pub fn bounced() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bounced"));
    command.env_remove("BOUNCED_CONFIG").env("BOUNCED_LOG", "warn");
    command
}

impl Service {
    pub fn new(more: &str) -> Self {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let service = Self {
            dir,
            child: None,
            smtp: free_port(),
            lmtp: free_port(),
            http: free_port(),
            lookup: free_port(),
        };
        let config = format!(
            "hostname = \"bounce.example.test\"\ndata_dir = \"{}\"\n\
             [smtp]\nlisten = [\"127.0.0.1:{}\"]\ndomains = [\"bounce.example.test\"]\n\
             [lmtp]\nlisten = [\"127.0.0.1:{}\"]\n[http]\nlisten = [\"127.0.0.1:{}\"]\n\
             [lookup]\nlisten = [\"127.0.0.1:{}\"]\n{more}",
            service.dir.path().join("data").display(),
            service.smtp,
            service.lmtp,
            service.http,
            service.lookup
        );
        std::fs::write(service.config(), config).expect("writable");
        service
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("bounced.toml")
    }

    pub fn start(&mut self) {
        self.start_with("warn", Stdio::null());
    }

    /// Starts it with a level of its log, which goes to `log`.
    pub fn start_with(&mut self, level: &str, log: Stdio) {
        let child = bounced()
            .args(["--config".as_ref(), self.config().as_os_str(), "serve".as_ref()])
            .env("BOUNCED_LOG", level)
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("the binary starts");
        self.child = Some(child);
        let end = Instant::now() + Duration::from_secs(60);
        while self.get("/readyz").is_none_or(|(status, _)| status != 200) {
            assert!(Instant::now() < end, "not ready within a minute");
            let ended = self.child.as_mut().expect("started").try_wait().expect("ours");
            assert!(ended.is_none(), "it ended at once: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn pid(&self) -> String {
        self.child.as_ref().expect("running").id().to_string()
    }

    pub fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args([signal, &self.pid()]).status();
        assert!(kill.expect("kill is there").success());
    }

    /// Ends it by a signal and gives its exit code.
    pub fn stop(&mut self, signal: &str) -> Option<i32> {
        self.signal(signal);
        self.child.take().expect("running").wait().expect("ours").code()
    }

    pub fn run(&self, args: &[&str]) -> (i32, String, String) {
        let output = bounced()
            .arg("--config")
            .arg(self.config())
            .args(args)
            .output()
            .expect("the binary runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().expect("no signal"), text(&output.stdout), text(&output.stderr))
    }

    pub fn request(&self, head: &str, body: &[u8]) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
        let length = body.len();
        write!(stream, "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n").ok()?;
        stream.write_all(body).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.get(9..12)?.parse().ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some((status, body.to_string()))
    }

    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        self.request(&format!("GET {path}"), b"")
    }

    pub fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).expect("it answers");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    pub fn events(&self) -> Vec<Value> {
        let (_, body) = self.get("/v1/events?from=0&limit=100000").expect("it answers");
        body.lines()
            .filter(|l| l.starts_with('{'))
            .map(|l| serde_json::from_str(l).expect("JSON"))
            .collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An SMTP conversation: each command with the code that its reply must have.
pub fn smtp(port: u16, commands: &[(&str, &str)]) -> Vec<String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    let mut lines = BufReader::new(stream.try_clone().expect("a socket"));
    let mut stream = stream;
    let mut replies = Vec::new();
    let mut reply = |wanted: &str, said: &str| {
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).expect("a reply");
            if line.as_bytes().get(3) != Some(&b'-') {
                assert!(line.starts_with(wanted), "{said}: {line}");
                replies.push(line.trim_end().to_string());
                break;
            }
        }
    };
    reply("220", "greeting");
    for (command, wanted) in commands {
        // In one piece: the second of two small ones waits for the answer to the first.
        stream.write_all(format!("{command}\r\n").as_bytes()).expect("written");
        reply(wanted, command);
    }
    replies
}

pub fn report(user: &str, status: &str, words: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.net\r\nTo: <>\r\nSubject: Undelivered Mail\r\nMessage-ID: <{user}-{status}@mx.example.net>\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\n\r\nfailed\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n\
         Final-Recipient: rfc822; {user}\r\nAction: failed\r\nStatus: {status}\r\nDiagnostic-Code: smtp; {words}\r\n\r\n--b--\r\n."
    )
}

pub fn deliver(port: u16, to: &str, message: &str) -> String {
    let rcpt = format!("RCPT TO:<{to}>");
    let commands = [
        ("EHLO mx.example.net", "250"),
        ("MAIL FROM:<>", "250"),
        (&rcpt, "250"),
        ("DATA", "354"),
        (message, "250"),
        ("QUIT", "221"),
    ];
    let replies = smtp(port, &commands);
    let stored = replies.get(5).expect("the reply to the message");
    stored.strip_prefix("250 2.0.0 stored ").expect("the event id").to_string()
}
