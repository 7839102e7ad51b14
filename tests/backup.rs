//! Backups of the real binary: made under load, killed half-way, put back, equal afterwards.

mod service;

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use service::{Service, bounced, deliver, report};

fn text(path: &Path) -> &str {
    path.to_str().expect("a scratch path")
}

/// A second service whose data come from a backup.
fn restored(backup: &Path) -> Service {
    let service = Service::new("");
    let (code, out, err) = service.run(&["restore", text(backup)]);
    assert_eq!(code, 0, "{out}{err}");
    service
}

/// The list and the journal, as users see them.
fn state(service: &Service) -> (String, Vec<String>) {
    let (code, list, err) = service.run(&["export"]);
    assert_eq!(code, 0, "{err}");
    let (code, events, err) = service.run(&["events"]);
    assert_eq!(code, 0, "{err}");
    (list, events.lines().map(str::to_string).collect())
}

#[test]
fn a_backup_under_load_holds_what_was_acknowledged_before_it_began() {
    let mut service = Service::new("");
    service.start();
    let backup = service.dir.path().join("backup");
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut known = 0;
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let user = format!("u{}@example.com", sent.load(Ordering::Relaxed));
                let to = format!("bounces+{}@bounce.example.test", user.replace('@', "="));
                let said = format!("550 5.1.1 <{user}>: no such user");
                deliver(service.smtp, &to, &report(&user, "5.1.1", &said));
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(300));
            known = sent.load(Ordering::Relaxed);
            let (code, out, err) = service.run(&["backup", text(&backup)]);
            assert_eq!(code, 0, "{out}{err}");
            let (code, out, _) = service.run(&["backup", "verify", text(&backup)]);
            assert_eq!((code, out.starts_with("ok: ")), (0, true), "{out}");
        }
        stop.store(true, Ordering::Relaxed);
        sender.join().expect("delivers");
    });
    assert!(known > 3, "the service is alive: {known}");
    let mut second = restored(&backup);
    second.start();
    for n in 0..known {
        let (status, _) =
            second.get(&format!("/v1/suppressions/u{n}@example.com")).expect("answers");
        assert_eq!(status, 200, "u{n} of {known} was acknowledged before the backup began");
    }
    // The whole of it, once nothing comes any more, by folder and by stream.
    let (code, ..) = service.run(&["backup", text(&backup)]);
    assert_eq!(code, 0);
    let whole = state(&service);
    let by_folder = restored(&backup);
    assert_eq!(state(&by_folder), whole);
    let by_stream = Service::new("");
    let mut writes = bounced()
        .args(["--config".as_ref(), service.config().as_os_str(), "backup".as_ref(), "-".as_ref()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let reads = bounced()
        .args(["--config".as_ref(), by_stream.config().as_os_str()])
        .args(["restore", "-"])
        .stdin(writes.stdout.take().expect("piped"))
        .output()
        .expect("runs");
    assert!(reads.status.success() && writes.wait().expect("ours").success());
    assert_eq!(state(&by_stream), whole);
    // A data directory that is in use, or filled, is never written over.
    let (code, _, err) = service.run(&["restore", text(&backup)]);
    assert!(code == 2 && err.contains("is not empty"), "{err}");
}

/// How many backups, and how many restores, are killed; `ROUNDS=50` for a long look.
fn rounds() -> u64 {
    std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

#[test]
fn a_backup_and_a_restore_that_are_killed_leave_the_one_before_or_nothing() {
    let mut service = Service::new("[journal]\nraw = \"all\"\n");
    service.start();
    for n in 0..40 {
        let user = format!("u{n}@example.com");
        let to = format!("bounces+u{n}=example.com@bounce.example.test");
        let filler = "x".repeat(20_000);
        deliver(service.smtp, &to, &report(&user, "5.1.1", &format!("550 5.1.1 {filler}")));
    }
    let backup = service.dir.path().join("backup");
    let killed = |config: &Path, args: &[&str], after: u64| {
        let mut child = bounced()
            .args(["--config".as_ref(), config.as_os_str()])
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(Duration::from_micros(after));
        let _ = child.kill();
        child.wait().expect("ours").success()
    };
    let (code, ..) = service.run(&["backup", text(&backup)]);
    assert_eq!(code, 0);
    let (mut cut, config) = (0, service.config());
    for round in 0..rounds() {
        let user = format!("later{round}@example.com");
        let to = format!("bounces+later{round}=example.com@bounce.example.test");
        deliver(service.smtp, &to, &report(&user, "5.1.1", "550 5.1.1 gone"));
        cut += u32::from(!killed(&config, &["backup", text(&backup)], 200 * round % 20_000));
        let back = restored(&backup);
        let (code, out, _) = back.run(&["lookup", "u39@example.com"]);
        assert_eq!(code, 0, "round {round}: {out}");
    }
    assert!(cut > 3, "only {cut} backups were cut off");
    let (code, ..) = service.run(&["backup", text(&backup)]);
    assert_eq!(code, 0);
    let (whole, mut cut) = (state(&service), 0);
    for round in 0..rounds() {
        let back = Service::new("");
        if !killed(&back.config(), &["restore", text(&backup)], 400 * round % 40_000) {
            cut += 1;
            let data = back.dir.path().join("data");
            if data.join("restoring").exists() {
                // Half a list answers nobody.
                let (code, _, err) = back.run(&["lookup", "u39@example.com"]);
                assert!(code == 2 && err.contains("restore"), "round {round}: {err}");
            }
            if !data.join("journal").exists() || data.join("restoring").exists() {
                let (code, _, err) = back.run(&["restore", text(&backup)]);
                assert_eq!(code, 0, "round {round}: {err}");
            }
        }
        assert_eq!(state(&back), whole, "round {round}");
    }
    assert!(cut > 3, "only {cut} restores were cut off");
}

#[test]
fn a_journal_that_is_damaged_while_it_runs_is_said_everywhere() {
    let mut service = Service::new("");
    service.start();
    for n in 1..=12 {
        let user = format!("u{n}@example.com");
        let to = format!("bounces+{}@bounce.example.test", user.replace('@', "="));
        deliver(service.smtp, &to, &report(&user, "5.1.1", "550 5.1.1 no such user"));
    }
    let whole = service.run(&["events"]);
    assert_eq!((whole.0, whole.2.as_str()), (0, ""));
    let backup = service.dir.path().join("backup");
    assert_eq!(service.run(&["backup", text(&backup)]).0, 0);
    // The sixth line from the end, with its header line the first of them all.
    let journal = service.dir.path().join("data/journal/00000000000000000001.journal");
    let octets = std::fs::read(&journal).expect("there");
    let ends: Vec<usize> = (0..octets.len()).filter(|at| octets[*at] == b'\n').collect();
    let file = std::fs::File::options().write(true).open(&journal).expect("ours");
    let at = ends[ends.len() - 6] - 3;
    std::os::unix::fs::FileExt::write_all_at(&file, &[octets[at] ^ 0x01], at as u64)
        .expect("written");
    let missing = ends.len() - 6;
    let (code, out, err) = service.run(&["events"]);
    assert_eq!((code, out.lines().count() + 1), (0, whole.1.lines().count()));
    let said = format!("records {missing} to {missing} cannot be read and are left out");
    assert!(err.contains(&said), "{err}");
    let (status, ready) = service.get("/readyz").expect("it answers");
    let damaged = format!("records {missing} to {missing} are damaged");
    assert_eq!(status, 200);
    assert!(ready.contains("DEGRADED") && ready.contains(&damaged), "{ready}");
    let (_, metrics) = service.get("/metrics").expect("it answers");
    assert!(metrics.contains("bounced_journal_damaged_records_total 1\n"), "{metrics}");
    // What it decided is known all the same.
    assert_eq!(service.get("/v1/suppressions/u7@example.com").expect("answers").0, 200);
    service.stop("-TERM");
    let (_, out, _) = service.run(&["doctor"]);
    assert!(out.lines().any(|l| l.starts_with("WARN journal") && l.contains(&damaged)), "{out}");
    let (code, _, err) = service.run(&["backup", text(&backup)]);
    assert!(code == 1 && err.contains(&damaged), "{code} {err}");
    // The backup of before has the records.
    let before = restored(&backup);
    assert_eq!(before.run(&["events"]).0, 0);
}
