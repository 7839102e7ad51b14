//! Forged and genuine return paths in bulk, what the check at RCPT costs, and whether its time
//! tells where a MAC is wrong (docs/reliability.md, "Forged reports").
//!
//! `cargo bench --bench verp` tries 10^7 forged and 10^6 genuine ones; `-- 60000` that many
//! forged, a tenth genuine, as a smoke test. Exit 1 when one is judged wrongly, when a check
//! takes 20 microseconds, or (10^6 samples and more) when |t| reaches 4.5.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

#[path = "../tests/verp/forge.rs"]
mod forge;

use forge::{CLASSES, Forge};

const LIMIT_NS: f64 = 20_000.0;
const LIMIT_T: f64 = 4.5;
/// Return paths whose checks are timed one after the other.
const POOL: usize = 50_000;

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benches too, without `--bench`: a smoke test is enough.
    let whole = std::env::args().any(|arg| arg == "--bench");
    let forged = std::env::args().find_map(|arg| arg.parse().ok());
    let forged = forged.unwrap_or(if whole { 10_000_000 } else { 60_000 });
    println!("{}", machine());
    let mut forge = Forge::new(11);
    // All three run, whatever the first one says.
    let right = [judge(&mut forge, forged), time(&mut forge), leak(&mut forge, forged / 10)];
    if right.iter().all(|right| *right) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Counts what is let in.
fn judge(forge: &mut Forge, forged: usize) -> bool {
    let mut right = true;
    for class in CLASSES {
        let tried = forged.div_ceil(CLASSES.len());
        let mut accepted = 0;
        for _ in 0..tried {
            let path = forge.forged(class);
            accepted += usize::from(forge.is_accepted(&path));
        }
        println!("forged, {class:?}: {accepted} of {tried} accepted");
        right &= accepted == 0;
    }
    let tried = forged / 10;
    let mut understood = 0;
    for _ in 0..tried {
        let good = forge.genuine();
        understood += usize::from(forge.is_understood(&good));
    }
    println!("genuine, any case: {understood} of {tried} accepted and read back");
    right && understood == tried
}

/// Nanoseconds of one check at RCPT: mean of the fastest of ten rounds.
fn time(forge: &mut Forge) -> bool {
    let genuine: Vec<String> = (0..POOL).map(|_| forge.genuine().path).collect();
    let forged: Vec<String> = (0..POOL).map(|n| forge.forged(CLASSES[n % CLASSES.len()])).collect();
    let mut right = true;
    for (name, pool) in [("genuine", &genuine), ("forged", &forged)] {
        let mut rounds: Vec<f64> = Vec::new();
        for _ in 0..10 {
            let start = Instant::now();
            for path in pool {
                let _ = black_box(forge.verp.at_rcpt(black_box(path), forge.now));
            }
            rounds.push(start.elapsed().as_nanos() as f64 / POOL as f64);
        }
        rounds.sort_by(f64::total_cmp);
        println!(
            "check at RCPT, {name}: {:.0} ns best, {:.0} ns worst round",
            rounds[0], rounds[9]
        );
        right &= rounds[0] < LIMIT_NS;
    }
    right
}

/// Welch's t between checks that fail in the first octet of the MAC and in the last, in random
/// order, the slowest tenth (interrupts) left out.
fn leak(forge: &mut Forge, samples: usize) -> bool {
    let paths = forge.near_misses();
    let mut times: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..samples {
        let which = forge.number(2);
        // Both are touched alike before the clock starts.
        let path = black_box(paths[which].clone());
        let start = Instant::now();
        let _ = black_box(forge.verp.at_rcpt(&path, forge.now));
        times[which].push(start.elapsed().as_nanos() as f64);
    }
    let mut all: Vec<f64> = times.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let cut = all.get(all.len() * 9 / 10).copied().unwrap_or(f64::MAX);
    let [(n, mean, var), (m, other, other_var)] = times.map(|times| {
        let kept: Vec<f64> = times.into_iter().filter(|t| *t <= cut).collect();
        let n = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / n;
        (n, mean, kept.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (n - 1.0))
    });
    let t = (mean - other) / (var / n + other_var / m).sqrt();
    println!("MAC wrong at its first octet {mean:.1} ns, at its last {other:.1} ns: t = {t:.2}");
    samples < 1_000_000 || t.abs() < LIMIT_T
}

fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    format!(
        "machine: {cores} cores,{}, load {}",
        model.trim_start_matches(['\t', ':']),
        load.trim()
    )
}
