//! One address over time, in one picture: a lane for each scope that stops or watches it, and one for
//! what was heard.

use maud::{Markup, html};
use serde_json::Value;

use super::events::kind_of;
use crate::mail::Timestamp;
use crate::serve::web::snippets::{scope, text};

/// The picture is so many units wide, whatever time it spans.
const WIDTH: i64 = 1_000;
/// Of those, at least so many are a tick.
const TICK: i64 = 6;
/// The least that is shown.
const DAY_MS: i64 = 86_400_000;

/// Lanes over the time from the first thing that is known to the last end that is near. Nothing when
/// nothing is known.
pub fn timeline(standings: &[Value], events: &[Value], now: Timestamp) -> Markup {
    let time = |value: &Value, name: &str| Timestamp::parse_rfc3339(text(value, name));
    let heard: Vec<(i64, &str)> = events
        .iter()
        .filter_map(|event| Some((time(event, "received_at")?.millis(), kind_of(event))))
        .collect();
    let since = standings.iter().filter_map(|one| Some(time(one, "since")?.millis()));
    let Some(first) = since.chain(heard.iter().map(|(at, _)| *at)).min() else { return html! {} };
    let now = now.millis().max(first);
    let first = first.min(now - DAY_MS);
    // An end years ahead must not squeeze what was into a corner.
    let ends = standings.iter().filter_map(|one| Some(time(one, "until")?.millis()));
    let last = ends.max().unwrap_or(now).clamp(now, now + (now - first));
    let x = |at: i64| {
        let (at, span) = (at.clamp(first, last) - first, (last - first).max(1));
        i64::try_from(i128::from(at) * i128::from(WIDTH - TICK) / i128::from(span)).unwrap_or(0)
    };
    let day = |at: i64| Timestamp::from_millis(at).to_string().chars().take(10).collect::<String>();
    html! {
        figure.card.timeline {
            figcaption { "Over time" }
            @for one in standings {
                @let from = time(one, "since").map_or(first, Timestamp::millis);
                @let until = time(one, "until").map_or(last, Timestamp::millis);
                div.lane {
                    span { (scope(text(one, "scope"))) }
                    svg role="img" viewBox={ "0 0 " (WIDTH) " 10" } preserveAspectRatio="none"
                        aria-label={ (text(one, "state")) " in " (scope(text(one, "scope"))) ", from " (day(from)) } {
                        rect class={ "lane-" (lane(text(one, "state"))) } x=(x(from)) y="1" height="8"
                            width=((x(until) - x(from)).max(TICK)) {
                            title { (text(one, "state")) " since " (day(from)) }
                        }
                        rect.now x=(x(now)) y="0" width="2" height="10" {}
                    }
                }
            }
            div.lane {
                span { "heard" }
                svg role="img" viewBox={ "0 0 " (WIDTH) " 10" } preserveAspectRatio="none"
                    aria-label={ (heard.len()) " events, the same as in the list below" } {
                    @for (at, kind) in &heard {
                        rect class=(tick(kind)) x=(x(*at)) y="0" width=(TICK) height="10" {
                            title { (day(*at)) ": " (kind) }
                        }
                    }
                    rect.now x=(x(now)) y="0" width="2" height="10" {}
                }
            }
            div.axis aria-hidden="true" {
                span { (day(first)) }
                span { @if last > now { "now " (day(now)) ", to " } (day(last)) }
            }
        }
    }
}

fn lane(state: &str) -> &'static str {
    match state {
        "suppressed" => "bad",
        "held" | "watched" | "probation" => "wait",
        _ => "good",
    }
}

/// What is good news is green, what needs eyes warm.
fn tick(kind: &str) -> &'static str {
    match kind {
        "failure" | "failed" => "c0",
        "delay" | "deferred" => "c1",
        "success" | "sent" | "delivered" | "release" => "c2",
        "complaint" | "unsubscribe" => "c3",
        "suppress" => "c7",
        _ => "c9",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_have_their_places() {
        let at = |text| Timestamp::parse_rfc3339(text).expect("a time");
        let standing = json!({"scope": "news", "state": "suppressed", "until": null,
            "since": "2026-11-11T00:00:00Z"});
        let events = [
            json!({"received_at": "2026-11-01T00:00:00Z", "kind": "failure"}),
            json!({"received_at": "no time", "kind": "failure"}),
            json!({"received_at": "2026-11-21T00:00:00Z", "act": {"what": "suppress"}}),
        ];
        let svg = timeline(&[standing], &events, at("2026-11-21T00:00:00Z")).into_string();
        for piece in [
            "class=\"lane-bad\" x=\"497\" y=\"1\" height=\"8\" width=\"497\"",
            "class=\"c0\" x=\"0\"",
            "class=\"c7\" x=\"994\"",
            "2 events",
        ] {
            assert!(svg.contains(piece), "{piece} is not in\n{svg}");
        }
        assert_eq!(timeline(&[], &[], at("2026-11-21T00:00:00Z")).into_string(), "");
        // An end far ahead takes half of the picture at most, and what comes from a wrong clock fits.
        let far = json!({"scope": "*", "state": "held", "since": "2026-11-11T00:00:00Z",
            "until": "9999-01-01T00:00:00Z"});
        let svg = timeline(&[far], &events, at("2026-11-20T00:00:00Z")).into_string();
        assert!(svg.contains("class=\"now\" x=\"497\""), "{svg}");
    }
}
