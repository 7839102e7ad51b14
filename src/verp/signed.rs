//! Signed VERP: return paths that nobody can make without our secret
//! (docs/policy.md, "Attribution").
//!
//! A token is `b-` and base32 (RFC 4648, lower case, no padding) of a payload of at most 38
//! octets, so a local part has at most 63 and consists of letters, digits and one `-`:
//!
//! | octets | full | short |
//! |---|---|---|
//! | 1 | version 1 (3 bits), mode 0 (1 bit), length of the tag (4 bits) | mode 1 |
//! | 1 | key hint: `HMAC(secret, "bounced-verp-1 key\n")`, first octet | same |
//! | 2 | day of minting, days since 1970, big-endian | same |
//! | 0-14 | tag | same |
//! | n | the recipient, tag and recipient together at most 24 octets | 10: binding |
//! | 10 | MAC | same |
//!
//! `binding = HMAC(secret, "bounced-verp-1 recipient\n" domain "\n" head tag recipient)` and
//! `MAC = HMAC(secret, "bounced-verp-1 token\n" domain "\n" everything before)`, HMAC-SHA256,
//! first 80 bits. `domain` is the return path's own, lower case, so a token of one tenant is
//! worth nothing at another's domain. The recipient is in its key form ([`Address::key`]).
//!
//! Promises: a token is accepted whole or not at all; case-folding changes nothing; comparisons
//! of MACs take the same time wherever they differ; the age is judged only when the MAC is
//! right. It does not know which modes the operator requires: that is [`super::Verp`].

use std::borrow::Cow;
use std::time::Duration;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::moment::Moment;
use super::payload::{self, FULL_ROOM, MAC, MAX_TAG, Mode, Payload, Reject};
use super::wrapped;
use crate::event::VerpInfo;
use crate::mail::Address;

/// Shortest secret, in octets (128 bits).
pub const MIN_SECRET: usize = 16;
/// Longest return path, in octets (RFC 5321 section 4.5.3.1.3, without the angle brackets).
const MAX_RETURN_PATH: usize = 254;
/// Clocks of senders may be a day ahead of ours.
const MAX_DAYS_AHEAD: i64 = 1;
const DAY_SECONDS: u64 = 86_400;

/// Why no token can be minted, or no ring be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerpError {
    /// The ring is empty.
    #[error("no key can sign: add a [[verp.keys]] table with id and secret_file")]
    NoKey,
    /// A secret that can be guessed.
    #[error(
        "the secret of key `{id}` has {octets} octets: give at least 16, for example the output \
         of `openssl rand -hex 32`"
    )]
    ShortSecret {
        /// Of the key.
        id: String,
        /// Of its secret.
        octets: usize,
    },
    /// Two keys with one name, or one without.
    #[error("key id `{0}` is empty or used twice: give each [[verp.keys]] its own id")]
    KeyId(String),
    /// A tag that does not fit or would not stay text.
    #[error(
        "the tag `{0}` cannot be used: give up to 14 letters, digits, `.`, `_` or `-`, such as \
         `news.2026-11`"
    )]
    Tag(String),
    /// No domain for the return path.
    #[error("`{0}` is no domain for a return path: give one of [smtp] domains")]
    Domain(String),
    /// A day that the two octets cannot hold.
    #[error("day {0} cannot be signed: give days since 1970-01-01, from 0 to 65535")]
    Day(i64),
    /// `schemes = ["signed"]` without a key.
    #[error(
        "schemes has only \"signed\" but there is no key, so every bounce would be refused: add \
         [[verp.keys]] or \"plain\""
    )]
    SignedWithoutKey,
    /// A key that could never count.
    #[error(
        "there are [[verp.keys]] but schemes has no \"signed\", so no bounce could ever suppress: \
         add \"signed\" or remove the keys"
    )]
    KeyWithoutSigned,
}

/// A genuine token of an acceptable age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Full or short.
    pub mode: Mode,
    /// The address we mailed; None in short mode.
    pub recipient: Option<Address>,
    /// Scope, or `scope.campaign`.
    pub tag: Option<String>,
    /// Day of minting, days since 1970.
    pub day: i64,
    /// Id of the key that made it.
    pub key_id: String,
    /// Names this token in claims and logs without giving it away: 32 hex digits.
    pub id: String,
    /// The return path's domain, as it was signed.
    domain: String,
    payload: Payload,
}

/// The keys: the first signs, all verify.
pub struct KeyRing {
    keys: Vec<Key>,
    max_age_days: i64,
}

struct Key {
    id: String,
    /// First octet of a MAC: tells keys apart without naming them.
    hint: u8,
    /// Keyed once; each MAC starts from a copy.
    hmac: Hmac<Sha256>,
}

impl Key {
    fn mac(&self, purpose: &str, domain: &str, body: &[&[u8]]) -> [u8; MAC] {
        let mut hmac = self.hmac.clone();
        for part in [purpose.as_bytes(), domain.as_bytes(), b"\n"].iter().chain(body) {
            hmac.update(part);
        }
        first(&hmac.finalize().into_bytes())
    }

    fn seal(&self, domain: &str, body: &[u8]) -> [u8; MAC] {
        self.mac("bounced-verp-1 token\n", domain, &[body])
    }

    fn bind(&self, domain: &str, head: &[u8], recipient: &str) -> [u8; MAC] {
        self.mac("bounced-verp-1 recipient\n", domain, &[head, recipient.as_bytes()])
    }
}

fn first<const N: usize>(octets: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(octets) {
        *to = *from;
    }
    out
}

impl KeyRing {
    /// A ring of `(id, secret)`; `max_age` counts in whole days, a part of a day as one.
    pub fn new(keys: Vec<(String, Vec<u8>)>, max_age: Duration) -> Result<Self, VerpError> {
        let mut ring: Vec<Key> = Vec::with_capacity(keys.len());
        for (id, secret) in keys {
            if id.is_empty() || ring.iter().any(|key| key.id == id) {
                return Err(VerpError::KeyId(id));
            }
            if secret.len() < MIN_SECRET {
                return Err(VerpError::ShortSecret { id, octets: secret.len() });
            }
            let hmac = Hmac::<Sha256>::new_from_slice(&secret).expect("HMAC takes any length");
            let [hint] =
                first(&hmac.clone().chain_update("bounced-verp-1 key\n").finalize().into_bytes());
            ring.push(Key { id, hint, hmac });
        }
        let days = max_age.as_secs().div_ceil(DAY_SECONDS);
        Ok(Self { keys: ring, max_age_days: i64::try_from(days).unwrap_or(i64::MAX) })
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Mints the whole return path: full mode when tag and recipient fit, else short.
    pub fn sign(
        &self,
        recipient: &Address,
        tag: Option<&str>,
        domain: &str,
        day: i64,
    ) -> Result<String, VerpError> {
        let key = self.keys.first().ok_or(VerpError::NoKey)?;
        let tag = tag.unwrap_or("");
        if !is_tag(tag) {
            return Err(VerpError::Tag(tag.to_string()));
        }
        let day16 = u16::try_from(day).map_err(|_| VerpError::Day(day))?;
        let recipient = recipient.key();
        let domain = fold_domain(domain);
        // A key form that cannot be read back must not be inside.
        let readable = Address::parse(&recipient).is_some();
        let fits = readable && tag.len() + recipient.len() <= FULL_ROOM;
        let mode = if fits { Mode::Full } else { Mode::Short };
        let mut octets = payload::head(mode, key.hint, day16, tag);
        match mode {
            Mode::Full => octets.extend(recipient.as_bytes()),
            Mode::Short => octets.extend(key.bind(&domain, &octets, &recipient)),
        }
        octets.extend(key.seal(&domain, &octets));
        let path = format!("{}@{domain}", payload::encode(&octets));
        if Address::parse(&path).is_none() || domain.contains('@') || path.len() > MAX_RETURN_PATH {
            return Err(VerpError::Domain(domain.into_owned()));
        }
        Ok(path)
    }

    /// Checks the local part of a forward-path at `domain`. Coats (BATV, quotes, SRS) come off
    /// first; a token inside SRS is checked against the domain that SRS names.
    pub fn verify(
        &self,
        local: &str,
        domain: &str,
        now: impl Into<Moment>,
    ) -> Result<Token, Reject> {
        let now = now.into();
        let (local, domain) = wrapped::unwrap(local, domain);
        let payload = Payload::decode(&local)?;
        let domain = fold_domain(&domain);
        if !self.keys.iter().any(|key| key.hint == payload.hint()) {
            return Err(Reject::UnknownKey);
        }
        // Two secrets share a hint once in 256 pairs: all that might have made it are asked.
        let key = self
            .keys
            .iter()
            .filter(|key| key.hint == payload.hint())
            .find(|key| bool::from(key.seal(&domain, payload.sealed()).ct_eq(payload.mac())))
            .ok_or(Reject::BadSignature)?;
        let day = payload.day();
        if day.saturating_add(self.max_age_days) < now.earliest.day() {
            return Err(Reject::Expired);
        }
        if day > now.latest.day().saturating_add(MAX_DAYS_AHEAD) {
            return Err(Reject::NotYetValid);
        }
        let tag = std::str::from_utf8(payload.tag()).ok().filter(|t| is_tag(t));
        let tag = tag.ok_or(Reject::Malformed)?;
        let recipient = match payload.mode() {
            Mode::Short => None,
            Mode::Full => {
                let text = std::str::from_utf8(payload.body()).ok();
                Some(text.and_then(Address::parse).ok_or(Reject::Malformed)?)
            }
        };
        Ok(Token {
            mode: payload.mode(),
            recipient,
            tag: (!tag.is_empty()).then(|| tag.to_string()),
            day,
            key_id: key.id.clone(),
            id: token_id(&domain, payload.octets()),
            domain: domain.into_owned(),
            payload,
        })
    }
}

impl std::fmt::Debug for KeyRing {
    /// Never the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|key| &key.id).collect();
        f.debug_struct("KeyRing")
            .field("keys", &ids)
            .field("max_age_days", &self.max_age_days)
            .finish()
    }
}

impl Token {
    /// Whether `candidate` is the address that this token was minted for.
    ///
    /// A sender who folds ASCII only, or who has U-labels or needless quotes in his list, is
    /// understood too: the binding is tried for the key form, for the address with its ASCII letters
    /// lowered, and for the key form in quotes.
    pub fn matches(&self, ring: &KeyRing, candidate: &Address) -> bool {
        if let Some(recipient) = &self.recipient {
            return recipient.key() == candidate.key();
        }
        let Some(key) = ring.keys.iter().find(|key| key.id == self.key_id) else { return false };
        let binds = |text: &str| {
            let binding = key.bind(&self.domain, self.payload.head_and_tag(), text);
            bool::from(binding.ct_eq(self.payload.body()))
        };
        let folded = candidate.as_str().to_ascii_lowercase();
        let canonical = candidate.key();
        let quoted = || {
            let (local, domain) = canonical.rsplit_once('@')?;
            (!local.starts_with('"')).then(|| format!("\"{local}\"@{domain}"))
        };
        binds(&canonical)
            || (folded != canonical && binds(&folded))
            || quoted().is_some_and(|quoted| binds(&quoted))
    }

    /// The scope that the tag names: all of it, or what comes before its first `.`.
    pub fn scope(&self) -> Option<&str> {
        self.tag.as_deref().map(|tag| tag.split_once('.').map_or(tag, |(scope, _)| scope))
    }

    /// The campaign that the tag names: what comes after its first `.`.
    pub fn campaign(&self) -> Option<&str> {
        self.tag.as_deref()?.split_once('.').map(|(_, campaign)| campaign)
    }

    /// What the classify object shows.
    pub fn info(&self) -> VerpInfo {
        VerpInfo {
            recipient: self.recipient.as_ref().map(|r| r.as_str().to_string()),
            scheme: self.mode.scheme().to_string(),
            authentic: Some(true),
            tag: self.tag.clone(),
        }
    }
}

impl Mode {
    /// The word in the `verp` object.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Full => "signed-full",
            Self::Short => "signed-short",
        }
    }
}

/// The mode that a local part claims, whether it is genuine or not; None when it claims nothing.
pub fn claimed_mode(local: &str) -> Option<Mode> {
    let (local, _) = wrapped::unwrap(local, "");
    match Payload::decode(&local) {
        Ok(payload) => Some(payload.mode()),
        Err(Reject::NotAToken) => None,
        // Whatever it was, it does not tell us a recipient.
        Err(_) => Some(Mode::Short),
    }
}

/// The octets of a secret file: white space at its end belongs to the editor.
pub fn secret_of_file(octets: &[u8]) -> &[u8] {
    octets.trim_ascii_end()
}

/// Letters, digits, `.`, `_`, `-`; empty is "no tag".
fn is_tag(tag: &str) -> bool {
    tag.len() <= MAX_TAG
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Lower case, A-labels, no dot at the end.
fn fold_domain(domain: &str) -> Cow<'_, str> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if !domain.is_ascii() {
        return idna::domain_to_ascii(domain).map_or(Cow::Borrowed(domain), Cow::Owned);
    }
    if domain.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Owned(domain.to_ascii_lowercase());
    }
    Cow::Borrowed(domain)
}

fn token_id(domain: &str, payload: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [b"bounced-verp-1 id\n", domain.as_bytes(), b"\n", payload] {
        hash.update(part);
    }
    HEXLOWER.encode(&first::<16>(&hash.finalize()))
}

#[cfg(test)]
mod tests;
