//! Automatic answers: vacation replies, ticket acknowledgements, mailboxes that nobody reads.
//!
//! A header that says `auto-replied` decides. Otherwise clues are weighed: what a responder puts
//! before our subject, what a text says of itself, phrases of absence at its beginning, words
//! that need company, and fields that only a program writes.

use super::clues::{Clue, Means};
use super::finding::AnswerFinding;
use super::marks::{MarkHit, MarkPlace, Topic};
use super::normalize::normalize;
use super::reading::Reading;
use super::request;
use super::signs::Signs;
use crate::report::types::Kind;

/// Weight that makes an automatic answer.
const ENOUGH: u32 = 4;
/// How far into the text phrases of absence count.
const BEGINNING: usize = 700;
/// How far a text may say of itself that it is automatic (a signature may be before it).
const SELF_DESCRIPTION: usize = 1_500;

pub(super) fn judge(reading: &Reading, signs: &Signs) -> Option<AnswerFinding> {
    if signs.header || signs.subject {
        return None;
    }
    let vacation = weigh(reading, Topic::Vacation);
    let ticket = weigh(reading, Topic::Ticket);
    let answer = reading.clue(Means::Answer);
    let words = if ticket.total > vacation.total { &ticket } else { &vacation };
    // From a mail system, or with words of failure, only plain words of absence are an answer.
    if signs.from && (signs.text || !vacation.certain) || signs.text && !words.certain {
        return None;
    }
    if answer.is_none() && words.total < ENOUGH {
        return None;
    }
    let format = format_of(reading, &vacation, &ticket);
    let mut clues: Vec<String> = answer.map(Clue::label).into_iter().collect();
    clues.extend(words.clues.iter().cloned());
    let others = reading.clues.iter().filter(|c| c.row.means == Means::Machine);
    clues.extend(others.map(Clue::label));
    clues.truncate(8);
    let mut found = AnswerFinding::new(Kind::AutoReply, format, clues);
    found.dated = true;
    if let Some(moved) = request::new_address(reading) {
        found.format = "address-change".to_string();
        found.new_address = Some(moved);
    }
    Some(found)
}

/// The clues of one topic.
#[derive(Default)]
struct Weight {
    total: u32,
    /// A prefix of responders, a self-description or a phrase of absence, not only single words.
    certain: bool,
    in_subject: bool,
    clues: Vec<String>,
}

impl Weight {
    fn add(&mut self, points: u32, hit: &MarkHit) {
        self.total += points;
        self.clues.push(hit.mark.label.clone());
    }
}

fn weigh(reading: &Reading, topic: Topic) -> Weight {
    let mut weight = Weight::default();
    let many = reading.clue(Means::List).is_some();
    let machine = reading.clue(Means::Machine).is_some();
    let cancelled = reading.placed(topic, MarkPlace::Cancel).any(|h| reading.in_subject(h));
    let hint = reading.placed(topic, MarkPlace::Hint).next();

    if let Some(lead) = longest(reading.placed(topic, MarkPlace::Lead)) {
        // A word such as `Urlaub` begins offers too; a prefix such as `Abwesenheitsnotiz` does not.
        let bare = hint.is_some_and(|h| h.start == lead.start && h.end == lead.end);
        let bare = bare || topic == Topic::Ticket && cancelled;
        let whole = reading.is_subject(lead);
        if !bare || !cancelled {
            weight.add(
                if !bare {
                    6
                } else if whole {
                    4
                } else {
                    3
                },
                lead,
            );
            weight.certain |= !bare;
            weight.in_subject = true;
        }
    } else if !reading.is_reply && !cancelled && !many {
        if let Some(hit) = longest(reading.placed(topic, MarkPlace::Subject)) {
            weight.add(4, hit);
            weight.certain = true;
            weight.in_subject = true;
        } else if let Some(hit) = hint {
            weight.add(2, hit);
            weight.in_subject = true;
        }
    }
    let near = |h: &&MarkHit, most: usize| reading.text_offset(h).is_some_and(|at| at <= most);
    if let Some(hit) = reading.placed(topic, MarkPlace::Says).find(|h| near(h, SELF_DESCRIPTION)) {
        weight.add(6, hit);
        weight.certain = true;
    }
    // A person who answers in a thread may say that he is away; a program says so in the header
    // or in the subject. Mail to many talks of holidays without being away.
    let persons_reply = reading.is_reply && reading.in_thread && !machine;
    if !many && !persons_reply {
        if let Some(hit) =
            longest(reading.placed(topic, MarkPlace::Text).filter(|h| near(h, BEGINNING)))
        {
            weight.add(4, hit);
            weight.certain = true;
        }
        weight.total += weak(reading, topic);
    }
    // Words that need company have it only in a subject or a phrase: "please contact us as soon as
    // possible" is in every notice of a bank.
    if weight.in_subject || weight.certain || weight.total >= 3 {
        weight.total += origin(reading, machine);
    }
    let company = topic == Topic::Vacation || weight.in_subject || weight.certain;
    if many && !weight.certain || !company {
        weight.total = 0;
    }
    weight
}

/// Distinct words that need company, three at most.
fn weak(reading: &Reading, topic: Topic) -> u32 {
    let mut seen: Vec<&str> = Vec::new();
    for hit in reading.placed(topic, MarkPlace::Weak) {
        let phrase = hit.mark.phrase.as_str();
        if seen.len() < 3 && !seen.iter().any(|s| s.contains(phrase) || phrase.contains(s)) {
            seen.push(phrase);
        }
    }
    u32::try_from(seen.len()).unwrap_or(0)
}

/// Fields that only programs write.
fn origin(reading: &Reading, machine: bool) -> u32 {
    let mut points = 0;
    if machine && reading.clue(Means::List).is_none() {
        points += 2;
    }
    if reading.clue_of("exchange-oof").is_some() {
        points += 2;
    }
    if reading.clue_of("suppress").is_some() || reading.null_return_path {
        points += 1;
    }
    points
}

fn longest<'a>(hits: impl Iterator<Item = &'a MarkHit>) -> Option<&'a MarkHit> {
    hits.max_by_key(|h| h.end - h.start)
}

fn format_of(reading: &Reading, vacation: &Weight, ticket: &Weight) -> &'static str {
    let suppressed = reading.clue_of("suppress").is_some_and(|c| c.value.contains("all"));
    let exchange = reading.clue_of("exchange-oof").is_some()
        || suppressed
            && vacation.in_subject
            && vacation.certain
            && reading.clue(Means::Answer).is_none();
    let by_ticket = reading.clue_of("ticket").is_some() || ticket.total >= ENOUGH;
    let ticket_answer =
        reading.clues.iter().any(|c| c.row.means == Means::Answer && c.row.format == "ticket");
    if by_ticket && ticket.total > vacation.total || ticket_answer && !vacation.certain {
        "ticket"
    } else if exchange {
        "exchange-oof"
    } else if reading.clue_of("rfc3834").is_some() {
        "rfc3834"
    } else if reading.clue(Means::Answer).is_some() {
        "autoreply-header"
    } else if vacation.in_subject {
        "vacation-subject"
    } else {
        "vacation-text"
    }
}

/// Our subject after a responder's prefix: `Automatic reply: Hello` gives `Hello`.
pub(super) fn after_lead<'a>(subject: &'a str, reading: &Reading) -> Option<&'a str> {
    longest(reading.placed(Topic::Vacation, MarkPlace::Lead))
        .or_else(|| reading.placed(Topic::Ticket, MarkPlace::Lead).next())?;
    let colon = subject.find([':', '：'])?;
    let head = normalize(subject.get(..colon)?);
    if head.len() > 80 {
        return None;
    }
    let width = subject.get(colon..)?.chars().next()?.len_utf8();
    subject.get(colon + width..).map(str::trim)
}
