//! Listeners of the real binary: behind load balancers that speak the PROXY protocol, handed over by
//! systemd, and what systemd hears.

mod service;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use service::Service;

/// Takes the greeting and delivers a report; gives the reply to the message.
fn deliver_on(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
    let mut reply = || loop {
        let line = lines.next().expect("a reply").expect("octets");
        if line.as_bytes().get(3) == Some(&b' ') {
            return line;
        }
    };
    assert!(reply().starts_with("220 "));
    let mut last = String::new();
    for command in [
        "HELO client.example\r\n",
        "MAIL FROM:<>\r\n",
        "RCPT TO:<bounces+user=example.com@bounce.example.test>\r\n",
        "DATA\r\n",
        "Subject: Undelivered\r\n\r\nnothing to read here\r\n.\r\n",
    ] {
        stream.write_all(command.as_bytes()).expect("writes");
        last = reply();
    }
    last
}

#[test]
fn a_client_behind_a_proxy_counts_as_itself() {
    let mut service = Service::new("proxy_from = [\"127.0.0.0/8\"]\n");
    let config = std::fs::read_to_string(service.config()).expect("written");
    let config = config.replace("[smtp]\n", "[smtp]\nproxy_from = [\"127.0.0.1\"]\n");
    std::fs::write(service.config(), config).expect("writable");
    service.start();
    let connect = |port: u16| TcpStream::connect(("127.0.0.1", port)).expect("connects");

    let mut stream = connect(service.smtp);
    stream.write_all(b"PROXY TCP4 192.0.2.77 192.0.2.1 4711 25\r\n").expect("writes");
    assert!(deliver_on(stream).starts_with("250 2.0.0 stored"));
    let (status, events) = service.get("/v1/events?from=2").expect("answers");
    assert!(status == 200 && events.contains("\"peer\":\"192.0.2.77\""), "{events}");

    // Without a header nobody is greeted: who it is would be a guess.
    let mut stream = connect(service.smtp);
    stream.write_all(b"EHLO client.example\r\n").expect("writes");
    let mut heard = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut heard);
    assert_eq!(String::from_utf8_lossy(&heard), "");

    // The lookup port has networks of its own; version 2, LOCAL: the proxy speaks for itself.
    let mut stream = connect(service.lookup);
    stream.write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0get nobody@example.org\n").expect("writes");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("a reply");
    assert!(line.starts_with("500 "), "{line}");
    assert_eq!(service.stop("-TERM"), Some(0));
}

/// Starts the service with a listener that is open already, as systemd does it: as descriptor 3,
/// with the process id of the service in the environment.
fn handed_over(service: &Service, listener: &TcpListener, notify: &std::path::Path) -> Child {
    let listener = OwnedFd::from(listener.try_clone().expect("a second handle"));
    Command::new("sh")
        .args(["-c", "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_bounced"))
        .args(["--config".as_ref(), service.config().as_os_str(), "serve".as_ref()])
        .env("NOTIFY_SOCKET", notify)
        .env("BOUNCED_LOG", "error")
        .stdin(Stdio::from(listener))
        .stderr(Stdio::null())
        .spawn()
        .expect("sh is there")
}

/// What systemd is told next, but for the watchdog.
fn message(socket: &UnixDatagram) -> String {
    let mut octets = [0; 4096];
    loop {
        let length = socket.recv(&mut octets).expect("a message within the timeout");
        let text = String::from_utf8_lossy(octets.get(..length).expect("as long")).into_owned();
        if text.trim() != "WATCHDOG=1" {
            return text;
        }
    }
}

#[test]
fn a_restart_refuses_no_connection_when_systemd_holds_the_socket() {
    let service = Service::new("");
    let listener = TcpListener::bind(("127.0.0.1", service.smtp)).expect("the port is free");
    let notify = service.dir.path().join("notify");
    let socket = UnixDatagram::bind(&notify).expect("binds");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    for _ in 0..3 {
        let mut child = handed_over(&service, &listener, &notify);
        // Before it is ready the kernel holds the connection for it.
        let early = TcpStream::connect(("127.0.0.1", service.smtp)).expect("not refused");
        assert_eq!(message(&socket).trim(), "READY=1");
        assert!(deliver_on(early).starts_with("250 2.0.0 stored"));
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
        assert_eq!(message(&socket).trim(), "STOPPING=1");
        let end = Instant::now() + Duration::from_secs(60);
        let ended = loop {
            match child.try_wait().expect("ours") {
                Some(ended) => break ended,
                None if Instant::now() > end => panic!("it does not end"),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        assert_eq!(ended.code(), Some(0));
    }
}
