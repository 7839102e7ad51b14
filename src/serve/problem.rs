//! Errors of the HTTP API: RFC 9457 problem details, with our own `code` for programs.
//!
//! `type` stays `about:blank` (section 4.2.1: nothing more to know than the status); what there is
//! to know is in `code`, a word that does not change, and `detail`, a sentence that may.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::service::ServiceError;

/// Code of the answer to somebody who guesses tokens.
pub const TOO_MANY_GUESSES: &str = "too-many-guesses";

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Word for programs.
    pub code: &'static str,
    /// Sentence for people; says what to do.
    pub detail: String,
}

impl Problem {
    /// A problem from its parts.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into() }
    }

    /// Others are being served; asking again in a moment may work.
    pub fn too_many(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail)
    }

    /// What the client is to do next, in the words of the protocol.
    fn headers(&self) -> &'static [(HeaderName, &'static str)] {
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => &[(header::RETRY_AFTER, "5")],
            // A minute is what wrong tokens are counted by.
            StatusCode::TOO_MANY_REQUESTS if self.code == TOO_MANY_GUESSES => {
                &[(header::RETRY_AFTER, "60")]
            }
            // Closed, because what a connection has read with keeps memory while it is open.
            StatusCode::TOO_MANY_REQUESTS => {
                &[(header::RETRY_AFTER, "5"), (header::CONNECTION, "close")]
            }
            // Bearer for programs; browsers ask for a password and the token is the password. Two
            // headers: Chromium reads only the first scheme of one.
            StatusCode::UNAUTHORIZED => &[
                (header::WWW_AUTHENTICATE, "Basic realm=\"bounced\", charset=\"UTF-8\""),
                (header::WWW_AUTHENTICATE, "Bearer realm=\"bounced\""),
            ],
            _ => &[],
        }
    }

    /// The request is wrong.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let detail = error.to_string();
        match error {
            ServiceError::BadRequest(_) => Self::bad_request(detail),
            ServiceError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not-found", detail),
            ServiceError::Busy(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail),
            ServiceError::Full(_) => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", detail)
            }
            ServiceError::Internal(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, content_type, body.to_string()).into_response();
        for &(ref name, value) in self.headers() {
            response.headers_mut().append(name, HeaderValue::from_static(value));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_status() {
        for (error, status, code) in [
            (ServiceError::BadRequest("x".into()), 400, "bad-request"),
            (ServiceError::NotFound("x".into()), 404, "not-found"),
            (ServiceError::Busy("x".into()), 503, "busy"),
            (ServiceError::Full("x".into()), 507, "disk-full"),
            (ServiceError::Internal("x".into()), 500, "internal"),
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.status.as_u16(), problem.code), (status, code));
            let response = problem.into_response();
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            assert_eq!(response.headers().contains_key("retry-after"), status == 503);
        }
    }
}
