//! The layers of docs/architecture.md: a module uses lower layers only, nothing goes in circles,
//! and some crates stay where they belong. All of each file is read, tests apart; a breach fails
//! with its sentence or with the circle. `cargo test --test layers -- --nocapture` prints the map.

mod imports;

use std::collections::{BTreeMap, BTreeSet};

use imports::{Module, Sources};

/// Each module of the top level, and what it may use. From the lowest layer to the highest.
const LAYERS: &[(&str, &[&str], &str)] = &[
    ("mail", &[], "words of mail know nothing else"),
    ("config", &["mail"], "a configuration is text and values"),
    ("message", &["mail"], "a message is parsed without knowing what it means"),
    ("report", &["mail", "message"], "recognition does not judge, decide or store"),
    ("classify", &["mail", "report"], "judging knows neither policy nor storage"),
    ("event", &["mail", "report", "classify"], "a record is words and verdicts"),
    ("smtp", &["event"], "a session knows octets and time as an argument"),
    ("verp", &["config", "event", "mail", "report"], "return paths know addresses and keys"),
    ("ledger", &["event", "mail"], "the ledger is handed its fold and knows no policy"),
    (
        "policy",
        &["classify", "event", "ledger", "mail", "report"],
        "policy sees rows and events through the ledger's seam only",
    ),
    (
        "analysis",
        &["classify", "event", "mail", "message", "report", "verp"],
        "analysis joins what a message says and means; it cannot fail and stores nothing",
    ),
    (
        "service",
        &["analysis", "classify", "config", "event", "ledger", "mail", "policy", "report", "verp"],
        "the operations know no socket",
    ),
    (
        "serve",
        &["classify", "config", "event", "ledger", "mail", "report", "service", "smtp", "verp"],
        "transports ask the service",
    ),
    (
        "cli",
        &["classify", "config", "event", "ledger", "mail", "policy", "service"],
        "commands ask the service; app hands them the rest",
    ),
    (
        "app",
        &[
            "analysis", "classify", "cli", "config", "event", "ledger", "mail", "policy", "serve",
            "service", "verp",
        ],
        "the composition root is used by nobody but main",
    ),
];

/// Crates, and the paths under `src/` that may use them.
const CRATES: &[(&str, &[&str])] = &[
    ("tokio", &["serve/", "app/", "ledger/postgres/"]),
    ("rustls", &["serve/", "ledger/postgres/", "cli/probe/"]),
    ("tokio_postgres", &["ledger/postgres/"]),
    ("axum", &["serve/"]),
    ("hyper", &["serve/"]),
    ("sled", &["ledger/store/"]),
    ("mail_parser", &["message/"]),
    ("smtp_proto", &["smtp/"]),
    ("ureq", &["cli/"]),
    ("clap", &["cli/"]),
    ("prometheus", &["serve/metrics"]),
];

/// Who may read a clock. Everybody else is handed the time.
const CLOCK_READERS: &[&str] =
    &["serve/", "cli/", "app/", "service/local", "mail/time.rs", "ledger/"];

/// What a session may not touch, in words that no import shows.
const NOT_IN_SMTP: &[&str] = &["std::net", "std::fs", "SystemTime::now", "Instant::now()"];

#[test]
fn a_module_uses_lower_layers_only() {
    let sources = Sources::read();
    assert!(sources.files.len() > 120, "only {} sources found", sources.files.len());
    let rules: BTreeMap<&str, (&[&str], &str)> =
        LAYERS.iter().map(|(module, may, why)| (*module, (*may, *why))).collect();
    let arrows = sources.arrows();
    let mut breaches = Vec::new();
    let mut used: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (module, others) in &arrows {
        let top = module[0].as_str();
        let Some((may, why)) = rules.get(top) else {
            breaches.push(format!("src/{}: no layer is written down for it", module.join("/")));
            continue;
        };
        for other in others.iter().filter(|other| other[0] != module[0]) {
            used.insert((top, other[0].as_str()));
            if !may.contains(&other[0].as_str()) {
                let (from, to) = (module.join("/"), other.join("/"));
                let may = may.join(", ");
                breaches.push(format!("src/{from} uses {to}: {why}; {top} may use: {may}"));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
    let tops: BTreeSet<&str> = arrows.keys().map(|module| module[0].as_str()).collect();
    println!("{} modules at the top, {} arrows between them", tops.len() + 2, used.len());
    let unused: Vec<String> = LAYERS
        .iter()
        .flat_map(|(module, may, _)| may.iter().map(move |other| (*module, *other)))
        .filter(|arrow| !used.contains(arrow))
        .map(|(module, other)| format!("{module} may use {other} and does not: take it out"))
        .collect();
    assert!(unused.is_empty(), "{}", unused.join("\n"));
}

#[test]
fn nothing_goes_in_circles() {
    let arrows = Sources::read().arrows();
    let circles = circles(&arrows);
    let shown: Vec<String> = circles.iter().map(|circle| show(circle, &arrows)).collect();
    println!("{} files, {} circles", arrows.len(), circles.len());
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

/// Groups of more than one module that all reach each other.
fn circles(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<BTreeSet<Module>> {
    let reach = |from: &Module| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = next.pop() {
            for other in arrows.get(&module).into_iter().flatten() {
                if seen.insert(other.clone()) {
                    next.push(other.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> =
        arrows.keys().map(|module| (module, reach(module))).collect();
    let mut found: BTreeSet<BTreeSet<Module>> = BTreeSet::new();
    for (module, others) in &reached {
        if others.contains(*module) {
            let back = |other: &&Module| reached.get(*other).is_some_and(|r| r.contains(*module));
            found.insert(others.iter().filter(back).cloned().collect());
        }
    }
    found.into_iter().collect()
}

fn show(circle: &BTreeSet<Module>, arrows: &BTreeMap<Module, BTreeSet<Module>>) -> String {
    let mut lines = vec!["a circle:".to_string()];
    for module in circle {
        let inside: Vec<String> =
            arrows[module].intersection(circle).map(|other| other.join("/")).collect();
        lines.push(format!("  {} -> {}", module.join("/"), inside.join(", ")));
    }
    lines.join("\n")
}

#[test]
fn each_crate_stays_where_it_belongs() {
    let mut breaches = Vec::new();
    for (file, code) in &Sources::read().files {
        for (krate, places) in CRATES {
            if places.iter().any(|place| file.starts_with(place)) {
                continue;
            }
            let path = format!("{krate}::");
            for (number, line) in code.lines().enumerate() {
                let names = line.match_indices(&path).any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                });
                if names {
                    let places = places.join(", ");
                    breaches
                        .push(format!("src/{file}:{}: {krate} belongs to {places}", number + 1));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn time_is_an_argument_below_the_transports() {
    let mut breaches = Vec::new();
    for (file, code) in &Sources::read().files {
        for (number, line) in code.lines().enumerate() {
            let clock = line.contains("Timestamp::now()") || line.contains("SystemTime::now");
            if clock && !CLOCK_READERS.iter().any(|place| file.starts_with(place)) {
                breaches.push(format!("src/{file}:{}: time is an argument here", number + 1));
            }
            if file.starts_with("smtp/") && NOT_IN_SMTP.iter().any(|word| line.contains(word)) {
                breaches.push(format!("src/{file}:{}: a session is handed this", number + 1));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}
