//! A refusal as words: what is between blanks is split into plain words, addresses, hosts,
//! IP addresses and links, and punctuation becomes three kinds of breaks.
//!
//! Promises: one pass; the result begins and ends with a blank and has one blank between words, so
//! a phrase is a substring. Deliberately ignorant of what a word means.

/// A sentence ends here.
pub(super) const STOP: u8 = 1;
/// What follows says more of what is before (`rejected: user unknown`).
pub(super) const COLON: u8 = 2;
/// A part of a sentence ends here.
pub(super) const COMMA: u8 = 3;
/// From here on come the words of links.
pub(super) const LINKS: u8 = 4;

/// What octets a chunk has, one bit a kind: most chunks are letters and nothing is looked for.
type Kinds = u8;
const LETTER: Kinds = 1;
const EQUALS: Kinds = 2;
const COLONS: Kinds = 4;
const DOT: Kinds = 8;
const AT: Kinds = 16;
const OTHER: Kinds = 32;

static KINDS: [Kinds; 256] = {
    let mut kinds = [OTHER; 256];
    let mut octet = 0;
    while octet < 256 {
        kinds[octet] = match octet as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => LETTER,
            b'=' => EQUALS,
            b':' => COLONS,
            b'.' => DOT,
            b'@' => AT,
            _ => OTHER,
        };
        octet += 1;
    }
    kinds
};

/// By what it is told whose an address is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct KnownAddresses<'a> {
    /// Domain of the recipient.
    pub(super) domain: &'a str,
    /// Addresses that the mail was sent from.
    pub(super) senders: &'a [String],
    /// Their domains, where the recipient has none of them.
    pub(super) sender_domains: &'a [&'a str],
}

/// Writes the words of a folded text.
pub(super) fn words(folded: &str, known: KnownAddresses<'_>, out: &mut String, links: &mut String) {
    out.clear();
    links.clear();
    out.push(' ');
    let (mut from, mut kinds) = (0, 0);
    let mut close = |from: usize, to: usize, kinds: Kinds| {
        let chunk = folded.get(from..to).unwrap_or_default();
        if kinds == LETTER {
            push_word(chunk, out);
        } else if kinds != 0 {
            chunk_words(chunk, kinds, known, out, links);
        }
    };
    for (at, octet) in folded.bytes().enumerate() {
        // `FROM:<user@example.com>` is a word and an address.
        if matches!(octet, b' ' | b'<') {
            close(from, at, kinds);
            (from, kinds) = (at + 1, 0);
        } else {
            kinds |= KINDS[usize::from(octet)];
        }
    }
    close(from, folded.len(), kinds);
    if !links.is_empty() {
        push_break(LINKS, out);
        out.push_str(links);
    }
}

/// Writes the words of what is between two blanks; `kinds` says what is worth looking for.
fn chunk_words(
    chunk: &str,
    kinds: Kinds,
    known: KnownAddresses<'_>,
    out: &mut String,
    links: &mut String,
) {
    // What is before a reply code is the relay's, and no part of the reply's sentence.
    if is_reply_code(chunk) {
        push_break(STOP, out);
        // `550-Verification failed`
        if let Some(rest) = chunk.get(4..).filter(|rest| !rest.is_empty()) {
            chunk_words(rest, kinds, known, out, links);
        }
        return;
    }
    if kinds & EQUALS != 0 && is_parameter(chunk) {
        return;
    }
    // `RCPT TO:550 5.1.1 ...`: a relay that writes no blank.
    if kinds & COLONS != 0
        && let Some((head, tail)) = chunk.rsplit_once(':')
        && is_reply_code(tail)
    {
        chunk_words(head, kinds, known, out, links);
        push_break(STOP, out);
        return;
    }
    // French writes a blank before it.
    if matches!(chunk, ":" | ";" | "!" | "?" | "：") {
        return closing(chunk, out);
    }
    // `policy "Reject-Unknown-User"`, `policy:user-not-found`: what is called so says nothing.
    if kinds & OTHER != 0 {
        if kinds & COLONS != 0
            && let Some((head, name)) = chunk.split_once(':')
            && is_name(name)
            && NAMED.contains(&head)
        {
            push_word(head, out);
            return closing(name, out);
        }
        if is_name(chunk) && NAMED.contains(&last_word(out)) {
            return;
        }
    }
    let core = chunk.trim_start_matches(|c: char| opening(c, out));
    let trimmed = core.trim_end_matches(is_edge);
    let tail = core.get(trimmed.len()..).unwrap_or_default();
    // Of a path its end may say something, but not where it is a name: `/usr/lib/deliver-user`.
    if trimmed.starts_with('/')
        && let Some((_, file)) = trimmed.rsplit_once('/')
        && (is_name(file) || file.contains('.'))
    {
        return closing(tail, out);
    }
    let atom = (kinds & (COLONS | DOT | AT) != 0).then(|| atom(trimmed, known)).flatten();
    if let Some(kind) = atom {
        push_word(kind, out);
        if kind == "@url" {
            plain_words(trimmed, links, false);
        }
    } else {
        plain_words(trimmed, out, true);
    }
    closing(tail, out);
}

/// What has names of its own.
const NAMED: [&str; 4] = ["policy", "rule", "group", "entry"];

/// Words joined by hyphens or underscores.
fn is_name(chunk: &str) -> bool {
    let parts = || chunk.split(['-', '_']);
    parts().count() > 1 && parts().all(|part| part.bytes().any(|b| b.is_ascii_alphabetic()))
}

/// The word written last.
fn last_word(out: &str) -> &str {
    out.trim_end().rsplit(' ').next().unwrap_or_default()
}

/// `SIZE=1024`, `id=17` and such.
fn is_parameter(chunk: &str) -> bool {
    let value = chunk.split_once('=').map(|(_, value)| value.trim_end_matches(is_edge));
    value.is_some_and(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()))
}

fn is_reply_code(chunk: &str) -> bool {
    matches!(
        chunk.as_bytes(),
        [b'4' | b'5', b, c] | [b'4' | b'5', b, c, b'-', ..]
            if b.is_ascii_digit() && c.is_ascii_digit()
    )
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
        || matches!(
            c,
            '。' | '，' | '、' | '！' | '：' | '；' | '（' | '）' | '【' | '】' | '،' | '؛' | '؟'
        )
}

/// Marks after a word.
fn closing(tail: &str, out: &mut String) {
    if tail.is_empty() {
        return;
    }
    if has(tail, b"...") || tail.contains([':', '：', '=']) {
        push_break(COLON, out);
    } else if tail.contains(['.', '!', '?', '。', '！', '؟']) {
        push_break(STOP, out);
    } else if tail.contains([',', ';', ')', ']', '}', '，', '、', '；', '）', '】', '،', '؛'])
    {
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
fn atom(core: &str, known: KnownAddresses<'_>) -> Option<&'static str> {
    if has(core, b"://") || core.starts_with("www.") {
        return Some("@url");
    }
    if let Some((_, behind)) = core.rsplit_once('@') {
        let host = behind.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if host.is_empty() {
            return None;
        }
        let address = core.get(..core.len() - (behind.len() - host.len())).unwrap_or(core);
        return Some(if known.senders.iter().any(|s| s.eq_ignore_ascii_case(address)) {
            "@from"
        } else if !known.domain.is_empty() && host.eq_ignore_ascii_case(known.domain) {
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
        let is_elsewhere = !within(name, known.domain) && !within(known.domain, name);
        return Some(match known.sender_domains.iter().find(|domain| within(name, domain)) {
            _ if name.len() < core.len() && core.contains('/') => "@url",
            Some(_) => "@fromhost",
            None if is_elsewhere && !known.domain.is_empty() => "@otherhost",
            None => "@host",
        });
    }
    None
}

/// Whether a name is a domain or a host of it.
fn within(name: &str, domain: &str) -> bool {
    let at = name.len().checked_sub(domain.len());
    let (head, tail) = at.and_then(|at| name.split_at_checked(at)).unwrap_or_default();
    tail.eq_ignore_ascii_case(domain) && (head.is_empty() || head.ends_with('.'))
}

/// Whether three octets are in a short text.
fn has(text: &str, octets: &[u8; 3]) -> bool {
    text.as_bytes().windows(3).any(|three| three == octets)
}

fn is_ip(core: &str) -> bool {
    let numbers = |c: char| c.is_ascii_digit() || c == 'x';
    let core = core.split(':').next().filter(|c| c.contains('.')).unwrap_or(core);
    (core.split('.').count() == 4
        && core.split('.').all(|p| !p.is_empty() && p.len() < 4 && p.chars().all(numbers)))
        || (core.matches(':').count() > 2
            && core.chars().all(|c| c.is_ascii_hexdigit() || c == ':'))
}

/// Long top-level domains of which a name with two labels is believed: the others look like two
/// sentences without a blank between them.
const LONG: [&str; 16] = [
    "example",
    "invalid",
    "localhost",
    "company",
    "digital",
    "agency",
    "technology",
    "solutions",
    "marketing",
    "network",
    "support",
    "systems",
    "services",
    "international",
    "community",
    "website",
];

/// Ends of file names that are no top-level domains.
const FILES: [&str; 26] = [
    "exe", "pck", "conf", "log", "txt", "dat", "tmp", "pem", "ini", "php", "cgi", "dll", "doc",
    "docx", "pdf", "xls", "eml", "jpg", "png", "sieve", "db", "cdb", "lmdb", "map", "sock", "lua",
];

/// A name of two labels at least whose last one can be a top-level domain.
fn is_host(core: &str) -> bool {
    let Some((rest, last)) = core.rsplit_once('.') else { return false };
    let long = || last.len() <= 18 && (rest.contains(['.', '-', '_']) || LONG.contains(&last));
    ((2..=6).contains(&last.len()) || long())
        && !FILES.contains(&last)
        && last.bytes().all(|b| b.is_ascii_lowercase())
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && rest.bytes().any(|b| b.is_ascii_alphanumeric())
}

/// Splits at everything that is no letter. Numbers say nothing but as parts of words.
fn plain_words(core: &str, out: &mut String, breaks: bool) {
    if core.bytes().all(|b| b.is_ascii_alphanumeric()) {
        if core.bytes().any(|b| b.is_ascii_alphabetic()) {
            push_word(core, out);
        }
        return;
    }
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
                && matches!(
                    c,
                    ',' | '،' | '؛' | '，' | '、' | '；' | '(' | ')' | '（' | '）' | '[' | ']'
                )
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

/// Writes identifiers as words: `OutboundSpamException` reads `Outbound Spam Exception`. False when
/// the text has none. Addresses and links are left alone: their letters are names.
pub(super) fn split_identifiers(raw: &str, out: &mut String) -> bool {
    if !raw.as_bytes().windows(2).any(|two| matches!(two, [b'a'..=b'z', b'A'..=b'Z'])) {
        return false;
    }
    out.clear();
    for chunk in raw.split_inclusive(char::is_whitespace) {
        let plain = !chunk.bytes().any(|b| b.is_ascii_uppercase());
        if plain || chunk.contains('@') || has(chunk, b"://") {
            out.push_str(chunk);
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
                out.push(' ');
            }
            out.push(c);
            before = [before[1], c];
        }
    }
    true
}
