//! What is no notice although it uses the words of one: people and lists that talk about bounces,
//! newsletters, shops and parcel services.
//!
//! Promise: a message whose sender is a mail system, or that says in its header that it reports
//! failed recipients, is never called ordinary; nor is one whose envelope sender was empty.

use std::sync::LazyLock;

use super::notice::Notice;
use super::rows;
use crate::mail::MultiSearch;
use crate::report::{sender, subject};

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
    } else if sender::is_person(notice.message, notice.from) {
        Sender::Person
    } else {
        Sender::Program
    }
}

fn is_of_system(notice: &Notice<'_, '_>) -> bool {
    let headers = notice.message.headers();
    sender::is_system(notice.from)
        || notice.signs.header
        || headers.has("x-failed-recipients")
        || notice.from_nobody
        || notice.message.parts().first().is_some_and(|p| p.is("multipart/report"))
}

pub(super) fn is_ordinary(notice: &Notice<'_, '_>) -> bool {
    let headers = notice.message.headers();
    let system =
        sender::is_system(notice.from) || headers.has("x-failed-recipients") || notice.from_nobody;
    if system {
        return talks_of_lists(notice);
    }
    let reply = subject::is_reply(notice.subject);
    let to_many = ["list-id", "list-post", "list-unsubscribe"].iter().any(|h| headers.has(h));
    let in_thread = headers.has("in-reply-to") || headers.has("references");
    let quotes = notice.text.lines().filter(|l| l.starts_with('>')).take(2).count() == 2;
    reply || to_many || (in_thread && quotes) || sells(notice)
}

/// Goods, and nothing that only mail has.
fn sells(notice: &Notice<'_, '_>) -> bool {
    static WORDS: LazyLock<MultiSearch> = LazyLock::new(|| MultiSearch::new(GOODS));
    let text = rows::head(notice.lower);
    let mail = ["mailbox", "user unknown", "smtp", "returned mail", "rcpt to", "postfach"];
    (WORDS.any(text.as_bytes()) || WORDS.any(notice.subject.as_bytes()))
        && !mail.iter().any(|w| text.contains(w))
}

/// What list programs tell owners about their members' bounces, and filters about what they hold.
fn talks_of_lists(notice: &Notice<'_, '_>) -> bool {
    const HELD: [&str; 10] = [
        "quarantine digest",
        "quarantine report",
        "quarantine summary",
        "quarantine notification",
        "spam digest",
        "spam report",
        "messages held",
        "held messages",
        "in quarantine",
        "quarantäne",
    ];
    notice.subject.contains("bounce action notification")
        || HELD.iter().any(|words| notice.subject.contains(words))
        || rows::head(notice.lower).contains("this is a mailman mailing list bounce action notice")
}
