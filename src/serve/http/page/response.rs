//! The answers of the pages: their headers, their errors, redirects, style sheet and icon.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::super::params::Params;
use crate::serve::problem::Problem;
use crate::serve::web::{self, HtmlPage};
use crate::service::ServiceError;

/// Errors of the page are pages.
pub struct Failed(Problem);

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<ServiceError> for Failed {
    fn from(error: ServiceError) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Self(Problem { status, detail, .. }) = self;
        let title = status.canonical_reason().unwrap_or("Error");
        (status, html(web::error(status.as_u16(), title, &detail))).into_response()
    }
}

/// What a handler of a page gives.
pub type PageResult = Result<Response, Failed>;

/// A page with its security headers.
pub fn html(page: HtmlPage) -> Response {
    let fixed = |value: &'static str| HeaderValue::from_static(value);
    let headers = [
        (header::CONTENT_TYPE, fixed("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, fixed(web::CONTENT_SECURITY_POLICY)),
        // `no-referrer` would turn the Origin of our own form into `null`.
        (header::REFERRER_POLICY, fixed("same-origin")),
        (header::CACHE_CONTROL, fixed("no-store")),
        (header::X_FRAME_OPTIONS, fixed("DENY")),
    ];
    (headers, page.into_string()).into_response()
}

/// The name that a page is about.
pub fn named(params: &Params<'_>, what: &str) -> Result<String, Problem> {
    let missing = || Problem::bad_request(format!("name the {what}: ?name="));
    params.text("name")?.ok_or_else(missing)
}

/// What is nowhere: a page for those who want one.
pub fn nowhere(headers: &HeaderMap, problem: Problem) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    match accept.is_some_and(|accept| accept.contains("text/html")) {
        true => Failed(problem).into_response(),
        false => problem.into_response(),
    }
}

/// `/style.css`
pub async fn style() -> Response {
    asset("text/css; charset=utf-8", web::STYLE)
}

/// `/icon.svg`
pub async fn icon() -> Response {
    asset("image/svg+xml", web::ICON)
}

fn asset(content_type: &'static str, content: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "max-age=3600")];
    (headers, content).into_response()
}

/// Where a form leads when it is done.
pub fn see(to: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, to.to_string())]).into_response()
}
