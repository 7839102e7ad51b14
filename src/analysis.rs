//! The straight line from octets to an event. Read [`Analyser::analyse`] from top to bottom: each step
//! is one call with one typed value.
//!
//! Nothing here fails: a message that nobody understands is `other`, kept and counted, and
//! suppresses nobody. No clock, no randomness: both are arguments.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::classify::shadow::Shadow;
use crate::classify::{self, Advice, Category, Class, Reason, RuleSet, Verdict};
use crate::event::{Analysis, Envelope, Event, EventType, RecipientVerdict};
use crate::mail::{Address, Timestamp};
use crate::message::Message;
use crate::report::{self, Action, Attribution, Kind, Recipient, Report, Sent};
use crate::verp::{Attributed, Moment, Verp};

/// What judging needs besides the message: swapped as a whole on reload.
#[derive(Clone)]
pub struct Analyser {
    /// Return-path addresses.
    pub verp: Arc<Verp>,
    /// Classification rules.
    pub rules: Arc<RuleSet>,
    /// Rules on trial; they decide nothing.
    pub shadow: Option<Arc<Shadow>>,
}

/// A message as it was received.
#[derive(Debug, Clone)]
pub struct Received<'a> {
    /// Octets behind DATA, dots unstuffed.
    pub data: &'a [u8],
    /// SMTP envelope.
    pub envelope: Envelope,
    /// Address of the client, without its port.
    pub peer: Option<String>,
    /// Moment of acceptance.
    pub received_at: Timestamp,
    /// The same, as return paths are checked: a span while the clock is in doubt.
    pub moment: Moment,
    /// Id of the event to be.
    pub id: String,
}

/// The analysis and what the envelope proves.
#[derive(Debug)]
pub struct Analysed {
    /// The classify object.
    pub analysis: Analysis,
    /// Attribution by the envelope, or what is left without it.
    pub attribution: Attribution,
    /// Scope of a signed token.
    pub scope: Option<String>,
    /// Campaign of a signed token.
    pub campaign: Option<String>,
    /// Names a signed token in per-token claims.
    pub token_id: Option<String>,
    /// Identity of the message, for recognising it when it comes again.
    pub digest: String,
}

impl Analyser {
    /// message -> report -> attribution -> verdicts, of a file: nobody knows its reverse-path.
    pub fn analyse(&self, data: &[u8], envelope_to: &[String], now: impl Into<Moment>) -> Analysed {
        self.analyse_sent(data, Sent::default(), envelope_to, now)
    }

    /// The same of a message whose way to us is known.
    pub fn analyse_sent(
        &self,
        data: &[u8],
        sent: Sent<'_>,
        envelope_to: &[String],
        now: impl Into<Moment>,
    ) -> Analysed {
        let message = Message::parse(data);
        let mut report = report::recognise(&message, sent);
        let cut = cut_short(&mut report);
        let attributed = self.attribute(&message, &report, envelope_to, now.into());
        settle_recipients(&mut report, &message, &attributed);
        let signed = (attributed.attribution() == Attribution::Signed)
            .then(|| attributed.recipient())
            .flatten();
        report::us::leave_out(&mut report, &message, |d| self.verp.is_ours(d), signed);
        let verdicts = classify::judge(&report, &self.rules);
        if let Some(shadow) = &self.shadow {
            shadow.watch(&report, &verdicts);
        }
        let digest = digest(&message, &report, envelope_to);
        let attribution = match attributed.attribution() {
            Attribution::None if report.recipients.iter().any(|r| r.address.is_some()) => {
                Attribution::Report
            }
            rung => rung,
        };
        let best = attributed.best();
        Analysed {
            attribution,
            scope: best.and_then(|c| c.scope.clone()),
            campaign: best.and_then(|c| c.campaign.clone()),
            token_id: best.and_then(|c| c.token_id.clone()),
            digest,
            analysis: analysis(&message, (report, cut), verdicts, &attributed),
        }
    }

    /// The journal record of a received message, without its place and decisions.
    pub fn evidence(&self, received: Received<'_>) -> Event {
        let Envelope { from, to, trusted } = &received.envelope;
        let sent = Sent { reverse_path: Some(from), trusted: *trusted };
        let analysed = self.analyse_sent(received.data, sent, to, received.moment);
        Event {
            peer: received.peer,
            envelope: Some(received.envelope),
            attribution: Some(analysed.attribution),
            scope: analysed.scope,
            campaign: analysed.campaign,
            token: analysed.token_id,
            digest: Some(analysed.digest),
            analysis: Some(analysed.analysis),
            ..Event::new(EventType::Message, received.id, received.received_at)
        }
    }

    /// Who is meant, as far as the envelope can prove it. A short token finds its recipient among
    /// the addresses that the report and the returned mail name.
    fn attribute(
        &self,
        message: &Message<'_>,
        report: &Report,
        envelope_to: &[String],
        now: Moment,
    ) -> Attributed {
        if envelope_to.is_empty() {
            return Attributed { claims: Vec::new(), unmatched_short: false };
        }
        let mut near: Vec<Address> = Vec::new();
        for recipient in &report.recipients {
            near.extend(recipient.address.clone());
            let named = [&recipient.original_recipient, &recipient.final_recipient];
            let others = named.into_iter().flatten().filter_map(|n| Address::parse(n));
            near.extend(others.filter(|a| recipient.address.as_ref() != Some(a)));
        }
        near.extend(report.original.to.iter().filter_map(|to| Address::parse(to)));
        let failed = message.headers().text("x-failed-recipients").unwrap_or_default();
        near.extend(report::addresses::all_in(&failed).map(|(a, _)| a).take(20));
        near.extend(message.headers().addresses("from"));
        self.verp.read(envelope_to, &mut near.iter(), now)
    }
}

/// Keeps so many recipients as one event may have; says so.
fn cut_short(report: &mut Report) -> Option<&'static str> {
    let too_many = report.recipients.len() > report::MAX_RECIPIENTS;
    report.recipients.truncate(report::MAX_RECIPIENTS);
    too_many.then_some("only the first 1,000 recipients were read")
}

/// The address that we mailed stands in `address`: a VERP knows it better than the report, which
/// names where the mail was forwarded to.
fn settle_recipients(report: &mut Report, message: &Message<'_>, attributed: &Attributed) {
    if attributed.unmatched_short {
        report.kind = Kind::Other;
        report
            .evidence
            .push("signed return path whose recipient nothing in the message names".into());
        return;
    }
    let reports_delivery = matches!(report.kind, Kind::Failure | Kind::Delay | Kind::Success);
    if reports_delivery && report.recipients.is_empty() {
        let action = match report.kind {
            Kind::Delay => Action::Delayed,
            Kind::Success => Action::Delivered,
            _ => Action::Failed,
        };
        let words = report::bounded_words(&message.human_text());
        report.recipients.push(Recipient {
            action: Some(action),
            remarks: words,
            ..Recipient::default()
        });
    }
    let Some(mailed) = attributed.recipient() else { return };
    let key = mailed.key();
    let named =
        report.recipients.iter().any(|r| r.address.as_ref().is_some_and(|a| a.key() == key));
    if !named && (reports_delivery || report.kind == Kind::Complaint) {
        match report.recipients.as_mut_slice() {
            [only] => only.address = Some(mailed.clone()),
            [] => report
                .recipients
                .push(Recipient { address: Some(mailed.clone()), ..Recipient::default() }),
            // An alias that was expanded: none of these is the address we mailed.
            _ => {}
        }
    }
}

/// What is written down of message, report and verdicts.
fn analysis(
    message: &Message<'_>,
    (report, cut): (Report, Option<&str>),
    verdicts: Vec<Verdict>,
    attributed: &Attributed,
) -> Analysis {
    let kind = report.kind;
    let recipients = report.recipients.into_iter().zip(verdicts);
    let recipients = recipients.map(|(r, v)| verdict(kind, r, v)).collect();
    Analysis {
        kind,
        format: report.format,
        bytes: message.size as u64,
        verp: attributed.info().cloned(),
        reporting_mta: report.reporting_mta,
        arrival_date: report.arrival_date,
        recipients,
        original: report.original,
        feedback_type: report.feedback_type,
        away_until: report.away_until,
        new_address: report.new_address.map(|a| a.to_string()),
        forwarded: report.forwarded,
        evidence: report.evidence,
        defects: message
            .defects
            .iter()
            .copied()
            .chain(cut)
            .chain(
                message.has_cut_text().then_some("a text over budget: only its beginning was read"),
            )
            .map(ToString::to_string)
            .collect(),
    }
}

/// One recipient's line. Only failures carry a category; answers carry their own class.
fn verdict(kind: Kind, recipient: Recipient, verdict: Verdict) -> RecipientVerdict {
    let failed = kind == Kind::Failure && recipient.action.is_none_or(|a| a == Action::Failed);
    let delayed =
        matches!(kind, Kind::Failure | Kind::Delay) && recipient.action == Some(Action::Delayed);
    let mut reason = verdict.reason.filter(|_| failed || delayed);
    if failed
        && recipient.address.is_none()
        && matches!(reason, Some(Reason::Generic | Reason::Undetermined) | None)
    {
        reason = Some(Reason::NoRecipient);
    }
    let class = match kind {
        Kind::AutoReply => Some(Class::AutoReply),
        Kind::ChallengeResponse => Some(Class::ChallengeResponse),
        Kind::Unsubscribe => Some(Class::Unsubscribe),
        Kind::Subscribe => Some(Class::Subscribe),
        _ if delayed => Some(Class::TransientFailure),
        _ => reason.map(Reason::class),
    };
    let advice = match kind {
        Kind::Unsubscribe => Some(Advice::Remove),
        _ if delayed => Some(Advice::None),
        _ => reason.map(Reason::advice),
    };
    let judged = failed || delayed;
    let human = recipient.diagnostic.is_empty() && !recipient.remarks.is_empty();
    let (words, beside) = match human {
        true => (recipient.remarks, String::new()),
        false => (recipient.diagnostic, recipient.remarks),
    };
    RecipientVerdict {
        address: recipient.address.map(|a| a.to_string()),
        original_recipient: recipient.original_recipient,
        final_recipient: recipient.final_recipient,
        action: recipient.action,
        status: verdict.status,
        status_source: verdict.status_source,
        reply_code: verdict.reply_code,
        diagnostic: Some(words).filter(|w| !w.is_empty()),
        human,
        remarks: Some(beside).filter(|w| verdict.remarks_read && !w.is_empty()),
        remote_mta: recipient.remote_mta,
        provider: verdict.provider.map(str::to_string),
        reason,
        class,
        class_code: class.map(Class::code),
        category: match reason {
            // Still tried, beside others that failed: class 70, which is soft.
            Some(_) if delayed && kind == Kind::Failure => Some(Category::Soft),
            reason => reason.filter(|_| failed).map(Reason::category),
        },
        certainty: reason.map(|_| verdict.certainty),
        advice,
        rule: judged.then_some(verdict.rule),
        rule_at: judged.then_some(verdict.rule_at),
        matched: judged.then_some(verdict.matched),
    }
}

/// The same message delivered again after a lost 250 (RFC 1047) has the same digest: the client
/// sends the same octets. Two messages that differ in anything that we hash are two messages:
/// counting one twice is a nuisance, dropping one would be a loss. Trace fields above a report
/// with a Message-ID may differ, for it may come again by another relay.
fn digest(message: &Message<'_>, report: &Report, envelope_to: &[String]) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update(text.as_bytes());
        hash.update([0]);
    };
    for to in envelope_to {
        add(to);
    }
    add(report.kind.as_str());
    for recipient in &report.recipients {
        add(recipient.address.as_ref().map_or("", Address::as_str));
        add(recipient.final_recipient.as_deref().unwrap_or_default());
        add(&recipient.status.map(|s| s.to_string()).unwrap_or_default());
    }
    add(report.reporting_mta.as_deref().unwrap_or_default());
    add(report.original.message_id.as_deref().unwrap_or_default());
    match message.headers().text("message-id") {
        Some(id) => {
            add(&id);
            add(&message.headers().text("subject").unwrap_or_default());
            hash.update(message.parts().first().map_or(&[][..], |p| p.body));
        }
        None => {
            add(&message.size.to_string());
            hash.update(message.kept);
        }
    }
    let octets = hash.finalize();
    data_encoding::HEXLOWER.encode(octets.get(..16).unwrap_or(&octets))
}

/// Judges the reply to an attempt of our own MTA, as a report about it would be judged.
pub fn judge_reply(
    pipeline: &Analyser,
    failed: bool,
    address: &Address,
    reply: &str,
    remote_mta: Option<&str>,
) -> Option<RecipientVerdict> {
    let kind = if failed { Kind::Failure } else { Kind::Delay };
    let recipient = Recipient {
        address: Some(address.clone()),
        action: Some(if failed { Action::Failed } else { Action::Delayed }),
        diagnostic: report::bounded_words(reply),
        remote_mta: remote_mta.map(|m| m.chars().take(255).collect()),
        ..Recipient::default()
    };
    let mut report = Report::new(kind, "in-band");
    report.recipients.push(recipient.clone());
    let judged = classify::judge(&report, &pipeline.rules);
    if let Some(shadow) = &pipeline.shadow {
        shadow.watch(&report, &judged);
    }
    Some(verdict(kind, recipient, judged.into_iter().next()?))
}

/// Judges the recipients of a journalled message, or an in-band result, again with other rules.
/// None when nothing in it was judged.
pub fn judge_again(event: &Event, rules: &RuleSet) -> Option<Vec<RecipientVerdict>> {
    if let Some(result) = &event.result {
        let kind = if result.outcome == "failed" { Kind::Failure } else { Kind::Delay };
        let report = Report::new(kind, "in-band");
        return Some(vec![verdict_again(report, result.verdict.as_ref()?, rules)?]);
    }
    let analysis = event.analysis.as_ref()?;
    if !matches!(analysis.kind, Kind::Failure | Kind::Delay) {
        return None;
    }
    let again = |old: &RecipientVerdict| {
        let mut report = Report::new(analysis.kind, analysis.format.as_str());
        report.reporting_mta = analysis.reporting_mta.clone();
        verdict_again(report, old, rules)
    };
    analysis.recipients.iter().map(again).collect()
}

/// One recipient of a journalled event, judged again as part of an empty report of its kind.
fn verdict_again(
    mut report: Report,
    old: &RecipientVerdict,
    rules: &RuleSet,
) -> Option<RecipientVerdict> {
    let words = old.diagnostic.clone().unwrap_or_default();
    let (diagnostic, remarks) = match old.human {
        true => (String::new(), words),
        false => (words, old.remarks.clone().unwrap_or_default()),
    };
    let recipient = Recipient {
        address: old.address.as_deref().and_then(Address::parse),
        original_recipient: old.original_recipient.clone(),
        final_recipient: old.final_recipient.clone(),
        action: old.action,
        // A status that we took from the words is found there again.
        status: old.status.filter(|_| old.status_source == Some(report::StatusSource::Field)),
        status_source: old.status_source,
        reply_code: old.reply_code,
        diagnostic,
        remarks,
        remote_mta: old.remote_mta.clone(),
    };
    report.recipients.push(recipient.clone());
    let kind = report.kind;
    let new = classify::judge(&report, rules).pop()?;
    Some(verdict(kind, recipient, new))
}
