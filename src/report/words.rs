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
    let mut rest = text.trim_ascii_start();
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
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
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
}
