//! What is no notice although it uses the words of one: people and lists that talk about bounces,
//! newsletters, shops and parcel services.
//!
//! Promise: a message whose sender is a mail system, or that says in its header that it reports
//! failed recipients, is never called ordinary; nor is one whose envelope sender was empty.

use std::sync::LazyLock;

use super::Notice;
use crate::mail::Needles;

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
        return Sender::System;
    }
    // The domain says nothing: everybody writes from gmail.com.
    let name = notice.from.rsplit_once('@').map_or(notice.from, |(name, _)| name);
    let marked = notice.message.headers().text("auto-submitted");
    let automatic = marked.is_some_and(|value| !value.trim().eq_ignore_ascii_case("no"));
    if automatic || PROGRAMS.iter().any(|p| name.contains(p)) {
        Sender::Program
    } else {
        Sender::Person
    }
}

fn is_of_system(notice: &Notice<'_, '_>) -> bool {
    let headers = notice.message.headers();
    is_system(notice.from)
        || notice.signs.header
        || headers.has("x-failed-recipients")
        || headers.text("return-path").is_some_and(|p| is_null(&p))
        || notice.message.parts().first().is_some_and(|p| p.is("multipart/report"))
}

/// `<>`, or what old MTAs write for it: `<MAILER-DAEMON@mx.example.net>`.
fn is_null(return_path: &str) -> bool {
    let path = return_path.trim().trim_start_matches('<');
    path == ">" || path.get(..13).is_some_and(|name| name.eq_ignore_ascii_case("mailer-daemon"))
}

/// Whether a sender is a mail system.
pub(super) fn is_system(from: &str) -> bool {
    static NAMES: LazyLock<Needles> = LazyLock::new(|| Needles::new(SYSTEMS));
    NAMES.any(from.as_bytes()) || is_daemon(from)
}

/// `"Jetmail System" <>`: a program that wants no answer.
pub(super) fn has_no_address(from: &str) -> bool {
    from.trim_ascii_end().ends_with("<>")
}

/// Whether a sender is a mail system that never writes anything but notices: a postmaster may.
pub(super) fn is_daemon(from: &str) -> bool {
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
    let system = is_system(notice.from)
        || headers.has("x-failed-recipients")
        || headers.text("return-path").is_some_and(|p| p.trim() == "<>");
    if system {
        return talks_of_lists(notice);
    }
    let reply = REPLIES.iter().any(|p| notice.subject.trim_start().starts_with(p));
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
