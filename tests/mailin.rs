//! Why the wire is our own: faults of mailin-embedded 0.8.3, measured on a running server.
//!
//! In November 2026 the obvious package was tried first. It could not receive a single bounce,
//! because every bounce has the null reverse-path and it answers `MAIL FROM:<>` with 500; and it
//! took LF `.` CRLF for the end of DATA, so that whoever could place text in a message could
//! place a second message behind it (CVE-2023-51764 and its kin). When one of these tests fails,
//! upstream has mended something: read docs/architecture.md, "Why not mailin-embedded", again, and correct it.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mailin_embedded::response::OK;
use mailin_embedded::{Handler, Response, Server, SslConfig};

#[derive(Clone)]
struct Count(Arc<AtomicUsize>);

impl Handler for Count {
    fn data(&mut self, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        self.0.fetch_add(1, Ordering::SeqCst);
        OK
    }
}

/// A server on a thread that ends with the process, for it has no other end.
fn start() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stored = Arc::new(AtomicUsize::new(0));
    let handler = Count(Arc::clone(&stored));
    std::thread::spawn(move || {
        let mut server = Server::new(handler);
        server.with_name("mx.example.com").with_tcp_listener(listener);
        server.with_ssl(SslConfig::None).unwrap();
        server.serve().unwrap();
    });
    (address, stored)
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        // Only so that a failing test ends.
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut client = Self(BufReader::new(socket));
        assert!(client.reply().starts_with("220"));
        assert!(client.say("EHLO a.example\r\n").starts_with("250"));
        client
    }

    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if line.get(3..4) != Some("-") {
                return line;
            }
        }
    }

    fn say(&mut self, text: &str) -> String {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
        self.reply()
    }
}

#[test]
fn it_refuses_the_reverse_path_of_every_bounce() {
    let (address, _) = start();
    let rows = [
        ("MAIL FROM:<>\r\n", "500"),
        ("MAIL FROM:<a@b.example> SIZE=100\r\n", "500"),
        ("MAIL FROM:<a@b.example>\r\n", "250"), // the server as such works
    ];
    for (command, code) in rows {
        let reply = Client::connect(address).say(command);
        assert!(reply.starts_with(code), "{command:?} got {reply:?}: mailin-embedded has changed");
    }
}

#[test]
fn it_takes_lf_dot_crlf_for_the_end_of_data() {
    let (address, stored) = start();
    let mut client = Client::connect(address);
    assert!(client.say("MAIL FROM:<a@b.example>\r\n").starts_with("250"));
    assert!(client.say("RCPT TO:<c@d.example>\r\n").starts_with("250"));
    assert!(client.say("DATA\r\n").starts_with("354"));
    let smuggled = "outer\n.\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<v@d.example>\r\nDATA\r\n\
                    smuggled\r\n.\r\nQUIT\r\n";
    let first = client.say(smuggled);
    let rest: Vec<String> = (0..5).map(|_| client.reply()).collect();
    let codes: Vec<_> = rest.iter().map(|reply| reply.get(..3).unwrap_or_default()).collect();
    assert!(first.starts_with("250"), "{first}: mailin-embedded has changed");
    assert_eq!(codes, ["250", "250", "354", "250", "221"], "mailin-embedded has changed");
    assert_eq!(stored.load(Ordering::SeqCst), 2, "one message was sent, two were stored");
}
