use super::*;

const REPORT: &str = "From: MAILER-DAEMON@example.net\r\nContent-Type: multipart/report; \
    report-type=delivery-status; boundary=\"b1\"\r\n\r\npreamble\r\n--b1\r\n\r\nhuman\r\n--b1\r\n\
    Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n--b1\r\n\
    Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b1--\r\n";

fn shape(data: &str) -> Vec<String> {
    let message = Message::parse(data.as_bytes());
    message.parts().iter().map(|p| format!("{}{}", " ".repeat(p.depth), p.media_type)).collect()
}

#[test]
fn a_report_is_walked_in_order() {
    let expected = [
        "multipart/report",
        " text/plain",
        " message/delivery-status",
        " message/rfc822",
        "  text/plain",
    ];
    assert_eq!(shape(REPORT), expected);
    assert_eq!(shape(&REPORT.replace("\r\n", "\n")), expected);
    let message = Message::parse(REPORT.as_bytes());
    assert_eq!(message.human_text().trim(), "human");
    assert_eq!(message.parts()[4].headers.text("subject").as_deref(), Some("inner"));
    assert!(message.parts()[4].inside_message && !message.parts()[3].inside_message);
    assert!(message.defects.is_empty());
}

#[test]
fn damaged_structure_is_guessed_and_noted() {
    // The boundary parameter is gone.
    let lost = REPORT
        .replace("; boundary=\"b1\"", "")
        .replace("b1", "b1x")
        .replace("human", "Content-Type: text/plain\r\n\r\nhuman");
    let lost = lost.replace("--b1x\r\n\r\nContent", "--b1x\r\nContent");
    assert_eq!(shape(&lost).len(), 5, "{lost}");
    assert_eq!(Message::parse(lost.as_bytes()).defects, ["boundary missing or wrong"]);
    // Cut in the middle: what is there is there.
    let cut = REPORT.find("Reporting").expect("it is there");
    assert_eq!(shape(&REPORT[..cut]).len(), 3);
    assert_eq!(shape(""), ["text/plain"]);
}

#[test]
fn contents_are_decoded() {
    for (fields, body, expected) in [
        ("", "plain", "plain"),
        ("Content-Transfer-Encoding: base64\r\n", "aGVsbG8=\r\n", "hello"),
        // A list footer after the base64.
        ("Content-Transfer-Encoding: base64\r\n", "aGVsbG8=\r\n-- list footer\r\n", "hello"),
        ("Content-Transfer-Encoding: quoted-printable\r\n", "gr=C3=BC=\r\nn", "grün"),
        (
            "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n",
            "gr=FCn",
            "grün",
        ),
        ("Content-Type: text/html\r\n", "<p>a <b>b</b></p>", "a b"),
        ("Content-Type: application/octet-stream\r\n", "binary", ""),
    ] {
        let data = format!("Subject: x\r\n{fields}\r\n{body}");
        let message = Message::parse(data.as_bytes());
        assert_eq!(message.text(&message.parts()[0]).trim(), expected, "{fields}{body}");
    }
}

#[test]
fn bombs_stay_within_the_budget() {
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(32_700);
    let message = Message::parse(nested.as_bytes());
    assert!(message.parts().len() <= limits::DEPTH + 1);
    assert!(message.defects.contains(&"parts nested more than 16 deep"), "{:?}", message.defects);

    let mut multipart = String::new();
    for n in 0..5_000 {
        multipart
            .push_str(&format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"));
    }
    assert!(Message::parse(multipart.as_bytes()).parts().len() <= limits::DEPTH + 1);

    let parts = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}",
        "--b\r\n\r\n".repeat(100_000)
    );
    assert!(Message::parse(parts.as_bytes()).parts().len() <= limits::PARTS);

    let fields = "A: b\r\n".repeat(100_000);
    let message = Message::parse(fields.as_bytes());
    assert!(message.headers().fields().len() <= limits::HEADERS);
    assert!(message.defects.contains(&"header block over budget"));
}

#[test]
fn html_breaks_where_browsers_do() {
    for (html, expected) in [
        ("<td>kim@example.net</td><td>because</td>", "kim@example.net because"),
        ("<div>one</div><div>two</div>", "one\n\ntwo"),
        ("<ul><LI>one<LI>two</ul>", "one\ntwo"),
        ("kim<b>@example.net</b>", "kim@example.net"),
    ] {
        let data = format!("Content-Type: text/html\r\n\r\n{html}");
        let message = Message::parse(data.as_bytes());
        let text = message.text(&message.parts()[0]).replace("\n\n\n", "\n\n");
        assert_eq!(text.trim(), expected, "{html}");
    }
}

/// RFC 2046 section 5.1.5.
#[test]
fn what_a_digest_holds_are_messages() {
    for (container, inside) in [("digest", true), ("mixed", false)] {
        let data = format!(
            "Content-Type: multipart/{container}; boundary=d\r\n\r\n--d\r\n\r\nSubject: x\r\n\
             Content-Type: message/delivery-status\r\n\r\nAction: failed\r\n--d--\r\n"
        );
        let message = Message::parse(data.as_bytes());
        let status = message.parts().iter().find(|p| p.is("message/delivery-status"));
        assert_eq!(status.is_some_and(|p| p.inside_message), inside, "{container}");
    }
}
