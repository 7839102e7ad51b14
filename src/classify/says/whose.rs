//! Whose a thing is, and who answered: what `your`, a callback or a quotation makes of the roles
//! beside it.
//!
//! | words | what they make |
//! |---|---|
//! | `your domain`, `the domain of your side` | the role is the sending side's |
//! | `you are unknown` | the sender; but not in `the user you are trying to reach` |
//! | `we called back`, `your server replied` | an owner: what follows is said of the sender |
//! | `a link leads to`, `a rule called` | an owner: what follows is quoted, and said of nobody's mailbox |
//!
//! Promises: one pass; only roles and owners are left of these words.

use std::collections::BTreeSet;

use super::parts::{Hit, NEAR, PhraseKind, Roles, Until, between, gap};
use super::table::MeaningTable;
use super::words::{COLON, COMMA, LINKS, STOP};

/// Words that may be between `your` and its noun: `your own mail server`.
const BETWEEN: usize = 1;

/// Resolves these words; tells whether something of yours is named that has no role (`your
/// network`): then what is said of nobody is not of the recipient.
pub(super) fn settle(
    text: &str,
    hits: &mut Vec<Hit>,
    (table, roles, bonds): (&MeaningTable, Roles, &BTreeSet<String>),
) -> bool {
    let mut unknown = false;
    let mut kept: usize = 0;
    // The possessive whose noun is still to come.
    let mut your: Option<Hit> = None;
    // It may be the recipient's.
    let mut theirs = false;
    // Where the last thing of yours is.
    let mut mine = None;
    // Whether the recipient was named in this sentence: then `su buzón` is the recipient's.
    let mut named = false;
    // Whether the sending side was named in it, and nobody's mailbox: then `its server told us`.
    let mut asked = false;
    // What the last role of this sentence would quote.
    let mut holder = None;
    for at in 0..hits.len() {
        let Some(mut hit) = hits.get(at).copied() else { break };
        let last = kept.checked_sub(1).and_then(|n| hits.get(n).copied());
        let touches = last.is_some_and(|last| gap(text, last.end, hit.start) == 0);
        match hit.part {
            PhraseKind::Your | PhraseKind::His => {
                theirs = hit.part == PhraseKind::His && named;
                // `the domain of your company`
                if let Some(last) = last
                    && last.part == PhraseKind::Role(roles.domain)
                    && bonds.contains(between(text, last.end, hit.start))
                    && let Some(slot) = hits.get_mut(kept - 1)
                    && let Some(is) = table.yours(roles.domain)
                {
                    slot.part = PhraseKind::Role(is);
                }
                your = Some(hit);
                continue;
            }
            PhraseKind::Yours => {
                // `adres, z którego piszesz`: a comma may be before it.
                let comma = last.is_some_and(|last| last.part == PhraseKind::Break(COMMA));
                let noun = kept.checked_sub(1 + usize::from(comma)).and_then(|n| hits.get_mut(n));
                if let Some(noun) = noun.filter(|noun| gap(text, noun.end, hit.start) <= NEAR)
                    && let Some(part) = yours(noun.part, table)
                {
                    noun.part = part;
                    noun.end = if comma { noun.end } else { hit.end };
                }
                continue;
            }
            PhraseKind::You => {
                let relative = last.is_some_and(|last| {
                    matches!(last.part, PhraseKind::Role(_) | PhraseKind::Said(_)) && touches
                });
                let rest = hits.get(at + 1..).unwrap_or_default();
                if relative || !is_unknown(text, hit.end, rest, roles) {
                    continue;
                }
                hit.part = PhraseKind::Owner(roles.sender, Until::Comma);
            }
            // `a link to an unknown domain`
            PhraseKind::To
                if touches && last.is_some_and(|l| l.part == PhraseKind::Role(roles.link)) =>
            {
                let Some(role) = holder else { continue };
                hit.part = PhraseKind::Owner(role, Until::Stop);
            }
            PhraseKind::Asked => hit.part = PhraseKind::Owner(roles.sender, Until::End),
            PhraseKind::Tells => {
                // Whether the server before it is yours was seen when `your` was.
                let ours = last.filter(|last| gap(text, last.end, hit.start) <= BETWEEN);
                let ours = ours.is_some_and(|last| {
                    mine == Some(last.start)
                        || matches!(last.part, PhraseKind::Role(role) if table.is_sender(role))
                });
                match holder {
                    _ if ours || (asked && !named) => {
                        hit.part = PhraseKind::Owner(roles.sender, Until::End)
                    }
                    Some(role) if touches => hit.part = PhraseKind::Owner(role, Until::Stop),
                    _ => continue,
                }
            }
            PhraseKind::Holds => match holder {
                Some(role) => hit.part = PhraseKind::Owner(role, Until::Stop),
                None => continue,
            },
            // `your server knows no such user`
            PhraseKind::Negated(state) if state == roles.absent && mine.is_some() => {
                if let Some(last) = last.filter(|last| Some(last.start) == mine)
                    && let PhraseKind::Role(role) = last.part
                    && gap(text, last.end, hit.start) <= BETWEEN
                    && let Some(slot) = hits.get_mut(kept - 1)
                {
                    slot.part = PhraseKind::Owner(role, Until::Comma);
                }
            }
            PhraseKind::Break(STOP | LINKS) => (named, asked, holder) = (false, false, None),
            _ => {}
        }
        let possessive = your.take();
        unknown |= possessive.is_some_and(|word| {
            gap(text, word.end, hit.start) > BETWEEN || matches!(hit.part, PhraseKind::State(_))
        });
        if let Some(word) = possessive.filter(|w| gap(text, w.end, hit.start) <= BETWEEN) {
            let part = yours(hit.part, table).filter(|part| !theirs || !is_sender(*part, roles));
            if let Some(part) = part {
                hit = Hit { start: word.start, end: hit.end, part };
                mine = Some(word.start);
            } else if matches!(hit.part, PhraseKind::State(_)) {
                // `your disabled account`
                your = Some(Hit { end: hit.end, ..word });
            }
        }
        if let PhraseKind::Role(role) | PhraseKind::Said((role, _)) = hit.part {
            named |= role == roles.recipient;
            asked |= role == roles.sender;
            holder = table.holder(role);
        }
        // `Policy "unknown-user"`: what is right after it is its name.
        if let Some(Hit { part: PhraseKind::Role(role), .. }) = last
            && table.has_name(role)
            && touches
            && of_mailbox(hit.part, table, roles)
            && let Some(slot) = hits.get_mut(kept - 1)
        {
            slot.part = PhraseKind::Owner(role, Until::Comma);
        }
        if let Some(slot) = hits.get_mut(kept) {
            *slot = hit;
        }
        kept += 1;
    }
    hits.truncate(kept);
    unknown
}

/// What `your` makes of a phrase.
fn yours(part: PhraseKind, table: &MeaningTable) -> Option<PhraseKind> {
    match part {
        PhraseKind::Role(role) => table.yours(role).map(PhraseKind::Role),
        PhraseKind::Said((role, state)) => {
            let role = table.yours(role).filter(|role| table.fits((*role, state)))?;
            Some(PhraseKind::Said((role, state)))
        }
        _ => None,
    }
}

fn is_sender(part: PhraseKind, roles: Roles) -> bool {
    matches!(part, PhraseKind::Role(role) | PhraseKind::Said((role, _)) if role == roles.sender)
}

/// Whether the next words say that somebody is not known, or no more; `to you` may be
/// between.
fn is_unknown(text: &str, from: usize, rest: &[Hit], roles: Roles) -> bool {
    if rest.first().is_none_or(|next| gap(text, from, next.start) > BETWEEN) {
        return false;
    }
    let between = |part: &PhraseKind| {
        matches!(part, PhraseKind::Not | PhraseKind::No | PhraseKind::To)
            || matches!(part, PhraseKind::Role(role) if *role == roles.recipient)
    };
    match rest.iter().map(|hit| hit.part).find(|part| !between(part)) {
        Some(
            PhraseKind::State(state) | PhraseKind::Negated(state) | PhraseKind::Said((_, state)),
        ) => state == roles.absent || state == roles.disabled,
        _ => false,
    }
}

fn of_mailbox(part: PhraseKind, table: &MeaningTable, roles: Roles) -> bool {
    match part {
        PhraseKind::Role(role) => role == roles.recipient,
        PhraseKind::Said((role, _)) => table.is_about_recipient(role),
        PhraseKind::State(state) => state == roles.absent || state == roles.disabled,
        _ => false,
    }
}

/// The sending side and its name side by side, each in its part of the sentence, are one: `your
/// server, mail.example.org, does not exist`.
pub(super) fn join_names(text: &str, hits: &mut Vec<Hit>, table: &MeaningTable, roles: Roles) {
    let is_comma = |hit: &Hit| hit.part == PhraseKind::Break(COMMA);
    let is_name = |role: u8| role == roles.address || role == roles.domain;
    let mut named = false;
    for at in 0..hits.len().saturating_sub(3) {
        let Some([one, comma, other, end]) = hits.get_mut(at..at + 4) else { break };
        let (PhraseKind::Role(left), PhraseKind::Role(right)) = (one.part, other.part) else {
            continue;
        };
        let beside = is_comma(comma)
            && is_comma(end)
            && gap(text, one.end, comma.start) == 0
            && gap(text, comma.end, other.start) <= BETWEEN
            && gap(text, other.end, end.start) == 0;
        let ours = match (table.is_us(left), table.is_us(right)) {
            (true, false) if is_name(right) => left,
            (false, true) if is_name(left) => right,
            _ => continue,
        };
        if beside {
            (one.part, other.part) = (PhraseKind::Role(ours), PhraseKind::Role(ours));
            (comma.part, end.part) = (PhraseKind::Mute, PhraseKind::Mute);
            named = true;
        }
    }
    if named {
        hits.retain(|hit| hit.part != PhraseKind::Mute);
    }
}

/// What an owner makes of a break.
pub(super) const fn strength(mark: u8) -> Until {
    match mark {
        STOP | LINKS => Until::Stop,
        COLON => Until::Colon,
        _ => Until::Comma,
    }
}
