//! The real binary, started as an operator starts it, spoken to over real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A service of its own: scratch folder, free ports.
struct Service {
    dir: tempfile::TempDir,
    child: Option<Child>,
    smtp: u16,
    lmtp: u16,
    http: u16,
    lookup: u16,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

fn bounced() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bounced"));
    command.env_remove("BOUNCED_CONFIG").env("BOUNCED_LOG", "warn");
    command
}

impl Service {
    fn new(more: &str) -> Self {
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

    fn config(&self) -> PathBuf {
        self.dir.path().join("bounced.toml")
    }

    fn start(&mut self) {
        let child = bounced()
            .args(["--config".as_ref(), self.config().as_os_str(), "serve".as_ref()])
            .stderr(Stdio::null())
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

    /// Ends it by a signal and gives its exit code.
    fn stop(&mut self, signal: &str) -> Option<i32> {
        let mut child = self.child.take().expect("running");
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(kill.expect("kill is there").success());
        child.wait().expect("ours").code()
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let output = bounced()
            .arg("--config")
            .arg(self.config())
            .args(args)
            .output()
            .expect("the binary runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().expect("no signal"), text(&output.stdout), text(&output.stderr))
    }

    fn request(&self, head: &str, body: &[u8]) -> Option<(u16, String)> {
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

    fn get(&self, path: &str) -> Option<(u16, String)> {
        self.request(&format!("GET {path}"), b"")
    }

    fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).expect("it answers");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    fn events(&self) -> Vec<Value> {
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
fn smtp(port: u16, commands: &[(&str, &str)]) -> Vec<String> {
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
        stream.write_all(command.as_bytes()).expect("written");
        stream.write_all(b"\r\n").expect("written");
        reply(wanted, command);
    }
    replies
}

fn report(user: &str, status: &str, words: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.net\r\nTo: <>\r\nSubject: Undelivered Mail\r\nMessage-ID: <{user}-{status}@mx.example.net>\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\n\r\nfailed\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n\
         Final-Recipient: rfc822; {user}\r\nAction: failed\r\nStatus: {status}\r\nDiagnostic-Code: smtp; {words}\r\n\r\n--b--\r\n."
    )
}

fn deliver(port: u16, to: &str, message: &str) -> String {
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

#[test]
fn accepted_means_durable_and_the_answer_is_the_same_everywhere() {
    let mut service = Service::new("");
    service.start();
    let message = report("user@example.com", "5.1.1", "550 5.1.1 <user@example.com>: User unknown");
    let id = deliver(service.smtp, "bounces+user=example.com@bounce.example.test", &message);

    let entry = service.json("/v1/suppressions/user@example.com");
    assert_eq!(
        (entry["state"].as_str(), entry["reason"].as_str()),
        (Some("suppressed"), Some("user-unknown"))
    );
    let events = service.events();
    let event = events.iter().find(|e| e["id"] == id.as_str()).expect("it is in the journal");
    assert_eq!(event["attribution"], "plain");
    assert_eq!(event["recipients"][0]["status"], "5.1.1");
    assert_eq!(event["decisions"][0]["to"], "suppressed");
    let (code, out, _) = service.run(&["lookup", "user@example.com"]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(service.run(&["lookup", "other@example.com"]).0, 1);
    let (code, out, _) = service.run(&["explain", "user@example.com"]);
    assert!(code == 0 && out.contains("user-unknown"), "{out}");

    // The lookup port speaks socketmap, tcp_table and policy delegation.
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", service.lookup)).expect("it listens");
        stream.write_all(request.as_bytes()).expect("written");
        stream.shutdown(std::net::Shutdown::Write).expect("half closed");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    assert!(ask("25:suppress user@example.com,").contains("OK 550 5.1.1 "));
    assert!(ask("26:suppress other@example.com,").contains("NOTFOUND "));
    assert!(ask("get user@example.com\n").starts_with("200 550%205.1.1%20"));
    assert!(
        ask("request=smtpd_access_policy\nrecipient=user@example.com\n\n")
            .starts_with("action=550 5.1.1 ")
    );

    // The same message again, as after a lost 250: the same id, no second event.
    let again = deliver(service.smtp, "bounces+user=example.com@bounce.example.test", &message);
    assert_eq!(again, id);
    assert_eq!(service.events().len(), events.len());

    // A kill and a deleted view change nothing.
    service.stop("-KILL");
    let view = std::fs::read_dir(service.dir.path().join("data")).expect("it is there");
    for folder in view
        .flatten()
        .filter(|f| f.path().is_dir() && !f.file_name().to_string_lossy().contains("journal"))
    {
        if folder.path().join("db").exists() {
            std::fs::remove_dir_all(folder.path()).expect("removable");
        }
    }
    service.start();
    assert_eq!(service.json("/v1/suppressions/user@example.com"), entry);
    assert_eq!(service.events(), events);

    // By hand, journalled, idempotent.
    let (code, _, err) =
        service.run(&["release", "user@example.com", "--reason", "asked by phone"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(service.get("/v1/suppressions/user@example.com").expect("it answers").0, 404);
    assert_eq!(service.stop("-TERM"), Some(0));
    // Without a service the command opens the store itself.
    let (code, _, err) =
        service.run(&["suppress", "user@example.com", "--reason", "wrote to support"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(service.run(&["lookup", "user@example.com"]).0, 0);
}

#[test]
fn an_unreadable_report_is_kept_and_suppresses_nobody() {
    let mut service = Service::new("");
    service.start();
    deliver(service.smtp, "bounces+user=example.com@bounce.example.test", "\u{1}\u{2} what?\r\n.");
    let events = service.events();
    let message = events.iter().find(|e| e["type"] == "message").expect("it is kept");
    assert_eq!(message["kind"], "other");
    let raw = format!("raw/{}.eml", message["id"].as_str().expect("an id"));
    let kept = std::fs::read(service.dir.path().join("data").join(raw)).expect("kept as it came");
    assert!(kept.starts_with(b"\x01\x02 what?"), "{kept:?}");
    assert_eq!(service.get("/v1/suppressions/user@example.com").expect("it answers").0, 404);
    let (_, metrics) = service.get("/metrics").expect("it answers");
    assert!(metrics.contains("bounced_messages_total{kind=\"other\"} 1"), "{metrics}");
}

#[test]
fn lmtp_answers_for_each_recipient() {
    let mut service = Service::new("");
    service.start();
    let message = report("user@example.com", "5.2.2", "552 5.2.2 over quota");
    let stream = TcpStream::connect(("127.0.0.1", service.lmtp)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    let mut out = stream.try_clone().expect("a socket");
    write!(
        out,
        "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bounces+a=example.com@bounce.example.test>\r\n\
         RCPT TO:<bounces+b=example.com@bounce.example.test>\r\nDATA\r\n"
    )
    .expect("written");
    let mut lines = BufReader::new(stream).lines().map(|l| l.expect("a line"));
    let before: Vec<String> = lines.by_ref().take_while(|l| !l.starts_with("354")).collect();
    assert!(before.iter().filter(|l| l.starts_with("250 2.1")).count() >= 3, "{before:?}");
    write!(out, "{message}\r\nQUIT\r\n").expect("written");
    let after: Vec<String> = lines.collect();
    assert_eq!(after.iter().filter(|l| l.starts_with("250 2.0.0 stored ")).count(), 2, "{after:?}");
}

#[test]
fn only_signed_return_paths_suppress_once_there_is_a_key() {
    let key = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key.path(), "0123456789abcdef0123456789abcdef\n").expect("writable");
    let verp = format!("[[verp.keys]]\nid = \"a\"\nsecret_file = \"{}\"\n", key.path().display());
    let mut service = Service::new(&verp);
    service.start();
    // A plain return path is taken, journalled, and counts in nothing.
    let victim = report("victim@example.com", "5.1.1", "550 5.1.1 user unknown");
    deliver(service.smtp, "bounces+victim=example.com@bounce.example.test", &victim);
    assert_eq!(service.get("/v1/suppressions/victim@example.com").expect("it answers").0, 404);
    // The attacker's own token with a victim in the report: the attacker is meant.
    let (code, minted, err) = service.run(&["verp", "sign", "attacker@example.com"]);
    assert_eq!(code, 0, "{err}");
    let minted = minted.trim();
    deliver(service.smtp, minted, &victim);
    assert_eq!(service.get("/v1/suppressions/victim@example.com").expect("it answers").0, 404);
    assert_eq!(service.json("/v1/suppressions/attacker@example.com")["state"], "suppressed");
    // A forged token is refused at RCPT.
    let mut forged = minted.to_string();
    let turned = if forged.as_bytes()[10] == b'a' { "b" } else { "a" };
    forged.replace_range(10..11, turned);
    let rcpt = format!("RCPT TO:<{forged}>");
    smtp(
        service.smtp,
        &[("EHLO x", "250"), ("MAIL FROM:<>", "250"), (&rcpt, "550 5.7.1"), ("QUIT", "221")],
    );
}

#[test]
fn in_band_results_are_evidence_and_rates_need_them() {
    let mut service = Service::new("");
    service.start();
    assert!(service.json("/v1/health").to_string().contains("unknown"));
    let line = r#"{"outcome":"failed","address":"gone@example.com","message_id":"<1@example.com>","reply":"550 5.1.1 no such user"}"#;
    let (status, body) = service.request("POST /v1/events", line.as_bytes()).expect("it answers");
    assert_eq!(status, 200, "{body}");
    assert_eq!(service.json("/v1/suppressions/gone@example.com")["reason"], "user-unknown");
    let (status, body) =
        service.request("POST /v1/events", b"{\"outcome\":\"lost\"}").expect("it answers");
    assert_eq!(status, 400, "{body}");
}

/// Starts it where it cannot run; gives what it says.
fn refused(config: &Path) -> String {
    let output = bounced()
        .args(["--config".as_ref(), config.as_os_str(), "serve".as_ref()])
        .stdin(Stdio::null())
        .output();
    let output = output.expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    said
}

#[test]
fn what_cannot_run_says_so_in_one_sentence() {
    let mut first = Service::new("");
    first.start();
    // The same data directory.
    let second = Service::new("");
    let text = std::fs::read_to_string(second.config()).expect("ours");
    let stolen = text
        .replace(&second.dir.path().display().to_string(), &first.dir.path().display().to_string());
    std::fs::write(second.config(), stolen).expect("writable");
    let said = refused(&second.config());
    assert!(
        said.contains("another") || said.contains("in use") || said.contains("process"),
        "{said}"
    );
    // The same port.
    let busy = Service::new("");
    let text = std::fs::read_to_string(busy.config()).expect("ours");
    let taken = text.replace(
        &format!("listen = [\"127.0.0.1:{}\"]\ndomains", busy.smtp),
        &format!("listen = [\"127.0.0.1:{}\"]\ndomains", first.smtp),
    );
    std::fs::write(busy.config(), taken).expect("writable");
    let said = refused(&busy.config());
    assert!(said.contains(&first.smtp.to_string()), "{said}");
    // A certificate that is none.
    let wrong = Service::new("[smtp.tls]\ncert = \"/etc/hostname\"\nkey = \"/etc/hostname\"\n");
    let said = refused(&wrong.config());
    assert!(said.contains("certificate") || said.contains("/etc/hostname"), "{said}");
    // A data directory that cannot be one.
    let nowhere = Service::new("");
    let text = std::fs::read_to_string(nowhere.config()).expect("ours");
    let text =
        text.replace(&nowhere.dir.path().join("data").display().to_string(), "/proc/bounced");
    std::fs::write(nowhere.config(), text).expect("writable");
    let said = refused(&nowhere.config());
    assert!(said.contains("/proc/bounced"), "{said}");
}
