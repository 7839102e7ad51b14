//! TLS to the engine, by the rustls that the listeners use: chain and name are always verified.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

/// Makes TLS sessions, or none.
#[derive(Clone)]
pub(super) struct Tls(Option<Arc<ClientConfig>>);

impl Tls {
    /// No TLS; whoever wants one gets an error.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Servers must have a certificate of one of the authorities in a PEM file.
    pub(super) fn verified_by(file: &Path) -> Result<Self, String> {
        let shown = file.display();
        let unreadable =
            |error: &dyn std::fmt::Display| format!("sslrootcert {shown} cannot be read: {error}");
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(file).map_err(|e| unreadable(&e))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|e| unreadable(&e))?;
            roots.add(certificate).map_err(|e| unreadable(&e))?;
        }
        if roots.is_empty() {
            return Err(format!("sslrootcert {shown} holds no certificate"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Some(Arc::new(config))))
    }

    #[cfg(test)]
    pub(super) fn is_verified(&self) -> bool {
        self.0.is_some()
    }
}

/// One handshake to come.
pub(super) struct Handshake {
    config: Option<Arc<ClientConfig>>,
    name: Result<ServerName<'static>, String>,
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = TlsSession;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Handshake> {
        let name = ServerName::try_from(domain.to_string());
        let name = name.map_err(|_| format!("`{domain}` is no name that a certificate can have"));
        Ok(Handshake { config: self.0.clone(), name })
    }
}

impl TlsConnect<Socket> for Handshake {
    type Stream = TlsSession;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TlsSession>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let config = self.config.ok_or_else(|| io::Error::other("no TLS is configured"))?;
            let name = self.name.map_err(io::Error::other)?;
            let stream = tokio_rustls::TlsConnector::from(config).connect(name, socket).await?;
            Ok(TlsSession(Box::new(stream)))
        })
    }
}

/// A session over TLS.
pub(super) struct TlsSession(Box<tokio_rustls::client::TlsStream<Socket>>);

impl TlsStream for TlsSession {
    fn channel_binding(&self) -> ChannelBinding {
        // The certificate itself is verified.
        ChannelBinding::none()
    }
}

impl AsyncRead for TlsSession {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for TlsSession {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
