//! What only real sockets show: caps, panics, shutdown, Unix sockets.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bounced::config::Listen;
use bounced::serve::admission::Admission;
use bounced::serve::socket::Listener;
use bounced::smtp::{Dialect, Observer, Outcome, Rejection, SessionSettings};

use crate::wire::{Client, Server, TlsFiles};

/// Remembers how connections ended.
#[derive(Default)]
struct Ends(Mutex<Vec<Outcome>>, Mutex<Vec<Rejection>>, std::sync::Condvar);

impl Observer for Ends {
    fn closed(&self, _: Dialect, outcome: Outcome, _: Duration) {
        self.0.lock().unwrap().push(outcome);
        self.2.notify_all();
    }

    fn rejected(&self, reason: Rejection) {
        self.1.lock().unwrap().push(reason);
    }
}

impl Ends {
    /// Waits for so many connections to end.
    fn wait(&self, count: usize) -> Vec<Outcome> {
        let ends = self.0.lock().unwrap();
        self.2.wait_while(ends, |ends| ends.len() < count).unwrap().clone()
    }
}

fn server(max: usize, per_ip: usize) -> (Server, Arc<Ends>) {
    let ends = Arc::new(Ends::default());
    let mut service = SessionSettings::new("mx.example.com", Dialect::Smtp);
    service.observer = Arc::clone(&ends) as Arc<dyn Observer>;
    (Server::start(service, None, &TlsFiles::new(), Admission::new(max, per_ip)), ends)
}

fn open(server: &Server) -> Client {
    let mut client = Client::connect(server.address);
    assert_eq!(client.reply().as_deref(), Some("220 mx.example.com ESMTP bounced"));
    client
}

#[test]
fn connections_over_a_cap_hear_421_and_the_place_is_given_back() {
    for (max, per_ip, reply, reason) in [
        (
            1,
            9,
            "421 4.7.0 too many connections, please try again later",
            Rejection::ConnectionLimit,
        ),
        (
            9,
            1,
            "421 4.7.0 too many connections from your address, please try again later",
            Rejection::ConnectionLimitPerIp,
        ),
    ] {
        let (server, ends) = server(max, per_ip);
        let mut first = open(&server);
        let mut second = Client::connect(server.address);
        assert_eq!(second.reply().as_deref(), Some(reply));
        assert_eq!(second.reply(), None);
        assert_eq!(first.command("QUIT"), "221 2.0.0 bye");
        assert_eq!(ends.wait(2), [Outcome::RefusedLimit, Outcome::Ok]);
        assert_eq!(*ends.1.lock().unwrap(), [reason]);
        // The end is reported just before the place is free.
        while server.admission.open() > 0 {
            std::thread::yield_now();
        }
        assert_eq!(open(&server).command("NOOP"), "250 2.0.0 ok");
    }
}

#[test]
fn a_panic_ends_its_session_and_no_other() {
    let (server, ends) = server(9, 9);
    let (mut good, mut bad) = (open(&server), open(&server));
    for client in [&mut good, &mut bad] {
        client.command("EHLO a.example");
        client.command("MAIL FROM:<>");
        client.command("RCPT TO:<a@b.example>");
        assert!(client.command("DATA").starts_with("354"));
    }
    bad.send(b"Subject: panic\r\n.\r\n");
    assert_eq!(bad.reply(), None);
    assert_eq!(ends.wait(1), [Outcome::Panic]);
    good.send(b"x\r\n.\r\n");
    assert_eq!(good.reply().as_deref(), Some("250 2.0.0 stored 1"));
}

#[test]
fn shutdown_waits_for_the_running_transaction() {
    let (mut server, ends) = server(9, 9);
    let mut client = open(&server);
    let mut idle = open(&server);
    client.command("EHLO a.example");
    client.command("MAIL FROM:<>");
    client.command("RCPT TO:<a@b.example>");
    client.command("DATA");
    server.stop();
    assert_eq!(idle.reply().as_deref(), Some("421 4.3.2 service is shutting down"));
    client.send(b"x\r\n.\r\n");
    assert_eq!(client.reply().as_deref(), Some("250 2.0.0 stored 1"));
    assert_eq!(client.reply().as_deref(), Some("421 4.3.2 service is shutting down"));
    server.join();
    assert_eq!(ends.wait(2), [Outcome::Shutdown, Outcome::Shutdown]);
    assert!(std::net::TcpStream::connect(server.address).is_err(), "nobody listens any more");
}

#[test]
fn many_pipelined_messages_in_one_write() {
    let (server, _) = server(9, 9);
    let mut client = open(&server);
    client.command("EHLO a.example");
    let body = "0123456789\r\n".repeat(8000);
    for n in 1..=5 {
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
        for code in ["250", "250", "354"] {
            assert_eq!(client.reply().unwrap().get(..3), Some(code));
        }
        client.send(format!("{body}.\r\n").as_bytes());
        assert_eq!(client.reply(), Some(format!("250 2.0.0 stored {n}")));
    }
    assert!(server.messages().iter().all(|message| *message == body.as_bytes()));
}

#[test]
fn unix_sockets_replace_a_stale_file_but_no_living_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lmtp.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "std leaves the file behind");
    let service = SessionSettings::new("mx.example.com", Dialect::Lmtp);
    let listen = Listen::Unix(path.clone());
    let mut server =
        Server::start_on(&listen, service, None, &TlsFiles::new(), Admission::new(9, 9));
    assert!(server.enter(|| Listener::bind(&listen)).is_err(), "a living socket is not replaced");
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n").unwrap();
    let mut heard = Vec::new();
    let mut piece = [0; 1000];
    while !heard.ends_with(b"<CR><LF>.<CR><LF>\r\n") {
        let read = client.read(&mut piece).unwrap();
        assert!(read > 0);
        heard.extend_from_slice(&piece[..read]);
    }
    client.write_all(b"x\r\n.\r\nQUIT\r\n").unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "250 2.0.0 stored 1\r\n221 2.0.0 bye\r\n");
    server.stop();
    server.join();
    assert!(!path.exists(), "the file goes with the service");
}
