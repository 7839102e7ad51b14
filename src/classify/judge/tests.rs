//! Tables for `judge.rs`.

use super::*;
use crate::classify::Reason as R;
use crate::report::StatusSource;

fn status(text: &str) -> Option<EnhancedStatus> {
    EnhancedStatus::parse(text)
}

fn judged(refusal: &Refusal<'_>) -> Verdict {
    RuleSet::shipped().judge(refusal)
}

/// Notices that real Postfix and Exim wrote.
#[test]
fn notices_of_real_mail_servers() {
    for (field, diagnostic, remarks, reason, code, source) in [
        (
            "5.1.1",
            "host mx.hard.test[127.0.0.1] said: 550 5.1.1 <unknown@hard.test>: Recipient address rejected: User unknown in local recipient table (in reply to RCPT TO command)",
            "",
            R::UserUnknown,
            "5.1.1",
            "field",
        ),
        (
            "5.2.2",
            "host mx.full.test said: 552 5.2.2 <full@full.test>: Quota exceeded (mailbox for user is full)",
            "",
            R::MailboxFull,
            "5.2.2",
            "field",
        ),
        (
            "4.2.2",
            "host mx.soft.test said: 452 4.2.2 The email account that you tried to reach is over quota",
            "",
            R::MailboxFull,
            "4.2.2",
            "field",
        ),
        (
            "5.7.1",
            "554 5.7.1 Message blocked due to spam content",
            "",
            R::SpamContent,
            "5.7.1",
            "field",
        ),
        (
            "5.7.26",
            "550 5.7.26 Unauthenticated email from example.test is not accepted due to domain's DMARC policy",
            "",
            R::AuthFailure,
            "5.7.26",
            "field",
        ),
        (
            "4.7.1",
            "host mx.grey.test said: 451 4.7.1 Greylisting in action, please come back later",
            "",
            R::Greylisted,
            "4.7.1",
            "field",
        ),
        (
            "5.0.0",
            "host mx.noesc.test said: 550 No such user here (in reply to RCPT TO command)",
            "",
            R::UserUnknown,
            "5.0.0",
            "field",
        ),
        (
            "4.4.1",
            "connect to dead.test[127.0.0.1]:2899: Connection refused",
            "",
            R::NetworkError,
            "4.4.1",
            "field",
        ),
        ("5.1.2", "bad destination system", "", R::DomainUnknown, "5.1.2", "field"),
        // Exim always writes 5.0.0 or 4.0.0.
        (
            "5.0.0",
            "550 5.1.1 <unknown@hard.test>... User unknown",
            "",
            R::UserUnknown,
            "5.1.1",
            "text",
        ),
        (
            "5.0.0",
            "452 4.2.2 Mailbox full: retry timeout exceeded",
            "",
            R::MailboxFull,
            "4.2.2",
            "text",
        ),
        ("5.0.0", "", "y@none.test: no such domain here", R::DomainUnknown, "5.0.0", "field"),
        (
            "5.0.0",
            "",
            "x@dead.test host dead.test [127.0.0.1] Connection refused: retry timeout exceeded",
            R::NetworkError,
            "5.0.0",
            "field",
        ),
        // Codes from the wording alone.
        ("", "sorry, no mailbox here by that name", "", R::UserUnknown, "5.1.1", "derived"),
        ("", "450 mailbox is full", "", R::MailboxFull, "4.2.2", "derived"),
    ] {
        let verdict = judged(&Refusal {
            status_field: status(field),
            diagnostic,
            remarks,
            ..Refusal::default()
        });
        assert_eq!(verdict.reason, Some(reason), "{diagnostic}{remarks} by {}", verdict.rule);
        assert_eq!(verdict.status, status(code), "{diagnostic}{remarks}");
        assert_eq!(verdict.status_source.map(StatusSource::as_str), Some(source), "{diagnostic}");
    }
}

/// docs/taxonomy.md, "How a reason is found": providers misuse codes, and words win.
#[test]
fn words_before_codes() {
    for (diagnostic, reason) in [
        ("550 5.4.1 Recipient address rejected: Access denied", R::UserUnknown),
        (
            "550 5.1.1 <user@example.com> 192.0.2.4 has sent to too many recipients this hour",
            R::RateLimited,
        ),
        (
            "554 5.7.1 Service unavailable; Client host [192.0.2.4] blocked using bl.example.net",
            R::Reputation,
        ),
        // Never hard: refusals that also name mailbox words.
        ("550 5.1.1 Message blocked as spam, user unknown", R::SpamContent),
        ("550 5.7.1", R::Policy),
        ("550 5.2.2", R::MailboxFull),
        ("550 5.7.13", R::MailboxInactive),
        ("450 5.1.1", R::Generic),
        ("450 4.1.1", R::Generic),
        ("550", R::Generic),
        ("", R::Generic),
        // Words that no rule knows, and codes that say nothing.
        ("550 colourless green ideas sleep furiously", R::Undetermined),
        ("colourless green ideas", R::Undetermined),
        ("553 colourless green ideas", R::Undetermined),
        // A code that says something is enough beside them.
        ("550 5.1.1 colourless green ideas", R::UserUnknown),
        ("452 4.2.2 colourless green ideas: retry timeout exceeded", R::MailboxFull),
    ] {
        let verdict = judged(&Refusal { diagnostic, ..Refusal::default() });
        assert_eq!(verdict.reason, Some(reason), "{diagnostic} by {}", verdict.rule);
    }
}

#[test]
fn a_recipient_that_did_not_fail_has_no_reason() {
    for action in [Action::Delivered, Action::Relayed, Action::Expanded] {
        let refusal = Refusal {
            action: Some(action),
            status_field: status("2.0.0"),
            diagnostic: "250 2.0.0 user unknown ok",
            ..Refusal::default()
        };
        let verdict = judged(&refusal);
        assert_eq!((verdict.reason, verdict.status), (None, status("2.0.0")));
    }
}

#[test]
fn a_verdict_explains_itself() {
    let verdict = judged(&Refusal {
        diagnostic: "smtp; 550-5.1.1 The email account that you\r\n550 5.1.1 tried to reach does not exist.",
        remote_mta: Some("dns; aspmx.l.google.com"),
        ..Refusal::default()
    });
    assert_eq!(verdict.provider, Some("google"));
    assert_eq!(verdict.reply_code.map(ReplyCode::value), Some(550));
    assert!(verdict.rule_at.contains(".toml:"), "{}", verdict.rule_at);
    assert!(verdict.matched.contains("does not exist"), "{}", verdict.matched);
}

#[test]
fn operator_rules_come_first_and_change_the_digest() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rule = "[[rule]]\nid='mine'\nwhen={text='user unknown'}\nreason='filtered'\nseen=['x user unknown']\n";
    std::fs::write(dir.path().join("10-mine.toml"), rule).expect("a file");
    std::fs::write(dir.path().join("notes.txt"), "no rules").expect("a file");
    let rules = RuleSet::load(Some(dir.path())).expect("the rules load");
    let verdict =
        rules.judge(&Refusal { diagnostic: "550 5.1.1 User unknown", ..Refusal::default() });
    assert_eq!((verdict.rule.as_str(), verdict.reason), ("mine", Some(R::Filtered)));
    assert!(verdict.rule_at.ends_with("10-mine.toml:1"));
    assert_ne!(rules.digest(), RuleSet::shipped().digest());
    assert_eq!(rules.digest().len(), 12);
    let missing = RuleSet::load(Some(&dir.path().join("nowhere"))).expect_err("no directory");
    assert!(missing.to_string().contains("change [rules] dir"), "{missing}");
}

#[test]
fn there_are_enough_rules() {
    let rules = RuleSet::shipped().rules();
    assert!(rules.len() >= 600, "only {} rules", rules.len());
    for rule in rules {
        assert!(!rule.source.is_empty(), "{}: rule {} has no source", rule.at, rule.id);
    }
}

#[test]
fn every_rules_file_is_shipped() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/classify/rules");
    let mut files: Vec<String> = std::fs::read_dir(dir)
        .expect("the rules directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let shipped: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
    assert_eq!(files, shipped);
}

/// Failure texts of real mail with what they mean, outside the repository.
#[test]
fn texts_of_real_mail() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/responses.jsonl");
    let Ok(lines) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not here", path.display());
        return;
    };
    let (mut all, mut reasons, mut categories) = (0, 0, 0);
    for line in lines.lines() {
        let row: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
        let word = |key: &str| row.get(key).and_then(|v| v.as_str()).unwrap_or_default();
        let mut right = same_as(word("reason"));
        if right.is_empty() {
            continue;
        }
        if word("class_alt") == "Invalid Recipient" {
            right.push(R::UserUnknown);
        }
        let verdict = judged(&Refusal { diagnostic: word("text"), ..Refusal::default() });
        let got = verdict.reason.expect("a failure has a reason");
        let category = right.iter().any(|r| r.category() == got.category());
        all += 1;
        reasons += usize::from(right.contains(&got));
        categories += usize::from(category);
        if !right.contains(&got) {
            let mark = if category { "reason" } else { "CATEGORY" };
            println!("{mark}: {got} by {}, not {}: {}", verdict.rule, word("reason"), word("text"));
        }
    }
    println!("{all} texts, {reasons} reasons right, {categories} categories right");
    assert!(all > 300, "only {all} texts");
    // The rest are texts whose label there is not what the words say (NXDOMAIN as a network error).
    assert!(reasons * 100 >= all * 95, "{reasons} of {all} reasons");
    assert!(categories * 100 >= all * 98, "{categories} of {all} categories");
}

/// Our reasons that say what another tool's word says.
fn same_as(word: &str) -> Vec<Reason> {
    match word {
        "userunknown" => vec![R::UserUnknown, R::AddressSyntax],
        "hostunknown" => vec![R::DomainUnknown],
        "hasmoved" => vec![R::AddressMoved],
        "notaccept" => vec![R::DomainNoMail],
        "filtered" => vec![R::Filtered, R::UserUnknown],
        "suspend" => vec![R::MailboxInactive],
        "mailboxfull" => vec![R::MailboxFull],
        "exceedlimit" | "mesgtoobig" => vec![R::MessageTooLarge],
        "expired" => vec![R::Expired, R::NetworkError, R::DnsFailure],
        "networkerror" => vec![R::NetworkError, R::DnsFailure],
        "toomanyconn" | "speeding" | "ratelimited" => vec![R::RateLimited, R::Greylisted],
        "blocked" | "badreputation" => vec![R::Blocked, R::Reputation],
        "requireptr" => vec![R::ReverseDns],
        "rejected" => vec![R::SenderRejected],
        "spamdetected" => vec![R::SpamContent],
        "virusdetected" => vec![R::Virus],
        "contenterror" => vec![R::ContentRejected, R::Attachment],
        "policyviolation" => vec![R::Policy, R::Attachment],
        "securityerror" | "failedstarttls" => vec![R::Security],
        "authfailure" => vec![R::AuthFailure],
        "norelaying" => vec![R::RelayingDenied],
        "systemerror" => vec![R::SystemError],
        "systemfull" => vec![R::SystemFull],
        "mailererror" => vec![R::MailerError],
        "notcompliantrfc" => vec![R::ContentRejected],
        "syntaxerror" => vec![R::ProtocolError],
        "suppressed" => vec![R::ProviderSuppressed],
        _ => Vec::new(),
    }
}

#[test]
fn our_own_refusal_is_told_before_any_rule() {
    let judge = |diagnostic: &str, remarks: &str, field: &str| {
        RuleSet::shipped().judge(&Refusal {
            diagnostic,
            remarks,
            status_field: EnhancedStatus::parse(field),
            ..Refusal::default()
        })
    };
    let ours = "550 5.1.1 recipient suppressed since 2026-11-22: user-unknown";
    let marked = format!("{ours} [bounced:suppressed]");
    for (diagnostic, remarks, field) in [
        (marked.as_str(), "", "5.1.1"),
        ("550 5.1.1 User unknown in virtual mailbox table [BOUNCED:SUPPRESSED]", "", "5.1.1"),
        ("450 4.2.1 recipient held since 2026-11-22: mailbox-full [bounced:held]", "", "4.2.1"),
        // The words are in the human part alone, as Exim has them.
        ("", marked.as_str(), "5.0.0"),
        ("", marked.as_str(), ""),
        ("550 5.1.1", marked.as_str(), "5.1.1"),
    ] {
        let verdict = judge(diagnostic, remarks, field);
        assert_eq!(verdict.reason, Some(Reason::SuppressedHere), "{diagnostic} | {remarks}");
        assert_eq!(verdict.rule, "own/mark");
    }
    // Without the mark the words decide, and so they do beside the mark of another recipient.
    assert_eq!(judge(ours, "", "5.1.1").reason, Some(Reason::ProviderSuppressed));
    let other = judge("550 5.1.1 <b@example.com>: user unknown", &marked, "5.1.1");
    assert_eq!(other.reason, Some(Reason::UserUnknown));
    // In the human part of this recipient alone the mark counts, though the diagnostic was cut.
    for diagnostic in [
        "550 5.1.1 <b@example.com>: user unknown",
        "550 5.1.1 recipient suppressed since 2026-11-22: us",
        "550 Rejected",
    ] {
        let cut = RuleSet::shipped().judge(&Refusal {
            diagnostic,
            remarks: &marked,
            remarks_own: true,
            ..Refusal::default()
        });
        assert_eq!(cut.reason, Some(Reason::SuppressedHere), "{diagnostic}");
    }
    // A recipient that was reached did not fail.
    let delivered =
        Refusal { action: Some(Action::Delivered), diagnostic: &marked, ..Refusal::default() };
    assert_eq!(RuleSet::shipped().judge(&delivered).reason, None);
}
