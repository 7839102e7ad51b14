//! Who is meant, and what is said of them: gives each state of a text the role it belongs to.
//!
//! A state belongs to the role right before it (`user unknown`) or right after it (`unknown user`),
//! else to the nearest one before it in its part of the sentence (`user is unknown`), else to the
//! nearest after it, else to the subject that the sentence began with (`Recipient address rejected:
//! unknown`), else to nobody.
//! Only roles count for which the table knows the state. Where somebody owns what is said
//! (`whose.rs`), nothing is said of the recipient.

use std::collections::BTreeSet;

use super::parts::{Hit, NAMED, NEAR, Pair, PhraseKind, Roles, Said, UNNAMED, Until, between, gap};
use super::table::MeaningTable;
use super::whose;
use super::words::{COLON, COMMA, LINKS, STOP};

/// Finds the pairs of a text.
pub(super) fn read(
    text: &str,
    hits: &mut Vec<Hit>,
    (table, roles, bonds): (&MeaningTable, Roles, &BTreeSet<String>),
    said: &mut Vec<Said>,
) {
    said.clear();
    if join(text, hits, table, roles, bonds) {
        said.push(Said { pair: (roles.sender, NAMED), start: 0, end: 0, aside: false });
    }
    let mut aside = false;
    let mut skipping = false;
    // Who all is said of for a while.
    let mut owner: Option<(u8, Until)> = None;
    // Who was refused, when a colon says why: `Sender address rejected: user unknown`.
    let mut refused = None;
    // How much was said before this sentence.
    let mut earlier = 0;
    for at in 0..hits.len() {
        let Some(hit) = hits.get(at).copied() else { break };
        if let PhraseKind::Break(mark) = hit.part {
            owner = owner.filter(|(_, until)| *until > whose::strength(mark));
            if matches!(mark, STOP | LINKS) {
                earlier = said.len();
            }
        }
        match hit.part {
            PhraseKind::Owner(role, until) => {
                owner = Some(owner.filter(|one| one.1 >= until).unwrap_or((role, until)));
                if (role, until) == (roles.sender, Until::End) {
                    turn_to_sender(said.iter_mut().skip(earlier), table, roles);
                }
                if table.has_name(role) && table.fits((role, NAMED)) {
                    let (start, end) = (hit.start, hit.end);
                    said.push(Said { pair: (role, NAMED), start, end, aside: aside || skipping });
                }
            }
            PhraseKind::Break(LINKS) => (aside, skipping, refused) = (true, false, None),
            PhraseKind::Break(STOP) => (skipping, refused) = (false, None),
            PhraseKind::Break(COLON) => {
                let last = said.last().filter(|one| table.is_own(one.pair)).map(|one| one.pair.0);
                refused = refused.or(last);
                let topic = topic_before(hits, at, table, roles);
                owner = owner.or(topic.map(|role| (role, Until::Colon)));
            }
            PhraseKind::Role(role) if is_alone(text, hits, at, table) => {
                // `No such domain (envelope from)`.
                if let Some(last) = said.last_mut().filter(|one| table.may_cost(one.pair))
                    && table.fits((role, last.pair.1))
                {
                    last.pair.0 = role;
                }
            }
            PhraseKind::Role(role) if table.fits((role, NAMED)) || table.is_asked_for(role) => {
                let (start, end) = (hit.start, hit.end);
                said.push(Said { pair: (role, NAMED), start, end, aside: aside || skipping });
            }
            PhraseKind::Skip => skipping = true,
            PhraseKind::During => {
                owner = Some(owner.unwrap_or((roles.sender, Until::Stop)));
                turn_to_sender(said.iter_mut().skip(earlier), table, roles);
            }
            PhraseKind::Said(pair) => {
                let subject = subject_of(text, hits, at, table);
                if let Some(pair) = owned(pair, owner, subject.or(refused), table) {
                    let (start, end) = (hit.start, hit.end);
                    said.push(Said { pair, start, end, aside: aside || skipping });
                }
            }
            PhraseKind::State(state) => {
                let subject = subject_of(text, hits, at, table);
                if let Some(one) = state_at(text, hits, at, state, table)
                    && let Some(pair) = owned(one.pair, owner, subject.or(refused), table)
                {
                    said.push(Said { pair, aside: aside || skipping, ..one });
                }
            }
            _ => {}
        }
    }
}

/// What may cost an address, and was found when the sender was asked, is said of the sender.
fn turn_to_sender<'s>(
    said: impl Iterator<Item = &'s mut Said>,
    table: &MeaningTable,
    roles: Roles,
) {
    for one in said.filter(|one| table.may_cost(one.pair)) {
        let fits = table.fits((roles.sender, one.pair.1));
        one.pair = (roles.sender, if fits { one.pair.1 } else { roles.absent });
    }
}

/// Takes out the recipient where he is named only as the owner of what no phrase knows: `the widget
/// of the user does not exist`.
pub(super) fn leave_out_owners(
    text: &str,
    hits: &mut Vec<Hit>,
    genitives: &[String],
    roles: Roles,
) {
    let mut last = 0;
    hits.retain(|hit| {
        let before = text.get(last..hit.start).unwrap_or_default();
        last = hit.end;
        if hit.part != PhraseKind::Role(roles.recipient) {
            return true;
        }
        let owned = genitives.iter().find_map(|word| before.strip_suffix(word.as_str()));
        let noun = owned.and_then(|owned| owned.rsplit(' ').next()).unwrap_or_default();
        noun.len() <= 2 || noun.starts_with('@')
    });
}

/// The sending side, called so and not by its address, alone in its part of the sentence: that part
/// says who the one before it is about.
fn is_alone(text: &str, hits: &[Hit], at: usize, table: &MeaningTable) -> bool {
    let Some(Hit { start, end, part: PhraseKind::Role(role) }) = hits.get(at).copied() else {
        return false;
    };
    let comma = |n: Option<usize>| {
        let hit = n.and_then(|n| hits.get(n));
        hit.filter(|hit| hit.part == PhraseKind::Break(COMMA)).copied()
    };
    let named = text.get(start..end).is_some_and(|words| !words.starts_with('@'));
    let begins = comma(at.checked_sub(1)).is_some_and(|hit| gap(text, hit.end, start) <= 1);
    let ends = match hits.get(at + 1) {
        None => gap(text, end, text.len()) <= 1,
        Some(next) => matches!(next.part, PhraseKind::Break(_)) && gap(text, end, next.start) == 0,
    };
    named && begins && ends && table.is_sender(role)
}

/// Who a colon says more of: `Check of the sender: user unknown`, `HELO mx.example.com: host not
/// found`. The last topic before it, unless recipient or message are named there, too.
fn topic_before(hits: &[Hit], colon: usize, table: &MeaningTable, roles: Roles) -> Option<u8> {
    let mut topic = None;
    for hit in hits.get(..colon)?.iter().rev() {
        match hit.part {
            PhraseKind::Break(STOP | LINKS | COLON) => break,
            PhraseKind::Role(role) | PhraseKind::Said((role, _)) => {
                if role == roles.recipient || role == roles.message {
                    return None;
                }
                topic = topic.or(Some(role).filter(|role| table.is_topic(*role)));
            }
            _ => {}
        }
    }
    topic
}

/// The sending side, when it is right before what is said: `sender is not a user here`.
fn subject_of(text: &str, hits: &[Hit], at: usize, table: &MeaningTable) -> Option<u8> {
    let here = hits.get(at)?;
    // `an` is a word of direction in German.
    let before = hits
        .get(..at)?
        .iter()
        .rfind(|hit| !matches!(hit.part, PhraseKind::To | PhraseKind::From))?;
    match before.part {
        PhraseKind::Role(role)
            if table.is_us(role) && gap(text, before.end, here.start) <= NEAR =>
        {
            Some(role)
        }
        _ => None,
    }
}

/// What is said after the colon is said of who was refused before it, not of the recipient. What
/// has an owner is said of it, or of nobody.
fn owned(
    pair: Pair,
    owner: Option<(u8, Until)>,
    refused: Option<u8>,
    table: &MeaningTable,
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
/// directions with the role after them. Tells whether something of yours is named that has no
/// role.
fn join(
    text: &str,
    hits: &mut Vec<Hit>,
    table: &MeaningTable,
    roles: Roles,
    bonds: &BTreeSet<String>,
) -> bool {
    hits.retain(|hit| hit.part != PhraseKind::Mute);
    let ours = whose::settle(text, hits, (table, roles, bonds));
    leave_out_what_is_fine(text, hits);
    name_what_the_sender_is_not(text, hits, table, roles);
    whose::join_names(text, hits, table, roles);
    negate(text, hits, roles);
    let mut at = 0;
    while at + 1 < hits.len() {
        let (Some(a), Some(b)) = (hits.get(at).copied(), hits.get(at + 1).copied()) else { break };
        let joined = match (a.part, b.part) {
            (PhraseKind::Role(left), PhraseKind::Role(right))
                if side_by_side(text, a.end, b.start, bonds) =>
            {
                table.compound(left, right).map(PhraseKind::Role)
            }
            // `SPF sender invalid`, `from address user unknown`.
            (PhraseKind::Role(left), PhraseKind::Said((right, state)))
                if gap(text, a.end, b.start) == 0 =>
            {
                let is = table
                    .compound(left, right)
                    .filter(|is| table.is_us(*is) && table.fits((*is, state)));
                is.map(|is| PhraseKind::Said((is, state)))
            }
            // `from unknown domain`: whoever comes from there is the sender.
            (PhraseKind::From, PhraseKind::Said((role, state)))
                if gap(text, a.end, b.start) == 0 =>
            {
                let is = table.compound(roles.sender, role);
                is.filter(|is| table.fits((*is, state))).map(|is| PhraseKind::Said((is, state)))
            }
            // `no mailbox for your return path`
            (PhraseKind::Said((left, state)), PhraseKind::To)
                if gap(text, a.end, b.start) == 0
                    && hits.get(at + 2).is_some_and(|hit| gap(text, b.end, hit.start) == 0) =>
            {
                let right = match hits.get(at + 2).map(|hit| hit.part) {
                    Some(PhraseKind::Role(right)) => table.compound(left, right),
                    _ => None,
                };
                let is = right.filter(|is| table.is_sender(*is) && table.fits((*is, state)));
                is.map(|is| PhraseKind::Said((is, state)))
            }
            // `unknown user in MAIL FROM`
            (PhraseKind::Said((left, state)), PhraseKind::Role(right))
                if side_by_side(text, a.end, b.start, bonds) =>
            {
                let is = table
                    .compound(left, right)
                    .filter(|is| table.is_us(*is) && table.fits((*is, state)));
                is.map(|is| PhraseKind::Said((is, state)))
            }
            // `does not accept mail from unknown hosts`: from others it does.
            (PhraseKind::State(state) | PhraseKind::Said((_, state)), PhraseKind::From)
                if state == roles.no_mail && gap(text, a.end, b.start) == 0 =>
            {
                Some(PhraseKind::State(roles.barred))
            }
            (PhraseKind::From, PhraseKind::State(_)) if gap(text, a.end, b.start) == 0 => {
                if let Some(hit) = hits.get_mut(at + 2)
                    && let PhraseKind::Role(role) = hit.part
                    && gap(text, b.end, hit.start) == 0
                    && let Some(is) = table.compound(roles.sender, role)
                {
                    hit.part = PhraseKind::Role(is);
                }
                None
            }
            (PhraseKind::From, PhraseKind::Role(role))
                if gap(text, a.end, b.start) <= 1
                    && (role == roles.address || role == roles.recipient) =>
            {
                Some(PhraseKind::Role(roles.sender))
            }
            (PhraseKind::To, PhraseKind::Role(role))
                if gap(text, a.end, b.start) <= 1 && role == roles.address =>
            {
                Some(PhraseKind::Role(roles.recipient))
            }
            (PhraseKind::By, PhraseKind::Role(role))
                if gap(text, a.end, b.start) <= 2
                    && (role == roles.address || role == roles.recipient) =>
            {
                Some(PhraseKind::Role(roles.agent))
            }
            // `From: address not verified`.
            (PhraseKind::From, PhraseKind::Break(COLON)) if gap(text, a.end, b.start) == 0 => {
                Some(PhraseKind::Role(roles.sender))
            }
            _ => None,
        };
        // `DMARC record for example.com`: it is the record.
        if let (
            PhraseKind::Role(role),
            PhraseKind::To,
            Some(Hit { start, part: PhraseKind::Role(whose), .. }),
        ) = (a.part, b.part, hits.get(at + 2).copied())
            && table.compound(role, whose) == Some(role)
            && table.is_us(role)
            && gap(text, a.end, start) <= NEAR
        {
            hits.drain(at + 1..at + 3);
            continue;
        }
        // So it is of a `message from news@example.net to user@example.com`.
        if let Some([from, whose, to]) = hits.get(at + 1..at + 4)
            && a.part == PhraseKind::Role(roles.message)
            && (from.part, to.part) == (PhraseKind::From, PhraseKind::To)
            && matches!(whose.part, PhraseKind::Role(role) if role == roles.address || role == roles.sender)
            && gap(text, whose.end, to.start) == 0
        {
            hits.drain(at + 1..at + 3);
            continue;
        }
        // Of a `message to user@example.com` it is the message that was blocked.
        let named = |role| role == roles.address || role == roles.recipient;
        if let (PhraseKind::Role(role), PhraseKind::To, Some(PhraseKind::Role(whom))) =
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

/// Takes out who is named only to say that nothing is wrong with him: `the mailbox is fine`, `no
/// problem with the recipient`; with the negation or the state that belongs to it.
fn leave_out_what_is_fine(text: &str, hits: &mut Vec<Hit>) {
    let is_role = |hit: &Hit| matches!(hit.part, PhraseKind::Role(_));
    let gone = |hits: &mut Vec<Hit>, at: usize| {
        if let Some(hit) = hits.get_mut(at) {
            hit.part = PhraseKind::Mute;
        }
    };
    for at in 0..hits.len() {
        let Some(hit) = hits.get(at).copied() else { break };
        match hit.part {
            PhraseKind::Fine => {
                let mut role = at;
                while let Some(before) = role.checked_sub(1).and_then(|n| hits.get(n))
                    && is_role(before)
                    && gap(text, before.end, hits.get(role).map_or(0, |next| next.start)) == 0
                {
                    role -= 1;
                    gone(hits, role);
                }
            }
            PhraseKind::Trouble => {
                if let Some(before) = at.checked_sub(1).and_then(|n| hits.get(n))
                    && !is_role(before)
                    && !matches!(before.part, PhraseKind::Break(_))
                    && gap(text, before.end, hit.start) <= NEAR
                {
                    gone(hits, at - 1);
                }
                let (mut role, mut end) = (at + 1, hit.end);
                while let Some(next) = hits.get(role).copied()
                    && is_role(&next)
                    && gap(text, end, next.start) <= 1
                {
                    gone(hits, role);
                    (role, end) = (role + 1, next.end);
                }
            }
            _ => continue,
        }
        gone(hits, at);
    }
    hits.retain(|hit| hit.part != PhraseKind::Mute);
}

/// Who the sender is said not to be is the sender: `der Absender ist kein bekannter Benutzer`.
fn name_what_the_sender_is_not(text: &str, hits: &mut [Hit], table: &MeaningTable, roles: Roles) {
    for at in 0..hits.len() {
        let Some([sender, not, rest @ ..]) = hits.get_mut(at..) else { break };
        let PhraseKind::Role(role) = sender.part else { continue };
        let is_not = matches!(not.part, PhraseKind::No | PhraseKind::Not)
            && table.is_sender(role)
            && gap(text, sender.end, not.start) < NEAR;
        let mut end = not.end;
        for noun in rest.iter_mut().take(if is_not { 2 } else { 0 }) {
            if gap(text, end, noun.start) > NEAR {
                break;
            }
            end = noun.end;
            match noun.part {
                PhraseKind::Role(whom) if whom == roles.recipient => {
                    noun.part = PhraseKind::Role(role);
                }
                PhraseKind::Negated(_) | PhraseKind::By => {}
                _ => break,
            }
        }
    }
}

/// Resolves negations: a predicate that is negated becomes its state, a state that is negated goes,
/// and `no mailbox` says of the mailbox that it is absent.
fn negate(text: &str, hits: &mut Vec<Hit>, roles: Roles) {
    for at in 0..hits.len() {
        let Some(hit) = hits.get(at).copied() else { break };
        let no = hit.part == PhraseKind::No;
        if !no && hit.part != PhraseKind::Not {
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
                    None => Hit { part: PhraseKind::To, ..other },
                };
            }
            if part.is_none() || found.abs_diff(at) == 1 {
                continue;
            }
        }
    }
    hits.retain(|hit| {
        !matches!(hit.part, PhraseKind::No | PhraseKind::Not | PhraseKind::Negated(_))
    });
}

/// What a negation negates, and what that becomes; None for nothing.
fn negated(
    text: &str,
    hits: &[Hit],
    at: usize,
    no: bool,
    roles: Roles,
) -> Option<(usize, Option<PhraseKind>)> {
    let hit = hits.get(at)?;
    for (n, next) in hits.iter().enumerate().skip(at + 1) {
        let far = gap(text, hit.end, next.start) > if no { 4 } else { NEAR };
        match next.part {
            PhraseKind::Break(_) => break,
            PhraseKind::Negated(state) if !far => return Some((n, Some(PhraseKind::State(state)))),
            PhraseKind::State(_) if !far && !no => return Some((n, None)),
            PhraseKind::Role(role) if no && !far && gap(text, hit.end, next.start) == 0 => {
                // `no user found` is negated at the predicate; `no user here` at the noun.
                let predicate = hits.iter().skip(n + 1).take(2).any(|h| {
                    matches!(h.part, PhraseKind::Negated(_)) && gap(text, next.end, h.start) <= NEAR
                });
                if !predicate {
                    return Some((n, Some(PhraseKind::Said((role, roles.absent)))));
                }
            }
            _ if far => break,
            _ => {}
        }
    }
    // After the predicate: `existiert nicht`, `bulunamadı`; further after it where it ends its part
    // of the sentence: `existiert auf diesem Server nicht`.
    let ends = match hits.get(at + 1) {
        None => gap(text, hit.end, text.len()) == 0,
        Some(next) => {
            matches!(next.part, PhraseKind::Break(_)) && gap(text, hit.end, next.start) == 0
        }
    };
    let most = if ends { NEAR + 1 } else { 1 };
    let before = hits.get(..at)?.iter().enumerate().next_back()?;
    match before.1.part {
        PhraseKind::Negated(state) if gap(text, before.1.end, hit.start) <= most && !no => {
            Some((before.0, Some(PhraseKind::State(state))))
        }
        // `kennt diesen Benutzer nicht`
        PhraseKind::Role(_) if gap(text, before.1.end, hit.start) <= 1 && !no => {
            let verb = before.0.checked_sub(1).and_then(|n| Some((n, hits.get(n)?)))?;
            match verb.1.part {
                PhraseKind::Negated(state) if gap(text, verb.1.end, before.1.start) <= 1 => {
                    Some((verb.0, Some(PhraseKind::State(state))))
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

fn state_at(text: &str, hits: &[Hit], at: usize, state: u8, table: &MeaningTable) -> Option<Said> {
    let hit = hits.get(at)?;
    let (start, end) = (hit.start, hit.end);
    let fits = |n: usize| match hits.get(n).map(|h| h.part) {
        Some(PhraseKind::Role(role)) => table.fits((role, state)).then_some(role),
        Some(PhraseKind::Owner(role, _)) => {
            (table.is_grave(state) && table.fits((role, state))).then_some(role)
        }
        _ => None,
    };
    let made = |role: u8, n: usize| {
        let other = hits.get(n).copied().unwrap_or(*hit);
        let (start, end) = (start.min(other.start), end.max(other.end));
        Some(Said { pair: (role, state), start, end, aside: false })
    };
    let is_break = |n: usize| matches!(hits.get(n).map(|h| h.part), Some(PhraseKind::Break(_)));
    // Right before it.
    if let Some(before) = at.checked_sub(1)
        && let Some(role) = fits(before)
        && hits.get(before).is_some_and(|hit| gap(text, hit.end, start) == 0)
    {
        return made(role, before);
    }
    // Right after it; but after `not listed in` comes where, not who.
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
        subject |= matches!(hits.get(n).map(|h| h.part), Some(PhraseKind::Role(_)));
        if let Some(role) = fits(n) {
            return made(role, n);
        }
    }
    // After it, in its part of the sentence.
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
            Some(PhraseKind::Break(STOP | LINKS)) => break,
            _ => {
                if let Some(role) = fits(n) {
                    return made(role, n);
                }
            }
        }
    }
    // What is in brackets or after a colon.
    while let Some(part) = hits.get(m).map(|h| h.part) {
        match part {
            PhraseKind::Break(STOP | LINKS) => break,
            PhraseKind::Break(COLON | COMMA) => {}
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
