//! Enhanced status codes (RFC 3463): `5.1.1`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `class.subject.detail`, class 2, 4 or 5, the others at most three digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnhancedStatus {
    /// 2 success, 4 transient, 5 permanent.
    pub class: u8,
    /// 0 to 999; 1 address, 2 mailbox, 3 system, 4 network, 5 protocol, 6 content, 7 security.
    pub subject: u16,
    /// 0 to 999.
    pub detail: u16,
}

impl EnhancedStatus {
    /// A code from its three numbers; the class must be 2, 4 or 5.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// Reads a code that fills the text exactly; RFC 3463 section 2 forbids leading zeros, real
    /// mail has them (`5.01.001`), so they are read.
    pub fn parse(text: &str) -> Option<Self> {
        match Self::parse_prefix(text.as_bytes()) {
            Some((status, used)) if used == text.len() => Some(status),
            _ => None,
        }
    }

    /// Reads a code at the start of `bytes`; gives it with the number of octets it took. A digit
    /// or another `.digit` after it means that this was a version number or an IP address.
    pub fn parse_prefix(bytes: &[u8]) -> Option<(Self, usize)> {
        let class = match bytes.first()? {
            c @ (b'2' | b'4' | b'5') => c - b'0',
            _ => return None,
        };
        if bytes.get(1) != Some(&b'.') {
            return None;
        }
        let (subject, n) = number(bytes.get(2..)?)?;
        let dot = 2 + n;
        if bytes.get(dot) != Some(&b'.') {
            return None;
        }
        let (detail, m) = number(bytes.get(dot + 1..)?)?;
        let end = dot + 1 + m;
        let followed_by_number = match bytes.get(end) {
            Some(b) if b.is_ascii_digit() => true,
            Some(b'.') => bytes.get(end + 1).is_some_and(u8::is_ascii_digit),
            _ => false,
        };
        (!followed_by_number).then_some((Self { class, subject, detail }, end))
    }

    /// The first code in a text by itself: not inside a word, a number or an IP address.
    pub fn find(text: &str) -> Option<Self> {
        Self::find_at(text).map(|(status, _)| status)
    }

    /// Like [`find`](Self::find), with the octet offset of the code.
    pub fn find_at(text: &str) -> Option<(Self, usize)> {
        let bytes = text.as_bytes();
        let mut from = 0;
        while let Some(dot) = memchr::memchr(b'.', bytes.get(from..)?) {
            let at = from + dot;
            from = at + 1;
            let Some(start) = at.checked_sub(1) else { continue };
            let free = match start.checked_sub(1).and_then(|i| bytes.get(i)) {
                None => true,
                Some(b) => {
                    // `mx-5.1.1` is a name, `550-5.1.1` is a reply.
                    let in_name =
                        *b == b'-' && start >= 2 && bytes[start - 2].is_ascii_alphabetic();
                    !(in_name
                        || b.is_ascii_alphanumeric()
                        || matches!(b, b'.' | b'_' | b'/' | b'@'))
                }
            };
            if !free {
                continue;
            }
            if let Some((status, _)) = bytes.get(start..).and_then(Self::parse_prefix) {
                return Some((status, start));
            }
        }
        None
    }

    /// 4.x.x: the sender may try again.
    pub fn is_transient(self) -> bool {
        self.class == 4
    }

    /// 5.x.x: the sender must not try again.
    pub fn is_permanent(self) -> bool {
        self.class == 5
    }
}

/// One to three digits and how many there were.
fn number(bytes: &[u8]) -> Option<(u16, usize)> {
    let mut value = 0u16;
    let mut n = 0;
    while let Some(b) = bytes.get(n).filter(|b| b.is_ascii_digit()) {
        if n == 3 {
            return None;
        }
        value = value * 10 + u16::from(b - b'0');
        n += 1;
    }
    (n > 0).then_some((value, n))
}

impl std::fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

impl Serialize for EnhancedStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EnhancedStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("`{text}` is no enhanced status code such as 5.1.1"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_reads_whole_codes_only() {
        for (text, expected) in [
            ("5.1.1", Some("5.1.1")),
            ("4.7.500", Some("4.7.500")),
            // Leading zeros occur in the wild.
            ("5.01.001", Some("5.1.1")),
            ("3.1.1", None),
            ("5.1", None),
            ("5.1.1.1", None),
            ("5.1.1111", None),
            ("", None),
            ("5.1.1 ", None),
        ] {
            assert_eq!(
                EnhancedStatus::parse(text).map(|s| s.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn find_wants_a_free_standing_code() {
        for (text, expected) in [
            ("550 5.1.1 <a@b>: no", Some("5.1.1")),
            ("550-5.7.1 [192.0.2.4]", Some("5.7.1")),
            ("(#5.1.1)", Some("5.1.1")),
            // An IP address, a version, a word.
            ("host 4.3.2.1 said", None),
            ("Exim 4.96.2.1 refused", None),
            ("v5.1.1", None),
            ("mx-5.1.1.example.com 550 5.2.2 full", Some("5.2.2")),
            ("said: 550-5.1.1.", Some("5.1.1")),
        ] {
            assert_eq!(
                EnhancedStatus::find(text).map(|s| s.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
    }
}
