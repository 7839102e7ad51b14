//! Octets of a file as UTF-8, as they come: a byte order mark goes, and UTF-16 with one is read
//! (Excel's "Unicode text").

/// Turns octets into UTF-8. What is not UTF-8 stays as it is: the reader of the text says so.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    encoding: Option<Encoding>,
    /// What does not decide, or is half a character.
    pending: Vec<u8>,
    high: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

const MARKS: [(&[u8], Encoding); 3] = [
    (b"\xef\xbb\xbf", Encoding::Utf8),
    (b"\xff\xfe", Encoding::Utf16Le),
    (b"\xfe\xff", Encoding::Utf16Be),
];

impl Decoder {
    /// Appends what these octets are. `last`: nothing follows.
    pub(super) fn push(&mut self, octets: &[u8], last: bool, out: &mut Vec<u8>) {
        if self.encoding == Some(Encoding::Utf8) {
            return out.extend_from_slice(octets);
        }
        self.pending.extend_from_slice(octets);
        if self.encoding.is_none() {
            let may_become =
                |mark: &[u8]| mark.len() > self.pending.len() && mark.starts_with(&self.pending);
            if !last && MARKS.iter().any(|(mark, _)| may_become(mark)) {
                return;
            }
            let marked = MARKS.iter().find(|(mark, _)| self.pending.starts_with(mark));
            let (octets, encoding) = marked.map_or((0, Encoding::Utf8), |(m, e)| (m.len(), *e));
            self.pending.drain(..octets);
            self.encoding = Some(encoding);
        }
        let read: fn([u8; 2]) -> u16 = match self.encoding {
            Some(Encoding::Utf16Le) => u16::from_le_bytes,
            Some(Encoding::Utf16Be) => u16::from_be_bytes,
            _ => return out.append(&mut self.pending),
        };
        let pending = std::mem::take(&mut self.pending);
        let (pairs, rest) = pending.as_chunks::<2>();
        let units = self.high.take().into_iter().chain(pairs.iter().map(|pair| read(*pair)));
        for character in char::decode_utf16(units) {
            match character {
                Ok(character) => {
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                // Its other half may come.
                Err(half) if half.unpaired_surrogate() < 0xdc00 && !last => {
                    self.high = Some(half.unpaired_surrogate());
                }
                Err(_) => out.extend_from_slice("\u{fffd}".as_bytes()),
            }
        }
        self.pending.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_reads_the_same_in_pieces_of_any_size() {
        let text = "email;grund\r\nä😀@x.test;weg\n";
        let utf16 = |octets: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(octets).collect()
        };
        let marked = format!("\u{feff}{text}").into_bytes();
        for file in
            [text.as_bytes().to_vec(), marked, utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)]
        {
            for size in [1, 2, 3, 7, 1000] {
                let (mut decoder, mut out) = (Decoder::default(), Vec::new());
                file.chunks(size).for_each(|piece| decoder.push(piece, false, &mut out));
                decoder.push(b"", true, &mut out);
                assert_eq!(String::from_utf8(out).as_deref(), Ok(text), "{size}: {file:?}");
            }
        }
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        decoder.push(b"\xff", true, &mut out);
        assert_eq!(out, b"\xff");
    }
}
