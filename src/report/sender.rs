//! Who sent a message, by its `From`: a mail system, some program, or a person.

use std::sync::LazyLock;

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
    NAMES.any(from.as_bytes()) || has_no_address(from)
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
    has_no_address(from) || NAMES.iter().any(|name| from.contains(name))
}
