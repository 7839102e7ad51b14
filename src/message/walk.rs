//! Finds the parts of a message: iterative, each octet looked at once a level at most, levels
//! capped. Damaged structure is guessed at and noted.

use memchr::memmem;

use super::headers::{Headers, end_of_line, trim_line};
use super::limits;
use super::part::Part;

/// A range of octets that is still to be read as an entity.
struct Entity<'x> {
    data: &'x [u8],
    depth: usize,
    /// Fields may be preceded by what is only before a whole message.
    whole_message: bool,
    inside_message: bool,
    /// A part without a type is a message (RFC 2046 section 5.1.5).
    in_digest: bool,
}

/// All parts in order; the first is the message itself, and there always is one.
pub(super) fn walk<'x>(data: &'x [u8], defects: &mut Vec<&'static str>) -> Vec<Part<'x>> {
    let mut parts = Vec::with_capacity(8);
    let whole =
        Entity { data, depth: 0, whole_message: true, inside_message: false, in_digest: false };
    let mut open = vec![whole];
    while let Some(entity) = open.pop() {
        if parts.len() >= limits::PARTS {
            note(defects, "more than 200 parts");
            break;
        }
        let (headers, end) = Headers::read(entity.data, entity.whole_message);
        if end.over_budget {
            note(defects, "header block over budget");
        }
        let body = entity.data.get(end.body..).unwrap_or_default();
        let mut part = Part::new(headers, body, entity.depth, entity.inside_message);
        if entity.in_digest && !part.headers.has("content-type") {
            part.media_type = "message/rfc822".into();
        }
        let children = children(&mut part, defects);
        if entity.depth >= limits::DEPTH && !children.is_empty() {
            note(defects, "parts nested more than 16 deep");
        } else {
            // The stack gives the last one first.
            open.extend(children.into_iter().rev());
        }
        parts.push(part);
    }
    parts
}

fn children<'x>(part: &mut Part<'x>, defects: &mut Vec<&'static str>) -> Vec<Entity<'x>> {
    let (depth, in_digest) = (part.depth + 1, part.is("multipart/digest"));
    let child = |data, whole_message, inside_message| Entity {
        data,
        depth,
        whole_message,
        inside_message,
        in_digest,
    };
    if part.is_open_message() {
        return vec![child(part.body, true, true)];
    }
    if !part.is_multipart() {
        return Vec::new();
    }
    let boundary = part.boundary.clone().filter(|b| !b.is_empty());
    let mut pieces =
        boundary.as_deref().map(|b| split(part.body, b.as_bytes())).unwrap_or_default();
    if pieces.is_empty()
        && let Some(guess) = guess_boundary(part.body)
    {
        note(defects, "boundary missing or wrong");
        pieces = split(part.body, guess);
    }
    if pieces.is_empty() {
        // Some gateway took the boundaries away: what is left is text.
        note(defects, "multipart without parts");
        part.media_type = "text/plain".into();
    }
    pieces.into_iter().map(|data| child(data, false, part.inside_message)).collect()
}

/// The pieces between `--boundary` lines (RFC 2046 section 5.1.1), up to `--boundary--` or the
/// end of the data; preamble and epilogue are dropped.
fn split<'x>(body: &'x [u8], boundary: &[u8]) -> Vec<&'x [u8]> {
    let mut mark = Vec::with_capacity(boundary.len() + 2);
    mark.extend_from_slice(b"--");
    mark.extend_from_slice(boundary.trim_ascii_end());
    let mut pieces = Vec::new();
    let mut start = None;
    let first = body.starts_with(b"--").then_some(0);
    let dashed = first.into_iter().chain(memmem::find_iter(body, b"\n--").map(|at| at + 1));
    for at in dashed {
        if !body.get(at..).is_some_and(|line| line.starts_with(&mark)) {
            continue;
        }
        let line_end = end_of_line(body, at);
        let rest =
            trim_line(body.get(at + mark.len()..line_end).unwrap_or_default()).trim_ascii_end();
        // A longer boundary that begins with this one belongs to an inner multipart.
        if !rest.is_empty() && rest != b"--" {
            continue;
        }
        if let Some(start) = start {
            pieces.push(body.get(start..at).unwrap_or_default());
        }
        start = Some(line_end);
        if rest == b"--" {
            return pieces;
        }
        if pieces.len() >= limits::PARTS {
            return pieces;
        }
    }
    if let Some(start) = start {
        pieces.push(body.get(start..).unwrap_or_default());
    }
    pieces
}

/// The first `--x` line that is followed by a header field: what a sender that lost its boundary
/// parameter still wrote between the parts.
fn guess_boundary(body: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    for _ in 0..200 {
        let end = end_of_line(body, at);
        let line = trim_line(body.get(at..end)?).trim_ascii_end();
        if let Some(name) = line.strip_prefix(b"--") {
            let next = trim_line(body.get(end..end_of_line(body, end))?);
            if name.len() > 2
                && name.len() <= 70
                && !name.contains(&b' ')
                && next.len() > 8
                && next.get(..8)?.eq_ignore_ascii_case(b"content-")
            {
                return Some(name);
            }
        }
        if end >= body.len() {
            return None;
        }
        at = end;
    }
    None
}

fn note(defects: &mut Vec<&'static str>, what: &'static str) {
    if !defects.contains(&what) {
        defects.push(what);
    }
}
