//! The documents say what the program does: words, names, defaults, files and links in `docs/`,
//! README and CONTRIBUTING are compared with the code, in both directions where that is possible.
//!
//! When one of these fails, the message names the document, the section and what to write there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bounced::classify::{Advice, Category, Certainty, Class, Reason, RuleSet};
use bounced::policy::{Policy, State};
use bounced::report::{Attribution, Kind};
use bounced::serve::metrics::Metrics;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The lines of a document below a heading, up to the next heading of its level or above.
fn section(path: &str, heading: &str) -> String {
    let whole = text(path);
    let mut lines = whole.lines().skip_while(|line| *line != heading);
    let first = lines.next().unwrap_or_else(|| panic!("{path} has no heading `{heading}`"));
    let level = first.bytes().take_while(|b| *b == b'#').count();
    let ends = |line: &&str| {
        let marks = line.bytes().take_while(|b| *b == b'#').count();
        (1..=level).contains(&marks) && line.as_bytes().get(marks) == Some(&b' ')
    };
    lines.take_while(|line| !ends(line)).flat_map(|line| [line, "\n"]).collect()
}

/// The cells of each table row, header and rule left out.
fn rows(section: &str) -> Vec<Vec<String>> {
    let table = section.lines().filter(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let line = line.replace("\\|", "\u{1}");
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner.split('|').map(|c| c.trim().replace('\u{1}', "|")).collect::<Vec<_>>()
    };
    let lines: Vec<&str> = table.collect();
    let is_rule = |line: &str| line.chars().all(|c| matches!(c, '|' | '-' | ' ' | ':'));
    let mut found = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let header = lines.get(place + 1).is_some_and(|next| is_rule(next));
        if !is_rule(line) && !header {
            found.push(cells(line));
        }
    }
    found
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_string).collect()
}

/// The first quoted word of each row, in order.
fn words_of(path: &str, heading: &str) -> Vec<String> {
    let rows = rows(&section(path, heading));
    assert!(!rows.is_empty(), "{path}, `{heading}`: no table");
    rows.iter().filter_map(|row| quoted(row.first()?).into_iter().next()).collect()
}

#[track_caller]
fn same_words(path: &str, heading: &str, expected: impl Iterator<Item = &'static str>) {
    let expected: Vec<String> = expected.map(str::to_string).collect();
    assert_eq!(words_of(path, heading), expected, "{path}, `{heading}`: the words of the code");
}

#[track_caller]
fn same_sets(what: &str, documented: &BTreeSet<String>, program: &BTreeSet<String>) {
    let missing: Vec<_> = program.difference(documented).collect();
    let extra: Vec<_> = documented.difference(program).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{what}: write a line for {missing:?}; the program has no {extra:?}"
    );
}

const TAXONOMY: &str = "docs/taxonomy.md";

#[test]
fn the_taxonomy_has_every_word_and_no_other() {
    same_words(TAXONOMY, "## Kinds", Kind::ALL.iter().map(|k| k.as_str()));
    same_words(TAXONOMY, "## Categories", Category::ALL.iter().map(|c| c.as_str()));
    same_words(TAXONOMY, "## Certainty", Certainty::ALL.iter().map(|c| c.as_str()));
    same_words(TAXONOMY, "## Advice", Advice::ALL.iter().map(|a| a.as_str()));
    same_words("docs/policy.md", "## States", State::ALL.iter().map(|s| s.as_str()));
    same_words("docs/policy.md", "## Attribution", Attribution::ALL.iter().map(|a| a.as_str()));
}

#[test]
fn each_reason_stands_with_what_follows_from_it() {
    let policy = Policy::default();
    let expected: Vec<String> = Reason::ALL
        .iter()
        .map(|reason| {
            let (class, effect) = (reason.class(), policy.numbers("*", *reason).effect);
            let (category, advice) = (reason.category(), reason.advice());
            format!(
                "`{reason}` | {} `{class}` | `{category}` | `{advice}` | `{effect}`",
                class.code()
            )
        })
        .collect();
    let found: Vec<String> = rows(&section(TAXONOMY, "## Reasons"))
        .into_iter()
        .map(|mut row| {
            assert_eq!(row.len(), 6, "{row:?}");
            assert!(row.remove(1).len() > 5, "a reason without its meaning: {row:?}");
            row.join(" | ")
        })
        .collect();
    assert_eq!(found, expected, "{TAXONOMY}, `## Reasons`");
}

#[test]
fn each_class_stands_with_its_number_and_its_reasons() {
    let table = rows(&section(TAXONOMY, "## Classes"));
    assert_eq!(table.len(), Class::ALL.len());
    for (row, class) in table.iter().zip(Class::ALL) {
        let [code, word, members] = row.as_slice() else { panic!("{row:?}") };
        assert_eq!((code, word), (&class.code().to_string(), &format!("`{class}`")));
        let reasons = Reason::ALL.iter().filter(|r| r.class() == *class).map(|r| r.as_str());
        let found: Vec<String> = members
            .split(", ")
            .filter(|member| !member.starts_with("kind "))
            .map(|member| member.trim_matches('`').to_string())
            .collect();
        assert_eq!(found, reasons.collect::<Vec<_>>(), "{TAXONOMY}, class {class}");
        for kind in members.split(", ").filter_map(|member| member.strip_prefix("kind ")) {
            assert!(Kind::parse(kind.trim_matches('`')).is_some(), "{kind}");
        }
    }
}

#[test]
fn each_code_without_words_means_what_its_rule_says() {
    let mut codes: BTreeMap<String, String> = BTreeMap::new();
    for row in rows(&section(TAXONOMY, "## Enhanced codes without words")) {
        let [code, five, four] = row.as_slice() else { panic!("{row:?}") };
        for (class, reason) in [("5", five), ("4", four)] {
            let id = format!("iana/{}", code.replacen('X', class, 1));
            assert!(codes.insert(id, reason.trim_matches('`').to_string()).is_none(), "{code}");
        }
    }
    for row in rows(&section(TAXONOMY, "## Reply codes without words")) {
        let [replies, reason] = row.as_slice() else { panic!("{row:?}") };
        for code in replies.split(", ") {
            codes.insert(format!("reply/{code}"), reason.trim_matches('`').to_string());
        }
    }
    let bare = |id: &str| {
        id.starts_with("iana/") || id.strip_prefix("reply/").is_some_and(|code| code.len() == 3)
    };
    let rules: BTreeMap<String, String> = RuleSet::shipped()
        .rules()
        .iter()
        .filter(|rule| bare(&rule.id))
        .map(|rule| (rule.id.clone(), rule.reason.to_string()))
        .collect();
    assert!(rules.len() > 150, "only {} rules", rules.len());
    assert_eq!(codes, rules, "{TAXONOMY}: the codes without words");
}

const INTERFACE: &str = "docs/interface.md";

#[test]
fn every_command_of_the_help_is_documented() {
    let output = Command::new(env!("CARGO_BIN_EXE_bounced")).arg("--help").output().expect("runs");
    let help = String::from_utf8(output.stdout).expect("text");
    let listed = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let mut program: BTreeSet<String> = listed
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_string))
        .collect();
    assert!(program.len() > 20, "{help}");
    // Hidden, but a command all the same.
    program.insert("accept-clock".to_string());
    let documented = rows(&section(INTERFACE, "## Command line"))
        .iter()
        .flat_map(|row| quoted(&row[0]))
        .filter_map(|call| call.split_whitespace().nth(1).map(str::to_string))
        .collect();
    same_sets("docs/interface.md, `## Command line`", &documented, &program);
}

/// Key and default of each line of config/bounced.toml, `policy` apart.
fn shipped_keys() -> BTreeMap<String, String> {
    let mut table = String::new();
    let mut keys = BTreeMap::new();
    for line in text("config/bounced.toml").lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = format!("{name}.");
        }
        let Some((key, value)) = line.strip_prefix('#').and_then(|rest| rest.split_once(" = "))
        else {
            continue;
        };
        if !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            keys.insert(format!("{table}{key}"), value.to_string());
        }
    }
    assert!(keys.len() > 40, "{keys:?}");
    keys
}

/// Key and default as a document tells them.
fn documented_keys(path: &str, heading: &str) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for row in rows(&section(path, heading)) {
        for key in quoted(&row[0]) {
            keys.insert(key, row[1].trim_matches('`').to_string());
        }
    }
    keys
}

#[test]
fn every_key_stands_with_its_default() {
    let (policy, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
        shipped_keys().into_iter().partition(|(key, _)| key.starts_with("policy."));
    let mut documented = documented_keys(INTERFACE, "## Configuration");
    // An array of tables: config/bounced.toml shows it as an example.
    assert!(documented.remove("verp.keys").is_some() && documented.remove("webhooks").is_some());
    assert_eq!(documented, others, "{INTERFACE}, `## Configuration`");
    let documented = documented_keys("docs/policy.md", "## All keys");
    assert_eq!(documented, policy, "docs/policy.md, `## All keys`");
}

/// config/bounced.toml may lack a key; the policy itself cannot.
#[test]
fn every_number_of_the_policy_is_documented() {
    // What follows from other parts of the configuration is no key.
    const DERIVED: [&str; 2] = ["require_signed", "own_domains"];
    let policy = serde_json::to_value(Policy::default()).expect("JSON");
    let mut program = BTreeSet::new();
    for (key, value) in policy.as_object().expect("a table") {
        match (key.as_str(), value.as_object()) {
            ("reasons" | "scopes", _) => {}
            // An effect belongs to one reason.
            ("base", Some(numbers)) => {
                program.extend(numbers.keys().filter(|k| *k != "effect").cloned());
            }
            (table, Some(keys)) => program.extend(keys.keys().map(|k| format!("{table}.{k}"))),
            (key, None) if DERIVED.contains(&key) => {}
            (key, None) => drop(program.insert(key.to_string())),
        }
    }
    let documented = documented_keys("docs/policy.md", "## All keys").into_keys();
    let documented = documented.map(|key| key.trim_start_matches("policy.").to_string()).collect();
    same_sets("docs/policy.md, `## All keys`", &documented, &program);
}

#[test]
fn every_route_is_documented() {
    let api: serde_json::Value =
        serde_json::from_str(&text("src/serve/http/openapi.json")).expect("JSON");
    let mut program = BTreeSet::new();
    for (path, methods) in api["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            if matches!(method.as_str(), "get" | "put" | "post" | "delete") {
                program.insert(format!("{} {path}", method.to_ascii_uppercase()));
            }
        }
    }
    assert!(program.len() > 20, "{program:?}");
    let documented = rows(&section(INTERFACE, "## HTTP"))
        .iter()
        .flat_map(|row| quoted(&row[0]))
        .map(|call| call.split('?').next().unwrap_or_default().to_string())
        .collect();
    same_sets("docs/interface.md, `## HTTP`", &documented, &program);
}

/// Names of metrics in the literals of a source.
fn declared_in(source: &str) -> impl Iterator<Item = String> + '_ {
    source.split('"').skip(1).step_by(2).filter_map(|literal| {
        let name = literal.starts_with("bounced_") || literal.starts_with("process_");
        let plain = literal.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        (name && plain).then(|| literal.to_string())
    })
}

#[test]
fn every_metric_is_documented() {
    let mut program: BTreeSet<String> = BTreeSet::new();
    for file in sources("src/serve").iter().filter(|file| !file.ends_with("tests.rs")) {
        program.extend(declared_in(&text(file)));
    }
    for line in Metrics::new("sled").render().lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            program.extend(rest.split(' ').next().map(str::to_string));
        }
    }
    assert!(program.len() > 40, "{program:?}");
    let documented =
        rows(&section(INTERFACE, "## Metrics")).iter().flat_map(|row| quoted(&row[0])).collect();
    same_sets("docs/interface.md, `## Metrics`", &documented, &program);
}

#[test]
fn every_alert_has_its_entry_in_the_runbook_and_asks_for_what_is_there() {
    let alerts = text("config/monitoring/alerts.yml");
    let named: BTreeSet<String> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .map(str::to_string)
        .collect();
    let entries: BTreeSet<String> = text("docs/runbook.md")
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(str::to_string)
        .collect();
    same_sets("docs/runbook.md", &entries, &named);
    for name in &named {
        let link = format!("runbook_url: docs/runbook.md#{}", name.to_lowercase());
        assert!(alerts.contains(&link), "{name} has no {link}");
        let test = format!("name: {name} fires");
        assert!(text("config/monitoring/alerts.test.yml").contains(&test), "{name} is not tested");
    }
    let known: BTreeSet<String> = rows(&section("docs/interface.md", "## Metrics"))
        .iter()
        .flat_map(|r| quoted(&r[0]))
        .collect();
    for file in ["config/monitoring/alerts.yml", "config/monitoring/rules.yml"] {
        for word in text(file).split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let metric = word.trim_end_matches("_bucket");
            let asked = metric.starts_with("bounced_") && !known.contains(metric);
            assert!(!asked, "{file}: docs/interface.md knows no metric {metric}");
        }
    }
}

/// Files below a folder, as paths from the root of the repository.
fn sources(folder: &str) -> Vec<String> {
    fn walk(dir: &Path, root: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(dir).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, root, into);
            } else {
                into.push(path.strip_prefix(root).expect("below").display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &root(), &mut found);
    found.sort();
    found
}

fn documents() -> Vec<String> {
    let mut found = sources("docs");
    found.retain(|file| file.ends_with(".md"));
    found.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_string));
    found
}

/// Text outside of fenced code.
fn prose(markdown: &str) -> String {
    let mut code = false;
    let mut out = String::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if !code {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Headings as links name them, and as comments do.
fn headings(path: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let prose = prose(&text(path));
    let titles = prose.lines().filter(|line| line.starts_with('#'));
    let titles: BTreeSet<String> =
        titles.map(|line| line.trim_start_matches('#').trim().to_string()).collect();
    let anchor = |title: &String| -> String {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    (titles.iter().map(anchor).collect(), titles)
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for document in documents() {
        let folder = Path::new(&document).parent().unwrap_or(Path::new("")).to_path_buf();
        let prose = prose(&text(&document));
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            checked += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => PathBuf::from(&document),
                file => folder.join(file),
            };
            if !root().join(&target).exists() {
                wrong.push(format!("{document}: {link}: no such file"));
            } else if !anchor.is_empty()
                && !headings(&target.display().to_string()).0.contains(anchor)
            {
                wrong.push(format!("{document}: {link}: no such heading"));
            }
        }
    }
    assert!(checked > 30, "only {checked} links");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_that_a_document_names_exists() {
    const TOPS: [&str; 7] = ["src/", "tests/", "docs/", "config/", "benches/", "examples/", ".ci/"];
    let mut wrong = Vec::new();
    let mut checked = 0;
    for document in documents() {
        for word in quoted(&prose(&text(&document))) {
            let named = TOPS.iter().any(|top| word.starts_with(top));
            if !named || word.contains(['<', '*', '{', ' ']) {
                continue;
            }
            checked += 1;
            let file = word.split("::").next().unwrap_or_default();
            if !root().join(file).exists() {
                wrong.push(format!("{document}: {word}"));
            }
        }
    }
    assert!(checked > 60, "only {checked} files");
    assert!(wrong.is_empty(), "these files are named and do not exist:\n{}", wrong.join("\n"));
}

#[test]
fn the_walk_of_a_message_is_true() {
    let hops = rows(&section("docs/architecture.md", "## The walk of one message"));
    assert!((6..=8).contains(&hops.len()), "{} hops", hops.len());
    for (number, hop) in hops.iter().enumerate() {
        assert_eq!(hop[0], (number + 1).to_string());
        let (file, function) = (hop[1].trim_matches('`'), hop[2].trim_matches('`'));
        let head = format!("fn {function}");
        let source = text(file);
        let is_called_so = source
            .match_indices(&head)
            .any(|(at, _)| source[at + head.len()..].starts_with(['(', '<']));
        assert!(is_called_so, "hop {}: {file} has no `{head}`", number + 1);
        let (caller, call) = (hop[3].trim_matches('`'), format!("{function}("));
        let calls = text(caller).replace(&format!("fn {call}"), "").contains(&call);
        assert!(calls, "hop {}: {caller} does not call `{function}`", number + 1);
    }
}

#[test]
fn every_promise_and_attack_names_checks_that_exist() {
    const DOCUMENT: &str = "docs/reliability.md";
    let mut checked = 0;
    for part in ["## Promises", "## Attacks"] {
        let part = section(DOCUMENT, part);
        for entry in part.split("\n### ").skip(1) {
            let title = entry.lines().next().unwrap_or_default();
            let checks = entry.split("\nChecked by ").nth(1);
            let checks = quoted(checks.unwrap_or_else(|| panic!("{DOCUMENT}: {title}: unchecked")));
            assert!(!checks.is_empty(), "{DOCUMENT}: {title}: no check is named");
            for check in checks {
                let (file, test) = check.split_once("::").unwrap_or((&check, ""));
                assert!(root().join(file).exists(), "{DOCUMENT}: {title}: there is no {file}");
                let has = test.is_empty() || text(file).contains(&format!("fn {test}("));
                assert!(has, "{DOCUMENT}: {title}: {file} has no test `{test}`");
                checked += 1;
            }
        }
    }
    assert!(checked > 70, "only {checked} checks");
}

/// Comments name documents so: `docs/policy.md, "Guards"`.
#[test]
fn every_section_that_a_comment_names_exists() {
    let mut wrong = Vec::new();
    let folders = ["src", "tests", "benches", "examples", "config"];
    for file in folders.iter().flat_map(|folder| sources(folder)) {
        let Ok(source) = fs::read_to_string(root().join(&file)) else { continue };
        // A name may be broken over two lines of comment.
        let joined = source.lines().map(|line| {
            let line = line.trim_start();
            let comment = ["//!", "///", "//", "#"].iter().find_map(|mark| line.strip_prefix(mark));
            comment.unwrap_or(line).trim_start()
        });
        let joined = joined.collect::<Vec<_>>().join(" ");
        for (at, _) in joined.match_indices("docs/").filter(|_| file != "tests/docs.rs") {
            let rest = &joined[at..];
            let Some(end) = rest.find(".md").filter(|end| *end < 30) else { continue };
            let document = &rest[..end + 3];
            if !root().join(document).exists() {
                wrong.push(format!("{file}: {document}"));
                continue;
            }
            let Some(after) = rest[end + 3..].strip_prefix(", \"") else { continue };
            let title = after.split('"').next().unwrap_or_default();
            if !headings(document).1.contains(title) {
                wrong.push(format!("{file}: {document} has no heading \"{title}\""));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A reader has the repository only.
#[test]
fn nothing_names_a_document_that_is_not_here() {
    const GONE: [&str; 8] = [
        "TAXONOMY",
        "INTERFACE section",
        "POLICY section",
        "HOUSE section",
        "RELIABILITY",
        "PROTOCOLS",
        "ARCHITECTURE",
        "FACTS",
    ];
    const TAGS: [&str; 2] = ["A-", "G-"];
    let mut wrong = Vec::new();
    let folders = ["src", "tests", "benches", "examples", "config", "docs"];
    for file in folders.iter().flat_map(|folder| sources(folder)) {
        let Ok(source) = fs::read_to_string(root().join(&file)) else { continue };
        if file == "tests/docs.rs" || file.ends_with(".eml") {
            continue;
        }
        for (number, line) in source.lines().enumerate() {
            let tag = |(at, mark): (usize, &str)| {
                let digits = line[at + mark.len()..].bytes().take_while(u8::is_ascii_digit);
                let free = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '-');
                free && digits.count() == 2
            };
            let comment = line.trim_start().starts_with(['/', '#']);
            let tagged = comment && TAGS.iter().any(|t| line.match_indices(t).any(tag));
            if tagged || GONE.iter().any(|name| line.contains(name)) {
                wrong.push(format!("{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "these name what a reader does not have:\n{}", wrong.join("\n"));
}
