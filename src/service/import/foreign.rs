//! Files that are not a list, recognised by their first octets, and what to do with them.

/// Octets that are enough to tell.
pub(super) const ENOUGH: usize = 512;

const MAGIC: [(&[u8], &str); 10] = [
    (b"PK\x03\x04", "a zip archive or a spreadsheet (.xlsx, .ods): unpack it, or save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet (.xls): save it as CSV"),
    (b"%PDF", "a PDF: export the list as CSV or JSON instead"),
    (b"\x1f\x8b", "compressed: `zcat FILE | bounced import -`"),
    (b"BZh", "compressed: `bzcat FILE | bounced import -`"),
    (b"\xfd7zXZ", "compressed: `xzcat FILE | bounced import -`"),
    (b"\x28\xb5\x2f\xfd", "compressed: `zstdcat FILE | bounced import -`"),
    (b"SQLite format 3", "a database: export the table as CSV"),
    (b"From ", "an mbox of messages: `bounced ingest FILE` reads those"),
    (b"{\\rtf", "a text document: save it as plain text"),
];

/// Fields that a message begins with.
const FIELDS: [&str; 14] = [
    "return-path",
    "received",
    "delivered-to",
    "x-original-to",
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "envelope-to",
    "reply-to",
    "dkim-signature",
    "content-type",
];

/// What the file is instead of a list, and what to do with it.
pub(super) fn foreign(start: &[u8]) -> Option<&'static str> {
    if let Some((_, what)) = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Some(what);
    }
    let start = start.get(..ENOUGH).unwrap_or(start);
    if start.contains(&0) {
        return Some("binary, or UTF-16 without a byte order mark: save it as UTF-8");
    }
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start();
    if text.starts_with("<!") || text.starts_with("<?") || text.to_lowercase().starts_with("<html")
    {
        return Some("a web page or XML: export the list as CSV or JSON instead");
    }
    let (name, _) = text.lines().next().unwrap_or_default().split_once(':')?;
    let name = name.to_ascii_lowercase();
    let message = FIELDS.contains(&name.as_str()) || name.starts_with("x-");
    message.then_some("a message: `bounced ingest FILE` reads those")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_list_is_said() {
        for (start, words) in [
            (&b"PK\x03\x04\x14\0"[..], Some("save it as CSV")),
            (b"%PDF-1.7", Some("a PDF")),
            (b"\x1f\x8b\x08", Some("zcat")),
            (b"  <!DOCTYPE html>", Some("web page")),
            (b"<HTML>", Some("web page")),
            (b"Return-Path: <>\r\nTo: a@x.test\r\n", Some("a message")),
            (b"X-Original-To: a@x.test\n", Some("a message")),
            (b"From MAILER-DAEMON Sun Nov 22 10:00:00 2026\n", Some("an mbox")),
            (b"e\0m\0a\0i\0l\0", Some("UTF-16")),
            (b"from@x.test\n", None),
            (b"<b@x.test>\n", None),
            (b"to:a@x.test\n", Some("a message")),
            (b"email:address\na@x.test", None),
            (b"{\"email\":\"a@x.test\"}", None),
            (b"", None),
        ] {
            let said = foreign(start);
            assert_eq!(said.is_some(), words.is_some(), "{start:?}: {said:?}");
            assert!(said.unwrap_or_default().contains(words.unwrap_or_default()), "{start:?}");
        }
    }
}
