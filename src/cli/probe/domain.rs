//! The records of one return-path domain: who takes its mail, who may send with it, and what it
//! publishes about TLS.

use std::net::{IpAddr, SocketAddr};

use super::dns::{Record, RecordType};
use super::finding::{Finding, Grade, finding};
use super::host::HostSeen;
use super::means::Probe;
use super::mta_sts::{self, Mode, StsPolicy};
use super::spf;

/// Who takes the mail of a domain.
pub(super) struct DomainSeen {
    pub(super) name: String,
    /// Hosts that take its mail, best first.
    pub(super) hosts: Vec<String>,
    pub(super) mx: Finding,
}

/// What else it publishes.
pub(super) struct Published {
    pub(super) spf: Finding,
    policy: PublishedPolicy,
    pub(super) tls_reports: Finding,
}

/// The MTA-STS policy.
enum PublishedPolicy {
    None,
    Read(StsPolicy),
    /// Senders would not read it either.
    Wrong(String),
    Unknown(String),
}

impl Probe<'_> {
    pub(super) fn domain(&self, name: &str) -> DomainSeen {
        let (mx, hosts) = self.mx(name);
        DomainSeen { name: name.to_string(), hosts, mx }
    }

    pub(super) fn published(&self, domain: &str) -> Published {
        let texts = |name: &str| Ok(self.resolver.ask(name, RecordType::TXT)?.texts());
        Published {
            spf: spf::look(domain, &texts),
            policy: self.policy(domain),
            tls_reports: self.tls_reports(domain),
        }
    }

    /// Who takes mail for it.
    fn mx(&self, domain: &str) -> (Finding, Vec<String>) {
        let ours = self.options.hostname.to_ascii_lowercase();
        let say = |grade, words: String| finding(grade, "mx", words);
        let answer = match self.resolver.ask(domain, RecordType::MX) {
            Ok(answer) => answer,
            Err(why) => {
                let words = format!("the MX of {domain} cannot be looked up: {why}");
                let hosts = if self.options.public { vec![ours] } else { Vec::new() };
                return (say(Grade::Warn, words), hosts);
            }
        };
        let host = |record: &Record| match record {
            Record::Mx(preference, host) => Some((*preference, host.clone())),
            _ => None,
        };
        let mut found: Vec<(u16, String)> = answer.records.iter().filter_map(host).collect();
        found.sort();
        if found.is_empty() {
            return self.without_mx(domain, &ours);
        }
        if found.iter().all(|(_, host)| host.is_empty()) {
            let words = format!(
                "{domain} says by `MX 0 .` that it takes no mail, so no bounce comes: give it the \
                 record `{domain}. MX 10 {ours}.`"
            );
            return (say(Grade::Fail, words), Vec::new());
        }
        let shown: Vec<String> = found.iter().map(|(n, host)| format!("{n} {host}")).collect();
        let shown = shown.join(", ");
        let hosts: Vec<String> = found.into_iter().map(|(_, host)| host).collect();
        if let Some(address) = hosts.iter().find(|host| host.parse::<IpAddr>().is_ok()) {
            let words =
                format!("the MX of {domain} names the address {address}: it must be a name");
            return (say(Grade::Fail, words), Vec::new());
        }
        let (grade, words) = match (hosts.contains(&ours), self.options.public) {
            (true, _) => (Grade::Ok, format!("{domain}: {shown}")),
            (false, false) => (Grade::Ok, format!("{domain}: {shown}, which hands over to us")),
            (false, true) => (
                Grade::Warn,
                format!(
                    "{domain}: {shown}, and that is not {ours}: write hostname = \"{}\" if it is this \
                     machine, else give {domain} the record `{domain}. MX 10 {ours}.`",
                    hosts.first().map_or("", String::as_str)
                ),
            ),
        };
        (say(grade, words), hosts)
    }

    /// Senders take its own address then (RFC 5321, section 5.1).
    fn without_mx(&self, domain: &str, ours: &str) -> (Finding, Vec<String>) {
        let advice = format!("give it the record `{domain}. MX 10 {ours}.`");
        match self.resolver.addresses(domain) {
            Err(why) => {
                let words =
                    format!("{domain} has no MX, and its address cannot be looked up: {why}");
                (finding(Grade::Warn, "mx", words), Vec::new())
            }
            Ok(answer) if answer.records.is_empty() => {
                let words = format!("{domain} has no MX, so no bounce comes: {advice}");
                (finding(Grade::Fail, "mx", words), Vec::new())
            }
            Ok(_) => {
                let words =
                    format!("{domain} has no MX, and senders use its own address: better {advice}");
                (finding(Grade::Warn, "mx", words), vec![domain.to_string()])
            }
        }
    }

    fn policy(&self, domain: &str) -> PublishedPolicy {
        let texts = match self.resolver.ask(&format!("_mta-sts.{domain}"), RecordType::TXT) {
            Ok(answer) => answer.texts(),
            Err(why) => return PublishedPolicy::Unknown(why),
        };
        match mta_sts::is_announced(&texts) {
            Ok(false) => return PublishedPolicy::None,
            Ok(true) => {}
            Err(why) => {
                return PublishedPolicy::Wrong(format!(
                    "the TXT record of _mta-sts.{domain}: {why}"
                ));
            }
        }
        let url = mta_sts::policy_url(domain);
        let host = match self.resolver.addresses(&mta_sts::policy_host(domain)) {
            Ok(answer) => answer,
            Err(why) => return PublishedPolicy::Unknown(why),
        };
        let port = self.options.https_port;
        let addresses: Vec<SocketAddr> =
            host.addresses().into_iter().map(|address| (address, port).into()).collect();
        if addresses.is_empty() {
            return PublishedPolicy::Wrong(format!("{url}: its host has no address"));
        }
        if self.tls.trusts_nobody() {
            let why = "this system knows no certificate authorities, install ca-certificates";
            return PublishedPolicy::Unknown(why.to_string());
        }
        let stream = match mta_sts::connect(&addresses, self.deadline) {
            Ok(stream) => stream,
            // Perhaps only from here.
            Err(why) => return PublishedPolicy::Unknown(format!("{url}: {why}")),
        };
        match mta_sts::fetch(stream, domain, &self.tls, self.options.now) {
            Ok(policy) => PublishedPolicy::Read(policy),
            Err(why) => PublishedPolicy::Wrong(format!("{url}: {why}")),
        }
    }

    /// Where senders report failed TLS to (RFC 8460).
    fn tls_reports(&self, domain: &str) -> Finding {
        let say = |grade, words: String| finding(grade, "tls-rpt", words);
        let name = format!("_smtp._tls.{domain}");
        let texts = match self.resolver.ask(&name, RecordType::TXT) {
            Ok(answer) => answer.texts(),
            Err(why) => return say(Grade::Warn, format!("{name} cannot be looked up: {why}")),
        };
        let ours: Vec<&String> =
            texts.iter().filter(|text| text.starts_with("v=TLSRPTv1")).collect();
        match ours.as_slice() {
            [] => say(Grade::Ok, format!("{domain} asks for no reports on TLS")),
            [text] => {
                let rua = text.split(';').find_map(|part| part.trim().strip_prefix("rua="));
                let targets = rua.unwrap_or_default();
                let known = |target: &str| {
                    target.trim().starts_with("mailto:") || target.trim().starts_with("https:")
                };
                match targets.split(',').all(known) {
                    true => say(Grade::Ok, format!("{domain} wants reports on TLS at {targets}")),
                    false => say(
                        Grade::Warn,
                        format!(
                            "{name} says nowhere to report to: write rua=mailto:ADDRESS or rua=https://..."
                        ),
                    ),
                }
            }
            more => {
                let words =
                    format!("{name} has {} records, so senders take none: leave one", more.len());
                say(Grade::Warn, words)
            }
        }
    }
}

impl Published {
    /// Whether the MTA-STS policy fits the hosts.
    pub(super) fn transport_security(&self, seen: &DomainSeen, hosts: &[HostSeen]) -> Finding {
        let domain = &seen.name;
        let say = |grade, words: String| finding(grade, "mta-sts", words);
        let policy = match &self.policy {
            PublishedPolicy::None => {
                return say(Grade::Ok, format!("{domain} publishes no policy"));
            }
            PublishedPolicy::Unknown(why) => {
                return say(
                    Grade::Warn,
                    format!("the policy of {domain} cannot be looked up: {why}"),
                );
            }
            PublishedPolicy::Wrong(why) => {
                let words = format!("{domain} announces a policy that senders cannot use: {why}");
                return say(Grade::Warn, words);
            }
            PublishedPolicy::Read(policy) => policy,
        };
        let (mode, grade) = match policy.mode {
            Mode::Off => return say(Grade::Ok, format!("{domain} has a policy with mode none")),
            Mode::Testing => ("testing", Grade::Warn),
            Mode::Enforce => ("enforce", Grade::Fail),
        };
        if let Some(host) = seen.hosts.iter().find(|host| !policy.names(host)) {
            let words = format!(
                "the policy of {domain} ({mode}) does not name its MX {host}: add `mx: {host}`, then a new \
                 id= in the TXT record of _mta-sts.{domain}"
            );
            return say(grade, words);
        }
        let ours = hosts.iter().filter(|host| seen.hosts.contains(&host.name));
        for host in ours {
            if let Some(why) = &host.insecure {
                let words = format!(
                    "the policy of {domain} ({mode}) wants a certificate that holds, but {why}: mend that, or \
                     write mode: none and a new id= until it is"
                );
                return say(grade, words);
            }
        }
        if policy.is_short() {
            let words = format!(
                "the policy of {domain} ({mode}) ends after {} s: write max_age: 604800 or more",
                policy.max_age
            );
            return say(Grade::Warn, words);
        }
        say(Grade::Ok, format!("the policy of {domain} ({mode}) names each MX"))
    }
}
