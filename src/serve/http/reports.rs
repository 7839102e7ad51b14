//! `GET /v1/reports/rules`: which rule said what. `GET /v1/campaigns/{id}/bounces`: the bounces
//! of a campaign, as NDJSON.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::body::{AnswerSource, answer};
use super::params::Params;
use super::shared::{self, Http, PeerIp, in_turn};
use crate::mail::Timestamp;
use crate::serve::percent;
use crate::serve::problem::Problem;
use crate::service::reports::{self, RulesReport};

/// Days that a report looks back when nothing is said.
const DAYS: i64 = 7;

/// Which rule said what, how often, where, since when.
pub async fn rules(
    State(http): State<Arc<Http>>,
    Extension(peer): Extension<PeerIp>,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::of(&uri, &["by", "since"])?;
    let by_provider = match params.text("by")?.as_deref() {
        None | Some("rule") => false,
        Some("provider") => true,
        Some(_) => return Err(Problem::bad_request("`by` must be rule or provider")),
    };
    let since = params.time("since")?.unwrap_or_else(|| Timestamp::now().plus_days(-DAYS));
    let _place = http.budget.reader(peer.0)?;
    let begin = move |service: &dyn crate::service::Service| {
        let newest = service.overview()?.ledger.last_seq;
        RulesReport::begin(service, since, newest, by_provider)
    };
    let mut report = in_turn(&http, begin).await?;
    loop {
        // Turn by turn, so that others have theirs.
        let read = in_turn(&http, move |service| {
            let more = report.read(service)?;
            Ok((report, more))
        });
        let more;
        (report, more) = read.await?;
        if !more {
            return Ok(shared::json(&report.to_json()));
        }
    }
}

/// Who of a campaign bounced, from a position of the journal on.
pub async fn campaign(
    State(http): State<Arc<Http>>,
    Extension(peer): Extension<PeerIp>,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::of(&uri, &["scope", "from"])?;
    let path = uri.path().strip_prefix("/v1/campaigns/").unwrap_or_default();
    let campaign = path.strip_suffix("/bounces").map(percent::decode);
    let campaign = match campaign {
        Some(Some(name)) if !name.is_empty() => name,
        Some(None) => {
            return Err(Problem::bad_request("the campaign is not percent-encoded UTF-8"));
        }
        _ => {
            let detail = "there is nothing here; ask /v1/campaigns/ID/bounces";
            return Err(Problem::new(StatusCode::NOT_FOUND, "no-such-path", detail));
        }
    };
    let (scope, next) = (params.scope()?, params.number("from")?.unwrap_or(1));
    let place = http.budget.reader(peer.0)?;
    let bounces = Bounces { http, campaign, scope, next, ended: false };
    answer("application/x-ndjson", bounces, Some(place)).await
}

/// Where an answer is in the journal.
struct Bounces {
    http: Arc<Http>,
    campaign: String,
    scope: Option<String>,
    next: u64,
    ended: bool,
}

impl AnswerSource for Bounces {
    async fn next(&mut self) -> Result<String, Problem> {
        let (campaign, scope, next) = (self.campaign.clone(), self.scope.clone(), self.next);
        let read = in_turn(&self.http, move |service| {
            reports::bounces_of(service, &campaign, scope.as_deref(), next)
        });
        let (lines, next, ended) = read.await?;
        (self.next, self.ended) = (next, ended);
        Ok(lines.into_iter().flat_map(|line| [line, "\n".to_string()]).collect())
    }

    fn ended(&self) -> bool {
        self.ended
    }
}
