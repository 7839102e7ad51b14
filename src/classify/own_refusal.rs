//! Our own refusals: the mark that ends each of them, and how a report that brings one back is
//! known.
//!
//! An MTA that asks the lookup port bounces what we stop, and its notice comes to us. Judged by its
//! words that would be a new failure of an address that nobody mailed: a released address would be
//! suppressed again. So each answer that stops ends in a mark, and a report with a mark is
//! [`Reason::SuppressedHere`](super::Reason), which counts in nothing.
//!
//! The words around the mark may be changed, translated or cut. Of the mark itself only its letters
//! must be left: case, line ends, blanks, quote signs, the codes of a reply that was broken into lines
//! and the escapes of HTML do not matter. Where a program cut the text short in the mark, its first
//! letters do. Whoever forges a mark makes his own report count for nothing.

/// Ends an answer that refuses for good.
pub const SUPPRESSED: &str = "[bounced:suppressed]";
/// Ends an answer that asks to wait.
pub const HELD: &str = "[bounced:held]";

/// Rule id of a verdict on our own refusal.
pub const RULE: &str = "own/mark";

/// Letters of a mark after which it can be no other word: the text may be cut there.
const TELLING: usize = "[bounced:s".len();

/// Signs of a mark as HTML writes them.
const ESCAPES: [(&str, &str); 11] = [
    ("&#91;", "["),
    ("&#x5b;", "["),
    ("&lsqb;", "["),
    ("&lbrack;", "["),
    ("&#93;", "]"),
    ("&#x5d;", "]"),
    ("&rsqb;", "]"),
    ("&rbrack;", "]"),
    ("&#58;", ":"),
    ("&#x3a;", ":"),
    ("&colon;", ":"),
];

/// The mark that a text carries, in the form in which we write it.
pub fn mark_in(text: &str) -> Option<&'static str> {
    unescaped_mark(text).or_else(|| unescaped_mark(&unescaped(text)?))
}

/// A text in lower case without the escapes of HTML that a mark may have; None: it has none of them.
fn unescaped(text: &str) -> Option<String> {
    // Links have an ampersand, too: only what has an escape is written anew.
    memchr::memchr(b'&', text.as_bytes())?;
    let mut text = text.to_ascii_lowercase();
    let mut found = false;
    for (escape, plain) in ESCAPES {
        if text.contains(escape) {
            (text, found) = (text.replace(escape, plain), true);
        }
    }
    found.then_some(text)
}

fn unescaped_mark(text: &str) -> Option<&'static str> {
    // The first octets of the brackets `[`, U+FF3B and U+3010: most refusals have none of them.
    let opens = |c: char| matches!(c, '[' | '\u{ff3b}' | '\u{3010}');
    memchr::memchr3_iter(b'[', 0xef, 0xe3, text.as_bytes())
        .filter_map(|at| text.get(at..).filter(|rest| rest.starts_with(opens)))
        .find_map(mark_at)
}

/// The mark at the start of a text. Reads no further than the next bracket that opens.
fn mark_at(text: &str) -> Option<&'static str> {
    let mut letters = String::with_capacity(SUPPRESSED.len());
    // After a blank may come the code that begins the next line of a reply, and it alone.
    let mut after_blank = false;
    let begun = |letters: &str| [SUPPRESSED, HELD].into_iter().find(|m| m.starts_with(letters));
    let cut = |letters: &str| begun(letters).filter(|_| letters.len() >= TELLING);
    for (at, c) in text.char_indices() {
        after_blank = c.is_whitespace() || (after_blank && is_gap(c));
        if after_blank || is_dropped(c) {
            continue;
        }
        letters.push(plain(c));
        match begun(&letters) {
            Some(mark) if mark == letters => return Some(mark),
            Some(_) => {}
            None => {
                let dots = text.get(at..).is_some_and(|rest| rest.starts_with(['…', '.']));
                letters.pop();
                return cut(&letters).filter(|_| dots);
            }
        }
    }
    cut(&letters)
}

/// Part of `550-5.1.1`, or a sign that quotes a line.
fn is_gap(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '.' | '-' | '>' | '|')
}

/// What nobody sees, and the sign that some programs put before a bracket.
fn is_dropped(c: char) -> bool {
    c.is_control()
        || matches!(c, '\\' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// A letter as the mark has it. Chinese and Japanese programs write ASCII in its wide form.
fn plain(c: char) -> char {
    let c = match c {
        '\u{3010}' => '[',
        '\u{3011}' => ']',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        c => c,
    };
    c.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_the_way_back() {
        for text in [
            "550 5.1.1 recipient suppressed since 2026-11-22: user-unknown [bounced:suppressed]",
            "[bounced:suppressed]",
            "[BOUNCED:SUPPRESSED]",
            "[Bounced:Suppressed] (in reply to RCPT TO command)",
            // Folded, quoted, broken into the lines of a reply.
            "complaint [bounced:\r\n    suppressed]",
            "complaint [ bounced : suppressed ]",
            "> complaint [bounced:supp\n> ressed]",
            "> > complaint [bounced:\n> > suppressed]",
            "550-5.1.1 complaint [bounced:\r\n550 5.1.1 suppressed]",
            "550-5.1.1 complaint [bounced:\r\n550-5.1.1 suppressed]",
            "550-complaint [bounced:\r\n550-suppressed]",
            "complaint \\[bounced:suppressed\\]",
            "complaint [boun\u{ad}ced:supp\u{200b}ressed]",
            // Translated around it.
            "Der Empfänger ist seit 22.11. gesperrt: Beschwerde [bounced:suppressed].",
            "收件人已被拒收：投诉 ［bounced：suppressed］",
            "受信者は停止中です【bounced:suppressed】",
            "see [1] and [RFC 3463] [bounced:suppressed]",
            // Cut short.
            "550 5.1.1 recipient suppressed since 2026-11-22: user-unknown [bounced:suppressed",
            "550 5.1.1 recipient suppressed since 2026-11-22: user-unknown [bounced:s",
            "recipient suppressed since 2026-11-22: user-unknown [bounced:supp...",
            "recipient suppressed since 2026-11-22: user-unknown [bounced:suppr\u{2026} (more)",
            // In HTML.
            "complaint &#91;bounced:suppressed&#93;",
            "complaint &#x5B;bounced&#58;suppressed&#x5d;",
            "complaint &lsqb;bounced&colon;suppressed&rsqb;",
        ] {
            assert_eq!(mark_in(text), Some(SUPPRESSED), "{text}");
        }
        assert_eq!(mark_in("450 4.2.1 recipient held: x [bounced:held]"), Some(HELD));
    }

    #[test]
    fn other_words_are_no_mark() {
        for text in [
            "",
            "[",
            "[bounced",
            "[bounced:",
            "[bounced:support]",
            "[bounced:s and more",
            "bounced:suppressed",
            "[bounced: the recipient is suppressed]",
            "[bounced]",
            "[unbounced:held]",
            "550 5.1.1 recipient suppressed since 2026-11-22: user-unknown",
            "[192.0.2.1] said: 550 5.1.1 user unknown [mx1.example.com]",
        ] {
            assert_eq!(mark_in(text), None, "{text}");
        }
        // Hostile texts cost one pass.
        assert_eq!(mark_in(&format!("[{}bounced:held]", " ".repeat(500_000))), Some(HELD));
        assert_eq!(mark_in(&"[bounced:".repeat(100_000)), None);
        assert_eq!(mark_in(&"[bounced:held".repeat(100_000)), Some(HELD));
        assert_eq!(mark_in(&format!("[{}", " > 550".repeat(100_000))), None);
    }
}
