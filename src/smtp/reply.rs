//! Every reply that is ever sent: code, enhanced code (RFC 2034, 3463) and words.
//!
//! Promises: one line each (only the EHLO answer has more, see `SessionSettings`), no control
//! characters whatever the words were made of, 250 after DATA carries the event id
//! (docs/interface.md, "SMTP").

use std::borrow::Cow;

use super::Rejection;

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    text: Cow<'static, str>,
}

impl Reply {
    /// A reply of fixed words, with the enhanced code in front where there is one.
    pub const fn fixed(code: u16, text: &'static str) -> Self {
        Self { code, text: Cow::Borrowed(text) }
    }

    /// A reply whose words are made at run time; control characters become spaces.
    pub fn made(code: u16, text: String) -> Self {
        let text = if text.contains(char::is_control) {
            text.replace(char::is_control, " ")
        } else {
            text
        };
        Self { code, text: Cow::Owned(text) }
    }

    /// What comes after the code.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Appends the line to what will be sent.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let digit = |n: u16| b'0' + (n % 10) as u8;
        out.extend([digit(self.code / 100), digit(self.code / 10), digit(self.code), b' ']);
        out.extend_from_slice(self.text.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// What became of a message: the answer that the session gives after DATA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// It is durable under this event id.
    Stored {
        /// Letters, digits and `-`.
        id: String,
    },
    /// It could not be committed; the sender is to try again.
    Unavailable,
    /// The disk is nearly full; the sender is to try again.
    Full,
}

impl Acceptance {
    /// The reply. `session` is in the log as well.
    pub fn reply(&self, session: &str) -> Reply {
        match self {
            Self::Stored { id } => Reply::made(250, format!("2.0.0 stored {id}")),
            Self::Unavailable => {
                Reply::made(451, format!("4.3.0 not stored, please try again later ({session})"))
            }
            Self::Full => {
                Reply::made(452, format!("4.3.1 no space left, please try again later ({session})"))
            }
        }
    }

    /// Why it was not stored.
    pub fn rejection(&self) -> Option<Rejection> {
        match self {
            Self::Stored { .. } => None,
            Self::Unavailable => Some(Rejection::StoreUnavailable),
            Self::Full => Some(Rejection::StoreFull),
        }
    }
}

pub(super) const HELO_FIRST: Reply = Reply::fixed(503, "5.5.1 send HELO or EHLO first");
pub(super) const LHLO_FIRST: Reply = Reply::fixed(503, "5.5.1 send LHLO first");
pub(super) const MAIL_FIRST: Reply = Reply::fixed(503, "5.5.1 send MAIL first");
pub(super) const MAIL_TWICE: Reply = Reply::fixed(503, "5.5.1 MAIL was already sent; RSET first");
pub(super) const RCPT_FIRST: Reply = Reply::fixed(503, "5.5.1 send RCPT first");
pub(super) const NO_RECIPIENT: Reply = Reply::fixed(554, "5.5.1 no valid recipients");
pub(super) const SENDER_OK: Reply = Reply::fixed(250, "2.1.0 sender ok");
pub(super) const RECIPIENT_OK: Reply = Reply::fixed(250, "2.1.5 recipient ok");
pub(super) const OK: Reply = Reply::fixed(250, "2.0.0 ok");
pub(super) const GO_AHEAD: Reply = Reply::fixed(354, "end data with <CR><LF>.<CR><LF>");
pub(super) const CHUNK_OK: Reply = Reply::fixed(250, "2.0.0 chunk received");
pub(super) const BAD_BDAT: Reply = Reply::fixed(501, "5.5.4 syntax: BDAT octets [LAST]");
pub(super) const IN_CHUNKS: Reply =
    Reply::fixed(503, "5.5.1 the message has begun; finish it with BDAT LAST or RSET");
pub(super) const BYE: Reply = Reply::fixed(221, "2.0.0 bye");
pub(super) const START_TLS: Reply = Reply::fixed(220, "2.0.0 ready to start TLS");
pub(super) const NO_TLS: Reply = Reply::fixed(502, "5.5.1 STARTTLS is not offered");
pub(super) const TLS_TWICE: Reply = Reply::fixed(503, "5.5.1 TLS is in use already");
pub(super) const VRFY: Reply =
    Reply::fixed(252, "2.5.0 cannot verify; send a message and it will be tried");
pub(super) const HELP: Reply =
    Reply::fixed(214, "2.0.0 this service takes bounce messages; see RFC 5321");
pub(super) const NOT_OFFERED: Reply = Reply::fixed(502, "5.5.1 command not offered");
pub(super) const UNKNOWN: Reply = Reply::fixed(500, "5.5.2 command not recognised");
pub(super) const BAD_CHARACTER: Reply =
    Reply::fixed(500, "5.5.2 control character or invalid UTF-8 in a command");
pub(super) const LINE_TOO_LONG: Reply = Reply::fixed(500, "5.5.2 line too long");
pub(super) const TOO_BIG: Reply = Reply::fixed(552, "5.3.4 message is over the size limit");
pub(super) const TOO_MANY_RECIPIENTS: Reply = Reply::fixed(452, "4.5.3 too many recipients");
pub(super) const BARE_NEWLINE: Reply =
    Reply::fixed(550, "5.5.2 bare CR or LF in the message; lines end with CRLF");
pub(super) const EARLY_TALK: Reply =
    Reply::fixed(554, "5.5.0 text was sent behind DATA before the 354 reply");
pub(super) const INJECTION: Reply =
    Reply::fixed(554, "5.5.0 text was sent behind STARTTLS before the handshake");
pub(super) const WRONG_PROTOCOL: Reply = Reply::fixed(554, "5.5.1 this is a mail service");
pub(super) const TOO_MANY_ERRORS: Reply = Reply::fixed(421, "4.7.0 too many errors");
pub(super) const TOO_MANY_JUNK: Reply =
    Reply::fixed(421, "4.7.0 too many commands without a message");
pub(super) const TIMEOUT: Reply = Reply::fixed(421, "4.4.2 timeout");
pub(super) const SHUTDOWN: Reply = Reply::fixed(421, "4.3.2 service is shutting down");
pub(super) const OUT_OF_MEMORY: Reply =
    Reply::fixed(452, "4.3.1 too much mail at this moment, please try again later");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_single_lines_with_their_code() {
        let stored = Acceptance::Stored { id: "a-1".into() };
        let rows = [
            (OK, "250 2.0.0 ok\r\n"),
            (stored.reply("s"), "250 2.0.0 stored a-1\r\n"),
            (
                Acceptance::Unavailable.reply("s7"),
                "451 4.3.0 not stored, please try again later (s7)\r\n",
            ),
            (
                Acceptance::Full.reply("s7"),
                "452 4.3.1 no space left, please try again later (s7)\r\n",
            ),
            // Whatever the words are made of, they cannot become a second reply.
            (Reply::made(550, "5.7.1 a\r\n250 b\u{85}".into()), "550 5.7.1 a  250 b \r\n"),
        ];
        for (reply, line) in rows {
            let mut out = Vec::new();
            reply.write_to(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), line);
        }
    }
}
