//! Prints the tables of `docs/generality.md`: `cargo run --release --example generality`.

use std::collections::BTreeMap;

use bounced::classify::measure::{self, Score};
use bounced::classify::{RuleSet, Says};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rules = RuleSet::shipped().rules();
    let codes = rules.iter().filter(|rule| rule.is_bare()).count();
    println!("literal rules: {}, rules about codes: {codes}", rules.len() - codes);
    println!("lexicon: {} phrases", Says::shipped().phrases());
    table("Leave one rules file out", &measure::by_file()?, 0);
    table("Leave one provider out (five lines or more)", &measure::by_source()?, 5);
    println!("\n## Mutations\n\n| mutation | lines | as it must |\n|---|---|---|");
    for (name, held) in measure::mutations() {
        let share = 100.0 * held.held as f64 / held.lines.max(1) as f64;
        println!("| {name} | {} | {share:.1} % |", held.lines);
    }
    Ok(())
}

fn table(title: &str, rows: &BTreeMap<String, Score>, least: usize) {
    println!(
        "\n## {title}\n\n| left out | lines | category | reason | wrong hard |\n|---|---|---|---|---|"
    );
    let mut all = Score::default();
    for (name, score) in rows {
        all = all.plus(*score);
        if score.lines >= least {
            row(name, score);
        }
    }
    row("**all**", &all);
}

fn row(name: &str, score: &Score) {
    let (category, reason) = (score.percent(score.category), score.percent(score.reason));
    println!(
        "| {name} | {} | {category:.1} % | {reason:.1} % | {} |",
        score.lines, score.wrong_hard
    );
}
