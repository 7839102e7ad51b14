//! The journal record and the classify object: the one JSON shape that `classify --json`, `GET
//! /v1/events`, the journal and `explain` share (docs/interface.md, "Events").
//!
//! An [`Analysis`] is what a message said and what it means. An [`Event`] is an analysis (or an
//! act by hand, or an in-band result) with its place in the journal and the decisions that it led
//! to: complete enough to be judged again without the message.

mod imported;

use serde::{Deserialize, Serialize};

use crate::classify::RecipientVerdict;
use crate::mail::Timestamp;
use crate::report::{Attribution, Kind, Original};

pub use imported::{Cause, Imported};

/// The classify object, without `source`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Analysis {
    /// What the message is.
    pub kind: Kind,
    /// Which recogniser read it.
    pub format: String,
    /// Size of the message in octets, as received.
    pub bytes: u64,
    /// What the envelope recipient tells, when it is a VERP address.
    pub verp: Option<VerpInfo>,
    /// Who reports.
    pub reporting_mta: Option<String>,
    /// When the reporting MTA got the message.
    pub arrival_date: Option<Timestamp>,
    /// One entry for each recipient that the message speaks of.
    pub recipients: Vec<RecipientVerdict>,
    /// What was returned of our mail.
    pub original: Original,
    /// ARF feedback type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback_type: Option<String>,
    /// Day of return of a vacation reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away_until: Option<Timestamp>,
    /// New address of an address-change notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_address: Option<String>,
    /// The report is inside mail that is not a notice itself: it is kept, and decides nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forwarded: bool,
    /// The clues that decided the kind.
    #[serde(rename = "evidence")]
    pub clues: Vec<String>,
    /// What was wrong with the message itself.
    pub defects: Vec<String>,
}

impl Analysis {
    /// An analysis that says nothing but what the message is and which recogniser read it.
    pub fn new(kind: Kind, format: &str) -> Self {
        Self {
            kind,
            format: format.to_string(),
            bytes: 0,
            verp: None,
            reporting_mta: None,
            arrival_date: None,
            recipients: Vec::new(),
            original: Original::default(),
            feedback_type: None,
            away_until: None,
            new_address: None,
            forwarded: false,
            clues: Vec::new(),
            defects: Vec::new(),
        }
    }
}

/// What an envelope recipient says about the mailing that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerpInfo {
    /// The address we mailed; None for a short token whose recipient is not known.
    pub recipient: Option<String>,
    /// `plain`, `signed-full` or `signed-short`.
    pub scheme: String,
    /// Signature right, wrong, or no signature (None).
    pub authentic: Option<bool>,
    /// Scope or campaign that a signed token carries.
    pub tag: Option<String>,
}

/// SMTP envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Envelope {
    /// Reverse-path; empty for `<>`.
    pub from: String,
    /// Accepted forward-paths.
    pub to: Vec<String>,
    /// An operator says that what people forwarded counts (`ingest --trust`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trusted: bool,
}

/// Longest name of a scope.
pub const MAX_SCOPE_OCTETS: usize = 64;

/// Is this a usable name of a scope (list, stream, tenant)? `*`, for all, is.
pub fn is_scope(text: &str) -> bool {
    text == "*"
        || (!text.is_empty()
            && text.len() <= MAX_SCOPE_OCTETS
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')))
}

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// A message that was accepted.
    Message,
    /// Something a person or the program itself did: suppress, release, undo, import, policy.
    Act,
    /// An in-band result from the sending MTA.
    Result,
}

/// One journal record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the journal, from 1, without gaps. 0 until committed.
    pub seq: u64,
    /// It is in the SMTP reply; letters, digits and `-` only.
    pub id: String,
    /// What the record is about.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// Address of the client, without its port; `local` for the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// SMTP envelope of a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
    /// How the report was tied to a mailing of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<Attribution>,
    /// Scope (list, stream, tenant) that a signed token, an act or a result names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Campaign, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// Names the signed token, for per-token claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Key for recognising the same message delivered again (docs/policy.md, "The journal"), hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What the message said and means.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// Addresses of this event (key form) on which a block outlived an erasure, with the keyed
    /// hash under which it is stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<(String, String)>,
    /// An act by hand or by the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Act>,
    /// An in-band result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<SendResult>,
    /// What the record changed.
    #[serde(default)]
    pub decisions: Vec<Decision>,
}

/// The version of the fold that a journal is folded as until it says another.
pub const FIRST_FOLD: i32 = 1;

/// Name of the fact that says as which version of the fold the records from it on are folded.
pub const FOLD_FACT: &str = "fold";

impl Event {
    /// The version of the fold that holds from this record on, when it says one.
    pub fn fold_from_here(&self) -> Option<i32> {
        match &self.act {
            Some(Act::Fact { name, value }) if name == FOLD_FACT => value.parse().ok(),
            _ => None,
        }
    }

    /// A record that says nothing yet, without its place in the journal.
    pub fn new(event_type: EventType, id: String, received_at: Timestamp) -> Self {
        Self {
            seq: 0,
            id,
            event_type,
            received_at,
            peer: None,
            envelope: None,
            attribution: None,
            scope: None,
            campaign: None,
            token: None,
            digest: None,
            analysis: None,
            erased: Vec::new(),
            act: None,
            result: None,
            decisions: Vec::new(),
        }
    }
}

/// Something done by hand or by the program itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Act {
    /// Suppress an address by hand or by import.
    Suppress {
        /// Address as given.
        address: String,
        /// Scope; `*` for all.
        scope: String,
        /// Why, in a person's words.
        reason: String,
        /// End; None is without end.
        until: Option<Timestamp>,
        /// What the list said that it was imported from.
        #[serde(rename = "told", default, skip_serializing_if = "Imported::is_empty")]
        imported: Imported,
    },
    /// Release an address by hand.
    Release {
        /// Address as given.
        address: String,
        /// Scope; `*` for all.
        scope: String,
        /// Why, in a person's words.
        reason: String,
    },
    /// The policy in force changed; what follows is folded with this one.
    Policy {
        /// The whole policy, as its canonical JSON.
        policy: serde_json::Value,
    },
    /// Take decisions back: records that match all given conditions count as never made.
    Undo {
        /// Rule id.
        rule: Option<String>,
        /// Provider.
        provider: Option<String>,
        /// Client address.
        peer: Option<String>,
        /// First moment.
        after: Option<Timestamp>,
        /// Last moment.
        before: Option<Timestamp>,
        /// Why, in a person's words.
        reason: String,
    },
    /// Release what a guard holds for a provider or a scope.
    ReleaseHeld {
        /// Provider, or None for the blast-radius guard of `scope`.
        provider: Option<String>,
        /// Scope of the blast-radius guard.
        scope: Option<String>,
        /// Why.
        reason: String,
    },
    /// Something about the data itself that must not change unnoticed, such as the fingerprint of a
    /// key.
    Fact {
        /// Its name.
        name: String,
        /// What it is.
        value: String,
    },
    /// Forget a person, keep the block as a keyed hash.
    Erase {
        /// Address in its key form; replaced by a mark when the journal is rewritten.
        address: String,
        /// Keyed hash of the address, made above the fold, which knows no key.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        hash: String,
    },
    /// The verdicts of earlier records are replaced (`bounced replay --apply`).
    Rejudge {
        /// `seq` of the record and its new verdicts.
        verdicts: Vec<(u64, Vec<RecipientVerdict>)>,
        /// Why.
        reason: String,
    },
}

/// An in-band result from the sending MTA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendResult {
    /// `sent`, `delivered`, `deferred` or `failed`.
    pub outcome: String,
    /// Address that was mailed.
    pub address: String,
    /// Message-ID of our mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Judgement on the reply text of `deferred` and `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<RecipientVerdict>,
}

/// One change of state that a record made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Address, in its key form.
    pub address: String,
    /// Scope; `*` for all.
    pub scope: String,
    /// State before: `clear`, `watched`, `suppressed`, `probation`, `held`.
    pub from: String,
    /// State after.
    pub to: String,
    /// Clause of the policy that says so.
    pub clause: String,
    /// End of the new state; None is without end.
    pub until: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of a journal that the program of 2026-11 wrote, about samples of `tests/corpus`.
    const RECORDS: &str = include_str!("../../tests/records/2026-11.ndjson");

    #[test]
    fn old_records_are_read_and_written_as_they_were() {
        let mut verdicts = Vec::new();
        for line in RECORDS.lines() {
            let event: Event = serde_json::from_str(line).expect("an old record");
            assert_eq!(serde_json::to_string(&event).expect("plain data"), line);
            verdicts.extend(event.analysis.into_iter().flat_map(|analysis| analysis.recipients));
        }
        let human = &verdicts[0].recipient;
        assert!(human.human && human.diagnostic.contains("not accepting mail"), "{human:?}");
        let remarks = &verdicts[1].recipient;
        assert_eq!(remarks.diagnostic, "Elija otra fecha.");
        assert_eq!(remarks.remarks, "No se pudo entregar su paquete a Hola:");
        assert_eq!((RECORDS.lines().count(), verdicts.len()), (6, 5));
    }
}
