//! A received message: its parts, their fields and their text, within a fixed budget.
//!
//! `Message::parse` never fails: what cannot be read is a defect. The structure (which part ends
//! where) is walked here, iteratively and in linear time; mail-parser reads the fields (RFC 5322,
//! RFC 2045, RFC 2047, RFC 2231) and decodes contents (base64, charsets, HTML). mail-parser's own
//! walk is not used for two reasons: a chain of message/rfc822 overflows its stack when the result
//! is dropped (docs/reliability.md, "Faults of packages"), and bounces arrive with MIME so damaged
//! that the walk must guess. No other module knows mail-parser.
//!
//! This module does not know what a report is.

mod headers;
pub mod limits;
mod part;
mod walk;

pub use headers::{Field, HeaderEnd, Headers, decode_words, is_unprintable};
pub use part::{Part, TransferEncoding};

use std::borrow::Cow;

/// A message and its parts, borrowed from the octets that were received.
#[derive(Debug)]
pub struct Message<'x> {
    /// Size as received, also when only its beginning is kept.
    pub size: usize,
    /// The octets that are looked at: all, or the first [`limits::KEPT_OCTETS`].
    pub kept: &'x [u8],
    parts: Vec<Part<'x>>,
    /// What was wrong with the message, in words for people.
    pub defects: Vec<&'static str>,
    budget: part::TextBudget,
}

impl<'x> Message<'x> {
    /// Reads a message. Line ends may be CRLF or LF.
    pub fn parse(data: &'x [u8]) -> Self {
        let mut defects = Vec::new();
        let kept = headers::cut_lines(data, limits::KEPT_OCTETS);
        if kept.len() < data.len() {
            defects.push("only the first 512 KiB were read");
        }
        let parts = walk::walk(kept, &mut defects);
        Self {
            size: data.len(),
            kept,
            parts,
            defects,
            budget: part::TextBudget::new(limits::TEXT_TOTAL),
        }
    }

    /// All parts in the order of the message; the first is the message itself.
    pub fn parts(&self) -> &[Part<'x>] {
        &self.parts
    }

    /// Fields of the message itself.
    pub fn headers(&self) -> &Headers<'x> {
        // walk() always yields at least the message itself.
        &self.parts[0].headers
    }

    /// Decoded text of a part, within the budget of the whole message.
    pub fn text<'m>(&self, part: &'m Part<'x>) -> &'m str {
        part.text(&self.budget)
    }

    /// Whether a text that was asked for is longer than the budget: only its beginning was read.
    pub fn has_cut_text(&self) -> bool {
        self.budget.is_short.get()
    }

    /// Parts that belong to the message itself, not to a message inside it.
    pub fn own_parts(&self) -> impl Iterator<Item = &Part<'x>> {
        self.parts.iter().filter(|p| !p.inside_message)
    }

    /// What a person would read first: the text parts before the first machine-readable part or
    /// returned message, HTML as text when there is no plain text.
    pub fn human_text(&self) -> Cow<'_, str> {
        let mut plain: Option<Cow<'_, str>> = None;
        let mut html = None;
        for part in self.own_parts() {
            if part.is_multipart() {
                continue;
            }
            if part.is("text/html") {
                html = html.or(Some(part));
            } else if part.is_human_text() {
                let text = self.text(part);
                if text.trim().is_empty() {
                    continue;
                }
                plain = Some(match plain {
                    None => Cow::Borrowed(text),
                    Some(before) => Cow::Owned(format!("{before}\n{text}")),
                });
            } else if part.media_type.starts_with("message/") || part.is("text/rfc822-headers") {
                break;
            }
        }
        // HTML costs most to read, and mostly says what the plain text said.
        plain.or_else(|| html.map(|part| Cow::Borrowed(self.text(part)))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
