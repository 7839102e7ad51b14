//! One POST to one endpoint over HTTP/1.1: the name is resolved, the addresses are looked at
//! (`network.rs`), TLS is checked against the system's authorities, no redirect is followed.
//! Connections stay open between deliveries.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::message::{WebhookMessage, signature};
use super::network::may_connect;
use crate::config::Webhook;
use crate::ledger::lock::lock;
use crate::mail::Timestamp;
use crate::serve::limits;

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// 2xx.
    Delivered(u16),
    /// Not now, or not this.
    Failed {
        /// What it answered, if it did.
        status: Option<u16>,
        /// For a person.
        why: String,
        /// When it wants to hear from us again.
        retry_after: Option<Duration>,
    },
    /// 410: it wants nothing more.
    Gone,
}

/// Connections to one endpoint.
pub struct Client {
    endpoint: Arc<Webhook>,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    idle: Mutex<Vec<SendRequest<Body>>>,
}

impl Client {
    /// A client; the error is a sentence for the operator.
    pub fn new(endpoint: Arc<Webhook>) -> Result<Self, String> {
        let url = &endpoint.url;
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        // As it is written in the DNS.
        let host = match host.parse::<std::net::IpAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => idna::domain_to_ascii(host)
                .map_err(|_| format!("the webhook \"{}\": {host} is no name", endpoint.name))?,
        };
        let encrypted = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let tls = match encrypted {
            false => None,
            true => {
                let name = ServerName::try_from(host.clone())
                    .map_err(|why| format!("the webhook \"{}\": {host}: {why}", endpoint.name))?;
                let config = trusting(endpoint.ca_file.as_deref())
                    .map_err(|why| format!("the webhook \"{}\": {why}", endpoint.name))?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
        };
        Ok(Self { endpoint, host, port, tls, idle: Mutex::default() })
    }

    /// Sends a message once.
    pub async fn post(&self, message: &WebhookMessage) -> AttemptOutcome {
        match tokio::time::timeout(limits::WEBHOOK_ANSWER, self.exchange(message)).await {
            Ok(Ok(answer)) => outcome(&answer),
            Ok(Err(why)) => AttemptOutcome::Failed { status: None, why, retry_after: None },
            Err(_) => {
                let seconds = limits::WEBHOOK_ANSWER.as_secs();
                let why = format!("no answer within {seconds} s");
                AttemptOutcome::Failed { status: None, why, retry_after: None }
            }
        }
    }

    async fn exchange(&self, message: &WebhookMessage) -> Result<Response<()>, String> {
        let now = Timestamp::now().millis().div_euclid(1000);
        while let Some(mut kept) = self.take_idle() {
            if kept.ready().await.is_err() {
                continue;
            }
            let request = self.request(message, now)?;
            // The other side may close an old connection at any time: another try on a new one is no
            // attempt of its own.
            if let Ok(answer) = kept.send_request(request).await {
                return self.read(answer, kept).await;
            }
        }
        let mut fresh = self.connect().await?;
        let request = self.request(message, now)?;
        let answer = fresh.send_request(request).await.map_err(|why| said(&why))?;
        self.read(answer, fresh).await
    }

    fn take_idle(&self) -> Option<SendRequest<Body>> {
        lock(&self.idle).pop()
    }

    /// Reads the body to its end, so that the connection can be used again.
    async fn read(
        &self,
        answer: Response<Incoming>,
        connection: SendRequest<Body>,
    ) -> Result<Response<()>, String> {
        let (parts, body) = answer.into_parts();
        let read = axum::body::to_bytes(Body::new(body), limits::WEBHOOK_ANSWER_OCTETS).await;
        // One that talks without end is closed, and its status counts all the same.
        if read.is_ok() {
            let mut idle = lock(&self.idle);
            if idle.len() < limits::WEBHOOKS_IN_FLIGHT {
                idle.push(connection);
            }
        }
        Ok(Response::from_parts(parts, ()))
    }

    fn request(&self, message: &WebhookMessage, now: i64) -> Result<Request<Body>, String> {
        let target = self.endpoint.url.path_and_query().map_or("/", |target| target.as_str());
        let mut request = Request::post(target)
            .header(header::HOST, host_header(&self.endpoint.url))
            .header(header::USER_AGENT, concat!("bounced/", env!("CARGO_PKG_VERSION")))
            .header(header::CONTENT_TYPE, message.content_type)
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", now);
        let signature = signature(&self.endpoint.secrets, message, now);
        if !signature.is_empty() {
            request = request.header("webhook-signature", signature);
        }
        if let Some(user) = &self.endpoint.basic_auth {
            let told = data_encoding::BASE64.encode(user.as_bytes());
            request = request.header(header::AUTHORIZATION, format!("Basic {told}"));
        }
        request.body(Body::from(Bytes::clone(&message.body))).map_err(|why| why.to_string())
    }

    async fn connect(&self) -> Result<SendRequest<Body>, String> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found = found.map_err(|why| format!("the name of the host: {why}"))?;
        let allowed = permitted(found, &self.endpoint.allow_networks, self.tls.is_some())?;
        let mut why = "the name has no address".to_string();
        for address in allowed {
            let connecting = TcpStream::connect(address);
            match tokio::time::timeout(limits::WEBHOOK_CONNECT, connecting).await {
                Ok(Ok(stream)) => return self.greet(stream).await,
                Ok(Err(error)) => why = format!("connecting to {address}: {error}"),
                Err(_) => why = format!("connecting to {address}: no answer"),
            }
        }
        Err(why)
    }

    async fn greet(&self, stream: TcpStream) -> Result<SendRequest<Body>, String> {
        // Small requests must not wait for each other; without it they are only slower.
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => begin(stream).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await;
                begin(stream.map_err(|why| format!("TLS: {why}"))?).await
            }
        }
    }
}

async fn begin<S>(stream: S) -> Result<SendRequest<Body>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|why| said(&why))?;
    // It ends when the sender is dropped, or the other side closes.
    tokio::spawn(connection);
    Ok(sender)
}

/// The addresses that may be connected to; if there is none, why.
fn permitted(
    found: impl Iterator<Item = SocketAddr>,
    allowed: &[IpNet],
    encrypted: bool,
) -> Result<Vec<SocketAddr>, String> {
    let (may, not): (Vec<_>, Vec<_>) =
        found.partition(|address| may_connect(address.ip(), allowed, encrypted));
    match (may.is_empty(), not.first(), encrypted) {
        (false, ..) => Ok(may),
        (true, Some(refused), true) => Err(format!(
            "{} is no address of the internet: name its network in allow_networks",
            refused.ip()
        )),
        (true, Some(refused), false) => Err(format!(
            "plain http goes to allow_networks only, and {} is in none: write https",
            refused.ip()
        )),
        (true, None, _) => Err("the name has no address".to_string()),
    }
}

fn host_header(url: &Uri) -> String {
    url.authority().map(|authority| authority.as_str().to_string()).unwrap_or_default()
}

/// A client's TLS: the authorities of the system, and those of a file.
fn trusting(file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = file {
        let shown = file.display();
        let wrong = |why: String| format!("ca_file {shown} {why}, give a PEM file of authorities");
        let certificates = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|why| wrong(format!("cannot be read ({why})")))?;
        if certificates.is_empty() {
            return Err(wrong("holds no certificate".to_string()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|why| wrong(format!("cannot be used ({why})")))?;
        }
    }
    if roots.is_empty() {
        return Err(
            "this system has no certificate authorities: install ca-certificates, or name \
                    a ca_file"
                .to_string(),
        );
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn outcome(answer: &Response<()>) -> AttemptOutcome {
    let status = answer.status();
    let retry_after = answer.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|text| text.to_str().ok()?.trim().parse().ok());
    let why = match status.as_u16() {
        200..=299 => return AttemptOutcome::Delivered(status.as_u16()),
        410 => return AttemptOutcome::Gone,
        code @ 300..=399 => format!("it answered {code}, and redirects are not followed"),
        code => format!("it answered {code}"),
    };
    let longest = limits::WEBHOOK_LONGEST_RETRY_AFTER;
    AttemptOutcome::Failed {
        status: Some(status.as_u16()),
        why,
        retry_after: retry_after.map(|seconds| Duration::from_secs(seconds).min(longest)),
    }
}

/// An error of hyper with what it came of.
fn said(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_looked_at_after_its_name_was_resolved() {
        let found = |addresses: &[&str]| {
            let addresses: Vec<SocketAddr> =
                addresses.iter().map(|a| a.parse().expect("an address")).collect();
            addresses.into_iter()
        };
        let allowed: Vec<IpNet> = vec!["10.0.0.0/8".parse().expect("a network")];
        let both = permitted(found(&["127.0.0.1:443", "8.8.8.8:443"]), &[], true).expect("one may");
        assert_eq!(both, ["8.8.8.8:443".parse().expect("an address")]);
        let why = permitted(found(&["169.254.169.254:80"]), &allowed, true).expect_err("none may");
        assert!(why.contains("169.254.169.254 is no address of the internet"), "{why}");
        let why = permitted(found(&["8.8.8.8:80"]), &allowed, false).expect_err("in clear");
        assert!(why.contains("plain http"), "{why}");
        assert!(permitted(found(&["10.1.1.1:80"]), &allowed, false).is_ok());
        assert!(permitted(found(&[]), &allowed, true).is_err());
    }

    #[test]
    fn answers_are_read_by_their_status() {
        let answer = |status: u16, wait: Option<&str>| {
            let mut answer = Response::builder().status(status);
            if let Some(wait) = wait {
                answer = answer.header(header::RETRY_AFTER, wait);
            }
            outcome(&answer.body(()).expect("plain"))
        };
        assert_eq!(answer(204, None), AttemptOutcome::Delivered(204));
        assert_eq!(answer(410, None), AttemptOutcome::Gone);
        for (status, wait, expected) in [
            (302, None, None),
            (429, Some("7"), Some(Duration::from_secs(7))),
            (503, Some("99999999"), Some(Duration::from_secs(86_400))),
            (503, Some("Fri, 27 Nov 2026 00:00:00 GMT"), None),
        ] {
            let AttemptOutcome::Failed { status: said, retry_after, .. } = answer(status, wait)
            else {
                panic!("{status} is no success");
            };
            assert_eq!((said, retry_after), (Some(status), expected));
        }
    }
}
