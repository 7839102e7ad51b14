//! `POST /v1/acts`: acts on batches of decisions (undo, new verdicts, release of what a guard
//! holds, erasure); `POST /v1/clock:accept`, after which much may expire at once. They need an
//! admin token where tokens are in force.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::body::IncomingBody;
use super::params::{self, Params};
use super::shared::{Http, blocking, from_json};
use crate::event::Act;
use crate::serve::limits;
use crate::serve::problem::Problem;

/// Commits an act, or says with `dry_run` what it would change.
pub async fn act(State(http): State<Arc<Http>>, uri: Uri, body: Body) -> Result<Response, Problem> {
    let dry_run = Params::of(&uri, &["dry_run"])?.flag("dry_run")?;
    let body = IncomingBody::new(body).whole(limits::ACT_OCTETS, &http.budget.intake).await?;
    let (act, _share) = from_json(&http, body).await?.map_err(|wrong| {
        let example = r#"{"what":"undo","rule":"a-rule","reason":"it is wrong"}"#;
        Problem::bad_request(format!("the body must be an act such as {example}: {wrong}"))
    })?;
    match act {
        Act::Suppress { .. } | Act::Release { .. } => {
            let detail = "use PUT and DELETE /v1/suppressions/{address} for one address";
            Err(Problem::bad_request(detail))
        }
        Act::Policy { .. } => Err(Problem::bad_request("the policy comes from the configuration")),
        Act::Fact { .. } => Err(Problem::bad_request("facts are found out, not told")),
        act => {
            if let Act::ReleaseHeld { scope: Some(scope), .. } = &act {
                params::scope(scope.clone())?;
            }
            let done = blocking(&http, move |service| service.act(act, dry_run)).await?;
            Ok(super::shared::json(&done))
        }
    }
}

/// Believes the wall clock again.
pub async fn accept_clock(State(http): State<Arc<Http>>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri, &[])?;
    let done = blocking(&http, |service| service.accept_clock()).await?;
    Ok(super::shared::json(&done))
}
