//! Whose mailbox it is: the closed table of mailbox domains by which guards and health group
//! recipients when the verdict names no provider.

/// Mailbox domains that belong to one provider. Exact domains and their subdomains.
const TABLE: &[(&str, &[&str])] = &[
    ("google", &["gmail.com", "googlemail.com", "google.com"]),
    (
        "microsoft",
        &[
            "outlook.com",
            "hotmail.com",
            "live.com",
            "msn.com",
            "hotmail.co.uk",
            "hotmail.de",
            "hotmail.fr",
            "hotmail.it",
            "hotmail.es",
            "live.nl",
            "live.co.uk",
            "live.de",
            "live.fr",
            "outlook.de",
            "outlook.fr",
            "outlook.es",
            "windowslive.com",
        ],
    ),
    (
        "yahoo",
        &[
            "yahoo.com",
            "yahoo.co.uk",
            "yahoo.de",
            "yahoo.fr",
            "yahoo.it",
            "yahoo.es",
            "yahoo.com.br",
            "yahoo.co.in",
            "yahoo.ca",
            "ymail.com",
            "rocketmail.com",
            "aol.com",
            "aim.com",
            "verizon.net",
        ],
    ),
    ("apple", &["icloud.com", "me.com", "mac.com"]),
    ("gmx", &["gmx.de", "gmx.net", "gmx.at", "gmx.ch", "gmx.com", "web.de", "mail.com"]),
    ("t-online", &["t-online.de", "magenta.de"]),
    ("comcast", &["comcast.net"]),
    ("att", &["att.net", "sbcglobal.net", "bellsouth.net"]),
    ("orange", &["orange.fr", "wanadoo.fr"]),
    ("free", &["free.fr"]),
    ("laposte", &["laposte.net"]),
    ("libero", &["libero.it", "virgilio.it"]),
    ("kpn", &["kpnmail.nl", "planet.nl", "hetnet.nl", "xs4all.nl"]),
    ("ziggo", &["ziggo.nl", "home.nl", "upcmail.nl"]),
    ("telenet", &["telenet.be"]),
    ("proximus", &["skynet.be", "proximus.be"]),
    ("bt", &["btinternet.com", "btopenworld.com"]),
    ("mail-ru", &["mail.ru", "inbox.ru", "list.ru", "bk.ru"]),
    ("yandex", &["yandex.ru", "yandex.com", "ya.ru"]),
    ("qq", &["qq.com", "foxmail.com"]),
    ("netease", &["163.com", "126.com", "yeah.net"]),
    ("naver", &["naver.com"]),
    ("proton", &["proton.me", "protonmail.com", "pm.me"]),
    ("zoho", &["zoho.com", "zohomail.com"]),
    ("fastmail", &["fastmail.com", "fastmail.fm"]),
    ("seznam", &["seznam.cz", "email.cz"]),
    ("wp", &["wp.pl", "o2.pl"]),
    ("onet", &["onet.pl", "op.pl"]),
];

/// Provider of a recipient's domain (lower case), when the table knows it.
pub fn of_domain(domain: &str) -> Option<&'static str> {
    TABLE
        .iter()
        .find(|(_, domains)| {
            domains.iter().any(|d| {
                domain == *d || domain.strip_suffix(d).is_some_and(|rest| rest.ends_with('.'))
            })
        })
        .map(|(name, _)| *name)
}

/// Is this one of the table's names?
pub fn is_named(provider: &str) -> bool {
    TABLE.iter().any(|(name, _)| *name == provider)
}

/// Whose guard watches an address: the verdict's provider, else the table's, else its domain.
pub(super) fn guard_of(provider: Option<&str>, address: &str) -> String {
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    match provider.or_else(|| of_domain(domain)) {
        Some(name) => name.to_string(),
        None => domain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_find_their_provider() {
        for (domain, provider) in [
            ("gmail.com", Some("google")),
            ("web.de", Some("gmx")),
            ("mx.gmail.com", Some("google")),
            // Not a subdomain.
            ("notgmail.com", None),
            ("example.com", None),
            ("", None),
        ] {
            assert_eq!(of_domain(domain), provider, "{domain}");
        }
        assert_eq!(guard_of(None, "a@example.com"), "example.com");
        assert_eq!(guard_of(Some("google"), "a@example.com"), "google");
    }
}
