//! Who sent a message, by its `From`: a mail system, some program, or a person.
//!
//! Anybody may call himself anything: of a message that somebody sent only the address counts, and of
//! several senders those that are no mail system ([`believed`]).

use std::borrow::Cow;
use std::sync::LazyLock;

use super::addresses;
use crate::mail::MultiSearch;
use crate::message::Message;

/// Parts of `From` by which mail systems call themselves.
const SYSTEMS: [&str; 26] = [
    "mailer-daemon",
    "mailer daemon",
    "mailerdaemon",
    "mail-daemon",
    "mdaemon",
    "postmaster",
    "post_master",
    "poostmaster",
    "mail router",
    "interscan",
    "mail delivery",
    "mail deliver",
    "delivery subsystem",
    "delivery system",
    "delivery notification",
    "mail system",
    "mailsystem",
    "system administrator",
    "systemadministrator",
    "administrateur syst",
    "administrador del sistema",
    "systeembeheerder",
    "microsoftexchange",
    "mail administrator",
    "daemon@",
    "bounce@",
];

/// Parts of the name of a sender that is a program, though not surely a mail system.
const PROGRAMS: [&str; 26] = [
    "noreply",
    "no-reply",
    "no_reply",
    "donotreply",
    "do-not-reply",
    "mail",
    "smtp",
    "gateway",
    "server",
    "system",
    "daemon",
    "admin",
    "root",
    "notif",
    "exchange",
    "deliver",
    "ndr",
    "bounce",
    "report",
    "abuse",
    "virus",
    "scanner",
    "filter",
    "firewall",
    "fax",
    "robot",
];

/// The part of `from` (in lower case) that says who sent the message. `somebody`: its reverse-path is
/// a person's, or some program's.
pub fn believed<'a>(message: &Message<'_>, from: &'a str, somebody: bool) -> Cow<'a, str> {
    let headers = message.headers();
    let fields = || headers.fields().iter().filter(|f| f.name.eq_ignore_ascii_case(b"from"));
    let first = headers.addresses("from");
    if first.len() > 1 || fields().nth(1).is_some() {
        let all: Vec<String> = fields().map(|field| field.text().to_lowercase()).collect();
        let named = all.iter().flat_map(|text| addresses::all_in(text)).map(|(a, _)| a.to_string());
        let others: Vec<String> = named.filter(|address| !is_system(address)).collect();
        if !others.is_empty() {
            return Cow::Owned(others.join(", "));
        }
    }
    if !somebody {
        return Cow::Borrowed(from);
    }
    if let Some(address) = first.first() {
        return Cow::Owned(address.as_str().to_lowercase());
    }
    // `Mail Delivery Subsystem <MAILER-DAEMON>`, `"Jetmail System" <>`, `MAILER-DAEMON (mx)`
    match from.rfind('<') {
        Some(at) => Cow::Borrowed(from.get(at..).unwrap_or_default()),
        None => {
            let name = from.split('(').next().unwrap_or_default().trim();
            Cow::Borrowed(if name.contains([' ', '"']) { "" } else { name })
        }
    }
}

/// Whether nothing says that a sender (in lower case) is a program.
pub fn is_person(message: &Message<'_>, from: &str) -> bool {
    // The domain says nothing: everybody writes from gmail.com. Without one it is no person.
    let Some((name, _)) = from.rsplit_once('@') else { return false };
    let marked = message.headers().text("auto-submitted");
    let automatic = marked.is_some_and(|value| !value.trim().eq_ignore_ascii_case("no"));
    !automatic && !PROGRAMS.iter().any(|p| name.contains(p))
}

/// Whether a message was written in a mail program for people.
pub fn by_hand(message: &Message<'_>) -> bool {
    const PROGRAMS: [&str; 10] = [
        "thunderbird",
        "apple mail",
        "iphone mail",
        "ipad mail",
        "microsoft outlook",
        "evolution",
        "kmail",
        "mutt/",
        "claws mail",
        "roundcube",
    ];
    let headers = message.headers();
    let by = |field: &str| {
        let value = headers.lower(field);
        PROGRAMS.iter().any(|program| value.contains(program))
    };
    by("user-agent") || by("x-mailer")
}

/// Whether a sender is a mail system.
pub fn is_system(from: &str) -> bool {
    static NAMES: LazyLock<MultiSearch> = LazyLock::new(|| MultiSearch::new(SYSTEMS));
    // A daemon's names are among these.
    has_no_address(from) || NAMES.any(without_domains(from).as_bytes())
}

/// A sender without what is after each `@`: `joe@postmaster.example` is a person.
fn without_domains(from: &str) -> String {
    let mut rest = String::with_capacity(from.len());
    for (n, piece) in from.split('@').enumerate() {
        let in_domain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        rest.push_str(if n == 0 { piece } else { piece.trim_start_matches(in_domain) });
        rest.push('@');
    }
    rest.pop();
    rest
}

/// Whether a sender is Amazon SNS, which tells of bounces.
pub fn is_amazon(from: &str) -> bool {
    from.contains("no-reply@sns.amazonaws.com")
}

/// `"Jetmail System" <>`: a program that wants no answer.
pub fn has_no_address(from: &str) -> bool {
    from.trim_ascii_end().ends_with("<>")
}

/// Whether a sender is a mail system that never writes anything but notices: a postmaster may.
pub fn is_daemon(from: &str) -> bool {
    const NAMES: [&str; 6] = [
        "mailer-daemon",
        "mailer daemon",
        "mailerdaemon",
        "mail-daemon",
        "mail delivery",
        "delivery subsystem",
    ];
    has_no_address(from)
        || NAMES.iter().any(|name| from.contains(name) && without_domains(from).contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_believed_as_far_as_nobody_else_may_be_meant() {
        for (from, by_nobody, by_somebody) in [
            ("MAILER-DAEMON@x.example", true, true),
            ("Mail Delivery System <MAILER-DAEMON@x.example>", true, true),
            ("MAILER-DAEMON@x.example (Mail Delivery System)", true, true),
            ("Mail Delivery Subsystem <MAILER-DAEMON>", true, true),
            ("MAILER-DAEMON (mx)", true, true),
            ("\"Jetmail System\" <>", true, true),
            ("\"MAILER-DAEMON\" <joe@x.example>", true, false),
            ("Mail Delivery <joe@x.example>", true, false),
            ("\"MAILER-DAEMON@x.example\" <joe@x.example>", true, false),
            ("Mail Delivery", true, false),
            ("joe@mailer-daemon.example", false, false),
            ("joe@x.example, MAILER-DAEMON@x.example", false, false),
            ("joe@x.example\nFrom: MAILER-DAEMON@x.example", false, false),
            ("MAILER-DAEMON@x.example\nFrom: joe@x.example", false, false),
            ("MAILER-DAEMON@x.example\nFrom: MAILER-DAEMON@x.example", true, true),
        ] {
            let data = format!("From: {from}\n\n");
            let message = Message::parse(data.as_bytes());
            let from = message.headers().lower("from");
            let daemon = |somebody| is_daemon(&believed(&message, &from, somebody));
            assert_eq!((daemon(false), daemon(true)), (by_nobody, by_somebody), "{data}");
        }
        assert!(is_system("postmaster@x.example") && !is_system("joe@postmaster.example"));
    }
}
