//! The values that recognition produces: a report, its recipients, the returned original.

use serde::{Deserialize, Serialize};

use crate::mail::words;
use crate::mail::{Address, EnhancedStatus, ReplyCode, Timestamp};

words! {
    /// What a message is (docs/taxonomy.md). Decided before any class; only `Failure` is ever
    /// judged.
    Kind {
        /// A recipient failed for good.
        Failure = "failure",
        /// Still trying.
        Delay = "delay",
        /// Delivered, relayed or expanded.
        Success = "success",
        /// ARF (RFC 5965).
        Complaint = "complaint",
        /// MDN (RFC 8098).
        Receipt = "receipt",
        /// Vacation and other automatic answers (RFC 3834).
        AutoReply = "auto-reply",
        /// "Confirm that you are human."
        ChallengeResponse = "challenge-response",
        /// Asks out.
        Unsubscribe = "unsubscribe",
        /// Asks in.
        Subscribe = "subscribe",
        /// Anything else: a person's reply, spam, unreadable.
        Other = "other",
    }
}

words! {
    /// `Action` of RFC 3464 section 2.3.3.
    Action {
        /// Failed for good.
        Failed = "failed",
        /// Still trying.
        Delayed = "delayed",
        /// In the mailbox.
        Delivered = "delivered",
        /// Handed to a system that sends no reports.
        Relayed = "relayed",
        /// Delivered to a list or alias.
        Expanded = "expanded",
    }
}

words! {
    /// Where a status code came from.
    StatusSource {
        /// A Status field.
        Field = "field",
        /// Found in the diagnostic.
        Text = "text",
        /// Chosen by us from the reply code or the wording.
        Derived = "derived",
    }
}

words! {
    /// How a report was tied to a mailing of ours (docs/policy.md), best first.
    Attribution {
        /// The envelope recipient carries a valid signed VERP.
        Signed = "signed",
        /// An unsigned VERP.
        Plain = "plain",
        /// The returned original carries an id that a `sent` event named.
        MessageId = "message-id",
        /// Only the report's own fields or words name the recipient.
        Report = "report",
        /// Nothing names one.
        None = "none",
    }
}

/// Most recipients of one report that are kept. Readers stop one later, so that it can be told.
pub const MAX_RECIPIENTS: usize = 1_000;

/// What one message says, before anyone judges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What the message is.
    pub kind: Kind,
    /// Which recogniser read it: `rfc3464`, `arf`, `qmail`, ...
    pub format: String,
    /// One entry for each recipient that the message speaks of.
    pub recipients: Vec<Recipient>,
    /// Who speaks (`Reporting-MTA`, or what a format tells).
    pub reporting_mta: Option<String>,
    /// When the reporting MTA got the message.
    pub arrival_date: Option<Timestamp>,
    /// The mail that this report is about.
    pub original: Original,
    /// Addresses that the returned mail was sent from, by its fields, in lower case.
    pub senders: Vec<String>,
    /// ARF feedback type: `abuse`, `fraud`, `virus`, `opt-out`, `not-spam`, ...
    pub feedback_type: Option<String>,
    /// Vacation: the day of return, when the text names it unambiguously.
    pub away_until: Option<Timestamp>,
    /// Address-change notice: the new address.
    pub new_address: Option<Address>,
    /// It is in mail that is no notice itself: it is kept, and decides nothing.
    pub forwarded: bool,
    /// The clues that led here, as people would name them.
    pub clues: Vec<String>,
}

impl Report {
    /// A report of a kind, read by a format, that names no one yet.
    pub fn new(kind: Kind, format: impl Into<String>) -> Self {
        Self {
            kind,
            format: format.into(),
            recipients: Vec::new(),
            reporting_mta: None,
            arrival_date: None,
            original: Original::default(),
            senders: Vec::new(),
            feedback_type: None,
            away_until: None,
            new_address: None,
            forwarded: false,
            clues: Vec::new(),
        }
    }

    /// Marks what the message only hands on, and says why.
    pub fn hand_on(&mut self, why: &str) {
        self.forwarded = true;
        self.clues.push(format!("forwarded: {why}; decides nothing"));
    }

    /// Takes the mark away: an operator vouches for who forwarded it.
    pub(super) fn vouch(&mut self) {
        self.forwarded = false;
        for clue in self.clues.iter_mut().filter(|clue| clue.starts_with("forwarded: ")) {
            *clue = format!("an operator vouches for it ({clue})");
        }
    }
}

/// One recipient as the report tells it, and, in the journal, as it was judged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Recipient {
    /// The address that we mailed, as well as it is known; None when the report names none that
    /// can be read.
    pub address: Option<Address>,
    /// `Original-Recipient`, without its type.
    pub original_recipient: Option<String>,
    /// `Final-Recipient`, without its type.
    pub final_recipient: Option<String>,
    /// What happened.
    pub action: Option<Action>,
    /// The `Status` field, or what a format found in its text.
    pub status: Option<EnhancedStatus>,
    /// Where `status` came from.
    pub status_source: Option<StatusSource>,
    /// A reply code that is given apart from the diagnostic.
    pub reply_code: Option<ReplyCode>,
    /// `Diagnostic-Code` without its type, unfolded; or the words that a format found. Bounded,
    /// control characters gone.
    #[serde(default, with = "empty_as_null")]
    pub diagnostic: String,
    /// In a record only: `diagnostic` holds the human part, for the report had no diagnostic.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub human: bool,
    /// Human-part text that explains when the diagnostic does not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remarks: String,
    /// `Remote-MTA`, or the host that a format says refused.
    pub remote_mta: Option<String>,
}

impl Recipient {
    /// For the record: one place for the words that people are shown, and remarks only when they
    /// were read beside a diagnostic.
    pub fn keep_words(&mut self, remarks_read: bool) {
        self.human = self.diagnostic.is_empty() && !self.remarks.is_empty();
        if self.human {
            self.diagnostic = std::mem::take(&mut self.remarks);
        } else if !remarks_read {
            self.remarks.clear();
        }
    }

    /// Takes [`Self::keep_words`] back.
    pub fn words_as_reported(&mut self) {
        if std::mem::take(&mut self.human) {
            self.remarks = std::mem::take(&mut self.diagnostic);
        }
    }
}

/// A text that is `null` in JSON when it is empty.
mod empty_as_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
        Some(text).filter(|text| !text.is_empty()).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
        Option::deserialize(from).map(Option::unwrap_or_default)
    }
}

/// What is known of the mail that the report is about, from what was returned of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Original {
    /// `Message-ID`, with its angle brackets.
    pub message_id: Option<String>,
    /// `Subject`, decoded.
    pub subject: Option<String>,
    /// `To` addresses.
    #[serde(default)]
    pub to: Vec<String>,
    /// `List-Id`.
    pub list_id: Option<String>,
    /// `Feedback-ID`, `X-Campaign` or the like.
    pub feedback_id: Option<String>,
    /// `CFBL-Feedback-ID` (RFC 9477), without white space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cfbl_feedback_id: Option<String>,
}
