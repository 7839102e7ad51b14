//! The bounces of a campaign as CSV, read from the journal while it is sent.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::Uri;
use axum::response::Response;
use serde_json::json;

use super::super::body::{AnswerSource, answer};
use super::super::params::Params;
use super::super::shared::{Http, PeerIp, in_turn};
use super::{Failed, named, of_late};
use crate::event::Event;
use crate::report::Kind;
use crate::serve::problem::Problem;
use crate::service::lines::{ListFormat, push_csv};
use crate::service::reports;
use crate::service::trend::campaign_name;

/// Columns of the export.
const COLUMNS: [&str; 9] =
    ["address", "kind", "reason", "class", "category", "provider", "said", "at", "event"];

/// `GET /campaign.csv?name=`
pub async fn campaign(
    State(http): State<Arc<Http>>,
    Extension(peer): Extension<PeerIp>,
    uri: Uri,
) -> Result<Response, Failed> {
    let name = named(&Params::of(&uri, &["name"])?, "campaign")?;
    let wanted = name.clone();
    let seqs = in_turn(&http, move |service| {
        of_late(service, |trend| trend.campaigns.get(&wanted).map(|seen| seen.seqs))
    });
    let (from, last) = seqs.await?.unwrap_or((1, 0));
    let place = http.budget.reader(peer.0)?;
    let source = CampaignExport { http, name, from, last, begun: false };
    Ok(answer(ListFormat::Csv.content_type(), source, Some(place)).await?)
}

/// An export under way.
struct CampaignExport {
    http: Arc<Http>,
    name: String,
    from: u64,
    last: u64,
    begun: bool,
}

impl AnswerSource for CampaignExport {
    async fn next(&mut self) -> Result<String, Problem> {
        let mut text = String::new();
        if !self.begun {
            self.begun = true;
            text = COLUMNS.join(",") + "\r\n";
        }
        if self.ended() {
            return Ok(text);
        }
        let (from, last, name) = (self.from, self.last, self.name.clone());
        let read = in_turn(&self.http, move |service| {
            let is_meant = |campaign: &str| campaign_name(campaign) == name;
            let next = reports::events_of(service, &is_meant, from, &mut |event| {
                if event.seq <= last {
                    push_event(event, &mut text);
                }
            })?;
            Ok((next, text))
        });
        let (next, text) = read.await?;
        self.from = next.unwrap_or(u64::MAX);
        Ok(text)
    }

    fn ended(&self) -> bool {
        self.begun && self.from > self.last
    }
}

/// A line for each recipient that failed, complained or wants no more.
fn push_event(event: &Event, out: &mut String) {
    let kind = event.analysis.as_ref().map(|analysis| analysis.kind);
    let wish = matches!(kind, Some(Kind::Complaint | Kind::Unsubscribe));
    let recipients = event.analysis.iter().flat_map(|analysis| &analysis.recipients);
    let verdict = event.result.iter().filter_map(|result| result.verdict.as_ref());
    for one in recipients.chain(verdict).filter(|one| wish || one.category.is_some()) {
        let outcome = event.result.as_ref().map(|result| json!(result.outcome));
        let line = json!({"address": one.address(), "kind": outcome.unwrap_or(json!(kind)),
            "reason": one.reason, "class": one.class, "category": one.category,
            "provider": one.provider, "said": one.recipient.diagnostic, "at": event.received_at,
            "event": event.seq});
        push_csv(&line, &COLUMNS, out);
    }
}
