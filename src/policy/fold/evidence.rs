//! What one record of the journal says about which address: the attribution ladder
//! (docs/policy.md, "Attribution") applied to a message or an in-band result.
//!
//! Promises: with a VERP address the mailed address is the one the return path names, and no field
//! of the report replaces it; a wrong signature names no one; only failed recipients fail; no
//! report speaks against one of us; a message without a signed token decides for a bounded number.

use super::reserved::is_reserved;
use crate::classify::{Category, Certainty, Reason, RecipientVerdict};
use crate::event::{Analysis, Event, EventType, SendResult, VerpInfo, is_scope};
use crate::mail::{Address, Case};
use crate::policy::judge::row::{Item, ItemKind, hash};
use crate::policy::judge::standing::DEFAULT_SCOPE;
use crate::policy::provider::{guard_of, named};
use crate::policy::settings::Policy;
use crate::report::{Action, Attribution, Kind};

/// What a record says of one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
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
pub(crate) enum Figure {
    Sent,
    Delivered,
    Failed(Category),
    OwnRefusal,
    Complaint,
    AutoReply,
    Unsubscribe,
}

/// The scope that a record belongs to.
pub(crate) fn scope_of(event: &Event) -> String {
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

/// The level of a record: what the pipeline found, never better than its VERP allows.
pub(crate) fn level_of(event: &Event, analysis: &Analysis) -> Attribution {
    let verp = analysis.verp.as_ref();
    match (event.attribution, verp.map(|v| (v.authentic, v.recipient.is_some()))) {
        // A forged token: nothing it says is about anyone.
        (_, Some((Some(false), _))) => Attribution::None,
        (Some(Attribution::Signed), verp) if !matches!(verp, Some((Some(true), true))) => {
            Attribution::None
        }
        (Some(Attribution::Plain), verp) if !matches!(verp, Some((_, true))) => Attribution::Report,
        (Some(level), _) => level,
        (None, Some((Some(true), true))) => Attribution::Signed,
        (None, Some((None, true))) => Attribution::Plain,
        (None, _) => Attribution::Report,
    }
}

/// Everything a record says about addresses that may decide something. Acts say nothing here.
pub(crate) fn read(event: &Event, policy: &Policy) -> Vec<Claim> {
    let case = policy.local_part_case;
    let (analysis, outcome) = (event.analysis.as_ref(), event.result.as_ref());
    match event.event_type {
        EventType::Message => {
            let mut claims = analysis.map_or_else(Vec::new, |a| message(event, a, case));
            claims.retain(|claim| !speaks_against_us(event, policy, claim));
            if claims.first().is_some_and(|claim| claim.item.level != Attribution::Signed) {
                claims.truncate(most_of_one_report(policy));
            }
            claims
        }
        EventType::Result => outcome.map_or_else(Vec::new, |r| result(event, r, case)),
        EventType::Act => Vec::new(),
    }
}

/// A failure or a complaint of one of us. What the sending side says itself is not a report, and to
/// ask out is everybody's right.
fn speaks_against_us(event: &Event, policy: &Policy, claim: &Claim) -> bool {
    matches!(claim.item.kind, ItemKind::Failure | ItemKind::Complaint)
        && is_reserved(policy, event, claim.item.level, &claim.address)
}

fn most_of_one_report(policy: &Policy) -> usize {
    usize::try_from(policy.max_recipients_per_report).unwrap_or(usize::MAX)
}

/// Why a record counts in nothing for an address (key form), as a sentence for people; None when it
/// may count, or does not speak of it as failed.
pub(crate) fn why_silent(event: &Event, policy: &Policy, address: &str) -> Option<&'static str> {
    let case = policy.local_part_case;
    let ours = |verdict: &RecipientVerdict| verdict.reason == Some(Reason::SuppressedHere);
    if let Some(result) = &event.result {
        return result.verdict.as_ref().is_some_and(ours).then_some(OWN_REFUSAL);
    }
    let analysis = event.analysis.as_ref()?;
    let mailed = analysis.verp.as_ref().and_then(|verp| verp.recipient.as_deref());
    let about = |verdict: &&RecipientVerdict| {
        let named = [verdict.address(), mailed].into_iter().flatten();
        named.filter_map(|a| key(a, case)).any(|a| a == address)
    };
    if analysis.recipients.iter().filter(about).any(ours) {
        return Some(OWN_REFUSAL);
    }
    let claims = message(event, analysis, case);
    let claim = claims.iter().find(|claim| claim.address == address)?;
    if speaks_against_us(event, policy, claim) {
        return Some("not counted: no report speaks against an address of ours or of a program");
    }
    let decides = read(event, policy).iter().any(|claim| claim.address == address);
    (!decides).then_some(
        "not counted: one message without a signed return path decides for so many addresses only \
         (policy.max_recipients_per_report)",
    )
}

const OWN_REFUSAL: &str = "this is our own refusal: it counts in nothing";

fn blank(event: &Event, kind: ItemKind, level: Attribution) -> Item {
    Item { scope: scope_of(event), ..Item::of(event, kind, level) }
}

fn message(event: &Event, analysis: &Analysis, case: Case) -> Vec<Claim> {
    // What people and their programs hand on is in the record for people, and counts in nothing.
    if analysis.forwarded {
        return Vec::new();
    }
    let key = |address: &str| key(address, case);
    let level = level_of(event, analysis);
    let mut item = blank(event, ItemKind::Failure, level);
    item.message = analysis.original.message_id.as_deref().map_or(0, message_hash);
    item.token = token_hash(event, analysis);
    let mailed = match level {
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
        None => analysis.recipients.iter().filter_map(|r| key(r.address()?)).collect(),
    };
    // Each address once, in the order of the report.
    let mut seen = std::collections::BTreeSet::new();
    addresses.retain(|a| seen.insert(a.clone()));
    let provider = analysis.recipients.first().and_then(|r| r.provider.clone());
    addresses
        .into_iter()
        .map(|address| {
            let guard = guard_of(provider.as_deref(), &address);
            Claim {
                item: Item { guard: Some(guard), ..item.clone() },
                figure,
                provider: named(provider.as_deref(), &address),
                address,
            }
        })
        .collect()
}

fn failures(analysis: &Analysis, item: &Item, mailed: Option<String>, case: Case) -> Vec<Claim> {
    let key = |address: &str| key(address, case);
    if let Some(address) = mailed {
        // The recipient that is the mailed address speaks first; else the first that failed: a
        // forwarded mail fails somewhere else, and that is evidence on the address we mailed.
        let ours = |r: &&RecipientVerdict| {
            [r.address(), r.recipient.original_recipient.as_deref()]
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
        .filter_map(|r| Some((r, key(r.address()?)?)))
        .filter(|(_, address)| seen.insert(address.clone()))
        .filter_map(|(r, address)| outcome(r, item, address, case))
        .collect()
}

fn failed(verdict: &RecipientVerdict) -> bool {
    matches!(verdict.recipient.action, None | Some(Action::Failed)) && verdict.reason.is_some()
}

/// What a recipient of a failure report amounts to: a failure, or proof of life of one that was
/// delivered beside the failed ones.
fn outcome(verdict: &RecipientVerdict, item: &Item, address: String, case: Case) -> Option<Claim> {
    let guard = Some(guard_of(verdict.provider.as_deref(), &address));
    let provider = named(verdict.provider.as_deref(), &address);
    if matches!(
        verdict.recipient.action,
        Some(Action::Delivered | Action::Relayed | Action::Expanded)
    ) {
        let item = Item { kind: ItemKind::Life, guard, ..item.clone() };
        return Some(Claim { address, item, figure: None, provider });
    }
    if !failed(verdict) {
        return None;
    }
    let reason = verdict.reason?;
    let code = verdict.recipient.status.map(|s| s.to_string());
    let other = verdict.address().filter(|a| key(a, case).as_deref() != Some(&address));
    let item = Item {
        reason: Some(reason),
        rule: verdict.rule.clone(),
        code: code.or_else(|| verdict.recipient.reply_code.map(|c| c.to_string())),
        guard,
        inferred: verdict.certainty == Some(Certainty::Inferred),
        words: other.map(|a| format!("the report names {a}")),
        ..item.clone()
    };
    let figure = Some(match reason {
        Reason::SuppressedHere => Figure::OwnRefusal,
        reason => Figure::Failed(reason.category()),
    });
    Some(Claim { address, item, figure, provider })
}

/// An in-band result comes from our own sending side: as good as signed.
fn result(event: &Event, result: &SendResult, case: Case) -> Vec<Claim> {
    let Some(address) = key(&result.address, case) else { return Vec::new() };
    let mut item = blank(event, ItemKind::Sent, Attribution::Signed);
    item.message = result.message_id.as_deref().map_or(0, message_hash);
    let verdict = result.verdict.as_ref();
    let named_by = verdict.and_then(|v| v.provider.as_deref());
    item.guard = Some(guard_of(named_by, &address));
    let provider = named(named_by, &address);
    let said = |item, figure| vec![Claim { address: address.clone(), item, figure, provider }];
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
                .map(|s| Claim { item: Item { words: None, ..s.item }, ..s })
                .collect()
        }
        // `deferred`: still trying; evidence in the journal only.
        _ => Vec::new(),
    }
}

/// The key form of an address of a record.
pub(crate) fn key(address: &str, case: Case) -> Option<String> {
    Address::stored(address).map(|a| a.key_in(case))
}

pub(crate) fn message_hash(id: &str) -> u64 {
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
