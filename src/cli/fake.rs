//! A service in memory for the tests of the commands: a journal of fixed lines, a list of entries
//! in pages of two, and a memory of what it was asked to change.

use std::cell::RefCell;

use serde_json::{Value, json};

use super::console::{Console, ExitAnswer};
use super::print::Paint;
use crate::event::{Act, Envelope};
use crate::mail::Timestamp;
use crate::service::{
    ImportEntry, ImportOptions, ImportOutcome, ListPage, ListQuery, NotTaken, Operations,
    ServiceError,
};

#[derive(Default)]
pub(super) struct Fake {
    pub(super) lines: Vec<String>,
    pub(super) entries: Vec<Value>,
    pub(super) shadow: Value,
    pub(super) guards: Value,
    pub(super) acts: RefCell<Vec<(Act, bool)>>,
    pub(super) batches: RefCell<Vec<Vec<ImportEntry>>>,
}

/// A line of the journal: one recipient whose failure was judged.
pub(super) fn line(seq: u64, day: u32, address: &str, reason: &str, said: &str) -> String {
    let category = if reason == "user-unknown" { json!("hard") } else { Value::Null };
    let recipient = json!({
        "address": address, "original_recipient": null,
        "final_recipient": null, "action": "failed", "status": null, "status_source": null,
        "reply_code": 550, "diagnostic": said, "remote_mta": "mx.example.net", "provider": null,
        "reason": reason, "class": null, "class_code": null, "category": category,
        "advice": null, "rule": null, "matched": null,
    });
    json!({
        "seq": seq, "id": format!("e{seq}"), "type": "message",
        "received_at": format!("2026-11-{day:02}T00:00:00Z"), "kind": "failure",
        "format": "rfc3464", "bytes": 1, "verp": null, "reporting_mta": null,
        "arrival_date": null, "recipients": [recipient],
        "original": {"message_id": null, "subject": null, "to": [], "list_id": null,
            "feedback_id": null},
        "evidence": [], "defects": [],
    })
    .to_string()
}

/// Answer, standard output, standard error of one command at 2026-11-22.
pub(super) fn run(
    service: &Fake,
    command: impl FnOnce(&Fake, &mut Console<'_>) -> anyhow::Result<ExitAnswer>,
) -> (anyhow::Result<ExitAnswer>, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let now = Timestamp::parse_rfc3339("2026-11-22").expect("a date");
    let mut console = Console { out: &mut out, err: &mut err, paint: Paint::PLAIN, now };
    let answer = command(service, &mut console);
    let text = |octets| String::from_utf8(octets).expect("our words are UTF-8");
    (answer, text(out), text(err))
}

impl Operations for Fake {
    fn suppression(&self, address: &str, _: Option<&str>) -> Result<Option<Value>, ServiceError> {
        Ok(self.entries.iter().find(|entry| entry["address"] == address).cloned())
    }

    fn suppress(
        &self,
        address: &str,
        scope: &str,
        reason: &str,
        until: Option<Timestamp>,
    ) -> Result<Value, ServiceError> {
        Ok(json!({"address": address, "scope": scope, "reason": reason, "until": until}))
    }

    fn release(&self, address: &str, _: &str, _: &str) -> Result<Value, ServiceError> {
        match self.suppression(address, None)? {
            Some(_) => Ok(json!({"address": address, "state": "clear"})),
            None => Err(ServiceError::NotFound(format!("{address} was never heard of"))),
        }
    }

    fn list(&self, query: &ListQuery) -> Result<ListPage, ServiceError> {
        let from: usize = query.cursor.as_deref().map_or(0, |c| c.parse().expect("our cursor"));
        let to = (from + query.limit.min(2)).min(self.entries.len());
        let next = (to < self.entries.len()).then(|| to.to_string());
        Ok(ListPage { entries: self.entries[from..to].to_vec(), next })
    }

    fn import(
        &self,
        entries: Vec<ImportEntry>,
        options: ImportOptions,
    ) -> Result<ImportOutcome, ServiceError> {
        let refused: Vec<NotTaken> = entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.address.ends_with("@"))
            .map(|(place, entry)| NotTaken {
                place,
                why: "there is no domain".to_string(),
                cell: entry.address.clone(),
            })
            .collect();
        let suppressed = (entries.len() - refused.len()) as u64;
        if !options.dry_run {
            self.batches.borrow_mut().push(entries);
        }
        Ok(ImportOutcome { suppressed, refused, ..ImportOutcome::default() })
    }

    fn explain(&self, address: &str, _: Option<&str>) -> Result<Value, ServiceError> {
        Ok(json!({"address": address, "state": "clear"}))
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, ServiceError> {
        let numbered = (1..).zip(self.lines.iter().cloned());
        Ok(numbered.filter(|(seq, _)| *seq >= from).take(limit.min(2)).collect())
    }

    fn message(
        &self,
        data: Vec<u8>,
        _: Envelope,
        _: Option<String>,
    ) -> Result<Value, ServiceError> {
        match data.as_slice() {
            b"busy" => Err(ServiceError::Busy("the disk is slow".to_string())),
            b"bad" => Err(ServiceError::BadRequest("the body is empty".to_string())),
            _ => Ok(json!({"id": "e1", "kind": "other"})),
        }
    }

    fn shadow(&self) -> Result<Value, ServiceError> {
        Ok(self.shadow.clone())
    }

    fn act(&self, act: Act, dry_run: bool) -> Result<Value, ServiceError> {
        self.acts.borrow_mut().push((act, dry_run));
        Ok(json!({"changed": 1}))
    }

    fn guards(&self) -> Result<Value, ServiceError> {
        Ok(self.guards.clone())
    }

    fn accept_clock(&self) -> Result<Value, ServiceError> {
        Ok(json!({"now": "2026-11-22T00:00:00Z", "was_in_doubt": true}))
    }
}
