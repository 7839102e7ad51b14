//! What was counted lately, as pictures: what the overview, the providers and the wordings share.

use maud::{Markup, html};

use crate::classify::Category;
use crate::mail::Timestamp;
use crate::report::Kind;
use crate::serve::web::chart::Chart;
use crate::service::trend::{ByCategory, HOUR_MS, Trend};

/// Colours by kind: what needs eyes is warm, the rest is calm.
const KIND_COLOURS: &[&str] = &["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9"];
/// Colours by category.
const CATEGORY_COLOURS: &[&str] = &["c0", "c1", "c3", "c8", "c9"];
const DAYS: i64 = 30;
const DAY_HOURS: i64 = 24;

/// How far the counting is, while it is not done.
pub fn progress(trend: &Trend) -> Markup {
    html! {
        @if !trend.is_complete() {
            p.note.wait role="status" {
                "The events of the last 30 days are being counted: " (trend.percent())
                " % so far. Load the page again for more."
            }
        }
    }
}

/// Messages by kind and refusals by category, over a day and over 30 days.
pub fn pictures(trend: &Trend) -> Markup {
    let hourly = spans(trend.hour() - DAY_HOURS + 1, DAY_HOURS, 1);
    // Days begin at midnight; today is the last one.
    let today = trend.hour().div_euclid(DAY_HOURS);
    let daily = spans((today - DAYS + 1) * DAY_HOURS, DAYS, DAY_HOURS);
    html! {
        div.charts {
            @for (title, spans) in [("24 hours", &hourly), ("30 days", &daily)] {
                (kinds(trend, &format!("Messages by kind, {title}"), spans))
                (categories(&format!("Refusals by category, {title}"), spans, |from, to| {
                    let mut sum = ByCategory::default();
                    for (_, hour) in trend.hours.range(from..to) { add(&mut sum, &hour.refusals); }
                    sum
                }))
            }
        }
    }
}

/// Hours that a bar is about: first, and the one after the last.
type Span = (i64, i64);

fn spans(from: i64, bars: i64, width: i64) -> Vec<Span> {
    (0..bars).map(|bar| (from + bar * width, from + (bar + 1) * width)).collect()
}

/// Days up to now.
pub fn days(trend: &Trend) -> Vec<Span> {
    let today = trend.hour().div_euclid(DAY_HOURS);
    spans((today - DAYS + 1) * DAY_HOURS, DAYS, DAY_HOURS)
}

/// Hours of the last day.
pub fn hours(trend: &Trend) -> Vec<Span> {
    spans(trend.hour() - DAY_HOURS + 1, DAY_HOURS, 1)
}

/// What a bar is called: a day, or an hour of one.
pub fn label(span: &Span) -> String {
    let text = Timestamp::from_millis(span.0 * HOUR_MS).to_string();
    let day = text.get(..10).unwrap_or_default();
    match span.1 - span.0 {
        1 => format!("{day} {}", text.get(11..16).unwrap_or_default()),
        _ => day.to_string(),
    }
}

fn kinds(trend: &Trend, title: &str, spans: &[Span]) -> Markup {
    let series = Kind::ALL.iter().enumerate().map(|(place, kind)| {
        let of = |span: &Span| {
            let hours = trend.hours.range(span.0..span.1);
            hours.map(|(_, hour)| u64::from(hour.kinds.get(place).copied().unwrap_or(0))).sum()
        };
        (kind.as_str(), spans.iter().map(of).collect())
    });
    let labels = spans.iter().map(label).collect();
    Chart { title, labels, series: series.collect(), colours: KIND_COLOURS }.markup()
}

/// Refusals by category; `sum`: those of some hours.
pub fn categories(title: &str, spans: &[Span], sum: impl Fn(i64, i64) -> ByCategory) -> Markup {
    let sums: Vec<ByCategory> = spans.iter().map(|span| sum(span.0, span.1)).collect();
    let series = Category::ALL.iter().enumerate().map(|(place, category)| {
        let of = |sum: &ByCategory| u64::from(sum.get(place).copied().unwrap_or_default());
        (category.as_str(), sums.iter().map(of).collect())
    });
    let labels = spans.iter().map(label).collect();
    Chart { title, labels, series: series.collect(), colours: CATEGORY_COLOURS }.markup()
}

/// Adds one to the other.
pub fn add(sum: &mut ByCategory, more: &ByCategory) {
    for (all, one) in sum.iter_mut().zip(more) {
        *all = all.saturating_add(*one);
    }
}
