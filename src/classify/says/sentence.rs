//! Who is meant, and what is said of them: gives each state of a text the role it belongs to.
//!
//! A state belongs to the role right before it (`user unknown`) or right behind it (`unknown user`),
//! else to the nearest one before it in its part of the sentence (`user is unknown`), else to the
//! nearest behind it, else to the subject that the sentence began with (`Recipient address rejected:
//! unknown`), else to nobody.
//! Only roles count for which the table knows the state. Where somebody owns what is said
//! (`whose.rs`), nothing is said of the recipient.

use std::collections::BTreeSet;

use super::parts::{Hit, NAMED, NEAR, Pair, Part, Roles, Said, UNNAMED, Until, between, gap};
use super::table::Table;
use super::whose;
use super::words::{COLON, COMMA, LINKS, STOP};

/// Finds the pairs of a text.
pub(super) fn read(
    text: &str,
    hits: &mut Vec<Hit>,
    (table, roles, bonds): (&Table, Roles, &BTreeSet<String>),
    said: &mut Vec<Said>,
) {
    said.clear();
    if join(text, hits, table, roles, bonds) {
        said.push(Said { pair: (roles.sender, NAMED), start: 0, end: 0, aside: false });
    }
    let mut aside = false;
    let mut skipping = false;
    // Whom all is said of for a while.
    let mut owner: Option<(u8, Until)> = None;
    // Who was refused, when a colon says why: `Sender address rejected: user unknown`.
    let mut refused = None;
    for at in 0..hits.len() {
        let Some(hit) = hits.get(at).copied() else { break };
        if let Part::Break(mark) = hit.part {
            owner = owner.filter(|(_, until)| *until > whose::strength(mark));
        }
        match hit.part {
            Part::Owner(role, until) => {
                owner = Some(owner.filter(|one| one.1 >= until).unwrap_or((role, until)));
                if table.has_name(role) && table.fits((role, NAMED)) {
                    let (start, end) = (hit.start, hit.end);
                    said.push(Said { pair: (role, NAMED), start, end, aside: aside || skipping });
                }
            }
            Part::Break(LINKS) => (aside, skipping, refused) = (true, false, None),
            Part::Break(STOP) => (skipping, refused) = (false, None),
            Part::Break(COLON) => {
                let last = said.last().filter(|one| table.is_own(one.pair)).map(|one| one.pair.0);
                refused = refused.or(last);
                // `Check of the sender: user unknown`.
                let before = at.checked_sub(1).and_then(|n| hits.get(n));
                if let Some(Hit { part: Part::Role(role), end, .. }) = before
                    && table.is_topic(*role)
                    && gap(text, *end, hit.start) == 0
                {
                    owner = owner.or(Some((*role, Until::Colon)));
                }
            }
            Part::Role(role) if table.fits((role, NAMED)) => {
                let (start, end) = (hit.start, hit.end);
                said.push(Said { pair: (role, NAMED), start, end, aside: aside || skipping });
            }
            Part::Skip => skipping = true,
            Part::Said(pair) => {
                let subject = subject_of(text, hits, at, table);
                if let Some(pair) = owned(pair, owner, subject.or(refused), table) {
                    let (start, end) = (hit.start, hit.end);
                    said.push(Said { pair, start, end, aside: aside || skipping });
                }
            }
            Part::State(state) => {
                if let Some(one) = state_at(text, hits, at, state, table)
                    && let Some(pair) = owned(one.pair, owner, refused, table)
                {
                    said.push(Said { pair, aside: aside || skipping, ..one });
                }
            }
            _ => {}
        }
    }
}

/// The sending side, when it stands right before what is said: `sender is not a user here`.
fn subject_of(text: &str, hits: &[Hit], at: usize, table: &Table) -> Option<u8> {
    let here = hits.get(at)?;
    // `an` is a word of direction in German.
    let before = hits.get(..at)?.iter().rfind(|hit| !matches!(hit.part, Part::To | Part::From))?;
    match before.part {
        Part::Role(role) if table.is_us(role) && gap(text, before.end, here.start) <= NEAR => {
            Some(role)
        }
        _ => None,
    }
}

/// What is said behind the colon is said of who was refused before it, not of the recipient. What
/// has an owner is said of it, or of nobody.
fn owned(
    pair: Pair,
    owner: Option<(u8, Until)>,
    refused: Option<u8>,
    table: &Table,
) -> Option<Pair> {
    let of_mailbox = table.is_about_recipient(pair.0);
    if let Some((role, _)) = owner.filter(|_| table.may_cost(pair)) {
        return if table.fits((role, pair.1)) { Some((role, pair.1)) } else { None };
    }
    match refused {
        Some(role) if of_mailbox && table.fits((role, pair.1)) => Some((role, pair.1)),
        _ => Some(pair),
    }
}

/// Makes one phrase of what belongs together: negations with what they negate, roles side by side,
/// directions with the role behind them. Tells whether something of yours is named that has no
/// role.
fn join(
    text: &str,
    hits: &mut Vec<Hit>,
    table: &Table,
    roles: Roles,
    bonds: &BTreeSet<String>,
) -> bool {
    hits.retain(|hit| hit.part != Part::Mute);
    let ours = whose::settle(text, hits, (table, roles, bonds));
    whose::join_names(text, hits, table, roles);
    negate(text, hits, roles);
    let mut at = 0;
    while at + 1 < hits.len() {
        let (Some(a), Some(b)) = (hits.get(at).copied(), hits.get(at + 1).copied()) else { break };
        let joined = match (a.part, b.part) {
            (Part::Role(left), Part::Role(right)) if side_by_side(text, a.end, b.start, bonds) => {
                table.compound(left, right).map(Part::Role)
            }
            // `SPF sender invalid`, `from address user unknown`.
            (Part::Role(left), Part::Said((right, state))) if gap(text, a.end, b.start) == 0 => {
                let is = table
                    .compound(left, right)
                    .filter(|is| table.is_us(*is) && table.fits((*is, state)));
                is.map(|is| Part::Said((is, state)))
            }
            // `from unknown domain`: whoever comes from there is the sender.
            (Part::From, Part::Said((role, state))) if gap(text, a.end, b.start) == 0 => {
                let is = table.compound(roles.sender, role);
                is.filter(|is| table.fits((*is, state))).map(|is| Part::Said((is, state)))
            }
            // `no mailbox for your return path`
            (Part::Said((left, state)), Part::To)
                if gap(text, a.end, b.start) == 0
                    && hits.get(at + 2).is_some_and(|hit| gap(text, b.end, hit.start) == 0) =>
            {
                let right = match hits.get(at + 2).map(|hit| hit.part) {
                    Some(Part::Role(right)) => table.compound(left, right),
                    _ => None,
                };
                let is = right.filter(|is| table.is_sender(*is) && table.fits((*is, state)));
                is.map(|is| Part::Said((is, state)))
            }
            // `unknown user in MAIL FROM`
            (Part::Said((left, state)), Part::Role(right))
                if side_by_side(text, a.end, b.start, bonds) =>
            {
                let is = table
                    .compound(left, right)
                    .filter(|is| table.is_us(*is) && table.fits((*is, state)));
                is.map(|is| Part::Said((is, state)))
            }
            (Part::From, Part::State(_)) if gap(text, a.end, b.start) == 0 => {
                if let Some(hit) = hits.get_mut(at + 2)
                    && let Part::Role(role) = hit.part
                    && gap(text, b.end, hit.start) == 0
                    && let Some(is) = table.compound(roles.sender, role)
                {
                    hit.part = Part::Role(is);
                }
                None
            }
            (Part::From, Part::Role(role))
                if gap(text, a.end, b.start) <= 1
                    && (role == roles.address || role == roles.recipient) =>
            {
                Some(Part::Role(roles.sender))
            }
            (Part::To, Part::Role(role))
                if gap(text, a.end, b.start) <= 1 && role == roles.address =>
            {
                Some(Part::Role(roles.recipient))
            }
            (Part::By, Part::Role(role))
                if gap(text, a.end, b.start) <= 2
                    && (role == roles.address || role == roles.recipient) =>
            {
                Some(Part::Role(roles.agent))
            }
            // `From: address not verified`.
            (Part::From, Part::Break(COLON)) if gap(text, a.end, b.start) == 0 => {
                Some(Part::Role(roles.sender))
            }
            _ => None,
        };
        // Of a `message to user@example.com` it is the message that was blocked.
        let named = |role| role == roles.address || role == roles.recipient;
        if let (Part::Role(role), Part::To, Some(Part::Role(whom))) =
            (a.part, b.part, hits.get(at + 2).map(|hit| hit.part))
            && role == roles.message
            && named(whom)
        {
            hits.drain(at + 1..at + 3);
            continue;
        }
        match joined {
            Some(part) => {
                hits.remove(at + 1);
                if let Some(hit) = hits.get_mut(at) {
                    *hit = Hit { start: a.start, end: b.end, part };
                }
            }
            None => at += 1,
        }
    }
    ours
}

/// Resolves negations: a predicate that is negated becomes its state, a state that is negated goes,
/// and `no mailbox` says of the mailbox that it is absent.
fn negate(text: &str, hits: &mut Vec<Hit>, roles: Roles) {
    for at in 0..hits.len() {
        let Some(hit) = hits.get(at).copied() else { break };
        let no = hit.part == Part::No;
        if !no && hit.part != Part::Not {
            continue;
        }
        if let Some((found, part)) = negated(text, hits, at, no, roles) {
            let other = hits.get(found).copied().unwrap_or(hit);
            let (start, end) = (hit.start.min(other.start), hit.end.max(other.end));
            // A role between them stays where it is: `no user found`.
            if let Some(slot) = hits.get_mut(found) {
                *slot = match part {
                    Some(part) if found.abs_diff(at) == 1 => Hit { start, end, part },
                    Some(part) => Hit { part, ..other },
                    None => Hit { part: Part::To, ..other },
                };
            }
            if part.is_none() || found.abs_diff(at) == 1 {
                continue;
            }
        }
    }
    hits.retain(|hit| !matches!(hit.part, Part::No | Part::Not | Part::Negated(_)));
}

/// What a negation negates, and what that becomes; None for nothing.
fn negated(
    text: &str,
    hits: &[Hit],
    at: usize,
    no: bool,
    roles: Roles,
) -> Option<(usize, Option<Part>)> {
    let hit = hits.get(at)?;
    for (n, next) in hits.iter().enumerate().skip(at + 1) {
        let far = gap(text, hit.end, next.start) > if no { 4 } else { NEAR };
        match next.part {
            Part::Break(_) => break,
            Part::Negated(state) if !far => return Some((n, Some(Part::State(state)))),
            Part::State(_) if !far && !no => return Some((n, None)),
            Part::Role(role) if no && !far && gap(text, hit.end, next.start) == 0 => {
                // `no user found` is negated at the predicate; `no user here` at the noun.
                let predicate = hits.iter().skip(n + 1).take(2).any(|h| {
                    matches!(h.part, Part::Negated(_)) && gap(text, next.end, h.start) <= NEAR
                });
                if !predicate {
                    return Some((n, Some(Part::Said((role, roles.absent)))));
                }
            }
            _ if far => break,
            _ => {}
        }
    }
    // Behind the predicate: `existiert nicht`, `bulunamadı`.
    let before = hits.get(..at)?.iter().enumerate().next_back()?;
    match before.1.part {
        Part::Negated(state) if gap(text, before.1.end, hit.start) <= 1 && !no => {
            Some((before.0, Some(Part::State(state))))
        }
        // `kennt diesen Benutzer nicht`
        Part::Role(_) if gap(text, before.1.end, hit.start) <= 1 && !no => {
            let verb = before.0.checked_sub(1).and_then(|n| Some((n, hits.get(n)?)))?;
            match verb.1.part {
                Part::Negated(state) if gap(text, verb.1.end, before.1.start) <= 1 => {
                    Some((verb.0, Some(Part::State(state))))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Nothing but a word of possession between two roles: `domain of the sender`, `user's mailbox`.
fn side_by_side(text: &str, from: usize, to: usize, bonds: &BTreeSet<String>) -> bool {
    let between = between(text, from, to);
    between.is_empty() || bonds.contains(between)
}

fn state_at(text: &str, hits: &[Hit], at: usize, state: u8, table: &Table) -> Option<Said> {
    let hit = hits.get(at)?;
    let (start, end) = (hit.start, hit.end);
    let fits = |n: usize| match hits.get(n).map(|h| h.part) {
        Some(Part::Role(role)) => table.fits((role, state)).then_some(role),
        Some(Part::Owner(role, _)) => {
            (table.is_grave(state) && table.fits((role, state))).then_some(role)
        }
        _ => None,
    };
    let made = |role: u8, n: usize| {
        let other = hits.get(n).copied().unwrap_or(*hit);
        let (start, end) = (start.min(other.start), end.max(other.end));
        Some(Said { pair: (role, state), start, end, aside: false })
    };
    let is_break = |n: usize| matches!(hits.get(n).map(|h| h.part), Some(Part::Break(_)));
    // Right before it.
    if let Some(before) = at.checked_sub(1)
        && let Some(role) = fits(before)
        && hits.get(before).is_some_and(|hit| gap(text, hit.end, start) == 0)
    {
        return made(role, before);
    }
    // Right behind it; but behind `not listed in` stands where, not who.
    let whole = text.get(start..end).is_some_and(|phrase| !phrase.ends_with(" in"));
    if whole
        && let Some(role) = fits(at + 1)
        && hits.get(at + 1).is_some_and(|next| gap(text, end, next.start) == 0)
    {
        return made(role, at + 1);
    }
    // Before it, in its part of the sentence; a comma does not part subject and predicate when
    // nothing else is said before it.
    let mut n = at;
    let mut subject = false;
    while n > 0 && !is_break(n - 1) {
        n -= 1;
        subject |= matches!(hits.get(n).map(|h| h.part), Some(Part::Role(_)));
        if let Some(role) = fits(n) {
            return made(role, n);
        }
    }
    // Behind it, in its part of the sentence.
    let mut m = at + 1;
    while m < hits.len() && !is_break(m) {
        if let Some(role) = fits(m) {
            return made(role, m);
        }
        m += 1;
    }
    // What the sentence began with, unless this part has a subject of its own.
    while n > 0 && !subject {
        n -= 1;
        match hits.get(n).map(|h| h.part) {
            Some(Part::Break(STOP | LINKS)) => break,
            _ => {
                if let Some(role) = fits(n) {
                    return made(role, n);
                }
            }
        }
    }
    // What stands in brackets or behind a colon.
    while let Some(part) = hits.get(m).map(|h| h.part) {
        match part {
            Part::Break(STOP | LINKS) => break,
            Part::Break(COLON | COMMA) => {}
            _ => {
                if let Some(role) = fits(m) {
                    return made(role, m);
                }
            }
        }
        m += 1;
    }
    table.fits((UNNAMED, state)).then_some(Said {
        pair: (UNNAMED, state),
        start,
        end,
        aside: false,
    })
}
