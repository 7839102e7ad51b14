//! Makes 30 days of plausible data, to look at the pages without mail of one's own:
//!
//! ```sh
//! cargo run --release --example month /tmp/month
//! bounced --config /tmp/month/bounced.toml serve    # http://127.0.0.1:8525/
//! ```
//!
//! Every message is written out, read, judged, folded and journalled by the real parts, as if it had
//! come by SMTP at its time; raw messages are kept. Three scopes send to many providers: one is
//! healthy, one mails an old list. One provider had an outage, another has one now; a wording that no
//! rule knows spreads since yesterday. The same seed makes the same month, seen from its end, which is
//! now or an RFC 3339 time given as the second argument.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bounced::analysis::{Analyser, Received};
use bounced::classify::RuleSet;
use bounced::config::{Config, KeepRaw};
use bounced::event::{Act, Envelope, Event, EventType, Imported, SendResult};
use bounced::ledger::Ledger;
use bounced::ledger::journal::RealDisk;
use bounced::ledger::store::{Options, SledLedger};
use bounced::mail::{Address, Timestamp};
use bounced::policy::{Policy, PolicyFold};
use bounced::service::raw_messages::RawStore;
use bounced::verp::Verp;

const HOUR_MS: i64 = 3_600_000;
const HOURS: i64 = 30 * 24;
/// Messages that a scope sends in an hour of the day, at most, and its campaigns.
const SCOPES: [(&str, u64, &[&str]); 3] = [
    ("news", 40, &["nov-11", "sale-11", "survey"]),
    ("orders", 25, &["shop"]),
    ("winback", 8, &["miss"]),
];
/// Domains, and how many of a hundred addresses are there.
const DOMAINS: [(&str, u64); 10] = [
    ("gmail.com", 34),
    ("outlook.com", 14),
    ("yahoo.com", 10),
    ("gmx.de", 9),
    ("web.de", 8),
    ("icloud.com", 6),
    ("t-online.de", 5),
    ("orange.fr", 4),
    ("acme-engineering.example", 6),
    ("university.example", 4),
];
/// What servers say, as common as their place in the list allows.
const SAID: [(&str, &str); 9] = [
    ("5.1.1", "550 5.1.1 <{}>: Recipient address rejected: User unknown in virtual mailbox table"),
    ("5.1.1", "550-5.1.1 The email account that you tried to reach does not exist. - gsmtp"),
    ("4.2.2", "452 4.2.2 <{}>: mailbox is over quota"),
    ("5.2.1", "550 5.2.1 The account <{}> is disabled"),
    ("5.7.1", "550 5.7.1 Service unavailable; client host blocked using zen.spamhaus.org"),
    ("5.7.26", "550 5.7.26 This mail is unauthenticated, it fails DMARC"),
    ("4.7.0", "421 4.7.0 Too many messages from your address, try again later"),
    ("5.4.4", "550 5.4.4 Host or domain name not found"),
    ("5.0.0", "554 delivery error: This user doesn't have an account here"),
];
const UNKNOWN: [&str; 3] = [
    "550 5.0.0 Postbox {} took leave of the ledger, see case 8831",
    "554 the parcel for <{}> was turned round at gate 12",
    "550 5.0.0 Zustellung an {} am Tor abgewiesen",
];

/// SplitMix64: the same seed, the same month.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % most.max(1)
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    fn domain(&mut self) -> &'static str {
        let mut place = self.below(100);
        for (domain, share) in DOMAINS {
            if place < share {
                return domain;
            }
            place -= share;
        }
        DOMAINS[0].0
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().expect("name a folder: month FOLDER [END]"));
    let end = args.next().map(|text| Timestamp::parse_rfc3339(&text).expect("END is RFC 3339"));
    let end = end.unwrap_or_else(Timestamp::now);
    assert!(!folder.exists(), "{} is there already", folder.display());
    let mut month = Month::begin(&folder);
    let start = end.millis() - HOURS * HOUR_MS;
    let policy = month.policy().act();
    month.act(start, policy);
    for hour in 0..HOURS {
        month.hour(start + hour * HOUR_MS, HOURS - hour);
    }
    println!("{} events in {}", month.ledger.status().last_seq, folder.display());
    println!("bounced --config {} serve", folder.join("bounced.toml").display());
}

struct Month {
    config: Config,
    analyser: Analyser,
    ledger: SledLedger,
    raw: RawStore,
    random: Random,
    waiting: Vec<Event>,
    made: u64,
}

impl Month {
    fn begin(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("room for the folder");
        let shown = folder.display();
        std::fs::write(folder.join("secret"), "a secret for looking at pages only").expect("room");
        let toml = format!(
            "hostname = \"bounce.example.com\"\ndata_dir = \"{shown}/data\"\n\
             [smtp]\ndomains = [\"bounce.example.com\"]\n\
             [[verp.keys]]\nid = \"a\"\nsecret_file = \"{shown}/secret\"\n\
             [journal]\nraw = \"all\"\nraw_keep = \"90d\"\n"
        );
        std::fs::write(folder.join("bounced.toml"), toml).expect("room");
        let config =
            Config::load(Some(&folder.join("bounced.toml"))).expect("what we just wrote").config;
        let verp = Verp::new(&config.verp, &config.smtp.domains).expect("a good key");
        let fold = Box::new(PolicyFold::new());
        let ledger = SledLedger::open(Options::new(&config.data_dir), fold).expect("a new ledger");
        let disk = Arc::new(RealDisk::new(&config.data_dir).expect("a folder"));
        assert!(config.journal.raw == KeepRaw::All);
        let raw = RawStore::open(disk, &config.journal, Timestamp::now()).expect("a folder");
        let rules = Arc::new(RuleSet::load(None).expect("the shipped rules"));
        let analyser = Analyser { verp: Arc::new(verp), rules, shadow: None };
        let (random, waiting) = (Random(16), Vec::new());
        Self { config, analyser, ledger, raw, random, waiting, made: 0 }
    }

    fn policy(&self) -> Policy {
        let mut policy = Policy::default();
        policy.require_signed = true;
        policy.own_domains = Some(self.config.smtp.domains.clone());
        policy
    }

    /// All that happens in an hour; `ago`: how many hours before the end.
    fn hour(&mut self, start: i64, ago: i64) {
        let by_day =
            [2, 1, 1, 1, 1, 2, 4, 7, 10, 12, 11, 10, 9, 10, 11, 10, 9, 8, 8, 9, 8, 6, 4, 3];
        let busy = by_day[(start.div_euclid(HOUR_MS).rem_euclid(24)) as usize];
        let weekend = matches!(start.div_euclid(24 * HOUR_MS).rem_euclid(7), 2 | 3);
        for (scope, most, campaigns) in SCOPES {
            let mut count = most * busy / 12;
            if weekend && scope == "news" {
                count /= 4;
            }
            // The old list is mailed since six days.
            if scope == "winback" && ago > 6 * 24 {
                count = 0;
            }
            let bad = if scope == "winback" { 12 } else { 2 };
            for n in 0..count {
                let at = start + HOUR_MS * n as i64 / count.max(1) as i64;
                let campaign = *self.random.one(campaigns);
                let address = self.address();
                self.result(at, &address, scope, campaign, "sent");
                match self.random.below(100) {
                    chance if chance < bad => self.bounce(at, &address, scope, campaign, ago),
                    _ => self.result(at + 4_000, &address, scope, campaign, "delivered"),
                }
            }
        }
        // A day of trouble at one provider twelve days ago, and one that began an hour ago.
        if ago == 12 * 24 {
            self.outage(start, "yahoo.com", "550 5.1.1 This user doesn't have a yahoo.com account");
        }
        if ago == 1 {
            self.outage(
                start,
                "gmx.de",
                "550 5.1.1 Requested action not taken: mailbox unavailable",
            );
        }
        for _ in 0..self.random.below(3) {
            let at = start + self.random.below(HOUR_MS as u64) as i64;
            self.small_things(at);
        }
        self.commit();
    }

    fn address(&mut self) -> Address {
        const NAMES: [&str; 12] = [
            "anna", "ben", "carla", "david", "eva", "felix", "greta", "hugo", "ida", "jonas",
            "karin", "leo",
        ];
        let text = format!(
            "{}.{}{}@{}",
            self.random.one(&NAMES),
            self.random.one(&NAMES),
            self.random.below(900),
            self.random.domain()
        );
        Address::parse(&text).expect("an address")
    }

    fn bounce(&mut self, at: i64, address: &Address, scope: &str, campaign: &str, ago: i64) {
        let rising = ago <= 24 && self.random.below(3) == 0;
        let unknown = rising || self.random.below(40) == 0;
        let place = self.random.below(SAID.len() as u64).min(self.random.below(SAID.len() as u64));
        let (status, said) = match unknown {
            true if rising => ("5.0.0", UNKNOWN[0]),
            true => ("5.0.0", *self.random.one(&UNKNOWN)),
            false => SAID[place as usize],
        };
        self.dsn(at + 90_000, address, scope, campaign, status, said);
    }

    fn outage(&mut self, start: i64, domain: &str, said: &str) {
        for n in 0..160 {
            let text = format!("customer{}@{domain}", 1_000 + n);
            let address = Address::parse(&text).expect("an address");
            self.dsn(start + n * 5_000, &address, "news", "nov-11", "5.1.1", said);
        }
    }

    fn small_things(&mut self, at: i64) {
        let address = self.address();
        match self.random.below(8) {
            0..=4 => self.message(at, &address, "news", "nov-11", &format!(
                "From: <{address}>\r\nTo: <news@bounce.example.com>\r\nSubject: Out of office: News\r\n\
                 Auto-Submitted: auto-replied\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n\r\n\
                 I am on leave until Monday and will answer your mail then.\r\n"
            )),
            5 if self.random.below(3) == 0 => self.message(at, &address, "news", "nov-11", &format!(
                "From: <fbl@provider.example>\r\nTo: <fbl@bounce.example.com>\r\nSubject: complaint\r\n\
                 MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=\"b\"\r\n\r\n\
                 --b\r\nContent-Type: text/plain\r\n\r\nAn abuse report.\r\n\
                 --b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: FBL/1.0\r\n\
                 Version: 1\r\nOriginal-Rcpt-To: <{address}>\r\n\r\n\
                 --b\r\nContent-Type: message/rfc822\r\n\r\nFrom: <news@example.com>\r\nTo: <{address}>\r\n\
                 Subject: News of November\r\n\r\nNews\r\n--b--\r\n"
            )),
            5 | 6 => {
                let reason = "wrote to support, wants no mail".to_string();
                let address = address.to_string();
                let (scope, until, imported) = ("news".to_string(), None, Imported::default());
                self.act(at, Act::Suppress { address, scope, reason, until, imported });
            }
            _ => self.message(at, &address, "orders", "shop", &format!(
                "From: <{address}>\r\nTo: <receipts@bounce.example.com>\r\nSubject: Re: your order\r\n\r\n\
                 Thank you, where is my parcel?\r\n"
            )),
        }
    }

    fn dsn(
        &mut self,
        at: i64,
        address: &Address,
        scope: &str,
        campaign: &str,
        status: &str,
        said: &str,
    ) {
        let said = said.replace("{}", address.as_str());
        let action = if status.starts_with('4') { "delayed" } else { "failed" };
        let subject = match action {
            "failed" => "Undelivered Mail Returned to Sender",
            _ => "Delayed Mail (still being retried)",
        };
        let domain = address.domain();
        let (seq, text) = (self.made, self.made % 7);
        let text = format!(
            "From: Mail Delivery System <MAILER-DAEMON@mx{text}.example.com>\r\nTo: <x@bounce.example.com>\r\n\
             Subject: {subject}\r\nMessage-ID: <dsn{seq}@mx{text}.example.com>\r\nAuto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nThis is the mail system at host mx{text}.example.com.\r\n\r\n\
             <{address}>: host mx.{domain}[192.0.2.9] said: {said}\r\n\r\n\
             --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx{text}.example.com\r\n\r\n\
             Final-Recipient: rfc822; {address}\r\nAction: {action}\r\nStatus: {status}\r\n\
             Remote-MTA: dns; mx.{domain}\r\nDiagnostic-Code: smtp; {said}\r\n\r\n\
             --b\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: <{scope}@example.com>\r\nTo: <{address}>\r\n\
             Message-ID: <{campaign}.{seq}@example.com>\r\nSubject: {campaign}\r\n\r\n--b--\r\n"
        );
        self.message(at, address, scope, campaign, &text);
    }

    /// A message to the signed return path of a mail that was sent a little before.
    fn message(&mut self, at: i64, address: &Address, scope: &str, campaign: &str, text: &str) {
        let received_at = Timestamp::from_millis(at);
        let tag = format!("{scope}.{campaign}");
        let to = self.analyser.verp.mint(address, Some(&tag), None, received_at).expect("a key");
        let envelope = Envelope { from: String::new(), to: vec![to], trusted: false };
        let id = self.id(at);
        let event = self.analyser.record(Received {
            data: text.as_bytes(),
            envelope,
            peer: Some(format!("192.0.2.{}", 1 + self.made % 20)),
            received_at,
            moment: received_at.into(),
            id: id.clone(),
        });
        self.raw.keep(&id, text.as_bytes(), received_at).expect("room for a message");
        self.push(event);
    }

    fn result(&mut self, at: i64, address: &Address, scope: &str, campaign: &str, outcome: &str) {
        let mut event = Event::new(EventType::Result, self.id(at), Timestamp::from_millis(at));
        (event.scope, event.campaign) = (Some(scope.to_string()), Some(campaign.to_string()));
        let (outcome, address) = (outcome.to_string(), address.to_string());
        event.result = Some(SendResult { outcome, address, message_id: None, verdict: None });
        self.push(event);
    }

    fn act(&mut self, at: i64, act: Act) {
        let mut event = Event::new(EventType::Act, self.id(at), Timestamp::from_millis(at));
        (event.act, event.peer) = (Some(act), Some("local".to_string()));
        self.push(event);
    }

    fn id(&mut self, at: i64) -> String {
        self.made += 1;
        format!("e{at:011x}{:010x}", self.made)
    }

    fn push(&mut self, event: Event) {
        self.waiting.push(event);
    }

    fn commit(&mut self) {
        // What is made scope by scope is journalled in the order of time.
        self.waiting.sort_by_key(|event| event.received_at);
        self.ledger.commit(&mut self.waiting).expect("committed");
        self.waiting.clear();
    }
}
