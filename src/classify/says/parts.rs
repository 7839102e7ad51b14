//! What a sentence is made of: the words that lexicon, table and reading have in common.

use crate::mail::{EnhancedStatus, ReplyCode};

/// A role and a state, by their places in the table's lists.
pub(super) type Pair = (u8, u8);

/// The role that nothing names.
pub(super) const UNNAMED: u8 = 0;
/// The state of a role of which nothing is said.
pub(super) const NAMED: u8 = 0;

/// What a phrase is in a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PhraseKind {
    Role(u8),
    State(u8),
    Negated(u8),
    Said(Pair),
    No,
    Not,
    From,
    To,
    By,
    Skip,
    Mute,
    /// `your`: the role after it is the sending side's.
    Your,
    /// `su`, `seu`: yours, or of whoever was named before.
    His,
    /// `on your side`: the role before it is the sending side's.
    Yours,
    /// `you are`.
    You,
    /// `we called back`: what follows was answered about the sender.
    Asked,
    /// `when verifying the sender`: all of its sentence is said of the sender.
    During,
    /// `replied`: what your server said is said of the sender.
    Tells,
    /// `leads to`: what follows is in a message, a link or a rule.
    Holds,
    /// `is fine`: the role before it is not what is wrong.
    Fine,
    /// `problem with`: the role after it is named, and nothing is said of its being there.
    Trouble,
    /// What follows is said of this role, so far; never in a lexicon.
    Owner(u8, Until),
    /// A break of the sentence; never in a lexicon.
    Break(u8),
}

/// How far a sentence is about one role, whatever else it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Until {
    /// The next break.
    Comma,
    Colon,
    Stop,
    /// The end of the text.
    End,
}

/// A phrase where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) part: PhraseKind,
}

/// A pair and where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    pub(super) pair: Pair,
    pub(super) start: usize,
    pub(super) end: usize,
    /// It is in a link or in advice: a hint at most.
    pub(super) aside: bool,
}

/// The roles that a sentence treats in their own way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Roles {
    pub(super) recipient: u8,
    pub(super) message: u8,
    pub(super) address: u8,
    pub(super) sender: u8,
    pub(super) agent: u8,
    pub(super) domain: u8,
    pub(super) link: u8,
    pub(super) absent: u8,
    pub(super) disabled: u8,
    pub(super) no_mail: u8,
    pub(super) barred: u8,
}

/// What is beside the words.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::classify) struct Beside<'a> {
    /// Domain of the recipient.
    pub(in crate::classify) domain: &'a str,
    /// Addresses that the mail was sent from.
    pub(in crate::classify) senders: &'a [String],
    /// Enhanced code in force.
    pub(in crate::classify) status: Option<EnhancedStatus>,
    /// Reply code.
    pub(in crate::classify) code: Option<ReplyCode>,
}

/// Words between two phrases, roughly: a phrase further away has nothing to do with it.
pub(super) const NEAR: usize = 3;

/// Words between two places.
pub(super) fn gap(text: &str, from: usize, to: usize) -> usize {
    let between = text.as_bytes().get(from..to).unwrap_or_default();
    memchr::memchr_iter(b' ', between).count().saturating_sub(1)
}

/// The words between two places.
pub(super) fn between(text: &str, from: usize, to: usize) -> &str {
    text.get(from..to).unwrap_or_default().trim_matches(' ')
}
