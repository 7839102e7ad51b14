//! Health, metrics and the document of the API.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::shared::{Http, blocking};
use crate::serve::limits;
use crate::service::DEGRADED;

/// The API in OpenAPI 3.1. Written by hand, because it says more than types do; a test compares
/// its paths and methods with the router's.
pub const OPENAPI: &str = include_str!("openapi.json");

/// `GET /livez`: the event loop turns.
pub async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: one line a check; 503 when one fails.
pub async fn readyz(State(http): State<Arc<Http>>) -> Response {
    let mut text = String::new();
    let mut well = true;
    for (name, finding) in checks(&http).await {
        let (word, words) = match finding {
            Ok(words) => match words.strip_prefix(DEGRADED) {
                Some(words) => ("DEGRADED", words.to_string()),
                None => ("ok", words),
            },
            Err(words) => {
                well = false;
                ("FAILED", words)
            }
        };
        // One line a check, whatever the words are.
        let words = words.replace(char::is_control, " ");
        text.push_str(&format!("{name}: {word}: {words}\n"));
    }
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}

/// The findings of the service, or the finding that it does not answer.
pub async fn checks(http: &Http) -> Vec<(String, Result<String, String>)> {
    let asked = blocking(http, |service| Ok(service.ready()));
    match tokio::time::timeout(limits::READY_WITHIN, asked).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(problem)) => vec![("service".to_string(), Err(problem.detail))],
        Err(_) => {
            let seconds = limits::READY_WITHIN.as_secs();
            let finding = format!("the checks took longer than {seconds} s; is the disk stuck?");
            vec![("service".to_string(), Err(finding))]
        }
    }
}

/// `GET /metrics`. A service that cannot count now leaves the gauges as they were.
pub async fn metrics(State(http): State<Arc<Http>>) -> Response {
    let overview = blocking(&http, |service| service.overview());
    if let Ok(Ok(overview)) = tokio::time::timeout(limits::READY_WITHIN, overview).await {
        http.metrics.observe(&overview);
    }
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, http.metrics.render()).into_response()
}

/// `GET /openapi.json`
pub async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}
