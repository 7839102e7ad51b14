//! Who is never the failed recipient: we, whoever writes notices, and postmasters.
//!
//! A forged report about our own bounce address, or about the daemon that every notice comes from,
//! must stop nobody. The exception is a signed token: that is who we mailed, postmaster or not.

use super::sender;
use super::types::{Kind, Report};
use crate::mail::Address;
use crate::message::Message;

/// Local parts that mean a mail system rather than a person.
const SYSTEMS: [&str; 8] = [
    "mailer-daemon",
    "mailerdaemon",
    "mail-daemon",
    "maildaemon",
    "postmaster",
    "double-bounce",
    "null",
    "devnull",
];

/// Takes out of a report who is one of us: domains that `ours` says are, the systems above, and the
/// mail system that sent the message. `mailed` is who a signed token names. A report that names no
/// one else decides nothing.
pub fn leave_out(
    report: &mut Report,
    message: &Message<'_>,
    ours: impl Fn(&str) -> bool,
    mailed: Option<&Address>,
) {
    if !matches!(report.kind, Kind::Failure | Kind::Delay | Kind::Success) {
        return;
    }
    let mailed = mailed.map(Address::key);
    let from = message.headers().text("from").unwrap_or_default();
    // A person's own filter reports from his address (RFC 5429).
    let wrote = |address: &Address| {
        from.contains(address.as_str()) && sender::is_system(&from.to_lowercase())
    };
    let one_of_us = |address: &Address| {
        let local = address.plain_local();
        let system = SYSTEMS.contains(&local.as_str());
        mailed.as_ref().is_none_or(|mailed| *mailed != address.key())
            && (system || wrote(address) || ours(address.domain()))
    };
    let named: Vec<&Address> =
        report.recipients.iter().filter_map(|r| r.address.as_ref()).collect();
    let left_out = named.iter().filter(|a| one_of_us(a)).count();
    if left_out == 0 {
        return;
    }
    if left_out == named.len() {
        // The address stays in the record, for people.
        return report.hand_on("it names only a mail system or ourselves");
    }
    for recipient in &mut report.recipients {
        if let Some(address) = recipient.address.take_if(|a| one_of_us(a)) {
            report.clues.push(format!("{address} is a mail system or ours, and left out"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Recipient;

    #[test]
    fn we_are_never_meant() {
        let address = |a: &str| Address::parse(a).expect("an address");
        for (named, mailed, kept, forwarded) in [
            (vec!["a@x.example"], None, vec!["a@x.example"], false),
            (vec!["a@x.example", "bounces+q@our.example"], None, vec!["a@x.example"], false),
            (vec!["q@our.example"], None, vec!["q@our.example"], true),
            (vec!["q@our.example"], Some("q@our.example"), vec!["q@our.example"], false),
            (vec!["MAILER-DAEMON@x.example"], None, vec!["MAILER-DAEMON@x.example"], true),
            (
                vec!["postmaster@x.example"],
                Some("postmaster@x.example"),
                vec!["postmaster@x.example"],
                false,
            ),
            (vec!["root@mx.example", "a@x.example"], None, vec!["a@x.example"], false),
        ] {
            let mut report = Report::new(Kind::Failure, "test");
            report.recipients.extend(
                named
                    .iter()
                    .map(|a| Recipient { address: Some(address(a)), ..Recipient::default() }),
            );
            let mailed = mailed.map(address);
            let ours = |domain: &str| domain == "our.example";
            let message = Message::parse(b"From: Mail System <root@mx.example>\n\n");
            leave_out(&mut report, &message, ours, mailed.as_ref());
            let left: Vec<&str> = report
                .recipients
                .iter()
                .filter_map(|r| r.address.as_ref())
                .map(Address::as_str)
                .collect();
            assert_eq!((left, report.forwarded), (kept, forwarded), "{named:?}");
        }
    }
}
