//! How many connections fit under the limit of open files, and how many each port gets.
//!
//! Promise: one port that runs out of descriptors never closes the others: the store and the
//! journal keep theirs, and when not all that is wanted fits, each port has its part
//! (docs/reliability.md, "Connection floods").

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::limits;
use super::places::Room;

/// Connections that each port may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// SMTP and LMTP.
    pub smtp: usize,
    /// HTTP.
    pub http: Room,
    /// Lookups.
    pub lookup: Room,
}

impl Shares {
    /// Raises the limit of open files to what the system allows, and shares what there is.
    pub fn affordable(smtp: usize) -> Self {
        let all = Self { smtp, http: limits::HTTP_ROOM, lookup: limits::LOOKUP_ROOM };
        let limit = getrlimit(Resource::Nofile);
        let (mut current, most) = (limit.current, limit.maximum);
        let need = (all.connections() + all.connections() / 8 + 1024) as u64;
        if current.is_some_and(|current| current < need) {
            let raised = Some(most.map_or(need, |most| most.min(need)));
            if setrlimit(Resource::Nofile, Rlimit { current: raised, maximum: most }).is_ok() {
                current = raised;
            }
        }
        current.map_or(all, |current| all.under(usize::try_from(current).unwrap_or(usize::MAX)))
    }

    fn connections(&self) -> usize {
        self.smtp + self.http.most + self.http.reserved + self.lookup.most
    }

    /// An eighth of the descriptors, from 64 to 1024, is for files; the rest is shared.
    fn under(self, descriptors: usize) -> Self {
        let left = descriptors.saturating_sub((descriptors / 8).clamp(64, 1024));
        let all = self.connections();
        let part = |wanted: usize| match all <= left {
            true => wanted,
            false => (wanted as u64 * left as u64 / all as u64).max(1) as usize,
        };
        let room = |room: Room| Room {
            most: part(room.most),
            most_per_network: part(room.most_per_network),
            // Questions about health are few, and most wanted when everything is short.
            reserved: room.reserved.min(left / 8),
        };
        Self { smtp: part(self.smtp), http: room(self.http), lookup: room(self.lookup) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_left_for_others() {
        let all = Shares { smtp: 20_000, http: limits::HTTP_ROOM, lookup: limits::LOOKUP_ROOM };
        for (descriptors, smtp, http, lookup) in [
            (1_048_576, 20_000, 2048, 10_000),
            (33_088, 20_000, 2048, 10_000),
            (20_000, 11_836, 1212, 5918),
            (1024, 558, 57, 279),
            (256, 119, 12, 59),
            (10, 1, 1, 1),
        ] {
            let shares = all.under(descriptors);
            let got = (shares.smtp, shares.http.most, shares.lookup.most);
            assert_eq!(got, (smtp, http, lookup), "{descriptors}");
            assert!(shares.connections() <= descriptors || descriptors < 64, "{shares:?}");
            assert!(shares.http.reserved > 0 || descriptors < 64);
        }
    }
}
