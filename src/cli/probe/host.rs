//! One MX host: its addresses and their names, its mail port, its certificate.

mod port;

use std::net::{IpAddr, SocketAddr};

use super::dane::{self, Fit};
use super::dns::{Answer, Record, RecordType, reverse_name};
use super::finding::{Finding, Grade, finding};
use super::limits;
use super::means::{Probe, side_by_side};
use super::smtp::{PortVisit, StartTls, Visitor};
use super::tls::{Chain, ChainFault, NoTls};
use port::{no_visit, postmaster, refused_bounces, relay};

const DAY_MS: i64 = 86_400_000;
/// A certificate that ends sooner should have been renewed by now.
const SOON_DAYS: i64 = 7;

/// What was seen of a host.
pub(super) struct HostSeen {
    pub(super) name: String,
    pub(super) findings: Vec<Finding>,
    /// Why a sender that insists on TLS and a certificate does not deliver; None when it does, or
    /// when nobody could look.
    pub(super) insecure: Option<String>,
}

impl Probe<'_> {
    pub(super) fn host(&self, name: &str, domains: Vec<&str>) -> HostSeen {
        let mut seen = HostSeen { name: name.to_string(), findings: Vec::new(), insecure: None };
        let answer = match self.resolver.addresses(name) {
            Ok(answer) => answer,
            Err(why) => {
                let words = format!("the address of {name} cannot be looked up: {why}");
                seen.findings.push(finding(Grade::Warn, "address", words));
                let words = format!("{name} was not asked, its address cannot be looked up");
                seen.findings.push(finding(Grade::Warn, "port25", words));
                return seen;
            }
        };
        seen.findings.push(addresses(name, &answer));
        let mut addresses = answer.addresses();
        addresses.truncate(limits::ADDRESSES);
        seen.findings.extend(side_by_side(&addresses, |address| self.reverse(name, *address)));
        if addresses.is_empty() {
            return seen;
        }
        let tlsa = self.resolver.ask(&format!("_25._tcp.{name}"), RecordType::TLSA);
        let visitor = Visitor {
            name: &self.options.hostname,
            domains,
            tls: &self.tls,
            deadline: self.deadline,
        };
        let port = self.options.smtp_port;
        let visits = side_by_side(&addresses, |address| {
            (*address, visitor.visit(SocketAddr::new(*address, port), name))
        });
        for (address, visit) in &visits {
            let at = format!("{name} ({address})");
            match visit {
                Err(why) => seen.findings.push(no_visit(&at, port, why)),
                Ok(visit) => self.visited(&mut seen, &at, visit, &tlsa),
            }
        }
        match &tlsa {
            Err(why) => {
                let words = format!("the TLSA records of {name} cannot be looked up: {why}");
                seen.findings.push(finding(Grade::Warn, "dane", words));
            }
            Ok(answer) if answer.records.is_empty() => {
                let words = format!("{name} publishes no TLSA record");
                seen.findings.push(finding(Grade::Ok, "dane", words));
            }
            Ok(_) if visits.iter().all(|(_, visit)| visit.is_err()) => {
                seen.findings.push(unseen(name));
            }
            Ok(_) => {}
        }
        seen
    }

    /// The name of an address, and whether that leads back.
    fn reverse(&self, host: &str, address: IpAddr) -> Finding {
        let say = |grade, words: String| finding(grade, "ptr", words);
        let advice = "bounced sends nothing, but mail servers refuse others who send from such an address: \
                      whoever gave it to you sets its name";
        let names: Vec<String> = match self.resolver.ask(&reverse_name(address), RecordType::PTR) {
            Err(why) => {
                return say(
                    Grade::Warn,
                    format!("the name of {address} cannot be looked up: {why}"),
                );
            }
            Ok(answer) => answer.records.into_iter().filter_map(name_of).collect(),
        };
        let Some(first) = names.first() else {
            return say(Grade::Warn, format!("{address} ({host}) has no name (PTR); {advice}"));
        };
        if names.iter().any(|name| name == host) {
            return say(Grade::Ok, format!("{address} is {host}"));
        }
        match self.resolver.addresses(first) {
            Err(why) => {
                say(Grade::Warn, format!("the address of {first} cannot be looked up: {why}"))
            }
            Ok(answer) if answer.addresses().contains(&address) => {
                say(Grade::Ok, format!("{address} ({host}) is {first}"))
            }
            Ok(_) => {
                let words =
                    format!("{address} ({host}) is named {first}, which is elsewhere; {advice}");
                say(Grade::Warn, words)
            }
        }
    }

    fn visited(
        &self,
        seen: &mut HostSeen,
        at: &str,
        visit: &PortVisit,
        tlsa: &Result<Answer, String>,
    ) {
        let words = format!("{at} answers `{}`", visit.greeting);
        seen.findings.push(finding(Grade::Ok, "port25", words));
        let chain = match &visit.starttls {
            StartTls::NotOffered => {
                seen.insecure = Some(format!("{at} does not offer STARTTLS"));
                let words = format!(
                    "{at} does not offer STARTTLS, so bounces come in clear: set cert and key below \
                     [smtp.tls]"
                );
                seen.findings.push(finding(Grade::Warn, "starttls", words));
                None
            }
            StartTls::Failed(NoTls::Silence) => {
                let words = format!("{at} offers STARTTLS, and did not answer in time: try again");
                seen.findings.push(finding(Grade::Warn, "starttls", words));
                None
            }
            StartTls::Failed(NoTls::Failed(why)) => {
                seen.insecure = Some(format!("TLS of {at} fails"));
                let words =
                    format!("{at} offers STARTTLS, and it fails ({why}): mail may not come");
                seen.findings.push(finding(Grade::Fail, "starttls", words));
                None
            }
            StartTls::Done(chain) => {
                let faults = self.tls.faults(chain, &seen.name, self.options.now);
                // What cannot be known here is not held against it.
                if let Some(fault) = faults.iter().find(|f| **f != ChainFault::NobodyIsTrusted) {
                    seen.insecure = Some(format!("the certificate of {at}: {fault}"));
                }
                let lines = self.certificate(at, &seen.name, chain, &faults);
                seen.findings.extend(lines);
                Some(chain)
            }
        };
        if let Ok(tlsa) = tlsa
            && !tlsa.records.is_empty()
        {
            let line = match visit.starttls {
                StartTls::Failed(NoTls::Silence) => unseen(&seen.name),
                _ => self.dane(at, &seen.name, tlsa, chain),
            };
            seen.findings.push(line);
        }
        seen.findings.extend(visit.refused_bounces.iter().map(|reply| refused_bounces(at, reply)));
        seen.findings.extend(visit.postmasters.iter().map(postmaster(at)));
        seen.findings.extend(relay(at, visit));
        if let Some(why) = &visit.broken {
            let words = format!("{at} ended the conversation early: {why}");
            seen.findings.push(finding(Grade::Warn, "port25", words));
        }
    }

    fn certificate(
        &self,
        at: &str,
        host: &str,
        chain: &Chain,
        faults: &[ChainFault],
    ) -> Vec<Finding> {
        let say = |grade, words: String| finding(grade, "starttls", words);
        if !faults.is_empty() {
            let line = |fault: &ChainFault| {
                let (grade, remedy) = match fault {
                    ChainFault::Expired(_) => {
                        (Grade::Fail, "renew it, then systemctl reload bounced")
                    }
                    ChainFault::NobodyIsTrusted => {
                        (Grade::Warn, "install ca-certificates, or name a file by $SSL_CERT_FILE")
                    }
                    ChainFault::OtherName(_) => (Grade::Warn, "get one for this name as well"),
                    ChainFault::Untrusted(_) => (
                        Grade::Warn,
                        "senders that check deliver only by DANE; give the whole chain of an authority",
                    ),
                };
                say(grade, format!("the certificate of {at}: {fault}; {remedy}"))
            };
            return faults.iter().map(line).collect();
        }
        let days = chain.expires().map(|end| (end.millis() - self.options.now.millis()) / DAY_MS);
        vec![match days {
            None => say(Grade::Warn, format!("when the certificate of {at} ends cannot be read")),
            Some(days) if days < SOON_DAYS => {
                let words = format!(
                    "the certificate of {at} ends in {days} days: renew it, then systemctl reload bounced"
                );
                say(Grade::Warn, words)
            }
            Some(days) => {
                say(Grade::Ok, format!("the certificate of {at} is for {host}, {days} days left"))
            }
        }]
    }

    fn dane(&self, at: &str, host: &str, tlsa: &Answer, chain: Option<&Chain>) -> Finding {
        let say = |grade, words: String| finding(grade, "dane", words);
        // Senders that see no proof take the records for nothing.
        let worst = if tlsa.secure { Grade::Fail } else { Grade::Warn };
        let Some(chain) = chain else {
            let words = format!("TLSA records of {host} ask for TLS, and {at} does not speak it");
            return say(worst, words);
        };
        match dane::fit(&tlsa.records, chain, host, &self.tls, self.options.now) {
            Fit::Unusable => {
                let advised = dane::advised(chain).unwrap_or_default();
                let words = format!(
                    "the TLSA records of {host} are of kinds that mail does not use: write `{advised}`"
                );
                say(Grade::Warn, words)
            }
            Fit::No => {
                let advised = dane::advised(chain).unwrap_or_default();
                let words = format!(
                    "no TLSA record of {host} fits the certificate of {at}, so senders that check keep \
                     their mail: add `{advised}` before a key changes, and take the old one out after"
                );
                say(worst, words)
            }
            Fit::Fits if tlsa.secure => {
                say(Grade::Ok, format!("a TLSA record of {host} fits the certificate of {at}"))
            }
            Fit::Fits => {
                let words = format!(
                    "a TLSA record of {host} fits, but the name server proves nothing by DNSSEC: sign the \
                     zone, or ask one that validates with --resolver"
                );
                say(Grade::Warn, words)
            }
        }
    }
}

fn unseen(host: &str) -> Finding {
    let words = format!("{host} has TLSA records, and its certificate could not be seen");
    finding(Grade::Warn, "dane", words)
}

fn name_of(record: Record) -> Option<String> {
    match record {
        Record::Name(name) => Some(name),
        _ => None,
    }
}

fn addresses(host: &str, answer: &Answer) -> Finding {
    let found = answer.addresses();
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    let shown = shown.join(", ");
    let (grade, words) = match () {
        () if found.is_empty() => (
            Grade::Fail,
            format!(
                "{host} has no address: give it an A or AAAA record, senders follow the MX to it"
            ),
        ),
        () if found.iter().all(|address| !is_of_the_internet(*address)) => (
            Grade::Warn,
            format!(
                "{host} is {shown}, which the internet cannot reach: give it its public address"
            ),
        ),
        () if answer.alias => (
            Grade::Warn,
            format!(
                "{host} is an alias (CNAME), which an MX must not be: give it the address {shown}"
            ),
        ),
        () => (Grade::Ok, format!("{host} is {shown}")),
    };
    finding(grade, "address", words)
}

/// Addresses of private networks, this machine, and links are not.
fn is_of_the_internet(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                // Of carriers (RFC 6598).
                || matches!(address.octets(), [100, 64..=127, ..]))
        }
        IpAddr::V6(address) => {
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_a_sender_cannot_use() {
        for (found, alias, grade, part) in [
            (&[][..], false, Grade::Fail, "has no address"),
            (&["192.0.2.1", "2001:db8::1"], false, Grade::Ok, "is 192.0.2.1, 2001:db8::1"),
            (&["10.0.0.1", "192.0.2.1"], false, Grade::Ok, ""),
            (&["10.0.0.1"], false, Grade::Warn, "cannot reach"),
            (&["100.64.0.1", "fd00::1", "fe80::1", "::1"], false, Grade::Warn, "cannot reach"),
            (&["::ffff:192.168.0.1"], false, Grade::Warn, "cannot reach"),
            (&["192.0.2.1"], true, Grade::Warn, "is an alias"),
        ] {
            let address = |text: &&str| Record::Address(text.parse().expect("an address"));
            let records = found.iter().map(address).collect();
            let got = addresses("mx.example", &Answer { records, alias, secure: false });
            assert!(got.grade == grade && got.words.contains(part), "{got:?}");
        }
    }
}
