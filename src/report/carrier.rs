//! Who carries a report: only a mail program's own notice may decide anything.
//!
//! A person can forward somebody else's notice to any return path that he ever saw, a list or a
//! ticket system can quote one, a gateway can hand one on. What they enclose or paste is read and
//! kept, but it is marked `forwarded`, and the policy takes nothing from it.
//!
//! | carrier | known by | a report inside is |
//! |---|---|---|
//! | notice | a daemon's sender; else a null reverse-path, or the shape of a report from nobody known | the message's own |
//! | person | none of these; `Fwd:`, `Re:`, Resent-From; a person's `From` that answers; a postmaster who answers or writes by hand | a forwarded one when attached or after `Fwd:`, else talk |
//! | program | list, ticket and notification fields, ticket numbers in the subject, cron; also beside a daemon's sender, when the reverse-path is somebody's | talk |
//!
//! A reverse-path that nobody knows (a file without Return-Path) is judged by the rest: the shape
//! of a report or a program's sender. Field lore: forwarders rewrite reverse-paths of notices and
//! some daemons never had a null one, so a daemon's sender is enough.

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

/// Fields of programs that tell people what others wrote: names, and beginnings that end
/// in `-`.
const TALK_FIELDS: [(&str, &str); 32] = [
    ("list-id", "sent to a list"),
    ("list-post", "sent to a list"),
    ("list-unsubscribe", "sent to many"),
    ("mailing-list", "sent to a list"),
    ("x-mailing-list", "sent to a list"),
    ("x-list-administrivia", "a list manager tells its owner"),
    ("x-beenthere", "sent to a list"),
    ("x-ticket-", "from a ticket system"),
    ("x-rt-", "from a ticket system"),
    ("rt-ticket", "from a ticket system"),
    ("x-otrs-", "from a ticket system"),
    ("x-zendesk-", "from a ticket system"),
    ("x-freshdesk-", "from a ticket system"),
    ("x-servicenow-", "from a ticket system"),
    ("x-jira-", "from a ticket system"),
    ("x-atlassian-", "from a ticket system"),
    ("x-helpscout-", "from a ticket system"),
    ("x-freescout-", "from a ticket system"),
    ("x-intercom-", "from a ticket system"),
    ("x-hubspot-", "from a ticket system"),
    ("x-osticket-", "from a ticket system"),
    ("x-zammad-", "from a ticket system"),
    ("x-redmine-", "from a tracker"),
    ("x-github-", "from a tracker"),
    ("x-gitlab-", "from a tracker"),
    ("x-bugzilla-", "from a tracker"),
    ("x-mantis-", "from a tracker"),
    ("x-launchpad-", "from a tracker"),
    ("x-phabricator-", "from a tracker"),
    ("x-discourse-", "from a forum"),
    ("x-cron-env", "from a cron job"),
    ("x-nagios-", "from a monitor"),
];

/// The same by their third letter: a message costs one look at each of its fields.
static BY_THIRD: LazyLock<Vec<Vec<(&str, &str)>>> = LazyLock::new(|| {
    let third = |row: &&(&str, &str)| row.0.as_bytes().get(2).copied();
    let of =
        |letter: u8| TALK_FIELDS.iter().filter(|r| third(r) == Some(letter)).copied().collect();
    (0..128).map(of).collect()
});

/// Who carries a message. `subject` and `from` are lower case and decoded.
pub(super) fn of(
    message: &Message<'_>,
    from: &str,
    subject: &str,
    arrival: Arrival<'_>,
) -> Carrier {
    if arrival.trusted {
        return Carrier::Notice { sure: true };
    }
    let headers = message.headers();
    if headers.has("resent-from") {
        return Carrier::Person("resent by a person");
    }
    let path = Path::of(message, arrival);
    let report = message.parts().first().is_some_and(|p| {
        p.is("multipart/report") && p.report_type.as_deref().is_none_or(|t| t.contains("status"))
    });
    let daemon = sender::is_daemon(from) || from.contains("no-reply@sns.amazonaws.com");
    let system = sender::is_system(from);
    let handed_on = is_reply(subject) || is_forward(subject);
    // Anybody can send from `<>`: a person who answers or forwards is one, whatever the envelope.
    let answers = handed_on || headers.has("in-reply-to");
    let personal = answers && !system && !daemon && sender::is_person(message, from);
    let null_report = report && path == Path::Null && !personal;
    let own_shape = (system && (report || path == Path::Null)) || null_report;
    // A provider's notice may carry a field to leave its list, or the number in our subject. What a
    // list or a ticket system sends on has its own reverse-path, whoever wrote it, and only such a
    // system writes its fields.
    let own_shape = own_shape && path != Path::Somebody;
    match talks(message, subject) {
        Some(talk) if !own_shape || (talk.is_own_field && !report) => {
            return Carrier::Program(talk.why);
        }
        _ => {}
    }
    if subject.contains("bounce action notification") {
        return Carrier::Program("a list manager tells its owner");
    }
    if daemon {
        return Carrier::Notice { sure: true };
    }
    if personal && path == Path::Null {
        return Carrier::Person("forwarded or answered by a person");
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

/// Whether a message came from the null reverse-path, as notices and answers do.
pub(super) fn from_nobody(message: &Message<'_>, arrival: Arrival<'_>) -> bool {
    Path::of(message, arrival) == Path::Null
}

/// What is known of the reverse-path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    Null,
    /// Of a program that writes notices.
    Daemon,
    Somebody,
    Unknown,
}

impl Path {
    /// The envelope knows it best. What came as a file has an empty one, or none: there the
    /// Return-Path counts that final delivery wrote.
    fn of(message: &Message<'_>, arrival: Arrival<'_>) -> Self {
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

/// Why a message is talk.
struct Talk {
    why: &'static str,
    /// A field that no mail system writes: not one of lists, and no number in a subject.
    is_own_field: bool,
}

/// A field of such a program, or the number of a ticket in the subject.
fn talks(message: &Message<'_>, subject: &str) -> Option<Talk> {
    let headers = message.headers();
    let marked = headers.fields().iter().find_map(|field| {
        let rows = BY_THIRD.get(usize::from(field.name.get(2)?.to_ascii_lowercase()))?;
        rows.iter().find_map(|(name, why)| {
            let start = field.name.get(..name.len())?;
            let whole = name.ends_with('-') || name.len() == field.name.len();
            (whole && start.eq_ignore_ascii_case(name.as_bytes())).then_some(*why)
        })
    });
    if let Some(why) = marked {
        return Some(Talk { why, is_own_field: why.starts_with("from a ") });
    }
    let to_list =
        || headers.lower("precedence").trim().starts_with("list").then_some("sent to a list");
    let number = || has_ticket_number(subject).then_some(TICKET_NUMBER);
    to_list().or_else(number).map(|why| Talk { why, is_own_field: false })
}

/// `[#117904]`, `[Ticket#1]`, `[Ticket ID: 42]`, `INC0012345`, `Case #00123`.
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
            numbered(rest.get(..end).unwrap_or_default())
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
        let via = "\"'Mail Delivery Subsystem' via Support\" <support@x.example>";
        for (path, header, expected) in [
            (Some(""), "From: MAILER-DAEMON@x.example\n", notice),
            // A forwarder rewrote the reverse-path.
            (Some("a@x.example"), "From: MAILER-DAEMON@x.example\n", notice),
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
            let arrival = Arrival { reverse_path: path, trusted: false };
            assert_eq!(of(&message, &from, &subject, arrival), expected, "{path:?} {header}");
            let trusted = Arrival { trusted: true, ..arrival };
            assert_eq!(of(&message, &from, &subject, trusted), notice, "{header}");
        }
    }
}
