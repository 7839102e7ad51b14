//! `GET /v1/webhooks`: the state of each endpoint. `POST /v1/webhooks:test?name=`: sends it a test.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::json;

use super::params::Params;
use super::shared::{self, Http};
use crate::serve::problem::Problem;

/// The state of each endpoint.
pub async fn status(State(http): State<Arc<Http>>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri, &[])?;
    Ok(shared::json(&json!({"webhooks": http.webhooks.status()})))
}

/// Sends a test and says what became of it. That an endpoint does not take it is an answer, not an
/// error of ours.
pub async fn test(State(http): State<Arc<Http>>, uri: Uri) -> Result<Response, Problem> {
    let params = Params::of(&uri, &["name"])?;
    let name = params.text("name")?;
    let name = name.ok_or_else(|| Problem::bad_request("`name` says which webhook to test"))?;
    let attempt = http.webhooks.test(&name).await.ok_or_else(|| {
        let detail = "there is no webhook of this name; `bounced webhooks status` or GET /v1/webhooks lists them";
        Problem::new(StatusCode::NOT_FOUND, "no-such-webhook", detail)
    })?;
    Ok(shared::json(&attempt))
}
