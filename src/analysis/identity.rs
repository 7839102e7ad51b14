//! What makes a message the same message when it comes again.
//!
//! It guards against counting one report twice: the same message delivered again after a lost 250
//! (RFC 1047), or read again from a mailbox, has the same digest. Two messages that differ in
//! anything that we hash are two messages: counting one twice is a nuisance, dropping one would be
//! a loss. A message that a person vouches for is another than the one that nobody vouched for: it
//! decides, where that did not. So nothing is left out that tells two apart, with two exceptions. Trace fields above a
//! report with a Message-ID may differ, for it may come again by another relay. And line ends say
//! nothing: by SMTP each is a CRLF (`src/smtp/data.rs`), in a file of the same message they are LF,
//! and the last may be missing. All are hashed as CRLF, so what came by SMTP has the digest that
//! it had when line ends were hashed as they came, and its repetitions are still known. The digest
//! of a file with LF is another than then: read again within 7 days it counts once more.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::mail::Address;
use crate::message::{Message, limits};
use crate::report::Report;

/// The identity of `message`, which was read from `data`.
pub(super) fn digest(
    data: &[u8],
    message: &Message<'_>,
    report: &Report,
    envelope_to: &[String],
    trusted: bool,
) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update(text.as_bytes());
        hash.update([0]);
    };
    if trusted {
        add("trusted");
    }
    for to in envelope_to {
        add(to);
    }
    add(report.kind.as_str());
    for recipient in &report.recipients {
        add(recipient.address.as_ref().map_or("", Address::as_str));
        add(recipient.final_recipient.as_deref().unwrap_or_default());
        add(&recipient.status.map(|s| s.to_string()).unwrap_or_default());
    }
    add(report.reporting_mta.as_deref().unwrap_or_default());
    add(report.original.message_id.as_deref().unwrap_or_default());
    match message.headers().text("message-id") {
        Some(id) => {
            add(&id);
            add(&message.headers().text("subject").unwrap_or_default());
            let body = message.parts().first().map_or(0, |part| part.body.len());
            let (header, body) =
                data.split_at_checked(message.kept.len() - body).unwrap_or((data, &[]));
            hash_lines(&mut hash, body, limits::KEPT_OCTETS.saturating_sub(octets(header)));
        }
        None => {
            add(&octets(data).to_string());
            hash_lines(&mut hash, data, limits::KEPT_OCTETS);
        }
    }
    let octets = hash.finalize();
    data_encoding::HEXLOWER.encode(octets.get(..16).unwrap_or(&octets))
}

/// Hashes the first `room` octets of a text whose lines end in CRLF.
fn hash_lines(hash: &mut Sha256, text: &[u8], room: usize) {
    // Line ends only grow.
    let lines = with_crlf(text.get(..room).unwrap_or(text));
    hash.update(lines.get(..room).unwrap_or(&lines));
}

/// A text whose lines all end in CRLF: as it is where they do already, as by SMTP.
fn with_crlf(text: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let (mut from, mut line) = (0, 0);
    for at in memchr::memchr2_iter(b'\r', b'\n', text) {
        if at < line {
            continue; // The LF of a CRLF.
        }
        if text.get(at..at + 2) == Some(b"\r\n") {
            line = at + 2;
            continue;
        }
        if out.is_empty() {
            // Few lines are shorter than 16 octets.
            out.reserve(text.len() + text.len() / 16);
        }
        out.extend_from_slice(text.get(from..at).unwrap_or_default());
        out.extend_from_slice(b"\r\n");
        line = at + 1;
        from = line;
    }
    let ended = line == text.len();
    if ended && from == 0 {
        return Cow::Borrowed(text);
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    if !ended {
        out.extend_from_slice(b"\r\n");
    }
    Cow::Owned(out)
}

/// Octets of a text whose lines end in CRLF.
fn octets(text: &[u8]) -> usize {
    lines(text).map(|line| line.len() + 2).sum()
}

/// Lines without their ends: CRLF, a bare LF or a bare CR, as SMTP takes them; the last may lack it.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        rest = after.strip_prefix(b"\r\n").or_else(|| after.get(1..)).unwrap_or_default();
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Arrival, recognise};

    fn of(data: &[u8]) -> String {
        let message = Message::parse(data);
        let report = recognise(&message, Arrival::default());
        digest(data, &message, &report, &["bounces@example.com".to_string()], false)
    }

    #[test]
    fn a_message_that_is_vouched_for_is_another() {
        let message = Message::parse(b"Subject: x\n\ntext\n");
        let report = recognise(&message, Arrival::default());
        let of = |trusted| digest(b"Subject: x\n\ntext\n", &message, &report, &[], trusted);
        assert_ne!(of(true), of(false));
    }

    fn with_id(text: &str) -> String {
        format!("Message-ID: <1@mx.example.net>\n{text}")
    }

    #[test]
    fn line_ends_are_no_difference() {
        let dsn = include_str!("../../examples/dsn.eml").replace("\r\n", "\n");
        // Longer than what is kept, so that the cut is elsewhere with each kind of line ends.
        let long = format!("{dsn}{}", "0123456789\n".repeat(limits::KEPT_OCTETS / 11));
        for text in [dsn.clone(), with_id(&dsn), long.clone(), with_id(&long)] {
            let crlf = text.replace('\n', "\r\n");
            let digest = of(crlf.as_bytes());
            assert_eq!(of(text.as_bytes()), digest);
            assert_eq!(of(text.replace('\n', "\r").as_bytes()).len(), digest.len());
            assert_eq!(of(text.trim_end().as_bytes()), of(crlf.trim_end().as_bytes()));
            assert_eq!(of(text.strip_suffix('\n').expect("it ends so").as_bytes()), digest);
        }
    }

    #[test]
    fn anything_else_is() {
        let dsn = include_str!("../../examples/dsn.eml").replace("\r\n", "\n");
        for text in [dsn.clone(), with_id(&dsn)] {
            for other in [
                format!("{text}\n"),
                format!("{text}."),
                text.replacen("\n\n", "\n\n\n", 1),
                text.replacen("\n\n", "\n\n ", 1),
                text.replace("user@example.com", "other@example.com"),
            ] {
                assert_ne!(of(other.as_bytes()), of(text.as_bytes()), "{other}");
            }
        }
        // Of what lies after the cut only the size counts, and that only without a Message-ID.
        let long = format!("{dsn}{}", "x".repeat(limits::KEPT_OCTETS));
        assert_ne!(of(format!("{long}x").as_bytes()), of(long.as_bytes()));
    }

    /// A message that came by SMTP keeps the digest that older releases wrote into the journal.
    #[test]
    fn what_came_by_smtp_is_known_as_before() {
        let dsn = include_str!("../../examples/dsn.eml").replace("\r\n", "\n");
        for (text, digest) in [
            (dsn.clone(), "9eef3485dfda6bb92a6961ccae5009e9"),
            (with_id(&dsn), "c15231923ee14c963e4d9a05d1df526a"),
        ] {
            assert_eq!(of(text.replace('\n', "\r\n").as_bytes()), digest);
        }
    }
}
