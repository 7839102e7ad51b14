//! One part: its fields, its media type and its text, decoded when first asked for.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use mail_parser::HeaderValue;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::html_to_text;
use mail_parser::parsers::MessageStream;

use super::headers::{self, Headers};
use super::limits;

/// Content-Transfer-Encoding (RFC 2045 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferEncoding {
    /// 7bit, 8bit, binary, or something unknown.
    Identity,
    /// base64
    Base64,
    /// quoted-printable
    QuotedPrintable,
}

/// One part of a message.
#[derive(Debug)]
pub struct Part<'x> {
    /// Its fields; of the message itself, the message's.
    pub headers: Headers<'x>,
    /// `type/subtype`, lower case; `text/plain` when there is no Content-Type.
    pub media_type: Cow<'static, str>,
    /// Boundary of a multipart.
    pub boundary: Option<String>,
    /// `report-type` of a multipart/report, lower case.
    pub report_type: Option<String>,
    /// Raw body.
    pub body: &'x [u8],
    /// How the body is encoded.
    pub encoding: TransferEncoding,
    /// Nesting, 0 for the message itself.
    pub depth: usize,
    /// Inside a returned or forwarded message.
    pub inside_message: bool,
    charset: Option<String>,
    text: OnceCell<Cow<'x, str>>,
}

/// Octets of text that may still be decoded.
#[derive(Debug)]
pub(super) struct TextBudget {
    left: Cell<usize>,
    /// A text was cut.
    pub(super) is_short: Cell<bool>,
}

impl TextBudget {
    pub(super) const fn new(octets: usize) -> Self {
        Self { left: Cell::new(octets), is_short: Cell::new(false) }
    }
}

impl<'x> Part<'x> {
    pub(super) fn new(headers: Headers<'x>, body: &'x [u8], depth: usize, inside: bool) -> Self {
        let ContentTypeValue { media_type, charset, boundary, report_type } =
            headers.field("content-type").map(|f| content_type(f.value)).unwrap_or_default();
        let encoding =
            match headers.field("content-transfer-encoding").map(|f| f.value.trim_ascii()) {
                Some(v) if v.eq_ignore_ascii_case(b"base64") => TransferEncoding::Base64,
                Some(v) if v.eq_ignore_ascii_case(b"quoted-printable") => {
                    TransferEncoding::QuotedPrintable
                }
                _ => TransferEncoding::Identity,
            };
        Self {
            headers,
            media_type,
            boundary,
            report_type,
            body,
            encoding,
            depth,
            inside_message: inside,
            charset,
            text: OnceCell::new(),
        }
    }

    /// Whether the media type is this one (lower case).
    pub fn is(&self, media_type: &str) -> bool {
        self.media_type == media_type
    }

    /// multipart/*
    pub fn is_multipart(&self) -> bool {
        self.media_type.starts_with("multipart/")
    }

    /// Text that is meant for people.
    pub fn is_human_text(&self) -> bool {
        self.is("text/plain")
            || self.is("text/html")
            || self.is("text/enriched")
            || self.is("message/notification")
    }

    /// A message/rfc822 or message/global that is not encoded, so that its parts follow.
    pub fn is_open_message(&self) -> bool {
        (self.is("message/rfc822") || self.is("message/global"))
            && self.encoding == TransferEncoding::Identity
    }

    /// Decoded text; lines end in LF or CRLF as they did. Empty for binary parts.
    pub(super) fn text(&self, budget: &TextBudget) -> &str {
        self.text.get_or_init(|| {
            let left = budget.left.get().min(limits::TEXT_OCTETS);
            let body = headers::cut_lines(self.body, left);
            let text = self.decode(body);
            if body.len() < self.body.len() && !text.is_empty() {
                budget.is_short.set(true);
            }
            budget.left.set(budget.left.get().saturating_sub(text.len()));
            text
        })
    }

    fn decode(&self, body: &'x [u8]) -> Cow<'x, str> {
        let binary =
            !(self.media_type.starts_with("text/") || self.media_type.starts_with("message/"));
        if binary && !self.is_multipart() {
            return Cow::Borrowed("");
        }
        let octets: Cow<'x, [u8]> = match self.encoding {
            TransferEncoding::Identity => Cow::Borrowed(body),
            // Lines that are no base64 (a footer that a list added) end the decoding.
            TransferEncoding::Base64 => match base64_decode(base64_run(body)) {
                Some(decoded) => Cow::Owned(decoded),
                None => Cow::Borrowed(body),
            },
            TransferEncoding::QuotedPrintable => quoted_printable(body),
        };
        let decoder = self
            .charset
            .as_deref()
            .filter(|c| !is_utf8_or_ascii(c) && !is_utf7(c))
            // ISO-2022-JP has no octet above 127: such a text was converted, its label was not.
            .filter(|c| !c.eq_ignore_ascii_case("iso-2022-jp") || octets.is_ascii())
            .and_then(|c| charset_decoder(c.as_bytes()));
        let text = match (octets, decoder) {
            (octets, Some(decoder)) => Cow::Owned(decoder(&octets)),
            (Cow::Borrowed(octets), None) => headers::decode_8bit(octets),
            (Cow::Owned(octets), None) => Cow::Owned(headers::decode_8bit(&octets).into_owned()),
        };
        if self.is("text/html") { Cow::Owned(html_to_text(&with_breaks(&text))) } else { text }
    }
}

/// HTML with a `<br>` or a blank before the tags at which browsers begin a new line or cell, and
/// with hardly anything of attributes. mail-parser knows `<br>` and `</p>` only and would join
/// `user@example.com</td><td>because`; and it reads attributes, which may hold whole pictures, octet
/// by octet.
fn with_breaks(html: &str) -> Cow<'_, str> {
    const LINES: [&[u8]; 30] = [
        b"p",
        b"div",
        b"tr",
        b"li",
        b"ul",
        b"ol",
        b"h1",
        b"h2",
        b"h3",
        b"h4",
        b"table",
        b"hr",
        b"center",
        b"blockquote",
        b"pre",
        b"dl",
        b"dt",
        b"dd",
        b"h5",
        b"h6",
        b"article",
        b"section",
        b"header",
        b"footer",
        b"main",
        b"aside",
        b"address",
        b"caption",
        b"legend",
        b"form",
    ];
    let octets = html.as_bytes();
    let mut out = String::new();
    let mut kept = 0;
    for at in memchr::memchr_iter(b'<', octets) {
        let tag = octets.get(at + 1..).unwrap_or_default();
        let tag = tag.strip_prefix(b"/").unwrap_or(tag);
        let length = tag.iter().take(11).take_while(|b| b.is_ascii_alphanumeric()).count();
        let (name, behind) = tag.split_at(length);
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        let added = if LINES.iter().any(|known| is(known)) {
            "<br>"
        } else if is(b"td") || is(b"th") {
            " "
        } else {
            ""
        };
        if !added.is_empty() {
            out.push_str(html.get(kept..at).unwrap_or_default());
            out.push_str(added);
            kept = at;
        }
        let attribute = behind.trim_ascii_start();
        if !name.is_empty()
            && attribute.len() < behind.len()
            && let Some((b'a'..=b'z' | b'A'..=b'Z', rest)) = attribute.split_first()
        {
            // That a tag has one is enough. A `--` before the end may close a comment that it is in.
            let length = memchr::memchr2(b'<', b'>', rest).unwrap_or(rest.len());
            if rest.get(..length).is_some_and(|value| value.ends_with(b"-")) {
                continue;
            }
            let from = octets.len() - rest.len();
            out.push_str(html.get(kept..from).unwrap_or_default());
            kept = from + length;
        }
    }
    if out.is_empty() {
        return Cow::Borrowed(html);
    }
    out.push_str(html.get(kept..).unwrap_or_default());
    Cow::Owned(out)
}

fn is_utf8_or_ascii(charset: &str) -> bool {
    ["utf-8", "utf8", "us-ascii", "ascii"].iter().any(|c| charset.eq_ignore_ascii_case(c))
}

/// UTF-7 hides ASCII from whoever looks at octets; nobody needs it, so it stays as it is
/// (docs/reliability.md, "Header and charset tricks").
fn is_utf7(charset: &str) -> bool {
    ["utf-7", "utf7", "unicode-1-1-utf-7", "csunicode11utf7"]
        .iter()
        .any(|c| charset.eq_ignore_ascii_case(c))
}

/// What is kept of a Content-Type field.
struct ContentTypeValue {
    media_type: Cow<'static, str>,
    charset: Option<String>,
    boundary: Option<String>,
    report_type: Option<String>,
}

impl Default for ContentTypeValue {
    /// RFC 2045 section 5.2.
    fn default() -> Self {
        Self {
            media_type: Cow::Borrowed("text/plain"),
            charset: None,
            boundary: None,
            report_type: None,
        }
    }
}

/// Reads a Content-Type value (RFC 2045 section 5, RFC 2231) within the field budget.
fn content_type(value: &[u8]) -> ContentTypeValue {
    if let Some(plain) = plain_content_type(value) {
        return plain;
    }
    let mut octets = headers::cut(value, limits::FIELD_OCTETS).to_vec();
    // RFC 2231 continuations cost more than linear time in mail-parser
    // (docs/reliability.md, "Header and charset tricks").
    if memchr::memchr_iter(b';', &octets).count() > 64 {
        octets.truncate(memchr::memchr(b';', &octets).unwrap_or(0));
    }
    octets.extend_from_slice(b"\r\n");
    let mut kept = ContentTypeValue::default();
    let HeaderValue::ContentType(parsed) = MessageStream::new(&octets).parse_content_type() else {
        return kept;
    };
    kept.media_type = known_media_type(&parsed.c_type, parsed.c_subtype.as_deref());
    for attribute in parsed.attributes.iter().flatten() {
        kept.keep(attribute.name.as_bytes(), &attribute.value);
    }
    kept
}

impl ContentTypeValue {
    /// Keeps a parameter that we ask for. The first one counts, as everywhere in MIME.
    fn keep(&mut self, name: &[u8], value: &str) {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        if is(b"charset") {
            self.charset.get_or_insert_with(|| value.to_string());
        } else if is(b"boundary") {
            self.boundary.get_or_insert_with(|| value.to_string());
        } else if is(b"report-type") {
            self.report_type.get_or_insert_with(|| value.to_ascii_lowercase());
        }
    }
}

/// `text/plain; charset=us-ascii; boundary="x"` without escapes, comments, encoded words and blanks
/// inside, as nearly all fields are: mail-parser would only say the same. None for any other.
fn plain_content_type(value: &[u8]) -> Option<ContentTypeValue> {
    const MOST: usize = 256;
    // A line that is not indented ends the field for mail-parser; a form feed is no blank for it.
    let folds = |at: usize| {
        value.get(at) == Some(&b'\n') && matches!(value.get(at + 1), None | Some(b' ' | b'\t'))
    };
    if value.len() > MOST || !memchr::memchr2_iter(b'\n', b'\x0c', value).all(folds) {
        return None;
    }
    let mut pieces = value.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let media_type = bare_media_type(pieces.next()?)?;
    let mut kept = ContentTypeValue { media_type, ..ContentTypeValue::default() };
    for piece in pieces {
        let (name, value) = piece.split_at_checked(piece.iter().position(|b| *b == b'=')?)?;
        let value = value.get(1..)?;
        let inside = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        let value = inside.unwrap_or(value);
        let named = name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
        let plain = value.iter().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'=' | b'+' | b'/')
        });
        if name.is_empty() || !named || value.is_empty() || !plain {
            return None;
        }
        kept.keep(name, std::str::from_utf8(value).ok()?);
    }
    Some(kept)
}

/// `text/plain` and nothing more.
fn bare_media_type(value: &[u8]) -> Option<Cow<'static, str>> {
    let (main, sub) = value.split_at_checked(value.iter().position(|b| *b == b'/')?)?;
    let sub = sub.get(1..)?;
    let token = |t: &[u8]| {
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.');
        !t.is_empty() && t.iter().all(plain)
    };
    let text = |t| std::str::from_utf8(t).ok();
    (token(main) && token(sub)).then(|| Some(known_media_type(text(main)?, Some(text(sub)?))))?
}

/// Media types that occur in bounces, without an allocation.
fn known_media_type(main: &str, sub: Option<&str>) -> Cow<'static, str> {
    let Some(sub) = sub else {
        return if main.eq_ignore_ascii_case("text") {
            Cow::Borrowed("text/plain")
        } else {
            Cow::Owned(main.to_ascii_lowercase())
        };
    };
    for known in [
        "text/plain",
        "text/html",
        "multipart/report",
        "multipart/mixed",
        "multipart/alternative",
        "message/delivery-status",
        "message/rfc822",
        "text/rfc822-headers",
    ] {
        if known.len() == main.len() + 1 + sub.len()
            && known.get(..main.len()).is_some_and(|k| k.eq_ignore_ascii_case(main))
            && known.get(main.len() + 1..).is_some_and(|k| k.eq_ignore_ascii_case(sub))
        {
            return Cow::Borrowed(known);
        }
    }
    Cow::Owned(format!("{main}/{sub}").to_ascii_lowercase())
}

/// Undoes quoted-printable (RFC 2045 section 6.7) between one `=` and the next: most of such a text
/// stays as it is. An `=` that encodes nothing stays, as the RFC advises; gateways make many.
fn quoted_printable(body: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'=', body) else { return Cow::Borrowed(body) };
    let (plain, mut rest) = body.split_at(first);
    let mut out = Vec::with_capacity(body.len());
    out.extend_from_slice(plain);
    while let Some((_, after)) = rest.split_first() {
        let hex = |octet: &u8| char::from(*octet).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let pair = after.first_chunk::<2>();
        let pair = pair.and_then(|[high, low]| Some(hex(high)? << 4 | hex(low)?));
        let blanks = after.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r')).count();
        rest = match pair {
            Some(octet) => {
                out.push(octet);
                after.get(2..).unwrap_or_default()
            }
            // A soft line break, with the blanks that gateways put before its end.
            None if after.get(blanks) == Some(&b'\n') => {
                after.get(blanks + 1..).unwrap_or_default()
            }
            None => {
                out.push(b'=');
                after
            }
        };
        let next = memchr::memchr(b'=', rest).unwrap_or(rest.len());
        let (plain, encoded) = rest.split_at(next);
        out.extend_from_slice(plain);
        rest = encoded;
    }
    Cow::Owned(out)
}

/// The leading lines that can be base64.
fn base64_run(body: &[u8]) -> &[u8] {
    let mut end = 0;
    for line in body.split_inclusive(|b| *b == b'\n') {
        let fits = line.iter().all(|b| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'+' | b'/' | b'=' | b'\r' | b'\n' | b' ' | b'\t')
        });
        if !fits {
            break;
        }
        end += line.len();
    }
    body.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_content_type_is_what_mail_parser_reads() {
        let shown = |value: &str| {
            let kept = content_type(value.as_bytes());
            (kept.media_type, kept.charset, kept.boundary, kept.report_type)
        };
        for (value, plain) in [
            (" text/plain; charset=us-ascii\r\n", true),
            (" Text/Plain; Charset=\"UTF-8\";\n\tformat=flowed; charset=x\n", true),
            (
                " multipart/report; report-type=Delivery-Status;\r\n\tboundary=\"=_a.b/c:1\"\r\n",
                true,
            ),
            (" text/plain\r\n ; charset=a\r\n ; boundary=b", true),
            (" text/plain; charset=\r\n us-ascii", false),
            (" multipart/mixed;\nboundary=x", false),
            (" multipart/mixed; boundary=\"a b\"", false),
            (" multipart/mixed; boundary=\"a;b\"", false),
            (" text/plain; charset*=us-ascii", false),
            (" text/plain; charset=\"\"; charset=a", false),
            (" text/plain;", false),
            ("text", false),
            ("", false),
        ] {
            assert_eq!(plain_content_type(value.as_bytes()).is_some(), plain, "{value:?}");
            // A comment says nothing, but only mail-parser reads it.
            let commented = format!("{} (x)\r\n", value.trim_end());
            assert!(plain_content_type(commented.as_bytes()).is_none(), "{commented:?}");
            if plain {
                assert_eq!(shown(value), shown(&commented), "{value:?}");
            }
        }
    }

    #[test]
    fn quoted_printable_as_it_comes() {
        for (body, expected) in [
            ("no sign", "no sign"),
            ("a=20b=3D", "a b="),
            ("gr=C3=BC=c3=9fe", "gr\u{fc}\u{df}e"),
            ("soft=\r\nbreak=\nhere", "softbreakhere"),
            ("blanks= \t\r\nbefore", "blanksbefore"),
            // Not encoded at all.
            ("a=b =zz x==41", "a=b =zz x=A"),
            ("cut=", "cut="),
            ("cut=4", "cut=4"),
            ("=\n", ""),
        ] {
            let decoded = quoted_printable(body.as_bytes());
            assert_eq!(String::from_utf8_lossy(&decoded), expected, "{body:?}");
        }
    }

    #[test]
    fn attributes_are_left_out_where_nobody_reads_them() {
        for (html, expected) in [
            ("<img src=\"data:image/png;base64,AAAA\">a", "<img s>a"),
            ("<a\n href='x'>b</a>", "<a\n h>b</a>"),
            ("<td class=x>c<td>", " <td c>c <td>"),
            ("<p style='a-b: c'>b", "<br><p s>b"),
            // It may be in a comment.
            ("<!-- <b title=x --> d", "<!-- <b title=x --> d"),
            ("<!-- <b title=--x> d --> e", "<!-- <b t> d --> e"),
            ("<b title=x<i>e", "<b t<i>e"),
            ("<style type=text/css>f", "<style t>f"),
            // Without a name before it, it is the name.
            ("<br/>g <1 h> < br>i</ p><!x y>", "<br/>g <1 h> < br>i</ p><!x y>"),
            ("<b\u{fc} x=y>", "<b\u{fc} x=y>"),
            ("<b x", "<b x"),
        ] {
            assert_eq!(with_breaks(html), expected, "{html}");
            let broken = html.replace("<p", "<br><p").replace("<td", " <td");
            assert_eq!(html_to_text(expected), html_to_text(&broken), "{html}");
        }
    }
}
