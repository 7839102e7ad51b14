//! Who a notice means when its words name nobody in a way that a format knows.
//!
//! | looked at, in this order | confidence |
//! |---|---|
//! | addresses in the paragraph that says that something failed, or else the only one of the text | medium |
//! | who the returned mail was sent to, where the words name him, whole or by his local part | medium |
//! | the only recipient of the returned mail | low |
//!
//! Never a candidate: who sent our mail, who wrote the notice, daemons and postmasters, an address
//! that one may write to for help, and one after the name of another field (`From:`).

use std::sync::LazyLock;

use super::notice::Notice;
use super::rows;
use crate::mail::{Address, MultiSearch};
use crate::report::types::{Action, Recipient};
use crate::report::words::bounded_words;
use crate::report::{addresses, original};

/// Recipients that the words or the returned mail give away, and how they were found.
pub(in crate::report) struct Candidates {
    pub recipients: Vec<Recipient>,
    pub how: &'static str,
}

/// What precedes an address that people may write to, or that is another field's.
const OTHERS: [&str; 50] = [
    "contact",
    "write to",
    "questions",
    "for help",
    "assistance",
    "support",
    "administrator",
    "administrador",
    "administrateur",
    "amministratore",
    "mailto:",
    "reply-to",
    "from:",
    "from ",
    "sender",
    "sent by",
    "return-path",
    "reported by",
    "report to",
    "envelope-from",
    "http",
    "kontakt",
    "wenden sie",
    "wenden sich",
    "fragen",
    "hilfe",
    "absender",
    "von:",
    "von ",
    "contacter",
    "contactez",
    "aide",
    "expéditeur",
    "de la part",
    "contacte",
    "ayuda",
    "remitente",
    "contattare",
    "aiuto",
    "mittente",
    "contate",
    "ajuda",
    "afzender",
    "hulp",
    "avsändare",
    "отправител",
    "администратор",
    "发件人",
    "差出人",
    "보낸",
];

/// Local parts that no mail of ours was meant for when a notice names them.
const DAEMONS: [&str; 12] = [
    "mailer-daemon",
    "mailerdaemon",
    "mail-daemon",
    "postmaster",
    "hostmaster",
    "abuse",
    "no-reply",
    "noreply",
    "do-not-reply",
    "donotreply",
    "helpdesk",
    "support",
];

/// Octets before an address that say whose it is.
const BEFORE: usize = 48;

/// Who is meant by the words alone.
pub(in crate::report) fn in_words(notice: &Notice<'_, '_>, action: Action) -> Option<Candidates> {
    let never = Never::of(notice);
    let mut failed =
        paragraphs(notice.text).filter(|p| rows::says_failure(&p.to_ascii_lowercase()));
    let mut recipients = Vec::new();
    for paragraph in failed.by_ref().take(20) {
        take(&mut recipients, paragraph, paragraph, &never, action);
        if !recipients.is_empty() {
            return Some(Candidates { recipients, how: "named where it says what failed: medium" });
        }
    }
    take(&mut recipients, notice.text, notice.text, &never, action);
    (recipients.len() == 1)
        .then_some(Candidates { recipients, how: "the only address that can be meant: medium" })
}

/// Who is meant by the fields of the returned mail.
pub(in crate::report) fn of_returned(
    notice: &Notice<'_, '_>,
    action: Action,
) -> Option<Candidates> {
    let human = notice.message.human_text();
    let returned = original::headers(notice.message, &human)?;
    let mut to = original::recipients(&returned);
    let never = Never::of(notice);
    to.retain(|address| !never.of_us(address));
    to.dedup();
    let (to, how) = match to.len() {
        0 => return None,
        1 => (to, "the only recipient of the returned mail: low"),
        _ => {
            to.retain(|address| names(notice.lower, address));
            (to, "a recipient of the returned mail, named by the words: medium")
        }
    };
    let recipient = |address| recipient(address, notice.text, action);
    let recipients: Vec<Recipient> = to.into_iter().map(recipient).collect();
    (!recipients.is_empty()).then_some(Candidates { recipients, how })
}

/// Adds the domain to a bare local part, as the returned mail has it: the one recipient with that
/// local part.
pub(in crate::report) fn complete(local: &str, to: &[Address]) -> Option<Address> {
    let local = local.trim().trim_matches(['<', '>', '"']);
    let mut same = to.iter().filter(|a| a.local().eq_ignore_ascii_case(local));
    let found = same.next().filter(|_| !local.is_empty())?;
    same.next().is_none().then(|| found.clone())
}

/// Whether a text (in lower case) names an address, or its local part as a word of its own.
fn names(lower: &str, address: &Address) -> bool {
    let whole = address.as_str().to_lowercase();
    let local = address.local().to_lowercase();
    let word = |(at, found): (usize, &str)| {
        let side = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '@');
        side(lower.get(..at).and_then(|t| t.chars().next_back()))
            && side(lower.get(at + found.len()..).and_then(|t| t.chars().next()))
    };
    lower.contains(&whole)
        || local.len() >= 3 && lower.match_indices(local.as_str()).take(50).any(word)
}

fn recipient(address: Address, words: &str, action: Action) -> Recipient {
    Recipient {
        final_recipient: Some(address.to_string()),
        address: Some(address),
        action: Some(action),
        diagnostic: bounded_words(words),
        ..Recipient::default()
    }
}

/// Takes the addresses of a text that may be meant.
fn take(found: &mut Vec<Recipient>, text: &str, words: &str, never: &Never, action: Action) {
    for (address, at) in addresses::all_in(text).take(100) {
        if never.is(&address, text.get(..at).unwrap_or_default())
            || found.iter().any(|r| r.address.as_ref().is_some_and(|a| a.key() == address.key()))
        {
            continue;
        }
        found.push(recipient(address, words, action));
    }
}

/// Parts of a text between blank lines.
fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        if rest.is_empty() {
            return None;
        }
        let end = ["\n\n", "\n\r\n"].iter().filter_map(|blank| rest.find(blank)).min();
        let (paragraph, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some(paragraph)
    })
}

/// Who is never meant.
struct Never {
    /// Who sent our mail, and who wrote the notice, and to which address.
    ours: Vec<String>,
    /// Who our mail was sent to: those may be meant whatever is before them.
    mailed: Vec<String>,
    /// In lower case: a helpdesk with its address there is who our mail was for.
    subject: String,
}

impl Never {
    fn of(notice: &Notice<'_, '_>) -> Self {
        let headers = notice.message.headers();
        let mut ours: Vec<String> =
            ["to", "from", "reply-to"].iter().flat_map(|n| headers.addresses(n)).map(key).collect();
        let human = notice.message.human_text();
        let mut mailed = Vec::new();
        if let Some(returned) = original::headers(notice.message, &human) {
            for name in ["from", "sender", "reply-to", "return-path", "errors-to"] {
                ours.extend(returned.addresses(name).into_iter().map(key));
            }
            mailed.extend(original::recipients(&returned).into_iter().map(key));
        }
        Self { ours, mailed, subject: notice.subject.to_string() }
    }

    fn of_us(&self, address: &Address) -> bool {
        self.ours.contains(&address.key())
    }

    /// Whether an address after these words is somebody else.
    fn is(&self, address: &Address, before: &str) -> bool {
        static WORDS: LazyLock<MultiSearch> = LazyLock::new(|| MultiSearch::new(OTHERS));
        if self.of_us(address) {
            return true;
        }
        if self.mailed.contains(&address.key()) {
            return false;
        }
        let local = address.local().to_ascii_lowercase();
        if DAEMONS.contains(&local.as_str()) {
            return !self.subject.contains(&address.key());
        }
        let line = before.rfind('\n').map_or(0, |n| n + 1);
        let mut from = line.max(before.len().saturating_sub(BEFORE));
        while !before.is_char_boundary(from) {
            from += 1;
        }
        WORDS.any(before.get(from..).unwrap_or_default().to_lowercase().as_bytes())
    }
}

fn key(address: Address) -> String {
    address.key()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_part_is_completed_by_the_one_that_has_it() {
        let to: Vec<Address> = ["ann@a.example", "bob@b.example", "bob@c.example"]
            .iter()
            .filter_map(|a| Address::parse(a))
            .collect();
        for (local, expected) in [
            ("ann", Some("ann@a.example")),
            ("<ANN>", Some("ann@a.example")),
            ("bob", None),
            ("", None),
        ] {
            assert_eq!(complete(local, &to).as_ref().map(Address::as_str), expected, "{local}");
        }
    }

    #[test]
    fn a_local_part_counts_as_a_word() {
        let address = Address::parse("kim@example.com").expect("an address");
        for (text, expected) in [
            ("no user kim here", true),
            ("(kim)", true),
            ("kim@example.com", true),
            ("kim@elsewhere.example", false),
            ("kimono", false),
        ] {
            assert_eq!(names(text, &address), expected, "{text}");
        }
    }
}
