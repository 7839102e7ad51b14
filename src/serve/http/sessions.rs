//! Log-ins of the page, and the code that shows that a form is ours.
//!
//! Promises: a session is a random name in a cookie that no script can read (`HttpOnly`); the table
//! holds its hash and the hash of the token that opened it, never the token, and the token is
//! looked up anew for each request, so that a token that was taken out of the file opens nothing
//! any more. A form carries a code that is made of the session and of a key of this process
//! (HMAC-SHA256), so that no other site can send it; one that nobody can log in to (no tokens,
//! loopback) has one, too. The table is bounded, the session used longest ago goes first, and a
//! restart ends all of them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use axum::http::{HeaderMap, header};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ledger::lock::lock;
use crate::serve::limits;

/// A SHA-256.
pub type Sha256Sum = [u8; 32];

/// Name of the cookie.
const COOKIE: &str = "bounced-session";

/// The sessions of this process.
pub struct Sessions {
    table: Mutex<HashMap<Sha256Sum, OpenSession>>,
    key: [u8; 32],
}

struct OpenSession {
    token: Sha256Sum,
    used: Instant,
}

impl Sessions {
    /// None yet.
    pub fn new() -> Self {
        Self { table: Mutex::default(), key: random() }
    }

    /// Opens a session for the token of this hash; gives the value of its cookie.
    pub fn open(&self, token: Sha256Sum, now: Instant) -> String {
        let name = data_encoding::HEXLOWER.encode(&random());
        let mut table = lock(&self.table);
        table.retain(|_, session| is_fresh(session, now));
        if table.len() >= limits::SESSIONS
            && let Some(oldest) = table.iter().min_by_key(|(_, s)| s.used).map(|(name, _)| *name)
        {
            table.remove(&oldest);
        }
        table.insert(hash(name.as_bytes()), OpenSession { token, used: now });
        name
    }

    /// The token and the name of the session that a cookie names.
    pub fn find(&self, headers: &HeaderMap, now: Instant) -> Option<(Sha256Sum, Sha256Sum)> {
        let name = hash(cookie(headers)?.as_bytes());
        let mut table = lock(&self.table);
        let session = table.get_mut(&name).filter(|session| is_fresh(session, now))?;
        session.used = now;
        Some((session.token, name))
    }

    /// Ends the session that a cookie names.
    pub fn close(&self, headers: &HeaderMap) {
        if let Some(name) = cookie(headers) {
            lock(&self.table).remove(&hash(name.as_bytes()));
        }
    }

    /// The code that forms of somebody carry: of a session, of a token, or of everybody who is on
    /// this machine.
    pub fn csrf(&self, who: &[u8]) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        mac.update(who);
        data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes())
    }
}

/// Whether a form carries the code that it was given.
pub fn is_ours(expected: &str, presented: &str) -> bool {
    !expected.is_empty() && bool::from(expected.as_bytes().ct_eq(presented.as_bytes()))
}

/// The header that sets the cookie. `https`: it must not go over a connection that is not
/// encrypted.
pub fn set_cookie(name: &str, https: bool) -> String {
    let secure = if https { "; Secure" } else { "" };
    format!("{COOKIE}={name}; Path=/; HttpOnly; SameSite=Lax{secure}")
}

/// The header that takes the cookie away.
pub fn clear_cookie() -> String {
    format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0")
}

fn is_fresh(session: &OpenSession, now: Instant) -> bool {
    now.saturating_duration_since(session.used) < limits::SESSION_IDLE
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == COOKIE).map(|(_, value)| value.trim())
}

fn hash(octets: &[u8]) -> Sha256Sum {
    Sha256::digest(octets).into()
}

fn random() -> [u8; 32] {
    let mut octets = [0; 32];
    // The kernel has randomness always; without it nobody may be let in by a guess.
    getrandom::fill(&mut octets).expect("the kernel gives randomness");
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookie.parse().expect("a header"));
        headers
    }

    #[test]
    fn a_session_opens_for_its_cookie_until_it_ends() {
        let (sessions, now) = (Sessions::new(), Instant::now());
        let name = sessions.open([7; 32], now);
        let cookie = format!("theme=dark; {COOKIE}={name}");
        let (token, session) = sessions.find(&with(&cookie), now).expect("open");
        assert_eq!(token, [7; 32]);
        assert!(sessions.find(&with(&format!("{COOKIE}=0{name}")), now).is_none());
        assert!(sessions.find(&HeaderMap::new(), now).is_none());
        assert_ne!(sessions.csrf(&session), sessions.csrf(b"another"));
        assert!(is_ours(&sessions.csrf(&session), &sessions.csrf(&session)));
        assert!(!is_ours(&sessions.csrf(&session), "") && !is_ours("", ""));
        // It ends by idleness, and by log-out.
        let late = now + limits::SESSION_IDLE;
        assert!(sessions.find(&with(&cookie), late).is_none());
        sessions.close(&with(&cookie));
        assert!(sessions.find(&with(&cookie), now).is_none());
    }

    #[test]
    fn the_table_is_bounded() {
        let (sessions, now) = (Sessions::new(), Instant::now());
        let first = sessions.open([1; 32], now);
        let later = now + std::time::Duration::from_secs(1);
        for _ in 0..limits::SESSIONS {
            sessions.open([2; 32], later);
        }
        assert_eq!(lock(&sessions.table).len(), limits::SESSIONS);
        assert!(sessions.find(&with(&format!("{COOKIE}={first}")), later).is_none());
    }
}
