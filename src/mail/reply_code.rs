//! SMTP reply codes (RFC 5321 section 4.2): `550`, and nothing more.
//!
//! A reply code, an enhanced status code (`5.1.1`) and a diagnostic-code (`smtp; 550 ...`) are
//! three different things and three types.

use serde::{Deserialize, Serialize};

/// A three-digit SMTP reply code, 200 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplyCode(u16);

impl ReplyCode {
    /// The code, when it is one that SMTP can give (first digit 2 to 5, second 0 to 5).
    pub fn new(code: u16) -> Option<Self> {
        let (first, second) = (code / 100, code / 10 % 10);
        ((2..=5).contains(&first) && second <= 5).then_some(Self(code))
    }

    /// Reads exactly three digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 3 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Self::new(text.parse().ok()?)
    }

    /// The number.
    pub fn value(self) -> u16 {
        self.0
    }

    /// 400 to 499: the sender may try again.
    pub fn is_transient(self) -> bool {
        self.0 / 100 == 4
    }

    /// 500 to 599: the sender must not try again.
    pub fn is_permanent(self) -> bool {
        self.0 / 100 == 5
    }
}

impl std::fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_smtp_can_give() {
        for (text, expected) in [
            ("550", Some(550)),
            ("421", Some(421)),
            ("250", Some(250)),
            // 192 is the start of an address, 999 a Yahoo-internal number.
            ("192", None),
            ("999", None),
            ("5500", None),
            ("5x0", None),
            ("570", None),
        ] {
            assert_eq!(ReplyCode::parse(text).map(ReplyCode::value), expected, "{text}");
        }
    }
}
