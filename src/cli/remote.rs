//! The running service over HTTP (docs/interface.md, "HTTP"). The token comes from
//! `$BOUNCED_TOKEN`: an argument would appear in the process list.

use std::net::SocketAddr;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::event::{Act, Envelope};
use crate::mail::Timestamp;
use crate::service::import::WhyKind;
use crate::service::{
    ImportEntry, ImportOptions, ImportOutcome, ListPage, ListQuery, NotTaken, Operations,
    ServiceError,
};

/// How long an answer may take; an erasure rewrites the journal and builds the list anew.
const ANSWER: Duration = Duration::from_secs(900);
/// Largest answer read: ten thousand events, or one very long history.
const MAX_ANSWER: u64 = 256 << 20;
/// Bodies beyond this are sent after the service has said that it wants them.
const ASK_FIRST: usize = 64 << 10;
/// The problem code of an address that may be mailed.
const NOT_SUPPRESSED: &str = "not-suppressed";

/// How long the service may take to say whether it is ready.
const READY: Duration = Duration::from_secs(10);

/// A client of one service.
pub struct Remote {
    agent: Agent,
    base: String,
    authorization: Option<String>,
}

impl Remote {
    /// A client; takes the token from the environment.
    pub fn new(address: SocketAddr) -> Self {
        let token = std::env::var("BOUNCED_TOKEN").ok().filter(|token| !token.is_empty());
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // A proxy of the environment has no business between us and our own machine.
            .proxy(None)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_recv_response(Some(ANSWER))
            .build()
            .new_agent();
        Self {
            agent,
            base: format!("http://{address}"),
            authorization: token.map(|token| format!("Bearer {token}")),
        }
    }

    fn get(&self, path: &str) -> Result<(u16, Vec<u8>), ServiceError> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.authorization {
            request = request.header("authorization", token);
        }
        self.read(request.call())
    }

    fn delete(&self, path: &str) -> Result<(u16, Vec<u8>), ServiceError> {
        let mut request = self.agent.delete(format!("{}{path}", self.base));
        if let Some(token) = &self.authorization {
            request = request.header("authorization", token);
        }
        self.read(request.call())
    }

    fn send(
        &self,
        put: bool,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<(u16, Vec<u8>), ServiceError> {
        let url = format!("{}{path}", self.base);
        let mut request = if put { self.agent.put(url) } else { self.agent.post(url) };
        request = request.header("content-type", content_type);
        // The service refuses what is too large by its length, and we must not be writing then: a
        // broken pipe is trouble of the service, a refusal is trouble of this message.
        if body.len() > ASK_FIRST {
            request = request.header("expect", "100-continue");
        }
        if let Some(token) = &self.authorization {
            request = request.header("authorization", token);
        }
        self.read(request.send(body))
    }

    fn read(
        &self,
        response: Result<Response<Body>, ureq::Error>,
    ) -> Result<(u16, Vec<u8>), ServiceError> {
        let lost = |e: ureq::Error| {
            ServiceError::Busy(format!("the service at {} did not answer: {e}", self.base))
        };
        let mut response = response.map_err(lost)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        Ok((status, body.map_err(lost)?))
    }

    /// The JSON of an answer, or the error that it tells.
    fn json(&self, answer: (u16, Vec<u8>)) -> Result<Value, ServiceError> {
        let (status, body) = answer;
        if status != 200 {
            return Err(self.error(status, &body));
        }
        serde_json::from_slice(&body).map_err(|e| {
            ServiceError::Internal(format!(
                "the service at {} gave no JSON ({e}); is it bounced that listens there?",
                self.base
            ))
        })
    }

    fn error(&self, status: u16, body: &[u8]) -> ServiceError {
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        let detail = match problem.get("detail").and_then(Value::as_str) {
            Some(detail) => detail.to_string(),
            None => format!(
                "the service at {} answered {status}; is it bounced that listens there?",
                self.base
            ),
        };
        match status {
            401 | 403 => ServiceError::BadRequest(format!(
                "{detail} (the command line sends the \
                token in $BOUNCED_TOKEN)"
            )),
            400..=403 | 405..=428 => ServiceError::BadRequest(detail),
            404 => ServiceError::NotFound(detail),
            429 | 503 => ServiceError::Busy(detail),
            507 => ServiceError::Full(detail),
            _ => ServiceError::Internal(detail),
        }
    }

    /// `GET /v1/webhooks`: the state of each endpoint.
    pub fn webhooks(&self) -> Result<Value, ServiceError> {
        self.json(self.get("/v1/webhooks")?)
    }

    /// `POST /v1/webhooks:test`: what became of a test.
    pub fn test_webhook(&self, name: &str) -> Result<Value, ServiceError> {
        let path = format!("/v1/webhooks:test{}", query(&[("name", Some(name))]));
        self.json(self.send(false, &path, "application/json", b"")?)
    }

    /// `GET /readyz`: whether it is ready, and its words.
    pub fn readyz(&self) -> Result<(bool, String), ServiceError> {
        // Whoever asks wants to know now: a service that does not answer is not ready.
        let request = self.agent.get(format!("{}/readyz", self.base)).config();
        let request = request.timeout_global(Some(READY)).build();
        let (status, body) = self.read(request.call())?;
        match status {
            200 | 503 => Ok((status == 200, String::from_utf8_lossy(&body).into_owned())),
            _ => Err(self.error(status, &body)),
        }
    }
}

impl Operations for Remote {
    fn suppression(
        &self,
        address: &str,
        scope: Option<&str>,
    ) -> Result<Option<Value>, ServiceError> {
        let query = query(&[("scope", scope)]);
        let (status, body) = self.get(&format!("/v1/suppressions/{}{query}", encode(address)))?;
        if status == 404 {
            // Any other 404 does not answer the question: a proxy, another program, an old path.
            let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
            if problem.get("code").is_some_and(|code| code == NOT_SUPPRESSED) {
                return Ok(None);
            }
        }
        self.json((status, body)).map(Some)
    }

    fn suppress(
        &self,
        address: &str,
        scope: &str,
        reason: &str,
        until: Option<Timestamp>,
    ) -> Result<Value, ServiceError> {
        let body = json!({"scope": scope, "reason": reason, "until": until}).to_string();
        let path = format!("/v1/suppressions/{}", encode(address));
        self.json(self.send(true, &path, "application/json", body.as_bytes())?)
    }

    fn release(&self, address: &str, scope: &str, reason: &str) -> Result<Value, ServiceError> {
        let query = query(&[("scope", Some(scope)), ("reason", Some(reason))]);
        self.json(self.delete(&format!("/v1/suppressions/{}{query}", encode(address)))?)
    }

    fn list(&self, wanted: &ListQuery) -> Result<ListPage, ServiceError> {
        let (limit, since) = (wanted.limit.to_string(), wanted.since.map(|t| t.to_string()));
        let query = query(&[
            ("limit", Some(&limit)),
            ("cursor", wanted.cursor.as_deref()),
            ("domain", wanted.domain.as_deref()),
            ("class", wanted.class.map(|class| class.as_str())),
            ("since", since.as_deref()),
            ("scope", wanted.scope.as_deref()),
        ]);
        let mut page = self.json(self.get(&format!("/v1/suppressions{query}"))?)?;
        let entries = match page.get_mut("entries").map(Value::take) {
            Some(Value::Array(entries)) => entries,
            _ => return Err(ServiceError::Internal("a page without entries came back".into())),
        };
        Ok(ListPage { entries, next: page.get("next").and_then(Value::as_str).map(str::to_string) })
    }

    fn import(
        &self,
        entries: Vec<ImportEntry>,
        options: ImportOptions,
    ) -> Result<ImportOutcome, ServiceError> {
        let mut body = Vec::new();
        for entry in &entries {
            // In our own words: nothing is left to be recognised.
            body.extend_from_slice(entry.to_json().to_string().as_bytes());
            body.push(b'\n');
        }
        let flag = |is: bool| is.then_some("true");
        let query = query(&[("dry_run", flag(options.dry_run)), ("all", flag(options.all))]);
        let path = format!("/v1/suppressions:import{query}");
        let (status, body) = self.send(false, &path, "application/x-ndjson", &body)?;
        // All of this batch was refused; the answer says why.
        let status = if status == 422 { 200 } else { status };
        let answer = self.json((status, body))?;
        let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
        let each = |name: &str| answer.get(name).and_then(Value::as_array).into_iter().flatten();
        let mut refused: Vec<NotTaken> = each("refusals").filter_map(not_taken).collect();
        let mut left_out = Vec::new();
        // The service names the first of those that it did not take, and counts them all.
        for (kind, one, count) in each("why").filter_map(counted) {
            match kind {
                WhyKind::Refused => {
                    let named = refused.iter().filter(|named| named.why == one.why).count();
                    refused.extend(std::iter::repeat_n(one, count.saturating_sub(named)));
                }
                WhyKind::LeftOut => left_out.extend(std::iter::repeat_n(one, count)),
                WhyKind::Noted => {}
            }
        }
        Ok(ImportOutcome {
            suppressed: number("suppressed"),
            changed: number("changed"),
            unchanged: number("unchanged"),
            left_out,
            refused,
            sample: answer.get("sample").and_then(Value::as_array).cloned().unwrap_or_default(),
        })
    }

    fn explain(&self, address: &str, scope: Option<&str>) -> Result<Value, ServiceError> {
        let query = query(&[("scope", scope)]);
        self.json(self.get(&format!("/v1/addresses/{}{query}", encode(address)))?)
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, ServiceError> {
        let (status, body) = self.get(&format!("/v1/events?from={from}&limit={limit}"))?;
        if status != 200 {
            return Err(self.error(status, &body));
        }
        let text = String::from_utf8(body)
            .map_err(|_| ServiceError::Internal("the journal is not UTF-8".to_string()))?;
        text.lines().filter(|line| !line.is_empty()).map(with_seq).collect()
    }

    fn message(
        &self,
        data: Vec<u8>,
        envelope: Envelope,
        _: Option<String>,
    ) -> Result<Value, ServiceError> {
        let to = envelope.to.first().map(String::as_str);
        let trust = envelope.trusted.then_some("true");
        let path = format!("/v1/messages{}", query(&[("to", to), ("trust", trust)]));
        self.json(self.send(false, &path, "message/rfc822", &data)?)
    }

    fn shadow(&self) -> Result<Value, ServiceError> {
        self.json(self.get("/v1/shadow")?)
    }

    fn act(&self, act: Act, dry_run: bool) -> Result<Value, ServiceError> {
        let body = serde_json::to_vec(&act)
            .map_err(|e| ServiceError::Internal(format!("the act cannot be written: {e}")))?;
        let path = if dry_run { "/v1/acts?dry_run=true" } else { "/v1/acts" };
        self.json(self.send(false, path, "application/json", &body)?)
    }

    fn guards(&self) -> Result<Value, ServiceError> {
        Ok(self.json(self.get("/v1/guards")?)?["guards"].take())
    }

    fn accept_clock(&self) -> Result<Value, ServiceError> {
        self.json(self.send(false, "/v1/clock:accept", "application/json", b"")?)
    }
}

/// An entry of a batch, which it sent a line each.
fn not_taken(one: &Value) -> Option<NotTaken> {
    let text = |name: &str| one.get(name).and_then(Value::as_str).map(str::to_string);
    let line = usize::try_from(one.get("line")?.as_u64()?).ok()?;
    let cell = text("cell").unwrap_or_default();
    Some(NotTaken { place: line.checked_sub(1)?, why: text("error")?, cell })
}

/// A sentence on entries of a batch, and how many.
fn counted(why: &Value) -> Option<(WhyKind, NotTaken, usize)> {
    let kind = WhyKind::parse(why.get("kind")?.as_str()?)?;
    Some((kind, not_taken(why)?, usize::try_from(why.get("count")?.as_u64()?).ok()?))
}

fn with_seq(line: &str) -> Result<(u64, String), ServiceError> {
    let event: Value = serde_json::from_str(line)
        .map_err(|e| ServiceError::Internal(format!("an event is no JSON: {e}")))?;
    let seq = event.get("seq").and_then(Value::as_u64);
    let seq = seq.ok_or_else(|| ServiceError::Internal("an event has no seq".to_string()))?;
    Ok((seq, line.to_string()))
}

/// `?a=b&c=d` of the parameters that are there.
fn query(parameters: &[(&str, Option<&str>)]) -> String {
    let mut query = String::new();
    for (name, value) in parameters {
        if let Some(value) = value {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(name);
            query.push('=');
            query.push_str(&encode(value));
        }
    }
    query
}

/// Percent-encodes all but unreserved characters (RFC 3986 section 2.3).
fn encode(text: &str) -> String {
    const RESERVED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests;
