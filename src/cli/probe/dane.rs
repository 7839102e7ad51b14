//! DANE for SMTP (RFC 7672): TLSA records say which certificate or authority a host shows. Records
//! that are proved and do not fit stop mail.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use sha2::{Digest, Sha256, Sha512};

use super::dns::Record;
use super::tls::{Chain, TlsClient};
use crate::mail::Timestamp;

/// How the records of a host and its certificate go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fit {
    Fits,
    /// None of those that count.
    No,
    /// Of kinds that senders do not use: PKIX-TA(0), PKIX-EE(1), unknown ones.
    Unusable,
}

/// DANE-TA and DANE-EE.
const USABLE: std::ops::RangeInclusive<u8> = 2..=3;
const TRUST_ANCHOR: u8 = 2;

/// Holds the records against what the host showed.
pub(super) fn fit(
    records: &[Record],
    chain: &Chain,
    host: &str,
    tls: &TlsClient,
    now: Timestamp,
) -> Fit {
    let mut usable = false;
    for record in records {
        let Record::Tlsa { usage, selector, matching, data } = record else { continue };
        if !USABLE.contains(usage) || *selector > 1 || *matching > 2 {
            continue;
        }
        usable = true;
        let is_it = |one: &&CertificateDer<'static>| {
            digest(one, *selector, *matching).is_some_and(|found| found == *data)
        };
        let fits = match *usage {
            TRUST_ANCHOR => chain.0.iter().skip(1).find(is_it).is_some_and(|anchor| {
                let mut roots = RootCertStore::empty();
                roots.add(anchor.clone()).is_ok()
                    && chain.is_for(host).is_ok()
                    && tls.trust(chain, &roots, now).is_ok()
            }),
            // Neither names nor dates count (section 3.1.1).
            _ => chain.0.first().is_some_and(|own| is_it(&own)),
        };
        if fits {
            return Fit::Fits;
        }
    }
    if usable { Fit::No } else { Fit::Unusable }
}

/// What a record that fits would hold, `3 1 1` being the usual one.
pub(super) fn advised(chain: &Chain) -> Option<String> {
    let digest = digest(chain.0.first()?, 1, 1)?;
    Some(format!("3 1 1 {}", data_encoding::HEXLOWER.encode(&digest)))
}

/// The whole certificate (0) or its key (1); as it is (0), SHA-256 (1), SHA-512 (2).
fn digest(certificate: &CertificateDer<'static>, selector: u8, matching: u8) -> Option<Vec<u8>> {
    let key;
    let octets: &[u8] = match selector {
        0 => certificate,
        1 => {
            key = ParsedCertificate::try_from(certificate).ok()?.subject_public_key_info();
            &key
        }
        _ => return None,
    };
    Some(match matching {
        0 => octets.to_vec(),
        1 => Sha256::digest(octets).to_vec(),
        2 => Sha512::digest(octets).to_vec(),
        _ => return None,
    })
}
