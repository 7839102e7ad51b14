//! What a sentence is made of: the words that lexicon, table and reading have in common.

/// A role and a state, by their places in the table's lists.
pub(super) type Pair = (u8, u8);

/// The role that nothing names.
pub(super) const UNNAMED: u8 = 0;
/// The state of a role of which nothing is said.
pub(super) const NAMED: u8 = 0;

/// What a phrase is in a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
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
    /// A break of the sentence; never in a lexicon.
    Break(u8),
}

/// A phrase where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) part: Part,
}

/// A pair and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    pub(super) pair: Pair,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Stands in a link or in advice: a hint at most.
    pub(super) aside: bool,
}
