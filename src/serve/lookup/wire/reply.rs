//! Answers as octets, in each of the protocols.
//!
//! Promises: a reply is one line (two for policy) of printable characters within the limits of its
//! protocol; one that stops ends in the mark of our own refusals, which no length of words pushes
//! out.

use super::answer::Answer;
use super::request::Map;
use crate::classify::own_refusal;
use crate::config::{Answers, Template, TemplatePart};
use crate::mail::EnhancedStatus;
use crate::serve::{limits, percent};

/// `[length]:OK [value],`
pub(super) fn netstring(map: Map, answer: Answer<'_>, words: &Answers, out: &mut Vec<u8>) {
    // By far the most, and the same octets each time.
    if answer == Answer::Clear {
        return out.extend_from_slice(b"9:NOTFOUND ,");
    }
    let mut data = Vec::with_capacity(96);
    match answer {
        Answer::Clear => {}
        Answer::Trouble(text) => {
            data.extend_from_slice(b"TEMP ");
            push_words(text, &mut data);
        }
        Answer::NoSuchMap => {
            data.extend_from_slice(
                b"PERM there is no such map; use suppress, transport or explain, ",
            );
            data.extend_from_slice(b"alone or with a scope, such as suppress.news");
        }
        Answer::ReadOnly => data.extend_from_slice(b"PERM this map is read-only"),
        Answer::Words(text) => {
            data.extend_from_slice(b"OK ");
            push_free_text(text, limits::SOCKETMAP_REPLY - 3, &mut data);
        }
        Answer::Refuse(status, text) => {
            let transport = map == Map::Transport;
            let words = if transport { &words.transport_suppressed } else { &words.suppressed };
            data.extend_from_slice(b"OK ");
            push_refusal(words, status, text, &mut data);
        }
        Answer::Wait(text) => {
            let transport = map == Map::Transport;
            let words = if transport { &words.transport_held } else { &words.held };
            data.extend_from_slice(b"OK ");
            push_pause(words, text, &mut data);
        }
    }
    push_number(data.len(), out);
    out.push(b':');
    out.extend_from_slice(&data);
    out.push(b',');
}

/// `200 value`, white space encoded.
pub(super) fn line(answer: Answer<'_>, words: &Answers, out: &mut Vec<u8>) {
    let start = out.len();
    let mut value = Vec::new();
    match answer {
        Answer::Clear => out.extend_from_slice(b"500 not%20suppressed"),
        Answer::NoSuchMap | Answer::ReadOnly => out.extend_from_slice(b"500 read-only"),
        Answer::Trouble(text) => {
            out.extend_from_slice(b"400 ");
            push_words(text, &mut value);
        }
        Answer::Words(text) => {
            out.extend_from_slice(b"200 ");
            push_words(text, &mut value);
        }
        Answer::Refuse(status, text) => {
            out.extend_from_slice(b"200 ");
            push_refusal(&words.suppressed, status, text, &mut value);
        }
        Answer::Wait(text) => {
            out.extend_from_slice(b"200 ");
            push_pause(&words.held, text, &mut value);
        }
    }
    percent::encode_tcp(&String::from_utf8_lossy(&value), out);
    // Our words are short enough by far; the limit is the protocol's, not theirs.
    out.truncate(start + limits::TCP_REPLY - 1);
    out.push(b'\n');
}

/// `action=value` and an empty line.
pub(super) fn action(answer: Answer<'_>, words: &Answers, out: &mut Vec<u8>) {
    out.extend_from_slice(b"action=");
    match answer {
        Answer::Clear | Answer::NoSuchMap | Answer::ReadOnly => out.extend_from_slice(b"DUNNO"),
        Answer::Trouble(text) | Answer::Words(text) => {
            out.extend_from_slice(b"DEFER_IF_PERMIT ");
            push_words(text, out);
        }
        Answer::Refuse(status, text) => push_refusal(&words.suppressed, status, text, out),
        Answer::Wait(text) => push_pause(&words.held, text, out),
    }
    out.extend_from_slice(b"\n\n");
}

/// The code of a pause (docs/interface.md, "Lookup port").
const HELD: EnhancedStatus = EnhancedStatus::new(4, 2, 1);

/// `550 5.1.1 words [bounced:suppressed]`
fn push_refusal(template: &Template, status: EnhancedStatus, text: &str, out: &mut Vec<u8>) {
    push_filled(template, 5, status, text, own_refusal::SUPPRESSED, out);
}

/// `450 4.2.1 words [bounced:held]`
fn push_pause(template: &Template, text: &str, out: &mut Vec<u8>) {
    push_filled(template, 4, HELD, text, own_refusal::HELD, out);
}

/// A template with its gaps filled. The class of the code follows the reply code, or Postfix would
/// rewrite it; the words give way to what else the template says, the mark above all, where the room
/// ends.
fn push_filled(
    template: &Template,
    class: u8,
    status: EnhancedStatus,
    text: &str,
    mark: &str,
    out: &mut Vec<u8>,
) {
    let words = text.trim();
    let words = words.strip_suffix(mark).unwrap_or(words);
    let said =
        |part: &TemplatePart| if let TemplatePart::Text(text) = part { text.len() } else { 0 };
    let taken: usize = template.parts().iter().map(said).sum();
    for part in template.parts() {
        match part {
            TemplatePart::Text(text) => out.extend_from_slice(text.as_bytes()),
            TemplatePart::Code => {
                out.push(b'0' + class);
                out.push(b'.');
                push_number(usize::from(status.subject), out);
                out.push(b'.');
                push_number(usize::from(status.detail), out);
            }
            TemplatePart::Words => {
                push_bounded_words(words, limits::REPLY_TEXT.saturating_sub(taken), out);
            }
        }
    }
}

/// Words for an SMTP reply: printable ASCII, bounded, never empty.
fn push_words(text: &str, out: &mut Vec<u8>) {
    push_bounded_words(text, limits::REPLY_TEXT, out);
}

fn push_bounded_words(text: &str, most: usize, out: &mut Vec<u8>) {
    let before = out.len();
    let printable = |c: char| if matches!(c, ' '..='~') { c as u8 } else { b'?' };
    out.extend(text.trim().chars().take(most).map(printable));
    if out.len() == before {
        out.extend_from_slice(b"no reason given");
    }
}

/// Words for people: any letters, no control characters, bounded at a character.
fn push_free_text(text: &str, limit: usize, out: &mut Vec<u8>) {
    let before = out.len();
    let mut buffer = [0; 4];
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        let encoded = c.encode_utf8(&mut buffer).as_bytes();
        if out.len() - before + encoded.len() > limit {
            break;
        }
        out.extend_from_slice(encoded);
    }
}

fn push_number(mut number: usize, out: &mut Vec<u8>) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}
