//! The documents by task are followed to the letter: each block marked `sh` is run, in the order of the
//! document, against a service of its own that has taken a few bounces. Blocks that need another machine or
//! a provider's outage are marked `console`.

mod service;

use std::path::Path;
use std::process::Command;

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

/// The blocks of a document that are marked `sh`, without the indent of a list.
fn blocks(document: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{document}: {why}"));
    let (mut found, mut open) = (Vec::new(), None);
    for line in text.lines() {
        match (&mut open, line.trim()) {
            (None, "```sh") => open = Some(String::new()),
            (Some(block), "```") => {
                found.push(std::mem::take(block));
                open = None;
            }
            (Some(block), line) => block.push_str(&format!("{line}\n")),
            (None, _) => {}
        }
    }
    assert!(!found.is_empty(), "{document} has no block marked `sh`");
    found
}

fn follow(document: &str) {
    let mut service = Service::new("");
    service.start();
    for user in ["user@example.com", "other@example.com"] {
        let to = format!("bounces+{}@bounce.example.test", user.replace('@', "="));
        deliver(service.smtp, &to, &report(user, "5.1.1", "550 5.1.1 user unknown"));
    }
    let work = service.dir.path().join("work");
    std::fs::create_dir(&work).expect("a scratch folder");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    std::os::unix::fs::symlink(examples, work.join("examples")).expect("a scratch folder");
    let binary = Path::new(env!("CARGO_BIN_EXE_bounced"));
    let path = std::env::var("PATH").expect("there is a shell");
    let folder = binary.parent().expect("it is in a folder").display();
    for block in blocks(document) {
        let block = block
            .replace("127.0.0.1:8525", &format!("127.0.0.1:{}", service.http))
            .replace("bounce.example.com", "bounce.example.test")
            .replace("curl -s ", "curl -s --fail-with-body ");
        let output = Command::new("timeout")
            .args(["120", "bash", "-euo", "pipefail", "-c", &answered(&block)])
            .current_dir(&work)
            .env("PATH", format!("{folder}:{path}"))
            .env("BOUNCED_CONFIG", service.config())
            .output()
            .expect("timeout and bash are there");
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        assert!(
            output.status.success(),
            "{document}: this does not work ({}):\n{block}\n{}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
    }
}

macro_rules! tasks {
    ($($name:ident: $document:literal,)*) => {$(
        #[test]
        fn $name() {
            follow($document);
        }
    )*};
}

tasks! {
    an_explanation_is_read: "docs/explain.md",
    a_verdict_is_looked_into: "docs/verdicts.md",
    the_morning_after_an_outage: "docs/outage.md",
    a_list_is_backed_up_and_restored: "docs/backup.md",
    a_person_is_forgotten: "docs/privacy.md",
    a_program_asks_and_tells: "docs/api.md",
    a_service_is_operated: "docs/operating.md",
}
