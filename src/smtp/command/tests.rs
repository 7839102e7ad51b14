//! Tables for `command.rs`.

use super::*;

const LONGEST: usize = 512;

fn read(line: &str) -> Result<Command<'_>, u16> {
    parse(line.as_bytes(), LONGEST).1.map_err(|fault| fault.reply.code)
}

#[test]
fn simple_commands() {
    let rows: &[(&str, Result<Command<'_>, u16>)] = &[
        ("EHLO a.example", Ok(Command::Ehlo("a.example"))),
        ("ehlo  [192.0.2.1] ", Ok(Command::Ehlo("[192.0.2.1]"))),
        ("HELO x y", Ok(Command::Helo("x y"))), // some clients send more than a name
        ("LHLO x", Ok(Command::Lhlo("x"))),
        ("EHLO", Err(501)),
        ("DATA", Ok(Command::Data)),
        ("DATA ", Ok(Command::Data)),
        ("DATA x", Err(501)),
        ("RSET x", Err(501)),
        ("STARTTLS x", Err(501)),
        ("QUIT now", Ok(Command::Quit)),
        ("noop x", Ok(Command::Noop)),
        ("VRFY postmaster", Ok(Command::Vrfy)),
        ("EXPN list", Err(502)),
        ("AUTH PLAIN AAAA", Err(502)),
        ("BDAT 10 LAST", Ok(Command::Bdat { size: 10, last: true })),
        ("bdat 0 last", Ok(Command::Bdat { size: 0, last: true })),
        ("BDAT 86400", Ok(Command::Bdat { size: 86400, last: false })),
        ("BDAT", Ok(Command::BadBdat)),
        ("BDAT LAST", Ok(Command::BadBdat)),
        ("BDAT -1", Ok(Command::BadBdat)),
        ("BDAT +1 LAST", Ok(Command::BadBdat)),
        ("BDAT 0x10", Ok(Command::BadBdat)),
        ("BDAT 10 FIRST", Ok(Command::BadBdat)),
        ("BDAT 10 LAST 5", Ok(Command::BadBdat)),
        ("BDAT 99999999999999999999", Ok(Command::BadBdat)),
        ("BDAT 000000000000000000010", Ok(Command::BadBdat)),
        ("", Err(500)),
        ("   ", Err(500)),
        ("FOO", Err(500)),
        ("MAILFROM:<>", Err(500)),
        ("GET / HTTP/1.1", Ok(Command::Foreign)),
        ("post /x", Ok(Command::Foreign)),
    ];
    for (line, wanted) in rows {
        assert_eq!(&read(line), wanted, "{line}");
    }
    for line in [&b"NOOP\0"[..], b"NO\rOP", b"EHLO \xff", b"\x16\x03\x01", b"MAIL FROM:<\0>"] {
        let (_, result) = parse(line, LONGEST);
        assert_eq!(result.unwrap_err().reply, reply::BAD_CHARACTER, "{line:?}");
    }
}

#[test]
fn reverse_paths() {
    let long = format!("<{}@b.example>", "a".repeat(300));
    let too_long = format!("<{}@b.example>", "a".repeat(505));
    let rows = [
        ("<>", Ok("")),
        ("<user@b.example>", Ok("user@b.example")),
        ("<MAILER-DAEMON>", Ok("MAILER-DAEMON")), // real bounces have it
        ("<@relay.example,@b.example:user@c.example>", Ok("user@c.example")),
        ("<\"a b\"@b.example>", Ok("\"a b\"@b.example")), // quotes are kept
        ("<\"a>\\\"b\"@b.example>", Ok("\"a>\\\"b\"@b.example")),
        ("<a..b@b.example>", Ok("a..b@b.example")),
        ("<a@[192.0.2.1]>", Ok("a@[192.0.2.1]")),
        ("<a:b@c.example>", Ok("a:b@c.example")),
        ("<j\u{f6}@b.example>", Ok("j\u{f6}@b.example")),
        ("user@b.example", Ok("user@b.example")), // no brackets
        (&long, Ok(&long[1..long.len() - 1])),
        (&too_long, Err(501)),
        ("", Err(501)),
        ("<", Err(501)),
        ("<a@b", Err(501)),
        ("<a b@c>", Err(501)),
        ("<a<b@c>", Err(501)),
        ("<\"a@b>", Err(501)),
        ("<a@>", Err(501)),
        ("<@b>", Err(501)),
        ("<@relay.example:>", Ok("")),
        ("<a@b>x", Err(501)),
        ("<a\tb@c>", Err(501)),
        ("<\"a\u{1b}\"@c>", Err(500)), /* the whole line is refused */
        ("<a\u{85}@c>", Err(501)),     // C1 controls too
    ];
    for (path, wanted) in rows {
        let line = format!("MAIL FROM:{path}");
        let got = match read(&line) {
            Ok(Command::Mail(mail)) => Ok(mail.reverse_path),
            Ok(other) => panic!("{other:?}"),
            Err(code) => Err(code),
        };
        assert_eq!(got, wanted, "{line}");
    }
}

#[test]
fn forward_paths() {
    let rows = [
        ("RCPT TO:<a@b>", Ok("a@b")),
        ("rcpt to: <a@b>", Ok("a@b")),
        ("RCPT TO :<a@b>", Ok("a@b")),
        ("RCPT TO:<postmaster>", Ok("postmaster")),
        ("RCPT TO:<\"a b\"@v>", Ok("\"a b\"@v")),
        ("RCPT TO:<a..b@v>", Ok("a..b@v")),
        ("RCPT TO:<>", Err(501)),
        ("RCPT TO:", Err(501)),
        ("RCPT <a@b>", Err(501)),
        ("RCPT", Err(501)),
        ("RCPT TO:<a@b> NOTIFY=NEVER", Ok("a@b")),
        ("RCPT TO:<a@b> notify=success,FAILURE,delay", Ok("a@b")),
        // RFC 3461 wants NEVER alone; smtp-proto lets it pass, and nothing is ever mailed anyway.
        ("RCPT TO:<a@b> NOTIFY=NEVER,FAILURE", Ok("a@b")),
        ("RCPT TO:<a@b> NOTIFY=FAILURE,NEVER", Err(501)),
        ("RCPT TO:<a@b> NOTIFY=", Err(501)),
        ("RCPT TO:<a@b> NOTIFY=FAILURE ORCPT=rfc822;a+40b.c", Ok("a@b")),
        ("RCPT TO:<a@b> ORCPT=utf-8;j\\x{F6}@b.example", Ok("a@b")),
        ("RCPT TO:<a@b> ORCPT=x400;/S=a/", Ok("a@b")),
        ("RCPT TO:<a@b> ORCPT=rfc822", Err(501)),
        ("RCPT TO:<a@b> ORCPT=;a", Err(501)),
        ("RCPT TO:<a@b> NOTIFY=NEVER NOTIFY=NEVER", Err(501)),
        ("RCPT TO:<a@b> FOO", Err(555)),
        ("RCPT TO:<a@b> SIZE=1", Err(555)), // a parameter of MAIL
    ];
    for (line, wanted) in rows {
        let got = match read(line) {
            Ok(Command::Rcpt(path)) => Ok(path),
            Ok(other) => panic!("{other:?}"),
            Err(code) => Err(code),
        };
        assert_eq!(got, wanted, "{line}");
    }
}

#[test]
fn mail_parameters() {
    let mail = |size, body, smtputf8| Ok((size, body, smtputf8));
    use BodyType::{EightBit, SevenBit};
    let rows = [
        ("", mail(None, SevenBit, false)),
        ("  SIZE=100  BODY=8BITMIME ", mail(Some(100), EightBit, false)),
        ("size=0 body=7bit", mail(Some(0), SevenBit, false)),
        ("SMTPUTF8", mail(None, SevenBit, true)),
        ("RET=HDRS ENVID=QQ314", mail(None, SevenBit, false)),
        ("RET=FULL ENVID=a+3Db", mail(None, SevenBit, false)),
        ("AUTH=<>", mail(None, SevenBit, false)),
        ("AUTH=a+40b.example SMTPUTF8", mail(None, SevenBit, true)),
        // 20 digits: smtp-proto starts at zero again when they overflow.
        ("SIZE=99999999999999999999", mail(Some(u64::MAX), SevenBit, false)),
        ("SIZE=18446744073709551617", mail(Some(u64::MAX), SevenBit, false)),
        ("SIZE=999999999999999999999", Err(501)),
        ("SIZE=", Err(501)),
        ("SIZE", Err(501)),
        ("SIZE=1x", Err(501)),
        ("SIZE=-1", Err(501)),
        ("BODY=FOO", Err(501)),
        ("BODY=BINARYMIME", Err(555)),
        ("RET=SOME", Err(501)),
        ("SMTPUTF8=yes", Err(501)),
        ("SIZE=1 SIZE=2", Err(501)),
        ("FOO=BAR", Err(555)),
        ("XVERP", Err(555)),
        ("XVERP=-=", Err(555)),
        // Known to smtp-proto, not offered by us.
        ("HOLDFOR=100", Err(555)),
        ("REQUIRETLS", Err(555)),
        ("MT-PRIORITY=3", Err(555)),
    ];
    for (parameters, wanted) in rows {
        let line = format!("MAIL FROM:<> {parameters}");
        let got = match read(&line) {
            Ok(Command::Mail(mail)) => Ok((mail.size, mail.body, mail.smtputf8)),
            Ok(other) => panic!("{other:?}"),
            Err(code) => Err(code),
        };
        assert_eq!(got, wanted, "{line}");
    }
}

#[test]
fn host_names_are_cut() {
    let line = format!("EHLO {}\u{f6}\u{f6}", "a".repeat(254));
    assert_eq!(read(&line), Ok(Command::Ehlo(&line[5..259])));
}

#[test]
fn labels_are_distinct() {
    let labels: Vec<_> = Verb::all().map(Verb::as_str).collect();
    assert_eq!(labels.len(), 16);
    for (n, label) in labels.iter().enumerate() {
        assert!(!labels[..n].contains(label), "{label} twice");
    }
}
