//! The straight line from octets to an event. Read `Analyser::judge` from top to bottom: each step
//! is one call with one typed value.
//!
//! Nothing here fails: a message that nobody understands is `other`, kept and counted, and
//! suppresses nobody. No clock, no randomness: both are arguments.

mod identity;

use std::sync::Arc;

use crate::classify::shadow::Shadow;
use crate::classify::{self, RecipientVerdict, RuleSet, Verdict};
use crate::event::{Analysis, Envelope, Event, EventType};
use crate::mail::{Address, Timestamp};
use crate::message::Message;
use crate::report::{self, Action, Arrival, Attribution, Kind, Recipient, Report, mailed};
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
    /// Octets after DATA, dots unstuffed.
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
}

/// What is known of a message when its recipients are judged.
struct Judged<'x> {
    message: Message<'x>,
    report: Report,
    /// Why the report is not whole.
    cut: Option<&'static str>,
    attributed: Attributed,
    verdicts: Vec<Verdict>,
}

impl Analyser {
    /// What a message of a file means: nobody knows its reverse-path.
    pub fn analyse(&self, data: &[u8], envelope_to: &[String], now: impl Into<Moment>) -> Analysed {
        self.judge(data, Arrival::default(), envelope_to, now.into()).into_analysed()
    }

    /// message -> report -> attribution -> verdicts.
    fn judge<'x>(
        &self,
        data: &'x [u8],
        arrival: Arrival<'_>,
        envelope_to: &[String],
        now: Moment,
    ) -> Judged<'x> {
        let message = Message::parse(data);
        let mut report = report::recognise(&message, arrival);
        let cut = cut_short(&mut report);
        let attributed = self.attribute(&message, &report, envelope_to, now);
        match attributed.unmatched_short {
            true => mailed::names_nobody(&mut report),
            false => mailed::settle(&mut report, &message, attributed.recipient()),
        }
        report::us::leave_out(&mut report, &message, |d| self.verp.is_ours(d), attributed.signed());
        let verdicts = classify::judge(&report, &self.rules);
        if let Some(shadow) = &self.shadow {
            shadow.watch(&report, &verdicts);
        }
        Judged { message, report, cut, attributed, verdicts }
    }

    /// The journal record of a received message, without its place and decisions.
    pub fn record(&self, received: Received<'_>) -> Event {
        let Envelope { from, to, trusted } = &received.envelope;
        let arrival = Arrival { reverse_path: Some(from), trusted: *trusted };
        let judged = self.judge(received.data, arrival, to, received.moment);
        let digest = identity::digest(received.data, &judged.message, &judged.report, to, *trusted);
        let analysed = judged.into_analysed();
        Event {
            peer: received.peer,
            envelope: Some(received.envelope),
            attribution: Some(analysed.attribution),
            scope: analysed.scope,
            campaign: analysed.campaign,
            token: analysed.token_id,
            digest: Some(digest),
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
        let mut paths = envelope_to.to_vec();
        paths.extend(self.signed_feedback_id(report, now));
        if paths.is_empty() {
            return Attributed { claims: Vec::new(), unmatched_short: false };
        }
        let near = mailed::candidates(report, message);
        self.verp.read(&paths, &mut near.iter(), now)
    }
}

impl Analyser {
    /// The signed return path that a sender put into `CFBL-Feedback-ID` (RFC 9477): who complains
    /// sends to the address in `CFBL-Address`, so nothing but this names the mailed one. Any other
    /// id is only kept.
    fn signed_feedback_id(&self, report: &Report, now: Moment) -> Option<String> {
        let id = report.original.cfbl_feedback_id.as_ref()?;
        let ours = report.kind == Kind::Complaint && self.verp.verify(id, now).is_ok();
        ours.then(|| id.clone())
    }
}

/// Keeps so many recipients as one event may have; says so.
fn cut_short(report: &mut Report) -> Option<&'static str> {
    let too_many = report.recipients.len() > report::MAX_RECIPIENTS;
    report.recipients.truncate(report::MAX_RECIPIENTS);
    too_many.then_some("only the first 1,000 recipients were read")
}

impl Judged<'_> {
    fn into_analysed(self) -> Analysed {
        let best = self.attributed.best();
        Analysed {
            attribution: self.attributed.level(&self.report),
            scope: best.and_then(|c| c.scope.clone()),
            campaign: best.and_then(|c| c.campaign.clone()),
            token_id: best.and_then(|c| c.token_id.clone()),
            analysis: self.into_analysis(),
        }
    }

    /// What is written down of message, report and verdicts.
    fn into_analysis(self) -> Analysis {
        let Self { message, report, cut, attributed, verdicts } = self;
        let kind = report.kind;
        let recipients = report.recipients.into_iter().zip(verdicts);
        let recipients = recipients.map(|(r, v)| RecipientVerdict::new(kind, r, v)).collect();
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
            clues: report.clues,
            defects: message
                .defects
                .iter()
                .copied()
                .chain(cut)
                .chain(
                    message
                        .has_cut_text()
                        .then_some("a text over budget: only its beginning was read"),
                )
                .map(ToString::to_string)
                .collect(),
        }
    }
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
    Some(RecipientVerdict::new(kind, recipient, judged.into_iter().next()?))
}

/// Judges the recipients of a journalled message, or an in-band result, again with other rules.
/// None when nothing in it was judged.
pub fn judge_again(event: &Event, rules: &RuleSet) -> Option<Vec<RecipientVerdict>> {
    if let Some(result) = &event.result {
        let kind = if result.outcome == "failed" { Kind::Failure } else { Kind::Delay };
        let report = Report::new(kind, "in-band");
        return Some(vec![result.verdict.as_ref()?.again(report, rules)?]);
    }
    let analysis = event.analysis.as_ref()?;
    if !matches!(analysis.kind, Kind::Failure | Kind::Delay) {
        return None;
    }
    let again = |old: &RecipientVerdict| {
        let mut report = Report::new(analysis.kind, analysis.format.as_str());
        report.reporting_mta = analysis.reporting_mta.clone();
        old.again(report, rules)
    };
    analysis.recipients.iter().map(again).collect()
}
