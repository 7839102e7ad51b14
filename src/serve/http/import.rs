//! `/v1/suppressions:import` and `:export`, both streamed: a million addresses pass through a few
//! hundred kilobytes of memory.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use tokio::time::Instant;

use super::body::{AnswerSource, IncomingBody, answer, too_much};
use super::budget::OctetShare;
use super::listing::Listing;
use super::params::Params;
use super::shared::{Http, LineEnds, PeerIp, blocking, json, no_upload, nothing_done};
use super::suppressions::list_query;
use crate::serve::limits;
use crate::serve::problem::Problem;
use crate::service::import::{ImportReader, ImportTally, Wishes};
use crate::service::lines::ListFormat;
use crate::service::{ImportEntry, ImportOptions};

/// `POST /v1/suppressions:import`. Records that cannot be read are counted and shown, the others
/// are done. Sending the same again changes nothing, so a broken import is sent once more.
pub async fn import(
    State(http): State<Arc<Http>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let params = Params::of(&uri, &["reason", "scope", "all", "dry_run"])?;
    no_upload(&headers)?;
    let reason = params.text("reason")?;
    let wishes = Wishes {
        reasoned: reason.is_some(),
        reason: reason.unwrap_or_else(|| "imported".to_string()),
        scope: params.scope()?.unwrap_or_else(|| "*".to_string()),
        all: params.flag("all")?,
    };
    let options = ImportOptions { dry_run: params.flag("dry_run")?, all: wishes.all };
    let mut import = ImportRun::new(http, ImportReader::new(wishes), options);
    let mut body = IncomingBody::new(body);
    let mut lines = LineEnds::of(&headers);
    while let Some(piece) = body.next().await.map_err(|problem| import.how_far(problem))? {
        lines.see(&piece);
        for piece in piece.chunks(limits::IMPORT_PIECE) {
            import.reader.feed(piece).map_err(Problem::bad_request)?;
            import.take().await?;
        }
    }
    lines.check()?;
    import.reader.end().map_err(Problem::bad_request)?;
    import.take().await?;
    import.commit().await?;
    let answer = import.tally.answer(&import.reader, options.dry_run);
    if import.reader.understanding().is_none() && import.tally.refused == 0 {
        let detail = "there is no entry in the body: nothing is imported (with curl: --data-binary \
                      @FILE, -d takes the line ends out)";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "empty", detail));
    }
    Ok(if import.tally.took_nothing() { nothing_done(&answer) } else { json(&answer) })
}

/// An import under way.
struct ImportRun {
    http: Arc<Http>,
    reader: ImportReader,
    options: ImportOptions,
    batch: Vec<ImportEntry>,
    /// Number of each entry of the batch.
    numbers: Vec<u64>,
    /// What the batch holds.
    share: OctetShare,
    committed: u64,
    tally: ImportTally,
}

impl ImportRun {
    fn new(http: Arc<Http>, reader: ImportReader, options: ImportOptions) -> Self {
        Self {
            share: http.budget.intake.share(),
            http,
            reader,
            options,
            batch: Vec::new(),
            numbers: Vec::new(),
            committed: 0,
            tally: ImportTally::default(),
        }
    }

    /// Takes the records that have come.
    async fn take(&mut self) -> Result<(), Problem> {
        while let Some((number, found)) = self.reader.next() {
            if let Some(entry) = self.tally.take(number, found) {
                self.make_room(&entry).await?;
                self.batch.push(entry);
                self.numbers.push(number);
            }
            if self.batch.len() >= limits::IMPORT_BATCH {
                self.commit().await?;
            }
        }
        Ok(())
    }

    /// Counts an entry. When too much is in memory, what has gathered is committed first: an import
    /// beside others is slow, and not broken off with a part of it in.
    async fn make_room(&mut self, entry: &ImportEntry) -> Result<(), Problem> {
        let octets = size_of::<ImportEntry>() + entry.address.len() + entry.words.len();
        let last = Instant::now() + limits::IMPORT_PATIENCE;
        while !self.share.grow(octets) {
            if Instant::now() >= last {
                return Err(self.how_far(too_much()));
            }
            match self.batch.is_empty() {
                true => tokio::time::sleep(limits::IMPORT_LOOK).await,
                false => self.commit().await?,
            }
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Problem> {
        let batch = std::mem::take(&mut self.batch);
        let numbers = std::mem::take(&mut self.numbers);
        if batch.is_empty() {
            return Ok(());
        }
        let options = self.options;
        let outcome = blocking(&self.http, move |service| service.import(batch, options)).await;
        let outcome = outcome.map_err(|problem| self.how_far(problem))?;
        self.share.clear();
        self.committed = numbers.last().copied().unwrap_or(self.committed);
        self.tally.add(outcome, &numbers);
        Ok(())
    }

    /// A problem that says how far the import came.
    fn how_far(&self, mut problem: Problem) -> Problem {
        let done = self.committed;
        problem.detail += &format!("; lines up to {done} are in; send all of it again");
        problem
    }
}

/// `GET /v1/suppressions:export?format=`, with the filters of the list.
pub async fn export(
    State(http): State<Arc<Http>>,
    Extension(peer): Extension<PeerIp>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = Params::of(&uri, &["format", "domain", "class", "since", "scope"])?;
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = match params.text("format")? {
        Some(word) => ListFormat::parse(&word).ok_or_else(|| {
            Problem::bad_request(format!("`{word}` is no format; use ndjson, csv or lines"))
        })?,
        None if accept.is_some_and(|accept| accept.starts_with("text/csv")) => ListFormat::Csv,
        None if accept.is_some_and(|accept| accept.starts_with("text/plain")) => ListFormat::Lines,
        None => ListFormat::Ndjson,
    };
    let place = http.budget.reader(peer.0)?;
    let listing = Listing::all(http, list_query(&params)?);
    let export = ExportAnswer { listing, format, begun: false };
    answer(format.content_type(), export, Some(place)).await
}

/// An export under way.
struct ExportAnswer {
    listing: Listing,
    format: ListFormat,
    begun: bool,
}

impl AnswerSource for ExportAnswer {
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
