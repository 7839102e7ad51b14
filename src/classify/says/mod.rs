//! A refusal read as a sentence: roles and states from the lexicon, reasons from the table.
//!
//! Promises: the same text gives the same answer; the answer names the words that decided; nothing
//! is allocated but for the answer. Deliberately ignorant of providers: their rules come before.

mod lexicon;
mod parts;
mod sentence;
mod shipped;
mod starts;
mod table;
mod whose;
mod words;

use std::cell::RefCell;
use std::sync::LazyLock;

use lexicon::Lexicon;
pub(super) use parts::Beside;
use parts::{Hit, PhraseKind, Roles, Said, UNNAMED};
use table::MeaningTable;
use words::KnownAddresses;

use super::verdict::{Category, Reason};

/// Lexicon and table, ready to read.
#[derive(Debug)]
pub struct Says {
    lexicon: Lexicon,
    table: MeaningTable,
    roles: Roles,
}

/// What the words say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meaning<'s> {
    pub(super) reason: Reason,
    /// `says/recipient/absent`.
    pub(super) name: &'s str,
    /// File and line of the row: `table.toml:222`.
    pub(super) at: &'s str,
    /// The words that decided.
    pub(super) matched: String,
    /// A code or the human part may say more.
    pub(super) vague: bool,
    /// The role is not named, or the words only suggest it.
    pub(super) inferred: bool,
    /// The words are about the mailbox or its owner.
    pub(super) of_mailbox: bool,
    /// The words refuse the message, or what is in it.
    pub(super) of_message: bool,
    /// The words are about us: sender, host, how we identify ourselves.
    pub(super) of_us: bool,
}

#[derive(Default)]
struct Buffers {
    split: String,
    folded: String,
    text: String,
    links: String,
    hits: Vec<Hit>,
    said: Vec<Said>,
}

impl Says {
    /// The shipped lexicon and table.
    pub fn shipped() -> &'static Self {
        static SAYS: LazyLock<Says> = LazyLock::new(|| {
            Says::read(shipped::TABLE, shipped::LEXICON).expect("read by the tests")
        });
        &SAYS
    }

    /// Reads a table and lexicon files (name, text); an error names the place.
    pub fn read(table: &str, files: &[(&str, &str)]) -> Result<Self, String> {
        let table = MeaningTable::read(table)?;
        let lexicon = Lexicon::read(files, &table)?;
        let role = |name: &str| table.role(name).ok_or_else(|| format!("no role `{name}`"));
        let state = |name: &str| table.state(name).ok_or_else(|| format!("no state `{name}`"));
        let roles = Roles {
            recipient: role("recipient")?,
            message: role("message")?,
            address: role("address")?,
            sender: role("sender")?,
            agent: role("agent")?,
            domain: role("domain")?,
            link: role("link")?,
            absent: state("absent")?,
            disabled: state("disabled")?,
            no_mail: state("no-mail")?,
            barred: state("barred")?,
        };
        Ok(Self { lexicon, table, roles })
    }

    /// The text of the shipped table and lexicon: they are part of what names the rules.
    pub(super) fn sources() -> impl Iterator<Item = &'static str> {
        std::iter::once(shipped::TABLE).chain(shipped::LEXICON.iter().map(|(_, text)| *text))
    }

    /// How many phrases the lexicon has.
    pub fn phrases(&self) -> usize {
        self.lexicon.len()
    }

    /// Reads a text. `raw` is the text before it was folded: identifiers show their words by case.
    pub(super) fn of(&self, raw: &str, folded: &str, beside: &Beside<'_>) -> Option<Meaning<'_>> {
        thread_local! {
            static SCRATCH: RefCell<Buffers> = RefCell::default();
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let folded = if words::split_identifiers(raw, &mut scratch.split) {
                super::text::fold(&scratch.split, &mut scratch.folded);
                &scratch.folded
            } else {
                folded
            };
            let senders = senders_in(raw, beside.senders);
            let sender_domains = sender_domains(beside);
            let known = KnownAddresses {
                domain: beside.domain,
                senders: &senders,
                sender_domains: &sender_domains,
            };
            words::words(folded, known, &mut scratch.text, &mut scratch.links);
            self.lexicon.hits(&scratch.text, &mut scratch.hits);
            let Buffers { text, hits, said, .. } = scratch;
            let rest = unread(text, hits);
            sentence::leave_out_owners(text, hits, &self.lexicon.genitives, self.roles);
            sentence::read(text, hits, (&self.table, self.roles, &self.lexicon.bonds), said);
            self.meaning(text, said, rest, beside)
        })
    }

    /// The pair whose row is first; what is said plainly before what is in a link.
    fn meaning(
        &self,
        text: &str,
        said: &[Said],
        rest: usize,
        beside: &Beside<'_>,
    ) -> Option<Meaning<'_>> {
        let best = |aside: bool| {
            said.iter()
                .filter(|one| one.aside == aside)
                .filter_map(|one| {
                    let elsewhere = self.table.is_by_name(one.pair.0) && is_elsewhere(text, one);
                    let row = self.table.first(one.pair, beside, said, (rest, elsewhere))?;
                    Some((row, one, elsewhere))
                })
                .min_by_key(|(row, one, _)| (*row, one.start))
        };
        let plain = best(false);
        let vague = plain.is_none_or(|(row, ..)| self.table.row(row).is_none_or(|row| row.vague));
        // Advice and links may hint at anything but a dead address.
        let is_soft = |row: &usize| {
            self.table.row(*row).is_some_and(|row| row.reason.category() != Category::Hard)
        };
        // That advice names the sender says nothing of him.
        let is_named = |one: &Said| one.pair == (self.roles.sender, parts::NAMED);
        let hint = best(true).filter(|(row, one, _)| vague && is_soft(row) && !is_named(one));
        let (at, one, elsewhere) = match (plain, hint) {
            (Some(plain), Some(hint)) if hint.0 < plain.0 => hint,
            (Some(plain), _) => plain,
            (None, hint) => hint?,
        };
        let row = self.table.row(at)?;
        // Before the recipient was named nothing is said of it, and little of anything is of us.
        let category = row.reason.category();
        let open = category == Category::Hard || (category == Category::Block && row.vague);
        let before = open.then(|| self.table.before_recipient(text)).flatten();
        let is_doubt = |one: &Said| !one.aside && self.table.is_doubt(one.pair.1);
        let doubt = category == Category::Hard
            && (said.iter().any(is_doubt)
                || self.is_one_of_two(text, said, one.pair, |other| {
                    let row = self.table.first(other.pair, beside, said, (rest, false))?;
                    Some(self.table.row(row)?.reason.category())
                }));
        Some(Meaning {
            reason: before.unwrap_or(row.reason),
            of_message: category == Category::Block && self.table.is_of_message(one.pair.0),
            of_us: before.is_some() || self.table.is_us(one.pair.0),
            of_mailbox: self.table.is_about_recipient(one.pair.0),
            name: self.table.name(one.pair),
            at: &row.at,
            matched: clean(text.get(one.start..one.end).unwrap_or_default()),
            vague: row.vague && before.is_none(),
            inferred: row.inferred
                || one.aside
                || elsewhere
                || doubt
                || (one.pair.0 == UNNAMED && !row.by_status),
        })
    }

    /// Whether a pair is said only beside another cause that is not hard: `no such user or bad
    /// reputation`. `category` gives that of what else is said.
    fn is_one_of_two(
        &self,
        text: &str,
        said: &[Said],
        pair: parts::Pair,
        category: impl Fn(&Said) -> Option<Category>,
    ) -> bool {
        let plain = || said.iter().filter(|one| !one.aside);
        let others =
            || plain().filter(|other| category(other).is_some_and(|found| found != Category::Hard));
        plain()
            .filter(|one| one.pair == pair)
            .all(|one| others().any(|other| self.is_or_between(text, one, other)))
    }

    /// Whether a word between two pairs leaves open which of them holds. Where the second is said of
    /// the role of the first, it is after what was said first: `user unknown or blocked`.
    fn is_or_between(&self, text: &str, one: &Said, other: &Said) -> bool {
        let (first, second) = if one.end <= other.end { (one, other) } else { (other, one) };
        let to = if second.start >= first.end { second.start } else { second.end };
        let between = text.get(first.end..to).unwrap_or_default();
        // What stands nowhere is said by no words.
        first.end > 0
            && !between.contains(char::from(words::STOP))
            && self.lexicon.ors.iter().any(|word| between.contains(word.as_str()))
    }
}

/// The senders that a text names, as folding writes them, with a blank local part.
fn senders_in(raw: &str, senders: &[String]) -> Vec<String> {
    let stands = |sender: &&String| {
        let Some((local, domain)) = sender.rsplit_once('@') else { return false };
        memchr::memchr_iter(b'@', raw.as_bytes()).any(|at| {
            let from = at.checked_sub(local.len());
            let found = from.and_then(|from| raw.get(from..at + 1 + domain.len()));
            let before = from.and_then(|from| raw.as_bytes().get(from.checked_sub(1)?));
            found.is_some_and(|found| found.eq_ignore_ascii_case(sender))
                && !before.is_some_and(|b| b.is_ascii_alphanumeric() || b"._+-=".contains(b))
        })
    };
    let blank = |sender: &String| {
        let mut out = String::new();
        super::text::fold(sender, &mut out);
        out.trim().to_string()
    };
    senders.iter().filter(stands).map(blank).collect()
}

/// The domains of the senders, but for one that is the recipient's, too, or is above or below it.
fn sender_domains<'a>(beside: &Beside<'a>) -> Vec<&'a str> {
    let domains = beside.senders.iter().filter_map(|sender| Some(sender.rsplit_once('@')?.1));
    let mine = |domain: &str| beside.domain.ends_with(domain) || domain.ends_with(beside.domain);
    domains.filter(|domain| !domain.is_empty() && !mine(domain)).collect()
}

/// Whether a sentence, or the one after it, names a domain that is not the recipient's beside what it
/// says: nothing is said of the recipient's then.
fn is_elsewhere(text: &str, one: &Said) -> bool {
    let parts = (text.get(..one.start), text.get(one.start..one.end), text.get(one.end..));
    let (Some(before), Some(said), Some(after)) = parts else { return false };
    let stop = char::from(words::STOP);
    let before = before.rsplit(stop).next().unwrap_or_default();
    let after = after.match_indices(stop).nth(1).map_or(after, |(at, _)| &after[..at]);
    let name = |word: &&str| matches!(*word, "@otherhost" | "@host" | "@rcpt");
    let named = said.split(' ').find(name).or_else(|| before.rsplit(' ').find(name));
    named.or_else(|| after.split(' ').find(name)) == Some("@otherhost")
}

/// Words of the text, links apart, that no phrase holds.
fn unread(text: &str, hits: &[Hit]) -> usize {
    let text = text.as_bytes();
    let is_word = |w: &&[u8]| w.len() > 2 && !w.starts_with(b"@");
    let words = |piece: &[u8]| piece.split(|b| *b == b' ').filter(is_word).count();
    let (mut at, mut rest, mut advice) = (0, 0, false);
    for hit in hits {
        if !advice {
            rest += words(text.get(at..hit.start).unwrap_or_default());
        }
        at = hit.end;
        match hit.part {
            PhraseKind::Break(words::LINKS) => return rest,
            PhraseKind::Break(words::STOP) => advice = false,
            PhraseKind::Skip => advice = true,
            _ => {}
        }
    }
    if advice { rest } else { rest + words(text.get(at..).unwrap_or_default()) }
}

/// The words without our marks.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split(' ').filter(|w| !w.starts_with(|c: char| c < ' ')) {
        if !out.is_empty() {
            out.push(' ');
        }
        // A record names no senders: judged again, the same words must decide.
        out.push_str(match word {
            "@from" => "@addr",
            "@fromhost" | "@otherhost" => "@host",
            word => word,
        });
    }
    out
}

/// Reading of the sample lines, and texts with other words, for `measure.rs`.
mod samples;

#[cfg(test)]
mod tests;
