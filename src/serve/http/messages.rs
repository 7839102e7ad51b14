//! `POST /v1/messages`: a raw message by HTTP, handled as if it came by SMTP.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;

use super::body::IncomingBody;
use super::params::Params;
use super::shared::{Http, LineEnds, PeerIp, blocking, no_upload};
use crate::event::Envelope;
use crate::serve::limits;
use crate::serve::problem::Problem;

/// Answers after the message is durable.
pub async fn receive(
    State(http): State<Arc<Http>>,
    Extension(peer): Extension<PeerIp>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    no_upload(&headers)?;
    let params = Params::of(&uri, &["to", "from", "trust"])?;
    let to = params.addresses("to")?;
    if to.len() > limits::MESSAGE_RECIPIENTS {
        let most = limits::MESSAGE_RECIPIENTS;
        return Err(Problem::bad_request(format!("at most {most} times `to`")));
    }
    let from = params.addresses("from")?.into_iter().next().unwrap_or_default();
    let most = http.max_message;
    let body = IncomingBody::new(body).whole(most, &http.budget.intake).await;
    let (data, share) = body
        .map_err(|problem| match problem.code {
            "too-large" => {
                let detail = format!("the message is larger than {most} octets, smtp.max_message");
                Problem { detail, ..problem }
            }
            _ => problem,
        })?
        .into_parts();
    if data.is_empty() {
        let detail = "the body is empty; send the message as it is, header first";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "empty", detail));
    }
    let mut lines = LineEnds::of(&headers);
    lines.see(&data);
    lines.check()?;
    let envelope = Envelope { from, to, trusted: params.flag("trust")? };
    let peer = Some(peer.0.map_or_else(|| "local".to_string(), |peer| peer.to_string()));
    // Reading a message takes some times its octets, so few are read at once.
    let room = http.messages.acquire().await;
    let analysis = blocking(&http, move |service| service.message(data, envelope, peer)).await?;
    drop((room, share));
    Ok(super::shared::json(&analysis))
}
