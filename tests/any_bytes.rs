//! The fuzz targets of `tests/fuzz` on every `cargo test`: each body with the repository's samples
//! and dialogs as seeds, and with seeds that were changed a little. The generator is fixed, so a
//! failure comes again; cargo-fuzz searches further (docs/reliability.md, "Any bytes").

#[path = "fuzz/bodies.rs"]
mod bodies;

use std::path::Path;

/// Changed seeds for each target. The dev profile reads some hundred messages a second.
const CHANGED: usize = 300;

/// xorshift64*: enough to change seeds with, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n.max(1)
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in std::fs::read_dir(root.join("tests/corpus")).expect("samples").flatten() {
        files.extend(std::fs::read_dir(folder.path()).expect("a folder").flatten());
    }
    files.extend(std::fs::read_dir(root.join("tests/dialogs")).expect("dialogs").flatten());
    files.extend(std::fs::read_dir(root.join("src/classify/rules")).expect("rules").flatten());
    let mut paths: Vec<_> = files.iter().map(std::fs::DirEntry::path).collect();
    paths.sort();
    let wanted = |p: &&std::path::PathBuf| {
        p.extension().is_some_and(|e| e == "eml" || e == "dlg" || e == "toml")
    };
    let mut seeds: Vec<Vec<u8>> = paths
        .iter()
        .filter(wanted)
        .map(|p| std::fs::read(p).expect("readable"))
        .map(|mut seed| {
            seed.truncate(20_000);
            seed
        })
        .collect();
    let lines: [&[u8]; 8] = [
        b"17:suppress a@b.test,10:explain a@,",
        b"22:suppress.news a@b.test,19:transport.x.y *,",
        b"request=smtpd_access_policy\nsender=b-x@y.test\nrecipient=a@b.test\n\n",
        b"get a@b.test\nget a%40b.test\nput x y\n",
        b"request=smtpd_access_policy\nrecipient=a@b.test\n\n",
        b"\x01bounces+user=example.com",
        b"\x01\x05xbounces+a=b=c.test@b.example",
        b"\x05\x07\x01\x02\x09\x03\x04\x06EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nBDAT 3 LAST\r\nabcQUIT\r\n",
    ];
    seeds.extend(lines.iter().map(|l| l.to_vec()));
    seeds
}

/// A seed with some octets changed, dropped, doubled, or with a piece of another seed in it.
fn changed(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let pick = |dice: &mut Dice| seeds.get(dice.below(seeds.len())).cloned().unwrap_or_default();
    let mut seed = pick(dice);
    for _ in 0..=dice.below(8) {
        let at = dice.below(seed.len());
        let end = (at + dice.below(40)).min(seed.len());
        match dice.below(5) {
            0 => seed.insert(at, dice.below(256) as u8),
            1 => drop(seed.drain(at..end)),
            2 => {
                let piece: Vec<u8> = seed.drain(at..end).collect();
                let twice = piece.repeat(2 + dice.below(60));
                seed.splice(at..at, twice);
            }
            3 => {
                let other = pick(dice);
                let from = dice.below(other.len());
                seed.splice(at..at, other.into_iter().skip(from).take(200));
            }
            _ => {
                if let Some(octet) = seed.get_mut(at) {
                    *octet = dice.below(256) as u8;
                }
            }
        }
    }
    seed.truncate(20_000);
    seed
}

/// One target over all seeds and the changed ones.
fn run(body: fn(&[u8]), every: usize) {
    let seeds = seeds();
    assert!(seeds.len() > 300, "only {} seeds", seeds.len());
    seeds.iter().step_by(every).for_each(|seed| body(seed));
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for _ in 0..CHANGED {
        body(&changed(&seeds, &mut dice));
    }
}

#[test]
fn message() {
    run(bodies::message, 2);
}

#[test]
fn dsn() {
    run(bodies::dsn, 4);
}

#[test]
fn rules() {
    run(bodies::rules, 4);
}

#[test]
fn verp() {
    run(bodies::verp, 1);
}

#[test]
fn smtp() {
    run(bodies::smtp, 1);
}

#[test]
fn lookup() {
    run(bodies::lookup, 1);
}
