//! The recipient block that nearly all textual notices share: lines that name an address, and
//! lines that say why, until the returned message begins.

use crate::mail::Address;
use crate::report::addresses;
use crate::report::types::{Action, MAX_RECIPIENTS, Recipient};
use crate::report::words::{bounded_words, lines};

/// How a line names a recipient.
pub enum RecipientLine<'a> {
    /// The address is first, with at most decoration before it: `<a@b>:`, `* a@b`, `a@b [why]`.
    First,
    /// The address is after one of these words (lower case); `""`: first on its line; `"*"`:
    /// anywhere in it.
    After(&'a [String]),
    /// No line names an address.
    Nobody,
}

/// Words that say what a line is, lower case.
#[derive(Default)]
pub struct Labels<'a> {
    /// A line with one of them says nothing.
    pub skip: &'a [String],
    /// After one of these, at the beginning of a line, is the host that refused.
    pub host: &'a [String],
    /// After one of these, at the beginning of a line, is its reply.
    pub reply: &'a [String],
}

/// Reads the lines of a block. Words before the first recipient serve those that have none of
/// their own.
pub fn read(
    block: &str,
    how: &RecipientLine<'_>,
    labels: &Labels<'_>,
    action: Action,
) -> Vec<Recipient> {
    let mut found: Vec<BlockRecipient> = Vec::new();
    let (mut before, mut host_before) = (String::new(), None);
    for line in lines(block) {
        let trimmed = line.trim();
        let trimmed = trimmed.strip_prefix("> ").unwrap_or(trimmed);
        if trimmed.is_empty() || is_rule(trimmed) {
            continue;
        }
        if !labels.skip.is_empty() {
            let lower = trimmed.to_ascii_lowercase();
            if labels.skip.iter().any(|s| lower.contains(s.as_str())) {
                continue;
            }
        }
        if let Some(named) = labelled(trimmed, labels.host) {
            let host = host_name(named);
            match found.last_mut() {
                Some(last) => last.host = last.host.take().or(host),
                None => host_before = host_before.or(host),
            }
            continue;
        }
        let trimmed = labelled(trimmed, labels.reply).unwrap_or(trimmed);
        match recipient(trimmed, how) {
            Some(Named { address, head, rest }) => {
                match found.iter().position(|f| f.address == address) {
                    Some(n) => append(&mut found[n].words, rest),
                    None if found.len() <= MAX_RECIPIENTS => found.push(BlockRecipient {
                        address,
                        head: head.to_string(),
                        words: rest.to_string(),
                        host: None,
                    }),
                    None => break,
                }
            }
            None => match found.last_mut() {
                Some(last) => append(&mut last.words, trimmed),
                None => append(&mut before, trimmed),
            },
        }
    }
    let last_words = found.last().map(|last| last.words.clone()).unwrap_or_default();
    found
        .into_iter()
        .map(|BlockRecipient { address, head, words, host }| {
            let own =
                if words.trim_matches([':', '.', ' ']).is_empty() { &last_words } else { &words };
            let diagnostic = if own.trim().is_empty() { &before } else { own };
            // Without words above, the caller has better ones: the whole notice.
            let above = if before.is_empty() { before.clone() } else { format!("{head} {before}") };
            Recipient {
                final_recipient: Some(address.to_string()),
                address: Some(address),
                action: Some(action),
                remote_mta: host.or_else(|| host_before.clone()).or_else(|| host_in(diagnostic)),
                diagnostic: bounded_words(diagnostic),
                remarks: bounded_words(&above),
                ..Recipient::default()
            }
        })
        .collect()
}

/// A recipient of the block so far.
struct BlockRecipient {
    address: Address,
    /// What announced it, which may be the reason: `User mailbox exceeds allowed size:`.
    head: String,
    words: String,
    host: Option<String>,
}

/// What a line names: an address, the words before it and those after it.
struct Named<'l> {
    address: Address,
    head: &'l str,
    rest: &'l str,
}

/// The address that a line names as a recipient, and the rest of the line.
fn recipient<'l>(line: &'l str, how: &RecipientLine<'_>) -> Option<Named<'l>> {
    let begins = || first(line).map(|(address, rest)| Named { address, head: "", rest });
    match how {
        RecipientLine::First => begins(),
        RecipientLine::After(words) => {
            after(line, words).or_else(|| words.iter().any(String::is_empty).then(begins).flatten())
        }
        RecipientLine::Nobody => None,
    }
}

/// What may be before an address that begins its line.
const DECORATION: &str = "<\"'*->  \t•·([|「『【“‘«‹《（＜・●■□◆";

/// Octets between the words and the address: it must follow at once.
const GAP: usize = 12;

/// The first address of a line that one of the words announces.
fn after<'l>(line: &'l str, words: &[String]) -> Option<Named<'l>> {
    for (address, offset) in addresses::all_in(line).take(50) {
        let all = line.get(..offset)?;
        // Words are short: only what is right before the address is looked at.
        let mut cut = all.len().saturating_sub(120);
        while !all.is_char_boundary(cut) {
            cut += 1;
        }
        let head = all.get(cut..)?.to_ascii_lowercase();
        let announced = words.iter().any(|word| match word.as_str() {
            "" => false,
            "*" => true,
            word => head.rfind(word).is_some_and(|at| head.len() - at - word.len() <= GAP),
        });
        if announced {
            let rest = rest_after(line, offset, &address);
            return Some(Named { address, head: all, rest });
        }
    }
    None
}

/// `<a@b>: why`, `"a@b":`, `* a@b`, `-- a@b`, `a@b<mailto:a@b>`, `a@b on Mon ...`.
pub fn first(line: &str) -> Option<(Address, &str)> {
    let (address, offset) = addresses::all_in(line).next()?;
    let decoration = line.get(..offset)?;
    if decoration.len() > 12 || !decoration.chars().all(|c| DECORATION.contains(c)) {
        return None;
    }
    let rest = rest_after(line, offset, &address);
    // `user@example.com wrote:` and a mail header are no recipients.
    let lower = rest.to_ascii_lowercase();
    (!lower.starts_with("wrote")).then_some((address, rest))
}

/// What follows an address on its line, without its closing marks and its repetition.
fn rest_after<'l>(line: &'l str, offset: usize, address: &Address) -> &'l str {
    let end = offset
        + line.get(offset..).and_then(|l| l.find('@')).unwrap_or(0)
        + 1
        + address.domain().len();
    let mut rest = line
        .get(end..)
        .unwrap_or_default()
        .trim_start_matches(['>', '"', '\'', ':', ' ', ']', ')', '.', ',', ';']);
    for _ in 0..2 {
        let Some((again, at)) = addresses::all_in(rest).next() else { break };
        let lead = rest.get(..at).unwrap_or_default();
        if !again.as_str().eq_ignore_ascii_case(address.as_str())
            || !matches!(lead, "<" | "(" | "<mailto:" | "")
        {
            break;
        }
        rest = rest_after(rest, at, &again);
    }
    rest
}

/// What follows the label at the beginning of a line.
fn labelled<'l>(line: &'l str, labels: &[String]) -> Option<&'l str> {
    let rest = labels.iter().find_map(|label| {
        let head = line.get(..label.len())?;
        head.eq_ignore_ascii_case(label).then(|| line.get(label.len()..))?
    })?;
    Some(rest.trim_start_matches([' ', '\t', '.', ':', '=']))
}

/// The host that a diagnostic names as the one that refused: `host mx.example.net [192.0.2.1]`.
fn host_in(words: &str) -> Option<String> {
    let lower = words.to_ascii_lowercase();
    ["host: ", "host ", "by the server for the recipient domain "].iter().find_map(|mark| {
        let at = memchr::memmem::find(lower.as_bytes(), mark.as_bytes())? + mark.len();
        let tail = words.get(at..)?;
        let tail =
            tail.split_once(" by ").filter(|_| mark.starts_with("by")).map_or(tail, |(_, t)| t);
        host_name(tail)
    })
}

/// The name of a host at the beginning of a text.
fn host_name(text: &str) -> Option<String> {
    let name: String = text
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        .take(255)
        .collect();
    let name = name.trim_end_matches('.');
    (name.contains('.') && name.bytes().any(|b| b.is_ascii_alphabetic())).then(|| name.to_string())
}

/// A line of dashes, stars or the like.
fn is_rule(line: &str) -> bool {
    line.len() > 2 && line.chars().all(|c| !c.is_alphanumeric())
}

fn append(words: &mut String, more: &str) {
    if words.len() < 4_000 && !more.is_empty() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_name_a_recipient() {
        for (line, expected) in [
            ("<a@example.com>:", Some(("a@example.com", ""))),
            ("a@example.com: 550 no", Some(("a@example.com", "550 no"))),
            ("\"a@example.com\":", Some(("a@example.com", ""))),
            (">>> a@example.com <a@example.com>", Some(("a@example.com", ""))),
            ("a@example.com<mailto:a@example.com>", Some(("a@example.com", ""))),
            ("* a@example.com", Some(("a@example.com", ""))),
            ("a@example.com [User unknown]", Some(("a@example.com", "[User unknown]"))),
            ("550 <a@example.com>: no", None),
            ("please write to a@example.com", None),
            ("a@example.com wrote:", None),
        ] {
            let found = first(line);
            assert_eq!(found.as_ref().map(|(a, r)| (a.as_str(), *r)), expected, "{line}");
        }
    }

    #[test]
    fn words_before_serve_those_without_their_own() {
        let list = read(
            "because of 550 no such user\n\na@example.com\nb@example.com\n",
            &RecipientLine::First,
            &Labels::default(),
            Action::Failed,
        );
        let shown: Vec<_> =
            list.iter().map(|r| (r.final_recipient.as_deref(), r.diagnostic.as_str())).collect();
        assert_eq!(
            shown,
            [
                (Some("a@example.com"), "because of 550 no such user"),
                (Some("b@example.com"), "because of 550 no such user")
            ]
        );
    }

    #[test]
    fn labels_say_what_a_line_is() {
        let [to, hop, words, skip] = ["addressee", "next hop", "its words", "letter id"]
            .map(|label| vec![label.to_string()]);
        let list = read(
            "Addressee ...: a@example.com\nNext hop ....: mx.example.com [192.0.2.7]\n\
             Its words ...: 550 5.1.1 no person\n  of that name\nLetter id ...: 7F3A21\n\
             Addressee ...: b@example.net\nIts words ...: 552 full\n",
            &RecipientLine::After(&to),
            &Labels { skip: &skip, host: &hop, reply: &words },
            Action::Failed,
        );
        let shown: Vec<_> =
            list.iter().map(|r| (r.remote_mta.as_deref(), r.diagnostic.as_str())).collect();
        let expected =
            [(Some("mx.example.com"), "550 5.1.1 no person of that name"), (None, "552 full")];
        assert_eq!(shown, expected);
    }
}
