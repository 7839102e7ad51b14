//! The day of return that a vacation text names, when it names exactly one.
//!
//! Promises: midnight UTC of a day that the text writes out next to a word such as "until" or
//! "back on" (`dates.toml`); None rather than a guess. 05/01/2027 is read by the language of that
//! word, and in English only when one number is above 12. A year that is not written is the one
//! that puts the day next to the Date field of the message. "Until the 24th" gives the 24th.
//!
//! Works on normalized text (`normalize.rs`), on answers only, so that its cost does not matter
//! elsewhere.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::normalize::normalize;
use crate::mail::Timestamp;

/// Dates of one text that are looked at.
const DATES: usize = 32;
/// Days before the message in which a day without a year still lies (a stale notice).
const STALE_DAYS: i64 = 60;
/// Days that an absence may lie ahead: long leaves of some years exist, typing errors beyond.
const AHEAD_DAYS: i64 = 1_500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DateFile {
    language: Vec<Language>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Language {
    #[expect(dead_code, reason = "names the table for its reader")]
    lang: String,
    order: Order,
    #[serde(default)]
    until: Vec<String>,
    #[serde(default)]
    back: Vec<String>,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    from: Vec<String>,
    #[serde(default)]
    again: Vec<String>,
    #[serde(default)]
    range: Vec<String>,
    months: Vec<Vec<String>>,
    #[serde(default)]
    filler: Vec<String>,
}

/// How a language writes 05/01/2027.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Dmy,
    Ymd,
    None,
}

struct DateTables {
    languages: Vec<Language>,
    /// Month name to (language, month): `listopada` is October in Croatian, November in Polish.
    months: HashMap<String, Vec<(usize, i64)>>,
    fillers: Vec<String>,
}

static TABLES: LazyLock<DateTables> = LazyLock::new(|| {
    let file: DateFile =
        toml::from_str(include_str!("dates.toml")).expect("a unit test reads the shipped table");
    let mut languages = file.language;
    let mut months: HashMap<String, Vec<(usize, i64)>> = HashMap::new();
    let mut fillers = Vec::new();
    for (at, language) in languages.iter_mut().enumerate() {
        for (number, names) in (1..).zip(&language.months) {
            for name in names {
                months.entry(normalize(name)).or_default().push((at, number));
            }
        }
        let lists = [
            &mut language.until,
            &mut language.back,
            &mut language.after,
            &mut language.from,
            &mut language.again,
            &mut language.range,
            &mut language.filler,
        ];
        for list in lists {
            list.iter_mut().for_each(|phrase| *phrase = normalize(phrase));
        }
        fillers.extend(language.filler.iter().cloned());
    }
    fillers.sort_by_key(|f| std::cmp::Reverse(f.len()));
    fillers.dedup();
    DateTables { languages, months, fillers }
});

/// A date in a text, as far as it can be read without knowing its language.
#[derive(Debug, Clone)]
struct FoundDate {
    start: usize,
    end: usize,
    form: DateForm,
    year: Option<i64>,
    /// `July 10-31`: the end of a range by itself.
    range_end: bool,
}

#[derive(Debug, Clone)]
enum DateForm {
    /// Month and day are certain.
    Plain { month: i64, day: i64 },
    /// A month by name.
    Named { months: Vec<(usize, i64)>, day: i64 },
    /// Two numbers and what was between them.
    Numeric { first: i64, second: i64, separator: char },
}

/// How a word ties a date to an absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tie {
    Back,
    Until,
}

/// The day of return.
pub(super) fn away_until(text: &str, sent: Option<Timestamp>) -> Option<Timestamp> {
    let found = find(text);
    let (mut back, mut until): (Vec<Timestamp>, Vec<Timestamp>) = (Vec::new(), Vec::new());
    for (at, date) in found.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|p| found.get(p));
        let Some((tie, language)) = tie(text, date, before) else { continue };
        let Some(day) = resolve(date, language, sent) else { continue };
        let list = if tie == Tie::Back { &mut back } else { &mut until };
        if !list.contains(&day) {
            list.push(day);
        }
    }
    let list = if back.is_empty() { until } else { back };
    match list.as_slice() {
        [day] => Some(*day),
        _ => None,
    }
}

/// The word beside a date that makes it an end, and the language of that word.
fn tie(text: &str, date: &FoundDate, before: Option<&FoundDate>) -> Option<(Tie, Option<usize>)> {
    let tables = &*TABLES;
    let ahead = text.get(..date.start)?;
    let following = text.get(date.end..)?;
    for (at, language) in tables.languages.iter().enumerate() {
        if language.after.iter().any(|p| following_starts(following, p)) {
            return Some((Tie::Until, Some(at)));
        }
    }
    let mut rest = ahead.trim_end_matches([' ', ',', '(', '*', ':']);
    for _ in 0..5 {
        if let Some(found) = trigger(rest, following) {
            return Some(found);
        }
        if let Some(range) = range_trigger(rest, before) {
            return Some(range);
        }
        let Some(filler) = tables.fillers.iter().find(|f| ends_with_word(rest, f)) else { break };
        rest = rest.get(..rest.len() - filler.len())?.trim_end_matches([' ', ',', '.', '(']);
    }
    date.range_end.then_some((Tie::Until, None))
}

/// The longest `back`, `until` or `from` phrase at the end of what is before a date.
fn trigger(rest: &str, following: &str) -> Option<(Tie, Option<usize>)> {
    let mut best: Option<(usize, Tie, usize)> = None;
    let mut offer = |length: usize, tie: Tie, at: usize| {
        if best.is_none_or(|(known, _, _)| length > known) {
            best = Some((length, tie, at));
        }
    };
    for (at, language) in TABLES.languages.iter().enumerate() {
        for phrase in language.back.iter().filter(|p| ends_with_word(rest, p)) {
            offer(phrase.len(), Tie::Back, at);
        }
        for phrase in language.until.iter().filter(|p| ends_with_word(rest, p)) {
            offer(phrase.len(), Tie::Until, at);
        }
        for phrase in language.from.iter().filter(|p| ends_with_word(rest, p)) {
            let sentence_ahead = rest.rsplit(['.', '!', ';']).next().unwrap_or_default();
            let sentence_after = following.split(['!', ';', '.']).next().unwrap_or_default();
            let again = language.again.iter().any(|w| {
                sentence_ahead.contains(w.as_str()) || sentence_after.contains(w.as_str())
            });
            if again {
                offer(phrase.len(), Tie::Back, at);
            }
        }
    }
    best.map(|(_, tie, at)| (tie, Some(at)))
}

/// `20 to 31 December`, `20.12.2026 - 05.01.2027`: a range word after another date or number.
fn range_trigger(rest: &str, before: Option<&FoundDate>) -> Option<(Tie, Option<usize>)> {
    let follows = |ahead: &str| {
        let ahead = ahead.trim_end_matches([' ', '.', ',']);
        before.is_some_and(|b| ahead.len() <= b.end && ahead.len() + 3 >= b.end)
            || ahead.ends_with(|c: char| c.is_ascii_digit())
            || ["th", "st", "nd", "rd"].iter().any(|o| {
                ahead.strip_suffix(o).is_some_and(|a| a.ends_with(|c: char| c.is_ascii_digit()))
            })
    };
    if let Some(ahead) = rest.strip_suffix(['-', '~', '～', '〜']) {
        return follows(ahead).then_some((Tie::Until, None));
    }
    for (at, language) in TABLES.languages.iter().enumerate() {
        for phrase in &language.range {
            if ends_with_word(rest, phrase) && follows(rest.get(..rest.len() - phrase.len())?) {
                return Some((Tie::Until, Some(at)));
            }
        }
    }
    None
}

fn ends_with_word(text: &str, word: &str) -> bool {
    text.strip_suffix(word)
        .is_some_and(|before| !before.ends_with(char::is_alphanumeric) || !word.is_ascii())
}

fn following_starts(following: &str, phrase: &str) -> bool {
    let mut rest = following.trim_start_matches([' ', '.', ')', ',']);
    // A weekday in brackets: `1月5日(火)まで`.
    if let Some(inner) = rest.strip_prefix('(')
        && let Some((_, after)) = inner.split_once(')').filter(|(day, _)| day.len() <= 12)
    {
        rest = after.trim_start();
    }
    rest.starts_with(phrase) || following.trim_start().starts_with(phrase)
}

/// The calendar day; None when it stays open.
fn resolve(
    date: &FoundDate,
    language: Option<usize>,
    sent: Option<Timestamp>,
) -> Option<Timestamp> {
    let (month, day) = match &date.form {
        DateForm::Plain { month, day } => (*month, *day),
        DateForm::Named { months, day } => {
            let (_, first) = *months.first()?;
            if months.iter().all(|(_, m)| *m == first) {
                (first, *day)
            } else {
                (months.iter().find(|(l, _)| Some(*l) == language)?.1, *day)
            }
        }
        DateForm::Numeric { first, second, separator } => {
            let order = language.and_then(|at| TABLES.languages.get(at)).map(|l| l.order);
            numeric(*first, *second, *separator, order, date.year.is_some())?
        }
    };
    let resolved = match date.year {
        Some(year) => Timestamp::from_date(year, month, day)?,
        None => next_to(month, day, sent?)?,
    };
    let plausible = sent.is_none_or(|sent| {
        let days = resolved.day() - sent.day();
        (-366..=AHEAD_DAYS).contains(&days)
    });
    plausible.then_some(resolved)
}

/// Month and day of two numbers.
fn numeric(
    first: i64,
    second: i64,
    separator: char,
    order: Option<Order>,
    with_year: bool,
) -> Option<(i64, i64)> {
    if order == Some(Order::Ymd) && !with_year {
        return Some((first, second));
    }
    if separator == '.' || first > 12 || first == second {
        return Some((second, first));
    }
    if second > 12 {
        return Some((first, second));
    }
    (order == Some(Order::Dmy)).then_some((second, first))
}

/// The year that puts a day next to the message: not long past, else the coming one.
fn next_to(month: i64, day: i64, sent: Timestamp) -> Option<Timestamp> {
    let (year, _, _) = sent.date();
    (year - 1..=year + 1)
        .filter_map(|y| Timestamp::from_date(y, month, day))
        .find(|t| (-STALE_DAYS..365 - STALE_DAYS).contains(&(t.day() - sent.day())))
}

/// All dates of a text, in order.
fn find(text: &str) -> Vec<FoundDate> {
    let mut found: Vec<FoundDate> = Vec::new();
    let mut at = 0;
    while let Some(offset) = text.get(at..).and_then(|t| t.find(|c: char| c.is_ascii_digit())) {
        let start = at + offset;
        let (number, end) = digits(text, start);
        at = end;
        let glued = text.get(..start).and_then(|t| t.chars().next_back());
        if glued.is_some_and(|c| c.is_ascii_alphanumeric() || c == '#' || c == '@') {
            continue;
        }
        let Some(number) = number else { continue };
        if let Some(date) = read(text, start, end, number) {
            at = date.end.max(end);
            found.push(date);
            if found.len() >= DATES {
                break;
            }
        }
    }
    found
}

/// The number of at most four digits at an offset, and where its digits end.
fn digits(text: &str, at: usize) -> (Option<i64>, usize) {
    let rest = text.get(at..).unwrap_or_default();
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let number = if (1..=4).contains(&length) {
        rest.get(..length).and_then(|d| d.parse().ok())
    } else {
        None
    };
    (number, at + length)
}

fn read(text: &str, start: usize, end: usize, number: i64) -> Option<FoundDate> {
    let width = end - start;
    if width == 4 && (1990..2100).contains(&number) {
        return year_first(text, start, end, number);
    }
    if width > 2 || !(1..=31).contains(&number) {
        return None;
    }
    month_by_sign(text, start, end, None, number)
        .or_else(|| numbers(text, start, end, number))
        .or_else(|| day_then_name(text, start, end, number))
        .or_else(|| name_then_day(text, start, end, number))
}

/// `2027-01-05`, `2027/1/5`, `2027年1月5日`, `2027. január 5.`
fn year_first(text: &str, start: usize, end: usize, year: i64) -> Option<FoundDate> {
    let rest = text.get(end..)?;
    if let Some(after) = rest.strip_prefix(['年', '년']) {
        let at = text.len() - after.trim_start().len();
        let (month, next) = digits(text, at);
        return month_by_sign(text, start, next, Some(year), month?);
    }
    let separator = rest.chars().next()?;
    if matches!(separator, '-' | '/' | '.') {
        let at = skip_blanks(text, end + 1);
        if let (Some(month), next) = digits(text, at)
            && text.get(next..)?.starts_with(separator)
        {
            let (day, stop) = digits(text, skip_blanks(text, next + 1));
            let form = DateForm::Plain { month, day: day? };
            return Some(FoundDate { start, end: stop, form, year: Some(year), range_end: false });
        }
    }
    // Hungarian writes the month by its name after the year.
    let at = skip_blanks(text, end + usize::from(separator == '.'));
    let (word, after) = word_at(text, at);
    let months = TABLES.months.get(word)?;
    let (day, stop) = digits(text, skip_blanks(text, after));
    let form = DateForm::Named { months: months.clone(), day: day? };
    Some(FoundDate { start, end: stop, form, year: Some(year), range_end: false })
}

/// `1月5日`, `1월 5일` after the number of the month.
fn month_by_sign(
    text: &str,
    start: usize,
    end: usize,
    year: Option<i64>,
    month: i64,
) -> Option<FoundDate> {
    let rest = text.get(end..)?.trim_start();
    let after = rest.strip_prefix(['月', '월'])?;
    let (day, next) = digits(text, text.len() - after.trim_start().len());
    let tail = text.get(next..)?;
    let sign = tail.trim_start().strip_prefix(['日', '일', '号', '號']);
    let stop = sign.map_or(next, |t| text.len() - t.len());
    let form = DateForm::Plain { month, day: day? };
    Some(FoundDate { start, end: stop, form, year, range_end: false })
}

/// `24.12.2026`, `24/12/26`, `24.12.`, `10/07`.
fn numbers(text: &str, start: usize, end: usize, first: i64) -> Option<FoundDate> {
    let separator = text.get(end..)?.chars().next().filter(|c| matches!(c, '.' | '/' | '-'))?;
    let blanks = separator == '.';
    let at = if blanks { skip_blanks(text, end + 1) } else { end + 1 };
    let (second, next) = digits(text, at);
    let second = second.filter(|n| (1..=31).contains(n) && next - at <= 2)?;
    let form = DateForm::Numeric { first, second, separator };
    let tail = text.get(next..)?;
    if tail.starts_with(separator) {
        let at = if blanks { skip_blanks(text, next + 1) } else { next + 1 };
        if let (Some(year), stop) = digits(text, at) {
            let year = match stop - at {
                4 => year,
                2 => 2000 + year,
                _ => return None,
            };
            return Some(FoundDate { start, end: stop, form, year: Some(year), range_end: false });
        }
    }
    // Without a year only what cannot be an amount, a version or a clock: `24.12.` or `10/07`.
    let stop = next + usize::from(tail.starts_with('.'));
    let certain = match separator {
        '.' => tail.starts_with('.') || text.get(at..next)?.len() == 2,
        '/' => true,
        _ => false,
    };
    let clock = tail.trim_start().starts_with("uhr") || tail.starts_with(':');
    (certain && !clock).then_some(FoundDate {
        start,
        end: stop,
        form,
        year: None,
        range_end: false,
    })
}

/// `24 December 2026`, `5th of January`, `1er janvier`, `5 de enero de 2027`, `5. januar`.
fn day_then_name(text: &str, start: usize, end: usize, day: i64) -> Option<FoundDate> {
    let mut at = end;
    for ordinal in ["st", "nd", "rd", "th", "er", "º", "°", "ª", ":e", ":a", ".", "o", "-е", "-го"]
    {
        let rest = text.get(at..)?;
        if let Some(after) = rest.strip_prefix(ordinal)
            && !after.starts_with(|c: char| c.is_alphanumeric())
        {
            at += ordinal.len();
            break;
        }
    }
    for _ in 0..2 {
        at = skip_blanks(text, at);
        let (word, after) = word_at(text, at);
        if matches!(word, "of" | "de" | "di" | "del" | "d" | "do") {
            at = after;
            continue;
        }
        let months = TABLES.months.get(word)?;
        let (year, stop) = year_at(text, after);
        let form = DateForm::Named { months: months.clone(), day };
        return Some(FoundDate { start, end: stop, form, year, range_end: false });
    }
    None
}

/// `December 24, 2026`, `january 5-ig`; `July 10-31` ends on the 31st.
fn name_then_day(text: &str, start: usize, end: usize, day: i64) -> Option<FoundDate> {
    let ahead = text.get(..start)?.trim_end_matches([' ', '.']);
    let ahead = ahead.strip_suffix(" the").unwrap_or(ahead);
    let word_start = ahead
        .rfind(|c: char| !c.is_alphanumeric())
        .map_or(0, |n| n + ahead.get(n..).and_then(|r| r.chars().next()).map_or(1, char::len_utf8));
    let months = TABLES.months.get(ahead.get(word_start..)?)?;
    let (mut day, mut at, mut range_end) = (day, end, false);
    for ordinal in ["st", "nd", "rd", "th"] {
        if text.get(at..)?.starts_with(ordinal) {
            at += ordinal.len();
            break;
        }
    }
    let dash = text.get(at..)?.trim_start().strip_prefix('-');
    if let Some(after) = dash {
        let from = text.len() - after.trim_start().len();
        if let (Some(last), next) = digits(text, from)
            && last > day
            && last <= 31
            && next - from <= 2
        {
            (day, at, range_end) = (last, next, true);
        }
    }
    let (year, stop) = year_at(text, at);
    let form = DateForm::Named { months: months.clone(), day };
    Some(FoundDate { start: word_start, end: stop, form, year, range_end })
}

/// A year of four digits that follows, perhaps after a comma or a `de`.
fn year_at(text: &str, at: usize) -> (Option<i64>, usize) {
    let rest = text.get(at..).unwrap_or_default();
    let trimmed = rest.trim_start_matches([' ', ',', '.']);
    let trimmed = ["de ", "del "].iter().find_map(|w| trimmed.strip_prefix(w)).unwrap_or(trimmed);
    let from = text.len() - trimmed.len();
    match digits(text, from) {
        (Some(year), stop) if stop - from == 4 && (1990..3000).contains(&year) => {
            (Some(year), stop)
        }
        _ => (None, at),
    }
}

fn skip_blanks(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    text.len() - rest.trim_start_matches(' ').len()
}

/// The word at an offset and where it ends.
fn word_at(text: &str, at: usize) -> (&str, usize) {
    let rest = text.get(at..).unwrap_or_default();
    let length = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
    (rest.get(..length).unwrap_or_default(), at + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_of_return_is_read_or_left_open() {
        let sent = Timestamp::from_date(2026, 12, 18);
        for (text, expected) in [
            ("I am out of the office until 24 December 2026.", Some("2026-12-24")),
            ("away until December 24, 2026", Some("2026-12-24")),
            ("I'm away from July 10-31.", Some("2027-07-31")),
            ("returning to the office on January 5th", Some("2027-01-05")),
            ("back on Monday, 4 January", Some("2027-01-04")),
            ("from 20 December to 3 January 2027", Some("2027-01-03")),
            ("away 2026-12-20 - 2027-01-03", Some("2027-01-03")),
            ("until 2026-12-24", Some("2026-12-24")),
            // Which of the two is the month stays open in English.
            ("until 05/01/2027", None),
            ("until 25/12/2026", Some("2026-12-25")),
            ("until 12/25/2026", Some("2026-12-25")),
            // Two different days of return.
            ("Ann is back on 4 January, Bob is back on 7 January", None),
            // A return beats an end.
            ("I am away until 31 December and back on 4 January", Some("2027-01-04")),
            ("Ich bin bis zum 5. Januar nicht im Büro", Some("2027-01-05")),
            ("vom 20. bis 31. Dezember", Some("2026-12-31")),
            ("vom 21.12.2026 bis 05.01.2027", Some("2027-01-05")),
            ("Ich bin bis einschließlich 24.12. nicht da", Some("2026-12-24")),
            ("Ab dem 5. Januar bin ich wieder erreichbar", Some("2027-01-05")),
            ("Ab dem 21. Dezember bin ich im Urlaub", None),
            ("Je suis absent jusqu'au 5 janvier 2027 inclus", Some("2027-01-05")),
            ("jusqu'au 05/01/2027", Some("2027-01-05")),
            ("du 20 au 31 décembre", Some("2026-12-31")),
            ("jusqu'au 1er janvier", Some("2027-01-01")),
            ("hasta el 5 de enero de 2027", Some("2027-01-05")),
            ("fino al 5 gennaio", Some("2027-01-05")),
            ("até 5 de janeiro de 2027", Some("2027-01-05")),
            ("tot en met 5 januari", Some("2027-01-05")),
            ("till och med den 5 januari", Some("2027-01-05")),
            ("til og med 5. januar", Some("2027-01-05")),
            ("Palaan töihin 5.1.2027", Some("2027-01-05")),
            ("Na urlopie do 5 stycznia 2027 r.", Some("2027-01-05")),
            // November in Polish, October in Croatian: `do` is a word of both.
            ("na urlopie do dnia 30 listopada 2026", Some("2026-11-30")),
            ("do 5. ledna 2027", Some("2027-01-05")),
            ("2027. január 5-ig", Some("2027-01-05")),
            ("Я в отпуске до 5 января", Some("2027-01-05")),
            ("5 Ocak 2027 tarihine kadar", Some("2027-01-05")),
            ("μέχρι 5 Ιανουαρίου 2027", Some("2027-01-05")),
            ("12月29日から1月5日まで不在です", Some("2027-01-05")),
            ("2027年1月5日(火)まで", Some("2027-01-05")),
            ("1월 5일까지 휴가입니다", Some("2027-01-05")),
            ("我将于1月5日返回", Some("2027-01-05")),
            ("I am away until 5 pm", None),
            ("call +1 555 01 02 until noon", None),
            ("until 31 February 2027", None),
            ("until 24 December 2126", None),
        ] {
            let day = away_until(&normalize(text), sent).map(|t| t.to_string());
            let day = day.as_deref().and_then(|d| d.get(..10));
            assert_eq!(day, expected, "{text}");
        }
    }

    #[test]
    fn without_a_date_field_the_year_must_be_written() {
        assert_eq!(away_until("away until 24 december", None), None);
        assert!(away_until("away until 24 december 2026", None).is_some());
    }
}
