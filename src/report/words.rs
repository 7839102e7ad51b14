//! The text of a message as recognisers go through it, line by line, and as a record keeps it:
//! short, on one line, printable.

use crate::message::is_unprintable;

/// Octets of the words that a record keeps.
const MAX_WORDS: usize = 2_000;

/// Words for a record: white space folded, unprintable characters gone, 2,000 octets at most.
pub fn bounded_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_WORDS));
    add_words(&mut out, text);
    out
}

/// The first characters of a text.
pub fn beginning(text: &str, most: usize) -> &str {
    let longer = (text.len() > most).then(|| text.char_indices().nth(most)).flatten();
    longer.and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// The lines of a text with their ends, as `str::split_inclusive` gives them, but found by
/// memchr: every recogniser goes over all lines.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        rest = after;
        (!line.is_empty()).then_some(line)
    })
}

/// Adds the words of a text to others, in the manner of [`bounded_words`].
pub fn add_words(out: &mut String, text: &str) {
    out.reserve(text.len().min(MAX_WORDS.saturating_sub(out.len())));
    for line in lines(text).map(str::trim_ascii).filter(|line| !line.is_empty()) {
        // Nearly all lines are as they shall be: those are copied whole.
        if out.len() + line.len() <= MAX_WORDS && is_folded(line.as_bytes()) {
            push_blank(out);
            out.push_str(line);
        } else if !add_line(out, line) {
            break;
        }
    }
}

/// Whether a line has printable ASCII only, and one blank between words. All octets are looked at, so
/// that many are at once.
fn is_folded(line: &[u8]) -> bool {
    let pairs = line.iter().zip(line.iter().skip(1));
    line.iter().fold(true, |folded, b| folded & (b' '..=b'~').contains(b))
        & pairs.fold(true, |folded, (a, b)| folded & !((*a == b' ') & (*b == b' ')))
}

fn push_blank(out: &mut String) {
    if !out.is_empty() {
        out.push(' ');
    }
}

/// Adds the words of a line; false when there is no room for one.
fn add_line(out: &mut String, line: &str) -> bool {
    let mut rest = line;
    while !rest.is_empty() {
        // Nearly all words are plain: those are copied whole.
        let octets = rest.as_bytes();
        let plain = octets.iter().position(|b| !b.is_ascii_graphic()).unwrap_or(octets.len());
        let all_plain = octets.get(plain).is_none_or(u8::is_ascii_whitespace);
        let end = match all_plain {
            true => plain,
            false => octets.iter().position(u8::is_ascii_whitespace).unwrap_or(octets.len()),
        };
        let (word, after) = rest.split_at(end);
        rest = after.trim_ascii_start();
        if out.len() + word.len() > MAX_WORDS {
            return false;
        }
        push_blank(out);
        if all_plain {
            out.push_str(word);
        } else {
            let words = word.split_whitespace();
            for (n, word) in words.enumerate() {
                if n > 0 {
                    out.push(' ');
                }
                out.extend(word.chars().filter(|c| !is_unprintable(*c)));
            }
        }
    }
    true
}
