//! What is written down of one recipient: what the report says, and what that means. The reason
//! comes from the verdict; class, category and advice follow from the reason and from the kind of
//! the message (docs/taxonomy.md, "Reasons"). Only failures have a category, answers have a class
//! of their own, and what is still being tried is class 70.

use serde::{Deserialize, Serialize};

use super::judge::{RuleSet, judge};
use super::named;
use super::verdict::{Advice, Category, Certainty, Class, Reason, Verdict};
use crate::mail::Address;
use crate::report::{Action, Kind, Recipient, Report, StatusSource};

/// One recipient with its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RecipientVerdict {
    /// What the report says, with the codes that are in force after words and field were weighed.
    #[serde(flatten)]
    pub recipient: Recipient,
    /// Provider of the closed table.
    pub provider: Option<String>,
    /// Why; only failures and delays have one.
    pub reason: Option<Reason>,
    /// Class.
    pub class: Option<Class>,
    /// Its number.
    pub class_code: Option<u16>,
    /// Category; only failures have one.
    pub category: Option<Category>,
    /// Whether the reason was said, or is inferred from a code or a part of the words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certainty: Option<Certainty>,
    /// Advice.
    pub advice: Option<Advice>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// `file:line` of that rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_at: Option<String>,
    /// What the rule matched.
    pub matched: Option<String>,
    /// In so many seconds the server wants to hear from us again, when it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// The block list that a refusal of us names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocklist: Option<String>,
}

impl RecipientVerdict {
    /// The line of a recipient in a message of this kind.
    pub fn new(kind: Kind, mut recipient: Recipient, verdict: Verdict) -> Self {
        let failed = kind == Kind::Failure && recipient.action.is_none_or(|a| a == Action::Failed);
        let delayed = matches!(kind, Kind::Failure | Kind::Delay)
            && recipient.action == Some(Action::Delayed);
        let judged = failed || delayed;
        let mut reason = verdict.reason.filter(|_| judged);
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
        let category = match reason {
            // Still tried, beside others that failed: class 70, which is soft.
            Some(_) if delayed && kind == Kind::Failure => Some(Category::Soft),
            reason => reason.filter(|_| failed).map(Reason::category),
        };
        recipient.status = verdict.status;
        recipient.status_source = verdict.status_source;
        recipient.reply_code = verdict.reply_code;
        recipient.keep_words(verdict.remarks_read);
        let said = recipient.diagnostic.as_str();
        // A sender that the server gave up on is not to come again.
        let waits =
            reason.is_some_and(|r| r.category() == Category::Soft && !matches!(r, Reason::Expired));
        let refused_us = category == Some(Category::Block);
        Self {
            retry_after: waits.then(|| named::retry_after(said)).flatten(),
            blocklist: refused_us.then(|| named::blocklist(said)).flatten(),
            recipient,
            provider: verdict.provider.map(str::to_string),
            reason,
            class,
            class_code: class.map(Class::code),
            category,
            certainty: reason.map(|_| verdict.certainty),
            advice,
            rule: judged.then_some(verdict.rule),
            rule_at: judged.then_some(verdict.rule_at),
            matched: judged.then_some(verdict.matched),
        }
    }

    /// The address that we mailed, as well as it is known.
    pub fn address(&self) -> Option<&str> {
        self.recipient.address.as_ref().map(Address::as_str)
    }

    /// The same recipient, judged again with other rules as part of `report`, which names nobody.
    pub fn again(&self, mut report: Report, rules: &RuleSet) -> Option<Self> {
        let mut recipient = self.recipient.clone();
        recipient.words_as_reported();
        if recipient.status_source != Some(StatusSource::Field) {
            // A status that we took from the words is found there again.
            recipient.status = None;
        }
        report.recipients.push(recipient.clone());
        let verdict = judge(&report, rules).pop()?;
        Some(Self::new(report.kind, recipient, verdict))
    }
}
