//! Questions and answers of the DNS (RFC 1035; EDNS of RFC 6891 for size; TLSA of RFC 6698): octets
//! by hickory-proto, and what `doctor` wants to know of them.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

pub(crate) use hickory_proto::rr::RecordType;

use crate::cli::probe::limits;

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
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.authentic_data = true;
    message.add_query(Query::query(name_of(name)?, wanted));
    let mut edns = Edns::new();
    edns.set_max_payload(limits::DATAGRAM_OCTETS);
    message.set_edns(edns);
    message.to_vec().ok()
}

/// An answer has the id and the question of the query.
pub(super) fn is_answer(answer: &[u8], query: &[u8]) -> bool {
    let begin = |octets: &[u8]| {
        let mut octets = BinDecoder::new(octets);
        let header = Header::read(&mut octets).ok()?;
        let questions = usize::from(header.counts.queries);
        Some((header.metadata, Message::read_queries(&mut octets, questions).ok()?))
    };
    let (Some((theirs, said)), Some((ours, asked))) = (begin(answer), begin(query)) else {
        return false;
    };
    theirs.id == ours.id
        && theirs.message_type == MessageType::Response
        // A server that does not read the question need not repeat it.
        && (said == asked || said.is_empty())
}

/// Reads the answer to a question.
pub(super) fn read(octets: &[u8], name: &str, wanted: RecordType) -> Result<Answer, String> {
    let damaged = || "its answer cannot be read".to_string();
    let message = Message::from_vec(octets).map_err(|_| damaged())?;
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        ResponseCode::ServFail => return Err("it cannot find out (SERVFAIL)".to_string()),
        ResponseCode::Refused => return Err("it does not answer us (REFUSED)".to_string()),
        code => return Err(format!("it answers with an error (RCODE {})", u16::from(code))),
    }
    let secure = message.metadata.authentic_data;
    let mut answer = Answer { secure, ..Answer::default() };
    let mut owner = name_of(name).ok_or_else(damaged)?;
    for _ in 0..limits::ALIASES {
        let of_owner = message.answers.iter().take(limits::RECORDS);
        let of_owner = of_owner.filter(|r| r.name == owner && r.dns_class == DNSClass::IN);
        let mut target = None;
        for found in of_owner {
            match &found.data {
                RData::CNAME(name) => target = Some(name.0.clone()),
                data if found.record_type() == wanted => answer.records.extend(record(data)),
                _ => {}
            }
        }
        match target {
            Some(name) if answer.records.is_empty() => (owner, answer.alias) = (name, true),
            _ => break,
        }
    }
    Ok(answer)
}

/// A name from its text, with or without the last dot.
fn name_of(text: &str) -> Option<Name> {
    let text = text.trim_end_matches('.');
    let labels = text.split('.').filter(|_| !text.is_empty());
    Name::from_labels(labels.map(str::as_bytes)).ok()
}

/// A name in lower case, without the last dot.
fn text_of(name: &Name) -> String {
    name.to_lowercase().to_ascii().trim_end_matches('.').to_string()
}

fn record(data: &RData) -> Option<Record> {
    Some(match data {
        RData::A(address) => Record::Address(IpAddr::V4(address.0)),
        RData::AAAA(address) => Record::Address(IpAddr::V6(address.0)),
        RData::NS(name) => Record::Name(text_of(&name.0)),
        RData::PTR(name) => Record::Name(text_of(&name.0)),
        RData::MX(mx) => Record::Mx(mx.preference, text_of(&mx.exchange)),
        RData::TXT(text) => {
            Record::Text(String::from_utf8_lossy(&text.txt_data.concat()).into_owned())
        }
        RData::TLSA(tlsa) => Record::Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        },
        _ => return None,
    })
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
            octets.extend(1u16.to_be_bytes());
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
            (MX, b"\x00\x0a\x02mx\xc0\x0c", Record::Mx(10, "mx.a.example".to_string())),
            (MX, b"\x00\x00\x00", Record::Mx(0, String::new())),
            (TXT, b"\x03v=s\x04pf1 ", text("v=spf1 ")),
            (PTR, b"\x02MX\xc0\x0e", Record::Name("mx.example".to_string())),
            (
                TLSA,
                b"\x03\x01\x01ab",
                Record::Tlsa { usage: 3, selector: 1, matching: 1, data: b"ab".to_vec() },
            ),
        ] {
            let octets = answer(wanted, 0x20, &[(OWNER, u16::from(wanted), data)]);
            let got = read(&octets, "A.example.", wanted).expect("an answer");
            assert_eq!((got.records, got.secure, got.alias), (vec![record], true, false));
        }
    }

    #[test]
    fn aliases_are_followed_and_do_not_go_round() {
        let alias = |target: &'static [u8]| (OWNER, 5, target);
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
        // The target of the second points at itself, that of the third at its own label.
        for target in [&[63, b'a'][..], &[0xc0, 41], &[1, b'a', 0xc0, 41], &[0x40, 0], &[0xc0], &[]]
        {
            let octets = answer(RecordType::MX, 0, &[(OWNER, 15, &[b"\0\x0a", target].concat())]);
            let got = read(&octets, "a.example", RecordType::MX);
            assert_eq!(got, Err("its answer cannot be read".to_string()), "{target:?}");
        }
        let long = ["a"; 200].join(".");
        assert_eq!(query(1, &long, RecordType::A), None);
        assert_eq!(query(1, "a..b", RecordType::A), None);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_to_an_end(
            octets in proptest::collection::vec(any::<u8>(), 0..200),
            wanted in prop_oneof![Just(RecordType::MX), Just(RecordType::TXT), Just(RecordType::TLSA)],
        ) {
            let mut octets = octets;
            let _ = read(&octets, "a.example", wanted);
            let whole = answer(wanted, 0, &[(OWNER, u16::from(wanted), &octets)]);
            let _ = read(&whole, "a.example", wanted);
            octets.splice(0..0, whole);
            let _ = (read(&octets, "a.example", wanted), is_answer(&octets, &octets));
        }
    }
}
