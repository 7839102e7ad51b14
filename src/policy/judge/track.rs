//! What the items of one address amount to in one scope: the result of [`walk`](super::walk::walk).

use crate::mail::Timestamp;
use crate::policy::settings::Untried;
use crate::report::Attribution;

/// Sending stops, since when, until when, and by which clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Begin.
    pub since: Timestamp,
    /// End; None is without end.
    pub until: Option<Timestamp>,
    /// Clause of the policy.
    pub clause: String,
    /// Place of the deciding item.
    pub item: usize,
}

/// A stop of the mailbox with what comes after its term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// The stop.
    pub stop: Stop,
    /// End of the probation that follows it; None: no probation.
    pub probation_until: Option<Timestamp>,
    /// The one more try.
    pub tried: Option<Timestamp>,
    pub(super) grace_ms: i64,
    pub(super) untried: Untried,
}

/// A soft failure that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strike {
    /// When.
    pub at: Timestamp,
    /// Which mail.
    pub message: u64,
    /// Which token.
    pub token: u64,
    pub(super) level: Attribution,
    /// Place of its item.
    pub item: usize,
}

/// A failure that wants another on a later day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// When.
    pub at: Timestamp,
    /// The first of those that a guard put here in a row.
    pub(super) first: Timestamp,
    /// How long it waits.
    pub until: Option<Timestamp>,
    pub(super) level: Attribution,
    /// Put here by a guard: a `now` on the same day does not suppress either.
    pub guarded: bool,
    /// Place of its item.
    pub item: usize,
}

/// What the items amount to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Track {
    /// The mailbox is (or was) stopped.
    pub stopped: Option<Stopped>,
    /// A guard says wait.
    pub held: Option<Stop>,
    /// Soft failures within the window.
    pub strikes: Vec<Strike>,
    /// How often strikes have suppressed.
    pub rounds: u32,
    /// A failure that wants confirmation.
    pub pending: Option<Pending>,
    /// Proof of life, not used up: when, and how sure it is.
    pub alive: Option<(Timestamp, Attribution)>,
    /// A person suppressed.
    pub by_hand: Option<Stop>,
    /// Another list that a person imported says so: of this scope, and of all of them. They stay
    /// apart, so that an import means the same in whatever order its lines are.
    pub imported: [Option<Stop>; 2],
    /// The recipient complained.
    pub complaint: Option<Stop>,
    /// The recipient unsubscribed.
    pub unsubscribed: Option<Stop>,
}

impl Track {
    /// What was imported: what was said of the scope itself speaks first.
    pub(crate) fn imported(&self) -> Option<&Stop> {
        self.imported.iter().flatten().next()
    }

    /// Everything that stops mail at `now`.
    pub(crate) fn stops(&self, now: Timestamp) -> impl Iterator<Item = &Stop> {
        let mailbox = self.stopped.as_ref().map(|s| &s.stop);
        let mailbox = mailbox.filter(move |s| s.until.is_none_or(|until| now < until));
        let by_people = [&self.by_hand, &self.complaint, &self.unsubscribed];
        by_people.into_iter().chain(&self.imported).flatten().chain(mailbox)
    }
}

/// Why an item changed nothing, or what it did: for `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// It changed the track.
    Counted,
    /// Taken back.
    Undone,
    /// Only signed evidence counts.
    NotSigned,
    /// The same mail, or the same token, was counted before.
    SameMail,
    /// Of another scope.
    OtherScope,
    /// It could count, and nothing followed: sending had stopped already, or there was nothing to clear.
    NoChange,
}

impl Note {
    /// The sentence for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Undone => "taken back by an undo",
            Self::NotSigned => "not counted: signing keys are configured and this is not signed",
            Self::SameMail => "not counted: the same mail or the same token was counted before",
            Self::OtherScope => "not counted: it belongs to another scope",
            Self::NoChange => "counted, and changed nothing",
        }
    }
}
