//! Text as phrases are compared: lower case, without accents, one blank for white space.
//!
//! Promises: linear, stops at the budget that the caller names, and the same for the phrase
//! tables and for what arrives, so that a table keeps its proper spelling. Accents of Latin
//! letters are dropped because mail often lost them (`Reponse automatique`); other scripts are
//! only lower-cased. Typographic apostrophes and dashes become the plain ones, full-width ASCII
//! (Japanese and Chinese mail) becomes ASCII.

use crate::mail::unaccented;
use crate::message::is_unprintable;

/// The normalized form of a short text.
pub(super) fn normalize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    normalize_into(&mut out, text, usize::MAX);
    out.truncate(out.trim_end().len());
    out
}

/// Appends the normalized form until `out` holds `limit` octets. White space at the start is
/// dropped when `out` is empty or ends in white space already.
pub(super) fn normalize_into(out: &mut String, text: &str, limit: usize) {
    if text.is_ascii() {
        let start = out.len();
        if text.len() <= limit.saturating_sub(start) && is_tidy(text) {
            out.push_str(text);
            return lower(out, start);
        }
        if !text.bytes().any(|b| b < 0x20 && !b.is_ascii_whitespace()) {
            return normalize_words(out, text, limit);
        }
    }
    for c in text.chars() {
        if out.len() >= limit {
            return;
        }
        if c.is_ascii() {
            if c.is_ascii_whitespace() {
                push_blank(out);
            } else if !c.is_ascii_control() {
                out.push(c.to_ascii_lowercase());
            }
        } else {
            normalize_wide(out, c);
        }
    }
}

/// Whether normalizing plain ASCII is lower-casing: no tabs and no blanks beside blanks or edges.
fn is_tidy(text: &str) -> bool {
    let mut before = b' ';
    text.bytes().all(|b| b >= b' ' && (std::mem::replace(&mut before, b) != b' ' || b != b' '))
        && before != b' '
}

fn lower(out: &mut str, from: usize) {
    if let Some(added) = out.get_mut(from..) {
        added.make_ascii_lowercase();
    }
}

/// The same for ASCII without control characters, word by word.
fn normalize_words(out: &mut String, text: &str, limit: usize) {
    if text.starts_with(|c: char| c.is_ascii_whitespace()) {
        push_blank(out);
    }
    let mut words = text.split_ascii_whitespace().peekable();
    while let Some(word) = words.next() {
        let room = limit.saturating_sub(out.len());
        if room == 0 {
            return;
        }
        let start = out.len();
        out.push_str(word.get(..room).unwrap_or(word));
        lower(out, start);
        if words.peek().is_some() {
            out.push(' ');
        }
    }
    if text.ends_with(|c: char| c.is_ascii_whitespace()) {
        push_blank(out);
    }
}

fn push_blank(out: &mut String) {
    if !matches!(out.as_bytes().last(), None | Some(b' ' | b'\n')) {
        out.push(' ');
    }
}

fn normalize_wide(out: &mut String, c: char) {
    if let Some(plain) = unaccented(c) {
        out.push_str(plain);
        return;
    }
    match c {
        // Combining accents of decomposed text (macOS), Arabic and Hebrew vowel marks.
        '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{65f}' => {}
        '\u{2018}' | '\u{2019}' | '\u{201b}' | '`' | '´' | '\u{2032}' => out.push('\''),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => out.push('-'),
        // Accented Greek as it is lower-cased letter by letter; the final sigma stays.
        'ά' | 'Ά' => out.push('α'),
        'έ' | 'Έ' => out.push('ε'),
        'ή' | 'Ή' => out.push('η'),
        'ί' | 'Ί' | 'ϊ' | 'ΐ' => out.push('ι'),
        'ό' | 'Ό' => out.push('ο'),
        'ύ' | 'Ύ' | 'ϋ' => out.push('υ'),
        'ώ' | 'Ώ' => out.push('ω'),
        'ё' | 'Ё' => out.push('е'),
        '\u{ff01}'..='\u{ff5e}' => {
            let plain = char::from_u32(u32::from(c) - 0xfee0).unwrap_or(' ');
            out.push(plain.to_ascii_lowercase());
        }
        '\u{3000}' => push_blank(out),
        _ if c.is_whitespace() => push_blank(out),
        _ if is_unprintable(c) => {}
        _ => out.extend(c.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalizes_what_mail_varies() {
        for (text, expected) in [
            ("  Out  of\r\n the\tOffice ", "out of the office"),
            ("Réponse AUTOMATIQUE : l\u{2019}été", "reponse automatique : l'ete"),
            ("Re\u{301}ponse", "reponse"),
            ("Außer Haus", "ausser haus"),
            ("Ofis dışında İZİN", "ofis disinda izin"),
            ("АВТООТВЕТ: Всё", "автоответ: все"),
            ("ΑΥΤΌΜΑΤΗ απάντηση", "αυτοματη απαντηση"),
            ("自動返信：ＯＫ\u{3000}です", "自動返信:ok です"),
            ("a\u{a0}b\u{200b}c", "a bc"),
        ] {
            assert_eq!(normalize(text), expected, "{text}");
        }
    }

    #[test]
    fn stops_at_its_budget() {
        let mut out = String::new();
        normalize_into(&mut out, &"ab".repeat(1000), 10);
        assert_eq!(out, "ababababab");
    }
}
