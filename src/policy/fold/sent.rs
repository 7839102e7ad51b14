//! The `message-id` level of the ladder: which mails of ours in-band `sent` and `delivered` results
//! named, so that a report that returns one of their Message-IDs is known to be about our mail.
//!
//! One row for each mail and recipient, by hash, kept for one to two eras of eight days: longer
//! than any queue. With signing keys the level counts in nothing, and nothing is written.

use super::evidence::{key, message_hash};
use crate::event::{Event, EventType};
use crate::ledger::{LedgerError, Rows};
use crate::mail::Case;
use crate::policy::judge::row::hash;
use crate::report::Attribution;

const ERA_DAYS: i64 = 8;
/// Every so many records old rows are looked for, so many at a time: four times what comes in.
const SWEEP_EVERY: u64 = 8;
const SWEEP_ROWS: usize = 32;

fn row_key(era: i64, message: u64, address: &str) -> Vec<u8> {
    let hash = hash(&["sent", &message.to_string(), address]);
    format!("i/{era:06}/{hash:016x}").into_bytes()
}

fn era_of(event: &Event) -> i64 {
    event.received_at.day().div_euclid(ERA_DAYS).max(0)
}

/// Remembers a mail that a result names.
pub(crate) fn remember(rows: &mut dyn Rows, event: &Event, case: Case) -> Result<(), LedgerError> {
    let Some(result) = &event.result else { return Ok(()) };
    let Some(id) = result.message_id.as_deref() else { return Ok(()) };
    let Some(address) = key(&result.address, case) else { return Ok(()) };
    let era = era_of(event);
    if matches!(result.outcome.as_str(), "sent" | "delivered") {
        rows.put(row_key(era, message_hash(id), &address), Some(vec![1]));
    }
    if event.seq.is_multiple_of(SWEEP_EVERY) {
        let kept = format!("i/{:06}/", (era - 1).max(0)).into_bytes();
        for (old, _) in rows.scan(b"i/", &[], SWEEP_ROWS)? {
            if old >= kept {
                break;
            }
            rows.put(old, None);
        }
    }
    Ok(())
}

/// Lifts a message from `report` to `message-id` when every recipient that it speaks of was sent
/// the mail that it returns.
pub(crate) fn lift(rows: &dyn Rows, event: &mut Event, case: Case) -> Result<(), LedgerError> {
    if event.event_type != EventType::Message || event.attribution != Some(Attribution::Report) {
        return Ok(());
    }
    let Some(analysis) = &event.analysis else { return Ok(()) };
    let Some(id) = analysis.original.message_id.as_deref() else { return Ok(()) };
    let (message, era) = (message_hash(id), era_of(event));
    for verdict in &analysis.recipients {
        let Some(address) = verdict.address().and_then(|a| key(a, case)) else {
            return Ok(());
        };
        let known = |era: i64| rows.get(&row_key(era, message, &address));
        if known(era)?.is_none() && known((era - 1).max(0))?.is_none() {
            return Ok(());
        }
    }
    if !analysis.recipients.is_empty() {
        event.attribution = Some(Attribution::MessageId);
    }
    Ok(())
}
