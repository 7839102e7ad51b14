//! Occurrences: what webhooks report as it happens, made of records of the journal.
//!
//! Promises: the same record under the same policy gives the same occurrences in the same order, so
//! an occurrence has one place and one id for ever, however often it is reported; what counts in
//! nothing (forged, forwarded, about one of us) is not an occurrence; one record is one or several
//! of them.

use serde_json::{Value, json};

use crate::classify::{Category, Reason, RecipientVerdict};
use crate::event::{Act, Cause, Decision, Event};
use crate::mail::{Timestamp, words};
use crate::policy::{Happened, Policy, counted};
use crate::report::Kind;

words! {
    /// What happened.
    What {
        /// Sending to an address must stop; also when the end of a stop moves.
        Suppressed = "address.suppressed",
        /// It may go on.
        Released = "address.released",
        /// It must wait, because a guard says so.
        Held = "address.held",
        /// A guard holds suppressions back from now on.
        GuardTripped = "guard.tripped",
        /// A recipient complained.
        Complaint = "complaint",
        /// A recipient's program answered.
        AutoReply = "auto-reply",
        /// A recipient has another address.
        Moved = "address.moved",
        /// Mail to an address failed, whatever follows from it.
        Bounce = "bounce",
    }
}

/// Where an occurrence is: position of its record, and its number there, from 0.
pub type OccurrencePlace = (u64, u64);

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// Where it is.
    pub place: OccurrencePlace,
    /// Names it: the id of the record and its number.
    pub id: String,
    /// What it is.
    pub what: What,
    /// When the record was accepted.
    pub at: Timestamp,
    /// Whose it is; empty for a guard.
    pub address: String,
    /// Scope; `*` for all.
    pub scope: String,
    /// Kind of the message that it came of.
    pub kind: Option<Kind>,
    /// Category of the failure that it came of.
    pub category: Option<Category>,
    /// The record's campaign.
    pub campaign: Option<String>,
    /// What there is to tell, as a JSON object.
    pub data: Value,
}

/// The occurrences of a record, in order.
pub fn occurrences(event: &Event, policy: &Policy) -> Vec<Occurrence> {
    let mut found = EventOccurrences { event, all: Vec::new() };
    for decision in &event.decisions {
        if let Some(what) = what_is(decision) {
            found.decided(what, decision);
        }
    }
    for (address, scope, happened) in counted(event, policy) {
        found.counted(&address, &scope, happened);
    }
    found.all
}

/// What a decision is to others; None for what only the policy cares about.
fn what_is(decision: &Decision) -> Option<What> {
    let stopped = |state: &str| matches!(state, "suppressed" | "held");
    match (decision.from.as_str(), decision.to.as_str()) {
        (_, "held") if decision.address.is_empty() => Some(What::GuardTripped),
        _ if decision.address.is_empty() => None,
        (_, "suppressed") => Some(What::Suppressed),
        ("held", "held") => None,
        (_, "held") => Some(What::Held),
        (from, to) if stopped(from) && !stopped(to) => Some(What::Released),
        _ => None,
    }
}

struct EventOccurrences<'a> {
    event: &'a Event,
    all: Vec<Occurrence>,
}

impl EventOccurrences<'_> {
    fn decided(&mut self, what: What, decision: &Decision) {
        let verdict = self.verdict(&decision.address);
        let mut data = json!({
            "address": decision.address,
            "scope": decision.scope,
            "state": decision.to,
            "previous": decision.from,
            "clause": decision.clause,
            "until": decision.until,
        });
        if what == What::GuardTripped {
            data = json!({"guard": decision.clause, "scope": decision.scope,
                "until": decision.until});
        } else {
            data["verdict"] = verdict.map_or(Value::Null, verdict_json);
            data["act"] = self.event.act.as_ref().map_or(Value::Null, act);
        }
        let category = verdict.and_then(|verdict| verdict.category);
        let category = category.or_else(|| listed(self.event)?.category());
        self.push(what, &decision.address, &decision.scope, category, data);
    }

    fn counted(&mut self, address: &str, scope: &str, happened: Happened) {
        let verdict = self.verdict(address);
        let analysis = self.event.analysis.as_ref();
        let mut data = json!({"address": address, "scope": scope});
        let category = match happened {
            Happened::Complained => {
                data["feedback_type"] = json!(analysis.and_then(|a| a.feedback_type.as_deref()));
                return self.push(What::Complaint, address, scope, None, data);
            }
            Happened::Answered => {
                let until = analysis.and_then(|a| a.away_until);
                data["away_until"] = json!(until);
                self.push(What::AutoReply, address, scope, None, data.clone());
                None
            }
            Happened::Failed(reason) => {
                data["verdict"] = verdict.map_or(Value::Null, verdict_json);
                let category = Some(reason.category());
                self.push(What::Bounce, address, scope, category, data.clone());
                category
            }
        };
        let new_address = analysis.and_then(|a| a.new_address.as_deref());
        if new_address.is_some() || happened == Happened::Failed(Reason::AddressMoved) {
            data["new_address"] = json!(new_address);
            self.push(What::Moved, address, scope, category, data);
        }
    }

    fn push(
        &mut self,
        what: What,
        address: &str,
        scope: &str,
        category: Option<Category>,
        mut data: Value,
    ) {
        let (event, number) = (self.event, self.all.len() as u64);
        let kind = event.analysis.as_ref().map(|analysis| analysis.kind);
        data["event"] = json!({
            "seq": event.seq,
            "id": event.id,
            "type": event.event_type,
            "kind": kind,
            "received_at": event.received_at,
            "attribution": event.attribution,
            "campaign": event.campaign,
        });
        self.all.push(Occurrence {
            place: (event.seq, number),
            id: format!("{}.{number}", event.id),
            what,
            at: event.received_at,
            address: address.to_string(),
            scope: scope.to_string(),
            kind,
            category,
            campaign: event.campaign.clone(),
            data,
        });
    }

    /// The verdict that is about an address: that of its own line, else the only one.
    fn verdict(&self, address: &str) -> Option<&RecipientVerdict> {
        if let Some(result) = &self.event.result {
            return result.verdict.as_ref();
        }
        let all = &self.event.analysis.as_ref()?.recipients;
        let own = all
            .iter()
            .find(|one| one.address().is_some_and(|named| named.eq_ignore_ascii_case(address)));
        match (own, all.as_slice()) {
            (Some(own), _) => Some(own),
            (None, [only]) => Some(only),
            _ => None,
        }
    }
}

/// What of a verdict others can use.
fn verdict_json(verdict: &RecipientVerdict) -> Value {
    let said = &verdict.recipient;
    json!({
        "reason": verdict.reason,
        "class": verdict.class,
        "class_code": verdict.class_code,
        "category": verdict.category,
        "advice": verdict.advice,
        "rule": verdict.rule,
        "status": said.status,
        "reply_code": said.reply_code,
        "diagnostic": (!said.diagnostic.is_empty()).then_some(&said.diagnostic),
        "remote_mta": said.remote_mta,
        "provider": verdict.provider,
        "retry_after": verdict.retry_after,
        "blocklist": verdict.blocklist,
    })
}

/// An act in a word and its reason, and what an imported list said; what else is in it may be long.
fn act(act: &Act) -> Value {
    let whole = serde_json::to_value(act).unwrap_or_default();
    let mut told = json!({"what": whole["what"], "reason": whole.get("reason")});
    if let Some(imported) = whole.get("told") {
        told["imported"] = imported.clone();
    }
    told
}

/// Why an imported list has the address.
fn listed(event: &Event) -> Option<Cause> {
    match event.act.as_ref()? {
        Act::Suppress { imported, .. } => imported.cause,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Analysis, EventType, VerpInfo};
    use crate::mail::Address;
    use crate::report::{Attribution, Recipient};

    fn decision(address: &str, from: &str, to: &str) -> Decision {
        Decision {
            address: address.to_string(),
            scope: "*".to_string(),
            from: from.to_string(),
            to: to.to_string(),
            clause: "now/user-unknown".to_string(),
            until: None,
        }
    }

    /// A failure of one recipient, by a plain return path.
    fn failure(reason: Reason) -> Event {
        let mut event = Event::new(EventType::Message, "e1".into(), Timestamp::from_millis(0));
        event.seq = 7;
        event.attribution = Some(Attribution::Plain);
        let recipient = Recipient {
            address: Address::parse("Alias@x.test"),
            diagnostic: "550 no".to_string(),
            ..Recipient::default()
        };
        event.analysis = Some(Analysis {
            bytes: 1,
            verp: Some(VerpInfo {
                recipient: Some("user@x.test".into()),
                scheme: "plain".into(),
                authentic: None,
                tag: None,
            }),
            recipients: vec![RecipientVerdict {
                recipient,
                reason: Some(reason),
                category: Some(reason.category()),
                ..RecipientVerdict::default()
            }],
            ..Analysis::new(Kind::Failure, "rfc3464")
        });
        event
    }

    fn named_parts(event: &Event, policy: &Policy) -> Vec<(String, What, String)> {
        let all = occurrences(event, policy).into_iter();
        all.map(|one| (one.id, one.what, one.address)).collect()
    }

    #[test]
    fn a_record_is_told_in_one_order_with_one_id_each() {
        let mut event = failure(Reason::AddressMoved);
        event.decisions = vec![
            decision("user@x.test", "clear", "suppressed"),
            decision("user@x.test", "suppressed", "suppressed"),
            decision("other@x.test", "watched", "probation"),
            decision("other@x.test", "held", "watched"),
            decision("third@x.test", "clear", "held"),
            decision("", "clear", "held"),
            decision("", "held", "clear"),
        ];
        let expected = [
            ("e1.0", What::Suppressed, "user@x.test"),
            ("e1.1", What::Suppressed, "user@x.test"),
            ("e1.2", What::Released, "other@x.test"),
            ("e1.3", What::Held, "third@x.test"),
            ("e1.4", What::GuardTripped, ""),
            ("e1.5", What::Bounce, "user@x.test"),
            ("e1.6", What::Moved, "user@x.test"),
        ];
        let expected = expected.map(|(id, what, who)| (id.to_string(), what, who.to_string()));
        assert_eq!(named_parts(&event, &Policy::default()), expected);
        let first = &occurrences(&event, &Policy::default())[0];
        assert_eq!(first.place, (7, 0));
        assert_eq!(first.category, Some(Category::Hard));
        assert_eq!(first.data["verdict"]["diagnostic"], "550 no");
        assert_eq!(first.data["event"]["attribution"], "plain");
    }

    #[test]
    fn what_counts_in_nothing_is_not_told() {
        let event = failure(Reason::UserUnknown);
        assert_eq!(named_parts(&event, &Policy::default()).len(), 1);
        let mut signed = Policy::default();
        signed.require_signed = true;
        assert_eq!(named_parts(&event, &signed), []);
        let mut forwarded = event.clone();
        forwarded.analysis.as_mut().expect("there").forwarded = true;
        assert_eq!(named_parts(&forwarded, &Policy::default()), []);
        let mut forged = event;
        forged.analysis.as_mut().expect("there").verp.as_mut().expect("there").authentic =
            Some(false);
        assert_eq!(named_parts(&forged, &Policy::default()), []);
    }

    #[test]
    fn complaints_and_answers_say_what_they_know() {
        let mut event = failure(Reason::UserUnknown);
        let analysis = event.analysis.as_mut().expect("there");
        analysis.kind = Kind::Complaint;
        analysis.feedback_type = Some("abuse".into());
        let found = occurrences(&event, &Policy::default());
        assert_eq!((found.len(), found[0].what), (1, What::Complaint));
        assert_eq!(found[0].data["feedback_type"], "abuse");
        event.analysis.as_mut().expect("there").feedback_type = Some("not-spam".into());
        assert_eq!(occurrences(&event, &Policy::default()), []);
        let analysis = event.analysis.as_mut().expect("there");
        analysis.kind = Kind::AutoReply;
        analysis.new_address = Some("new@y.test".into());
        let found = occurrences(&event, &Policy::default());
        let what: Vec<What> = found.iter().map(|one| one.what).collect();
        assert_eq!(what, [What::AutoReply, What::Moved]);
        assert_eq!(found[1].data["new_address"], "new@y.test");
    }
}
