//! What `bounced doctor` finds in the network: a name server, mail servers and a web server of its
//! own on loopback, first as they should be, then each with one fault.

/// What is in the network.
mod doctor {
    pub mod dns;
    pub mod hosts;
}
mod service;

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bounced::cli::probe::Grade::{self, Fail, Warn};
use bounced::cli::probe::{Finding, ProbeOptions, look};
use bounced::mail::Timestamp;
use doctor::dns::Zone;
use doctor::hosts::{Authority, Identity, MailServer};
use service::{Service, bounced};

const DOMAIN: &str = "bounce.example.test";
const HOST: &str = "mx.example.test";
const TLSA: &str = "_25._tcp.mx.example.test";
const REVERSE: &str = "11.0.0.127.in-addr.arpa";
const STS: &str = "_mta-sts.bounce.example.test";
const STS_HOST: &str = "mta-sts.bounce.example.test";
const RPT: &str = "_smtp._tls.bounce.example.test";
const LATER: (i32, u8, u8) = (2027, 1, 31);
const POLICY: &str = "version: STSv1\nmode: enforce\nmx: mx.example.test\nmax_age: 604800\n";

/// What a case may change.
struct World {
    zone: Zone,
    server: MailServer,
    policy: String,
    public: bool,
    hostname: &'static str,
    /// The mail server is there.
    listens: bool,
    authority: Authority,
    /// Of the mail server.
    identity: Identity,
}

impl World {
    /// All as it should be.
    fn new() -> Self {
        let authority = Authority::new();
        let identity = authority.issue(HOST, LATER);
        let mut zone = Zone::default();
        zone.secure = true;
        zone.root()
            .mx(DOMAIN, 10, HOST)
            .a(HOST, "127.0.0.11")
            .ptr("127.0.0.11", HOST)
            .txt(DOMAIN, "v=spf1 ip4:192.0.2.1 -all")
            .txt(STS, "v=STSv1; id=20261101")
            .a(STS_HOST, "127.0.0.12")
            .txt(RPT, "v=TLSRPTv1; rua=mailto:tls@example.test")
            .tlsa(TLSA, [3, 1, 1], &identity.key_digest);
        let server = MailServer::new(Some(&identity));
        let policy = POLICY.to_string();
        let (public, listens, hostname) = (true, true, HOST);
        Self { zone, server, policy, public, listens, hostname, authority, identity }
    }

    /// Shows another certificate, which the TLSA record fits.
    fn show(&mut self, name: &str, until: (i32, u8, u8)) {
        self.identity = self.authority.issue(name, until);
        self.use_identity();
    }

    fn use_identity(&mut self) {
        self.server = MailServer::new(Some(&self.identity));
        let digest = self.identity.key_digest.clone();
        self.tlsa([3, 1, 1], &digest);
    }

    fn tlsa(&mut self, fields: [u8; 3], data: &[u8]) {
        self.zone.without(TLSA).tlsa(TLSA, fields, data);
    }

    fn mx(&mut self, host: Option<&str>) {
        self.zone.without(DOMAIN).txt(DOMAIN, "v=spf1 ip4:192.0.2.1 -all");
        if let Some(host) = host {
            self.zone.mx(DOMAIN, 0, host);
        }
    }

    fn publish_nothing(&mut self) {
        self.zone.without(TLSA).without(STS).without(RPT);
    }

    fn look(self) -> Vec<Finding> {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let authorities = dir.path().join("authorities.pem");
        self.authority.write(&authorities);
        let (smtp_port, mut mail) = doctor::hosts::listeners(&["127.0.0.11"]);
        match self.listens {
            true => self.server.serve(mail.remove(0)),
            false => mail.clear(),
        }
        let (https_port, mut web) = doctor::hosts::listeners(&["127.0.0.12"]);
        let page = self.authority.issue(STS_HOST, LATER);
        doctor::hosts::web(web.remove(0), &page, &self.policy);
        look(&options(
            self.zone.serve(),
            self.hostname,
            self.public,
            smtp_port,
            https_port,
            authorities,
        ))
    }
}

fn options(
    resolver: SocketAddr,
    hostname: &str,
    public: bool,
    smtp_port: u16,
    https_port: u16,
    authorities: PathBuf,
) -> ProbeOptions {
    ProbeOptions {
        hostname: hostname.to_string(),
        domains: vec![DOMAIN.to_string()],
        public,
        resolvers: vec![resolver],
        smtp_port,
        https_port,
        authorities: Some(authorities),
        now: Timestamp::parse_rfc3339("2026-11-02T00:00:00Z").expect("a date"),
        time: Duration::from_secs(10),
    }
}

/// Lines that are not OK, without what is so in all of them: addresses of loopback.
fn faults(findings: &[Finding]) -> Vec<&Finding> {
    let usual = |finding: &&Finding| {
        finding.grade == Grade::Ok || finding.words.contains("which the internet cannot reach")
    };
    findings.iter().filter(|finding| !usual(finding)).collect()
}

#[track_caller]
fn one<'a>(findings: &'a [Finding], name: &str) -> &'a Finding {
    let found: Vec<&Finding> = findings.iter().filter(|finding| finding.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {findings:#?}");
    found[0]
}

#[test]
fn a_service_as_it_should_be() {
    let world = World::new();
    let mut service = Service::new("");
    let (cert, key) = (service.dir.path().join("cert"), service.dir.path().join("key"));
    std::fs::write(&cert, &world.identity.certificate).expect("scratch is writable");
    std::fs::write(&key, &world.identity.key).expect("scratch is writable");
    let tls = format!("\n[smtp.tls]\ncert = \"{}\"\nkey = \"{}\"\n", cert.display(), key.display());
    let config = std::fs::read_to_string(service.config()).expect("written before") + &tls;
    std::fs::write(service.config(), config).expect("scratch is writable");
    service.start();
    let before = service.events();
    let authorities = service.dir.path().join("authorities.pem");
    world.authority.write(&authorities);
    let (https_port, mut web) = doctor::hosts::listeners(&["127.0.0.12"]);
    let page = world.authority.issue(STS_HOST, LATER);
    doctor::hosts::web(web.remove(0), &page, POLICY);
    let mut zone = world.zone;
    zone.without(HOST).a(HOST, "127.0.0.1").ptr("127.0.0.1", HOST);
    let findings = look(&options(zone.serve(), HOST, true, service.smtp, https_port, authorities));
    assert_eq!(faults(&findings), Vec::<&Finding>::new());
    for (name, part) in [
        ("mx", "bounce.example.test: 10 mx.example.test"),
        ("spf", "v=spf1 ip4:192.0.2.1 -all"),
        ("ptr", "127.0.0.1 is mx.example.test"),
        ("port25", "answers `220 bounce.example.test ESMTP bounced`"),
        ("starttls", "is for mx.example.test, 90 days left"),
        ("dane", "a TLSA record of mx.example.test fits"),
        ("postmaster", "takes mail for postmaster@bounce.example.test"),
        ("relay", "is no open relay"),
        ("mta-sts", "(enforce) names each MX"),
        ("tls-rpt", "mailto:tls@example.test"),
    ] {
        let found = one(&findings, name);
        assert!(found.words.contains(part), "{found:?}");
    }
    // Nobody was written to.
    assert_eq!(service.events(), before);
}

/// What is changed, and the lines that are not OK then: name, grade, words.
type Case = (&'static str, fn(&mut World), &'static [(&'static str, Grade, &'static str)]);

const CASES: &[Case] = &[
    ("as it should be", |_| {}, &[]),
    ("records by TCP", |w| w.zone.large.extend([DOMAIN.to_string(), TLSA.to_string()]), &[]),
    ("nothing published", World::publish_nothing, &[]),
    // MX.
    ("no MX", |w| w.mx(None), &[("mx", Fail, "has no MX, so no bounce comes: give it the record")]),
    ("null MX", |w| w.mx(Some("")), &[("mx", Fail, "takes no mail")]),
    ("MX of an address", |w| w.mx(Some("127.0.0.11")), &[("mx", Fail, "it must be a name")]),
    (
        "no MX, but an address",
        |w| {
            w.mx(None);
            w.zone.a(DOMAIN, "127.0.0.11");
        },
        &[
            ("mx", Warn, "senders use its own address"),
            ("starttls", Warn, "it is for other names (mx.example.test)"),
            ("mta-sts", Fail, "does not name its MX bounce.example.test"),
        ],
    ),
    (
        "MX of another name",
        |w| w.hostname = DOMAIN,
        &[("mx", Warn, "write hostname = \"mx.example.test\"")],
    ),
    ("a mail server hands over", |w| (w.hostname, w.public) = (DOMAIN, false), &[]),
    (
        "the name server does not know",
        |w| w.zone.failing.extend([DOMAIN.to_string()]),
        &[("mx", Warn, "cannot be looked up: 127."), ("spf", Warn, "(SERVFAIL)")],
    ),
    // Addresses.
    ("no address", |w| _ = w.zone.without(HOST), &[("address", Fail, "has no address")]),
    ("no PTR", |w| _ = w.zone.without(REVERSE), &[("ptr", Warn, "has no name (PTR)")]),
    (
        "PTR of another",
        |w| {
            w.zone.without(REVERSE).ptr("127.0.0.11", "old.example.test");
            w.zone.a("old.example.test", "127.0.0.13");
        },
        &[("ptr", Warn, "is named old.example.test, which is elsewhere")],
    ),
    // Port 25.
    (
        "nothing listens",
        |w| w.listens = false,
        &[("port25", Fail, "nothing listens on port"), ("dane", Warn, "could not be seen")],
    ),
    (
        "it says no",
        |w| w.server.greeting = "554 5.7.1 not you",
        &[("port25", Warn, "`554 5.7.1 not you`"), ("dane", Warn, "could not be seen")],
    ),
    (
        "another protocol",
        |w| w.server.greeting = "SSH-2.0-OpenSSH",
        &[("port25", Warn, "it does not speak SMTP"), ("dane", Warn, "could not be seen")],
    ),
    (
        "it takes no bounces",
        |w| w.server.null_sender = "550 5.7.1 no sender",
        &[("port25", Fail, "`550 5.7.1 no sender` to MAIL FROM:<>")],
    ),
    (
        "it goes away",
        |w| w.server.postmaster = "421 4.3.2 going down",
        &[("port25", Warn, "ended the conversation early")],
    ),
    ("no postmaster", |w| w.server.postmaster = "550 5.1.1 who?", &[("postmaster", Fail, "who?")]),
    ("no room", |w| w.server.postmaster = "452 4.3.1 full", &[("postmaster", Warn, "now: `452")]),
    ("relay", |w| w.server.stranger = "250 ok", &[("relay", Warn, "relays for this machine")]),
    ("grey", |w| w.server.stranger = "450 4.7.1 later", &[("relay", Warn, "ask again later")]),
    // TLS.
    (
        "no STARTTLS",
        |w| w.server.tls = None,
        &[
            ("starttls", Warn, "does not offer STARTTLS"),
            ("dane", Fail, "does not speak it"),
            ("mta-sts", Fail, "does not offer STARTTLS"),
        ],
    ),
    (
        "STARTTLS fails",
        |w| w.server.starttls = "454 4.7.0 no entropy",
        &[
            ("starttls", Fail, "`454 4.7.0 no entropy`"),
            ("dane", Fail, "does not speak it"),
            ("mta-sts", Fail, "fails"),
        ],
    ),
    (
        "expired",
        |w| w.show(HOST, (2026, 10, 1)),
        &[("starttls", Fail, "it expired at 2026-10-01"), ("mta-sts", Fail, "it expired")],
    ),
    ("ends soon", |w| w.show(HOST, (2026, 11, 5)), &[("starttls", Warn, "ends in 3 days")]),
    (
        "for another name",
        |w| w.show("old.example.test", LATER),
        &[("starttls", Warn, "(old.example.test)"), ("mta-sts", Fail, "other names")],
    ),
    (
        "of nobody",
        |w| {
            w.identity = Authority::new().issue(HOST, LATER);
            w.use_identity();
        },
        &[("starttls", Warn, "no authority that is known"), ("mta-sts", Fail, "no authority")],
    ),
    // DANE.
    ("key changed", |w| w.tlsa([3, 1, 1], &[7; 32]), &[("dane", Fail, "add `3 1 1 ")]),
    (
        "key changed, unproved",
        |w| {
            w.tlsa([3, 1, 1], &[7; 32]);
            w.zone.secure = false;
        },
        &[("dane", Warn, "no TLSA record of mx.example.test fits")],
    ),
    ("unproved", |w| w.zone.secure = false, &[("dane", Warn, "proves nothing by DNSSEC")]),
    ("of the web", |w| w.tlsa([1, 1, 1], &[7; 32]), &[("dane", Warn, "of kinds that mail")]),
    ("authority", |w| w.tlsa([2, 0, 0], &w.authority.der()), &[]),
    (
        "authority, for another name",
        |w| {
            w.show("old.example.test", LATER);
            w.tlsa([2, 0, 0], &w.authority.der());
        },
        &[
            ("starttls", Warn, "(old.example.test)"),
            ("dane", Fail, "no TLSA record"),
            ("mta-sts", Fail, "other names"),
        ],
    ),
    // MTA-STS and TLS-RPT.
    (
        "policy without the MX",
        |w| w.policy = POLICY.replace("mx.example", "old.example"),
        &[("mta-sts", Fail, "(enforce) does not name its MX mx.example.test")],
    ),
    (
        "the same on trial",
        |w| w.policy = POLICY.replace("mx.example", "old.example").replace("enforce", "testing"),
        &[("mta-sts", Warn, "(testing) does not name")],
    ),
    ("short", |w| w.policy = POLICY.replace("604800", "60"), &[("mta-sts", Warn, "after 60 s")]),
    (
        "an alias of a web server",
        |w| {
            w.zone.without(STS_HOST).cname(STS_HOST, "web.example.test");
            w.zone.a("web.example.test", "127.0.0.12");
        },
        &[],
    ),
    (
        "no policy",
        |w| w.policy = "<html>".to_string(),
        &[("mta-sts", Warn, "senders cannot use: https://mta-sts.bounce.example.test/.well")],
    ),
    (
        "no host of it",
        |w| _ = w.zone.without(STS_HOST),
        &[("mta-sts", Warn, "its host has no address")],
    ),
    ("no id", |w| _ = w.zone.without(STS).txt(STS, "v=STSv1;"), &[("mta-sts", Warn, "has no id=")]),
    (
        "two of TLS-RPT",
        |w| _ = w.zone.txt(RPT, "v=TLSRPTv1; rua=mailto:a@example.test"),
        &[("tls-rpt", Warn, "has 2 records")],
    ),
    (
        "reports to nowhere",
        |w| _ = w.zone.without(RPT).txt(RPT, "v=TLSRPTv1;"),
        &[("tls-rpt", Warn, "says nowhere")],
    ),
];

#[test]
fn each_fault_is_found() {
    for (what, change, expected) in CASES {
        let mut world = World::new();
        change(&mut world);
        let findings = world.look();
        let faults = faults(&findings);
        assert_eq!(faults.len(), expected.len(), "{what}: {findings:#?}");
        for (found, (name, grade, part)) in faults.iter().zip(*expected) {
            let is = found.name == *name && found.grade == *grade && found.words.contains(part);
            assert!(is, "{what}: {found:?} is not {name} {grade:?} {part}");
        }
    }
}

#[test]
fn hosts_that_say_nothing_are_not_waited_for() {
    let world = World::new();
    let dir = tempfile::tempdir().expect("a scratch folder");
    let authorities = dir.path().join("authorities.pem");
    world.authority.write(&authorities);
    // The kernel takes their connections, and nobody speaks.
    let (smtp_port, _mail) = doctor::hosts::listeners(&["127.0.0.11"]);
    let (https_port, _web) = doctor::hosts::listeners(&["127.0.0.12"]);
    let resolver = world.zone.serve();
    let mut options = options(resolver, HOST, true, smtp_port, https_port, authorities);
    options.time = Duration::from_secs(2);
    let began = Instant::now();
    let findings = look(&options);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for name in ["port25", "mta-sts"] {
        let found = one(&findings, name);
        assert!(found.grade == Warn && found.words.contains("no answer in time"), "{found:?}");
    }
    assert!(findings.iter().all(|found| found.grade != Fail), "{findings:#?}");
}

/// `bounced doctor` as somebody calls it: exit code, lines, and how long it took.
fn doctor(service: &Service, args: &[&str]) -> (Option<i32>, String, Duration) {
    let began = Instant::now();
    let output = bounced()
        .arg("--config")
        .arg(service.config())
        .arg("doctor")
        .args(args)
        .output()
        .expect("the binary runs");
    let out = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.code(), out, began.elapsed())
}

#[test]
fn the_command_asks_the_name_server_that_is_named() {
    let service = Service::new("");
    let mut world = World::new();
    world.mx(None);
    let resolver = world.zone.serve().to_string();
    let (code, out, _) = doctor(&service, &["--resolver", &resolver]);
    assert!(out.contains("FAIL mx         bounce.example.test has no MX"), "{out}");
    assert_eq!(code, Some(2), "{out}");
    let (_, out, _) = doctor(&service, &["--json", "--resolver", &resolver]);
    let lines: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mx = lines.iter().find(|line| line["name"] == "mx").expect("it is looked up");
    assert_eq!(mx["grade"], "FAIL");
    let (code, out, _) = doctor(&service, &["--offline", "--resolver", &resolver]);
    assert!(!out.contains("MX") && !out.contains("mta-sts"), "{out}");
    assert_eq!(code, Some(0), "{out}");
}

#[test]
fn without_a_network_it_warns_and_ends_soon() {
    let service = Service::new("");
    // One is not there, one never says anything, and one says of every name that it does not exist.
    let closed = UdpSocket::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let rootless = Zone::default().serve();
    for resolver in [closed, silent.local_addr().expect("bound"), rootless] {
        let (code, out, took) = doctor(&service, &["--resolver", &resolver.to_string()]);
        assert_eq!(code, Some(0), "{out}");
        for name in ["the MX of", "the SPF of", "the policy of", "_smtp._tls."] {
            let line = out.lines().find(|line| line.starts_with("WARN ") && line.contains(name));
            assert!(line.is_some_and(|line| line.contains("cannot be looked up: ")), "{out}");
        }
        assert!(took < Duration::from_secs(12), "{took:?}");
    }
}

/// The line of a finding.
#[track_caller]
fn line<'a>(out: &'a str, start: &str) -> &'a str {
    let found = out.lines().find(|line| line.starts_with(start));
    found.unwrap_or_else(|| panic!("no {start} in {out}"))
}

/// The limit that counts is that of the process that takes the mail, not of the shell that asks.
#[test]
fn the_limit_of_open_files_is_that_of_the_service() {
    let mut service = Service::new("");
    let (_, out, _) = doctor(&service, &["--offline"]);
    assert!(out.contains("limits     whoever starts the service"), "{out}");
    service.start();
    let process = service.child.as_ref().expect("started").id();
    let (_, metrics) = service.get("/metrics").expect("it answers");
    let own = line(&metrics, "process_max_fds ").rsplit(' ').next().expect("a value").to_string();
    let config = service.config();
    let command = format!(
        "ulimit -n 300; exec {} --config {} doctor --offline",
        env!("CARGO_BIN_EXE_bounced"),
        config.display()
    );
    let output = std::process::Command::new("sh").args(["-c", &command]).output().expect("sh");
    let out = String::from_utf8_lossy(&output.stdout);
    let said = format!("limits     the service (process {process}) may open {own} files");
    assert!(out.contains(&said), "{out}");
}

/// A clock that jumped is told, whether the service runs or is to be started.
#[test]
fn a_clock_that_jumped_is_told() {
    let mut service = Service::new("");
    let data = service.dir.path().join("data");
    std::fs::create_dir(&data).expect("scratch is writable");
    let (_, out, _) = doctor(&service, &["--offline"]);
    assert!(!out.contains("the wall clock"), "{out}");
    let long_ago = Timestamp::now().plus_days(-400);
    std::fs::write(data.join("clock"), format!("{long_ago} another-boot 10\n")).expect("writable");
    let (code, out, _) = doctor(&service, &["--offline"]);
    let said = line(&out, "WARN clock      a start would find: the wall clock is");
    assert!(said.contains("bounced accept-clock") && code == Some(0), "{out}");
    service.start();
    let (_, out, _) = doctor(&service, &["--offline"]);
    line(&out, "WARN clock      the wall clock is");
    assert_eq!(service.run(&["accept-clock"]).0, 0);
    let (_, out, _) = doctor(&service, &["--offline"]);
    assert!(!out.contains("the wall clock"), "{out}");
}

#[test]
fn keys_that_are_due_are_told() {
    let days = |n: u64| Duration::from_secs(n * 86_400 + 60);
    let config = |dir: &std::path::Path| {
        let key = |id: &str| {
            format!("[[verp.keys]]\nid = \"{id}\"\nsecret_file = \"{}\"\n", dir.join(id).display())
        };
        key("new") + &key("old")
    };
    let service = Service::new("");
    for id in ["new", "old"] {
        std::fs::write(service.dir.path().join(id), format!("0123456789abcdef{id}\n"))
            .expect("scratch is writable");
    }
    let written = std::fs::read_to_string(service.config()).expect("written before");
    std::fs::write(service.config(), written + &config(service.dir.path())).expect("writable");
    let aged = |id: &str, age: Duration| {
        let file = std::fs::File::options().write(true).open(service.dir.path().join(id));
        let then = std::time::SystemTime::now() - age;
        file.and_then(|file| file.set_modified(then)).expect("scratch is writable");
    };
    for (new, old, expected) in [
        (3, 300, &["OK   verp       the key \"new\" is 3 days old, to be turned in 362 days"][..]),
        (40, 300, &["OK   verp ", "WARN verp       the key \"old\" is 300 days old"]),
        (365, 2, &["WARN verp       the key \"new\" is 365 days old: make another"]),
    ] {
        aged("new", days(new));
        aged("old", days(old));
        let (code, out, _) = doctor(&service, &["--offline", "--json"]);
        assert_eq!(code, Some(0), "{out}");
        assert_eq!(out.matches("\"name\":\"verp\"").count(), expected.len(), "{out}");
        let (_, out, _) = doctor(&service, &["--offline"]);
        let lines: Vec<&str> = out.lines().filter(|line| line.contains(" verp  ")).collect();
        assert_eq!(lines.len(), expected.len(), "{out}");
        for (line, start) in lines.iter().zip(expected) {
            assert!(line.starts_with(start), "{line}");
        }
    }
}
