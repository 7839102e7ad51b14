//! A refusal as words: what stands between blanks is told apart into plain words, addresses, hosts,
//! IP addresses and links, and punctuation becomes three kinds of breaks.
//!
//! Promises: one pass; the result begins and ends with a blank and has one blank between words, so
//! a phrase is a substring. Deliberately ignorant of what a word means.

use crate::classify::text::fold;

/// A sentence ends here.
pub(super) const STOP: u8 = 1;
/// What follows says more of what stands before (`rejected: user unknown`).
pub(super) const COLON: u8 = 2;
/// A part of a sentence ends here.
pub(super) const COMMA: u8 = 3;
/// From here on stand the words of links.
pub(super) const LINKS: u8 = 4;

/// Writes the words of a folded text. `domain` is the recipient's: it tells whose an address is.
pub(super) fn words(folded: &str, domain: &str, out: &mut String, links: &mut String) {
    out.clear();
    links.clear();
    out.push(' ');
    // `FROM:<user@example.com>` is a word and an address.
    for chunk in folded.split([' ', '<']).filter(|chunk| !chunk.is_empty()) {
        chunk_words(chunk, domain, out, links);
    }
    if !links.is_empty() {
        push_break(LINKS, out);
        out.push_str(links);
    }
}

fn chunk_words(chunk: &str, domain: &str, out: &mut String, links: &mut String) {
    // What stands before a reply code is the relay's, and no part of the reply's sentence.
    if is_reply_code(chunk) {
        push_break(STOP, out);
        return;
    }
    // `SIZE=1024`, `id=17` and such are parameters.
    let value = chunk.split_once('=').map(|(_, value)| value.trim_end_matches(is_edge));
    if value.is_some_and(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit())) {
        return;
    }
    // `RCPT TO:550 5.1.1 ...`: a relay that writes no blank.
    if let Some((head, _)) = chunk.rsplit_once(':').filter(|(_, tail)| is_reply_code(tail)) {
        chunk_words(head, domain, out, links);
        push_break(STOP, out);
        return;
    }
    let core = chunk.trim_start_matches(|c: char| opening(c, out));
    let trimmed = core.trim_end_matches(is_edge);
    let tail = core.get(trimmed.len()..).unwrap_or_default();
    if let Some(kind) = atom(trimmed, domain) {
        push_word(kind, out);
        if kind == "@url" {
            plain_words(trimmed, links, false);
        }
    } else {
        plain_words(trimmed, out, true);
    }
    closing(tail, out);
}

fn is_reply_code(chunk: &str) -> bool {
    let digits = chunk.split('-').next().unwrap_or_default();
    matches!(digits.as_bytes(), [b'4' | b'5', b, c] if b.is_ascii_digit() && c.is_ascii_digit())
}

/// Marks before a word: brackets and quotes begin a part of the sentence.
fn opening(c: char, out: &mut String) -> bool {
    if matches!(c, '(' | '[' | '{') {
        push_break(COMMA, out);
    }
    is_edge(c)
}

fn is_edge(c: char) -> bool {
    c.is_ascii_punctuation() && !matches!(c, '@' | '/' | '%' | '$' | '&')
        || matches!(c, '。' | '，' | '、' | '！' | '：' | '；' | '（' | '）' | '【' | '】')
}

/// Marks behind a word.
fn closing(tail: &str, out: &mut String) {
    if tail.contains("...") || tail.contains([':', '：', '=']) {
        push_break(COLON, out);
    } else if tail.contains(['.', '!', '?', '。', '！']) {
        push_break(STOP, out);
    } else if tail.contains([',', ';', ')', ']', '}', '，', '、', '；', '）', '】']) {
        push_break(COMMA, out);
    }
}

fn push_break(mark: u8, out: &mut String) {
    // The strongest of neighbouring breaks stays.
    let bytes = out.as_bytes();
    if let [.., last @ 1..=4, b' '] = bytes {
        let strength = |mark: u8| match mark {
            LINKS => 3,
            STOP => 2,
            COLON => 1,
            _ => 0,
        };
        if strength(mark) > strength(*last) {
            out.truncate(bytes.len() - 2);
        } else {
            return;
        }
    }
    out.push(char::from(mark));
    out.push(' ');
}

fn push_word(word: &str, out: &mut String) {
    out.push_str(word);
    out.push(' ');
}

/// What is no plain word.
fn atom(core: &str, domain: &str) -> Option<&'static str> {
    if core.contains("://") || core.starts_with("www.") {
        return Some("@url");
    }
    if let Some((_, host)) = core.rsplit_once('@') {
        let host = host.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let ours = !domain.is_empty() && host.eq_ignore_ascii_case(domain);
        return (host.contains('.') || !host.is_empty()).then_some(if ours {
            "@rcpt"
        } else {
            "@addr"
        });
    }
    if !core.contains(['.', ':']) {
        return None;
    }
    let head = core.split(['/', '?', ']', '[', ')', '>']).next().unwrap_or_default();
    if is_ip(head) {
        return Some("@ip");
    }
    let name = head.split(':').next().unwrap_or_default();
    if is_host(name) {
        return Some(if name.len() < core.len() && core.contains('/') { "@url" } else { "@host" });
    }
    None
}

fn is_ip(core: &str) -> bool {
    let numbers = |c: char| c.is_ascii_digit() || c == 'x';
    let core = core.split(':').next().filter(|c| c.contains('.')).unwrap_or(core);
    (core.split('.').count() == 4
        && core.split('.').all(|p| !p.is_empty() && p.len() < 4 && p.chars().all(numbers)))
        || (core.matches(':').count() > 2
            && core.chars().all(|c| c.is_ascii_hexdigit() || c == ':'))
}

/// A name of two labels at least whose last one can be a top-level domain.
fn is_host(core: &str) -> bool {
    let Some((rest, last)) = core.rsplit_once('.') else { return false };
    (2..=6).contains(&last.len())
        && last.bytes().all(|b| b.is_ascii_lowercase())
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && rest.bytes().any(|b| b.is_ascii_alphanumeric())
}

/// Splits at everything that is no letter. Numbers say nothing but as parts of words.
fn plain_words(core: &str, out: &mut String, breaks: bool) {
    let mut word = out.len();
    let mut letters = false;
    let close = |out: &mut String, word: &mut usize, letters: &mut bool| {
        if *letters {
            out.push(' ');
        } else {
            out.truncate(*word);
        }
        *word = out.len();
        *letters = false;
    };
    let mut chars = core.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || is_mark(c) {
            letters |= c.is_alphabetic();
            out.push(c);
        } else if c == '\'' {
            // `doesn't` reads `does not`, `can't` `ca not`, `user's` `user s`.
            if chars.peek() == Some(&'t') && out.ends_with('n') {
                out.pop();
                close(out, &mut word, &mut letters);
                out.push_str("no");
                letters = true;
            } else {
                close(out, &mut word, &mut letters);
            }
        } else {
            close(out, &mut word, &mut letters);
            if breaks && matches!(c, ':' | '：' | '=') {
                push_break(COLON, out);
            } else if breaks && matches!(c, '。' | '！' | ';') {
                push_break(STOP, out);
            } else if breaks
                && matches!(c, ',' | '，' | '、' | '；' | '(' | ')' | '（' | '）' | '[' | ']')
            {
                push_break(COMMA, out);
            }
            word = out.len();
        }
    }
    close(out, &mut word, &mut letters);
}

/// Vowel signs of scripts that write them as marks (Thai, Hindi).
fn is_mark(c: char) -> bool {
    matches!(u32::from(c), 0x0900..=0x0dff | 0x0e31..=0x0e4e)
}

/// Writes identifiers as words: `OutboundSpamException` reads `Outbound Spam Exception`. None when
/// the text has none. Addresses and links are left alone: their letters are names.
pub(super) fn split_identifiers(raw: &str, out: &mut String) -> bool {
    out.clear();
    if !raw.as_bytes().windows(2).any(|w| matches!(w, [b'a'..=b'z', b'A'..=b'Z'])) {
        return false;
    }
    let mut split = String::with_capacity(raw.len() + 16);
    for chunk in raw.split_inclusive(char::is_whitespace) {
        if chunk.contains('@') || chunk.contains("://") {
            split.push_str(chunk);
            continue;
        }
        let mut before = [' ', ' '];
        let mut chars = chunk.chars().peekable();
        while let Some(c) = chars.next() {
            let next = chars.peek().copied().unwrap_or(' ');
            let hump = c.is_ascii_uppercase() && before[1].is_ascii_lowercase();
            let acronym = c.is_ascii_uppercase()
                && before[1].is_ascii_uppercase()
                && before[0].is_ascii_uppercase()
                && next.is_ascii_lowercase();
            if hump || acronym {
                split.push(' ');
            }
            split.push(c);
            before = [before[1], c];
        }
    }
    fold(&split, out);
    true
}
