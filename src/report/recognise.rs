//! The order in which a message is tried, from reports with a structure to notices in words.

use std::sync::LazyLock;

use super::carrier::{self, Arrival, Carrier, Path};
use super::fields::{delivery_status, quoted};
use super::formats::Notice;
use super::subject::{is_forward, is_reply};
use super::types::{Action, Kind, Report};
use super::words::bounded_words;
use super::{answers, arf, formats, mdn, original, sender};
use crate::mail::MultiSearch;
use crate::message::Message;

/// What a message says; `arrival` is what is known of its way. A message that nobody recognises is a
/// [`Kind::Other`].
pub fn recognise(message: &Message<'_>, arrival: Arrival<'_>) -> Report {
    recognise_without(message, arrival, "")
}

/// The same with one textual format taken as unknown: what is left shows how far the rest reaches.
pub fn recognise_without(message: &Message<'_>, arrival: Arrival<'_>, without: &str) -> Report {
    if let Some(report) = arf::recognise(message).or_else(|| mdn::recognise(message)) {
        return report;
    }
    let human = message.human_text();
    let all_lower = human.to_ascii_lowercase();
    let text = own_words(&human, &all_lower);
    let lower = all_lower.get(..text.len()).unwrap_or_default();
    let from = message.headers().lower("from");
    let subject = message.headers().lower("subject");
    let (from, subject) = (from.as_str(), subject.as_str());
    let path = Path::of(message, arrival);
    let sender = sender::believed(message, from, path == Path::Somebody);
    let sender = sender.as_ref();
    let view =
        MessageView { message, human: &human, text, lower, from, sender, subject, path, without };
    let carrier = carrier::of(message, sender, subject, path, arrival.trusted);
    let report = match carrier {
        Carrier::Notice { sure: true } => {
            let by_fields = view.structured().or_else(|| quoted(message, text));
            by_fields.map_or_else(|| view.worded(), Ok)
        }
        // What an answer quotes or encloses is not what it says.
        Carrier::Notice { sure: false } => match answers::read(message, &human) {
            Ok(report) => Ok(report),
            Err(signs) => {
                let report = view.structured().map_or_else(|| view.in_words(&signs), Ok);
                report.map(|report| view.if_it_names_itself(&signs, report))
            }
        },
        Carrier::Person(why) => match answers::read(message, &human) {
            Ok(report) => Ok(report),
            Err(signs) => view.handed_on(&signs, why),
        },
        Carrier::Program(why) => match answers::read(message, &human) {
            Ok(report) => Ok(report),
            // The subject of our mail is after what a notice says itself.
            Err(signs) if why == carrier::TICKET_NUMBER && view.names_a_failure_first(&signs) => {
                view.structured().map_or_else(|| view.in_words(&signs), Ok)
            }
            // A notice that went through a list is still read, and one that came from `<>` with its fields.
            Err(signs)
                if sender::is_system(sender) || (path == Path::Null && view.attaches_fields()) =>
            {
                view.handed_on(&signs, why)
            }
            Err(_) => Err(view.talk(why)),
        },
    };
    let mut report = report.unwrap_or_else(|clue| {
        let mut report = Report::new(Kind::Other, "none");
        report.clues.push(clue);
        report
    });
    if arrival.trusted && report.forwarded {
        report.vouch();
    }
    report
}

/// A message that carries no ARF and no MDN, as the readers below see it.
struct MessageView<'a, 'x> {
    message: &'a Message<'x>,
    /// What people read of it.
    human: &'a str,
    /// The same up to the returned message, and in lower case.
    text: &'a str,
    lower: &'a str,
    from: &'a str,
    /// What is believed of it.
    sender: &'a str,
    subject: &'a str,
    path: Path,
    without: &'a str,
}

/// By what programs tell that they hand on what others wrote.
static HANDS_ON: LazyLock<MultiSearch> = LazyLock::new(|| {
    MultiSearch::new([
        // Apple Mail
        "begin forwarded message:",
        "anfang der weitergeleiteten nachricht:",
        "début du message réexpédié",
        "début du message transféré",
        "inicio del mensaje reenviado:",
        "inizio messaggio inoltrato:",
        "begin doorgestuurd bericht:",
        "início da mensagem encaminhada:",
        "переадресованного сообщения:",
        // Gmail, Outlook.com
        "---------- forwarded message ---------",
        "---------- weitergeleitete nachricht ---------",
        // Ticket systems
        "please type your reply above this line",
        "reply above this line",
        // Web forms
        "sent from a contact form on",
        "sent via a contact form on",
    ])
});

/// Why nobody claims a message.
const NOBODY: &str = "no recogniser claims it";

impl MessageView<'_, '_> {
    /// By fields, in their own part or pasted.
    fn structured(&self) -> Option<Report> {
        let pasted = || {
            let subject = Some(self.subject).filter(|s| is_forward(s));
            let mut report = subject.and_then(|_| quoted(self.message, self.human))?;
            report.hand_on("delivery-status fields in quotes");
            Some(report)
        };
        delivery_status(self.message, self.text).or_else(pasted)
    }

    /// A notice says what it is in its sender, its subject, its fields or its shape, or it begins with
    /// it and returns our mail. A text that says it nowhere else may be a web form, a build log or an
    /// alert that pastes one, for any program can send from `<>`. A postmaster who is somebody writes
    /// letters, too, and where a daemon's reverse-path is somebody's its address is not enough.
    fn if_it_names_itself(&self, signs: &answers::Signs, mut report: Report) -> Report {
        let from_somebody = matches!(self.path, Path::Somebody | Path::Daemon);
        let shaped = self.message.parts().first().is_some_and(|p| p.is("multipart/report"));
        let named = (sender::is_daemon(self.sender) && self.path != Path::Somebody)
            || (sender::is_system(self.sender) && !from_somebody)
            // Under a reverse-path of its own.
            || (sender::is_amazon(self.sender) && report.format == formats::SES)
            || signs.header
            || (signs.subject && !self.tells_of_another(signs))
            || self.begins_with_it_and_returns_mail();
        if report.forwarded {
            return report;
        }
        if !(shaped || named) {
            report.hand_on("only its text says that it is a notice");
        } else if self.says_that_it_hands_on() {
            report.hand_on("its text says that somebody else wrote it");
        }
        report
    }

    /// The subject names a failure after the words of whoever tells of it: a tag before what somebody
    /// sent on, or `Request received:` of a program that answers, and wants no answer to that.
    fn tells_of_another(&self, signs: &answers::Signs) -> bool {
        let answers = || {
            self.message.headers().has("x-auto-response-suppress")
                && !sender::is_system(self.sender)
                && !signs.leads
        };
        (self.path == Path::Somebody && self.subject.starts_with(['[', '#'])) || answers()
    }

    /// Words of mail programs, web forms and ticket systems above or below what they hand on.
    fn says_that_it_hands_on(&self) -> bool {
        !sender::is_system(self.sender) && HANDS_ON.any(self.lower.as_bytes())
    }

    /// RFC 3464 fields are a part of it.
    fn attaches_fields(&self) -> bool {
        self.message.parts().iter().any(|p| p.is("message/delivery-status"))
    }

    /// A daemon's text may have our mail in it, too.
    fn begins_with_it_and_returns_mail(&self) -> bool {
        let first = self.lower.trim_start().split("\n\n").next().unwrap_or_default();
        let returned = || self.message.own_parts().any(|p| p.is_open_message());
        let in_text = || self.text.len() < self.human.len() && sender::is_daemon(self.sender);
        formats::says_failure(first) && (returned() || in_text())
    }

    /// From nobody, and its subject says what failed before anything in brackets.
    fn names_a_failure_first(&self, signs: &answers::Signs) -> bool {
        self.path == Path::Null && signs.subject && !self.subject.starts_with(['[', '#'])
    }

    /// An answer, or a notice in words.
    fn worded(&self) -> Result<Report, String> {
        answers::read(self.message, self.human).or_else(|signs| self.in_words(&signs))
    }

    /// A notice in words.
    fn in_words(&self, signs: &answers::Signs) -> Result<Report, String> {
        let Self { message, text, lower, from, subject, without, .. } = *self;
        let from_nobody = self.path == Path::Null;
        let notice = Notice { message, text, lower, from, subject, signs, from_nobody, without };
        if let Some(report) =
            forwarded(&notice, self.human).or_else(|| enclosed(message, subject, without))
        {
            return Ok(report);
        }
        let Some(mut report) = formats::recognise(&notice) else { return Err(NOBODY.into()) };
        original::attach(&mut report, message, self.human);
        complete(&mut report, &notice);
        Ok(report)
    }

    /// What a person hands on: a notice that is attached, or pasted after `Fwd:`. An answer that
    /// quotes one is talk.
    fn handed_on(&self, signs: &answers::Signs, why: &'static str) -> Result<Report, String> {
        if is_reply(self.subject) {
            return Err(self.talk(why));
        }
        let report = match self.attaches_fields() || is_forward(self.subject) {
            true => self.structured(),
            false => None,
        };
        let mut report = match report {
            Some(report) => report,
            None => self.in_words(signs).map_err(|_| self.talk(why))?,
        };
        if !report.forwarded {
            report.hand_on(why);
        }
        Ok(report)
    }

    /// The clue of a message that only talks of reports: the address in it is kept, for people.
    fn talk(&self, why: &str) -> String {
        let quoted = delivery_status(self.message, self.text);
        let named = quoted.iter().flat_map(|r| &r.recipients).filter_map(|r| r.address.as_ref());
        let named: Vec<&str> = named.take(5).map(|a| a.as_str()).collect();
        match named.is_empty() {
            true => format!("{NOBODY}: {why}"),
            false => format!("quotes a report about {}: {why}", named.join(", ")),
        }
    }
}

/// A notice in words that a person forwarded in the text: its sender is in the pasted header.
fn forwarded(carrier: &Notice<'_, '_>, human: &str) -> Option<Report> {
    if !is_forward(carrier.subject) {
        return None;
    }
    let pasted = original::pasted_in_text(human)?;
    let tail: String = human
        .get(pasted..)?
        .lines()
        .take(2_000)
        .flat_map(|line| [line.trim_start_matches(['>', ' ']), "\n"])
        .collect();
    let (head, body) = tail.split_once("\n\n")?;
    let from = head.to_ascii_lowercase();
    let lower = body.to_ascii_lowercase();
    let text = own_words(body, &lower);
    let lower = lower.get(..text.len()).unwrap_or_default();
    let notice = Notice { text, lower, from: &from, from_nobody: false, ..*carrier };
    let mut report = formats::recognise_forwarded(&notice)?;
    report.hand_on("pasted into a text");
    complete(&mut report, &notice);
    Some(report)
}

/// A notice in words that a person forwarded as an attachment: its sender must be a mail system.
fn enclosed(message: &Message<'_>, subject: &str, without: &str) -> Option<Report> {
    if !is_forward(subject) {
        return None;
    }
    let part = message.own_parts().find(|p| p.is_open_message())?;
    let inner = Message::parse(part.body);
    let human = inner.human_text();
    let all_lower = human.to_ascii_lowercase();
    let text = own_words(&human, &all_lower);
    let notice = Notice {
        message: &inner,
        text,
        lower: all_lower.get(..text.len()).unwrap_or_default(),
        from: &inner.headers().lower("from"),
        subject: &inner.headers().lower("subject"),
        signs: &answers::bounce_signs(&inner, &human),
        from_nobody: Path::of(&inner, Arrival::default()) == Path::Null,
        without,
    };
    let mut report = formats::recognise_forwarded(&notice)?;
    report.hand_on("inside a forwarded message");
    original::attach(&mut report, &inner, &human);
    complete(&mut report, &notice);
    Some(report)
}

/// A text up to where the returned message begins: the line that announces it, or its fields.
/// `lower` is the same text in lower case.
fn own_words<'t>(human: &'t str, lower: &str) -> &'t str {
    let fields = original::start_in_text(human).unwrap_or(human.len());
    let announced = lower.get(..fields).and_then(formats::original_announced);
    human.get(..announced.unwrap_or(fields)).unwrap_or(human)
}

/// What a textual notice leaves open: recipients from `X-Failed-Recipients` or the returned mail.
fn complete(report: &mut Report, notice: &Notice<'_, '_>) {
    if report.recipients.is_empty() {
        let action = if report.kind == Kind::Delay { Action::Delayed } else { Action::Failed };
        report.recipients = formats::failed_header(notice, action);
        if report.recipients.is_empty()
            && let Some(found) = formats::candidates::of_returned(notice, action)
                .or_else(|| formats::candidates::in_words(notice, action))
        {
            report.clues.push(format!("recipient: {}", found.how));
            report.recipients = found.recipients;
        }
    }
    for recipient in &mut report.recipients {
        if recipient.remarks.is_empty() {
            recipient.remarks = bounded_words(notice.text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_number_of_our_own_subject_is_none_of_the_notice() {
        let notice = "This is the mail system at host mx.x.example.\n\nI'm sorry to have to inform you \
                      that your message could not\nbe delivered to one or more recipients.\n\n\
                      <ann@x.example>: host mx[192.0.2.1] said: 550 5.1.1 User unknown\n";
        for (path, from, subject, kind) in [
            ("", "gateway@mx.example", "Undelivered Mail: [Ticket#12] Newsletter", Kind::Failure),
            ("", "noreply@mx.example", "Delivery failed: Case #00123 update", Kind::Failure),
            ("", "desk@mx.example", "[#12] Undelivered Mail Returned to Sender", Kind::Other),
            ("", "desk@mx.example", "Ticket #12: a bounce came in", Kind::Other),
            ("a@mx.example", "a@mx.example", "Undelivered Mail: [Ticket#12] x", Kind::Other),
        ] {
            let data = format!("From: {from}\nSubject: {subject}\n\n{notice}");
            let report = recognise(&Message::parse(data.as_bytes()), Arrival::by(path));
            assert_eq!(report.kind, kind, "{path} {from} {subject}");
        }
    }

    const UNDELIVERED: &str = "Undelivered Mail Returned to Sender";

    #[test]
    fn what_a_list_or_a_ticket_system_hands_on_is_kept_and_decides_nothing() {
        let fields = "--b\n\nThe mail could not be delivered.\n--b\nContent-Type: \
                      message/delivery-status\n\nReporting-MTA: dns; mx.x.example\n\nFinal-Recipient: \
                      rfc822; ann@x.example\nAction: failed\nStatus: 5.1.1\n--b--\n";
        for (from, subject, shape, forwarded) in [
            ("joe@x.example", UNDELIVERED, "report; report-type=delivery-status", false),
            (
                "joe@x.example\nList-Id: <l>",
                UNDELIVERED,
                "report; report-type=delivery-status",
                true,
            ),
            (
                "joe@x.example\nPrecedence: list",
                UNDELIVERED,
                "report; report-type=delivery-status",
                true,
            ),
            (
                "noreply@x.example\nList-Unsubscribe: <mailto:a@x.example>",
                UNDELIVERED,
                "report; report-type=delivery-status",
                false,
            ),
            ("joe@x.example", UNDELIVERED, "mixed", true),
            ("noreply@x.example", UNDELIVERED, "mixed", false),
            (
                "support@x.example\nAuto-Submitted: auto-generated",
                "[Ticket 12] Undelivered Mail",
                "mixed",
                true,
            ),
            ("gateway@x.example", "Undelivered Mail: [Ticket 12] news", "mixed", false),
        ] {
            let data = format!(
                "From: {from}\nSubject: {subject}\nMIME-Version: 1.0\n\
                 Content-Type: multipart/{shape}; boundary=b\n\n{fields}"
            );
            let report = recognise(&Message::parse(data.as_bytes()), Arrival::by(""));
            assert_eq!(report.kind, Kind::Failure, "{from} {subject} {shape} {:?}", report.clues);
            assert_eq!(report.forwarded, forwarded, "{from} {subject} {shape} {:?}", report.clues);
        }
    }

    #[test]
    fn a_text_from_nobody_must_say_elsewhere_that_it_is_a_notice() {
        let notice = "This is the mail system at host mx.x.example.\n\nI'm sorry to have to inform you \
                      that your message could not\nbe delivered to one or more recipients.\n\n\
                      <ann@x.example>: host mx[192.0.2.1] said: 550 5.1.1 User unknown\n";
        let returned = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n\
             Your mail could not be delivered to: <ann@x.example>\nUser unknown\n\n--b\n\
             Content-Type: message/rfc822\n\nFrom: n@us.example\nTo: ann@x.example\n\nHi\n--b--\n"
            .to_string();
        let pasted = |before: &str| format!("\n{before}\n\n{notice}");
        for (path, from, subject, text, forwarded) in [
            ("", "www-data@x.example", "Contact form", pasted("Name: Ann\nMessage:"), true),
            ("", "jenkins@ci.example", "Build #12 is red", pasted("expected:"), true),
            ("", "notify@forum.example", "Ann mentioned you", pasted("Ann wrote:"), true),
            ("", "virusalert@x.example", "VIRUS in your mail", pasted("A virus:"), true),
            ("postmaster@x.example", "postmaster@x.example", "newsletter", pasted("Hi,"), true),
            // Of somebody's mail a name, a second sender, a daemon's address and what stands after a
            // tag say nothing.
            ("joe@x.example", "\"MAILER-DAEMON\" <joe@x.example>", UNDELIVERED, pasted(""), true),
            ("joe@x.example", "Mail Delivery <joe@x.example>", UNDELIVERED, pasted("Hi."), true),
            (
                "joe@x.example",
                "joe@x.example\nFrom: MAILER-DAEMON@x.example",
                UNDELIVERED,
                pasted(""),
                true,
            ),
            (
                "joe@x.example",
                "joe@x.example, MAILER-DAEMON@x.example",
                UNDELIVERED,
                pasted(""),
                true,
            ),
            ("joe@x.example", "MAILER-DAEMON@x.example", "Contact form", pasted("Name: Joe"), true),
            (
                "joe@x.example",
                "postmaster@x.example",
                "[Shop] Mail delivery failed",
                pasted(""),
                true,
            ),
            // A forwarder has rewritten the reverse-path.
            ("srs0=a=b@x.example", "MAILER-DAEMON@x.example", UNDELIVERED, pasted(""), false),
            (
                "srs0=a=b@x.example",
                "postmaster@x.example",
                "Mail delivery failed",
                pasted(""),
                false,
            ),
            // Who hands it on says so: a program that answers, a mail program, a form.
            (
                "",
                "desk@x.example\nX-Auto-Response-Suppress: All",
                "Request received: Undelivered Mail Returned to Sender",
                pasted("12"),
                true,
            ),
            ("", "info@x.example\nX-Auto-Response-Suppress: All", UNDELIVERED, pasted(""), false),
            (
                "",
                "postmaster@x.example\nX-Auto-Response-Suppress: All",
                "hello: Undeliverable",
                pasted(""),
                false,
            ),
            ("", "joe@x.example", UNDELIVERED, pasted("Hi\n\nBegin forwarded message:"), true),
            (
                "",
                "info@x.example",
                UNDELIVERED,
                pasted("## Please type your reply above this line ##"),
                true,
            ),
            // It says so in its subject, its fields, its sender, or it returns our mail.
            ("", "info@x.example", UNDELIVERED, pasted("Hello."), false),
            ("", "info@x.example\nX-Failed-Recipients: ann@x.example", "Mail", pasted(""), false),
            ("", "MAILER-DAEMON@x.example", "Mail", pasted("Hello."), false),
            ("", "no-reply@x.example", "Mail", returned, false),
        ] {
            let data = format!("From: {from}\nSubject: {subject}\n{text}");
            let report = recognise(&Message::parse(data.as_bytes()), Arrival::by(path));
            assert_eq!(report.kind, Kind::Failure, "{from} {subject}");
            assert_eq!(report.forwarded, forwarded, "{from} {subject} {:?}", report.clues);
        }
    }
}
