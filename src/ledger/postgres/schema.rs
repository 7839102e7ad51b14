//! The tables, as numbered SQL files that are compiled in. `bounced engine init` applies what is
//! missing; a second time changes nothing.

use std::time::Duration;

use tokio_postgres::Client;

use super::Options;
use super::line::{ask_once, is_name};
use crate::event::FIRST_FOLD;
use crate::ledger::LedgerError;

/// A migration may wait so long for those who use the tables.
const PATIENCE: Duration = Duration::from_secs(600);

/// The migrations, in order; the first is number 1.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001-journal.sql"),
    include_str!("migrations/0002-views.sql"),
    include_str!("migrations/0003-nodes.sql"),
    include_str!("migrations/0004-checkpoints.sql"),
    include_str!("migrations/0005-folds.sql"),
];

/// What a node may do, for the role that its URL names.
const GRANTS: &[&str] = &[
    "GRANT USAGE ON SCHEMA {schema} TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
    "GRANT UPDATE (seq, chain, fold, first) ON {schema}.head TO {role}",
    "GRANT INSERT, UPDATE (line), DELETE ON {schema}.journal TO {role}",
    "GRANT INSERT, UPDATE ON {schema}.node TO {role}",
    "GRANT INSERT, UPDATE ON {schema}.erasure TO {role}",
    "GRANT INSERT, UPDATE ON {schema}.fact TO {role}",
    "GRANT INSERT ON {schema}.fold TO {role}",
    "GRANT INSERT, DELETE ON {schema}.checkpoint, {schema}.checkpoint_part TO {role}",
];

/// Makes schema, tables and ledger, as far as they are missing; the engine is asked as a role that may
/// do that. Gives the migrations that were applied.
pub fn init(options: &Options) -> Result<Vec<usize>, LedgerError> {
    ask_once(options, async |client| apply(client, options).await, PATIENCE)
}

async fn apply(
    client: &mut Client,
    options: &Options,
) -> Result<Vec<usize>, tokio_postgres::Error> {
    let schema = &options.schema;
    let transaction = client.transaction().await?;
    let begin = format!(
        "CREATE SCHEMA IF NOT EXISTS {schema}; \
         CREATE TABLE IF NOT EXISTS {schema}.migration \
             (version int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now()); \
         LOCK TABLE {schema}.migration IN EXCLUSIVE MODE"
    );
    transaction.batch_execute(&begin).await?;
    let newest = transaction.query_one("SELECT coalesce(max(version), 0) FROM migration", &[]);
    let newest: i32 = newest.await?.get(0);
    let mut applied = Vec::new();
    for (version, sql) in (1..).zip(MIGRATIONS) {
        if version > usize::try_from(newest).unwrap_or(0) {
            transaction.batch_execute(sql).await?;
            let number = i32::try_from(version).unwrap_or(i32::MAX);
            transaction.execute("INSERT INTO migration VALUES ($1)", &[&number]).await?;
            applied.push(version);
        }
    }
    let ledger = "INSERT INTO head (ledger, seq, chain, fold) VALUES ($1, 0, $2, $3) \
                  ON CONFLICT (ledger) DO NOTHING";
    let zeros = vec![0u8; 32];
    transaction.execute(ledger, &[&options.ledger, &zeros, &FIRST_FOLD]).await?;
    transaction.commit().await?;
    Ok(applied)
}

/// The statements that let a role be a node's. The role is quoted when it must be.
pub fn grants(schema: &str, role: &str) -> Vec<String> {
    let role =
        if is_name(role) { role.to_string() } else { format!("\"{}\"", role.replace('"', "\"\"")) };
    let grant = |text: &&str| text.replace("{schema}", schema).replace("{role}", &role) + ";";
    GRANTS.iter().map(grant).collect()
}

/// Whether a schema may have this name.
pub fn may_be_named(schema: &str) -> bool {
    is_name(schema) && !schema.starts_with("pg_") && schema != "information_schema"
}
