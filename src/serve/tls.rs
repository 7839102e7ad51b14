//! Certificates: loaded from PEM files, checked, and replaced while we run
//! (docs/interface.md, "Configuration").
//!
//! Promises: TLS 1.2 and 1.3 only, with ring; a pair that cannot be used is refused with a
//! sentence that says what to do; on reload the old pair stays when the new one is bad; an expired
//! certificate is a warning, because senders of bounces hardly ever check it and refusing to
//! start would lose their mail.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::certificate;
use crate::mail::Timestamp;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; give a PEM file that this user may read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not PEM.
    #[error(
        "{path} is not valid PEM ({reason}); give the file that the certificate authority made"
    )]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The certificate file holds none.
    #[error("{path} holds no certificate; give fullchain.pem here, not the key")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key file holds none.
    #[error("{path} holds no private key; give an unencrypted PEM key (privkey.pem)")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// They are not a pair.
    #[error(
        "the key in {key} does not belong to the first certificate in {cert}; \
         give a pair, with the server's own certificate first"
    )]
    Mismatch {
        /// Certificate file.
        cert: PathBuf,
        /// Key file.
        key: PathBuf,
    },
    /// rustls does not take them.
    #[error("the certificate in {cert} or the key in {key} cannot be used: {reason}")]
    Unusable {
        /// Certificate file.
        cert: PathBuf,
        /// Key file.
        key: PathBuf,
        /// Why.
        reason: String,
    },
}

impl TlsError {
    /// Whether the file of the key is to blame, or the certificate's.
    pub fn is_of_key(&self, key_file: &Path) -> bool {
        match self {
            Self::Read { path, .. } | Self::Pem { path, .. } => path == key_file,
            Self::NoKey { .. } | Self::Mismatch { .. } => true,
            Self::NoCertificate { .. } | Self::Unusable { .. } => false,
        }
    }
}

struct LoadedCertificate {
    config: Arc<ServerConfig>,
    expires: Option<Timestamp>,
}

/// A certificate and key in use, and where they came from.
pub struct ReloadableTls {
    cert: PathBuf,
    key: PathBuf,
    loaded: ArcSwap<LoadedCertificate>,
}

impl ReloadableTls {
    /// Loads and checks a pair.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let loaded = ArcSwap::from_pointee(read(cert, key)?);
        Ok(Self { cert: cert.to_path_buf(), key: key.to_path_buf(), loaded })
    }

    /// Loads the pair again; on error the old one stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.loaded.store(Arc::new(read(&self.cert, &self.key)?));
        Ok(())
    }

    /// For the next handshake.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.loaded.load().config))
    }

    /// The end of the server certificate's validity, when it can be read.
    pub fn expires(&self) -> Option<Timestamp> {
        self.loaded.load().expires
    }

    /// What the operator should know although it does not stop us.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        const SOON_DAYS: i64 = 7;
        let expires = self.expires()?;
        let path = self.cert.display();
        if expires <= now {
            Some(format!("the certificate in {path} expired at {expires}; renew it"))
        } else if expires <= now.plus_days(SOON_DAYS) {
            Some(format!("the certificate in {path} expires at {expires}; renew it soon"))
        } else {
            None
        }
    }
}

fn read(cert: &Path, key: &Path) -> Result<LoadedCertificate, TlsError> {
    let file = |path: &Path| {
        std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_path_buf(), source })
    };
    let pem = |path: &Path, reason: rustls::pki_types::pem::Error| TlsError::Pem {
        path: path.to_path_buf(),
        reason: reason.to_string(),
    };
    let chain = CertificateDer::pem_slice_iter(&file(cert)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|reason| pem(cert, reason))?;
    let Some(expires) = chain.first().map(|own| certificate::expiry(own)) else {
        return Err(TlsError::NoCertificate { path: cert.to_path_buf() });
    };
    let private = PrivateKeyDer::from_pem_slice(&file(key)?).map_err(|reason| match reason {
        rustls::pki_types::pem::Error::NoItemsFound => TlsError::NoKey { path: key.to_path_buf() },
        reason => pem(key, reason),
    })?;
    // Named, not the process default: mailin-embedded (tests) brings a second provider.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (cert, key) = (cert.to_path_buf(), key.to_path_buf());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(chain, private));
    match config {
        Ok(config) => Ok(LoadedCertificate { config: Arc::new(config), expires }),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch { cert, key }),
        Err(reason) => Err(TlsError::Unusable { cert, key, reason: reason.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(expires: Option<(i32, u8, u8)>) -> (String, String) {
        let mut params = rcgen::CertificateParams::new(["mx.example.com".to_string()]).unwrap();
        if let Some((year, month, day)) = expires {
            params.not_after = rcgen::date_time_ymd(year, month, day);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn pairs_that_cannot_be_used_say_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let ((cert, key), (_, other_key)) = (pair(None), pair(None));
        let damaged = cert.replace("-----END", "!!!!\n-----END");
        for (name, text) in [
            ("cert", &cert),
            ("key", &key),
            ("other", &other_key),
            ("empty", &String::new()),
            ("damaged", &damaged),
        ] {
            std::fs::write(path(name), text).unwrap();
        }
        let rows = [
            ("cert", "key", ""),
            ("none", "key", "cannot read"),
            ("cert", "none", "cannot read"),
            ("empty", "key", "holds no certificate"),
            ("key", "key", "holds no certificate"),
            ("damaged", "key", "is not valid PEM"),
            ("cert", "cert", "holds no private key"),
            ("cert", "empty", "holds no private key"),
            ("cert", "other", "does not belong to the first certificate"),
        ];
        for (cert, key, wanted) in rows {
            let got = ReloadableTls::load(&path(cert), &path(key)).err();
            let got = got.map(|e| e.to_string()).unwrap_or_default();
            assert!(
                got.contains(wanted) && got.is_empty() == wanted.is_empty(),
                "{cert} {key}: {got}"
            );
        }
    }

    #[test]
    fn a_bad_new_pair_leaves_the_old_one_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert"), dir.path().join("key"));
        let write = |(c, k): (String, String)| {
            std::fs::write(&cert, c).unwrap();
            std::fs::write(&key, k).unwrap();
        };
        write(pair(Some((2027, 1, 2))));
        let tls = ReloadableTls::load(&cert, &key).unwrap();
        let old = tls.expires().unwrap();
        std::fs::write(&key, pair(None).1).unwrap();
        assert!(matches!(tls.reload(), Err(TlsError::Mismatch { .. })));
        assert_eq!(tls.expires(), Some(old));
        write(pair(Some((2028, 1, 2))));
        tls.reload().unwrap();
        assert_ne!(tls.expires(), Some(old));
    }

    #[test]
    fn expiry_is_read_in_both_spellings_and_warned_of() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert"), dir.path().join("key"));
        let day = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        let rows = [
            ((2020, 3, 4), "2020-03-04", Some("expired")),
            ((2026, 6, 10), "2026-06-10", Some("expires")),
            ((2049, 12, 31), "2049-12-31", None), // the last UTCTime
            ((2050, 1, 1), "2050-01-01", None),   // GeneralizedTime
        ];
        for (ymd, text, warning) in rows {
            let (c, k) = pair(Some(ymd));
            std::fs::write(&cert, c).unwrap();
            std::fs::write(&key, k).unwrap();
            let tls = ReloadableTls::load(&cert, &key).unwrap();
            assert_eq!(tls.expires(), Some(day(text)));
            let got = tls.warning(day("2026-06-05"));
            assert_eq!(got.is_some(), warning.is_some(), "{text}: {got:?}");
            assert!(got.unwrap_or_default().contains(warning.unwrap_or_default()));
        }
    }
}
