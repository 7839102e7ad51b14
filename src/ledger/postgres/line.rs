//! One connection to the engine, for plain threads: each call blocks, and has an end.
//!
//! A call that is not answered in time, and any error of the connection, closes it; the next call opens
//! a new one to the first host that takes writes. Nothing is ever cancelled on the server: a cancelled
//! COMMIT may be a success with a warning.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{AsyncMessage, Client, Error, Statement};

use super::Options;
use crate::ledger::LedgerError;

/// A call that is not answered by then is given up. Longer than `lock_timeout`, so that a wait for the
/// head ends on the server first.
const ANSWER: Duration = Duration::from_secs(10);

/// Connecting to all hosts ends by then.
const CONNECT: Duration = Duration::from_secs(10);

/// Statements of a connection, prepared at its start.
pub(super) struct Statements {
    pub(super) lock: Statement,
    pub(super) news: Statement,
    pub(super) append: Statement,
    pub(super) touch: Statement,
    pub(super) beat: Statement,
    pub(super) end: Statement,
}

/// An open connection.
pub(super) struct Open {
    pub(super) client: Client,
    pub(super) statements: Statements,
    notices: Arc<AtomicU64>,
}

impl Open {
    /// Notices and warnings that the server sent so far.
    pub(super) fn notices(&self) -> u64 {
        self.notices.load(Ordering::Acquire)
    }
}

/// A connection that is opened when it is needed.
pub(super) struct Wire {
    pub(super) options: Options,
    runtime: Option<Runtime>,
    open: Option<Open>,
}

impl Wire {
    pub(super) fn new(options: Options) -> Self {
        Self { options, runtime: None, open: None }
    }

    /// Closes the connection.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Opens the connection when it is not open.
    pub(super) fn open(&mut self) -> Result<(), LedgerError> {
        if self.open.as_ref().is_some_and(|open| !open.client.is_closed()) {
            return Ok(());
        }
        self.open = None;
        if self.runtime.is_none() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| {
                LedgerError::Away(format!("no thread for the engine can be started: {error}"))
            })?;
            self.runtime = Some(runtime);
        }
        let Some(runtime) = &self.runtime else { return Err(closed()) };
        let opened = runtime.block_on(async {
            // The clock of a timeout is the runtime's.
            tokio::time::timeout(CONNECT, connect(&self.options)).await
        });
        self.open = Some(match opened {
            Ok(opened) => opened.map_err(|error| said(&error))?,
            Err(_) => return Err(LedgerError::Away("connecting takes too long".to_string())),
        });
        Ok(())
    }

    /// Does something with the open connection. `Err`: there is no answer, or none in time; then the
    /// connection is closed.
    pub(super) fn call<T>(
        &mut self,
        work: impl AsyncFnOnce(&Open, &Options) -> Result<T, Error>,
    ) -> Result<T, LedgerError> {
        let (Some(runtime), Some(open)) = (&self.runtime, &self.open) else { return Err(closed()) };
        let options = &self.options;
        let answer =
            runtime.block_on(async { tokio::time::timeout(ANSWER, work(open, options)).await });
        match answer {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(said(&error)),
            Err(_) => {
                let why = format!("no answer within {} s", ANSWER.as_secs());
                Err(LedgerError::Away(why))
            }
        }
    }
}

fn closed() -> LedgerError {
    LedgerError::Away("the connection is closed".to_string())
}

/// What a plain SQL name is, which needs no quotes.
pub(super) fn is_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && name.len() <= 63
        && letters.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A connection without the statements of the journal.
pub(super) async fn connect_bare(options: &Options) -> Result<(Client, Arc<AtomicU64>), Error> {
    let (config, tls) = (&options.place.config, options.place.tls.clone());
    let mut config = config.clone();
    if config.get_application_name().is_none() {
        config.application_name(format!("bounced {}", options.node));
    }
    let (client, mut connection) = config.connect(tls).await?;
    let notices = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&notices);
    tokio::spawn(async move {
        // Ends with the client, or with an error, which the next call is told.
        while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            match message {
                Ok(AsyncMessage::Notice(notice)) => {
                    counted.fetch_add(1, Ordering::Release);
                    tracing::debug!(%notice, "the engine says");
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "a connection to the engine ended");
                    break;
                }
            }
        }
    });
    client.batch_execute(&session(&options.schema)).await?;
    Ok((client, notices))
}

/// Settings of a session. There is no `statement_timeout`: it would cancel a COMMIT.
fn session(schema: &str) -> String {
    format!(
        "SET search_path TO {schema}; SET synchronous_commit TO on; SET lock_timeout TO '5s'; \
         SET idle_in_transaction_session_timeout TO '2s'; SET statement_timeout TO 0; \
         SET default_transaction_isolation TO 'read committed'; \
         SET default_transaction_read_only TO off"
    )
}

async fn connect(options: &Options) -> Result<Open, Error> {
    let (client, notices) = connect_bare(options).await?;
    let prepare = |sql: &'static str| client.prepare(sql);
    let (lock, news, append, touch, beat, end) = tokio::try_join!(
        prepare("SELECT seq FROM head WHERE ledger = $1 FOR UPDATE"),
        prepare(
            "SELECT h.seq, h.fold, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
                    j.seq, j.chain, CASE WHEN j.seq = $2 THEN '' ELSE j.line END \
             FROM head h LEFT JOIN LATERAL (SELECT seq, chain, line FROM journal \
                  WHERE ledger = h.ledger AND seq >= $2 ORDER BY seq LIMIT $3) j ON true \
             WHERE h.ledger = $1"
        ),
        // The records go with the head or not at all.
        prepare(
            "WITH moved AS (UPDATE head SET seq = $4, chain = $5 \
                            WHERE ledger = $1 AND seq = $2 AND chain = $3 RETURNING 1) \
             INSERT INTO journal (ledger, seq, at_ms, id, chain, line) \
             SELECT $1, u.seq, u.at_ms, u.id, u.chain, u.line \
             FROM unnest($6::bigint[], $7::bigint[], $8::text[], $9::bytea[], $10::text[]) \
                  AS u (seq, at_ms, id, chain, line) \
             WHERE EXISTS (SELECT 1 FROM moved)"
        ),
        prepare("UPDATE head SET seq = seq WHERE ledger = $1"),
        prepare(
            "INSERT INTO node (ledger, name, seq, chain, fold, release, seen_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, (extract(epoch FROM clock_timestamp()) * 1000)::bigint) \
             ON CONFLICT (ledger, name) DO UPDATE SET seq = excluded.seq, chain = excluded.chain, \
                 fold = excluded.fold, release = excluded.release, seen_ms = excluded.seen_ms"
        ),
        prepare(
            "SELECT seq, current_setting('synchronous_standby_names') <> '' FROM head \
             WHERE ledger = $1"
        ),
    )?;
    Ok(Open { client, statements: Statements { lock, news, append, touch, beat, end }, notices })
}

/// An error of the engine, by what a node does about it.
pub(super) fn said(error: &Error) -> LedgerError {
    let text = words(error);
    let Some(code) = error.as_db_error().map(DbError::code) else {
        return LedgerError::Away(text);
    };
    match code.code() {
        "53100" => LedgerError::Full(format!("of the engine: {text}; free some space there")),
        _ if *code == SqlState::UNDEFINED_TABLE || *code == SqlState::INVALID_SCHEMA_NAME => {
            LedgerError::Fatal(format!("{text}: run `bounced engine init`"))
        }
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            LedgerError::Fatal(format!("{text}: run the GRANTs that `bounced engine init` prints"))
        }
        other if other.starts_with("42") || other.starts_with("22") => LedgerError::Fatal(text),
        _ => LedgerError::Away(text),
    }
}

/// What went wrong, in the words of the server where it has some.
fn words(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
