//! Whose mailbox it is: by which provider guards and health group recipients.
//!
//! The recipient's domain decides, because what is sent is known by that alone: sent mail and its
//! failures must be counted under one name. Only for a domain that the closed table does not know
//! the provider of the verdict counts: the host that refused, say, of a company's hosted mail.

use crate::classify::provider_of_domain;

fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// The provider of an address (key form); `verdict`: the one that its verdict names.
pub(super) fn named(verdict: Option<&str>, address: &str) -> Option<String> {
    provider_of_domain(domain_of(address)).or(verdict).map(str::to_string)
}

/// Whose guard watches an address: its provider, else its domain.
pub(super) fn guard_of(verdict: Option<&str>, address: &str) -> String {
    named(verdict, address).unwrap_or_else(|| domain_of(address).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sent_mail_and_its_failures_have_one_name() {
        for (address, verdict, name) in [
            ("a@gmail.com", None, Some("google")),
            ("a@web.de", None, Some("web.de")),
            ("a@mx.gmail.com", None, Some("google")),
            // Not a subdomain.
            ("a@notgmail.com", None, None),
            ("a@example.com", None, None),
            ("a", None, None),
            ("a@example.com", Some("google"), Some("google")),
            // The host that refused is of another name than the mailboxes that it serves.
            ("a@outlook.com", Some("exchange-online"), Some("outlook")),
            ("a@aol.com", Some("aol"), Some("yahoo")),
        ] {
            assert_eq!(named(verdict, address).as_deref(), name, "{address} {verdict:?}");
        }
        assert_eq!(guard_of(None, "a@example.com"), "example.com");
        assert_eq!(guard_of(Some("google"), "a@example.com"), "google");
    }
}
