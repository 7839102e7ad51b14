//! The documents are followed to the letter: each block marked `sh` of a document by task is run, in the
//! order of the document, against a service of its own that has taken a few bounces; of one marked
//! `console` the commands are run, and what it shows must be what they print. No block of a document is
//! run by nobody: `ELSEWHERE` says who runs the others.

mod service;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use service::{Service, deliver, report};

/// Commands whose exit of 1 is an answer: there is no guard, no wording, no such address.
const ASK: [&str; 4] = ["bounced guards", "bounced unknown", "bounced lookup", "bounced undo"];

/// A block with those answers taken.
fn answered(block: &str) -> String {
    let line = |line: &str| match ASK.iter().any(|ask| line.starts_with(ask)) {
        true => format!("{} || [ $? = 1 ]\n", line.split(" #").next().unwrap_or_default()),
        false => format!("{line}\n"),
    };
    block.lines().map(line).collect()
}

/// A fenced block of a document.
struct Block {
    heading: String,
    language: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|why| panic!("{file}: {why}"))
}

/// All blocks of a document, without the indent of a list.
fn all_blocks(document: &str) -> Vec<Block> {
    let text = read(document);
    let (mut found, mut open, mut heading) = (Vec::new(), None::<(Block, usize)>, String::new());
    for line in text.lines() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(language)) => {
                let block = Block {
                    heading: heading.clone(),
                    language: language.to_string(),
                    text: String::new(),
                };
                open = Some((block, line.len() - line.trim_start().len()));
            }
            (Some(_), Some("")) => found.extend(open.take().map(|(block, _)| block)),
            (Some((block, indent)), _) => {
                let line = line.split_at_checked(*indent).map_or("", |(_, rest)| rest);
                block.text.push_str(&format!("{line}\n"));
            }
            (None, None) if line.starts_with('#') => heading = line.to_string(),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{document}: a block without end");
    found
}

/// The blocks of a language below a heading.
fn blocks(document: &str, heading: &str, language: &str) -> Vec<String> {
    let wanted = |block: &Block| block.heading == heading && block.language == language;
    let found: Vec<String> =
        all_blocks(document).into_iter().filter(wanted).map(|block| block.text).collect();
    assert!(!found.is_empty(), "{document}, {heading}: no block marked `{language}`");
    found
}

/// Where the blocks of one document are run.
struct Scene {
    document: &'static str,
    service: Service,
    work: PathBuf,
}

impl Scene {
    fn new(document: &'static str) -> Self {
        let service = Service::new("");
        let work = service.dir.path().join("work");
        std::fs::create_dir(&work).expect("a scratch folder");
        std::os::unix::fs::symlink(root().join("examples"), work.join("examples"))
            .expect("a scratch folder");
        Self { document, service, work }
    }

    /// Starts the service and lets it take two bounces.
    fn begun(mut self) -> Self {
        self.service.start();
        for user in ["user@example.com", "other@example.com"] {
            let to = format!("bounces+{}@bounce.example.test", user.replace('@', "="));
            let said = report(user, "5.1.1", "550 5.1.1 user unknown");
            deliver(self.service.smtp, &to, &said);
        }
        self
    }

    /// A text of the document with the names and places of this scene.
    fn here(&self, text: &str) -> String {
        let smtp = format!("127.0.0.1:{}", self.service.smtp);
        text.replace("127.0.0.1:8525", &format!("127.0.0.1:{}", self.service.http))
            .replace("127.0.0.1:2525", &smtp)
            .replace("mx.bounce.example.com", &smtp)
            .replace("bounce.example.com", "bounce.example.test")
            .replace("/etc/bounced", &self.work.display().to_string())
            // There is no user of the service.
            .replace("chown bounced:", "chown \"$(id -un)\":")
            .replace("curl -s ", "curl -s --fail-with-body ")
    }

    fn output(&self, script: &str) -> Output {
        let binary = Path::new(env!("CARGO_BIN_EXE_bounced"));
        let folder = binary.parent().expect("it is in a folder").display();
        let path = std::env::var("PATH").expect("there is a shell");
        Command::new("timeout")
            .args(["120", "bash", "-euo", "pipefail", "-c", script])
            .current_dir(&self.work)
            .env("PATH", format!("{folder}:{path}"))
            .env("BOUNCED_CONFIG", self.service.config())
            .output()
            .expect("timeout and bash are there")
    }

    /// Runs a block and gives what it printed.
    fn run(&self, block: &str) -> String {
        let script = answered(&self.here(block));
        let output = self.output(&script);
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        let document = self.document;
        assert!(
            output.status.success(),
            "{document}: this does not work ({}):\n{script}\n{out}{err}",
            output.status
        );
        out
    }

    /// Runs the commands of a `console` block. Each line that it shows must be printed, in this order.
    fn converse(&self, block: &str) {
        let commands: Vec<&str> = block.lines().filter_map(|l| l.strip_prefix("$ ")).collect();
        let printed = self.run(&commands.join("\n"));
        let mut rest = printed.lines().map(without_chance);
        for line in block.lines().filter(|line| !line.starts_with("$ ") && *line != "...") {
            let wanted = without_chance(&self.here(line));
            assert!(
                rest.any(|found| found == wanted),
                "{}: this is not shown, or not in this order:\n{line}\nbut:\n{printed}",
                self.document
            );
        }
    }

    /// Adds to the configuration.
    fn configure(&self, toml: &str) {
        let file = self.service.config();
        let config = std::fs::read_to_string(&file).expect("ours");
        std::fs::write(&file, format!("{config}\n{}", self.here(toml))).expect("ours");
    }
}

/// A line without what is another one each time: ids and times.
fn without_chance(line: &str) -> String {
    let word = |word: &str| {
        let is_id = word.len() == 22 && word.bytes().all(|b| b.is_ascii_hexdigit());
        let is_time = word.len() == 24 && word.ends_with('Z') && word.contains('T');
        if is_id {
            "ID".into()
        } else if is_time {
            "TIME".into()
        } else {
            word.to_string()
        }
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

fn follow(document: &'static str) {
    let scene = Scene::new(document).begun();
    let blocks = all_blocks(document);
    let mut sh = blocks.iter().filter(|block| block.language == "sh").peekable();
    assert!(sh.peek().is_some(), "{document} has no block marked `sh`");
    sh.for_each(|block| drop(scene.run(&block.text)));
}

macro_rules! tasks {
    ($($name:ident: $document:literal,)*) => {
        /// Each `sh` of these is run here.
        const FOLLOWED: &[&str] = &[$($document),*];
        $(
            #[test]
            fn $name() {
                follow($document);
            }
        )*
    };
}

tasks! {
    an_explanation_is_read: "docs/explain.md",
    a_verdict_is_looked_into: "docs/verdicts.md",
    the_morning_after_an_outage: "docs/outage.md",
    a_list_is_backed_up_and_restored: "docs/backup.md",
    a_person_is_forgotten: "docs/privacy.md",
    a_program_asks_and_tells: "docs/api.md",
    a_service_is_operated: "docs/operating.md",
    an_alert_is_looked_into: "docs/runbook.md",
}

#[test]
fn the_first_minutes_go_as_the_readme_says() {
    let blocks = blocks("README.md", "# bounced", "console");
    let [start, first] = blocks.as_slice() else { panic!("{} blocks", blocks.len()) };
    // As the scene starts it, but from the sources and on the ports of the defaults.
    assert!(start.starts_with("$ cargo run --release -- serve "), "{start}");
    if Command::new("swaks").arg("--version").output().is_err() {
        return eprintln!("swaks is not installed, so the README's first minutes were not run");
    }
    let mut scene = Scene::new("README.md");
    scene.service.start();
    scene.converse(first);
}

#[test]
fn what_the_readme_shows_of_mail_servers_is_what_their_documents_show() {
    let block = blocks("README.md", "## Set up", "sh").concat();
    let exim = blocks("docs/hookups.md", "## Exim", "sh").concat();
    let install = exim.split(" #").next().expect("a command").trim_end();
    assert!(block.lines().any(|line| line == install), "{install}\n{block}");
    let scene = Scene::new("README.md").begun();
    let curl: Vec<&str> = block.lines().filter(|line| line.starts_with("curl ")).collect();
    let answer = scene.run(&curl.join("\n"));
    assert!(answer.contains("\"suppressed\""), "{answer}");
}

#[test]
fn anything_with_http_asks_and_tells() {
    let scene = Scene::new("docs/hookups.md").begun();
    for block in blocks(scene.document, "## Anything with HTTP", "sh") {
        let answers = scene.run(&block);
        assert!(answers.contains("\"suppressed\""), "{answers}");
    }
}

#[test]
fn an_import_is_tried_as_its_document_shows() {
    let scene = Scene::new("docs/imports.md").begun();
    let list = "Email address,Reason,Last update time\n\
                a@example.com,BOUNCE,2026-11-01T00:00:00Z\nb@example.com,COMPLAINT,2026-11-01T00:00:00Z\n";
    std::fs::write(scene.work.join("suppression.csv"), list).expect("a scratch folder");
    blocks(scene.document, "## How to", "console").iter().for_each(|block| scene.converse(block));
}

#[test]
fn a_rule_of_your_own_is_proved_by_its_samples() {
    let scene = Scene::new("docs/verdicts.md");
    let rules = scene.work.join("rules.d");
    std::fs::create_dir(&rules).expect("a scratch folder");
    let rule = blocks(scene.document, "## When it is wrong", "toml").concat();
    std::fs::write(rules.join("acme.toml"), &rule).expect("a scratch folder");
    scene.run("bounced rules check rules.d");
    // It can fail.
    let unproved = rule.replace("no mailbox here", "no postbox here");
    std::fs::write(rules.join("acme.toml"), unproved).expect("a scratch folder");
    let (code, out, err) = scene.service.run(&["rules", "check", &rules.display().to_string()]);
    assert_ne!(code, 0, "{out}{err}");
}

#[test]
fn a_key_is_made_and_signs() {
    let mut scene = Scene::new("docs/verp.md");
    blocks(scene.document, "## Set up", "sh").iter().for_each(|block| drop(scene.run(block)));
    scene.configure(&blocks(scene.document, "## Set up", "toml").concat());
    scene.service.start();
    let path = scene.run("bounced verp sign user@example.com --domain bounce.example.com");
    let said = report("user@example.com", "5.1.1", "550 5.1.1 user unknown");
    deliver(scene.service.smtp, path.trim(), &said);
    assert!(scene.run("bounced lookup user@example.com").contains("suppressed  user-unknown"));
}

/// The receiver of docs/webhooks.md: its `verify` in a web server. Prints its port.
const RECEIVER: &str = "
import http.server, sys
secret = open(sys.argv[1]).read().strip()
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['content-length']))
        self.send_response(204 if verify(secret, self.headers, body) else 400)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(('127.0.0.1', 0), Hook)
print(server.server_port, flush=True)
server.serve_forever()
";

/// A process of the test, which ends with it.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_endpoint_is_set_up_and_takes_a_test() {
    let scene = Scene::new("docs/webhooks.md").begun();
    let set_up = blocks(scene.document, "# Webhooks", "sh");
    let [secret, test] = set_up.as_slice() else { panic!("{} blocks", set_up.len()) };
    scene.run(secret);
    let verify = blocks(scene.document, "## What a receiver does", "python").concat();
    let receiver = Command::new("python3")
        .args(["-c", &format!("{verify}{RECEIVER}")])
        .arg(scene.work.join("crm.whsec"))
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut receiver) = receiver.map(Ends) else {
        return eprintln!("python3 is not installed, so docs/webhooks.md was not followed");
    };
    let mut port = String::new();
    let output = receiver.0.stdout.take().expect("a pipe");
    BufReader::new(output).read_line(&mut port).expect("it prints its port");
    let endpoint = blocks(scene.document, "# Webhooks", "toml").concat();
    let there = format!("http://127.0.0.1:{}", port.trim());
    let endpoint = endpoint.replace("https://crm.example.com", &there);
    scene.configure(&format!("{endpoint}allow_networks = [\"127.0.0.0/8\"]\n"));
    // systemd sends the signal and does not wait.
    let reload = format!(
        "kill -HUP {}\nuntil bounced webhooks status | grep -q ^crm; do sleep 0.1; done",
        scene.service.pid()
    );
    let printed = scene.run(&test.replace("systemctl reload bounced", &reload));
    assert!(printed.contains("taken: 204"), "{printed}");
    // The other format is read, too.
    std::fs::write(scene.work.join("listmonk.auth"), "user:token\n").expect("a scratch folder");
    scene.configure(&blocks(scene.document, "## Other formats", "toml").concat());
    scene.run("bounced check-config");
}

/// Who runs a block.
enum By {
    /// A test of this file, which is not one of [`FOLLOWED`].
    Here,
    /// This file takes it out of the document and runs it.
    Takes(&'static str),
    /// This file runs the same, written once more: these words are in both.
    Runs(&'static str, &'static str),
    /// It calls a check or a benchmark of ours.
    ItIsOne,
    /// Nobody: there is nothing to run. What is shown is no command.
    Shown,
    /// Nobody, and why.
    Nobody(&'static str),
}
use By::*;

/// Blocks that [`FOLLOWED`] does not cover: document, heading, language.
#[rustfmt::skip]
const ELSEWHERE: &[(&str, &str, &str, By)] = &[
    ("README.md", "# bounced", "console", Here),
    ("README.md", "## Set up", "sh", Takes(".ci/fresh-room")),
    ("README.md", "## Set up", "toml", Takes(".ci/fresh-room")),
    ("docs/benchmarks.md", "## The size of the list", "", ItIsOne),
    ("docs/benchmarks.md", "## Imports", "", ItIsOne),
    ("docs/benchmarks.md", "## An erasure beside lookups and mail", "", ItIsOne),
    ("docs/benchmarks.md", "## Mail and lookups beside those who read much", "", ItIsOne),
    ("docs/benchmarks.md", "## Memory under mail", "", ItIsOne),
    ("docs/benchmarks.md", "## Messages", "", ItIsOne),
    ("docs/benchmarks.md", "## Parts", "", ItIsOne),
    ("docs/benchmarks.md", "## Compared with other readers", "sh", ItIsOne),
    ("docs/benchmarks.md", "### On Sisimai's public corpus", "sh", Runs(".ci/outside", "classify --json")),
    ("docs/cluster.md", "## From nothing", "sql", Takes("tests/cluster.rs")),
    ("docs/cluster.md", "## From nothing", "toml", Takes("tests/cluster.rs")),
    ("docs/cluster.md", "## From nothing", "", Takes("tests/cluster.rs")),
    ("docs/cluster.md", "## Upgrading a running cluster", "", Runs("tests/cluster.rs", "upgrade")),
    ("docs/cluster.md", "## Asking in SQL", "sql", Takes("tests/cluster.rs")),
    ("docs/explain.md", "# Reading an explanation", "text", Shown),
    ("docs/generality.md", "## Leave one format out", "sh", ItIsOne),
    ("docs/hookups.md", "## Postfix", "sh", Takes(".ci/hookup/room")),
    ("docs/hookups.md", "## Exim", "sh", Takes(".ci/hookup/room")),
    ("docs/hookups.md", "## sendmail", "sh", Takes(".ci/hookup/room")),
    ("docs/hookups.md", "## Haraka", "sh", Takes(".ci/hookup/room")),
    ("docs/hookups.md", "## KumoMTA", "lua", Runs(".ci/hookup/kumo.lua", "require 'bounced'.setup")),
    ("docs/hookups.md", "## PowerMTA, and all that read a file", "sh", Takes(".ci/hookup/room")),
    ("docs/hookups.md", "## Anything with HTTP", "sh", Here),
    ("docs/imports.md", "## How to", "console", Here),
    ("docs/install.md", "## Debian package", "sh", Takes(".ci/package-room")),
    ("docs/install.md", "## Debian package", "toml", Takes(".ci/package-room")),
    ("docs/install.md", "## Tarball", "sh", Takes(".ci/package-room")),
    ("docs/install.md", "## Tarball", "toml", Takes(".ci/package-room")),
    ("docs/install.md", "## Container", "sh", Nobody("the checks have no Docker; .ci/run builds by the commands of the Dockerfile")),
    ("docs/install.md", "## Compose", "sh", Nobody("the checks have no Docker; .ci/dashboards runs secrets.sh and reads compose.yaml by docker-compose")),
    ("docs/install.md", "## Check what you got", "sh", Runs(".ci/release", "SHA256SUMS")),
    ("docs/mailbox.md", "## OAuth: Microsoft 365 and Google", "", Runs(".ci/hookup/room", "use_xoauth2 = True")),
    ("docs/mailbox.md", "## OAuth: Microsoft 365 and Google", "json", Shown),
    ("docs/protocols.md", "## Lookups", "", Shown),
    ("docs/protocols.md", "## Complaints", "", Shown),
    ("docs/verdicts.md", "## When it is wrong", "toml", Here),
    ("docs/verp.md", "## Set up", "sh", Here),
    ("docs/verp.md", "## Set up", "toml", Here),
    ("docs/verp.md", "### Shell", "sh", Takes("tests/verp/main.rs")),
    ("docs/verp.md", "### Python", "python", Takes("tests/verp/main.rs")),
    ("docs/verp.md", "### PHP", "php", Takes("tests/verp/main.rs")),
    ("docs/verp.md", "### Lua", "lua", Takes("tests/verp/main.rs")),
    ("docs/verp.md", "### KumoMTA", "lua", Takes("tests/verp/main.rs")),
    ("docs/verp.md", "### Postfix", "sh", Takes("tests/verp/main.rs")),
    ("docs/webhooks.md", "# Webhooks", "sh", Here),
    ("docs/webhooks.md", "# Webhooks", "toml", Here),
    ("docs/webhooks.md", "## What is told", "json", Shown),
    ("docs/webhooks.md", "## What a receiver does", "python", Here),
    ("docs/webhooks.md", "## Other formats", "toml", Here),
];

/// What is wrong with an entry for a block.
fn wrong(document: &str, block: &Block, by: &By) -> Option<String> {
    let name = document.rsplit('/').next().expect("a name");
    let heading = block.heading.trim_start_matches('#').trim();
    match by {
        Here => {
            let (_, tests) = read("tests/tasks.rs").split_once("tasks! {\n").map(own)?;
            let tests = tests.split("\nenum By").next().expect("all of it").to_string();
            let is_taken = tests.contains(&format!("\"{document}\"")) && tests.contains(heading);
            (!is_taken).then(|| "no test of tests/tasks.rs takes it".to_string())
        }
        Takes(file) => {
            let text = read(file);
            let is_taken = text.contains(name) && text.contains(heading);
            (!is_taken).then(|| format!("{file} does not name {name} and \"{heading}\""))
        }
        Runs(file, words) => {
            let both = read(file).contains(words) && block.text.contains(words);
            (!both).then(|| format!("{file} or the block has no `{words}`"))
        }
        ItIsOne => {
            let command = |line: &str| {
                let words: Vec<&str> = line.split_whitespace().collect();
                words.windows(2).any(|pair| match pair {
                    ["--bench" | "--test", name] => {
                        let file = |file: &str| root().join(file).exists();
                        file(&format!("benches/{name}.rs")) || file(&format!("tests/{name}.rs"))
                    }
                    [one, _] => one.starts_with(".ci/") && root().join(one).exists(),
                    _ => false,
                })
            };
            let strange = block.text.lines().find(|line| !command(line));
            strange.map(|line| format!("`{line}` calls no check and no benchmark that is here"))
        }
        Shown | Nobody(_) => None,
    }
}

fn own((a, b): (&str, &str)) -> (String, String) {
    (a.to_string(), b.to_string())
}

#[test]
fn every_block_of_the_documents_is_run() {
    let mut documents = vec!["README.md".to_string()];
    for entry in std::fs::read_dir(root().join("docs")).expect("it is there").flatten() {
        let name = entry.file_name().into_string().expect("text");
        documents.extend(name.ends_with(".md").then(|| format!("docs/{name}")));
    }
    let blocks = documents.iter().map(|document| (document.as_str(), all_blocks(document)));
    let blocks: Vec<(&str, Vec<Block>)> = blocks.collect();
    let mut known: BTreeMap<(&str, &str, &str), (&By, bool)> = BTreeMap::new();
    for (document, heading, language, by) in ELSEWHERE {
        let twice = known.insert((document, heading, language), (by, false));
        assert!(twice.is_none(), "twice: {document}, {heading}, {language}");
    }
    let (mut faults, mut nobody) = (Vec::new(), 0);
    for (document, blocks) in &blocks {
        for block in blocks {
            let (heading, language) = (block.heading.as_str(), block.language.as_str());
            if language == "sh" && FOLLOWED.contains(document) {
                continue;
            }
            let place = format!("{document}, `{heading}`, a block marked `{language}`");
            match known.get_mut(&(*document, heading, language)) {
                None => faults.push(format!(
                    "{place}: nobody runs it. Follow it in tests/tasks.rs, or say in ELSEWHERE who does"
                )),
                Some((by, seen)) => {
                    *seen = true;
                    nobody += usize::from(matches!(by, Nobody(why) if why.len() > 20));
                    faults.extend(wrong(document, block, by).map(|why| format!("{place}: {why}")));
                }
            }
        }
    }
    for ((document, heading, language), (_, seen)) in known {
        if !seen {
            faults.push(format!("ELSEWHERE: {document} has no `{language}` below `{heading}`"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(documents.len() > 20, "{documents:?}");
    assert_eq!(nobody, 2, "blocks that nobody runs: not more, and each with its reason");
}
