//! What an operator wants to know of the engine: `bounced engine status`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio_postgres::{Client, Row};

use super::Options;
use super::line::{NEWEST, NODES, ask_once};
use crate::ledger::LedgerError;
use crate::ledger::order::{ListAt, OtherNode};

/// The answer comes by then.
const PATIENCE: Duration = Duration::from_secs(5);

/// A node that was not heard for so long is called silent, in seconds.
const SILENT: i64 = 30;

/// One that was heard within so many seconds is waited for.
const LIVE: i64 = 10;

/// A node that was silent for longer, in seconds, keeps nobody from an upgrade.
const DAY: i64 = 24 * 60 * 60;

/// That two processes are one node is said for so many seconds after it was seen.
const DOUBLE: i64 = 60;

/// A checkpoint is written once a day when enough came for one; after so long something is wrong.
const STALE: Duration = Duration::from_secs(72 * 60 * 60);

/// So many records are enough for one, whatever the list has.
const MANY: u64 = 400_000;

/// The engine and the nodes of one ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineReport {
    /// Of the server.
    pub version: String,
    /// The last position.
    pub end: u64,
    /// The version that the newest records are folded as.
    pub fold: i32,
    /// `synchronous_standby_names`
    pub standbys: String,
    /// Servers that stream from this one.
    pub streaming: i64,
    /// Position of the last erasure; 0: there was none.
    pub erased: u64,
    /// The position that the journal begins with by now.
    pub first: u64,
    /// Position of the newest checkpoint that a new node may begin with, and how long ago it was written.
    pub checkpoint: Option<(u64, Duration)>,
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
    /// The newest version that it can fold.
    pub fold: i32,
    /// Two processes take part under its name.
    pub is_double: bool,
    /// What it is configured with, as fingerprints by name, and what its list adds up to.
    pub facts: BTreeMap<String, String>,
    /// It carried out the erasures up to this position.
    pub erased: u64,
}

impl NodeReport {
    /// A row of the statement `NODES`.
    pub(super) fn of(row: &Row) -> Self {
        let position = |seq: i64| u64::try_from(seq).unwrap_or(0);
        Self {
            name: row.get(0),
            seq: position(row.get(1)),
            release: row.get(2),
            fold: row.get(3),
            silent: row.get::<_, i64>(4).max(0),
            is_double: row.get::<_, i64>(5) < DOUBLE,
            facts: serde_json::from_str(row.get(6)).unwrap_or_default(),
            erased: position(row.get(7)),
        }
    }

    /// As the ledger sees it.
    pub(super) fn peer(self) -> OtherNode {
        let Self { name, seq, erased, silent, .. } = self;
        OtherNode { name, seq, erased, is_live: silent < LIVE }
    }
}

/// What is wrong with nodes, apart from silence: any node may say it of all.
pub(super) fn warnings(nodes: &[NodeReport]) -> Vec<String> {
    let double = nodes.iter().filter(|node| node.is_double).map(|node| {
        format!(
            "two processes take part as node {}: give each its own journal.postgres.node",
            node.name
        )
    });
    double.chain(differences(nodes)).collect()
}

/// A row of the statement `NEWEST`.
pub(super) fn age(row: &Row) -> (u64, Duration) {
    let natural = |column: usize| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
    (natural(0), Duration::from_millis(natural(1)))
}

/// What is wrong with the newest checkpoint of a journal from `first` to `end`. A list that hardly
/// changes needs no new one.
pub(super) fn checkpoint_trouble(
    (first, end): (u64, u64),
    newest: Option<(u64, Duration)>,
) -> Option<String> {
    match newest {
        None if first > 1 => Some(format!(
            "the journal begins at {first}, and there is no checkpoint that a new node could begin with: \
             start a node that has its copy, and let it run"
        )),
        None if end >= MANY => Some(format!(
            "there are {end} records and no checkpoint: no node writes one, a new node folds all of them, \
             and old records stay; look at the log of the nodes"
        )),
        Some((seq, age)) if age >= STALE && end.saturating_sub(seq) >= MANY => Some(format!(
            "the newest checkpoint, at {seq}, was written {} hours ago: no node writes one, and old \
             records stay; look at the log of the nodes",
            age.as_secs() / 3600
        )),
        _ => None,
    }
}

/// What the name of a sum begins with, among the facts of a node.
const LIST: &str = "list at ";

/// What the list of a node adds up to. The name says of what it is: others are not compared.
pub(super) fn fact(list: &ListAt) -> (String, String) {
    let ListAt { seq, erased, sum } = list;
    let since = if *erased > 0 { format!(", erased up to {erased}") } else { String::new() };
    (format!("{LIST}{seq}{since}"), format!("{sum:016x}"))
}

/// In what nodes that take part differ and should not.
fn differences(nodes: &[NodeReport]) -> Vec<String> {
    let live: Vec<&NodeReport> = nodes.iter().filter(|node| node.silent < SILENT).collect();
    let names: BTreeSet<&String> = live.iter().flat_map(|node| node.facts.keys()).collect();
    let differs = |name: &&String| {
        let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        // A node that does not say it is of another release.
        for (node, value) in live.iter().filter_map(|node| Some((node, node.facts.get(*name)?))) {
            values.entry(value).or_default().push(&node.name);
        }
        if values.len() < 2 {
            return None;
        }
        let mut groups: Vec<String> = values.into_values().map(|names| names.join(", ")).collect();
        groups.sort();
        let groups = groups.join(" / ");
        Some(match name.strip_prefix(LIST) {
            // Without the position, which is another one at each beat.
            Some(_) => format!(
                "nodes have made different lists of the same records: {groups}; run `bounced verify` on \
                 each, it says whose is wrong"
            ),
            None => format!(
                "nodes are not configured alike, {name} differs: {groups}; make it the same on all"
            ),
        })
    };
    let mut found: Vec<String> = names.iter().filter_map(differs).collect();
    found.dedup();
    found
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
        troubles.extend(checkpoint_trouble((self.first, self.end), self.checkpoint));
        for node in &self.nodes {
            if node.silent >= SILENT {
                troubles.push(format!(
                    "node {} was not heard for {} s: start it, or forget it with \
                     DELETE FROM node WHERE name = '{}'",
                    node.name, node.silent, node.name
                ));
            }
            if node.fold < self.fold {
                troubles.push(format!(
                    "node {} folds up to version {}, the ledger is at {}: it takes no mail and learns \
                     nothing until it has the release of the others",
                    node.name, node.fold, self.fold
                ));
            }
            if node.erased < self.erased {
                troubles.push(format!(
                    "node {} has not taken erased addresses out of its copy yet (up to record {}): it \
                     does when it runs",
                    node.name, self.erased
                ));
            }
        }
        troubles.extend(warnings(&self.nodes));
        troubles
    }

    /// Nodes of the last 24 hours that cannot fold as a version, with what they can.
    pub fn cannot(&self, version: i32) -> Vec<String> {
        let late = self.nodes.iter().filter(|node| node.silent < DAY && node.fold < version);
        let say = |node: &NodeReport| {
            format!("{} folds up to {} (release {})", node.name, node.fold, node.release)
        };
        late.map(say).collect()
    }

    /// The version that `engine upgrade` would raise the ledger to: all nodes of the last 24 hours have
    /// it.
    pub fn upgrade(&self) -> Option<i32> {
        let nodes = self.nodes.iter().filter(|node| node.silent < DAY);
        nodes.map(|node| node.fold).min().filter(|all| self.end > 0 && *all > self.fold)
    }

    /// Asks the engine; no server is waited for longer than 5 seconds, and neither is the answer.
    pub fn ask(options: &Options) -> Result<Self, LedgerError> {
        let found = ask_once(options, async |client| ask(client, options).await, PATIENCE)?;
        found.ok_or_else(|| {
            LedgerError::Fatal(format!(
                "there is no ledger {} in the schema {}: run `bounced engine init`",
                options.ledger, options.schema
            ))
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
                    (SELECT count(*) FROM pg_stat_replication), first \
             FROM head WHERE ledger = $1",
            &[&options.ledger],
        )
        .await?;
    let Some(head) = head else { return Ok(None) };
    let nodes = client.query(NODES, &[&options.ledger]).await?;
    let erased = "SELECT coalesce(max(seq), 0) FROM erasure WHERE ledger = $1";
    let erased: i64 = client.query_one(erased, &[&options.ledger]).await?.get(0);
    let position = |seq: i64| u64::try_from(seq).unwrap_or(0);
    let newest = client.query_opt(NEWEST, &[&options.ledger]).await?;
    Ok(Some(EngineReport {
        first: position(head.get(5)),
        checkpoint: newest.as_ref().map(age),
        end: position(head.get(0)),
        fold: head.get(1),
        version: head.get(2),
        standbys: head.get(3),
        streaming: head.get(4),
        erased: position(erased),
        nodes: nodes.iter().map(NodeReport::of).collect(),
    }))
}
