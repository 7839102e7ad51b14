//! Leave one format out: how well are the notices of a program understood that nobody has taught?
//!
//! For each textual format its samples are read again with its row taken away. What the samples
//! mean with it is the truth. `cargo test --test unknown_formats -- --nocapture` prints the table;
//! the figures of the whole are bounds that must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bounced::classify::{self, RuleSet};
use bounced::message::Message;
use bounced::report::{Arrival, Kind, Report, formats, recognise, recognise_without};

fn samples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let folders = fs::read_dir(root).expect("tests/corpus is there").flatten();
    let files = folders.flat_map(|f| fs::read_dir(f.path()).expect("folders only").flatten());
    let mut found: Vec<PathBuf> =
        files.map(|f| f.path()).filter(|p| p.extension().is_some_and(|e| e == "eml")).collect();
    found.sort();
    found
}

fn addresses(report: &Report) -> BTreeSet<String> {
    report.recipients.iter().filter_map(|r| r.address.as_ref()).map(|a| a.key()).collect()
}

fn categories(report: &Report, rules: &RuleSet) -> BTreeSet<String> {
    let judged = classify::judge(report, rules).into_iter().filter_map(|v| v.reason);
    judged.map(|reason| reason.category().to_string()).collect()
}

#[derive(Default)]
struct Row {
    samples: u32,
    kind: u32,
    recipients: u32,
    category: u32,
    missed: Vec<String>,
}

#[test]
fn notices_of_unknown_formats_are_understood() {
    let rules = RuleSet::load(None).expect("the shipped rules load");
    let mut names: BTreeSet<&str> = formats::row_names().into_iter().collect();
    names.insert("sendmail-transcript");
    let mut table: BTreeMap<String, Row> = BTreeMap::new();
    for path in samples() {
        let data = fs::read(&path).expect("readable");
        let message = Message::parse(&data);
        let truth = recognise(&message, Arrival::default());
        if !names.contains(truth.format.as_str()) {
            continue;
        }
        let got = recognise_without(&message, Arrival::default(), &truth.format);
        assert_ne!(got.format, truth.format, "{}", path.display());
        let row = table.entry(truth.format.clone()).or_default();
        row.samples += 1;
        let kind = got.kind == truth.kind;
        let named = addresses(&got) == addresses(&truth);
        row.kind += u32::from(kind);
        row.recipients += u32::from(named);
        let judged =
            truth.kind != Kind::Failure || categories(&got, &rules) == categories(&truth, &rules);
        row.category += u32::from(judged);
        if !(kind && named && judged) {
            let file = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(&path);
            row.missed.push(format!(
                "{} {}: {} {:?} {:?}, with it {} {:?} {:?}",
                file.display(),
                got.format,
                got.kind,
                addresses(&got),
                categories(&got, &rules),
                truth.kind,
                addresses(&truth),
                categories(&truth, &rules)
            ));
        }
    }
    println!("format                   samples  kind  recipients  category");
    let mut all = Row::default();
    for (name, row) in &table {
        let Row { samples, kind, recipients, category, .. } = row;
        println!("{name:24} {samples:7} {kind:5} {recipients:11} {category:9}");
        all.samples += samples;
        all.kind += kind;
        all.recipients += recipients;
        all.category += category;
        for line in &row.missed {
            println!("    {line}");
        }
    }
    let percent = |n: u32| 100.0 * f64::from(n) / f64::from(all.samples);
    let (kind, recipients, category) =
        (percent(all.kind), percent(all.recipients), percent(all.category));
    println!(
        "{} formats, {} samples: kind {kind:.1} %, recipients {recipients:.1} %, category \
         {category:.1} %",
        table.len(),
        all.samples
    );
    assert!(table.len() >= 110 && all.samples >= 180, "{} of {}", table.len(), all.samples);
    assert!(kind >= 95.0 && recipients >= 90.0, "kind {kind:.1} %, recipients {recipients:.1} %");
}
