//! The reader of message text: where a message sent by DATA ends, and what its octets are (RFC 5321
//! section 4.5.2). The same reader takes the chunks of BDAT (RFC 3030): there a dot is a dot, and
//! the session knows the end.
//!
//! Promises: only CRLF `.` CRLF ends the data, whatever the pieces in which it arrives (SMTP
//! smuggling, CVE-2023-51764 and its kin, docs/reliability.md, "SMTP smuggling"). The start counts
//! as after a CRLF, so `.` CRLF alone is an empty message. Dots are unstuffed. The last CRLF is
//! kept. A bare CR or LF is content: it becomes CRLF and is remembered, so that the session can
//! refuse the message. Text that is too long is not stored, but it is read to its true end.
//!
//! | state | octets since the last CRLF |
//! |---|---|
//! | `LineStart` | none |
//! | `Dot` | `.` |
//! | `DotCr` | `.` CR |
//! | `Cr` | text and a CR that may begin the line end |
//! | `Text` | anything else; also everything after a bare LF or CR, which start no line |
//! | `End` | the end was seen |

use memchr::memchr2;

/// What came of one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextProgress {
    /// All of it belongs to the message.
    More,
    /// The message ended after so many octets of the piece.
    End(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineState {
    LineStart,
    Dot,
    DotCr,
    Cr,
    Text,
    End,
}

/// Reads one message.
#[derive(Debug)]
pub struct DataReader {
    state: LineState,
    text: Vec<u8>,
    octets: u64,
    limit: u64,
    bare_newline: bool,
    /// A dot at the start of a line means something.
    dots: bool,
}

impl DataReader {
    /// A reader of text sent by DATA; it stores at most `limit` octets.
    pub fn new(limit: u64) -> Self {
        Self {
            state: LineState::LineStart,
            text: Vec::new(),
            octets: 0,
            limit,
            bare_newline: false,
            dots: true,
        }
    }

    /// A reader of chunks sent by BDAT: nothing in them ends the text, [`DataReader::finish`] does.
    pub fn of_chunks(limit: u64) -> Self {
        Self { dots: false, ..Self::new(limit) }
    }

    /// No more text comes. A CR that waited for its LF was bare.
    pub fn finish(&mut self) {
        if self.state == LineState::Cr {
            self.bare(LineState::Text);
        }
        self.state = LineState::End;
    }

    /// Takes the next piece. After `End` nothing more is taken.
    pub fn read(&mut self, piece: &[u8]) -> TextProgress {
        if self.state == LineState::End {
            return TextProgress::End(0);
        }
        self.text.reserve_exact(self.room(piece.len()).saturating_sub(self.text.len()));
        let mut at = 0;
        while let Some(&octet) = piece.get(at) {
            if self.state == LineState::Text {
                let rest = piece.get(at..).unwrap_or_default();
                let run = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                self.keep(rest.get(..run).unwrap_or_default());
                at += run;
                match piece.get(at) {
                    Some(b'\r') => self.state = LineState::Cr,
                    Some(_) => self.bare(LineState::Text),
                    None => break,
                }
                at += 1;
                continue;
            }
            if !self.step(octet) {
                continue; // the state changed, the octet is looked at again
            }
            at += 1;
            if self.state == LineState::End {
                return TextProgress::End(at);
            }
        }
        TextProgress::More
    }

    /// One octet in a state other than `Text`; false when it was not consumed.
    fn step(&mut self, octet: u8) -> bool {
        match (self.state, octet) {
            (LineState::End, _) => {}
            (LineState::LineStart, b'.') if self.dots => self.state = LineState::Dot,
            (LineState::LineStart, b'\r') => self.state = LineState::Cr,
            // A dot with anything after it was stuffed, or should have been: it goes.
            (LineState::Dot, b'\r') => self.state = LineState::DotCr,
            (LineState::LineStart | LineState::Dot | LineState::Text, _) => {
                self.state = LineState::Text;
                return false;
            }
            (LineState::DotCr, b'\n') => self.state = LineState::End,
            (LineState::Cr, b'\n') => {
                self.keep(b"\r\n");
                self.state = LineState::LineStart;
            }
            // The CR before was bare; this one may begin the line end. CRLF `.` CR CRLF thus ends
            // a line with a dot too many, but no message.
            (LineState::Cr | LineState::DotCr, b'\r') => self.bare(LineState::Cr),
            (LineState::Cr | LineState::DotCr, _) => {
                self.bare(LineState::Text);
                return false;
            }
        }
        true
    }

    fn bare(&mut self, next: LineState) {
        self.bare_newline = true;
        self.keep(b"\r\n");
        self.state = next;
    }

    fn keep(&mut self, octets: &[u8]) {
        self.octets += octets.len() as u64;
        if self.octets <= self.limit {
            self.text.extend_from_slice(octets);
        } else if self.text.capacity() > 0 {
            self.text = Vec::new();
        }
    }

    /// Drops what is stored and stores no more; the end is still looked for.
    pub fn discard(&mut self) {
        self.limit = 0;
        self.text = Vec::new();
    }

    /// Octets of memory that the text holds once a piece of so many octets is taken. The usual
    /// message comes in one piece and is one allocation; others grow by half each time, and not
    /// much beyond the limit. Known beforehand, so that a budget can refuse it.
    pub fn room(&self, piece: usize) -> usize {
        let (held, wanted) = (self.text.capacity(), self.text.len() + piece);
        if self.octets > self.limit || wanted <= held {
            return held;
        }
        let most = usize::try_from(self.limit).unwrap_or(usize::MAX).saturating_add(piece);
        // The end of data often comes alone; it must not double the memory.
        const END_ALONE: usize = 16;
        (wanted + END_ALONE).max((held + held / 2).min(most))
    }

    /// Octets of the message so far, stored or not.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Octets stored.
    pub fn stored(&self) -> usize {
        self.text.len()
    }

    /// A bare CR or LF was seen, and replaced by CRLF.
    pub fn bare_newline(&self) -> bool {
        self.bare_newline
    }

    /// The message; empty when it was too long.
    pub fn into_text(self) -> Vec<u8> {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (input, message, octets after the end, bare newline seen); None: no end.
    type Row = (&'static [u8], &'static [u8], Option<usize>, bool);

    const ROWS: &[Row] = &[
        (b".\r\n", b"", Some(0), false), // empty message
        (b"a\r\n.\r\n", b"a\r\n", Some(0), false),
        (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", Some(6), false),
        (b"..x\r\n.\r\n", b".x\r\n", Some(0), false), // stuffed first line
        (b"..\r\n.\r\n", b".\r\n", Some(0), false),
        (b".x\r\n.\r\n", b"x\r\n", Some(0), false), // RFC 5321: the dot goes, stuffed or not
        (b"a\r\n...\r\n.\r\n", b"a\r\n..\r\n", Some(0), false),
        (b"\r\n\r\n.\r\n", b"\r\n\r\n", Some(0), false),
        (b"a.\r\n.\r\n", b"a.\r\n", Some(0), false),
        (b"a\0b\xff\r\n.\r\n", b"a\0b\xff\r\n", Some(0), false),
        // The forms of docs/reliability.md, "SMTP smuggling": none is the end.
        (b"a\n.\nb", b"a\r\n.\r\nb", None, true),
        (b"a\n.\rb", b"a\r\n.\r\nb", None, true),
        (b"a\r.\nb", b"a\r\n.\r\nb", None, true),
        (b"a\r.\rb", b"a\r\n.\r\nb", None, true),
        (b"a\n.\r\nb", b"a\r\n.\r\nb", None, true),
        (b"a\r.\r\nb", b"a\r\n.\r\nb", None, true),
        (b"a\r\n\0.\r\nb", b"a\r\n\0.\r\nb", None, false),
        (b"a\r\n.\nb", b"a\r\n\r\nb", None, true),
        (b"a\r\n.\r\r\nb", b"a\r\n\r\n\r\nb", None, true),
        (b"a\r\r\n.\r\r\nb", b"a\r\n\r\n\r\n\r\nb", None, true),
        (b"a\r\n.\rb", b"a\r\n\r\nb", None, true),
        (b"a\r\n.\0\r\nb", b"a\r\n\0\r\nb", None, false),
        (b"a\r\n. \r\nb", b"a\r\n \r\nb", None, false),
        (b"a\r\n.\r.\r\nb", b"a\r\n\r\n.\r\nb", None, true),
        // A bare newline starts no line, so a dot after it is not stuffed and stays.
        (b"a\n..\r\n.\r\n", b"a\r\n..\r\n", Some(0), true),
        (b"\n.\r\n.\r\n", b"\r\n.\r\n", Some(0), true),
        (b"a\r\r\n.\r\n", b"a\r\n\r\n", Some(0), true),
        // The end in each state: nothing.
        (b"", b"", None, false),
        (b".", b"", None, false),
        (b".\r", b"", None, false),
        (b"a", b"a", None, false),
        (b"a\r", b"a", None, false),
        (b"a\r\n", b"a\r\n", None, false),
    ];

    #[test]
    fn only_crlf_dot_crlf_ends_the_data_in_any_pieces() {
        for (input, message, left, bare) in ROWS {
            for size in [1, 2, 3, input.len().max(1)] {
                let mut reader = DataReader::new(1 << 20);
                let mut end = None;
                for (n, piece) in input.chunks(size).enumerate() {
                    if let TextProgress::End(used) = reader.read(piece) {
                        end = Some(input.len() - n * size - used);
                        break;
                    }
                }
                let shown = String::from_utf8_lossy(input);
                assert_eq!(end, *left, "{shown:?} in pieces of {size}");
                assert_eq!(reader.bare_newline(), *bare, "{shown:?}");
                assert_eq!(reader.octets(), message.len() as u64, "{shown:?}");
                assert_eq!(reader.into_text(), *message, "{shown:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_message_over_the_limit_is_read_to_its_end_and_not_kept() {
        let rows: &[(&[u8], u64, bool)] = &[
            (b"12345678\r\n.\r\n", 10, true), // exactly the limit
            (b"123456789\r\n.\r\n", 10, false),
            (b"..345678\r\n.\r\n", 9, true), // the stuffed dot does not count (RFC 1870)
            (b".\r\n", 0, true),
        ];
        for (input, limit, kept) in rows {
            let mut reader = DataReader::new(*limit);
            assert_eq!(reader.read(input), TextProgress::End(input.len()));
            assert_eq!(reader.octets() <= *limit, *kept, "{input:?}");
            assert_eq!(reader.stored() as u64, if *kept { reader.octets() } else { 0 });
        }
    }

    #[test]
    fn nothing_is_taken_behind_the_end() {
        let mut reader = DataReader::new(100);
        assert_eq!(reader.read(b".\r\nMAIL"), TextProgress::End(3));
        assert_eq!(reader.read(b"MAIL"), TextProgress::End(0));
        assert_eq!(reader.stored(), 0);
    }

    #[test]
    fn memory_grows_as_foretold() {
        let mut reader = DataReader::new(1000);
        let mut held = 0;
        for size in [10, 300, 7, 400, 1, 1, 250, 100, 600] {
            let room = reader.room(size);
            reader.read(&vec![b'x'; size]);
            if reader.octets() > 1000 {
                assert_eq!((reader.text.capacity(), reader.room(5000)), (0, 0), "too long: freed");
            } else {
                assert_eq!(reader.text.capacity(), room, "as foretold before {size} octets");
                assert!(room >= held && room <= 1000 + size + 16);
                held = room;
            }
        }
    }

    #[test]
    fn discarded_text_gives_its_memory_back() {
        let mut reader = DataReader::new(100);
        reader.read(b"abc\r\n");
        reader.discard();
        assert_eq!(reader.read(b"def\r\n.\r\n"), TextProgress::End(8));
        assert_eq!((reader.stored(), reader.octets()), (0, 10));
    }
}
