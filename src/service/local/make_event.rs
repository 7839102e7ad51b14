//! Events that begin here: acts by hand, in-band results, and a message that cannot be read.

use sha2::{Digest, Sha256};

use super::validate::{checked_scope, parsed};
use crate::analysis::{Analyser, judge_reply};
use crate::event::{Act, Analysis, Event, EventType, SendResult};
use crate::mail::{Case, Timestamp};
use crate::report::Kind;
use crate::service::{InBand, ServiceError};

/// The record of an in-band result.
pub(super) fn result_event(
    analyser: &Analyser,
    result: InBand,
    case: Case,
) -> Result<Event, ServiceError> {
    let address = parsed(&result.address)?;
    if let Some(scope) = &result.scope {
        checked_scope(scope)?;
    }
    let failed = match result.outcome.as_str() {
        "failed" => true,
        "sent" | "delivered" | "deferred" => false,
        other => {
            return Err(ServiceError::BadRequest(format!(
                "outcome `{other}`: write sent, delivered, deferred or failed"
            )));
        }
    };
    let reply = result.reply.as_deref().unwrap_or_default();
    let verdict = (failed || result.outcome == "deferred")
        .then(|| judge_reply(analyser, failed, &address, reply, result.remote_mta.as_deref()))
        .flatten();
    let short =
        |text: String| text.chars().filter(|c| !c.is_control()).take(998).collect::<String>();
    let message_id = result.message_id.map(short);
    // The sender may post a batch again when our answer was lost.
    let digest = message_id.as_ref().map(|id| {
        let said = format!("{}\0{}\0{id}\0{reply}", result.outcome, address.key_in(case));
        let octets = Sha256::digest(said.as_bytes());
        data_encoding::HEXLOWER.encode(octets.get(..16).unwrap_or(&octets))
    });
    Ok(Event {
        scope: result.scope,
        campaign: result.campaign.map(short),
        digest,
        result: Some(SendResult {
            outcome: result.outcome,
            address: address.to_string(),
            message_id,
            verdict,
        }),
        ..blank(EventType::Result)
    })
}

pub(super) fn act_event(act: Act) -> Event {
    let peer = Some("local".to_string());
    Event { peer, act: Some(act), ..blank(EventType::Act) }
}

/// An event with an id of its own; its time is set when it is committed.
pub(super) fn blank(event_type: EventType) -> Event {
    Event::new(event_type, new_id(), Timestamp::default())
}

pub(super) fn unreadable(bytes: u64) -> Analysis {
    Analysis {
        bytes,
        defects: vec!["reading it failed; this is a defect of bounced".to_string()],
        ..Analysis::new(Kind::Other, "unreadable")
    }
}

/// Letters and digits: milliseconds, so that ids sort by time, then 40 random bits.
pub fn new_id() -> String {
    let mut random = [0u8; 5];
    // Without randomness ids would repeat within a millisecond; the kernel has it always.
    if getrandom::fill(&mut random).is_err() {
        random = [0; 5];
    }
    let millis = Timestamp::now().millis().max(0) as u64;
    format!("e{millis:011x}{}", data_encoding::HEXLOWER.encode(&random))
}
