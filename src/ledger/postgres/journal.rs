//! The journal in PostgreSQL as a [`SharedJournal`]: one connection, see the head of the module.

use std::time::Instant;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::columns::{Columns, number, raise};
use super::line::{Open, Wire, said};
use super::status::{self, NodeReport, warnings};
use super::{Folds, Options};
use crate::ledger::LedgerError;
use crate::ledger::journal::{Batch, Edit};
use crate::ledger::lock::lock;
use crate::ledger::order::{
    Appended, Beat, Erasure, Journal, ListAt, News, OtherNode, Place, SharedJournal,
};
use crate::mail::Timestamp;

/// A node that is so far behind does not append: what it lacks would be sent to it under the lock.
const MAX_BEHIND: i64 = 5_000;

/// Clocks may differ by so much, in milliseconds.
const MAX_SKEW_MS: i64 = 5_000;

/// Records of one step of a rewrite.
const REWRITTEN_AT_ONCE: i64 = 500;

/// What a statement is given.
pub(super) type Value<'a> = &'a (dyn ToSql + Sync);

/// One connection's view of the journal.
pub struct PostgresJournal {
    pub(super) wire: Wire,
    /// It told the others before that it lives.
    was_heard: bool,
}

pub(super) fn position(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn corrupt(what: &str) -> LedgerError {
    LedgerError::Fatal(format!("the engine's journal is damaged: {what}; restore it from a backup"))
}

/// This release is too old for the ledger, or too new.
pub(super) fn cannot_fold(fold: i32, mine: Folds) -> LedgerError {
    let Folds { oldest, newest } = mine;
    LedgerError::Retryable(if fold > newest {
        format!(
            "the nodes of this ledger fold as version {fold}, this release up to {newest}: install the \
             release that they have"
        )
    } else {
        format!(
            "the nodes of this ledger fold as version {fold} still, this release from {oldest} on: install \
             the release in between on all nodes first, and run `bounced engine upgrade`"
        )
    })
}

/// The records after those of a node are gone.
fn behind(at: u64, first: u64) -> LedgerError {
    LedgerError::Outdated(format!(
        "this node ends at {at}, and the shared journal begins at {first} by now (journal.keep): \
         restart this node, it begins with the newest checkpoint there"
    ))
}

impl PostgresJournal {
    /// Connects when it is first used.
    pub fn new(options: Options) -> Self {
        Self { wire: Wire::new(options), was_heard: false }
    }

    /// A statement that answers or does not; after an error the connection is closed, so that no
    /// transaction stays open.
    pub(super) fn ask<T>(
        &mut self,
        work: impl AsyncFnOnce(&Open, &Options) -> Result<T, Error>,
    ) -> Result<T, LedgerError> {
        self.wire.call(work)
    }

    pub(super) fn no_ledger(&self) -> LedgerError {
        let Options { ledger, schema, .. } = &self.wire.options;
        LedgerError::Fatal(format!(
            "there is no ledger {ledger} in the schema {schema}: run `bounced engine init`"
        ))
    }

    /// Rows of the statement `news`: head, clock and records after a place.
    fn news(&self, at: &Place, rows: &[Row], as_writer: bool) -> Result<News, LedgerError> {
        let Some(first) = rows.first() else { return Err(self.no_ledger()) };
        let (end, fold, clock): (i64, i32, i64) = (first.get(0), first.get(1), first.get(2));
        let mine = self.wire.options.folds;
        // An empty journal says its version with its first record.
        if !mine.have(fold) && end > 0 {
            return Err(cannot_fold(fold, mine));
        }
        let skew = clock.saturating_sub(Timestamp::now().millis());
        if as_writer && skew.abs() > MAX_SKEW_MS {
            return Err(LedgerError::Retryable(format!(
                "the clocks of this machine and of the engine differ by {} s: set them by NTP",
                skew / 1000
            )));
        }
        let begins = position(first.get(7));
        if at.seq.max(1) < begins {
            return Err(behind(at.seq, begins));
        }
        let forked = || {
            LedgerError::Forked(match end {
                0 => format!("the engine's journal is empty, and this node has {} records", at.seq),
                end => format!(
                    "record {} of this node is not the engine's, which goes to {end}: a failover lost \
                     records that were acknowledged; restart this node, it takes the engine's journal \
                     and keeps its own aside",
                    at.seq
                ),
            })
        };
        let rewritten = first.get::<_, Option<i64>>(6).map_or(0, position);
        let lines = Vec::with_capacity(rows.len());
        let mut news = News { lines, through: *at, rewritten, first: begins };
        let mut is_found = at.seq == 0;
        for row in rows {
            let Some(seq) = row.get::<_, Option<i64>>(3).map(position) else { continue };
            let (chain, line): (&[u8], &str) = (row.get(4), row.get(5));
            let Ok(chain) = chain.try_into() else { return Err(corrupt("a chain is too short")) };
            let place = Place { seq, chain };
            if seq == at.seq {
                is_found = place == *at;
            } else if seq == news.through.seq + 1 {
                news.lines.push((seq, line.to_string()));
                news.through = place;
            } else {
                let gap = format!("after {} comes {seq}", news.through.seq);
                return Err(if is_found { corrupt(&gap) } else { forked() });
            }
            if !is_found {
                return Err(forked());
            }
        }
        if !is_found || position(end) < at.seq {
            return Err(forked());
        }
        Ok(news)
    }

    /// Ends a turn without a commit.
    fn roll_back(&mut self) {
        let rolled = self.ask(async |open, _| open.client.batch_execute("ROLLBACK").await);
        if rolled.is_err() {
            self.wire.close();
        }
    }
}

impl Journal for PostgresJournal {
    fn turn(&mut self, at: &Place) -> Result<News, LedgerError> {
        self.wire.open()?;
        let seq = number(at.seq);
        let taken = self.ask(async |open, options| {
            let (client, s) = (&open.client, &open.statements);
            let limit = MAX_BEHIND + 2;
            let of_head: [Value<'_>; 1] = [&options.ledger];
            let of_news: [Value<'_>; 3] = [&options.ledger, &seq, &limit];
            let (_, _, rows) = tokio::try_join!(
                biased;
                client.batch_execute("BEGIN"),
                client.query(&s.lock, &of_head),
                client.query(&s.news, &of_news),
            )?;
            Ok(rows)
        });
        let news = taken.and_then(|rows| self.news(at, &rows, true));
        let news = news.and_then(|news| match news.lines.len() as i64 > MAX_BEHIND {
            true => Err(LedgerError::Retryable(
                "this node is still taking in what others wrote".to_string(),
            )),
            false => Ok(news),
        });
        if let Err(error) = &news {
            match error {
                LedgerError::Away(_) => self.wire.close(),
                _ => self.roll_back(),
            }
        }
        news
    }

    fn append(&mut self, at: &Place, batch: &Batch) -> Result<Appended, LedgerError> {
        let columns = Columns::new(at, batch)?;
        let (old, new, count) =
            (number(at.seq), number(columns.end.seq), columns.seqs.len() as u64);
        let done = self.ask(async |open, options| {
            let before = open.notices();
            let Columns { end, seqs, times, ids, chains, lines, fold } = &columns;
            let (from, to) = (&at.chain[..], &end.chain[..]);
            let values: [Value<'_>; 10] =
                [&options.ledger, &old, &from, &new, &to, seqs, times, ids, chains, lines];
            if let Some(fold) = fold {
                // Once in the life of a release: one step after the other.
                let inserted = open.client.execute(&open.statements.append, &values).await;
                let raised = match &inserted {
                    Ok(_) => raise(open, options.ledger, *fold, to).await,
                    Err(_) => Ok(()),
                };
                let committed = open.client.batch_execute("COMMIT").await;
                let inserted = inserted.and_then(|n| raised.map(|()| n));
                return Ok((inserted, committed, open.notices() == before));
            }
            let (inserted, committed) = tokio::join!(
                biased;
                open.client.execute(&open.statements.append, &values),
                open.client.batch_execute("COMMIT"),
            );
            Ok((inserted, committed, open.notices() == before))
        });
        let appended = match done {
            Ok((Ok(0), ..)) => Ok(Appended::MovedOn),
            Ok((Ok(n), Ok(()), true)) if n == count => return Ok(Appended::Done(columns.end)),
            Ok((Ok(n), Ok(()), quiet)) => Ok(Appended::Unknown(match quiet {
                true => format!("{n} of {count} records"),
                false => "a notice came with the COMMIT".to_string(),
            })),
            Ok((Ok(_), Err(error), _)) => Ok(Appended::Unknown(said(&error).to_string())),
            // The server refused the records: the COMMIT after that was none.
            Ok((Err(error), ..)) if error.as_db_error().is_some() => {
                match error.code().map_or("", |code| code.code()) {
                    "40001" | "40P01" | "23505" => Ok(Appended::MovedOn),
                    _ => Err(said(&error)),
                }
            }
            Ok((Err(error), ..)) => Ok(Appended::Unknown(said(&error).to_string())),
            Err(error) => Ok(Appended::Unknown(error.to_string())),
        };
        self.wire.close();
        appended
    }

    fn pass(&mut self) -> Result<(), LedgerError> {
        let passed = self.ask(async |open, options| {
            let before = open.notices();
            let values: [Value<'_>; 1] = [&options.ledger];
            let (touched, committed) = tokio::join!(
                biased;
                open.client.execute(&open.statements.touch, &values),
                open.client.batch_execute("COMMIT"),
            );
            Ok((touched?, committed?, open.notices() == before))
        });
        match passed {
            Ok((1, (), true)) => Ok(()),
            Ok(_) => {
                self.wire.close();
                let why = "it does not say that what it has is on its standby";
                Err(LedgerError::Away(why.to_string()))
            }
            Err(error) => {
                self.wire.close();
                Err(error)
            }
        }
    }
}

impl SharedJournal for PostgresJournal {
    fn until(&mut self, until: Option<Instant>) {
        self.wire.until(until);
    }

    fn find(&mut self, at: u64, tail: &[(u64, String)]) -> Result<Place, LedgerError> {
        self.wire.open()?;
        let seqs: Vec<i64> = tail.iter().map(|(seq, _)| number(*seq)).chain([number(at)]).collect();
        let found = self.ask(async |open, options| {
            let sql = "SELECT seq, id, chain FROM journal WHERE ledger = $1 AND seq = ANY ($2)";
            let begins = "SELECT first FROM head WHERE ledger = $1";
            let found = open.client.query(sql, &[&options.ledger, &seqs]).await?;
            Ok((found, open.client.query_opt(begins, &[&options.ledger]).await?))
        });
        let (rows, begins) = found.inspect_err(|_| self.wire.close())?;
        let begins = position(begins.ok_or_else(|| self.no_ledger())?.get(0));
        if at.max(1) < begins {
            return Err(behind(at, begins));
        }
        let mut place = (at == 0).then(Place::default);
        for row in &rows {
            let (seq, id, chain): (i64, &str, &[u8]) = (row.get(0), row.get(1), row.get(2));
            let seq = position(seq);
            if seq == at {
                let chain = chain.try_into().map_err(|_| corrupt("a chain is too short"))?;
                place = Some(Place { seq, chain });
            }
            if tail.iter().any(|(known, mine)| *known == seq && mine != id) {
                place = None;
                break;
            }
        }
        place.ok_or_else(|| {
            LedgerError::Forked(format!(
                "the records up to {at} of this node are not the engine's: a failover lost records \
                 that were acknowledged, or this node has a list of its own (docs/cluster.md)"
            ))
        })
    }

    fn read(&mut self, at: &Place, limit: usize) -> Result<News, LedgerError> {
        self.wire.open()?;
        let (seq, limit) = (number(at.seq), i64::try_from(limit).unwrap_or(i64::MAX));
        // With the record before, which proves the history.
        let limit = limit + i64::from(at.seq > 0);
        let rows = self.ask(async |open, options| {
            open.client.query(&open.statements.news, &[&options.ledger, &seq, &limit]).await
        });
        let rows = rows.inspect_err(|_| self.wire.close())?;
        self.news(at, &rows, false)
    }

    fn beat(&mut self, at: &Place, erased: u64, lists: &[ListAt]) -> Result<Beat, LedgerError> {
        self.wire.open()?;
        let (seq, erased, was_heard) = (number(at.seq), number(erased), self.was_heard);
        let beaten = self.ask(async |open, options| {
            let (client, s) = (&open.client, &open.statements);
            let (ledger, node, chain) = (options.ledger, &options.node, &at.chain[..]);
            let release = env!("CARGO_PKG_VERSION");
            let mut facts = lock(&options.facts).clone();
            facts.extend(lists.iter().map(status::fact));
            let facts = serde_json::json!(facts).to_string();
            let said: [Value<'_>; 10] = [
                &ledger,
                node,
                &seq,
                &chain,
                &options.folds.newest,
                &release,
                &options.run,
                &facts,
                &erased,
                &was_heard,
            ];
            let of_ledger: [Value<'_>; 1] = [&ledger];
            // Nobody waits for a standby to say that they live.
            let (_, _, _, ends, nodes, newest) = tokio::try_join!(
                biased;
                client.batch_execute("BEGIN; SET LOCAL synchronous_commit TO local"),
                client.execute(&s.beat, &said),
                client.batch_execute("COMMIT"),
                client.query(&s.end, &of_ledger),
                client.query(&s.nodes, &of_ledger),
                client.query(&s.newest, &of_ledger),
            )?;
            let end =
                |row: &Row| (position(row.get(0)), row.get::<_, bool>(1), position(row.get(2)));
            let nodes: Vec<_> = nodes.iter().map(NodeReport::of).collect();
            Ok((ends.first().map(end), nodes, newest.first().map(status::age)))
        });
        let (end, nodes, checkpoint) = beaten.inspect_err(|_| self.wire.close())?;
        self.was_heard = true;
        let (end, is_synchronous, first) = end.ok_or_else(|| self.no_ledger())?;
        Ok(Beat {
            end,
            is_synchronous,
            warnings: warnings(&nodes),
            checkpoint,
            checkpoint_trouble: status::checkpoint_trouble((first, end), checkpoint),
        })
    }

    fn peers(&mut self) -> Result<Vec<OtherNode>, LedgerError> {
        self.wire.open()?;
        let nodes = self.ask(async |open, options| {
            let rows = open.client.query(&open.statements.nodes, &[&options.ledger]).await?;
            let nodes = rows.iter().map(NodeReport::of).filter(|node| node.name != options.node);
            Ok(nodes.map(|node| node.peer()).collect())
        });
        nodes.inspect_err(|_| self.wire.close())
    }

    fn erasures(&mut self) -> Result<Vec<Erasure>, LedgerError> {
        self.wire.open()?;
        let rows = self.ask(async |open, options| {
            let sql = "SELECT seq, is_done FROM erasure WHERE ledger = $1 ORDER BY seq";
            open.client.query(sql, &[&options.ledger]).await
        });
        let rows = rows.inspect_err(|_| self.wire.close())?;
        let erasure = |row: &Row| Erasure { seq: position(row.get(0)), is_done: row.get(1) };
        Ok(rows.iter().map(erasure).collect())
    }

    fn begin_erasure(&mut self, seq: u64, hash: &str) -> Result<(), LedgerError> {
        self.wire.open()?;
        let seq = number(seq);
        let begun = self.ask(async |open, options| {
            let sql = "INSERT INTO erasure (ledger, seq, hash) VALUES ($1, $2, $3) \
                       ON CONFLICT (ledger, seq) DO NOTHING";
            open.client.execute(sql, &[&options.ledger, &seq, &hash]).await
        });
        begun.map(drop).inspect_err(|_| self.wire.close())
    }

    fn end_erasure(&mut self, hash: &str) -> Result<(), LedgerError> {
        self.wire.open()?;
        let ended = self.ask(async |open, options| {
            let sql = "UPDATE erasure SET is_done = true WHERE ledger = $1 AND hash = $2";
            open.client.execute(sql, &[&options.ledger, &hash]).await
        });
        ended.map(drop).inspect_err(|_| self.wire.close())
    }

    fn rewrite(&mut self, through: u64, edit: Edit<'_>) -> Result<u64, LedgerError> {
        self.wire.open()?;
        let (mut after, through, mut changed) = (0_i64, number(through), 0);
        loop {
            let rows = self.ask(async |open, options| {
                let sql = "SELECT seq, line FROM journal WHERE ledger = $1 AND seq > $2 AND seq <= $3 \
                           ORDER BY seq LIMIT $4";
                let limit = REWRITTEN_AT_ONCE;
                open.client.query(sql, &[&options.ledger, &after, &through, &limit]).await
            });
            let rows = rows.inspect_err(|_| self.wire.close())?;
            let Some(last) = rows.last().map(|row| row.get(0)) else { return Ok(changed) };
            let (mut seqs, mut before, mut lines) = (Vec::new(), Vec::new(), Vec::new());
            for row in &rows {
                let (seq, line): (i64, &str) = (row.get(0), row.get(1));
                if let Some(new) = edit(position(seq), line) {
                    seqs.push(seq);
                    before.push(line);
                    lines.push(new);
                }
            }
            let written = match seqs.is_empty() {
                true => 0,
                // Another node may take somebody else out of the same line meanwhile.
                false => self.replace(&seqs, &before, &lines)?,
            };
            changed += written;
            if written == seqs.len() as u64 {
                after = last;
            }
        }
    }
}

impl PostgresJournal {
    /// Puts lines in the place of others, where those are still there; gives how many.
    fn replace(
        &mut self,
        seqs: &[i64],
        before: &[&str],
        lines: &[String],
    ) -> Result<u64, LedgerError> {
        let written = self.ask(async |open, options| {
            let sql = "UPDATE journal j SET line = u.line \
                       FROM unnest($2::bigint[], $3::text[], $4::text[]) AS u (seq, before, line) \
                       WHERE j.ledger = $1 AND j.seq = u.seq AND j.line = u.before";
            open.client.execute(sql, &[&options.ledger, &seqs, &before, &lines]).await
        });
        written.inspect_err(|_| self.wire.close())
    }
}
