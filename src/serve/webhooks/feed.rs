//! The journal, as webhooks read it.

use crate::service::ServiceError;
use crate::service::local::LocalService;
use crate::service::occurrence::{Occurrence, OccurrencePlace};

/// Occurrences, where to go on, and the position of the newest record.
pub type Piece = (Vec<Occurrence>, OccurrencePlace, u64);

/// The journal, as webhooks read it.
pub trait Feed: Send + Sync {
    /// Occurrences from a place on, about so many. It may wait for a disk.
    fn read(&self, from: OccurrencePlace, limit: usize) -> Result<Piece, ServiceError>;
    /// Position and id of the records from one position to another, of those that can be read.
    fn ids(&self, from: u64, through: u64) -> Result<Vec<(u64, String)>, ServiceError>;
}

impl Feed for LocalService {
    fn read(&self, from: OccurrencePlace, limit: usize) -> Result<Piece, ServiceError> {
        self.occurrences(from, limit)
    }

    fn ids(&self, from: u64, through: u64) -> Result<Vec<(u64, String)>, ServiceError> {
        LocalService::ids(self, from, through)
    }
}
