//! Challenge-response systems: the message is held until its sender proves to be a person.
//!
//! A product's own header, sender, subject or sentence decides alone. Wording that several use
//! decides too, but not in a notice of failure (a 550 may quote "confirm this mail server") and
//! not in mail to many (double opt-in).

use super::Answer;
use super::clues::Means;
use super::marks::{Place, Topic};
use super::reading::{Reading, Signs};
use crate::report::Kind;

pub(super) fn judge(reading: &Reading, signs: &Signs) -> Option<Answer> {
    let header = reading.clue(Means::Challenge);
    // A mail system that names its failed recipients reports a refusal, whatever it quotes.
    if header.is_none() && (signs.header || (signs.from && (signs.subject || signs.text))) {
        return None;
    }
    let own_words = |place| reading.placed(Topic::Challenge, place).next();
    let lead = own_words(Place::Lead).filter(|_| !reading.is_reply);
    let product = own_words(Place::From)
        .or_else(|| own_words(Place::Says))
        .or(lead)
        .or_else(|| own_words(Place::Subject));
    let text = own_words(Place::Text);
    let many = reading.clue(Means::List).is_some();
    let wording = (!many && !signs.text && !signs.subject).then_some(text).flatten();
    let weak = reading.placed(Topic::Challenge, Place::Weak).count();
    let answered = reading.clue(Means::Answer).is_some() && weak >= 3 && !signs.any();
    if header.is_none() && product.is_none() && wording.is_none() && !answered {
        return None;
    }
    // A sender alone (a product's newsletter) needs a word about the message that is held.
    let by_sender = product.is_some_and(|h| h.mark.place == Place::From);
    if header.is_none() && by_sender && (many || (text.is_none() && weak == 0)) {
        let says = own_words(Place::Says).is_some();
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
    let mut evidence: Vec<String> = header.map(super::clues::Clue::label).into_iter().collect();
    evidence.extend([product, text].into_iter().flatten().map(|h| h.mark.label.clone()));
    Some(Answer::new(
        Kind::ChallengeResponse,
        named.unwrap_or_else(|| "challenge/generic".to_string()),
        evidence,
    ))
}
