//! `/v1/suppressions:import` and `:export`, both streamed: a million addresses pass through a few
//! hundred kilobytes of memory.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::Response;
use serde_json::json;

use super::body::{Incoming, Source, answer, too_much};
use super::budget::Share;
use super::listing::Listing;
use super::params::Params;
use super::shared::{Http, Peer, blocking};
use super::suppressions::list_query;
use crate::serve::limits;
use crate::serve::problem::Problem;
use crate::service::ImportEntry;
use crate::service::lines::{Format, Reader};

/// `POST /v1/suppressions:import`. Lines that cannot be read are counted and shown, the others
/// are done. Sending the same again changes nothing, so a broken import is sent once more.
pub async fn import(
    State(http): State<Arc<Http>>,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let params = Params::of(&uri, &["reason", "scope"])?;
    let reason = params.text("reason")?.unwrap_or_else(|| "imported".to_string());
    let scope = params.text("scope")?.unwrap_or_else(|| "*".to_string());
    let mut import = Import::new(http, Reader::new(reason, scope));
    let mut body = Incoming::new(body);
    while let Some(piece) = body.next().await.map_err(|problem| import.told(problem))? {
        import.feed(&piece).await?;
    }
    import.finish().await
}

/// An import under way.
struct Import {
    http: Arc<Http>,
    reader: Reader,
    /// What has come of a line that is not complete.
    rest: Vec<u8>,
    line: u64,
    batch: Vec<ImportEntry>,
    /// Line of each entry of the batch.
    lines: Vec<u64>,
    /// What the batch holds.
    share: Share,
    committed_line: u64,
    suppressed: u64,
    unchanged: u64,
    refused: u64,
    refusals: Vec<(u64, String)>,
}

impl Import {
    fn new(http: Arc<Http>, reader: Reader) -> Self {
        Self {
            share: http.budget.intake.share(),
            http,
            reader,
            rest: Vec::new(),
            line: 0,
            batch: Vec::new(),
            lines: Vec::new(),
            committed_line: 0,
            suppressed: 0,
            unchanged: 0,
            refused: 0,
            refusals: Vec::new(),
        }
    }

    async fn feed(&mut self, mut piece: &[u8]) -> Result<(), Problem> {
        while let Some(end) = memchr::memchr(b'\n', piece) {
            let (head, tail) = piece.split_at(end);
            piece = tail.get(1..).unwrap_or_default();
            self.keep(head);
            let line = std::mem::take(&mut self.rest);
            self.read(&line)?;
            // The buffer is used again.
            self.rest = line;
            self.rest.clear();
            if self.batch.len() >= limits::IMPORT_BATCH {
                self.commit().await?;
            }
        }
        self.keep(piece);
        Ok(())
    }

    /// Keeps one octet more than a line may have: enough to see that it is too long.
    fn keep(&mut self, octets: &[u8]) {
        let room = (limits::IMPORT_LINE + 1).saturating_sub(self.rest.len());
        self.rest.extend_from_slice(octets.get(..room).unwrap_or(octets));
    }

    fn read(&mut self, line: &[u8]) -> Result<(), Problem> {
        if !self.share.grow(line.len() + size_of::<ImportEntry>()) {
            return Err(self.told(too_much()));
        }
        self.line += 1;
        let entry = if line.len() > limits::IMPORT_LINE {
            Some(Err(format!("the line is longer than {} octets", limits::IMPORT_LINE)))
        } else {
            self.reader.line(line)
        };
        match entry {
            None => {}
            Some(Ok(entry)) => {
                self.batch.push(entry);
                self.lines.push(self.line);
            }
            Some(Err(wrong)) => self.refuse(self.line, wrong),
        }
        Ok(())
    }

    fn refuse(&mut self, line: u64, wrong: String) {
        self.refused += 1;
        if self.refusals.len() < limits::IMPORT_REFUSALS {
            self.refusals.push((line, wrong));
        }
    }

    async fn commit(&mut self) -> Result<(), Problem> {
        let batch = std::mem::take(&mut self.batch);
        let lines = std::mem::take(&mut self.lines);
        if batch.is_empty() {
            return Ok(());
        }
        let outcome = blocking(&self.http, move |service| service.import(batch)).await;
        let outcome = outcome.map_err(|problem| self.told(problem))?;
        self.share.clear();
        self.committed_line = self.line;
        self.suppressed += outcome.suppressed;
        self.unchanged += outcome.unchanged;
        for (place, wrong) in outcome.refused {
            self.refuse(lines.get(place).copied().unwrap_or(self.line), wrong);
        }
        Ok(())
    }

    /// A problem that says how far the import came.
    fn told(&self, mut problem: Problem) -> Problem {
        let done = self.committed_line;
        problem.detail += &format!("; lines up to {done} are in; send all of it again");
        problem
    }

    async fn finish(mut self) -> Result<Response, Problem> {
        if !self.rest.is_empty() {
            let line = std::mem::take(&mut self.rest);
            self.read(&line)?;
        }
        self.commit().await?;
        self.refusals.sort_by_key(|&(line, _)| line);
        let refusals: Vec<_> = self
            .refusals
            .iter()
            .map(|(line, wrong)| json!({"line": line, "error": wrong}))
            .collect();
        Ok(super::shared::json(&json!({
            "lines": self.line,
            "suppressed": self.suppressed,
            "unchanged": self.unchanged,
            "refused": self.refused,
            "refusals": refusals,
        })))
    }
}

/// `GET /v1/suppressions:export?format=`, with the filters of the list.
pub async fn export(
    State(http): State<Arc<Http>>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = Params::of(&uri, &["format", "domain", "class", "since", "scope"])?;
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = match params.text("format")? {
        Some(word) => Format::parse(&word).ok_or_else(|| {
            Problem::bad_request(format!("`{word}` is no format; use ndjson, csv or lines"))
        })?,
        None if accept.is_some_and(|accept| accept.starts_with("text/csv")) => Format::Csv,
        None if accept.is_some_and(|accept| accept.starts_with("text/plain")) => Format::Lines,
        None => Format::Ndjson,
    };
    let place = http.budget.reader(peer.0)?;
    let listing = Listing::all(http, list_query(&params)?);
    let export = Export { listing, format, begun: false };
    answer(format.content_type(), export, Some(place)).await
}

/// An export under way.
struct Export {
    listing: Listing,
    format: Format,
    begun: bool,
}

impl Source for Export {
    async fn next(&mut self) -> Result<String, Problem> {
        let format = self.format;
        let mut text = if self.begun { String::new() } else { format.header() };
        self.begun = true;
        let piece = self.listing.piece(move |entries| {
            entries.iter().for_each(|entry| format.push(entry, &mut text));
            text
        });
        Ok(piece.await?.unwrap_or_default())
    }

    fn ended(&self) -> bool {
        self.listing.ended()
    }
}
