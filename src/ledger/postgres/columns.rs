//! A batch as the columns of the table `journal`, and the version of the fold that one of its records sets.

use serde::Deserialize;
use tokio_postgres::Error;

use super::line::Open;
use crate::event::FOLD_FACT;
use crate::ledger::LedgerError;
use crate::ledger::journal::Batch;
use crate::ledger::order::Place;
use crate::mail::Timestamp;

/// What the engine keeps of a record beside its text.
#[derive(Deserialize)]
struct Stamp {
    id: String,
    received_at: Timestamp,
    #[serde(default)]
    act: Option<ActStamp>,
}

/// What it keeps of an act.
#[derive(Deserialize)]
struct ActStamp {
    what: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: String,
}

impl ActStamp {
    /// As [`crate::event::Event::fold_from_here`].
    fn fold(&self) -> Option<i32> {
        let is_fold = self.what == "fact" && self.name == FOLD_FACT;
        is_fold.then(|| self.value.parse().ok()).flatten()
    }
}

/// A batch as columns, and the place after it.
pub(super) struct Columns {
    pub(super) end: Place,
    pub(super) seqs: Vec<i64>,
    pub(super) times: Vec<i64>,
    pub(super) ids: Vec<String>,
    pub(super) chains: Vec<Vec<u8>>,
    pub(super) lines: Vec<String>,
    /// The version of the fold that one of the records sets, and its position.
    pub(super) fold: Option<(i32, i64)>,
}

impl Columns {
    pub(super) fn new(at: &Place, batch: &Batch) -> Result<Self, LedgerError> {
        let mut columns = Self {
            end: *at,
            seqs: Vec::new(),
            times: Vec::new(),
            ids: Vec::new(),
            chains: Vec::new(),
            lines: Vec::new(),
            fold: None,
        };
        for (seq, json) in batch.records() {
            let unfit = |why: String| LedgerError::Retryable(format!("record {seq}: {why}"));
            let Stamp { id, received_at, act } =
                serde_json::from_str(json).map_err(|error| unfit(error.to_string()))?;
            columns.end = columns.end.after(&id);
            if columns.end.seq != seq {
                return Err(unfit(format!("it should be {}", columns.end.seq)));
            }
            if let Some(version) = act.and_then(|act| act.fold()) {
                columns.fold = Some((version, number(seq)));
            }
            columns.seqs.push(number(seq));
            columns.times.push(received_at.millis());
            columns.ids.push(id);
            columns.chains.push(columns.end.chain.to_vec());
            columns.lines.push(json.to_string());
        }
        Ok(columns)
    }
}

/// Raises the version of the fold in the transaction of the record that says so; nothing happens when
/// that was not appended.
pub(super) async fn raise(
    open: &Open,
    ledger: i16,
    (version, seq): (i32, i64),
    end: &[u8],
) -> Result<(), Error> {
    let sql = "WITH raised AS (UPDATE head SET fold = $2 \
                               WHERE ledger = $1 AND chain = $4 AND fold < $2 RETURNING 1) \
               INSERT INTO fold (ledger, version, seq) SELECT $1, $2, $3 \
               WHERE EXISTS (SELECT 1 FROM raised) ON CONFLICT (ledger, version) DO NOTHING";
    open.client.execute(sql, &[&ledger, &version, &seq, &end]).await.map(drop)
}

/// A position as the engine has it.
pub(super) fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
