//! Checkpoints beside the journal in PostgreSQL, and how old records go.
//!
//! One node at a time writes one: the row `checkpoint` in `fact` names the checkpoint that is being
//! written, until when. Each step moves that row and looks at it in one statement, so whoever lost the
//! right writes nothing any more.
//!
//! | step | a crash after it leaves |
//! |---|---|
//! | `claim`: the row in `fact` is ours, parts of nobody go | a row that ends within a minute |
//! | `put`: parts | parts that nobody reads; the next claim removes them |
//! | `complete`: the row in `checkpoint`, the right is given back | a whole checkpoint |
//! | older ones go | one more than needed |
//!
//! `forget` takes the right away in the transaction that removes what holds an erased address. An
//! erasure that is written down stops `put` and `complete` of any node that has not carried it out.
//!
//! A checkpoint has the version of the fold that the journal says at its position. A node begins with one of
//! a version that its release has; records go only when those of the version of all cover them.
//!
//! Old records go in two steps: `head.first` is raised past them, then they are deleted, in pieces, by
//! whoever looks next. So nobody takes a half of them for the journal.

use std::time::Duration;

use tokio_postgres::{Error, Row};

use super::Folds;
use super::columns::number;
use super::journal::{PostgresJournal, Value, position};
use super::line::{Open, said};
use crate::event::FIRST_FOLD;
use crate::ledger::LedgerError;
use crate::ledger::order::{Place, SharedCheckpoint, SharedCheckpoints, Stock};

/// Who writes nothing for so long loses the right to, in milliseconds.
const LEASE_MS: i64 = 60_000;

/// Records that one call looks at, at most: should a clock jump, the journal is not gone at once.
const LOOKED_AT: i64 = 20_000;

/// Records that one statement deletes.
const DELETED_AT_ONCE: i64 = 5_000;

/// Removes parts that belong to no checkpoint.
const SWEEP: &str = "DELETE FROM checkpoint_part p WHERE p.ledger = $1 AND NOT EXISTS \
     (SELECT 1 FROM checkpoint c WHERE c.ledger = p.ledger AND c.name = p.name)";

fn damaged(name: &str, what: &str) -> LedgerError {
    LedgerError::Corrupt(format!("the shared checkpoint {name}: {what}"))
}

fn checkpoint(row: &Row) -> Result<SharedCheckpoint, LedgerError> {
    let name: String = row.get(0);
    let octets = |column: usize| <[u8; 32]>::try_from(row.get::<_, &[u8]>(column));
    let (Ok(chain), Ok(sha256)) = (octets(2), octets(6)) else {
        return Err(damaged(&name, "a hash is too short"));
    };
    Ok(SharedCheckpoint {
        place: Place { seq: position(row.get(1)), chain },
        erased: position(row.get(3)),
        parts: u32::try_from(row.get::<_, i32>(4)).unwrap_or(0),
        octets: position(row.get(5)),
        sha256,
        age: Duration::from_millis(position(row.get(7))),
        name,
    })
}

/// The first record that must stay; None: nothing may go.
async fn boundary(open: &Open, ledger: i16, keep: i64) -> Result<Option<i64>, Error> {
    // Two clocks must agree before something is forgotten: the server's and that of the newest record.
    let sql = "WITH h AS (SELECT first, least((extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
                    (SELECT at_ms FROM journal j WHERE j.ledger = head.ledger AND j.seq = head.seq)) \
                    - $2 AS horizon, fold FROM head WHERE ledger = $1), \
         old AS (SELECT seq, at_ms FROM journal WHERE ledger = $1 AND seq >= (SELECT first FROM h) \
                 ORDER BY seq LIMIT $3), \
         older AS (SELECT seq FROM checkpoint WHERE ledger = $1 AND fold = (SELECT fold FROM h) AND erased >= \
                     coalesce((SELECT max(seq) FROM erasure WHERE ledger = $1), 0) \
                   ORDER BY seq DESC OFFSET 1 LIMIT 1) \
         SELECT least(coalesce((SELECT min(seq) FROM old WHERE at_ms >= h.horizon), \
                               (SELECT max(seq) FROM old)), \
                      older.seq, \
                      (SELECT min(seq) FROM node WHERE ledger = $1 AND seen_ms >= h.horizon)) \
         FROM h CROSS JOIN older WHERE h.horizon > (SELECT at_ms FROM journal \
             WHERE ledger = $1 AND seq >= h.first ORDER BY seq LIMIT 1)";
    let found = open.client.query_opt(sql, &[&ledger, &keep, &LOOKED_AT]).await?;
    Ok(found.and_then(|row| row.get(0)))
}

impl SharedCheckpoints for PostgresJournal {
    fn stock(&mut self) -> Result<Stock, LedgerError> {
        self.wire.open()?;
        let found = self.ask(async |open, options| {
            let sql = "SELECT first, coalesce((SELECT max(seq) FROM erasure e \
                         WHERE e.ledger = head.ledger), 0), \
                    EXISTS (SELECT 1 FROM checkpoint_part p WHERE p.ledger = head.ledger) \
                    OR EXISTS (SELECT 1 FROM checkpoint c WHERE c.ledger = head.ledger) \
                 FROM head WHERE ledger = $1";
            let head = open.client.query_opt(sql, &[&options.ledger]).await?;
            let sql = "SELECT name, seq, chain, erased, parts, octets, sha256, \
                    greatest((extract(epoch FROM clock_timestamp()) * 1000)::bigint - at_ms, 0) \
                 FROM checkpoint WHERE ledger = $1 AND fold BETWEEN $2 AND $3 \
                 ORDER BY seq DESC, at_ms DESC";
            let Folds { oldest, newest } = options.folds;
            let rows = open.client.query(sql, &[&options.ledger, &oldest, &newest]).await?;
            Ok((head, rows))
        });
        let (head, rows) = found.inspect_err(|_| self.wire.close())?;
        let head = head.ok_or_else(|| self.no_ledger())?;
        let (first, erased) = (position(head.get(0)), position(head.get(1)));
        let mut usable = rows.iter().map(checkpoint).collect::<Result<Vec<_>, _>>()?;
        usable.retain(|checkpoint| checkpoint.erased >= erased);
        Ok(Stock { first, erased, usable, is_any: head.get(2) })
    }

    fn part(&mut self, name: &str, part: u32) -> Result<Vec<u8>, LedgerError> {
        self.wire.open()?;
        let place = i32::try_from(part).unwrap_or(i32::MAX);
        let found = self.ask(async |open, options| {
            let sql = "SELECT octets FROM checkpoint_part \
                       WHERE ledger = $1 AND name = $2 AND part = $3";
            open.client.query_opt(sql, &[&options.ledger, &name, &place]).await
        });
        let found = found.inspect_err(|_| self.wire.close())?;
        found.map(|row| row.get(0)).ok_or_else(|| damaged(name, &format!("part {part} is missing")))
    }

    fn records(
        &mut self,
        from: u64,
        limit: usize,
    ) -> Result<(Vec<(u64, String)>, u64), LedgerError> {
        self.wire.open()?;
        let (from, limit) = (number(from), i64::try_from(limit).unwrap_or(i64::MAX));
        let found = self.ask(async |open, options| {
            // Records first: an erasure that rewrites some of them was written down before.
            let sql = "SELECT seq, line FROM journal WHERE ledger = $1 AND seq >= $2 \
                       ORDER BY seq LIMIT $3";
            let rows = open.client.query(sql, &[&options.ledger, &from, &limit]).await?;
            let sql = "SELECT coalesce(max(seq), 0) FROM erasure WHERE ledger = $1";
            let erased: i64 = open.client.query_one(sql, &[&options.ledger]).await?.get(0);
            Ok((rows, erased))
        });
        let (rows, erased) = found.inspect_err(|_| self.wire.close())?;
        let record = |row: &Row| (position(row.get(0)), row.get(1));
        Ok((rows.iter().map(record).collect(), position(erased)))
    }

    fn claim(&mut self, name: &str, force: bool) -> Result<bool, LedgerError> {
        self.wire.open()?;
        let claimed = self.ask(async |open, options| {
            let sql = "INSERT INTO fact (ledger, name, value, until_ms) VALUES ($1, 'checkpoint', $2, \
                           (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $4) \
                       ON CONFLICT (ledger, name) DO UPDATE \
                       SET value = excluded.value, until_ms = excluded.until_ms \
                       WHERE $3 OR fact.until_ms < \
                           (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
            let values: [Value<'_>; 4] = [&options.ledger, &name, &force, &LEASE_MS];
            let claimed = open.client.execute(sql, &values).await? == 1;
            if claimed {
                open.client.execute(SWEEP, &[&options.ledger]).await?;
            }
            Ok(claimed)
        });
        claimed.inspect_err(|_| self.wire.close())
    }

    fn put(
        &mut self,
        name: &str,
        erased: u64,
        part: u32,
        octets: &[u8],
    ) -> Result<bool, LedgerError> {
        self.wire.open()?;
        let (erased, part) = (number(erased), i32::try_from(part).unwrap_or(i32::MAX));
        let written = self.ask(async |open, options| {
            let sql = "WITH ours AS (UPDATE fact \
                   SET until_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $4 \
                   WHERE ledger = $1 AND name = 'checkpoint' AND value = $2 AND NOT EXISTS \
                       (SELECT 1 FROM erasure WHERE ledger = $1 AND seq > $3) RETURNING 1) \
                 INSERT INTO checkpoint_part (ledger, name, part, octets) \
                 SELECT $1, $2, $5, $6 WHERE EXISTS (SELECT 1 FROM ours)";
            let values: [Value<'_>; 6] =
                [&options.ledger, &name, &erased, &LEASE_MS, &part, &octets];
            open.client.execute(sql, &values).await
        });
        written.map(|rows| rows == 1).inspect_err(|_| self.wire.close())
    }

    fn complete(&mut self, new: &SharedCheckpoint) -> Result<bool, LedgerError> {
        self.wire.open()?;
        let (seq, erased) = (number(new.place.seq), number(new.erased));
        let (parts, octets) = (i32::try_from(new.parts).unwrap_or(i32::MAX), number(new.octets));
        let (chain, sha256) = (&new.place.chain[..], &new.sha256[..]);
        let written = self.ask(async |open, options| {
            let sql = "WITH ours AS (UPDATE fact SET value = '', until_ms = 0 \
                   WHERE ledger = $1 AND name = 'checkpoint' AND value = $2 \
                     AND NOT EXISTS (SELECT 1 FROM erasure WHERE ledger = $1 AND seq > $5) \
                     AND EXISTS (SELECT 1 FROM journal \
                                 WHERE ledger = $1 AND seq = $3 AND chain = $4) \
                     AND (SELECT count(*) FROM checkpoint_part \
                          WHERE ledger = $1 AND name = $2) = $7::int RETURNING 1) \
                 INSERT INTO checkpoint (ledger, name, seq, chain, erased, fold, parts, octets, \
                                         sha256, node, at_ms) \
                 SELECT $1, $2, $3, $4, $5, coalesce((SELECT max(version) FROM fold \
                            WHERE ledger = $1 AND seq <= $3), $6), $7, $8, $9, $10, \
                        (extract(epoch FROM clock_timestamp()) * 1000)::bigint \
                 WHERE EXISTS (SELECT 1 FROM ours)";
            let (ledger, node) = (&options.ledger, &options.node);
            let values: [Value<'_>; 10] =
                [ledger, &new.name, &seq, &chain, &erased, &FIRST_FOLD, &parts, &octets, &sha256, node];
            if open.client.execute(sql, &values).await? != 1 {
                return Ok(false);
            }
            let sql = "WITH gone AS (DELETE FROM checkpoint WHERE ledger = $1 \
                   AND name NOT IN (SELECT name FROM checkpoint WHERE ledger = $1 \
                       AND erased >= coalesce((SELECT max(seq) FROM erasure WHERE ledger = $1), 0) \
                       ORDER BY seq DESC, at_ms DESC LIMIT 2) RETURNING name) \
                 DELETE FROM checkpoint_part p USING gone WHERE p.ledger = $1 AND p.name = gone.name";
            // What is left over goes with the next one.
            if let Err(error) = open.client.execute(sql, &[ledger]).await {
                tracing::warn!(error = %said(&error), "older shared checkpoints stay");
            }
            Ok(true)
        });
        written.inspect_err(|_| self.wire.close())
    }

    fn forget(&mut self, erased: u64) -> Result<(), LedgerError> {
        self.wire.open()?;
        let erased = number(erased);
        let gone = self.ask(async |open, options| {
            let (client, ledger) = (&open.client, &options.ledger);
            client.batch_execute("BEGIN").await?;
            // Waits for whoever writes one at this moment, and takes the right away.
            let sql = "UPDATE fact SET value = '', until_ms = 0 \
                       WHERE ledger = $1 AND name = 'checkpoint'";
            client.execute(sql, &[ledger]).await?;
            let sql = "DELETE FROM checkpoint WHERE ledger = $1 AND erased < $2";
            client.execute(sql, &[ledger, &erased]).await?;
            client.execute(SWEEP, &[ledger]).await?;
            client.batch_execute("COMMIT").await
        });
        gone.inspect_err(|_| self.wire.close())
    }

    fn retain(&mut self, keep: Duration) -> Result<u64, LedgerError> {
        self.wire.open()?;
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
        let raised = self.ask(async |open, options| {
            let ledger = options.ledger;
            if let Some(first) = boundary(open, ledger, keep).await? {
                // Looked at again as it is done: a checkpoint must stand at or after what stays.
                let sql = "UPDATE head SET first = $2 WHERE ledger = $1 AND first < $2 AND EXISTS \
                     (SELECT 1 FROM checkpoint WHERE ledger = $1 AND fold = head.fold AND seq >= $2 \
                      AND erased >= coalesce((SELECT max(seq) FROM erasure WHERE ledger = $1), 0))";
                open.client.execute(sql, &[&ledger, &first]).await?;
            }
            Ok(())
        });
        raised.inspect_err(|_| self.wire.close())?;
        let mut gone = 0;
        loop {
            let deleted = self.ask(async |open, options| {
                let sql = "DELETE FROM journal WHERE ledger = $1 AND seq IN (SELECT seq FROM journal \
                     WHERE ledger = $1 AND seq < (SELECT first FROM head WHERE ledger = $1) \
                     ORDER BY seq LIMIT $2)";
                open.client.execute(sql, &[&options.ledger, &DELETED_AT_ONCE]).await
            });
            let deleted = deleted.inspect_err(|_| self.wire.close())?;
            gone += deleted;
            if deleted < DELETED_AT_ONCE as u64 {
                return Ok(gone);
            }
        }
    }
}
