//! Files as their products write them, made up from their documentation, and what they are read as.

use super::*;
use crate::service::ImportEntry;

fn wishes(all: bool) -> Wishes {
    Wishes { reason: "imported".to_string(), reasoned: false, scope: "*".to_string(), all }
}

/// `address scope reason words [since] [until]` of each entry, else the sentence.
fn shown(read: Read) -> String {
    match read {
        Read::Entry(ImportEntry { address, scope, words, until, imported }) => {
            let cause = imported.cause.map_or("-", |cause| cause.as_str());
            let since = imported.since.map_or(String::new(), |since| format!(" since {since}"));
            let until = until.map_or(String::new(), |until| format!(" until {until}"));
            format!("{address} {scope} {cause} `{words}`{since}{until}")
        }
        Read::LeftOut(why) => format!("left out: {why}"),
        Read::Noted(what) => format!("noted: {what}"),
        Read::Refused(why, cell) if cell.is_empty() => format!("refused: {why}"),
        Read::Refused(why, cell) => format!("refused: {why}: {cell}"),
    }
}

fn read_with(text: &[u8], size: usize, all: bool) -> Result<(String, Vec<String>), String> {
    let mut reader = ImportReader::new(wishes(all));
    let mut found = Vec::new();
    for piece in text.chunks(size) {
        reader.feed(piece)?;
        found.extend(std::iter::from_fn(|| reader.next()).map(|(_, read)| shown(read)));
    }
    reader.end()?;
    found.extend(std::iter::from_fn(|| reader.next()).map(|(_, read)| shown(read)));
    let format = reader.understanding().map(|understood| understood.format.clone());
    Ok((format.unwrap_or_default(), found))
}

fn read(text: &str) -> Vec<String> {
    read_with(text.as_bytes(), 1 << 16, false).expect("a list").1
}

#[test]
fn reads_what_people_have() {
    for (text, entries) in [
        (
            "a@x.test\r\n\n# old\nb@x.test\n",
            &["a@x.test * - `imported`", "b@x.test * - `imported`"][..],
        ),
        (
            "\u{feff}Email,Reason\na@x.test,\"moved, \"\"far\"\"\"\n",
            &["a@x.test * - `moved, \"far\"`"],
        ),
        (
            "reason,until,address\nx,2026-11-22,a@x.test\n",
            &["a@x.test * - `x` until 2026-11-22T00:00:00Z"],
        ),
        // Without a header the columns are those of an export.
        ("a@x.test,news,suppressed,,gone\n", &["a@x.test news - `gone`"]),
        ("address,scope\na@x.test,news\n", &["a@x.test news - `imported`"]),
        (
            "{\"email\":\"a@x.test\",\"scope\":\"news\"}\nb@x.test\n",
            &["a@x.test news - `imported`", "b@x.test * - `imported`"],
        ),
        ("[\"a@x.test\",\"b@x.test\"]", &["a@x.test * - `imported`", "b@x.test * - `imported`"]),
        ("\"a b\"@x.test\n", &["\"a b\"@x.test * - `imported`"]),
        (
            "address\n'=1+1@x.test\n'quoted@x.test\n",
            &["=1+1@x.test * - `imported`", "'quoted@x.test * - `imported`"],
        ),
        ("sep=;\nE-Mail;Reason\na@x.test;spam\n", &["a@x.test * complaint `imported`"]),
        ("email\treason\na@x.test\ttwo\n", &["a@x.test * - `two`"]),
        (
            "address,state\na@x.test,held\nb@x.test,odd\n",
            &[
                "left out: held, not suppressed: not imported",
                "refused: the status is no word that is known: write bounced, complaint, \
                 unsubscribed or active, or take the column out: odd",
            ],
        ),
        (
            "nonsense\n{\"email\":5}\n{x}\n{b}@x.test\n#c@x.test\n",
            &[
                "refused: no @ in it: write an address such as user@example.com: nonsense",
                "refused: no @ in it: write an address such as user@example.com: 5",
                "refused: no JSON object: key must be a string at line 1 column 2",
                "{b}@x.test * - `imported`",
                "#c@x.test * - `imported`",
            ],
        ),
        (
            "address,until\na@x.test,soon\n",
            &["refused: `until` must be a time such as 2026-11-22 or 2026-11-22T10:00:00Z: soon"],
        ),
        (
            "a@x.test,\"open\nb@x.test\n",
            &["refused: a quoted cell does not end on its line", "b@x.test * - `imported`"],
        ),
        ("email,reason,name\na@x.test,\"two\nlines\",x\n", &["a@x.test * - `two lines`"]),
    ] {
        assert_eq!(read(text), entries, "{text}");
    }
    let latin =
        read_with(b"email;name;reason\na@x.test;M\xfcller;spam\n\xfc@x.test;x;spam\n", 5, false);
    let expected =
        ["a@x.test * complaint `imported`", "refused: the address is not UTF-8: \u{fffd}@x.test"];
    assert_eq!(latin.expect("a list").1, expected);
}

const NO_MEANING: &str = "refused: the second column is no reason that is known, and a scope only \
                          before a state: write the names of the columns as first line, such as \
                          `address,scope` or `address,text`";
const NO_STATUS: &str = "refused: the status is no word that is known: write bounced, complaint, \
                         unsubscribed or active, or take the column out";
const SUBSCRIBER: &str = "left out: a subscriber, no suppression";

/// What two columns without names mean, and what they do not: no scope that nobody meant, and no
/// suppression of who is active.
#[test]
fn columns_are_not_guessed() {
    let no_meaning = |cell: &str| format!("{NO_MEANING}: {cell}");
    let no_status = |cell: &str| format!("{NO_STATUS}: {cell}");
    let row = |text: &str| text.to_string();
    for (text, entries) in [
        ("a@x.test,dead\n", vec![no_meaning("dead")]),
        ("a@x.test;dead\n", vec![no_meaning("dead")]),
        (
            "a@x.test,news\nb@x.test,BOUNCE\n",
            vec![no_meaning("news"), row("b@x.test * provider-suppressed `imported`")],
        ),
        ("a@x.test,user-unknown\n", vec![row("a@x.test * user-unknown `imported`")]),
        ("a@x.test,mailbox-full\n", vec![format!("left out: {SOFT}")]),
        ("a@x.test,asked by phone\n", vec![row("a@x.test * - `asked by phone`")]),
        (
            "a@x.test,550 5.1.1 no such user,2026-10-01 10:00\n",
            vec![row("a@x.test * - `550 5.1.1 no such user` since 2026-10-01T10:00:00Z")],
        ),
        ("a@x.test,2026-10-01\n", vec![row("a@x.test * - `imported` since 2026-10-01T00:00:00Z")]),
        (
            "Ann,a@x.test\n",
            vec![row(
                "refused: the address is not in the first column: write the names of the columns as \
             first line, such as `name,address`: Ann",
            )],
        ),
        // Whose state is no word of ours.
        (
            "email,status\na@x.test,active\nb@x.test,bounced\nc@x.test,gesperrt\n",
            vec![
                row(SUBSCRIBER),
                row("b@x.test * provider-suppressed `imported`"),
                no_status("gesperrt"),
            ],
        ),
        (
            "email,state\na@x.test,active\nb@x.test,unsubscribed\n",
            vec![row(SUBSCRIBER), row("b@x.test * unsubscribe `imported`")],
        ),
        (
            "email,status\na@x.test,5.1.1\nb@x.test,4.2.2\nc@x.test,5.7.1\n",
            vec![
                row("a@x.test * - `imported`"),
                format!("left out: {SOFT}"),
                format!("left out: {BLOCKED}"),
            ],
        ),
        (
            "email,unsubscribed\na@x.test,true\nb@x.test,false\n",
            vec![row("a@x.test * unsubscribe `imported`"), row(SUBSCRIBER)],
        ),
        // Subscribers, for all that is said of them.
        (
            "email,first name,date added\na@x.test,Ann,2026-10-01\n",
            vec![row(
                "refused: no column says that mail to these is to stop: the columns here are email, first \
             name, date added; if it is, say why with --reason (reason=), or keep the addresses alone",
            )],
        ),
        (
            "{\"email\":\"a@x.test\",\"name\":\"Ann\"}\n",
            vec![row(
                "refused: no field says that mail to these is to stop: the fields here are email, name; if \
             it is, say why with --reason (reason=), or keep the addresses alone",
            )],
        ),
        // What one column calls a bounce another may call soft, or a block.
        (
            "email,event,type\na@x.test,bounce,blocked\nb@x.test,bounce,bounce\nc@x.test,bounced,soft\nd@x.test,complaint,soft\n",
            vec![
                format!("left out: {BLOCKED}"),
                row("b@x.test * provider-suppressed `imported`"),
                format!("left out: {SOFT}"),
                row("d@x.test * complaint `imported`"),
            ],
        ),
        (
            "Email,Bounce Type,Bounce Reason,Date\na@x.test,hard,user unknown,2026-10-01\nb@x.test,soft,mailbox full,2026-10-01\n",
            vec![
                row("a@x.test * user-unknown `imported` since 2026-10-01T00:00:00Z"),
                format!("left out: {SOFT}"),
            ],
        ),
        // What stands in the same row: who is active there is, whatever else it says.
        (
            "email,reason,status\na@x.test,bounce,active\nb@x.test,hard bounce,subscribed\nc@x.test,bounce,inactive\n",
            vec![row(SUBSCRIBER), row(SUBSCRIBER), no_status("inactive")],
        ),
        ("email,reason,status,created\na@x.test,bounce,active,1700000000\n", vec![row(SUBSCRIBER)]),
        (
            "email,status,reason\na@x.test,,\n",
            vec![row("refused: nothing in the row says that mail to it is to stop")],
        ),
        (
            "email,subscription_status,reason\na@x.test,subscribed,\nb@x.test,unsubscribed,\n",
            vec![row(SUBSCRIBER), row("b@x.test * unsubscribe `imported`")],
        ),
        (
            "email,unsubscribed,bounced\na@x.test,false,true\nb@x.test,,NULL\n",
            vec![row("a@x.test * provider-suppressed `imported`"), row(SUBSCRIBER)],
        ),
        (
            "Email Address,OPTIN_TIME,UNSUB_TIME,CLEAN_TIME\na@x.test,2026-01-01 00:00:00,,\n\
          b@x.test,,,2026-02-01 00:00:00\nc@x.test,,2026-03-01 00:00:00,\n",
            vec![
                row(SUBSCRIBER),
                row("b@x.test * provider-suppressed `imported` since 2026-02-01T00:00:00Z"),
                row("c@x.test * unsubscribe `imported` since 2026-03-01T00:00:00Z"),
            ],
        ),
        (
            "{\"event\":\"failed\",\"severity\":\"temporary\",\"reason\":\"generic\",\"recipient\":\"a@x.test\",\"delivery-status\":{\"code\":450}}\n\
          {\"event\":\"failed\",\"severity\":\"permanent\",\"reason\":\"generic\",\"recipient\":\"b@x.test\",\"delivery-status\":{\"code\":605,\"message\":\"550 5.1.1 no such user\"}}\n",
            vec![format!("left out: {SOFT}"), row("b@x.test * generic `550 5.1.1 no such user`")],
        ),
        (
            "email,unsubscribed\na@x.test,Nein\nb@x.test,\nc@x.test,2026-10-01\nd@x.test,vielleicht\n",
            vec![
                row(SUBSCRIBER),
                row(SUBSCRIBER),
                row("c@x.test * unsubscribe `imported`"),
                row(
                    "refused: the flag is neither yes nor no: write true or false, or take the column out: vielleicht",
                ),
            ],
        ),
        (
            "event,email,date\ndelivered,a@x.test,2026-10-01\nopen,b@x.test,\nbounce,c@x.test,\nwhatever,d@x.test,\n",
            vec![
                row("left out: no failure of an address"),
                row("left out: no failure of an address"),
                row("c@x.test * provider-suppressed `imported`"),
                no_status("whatever"),
            ],
        ),
        (
            "email,reason\na@x.test,Quota exceeded\nb@x.test,Connection timed out\nc@x.test,out of office\nd@x.test,MailboxFull\n",
            vec![
                format!("left out: {SOFT}"),
                format!("left out: {SOFT}"),
                row("left out: no failure of an address"),
                format!("left out: {SOFT}"),
            ],
        ),
        (
            "email,reason,created\na@x.test,COMPLAINT,2026-10-01\nb@x.test,mailbox full,2026-10-01\nc@x.test,550 5.1.1 no such user,2026-10-01\n",
            vec![
                row("a@x.test * complaint `imported` since 2026-10-01T00:00:00Z"),
                format!("left out: {SOFT}"),
                row(
                    "c@x.test * provider-suppressed `550 5.1.1 no such user` since 2026-10-01T00:00:00Z",
                ),
            ],
        ),
        (
            "{\"type\":\"Bounce\",\"recipient\":[\"a@x.test\",\"b@x.test\"],\"response\":{\"code\":550,\"content\":\"no such user\"},\"bounce_classification\":{\"UserDefined\":\"InvalidRecipient\"}}\n{\"type\":\"Delivery\",\"recipient\":\"c@x.test\",\"response\":{\"code\":250,\"content\":\"ok\"}}\n",
            vec![
                row("a@x.test * user-unknown `no such user`"),
                row("b@x.test * user-unknown `no such user`"),
                row("left out: a record of something else than a bounce"),
            ],
        ),
        (
            "email,subscribed\na@x.test,yes\nb@x.test,no\n",
            vec![row(SUBSCRIBER), row("b@x.test * - `imported`")],
        ),
        // A title above the names, and names that nobody knows.
        (
            "Export of today\nemail,reason\na@x.test,spam\n",
            vec![
                row(
                    "refused: no @ in it: write an address such as user@example.com: Export of today",
                ),
                row("a@x.test * complaint `imported`"),
            ],
        ),
        (
            "Kontakt;Grund\na@x.test;spam\n",
            vec![row(
                "refused: no column is called email or address: the columns here are Kontakt, Grund; \
             name the one of the addresses `address`",
            )],
        ),
        (
            "{\"kontakt\":\"a@x.test\"}\n",
            vec![row(
                "refused: no field is called email or address: the fields here are kontakt; name the \
             one of the addresses `address`",
            )],
        ),
        (
            "email,created\na@x.test,1/2/2026\n",
            vec![
                row("a@x.test * unsubscribe `imported`"),
                row("noted: taken without its date, which cannot be read: write 2026-11-22 or \
                 2026-11-22T10:00:00Z"),
            ],
        ),
        ("address,until\na@x.test,never\n", vec![row("a@x.test * - `imported`")]),
    ] {
        assert_eq!(read(text), entries, "{text}");
    }
}

/// Name, file, and what it is read as.
const FILES: &[(&str, &str, &[&str])] = &[
    (
        "SES suppression list (JSON)",
        r#"{"SuppressedDestinationSummaries": [
            {"EmailAddress": "a@x.test", "Reason": "BOUNCE", "LastUpdateTime": "2023-11-14T22:13:20.000Z"},
            {"EmailAddress": "b@x.test", "Reason": "COMPLAINT", "LastUpdateTime": 1700000000.0}],
            "NextToken": "x"}"#,
        &[
            "a@x.test * provider-suppressed `imported` since 2023-11-14T22:13:20Z",
            "b@x.test * complaint `imported` since 2023-11-14T22:13:20Z",
        ],
    ),
    (
        "SES suppression list (CSV, separated by `,`)",
        "Email address,Reason,Last update time\na@x.test,BOUNCE,2023-11-14T22:13:20Z\n",
        &["a@x.test * provider-suppressed `imported` since 2023-11-14T22:13:20Z"],
    ),
    (
        "addresses with a reason, as SES imports them (without a header)",
        "a@x.test,COMPLAINT\nb@x.test,BOUNCE\n",
        &["a@x.test * complaint `imported`", "b@x.test * provider-suppressed `imported`"],
    ),
    (
        "columns by their names (JSON)",
        "{\"emailAddress\":\"a@x.test\",\"reason\":\"COMPLAINT\"}\n",
        &["a@x.test * complaint `imported`"],
    ),
    (
        "SendGrid bounces or blocks (JSON)",
        r#"[{"created":1700000000,"email":"a@x.test","reason":"550 5.1.1 No such user","status":"5.1.1"},
            {"created":1700000000,"email":"b@x.test","reason":"452 full","status":"4.2.2"},
            {"created":1700000000,"email":"c@x.test","reason":"550 blocked","status":"5.7.1"}]"#,
        &[
            "a@x.test * provider-suppressed `550 5.1.1 No such user` since 2023-11-14T22:13:20Z",
            "left out: a soft bounce: not imported; --all (all=true) takes it",
            "left out: the sender was refused, not the address: not imported; --all (all=true) takes it",
        ],
    ),
    (
        "SendGrid bounces or blocks (CSV, separated by `,`)",
        "status,reason,email,created\n5.1.1,\"550 no, such\",a@x.test,1700000000\n",
        &["a@x.test * provider-suppressed `550 no, such` since 2023-11-14T22:13:20Z"],
    ),
    (
        "addresses with reason and date, such as SendGrid's invalid ones (CSV, separated by `,`)",
        "email,reason,created\na@x.test,Mail domain mentioned in email address is unknown,1700000000\n",
        &[
            "a@x.test * provider-suppressed `Mail domain mentioned in email address is unknown` since 2023-11-14T22:13:20Z",
        ],
    ),
    (
        "SendGrid spam reports (JSON)",
        r#"[{"created":1700000000,"email":"a@x.test","ip":"192.0.2.1"}]"#,
        &["a@x.test * complaint `imported` since 2023-11-14T22:13:20Z"],
    ),
    (
        "SendGrid unsubscribes (CSV, separated by `,`)",
        "email,created\na@x.test,1700000000\n",
        &["a@x.test * unsubscribe `imported` since 2023-11-14T22:13:20Z"],
    ),
    (
        "Mailgun bounces (JSON)",
        r#"{"items":[{"address":"a@x.test","code":"550","error":"No such mailbox","created_at":"Tue, 14 Nov 2023 22:13:20 UTC"},
            {"address":"b@x.test","code":"450","error":"later","created_at":"Tue, 14 Nov 2023 22:13:20 UTC"}],
            "paging":{"first":"https://x.test/?a=[1]"}}"#,
        &[
            "a@x.test * provider-suppressed `No such mailbox` since 2023-11-14T22:13:20Z",
            "left out: a soft bounce: not imported; --all (all=true) takes it",
        ],
    ),
    (
        "Mailgun unsubscribes (JSON)",
        r#"{"items":[{"address":"a@x.test","tags":["*"],"created_at":"Tue, 14 Nov 2023 22:13:20 UTC"},
            {"address":"b@x.test","tags":["news","bills"],"created_at":"Tue, 14 Nov 2023 22:13:20 UTC"}]}"#,
        &[
            "a@x.test * unsubscribe `imported` since 2023-11-14T22:13:20Z",
            "b@x.test news unsubscribe `imported` since 2023-11-14T22:13:20Z",
            "b@x.test bills unsubscribe `imported` since 2023-11-14T22:13:20Z",
        ],
    ),
    (
        "Mailgun complaints (CSV, separated by `,`)",
        "address,created_at\na@x.test,2023-11-14T22:13:20Z\n",
        &["a@x.test * complaint `imported` since 2023-11-14T22:13:20Z"],
    ),
    (
        "Mailgun allowlist (JSON)",
        r#"{"items":[{"type":"address","value":"a@x.test","reason":"a friend","createdAt":"Tue, 14 Nov 2023 22:13:20 UTC"}]}"#,
        &["left out: a list of what is allowed, no suppression"],
    ),
    (
        "Postmark suppressions (JSON)",
        r#"{"Suppressions":[
            {"EmailAddress":"a@x.test","SuppressionReason":"HardBounce","Origin":"Recipient","CreatedAt":"2023-11-14T22:13:20-00:00"},
            {"EmailAddress":"b@x.test","SuppressionReason":"SpamComplaint","Origin":"Recipient","CreatedAt":"2023-11-14T22:13:20+00:00"},
            {"EmailAddress":"c@x.test","SuppressionReason":"ManualSuppression","Origin":"Recipient","CreatedAt":"2023-11-14T22:13:20+00:00"},
            {"EmailAddress":"d@x.test","SuppressionReason":"ManualSuppression","Origin":"Customer","CreatedAt":"2023-11-14T22:13:20+00:00"}]}"#,
        &[
            "a@x.test * provider-suppressed `imported` since 2023-11-14T22:13:20Z",
            "b@x.test * complaint `imported` since 2023-11-14T22:13:20Z",
            "c@x.test * unsubscribe `imported` since 2023-11-14T22:13:20Z",
            "d@x.test * by-hand `imported` since 2023-11-14T22:13:20Z",
        ],
    ),
    (
        "Postmark bounces (JSON)",
        r#"{"TotalCount":2,"Bounces":[
            {"ID":1,"Type":"HardBounce","TypeCode":1,"Details":"smtp;550 5.1.1 unknown","Email":"a@x.test","BouncedAt":"2023-11-14T22:13:20Z","Inactive":true},
            {"ID":2,"Type":"Transient","TypeCode":2,"Details":"later","Email":"b@x.test","BouncedAt":"2023-11-14T22:13:20Z"},
            {"ID":3,"Type":"AutoResponder","TypeCode":32,"Details":"away","Email":"c@x.test","BouncedAt":"2023-11-14T22:13:20Z"}]}"#,
        &[
            "a@x.test * provider-suppressed `smtp;550 5.1.1 unknown` since 2023-11-14T22:13:20Z",
            "left out: a soft bounce: not imported; --all (all=true) takes it",
            "left out: no failure of an address",
        ],
    ),
    (
        "SparkPost suppression list (JSON)",
        r#"{"results":[
            {"recipient":"a@x.test","type":"non_transactional","source":"Spam Complaint","description":"fbl","non_transactional":true,"created":"2023-11-14T22:13:20+00:00","updated":"2023-11-15T22:13:20+00:00"},
            {"recipient":"b@x.test","type":"transactional","source":"Bounce Rule","description":"550 no","transactional":true,"created":"2023-11-14T22:13:20+00:00","updated":"2023-11-14T22:13:20+00:00"},
            {"recipient":"c@x.test","type":"transactional","source":"Manually Added","description":null,"transactional":true,"created":"2023-11-14T22:13:20+00:00","updated":null}],
            "links":[],"total_count":3}"#,
        &[
            "a@x.test * complaint `fbl` since 2023-11-14T22:13:20Z",
            "b@x.test * provider-suppressed `550 no` since 2023-11-14T22:13:20Z",
            "c@x.test * by-hand `imported` since 2023-11-14T22:13:20Z",
        ],
    ),
    (
        "SparkPost suppression list (CSV, separated by `,`)",
        "recipient,transactional,non_transactional,description\na@x.test,true,true,gone\n\
         b@x.test,false,false,\nc@x.test,true,false,\nd@x.test,false,true,\n",
        &[
            "a@x.test * provider-suppressed `gone`",
            "left out: suppressed for no kind of mail there",
            "c@x.test * provider-suppressed `imported`",
            "d@x.test * provider-suppressed `imported`",
        ],
    ),
    (
        "SES suppression list (CSV, separated by `,`)",
        "Email address,Suppression reason,Date added\na@x.test,COMPLAINT,2023-11-14 22:13\n",
        &["a@x.test * complaint `imported` since 2023-11-14T22:13:00Z"],
    ),
    (
        "SendGrid group unsubscribes (JSON)",
        r#"[{"email":"a@x.test","group_id":7,"group_name":"Weekly News","created_at":1700000000}]"#,
        &["a@x.test 7 unsubscribe `imported` since 2023-11-14T22:13:20Z"],
    ),
    (
        "Mailchimp unsubscribed contacts (CSV, separated by `,`)",
        "Email Address,First Name,OPTIN_TIME,LAST_CHANGED,UNSUB_TIME,UNSUB_REASON\n\
         a@x.test,Ann,2020-01-01 00:00:00,2023-11-14 22:13:20,2023-11-14 22:13:20,NORMAL\n",
        &["a@x.test * unsubscribe `NORMAL` since 2023-11-14T22:13:20Z"],
    ),
    (
        "Mailchimp cleaned contacts (CSV, separated by `,`)",
        "Email Address,First Name,OPTIN_TIME,LAST_CHANGED,CLEAN_TIME\n\
         a@x.test,Ann,2020-01-01 00:00:00,2023-11-14 22:13:20,2023-11-14 22:13:20\n",
        &["a@x.test * provider-suppressed `imported` since 2023-11-14T22:13:20Z"],
    ),
    (
        "Mailchimp subscribed contacts (CSV, separated by `,`)",
        "Email Address,First Name,OPTIN_TIME,LAST_CHANGED\n\
         a@x.test,Ann,2020-01-01 00:00:00,2023-11-14 22:13:20\n",
        &["left out: a subscriber, no suppression"],
    ),
    (
        "Mailchimp members (JSON)",
        r#"{"members":[{"email_address":"a@x.test","status":"cleaned","last_changed":"2023-11-14T22:13:20+00:00","stats":{"avg":1}},
            {"email_address":"b@x.test","status":"subscribed","last_changed":"2023-11-14T22:13:20+00:00","stats":{"avg":1}}]}"#,
        &[
            "a@x.test * provider-suppressed `imported` since 2023-11-14T22:13:20Z",
            "left out: a subscriber, no suppression",
        ],
    ),
    (
        "Mandrill rejects (JSON)",
        r#"[{"email":"a@x.test","reason":"hard-bounce","detail":"550 unknown user","created_at":"2023-11-14 22:13:20","last_event_at":"2023-11-14 22:13:20","expires_at":"2099-01-01 00:00:00","expired":false,"subaccount":null},
            {"email":"b@x.test","reason":"unsub","detail":null,"created_at":"2023-11-14 22:13:20","last_event_at":null,"expires_at":null,"expired":false,"subaccount":null},
            {"email":"c@x.test","reason":"soft-bounce","detail":"full","created_at":"2023-11-14 22:13:20","last_event_at":null,"expires_at":"2023-11-15 00:00:00","expired":true,"subaccount":null}]"#,
        &[
            "a@x.test * provider-suppressed `550 unknown user` since 2023-11-14T22:13:20Z until 2099-01-01T00:00:00Z",
            "b@x.test * unsubscribe `imported` since 2023-11-14T22:13:20Z",
            "left out: over already there",
        ],
    ),
    (
        "Brevo blocked contacts (JSON)",
        r#"{"count":2,"contacts":[
            {"email":"a@x.test","senderEmail":"n@y.test","reason":{"code":"hardBounce","message":"550 gone"},"blockedAt":"2023-11-14T22:13:20.000+00:00"},
            {"email":"b@x.test","senderEmail":"n@y.test","reason":{"code":"unsubscribedViaEmail","message":"Unsubscribed via Email"},"blockedAt":"2023-11-14T22:13:20Z"}]}"#,
        &[
            "a@x.test * provider-suppressed `550 gone` since 2023-11-14T22:13:20Z",
            "b@x.test * unsubscribe `Unsubscribed via Email` since 2023-11-14T22:13:20Z",
        ],
    ),
    (
        "Mailjet contacts (JSON)",
        r#"{"Count":3,"Data":[
            {"Email":"a@x.test","IsExcludedFromCampaigns":true,"IsSpamComplaining":false,"LastUpdateAt":"2023-11-14T22:13:20Z"},
            {"Email":"b@x.test","IsExcludedFromCampaigns":true,"IsSpamComplaining":true,"LastUpdateAt":"2023-11-14T22:13:20Z"},
            {"Email":"c@x.test","IsExcludedFromCampaigns":false,"IsSpamComplaining":false,"LastUpdateAt":""}],"Total":3}"#,
        &[
            "a@x.test * unsubscribe `imported` since 2023-11-14T22:13:20Z",
            "b@x.test * complaint `imported` since 2023-11-14T22:13:20Z",
            "left out: a subscriber, no suppression",
        ],
    ),
    (
        "Mailjet events (JSON)",
        r#"[{"event":"bounce","time":1700000000,"MessageID":1,"email":"a@x.test","blocked":false,"hard_bounce":true,"error_related_to":"recipient","error":"user unknown"},
            {"event":"bounce","time":1700000000,"MessageID":1,"email":"b@x.test","blocked":false,"hard_bounce":false,"error_related_to":"mailbox","error":"quota"},
            {"event":"spam","time":1700000000,"MessageID":1,"email":"c@x.test","source":"JMRPP"}]"#,
        &[
            "a@x.test * provider-suppressed `user unknown` since 2023-11-14T22:13:20Z",
            "left out: a soft bounce: not imported; --all (all=true) takes it",
            "c@x.test * complaint `imported` since 2023-11-14T22:13:20Z",
        ],
    ),
    (
        "listmonk bounces (JSON)",
        r#"{"data":{"results":[
            {"id":1,"type":"hard","source":"api","meta":{"a":1},"created_at":"2023-11-14T22:13:20.5+00:00","email":"a@x.test","subscriber_uuid":"u","campaign":{"id":1}},
            {"id":2,"type":"soft","source":"api","meta":{},"created_at":"2023-11-14T22:13:20+00:00","email":"b@x.test","subscriber_uuid":"u","campaign":null},
            {"id":3,"type":"complaint","source":"ses","meta":{},"created_at":"2023-11-14T22:13:20+00:00","email":"c@x.test","subscriber_uuid":"u","campaign":null}],
            "total":3}}"#,
        &[
            "a@x.test * provider-suppressed `imported` since 2023-11-14T22:13:20.500Z",
            "left out: a soft bounce: not imported; --all (all=true) takes it",
            "c@x.test * complaint `imported` since 2023-11-14T22:13:20Z",
        ],
    ),
    (
        "listmonk subscribers (CSV, separated by `,`)",
        "uuid,email,name,attributes,status,created_at,updated_at\n\
         u1,a@x.test,Ann,\"{\"\"city\"\":\"\"x\"\"}\",blocklisted,2020-01-01T00:00:00Z,2023-11-14T22:13:20Z\n\
         u2,b@x.test,Bob,{},enabled,2020-01-01T00:00:00Z,2023-11-14T22:13:20Z\n",
        &[
            "a@x.test * by-hand `imported` since 2023-11-14T22:13:20Z",
            "left out: a subscriber, no suppression",
        ],
    ),
    (
        "Sisimai (JSON)",
        r#"[{"recipient":"a@x.test","reason":"userunknown","diagnosticcode":"550 5.1.1 no","deliverystatus":"5.1.1","softbounce":0,"timestamp":1700000000},
            {"recipient":"b@x.test","reason":"mailboxfull","diagnosticcode":"452","deliverystatus":"4.2.2","softbounce":1,"timestamp":1700000000},
            {"recipient":"c@x.test","reason":"feedback","diagnosticcode":"","feedbacktype":"abuse","deliverystatus":"","softbounce":-1,"timestamp":1700000000}]"#,
        &[
            "a@x.test * user-unknown `550 5.1.1 no` since 2023-11-14T22:13:20Z",
            "left out: a soft bounce: not imported; --all (all=true) takes it",
            "c@x.test * complaint `imported` since 2023-11-14T22:13:20Z",
        ],
    ),
    (
        "Sisimai (JSON)",
        "{\"recipient\":\"a@x.test\",\"reason\":\"suspend\",\"diagnosticcode\":\"550\",\"hardbounce\":true,\"timestamp\":1700000000}\n\
         {\"recipient\":\"b@x.test\",\"reason\":\"emailtoolarge\",\"diagnosticcode\":\"552\",\"hardbounce\":false,\"timestamp\":1700000000}\n\
         {\"recipient\":\"c@x.test\",\"reason\":\"vacation\",\"diagnosticcode\":\"\",\"hardbounce\":false,\"timestamp\":1700000000}\n",
        &[
            "a@x.test * mailbox-inactive `550` since 2023-11-14T22:13:20Z",
            "left out: a soft bounce: not imported; --all (all=true) takes it",
            "left out: no failure of an address",
        ],
    ),
    (
        "PowerMTA accounting file (CSV, separated by `,`)",
        "type,timeLogged,timeQueued,orig,rcpt,orcpt,dsnAction,dsnStatus,dsnDiag,dsnMta,bounceCat,vmta\n\
         b,2023-11-14 22:13:20+0000,2023-11-14 22:13:19+0000,n@us.test,a@x.test,,failed,5.1.1 (bad destination mailbox address),\"smtp;550 5.1.1 no such user\",mx.x.test (192.0.2.1),bad-mailbox,v1\n\
         b,2023-11-14 22:13:20+0000,2023-11-14 22:13:19+0000,n@us.test,b@x.test,,failed,5.7.1,\"smtp;554 5.7.1 spam\",mx.x.test (192.0.2.1),spam-related,v1\n\
         b,2023-11-14 22:13:20+0000,2023-11-14 22:13:19+0000,n@us.test,c@x.test,,failed,4.2.2,\"smtp;452 full\",mx.x.test (192.0.2.1),quota-issues,v1\n\
         d,2023-11-14 22:13:20+0000,2023-11-14 22:13:19+0000,n@us.test,d@x.test,,relayed,2.0.0,\"smtp;250 ok\",mx.x.test (192.0.2.1),,v1\n",
        &[
            "a@x.test * user-unknown `smtp;550 5.1.1 no such user` since 2023-11-14T22:13:20Z",
            "left out: the sender was refused, not the address: not imported; --all (all=true) takes it",
            "left out: a soft bounce: not imported; --all (all=true) takes it",
            "left out: a record of something else than a bounce",
        ],
    ),
    (
        "KumoMTA log (JSON)",
        "{\"type\":\"Bounce\",\"id\":\"1\",\"sender\":\"n@us.test\",\"recipient\":\"a@x.test\",\"response\":{\"code\":550,\"enhanced_code\":{\"class\":5,\"subject\":1,\"detail\":1},\"content\":\"no such user\"},\"timestamp\":1700000000,\"bounce_classification\":\"InvalidRecipient\"}\n\
         {\"type\":\"TransientFailure\",\"id\":\"2\",\"sender\":\"n@us.test\",\"recipient\":\"b@x.test\",\"response\":{\"code\":450,\"content\":\"later\"},\"timestamp\":1700000000,\"bounce_classification\":\"InvalidRecipient\"}\n\
         {\"type\":\"Bounce\",\"id\":\"3\",\"sender\":\"n@us.test\",\"recipient\":\"c@x.test\",\"response\":{\"code\":550,\"content\":\"x\"},\"timestamp\":1700000000,\"bounce_classification\":\"Uncategorized\"}\n",
        &[
            "a@x.test * user-unknown `no such user` since 2023-11-14T22:13:20Z",
            "left out: a record of something else than a bounce",
            "left out: a soft bounce: not imported; --all (all=true) takes it",
        ],
    ),
    (
        "Postal suppressions (CSV, separated by `,`)",
        "id,type,address,reason,timestamp,keep_until\n\
         1,recipient,a@x.test,too many hard fails,1700000000.5,4100000000.0\n\
         2,recipient,b@x.test,too many soft fails,1700000000.5,4100000000.0\n",
        &[
            "a@x.test * provider-suppressed `imported` since 2023-11-14T22:13:20.500Z until 2099-12-03T16:53:20Z",
            "left out: a soft bounce: not imported; --all (all=true) takes it",
        ],
    ),
];

#[test]
fn the_files_of_others_are_recognised() {
    for (name, text, entries) in FILES {
        for size in [1 << 16, 11, 1] {
            let found = read_with(text.as_bytes(), size, false).expect("a list");
            assert_eq!(found.0, *name, "{text}");
            assert_eq!(found.1, *entries, "{name}");
        }
    }
    let listed: Vec<&str> = FILES.iter().map(|(name, _, _)| *name).collect();
    for format in formats::FORMATS {
        assert!(listed.iter().any(|name| name.starts_with(format.name)), "{}", format.name);
    }
}

#[test]
fn lines_are_counted_also_when_the_last_does_not_end() {
    for (text, lines) in
        [("", 0), ("a@x.test", 1), ("a@x.test\n\nb@x.test\n", 3), ("[{\"email\":\"a@x.test\"}]", 1)]
    {
        for size in [1, 1 << 16] {
            let mut reader = ImportReader::new(wishes(false));
            for piece in text.as_bytes().chunks(size) {
                reader.feed(piece).expect("a list");
                while reader.next().is_some() {}
            }
            reader.end().expect("a list");
            while reader.next().is_some() {}
            assert_eq!(reader.lines(), lines, "{text}");
        }
    }
}

#[test]
fn what_was_left_out_is_taken_when_asked_for() {
    let soft = "[{\"created\":1700000000,\"email\":\"b@x.test\",\"reason\":\"452 full\",\"status\":\"4.2.2\"}]";
    let found = read_with(soft.as_bytes(), 100, true).expect("a list").1;
    assert_eq!(found, ["b@x.test * provider-suppressed `452 full` since 2023-11-14T22:13:20Z"]);
    let sisimai = "{\"recipient\":\"b@x.test\",\"reason\":\"mailboxfull\",\"diagnosticcode\":\"\",\
                   \"softbounce\":1,\"timestamp\":1700000000}";
    let found = read_with(sisimai.as_bytes(), 100, true).expect("a list").1;
    assert_eq!(found, ["b@x.test * mailbox-full `imported` since 2023-11-14T22:13:20Z"]);
    // Subscribers never are.
    let subscribers = FILES.iter().find(|(name, _, _)| name.starts_with("Mailchimp subscribed"));
    let (_, text, entries) = subscribers.expect("in the table");
    assert_eq!(read_with(text.as_bytes(), 100, true).expect("a list").1, *entries);
}

#[test]
fn a_formula_of_an_export_comes_back() {
    use crate::service::lines::ListFormat;
    use serde_json::json;
    for payload in [
        "=1+1@x.test",
        "+1@x.test",
        "-1@x.test",
        "@sum(1)@x.test",
        "=cmd|' /C calc'!A0@x.test",
        "=HYPERLINK(\"http://evil.test\")@x.test",
        "＝1@x.test",
        "'plain@x.test",
        "\"quoted, twice\"@x.test",
        "plain@x.test",
    ] {
        let mut out = ListFormat::Csv.header();
        ListFormat::Csv.push(&json!({"address": payload, "reason": payload}), &mut out);
        let row = out.lines().nth(1).expect("a row");
        let row = cells::of_row(row, ',').expect("closed");
        for cell in row.iter().filter(|cell| !cell.is_empty()) {
            assert!(!cell.starts_with(crate::service::lines::FORMULA), "{payload}: {cell}");
        }
        let words = crate::report::bounded_words(payload);
        assert_eq!(read(&out), [format!("{payload} * - `{words}`")]);
    }
}

#[test]
fn what_is_no_list_is_refused_as_a_whole() {
    for (text, words) in [
        (&b"%PDF-1.7\n"[..], "a PDF"),
        (b"Return-Path: <>\nFrom: MAILER-DAEMON\n\na@x.test\n", "bounced ingest"),
        (b"e\0m\0a\0i\0l\0", "UTF-8"),
    ] {
        for size in [1, 1000] {
            let said = read_with(text, size, false).expect_err("no list");
            assert!(said.starts_with("this is no list") && said.contains(words), "{said}");
        }
    }
}

#[test]
fn any_octets_are_survived_and_pieces_change_nothing() {
    use proptest::prelude::*;
    proptest!(|(
        line in "[\",;a@{}\\[\\]'=:\\n \\\\]{0,60}",
        junk in prop::collection::vec(any::<u8>(), 0..40),
        size in 1usize..9,
    )| {
        for text in [line.as_bytes(), &junk] {
            prop_assert_eq!(read_with(text, size, false), read_with(text, 1 << 16, false));
        }
    });
}
