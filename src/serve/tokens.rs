//! Bearer tokens of the HTTP API. The file holds only their SHA-256, one a line:
//!
//! ```text
//! # role  sha256 of the token (printf %s TOKEN | sha256sum)  name
//! read    0f0e…  grafana
//! write   1a2b…  mailing-system
//! ```
//!
//! Promises: a presented token is hashed and compared with every line in constant time, so time
//! tells nothing about the file (docs/reliability.md, "Token guessing"); wrong tokens are counted
//! by client address and, beyond [`limits::TOKEN_FAILURES`] a minute, answered 429, while right
//! ones from there still work; the counting table is bounded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::ledger::lock::lock;
use crate::serve::limits;

/// What a token may do; each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Ask.
    Read,
    /// Change suppressions, hand in messages.
    Write,
    /// Act on batches of decisions.
    Admin,
}

impl Role {
    const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// The tokens of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens(Vec<ApiToken>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct ApiToken {
    role: Role,
    hash: [u8; 32],
    name: String,
}

impl Tokens {
    /// The tokens of `http.tokens_file`; None without one. The error is a sentence with the file.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Option<Self>> {
        let Some(file) = file else { return Ok(None) };
        let shown = file.display();
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("tokens_file {shown} cannot be read"))?;
        Self::parse(&text).map(Some).map_err(|why| anyhow!("tokens_file {shown}, {why}"))
    }

    /// Reads a token file. The error says which line is wrong and what belongs there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let token = ApiToken::parse(line).map_err(|wrong| format!("line {number}: {wrong}"))?;
            tokens.push(token);
        }
        if tokens.is_empty() {
            return Err("there is no token; write a line `read SHA256-IN-HEX NAME`, or leave \
                        tokens_file empty and listen on loopback only"
                .to_string());
        }
        Ok(Self(tokens))
    }

    /// Role and name of a presented token.
    pub fn check(&self, presented: &[u8]) -> Option<(Role, &str)> {
        self.by_hash(&Self::hash(presented))
    }

    /// The hash of a token, as the file has it.
    pub fn hash(token: &[u8]) -> [u8; 32] {
        Sha256::digest(token).into()
    }

    /// Role and name of the token of this hash.
    pub fn by_hash(&self, hash: &[u8; 32]) -> Option<(Role, &str)> {
        let mut found = u32::MAX;
        for (index, token) in (0u32..).zip(&self.0) {
            found.conditional_assign(&index, token.hash.ct_eq(hash));
        }
        let token = self.0.get(usize::try_from(found).ok()?)?;
        Some((token.role, &token.name))
    }
}

impl ApiToken {
    fn parse(line: &str) -> Result<Self, String> {
        let mut fields = line.split_whitespace();
        let (Some(role), Some(hash), Some(name), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err("write three words: read, write or admin; the SHA-256 of the token in \
                        hex; a name"
                .to_string());
        };
        let known = Role::ALL.into_iter().find(|known| known.as_str() == role);
        let role = known.ok_or_else(|| format!("`{role}` is no role; use read, write or admin"))?;
        let hash = data_encoding::HEXLOWER_PERMISSIVE
            .decode(hash.as_bytes())
            .ok()
            .and_then(|hash| hash.try_into().ok())
            .ok_or("the second word must be 64 hex digits: printf %s TOKEN | sha256sum")?;
        Ok(Self { role, hash, name: name.to_string() })
    }
}

/// Wrong tokens that were sent, by client address.
#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<Option<IpAddr>, (Instant, u32)>>);

impl Failures {
    /// Counts a wrong token; true when there were too many.
    pub fn count(&self, client: Option<IpAddr>, now: Instant) -> bool {
        // Only a panic between lock and unlock poisons; the table would still be whole.
        let mut table = lock(&self.0);
        let fresh = |since: &Instant| now.saturating_duration_since(*since) < MINUTE;
        let client = client.map(network);
        if table.len() >= limits::TOKEN_CLIENTS && !table.contains_key(&client) {
            table.retain(|_, (since, _)| fresh(since));
            if table.len() >= limits::TOKEN_CLIENTS {
                // That many networks guess at once: nobody new may guess this minute.
                return true;
            }
        }
        let entry = table.entry(client).or_insert((now, 0));
        if !fresh(&entry.0) {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
        entry.1 > limits::TOKEN_FAILURES
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// An IPv6 client owns a /64: that is one guesser.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const OF_EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn finds_the_role_of_a_token() {
        let file =
            format!("# ours\nread {OF_EMPTY} nobody\n\n write {} app \n", OF_ABC.to_uppercase());
        let tokens = Tokens::parse(&file).expect("a good file");
        assert_eq!(tokens.check(b"abc"), Some((Role::Write, "app")));
        assert_eq!(tokens.check(b"abd"), None);
        assert_eq!(tokens.check(b""), Some((Role::Read, "nobody")));
        assert!(Role::Admin > Role::Write && Role::Write > Role::Read);
    }

    #[test]
    fn says_what_is_wrong() {
        for (file, words) in [
            ("", "there is no token"),
            ("# nothing\n", "there is no token"),
            ("read abc", "line 1: write three words"),
            ("\nroot ba x", "line 2: `root` is no role"),
            ("read ba x", "64 hex digits"),
            (&format!("read {OF_ABC} two words"), "write three words"),
        ] {
            let error = Tokens::parse(file).expect_err(file);
            assert!(error.contains(words), "{file:?}: {error}");
        }
    }

    #[test]
    fn guessing_is_slowed_for_the_guesser_only() {
        let failures = Failures::default();
        let now = Instant::now();
        let guesser = Some(IpAddr::from([192, 0, 2, 1]));
        for _ in 0..limits::TOKEN_FAILURES {
            assert!(!failures.count(guesser, now));
        }
        assert!(failures.count(guesser, now));
        assert!(!failures.count(Some(IpAddr::from([192, 0, 2, 2])), now));
        assert!(!failures.count(None, now), "a unix socket is a client of its own");
        assert!(!failures.count(guesser, now + MINUTE), "a minute later it starts anew");
        // Addresses of one /64 are one client.
        let v6 = |low: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, low]));
        let over = (0..=limits::TOKEN_FAILURES as u16).filter(|n| failures.count(v6(*n), now));
        assert_eq!(over.count(), 1);
    }

    #[test]
    fn the_table_is_bounded() {
        let failures = Failures::default();
        let now = Instant::now();
        for n in 0..limits::TOKEN_CLIENTS as u32 * 2 {
            failures.count(Some(IpAddr::from(n.to_be_bytes())), now);
        }
        let len = |failures: &Failures| failures.0.lock().expect("not poisoned").len();
        assert_eq!(len(&failures), limits::TOKEN_CLIENTS);
        assert!(failures.count(Some(IpAddr::from([255, 0, 0, 1])), now), "full: refused");
        assert!(!failures.count(Some(IpAddr::from([255, 0, 0, 1])), now + MINUTE), "swept");
    }
}
