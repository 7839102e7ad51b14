//! The real binary: its words, where they go, and its exit codes.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

mod service;

/// Runs `bounced` in a folder without a configuration of its own.
fn bounced(folder: &Path, args: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bounced"))
        .args(args)
        .current_dir(folder)
        .env_remove("BOUNCED_CONFIG")
        .env_remove("BOUNCED_TOKEN")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // A command that does not read closes the pipe; that is its right.
    let _ = child.stdin.take().expect("piped").write_all(stdin);
    child.wait_with_output().expect("the binary ends")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// A folder with a configuration whose HTTP port is free, so that no service runs.
fn scratch() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let free = service::free_port();
    let config = format!("data_dir = \"data\"\n[http]\nlisten = [\"127.0.0.1:{free}\"]\n");
    std::fs::write(dir.path().join("bounced.toml"), config).expect("scratch is writable");
    dir
}

#[test]
fn help_and_version_are_answers() {
    let dir = scratch();
    let commands = [
        "serve",
        "check-config",
        "classify",
        "lookup",
        "explain",
        "suppress",
        "release",
        "list",
        "import",
        "export",
        "ingest",
        "verp",
        "rules",
        "replay",
        "undo",
        "unknown",
        "events",
        "table-proc",
        "backup",
        "restore",
        "erase",
        "doctor",
        "readyz",
        "completions",
        "man",
    ];
    let help = bounced(dir.path(), &["--help"], b"");
    assert_eq!((help.status.code(), text(&help.stderr)), (Some(0), String::new()));
    for command in commands {
        let line = format!("\n  {command} ");
        assert!(text(&help.stdout).contains(&line), "{command} in {}", text(&help.stdout));
        let help = bounced(dir.path(), &[command, "--help"], b"");
        assert_eq!(help.status.code(), Some(0), "{command}");
        assert!(text(&help.stdout).contains("Usage: bounced"), "{command}");
    }
    let version = bounced(dir.path(), &["--version"], b"");
    assert_eq!(text(&version.stdout), format!("bounced {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_use_exits_2_and_says_so_on_standard_error() {
    let dir = scratch();
    for (args, part) in [
        (&[][..], "Usage: bounced"),
        (&["bounce"], "unrecognized subcommand"),
        (&["classify"], "required"),
        (&["suppress", "user@example.com"], "--reason"),
        (&["undo", "--reason", "x"], "required"),
        (&["undo", "--rule", "x"], "--reason"),
        (&["replay", "--apply"], "--reason"),
        (&["lookup", "--config", "missing.toml", "u@example.com"], "missing.toml: the config"),
    ] {
        let output = bounced(dir.path(), args, b"");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains(part), "{args:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "", "{args:?}");
    }
}

#[test]
fn check_config_says_ok() {
    let dir = scratch();
    let output = bounced(dir.path(), &["check-config"], b"");
    assert_eq!(text(&output.stdout), "ok\n", "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
    assert!(!dir.path().join("data").exists(), "a check changes nothing");
}

#[test]
fn check_config_reads_what_serve_reads() {
    let dir = scratch();
    let config = "data_dir = \"data\"\n[http]\ntokens_file = \"tokens\"\n";
    std::fs::write(dir.path().join("bounced.toml"), config).expect("scratch is writable");
    // As config/bounced.toml tells how to write one.
    let good = format!("write {} mailing-system\n", "0f".repeat(32));
    for (tokens, said) in [
        (&*good, "ok\n"),
        ("", "bounced.toml:3: tokens_file tokens, there is no token; write a line"),
        (
            "read s3cret grafana\n",
            "bounced.toml:3: tokens_file tokens, line 1: the second word must be 64 hex",
        ),
    ] {
        std::fs::write(dir.path().join("tokens"), tokens).expect("scratch is writable");
        let output = bounced(dir.path(), &["check-config"], b"");
        assert!(text(&output.stdout).starts_with(said), "{}", text(&output.stdout));
        assert_eq!(output.status.code(), Some(if said == "ok\n" { 0 } else { 2 }), "{tokens}");
    }
}

/// What the first lines of the README send.
#[test]
fn the_report_of_the_readme_is_one() {
    let report = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/dsn.eml");
    let report = report.to_str().expect("our path is UTF-8");
    let to = "bounces+user=example.com@bounce.example.com";
    let output = bounced(scratch().path(), &["classify", "--json", "--to", to, report], b"");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a JSON line");
    assert_eq!(said["recipients"][0]["address"], "user@example.com");
    assert_eq!(said["recipients"][0]["rule"], "says/recipient/absent");
}

#[test]
fn classify_keeps_order_and_says_what_it_could_not_read() {
    let dir = scratch();
    let mail = dir.path().join("mail");
    std::fs::create_dir(&mail).expect("scratch is writable");
    let message = "From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n";
    for name in ["b.eml", "a.eml"] {
        std::fs::write(mail.join(name), message).expect("scratch is writable");
    }
    let mbox = format!(
        "From a@example.com Sun Nov 22 10:00:00 2026\n{message}\n\
         From a@example.com Sun Nov 22 10:00:00 2026\n{message}"
    );
    std::fs::write(dir.path().join("box"), mbox).expect("scratch is writable");
    let args = ["classify", "--json", "mail", "missing", "box", "-"];
    let output = bounced(dir.path(), &args, message.as_bytes());
    assert_eq!(output.status.code(), Some(2), "one source is missing");
    let out = text(&output.stdout);
    let lines: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let sources: Vec<_> = lines.iter().map(|line| line["source"].as_str().unwrap_or("")).collect();
    assert_eq!(sources, ["mail/a.eml", "mail/b.eml", "missing", "box#1", "box#2", "-"]);
    assert_eq!(lines[2]["error"], "No such file or directory");
    for line in [&lines[0], &lines[1], &lines[5]] {
        assert_eq!((&line["bytes"], &line["kind"]), (&message.len().into(), &"other".into()));
    }
    let output = bounced(dir.path(), &["classify", "mail/a.eml"], b"");
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).starts_with("mail/a.eml\n  kind         other ("));
    assert!(!text(&output.stdout).contains('\u{1b}'), "no colour into a pipe");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let dir = scratch();
    let mail = dir.path().join("mail");
    std::fs::create_dir(&mail).expect("scratch is writable");
    for n in 0..2000 {
        std::fs::write(mail.join(format!("{n}.eml")), "A: b\n\n").expect("scratch is writable");
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_bounced"))
        .args(["classify", "--json", "mail"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn readyz_is_no_when_nothing_runs() {
    let dir = scratch();
    let output = bounced(dir.path(), &["readyz"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("bounced is not running there"));
}

#[test]
fn a_service_that_listens_elsewhere_is_named_as_the_remedy() {
    let dir = scratch();
    std::fs::create_dir_all(dir.path().join("data")).expect("scratch is writable");
    // The lock is a file; a folder in its place is the same trouble for whoever opens it.
    std::fs::create_dir(dir.path().join("data/lock")).expect("scratch is writable");
    let output = bounced(dir.path(), &["lookup", "u@e.test"], b"");
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("if one runs, name its configuration with --config"), "{stderr}");
}

#[test]
fn rules_are_checked_without_a_folder_of_ones_own() {
    let dir = scratch();
    let output = bounced(dir.path(), &["rules", "check"], b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).starts_with("ok: "));
    // One that somebody named must be there.
    for named in [&["rules", "check", "missing"][..], &["--config", "named.toml", "rules", "check"]]
    {
        let config = "data_dir = \"data\"\n[rules]\ndir = \"missing\"\n";
        std::fs::write(dir.path().join("named.toml"), config).expect("scratch is writable");
        let output = bounced(dir.path(), named, b"");
        assert_eq!(output.status.code(), Some(2), "{named:?}");
        assert!(text(&output.stdout).contains("missing: cannot read"), "{named:?}");
    }
}

#[test]
fn moments_and_reasons_are_checked() {
    let dir = scratch();
    // Something listens, so the ledger is not opened; it is never asked.
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("a bound socket has an address");
    let config = format!("[http]\nlisten = [\"{address}\"]\n");
    std::fs::write(dir.path().join("bounced.toml"), config).expect("scratch is writable");
    for (args, part) in [
        (&["suppress", "u@e.test", "--reason", "x", "--until", "soon"][..], "is no moment"),
        (&["suppress", "u@e.test", "--reason", "x", "--until", "2020-01-01"], "in the past"),
        (&["release", "u@e.test", "--reason", " "], "--reason is empty"),
        (&["list", "--class", "invalid-recipent"], "did you mean \"invalid-recipient\"?"),
        (&["import", "missing.csv"], "missing.csv cannot be read"),
        (&["undo", "--reason", "x", "--between", "2026-11-22", "2026-11-21"], "swap the two"),
        (&["undo", "--dry-run", "--between", "2026-11-22", "2026-11-21"], "swap the two"),
        (&["list", "--limit", "0"], "from 1 on"),
        (&["unknown", "--limit", "0"], "from 1 on"),
        (&["ingest", "--to", "nope", "bounced.toml"], "that is no address, write the return path"),
        (&["classify", "--to", "nope", "bounced.toml"], "that is no address"),
        (&["lookup", "u\n@e.test"], "\"u\\u{a}@e.test\" is no address"),
        (&["lookup", ""], "\"\" is no address, write one such as user@example.com"),
        (&["lookup", "u e@e.test"], "\"u e@e.test\" is no address"),
        (&["explain", "u"], "\"u\" is no address"),
        (&["suppress", "u", "--reason", "x"], "\"u\" is no address"),
        (&["release", "u", "--reason", "x"], "\"u\" is no address"),
    ] {
        let output = bounced(dir.path(), args, b"");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains(part), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_question_without_service_and_data_is_no_answer() {
    let dir = scratch();
    for args in [
        &["lookup", "u@e.test"][..],
        &["explain", "u@e.test"],
        &["list"],
        &["export"],
        &["events"],
        &["unknown"],
        &["guards"],
        &["undo", "--dry-run", "--rule", "x"],
    ] {
        let output = bounced(dir.path(), args, b"");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(text(&output.stdout), "", "{args:?}");
        let stderr = text(&output.stderr);
        assert!(
            stderr.contains("there is no list in") && stderr.contains("bounced serve"),
            "{stderr}"
        );
        assert!(!dir.path().join("data").exists(), "{args:?} made a folder");
    }
    // What writes makes the list, and then it can be asked.
    let done = bounced(dir.path(), &["suppress", "u@e.test", "--reason", "by phone"], b"");
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert_eq!(bounced(dir.path(), &["lookup", "u@e.test"], b"").status.code(), Some(0));
    let events = bounced(dir.path(), &["events", "--limit", "1"], b"");
    let line: serde_json::Value = serde_json::from_slice(&events.stdout).expect("one JSON line");
    assert_eq!(line["type"], "act");
    let later = bounced(dir.path(), &["events", "--from", "1000"], b"");
    assert_eq!((later.status.code(), text(&later.stdout).as_str()), (Some(0), ""));
    // What cannot be meant is said, and what finds nothing says that.
    for (args, code, part) in [
        (&["list", "--domain", "@"][..], 2, "is no domain"),
        (&["list", "--scope", "***"], 2, "`*` for all"),
        (&["export", "--scope", "a b"], 2, "`*` for all"),
        (&["undo", "--dry-run", "--peer", "nope"], 2, "`nope` is no IP address"),
        (&["undo", "--dry-run", "--rule", "nope"], 1, "no evidence in the list"),
    ] {
        let output = bounced(dir.path(), args, b"");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(part), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn completions_and_the_manual_need_no_configuration() {
    let dir = scratch();
    std::fs::write(dir.path().join("bounced.toml"), "broken").expect("scratch is writable");
    for shell in ["bash", "zsh", "fish"] {
        let output = bounced(dir.path(), &["completions", shell], b"");
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(text(&output.stdout).contains("check-config"), "{shell}");
    }
    let manual = bounced(dir.path(), &["man"], b"");
    assert_eq!(manual.status.code(), Some(0));
    for part in [".TH bounced", "BOUNCED SUPPRESS", "\\-\\-reason"] {
        assert!(text(&manual.stdout).contains(part), "{part}");
    }
}

#[test]
fn doctor_names_what_is_wrong() {
    let dir = scratch();
    let output = bounced(dir.path(), &["doctor", "--json"], b"");
    let out = text(&output.stdout);
    for line in out.lines() {
        let finding: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
        let grade = finding["grade"].as_str().unwrap_or_default();
        assert!(["OK", "WARN", "FAIL"].contains(&grade), "{line}");
    }
    assert!(out.contains("not running: start it with bounced serve"), "{out}");
    let left = std::fs::read_dir(dir.path()).expect("scratch is readable").count();
    assert_eq!(left, 1, "only the configuration is there");
}

/// A pipe that is opened twice loses its writer, or waits for another for ever.
#[test]
fn a_named_pipe_is_imported() {
    let dir = scratch();
    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    let writer = {
        let pipe = pipe.clone();
        std::thread::spawn(move || std::fs::write(pipe, "a@example.com\nb@example.com\n"))
    };
    let done = bounced(dir.path(), &["import", &pipe.display().to_string()], b"");
    assert!(text(&done.stdout).starts_with("2 suppressed, 0 changed"), "{done:?}");
    writer.join().expect("no panic").expect("all of it is read");
}

#[test]
fn a_list_of_another_system_moves_in_and_on() {
    let (dir, other) = (scratch(), scratch());
    let list = r#"{"contacts":[
        {"email":"a@example.com","reason":{"code":"hardBounce","message":"550 5.1.1 User unknown"},"blockedAt":"2026-11-01T00:00:00Z"},
        {"email":"b@example.com","reason":{"code":"contactFlaggedAsSpam","message":""},"blockedAt":"2026-11-02T00:00:00Z"},
        {"email":"c@example.com","reason":{"code":"unsubscribedViaEmail","message":""},"blockedAt":"2026-11-03T00:00:00Z"},
        {"email":"d@example.com","reason":{"code":"softBounce","message":"later"},"blockedAt":"2026-11-03T00:00:00Z"}]}"#;
    let dry = bounced(dir.path(), &["import", "--dry-run", "-"], list.as_bytes());
    assert_eq!(dry.status.code(), Some(0), "{}", text(&dry.stderr));
    let stdout = text(&dry.stdout);
    assert!(stdout.starts_with("- is Brevo blocked contacts (JSON)\n"), "{stdout}");
    // What the server said is read by the rules.
    assert!(stdout.contains("\"reason\":\"user-unknown\""), "{stdout}");
    assert!(stdout.contains("nothing is written; 3 would be suppressed"), "{stdout}");
    let left = std::fs::read_dir(dir.path()).expect("scratch is readable").count();
    assert_eq!(left, 1, "a dry run makes no list: only the configuration is there");
    bounced(dir.path(), &["suppress", "z@example.net", "--reason", "to have a list"], b"");
    let lookup = bounced(dir.path(), &["lookup", "a@example.com"], b"");
    assert_eq!(lookup.status.code(), Some(1), "{}", text(&lookup.stdout));

    let done = bounced(dir.path(), &["import", "--json", "-"], list.as_bytes());
    let answer: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!((&answer["suppressed"], &answer["left_out"]), (&3.into(), &1.into()), "{answer}");
    let by_hand = ["suppress", "e@example.com", "--scope", "news", "--reason", "asked", "--until"];
    bounced(dir.path(), &[&by_hand[..], &["2099-01-01"]].concat(), b"");
    let export = |dir: &tempfile::TempDir| bounced(dir.path(), &["export", "--json"], b"").stdout;
    let exported = export(&dir);
    assert_eq!(text(&exported).lines().count(), 5, "{}", text(&exported));
    for part in ["\"reason\":\"complaint\"", "\"since\":\"2026-11-02T00:00:00Z\""] {
        assert!(text(&exported).contains(part), "{}", text(&exported));
    }
    let again = bounced(other.path(), &["import", "-"], &exported);
    assert_eq!(
        (text(&again.stdout), again.status.code()),
        ("5 suppressed, 0 changed, 0 were already, 0 left out, 0 refused\n".to_string(), Some(0))
    );
    assert_eq!(text(&export(&other)), text(&exported));
    let again = bounced(other.path(), &["import", "-"], &exported);
    assert!(
        text(&again.stdout).starts_with("0 suppressed, 0 changed, 5 were already"),
        "{again:?}"
    );
}
