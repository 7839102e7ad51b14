//! The lookup port over real sockets, and asked by a real `postmap` where there is one.

mod memory;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bounced::config::{Answers, Listen, SocketAccess};
use bounced::serve::lookup::Backend;
use bounced::serve::metrics::Metrics;
use bounced::serve::places::{Places, Room};
use bounced::serve::socket::Listener;
use bounced::serve::{limits, lookup};
use bounced::service::Operations;
use memory::Memory;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;

struct Port {
    address: std::net::SocketAddr,
    memory: Arc<Memory>,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
}

fn memory() -> Arc<Memory> {
    let memory = Memory::default();
    memory.put("gone@hard.test", "suppressed");
    memory.put("held@hard.test", "held");
    Arc::new(memory)
}

async fn start() -> Port {
    start_with(limits::LOOKUP_ROOM).await
}

async fn start_with(room: Room) -> Port {
    let (memory, metrics) = (memory(), Arc::new(Metrics::new("memory")));
    let listen = Listen::Tcp(([127, 0, 0, 1], 0).into());
    let listener = Listener::bind(&listen).expect("a free port");
    let address = listener.tcp_address().expect("TCP");
    let (stop, stopped) = watch::channel(false);
    let places = Places::new(room);
    let answers = Answers::default();
    let backend = Backend { service: memory.clone(), metrics: metrics.clone(), answers };
    tokio::spawn(lookup::serve(listener, backend, places, stopped));
    Port { address, memory, metrics, stop }
}

impl Port {
    /// Sends octets, closes that half as Exim does, and reads to the end.
    async fn ask(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("connects");
        stream.write_all(request).await.expect("sends");
        stream.shutdown().await.expect("half-closes");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("answers");
        reply
    }
}

fn netstring(text: &str) -> String {
    format!("{}:{text},", text.len())
}

#[tokio::test]
async fn each_protocol_gets_its_answer() {
    let port = start().await;
    let refuse = "550 5.1.1 address suppressed after hard bounce";
    let refuse = format!("{refuse} [bounced:suppressed]");
    let encoded = refuse.replace(' ', "%20");
    for (request, reply) in [
        (netstring("suppress gone@hard.test"), netstring(&format!("OK {refuse}"))),
        (netstring("suppress Gone@Hard.Test"), netstring(&format!("OK {refuse}"))),
        (netstring("transport gone@hard.test"), netstring(&format!("OK error:{}", &refuse[4..]))),
        (
            netstring("suppress held@hard.test"),
            netstring("OK 450 4.2.1 provider outage [bounced:held]"),
        ),
        (
            netstring("transport held@hard.test"),
            netstring("OK retry:4.2.1 provider outage [bounced:held]"),
        ),
        (netstring("explain gone@hard.test"), netstring("OK gone@hard.test is suppressed.")),
        (netstring("suppress fine@hard.test"), netstring("NOTFOUND ")),
        (netstring("transport *"), netstring("NOTFOUND ")),
        (netstring("transport hard.test"), netstring("NOTFOUND ")),
        // Looks like an address to the wire, but is none.
        (netstring("suppress per%40 cent\"q\"@hard.test"), netstring("NOTFOUND ")),
        ("get gone@hard.test\n".to_string(), format!("200 {encoded}\n")),
        (
            "get held@hard.test\n".to_string(),
            "200 450%204.2.1%20provider%20outage%20[bounced:held]\n".into(),
        ),
        ("get fine@hard.test\n".to_string(), "500 not%20suppressed\n".to_string()),
        ("gone@hard.test\n".to_string(), format!("200 {encoded}\n")),
        ("123@hard.test\n".to_string(), "500 not%20suppressed\n".to_string()),
        (
            "request=smtpd_access_policy\nsender=a@b.test\nrecipient=gone@hard.test\n\n".into(),
            format!("action={refuse}\n\n"),
        ),
        ("recipient=fine@hard.test\n\n".to_string(), "action=DUNNO\n\n".to_string()),
        ("recipient=\nrequest=smtpd_access_policy\n\n".into(), "action=DUNNO\n\n".into()),
    ] {
        assert_eq!(port.ask(request.as_bytes()).await, reply, "{request}");
    }
}

#[tokio::test]
async fn a_map_or_a_signed_sender_names_the_scope() {
    let port = start().await;
    let reason = "complained";
    port.memory.suppress("one@hard.test", "news", reason, None).expect("in memory");
    let map = |name: &str| netstring(&format!("{name} one@hard.test"));
    let policy = |sender: &str| format!("sender={sender}\nrecipient=one@hard.test\n\n");
    for (request, stops) in [
        (map("suppress.news"), true),
        (map("transport.news"), true),
        (map("suppress.marketing"), false),
        (map("transport.never.seen"), false),
        (policy("news=1@bounce.example.com"), true),
        (policy("marketing=1@bounce.example.com"), false),
        (policy("unsigned@bounce.example.com"), false),
        (policy(""), false),
    ] {
        let reply = port.ask(request.as_bytes()).await;
        assert_eq!(reply.contains("[bounced:suppressed]"), stops, "{request}: {reply}");
        assert_eq!(reply.contains("NOTFOUND") || reply.contains("DUNNO"), !stops, "{reply}");
    }
    let words = |name: &str| netstring(&format!("OK one@hard.test is {name}."));
    assert_eq!(port.ask(map("explain.news").as_bytes()).await, words("suppressed"));
    assert_eq!(port.ask(map("explain.marketing").as_bytes()).await, netstring("NOTFOUND "));
    assert_eq!(port.ask(map("explain").as_bytes()).await, words("clear"));
    assert!(port.ask(map("virtual.news").as_bytes()).await.contains("PERM "));
}

#[tokio::test]
async fn our_failure_is_never_not_found() {
    let port = start().await;
    port.memory.down.store(true, Ordering::Relaxed);
    for (request, reply) in [
        (netstring("suppress gone@hard.test"), netstring("TEMP the store is being rebuilt")),
        (netstring("transport fine@hard.test"), netstring("TEMP the store is being rebuilt")),
        (netstring("explain fine@hard.test"), netstring("TEMP the store is being rebuilt")),
        ("get fine@hard.test\n".into(), "400 the%20store%20is%20being%20rebuilt\n".into()),
        (
            "recipient=fine@hard.test\n\n".to_string(),
            "action=DEFER_IF_PERMIT the store is being rebuilt\n\n".to_string(),
        ),
    ] {
        assert_eq!(port.ask(request.as_bytes()).await, reply, "{request}");
    }
    let text = port.metrics.render();
    assert!(text.contains("bounced_lookups_total{protocol=\"tcp\",result=\"error\"} 1"), "{text}");
    assert!(!text.contains("bounced_lookups_total{protocol=\"tcp\",result=\"miss\"} 1"), "{text}");
}

#[tokio::test]
async fn pipelined_requests_come_back_in_order() {
    let port = start().await;
    let mut request = String::new();
    let mut expected = String::new();
    for n in 0..3000 {
        let (key, reply) = match n % 3 {
            0 => {
                let words = "200 550%205.1.1%20address%20suppressed%20after%20hard%20bounce";
                ("gone@hard.test", format!("{words}%20[bounced:suppressed]"))
            }
            1 => ("held@hard.test", "200 450%204.2.1%20provider%20outage%20[bounced:held]".into()),
            _ => ("fine@hard.test", "500 not%20suppressed".to_string()),
        };
        request.push_str(&format!("get {key}\n"));
        expected.push_str(&reply);
        expected.push('\n');
    }
    assert_eq!(port.ask(request.as_bytes()).await, expected);
    // In awkward pieces on one connection.
    let mut stream = TcpStream::connect(port.address).await.expect("connects");
    stream.set_nodelay(true).expect("no delay");
    for piece in request.as_bytes()[..2000].chunks(7) {
        stream.write_all(piece).await.expect("sends");
        tokio::task::yield_now().await;
    }
    stream.shutdown().await.expect("half-closes");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("answers");
    assert!(!reply.is_empty() && expected.starts_with(&reply), "{reply}");
    let hits = 1000 + reply.lines().filter(|line| line.starts_with("200 550")).count();
    let text = port.metrics.render();
    let line = format!("bounced_lookups_total{{protocol=\"tcp\",result=\"hit\"}} {hits}");
    assert!(text.contains(&line), "{line} in\n{text}");
}

#[tokio::test]
async fn junk_is_answered_and_closed() {
    let port = start().await;
    for (request, start) in [
        ("99999:".to_string(), "44:TEMP the request is longer than 10000 octets,"),
        ("5:abcde;".to_string(), "44:TEMP the netstring does not end with a comma,"),
        (netstring("virtual a@b.test"), "107:PERM "),
        (
            "get a@b.test\nlist\n".to_string(),
            "500 not%20suppressed\n400 expected%20get%20ADDRESS\n",
        ),
        ("put a@b.test x\n".to_string(), "500 read-only\n"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_string(), "400 expected%20get%20ADDRESS\n"),
        (format!("get {}", "a".repeat(20_000)), "400 the%20request%20is%20longer"),
        (format!("x={}", "y".repeat(20_000)), "action=DEFER_IF_PERMIT the request is longer"),
        ("12".to_string(), ""),
        (String::new(), ""),
    ] {
        let mut stream = TcpStream::connect(port.address).await.expect("connects");
        // The port may close before all of the junk is sent.
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        let reply = String::from_utf8_lossy(&reply).into_owned();
        // Unread junk makes the kernel reset the connection, and the reply may be lost.
        assert!(
            reply.starts_with(start) || (request.len() > 20_000 && reply.is_empty()),
            "{request:.40} {reply}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn slow_and_idle_clients_are_let_go() {
    let port = start().await;
    for (sent, seconds) in [
        (&b"22:suppress gone@h"[..], limits::LOOKUP_REQUEST),
        (b"get gone@hard.te", limits::LOOKUP_REQUEST),
        (b"", limits::LOOKUP_IDLE),
    ] {
        let mut stream = TcpStream::connect(port.address).await.expect("connects");
        stream.write_all(sent).await.expect("sends");
        let start = tokio::time::Instant::now();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.expect("is closed");
        assert!(reply.is_empty());
        // The paused clock may jump once before the octets are seen.
        let waited = start.elapsed();
        assert!(waited >= seconds && waited <= limits::LOOKUP_IDLE + seconds, "{waited:?}");
    }
    // A dribble does not extend the deadline of a request.
    let mut stream = TcpStream::connect(port.address).await.expect("connects");
    let start = tokio::time::Instant::now();
    let mut octets = 0;
    for octet in b"get gone@hard.test".iter().cycle() {
        if stream.write_all(&[*octet]).await.is_err() {
            break;
        }
        octets += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(octets <= 13, "{octets} octets in {:?}", start.elapsed());
}

#[tokio::test]
async fn unix_sockets_answer_too_and_stop_ends_everything() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let path = dir.path().join("lookup.sock");
    // Our own group can be given by everybody.
    let group = std::fs::metadata(dir.path()).expect("there").gid();
    let access = SocketAccess { mode: Some(0o660), group: Some(group) };
    let listener = Listener::bind_for(&Listen::Unix(path.clone()), access).expect("binds");
    let file = std::fs::metadata(&path).expect("there");
    assert_eq!((file.permissions().mode() & 0o777, file.gid()), (0o660, group));
    let (stop, stopped) = watch::channel(false);
    let metrics = Arc::new(Metrics::new("memory"));
    let places = Places::new(limits::LOOKUP_ROOM);
    let answers = Answers::default();
    let backend = Backend { service: memory(), metrics: metrics.clone(), answers };
    let serve = lookup::serve(listener, backend, places.clone(), stopped);
    let task = tokio::spawn(serve);
    let mut stream = UnixStream::connect(&path).await.expect("connects");
    stream.write_all(b"get gone@hard.test\n").await.expect("sends");
    let mut reply = [0; 8];
    stream.read_exact(&mut reply).await.expect("answers");
    assert_eq!(&reply, b"200 550%");
    assert_eq!(places.open(), 1);
    assert!(metrics.render().contains("bounced_lookup_connections 1\n"));
    stop.send_replace(true);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("is closed");
    task.await.expect("ends");
    assert!(!path.exists(), "the socket file is gone");
}

/// One question on a connection that stays open.
async fn question(stream: &mut TcpStream) -> std::io::Result<()> {
    let (asked, wanted) = (netstring("suppress fine@hard.test"), netstring("NOTFOUND "));
    stream.write_all(asked.as_bytes()).await?;
    let mut reply = vec![0; wanted.len()];
    stream.read_exact(&mut reply).await?;
    assert_eq!(reply, wanted.as_bytes());
    Ok(())
}

/// Thousands that connect and say nothing, or half a question, take no place from an MTA: not from
/// one that asks all the time, and not from one that comes now.
#[tokio::test]
async fn idle_connections_do_not_close_the_port() {
    let port = start_with(Room { most: 20, most_per_network: 20, reserved: 0 }).await;
    let mut postfix = TcpStream::connect(port.address).await.expect("connects");
    let mut silent = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(port.address).await.expect("connects");
        if n % 2 == 0 {
            stream.write_all(b"23:supp").await.expect("sends");
        }
        silent.push(stream);
        question(&mut postfix).await.expect("the MTA keeps its place");
        let mut new = TcpStream::connect(port.address).await.expect("connects");
        question(&mut new).await.expect("a new one finds a place");
    }
    // The first of them were sent away, the last ones still have their places.
    let mut heard = [0; 1];
    assert!(!matches!(silent[0].read(&mut heard).await, Ok(1..)));
    let metrics = port.metrics.render();
    let of = |reason: &str| {
        let name =
            format!("bounced_connections_refused_total{{port=\"lookup\",reason=\"{reason}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok())
    };
    assert_eq!(of("connection_limit"), Some(0), "nobody found the door shut");
    assert!(of("sent_away").is_some_and(|count| count > 100), "{metrics}");
}

#[tokio::test]
async fn stopping_closes_idle_connections() {
    let port = start().await;
    let mut stream = TcpStream::connect(port.address).await.expect("connects");
    stream.write_all(b"get fine@hard.test\n").await.expect("sends");
    let mut reply = [0; 21];
    stream.read_exact(&mut reply).await.expect("answers");
    port.stop.send_replace(true);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("is closed");
    assert!(rest.is_empty());
}

/// Real Postfix against the port: `postmap -q` for one key and for many on one connection.
#[tokio::test(flavor = "multi_thread")]
async fn postmap_agrees() {
    let found = std::process::Command::new("postmap").arg("-h").output();
    if let Err(error) = found {
        return println!("skipped: postmap (package postfix): {error}");
    }
    let port = start().await;
    let dir = tempfile::tempdir().expect("a scratch folder");
    std::fs::write(dir.path().join("main.cf"), "compatibility_level = 3.6\n").expect("writes");
    std::fs::write(dir.path().join("master.cf"), "").expect("writes");
    let config = dir.path().to_path_buf();
    let (tcp, socketmap) =
        (format!("tcp:{}", port.address), format!("socketmap:inet:{}", port.address));
    let refuse = "550 5.1.1 address suppressed after hard bounce [bounced:suppressed]\n";
    let asked = tokio::task::spawn_blocking(move || {
        let ask = |map: &str, key: &str| {
            let mut command = std::process::Command::new("postmap");
            let output = command.arg("-c").arg(&config).args(["-q", key, map]).output();
            let output = output.expect("postmap runs");
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            (output.status.code(), text)
        };
        let mut asked = Vec::new();
        for (map, key, code, text) in [
            (tcp.clone(), "gone@hard.test", 0, refuse),
            (tcp.clone(), "fine@hard.test", 1, ""),
            (tcp.clone(), "per%40 cent\"q\"@hard.test", 1, ""),
            (format!("{socketmap}:suppress"), "gone@hard.test", 0, refuse),
            (
                format!("{socketmap}:suppress"),
                "held@hard.test",
                0,
                "450 4.2.1 provider outage [bounced:held]\n",
            ),
            (format!("{socketmap}:suppress"), "fine@hard.test", 1, ""),
            (format!("{socketmap}:suppress"), "per%40 cent\"q\"@hard.test", 1, ""),
            (
                format!("{socketmap}:transport"),
                "gone@hard.test",
                0,
                "error:5.1.1 address suppressed after hard bounce [bounced:suppressed]\n",
            ),
            (format!("{socketmap}:transport"), "*", 1, ""),
            (format!("{socketmap}:explain"), "fine@hard.test", 0, "fine@hard.test is clear.\n"),
        ] {
            asked.push((format!("{map} {key}"), ask(&map, key), (Some(code), text.to_string())));
        }
        let many: String = (0..2000).map(|n| format!("u{n}@bulk.test\n")).collect();
        let mut child = std::process::Command::new("postmap")
            .arg("-c")
            .arg(&config)
            .args(["-q", "-", &format!("{socketmap}:suppress")])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("postmap runs");
        let mut stdin = child.stdin.take().expect("piped");
        std::io::Write::write_all(&mut stdin, many.as_bytes()).expect("postmap reads");
        drop(stdin);
        let output = child.wait_with_output().expect("postmap ends");
        assert!(output.stdout.is_empty(), "none of the 2000 is suppressed");
        asked
    });
    for (question, answer, expected) in asked.await.expect("asked") {
        assert_eq!(answer, expected, "{question}");
    }
    let text = port.metrics.render();
    let line = "bounced_lookups_total{protocol=\"socketmap\",result=\"miss\"} 2003";
    assert!(text.contains(line), "{line} in\n{text}");
}
