//! Nodes of the real binary over one PostgreSQL: what concerns all of them at once.

mod postgres;
mod service;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bounced::ledger::journal::{Checkpoint, CheckpointCopy, Disk, RealDisk};
use postgres::{Server, skipped};
use serde_json::Value;
use service::*;

/// A node that is not started.
fn node(server: &Server, name: &str) -> Service {
    let keys = server.socket().join("hash.key");
    std::fs::write(&keys, "0123456789abcdef0123456789abcdef\n").expect("ours");
    let url = server.socket().join("url");
    std::fs::write(&url, server.url()).expect("ours");
    Service::new(&format!(
        "[journal]\nengine = \"postgres\"\nraw = \"all\"\n[journal.postgres]\nurl_file = \"{}\"\n\
         node = \"{name}\"\n[privacy]\nhash_key_file = \"{}\"\n",
        url.display(),
        keys.display()
    ))
}

/// Runs SQL as the superuser.
fn sql(server: &Server, text: &str) -> String {
    sql_at(&server.url(), text)
}

fn sql_at(url: &str, text: &str) -> String {
    let done = Command::new("psql")
        .args(["-AtXqd", &format!("{url} options='-c search_path=bounced'"), "-c", text])
        .output()
        .expect("psql runs");
    assert!(done.status.success(), "{text}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("UTF-8")
}

/// Whether any file below a folder holds a text.
fn holds(dir: &Path, text: &str) -> Option<std::path::PathBuf> {
    for entry in std::fs::read_dir(dir).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = holds(&path, text) {
                return Some(found);
            }
        } else if let Ok(octets) = std::fs::read(&path)
            && octets.windows(text.len()).any(|window| window == text.as_bytes())
        {
            return Some(path);
        }
    }
    None
}

/// Waits for something that comes in its own time.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn state(node: &Service, address: &str) -> String {
    let (status, body) = node.get(&format!("/v1/suppressions/{address}")).expect("it answers");
    let entry: Value = serde_json::from_str(&body).expect("JSON");
    if status == 200 {
        entry["state"].as_str().unwrap_or_default().to_string()
    } else {
        "clear".into()
    }
}

fn export(node: &Service) -> String {
    let (code, out, err) = node.run(&["export"]);
    assert_eq!(code, 0, "{err}");
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

const JANE: &str = "jane.roe@example.com";

#[test]
fn an_erased_address_is_gone_from_every_node_and_stays_blocked() {
    let Some(server) = Server::start() else {
        return skipped("an_erased_address_is_gone_from_every_node_and_stays_blocked");
    };
    let (mut a, mut b, mut c) = (node(&server, "a"), node(&server, "b"), node(&server, "c"));
    let (code, _, err) = a.run(&["engine", "init"]);
    assert_eq!(code, 0, "{err}");
    for node in [&mut a, &mut b, &mut c] {
        node.start();
    }
    let to = "bounces@bounce.example.test";
    for (n, node) in [&a, &b, &c].iter().enumerate() {
        deliver(
            node.smtp,
            to,
            &report(&format!("user{n}@example.com"), "5.1.1", "550 no such user"),
        );
        deliver(node.smtp, to, &report(JANE, "5.1.1", &format!("550 no user {n}")));
    }
    let (code, _, err) = b.run(&["suppress", JANE, "--reason", "asked"]);
    assert_eq!(code, 0, "{err}");
    for node in [&a, &b, &c] {
        until("all learn it", || state(node, JANE) == "suppressed");
        assert!(holds(&node.dir.path().join("data"), JANE).is_some());
    }
    assert_eq!(c.stop("-TERM"), Some(0));
    let (code, out, err) = b.run(&["erase", JANE]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("nodes_due") && out.contains('c') && !out.contains("\"a\""), "{out}");
    for node in [&a, &b] {
        assert_eq!(state(node, JANE), "suppressed");
        until("it is gone there", || holds(&node.dir.path().join("data"), JANE).is_none());
    }
    assert_eq!(sql(&server, "SELECT count(*) FROM journal WHERE line LIKE '%jane.roe@%'"), "0\n");
    let (code, out, _) = a.run(&["engine", "status"]);
    assert!(code == 1 && out.contains("node c has not taken erased addresses out"), "{out}");
    // Its records are not as they will be: nobody says that they differ.
    let (code, out, err) = c.run(&["verify"]);
    let said = "nothing is proved of the shared journal: the erasure at record";
    assert!(code == 1 && out.contains(said) && !out.contains("NOT what"), "{out}{err}");
    // The node that was away has records of before: it takes its copy anew, and its raw message goes.
    assert!(holds(&c.dir.path().join("data"), JANE).is_some());
    c.start();
    until("it is gone there", || holds(&c.dir.path().join("data"), JANE).is_none());
    let mut d = node(&server, "d");
    d.start();
    let list = export(&a);
    for node in [&b, &c, &d] {
        until("one list", || export(node) == list);
    }
    until("all did it", || !a.run(&["engine", "status"]).1.contains("erased"));
    // Weak evidence comes to nodes that were not asked, one of which knew that nobody was ever erased.
    // A row that does not know the block would hide it.
    for (n, node) in [&a, &c, &d].iter().enumerate() {
        deliver(node.smtp, to, &report(JANE, "4.2.2", &format!("452 4.2.2 mailbox full {n}")));
    }
    for node in [&a, &b, &c, &d] {
        until("it is still blocked", || state(node, JANE) == "suppressed");
    }
}

/// Takes the last records from the engine, as a failover to a server that lacked them does.
fn lose(server: &Server, last: u64) {
    let chain = match last {
        0 => "decode(repeat('00', 32), 'hex')".to_string(),
        last => format!("(SELECT chain FROM journal WHERE seq = {last})"),
    };
    sql(server, &format!("UPDATE head SET seq = {last}, chain = {chain}"));
    sql(server, &format!("DELETE FROM journal WHERE seq > {last}"));
}

fn ready(node: &Service) -> String {
    node.get("/readyz").expect("it answers").1
}

#[test]
fn what_a_failover_lost_is_said_until_a_person_has_seen_to_it() {
    let Some(server) = Server::start() else {
        return skipped("what_a_failover_lost_is_said_until_a_person_has_seen_to_it");
    };
    let (mut a, mut b) = (node(&server, "a"), node(&server, "b"));
    assert_eq!(a.run(&["engine", "init"]).0, 0);
    a.start();
    let to = "bounces@bounce.example.test";
    for n in 0..6 {
        deliver(a.smtp, to, &report(&format!("user{n}@example.com"), "5.1.1", "550 no such user"));
    }
    assert_eq!(a.stop("-TERM"), Some(0));
    let last: u64 = sql(&server, "SELECT seq FROM head").trim().parse().expect("a number");
    lose(&server, last - 2);
    b.start();
    for n in 10..15 {
        deliver(b.smtp, to, &report(&format!("user{n}@example.com"), "5.1.1", "550 no such user"));
    }
    for _ in 0..2 {
        a.start();
        let said = ready(&a);
        let range = format!("records {} to {last} are lost", last - 1);
        assert!(said.contains(&range) && said.contains("lost-"), "{said}");
        assert_eq!(
            (state(&a, "user5@example.com"), state(&a, "user14@example.com")),
            ("clear".into(), "suppressed".into())
        );
        assert_eq!(a.stop("-TERM"), Some(0));
    }
    // What it kept can be read as a list of its own, and comes in again.
    let data = a.dir.path().join("data");
    let written = std::fs::read_to_string(data.join("lost-records")).expect("there");
    let folder = written.split_whitespace().nth(2).expect("a folder");
    let kept = Service::new("");
    std::fs::rename(data.join(folder), kept.dir.path().join("data")).expect("one file system");
    assert!(export(&kept).contains("user5@example.com"));
    std::fs::remove_file(data.join("lost-records")).expect("ours");
    a.start();
    assert!(!ready(&a).contains("are lost"), "{}", ready(&a));
    assert_eq!(a.stop("-TERM"), Some(0));
    // An engine that has nothing of it: nobody takes that over.
    assert_eq!(b.stop("-TERM"), Some(0));
    lose(&server, 0);
    let refused = bounced()
        .args(["--config".as_ref(), a.config().as_os_str(), "serve".as_ref()])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("has not one of the"), "{said}");
    assert!(said.contains("engine adopt"), "{said}");
    assert!(data.join("journal").is_dir());
    // The list of this node is that of all again.
    let (code, out, err) = a.run(&["engine", "adopt"]);
    assert_eq!(code, 0, "{out}{err}");
    a.start();
    b.start();
    until("one list", || export(&a) == export(&b));
    assert!(export(&b).contains("user14@example.com"));
}

#[test]
fn a_list_moves_in_is_proved_and_moves_out() {
    let Some(server) = Server::start() else {
        return skipped("a_list_moves_in_is_proved_and_moves_out");
    };
    let to = "bounces@bounce.example.test";
    let (mut a, mut b) = (node(&server, "a"), node(&server, "b"));
    assert_eq!(a.run(&["engine", "init"]).0, 0);
    // A list of one machine, of which somebody was erased.
    let shared = std::fs::read_to_string(a.config()).expect("ours");
    let local = shared.replace("engine = \"postgres\"", "engine = \"local\"");
    std::fs::write(a.config(), &local).expect("ours");
    a.start();
    for n in 0..30 {
        deliver(a.smtp, to, &report(&format!("user{n}@example.com"), "5.1.1", "550 no such user"));
    }
    let (code, _, err) = a.run(&["erase", "user3@example.com"]);
    assert_eq!(code, 0, "{err}");
    let list = export(&a);
    let (code, out, err) = a.run(&["verify"]);
    assert!(code == 0 && out.contains("the service runs"), "{out}{err}");
    assert_eq!(a.stop("-TERM"), Some(0));
    let (code, out, err) = a.run(&["verify"]);
    assert!(code == 0 && out.contains("the list is what the journal says"), "{out}{err}");
    std::fs::write(a.config(), &shared).expect("ours");
    // It does not go into a ledger of others, nor does it start as it is.
    let (code, _, said) = a.run(&["list"]);
    assert!(code == 2 && said.contains("engine adopt"), "{said}");
    let (code, out, err) = a.run(&["engine", "adopt"]);
    assert!(code == 0 && out.contains("makes the same list"), "{out}{err}");
    // Again it finds all there, as after a run that was cut off.
    assert_eq!(a.run(&["engine", "adopt"]).0, 0);
    a.start();
    b.start();
    assert_eq!((export(&a), export(&b)), (list.clone(), list.clone()));
    assert_eq!(state(&b, "user3@example.com"), "suppressed");
    deliver(b.smtp, to, &report("new@example.com", "5.1.1", "550 no such user"));
    assert_eq!((a.stop("-TERM"), b.stop("-TERM")), (Some(0), Some(0)));
    let (code, out, err) = b.run(&["verify"]);
    assert!(code == 0 && out.contains("each octet"), "{out}{err}");
    // A record that somebody changed in PostgreSQL is found.
    let change = |from: &str, to: &str| {
        sql(
            &server,
            &format!("UPDATE journal SET line = replace(line, '{from}', '{to}') WHERE seq = 9"),
        )
    };
    change("no such user", "no such host");
    let (code, out, _) = b.run(&["verify", "--json"]);
    assert!(code == 1 && out.contains("record 9 of the shared journal"), "{out}");
    change("no such host", "no such user");
    // It goes its own way, and is proved again.
    let (code, _, err) = b.run(&["engine", "leave"]);
    assert_eq!(code, 0, "{err}");
    let config = std::fs::read_to_string(b.config()).expect("ours");
    let config = config.replace("engine = \"postgres\"", "engine = \"local\"");
    std::fs::write(b.config(), &config).expect("ours");
    b.start();
    assert!(export(&b).contains("new@example.com"));
    assert_eq!(b.stop("-TERM"), Some(0));
    assert_eq!(b.run(&["verify"]).0, 0);
}

/// The blocks of docs/cluster.md, "From nothing", as they stand there but for where things are.
#[test]
fn the_commands_of_the_document_work() {
    let Some(server) = Server::start() else {
        return skipped("the_commands_of_the_document_work");
    };
    let text = include_str!("../docs/cluster.md");
    let part = text.split("## From nothing").nth(1).and_then(|rest| rest.split("\n## ").next());
    let blocks: Vec<(&str, &str)> = part
        .expect("it is there")
        .split("```")
        .skip(1)
        .step_by(2)
        .map(|block| block.split_once('\n').expect("a language, or none"))
        .collect();
    let of = |language: &str| -> Vec<&str> {
        blocks.iter().filter(|(l, _)| *l == language).map(|(_, block)| *block).collect()
    };
    for statement in of("sql").concat().split_inclusive(';').filter(|s| s.contains(' ')) {
        sql(&server, statement);
    }
    let mut node = Service::new("");
    let dir = node.dir.path().to_path_buf();
    let url = of("").into_iter().find(|block| block.starts_with("postgresql://")).expect("a URL");
    let (before, rest) = url.trim().split_once('@').expect("user and hosts");
    let (_, rest) = rest.split_once('/').expect("hosts and database");
    let (database, _) = rest.split_once('?').expect("settings");
    let socket = server.socket().display().to_string().replace('/', "%2F");
    std::fs::write(dir.join("postgres.url"), format!("{before}@{socket}/{database}\n"))
        .expect("ours");
    std::fs::write(dir.join("hash.key"), "0123456789abcdef0123456789abcdef\n").expect("ours");
    let toml = of("toml").concat().replace("/etc/bounced", &dir.display().to_string());
    let config = std::fs::read_to_string(node.config()).expect("ours");
    std::fs::write(node.config(), format!("{config}{toml}")).expect("ours");
    let mut ran = Vec::new();
    for line in of("").concat().lines().filter(|line| line.starts_with("bounced ")) {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        if words == ["engine", "adopt"] {
            // All of this node's list is there already: it finds that, and changes nothing.
            let (code, out, err) = node.run(&words);
            assert!(code == 0 && out.contains("makes the same list"), "{out}{err}");
            continue;
        }
        if words == ["engine", "status"] {
            node.start();
        }
        let (code, out, err) = node.run(&words);
        let is_warned = out.contains("synchronous_standby_names is empty");
        assert!(code == 0 || (words == ["engine", "status"] && is_warned), "{line}: {out}{err}");
        if words == ["engine", "status"] {
            assert_eq!(node.stop("-TERM"), Some(0));
        }
        ran.push(words.join(" "));
    }
    assert_eq!(ran, ["check-config", "engine init", "engine status"]);
    node.start();
    let to = "bounces+user=example.com@bounce.example.test";
    deliver(node.smtp, to, &report("user@example.com", "5.1.1", "550 5.1.1 user unknown"));
    assert_eq!(node.stop("-TERM"), Some(0));
    let part = text.split("## Asking in SQL").nth(1).and_then(|rest| rest.split("\n## ").next());
    let blocks = part.expect("it is there").split("```sql\n").skip(1);
    // The database of the document.
    let url = server.url().replace("dbname=postgres", "dbname=bounced");
    let answers: Vec<String> = blocks
        .map(|block| sql_at(&url, block.split("```").next().expect("its end")).trim().to_string())
        .collect();
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert_eq!(answers[0], "others|user-unknown|1");
    assert!(answers[1].ends_with("|now/user-unknown|1"), "{answers:?}");
    assert_eq!(answers[2], "suppressed|1");
}

/// Rows of the shared checkpoints that hold a text, of each checkpoint that has any.
fn in_checkpoints(server: &Server, text: &str) -> usize {
    let dir = tempfile::tempdir().expect("scratch");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir.path()).expect("ours"));
    let mut found = 0;
    for name in sql(server, "SELECT name || ' ' || seq FROM checkpoint").lines() {
        let (name, seq) = name.split_once(' ').expect("two words");
        let parts = format!(
            "SELECT encode(octets, 'hex') FROM checkpoint_part WHERE name = '{name}' ORDER BY part"
        );
        let hex: String = sql(server, &parts).split_whitespace().collect();
        let octets = data_encoding::HEXLOWER.decode(hex.as_bytes()).expect("hex");
        let position: u64 = seq.parse().expect("a number");
        let mut copy = CheckpointCopy::create(&disk, position).expect("ours");
        copy.push(&octets).and_then(|()| copy.finish()).expect("whole");
        let checkpoint = Checkpoint::open(&disk, position).expect("whole");
        let mut rows = checkpoint.rows_from(&[]).expect("whole");
        while let Some((key, value)) = rows.row().expect("whole") {
            let holds = |octets: &[u8]| octets.windows(text.len()).any(|w| w == text.as_bytes());
            found += usize::from(holds(key) || holds(value));
            rows.advance();
        }
    }
    found
}

fn number(server: &Server, text: &str) -> u64 {
    sql(server, text).trim().parse().expect("a number")
}

#[test]
fn nodes_begin_with_a_checkpoint_old_records_go_and_an_erasure_reaches_it() {
    let what = "nodes_begin_with_a_checkpoint_old_records_go_and_an_erasure_reaches_it";
    let Some(server) = Server::start() else { return skipped(what) };
    let (mut a, mut b) = (node(&server, "a"), node(&server, "b"));
    assert_eq!(a.run(&["engine", "init"]).0, 0);
    a.start();
    let to = "bounces@bounce.example.test";
    let mut users = 0..;
    // So many that a checkpoint is worth it, and that it is shared.
    let mut share = |a: &Service| {
        sql(&server, "UPDATE checkpoint SET at_ms = 0");
        let before = number(&server, "SELECT coalesce(max(seq), 0) FROM checkpoint");
        for n in users.by_ref().take(105) {
            let who = format!("user{n}@example.com");
            deliver(a.smtp, to, &report(&who, "5.1.1", "550 no such user"));
        }
        let newest = "SELECT coalesce(max(seq), 0) FROM checkpoint";
        until("a checkpoint is shared", || number(&server, newest) > before);
    };
    deliver(a.smtp, to, &report(JANE, "5.1.1", "550 no such user"));
    let (code, _, err) = a.run(&["suppress", JANE, "--reason", "asked"]);
    assert_eq!(code, 0, "{err}");
    share(&a);
    assert!(in_checkpoints(&server, JANE) > 0);
    b.start();
    let data = |node: &Service| node.dir.path().join("data");
    assert!(std::fs::read_dir(data(&b).join("checkpoint")).expect("there").count() > 0);
    until("one list", || export(&a) == export(&b));
    // What a start would make of it is proved while it runs, and nothing of that stays.
    let (code, out, err) = b.run(&["verify"]);
    assert!(
        code == 0 && out.contains("the service runs") && out.contains("each octet"),
        "{out}{err}"
    );
    let left = std::fs::read_dir(data(&b)).expect("there").flatten();
    assert!(left.into_iter().all(|e| !e.file_name().to_string_lossy().starts_with("again-")));
    assert_eq!(b.stop("-TERM"), Some(0));
    // It is away while records go: those from long ago that two checkpoints cover.
    share(&a);
    share(&a);
    let covered = number(&server, "SELECT min(seq) FROM checkpoint");
    sql(&server, "UPDATE node SET seen_ms = 0 WHERE name = 'b'");
    let end = number(&server, "SELECT seq FROM head");
    until("all beat", || number(&server, "SELECT max(seq) FROM node") == end);
    let age = "UPDATE journal SET at_ms = at_ms - 100 * 86400000::bigint";
    sql(&server, &format!("{age} WHERE seq < {end}"));
    until("they go", || number(&server, "SELECT first FROM head") == covered);
    until("they go", || number(&server, "SELECT min(seq) FROM journal") == covered);
    // Who is erased is in no checkpoint any more, and there is one all the same.
    assert!(in_checkpoints(&server, JANE) > 0);
    let (code, _, err) = a.run(&["erase", JANE]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(in_checkpoints(&server, JANE), 0);
    let clean = "SELECT count(*) FROM checkpoint WHERE erased >= (SELECT max(seq) FROM erasure)";
    assert!(number(&server, clean) > 0);
    assert_eq!(sql(&server, "SELECT count(*) FROM journal WHERE line LIKE '%jane.roe@%'"), "0\n");
    // The one that was away begins anew with it, and so does a new one.
    let mut c = node(&server, "c");
    for node in [&mut b, &mut c] {
        node.start();
        until("one list", || export(&a) == export(node));
        assert_eq!(holds(&data(node), JANE), None);
        assert_eq!(state(node, JANE), "suppressed");
        assert!(!ready(node).contains("are lost"), "{}", ready(node));
        until("it is carried out there", || {
            let (code, out, _) = node.run(&["verify"]);
            code == 0 && out.contains("each octet")
        });
    }
    let (_, out, _) = c.run(&["engine", "status"]);
    assert!(
        out.contains(&format!("the journal begins at {covered}; newest checkpoint at")),
        "{out}"
    );
    // All nodes fold as this release does already.
    let (code, out, err) = c.run(&["engine", "upgrade"]);
    assert!(code == 0 && out.contains("the newest of this release: nothing to do"), "{out}{err}");
    // Stopped, too.
    assert_eq!(c.stop("-TERM"), Some(0));
    let (code, out, err) = c.run(&["verify"]);
    assert!(
        code == 0 && out.contains("from the checkpoint") && out.contains("each octet"),
        "{out}{err}"
    );
    // While the engine is away nothing is said to differ.
    let url = server.socket().join("url");
    std::fs::write(&url, "host=/nowhere user=postgres dbname=postgres").expect("ours");
    let (code, out, _) = c.run(&["verify"]);
    assert!(code == 1 && out.contains("nothing is proved of the shared journal"), "{out}");
    assert!(out.contains("the list is what the journal says"), "{out}");
}
