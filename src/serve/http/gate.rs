//! What every request passes: same-origin, token or session, count.
//!
//! Promises: with a token file, everything but health, the document of the API and the page that asks
//! for a token needs a token of the right role, in a header or by a session of the page. A session
//! changes something by the forms of the page only, which carry a code of their own; the API takes a
//! session for questions. A browser that has neither is led to the log-in. Without a token file the listeners are on loopback (the configuration sees to it),
//! where the danger is a web page in the operator's own browser: a request that changes something
//! must not come from another site (`Sec-Fetch-Site`, `Origin`), and a `Host` that looks like a
//! name on the internet is refused (DNS rebinding).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::budget;
use super::page::login;
use super::shared::{Http, PeerIp};
use crate::serve::places::ConnectionPlace;
use crate::serve::problem::Problem;
use crate::serve::tokens::{Role, Tokens};
use crate::serve::web::Viewer;

/// Paths that need no token: they tell nothing about addresses.
const OPEN: &[&str] =
    &["/livez", "/readyz", "/openapi.json", "/style.css", "/icon.svg", "/login", "/logout"];
/// What is answered on connections that are kept free for it.
const HEALTH: &[&str] = &["/livez", "/readyz", "/metrics"];
/// Changes nothing, though it is a POST: the addresses do not fit into a query.
const ASKING: &str = "/v1/suppressions:check";
/// What changes many decisions at once.
const ACTS: [&str; 3] = ["/v1/acts", "/v1/clock:accept", "/guards/release"];

/// How the world writes a route (`/openapi.json`, metrics and logs), by how axum writes it.
pub type RouteNames = HashMap<&'static str, &'static str>;

/// The middleware.
pub async fn gate(
    State((http, names)): State<(Arc<Http>, Arc<RouteNames>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = path.and_then(|path| names.get(path)).copied().unwrap_or("other");
    let asks = asks(&request, route);
    let place = request.extensions().get::<Arc<ConnectionPlace>>().cloned();
    let reserved = place.as_ref().is_some_and(|place| place.is_reserved());
    let answering = place.map(Answering::begin).transpose();
    let admitted = match &answering {
        Ok(_) if reserved && !HEALTH.contains(&route) => Err(no_room()),
        Ok(_) => admit(&http, &request, route, asks),
        Err(Gone) => Err(no_room()),
    };
    let answer = match admitted {
        Ok(viewer) => {
            request.extensions_mut().insert(viewer);
            http.budget.sent(next.run(request).await, asks)
        }
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED && is_browser(&request) => {
            Ok(login::ask(request.uri(), asks))
        }
        Err(problem) => Err(problem),
    };
    let response = answer.unwrap_or_else(IntoResponse::into_response);
    let mut response = budget::keep_until_sent(response, answering.ok().flatten());
    if reserved {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    http.metrics.http(route, response.status().as_u16(), start.elapsed());
    response
}

/// The client is being answered until this goes.
struct Answering(Arc<ConnectionPlace>);

/// The place went to somebody else in this moment.
struct Gone;

impl Answering {
    fn begin(place: Arc<ConnectionPlace>) -> Result<Self, Gone> {
        if place.answering().is_some() { Ok(Self(place)) } else { Err(Gone) }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.waiting(None);
    }
}

fn no_room() -> Problem {
    let detail = "all connections are taken by requests; ask again in a moment";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
}

/// Whether a request changes nothing.
fn asks(request: &Request, route: &str) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD) || route == ASKING
}

/// Who asks, if it may.
fn admit(http: &Http, request: &Request, route: &str, asks: bool) -> Result<Viewer, Problem> {
    let headers = request.headers();
    if !asks {
        same_origin(headers)?;
    }
    // Only the page has forms.
    let csrf = |who: &[u8]| match route.starts_with("/v1/") {
        true => String::new(),
        false => http.sessions.csrf(who),
    };
    let tokens = http.tokens.load();
    let Some(tokens) = tokens.as_deref() else {
        local_host(headers, &http.hostname)?;
        return Ok(Viewer { role: Role::Admin, csrf: csrf(b"local"), session: false });
    };
    let nobody = Viewer { role: Role::Read, csrf: String::new(), session: false };
    let needed = match route {
        route if OPEN.contains(&route) => return Ok(nobody),
        route if ACTS.contains(&route) => Role::Admin,
        _ if asks => Role::Read,
        _ => Role::Write,
    };
    let presented = presented(headers);
    let known = match &presented {
        Some(token) => {
            let hash = Tokens::hash(token);
            tokens.by_hash(&hash).map(|(role, name)| (role, name, csrf(&hash), false))
        }
        None if asks || !route.starts_with("/v1/") => {
            let session = http.sessions.find(headers, Instant::now());
            session.and_then(|(hash, session)| {
                let (role, name) = tokens.by_hash(&hash)?;
                Some((role, name, csrf(&session), true))
            })
        }
        None => None,
    };
    match known {
        Some((role, _, csrf, session)) if role >= needed => Ok(Viewer { role, csrf, session }),
        Some((role, name, ..)) => {
            let (role, needed) = (role.as_str(), needed.as_str());
            let detail = format!("the token of {name} may {role}; this needs the role {needed}");
            Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
        }
        None => Err(refused(http, request, presented.is_some())),
    }
}

/// Somebody without a token who wants to read a page: is shown where to log in.
fn is_browser(request: &Request) -> bool {
    let headers = request.headers();
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    !headers.contains_key(header::AUTHORIZATION)
        && accept.is_some_and(|accept| accept.contains("text/html"))
}

/// No token, or a wrong one.
fn refused(http: &Http, request: &Request, guessed: bool) -> Problem {
    let client: Option<IpAddr> = request.extensions().get::<PeerIp>().and_then(|peer| peer.0);
    if guessed && let Err(too_many) = http.count_guess(client) {
        return too_many;
    }
    let detail = if guessed {
        "the token is not one of ours; its SHA-256 must stand in tokens_file"
    } else {
        "a token is needed; send `Authorization: Bearer TOKEN`"
    };
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
}

/// The token of a Bearer header, or the password of a Basic one, which is how browsers ask.
fn presented(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().as_bytes().to_vec());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = data_encoding::BASE64.decode(rest.trim().as_bytes()).ok()?;
    let colon = memchr::memchr(b':', &decoded)?;
    decoded.get(colon + 1..).map(<[u8]>::to_vec)
}

/// Whether a browser sends this on behalf of another site. Programs send neither header.
fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let word = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let foreign = match word(header::HeaderName::from_static("sec-fetch-site")) {
        Some(site) => !matches!(site, "same-origin" | "none"),
        None => match headers.get(header::ORIGIN) {
            None => false,
            Some(origin) => {
                let origin = origin.to_str().unwrap_or_default();
                let authority = origin.split_once("://").map(|(_, authority)| authority);
                authority.is_none() || authority != word(header::HOST)
            }
        },
    };
    if !foreign {
        return Ok(());
    }
    let detail = "this changes something, and your browser says that another site asks for it";
    Err(Problem::new(StatusCode::FORBIDDEN, "cross-site", detail))
}

/// A name with dots that is not ours points here only when someone else's DNS says so.
fn local_host(headers: &HeaderMap, hostname: &str) -> Result<(), Problem> {
    let host = headers.get(header::HOST).map_or("", |host| host.to_str().unwrap_or("?."));
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => name,
        _ => host,
    };
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let name = name.to_ascii_lowercase();
    if literal.parse::<IpAddr>().is_ok()
        || !name.contains('.')
        || name.ends_with(".localhost")
        || name == hostname
    {
        return Ok(());
    }
    let detail = "without tokens_file only loopback is served: ask for 127.0.0.1 or localhost";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "foreign-host", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |&(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), value.parse().expect("a header value"))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn another_site_may_not_change_anything() {
        for (pairs, fine) in [
            (&[][..], true),
            (&[("host", "127.0.0.1:8525"), ("origin", "http://127.0.0.1:8525")][..], true),
            (&[("host", "b.example"), ("origin", "https://b.example")][..], true),
            (&[("host", "127.0.0.1:8525"), ("origin", "http://evil.example")][..], false),
            (&[("host", "127.0.0.1:8525"), ("origin", "http://127.0.0.1:9999")][..], false),
            // Sandboxed frames and data: URLs.
            (&[("host", "127.0.0.1:8525"), ("origin", "null")][..], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://behind.proxy")][..], true),
            (&[("sec-fetch-site", "none")][..], true),
            (&[("sec-fetch-site", "cross-site")][..], false),
            (&[("sec-fetch-site", "same-site")][..], false),
            (&[("origin", "http://b.example")][..], false),
        ] {
            assert_eq!(same_origin(&headers(pairs)).is_ok(), fine, "{pairs:?}");
        }
    }

    #[test]
    fn a_rebound_name_is_refused() {
        for (host, fine) in [
            ("127.0.0.1:8525", true),
            ("127.0.0.1", true),
            ("[::1]:8525", true),
            ("localhost:8525", true),
            ("bounced", true),
            ("x", true),
            ("b.localhost", true),
            ("bounce.example.com", true),
            ("evil.example:8525", false),
            ("127.0.0.1.evil.example", false),
            ("bounce.example.com.evil.example", false),
        ] {
            let found = local_host(&headers(&[("host", host)]), "bounce.example.com");
            assert_eq!(found.is_ok(), fine, "{host}");
        }
        assert!(local_host(&HeaderMap::new(), "").is_ok(), "HTTP/1.0 names no host");
    }

    #[test]
    fn tokens_come_as_bearer_or_password() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc", Some("abc")),
            // any:abc, :a:c
            ("Basic YW55OmFiYw==", Some("abc")),
            ("Basic OmE6Yw==", Some("a:c")),
            ("Basic !!", None),
            ("Digest abc", None),
            ("abc", None),
        ] {
            let found = presented(&headers(&[("authorization", value)]));
            assert_eq!(found.as_deref(), token.map(str::as_bytes), "{value}");
        }
    }
}
