//! Questions and answers of the DNS as octets (RFC 1035; EDNS of RFC 6891 for size; TLSA of RFC
//! 6698).

use std::net::IpAddr;

use crate::cli::probe::limits;

/// Octets of a name (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 255;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordType {
    A = 1,
    Ns = 2,
    Ptr = 12,
    Mx = 15,
    Txt = 16,
    Aaaa = 28,
    Tlsa = 52,
}

const CNAME: u16 = 5;
const OPT: u16 = 41;
const IN: u16 = 1;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    Address(IpAddr),
    /// Preference and host; the host is empty in a null MX (RFC 7505).
    Mx(u16, String),
    /// The target of a PTR or NS.
    Name(String),
    /// All strings of a TXT as one.
    Text(String),
    Tlsa {
        usage: u8,
        selector: u8,
        matching: u8,
        data: Vec<u8>,
    },
}

/// What is there; no records when there are none, or no such name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) records: Vec<Record>,
    /// The name is an alias (CNAME).
    pub(crate) alias: bool,
    /// The resolver says that DNSSEC proves it.
    pub(crate) secure: bool,
}

impl Answer {
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let address = |record: &Record| match record {
            Record::Address(address) => Some(*address),
            _ => None,
        };
        self.records.iter().filter_map(address).collect()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |record: &Record| match record {
            Record::Text(text) => Some(text.clone()),
            _ => None,
        };
        self.records.iter().filter_map(text).collect()
    }
}

/// One question with EDNS; recursion and a word on DNSSEC wanted (RFC 6840, section 5.7).
pub(super) fn query(id: u16, name: &str, wanted: RecordType) -> Option<Vec<u8>> {
    const RECURSION_DESIRED: u8 = 0x01;
    const AUTHENTIC_DATA: u8 = 0x20;
    let mut octets = id.to_be_bytes().to_vec();
    octets.extend([RECURSION_DESIRED, AUTHENTIC_DATA, 0, 1, 0, 0, 0, 0, 0, 1]);
    let start = octets.len();
    let name = name.trim_end_matches('.');
    for label in name.split('.').filter(|_| !name.is_empty()) {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
        octets.push(length);
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    if octets.len() - start > MAX_NAME {
        return None;
    }
    octets.extend((wanted as u16).to_be_bytes());
    octets.extend(IN.to_be_bytes());
    octets.push(0);
    octets.extend(OPT.to_be_bytes());
    octets.extend(limits::DATAGRAM_OCTETS.to_be_bytes());
    octets.extend([0; 6]);
    Some(octets)
}

/// An answer has the id and the question of the query.
pub(super) fn is_answer(answer: &[u8], query: &[u8]) -> bool {
    const RESPONSE: u8 = 0x80;
    let question = |octets: &[u8]| {
        let mut message = Reader { octets, at: 12 };
        Some((message.name()?, message.u16()?, message.u16()?))
    };
    answer.get(..2) == query.get(..2)
        && answer.get(2).is_some_and(|flags| flags & RESPONSE != 0)
        // A server that does not read the question need not repeat it.
        && (question(answer) == question(query) || answer.get(4..6) == Some(&[0, 0]))
}

/// Reads the answer to a question.
pub(super) fn read(octets: &[u8], name: &str, wanted: RecordType) -> Result<Answer, String> {
    let damaged = || "its answer cannot be read".to_string();
    let flags = octets.get(3).ok_or_else(damaged)?;
    match flags & 0x0f {
        0 | 3 => {}
        2 => return Err("it cannot find out (SERVFAIL)".to_string()),
        5 => return Err("it does not answer us (REFUSED)".to_string()),
        code => return Err(format!("it answers with an error (RCODE {code})")),
    }
    let mut answer = Answer { secure: flags & 0x20 != 0, ..Answer::default() };
    let records = records(octets, wanted).ok_or_else(damaged)?;
    let mut owner = name.trim_end_matches('.').to_ascii_lowercase();
    for _ in 0..limits::ALIASES {
        let of_owner = records.iter().filter(|(name, _)| *name == owner);
        let mut target = None;
        for (_, found) in of_owner {
            match found {
                Found::Record(record) => answer.records.push(record.clone()),
                Found::Alias(name) => target = Some(name.clone()),
            }
        }
        match target {
            Some(name) if answer.records.is_empty() => (owner, answer.alias) = (name, true),
            _ => break,
        }
    }
    Ok(answer)
}

enum Found {
    Record(Record),
    Alias(String),
}

/// The answer section: what was asked for and aliases, each with its owner.
fn records(octets: &[u8], wanted: RecordType) -> Option<Vec<(String, Found)>> {
    let mut message = Reader { octets, at: 4 };
    let (questions, answers) = (message.u16()?, message.u16()?);
    message.at = 12;
    for _ in 0..questions {
        message.name()?;
        message.take(4)?;
    }
    let mut found = Vec::new();
    for _ in 0..usize::from(answers).min(limits::RECORDS) {
        let owner = message.name()?;
        let (kind, class) = (message.u16()?, message.u16()?);
        message.take(4)?; // the time to live
        let length = usize::from(message.u16()?);
        let mut data = Reader { octets, at: message.at };
        message.take(length)?;
        if class != IN {
            continue;
        }
        if kind == CNAME {
            found.push((owner, Found::Alias(data.name()?)));
        } else if kind == wanted as u16 {
            found.push((owner, Found::Record(data.record(wanted, length)?)));
        }
    }
    Some(found)
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.octets.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// A name in lower case, without the last dot. Pointers go back only, so they end.
    fn name(&mut self) -> Option<String> {
        let (mut name, mut at, mut after) = (String::new(), self.at, None);
        loop {
            let length = *self.octets.get(at)?;
            match length {
                0 => {
                    self.at = after.unwrap_or(at + 1);
                    return Some(name);
                }
                1..=63 => {
                    let end = at + 1 + usize::from(length);
                    let label = self.octets.get(at + 1..end)?;
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.push_str(&label.escape_ascii().to_string().to_ascii_lowercase());
                    if name.len() > 4 * MAX_NAME {
                        return None;
                    }
                    at = end;
                }
                0xc0.. => {
                    let low = *self.octets.get(at + 1)?;
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    after = after.or(Some(at + 2));
                    if target >= at {
                        return None;
                    }
                    at = target;
                }
                _ => return None,
            }
        }
    }

    fn record(&mut self, wanted: RecordType, length: usize) -> Option<Record> {
        Some(match wanted {
            RecordType::A => {
                let octets: [u8; 4] = self.take(length)?.try_into().ok()?;
                Record::Address(IpAddr::from(octets))
            }
            RecordType::Aaaa => {
                let octets: [u8; 16] = self.take(length)?.try_into().ok()?;
                Record::Address(IpAddr::from(octets))
            }
            RecordType::Ns | RecordType::Ptr => Record::Name(self.name()?),
            RecordType::Mx => Record::Mx(self.u16()?, self.name()?),
            RecordType::Txt => {
                let mut strings = Reader { octets: self.take(length)?, at: 0 };
                let mut text = Vec::new();
                while let Some(length) = strings.u8() {
                    text.extend_from_slice(strings.take(usize::from(length))?);
                }
                Record::Text(String::from_utf8_lossy(&text).into_owned())
            }
            RecordType::Tlsa => {
                let (usage, selector, matching) = (self.u8()?, self.u8()?, self.u8()?);
                let data = self.take(length.checked_sub(3)?)?.to_vec();
                Record::Tlsa { usage, selector, matching, data }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An answer with these records to a question for `a.example`, each a name and its rest.
    fn answer(wanted: RecordType, flags: u8, records: &[(&[u8], u16, &[u8])]) -> Vec<u8> {
        let mut octets = query(7, "a.example", wanted).expect("a name");
        octets.truncate(octets.len() - 11);
        octets[2] |= 0x80;
        octets[3] = flags;
        octets[7] = u8::try_from(records.len()).expect("few");
        octets[11] = 0;
        for (owner, kind, data) in records {
            octets.extend_from_slice(owner);
            octets.extend(kind.to_be_bytes());
            octets.extend(IN.to_be_bytes());
            octets.extend([0; 4]);
            octets.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
            octets.extend_from_slice(data);
        }
        octets
    }

    const OWNER: &[u8] = &[0xc0, 12];

    #[test]
    fn records_are_read() {
        use RecordType::*;
        let text = |text: &str| Record::Text(text.to_string());
        for (wanted, data, record) in [
            (A, &[192, 0, 2, 1][..], Record::Address([192, 0, 2, 1].into())),
            (Mx, b"\x00\x0a\x02mx\xc0\x0c", Record::Mx(10, "mx.a.example".to_string())),
            (Mx, b"\x00\x00\x00", Record::Mx(0, String::new())),
            (Txt, b"\x03v=s\x04pf1 ", text("v=spf1 ")),
            (Ptr, b"\x02MX\xc0\x0e", Record::Name("mx.example".to_string())),
            (
                Tlsa,
                b"\x03\x01\x01ab",
                Record::Tlsa { usage: 3, selector: 1, matching: 1, data: b"ab".to_vec() },
            ),
        ] {
            let octets = answer(wanted, 0x20, &[(OWNER, wanted as u16, data)]);
            let got = read(&octets, "A.example.", wanted).expect("an answer");
            assert_eq!((got.records, got.secure, got.alias), (vec![record], true, false));
        }
    }

    #[test]
    fn aliases_are_followed_and_do_not_go_round() {
        let alias = |target: &'static [u8]| (OWNER, CNAME, target);
        let records = [
            alias(b"\x01b\xc0\x0e"),
            (b"\x01b\xc0\x0e", 1, &[192, 0, 2, 2]),
            (b"\x01c\xc0\x0e", 1, &[192, 0, 2, 3]),
        ];
        let octets = answer(RecordType::A, 0, &records);
        let got = read(&octets, "a.example", RecordType::A).expect("an answer");
        assert_eq!(got.addresses(), [IpAddr::from([192, 0, 2, 2])]);
        assert!(got.alias && !got.secure);
        let octets = answer(RecordType::A, 0, &[alias(OWNER)]);
        assert!(read(&octets, "a.example", RecordType::A).expect("none").records.is_empty());
    }

    #[test]
    fn what_cannot_be_known_is_no_missing_record() {
        for (flags, wanted) in [(0, ""), (3, ""), (2, "SERVFAIL"), (5, "REFUSED"), (1, "RCODE 1")] {
            let got = read(&answer(RecordType::A, flags, &[]), "a.example", RecordType::A);
            let got = got.map_or_else(|why| why, |_| String::new());
            assert!(got.contains(wanted) && got.is_empty() == wanted.is_empty(), "{flags}: {got}");
        }
    }

    #[test]
    fn names_that_loop_or_run_over_are_refused() {
        for octets in [&[0xc0, 0][..], &[1, b'a', 0xc0, 0], &[63, b'a'], &[0x40, 0], &[0xc0], &[]] {
            assert_eq!(Reader { octets, at: 0 }.name(), None, "{octets:?}");
        }
        let long = ["a"; 200].join(".");
        assert_eq!(query(1, &long, RecordType::A), None);
        assert_eq!(query(1, "a..b", RecordType::A), None);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_to_an_end(
            octets in proptest::collection::vec(any::<u8>(), 0..200),
            wanted in prop_oneof![Just(RecordType::Mx), Just(RecordType::Txt), Just(RecordType::Tlsa)],
        ) {
            let mut octets = octets;
            let _ = read(&octets, "a.example", wanted);
            let whole = answer(wanted, 0, &[(OWNER, wanted as u16, &octets)]);
            let _ = read(&whole, "a.example", wanted);
            octets.splice(0..0, whole);
            let _ = (read(&octets, "a.example", wanted), is_answer(&octets, &octets));
        }
    }
}
