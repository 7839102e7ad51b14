//! Logging in and out of the pages, for browsers with scripts, without, and in a terminal.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::super::params::Params;
use super::super::sessions::{clear_cookie, is_ours, set_cookie};
use super::super::shared::{Http, PeerIp};
use super::forms::{form, refused};
use super::{PageResult, html, see};
use crate::serve::problem::Problem;
use crate::serve::tokens::Tokens;
use crate::serve::web::{self, link};

/// Leads a browser to the log-in; back to where it was going when it asked for a page.
pub fn ask(uri: &Uri, asks: bool) -> Response {
    let wanted = uri.path_and_query().map_or("/", |wanted| wanted.as_str());
    match asks && wanted != "/" {
        true => see(&link("/login", &[("next", wanted)])),
        false => see("/login"),
    }
}

/// `GET /login?next=`
pub async fn show(State(http): State<Arc<Http>>, uri: Uri) -> PageResult {
    let params = Params::of(&uri, &["next"])?;
    let next = local(params.text("next")?);
    if http.tokens.load().is_none() {
        // Nothing to log in to.
        return Ok(see(&next));
    }
    Ok(html(web::login(&next, None)))
}

/// `POST /login`
pub async fn log_in(
    State(http): State<Arc<Http>>,
    Extension(peer): Extension<PeerIp>,
    headers: HeaderMap,
    body: Body,
) -> PageResult {
    let body = form(&http, body).await?;
    let form = Params::parse(&body, &["next", "token"])?;
    let next = local(form.text("next")?);
    let token = form.text("token")?.unwrap_or_default();
    let hash = Tokens::hash(token.trim().as_bytes());
    let tokens = http.tokens.load();
    let Some(tokens) = tokens.as_deref() else { return Ok(see(&next)) };
    if tokens.by_hash(&hash).is_none() {
        // No 401: a browser would ask for a password over our own page.
        let (status, wrong) = match http.count_guess(peer.0) {
            Ok(()) => (StatusCode::FORBIDDEN, "The token is not one of ours.".to_string()),
            Err(Problem { status, detail, .. }) => (status, detail),
        };
        return Ok(refused(status, web::login(&next, Some(&wrong))));
    }
    http.sessions.close(&headers);
    let name = http.sessions.open(hash, Instant::now());
    let https = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    Ok(with_cookie(see(&next), &set_cookie(&name, https)))
}

/// `POST /logout`
pub async fn log_out(State(http): State<Arc<Http>>, headers: HeaderMap, body: Body) -> PageResult {
    let body = form(&http, body).await?;
    let form = Params::parse(&body, &["csrf"])?;
    let code = form.text("csrf")?.unwrap_or_default();
    let session = http.sessions.find(&headers, Instant::now());
    if session.is_some_and(|(_, session)| !is_ours(&http.sessions.csrf(&session), &code)) {
        let detail = "the page was loaded before the last log-in; load it again";
        return Err(Problem::new(StatusCode::FORBIDDEN, "cross-site", detail).into());
    }
    http.sessions.close(&headers);
    Ok(with_cookie(see("/login"), &clear_cookie()))
}

/// A path of ours: what leads elsewhere is the overview.
fn local(next: Option<String>) -> String {
    let ours = |next: &String| {
        next.starts_with('/')
            && !next.starts_with("//")
            && !next.contains(['\\', '\r', '\n'])
            && next.is_ascii()
    };
    next.filter(ours).unwrap_or("/".to_string())
}

fn with_cookie(response: Response, cookie: &str) -> Response {
    match HeaderValue::from_str(cookie) {
        Ok(cookie) => ([(header::SET_COOKIE, cookie)], response).into_response(),
        Err(_) => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_leads_nowhere_else() {
        for (next, to) in [
            ("/address?address=a@x.test", "/address?address=a@x.test"),
            ("//evil.example/", "/"),
            ("/\\evil.example/", "/"),
            ("https://evil.example/", "/"),
            ("/a\r\nSet-Cookie: x=y", "/"),
            ("", "/"),
        ] {
            assert_eq!(local(Some(next.to_string())), to);
        }
        assert_eq!(local(None), "/");
    }
}
