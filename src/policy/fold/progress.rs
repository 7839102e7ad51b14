//! How far the fold is.

use serde::{Deserialize, Serialize};

use crate::event::FIRST_FOLD;
use crate::ledger::{LedgerError, Rows};

/// Row `m/fold`: how far the fold is, and how many addresses are in which decided state.
///
/// An address is counted under the worst state that its last event left it in. An end that came by
/// time alone, or by a guard's calm, moves it only with its next event; `view::count_states` counts
/// what is true at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub last_seq: u64,
    pub latest_ms: i64,
    /// By place in `State::ALL`.
    pub states: [u64; 5],
    /// As which version events are folded, which the newest fact `fold` says; None: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<i32>,
}

pub(crate) const PROGRESS_KEY: &[u8] = b"m/fold";

impl Progress {
    pub(crate) fn decode(value: Option<Vec<u8>>) -> Self {
        value.and_then(|v| serde_json::from_slice(&v).ok()).unwrap_or_default()
    }

    pub(crate) fn read(rows: &dyn Rows) -> Result<Self, LedgerError> {
        Ok(Self::decode(rows.get(PROGRESS_KEY)?))
    }

    pub(crate) fn write(&self, rows: &mut dyn Rows) {
        rows.put(PROGRESS_KEY.to_vec(), serde_json::to_vec(self).ok());
    }

    /// As which version events are folded.
    pub(crate) fn version(&self) -> i32 {
        self.fold.unwrap_or(FIRST_FOLD)
    }

    pub(crate) fn count(&mut self, from: u8, to: u8) {
        if let Some(n) = self.states.get_mut(usize::from(from)) {
            *n = n.saturating_sub(1);
        }
        if let Some(n) = self.states.get_mut(usize::from(to)) {
            *n += 1;
        }
    }
}
