//! Where one record of an import ends and the next begins, in whatever shape the file has: lines,
//! CSV rows with line ends in quoted cells, JSON objects one a line, and JSON lists, bare or inside
//! the answer of an API. Only one record is held at a time.
//!
//! Nothing is swallowed: a quote or a brace that stays open costs the line that it is on, which
//! is named, and reading goes on with the next one.

/// Octets of one record.
pub const MAX_RECORD: usize = 16 << 10;
/// Lines of one CSV row.
const MAX_LINES: usize = 64;

/// Names under which APIs list entries, compared without regard to case.
const LISTS: [&str; 12] = [
    "suppresseddestinationsummaries",
    "suppressions",
    "bounces",
    "items",
    "results",
    "contacts",
    "data",
    "members",
    "unsubscribes",
    "complaints",
    "rejects",
    "entries",
];

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SplitStep {
    /// More octets are needed, or there are no more.
    Starved,
    /// A record; its number is that of its line, and in a JSON list its place there.
    Record(u64, Shape, Vec<u8>),
    /// One that cannot be read.
    Broken(u64, String),
}

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A JSON value.
    Json,
    /// A row of CSV, or a lone address.
    Row,
}

/// Where the next octet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SplitPlace {
    /// At the beginning of a record.
    Between,
    /// In a JSON list, so many brackets deep outside of it.
    List(usize),
    /// In a line that is passed over.
    Line,
    /// In JSON that is passed over, so many brackets deep; then in the list of that depth.
    Json(Brackets, Option<usize>),
}

/// Brackets and strings of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Brackets {
    depth: usize,
    quoted: bool,
    escaped: bool,
}

impl Brackets {
    /// Takes an octet; false when it does not belong there.
    fn take(&mut self, octet: u8) -> bool {
        match octet {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.quoted => self.escaped = true,
            b'\n' if self.quoted => return false,
            b'"' => self.quoted = !self.quoted,
            b'{' | b'[' if !self.quoted => self.depth += 1,
            b'}' | b']' if !self.quoted => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        true
    }
}

/// Splits octets into records.
#[derive(Debug)]
pub(super) struct Splitter {
    buffer: Vec<u8>,
    at: usize,
    place: SplitPlace,
    /// Number of the line of the next octet.
    line: u64,
    /// Records of lists so far.
    listed: u64,
    ended: bool,
    /// The last octet that was consumed.
    last: u8,
}

impl Default for Splitter {
    fn default() -> Self {
        let place = SplitPlace::Between;
        Self { buffer: Vec::new(), at: 0, place, line: 1, listed: 0, ended: false, last: b'\n' }
    }
}

impl Splitter {
    /// Where what comes is appended.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.at);
        self.at = 0;
        &mut self.buffer
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Lines so far, an unfinished last one included.
    pub(super) fn lines(&self) -> u64 {
        let last = self.rest().last().copied().unwrap_or(self.last);
        self.line - 1 + u64::from(last != b'\n')
    }

    /// What is there and not read.
    pub(super) fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    fn consume(&mut self, octets: usize) -> Vec<u8> {
        let end = (self.at + octets).min(self.buffer.len());
        let taken = self.buffer.get(self.at..end).unwrap_or_default().to_vec();
        self.line += memchr::memchr_iter(b'\n', &taken).count() as u64;
        self.last = taken.last().copied().unwrap_or(self.last);
        self.at = end;
        taken
    }

    /// The next record.
    pub(super) fn next(&mut self) -> SplitStep {
        loop {
            let step = match self.place {
                SplitPlace::Line => self.pass_line(),
                SplitPlace::Json(brackets, list) => self.pass_json(brackets, list),
                SplitPlace::Between => self.between(),
                SplitPlace::List(depth) => self.list(depth),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    fn pass_line(&mut self) -> Option<SplitStep> {
        match memchr::memchr(b'\n', self.rest()) {
            Some(end) => {
                self.consume(end + 1);
                self.place = SplitPlace::Between;
                None
            }
            None => {
                self.consume(usize::MAX - self.at);
                Some(SplitStep::Starved)
            }
        }
    }

    fn pass_json(&mut self, mut brackets: Brackets, list: Option<usize>) -> Option<SplitStep> {
        let wanted = list.map_or(0, |depth| depth + 1);
        for (place, octet) in self.rest().iter().enumerate() {
            let fits = brackets.take(*octet);
            if !fits || (brackets.depth <= wanted && !brackets.quoted) {
                self.consume(place + 1);
                self.place = match list {
                    Some(depth) if fits => SplitPlace::List(depth),
                    _ => SplitPlace::Between,
                };
                return None;
            }
        }
        self.consume(usize::MAX - self.at);
        self.place = SplitPlace::Json(brackets, list);
        Some(SplitStep::Starved)
    }

    fn between(&mut self) -> Option<SplitStep> {
        let blank = self.rest().iter().take_while(|o| matches!(o, b' ' | b'\r' | b'\n')).count();
        self.consume(blank);
        let rest = self.rest();
        let mut after = rest.iter().skip(1).filter(|octet| !octet.is_ascii_whitespace());
        match (rest.first(), after.next()) {
            (None, _) => return Some(SplitStep::Starved),
            (Some(b'{' | b'['), None) if !self.ended && rest.len() <= MAX_RECORD => {
                return Some(SplitStep::Starved);
            }
            (Some(b'{'), Some(b'"' | b'}')) => return self.object(None),
            (Some(b'['), Some(b'{' | b'"' | b']')) => {
                self.consume(1);
                self.place = SplitPlace::List(0);
                return None;
            }
            _ => {}
        }
        self.row()
    }

    fn list(&mut self, depth: usize) -> Option<SplitStep> {
        let filler = |o: &&u8| matches!(o, b' ' | b'\t' | b'\r' | b'\n' | b',');
        let blank = self.rest().iter().take_while(filler).count();
        self.consume(blank);
        match self.rest().first() {
            None => Some(SplitStep::Starved),
            Some(b'{' | b'"') => self.object(Some(depth)),
            Some(b']') => {
                self.consume(1);
                let brackets = Brackets { depth, ..Brackets::default() };
                self.place = match depth {
                    0 => SplitPlace::Between,
                    _ => SplitPlace::Json(brackets, None),
                };
                None
            }
            Some(_) => {
                self.listed += 1;
                self.place = SplitPlace::Line;
                let what = "the list holds something else than objects".to_string();
                Some(SplitStep::Broken(self.listed, what))
            }
        }
    }

    /// A JSON value: an object, or a string in a list. An object that holds a list of entries is no
    /// record but its envelope.
    fn object(&mut self, list: Option<usize>) -> Option<SplitStep> {
        let (mut brackets, mut end, mut fits) = (Brackets::default(), None, true);
        let (mut key, mut key_from, mut before) = (0..0, 0, b' ');
        let rest = self.rest();
        for (place, octet) in rest.iter().enumerate().take(MAX_RECORD + 1) {
            let was = brackets;
            fits = brackets.take(*octet)
                && !(*octet == b'{' && !was.quoted && before == b'}' && was.depth > 0);
            if !fits {
                break;
            }
            if brackets.depth == 0 && !brackets.quoted {
                end = Some(place + 1);
                break;
            }
            if *octet == b'"' && !was.escaped {
                match was.quoted {
                    true => key = key_from..place,
                    false => key_from = place + 1,
                }
            }
            let named = rest.get(key.clone()).unwrap_or_default();
            if list.is_none()
                && *octet == b'['
                && !was.quoted
                && before == b':'
                && was.depth <= 2
                && LISTS.iter().any(|name| named.eq_ignore_ascii_case(name.as_bytes()))
            {
                let depth = was.depth;
                self.consume(place + 1);
                self.place = SplitPlace::List(depth);
                return None;
            }
            if !octet.is_ascii_whitespace() && !was.quoted {
                before = *octet;
            }
        }
        let short = rest.len() <= MAX_RECORD;
        if end.is_none() && fits && short && !self.ended {
            return Some(SplitStep::Starved);
        }
        if list.is_some() {
            self.listed += 1;
        }
        let number = if list.is_some() { self.listed } else { self.line };
        if let Some(end) = end {
            let record = self.consume(end);
            return Some(SplitStep::Record(number, Shape::Json, record));
        }
        let what = if !fits || short {
            self.place = SplitPlace::Line;
            "no JSON object: it does not end".to_string()
        } else {
            let outer = list.map_or(0, |depth| depth + 1);
            let inside = Brackets { depth: outer, ..Brackets::default() };
            self.place = SplitPlace::Json(inside, list);
            too_long()
        };
        Some(SplitStep::Broken(number, what))
    }

    fn row(&mut self) -> Option<SplitStep> {
        let rest = self.rest();
        let number = self.line;
        let end = row_end(rest.get(..MAX_RECORD + 1).unwrap_or(rest));
        let first_line = memchr::memchr(b'\n', rest);
        let all = self.ended && rest.len() <= MAX_RECORD;
        let (end, line_end) = match (end, first_line) {
            (RowEnd::At(end), _) => (end, 1),
            (RowEnd::Open, _) if !self.ended && rest.len() <= MAX_RECORD => {
                return Some(SplitStep::Starved);
            }
            // A quote stays open: the line is a record, and the reader of it says what is wrong.
            (_, Some(end)) if end <= MAX_RECORD => (end, 1),
            (_, None) if all => (rest.len(), 0),
            _ if !self.ended && rest.len() <= MAX_RECORD => return Some(SplitStep::Starved),
            _ => {
                self.place = SplitPlace::Line;
                return Some(SplitStep::Broken(number, too_long()));
            }
        };
        let mut record = self.consume(end);
        self.consume(line_end);
        if record.last() == Some(&b'\r') {
            record.pop();
        }
        Some(SplitStep::Record(number, Shape::Row, record))
    }
}

fn too_long() -> String {
    format!("the line is longer than {MAX_RECORD} octets")
}

enum RowEnd {
    /// The line end after it.
    At(usize),
    /// None yet.
    Open,
    /// A quoted cell is followed by what cannot follow it.
    Never,
}

/// Where a row ends that may have line ends in quoted cells.
fn row_end(octets: &[u8]) -> RowEnd {
    let (mut quoted, mut begins, mut lines) = (false, true, 0);
    let mut octets = octets.iter().enumerate().peekable();
    while let Some((place, octet)) = octets.next() {
        match octet {
            b'\n' if !quoted => return RowEnd::At(place),
            b'\n' => {
                lines += 1;
                if lines == MAX_LINES {
                    return RowEnd::Never;
                }
            }
            b'"' if quoted => match octets.peek() {
                Some((_, b'"')) => {
                    octets.next();
                }
                Some((_, b',' | b';' | b'\t' | b'\r' | b'\n')) => quoted = false,
                None => return RowEnd::Open,
                // `"a b"@example.com` is an address, as long as it stays on its line.
                Some(_) if lines == 0 => quoted = false,
                Some(_) => return RowEnd::Never,
            },
            b'"' if begins => quoted = true,
            _ => {}
        }
        begins = !quoted && matches!(octet, b',' | b';' | b'\t');
    }
    RowEnd::Open
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, size: usize) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        let mut drain = |splitter: &mut Splitter| {
            loop {
                found.push(match splitter.next() {
                    SplitStep::Starved => break,
                    SplitStep::Record(number, _, octets) => {
                        format!("{number} {}", String::from_utf8_lossy(&octets))
                    }
                    SplitStep::Broken(number, what) => format!("{number} ! {what}"),
                });
            }
        };
        for piece in text.as_bytes().chunks(size) {
            splitter.buffer().extend_from_slice(piece);
            drain(&mut splitter);
        }
        splitter.end();
        drain(&mut splitter);
        found
    }

    #[test]
    fn records_are_found_in_every_shape() {
        let long = "x".repeat(MAX_RECORD + 5);
        for (text, records) in [
            ("a\r\n\nb\n c", &["1 a", "3 b", "4 c"][..]),
            ("a,\"two\nlines\"\nb\n", &["1 a,\"two\nlines\"", "3 b"]),
            ("a,\"open\nb\nc,\"x\"\n", &["1 a,\"open", "2 b", "3 c,\"x\""]),
            ("\"a b\"@x,\"q\"\nb", &["1 \"a b\"@x,\"q\"", "2 b"]),
            ("{\"a\":1}\n{\"b\":\"}\"}\nc\n", &["1 {\"a\":1}", "2 {\"b\":\"}\"}", "3 c"]),
            ("{b}@x\n{\n  \"a\": {\"b\": [1]}\n}\n", &["1 {b}@x", "2 {\n  \"a\": {\"b\": [1]}\n}"]),
            ("[{\"a\":1},\n {\"a\":[2]}]\nb", &["1 {\"a\":1}", "2 {\"a\":[2]}", "3 b"]),
            ("[\"a@x\", \"b@x\"]", &["1 \"a@x\"", "2 \"b@x\""]),
            ("[]\n", &[]),
            ("\t{\"a\":1}\n", &["1 \t{\"a\":1}"]),
            (
                "{\"total\":2,\"Items\":[{\"a\":\"]\"},{\"a\":2}],\"paging\":{\"x\":[\"]}\"]}}\nb\n",
                &["1 {\"a\":\"]\"}", "2 {\"a\":2}", "2 b"],
            ),
            (
                "{\"data\":{\"results\":[{\"a\":1}],\"n\":1}}{\"data\":[{\"a\":2}]}",
                &["1 {\"a\":1}", "2 {\"a\":2}"],
            ),
            // What does not end costs its own line.
            ("{\"a\":\"open\n{\"a\":2}\n", &["1 ! no JSON object: it does not end", "2 {\"a\":2}"]),
            (
                "[{\"a\":1},7]\nb",
                &["1 {\"a\":1}", "2 ! the list holds something else than objects", "2 b"],
            ),
            (&format!("{long}\nb"), &["1 ! the line is longer than 16384 octets", "2 b"]),
            (
                &format!("[{{\"a\":\"{long}\"}},{{\"a\":2}}]"),
                &["1 ! the line is longer than 16384 octets", "2 {\"a\":2}"],
            ),
            (
                &format!("{{\"a\":[\"{long}\"]}}\n{{\"a\":2}}"),
                &["1 ! the line is longer than 16384 octets", "2 {\"a\":2}"],
            ),
        ] {
            for size in [1 << 20, 1000, 7] {
                assert_eq!(split(text, size), records, "{size}: {}", &text[..text.len().min(60)]);
            }
        }
    }
}
