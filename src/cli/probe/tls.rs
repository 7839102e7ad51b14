//! TLS as a client that wants to see everything: any certificate is taken, and judged after.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, StreamOwned,
};

use super::deadline::{TimedStream, said};
use super::limits;
use crate::config::certificate;
use crate::mail::Timestamp;

/// What is needed for handshakes, made once.
pub(super) struct TlsClient {
    provider: Arc<CryptoProvider>,
    any: Arc<ClientConfig>,
    roots: RootCertStore,
}

impl TlsClient {
    /// With the authorities of the system, or those of a PEM file.
    pub(super) fn new(authorities: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let known = match authorities {
            None => rustls_native_certs::load_native_certs().certs,
            Some(file) => CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect)
                .map_err(|why| format!("{}: {why}", file.display()))?,
        };
        roots.add_parsable_certificates(known);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let any = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|why| why.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(Arc::clone(&provider))))
            .with_no_client_auth();
        Ok(Self { provider, any: Arc::new(any), roots })
    }

    /// Shakes hands with whoever is there.
    pub(super) fn greet(
        &self,
        stream: TimedStream,
        host: &str,
    ) -> Result<(StreamOwned<ClientConnection, TimedStream>, Chain), NoTls> {
        let failed = |why: &dyn std::fmt::Display| NoTls::Failed(why.to_string());
        let name = ServerName::try_from(host.to_string()).map_err(|why| failed(&why))?;
        let mut connection =
            ClientConnection::new(Arc::clone(&self.any), name).map_err(|why| failed(&why))?;
        let mut stream = stream;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).map_err(|why| handshake(&why))?;
        }
        let chain = connection.peer_certificates().unwrap_or_default();
        let chain = Chain(chain.iter().map(|one| one.clone().into_owned()).collect());
        Ok((StreamOwned::new(connection, stream), chain))
    }

    /// The system has no authorities.
    pub(super) fn trusts_nobody(&self) -> bool {
        self.roots.is_empty()
    }

    /// What is wrong with a certificate for a host; nothing when all is well.
    pub(super) fn faults(&self, chain: &Chain, host: &str, now: Timestamp) -> Vec<ChainFault> {
        let mut faults = Vec::new();
        match chain.expires() {
            Some(end) if end <= now => faults.push(ChainFault::Expired(end)),
            _ => {}
        }
        if let Err(names) = chain.is_for(host) {
            faults.push(ChainFault::OtherName(names));
        }
        if self.trusts_nobody() {
            faults.push(ChainFault::NobodyIsTrusted);
        } else if let Err(why) = self.trust(chain, &self.roots, now)
            && !matches!(faults.first(), Some(ChainFault::Expired(_)))
        {
            faults.push(ChainFault::Untrusted(why));
        }
        faults
    }

    /// Whether a chain leads to one of these, and is in force.
    pub(super) fn trust(
        &self,
        chain: &Chain,
        roots: &RootCertStore,
        now: Timestamp,
    ) -> Result<(), String> {
        let (own, others) = chain.0.split_first().ok_or("there is no certificate")?;
        let own = ParsedCertificate::try_from(own).map_err(|why| plain(&why))?;
        let seconds = u64::try_from(now.millis() / 1000).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&own, roots, others, now, algorithms)
            .map_err(|why| plain(&why))
    }
}

/// Why there is no TLS.
pub(super) enum NoTls {
    /// Nobody answered in time, so nothing is known.
    Silence,
    Failed(String),
}

impl NoTls {
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Silence,
            _ => Self::Failed(said(error)),
        }
    }
}

impl std::fmt::Display for NoTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silence => f.write_str("no answer in time"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// The certificates that a server showed, its own first.
pub(super) struct Chain(pub(super) Vec<CertificateDer<'static>>);

impl Chain {
    pub(super) fn expires(&self) -> Option<Timestamp> {
        certificate::expiry(self.0.first()?)
    }

    /// Whether it names a host; the error has the names that it has.
    pub(super) fn is_for(&self, host: &str) -> Result<(), String> {
        let none = || "none that can be read".to_string();
        let own = self.0.first().ok_or_else(none)?;
        let own = ParsedCertificate::try_from(own).map_err(|_| none())?;
        let name = ServerName::try_from(host).map_err(|_| none())?;
        match verify_server_name(&own, &name) {
            Ok(()) => Ok(()),
            Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                presented,
                ..
            })) if !presented.is_empty() => {
                // `DnsName("mx.example.com")`
                let name = |shown: &String| shown.split('"').nth(1).unwrap_or(shown).to_string();
                let names: Vec<String> =
                    presented.iter().take(limits::NAMES_TOLD).map(name).collect();
                Err(names.join(", "))
            }
            Err(_) => Err(none()),
        }
    }
}

/// What a sender who checks would not like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ChainFault {
    Expired(Timestamp),
    /// It is for these.
    OtherName(String),
    /// No authority of the system vouches for it.
    Untrusted(String),
    /// The system has no authorities, so it cannot be known.
    NobodyIsTrusted,
}

impl std::fmt::Display for ChainFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Expired(end) => write!(f, "it expired at {end}"),
            Self::OtherName(names) => write!(f, "it is for other names ({names})"),
            Self::NobodyIsTrusted => f.write_str("this system knows no authorities to check it by"),
            Self::Untrusted(why) => {
                write!(f, "no authority that is known here vouches for it ({why})")
            }
        }
    }
}

fn plain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "unknown issuer: is the chain complete?".to_string()
        }
        // An end-entity certificate that signs itself.
        Error::InvalidCertificate(CertificateError::Other(why)) => why.to_string(),
        error => error.to_string(),
    }
}

fn handshake(error: &io::Error) -> NoTls {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(why) => NoTls::Failed(why.to_string()),
        None => NoTls::of(error),
    }
}

/// Takes every certificate, and still checks that the server has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
