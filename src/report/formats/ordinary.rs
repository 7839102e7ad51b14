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

/// Whether a sender is a mail system.
pub(super) fn is_system(from: &str) -> bool {
    static NAMES: LazyLock<Needles> = LazyLock::new(|| Needles::new(SYSTEMS));
    NAMES.any(from.as_bytes())
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
