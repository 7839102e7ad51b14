//! One command line to one [`Command`], or to the reply that refuses it (RFC 5321 section 4.1).
//!
//! Paths are read here, not by smtp-proto: it gives `<postmaster>` and `<>` the same empty address,
//! drops the quotes of a local part, and refuses what real bounces carry: `<MAILER-DAEMON>` as
//! sender, `a..b@`, address literals, addresses over 256 octets
//! (docs/reliability.md, "Faults of packages"). smtp-proto checks the values of BODY, RET, ENVID,
//! AUTH and NOTIFY. SIZE and ORCPT are read here too: its SIZE starts again at zero on overflow, so
//! that 20 digits can pass as a small message, and its ORCPT knows `rfc822` alone, while `utf-8`
//! (RFC 6533) and `x400` are as legal.
//!
//! Promises: any octets give a value, never a panic; addresses have no control characters.

use std::borrow::Cow;

use smtp_proto::request::parser::Rfc5321Parser;
use smtp_proto::{MAIL_BODY_8BITMIME, MAIL_BODY_BINARYMIME};

use super::Rejection;
use super::reply::{self, Reply};
use super::verb::Verb;

/// Words of other protocols (`smtpd_forbidden_commands`): a browser was tricked into talking to
/// us, or a scanner tries its luck. The connection ends.
const FOREIGN: [&str; 9] =
    ["CONNECT", "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE"];

/// A command that can be carried out, as far as syntax goes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // they are the words of the RFC
pub enum Command<'a> {
    Ehlo(&'a str),
    Helo(&'a str),
    Lhlo(&'a str),
    Mail(MailFrom<'a>),
    /// The forward-path, never empty.
    Rcpt(&'a str),
    Data,
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
    StartTls,
    /// A chunk of the message follows (RFC 3030 section 2).
    Bdat {
        /// Its octets.
        size: u64,
        /// It is the last of the message.
        last: bool,
    },
    /// BDAT without a size that can be read: nobody knows where the chunk ends.
    BadBdat,
    /// Another protocol.
    Foreign,
}

/// What MAIL says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MailFrom<'a> {
    /// Empty for `<>`.
    pub reverse_path: &'a str,
    /// SIZE (RFC 1870).
    pub size: Option<u64>,
    /// BODY (RFC 6152).
    pub body: BodyType,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
}

/// BODY parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyType {
    /// `7BIT`, or nothing said.
    #[default]
    SevenBit,
    /// `8BITMIME`
    EightBit,
}

/// A line that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What the client hears.
    pub reply: Reply,
    /// For the metric.
    pub reason: Rejection,
}

const fn fault(code: u16, text: &'static str, reason: Rejection) -> Fault {
    Fault { reply: Reply::fixed(code, text), reason }
}

/// Reads a line without its line end. Addresses have at most `longest` octets.
pub fn parse(line: &[u8], longest: usize) -> (Verb, Result<Command<'_>, Fault>) {
    let refuse = |reply, reason| (Verb::Other, Err(Fault { reply, reason }));
    // A bare CR or a NUL may be a line end or a string end for somebody else.
    let odd = |c: char| c.is_ascii_control() && c != '\t';
    let Some(line) = std::str::from_utf8(line).ok().filter(|line| !line.contains(odd)) else {
        return refuse(reply::BAD_CHARACTER, Rejection::BadCharacter);
    };
    let line = line.trim_matches([' ', '\t']);
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let verb = Verb::of(word);
    (verb, arguments(verb, word, rest.trim_start(), longest))
}

fn arguments<'a>(
    verb: Verb,
    word: &str,
    rest: &'a str,
    longest: usize,
) -> Result<Command<'a>, Fault> {
    use Rejection::{BadParameter, UnknownCommand};
    let host = |make: fn(&'a str) -> Command<'a>| match rest {
        "" => Err(fault(501, "5.5.4 a host name must follow", BadParameter)),
        host => Ok(make(cut(host, 255))),
    };
    let alone = |command| match rest {
        "" => Ok(command),
        _ => Err(fault(501, "5.5.4 nothing may follow that command", BadParameter)),
    };
    match verb {
        Verb::Ehlo => host(Command::Ehlo),
        Verb::Helo => host(Command::Helo),
        Verb::Lhlo => host(Command::Lhlo),
        Verb::Mail => mail(rest, longest).map(Command::Mail),
        Verb::Rcpt => rcpt(rest, longest).map(Command::Rcpt),
        Verb::Data => alone(Command::Data),
        Verb::Rset => alone(Command::Rset),
        Verb::StartTls => alone(Command::StartTls),
        Verb::Noop => Ok(Command::Noop),
        Verb::Vrfy => Ok(Command::Vrfy),
        Verb::Help => Ok(Command::Help),
        Verb::Quit => Ok(Command::Quit),
        Verb::Bdat => Ok(bdat(rest)),
        Verb::Expn | Verb::Auth => Err(Fault { reply: reply::NOT_OFFERED, reason: UnknownCommand }),
        Verb::Other if FOREIGN.iter().any(|x| x.eq_ignore_ascii_case(word)) => Ok(Command::Foreign),
        Verb::Other => Err(Fault { reply: reply::UNKNOWN, reason: UnknownCommand }),
    }
}

/// `chunk-size [LAST]` (RFC 3030 section 2).
fn bdat(rest: &str) -> Command<'_> {
    let mut words = rest.split_ascii_whitespace();
    let size = words.next().filter(|word| {
        (1..=20).contains(&word.len()) && word.bytes().all(|octet| octet.is_ascii_digit())
    });
    let last = words.next();
    let whole = last.is_none_or(|word| word.eq_ignore_ascii_case("LAST")) && words.next().is_none();
    match size.and_then(|digits| digits.parse().ok()) {
        Some(size) if whole => Command::Bdat { size, last: last.is_some() },
        _ => Command::BadBdat,
    }
}

fn mail<'a>(rest: &'a str, longest: usize) -> Result<MailFrom<'a>, Fault> {
    const SYNTAX: Fault =
        fault(501, "5.5.4 syntax: MAIL FROM:<address> [parameters]", Rejection::BadParameter);
    let rest = keyword(rest, "FROM").ok_or(SYNTAX)?;
    let (reverse_path, rest) = path(rest, longest).ok_or(fault(
        501,
        "5.1.7 the sender's address cannot be read",
        Rejection::BadAddress,
    ))?;
    let mut mail = MailFrom { reverse_path, ..MailFrom::default() };
    let mut checked = Vec::new();
    for (key, parameter) in parameters(rest, &["SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"])?
    {
        if key == "SIZE" {
            mail.size = Some(size(parameter)?);
        } else {
            checked.push(b' ');
            checked.extend_from_slice(parameter.as_bytes());
        }
    }
    if checked.is_empty() {
        return Ok(mail);
    }
    checked.extend_from_slice(b"\r\n");
    let values = Rfc5321Parser::new(&mut checked.iter())
        .mail_from_parameters(Cow::Borrowed(""))
        .map_err(|_| INVALID_PARAMETER)?;
    if values.flags & MAIL_BODY_BINARYMIME != 0 {
        return Err(UNKNOWN_PARAMETER); // it needs CHUNKING (RFC 3030), which is not offered
    }
    mail.smtputf8 = values.flags & smtp_proto::MAIL_SMTPUTF8 != 0;
    if values.flags & MAIL_BODY_8BITMIME != 0 {
        mail.body = BodyType::EightBit;
    }
    Ok(mail)
}

fn rcpt(rest: &str, longest: usize) -> Result<&str, Fault> {
    const SYNTAX: Fault =
        fault(501, "5.5.4 syntax: RCPT TO:<address> [parameters]", Rejection::BadParameter);
    let rest = keyword(rest, "TO").ok_or(SYNTAX)?;
    let (forward_path, rest) = path(rest, longest)
        .filter(|(path, _)| !path.is_empty())
        .ok_or(fault(501, "5.1.3 the recipient's address cannot be read", Rejection::BadAddress))?;
    for (key, parameter) in parameters(rest, &["NOTIFY", "ORCPT"])? {
        let valid = match key {
            "ORCPT" => is_original_recipient(parameter),
            _ => {
                let line = format!(" {parameter}\r\n");
                Rfc5321Parser::new(&mut line.as_bytes().iter())
                    .rcpt_to_parameters(Cow::Borrowed(""))
                    .is_ok()
            }
        };
        if !valid {
            return Err(INVALID_PARAMETER);
        }
    }
    Ok(forward_path)
}

const INVALID_PARAMETER: Fault =
    fault(501, "5.5.4 a parameter has no valid value", Rejection::BadParameter);
const UNKNOWN_PARAMETER: Fault =
    fault(555, "5.5.4 a parameter is not supported", Rejection::BadParameter);

/// `FROM:` or `TO:`, in any case, white space around the colon allowed (clients in the wild).
fn keyword<'a>(rest: &'a str, word: &str) -> Option<&'a str> {
    let (head, tail) = rest.split_at_checked(word.len())?;
    if !head.eq_ignore_ascii_case(word) {
        return None;
    }
    Some(tail.trim_start().strip_prefix(':')?.trim_start())
}

/// The address of a path without angle brackets and source route, and what follows it. A path
/// without brackets is read up to white space, as Postfix does.
fn path(text: &str, longest: usize) -> Option<(&str, &str)> {
    let bracketed = text.starts_with('<');
    let start = usize::from(bracketed);
    let (mut quoted, mut escaped, mut route_end, mut end) = (false, false, None, None);
    for (at, c) in text.char_indices().skip(start) {
        if c.is_control() {
            return None;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '>' if bracketed => {
                end = Some(at);
                break;
            }
            ' ' if !bracketed => {
                end = Some(at);
                break;
            }
            ' ' | '<' | '>' => return None,
            // Source route (RFC 5321 appendix C): `@relay,@relay:user@host`. To be ignored.
            ':' if text.get(start..)?.starts_with('@') && route_end.is_none() => {
                route_end = Some(at + 1);
            }
            _ => {}
        }
    }
    let end = match end {
        Some(end) => end,
        None if bracketed || quoted || text.is_empty() => return None,
        None => text.len(),
    };
    let address = text.get(route_end.unwrap_or(start)..end)?;
    let rest = text.get(end + start..)?;
    let whole = match address.rsplit_once('@') {
        Some((local, domain)) => !local.is_empty() && !domain.is_empty(),
        None => bracketed || !address.is_empty(),
    };
    let apart = rest.is_empty() || rest.starts_with([' ', '\t']);
    (whole && apart && address.len() <= longest).then_some((address, rest))
}

/// `(keyword of the list, parameter as written)` for each ESMTP parameter.
fn parameters<'a, 'k>(rest: &'a str, known: &[&'k str]) -> Result<Vec<(&'k str, &'a str)>, Fault> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for parameter in rest.split_ascii_whitespace() {
        let key = parameter.split_once('=').map_or(parameter, |(key, _)| key);
        let Some(key) = known.iter().find(|known| known.eq_ignore_ascii_case(key)) else {
            return Err(UNKNOWN_PARAMETER);
        };
        if found.iter().any(|(other, _)| other == key) {
            return Err(INVALID_PARAMETER); // RFC 5321 section 4.1.1.11: each at most once
        }
        found.push((key, parameter));
    }
    Ok(found)
}

/// `SIZE=digits`, at most 20 of them (RFC 1870); more than fits is more than any limit.
fn size(parameter: &str) -> Result<u64, Fault> {
    let digits = parameter.split_once('=').map_or("", |(_, value)| value);
    if digits.is_empty() || digits.len() > 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(INVALID_PARAMETER);
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

/// `ORCPT=addr-type;address` (RFC 3461 section 4.2: at most 500 octets), of any type.
fn is_original_recipient(parameter: &str) -> bool {
    let value = parameter.split_once('=').map_or("", |(_, value)| value);
    value.len() <= 500
        && value.split_once(';').is_some_and(|(kind, address)| {
            !address.is_empty()
                && !kind.is_empty()
                && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// The first `limit` octets, at a character boundary.
fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or(text)
}

#[cfg(test)]
mod tests;
