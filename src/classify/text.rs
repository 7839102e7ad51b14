//! The words and codes inside a diagnostic: folding for comparison, reply code, enhanced code.
//!
//! Promises: one pass over at most [`MAX_OCTETS`] of text, never a panic on any bytes, no
//! allocation beyond the caller's buffer. Deliberately ignorant of rules and reasons.
//!
//! RFC 5321 section 4.2.1: each line of a reply repeats its code (`550-5.1.1 The account 550 5.1.1
//! does not exist`). Reports join the lines, so the repeated codes are inside sentences; folding
//! drops them, and rules need not know where a server broke its lines.

use crate::mail::{EnhancedStatus, ReplyCode, unaccented};

/// How much of a diagnostic is read. Real ones are below 1 KiB; what is longer is quoted mail.
pub const MAX_OCTETS: usize = 4096;

/// Undoes UTF-8 that was read as Latin-1 (`trouvÃ©`), which reports without a charset suffer from.
/// None when the text is not of that kind.
pub fn repaired(text: &str) -> Option<String> {
    if text.is_ascii() || text.len() > 2 * MAX_OCTETS {
        return None;
    }
    let octets: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    String::from_utf8(octets?).ok()
}

/// Lower-cases, folds white space, accents and typographic quotes, drops repeated reply codes. The result
/// begins and ends with one blank, so that a rule can ask for a whole word with `" word "`.
pub fn fold(text: &str, out: &mut String) {
    out.clear();
    out.push(' ');
    let text = bounded(text);
    let bytes = text.as_bytes();
    let (mut reply, mut dashed, mut status) = (None, false, None);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii_digit() && ends_blank(out) {
            let rest = bytes.get(at..).unwrap_or_default();
            if let Some(prefix) = ReplyPrefix::read(rest) {
                // Gmail writes `554 554 5.7.0`: the second one brings the status.
                let news = status.is_none() && prefix.status.is_some() && !dashed;
                let repeated = reply == Some(prefix.code)
                    && !news
                    && (prefix.dash || prefix.status.is_some() || dashed);
                dashed |= prefix.dash;
                reply = reply.or(Some(prefix.code));
                status = status.or(prefix.status);
                if repeated {
                    at += prefix.octets;
                    continue;
                }
                // Copied whole, so that its own status is not taken for a repeated one.
                push_ascii(rest.get(..prefix.octets).unwrap_or_default(), out);
                at += prefix.octets;
                continue;
            }
            if let Some((code, n)) = EnhancedStatus::parse_prefix(rest) {
                if status == Some(code) {
                    at += n;
                    continue;
                }
                status = status.or(Some(code));
            }
        }
        at += match plain_run(bytes, at) {
            0 => push_folded(text, at, byte, out),
            run => {
                let start = out.len();
                out.push_str(text.get(at..at + run).unwrap_or_default());
                if let Some(added) = out.get_mut(start..) {
                    added.make_ascii_lowercase();
                }
                run
            }
        };
    }
    if !ends_blank(out) {
        out.push(' ');
    }
    blank_local_parts(out);
}

/// What a mailbox is called is nobody's reason for refusing it: `overquota@example.com` is not full.
/// Local parts become `x`es of the same length; the domain stays, for rules ask for it.
fn blank_local_parts(folded: &mut String) {
    if memchr::memchr(b'@', folded.as_bytes()).is_none() {
        return;
    }
    let mut octets = std::mem::take(folded).into_bytes();
    let signs: Vec<usize> = memchr::memchr_iter(b'@', &octets).collect();
    for at in signs {
        let names = |b: &u8| b.is_ascii_alphanumeric() || b"._+-=".contains(b);
        let local = octets.get_mut(..at).unwrap_or_default();
        for octet in local.iter_mut().rev().take_while(|b| names(b)) {
            *octet = b'x';
        }
    }
    // Only ASCII took the place of ASCII.
    *folded = String::from_utf8(octets).unwrap_or_default();
}

fn ends_blank(text: &str) -> bool {
    text.as_bytes().last() == Some(&b' ')
}

/// Octets from here to the end of a run of words of printable ASCII, up to a number, which may be a
/// code: most of a text, copied whole.
fn plain_run(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let follows = |next: &u8| next.is_ascii_graphic() && !next.is_ascii_digit();
    let mut run = 0;
    while let Some(b) = rest.get(run)
        && (b.is_ascii_graphic()
            || (*b == b' ' && run > 0 && rest.get(run + 1).is_some_and(follows)))
    {
        run += 1;
    }
    run
}

/// A piece of a rule in the form that [`fold`] gives to text; its outer blanks are kept.
pub fn fold_piece(piece: &str) -> String {
    let mut out = String::with_capacity(piece.len());
    let mut at = 0;
    while let Some(&byte) = piece.as_bytes().get(at) {
        at += push_folded(piece, at, byte, &mut out);
    }
    out
}

fn push_ascii(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        push_blank_or(byte, out);
    }
}

fn push_blank_or(byte: u8, out: &mut String) {
    if byte <= b' ' || byte == 0x7f {
        if !ends_blank(out) {
            out.push(' ');
        }
    } else {
        out.push(char::from(byte.to_ascii_lowercase()));
    }
}

/// Adds one character and gives the octets it took.
fn push_folded(text: &str, at: usize, byte: u8, out: &mut String) -> usize {
    if byte.is_ascii() {
        push_blank_or(byte, out);
        return 1;
    }
    let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) else { return 1 };
    match c {
        '\u{2018}' | '\u{2019}' | '\u{b4}' => out.push('\''),
        '\u{201c}' | '\u{201d}' | '\u{201e}' => out.push('"'),
        '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{feff}' => {}
        c if c.is_whitespace() => push_blank_or(b' ', out),
        // Mail often lost the accents, so rules are read without them, too.
        c => match unaccented(c) {
            Some(plain) => out.push_str(plain),
            None => out.extend(c.to_lowercase()),
        },
    }
    c.len_utf8()
}

/// At most [`MAX_OCTETS`] of a text, cut at a character.
fn bounded(text: &str) -> &str {
    if text.len() <= MAX_OCTETS {
        return text;
    }
    let mut end = MAX_OCTETS;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// `550-5.1.1 `, `550 5.1.1 `, `550-` or `550 ` at the start of a reply line.
struct ReplyPrefix {
    code: ReplyCode,
    dash: bool,
    status: Option<EnhancedStatus>,
    octets: usize,
}

impl ReplyPrefix {
    fn read(bytes: &[u8]) -> Option<Self> {
        let code = reply_code_at(bytes)?;
        let dash = match bytes.get(3)? {
            b'-' => true,
            b' ' => false,
            _ => return None,
        };
        let status = EnhancedStatus::parse_prefix(bytes.get(4..)?);
        let mut octets = 4 + status.map_or(0, |(_, n)| n);
        if status.is_some() && bytes.get(octets) == Some(&b' ') {
            octets += 1;
        }
        Some(Self { code, dash, status: status.map(|(s, _)| s), octets })
    }
}

/// Three digits that can be a refusal: 4xx or 5xx.
fn reply_code_at(bytes: &[u8]) -> Option<ReplyCode> {
    let &[a @ (b'4' | b'5'), b, c] = bytes.get(..3)? else { return None };
    if !b.is_ascii_digit() || !c.is_ascii_digit() {
        return None;
    }
    let digit = |d: u8| u16::from(d - b'0');
    ReplyCode::new(digit(a) * 100 + digit(b) * 10 + digit(c))
}

/// What the codes inside a diagnostic say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Codes {
    /// `550`.
    pub reply: Option<ReplyCode>,
    /// `5.1.1`.
    pub status: Option<EnhancedStatus>,
}

/// Words right before a reply code. Anything else before a bare number makes it a
/// port, a size, an id or a part of an address.
const ANNOUNCES: &[&str] = &[
    "said",
    "error",
    "code",
    "reply",
    "replied",
    "response",
    "responded",
    "was",
    "with",
    "got",
    "server",
    "smtp",
    "status",
    "returned",
    "answer",
    "answered",
    "failed",
    "message",
    "reason",
];

/// Finds the reply code and the enhanced code of a folded text.
pub fn codes(folded: &str) -> Codes {
    let bytes = folded.as_bytes();
    let mut found = Codes::default();
    let mut at = 0;
    // All codes begin with one of these digits, which most texts have few of.
    let next = |at: usize| memchr::memchr3(b'2', b'4', b'5', bytes.get(at..)?).map(|n| at + n);
    while let Some(digit) = next(at) {
        at = digit;
        let before = at.checked_sub(1).and_then(|i| bytes.get(i)).copied().unwrap_or(b' ');
        let starts =
            !before.is_ascii_alphanumeric() && !matches!(before, b'.' | b'_' | b'/' | b'@');
        if !starts {
            at += 1;
            continue;
        }
        let rest = bytes.get(at..).unwrap_or_default();
        // `554 4.4.7 expired ... <421 4.4.2 timed out>`: the reply of the last attempt says more
        // than that time ran out.
        if found.status.is_some_and(|s| (s.subject, s.detail) == (4, 7))
            && reply_code_at(rest).is_some()
            && let Some((status, n)) = status_follows(rest)
        {
            found.status = Some(status);
            at += n;
            continue;
        }
        if let Some(code) = reply_code_at(rest).filter(|_| found.reply.is_none()) {
            let after = rest.get(3).copied().unwrap_or(b' ');
            let follows = status_follows(rest);
            if follows.is_some() || (ends_code(rest, after) && announced(bytes, at)) {
                found.reply = Some(code);
                // A code right after its reply code is worth more than one met earlier.
                if let Some((status, n)) = follows {
                    found.status = Some(status);
                    at += n;
                    continue;
                }
                at += 3;
                continue;
            }
        }
        let status = EnhancedStatus::parse_prefix(rest).filter(|(s, _)| s.class != 2);
        if let Some((status, n)) = status
            && found.status.is_none()
            && free_for_status(bytes, at)
        {
            found.status = Some(status);
            at += n;
            continue;
        }
        at += 1;
    }
    found
}

/// `550 5.1.1`, `550-5.1.1`, `550 #5.1.1`: the code and how many octets it all took.
fn status_follows(rest: &[u8]) -> Option<(EnhancedStatus, usize)> {
    if !matches!(rest.get(3)?, b' ' | b'-' | b':' | b',') {
        return None;
    }
    let mut at = 4;
    while matches!(rest.get(at), Some(b' ' | b'#' | b'(' | b'[' | b'-' | b'\'')) && at < 8 {
        at += 1;
    }
    let (status, n) = EnhancedStatus::parse_prefix(rest.get(at..)?)?;
    (status.class != 2).then_some((status, at + n))
}

/// The number ends here, and a word or nothing follows.
fn ends_code(rest: &[u8], after: u8) -> bool {
    match after {
        b' ' | b'-' | b':' | b',' | b';' | b')' | b'\'' | b'"' => true,
        b'.' => rest.get(4).is_none_or(|b| *b == b' '),
        _ => false,
    }
}

/// The number is where replies are: at the start, or after `said:`, `<<<`, `smtp;` and such.
fn announced(bytes: &[u8], at: usize) -> bool {
    let mut head = bytes.get(..at).unwrap_or_default();
    let glued = !head.ends_with(b" ");
    while let Some((b' ' | b'\'' | b'"' | b'[' | b'(' | b'#', rest)) = head.split_last() {
        head = rest;
    }
    match head.last() {
        None => true,
        // `host[192.0.2.1]:465` is a port: glued to a colon that has no blank.
        Some(b':') => !glued || head.ends_with(b"said:") || head.ends_with(b"smtp:"),
        Some(b';' | b'<' | b'>' | b'=' | b',') => true,
        Some(_) => ANNOUNCES.iter().any(|word| {
            head.strip_suffix(word.as_bytes())
                .is_some_and(|h| !h.last().is_some_and(u8::is_ascii_alphanumeric))
        }),
    }
}

/// Words after which three numbers are quoted: a section, a release, a reference.
const QUOTES: &[&str] =
    &["ref", "reference", "see", "section", "version", "rfc", "release", "build", "chapter", "id"];

/// A hyphen after a letter makes the number a part of a host name (`mx-5.1.1.example.com`), and
/// a code that prose refers to is not the status of the reply (`ref 5.1.1`).
fn free_for_status(bytes: &[u8], at: usize) -> bool {
    let before = |n: usize| at.checked_sub(n).and_then(|i| bytes.get(i)).copied();
    let named = before(1) == Some(b'-') && before(2).is_some_and(|b| b.is_ascii_alphabetic());
    let head = bytes.get(..at).unwrap_or_default().trim_ascii_end();
    let quoted = QUOTES
        .iter()
        .any(|word| head.strip_suffix(word.as_bytes()).is_some_and(|h| h.last() == Some(&b' ')));
    !named && !quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_joins_lines_and_drops_repeated_codes() {
        for (text, expected) in [
            ("No Such  User", " no such user "),
            (
                "550-5.1.1 The account\r\n550-5.1.1 you tried\r\n550 5.1.1 to reach",
                " 550-5.1.1 the account you tried to reach ",
            ),
            (
                "550-Verification failed 550-No such 550 user",
                " 550-verification failed no such user ",
            ),
            // Another code is not a repetition.
            ("550 5.2.0 x 554 5.1.1 y", " 550 5.2.0 x 554 5.1.1 y "),
            // A bare number inside a sentence is no code as long as no line was dashed.
            ("550 quota 550 reached", " 550 quota 550 reached "),
            ("can\u{2019}t\u{a0}say \u{201c}no\u{201d}", " can't say \"no\" "),
            ("ПОЧТОВЫЙ Ящик", " почтовый ящик "),
            ("El buzón está lleno", " el buzon esta lleno "),
            ("", " "),
        ] {
            let mut out = String::new();
            fold(text, &mut out);
            assert_eq!(out, expected, "{text}");
        }
    }

    #[test]
    fn misread_utf8_is_repaired() {
        for (text, expected) in [
            ("introuvÃ©", Some("introuvé")),
            ("introuvé", None),
            ("not found", None),
            ("почта Ã©", None),
        ] {
            assert_eq!(repaired(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn folding_is_bounded_at_a_character() {
        let mut out = String::new();
        fold(&"я".repeat(MAX_OCTETS), &mut out);
        assert_eq!(out.len(), MAX_OCTETS + 2);
    }

    #[test]
    fn codes_stand_where_replies_stand() {
        for (text, reply, status) in [
            ("550 5.1.1 no", Some(550), Some("5.1.1")),
            ("smtp; 452-4.2.2 full", Some(452), Some("4.2.2")),
            ("host mx.example.com[192.0.2.4] said: 550 no (in reply to RCPT)", Some(550), None),
            ("<<< 554 denied", Some(554), None),
            ("smtp;550 #5.1.0 Address rejected", Some(550), Some("5.1.0")),
            ("(user@example.com:550 5.4.1 denied)", Some(550), Some("5.4.1")),
            ("smtp error from remote mail server after RCPT TO:<a@b>: 550 x", Some(550), None),
            // A port, a size, an id and parts of addresses.
            ("connect to mx.example.com[192.0.2.4]:465: refused", None, None),
            ("size 552 octets", None, None),
            ("id=55012 queued as 4F2", None, None),
            ("host 5.1.1.9 and 192.0.2.550", None, None),
            ("connect to [4.3.2.1]: timed out", None, None),
            ("user unknown (#5.1.1)", None, Some("5.1.1")),
            // Success codes inside a diagnostic refuse nothing.
            ("250 2.1.5 ok then 550 5.7.1 no", Some(550), Some("5.7.1")),
            ("", None, None),
        ] {
            let mut folded = String::new();
            fold(text, &mut folded);
            let codes = codes(&folded);
            assert_eq!(codes.reply.map(ReplyCode::value), reply, "{text}");
            assert_eq!(codes.status.map(|s| s.to_string()).as_deref(), status, "{text}");
        }
    }

    #[test]
    fn the_code_of_the_last_attempt_counts() {
        for (text, reply, status) in [
            (
                "554 4.4.7 Message expired: unable to deliver.<421 4.4.2 Connection timed out>",
                554,
                "4.4.2",
            ),
            (
                "The error that the other server returned was: 554 554 5.7.0 Header error",
                554,
                "5.7.0",
            ),
            ("550 4.4.7 QUEUE.Expired; message expired", 550, "4.4.7"),
        ] {
            let mut folded = String::new();
            fold(text, &mut folded);
            let found = codes(&folded);
            assert_eq!(found.reply.map(crate::mail::ReplyCode::value), Some(reply), "{folded}");
            assert_eq!(found.status.map(|s| s.to_string()).as_deref(), Some(status), "{folded}");
        }
    }
}
