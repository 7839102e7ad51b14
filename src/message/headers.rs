//! Header fields of one part: found in one pass, decoded only when asked for.
//!
//! Promises: linear in the block, never fails. Lenient where real mail is: white space before
//! the colon, a missing blank line before the body, an mbox `From ` line, and continuation lines
//! that lost their indentation after a `;`.

use std::borrow::Cow;

use mail_parser::parsers::MessageStream;
use mail_parser::{Address as ParsedAddress, HeaderValue};

use super::limits;
use crate::mail::Address;

/// One field: name as written, value with its folds.
#[derive(Debug, Clone, Copy)]
pub struct Field<'x> {
    /// Name as written, without the colon; printable ASCII.
    pub name: &'x [u8],
    /// Raw value up to the line end that closes it.
    pub value: &'x [u8],
    start: usize,
}

/// All fields of one part, in order.
#[derive(Debug, Clone, Default)]
pub struct Headers<'x> {
    fields: Vec<Field<'x>>,
}

/// What reading a header block found besides the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderEnd {
    /// Offset of the first octet after the block.
    pub body: usize,
    /// There were more fields or octets than the budget allows.
    pub over_budget: bool,
}

impl<'x> Headers<'x> {
    /// Reads the block at the start of `data`; `first` allows what is only before a whole
    /// message: a byte order mark, blank lines, an mbox line.
    pub fn read(data: &'x [u8], first: bool) -> (Self, HeaderEnd) {
        let mut headers = Self { fields: Vec::with_capacity(24) };
        let mut at = if first { leading_rubbish(data) } else { 0 };
        let mut over_budget = false;
        while at < data.len() {
            let line_end = end_of_line(data, at);
            let line = trim_line(data.get(at..line_end).unwrap_or_default());
            if line.is_empty() {
                at = line_end;
                break;
            }
            if headers.fields.len() >= limits::HEADERS || at > limits::HEADER_BLOCK {
                over_budget = true;
                at = body_after(data, at);
                break;
            }
            let continues = matches!(line.first(), Some(b' ' | b'\t'));
            match field_name(line) {
                _ if continues => headers.extend_last(data, line_end),
                Some(name) => {
                    let start = at + name.1;
                    let value = data.get(start..line_end).unwrap_or_default();
                    headers.fields.push(Field { name: name.0, value, start });
                }
                None if headers.last_wants_more() => headers.extend_last(data, line_end),
                // A line that is no field: an mbox line, or the body began without a blank line.
                None if line.starts_with(b"From ") || line.starts_with(b">From ") => {}
                None => {
                    if line.starts_with(b"--") || headers.fields.is_empty() {
                        break;
                    }
                }
            }
            at = line_end;
        }
        (headers, HeaderEnd { body: at, over_budget })
    }

    /// All fields in order.
    pub fn fields(&self) -> &[Field<'x>] {
        &self.fields
    }

    /// The first field of that name.
    pub fn field(&self, name: &str) -> Option<&Field<'x>> {
        self.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Whether there is such a field.
    pub fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    /// The value as decoded, unfolded text; RFC 2047 words decoded, control characters gone.
    pub fn text(&self, name: &str) -> Option<Cow<'x, str>> {
        self.field(name).map(Field::text)
    }

    /// Like [`text`](Self::text) in lower case, for comparing; empty when there is no such field.
    pub fn lower(&self, name: &str) -> String {
        self.text(name).map(|t| t.to_lowercase()).unwrap_or_default()
    }

    /// The mailboxes of an address field (RFC 5322 section 3.4).
    pub fn addresses(&self, name: &str) -> Vec<Address> {
        let Some(field) = self.field(name) else { return Vec::new() };
        if let Some(bare) = bare_address(field.value) {
            return Address::parse(bare).into_iter().collect();
        }
        let value = terminated(field.value);
        let HeaderValue::Address(parsed) = MessageStream::new(&value).parse_address() else {
            return Vec::new();
        };
        let list = match &parsed {
            ParsedAddress::List(list) => list.iter().collect::<Vec<_>>(),
            ParsedAddress::Group(groups) => groups.iter().flat_map(|g| &g.addresses).collect(),
        };
        list.iter().filter_map(|a| Address::parse(a.address.as_deref()?)).take(50).collect()
    }

    fn extend_last(&mut self, data: &'x [u8], line_end: usize) {
        if let Some(last) = self.fields.last_mut() {
            last.value = data.get(last.start..line_end).unwrap_or(last.value);
        }
    }

    /// Content-Type whose line ended in `;`, so that the next line is its parameters even though
    /// it is not indented.
    fn last_wants_more(&self) -> bool {
        self.fields.last().is_some_and(|f| {
            f.name.eq_ignore_ascii_case(b"content-type") && f.value.trim_ascii_end().ends_with(b";")
        })
    }
}

impl<'x> Field<'x> {
    /// See [`Headers::text`].
    pub fn text(&self) -> Cow<'x, str> {
        let value = cut(self.value, limits::FIELD_OCTETS).trim_ascii();
        // All octets are looked at, so that many are at once.
        let plain = value.iter().fold(true, |plain, b| plain & (0x20..0x7f).contains(b));
        if plain
            && memchr::memmem::find(value, b"=?").is_none()
            && let Ok(text) = std::str::from_utf8(value)
        {
            return Cow::Borrowed(text);
        }
        let words = memchr::memmem::find_iter(value, b"=?").take(limits::ENCODED_WORDS + 1).count();
        if words > 0
            && words <= limits::ENCODED_WORDS
            && let HeaderValue::Text(text) =
                MessageStream::new(&terminated(value)).parse_unstructured()
        {
            return Cow::Owned(clean(&text));
        }
        Cow::Owned(clean(&decode_8bit(value)))
    }
}

/// Decodes the encoded words (RFC 2047) of a text that is no field of a header, but of a report.
pub fn decode_words(text: &str) -> Cow<'_, str> {
    if memchr::memmem::find(text.as_bytes(), b"=?").is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(Field { name: b"x", value: text.as_bytes(), start: 0 }.text().into_owned())
}

/// Reads octets of an undeclared charset: UTF-8 when it is that, else Windows-1252, which is what
/// undeclared 8-bit mail mostly is.
pub(super) fn decode_8bit(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(e) if e.error_len().is_none() => String::from_utf8_lossy(bytes),
        Err(_) => match mail_parser::decoders::charsets::map::charset_decoder(b"windows-1252") {
            Some(decoder) => Cow::Owned(decoder(bytes)),
            None => String::from_utf8_lossy(bytes),
        },
    }
}

/// The first `max` octets.
pub(super) fn cut(bytes: &[u8], max: usize) -> &[u8] {
    bytes.get(..max).unwrap_or(bytes)
}

/// The first `max` octets, but whole lines: half an address is another address.
pub(super) fn cut_lines(bytes: &[u8], max: usize) -> &[u8] {
    let kept = cut(bytes, max);
    if kept.len() == bytes.len() {
        return bytes;
    }
    memchr::memrchr(b'\n', kept).and_then(|at| kept.get(..=at)).unwrap_or(kept)
}

/// Folds white space (and so line folds) to single blanks and drops control characters, among
/// them the bidirectional ones that make logs lie.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().filter(|c| !is_unprintable(*c)));
    }
    out
}

/// Control characters and the bidirectional and zero-width ones.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `user@example.com` or `<user@example.com>` and nothing more, as programs write it: mail-parser
/// would only say the same.
fn bare_address(value: &[u8]) -> Option<&str> {
    let value = value.trim_ascii();
    let inner = value.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">")).unwrap_or(value);
    let plain =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'@' | b'.' | b'-' | b'_' | b'+' | b'=');
    let address = inner.iter().all(plain) && inner.contains(&b'@');
    std::str::from_utf8(inner).ok().filter(|_| address)
}

/// mail-parser reads a field up to its line end; a value at the very end of the data has none.
fn terminated(value: &[u8]) -> Vec<u8> {
    let mut value = cut(value, limits::FIELD_OCTETS).to_vec();
    value.extend_from_slice(b"\r\n");
    value
}

/// Offset after the next LF, or the end.
pub(super) fn end_of_line(data: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', data.get(at..).unwrap_or_default()).map_or(data.len(), |n| at + n + 1)
}

/// A line without its CR and LF.
pub(super) fn trim_line(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Name of a field line and the offset of its value.
fn field_name(line: &[u8]) -> Option<(&[u8], usize)> {
    let length = cut(line, 101).iter().position(|b| !b.is_ascii_graphic() || *b == b':')?;
    // White space may be before the colon.
    let after = line.get(length..)?;
    let colon = length + (after.len() - after.trim_ascii_start().len());
    if length == 0 || line.get(colon) != Some(&b':') {
        return None;
    }
    Some((line.get(..length)?, colon + 1))
}

/// Octets of a byte order mark and blank lines at the very start.
fn leading_rubbish(data: &[u8]) -> usize {
    let mut at = if data.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    while let Some(b'\r' | b'\n') = data.get(at) {
        at += 1;
    }
    at
}

/// Where the body begins when the rest of the header block is not read.
fn body_after(data: &[u8], at: usize) -> usize {
    let rest = data.get(at..).unwrap_or_default();
    let crlf = memchr::memmem::find(rest, b"\r\n\r\n").map(|n| n + 4);
    let lf = memchr::memmem::find(rest, b"\n\n").map(|n| n + 2);
    match (crlf, lf) {
        (Some(a), Some(b)) => at + a.min(b),
        (Some(n), None) | (None, Some(n)) => at + n,
        (None, None) => data.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(String, String)>, usize) {
        let (headers, end) = Headers::read(text.as_bytes(), true);
        let fields = headers
            .fields()
            .iter()
            .map(|f| (String::from_utf8_lossy(f.name).into_owned(), f.text().into_owned()));
        (fields.collect(), end.body)
    }

    #[test]
    fn reads_what_real_mail_has() {
        for (text, expected, body) in [
            ("A: b\r\nC: d\r\n\r\nbody", vec![("A", "b"), ("C", "d")], 14),
            ("A: b\n c\n\nbody", vec![("A", "b c")], 9),
            // A blank before the colon.
            ("Final-Recipient : x\n\n", vec![("Final-Recipient", "x")], 21),
            // An mbox line, a byte order mark, blank lines first.
            ("From x@y Mon\nA: b\n\n", vec![("A", "b")], 19),
            ("\u{feff}\r\n\r\nA: b\n\n", vec![("A", "b")], 13),
            // The parameters of Content-Type lost their indentation.
            (
                "Content-Type: multipart/report;\nboundary=\"x\"\n\n",
                vec![("Content-Type", "multipart/report; boundary=\"x\"")],
                46,
            ),
            ("Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\n\n", vec![("Subject", "Grüße")], 38),
            // Undeclared 8 bit, and control characters.
            ("Subject: a\u{1b}[31m\u{202e}b\n\n", vec![("Subject", "a[31mb")], 21),
            ("", vec![], 0),
        ] {
            let (fields, at) = read(text);
            let fields: Vec<_> = fields.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            assert_eq!(fields, expected, "{text:?}");
            assert_eq!(at, body, "{text:?}");
        }
    }

    #[test]
    fn a_bare_address_is_what_mail_parser_reads() {
        for value in [
            " a.b+c=d_e-f@Example.com\r\n",
            "\r\n\t<a@example.com>\r\n",
            " a@b@example.com\n",
            " <@example.com>",
            " a@",
            " <a@example.com\n",
        ] {
            let read = |value: &str| {
                let header = format!("To:{value}\n\n");
                Headers::read(header.as_bytes(), true).0.addresses("to")
            };
            // A comment says nothing, but makes it more than an address.
            assert_eq!(read(value), read(&format!("{} (x)", value.trim_end())), "{value:?}");
        }
    }

    #[test]
    fn addresses_are_read_with_names_and_groups() {
        let (headers, _) =
            Headers::read(b"To: \"A, B\" <a@example.com>, g: c@example.net;\n\n", true);
        let list: Vec<_> = headers.addresses("to").iter().map(ToString::to_string).collect();
        assert_eq!(list, ["a@example.com", "c@example.net"]);
    }
}
