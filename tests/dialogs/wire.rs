//! What tests of the SMTP side share: a client on a real socket, with the real listener behind it.
#![allow(dead_code)] // each test uses its part

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bounced::config::Listen;
use bounced::serve::admission::{Admission, Peer};
use bounced::serve::driver::Receiver;
use bounced::serve::listener::Acceptor;
use bounced::serve::socket::Listener;
use bounced::serve::tls::ReloadableTls;
use bounced::smtp::{Acceptance, Delivery, SessionSettings};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// A certificate of our own in a folder that goes away.
pub struct TlsFiles {
    dir: tempfile::TempDir,
}

impl TlsFiles {
    /// Makes one for mx.example.com.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["mx.example.com".to_string()]).unwrap();
        std::fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { dir }
    }

    /// As the server uses it.
    pub fn load(&self) -> ReloadableTls {
        ReloadableTls::load(&self.dir.path().join("cert.pem"), &self.dir.path().join("key.pem"))
            .unwrap()
    }

    /// As a client trusts it.
    pub fn trust(&self) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        let file = self.dir.path().join("cert.pem");
        roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}

/// Keeps what it is given and answers the same each time.
struct Keep {
    messages: Arc<Mutex<Vec<Vec<u8>>>>,
    receipt: Option<Acceptance>,
}

impl Receiver for Keep {
    async fn receive(&self, delivery: Delivery, _: Peer) -> Vec<Acceptance> {
        assert!(!delivery.data.starts_with(b"Subject: panic"), "as the test asked");
        let mut messages = self.messages.lock().unwrap();
        messages.push(delivery.data);
        let id = messages.len().to_string();
        vec![self.receipt.clone().unwrap_or(Acceptance::Stored { id })]
    }
}

/// A server of its own.
pub struct Server {
    runtime: Option<Runtime>,
    /// Where it listens.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    messages: Arc<Mutex<Vec<Vec<u8>>>>,
    served: Option<tokio::task::JoinHandle<()>>,
    /// Its connections.
    pub admission: Arc<Admission>,
}

impl Server {
    /// Starts one on a free port of the loopback.
    pub fn start(
        service: SessionSettings,
        receipt: Option<Acceptance>,
        files: &TlsFiles,
        admission: Arc<Admission>,
    ) -> Self {
        let free = Listen::Tcp("127.0.0.1:0".parse().unwrap());
        Self::start_on(&free, service, receipt, files, admission)
    }

    /// Starts one there.
    pub fn start_on(
        listen: &Listen,
        service: SessionSettings,
        receipt: Option<Acceptance>,
        files: &TlsFiles,
        admission: Arc<Admission>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = watch::channel(false);
        let acceptor = Acceptor {
            tls: service.tls.then(|| Arc::new(files.load())),
            service: Arc::new(service),
            receiver: Arc::new(Keep { messages: Arc::clone(&messages), receipt }),
            admission: Arc::clone(&admission),
            stop: stopped,
            grace: Duration::from_secs(10),
        };
        let bound = runtime.block_on(async { Listener::bind(listen).unwrap() });
        let address = bound.tcp_address().unwrap_or(([127, 0, 0, 1], 0).into());
        let served = Some(runtime.spawn(acceptor.serve(bound)));
        Self { runtime: Some(runtime), address, stop, messages, served, admission }
    }

    /// Runs something where the sockets of tokio can be made.
    pub fn enter<T>(&self, run: impl FnOnce() -> T) -> T {
        let _inside = self.runtime.as_ref().unwrap().enter();
        run()
    }

    /// Tells it to shut down.
    pub fn stop(&self) {
        self.stop.send(true).unwrap();
    }

    /// Waits until it has shut down.
    pub fn join(&mut self) {
        let served = self.served.take().unwrap();
        self.runtime.as_ref().unwrap().block_on(served).unwrap();
    }

    /// The messages that it stored.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        self.messages.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

enum Socket {
    Plain(TcpStream),
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

/// A client.
pub struct Client {
    socket: Option<Socket>,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        // Only so that a failing test ends; no assertion depends on it.
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { socket: Some(Socket::Plain(socket)), buffer: Vec::new() }
    }

    /// Sends; the server may have closed already.
    pub fn send(&mut self, octets: &[u8]) {
        let _ = match self.socket.as_mut().unwrap() {
            Socket::Plain(socket) => socket.write_all(octets),
            Socket::Tls(socket) => socket.write_all(octets).and_then(|()| socket.flush()),
        };
    }

    fn fill(&mut self) -> usize {
        let mut piece = [0; 4096];
        let read = match self.socket.as_mut().unwrap() {
            Socket::Plain(socket) => socket.read(&mut piece),
            Socket::Tls(socket) => socket.read(&mut piece),
        };
        let read = match read {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("the server says nothing")
            }
            Err(_) => 0,
        };
        self.buffer.extend_from_slice(&piece[..read]);
        read
    }

    /// The next line; None at the end of the connection.
    pub fn reply(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_string());
            }
            if self.fill() == 0 {
                return None;
            }
        }
    }

    /// Sends a line and takes the last line of its reply.
    pub fn command(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        loop {
            let reply = self.reply().unwrap_or_default();
            if reply.get(3..4) != Some("-") {
                return reply;
            }
        }
    }

    /// Begins TLS.
    pub fn handshake(&mut self, trust: &Arc<rustls::ClientConfig>) {
        let Some(Socket::Plain(socket)) = self.socket.take() else { panic!("TLS twice") };
        let name = ServerName::try_from("mx.example.com").unwrap();
        let connection = rustls::ClientConnection::new(Arc::clone(trust), name).unwrap();
        self.socket = Some(Socket::Tls(Box::new(rustls::StreamOwned::new(connection, socket))));
    }

    /// Sends no more, and reads to the end.
    pub fn rest(&mut self) -> String {
        match self.socket.as_mut().unwrap() {
            Socket::Plain(socket) => drop(socket.shutdown(Shutdown::Write)),
            Socket::Tls(socket) => {
                socket.conn.send_close_notify();
                let _ = socket.flush();
                let _ = socket.sock.shutdown(Shutdown::Write);
            }
        }
        while self.fill() > 0 {}
        String::from_utf8(std::mem::take(&mut self.buffer)).unwrap()
    }
}

/// A server with one client.
pub struct Wire {
    server: Server,
    client: Client,
    trust: Arc<rustls::ClientConfig>,
}

impl Wire {
    /// Starts a server and connects.
    pub fn new(service: SessionSettings, receipt: Option<Acceptance>, files: &TlsFiles) -> Self {
        let server = Server::start(service, receipt, files, Admission::new(10, 10));
        let client = Client::connect(server.address);
        Self { server, client, trust: files.trust() }
    }

    /// Sends.
    pub fn send(&mut self, octets: &[u8]) {
        self.client.send(octets);
    }

    /// The next line.
    pub fn reply(&mut self) -> Option<String> {
        self.client.reply()
    }

    /// Stored messages.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        self.server.messages()
    }

    /// Begins TLS.
    pub fn handshake(&mut self) {
        self.client.handshake(&self.trust);
    }

    /// Tells the server to shut down.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Sends no more, and reads to the end.
    pub fn rest(&mut self) -> String {
        self.client.rest()
    }
}

/// `\r \n \t \0 \\ \xHH`, and `*N` at the end repeats what stands before.
pub fn unescape(text: &str) -> Vec<u8> {
    let (text, times) = match text.rsplit_once('*') {
        Some((text, n)) if n.parse::<usize>().is_ok() => (text, n.parse().unwrap()),
        _ => (text, 1),
    };
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        octets.push(match rest.next().expect("something stands behind a backslash") {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let hex = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
            }
            other => panic!("\\{} is no escape", char::from(other)),
        });
    }
    octets.repeat(times)
}

/// For messages of failing tests.
pub fn escape(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}
