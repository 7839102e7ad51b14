//! What an operator wants to know of the engine: `bounced engine status`.

use tokio_postgres::Client;

use super::Options;
use super::line::{connect_bare, said};
use crate::ledger::LedgerError;

/// A node that was not heard for so long is called silent, in seconds.
const SILENT: i64 = 30;

/// The engine and the nodes of one ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineReport {
    /// Of the server.
    pub version: String,
    /// The last position.
    pub end: u64,
    /// The version of the fold that all nodes have.
    pub fold: i32,
    /// `synchronous_standby_names`
    pub standbys: String,
    /// Servers that stream from this one.
    pub streaming: i64,
    /// The nodes, by name.
    pub nodes: Vec<NodeReport>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// `journal.postgres.node`
    pub name: String,
    /// Its last position.
    pub seq: u64,
    /// Seconds since it was heard.
    pub silent: i64,
    /// Its release.
    pub release: String,
    /// The version of its fold.
    pub fold: i32,
}

impl EngineReport {
    /// What is wrong, in sentences.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        if self.standbys.is_empty() {
            troubles.push(
                "a 250 may be lost at a failover: synchronous_standby_names is empty; set it, such as \
                 ANY 1 (db2, db3)"
                    .to_string(),
            );
        } else if self.streaming == 0 {
            troubles.push("no standby streams from the primary: commits wait for one".to_string());
        }
        for node in &self.nodes {
            if node.silent >= SILENT {
                troubles.push(format!(
                    "node {} was not heard for {} s: start it, or forget it with \
                     DELETE FROM node WHERE name = '{}'",
                    node.name, node.silent, node.name
                ));
            }
            if node.fold != self.fold {
                troubles.push(format!(
                    "node {} folds as version {}, the ledger as {}: install the same release",
                    node.name, node.fold, self.fold
                ));
            }
        }
        troubles
    }

    /// Asks the engine.
    pub fn ask(options: &Options) -> Result<Self, LedgerError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| LedgerError::Fatal(error.to_string()))?;
        runtime.block_on(async {
            let (client, _) = connect_bare(options).await.map_err(|error| said(&error))?;
            let found = ask(&client, options).await.map_err(|error| said(&error))?;
            found.ok_or_else(|| {
                LedgerError::Fatal(format!(
                    "there is no ledger {} in the schema {}: run `bounced engine init`",
                    options.ledger, options.schema
                ))
            })
        })
    }
}

async fn ask(
    client: &Client,
    options: &Options,
) -> Result<Option<EngineReport>, tokio_postgres::Error> {
    let head = client
        .query_opt(
            "SELECT seq, fold, current_setting('server_version'), \
                    current_setting('synchronous_standby_names'), \
                    (SELECT count(*) FROM pg_stat_replication) \
             FROM head WHERE ledger = $1",
            &[&options.ledger],
        )
        .await?;
    let Some(head) = head else { return Ok(None) };
    let nodes = client
        .query(
            "SELECT name, seq, release, fold, \
                    (extract(epoch FROM clock_timestamp()) - seen_ms / 1000.0)::bigint \
             FROM node WHERE ledger = $1 ORDER BY name",
            &[&options.ledger],
        )
        .await?;
    let position = |seq: i64| u64::try_from(seq).unwrap_or(0);
    let nodes = nodes.iter().map(|row| NodeReport {
        name: row.get(0),
        seq: position(row.get(1)),
        release: row.get(2),
        fold: row.get(3),
        silent: row.get::<_, i64>(4).max(0),
    });
    Ok(Some(EngineReport {
        end: position(head.get(0)),
        fold: head.get(1),
        version: head.get(2),
        standbys: head.get(3),
        streaming: head.get(4),
        nodes: nodes.collect(),
    }))
}
