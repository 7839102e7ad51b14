//! Which forward-paths are taken (docs/interface.md, "SMTP").
//!
//! Promises: `postmaster`, alone and at any domain of ours, is always taken (RFC 5321 section
//! 4.5.1); a domain that is not ours never is, so nothing is relayed. What the
//! local part says is judged by what is plugged in (signed VERP).

use std::borrow::Cow;
use std::sync::Arc;

use super::{Rejection, Reply};

/// Decides on one recipient.
pub trait RecipientCheck: Send + Sync {
    /// `forward_path` is the address without angle brackets, as the client wrote it.
    fn check(&self, forward_path: &str) -> Result<(), RcptRefusal>;
}

/// Why a recipient is refused: always `550 5.7.1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RcptRefusal {
    /// For the metric.
    pub reason: Rejection,
    /// For the person who reads the other side's log; a sentence without the code.
    pub text: &'static str,
}

impl RcptRefusal {
    /// The reply.
    pub fn reply(&self) -> Reply {
        Reply::made(550, format!("5.7.1 {}", self.text))
    }
}

/// Takes the configured domains, and asks a second check about their local parts.
pub struct OurDomains {
    domains: Vec<String>,
    local: Option<Arc<dyn RecipientCheck>>,
}

impl OurDomains {
    /// `domains` empty: every domain (the configuration allows that on loopback only). `local`
    /// judges addresses of our domains; None takes them all.
    pub fn new(domains: &[String], local: Option<Arc<dyn RecipientCheck>>) -> Self {
        let domains = domains.iter().map(|domain| ascii(domain).into_owned()).collect();
        Self { domains, local }
    }
}

impl RecipientCheck for OurDomains {
    fn check(&self, forward_path: &str) -> Result<(), RcptRefusal> {
        let Some((local, domain)) = forward_path.rsplit_once('@') else {
            return if forward_path.eq_ignore_ascii_case("postmaster") {
                Ok(())
            } else {
                Err(RcptRefusal {
                    reason: Rejection::UnknownDomain,
                    text: "the recipient has no domain",
                })
            };
        };
        let domain = ascii(domain);
        if !self.domains.is_empty() && !self.domains.iter().any(|ours| *ours == *domain) {
            return Err(RcptRefusal {
                reason: Rejection::UnknownDomain,
                text: "this service takes no mail for that domain",
            });
        }
        match &self.local {
            _ if local.eq_ignore_ascii_case("postmaster") => Ok(()),
            Some(check) => check.check(forward_path),
            None => Ok(()),
        }
    }
}

/// Lower case, A-labels, no trailing dot: the form in which two domains are the same.
fn ascii(domain: &str) -> Cow<'_, str> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if domain.is_ascii() {
        if domain.bytes().any(|b| b.is_ascii_uppercase()) {
            return Cow::Owned(domain.to_ascii_lowercase());
        }
        return Cow::Borrowed(domain);
    }
    idna::domain_to_ascii(domain).map_or(Cow::Borrowed(domain), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;
    impl RecipientCheck for Nobody {
        fn check(&self, _: &str) -> Result<(), RcptRefusal> {
            Err(RcptRefusal { reason: Rejection::VerpMissing, text: "a signature is required" })
        }
    }

    #[test]
    fn domains_and_postmaster() {
        let ours = ["Bounce.example.com".to_string(), "b\u{fc}cher.example".to_string()];
        let plain = OurDomains::new(&ours, None);
        let signed = OurDomains::new(&ours, Some(Arc::new(Nobody)));
        let any = OurDomains::new(&[], None);
        use Rejection::{UnknownDomain, VerpMissing};
        let foreign = Some(UnknownDomain);
        let rows = [
            ("a@bounce.example.com", None, Some(VerpMissing), None),
            ("A@BOUNCE.EXAMPLE.COM.", None, Some(VerpMissing), None),
            ("a@xn--bcher-kva.example", None, Some(VerpMissing), None),
            ("a@B\u{dc}CHER.example", None, Some(VerpMissing), None),
            ("postmaster", None, None, None),
            ("PostMaster", None, None, None),
            ("Postmaster@bounce.example.com", None, None, None),
            ("postmaster@example.net", foreign, foreign, None),
            ("a@example.com", foreign, foreign, None),
            ("a@x.bounce.example.com", foreign, foreign, None), // sub-domains are not ours
            ("a@bounce.example.com@example.net", foreign, foreign, None), // the last @ counts
            ("a@", foreign, foreign, None),
            ("a", foreign, foreign, foreign),
        ];
        for (path, by_domain, by_signature, by_nothing) in rows {
            let reason = |check: &OurDomains| check.check(path).err().map(|r| r.reason);
            assert_eq!(reason(&plain), by_domain, "{path}");
            assert_eq!(reason(&signed), by_signature, "{path}");
            assert_eq!(reason(&any), by_nothing, "{path}");
        }
        let refusal = plain.check("a@example.net").unwrap_err().reply();
        assert_eq!(refusal.code, 550);
        assert!(refusal.text().starts_with("5.7.1 "));
    }
}
