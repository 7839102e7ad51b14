//! What another list said of an entry that was imported from it: kept in the act and shown in the
//! entry, so that an export that is imported elsewhere comes back as it was.

use serde::{Deserialize, Serialize};

use crate::classify::{Category, Class, Reason};
use crate::mail::Timestamp;

/// Why an entry is on the list: its `reason`. Class and category follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Cause {
    /// Mail to it failed.
    Failure(Reason),
    /// The recipient complained.
    Complaint,
    /// The recipient unsubscribed.
    Unsubscribe,
    /// A person said so.
    ByHand,
}

impl Cause {
    /// The cause for a word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "complaint" => Some(Self::Complaint),
            "unsubscribe" => Some(Self::Unsubscribe),
            "by-hand" => Some(Self::ByHand),
            word => Reason::parse(word).map(Self::Failure),
        }
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failure(reason) => reason.as_str(),
            Self::Complaint => "complaint",
            Self::Unsubscribe => "unsubscribe",
            Self::ByHand => "by-hand",
        }
    }

    /// Class that goes with it.
    pub fn class(self) -> Option<Class> {
        match self {
            Self::Failure(reason) => Some(reason.class()),
            Self::Unsubscribe => Some(Class::Unsubscribe),
            Self::Complaint | Self::ByHand => None,
        }
    }

    /// Category that goes with it.
    pub fn category(self) -> Option<Category> {
        match self {
            Self::Failure(reason) => Some(reason.category()),
            _ => None,
        }
    }
}

impl From<Cause> for &'static str {
    fn from(cause: Cause) -> Self {
        cause.as_str()
    }
}

impl TryFrom<String> for Cause {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        Self::parse(&word).ok_or_else(|| format!("`{word}` is no reason"))
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the other list said of an entry, as far as it did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Why.
    #[serde(rename = "reason", default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// By which rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// After how many events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
}

impl Imported {
    /// Whether it said nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_reads_back() {
        let failures = Reason::ALL.iter().map(|reason| Cause::Failure(*reason));
        for cause in failures.chain([Cause::Complaint, Cause::Unsubscribe, Cause::ByHand]) {
            assert_eq!(Cause::parse(cause.as_str()), Some(cause));
            let json = serde_json::to_string(&cause).expect("plain data");
            assert_eq!(json, format!("\"{cause}\""));
            assert_eq!(serde_json::from_str::<Cause>(&json).ok(), Some(cause));
        }
        assert!(serde_json::from_str::<Cause>("\"tuesday\"").is_err());
    }

    #[test]
    fn acts_of_before_are_read_and_written_as_they_were() {
        use crate::event::Act;
        let old =
            r#"{"what":"suppress","address":"a@x.test","scope":"*","reason":"asked","until":null}"#;
        let act: Act = serde_json::from_str(old).expect("an act of before");
        assert_eq!(serde_json::to_string(&act).expect("plain data"), old);
        let new = r#"{"what":"suppress","address":"a@x.test","scope":"*","reason":"550 no","until":null,"told":{"reason":"complaint","since":"2026-11-22T00:00:00Z","rule":"iana/5.1.1","events":2}}"#;
        let act: Act = serde_json::from_str(new).expect("an act of now");
        assert_eq!(serde_json::to_string(&act).expect("plain data"), new);
    }

    #[test]
    fn what_was_not_said_is_not_written() {
        assert_eq!(serde_json::to_string(&Imported::default()).ok().as_deref(), Some("{}"));
        assert!(Imported::default().is_empty());
        assert!(!Imported { events: Some(1), ..Imported::default() }.is_empty());
    }
}
