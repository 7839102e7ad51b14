//! The journal, as webhooks read it.

use crate::service::ServiceError;
use crate::service::local::LocalService;
use crate::service::occurrence::{Occurrence, Place};

/// Occurrences, where to go on, and the position of the newest record.
pub type Piece = (Vec<Occurrence>, Place, u64);

/// The journal, as webhooks read it.
pub trait Feed: Send + Sync {
    /// Occurrences from a place on, about so many. It may wait for a disk.
    fn read(&self, from: Place, limit: usize) -> Result<Piece, ServiceError>;
}

impl Feed for LocalService {
    fn read(&self, from: Place, limit: usize) -> Result<Piece, ServiceError> {
        self.occurrences(from, limit)
    }
}
