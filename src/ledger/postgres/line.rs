//! One connection to the engine, for plain threads: each call blocks, and has an end.
//!
//! A call that is not answered in time, and any error of the connection, closes it; the next call opens
//! a new one to the first server that says that it takes writes: all are asked at once, so one that is
//! frozen keeps nobody waiting. Nothing is ever cancelled on the server: a cancelled COMMIT may be a
//! success with a warning.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{AsyncMessage, Client, Config, Error, Statement};

use super::Options;
use super::tls::Tls;
use crate::ledger::LedgerError;

/// A call that is not answered by then is given up. Longer than `lock_timeout`, so that a wait for the
/// head ends on the server first.
const ANSWER: Duration = Duration::from_secs(10);

/// Connecting ends by then.
const CONNECT: Duration = Duration::from_secs(10);

/// A server that does not let a session begin by then is passed over.
const SERVER: Duration = Duration::from_secs(5);

/// Statements of a connection, prepared at its start.
pub(super) struct Statements {
    pub(super) lock: Statement,
    pub(super) news: Statement,
    pub(super) append: Statement,
    pub(super) touch: Statement,
    pub(super) beat: Statement,
    pub(super) end: Statement,
    pub(super) nodes: Statement,
    pub(super) newest: Statement,
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
    /// No call takes longer; None: only as long as each may.
    until: Option<Instant>,
}

impl Wire {
    pub(super) fn new(options: Options) -> Self {
        Self { options, runtime: None, open: None, until: None }
    }

    /// From now on calls end by then.
    pub(super) fn until(&mut self, until: Option<Instant>) {
        self.until = until;
    }

    /// How long a call may take.
    fn left(&self, most: Duration) -> Duration {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        left.map_or(most, |left| left.min(most))
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
        let left = self.left(CONNECT);
        let opened = runtime.block_on(async {
            // The clock of a timeout is the runtime's.
            tokio::time::timeout(left, connect(&self.options)).await
        });
        self.open = Some(match opened {
            Ok(opened) => opened?,
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
        let (options, left) = (&self.options, self.left(ANSWER));
        let answer =
            runtime.block_on(async { tokio::time::timeout(left, work(open, options)).await });
        match answer {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(said(&error)),
            Err(_) => {
                let why = format!("no answer within {:.1} s", left.as_secs_f32());
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

/// A connection without the statements of the journal, to the first server that takes writes.
pub(super) async fn connect_bare(
    options: &Options,
) -> Result<(Client, Arc<AtomicU64>), LedgerError> {
    let mut asked = JoinSet::new();
    for mut host in options.place.each() {
        if host.config.get_application_name().is_none() {
            host.config.application_name(format!("bounced {}", options.node));
        }
        let (tls, session) = (options.place.tls.clone(), session(&options.schema));
        asked.spawn(async move {
            let opened =
                tokio::time::timeout(SERVER, connect_to(&host.config, tls, &session)).await;
            (host.name, opened)
        });
    }
    let mut refusals = Vec::new();
    while let Some(answer) = asked.join_next().await {
        let (name, error) = match answer {
            Ok((_, Ok(Ok(opened)))) => return Ok(opened),
            Ok((name, Ok(Err(error)))) => (name, said(&error)),
            Ok((name, Err(_))) => {
                let why = format!("no answer within {} s", SERVER.as_secs());
                (name, LedgerError::Away(why))
            }
            Err(error) => (String::new(), LedgerError::Away(error.to_string())),
        };
        match error {
            LedgerError::Away(why) => refusals.push(format!("{name}: {why}")),
            other => return Err(other),
        }
    }
    refusals.sort();
    Err(LedgerError::Away(refusals.join("; ")))
}

async fn connect_to(
    config: &Config,
    tls: Tls,
    session: &str,
) -> Result<(Client, Arc<AtomicU64>), Error> {
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
    client.batch_execute(session).await?;
    Ok((client, notices))
}

/// Asks the engine something once, for a command.
pub(super) fn ask_once<T>(
    options: &Options,
    work: impl AsyncFnOnce(&mut Client) -> Result<T, Error>,
    patience: Duration,
) -> Result<T, LedgerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| LedgerError::Fatal(error.to_string()))?;
    runtime.block_on(async {
        let (mut client, _) = connect_bare(options).await?;
        match tokio::time::timeout(patience, work(&mut client)).await {
            Ok(done) => done.map_err(|error| said(&error)),
            Err(_) => {
                let why = format!("no answer within {} s", patience.as_secs());
                Err(LedgerError::Away(format!("{}: {why}", options.place.hosts())))
            }
        }
    })
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

async fn connect(options: &Options) -> Result<Open, LedgerError> {
    let (client, notices) = connect_bare(options).await?;
    let statements = prepare(&client).await.map_err(|error| said(&error))?;
    Ok(Open { client, statements, notices })
}

/// The nodes: name, position, release, fold, seconds since each was heard and since two processes were
/// found under its name, what it is configured with, up to where it carried erasures out.
pub(super) const NODES: &str = "SELECT name, seq, release, fold, \
            (extract(epoch FROM clock_timestamp()) - seen_ms / 1000.0)::bigint, \
            (extract(epoch FROM clock_timestamp()) - twin_ms / 1000.0)::bigint, facts, erased \
     FROM node WHERE ledger = $1 ORDER BY name";

/// The newest checkpoint that a node of the release that runs may begin with: position and age in
/// milliseconds.
pub(super) const NEWEST: &str = "SELECT c.seq, \
            greatest((extract(epoch FROM clock_timestamp()) * 1000)::bigint - c.at_ms, 0) \
     FROM checkpoint c JOIN head h ON h.ledger = c.ledger \
     WHERE c.ledger = $1 AND c.fold BETWEEN h.fold - 1 AND h.fold \
       AND c.erased >= coalesce((SELECT max(seq) FROM erasure e WHERE e.ledger = $1), 0) \
     ORDER BY c.seq DESC, c.at_ms DESC LIMIT 1";

async fn prepare(client: &Client) -> Result<Statements, Error> {
    let prepare = |sql: &'static str| client.prepare(sql);
    let (lock, news, append, touch, beat, end, nodes, newest) = tokio::try_join!(
        prepare("SELECT seq FROM head WHERE ledger = $1 FOR UPDATE"),
        prepare(
            "SELECT h.seq, h.fold, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
                    j.seq, j.chain, CASE WHEN j.seq = $2 THEN '' ELSE j.line END, \
                    (SELECT max(seq) FROM erasure WHERE ledger = $1), h.first \
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
            "INSERT INTO node (ledger, name, seq, chain, fold, release, run, facts, erased, seen_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, \
                     (extract(epoch FROM clock_timestamp()) * 1000)::bigint) \
             ON CONFLICT (ledger, name) DO UPDATE SET seq = excluded.seq, chain = excluded.chain, \
                 fold = excluded.fold, release = excluded.release, run = excluded.run, \
                 facts = excluded.facts, erased = excluded.erased, seen_ms = excluded.seen_ms, \
                 twin_ms = CASE WHEN $10 AND node.run <> excluded.run THEN excluded.seen_ms \
                           ELSE node.twin_ms END",
        ),
        prepare(
            "SELECT seq, current_setting('synchronous_standby_names') <> '', first FROM head \
             WHERE ledger = $1"
        ),
        prepare(NODES),
        prepare(NEWEST),
    )?;
    Ok(Statements { lock, news, append, touch, beat, end, nodes, newest })
}

/// An error of the engine, by what a node does about it.
pub(super) fn said(error: &Error) -> LedgerError {
    let text = words(error);
    let Some(code) = error.as_db_error().map(DbError::code) else {
        return LedgerError::Away(text);
    };
    match code.code() {
        "53100" => LedgerError::Full(format!("of the engine: {text}; free some space there")),
        _ if [
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_COLUMN,
            SqlState::INVALID_SCHEMA_NAME,
        ]
        .contains(code) =>
        {
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
