//! The ledger of a node among others: from `[journal.postgres]` to one that is level with the engine, or
//! a sentence why not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use sha2::{Digest, Sha256};

use crate::config::{Config, PostgresConfig};
use crate::event::Event;
use crate::ledger::copy;
use crate::ledger::lock::lock;
use crate::ledger::order::{SharedCheckpoints, SharedJournal, Stock};
use crate::ledger::postgres::{self, PostgresJournal, schema};
use crate::ledger::store::{self, Share, SledLedger};
use crate::ledger::{Ledger, LedgerError};
use crate::policy::{FOLD_VERSION, OLDEST_FOLD, Policy, PolicyFold};

/// How often the journal is looked at for what others wrote.
const POLL: Duration = Duration::from_millis(50);

/// A node that has a copy serves lookups from it when the engine does not answer for so long at the
/// start.
const AWAY: u32 = 5;

/// How the list of a configuration is kept.
pub(super) fn store_options(config: &Config) -> store::Options {
    store::Options {
        cache_bytes: config.store.cache,
        min_free_bytes: config.store.min_free,
        keep: config.journal.keep,
        ..store::Options::new(&config.data_dir)
    }
}

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
        folds: postgres::Folds { oldest: OLDEST_FOLD, newest: FOLD_VERSION },
        run: run()?,
        facts: postgres::Fingerprints::default(),
    })
}

/// What all nodes should be configured with alike.
pub(super) fn facts(config: &Config, policy: &Policy) -> postgres::Fingerprints {
    let facts = postgres::Fingerprints::default();
    tell(&facts, config, policy);
    facts
}

/// The same, after a reload. Of secrets the engine gets 64 bits of a hash, by which nobody finds them:
/// they are random.
pub(super) fn tell(facts: &postgres::Fingerprints, config: &Config, policy: &Policy) {
    let mut rules = Vec::new();
    for dir in config.rules_dir.iter().chain(&config.shadow_rules_dir) {
        let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut files: Vec<_> = files.map(|file| file.path()).collect();
        files.sort();
        rules.extend(files.iter().filter_map(|file| std::fs::read(file).ok()));
    }
    let keys = config.verp.keys.iter().flat_map(|(id, secret)| [id.as_bytes(), secret]);
    let key = config.privacy.hash_key.iter().map(Vec::as_slice);
    let policy = serde_json::json!(policy.act()).to_string();
    let hashed = [u8::from(config.privacy.hashed)];
    *lock(facts) = [
        ("verp.keys", fingerprint(keys)),
        ("rules", fingerprint(rules.iter().map(Vec::as_slice))),
        ("[policy]", fingerprint([policy.as_bytes()])),
        ("privacy.hash_key_file", fingerprint(key)),
        ("privacy.addresses", fingerprint([&hashed[..]])),
        ("journal.keep", fingerprint([&config.journal.keep.as_millis().to_be_bytes()[..]])),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .into();
}

fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    data_encoding::HEXLOWER.encode(hash.finalize().get(..8).unwrap_or_default())
}

/// A name for this process, which no other one has.
fn run() -> Result<String> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no randomness: {error}"))?;
    Ok(data_encoding::HEXLOWER.encode(&random))
}

/// Opens the ledger, and waits until it is level with the engine, or serves what it has.
pub(super) fn ledger(
    config: &Config,
    shared: &PostgresConfig,
    store: &store::Options,
    facts: postgres::Fingerprints,
) -> Result<SledLedger> {
    let dir = &config.data_dir;
    let options = postgres::Options { facts, ..options(shared)? };
    if !copy::is_copy(dir) {
        let unusable = || format!("{} cannot be used", dir.display());
        if !copy::is_empty(dir).with_context(unusable)? {
            return Err(anyhow!(
                "{} has a list of its own, and journal.engine = \"postgres\" would leave it out: to make \
                 it the list of all nodes, `bounced engine adopt` (into an empty ledger); else start \
                 with an empty data_dir, and bring the list in with `bounced export` and \
                 `bounced import`",
                dir.display()
            ));
        }
        copy::mark(dir, &options.place.hosts()).with_context(unusable)?;
    }
    let ledger = join(shared, &options, store)?;
    let has_records = ledger.status().last_seq > 0;
    if level(&ledger, has_records)? {
        return Ok(ledger);
    }
    let (why, last) = (stuck(&ledger), ledger.status().last_seq);
    let stock = PostgresJournal::new(options.clone()).stock()?;
    if matches!(ledger.stuck(), Some(LedgerError::Outdated(_))) {
        drop(ledger);
        may_begin_anew(dir, &options, &stock, last)?;
        copy::remove(dir).context("the copy of the journal cannot be removed")?;
        tracing::warn!("{why}; it is removed here and taken anew from the engine");
        return begin_anew(shared, &options, store);
    }
    let journal = &mut PostgresJournal::new(options.clone());
    let common = common(&ledger, journal, stock.first)?;
    drop(ledger);
    if common == 0 {
        return Err(emptied(dir, &options, last));
    }
    has_a_beginning(&stock)?;
    let note = |folder: &str| store::lost_by_engine(dir, (common + 1, last), folder);
    let aside =
        copy::set_aside(dir, note).context("the copy of the journal cannot be set aside")?;
    tracing::error!(
        "{why}; records {} to {last} of this node are in {}, its journal is taken anew from the engine",
        common + 1,
        aside.display()
    );
    begin_anew(shared, &options, store)
}

/// Takes the engine's journal, of which there is nothing here.
fn begin_anew(
    shared: &PostgresConfig,
    options: &postgres::Options,
    store: &store::Options,
) -> Result<SledLedger> {
    let ledger = join(shared, options, store)?;
    match level(&ledger, false)? {
        true => Ok(ledger),
        false => Err(anyhow!("{}", stuck(&ledger))),
    }
}

fn stuck(ledger: &SledLedger) -> String {
    ledger.stuck().as_ref().map(ToString::to_string).unwrap_or_default()
}

/// Before the copy goes: there is something to begin with.
fn has_a_beginning(stock: &Stock) -> Result<()> {
    match stock.no_beginning() {
        Some(why) => Err(anyhow!("nothing was changed here: {why}")),
        None => Ok(()),
    }
}

/// Before a copy that is too old is removed: it is of this ledger, and can be taken anew.
fn may_begin_anew(dir: &Path, options: &postgres::Options, stock: &Stock, last: u64) -> Result<()> {
    has_a_beginning(stock)?;
    // No record of it can be compared any more.
    let is_known = || -> Result<bool> {
        let report = postgres::EngineReport::ask(options)?;
        Ok(report.nodes.iter().any(|node| node.name == options.node))
    };
    if last < stock.first && !is_known()? {
        let (dir, first, node) = (dir.display(), stock.first, &options.node);
        return Err(anyhow!(
            "this node ends at {last}, the shared journal begins at {first} by now, and no node {node} \
             took part in it: nobody can tell whether the copy in {dir} is of this ledger; nothing was \
             changed here. Look at journal.postgres.url_file, schema, ledger and node; if they are right, \
             move {dir}/journal, {dir}/checkpoint and {dir}/view away and start again"
        ));
    }
    Ok(())
}

/// The last record that this node and the engine both have, for one whose copy does not fit; 0: none, as
/// far as the engine's journal reaches back.
fn common(ledger: &SledLedger, journal: &mut dyn SharedJournal, first: u64) -> Result<u64> {
    let before = first.saturating_sub(1);
    let (mut common, mut other) = (before, ledger.status().last_seq + 1);
    while other - common > 1 {
        let middle = common + (other - common) / 2;
        let line = ledger.journal(middle, 1)?.pop().filter(|(seq, _)| *seq < other);
        let id =
            line.and_then(|(seq, line)| Some((seq, serde_json::from_str::<Event>(&line).ok()?.id)));
        // What cannot be read is nobody's proof.
        let Some((seq, id)) = id else {
            other = middle;
            continue;
        };
        match journal.find(seq, &[(seq, id)]) {
            Ok(_) => common = seq,
            Err(LedgerError::Forked(_)) => other = middle,
            Err(error) => return Err(anyhow!("{error}")),
        }
    }
    Ok(if common == before { 0 } else { common })
}

/// The engine has nothing of what this node has.
fn emptied(dir: &Path, options: &postgres::Options, last: u64) -> anyhow::Error {
    let (dir, hosts) = (dir.display(), options.place.hosts());
    anyhow!(
        "ledger {} of the schema {} at {hosts} has not one of the {last} records that this node has: \
         it was emptied, or it is another one; nothing was changed here. Look at \
         journal.postgres.url_file, schema and ledger first. If PostgreSQL lost them, restore it from \
         its backup, or let an empty ledger have the list of this node: `bounced engine adopt`. If the \
         engine is right, move {dir}/journal, {dir}/checkpoint and {dir}/view away and start again",
        options.ledger,
        options.schema
    )
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

/// Waits until this node has all there is; false when it cannot go on with its copy. A node that has
/// records does not wait for an engine that is away.
fn level(ledger: &SledLedger, has_records: bool) -> Result<bool> {
    let mut silent = 0;
    while !ledger.wait_level(Duration::from_secs(1)) {
        if ledger.stuck().is_some() {
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
