//! A PostgreSQL of a test's own: made in a temporary folder by a user that is not root, spoken to by a
//! socket there, and gone at the end. Never the system's own cluster.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that runs.
#[allow(dead_code)] // Each test file uses the part of it that it needs.
pub struct Server {
    dir: tempfile::TempDir,
    bin: PathBuf,
    child: Option<Child>,
    port: u16,
    /// Settings beside the usual ones.
    more: Vec<String>,
}

/// Says loudly that nothing was tested.
pub fn skipped(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what}: PostgreSQL is not installed");
    eprintln!("SKIPPED: {what}: PostgreSQL is not installed (apt-get install postgresql)");
}

/// The newest PostgreSQL of this machine.
fn bin() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut bins: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .map(|(version, path)| (version, path.join("bin")))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    bins.sort();
    bins.pop().map(|(_, bin)| bin)
}

/// User and group that the server runs as: it refuses to be root.
fn user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let fields = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_string();
        Some((name, fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let users: Vec<(String, u32, u32)> = users.lines().filter_map(fields).collect();
    let named = |wanted: &str| users.iter().find(|(name, ..)| name == wanted);
    named("postgres").or(named("nobody")).map(|(_, user, group)| (*user, *group))
}

#[allow(dead_code)]
impl Server {
    /// Makes and starts one; None where PostgreSQL is not installed.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same, with settings beside the usual ones, or instead of them.
    pub fn start_with(settings: &[&str]) -> Option<Self> {
        let bin = bin()?;
        let dir = tempfile::tempdir().expect("scratch");
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).expect("ours");
        if let Some((user, group)) = user() {
            std::os::unix::fs::chown(dir.path(), Some(user), Some(group)).expect("root may");
        }
        let more = settings.iter().map(|setting| setting.to_string()).collect();
        let mut server = Self { dir, bin, child: None, port: 5432, more };
        let made = server
            .command("initdb")
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--locale=C", "-E", "UTF8"])
            .arg("-D")
            .arg(server.data())
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.run();
        Some(server)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        if let Some((user, group)) = user() {
            command.uid(user).gid(group);
        }
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The folder of its socket.
    pub fn socket(&self) -> &Path {
        self.dir.path()
    }

    /// The URL of the superuser.
    pub fn url(&self) -> String {
        format!("host={} user=postgres dbname=postgres", self.socket().display())
    }

    /// Gives it a certificate and key (PEM), and lets it listen on a port of this machine.
    pub fn listen_with_tls(&mut self, certificate: &str, key: &str) -> u16 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        for (name, pem) in [("server.crt", certificate), ("server.key", key)] {
            let file = self.data().join(name);
            std::fs::write(&file, pem).expect("ours");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("ours");
            if let Some((user, group)) = user() {
                std::os::unix::fs::chown(&file, Some(user), Some(group)).expect("root may");
            }
        }
        self.stop("INT");
        let listen = format!("listen_addresses=127.0.0.1 port={port}");
        self.more = ["ssl=on", "ssl_cert_file=server.crt", "ssl_key_file=server.key"]
            .into_iter()
            .chain(listen.split(' '))
            .map(str::to_string)
            .collect();
        self.port = port;
        self.run();
        port
    }

    /// Starts the server, and waits until it answers.
    pub fn run(&mut self) {
        self.spawn();
        let socket = self.socket().to_path_buf();
        let until = Instant::now() + Duration::from_secs(60);
        let is_ready = |server: &Self| {
            let mut asked = server.command("pg_isready");
            let port = server.port.to_string();
            asked.arg("-h").arg(&socket).args(["-p", &port]).stdout(Stdio::null());
            asked.status().is_ok_and(|status| status.success())
        };
        while !is_ready(self) {
            assert!(Instant::now() < until, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(20));
            // After a kill it refuses while a process of the one before is still there.
            if self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|s| s.is_some()))
            {
                self.spawn();
            }
        }
    }

    fn spawn(&mut self) {
        let socket = self.socket().to_path_buf();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(&socket);
        command.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB"]);
        for setting in &self.more {
            command.args(["-c", setting]);
        }
        let log = std::fs::File::create(self.dir.path().join("log")).expect("ours");
        command.stderr(log.try_clone().expect("open")).stdout(log);
        self.child = Some(command.spawn().expect("postgres runs"));
    }

    /// Freezes it, every process of it, or lets it go on: `STOP`, `CONT`.
    pub fn signal(&self, signal: &str) {
        let Some(child) = &self.child else { return };
        let parent = child.id().to_string();
        let found = Command::new("pgrep").args(["-P", &parent]).output().expect("pgrep is there");
        let backends = String::from_utf8_lossy(&found.stdout).into_owned();
        let all = std::iter::once(parent.as_str()).chain(backends.split_whitespace());
        for pid in all {
            let _ = Command::new("kill").args([&format!("-{signal}"), pid]).status();
        }
    }

    /// Ends it: `KILL` like a crash, `INT` in order.
    pub fn stop(&mut self, signal: &str) {
        self.signal("CONT");
        let Some(mut child) = self.child.take() else { return };
        let pid = child.id().to_string();
        let _ = Command::new("kill").args([format!("-{signal}"), pid]).status();
        let _ = child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop("INT");
    }
}
