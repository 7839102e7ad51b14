//! Makes genuine and forged return paths in bulk, for `tests/verp/main.rs` and `benches/verp.rs`.
//!
//! The same seed gives the same tokens. Forgers here know everything but our secret: layout, key
//! hint, genuine tokens of others, and a secret of their own whose hint equals ours.

use std::time::Duration;

use bounced::config;
use bounced::mail::{Address, Timestamp};
use bounced::verp::{KeyRing, Reject, Verp};
use data_encoding::BASE32_NOPAD;

/// Where our bounces come to.
pub const DOMAIN: &str = "bounce.example.com";
/// Another tenant of the same ring.
const TENANT: &str = "bounce.example.net";
/// 2026-11-22.
const DAY: i64 = 20_779;
const MAX_AGE: Duration = Duration::from_secs(30 * 86_400);
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The ways of forging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Random text, half of it of a genuine token's shape, key hint and day.
    Random,
    /// A genuine one with one to three bits of its octets flipped.
    BitFlipped,
    /// A genuine one without its end, its beginning or a piece of its middle.
    Cut,
    /// Genuine, from 31 to 400 days old, or from the future.
    Expired,
    /// Made with another secret, mostly one whose key hint equals ours.
    OtherKey,
    /// Genuine at another domain of ours.
    OtherTenant,
}

/// All of them.
pub const CLASSES: [Class; 6] = [
    Class::Random,
    Class::BitFlipped,
    Class::Cut,
    Class::Expired,
    Class::OtherKey,
    Class::OtherTenant,
];

/// What was minted, with what it must say.
pub struct Genuine {
    /// The whole return path.
    pub path: String,
    /// Whom it was minted for.
    pub recipient: Address,
    /// With which tag.
    pub tag: Option<String>,
}

/// Our ring, a forger, and a source of numbers.
pub struct Forge {
    /// Only signed return paths, two keys.
    pub verp: Verp,
    /// The moment of all checks.
    pub now: Timestamp,
    ours: KeyRing,
    strangers: Vec<KeyRing>,
    numbers: u64,
}

fn ring(secrets: &[&str]) -> KeyRing {
    let keys = secrets.iter().map(|s| (s.to_string(), format!("{s:_>32}").into_bytes()));
    KeyRing::new(keys.collect(), MAX_AGE).expect("good keys")
}

impl Forge {
    /// The same seed, the same tokens.
    pub fn new(seed: u64) -> Self {
        let keys = ["ours", "older"];
        let secrets = keys.map(|s| (s.to_string(), format!("{s:_>32}").into_bytes()));
        let config = config::VerpConfig {
            signed: true,
            plain: false,
            keys: secrets.to_vec(),
            max_age: MAX_AGE,
        };
        let verp = Verp::new(&config, &[DOMAIN.to_string()]).expect("good config");
        let now = Timestamp::default().plus_days(DAY);
        // One secret in 128 has the hint of one of our two keys: its tokens get as far as the
        // MAC, which a stranger's usually do not.
        let someone = Address::parse("user@example.com").expect("an address");
        let mut strangers: Vec<KeyRing> = (0..4000)
            .map(|n| ring(&[&format!("stranger {n}")]))
            .filter(|ring| {
                let path = ring.sign(&someone, None, DOMAIN, DAY).expect("mints");
                verp.verify(&path, now) == Err(Reject::BadSignature)
            })
            .take(3)
            .collect();
        assert_eq!(strangers.len(), 3, "strangers whose hint equals ours");
        strangers.push(ring(&["a stranger like any other"]));
        Self { verp, now, ours: ring(&keys), strangers, numbers: seed }
    }

    /// A number from 0, by SplitMix64.
    pub fn number(&mut self, below: usize) -> usize {
        self.numbers = self.numbers.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.numbers;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % below.max(1) as u64) as usize
    }

    fn text(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(ALPHABET[self.number(ALPHABET.len())])).collect()
    }

    /// A recipient and a tag; both modes come about equally often.
    fn mailing(&mut self) -> (Address, Option<String>) {
        let local_len = 1 + self.number(20);
        let domain_len = 1 + self.number(8);
        let text = format!("{}@{}.test", self.text(local_len), self.text(domain_len));
        let length = self.number(10);
        let tag = Some(self.text(length)).filter(|tag| !tag.is_empty());
        (Address::parse(&text).expect("an address"), tag)
    }

    fn minted(&mut self, stranger: Option<usize>, domain: &str, day: i64) -> Genuine {
        let (recipient, tag) = self.mailing();
        let ring = stranger.map_or(&self.ours, |n| &self.strangers[n]);
        let path = ring.sign(&recipient, tag.as_deref(), domain, day).expect("mints");
        Genuine { path, recipient, tag }
    }

    /// A good one of the last 31 days, its case as minted, upper, or mixed.
    pub fn genuine(&mut self) -> Genuine {
        let day = DAY - self.number(31) as i64;
        let mut good = self.minted(None, DOMAIN, day);
        match self.number(3) {
            0 => good.path.make_ascii_uppercase(),
            1 => {
                let mixed = good.path.chars().map(|c| match self.number(2) {
                    0 => c.to_ascii_uppercase(),
                    _ => c,
                });
                good.path = mixed.collect();
            }
            _ => {}
        }
        good
    }

    /// A bad one: the whole return path at our domain.
    pub fn forged(&mut self, class: Class) -> String {
        let local = match class {
            Class::Random => self.random(),
            Class::BitFlipped => self.bit_flipped(),
            Class::Cut => self.cut(),
            Class::Expired => {
                let late = 31 + self.number(370) as i64;
                let day = if self.number(4) == 0 { DAY + late - 29 } else { DAY - late };
                local_of(&self.minted(None, DOMAIN, day).path)
            }
            Class::OtherKey => {
                let stranger = self.number(self.strangers.len());
                local_of(&self.minted(Some(stranger), DOMAIN, DAY).path)
            }
            Class::OtherTenant => local_of(&self.minted(None, TENANT, DAY).path),
        };
        format!("{local}@{DOMAIN}")
    }

    fn random(&mut self) -> String {
        let any = 1 + self.number(62);
        if self.number(2) == 0 {
            return format!("b-{}", self.text(any));
        }
        // Version, hint, day and length are no secret: they are copied, the rest is guessed.
        let mut octets = octets_of(&self.minted(None, DOMAIN, DAY).path);
        for octet in octets.iter_mut().skip(4) {
            *octet = self.number(256) as u8;
        }
        spelled(&octets)
    }

    fn bit_flipped(&mut self) -> String {
        let mut octets = octets_of(&self.minted(None, DOMAIN, DAY).path);
        let first = self.number(octets.len() * 8);
        octets[first / 8] ^= 1 << (first % 8);
        for _ in 0..self.number(3) {
            let next = self.number(octets.len() * 8);
            // Never the first one again: two flips of one bit make the genuine token.
            if next != first {
                octets[next / 8] ^= 1 << (next % 8);
            }
        }
        spelled(&octets)
    }

    fn cut(&mut self) -> String {
        let mut local = local_of(&self.minted(None, DOMAIN, DAY).path);
        let (from, piece) = (2 + self.number(local.len() - 2), 1 + self.number(16));
        match self.number(3) {
            0 => local.truncate(from),
            1 => {
                local.replace_range(2..from + 1, "");
            }
            _ => {
                let to = (from + piece).min(local.len());
                local.replace_range(from..to, "");
            }
        }
        local
    }

    /// Two return paths alike but for one bit of their MAC: of its first octet, of its last.
    #[allow(dead_code, reason = "only the bench measures time")]
    pub fn near_misses(&mut self) -> [String; 2] {
        let octets = octets_of(&self.minted(None, DOMAIN, DAY).path);
        [10, 1].map(|from_end| {
            let mut octets = octets.clone();
            let at = octets.len() - from_end;
            octets[at] ^= 1;
            format!("{}@{DOMAIN}", spelled(&octets))
        })
    }

    /// Whether the check at RCPT lets it in.
    pub fn is_accepted(&self, path: &str) -> bool {
        self.verp.at_rcpt(path, self.now).is_ok()
    }

    /// Whether a genuine one passes RCPT and says what was put in, short ones by their binding.
    pub fn is_understood(&self, genuine: &Genuine) -> bool {
        let Ok(token) = self.verp.verify(&genuine.path, self.now) else { return false };
        let full = token.recipient.as_ref().is_none_or(|r| *r == genuine.recipient);
        self.is_accepted(&genuine.path)
            && full
            && token.tag == genuine.tag
            && self.verp.matches(&token, &genuine.recipient)
    }
}

fn local_of(path: &str) -> String {
    path.split('@').next().unwrap_or_default().to_string()
}

fn octets_of(path: &str) -> Vec<u8> {
    let text = local_of(path).to_ascii_uppercase();
    BASE32_NOPAD.decode(&text.as_bytes()[2..]).expect("genuine")
}

fn spelled(octets: &[u8]) -> String {
    format!("b-{}", BASE32_NOPAD.encode(octets).to_ascii_lowercase())
}
