//! What one record of the journal says about which address: the attribution ladder (POLICY
//! section 2) applied to a message or an in-band result.
//!
//! Promises: with a VERP address the mailed address is the one the return path names, and no field
//! of the report replaces it; a wrong signature names no one; only failed recipients fail.

use super::provider::{guard_of, named};
use super::row::{Item, ItemKind, hash};
use super::settings::is_scope;
use super::standing::DEFAULT_SCOPE;
use crate::classify::{Category, Certainty};
use crate::event::{Analysis, Event, EventType, RecipientVerdict, SendResult, VerpInfo};
use crate::mail::{Address, Case};
use crate::report::{Action, Attribution, Kind};

/// What a record says of one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// Address, in its key form.
    pub address: String,
    /// What goes into the history of the address.
    pub item: Item,
    /// What health counts.
    pub figure: Option<Figure>,
    /// Provider of the closed table, or None.
    pub provider: Option<String>,
}

/// What a record adds to the figures of health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    Sent,
    Delivered,
    Failed(Category),
    Complaint,
    AutoReply,
    Unsubscribe,
}

/// The scope that a record belongs to.
pub(super) fn scope_of(event: &Event) -> String {
    let tag = event.analysis.as_ref().and_then(|a| a.verp.as_ref()).filter(|v| is_signed(v));
    event
        .scope
        .as_deref()
        .or_else(|| tag.and_then(|v| v.tag.as_deref()))
        .filter(|scope| is_scope(scope) && *scope != "*")
        .unwrap_or(DEFAULT_SCOPE)
        .to_string()
}

fn is_signed(verp: &VerpInfo) -> bool {
    verp.authentic == Some(true)
}

/// The rung of a record: what the pipeline found, never better than its VERP allows.
pub(super) fn rung_of(event: &Event, analysis: &Analysis) -> Attribution {
    let verp = analysis.verp.as_ref();
    match (event.attribution, verp.map(|v| (v.authentic, v.recipient.is_some()))) {
        // A forged token: nothing it says is about anyone.
        (_, Some((Some(false), _))) => Attribution::None,
        (Some(Attribution::Signed), verp) if !matches!(verp, Some((Some(true), true))) => {
            Attribution::None
        }
        (Some(Attribution::Plain), verp) if !matches!(verp, Some((_, true))) => Attribution::Report,
        (Some(rung), _) => rung,
        (None, Some((Some(true), true))) => Attribution::Signed,
        (None, Some((None, true))) => Attribution::Plain,
        (None, _) => Attribution::Report,
    }
}

/// Everything a record says about addresses. Acts say nothing here.
pub(super) fn read(event: &Event, case: Case) -> Vec<Said> {
    let (analysis, told) = (event.analysis.as_ref(), event.result.as_ref());
    match event.event_type {
        EventType::Message => analysis.map_or_else(Vec::new, |a| message(event, a, case)),
        EventType::Result => told.map_or_else(Vec::new, |r| result(event, r, case)),
        EventType::Act => Vec::new(),
    }
}

fn blank(event: &Event, kind: ItemKind, rung: Attribution) -> Item {
    Item {
        seq: event.seq,
        at_ms: event.received_at.millis(),
        kind,
        policy: 0,
        rung,
        scope: scope_of(event),
        reason: None,
        rule: None,
        code: None,
        guard: None,
        message: 0,
        token: 0,
        peer: event.peer.clone(),
        inferred: false,
        words: None,
        until_ms: None,
        undone: 0,
    }
}

fn message(event: &Event, analysis: &Analysis, case: Case) -> Vec<Said> {
    let key = |address: &str| key(address, case);
    let rung = rung_of(event, analysis);
    let mut item = blank(event, ItemKind::Failure, rung);
    item.message = analysis.original.message_id.as_deref().map_or(0, message_hash);
    item.token = token_hash(event, analysis);
    let mailed = match rung {
        Attribution::Signed | Attribution::Plain => {
            match analysis.verp.as_ref().and_then(|v| v.recipient.as_deref()).and_then(key) {
                Some(address) => Some(address),
                None => return Vec::new(),
            }
        }
        Attribution::None => return Vec::new(),
        Attribution::MessageId | Attribution::Report => None,
    };
    let figure = match analysis.kind {
        Kind::Failure => return failures(analysis, &item, mailed, case),
        Kind::Success | Kind::Receipt | Kind::ChallengeResponse => {
            item.kind = ItemKind::Life;
            None
        }
        Kind::AutoReply => {
            item.kind = ItemKind::Life;
            Some(Figure::AutoReply)
        }
        Kind::Complaint if analysis.feedback_type.as_deref() == Some("not-spam") => {
            item.kind = ItemKind::NotSpam;
            None
        }
        // RFC 6591: a report about authentication, and nobody complained.
        Kind::Complaint
            if matches!(analysis.feedback_type.as_deref(), Some("auth-failure" | "dmarc")) =>
        {
            return Vec::new();
        }
        Kind::Complaint => {
            item.kind = ItemKind::Complaint;
            Some(Figure::Complaint)
        }
        Kind::Unsubscribe => {
            item.kind = ItemKind::Unsubscribe;
            Some(Figure::Unsubscribe)
        }
        Kind::Delay | Kind::Subscribe | Kind::Other => return Vec::new(),
    };
    let mut addresses = match mailed {
        Some(address) => vec![address],
        None => analysis.recipients.iter().filter_map(|r| key(r.address.as_deref()?)).collect(),
    };
    // Each address once, in the order of the report.
    let mut seen = std::collections::BTreeSet::new();
    addresses.retain(|a| seen.insert(a.clone()));
    let provider = analysis.recipients.first().and_then(|r| r.provider.clone());
    addresses
        .into_iter()
        .map(|address| {
            let guard = guard_of(provider.as_deref(), &address);
            Said {
                item: Item { guard: Some(guard), ..item.clone() },
                figure,
                provider: named(provider.as_deref(), &address),
                address,
            }
        })
        .collect()
}

fn failures(analysis: &Analysis, item: &Item, mailed: Option<String>, case: Case) -> Vec<Said> {
    let key = |address: &str| key(address, case);
    if let Some(address) = mailed {
        // The recipient that is the mailed address speaks first; else the first that failed: a
        // forwarded mail fails somewhere else, and that is evidence on the address we mailed.
        let ours = |r: &&RecipientVerdict| {
            [r.address.as_deref(), r.original_recipient.as_deref()]
                .into_iter()
                .flatten()
                .any(|a| key(a).as_deref() == Some(&address))
        };
        let recipients = &analysis.recipients;
        let chosen = recipients
            .iter()
            .find(ours)
            .or_else(|| recipients.iter().find(|r| failed(r)))
            .or_else(|| recipients.first());
        return chosen.and_then(|r| outcome(r, item, address, case)).into_iter().collect();
    }
    let mut seen = std::collections::BTreeSet::new();
    analysis
        .recipients
        .iter()
        .filter_map(|r| Some((r, key(r.address.as_deref()?)?)))
        .filter(|(_, address)| seen.insert(address.clone()))
        .filter_map(|(r, address)| outcome(r, item, address, case))
        .collect()
}

fn failed(recipient: &RecipientVerdict) -> bool {
    matches!(recipient.action, None | Some(Action::Failed)) && recipient.reason.is_some()
}

/// What a recipient of a failure report amounts to: a failure, or proof of life of one that was
/// delivered beside the failed ones.
fn outcome(recipient: &RecipientVerdict, item: &Item, address: String, case: Case) -> Option<Said> {
    let guard = Some(guard_of(recipient.provider.as_deref(), &address));
    let provider = named(recipient.provider.as_deref(), &address);
    if matches!(recipient.action, Some(Action::Delivered | Action::Relayed | Action::Expanded)) {
        let item = Item { kind: ItemKind::Life, guard, ..item.clone() };
        return Some(Said { address, item, figure: None, provider });
    }
    if !failed(recipient) {
        return None;
    }
    let reason = recipient.reason?;
    let code = recipient.status.map(|s| s.to_string());
    let other = recipient.address.as_deref().filter(|a| key(a, case).as_deref() != Some(&address));
    let item = Item {
        reason: Some(reason),
        rule: recipient.rule.clone(),
        code: code.or_else(|| recipient.reply_code.map(|c| c.to_string())),
        guard,
        inferred: recipient.certainty == Some(Certainty::Inferred),
        words: other.map(|a| format!("the report names {a}")),
        ..item.clone()
    };
    let figure = Some(Figure::Failed(reason.category()));
    Some(Said { address, item, figure, provider })
}

/// An in-band result comes from our own sending side: as good as signed.
fn result(event: &Event, result: &SendResult, case: Case) -> Vec<Said> {
    let Some(address) = key(&result.address, case) else { return Vec::new() };
    let mut item = blank(event, ItemKind::Sent, Attribution::Signed);
    item.message = result.message_id.as_deref().map_or(0, message_hash);
    let verdict = result.verdict.as_ref();
    let named_by = verdict.and_then(|v| v.provider.as_deref());
    item.guard = Some(guard_of(named_by, &address));
    let provider = named(named_by, &address);
    let said = |item, figure| vec![Said { address: address.clone(), item, figure, provider }];
    match result.outcome.as_str() {
        "sent" => said(item, Some(Figure::Sent)),
        "delivered" => {
            item.kind = ItemKind::Life;
            said(item, Some(Figure::Delivered))
        }
        "failed" => {
            let Some(verdict) = verdict else { return Vec::new() };
            item.kind = ItemKind::Failure;
            outcome(verdict, &item, address.clone(), case)
                .into_iter()
                .filter(|s| s.item.kind == ItemKind::Failure)
                .map(|s| Said { item: Item { words: None, ..s.item }, ..s })
                .collect()
        }
        // `deferred`: still trying; evidence in the journal only.
        _ => Vec::new(),
    }
}

/// The key form of an address.
pub(super) fn key(address: &str, case: Case) -> Option<String> {
    Address::parse(address).map(|a| a.key_in(case))
}

pub(super) fn message_hash(id: &str) -> u64 {
    hash(&["message", id.trim().trim_matches(['<', '>'])])
}

/// Identity of a signed token: the local part it came in, which holds recipient, tag and day.
fn token_hash(event: &Event, analysis: &Analysis) -> u64 {
    let Some(verp) = analysis.verp.as_ref().filter(|v| is_signed(v)) else { return 0 };
    let forward_path = event.envelope.as_ref().and_then(|e| e.to.first());
    match forward_path {
        Some(to) => hash(&["token", &to.to_lowercase()]),
        None => hash(&[
            "token",
            verp.recipient.as_deref().unwrap_or_default(),
            verp.tag.as_deref().unwrap_or_default(),
        ]),
    }
}
