//! Our return paths. Mints them, checks them at RCPT, and reads which recipient a
//! report is about (docs/policy.md, "Attribution", docs/verp.md).
//!
//! - [`signed`]: tokens that only the holder of a secret can make;
//! - [`plain`]: `bounces+user=example.com@` and its relatives, which anyone can make;
//! - [`wrapped`]: takes off quotes, BATV and SRS before either is read.
//!
//! Promises: with a key, nothing unsigned is ever attributed as [`Attribution::Signed`]; a
//! forwarding address in the report never replaces the one that a token vouches for; time is an
//! argument. It does not know sessions, reports or policy: the analysis hands it addresses.

mod moment;
mod payload;
pub mod plain;
pub mod signed;
pub mod wrapped;

pub use moment::Moment;
pub use payload::{Mode, Reject};
pub use signed::{KeyRing, Token, VerpError, secret_of_file};

use crate::config;
use crate::event::VerpInfo;
use crate::mail::{Address, Timestamp};
use crate::report::{Attribution, Report};

/// Envelope recipients of one message that are read; a bounce has one.
const MAX_RECIPIENTS: usize = 100;
/// Addresses of one report that short tokens are tried with.
const MAX_CANDIDATES: usize = 200;

/// What `[verp]` says, ready to use.
#[derive(Debug)]
pub struct Verp {
    ring: KeyRing,
    signed: bool,
    plain: bool,
    /// Where our return paths end; the first is that of paths minted without naming one.
    domains: Vec<String>,
}

/// Why a forward-path is refused at RCPT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnPathError {
    /// Only signed return paths are accepted here, and this is none.
    Unsigned,
    /// Forged, damaged, or made with a key that was removed.
    Signature,
    /// Genuine, but not of an acceptable age.
    Expired,
}

impl ReturnPathError {
    /// The reply line.
    pub const fn reply(self) -> &'static str {
        match self {
            Self::Unsigned => {
                "550 5.7.1 only signed return paths are accepted here; other mail goes to \
                 postmaster"
            }
            Self::Signature => {
                "550 5.7.1 the signature of this return path is wrong: no mail of ours had it"
            }
            Self::Expired => {
                "550 5.7.1 this return path has expired: reports are accepted for a limited time"
            }
        }
    }

    /// The label in `bounced_smtp_rejections_total{reason}`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unsigned => "verp_unsigned",
            Self::Signature => "verp_bad_signature",
            Self::Expired => "verp_expired",
        }
    }
}

/// What one envelope recipient says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathClaim {
    /// `Signed`, `Plain`, or `None` when it names nobody that we can believe.
    pub attribution: Attribution,
    /// The address we mailed.
    pub recipient: Option<Address>,
    /// For the classify object.
    pub info: VerpInfo,
    /// Names the token in per-token claims; None without a valid signature.
    pub token_id: Option<String>,
    /// Scope that the token names.
    pub scope: Option<String>,
    /// Campaign that the token names.
    pub campaign: Option<String>,
}

/// What the whole envelope says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributed {
    /// Every distinct VERP recipient, best level first, in envelope order within a level.
    pub claims: Vec<PathClaim>,
    /// A genuine short token for which no candidate verified: the message is stored as `other`
    /// and counted (docs/policy.md, "Attribution").
    pub unmatched_short: bool,
}

impl Attributed {
    /// The best level.
    pub fn attribution(&self) -> Attribution {
        self.claims.first().map_or(Attribution::None, |claim| claim.attribution)
    }

    /// The best claim.
    pub fn best(&self) -> Option<&PathClaim> {
        self.claims.first()
    }

    /// The address of the best claim.
    pub fn recipient(&self) -> Option<&Address> {
        self.best()?.recipient.as_ref()
    }

    /// The recipient that a valid signature names.
    pub fn signed(&self) -> Option<&Address> {
        self.recipient().filter(|_| self.attribution() == Attribution::Signed)
    }

    /// The attribution level of a report: without a return path that names somebody, its own words.
    pub fn level(&self, report: &Report) -> Attribution {
        match self.attribution() {
            Attribution::None if report.recipients.iter().any(|r| r.address.is_some()) => {
                Attribution::Report
            }
            level => level,
        }
    }

    /// The `verp` object of the best claim.
    pub fn info(&self) -> Option<&VerpInfo> {
        self.best().map(|claim| &claim.info)
    }

    /// Every address that some claim names.
    pub fn recipients(&self) -> impl Iterator<Item = &Address> {
        self.claims.iter().filter_map(|claim| claim.recipient.as_ref())
    }
}

impl Verp {
    /// Checks keys and schemes against each other; `domains` are those of `[smtp]`.
    pub fn new(config: &config::VerpConfig, domains: &[String]) -> Result<Self, VerpError> {
        let ring = KeyRing::new(config.keys.clone(), config.max_age)?;
        if config.signed && !config.plain && ring.is_empty() {
            return Err(VerpError::SignedWithoutKey);
        }
        if !config.signed && !ring.is_empty() {
            return Err(VerpError::KeyWithoutSigned);
        }
        let domains = domains.to_vec();
        Ok(Self { ring, signed: config.signed, plain: config.plain, domains })
    }

    /// Whether a domain is one of those where our return paths end. Without any (every domain is
    /// accepted then) none is.
    pub fn is_ours(&self, domain: &str) -> bool {
        self.domains.iter().any(|ours| ours.eq_ignore_ascii_case(domain))
    }

    /// The domains where our return paths end; none when every domain is accepted.
    pub fn domains(&self) -> &[String] {
        &self.domains
    }

    /// Whether a key is configured: then only signed claims may suppress.
    pub fn has_keys(&self) -> bool {
        !self.ring.is_empty()
    }

    /// Mints a return path for today, at the first of our domains unless one is named.
    pub fn mint(
        &self,
        recipient: &Address,
        tag: Option<&str>,
        domain: Option<&str>,
        now: Timestamp,
    ) -> Result<String, VerpError> {
        let first = self.domains.first().map(String::as_str);
        let domain = domain.or(first).unwrap_or("");
        self.ring.sign(recipient, tag, domain, now.day())
    }

    /// Checks a whole return path.
    pub fn verify(&self, return_path: &str, now: impl Into<Moment>) -> Result<Token, Reject> {
        let (local, domain) = halves(return_path);
        self.ring.verify(local, domain, now)
    }

    /// Whether this is the address that a token was minted for.
    pub fn matches(&self, token: &Token, candidate: &Address) -> bool {
        token.matches(&self.ring, candidate)
    }

    /// The check at RCPT, before any DATA. Domains that are not ours are the session's to
    /// refuse. Without keys everything passes; `postmaster` always does; with `plain` among the
    /// schemes, whatever does not claim to be signed passes too (delay warnings of Postfix come
    /// to the bare list address).
    pub fn at_rcpt(
        &self,
        forward_path: &str,
        now: impl Into<Moment>,
    ) -> Result<(), ReturnPathError> {
        let (local, domain) = halves(forward_path);
        if self.ring.is_empty() || is_postmaster(local) {
            return Ok(());
        }
        match self.ring.verify(local, domain, now) {
            Ok(_) => Ok(()),
            Err(Reject::NotAToken) if self.plain => Ok(()),
            Err(Reject::NotAToken) => Err(ReturnPathError::Unsigned),
            Err(Reject::Expired | Reject::NotYetValid) => Err(ReturnPathError::Expired),
            Err(Reject::Malformed | Reject::UnknownKey | Reject::BadSignature) => {
                Err(ReturnPathError::Signature)
            }
        }
    }

    /// Reads all envelope recipients. `candidates` are the addresses that the report, its
    /// headers and the returned original name, likeliest first: a short token picks its own
    /// among them, and an unsigned address with several readings the one that they confirm.
    pub fn read(
        &self,
        envelope_to: &[String],
        candidates: &mut dyn Iterator<Item = &Address>,
        now: impl Into<Moment>,
    ) -> Attributed {
        let now = now.into();
        let candidates: Vec<&Address> = candidates.take(MAX_CANDIDATES).collect();
        let mut claims: Vec<PathClaim> = Vec::new();
        for forward_path in envelope_to.iter().take(MAX_RECIPIENTS) {
            if let Some(claim) = self.claim(forward_path, &candidates, now)
                && !claims.contains(&claim)
            {
                claims.push(claim);
            }
        }
        let unmatched_short = claims.iter().any(|c| c.token_id.is_some() && c.recipient.is_none());
        claims.sort_by_key(|claim| match claim.attribution {
            Attribution::Signed => 0,
            Attribution::Plain => 1,
            _ => 2,
        });
        Attributed { claims, unmatched_short }
    }

    fn claim(&self, forward_path: &str, near: &[&Address], now: Moment) -> Option<PathClaim> {
        let (local, domain) = halves(forward_path);
        if is_postmaster(local) {
            return None;
        }
        if self.signed {
            match self.ring.verify(local, domain, now) {
                Ok(token) => return Some(self.signed_claim(token, near)),
                Err(Reject::NotAToken) => {}
                // Without a key nobody promised that `b-...` is ours to judge.
                Err(_) if self.ring.is_empty() => return None,
                Err(_) => return signed::claimed_mode(local).map(unproven),
            }
        }
        if self.plain { plain_claim(local, near) } else { None }
    }

    fn signed_claim(&self, token: Token, near: &[&Address]) -> PathClaim {
        let mut info = token.info();
        let recipient = match &token.recipient {
            Some(recipient) => Some(recipient.clone()),
            None => near.iter().find(|c| token.matches(&self.ring, c)).map(|c| (*c).clone()),
        };
        info.recipient = recipient.as_ref().map(|r| r.as_str().to_string());
        PathClaim {
            attribution: if recipient.is_some() { Attribution::Signed } else { Attribution::None },
            recipient,
            info,
            scope: token.scope().map(str::to_string),
            campaign: token.campaign().map(str::to_string),
            token_id: Some(token.id),
        }
    }
}

/// A token that claims to be signed and is not, or no longer.
fn unproven(mode: Mode) -> PathClaim {
    PathClaim {
        attribution: Attribution::None,
        recipient: None,
        info: VerpInfo {
            recipient: None,
            scheme: mode.scheme().to_string(),
            authentic: Some(false),
            tag: None,
        },
        token_id: None,
        scope: None,
        campaign: None,
    }
}

fn plain_claim(local: &str, near: &[&Address]) -> Option<PathClaim> {
    let readings = plain::readings(local);
    let confirmed = readings.iter().find(|reading| {
        let key = reading.recipient.key();
        near.iter().any(|candidate| candidate.key() == key)
    });
    let recipient = confirmed.or(readings.first())?.recipient.clone();
    Some(PathClaim {
        attribution: Attribution::Plain,
        info: VerpInfo {
            recipient: Some(recipient.as_str().to_string()),
            scheme: "plain".to_string(),
            authentic: None,
            tag: None,
        },
        recipient: Some(recipient),
        token_id: None,
        scope: None,
        campaign: None,
    })
}

/// Local part and domain of a forward-path, which may have its angle brackets, and no domain
/// (`<postmaster>`, RFC 5321 section 4.5.1).
fn halves(path: &str) -> (&str, &str) {
    let path = path.trim();
    let path = path.strip_prefix('<').and_then(|p| p.strip_suffix('>')).unwrap_or(path);
    path.rsplit_once('@').unwrap_or((path, ""))
}

fn is_postmaster(local: &str) -> bool {
    local.eq_ignore_ascii_case("postmaster") || local.eq_ignore_ascii_case("\"postmaster\"")
}

#[cfg(test)]
mod tests;
