//! What a sender finds who wants to deliver to our return paths: DNS, the mail port, certificates,
//! and what is published about them. `bounced doctor` prints it.
//!
//! Promises: it ends in [`ProbeOptions::time`], whatever the network does; what cannot be looked up
//! is a warning and never a failure; nothing is stored or delivered, since no DATA is sent; it asks
//! the hosts that the MX records name, and nobody else but the name server and `mta-sts.<domain>`.
//!
//! It looks from this machine. Whether the internet reaches it only another machine can say.
//!
//! | file | what it looks at |
//! |---|---|
//! | `domain.rs` | MX, SPF (`spf.rs`), MTA-STS (`mta_sts.rs`), TLS-RPT of each return-path domain |
//! | `host.rs` | addresses, PTR, port 25 (`smtp.rs`), certificate (`tls.rs`), DANE (`dane.rs`) of each MX |

mod dane;
mod deadline;
mod dns;
mod domain;
mod finding;
mod host;
mod limits;
mod means;
mod mta_sts;
mod smtp;
mod spf;
mod tls;

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::thread;

use deadline::Deadline;
use dns::Resolver;
pub use dns::name_servers;
use domain::{DomainSeen, Published};
pub use finding::{Finding, Grade, finding};
use host::HostSeen;
pub use means::ProbeOptions;
use means::{Probe, side_by_side};
use tls::TlsClient;

/// Looks at everything; domains and hosts side by side.
pub fn look(options: &ProbeOptions) -> Vec<Finding> {
    if options.domains.is_empty() {
        let words = "no return-path domain is set (smtp.domains), so there is nothing to look up";
        return vec![finding(Grade::Ok, "network", words)];
    }
    let tls = match TlsClient::new(options.authorities.as_deref()) {
        Ok(tls) => tls,
        Err(why) => {
            let words = format!("TLS cannot be tried, and nothing was looked up: {why}");
            return vec![finding(Grade::Warn, "network", words)];
        }
    };
    let deadline = Deadline::after(options.time);
    let resolver = Resolver::new(&options.resolvers, deadline);
    Probe { options, tls, resolver, deadline }.look()
}

impl Probe<'_> {
    fn look(&self) -> Vec<Finding> {
        let names: Vec<&String> = self.options.domains.iter().take(limits::DOMAINS).collect();
        let domains = side_by_side(&names, |name| self.domain(name));
        let all_hosts: BTreeSet<&str> =
            domains.iter().flat_map(|domain| domain.hosts.iter().map(String::as_str)).collect();
        let hosts: Vec<(&str, Vec<&str>)> = all_hosts
            .iter()
            .take(limits::HOSTS)
            .map(|host| {
                let has = |domain: &&DomainSeen| domain.hosts.iter().any(|known| known == *host);
                (*host, domains.iter().filter(has).map(|domain| domain.name.as_str()).collect())
            })
            .collect();
        // One that is slow must not take the time of the others.
        let look_at_hosts =
            || side_by_side(&hosts, |(host, domains)| self.host(host, domains.clone()));
        let (published, hosts): (Vec<Published>, Vec<HostSeen>) = thread::scope(|scope| {
            let hosts = scope.spawn(look_at_hosts);
            let published = side_by_side(&domains, |domain| self.published(&domain.name));
            (published, hosts.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let mut findings = Vec::new();
        for (domain, published) in domains.iter().zip(&published) {
            findings.extend([domain.mx.clone(), published.spf.clone()]);
        }
        for host in &hosts {
            findings.extend(host.findings.iter().cloned());
        }
        for (domain, published) in domains.iter().zip(&published) {
            findings.push(published.transport_security(domain, &hosts));
            findings.push(published.tls_reports.clone());
        }
        for (what, all, most) in [
            ("domains", self.options.domains.len(), limits::DOMAINS),
            ("MX hosts", all_hosts.len(), limits::HOSTS),
        ] {
            if all > most {
                let words = format!("only {most} of {all} {what} are looked at");
                findings.push(finding(Grade::Warn, "network", words));
            }
        }
        for finding in &mut findings {
            shorten(&mut finding.words);
        }
        findings
    }
}

/// What strangers write into a record may be long.
fn shorten(words: &mut String) {
    if let Some((end, _)) = words.char_indices().nth(limits::WORDS) {
        words.truncate(end);
        words.push_str(" ...");
    }
}
