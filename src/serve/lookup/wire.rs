//! The lookup protocols as octets: requests in, replies out; no sockets, no time, no store.
//!
//! The first octets of a connection choose its protocol, once:
//!
//! | first octets | protocol | clients |
//! |---|---|---|
//! | digits and `:` | netstring `name SP key` | Postfix socketmap_table(5), Sendmail `K… socket` |
//! | `get `, `put ` | line | Postfix tcp_table(5), Exim `${readsocket}` |
//! | `name=` | attributes up to an empty line | Postfix SMTPD_POLICY_README |
//! | anything else | a bare address on a line, answered as tcp_table | Exim `${readsocket}` |
//!
//! | | socketmap | tcp_table | policy |
//! |---|---|---|---|
//! | suppressed | `OK 550 5.1.1 …` (transport: `error:5.1.1 …`) | `200 550%205.1.1%20…` | `action=550 5.1.1 …` |
//! | held | `OK 450 4.2.1 …` (`retry:4.2.1 …`) | `200 450%204.2.1%20…` | `action=450 4.2.1 …` |
//! | neither, or the key is not an address | `NOTFOUND ` | `500 …` | `action=DUNNO` |
//! | our failure | `TEMP …` | `400 …` | `action=DEFER_IF_PERMIT …` |
//!
//! Which scope is asked: socketmap names it in the map (`suppress.news`), a policy request by the
//! signature of its `sender=`; the others ask about all scopes. Each answer that stops ends in a
//! mark ([`crate::classify::own_refusal`]), whatever the words before it are: by it our own refusal
//! is known when it comes back as a report.
//!
//! Promises: any octets end in a request, in "more please" or in [`Parsed::Broken`]; a request
//! never takes more than [`limits::LOOKUP_QUERY`] octets; a reply is one line (two for policy) of
//! printable characters within the limits of the protocol, whatever words the service gives.

mod answer;
mod reply;
mod request;

use std::borrow::Cow;

use crate::config::Answers;
use crate::event::is_scope;
use crate::serve::{limits, percent};
pub use answer::Answer;
pub use request::{Map, Request, Scope};

/// How a connection talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireProtocol {
    /// Netstrings.
    Socketmap,
    /// `get KEY` lines.
    Tcp,
    /// An address on a line.
    Bare,
    /// Attributes.
    Policy,
}

/// What is at the start of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// Not all of a request yet.
    Partial,
    /// A request and its octets.
    Complete(Request<'a>, usize),
    /// No request of this protocol: answer [`Answer::Trouble`] with these words and close.
    Broken(&'static str),
}

impl WireProtocol {
    /// Tells the protocol by the first octets; None: more are needed.
    pub fn detect(input: &[u8]) -> Option<Self> {
        let first = *input.first()?;
        if first.is_ascii_digit() {
            let digits = input.iter().take_while(|octet| octet.is_ascii_digit()).count();
            return match input.get(digits) {
                Some(b':') => Some(Self::Socketmap),
                // More digits than a length can have: let the netstring reader refuse it.
                None => (digits > LENGTH_DIGITS).then_some(Self::Socketmap),
                // `123@example.com`, asked bare.
                Some(_) => Some(Self::Bare),
            };
        }
        for verb in [&b"get "[..], b"put "] {
            if input.starts_with(verb) {
                return Some(Self::Tcp);
            }
            if verb.starts_with(input) {
                return None;
            }
        }
        let name = |octet: &&u8| octet.is_ascii_alphanumeric() || **octet == b'_';
        match input.get(input.iter().take_while(name).count()) {
            Some(b'=') => Some(Self::Policy),
            Some(_) => Some(Self::Bare),
            None => (input.len() > limits::LOOKUP_QUERY).then_some(Self::Bare),
        }
    }

    /// Reads the request at the start of the input.
    pub fn parse(self, input: &[u8]) -> Parsed<'_> {
        match self {
            Self::Socketmap => parse_netstring(input),
            Self::Tcp | Self::Bare => parse_line(self, input),
            Self::Policy => parse_attributes(input),
        }
    }

    /// Writes the reply to a question of `map` in the words of the configuration.
    pub fn reply(self, map: Map, answer: Answer<'_>, words: &Answers, out: &mut Vec<u8>) {
        match self {
            Self::Socketmap => reply::netstring(map, answer, words, out),
            Self::Tcp | Self::Bare => reply::line(answer, words, out),
            Self::Policy => reply::action(answer, words, out),
        }
    }
}

/// Digits of the longest length that is allowed.
const LENGTH_DIGITS: usize = 5;
const TOO_LONG: &str = "the request is longer than 10000 octets";

/// `[length]:[name] [key],`
fn parse_netstring(input: &[u8]) -> Parsed<'_> {
    let digits = input.iter().take_while(|octet| octet.is_ascii_digit()).count();
    if digits > LENGTH_DIGITS {
        return Parsed::Broken(TOO_LONG);
    }
    match input.get(digits) {
        None => return Parsed::Partial,
        Some(b':') if digits > 0 => {}
        Some(_) => {
            return Parsed::Broken("expected a netstring such as 23:suppress a@example.com,");
        }
    }
    let length = input.iter().take(digits).fold(0, |n, octet| n * 10 + usize::from(octet - b'0'));
    if length > limits::LOOKUP_QUERY {
        return Parsed::Broken(TOO_LONG);
    }
    let start = digits + 1;
    let Some(&comma) = input.get(start + length) else { return Parsed::Partial };
    if comma != b',' {
        return Parsed::Broken("the netstring does not end with a comma");
    }
    let query = input.get(start..start + length).unwrap_or_default();
    Parsed::Complete(socketmap_request(query), start + length + 1)
}

fn socketmap_request(query: &[u8]) -> Request<'_> {
    let (name, key) = match memchr::memchr(b' ', query) {
        Some(space) => query.split_at(space),
        None => (query, &b""[..]),
    };
    // A scope may have dots of its own; any name is one, heard of or not.
    let (name, scope) = match std::str::from_utf8(name).map(|name| name.split_once('.')) {
        Ok(Some((map, scope))) if is_scope(scope) => (map.as_bytes(), Scope::Named(scope)),
        _ => (name, Scope::Unsaid),
    };
    let map = match name {
        b"suppress" => Map::Suppress,
        b"transport" => Map::Transport,
        b"explain" => Map::Explain,
        _ => return Request::NoSuchMap,
    };
    ask(map, key.get(1..).unwrap_or_default(), scope)
}

/// `get KEY`, `put KEY VALUE`, or a bare address.
fn parse_line(wire: WireProtocol, input: &[u8]) -> Parsed<'_> {
    let end = match within_limit(input, memchr::memchr(b'\n', input)) {
        Ok(end) => end,
        Err(incomplete) => return incomplete,
    };
    let line = input.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let request = match (line.strip_prefix(b"get "), wire) {
        (Some(key), _) => tcp_request(key),
        // `GET a@example.com` is no address that could be looked for.
        (None, WireProtocol::Bare) if is_bare_address(line) => {
            ask(Map::Suppress, line, Scope::Unsaid)
        }
        (None, _) if line.starts_with(b"put ") => Request::Put,
        _ => return Parsed::Broken("expected get ADDRESS"),
    };
    Parsed::Complete(request, end + 1)
}

/// Whether a line is an address and nothing else; only a quoted local part may hold a space.
fn is_bare_address(line: &[u8]) -> bool {
    let may_hold = line.starts_with(b"\"") || line.starts_with(b"<\"");
    memchr::memchr(b'@', line).is_some()
        && (may_hold || memchr::memchr(b' ', line.trim_ascii()).is_none())
}

/// Where a request ends, if it is not longer than it may be; else what to say of the input.
fn within_limit(input: &[u8], end: Option<usize>) -> Result<usize, Parsed<'static>> {
    match end {
        Some(end) if end <= limits::LOOKUP_QUERY => Ok(end),
        None if input.len() <= limits::LOOKUP_QUERY => Err(Parsed::Partial),
        _ => Err(Parsed::Broken(TOO_LONG)),
    }
}

fn tcp_request(key: &[u8]) -> Request<'_> {
    if memchr::memchr(b'%', key).is_none() {
        return ask(Map::Suppress, key, Scope::Unsaid);
    }
    // Who does not encode (Exim, hooked up by hand): what is not an encoding is meant literally.
    let decoded = percent::decode_octets(key).unwrap_or_else(|| key.to_vec());
    match String::from_utf8(decoded) {
        Ok(key) if is_address(&key) => Request::Ask(Map::Suppress, Cow::Owned(key), Scope::Unsaid),
        _ => Request::NoAddress,
    }
}

/// `name=value` lines and an empty one; unknown names are ignored, the order does not matter.
fn parse_attributes(input: &[u8]) -> Parsed<'_> {
    let end = match within_limit(input, memchr::memmem::find(input, b"\n\n")) {
        Ok(end) => end,
        Err(incomplete) => return incomplete,
    };
    let (mut recipient, mut sender) = (&b""[..], &b""[..]);
    let mut ours = true;
    for line in input.get(..end).unwrap_or_default().split(|&octet| octet == b'\n') {
        if let Some(value) = line.strip_prefix(b"recipient=") {
            recipient = value;
        } else if let Some(value) = line.strip_prefix(b"sender=") {
            sender = value;
        } else if let Some(value) = line.strip_prefix(b"request=") {
            ours = value == b"smtpd_access_policy";
        }
    }
    // At DATA with several recipients Postfix names none: nothing to ask.
    let scope = match std::str::from_utf8(sender) {
        Ok(sender) if !sender.is_empty() => Scope::OfSender(sender),
        _ => Scope::Unsaid,
    };
    let request = if ours { ask(Map::Suppress, recipient, scope) } else { Request::NoAddress };
    Parsed::Complete(request, end + 2)
}

fn ask<'a>(map: Map, key: &'a [u8], scope: Scope<'a>) -> Request<'a> {
    match std::str::from_utf8(key) {
        Ok(key) if is_address(key) => Request::Ask(map, Cow::Borrowed(key), scope),
        _ => Request::NoAddress,
    }
}

/// Something on both sides of the last `@`. Postfix asks transport maps for `*` and domains too.
fn is_address(key: &str) -> bool {
    key.rfind('@').is_some_and(|at| at > 0 && at + 1 < key.len())
}

#[cfg(test)]
mod tests;
