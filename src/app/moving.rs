//! A list moves into a shared journal and out of it, and is proved: `engine adopt`, `engine leave`,
//! `verify`. But for `verify`, no service may run on the data directory meanwhile.

use anyhow::{Context, Result, anyhow};

use crate::cli::{Compared, Proof};
use crate::config::Config;
use crate::event::Event;
use crate::ledger::journal::Batch;
use crate::ledger::order::{Appended, Journal, Place, SharedJournal};
use crate::ledger::postgres::{self, PostgresJournal};
use crate::ledger::store::{self, SledLedger};
use crate::ledger::verify::OpenList;
use crate::ledger::{Ledger, LedgerError, copy, verify};
use crate::policy::PolicyFold;

use super::shared_ledger;

/// Records of one append.
const AT_ONCE: usize = 500;

/// The list of a data directory by itself, whoever shares its journal.
fn open(config: &Config) -> Result<(SledLedger, store::Options)> {
    let options = shared_ledger::store_options(config);
    let opened = SledLedger::open(options.clone(), Box::new(PolicyFold::new()));
    let ledger = opened.map_err(|error| anyhow!("{error}"))?;
    verify::wait_ready(&ledger);
    Ok((ledger, options))
}

/// `verify`
pub(super) fn prove(config: &Config) -> Result<Proof> {
    let options = shared_ledger::store_options(config);
    let opened = OpenList::open(&options, Box::new(PolicyFold::new()));
    let OpenList { ledger, options, is_in_use, .. } =
        &opened.map_err(|error| anyhow!("{error}"))?;
    verify::wait_ready(ledger);
    let shared = config.journal.postgres.as_ref().filter(|_| copy::is_copy(&config.data_dir));
    let mut journal = match shared {
        Some(engine) => Some(PostgresJournal::new(shared_ledger::options(engine)?)),
        None => None,
    };
    // Before and after: what an erasure rewrites meanwhile differs, and should.
    let before = journal.as_mut().map(|journal| erasures(config, journal));
    let folded = verify::fold_again(ledger, options, Box::new(PolicyFold::new()));
    let folded = folded.map_err(|error| anyhow!("{error}"))?;
    let compared = journal.as_mut().map(|journal| verify::compare(ledger, journal));
    let after = journal.as_mut().map(|journal| erasures(config, journal));
    let unproved = match (before, after) {
        (Some(Err(why)), _) | (_, Some(Err(why))) => Some(why),
        (Some(Ok(before)), Some(Ok(after))) if before != after => {
            Some(format!("the erasure at record {after} was carried out meanwhile; run it again"))
        }
        _ if config.data_dir.join("erasing").exists() => Some(
            "an erasure was begun and is not finished: it goes on when the service starts; run it \
             again after that"
                .to_string(),
        ),
        _ => None,
    };
    let shared = compared.map(|compared| match (compared, &unproved) {
        (Ok(records), _) => Compared::Same(records),
        (Err(error @ LedgerError::Corrupt(_)), None) => Compared::Differs(error.to_string()),
        (Err(LedgerError::Corrupt(_)), Some(why)) => Compared::Unknown(why.clone()),
        (Err(error @ LedgerError::Forked(_)), _) => Compared::Differs(error.to_string()),
        (Err(error), _) => Compared::Unknown(error.to_string()),
    });
    let back = folded.reaches_back.map(|seq| {
        format!(
            "record {seq} judges records again that are gone by now (journal.keep), so nobody can fold \
             it again as it was folded"
        )
    });
    Ok(Proof { folded, is_in_use: *is_in_use, unproved: unproved.or(back), shared })
}

/// The last erasure, when all are carried out: in the shared journal and in this node's copy. Else why
/// records of before are not as they will be.
fn erasures(config: &Config, journal: &mut PostgresJournal) -> Result<u64, String> {
    let all = journal.erasures().map_err(|error| error.to_string())?;
    let followed = store::erased_up_to(&config.data_dir).map_err(|error| error.to_string())?;
    match all.iter().find(|erasure| !erasure.is_done || erasure.seq > followed) {
        Some(erasure) => Err(format!(
            "the erasure at record {} is not carried out yet, in PostgreSQL or on this node, and \
             rewrites records before it; run it again when `bounced engine status` no longer names \
             this node",
            erasure.seq
        )),
        None => Ok(all.last().map_or(0, |erasure| erasure.seq)),
    }
}

/// `engine adopt`: the journal of this data directory becomes the shared one, which has nothing yet, or
/// the beginning of it, of a run that was cut off. Gives the last record and the digest.
pub(super) fn adopt(config: &Config, options: &postgres::Options) -> Result<(u64, String)> {
    let dir = &config.data_dir;
    let (ledger, store) = open(config)?;
    ledger.check_journal().map_err(|error| anyhow!("{error}"))?;
    let status = ledger.status();
    if status.last_seq == 0 {
        return Err(anyhow!("{} has no list: there is nothing to adopt", dir.display()));
    }
    if status.first_seq > 1 || status.damaged > 0 {
        return Err(anyhow!(
            "the journal in {} is not whole (it begins at {}, {} records are damaged), and a shared \
             journal must be: start with an empty data_dir, and bring the list in with `bounced \
             export` and `bounced import`",
            dir.display(),
            status.first_seq,
            status.damaged
        ));
    }
    if dir.join("privacy.key").exists() {
        return Err(anyhow!(
            "addresses were erased under {0}/privacy.key, which other nodes need, too: name it (or a \
             copy of it) in privacy.hash_key_file on all nodes, and move it out of {0}",
            dir.display()
        ));
    }
    let mut journal = PostgresJournal::new(options.clone());
    let mut place = shared_part(&ledger, &mut journal)?;
    while place.seq < status.last_seq {
        place = append(&ledger, &mut journal, place)?;
    }
    verify::compare(&ledger, &mut journal).map_err(|error| anyhow!("{error}"))?;
    // The same records, each octet: so this is what a new node makes of them.
    let folded = verify::fold_again(&ledger, &store, Box::new(PolicyFold::new()));
    let folded = folded.map_err(|error| anyhow!("{error}"))?;
    if !folded.is_same() {
        return Err(anyhow!(
            "what a new node makes of the shared journal ({}) is not the list of {} ({}): do not use \
             it; remove the ledger from PostgreSQL, and see `bounced verify`",
            folded.again,
            dir.display(),
            folded.list
        ));
    }
    drop(ledger);
    copy::mark(dir, &options.place.hosts())
        .with_context(|| format!("{} cannot be used", dir.display()))?;
    Ok((place.seq, folded.list))
}

/// How much of this list the shared journal has already; an error when it has anything else.
fn shared_part(ledger: &SledLedger, journal: &mut PostgresJournal) -> Result<Place> {
    let mut place = Place::default();
    loop {
        let news = journal.read(&place, AT_ONCE).map_err(|error| anyhow!("{error}"))?;
        if news.lines.is_empty() {
            return Ok(place);
        }
        let mine = ledger.journal(place.seq + 1, news.lines.len())?;
        if mine != news.lines {
            return Err(anyhow!(
                "the shared journal has records that are not of this list: adopt wants an empty \
                 ledger; choose another number in journal.postgres.ledger, and run `bounced engine \
                 init`"
            ));
        }
        place = news.through;
    }
}

fn append(ledger: &SledLedger, journal: &mut PostgresJournal, place: Place) -> Result<Place> {
    let mut batch = Batch::default();
    for (seq, line) in ledger.journal(place.seq + 1, AT_ONCE)? {
        batch.push(seq, line.as_bytes()).map_err(|why| anyhow!("record {seq}: {why}"))?;
    }
    let news = journal.turn(&place).map_err(|error| anyhow!("{error}"))?;
    if !news.lines.is_empty() {
        let _ = journal.pass();
        return Err(anyhow!("a node writes into the ledger meanwhile: stop all nodes first"));
    }
    match journal.append(&place, &batch).map_err(|error| anyhow!("{error}"))? {
        Appended::Done(end) => Ok(end),
        Appended::MovedOn => Err(anyhow!("a node writes into the ledger: stop all nodes first")),
        Appended::Unknown(why) => {
            Err(anyhow!("it is not known whether all records came in ({why}): do it again"))
        }
    }
}

/// `engine leave`: the copy of this node becomes a list of its own. Gives its last record.
pub(super) fn leave(config: &Config, options: &postgres::Options) -> Result<u64> {
    let dir = &config.data_dir;
    if !copy::is_copy(dir) {
        return Err(anyhow!("{} is a list of its own already", dir.display()));
    }
    let (ledger, _) = open(config)?;
    let last = ledger.status().last_seq;
    let line = ledger.journal(last, 1)?.pop().ok_or_else(|| anyhow!("this node has no record"))?;
    let id = serde_json::from_str::<Event>(&line.1)?.id;
    let mut journal = PostgresJournal::new(options.clone());
    let place = journal.find(last, &[(last, id)]).map_err(|error| anyhow!("{error}"))?;
    let news = journal.read(&place, 1).map_err(|error| anyhow!("{error}"))?;
    if !news.lines.is_empty() {
        return Err(anyhow!(
            "this node ends at {last} and the others went on: start it, wait until `bounced engine \
             status` says 0 behind, stop all nodes, and do it again"
        ));
    }
    drop(ledger);
    copy::unmark(dir).with_context(|| format!("{} cannot be used", dir.display()))?;
    Ok(last)
}
