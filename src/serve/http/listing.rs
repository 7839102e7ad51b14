//! Entries of the list piece by piece: what the list, the export and the page are made of.
//!
//! Each piece is read and written down in one turn ([`Budget::turn`]) and holds an entry as it is
//! at that moment; an entry that is there all the time is in the answer once. No piece keeps
//! anything locked, so an answer may take as long as its client likes.
//!
//! [`Budget::turn`]: super::budget::Budget::turn

use std::sync::Arc;

use serde_json::Value;

use super::shared::{Http, in_turn};
use crate::serve::limits;
use crate::serve::problem::Problem;
use crate::service::ListQuery;

/// Where an answer is in the list.
pub struct Listing {
    http: Arc<Http>,
    query: ListQuery,
    /// Entries that are still wanted.
    left: usize,
    /// Pieces that may still fall short because a filter took most of the rows.
    looks: usize,
    ended: bool,
}

impl Listing {
    /// All entries that fit.
    pub fn all(http: Arc<Http>, query: ListQuery) -> Self {
        Self { http, query, left: usize::MAX, looks: usize::MAX, ended: false }
    }

    /// As many as `query.limit` says, and no more looks than a page may cost.
    pub fn page(http: Arc<Http>, query: ListQuery) -> Self {
        Self { http, left: query.limit, query, looks: limits::LIST_LOOKS, ended: false }
    }

    /// What `make` makes of the next entries, of none of them when a filter took all; None at the
    /// end.
    pub async fn piece<T: Send + 'static>(
        &mut self,
        make: impl FnOnce(Vec<Value>) -> T + Send + 'static,
    ) -> Result<Option<T>, Problem> {
        if self.ended {
            return Ok(None);
        }
        let wanted = self.left.min(limits::PIECE_ROWS);
        let query = ListQuery { limit: wanted, ..self.query.clone() };
        let read = in_turn(&self.http, move |service| {
            let page = service.list(&query)?;
            Ok((page.entries.len(), page.next, make(page.entries)))
        });
        let (entries, next, made) = read.await?;
        self.left = self.left.saturating_sub(entries);
        self.looks -= usize::from(entries < wanted);
        self.ended = next.is_none() || self.left == 0 || self.looks == 0;
        self.query.cursor = next;
        Ok(Some(made))
    }

    /// Whether the last piece was the last one.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Where the next page begins; None when there is none.
    pub fn next(&self) -> Option<&str> {
        self.query.cursor.as_deref()
    }
}
