//! Who carries a report: only a mail program's own notice may decide anything.
//!
//! A person can forward somebody else's notice to any return path that he ever saw, a list or a
//! ticket system can quote one, a gateway can hand one on. What they enclose or paste is read and
//! kept, but it is marked `forwarded`, and the policy takes nothing from it.
//!
//! | carrier | known by | a report inside is |
//! |---|---|---|
//! | notice | a daemon's sender; else a null reverse-path, or the shape of a report from nobody known | the message's own |
//! | person | none of these; `Fwd:`, `Re:`, Resent-From; a person's `From` that answers or attaches a report; a postmaster who answers or writes by hand | a forwarded one when attached or after `Fwd:`, else talk |
//! | program | list, ticket and notification fields, ticket numbers in the subject, cron; also beside a daemon's sender, when the reverse-path is somebody's | a forwarded one when attached and from `<>`, else talk |
//!
//! A reverse-path that nobody knows (a file without Return-Path) is judged by the rest: the shape
//! of a report or a program's sender. Field lore: forwarders rewrite reverse-paths of notices and
//! some daemons never had a null one, so a daemon's address is enough where the message says what it
//! is. The name beside an address is not: people choose theirs.

use std::sync::LazyLock;

use super::sender;
use super::subject::{is_forward, is_reply};
use crate::message::Message;

/// What is known of the way of a message to us, besides the message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arrival<'a> {
    /// Reverse-path of the envelope, empty for `<>`; None where there was no envelope.
    pub reverse_path: Option<&'a str>,
    /// An operator says that what people forwarded counts (`ingest --trust`).
    pub trusted: bool,
}

impl<'a> Arrival<'a> {
    /// By an envelope.
    pub fn by(reverse_path: &'a str) -> Self {
        Self { reverse_path: Some(reverse_path), trusted: false }
    }
}

/// Who carries what a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    /// A mail program's notice.
    Notice {
        /// Its sender is a daemon, or it has the shape of a report and came from nobody.
        sure: bool,
    },
    /// A person; why.
    Person(&'static str),
    /// A program that sends no notices of delivery, or that speaks to many; why.
    Program(&'static str),
}

/// Why a message is talk by its subject alone.
pub(super) const TICKET_NUMBER: &str = "the number of a ticket in its subject";

/// A field, or its beginning up to a `-`; why a message that has it is talk; what sort of mark it is.
type TalkField = (&'static str, &'static str, TalkMark);

/// Fields of programs that tell people what others wrote.
const TALK_FIELDS: [TalkField; 32] = [
    ("list-id", "sent to a list", TalkMark::OfList),
    ("list-post", "sent to a list", TalkMark::OfList),
    ("list-unsubscribe", "sent to many", TalkMark::OfList),
    ("mailing-list", "sent to a list", TalkMark::OfList),
    ("x-mailing-list", "sent to a list", TalkMark::OfList),
    ("x-list-administrivia", "a list manager tells its owner", TalkMark::OfList),
    ("x-beenthere", "sent to a list", TalkMark::OfList),
    ("x-ticket-", "from a ticket system", TalkMark::OfProgram),
    ("x-rt-", "from a ticket system", TalkMark::OfProgram),
    ("rt-ticket", "from a ticket system", TalkMark::OfProgram),
    ("x-otrs-", "from a ticket system", TalkMark::OfProgram),
    ("x-zendesk-", "from a ticket system", TalkMark::OfProgram),
    ("x-freshdesk-", "from a ticket system", TalkMark::OfProgram),
    ("x-servicenow-", "from a ticket system", TalkMark::OfProgram),
    ("x-jira-", "from a ticket system", TalkMark::OfProgram),
    ("x-atlassian-", "from a ticket system", TalkMark::OfProgram),
    ("x-helpscout-", "from a ticket system", TalkMark::OfProgram),
    ("x-freescout-", "from a ticket system", TalkMark::OfProgram),
    ("x-intercom-", "from a ticket system", TalkMark::OfProgram),
    ("x-hubspot-", "from a ticket system", TalkMark::OfProgram),
    ("x-osticket-", "from a ticket system", TalkMark::OfProgram),
    ("x-zammad-", "from a ticket system", TalkMark::OfProgram),
    ("x-redmine-", "from a tracker", TalkMark::OfProgram),
    ("x-github-", "from a tracker", TalkMark::OfProgram),
    ("x-gitlab-", "from a tracker", TalkMark::OfProgram),
    ("x-bugzilla-", "from a tracker", TalkMark::OfProgram),
    ("x-mantis-", "from a tracker", TalkMark::OfProgram),
    ("x-launchpad-", "from a tracker", TalkMark::OfProgram),
    ("x-phabricator-", "from a tracker", TalkMark::OfProgram),
    ("x-discourse-", "from a forum", TalkMark::OfProgram),
    ("x-cron-env", "from a cron job", TalkMark::OfProgram),
    ("x-nagios-", "from a monitor", TalkMark::OfProgram),
];

/// The same by their third letter: a message costs one look at each of its fields.
static BY_THIRD: LazyLock<Vec<Vec<TalkField>>> = LazyLock::new(|| {
    let third = |row: &&TalkField| row.0.as_bytes().get(2).copied();
    let of =
        |letter: u8| TALK_FIELDS.iter().filter(|r| third(r) == Some(letter)).copied().collect();
    (0..128).map(of).collect()
});

/// Who carries a message. `subject` and `from` are lower case and decoded; `from` is the part that is
/// believed ([`sender::believed`]).
pub(super) fn of(
    message: &Message<'_>,
    from: &str,
    subject: &str,
    path: Path,
    trusted: bool,
) -> Carrier {
    if trusted {
        return Carrier::Notice { sure: true };
    }
    let headers = message.headers();
    if headers.has("resent-from") {
        return Carrier::Person("resent by a person");
    }
    let report = message.parts().first().is_some_and(|p| {
        p.is("multipart/report") && p.report_type.as_deref().is_none_or(|t| t.contains("status"))
    });
    let daemon = sender::is_daemon(from) || sender::is_amazon(from);
    let system = sender::is_system(from);
    let handed_on = is_reply(subject) || is_forward(subject);
    // Anybody can send from `<>`: a person who answers or forwards is one, whatever the envelope.
    let answers = handed_on || headers.has("in-reply-to");
    let person = !system && !daemon && sender::is_person(message, from);
    let personal = answers && person;
    let null_report = report && path == Path::Null && !personal;
    let own_shape = (system && (report || path == Path::Null)) || null_report;
    if let Some((why, mark)) = talks(message, subject)
        && !(own_shape
            && mark.is_of_a_notice(report, path)
            && !(person && mark == TalkMark::OfList))
    {
        return Carrier::Program(why);
    }
    if subject.contains("bounce action notification") {
        return Carrier::Program("a list manager tells its owner");
    }
    if daemon {
        return Carrier::Notice { sure: report || path != Path::Somebody };
    }
    if personal && path == Path::Null {
        return Carrier::Person("forwarded or answered by a person");
    }
    let attached = || message.own_parts().any(|p| p.is("message/delivery-status"));
    if person && path == Path::Null && !report && attached() {
        return Carrier::Person("attached by a person");
    }
    match path {
        Path::Null if report => Carrier::Notice { sure: true },
        _ if handed_on && !(system && path != Path::Somebody) => {
            Carrier::Person("forwarded or answered by a person")
        }
        // Postmasters are people, too.
        Path::Daemon if !report && (answers || sender::by_hand(message)) => {
            Carrier::Person("written by a postmaster")
        }
        _ if system || path == Path::Daemon => Carrier::Notice { sure: report },
        Path::Null => Carrier::Notice { sure: false },
        Path::Unknown if report => Carrier::Notice { sure: true },
        Path::Unknown if !sender::is_person(message, from) => Carrier::Notice { sure: false },
        _ => Carrier::Person("its sender is no mail program"),
    }
}

/// What is known of the reverse-path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    Null,
    /// Of a program that writes notices.
    Daemon,
    Somebody,
    Unknown,
}

impl Path {
    /// The envelope knows it best. What came as a file has an empty one, or none: there the
    /// Return-Path counts that final delivery wrote.
    pub(super) fn of(message: &Message<'_>, arrival: Arrival<'_>) -> Self {
        let written = message.headers().text("return-path");
        let path = match (arrival.reverse_path, written.as_deref()) {
            (Some(path), None) => path,
            (Some(path), Some(_)) if !path.is_empty() => path,
            (_, Some(written)) => written,
            (None, None) => return Self::Unknown,
        };
        let path = path.trim().trim_start_matches('<').trim_end_matches('>').to_ascii_lowercase();
        match path.as_str() {
            "" => Self::Null,
            path if sender::is_daemon(path) => Self::Null,
            path if sender::is_system(path) => Self::Daemon,
            _ => Self::Somebody,
        }
    }
}

/// What says that a message is talk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TalkMark {
    /// A field of a ticket system, a tracker, a forum or a monitor.
    OfProgram,
    /// A field of a list.
    OfList,
    /// The number of a ticket in the subject.
    Number,
}

impl TalkMark {
    /// Whether a notice may have it. A provider's may carry a field to leave its list, and any the
    /// subject of our mail. But what a list or a ticket system sends on has a reverse-path of theirs,
    /// whoever wrote it.
    fn is_of_a_notice(self, report: bool, path: Path) -> bool {
        match self {
            Self::OfProgram => report && path != Path::Somebody,
            Self::OfList => path != Path::Somebody,
            Self::Number => true,
        }
    }
}

/// Why a message is talk, and what says so.
fn talks(message: &Message<'_>, subject: &str) -> Option<(&'static str, TalkMark)> {
    let headers = message.headers();
    let marked = headers.fields().iter().find_map(|field| {
        let rows = BY_THIRD.get(usize::from(field.name.get(2)?.to_ascii_lowercase()))?;
        rows.iter().find_map(|(name, why, mark)| {
            let start = field.name.get(..name.len())?;
            let whole = name.ends_with('-') || name.len() == field.name.len();
            (whole && start.eq_ignore_ascii_case(name.as_bytes())).then_some((*why, *mark))
        })
    });
    if marked.is_some() {
        return marked;
    }
    if headers.lower("precedence").trim().starts_with("list") {
        return Some(("sent to a list", TalkMark::OfList));
    }
    has_ticket_number(subject).then_some((TICKET_NUMBER, TalkMark::Number))
}

/// `[#117904]`, `[Ticket#1]`, `[Ticket 12]`, `[Ticket ID: 42]`, `INC0012345`, `Case #00123`.
fn has_ticket_number(subject: &str) -> bool {
    const WORDS: [&str; 9] = [
        "ticket",
        "case",
        "request",
        "issue",
        "incident",
        "vorgang",
        "anfrage",
        "demande",
        "solicitud",
    ];
    if !subject.bytes().any(|b| b.is_ascii_digit()) {
        return false;
    }
    let numbered = |text: &str| {
        let rest = text.trim_start_matches([' ', '#', ':', '-', '(', '[']);
        rest.starts_with(|c: char| c.is_ascii_digit()) && text.contains(['#', ':'])
    };
    let bracketed = subject.match_indices("[#").any(|(at, _)| {
        let rest = subject.get(at + 2..).unwrap_or_default();
        rest.starts_with(|c: char| c.is_ascii_digit())
    });
    let worded = WORDS.iter().any(|word| {
        subject.match_indices(word).any(|(at, _)| {
            let rest = subject.get(at + word.len()..).unwrap_or_default();
            let mut end = rest.len().min(8);
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            let next = rest.get(..end).unwrap_or_default();
            let number = next.trim_start_matches(' ');
            let closed = number.trim_start_matches(|c: char| c.is_ascii_digit());
            let in_brackets = subject.get(..at).is_some_and(|before| before.ends_with('['))
                && closed.len() < number.len()
                && closed.starts_with(']');
            numbered(next) || in_brackets
        })
    });
    let incident = subject.match_indices("inc0").any(|(at, _)| {
        subject.get(at + 3..at + 10).is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
    });
    bracketed || worded || incident
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT_OF_ANN: &str = "From: Ann <a@x.example>\n\
        Content-Type: multipart/report; report-type=delivery-status; boundary=b\n";

    #[test]
    fn carriers_by_their_marks() {
        let notice = Carrier::Notice { sure: true };
        let maybe = Carrier::Notice { sure: false };
        let person = Carrier::Person("its sender is no mail program");
        let handed = Carrier::Person("forwarded or answered by a person");
        let answer = |field: &str| format!("{field}\n{REPORT_OF_ANN}");
        let (list, ticket) = ("sent to a list", "from a ticket system");
        let postmaster = Carrier::Person("written by a postmaster");
        let report = |from: &str, field: &str| {
            format!(
                "From: {from}\n{field}\n\
                 Content-Type: multipart/report; report-type=delivery-status; boundary=b\n"
            )
        };
        let daemon = "MAILER-DAEMON@x.example";
        let attached = "From: a@x.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n\
                        See below.\n--b\nContent-Type: message/delivery-status\n"
            .to_string();
        let via = "\"'Mail Delivery Subsystem' via Support\" <support@x.example>";
        for (path, header, expected) in [
            (Some(""), "From: MAILER-DAEMON@x.example\n", notice),
            // A forwarder rewrote the reverse-path.
            (Some("a@x.example"), "From: MAILER-DAEMON@x.example\n", maybe),
            (Some("a@x.example"), &report(daemon, "Subject: x"), notice),
            (Some("a@x.example"), "From: Mail Delivery System <MAILER-DAEMON@x.example>\n", maybe),
            // A name is anybody's, and so is a second sender.
            (Some("a@x.example"), "From: \"MAILER-DAEMON\" <a@x.example>\n", person),
            (Some("a@x.example"), "From: Mail Delivery <a@x.example>\n", person),
            (Some("a@x.example"), &report("Postmaster <a@x.example>", "Subject: x"), person),
            (Some("a@x.example"), "From: a@x.example, MAILER-DAEMON@x.example\n", person),
            (Some("a@x.example"), "From: a@x.example\nFrom: MAILER-DAEMON@x.example\n", person),
            (Some("a@mailer-daemon.example"), "From: a@mailer-daemon.example\n", person),
            (Some(""), "From: Mail <info@x.example>\n", maybe),
            // The null reverse-path does not make a program of who answers or forwards.
            (Some(""), REPORT_OF_ANN, notice),
            (Some(""), &answer("Subject: Fwd: Undelivered"), handed),
            (Some(""), &answer("Subject: Re: Undelivered"), handed),
            (Some(""), &answer("In-Reply-To: <m@x.example>"), handed),
            (Some("a@x.example"), &answer("In-Reply-To: <m@x.example>"), person),
            // Real notices answer too: a program says so of itself.
            (Some(""), &answer("In-Reply-To: <m@x.example>\nAuto-Submitted: auto-replied"), notice),
            (
                Some(""),
                "From: Mail <info@x.example>\nIn-Reply-To: <m@x.example>\n\
                 Content-Type: multipart/report; report-type=delivery-status; boundary=b\n",
                notice,
            ),
            (Some("a@x.example"), "From: Ann <a@x.example>\n", person),
            (Some("a@x.example"), "From: Ann <a@x.example>\nSubject: Fwd: Undelivered\n", handed),
            // A postmaster may be a person.
            (Some("postmaster@x.example"), "From: postmaster@x.example\n", maybe),
            (Some("jo@x.example"), "From: postmaster@x.example\nSubject: Fwd: x\n", handed),
            (
                Some("postmaster@x.example"),
                "From: postmaster@x.example\nIn-Reply-To: <m@y.example>\n",
                postmaster,
            ),
            (
                Some("postmaster@x.example"),
                "From: postmaster@x.example\nUser-Agent: Mozilla Thunderbird\n",
                postmaster,
            ),
            // Vtext answers with `Re:`.
            (None, "From: post_master@x.example\nSubject: Re: Nyaan\n", maybe),
            (None, "From: Ann <a@x.example>\n", person),
            (None, "From: amazonses.com\n", maybe),
            (
                None,
                "From: MAILER-DAEMON@x.example\nList-Id: <l.x.example>\n",
                Carrier::Program(list),
            ),
            (
                Some(""),
                "From: a@x.example\nSubject: [#117904] Undelivered\n",
                Carrier::Program(TICKET_NUMBER),
            ),
            (
                Some(""),
                "From: a@x.example\nSubject: Ticket #12 opened\n",
                Carrier::Program(TICKET_NUMBER),
            ),
            (
                Some(""),
                "From: a@x.example\nSubject: [Ticket 12] Undelivered\n",
                Carrier::Program(TICKET_NUMBER),
            ),
            // A person's report that went through a list, and one that he attached.
            (Some(""), &answer("List-Id: <l.x.example>"), Carrier::Program(list)),
            (Some(""), &answer("Precedence: list"), Carrier::Program(list)),
            (Some(""), &attached, Carrier::Person("attached by a person")),
            // What a list or a ticket system sends on has its own reverse-path.
            (
                Some("l-bounces@x.example"),
                &report(daemon, "List-Id: <l.x.example>"),
                Carrier::Program(list),
            ),
            (
                Some("support+bnc@x.example"),
                &report(via, "List-ID: <s.x.example>"),
                Carrier::Program(list),
            ),
            (Some("desk@x.example"), &report(daemon, "RT-Ticket: x #5"), Carrier::Program(ticket)),
            // A forwarder rewrote the reverse-path; the number is of our subject.
            (
                Some("srs0=a=b@fwd.example"),
                &report(daemon, "Subject: Undelivered: [#117904]"),
                notice,
            ),
            (
                Some(""),
                "From: Mail Delivery Subsystem <a@x.example>\nX-Zendesk-Priority: low\n",
                Carrier::Program(ticket),
            ),
            (Some(""), &report(daemon, "List-Unsubscribe: <mailto:a@x.example>"), notice),
            (Some(""), &report(daemon, "Subject: Undelivered: [#117904]"), notice),
            // A file: the Return-Path counts.
            (Some(""), "Return-Path: <a@x.example>\nFrom: a@x.example\n", person),
            (
                Some("a@x.example"),
                "From: MAILER-DAEMON@x.example\nResent-From: a@x.example\n",
                Carrier::Person("resent by a person"),
            ),
        ] {
            let data = format!("{header}\nbody\n--b\n\nx\n--b--\n");
            let message = Message::parse(data.as_bytes());
            let (from, subject) =
                (message.headers().lower("from"), message.headers().lower("subject"));
            let way = Path::of(&message, Arrival { reverse_path: path, trusted: false });
            let from = sender::believed(&message, &from, way == Path::Somebody);
            assert_eq!(of(&message, &from, &subject, way, false), expected, "{path:?} {header}");
            assert_eq!(of(&message, &from, &subject, way, true), notice, "{header}");
        }
    }
}
