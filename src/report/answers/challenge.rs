//! Challenge-response systems: the message is held until its sender proves to be a person.
//!
//! A product's own header, sender, subject or sentence decides alone. Wording that several use
//! decides too, but not in a notice of failure (a 550 may quote "confirm this mail server") and
//! not in mail to many (double opt-in).
//!
//! Products that nobody knows and people who write their own words are known by what such a text
//! must say: the message is kept back (`held`), the sender shall do something (`act`), and why or
//! what for (`why`). Two of them are enough where one is what to do.

use super::clues::{Clue, Means};
use super::finding::AnswerFinding;
use super::marks::{MarkHit, MarkPlace, Topic};
use super::reading::Reading;
use super::signs::Signs;
use crate::report::types::Kind;

pub(super) fn judge(reading: &Reading, signs: &Signs) -> Option<AnswerFinding> {
    let header = reading.clue(Means::Challenge);
    // A mail system that names its failed recipients reports a refusal, whatever it quotes.
    if header.is_none() && (signs.header || (signs.from && (signs.subject || signs.text))) {
        return None;
    }
    let own_words = |place| reading.placed(Topic::Challenge, place).next();
    let lead = own_words(MarkPlace::Lead).filter(|_| !reading.is_reply);
    let product = own_words(MarkPlace::From)
        .or_else(|| own_words(MarkPlace::Says))
        .or(lead)
        .or_else(|| own_words(MarkPlace::Subject));
    let text = own_words(MarkPlace::Text);
    let many = reading.clue(Means::List).is_some();
    let cancelled =
        || reading.placed(Topic::Challenge, MarkPlace::Cancel).any(|h| !reading.in_subject(h));
    let wording =
        (!many && !signs.text && !signs.subject && !cancelled()).then_some(text).flatten();
    let roles = if many || signs.from || cancelled() { None } else { roles(reading, signs) };
    let weak = reading.placed(Topic::Challenge, MarkPlace::Weak).count();
    let answered = reading.clue(Means::Answer).is_some() && weak >= 3 && !signs.any();
    if header.is_none() && product.is_none() && wording.is_none() && roles.is_none() && !answered {
        return None;
    }
    // A sender alone (a product's newsletter) needs a word about the message that is held.
    let by_sender = product.is_some_and(|h| h.mark.place == MarkPlace::From);
    if header.is_none() && by_sender && (many || (text.is_none() && weak == 0)) {
        let says = own_words(MarkPlace::Says).is_some();
        if !says {
            return None;
        }
    }
    let named = header.map(|c| c.row.format.clone()).or_else(|| {
        let mut hits = [product, text].into_iter().flatten();
        let specific = hits.clone().find(|h| h.mark.format != "generic");
        let hit = specific.or_else(|| hits.next())?;
        Some(format!("challenge/{}", hit.mark.format))
    });
    let mut clues: Vec<String> = header.map(Clue::label).into_iter().collect();
    clues.extend([product, text].into_iter().flatten().map(|h| h.mark.label.clone()));
    clues.extend(roles.into_iter().flatten().map(|h| h.mark.label.clone()));
    Some(AnswerFinding::new(
        Kind::ChallengeResponse,
        named.unwrap_or_else(|| "challenge/generic".to_string()),
        clues,
    ))
}

/// How far into the text a challenge says what it wants.
const BEGINNING: usize = 1_500;

/// What to do, and beside it that the message is held, or two reasons why; one is enough in what
/// says that it is an automatic answer and neither of absence nor of a ticket. All three where the
/// words are also those of a failure.
fn roles<'r>(reading: &'r Reading, signs: &Signs) -> Option<Vec<&'r MarkHit>> {
    let all = |place| {
        let near = |h: &&MarkHit| reading.text_offset(h).is_some_and(|at| at <= BEGINNING);
        reading.placed(Topic::Challenge, place).filter(near)
    };
    let first = |place| all(place).next();
    let (held, act, why) = (first(MarkPlace::Held), first(MarkPlace::Act), first(MarkPlace::Why));
    let second_why = why.and_then(|w| {
        all(MarkPlace::Why).find(|h| h.start >= w.end && h.mark.phrase != w.mark.phrase)
    });
    let found = match (held, act, why) {
        (Some(held), Some(act), Some(why)) => vec![held, act, why],
        (None, Some(act), Some(why)) if second_why.is_some() && !signs.any() => vec![act, why],
        (None, Some(act), Some(why)) if answers(reading) && !signs.any() => vec![act, why],
        _ => return None,
    };
    Some(found)
}

/// An automatic answer that speaks of neither absence nor a ticket.
fn answers(reading: &Reading) -> bool {
    let speaks = |topic| {
        [MarkPlace::Lead, MarkPlace::Subject, MarkPlace::Says, MarkPlace::Text]
            .into_iter()
            .any(|place| reading.placed(topic, place).next().is_some())
    };
    reading.clue(Means::Answer).is_some() && !speaks(Topic::Vacation) && !speaks(Topic::Ticket)
}
