//! `[lookup.answers]`: the words in which the lookup port says stop and wait. Whatever they are, a stop
//! stays a stop, a pause a pause, and the mark stays in them: without it our own refusal, when it
//! comes back as a bounce, would count against the address.

use super::raw::RawAnswers;
use super::value::Checker;

/// The mark of a refusal, and that of a pause.
const MARKS: [&str; 2] = ["[bounced:suppressed]", "[bounced:held]"];
/// Octets of a template: the words must have room beside it in one line of a reply.
const MOST_OCTETS: usize = 300;

/// Words with gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<TemplatePart>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    /// As it is.
    Text(String),
    /// `{code}`: the enhanced code.
    Code,
    /// `{words}`: since when, why, in which scope.
    Words,
}

impl Template {
    /// Its pieces, in order.
    pub fn parts(&self) -> &[TemplatePart] {
        &self.parts
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or("has a { without its }")?;
            if !before.is_empty() {
                parts.push(TemplatePart::Text(before.to_string()));
            }
            parts.push(match name {
                "code" => TemplatePart::Code,
                "words" => TemplatePart::Words,
                other => {
                    return Err(format!("has {{{other}}}, and known are {{code}} and {{words}}"));
                }
            });
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(TemplatePart::Text(rest.to_string()));
        }
        Ok(Self { parts })
    }
}

/// `[lookup.answers]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// Stop, as an action of access(5).
    pub suppressed: Template,
    /// Wait, as an action of access(5).
    pub held: Template,
    /// Stop, as a result of transport(5).
    pub transport_suppressed: Template,
    /// Wait, as a result of transport(5).
    pub transport_held: Template,
}

const SUPPRESSED: &str = "550 {code} {words} [bounced:suppressed]";
const HELD: &str = "450 {code} {words} [bounced:held]";
const TRANSPORT_SUPPRESSED: &str = "error:{code} {words} [bounced:suppressed]";
const TRANSPORT_HELD: &str = "retry:{code} {words} [bounced:held]";

impl Default for Answers {
    fn default() -> Self {
        let own = |text| Template::parse(text).expect("our own templates are well-formed");
        Self {
            suppressed: own(SUPPRESSED),
            held: own(HELD),
            transport_suppressed: own(TRANSPORT_SUPPRESSED),
            transport_held: own(TRANSPORT_HELD),
        }
    }
}

impl Checker<'_> {
    pub(super) fn answers(&mut self, raw: RawAnswers) -> Answers {
        let default = Answers::default();
        let [suppressed, held] = MARKS;
        let (stops, waits) = (is_stop as fn(&str) -> bool, is_pause as fn(&str) -> bool);
        // error(8) of Postfix refuses for good, also when the text begins with 4.
        let transport_stops = |text: &str| text.starts_with("error:") && !is_soft_error(text);
        let transport_waits = |text: &str| text.starts_with("retry:");
        let Answers { suppressed: a, held: b, transport_suppressed: c, transport_held: d } =
            default;
        Answers {
            suppressed: self.answer(
                "suppressed",
                raw.suppressed,
                a,
                (SUPPRESSED, suppressed),
                stops,
            ),
            held: self.answer("held", raw.held, b, (HELD, held), waits),
            transport_suppressed: self.answer(
                "transport_suppressed",
                raw.transport_suppressed,
                c,
                (TRANSPORT_SUPPRESSED, suppressed),
                transport_stops,
            ),
            transport_held: self.answer(
                "transport_held",
                raw.transport_held,
                d,
                (TRANSPORT_HELD, held),
                transport_waits,
            ),
        }
    }

    fn answer(
        &mut self,
        name: &str,
        given: Option<String>,
        default: Template,
        (usual, mark): (&str, &str),
        fits: impl Fn(&str) -> bool,
    ) -> Template {
        let Some(given) = given else { return default };
        let pause = name.ends_with("held");
        let why = match Template::parse(&given) {
            Err(why) => why,
            Ok(_) if !given.bytes().all(|b| matches!(b, b' '..=b'~')) => {
                "holds more than printable ASCII, which no reply may".to_string()
            }
            Ok(_) if given.len() > MOST_OCTETS => format!("has more than {MOST_OCTETS} octets"),
            Ok(_) if !given.contains(mark) => {
                format!("lacks the mark {mark}, by which our own refusal is known when it bounces")
            }
            Ok(_) if !fits(&given) => match (name.starts_with("transport"), pause) {
                (true, true) => "is no pause (retry:), and a held address is not refused",
                (true, false) => "is no refusal (error:, and no code that begins with 4)",
                (false, true) => {
                    "is no pause (a 4xx reply but 421, DEFER_IF_PERMIT), and a held address is not \
                     refused"
                }
                (false, false) => "is no refusal (a 5xx reply but 521, REJECT)",
            }
            .to_string(),
            Ok(template) => return template,
        };
        let key = format!("lookup.answers.{name}");
        self.wrong(&key, format!("{key} {why}, write one such as \"{usual}\""));
        default
    }
}

/// A reply of this class at the beginning: `550 `, and no enhanced code of another class after it.
/// 421 and 521 end the session, and with it the mail for everybody else (Postfix, access(5)).
fn is_reply(text: &str, class: u8) -> bool {
    let (code, rest) = match text.as_bytes() {
        [first, a, b, b' ', rest @ ..] if *first == class => ([*a, *b], rest),
        _ => return false,
    };
    let fits = !matches!(rest, [digit @ b'0'..=b'9', b'.', ..] if *digit != class);
    code.iter().all(u8::is_ascii_digit) && code != *b"21" && fits
}

/// WARN lets the mail pass and writes to the log of Postfix: for a time of trial.
fn is_stop(text: &str) -> bool {
    is_reply(text, b'5') || text.starts_with("REJECT ") || text.starts_with("WARN ")
}

fn is_pause(text: &str) -> bool {
    // DEFER_IF_REJECT lets the mail pass where nothing else refuses it.
    let words = ["DEFER ", "DEFER_IF_PERMIT ", "WARN "];
    is_reply(text, b'4') || words.iter().any(|word| text.starts_with(word))
}

/// `error:4.2.1 ...`: somebody means a pause.
fn is_soft_error(text: &str) -> bool {
    text.starts_with("error:4")
}
