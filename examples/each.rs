//! dev: prints one line a line judged: reason, rule
use bounced::classify::*;
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let drop: Vec<&str> = args[0].split(',').filter(|s| !s.is_empty()).collect();
    let rules = RuleSet::without(|r| drop.iter().any(|d| r.at.starts_with(d))).unwrap();
    for f in [0] {
        let _ = f;
    }
    for rule in RuleSet::shipped().rules() {
        for (n, seen) in rule.seen.iter().enumerate() {
            let v = rules.judge_sample(seen);
            println!(
                "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
                rule.id,
                n,
                rule.reason,
                v.reason.unwrap(),
                v.rule,
                v.certainty,
                rule.at,
                rule.unmarked
            );
        }
    }
}
