//! The shipped configuration is the default, knows every key and refuses every other; each folder
//! of `bad_config` ends `check-config` with the sentence in its `expected` and exit 2.
//!
//! `BLESS=1 cargo test --test config` writes the `expected` files; a person reads the diff.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bounced::config::{Config, DEFAULT_FILE, KeepRaw, Listen, LogFormat, uncomment};
use bounced::policy::{Policy, PolicyTable};

/// Read by its own module, which knows its keys.
fn is_policy(table: &str) -> bool {
    table == "policy" || table.starts_with("policy.")
}

/// The policy of a configuration, as `serve` makes it.
fn policy(config: &Config) -> Result<Policy, String> {
    let table = config.policy_table.clone().try_into::<PolicyTable>();
    table.map_err(|error| error.message().to_string()).and_then(Policy::check)
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_shipped_file_is_the_default() {
    let uncommented = uncomment(DEFAULT_FILE, false);
    for text in ["", DEFAULT_FILE, &uncommented] {
        let loaded = Config::parse(text, "bounced.toml").expect("the shipped file is right");
        assert_eq!(policy(&loaded.config), Ok(Policy::default()));
        let rest = Config { policy_table: toml::Table::new(), ..loaded.config };
        assert_eq!(rest, Config::default());
        assert_eq!(loaded.notes, Vec::<String>::new());
    }
    let written = uncommented.lines().filter(|line| line.contains(" = ")).count();
    assert!(written >= 25, "only {written} keys were uncommented");
}

/// Every table of a text, as the number of its header line and its name; 0 is the top.
fn tables(text: &str) -> Vec<(usize, String)> {
    let header = |(i, line): (usize, &str)| {
        let name = line.strip_prefix('[')?.trim_start_matches('[').split(']').next()?;
        Some((i + 1, name.to_string()))
    };
    std::iter::once((0, String::new())).chain(text.lines().enumerate().filter_map(header)).collect()
}

/// The shipped file with its examples uncommented, their files replaced by one that exists.
fn everything() -> String {
    let secret = root("tests/bad_config/keys_without_signed/secret");
    let webhook = root("tests/bad_config/webhook_twice/secret");
    uncomment(DEFAULT_FILE, true)
        .replace("/etc/bounced/verp.key", &secret.display().to_string())
        .replace("/etc/bounced/crm.whsec", &webhook.display().to_string())
}

#[test]
fn a_stray_key_is_an_error_in_every_table() {
    let text = everything();
    Config::parse(&text, "bounced.toml").expect("examples are right too");
    let mut injected = 0;
    for (after, table) in tables(&text) {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.insert(after, "stray = 1");
        if is_policy(&table) {
            let loaded = Config::parse(&lines.join("\n"), "bounced.toml").expect("read later");
            let error = policy(&loaded.config).expect_err(&table);
            assert!(error.contains("unknown field `stray`"), "{error}");
            continue;
        }
        let error = Config::parse(&lines.join("\n"), "bounced.toml").expect_err(&table);
        let line = error.problems[0].line;
        assert_eq!(line, Some(after + 1), "{error}");
        assert!(error.problems[0].text.starts_with("`stray` is unknown"), "{error}");
        injected += 1;
    }
    // The top, smtp, smtp.tls, lmtp, verp, verp.keys, http, lookup, lookup.answers, store, journal,
    // journal.postgres, rules, privacy, webhooks, log.
    assert_eq!(injected, 16);
}

#[test]
fn the_shipped_file_shows_every_key() {
    let text = everything();
    let shown: toml::Table = text.parse().expect("TOML");
    for (after, table) in tables(&text) {
        if is_policy(&table) {
            continue;
        }
        let mut lines: Vec<&str> = text.lines().collect();
        lines.insert(after, "q7q7q7q7 = 1");
        let error = Config::parse(&lines.join("\n"), "bounced.toml").expect_err(&table);
        let known = error.problems[0].text.split("known are: ").nth(1).expect("a list of keys");
        let mut here = &toml::Value::Table(shown.clone());
        for step in table.split('.').filter(|step| !step.is_empty()) {
            here = &here[step];
            if let Some(rows) = here.as_array() {
                here = &rows[0];
            }
        }
        for key in known.split(", ") {
            assert!(here.get(key).is_some(), "[{table}] {key} is not in config/bounced.toml");
        }
    }
}

#[test]
fn a_full_file_is_read_value_by_value() {
    let secret = root("tests/bad_config/keys_without_signed/secret").display().to_string();
    let text = format!(
        r#"
        hostname = "Bounce.Example.COM"
        data_dir = "/var/lib/bounced"
        [smtp]
        listen = ["0.0.0.0:25", "[::1]:2525", "unix:/run/bounced/smtp.sock"]
        domains = ["Bounce.Example.com.", "exämple.example"]
        max_message = "25MB"
        max_connections = 7
        max_connections_per_ip = 3
        max_recipients = 5
        command_timeout = "90s"
        bare_newline = "reject"
        [smtp.tls]
        cert = "c.pem"
        key = "k.pem"
        [lmtp]
        listen = ["127.0.0.1:2424"]
        [verp]
        schemes = ["signed"]
        max_age = "2w"
        [[verp.keys]]
        id = "2026-b"
        secret_file = "{secret}"
        [http]
        listen = ["0.0.0.0:8080"]
        tokens_file = "/etc/bounced/tokens"
        [lookup]
        listen = []
        [policy]
        preset = "five-soft"
        [policy.strikes]
        count = 3
        [store]
        engine = "sled"
        cache = "256MiB"
        min_free = "1GiB"
        [journal]
        keep = "400d"
        raw = "none"
        raw_keep = "1h"
        raw_quota = "1MB"
        [rules]
        dir = ""
        [privacy]
        hash_key_file = "{secret}"
        [log]
        format = "json"
        "#
    );
    let loaded = Config::parse(&text, "x.toml").expect("every value is allowed");
    let config = loaded.config;
    assert_eq!(config.hostname, "bounce.example.com");
    assert_eq!(config.data_dir, Path::new("/var/lib/bounced"));
    assert_eq!(config.smtp.listen.len(), 3);
    assert_eq!(config.smtp.listen[2], Listen::Unix("/run/bounced/smtp.sock".into()));
    assert_eq!(config.smtp.domains, ["bounce.example.com", "xn--exmple-cua.example"]);
    assert_eq!(config.smtp.max_message, 25_000_000);
    let smtp = &config.smtp;
    assert_eq!((smtp.max_connections, smtp.max_connections_per_ip, smtp.max_recipients), (7, 3, 5));
    assert_eq!(config.smtp.command_timeout, Duration::from_secs(90));
    assert!(config.smtp.reject_bare_newline);
    assert_eq!(config.smtp.tls.map(|tls| tls.key), Some("k.pem".into()));
    assert_eq!(config.lmtp.len(), 1);
    assert!(config.verp.signed && !config.verp.plain);
    assert_eq!(config.verp.max_age, Duration::from_secs(14 * 86_400));
    let key = b"a secret of the tests alone, of 32 octets".to_vec();
    assert_eq!(config.verp.keys, [("2026-b".to_string(), key.clone())]);
    assert_eq!(config.http.tokens_file, Some("/etc/bounced/tokens".into()));
    assert_eq!(config.lookup, []);
    assert_eq!(config.policy_table["strikes"]["count"].as_integer(), Some(3));
    assert_eq!((config.store.cache, config.store.min_free), (256 << 20, 1 << 30));
    assert_eq!(config.journal.keep, Duration::from_secs(400 * 86_400));
    assert_eq!((config.journal.raw, config.journal.raw_quota), (KeepRaw::None, 1_000_000));
    assert_eq!(config.rules_dir, None);
    assert_eq!(config.privacy.hash_key, Some(key));
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(loaded.origin.at("policy.strikes.count"), "x.toml:32");
    assert_eq!(loaded.origin.at("smtp.listen[1]"), "x.toml:5");
}

#[test]
fn doubtful_combinations_are_noted() {
    let secret = root("tests/bad_config/keys_without_signed/secret").display().to_string();
    let open = "hostname = \"b.example.com\"\n[smtp]\nlisten = [\"0.0.0.0:25\"]\n\
                domains = [\"b.example.com\"]\n";
    let key = format!("[[verp.keys]]\nid = \"a\"\nsecret_file = \"{secret}\"\n");
    let lookup = "[lookup]\nlisten = [\"0.0.0.0:8526\"]\n";
    for (text, part) in [
        (open.to_string(), "anyone who can send mail to this server can forge a bounce"),
        (key, "only signed return paths suppress"),
        (lookup.to_string(), "f.toml:2: lookup.listen 0.0.0.0:8526"),
    ] {
        let loaded = Config::parse(&text, "f.toml").expect("a note is no refusal");
        assert!(loaded.notes.iter().any(|note| note.contains(part)), "{:?}", loaded.notes);
    }
}

#[test]
fn the_first_file_that_exists_is_read() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let (first, second) = (dir.path().join("first.toml"), dir.path().join("second.toml"));
    let places = [first.as_path(), second.as_path()];
    let hostname = |named: Option<&Path>| {
        Config::load_from(named, &places).map(|loaded| loaded.config.hostname)
    };
    let defaults = Config::load_from(None, &places).expect("embedded defaults");
    assert_eq!((defaults.origin.file(), defaults.config), (None, Config::default()));
    assert!(defaults.notes[0].contains("accept every recipient domain only because"));
    std::fs::write(&second, "hostname = \"second.example\"").expect("scratch is writable");
    assert_eq!(hostname(None), Ok("second.example".to_string()));
    std::fs::write(&first, "hostname = \"first.example\"").expect("scratch is writable");
    assert_eq!(hostname(None), Ok("first.example".to_string()));
    assert_eq!(hostname(Some(&second)), Ok("second.example".to_string()));
    // A file that somebody named must be there; one that is there must be readable.
    let missing = dir.path().join("missing.toml");
    let error = hostname(Some(&missing)).expect_err("there is no such file").to_string();
    assert!(error.contains("missing.toml: the configuration cannot be read"), "{error}");
    std::fs::remove_file(&first).expect("it is there");
    std::fs::create_dir(&first).expect("scratch is writable");
    assert!(hostname(None).is_err());
    std::fs::write(&second, b"hostname = \"\xff\"").expect("scratch is writable");
    let error = hostname(Some(&second)).expect_err("not UTF-8").to_string();
    assert!(error.ends_with("not UTF-8 text, write the file again"), "{error}");
}

/// `runuser -u bounced` in /root: nothing there is for that user, so the next place is looked at.
#[test]
fn a_folder_that_is_closed_to_the_user_is_passed_by() {
    const NOBODY: u32 = 65_534;
    let dir = tempfile::tempdir().expect("a scratch folder");
    let closed = dir.path().join("closed");
    std::fs::create_dir(&closed).expect("scratch is writable");
    let mut shell = Command::new("sh");
    shell.args(["-c", "chmod 000 . && exec \"$0\" check-config", env!("CARGO_BIN_EXE_bounced")]);
    if rustix::process::geteuid().is_root() {
        // No folder is closed to root.
        for path in [dir.path(), &closed] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        shell.uid(NOBODY).gid(NOBODY);
    }
    let output = shell.current_dir(&closed).env_remove("BOUNCED_CONFIG").output().expect("sh");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains("the configuration cannot be read"), "{said}");
    assert!(output.status.code().is_some(), "{output:?}");
}

#[test]
fn bad_configs_end_with_their_sentence_and_exit_2() {
    let folder = root("tests/bad_config");
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder is part of the sources")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    names.sort();
    for name in &names {
        let place = folder.join(name);
        let output = Command::new(env!("CARGO_BIN_EXE_bounced"))
            .args(["check-config", "--config", "bounced.toml"])
            .current_dir(&place)
            .output()
            .expect("the binary runs");
        let said = String::from_utf8(output.stdout).expect("sentences are UTF-8");
        assert_eq!(output.status.code(), Some(2), "{} said: {said}", name.display());
        let expected = place.join("expected");
        let old = std::fs::read_to_string(&expected).unwrap_or_default();
        if std::env::var_os("BLESS").is_some() && old != said {
            std::fs::write(&expected, &said).expect("the sources are writable");
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        let bless = "if it should say this now: BLESS=1 cargo test --test config";
        assert_eq!(said, expected, "{}: {bless}", name.display());
        for line in said.lines() {
            let place = line.strip_prefix("bounced.toml:").unwrap_or_default();
            assert!(place.starts_with(|c: char| c.is_ascii_digit()), "no file and line: {line}");
        }
    }
    assert!(names.len() >= 50, "only {} bad configs ran", names.len());
}
