//! The ledger of a node among others: from `[journal.postgres]` to one that is level with the engine, or
//! a sentence why not.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::config::{Config, PostgresConfig};
use crate::ledger::LedgerError;
use crate::ledger::copy;
use crate::ledger::postgres::{self, PostgresJournal, schema};
use crate::ledger::store::{self, Share, SledLedger};
use crate::policy::{FOLD_VERSION, PolicyFold};

/// How often the journal is looked at for what others wrote.
const POLL: Duration = Duration::from_millis(50);

/// A node that has a copy serves lookups from it when the engine does not answer for so long at the
/// start.
const AWAY: u32 = 5;

/// How this node takes part. The error is a sentence without secrets.
pub(super) fn options(config: &PostgresConfig) -> Result<postgres::Options> {
    let PostgresConfig { url, schema, ledger, node, .. } = config;
    let place = postgres::read(url)
        .map_err(|why| anyhow!("the file of journal.postgres.url_file: {why}"))?;
    if !schema::may_be_named(schema) {
        return Err(anyhow!(
            "journal.postgres.schema {schema:?} is no plain name of a schema, write schema = \"bounced\""
        ));
    }
    Ok(postgres::Options {
        place: Arc::new(place),
        schema: schema.clone(),
        ledger: *ledger,
        node: node.clone(),
        fold: FOLD_VERSION,
    })
}

/// Opens the ledger, and waits until it is level with the engine, or serves what it has.
pub(super) fn ledger(
    config: &Config,
    shared: &PostgresConfig,
    store: &store::Options,
) -> Result<SledLedger> {
    let dir = &config.data_dir;
    let options = options(shared)?;
    if !copy::is_copy(dir) {
        let unusable = || format!("{} cannot be used", dir.display());
        if !copy::is_empty(dir).with_context(unusable)? {
            return Err(anyhow!(
                "{} has a list of its own, and journal.engine = \"postgres\" would leave it out: start \
                 with an empty data_dir, and bring the list in with `bounced export` and \
                 `bounced import`",
                dir.display()
            ));
        }
        copy::mark(dir, &options.place.hosts()).with_context(unusable)?;
    }
    let has_records = !copy::is_empty(dir).unwrap_or(false);
    let ledger = join(shared, &options, store)?;
    if level(&ledger, has_records)? {
        return Ok(ledger);
    }
    let why = ledger.forked().unwrap_or_default();
    drop(ledger);
    let aside = copy::set_aside(dir).context("the copy of the journal cannot be set aside")?;
    tracing::error!(
        "{why}; what this node had is in {}, its journal is taken anew from the engine",
        aside.display()
    );
    let ledger = join(shared, &options, store)?;
    match level(&ledger, false)? {
        true => Ok(ledger),
        false => Err(anyhow!("{}", ledger.forked().unwrap_or_default())),
    }
}

fn join(
    shared: &PostgresConfig,
    options: &postgres::Options,
    store: &store::Options,
) -> Result<SledLedger> {
    let options = options.clone();
    let share = Share {
        connect: Box::new(move || Box::new(PostgresJournal::new(options.clone()))),
        patience: shared.patience,
        stale: shared.stale,
        poll: POLL,
    };
    let joined = SledLedger::join(store.clone(), Box::new(PolicyFold::new()), share);
    joined.map_err(|error: LedgerError| anyhow!("{error}"))
}

/// Waits until this node has all there is; false when the engine lost what it has. A node that has
/// records does not wait for an engine that is away.
fn level(ledger: &SledLedger, has_records: bool) -> Result<bool> {
    let mut silent = 0;
    while !ledger.wait_level(Duration::from_secs(1)) {
        if ledger.forked().is_some() {
            return Ok(false);
        }
        // Large views open, and long journals come, in their own time.
        let Some(trouble) = ledger.engine_trouble() else {
            silent = 0;
            continue;
        };
        silent += 1;
        if silent < AWAY {
            continue;
        }
        if !has_records {
            return Err(anyhow!("{trouble}; this node has nothing to begin with yet"));
        }
        tracing::error!("{trouble}; lookups are answered from what this node has");
        return Ok(true);
    }
    Ok(true)
}
