//! Stacked bars as inline SVG, with the same figures as a table below it.
//!
//! The picture is stretched to the width that there is, so it holds no text; what is written is
//! around it in HTML. Colours come from the style sheet (`.c0` to `.c9`), for light and dark.

use maud::{Markup, html};

use super::snippets::grouped;

/// Bars over time.
pub struct Chart<'a> {
    /// What it shows.
    pub title: &'a str,
    /// What each bar is about, oldest first: `2026-11-22 10:00`.
    pub labels: Vec<String>,
    /// Names and figures of what is stacked, the lowest first; each as long as `labels`.
    pub series: Vec<(&'a str, Vec<u64>)>,
    /// The classes that colour the series, by their place; beyond it `c9`.
    pub colours: &'a [&'a str],
}

/// Units of the picture: a bar is [`STEP`] wide, all of it [`HEIGHT`] high.
const STEP: usize = 10;
const GAP: usize = 2;
const HEIGHT: u64 = 1_000;

impl Chart<'_> {
    /// The picture, its legend, and the table.
    pub fn markup(&self) -> Markup {
        let bars = self.labels.len();
        let sum = |bar: usize| {
            let of = |figures: &Vec<u64>| figures.get(bar).copied().unwrap_or_default();
            self.series.iter().map(|(_, figures)| of(figures)).fold(0, u64::saturating_add)
        };
        let most = (0..bars).map(sum).max().unwrap_or_default();
        let shown: Vec<(usize, &(&str, Vec<u64>))> =
            self.series.iter().enumerate().filter(|(_, (_, f))| f.iter().any(|n| *n > 0)).collect();
        html! {
            figure.card.chart {
                figcaption { (self.title) }
                @if most == 0 { p.soft { "None." } }
                @else {
                    div.top aria-hidden="true" { (grouped(most)) }
                    svg role="img" aria-label={ (self.title) ", at most " (most) "; the figures stand in the table below" }
                        viewBox={ "0 0 " (bars * STEP) " " (HEIGHT) } preserveAspectRatio="none" {
                        @for bar in 0..bars { (self.bar(bar, most)) }
                    }
                    div.axis aria-hidden="true" {
                        span { (self.labels.first().map_or("", String::as_str)) }
                        span { (self.labels.last().map_or("", String::as_str)) }
                    }
                    ul.legend { @for (place, (name, figures)) in &shown {
                        li {
                            span class={ "swatch " (self.colour(*place)) } {}
                            (name) " " b { (grouped(figures.iter().fold(0, |all, n| all.saturating_add(*n)))) }
                        }
                    } }
                    details {
                        summary { "As a table" }
                        div.scroll tabindex="0" role="region" aria-label=(self.title) { table {
                            thead { tr {
                                th { "from (UTC)" }
                                @for (_, (name, _)) in &shown { th.n { (name) } }
                            } }
                            tbody { @for bar in (0..bars).rev().filter(|bar| sum(*bar) > 0) { tr {
                                th scope="row" { (self.labels.get(bar).map_or("", String::as_str)) }
                                @for (_, (_, figures)) in &shown {
                                    td.n { (grouped(figures.get(bar).copied().unwrap_or_default())) }
                                }
                            } } }
                        } }
                    }
                }
            }
        }
    }

    fn colour(&self, place: usize) -> &str {
        self.colours.get(place).copied().unwrap_or("c9")
    }

    /// One bar, from below; what is there is seen, however little it is.
    fn bar(&self, bar: usize, most: u64) -> Markup {
        let mut top = HEIGHT;
        html! {
            @for (place, (name, figures)) in self.series.iter().enumerate() {
                @let figure = figures.get(bar).copied().unwrap_or_default();
                @if figure > 0 {
                    // Wide counters: 128 bits keep the product.
                    @let height = ((u128::from(figure) * u128::from(HEIGHT) / u128::from(most)) as u64).max(8).min(top);
                    @let y = { top -= height; top };
                    rect class=(self.colour(place)) x=(bar * STEP) y=(y) width=(STEP - GAP) height=(height) {
                        title { (self.labels.get(bar).map_or("", String::as_str)) ": " (name) " " (grouped(figure)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_their_figures() {
        let chart = Chart {
            title: "messages",
            labels: vec!["10:00".to_string(), "11:00".to_string()],
            series: vec![("failure", vec![1, 3]), ("delay", vec![0, 1]), ("nothing", vec![0, 0])],
            colours: &["c0", "c1", "c2"],
        };
        let svg = chart.markup().into_string();
        for piece in [
            "viewBox=\"0 0 20 1000\"",
            "class=\"c0\" x=\"0\" y=\"750\" width=\"8\" height=\"250\"",
            "class=\"c0\" x=\"10\" y=\"250\" width=\"8\" height=\"750\"",
            "class=\"c1\" x=\"10\" y=\"0\" width=\"8\" height=\"250\"",
            "<b>4</b>",
            "<th class=\"n\">failure</th><th class=\"n\">delay</th></tr>",
        ] {
            assert!(svg.contains(piece), "{piece} is not in\n{svg}");
        }
        assert!(!svg.contains("nothing"), "{svg}");
        let none = Chart { series: Vec::new(), ..chart };
        assert!(none.markup().into_string().contains("None."));
        let huge = Chart {
            series: vec![("x", vec![u64::MAX, u64::MAX]), ("y", vec![u64::MAX, 1])],
            ..none
        };
        assert!(huge.markup().into_string().contains("height=\"1000\""));
    }
}
