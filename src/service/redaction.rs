//! What a journal record says after a person was forgotten: the same, at the same place, with the
//! mark of `policy::Forgotten` where the address was.
//!
//! Everything that is text is looked through: addresses, diagnostics, reasons that people gave,
//! decisions. Of a record that is about the person, what may name them in other words goes, too:
//! the subject of the returned mail, the new address of a change notice, and the local part of the
//! return path, which holds the address (VERP) or refers to it (a signed token). A second time
//! changes nothing.

use serde_json::Value;

use crate::event::{Act, Event};
use crate::policy::{Forgotten, HashKeys};

/// Digits of the hash that takes the place of a return path's local part.
const TOKEN_DIGITS: usize = 16;

/// Rewrites records.
#[derive(Debug)]
pub struct Redaction<'a> {
    forgotten: &'a Forgotten,
    keys: &'a HashKeys,
}

impl<'a> Redaction<'a> {
    /// For one address; `keys` hash what must stay apart without being told.
    pub fn new(forgotten: &'a Forgotten, keys: &'a HashKeys) -> Self {
        Self { forgotten, keys }
    }

    /// The record without the address, and the id of its event; None when it does not name it.
    pub fn line(&self, line: &str) -> Option<(Option<String>, String)> {
        // Quotes and backslashes are escaped in JSON, so there the text must be read first.
        if !line.contains('\\') && !self.forgotten.may_be_in(line) {
            return None;
        }
        let Ok(mut event) = serde_json::from_str::<Event>(line) else {
            // Of another version: what can be done is done.
            return Some((None, self.forgotten.blot(line)?));
        };
        let mut changed = false;
        if self.is_about(&event) {
            changed = true;
            self.strip(&mut event);
        }
        let mut value = serde_json::to_value(&event).ok()?;
        changed |= self.blot(&mut value);
        if !changed {
            return None;
        }
        // Again in the order in which records are written.
        let text = match serde_json::from_value::<Event>(value.clone()) {
            Ok(event) => serde_json::to_string(&event).ok()?,
            Err(_) => value.to_string(),
        };
        Some((Some(event.id), text))
    }

    /// Does the record say something of the person, rather than mention them?
    fn is_about(&self, event: &Event) -> bool {
        let is = |address: Option<&str>| address.is_some_and(|a| self.forgotten.is(a));
        let analysis = event.analysis.as_ref();
        let verp =
            analysis.and_then(|a| a.verp.as_ref()).is_some_and(|v| is(v.recipient.as_deref()));
        let recipient = analysis.is_some_and(|a| a.recipients.iter().any(|r| is(r.address())));
        let act = match &event.act {
            Some(
                Act::Suppress { address, .. }
                | Act::Release { address, .. }
                | Act::Erase { address, .. },
            ) => self.forgotten.is(address),
            _ => false,
        };
        let result = event.result.as_ref().is_some_and(|r| self.forgotten.is(&r.address));
        verp || recipient || act || result
    }

    /// Takes out what may name the person in other words.
    fn strip(&self, event: &mut Event) {
        let Some(analysis) = &mut event.analysis else { return };
        analysis.original.subject = None;
        analysis.new_address = None;
        let verp = analysis.verp.as_ref().and_then(|v| v.recipient.as_deref());
        if verp.is_some_and(|address| self.forgotten.is(address))
            && let Some(envelope) = &mut event.envelope
        {
            for to in &mut envelope.to {
                let hash = self.keys.hashes(to).into_iter().next().unwrap_or_default();
                let hash = hash.get(..TOKEN_DIGITS).unwrap_or_default();
                let domain = to.rsplit_once('@').map_or("erased.invalid", |(_, domain)| domain);
                *to = format!("erased-{hash}@{domain}");
            }
        }
    }

    /// Puts the mark into every text of a value; whether it had to.
    fn blot(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => match self.forgotten.blot(text) {
                Some(blotted) => {
                    let changed = *text != blotted;
                    *text = blotted;
                    changed
                }
                None => false,
            },
            Value::Array(values) => values.iter_mut().fold(false, |any, v| self.blot(v) | any),
            Value::Object(fields) => fields.values_mut().fold(false, |any, v| self.blot(v) | any),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Envelope, EventType, Imported};
    use crate::mail::{Case, Timestamp};

    const PERSON: &str = "jane.roe@example.com";

    fn redacted(event: &Event) -> Option<Event> {
        let keys = HashKeys::new([&b"a secret of ours"[..]]);
        let hash = keys.hashes(PERSON).remove(0);
        let forgotten = Forgotten::new(PERSON, &hash, Case::Fold);
        let redaction = Redaction::new(&forgotten, &keys);
        let line = serde_json::to_string(event).expect("plain data");
        let (id, line) = redaction.line(&line)?;
        assert_eq!(id.as_ref(), Some(&event.id));
        assert!(!line.to_lowercase().contains("jane"), "{line}");
        assert_eq!(redaction.line(&line), None, "a second time changes nothing");
        Some(serde_json::from_str(&line).expect("still an event"))
    }

    fn message(to: &str) -> Event {
        let pipeline = crate::analysis::Analyser {
            verp: crate::verp::Verp::new(&crate::config::Config::default().verp, &[])
                .expect("defaults")
                .into(),
            rules: crate::classify::RuleSet::load(None).expect("rules").into(),
            shadow: None,
        };
        let data = "From: MAILER-DAEMON@mx.example.net\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
             --b\r\n\r\nYour message to Jane.Roe@EXAMPLE.com failed\r\n--b\r\n\
             Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n\
             Final-Recipient: rfc822; Jane.Roe@Example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n\
             Diagnostic-Code: smtp; 550 5.1.1 <JANE.ROE@example.com>: unknown\r\n\r\n--b\r\n\
             Content-Type: text/rfc822-headers\r\n\r\nTo: Jane.Roe@example.com\r\n\
             Subject: Dear Jane\r\n\r\n--b--\r\n";
        pipeline.record(crate::analysis::Received {
            data: data.as_bytes(),
            envelope: Envelope { to: vec![to.to_string()], ..Envelope::default() },
            peer: Some("192.0.2.1".to_string()),
            received_at: Timestamp::from_millis(1),
            moment: Timestamp::from_millis(1).into(),
            id: "e1".to_string(),
        })
    }

    #[test]
    fn a_report_keeps_what_it_means_and_not_whom() {
        let event = message("bounces+jane.roe=example.com@bounce.example.net");
        let after = redacted(&event).expect("it names the person");
        let (old, new) = (event.analysis.expect("read"), after.analysis.expect("still read"));
        let meaning = |a: &crate::event::Analysis| {
            a.recipients
                .iter()
                .map(|r| (r.reason, r.rule.clone(), r.recipient.status))
                .collect::<Vec<_>>()
        };
        assert_eq!(meaning(&old), meaning(&new));
        let mark = new.recipients[0].address().expect("a mark").to_string();
        assert!(mark.starts_with("erased-") && mark.ends_with("@example.com"), "{mark}");
        assert_eq!(new.verp.expect("still VERP").recipient.as_ref(), Some(&mark));
        assert_eq!(
            (old.original.subject.as_deref(), new.original.subject),
            (Some("Dear Jane"), None)
        );
        let to = after.envelope.expect("an envelope").to.remove(0);
        assert!(to.starts_with("erased-") && to.ends_with("@bounce.example.net"), "{to}");
        assert_eq!((event.seq, event.received_at), (after.seq, after.received_at));
    }

    #[test]
    fn acts_and_mentions_are_marked_and_others_left_alone() {
        let act = |act: Act| {
            let mut event = Event::new(EventType::Act, "a1".to_string(), Timestamp::from_millis(1));
            event.act = Some(act);
            event
        };
        let suppress = |address: &str, reason: &str| {
            act(Act::Suppress {
                address: address.to_string(),
                scope: "*".to_string(),
                reason: reason.to_string(),
                until: None,
                imported: Imported::default(),
            })
        };
        let hash = String::new();
        for (event, named) in [
            (suppress(PERSON, "asked"), true),
            (suppress("x@example.com", "moved from Jane.Roe@Example.com"), true),
            (act(Act::Erase { address: PERSON.to_string(), hash }), true),
            (suppress("mary-jane.roe@example.com", "asked"), false),
            (suppress("x@example.com", "asked \"twice\""), false),
        ] {
            if named {
                assert!(redacted(&event).is_some(), "{event:?}");
                continue;
            }
            let forgotten = Forgotten::new(PERSON, "0f", Case::Fold);
            let keys = HashKeys::default();
            let line = serde_json::to_string(&event).expect("plain data");
            assert_eq!(Redaction::new(&forgotten, &keys).line(&line), None);
        }
    }
}
