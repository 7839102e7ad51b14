//! What a message encloses must not outrank what it is: a person forwards somebody's bounce to the
//! signed return path of a mail to himself, and stays mailable.
//!
//! Every carrier, with every kind of return path, about the owner of that path or about somebody
//! else, with the report attached, pasted or quoted: what it is called and whom it stops. The
//! policy asks for no signature, so that nothing hides behind a missing one.

use std::sync::Arc;
use std::time::Duration;

use bounced::analysis::{Analyser, Received};
use bounced::classify::RuleSet;
use bounced::event::Envelope;
use bounced::mail::{Address, Timestamp};
use bounced::report::Kind;
use bounced::verp::Verp;

use super::support::{Book, DAY};

const OWNER: &str = "owner@u.example";
const OTHER: &str = "somebody@else.example";
const THIRD: &str = "third@x.example";
const NOW: i64 = 20_000 * DAY;

/// How a report stands in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Attached,
    Inline,
    Quoted,
}

/// Which return path the message came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Signed,
    Plain,
    None,
}

/// Whom a cell may stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stops {
    Nobody,
    /// The owner of the return path; without one, whom the report names.
    Meant,
}

struct Carrier {
    name: &'static str,
    /// Reverse-path.
    path: &'static str,
    header: &'static str,
    words: &'static str,
    /// What it may be called when the report is attached, inline, quoted.
    kinds: [&'static [Kind]; 3],
    stops: Stops,
}

const FAILURE: &[Kind] = &[Kind::Failure];
const TALK: &[Kind] = &[Kind::Other];
const EITHER: &[Kind] = &[Kind::Failure, Kind::Other];
const ANSWER: &[Kind] = &[Kind::AutoReply];
const COMPLAINT: &[Kind] = &[Kind::Complaint];

const CARRIERS: [Carrier; 12] = [
    Carrier {
        name: "person",
        path: OWNER,
        header: "From: A Person <owner@u.example>\nSubject: Fwd: Undelivered Mail Returned to Sender\n",
        words: "Look what came back to me.",
        kinds: [FAILURE, FAILURE, FAILURE],
        stops: Stops::Nobody,
    },
    Carrier {
        name: "vacation",
        path: "",
        header: "From: A Person <owner@u.example>\nAuto-Submitted: auto-replied\n\
                 Subject: Automatic reply: Undelivered Mail Returned to Sender\n",
        words: "I am out of the office until 12 March and read your mail then.",
        kinds: [ANSWER, ANSWER, ANSWER],
        stops: Stops::Nobody,
    },
    Carrier {
        name: "ticket",
        path: "desk@u.example",
        header: "From: Support <desk@u.example>\nSubject: [#4711] Undelivered Mail Returned to Sender\n",
        words: "Ann added a comment:",
        kinds: [TALK, TALK, TALK],
        stops: Stops::Nobody,
    },
    Carrier {
        name: "list digest",
        path: "talk-bounces@lists.example",
        header: "From: talk-request@lists.example\nList-Id: <talk.lists.example>\n\
                 Subject: Talk Digest, Vol 3, Issue 1\n",
        words: "Today's topics: 1. Undelivered Mail Returned to Sender",
        kinds: [TALK, TALK, TALK],
        stops: Stops::Nobody,
    },
    Carrier {
        name: "list that shows a daemon",
        path: "talk-bounces@lists.example",
        header: "From: MAILER-DAEMON@mx.x.example\nList-Id: <talk.lists.example>\n\
                 Subject: [talk] Undelivered Mail Returned to Sender\n",
        words: "This list has a member whose mail program answers.",
        kinds: [EITHER, EITHER, EITHER],
        stops: Stops::Nobody,
    },
    Carrier {
        name: "group that shows a daemon",
        path: "support+bnc@corp.example",
        header: "From: \"'Mail Delivery Subsystem' via Support\" <support@corp.example>\n\
                 List-ID: <support.corp.example>\nPrecedence: list\n\
                 Subject: Undelivered Mail Returned to Sender\n",
        words: "You are a member of the group Support.",
        kinds: [EITHER, EITHER, EITHER],
        stops: Stops::Nobody,
    },
    Carrier {
        name: "postmaster by hand",
        path: "postmaster@corp.example",
        header: "From: Postmaster Jo <postmaster@corp.example>\nSubject: Re: your newsletter\n\
                 In-Reply-To: <1@u.example>\nUser-Agent: Mozilla Thunderbird\n",
        words: "Hi, we see this in our queue, please look. Jo",
        kinds: [EITHER, EITHER, EITHER],
        stops: Stops::Nobody,
    },
    Carrier {
        name: "spam report",
        path: "fbl@isp.example",
        header: "From: fbl@isp.example\nSubject: FW: Undelivered Mail Returned to Sender\n",
        words: "This is an email abuse report.",
        kinds: [COMPLAINT, COMPLAINT, COMPLAINT],
        stops: Stops::Nobody,
    },
    Carrier {
        name: "gateway",
        path: "gateway@corp.example",
        header: "From: Mail Gateway <gateway@corp.example>\n\
                 Subject: [EXTERNAL] Undelivered Mail Returned to Sender\n",
        words: "This mail passed the gateway of corp.example.",
        kinds: [FAILURE, EITHER, EITHER],
        stops: Stops::Nobody,
    },
    Carrier {
        name: "list manager's bounce notice",
        path: "mailman-bounces@lists.example",
        header: "From: mailman@lists.example\nSubject: Bounce action notification\n",
        words: "This is a Mailman mailing list bounce action notice. The triggering bounce notice \
                is attached below.",
        kinds: [TALK, TALK, TALK],
        stops: Stops::Nobody,
    },
    Carrier {
        name: "bounce of a bounce",
        path: "",
        header: "From: MAILER-DAEMON@mx.x.example\nSubject: Undelivered Mail Returned to Sender\n",
        words: "<third@x.example>: 550 5.1.1 User unknown",
        kinds: [FAILURE, FAILURE, FAILURE],
        stops: Stops::Nobody,
    },
    Carrier {
        name: "forwarder's failure",
        path: "",
        header: "From: MAILER-DAEMON@mx.u.example\nSubject: Undelivered Mail Returned to Sender\n",
        words: "Your message could not be forwarded.",
        kinds: [FAILURE, FAILURE, FAILURE],
        stops: Stops::Meant,
    },
];

fn fields(about: &str) -> String {
    format!(
        "Reporting-MTA: dns; mx.y.example\n\nFinal-Recipient: rfc822; {about}\nAction: failed\n\
         Status: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 <{about}>: User unknown\n"
    )
}

/// The parts of a report about an address; `returned` is the header of the mail that failed.
fn report(about: &str, boundary: &str, returned: &str) -> String {
    format!(
        "--{boundary}\nContent-Type: text/plain\n\n<{about}>: 550 5.1.1 User unknown\n\
         --{boundary}\nContent-Type: message/delivery-status\n\n{}\n\
         --{boundary}\nContent-Type: message/rfc822\n\n{returned}\n--{boundary}--\n",
        fields(about)
    )
}

/// A whole notice of a mail program about an address.
fn notice(about: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.y.example\nTo: someone@b.example\n\
         Subject: Undelivered Mail Returned to Sender\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=in\n\n{}",
        report(
            about,
            "in",
            "From: news@b.example\nSubject: News\nMessage-ID: <n1@b.example>\n\nHi\n"
        )
    )
}

fn message(carrier: &Carrier, way: Way, about: &str, to: &str) -> String {
    let head =
        format!("{}To: <{to}>\nMessage-ID: <m1@w.example>\nMIME-Version: 1.0\n", carrier.header);
    let words = carrier.words;
    let inline = fields(about);
    let quoted: String = inline.lines().map(|line| format!("> {line}\n")).collect();
    let text = match way {
        Way::Attached => words.to_string(),
        Way::Inline => format!("{words}\n\n{inline}"),
        Way::Quoted => format!("{words}\n\n{quoted}"),
    };
    let plain = format!("--out\nContent-Type: text/plain\n\n{text}\n");
    let attached = format!("--out\nContent-Type: message/rfc822\n\n{}\n", notice(about));
    match carrier.name {
        "spam report" => format!(
            "{head}Content-Type: multipart/report; report-type=feedback-report; boundary=out\n\n{plain}\
             --out\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n\
             User-Agent: x/1\n\n{attached}--out--\n"
        ),
        "bounce of a bounce" => format!(
            "{head}Content-Type: multipart/report; report-type=delivery-status; boundary=out\n\n{plain}\
             --out\nContent-Type: message/delivery-status\n\n{}\n{attached}--out--\n",
            fields(THIRD)
        ),
        "forwarder's failure" if way == Way::Attached => format!(
            "{head}Content-Type: multipart/report; report-type=delivery-status; boundary=out\n\n{}",
            report(
                about,
                "out",
                "From: news@b.example\nTo: owner@u.example\nSubject: News\n\nHi\n"
            )
        ),
        _ if way == Way::Attached => {
            format!(
                "{head}Content-Type: multipart/mixed; boundary=out\n\n{plain}{attached}--out--\n"
            )
        }
        _ => format!("{head}Content-Type: text/plain\n\n{text}\n"),
    }
}

fn pipeline() -> Analyser {
    let config = bounced::config::VerpConfig {
        signed: true,
        plain: true,
        keys: vec![("k".to_string(), vec![7; 32])],
        max_age: Duration::from_secs(30 * 86_400),
    };
    Analyser {
        verp: Arc::new(Verp::new(&config, &["b.example".to_string()]).expect("a good key")),
        rules: Arc::new(RuleSet::load(None).expect("the shipped rules load")),
        shadow: None,
    }
}

fn return_path(pipeline: &Analyser, token: Token) -> String {
    match token {
        Token::Signed => {
            let owner = Address::parse(OWNER).expect("an address");
            let now = Timestamp::from_millis(NOW);
            pipeline.verp.mint(&owner, None, None, now).expect("mints")
        }
        Token::Plain => "bounces+owner=u.example@b.example".to_string(),
        Token::None => "list@b.example".to_string(),
    }
}

/// Takes a message in and folds it: what it is called, and who of the three is stopped.
fn take(
    pipeline: &Analyser,
    data: &str,
    path: &str,
    to: &str,
    trusted: bool,
) -> (Kind, Vec<&'static str>) {
    let now = Timestamp::from_millis(NOW);
    let event = pipeline.record(Received {
        data: data.as_bytes(),
        envelope: Envelope { from: path.to_string(), to: vec![to.to_string()], trusted },
        peer: None,
        received_at: now,
        moment: now.into(),
        id: "e1".to_string(),
    });
    let analysis = event.analysis.as_ref().expect("a message is analysed");
    let kind = analysis.kind;
    let forwarded = analysis.clues.iter().any(|e| e.starts_with("forwarded: "));
    assert_eq!(analysis.forwarded, forwarded, "the mark and its reason go together");
    let book = Book::default();
    book.put(NOW, event);
    let stopped = |a: &&str| book.state(a, NOW + 1) != "clear";
    (kind, [OWNER, OTHER, THIRD].into_iter().filter(stopped).collect())
}

#[test]
fn what_a_message_encloses_does_not_outrank_what_it_is() {
    let pipeline = pipeline();
    let mut wrong = Vec::new();
    let mut cells = 0;
    for carrier in &CARRIERS {
        for token in [Token::Signed, Token::Plain, Token::None] {
            for about in [OWNER, OTHER] {
                for (way, kinds) in
                    [Way::Attached, Way::Inline, Way::Quoted].into_iter().zip(carrier.kinds)
                {
                    let to = return_path(&pipeline, token);
                    let data = message(carrier, way, about, &to);
                    let (kind, stopped) = take(&pipeline, &data, carrier.path, &to, false);
                    let wanted = match (carrier.stops, token) {
                        (Stops::Nobody, _) => vec![],
                        (Stops::Meant, Token::None) => vec![about],
                        (Stops::Meant, _) => vec![OWNER],
                    };
                    cells += 1;
                    if !kinds.contains(&kind) || stopped != wanted {
                        wrong.push(format!(
                            "{} {token:?} {way:?} about {about}: {kind}, stops {stopped:?}; wanted \
                             {kinds:?}, stops {wanted:?}",
                            carrier.name
                        ));
                    }
                }
            }
        }
    }
    assert_eq!(cells, CARRIERS.len() * 3 * 2 * 3);
    assert!(wrong.is_empty(), "{} of {cells}:\n{}", wrong.len(), wrong.join("\n"));
}

/// `ingest --trust`: the operator fed notices that people forwarded to him.
#[test]
fn an_operator_may_vouch_for_what_people_forwarded() {
    let pipeline = pipeline();
    let person = CARRIERS.first().expect("the first is the person");
    let to = return_path(&pipeline, Token::None);
    let data = message(person, Way::Attached, OTHER, &to);
    assert_eq!(take(&pipeline, &data, person.path, &to, false), (Kind::Failure, vec![]));
    assert_eq!(take(&pipeline, &data, person.path, &to, true), (Kind::Failure, vec![OTHER]));
}

/// The sending side, daemons and postmasters are never whom a report is about, unless a token of
/// ours says that we mailed a postmaster.
#[test]
fn nobody_of_us_is_the_failed_recipient() {
    let pipeline = pipeline();
    let now = Timestamp::from_millis(NOW);
    let postmaster = "postmaster@customer.example";
    let signed = pipeline
        .verp
        .mint(&Address::parse(postmaster).expect("an address"), None, None, now)
        .expect("mints");
    let list = "list@b.example";
    for (about, to, stopped) in [
        ("kim@customer.example", list, true),
        ("bounces+x=y.example@b.example", list, false),
        ("anyone@b.example", list, false),
        ("MAILER-DAEMON@mx.customer.example", list, false),
        (postmaster, list, false),
        (postmaster, signed.as_str(), true),
    ] {
        let event = pipeline.record(Received {
            data: notice(about).as_bytes(),
            envelope: Envelope { to: vec![to.to_string()], ..Envelope::default() },
            peer: None,
            received_at: now,
            moment: now.into(),
            id: "e1".to_string(),
        });
        let book = Book::default();
        book.put(NOW, event);
        assert_eq!(book.state(about, NOW + 1) != "clear", stopped, "{about} by {to}");
    }
}

/// RFC 9477: complaints about all mails go to one address, and only the id that came back names the
/// mailed one. Signed it proves that; any other id proves nothing.
#[test]
fn a_signed_feedback_id_names_whom_a_complaint_is_about() {
    let pipeline = pipeline();
    let signed = return_path(&pipeline, Token::Signed);
    let forged = format!("x{signed}");
    let folded = signed.split_at(20);
    let folded = format!("{}\r\n {}", folded.0, folded.1);
    for (id, scheme, stopped) in [
        (signed.as_str(), Some("signed-full"), &[OWNER][..]),
        (&folded, Some("signed-full"), &[OWNER]),
        (&forged, None, &[]),
        ("bounces+owner=u.example@b.example", None, &[]),
        ("3:12345:acme", None, &[]),
    ] {
        let data = format!(
            "From: fbl@host.example\r\nTo: fbl@b.example\r\nSubject: complaint\r\n\
             Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n\
             --b\r\n\r\nA complaint.\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n\
             Feedback-Type: abuse\r\nUser-Agent: host/1\r\nVersion: 1\r\n\r\n\
             --b\r\nContent-Type: text/rfc822-headers\r\n\r\n\
             CFBL-Feedback-ID: {id}\r\nMessage-ID: <1@b.example>\r\nSubject: News\r\n--b--\r\n"
        );
        let (kind, found) = take(&pipeline, &data, "fbl@host.example", "fbl@b.example", false);
        assert_eq!((kind, found.as_slice()), (Kind::Complaint, stopped), "{id}");
        let analysed = pipeline.analyse(data.as_bytes(), &[], Timestamp::from_millis(NOW)).analysis;
        let kept = analysed.original.cfbl_feedback_id.as_deref();
        assert_eq!(kept, Some(id.replace("\r\n ", "").as_str()));
        assert_eq!(analysed.verp.map(|verp| verp.scheme).as_deref(), scheme, "{id}");
    }
}
