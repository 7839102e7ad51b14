//! HOUSE section 4: a module uses its own floor's words and lower floors, never higher ones.
//! Reads the `use` lines and paths of the sources; a breach fails with the sentence that it broke.

use std::fs;
use std::path::{Path, PathBuf};

/// `(part of a path under src/, words that may not stand there, the sentence)`
const RULES: &[(&str, &[&str], &str)] = &[
    (
        "mail/",
        &[
            "crate::smtp",
            "crate::message",
            "crate::report",
            "crate::classify",
            "crate::policy",
            "crate::ledger::journal",
            "crate::ledger::store",
            "crate::serve",
        ],
        "floor 0 knows no higher floor",
    ),
    (
        "smtp/",
        &[
            "crate::report",
            "crate::classify",
            "crate::policy",
            "crate::ledger::journal",
            "crate::ledger::store",
            "crate::serve",
            "tokio::",
            "std::net",
            "std::fs",
            "SystemTime::now",
            "Instant::now()",
        ],
        "smtp knows bytes and time as an argument; no sockets, store, clock or meaning",
    ),
    (
        "message/",
        &[
            "crate::report",
            "crate::classify",
            "crate::policy",
            "crate::ledger::journal",
            "crate::ledger::store",
            "crate::serve",
        ],
        "floor 1 knows no meaning",
    ),
    (
        "report/",
        &[
            "crate::policy",
            "crate::ledger::journal",
            "crate::ledger::store",
            "crate::serve",
            "crate::smtp",
        ],
        "recognition does not know policy, storage or sessions",
    ),
    (
        "classify/",
        &[
            "crate::policy",
            "crate::ledger::journal",
            "crate::ledger::store",
            "crate::serve",
            "crate::message",
        ],
        "judging does not know policy or storage",
    ),
    (
        "policy/",
        &[
            "crate::ledger::journal",
            "crate::ledger::store",
            "crate::serve",
            "crate::message",
            "crate::smtp",
        ],
        "policy sees rows and events through the ledger's seam only",
    ),
    (
        "verp/",
        &["crate::policy", "crate::ledger::store", "crate::serve", "crate::smtp"],
        "verp knows addresses and keys",
    ),
    (
        "ledger/journal/",
        &["crate::policy", "crate::ledger::store", "crate::serve", "crate::classify"],
        "the journal knows no meaning",
    ),
    (
        "ledger/store/",
        &["crate::policy::", "crate::serve", "crate::classify"],
        "the store knows no policy",
    ),
];

/// `(crate, paths under src/ that may use it)`
const CRATES: &[(&str, &[&str])] = &[
    ("tokio::", &["serve/", "app.rs"]),
    ("rustls::", &["serve/"]),
    ("axum::", &["serve/"]),
    ("hyper::", &["serve/"]),
    ("sled::", &["ledger/store/"]),
    ("mail_parser::", &["message/"]),
    ("smtp_proto::", &["smtp/"]),
    ("aho_corasick::", &["classify/", "report/"]),
];

fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, root: &Path, into: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(dir).expect("a folder of sources").flatten() {
            let path: PathBuf = entry.path();
            if path.is_dir() {
                walk(&path, root, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root).expect("below it").display().to_string();
                into.push((name, fs::read_to_string(&path).expect("text")));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    found.sort();
    found
}

/// Code lines before the unit tests, without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    let lines = text.get(..end).unwrap_or(text).lines().enumerate();
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn is_test_file(name: &str) -> bool {
    name.ends_with("tests.rs")
        || name.contains("/tests/")
        || name.contains("_tests")
        || name.contains("simulated")
}

#[test]
fn no_floor_reaches_up() {
    let mut breaches = Vec::new();
    let sources = sources();
    assert!(sources.len() > 60, "only {} sources found", sources.len());
    for (name, text) in sources.iter().filter(|(name, _)| !is_test_file(name)) {
        for (part, words, sentence) in RULES.iter().filter(|(part, _, _)| name.starts_with(part)) {
            for (line, code) in code(text) {
                if let Some(word) = words.iter().find(|word| code.contains(*word)) {
                    breaches.push(format!("src/{name}:{}: `{word}`: {part} {sentence}", line + 1));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn each_crate_stays_in_its_room() {
    let mut breaches = Vec::new();
    for (name, text) in sources().iter().filter(|(name, _)| !is_test_file(name)) {
        for (krate, rooms) in CRATES {
            if rooms.iter().any(|room| name.starts_with(room)) {
                continue;
            }
            for (line, code) in code(text) {
                let used = code.match_indices(krate).any(|(at, _)| {
                    !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                });
                if used {
                    breaches.push(format!(
                        "src/{name}:{}: `{krate}` belongs to {}",
                        line + 1,
                        rooms.join(", ")
                    ));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn nobody_reads_the_clock_below_the_doors() {
    const MAY: &[&str] = &[
        "serve/",
        "cli",
        "app.rs",
        "service/local.rs",
        "service/local/",
        "mail/time.rs",
        "ledger/",
    ];
    let mut breaches = Vec::new();
    for (name, text) in sources().iter().filter(|(name, _)| !is_test_file(name)) {
        if MAY.iter().any(|room| name.starts_with(room)) {
            continue;
        }
        for (line, code) in code(text) {
            if code.contains("Timestamp::now()") || code.contains("SystemTime::now") {
                breaches.push(format!("src/{name}:{}: time is an argument here", line + 1));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}
