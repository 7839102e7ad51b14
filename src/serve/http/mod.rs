//! The HTTP API, metrics and the page (docs/interface.md, "HTTP"): routes, state and connections.
//!
//! hyper runs the connections and axum finds the handler; what `axum::serve` cannot set is set
//! here: a deadline for the header, a half-closed client (Exim's `${readsocket}`) that still gets
//! its answer, a place for each connection ([`places`](crate::serve::places)), an end to each.
//!
//! Promises: every error is RFC 9457 problem+json (on the page: a page); everything has a limit
//! from [`limits`]; paths, queries and bodies are never logged, because they hold addresses.

mod acts;
mod body;
mod budget;
mod check;
mod events;
mod gate;
mod import;
mod listing;
mod messages;
mod operations;
mod page;
mod params;
mod reports;
mod sending;
mod sessions;
mod shared;
mod suppressions;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{mpsc, watch};

use gate::RouteNames;
pub use shared::Http;
use shared::PeerIp;

use crate::serve::limits;
use crate::serve::metrics::{Port, Refused};
use crate::serve::places::{ConnectionPlace, NoPlace};
use crate::serve::problem::Problem;
use crate::serve::socket::{Listener, Socket, stopped};

/// Answers clients of a listener until `stop` becomes true; running requests then have
/// [`limits::SHUTDOWN_GRACE`] to end.
pub async fn serve(mut listener: Listener, http: Arc<Http>, mut stop: watch::Receiver<bool>) {
    let router = router(http.clone());
    // Nothing is ever sent: every connection holds a sender until it ends.
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    loop {
        let socket = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            socket = listener.accept() => socket,
        };
        let place = match http.places.take(&socket.peer()) {
            Ok(place) => place,
            Err(why) => {
                http.metrics.refused(Port::Http, why.into());
                socket.turn_away(no_place(why));
                continue;
            }
        };
        let (router, http, alive) = (router.clone(), http.clone(), alive.clone());
        tokio::spawn(async move {
            let _open = http.metrics.opened(Port::Http);
            connection(socket, router, &http, Arc::new(place)).await;
            drop(alive);
        });
    }
    drop((listener, alive));
    http.stopping.send_replace(true);
    // What is left after the grace is cut off with the process.
    let _ = tokio::time::timeout(limits::SHUTDOWN_GRACE, all_gone.recv()).await;
}

/// What a client reads that gets no connection.
fn no_place(why: NoPlace) -> &'static [u8] {
    match why {
        NoPlace::Full => {
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
              Content-Length: 0\r\n\r\n"
        }
        NoPlace::FullForNetwork => {
            b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nConnection: close\r\n\
              Content-Length: 0\r\n\r\n"
        }
    }
}

/// One connection.
async fn connection(socket: Socket, router: Router, http: &Http, place: Arc<ConnectionPlace>) {
    let mut stopping = http.stopping.subscribe();
    let service = PeerService {
        peer: PeerIp(socket.peer().ip()),
        place: place.clone(),
        inner: TowerToHyperService::new(router),
    };
    let mut connection = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HTTP_HEADER)
            .max_buf_size(limits::HTTP_HEADER_OCTETS)
            .half_close(true)
            // Most answers are small: one buffer costs the kernel less than two.
            .writev(false)
            .serve_connection(TokioIo::new(socket), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = place.sent_away() => return http.metrics.refused(Port::Http, Refused::SentAway),
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection broke off");
    }
}

/// Adds the client's address and its place to each request.
struct PeerService {
    peer: PeerIp,
    place: Arc<ConnectionPlace>,
    inner: TowerToHyperService<Router>,
}

impl hyper::service::Service<hyper::Request<Incoming>> for PeerService {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future =
        <TowerToHyperService<Router> as hyper::service::Service<hyper::Request<Incoming>>>::Future;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(self.place.clone());
        self.inner.call(request)
    }
}

type Handlers = MethodRouter<Arc<Http>>;

/// Every route: how axum writes it, how the world writes it, what answers. `/openapi.json`
/// describes the same paths (test), but for those of the page, which are for people.
fn routes() -> Vec<(&'static str, &'static str, Handlers)> {
    let same = |path: &'static str, handlers: Handlers| (path, path, handlers);
    vec![
        (
            // A wildcard, because local parts may hold slashes and curl does not encode them.
            "/v1/suppressions/{*address}",
            "/v1/suppressions/{address}",
            get(suppressions::one).put(suppressions::suppress).delete(suppressions::release),
        ),
        ("/v1/addresses/{*address}", "/v1/addresses/{address}", get(suppressions::explain)),
        same("/v1/suppressions", get(suppressions::list)),
        same("/v1/suppressions:check", post(check::check)),
        same("/v1/suppressions:import", post(import::import)),
        same("/v1/suppressions:export", get(import::export)),
        same("/v1/events", get(events::feed).post(sending::results)),
        same("/v1/verp", post(sending::mint)),
        same("/v1/health", get(sending::health)),
        same("/v1/reports/rules", get(reports::rules)),
        same("/v1/campaigns/{id}/bounces", get(reports::campaign)),
        same("/v1/guards", get(sending::guards)),
        same("/v1/shadow", get(sending::shadow)),
        same("/v1/messages", post(messages::receive)),
        same("/v1/webhooks", get(webhooks::status)),
        same("/v1/webhooks:test", post(webhooks::test)),
        same("/v1/acts", post(acts::act)),
        same("/v1/clock:accept", post(acts::accept_clock)),
        same("/livez", get(operations::livez)),
        same("/readyz", get(operations::readyz)),
        same("/metrics", get(operations::metrics)),
        same("/openapi.json", get(operations::openapi)),
        same("/", get(page::overview)),
        same("/search", get(page::search)),
        same("/address", get(page::address)),
        same("/address/release", post(page::forms::release)),
        same("/address/suppress", post(page::forms::suppress)),
        same("/event", get(page::event)),
        same("/suppressions", get(page::suppressions)),
        same("/providers", get(page::providers)),
        same("/provider", get(page::provider)),
        same("/guards/release", post(page::forms::release_guard)),
        same("/campaigns", get(page::campaigns)),
        same("/campaign", get(page::campaign)),
        same("/campaign.csv", get(page::export::campaign)),
        same("/scopes", get(page::scopes)),
        same("/scope", get(page::scope)),
        same("/unknown", get(page::unknown)),
        same("/rule", get(page::forms::rule).post(page::forms::try_rule)),
        same("/health", get(page::health)),
        same("/login", get(page::login::show).post(page::login::log_in)),
        same("/logout", post(page::login::log_out)),
        same("/style.css", get(page::style)),
        same("/icon.svg", get(page::icon)),
    ]
}

fn router(http: Arc<Http>) -> Router {
    let (mut router, mut names) = (Router::new(), RouteNames::new());
    for (path, name, handlers) in routes() {
        router = router.route(path, handlers);
        names.insert(path, name);
    }
    let gate = (http.clone(), Arc::new(names));
    router
        .fallback(async |headers: HeaderMap, uri: Uri| page::nowhere(&headers, nowhere(&uri)))
        .method_not_allowed_fallback(async || {
            let detail = "this path does not take that method; /openapi.json lists those it takes";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no-such-method", detail)
        })
        .layer(axum::middleware::from_fn_with_state(gate, gate::gate))
        .with_state(http)
}

/// A path without a handler. It is no 404: a sender with a slip in its path would take that for
/// "go on".
fn nowhere(uri: &Uri) -> Problem {
    if let "/v1/suppressions/" | "/v1/addresses/" = uri.path() {
        let path = uri.path();
        return Problem::bad_request(format!("no address is named; ask {path}user@example.com"));
    }
    let detail = "there is nothing here; /openapi.json lists what there is";
    Problem::new(StatusCode::BAD_REQUEST, "no-such-path", detail)
}

#[cfg(test)]
mod tests;
