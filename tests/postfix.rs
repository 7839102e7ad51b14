//! A real Postfix that asks before it sends: its notices about our own refusals come back to us, at
//! once and late, and suppress nobody. Needs root and the package postfix; skipped, and said so,
//! without them.

mod service;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use service::{Service, deliver, report};

const USER: &str = "user@u.test";

/// A Postfix of its own: queue, configuration and log in a scratch folder, no port.
struct Postfix {
    dir: tempfile::TempDir,
}

/// Each daemon that a mail goes through on its way to a transport or back to its sender.
const DAEMONS: [(&str, &str, &str); 9] = [
    ("pickup", "1", "pickup"),
    ("cleanup", "0", "cleanup"),
    ("qmgr", "1", "qmgr"),
    ("rewrite", "-", "trivial-rewrite"),
    ("bounce", "0", "bounce"),
    ("defer", "0", "bounce"),
    ("error", "-", "error"),
    ("smtp", "-", "smtp"),
    ("discard", "-", "discard"),
];

impl Postfix {
    /// Sends mail nowhere, but notices to the service; asks its lookup port before either.
    fn start(service: &Service) -> Self {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let postfix = Self { dir };
        let path = |name: &str| postfix.dir.path().join(name);
        fs::set_permissions(postfix.dir.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        for folder in ["etc", "spool", "data", "log"] {
            fs::create_dir(path(folder)).expect("a folder");
        }
        run(Command::new("chown").arg("postfix").arg(path("data")));
        let shown = |name: &str| path(name).display().to_string();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {spool}\ndata_directory = {data}\n\
             maillog_file = {log}/mail\nmaillog_file_prefixes = {log}\n\
             multi_instance_name = postfix-echo\nmulti_instance_enable = yes\n\
             myhostname = out.example.test\nmydestination =\nalias_maps =\nalias_database =\n\
             inet_interfaces = loopback-only\ninet_protocols = ipv4\nsmtputf8_enable = no\n\
             smtp_dns_support_level = disabled\nsmtp_host_lookup = native\nnotify_classes =\n\
             default_transport = discard:\n\
             transport_maps = inline:{{ bounce.example.test=smtp:[127.0.0.1]:{smtp} }}, \
             socketmap:inet:127.0.0.1:{lookup}:transport\n",
            spool = shown("spool"),
            data = shown("data"),
            log = shown("log"),
            smtp = service.smtp,
            lookup = service.lookup,
        );
        fs::write(path("etc").join("main.cf"), main).expect("writes");
        let mut master = String::from("postlog unix-dgram n - n - 1 postlogd\n");
        for (name, processes, daemon) in DAEMONS {
            let (private, wake) = match name {
                "pickup" => ("n", "1"),
                "qmgr" => ("n", "300"),
                "cleanup" => ("n", "-"),
                _ => ("-", "-"),
            };
            writeln!(master, "{name} unix {private} - n {wake} {processes} {daemon}")
                .expect("text");
        }
        fs::write(path("etc").join("master.cf"), master).expect("writes");
        postfix.ask("postfix", &["start"]);
        postfix
    }

    fn etc(&self) -> PathBuf {
        self.dir.path().join("etc")
    }

    fn ask(&self, program: &str, args: &[&str]) {
        run(Command::new(program).arg("-c").arg(self.etc()).args(args));
    }

    fn set(&self, setting: &str) {
        self.ask("postconf", &["-e", setting]);
        self.ask("postfix", &["reload"]);
    }

    fn send(&self, from: &str, to: &str) {
        use std::io::Write as _;
        let mut child = Command::new("sendmail")
            .args(["-C".as_ref(), self.etc().as_os_str()])
            .args(["-f", from, to])
            .stdin(Stdio::piped())
            .spawn()
            .expect("sendmail starts");
        let mut input = child.stdin.take().expect("piped");
        write!(input, "From: {from}\nTo: {to}\nSubject: news\n\nnews\n").expect("taken");
        drop(input);
        assert!(child.wait().expect("ours").success(), "sendmail took the mail");
    }

    /// Waits until the log has a delivery to an address with this state, `n` times.
    fn wait(&self, to: &str, state: &str, n: usize) {
        let to = format!(" to=<{to}>,");
        let state = format!(" status={state} ");
        patiently(|| {
            let log = fs::read_to_string(self.dir.path().join("log/mail")).unwrap_or_default();
            let lines = log.lines().filter(|line| line.contains(&to) && line.contains(&state));
            (lines.count() >= n).then_some(()).ok_or(log)
        });
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let mut stop = Command::new("postfix");
        stop.arg("-c").arg(self.etc()).arg("stop").stderr(Stdio::null());
        let _ = stop.status();
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn patiently<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < end, "not within a minute: {seen}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until so many of our own refusals have come back.
fn wait_for_echoes(service: &Service, n: usize) {
    patiently(|| {
        let events = service.events();
        let ours = |event: &&Value| event["recipients"][0]["reason"] == "suppressed-here";
        let found = events.iter().filter(ours).count();
        if found == n { Ok(()) } else { Err(format!("{events:#?}")) }
    });
}

/// Postfix can be had here; else one loud line.
fn can_run() -> bool {
    let root = fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t0")));
    let installed = Path::new("/usr/sbin/postfix").exists();
    if !(root && installed) {
        println!("SKIPPED: the echo of a real Postfix: needs root and the package postfix");
    }
    root && installed
}

/// Suppress, send, echo, release, late echo: still clear.
fn our_own_refusals_come_back(more: &str, return_path: impl Fn(&Service) -> String) {
    if !can_run() {
        return;
    }
    let mut service = Service::new(more);
    if !more.is_empty() {
        fs::write(service.dir.path().join("key"), "0123456789abcdef0123456789abcdef")
            .expect("ours");
        let text = fs::read_to_string(service.config()).expect("ours");
        let key = service.dir.path().join("key").display().to_string();
        fs::write(service.config(), text.replace("KEY", &key)).expect("writable");
    }
    service.start();
    let return_path = return_path(&service);
    deliver(service.smtp, &return_path, &report(USER, "5.1.1", "550 5.1.1 no such user"));
    let path = format!("/v1/suppressions/{USER}");
    let before = service.json(&path);
    assert_eq!(before["state"], "suppressed");
    let postfix = Postfix::start(&service);
    postfix.send(&return_path, USER);
    wait_for_echoes(&service, 1);
    assert_eq!(service.json(&path), before, "an echo changes nothing");
    // The next notice waits in the queue until the address is free.
    postfix.set("defer_transports = smtp");
    postfix.send(&return_path, USER);
    postfix.wait(USER, "bounced", 2);
    postfix.wait(&return_path, "deferred", 1);
    assert_eq!(service.run(&["release", USER, "--reason", "came back"]).0, 0);
    assert_eq!(service.get(&path).expect("it answers").0, 404);
    postfix.set("defer_transports =");
    postfix.ask("postqueue", &["-f"]);
    wait_for_echoes(&service, 2);
    assert_eq!(service.get(&path).expect("it answers").0, 404, "a late echo suppresses nobody");
    postfix.send(&return_path, USER);
    postfix.wait(USER, "sent", 1);
    let figures = service.json("/v1/health");
    assert_eq!(
        (&figures["total"]["hard"], &figures["total"]["own_refusal"]),
        (&1.into(), &2.into())
    );
    let (_, explained, _) = service.run(&["explain", USER]);
    let said = explained.matches("this is our own refusal: it counts in nothing").count();
    assert_eq!(said, 2, "{explained}");
}

#[test]
fn our_own_refusals_come_back_to_a_plain_return_path() {
    our_own_refusals_come_back("", |_| "bounces+user=u.test@bounce.example.test".to_string());
}

#[test]
fn our_own_refusals_come_back_to_a_signed_return_path() {
    let key = "[[verp.keys]]\nid = \"a\"\nsecret_file = \"KEY\"\n";
    our_own_refusals_come_back(key, |service| {
        service.run(&["verp", "sign", USER]).1.trim().to_string()
    });
}
