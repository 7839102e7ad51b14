//! Certificates, a mail server whose answers are set, and a web server with one page.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sha2::{Digest, Sha256};

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub struct Identity {
    pub certificate: String,
    pub key: String,
    /// Of its public key, as a TLSA record `3 1 1` has it.
    pub key_digest: Vec<u8>,
    chain: Vec<CertificateDer<'static>>,
    private: Vec<u8>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.0.pem()).expect("scratch is writable");
    }

    /// The whole certificate of the authority, as `2 0 0` has it.
    pub fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// A certificate for a name, until a day.
    pub fn issue(&self, name: &str, until: (i32, u8, u8)) -> Identity {
        let mut params = CertificateParams::new([name.to_string()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        Identity {
            certificate: certificate.pem() + &self.0.pem(),
            key: key.serialize_pem(),
            key_digest: Sha256::digest(key.subject_public_key_info()).to_vec(),
            chain: vec![certificate.der().clone(), self.0.der().clone()],
            private: key.serialize_der(),
        }
    }
}

impl Identity {
    fn server(&self) -> Arc<ServerConfig> {
        let private = PrivateKeyDer::try_from(self.private.clone()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), private);
        Arc::new(config.expect("a pair"))
    }
}

/// How a mail server answers.
#[derive(Clone)]
pub struct MailServer {
    pub greeting: &'static str,
    pub tls: Option<Arc<ServerConfig>>,
    pub starttls: &'static str,
    pub null_sender: &'static str,
    pub postmaster: &'static str,
    pub stranger: &'static str,
}

impl MailServer {
    pub fn new(identity: Option<&Identity>) -> Self {
        Self {
            greeting: "220 mx ESMTP",
            tls: identity.map(Identity::server),
            starttls: "220 go on",
            null_sender: "250 ok",
            postmaster: "250 ok",
            stranger: "550 5.7.1 no relaying",
        }
    }

    /// Answers until the process ends.
    pub fn serve(self, listener: TcpListener) {
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = self.clone();
                std::thread::spawn(move || server.converse(stream));
            }
        });
    }

    fn converse(&self, mut stream: TcpStream) {
        if write!(stream, "{}\r\n", self.greeting).is_err() || !self.plain(&mut stream) {
            return;
        }
        let Some(tls) = &self.tls else { return };
        let connection = ServerConnection::new(Arc::clone(tls)).expect("a configuration");
        let mut stream = StreamOwned::new(connection, stream);
        while let Some(line) = line(&mut stream) {
            if write!(stream, "{}", self.answer(&line, false)).is_err() {
                return;
            }
        }
    }

    /// Until STARTTLS: then it is true.
    fn plain(&self, stream: &mut TcpStream) -> bool {
        while let Some(line) = line(stream) {
            if line == "STARTTLS" {
                return write!(stream, "{}\r\n", self.starttls).is_ok();
            }
            if write!(stream, "{}", self.answer(&line, self.tls.is_some())).is_err() {
                return false;
            }
        }
        false
    }

    fn answer(&self, line: &str, offer: bool) -> String {
        let reply = match line {
            line if line.starts_with("EHLO ") && offer => "250-mx\r\n250 STARTTLS",
            "MAIL FROM:<>" => self.null_sender,
            line if line.contains("postmaster@") && line.starts_with("RCPT") => self.postmaster,
            line if line.starts_with("RCPT") => self.stranger,
            _ => "250 ok",
        };
        format!("{reply}\r\n")
    }
}

/// A web server that has one page for everybody.
pub fn web(listener: TcpListener, identity: &Identity, page: &str) {
    let (tls, page) = (identity.server(), page.to_string());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&tls)).expect("a configuration");
            let mut stream = StreamOwned::new(connection, stream);
            let mut lines = BufReader::new(&mut stream);
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let length = page.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{page}"
            );
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
}

/// A port that is free on each of these addresses.
pub fn listeners(addresses: &[&str]) -> (u16, Vec<TcpListener>) {
    for _ in 0..100 {
        let first = TcpListener::bind((addresses[0], 0)).expect("a free port");
        let port = first.local_addr().expect("bound").port();
        let others = addresses[1..].iter().map(|one| TcpListener::bind((*one, port)));
        if let Ok(others) = others.collect::<Result<Vec<_>, _>>() {
            return (port, std::iter::once(first).chain(others).collect());
        }
    }
    panic!("no port is free on {addresses:?}");
}

fn line(stream: &mut impl Read) -> Option<String> {
    let mut line = Vec::new();
    loop {
        let mut octet = [0];
        stream.read_exact(&mut octet).ok()?;
        match octet {
            [b'\n'] => return Some(String::from_utf8_lossy(&line).trim_end().to_string()),
            [octet] => line.push(octet),
        }
    }
}
