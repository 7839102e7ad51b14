//! The octets of a signed token and their spelling; [`super::signed`] has the table.
//!
//! Promises: lengths are consistent once decoded, and each payload has one spelling (but for
//! case). Nothing that is read here is trusted before [`super::signed`] has checked its MAC.

use data_encoding::BASE32_NOPAD;

/// What a token holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The recipient is inside.
    Full,
    /// Only a MAC of the recipient is inside.
    Short,
}

/// Why a local part is not a valid token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// It does not claim to be one.
    #[error("this is no signed return path: one begins with `b-`, letters and digits follow")]
    NotAToken,
    /// It claims to be one but is cut, longer, or of an unknown version.
    #[error("this signed return path is damaged: it was cut, changed, or made by a newer version")]
    Malformed,
    /// No key of the ring made it.
    #[error("no key in the ring made this return path: was its key removed, or is it forged?")]
    UnknownKey,
    /// A key claims it but its MAC is wrong.
    #[error("the signature of this return path is wrong for this domain")]
    BadSignature,
    /// Genuine, but older than `max_age`.
    #[error("this return path is genuine but older than max_age")]
    Expired,
    /// Genuine, but from more than a day in the future.
    #[error("this return path was minted for a future day: compare the clocks")]
    NotYetValid,
}

/// Longest tag, in octets.
pub const MAX_TAG: usize = 14;
/// Octets of a payload: 2 + 61 characters of local part; 39 octets would make 65.
const MAX_PAYLOAD: usize = 38;
/// Characters of base32 that such a payload has.
const MAX_CHARS: usize = (MAX_PAYLOAD * 8).div_ceil(5);
/// Version, mode and tag length; key hint; day.
const HEAD: usize = 4;
/// Octets of every MAC: 80 bits.
pub const MAC: usize = 10;
/// Tag and recipient together in full mode.
pub const FULL_ROOM: usize = MAX_PAYLOAD - HEAD - MAC;
const PREFIX: &str = "b-";
const VERSION: u8 = 1;

/// Version, mode and tag length, key hint, day and tag: what both modes begin with.
pub fn head(mode: Mode, hint: u8, day: u16, tag: &str) -> Vec<u8> {
    let mode = match mode {
        Mode::Full => 0,
        Mode::Short => 0b1_0000,
    };
    let mut octets = Vec::with_capacity(MAX_PAYLOAD);
    // A tag has at most 14 octets, so four bits hold its length.
    octets.extend([VERSION << 5 | mode | (tag.len() as u8 & 0b1111), hint]);
    octets.extend(day.to_be_bytes());
    octets.extend(tag.as_bytes());
    octets
}

/// The local part that spells these octets.
pub fn encode(octets: &[u8]) -> String {
    format!("{PREFIX}{}", BASE32_NOPAD.encode(octets).to_ascii_lowercase())
}

/// A decoded payload of consistent lengths; nothing in it is trusted before its MAC is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    octets: [u8; MAX_PAYLOAD],
    len: usize,
}

impl Payload {
    /// Text that begins with `b-` and goes on with letters and digits alone claims to be a
    /// token; with anything else in it, it is some other address.
    pub fn decode(local: &str) -> Result<Self, Reject> {
        let text = local
            .get(..PREFIX.len())
            .filter(|head| head.eq_ignore_ascii_case(PREFIX))
            .and_then(|_| local.get(PREFIX.len()..))
            .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric()))
            .ok_or(Reject::NotAToken)?;
        let mut upper = [0; MAX_CHARS];
        let upper = upper.get_mut(..text.len()).ok_or(Reject::Malformed)?;
        upper.copy_from_slice(text.as_bytes());
        upper.make_ascii_uppercase();
        let len = BASE32_NOPAD.decode_len(upper.len()).map_err(|_| Reject::Malformed)?;
        let mut octets = [0; MAX_PAYLOAD];
        let room = octets.get_mut(..len).ok_or(Reject::Malformed)?;
        // Refuses unused bits that are not zero, so each payload has one spelling only.
        BASE32_NOPAD.decode_mut(upper, room).map_err(|_| Reject::Malformed)?;
        let payload = Self { octets, len };
        let body = len.checked_sub(HEAD + MAC + payload.tag_len()).ok_or(Reject::Malformed)?;
        let fits = match payload.mode() {
            Mode::Full => body > 0,
            Mode::Short => body == MAC,
        };
        let known = payload.first() >> 5 == VERSION && payload.tag_len() <= MAX_TAG;
        if fits && known { Ok(payload) } else { Err(Reject::Malformed) }
    }

    fn first(&self) -> u8 {
        self.octets[0]
    }

    fn tag_len(&self) -> usize {
        usize::from(self.first() & 0b1111)
    }

    /// Full or short.
    pub fn mode(&self) -> Mode {
        if self.first() & 0b1_0000 == 0 { Mode::Full } else { Mode::Short }
    }

    /// Which keys may have made it.
    pub fn hint(&self) -> u8 {
        self.octets[1]
    }

    /// Day of minting.
    pub fn day(&self) -> i64 {
        i64::from(u16::from_be_bytes([self.octets[2], self.octets[3]]))
    }

    /// All of it.
    pub fn octets(&self) -> &[u8] {
        self.range(0, self.len)
    }

    /// The tag; empty when there is none.
    pub fn tag(&self) -> &[u8] {
        self.range(HEAD, HEAD + self.tag_len())
    }

    /// What the binding covers besides the recipient.
    pub fn head_and_tag(&self) -> &[u8] {
        self.range(0, HEAD + self.tag_len())
    }

    /// The recipient, or its binding.
    pub fn body(&self) -> &[u8] {
        self.range(HEAD + self.tag_len(), self.len - MAC)
    }

    /// What the MAC covers.
    pub fn sealed(&self) -> &[u8] {
        self.range(0, self.len - MAC)
    }

    /// The MAC.
    pub fn mac(&self) -> &[u8] {
        self.range(self.len - MAC, self.len)
    }

    /// `decode` checked the lengths, so the range always is inside.
    fn range(&self, from: usize, to: usize) -> &[u8] {
        self.octets.get(from..to).unwrap_or_default()
    }
}
