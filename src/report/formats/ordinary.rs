//! What is no notice although it uses the words of one: people and lists that talk about bounces,
//! newsletters, shops and parcel services.
//!
//! Promise: a message whose sender is a mail system, or that says in its header that it reports
//! failed recipients, is never called ordinary; nor is one whose envelope sender was empty.

use std::sync::LazyLock;

use super::Notice;
use crate::mail::Needles;
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

/// Words of shops and parcel services.
const GOODS: [&str; 36] = [
    "parcel",
    "package",
    "tracking number",
    "tracking no",
    "shipment",
    "shipping",
    "courier delivery",
    "your order",
    "order number",
    "sendung",
    "sendungsnummer",
    "paket",
    "bestellung",
    "colis",
    "livraison de votre",
    "numéro de suivi",
    "commande",
    "paquete",
    "pedido",
    "número de seguimiento",
    "pacco",
    "spedizione",
    "ordine",
    "encomenda",
    "pakket",
    "zending",
    "bestelling",
    "paczk",
    "przesyłk",
    "zásilk",
    "посылк",
    "заказ",
    "包裹",
    "快递",
    "荷物",
    "配達員",
];

/// Beginnings of subjects of replies. Forwarding is no reply: people forward notices.
const REPLIES: [&str; 10] =
    ["re:", "re :", "aw:", "sv:", "antw:", "antwort:", "odp:", "res:", "rif:", "vs:"];

/// Parts of the name of a sender that is a program, though not surely a mail system.
const PROGRAMS: [&str; 20] = [
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
];

/// Who sent a message, as far as its header tells.
pub(super) enum Sender {
    /// A mail system, or a message whose answers go nowhere.
    System,
    /// Some program.
    Program,
    /// Nothing says that it is not a person.
    Person,
}

/// Who sent a notice.
pub(super) fn sender(notice: &Notice<'_, '_>) -> Sender {
    if is_of_system(notice) {
        Sender::System
    } else if is_person(notice.message, notice.from) {
        Sender::Person
    } else {
        Sender::Program
    }
}

/// Whether nothing says that a sender (in lower case) is a program.
pub(in crate::report) fn is_person(message: &Message<'_>, from: &str) -> bool {
    // The domain says nothing: everybody writes from gmail.com. Without one it is no person.
    let Some((name, _)) = from.rsplit_once('@') else { return false };
    let marked = message.headers().text("auto-submitted");
    let automatic = marked.is_some_and(|value| !value.trim().eq_ignore_ascii_case("no"));
    !automatic && !PROGRAMS.iter().any(|p| name.contains(p))
}

/// Whether a subject (in lower case) begins as that of an answer.
pub(in crate::report) fn is_reply(subject: &str) -> bool {
    REPLIES.iter().any(|p| subject.trim_start().starts_with(p))
}

fn is_of_system(notice: &Notice<'_, '_>) -> bool {
    let headers = notice.message.headers();
    is_system(notice.from)
        || notice.signs.header
        || headers.has("x-failed-recipients")
        || notice.from_nobody
        || notice.message.parts().first().is_some_and(|p| p.is("multipart/report"))
}

/// Whether a sender is a mail system.
pub(in crate::report) fn is_system(from: &str) -> bool {
    static NAMES: LazyLock<Needles> = LazyLock::new(|| Needles::new(SYSTEMS));
    NAMES.any(from.as_bytes()) || is_daemon(from)
}

/// `"Jetmail System" <>`: a program that wants no answer.
pub(super) fn has_no_address(from: &str) -> bool {
    from.trim_ascii_end().ends_with("<>")
}

/// Whether a sender is a mail system that never writes anything but notices: a postmaster may.
pub(in crate::report) fn is_daemon(from: &str) -> bool {
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

pub(super) fn is_ordinary(notice: &Notice<'_, '_>) -> bool {
    let headers = notice.message.headers();
    let system = is_system(notice.from) || headers.has("x-failed-recipients") || notice.from_nobody;
    if system {
        return talks_of_lists(notice);
    }
    let reply = is_reply(notice.subject);
    let to_many = ["list-id", "list-post", "list-unsubscribe"].iter().any(|h| headers.has(h));
    let in_thread = headers.has("in-reply-to") || headers.has("references");
    let quotes = notice.text.lines().filter(|l| l.starts_with('>')).take(2).count() == 2;
    reply || to_many || (in_thread && quotes) || sells(notice)
}

/// Goods, and nothing that only mail has.
fn sells(notice: &Notice<'_, '_>) -> bool {
    static WORDS: LazyLock<Needles> = LazyLock::new(|| Needles::new(GOODS));
    let text = super::rows::head(notice.lower);
    let mail = ["mailbox", "user unknown", "smtp", "returned mail", "rcpt to", "postfach"];
    (WORDS.any(text.as_bytes()) || WORDS.any(notice.subject.as_bytes()))
        && !mail.iter().any(|w| text.contains(w))
}

/// What list programs tell owners about their members' bounces.
fn talks_of_lists(notice: &Notice<'_, '_>) -> bool {
    notice.subject.contains("bounce action notification")
        || super::rows::head(notice.lower)
            .contains("this is a mailman mailing list bounce action notice")
}
