//! The forms of the pages.
//!
//! A form needs no preflight, so unlike the API it wants more than a request that is not from
//! another site: the code that its page carried, or, without a session, a browser's word that it
//! comes from our own page.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;

use super::super::body::IncomingBody;
use super::super::params::{Params, time};
use super::super::sessions::is_ours;
use super::super::shared::{Http, blocking, in_turn};
use super::{Failed, PageResult, html, see};
use crate::event::Act;
use crate::serve::limits;
use crate::serve::problem::Problem;
use crate::serve::web::{self, Viewer, link};
use crate::service::Direction;

/// The text of a form.
pub(super) async fn form(http: &Http, body: Body) -> Result<String, Problem> {
    let body = IncomingBody::new(body).whole(limits::FORM_OCTETS, &http.budget.intake).await?;
    String::from_utf8(body.to_vec())
        .map_err(|_| Problem::bad_request("the form is not UTF-8; use the form on the page"))
}

/// A form that came from our own page, and who sent it.
pub struct OwnForm {
    viewer: Viewer,
    text: String,
}

impl FromRequest<Arc<Http>> for OwnForm {
    type Rejection = Failed;

    async fn from_request(request: Request, http: &Arc<Http>) -> Result<Self, Failed> {
        let (parts, body) = request.into_parts();
        let viewer = parts.extensions.get::<Viewer>().cloned().ok_or_else(|| {
            let detail = "nobody said who sent this form";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
        })?;
        let text = form(http, body).await?;
        from_our_page(&parts.headers, &viewer, &text)?;
        Ok(Self { viewer, text })
    }
}

impl OwnForm {
    /// Its fields, which must be among `known`.
    fn fields(&self, known: &[&str]) -> Result<Params<'_>, Problem> {
        Params::parse(&self.text, &[&["csrf"], known].concat())
    }
}

/// Refuses a form that did not come from our page.
fn from_our_page(headers: &HeaderMap, viewer: &Viewer, form: &str) -> Result<(), Problem> {
    let code = Params::any(form).text("csrf")?.unwrap_or_default();
    if is_ours(&viewer.csrf, &code) {
        return Ok(());
    }
    let vouched = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    if vouched && !viewer.session && code.is_empty() {
        return Ok(());
    }
    let detail = match code.is_empty() {
        true => "this form is for browsers; programs use the API, see /openapi.json",
        false => "the page was loaded before the last log-in or restart; load it again",
    };
    Err(Problem::new(StatusCode::FORBIDDEN, "cross-site", detail))
}

/// Why somebody does something.
fn reason(form: &Params<'_>) -> Result<String, Problem> {
    let reason = form.text("reason")?.unwrap_or_default().trim().to_string();
    if reason.is_empty() {
        return Err(Problem::bad_request("say why; the reason is journalled"));
    }
    Ok(reason)
}

/// `POST /address/release`
pub async fn release(State(http): State<Arc<Http>>, form: OwnForm) -> PageResult {
    let fields = form.fields(&["address", "scope", "reason"])?;
    let (address, reason) = (fields.text("address")?.unwrap_or_default(), reason(&fields)?);
    let scope = fields.scope()?.unwrap_or("*".to_string());
    let to = link("/address", &[("address", &address), ("released", "true")]);
    blocking(&http, move |service| service.release(&address, &scope, &reason)).await?;
    Ok(see(&to))
}

/// `POST /address/suppress`
pub async fn suppress(State(http): State<Arc<Http>>, form: OwnForm) -> PageResult {
    let fields = form.fields(&["address", "scope", "reason", "until"])?;
    let (address, reason) = (fields.text("address")?.unwrap_or_default(), reason(&fields)?);
    let scope = fields.scope()?.unwrap_or("*".to_string());
    let until =
        fields.text("until")?.map(|text| time("until", &text, Direction::Ahead)).transpose()?;
    let to = link("/address", &[("address", &address), ("suppressed", "true")]);
    blocking(&http, move |service| service.suppress(&address, &scope, &reason, until)).await?;
    Ok(see(&to))
}

/// `POST /guards/release`
pub async fn release_guard(State(http): State<Arc<Http>>, form: OwnForm) -> PageResult {
    let fields = form.fields(&["provider", "scope", "reason"])?;
    let (provider, scope) = (fields.text("provider")?, fields.scope()?);
    if provider.is_some() == scope.is_some() {
        return Err(Problem::bad_request("name the guard: its provider, or its scope").into());
    }
    let act = Act::ReleaseHeld { provider, scope, reason: reason(&fields)? };
    blocking(&http, move |service| service.act(act, false)).await?;
    Ok(see("/health"))
}

/// `GET /rule?wording=`
pub async fn rule(Extension(viewer): Extension<Viewer>, uri: Uri) -> PageResult {
    let params = Params::of(&uri, &["wording"])?;
    let rules = web::draft(&params.text("wording")?.unwrap_or_default());
    Ok(html(web::rule(&viewer, &web::RuleTrial { rules: &rules, tried: None })))
}

/// `POST /rule`
pub async fn try_rule(State(http): State<Arc<Http>>, form: OwnForm) -> PageResult {
    let fields = form.fields(&["rules"])?;
    let rules = fields.text("rules")?.unwrap_or_default().replace("\r\n", "\n");
    let tried = rules.clone();
    let tried = match in_turn(&http, move |service| service.try_rules(&tried)).await {
        Err(problem) if problem.status == StatusCode::BAD_REQUEST => Err(problem.detail),
        Err(problem) => return Err(problem.into()),
        Ok(tried) => Ok(tried),
    };
    Ok(html(web::rule(&form.viewer, &web::RuleTrial { rules: &rules, tried: Some(tried) })))
}

/// The answer to a form, as the page of it.
pub(super) fn refused(status: StatusCode, page: web::HtmlPage) -> Response {
    let mut response = html(page);
    *response.status_mut() = status;
    response
}
