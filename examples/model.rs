//! Would a learned model do better for what the words leave open? Trains a linear model over words
//! and pairs of words from the sample lines, leaving one rules file out at a time, and says how often
//! it would have been right where the composition gives nothing: `cargo run --release --example model`.
//!
//! The figures stand in `docs/generality.md`; the model is not shipped.

use std::collections::BTreeMap;

use bounced::classify::measure::{self, Measured};
use bounced::classify::{Category, Reason, RuleSet, folded};

/// Rounds over the lines.
const ROUNDS: usize = 12;

/// Weights of each feature for each reason (a perceptron).
#[derive(Default)]
struct Model {
    weights: BTreeMap<String, BTreeMap<Reason, f64>>,
}

fn features(text: &str) -> Vec<String> {
    let folded = folded(text);
    let words: Vec<&str> = folded
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| word.chars().count() > 1)
        .collect();
    let pairs = words.windows(2).map(|pair| pair.join(" "));
    words.iter().map(ToString::to_string).chain(pairs).collect()
}

impl Model {
    /// The best reason, and how far it is ahead of the second.
    fn best(&self, features: &[String]) -> Option<(Reason, f64)> {
        let mut scores: BTreeMap<Reason, f64> = BTreeMap::new();
        for feature in features {
            for (reason, weight) in self.weights.get(feature).into_iter().flatten() {
                *scores.entry(*reason).or_default() += weight;
            }
        }
        let mut order: Vec<(Reason, f64)> = scores.into_iter().collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let second = order.get(1).map_or(0.0, |one| one.1);
        order.first().map(|(reason, score)| (*reason, score - second))
    }

    fn move_towards(&mut self, features: &[String], reason: Reason, by: f64) {
        for feature in features {
            *self.weights.entry(feature.clone()).or_default().entry(reason).or_default() += by;
        }
    }

    fn train(lines: &[&Measured]) -> Self {
        let mut model = Self::default();
        let rows: Vec<(Vec<String>, Reason)> =
            lines.iter().map(|line| (features(&line.seen.text), line.reason)).collect();
        for _ in 0..ROUNDS {
            for (features, reason) in &rows {
                let got = model.best(features).map(|(reason, _)| reason);
                if got != Some(*reason) {
                    model.move_towards(features, *reason, 1.0);
                    if let Some(wrong) = got {
                        model.move_towards(features, wrong, -1.0);
                    }
                }
            }
        }
        model
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lines: Vec<Measured> = measure::lines().into_iter().filter(|line| !line.never).collect();
    let mut files: Vec<&str> = lines.iter().map(|line| line.file.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    let mut found: Vec<(f64, bool, bool, bool)> = Vec::new();
    let (mut alone, mut all) = (0, 0);
    for file in files {
        let (mine, others): (Vec<&Measured>, Vec<&Measured>) =
            lines.iter().partition(|line| line.file == file);
        let model = Model::train(&others);
        let rules = RuleSet::without(|rule| rule.at.starts_with(file))?;
        for line in mine {
            let Some((reason, lead)) = model.best(&features(&line.seen.text)) else {
                continue;
            };
            let category = reason.category() == line.reason.category();
            all += 1;
            alone += usize::from(category);
            if rules.judge_sample(&line.seen).reason == Some(Reason::Undetermined) {
                let hard = reason.category() == Category::Hard && !category;
                found.push((lead, category, reason == line.reason, hard));
            }
        }
    }
    println!("model alone, its file left out: category {:.1} % of {all}", percent(alone, all));
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!(
        "\n| share of the open lines, surest first | lines | category | reason | wrong hard |"
    );
    println!("|---|---|---|---|---|");
    for share in [25, 50, 75, 100] {
        let part = &found[..found.len() * share / 100];
        let count =
            |pick: fn(&(f64, bool, bool, bool)) -> bool| part.iter().filter(|x| pick(x)).count();
        println!(
            "| {share} % | {} | {:.1} % | {:.1} % | {} |",
            part.len(),
            percent(count(|x| x.1), part.len()),
            percent(count(|x| x.2), part.len()),
            count(|x| x.3)
        );
    }
    Ok(())
}

fn percent(part: usize, of: usize) -> f64 {
    100.0 * part as f64 / of.max(1) as f64
}
